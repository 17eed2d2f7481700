/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structs behind storage.h and what their files share.
 *
 * Locks, in their order:
 *	log->writer (LOG)       one at a time appends, rolls, truncates, closes
 *	log->closing (CLOSING)  the index files of segments that are not active;
 *	                        held for file calls, so never by an append
 *	dir->checkpoint_lock (CHECKPOINTS)
 *	                        writes one of the directory's four files
 *	dir->lock (LOG_DIRS)    the directory's logs
 *	storage->lock (LOG_DIRS) the table of logs; never held with dir->lock
 *	log->lock (SEGMENTS)    what readers see; short, no file call under it
 *	                        but reading from an index or a .log
 *	index cache (CACHE)
 */
#ifndef STORAGE_STORAGE_INT_H
#define STORAGE_STORAGE_INT_H

#include "base/clock.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/random.h"
#include "config/options.h"
#include "storage/epochs.h"
#include "storage/producers.h"
#include "storage/segment.h"
#include "storage/steady.h"
#include "storage/walk.h"

#define STORAGE_MAGIC 0x53544f52U
#define LOG_MAGIC 0x4c4f4721U
/* Larger small files (checkpoints, metadata, snapshots) are refused. */
#define SMALL_FILE_MAX ((size_t)256 << 20)
#define RECENT_COUNT 32
#define RETRY_FULL_MS 100
#define DOOMED_NAME_SIZE 256 /* of a file name */
#define LOG_METADATA_NAME "partition.metadata"
#define LOG_METADATA_TEXT_SIZE 64
#define LOG_EPOCHS_NAME "leader-epoch-checkpoint"

/* A checkpoint's words for one partition, as read at the start. */
struct offset_entry {
	struct hash_node node; /* by name */
	char *name;            /* "topic-partition" */
	int64_t offset;
};

enum checkpoint_kind {
	CHECKPOINT_RECOVERY_POINT,
	CHECKPOINT_START_OFFSET,
	CHECKPOINT_HIGH_WATERMARK,
	CHECKPOINT_CLEANER
};
#define CHECKPOINT_COUNT 4

struct log_dir {
	struct storage *storage;
	char *path;
	int lock_descriptor;
	bool marked;           /* it carried the clean-shutdown marker */
	bool loaded;           /* all of it */
	bool identified;       /* meta.properties is there, and says all */
	bool is_new;           /* nothing tells what was here: that, or the
				* recovery points (a full disk may have cost
				* them), is not there */
	bool read_checkpoints; /* as they were when the process came */
	atomic_bool failed;
	atomic_bool unclean;   /* something could not be closed well */
	/* Room on the disk: looked at now and then. */
	atomic_bool full;
	atomic_llong check_after_bytes;
	atomic_llong check_after_ms;
	atomic_llong say_wanted_after_ms; /* that descriptors are wanted */
	/* A log found no room here: others are placed elsewhere till then. */
	atomic_llong place_after_ms;
	atomic_llong say_no_clean_room_after_ms; /* none to compact in */
	/* Of a log that was not made something stayed; never taken back. */
	atomic_bool leftovers;
	/* Something that goes to a checkpoint is not in its file. */
	atomic_bool changed[CHECKPOINT_COUNT];
	atomic_bool checkpoint_refused[CHECKPOINT_COUNT]; /* said once */
	/* Writing a checkpoint; the high watermark is asked for under it. */
	struct lock checkpoint_lock[CHECKPOINT_COUNT];
	/* The file still tells of a deleted log; who clears it holds the
	 * storage's refresh_lock until it does not. */
	atomic_bool checkpoint_stale[CHECKPOINT_COUNT];
	/* Guarded by storage->lock. */
	size_t placed_count;   /* logs here or being made */
	struct hash recovery_points; /* as read; less what was deleted since */
	struct hash start_offsets;
	struct hash high_watermarks;
	struct hash cleaned;   /* how far logs are compacted */
	struct lock lock;      /* guards what follows */
	struct list logs;      /* log->in_dir */
	size_t log_count;
};

