/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas that are stopped and deleted, and records that are, in replay and
 * with threads. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/topic.h"
#include "replica/delete_records.h"
#include "replica/move_int.h"
#include "replica_rig.h"

#define TOPIC SLICE_LITERAL(RIG_TOPIC)

/* --- a StopReplica -------------------------------------------------------- */

struct stopping {
	struct replica_rig *rig;
	int version;
	int32_t partition;
	int32_t epoch;
	int32_t controller_epoch;
	int64_t broker_epoch;
	bool deletes;
	struct arena arena;
	struct stop_replica_request request;
	struct stop_replica_response response;
	struct replicas_stop_order *order;
	bool done;
};

static task_step stopping_apply, stopping_applied;

static void
stopping_setup(struct task *task, void *arg)
{
	*(struct stopping **)task_state(task) = arg;
}

static enum verdict
stopping_apply(struct task *t)
{
	struct stopping *s = *(struct stopping **)task_state(t);

	wire_init(&message_stop_replica_response, &s->response);
	s->order = replicas_stop_replica(s->rig->replicas, &s->request,
	    s->version, 10, &s->arena, &s->response, task_ref(t));
	return (task_next(t, stopping_applied));
}

static enum verdict
stopping_applied(struct task *t)
{
	struct stopping *s = *(struct stopping **)task_state(t);

	if (!replicas_stop_order_done(s->order))
		return (STEP_WAIT);
	replicas_stop_order_free(&s->order);
	s->done = true;
	if (s->rig->threads)
		gate_open(&s->rig->gate);
	return (STEP_DONE);
}

static const struct task_class stopping_class = {
	.name = "stopping",
	.state_size = sizeof(struct stopping *),
};

static void
stopping_begin(void *arg)
{
	struct stopping *s = arg;

	task_start(s->rig->loops[0], &stopping_class, stopping_apply,
	    stopping_setup, s);
}

/* The top-level error, or else the partition's. */
static enum error
stop(struct replica_rig *rig, struct stopping s)
{
	struct stop_replica_request_partition_state state = {
		.partition_index = s.partition,
		.leader_epoch = s.epoch,
		.delete_partition = s.deletes,
	};
	struct stop_replica_request_topic_state topic_state = {
		TOPIC, &state, 1 };
	struct stop_replica_request_topic topic = { TOPIC, &s.partition, 1 };
	struct stop_replica_request_ungrouped_partition ungrouped = { TOPIC,
		s.partition };
	enum error error;

	s.rig = rig;
	arena_init(&s.arena, 0);
	wire_init(&message_stop_replica_request, &s.request);
	s.request.controller_epoch =
	    s.controller_epoch == 0 ? 1 : s.controller_epoch;
	s.request.broker_epoch = s.broker_epoch == 0 ? -1 : s.broker_epoch;
	s.request.delete_partitions = s.deletes;
	if (s.version >= 3) {
		s.request.topic_states = &topic_state;
		s.request.topic_states_count = 1;
	} else if (s.version >= 1) {
		s.request.topics = &topic;
		s.request.topics_count = 1;
	} else {
		s.request.ungrouped_partitions = &ungrouped;
		s.request.ungrouped_partitions_count = 1;
	}
	loop_post_call(rig->loops[0], stopping_begin, &s);
	if (rig->threads)
		gate_await(&rig->gate);
	else
		CHECK(scheduler_run_while_not(rig->scheduler, &s.done,
		    INT64_MAX / 4));
	error = (enum error)s.response.error_code;
	if (error == ERR_NONE) {
		CU_ASSERT_EQUAL_FATAL(s.response.partition_errors_count, 1);
		CU_ASSERT_EQUAL(s.response.partition_errors[0].partition_index,
		    s.partition);
		error = (enum error)
		    s.response.partition_errors[0].error_code;
	} else {
		CU_ASSERT_EQUAL(s.response.partition_errors_count, 0);
	}
	arena_fini(&s.arena);
	return (error);
}

