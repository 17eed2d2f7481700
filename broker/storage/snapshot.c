/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of producer state, NNN.snapshot: what is known of all below offset NNN.
 * Written in place, as Kafka does: the CRC tells a torn one, and the records
 * can always be replayed instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

struct snapshots {
	int64_t *offsets; /* ascending */
	size_t count;
	size_t capacity;
};

static int
snapshots_note(void *arg, const char *name, bool is_directory)
{
	struct snapshots *found = arg;
	struct slice rest;
	struct slice digits = text_cut(slice_of_text(name), '.', &rest);
	int64_t offset;

	if (is_directory || !slice_equal_text(rest, "snapshot") ||
	    !text_to_int64(digits, &offset) || offset < 0)
		return (0);
	if (found->count == found->capacity) {
		found->capacity = found->capacity * 2 + 8;
		found->offsets = mem_realloc(found->offsets,
		    found->capacity * sizeof(*found->offsets));
	}
	found->offsets[found->count++] = offset;
	return (0);
}

static int
offset_order(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;

	return ((left > right) - (left < right));
}

static bool
snapshots_list(struct log *log, struct snapshots *out)
{
	struct files *files = log->storage->files;

	*out = (struct snapshots){ 0 };
	if (files->ops->list(files, log->path, snapshots_note, out) != 0) {
		mem_free(out->offsets);
		return (false);
	}
	if (out->count > 0)
		qsort(out->offsets, out->count, sizeof(*out->offsets),
		    offset_order);
	return (true);
}

bool
snapshot_forget(struct log *log, int64_t offset)
{
	struct files *files = log->storage->files;
	char name[PATH_MAX];

	log_offset_file(log, offset, ".snapshot", name);
	return (files->ops->unlink(files, name) == 0 || errno == ENOENT);
}

bool
snapshot_put(struct log *log, int64_t offset, struct slice bytes, bool sync)
{
	struct files *files = log->storage->files;
	struct iovec part = { (void *)(uintptr_t)bytes.data, bytes.length };
	char name[PATH_MAX];
	int descriptor;
	bool good;
	int error;

	log_offset_file(log, offset, ".snapshot", name);
	descriptor = files->ops->open(files, name, O_WRONLY | O_CREAT | O_TRUNC,
	    0644);
	good = descriptor >= 0 &&
	    file_write_full(files, descriptor, &part, 1, 0) == 0 &&
	    (!sync || files->ops->sync(files, descriptor) == 0);
	error = errno;
	if (descriptor >= 0)
		files->ops->close(files, descriptor);
	errno = error;
	return (good);
}

/* A recovery that comes to the same state as the one before. */
static bool
snapshot_same(struct log *log, int64_t offset, struct slice bytes)
{
	char name[PATH_MAX];
	void *found;
	size_t size;
	bool same;

	log_offset_file(log, offset, ".snapshot", name);
	if (!log->has_snapshots ||
	    file_load(log->storage->files, name, bytes.length, &found, &size) !=
		0)
		return (false);
	same = size == bytes.length && memcmp(found, bytes.data, size) == 0;
	mem_free(found);
	return (same);
}

static bool
snapshot_sync(struct log *log, int64_t offset)
{
	struct files *files = log->storage->files;
	char name[PATH_MAX];
	int descriptor;
	bool good;
	int error;

	log_offset_file(log, offset, ".snapshot", name);
	descriptor = files->ops->open(files, name, O_RDONLY, 0);
	if (descriptor < 0)
		return (errno == ENOENT);
	good = files->ops->sync(files, descriptor) == 0;
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (good);
}

bool
snapshot_write(struct log *log, bool sync)
{
	struct buffer bytes = BUFFER_EMPTY;
	int64_t offset;
	bool same = false;
	bool good;
	int error;

	lock_take(&log->lock);
	offset = log->producers.end_offset;
	good = offset <= log->producers.snapshot_offset;
	if (!good)
		producers_encode(&log->producers, &bytes);
	lock_release(&log->lock);
	if (good)
		return (true);
	same = snapshot_same(log, offset, buffer_slice(&bytes));
	good = same || snapshot_put(log, offset, buffer_slice(&bytes), sync);
	error = errno;
	buffer_fini(&bytes);
	if (good) {
		lock_take(&log->lock);
		log->producers.snapshot_offset = offset;
		log->producers.snapshot_unsynced = same || !sync;
		lock_release(&log->lock);
	}
	errno = error;
	return (good);
}

bool
snapshot_close(struct log *log)
{
	struct producers *producers = &log->producers;

	if (!snapshot_write(log, true))
		return (false);
	if (producers->snapshot_unsynced &&
	    !snapshot_sync(log, producers->snapshot_offset))
		return (false);
	producers->snapshot_unsynced = false;
	return (true);
}

bool
snapshot_load(struct log *log, struct producers *producers, int64_t start,
    int64_t limit)
{
	struct storage *storage = log->storage;
	struct snapshots found;
	bool good = true;

	producers_clear(producers);
	producers->end_offset = producers->snapshot_offset = start;
	if (!snapshots_list(log, &found))
		return (false);
	while (good && found.count > 0) {
		int64_t offset = found.offsets[--found.count];
		char name[PATH_MAX];
		void *bytes = NULL;
		size_t size = 0;
		bool usable;

		if (offset > limit || offset <= start)
			continue;
		log_offset_file(log, offset, ".snapshot", name);
		if (file_load(storage->files, name, SMALL_FILE_MAX, &bytes,
			&size) != 0 &&
		    errno != EFBIG) {
			good = false; /* the disk's fault, not the file's */
			break;
		}
		usable = bytes != NULL &&
		    producers_decode(producers, slice_of(bytes, size),
			storage_now_ms(storage),
			atomic_load_explicit(
			    &storage->producer_id_expiration_ms,
			    memory_order_relaxed));
		mem_free(bytes);
		if (usable) {
			producers->end_offset = offset;
			producers->snapshot_offset = offset;
			break;
		}
		/* It stays: a load that ends here must find it damaged, not
		 * that there is none. */
		diag_warn(storage->diag, storage,
		    "partition=%s producer snapshot is damaged, an older one "
		    "is taken file=%s",
		    log->name, name);
	}
	mem_free(found.offsets);
	return (good);
}

bool
snapshot_prune(struct log *log, int64_t start, int64_t limit)
{
	struct snapshots found;
	bool good = true;

	if (!snapshots_list(log, &found))
		return (false);
	for (size_t i = 0; good && i < found.count; i++)
		if (found.offsets[i] > limit || found.offsets[i] <= start)
			good = snapshot_forget(log, found.offsets[i]);
	mem_free(found.offsets);
	return (good);
}

bool
snapshot_remove_strays(struct log *log)
{
	struct segment_list *list = log->segments;
	struct snapshots found;
	bool good = true;

	if (!snapshots_list(log, &found))
		return (false);
	for (size_t i = 0; good && i + 1 < found.count; i++) {
		size_t slot = segment_list_find(list, found.offsets[i]);

		if (list->items[slot]->base_offset != found.offsets[i])
			good = snapshot_forget(log, found.offsets[i]);
	}
	mem_free(found.offsets);
	return (good);
}