/* Of log.cleaner.*, what may change at any time. */
struct cleaner_options {
	int32_t threads;
	int64_t map_bytes; /* all threads together; likewise */
	double load_factor;
	int64_t buffer_bytes;
	double bytes_per_second;
	int64_t backoff_ms;
};

struct storage {
	unsigned magic;
	struct storage_setup setup;
	const struct storage_options *options; /* as it was opened with */
	/* What storage_set_options() changes is read here; by any thread. */
	_Atomic int64_t producer_id_expiration_ms;
	_Atomic int64_t disk_reserve_bytes;
	struct descriptors *descriptors;
	struct files *files; /* theirs, around the real ones */
	struct diag *diag;
	struct log_dir **dirs;
	size_t dir_count;
	int32_t broker_id;
	char *cluster_id;
	struct index_cache *cache;
	struct work_queue *work; /* NULL without a scheduler */
	struct cleaners *cleaners; /* while upkeep goes on */
	struct lock cleaner_lock;  /* a leaf; guards what follows */
	struct cleaner_options cleaner_options;
	struct load *load;       /* while storage_load() runs */
	atomic_bool load_abandoned;
	atomic_ullong next_segment_id;
	struct lock lock; /* guards what follows */
	struct hash logs; /* by name */
	struct random random;
	/* Chores may run already when it is set; the argument comes first. */
	int64_t (*_Atomic high_watermark)(void *arg, struct log *log);
	void *high_watermark_arg;
	struct upkeep *upkeep;
	struct lock refresh_lock;   /* of the rank of logs; one refreshes */
	struct lock steady_lock;    /* a leaf */
	struct steady steady;
	struct lock deletions_lock; /* of the rank of leaves */
	struct list deletions;
	struct list doomed; /* directories of deleted logs; likewise guarded */
	struct list futures; /* -future directories; likewise */
	struct list withheld; /* logs that a start may not serve; likewise */
	struct hash preferred; /* where logs are to be made; likewise */
};

/* Where one of the last appends lies. */
struct recent {
	int64_t base_offset;
	int64_t last_offset;
	int64_t position;
	int32_t size; /* 0: unused, or more than one batch */
};

enum log_cut { CUT_NONE, CUT_END, CUT_ALL };

