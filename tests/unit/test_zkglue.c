/* SPDX-License-Identifier: Apache-2.0 */
/* Session, batches and watchers against the ZooKeeper in memory. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/random.h"
#include "config/options.h"
#include "tests/unit/unit.h"
#include "zkglue/fake.h"
#include "zkglue/zkglue.h"

#define SECOND ((int64_t)1000000000)

/* One ZooKeeper, and one broker that talks to it. */
struct bench {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct zk_fake *fake;
	struct loop *loop;
	struct work_queue *workers;
	struct zk_driver *driver;
	struct zkglue_options options;
	struct zk *zk;
	const char *session_file;
	int writes;
};

static void
settle(struct bench *b, int64_t ns)
{
	scheduler_run_until(b->scheduler,
	    clock_mono_ns(scheduler_clock(b->scheduler)) + ns);
}

static struct zk *
bench_zk(struct bench *b)
{
	struct zk_setup setup = {
		.loop = b->loop,
		.workers = b->workers,
		.driver = b->driver,
		.options = &b->options,
		.session_file = b->session_file,
		.session_identity = "machine and directory",
	};

	return (zk_new(&setup));
}

static void
bench_init(struct bench *b, uint64_t seed, const char *connect)
{
	*b = (struct bench){ .options = {
		.connect = connect,
		.session_timeout_ms = 18000,
		.connection_timeout_ms = -1,
		.max_in_flight_requests = 10,
	} };
	clock_virtual_init(&b->clock, 1717000000000);
	b->scheduler = scheduler_new_replay(&b->clock, seed);
	b->fake = zk_fake_new(b->scheduler);
	b->loop = loop_new(b->scheduler, "controller");
	b->workers = work_queue_new(b->scheduler, "zookeeper", 1);
	b->driver = zk_fake_driver(b->fake);
	loop_start(b->loop);
}

static void
bench_start(struct bench *b)
{
	b->zk = bench_zk(b);
	settle(b, SECOND);
	CU_ASSERT_EQUAL_FATAL(zk_state(b->zk), ZK_CONNECTED);
}

static void
bench_stop(struct bench *b)
{
	bool closed = false;

	zk_close(b->zk, (struct task_ref){ NULL, 0 }, &closed);
	b->zk = NULL;
	settle(b, 2 * SECOND);
	CU_ASSERT_TRUE(closed);
}

static void
bench_fini(struct bench *b)
{
	if (b->zk != NULL)
		bench_stop(b);
	b->driver->ops->free(b->driver);
	settle(b, SECOND);
	zk_fake_free(b->fake);
	loop_stop(b->loop);
	loop_free(b->loop);
	work_queue_free(b->workers);
	scheduler_free(b->scheduler);
}

static void
run(struct bench *b, struct zk_batch *batch)
{
	zk_batch_submit(batch, NULL);
	settle(b, SECOND);
	CU_ASSERT_TRUE_FATAL(zk_batch_done(batch));
}

/* --- states --------------------------------------------------------------- */

static void
test_connects(void)
{
	struct bench b;

	bench_init(&b, 1, "zk1:2181,zk2:2181");
	b.zk = bench_zk(&b);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTING);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 0);
	settle(&b, SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 1);
	CU_ASSERT_NOT_EQUAL(zk_session_id(b.zk), 0);
	bench_fini(&b);
}

static void
test_makes_chroot(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *made;
	struct slice data;

	bench_init(&b, 2, "zk1:2181/a/b/");
	bench_start(&b);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/a/b", NULL, NULL));
	batch = zk_batch_new(b.zk);
	zk_batch_create(batch, "/c", SLICE_LITERAL("x"), ZK_PERSISTENT);
	made = zk_batch_create(batch, "/c/s_", SLICE_NULL, ZK_SEQUENTIAL);
	run(&b, batch);
	CU_ASSERT_EQUAL(zk_batch_worst(batch), ZK_OK);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/a/b/c", NULL, NULL));
	CU_ASSERT_TRUE(slice_equal_text(made->answer, "/c/s_0000000000"));
	zk_batch_free(&batch);
	/* Any node with all that is above it, some of which is there. */
	batch = zk_batch_new(b.zk);
	made = zk_batch_create_all(batch, "/c/d/e/f", SLICE_LITERAL("y"));
	run(&b, batch);
	CU_ASSERT_EQUAL(made->rc, ZK_OK);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/a/b/c/d/e/f", &data, NULL));
	CU_ASSERT_TRUE(slice_equal_text(data, "y"));
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/a/b/c", &data, NULL));
	CU_ASSERT_TRUE(slice_equal_text(data, "x"));
	zk_batch_free(&batch);
	bench_fini(&b);
}

