/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's committed offsets in memory, made to be many:
 *
 *	group -> topics, by address of the name,   block, by partition
 *		 and by partition
 *	         +------+-------+                  +----------+------+------+--
 *	         | name | block |----------------->| count .. | slot | slot |
 *	         +------+-------+                  +----------+------+------+--
 *	            |
 *	            v  one a shard, however many groups name it
 *	         struct group_topic
 *
 * A topic has an entry for each OFFSET_SLOTS_MAX of its partitions, so that one
 * more moves no more slots than that, in whatever order they come.
 *
 * The entries of a group are one array: one that comes or goes moves those
 * behind it, of 16 bytes each, on the average half of them, and now and then
 * the array grows into other memory.  No number here bounds them, only what
 * there is to commit for: one a topic that exists, one more for each 128
 * partitions of it, or for each 64 where these came in no order.  (Blocks that
 * empty are not joined: there are never more entries than slots.)  So a first
 * commit for one of 10,000 topics moves up to 160 kB, some microseconds; to
 * make all of them moves 0.4 GB.
 *
 * A slot has 48 bytes; metadata, and a time of its own to expire, lie beside it
 * where there are any.  A slot is *held* while something under way will still
 * change it (a commit, a deletion, a transaction); one that is neither held nor
 * has an offset does not exist.
 *
 * What is in the slot is what the log says: a record counts when it lies behind
 * the last one that counted, whoever applies it and in whatever order.  So a
 * transaction that ends after a later commit does not take it back, and a slot
 * that is held remembers where its tombstone was.
 */
#ifndef GROUP_OFFSETS_INT_H
#define GROUP_OFFSETS_INT_H

#include "group/group_int.h"

/* A committed offset, as records and requests have it. */
struct group_offset {
	int64_t offset;
	int32_t leader_epoch;  /* -1: none */
	struct slice metadata; /* not null; borrowed */
	int64_t commit_ms;
	int64_t expire_ms; /* -1: when offsets.retention.minutes have passed */
};

/* A topic's name; its shard's. */
struct group_topic {
	struct hash_node node;
	uint64_t serial; /* in the order in which the shard met them */
	uint64_t gone; /* gone.c: the last news of its deletion; 0: none that
			* is still carried out */
	uint64_t learned; /* topics.c: when it was met last */
	uint32_t references;
	uint32_t length;
	char name[];
};

struct slot_extra {
	int64_t expire_ms;
	uint32_t length;
	char metadata[];
};

struct offset_slot {
	int64_t offset;
	int64_t commit_ms;
	int64_t log_offset; /* of the last record that counted; -1: none */
	struct slot_extra *extra; /* NULL: no metadata, expires by age */
	int32_t partition;
	int32_t leader_epoch;
	uint32_t holds;
	bool present; /* there is an offset */
};

#define OFFSET_SLOTS_MAX 128
struct slot_block {
	uint32_t count;
	uint32_t capacity;
	struct offset_slot slots[]; /* ascending by partition */
};

struct topic_offsets {
	struct group_topic *topic;
	struct slot_block *block; /* count > 0 */
};

struct group_offsets {
	struct topic_offsets *topics; /* by `topic`, then by first partition */
	uint32_t count;
	uint32_t capacity;
	uint32_t slot_count;
	uint32_t present_count;
};

static inline struct slice
group_topic_name(const struct group_topic *topic)
{
	return (slice_of(topic->name, topic->length));
}

/* NULL: no group of the shard names it. */
struct group_topic *group_topic_find(const struct group_shard *shard,
    struct slice name);
/* Made where there is none; one reference more. */
struct group_topic *group_topic_take(struct group_shard *shard,
    struct slice name);
void group_topic_let_go(struct group_shard *shard, struct group_topic *topic);
/* NULL: no slot. Valid until slots come or go. */
struct offset_slot *group_offset_find(const struct group *group,
    struct slice topic, int32_t partition);
void offset_slot_read(const struct offset_slot *slot,
    struct group_offset *out);

/*
 * Where a way over a group's slots rests, while they come and go: each slot
 * that stays is met once, none of a topic that the shard met since.
 */
struct offset_place {
	uintptr_t topic; /* its address: what is below was met */
	int64_t partition; /* of that topic, likewise */
	uint64_t until; /* topics' serials */
};
void offset_place_begin(struct offset_place *place,
    const struct group_shard *shard);
/* The next slot and its topic; NULL: there is none. */
const struct offset_slot *offset_place_next(struct offset_place *place,
    const struct group *group, struct group_topic **topic);

/* A record at `log_offset` says so; nothing happens when it is an old one. */
void group_offset_put(struct group *group, struct slice topic,
    int32_t partition, const struct group_offset *offset, int64_t log_offset);
void group_offset_drop(struct group *group, struct slice topic,
    int32_t partition, int64_t log_offset);
/* Of a transaction that has ended now: newer than any tombstone, not than a
 * later commit; as in Kafka, whose retention does not spare what is pending. */
void group_offset_put_ended(struct group *group, struct slice topic,
    int32_t partition, const struct group_offset *offset, int64_t log_offset);

/* The slot exists until it is released as often. The name lives as long. */
struct group_topic *group_offset_hold(struct group *group, struct slice topic,
    int32_t partition);
void group_offset_release(struct group *group, struct group_topic *topic,
    int32_t partition);
/* Memory that was taken ahead goes back. */
void group_offsets_trim(struct group *group);

/* --- pending.c: offsets of transactions, which count when these commit --- */

/* NULL offset: a tombstone. */
void group_pending_add(struct group_shard *shard, int64_t producer_id,
    const struct group_key *key, const struct group_offset *offset,
    int64_t log_offset);
/* What a tombstone outside of transactions names goes out of all of them; but
 * not when it is read back, as in Kafka: what is committed behind it in the log
 * may well have been acknowledged. */
void group_pending_forget(const struct group *group,
    const struct group_key *key);
/* How often they hold a slot of the group: of any topic (NULL), or this one. */
size_t group_pending_holds(const struct group *group,
    const struct group_topic *topic, int32_t partition);
/* The end of a transaction of the producer. */
void group_pending_end(struct group_shard *shard, int64_t producer_id,
    bool commit);
/* Those of one producer, as if it had aborted: how many there were, and one
 * more. 0: there is no producer. */
size_t group_pending_drop(struct group_shard *shard);

#endif
