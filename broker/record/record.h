/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record batches as bytes: walking them, checking what a producer sent, giving
 * them offsets, and reading the records in them.  A batch (magic 2) is
 *
 *	 0 base offset        8 | 12 partition leader epoch  4 | 16 magic 1
 *	 8 batch length       4 |   (= whole size - 12)        | 17 crc32c 4
 *	21 attributes 2 | 23 last offset delta 4 | 27 base timestamp 8
 *	35 max timestamp 8 | 43 producer id 8 | 51 producer epoch 2
 *	53 base sequence 4 | 57 record count 4 | 61 records, compressed as one
 *
 * crc32c covers 21 to the end, so base offset and leader epoch may be written
 * in place.  Older message sets (magic 0 and 1) are walked, read and converted;
 * they are made anew for old consumers only. All bytes here come from peers or
 * disks: whatever is wrong is an error code. Source: KIP-98, KIP-32; the rules
 * of validation are LogValidator's of 3.9.
 */
#ifndef RECORD_RECORD_H
#define RECORD_RECORD_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/errors.h"
#include "base/slice.h"

#define BATCH_LOG_OVERHEAD 12  /* base offset and batch length */
#define BATCH_HEADER_SIZE 61   /* magic 2 */
#define BATCH_PEEK_SIZE 17     /* enough to know size and magic */
#define BATCH_SIZE_LEAST 14    /* declared, any magic */

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD };
#define CODEC_COUNT 5
const char *codec_name(enum codec codec); /* "none", "gzip", ... */

enum {
	BATCH_ATTR_CODEC = 0x07,
	BATCH_ATTR_LOG_APPEND_TIME = 0x08,
	BATCH_ATTR_TRANSACTIONAL = 0x10,
	BATCH_ATTR_CONTROL = 0x20,
	BATCH_ATTR_DELETE_HORIZON = 0x40
};

/* --- batches -------------------------------------------------------------- */

/* A batch's header, decoded. For magic 0 and 1 (one message or one wrapper) the
 * fields that do not exist hold -1 and base offset == last offset. */
struct batch {
	struct slice bytes; /* the whole batch; short when `partial` */
	int64_t base_offset;
	int64_t last_offset;
	int64_t base_timestamp_ms;
	int64_t max_timestamp_ms;
	int64_t producer_id;
	int32_t size; /* whole, with the 12 bytes of overhead */
	int32_t leader_epoch;
	uint32_t crc;
	int32_t last_offset_delta;
	int32_t base_sequence;
	int32_t record_count;
	int16_t attributes;
	int16_t producer_epoch;
	int8_t magic;
};

enum batch_walk {
	BATCH_OK,
	BATCH_END,     /* no bytes left */
	/* Fewer bytes than it declares: legal at the end of a fetch. */
	BATCH_PARTIAL,
	/* Declared size < 14, or magic not 0..2, or < 61 of magic 2. */
	BATCH_CORRUPT
};
/* Decodes the batch at the start of *bytes and moves behind it. */
enum batch_walk batch_next(struct slice *bytes, struct batch *out);
/* Decodes a header of which only the first BATCH_HEADER_SIZE bytes are
 * there. */
enum batch_walk batch_peek(struct slice head, struct batch *out);

static inline enum codec
batch_codec(const struct batch *batch)
{
	return ((enum codec)(batch->attributes & BATCH_ATTR_CODEC));
}
/* Wraps to 0 after INT32_MAX; -1 where there is no sequence. */
int32_t batch_last_sequence(const struct batch *batch);
/* The sequence `count` after `sequence`, with the same wrap. */
int32_t batch_sequence_after(int32_t sequence, int32_t count);
bool batch_crc_good(const struct batch *batch);

/* In place, in a batch of magic 2 that is ours to change: offsets and epoch. */
void batch_set_base_offset(uint8_t *batch, int64_t base_offset);
void batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch);
/* Attributes' timestamp type and max timestamp; the CRC is made anew. */
void batch_set_max_timestamp(uint8_t *batch, bool log_append_time,
    int64_t max_timestamp_ms);

/* --- records -------------------------------------------------------------- */

struct record_header {
	struct slice key;
	struct slice value; /* may be null */
};
struct record {
	int64_t offset;
	int64_t timestamp_ms;
	struct slice key;   /* may be null */
	struct slice value; /* may be null */
	int32_t header_count;
	int32_t size; /* in its batch, with the length in front */
	struct slice headers; /* encoded; record_header_next() */
};

/*
 * Reads the records of one batch, of any magic and codec. Decompressed bytes
 * live in the reader until its end; at most `limit_bytes` of them.
 */
