/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/replay/house.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/mem.h"
#include "config/config.h"
#include "metrics/metrics.h"
#include "record/record.h"
#include "storage/file.h"

#define MS ((int64_t)1000000)
#define PATIENCE_MS 60000

/* --- directories ---------------------------------------------------------- */

static void
remove_tree(const char *path, int floors)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path,
		    entry->d_name);
		if (unlink(name) != 0 && floors > 0)
			remove_tree(name, floors - 1);
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(path);
}

void
house_wipe(struct house *b, int id)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/b%d", b->directory, id);
	remove_tree(path, 1);
}

/* --- processes ------------------------------------------------------------ */

static void
name_of(int id, char name[16])
{
	(void)snprintf(name, 16, "b%d", id);
}

static void
configure(struct house *b, int id)
{
	struct running *p = &b->at[id];
	char text[1200];

	(void)snprintf(text, sizeof(text), "zookeeper.connect=fake:2181\n"
	    "zookeeper.session.timeout.ms=%d\nlisteners=PLAINTEXT://b%d:9092\n"
	    "log.dirs=%s/b%d\nbackground.threads=2\n%s",
	    REPLAY_SESSION_MS, id, b->directory, id,
	    b->more[id] == NULL ? "" : b->more[id]);
	p->config = config_new();
	CHECK(config_read(p->config, slice_of_text(text)));
	if (strstr(text, "broker.id") == NULL) {
		(void)snprintf(text, sizeof(text), "broker.id=%d", id);
		CHECK(config_override(p->config, text));
	}
	if (config_resolve(p->config))
		return;
	for (size_t i = 0; i < config_finding_count(p->config); i++)
		fprintf(stderr, "%s: %s\n",
		    config_finding_at(p->config, i)->subject,
		    config_finding_at(p->config, i)->message);
	CHECK(false);
}

/* What is left of a process that ended, or was killed and has come to its end
 * behind the scenes. */
static void
bury(struct house *b, int id)
{
	struct running *p = &b->at[id];

	if (p->broker == NULL || (broker_state(p->broker) != BROKER_STOPPED &&
	    broker_state(p->broker) != BROKER_FAILED))
		return;
	broker_free(&p->broker);
	p->driver->ops->free(p->driver);
	files_faulty_free(p->files);
	metrics_free(p->metrics);
	config_free(&p->config);
	*p = (struct running){ .broker = NULL };
}

void
house_run(struct house *b, int64_t ms)
{
	while (ms > 0) {
		replay_run(b->world, ms < 100 ? ms : 100);
		ms -= 100;
		for (int id = 1; id <= HOUSE_MAX; id++)
			if (b->at[id].killed)
				bury(b, id);
		if (b->on_step != NULL)
			b->on_step(b);
	}
}

bool
house_await(struct house *b, int id, enum broker_state state)
{
	struct running *p = &b->at[id];

	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 10) {
		if (broker_state(p->broker) == state)
			return (true);
		house_run(b, 10);
	}
	replay_fault(b->world, "b%d is in state %d, not %d", id,
	    (int)broker_state(p->broker), (int)state);
	return (false);
}

/* One that was killed may be buried on the way. */
static void
await_grave(struct house *b, int id)
{
	const struct running *p = &b->at[id];

	for (int64_t ms = 0; ms < PATIENCE_MS && p->broker != NULL; ms += 10) {
		bury(b, id);
		if (p->broker != NULL)
			house_run(b, 10);
	}
	CHECK(p->broker == NULL);
}

void
house_start(struct house *b, int id)
{
	struct running *p = &b->at[id];
	struct replay *r = b->world;
	char name[16];

	if (p->killed || (p->broker != NULL &&
	    broker_state(p->broker) != BROKER_RUNNING))
		await_grave(b, id);
	CHECK(p->broker == NULL);
	name_of(id, name);
	configure(b, id);
	random_seed(&p->random, random_u64(&r->random));
	p->files = files_faulty_new(files_system());
	p->metrics = metrics_new();
	p->driver = zk_fake_driver(r->fake);
	(void)fabric_sockets(r->fabric, name);
	fabric_revive(r->fabric, name);
	p->broker = broker_new(&(struct broker_setup){
	    .seams = {
		.clock = &r->clock.clock,
		.random = &p->random,
		.sockets = fabric_sockets(r->fabric, name),
		.files = p->files,
		.zk_driver = p->driver,
		.scheduler = r->scheduler,
		.diag = r->diag,
	    },
	    .config = p->config,
	    .metrics = p->metrics,
	    .loop_count = 2,
	});
}

void
house_start_all(struct house *b)
{
	for (int id = 1; id <= (int)b->count; id++)
		house_start(b, id);
	for (int id = 1; id <= (int)b->count; id++)
		(void)house_await(b, id, BROKER_RUNNING);
}

void
house_stop(struct house *b, int id)
{
	peer_free(&b->peers[id]);
	broker_stop(b->at[id].broker);
	await_grave(b, id);
}

