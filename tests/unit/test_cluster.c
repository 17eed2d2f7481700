/* SPDX-License-Identifier: Apache-2.0 */
/* Images from UpdateMetadata, their publication, and topic names. */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cluster/cluster_int.h"
#include "cluster/configs_int.h"
#include "unit.h"

typedef struct update_metadata_request_partition_state state;

static int32_t one_two_three[] = { 1, 2, 3 };

static state
state_of(const char *topic, int32_t partition, int32_t leader, int32_t epoch)
{
	state s;

	memset(&s, 0, sizeof(s));
	s.topic_name = slice_of_text(topic);
	s.partition_index = partition;
	s.leader = leader;
	s.leader_epoch = epoch;
	s.zk_version = epoch;
	s.replicas = s.isr = one_two_three;
	s.replicas_count = 3;
	s.isr_count = 2;
	s.offline_replicas = one_two_three + 2;
	s.offline_replicas_count = 1;
	return (s);
}

static struct uuid
id_of(uint8_t n)
{
	return ((struct uuid){ { n, 1 } });
}

static struct update_metadata_request
request_of(struct update_metadata_request_topic_state *topics, int32_t count)
{
	struct update_metadata_request request;

	wire_init(&message_update_metadata_request, &request);
	request.controller_id = 7;
	request.controller_epoch = 3;
	request.topic_states = topics;
	request.topic_states_count = count;
	return (request);
}

static struct update_metadata_request_topic_state
topic_of(const char *name, struct uuid id, state *states, int32_t count)
{
	return ((struct update_metadata_request_topic_state){
	    .topic_name = slice_of_text(name), .topic_id = id,
	    .partition_states = states, .partition_states_count = count });
}

static struct image *
next(struct image *image, const struct update_metadata_request *request)
{
	struct image *after = image_after(image, request);

	CU_ASSERT_PTR_NOT_NULL_FATAL(after);
	cluster_image_unref(&image->image);
	return (after);
}