struct record_reader;
/* ERR_NONE, or ERR_CORRUPT_MESSAGE, ERR_UNSUPPORTED_COMPRESSION_TYPE,
 * ERR_MESSAGE_TOO_LARGE (beyond the limit). */
enum error record_reader_new(const struct batch *batch, size_t limit_bytes,
    struct record_reader **out);
/* 1: a record; 0: the end, all was well; -1: bytes that are no record,
 * left-over bytes, or too few records. Slices live as long as the reader. */
int record_reader_next(struct record_reader *reader, struct record *out);
void record_reader_free(struct record_reader **reader);
/* Of the decompressed bytes that live in it; 0: there are none. */
size_t record_reader_unpacked(const struct record_reader *reader);
/* Same results; over the headers of one record. */
int record_header_next(struct slice *headers, struct record_header *out);

/* --- writing -------------------------------------------------------------- */

/* Builds one batch of magic 2: for tools, tests, internal topics. */
struct batch_builder {
	struct buffer records;
	enum codec codec;
	int codec_level; /* INT_MIN: the codec's default */
	int16_t attributes; /* beyond the codec */
	int64_t base_offset;
	int64_t base_timestamp_ms;
	int64_t max_timestamp_ms;
	int64_t producer_id;
	int32_t leader_epoch;
	int32_t base_sequence;
	int32_t count;
	int32_t last_offset_delta; /* -1: of the last record that was added */
	int16_t producer_epoch;
	bool base_fixed; /* base_timestamp_ms is not that of the first record */
};
void batch_builder_init(struct batch_builder *builder, int64_t base_offset,
    enum codec codec);
void batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms,
    struct slice key, struct slice value,
    const struct record_header *headers, size_t header_count);
/* Appends the finished batch to `out`; the builder is empty again. */
enum error batch_builder_finish(struct batch_builder *builder,
    struct buffer *out);
void batch_builder_fini(struct batch_builder *builder);

/* --- compaction ----------------------------------------------------------- */

/*
 * Which records of a batch stay.  `keep` is asked once for each, in order; its
 * slices live until it returns.
 */
struct record_filter {
	bool (*keep)(void *arg, const struct record *record);
	void *arg;
	/* Of a batch without a record that stays, its header is kept, as an
	 * empty batch: it is its producer's last one. Magic 2. */
	bool keep_empty;
	/* Likewise, of nobody and no time: its place and leader epoch alone
	 * are told. */
	bool keep_place;
	/* A marker of a transaction of which no data is left: like a tombstone,
	 * it gets a delete horizon (KIP-534). */
	bool marker_is_last;
	/* That of tombstones which have none yet. */
	int64_t delete_horizon_ms;
	size_t limit_bytes; /* unpacked */
	struct buffer marks; /* room of our own; buffer_fini() */
};
struct record_filtered {
	size_t size;         /* that was added; 0: nothing is left */
	int32_t read_count;
	int32_t kept_count;
	int64_t max_timestamp_ms; /* of what is left */
};
/*
 * Adds what is left of a batch to `out`: the batch as it is where all of it
 * stays and no tombstone wants a horizon, else one made anew in its codec, with
 * its offsets, its producer, its epoch.  Of magic 0 and 1 too. Errors are those
 * of record_reader_new(), and ERR_CORRUPT_MESSAGE; then `out` is as it was.
 */
enum error record_filter_batch(struct record_filter *filter,
    const struct batch *batch, struct buffer *out,
    struct record_filtered *result);
/* When the tombstones of a batch may go; false: nothing says so yet. */
bool batch_delete_horizon(const struct batch *batch, int64_t *horizon_ms);
/* What a control batch says. */
enum batch_marker { BATCH_MARKER_ABORT, BATCH_MARKER_COMMIT,
	BATCH_MARKER_OTHER, BATCH_MARKER_EMPTY };
enum batch_marker batch_marker(const struct batch *batch);

/* --- for old consumers ---------------------------------------------------- */

/*
 * One stored batch as messages of magic 0 or 1 (Fetch up to version 3),
 * appended to `out`: compressed in one wrapper, in its codec, at its default
 * level; plain ones below first_offset are left out. Headers go, and so do
 * control batches. A batch of that magic or an older one stays as it is.
 * *count: records that were converted.
 * ERR_UNSUPPORTED_COMPRESSION_TYPE: zstd, which they could not say.
 * ERR_CORRUPT_MESSAGE, ERR_MESSAGE_TOO_LARGE (beyond limit_bytes, unpacked or
 * made), ERR_UNKNOWN_SERVER_ERROR (a time or an order of offsets that no such
 * message has). With an error `out` is as it was.
 */
enum error record_down_convert(const struct batch *batch, int8_t magic,
    int64_t first_offset, size_t limit_bytes, struct buffer *out,
    int32_t *count);

