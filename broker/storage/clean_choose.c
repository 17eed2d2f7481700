/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which log is compacted next, and how much of it:
 *
 *	log start       first dirty        first uncleanable      end
 *	|--- clean ---------|--- cleanable ------|-- stays -- active --|
 *
 * Never beyond what is decided (the last stable offset), never the active
 * segment, and nothing younger than min.compaction.lag.ms.
 *
 * Source: LogCleanerManager and LogToClean of Kafka 3.9.
 */
#include <errno.h>

#include "storage/clean_int.h"

/* A log that was refused is left out of so many looks, and not for longer. */
#define LEFT_OUT_LOOKS 8
#define LEFT_OUT_LEAST_MS ((int64_t)1000)
#define LEFT_OUT_MAX_MS ((int64_t)600000)
#define SAY_NO_ROOM_MS ((int64_t)600000)

/* Below the log's start after retention; beyond its end after a loss. */
static int64_t
first_dirty(struct log *log)
{
	int64_t start_offset = log_start_offset(log);
	int64_t cleaned = atomic_load(&log->cleaned_to);

	if (cleaned < 0)
		return (start_offset);
	if (cleaned >= start_offset && cleaned <= log_end_offset(log))
		return (cleaned);
	if (cleaned > log_end_offset(log))
		diag_warn(log->storage->diag, storage,
		    "partition=%s was compacted beyond its end, all of it "
		    "counts as dirty compacted to=%lld end=%lld", log->name,
		    (long long)cleaned, (long long)log_end_offset(log));
	atomic_store(&log->cleaned_to, start_offset);
	log_dir_changed(log->dir, CHECKPOINT_CLEANER);
	return (start_offset);
}

/* What stays as it is: a segment whose roll is not finished, too. */
static int64_t
first_unfinished(struct log *log, const struct segment_list *list)
{
	size_t slot = 0;

	lock_take(&log->lock);
	while (slot + 1 < list->count && !list->items[slot]->offsets.in_memory)
		slot++;
	lock_release(&log->lock);
	return (list->items[slot]->base_offset);
}

/* The first dirty segment with anything that is too young. False: errno. */
static bool
first_young(struct log *log, const struct segment_list *list, int64_t dirty,
    int64_t from_ms, int64_t *offset)
{
	for (size_t i = segment_list_find(list, dirty); i + 1 < list->count;
	     i++) {
		int64_t date_ms;

		if (log_segment_date(log, list->items[i], &date_ms) !=
		    ERR_NONE)
			return (false);
		if (date_ms <= from_ms)
			continue;
		if (list->items[i]->base_offset < *offset)
			*offset = list->items[i]->base_offset;
		break;
	}
	return (true);
}

static int64_t
overdue_ms(const struct segment_list *list, int64_t dirty, int64_t until_ms)
{
	int64_t earliest_ms = INT64_MAX;

	for (size_t i = segment_list_find(list, dirty); i + 1 < list->count;
	     i++) {
		int64_t timestamp_ms;

		segment_first_timestamp(list->items[i], &timestamp_ms);
		if (timestamp_ms > 0 && timestamp_ms < earliest_ms)
			earliest_ms = timestamp_ms;
	}
	return (earliest_ms < until_ms ? until_ms - earliest_ms : 0);
}

/* A segment that has both counts twice, as in Kafka. */
static void
count_bytes(struct log *log, const struct segment_list *list,
    struct clean_candidate *out)
{
	size_t from = segment_list_find(list, out->first_dirty);
	int64_t largest = 0;

	lock_take(&log->lock);
	for (size_t i = 0; i < list->count; i++) {
		const struct segment *segment = list->items[i];

		if (segment->base_offset < out->first_uncleanable &&
		    segment->size > largest)
			largest = segment->size;

		if (segment->base_offset < out->first_dirty)
			out->clean_bytes += segment->size;
		if (i >= from && segment->base_offset < out->first_uncleanable)
			out->cleanable_bytes += segment->size;
	}
	/* A group is no larger than a segment may be, but for a single one. */
	out->room_bytes = largest > log->settings.segment_bytes ?
	    largest : log->settings.segment_bytes;
	lock_release(&log->lock);
	if (out->room_bytes > out->clean_bytes + out->cleanable_bytes)
		out->room_bytes = out->clean_bytes + out->cleanable_bytes;
	if (out->clean_bytes + out->cleanable_bytes > 0)
		out->ratio = (double)out->cleanable_bytes /
		    (double)(out->clean_bytes + out->cleanable_bytes);
}

