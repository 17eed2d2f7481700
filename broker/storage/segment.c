/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

/* Smaller segments do without, larger ones have so much at most. */
#define RESERVE_FROM_BYTES ((int64_t)4 << 20)
#define RESERVE_AHEAD_BYTES ((int64_t)8 << 20)
/* What is read at once of what shall only come into the kernel's memory. */
#define BRING_BYTES ((size_t)128 << 10)

static const char *const segment_suffixes[] = { ".log", ".index", ".timeindex",
	".txnindex" };

static ssize_t
segment_read_at(struct blob *blob, void *to, size_t size, int64_t position)
{
	struct segment *segment = segment_of_blob(blob);
	int descriptor = segment_pin(segment);
	ssize_t done;
	int error;

	if (descriptor < 0)
		return (-1);
	done = segment->files->ops->pread(segment->files, descriptor, to, size,
	    position);
	error = errno;
	segment_unpin(segment);
	errno = error;
	return (done);
}

static int
segment_descriptor(struct blob *blob)
{
	return (segment_pin(segment_of_blob(blob)));
}

static void
segment_descriptor_done(struct blob *blob)
{
	segment_unpin(segment_of_blob(blob));
}

/* A file that is not open is not looked at: to open it is to wait as well. */
static bool
segment_resident(struct blob *blob, int64_t position, size_t size)
{
	struct segment *segment = segment_of_blob(blob);
	int descriptor = descriptors_pin_open(&segment->held);
	bool resident;

	if (descriptor < 0)
		return (false);
	resident = segment->files->ops->resident(segment->files, descriptor,
		       position, size) != 0;
	segment_unpin(segment);
	return (resident);
}

static void
segment_bring(struct blob *blob, int64_t position, size_t size)
{
	struct segment *segment = segment_of_blob(blob);
	int descriptor = segment_pin(segment);
	size_t scrap_size = size < BRING_BYTES ? size : BRING_BYTES;
	uint8_t *scrap;
	ssize_t got = 1;

	if (descriptor < 0)
		return;
	scrap = mem_alloc(scrap_size);
	segment->files->ops->read_ahead(segment->files, descriptor, position,
	    size + BLOB_LOOK_BYTES);
	for (size_t at = 0; got > 0 && at < size; at += (size_t)got)
		got = segment->files->ops->pread(segment->files, descriptor,
		    scrap, size - at < scrap_size ? size - at : scrap_size,
		    position + (int64_t)at);
	segment_unpin(segment);
	mem_free(scrap);
}

static void
segment_release(struct blob *blob)
{
	struct segment *segment = segment_of_blob(blob);

	descriptors_drop(segment->descriptors, &segment->held);
	index_fini(&segment->offsets);
	index_fini(&segment->times);
	while (segment->paths != NULL) {
		struct segment_path *path = segment->paths;

		segment->paths = path->next;
		mem_free(path);
	}
	mem_free(segment);
}

static void
segment_log_path(struct held_file *file, enum held_look look,
    char out[PATH_MAX])
{
	struct segment *segment = container_of(file, struct segment, held);
	const char *before = segment->path_before;

	if (look == HELD_BEFORE && before != NULL)
		snprintf(out, PATH_MAX, "%s.log", before);
	else if (look == HELD_DELETED)
		(void)segment_deleted_file(segment, ".log", out);
	else
		segment_file(segment, ".log", out);
}

/* Size and inode of the .log, which is made first where that is asked for. */
static bool
segment_find(struct segment *segment, bool create, struct file_info *info)
{
	struct files *files = segment->files;
	char name[PATH_MAX];
	int descriptor;
	int error;

	segment_file(segment, ".log", name);
	if (!create)
		return (files->ops->stat(files, name, info) == 0);
	descriptor = files->ops->open(files, name, O_RDWR | O_CREAT | O_TRUNC,
	    0644);
	if (descriptor < 0)
		return (false);
	if (files->ops->fstat(files, descriptor, info) == 0) {
		descriptors_take(segment->descriptors, &segment->held,
		    descriptor);
		return (true);
	}
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (false);
}

static char *
segment_path(struct segment *segment, const char *directory)
{
	size_t size = strlen(directory) + 22;
	struct segment_path *path = mem_alloc(sizeof(*path) + size);

	snprintf(path->text, size, "%s/%020" PRId64, directory,
	    segment->base_offset);
	path->next = segment->paths;
	segment->paths = path;
	return (path->text);
}

void
segment_move(struct segment *segment, const char *directory)
{
	atomic_store(&segment->path_before, segment->path);
	atomic_store(&segment->path, segment_path(segment, directory));
}