static void
test_grouped(void)
{
	state states[] = { state_of("", 2, 1, 5), state_of("", 0, 2, 6) };
	struct update_metadata_request_topic_state topics[] = {
		topic_of("a", id_of(1), states, 2),
		topic_of("__consumer_offsets", id_of(2), states, 1),
	};
	struct update_metadata_request request = request_of(topics, 2);
	struct image *image = image_new_empty();
	const struct cluster_topic *a;
	const struct cluster_partition *p;

	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.controller_id, 7);
	CU_ASSERT_EQUAL(image->image.controller_epoch, 3);
	CU_ASSERT_EQUAL(image->image.topic_count, 2);
	CU_ASSERT_EQUAL(image->image.partition_count, 3);
	a = image_topic(&image->image, SLICE_LITERAL("a"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT(!a->internal);
	CU_ASSERT_STRING_EQUAL(a->name, "a");
	CU_ASSERT_PTR_EQUAL(image_topic_by_id(&image->image, id_of(1)), a);
	CU_ASSERT_PTR_NULL(image_topic_by_id(&image->image, id_of(9)));
	CU_ASSERT_PTR_NULL(image_topic_by_id(&image->image, UUID_ZERO));
	CU_ASSERT_PTR_NULL(image_topic(&image->image, SLICE_LITERAL("b")));
	CU_ASSERT_EQUAL(a->partition_count, 2);
	CU_ASSERT_EQUAL(a->partitions[0].partition, 0);
	CU_ASSERT_PTR_NULL(topic_partition(a, 1));
	CU_ASSERT_PTR_NULL(topic_partition(a, -1));
	p = topic_partition(a, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(p->leader, 1);
	CU_ASSERT_EQUAL(p->leader_epoch, 5);
	CU_ASSERT_EQUAL(p->replica_count, 3);
	CU_ASSERT_EQUAL(p->isr_count, 2);
	CU_ASSERT_EQUAL(p->offline[0], 3);
	CU_ASSERT(image_topic(&image->image,
	    SLICE_LITERAL("__consumer_offsets"))->internal);
	cluster_image_unref(&image->image);
}

/* Merging keeps what is not told; -2 removes; older images stay as they are. */
static void
test_merge(void)
{
	state first[] = { state_of("", 0, 1, 1), state_of("", 1, 1, 1) };
	state second[] = { state_of("", 1, 2, 2),
		state_of("", 0, LEADER_DELETING, 0) };
	state third[] = { state_of("", 1, LEADER_DELETING, 0) };
	struct update_metadata_request_topic_state topic =
	    topic_of("a", id_of(1), first, 2);
	struct update_metadata_request request = request_of(&topic, 1);
	struct image *empty = image_new_empty(), *one, *two, *three;
	const struct cluster_topic *a;

	one = image_after(empty, &request);
	/* Without an id (v6 and older) the known one stays. */
	topic = topic_of("a", UUID_ZERO, second, 2);
	two = image_after(one, &request);
	a = image_topic_by_id(&two->image, id_of(1));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(a->partition_count, 1);
	CU_ASSERT_EQUAL(a->partitions[0].partition, 1);
	CU_ASSERT_EQUAL(a->partitions[0].leader, 2);
	topic = topic_of("a", id_of(1), third, 1);
	three = image_after(two, &request);
	CU_ASSERT_EQUAL(three->image.topic_count, 0);
	CU_ASSERT_EQUAL(three->image.partition_count, 0);
	CU_ASSERT_PTR_NULL(image_topic(&three->image, SLICE_LITERAL("a")));
	CU_ASSERT_PTR_NULL(image_topic_by_id(&three->image, id_of(1)));
	cluster_image_unref(&three->image);
	cluster_image_unref(&two->image);
	a = image_topic(&one->image, SLICE_LITERAL("a"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(a->partition_count, 2);
	CU_ASSERT_EQUAL(a->partitions[1].leader, 1);
	CU_ASSERT_EQUAL(empty->image.topic_count, 0);
	cluster_image_unref(&one->image);
	cluster_image_unref(&empty->image);
}

/* Brokers alone are no news of topics. */
static void
test_untold(void)
{
	state many[] = { state_of("", 0, 1, 1) };
	struct update_metadata_request_topic_state topic =
	    topic_of("a", id_of(1), many, 1);
	struct update_metadata_request request = request_of(&topic, 0);
	struct image *image = image_new_empty();

	CU_ASSERT_FALSE(image->image.untold);
	image->image.untold = true;
	image = next(image, &request);
	CU_ASSERT_TRUE(image->image.untold);
	request.topic_states_count = 1;
	image = next(image, &request);
	CU_ASSERT_FALSE(image->image.untold);
	request.topic_states_count = 0;
	image = next(image, &request);
	CU_ASSERT_FALSE(image->image.untold);
	cluster_image_unref(&image->image);
}

/* The same name with another id is another topic. */
static void
test_recreated(void)
{
	state many[] = { state_of("", 0, 1, 1), state_of("", 1, 1, 1) };
	state end = state_of("", 0, LEADER_DELETING, 0);
	struct update_metadata_request_topic_state topic =
	    topic_of("a", id_of(1), many, 2);
	struct update_metadata_request request = request_of(&topic, 1);
	struct image *image = image_new_empty();

	image = next(image, &request);
	topic = topic_of("a", id_of(2), many, 1);
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.partition_count, 1);
	CU_ASSERT_PTR_NULL(image_topic_by_id(&image->image, id_of(1)));
	CU_ASSERT_PTR_NOT_NULL(image_topic_by_id(&image->image, id_of(2)));
	/* The old one's end comes late. */
	topic = topic_of("a", id_of(1), &end, 1);
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.partition_count, 1);
	CU_ASSERT_PTR_NOT_NULL(image_topic_by_id(&image->image, id_of(2)));
	topic = topic_of("a", id_of(2), &end, 1);
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.topic_count, 0);
	cluster_image_unref(&image->image);
}

/* What is told in full replaces all. */
static void
test_full(void)
{
	state states[] = { state_of("", 0, 1, 1), state_of("", 1, 1, 1) };
	struct update_metadata_request_topic_state topics[] = {
		topic_of("a", id_of(1), states, 2),
		topic_of("b", id_of(2), states, 1),
	};
	struct update_metadata_request request = request_of(topics, 2);
	struct image *image = image_new_empty();

	image = next(image, &request);
	topics[0].partition_states_count = 1;
	request = request_of(topics, 1);
	request.type = UPDATE_METADATA_FULL;
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.topic_count, 1);
	CU_ASSERT_EQUAL(image->image.partition_count, 1);
	CU_ASSERT_PTR_NULL(image_topic(&image->image, SLICE_LITERAL("b")));
	CU_ASSERT_PTR_NULL(image_topic_by_id(&image->image, id_of(2)));
	/* And goes on from there. */
	request = request_of(topics, 2);
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.topic_count, 2);
	cluster_image_unref(&image->image);
}

