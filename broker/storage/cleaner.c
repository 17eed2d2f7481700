/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who compacts, and when.  A timer looks every log.cleaner.backoff.ms; as many
 * cleaners as log.cleaner.threads says take the dirtiest log each, and the next
 * one, until none is dirty enough.
 *
 *	[idle] --timer--> [on a worker] --a step is done--> [on the loop]
 *	   ^                   ^                             |   |   |
 *	   |                   +---------- more -------------+   |   |
 *	   |                   +-- pause: it was too fast -------+   |
 *	   +------------------- nothing is dirty --------------------+
 *
 * A step is some megabytes, so that workers have others to serve and a stop
 * waits for one step only.
 *
 * A pass takes its share of the memory for offset maps when it begins, an equal
 * one for each cleaner, and gives it back when it ends.  Where the number of
 * cleaners has changed meanwhile, shares of two sizes are out: a pass that has
 * no room beside them waits for a later look, and a cleaner that is one too
 * many takes no other log.
 */
#include <errno.h>

#include "base/check.h"
#include "base/loop.h"
#include "base/mem.h"
#include "storage/clean_int.h"

#define CLEANERS_MAX 64
#define STEP_BYTES ((int64_t)8 << 20)
#define BACKOFF_LEAST_MS 10
/* With a limit: how long a step's bytes may take, and a pause is at most. */
#define THROTTLE_LOOK_MS 300
#define PAUSE_MAX_MS 1000
/* Nobody sets a limit that is larger than this. */
#define NO_LIMIT 1e18

struct cleaner {
	struct work work; /* first */
	struct timer pause;
	struct cleaners *cleaners;
	struct cleaning *cleaning; /* the worker's while it is busy */
	bool busy;                 /* the loop's */
	bool idle;                 /* said by the worker: nothing is dirty */
	int64_t pause_ms;          /* likewise */
	int64_t map_bytes;         /* its share; the worker's, 0: none */
	/* Of its last log; the storage's cleaner_lock. */
	struct clean_stats last;
	int64_t last_ms;
};

struct cleaners {
	struct storage *storage;
	struct loop *loop;
	struct work_queue *queue;
	struct timer timer;
	/* The storage's, and one of each busy cleaner. */
	atomic_uint references;
	atomic_bool stopped;
	int parallel;
	struct cleaner items[CLEANERS_MAX];
	/* The storage's cleaner_lock guards these. */
	int64_t free_at_ms; /* from when on the limit allows more, */
	double rate;        /* if it still is this one */
	int64_t map_bytes;  /* all shares that are out */
	int64_t last_run_ms;
	double max_ratio;
	int64_t max_delay_ms;
};

static struct cleaner_options
options_now(struct storage *storage)
{
	struct cleaner_options options;

	lock_take(&storage->cleaner_lock);
	options = storage->cleaner_options;
	lock_release(&storage->cleaner_lock);
	return (options);
}

static int
cleaner_count(const struct cleaner_options *options)
{
	return (options->threads < CLEANERS_MAX ? options->threads :
						  CLEANERS_MAX);
}

/* --- the memory ----------------------------------------------------------- */

/* False: there is no room beside those that are out. */
static bool
share_take(struct cleaner *cleaner, const struct cleaner_options *options,
    struct clean_share *out)
{
	struct cleaners *cleaners = cleaner->cleaners;
	struct storage *storage = cleaners->storage;
	const int count = cleaner_count(options);

	*out = (struct clean_share){
		.map_bytes = options->map_bytes / count,
		.load_factor = options->load_factor,
		.buffer_bytes = options->buffer_bytes / count,
	};
	lock_take(&storage->cleaner_lock);
	if (cleaners->map_bytes <= options->map_bytes - out->map_bytes)
		cleaner->map_bytes = out->map_bytes;
	cleaners->map_bytes += cleaner->map_bytes;
	lock_release(&storage->cleaner_lock);
	return (cleaner->map_bytes > 0);
}

static void
share_give_back(struct cleaner *cleaner)
{
	struct cleaners *cleaners = cleaner->cleaners;
	struct storage *storage = cleaners->storage;

	lock_take(&storage->cleaner_lock);
	cleaners->map_bytes -= cleaner->map_bytes;
	lock_release(&storage->cleaner_lock);
	cleaner->map_bytes = 0;
}

