/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs of this broker: directories, partitions' logs, segments, indexes,
 * producer state, leader epochs, recovery.  Files are Kafka's, byte for byte.
 *
 * Life of a log: storage_open() finds its directory and loads it (after an
 * unclean stop with the plain recovery), or log_create() makes it.  Its
 * partition (replica) appends under the partition's lock; anyone reads without
 * it.  log_unref() by the last holder closes files; storage_close() trims,
 * syncs, writes checkpoints and the clean-shutdown marker.
 *
 *	storage --> log dir --> log --> segment list (immutable, counted)
 *	                         |           +--> segment: .log blob, indexes
 *	                         +--> producer state, leader epochs
 *
 * Who may call what is said at each call: [append] holds the partition's lock,
 * [worker] may wait for the disk and must not be on a loop, [any] anywhere.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/errors.h"
#include "base/task.h"
#include "base/uuid.h"
#include "record/record.h"
#include "storage/file.h"

struct diag;
struct metrics;
struct random;
struct storage_options;
struct storage;
struct log_dir;
struct log;

#define TOPIC_NAME_MAX 249

/* A topic's settings that storage looks at: made of topic and broker options by
 * config, copied into the log. */
struct log_settings {
	int32_t segment_bytes;
	int64_t segment_ms;
	int64_t segment_jitter_ms;
	int32_t index_bytes;
	int32_t index_interval_bytes;
	int64_t retention_ms;
	int64_t retention_bytes;
	int64_t file_delete_delay_ms;
	int64_t flush_messages;
	int64_t flush_ms;
	bool preallocate;
	bool compacted; /* cleanup.policy has compact; the rest is for it */
	double min_cleanable_ratio;
	int64_t min_compaction_lag_ms;
	int64_t max_compaction_lag_ms;
	int64_t delete_retention_ms;
};

/* --- the whole ------------------------------------------------------------ */

struct storage_setup {
	const struct storage_options *options;
	const struct clock *clock;
	struct scheduler *scheduler;
	struct files *files;
	struct diag *diag;
	struct metrics *metrics;
	struct random *random;
	size_t descriptors; /* files to keep open, at most; 0: some hundred */
	int cores; /* that loading may use, at most; 0 as 1 */
	int32_t broker_id; /* -1: take what meta.properties says */
	const char *cluster_id; /* NULL: not known yet */
	/* Settings of a topic, by name; called while logs load. */
	void (*settings)(void *arg, const char *topic,
	    struct log_settings *out);
	void *settings_arg;
	/* A log dir failed; its logs answer KAFKA_STORAGE_ERROR. Any thread. */
	void (*dir_failed)(void *arg, struct log_dir *dir);
	void *dir_failed_arg;
	/* A log was closed, or given up, by storage_close(). Any thread. */
	void (*log_closed)(void *arg);
	void *log_closed_arg;
};

/* Locks the directories and reads meta.properties. NULL: said in the log and
 * in *why (static text or arena's). Loads nothing yet. [worker] */
struct storage *storage_open(const struct storage_setup *setup);
/* What meta.properties holds: -1 and NULL where no directory has one. */
int32_t storage_broker_id(const struct storage *storage);
const char *storage_cluster_id(const struct storage *storage);
/* Whether a usable directory is new, or cannot tell any more what was on it. */
bool storage_is_new(const struct storage *storage);
/* A replica that the cluster assigns to this broker. */
struct storage_assigned {
	const char *topic;
	int32_t partition;
};
/* Writes meta.properties where it is absent. What is `assigned` now counts as
 * held by such a directory, and by any that is new (storage_never_had), also
 * for later starts; what is assigned later it cannot have lost. False: said in
 * the log. [worker] */
bool storage_set_identity(struct storage *storage, int32_t broker_id,
    const char *cluster_id, const struct storage_assigned *assigned,
    size_t assigned_count);
/* Loads all logs, of all directories at the same time, and of each as many as
 * num.recovery.threads.per.data.dir says, or as there are cores.  `progress`
 * may be NULL; it is told how many are done and in all, at most once a second,
 * by any thread, but never by two at once; the last call says all.
 * False: no directory is usable, or it was abandoned. [worker] */
bool storage_load(struct storage *storage,
    void (*progress)(void *arg, size_t done, size_t total), void *arg);
/* A load that is under way, or begins later, ends soon, in the middle of a
 * recovery too; no directory counts as loaded or as failed then. Any thread. */
void storage_load_abandon(struct storage *storage);
/* What may change while logs are open (producer.id.expiration.ms,
 * barnabas.disk.reserve.bytes, log.cleaner.*) counts from now on as `options`
 * has it, which is not kept. What stands in directories or decides their
 * loading does not. Any thread; the callers see to their order. */