/* Without a file yet. */
static struct segment *
segment_begin(struct descriptors *descriptors, const char *directory,
    uint64_t id, int64_t base_offset)
{
	static const struct blob_ops ops = {
		.read_at = segment_read_at,
		.descriptor = segment_descriptor,
		.descriptor_done = segment_descriptor_done,
		.resident = segment_resident,
		.bring = segment_bring,
		.release = segment_release,
	};
	struct segment *segment = mem_zalloc(sizeof(*segment));

	blob_init(&segment->blob, &ops);
	segment->descriptors = descriptors;
	segment->files = descriptors_files(descriptors);
	segment->base_offset = base_offset;
	atomic_init(&segment->damage_said, false);
	atomic_init(&segment->index_said, false);
	atomic_init(&segment->aborted, false);
	held_file_init(&segment->held, segment_log_path);
	atomic_init(&segment->path, segment_path(segment, directory));
	segment->next_offset = base_offset;
	segment->max_timestamp_ms = -1;
	segment->max_timestamp_offset = base_offset;
	segment->first_timestamp_ms = TIMESTAMP_UNREAD;
	index_init(&segment->offsets, INDEX_OFFSETS, id, base_offset);
	index_init(&segment->times, INDEX_TIMES, id, base_offset);
	return (segment);
}

static struct segment *
segment_refused(struct segment *segment)
{
	int error = errno;

	mem_free(segment->paths);
	mem_free(segment);
	errno = error;
	return (NULL);
}

struct segment *
segment_new(struct descriptors *descriptors, const char *directory,
    uint64_t id, int64_t base_offset, bool create)
{
	struct segment *segment = segment_begin(descriptors, directory, id,
	    base_offset);
	struct file_info info = { 0 };

	if (!segment_find(segment, create, &info))
		return (segment_refused(segment));
	segment->held.inode = info.inode;
	segment->size = info.size_bytes;
	return (segment);
}

struct segment *
segment_adopt(struct descriptors *descriptors, const char *directory,
    uint64_t id, int64_t base_offset, int descriptor)
{
	struct segment *segment = segment_begin(descriptors, directory, id,
	    base_offset);
	struct file_info info = { 0 };

	if (segment->files->ops->fstat(segment->files, descriptor, &info) != 0)
		return (segment_refused(segment));
	segment->held.inode = info.inode;
	descriptors_take_pinned(descriptors, &segment->held, descriptor);
	return (segment);
}

/* --- the .log ------------------------------------------------------------- */

void
segment_walk(struct segment *segment, struct walk *walk, int64_t position,
    int64_t end, bool whole)
{
	bool empty = position >= end;
	int descriptor = empty ? -1 : segment_pin(segment);
	int error = errno;

	walk_init(walk, segment->files, descriptor, position, end, whole);
	if (descriptor < 0 && !empty)
		walk->error = error;
}

void
segment_walk_end(struct segment *segment, struct walk *walk)
{
	int error = errno;

	walk_fini(walk);
	if (walk->descriptor >= 0)
		segment_unpin(segment);
	errno = error;
}

enum walk_found
segment_first_timestamp(struct segment *segment, int64_t *timestamp_ms)
{
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;

	segment_walk(segment, &walk, 0, segment->size, false);
	do
		found = walk_next(&walk, &batch, &position);
	while (found == WALK_BATCH && batch.record_count == 0);
	segment_walk_end(segment, &walk);
	*timestamp_ms = found == WALK_BATCH ? batch.max_timestamp_ms : -1;
	return (found);
}

/*
 * The larger the segment, the further ahead, so that never more than an eighth
 * of what a partition holds lies idle:
 *
 *	0               end of the file     reserved
 *	|--- records -------|--- blocks --------|
 *
 * A refusal (no room, another file system) costs speed only, and is final.
 */
void
segment_reserve(struct segment *segment, int descriptor, int64_t end)
{
	struct files *files = segment->files;
	int64_t ahead = end / 8;

	if (end <= segment->reserved || end < RESERVE_FROM_BYTES)
		return;
	if (ahead > RESERVE_AHEAD_BYTES)
		ahead = RESERVE_AHEAD_BYTES;
	if (files->ops->reserve(files, descriptor, segment->size,
		end + ahead - segment->size) == 0)
		segment->reserved = end + ahead;
	else
		segment->reserved = INT64_MAX;
}

/* The end of a call with a descriptor that was pinned for it. */
static int
unpin_after(struct segment *segment, int answer)
{
	int error = errno;

	segment_unpin(segment);
	errno = error;
	return (answer);
}