/* --- the limit ------------------------------------------------------------ */

static int64_t
step_bytes(const struct cleaner_options *options)
{
	double most = options->bytes_per_second * THROTTLE_LOOK_MS / 1000;

	if (most >= (double)STEP_BYTES)
		return (STEP_BYTES);
	return (most < 1 ? 1 : (int64_t)most);
}

/* What was read and written takes its time, for all cleaners together; nothing
 * is owed to a limit that is another one by now.  The pause that is left. */
static int64_t
throttle(struct cleaners *cleaners, const struct cleaner_options *options,
    int64_t bytes)
{
	struct storage *storage = cleaners->storage;
	int64_t now_ms = storage_mono_ms(storage);
	double rate = options->bytes_per_second;
	int64_t pause_ms;

	lock_take(&storage->cleaner_lock);
	if (cleaners->free_at_ms < now_ms || cleaners->rate != rate)
		cleaners->free_at_ms = now_ms;
	cleaners->rate = rate;
	if (rate < NO_LIMIT)
		cleaners->free_at_ms += (int64_t)((double)bytes /
		    (rate < 1 ? 1 : rate) * 1000);
	pause_ms = cleaners->free_at_ms - now_ms;
	lock_release(&storage->cleaner_lock);
	return (pause_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms);
}

/* --- on a worker ---------------------------------------------------------- */

static void
say_done(const struct cleaning *cleaning, int64_t took_ms)
{
	const struct clean_stats *stats = &cleaning->stats;
	struct diag *diag = cleaning->storage->diag;

	diag_info(diag, storage, "partition=%s compacted dirty from=%lld "
	    "to=%lld bytes=%lld left=%lld records=%lld left=%lld ms=%lld",
	    cleaning->log->name, (long long)cleaning->candidate.first_dirty,
	    (long long)cleaning->end_offset, (long long)stats->read_bytes,
	    (long long)stats->written_bytes, (long long)stats->read_records,
	    (long long)stats->written_records, (long long)took_ms);
	if (stats->keyless_records > 0)
		diag_warn(diag, storage, "partition=%s records without a key "
		    "were removed count=%lld", cleaning->log->name,
		    (long long)stats->keyless_records);
}

/* What is compacted is known to the disk, if the log still is what it was. */
static void
note_done(struct cleaner *cleaner, const struct cleaning *cleaning)
{
	struct storage *storage = cleaning->storage;
	struct log *log = cleaning->log;
	int64_t now_ms = storage_mono_ms(storage);
	bool stale;

	lock_take(&log->writer);
	stale = cleaning_is_stale(cleaning);
	if (!stale)
		atomic_store(&log->cleaned_to, cleaning->end_offset);
	lock_release(&log->writer);
	if (stale)
		return;
	(void)log_dir_write_checkpoint(log->dir, CHECKPOINT_CLEANER);
	say_done(cleaning, now_ms - cleaning->stats.begun_ms);
	lock_take(&storage->cleaner_lock);
	cleaner->last = cleaning->stats;
	cleaner->last_ms = now_ms - cleaning->stats.begun_ms;
	lock_release(&storage->cleaner_lock);
}

static void
choose(struct cleaner *cleaner, const struct clean_share *share)
{
	struct cleaners *cleaners = cleaner->cleaners;
	struct storage *storage = cleaners->storage;
	struct clean_choice choice;

	clean_choose(storage, &choice);
	lock_take(&storage->cleaner_lock);
	cleaners->last_run_ms = storage_mono_ms(storage);
	cleaners->max_ratio = choice.max_ratio;
	cleaners->max_delay_ms = choice.max_delay_ms;
	lock_release(&storage->cleaner_lock);
	if (choice.log != NULL)
		cleaner->cleaning = cleaning_new(choice.log, share);
}

static void
pass_end(struct cleaner *cleaner)
{
	cleaning_free(&cleaner->cleaning);
	share_give_back(cleaner);
}

/* False: it is one too many, has no memory, or nothing is dirty. */
static bool
pass_begin(struct cleaner *cleaner, const struct cleaner_options *options)
{
	const int slot = (int)(cleaner - cleaner->cleaners->items);
	struct clean_share share;

	if (slot >= options->threads || !share_take(cleaner, options, &share))
		return (false);
	choose(cleaner, &share);
	if (cleaner->cleaning != NULL)
		return (true);
	pass_end(cleaner);
	return (false);
}