struct log {
	struct hash_node by_name; /* first; storage->logs */
	unsigned magic;
	atomic_uint references;
	struct storage *storage;
	/* Another one after a move: changed with the locks of the writer, of
	 * closing and `lock` held. */
	struct log_dir *_Atomic dir;
	char *_Atomic path;
	struct segment_path *paths; /* all that it had; to be freed */
	struct list in_dir;
	char *topic;
	char *name; /* "topic-partition" */
	int32_t partition;
	struct lock writer;
	struct lock closing;
	struct lock lock; /* guards what follows, up to the next comment */
	struct segment_list *segments;
	struct epochs epochs;
	struct producers producers;
	struct log_settings settings;
	struct uuid topic_id;       /* log_keep_topic_id() alone sets it */
	atomic_bool topic_id_known; /* it does not change any more */
	/* RECENT_COUNT of the active segment; NULL until the first append. */
	struct recent *recent;
	unsigned recent_next;
	struct list rolls; /* pending */
	size_t roll_count; /* of them */
	/* Written under both locks, read by anyone. */
	atomic_llong start_offset;
	atomic_llong end_offset;
	atomic_llong size_bytes;
	atomic_llong high_watermark;
	atomic_llong recovery_point;
	/* No .txnindex has an entry with a marker above; -1: none has any. */
	atomic_llong aborted_last;
	/* All before it is compacted; -1: nothing is known. */
	atomic_llong cleaned_to;
	atomic_bool cleaning;    /* a cleaner has it */
	atomic_bool uncleanable; /* never taken back */
	atomic_uint cleaning_pauses; /* how many do not want it */
	atomic_llong clean_after_ms; /* monotonic: it was refused; else 0 */
	atomic_bool unsettled; /* as producers_unsettled() */
	atomic_size_t producer_count; /* of `producers` */
	atomic_int latest_epoch; /* of `epochs`, as epochs_latest() */
	atomic_int segment_count; /* of `segments` */
	/* Goes up under log->lock: a reader or a flush that saw one go on does
	 * not count. */
	atomic_uint truncations;
	atomic_uint moves; /* likewise */
	atomic_uint compaction_ends; /* how often settings took it away */
	atomic_llong last_flush_ms;
	bool made_dir; /* by log_make_files(): what is in it is ours */
	bool has_moved; /* MARK_MOVED, as the load found it; the load's */
	bool epochs_found; /* by recovery: more than the file has */
	bool has_aborted;   /* .txnindex files, as the load found them */
	bool has_snapshots; /* likewise */
	/* The writer's.  The file has entries at or behind the end that are
	 * cut, or lacks one that begins at the end: it must be put right before
	 * anything is appended there.  Or it has such as lie before the start,
	 * which a load cuts again: the next who writes it takes them out,
	 * retention or the close at the latest.  (Anyone may look whether it
	 * is so: log_append_syncs().) */
	atomic_bool epochs_differ;
	bool epochs_below;
	/* They differ by an epoch alone in which nothing was appended. */
	bool epochs_later;
	unsigned epochs_turn; /* goes up with each change; the writer's */
	bool closed; /* the writer's */
	/* A truncation that readers see but the files lack, or (the whole log)
	 * nobody does yet: nothing is appended before it is through. The
	 * writer's, changed under `closing` too; anyone may look whether there
	 * is one. */
	_Atomic(enum log_cut) cut;
	int64_t cut_offset;           /* CUT_ALL: where it is to begin */
	struct segment_list *cut_off; /* CUT_END: to be renamed; or NULL */
	bool cut_start;               /* CUT_END: the start went down, too */
	/* Set by the writer and never taken back: what lies at `path` is not
	 * ours any more. */
	atomic_bool deleted;
};

/* Under log->lock, after a change of its producers. */
static inline void
log_note_producers(struct log *log)
{
	atomic_store_explicit(&log->producer_count,
	    hash_count(&log->producers.by_id), memory_order_relaxed);
	atomic_store_explicit(&log->unsettled,
	    producers_unsettled(&log->producers), memory_order_release);
}

static inline bool
log_deleted(const struct log *log)
{
	return (atomic_load_explicit(&log->deleted, memory_order_acquire));
}

/* --- storage.c ------------------------------------------------------------ */

#define LOG_NAME_SIZE (TOPIC_NAME_MAX + sizeof("-2147483648"))
/* Its length, or -1: no log has such a name. */
int storage_log_name(const char *topic, int32_t partition,
    char name[LOG_NAME_SIZE]);

struct random;
/* The wall clock: what records and files are dated by. */
int64_t storage_now_ms(const struct storage *storage);
/* For what is due after a while, whatever the wall clock says. */
int64_t storage_mono_ms(const struct storage *storage);
uint64_t storage_segment_id(struct storage *storage);
int64_t storage_jitter_ms(struct storage *storage, int64_t bound_ms);
/* Puts a loaded or new log in the tables; false: there is one of its name. */
bool storage_add_log(struct storage *storage, struct log *log);
/* A new log, in no table, that counts for the directory chosen; nothing of it
 * is made. NULL: there is none, which was said. [worker] */
struct log *storage_place_log(struct storage *storage, const char *topic,
    int32_t partition);
/* Its directory and first segment, nothing of them synced. False: errno. */
bool log_make_files(struct log *log);
/* What was made is on the disk: the log is found from now on, by the reference
 * that storage_place_log() gave. False: its directory has failed. */
bool storage_admit_log(struct log *log);
/* It is not made after all. Takes the reference. */
void storage_displace_log(struct log *log);

/* --- log_dir.c ------------------------------------------------------------ */

/* NULL: said in the log. *fatal: the start must end. */
struct log_dir *log_dir_open(struct storage *storage, const char *path,
    bool *fatal);
