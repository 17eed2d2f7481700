/* SPDX-License-Identifier: Apache-2.0 */
/* The log object: its life, what anyone may ask of it, its small files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

#define METADATA_MAX 4096
/* How often a want of descriptors is said. */
#define SAY_WANTED_MS 10000

static bool metadata_parse(struct slice text, struct uuid *out);

struct log *
log_new(struct log_dir *dir, const char *topic, int32_t partition)
{
	struct log *log = mem_zalloc(sizeof(*log));
	struct storage *storage = dir->storage;
	char text[PATH_MAX];

	log->magic = LOG_MAGIC;
	atomic_init(&log->references, 1);
	log->storage = storage;
	log->dir = dir;
	list_init(&log->in_dir);
	log->topic = mem_strdup(topic);
	log->partition = partition;
	snprintf(text, sizeof(text), "%s-%" PRId32, topic, partition);
	log->name = mem_strdup(text);
	snprintf(text, sizeof(text), "%s/%s", dir->path, log->name);
	log_set_path(log, text);
	lock_init(&log->writer, LOCK_RANK_LOG);
	lock_init(&log->closing, LOCK_RANK_CLOSING);
	lock_init(&log->lock, LOCK_RANK_SEGMENTS);
	list_init(&log->rolls);
	storage->setup.settings(storage->setup.settings_arg, topic,
	    &log->settings);
	atomic_init(&log->start_offset, 0);
	atomic_init(&log->end_offset, 0);
	atomic_init(&log->size_bytes, 0);
	atomic_init(&log->high_watermark, 0);
	atomic_init(&log->recovery_point, 0);
	atomic_init(&log->aborted_last, -1);
	atomic_init(&log->cleaned_to, -1);
	atomic_init(&log->cleaning, false);
	atomic_init(&log->uncleanable, false);
	atomic_init(&log->cleaning_pauses, 0);
	atomic_init(&log->clean_after_ms, 0);
	atomic_init(&log->unsettled, false);
	atomic_init(&log->latest_epoch, -1);
	atomic_init(&log->segment_count, 0);
	atomic_init(&log->epochs_differ, false);
	atomic_init(&log->cut, CUT_NONE);
	atomic_init(&log->truncations, 0);
	atomic_init(&log->moves, 0);
	atomic_init(&log->compaction_ends, 0);
	atomic_init(&log->last_flush_ms, storage_mono_ms(storage));
	atomic_init(&log->deleted, false);
	return (log);
}

void
log_set_path(struct log *log, const char *text)
{
	size_t size = strlen(text) + 1;
	struct segment_path *path = mem_alloc(sizeof(*path) + size);

	memcpy(path->text, text, size);
	path->next = log->paths;
	log->paths = path;
	log->path = path->text;
}

struct log *
log_ref(struct log *log)
{
	CHECK_MAGIC(log, LOG_MAGIC);
	atomic_fetch_add_explicit(&log->references, 1, memory_order_relaxed);
	return (log);
}

void
log_unref(struct log *log)
{
	CHECK_MAGIC(log, LOG_MAGIC);
	if (atomic_fetch_sub_explicit(&log->references, 1,
		memory_order_acq_rel) != 1)
		return;
	log_free_rolls(log);
	if (log->cut_off != NULL)
		segment_list_unref(log->cut_off);
	if (log->segments != NULL)
		segment_list_unref(log->segments);
	mem_free(log->recent);
	epochs_fini(&log->epochs);
	producers_fini(&log->producers);
	lock_fini(&log->writer);
	lock_fini(&log->closing);
	lock_fini(&log->lock);
	mem_free(log->topic);
	mem_free(log->name);
	while (log->paths != NULL) {
		struct segment_path *path = log->paths;

		log->paths = path->next;
		mem_free(path);
	}
	log->magic = 0;
	mem_free(log);
}

const char *
log_topic(const struct log *log)
{
	return (log->topic);
}

int32_t
log_partition(const struct log *log)
{
	return (log->partition);
}

