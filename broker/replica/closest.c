/* SPDX-License-Identifier: Apache-2.0 */
#include "replica/closest.h"

#include <string.h>

#include "replica/fetch_int.h"

bool
closest_is_selected(const char *selector_class)
{
	return (selector_class != NULL &&
	    strcmp(selector_class, CLOSEST_RACK_AWARE) == 0);
}

static bool
closest_serves(const struct isr_member *member, int64_t fetch_offset)
{
	return (member->in_isr && member->end_offset >= fetch_offset &&
	    member->start_offset <= fetch_offset);
}

static bool
closest_is_better(const struct isr_member *a, const struct isr_member *b)
{
	if (a->end_offset != b->end_offset)
		return (a->end_offset > b->end_offset);
	if (a->caught_up_ms != b->caught_up_ms)
		return (a->caught_up_ms > b->caught_up_ms);
	return (a->broker > b->broker);
}

int32_t
closest_replica(const struct isr *isr, int32_t leader, int64_t fetch_offset,
    const struct closest_rack *rack)
{
	const struct isr_member *best = NULL;

	if (rack->has(rack->arg, leader))
		return (-1);
	for (int32_t i = 0; i < isr->member_count; i++) {
		const struct isr_member *member = &isr->members[i];

		if (closest_serves(member, fetch_offset) &&
		    rack->has(rack->arg, member->broker) &&
		    (best == NULL || closest_is_better(member, best)))
			best = member;
	}
	return (best == NULL ? -1 : best->broker);
}

/* --- for a fetch ---------------------------------------------------------- */

/* One that the asker cannot reach by the listener that it came to is none. */
static bool
fetch_rack_has(const void *arg, int32_t id)
{
	const struct fetch *f = arg;
	const struct cluster_broker *broker = image_broker(
	    cluster_image(f->replicas->setup.cluster), id);

	return (broker != NULL && broker->rack != NULL &&
	    slice_equal_text(f->rack, broker->rack) &&
	    broker_endpoint(broker, f->listener) != NULL);
}

static int32_t
fetch_closest(const struct fetch *f, const struct fetch_part *part)
{
	const struct closest_rack rack = { fetch_rack_has, f };
	struct replica *replica = part->replica;
	int32_t closest = -1;

	lock_take(&replica->state);
	if (replica->leads)
		closest = closest_replica(&replica->isr,
		    f->replicas->setup.broker_id, part->fetch_offset, &rack);
	lock_release(&replica->state);
	return (closest);
}

void
fetch_choose(struct fetch *f)
{
	bool asks = f->replicas->reads_closest && f->replica_id < 0 &&
	    f->may_read_follower && f->rack.length > 0;

	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];

		part->preferred_read_replica =
		    asks && part->replica != NULL ? fetch_closest(f, part) : -1;
	}
}
