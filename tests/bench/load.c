/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of tests/bench/run, over plain sockets so that the client costs as
 * little as a client can and sends both brokers the same bytes.
 *
 *	load up ADDRESS                     waits for a Metadata with a broker
 *	load create ADDRESS TOPIC PARTITIONS REPLICAS
 *	load led ADDRESS TOPIC COUNT BROKER waits until so many have a leader
 *	load produce ADDRESS TOPIC ACKS CONNECTIONS IN_FLIGHT VALUE RECORDS
 *	                REQUESTS
 *	load fetch ADDRESS TOPIC            a connection a partition, to the end
 *	load paced ADDRESS TOPIC ACKS PER_SECOND SECONDS
 *	load idle ADDRESS COUNT             one Metadata each, then until stdin
 *	                                    ends
 *
 * Each prints one line of key=value.  ADDRESS is any broker's; records go to
 * the partition's leader, topics to the controller, which is asked until it has
 * made the topic.  led: leaders that live count, BROKER (-1: nobody) does not,
 * and the topic "*" means all.  produce sends one batch a request with that
 * acks (1; -1: all); connection i writes to partition i modulo the topic's
 * number.  paced sends one record a request at that rate, whatever the answers
 * do, and another connection fetches them; both latencies count from the
 * sending.
 *
 *	(fill) -> request in parts -> sent, its time noted -> answer: one fewer
 *	   ^                                                  in flight -+
 *	   +-----------------------------------------------------------+
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "lanes.h"
#include "record/record.h"

#define PRODUCE_VERSION 9
#define FETCH_VERSION 12
#define IN_FLIGHT_MAX 16384 /* a cold JVM takes its time */
#define FETCH_BYTES (1 << 20)
#define FETCH_WAIT_MS 500
#define STALL_MS 60000
#define GIVE_UP_NS (INT64_C(180) * 1000000000)
#define VALUE_MAX (1 << 20)

/* A connection and what is under way on it. */
struct lane {
	struct run *run;
	int descriptor;
	struct buffer frame; /* the request, sent again and again */
	size_t sent;         /* of the one that is being sent */
	int due;             /* requests to send, that one included */
	int in_flight;
	int64_t began_ns[IN_FLIGHT_MAX];
	unsigned next_began;
	unsigned next_answer;
	struct buffer in;
	int32_t partition;
	int64_t offset; /* fetch: the next one, and where it ends */
	int64_t end;
};

struct run {
	const char *topic;
	int16_t acks;
	struct address *leaders; /* of its partitions */
	int32_t partition_count;
	int poll;
	struct lane *lanes;
	int lane_count;
	enum api_key api;
	int in_flight_max;
	long requests_left; /* to begin */
	long requests;      /* to be answered in all */
	long answered;
	int lanes_left;     /* fetch: not at their end */
	int records;        /* of a batch */
	int64_t record_count;
	int64_t byte_count;
	struct arena arena;
	float *latency_ms;
	long latency_room;
	long latency_count;
	float *journey_ms; /* paced: from sending to being fetched */
	long journey_count;
};

/* --- what was measured ---------------------------------------------------- */

static void
run_print(struct run *run, int64_t began_ns)
{
	printf("seconds=%.4f requests=%ld records=%" PRId64 " bytes=%" PRId64,
	    (double)(now_ns() - began_ns) / 1e9, run->answered,
	    run->record_count, run->byte_count);
	print_quantiles("", run->latency_ms, run->latency_count);
	print_quantiles("journey_", run->journey_ms, run->journey_count);
	printf("\n");
}

/* --- requests ------------------------------------------------------------- */

/* Letters that a codec would not find too easy; the first eight bytes hold the
 * time of a paced record. */
static void
value_fill(uint8_t *value, size_t size)
{
	uint32_t seed = 12345;

	for (size_t i = 0; i < size; i++) {
		seed = seed * 1103515245 + 12345;
		value[i] = (uint8_t)('a' + (seed >> 16) % 26);
	}
}