static bool
hosted(struct replica_rig *rig, int32_t partition)
{
	struct replica *replica = replicas_find(rig->replicas, TOPIC,
	    partition);

	if (replica != NULL)
		replica_unref(replica);
	return (replica != NULL);
}

static bool
stored(struct replica_rig *rig, int32_t partition)
{
	struct log *log = storage_find(rig->storage, RIG_TOPIC, partition);

	if (log != NULL)
		log_unref(log);
	return (log != NULL);
}

static void
test_stop_epochs(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	for (int version = 0; version <= 4; version++) {
		CU_ASSERT_EQUAL(stop(&rig, (struct stopping){
		    .version = version, .epoch = -1, .broker_epoch = 9 }),
		    ERR_STALE_BROKER_EPOCH);
		CU_ASSERT_EQUAL(stop(&rig, (struct stopping){
		    .version = version, .epoch = -1, .broker_epoch = 10 }),
		    ERR_NONE);
	}
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 5, .controller_epoch = 4 }), ERR_NONE);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 5, .controller_epoch = 3, .deletes = true }),
	    ERR_STALE_CONTROLLER_EPOCH);
	CU_ASSERT_FALSE(replicas_accept_controller_epoch(rig.replicas, 3));
	/* The leader epoch here is 5. */
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 4, .controller_epoch = 4, .deletes = true }),
	    ERR_FENCED_LEADER_EPOCH);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -3, .controller_epoch = 4, .deletes = true }),
	    ERR_FENCED_LEADER_EPOCH);
	CU_ASSERT(rig_view(&rig).leads);
	CU_ASSERT(stored(&rig, 0));
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -2, .controller_epoch = 4, .deletes = true }), ERR_NONE);
	CU_ASSERT_FALSE(hosted(&rig, 0));
	CU_ASSERT_FALSE(stored(&rig, 0));
	/* What is not here is stopped already. */
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 0, .controller_epoch = 4, .deletes = true }), ERR_NONE);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .partition = -7, .controller_epoch = 4, .deletes = true }),
	    ERR_NONE);
	CU_ASSERT_FALSE(hosted(&rig, 0));
	replica_rig_fini(&rig);
}

/* Old versions know no epochs; a log without a role is deleted as well. */
static void
test_stop_forms(void)
{
	struct replica_rig rig;

	for (int version = 0; version <= 4; version++) {
		replica_rig_init(&rig, false, NULL);
		replica_rig_lead(&rig, 1, 1);
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
		CU_ASSERT_EQUAL(stop(&rig, (struct stopping){
		    .version = version, .epoch = 5 }), ERR_NONE);
		CU_ASSERT(rig_view(&rig).leads);
		replica_rig_restart(&rig);
		CU_ASSERT_FALSE(hosted(&rig, 0));
		CU_ASSERT(stored(&rig, 0));
		CU_ASSERT_EQUAL(stop(&rig, (struct stopping){
		    .version = version, .deletes = true }), ERR_NONE);
		CU_ASSERT_FALSE(hosted(&rig, 0));
		CU_ASSERT_FALSE(stored(&rig, 0));
		CU_ASSERT(storage_never_had(rig.storage, RIG_TOPIC, 0));
		replica_rig_fini(&rig);
	}
}

/* --- what waits ----------------------------------------------------------- */

