/* SPDX-License-Identifier: Apache-2.0 */
/* LeaderAndIsr for many partitions: what is done together, what fails alone,
 * and orders that meet. */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "replica/replica_int.h"
#include "replica_rig.h"

#define TOPIC SLICE_LITERAL(RIG_TOPIC)
#define MANY 70  /* more than a batch */
#define SHARES 8 /* as order.c makes them of so many partitions */

/* --- one order ------------------------------------------------------------ */

struct many {
	struct replica_rig *rig;
	int loop;
	bool stops; /* StopReplica with deletion */
	struct arena arena;
	union {
		struct leader_and_isr_request lead;
		struct stop_replica_request stop;
	} request;
	struct leader_and_isr_request_topic_state topic;
	struct leader_and_isr_request_partition_state states[MANY];
	struct stop_replica_request_topic_state stop_topic;
	struct stop_replica_request_partition_state stop_states[MANY];
	int32_t replica;
	struct leader_and_isr_response led;
	struct stop_replica_response stopped;
	struct replicas_order *order;
	struct replicas_stop_order *stop_order;
	bool done;
	struct gate gate;
};

static task_step many_apply, many_applied;

static enum verdict
many_apply(struct task *t)
{
	struct many *m = *(struct many **)task_state(t);

	if (m->stops) {
		wire_init(&message_stop_replica_response, &m->stopped);
		m->stop_order = replicas_stop_replica(m->rig->replicas,
		    &m->request.stop, 3, 10, &m->arena, &m->stopped,
		    task_ref(t));
	} else {
		wire_init(&message_leader_and_isr_response, &m->led);
		m->order = replicas_leader_and_isr(m->rig->replicas,
		    &m->request.lead, 7, 10, &m->arena, &m->led, task_ref(t));
	}
	return (task_next(t, many_applied));
}

static enum verdict
many_applied(struct task *t)
{
	struct many *m = *(struct many **)task_state(t);

	if (m->stops ? !replicas_stop_order_done(m->stop_order) :
		       !replicas_order_done(m->order))
		return (STEP_WAIT);
	if (m->stops)
		replicas_stop_order_free(&m->stop_order);
	else
		replicas_order_free(&m->order);
	m->done = true;
	gate_open(&m->gate);
	return (STEP_DONE);
}

static void
many_setup(struct task *task, void *arg)
{
	*(struct many **)task_state(task) = arg;
}

static void
many_begin(void *arg)
{
	static const struct task_class class = {
		.name = "many",
		.state_size = sizeof(struct many *),
	};
	struct many *m = arg;

	task_start(m->rig->loops[m->loop], &class, many_apply, many_setup, m);
}

static void
many_send(struct many *m, struct replica_rig *rig)
{
	m->rig = rig;
	arena_init(&m->arena, 0);
	gate_init(&m->gate);
	loop_post_call(rig->loops[m->loop], many_begin, m);
}

static struct many *
many_lead(struct replica_rig *rig, int loop, int32_t leader, int32_t epoch)
{
	struct many *m = mem_zalloc(sizeof(*m));

	m->loop = loop;
	m->replica = 1;
	wire_init(&message_leader_and_isr_request, &m->request.lead);
	m->request.lead.controller_epoch = 1;
	m->request.lead.broker_epoch = -1;
	m->request.lead.topic_states = &m->topic;
	m->request.lead.topic_states_count = 1;
	m->topic.topic_name = TOPIC;
	m->topic.topic_id = (struct uuid){ { 1 } };
	m->topic.partition_states = m->states;
	m->topic.partition_states_count = MANY;
	for (int32_t i = 0; i < MANY; i++)
		m->states[i] = (struct leader_and_isr_request_partition_state){
			/* Those of odd loops from the other end on. */
			.partition_index = loop % 2 == 0 ? i : MANY - 1 - i,
			.leader = leader,
			.leader_epoch = epoch,
			.replicas = &m->replica,
			.replicas_count = 1,
			.isr = &m->replica,
			.isr_count = 1,
			.is_new = true,
		};
	many_send(m, rig);
	return (m);
}