static void
produce_frame(const struct run *run, struct lane *lane, struct slice value)
{
	struct produce_request_partition partition = { .index =
		lane->partition };
	struct produce_request_topic topic = {
		.name = slice_of_text(run->topic),
		.partition_data = &partition,
		.partition_data_count = 1,
	};
	struct produce_request request;
	struct batch_builder builder;
	struct buffer batch = BUFFER_EMPTY;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	batch_builder_init(&builder, 0, CODEC_NONE);
	for (int i = 0; i < run->records; i++)
		batch_builder_add(&builder, (int64_t)now.tv_sec * 1000,
		    SLICE_NULL, value, NULL, 0);
	if (batch_builder_finish(&builder, &batch) != ERR_NONE)
		fail("batch");
	batch_builder_fini(&builder);
	partition.records.bytes = buffer_slice(&batch);
	wire_init(&message_produce_request, &request);
	request.acks = run->acks;
	request.timeout_ms = 30000;
	request.topic_data = &topic;
	request.topic_data_count = 1;
	frame_make(API_PRODUCE, PRODUCE_VERSION, &request, &lane->frame);
	buffer_fini(&batch);
}

static void
fetch_frame(const struct run *run, struct lane *lane)
{
	struct fetch_request_partition partition = {
		.partition = lane->partition,
		.current_leader_epoch = -1,
		.fetch_offset = lane->offset,
		.last_fetched_epoch = -1,
		.log_start_offset = -1,
		.partition_max_bytes = FETCH_BYTES,
	};
	struct fetch_request_topic topic = {
		.topic = slice_of_text(run->topic),
		.partitions = &partition,
		.partitions_count = 1,
	};
	struct fetch_request request;

	wire_init(&message_fetch_request, &request);
	request.max_wait_ms = FETCH_WAIT_MS;
	request.min_bytes = 1;
	request.max_bytes = 50 << 20;
	request.topics = &topic;
	request.topics_count = 1;
	frame_make(API_FETCH, FETCH_VERSION, &request, &lane->frame);
}

/* --- answers -------------------------------------------------------------- */

static void
produce_answer(struct run *run, struct lane *lane, struct slice frame)
{
	struct produce_response response;
	const struct produce_response_partition *part;

	frame_read(API_PRODUCE, PRODUCE_VERSION, frame, &run->arena,
	    &response);
	part = response.responses->partition_responses;
	if (part->error_code != 0)
		refused("produce", part->error_code);
	run->record_count += run->records;
	run->byte_count += (int64_t)lane->frame.length;
	if (run->api == API_PRODUCE && run->requests_left > 0) {
		run->requests_left--;
		lane->due++;
	}
}

/* A paced record that came back. */
static void
journey_note(struct run *run, const struct batch *batch)
{
	const int64_t now = now_ns();
	struct record_reader *reader;
	struct record record;

	if (record_reader_new(batch, VALUE_MAX, &reader) != ERR_NONE)
		fail("batch");
	while (record_reader_next(reader, &record) == 1)
		if (run->journey_count < run->latency_room)
			run->journey_ms[run->journey_count++] = (float)(now -
			    bytes_get_i64(record.value.data)) / 1e6f;
	record_reader_free(&reader);
}

static void
fetch_answer(struct run *run, struct lane *lane, struct slice frame)
{
	struct fetch_response response;
	const struct fetch_response_partition *part;
	struct slice rest;
	struct batch batch;

	frame_read(API_FETCH, FETCH_VERSION, frame, &run->arena, &response);
	part = response.responses->partitions;
	if (part->error_code != 0)
		refused("fetch", part->error_code);
	rest = part->records.bytes;
	while (batch_next(&rest, &batch) == BATCH_OK) {
		lane->offset = batch.last_offset + 1;
		run->record_count += batch.record_count;
		run->byte_count += batch.size;
		if (run->journey_ms != NULL)
			journey_note(run, &batch);
	}
	if (lane->offset >= lane->end) {
		run->lanes_left--;
		return;
	}
	fetch_frame(run, lane);
	lane->due++;
}

/* --- a lane --------------------------------------------------------------- */

static bool
is_producing(const struct run *run, const struct lane *lane)
{
	return (run->api == API_PRODUCE ||
	    (run->journey_ms != NULL && lane == run->lanes));
}