/* --- operations ----------------------------------------------------------- */

static void
test_operations(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *op[14];
	struct slice data;

	bench_init(&b, 3, "zk");
	bench_start(&b);
	batch = zk_batch_new(b.zk);
	op[0] = zk_batch_create(batch, "/n", SLICE_NULL, ZK_PERSISTENT);
	op[1] = zk_batch_create(batch, "/n", SLICE_NULL, ZK_PERSISTENT);
	op[2] = zk_batch_get(batch, "/n", NULL);
	op[3] = zk_batch_set(batch, "/n", SLICE_EMPTY, 0);
	op[4] = zk_batch_get(batch, "/n", NULL);
	op[5] = zk_batch_set(batch, "/n", SLICE_LITERAL("v"), 0);
	op[6] = zk_batch_create(batch, "/n/b", SLICE_NULL, ZK_EPHEMERAL);
	op[7] = zk_batch_create(batch, "/n/a", SLICE_NULL, ZK_PERSISTENT);
	op[8] = zk_batch_create(batch, "/n/b/x", SLICE_NULL, ZK_PERSISTENT);
	op[9] = zk_batch_children(batch, "/n", NULL);
	op[10] = zk_batch_delete(batch, "/n", ZK_ANY_VERSION);
	op[11] = zk_batch_delete(batch, "/gone", ZK_ANY_VERSION);
	op[12] = zk_batch_acl(batch, "/n");
	op[13] = zk_batch_acl(batch, "/gone");
	run(&b, batch);
	CU_ASSERT_EQUAL(op[0]->rc, ZK_OK);
	CU_ASSERT_EQUAL(op[1]->rc, ZK_NODE_EXISTS);
	CU_ASSERT_PTR_NULL(op[2]->answer.data);
	CU_ASSERT_EQUAL(op[2]->stat.ctime_ms / 1000, 1717000001);
	CU_ASSERT_EQUAL(op[3]->stat.version, 1);
	CU_ASSERT_TRUE(slice_equal(op[4]->answer, SLICE_EMPTY));
	CU_ASSERT_EQUAL(op[5]->rc, ZK_BAD_VERSION);
	CU_ASSERT_EQUAL(op[6]->stat.ephemeral_owner, zk_session_id(b.zk));
	CU_ASSERT_EQUAL(op[8]->rc, ZK_NO_CHILDREN_FOR_EPHEMERALS);
	CU_ASSERT_EQUAL_FATAL(op[9]->child_count, 2);
	CU_ASSERT_STRING_EQUAL(op[9]->children[0], "a");
	CU_ASSERT_STRING_EQUAL(op[9]->children[1], "b");
	CU_ASSERT_EQUAL(op[9]->stat.children_version, 2);
	CU_ASSERT_EQUAL(op[10]->rc, ZK_NOT_EMPTY);
	CU_ASSERT_EQUAL(op[11]->rc, ZK_NO_NODE);
	CU_ASSERT_TRUE(slice_equal_text(op[12]->answer, ZK_ACL_OPEN));
	CU_ASSERT_EQUAL(op[13]->rc, ZK_NO_NODE);
	CU_ASSERT_EQUAL(zk_batch_worst(batch), ZK_NODE_EXISTS);
	zk_batch_free(&batch);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/n/b", &data, NULL));
	bench_stop(&b);
	/* Closed, not expired: the ephemeral went at once. */
	CU_ASSERT_FALSE(zk_fake_get(b.fake, "/n/b", NULL, NULL));
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/n/a", NULL, NULL));
	bench_fini(&b);
}