static void
test_ungrouped(void)
{
	state states[] = { state_of("b", 0, 1, 1), state_of("a", 1, 1, 1),
		state_of("b", 1, 2, 1), state_of("a", 0, 3, 1),
		state_of("a", 1, 2, 9) };
	struct update_metadata_request request = request_of(NULL, 0);
	struct image *image = image_new_empty();
	const struct cluster_topic *a, *b;

	request.ungrouped_partition_states = states;
	request.ungrouped_partition_states_count = 5;
	image = next(image, &request);
	a = image_topic(&image->image, SLICE_LITERAL("a"));
	b = image_topic(&image->image, SLICE_LITERAL("b"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_EQUAL(a->partition_count, 2);
	/* Told twice: the later one counts. */
	CU_ASSERT_EQUAL(a->partitions[1].leader_epoch, 9);
	CU_ASSERT_EQUAL(b->partitions[1].leader, 2);
	CU_ASSERT(uuid_is_zero(b->id));
	cluster_image_unref(&image->image);
}

static void
test_brokers(void)
{
	struct update_metadata_request_endpoint endpoints[] = {
		{ .port = 1, .host = SLICE_LITERAL("h1"),
		    .listener = SLICE_LITERAL("REPL"), .security_protocol = 1 },
		{ .port = 2, .host = SLICE_LITERAL("h2"),
		    .listener = SLICE_EMPTY, .security_protocol = 0 },
	};
	struct update_metadata_request_live_broker brokers[] = {
		{ .id = 5, .endpoints = endpoints, .endpoints_count = 2,
		    .rack = SLICE_LITERAL("r1") },
		{ .id = 2, .v0_host = SLICE_LITERAL("old"), .v0_port = 9092 },
	};
	struct update_metadata_request request = request_of(NULL, 0);
	struct image *image = image_new_empty();
	const struct cluster_broker *broker;

	request.live_brokers = brokers;
	request.live_brokers_count = 2;
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.broker_count, 2);
	CU_ASSERT_EQUAL(image->image.brokers[0]->id, 2);
	broker = image_broker(&image->image, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(broker);
	CU_ASSERT_PTR_NULL(broker->rack);
	CU_ASSERT_STRING_EQUAL(broker_endpoint(broker, "PLAINTEXT")->host,
	    "old");
	broker = image_broker(&image->image, 5);
	CU_ASSERT_PTR_NOT_NULL_FATAL(broker);
	CU_ASSERT_STRING_EQUAL(broker->rack, "r1");
	CU_ASSERT_EQUAL(broker_endpoint(broker, "REPL")->port, 1);
	CU_ASSERT_EQUAL(broker_endpoint(broker, "PLAINTEXT")->port, 2);
	CU_ASSERT_PTR_NULL(broker_endpoint(broker, "SSL"));
	CU_ASSERT_PTR_NULL(image_broker(&image->image, 3));
	/* The next one brings all that live. */
	request.live_brokers_count = 1;
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.broker_count, 1);
	CU_ASSERT_PTR_NULL(image_broker(&image->image, 2));
	cluster_image_unref(&image->image);
}

static bool
count_topic(void *arg, const struct cluster_topic *topic)
{
	(void)topic;
	return (++*(size_t *)arg != 300);
}

/* Buckets by name ascend: who names topics may choose whose bucket they come
 * into, and each look-up would walk it. */
static bool
buckets_ascend(const struct image *image)
{
	for (size_t b = 0; b < IMAGE_BUCKETS; b++) {
		const struct image_bucket *bucket = image->buckets.by_name[b];

		for (size_t i = 1; bucket != NULL && i < bucket->count; i++)
			if (strcmp(bucket->topics[i - 1]->topic.name,
				bucket->topics[i]->topic.name) >= 0)
				return (false);
	}
	return (true);
}

/* More topics than buckets; then every second one goes. */
static void
test_many(void)
{
	enum { TOPICS = 5000 };
	struct update_metadata_request_topic_state *topics =
	    mem_zalloc(TOPICS * sizeof(*topics));
	char (*names)[16] = mem_zalloc(TOPICS * sizeof(*names));
	state live = state_of("", 0, 1, 1);
	state gone = state_of("", 0, LEADER_DELETING, 0);
	struct update_metadata_request request = request_of(topics, TOPICS);
	struct image *image = image_new_empty();
	size_t seen = 0;

	for (int i = 0; i < TOPICS; i++) {
		struct uuid id = { { 9, (uint8_t)i, (uint8_t)(i >> 8) } };

		snprintf(names[i], sizeof(names[i]), "topic-%d", i);
		topics[i] = topic_of(names[i], id, &live, 1);
	}
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.topic_count, TOPICS);
	CU_ASSERT(buckets_ascend(image));
	for (int i = 0; i < TOPICS; i += 2)
		topics[i].partition_states = &gone;
	image = next(image, &request);
	CU_ASSERT_EQUAL(image->image.topic_count, TOPICS / 2);
	CU_ASSERT(buckets_ascend(image));
	for (int i = 0; i < TOPICS; i++) {
		bool there = image_topic(&image->image,
		    slice_of_text(names[i])) != NULL;

		if (there != (i % 2 == 1) ||
		    (image_topic_by_id(&image->image, topics[i].topic_id) !=
			NULL) != there)
			CU_FAIL("a topic is where it should not be");
	}
	image_each_topic(&image->image, count_topic, &seen);
	CU_ASSERT_EQUAL(seen, 300);
	cluster_image_unref(&image->image);
	mem_free(names);
	mem_free(topics);
}

