/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading one log: what a crash left over is finished or removed, segments are
 * opened in order, recovered where that is needed, and the rest follows from
 * them and from the checkpoints.  The steps are those of Kafka's LogLoader.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

enum { KIND_LOG, KIND_INDEX, KIND_TIMEINDEX, KIND_TXNINDEX, KIND_SNAPSHOT,
	KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = { "log", "index",
	"timeindex", "txnindex", "snapshot" };
enum { STATE_PLAIN, STATE_DELETED, STATE_CLEANED, STATE_SWAP, STATE_COUNT };
static const char *const state_names[STATE_COUNT] = { NULL, "deleted",
	"cleaned", "swap" };

/* A file of a segment, as its name tells. */
struct found_file {
	int64_t offset;
	int kind;
	int state;
	int64_t turn; /* 0: not in the name */
};
struct found_files {
	struct found_file *items;
	size_t count;
	size_t capacity;
	bool has_epochs;
	bool has_metadata;
	bool has_moved;
	bool has_temporary; /* of a mark */
};

struct load_name {
	const char *topic;
	int32_t partition;
};

static bool split_first(struct log *log, struct segment *const *items,
    size_t count);
static bool load_leftovers(struct log *log, struct found_files *files);
static bool load_swap(struct log *log, struct found_files *files);
static bool load_segments(struct log *log, const struct found_files *files,
    struct segment ***items, size_t *count);
static bool load_end(struct log *log, struct segment **items, size_t *count,
    bool clean);
static bool load_anew(struct log *log, struct segment **items, size_t *count,
    int64_t end);
static bool load_epochs(struct log *log);
static bool load_producers(struct log *log, bool clean);
static bool load_publish(struct log *log, struct segment **items,
    size_t count);
static bool end_recover(struct log *log, struct segment *active,
    int64_t stopped);

static void
file_name(const struct log *log, const struct found_file *file,
    char out[PATH_MAX])
{
	char suffix[64];

	if (file->turn > 0)
		snprintf(suffix, sizeof(suffix), ".%s.%" PRId64 ".deleted",
		    kind_names[file->kind], file->turn);
	else
		snprintf(suffix, sizeof(suffix), ".%s%s%s",
		    kind_names[file->kind],
		    file->state == STATE_PLAIN ? "" : ".",
		    file->state == STATE_PLAIN ? "" :
						 state_names[file->state]);
	log_offset_file(log, file->offset, suffix, out);
}

static bool
file_unlink(struct log *log, struct found_file *file)
{
	struct files *files = log->storage->files;
	char name[PATH_MAX];

	file_name(log, file, name);
	if (files->ops->unlink(files, name) != 0 && errno != ENOENT)
		return (false);
	file->kind = -1;
	return (true);
}

static int
file_note(void *arg, const char *name, bool is_directory)
{
	struct found_files *found = arg;
	struct found_file file = { .kind = -1, .state = -1 };
	struct slice kind;
	struct slice state;
	struct slice turn;
	struct slice rest;
	struct slice digits = text_cut(slice_of_text(name), '.', &kind);

	if (strcmp(name, LOG_METADATA_NAME) == 0)
		found->has_metadata = true;
	if (strcmp(name, LOG_EPOCHS_NAME) == 0)
		found->has_epochs = true;
	if (mark_is_moved(name))
		found->has_moved = true;
	if (mark_is_temporary(name))
		found->has_temporary = true;
	if (is_directory || kind.data == NULL ||
	    !text_to_int64(digits, &file.offset) || file.offset < 0 ||
	    file.offset > SEGMENT_BASE_MAX)
		return (0);
	kind = text_cut(kind, '.', &state);
	for (int k = 0; k < KIND_COUNT; k++)
		if (slice_equal_text(kind, kind_names[k]))
			file.kind = k;
	if (state.data == NULL)
		file.state = STATE_PLAIN;
	/* KIND.TURN.deleted: replaced by compaction. */
	turn = text_cut(state, '.', &rest);
	if (rest.data != NULL && text_to_int64(turn, &file.turn) &&
	    file.turn > 0 && slice_equal_text(rest, "deleted"))
		file.state = STATE_DELETED;
	else
		file.turn = 0;
	for (int s = STATE_DELETED; s < STATE_COUNT; s++)
		if (slice_equal_text(state, state_names[s]))
			file.state = s;
	if (file.kind < 0 || file.state < 0)
		return (0);
	if (found->count == found->capacity) {
		found->capacity = found->capacity * 2 + 16;
		found->items = mem_realloc(found->items,
		    found->capacity * sizeof(*found->items));
	}
	found->items[found->count++] = file;
	return (0);
}

static bool
found_kind(const struct found_files *found, int kind)
{
	for (size_t i = 0; i < found->count; i++)
		if (found->items[i].kind == kind &&
		    found->items[i].state == STATE_PLAIN)
			return (true);
	return (false);
}

/* A segment that was split makes the load begin anew, so often at most. */
#define SPLITS_MAX 1000

static struct log *
load_once(struct log_dir *dir, const struct load_name *name, bool clean,
    bool *again)
{
	struct log *log = log_new(dir, name->topic, name->partition);
	struct files *files = dir->storage->files;
	struct found_files found = { 0 };
	struct segment **items = NULL;
	size_t count = 0;
	int64_t start = offset_table_find(&dir->start_offsets, log->name);
	bool good;

	atomic_store(&log->start_offset, start < 0 ? 0 : start);
	/* What it has passed is final, whatever of the end is cut off. */
	atomic_store(&log->high_watermark,
	    offset_table_find(&dir->high_watermarks, log->name));
	good = files->ops->list(files, log->path, file_note, &found) == 0 &&
	    (!found.has_metadata || log_read_metadata(log)) &&
	    (!found.has_epochs || load_epochs(log)) &&
	    load_leftovers(log, &found) && load_swap(log, &found);
	log->has_aborted = found_kind(&found, KIND_TXNINDEX);
	log->has_snapshots = found_kind(&found, KIND_SNAPSHOT);
	good = good && load_segments(log, &found, &items, &count) &&
	    load_end(log, items, &count, clean);
	mem_free(found.items);
	log->has_moved = found.has_moved;
	if (good && found.has_temporary)
		mark_remove_temporary(files, log->path);
	if (!good) {
		*again = errno == EOVERFLOW && log->segments == NULL &&
		    split_first(log, items, count);
		if (!*again && !log_dir_failed(dir) &&
		    !storage_load_is_abandoned(dir->storage))
			log_fail(log, "could not load the log");
		for (size_t i = 0; log->segments == NULL && i < count; i++)
			segment_unref(items[i]);
		log_unref(log);
		log = NULL;
	}
	mem_free(items);
	return (log);
}

struct log *
log_load(struct log_dir *dir, const char *topic, int32_t partition, bool clean)
{
	const struct load_name name = { topic, partition };
	struct log *log = NULL;
	bool again = true;
	int64_t cleaned;
	int64_t high;

	for (int i = 0; i < SPLITS_MAX && again; i++) {
		again = false;
		log = load_once(dir, &name, clean, &again);
	}
	if (log == NULL && again)
		log_dir_fail(dir, "could not take apart a segment of", topic,
		    EOVERFLOW);
	if (log == NULL)
		return (NULL);
	high = offset_table_find(&dir->high_watermarks, log->name);
	if (high < log_start_offset(log))
		high = log_start_offset(log);
	if (high > log_end_offset(log))
		high = log_end_offset(log);
	atomic_store(&log->high_watermark, high);
	/* Of an end that was lost nobody knows what comes in its place. */
	cleaned = offset_table_find(&dir->cleaned, log->name);
	if (cleaned <= log_end_offset(log))
		atomic_store(&log->cleaned_to, cleaned);
	return (log);
}

/* The one that recovery stopped in. */
static bool
split_first(struct log *log, struct segment *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i]->overflows)
			return (segment_split(log, items[i]));
	return (false);
}

