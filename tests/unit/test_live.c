/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of a config on the loops that read them. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "config/live.h"
#include "unit.h"

#define LOOPS 3
#define GENERATIONS 60

/* What a room keeps of its own on each loop. */
struct reader {
	struct post post;
	struct live_case *owner;
	struct loop *loop;
	const struct net_options *options;
	int32_t seen;
	int steps_back;
	int torn; /* the slot and the room's pointer disagree */
	uint64_t reads;
	atomic_bool ended;
};

struct live_case {
	struct scheduler *scheduler;
	struct loop *loops[LOOPS];
	struct reader readers[LOOPS];
	struct config_live *live;
	struct config *config;
	struct task_ref publisher;
	atomic_bool stopping;
	atomic_bool published; /* all of them */
	int32_t generation;
	atomic_int taken;
};

static struct config *
config_of_generation(int32_t generation)
{
	struct config *config = config_new();
	char text[256];

	snprintf(text, sizeof(text), "broker.id=1\nzookeeper.connect=a:1\n"
	    "log.dirs=/d\nlisteners=PLAINTEXT://127.0.0.1:1\n"
	    "max.connections=%d\n", (int)generation);
	CHECK(config_read(config, slice_of_text(text)));
	CHECK(config_resolve(config));
	return (config);
}

/* On each loop; what it had before is still good. */
static void
case_take(void *arg, const struct config *next)
{
	struct live_case *c = arg;

	for (int i = 0; i < LOOPS; i++)
		if (loop_is_current(c->loops[i])) {
			struct reader *r = &c->readers[i];

			r->steps_back += r->options->max_connections !=
			    r->seen;
			r->options = &config_options(next)->net;
			r->seen = r->options->max_connections;
		}
	atomic_fetch_add(&c->taken, 1);
}

static void
reader_run(struct post *post)
{
	struct reader *r = container_of(post, struct reader, post);
	const struct config *now = config_live_now(r->owner->live);

	r->reads++;
	r->torn += &config_options(now)->net != r->options;
	if (atomic_load(&r->owner->stopping))
		atomic_store(&r->ended, true);
	else
		loop_post(r->loop, post);
}

struct publish {
	struct live_case *owner;
};

static const struct task_class publish_class = {
	.name = "publish",
	.state_size = sizeof(struct publish),
};

static void
publish_setup(struct task *task, void *arg)
{
	((struct publish *)task_state(task))->owner = arg;
}

static enum verdict
publish_step(struct task *t)
{
	struct live_case *c = ((struct publish *)task_state(t))->owner;
	struct config *next;

	if (!config_live_settled(c->live))
		return (STEP_WAIT);
	/* Every loop has taken it, once. */
	CU_ASSERT_EQUAL(atomic_load(&c->taken), LOOPS * c->generation);
	if (c->generation == GENERATIONS) {
		atomic_store(&c->published, true);
		return (STEP_DONE);
	}
	next = config_of_generation(++c->generation);
	config_live_publish(c->live, next, task_ref(t));
	config_free(&next);
	return (STEP_WAIT);
}

static void
publish_begin(void *arg)
{
	struct live_case *c = arg;

	(void)task_start(c->loops[LOOPS - 1], &publish_class, publish_step,
	    publish_setup, c);
}

static void
case_init(struct live_case *c)
{
	memset(c, 0, sizeof(*c));
	c->scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	c->config = config_of_generation(0);
	for (int i = 0; i < LOOPS; i++) {
		c->loops[i] = loop_new(c->scheduler, "reader");
		c->readers[i] = (struct reader){ .owner = c,
			.loop = c->loops[i],
			.options = &config_options(c->config)->net };
		list_init(&c->readers[i].post.link);
		c->readers[i].post.run = reader_run;
	}
	c->live = config_live_new(&(struct config_live_setup){
	    .loops = c->loops,
	    .loop_count = LOOPS,
	    .config = c->config,
	    .take = case_take,
	    .arg = c,
	});
	/* From here on it is the loops' alone. */
	config_free(&c->config);
}

static void
case_fini(struct live_case *c)
{
	for (int i = 0; i < LOOPS; i++)
		loop_stop(c->loops[i]);
	for (int i = 0; i < LOOPS; i++)
		loop_free(c->loops[i]);
	config_live_free(&c->live);
	scheduler_free(c->scheduler);
}

/* Loops read while generations come: each sees one whole generation at a time,
 * never an older one again, and none that was freed (ASan, TSan). */
static void
test_generations(void)
{
	struct live_case c;

	case_init(&c);
	for (int i = 0; i < LOOPS; i++) {
		loop_start(c.loops[i]);
		loop_post(c.loops[i], &c.readers[i].post);
	}
	loop_post_call(c.loops[LOOPS - 1], publish_begin, &c);
	while (!atomic_load(&c.published))
		(void)sched_yield();
	atomic_store(&c.stopping, true);
	for (int i = 0; i < LOOPS; i++)
		while (!atomic_load(&c.readers[i].ended))
			(void)sched_yield();
	case_fini(&c);
	for (int i = 0; i < LOOPS; i++) {
		CU_ASSERT_EQUAL(c.readers[i].steps_back, 0);
		CU_ASSERT_EQUAL(c.readers[i].torn, 0);
		CU_ASSERT_EQUAL(c.readers[i].seen, GENERATIONS);
		CU_ASSERT_TRUE(c.readers[i].reads > 0);
	}
}

/* A reference outlives the loops' own. */
static void
test_kept(void)
{
	struct live_case c;
	const struct config *kept;

	case_init(&c);
	kept = config_ref(config_live_now(c.live));
	CU_ASSERT_TRUE(config_live_settled(c.live));
	case_fini(&c);
	CU_ASSERT_EQUAL(config_options(kept)->net.max_connections, 0);
	config_unref(kept);
	config_unref(NULL);
}

/* Loops end while it is on its way: nothing is lost or left. */
static void
test_cut_short(void)
{
	struct live_case c;
	struct config *next;

	case_init(&c);
	next = config_of_generation(1);
	config_live_publish(c.live, next, (struct task_ref){ NULL, 0 });
	config_free(&next);
	CU_ASSERT_FALSE(config_live_settled(c.live));
	case_fini(&c);
	CU_ASSERT_EQUAL(atomic_load(&c.taken), 0);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "generations on loops", test_generations },
		{ "a kept generation", test_kept },
		{ "loops that end", test_cut_short },
	};

	return (unit_main("live", tests, nelems(tests)));
}