void storage_set_options(struct storage *storage,
    const struct storage_options *options);
/* Periodic work: checkpoints, retention, flush by time, deletion, compaction
 * (doc/compaction.md). On workers,
 * from `loop`'s timers. Both calls on that loop, or while no thread runs it;
 * a scheduler is needed. */
void storage_start_upkeep(struct storage *storage, struct loop *loop);
void storage_stop_upkeep(struct storage *storage);
/* After it was stopped: waits for what had begun.  Only now may the one go who
 * was given to storage_set_high_watermarks(). [worker] */
void storage_await_upkeep(struct storage *storage);
/* Closes all logs cleanly, then checkpoints and markers. [worker] */
void storage_close(struct storage **storage);

/* All logs, in no order; the callback answers false to stop. */
void storage_each_log(struct storage *storage,
    bool (*each)(void *arg, struct log *log), void *arg);
/* NULL: no such log. The caller unrefs. [any] */
struct log *storage_find(struct storage *storage, const char *topic,
    int32_t partition);
/*
 * Whether a log that is not here never was: every directory works, and no
 * checkpoint speaks of the log. Where a disk was lost and replaced that is no
 * for all that was assigned before (storage_set_identity). [any]
 */
bool storage_never_had(struct storage *storage, const char *topic,
    int32_t partition);
/* The partition is new: what is known of a lost log of that name was another
 * topic's. [worker] */
void storage_forget_lost(struct storage *storage, const char *topic,
    int32_t partition);
enum log_dir_state {
	LOG_DIR_WORKS,
	LOG_DIR_FULL, /* appends are refused until there is room */
	LOG_DIR_OFFLINE
};
/* The directories, in the order of log.dirs. [any] */
void storage_each_dir(const struct storage *storage,
    void (*each)(void *arg, const char *path, enum log_dir_state state),
    void *arg);
/* Whether a log of that name lies in a directory and may not be served, for it
 * has moved from or to one that is not here: what to do was said at the start.
 * [any] */
bool storage_withholds(struct storage *storage, const char *topic,
    int32_t partition);
/* True when any directory has failed. */
bool storage_has_failed_dir(const struct storage *storage);
/* The directories, as the options name them. [any] */
size_t storage_dir_count(const struct storage *storage);
struct log_dir *storage_dir_at(const struct storage *storage, size_t index);
bool log_dir_is_offline(const struct log_dir *dir);
/* Of its file system: all bytes, and those that this user may still write.
 * False: errno. [worker] */
bool log_dir_space(const struct log_dir *dir, int64_t *total_bytes,
    int64_t *usable_bytes);

/* The .log files that are open, how many may stay so, and how many were closed
 * to make room for others. [any] */
struct storage_files {
	size_t open;
	size_t bound;
	uint64_t closed;
};
struct storage_files storage_files(const struct storage *storage);

/* The time by which things count as old enough to be deleted: the wall clock's,
 * but that a leap ahead is not believed at once (steady.h).  No leaf lock is
 * held. Any thread. */
int64_t storage_steady_ms(struct storage *storage);

/* What compaction did: of the last round, and of each thread's last log. */
struct storage_cleaning {
	int max_dirty_percent;
	int64_t since_last_run_ms;
	int max_buffer_percent;
	int recopy_percent;
	int64_t max_clean_seconds;
	int64_t max_delay_seconds; /* behind max.compaction.lag.ms */
};
void storage_cleaning(struct storage *storage, struct storage_cleaning *out);
/* Why a log is not compacted any more: something in it cannot be read. Bytes
 * that would be; -1: it is well. [worker] */
int64_t log_uncleanable_bytes(struct log *log);

/* High watermarks: what was checkpointed (0: absent), and how to write them. */
int64_t storage_checkpointed_high_watermark(struct storage *storage,
    const char *topic, int32_t partition);
/* Asks each log's high_watermark() when checkpoints are written, on a worker;
 * it takes no lock (-1: what log_set_high_watermark() said). */
void storage_set_high_watermarks(struct storage *storage,
    int64_t (*high_watermark)(void *arg, struct log *log), void *arg);

/* --- a log ---------------------------------------------------------------- */

/* A new, empty log in the directory with the fewest logs, of those that are not
 * full; partition.metadata holds topic_id unless zero.  Not made, it leaves
 * nothing behind: ERR_KAFKA_STORAGE_ERROR, its directory failed, or cannot bear
 * the name; ERR_REPLICA_NOT_AVAILABLE, room or a descriptor was wanted.  Said
 * in the log. [worker] */
