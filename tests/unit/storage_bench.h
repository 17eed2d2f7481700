/* SPDX-License-Identifier: Apache-2.0 */
/* A storage in a directory of its own, to be stopped in any way and begun
 * again; batches to append; files to look into. */
#ifndef TESTS_UNIT_STORAGE_BENCH_H
#define TESTS_UNIT_STORAGE_BENCH_H

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/diag.h"
#include "base/mem.h"
#include "config/options.h"
#include "storage/storage.h"
#include "unit.h"

#define BENCH_NOW_MS INT64_C(1700000000000)

struct bench {
	char path[64];
	const char *paths[3];
	struct storage_options options;
	struct clock_virtual clock;
	struct log_settings settings;
	struct files *files;
	struct scheduler *scheduler; /* NULL: no workers */
	struct random *random;       /* NULL: always the same */
	struct diag *diag;           /* NULL: silence */
	struct metrics *metrics;     /* NULL: nothing is counted */
	size_t descriptors;          /* 0: as storage likes */
	int cores;
	struct storage *storage;
	struct log *log;
	int failed_dirs;
};

static inline void
bench_settings(void *arg, const char *topic, struct log_settings *out)
{
	(void)topic;
	*out = ((struct bench *)arg)->settings;
}

static inline void
bench_dir_failed(void *arg, struct log_dir *dir)
{
	(void)dir;
	((struct bench *)arg)->failed_dirs++;
}

static inline void
bench_init(struct bench *bench)
{
	*bench = (struct bench){
		.path = "/tmp/test-storage-XXXXXX",
		.files = files_system(),
		.settings = {
			.segment_bytes = 1 << 20,
			.segment_ms = INT64_MAX / 2,
			.index_bytes = 10 << 20,
			.index_interval_bytes = 4096,
			.retention_ms = -1,
			.retention_bytes = -1,
			.flush_messages = INT64_MAX,
			.flush_ms = INT64_MAX,
		},
		.options = { .producer_id_expiration_ms = 86400000 },
	};
	clock_virtual_init(&bench->clock, BENCH_NOW_MS);
	CHECK(mkdtemp(bench->path) != NULL);
	bench->paths[0] = bench->path;
	bench->options.log_dir_list = (struct text_list){ bench->paths, 1 };
}

static inline bool
bench_open(struct bench *bench)
{
	struct storage_setup setup = {
		.options = &bench->options,
		.clock = &bench->clock.clock,
		.files = bench->files,
		.scheduler = bench->scheduler,
		.random = bench->random,
		.diag = bench->diag,
		.metrics = bench->metrics,
		.descriptors = bench->descriptors,
		.cores = bench->cores,
		.broker_id = -1,
		.settings = bench_settings,
		.settings_arg = bench,
		.dir_failed = bench_dir_failed,
		.dir_failed_arg = bench,
	};

	if (getenv("TEST_STORAGE_LOUD") != NULL)
		setup.diag = diag_new(clock_system(), NULL);
	bench->storage = storage_open(&setup);
	return (bench->storage != NULL);
}

/* Opens, loads, and has the log t-0, made where it was not there. */
static inline void
bench_start(struct bench *bench)
{
	CU_ASSERT_FATAL(bench_open(bench));
	CU_ASSERT_FATAL(storage_set_identity(bench->storage, 1, "cluster",
	    NULL, 0));
	CU_ASSERT_FATAL(storage_load(bench->storage, NULL, NULL));
	CU_ASSERT_EQUAL_FATAL(log_create(bench->storage, "t", 0,
				  (struct uuid){ { 1, 2, 3 } }, &bench->log),
	    ERR_NONE);
}

static inline void
bench_stop(struct bench *bench)
{
	if (bench->log != NULL)
		log_unref(bench->log);
	bench->log = NULL;
	if (bench->storage != NULL)
		storage_close(&bench->storage);
}

static inline void
bench_file(struct bench *bench, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", bench->path, name);
}

/* As if the process had died: the mark goes, and what only a clean stop writes
 * (the closing entries) makes no difference to a recovery. */
static inline void
bench_crash(struct bench *bench)
{
	char name[PATH_MAX];

	bench_stop(bench);
	bench_file(bench, ".kafka_cleanshutdown", name);
	unlink(name);
	bench_file(bench, "recovery-point-offset-checkpoint", name);
	unlink(name);
}

static inline int
bench_remove(const char *path, const struct stat *status, int type,
    struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	return (remove(path));
}