int
segment_truncate(struct segment *segment, int64_t size)
{
	int descriptor = segment_pin(segment);

	if (descriptor < 0)
		return (-1);
	return (unpin_after(segment,
	    segment->files->ops->truncate(segment->files, descriptor, size)));
}

int
segment_info(struct segment *segment, struct file_info *out)
{
	int descriptor = segment_pin(segment);

	if (descriptor < 0)
		return (-1);
	return (unpin_after(segment,
	    segment->files->ops->fstat(segment->files, descriptor, out)));
}

/* --- its files ------------------------------------------------------------ */

void
segment_file(const struct segment *segment, const char *suffix,
    char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s%s", segment->path, suffix);
}

bool
segment_deleted_file(const struct segment *segment, const char *suffix,
    char out[PATH_MAX])
{
	uint64_t turn = atomic_load(&segment->deleted_turn);
	char *path = segment->path;
	int length;

	if (turn == 0)
		length = snprintf(out, PATH_MAX, "%s%s.deleted", path, suffix);
	else
		length = snprintf(out, PATH_MAX, "%s%s.%" PRIu64 ".deleted",
		    path, suffix, turn);
	return (length < PATH_MAX);
}

int
segment_mark_deleted(struct segment *segment)
{
	struct files *files = segment->files;

	for (size_t i = 0; i < nelems(segment_suffixes); i++) {
		char from[PATH_MAX];
		char to[PATH_MAX];

		segment_file(segment, segment_suffixes[i], from);
		if (!segment_deleted_file(segment, segment_suffixes[i], to)) {
			errno = ENAMETOOLONG;
			return (-1);
		}
		if (files->ops->rename(files, from, to) != 0 &&
		    errno != ENOENT)
			return (-1);
	}
	return (0);
}

int
segment_unlink(struct segment *segment, bool marked)
{
	struct files *files = segment->files;

	for (size_t i = 0; i < nelems(segment_suffixes); i++) {
		char name[PATH_MAX];

		if (marked)
			(void)segment_deleted_file(segment,
			    segment_suffixes[i], name);
		else
			segment_file(segment, segment_suffixes[i], name);
		if (files->ops->unlink(files, name) != 0 && errno != ENOENT)
			return (-1);
	}
	return (0);
}

void
segment_note_append(struct segment *segment, const struct segment_run *run,
    int32_t index_interval_bytes, int32_t index_bytes)
{
	if (run->max_timestamp_ms > segment->max_timestamp_ms) {
		segment->max_timestamp_ms = run->max_timestamp_ms;
		segment->max_timestamp_offset = run->max_timestamp_offset;
	}
	if (segment->bytes_since_index > index_interval_bytes &&
	    !segment_indexes_full(segment, index_bytes)) {
		struct index_entry entry = {
			.offset = run->last_offset,
			.position = run->position,
		};

		index_add(&segment->offsets, &entry);
		segment_note_close(segment);
		segment->bytes_since_index = 0;
	}
	segment->bytes_since_index += run->size;
}

void
segment_note_close(struct segment *segment)
{
	struct index_entry entry = {
		.offset = segment->max_timestamp_offset,
		.timestamp_ms = segment->max_timestamp_ms,
	};

	/* It refuses what is not larger than the last one. */
	if (segment->max_timestamp_ms >= 0)
		index_add(&segment->times, &entry);
}

int
segment_write_indexes(struct segment *segment, bool sync)
{
	if (index_write(&segment->offsets, segment->files, segment->path,
		sync) != 0)
		return (-1);
	return (index_write(&segment->times, segment->files, segment->path,
	    sync));
}

bool
segment_indexes_full(const struct segment *segment, int32_t index_bytes)
{
	/* One place is kept for the entry that closes the index of times. */
	return (segment->offsets.count >= (uint32_t)index_bytes / 8 ||
	    segment->times.count + 1 >= (uint32_t)index_bytes / 12);
}

struct segment_list *
segment_list_new(struct segment *const *items, size_t count)
{
	struct segment_list *list = mem_alloc(sizeof(*list) +
	    count * sizeof(list->items[0]));

	atomic_init(&list->references, 1);
	list->count = count;
	for (size_t i = 0; i < count; i++)
		list->items[i] = segment_ref(items[i]);
	return (list);
}

struct segment_list *
segment_list_ref(struct segment_list *list)
{
	atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
	return (list);
}

void
segment_list_unref(struct segment_list *list)
{
	if (atomic_fetch_sub_explicit(&list->references, 1,
		memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < list->count; i++)
		segment_unref(list->items[i]);
	mem_free(list);
}

size_t
segment_list_find(const struct segment_list *list, int64_t offset)
{
	size_t low = 0;
	size_t high = list->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (list->items[middle]->base_offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return (low);
}