/* --- publication ---------------------------------------------------------- */

struct waiting {
	struct cluster *cluster;
	struct cluster_update *update;
	struct waitq_link link;
	bool seen;
};

static enum verdict
wait_topic(struct task *t)
{
	struct waiting *w = *(struct waiting **)task_state(t);

	waitq_join(cluster_changed(w->cluster), &w->link, t);
	if (image_topic(cluster_image(w->cluster), SLICE_LITERAL("a")) == NULL)
		return (STEP_WAIT);
	waitq_leave(cluster_changed(w->cluster), &w->link);
	w->seen = true;
	return (STEP_DONE);
}

static enum verdict
wait_update(struct task *t)
{
	struct waiting *w = *(struct waiting **)task_state(t);

	if (!cluster_update_done(w->update))
		return (STEP_WAIT);
	w->seen = true;
	return (STEP_DONE);
}

static void
set_waiting(struct task *task, void *arg)
{
	*(struct waiting **)task_state(task) = arg;
}

static const struct task_class waiting_class = {
	.name = "waiting", .state_size = sizeof(struct waiting *) };

static void
publish_with(uint64_t seed)
{
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loops[3];
	struct waiting topic = { 0 }, update = { 0 };
	state states[] = { state_of("", 0, 1, 1) };
	struct update_metadata_request_topic_state t =
	    topic_of("a", id_of(1), states, 1);
	struct update_metadata_request request = request_of(&t, 1);
	struct cluster *cluster;

	clock_virtual_init(&clock, 1000000);
	scheduler = scheduler_new_replay(&clock, seed);
	for (int i = 0; i < 3; i++) {
		loops[i] = loop_new(scheduler, "l");
		loop_start(loops[i]);
	}
	cluster = cluster_new(&(struct cluster_setup){ .loops = loops,
	    .loop_count = 3, .cluster_id = "c", .broker_id = 1 });
	topic.cluster = update.cluster = cluster;
	task_start(loops[2], &waiting_class, wait_topic, set_waiting, &topic);
	scheduler_run_until(scheduler, 1);
	CU_ASSERT(!topic.seen);
	update.update = cluster_update(cluster, &request,
	    task_ref(task_start(loops[0], &waiting_class, wait_update,
	    set_waiting, &update)));
	CU_ASSERT(!cluster_update_done(update.update));
	scheduler_run_until(scheduler, 2);
	CU_ASSERT(topic.seen);
	CU_ASSERT(update.seen);
	CU_ASSERT(cluster_update_done(update.update));
	cluster_update_free(&update.update);
	for (int i = 0; i < 3; i++) {
		loop_stop(loops[i]);
		loop_free(loops[i]);
	}
	cluster_free(&cluster);
	scheduler_free(scheduler);
}