enum error log_create(struct storage *storage, const char *topic,
    int32_t partition, struct uuid topic_id, struct log **out);
/*
 * Many new logs at once, each with the epoch that begins with it, all synced
 * together, which costs a file system little more than one of them.  It is a
 * help for what follows and answers nothing: log_create() and
 * log_assign_epoch_later() are called for each log afterwards all the same,
 * find most of it done and do, or say, the rest.
 *
 * log_batch_add() writes and syncs nothing: the log cannot be found yet.  When
 * log_batch_commit() has returned, what storage_find() and log_latest_epoch()
 * tell of it is on the disk.  In between nobody makes or deletes the log.  A
 * directory that fails meanwhile goes offline, with its logs alone. [worker]
 */
#define LOG_BATCH_MAX 32
struct log_batch;
struct log_wish {
	const char *topic;
	int32_t partition;
	struct uuid topic_id; /* with partition.metadata unless zero */
	int32_t leader_epoch; /* -1: none */
};
struct log_batch *log_batch_new(struct storage *storage);
/* Not when it is full: each log holds two descriptors until the commit, so
 * that is earlier than LOG_BATCH_MAX where the process may have few. */
bool log_batch_full(const struct log_batch *batch);
void log_batch_add(struct log_batch *batch, const struct log_wish *wish);
void log_batch_commit(struct log_batch *batch);
/* Nothing waits for a commit. */
void log_batch_free(struct log_batch **batch);
/*
 * Takes the log away: out of the table at once, its directory renamed to
 * TOPIC-P.HEX32-delete; readers that hold it finish; the files go after
 * file.delete.delay.ms.  No such log is no error.  Writing to it answers
 * ERR_KAFKA_STORAGE_ERROR from now on.  ERR_KAFKA_STORAGE_ERROR: its directory
 * has failed, or is full; said in the log.  Durable after
 * storage_forget_deleted(). [worker]
 */
enum error log_delete(struct storage *storage, const char *topic,
    int32_t partition);
/* After one or many log_delete(): the directories' names are synced, and the
 * checkpoints speak of none of them any more, where there is room for it; where
 * not, no log of such a name is made before there is. ERR_KAFKA_STORAGE_ERROR:
 * a directory has failed; said in the log. [worker] */
enum error storage_forget_deleted(struct storage *storage);
struct log *log_ref(struct log *log);
void log_unref(struct log *log);
const char *log_topic(const struct log *log);
int32_t log_partition(const struct log *log);
struct log_dir *log_directory(const struct log *log);
const char *log_dir_path(const struct log_dir *dir);
bool log_failed(const struct log *log); /* its directory went offline */
/* Zero: not known. */
struct uuid log_topic_id(const struct log *log);
/* False: it has another one. Writes partition.metadata. [worker] */
bool log_set_topic_id(struct log *log, struct uuid topic_id);
void log_set_settings(struct log *log, const struct log_settings *settings);

int64_t log_start_offset(const struct log *log); /* [any] */
int64_t log_end_offset(const struct log *log);   /* [any] */
int64_t log_size_bytes(const struct log *log);   /* [any] */
int32_t log_segment_count(const struct log *log);
/* Producers remembered. [any] */
size_t log_producer_count(const struct log *log);

/* --- moves between directories -------------------------------------------- */

/* NULL: none of log.dirs has this path, as log_dir_path() tells it. [any] */
struct log_dir *storage_dir_named(const struct storage *storage,
    struct slice path);
/* The copy that a start found is not wanted any more: deleted. [worker] */
void storage_drop_future(struct storage *storage, const char *topic,
    int32_t partition);
/* A log of that name is made there when it is made, in this process. [any] */
void storage_prefer_dir(struct storage *storage, const char *topic,
    int32_t partition, struct log_dir *dir);
/* Where a start found a copy of the log that was not finished; NULL: there is
 * none, or it was taken up. [any] */
struct log_dir *storage_found_future(struct storage *storage,
    const char *topic, int32_t partition);

/*
 * A copy of a log that is to take its place: move.c.  One thread at a time has
 * it.  Errors are ERR_KAFKA_STORAGE_ERROR (one of the directories has failed,
 * or room or a descriptor is wanted: log_dir_is_offline() tells), those of the
 * log's records, and of log_future_copy() and _replace()
 * ERR_OFFSET_OUT_OF_RANGE: what was copied is not the log's any more, a new
 * copy must be made.
 */
