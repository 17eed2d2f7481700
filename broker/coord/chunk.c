/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of a log.  The worker reads, sums and unpacks; the loop takes record
 * after record out of what is left.  All of it is foreign: a disk may have
 * damaged it, and clients of administrators may write to internal topics.
 */
#include "coord/coord_int.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "storage/storage.h"

/* Unpacked bytes of one chunk, unless its first batch has more. */
#define CHUNK_UNPACKED_MAX ((size_t)32 << 20)
/* A chunk's buffer that is larger is not kept for the next one. */
#define CHUNK_SLACK 2
/* Damages of one chunk that are said one by one. */
#define SAID_OF_CHUNK 8

static void chunk_walk(struct coord_chunk *chunk, int64_t end);

/* --- on a worker ---------------------------------------------------------- */

static enum error
chunk_read_extent(struct coord_chunk *chunk, const struct extent *extent)
{
	struct blob *blob = extent->blob;
	size_t have = 0;

	buffer_reserve(&chunk->bytes, extent->length);
	while (have < extent->length) {
		ssize_t got = blob->ops->read_at(blob, chunk->bytes.data + have,
		    extent->length - have, extent->position + (int64_t)have);

		if (got <= 0)
			return (ERR_KAFKA_STORAGE_ERROR);
		have += (size_t)got;
	}
	chunk->bytes.length = have;
	return (ERR_NONE);
}

static size_t
chunk_bytes(const struct coord_chunk *chunk)
{
	const size_t bytes = chunk->coord->setup.load_bytes;

	return (bytes < CHUNK_BYTES_MAX ? bytes : CHUNK_BYTES_MAX);
}

static void
chunk_read_log(struct coord_chunk *chunk, struct log *log)
{
	const int64_t start = log_start_offset(log);
	const int64_t end = log_end_offset(log);
	struct log_read read;

	chunk->log_end = end;
	if (chunk->from < start)
		chunk->from = start;
	chunk->error = ERR_NONE;
	chunk->next = chunk->from;
	chunk->end = chunk->from >= end;
	if (chunk->end)
		return;
	chunk->error = log_read(log, chunk->from, end, chunk_bytes(chunk),
	    true, &read);
	if (chunk->error != ERR_NONE)
		return;
	chunk->end = read.extent.blob == NULL;
	if (chunk->end)
		return;
	chunk->error = chunk_read_extent(chunk, &read.extent);
	blob_unref(read.extent.blob);
	if (chunk->error == ERR_NONE)
		chunk_walk(chunk, end);
}

void
chunk_read(struct coord_chunk *chunk)
{
	const struct coord_setup *setup = &chunk->coord->setup;
	struct replica *replica = replicas_find(setup->replicas,
	    slice_of_text(setup->topic), chunk->partition);
	struct log *log = replica == NULL ? NULL : replica_log(replica);
	enum error error;

	chunk_clear(chunk);
	chunk->error = ERR_KAFKA_STORAGE_ERROR;
	chunk->log_end = -1;
	if (log != NULL)
		chunk_read_log(chunk, log);
	error = chunk->error;
	if (error != ERR_NONE)
		chunk_clear(chunk);
	chunk->error = error;
	if (replica != NULL)
		replica_unref(replica);
	chunk->rest = buffer_slice(&chunk->bytes);
}

static void
chunk_say_damage(struct coord_chunk *chunk, int64_t base_offset,
    const char *what)
{
	const struct coord_setup *setup = &chunk->coord->setup;

	if (chunk->damaged++ >= SAID_OF_CHUNK)
		return;
	diag_error(setup->diag, coord, "partition=%s/%d offset=%" PRId64
	    " %s: what is in it from there on is left out of the %s "
	    "coordinator's state", setup->topic, (int)chunk->partition,
	    base_offset, what, setup->ops->name);
}

static void
chunk_keep_reader(struct coord_chunk *chunk, struct record_reader *reader)
{
	if (chunk->reader_count == chunk->reader_capacity) {
		chunk->reader_capacity = chunk->reader_capacity == 0 ? 16 :
		    2 * chunk->reader_capacity;
		chunk->readers = mem_realloc(chunk->readers,
		    chunk->reader_capacity * sizeof(struct record_reader *));
	}
	chunk->readers[chunk->reader_count++] = reader;
}

/* Whether it can be replayed. */
static bool
chunk_take_batch(struct coord_chunk *chunk, const struct batch *batch,
    size_t *unpacked)
{
	struct record_reader *reader;
	enum error error;

	if (!batch_crc_good(batch)) {
		chunk_say_damage(chunk, batch->base_offset,
		    "batch whose checksum is wrong");
		return (false);
	}
	if (batch_codec(batch) == CODEC_NONE)
		return (true);
	error = record_reader_new(batch, BATCH_UNPACKED_MAX, &reader);
	if (error != ERR_NONE) {
		chunk_say_damage(chunk, batch->base_offset,
		    "batch that cannot be unpacked");
		return (false);
	}
	*unpacked += record_reader_unpacked(reader);
	chunk_keep_reader(chunk, reader);
	return (true);
}

/* Good batches are moved together.  No batch at all: the read is at fault.  The
 * sum covers no batch's base offset: one beyond the end is no batch. */