static void
test_publish(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		publish_with(seed);
}

static bool
knows(const struct cluster_image *image, const char *name)
{
	return (image_topic(image, slice_of_text(name)) != NULL);
}

/* Who begins a request has the newest image before the posts are through; what
 * it had before stays valid meanwhile, and no post brings an older one back. */
static void
test_catch_up(void)
{
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loops[2];
	state states[] = { state_of("", 0, 1, 1) };
	struct update_metadata_request_topic_state a =
	    topic_of("a", id_of(1), states, 1);
	struct update_metadata_request_topic_state b =
	    topic_of("b", id_of(2), states, 1);
	struct update_metadata_request first = request_of(&a, 1);
	struct update_metadata_request second = request_of(&b, 1);
	struct cluster_update *updates[2];
	const struct cluster_image *seen[3];
	struct cluster *cluster;

	clock_virtual_init(&clock, 1000000);
	scheduler = scheduler_new_replay(&clock, 1);
	for (int i = 0; i < 2; i++) {
		loops[i] = loop_new(scheduler, "l");
		loop_start(loops[i]);
	}
	cluster = cluster_new(&(struct cluster_setup){ .loops = loops,
	    .loop_count = 2, .cluster_id = "c", .broker_id = 1 });
	seen[0] = cluster_image(cluster);
	updates[0] = cluster_update(cluster, &first, (struct task_ref){ 0 });
	CU_ASSERT_PTR_EQUAL(cluster_image(cluster), seen[0]);
	cluster_catch_up(cluster);
	seen[1] = cluster_image(cluster);
	CU_ASSERT(knows(seen[1], "a") && !knows(seen[1], "b"));
	updates[1] = cluster_update(cluster, &second, (struct task_ref){ 0 });
	cluster_catch_up(cluster);
	seen[2] = cluster_image(cluster);
	CU_ASSERT(knows(seen[2], "a") && knows(seen[2], "b"));
	CU_ASSERT(!knows(seen[0], "a"));
	CU_ASSERT(knows(seen[1], "a") && !knows(seen[1], "b"));
	cluster_catch_up(cluster);
	CU_ASSERT_PTR_EQUAL(cluster_image(cluster), seen[2]);
	CU_ASSERT(!cluster_update_done(updates[0]));
	scheduler_run_until(scheduler, 1);
	CU_ASSERT_PTR_EQUAL(cluster_image(cluster), seen[2]);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(cluster_update_done(updates[i]));
		cluster_update_free(&updates[i]);
	}
	for (int i = 0; i < 2; i++) {
		loop_stop(loops[i]);
		loop_free(loops[i]);
	}
	cluster_free(&cluster);
	scheduler_free(scheduler);
}

