/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fetch: some topics' configs read again on somebody's wish.  Its task lives
 * on zk's loop; the asker may be on another and may go away before the end.
 *
 *	[posted] --> [reading] --> done, the asker's task is woken
 *	                ^ |
 *	                +-+ session lost: again in the next one
 */
#include "cluster/configs_int.h"

#include "base/diag.h"
#include "base/mem.h"

#define RETRY_NS ((int64_t)500 * 1000000)

struct configs_fetch {
	atomic_uint references; /* the asker, and the post or task */
	atomic_bool done;
	struct configs *configs;
	struct task_ref asker;
	struct post post;
	size_t count;
	char *topics[];
};

struct fetch_state {
	struct configs_fetch *fetch;
	struct list link; /* configs' */
	struct task_ref self;
	struct waitq_link state_changed;
	struct zk_batch *batch;
	struct zk_op **ops;
};

static task_step fetch_read, fetch_done, fetch_pause;

static void
fetch_unref(struct configs_fetch *fetch)
{
	if (atomic_fetch_sub_explicit(&fetch->references, 1,
		memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < fetch->count; i++)
		mem_free(fetch->topics[i]);
	mem_free(fetch);
}

static void
fetch_fini(struct task *task)
{
	struct fetch_state *s = task_state(task);

	list_remove(&s->link);
	waitq_leave(zk_state_changed(s->fetch->configs->setup.zk),
	    &s->state_changed);
	zk_batch_free(&s->batch);
	mem_free(s->ops);
	fetch_unref(s->fetch);
}

static const struct task_class fetch_class = {
	.name = "configs fetch",
	.state_size = sizeof(struct fetch_state),
	.fini = fetch_fini,
};

static void
fetch_setup(struct task *task, void *arg)
{
	struct fetch_state *s = task_state(task);

	s->fetch = arg;
	s->self = task_ref(task);
	list_push_tail(&s->fetch->configs->fetches, &s->link);
}

static void
fetch_posted(struct post *post)
{
	struct configs_fetch *fetch = container_of(post, struct configs_fetch,
	    post);

	task_start(fetch->configs->setup.loop, &fetch_class, fetch_read,
	    fetch_setup, fetch);
}

struct configs_fetch *
configs_fetch(struct configs *configs, const char *const *topics, size_t count,
    struct task_ref task)
{
	struct configs_fetch *fetch = mem_zalloc(sizeof(*fetch) +
	    count * sizeof(fetch->topics[0]));

	atomic_init(&fetch->references, 2);
	atomic_init(&fetch->done, false);
	fetch->configs = configs;
	fetch->asker = task;
	fetch->count = count;
	for (size_t i = 0; i < count; i++)
		fetch->topics[i] = mem_strdup(topics[i]);
	fetch->post.run = fetch_posted;
	loop_post(configs->setup.loop, &fetch->post);
	return (fetch);
}

bool
configs_fetch_done(const struct configs_fetch *fetch)
{
	return (atomic_load_explicit(&fetch->done, memory_order_acquire));
}

void
configs_fetch_free(struct configs_fetch **fetch)
{
	if (*fetch != NULL)
		fetch_unref(*fetch);
	*fetch = NULL;
}

void
configs_fetches_cancel(struct configs *configs)
{
	LIST_EACH(element, &configs->fetches) {
		struct fetch_state *s = list_entry(element, struct fetch_state,
		    link);

		task_cancel(task_of_ref(s->self));
	}
}

static enum verdict
fetch_read(struct task *t)
{
	struct fetch_state *s = task_state(t);
	struct zk *zk = s->fetch->configs->setup.zk;

	waitq_join(zk_state_changed(zk), &s->state_changed, t);
	if (zk_state(zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	zk_batch_free(&s->batch);
	if (s->ops == NULL)
		s->ops = mem_zalloc((s->fetch->count + 1) * sizeof(*s->ops));
	s->batch = zk_batch_new(zk);
	for (size_t i = 0; i < s->fetch->count; i++)
		s->ops[i] = zk_batch_get(s->batch,
		    znode_config_path(zk_batch_arena(s->batch), "topics",
			s->fetch->topics[i]), NULL);
	zk_batch_submit(s->batch, t);
	return (task_next(t, fetch_done));
}

static enum verdict
fetch_done(struct task *t)
{
	struct fetch_state *s = task_state(t);
	struct configs_fetch *fetch = s->fetch;

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	for (size_t i = 0; i < fetch->count; i++)
		if (s->ops[i]->rc != ZK_OK && s->ops[i]->rc != ZK_NO_NODE) {
			if (s->ops[i]->rc != ZK_SESSION_EXPIRED)
				diag_warn(fetch->configs->setup.diag, cluster,
				    "topic=%s config is not to be read rc=%s: "
				    "again soon", fetch->topics[i],
				    zk_rc_name(s->ops[i]->rc));
			task_sleep(t, RETRY_NS);
			return (task_next(t, fetch_pause));
		}
	for (size_t i = 0; i < fetch->count; i++)
		configs_take(fetch->configs, fetch->topics[i], s->ops[i]);
	atomic_store_explicit(&fetch->done, true, memory_order_release);
	task_wake_ref(fetch->asker);
	return (STEP_DONE);
}

static enum verdict
fetch_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, fetch_read) : STEP_WAIT);
}