void log_dir_free(struct log_dir *dir);
/* Takes the directory offline, once, with what failed and why (errno). */
void log_dir_fail(struct log_dir *dir, const char *what, const char *path,
    int error);
static inline bool
log_dir_failed(const struct log_dir *dir)
{
	return (atomic_load_explicit(&dir->failed, memory_order_acquire));
}
static inline void
log_dir_changed(struct log_dir *dir, enum checkpoint_kind kind)
{
	/* Most often it is known already: then nobody's cache line is taken. */
	if (!atomic_load_explicit(&dir->changed[kind], memory_order_relaxed))
		atomic_store(&dir->changed[kind], true);
}
/* Whether `size` bytes may be written: the reserve stays. */
bool log_dir_has_room(struct log_dir *dir, int64_t size);
/* Reads the four checkpoints, once. A bad file counts as empty, and is said. */
void log_dir_read_checkpoints(struct log_dir *dir);
/* -1: absent. */
int64_t offset_table_find(const struct hash *table, const char *name);
/* storage->lock is held: what the start read of a log is forgotten; files that
 * had it are stale. */
void log_dir_forget(struct log_dir *dir, const char *name);
/* Before a log of the name is made, which may come to nothing: of one that was
 * lost a recovery point of 0 is kept, which fits any log, and no more. */
void log_dir_renew(struct log_dir *dir, const char *name);
/* False: errno, and said; the directory has failed, or it is full and the old
 * file stays. */
bool log_dir_write_checkpoint(struct log_dir *dir, enum checkpoint_kind kind);
/* The same where the old file would be wrong: it is removed when there is no
 * room for a new one. Without a recovery point a log is recovered as a whole,
 * without a start offset it starts with its first segment. False: errno. */
bool log_dir_must_checkpoint(struct log_dir *dir, enum checkpoint_kind kind);
/* Whether the file as it is has a row of the log that an empty one must not
 * get (or would not be read). */
bool log_dir_speaks_of(struct log_dir *dir, enum checkpoint_kind kind,
    const char *log_name);
/* They count as held here once, and lost unless they are found; for this run at
 * least. False: errno, it could not be written. */
bool log_dir_note_assigned(struct log_dir *dir,
    const struct storage_assigned *assigned, size_t count);
/* meta.properties. */
bool log_dir_write_identity(struct log_dir *dir, int32_t broker_id,
    const char *cluster_id);
bool log_dir_marked_clean(struct log_dir *dir); /* and takes the mark away */
bool log_dir_mark_clean(struct log_dir *dir);

/* --- log.c ---------------------------------------------------------------- */

struct log *log_new(struct log_dir *dir, const char *topic, int32_t partition);
/* Who has the old one may go on reading it. */
void log_set_path(struct log *log, const char *path);
void log_file(const struct log *log, const char *name, char out[PATH_MAX]);
/* "%020d" and a suffix, in the log's directory. */
void log_offset_file(const struct log *log, int64_t offset, const char *suffix,
    char out[PATH_MAX]);
/* The writer's view; a reference under the lock for others. */
struct segment_list *log_segments(struct log *log);
struct segment *log_active(struct log *log);
/* Under log->lock: the sums that readers see follow the list. */
void log_publish_segments(struct log *log, struct segment_list *list);
enum error log_fail(struct log *log, const char *what);
/* What was tried is not done, and nothing has changed: a want that passes (of
 * room, of descriptors) or a name too long only refuses, anything else takes
 * the directory offline. By errno; answers ERR_KAFKA_STORAGE_ERROR. */
enum error log_refuse(struct log *log, const char *what);
/* Whether an errno is a want that passes: of room or of descriptors. */
bool log_wants_room(int error);
bool log_read_metadata(struct log *log);
/* What partition.metadata holds; its length. */
size_t log_metadata_text(struct uuid topic_id,
    char text[LOG_METADATA_TEXT_SIZE]);