/* What memory cannot hold is refused, said so, and changes nothing. */
static void
test_refused(void)
{
	struct update_metadata_request_live_broker broker = { .id = 1 };
	struct update_metadata_request_endpoint endpoint = { .port = 1 };
	struct update_metadata_request request = request_of(NULL, 0);
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loop;
	struct cluster_update *update;
	struct cluster *cluster;
	size_t size = ARENA_DEFAULT_LIMIT + 1;
	char *host = mem_zalloc(size);

	clock_virtual_init(&clock, 1000000);
	scheduler = scheduler_new_replay(&clock, 1);
	loop = loop_new(scheduler, "l");
	loop_start(loop);
	cluster = cluster_new(&(struct cluster_setup){ .loops = &loop,
	    .loop_count = 1, .cluster_id = "c", .broker_id = 1 });
	endpoint.host = slice_of(host, size);
	broker.endpoints = &endpoint;
	broker.endpoints_count = 1;
	request.live_brokers = &broker;
	request.live_brokers_count = 1;
	update = cluster_update(cluster, &request,
	    (struct task_ref){ NULL, 0 });
	CU_ASSERT(cluster_update_done(update));
	CU_ASSERT(cluster_update_failed(update));
	cluster_update_free(&update);
	scheduler_run_until(scheduler, 1);
	CU_ASSERT_EQUAL(cluster_image(cluster)->controller_id, -1);
	loop_stop(loop);
	loop_free(loop);
	cluster_free(&cluster);
	scheduler_free(scheduler);
	mem_free(host);
}

/* Readers on threads of their own, while images follow one another. */
struct reader {
	struct cluster *cluster;
	struct waitq_link link;
	int32_t last;
	bool eager; /* does not wait for posts */
	atomic_bool over;
	bool back; /* an older image came after a newer one */
};

static enum verdict
read_epochs(struct task *t)
{
	struct reader *r = *(struct reader **)task_state(t);
	const struct cluster_image *image;

	waitq_join(cluster_changed(r->cluster), &r->link, t);
	if (r->eager)
		cluster_catch_up(r->cluster);
	image = cluster_image(r->cluster);
	r->back = r->back || image->controller_epoch < r->last;
	r->last = image->controller_epoch;
	if (r->last < 200)
		return (STEP_WAIT);
	waitq_leave(cluster_changed(r->cluster), &r->link);
	atomic_store(&r->over, true);
	return (STEP_DONE);
}

static void
set_reader(struct task *task, void *arg)
{
	*(struct reader **)task_state(task) = arg;
}

static const struct task_class reader_class = {
	.name = "reader", .state_size = sizeof(struct reader *) };

struct reader_start {
	struct loop *loop;
	struct reader *reader;
};

static void
start_reader(void *arg)
{
	struct reader_start *start = arg;

	task_start(start->loop, &reader_class, read_epochs, set_reader,
	    start->reader);
}

static void
test_threads(void)
{
	struct scheduler *scheduler = scheduler_new_threads(clock_system(), 1,
	    NULL);
	struct loop *loops[3];
	struct reader readers[3] = { 0 };
	struct reader_start starts[3];
	state states[] = { state_of("", 0, 1, 1) };
	struct update_metadata_request_topic_state t =
	    topic_of("a", id_of(1), states, 1);
	struct update_metadata_request request = request_of(&t, 1);
	struct cluster *cluster;

	for (int i = 0; i < 3; i++)
		loops[i] = loop_new(scheduler, "l");
	cluster = cluster_new(&(struct cluster_setup){ .loops = loops,
	    .loop_count = 3 });
	for (int i = 0; i < 3; i++) {
		readers[i].cluster = cluster;
		readers[i].eager = i == 0;
		starts[i].loop = loops[i];
		starts[i].reader = &readers[i];
		loop_post_call(loops[i], start_reader, &starts[i]);
		loop_start(loops[i]);
	}
	for (int32_t epoch = 1; epoch <= 200; epoch++) {
		struct cluster_update *update;

		request.controller_epoch = epoch;
		states[0].leader_epoch = epoch;
		update = cluster_update(cluster, &request,
		    (struct task_ref){ NULL, 0 });
		cluster_update_free(&update);
	}
	for (int i = 0; i < 3; i++)
		while (!atomic_load(&readers[i].over))
			(void)usleep(1000);
	for (int i = 0; i < 3; i++) {
		loop_stop(loops[i]);
		CU_ASSERT(!readers[i].back);
		CU_ASSERT_EQUAL(readers[i].last, 200);
	}
	for (int i = 0; i < 3; i++)
		loop_free(loops[i]);
	cluster_free(&cluster);
	scheduler_free(scheduler);
}

/* --- names ---------------------------------------------------------------- */

