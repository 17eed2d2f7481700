/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of an image; see image.c. */
#ifndef CLUSTER_CLUSTER_INT_H
#define CLUSTER_CLUSTER_INT_H

#include <stdatomic.h>

#include "cluster/cluster.h"

#define IMAGE_BUCKETS 1024
/* A topic's partitions and a partition's replicas, against malformed counts. */
#define IMAGE_PARTITION_MAX 1000000

/* One topic as of some change: one block of memory, immutable. */
struct image_topic {
	struct cluster_topic topic; /* first */
	atomic_uint references;
	/* partitions, their numbers, the name */
};

/*
 * Topics of one hash value.  A bucket whose `generation` is that of the image
 * under construction is its alone and may change; all others are immutable.
 */
struct image_bucket {
	atomic_uint references;
	uint64_t generation;
	size_t count;
	size_t capacity;
	struct image_topic *topics[];
};

/* The live brokers of one UpdateMetadata. */
struct image_brokers {
	atomic_uint references;
	struct arena arena;
	const struct cluster_broker **items;
	size_t count;
};

struct cluster_buckets {
	struct image_bucket *by_name[IMAGE_BUCKETS];
	struct image_bucket *by_id[IMAGE_BUCKETS];
};

struct image {
	struct cluster_image image; /* first */
	atomic_uint references;
	uint64_t generation;
	struct image_brokers *brokers;
	struct cluster_buckets buckets;
};

struct image *image_new_empty(void);
/* The next image; NULL: memory for what the request holds was refused. */
struct image *image_after(const struct image *old,
    const struct update_metadata_request *request);

#endif