/* Nothing else. False: errno. */
bool log_write_metadata(struct log *log, struct uuid topic_id);
/* Of a log that has none yet; one thread at a time. */
void log_keep_topic_id(struct log *log, struct uuid topic_id);
/* Writes leader-epoch-checkpoint, then shows `epochs` to readers; takes
 * them. */
bool log_set_epochs(struct log *log, struct epochs *epochs);
/* The same, but where room or descriptors are wanted the file follows later:
 * before the next append at the latest. [writer] */
bool log_set_epochs_soon(struct log *log, struct epochs *epochs);
/* The same in steps: leader-epoch-checkpoint.tmp (file_replace_begin()), and,
 * when it was renamed and synced, what readers see; takes them. [writer] */
int log_begin_epochs(struct log *log, const struct epochs *epochs);
void log_show_epochs(struct log *log, const struct epochs *epochs,
    bool written);
/* Under log->lock, when `epochs` were exchanged. */
static inline void
log_note_latest_epoch(struct log *log)
{
	atomic_store_explicit(&log->latest_epoch, epochs_latest(&log->epochs),
	    memory_order_release);
}
/* `epochs` was changed and the file was not. [writer] */
static inline void
log_epochs_changed(struct log *log)
{
	log->epochs_differ = true;
	log->epochs_later = false;
	log->epochs_turn++;
}
/* What begins at `end_offset` or behind goes, and the file follows: before the
 * next append at the latest. Under log->lock. [writer] */
void log_cut_epochs(struct log *log, int64_t end_offset);
/* The same, but only what lies before the start is cut. [writer] */
static inline void
log_epochs_begin_later(struct log *log)
{
	log->epochs_below = true;
	log->epochs_turn++;
}
/* A new, empty segment with all its files. NULL: errno. */
struct segment *log_new_segment(struct log *log, int64_t base_offset);
/* The same with its .log alone. */
struct segment *log_begin_segment(struct log *log, int64_t base_offset);
/* What rolling by time needs to know of a segment. */
void log_date_segment(struct log *log, struct segment *segment);
/* Room for all of the active segment, where the file system can. */
bool log_preallocate(struct log *log);
struct log_settings log_get_settings(struct log *log);

/* --- aborted.c: .txnindex files ------------------------------------------- */

/* Adds an aborted transaction's entry to the segment's. [writer] */
bool log_note_aborted(struct log *log, struct segment *segment,
    const struct producers_ended *ended);
/* At a load: what the file tells is whole, and of this segment. */
bool aborted_load(struct log *log, struct segment *segment);
/* Removes the file; its entries are found again while batches are replayed. */
bool aborted_forget(struct log *log, struct segment *segment);
/* Entries whose marker does not lie below the offset go. */
bool aborted_cut(struct log *log, struct segment *segment, int64_t offset);
/* At a load: it cannot be relied on, whatever it tells. Before anything is made
 * anew that told so. */
bool aborted_mark_lost(struct log *log, struct segment *segment);
/* Adds an entry, as it lies in a file. */
void aborted_add(struct buffer *entries, const struct producers_ended *ended);
/* At a load: makes one file anew, from the batches. */
bool aborted_rebuild(struct log *log, struct segment *const *items,
    size_t slot);

/* For compaction: adds the entries of a closed segment. False: errno. */
bool aborted_read(struct segment *segment, struct buffer *out);
size_t aborted_count(const struct buffer *entries);
struct producers_ended aborted_entry(const struct buffer *entries,
    size_t index);

/* --- roll.c --------------------------------------------------------------- */

/* One file is made here; the rest is pending. [writer] */
enum error log_roll(struct log *log, int64_t base_offset);
/* Writes what pending rolls left. False: errno, and they stay pending.
 * [worker, with or without writer] */
bool log_finish_rolls(struct log *log);
bool log_finish_rolls_locked(struct log *log); /* [closing] */
/* Under log->lock: how far the recovery point may move towards `offset`. */
int64_t log_rolls_bound(struct log *log, int64_t offset);
void log_free_rolls(struct log *log);
/* Under log->lock: what was cut from `base_offset` on is not to be closed. */
void log_drop_rolls(struct log *log, int64_t base_offset);

