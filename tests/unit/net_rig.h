/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server for tests: net on loops of its own, and a handler that does what the
 * first byte of a request's body says:
 *
 *	e<bytes>    answers with the bytes
 *	d<ms><..>   the same after int32 ms
 *	n           no answer is due
 *	c           closes
 *	x<n><size>  int32 n extents of int32 size, each after one byte '|'
 *	z<size>     int32 size bytes 'z'
 *	h<..>       holds the request until rig_release()
 *	s<i>        answers the index of its loop, as one that the loop of index
 *	            i worked on; both are digits
 *
 * The API decides about pipelining: Produce is, Metadata is not.
 */
#ifndef TESTS_UNIT_NET_RIG_H
#define TESTS_UNIT_NET_RIG_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "config/options.h"
#include "metrics/metrics.h"
#include "net/net.h"

#define RIG_LOOPS_MAX 4
#define RIG_BLOB_BYTES ((size_t)8 << 20)

struct rig_blob {
	struct blob blob;
	int descriptor;         /* -1: read_at only */
	size_t length;          /* what read_at gives */
	struct rig *rig;
	atomic_llong brought;   /* of a cold one: up to there */
};

struct rig_held {
	struct list link;
	struct request *request;
};

struct rig {
	const struct clock *clock;
	struct scheduler *scheduler;
	struct sockets *sockets;
	struct loop *loops[RIG_LOOPS_MAX];
	size_t loop_count;
	struct net_options options;
	struct config_listener listener;
	struct metrics *metrics;
	struct net *net;
	int blob_descriptor; /* -1: extents are read, not sent */
	size_t blob_length;
	atomic_uint blobs;    /* alive */
	/* Not NULL: they are cold, and are brought when `gate` is open. */
	struct work_queue *readers;
	atomic_bool gate;
	atomic_uint brings;   /* begun */
	atomic_uint begun;    /* requests */
	atomic_uint waiting;  /* with the handler */
	atomic_uint abandoned;
	atomic_bool overtaken; /* one that may not began beside another */
	struct list held;      /* with one loop only */
	atomic_uint held_count;
	struct post release_post;
	atomic_bool release_posted;
	int64_t mute_ms;
};

/* The byte of the blob at a position. */
uint8_t rig_blob_byte(int64_t position);
void rig_init(struct rig *rig, size_t loop_count);
/* As above with somebody else's scheduler and sockets. */
void rig_init_on(struct rig *rig, struct scheduler *scheduler,
    struct sockets *sockets, size_t loop_count);
/* Listens, with its doors closed. */
void rig_open(struct rig *rig);
void rig_start(struct rig *rig);
/* Answers those held, the last first. */
void rig_release(struct rig *rig);
/* Stops net and takes all down. */
void rig_fini(struct rig *rig);
/* As above; net has stopped. */
void rig_end(struct rig *rig);

/* A frame with its size in front. */
void rig_frame(struct buffer *out, int api_key, int version,
    int32_t correlation_id, const void *body, size_t size);

#endif