void
house_kill(struct house *b, int id)
{
	struct running *p = &b->at[id];
	char name[16];

	if (p->broker == NULL || p->killed)
		return;
	name_of(id, name);
	p->killed = true;
	fabric_kill(b->world->fabric, name);
	zk_fake_cut(b->world->fake, p->driver, true);
	files_faulty_kill(p->files);
	broker_stop(p->broker);
}

bool
house_live(const struct house *b, int id)
{
	return (b->at[id].broker != NULL && !b->at[id].killed);
}

int
house_controller(struct house *b)
{
	struct znode_controller seat;
	struct slice data;
	struct zk_stat stat;

	return (zk_fake_get(b->world->fake, ZNODE_CONTROLLER, &data, &stat) &&
	    znode_controller_decode(data, &seat) ? seat.broker_id : 0);
}

/* --- the whole ------------------------------------------------------------ */

static void
written(void *arg, struct zk_driver *driver, const struct zk_op *op)
{
	struct house *b = arg;

	b->world->written = true; /* epochs are looked at */
	for (int id = 1; b->on_write != NULL && id <= HOUSE_MAX; id++)
		if (b->at[id].driver == driver)
			b->on_write(b, id, op);
}

struct house *
house_new(uint64_t seed, size_t count)
{
	struct house *b = mem_zalloc(sizeof(*b));

	b->world = replay_new(seed, 0, NULL);
	b->count = count;
	(void)snprintf(b->directory, sizeof(b->directory),
	    "test_brokers.XXXXXX");
	CHECK(mkdtemp(b->directory) != NULL);
	zk_fake_on_write(b->world->fake, written, b);
	b->client = loop_new(b->world->scheduler, "client");
	loop_start(b->client);
	b->resolver = work_queue_new(b->world->scheduler, "resolver", 1);
	(void)fabric_sockets(b->world->fabric, "client");
	return (b);
}

void
house_free(struct house **place)
{
	struct house *b = *place;

	b->on_write = NULL;
	for (int id = 1; id <= HOUSE_MAX; id++)
		peer_free(&b->peers[id]);
	for (int id = 1; id <= HOUSE_MAX; id++)
		if (b->at[id].broker != NULL)
			broker_stop(b->at[id].broker);
	for (int id = 1; id <= HOUSE_MAX; id++)
		await_grave(b, id);
	house_run(b, 100);
	loop_stop(b->client);
	work_queue_free(b->resolver);
	loop_free(b->client);
	remove_tree(b->directory, 2);
	replay_free(&b->world);
	mem_free(b);
	*place = NULL;
}

/* --- the client ----------------------------------------------------------- */

struct peer *
house_peer(struct house *b, int id)
{
	char name[16];

	name_of(id, name);
	return (peer_new(&(struct peer_setup){
	    .loop = b->client,
	    .sockets = fabric_sockets(b->world->fabric, "client"),
	    .resolver = b->resolver,
	    .diag = b->world->diag,
	    .host = name,
	    .port = 9092,
	    .client_id = "replay",
	    .connect_timeout_ms = 5000,
	    .request_timeout_ms = PATIENCE_MS,
	    .backoff_ms = 50,
	    .response_bytes_max = 1 << 22,
	    .in_flight_max = 4,
	}));
}

void
house_send(struct house *b, struct asking *a)
{
	if (b->peers[a->id] == NULL)
		b->peers[a->id] = house_peer(b, a->id);
	arena_init(&a->arena, 0);
	a->call = (struct peer_call){ .arena = &a->arena,
		.response = a->response };
	CHECK(peer_send(b->peers[a->id], &a->call, a->api_key, a->version,
	    a->request) == WIRE_OK);
}

bool
house_ask(struct house *b, struct asking *a)
{
	house_send(b, a);
	for (int64_t ms = 0; !a->call.done && ms < PATIENCE_MS; ms += 5)
		house_run(b, 5);
	return (a->call.done && a->call.error == PEER_OK);
}

void
asking_fini(struct asking *a)
{
	peer_call_fini(&a->call);
	arena_fini(&a->arena);
}

int
house_create(struct house *b, int id, const char *topic,
    int32_t partitions, int16_t replication_factor)
{
	struct create_topics_request request;
	struct create_topics_request_topic one;
	struct create_topics_response response;
	struct asking a = { .id = id, .api_key = API_CREATE_TOPICS,
		.version = 7, .request = &request, .response = &response };
	int error = -1;

	wire_init(&message_create_topics_request, &request);
	one = (struct create_topics_request_topic){
		.name = slice_of_text(topic),
		.num_partitions = partitions,
		.replication_factor = replication_factor,
	};
	request.topics = &one;
	request.topics_count = 1;
	request.timeout_ms = 30000;
	if (house_ask(b, &a) && response.topics_count == 1)
		error = response.topics[0].error_code;
	asking_fini(&a);
	return (error);
}

static void
batch_of_one(struct buffer *out, int64_t wall_ms, int32_t value)
{
	struct batch_builder builder;
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", value);
	batch_builder_init(&builder, 0, CODEC_NONE);
	batch_builder_add(&builder, wall_ms, SLICE_NULL, slice_of_text(text),
	    NULL, 0);
	CHECK(batch_builder_finish(&builder, out) == ERR_NONE);
	batch_builder_fini(&builder);
}

