/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

#define METADATA_VERSION 8
#define ANSWER_SECONDS 180

noreturn void
fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

noreturn void
refused(const char *what, int error)
{
	fprintf(stderr, "%s: error code %d\n", what, error);
	exit(1);
}

long
number_of(const char *text)
{
	char *end;
	const long number = strtol(text, &end, 10);

	if (*end != '\0' || end == text || number < 0) {
		errno = EINVAL;
		fail(text);
	}
	return (number);
}

static double
seconds_of(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

int64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

double
cpu_seconds(void)
{
	return (seconds_of(CLOCK_THREAD_CPUTIME_ID));
}

void
rest_ms(long ms)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* --- sockets -------------------------------------------------------------- */

int
dial(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval wait = { .tv_sec = ANSWER_SECONDS };
	const char *colon = strrchr(address, ':');
	char host[64];
	int on = 1;
	int s;

	if (colon == NULL || (size_t)(colon - address) >= sizeof(host))
		number_of(address);
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - address),
	    address);
	to.sin_port = htons((uint16_t)number_of(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		fail(host);
	s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0)
		fail("socket");
	(void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(s, (struct sockaddr *)&to, sizeof(to)) == 0)
		return (s);
	(void)close(s);
	return (-1);
}

bool
send_all(int s, struct slice bytes)
{
	while (bytes.length > 0) {
		const ssize_t n = send(s, bytes.data, bytes.length,
		    MSG_NOSIGNAL);

		if (n <= 0)
			return (false);
		bytes = slice_of(bytes.data + n, bytes.length - (size_t)n);
	}
	return (true);
}

static bool
recv_all(int s, uint8_t *to, size_t size)
{
	while (size > 0) {
		const ssize_t n = recv(s, to, size, 0);

		if (n <= 0)
			return (false);
		to += n;
		size -= (size_t)n;
	}
	return (true);
}

/* --- frames --------------------------------------------------------------- */

void
frame_make(enum api_key key, int version, const void *request,
    struct buffer *out)
{
	const struct request_head head = {
		.api_key = (int16_t)key,
		.api_version = (int16_t)version,
		.correlation_id = 1,
		.client_id = SLICE_LITERAL("bench"),
	};

	out->length = 0;
	(void)buffer_extend(out, 4);
	wire_write_request_head(&head, out);
	if (wire_encode_bytes(api_by_key((int)key)->request, version, request,
	    out) != WIRE_OK) {
		errno = EINVAL;
		fail("encode");
	}
	bytes_put_u32(out->data, (uint32_t)out->length - 4);
}

void
frame_read(enum api_key key, int version, struct slice frame,
    struct arena *arena, void *response)
{
	const struct api *api = api_by_key((int)key);
	int32_t id;

	if (wire_read_response_head(api, version, &frame, &id) != WIRE_OK ||
	    wire_decode(api->response, version, frame, arena, response,
	    NULL) != WIRE_OK) {
		errno = EPROTO;
		fail(api->name);
	}
}

/* --- a client ------------------------------------------------------------- */

bool
client_open(struct client *client, const char *address)
{
	*client = (struct client){ .descriptor = dial(address) };
	arena_init(&client->arena, 0);
	return (client->descriptor >= 0);
}

void
client_close(struct client *client)
{
	if (client->descriptor >= 0)
		(void)close(client->descriptor);
	client->descriptor = -1;
	buffer_fini(&client->bytes);
	arena_fini(&client->arena);
}

bool
client_call(struct client *client, enum api_key key, int version,
    const void *request, void *response)
{
	uint8_t head[4];
	size_t size;

	frame_make(key, version, request, &client->bytes);
	if (!send_all(client->descriptor, buffer_slice(&client->bytes)) ||
	    !recv_all(client->descriptor, head, sizeof(head)))
		return (false);
	size = bytes_get_u32(head);
	client->bytes.length = 0;
	if (!recv_all(client->descriptor, buffer_extend(&client->bytes, size),
	    size))
		return (false);
	arena_reset(&client->arena);
	frame_read(key, version, buffer_slice(&client->bytes), &client->arena,
	    response);
	return (true);
}

/* --- metadata ------------------------------------------------------------- */

static const struct metadata_response_broker *
broker_of(const struct metadata_response *answer, int32_t id)
{
	for (int32_t i = 0; i < answer->brokers_count; i++)
		if (answer->brokers[i].node_id == id)
			return (&answer->brokers[i]);
	return (NULL);
}

static struct address
address_of(const struct metadata_response_broker *broker)
{
	struct address address;

	(void)snprintf(address.text, sizeof(address.text), "%.*s:%d",
	    (int)broker->host.length, (const char *)broker->host.data,
	    (int)broker->port);
	return (address);
}

static void
topic_add(const struct metadata_response *answer,
    const struct metadata_response_topic *t, struct topic *topic)
{
	topic->error = t->error_code;
	topic->count += t->partitions_count;
	for (int32_t i = 0; i < t->partitions_count; i++) {
		const int32_t leader = t->partitions[i].leader_id;

		topic->led += leader != topic->without &&
		    broker_of(answer, leader) != NULL;
	}
}

static bool
metadata_ask(struct client *client, const char *name,
    struct metadata_response *answer)
{
	struct metadata_request_topic named;
	struct metadata_request request;

	wire_init(&message_metadata_request, &request);
	request.allow_auto_topic_creation = false;
	memset(&named, 0, sizeof(named));
	request.topics = NULL; /* all */
	if (name == NULL || strcmp(name, "*") != 0) {
		named.name = slice_of_text(name);
		request.topics = &named;
		request.topics_count = name != NULL;
	}
	return (client_call(client, API_METADATA, METADATA_VERSION, &request,
	    answer));
}

int
client_metadata(struct client *client, const char *name, struct topic *topic)
{
	struct metadata_response answer;

	if (!metadata_ask(client, name, &answer))
		return (-1);
	if (topic != NULL) {
		topic->count = topic->led = topic->error = 0;
		for (int32_t i = 0; i < answer.topics_count; i++)
			topic_add(&answer, &answer.topics[i], topic);
	}
	return (answer.brokers_count);
}

bool
client_controller(struct client *client, struct address *controller)
{
	const struct metadata_response_broker *broker;
	struct metadata_response answer;

	if (!metadata_ask(client, NULL, &answer))
		return (false);
	broker = broker_of(&answer, answer.controller_id);
	if (broker != NULL)
		*controller = address_of(broker);
	return (broker != NULL);
}

struct address *
client_leaders(const char *address, const char *name, int32_t *count)
{
	const struct metadata_response_topic *topic;
	struct metadata_response answer;
	struct address *leaders;
	struct client client;

	if (!client_open(&client, address) ||
	    !metadata_ask(&client, name, &answer))
		fail(address);
	topic = answer.topics;
	if (answer.topics_count != 1 || topic->partitions_count == 0)
		refused(name, topic != NULL ? topic->error_code : -1);
	*count = topic->partitions_count;
	leaders = mem_zalloc((size_t)*count * sizeof(*leaders));
	for (int32_t i = 0; i < *count; i++) {
		const struct metadata_response_partition *part =
		    &topic->partitions[i];
		const struct metadata_response_broker *leader =
		    broker_of(&answer, part->leader_id);

		if (leader == NULL || part->partition_index < 0 ||
		    part->partition_index >= *count)
			refused(name, part->error_code);
		leaders[part->partition_index] = address_of(leader);
	}
	client_close(&client);
	return (leaders);
}
