/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment that a group of segments becomes.  Its files are
 *
 *	BASE.log.cleaned  .index.cleaned  .timeindex.cleaned  .txnindex.cleaned
 *
 * and a load removes them.  The .log's descriptor stays open and the indexes
 * stay in memory until they have the names that readers know.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/check.h"
#include "storage/clean_int.h"

/* After so many bytes the kernel begins to write: the sync at the end shall not
 * have all of it to do. */
#define WRITE_OUT_BYTES ((int64_t)8 << 20)

static const char *const suffixes[CLEANED_FILES] = { ".log", ".index",
	".timeindex", ".txnindex" };

void
clean_file(const struct segment *segment, size_t file, const char *state,
    char out[PATH_MAX])
{
	char suffix[32];

	snprintf(suffix, sizeof(suffix), "%s%s", suffixes[file], state);
	segment_file(segment, suffix, out);
}

bool
clean_output_begin(struct clean_output *output, struct log *log,
    int64_t base_offset)
{
	struct storage *storage = log->storage;
	struct files *files = storage->files;
	char name[PATH_MAX];
	int error;

	CHECK(output->log == NULL);
	log_offset_file(log, base_offset, ".log.cleaned", name);
	output->descriptor = files->ops->open(files, name,
	    O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (output->descriptor < 0)
		return (false);
	output->made = segment_adopt(storage->descriptors, log->path,
	    storage_segment_id(storage), base_offset, output->descriptor);
	if (output->made == NULL) {
		error = errno;
		files->ops->close(files, output->descriptor);
		(void)files->ops->unlink(files, name);
		errno = error;
		return (false);
	}
	log_date_segment(log, output->made);
	output->log = log;
	output->bytes.length = output->aborted.length = 0;
	output->unsynced = 0;
	return (true);
}

static bool
output_write(struct clean_output *output)
{
	struct files *files = output->made->files;
	struct iovec part = { output->bytes.data, output->bytes.length };
	int64_t position = output->made->size - (int64_t)output->bytes.length;

	if (output->bytes.length == 0)
		return (true);
	if (!log_dir_has_room(output->log->dir,
		(int64_t)output->bytes.length)) {
		errno = ENOSPC;
		return (false);
	}
	if (file_write_full(files, output->descriptor, &part, 1, position) !=
	    0)
		return (false);
	output->unsynced += (int64_t)output->bytes.length;
	output->bytes.length = 0;
	if (output->unsynced < WRITE_OUT_BYTES)
		return (true);
	files->ops->write_out(files, output->descriptor);
	output->unsynced = 0;
	return (true);
}

bool
clean_output_note(struct clean_output *output, const struct batch *batch,
    const struct record_filtered *result)
{
	struct log_settings settings = log_get_settings(output->log);
	struct segment *made = output->made;
	const struct segment_run run = {
		.position = made->size,
		.size = (int64_t)result->size,
		.last_offset = batch->last_offset,
		.max_timestamp_ms = result->max_timestamp_ms,
		.max_timestamp_offset = batch->last_offset,
	};

	/* What an index could not say: a load takes such a segment apart. */
	if (batch->last_offset - made->base_offset > INT32_MAX ||
	    made->size + run.size > INT32_MAX) {
		errno = EOVERFLOW;
		return (false);
	}
	segment_note_append(made, &run, settings.index_interval_bytes,
	    settings.index_bytes);
	made->size += run.size;
	made->next_offset = batch->last_offset + 1;
	return (output->bytes.length < output->buffer_bytes ||
	    output_write(output));
}

static bool
output_put(struct clean_output *output, size_t file, struct slice bytes)
{
	struct files *files = output->made->files;
	struct iovec part = { (void *)(uintptr_t)bytes.data, bytes.length };
	char name[PATH_MAX];
	int descriptor;
	bool good;
	int error;

	clean_file(output->made, file, ".cleaned", name);
	descriptor = files->ops->open(files, name, O_WRONLY | O_CREAT | O_TRUNC,
	    0644);
	if (descriptor < 0)
		return (false);
	good = (bytes.length == 0 ||
		   file_write_full(files, descriptor, &part, 1, 0) == 0) &&
	    files->ops->sync(files, descriptor) == 0;
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (good);
}

static bool
output_date(struct clean_output *output, int64_t mtime_ms)
{
	struct files *files = output->made->files;

	for (size_t i = 0; i < 3; i++) {
		char name[PATH_MAX];

		clean_file(output->made, i, ".cleaned", name);
		if (files->ops->set_mtime(files, name, mtime_ms) != 0)
			return (false);
	}
	return (true);
}

bool
clean_output_end(struct clean_output *output, int64_t mtime_ms)
{
	struct segment *made = output->made;
	struct files *files = made->files;

	segment_note_close(made);
	return (output_write(output) &&
	    files->ops->sync(files, output->descriptor) == 0 &&
	    output_put(output, 1, buffer_slice(&made->offsets.entries)) &&
	    output_put(output, 2, buffer_slice(&made->times.entries)) &&
	    (output->aborted.length == 0 ||
		output_put(output, 3, buffer_slice(&output->aborted))) &&
	    output_date(output, mtime_ms));
}

/* A deleted log's directory is not ours any more. */
void
clean_output_drop(struct clean_output *output)
{
	struct log *log = output->log;

	if (log == NULL)
		return;
	output->log = NULL;
	lock_take(&log->closing);
	for (size_t i = 0; i < CLEANED_FILES; i++) {
		char name[PATH_MAX];

		clean_file(output->made, i, ".cleaned", name);
		if (!log_deleted(log) && !log_failed(log))
			(void)log->storage->files->ops->unlink(
			    log->storage->files, name);
	}
	lock_release(&log->closing);
	segment_unpin(output->made);
	segment_unref(output->made);
	output->made = NULL;
}