static struct many *
many_stop(struct replica_rig *rig, int loop, int32_t first, int32_t step)
{
	struct many *m = mem_zalloc(sizeof(*m));
	int32_t count = 0;

	m->loop = loop;
	m->stops = true;
	wire_init(&message_stop_replica_request, &m->request.stop);
	m->request.stop.controller_epoch = 1;
	m->request.stop.broker_epoch = -1;
	m->request.stop.topic_states = &m->stop_topic;
	m->request.stop.topic_states_count = 1;
	for (int32_t i = first; i < MANY; i += step)
		m->stop_states[count++] =
		    (struct stop_replica_request_partition_state){
			.partition_index = i,
			.leader_epoch = -2,
			.delete_partition = true,
		    };
	m->stop_topic = (struct stop_replica_request_topic_state){ TOPIC,
		m->stop_states, count };
	many_send(m, rig);
	return (m);
}

static enum error
many_error(const struct many *m, int32_t partition)
{
	return ((enum error)
	    m->led.topics[0].partition_errors[partition].error_code);
}

static void
many_await(struct many *m)
{
	if (m->rig->threads)
		gate_await(&m->gate);
	else
		CHECK(scheduler_run_while_not(m->rig->scheduler, &m->done,
		    INT64_MAX / 4));
	CU_ASSERT_EQUAL_FATAL(m->stops ? m->stopped.error_code :
					 m->led.error_code, ERR_NONE);
}

static void
many_free(struct many *m)
{
	arena_fini(&m->arena);
	mem_free(m);
}

/* All rows answer this. */
static void
many_end(struct many *m, enum error error)
{
	many_await(m);
	for (int32_t i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(many_error(m, i), error);
	many_free(m);
}

static bool
leads(struct replica_rig *rig, int32_t partition, int32_t epoch)
{
	struct replica *replica = replicas_find(rig->replicas, TOPIC,
	    partition);
	struct replica_view view = { .leads = false };

	if (replica != NULL) {
		replica_view(replica, &view);
		replica_unref(replica);
	}
	return (view.leads && view.leader_epoch == epoch && !view.offline);
}

/* --- together ------------------------------------------------------------- */

static void
test_syncs(void)
{
	struct replica_rig rig;
	size_t syncs;

	replica_rig_init(&rig, false, NULL);
	/* Two files and a directory a log, and one more for each batch. */
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	many_end(many_lead(&rig, 0, 1, 5), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC) - syncs,
	    3 * MANY + SHARES);
	/* A log is there; nothing is written before something is appended. */
	replica_rig_restart(&rig);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	many_end(many_lead(&rig, 0, 1, 5), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	replica_rig_restart(&rig);
	replica_rig_image(&rig, RIG_TOPIC, MANY, 2);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	many_end(many_lead(&rig, 0, 2, 6), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	/* From follower to leader; and again. */
	many_end(many_lead(&rig, 0, 1, 7), ERR_NONE);
	many_end(many_lead(&rig, 0, 1, 8), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	for (int32_t i = 0; i < MANY; i++)
		CU_ASSERT(leads(&rig, i, 8));
	many_end(many_lead(&rig, 0, 1, 7), ERR_STALE_CONTROLLER_EPOCH);
	replica_rig_fini(&rig);
}

/* Whatever call it fails at: who answers well leads, and nobody else does. */
static void
test_disk_fails_between(void)
{
	static const enum file_call calls[] = { FILE_CALL_SYNC,
		FILE_CALL_RENAME };

	/* A batch has 9 partitions: 27 syncs there, 18 renames. */
	for (int i = 0; i < 2 * 14; i++) {
		struct replica_rig rig;
		struct many *m;
		int failed = 0;

		replica_rig_init(&rig, false, NULL);
		files_faulty_set(rig.files, RIG_TOPIC, calls[i % 2], i / 2 * 3,
		    -1, EIO);
		m = many_lead(&rig, 0, 1, 5);
		many_await(m);
		for (int32_t n = 0; n < MANY; n++) {
			enum error error = many_error(m, n);

			failed += error == ERR_KAFKA_STORAGE_ERROR;
			CU_ASSERT(error == ERR_NONE ||
			    error == ERR_KAFKA_STORAGE_ERROR);
			CU_ASSERT(error == ERR_NONE || !leads(&rig, n, 5));
		}
		CU_ASSERT(failed >= MANY - 27);
		CU_ASSERT(storage_has_failed_dir(rig.storage));
		many_free(m);
		replica_rig_fini(&rig);
	}
}

/* --- while it leads ------------------------------------------------------- */

/* A new epoch of a partition that is written to: appends wait for no disk, and
 * the epoch begins where they had come to. */
static void
test_leader_goes_on(void)
{
	struct replica_rig rig;
	size_t syncs;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 10), ERR_NONE);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .old = true }), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch_start, 3);
	replica_rig_fini(&rig);
}

