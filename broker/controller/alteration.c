/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/alteration.h"

static bool
is_sound(const struct alteration *asked)
{
	return (asked->broker == asked->leader && !asked->repeats &&
	    (asked->recovery_state == 0 || asked->recovery_state == 1));
}

/* As a leader of ours never asks; Kafka would take it. */
static bool
is_malformed(const struct alteration *asked)
{
	bool leads = false;

	for (size_t i = 0; i < asked->member_count; i++) {
		const struct alteration_member *member = &asked->members[i];

		leads = leads || member->broker == asked->leader;
		if (!member->in_isr && !member->assigned)
			return (true);
	}
	return (!leads || !is_sound(asked));
}

/* A partition that recovers has its leader alone in the ISR, and none begins to
 * recover but by an unclean election (KIP-704). */
static bool
recovers_wrongly(const struct alteration *asked)
{
	return (asked->recovery_state == 1 &&
	    (asked->member_count > 1 || !asked->recovering));
}

static bool
is_well(const struct alteration *asked)
{
	if (!is_sound(asked) || asked->member_count != asked->isr_count ||
	    (asked->recovery_state == 1) != asked->recovering)
		return (false);
	for (size_t i = 0; i < asked->member_count; i++)
		if (!asked->members[i].in_isr)
			return (false);
	return (true);
}

static bool
is_ineligible(const struct alteration_member *member)
{
	return (member->other_epoch || (!member->in_isr && !member->stays));
}

enum error
alteration_check(const struct alteration *asked, bool *well)
{
	*well = false;
	/* The leader knows what this controller does not: another wrote. */
	if (asked->leader_epoch > asked->known_leader_epoch ||
	    asked->partition_epoch > asked->known_partition_epoch)
		return (ERR_NOT_CONTROLLER);
	if (asked->leader_epoch < asked->known_leader_epoch)
		return (ERR_FENCED_LEADER_EPOCH);
	/* Before the partition epoch is looked at: its answer may have been
	 * lost, and it asks again. */
	if (is_well(asked)) {
		*well = true;
		return (ERR_NONE);
	}
	if (asked->partition_epoch != asked->known_partition_epoch)
		return (ERR_INVALID_UPDATE_VERSION);
	if (recovers_wrongly(asked))
		return (ERR_INVALID_REQUEST);
	for (size_t i = 0; i < asked->member_count; i++)
		if (is_ineligible(&asked->members[i]))
			return (ERR_INELIGIBLE_REPLICA);
	return (is_malformed(asked) ? ERR_INVALID_REQUEST : ERR_NONE);
}
