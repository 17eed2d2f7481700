/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/producers.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEAD 10
#define SNAPSHOT_ENTRY 46
#define SNAPSHOT_CRC_FROM 6

enum { MARKER_ABORT = 0, MARKER_COMMIT = 1 };

static struct producer *
producers_find(const struct producers *producers, int64_t id)
{
	return ((struct producer *)(void *)hash_find(&producers->by_id, &id,
	    sizeof(id)));
}

static struct producer *
producers_take(struct producers *producers, int64_t id)
{
	struct producer *producer = producers_find(producers, id);

	if (producer != NULL)
		return (producer);
	producer = mem_zalloc(sizeof(*producer));
	producer->id = id;
	producer->epoch = -1;
	producer->coordinator_epoch = -1;
	producer->txn_first_offset = -1;
	producer->last_timestamp_ms = -1;
	hash_insert(&producers->by_id, &producer->node, &producer->id,
	    sizeof(producer->id));
	return (producer);
}

void
producers_clear(struct producers *producers)
{
	HASH_EACH(node, &producers->by_id) {
		hash_remove(&producers->by_id, node);
		mem_free(node);
	}
	producers->oldest = producers->newest = NULL;
	producers->ended_count = 0;
}

void
producers_fini(struct producers *producers)
{
	producers_clear(producers);
	hash_clear(&producers->by_id);
	mem_free(producers->ended);
	producers->ended = NULL;
	producers->ended_capacity = 0;
}

/* --- transactions --------------------------------------------------------- */

/* Behind all that are open: offsets only go up. */
static void
txn_begin(struct producers *producers, struct producer *producer,
    int64_t first_offset)
{
	producer->txn_first_offset = first_offset;
	producer->newer = NULL;
	producer->older = producers->newest;
	if (producers->newest != NULL)
		producers->newest->newer = producer;
	else
		producers->oldest = producer;
	producers->newest = producer;
}

static void
txn_end(struct producers *producers, struct producer *producer)
{
	if (producer->txn_first_offset < 0)
		return;
	if (producer->older != NULL)
		producer->older->newer = producer->newer;
	else
		producers->oldest = producer->newer;
	if (producer->newer != NULL)
		producer->newer->older = producer->older;
	else
		producers->newest = producer->older;
	producer->older = producer->newer = NULL;
	producer->txn_first_offset = -1;
}

static void
txn_note_ended(struct producers *producers,
    const struct producers_ended *ended)
{
	if (producers->ended_count == producers->ended_capacity) {
		producers->ended_capacity = producers->ended_capacity * 2 + 4;
		producers->ended = mem_realloc(producers->ended,
		    producers->ended_capacity * sizeof(*producers->ended));
	}
	producers->ended[producers->ended_count++] = *ended;
}

void
producers_settle(struct producers *producers, int64_t high_watermark)
{
	size_t final = 0;

	while (final < producers->ended_count &&
	    producers->ended[final].last_offset < high_watermark)
		final++;
	if (final == 0)
		return;
	producers->ended_count -= final;
	memmove(producers->ended, producers->ended + final,
	    producers->ended_count * sizeof(*producers->ended));
}

int64_t
producers_first_unstable(const struct producers *producers)
{
	int64_t first = producers->oldest == NULL ? INT64_MAX :
	    producers->oldest->txn_first_offset;

	for (size_t i = 0; i < producers->ended_count; i++)
		if (producers->ended[i].first_offset < first)
			first = producers->ended[i].first_offset;
	return (first);
}

/* --- batches -------------------------------------------------------------- */

static int32_t
batch_first_sequence(const struct producer_batch *batch)
{
	int64_t first = (int64_t)batch->last_sequence - batch->offset_delta;

	return ((int32_t)(first < 0 ? first + INT32_MAX + 1 : first));
}

enum error
producers_check(const struct producers *producers, const struct batch *batch,
    struct producer_batch *duplicate, bool *is)
{
	const struct producer *producer = producers_find(producers,
	    batch->producer_id);
	int32_t last_sequence;

