/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/scan.h"

#include <errno.h>
#include <fcntl.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/walk.h"

#define SNAPSHOT_HEAD 10
#define ENTRY_MAX 46

static const struct {
	const char *name;
	size_t entry_size;
} kinds[] = {
	[SCAN_LOG] = { "log", 0 },
	[SCAN_OFFSETS] = { "index", 8 },
	[SCAN_TIMES] = { "timeindex", 12 },
	[SCAN_ABORTED] = { "txnindex", 34 },
	[SCAN_PRODUCERS] = { "snapshot", 46 },
};

struct scan {
	struct files *files;
	int descriptor;
	enum scan_kind kind;
	int64_t base_offset;
	int64_t position;
	int64_t size;
	bool checked; /* a snapshot's CRC */
	struct walk walk;
};

static int scan_next_batch(struct scan *scan, struct scan_entry *out);
static bool scan_check_snapshot(struct scan *scan);
static void scan_decode(const struct scan *scan, const uint8_t *at,
    struct scan_entry *out);

bool
scan_kind_of(const char *path, enum scan_kind *kind, int64_t *base_offset)
{
	const char *slash = strrchr(path, '/');
	struct slice suffix;
	struct slice digits = text_cut(
	    slice_of_text(slash == NULL ? path : slash + 1), '.', &suffix);

	if (!text_to_int64(digits, base_offset) || *base_offset < 0 ||
	    *base_offset > SEGMENT_BASE_MAX)
		return (false);
	for (size_t k = 0; k < nelems(kinds); k++) {
		if (!slice_equal_text(suffix, kinds[k].name))
			continue;
		*kind = (enum scan_kind)k;
		return (true);
	}
	return (false);
}

struct scan *
scan_open(struct files *files, const char *path)
{
	struct scan *scan = mem_zalloc(sizeof(*scan));
	struct file_info info;

	scan->files = files;
	scan->descriptor = -1;
	if (!scan_kind_of(path, &scan->kind, &scan->base_offset)) {
		errno = EINVAL;
		goto out;
	}
	scan->descriptor = files->ops->open(files, path, O_RDONLY, 0);
	if (scan->descriptor < 0 ||
	    files->ops->fstat(files, scan->descriptor, &info) != 0)
		goto out;
	scan->size = info.size_bytes;
	walk_init(&scan->walk, files, scan->descriptor, 0, scan->size, false);
	return (scan);
out:
	scan_close(&scan);
	return (NULL);
}

enum scan_kind
scan_kind(const struct scan *scan)
{
	return (scan->kind);
}

void
scan_close(struct scan **scan)
{
	struct scan *closed = *scan;
	int error = errno;

	*scan = NULL;
	if (closed->descriptor >= 0) {
		walk_fini(&closed->walk);
		closed->files->ops->close(closed->files, closed->descriptor);
	}
	mem_free(closed);
	errno = error;
}

int
scan_next(struct scan *scan, struct scan_entry *out)
{
	size_t size = kinds[scan->kind].entry_size;
	uint8_t bytes[ENTRY_MAX];

	if (scan->kind == SCAN_LOG)
		return (scan_next_batch(scan, out));
	if (scan->kind == SCAN_PRODUCERS && !scan->checked) {
		if (!scan_check_snapshot(scan))
			return (-1);
		scan->checked = true;
		scan->position = SNAPSHOT_HEAD;
	}
	if (scan->position == scan->size)
		return (0);
	if (scan->size - scan->position < (int64_t)size ||
	    file_read_full(scan->files, scan->descriptor, bytes, size,
		scan->position) != 0)
		return (-1);
	scan_decode(scan, bytes, out);
	out->position = scan->position;
	scan->position += (int64_t)size;
	return (1);
}

static int
scan_next_batch(struct scan *scan, struct scan_entry *out)
{
	switch (walk_next(&scan->walk, &out->log.batch, &out->position)) {
	case WALK_END:
		return (0);
	case WALK_BATCH:
		break;
	case WALK_TAIL:
	case WALK_CORRUPT:
	case WALK_ERROR:
		return (-1);
	}
	if (!walk_load(&scan->walk, &out->log.batch, out->position))
		return (-1);
	out->log.crc_good = batch_crc_good(&out->log.batch);
	scan->position = scan->walk.position;
	return (1);
}

/* Head: int16 version, uint32 CRC of all behind it, int32 count. */
static bool
scan_check_snapshot(struct scan *scan)
{
	uint8_t head[SNAPSHOT_HEAD];
	uint8_t bytes[ENTRY_MAX];
	uint32_t crc;

	if (scan->size < SNAPSHOT_HEAD ||
	    file_read_full(scan->files, scan->descriptor, head, sizeof(head),
		0) != 0)
		return (false);
	crc = crc32c(0, head + 6, sizeof(head) - 6);
	for (int64_t at = SNAPSHOT_HEAD; at < scan->size;) {
		size_t part = scan->size - at < ENTRY_MAX
		    ? (size_t)(scan->size - at)
		    : ENTRY_MAX;

		if (file_read_full(scan->files, scan->descriptor, bytes, part,
			at) != 0)
			return (false);
		crc = crc32c(crc, bytes, part);
		at += (int64_t)part;
	}
	return (bytes_get_i16(head) == 1 && crc == bytes_get_u32(head + 2));
}

static void
scan_decode(const struct scan *scan, const uint8_t *at, struct scan_entry *out)
{
	switch (scan->kind) {
	case SCAN_OFFSETS:
		out->offsets.offset = scan->base_offset + bytes_get_i32(at);
		out->offsets.position = bytes_get_i32(at + 4);
		break;
	case SCAN_TIMES:
		out->times.timestamp_ms = bytes_get_i64(at);
		out->times.offset = scan->base_offset + bytes_get_i32(at + 8);
		break;
	case SCAN_ABORTED:
		out->aborted.version = bytes_get_i16(at);
		out->aborted.producer_id = bytes_get_i64(at + 2);
		out->aborted.first_offset = bytes_get_i64(at + 10);
		out->aborted.last_offset = bytes_get_i64(at + 18);
		out->aborted.stable_offset = bytes_get_i64(at + 26);
		break;
	case SCAN_PRODUCERS:
		out->producer.producer_id = bytes_get_i64(at);
		out->producer.producer_epoch = bytes_get_i16(at + 8);
		out->producer.last_sequence = bytes_get_i32(at + 10);
		out->producer.last_offset = bytes_get_i64(at + 14);
		out->producer.offset_delta = bytes_get_i32(at + 22);
		out->producer.last_timestamp_ms = bytes_get_i64(at + 26);
		out->producer.coordinator_epoch = bytes_get_i32(at + 34);
		out->producer.txn_first_offset = bytes_get_i64(at + 38);
		break;
	case SCAN_LOG:
		UNREACHABLE();
	}
}