static void
test_multi(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *good;
	struct zk_op *bad;
	struct zk_op *part[4];
	struct zk_stat stat;

	bench_init(&b, 4, "zk");
	bench_start(&b);
	zk_fake_put(b.fake, "/epoch", SLICE_LITERAL("0"));
	batch = zk_batch_new(b.zk);
	good = zk_batch_multi(batch, 3);
	zk_multi_check(batch, good, "/epoch", 0);
	part[0] = zk_multi_create(batch, good, "/m", SLICE_NULL, ZK_EPHEMERAL);
	part[1] = zk_multi_set(batch, good, "/m", SLICE_LITERAL("json"), 0);
	bad = zk_batch_multi(batch, 4);
	part[2] = zk_multi_delete(batch, bad, "/m", ZK_ANY_VERSION);
	zk_multi_set(batch, bad, "/epoch", SLICE_LITERAL("1"), 0);
	part[3] = zk_multi_check(batch, bad, "/epoch", 7);
	zk_multi_create(batch, bad, "/z", SLICE_NULL, ZK_PERSISTENT);
	run(&b, batch);
	CU_ASSERT_EQUAL(good->rc, ZK_OK);
	CU_ASSERT_EQUAL(part[1]->stat.version, 1);
	CU_ASSERT_EQUAL(part[1]->stat.czxid, part[1]->stat.mzxid);
	CU_ASSERT_EQUAL(bad->rc, ZK_BAD_VERSION);
	CU_ASSERT_EQUAL(part[2]->rc, ZK_ROLLED_BACK);
	CU_ASSERT_EQUAL(part[3]->rc, ZK_BAD_VERSION);
	CU_ASSERT_EQUAL(bad->parts[3].rc, ZK_ROLLED_BACK);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/m", NULL, &stat));
	CU_ASSERT_EQUAL(stat.version, 1);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/epoch", NULL, &stat));
	CU_ASSERT_EQUAL(stat.version, 0);
	CU_ASSERT_FALSE(zk_fake_get(b.fake, "/z", NULL, NULL));
	zk_batch_free(&batch);
	bench_fini(&b);
}

static void
test_sequence_numbers(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *second;

	bench_init(&b, 5, "zk");
	bench_start(&b);
	zk_fake_put(b.fake, "/q/s_0000000000", SLICE_NULL);
	zk_fake_delete(b.fake, "/q/s_0000000000");
	batch = zk_batch_new(b.zk);
	zk_batch_create(batch, "/q/s_", SLICE_NULL, ZK_SEQUENTIAL);
	second = zk_batch_create(batch, "/q/s_", SLICE_NULL,
	    ZK_SEQUENTIAL | ZK_EPHEMERAL);
	run(&b, batch);
	/* Deleted numbers never come back. */
	CU_ASSERT_TRUE(slice_equal_text(second->answer, "/q/s_0000000002"));
	zk_batch_free(&batch);
	bench_fini(&b);
}

static void
test_refuses_too_large(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *op;
	size_t size = (size_t)5 << 20;
	uint8_t *bytes = mem_zalloc(size);

	bench_init(&b, 6, "zk");
	bench_start(&b);
	batch = zk_batch_new(b.zk);
	op = zk_batch_create(batch, "/big", slice_of(bytes, size), 0);
	run(&b, batch);
	CU_ASSERT_EQUAL(op->rc, ZK_TOO_LARGE);
	zk_batch_free(&batch);
	mem_free(bytes);
	bench_fini(&b);
}

/* --- watchers ------------------------------------------------------------- */

static struct zk_op *
read_with(struct bench *b, struct zk_batch **batch, struct zk_watcher *watcher,
    const char *path)
{
	struct zk_op *op;

	zk_batch_free(batch);
	*batch = zk_batch_new(b->zk);
	watcher->changed = false;
	op = zk_batch_get(*batch, path, watcher);
	run(b, *batch);
	return (op);
}

static void
test_watcher_data(void)
{
	struct bench b;
	struct zk_batch *batch = NULL;
	struct zk_watcher w;
	struct zk_op *op;

	bench_init(&b, 7, "zk");
	bench_start(&b);
	zk_watcher_init(&w, b.zk);
	CU_ASSERT_TRUE(w.changed);
	/* Not there yet: still armed, for its making. */
	op = read_with(&b, &batch, &w, "/n");
	CU_ASSERT_EQUAL(op->rc, ZK_NO_NODE);
	CU_ASSERT_FALSE(w.changed);
	zk_fake_put(b.fake, "/n", SLICE_LITERAL("1"));
	settle(&b, SECOND);
	CU_ASSERT_TRUE(w.changed);
	op = read_with(&b, &batch, &w, "/n");
	CU_ASSERT_TRUE(slice_equal_text(op->answer, "1"));
	CU_ASSERT_FALSE(w.changed);
	zk_fake_put(b.fake, "/n", SLICE_LITERAL("2"));
	settle(&b, SECOND);
	CU_ASSERT_TRUE(w.changed);
	/* One-shot: without a read, nothing more is told. */
	w.changed = false;
	zk_fake_put(b.fake, "/n", SLICE_LITERAL("3"));
	settle(&b, SECOND);
	CU_ASSERT_FALSE(w.changed);
	read_with(&b, &batch, &w, "/n");
	zk_fake_delete(b.fake, "/n");
	settle(&b, SECOND);
	CU_ASSERT_TRUE(w.changed);
	zk_batch_free(&batch);
	zk_watcher_fini(&w);
	bench_fini(&b);
}