/* .deleted go; .cleaned go, and with them the .swap of the same split. */
static bool
load_leftovers(struct log *log, struct found_files *files)
{
	int64_t cleaned = INT64_MAX;

	for (size_t i = 0; i < files->count; i++)
		if (files->items[i].state == STATE_CLEANED &&
		    files->items[i].offset < cleaned)
			cleaned = files->items[i].offset;
	for (size_t i = 0; i < files->count; i++) {
		struct found_file *file = &files->items[i];

		if (file->state == STATE_PLAIN ||
		    (file->state == STATE_SWAP && file->offset < cleaned))
			continue;
		if (!file_unlink(log, file))
			return (false);
	}
	return (true);
}

/* The offset behind the last batch of a .swap log. */
static bool
swap_end(struct log *log, const struct found_file *file, int64_t *end)
{
	struct files *files = log->storage->files;
	char name[PATH_MAX];
	struct file_info info;
	struct walk walk;
	struct batch batch;
	int64_t position;
	int descriptor;
	enum walk_found found = WALK_ERROR;

	file_name(log, file, name);
	descriptor = files->ops->open(files, name, O_RDONLY, 0);
	if (descriptor < 0)
		return (false);
	*end = file->offset;
	if (files->ops->fstat(files, descriptor, &info) == 0) {
		walk_init(&walk, files, descriptor, 0, info.size_bytes, false);
		while ((found = walk_next(&walk, &batch, &position)) ==
		    WALK_BATCH)
			*end = batch.last_offset + 1;
		walk_fini(&walk);
	}
	files->ops->close(files, descriptor);
	return (found != WALK_ERROR);
}