/* The image without the topic, as UpdateMetadata brings it before. */
static void
stop_with_waiters(bool in_image)
{
	enum error wanted = in_image ? ERR_NOT_LEADER_OR_FOLLOWER :
				       ERR_UNKNOWN_TOPIC_OR_PARTITION;
	struct replica_rig rig;
	struct rig_produce produce;
	struct rig_fetch fetch, follower;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	rig_produce_init(&produce, &rig, -1);
	produce.loop = 1;
	produce.produce.timeout_ms = 50000;
	rig_produce_start(&produce);
	/* A consumer that may read of followers, and one of those. */
	rig_fetch_init(&fetch, &rig, 0);
	fetch.loop = 2;
	fetch.fetch.max_wait_ms = 50000;
	fetch.fetch.may_read_follower = true;
	rig_fetch_start(&fetch);
	rig_fetch_init(&follower, &rig, 0);
	follower.fetch.replica_id = 2;
	follower.parts[0].log_start_offset = 0;
	follower.parts[0].fetch_offset = 1;
	follower.fetch.max_wait_ms = 50000;
	follower.fetch.min_bytes = 1000000;
	replica_rig_pass(&rig, 100);
	CU_ASSERT_FALSE(produce.done);
	CU_ASSERT_FALSE(fetch.done);
	if (!in_image)
		replica_rig_image(&rig, RIG_TOPIC, 4, -2);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -2, .deletes = true }), ERR_NONE);
	CU_ASSERT(rig_produce_await(&produce, 100));
	CU_ASSERT_EQUAL(produce.part.error, wanted);
	CU_ASSERT(rig_fetch_await(&fetch, 100));
	CU_ASSERT_EQUAL(fetch.parts[0].error, wanted);
	rig_produce_fini(&produce);
	rig_fetch_fini(&fetch);
	rig_fetch_start(&follower);
	CU_ASSERT(rig_fetch_await(&follower, 100));
	CU_ASSERT_EQUAL(follower.parts[0].error, wanted);
	rig_fetch_fini(&follower);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), wanted);
	replica_rig_fini(&rig);
}

static void
test_stop_with_waiters(void)
{
	stop_with_waiters(true);
	stop_with_waiters(false);
}

/* --- followers, and what is made again ------------------------------------ */

static void
follow_begin(void *arg, struct replica *replica, int32_t leader,
    int32_t leader_epoch)
{
	(void)replica;
	(void)leader;
	(void)leader_epoch;
	*(int *)arg = 1;
}

static void
follow_end(void *arg, struct replica *replica)
{
	(void)replica;
	*(int *)arg = 0;
}

static void
test_stop_a_follower(void)
{
	static const struct follow_ops ops = { follow_begin, follow_end };
	struct replica_rig rig;
	int follows = 0;

	replica_rig_init(&rig, false, NULL);
	rig.replicas->follow = &ops;
	rig.replicas->follow_arg = &follows;
	replica_rig_image(&rig, RIG_TOPIC, 4, 2);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .leader = 2, .replica_count = 2 }), ERR_NONE);
	CU_ASSERT_EQUAL(follows, 1);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 5 }), ERR_NONE);
	CU_ASSERT_EQUAL(follows, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).leader, 2);
	CU_ASSERT(stored(&rig, 0));
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .leader = 2, .replica_count = 2, .old = true }),
	    ERR_NONE);
	CU_ASSERT_EQUAL(follows, 1);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 6, .deletes = true }), ERR_NONE);
	CU_ASSERT_EQUAL(follows, 0);
	CU_ASSERT_FALSE(hosted(&rig, 0));
	replica_rig_fini(&rig);
}

/* A new topic of the name: epochs, offsets and ids begin again. */
static void
test_made_again(void)
{
	struct replica_rig rig;
	struct replica *old;
	struct replica_view view;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 6);
	old = replicas_find(rig.replicas, TOPIC, 0);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -2, .deletes = true }), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 0, .topic_id = { { 7 } } }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 0);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, 1);
	/* Who still holds the old one finds it without a role. */
	replica_view(old, &view);
	CU_ASSERT_FALSE(view.leads);
	CU_ASSERT_EQUAL(view.leader_epoch, -1);
	replica_unref(old);
	replica_rig_fini(&rig);
}