static void
lane_send(struct lane *lane)
{
	while (lane->due > 0) {
		ssize_t n;

		if (lane->sent == 0)
			lane->began_ns[lane->next_began++ % IN_FLIGHT_MAX] =
			    now_ns();
		n = send(lane->descriptor, lane->frame.data + lane->sent,
		    lane->frame.length - lane->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN)
				fail("send");
			if (lane->sent == 0)
				lane->next_began--;
			return;
		}
		lane->sent += (size_t)n;
		if (lane->sent < lane->frame.length)
			continue;
		lane->sent = 0;
		lane->due--;
		lane->in_flight++;
	}
}

static void
lane_answered(void *arg, struct slice frame)
{
	struct lane *lane = arg;
	struct run *run = lane->run;
	const int64_t began =
	    lane->began_ns[lane->next_answer++ % IN_FLIGHT_MAX];
	const bool producing = is_producing(run, lane);

	if ((producing || run->journey_ms == NULL) &&
	    run->latency_count < run->latency_room)
		run->latency_ms[run->latency_count++] =
		    (float)(now_ns() - began) / 1e6f;
	arena_reset(&run->arena);
	lane->in_flight--;
	if (producing) {
		run->answered++;
		produce_answer(run, lane, frame);
	} else {
		run->answered += run->api == API_FETCH;
		fetch_answer(run, lane, frame);
	}
}

static void
lane_open(struct run *run, struct lane *lane, int32_t partition)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
		.data.ptr = lane };

	lane->run = run;
	lane->partition = partition;
	lane->descriptor = dial(run->leaders[partition].text);
	if (lane->descriptor < 0)
		fail(run->leaders[partition].text);
	if (epoll_ctl(run->poll, EPOLL_CTL_ADD, lane->descriptor, &event) != 0)
		fail("epoll");
}

static void
lane_turn(struct lane *lane, uint32_t events)
{
	/* Edge-triggered: until a call brings less than it could, after which
	 * epoll(7) tells of more. */
	while ((events & EPOLLIN) != 0 && frames_take(lane->descriptor,
	    &lane->in, lane_answered, lane))
		lane_send(lane);
	lane_send(lane);
}

static void
run_turn(struct run *run)
{
	struct epoll_event events[64];
	const int n = epoll_wait(run->poll, events, 64, STALL_MS);

	if (n == 0) {
		errno = ETIMEDOUT;
		fail("no progress");
	}
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr != NULL)
			lane_turn(events[i].data.ptr, events[i].events);
}

static void
run_init(struct run *run, char **words, enum api_key api, long room)
{
	*run = (struct run){ .topic = words[1], .poll = epoll_create1(0),
		.api = api, .latency_room = room };
	run->leaders = client_leaders(words[0], words[1],
	    &run->partition_count);
	if (run->poll < 0)
		fail("epoll");
	arena_init(&run->arena, 0);
	run->latency_ms = mem_zalloc((size_t)room * sizeof(float));
}

/* 1, or -1 for all. */
static int16_t
acks_of(const char *word)
{
	return (strcmp(word, "-1") == 0 ? -1 : (int16_t)number_of(word));
}

/* --- produce -------------------------------------------------------------- */

static int
command_produce(char **words)
{
	static uint8_t bytes[VALUE_MAX];
	const size_t size = (size_t)number_of(words[5]);
	struct run run;
	int64_t began;

	run_init(&run, words, API_PRODUCE, number_of(words[7]));
	run.acks = acks_of(words[2]);
	run.lane_count = (int)number_of(words[3]);
	run.in_flight_max = (int)number_of(words[4]);
	run.records = (int)number_of(words[6]);
	run.requests = run.requests_left = number_of(words[7]);
	if (size > VALUE_MAX || run.in_flight_max > IN_FLIGHT_MAX)
		number_of("too large");
	value_fill(bytes, size);
	run.lanes = mem_zalloc((size_t)run.lane_count * sizeof(*run.lanes));
	for (int i = 0; i < run.lane_count; i++) {
		struct lane *lane = &run.lanes[i];

		lane->partition = i % run.partition_count;
		produce_frame(&run, lane, slice_of(bytes, size));
		for (; lane->due < run.in_flight_max && run.requests_left > 0;
		     lane->due++)
			run.requests_left--;
	}
	began = now_ns();
	for (int i = 0; i < run.lane_count; i++)
		lane_open(&run, &run.lanes[i], run.lanes[i].partition);
	while (run.answered < run.requests)
		run_turn(&run);
	run_print(&run, began);
	return (0);
}

