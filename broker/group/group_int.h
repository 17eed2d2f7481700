/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share.
 *
 *	shard.c      a partition's groups: opened, replayed, loaded, closed
 *	records.c    keys and values of __consumer_offsets, to bytes and back
 *	offsets.c    a group's committed offsets in memory (offsets_int.h)
 *	pending.c    those of transactions that have not ended
 *	commit.c     OffsetCommit      fetch.c     OffsetFetch
 *	retention.c  what expires      remove.c    OffsetDelete, DeleteGroups
 *	write.c      writes under way  lag.c       metrics of lag
 *	member.c     members of a group: in, out, checked, counted; sessions
 *		     (members_int.h); pending_member.c: ids given out
 *	join.c       JoinGroup         sync.c      SyncGroup
 *	leave.c      LeaveGroup, Heartbeat
 *	rebalance.c  from preparing to stable: delays, elections, time-outs
 *	rules.c      what rebalance.c and join.c decide by
 *	topics.c     what members subscribe to
 *	walk.c       ways over a shard's groups that rest between turns
 *	gone.c       offsets of topics that are no more
 *	metadata.c   members to a record and back
 *	describe.c   DescribeGroups    listing.c   ListGroups
 */
#ifndef GROUP_GROUP_INT_H
#define GROUP_GROUP_INT_H

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/random.h"
#include "group/group.h"

enum group_state {
	GROUP_EMPTY,
	GROUP_PREPARING_REBALANCE,
	GROUP_COMPLETING_REBALANCE,
	GROUP_STABLE,
	GROUP_DEAD
};
const char *group_state_name(enum group_state state);

struct groups {
	struct groups_setup setup;
	struct coord *coord;
	struct group_lag *lag; /* lag.c; NULL: not told */
	struct lock lock;
	struct list gone;      /* topics, on their way to the loops */
	uint64_t seed; /* of member ids */
	struct group_turn *turns; /* one a loop */
};

/* What a turn of a loop has left to go over groups and offsets (walk.c). */
struct group_turn {
	uint64_t turn;
	size_t left;
};

/*
 * A way over a shard's groups, in the order in which they were made.  It may
 * rest while groups come and go: each one that was there when it began, and
 * still is, is met once; those that came since are not.  It ends with its
 * shard.
 */
struct group_walk {
	struct list link; /* group_shard.walks */
	struct group_shard *shard; /* NULL: it has ended */
	struct group *next; /* NULL: none is left */
	uint64_t until; /* serial: groups from there on are not met */
};

/* What an ask waits for: the first member of what its file keeps of it. */
struct group_wait {
	/* The asker is gone; `ask` must not be touched any more. */
	void (*forget)(struct group_wait *wait);
};

/* The state of a struct coord_shard; its loop's. */
struct group_shard {
	struct groups *groups;
	struct coord_shard *coord;
	struct loop *loop;
	struct hash by_id;     /* struct group.node */
	struct hash topics;    /* struct group_topic.node */
	struct hash producers; /* pending.c: whose transactions go on */
	struct random random;  /* member ids */
	struct shard_lag *lag; /* lag.c; NULL: not told */
	struct group_turn *turn; /* its loop's */
	struct list walks;     /* struct group_walk, that go on */
	uint64_t serial;       /* of the next group or topic */
	uint64_t lessons;      /* topics.c: learned so often */
	struct timer retention;
	struct group_walk retention_walk;
	int64_t now_ms;        /* coord_steady_ms(), when the round began */
	size_t expired_count;  /* in this round */
	/* gone.c: deletions of topics that are carried out, and later ones */
	struct timer gone;
	struct group_walk gone_walk;
	struct list gone_now;
	struct list gone_next;
	uint64_t gone_news;    /* heard so far */
	size_t offset_count;
	uint64_t unreadable;   /* records passed over */
	struct group_walk loaded_walk;
	enum { SHARD_REPLAYS, SHARD_ENDS_LOAD, SHARD_ACTIVE, SHARD_CLOSES }
	    phase;
};

/* Its shard's loop alone touches it. */
struct group {
	struct hash_node node;
	uint64_t serial; /* in the order of by_id */
	uint64_t gone;   /* gone.c: news up to there have been carried out */
	struct group_shard *shard; /* gone before a write that ends `closed` */
	char *id;
	size_t id_length;
	enum group_state state;
	int64_t state_time_ms; /* wall clock, of the last change; -1: unknown */
	int32_t generation;    /* 0: none completed yet */
	char *protocol_type;   /* NULL: no member ever, or a simple group */
	char *protocol;        /* that was chosen; NULL: none */
	struct group_members *members; /* member.c */
	struct group_offsets *offsets; /* offsets.c; NULL once DEAD */
	struct group_loaded *loaded;   /* shard.c: its last record, in a load */
	unsigned pins; /* writes and asks under way: freed when none is */
};

static inline struct slice
group_id(const struct group *group)
{
	return (slice_of(group->id, group->id_length));
}

