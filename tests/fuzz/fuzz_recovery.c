/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the files of a directory: the first byte says whether the stop
 * looks clean, then come pieces of {uint8 which file, uint16 size, bytes}.
 * What loads must be readable to its end, take an append, and load again.
 */
#include "../unit/storage_bench.h"

static const char *const names[] = {
	"t-0/00000000000000000000.log",
	"t-0/00000000000000000000.index",
	"t-0/00000000000000000000.timeindex",
	"t-0/00000000000000000000.txnindex",
	"t-0/00000000000000000003.snapshot",
	"t-0/00000000000000000003.log",
	"t-0/00000000000000000003.index",
	"t-0/00000000000000000000.log.swap",
	"t-0/leader-epoch-checkpoint",
	"t-0/partition.metadata",
	"recovery-point-offset-checkpoint",
	"log-start-offset-checkpoint",
	"replication-offset-checkpoint",
	"meta.properties",
	".kafka_cleanshutdown",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody pulls the plug here. */
static int
no_sync(struct files *files, int descriptor)
{
	(void)files;
	(void)descriptor;
	return (0);
}

/* A message of magic 0 or 1, or a wrapper. */
static void
mend_message(uint8_t *bytes, size_t size)
{
	if (size < 34)
		return;
	bytes_put_i32(bytes + 8, (int32_t)size - BATCH_LOG_OVERHEAD);
	bytes[16] &= 1;
	bytes_put_u32(bytes + 12, crc32_gzip_of(0, bytes + 16, size - 16));
}

/* Batches get a good CRC and a plausible size, so that more is behind them. */
static void
mend(uint8_t *bytes, size_t size)
{
	if (size < BATCH_HEADER_SIZE)
		return;
	bytes_put_i32(bytes + 8, (int32_t)size - BATCH_LOG_OVERHEAD);
	bytes[16] = 2;
	bytes_put_u32(bytes + 17, crc32c(0, bytes + 21, size - 21));
}

static void
put_files(struct bench *bench, const uint8_t *data, size_t size)
{
	int64_t ends[nelems(names)] = { 0 };

	while (size >= 3) {
		size_t which = data[0] % nelems(names);
		size_t part = bytes_get_u16(data + 1) % 2048;
		bool whole = (data[0] & 0x80) != 0;
		bool old = (data[0] & 0x40) != 0;
		uint8_t *copy;

		data += 3;
		size -= 3;
		if (part > size)
			part = size;
		copy = mem_alloc(part);
		memcpy(copy, data, part);
		if (whole && old)
			mend_message(copy, part);
		else if (whole)
			mend(copy, part);
		bench_write(bench, names[which], copy, part, ends[which]);
		ends[which] += (int64_t)part;
		mem_free(copy);
		data += part;
		size -= part;
	}
}

static void
use(struct bench *bench)
{
	struct log_found found;

	if (!bench_open(bench))
		return;
	if (storage_load(bench->storage, NULL, NULL) &&
	    log_create(bench->storage, "t", 0, UUID_ZERO, &bench->log) ==
		ERR_NONE) {
		struct log *log = bench->log;
		int64_t end = log_end_offset(log);
		struct log_read part;

		CHECK(log_start_offset(log) <= end);
		for (int64_t at = log_start_offset(log); at < end;) {
			struct batch batch;
			uint8_t head[BATCH_HEADER_SIZE] = { 0 };

			if (log_read(log, at, end, 1 << 16, true, &part) !=
				ERR_NONE ||
			    part.extent.blob == NULL)
				break;
			part.extent.blob->ops->read_at(part.extent.blob, head,
			    sizeof(head), part.extent.position);
			blob_unref(part.extent.blob);
			if (batch_peek(slice_of(head, sizeof(head)), &batch) !=
			    BATCH_OK)
				break;
			CHECK(batch.last_offset >= at);
			at = batch.last_offset + 1;
		}
		(void)log_find_timestamp(log, BENCH_NOW_MS, &found);
		(void)log_find_max_timestamp(log, &found);
		if (end < INT64_MAX / 2)
			(void)bench_append(bench, &(struct bench_batch){ 0 },
			    NULL);
		(void)log_truncate_to(log, end / 2);
	}
	bench_stop(bench);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct files_ops ops = *files_system()->ops;
	struct files files = { &ops };
	struct bench bench;
	char path[PATH_MAX];

	if (size < 1)
		return (0);
	ops.sync = no_sync;
	bench_init(&bench);
	bench.files = &files;
	bench_file(&bench, "t-0", path);
	CHECK(mkdir(path, 0755) == 0);
	if ((data[0] & 1) != 0)
		bench_write(&bench, ".kafka_cleanshutdown", "{}", 2, 0);
	put_files(&bench, data + 1, size - 1);
	use(&bench);
	use(&bench);
	bench_fini(&bench);
	return (0);
}
