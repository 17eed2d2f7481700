/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/unit.h"

int
client_connect_to(int32_t port, int receive_buffer)
{
	const struct timeval patience = { PATIENCE_S, 0 };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (receive_buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
		    sizeof(receive_buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (void *)&to, sizeof(to)) != 0) {
		close(fd);
		return (-1);
	}
	return (fd);
}

int
client_connect_with(const struct rig *rig, int receive_buffer)
{
	return (client_connect_to(rig->listener.port, receive_buffer));
}

int
client_connect(const struct rig *rig)
{
	return (client_connect_with(rig, 0));
}

void
client_send(int fd, const void *bytes, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = send(fd, (const char *)bytes + at, size - at,
		    MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

void
client_request(int fd, int api, int32_t id, const void *body, size_t size)
{
	struct buffer out = BUFFER_EMPTY;

	rig_frame(&out, api, api == API_PRODUCE ? 3 : 1, id, body, size);
	client_send(fd, out.data, out.length);
	buffer_fini(&out);
}

static bool
client_receive(int fd, void *to, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = recv(fd, (char *)to + have, size - have, 0);

		if (n <= 0)
			return (false);
		have += (size_t)n;
	}
	return (true);
}

bool
client_answer(int fd, int32_t *id, struct buffer *body)
{
	uint8_t head[8];
	int32_t size;

	if (!client_receive(fd, head, sizeof(head)))
		return (false);
	size = bytes_get_i32(head) - 4;
	*id = bytes_get_i32(head + 4);
	body->length = 0;
	return (size >= 0 &&
	    client_receive(fd, buffer_extend(body, (size_t)size),
		(size_t)size));
}

bool
client_expect(int fd, int32_t id, const char *text)
{
	struct buffer body = BUFFER_EMPTY;
	int32_t got = -1;
	bool ok = client_answer(fd, &got, &body) && got == id &&
	    body.length == strlen(text) &&
	    memcmp(body.data, text, body.length) == 0;

	buffer_fini(&body);
	return (ok);
}

bool
client_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return (n == 0 || (n < 0 && errno == ECONNRESET));
}

void
await_count(atomic_uint *count, unsigned value)
{
	for (int i = 0; i < PATIENCE_S * 1000 && atomic_load(count) != value;
	     i++)
		(void)usleep(1000);
	CU_ASSERT_EQUAL(atomic_load(count), value);
}

void
await_metric(const struct rig *rig, enum metric metric, size_t slot,
    int64_t value)
{
	for (int i = 0; i < PATIENCE_S * 1000 &&
	     metrics_value_at(rig->metrics, metric, slot) != value; i++)
		(void)usleep(1000);
	CU_ASSERT_EQUAL(metrics_value_at(rig->metrics, metric, slot), value);
}
