/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing all logs of a directory at the stop.  Each waits for the disk some
 * times; several at once share its waits.
 */
#include "base/loop.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define CLOSERS 8

struct closer {
	struct work work; /* first */
	struct closing *closing;
};

struct closing {
	struct log_dir *dir;
	struct log **logs; /* borrowed: the directory holds them */
	size_t count;
	atomic_size_t next;
	atomic_bool clean;
	struct closer closers[CLOSERS];
};

static void
close_claim(struct work *work)
{
	struct closing *closing = ((struct closer *)(void *)work)->closing;
	const struct storage_setup *setup = &closing->dir->storage->setup;
	size_t at;

	while ((at = atomic_fetch_add(&closing->next, 1)) < closing->count) {
		if (!log_dir_failed(closing->dir) &&
		    !log_close_clean(closing->logs[at]))
			atomic_store(&closing->clean, false);
		if (setup->log_closed != NULL)
			setup->log_closed(setup->log_closed_arg);
	}
}

bool
log_dir_close_logs(struct log_dir *dir)
{
	struct scheduler *scheduler = dir->storage->setup.scheduler;
	struct closing closing = { .dir = dir };
	struct work_queue *queue = scheduler == NULL
	    ? NULL
	    : work_queue_new(scheduler, "close", CLOSERS);

	closing.logs = mem_alloc((dir->log_count + 1) * sizeof(*closing.logs));
	LIST_EACH(element, &dir->logs)
		closing.logs[closing.count++] = list_entry(element, struct log,
		    in_dir);
	atomic_init(&closing.clean, true);
	for (size_t i = 0; i < CLOSERS; i++) {
		struct closer *closer = &closing.closers[i];

		closer->closing = &closing;
		closer->work.run = close_claim;
		if (queue != NULL)
			work_submit(queue, &closer->work);
		else
			close_claim(&closer->work);
	}
	work_queue_free(queue);
	mem_free(closing.logs);
	return (atomic_load(&closing.clean));
}
