/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading all directories at the start.  Each has its list of logs and its own
 * loaders, pieces of work that claim one log after the other, so that a slow
 * directory keeps no other waiting:
 *
 *	listed --> loaders claim --> all claimed, all done --> loaded
 *	     \         \--> one I/O error: the directory is offline, the rest
 *	      \              of its logs is left alone
 *	       \--> a name that is no log's: the start ends
 *
 * Logs with marks of a move come last, when it is known what else there is
 * (load_marked.c).
 *
 * A load that is abandoned, because the broker is to stop, leaves alone what it
 * has not claimed, and ends recoveries between two batches: what they have
 * written so far is as good as what a death there would have left.
 *
 * Without threads (replay) the first loader takes them all, in their order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

#define UUID_HEX 32
/* How often progress is told, and how often it is said in the log. */
#define PROGRESS_TELL_MS 1000
#define PROGRESS_SAY_MS 10000

/* One directory entry that is a log to load. */
struct load_job {
	char *topic;
	int32_t partition;
	bool marked; /* a mark asks to look at other directories first */
};

struct loader {
	struct work work; /* first */
	struct dir_load *load;
};

/* One directory's part; while loaders run, `next` and `left` change alone. */
struct dir_load {
	struct load *load;
	struct log_dir *dir;
	bool clean;
	struct load_job *jobs;
	size_t count;
	size_t capacity;
	atomic_size_t next;
	atomic_size_t left; /* not loaded yet */
	int64_t started_ms;
	struct loader *loaders;
	struct work_queue *queue;
};

/* All of a storage_load(). */
struct load {
	struct storage *storage;
	struct dir_load *dirs;
	size_t total;
	void (*progress)(void *arg, size_t done, size_t total);
	void *arg;
	atomic_size_t done;
	atomic_bool fatal;
	atomic_llong tell_after_ms;
	atomic_llong say_after_ms;
};

static void load_list(struct load *load);
static int load_note(void *arg, const char *name, bool is_directory);
static bool set_aside(struct dir_load *load, struct slice name);
static void load_run(struct load *load);
static void load_claim(struct work *work);
static void load_one(struct dir_load *load, struct load_job *job);
static void load_marked(struct load *load);
static void load_free(struct load *load);

bool
storage_load(struct storage *storage,
    void (*progress)(void *arg, size_t done, size_t total), void *arg)
{
	struct load load = {
		.storage = storage,
		.progress = progress,
		.arg = arg,
	};
	size_t usable = 0;
	bool whole;

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	load.dirs = mem_zalloc((storage->dir_count + 1) * sizeof(*load.dirs));
	storage->load = &load;
	load_list(&load);
	if (!atomic_load(&load.fatal))
		load_run(&load);
	if (!atomic_load(&load.fatal) && !storage_load_is_abandoned(storage))
		load_marked(&load);
	storage->load = NULL;
	whole = !atomic_load(&load.fatal) &&
	    !atomic_load(&storage->load_abandoned);
	for (size_t i = 0; i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];

		dir->loaded = whole && !log_dir_failed(dir);
		/* A start that ends here takes nothing from a clean stop. */
		if (!whole && dir->marked && !log_dir_failed(dir))
			log_dir_mark_clean(dir);
		usable += !log_dir_failed(dir);
	}
	if (whole && progress != NULL)
		progress(arg, load.total, load.total);
	load_free(&load);
	if (whole && usable == 0)
		diag_fatal(storage->diag, storage,
		    "none of the log directories could be loaded");
	return (whole && usable > 0);
}

void
storage_load_abandon(struct storage *storage)
{
	CHECK_MAGIC(storage, STORAGE_MAGIC);
	atomic_store(&storage->load_abandoned, true);
}

bool
storage_load_is_abandoned(const struct storage *storage)
{
	if (storage->load == NULL ||
	    !atomic_load_explicit(&storage->load_abandoned,
		memory_order_relaxed))
		return (false);
	errno = ECANCELED;
	return (true);
}

static void
load_free(struct load *load)
{
	for (size_t i = 0; i < load->storage->dir_count; i++) {
		struct dir_load *dir = &load->dirs[i];

		for (size_t j = 0; j < dir->count; j++)
			mem_free(dir->jobs[j].topic);
		mem_free(dir->jobs);
		mem_free(dir->loaders);
	}
	mem_free(load->dirs);
}

/* --- what there is -------------------------------------------------------- */

static int
job_order(const void *a, const void *b)
{
	const struct load_job *left = a;
	const struct load_job *right = b;
	int order = strcmp(left->topic, right->topic);

	return (order != 0 ? order
			   : (left->partition > right->partition) -
		    (left->partition < right->partition));
}