/* --- alone ---------------------------------------------------------------- */

static void
test_one_row_fails(void)
{
	struct replica_rig rig;
	struct many *m;

	replica_rig_init(&rig, false, NULL);
	files_faulty_set(rig.files, RIG_TOPIC "-33", FILE_CALL_OPEN, 0, -1,
	    ENOSPC);
	m = many_lead(&rig, 0, 1, 5);
	many_await(m);
	for (int32_t i = 0; i < MANY; i++) {
		CU_ASSERT_EQUAL(many_error(m, i),
		    i == 33 ? ERR_REPLICA_NOT_AVAILABLE : ERR_NONE);
		CU_ASSERT_EQUAL(leads(&rig, i, 5), i != 33);
	}
	many_free(m);
	/* To lead needs no room; the epoch is written before an append. */
	files_faulty_clear(rig.files);
	many_end(many_lead(&rig, 0, 2, 6), ERR_NONE);
	replica_rig_restart(&rig);
	files_faulty_set(rig.files, "-7/leader-epoch", FILE_CALL_SYNC, 0, -1,
	    ENOSPC);
	many_end(many_lead(&rig, 0, 1, 9), ERR_NONE);
	for (int32_t i = 0; i < MANY; i++)
		CU_ASSERT(leads(&rig, i, 9));
	CU_ASSERT_FALSE(storage_has_failed_dir(rig.storage));
	replica_rig_fini(&rig);
}

/* --- what is wanted comes ------------------------------------------------- */

static size_t
kept_count(const struct replica_rig *rig)
{
	return (rig->replicas->again.count);
}

static bool
log_dir_there(const struct replica_rig *rig, int partition)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/" RIG_TOPIC "-%d",
	    rig->directory, partition);
	return (access(path, F_OK) == 0);
}

static void
test_waits(void)
{
	static const int errors[] = { ENOSPC, EDQUOT, EMFILE, ENFILE };

	for (size_t i = 0; i < nelems(errors); i++) {
		struct replica_rig rig;
		struct many *m;

		replica_rig_init(&rig, false, NULL);
		files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN, 0,
		    -1, errors[i]);
		m = many_lead(&rig, 0, 1, 5);
		many_await(m);
		for (int32_t n = 0; n < MANY; n++) {
			CU_ASSERT_EQUAL(many_error(m, n),
			    ERR_REPLICA_NOT_AVAILABLE);
			CU_ASSERT_FALSE(log_dir_there(&rig, n));
		}
		many_free(m);
		replica_rig_pass(&rig, 100000);
		CU_ASSERT_EQUAL(kept_count(&rig), MANY);
		files_faulty_clear(rig.files);
		replica_rig_pass(&rig, 1100);
		for (int32_t n = 0; n < MANY; n++)
			CU_ASSERT(leads(&rig, n, 5));
		CU_ASSERT_EQUAL(kept_count(&rig), 0);
		CU_ASSERT(replicas_at_rest(rig.replicas));
		CU_ASSERT_FALSE(storage_has_failed_dir(rig.storage));
		/* And on the disk. */
		replica_rig_restart(&rig);
		many_end(many_lead(&rig, 0, 1, 5), ERR_NONE);
		replica_rig_fini(&rig);
	}
}