static inline void
bench_fini(struct bench *bench)
{
	bench_stop(bench);
	nftw(bench->path, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
}

struct bench_batch {
	int count;
	size_t value_size;
	int64_t timestamp_ms; /* of the first; 0: the clock's start */
	int64_t producer_id;  /* 0: none */
	int32_t sequence;
	int16_t producer_epoch;
	int32_t leader_epoch;
	enum codec codec;
	int16_t attributes;
};

static inline struct buffer
bench_make(const struct bench_batch *wanted)
{
	static const char filler[65536];
	struct buffer out = BUFFER_EMPTY;
	struct batch_builder builder;
	int64_t timestamp_ms = wanted->timestamp_ms == 0 ? BENCH_NOW_MS
							 : wanted->timestamp_ms;

	batch_builder_init(&builder, 0, wanted->codec);
	builder.attributes = wanted->attributes;
	if (wanted->producer_id != 0) {
		builder.producer_id = wanted->producer_id;
		builder.producer_epoch = wanted->producer_epoch;
		builder.base_sequence = wanted->sequence;
	}
	for (int i = 0; i < (wanted->count == 0 ? 1 : wanted->count); i++)
		batch_builder_add(&builder, timestamp_ms + i,
		    SLICE_LITERAL("k"), slice_of(filler, wanted->value_size),
		    NULL, 0);
	CHECK(batch_builder_finish(&builder, &out) == ERR_NONE);
	batch_builder_fini(&builder);
	return (out);
}

static inline enum error
bench_append(struct bench *bench, const struct bench_batch *wanted,
    struct log_appended *out)
{
	struct record_rules rules = {
		.max_message_bytes = INT32_MAX,
		.segment_bytes = INT32_MAX,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = INT64_MAX,
		.now_ms = BENCH_NOW_MS,
		.decompressed_limit_bytes = 1 << 26,
		.api_version = 9,
	};
	struct buffer bytes = bench_make(wanted);
	struct record_verdict verdict;
	struct log_appended ignored;
	struct arena arena;
	enum error error;

	arena_init(&arena, 0);
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CHECK(verdict.error == ERR_NONE);
	error = log_append_as_leader(bench->log, &rules, &verdict, bytes.data,
	    wanted->leader_epoch, out == NULL ? &ignored : out);
	arena_fini(&arena);
	buffer_fini(&bytes);
	return (error);
}

/* `count` batches of one record of about `size` bytes each. */
static inline void
bench_fill(struct bench *bench, int count, size_t size)
{
	for (int i = 0; i < count; i++)
		CU_ASSERT_EQUAL_FATAL(
		    bench_append(bench,
			&(struct bench_batch){
			    .value_size = size,
			    .timestamp_ms = BENCH_NOW_MS +
				log_end_offset(bench->log),
			},
			NULL),
		    ERR_NONE);
}

static inline int64_t
bench_size(struct bench *bench, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	bench_file(bench, name, path);
	return (stat(path, &status) != 0 ? -1 : status.st_size);
}

/* Whole small file; the caller frees. */
static inline uint8_t *
bench_read(struct bench *bench, const char *name, size_t *size)
{
	char path[PATH_MAX];
	void *bytes;

	bench_file(bench, name, path);
	if (file_load(files_system(), path, 1 << 30, &bytes, size) != 0)
		return (NULL);
	return (bytes);
}

static inline bool
bench_says(struct bench *bench, const char *name, const char *text)
{
	size_t size;
	uint8_t *bytes = bench_read(bench, name, &size);
	bool says = bytes != NULL &&
	    slice_equal_text(slice_of(bytes, size), text);

	mem_free(bytes);
	return (says);
}

static inline void
bench_write(struct bench *bench, const char *name, const void *bytes,
    size_t size, int64_t position)
{
	char path[PATH_MAX];
	int descriptor;

	bench_file(bench, name, path);
	descriptor = open(path, O_RDWR | O_CREAT, 0644);
	CHECK(descriptor >= 0);
	CHECK(pwrite(descriptor, bytes, size, position) == (ssize_t)size);
	close(descriptor);
}

/* Reads all records from `offset` to the end and counts them; offsets must go
 * up by one. -1: they did not. */
static inline int
bench_count(struct bench *bench, int64_t offset)
{
	struct log *log = bench->log;
	int64_t end = log_end_offset(log);
	int count = 0;

	while (offset < end) {
		struct log_read part;
		struct slice rest;
		struct batch batch;
		uint8_t *bytes;

		if (log_read(log, offset, end, 1 << 20, true, &part) !=
			ERR_NONE ||
		    part.extent.blob == NULL)
			return (-1);
		bytes = mem_alloc(part.extent.length);
		if (part.extent.blob->ops->read_at(part.extent.blob, bytes,
			part.extent.length, part.extent.position) !=
		    (ssize_t)part.extent.length)
			return (-1);
		rest = slice_of(bytes, part.extent.length);
		while (batch_next(&rest, &batch) == BATCH_OK) {
			if (!batch_crc_good(&batch) ||
			    batch.last_offset < offset)
				return (-1);
			count += batch.record_count;
			offset = batch.last_offset + 1;
		}
		mem_free(bytes);
		blob_unref(part.extent.blob);
	}
	return (count);
}

#endif
