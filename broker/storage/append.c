/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending.  A set of batches goes to the active segment with one pwritev;
 * only then, under the log's lock, do readers see it: size, index, producers,
 * end. A write that fails leaves nothing: the file is cut back, and when even
 * that fails the directory goes offline.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

/* Batches that go to one segment. */
struct run {
	struct slice bytes;
	int64_t first_offset;
	int64_t last_offset;
	int64_t max_timestamp_ms;
	int64_t max_timestamp_offset;
	int count;
	int8_t magic;
};

static void run_add(struct run *run, const struct batch *batch);
static enum error append_epochs(struct log *log, struct slice bytes);
static void append_epochs_back(struct log *log);
static enum error append_run(struct log *log, const struct run *run,
    const struct log_settings *settings, bool *rolled);
static bool append_must_roll(struct log *log, struct segment *active,
    const struct run *run, const struct log_settings *settings);
static enum error append_write(struct log *log, struct segment *active,
    const struct run *run, const struct log_settings *settings);
static bool append_publish(struct log *log, struct segment *active,
    const struct run *run, const struct log_settings *settings);
static enum error follower_check(const struct log *log, struct slice bytes,
    struct slice *whole);

static enum error
append_allowed(struct log *log)
{
	return (log_deleted(log) ? ERR_KAFKA_STORAGE_ERROR
				 : log_finish_cut(log));
}

/* --- as leader ------------------------------------------------------------ */

/* The batch as it is after record_stamp(). */
static struct run
run_of_one(uint8_t *bytes, size_t size)
{
	struct slice rest = slice_of(bytes, size);
	struct run run = { .bytes = rest };
	struct batch batch;

	CHECK(batch_next(&rest, &batch) == BATCH_OK && rest.length == 0);
	run_add(&run, &batch);
	return (run);
}

static enum error
leader_check(struct log *log, const struct record_verdict *verdict,
    struct log_settings *settings, struct log_appended *out)
{
	const struct batch *batch = &verdict->batch;
	struct producer_batch known = { 0 };
	enum error error = ERR_NONE;

	lock_take(&log->lock);
	*settings = log->settings;
	if (batch->producer_id >= 0)
		error = producers_check(&log->producers, batch, &known,
		    &out->duplicate);
	lock_release(&log->lock);
	if (error != ERR_NONE)
		return (error);
	if (out->duplicate) {
		out->base_offset = known.last_offset - known.offset_delta;
		out->last_offset = known.last_offset;
		out->log_append_time_ms = known.timestamp_ms;
	} else if (batch->size > settings->segment_bytes)
		return (ERR_RECORD_LIST_TOO_LARGE);
	return (ERR_NONE);
}

enum error
log_append_as_leader(struct log *log, const struct record_rules *rules,
    const struct record_verdict *verdict, uint8_t *bytes, int32_t leader_epoch,
    struct log_appended *out)
{
	struct log_settings settings;
	enum error error;
	struct run run;

	CHECK_MAGIC(log, LOG_MAGIC);
	CHECK(verdict->error == ERR_NONE);
	*out = (struct log_appended){ .base_offset = -1, .last_offset = -1,
		.log_append_time_ms = -1 };
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	error = append_allowed(log);
	if (error == ERR_NONE)
		error = leader_check(log, verdict, &settings, out);
	if (error != ERR_NONE || out->duplicate)
		goto out;
	record_stamp(rules, verdict, bytes, log_end_offset(log), leader_epoch);
	run = run_of_one(bytes, (size_t)verdict->batch.size);
	error = append_epochs(log, run.bytes);
	if (error == ERR_NONE)
		error = append_run(log, &run, &settings, &out->rolled);
	if (error != ERR_NONE)
		goto out;
	out->base_offset = run.first_offset;
	out->last_offset = run.last_offset;
	if (rules->log_append_time)
		out->log_append_time_ms = verdict->max_timestamp_ms;
	out->flush_wanted = log_wants_flush(log);
out:
	lock_release(&log->writer);
	return (error);
}

/* --- as follower ---------------------------------------------------------- */

enum error
log_append_as_follower(struct log *log, struct slice bytes,
    struct log_appended *out)
{
	struct log_settings settings;
	enum error error;
	struct slice rest;
	struct batch batch;
	struct run run = { 0 };
	int64_t end;