/* Some of it cannot be had yet: the rest does not wait for it. */
static void
test_some_wait(void)
{
	struct replica_rig rig;
	struct many *m;

	replica_rig_init(&rig, false, NULL);
	files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN, 0, -1,
	    EMFILE);
	m = many_lead(&rig, 0, 1, 5);
	many_await(m);
	many_free(m);
	files_faulty_set(rig.files, RIG_TOPIC "-3", FILE_CALL_OPEN, 0, -1,
	    EMFILE);
	replica_rig_pass(&rig, 3000);
	for (int32_t n = 0; n < MANY; n++)
		CU_ASSERT_EQUAL(leads(&rig, n, 5), n != 3 && n / 10 != 3);
	CU_ASSERT_EQUAL(kept_count(&rig), 11);
	/* A newer order takes the place of the old one. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 30, .epoch = 7, .topic_id = { { 1 } } }),
	    ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 31, .epoch = 4, .topic_id = { { 1 } } }),
	    ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(kept_count(&rig), 11);
	/* What is new stays so, also where another controller does not know. */
	for (int32_t epoch = 8; epoch <= 9; epoch++)
		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .partition = 32, .epoch = epoch, .old = true,
		    .topic_id = { { 1 } } }), ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(kept_count(&rig), 11);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 34, .epoch = 8, .old = true,
	    .topic_id = { { 2 } } }), ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(kept_count(&rig), 11);
	/* What goes is not made any more. */
	m = many_stop(&rig, 0, 3, 30);
	many_await(m);
	for (int32_t n = 0; n < m->stopped.partition_errors_count; n++)
		CU_ASSERT_EQUAL(m->stopped.partition_errors[n].error_code,
		    ERR_NONE);
	many_free(m);
	CU_ASSERT_EQUAL(kept_count(&rig), 9);
	files_faulty_clear(rig.files);
	replica_rig_pass(&rig, 1100);
	CU_ASSERT(leads(&rig, 30, 7));
	CU_ASSERT(leads(&rig, 31, 5));
	CU_ASSERT(leads(&rig, 32, 9));
	CU_ASSERT_FALSE(log_dir_there(&rig, 3));
	CU_ASSERT_FALSE(leads(&rig, 33, 5));
	CU_ASSERT_EQUAL(kept_count(&rig), 0);
	replica_rig_fini(&rig);
}

/* The directory fails, or the broker ends. */
static void
test_waits_in_vain(void)
{
	struct replica_rig rig;
	struct many *m;

	for (int i = 0; i < 3; i++) {
		replica_rig_init(&rig, false, NULL);
		files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN, 0,
		    -1, EMFILE);
		m = many_lead(&rig, 0, 1, 5);
		many_await(m);
		many_free(m);
		replica_rig_pass(&rig, i * 900);
		files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN, 0,
		    -1, EIO);
		if (i > 0) {
			replica_rig_pass(&rig, 3000);
			CU_ASSERT(storage_has_failed_dir(rig.storage));
			CU_ASSERT_EQUAL(kept_count(&rig), 0);
		}
		replica_rig_fini(&rig);
	}
}

/* --- orders that meet ----------------------------------------------------- */

#define ROUNDS 10