/* True: it is over. */
static bool
step(struct cleaner *cleaner, const struct cleaner_options *options)
{
	struct cleaning *cleaning = cleaner->cleaning;

	switch (cleaning_step(cleaning, step_bytes(options))) {
	case CLEAN_MORE:
		return (false);
	case CLEAN_DONE:
		note_done(cleaner, cleaning);
		break;
	case CLEAN_DAMAGED:
		atomic_store(&cleaning->log->uncleanable, true);
		break;
	case CLEAN_REFUSED:
		clean_leave_out(cleaning->log, options->backoff_ms);
		cleaner->idle = true;
		break;
	case CLEAN_ABORTED:
		/* Not at once again. */
		cleaner->idle = true;
		break;
	}
	return (true);
}

static void
cleaner_run(struct work *work)
{
	struct cleaner *cleaner = (struct cleaner *)(void *)work;
	struct cleaners *cleaners = cleaner->cleaners;
	struct cleaner_options options = options_now(cleaners->storage);
	int64_t bytes;

	cleaner->idle = false;
	cleaner->pause_ms = throttle(cleaners, &options, 0);
	if (atomic_load(&cleaners->stopped)) {
		pass_end(cleaner);
		cleaner->idle = true;
		return;
	}
	if (cleaner->pause_ms > 0)
		return;
	if (cleaner->cleaning == NULL && !pass_begin(cleaner, &options)) {
		cleaner->idle = true;
		return;
	}
	if (step(cleaner, &options)) {
		bytes = cleaner->cleaning->io_bytes;
		pass_end(cleaner);
	} else {
		bytes = cleaner->cleaning->io_bytes;
		cleaner->cleaning->io_bytes = 0;
	}
	cleaner->pause_ms = throttle(cleaners, &options, bytes);
}

/* --- on the loop ---------------------------------------------------------- */

static void
cleaners_unref(struct cleaners *cleaners)
{
	if (atomic_fetch_sub(&cleaners->references, 1) == 1)
		mem_free(cleaners);
}

static void
cleaner_done(struct work *work)
{
	struct cleaner *cleaner = (struct cleaner *)(void *)work;
	struct cleaners *cleaners = cleaner->cleaners;

	if (atomic_load(&cleaners->stopped) || cleaner->idle) {
		cleaner->busy = false;
		cleaners_unref(cleaners);
	} else if (cleaner->pause_ms > 0) {
		timer_arm_in(&cleaner->pause, cleaner->pause_ms * 1000000);
	} else {
		work_submit(cleaners->queue, &cleaner->work);
	}
}

static void
cleaner_paused(struct timer *timer)
{
	struct cleaner *cleaner = container_of(timer, struct cleaner, pause);

	work_submit(cleaner->cleaners->queue, &cleaner->work);
}

static void
cleaners_set_count(struct cleaners *cleaners,
    const struct cleaner_options *options)
{
	const int count = cleaner_count(options);

	if (count == cleaners->parallel)
		return;
	if (options->threads > count)
		diag_warn(cleaners->storage->diag, storage,
		    "log.cleaner.threads=%d is more than are made, cleaners=%d",
		    (int)options->threads, count);
	if (count > 0)
		work_queue_set_parallel(cleaners->queue, count);
	cleaners->parallel = count;
}

static void
cleaners_due(struct timer *timer)
{
	struct cleaners *cleaners = container_of(timer, struct cleaners,
	    timer);
	struct cleaner_options options = options_now(cleaners->storage);
	int64_t backoff_ms = options.backoff_ms < BACKOFF_LEAST_MS ?
	    BACKOFF_LEAST_MS : options.backoff_ms;

	cleaners_set_count(cleaners, &options);
	for (int i = 0; i < cleaners->parallel; i++) {
		struct cleaner *cleaner = &cleaners->items[i];

		if (cleaner->busy)
			continue;
		cleaner->busy = true;
		atomic_fetch_add(&cleaners->references, 1);
		work_submit(cleaners->queue, &cleaner->work);
	}
	if (backoff_ms < INT64_MAX / 1000000)
		timer_arm_in(timer, backoff_ms * 1000000);
}

