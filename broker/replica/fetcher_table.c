/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The followings of one fetcher: found by the partition, and by the topic's id,
 * as answers name them.  What the loop's image of the cluster knows of ids does
 * not count: it may not have the topic yet, or have another of its name.
 */
#include "replica/fetcher_int.h"

#include <stdlib.h>

#include "base/mem.h"

static struct hash_node *
find_by_id(const struct fetcher *fetcher, struct uuid topic_id,
    int32_t partition)
{
	const struct following_id id = { topic_id, partition };

	return (hash_find(&fetcher->by_id, &id, sizeof(id)));
}

void
following_enter(struct following *f, enum following_state state)
{
	struct fetcher *fetcher = f->fetcher;

	if (f->state == FOLLOWING_OVER)
		return;
	if (f->in_table) {
		fetcher->counts[f->state]--;
		fetcher->counts[state]++;
	}
	f->state = state;
	if (state == FOLLOWING_PAUSED &&
	    f->resume_ns < fetcher->next_resume_ns)
		fetcher->next_resume_ns = f->resume_ns;
}

void
fetcher_add(struct fetcher *fetcher, struct following *f)
{
	f->in_table = true;
	hash_insert(&fetcher->table, &f->node, f->replica->key,
	    f->replica->key_length);
	f->id = (struct following_id){ f->topic_id, f->replica->partition };
	/* Two topics of one id, if a controller says so: it is the first's. */
	f->has_id = !uuid_is_zero(f->topic_id) &&
	    find_by_id(fetcher, f->topic_id, f->replica->partition) == NULL;
	if (f->has_id)
		hash_insert(&fetcher->by_id, &f->id_node, &f->id,
		    sizeof(f->id));
	fetcher->nameless += uuid_is_zero(f->topic_id);
	fetcher->counts[f->state]++;
	fetcher->table_changed = true;
}

void
fetcher_drop(struct fetcher *fetcher, struct following *f)
{
	f->in_table = false;
	hash_remove(&fetcher->table, &f->node);
	if (f->has_id)
		hash_remove(&fetcher->by_id, &f->id_node);
	fetcher->nameless -= uuid_is_zero(f->topic_id);
	fetcher->counts[f->state]--;
	fetcher->table_changed = true;
	following_unref(f);
}

void
fetcher_notice(struct fetcher *fetcher)
{
	int64_t now_ns = loop_now_ns(fetcher->loop);

	if (!fetcher->ended && fetcher->next_resume_ns > now_ns)
		return;
	fetcher->ended = false;
	fetcher->next_resume_ns = INT64_MAX;
	HASH_EACH(node, &fetcher->table) {
		struct following *f = container_of(node, struct following,
		    node);

		if (atomic_load(&f->over)) {
			following_enter(f, FOLLOWING_OVER);
			if (!f->in_session)
				fetcher_drop(fetcher, f);
		} else if (f->state == FOLLOWING_PAUSED) {
			following_enter(f, f->resume_ns <= now_ns ?
			    FOLLOWING_FETCHES : FOLLOWING_PAUSED);
		}
	}
}

void
fetcher_clear(struct fetcher *fetcher)
{
	HASH_EACH(node, &fetcher->table)
		fetcher_drop(fetcher,
		    container_of(node, struct following, node));
	hash_clear(&fetcher->table);
	hash_clear(&fetcher->by_id);
	fetcher->order_count = 0;
}

struct following *
fetcher_find(const struct fetcher *fetcher, struct slice topic,
    int32_t partition)
{
	uint8_t key[REPLICA_KEY_MAX];
	size_t length = replica_make_key(topic, partition, key);
	struct hash_node *node = length == 0 ? NULL :
	    hash_find(&fetcher->table, key, length);

	return (node == NULL ? NULL :
			       container_of(node, struct following, node));
}

struct following *
fetcher_find_by_id(const struct fetcher *fetcher, struct uuid topic_id,
    int32_t partition)
{
	struct hash_node *node = find_by_id(fetcher, topic_id, partition);

	return (node == NULL ? NULL :
			       container_of(node, struct following, id_node));
}

/* --- the order of requests ------------------------------------------------ */

static int
by_topic(const void *a, const void *b)
{
	const struct following *left = *(struct following *const *)a;
	const struct following *right = *(struct following *const *)b;
	int names = strcmp(left->replica->topic, right->replica->topic);

	if (names != 0)
		return (names);
	return ((left->replica->partition > right->replica->partition) -
	    (left->replica->partition < right->replica->partition));
}

void
fetcher_sort(struct fetcher *fetcher)
{
	size_t count = hash_count(&fetcher->table);

	if (!fetcher->table_changed)
		return;
	fetcher->order = mem_realloc(fetcher->order,
	    (count + 1) * sizeof(*fetcher->order));
	fetcher->order_count = 0;
	HASH_EACH(node, &fetcher->table)
		fetcher->order[fetcher->order_count++] = container_of(node,
		    struct following, node);
	qsort(fetcher->order, fetcher->order_count, sizeof(*fetcher->order),
	    by_topic);
	fetcher->table_changed = false;
}