/* --- truncate.c ----------------------------------------------------------- */

/* Brings one to its end that was refused half-way. [writer] */
enum error log_finish_cut(struct log *log);

/* --- read.c --------------------------------------------------------------- */

struct log_place {
	int64_t position;    /* of the first batch with last offset >= asked */
	int64_t base_offset;
	int32_t size;        /* of that batch; 0: no such batch, at the end */
};
/* How much of a segment there was at one moment, and whether it still is what a
 * reader sees: a truncation may cut the file under him. */
struct log_view {
	int64_t end;
	unsigned truncations;
};
struct log_view log_view_of(struct log *log, struct segment *segment);
/* The segment was cut since, or left the log: what the reader found, or failed
 * to read, tells nothing. Keeps errno. */
bool log_view_gone(struct log *log, const struct segment *segment,
    const struct log_view *view);
/* In one segment, up to the view's end. */
enum error log_locate(struct log *log, struct segment *segment, int64_t offset,
    const struct log_view *view, struct log_place *out);

/* --- snapshot.c: files of producer state ---------------------------------- */

/* At the state's end offset, unless nothing came since the last one. [writer]
 * A file that has these very bytes is left alone. False: errno. */
bool snapshot_write(struct log *log, bool sync);
/* The last one, at a clean stop: it is on the disk then. [writer] */
bool snapshot_close(struct log *log);
/* The file of what producers_encode() gave. */
bool snapshot_put(struct log *log, int64_t offset, struct slice bytes,
    bool sync);
/* Loads the newest usable one at or below `limit`, above `start`. The state's
 * end offset is the snapshot's, or `start`. */
bool snapshot_load(struct log *log, struct producers *producers, int64_t start,
    int64_t limit);
/* Deletes those above `limit` and those at or below `start`. */
bool snapshot_prune(struct log *log, int64_t start, int64_t limit);
/* Deletes those that are neither of a segment's base nor the newest. */
bool snapshot_remove_strays(struct log *log);

/* The one of a segment that is no more. */
bool snapshot_forget(struct log *log, int64_t offset);

/* --- cleaner.c ------------------------------------------------------------ */

/* On the loop; nothing without log.cleaner.enable. */
void cleaners_start(struct storage *storage, struct loop *loop);
void cleaners_stop(struct storage *storage);
/* What is under way ends soon; waits for it. [worker] */
void cleaners_await(struct storage *storage);
void cleaners_free(struct storage *storage);
/* The log ends at `offset` now: what follows is not compacted. [writer]
 * False: errno. */
bool log_lower_cleaned(struct log *log, int64_t offset);

/* --- recover.c, load.c, load_dirs.c --------------------------------------- */

/* A sign of life while logs load, told and said now and then. */
void storage_load_goes_on(struct storage *storage);
/* Whether what is being loaded is wanted no more; then errno says so. */
bool storage_load_is_abandoned(const struct storage *storage);

/* NULL with *fatal unset: its directory has failed. */
struct log *log_load(struct log_dir *dir, const char *topic,
    int32_t partition, bool clean);
/* Plain recovery of segments and producers from the recovery point on. False:
 * errno. */
bool log_recover(struct log *log, struct segment **items, size_t *count,
    int64_t recovery_point);
/* Says how much a recovery cut off, if anything. */
void log_say_cut(struct log *log, const struct segment *segment, int64_t cut);
/* Makes segments that 32 bits are enough for out of one, as .swap files: the
 * log is to be loaded again. False: errno. */
bool segment_split(struct log *log, struct segment *segment);
/* Makes the time index of a segment anew while its log loads, and the index of
 * offsets too if that is no good; neither is in memory then. False: errno;
 * EOVERFLOW: the segment must be split. */
bool segment_reindex(struct log *log, struct segment *segment, bool offsets);
/* Makes the index files of a closed segment anew, later, on a worker; nothing
 * without a scheduler. */
void segment_repair_later(struct log *log, struct segment *segment);

