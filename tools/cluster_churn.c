/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ISR churn: what two looks at the cluster, one soon after the other, tell of
 * leaders and in-sync replicas that change.
 *
 *	first look: leader @epoch, ISR    second look
 *	t-0  1 @4  1,2,3                  1 @4  3,1,2	the same
 *	t-1  1 @4  1,2,3                  1 @4  1,2	another ISR
 *	t-2  2 @4  2,3                    3 @5  2,3	another leader
 *	t-3  2 @4  2,3                    2 @6  2,3	elected again meanwhile
 *	t-4  2 @4  2,3                    -		of no account
 *
 * An ISR that is as it was again by the second look is not seen.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "tools/cluster.h"

typedef struct metadata_response_topic topic_facts;
typedef struct metadata_response_partition partition_facts;

/* One partition of a look. */
struct seen {
	const topic_facts *topic;
	const partition_facts *partition;
};

static int
seen_compare(const void *a, const void *b)
{
	const struct seen *x = a;
	const struct seen *y = b;
	const int order = slice_compare(x->topic->name, y->topic->name);
	const int32_t i = x->partition->partition_index;
	const int32_t j = y->partition->partition_index;

	return (order != 0 ? order : (i > j) - (i < j));
}

/* All partitions, sorted; to be freed. */
static struct seen *
seen_sorted(const struct metadata_response *metadata, size_t *count)
{
	struct seen *all;
	size_t n = 0;

	for (int32_t t = 0; t < metadata->topics_count; t++)
		n += (size_t)metadata->topics[t].partitions_count;
	all = mem_alloc((n + 1) * sizeof(*all));
	*count = n;
	n = 0;
	for (int32_t t = 0; t < metadata->topics_count; t++) {
		const topic_facts *topic = &metadata->topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++)
			all[n++] = (struct seen) { topic,
				&topic->partitions[p] };
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), seen_compare);
	return (all);
}

/* --- comparing ------------------------------------------------------------ */

static int
id_compare(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return ((x > y) - (x < y));
}

static int32_t *
isr_sorted(const partition_facts *partition)
{
	const size_t count = (size_t)partition->isr_nodes_count;
	int32_t *ids = mem_alloc(count * sizeof(*ids));

	memcpy(ids, partition->isr_nodes, count * sizeof(*ids));
	qsort(ids, count, sizeof(*ids), id_compare);
	return (ids);
}

/* Brokers name the replicas of an ISR in any order. */
static bool
isr_same(const partition_facts *x, const partition_facts *y)
{
	const size_t bytes = (size_t)x->isr_nodes_count * sizeof(int32_t);
	int32_t *first, *second;
	bool same;

	if (x->isr_nodes_count != y->isr_nodes_count)
		return (false);
	if (bytes == 0 || memcmp(x->isr_nodes, y->isr_nodes, bytes) == 0)
		return (true);
	first = isr_sorted(x);
	second = isr_sorted(y);
	same = memcmp(first, second, bytes) == 0;
	mem_free(first);
	mem_free(second);
	return (same);
}

/* The epoch tells of elections in between; the controller's own changes of an
 * ISR have a new one, too.  Brokers before 2.3 tell none, which is -1 then. */
static bool
leader_same(const partition_facts *x, const partition_facts *y)
{
	return (x->leader_id == y->leader_id &&
	    (x->leader_epoch < 0 || y->leader_epoch < 0 ||
		x->leader_epoch == y->leader_epoch));
}

/* One that was deleted and made again begins anew. */
static bool
topic_same(const topic_facts *x, const topic_facts *y)
{
	return (uuid_is_zero(x->topic_id) || uuid_is_zero(y->topic_id) ||
	    uuid_equal(x->topic_id, y->topic_id));
}

static void
churn_add(struct health_churn *churn, const partition_facts *before,
    const partition_facts *after)
{
	const bool isr = !isr_same(before, after);
	const bool leader = !leader_same(before, after);

	churn->partitions += isr || leader;
	churn->isrs += isr;
	churn->leaders += leader;
}

void
health_churn_count(const struct metadata_response *before,
    const struct metadata_response *after, struct health_churn *out)
{
	size_t count;
	struct seen *all = seen_sorted(before, &count);

	out->partitions = out->isrs = out->leaders = 0;
	for (int32_t t = 0; count != 0 && t < after->topics_count; t++) {
		const topic_facts *topic = &after->topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++) {
			const struct seen key = { topic,
				&topic->partitions[p] };
			const struct seen *found = bsearch(&key, all, count,
			    sizeof(key), seen_compare);

			if (found != NULL && topic_same(found->topic, topic))
				churn_add(out, found->partition,
				    key.partition);
		}
	}
	mem_free(all);
}