void
cleaners_start(struct storage *storage, struct loop *loop)
{
	struct cleaners *cleaners;

	if (!storage->options->cleaner_enable)
		return;
	cleaners = mem_zalloc(sizeof(*cleaners));
	cleaners->storage = storage;
	cleaners->loop = loop;
	cleaners->queue = work_queue_new(loop_scheduler(loop), "cleaner", 1);
	cleaners->parallel = 1;
	cleaners->last_run_ms = storage_mono_ms(storage);
	atomic_init(&cleaners->references, 1);
	atomic_init(&cleaners->stopped, false);
	for (int i = 0; i < CLEANERS_MAX; i++) {
		struct cleaner *cleaner = &cleaners->items[i];

		cleaner->cleaners = cleaners;
		cleaner->work.run = cleaner_run;
		cleaner->work.done = cleaner_done;
		cleaner->work.home = loop;
		timer_init(&cleaner->pause, loop, cleaner_paused);
	}
	timer_init(&cleaners->timer, loop, cleaners_due);
	storage->cleaners = cleaners;
	timer_arm_in(&cleaners->timer, 0);
}

void
cleaners_stop(struct storage *storage)
{
	struct cleaners *cleaners = storage->cleaners;

	if (cleaners == NULL)
		return;
	atomic_store(&cleaners->stopped, true);
	timer_disarm(&cleaners->timer);
	for (int i = 0; i < CLEANERS_MAX; i++) {
		if (!timer_armed(&cleaners->items[i].pause))
			continue;
		timer_disarm(&cleaners->items[i].pause);
		cleaners_unref(cleaners);
	}
}

void
cleaners_await(struct storage *storage)
{
	if (storage->cleaners != NULL)
		work_queue_wait(storage->cleaners->queue);
}

void
cleaners_free(struct storage *storage)
{
	struct cleaners *cleaners = storage->cleaners;

	if (cleaners == NULL)
		return;
	atomic_store(&cleaners->stopped, true);
	storage->cleaners = NULL;
	work_queue_free(cleaners->queue);
	for (int i = 0; i < CLEANERS_MAX; i++)
		cleaning_free(&cleaners->items[i].cleaning);
	cleaners_unref(cleaners);
}

/* --- what others ask and say ---------------------------------------------- */

bool
log_lower_cleaned(struct log *log, int64_t offset)
{
	if (atomic_load(&log->cleaned_to) <= offset)
		return (true);
	atomic_store(&log->cleaned_to, offset);
	return (log_dir_must_checkpoint(log->dir, CHECKPOINT_CLEANER));
}

int64_t
log_uncleanable_bytes(struct log *log)
{
	struct clean_candidate candidate;

	if (!atomic_load(&log->uncleanable))
		return (-1);
	return (log_failed(log) ||
		    !clean_look(log, storage_now_ms(log->storage),
			&candidate) ? 0 : candidate.cleanable_bytes);
}

void
storage_cleaning(struct storage *storage, struct storage_cleaning *out)
{
	struct cleaners *cleaners = storage->cleaners;
	int64_t read_bytes = 0;
	int64_t written_bytes = 0;

	*out = (struct storage_cleaning){ 0 };
	if (cleaners == NULL)
		return;
	lock_take(&storage->cleaner_lock);
	out->max_dirty_percent = (int)(100 * cleaners->max_ratio);
	out->since_last_run_ms = storage_mono_ms(storage) -
	    cleaners->last_run_ms;
	out->max_delay_seconds = cleaners->max_delay_ms / 1000;
	for (int i = 0; i < CLEANERS_MAX; i++) {
		const struct cleaner *cleaner = &cleaners->items[i];

		read_bytes += cleaner->last.read_bytes;
		written_bytes += cleaner->last.written_bytes;
		if (cleaner->last.percent > out->max_buffer_percent)
			out->max_buffer_percent = cleaner->last.percent;
		if (cleaner->last_ms / 1000 > out->max_clean_seconds)
			out->max_clean_seconds = cleaner->last_ms / 1000;
	}
	lock_release(&storage->cleaner_lock);
	out->recopy_percent = (int)(100 * written_bytes /
	    (read_bytes < 1 ? 1 : read_bytes));
}