#define FUTURE_CHUNK_BYTES ((size_t)1 << 20)
struct log_future;
/* Begins an empty one. [worker] */
enum error log_future_new(struct log *log, struct log_dir *dir,
    struct log_future **out);
/* So many bytes more, or one batch; *copied tells how many. [worker] */
enum error log_future_copy(struct log_future *future, size_t max_bytes,
    size_t *copied);
/* About what is left of the segment at hand, 0: it has all. */
int64_t log_future_left_bytes(const struct log_future *future);
/* Copies the rest, syncs, and puts it in the log's place.
 * ERR_REPLICA_NOT_AVAILABLE: not now, in a moment. [worker, append; nobody
 * makes, deletes or prepares the log meanwhile] */
enum error log_future_replace(struct log_future *future);
/* Afterwards, with no lock: what the move left is cleared away, and the future
 * freed.  ERR_REPLICA_NOT_AVAILABLE: room or a descriptor is wanted; it is to
 * be tried again, or left. [worker; nobody deletes the log meanwhile] */
enum error log_future_finish(struct log_future **future);
/* It is not wanted any more: deleted. Of one that has taken the log's place:
 * as log_future_finish(), and what could not be done then is left to the next
 * start. [worker] */
void log_future_drop(struct log_future **future);
/* The process ends, or its directory failed: the next start finds it.
 * [worker] */
void log_future_leave(struct log_future **future);
int64_t log_future_size_bytes(const struct log_future *future);
int64_t log_future_start_offset(const struct log_future *future);
int64_t log_future_end_offset(const struct log_future *future);

/* --- append --------------------------------------------------------------- */

struct log_appended {
	int64_t base_offset;
	int64_t last_offset;
	int64_t log_append_time_ms; /* -1: neither topic nor duplicate has */
	bool duplicate;  /* an idempotent retry: nothing was written */
	bool rolled;
	bool flush_wanted; /* flush.messages is met: log_flush() before acks */
};

/*
 * Appends the one batch that record_validate() passed, as leader: gives it the
 * end offset and the epoch in place, checks the producer's sequence, rolls
 * where it must, writes with one pwritev, then indexes and producer state.
 * Errors: those of sequences (storage sheet 5.8), ERR_KAFKA_STORAGE_ERROR (the
 * directory is offline now, or the disk is full: nothing was kept),
 * ERR_RECORD_LIST_TOO_LARGE. [append]
 */
enum error log_append_as_leader(struct log *log,
    const struct record_rules *rules, const struct record_verdict *verdict,
    uint8_t *bytes, int32_t leader_epoch, struct log_appended *out);
/* Appends batches as fetched from a leader: offsets and epochs are theirs.
 * Checks CRC (ERR_CORRUPT_MESSAGE) and that offsets go up from the log's end on
 * (ERR_UNKNOWN_SERVER_ERROR). A partial batch at the end is ignored.
 * ERR_KAFKA_STORAGE_ERROR also where a truncation that had waited for room was
 * made now, and the end is another: nothing was kept. [append] */
enum error log_append_as_follower(struct log *log, struct slice bytes,
    struct log_appended *out);
/* Whether an append of batches of that leader epoch would write and sync small
 * files before: the epoch is not the latest one, or what was changed for want
 * of room is not in its file yet.  No loop makes such an append.  Takes no
 * lock: of the moment, unless nobody else may change the log. [any] */
bool log_append_syncs(const struct log *log, int32_t leader_epoch);

/* All that was appended is on the disk then. [worker] */
enum error log_flush(struct log *log);
/* Whether flush.messages or flush.ms ask for it. [any] */
bool log_wants_flush(struct log *log);

/* --- read ----------------------------------------------------------------- */

struct log_read {
	struct extent extent; /* holds a reference; blob NULL when empty */
	int64_t first_offset; /* of the first batch in it */
	int64_t segment;      /* its base; -1: nothing lies at the offset */
	int64_t end_position; /* where the extent ends in it */
	bool at_end_of_segment; /* more lies in the next segment */
};
/*
 * From the batch that holds `offset` on, in one segment, below end_offset
 * (exclusive), at most max_bytes; with at_least_one the first batch comes whole
 * even if it is larger. ERR_OFFSET_OUT_OF_RANGE below the start or above the
 * log's end; empty when offset >= end_offset. [any; may wait for the index of
 * an old segment]
 */
enum error log_read(struct log *log, int64_t offset, int64_t end_offset,
    size_t max_bytes, bool at_least_one, struct log_read *out);
/* Of what log_read(offset) gave: the transactions that end in a marker of abort
 * and may have records there, to be left out by who reads what is committed. */
