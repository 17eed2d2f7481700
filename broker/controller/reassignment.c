/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/reassignment.h"

#include <string.h>

bool
numbers_hold(const int32_t *numbers, int32_t count, int32_t number)
{
	for (int32_t i = 0; i < count; i++)
		if (numbers[i] == number)
			return (true);
	return (false);
}

/* Those of `from` that are not in the other row, after what is there. */
static void
append_missing(int32_t *to, int32_t *count, const int32_t *from,
    int32_t from_count, const int32_t *but, int32_t but_count)
{
	for (int32_t i = 0; i < from_count; i++)
		if (!numbers_hold(but, but_count, from[i]))
			to[(*count)++] = from[i];
}

static bool
rows_new(struct arena *arena, int32_t room, struct znode_assignment *out)
{
	size_t size = (size_t)room + 1;

	out->replicas = arena_array(arena, size, sizeof(int32_t));
	out->adding = arena_array(arena, size, sizeof(int32_t));
	out->removing = arena_array(arena, size, sizeof(int32_t));
	return (out->replicas != NULL && out->adding != NULL &&
	    out->removing != NULL);
}

bool
reassignment_to(const struct znode_assignment *now, const int32_t *target,
    int32_t count, struct arena *arena, struct znode_assignment *out)
{
	int32_t *origin = arena_array(arena, (size_t)now->replica_count + 1,
	    sizeof(*origin));
	int32_t origin_count = 0;

	*out = (struct znode_assignment){ .partition = now->partition };
	if (origin == NULL)
		return (false);
	append_missing(origin, &origin_count, now->replicas,
	    now->replica_count, now->adding, now->adding_count);
	if (target == NULL) {
		target = origin;
		count = origin_count;
	}
	if (!rows_new(arena, count + origin_count + now->adding_count, out))
		return (false);
	append_missing(out->replicas, &out->replica_count, target, count,
	    NULL, 0);
	append_missing(out->replicas, &out->replica_count, origin,
	    origin_count, target, count);
	/* Called off. */
	append_missing(out->replicas, &out->replica_count, now->adding,
	    now->adding_count, out->replicas, out->replica_count);
	append_missing(out->adding, &out->adding_count, out->replicas,
	    out->replica_count, origin, origin_count);
	append_missing(out->removing, &out->removing_count, out->replicas,
	    out->replica_count, target, count);
	return (true);
}

bool
reassignment_target(const struct znode_assignment *now, struct arena *arena,
    struct znode_assignment *out)
{
	*out = (struct znode_assignment){ .partition = now->partition };
	if (!rows_new(arena, now->replica_count, out))
		return (false);
	append_missing(out->replicas, &out->replica_count, now->replicas,
	    now->replica_count, now->removing, now->removing_count);
	return (true);
}

static bool
same_row(const int32_t *a, int32_t a_count, const int32_t *b, int32_t b_count)
{
	return (a_count == b_count && (a_count == 0 ||
	    memcmp(a, b, (size_t)a_count * sizeof(*a)) == 0));
}

bool
assignment_equal(const struct znode_assignment *a,
    const struct znode_assignment *b)
{
	return (same_row(a->replicas, a->replica_count, b->replicas,
	    b->replica_count) && same_row(a->adding, a->adding_count,
	    b->adding, b->adding_count) && same_row(a->removing,
	    a->removing_count, b->removing, b->removing_count));
}