	*is = false;
	if (producer == NULL)
		return (batch->producer_epoch < -1 ?
			ERR_INVALID_PRODUCER_EPOCH : ERR_NONE);
	for (int i = 0; producer->epoch == batch->producer_epoch &&
	     i < producer->batch_count; i++) {
		const struct producer_batch *known = &producer->batches[i];

		if (batch_first_sequence(known) != batch->base_sequence ||
		    known->last_sequence != batch_last_sequence(batch))
			continue;
		*duplicate = *known;
		*is = true;
		return (ERR_NONE);
	}
	/* Nothing of its batches is known: any sequence will do. */
	if (producer->epoch == -1)
		return (ERR_NONE);
	if (batch->producer_epoch < producer->epoch)
		return (ERR_INVALID_PRODUCER_EPOCH);
	if (batch->producer_epoch != producer->epoch) {
		if (batch->base_sequence != 0)
			return (ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	} else {
		last_sequence = producer->batch_count == 0
		    ? -1
		    : producer->batches[producer->batch_count - 1]
			  .last_sequence;
		if (batch->base_sequence !=
		    batch_sequence_after(last_sequence, 1))
			return (ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	}
	if (producer->txn_first_offset >= 0 &&
	    (batch->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
		return (ERR_INVALID_TXN_STATE);
	return (ERR_NONE);
}

void
producers_add_data(struct producers *producers, const struct batch *batch)
{
	struct producer *producer;

	if (batch->last_offset + 1 > producers->end_offset)
		producers->end_offset = batch->last_offset + 1;
	if (batch->producer_id < 0)
		return;
	producer = producers_take(producers, batch->producer_id);
	if (producer->epoch != batch->producer_epoch) {
		producer->batch_count = 0;
		producer->epoch = batch->producer_epoch;
	}
	if (producer->batch_count == PRODUCER_BATCHES) {
		memmove(producer->batches, producer->batches + 1,
		    sizeof(producer->batches) - sizeof(producer->batches[0]));
		producer->batch_count--;
	}
	producer->batches[producer->batch_count++] = (struct producer_batch){
		.last_offset = batch->last_offset,
		.timestamp_ms = batch->max_timestamp_ms,
		.last_sequence = batch_last_sequence(batch),
		.offset_delta = batch->last_offset_delta,
	};
	producer->last_timestamp_ms = batch->max_timestamp_ms;
	if ((batch->attributes & BATCH_ATTR_TRANSACTIONAL) != 0 &&
	    producer->txn_first_offset < 0)
		txn_begin(producers, producer, batch->base_offset);
}

bool
producers_lack(const struct producers *producers, int64_t offset)
{
	HASH_EACH(node, &producers->by_id) {
		const struct producer *producer =
		    (const struct producer *)(const void *)node;

		if (producer->batch_count == 1 &&
		    producer->batches[0].last_offset >= offset)
			return (true);
	}
	return (false);
}

void
producers_complete(struct producers *producers, const struct producers *found)
{
	HASH_EACH(node, &producers->by_id) {
		struct producer *producer = (struct producer *)(void *)node;
		const struct producer *other = producers_find(found,
		    producer->id);
		const struct producer_batch *last;

		if (producer->batch_count != 1 || other == NULL ||
		    other->epoch != producer->epoch)
			continue;
		last = &other->batches[other->batch_count - 1];
		if (last->last_offset != producer->batches[0].last_offset ||
		    last->last_sequence != producer->batches[0].last_sequence)
			continue;
		memcpy(producer->batches, other->batches,
		    sizeof(producer->batches));
		producer->batch_count = other->batch_count;
	}
}

/* Key: int16 version, int16 type; value: int16 version, int32 epoch. */
static bool
marker_decode(const struct batch *batch, int *type, int32_t *coordinator_epoch,
    int64_t *timestamp_ms)
{
	struct record_reader *reader;
	struct record record;
	bool good = false;

	if (record_reader_new(batch, (size_t)1 << 20, &reader) != ERR_NONE)
		return (false);
	if (record_reader_next(reader, &record) == 1 &&
	    record.key.data != NULL && record.key.length >= 4 &&
	    record.value.data != NULL && record.value.length >= 6) {
		*type = bytes_get_i16(record.key.data + 2);
		*coordinator_epoch = bytes_get_i32(record.value.data + 2);
		*timestamp_ms = record.timestamp_ms;
		good = *type == MARKER_ABORT || *type == MARKER_COMMIT;
	}
	record_reader_free(&reader);
	return (good);
}

bool
producers_add_marker(struct producers *producers, const struct batch *batch,
    struct producers_ended *ended)
{
	struct producer *producer;
	int32_t coordinator_epoch;
	int64_t timestamp_ms;
	int type;

	*ended = (struct producers_ended){ .first_offset = -1 };
	if (batch->last_offset + 1 > producers->end_offset)
		producers->end_offset = batch->last_offset + 1;
	if (batch->producer_id < 0 || batch->record_count == 0 ||
	    !marker_decode(batch, &type, &coordinator_epoch, &timestamp_ms))
		return (false);
	producer = producers_take(producers, batch->producer_id);
	if (batch->producer_epoch > producer->epoch) {
		producer->batch_count = 0;
		producer->epoch = batch->producer_epoch;
	}
	producer->coordinator_epoch = coordinator_epoch;
	producer->last_timestamp_ms = timestamp_ms;
	ended->producer_id = batch->producer_id;
	ended->first_offset = producer->txn_first_offset;
	ended->last_offset = batch->base_offset;
	ended->aborted = type == MARKER_ABORT;
	txn_end(producers, producer);
	ended->stable_offset = producers->oldest != NULL ?
	    producers->oldest->txn_first_offset :
	    batch->base_offset + 1;
	if (ended->first_offset >= 0)
		txn_note_ended(producers, ended);
	return (true);
}

/* Foreign times may be far off: the difference may wrap, as it does in Java. */
static bool
producer_is_idle(int64_t last_timestamp_ms, int64_t now_ms,
    int64_t expiration_ms)
{
	return ((int64_t)((uint64_t)now_ms - (uint64_t)last_timestamp_ms) >=
	    expiration_ms);
}

size_t
producers_expire(struct producers *producers, int64_t now_ms,
    int64_t expiration_ms)
{
	size_t count = 0;

	HASH_EACH(node, &producers->by_id) {
		struct producer *producer = (struct producer *)(void *)node;

		if (producer->txn_first_offset >= 0 ||
		    !producer_is_idle(producer->last_timestamp_ms, now_ms,
			expiration_ms))
			continue;
		hash_remove(&producers->by_id, node);
		mem_free(producer);
		count++;
	}
	return (count);
}

/* --- as a file ------------------------------------------------------------ */

void
producers_encode(const struct producers *producers, struct buffer *out)
{
	size_t start = out->length;
	uint8_t *head;

	bytes_put_i16(buffer_extend(out, SNAPSHOT_HEAD), SNAPSHOT_VERSION);
	HASH_EACH(node, &producers->by_id) {
		const struct producer *producer =
		    (const struct producer *)(const void *)node;
		struct producer_batch last = { -1, -1, -1, 0 };
		uint8_t *at = buffer_extend(out, SNAPSHOT_ENTRY);

		if (producer->batch_count > 0)
			last = producer->batches[producer->batch_count - 1];
		bytes_put_i64(at, producer->id);
		bytes_put_i16(at + 8, producer->epoch);
		bytes_put_i32(at + 10, last.last_sequence);
		bytes_put_i64(at + 14, last.last_offset);
		bytes_put_i32(at + 22, last.offset_delta);
		bytes_put_i64(at + 26, producer->last_timestamp_ms);
		bytes_put_i32(at + 34, producer->coordinator_epoch);
		bytes_put_i64(at + 38, producer->txn_first_offset);
	}
	head = out->data + start;
	bytes_put_i32(head + 6, (int32_t)hash_count(&producers->by_id));
	bytes_put_u32(head + 2,
	    crc32c(0, head + SNAPSHOT_CRC_FROM,
		out->length - start - SNAPSHOT_CRC_FROM));
}

static int
txn_order(const void *a, const void *b)
{
	int64_t one = (*(struct producer *const *)a)->txn_first_offset;
	int64_t two = (*(struct producer *const *)b)->txn_first_offset;

	return ((one > two) - (one < two));
}

/* Entries come in any order. */
static void
producers_order_open(struct producers *producers)
{
	struct producer **open = mem_alloc(
	    (hash_count(&producers->by_id) + 1) * sizeof(*open));
	size_t count = 0;

	HASH_EACH(node, &producers->by_id) {
		struct producer *producer = (struct producer *)(void *)node;

		if (producer->txn_first_offset >= 0)
			open[count++] = producer;
	}
	if (count > 0)
		qsort(open, count, sizeof(struct producer *), txn_order);
	producers->oldest = producers->newest = NULL;
	for (size_t i = 0; i < count; i++)
		txn_begin(producers, open[i], open[i]->txn_first_offset);
	mem_free(open);
}

bool
producers_decode(struct producers *producers, struct slice bytes,
    int64_t now_ms, int64_t expiration_ms)
{
	const uint8_t *at = bytes.data;
	int32_t count;

	if (bytes.length < SNAPSHOT_HEAD ||
	    bytes_get_i16(at) != SNAPSHOT_VERSION ||
	    bytes_get_u32(at + 2) !=
		crc32c(0, at + SNAPSHOT_CRC_FROM,
		    bytes.length - SNAPSHOT_CRC_FROM))
		return (false);
	count = bytes_get_i32(at + 6);
	if (count < 0 || (size_t)count > (bytes.length - SNAPSHOT_HEAD) /
		    SNAPSHOT_ENTRY)
		return (false);
	at += SNAPSHOT_HEAD;
	for (; count > 0; count--, at += SNAPSHOT_ENTRY) {
		int64_t timestamp_ms = bytes_get_i64(at + 26);
		int64_t txn_first_offset = bytes_get_i64(at + 38);
		struct producer *producer;

		if (bytes_get_i64(at) < 0 ||
		    (txn_first_offset < 0 &&
			producer_is_idle(timestamp_ms, now_ms,
			    expiration_ms)))
			continue;
		producer = producers_take(producers, bytes_get_i64(at));
		producer->epoch = bytes_get_i16(at + 8);
		producer->last_timestamp_ms = timestamp_ms;
		producer->coordinator_epoch = bytes_get_i32(at + 34);
		producer->txn_first_offset = txn_first_offset < 0
		    ? -1
		    : txn_first_offset;
		producer->batch_count = 0;
		if (bytes_get_i64(at + 14) < 0)
			continue;
		producer->batch_count = 1;
		producer->batches[0] = (struct producer_batch){
			.last_offset = bytes_get_i64(at + 14),
			.timestamp_ms = timestamp_ms,
			.last_sequence = bytes_get_i32(at + 10),
			.offset_delta = bytes_get_i32(at + 22),
		};
	}
	producers_order_open(producers);
	return (true);
}

/* --- for who asks --------------------------------------------------------- */

static int
producer_order(const void *a, const void *b)
{
	const struct log_producer *one = a;
	const struct log_producer *two = b;

	return ((one->id > two->id) - (one->id < two->id));
}

struct log_producer *
producers_list(const struct producers *producers, size_t *count)
{
	size_t room = hash_count(&producers->by_id);
	struct log_producer *list;

	*count = 0;
	if (room == 0)
		return (NULL);
	list = mem_alloc(room * sizeof(*list));
	HASH_EACH(node, &producers->by_id) {
		const struct producer *producer = (struct producer *)(void *)
		    node;

		list[(*count)++] = (struct log_producer){
			.id = producer->id,
			.last_timestamp_ms = producer->last_timestamp_ms,
			.txn_first_offset = producer->txn_first_offset,
			.last_data_offset = producer->batch_count == 0 ? -1 :
			    producer->batches[producer->batch_count - 1]
				.last_offset,
			.last_sequence = producer->batch_count == 0 ? -1 :
			    producer->batches[producer->batch_count - 1]
				.last_sequence,
			.coordinator_epoch = producer->coordinator_epoch,
			.epoch = producer->epoch,
		};
	}
	qsort(list, *count, sizeof(*list), producer_order);
	return (list);
}
