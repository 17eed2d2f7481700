/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics that are no more: what groups have committed of them goes.
 *
 *	any thread:  groups_topic_deleted() --> a post to each loop
 *	loop:        each active shard that knows the name --> gone_next
 *	its timer:   gone_next --> gone_now, a walk over the groups, over turns;
 *		     what is heard of meanwhile waits for the next walk
 *
 * Of a group all that go is one removal (remove.c).  What goes is what had been
 * committed when the news came, or is under way when the walk comes by: what is
 * committed since is of a new topic of that name, and stays.
 */
#include "base/mem.h"
#include "group/remove_int.h"
#include "group/shard_int.h"

/* A topic that a shard is to forget; it holds the name. */
struct forgotten {
	struct list link;
	struct group_topic *topic;
	uint64_t news;
};

/* --- one group ------------------------------------------------------------ */

/* How many slots go; with a write they are taken. */
static size_t
group_gone(const struct group *group, struct group_write *w)
{
	const struct group_offsets *offsets = group->offsets;
	size_t count = 0;

	for (uint32_t i = 0; i < offsets->count; i++) {
		const struct topic_offsets *at = &offsets->topics[i];

		if (at->topic->gone <= group->gone)
			continue;
		for (uint32_t j = 0; w != NULL && j < at->block->count; j++)
			group_removal_take(w, at->topic, &at->block->slots[j]);
		count += at->block->count;
	}
	return (count);
}

/* What it costs. The group may be gone. `commits`: it is needed further on, and
 * gets no tombstone of its own. */
static size_t
group_forget_gone(struct group *group, bool commits)
{
	const size_t count = group->gone == group->shard->gone_news ? 0 :
	    group_gone(group, NULL);
	const size_t cost = GROUP_COST + group->offsets->count + 8 * count;
	struct group_write *w = count == 0 ? NULL :
	    group_removal_new(group, count, NULL);

	if (w != NULL) {
		w->kept = commits;
		(void)group_gone(group, w);
	}
	group->gone = group->shard->gone_news;
	if (w != NULL)
		group_removal_run(w);
	return (cost);
}

void
group_forget_gone_first(struct group_shard *shard, struct slice id)
{
	struct group *group = list_empty(&shard->gone_now) &&
	    list_empty(&shard->gone_next) ? NULL : group_find(shard, id);

	if (group != NULL)
		(void)group_forget_gone(group, true);
}

/* --- a shard's walks ------------------------------------------------------ */

static void
gone_begin(struct group_shard *shard)
{
	list_splice_tail(&shard->gone_now, &shard->gone_next);
	group_walk_begin(&shard->gone_walk, shard);
}

static void
gone_forget(struct group_shard *shard, struct list *of)
{
	struct list *link;

	while ((link = list_pop_head(of)) != NULL) {
		struct forgotten *f = list_entry(link, struct forgotten, link);

		/* Else it was deleted again. */
		if (f->topic->gone == f->news)
			f->topic->gone = 0;
		group_topic_let_go(shard, f->topic);
		mem_free(f);
	}
}

static void
gone_turn(struct timer *timer)
{
	struct group_shard *shard = container_of(timer, struct group_shard,
	    gone);
	struct group *group;

	if (list_empty(&shard->gone_now))
		gone_begin(shard);
	do
		group = group_walk_next(&shard->gone_walk);
	while (group != NULL &&
	    group_turn_goes_on(shard, group_forget_gone(group, false)));
	if (group == NULL)
		gone_forget(shard, &shard->gone_now);
	if (group != NULL || !list_empty(&shard->gone_next))
		timer_arm_in(timer, 0);
}

void
group_gone_init(struct group_shard *shard)
{
	timer_init(&shard->gone, shard->loop, gone_turn);
	list_init(&shard->gone_now);
	list_init(&shard->gone_next);
}

void
group_gone_close(struct group_shard *shard)
{
	timer_disarm(&shard->gone);
	gone_forget(shard, &shard->gone_now);
	gone_forget(shard, &shard->gone_next);
}

static void
shard_hear_gone(struct group_shard *shard, struct slice name)
{
	struct forgotten *f;

	if (group_topic_find(shard, name) == NULL)
		return;
	f = mem_alloc(sizeof(*f));
	f->topic = group_topic_take(shard, name);
	f->news = f->topic->gone = ++shard->gone_news;
	list_init(&f->link);
	list_push_tail(&shard->gone_next, &f->link);
	if (!timer_armed(&shard->gone))
		timer_arm_in(&shard->gone, 0);
}

/* --- the news ------------------------------------------------------------- */

struct gone_topic {
	struct post post;
	struct list link; /* groups.gone, under the lock */
	struct groups *groups;
	struct loop *loop;
	size_t length;
	uint8_t name[];
};

static bool
shard_drop_topic(void *state, void *arg)
{
	const struct gone_topic *gone = arg;

	shard_hear_gone(state, slice_of(gone->name, gone->length));
	return (true);
}

static void
gone_topic_free(struct gone_topic *gone)
{
	lock_take(&gone->groups->lock);
	list_remove(&gone->link);
	lock_release(&gone->groups->lock);
	mem_free(gone);
}

static void
loop_drop_topic(struct post *post)
{
	struct gone_topic *gone = container_of(post, struct gone_topic, post);

	coord_each(gone->groups->coord, gone->loop, shard_drop_topic, gone);
	gone_topic_free(gone);
}

/* What a loop that was stopped did not come to. */
void
group_forget_gone_topics(struct groups *groups)
{
	LIST_EACH(element, &groups->gone)
		gone_topic_free(list_entry(element, struct gone_topic, link));
}

void
groups_topic_deleted(struct groups *groups, struct slice topic)
{
	for (size_t i = 0; i < groups->setup.loop_count; i++) {
		struct gone_topic *gone = mem_alloc(sizeof(*gone) +
		    topic.length);

		memset(gone, 0, sizeof(*gone));
		gone->post.run = loop_drop_topic;
		list_init(&gone->post.link);
		gone->groups = groups;
		gone->loop = groups->setup.loops[i];
		gone->length = topic.length;
		if (topic.length != 0)
			memcpy(gone->name, topic.data, topic.length);
		lock_take(&groups->lock);
		list_push_tail(&groups->gone, &gone->link);
		lock_release(&groups->lock);
		loop_post(gone->loop, &gone->post);
	}
}
