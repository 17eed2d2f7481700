/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five brokers, no racks, start 0, shift 0, ten partitions:
 *
 *	broker    0   1   2   3   4
 *	          p0  p1  p2  p3  p4   first replicas
 *	          p5  p6  p7  p8  p9
 *	          p4  p0  p1  p2  p3   second ones
 *	          p8  p9  p5  p6  p7   ... one further, after a whole round
 */
#include "base/placement.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/random.h"

/* The brokers in the order in which partitions go around. */
struct circle {
	const struct placement_broker **brokers;
	size_t count;
	size_t rack_count; /* 0: racks do not matter */
};

static size_t
follower_index(size_t first, size_t shift, size_t nth, size_t count)
{
	return ((first + 1 + (shift + nth) % (count - 1)) % count);
}

static int
compare_racks(const void *a, const void *b)
{
	const struct placement_broker *x =
	    *(const struct placement_broker *const *)a;
	const struct placement_broker *y =
	    *(const struct placement_broker *const *)b;
	int racks = strcmp(x->rack, y->rack);

	return (racks != 0 ? racks : (x->id > y->id) - (x->id < y->id));
}

/* From racks one after another to one broker of each rack in turn. */
static void
circle_alternate(struct circle *circle)
{
	const struct placement_broker **sorted = circle->brokers;
	const struct placement_broker **out =
	    mem_zalloc(circle->count * sizeof(*out));
	size_t *starts = mem_zalloc((circle->count + 1) * sizeof(*starts));
	size_t taken = 0;

	qsort(sorted, circle->count, sizeof(*sorted), compare_racks);
	for (size_t i = 0; i < circle->count; i++)
		if (i == 0 || strcmp(sorted[i]->rack, sorted[i - 1]->rack) != 0)
			starts[circle->rack_count++] = i;
	starts[circle->rack_count] = circle->count;
	for (size_t round = 0; taken < circle->count; round++)
		for (size_t r = 0; r < circle->rack_count; r++)
			if (starts[r] + round < starts[r + 1])
				out[taken++] = sorted[starts[r] + round];
	mem_free(starts);
	mem_free(circle->brokers);
	circle->brokers = out;
}

static bool
circle_init(struct circle *circle, const struct placement_request *request)
{
	size_t with_rack = 0;

	*circle = (struct circle){ .count = request->broker_count };
	for (size_t i = 0; i < circle->count; i++)
		with_rack += request->brokers[i].rack != NULL;
	if (with_rack != 0 && with_rack != circle->count)
		return (false);
	circle->brokers = mem_zalloc(circle->count * sizeof(*circle->brokers));
	for (size_t i = 0; i < circle->count; i++)
		circle->brokers[i] = &request->brokers[i];
	if (with_rack != 0)
		circle_alternate(circle);
	return (true);
}

static bool
holds_rack(const struct circle *circle, const size_t *chosen, int32_t count,
    const char *rack)
{
	for (int32_t i = 0; i < count; i++)
		if (strcmp(circle->brokers[chosen[i]]->rack, rack) == 0)
			return (true);
	return (false);
}

static size_t
racks_held(const struct circle *circle, const size_t *chosen, int32_t count)
{
	size_t racks = 0;

	for (int32_t i = 0; i < count; i++)
		racks += !holds_rack(circle, chosen, i,
		    circle->brokers[chosen[i]]->rack);
	return (racks);
}

/* A rack that holds one already waits until each rack holds one. */
static bool
is_welcome(const struct circle *circle, const size_t *chosen, int32_t count,
    size_t index)
{
	for (int32_t i = 0; i < count; i++)
		if (chosen[i] == index)
			return (false);
	return (circle->rack_count == 0 ||
	    !holds_rack(circle, chosen, count, circle->brokers[index]->rack) ||
	    racks_held(circle, chosen, count) == circle->rack_count);
}

static void
place_one(const struct circle *circle, size_t first, size_t shift,
    int32_t replication_factor, size_t *chosen)
{
	size_t step = circle->rack_count == 0 ? shift :
	    shift * circle->rack_count;
	size_t nth = 0;

	chosen[0] = first;
	for (int32_t r = 1; r < replication_factor; nth++) {
		size_t index = follower_index(first, step, nth, circle->count);

		if (is_welcome(circle, chosen, r, index))
			chosen[r++] = index;
	}
}

bool
placement_assign(const struct placement_request *request, int32_t *replicas)
{
	int32_t factor = request->replication_factor;
	struct circle circle;
	size_t start, shift;
	size_t *chosen;

	if (factor <= 0 || request->partition_count < 0 ||
	    (size_t)factor > request->broker_count ||
	    !circle_init(&circle, request))
		return (false);
	if (request->fixed_start >= 0) {
		start = shift = (size_t)request->fixed_start;
	} else {
		start = random_below(request->random, circle.count);
		shift = random_below(request->random, circle.count);
	}
	chosen = mem_zalloc((size_t)factor * sizeof(*chosen));
	for (int32_t i = 0; i < request->partition_count; i++) {
		size_t partition = (size_t)request->first_partition + (size_t)i;

		if (partition > 0 && partition % circle.count == 0)
			shift++;
		place_one(&circle, (partition + start) % circle.count, shift,
		    factor, chosen);
		for (int32_t r = 0; r < factor; r++)
			*replicas++ = circle.brokers[chosen[r]]->id;
	}
	mem_free(chosen);
	mem_free(circle.brokers);
	return (true);
}

/* --- what others placed --------------------------------------------------- */

static int
compare_ids(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return ((x > y) - (x < y));
}

/* Sorted: whoever asks may name a million. */
bool
placement_repeats(const int32_t *replicas, int32_t count)
{
	size_t n = count > 0 ? (size_t)count : 0;
	int32_t *sorted = mem_alloc((n + 1) * sizeof(*sorted));
	bool repeats = false;

	if (n > 0) {
		memcpy(sorted, replicas, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), compare_ids);
	}
	for (size_t i = 1; i < n && !repeats; i++)
		repeats = sorted[i] == sorted[i - 1];
	mem_free(sorted);
	return (repeats);
}

int32_t
placement_unique(int32_t *replicas, int32_t count)
{
	int32_t kept = 0;

	for (int32_t i = 0; i < count; i++) {
		int32_t k = 0;

		while (k < kept && replicas[k] != replicas[i])
			k++;
		if (k == kept)
			replicas[kept++] = replicas[i];
	}
	return (kept);
}
