/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas dump-log of what lies beside a .log: indexes, held against the log,
 * the transactions that were aborted, and what is known of producers.  The
 * files' bytes are drawn in storage/index.h; an aborted transaction is
 *
 *	0 version int16 | 2 producer id int64 | 10 first offset int64
 *	18 last offset int64 | 26 last stable offset int64
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "storage/index.h"
#include "storage/producers.h"
#include "storage/walk.h"
#include "tools/dump.h"

#define INDEX_BYTES_MAX ((size_t)1 << 30)
#define TXN_ENTRY_SIZE 34

/* An index beside its log. */
struct index_dump {
	struct dump *dump;
	const char *path;
	enum index_kind kind;
	int64_t base_offset;
	void *bytes;
	size_t size;
	size_t count;
	size_t cursor;  /* a slot: position_before() */
	int descriptor; /* of the log */
	int64_t log_size;
};

static struct index_entry
entry_at(const struct index_dump *d, size_t slot)
{
	const uint8_t *at = (const uint8_t *)d->bytes +
	    slot * index_entry_size(d->kind);
	struct index_entry entry = { 0 };

	if (d->kind == INDEX_OFFSETS) {
		entry.offset = d->base_offset + bytes_get_i32(at);
		entry.position = bytes_get_i32(at + 4);
	} else {
		entry.timestamp_ms = bytes_get_i64(at);
		entry.offset = d->base_offset + bytes_get_i32(at + 8);
	}
	return (entry);
}

/* --- opening -------------------------------------------------------------- */

/* The same name with another suffix; to be freed. */
static char *
sibling(const char *path, const char *suffix)
{
	const char *dot = strrchr(path, '.');
	struct buffer name = BUFFER_EMPTY;
	char *copy;

	CHECK(dot != NULL);
	buffer_append(&name, path, (size_t)(dot - path));
	buffer_append_text(&name, suffix);
	copy = mem_strdup(buffer_text(&name));
	buffer_fini(&name);
	return (copy);
}

static bool
open_log(struct index_dump *d)
{
	struct files *files = d->dump->files;
	char *path = sibling(d->path, ".log");
	struct file_info info;
	bool good = false;

	d->descriptor = files->ops->open(files, path, O_RDONLY, 0);
	if (d->descriptor < 0 ||
	    files->ops->fstat(files, d->descriptor, &info) != 0) {
		dump_refused(d->dump, path, strerror(errno));
	} else {
		d->log_size = info.size_bytes;
		good = true;
	}
	mem_free(path);
	return (good);
}

static bool
index_dump_init(struct index_dump *d, struct dump *dump, const char *path,
    enum index_kind kind)
{
	memset(d, 0, sizeof(*d));
	d->dump = dump;
	d->path = path;
	d->kind = kind;
	d->descriptor = -1;
	if (!dump_base_offset(dump, path, &d->base_offset))
		return (false);
	if (file_load(dump->files, path, INDEX_BYTES_MAX, &d->bytes,
		&d->size) != 0)
		return (dump_refused(dump, path, strerror(errno)));
	d->count = d->size / index_entry_size(kind);
	return (true);
}

static void
index_dump_fini(struct index_dump *d)
{
	if (d->descriptor >= 0)
		d->dump->files->ops->close(d->dump->files, d->descriptor);
	mem_free(d->bytes);
}

/* --- the check that a start of the broker makes --------------------------- */

static bool
index_sane(struct index_dump *d)
{
	struct index_entry first, last;

	if (d->size % index_entry_size(d->kind) != 0)
		return (dump_refused(d->dump, d->path,
		    "corrupt: the size is no multiple of an entry's"));
	if (d->count != 0) {
		first = entry_at(d, 0);
		last = entry_at(d, d->count - 1);
		if (last.offset < d->base_offset)
			return (dump_refused(d->dump, d->path,
			    "corrupt: the last offset lies before the "
			    "segment"));
		if (last.timestamp_ms < first.timestamp_ms)
			return (dump_refused(d->dump, d->path,
			    "corrupt: the last timestamp is less than the "
			    "first (or the file is an active segment's, not "
			    "yet cut to size)"));
	}
	if (!d->dump->json)
		buffer_printf(&d->dump->out, "%s passed sanity check.\n",
		    d->path);
	return (true);
}