/* --- fetch ---------------------------------------------------------------- */

static int64_t
end_offset(const struct run *run, int32_t partition)
{
	struct list_offsets_request_partition part = {
		.partition_index = partition, .current_leader_epoch = -1,
		.timestamp = -1, .max_num_offsets = 1,
	};
	struct list_offsets_request_topic topic = {
		.name = slice_of_text(run->topic), .partitions = &part,
		.partitions_count = 1,
	};
	struct list_offsets_request request;
	struct list_offsets_response response;
	struct client client;
	int64_t offset;

	wire_init(&message_list_offsets_request, &request);
	request.replica_id = -1;
	request.topics = &topic;
	request.topics_count = 1;
	if (!client_open(&client,
	    run->leaders[partition].text) || !client_call(&client,
	    API_LIST_OFFSETS, 5, &request, &response))
		fail("ListOffsets");
	if (response.topics->partitions->error_code != 0)
		refused("ListOffsets",
		    response.topics->partitions->error_code);
	offset = response.topics->partitions->offset;
	client_close(&client);
	return (offset);
}

static int
command_fetch(char **words)
{
	struct run run;
	int64_t began;

	run_init(&run, words, API_FETCH, 1 << 20);
	run.lane_count = run.partition_count;
	run.lanes = mem_zalloc((size_t)run.lane_count * sizeof(*run.lanes));
	for (int32_t i = 0; i < run.lane_count; i++) {
		run.lanes[i].partition = i;
		run.lanes[i].end = end_offset(&run, i);
		if (run.lanes[i].end > 0) {
			fetch_frame(&run, &run.lanes[i]);
			run.lanes[i].due = 1;
			run.lanes_left++;
		}
	}
	began = now_ns();
	for (int32_t i = 0; i < run.lane_count; i++)
		lane_open(&run, &run.lanes[i], i);
	while (run.lanes_left > 0)
		run_turn(&run);
	run_print(&run, began);
	return (0);
}

/* --- paced ---------------------------------------------------------------- */

#define PACED_VALUE 100

/* One record for each tick that has passed. */
static void
paced_ticks(struct run *run, int ticker)
{
	struct lane *lane = &run->lanes[0];
	uint8_t value[PACED_VALUE];
	uint64_t ticks = ticker_take(ticker);

	for (; ticks > 0 && run->requests_left > 0; ticks--) {
		/* The frame holds this record's time, so it goes out whole. */
		value_fill(value, sizeof(value));
		bytes_put_i64(value, now_ns());
		produce_frame(run, lane, slice_of(value, sizeof(value)));
		run->requests_left--;
		lane->due++;
		lane_send(lane);
		if (lane->due != 0 || lane->in_flight > IN_FLIGHT_MAX) {
			errno = EAGAIN;
			fail("the broker lags behind");
		}
	}
}

static int
command_paced(char **words)
{
	const long per_second = number_of(words[3]);
	struct run run;
	int64_t began;
	int ticker;

	run_init(&run, words, API_METADATA, per_second * number_of(words[4]));
	run.acks = acks_of(words[2]);
	run.requests = run.requests_left = run.latency_room;
	run.records = 1;
	run.journey_ms = mem_zalloc((size_t)run.requests * sizeof(float));
	run.lane_count = 2;
	run.lanes = mem_zalloc(2 * sizeof(*run.lanes));
	run.lanes[1].offset = end_offset(&run, 0);
	run.lanes[1].end = run.lanes[1].offset + run.requests;
	run.lanes_left = 1;
	fetch_frame(&run, &run.lanes[1]);
	run.lanes[1].due = 1;
	began = now_ns();
	lane_open(&run, &run.lanes[0], 0);
	lane_open(&run, &run.lanes[1], 0);
	ticker = ticker_open(run.poll, per_second);
	while (run.lanes_left > 0 || run.answered < run.requests) {
		run_turn(&run);
		paced_ticks(&run, ticker);
	}
	run.record_count = run.requests;
	run_print(&run, began);
	return (0);
}

