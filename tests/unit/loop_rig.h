/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of threads under test; the test waits on a gate that it opens. */
#ifndef TESTS_UNIT_LOOP_RIG_H
#define TESTS_UNIT_LOOP_RIG_H

#include <pthread.h>
#include <time.h>

#include "base/loop.h"
#include "unit.h"

#define MS INT64_C(1000000)

/* --- a gate: opened by a callback, awaited by the test -------------------- */

struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool open;
};

static inline void
gate_init(struct gate *gate)
{
	pthread_mutex_init(&gate->mutex, NULL);
	pthread_cond_init(&gate->cond, NULL);
	gate->open = false;
}

static inline void
gate_open(void *arg)
{
	struct gate *gate = arg;

	pthread_mutex_lock(&gate->mutex);
	gate->open = true;
	pthread_cond_signal(&gate->cond);
	pthread_mutex_unlock(&gate->mutex);
}

static inline bool
gate_await(struct gate *gate)
{
	struct timespec limit;
	int error = 0;
	bool open;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	pthread_mutex_lock(&gate->mutex);
	while (!gate->open && error == 0)
		error = pthread_cond_timedwait(&gate->cond, &gate->mutex,
		    &limit);
	open = gate->open;
	gate->open = false;
	pthread_mutex_unlock(&gate->mutex);
	CU_ASSERT_TRUE(open);
	return (open);
}

/* --- a scheduler of threads with one loop --------------------------------- */

struct rig {
	struct scheduler *scheduler;
	struct loop *loop;
	struct gate gate;
};

static inline void
rig_init(struct rig *rig)
{
	rig->scheduler = scheduler_new_threads(clock_system(), 3, NULL);
	rig->loop = loop_new(rig->scheduler, "loop-under-test");
	gate_init(&rig->gate);
}

static inline void
rig_fini(struct rig *rig)
{
	loop_stop(rig->loop);
	loop_free(rig->loop);
	scheduler_free(rig->scheduler);
}

/* Runs `call` on the loop and waits until it asks for the gate. */
static inline void
rig_call(struct rig *rig, void (*call)(void *arg), void *arg)
{
	loop_post_call(rig->loop, call, arg);
	gate_await(&rig->gate);
}

/* Returns when all that was posted before has run. */
static inline void
rig_settle(struct rig *rig)
{
	loop_post_call(rig->loop, gate_open, &rig->gate);
	gate_await(&rig->gate);
}

#endif