struct log_dir *
log_directory(const struct log *log)
{
	return (log->dir);
}

bool
log_failed(const struct log *log)
{
	return (log_dir_failed(log->dir));
}

int64_t
log_start_offset(const struct log *log)
{
	return (atomic_load_explicit(&log->start_offset, memory_order_acquire));
}

int64_t
log_end_offset(const struct log *log)
{
	return (atomic_load_explicit(&log->end_offset, memory_order_acquire));
}

int64_t
log_size_bytes(const struct log *log)
{
	return (atomic_load_explicit(&log->size_bytes, memory_order_relaxed));
}

size_t
log_producer_count(const struct log *log)
{
	return (atomic_load_explicit(&log->producer_count,
	    memory_order_relaxed));
}

/* The lock is not part of what a reader may see. */
static struct log *
log_lockable(const struct log *log)
{
	return ((struct log *)(uintptr_t)log);
}

int32_t
log_segment_count(const struct log *log)
{
	return (atomic_load_explicit(&log->segment_count,
	    memory_order_acquire));
}

struct log_settings
log_get_settings(struct log *log)
{
	struct log_settings settings;

	lock_take(&log->lock);
	settings = log->settings;
	lock_release(&log->lock);
	return (settings);
}

void
log_set_settings(struct log *log, const struct log_settings *settings)
{
	lock_take(&log->lock);
	/* What is superseded stays from now on: a pass under way ends, whatever
	 * is set after this. */
	if (log->settings.compacted && !settings->compacted)
		atomic_fetch_add(&log->compaction_ends, 1);
	log->settings = *settings;
	lock_release(&log->lock);
}

void
log_set_high_watermark(struct log *log, int64_t high_watermark)
{
	atomic_store_explicit(&log->high_watermark, high_watermark,
	    memory_order_relaxed);
	log_dir_changed(log->dir, CHECKPOINT_HIGH_WATERMARK);
}

enum error
log_fail(struct log *log, const char *what)
{
	/* Whoever still uses a deleted log may well miss a file of it. */
	if (!log_deleted(log))
		log_dir_fail(log->dir, what, log->path, errno);
	return (ERR_KAFKA_STORAGE_ERROR);
}

bool
log_wants_room(int error)
{
	return (error == ENOSPC || error == EDQUOT ||
	    descriptors_wanted(error));
}