bool
clean_look_at(struct log *log, const struct segment_list *list, int64_t now_ms,
    struct clean_candidate *out)
{
	struct log_settings settings = log_get_settings(log);
	int64_t high_watermark = atomic_load(&log->high_watermark);
	int64_t bound = log_first_unstable(log, high_watermark);
	int64_t active = first_unfinished(log, list);

	*out = (struct clean_candidate){ .log = log };
	out->first_dirty = first_dirty(log);
	if (bound > high_watermark)
		bound = high_watermark;
	if (bound > active)
		bound = active;
	if (settings.min_compaction_lag_ms > 0 &&
	    !first_young(log, list, out->first_dirty,
		now_ms - settings.min_compaction_lag_ms, &bound))
		return (false);
	if (bound < out->first_dirty)
		bound = out->first_dirty;
	/* Whole segments only. */
	out->first_uncleanable =
	    list->items[segment_list_find(list, bound)]->base_offset;
	if (settings.max_compaction_lag_ms < INT64_MAX)
		out->delay_ms = overdue_ms(list, out->first_dirty,
		    now_ms - settings.max_compaction_lag_ms);
	count_bytes(log, list, out);
	return (out->clean_bytes + out->cleanable_bytes > 0);
}

bool
clean_look(struct log *log, int64_t now_ms, struct clean_candidate *out)
{
	struct segment_list *list = log_segments(log);
	bool good;
	int error;

	good = clean_look_at(log, list, now_ms, out);
	error = errno;
	segment_list_unref(list);
	errno = error;
	return (good);
}

bool
clean_is_due(const struct clean_candidate *candidate,
    const struct log_settings *settings)
{
	return (candidate->cleanable_bytes > 0 &&
	    (candidate->delay_ms > 0 ||
		candidate->ratio > settings->min_cleanable_ratio));
}

/* --- of all --------------------------------------------------------------- */

bool
clean_has_room(struct log *log, int64_t bytes)
{
	struct storage *storage = log->storage;
	struct log_dir *dir = log->dir;
	int64_t now_ms = storage_mono_ms(storage);
	long long after_ms = atomic_load(&dir->say_no_clean_room_after_ms);
	int64_t total, usable;

	if (!log_dir_space(dir, &total, &usable) ||
	    usable - bytes >= atomic_load(&storage->disk_reserve_bytes))
		return (true);
	if (now_ms >= after_ms &&
	    atomic_compare_exchange_strong(&dir->say_no_clean_room_after_ms,
		&after_ms, now_ms + SAY_NO_ROOM_MS))
		diag_warn(storage->diag, storage, "dir=%s has no room to "
		    "compact in, it is tried again partition=%s bytes=%lld",
		    dir->path, log->name, (long long)bytes);
	return (false);
}

void
clean_leave_out(struct log *log, int64_t backoff_ms)
{
	int64_t pause_ms = backoff_ms > LEFT_OUT_MAX_MS / LEFT_OUT_LOOKS ?
	    LEFT_OUT_MAX_MS : backoff_ms * LEFT_OUT_LOOKS;

	if (pause_ms < LEFT_OUT_LEAST_MS)
		pause_ms = LEFT_OUT_LEAST_MS;
	atomic_store(&log->clean_after_ms,
	    storage_mono_ms(log->storage) + pause_ms);
}

static bool
choose_look(void *arg, struct log *log)
{
	struct clean_choice *choice = arg;
	struct log_settings settings = log_get_settings(log);
	struct clean_candidate candidate;

	if (!settings.compacted || log_failed(log) ||
	    atomic_load(&log->uncleanable) || atomic_load(&log->cleaning) ||
	    atomic_load(&log->cleaning_pauses) > 0 ||
	    !clean_look(log, storage_now_ms(log->storage), &candidate))
		return (true);
	if (candidate.delay_ms > choice->max_delay_ms)
		choice->max_delay_ms = candidate.delay_ms;
	if (candidate.ratio > choice->max_ratio)
		choice->max_ratio = candidate.ratio;
	if (!clean_is_due(&candidate, &settings) ||
	    (choice->log != NULL &&
		candidate.ratio <= choice->candidate.ratio) ||
	    storage_mono_ms(log->storage) <
		atomic_load(&log->clean_after_ms) ||
	    !clean_has_room(log, candidate.room_bytes))
		return (true);
	if (choice->log != NULL)
		log_unref(choice->log);
	choice->log = log_ref(log);
	choice->candidate = candidate;
	return (true);
}

void
clean_choose(struct storage *storage, struct clean_choice *out)
{
	*out = (struct clean_choice){ 0 };
	storage_each_log(storage, choose_look, out);
	/* Another cleaner may have been quicker: the next time, then. */
	if (out->log == NULL || !atomic_exchange(&out->log->cleaning, true))
		return;
	log_unref(out->log);
	out->log = NULL;
}
