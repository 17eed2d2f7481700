/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/election.h"

#include "base/check.h"

/* A broker that shuts down still answers but takes nothing on any more. */
static bool
can_lead(const struct election_replica *replica)
{
	return (replica->live && replica->in_isr && !replica->shutting_down);
}

static int32_t
first_in_sync(const struct election_replica *replicas, size_t count,
    bool targets_only)
{
	for (size_t i = 0; i < count; i++)
		if (can_lead(&replicas[i]) &&
		    (!targets_only || replicas[i].target))
			return (replicas[i].broker);
	return (-1);
}

static struct election_result
election_offline(const struct election_replica *replicas, size_t count,
    bool unclean_allowed)
{
	int32_t leader = first_in_sync(replicas, count, false);

	if (leader >= 0 || !unclean_allowed)
		return ((struct election_result){ .leader = leader });
	for (size_t i = 0; i < count; i++)
		if (replicas[i].live && !replicas[i].shutting_down)
			return ((struct election_result){
			    .leader = replicas[i].broker, .unclean = true });
	return ((struct election_result){ .leader = -1 });
}

struct election_result
election_run(enum election_kind kind, const struct election_replica *replicas,
    size_t count, bool unclean_allowed)
{
	struct election_result none = { .leader = -1 };

	switch (kind) {
	case ELECTION_OFFLINE:
		return (election_offline(replicas, count, unclean_allowed));
	case ELECTION_REASSIGNMENT:
		return ((struct election_result){
		    .leader = first_in_sync(replicas, count, true) });
	case ELECTION_PREFERRED:
		if (count == 0 || !can_lead(&replicas[0]))
			return (none);
		return ((struct election_result){
		    .leader = replicas[0].broker });
	case ELECTION_CONTROLLED_SHUTDOWN:
		return ((struct election_result){
		    .leader = first_in_sync(replicas, count, false) });
	}
	UNREACHABLE();
}