/* Those that changed, each once, and nobody else. */
static void
test_watch_group(void)
{
	static const char *const paths[] = { "/a", "/b", "/c" };
	struct zk_batch *batch = NULL;
	struct zk_watch_group group;
	struct zk_watcher w[3];
	struct bench b;

	bench_init(&b, 7, "zk");
	bench_start(&b);
	zk_watch_group_init(&group);
	for (size_t i = 0; i < nelems(w); i++) {
		zk_watcher_init(&w[i], b.zk);
		zk_watch_group_add(&group, &w[i]);
		read_with(&b, &batch, &w[i], paths[i]);
	}
	CU_ASSERT_PTR_NULL(zk_watch_group_take(&group));
	zk_fake_put(b.fake, "/b", SLICE_LITERAL("1"));
	settle(&b, SECOND);
	CU_ASSERT_PTR_EQUAL(zk_watch_group_take(&group), &w[1]);
	CU_ASSERT_TRUE(w[1].changed);
	CU_ASSERT_PTR_NULL(zk_watch_group_take(&group));
	/* Told of and gone before it was taken. */
	zk_fake_put(b.fake, "/a", SLICE_LITERAL("1"));
	zk_fake_put(b.fake, "/c", SLICE_LITERAL("1"));
	settle(&b, SECOND);
	zk_watcher_fini(&w[0]);
	CU_ASSERT_PTR_EQUAL(zk_watch_group_take(&group), &w[2]);
	CU_ASSERT_PTR_NULL(zk_watch_group_take(&group));
	zk_watcher_fini(&w[1]);
	zk_watcher_fini(&w[2]);
	zk_watch_group_fini(&group);
	zk_batch_free(&batch);
	bench_fini(&b);
}

static void
test_watcher_children(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_watcher w;
	struct zk_op *op;

	bench_init(&b, 8, "zk/root");
	bench_start(&b);
	zk_watcher_init(&w, b.zk);
	for (int round = 0; round < 3; round++) {
		char name[32];

		batch = zk_batch_new(b.zk);
		w.changed = false;
		op = zk_batch_children(batch, "/ids", &w);
		run(&b, batch);
		CU_ASSERT_EQUAL(op->rc, round == 0 ? ZK_NO_NODE : ZK_OK);
		CU_ASSERT_FALSE(w.changed);
		zk_batch_free(&batch);
		snprintf(name, sizeof(name), "/root/ids/%d", round);
		zk_fake_put(b.fake, name, SLICE_NULL);
		settle(&b, SECOND);
		CU_ASSERT_TRUE(w.changed);
	}
	zk_watcher_fini(&w);
	bench_fini(&b);
}

/* A change while the connection is down is told when it is back. */
static void
test_watcher_survives_cut(void)
{
	struct bench b;
	struct zk_batch *batch = NULL;
	struct zk_watcher w;

	bench_init(&b, 9, "zk");
	bench_start(&b);
	zk_fake_put(b.fake, "/n", SLICE_LITERAL("1"));
	zk_watcher_init(&w, b.zk);
	read_with(&b, &batch, &w, "/n");
	zk_fake_cut(b.fake, b.driver, true);
	settle(&b, SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_SUSPENDED);
	zk_fake_put(b.fake, "/n", SLICE_LITERAL("2"));
	settle(&b, SECOND);
	CU_ASSERT_FALSE(w.changed);
	zk_fake_cut(b.fake, b.driver, false);
	settle(&b, SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 1);
	CU_ASSERT_TRUE(w.changed);
	zk_batch_free(&batch);
	zk_watcher_fini(&w);
	bench_fini(&b);
}

/*
 * Gap-free: a reader that only ever reads after `changed` ends with the last
 * value, whatever the order of events, cuts and sessions.
 */
struct reader {
	struct bench *bench;
	struct zk_watcher watcher;
	struct waitq_link link;
	struct zk_batch *batch;
	struct zk_op *op;
	int64_t value;
};