int
house_produce(struct house *b, int id, const char *topic,
    int32_t partition, int32_t value)
{
	return (house_produce_acks(b, id, topic, partition, value, 1));
}

int
house_produce_acks(struct house *b, int id, const char *topic,
    int32_t partition, int32_t value, int16_t acks)
{
	struct buffer bytes = BUFFER_EMPTY;
	struct produce_request request;
	struct produce_request_topic one;
	struct produce_request_partition part = { .index = partition };
	struct produce_response response;
	struct asking a = { .id = id, .api_key = API_PRODUCE, .version = 9,
		.request = &request, .response = &response };
	int error = -1;

	batch_of_one(&bytes, b->world->clock.clock.wall_ms(
	    &b->world->clock.clock), value);
	wire_init(&message_produce_request, &request);
	part.records.bytes = buffer_slice(&bytes);
	one = (struct produce_request_topic){ .name = slice_of_text(topic),
		.partition_data = &part, .partition_data_count = 1 };
	request.topic_data = &one;
	request.topic_data_count = 1;
	request.acks = acks;
	request.timeout_ms = 10000;
	if (house_ask(b, &a) && response.responses_count == 1)
		error = response.responses[0].partition_responses[0].error_code;
	asking_fini(&a);
	buffer_fini(&bytes);
	return (error);
}

/* The values and offsets must go on from `next`; the next one, or -1. */
static int64_t
records_check(struct house *b, struct slice bytes, int64_t next)
{
	struct batch batch;

	while (next >= 0 && batch_next(&bytes, &batch) == BATCH_OK) {
		struct record_reader *reader;
		struct record record;
		char text[24];

		if (!batch_crc_good(&batch) ||
		    record_reader_new(&batch, 1 << 20, &reader) != ERR_NONE)
			return (-1);
		while (next >= 0 && record_reader_next(reader, &record) == 1) {
			(void)snprintf(text, sizeof(text), "%lld",
			    (long long)next);
			if (record.offset != next ||
			    !slice_equal_text(record.value, text)) {
				replay_fault(b->world, "offset %lld holds "
				    "%.*s, it must be %s",
				    (long long)record.offset,
				    (int)record.value.length,
				    (const char *)record.value.data, text);
				next = -1;
			} else
				next++;
		}
		record_reader_free(&reader);
	}
	return (next);
}

/* One Fetch; the next offset, or -1. *end: the high watermark. */
static int64_t
read_once(struct house *b, struct asking *a, int64_t next, int64_t *end)
{
	const struct fetch_request *request = a->request;
	const struct fetch_response *response = a->response;
	const struct fetch_response_partition *part;

	request->topics[0].partitions[0].fetch_offset = next;
	if (!house_ask(b, a) || response->error_code != ERR_NONE ||
	    response->responses_count != 1)
		return (-1);
	part = &response->responses[0].partitions[0];
	if (part->error_code != ERR_NONE) {
		replay_fault(b->world, "b%d answers a Fetch with error %d",
		    a->id, (int)part->error_code);
		return (-1);
	}
	*end = part->high_watermark;
	return (records_check(b, part->records.bytes, next));
}

int
house_read(struct house *b, int id, const char *topic, int32_t partition)
{
	struct fetch_request request;
	struct fetch_request_topic one;
	struct fetch_request_partition part = { .partition = partition };
	struct fetch_response response;
	struct asking a = { .id = id, .api_key = API_FETCH, .version = 11,
		.request = &request, .response = &response };
	int64_t next = 0, end = 1;

	wire_init(&message_fetch_request, &request);
	part.current_leader_epoch = part.last_fetched_epoch = -1;
	part.log_start_offset = -1;
	part.partition_max_bytes = 1 << 20;
	one = (struct fetch_request_topic){ .topic = slice_of_text(topic),
		.partitions = &part, .partitions_count = 1 };
	request.topics = &one;
	request.topics_count = 1;
	request.max_wait_ms = 100;
	request.min_bytes = 1;
	while (next >= 0 && next < end) {
		int64_t before = next;

		next = read_once(b, &a, next, &end);
		asking_fini(&a);
		if (next == before && next < end)
			next = -1;
	}
	if (next < 0)
		replay_fault(b->world, "%s/%d cannot be read from b%d", topic,
		    (int)partition, id);
	return ((int)next);
}

int
house_leader(struct house *b, int id, const char *topic, int32_t partition)
{
	struct metadata_request request;
	struct metadata_request_topic one = { .name = slice_of_text(topic) };
	struct metadata_response response;
	struct asking a = { .id = id, .api_key = API_METADATA, .version = 9,
		.request = &request, .response = &response };
	int leader = -1;

	wire_init(&message_metadata_request, &request);
	request.topics = &one;
	request.topics_count = 1;
	request.allow_auto_topic_creation = false;
	if (house_ask(b, &a) && response.topics_count == 1)
		for (int32_t i = 0; i < response.topics[0].partitions_count;
		     i++)
			if (response.topics[0].partitions[i].partition_index ==
			    partition)
				leader = response.topics[0].partitions[i]
				    .leader_id;
	asking_fini(&a);
	return (leader);
}