/* --- administration ------------------------------------------------------- */

/* Whoever started the broker knows when, by the same clock. */
static int
command_up(char **words)
{
	const int64_t began = now_ns();
	struct client client;

	for (;; rest_ms(1)) {
		const bool up = client_open(&client, words[0]) &&
		    client_metadata(&client, NULL, NULL) > 0;

		client_close(&client);
		if (up)
			break;
		if (now_ns() - began > GIVE_UP_NS)
			fail("up");
	}
	printf("at_ns=%" PRId64 "\n", now_ns());
	return (0);
}

/* The controller's answer; an error that passes: there is none now. */
static int
create_once(const char *address, const struct create_topics_request *request)
{
	struct create_topics_response response;
	struct address controller;
	struct client client;
	int error = ERR_NOT_CONTROLLER;
	bool found;

	found = client_open(&client, address) &&
	    client_controller(&client, &controller);
	client_close(&client);
	if (!found)
		return (error);
	if (client_open(&client, controller.text) &&
	    client_call(&client, API_CREATE_TOPICS, 4, request, &response))
		error = response.topics->error_code;
	client_close(&client);
	return (error);
}

static int
command_create(char **words)
{
	struct create_topics_request_topic topic = {
		.name = slice_of_text(words[1]),
		.num_partitions = (int32_t)number_of(words[2]),
		.replication_factor = (int16_t)number_of(words[3]),
	};
	struct create_topics_request request;
	const int64_t began = now_ns();
	int error;

	wire_init(&message_create_topics_request, &request);
	request.topics = &topic;
	request.topics_count = 1;
	request.timeout_ms = 120000;
	/* Who lost its answer may find the topic made. */
	for (int tries = 0; (error = create_once(words[0], &request)) != 0 &&
	     !(error == ERR_TOPIC_ALREADY_EXISTS && tries > 0); tries++) {
		if (error != ERR_NOT_CONTROLLER ||
		    now_ns() - began > GIVE_UP_NS)
			refused("CreateTopics", error);
		rest_ms(5);
	}
	printf("seconds=%.4f at_ns=%" PRId64 "\n",
	    (double)(now_ns() - began) / 1e9, now_ns());
	return (0);
}

static int
command_led(char **words)
{
	const int64_t began = now_ns();
	const long count = number_of(words[2]);
	/* An answer of all topics costs the broker something. */
	const long rest = strcmp(words[1], "*") == 0 ? 50 : 2;
	struct topic topic = { .without = strcmp(words[3], "-1") == 0 ? -1 :
		(int32_t)number_of(words[3]) };
	struct client client = { .descriptor = -1 };

	for (; topic.led < count; rest_ms(rest)) {
		if (now_ns() - began > GIVE_UP_NS)
			fail("led");
		if (client.descriptor < 0 && !client_open(&client, words[0]))
			continue;
		topic.led = 0;
		if (client_metadata(&client, words[1], &topic) < 0)
			client_close(&client);
	}
	client_close(&client);
	printf("at_ns=%" PRId64 " led=%d\n", now_ns(), (int)topic.led);
	return (0);
}

static int
command_idle(char **words)
{
	const long count = number_of(words[1]);
	struct client client;

	for (long i = 0; i < count; i++)
		if (!client_open(&client, words[0]) ||
		    client_metadata(&client, NULL, NULL) < 1)
			fail("idle connection");
	printf("connections=%ld\n", count);
	(void)fflush(stdout);
	while (getchar() != EOF)
		continue;
	return (0);
}

static const struct command {
	const char *name;
	int words;
	int (*run)(char **words);
} commands[] = {
	{ "up", 1, command_up },
	{ "create", 4, command_create },
	{ "led", 4, command_led },
	{ "produce", 8, command_produce },
	{ "fetch", 2, command_fetch },
	{ "paced", 5, command_paced },
	{ "idle", 2, command_idle },
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (argc > 2 && strcmp(argv[1], commands[i].name) == 0 &&
		    argc - 2 == commands[i].words)
			return (commands[i].run(argv + 2));
	fprintf(stderr, "usage: see the head of tests/bench/load.c\n");
	return (2);
}
