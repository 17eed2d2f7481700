/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment: one .log file, which is a blob that replies may go on sending
 * after the segment was deleted, and its indexes.  The list of a log's segments
 * is immutable and counted: a change makes a new list, readers keep theirs.
 *
 *	made or opened --> active --roll--> closed --retention--> .deleted
 *	                                      |                     ^
 *	compaction's, a move's --> closed     +--replaced-----------+
 *
 * Only the last of a list, the active one, grows.  What readers look at (size,
 * next offset, indexes) is guarded by the log's lock.
 */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include <limits.h>
#include <stdatomic.h>

#include "base/blob.h"
#include "storage/descriptors.h"
#include "storage/index.h"
#include "storage/storage.h"
#include "storage/walk.h"

struct storage;

#define TIMESTAMP_UNREAD INT64_MIN

struct segment_path {
	struct segment_path *next;
	char text[];
};

struct segment {
	struct blob blob; /* first: a reference keeps all of this */
	struct files *files;
	/* DIR/00000000000000000042, without a suffix; another one when the log
	 * is deleted. Readers may still look at the first one. */
	char *_Atomic path;
	char *_Atomic path_before; /* NULL: it did not move */
	struct segment_path *paths; /* all that it had; to be freed */
	int64_t base_offset;
	struct descriptors *descriptors;
	struct held_file held; /* the .log */
	atomic_bool damage_said;
	atomic_bool index_said; /* and a repair was tried */
	bool overflows; /* a load's: offsets beyond base + INT32_MAX */
	atomic_bool aborted_unsynced; /* its .txnindex, or that it is gone */
	bool aborted_lost; /* a load's: its .txnindex is to be made anew */
	atomic_bool aborted; /* its .txnindex has entries */
	/* Compaction, or a move to another directory, put another one in its
	 * place: set after the list that has that one was published, before the
	 * files of its names are.  What was read of an index by name before is
	 * right. */
	atomic_bool replaced;
	/* Part of the names that its files have when they are deleted, for
	 * others had its names before; 0: none. */
	_Atomic uint64_t deleted_turn;
	/* Guarded by the log's lock. */
	int64_t size;
	int64_t next_offset; /* behind its last record */
	struct index offsets;
	struct index times;
	int64_t max_timestamp_ms;  /* -1: none; or TIMESTAMP_UNREAD */
	int64_t max_timestamp_offset; /* of the batch: its last */
	/* The writer's. */
	int64_t bytes_since_index;
	int64_t reserved; /* up to where it has blocks; INT64_MAX: refused */
	int64_t first_timestamp_ms; /* TIMESTAMP_UNREAD until asked */
	int64_t created_ms; /* monotonic: made or opened */
	int64_t jitter_ms;
};

struct segment_list {
	atomic_uint references;
	size_t count;
	struct segment *items[];
};

static inline struct segment *
segment_ref(struct segment *segment)
{
	blob_ref(&segment->blob);
	return (segment);
}
static inline void
segment_unref(struct segment *segment)
{
	blob_unref(&segment->blob);
}

static inline struct segment *
segment_of_blob(struct blob *blob)
{
	return ((struct segment *)(void *)blob);
}

/* Finds or, with `create`, makes the .log; indexes are empty. NULL: errno. */
struct segment *segment_new(struct descriptors *descriptors,
    const char *directory, uint64_t id, int64_t base_offset, bool create);
/* Of a file that was made elsewhere and will have the segment's name; pinned,
 * until segment_unpin(): it cannot be opened by that name yet. Takes the
 * descriptor. NULL: errno. */
struct segment *segment_adopt(struct descriptors *descriptors,
    const char *directory, uint64_t id, int64_t base_offset, int descriptor);
/* The .log's descriptor, good until the unpin. -1: errno, and no unpin. */
static inline int
segment_pin(struct segment *segment)
{
	return (descriptors_pin(segment->descriptors, &segment->held));
}
static inline void
segment_unpin(struct segment *segment)
{
	descriptors_unpin(&segment->held);
}
/* A walk over its batches, and its end, which keeps errno. A file that cannot
 * be opened tells so at the first walk_next(). */
void segment_walk(struct segment *segment, struct walk *walk, int64_t position,
    int64_t end, bool whole);
void segment_walk_end(struct segment *segment, struct walk *walk);
/* The timestamp that its first batch of records has at most, or -1: that one
 * has none (magic 0), or none was found, and why.  What compaction leaves in
 * the place of records has no time. */
enum walk_found segment_first_timestamp(struct segment *segment,
    int64_t *timestamp_ms);
int segment_truncate(struct segment *segment, int64_t size);
/* The writer, before it writes up to `end`: blocks for that and some more. */
void segment_reserve(struct segment *segment, int descriptor, int64_t end);
/* Whether it may have blocks that it does not need; segment_truncate() to its
 * size gives them back. */
static inline bool
segment_has_spare(const struct segment *segment)
{
	return (segment->reserved > segment->size);
}
int segment_info(struct segment *segment, struct file_info *out);
/* NAME.log and so on; the suffix has its dot. */
void segment_file(const struct segment *segment, const char *suffix,
    char out[PATH_MAX]);
/* The name that a file of it has when it is deleted. False: it is too long. */
bool segment_deleted_file(const struct segment *segment, const char *suffix,
    char out[PATH_MAX]);
/* Its files lie in another directory now, or are about to be moved: readers
 * look for them there and where they were before. */
void segment_move(struct segment *segment, const char *directory);
/* Renames the files to .deleted (a missing one is no error). -1: errno. */
int segment_mark_deleted(struct segment *segment);
/* Unlinks the files of their own names, or (marked) those of .deleted. */
int segment_unlink(struct segment *segment, bool marked);

/* What an entry costs and holds when a run of batches was appended. */
struct segment_run {
	int64_t position;
	int64_t size;
	int64_t last_offset;
	int64_t max_timestamp_ms;
	int64_t max_timestamp_offset;
};
/* The rules of index entries for one append (LogSegment.append). */
void segment_note_append(struct segment *segment,
    const struct segment_run *run, int32_t index_interval_bytes,
    int32_t index_bytes);
/* The entry for the largest timestamp that ends an index of times. */
void segment_note_close(struct segment *segment);
/* Both index files. -1: errno. */
int segment_write_indexes(struct segment *segment, bool sync);
bool segment_indexes_full(const struct segment *segment, int32_t index_bytes);

/* `items` are borrowed: the list takes references of its own. */
struct segment_list *segment_list_new(struct segment *const *items,
    size_t count);
struct segment_list *segment_list_ref(struct segment_list *list);
void segment_list_unref(struct segment_list *list);
static inline struct segment *
segment_list_last(const struct segment_list *list)
{
	return (list->items[list->count - 1]);
}
/* The slot of the last segment with base <= offset; the first if none has. */
size_t segment_list_find(const struct segment_list *list, int64_t offset);

#endif