/* A file made large in advance has zeros behind its entries. */
static bool
is_unused(const struct index_dump *d, size_t slot,
    const struct index_entry *entry)
{
	return (slot > 0 && entry->offset == d->base_offset);
}

/* --- offsets -------------------------------------------------------------- */

/* The last offset of the batch at `position`, -1: there is none. */
static int64_t
last_offset_at(const struct index_dump *d, int64_t position)
{
	struct walk walk;
	struct batch batch;
	int64_t at;
	int64_t found = -1;

	if (position < 0 || position >= d->log_size)
		return (-1);
	walk_init(&walk, d->dump->files, d->descriptor, position, d->log_size,
	    false);
	if (walk_next(&walk, &batch, &at) == WALK_BATCH &&
	    batch.size <= d->dump->message_bytes_max)
		found = batch.last_offset;
	walk_fini(&walk);
	return (found);
}

static void
dump_offset_entry(struct index_dump *d, const struct index_entry *entry,
    bool *mismatch)
{
	const int64_t found = last_offset_at(d, entry->position);
	struct dump *dump = d->dump;
	struct json_out json;

	if (found != entry->offset) {
		if (!*mismatch)
			buffer_printf(&dump->faults, "Mismatches in :%s\n",
			    d->path);
		*mismatch = true;
		buffer_printf(&dump->faults,
		    "  Index offset: %" PRId64 ", log offset: %" PRId64 "\n",
		    entry->offset, found);
	}
	if (dump->verify_only)
		return;
	if (dump->json) {
		dump_json_begin(dump, &json, d->path, "offset");
		json_int(&json, "offset", entry->offset);
		json_int(&json, "position", entry->position);
		json_bool(&json, "isValid", found == entry->offset);
		json_close(&json, '}');
		json_end(&json);
	} else {
		buffer_printf(&dump->out,
		    "offset: %" PRId64 " position: %" PRId64 "\n",
		    entry->offset, entry->position);
	}
}

static bool
dump_offset_entries(struct index_dump *d)
{
	bool mismatch = false;

	if (d->count == 0) {
		if (!d->dump->json)
			buffer_printf(&d->dump->out, "%s is empty.\n",
			    d->path);
		return (true);
	}
	if (d->dump->sanity_only)
		return (index_sane(d));
	if (!open_log(d))
		return (false);
	for (size_t slot = 0; slot < d->count; slot++) {
		const struct index_entry entry = entry_at(d, slot);

		if (is_unused(d, slot, &entry))
			break;
		dump_offset_entry(d, &entry, &mismatch);
		dump_flush(d->dump);
	}
	return (true);
}

bool
dump_offset_index(struct dump *dump, const char *path)
{
	struct index_dump d;
	const bool good = index_dump_init(&d, dump, path, INDEX_OFFSETS) &&
	    dump_offset_entries(&d);

	index_dump_fini(&d);
	return (good);
}

/* --- times ---------------------------------------------------------------- */

/* Where to look for an offset: the .index knows a place at or before it. What
 * is looked for mostly goes up, so the search goes on from where it was. */
static int64_t
position_before(struct index_dump *offsets, int64_t offset)
{
	struct index_entry entry;

	if (offsets->count == 0)
		return (0);
	entry = entry_at(offsets, offsets->cursor);
	if (entry.offset > offset)
		offsets->cursor = 0;
	while (offsets->cursor + 1 < offsets->count) {
		entry = entry_at(offsets, offsets->cursor + 1);
		if (entry.offset > offset ||
		    is_unused(offsets, offsets->cursor + 1, &entry))
			break;
		offsets->cursor++;
	}
	entry = entry_at(offsets, offsets->cursor);
	return (entry.offset > offset ? 0 : entry.position);
}

/* The first batch that reaches `offset`; false: there is none. */
static bool
batch_reaching(const struct index_dump *d, int64_t position, int64_t offset,
    struct batch *out)
{
	struct walk walk;
	int64_t at;
	bool found = false;

