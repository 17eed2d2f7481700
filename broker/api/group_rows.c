/* SPDX-License-Identifier: Apache-2.0 */
#include "api/group_rows.h"

#include "base/twins.h"

/* A part on its way: its topic's place among the rows. */
struct rows_sort {
	struct group_part *parts;
	size_t count;
	const struct twin_ends *same;  /* topic and partition */
	const struct twin_ends *topic;
	size_t *ranks;  /* of topics, by the index of the first part */
	size_t *starts; /* by rank: the next free row */
};

#define NO_RANK SIZE_MAX

static bool
image_has(const struct cluster_image *image, const struct group_part *part)
{
	const struct cluster_topic *topic = image_topic(image, part->topic);

	return (topic != NULL &&
	    topic_partition(topic, part->partition) != NULL);
}

static const struct twin_ends *
rows_twins(const struct rows_sort *sort, bool partitions, struct arena *arena)
{
	struct twin *twins = arena_array(arena, sort->count, sizeof(*twins));

	for (size_t i = 0; twins != NULL && i < sort->count; i++)
		twins[i] = (struct twin){ .name = sort->parts[i].topic,
			.number = partitions ? sort->parts[i].partition : 0 };
	return (twins == NULL ? NULL :
				twins_find(arena, twins, sort->count));
}

/* Whether it is answered in this pass. */
static bool
rows_wants(const struct rows_sort *sort, size_t i, bool refused)
{
	if ((sort->parts[i].error != ERR_NONE) != refused)
		return (false);
	return (refused || sort->same[i].first == i);
}

static void
rows_rank(struct rows_sort *sort, struct group_rows *rows, bool refused)
{
	for (size_t i = 0; i < sort->count; i++) {
		size_t *rank = &sort->ranks[sort->topic[i].first];

		if (!rows_wants(sort, i, refused))
			continue;
		if (*rank == NO_RANK) {
			*rank = rows->topic_count++;
			rows->topics[*rank].name = sort->parts[i].topic;
		}
		rows->topics[*rank].count++;
		rows->count++;
		rows->valid_count += !refused;
	}
}

static void
rows_place(struct rows_sort *sort, struct group_rows *rows, bool refused)
{
	for (size_t i = 0; i < sort->count; i++) {
		const size_t rank = sort->ranks[sort->topic[i].first];

		if (rows_wants(sort, i, refused))
			rows->parts[sort->starts[rank]++] =
			    sort->parts[refused ? i : sort->same[i].last];
	}
}

bool
group_rows_make(struct group_rows *rows, struct arena *arena,
    const struct cluster_image *image, const struct group_part *asked,
    size_t count)
{
	const enum error missing = image->untold ?
	    ERR_COORDINATOR_LOAD_IN_PROGRESS : ERR_UNKNOWN_TOPIC_OR_PARTITION;
	struct rows_sort sort = { .count = count };
	size_t start = 0;

	memset(rows, 0, sizeof(*rows));
	sort.parts = arena_array(arena, count, sizeof(*sort.parts));
	sort.ranks = arena_array(arena, count, sizeof(*sort.ranks));
	sort.starts = arena_array(arena, count, sizeof(*sort.starts));
	rows->parts = arena_array(arena, count, sizeof(*rows->parts));
	rows->topics = arena_array(arena, count, sizeof(*rows->topics));
	if (sort.parts == NULL || sort.ranks == NULL || sort.starts == NULL ||
	    rows->parts == NULL || rows->topics == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		sort.parts[i] = asked[i];
		sort.ranks[i] = NO_RANK;
		sort.parts[i].error = image_has(image, &asked[i]) ?
		    ERR_NONE : missing;
	}
	sort.same = rows_twins(&sort, true, arena);
	sort.topic = rows_twins(&sort, false, arena);
	if (sort.same == NULL || sort.topic == NULL)
		return (false);
	rows_rank(&sort, rows, true);
	rows_rank(&sort, rows, false);
	for (size_t i = 0; i < rows->topic_count; i++) {
		sort.starts[i] = start;
		start += (size_t)rows->topics[i].count;
	}
	rows_place(&sort, rows, true);
	rows_place(&sort, rows, false);
	return (true);
}