static enum verdict reader_answer(struct task *task);

static enum verdict
reader_read(struct task *task)
{
	struct reader *r = *(struct reader **)task_state(task);

	waitq_join(&r->watcher.woken, &r->link, task);
	if (!r->watcher.changed)
		return (STEP_WAIT);
	r->watcher.changed = false;
	r->batch = zk_batch_new(r->bench->zk);
	r->op = zk_batch_get(r->batch, "/value", &r->watcher);
	zk_batch_submit(r->batch, task);
	return (task_next(task, reader_answer));
}

static enum verdict
reader_answer(struct task *task)
{
	struct reader *r = *(struct reader **)task_state(task);

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc == ZK_OK)
		r->value = strtoll((const char *)r->op->answer.data, NULL, 10);
	else
		r->value = -1;
	zk_batch_free(&r->batch);
	return (task_next(task, reader_read));
}

static void
reader_setup(struct task *task, void *arg)
{
	*(struct reader **)task_state(task) = arg;
}

static void
shake(struct bench *b, struct random *random)
{
	switch (random_below(random, 8)) {
	case 0:
		zk_fake_cut(b->fake, b->driver, true);
		settle(b, (int64_t)random_below(random, 30) * SECOND);
		zk_fake_cut(b->fake, b->driver, false);
		break;
	case 1:
		zk_fake_expire(b->fake, b->driver);
		break;
	case 2:
		zk_fake_delete(b->fake, "/value");
		break;
	default:
		settle(b, 0);
		break;
	}
}

static void
test_watcher_no_gap(void)
{
	static const struct task_class class = {
		.name = "reader", .state_size = sizeof(struct reader *),
	};

	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct bench b;
		struct random random;
		struct reader r = { .bench = &b };
		struct task *task;

		random_seed(&random, seed);
		bench_init(&b, seed, "zk");
		bench_start(&b);
		zk_watcher_init(&r.watcher, b.zk);
		task = task_start(b.loop, &class, reader_read, reader_setup,
		    &r);
		for (int64_t i = 0; i < 100; i++) {
			char text[32];

			snprintf(text, sizeof(text), "%d", (int)i);
			zk_fake_put(b.fake, "/value",
			    slice_of(text, strlen(text) + 1));
			shake(&b, &random);
			if (random_below(&random, 3) == 0)
				settle(&b, SECOND / 100);
		}
		zk_fake_put(b.fake, "/value", slice_of("100", 4));
		settle(&b, 10 * SECOND);
		CU_ASSERT_EQUAL(r.value, 100);
		task_cancel(task);
		waitq_leave(&r.watcher.woken, &r.link);
		zk_batch_free(&r.batch);
		zk_watcher_fini(&r.watcher);
		bench_fini(&b);
	}
}

/* --- lost connections ----------------------------------------------------- */

static void
test_lost_reply(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *first;
	struct zk_op *second;

	bench_init(&b, 10, "zk");
	bench_start(&b);
	zk_fake_lose_next_reply(b.fake, b.driver);
	batch = zk_batch_new(b.zk);
	first = zk_batch_create(batch, "/a", SLICE_NULL, ZK_EPHEMERAL);
	second = zk_batch_create(batch, "/b", SLICE_NULL, ZK_PERSISTENT);
	run(&b, batch);
	/* The echo of its own first try. */
	CU_ASSERT_EQUAL(first->rc, ZK_NODE_EXISTS);
	CU_ASSERT_TRUE(first->retried);
	CU_ASSERT_EQUAL(second->rc, ZK_OK);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 1);
	zk_batch_free(&batch);
	batch = zk_batch_new(b.zk);
	first = zk_batch_get(batch, "/a", NULL);
	run(&b, batch);
	CU_ASSERT_FALSE(first->retried);
	zk_batch_free(&batch);
	bench_fini(&b);
}

/* In the midst of what is under way: then answers that are on their way make
 * room for requests that go out with the next connection, before the
 * retries. */
static void
lose_each_fifth(void *arg, struct zk_driver *driver, const struct zk_op *op)
{
	struct bench *b = arg;

	(void)op;
	if (++b->writes % 5 == 0)
		zk_fake_lose_next_reply(b->fake, driver);
}