struct log_aborted {
	int64_t producer_id;
	int64_t first_offset;
};
struct log_aborted_list {
	struct log_aborted *items; /* the arena's */
	size_t count;
};
/* ERR_UNKNOWN_SERVER_ERROR: the arena is full. ERR_REPLICA_NOT_AVAILABLE: what
 * was read was compacted or moved meanwhile, it is to be read again. [worker,
 * where there is any behind the offset] */
enum error log_read_aborted(struct log *log, int64_t offset,
    const struct log_read *read, struct arena *arena,
    struct log_aborted_list *out);
/* Whether any abort was written at or behind the offset. [any] */
bool log_has_aborted(const struct log *log, int64_t offset);
/* Whether log_read and sending would find the bytes in memory; by samples. */
bool log_read_is_hot(struct log *log, int64_t offset, size_t max_bytes);
/* Bytes from `offset` to end_offset as far as one segment reaches, to wait for
 * min bytes without reading. [any] */
int64_t log_bytes_between(struct log *log, int64_t offset,
    int64_t end_offset);

struct log_found {
	int64_t offset; /* -1: none */
	int64_t timestamp_ms;
	int32_t leader_epoch;
};
/* The first record at or after timestamp_ms, with offset >= the log start.
 * [worker] */
enum error log_find_timestamp(struct log *log, int64_t timestamp_ms,
    struct log_found *out);
/* The record with the largest timestamp. [worker] */
enum error log_find_max_timestamp(struct log *log, struct log_found *out);
/* ListOffsets v0: at most `count` segment starts (and the end), newest first,
 * at or before timestamp_ms. Answers how many. [worker] */
int32_t log_find_segments(struct log *log, int64_t timestamp_ms,
    int64_t *offsets, int32_t count);

/* --- leader epochs -------------------------------------------------------- */

/* The latest epoch, -1: none. [any] */
int32_t log_latest_epoch(const struct log *log);
/* (epoch, start offset), known at once, on the disk before the first batch of
 * that epoch: nothing is waited for here, the first append in it waits
 * (log_append_syncs()).  A leader calls it when it begins: when brokers die
 * many partitions get an epoch at once, in which few get records soon; to sync
 * 6,667 files took half of the time until all were led.  Gone with the process
 * that had no such append. [worker, append] */
enum error log_assign_epoch_later(struct log *log, int32_t leader_epoch,
    int64_t start_offset);
struct log_epoch_end {
	int32_t leader_epoch; /* -1: unknown */
	int64_t end_offset;   /* -1: unknown */
};
/* The end of the largest epoch <= the asked one (KIP-101, KIP-279). [any] */
struct log_epoch_end log_epoch_end(const struct log *log,
    int32_t leader_epoch);
/* The epoch that `offset` was written in, -1: unknown. [any] */
int32_t log_epoch_of(const struct log *log, int64_t offset);

/* --- producers ------------------------------------------------------------ */

/* What is known of one producer, for DescribeProducers. */
struct log_producer {
	int64_t id;
	int64_t last_timestamp_ms;
	int64_t txn_first_offset; /* -1: no transaction is open */
	int64_t last_data_offset; /* -1: none */
	int32_t last_sequence;    /* -1: none */
	int32_t coordinator_epoch;
	int16_t epoch;
};
/* Ascending by id; the caller's memory (mem_free). NULL: there are none.
 * [worker] */
struct log_producer *log_producers(struct log *log, size_t *count);

/* The first record that may not be shown to who reads what is committed, as its
 * transaction is open, or its marker lies not below this high watermark;
 * INT64_MAX: there is none.  The high watermark does not go back but by a
 * truncation. [any] */
int64_t log_first_unstable(struct log *log, int64_t high_watermark);

/* --- truncation ----------------------------------------------------------- */

/* The end offset becomes exactly `offset`. [worker, append] */
enum error log_truncate_to(struct log *log, int64_t offset);
/* Empty, starting at `offset`. [worker, append] */
enum error log_truncate_fully(struct log *log, int64_t offset);
/* Upward only, not beyond the high watermark given. The segments that lie below
 * go with retention; on the disk after storage_write_starts().
 * [append] */
enum error log_advance_start(struct log *log, int64_t offset);
/* The log starts that moved are on the disk. False: said in the log; it is
 * tried again later. [worker] */
bool storage_write_starts(struct storage *storage);
/* What may be removed or compacted lies below the high watermark: replica tells
 * it here. [append] */
void log_set_high_watermark(struct log *log, int64_t high_watermark);

/* --- for tools: read-only, without storage_open --------------------------- */

/* Entries of index files and batches of .log files, for dump-log: scan.h. */

#endif