/* --- shard.c --- */
/* A copy, which may hold any bytes, with a NUL behind it; mem_free() it. */
char *group_text(struct slice text);
struct group *group_find(struct group_shard *shard, struct slice id);
/* EMPTY, of generation 0. */
struct group *group_make(struct group_shard *shard, struct slice id);
void group_set_state(struct group *group, enum group_state state);
/* DEAD and out of the table: who waits is answered `error`; freed once no pin
 * is left. */
void group_bury(struct group *group, enum error error);
void group_pin(struct group *group);
void group_unpin(struct group *group);
/* The shard of a group id, or NULL and why not. On its loop. Checks the id as
 * `empty_allowed` says: INVALID_GROUP_ID. */
struct group_shard *group_shard_of(struct groups *groups, struct slice id,
    bool empty_allowed, enum error *error);

/* --- walk.c --- */
/* Costs of a turn, in offsets looked at. */
#define GROUP_TURN_COST 20000
#define GROUP_COST 16
struct group_turn *groups_turn(struct groups *groups,
    const struct loop *loop);
/* After a piece of work: whether the turn has room for another one. */
bool group_turn_goes_on(struct group_shard *shard, size_t cost);
void group_walk_begin(struct group_walk *walk, struct group_shard *shard);
/* It goes on behind that group. NULL: there is none; it has ended. */
struct group *group_walk_next(struct group_walk *walk);
/* Likewise, but it rests there. */
struct group *group_walk_at(struct group_walk *walk);
/* Also one that has ended, or is zeroed. */
void group_walk_end(struct group_walk *walk);
/* The group goes out of the table. */
void group_walks_pass(const struct group *group);
/* The shard closes. */
void group_walks_end(struct group_shard *shard);

/* --- gone.c --- */
/* Before the group commits: what it has of topics that are no more goes, with
 * tombstones that lie in front of the commit. The group may be gone. */
void group_forget_gone_first(struct group_shard *shard, struct slice id);

/* --- records.c --- */
struct group_key {
	enum { KEY_OFFSET, KEY_GROUP, KEY_UNKNOWN } kind;
	struct slice group;
	struct slice topic;
	int32_t partition;
};
/* False: not to be understood; versions of others are KEY_UNKNOWN. */
bool group_key_read(struct slice bytes, struct group_key *out);
/* Bytes from the arena; a null slice: it refused, or it is too long. */
struct slice group_key_of_group(struct arena *arena, struct slice group);
struct group_offset; /* offsets.c */
/* Appended. False: too long to be written, and nothing was. */
bool group_append_group_key(struct buffer *out, struct slice group);
bool group_append_offset_key(struct buffer *out, struct slice group,
    struct slice topic, int32_t partition);
bool group_append_offset_value(struct buffer *out,
    const struct group_offset *offset);
/* Version 3, or 1 with a time of its own to expire. What is borrowed of
 * `bytes` is its metadata. */
bool group_value_read_offset(struct slice bytes, struct group_offset *out);
/* Version 3. */
struct slice group_value_of_group(struct arena *arena,
    const struct group_metadata_value *value);
bool group_value_read_group(struct slice bytes, struct arena *arena,
    struct group_metadata_value *out);

/* --- what offsets and administration ask of membership (member.c, ...) --- */
void group_members_init(struct group *group);
/* The gauge of groups in its state: one more, or one less. */
void group_count_state(const struct group *group, int n);
void group_members_fini(struct group *group);
size_t group_member_count(const struct group *group);
/* Who asks is who it says: FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID, in Kafka's
 * order; the generation is checked by group_check_generation after it. */
enum error group_check_member(struct group *group, struct slice member_id,
    struct slice instance_id);
/* Its session begins anew: a heartbeat, or what counts as one. */
void group_touch_member(struct group *group, struct slice member_id);
/* Of a "consumer" group: some member's subscription names the topic, or cannot
 * be read. False with *known = false: not such a group. */
bool group_subscribes(const struct group *group, struct slice topic,
    bool *known);
/* It goes: before its shard, whose names it holds. */
void group_forget_topics(struct group *group);
/* All waiting joins and syncs are answered so; timers end. The group is DEAD
 * already, and asks no more of its shard. */
void group_members_refuse(struct group *group, enum error error);
/* At the end of a load: members as the record has them, sessions begin, STABLE
 * or EMPTY. */
void group_restore(struct group *group,
    const struct group_metadata_value *value);
/* What a record of the group holds, members' assignments included. */
bool group_metadata_of(const struct group *group, struct arena *arena,
    struct group_metadata_value *out);

/* --- what membership asks of offsets --- */
void group_offsets_init(struct group *group);
void group_offsets_fini(struct group *group);

/* --- errors of an append to the log, as askers see them --- */
enum error group_commit_error(enum error appended);   /* of offsets */
enum error group_metadata_error(enum error appended); /* of the group */

#endif