	walk_init(&walk, d->dump->files, d->descriptor, position, d->log_size,
	    false);
	while (!found && walk_next(&walk, out, &at) == WALK_BATCH)
		found = out->last_offset >= offset;
	walk_fini(&walk);
	out->bytes = SLICE_NULL;
	return (found);
}

/* Says what is wrong with an entry. */
static void
check_time_entry(struct index_dump *d, struct index_dump *offsets,
    const struct index_entry *entry, int64_t previous_ms)
{
	struct buffer *faults = &d->dump->faults;
	struct batch batch;
	int64_t found = -1;

	if (batch_reaching(d, position_before(offsets, entry->offset),
		entry->offset, &batch))
		found = batch.last_offset;
	if (found != entry->offset) {
		buffer_printf(faults,
		    "The following indexed offsets are not found in the log.\n"
		    "Indexed offset: %" PRId64 ", found log offset: %" PRId64
		    "\n",
		    entry->offset, found);
		return;
	}
	if (batch.max_timestamp_ms != entry->timestamp_ms)
		buffer_printf(faults,
		    "Found timestamp mismatch in :%s\n  Index timestamp: "
		    "%" PRId64 ", log timestamp: %" PRId64 "\n",
		    d->path, entry->timestamp_ms, batch.max_timestamp_ms);
	if (previous_ms >= entry->timestamp_ms)
		buffer_printf(faults,
		    "Found out of order timestamp in :%s\n  Index timestamp: "
		    "%" PRId64 ", Previously indexed timestamp: %" PRId64
		    "\n",
		    d->path, entry->timestamp_ms, previous_ms);
}

static void
put_time_entry(struct index_dump *d, const struct index_entry *entry)
{
	struct dump *dump = d->dump;
	struct json_out json;

	if (dump->verify_only)
		return;
	if (dump->json) {
		dump_json_begin(dump, &json, d->path, "time");
		json_int(&json, "timestamp", entry->timestamp_ms);
		json_int(&json, "offset", entry->offset);
		json_close(&json, '}');
		json_end(&json);
	} else {
		buffer_printf(&dump->out,
		    "timestamp: %" PRId64 " offset: %" PRId64 "\n",
		    entry->timestamp_ms, entry->offset);
	}
}

static void
dump_time_entries(struct index_dump *d, struct index_dump *offsets)
{
	int64_t previous_ms = -1;

	for (size_t slot = 0; slot < d->count; slot++) {
		const struct index_entry entry = entry_at(d, slot);

		if (is_unused(d, slot, &entry))
			break;
		check_time_entry(d, offsets, &entry, previous_ms);
		put_time_entry(d, &entry);
		dump_flush(d->dump);
		previous_ms = entry.timestamp_ms;
	}
}

bool
dump_time_index(struct dump *dump, const char *path)
{
	struct index_dump d, offsets;
	char *offsets_path = sibling(path, index_suffix(INDEX_OFFSETS));
	bool good = false;

	memset(&offsets, 0, sizeof(offsets));
	offsets.descriptor = -1;
	if (index_dump_init(&d, dump, path, INDEX_TIMES)) {
		if (dump->sanity_only) {
			good = index_sane(&d);
		} else if (open_log(&d) && index_dump_init(&offsets, dump,
		    offsets_path, INDEX_OFFSETS)) {
			dump_time_entries(&d, &offsets);
			good = true;
		}
	}
	index_dump_fini(&offsets);
	index_dump_fini(&d);
	mem_free(offsets_path);
	return (good);
}

/* --- aborted transactions ------------------------------------------------- */

static void
dump_txn_entry(struct dump *dump, const char *path, const uint8_t *at)
{
	const int version = bytes_get_i16(at);
	const int64_t id = bytes_get_i64(at + 2);
	const int64_t first = bytes_get_i64(at + 10);
	const int64_t last = bytes_get_i64(at + 18);
	const int64_t stable = bytes_get_i64(at + 26);
	struct json_out json;

	if (dump->json) {
		dump_json_begin(dump, &json, path, "abortedTransaction");
		json_int(&json, "version", version);
		json_int(&json, "producerId", id);
		json_int(&json, "firstOffset", first);
		json_int(&json, "lastOffset", last);
		json_int(&json, "lastStableOffset", stable);
		json_close(&json, '}');
		json_end(&json);
	} else {
		buffer_printf(&dump->out,
		    "version: %d producerId: %" PRId64 " firstOffset: %" PRId64
		    " lastOffset: %" PRId64 " lastStableOffset: %" PRId64 "\n",
		    version, id, first, last, stable);
	}
}

