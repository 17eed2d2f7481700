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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct blob;
struct work_queue;

/* A loop looks so far ahead, before it sends, whether the bytes are in memory;
 * so much is brought there at once. */
#define BLOB_LOOK_BYTES ((size_t)1 << 20)

struct blob_ops {
	/* As pread(2): bytes read, or -1 and errno. */
	ssize_t (*read_at)(struct blob *blob, void *to, size_t size,
	    int64_t position);
	/* A descriptor for sendfile(2), good until descriptor_done(); -1 where
	 * there is none (replay, or all are in use): then no end is told. */
	int (*descriptor)(struct blob *blob);
	void (*descriptor_done)(struct blob *blob);
	/* False: to read these bytes would mean to wait for a disk. Never waits
	 * itself. NULL: they are in memory always. */
	bool (*resident)(struct blob *blob, int64_t position, size_t size);
	/* Waits until they were read into the kernel's memory, and begins with
	 * what follows them; what cannot be read the read itself will tell.
	 * Workers only. NULL: as `resident`. */
	void (*bring)(struct blob *blob, int64_t position, size_t size);
	/* The last reference went. */
	void (*release)(struct blob *blob);
};

struct blob {
	const struct blob_ops *ops;
	atomic_uint references;
	/* Whose workers wait for it; NULL: nobody's, so a loop does. It lasts
	 * as long as loops run. */
	struct work_queue *_Atomic readers;
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
	atomic_init(&blob->readers, NULL);
}

static inline struct blob *
blob_ref(struct blob *blob)
{
	atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
	return (blob);
}

/* What was told before is the same but for a file that moved. */
static inline void
blob_set_readers(struct blob *blob, struct work_queue *readers)
{
	if (atomic_load_explicit(&blob->readers, memory_order_relaxed) !=
	    readers)
		atomic_store_explicit(&blob->readers, readers,
		    memory_order_release);
}

static inline bool
blob_resident(struct blob *blob, int64_t position, size_t size)
{
	return (blob->ops->resident == NULL ||
	    blob->ops->resident(blob, position, size));
}

static inline void
blob_bring(struct blob *blob, int64_t position, size_t size)
{
	if (blob->ops->bring != NULL)
		blob->ops->bring(blob, position, size);
}

static inline void
blob_unref(struct blob *blob)
{
	if (atomic_fetch_sub_explicit(&blob->references, 1,
		memory_order_acq_rel) == 1)
		blob->ops->release(blob);
}

#endif
