/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `barnabas reassign-partitions` decides, without a broker: who sends and
 * who receives, and where replicas could go.
 *
 *	has 1,2,3  wants 2,3,4:  from 1,2,3  to 4
 *	moves already (adding 4): from what it had before, whatever is wanted
 *
 * Source: ReassignPartitionsCommand.calculateProposedMoveMap of 3.9.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/placement.h"
#include "tools/moves.h"
#include "tools/reassign.h"

/* --- who sends, who receives ---------------------------------------------- */

static bool
ids_hold(const int32_t *ids, int32_t count, int32_t id)
{
	for (int32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return (true);
	return (false);
}

/* Those that are not among `without`. */
static struct reassign_brokers
ids_without(const int32_t *ids, int32_t count, const int32_t *without,
    int32_t without_count, struct arena *arena)
{
	struct reassign_brokers out = { 0 };

	out.ids = arena_array(arena, (size_t)count + 1, sizeof(*out.ids));
	CHECK(out.ids != NULL);
	for (int32_t i = 0; i < count; i++)
		if (!ids_hold(without, without_count, ids[i]))
			out.ids[out.count++] = ids[i];
	reassign_brokers_unite(&out);
	return (out);
}

typedef struct list_partition_reassignments_response_partition move_facts;

/* What is there before the move. */
static struct reassign_brokers
move_sources(const move_facts *facts, struct arena *arena)
{
	return (ids_without(facts->replicas, facts->replicas_count,
	    facts->adding_replicas, facts->adding_replicas_count, arena));
}

static void
take_wanted(const struct reassign_part *part, const move_facts *facts,
    const struct reassign_part *now, struct arena *arena,
    struct reassign_move *out)
{
	out->topic = part->topic;
	out->partition = part->partition;
	out->from = facts != NULL
	    ? move_sources(facts, arena)
	    : ids_without(now->replicas, now->replica_count, NULL, 0, arena);
	out->to = ids_without(part->replicas, part->replica_count,
	    out->from.ids, (int32_t)out->from.count, arena);
}

static void
take_under_way(struct slice topic, const move_facts *facts,
    struct arena *arena, struct reassign_move *out)
{
	out->topic = topic;
	out->partition = facts->partition_index;
	out->from = move_sources(facts, arena);
	out->to = ids_without(facts->adding_replicas,
	    facts->adding_replicas_count, NULL, 0, arena);
}

static int
move_compare(const void *a, const void *b)
{
	const struct reassign_move *x = a;
	const struct reassign_move *y = b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

static size_t
under_way_count(const struct list_partition_reassignments_response *moves)
{
	size_t count = 0;

	for (int32_t t = 0; t < moves->topics_count; t++)
		count += (size_t)moves->topics[t].partitions_count;
	return (count);
}

void
reassign_plan_moves(
    const struct list_partition_reassignments_response *under_way,
    const struct reassign_parts *wanted, const struct reassign_parts *now,
    struct arena *arena, struct reassign_moves *out)
{
	*out = (struct reassign_moves) { 0 };
	out->items = arena_array(arena,
	    wanted->count + under_way_count(under_way) + 1,
	    sizeof(*out->items));
	CHECK(out->items != NULL);
	for (size_t i = 0; i < wanted->count; i++) {
		const struct reassign_part *part = &wanted->items[i];

		take_wanted(part,
		    moves_find(under_way, part->topic, part->partition),
		    reassign_part_find(now, part->topic, part->partition),
		    arena, &out->items[out->count++]);
	}
	for (int32_t t = 0; t < under_way->topics_count; t++)
		for (int32_t p = 0; p < under_way->topics[t].partitions_count;
		     p++) {
			const struct slice topic = under_way->topics[t].name;
			const move_facts *facts =
			    &under_way->topics[t].partitions[p];

			if (reassign_part_find(wanted, topic,
				facts->partition_index) == NULL)
				take_under_way(topic, facts, arena,
				    &out->items[out->count++]);
		}
	if (out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items),
		    move_compare);
}

void
reassign_plan_brokers(const struct reassign_moves *moves, struct arena *arena,
    struct reassign_brokers *out)
{
	size_t count = 0;

	for (size_t i = 0; i < moves->count; i++)
		count += moves->items[i].from.count + moves->items[i].to.count;
	*out = (struct reassign_brokers) { 0 };
	out->ids = arena_array(arena, count + 1, sizeof(*out->ids));
	CHECK(out->ids != NULL);
	for (size_t i = 0; i < moves->count; i++) {
		const struct reassign_move *move = &moves->items[i];

		for (size_t k = 0; k < move->from.count; k++)
			out->ids[out->count++] = move->from.ids[k];
		for (size_t k = 0; k < move->to.count; k++)
			out->ids[out->count++] = move->to.ids[k];
	}
	reassign_brokers_unite(out);
}

/* --- throttled replicas --------------------------------------------------- */

/* "2147483647:2147483647" */
#define PAIR_SIZE 24

static int
pair_compare(const void *a, const void *b)
{
	return (strcmp(a, b));
}

void
reassign_plan_throttle(const struct reassign_move *moves, size_t count,
    enum reassign_side side, struct buffer *out)
{
	char (*pairs)[PAIR_SIZE];
	size_t pair_count = 0;
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		pair_count += side == REASSIGN_LEADERS ? moves[i].from.count
						       : moves[i].to.count;
	pairs = mem_zalloc((pair_count + 1) * PAIR_SIZE);
	for (size_t i = 0; i < count; i++) {
		const struct reassign_brokers *brokers =
		    side == REASSIGN_LEADERS ? &moves[i].from : &moves[i].to;

		for (size_t k = 0; k < brokers->count; k++)
			snprintf(pairs[at++], PAIR_SIZE, "%d:%d",
			    moves[i].partition, brokers->ids[k]);
	}
	if (pair_count > 1)
		qsort(pairs, pair_count, PAIR_SIZE, pair_compare);
	for (size_t i = 0; i < pair_count; i++)
		buffer_printf(out, i == 0 ? "%s" : ",%s", pairs[i]);
	mem_free(pairs);
}

/* --- where replicas could go ---------------------------------------------- */

/* The brokers that are there and wanted, by id. */
static bool
placement_brokers(const struct reassign_brokers *brokers,
    const struct metadata_response *metadata, bool racks, struct arena *arena,
    struct placement_request *request)
{
	struct placement_broker *out;
	size_t with_rack = 0;

	out = arena_array(arena, brokers->count + 1, sizeof(*out));
	CHECK(out != NULL);
	request->brokers = out;
	for (size_t i = 0; i < brokers->count; i++)
		for (int32_t k = 0; k < metadata->brokers_count; k++) {
			const struct metadata_response_broker *broker =
			    &metadata->brokers[k];
			struct placement_broker *to =
			    &out[request->broker_count];

			if (broker->node_id != brokers->ids[i])
				continue;
			to->id = broker->node_id;
			to->rack = racks && broker->rack.data != NULL
			    ? arena_slice_text(arena, broker->rack)
			    : NULL;
			with_rack += to->rack != NULL;
			request->broker_count++;
			break;
		}
	return (with_rack == 0 || with_rack == request->broker_count);
}

/* One topic's partitions, from `out` on. */
static bool
propose_topic(const struct reassign_part *now, size_t count,
    struct placement_request *request, struct arena *arena,
    struct reassign_part *out)
{
	const int32_t factor = now->replica_count;
	int32_t *replicas = arena_array(arena, count * (size_t)factor + 1,
	    sizeof(*replicas));

	CHECK(replicas != NULL);
	request->partition_count = (int32_t)count;
	request->replication_factor = factor;
	if (!placement_assign(request, replicas))
		return (false);
	for (size_t i = 0; i < count; i++)
		out[i] = (struct reassign_part) {
			.topic = now[i].topic,
			.partition = now[i].partition,
			.replicas = replicas + i * (size_t)factor,
			.replica_count = factor,
		};
	return (true);
}

bool
reassign_propose(const struct reassign_parts *now,
    const struct reassign_brokers *brokers,
    const struct metadata_response *metadata, bool racks,
    struct random *random, struct arena *arena, struct reassign_parts *out,
    struct buffer *why)
{
	struct placement_request request = { .fixed_start = -1,
		.random = random };
	size_t same;

	*out = (struct reassign_parts) { 0 };
	if (!placement_brokers(brokers, metadata, racks, arena, &request)) {
		buffer_append_text(why,
		    "Not all brokers have rack information. Add "
		    "--disable-rack-aware in command line to make replica "
		    "assignment without rack information.");
		return (false);
	}
	out->items = arena_array(arena, now->count + 1, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (; out->count < now->count; out->count += same) {
		const struct reassign_part *first = &now->items[out->count];

		same = reassign_same_topic(first, now->count - out->count);
		if (propose_topic(first, same, &request, arena,
			&out->items[out->count]))
			continue;
		buffer_printf(why, "Replication factor: %d larger than "
				   "available brokers: %zu.",
		    first->replica_count, request.broker_count);
		return (false);
	}
	return (true);
}