bool
dump_txn_index(struct dump *dump, const char *path)
{
	void *bytes = NULL;
	size_t size, at;

	if (file_load(dump->files, path, INDEX_BYTES_MAX, &bytes, &size) != 0)
		return (dump_refused(dump, path, strerror(errno)));
	for (at = 0; size - at >= TXN_ENTRY_SIZE; at += TXN_ENTRY_SIZE)
		dump_txn_entry(dump, path, (const uint8_t *)bytes + at);
	mem_free(bytes);
	if (at != size)
		return (dump_refused(dump, path,
		    "corrupt: the last entry is not whole"));
	return (true);
}

/* --- producers ------------------------------------------------------------ */

static void
put_producer(struct buffer *out, const struct producer *p)
{
	const struct producer_batch *last =
	    p->batch_count > 0 ? &p->batches[p->batch_count - 1] : NULL;

	buffer_printf(out,
	    "producerId: %" PRId64 " producerEpoch: %d coordinatorEpoch: %d "
	    "currentTxnFirstOffset: ",
	    p->id, p->epoch, p->coordinator_epoch);
	if (p->txn_first_offset >= 0)
		buffer_printf(out, "OptionalLong[%" PRId64 "]",
		    p->txn_first_offset);
	else
		buffer_append_text(out, "OptionalLong.empty");
	buffer_printf(out, " lastTimestamp: %" PRId64 " ",
	    p->last_timestamp_ms);
	if (last != NULL)
		buffer_printf(out,
		    "firstSequence: %d lastSequence: %d lastOffset: %" PRId64
		    " offsetDelta: %d timestamp: %" PRId64,
		    (int)(((uint32_t)last->last_sequence -
			      (uint32_t)last->offset_delta) & INT32_MAX),
		    last->last_sequence, last->last_offset,
		    last->offset_delta, last->timestamp_ms);
	buffer_append_text(out, "\n");
}

static void
json_producer(struct dump *dump, const char *path, const struct producer *p)
{
	const struct producer_batch *last =
	    p->batch_count > 0 ? &p->batches[p->batch_count - 1] : NULL;
	struct json_out json;

	dump_json_begin(dump, &json, path, "producer");
	json_int(&json, "producerId", p->id);
	json_int(&json, "producerEpoch", p->epoch);
	json_int(&json, "coordinatorEpoch", p->coordinator_epoch);
	if (p->txn_first_offset >= 0)
		json_int(&json, "currentTxnFirstOffset", p->txn_first_offset);
	json_int(&json, "lastTimestamp", p->last_timestamp_ms);
	if (last != NULL) {
		json_int(&json, "lastSequence", last->last_sequence);
		json_int(&json, "lastOffset", last->last_offset);
		json_int(&json, "offsetDelta", last->offset_delta);
		json_int(&json, "timestamp", last->timestamp_ms);
	}
	json_close(&json, '}');
	json_end(&json);
}

bool
dump_snapshot(struct dump *dump, const char *path)
{
	struct producers producers;
	void *bytes = NULL;
	size_t size;
	bool good;

	if (file_load(dump->files, path, INDEX_BYTES_MAX, &bytes, &size) != 0)
		return (dump_refused(dump, path, strerror(errno)));
	memset(&producers, 0, sizeof(producers));
	/* Nobody is too old to be shown. */
	good = producers_decode(&producers, slice_of(bytes, size), 0,
	    INT64_MAX);
	if (!good)
		dump_refused(dump, path, "corrupt: it is no snapshot");
	HASH_EACH(node, &producers.by_id) {
		const struct producer *p =
		    container_of(node, struct producer, node);

		if (good && dump->json)
			json_producer(dump, path, p);
		else if (good)
			put_producer(&dump->out, p);
	}
	producers_fini(&producers);
	mem_free(bytes);
	return (good);
}
