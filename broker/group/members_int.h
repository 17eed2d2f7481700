/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of membership share.  A member's life:
 *
 *	join "" --> [pending] -- join with its id --> [member] --> freed
 *	  |           |                                ^   |
 *	  |           +--> its session ended           |   +--> left, session
 *	  +-- static, or before version 4 -------------+        ended, late
 *
 * A member waits in its join until all have joined (awaiting_join), then in
 * its sync until the leader's assignment is written (awaiting_sync).  Who waits
 * is alive.  All of it belongs to the shard's loop; nothing borrows a request.
 */
#ifndef GROUP_MEMBERS_INT_H
#define GROUP_MEMBERS_INT_H

#include "base/diag.h"
#include "config/options.h"
#include "group/group_int.h"
#include "metrics/metrics.h"

/* New members may wait so long in their first join: they know no id yet, by
 * which they could send heartbeats. */
#define GROUP_NEW_MEMBER_MS INT64_C(300000)
/* Protocols of one member, and their bytes in all: more are refused. */
#define GROUP_PROTOCOLS_MAX 1000
#define GROUP_PROTOCOL_BYTES_MAX ((size_t)32 << 20)
/* Ids that were given out and did not join yet: the oldest goes first. */
#define GROUP_PENDING_MAX 20000

/* A protocol that some member names. */
struct protocol_support {
	struct hash_node node;
	size_t members;                /* that name it */
	size_t votes;                  /* while one is chosen */
	const struct group_member *last; /* that was counted here */
	size_t length;
	char name[];
};

struct group_protocol {
	struct slice name;
	struct slice metadata;
	struct protocol_support *support; /* NULL: named twice */
};

/* A join or a sync that is not answered yet. */
struct member_wait {
	struct group_wait wait;
	struct group_ask *ask; /* NULL: nobody, or its client is gone */
};

struct group_member {
	struct hash_node node;        /* group_members.by_id */
	struct hash_node static_node; /* .by_instance, when static */
	struct list link;             /* .all */
	struct group *group;
	struct slice id; /* memory of its own: a static one's is replaced */
	struct slice instance_id; /* null: dynamic */
	struct slice client_id;
	struct slice client_host;
	int32_t rebalance_timeout_ms;
	int32_t session_timeout_ms;
	struct group_protocol *protocols; /* as it prefers them */
	size_t protocol_count;
	struct slice assignment; /* in group_members.assigned, or empty */
	struct slice next_assignment; /* the leader's, while it is taken */
	struct timer session;
	int64_t deadline_ns; /* the timer may be due before: it looks then */
	bool is_new;         /* in its first join */
	bool awaiting_join;
	bool awaiting_sync;
	bool sync_pending;   /* of this generation */
	struct member_wait join;
	struct member_wait sync;
	int64_t joined_ns; /* began to wait */
	uint8_t text[]; /* instance id, client id, host */
};

struct pending_member {
	struct hash_node node;
	struct list link;
	struct group *group;
	struct timer session;
	size_t length;
	uint8_t id[];
};

/* How long a group that was empty waits for more members. */
struct join_delay {
	int64_t now_ms;  /* this time */
	int64_t left_ms; /* after it */
};

struct group_members {
	struct group *group;
	struct metrics *metrics; /* outlives the shard, as writes may */
	struct list all; /* in the order of their first join */
	struct hash by_id;
	struct hash by_instance;
	struct hash supports;
	struct hash pending;
	struct list pending_order;
	size_t count;
	size_t awaiting_join;
	size_t sync_pending;
	size_t pending_count;
	struct group_member *leader; /* NULL: there is no member */
	/* PREPARING: the join ends at the latest. COMPLETING, STABLE: syncs of
	 * this generation do. */
	struct timer timer;
	bool initial; /* of the first kind of PREPARING */
	bool new_member_added;
	struct join_delay delay;
	uint8_t *assigned; /* all members' assignments */
	/* What a "consumer" group subscribes to, by address; each is held. */
	struct group_topic **topics;
	size_t topic_count;
	bool topics_known; /* false: it counts as all */
	int64_t rebalance_ns; /* when it began */
};

/* --- rules.c: decisions, of numbers alone --- */

struct join_room {
	enum group_state state;
	bool known;    /* a member of that id is there */
	bool awaiting; /* and waits in a join */
	size_t count;
	size_t awaiting_join;
	size_t max;
};
bool join_room_for(const struct join_room *room);
bool join_complete(size_t count, size_t awaiting_join, size_t pending);
/* The first delay, of a group whose members take so long at most. */
struct join_delay join_delay_first(int64_t delay_ms, int64_t rebalance_ms);
/* After a delay that is over. False: the join ends. */
bool join_delay_more(struct join_delay *delay, int64_t delay_ms,
    bool new_member_added);
/* A member that has an id joins again. */
enum join_again { JOIN_REBALANCES, JOIN_CURRENT, JOIN_UNKNOWN };
enum join_again join_again(enum group_state state, bool leads, bool matches);
/* The one that all support and most like best; NULL: none.  Among equals the
 * one that who joined first likes. */
struct slice protocol_elect(struct group_members *members);
/* Who leads: as before if it rejoined, else who joined first; NULL: nobody. */
struct group_member *leader_elect(const struct group_members *members);

/* --- member.c --- */