enum error
log_refuse(struct log *log, const char *what)
{
	struct log_dir *dir = log->dir;
	int error = errno;
	long long after_ms = atomic_load(&dir->say_wanted_after_ms);
	int64_t now_ms = clock_mono_ms(log->storage->setup.clock);

	if (error == ENOSPC || error == EDQUOT) {
		if (!atomic_exchange(&dir->full, true))
			diag_error(log->storage->diag, storage,
			    "dir=%s is full, appends are refused until there "
			    "is room partition=%s (%s)",
			    dir->path, log->name, what);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	if (error == ENAMETOOLONG) {
		/* No fault of the disk: a topic of 249 characters. */
		diag_error(log->storage->diag, storage,
		    "partition=%s has a name too long for a directory (%s)",
		    log->name, what);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	if (!descriptors_wanted(error))
		return (log_fail(log, what));
	if (now_ms >= after_ms &&
	    atomic_compare_exchange_strong(&dir->say_wanted_after_ms,
		&after_ms, now_ms + SAY_WANTED_MS))
		diag_error(log->storage->diag, storage,
		    "dir=%s no descriptor is left (LimitNOFILE), requests are "
		    "refused until one is partition=%s (%s)",
		    dir->path, log->name, what);
	return (ERR_KAFKA_STORAGE_ERROR);
}

void
log_file(const struct log *log, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", log->path, name);
}

void
log_offset_file(const struct log *log, int64_t offset, const char *suffix,
    char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%020" PRId64 "%s", log->path, offset,
	    suffix);
}

/* --- segments ------------------------------------------------------------- */

struct segment_list *
log_segments(struct log *log)
{
	struct segment_list *list;

	lock_take(&log->lock);
	list = segment_list_ref(log->segments);
	lock_release(&log->lock);
	return (list);
}

/* Only the writer changes the list, so the writer may look without the lock. */
struct segment *
log_active(struct log *log)
{
	return (segment_list_last(log->segments));
}

void
log_publish_segments(struct log *log, struct segment_list *list)
{
	int64_t size = 0;

	for (size_t i = 0; i < list->count; i++)
		size += list->items[i]->size;
	log->segments = list;
	atomic_store_explicit(&log->segment_count, (int)list->count,
	    memory_order_release);
	atomic_store_explicit(&log->size_bytes, size, memory_order_relaxed);
	mem_free(log->recent);
	log->recent = NULL;
}

/* A segment that could not be finished leaves no files: an empty one in the
 * middle of another's offsets would hide these after the next start. */
static struct segment *
segment_give_up(struct log *log, struct segment *segment)
{
	int error = errno;

	if (segment_unlink(segment, false) != 0)
		log_fail(log, "could not remove an unfinished segment");
	segment_unref(segment);
	errno = error;
	return (NULL);
}

struct segment *
log_begin_segment(struct log *log, int64_t base_offset)
{
	struct storage *storage = log->storage;
	struct segment *segment = segment_new(storage->descriptors, log->path,
	    storage_segment_id(storage), base_offset, true);

	if (segment != NULL)
		log_date_segment(log, segment);
	return (segment);
}

void
log_date_segment(struct log *log, struct segment *segment)
{
	struct log_settings settings = log_get_settings(log);

	segment->created_ms = storage_mono_ms(log->storage);
	segment->jitter_ms = storage_jitter_ms(log->storage,
	    settings.segment_jitter_ms < settings.segment_ms
		? settings.segment_jitter_ms
		: settings.segment_ms);
}

/* No promise: a disk that has less room left may well take what comes. */
static bool
preallocate(struct log *log, struct segment *segment)
{
	struct files *files = segment->files;
	int descriptor = segment_pin(segment);
	bool good;

	if (descriptor < 0)
		return (false);
	good = files->ops->allocate(files, descriptor,
		   log_get_settings(log).segment_bytes) == 0 ||
	    errno == EOPNOTSUPP || errno == ENOSPC || errno == EDQUOT;
	segment_unpin(segment);
	return (good);
}

bool
log_preallocate(struct log *log)
{
	struct segment_list *list = log_segments(log);
	bool good = preallocate(log, segment_list_last(list));

	segment_list_unref(list);
	return (good);
}

struct segment *
log_new_segment(struct log *log, int64_t base_offset)
{
	struct segment *segment = log_begin_segment(log, base_offset);

	if (segment == NULL)
		return (NULL);
	/* An empty segment has its index files, or a load would recover it. */
	if ((log_get_settings(log).preallocate &&
		!preallocate(log, segment)) ||
	    segment_write_indexes(segment, false) != 0)
		return (segment_give_up(log, segment));
	return (segment);
}

/* --- partition.metadata --------------------------------------------------- */

struct uuid
log_topic_id(const struct log *log)
{
	struct uuid none = { 0 };

	return (atomic_load_explicit(&log->topic_id_known,
		    memory_order_acquire) ? log->topic_id : none);
}

void
log_keep_topic_id(struct log *log, struct uuid topic_id)
{
	log->topic_id = topic_id;
	atomic_store_explicit(&log->topic_id_known, !uuid_is_zero(topic_id),
	    memory_order_release);
}

size_t
log_metadata_text(struct uuid topic_id, char text[LOG_METADATA_TEXT_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_to_text(topic_id, id);
	return ((size_t)snprintf(text, LOG_METADATA_TEXT_SIZE,
	    "version: 0\ntopic_id: %s", id));
}

bool
log_write_metadata(struct log *log, struct uuid topic_id)
{
	char name[PATH_MAX];
	char text[LOG_METADATA_TEXT_SIZE];
	size_t length = log_metadata_text(topic_id, text);

	log_file(log, LOG_METADATA_NAME, name);
	return (file_replace(log->storage->files, name, text, length) == 0);
}

bool
log_set_topic_id(struct log *log, struct uuid topic_id)
{
	struct uuid known = log_topic_id(log);

	if (!uuid_is_zero(known) || uuid_is_zero(topic_id))
		return (uuid_equal(known, topic_id) || uuid_is_zero(topic_id));
	/* For want of room the id is known to this process alone; the next one
	 * is told it again. */
	if (!log_write_metadata(log, topic_id))
		(void)log_refuse(log, "could not write partition.metadata");
	log_keep_topic_id(log, topic_id);
	return (true);
}

/* False: said in the log. An absent file is no error. */
bool
log_read_metadata(struct log *log)
{
	char name[PATH_MAX];
	struct uuid id = { 0 };
	void *bytes;
	size_t size;
	bool good;

	log_file(log, LOG_METADATA_NAME, name);
	if (file_load(log->storage->files, name, METADATA_MAX, &bytes,
		&size) != 0) {
		if (errno == ENOENT)
			return (true);
		log_fail(log, "could not read partition.metadata");
		return (false);
	}
	good = metadata_parse(slice_of(bytes, size), &id);
	mem_free(bytes);
	log_keep_topic_id(log, id);
	if (!good) {
		errno = EINVAL;
		log_fail(log, "partition.metadata is malformed");
	}
	return (good);
}

static bool
metadata_parse(struct slice text, struct uuid *out)
{
	struct slice line = text_cut(text, '\n', &text);
	struct slice value;
	int32_t version;

	if (!slice_equal_text(text_trim(text_cut(line, ':', &value)),
		"version") ||
	    !text_to_int32(text_trim(value), &version) || version != 0 ||
	    text.data == NULL)
		return (false);
	line = text_cut(text, '\n', &text);
	return (slice_equal_text(text_trim(text_cut(line, ':', &value)),
		    "topic_id") &&
	    uuid_from_text(text_trim(value), out));
}

/* --- producers ------------------------------------------------------------ */

struct log_producer *
log_producers(struct log *log, size_t *count)
{
	struct log_producer *list;

	CHECK_MAGIC(log, LOG_MAGIC);
	/* A truncation that loads producers anew has only the writer's lock. */
	lock_take(&log->writer);
	list = producers_list(&log->producers, count);
	lock_release(&log->writer);
	return (list);
}

int64_t
log_first_unstable(struct log *log, int64_t high_watermark)
{
	int64_t first;

	if (!atomic_load_explicit(&log->unsettled, memory_order_acquire))
		return (INT64_MAX);
	lock_take(&log->lock);
	producers_settle(&log->producers, high_watermark);
	log_note_producers(log);
	first = producers_first_unstable(&log->producers);
	lock_release(&log->lock);
	return (first);
}

/* --- leader epochs -------------------------------------------------------- */

int32_t
log_latest_epoch(const struct log *log)
{
	return (atomic_load_explicit(&log->latest_epoch,
	    memory_order_acquire));
}

/* As append_epochs() and log_finish_cut() find it. */
bool
log_append_syncs(const struct log *log, int32_t leader_epoch)
{
	return (log->cut != CUT_NONE || log->epochs_differ ||
	    leader_epoch != log_latest_epoch(log));
}

struct log_epoch_end
log_epoch_end(const struct log *log, int32_t leader_epoch)
{
	struct log *own = log_lockable(log);
	struct log_epoch_end end;

	lock_take(&own->lock);
	end = epochs_end_of(&log->epochs, leader_epoch, log_end_offset(log));
	lock_release(&own->lock);
	return (end);
}

int32_t
log_epoch_of(const struct log *log, int64_t offset)
{
	struct log *own = log_lockable(log);
	int32_t epoch;

	lock_take(&own->lock);
	epoch = epochs_of_offset(&log->epochs, offset);
	lock_release(&own->lock);
	return (epoch);
}

/* Their text by `put`, which answers as file_replace() does. */
static int
epochs_put(struct log *log, const struct epochs *epochs,
    int (*put)(struct files *files, const char *path, const void *bytes,
	size_t size))
{
	struct buffer text = BUFFER_EMPTY;
	char name[PATH_MAX];
	int answer;
	int error;

	/* Whoever wrote a .tmp before and has not renamed it is too late. */
	log->epochs_turn++;
	epochs_encode(epochs, &text);
	log_file(log, LOG_EPOCHS_NAME, name);
	answer = put(log->storage->files, name, text.data, text.length);
	error = errno;
	buffer_fini(&text);
	errno = error;
	return (answer);
}

static bool
epochs_write(struct log *log, const struct epochs *epochs)
{
	return (epochs_put(log, epochs, file_replace) == 0);
}

int
log_begin_epochs(struct log *log, const struct epochs *epochs)
{
	return (epochs_put(log, epochs, file_replace_begin));
}

void
log_show_epochs(struct log *log, const struct epochs *epochs, bool written)
{
	struct epochs before;

	log->epochs_differ = !written;
	log->epochs_below &= !written;
	log->epochs_later = false;
	lock_take(&log->lock);
	before = log->epochs;
	log->epochs = *epochs;
	log_note_latest_epoch(log);
	lock_release(&log->lock);
	epochs_fini(&before);
}

bool
log_set_epochs(struct log *log, struct epochs *epochs)
{
	int error;

	if (epochs_write(log, epochs)) {
		log_show_epochs(log, epochs, true);
		return (true);
	}
	error = errno;
	/* It may be in its place all the same. */
	log_epochs_changed(log);
	epochs_fini(epochs);
	errno = error;
	return (false);
}

bool
log_set_epochs_soon(struct log *log, struct epochs *epochs)
{
	bool written = epochs_write(log, epochs);

	if (!written && !log_wants_room(errno)) {
		epochs_fini(epochs);
		return (false);
	}
	if (!written)
		(void)log_refuse(log, "leader epochs are written later");
	log_show_epochs(log, epochs, written);
	return (true);
}

void
log_cut_epochs(struct log *log, int64_t end_offset)
{
	if (!epochs_cut_end(&log->epochs, end_offset))
		return;
	log_epochs_changed(log);
	log_note_latest_epoch(log);
}

/* With the entry added; takes `epochs`.  It may have taken away some that have
 * records, if epochs go back (as ZooKeeper did): the file is to lack them, too,
 * also when nothing follows.  Others the load takes away. [writer] */
static void
assign_later(struct log *log, struct epochs *epochs, int64_t start_offset)
{
	const struct epochs *old = &log->epochs;
	const size_t at = epochs->count - 1;
	const bool alone = (!log->epochs_differ || log->epochs_later) &&
	    (old->count <= at || old->items[at].start_offset >= start_offset);

	log_epochs_changed(log);
	log_show_epochs(log, epochs, false);
	log->epochs_later = alone && start_offset == log_end_offset(log);
}

enum error
log_assign_epoch_later(struct log *log, int32_t leader_epoch,
    int64_t start_offset)
{
	enum error error;
	struct epochs epochs;
	bool cut;

	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	cut = log->cut != CUT_NONE;
	error = log_deleted(log) ? ERR_KAFKA_STORAGE_ERROR
				 : log_finish_cut(log);
	/* The caller saw the end before the cut. */
	if (cut)
		start_offset = log_end_offset(log);
	if (error == ERR_NONE &&
	    epochs_lacks(&log->epochs, leader_epoch, start_offset)) {
		epochs_copy(&epochs, &log->epochs);
		epochs_assign(&epochs, leader_epoch, start_offset);
		assign_later(log, &epochs, start_offset);
	}
	lock_release(&log->writer);
	return (error);
}
