/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob: bytes at positions, in a file that may be deleted or renamed while
 * somebody still reads, so it is counted by reference.  Storage makes them (a
 * segment's .log), wire puts extents of them into replies, net sends them.
 * Immutable but for its reference count; any thread.
 */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct blob;

struct blob_ops {
	/* As pread(2): bytes read, or -1 and errno. */
	ssize_t (*read_at)(struct blob *blob, void *to, size_t size,
	    int64_t position);
	/* A descriptor for sendfile(2), good until descriptor_done(); -1 where
	 * there is none (replay, or all are in use): then no end is told. */
	int (*descriptor)(struct blob *blob);
	void (*descriptor_done)(struct blob *blob);
	/* The last reference went. */
	void (*release)(struct blob *blob);
};

struct blob {
	const struct blob_ops *ops;
	atomic_uint references;
};

/* A part of a blob. The holder of an extent holds a reference. */
struct extent {
	struct blob *blob; /* NULL: no extent */
	int64_t position;
	size_t length;
};

static inline void
blob_init(struct blob *blob, const struct blob_ops *ops)
{
	blob->ops = ops;
	atomic_init(&blob->references, 1);
}

static inline struct blob *
blob_ref(struct blob *blob)
{
	atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
	return (blob);
}

static inline void
blob_unref(struct blob *blob)
{
	if (atomic_fetch_sub_explicit(&blob->references, 1,
		memory_order_acq_rel) == 1)
		blob->ops->release(blob);
}

#endif
