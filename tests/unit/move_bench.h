/* SPDX-License-Identifier: Apache-2.0 */
/* A log in the first of two directories, and its move to the other one. */
#ifndef TESTS_UNIT_MOVE_BENCH_H
#define TESTS_UNIT_MOVE_BENCH_H

#include <dirent.h>

#include "storage_bench.h"

#define SEGMENT_BYTES 4000
#define RECORD_BYTES 900

struct pair {
	struct bench bench;
	char second[80];
	struct log_future *future;
};

/* Where a sync costs nothing, if there is such a place: what the disk makes of
 * them is not asked here. */
static inline void
pair_init(struct pair *p, struct files *files)
{
	char path[] = "/dev/shm/test-move-XXXXXX";

	bench_init(&p->bench);
	if (mkdtemp(path) != NULL) {
		CHECK(rmdir(p->bench.path) == 0);
		snprintf(p->bench.path, sizeof(p->bench.path), "%s", path);
	}
	snprintf(p->second, sizeof(p->second), "%s-second", p->bench.path);
	p->bench.paths[1] = p->second;
	p->bench.options.log_dir_list.count = 2;
	p->bench.settings.segment_bytes = SEGMENT_BYTES;
	if (files != NULL)
		p->bench.files = files;
	bench_start(&p->bench);
	p->future = NULL;
}

static inline void
pair_fini(struct pair *p)
{
	bench_fini(&p->bench);
	nftw(p->second, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Where the log does not lie. */
static inline struct log_dir *
other_dir(struct pair *p)
{
	struct log_dir *first = storage_dir_at(p->bench.storage, 0);

	return (log_directory(p->bench.log) == first ?
	    storage_dir_at(p->bench.storage, 1) : first);
}

/* How many entries of a directory begin so and end so. */
static inline int
count_names(const char *directory, const char *prefix, const char *suffix)
{
	DIR *all = opendir(directory);
	const struct dirent *one;
	int count = 0;

	while (all != NULL && (one = readdir(all)) != NULL) {
		size_t length = strlen(one->d_name), end = strlen(suffix);

		count += strncmp(one->d_name, prefix, strlen(prefix)) == 0 &&
		    length >= end &&
		    strcmp(one->d_name + length - end, suffix) == 0;
	}
	if (all != NULL)
		closedir(all);
	return (count);
}

static inline int
count_both(struct pair *p, const char *prefix, const char *suffix)
{
	return (count_names(p->bench.path, prefix, suffix) +
	    count_names(p->second, prefix, suffix));
}

/* Files that tell of a move, in the log. */
static inline int
count_marks(struct pair *p)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/t-0",
	    log_dir_path(log_directory(p->bench.log)));
	return (count_names(path, "barnabas", ""));
}

/* 20 records of two epochs and a producer; the first three are deleted, of a
 * batch of five. */
static inline void
fill(struct pair *p)
{
	struct bench *b = &p->bench;
	struct bench_batch batch = { .value_size = 100, .count = 5,
		.leader_epoch = 1 };

	bench_append(b, &batch, NULL);
	batch.count = 1;
	batch.value_size = RECORD_BYTES;
	for (int i = 5; i < 20; i++) {
		batch.leader_epoch = i < 10 ? 1 : 4;
		batch.producer_id = i % 2 == 0 ? 0 : 77;
		batch.sequence = i / 2;
		bench_append(b, &batch, NULL);
	}
	log_set_high_watermark(b->log, 20);
	CU_ASSERT_EQUAL(log_advance_start(b->log, 3), ERR_NONE);
}

/* The whole move; the error that it stopped at. */
static inline enum error
move(struct pair *p)
{
	struct log *log = p->bench.log;
	enum error error = log_future_new(log, other_dir(p), &p->future);
	size_t copied;

	while (error == ERR_NONE && log_future_left_bytes(p->future) > 0)
		error = log_future_copy(p->future, 1000, &copied);
	if (error == ERR_NONE)
		error = log_future_replace(p->future);
	if (error == ERR_NONE)
		error = log_future_finish(&p->future);
	return (error);
}

static inline void
check_whole(struct pair *p, int64_t end)
{
	struct log *log = p->bench.log;
	struct log_epoch_end epoch = log_epoch_end(log, 1);
	struct log_producer *producers;
	size_t count;

	CU_ASSERT_EQUAL(log_end_offset(log), end);
	CU_ASSERT_EQUAL(log_start_offset(log), 3);
	/* All of the first batch is read. */
	CU_ASSERT_EQUAL(bench_count(&p->bench, 3), (int)end);
	CU_ASSERT_EQUAL(log_latest_epoch(log), 4);
	CU_ASSERT_EQUAL(epoch.end_offset, 10);
	CU_ASSERT_EQUAL(log_topic_id(log).bytes[0], 1);
	producers = log_producers(log, &count);
	CU_ASSERT_EQUAL(count, 1);
	if (count == 1)
		CU_ASSERT_EQUAL(producers[0].last_sequence, 9);
	mem_free(producers);
	CU_ASSERT_EQUAL(p->bench.failed_dirs, 0);
}

#endif