static void
test_stop_storage_error(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	/* A full disk does not keep a topic from being deleted. */
	files_faulty_set(rig.files, "-checkpoint", FILE_CALL_WRITE, 0, 3,
	    ENOSPC);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -2, .deletes = true }), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 0 }), ERR_NONE);
	files_faulty_set(rig.files, "-delete", FILE_CALL_RENAME, 0, 1, EIO);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = -2, .deletes = true }), ERR_KAFKA_STORAGE_ERROR);
	replica_rig_fini(&rig);
}

/* --- deleting records ----------------------------------------------------- */

struct deleting {
	struct replica_rig *rig;
	struct delete_records delete;
	struct delete_records_part part;
	bool done;
};

static void
deleting_done(struct delete_records *delete)
{
	((struct deleting *)delete->owner)->done = true;
}

static void
deleting_run(void *arg)
{
	struct deleting *d = arg;

	d->delete = (struct delete_records){
		.replicas = d->rig->replicas,
		.loop = d->rig->loops[1],
		.parts = &d->part,
		.part_count = 1,
		.timeout_ms = 1000,
		.done = deleting_done,
		.owner = d,
	};
	delete_records_run(&d->delete);
}

static void
deleting_start(struct deleting *d, struct replica_rig *rig, int64_t offset)
{
	*d = (struct deleting){ .rig = rig };
	d->part.topic = TOPIC;
	d->part.offset = offset;
	replica_rig_on(rig, 1, deleting_run, d);
}

static enum error
delete_one(struct replica_rig *rig, int64_t offset, int64_t *low)
{
	struct deleting d;

	deleting_start(&d, rig, offset);
	CU_ASSERT(scheduler_run_while_not(rig->scheduler, &d.done,
	    INT64_MAX / 4));
	*low = d.part.low_watermark;
	return (d.part.error);
}

/* A follower's fetch that tells its log start. */
static void
follow_from(struct replica_rig *rig, int32_t follower, int64_t offset,
    int64_t start)
{
	struct rig_fetch f;

	rig_fetch_init(&f, rig, offset);
	f.fetch.replica_id = follower;
	f.fetch.max_wait_ms = 0;
	f.parts[0].log_start_offset = start;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	rig_fetch_fini(&f);
}

static void
test_delete_records(void)
{
	struct replica_rig rig;
	int64_t low;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 4, 1);
	CU_ASSERT_EQUAL(delete_one(&rig, 0, &low),
	    ERR_NOT_LEADER_OR_FOLLOWER);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(delete_one(&rig, 2, &low), ERR_NONE);
	CU_ASSERT_EQUAL(low, 2);
	CU_ASSERT_EQUAL(delete_one(&rig, 1, &low), ERR_NONE);
	CU_ASSERT_EQUAL(low, 2);
	CU_ASSERT_EQUAL(delete_one(&rig, 6, &low), ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT_EQUAL(low, -1);
	CU_ASSERT_EQUAL(delete_one(&rig, -2, &low), ERR_OFFSET_OUT_OF_RANGE);
	rig.configs.options.cleanup = CLEANUP_COMPACT;
	CU_ASSERT_EQUAL(delete_one(&rig, 3, &low), ERR_POLICY_VIOLATION);
	rig.configs.options.cleanup = CLEANUP_COMPACT | CLEANUP_DELETE;
	CU_ASSERT_EQUAL(delete_one(&rig, -1, &low), ERR_NONE);
	CU_ASSERT_EQUAL(low, 5);
	CU_ASSERT_EQUAL(rig_view(&rig).log_start_offset, 5);
	/* A crash would find it there: it is in the checkpoint. */
	replica_rig_restart(&rig);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_view(&rig).log_start_offset, 5);
	replica_rig_fini(&rig);
}