static void
chunk_walk(struct coord_chunk *chunk, int64_t end)
{
	struct slice rest = buffer_slice(&chunk->bytes);
	uint8_t *to = chunk->bytes.data;
	size_t unpacked = 0;
	struct batch batch;

	while (unpacked < CHUNK_UNPACKED_MAX &&
	    batch_next(&rest, &batch) == BATCH_OK && batch.last_offset < end) {
		if (batch.last_offset < chunk->next) {
			if (batch.last_offset >= chunk->from)
				chunk_say_damage(chunk, batch.base_offset,
				    "batch out of order");
			continue;
		}
		chunk->next = batch.last_offset + 1;
		if (!chunk_take_batch(chunk, &batch, &unpacked))
			continue;
		if (to != batch.bytes.data)
			memmove(to, batch.bytes.data, batch.bytes.length);
		to += batch.bytes.length;
	}
	chunk->bytes.length = (size_t)(to - chunk->bytes.data);
	if (chunk->next == chunk->from)
		chunk->error = ERR_CORRUPT_MESSAGE;
}

/* --- on the loop ---------------------------------------------------------- */

/* Key of a control batch's only record: version, type; both int16. */
static bool
marker_of(const struct record *record, bool *commit)
{
	enum { MARKER_KEY_SIZE = 4, MARKER_ABORT = 0, MARKER_COMMIT = 1 };
	int16_t type;

	if (record->key.data == NULL || record->key.length < MARKER_KEY_SIZE)
		return (false);
	type = bytes_get_i16(record->key.data + sizeof(int16_t));
	*commit = type == MARKER_COMMIT;
	return (type == MARKER_COMMIT || type == MARKER_ABORT);
}

static void
chunk_end_batch(struct coord_chunk *chunk)
{
	if (batch_codec(&chunk->batch) == CODEC_NONE)
		record_reader_free(&chunk->reader);
	else
		record_reader_free(&chunk->readers[chunk->reader_next - 1]);
	chunk->reader = NULL;
}

/* False: there is no further one. */
static bool
chunk_begin_batch(struct coord_chunk *chunk)
{
	while (batch_next(&chunk->rest, &chunk->batch) == BATCH_OK) {
		if (batch_codec(&chunk->batch) != CODEC_NONE) {
			chunk->reader = chunk->readers[chunk->reader_next++];
			return (true);
		}
		if (record_reader_new(&chunk->batch, BATCH_UNPACKED_MAX,
			&chunk->reader) == ERR_NONE)
			return (true);
		chunk_say_damage(chunk, chunk->batch.base_offset,
		    "batch that cannot be read");
	}
	return (false);
}

/* CHUNK_END: it is passed over. */
static enum chunk_item
chunk_take_record(struct coord_chunk *chunk, const struct record *record,
    struct coord_record *out, bool *commit)
{
	const struct batch *batch = &chunk->batch;

	*out = (struct coord_record){
		.offset = record->offset,
		.timestamp_ms = record->timestamp_ms,
		.producer_id = batch->producer_id,
		.producer_epoch = batch->producer_epoch,
		.transactional = (batch->attributes &
		    BATCH_ATTR_TRANSACTIONAL) != 0,
		.loading = true,
		.key = record->key,
		.value = record->value,
	};
	if ((batch->attributes & BATCH_ATTR_CONTROL) != 0)
		return (marker_of(record, commit) ? CHUNK_MARKER : CHUNK_END);
	if (record->key.data == NULL) {
		chunk_say_damage(chunk, record->offset, "record without a key");
		return (CHUNK_END);
	}
	return (CHUNK_RECORD);
}

enum chunk_item
chunk_next(struct coord_chunk *chunk, struct coord_record *out, bool *commit)
{
	for (;;) {
		struct record record;
		enum chunk_item item;
		int found;

		if (chunk->reader == NULL && !chunk_begin_batch(chunk))
			return (CHUNK_END);
		found = record_reader_next(chunk->reader, &record);
		if (found <= 0) {
			if (found < 0)
				chunk_say_damage(chunk,
				    chunk->batch.base_offset,
				    "batch with bytes that are no record");
			chunk_end_batch(chunk);
			continue;
		}
		if (record.offset < chunk->from)
			continue;
		item = chunk_take_record(chunk, &record, out, commit);
		if (item != CHUNK_END)
			return (item);
	}
}

/* --- both ----------------------------------------------------------------- */

void
chunk_clear(struct coord_chunk *chunk)
{
	if (chunk->reader != NULL)
		chunk_end_batch(chunk);
	for (size_t i = 0; i < chunk->reader_count; i++)
		record_reader_free(&chunk->readers[i]);
	chunk->reader_count = chunk->reader_next = 0;
	chunk->damaged = 0;
	chunk->bytes.length = 0;
	chunk->rest = SLICE_EMPTY;
	chunk->error = ERR_NONE;
	chunk->end = false;
	if (chunk->bytes.capacity / CHUNK_SLACK > chunk_bytes(chunk))
		buffer_fini(&chunk->bytes);
}

void
chunk_fini(struct coord_chunk *chunk)
{
	chunk_clear(chunk);
	buffer_fini(&chunk->bytes);
	mem_free(chunk->readers);
}