	CHECK_MAGIC(log, LOG_MAGIC);
	*out = (struct log_appended){ .base_offset = -1, .last_offset = -1,
		.log_append_time_ms = -1 };
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	settings = log_get_settings(log);
	end = log_end_offset(log);
	error = append_allowed(log);
	/* It was cut just now: they were fetched for another end. */
	if (error == ERR_NONE && log_end_offset(log) != end)
		error = ERR_KAFKA_STORAGE_ERROR;
	if (error == ERR_NONE)
		error = follower_check(log, bytes, &rest);
	if (error == ERR_NONE)
		error = append_epochs(log, rest);
	/* What was fetched may be more than one of our segments takes. */
	while (error == ERR_NONE && batch_next(&rest, &batch) == BATCH_OK) {
		if (run.count > 0 &&
		    (int64_t)run.bytes.length + batch.size >
			settings.segment_bytes) {
			error = append_run(log, &run, &settings, &out->rolled);
			run = (struct run){ 0 };
			if (error != ERR_NONE)
				break;
		}
		if (run.count == 0 && out->base_offset < 0)
			out->base_offset = batch.base_offset;
		run_add(&run, &batch);
		out->last_offset = batch.last_offset;
	}
	if (error == ERR_NONE && run.count > 0)
		error = append_run(log, &run, &settings, &out->rolled);
	if (error != ERR_NONE)
		append_epochs_back(log);
	out->flush_wanted = error == ERR_NONE && log_wants_flush(log);
	lock_release(&log->writer);
	return (error);
}

/* All whole batches have a good CRC and come one behind the other. */
static enum error
follower_check(const struct log *log, struct slice bytes, struct slice *whole)
{
	int64_t next = log_end_offset(log);
	struct slice rest = bytes;
	struct batch batch;
	enum batch_walk found;

	while ((found = batch_next(&rest, &batch)) == BATCH_OK) {
		if (!batch_crc_good(&batch))
			return (ERR_CORRUPT_MESSAGE);
		if (batch.last_offset < batch.base_offset ||
		    batch.last_offset == INT64_MAX || batch.base_offset < next)
			return (ERR_UNKNOWN_SERVER_ERROR);
		next = batch.last_offset + 1;
	}
	if (found == BATCH_CORRUPT)
		return (ERR_CORRUPT_MESSAGE);
	*whole = slice_of(bytes.data, bytes.length - rest.length);
	return (ERR_NONE);
}

/* --- what both do --------------------------------------------------------- */

static void
run_add(struct run *run, const struct batch *batch)
{
	if (run->count == 0) {
		run->bytes = slice_of(batch->bytes.data, 0);
		run->first_offset = batch->base_offset;
		run->max_timestamp_ms = -1;
		run->magic = batch->magic;
	}
	run->bytes.length += (size_t)batch->size;
	run->count++;
	run->last_offset = batch->last_offset;
	if (batch->max_timestamp_ms > run->max_timestamp_ms) {
		run->max_timestamp_ms = batch->max_timestamp_ms;
		run->max_timestamp_offset = batch->last_offset;
	}
}

/* New epochs are on the disk before the first batch of theirs. */
static enum error
append_epochs(struct log *log, struct slice bytes)
{
	struct epochs epochs;
	struct batch batch;
	bool changed = false;

	while (batch_next(&bytes, &batch) == BATCH_OK) {
		const struct epochs *known = changed ? &epochs : &log->epochs;
		bool clears = batch.magic < 2 && known->count > 0;

		if (!clears &&
		    !epochs_lacks(known, batch.leader_epoch, batch.base_offset))
			continue;
		if (!changed)
			epochs_copy(&epochs, &log->epochs);
		changed = true;
		if (clears)
			epochs.count = 0;
		else
			epochs_assign(&epochs, batch.leader_epoch,
			    batch.base_offset);
	}
	/* A cut entry in the file must not come to lie below the end. */
	if (!changed && log->epochs_differ) {
		epochs_copy(&epochs, &log->epochs);
		changed = true;
	}
	if (changed && !log_set_epochs(log, &epochs))
		return (log_refuse(log, "could not write leader epochs"));
	return (ERR_NONE);
}

/* Of a follower, those whose batches were not written: the log would pass for
 * one that has them, and not take what lies before them.  A leader's own epoch
 * stays: it does lead in it. */
static void
append_epochs_back(struct log *log)
{
	lock_take(&log->lock);
	log_cut_epochs(log, log_end_offset(log));
	lock_release(&log->lock);
}

/* Should the write be refused, others may come before them: the segment begins
 * where the log ends, not where they do, if it can take them then. */
static int64_t
append_roll_at(const struct log *log, const struct run *run)
{
	const int64_t end = log_end_offset(log);

	if (run->last_offset - end <= INT32_MAX)
		return (end);
	return (run->magic == 2 ? run->first_offset :
				  run->last_offset - INT32_MAX);
}

static enum error
append_run(struct log *log, const struct run *run,
    const struct log_settings *settings, bool *rolled)
{
	struct segment *active = log_active(log);
	enum error error;

	if (append_must_roll(log, active, run, settings)) {
		error = log_roll(log, append_roll_at(log, run));
		if (error != ERR_NONE)
			return (error);
		active = log_active(log);
		*rolled = true;
	}
	error = append_write(log, active, run, settings);
	if (error != ERR_NONE)
		return (error);
	/* Index entries go to the file when the segment is closed: a recovery
	 * would not look at them before. */
	if (append_publish(log, active, run, settings))
		return (ERR_NONE);
	return (log_fail(log, "could not index an aborted transaction"));
}

