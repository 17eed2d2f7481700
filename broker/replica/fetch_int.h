/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch: what its waiting (fetch.c) and its reading (fetch_read.c) share. */
#ifndef REPLICA_FETCH_INT_H
#define REPLICA_FETCH_INT_H

#include "replica/replica_int.h"

/* One part as the last read found it, to see what changes meanwhile. */
struct fetch_part_int {
	int32_t leader_epoch;
	int32_t segment_count;
	unsigned sequence; /* of the sight */
	bool leads;
	bool read;  /* its replica was looked at without error */
	bool empty; /* there was nothing that the asker may see */
};

struct fetch_int {
	struct fetch *fetch;
	struct fetch_part_int *parts;
	struct task_ref task;
	struct work work;    /* a read that may wait for a disk */
	bool work_done;
	bool recorded;       /* a follower's progress was noted */
	bool waits;          /* counted in the purgatory's size */
	bool abandoned;
	bool at_once;        /* found by a read: no reason to wait */
	int64_t deadline_ns;
	int64_t now_ms;      /* of the read that goes on */
	struct waitq_link led; /* a follower's, while it waits */
	int64_t read_bytes;
};

/* On the loop: finds the replicas, sets errors of those not here. */
void fetch_resolve(struct fetch *fetch);
/* On the loop, before a read: which parts a consumer should rather read from a
 * follower in its rack (closest.c). */
void fetch_choose(struct fetch *fetch);
/* Whether what is to be read lies in memory; on the loop. */
bool fetch_is_hot(struct fetch *fetch);
/* Reads all parts; drops what an earlier read brought. On the loop when hot,
 * else on a worker. */
void fetch_read_all(struct fetch *fetch);
/* On a worker: the first BLOB_LOOK_BYTES of what was found come into memory, or
 * the loop would wait for the disk when it sends. The rest comes piece by piece
 * as it is sent. */
void fetch_bring(struct fetch *fetch);
void fetch_drop(struct fetch *fetch);
/* Nothing that an earlier read found is left of the part, but its error. */
void fetch_part_fail(struct fetch_part *part);
/* On the loop: bytes, or other reasons, to read and answer now. */
bool fetch_is_ready(struct fetch *fetch);

/* --- fetch_convert.c: for consumers of older versions --------------------- */

/* On the loop, after the last read: refuses what this version cannot get. True:
 * the rest is to be converted. */
bool fetch_must_convert(struct fetch *fetch);
/* On a worker: extents of files become extents of converted records. */
void fetch_convert_all(struct fetch *fetch);

#endif