static void
test_cut_keeps_order(void)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct bench b;
		struct zk_batch *batch;
		struct zk_op *op[60];
		char path[128] = "";

		bench_init(&b, seed, "zk");
		bench_start(&b);
		batch = zk_batch_new(b.zk);
		/* Each needs the one before it. */
		for (size_t i = 0; i < nelems(op); i++) {
			snprintf(path + strlen(path),
			    sizeof(path) - strlen(path), "/n");
			op[i] = zk_batch_create(batch, path, SLICE_NULL, 0);
		}
		zk_batch_submit(batch, NULL);
		zk_fake_on_write(b.fake, lose_each_fifth, &b);
		for (int i = 0; i < 20; i++) {
			settle(&b, 1);
			zk_fake_cut(b.fake, b.driver, i % 4 == 0);
		}
		zk_fake_cut(b.fake, b.driver, false);
		settle(&b, 10 * SECOND);
		CU_ASSERT_TRUE_FATAL(zk_batch_done(batch));
		for (size_t i = 0; i < nelems(op); i++)
			CU_ASSERT_TRUE(op[i]->rc == ZK_OK ||
			    (op[i]->retried && op[i]->rc == ZK_NODE_EXISTS));
		zk_batch_free(&batch);
		bench_fini(&b);
	}
}

static void
test_expiry(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_watcher w;
	struct zk_op *op;
	int64_t id;

	bench_init(&b, 11, "zk");
	bench_start(&b);
	id = zk_session_id(b.zk);
	zk_watcher_init(&w, b.zk);
	batch = zk_batch_new(b.zk);
	zk_batch_create(batch, "/e", SLICE_NULL, ZK_EPHEMERAL);
	run(&b, batch);
	zk_batch_free(&batch);
	w.changed = false;
	zk_fake_cut(b.fake, b.driver, true);
	settle(&b, SECOND);
	batch = zk_batch_new(b.zk);
	op = zk_batch_get(batch, "/e", NULL);
	zk_batch_submit(batch, NULL);
	settle(&b, 16 * SECOND);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/e", NULL, NULL));
	settle(&b, 2 * SECOND);
	CU_ASSERT_FALSE(zk_fake_get(b.fake, "/e", NULL, NULL));
	CU_ASSERT_FALSE(zk_batch_done(batch));
	CU_ASSERT_FALSE(w.changed);
	zk_fake_cut(b.fake, b.driver, false);
	settle(&b, SECOND);
	CU_ASSERT_TRUE(zk_batch_done(batch));
	CU_ASSERT_EQUAL(op->rc, ZK_SESSION_EXPIRED);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 2);
	CU_ASSERT_NOT_EQUAL(zk_session_id(b.zk), id);
	CU_ASSERT_TRUE(w.changed);
	zk_batch_free(&batch);
	zk_watcher_fini(&w);
	bench_fini(&b);
}

/* The server that a client came back to did not know yet that its session was
 * over, and never tells but in answers. */
static void
test_expiry_in_answer(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_op *op;

	for (int i = 0; i < 2; i++) {
		bench_init(&b, 13 + i, "zk");
		bench_start(&b);
		batch = zk_batch_new(b.zk);
		zk_batch_create(batch, "/e", SLICE_NULL, ZK_EPHEMERAL);
		run(&b, batch);
		zk_batch_free(&batch);
		zk_fake_forget(b.fake, b.driver);
		CU_ASSERT_FALSE(zk_fake_get(b.fake, "/e", NULL, NULL));
		settle(&b, 60 * SECOND);
		CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 1);
		batch = zk_batch_new(b.zk);
		op = i == 0 ? zk_batch_get(batch, "/e", NULL) :
			      zk_batch_create(batch, "/e", SLICE_NULL, 0);
		zk_batch_create(batch, "/f", SLICE_NULL, 0);
		zk_batch_submit(batch, NULL);
		settle(&b, SECOND);
		CU_ASSERT_TRUE_FATAL(zk_batch_done(batch));
		CU_ASSERT_EQUAL(op->rc, ZK_SESSION_EXPIRED);
		zk_batch_free(&batch);
		CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
		CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 2);
		CU_ASSERT_FALSE(zk_fake_get(b.fake, "/f", NULL, NULL));
		bench_fini(&b);
	}
}