/* A finished .swap takes the place of all that lies in its range. */
static bool
load_swap(struct log *log, struct found_files *files)
{
	struct files *ops = log->storage->files;
	int64_t low = INT64_MAX;
	int64_t high = -1;

	for (size_t i = 0; i < files->count; i++) {
		const struct found_file *file = &files->items[i];
		int64_t end;

		if (file->kind != KIND_LOG || file->state != STATE_SWAP)
			continue;
		if (!swap_end(log, file, &end))
			return (false);
		low = file->offset < low ? file->offset : low;
		high = end > high ? end : high;
	}
	for (size_t i = 0; i < files->count; i++) {
		struct found_file *file = &files->items[i];

		if (file->kind >= 0 && file->state == STATE_PLAIN &&
		    file->offset >= low && file->offset < high &&
		    !file_unlink(log, file))
			return (false);
	}
	for (size_t i = 0; i < files->count; i++) {
		struct found_file *file = &files->items[i];
		char from[PATH_MAX];
		char to[PATH_MAX];

		if (file->kind < 0 || file->state != STATE_SWAP)
			continue;
		file_name(log, file, from);
		file->state = STATE_PLAIN;
		file_name(log, file, to);
		if (ops->ops->rename(ops, from, to) != 0)
			return (false);
	}
	return (true);
}

static int
segment_order(const void *a, const void *b)
{
	const struct segment *left = *(struct segment *const *)a;
	const struct segment *right = *(struct segment *const *)b;

	return ((left->base_offset > right->base_offset) -
	    (left->base_offset < right->base_offset));
}