/* --- what a producer sent ------------------------------------------------- */

struct record_scratch;

/* The rules that hold for one partition; plain values, no options struct. */
struct record_rules {
	int32_t max_message_bytes;
	int32_t segment_bytes;
	bool compacted;        /* keys are required */
	bool log_append_time;
	int64_t timestamp_before_max_ms;
	int64_t timestamp_after_max_ms;
	int64_t now_ms;
	size_t decompressed_limit_bytes; /* beyond: MESSAGE_TOO_LARGE */
	int api_version;       /* of the Produce */
	const char *topic;     /* for messages; may be NULL */
	int32_t partition;
	/* compression.type is not producer: what is stored is of this codec. */
	bool codec_fixed;
	enum codec codec;
	int codec_level;       /* INT_MIN: the codec's default */
	struct record_scratch *scratch; /* may be NULL: made for the call */
};

/* Contexts and window for decompression, to be used again by one thread (each
 * loop has its own). */
struct record_scratch *record_scratch_new(void);
void record_scratch_free(struct record_scratch **scratch);

struct record_fault {
	int32_t batch_index; /* of the record in its batch */
	const char *message;
};
/* What Kafka counts apart of what it refuses (LogValidator's metrics). */
enum record_flaw {
	RECORD_FLAW_OTHER,
	RECORD_FLAW_MAGIC,   /* messages of several */
	RECORD_FLAW_CRC,
	RECORD_FLAW_OFFSET,  /* or the count, the sequence */
	RECORD_FLAW_NO_KEY   /* on a compacted topic */
};

/* What was found. `faults` comes from the arena. */
struct record_verdict {
	enum batch_walk first;  /* what the bytes begin with: `batch` */
	enum batch_walk second; /* what comes behind it */
	enum error error;
	enum record_flaw flaw; /* with an error */
	const char *message; /* Produce v8's global message, or NULL */
	struct record_fault *faults;
	int32_t fault_count;
	struct batch batch;  /* the first one, if `first` says there is one */
	bool rebuild;        /* good, but the rules want another codec */
	int64_t max_timestamp_ms; /* as it will be stored */
	int32_t offset_of_max_timestamp; /* delta in the batch */
};

/*
 * Checks one partition's records of a Produce request, v3 and up (below: those
 * that begin with a batch of magic 2), in the order
 * of doc/records.md (LogValidator of 3.9): exactly one batch of magic 2.
 * Bytes behind it that are no whole batch are not to be appended.
 * Touches nothing: offsets and times are written by record_stamp().
 */
void record_validate(const struct record_rules *rules, struct slice bytes,
    struct arena *arena, struct record_verdict *out);
/* The same in two steps: the headers, which others want to see as well, then
 * all else, which may be asked again by other rules. */
void record_begin(struct slice bytes, struct record_verdict *out);
void record_check(const struct record_rules *rules, struct arena *arena,
    struct record_verdict *verdict);
/*
 * Checks what a Produce up to v2 may bring instead, a set of messages of magic
 * 0 or 1 of which the first is whole, and makes one batch of magic 2 of it,
 * alone in `out`, which is then stamped and appended.  Faults are not listed:
 * those versions cannot tell them.
 */
void record_convert(const struct record_rules *rules, struct slice bytes,
    struct buffer *out, struct record_verdict *verdict);
/*
 * Makes the batch that is to be stored of one that was validated and is to be
 * of another codec (`rebuild`), alone in `out`; the verdict is then of that
 * one.  Size and what a builder refuses are looked at again, as Kafka does.  In
 * memory for the time are at most decompressed_limit_bytes of plain records,
 * twice, beside the result.
 */
void record_rebuild(const struct record_rules *rules, struct buffer *out,
    struct record_verdict *verdict);
/* Writes offset, leader epoch and, where the topic asks, append time in place.
 * `bytes` are those that were validated, in a buffer that is ours. */
void record_stamp(const struct record_rules *rules,
    const struct record_verdict *verdict, uint8_t *bytes, int64_t base_offset,
    int32_t leader_epoch);

/* --- codecs --------------------------------------------------------------- */

/* Whole streams, in Kafka's framing (xerial for snappy, frames for lz4).
 * `limit_bytes` bounds what is written to `out` in this call. */
enum error codec_decompress(enum codec codec, int8_t magic,
    struct slice compressed, size_t limit_bytes, struct buffer *out);
enum error codec_compress(enum codec codec, int level, struct slice plain,
    struct buffer *out);

/* Varints of records: zigzag, base 128. False: too long or out of bytes. */
bool record_read_varint(struct slice *bytes, int32_t *out);
bool record_read_varlong(struct slice *bytes, int64_t *out);
void record_write_varlong(struct buffer *out, int64_t value);

#endif