static void
load_list(struct load *load)
{
	struct storage *storage = load->storage;
	struct files *files = storage->files;

	for (size_t i = 0; i < storage->dir_count; i++) {
		struct dir_load *dir = &load->dirs[i];

		dir->load = load;
		dir->dir = storage->dirs[i];
		if (log_dir_failed(dir->dir) || atomic_load(&load->fatal))
			continue;
		dir->clean = log_dir_marked_clean(dir->dir);
		log_dir_read_checkpoints(dir->dir);
		if (files->ops->list(files, dir->dir->path, load_note, dir) < 0)
			log_dir_fail(dir->dir, "could not be listed",
			    dir->dir->path, errno);
		if (dir->count > 0)
			qsort(dir->jobs, dir->count, sizeof(*dir->jobs),
			    job_order);
	}
	for (size_t i = 0; i < storage->dir_count; i++) {
		atomic_init(&load->dirs[i].next, 0);
		atomic_init(&load->dirs[i].left, load->dirs[i].count);
		load->total += load->dirs[i].count;
	}
}

static int
load_note(void *arg, const char *name, bool is_directory)
{
	struct dir_load *load = arg;
	struct slice text = slice_of_text(name);
	const char *dash = strrchr(name, '-');
	int32_t partition;

	if (!is_directory || strcmp(name, "remote-log-index-cache") == 0)
		return (0);
	if (set_aside(load, text))
		return (0);
	if (dash == NULL || dash == name ||
	    dash - name > TOPIC_NAME_MAX ||
	    !text_to_int32(slice_of_text(dash + 1), &partition) ||
	    partition < 0) {
		diag_fatal(load->load->storage->diag, storage,
		    "dir=%s found directory %s, which is not in the form of "
		    "topic-partition (or topic-partition.id-delete): it must "
		    "be moved away",
		    load->dir->path, name);
		atomic_store(&load->load->fatal, true);
		return (1);
	}
	if (load->count == load->capacity) {
		load->capacity = load->capacity * 2 + 64;
		load->jobs = mem_realloc(load->jobs,
		    load->capacity * sizeof(*load->jobs));
	}
	load->jobs[load->count++] = (struct load_job){
		.topic = mem_strndup(name, (size_t)(dash - name)),
		.partition = partition,
	};
	return (0);
}

/* TOPIC-P.HEX32-delete and its like: true when it is no log to be served. */
static bool
set_aside(struct dir_load *load, struct slice name)
{
	static const char *const kinds[] = { "-delete", "-stray", "-future" };

	for (size_t k = 0; k < nelems(kinds); k++) {
		size_t length = strlen(kinds[k]);
		const uint8_t *end = name.data + name.length - length;
		char text[NAME_MAX + 1];

		if (name.length < length + UUID_HEX + 2 ||
		    memcmp(end, kinds[k], length) != 0 ||
		    end[-UUID_HEX - 1] != '.' || name.length > NAME_MAX)
			continue;
		snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(name));
		if (k == 0)
			storage_doom(load->dir, text);
		else if (k == 2 && !storage_note_future(load->dir, text)) {
			diag_fatal(load->load->storage->diag, storage,
			    "dir=%s directory %s: its partition has another "
			    "one of the kind, one of them must be moved away",
			    load->dir->path, text);
			atomic_store(&load->load->fatal, true);
		} else
			diag_warn(load->load->storage->diag, storage,
			    "dir=%s directory %s is left as it is",
			    load->dir->path, text);
		return (true);
	}
	return (false);
}

/* --- loading -------------------------------------------------------------- */

/* As many as the option says, and no fewer than there are cores for each. */
static int
loader_count(const struct dir_load *dir)
{
	const struct storage *storage = dir->load->storage;
	size_t wanted = (size_t)storage->options->recovery_threads_per_data_dir;
	size_t cores = (size_t)storage->setup.cores / storage->dir_count;

	if (wanted < cores)
		wanted = cores;
	if (wanted > dir->count)
		wanted = dir->count;
	return (wanted < 1 ? 1 : (int)wanted);
}

static void
load_begin(struct dir_load *dir)
{
	struct storage *storage = dir->load->storage;
	int count = loader_count(dir);

	dir->started_ms = clock_mono_ms(storage->setup.clock);
	diag_info(storage->diag, storage,
	    "dir=%s loading logs=%zu loaders=%d after=%s", dir->dir->path,
	    dir->count, count,
	    dir->clean ? "a clean stop" : "an unclean stop: recovering");
	dir->loaders = mem_zalloc((size_t)count * sizeof(*dir->loaders));
	if (storage->setup.scheduler == NULL) {
		dir->loaders[0].load = dir;
		load_claim(&dir->loaders[0].work);
		return;
	}
	dir->queue = work_queue_new(storage->setup.scheduler, "load", count);
	for (int i = 0; i < count; i++) {
		dir->loaders[i].load = dir;
		dir->loaders[i].work.run = load_claim;
		work_submit(dir->queue, &dir->loaders[i].work);
	}
}