/* The same, where nobody asks anything: a client that came back asks. */
static void
test_expiry_unasked(void)
{
	struct bench b;

	bench_init(&b, 15, "zk/under/here");
	bench_start(&b);
	zk_fake_cut(b.fake, b.driver, true);
	settle(&b, SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_SUSPENDED);
	zk_fake_forget(b.fake, b.driver);
	zk_fake_cut(b.fake, b.driver, false);
	settle(&b, 5 * SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 2);
	bench_fini(&b);
	/* The end comes while it asks. */
	bench_init(&b, 16, "zk");
	bench_start(&b);
	zk_fake_cut(b.fake, b.driver, true);
	settle(&b, SECOND);
	zk_fake_cut(b.fake, b.driver, false);
	while (zk_state(b.zk) != ZK_CONNECTED)
		settle(&b, SECOND / 100000);
	zk_fake_cut(b.fake, b.driver, true);
	bench_fini(&b);
}

/* Expired in the midst of a batch, and of its freeing. */
static void
expire_on_write(void *arg, struct zk_driver *driver, const struct zk_op *op)
{
	struct bench *b = arg;

	if (strcmp(op->path, "/fatal") == 0)
		zk_fake_expire(b->fake, driver);
}

static void
test_expiry_in_batch(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_batch *abandoned;
	struct zk_op *op[3];

	bench_init(&b, 12, "zk");
	bench_start(&b);
	zk_fake_on_write(b.fake, expire_on_write, &b);
	batch = zk_batch_new(b.zk);
	op[0] = zk_batch_create(batch, "/ok", SLICE_NULL, 0);
	op[1] = zk_batch_create(batch, "/fatal", SLICE_NULL, 0);
	op[2] = zk_batch_create(batch, "/never", SLICE_NULL, 0);
	zk_batch_submit(batch, NULL);
	abandoned = zk_batch_new(b.zk);
	for (int i = 0; i < 20; i++)
		zk_batch_get(abandoned, "/ok", NULL);
	zk_batch_submit(abandoned, NULL);
	zk_batch_free(&abandoned);
	settle(&b, SECOND);
	CU_ASSERT_TRUE_FATAL(zk_batch_done(batch));
	CU_ASSERT_EQUAL(op[1]->rc, ZK_SESSION_EXPIRED);
	CU_ASSERT_EQUAL(op[2]->rc, ZK_SESSION_EXPIRED);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/ok", NULL, NULL));
	CU_ASSERT_FALSE(zk_fake_get(b.fake, "/fatal", NULL, NULL));
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 2);
	zk_batch_free(&batch);
	bench_fini(&b);
}

static void
test_close_ends_all(void)
{
	struct bench b;
	struct zk_batch *batch;
	struct zk_batch *late;
	struct zk_watcher w;
	struct zk_op *op;

	bench_init(&b, 13, "zk");
	bench_start(&b);
	zk_watcher_init(&w, b.zk);
	batch = zk_batch_new(b.zk);
	late = zk_batch_new(b.zk);
	for (int i = 0; i < 30; i++)
		op = zk_batch_get(batch, "/", &w);
	zk_batch_submit(batch, NULL);
	bench_stop(&b);
	CU_ASSERT_TRUE(zk_batch_done(batch));
	CU_ASSERT_EQUAL(op->rc, ZK_CLOSED);
	op = zk_batch_get(late, "/", NULL);
	zk_batch_submit(late, NULL);
	CU_ASSERT_TRUE(zk_batch_done(late));
	CU_ASSERT_EQUAL(op->rc, ZK_CLOSED);
	zk_batch_free(&late);
	zk_batch_free(&batch);
	zk_watcher_fini(&w);
	/* Closed before it ever connected. */
	zk_fake_cut(b.fake, b.driver, true);
	b.zk = bench_zk(&b);
	bench_stop(&b);
	b.zk = bench_zk(&b);
	settle(&b, 60 * SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTING);
	bench_fini(&b);
}

static void
test_bad_hosts(void)
{
	struct bench b;

	bench_init(&b, 14, "/only/a/chroot");
	b.zk = bench_zk(&b);
	settle(&b, 10 * SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTING);
	bench_fini(&b);
}

/* --- the saved session ---------------------------------------------------- */

static void
make_ephemeral(struct bench *b)
{
	struct zk_batch *batch = zk_batch_new(b->zk);

	zk_batch_create(batch, "/mine", SLICE_NULL, ZK_EPHEMERAL);
	run(b, batch);
	CU_ASSERT_EQUAL(zk_batch_worst(batch), ZK_OK);
	zk_batch_free(&batch);
}

