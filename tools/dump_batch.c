/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas dump-log of .log files: a line a batch, and with --deep-iteration a
 * line a record, in the words of kafka-dump-log.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "storage/walk.h"
#include "tools/dump.h"
#include "tools/progress.h"

/* One batch, decompressed. */
#define DECOMPRESSED_BYTES_MAX ((size_t)1 << 30)
/* Of a file; the others are counted. */
#define GAPS_SAID_MAX ((size_t)10000)

enum { CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };

/* A file being dumped. */
struct log_dump {
	struct dump *dump;
	const char *path;
	int64_t last_offset; /* of the record before; -1: none */
	size_t gaps;
};

static const char *
timestamp_type(const struct batch *batch)
{
	if (batch->magic == 0)
		return ("NoTimestampType");
	return ((batch->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0
		? "LogAppendTime"
		: "CreateTime");
}

static const char *
truth(bool value)
{
	return (value ? "true" : "false");
}

static bool
is_control(const struct batch *batch)
{
	return (batch->magic >= 2 &&
	    (batch->attributes & BATCH_ATTR_CONTROL) != 0);
}

/* --- a batch -------------------------------------------------------------- */

static void
put_batch_head(struct buffer *out, const struct batch *batch)
{
	buffer_printf(out,
	    "baseOffset: %" PRId64 " lastOffset: %" PRId64 " count: %d "
	    "baseSequence: %d lastSequence: %d producerId: %" PRId64
	    " producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %s "
	    "isControl: %s deleteHorizonMs: ",
	    batch->base_offset, batch->last_offset, batch->record_count,
	    batch->base_sequence, batch_last_sequence(batch),
	    batch->producer_id, batch->producer_epoch, batch->leader_epoch,
	    truth((batch->attributes & BATCH_ATTR_TRANSACTIONAL) != 0),
	    truth(is_control(batch)));
	if ((batch->attributes & BATCH_ATTR_DELETE_HORIZON) != 0)
		buffer_printf(out, "OptionalLong[%" PRId64 "]",
		    batch->base_timestamp_ms);
	else
		buffer_append_text(out, "OptionalLong.empty");
}

static void
put_batch(struct buffer *out, const struct batch *batch, int64_t position,
    bool valid)
{
	if (batch->magic >= 2)
		put_batch_head(out, batch);
	else
		buffer_printf(out, "offset: %" PRId64, batch->last_offset);
	buffer_printf(out,
	    " position: %" PRId64 " %s: %" PRId64 " size: %d magic: %d "
	    "compresscodec: %s crc: %" PRIu32 " isvalid: %s\n",
	    position, timestamp_type(batch), batch->max_timestamp_ms,
	    batch->size, batch->magic, codec_name(batch_codec(batch)),
	    batch->crc, truth(valid));
}

static void
json_batch(struct json_out *json, const struct batch *batch,
    int64_t position, bool valid)
{
	json_int(json, "baseOffset", batch->base_offset);
	json_int(json, "lastOffset", batch->last_offset);
	if (batch->magic >= 2) {
		json_int(json, "count", batch->record_count);
		json_int(json, "baseSequence", batch->base_sequence);
		json_int(json, "lastSequence", batch_last_sequence(batch));
		json_int(json, "producerId", batch->producer_id);
		json_int(json, "producerEpoch", batch->producer_epoch);
		json_int(json, "partitionLeaderEpoch", batch->leader_epoch);
		json_bool(json, "isTransactional",
		    (batch->attributes & BATCH_ATTR_TRANSACTIONAL) != 0);
		json_bool(json, "isControl", is_control(batch));
		if ((batch->attributes & BATCH_ATTR_DELETE_HORIZON) != 0)
			json_int(json, "deleteHorizonMs",
			    batch->base_timestamp_ms);
	}
	json_int(json, "position", position);
	json_text(json, "timestampType",
	    slice_of_text(timestamp_type(batch)));
	json_int(json, "timestamp", batch->max_timestamp_ms);
	json_int(json, "size", batch->size);
	json_int(json, "magic", batch->magic);
	json_text(json, "codec",
	    slice_of_text(codec_name(batch_codec(batch))));
	json_int(json, "crc", batch->crc);
	json_bool(json, "isValid", valid);
}

/* --- a record ------------------------------------------------------------- */

static int64_t
size_of(struct slice slice)
{
	return (slice.data == NULL ? -1 : (int64_t)slice.length);
}

static void
put_header_keys(struct buffer *out, const struct record *record)
{
	struct slice rest = record->headers;
	struct record_header header;
	const char *separator = "";

	buffer_append_text(out, " headerKeys: [");
	while (record_header_next(&rest, &header) == 1) {
		buffer_append_text(out, separator);
		buffer_append_slice(out, header.key);
		separator = ",";
	}
	buffer_append_text(out, "]");
}

/* Key {int16 version, int16 type}; value {int16 version, int32 epoch}. */
static void
put_marker(struct buffer *out, const struct record *record)
{
	const int type = record->key.length < 4
	    ? -1
	    : bytes_get_i16(record->key.data + 2);

	if ((type != CONTROL_ABORT && type != CONTROL_COMMIT) ||
	    record->value.length < 6)
		buffer_printf(out, " controlType: UNKNOWN(%d)", type);
	else
		buffer_printf(out,
		    " endTxnMarker: %s coordinatorEpoch: %d",
		    type == CONTROL_ABORT ? "ABORT" : "COMMIT",
		    bytes_get_i32(record->value.data + 2));
}

static int32_t
sequence_of(const struct batch *batch, const struct record *record)
{
	return (batch->base_sequence < 0
		? -1
		: batch_sequence_after(batch->base_sequence,
		      (int32_t)(record->offset - batch->base_offset)));
}

static void
put_record_metadata(struct buffer *out, const struct batch *batch,
    const struct record *record)
{
	buffer_printf(out,
	    "| offset: %" PRId64 " %s: %" PRId64 " keySize: %" PRId64
	    " valueSize: %" PRId64,
	    record->offset, timestamp_type(batch), record->timestamp_ms,
	    size_of(record->key), size_of(record->value));
	if (batch->magic >= 2) {
		buffer_printf(out, " sequence: %d",
		    sequence_of(batch, record));
		put_header_keys(out, record);
	} else if (batch_codec(batch) == CODEC_NONE) {
		/* The brace is Kafka's. */
		buffer_printf(out, " isValid: %s crc: %" PRIu32 "}",
		    truth(batch_crc_good(batch)), batch->crc);
	}
	if (is_control(batch))
		put_marker(out, record);
}

static void
put_record(const struct dump *dump, struct buffer *out,
    const struct batch *batch, const struct record *record)
{
	const char *prefix = "| ";

	if (!dump->skip_metadata) {
		put_record_metadata(out, batch, record);
		prefix = " ";
	}
	if (dump->print_data && !is_control(batch)) {
		if (record->key.data != NULL) {
			buffer_printf(out, "%skey: ", prefix);
			buffer_append_slice(out, record->key);
		}
		if (record->value.data != NULL) {
			buffer_append_text(out, " payload: ");
			buffer_append_slice(out, record->value);
		}
	}
	buffer_append_text(out, "\n");
}

static void
json_headers(struct json_out *json, const struct record *record)
{
	struct slice rest = record->headers;
	struct record_header header;

	json_open(json, "headers", '[');
	while (record_header_next(&rest, &header) == 1) {
		json_open(json, NULL, '{');
		json_text(json, "key", header.key);
		json_text(json, "value", header.value);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void
json_record(const struct dump *dump, struct json_out *json,
    const struct batch *batch, const struct record *record)
{
	json_open(json, NULL, '{');
	if (!dump->skip_metadata) {
		json_int(json, "offset", record->offset);
		json_int(json, "timestamp", record->timestamp_ms);
		json_int(json, "keySize", size_of(record->key));
		json_int(json, "valueSize", size_of(record->value));
		if (batch->magic >= 2) {
			json_int(json, "sequence",
			    sequence_of(batch, record));
			json_headers(json, record);
		}
	}
	if (is_control(batch) && record->key.length >= 4)
		json_int(json, "controlType",
		    bytes_get_i16(record->key.data + 2));
	if (dump->print_data && !is_control(batch)) {
		json_text(json, "key", record->key);
		json_text(json, "value", record->value);
	}
	json_close(json, '}');
}

/* --- the file ------------------------------------------------------------- */

static void
note_order(struct log_dump *d, const struct record *record)
{
	struct buffer *out = &d->dump->gaps;

	if (d->last_offset != -1 && record->offset != d->last_offset + 1) {
		if (d->gaps == 0)
			buffer_printf(out, "Non-consecutive offsets in %s\n",
			    d->path);
		if (d->gaps++ < GAPS_SAID_MAX)
			buffer_printf(out,
			    "  %" PRId64 " is followed by %" PRId64 "\n",
			    d->last_offset, record->offset);
	}
	d->last_offset = record->offset;
}

static void
note_gaps_left(const struct log_dump *d)
{
	if (d->gaps > GAPS_SAID_MAX)
		buffer_printf(&d->dump->gaps, "  and %zu more\n",
		    d->gaps - GAPS_SAID_MAX);
}

static bool
dump_records(struct log_dump *d, const struct batch *batch,
    struct json_out *json)
{
	struct record_reader *reader = NULL;
	struct record record;
	const enum error error =
	    record_reader_new(batch, DECOMPRESSED_BYTES_MAX, &reader);
	int found;

	if (error != ERR_NONE)
		return (dump_refused(d->dump, d->path, error_name(error)));
	while ((found = record_reader_next(reader, &record)) == 1) {
		note_order(d, &record);
		if (json != NULL)
			json_record(d->dump, json, batch, &record);
		else
			put_record(d->dump, &d->dump->out, batch, &record);
	}
	record_reader_free(&reader);
	if (found < 0)
		return (dump_refused(d->dump, d->path,
		    "bytes in a batch that are no records"));
	return (true);
}

static void
dump_batch(struct log_dump *d, const struct batch *batch, int64_t position)
{
	struct dump *dump = d->dump;
	const bool valid = batch_crc_good(batch);
	struct json_out json;

	if (!valid)
		dump->failed = true;
	if (!dump->json) {
		put_batch(&dump->out, batch, position, valid);
		if (dump->deep)
			dump_records(d, batch, NULL);
	} else {
		dump_json_begin(dump, &json, d->path, "batch");
		json_batch(&json, batch, position, valid);
		if (dump->deep) {
			json_open(&json, "records", '[');
			dump_records(d, batch, &json);
			json_close(&json, ']');
		}
		json_close(&json, '}');
		json_end(&json);
	}
	dump_flush(dump);
}

/* Answers how far batches reach, -1: the file would not be read. */
static int64_t
dump_batches(struct log_dump *d, int descriptor, int64_t end)
{
	struct progress progress;
	struct walk walk;
	struct batch batch;
	enum walk_found found;
	int64_t position = 0;
	int64_t reached = 0;

	progress_begin(&progress, d->dump->tool, "bytes of the log",
	    (uint64_t)end);
	progress.quiet = d->dump->tool->out_terminal;
	walk_init(&walk, d->dump->files, descriptor, 0, end, false);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH) {
		if (!walk_load(&walk, &batch, position)) {
			found = WALK_ERROR;
			break;
		}
		dump_batch(d, &batch, position);
		reached = position + batch.size;
		progress_step(&progress, (uint64_t)reached);
	}
	progress_end(&progress, (uint64_t)reached);
	if (found == WALK_ERROR) {
		dump_refused(d->dump, d->path, strerror(errno));
		reached = -1;
	} else if (found == WALK_CORRUPT) {
		dump_refused(d->dump, d->path, "what follows is no batch");
	}
	walk_fini(&walk);
	return (reached);
}

static void
dump_trailing(struct log_dump *d, int64_t count)
{
	const char *slash = strrchr(d->path, '/');
	struct json_out json;

	if (count <= 0)
		return;
	if (d->dump->json) {
		dump_json_begin(d->dump, &json, d->path, "end");
		json_int(&json, "invalidBytes", count);
		json_close(&json, '}');
		json_end(&json);
		return;
	}
	buffer_printf(&d->dump->out,
	    "Found %" PRId64 " invalid bytes at the end of %s\n", count,
	    slash != NULL ? slash + 1 : d->path);
}

bool
dump_log_file(struct dump *dump, const char *path)
{
	const struct files_ops *ops = dump->files->ops;
	struct log_dump d = { .dump = dump, .path = path, .last_offset = -1 };
	struct file_info info;
	int64_t base_offset, end, reached;
	int descriptor;

	if (!dump_base_offset(dump, path, &base_offset))
		return (false);
	descriptor = ops->open(dump->files, path, O_RDONLY, 0);
	if (descriptor < 0 ||
	    ops->fstat(dump->files, descriptor, &info) != 0) {
		dump_refused(dump, path, strerror(errno));
		if (descriptor >= 0)
			ops->close(dump->files, descriptor);
		return (false);
	}
	if (!dump->json)
		buffer_printf(&dump->out,
		    "Log starting offset: %" PRId64 "\n", base_offset);
	end = info.size_bytes < dump->bytes_max ? info.size_bytes
						: dump->bytes_max;
	reached = dump_batches(&d, descriptor, end);
	note_gaps_left(&d);
	if (reached >= 0 && dump->bytes_max == INT32_MAX)
		dump_trailing(&d, info.size_bytes - reached);
	ops->close(dump->files, descriptor);
	return (reached >= 0);
}