static int64_t
segment_waited_ms(struct log *log, struct segment *active,
    const struct run *run)
{
	if (active->first_timestamp_ms == TIMESTAMP_UNREAD) {
		int64_t first_ms;
		enum walk_found found = segment_first_timestamp(active,
		    &first_ms);

		/* What would not be read is asked for again, and so is a
		 * segment that has no records yet. */
		if (found != WALK_ERROR && found != WALK_END)
			active->first_timestamp_ms = first_ms;
	}
	if (active->first_timestamp_ms >= 0)
		return ((int64_t)((uint64_t)run->max_timestamp_ms -
		    (uint64_t)active->first_timestamp_ms));
	return (storage_mono_ms(log->storage) - active->created_ms);
}

static bool
append_must_roll(struct log *log, struct segment *active, const struct run *run,
    const struct log_settings *settings)
{
	if (run->last_offset - active->base_offset > INT32_MAX)
		return (true);
	if (active->size == 0)
		return (false);
	return (active->size >
		settings->segment_bytes - (int64_t)run->bytes.length ||
	    segment_waited_ms(log, active, run) >
		settings->segment_ms - active->jitter_ms ||
	    segment_indexes_full(active, settings->index_bytes));
}

static enum error
append_write(struct log *log, struct segment *active, const struct run *run,
    const struct log_settings *settings)
{
	struct files *files = log->storage->files;
	struct iovec part = { (void *)(uintptr_t)run->bytes.data,
		run->bytes.length };
	enum error answer = ERR_NONE;
	int descriptor;
	int error;

	if (!log_dir_has_room(log->dir, (int64_t)run->bytes.length))
		return (ERR_KAFKA_STORAGE_ERROR);
	descriptor = segment_pin(active);
	if (descriptor < 0)
		return (log_refuse(log, "could not open a segment"));
	if (!settings->preallocate)
		segment_reserve(active, descriptor,
		    active->size + (int64_t)run->bytes.length);
	if (file_write_full(files, descriptor, &part, 1, active->size) != 0) {
		error = errno;
		if (files->ops->truncate(files, descriptor, active->size) != 0)
			answer = log_fail(log,
			    "could not cut off half an append");
		else {
			errno = error;
			answer = log_refuse(log, "could not append");
		}
	}
	segment_unpin(active);
	return (answer);
}

/* Under log->lock.  Aborted transactions are added to `aborted`, an array of
 * *count. */
static void
append_note_producers(struct log *log, struct slice rest,
    struct producers_ended **aborted, size_t *count)
{
	struct producers_ended ended;
	struct batch batch;

	while (batch_next(&rest, &batch) == BATCH_OK) {
		if ((batch.attributes & BATCH_ATTR_CONTROL) == 0) {
			producers_add_data(&log->producers, &batch);
			continue;
		}
		if (!producers_add_marker(&log->producers, &batch, &ended) ||
		    !ended.aborted || ended.first_offset < 0)
			continue;
		*aborted = mem_realloc(*aborted,
		    (*count + 1) * sizeof(**aborted));
		(*aborted)[(*count)++] = ended;
	}
	log_note_producers(log);
}

/* No reader of committed records comes here before what was aborted has its
 * entries: until the high watermark passes the marker it is unstable. */
static bool
append_note_aborted(struct log *log, struct segment *active,
    struct producers_ended *aborted, size_t count)
{
	bool good = true;
	int error;

	for (size_t i = 0; good && i < count; i++)
		good = log_note_aborted(log, active, &aborted[i]);
	error = errno;
	mem_free(aborted);
	errno = error;
	return (good);
}

static bool
append_publish(struct log *log, struct segment *active, const struct run *run,
    const struct log_settings *settings)
{
	struct segment_run noted = {
		.position = active->size,
		.size = (int64_t)run->bytes.length,
		.last_offset = run->last_offset,
		.max_timestamp_ms = run->max_timestamp_ms,
		.max_timestamp_offset = run->max_timestamp_offset,
	};
	struct producers_ended *aborted = NULL;
	size_t aborted_count = 0;

	lock_take(&log->lock);
	segment_note_append(active, &noted, settings->index_interval_bytes,
	    settings->index_bytes);
	append_note_producers(log, run->bytes, &aborted, &aborted_count);
	if (log->recent == NULL)
		log->recent = mem_zalloc(RECENT_COUNT * sizeof(*log->recent));
	log->recent[log->recent_next++ % RECENT_COUNT] = (struct recent){
		.base_offset = run->first_offset,
		.last_offset = run->last_offset,
		.position = active->size,
		.size = run->count == 1 ? (int32_t)run->bytes.length : 0,
	};
	active->size += (int64_t)run->bytes.length;
	active->next_offset = run->last_offset + 1;
	atomic_fetch_add_explicit(&log->size_bytes,
	    (long long)run->bytes.length, memory_order_relaxed);
	atomic_store_explicit(&log->end_offset, run->last_offset + 1,
	    memory_order_release);
	lock_release(&log->lock);
	return (append_note_aborted(log, active, aborted, aborted_count));
}