/* --- times.c -------------------------------------------------------------- */

/* The largest timestamp of a segment's records (-1: they have none) and where;
 * from its index, or its batches where that lies. What could not be read is
 * an error and no date. Not under log->lock. */
enum error log_segment_timestamp(struct log *log, struct segment *segment,
    struct index_entry *out);
/* What retention and searches go by: that, or when the segment was written
 * where its records do not tell, or not all of them can be read. Likewise. */
enum error log_segment_date(struct log *log, struct segment *segment,
    int64_t *date_ms);
/* Whether an entry of a closed segment's time index tells the truth. Not under
 * log->lock. */
enum error log_time_entry_good(struct log *log, struct segment *segment,
    const struct index_entry *entry, bool *good);
/* Rebuilds one segment's indexes; *cut: how many bytes were left over. False:
 * errno; EOVERFLOW: the segment must be split. */
bool segment_recover(struct log *log, struct segment *segment, bool replay,
    int64_t *cut);
/* Replays producers over [from the state's end, to). */
bool producers_replay(struct log *log, struct producers *producers,
    struct segment *const *items, size_t count, int64_t to);
/* Over one segment; `aborted`, if there is one, gets the .txnindex entries of
 * what ended in it. */
bool producers_replay_segment(struct log *log, struct producers *producers,
    struct segment *segment, int64_t to, struct buffer *aborted);

/* --- recall.c ------------------------------------------------------------- */

/* Completes what a snapshot said of producers by the records in front of it.
 * As far as these can be read: it is a help. */
void producers_recall(struct log *log, struct producers *producers,
    struct segment *const *items, size_t count);

/* --- upkeep.c, flush.c ---------------------------------------------------- */

/* All before `offset` is on the disk then. [worker] */
enum error log_flush_to(struct log *log, int64_t offset);
/* The same, later, on a worker (now, without a scheduler). */
void log_flush_later(struct log *log, int64_t offset);
/* All logs of a directory, several at once. False: not all are clean. */
bool log_dir_close_logs(struct log_dir *dir);
/* Flush, close indexes, snapshot. False: not clean. [worker] */
bool log_close_clean(struct log *log);
void log_retain(struct log *log);
void upkeep_free(struct storage *storage);
/* The log's directory moved: those of its segments that wait for their removal
 * have moved, too. */
void storage_move_deletions(struct storage *storage, const struct log *log,
    const char *directory);
/* They are another log's. */
void storage_give_deletions(struct storage *storage, struct log *log,
    struct log *other);
/* Removes the files of segments after the delay. Takes the list. */
void storage_delete_later(struct storage *storage, struct log *log,
    struct segment_list *list);

/* --- marks.c -------------------------------------------------------------- */

enum mark_kind {
	MARK_LEAVES,  /* in the log: its copy may have taken its place */
	MARK_ARRIVES, /* in the copy: it may have taken the log's place */
	MARK_MOVED    /* in the copy: it has; the old log may be there still */
};
#define MARK_COUNT 3
struct mark {
	void *text; /* NULL: none */
	size_t length;
	bool good; /* what follows is told, and points into it */
	struct uuid topic_id;
	struct slice from;
	struct slice to;
};
/* The text of a new move. */
void mark_make(const struct log *log, const struct log_dir *to,
    struct buffer *text);
/* Durable. False: errno. */
bool mark_write(struct files *files, const char *directory,
    enum mark_kind kind, struct slice text);
/* Not synced; none is none the less removed. False: errno. */
bool mark_remove(struct files *files, const char *directory,
    enum mark_kind kind);
/* ARRIVES becomes MOVED, durably. False: errno. */
bool mark_confirm(struct files *files, const char *directory);
/* False: errno, it cannot be told. */
bool mark_is_there(struct files *files, const char *directory,
    enum mark_kind kind, bool *there);
bool mark_is_moved(const char *name);
/* What a death left of one that was being written. */
bool mark_is_temporary(const char *name);
void mark_remove_temporary(struct files *files, const char *directory);
/* True: its text is NULL when there is none. False: errno. */
bool mark_load(struct files *files, const char *directory,
    enum mark_kind kind, struct mark *mark);
