/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fetch: topics' configs read on somebody's wish, unless they are known of
 * just these topics.  Its task lives on zk's loop; the asker may be on another
 * and may go away before the end.
 *
 *	[posted] --> [turn] --> [read] --> all known: done, the asker is woken
 *	                         ^  |
 *	                         |  v a thousand at once
 *	                       [take] <--> [pause] the session went: again
 *
 * What ZooKeeper refuses is the topic's alone: the rest goes on, and whoever
 * wishes for it again has it read again.  Who wishes for what is known waits
 * for nobody.
 *
 * One after another: what one of them learns the next need not read again, and
 * whoever asks for much asks for it once.
 *
 * Known is a name with the topic's id: it was read since the topic of that id
 * was first named, and every change from then on comes by notification or with
 * the reading of all in a new session.  A topic made anew has another id; one
 * without an id is read each time, and one that has no config in ZooKeeper, and
 * whatever is wished for anew.
 */
#include "cluster/configs_int.h"

#include "base/diag.h"
#include "base/mem.h"

#define RETRY_NS ((int64_t)500 * 1000000)
#define READ_AT_ONCE 1000

struct fetch_topic {
	char *name;
	struct uuid id;
	bool anew;
};

struct configs_fetch {
	atomic_uint references; /* the asker, and the post or task */
	atomic_bool done;
	bool failed; /* set before `done` */
	struct configs *configs;
	struct task_ref asker;
	struct post post;
	size_t count;
	struct fetch_topic topics[];
};

struct fetch_state {
	struct configs_fetch *fetch;
	struct list link; /* configs' */
	struct task_ref self;
	struct waitq_link state_changed;
	size_t next;           /* all before it are known */
	struct zk_batch *batch;
	struct zk_op **ops;    /* of `batch`; cookie: fetch_topic */
	size_t op_count;
};

static task_step fetch_turn, fetch_read, fetch_take, fetch_pause;

/* --- what is known -------------------------------------------------------- */

struct known {
	struct hash_node node;
	struct uuid id;
	char topic[];
};

static struct known *
known_find(const struct configs *configs, struct slice topic)
{
	struct hash_node *node = hash_find(&configs->known, topic.data,
	    topic.length);

	return (node == NULL ? NULL : container_of(node, struct known, node));
}

bool
configs_known(const struct configs *configs, struct slice topic,
    struct uuid id)
{
	const struct known *known = known_find(configs, topic);

	return (known != NULL && uuid_equal(known->id, id));
}

static void
known_set(struct configs *configs, const struct fetch_topic *topic)
{
	size_t length = strlen(topic->name);
	struct known *known = known_find(configs, slice_of_text(topic->name));

	if (uuid_is_zero(topic->id))
		return;
	if (known == NULL) {
		known = mem_zalloc(sizeof(*known) + length + 1);
		memcpy(known->topic, topic->name, length + 1);
		hash_insert(&configs->known, &known->node, known->topic,
		    length);
	}
	known->id = topic->id;
}

static void
known_remove(struct configs *configs, struct known *known)
{
	hash_remove(&configs->known, &known->node);
	mem_free(known);
}

void
configs_unknow(struct configs *configs, struct slice topic)
{
	struct known *known = known_find(configs, topic);

	if (known != NULL)
		known_remove(configs, known);
}

void
configs_unknow_gone(struct configs *configs, const struct cluster_image *image)
{
	HASH_EACH(node, &configs->known) {
		struct known *known = container_of(node, struct known, node);

		if (image_topic(image, slice_of_text(known->topic)) == NULL)
			known_remove(configs, known);
	}
}

void
configs_unknow_all(struct configs *configs)
{
	HASH_EACH(node, &configs->known)
		known_remove(configs, container_of(node, struct known, node));
	hash_clear(&configs->known);
}

/* --- life ----------------------------------------------------------------- */