static void
test_delete_records_of_followers(void)
{
	struct replica_rig rig;
	struct deleting d;
	int64_t low;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 5, 10), ERR_NONE);
	/* Nothing is committed yet. */
	CU_ASSERT_EQUAL(delete_one(&rig, 3, &low), ERR_OFFSET_OUT_OF_RANGE);
	follow_from(&rig, 2, 5, 0);
	follow_from(&rig, 3, 5, 0);
	deleting_start(&d, &rig, 3);
	replica_rig_pass(&rig, 100);
	CU_ASSERT_FALSE(d.done);
	CU_ASSERT_EQUAL(rig_view(&rig).log_start_offset, 3);
	follow_from(&rig, 2, 5, 3);
	replica_rig_pass(&rig, 100);
	CU_ASSERT_FALSE(d.done);
	follow_from(&rig, 3, 5, 4);
	replica_rig_pass(&rig, 10);
	CU_ASSERT(d.done);
	CU_ASSERT_EQUAL(d.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(d.part.low_watermark, 3);
	/* Too late: how far it was at the beginning. */
	CU_ASSERT_EQUAL(delete_one(&rig, 5, &low), ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_EQUAL(low, 3);
	/* The asker goes; the leadership goes; the partition goes. */
	deleting_start(&d, &rig, 5);
	replica_rig_pass(&rig, 10);
	CU_ASSERT_FALSE(d.done);
	delete_records_abandon(&d.delete);
	replica_rig_pass(&rig, 10);
	CU_ASSERT(d.done);
	deleting_start(&d, &rig, 5);
	replica_rig_pass(&rig, 10);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .partition_epoch = 1, .leader = 2,
	    .replica_count = 3, .old = true }), ERR_NONE);
	replica_rig_pass(&rig, 10);
	CU_ASSERT(d.done);
	CU_ASSERT_EQUAL(d.part.error, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 7, .partition_epoch = 2, .replica_count = 3,
	    .old = true }), ERR_NONE);
	deleting_start(&d, &rig, 5);
	replica_rig_pass(&rig, 10);
	CU_ASSERT_FALSE(d.done);
	CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
	    .epoch = 7, .deletes = true }), ERR_NONE);
	replica_rig_pass(&rig, 10);
	CU_ASSERT(d.done);
	CU_ASSERT_EQUAL(d.part.error, ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(d.part.low_watermark, -1);
	replica_rig_fini(&rig);
}

