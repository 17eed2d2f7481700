/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking through one file of a partition's directory, entry by entry, without
 * a storage: for tools.  Nothing is written and nothing is locked, so a file of
 * a running broker may be looked at; its newest index entries may be missing.
 */
#ifndef STORAGE_SCAN_H
#define STORAGE_SCAN_H

#include "record/record.h"
#include "storage/file.h"

enum scan_kind {
	SCAN_LOG,       /* .log */
	SCAN_OFFSETS,   /* .index */
	SCAN_TIMES,     /* .timeindex */
	SCAN_ABORTED,   /* .txnindex */
	SCAN_PRODUCERS  /* .snapshot */
};

/* What it is by the file's name, and the offset in it. False: neither. */
bool scan_kind_of(const char *path, enum scan_kind *kind, int64_t *base_offset);

struct scan_entry {
	int64_t position; /* in the file */
	union {
		struct {
			struct batch batch; /* whole, until the next call */
			bool crc_good;
		} log;
		struct {
			int64_t offset;
			int64_t position;
		} offsets;
		struct {
			int64_t timestamp_ms;
			int64_t offset;
		} times;
		struct {
			int16_t version;
			int64_t producer_id;
			int64_t first_offset;
			int64_t last_offset;
			int64_t stable_offset;
		} aborted;
		struct {
			int64_t producer_id;
			int64_t last_offset;
			int64_t last_timestamp_ms;
			int64_t txn_first_offset; /* -1: none */
			int32_t last_sequence;
			int32_t offset_delta;
			int32_t coordinator_epoch;
			int16_t producer_epoch;
		} producer;
	};
};

struct scan;
/* NULL: errno; EINVAL when the name says no kind. */
struct scan *scan_open(struct files *files, const char *path);
enum scan_kind scan_kind(const struct scan *scan);
/* 1: an entry; 0: the end; -1: what follows is none (torn, zeros, a snapshot
 * with a wrong CRC), or cannot be read. */
int scan_next(struct scan *scan, struct scan_entry *out);
void scan_close(struct scan **scan);

#endif