/* The process is gone, its memory with it; its session is not. */
static void
crash(struct bench *b)
{
	zk_fake_cut(b->fake, b->driver, true);
	settle(b, SECOND);
	bench_stop(b);
	zk_fake_cut(b->fake, b->driver, false);
}

static void
test_saved_session(void)
{
	char path[] = "/tmp/test_zkglue_XXXXXX";
	char file[64];
	struct bench b;
	struct stat st;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/barnabas.session", path);
	bench_init(&b, 15, "zk");
	b.session_file = file;
	bench_start(&b);
	make_ephemeral(&b);
	CU_ASSERT_EQUAL_FATAL(stat(file, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	crash(&b);
	CU_ASSERT_TRUE(zk_fake_get(b.fake, "/mine", NULL, NULL));
	CU_ASSERT_EQUAL(stat(file, &st), 0);
	bench_start(&b);
	/* Well before the old session's time-out. */
	CU_ASSERT_FALSE(zk_fake_get(b.fake, "/mine", NULL, NULL));
	CU_ASSERT_EQUAL(zk_session_ordinal(b.zk), 1);
	make_ephemeral(&b);
	/* A session that is over is no hindrance. */
	crash(&b);
	settle(&b, 20 * SECOND);
	bench_start(&b);
	make_ephemeral(&b);
	/* A clean end leaves nothing to close. */
	bench_stop(&b);
	CU_ASSERT_NOT_EQUAL(stat(file, &st), 0);
	bench_fini(&b);
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void
test_saved_session_of_others(void)
{
	static const char *const texts[] = {
		"", "barnabas.session 1\n", "barnabas.session 2\n",
		"barnabas.session 1\nidentity machine and directory\n"
		"id 0100000000000001\npassword 00\n",
		"barnabas.session 1\nidentity another\nid 0100000000000001\n"
		"password 00000000000000000000000000000000\n",
		"barnabas.session 1\nidentity machine and directory\n"
		"id 0000000000000000\n"
		"password 00000000000000000000000000000000\n",
	};
	char path[] = "/tmp/test_zkglue_XXXXXX";
	char file[64];

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/barnabas.session", path);
	for (size_t i = 0; i < nelems(texts); i++) {
		FILE *stream = fopen(file, "w");
		struct bench b;

		CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
		fputs(texts[i], stream);
		fclose(stream);
		bench_init(&b, i, "zk");
		b.session_file = file;
		bench_start(&b);
		bench_fini(&b);
	}
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

/* Without an answer to the farewell, the start goes on after a while. */
static void
test_farewell_has_an_end(void)
{
	char path[] = "/tmp/test_zkglue_XXXXXX";
	char file[64];
	struct bench b;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/barnabas.session", path);
	bench_init(&b, 16, "zk");
	b.session_file = file;
	bench_start(&b);
	crash(&b);
	zk_fake_cut(b.fake, b.driver, true);
	b.zk = bench_zk(&b);
	settle(&b, 10 * SECOND);
	zk_fake_cut(b.fake, b.driver, false);
	settle(&b, SECOND);
	CU_ASSERT_EQUAL(zk_state(b.zk), ZK_CONNECTED);
	bench_fini(&b);
	unlink(file);
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

static const struct unit_test tests[] = {
	{ "connects", test_connects },
	{ "makes the chroot", test_makes_chroot },
	{ "operations", test_operations },
	{ "multi: all or nothing", test_multi },
	{ "sequence numbers", test_sequence_numbers },
	{ "refuses what is too large", test_refuses_too_large },
	{ "watcher of data", test_watcher_data },
	{ "watcher of children", test_watcher_children },
	{ "watcher survives a cut", test_watcher_survives_cut },
	{ "watch group", test_watch_group },
	{ "watchers have no gap", test_watcher_no_gap },
	{ "lost reply: retried", test_lost_reply },
	{ "a cut keeps the order", test_cut_keeps_order },
	{ "expiry", test_expiry },
	{ "expiry in a batch", test_expiry_in_batch },
	{ "expiry in an answer", test_expiry_in_answer },
	{ "expiry without a question", test_expiry_unasked },
	{ "close ends all", test_close_ends_all },
	{ "bad hosts", test_bad_hosts },
	{ "saved session", test_saved_session },
	{ "saved session of others", test_saved_session_of_others },
	{ "farewell has an end", test_farewell_has_an_end },
};

int
main(void)
{
	return (unit_main("zkglue", tests, nelems(tests)));
}