static void
test_names(void)
{
	char longest[251];
	const char *why;

	memset(longest, 'x', sizeof(longest));
	CU_ASSERT(topic_name_valid(SLICE_LITERAL("a.B_9-"), &why));
	CU_ASSERT(topic_name_valid(slice_of(longest, 249), &why));
	CU_ASSERT(!topic_name_valid(slice_of(longest, 250), &why));
	CU_ASSERT(!topic_name_valid(SLICE_EMPTY, &why));
	CU_ASSERT_STRING_EQUAL(why, "the empty string is not allowed");
	CU_ASSERT(!topic_name_valid(SLICE_NULL, &why));
	CU_ASSERT(!topic_name_valid(SLICE_LITERAL("."), &why));
	CU_ASSERT(!topic_name_valid(SLICE_LITERAL(".."), &why));
	CU_ASSERT(topic_name_valid(SLICE_LITERAL("..."), &why));
	CU_ASSERT(!topic_name_valid(SLICE_LITERAL("a b"), &why));
	CU_ASSERT(!topic_name_valid(SLICE_LITERAL("a/b"), &why));
	CU_ASSERT(topic_names_collide(SLICE_LITERAL("a.b_c"),
	    SLICE_LITERAL("a_b.c")));
	CU_ASSERT(!topic_names_collide(SLICE_LITERAL("a.b"),
	    SLICE_LITERAL("a-b")));
	CU_ASSERT(!topic_names_collide(SLICE_LITERAL("a.b"),
	    SLICE_LITERAL("a.bc")));
	CU_ASSERT(topic_name_internal(SLICE_LITERAL("__transaction_state")));
	CU_ASSERT(!topic_name_internal(SLICE_LITERAL("__other")));
}

/* --- configs -------------------------------------------------------------- */

static void
take_read(struct configs *configs, const char *json, int64_t mzxid)
{
	struct zk_op op = { .kind = ZK_OP_GET, .rc = ZK_OK,
		.answer = slice_of_text(json), .stat.mzxid = mzxid };

	CU_ASSERT(configs_take(configs, "t", &op));
}

static void
expect_retention(struct configs *configs, int64_t retention_ms)
{
	const struct topic_config *config = configs_topic(configs, "t");

	CU_ASSERT_EQUAL(config->options->retention_ms, retention_ms);
	topic_config_unref(config);
}

/* What was read before this broker's own write, and arrives after it, does not
 * undo it. */
static void
test_overtaken_config(void)
{
	static const char five[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"5\"}}";
	static const char six[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"6\"}}";
	struct config *config = config_new();
	struct configs *configs;

	CU_ASSERT_FATAL(config_read(config, SLICE_LITERAL(
	    "zookeeper.connect=localhost\nbroker.id=1\n")));
	CU_ASSERT_FATAL(config_resolve(config));
	configs = configs_new(&(struct configs_setup){ .config = config });
	take_read(configs, five, 10);
	expect_retention(configs, 5);
	take_read(configs, six, 9);
	expect_retention(configs, 5);
	take_read(configs, six, 11);
	expect_retention(configs, 6);
	/* The same again, but newer. */
	take_read(configs, six, 20);
	take_read(configs, five, 15);
	expect_retention(configs, 6);
	/* Nobody says of when it is. */
	take_read(configs, five, 0);
	expect_retention(configs, 5);
	configs_free(&configs);
	config_free(&config);
}

static const struct unit_test tests[] = {
	{ "image: grouped", test_grouped },
	{ "image: merge, removal, older images", test_merge },
	{ "image: untold", test_untold },
	{ "image: another id", test_recreated },
	{ "image: in full", test_full },
	{ "image: ungrouped", test_ungrouped },
	{ "image: brokers", test_brokers },
	{ "image: many topics", test_many },
	{ "publication", test_publish },
	{ "publication: ahead of the posts", test_catch_up },
	{ "publication: refused", test_refused },
	{ "publication: threads", test_threads },
	{ "names", test_names },
	{ "a config that was overtaken", test_overtaken_config },
};

int
main(void)
{
	return (unit_main("cluster", tests, nelems(tests)));
}