/* The ask is answered: wakes it if it waits. */
void group_answered(struct group_ask *ask);

struct member_plan {
	struct slice id;
	struct slice instance_id;
	struct slice client_id;
	struct slice client_host;
	int32_t rebalance_timeout_ms;
	int32_t session_timeout_ms;
	const struct join_group_request_protocol *protocols;
	size_t protocol_count;
};
/* In, behind all others. NULL: no memory for it. */
struct group_member *member_add(struct group *group,
    const struct member_plan *plan);
/* Out; a join or sync that waits is answered UNKNOWN_MEMBER_ID. */
void member_remove(struct group_member *member);
struct group_member *member_find(const struct group *group, struct slice id);
struct group_member *member_of_instance(const struct group *group,
    struct slice instance_id);
bool member_set_protocols(struct group_member *member,
    const struct join_group_request_protocol *protocols, size_t count);
bool member_matches(const struct group_member *member,
    const struct join_group_request_protocol *protocols, size_t count);
/* Empty when it does not name it. */
struct slice member_metadata(const struct group_member *member,
    const char *protocol);
bool member_set_id(struct group_member *member, struct slice id);
void member_expect(struct group_member *member, int64_t in_ms);
void member_await_join(struct group_member *member, struct group_ask *ask);
void member_await_sync(struct group_member *member, struct group_ask *ask);
/* The one whose join or sync ends; NULL: nobody waits any more. */
struct group_ask *member_end_join(struct group_member *member);
struct group_ask *member_end_sync(struct group_member *member);
void member_sync_came(struct group_member *member);
int64_t group_rebalance_timeout_ms(const struct group *group);
/* Kafka's supportsProtocols(). */
bool group_supports(const struct group *group, struct slice type,
    const struct join_group_request_protocol *protocols, size_t count);
void group_set_text(char **text, struct slice value);
/* A copy of bytes that a peer sent; false: no memory, *own is null. */
bool own_bytes(struct slice *own, struct slice value);
void drop_bytes(struct slice *own);
/* <prefix>-<uuid>, from the arena; null: it refused, or it would be longer than
 * a string of the protocol, so that no answer and no record could name it. */
struct slice group_new_member_id(struct group *group, struct slice prefix,
    struct arena *arena);
#define LIST_MEMBERS(element, group) LIST_EACH(element, &(group)->members->all)
static inline struct group_member *
member_at(struct list *element)
{
	return (list_entry(element, struct group_member, link));
}

/* --- pending_member.c --- */
struct pending_member *pending_member_find(const struct group *group,
    struct slice id);
/* False: no memory for it. */
bool pending_member_add(struct group *group, struct slice id,
    int64_t session_ms);
void pending_member_remove(struct pending_member *pending);

/* --- join.c --- */
void join_refuse(struct group_ask *ask, enum error error,
    struct slice member_id);
/* The group as it is; `with_members` for who leads. */
void join_answer(struct group_ask *ask, const struct group_member *member,
    bool with_members);

/* --- sync.c --- */
void sync_refuse(struct group_ask *ask, enum error error);
/* All that wait in a sync are answered so and have no assignment. */
void sync_reset(struct group *group, enum error error);
/* Their memory: no member has one. */
void group_drop_assignments(struct group *group);
/* A write of the group to the log. */
struct group_store {
	struct coord_write write;
	struct coord_entry entry;
	struct group *group;
	int32_t generation;
	/* Not called when the group is DEAD by then, or its shard closes.
	 * NULL: what comes of it is said in the log. */
	void (*stored)(struct group_store *store, enum error error);
	uint8_t *assigned;         /* the bytes of these: */
	struct slice *assignments; /* of all members in order; NULL: as they
				    * have them */
	/* Of a static member that came back. */
	struct slice new_id;
	struct slice old_id;
	int32_t old_rebalance_timeout_ms;
	int32_t old_session_timeout_ms;
};
struct group_store *group_store_new(struct group *group,
    void (*stored)(struct group_store *store, enum error error));
/* Takes it over. `stored` may be called before this returns. */
void group_store_start(struct group_store *store);
void group_store_drop(struct group_store **store);

/* --- rebalance.c --- */
/* Of a group that may: not DEAD, not PREPARING already. */
void group_rebalance(struct group *group, const char *reason,
    struct slice client_reason);
/* If it is PREPARING and nobody is missing, goes on. */
void group_join_check(struct group *group);
void group_sync_check(struct group *group);
/* A member or pending one is gone. */
void group_lost_member(struct group *group, const char *reason);
void group_rebalance_timer(struct timer *timer);
bool group_may_rebalance(const struct group *group);

/* --- topics.c --- */
/* A group that subscribes to more topics, of longer names together, or whose
 * members' lists are longer in all, counts as one of all topics: that loses
 * nothing. */
#define GROUP_TOPICS_MAX 100000
#define GROUP_TOPICS_BYTES_MAX ((size_t)8 << 20)
#define GROUP_TOPICS_TOLD_MAX 200000
void group_learn_topics(struct group *group);

static inline struct metrics *
group_metrics(const struct group *group)
{
	return (group->members->metrics);
}

static inline struct diag *
group_diag(const struct group *group)
{
	return (group->shard->groups->setup.diag);
}

static inline const struct group_options *
group_options(const struct group *group)
{
	return (group->shard->groups->setup.options);
}

#endif
