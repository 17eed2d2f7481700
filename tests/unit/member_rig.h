/* SPDX-License-Identifier: Apache-2.0 */
/* Members of groups on virtual time: the room's own code above fake_coord.h. */
#ifndef TESTS_UNIT_MEMBER_RIG_H
#define TESTS_UNIT_MEMBER_RIG_H

#include "group/members_int.h"
#include "groups_rig.h"
#include "unit.h"

/* One request and its answer, until the rig ends. */
struct asked {
	struct list link;
	struct group_ask ask;
	struct arena arena;
	union {
		struct join_group_response join;
		struct sync_group_response sync;
		struct heartbeat_response heartbeat;
		struct leave_group_response leave;
		struct list_groups_response list;
	} r;
	struct describe_groups_response_group described;
};

/* Who asks. What is NULL or 0 is as most members have it. */
struct who {
	const char *group;     /* "g" */
	const char *member;    /* "" */
	const char *instance;  /* null */
	const char *client;    /* "client" */
	int version;           /* the last one; OLDEST: 0 */
	int32_t session_ms;    /* 10000 */
	int32_t rebalance_ms;  /* 60000 */
	const char *type;      /* "consumer" */
	const char *protocols; /* "range"; several with ',' */
	const char *metadata;  /* "m" */
};
#define OLDEST (-1)

void rig_init(struct rig *rig);
void rig_fini(struct rig *rig);
/* The last record's value, decoded; its memory is the ask's. */
void rig_last_record(struct rig *rig, struct group_metadata_value *out);
struct group *rig_group(struct rig *rig);
enum group_state rig_state(struct rig *rig);

struct asked *rig_join(struct rig *rig, struct who who);
/* Assignments: "id=bytes,id=bytes" with their members' ids; NULL: none. */
struct asked *rig_sync(struct rig *rig, struct who who, int32_t generation,
    const char *assignments);
int rig_heartbeat(struct rig *rig, struct who who, int32_t generation);
struct asked *rig_leave(struct rig *rig, struct who who);
struct asked *rig_describe(struct rig *rig, const char *group);
struct asked *rig_list(struct rig *rig, const char *state, const char *type);
/* An id of its own, by the two steps of version 4 and later. */
const char *rig_member_id(struct rig *rig, struct who who);
/* A stable group of one member, which has the assignment "A1"; its id. */
const char *rig_one_member(struct rig *rig, struct who who);
/* Of two, in version 0 unless told, which know no ids before they join; the
 * first leads and has "A0", the other one nothing. */
void rig_two_members(struct rig *rig, struct who who, const char *ids[2]);
/* The error of what is refused at once, with nothing else said. */
int rig_join_error(struct rig *rig, struct who who);
int rig_sync_error(struct rig *rig, struct who who, int32_t generation);
/* A copy with a NUL, in the rig's memory. */
const char *rig_text(struct asked *asked, struct slice text);
/* What the gauge of states says. */
int64_t rig_gauge(const struct rig *rig, enum metric metric);

#endif
