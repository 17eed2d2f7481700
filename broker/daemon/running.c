/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While the broker runs it is ready as long as it is registered.  When it lost
 * its session and somebody else has taken its id or its address meanwhile, it
 * ends, and fails: no controller will speak to it again, and what it still
 * accepted for the partitions that it led once would be lost.  Whoever starts
 * it anew (systemd) has it try again.
 */
#include "daemon/broker_int.h"

struct running {
	struct broker *broker;
	struct waitq_link link;
};

static void
running_fini(struct task *task)
{
	struct running *r = task_state(task);

	waitq_leave(registration_changed(r->broker->registration), &r->link);
}

static const struct task_class running_class = {
	.name = "running",
	.state_size = sizeof(struct running),
	.fini = running_fini,
};

static void
running_setup(struct task *task, void *arg)
{
	((struct running *)task_state(task))->broker = arg;
}

static enum verdict
running_watch(struct task *t)
{
	struct running *r = task_state(t);
	struct broker *b = r->broker;

	waitq_join(registration_changed(b->registration), &r->link, t);
	if (broker_state(b) != BROKER_RUNNING)
		return (STEP_DONE);
	atomic_store(&b->ready,
	    registration_state(b->registration) == REGISTRATION_DONE);
	if (registration_state(b->registration) != REGISTRATION_REFUSED)
		return (STEP_WAIT);
	b->failed = true;
	broker_stop(b);
	return (STEP_DONE);
}

void
broker_run_task(struct broker *b)
{
	b->running = task_ref(task_start(b->control, &running_class,
	    running_watch, running_setup, b));
}

void
broker_end_run_task(struct broker *b)
{
	struct task *task = b->running.loop == NULL ? NULL :
	    task_of_ref(b->running);

	if (task != NULL)
		task_cancel(task);
	b->running = (struct task_ref){ NULL, 0 };
}
