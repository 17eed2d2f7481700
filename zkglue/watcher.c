/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watchers.  The driver knows a watcher by its number only, so one that is
 * gone when its watch fires is simply not found.
 */
#include "zkglue/zkglue_int.h"

void
zk_watcher_init(struct zk_watcher *watcher, struct zk *zk)
{
	CHECK_MAGIC(zk, ZK_MAGIC);
	*watcher = (struct zk_watcher){ .zk = zk, .changed = true };
	watcher->id = ++zk->next_watcher_id;
	waitq_init(&watcher->woken);
	list_init(&watcher->in_group);
	hash_insert(&zk->watchers, &watcher->node, &watcher->id,
	    sizeof(watcher->id));
}

void
zk_watcher_fini(struct zk_watcher *watcher)
{
	if (watcher->zk != NULL)
		hash_remove(&watcher->zk->watchers, &watcher->node);
	watcher->zk = NULL;
	list_remove(&watcher->in_group);
	waitq_fini(&watcher->woken);
}

void
zk_watch_group_init(struct zk_watch_group *group)
{
	list_init(&group->changed);
	waitq_init(&group->woken);
}

void
zk_watch_group_fini(struct zk_watch_group *group)
{
	CHECK(list_empty(&group->changed));
	waitq_fini(&group->woken);
}

void
zk_watch_group_add(struct zk_watch_group *group, struct zk_watcher *watcher)
{
	watcher->group = group;
}

struct zk_watcher *
zk_watch_group_take(struct zk_watch_group *group)
{
	struct list *link = list_pop_head(&group->changed);

	return (link == NULL ? NULL :
		list_entry(link, struct zk_watcher, in_group));
}

static void
watcher_mark(struct zk_watcher *watcher)
{
	struct zk_watch_group *group = watcher->group;

	watcher->changed = true;
	waitq_wake(&watcher->woken);
	if (group == NULL)
		return;
	if (!list_linked(&watcher->in_group))
		list_push_tail(&group->changed, &watcher->in_group);
	waitq_wake(&group->woken);
}

static struct zk_watcher *
watcher_of(struct hash_node *node)
{
	return (container_of(node, struct zk_watcher, node));
}

void
zk_watcher_fired(struct zk *zk, void *cookie)
{
	uint64_t id = (uintptr_t)cookie;
	struct hash_node *node = hash_find(&zk->watchers, &id, sizeof(id));

	if (node != NULL)
		watcher_mark(watcher_of(node));
}

void
zk_watchers_mark_all(struct zk *zk)
{
	HASH_EACH(node, &zk->watchers)
		watcher_mark(watcher_of(node));
}

void
zk_watchers_detach(struct zk *zk)
{
	HASH_EACH(node, &zk->watchers) {
		struct zk_watcher *watcher = watcher_of(node);

		hash_remove(&zk->watchers, node);
		watcher->zk = NULL;
		watcher_mark(watcher);
	}
}