static void
fetch_unref(struct configs_fetch *fetch)
{
	if (atomic_fetch_sub_explicit(&fetch->references, 1,
		memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < fetch->count; i++)
		mem_free(fetch->topics[i].name);
	mem_free(fetch);
}

static void
fetch_end(struct configs_fetch *fetch, bool failed)
{
	if (atomic_load_explicit(&fetch->done, memory_order_relaxed))
		return;
	fetch->failed = failed;
	atomic_store_explicit(&fetch->done, true, memory_order_release);
	task_wake_ref(fetch->asker);
}

static void
fetch_clear(struct fetch_state *s)
{
	mem_free(s->ops);
	s->ops = NULL;
	s->op_count = 0;
	zk_batch_free(&s->batch);
}

/* The first of those that wait, if any, has its turn. */
static void
fetch_next(struct configs *configs)
{
	if (!list_empty(&configs->fetches))
		task_wake_ref(list_entry(configs->fetches.next,
		    struct fetch_state, link)->self);
}

static void
fetch_fini(struct task *task)
{
	struct fetch_state *s = task_state(task);
	struct configs *configs = s->fetch->configs;

	list_remove(&s->link);
	waitq_leave(zk_state_changed(configs->setup.zk), &s->state_changed);
	fetch_clear(s);
	/* Cut short: nobody may take for known what is not. */
	fetch_end(s->fetch, true);
	fetch_unref(s->fetch);
	fetch_next(configs);
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

static bool
fetch_needs(const struct configs_fetch *fetch, const struct fetch_topic *topic)
{
	return (topic->anew || !configs_known(fetch->configs,
	    slice_of_text(topic->name), topic->id));
}

static bool
fetch_all_known(const struct configs_fetch *fetch)
{
	for (size_t i = 0; i < fetch->count; i++)
		if (fetch_needs(fetch, &fetch->topics[i]))
			return (false);
	return (true);
}

/* Those whose askers have gone hold nobody up, and do not pile up. */
static void
fetches_drop(struct configs *configs)
{
	LIST_EACH(element, &configs->fetches) {
		struct fetch_state *s = list_entry(element,
		    struct fetch_state, link);

		if (atomic_load_explicit(&s->fetch->references,
			memory_order_relaxed) == 1)
			task_cancel(task_of_ref(s->self));
	}
}

static void
fetch_posted(struct post *post)
{
	struct configs_fetch *fetch = container_of(post, struct configs_fetch,
	    post);

	if (fetch->configs->stopped || fetch_all_known(fetch)) {
		fetch_end(fetch, fetch->configs->stopped);
		fetch_unref(fetch);
		return;
	}
	fetches_drop(fetch->configs);
	task_start(fetch->configs->setup.loop, &fetch_class, fetch_turn,
	    fetch_setup, fetch);
}

static char *
text_of(struct slice slice)
{
	char *text = mem_alloc(slice.length + 1);

	memcpy(text, slice.data, slice.length);
	text[slice.length] = '\0';
	return (text);
}

struct configs_fetch *
configs_fetch(struct configs *configs, const struct configs_wish *wishes,
    size_t count, struct task_ref task)
{
	struct configs_fetch *fetch = mem_zalloc(sizeof(*fetch) +
	    count * sizeof(fetch->topics[0]));

	atomic_init(&fetch->references, 2);
	atomic_init(&fetch->done, false);
	fetch->configs = configs;
	fetch->asker = task;
	for (size_t i = 0; i < count; i++)
		if (topic_name_valid(wishes[i].topic, &(const char *){ NULL }))
			fetch->topics[fetch->count++] = (struct fetch_topic){
				text_of(wishes[i].topic), wishes[i].id,
				wishes[i].anew };
	fetch->post.run = fetch_posted;
	loop_post(configs->setup.loop, &fetch->post);
	return (fetch);
}

bool
configs_fetch_done(const struct configs_fetch *fetch)
{
	return (atomic_load_explicit(&fetch->done, memory_order_acquire));
}

bool
configs_fetch_failed(const struct configs_fetch *fetch)
{
	return (configs_fetch_done(fetch) && fetch->failed);
}

void
configs_fetch_free(struct configs_fetch **fetch)
{
	if (*fetch != NULL)
		fetch_unref(*fetch);
	*fetch = NULL;
}

void
configs_stop(struct configs *configs)
{
	configs->stopped = true;
	LIST_EACH(element, &configs->fetches)
		task_cancel(task_of_ref(list_entry(element, struct fetch_state,
		    link)->self));
}

/* --- reading -------------------------------------------------------------- */

static enum verdict
fetch_turn(struct task *t)
{
	struct fetch_state *s = task_state(t);

	return (s->fetch->configs->fetches.next == &s->link ?
	    task_next(t, fetch_read) : STEP_WAIT);
}

/* The next ones that are not known, into the batch. */
static void
fetch_fill(struct fetch_state *s)
{
	struct configs_fetch *fetch = s->fetch;

	s->ops = mem_zalloc(READ_AT_ONCE * sizeof(*s->ops));
	s->batch = zk_batch_new(fetch->configs->setup.zk);
	for (size_t i = s->next; i < fetch->count &&
	    s->op_count < READ_AT_ONCE; i++) {
		struct fetch_topic *topic = &fetch->topics[i];

		if (!fetch_needs(fetch, topic))
			continue;
		s->ops[s->op_count] = zk_batch_get(s->batch,
		    znode_config_path(zk_batch_arena(s->batch), "topics",
			topic->name), NULL);
		s->ops[s->op_count++]->cookie = topic;
	}
}

static enum verdict
fetch_read(struct task *t)
{
	struct fetch_state *s = task_state(t);
	struct zk *zk = s->fetch->configs->setup.zk;

	fetch_clear(s);
	fetch_fill(s);
	if (s->op_count == 0) {
		fetch_end(s->fetch, false);
		return (STEP_DONE);
	}
	waitq_join(zk_state_changed(zk), &s->state_changed, t);
	if (zk_state(zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	zk_batch_submit(s->batch, t);
	return (task_next(t, fetch_take));
}

static enum verdict
fetch_take(struct task *t)
{
	struct fetch_state *s = task_state(t);
	struct configs *configs = s->fetch->configs;

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	for (size_t i = 0; i < s->op_count; i++) {
		const struct fetch_topic *topic = s->ops[i]->cookie;

		if (configs_rc_passes(s->ops[i]->rc)) {
			task_sleep(t, RETRY_NS);
			return (task_next(t, fetch_pause));
		}
		if (s->ops[i]->rc == ZK_OK || s->ops[i]->rc == ZK_NO_NODE) {
			/* Names that are nowhere would be kept for ever. */
			if (configs_take(configs, topic->name, s->ops[i]) &&
			    s->ops[i]->rc == ZK_OK)
				known_set(configs, topic);
		} else {
			configs_refuse(configs, topic->name, s->ops[i]->rc);
		}
		s->next = (size_t)(topic - s->fetch->topics) + 1;
	}
	return (task_next(t, fetch_read));
}

static enum verdict
fetch_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, fetch_read) : STEP_WAIT);
}