void mark_free(struct mark *mark);
/* Two of one move. */
bool mark_equal(const struct mark *a, const struct mark *b);

/* A log that lies in the directory is not served, moved to or made anew until
 * the next start; what checkpoints say of it stays. */
void storage_withhold(struct log_dir *dir, const char *name);
/* `dir` NULL: in any; `name` NULL: any log. */
bool storage_is_withheld(struct storage *storage, const struct log_dir *dir,
    const char *name);
/* Out of the list, one directory of it; NULL: there is none. */
struct log_dir *storage_take_withheld(struct storage *storage,
    const char *name);
void storage_forget_withheld(struct storage *storage);

/* --- load_marked.c -------------------------------------------------------- */

/* A log that a load left alone, as it may not be the one. */
struct marked {
	struct log_dir *dir;
	const char *topic;
	int32_t partition;
	bool clean;
	/* hidden */
	char *name;
	char *path;
	struct mark leaves;
	struct mark arrives;
	bool done;
};
/* When all others are loaded: decides, loads, and clears away.  Then marks go
 * that are not needed any more. */
void storage_load_marked(struct storage *storage, struct marked *items,
    size_t count);
/* Loads one and puts it in the tables. False: its directory has failed, or the
 * load ends. */
bool storage_load_log(struct log_dir *dir, const char *topic,
    int32_t partition, bool clean);
/* The start must end: it is in another directory, too. */
void storage_found_twice(const struct log_dir *dir, const char *name);

/* --- delete.c ------------------------------------------------------------- */

/* Before a log of that name is made: a deletion under way has ended, and what
 * checkpoints say of the old one fits the new one, too.
 * ERR_KAFKA_STORAGE_ERROR: it does not, and could not be written, which was
 * said. [worker] */
enum error storage_settle(struct storage *storage, const char *name);
/* The files of a log that was not admitted; what cannot be removed now is a
 * leftover.  Leftovers of that name, which are empty, go from all directories
 * that have any: the next start would find the partition twice. [worker] */
void storage_remove_unmade(struct log *log);
void storage_remove_leftovers(struct storage *storage, const char *name);
/* When a delay that begins now is over, monotonic. */
int64_t storage_due_ms(const struct storage *storage, int64_t delay_ms);
/* A -delete directory that a stop left over; its delay begins anew. */
void storage_doom(struct log_dir *dir, const char *name);
/* A -future directory, which stays until its partition is deleted, or known to
 * be here. False: the partition has another one. */
bool storage_note_future(struct log_dir *dir, const char *name);
/* Where the copy of a log is to lie in a directory: what a start found there is
 * emptied, or, if it was another directory, deleted. [worker] */
enum error storage_future_place(struct log *log, struct log_dir *dir,
    char path[PATH_MAX]);
/* It was not made after all; what cannot be removed is found as after a
 * start. */
void storage_future_remove(struct log_dir *dir, const char *path);
/* As log_delete(), of a log that is in no table; takes the reference.  `name`,
 * empty at first, is where it goes; it is used again when this is tried again.
 * ERR_REPLICA_NOT_AVAILABLE: room was wanted, nothing has changed. [closing, of
 * whose segments these are] */
enum error storage_doom_log(struct log *log, char name[DOOMED_NAME_SIZE]);
/* The same of what lies at a path, nobody has it; not synced. False: errno. */
bool storage_doom_path(struct log_dir *dir, const char *from,
    const char *topic, int32_t partition);
/* Where a log is to be made, if somebody said so; it is forgotten. NULL. */
struct log_dir *storage_take_preferred(struct storage *storage,
    const char *name);
void storage_forget_preferred(struct storage *storage);
/* Removes the directories whose delay is over. */
void storage_remove_doomed(struct storage *storage);
/* At the end: they stay for the next start. */
void storage_forget_doomed(struct storage *storage);

#endif