static bool
has_log(const struct segment *const *items, size_t count, int64_t offset)
{
	size_t low = 0;
	size_t high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (items[middle]->base_offset == offset)
			return (true);
		if (items[middle]->base_offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return (false);
}

static bool
load_segments(struct log *log, const struct found_files *files,
    struct segment ***out, size_t *count)
{
	struct storage *storage = log->storage;
	struct segment **items = mem_alloc((files->count + 1) * sizeof(*items));

	*out = items;
	for (size_t i = 0; i < files->count; i++) {
		const struct found_file *file = &files->items[i];
		struct segment *segment;

		if (file->kind != KIND_LOG || file->state != STATE_PLAIN)
			continue;
		segment = segment_new(storage->descriptors, log->path,
		    storage_segment_id(storage), file->offset, false);
		if (segment == NULL)
			return (false);
		log_date_segment(log, segment);
		items[(*count)++] = segment;
	}
	if (*count > 0)
		qsort(items, *count, sizeof(*items), segment_order);
	for (size_t i = 0; i < files->count; i++) {
		struct found_file file = files->items[i];

		if (file.kind < KIND_INDEX || file.kind > KIND_TXNINDEX ||
		    has_log((const struct segment *const *)items, *count,
			file.offset))
			continue;
		if (!file_unlink(log, &file))
			return (false);
	}
	return (true);
}

static bool
indexes_load(struct segment *segment)
{
	struct files *files = segment->files;

	return (index_load(&segment->offsets, files, segment->path) == 0 &&
	    index_load(&segment->times, files, segment->path) == 0);
}

/* `offsets`: the .index, too. */
static bool
indexes_rebuild(struct log *log, struct segment *segment, bool active,
    bool offsets, const char *why)
{
	diag_warn(log->storage->diag, storage,
	    "partition=%s its indexes are made anew: %s file=%s.log",
	    log->name, why, segment->path);
	return (segment_reindex(log, segment, offsets || active) &&
	    (!active || indexes_load(segment)));
}

/* A closed segment has at least the entry of its end: without any, a search by
 * time would go by when the file was written.  Only a segment without records,
 * or with such as have no timestamps (magic 0), leaves none. */
static bool
times_lost(struct segment *segment)
{
	int64_t timestamp_ms;

	return (segment->times.count == 0 &&
	    segment_first_timestamp(segment, &timestamp_ms) == WALK_BATCH &&
	    timestamp_ms >= 0);
}

/* Whether an errno of index_open() speaks of the file's size: it ends inside an
 * entry, or is larger than any. */
static bool
index_is_wrong(int error)
{
	return (error == EILSEQ || error == EFBIG);
}

/* Indexes of a segment that needs no recovery; a missing .index needs one. */
static bool
open_indexes(struct log *log, struct segment *segment, bool active)
{
	struct files *files = segment->files;

	segment->max_timestamp_ms = TIMESTAMP_UNREAD;
	segment->aborted_lost = !aborted_load(log, segment);
	if (index_open(&segment->offsets, files, segment->path) != 0) {
		bool missing = errno == ENOENT;

		if (!missing && !index_is_wrong(errno))
			return (false);
		/* Who lost the one may have lost the other. */
		return ((segment->aborted_lost ||
			    aborted_mark_lost(log, segment)) &&
		    indexes_rebuild(log, segment, active, true,
			missing ? "the .index is missing" :
				  "the .index has no index's size"));
	}
	if (index_open(&segment->times, files, segment->path) != 0) {
		if (index_is_wrong(errno))
			return (indexes_rebuild(log, segment, active, false,
			    "the .timeindex has no index's size"));
		if (errno != ENOENT ||
		    index_write(&segment->times, files, segment->path,
			false) != 0)
			return (false);
		index_unload(&segment->times);
	}
	if (times_lost(segment))
		return (indexes_rebuild(log, segment, active, false,
		    "the .timeindex is missing or empty"));
	if (!active)
		return (true);
	if (!indexes_load(segment))
		return (false);
	return ((index_ascends(&segment->offsets) &&
		    index_ascends(&segment->times)) ||
	    indexes_rebuild(log, segment, active, true,
		"entries do not ascend"));
}

/* The active segment's end, from its last index entry on. A tail that is no
 * batch, or an end before `stopped`, where the log was when it was closed, says
 * that the stop was not as clean as it looked. */
static bool
find_end(struct log *log, struct segment *active, int64_t stopped)
{
	struct index_entry last = { .offset = active->base_offset };
	enum walk_found found = WALK_CORRUPT;
	struct walk walk;
	struct batch batch;
	int64_t position;

	if (active->offsets.count > 0)
		index_get(&active->offsets, NULL, NULL, NULL,
		    active->offsets.count - 1, &last);
	active->max_timestamp_ms = -1;
	active->max_timestamp_offset = active->base_offset;
	if (active->times.count > 0) {
		struct index_entry time;

		index_get(&active->times, NULL, NULL, NULL,
		    active->times.count - 1, &time);
		active->max_timestamp_ms = time.timestamp_ms;
		active->max_timestamp_offset = time.offset;
	}
	active->next_offset = active->base_offset;
	/* Where an entry leads there must be a batch. */
	if (active->offsets.count == 0 ||
	    (last.position >= 0 && last.position < active->size)) {
		segment_walk(active, &walk, last.position, active->size, false);
		while ((found = walk_next(&walk, &batch, &position)) ==
		    WALK_BATCH) {
			active->next_offset = batch.last_offset + 1;
			if (batch.max_timestamp_ms <= active->max_timestamp_ms)
				continue;
			active->max_timestamp_ms = batch.max_timestamp_ms;
			active->max_timestamp_offset = batch.last_offset;
		}
		segment_walk_end(active, &walk);
	}
	if (found == WALK_ERROR)
		return (false);
	if (found == WALK_END && active->next_offset >= stopped)
		return (true);
	return (end_recover(log, active, stopped));
}

static bool
end_recover(struct log *log, struct segment *active, int64_t stopped)
{
	struct diag *diag = log->storage->diag;
	int64_t cut;

	diag_warn(diag, storage,
	    "partition=%s its end is damaged in spite of a clean stop, it is "
	    "recovered file=%s.log",
	    log->name, active->path);
	/* A lost index stays as it is until it is made anew. */
	if (!segment_recover(log, active, false, &cut) ||
	    (!active->aborted_lost &&
		!aborted_cut(log, active, active->next_offset)))
		return (false);
	log_say_cut(log, active, cut);
	if (active->next_offset < stopped)
		diag_error(diag, storage,
		    "partition=%s records are missing at its end from=%lld "
		    "to=%lld file=%s.log",
		    log->name, (long long)active->next_offset,
		    (long long)stopped, active->path);
	return (true);
}

/* What needs another segment's batches to be known. */
static bool
rebuild_aborted(struct log *log)
{
	const struct segment_list *list = log->segments;
	bool good = true;

	for (size_t i = 0; good && i < list->count; i++)
		if (list->items[i]->aborted_lost)
			good = aborted_rebuild(log, list->items, i);
	return (good);
}

static bool
load_end(struct log *log, struct segment **items, size_t *count, bool clean)
{
	int64_t checkpointed = log_start_offset(log);
	int64_t point = offset_table_find(&log->dir->recovery_points,
	    log->name);
	size_t first = clean ? *count : 0; /* of those to be recovered */
	int64_t end;

	if (point < 0)
		point = 0;
	while (!clean && first + 1 < *count &&
	    items[first + 1]->base_offset <= point)
		first++;
	for (size_t i = 0; i < first; i++)
		if (storage_load_is_abandoned(log->storage) ||
		    !open_indexes(log, items[i], i + 1 == *count))
			return (false);
	if (!clean && *count > 0) {
		if (*count > 1 || items[0]->size > 0)
			diag_info(log->storage->diag, storage,
			    "partition=%s is recovered from=%lld segments=%zu",
			    log->name, (long long)point, *count - first);
		if (!log_recover(log, items, count, point))
			return (false);
	} else if (*count > 0 && !find_end(log, items[*count - 1], point))
		return (false);
	end = *count == 0 ? checkpointed : items[*count - 1]->next_offset;
	if ((*count == 0 || end < checkpointed) &&
	    !load_anew(log, items, count, end))
		return (false);
	for (size_t i = 0; i + 1 < *count; i++) {
		items[i]->next_offset = items[i + 1]->base_offset;
		if (items[i]->offsets.in_memory) {
			index_unload(&items[i]->offsets);
			index_unload(&items[i]->times);
		}
	}
	if (!load_publish(log, items, *count) || !rebuild_aborted(log))
		return (false);
	end = log_end_offset(log);
	atomic_store(&log->recovery_point,
	    clean || point > end ? end : point);
	if (!load_producers(log, clean))
		return (false);
	log_note_producers(log);
	if (log->producers.oldest != NULL)
		diag_info(log->storage->diag, storage,
		    "partition=%s a transaction is open, committed records are "
		    "read up to it offset=%lld producer=%lld", log->name,
		    (long long)log->producers.oldest->txn_first_offset,
		    (long long)log->producers.oldest->id);
	return (true);
}

/* Nothing is there, or it ends before the log's start: an empty segment. */
static bool
load_anew(struct log *log, struct segment **items, size_t *count, int64_t end)
{
	bool good = true;

	if (*count > 0)
		diag_warn(log->storage->diag, storage,
		    "partition=%s ends before its start, it begins anew "
		    "end=%lld start=%lld",
		    log->name, (long long)end,
		    (long long)log_start_offset(log));
	for (size_t i = 0; i < *count; i++) {
		good = good && segment_unlink(items[i], false) == 0;
		segment_unref(items[i]);
	}
	*count = 0;
	if (!good)
		return (false);
	items[0] = log_new_segment(log, log_start_offset(log));
	*count = items[0] != NULL;
	return (items[0] != NULL);
}

static bool
load_publish(struct log *log, struct segment **items, size_t count)
{
	int64_t end = items[count - 1]->next_offset;
	int64_t checkpointed = log_start_offset(log);
	struct segment_list *list = segment_list_new(items, count);
	struct epochs epochs;
	struct epochs before;

	for (size_t i = 0; i < count; i++)
		segment_unref(items[i]);
	lock_take(&log->lock);
	log_publish_segments(log, list);
	if (checkpointed < items[0]->base_offset)
		atomic_store(&log->start_offset, items[0]->base_offset);
	atomic_store(&log->end_offset, end);
	lock_release(&log->lock);
	epochs_copy(&epochs, &log->epochs);
	log->epochs_differ = epochs_cut_end(&epochs, end);
	log->epochs_below = epochs_cut_start(&epochs, checkpointed);
	/* Recovery may have found epochs that the file lacks. */
	if (log->epochs_found)
		return (log_set_epochs(log, &epochs));
	/* What it has too much can be cut at the next load as well, as long as
	 * nothing was appended: append_epochs() sees to that. */
	log->epochs_later = log->epochs_differ;
	lock_take(&log->lock);
	before = log->epochs;
	log->epochs = epochs;
	log_note_latest_epoch(log);
	lock_release(&log->lock);
	epochs_fini(&before);
	return (true);
}

static bool
load_epochs(struct log *log)
{
	char name[PATH_MAX];
	void *bytes;
	size_t size;

	log_file(log, LOG_EPOCHS_NAME, name);
	if (file_load(log->storage->files, name, SMALL_FILE_MAX, &bytes,
		&size) != 0)
		return (errno == ENOENT);
	if (!epochs_decode(&log->epochs, slice_of(bytes, size))) {
		diag_warn(log->storage->diag, storage,
		    "partition=%s leader epochs are malformed, they begin anew "
		    "file=%s",
		    log->name, name);
		log->epochs.count = 0;
	}
	mem_free(bytes);
	return (true);
}

/* Nobody ever wrote a snapshot, and the stop was clean: there were no producers
 * to remember.  Empty ones say so from now on, as Kafka writes them. */
static bool
load_no_producers(struct log *log)
{
	const struct segment_list *list = log->segments;
	size_t slot = list->count > 1 ? list->count - 2 : 0;

	log->producers.snapshot_offset = log_start_offset(log);
	for (; slot <= list->count; slot++) {
		log->producers.end_offset = slot < list->count ?
		    list->items[slot]->base_offset : log_end_offset(log);
		if (!snapshot_write(log, true))
			return (false);
	}
	return (true);
}

static bool
load_producers(struct log *log, bool clean)
{
	int64_t start = log_start_offset(log);
	int64_t end = log_end_offset(log);
	struct segment_list *list = log->segments;

	if (!clean) {
		if (log->producers.end_offset < end)
			log->producers.end_offset = end;
		return ((!log->has_snapshots ||
			    snapshot_prune(log, start, end)) &&
		    snapshot_write(log, true) &&
		    (!log->has_snapshots || snapshot_remove_strays(log)));
	}
	if (!log->has_snapshots)
		return (load_no_producers(log));
	if (!snapshot_prune(log, start, end) ||
	    !snapshot_load(log, &log->producers, start, end) ||
	    !producers_replay(log, &log->producers, list->items, list->count,
		end))
		return (false);
	return (snapshot_write(log, true) && snapshot_remove_strays(log));
}