static void
test_orders_meet(void)
{
	struct replica_rig rig;
	int32_t epoch = 0;

	replica_rig_init(&rig, true, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		struct many *all[5];

		for (int i = 0; i < 3; i++)
			all[i] = many_lead(&rig, i, 1, ++epoch);
		all[3] = many_stop(&rig, 1, round % 3, 3);
		all[4] = many_lead(&rig, 3, 1, ++epoch);
		for (int i = 0; i < 5; i++) {
			many_await(all[i]);
			many_free(all[i]);
		}
		many_end(many_lead(&rig, 0, 1, ++epoch), ERR_NONE);
		for (int32_t i = 0; i < MANY; i++) {
			struct log *log = storage_find(rig.storage, RIG_TOPIC,
			    i);

			CU_ASSERT(leads(&rig, i, epoch));
			CU_ASSERT_PTR_NOT_NULL_FATAL(log);
			CU_ASSERT_EQUAL(log_latest_epoch(log), epoch);
			log_unref(log);
		}
	}
	CU_ASSERT_FALSE(storage_has_failed_dir(rig.storage));
	/* What is on the disk is what was shown. */
	replica_rig_restart(&rig);
	many_end(many_lead(&rig, 0, 1, epoch), ERR_NONE);
	replica_rig_fini(&rig);
}

/* Many topics of one partition keep all workers busy, as one topic of many. */
static void
test_spread(void)
{
	size_t topics = 0;
	size_t partitions = 0;

	for (int i = 0; i < 64; i++) {
		char name[16];

		snprintf(name, sizeof(name), "topic-%04d", i);
		topics |= (size_t)1 <<
		    replicas_spread(slice_of_text(name), 0, 8);
		partitions |= (size_t)1 <<
		    replicas_spread(slice_of_text(RIG_TOPIC), i, 8);
	}
	CU_ASSERT_EQUAL(topics, 0xff);
	CU_ASSERT_EQUAL(partitions, 0xff);
}

struct asked {
	struct replica_rig *rig;
	bool rest;
};

static void
ask_rest(void *arg)
{
	struct asked *asked = arg;

	asked->rest = replicas_at_rest(asked->rig->replicas);
}

/* Descriptors come and go while orders come and partitions go: in the end each
 * is as the newest order wants it. */
static void
test_waits_meet(void)
{
	struct replica_rig rig;
	struct asked asked = { .rig = &rig };
	int32_t epoch = 0;
	bool rest;

	replica_rig_init(&rig, true, NULL);
	for (int round = 0; round < 3; round++) {
		struct many *all[4];

		files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN,
		    100 * round, -1, EMFILE);
		for (int i = 0; i < 2; i++)
			all[i] = many_lead(&rig, i, 1, ++epoch);
		all[2] = many_stop(&rig, 2, round, 3);
		all[3] = many_lead(&rig, 3, 1, ++epoch);
		if (round > 0)
			(void)usleep(1000000);
		files_faulty_clear(rig.files);
		for (int i = 0; i < 4; i++) {
			many_await(all[i]);
			many_free(all[i]);
		}
		many_end(many_lead(&rig, 1, 1, ++epoch), ERR_NONE);
		rest = false;
		for (int i = 0; !rest && i < 1000; i++) {
			replica_rig_on(&rig, 0, ask_rest, &asked);
			rest = asked.rest;
			(void)usleep(10000);
		}
		CU_ASSERT_FATAL(rest);
		for (int32_t n = 0; n < MANY; n++)
			CU_ASSERT(leads(&rig, n, epoch));
	}
	CU_ASSERT_FALSE(storage_has_failed_dir(rig.storage));
	replica_rig_restart(&rig);
	many_end(many_lead(&rig, 0, 1, epoch), ERR_NONE);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "spread", test_spread },
	{ "syncs", test_syncs },
	{ "a disk that fails between", test_disk_fails_between },
	{ "a leader goes on", test_leader_goes_on },
	{ "one row fails", test_one_row_fails },
	{ "room or a descriptor is wanted", test_waits },
	{ "some still want one", test_some_wait },
	{ "wanted in vain", test_waits_in_vain },
	{ "orders that meet", test_orders_meet },
	{ "orders that wait meet others", test_waits_meet },
};

int
main(void)
{
	return (unit_main("replica-many", tests, nelems(tests)));
}