static void
load_run(struct load *load)
{
	int64_t now_ms = clock_mono_ms(load->storage->setup.clock);

	atomic_store(&load->tell_after_ms, now_ms + PROGRESS_TELL_MS);
	atomic_store(&load->say_after_ms, now_ms + PROGRESS_SAY_MS);
	if (load->progress != NULL)
		load->progress(load->arg, 0, load->total);
	for (size_t i = 0; i < load->storage->dir_count; i++)
		if (load->dirs[i].count > 0)
			load_begin(&load->dirs[i]);
	for (size_t i = 0; i < load->storage->dir_count; i++)
		work_queue_free(load->dirs[i].queue);
}

static void
load_claim(struct work *work)
{
	struct dir_load *dir = ((struct loader *)(void *)work)->load;
	struct storage *storage = dir->load->storage;
	size_t at;

	while ((at = atomic_fetch_add(&dir->next, 1)) < dir->count) {
		if (!log_dir_failed(dir->dir) &&
		    !atomic_load(&dir->load->fatal) &&
		    !storage_load_is_abandoned(storage))
			load_one(dir, &dir->jobs[at]);
		atomic_fetch_add(&dir->load->done, 1);
		storage_load_goes_on(storage);
		if (atomic_fetch_sub(&dir->left, 1) == 1 &&
		    !log_dir_failed(dir->dir) &&
		    !storage_load_is_abandoned(storage))
			diag_info(storage->diag, storage,
			    "dir=%s loaded logs=%zu ms=%" PRId64,
			    dir->dir->path, dir->count,
			    clock_mono_ms(storage->setup.clock) -
				dir->started_ms);
	}
}

static void
load_one(struct dir_load *dir, struct load_job *job)
{
	struct files *files = dir->load->storage->files;
	bool leaves, arrives;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s-%" PRId32, dir->dir->path,
	    job->topic, job->partition);
	if (!mark_is_there(files, path, MARK_LEAVES, &leaves) ||
	    !mark_is_there(files, path, MARK_ARRIVES, &arrives))
		log_dir_fail(dir->dir, "could not look for marks", path,
		    errno);
	else if (leaves || arrives)
		job->marked = true;
	else
		(void)storage_load_log(dir->dir, job->topic, job->partition,
		    dir->clean);
}

void
storage_found_twice(const struct log_dir *dir, const char *name)
{
	diag_fatal(dir->storage->diag, storage,
	    "partition=%s is in two log directories, one is %s", name,
	    dir->path);
	atomic_store(&dir->storage->load->fatal, true);
}

bool
storage_load_log(struct log_dir *dir, const char *topic, int32_t partition,
    bool clean)
{
	struct storage *storage = dir->storage;
	struct log *log = log_load(dir, topic, partition, clean);

	if (log == NULL)
		return (false);
	if (!storage_add_log(storage, log)) {
		storage_found_twice(dir, log->name);
		log_unref(log);
		return (false);
	}
	lock_take(&storage->lock);
	dir->placed_count++;
	lock_release(&storage->lock);
	return (true);
}

static void
load_marked(struct load *load)
{
	struct marked *items = mem_alloc((load->total + 1) * sizeof(*items));
	size_t count = 0;

	for (size_t i = 0; i < load->storage->dir_count; i++) {
		const struct dir_load *dir = &load->dirs[i];

		for (size_t j = 0; j < dir->count; j++)
			if (dir->jobs[j].marked)
				items[count++] = (struct marked){
					.dir = dir->dir,
					.topic = dir->jobs[j].topic,
					.partition = dir->jobs[j].partition,
					.clean = dir->clean,
				};
	}
	storage_load_marked(load->storage, items, count);
	mem_free(items);
}

/* True once for whoever comes first after the time that *after tells. */
static bool
is_due(atomic_llong *after, int64_t now_ms, int64_t period_ms)
{
	long long due_ms = atomic_load(after);

	return (now_ms >= due_ms &&
	    atomic_compare_exchange_strong(after, &due_ms,
		now_ms + period_ms));
}

void
storage_load_goes_on(struct storage *storage)
{
	struct load *load = storage->load;
	int64_t now_ms;
	size_t done;

	if (load == NULL)
		return;
	now_ms = clock_mono_ms(storage->setup.clock);
	done = atomic_load(&load->done);
	if (load->progress != NULL && done < load->total &&
	    is_due(&load->tell_after_ms, now_ms, PROGRESS_TELL_MS))
		load->progress(load->arg, done, load->total);
	if (is_due(&load->say_after_ms, now_ms, PROGRESS_SAY_MS))
		diag_info(storage->diag, storage, "loading logs: %zu of %zu",
		    done, load->total);
}
