/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of compaction share: which log (clean_choose.c), its
 * transactions (clean_txns.c), the pass over it (clean.c, clean_output.c), the
 * exchange of segments (clean_swap.c), and who does it when (cleaner.c). See
 * doc/compaction.md.
 */
#ifndef STORAGE_CLEAN_INT_H
#define STORAGE_CLEAN_INT_H

#include "storage/clean_map.h"
#include "storage/storage_int.h"

/* --- clean_choose.c ------------------------------------------------------- */

struct clean_candidate {
	struct log *log;
	int64_t first_dirty;
	int64_t first_uncleanable; /* the base of a segment */
	int64_t clean_bytes;
	int64_t cleanable_bytes;
	int64_t room_bytes; /* that a new segment of it takes at most */
	int64_t delay_ms; /* beyond max.compaction.lag.ms; 0: not overdue */
	double ratio;     /* of cleanable bytes */
};
/* What there is to be done in a log. False: it could not be looked at, errno,
 * or there is nothing at all in it. */
bool clean_look(struct log *log, int64_t now_ms, struct clean_candidate *out);
/* Likewise, in a list of its segments. */
bool clean_look_at(struct log *log, const struct segment_list *list,
    int64_t now_ms, struct clean_candidate *out);
/* Whether that is enough. */
bool clean_is_due(const struct clean_candidate *candidate,
    const struct log_settings *settings);
/* Whether its directory has so many bytes to spare, beside the old segments and
 * the reserve: a disk that they would fill up to the brim has room for appends
 * yet.  Said now and then. */
bool clean_has_room(struct log *log, int64_t bytes);
struct clean_choice {
	struct log *log; /* a reference, and `cleaning` is set; NULL: none */
	struct clean_candidate candidate;
	double max_ratio;
	int64_t max_delay_ms;
};
/* The dirtiest of all that are due, have room and were not refused lately. */
void clean_choose(struct storage *storage, struct clean_choice *out);
/* It was refused: others have their turn for some looks. */
void clean_leave_out(struct log *log, int64_t backoff_ms);

/* --- clean_txns.c --------------------------------------------------------- */

struct clean_txns {
	struct producers_ended *entries; /* aborted ones, by first offset */
	size_t count;
	size_t next;           /* the first that has not begun */
	struct hash aborted;   /* under way */
	struct hash committed; /* data of theirs was met */
};
void clean_txns_fini(struct clean_txns *txns);
/* Those aborted ones that lie in a range. False: errno. */
bool clean_txns_load(struct clean_txns *txns, const struct segment_list *list,
    int64_t from, int64_t upper);
/* A batch of data, in their order. True: it is of an aborted one. */
bool clean_txns_data(struct clean_txns *txns, const struct batch *batch);
/* A control batch. True: it may go, as soon as its horizon has passed; else its
 * entry of the .txnindex, if it has one, is added to `index` (may be NULL). */
bool clean_txns_marker(struct clean_txns *txns, const struct batch *batch,
    struct buffer *index);

/* --- clean_output.c: the segment that is made ----------------------------- */

struct clean_output {
	struct log *log; /* NULL: none is under way */
	/* Pinned, in no list; its files are BASE.*.cleaned. */
	struct segment *made;
	int descriptor;
	struct buffer bytes;   /* not written yet */
	struct buffer aborted; /* .txnindex entries */
	size_t buffer_bytes;   /* `bytes` are written from there on */
	int64_t unsynced;      /* written since the kernel was told to begin */
};
#define CLEANED_FILES 4
/* Of a file that compaction makes: NAME.cleaned, NAME.swap, NAME. `state` has
 * its dot. */
void clean_file(const struct segment *segment, size_t file, const char *state,
    char out[PATH_MAX]);
/* False: errno. */
bool clean_output_begin(struct clean_output *output, struct log *log,
    int64_t base_offset);
/* The last result->size bytes in output->bytes are what is left of a batch. */
bool clean_output_note(struct clean_output *output, const struct batch *batch,
    const struct record_filtered *result);
/* All on the disk, dated as its last source. */
bool clean_output_end(struct clean_output *output, int64_t mtime_ms);
/* It is not wanted. [no lock] */
void clean_output_drop(struct clean_output *output);

/* --- clean.c: one pass over one log --------------------------------------- */

enum clean_state {
	CLEAN_MORE,    /* to be called again */
	CLEAN_DONE,    /* all before `end_offset` is compacted */
	CLEAN_ABORTED, /* the log changed under it, or is gone */
	CLEAN_REFUSED, /* room or a descriptor is wanted, or the disk failed */
	CLEAN_DAMAGED  /* something cannot be read as it should: said */
};
struct clean_stats {
	int64_t begun_ms; /* monotonic */
	int64_t mapped_bytes;
	int64_t read_bytes;
	int64_t written_bytes;
	int64_t read_records;
	int64_t written_records;
	int64_t keyless_records;
	int percent; /* of the map */
};

enum clean_stage { CLEAN_MAP, CLEAN_GROUP, CLEAN_FILTER, CLEAN_SWAP };

struct cleaning {
	struct log *log; /* a reference */
	struct storage *storage;
	struct log_settings settings;
	struct clean_candidate candidate;
	struct segment_list *list; /* as it was when the pass began */
	unsigned truncations;      /* likewise */
	unsigned compaction_ends;  /* likewise */
	int64_t now_ms;            /* by which horizons are told */
	int64_t legacy_horizon_ms; /* of tombstones of magic 0 and 1 */
	enum clean_stage stage;
	struct clean_map *map;
	int64_t latest_offset;     /* that the map knows of */
	int64_t end_offset;        /* behind it */
	struct clean_txns txns;
	size_t slot;               /* being read */
	size_t group;              /* the first slot of the group at hand, */
	size_t group_end;          /* and the one behind its last */
	bool walking;
	struct walk walk;          /* over the segment at `slot` */
	bool retains_legacy;       /* its tombstones of magic 0 and 1 */
	struct log_producer *producers; /* by id */
	size_t producer_count;
	struct record_filter filter;
	const struct batch *batch; /* that the filter is at */
	bool discards;             /* all of it */
	int32_t latest_epoch;      /* that the filter has met */
	struct clean_output output;
	struct clean_stats stats;
	int64_t io_bytes; /* read and written since the caller took them */
};
/* What a pass has of the memory that all of them may have. */
struct clean_share {
	int64_t map_bytes;
	double load_factor;
	int64_t buffer_bytes; /* for what is read and what is written */
};
/* Of a log that was chosen: takes its reference, and `cleaning`.  NULL: there
 * is nothing to be done in it any more, and both are given back. */
struct cleaning *cleaning_new(struct log *log, const struct clean_share *share);
void cleaning_free(struct cleaning **cleaning);
/* About so many bytes more. [worker] */
enum clean_state cleaning_step(struct cleaning *cleaning, int64_t max_bytes);

/* --- clean_swap.c --------------------------------------------------------- */

/* The segment that was made takes the place of the group. */
enum clean_state cleaning_swap(struct cleaning *cleaning);
/* Whether what the pass began with still is the log. */
bool cleaning_is_stale(const struct cleaning *cleaning);

#endif
