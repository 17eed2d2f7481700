/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many files are open at the same time is bounded, however many segments
 * there are: a .log is opened when somebody reads or writes it, and those that
 * nobody used lately are closed again.
 *
 *	[closed] --pin--> [pinned] --last unpin--> [open] --evicted--> [closed]
 *	                     ^                        |
 *	                     +----------pin-----------+
 *
 * A pin of an open file is one atomic step; the lock (CACHE) is taken only to
 * open and to close.  Closing loses nothing: pages stay in the kernel's cache,
 * a later fsync() by another descriptor writes them, and an error of writing
 * back that nobody has been told yet is told to whoever opens next.
 *
 * It is also a `struct files` of its own, between storage and the real one: an
 * open() that the kernel refuses for want of descriptors is tried again after
 * some were closed here.
 */
#ifndef STORAGE_DESCRIPTORS_H
#define STORAGE_DESCRIPTORS_H

#include <limits.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/lock.h"
#include "storage/file.h"

struct descriptors;

/* Where it is, where its deletion would move it, where it was. */
enum held_look { HELD_OWN, HELD_DELETED, HELD_BEFORE };

/* Of one .log; part of its segment, which says what its path is. */
struct held_file {
	struct list link;    /* the cache's, when open; by its lock */
	atomic_uint state;   /* HELD_OPEN, HELD_USED, pins */
	int descriptor;      /* when open */
	uint64_t inode;      /* 0: not known yet */
	void (*path)(struct held_file *file, enum held_look look,
	    char out[PATH_MAX]);
};

struct descriptors_count {
	size_t open;
	size_t bound;
	uint64_t closed; /* for others to be opened, since the start */
};

/* At most `bound` files stay open while nobody uses them. */
struct descriptors *descriptors_new(struct files *below, size_t bound);
void descriptors_free(struct descriptors *descriptors);
struct files *descriptors_files(struct descriptors *descriptors);
struct descriptors_count descriptors_count(struct descriptors *descriptors);

void held_file_init(struct held_file *file,
    void (*path)(struct held_file *file, enum held_look look,
	char out[PATH_MAX]));
/* Gives it a descriptor that was opened elsewhere, unpinned. */
void descriptors_take(struct descriptors *descriptors, struct held_file *file,
    int descriptor);
/* The same, and it stays open until descriptors_unpin(). */
void descriptors_take_pinned(struct descriptors *descriptors,
    struct held_file *file, int descriptor);
/* Closes it; nobody has it pinned. */
void descriptors_drop(struct descriptors *descriptors, struct held_file *file);
/* Its descriptor, good until the unpin. -1: errno, and no unpin. */
int descriptors_pin(struct descriptors *descriptors, struct held_file *file);
/* The same of one that is open; -1: it is not. Never waits. */
int descriptors_pin_open(struct held_file *file);
void descriptors_unpin(struct held_file *file);
/* Whether errno speaks of a want that passes, not of a bad disk. */
bool descriptors_wanted(int error);

#endif