/* The copy's start counts as a follower's. */
static void
test_delete_records_of_a_copy(void)
{
	struct replica_rig rig;
	struct replica *replica;
	struct deleting d;

	replica_rig_init_two(&rig, false);
	replica_rig_lead(&rig, 1, 1);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	replica = replicas_find(rig.replicas, TOPIC, 0);
	CU_ASSERT(replica_claim(replica, false));
	CU_ASSERT_EQUAL(move_begin(replica, storage_dir_at(rig.storage, 1),
	    true), ERR_NONE);
	/* It cannot go on. */
	files_faulty_set(rig.files, "-future", FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	deleting_start(&d, &rig, 3);
	replica_rig_pass(&rig, 100);
	CU_ASSERT_FALSE(d.done);
	CU_ASSERT_EQUAL(rig_view(&rig).log_start_offset, 3);
	/* It is not wanted any more. */
	move_end(replica);
	replica_rig_pass(&rig, 10);
	CU_ASSERT(d.done);
	CU_ASSERT_EQUAL(d.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(d.part.low_watermark, 3);
	/* It has all: its start follows, though it may not take the place. */
	files_faulty_clear(rig.files);
	replica_rig_pass(&rig, 2000);
	CU_ASSERT_EQUAL(move_begin(replica, storage_dir_at(rig.storage, 1),
	    true), ERR_NONE);
	replica_rig_pass(&rig, 100);
	CU_ASSERT_NOT_EQUAL(log_directory(replica_log(replica)),
	    storage_dir_at(rig.storage, 1));
	deleting_start(&d, &rig, 4);
	replica_rig_pass(&rig, 100);
	CU_ASSERT(d.done);
	CU_ASSERT_EQUAL(d.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(d.part.low_watermark, 4);
	replica_unclaim(replica);
	replica_rig_pass(&rig, 100);
	CU_ASSERT_EQUAL(log_directory(replica_log(replica)),
	    storage_dir_at(rig.storage, 1));
	CU_ASSERT_EQUAL(rig_view(&rig).log_start_offset, 4);
	replica_unref(replica);
	replica_rig_fini(&rig);
}

/* --- all at once ---------------------------------------------------------- */

#define RACE_ROUNDS 30
#define RACE_PRODUCES 20

struct race {
	struct replica_rig *rig;
	int loop;
	struct rig_produce items[RACE_PRODUCES];
	int done;
	struct gate gate;
	int bad;
};

static void
race_done(struct produce *produce)
{
	struct rig_produce *item = produce->owner;
	struct race *race = container_of(item - item->loop, struct race,
	    items[0]);

	if (item->part.error != ERR_NONE &&
	    item->part.error != ERR_NOT_LEADER_OR_FOLLOWER)
		race->bad++;
	item->done = true;
	if (++race->done == RACE_PRODUCES)
		gate_open(&race->gate);
}

static void
race_appended(struct produce *produce)
{
	struct rig_produce *item = produce->owner;

	item->released = true;
	buffer_fini(&item->bytes);
}

static void
race_run(void *arg)
{
	struct race *race = arg;

	for (int i = 0; i < RACE_PRODUCES; i++) {
		struct rig_produce *item = &race->items[i];

		item->part.bytes = item->bytes.data;
		item->part.size = item->bytes.length;
		item->produce.owner = item;
		item->produce.loop = race->rig->loops[race->loop];
		produce_run(&item->produce);
	}
}

static struct race *
race_begin(struct replica_rig *rig, int loop)
{
	struct race *race = mem_zalloc(sizeof(*race));

	race->rig = rig;
	race->loop = loop;
	gate_init(&race->gate);
	for (int i = 0; i < RACE_PRODUCES; i++) {
		struct rig_produce *item = &race->items[i];

		rig_produce_init(item, rig, (i & 1) != 0 ? -1 : 1);
		item->loop = i; /* here: its place */
		item->produce.timeout_ms = 60000;
		item->produce.appended = race_appended;
		item->produce.done = race_done;
	}
	loop_post_call(rig->loops[loop], race_run, race);
	return (race);
}

static void
race_end(struct race *race)
{
	gate_await(&race->gate);
	CU_ASSERT_EQUAL(race->bad, 0);
	for (int i = 0; i < RACE_PRODUCES; i++)
		rig_produce_fini(&race->items[i]);
	mem_free(race);
}

/* Producers on two loops while the partition comes and goes. */
static void
test_races(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, true, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 4, 1);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		struct race *one, *two;

		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .epoch = 0, .topic_id = { { (uint8_t)(i + 1) } } }),
		    ERR_NONE);
		one = race_begin(&rig, 1);
		two = race_begin(&rig, 2);
		CU_ASSERT_EQUAL(stop(&rig, (struct stopping){ .version = 3,
		    .epoch = -2, .deletes = true }), ERR_NONE);
		race_end(one);
		race_end(two);
		CU_ASSERT_FALSE(hosted(&rig, 0));
	}
	CU_ASSERT_FALSE(storage_has_failed_dir(rig.storage));
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "StopReplica's epochs", test_stop_epochs },
	{ "StopReplica's forms", test_stop_forms },
	{ "what waits ends", test_stop_with_waiters },
	{ "a follower", test_stop_a_follower },
	{ "made again", test_made_again },
	{ "storage refuses", test_stop_storage_error },
	{ "DeleteRecords", test_delete_records },
	{ "DeleteRecords and followers", test_delete_records_of_followers },
	{ "DeleteRecords of a copy", test_delete_records_of_a_copy },
	{ "deletion beside producers", test_races },
};

int
main(void)
{
	return (unit_main("replica-stop", tests, nelems(tests)));
}
