/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas reassign-partitions` prints: words as those of Kafka's tool,
 * which scripts look for. */
#include <stdlib.h>

#include "base/check.h"
#include "tools/moves.h"
#include "tools/reassign.h"

typedef struct list_partition_reassignments_response_partition move_facts;

void
reassign_put_ids(const int32_t *ids, size_t count, struct buffer *out)
{
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, i == 0 ? "%d" : ",%d", ids[i]);
}

static void
put_name(struct slice topic, int32_t partition, struct buffer *out)
{
	buffer_printf(out, "%.*s-%d", SLICE_ARGS(topic), partition);
}

void
reassign_put_names(const struct reassign_parts *parts, struct buffer *out)
{
	for (size_t i = 0; i < parts->count; i++) {
		if (i != 0)
			buffer_append_text(out, ",");
		put_name(parts->items[i].topic, parts->items[i].partition,
		    out);
	}
}

void
reassign_json_parts(struct json_out *json, const char *name,
    const struct reassign_parts *parts)
{
	json_open(json, name, '{');
	json_int(json, "version", 1);
	json_open(json, "partitions", '[');
	for (size_t i = 0; i < parts->count; i++) {
		const struct reassign_part *part = &parts->items[i];

		json_open(json, NULL, '{');
		json_text(json, "topic", part->topic);
		json_int(json, "partition", part->partition);
		json_ints(json, "replicas", part->replicas,
		    (size_t)part->replica_count);
		json_open(json, "log_dirs", '[');
		for (int32_t k = 0; k < part->replica_count; k++)
			json_text(json, NULL, SLICE_LITERAL("any"));
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
	json_close(json, '}');
}

/* --- list ----------------------------------------------------------------- */

struct listed {
	struct slice topic;
	const move_facts *facts;
};

static int
listed_compare(const void *a, const void *b)
{
	const struct listed *x = a;
	const struct listed *y = b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->facts->partition_index >
				 y->facts->partition_index) -
		    (x->facts->partition_index < y->facts->partition_index));
}

/* By topic and number. */
static struct listed *
listed_sorted(const struct list_partition_reassignments_response *moves,
    struct arena *arena, size_t *count)
{
	struct listed *items;

	*count = 0;
	for (int32_t t = 0; t < moves->topics_count; t++)
		*count += (size_t)moves->topics[t].partitions_count;
	items = arena_array(arena, *count + 1, sizeof(*items));
	CHECK(items != NULL);
	*count = 0;
	for (int32_t t = 0; t < moves->topics_count; t++)
		for (int32_t p = 0; p < moves->topics[t].partitions_count; p++)
			items[(*count)++] = (struct listed) {
				.topic = moves->topics[t].name,
				.facts = &moves->topics[t].partitions[p],
			};
	if (*count > 1)
		qsort(items, *count, sizeof(*items), listed_compare);
	return (items);
}

static void
put_some(const char *name, const int32_t *ids, int32_t count,
    struct buffer *out)
{
	if (count == 0)
		return;
	buffer_printf(out, " %s: ", name);
	reassign_put_ids(ids, (size_t)count, out);
	buffer_append_text(out, ".");
}

void
reassign_list_text(const struct list_partition_reassignments_response *moves,
    struct arena *arena, struct buffer *out)
{
	size_t count;
	const struct listed *items = listed_sorted(moves, arena, &count);

	buffer_append_text(out, count == 0
		? "No partition reassignments found.\n"
		: "Current partition reassignments:\n");
	for (size_t i = 0; i < count; i++) {
		const move_facts *facts = items[i].facts;

		put_name(items[i].topic, facts->partition_index, out);
		buffer_append_text(out, ": replicas: ");
		reassign_put_ids(facts->replicas,
		    (size_t)facts->replicas_count, out);
		buffer_append_text(out, ".");
		put_some("adding", facts->adding_replicas,
		    facts->adding_replicas_count, out);
		put_some("removing", facts->removing_replicas,
		    facts->removing_replicas_count, out);
		buffer_append_text(out, "\n");
	}
}

void
reassign_list_json(const struct list_partition_reassignments_response *moves,
    struct arena *arena, struct json_out *json)
{
	size_t count;
	const struct listed *items = listed_sorted(moves, arena, &count);

	json_open(json, "reassignments", '[');
	for (size_t i = 0; i < count; i++) {
		const move_facts *facts = items[i].facts;

		json_open(json, NULL, '{');
		json_text(json, "topic", items[i].topic);
		json_int(json, "partition", facts->partition_index);
		json_ints(json, "replicas", facts->replicas,
		    (size_t)facts->replicas_count);
		json_ints(json, "addingReplicas", facts->adding_replicas,
		    (size_t)facts->adding_replicas_count);
		json_ints(json, "removingReplicas", facts->removing_replicas,
		    (size_t)facts->removing_replicas_count);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* --- how partitions stand ------------------------------------------------- */

static bool
part_moving(const struct reassign_state *state,
    const struct reassign_part *part)
{
	return (moves_find(state->moves, part->topic, part->partition) !=
	    NULL);
}

static bool
part_done(const struct reassign_part *part, const struct reassign_part *now)
{
	return (now != NULL && now->replica_count == part->replica_count &&
	    memcmp(now->replicas, part->replicas,
		(size_t)part->replica_count * sizeof(*part->replicas)) == 0);
}

void
reassign_state_text(const struct reassign_state *state, struct buffer *out)
{
	buffer_append_text(out, "Status of partition reassignment:\n");
	for (size_t i = 0; i < state->wanted->count; i++) {
		const struct reassign_part *part = &state->wanted->items[i];
		const struct reassign_part *now = reassign_part_find(
		    state->now, part->topic, part->partition);

		if (part_moving(state, part) || part_done(part, now)) {
			buffer_append_text(out, "Reassignment of partition ");
			put_name(part->topic, part->partition, out);
			buffer_append_text(out, part_moving(state, part)
				? " is still in progress.\n"
				: " is completed.\n");
			continue;
		}
		buffer_append_text(out, "There is no active reassignment of "
					"partition ");
		put_name(part->topic, part->partition, out);
		buffer_append_text(out, ", but replica set is ");
		if (now != NULL)
			reassign_put_ids(now->replicas,
			    (size_t)now->replica_count, out);
		buffer_append_text(out, " rather than ");
		reassign_put_ids(part->replicas,
		    (size_t)part->replica_count, out);
		buffer_append_text(out, ".\n");
	}
}

void
reassign_state_json(const struct reassign_state *state, struct json_out *json)
{
	json_open(json, "partitions", '[');
	for (size_t i = 0; i < state->wanted->count; i++) {
		const struct reassign_part *part = &state->wanted->items[i];
		const struct reassign_part *now = reassign_part_find(
		    state->now, part->topic, part->partition);

		json_open(json, NULL, '{');
		json_text(json, "topic", part->topic);
		json_int(json, "partition", part->partition);
		json_text(json, "state", part_moving(state, part)
			? SLICE_LITERAL("moving")
			: part_done(part, now) ? SLICE_LITERAL("completed")
					       : SLICE_LITERAL("different"));
		json_ints(json, "replicas", now == NULL ? NULL : now->replicas,
		    now == NULL ? 0 : (size_t)now->replica_count);
		json_ints(json, "wantedReplicas", part->replicas,
		    (size_t)part->replica_count);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* --- how directories stand ------------------------------------------------ */

bool
reassign_dir_moving(const struct reassign_dir *dir)
{
	return (dir->current.data != NULL && dir->future.data != NULL);
}

static void
put_dir_moving(const struct reassign_dir *dir, struct buffer *out)
{
	if (slice_equal(dir->wanted, dir->future))
		buffer_printf(out, "Reassignment of replica %.*s-%d-%d is "
				   "still in progress.\n",
		    SLICE_ARGS(dir->topic), dir->partition, dir->broker);
	else
		buffer_printf(out,
		    "Partition %.*s-%d on broker %d is being moved to log dir "
		    "%.*s instead of %.*s.\n",
		    SLICE_ARGS(dir->topic), dir->partition, dir->broker,
		    SLICE_ARGS(dir->future), SLICE_ARGS(dir->wanted));
}

void
reassign_dirs_text(const struct reassign_dirs *dirs, struct buffer *out)
{
	for (size_t i = 0; i < dirs->count; i++) {
		const struct reassign_dir *dir = &dirs->items[i];

		if (dir->current.data == NULL)
			buffer_printf(out,
			    "Partition %.*s-%d is not found in any live log "
			    "dir on broker %d. There is likely an offline log "
			    "directory on the broker.\n",
			    SLICE_ARGS(dir->topic), dir->partition,
			    dir->broker);
		else if (reassign_dir_moving(dir))
			put_dir_moving(dir, out);
		else if (slice_equal(dir->current, dir->wanted))
			buffer_printf(out, "Reassignment of replica "
					   "%.*s-%d-%d completed "
					   "successfully.\n",
			    SLICE_ARGS(dir->topic), dir->partition,
			    dir->broker);
		else
			buffer_printf(out,
			    "Partition %.*s-%d on broker %d is not being "
			    "moved from log dir %.*s to %.*s.\n",
			    SLICE_ARGS(dir->topic), dir->partition,
			    dir->broker, SLICE_ARGS(dir->current),
			    SLICE_ARGS(dir->wanted));
	}
}

void
reassign_dirs_json(const struct reassign_dirs *dirs, const char *name,
    struct json_out *json)
{
	json_open(json, name, '[');
	for (size_t i = 0; i < dirs->count; i++) {
		const struct reassign_dir *dir = &dirs->items[i];

		json_open(json, NULL, '{');
		json_text(json, "topic", dir->topic);
		json_int(json, "partition", dir->partition);
		json_int(json, "broker", dir->broker);
		json_text(json, "wantedLogDir", dir->wanted);
		json_text(json, "logDir", dir->current);
		json_text(json, "futureLogDir", dir->future);
		json_bool(json, "begun", dir->begun);
		json_close(json, '}');
	}
	json_close(json, ']');
}
