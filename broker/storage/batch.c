/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many new logs at once.  A new log is a few small files and names that must be
 * on the disk.  One log after the other, the file system commits several times
 * for each; here every step is made for all logs of a batch before the next one
 * begins, so that one commit is for all of them.
 *
 *	add      directory, segment, PATH.tmp of the small files: not synced
 *	commit   all .tmp begin to be written out
 *	         each .tmp is synced
 *	         each is renamed
 *	         each log's directory is synced, then those that they lie in
 *	         now the logs are found, with their epochs
 *
 * For every single log that is the order of log_create().  Nobody else knows
 * of a log before the last step: no writer's lock is taken.  What passes (no
 * room, no descriptor) is given up: asked for alone, it is tried once more, and
 * said.
 */
#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

enum { SMALL_METADATA, SMALL_EPOCHS, SMALL_COUNT };

struct batched {
	struct log *log;
	bool admitted; /* it is in the tables, and theirs */
	bool given_up;
	bool has[SMALL_COUNT];        /* is to be on the disk */
	int descriptors[SMALL_COUNT]; /* of its .tmp; -1: none, or synced */
	struct uuid topic_id;
	struct epochs epochs; /* as they shall be */
};

/* Of the bound of kept files, what one batch may hold open beside: several are
 * under way at once. */
#define BATCH_SHARE 16
#define ITEM_DESCRIPTORS 2

struct log_batch {
	struct storage *storage;
	size_t room; /* of items */
	size_t count;
	struct batched items[LOG_BATCH_MAX];
};

struct log_batch *
log_batch_new(struct storage *storage)
{
	struct log_batch *batch = mem_zalloc(sizeof(*batch));

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	batch->storage = storage;
	batch->room = storage_files(storage).bound / BATCH_SHARE /
	    ITEM_DESCRIPTORS;
	if (batch->room < 1)
		batch->room = 1;
	if (batch->room > LOG_BATCH_MAX)
		batch->room = LOG_BATCH_MAX;
	return (batch);
}

bool
log_batch_full(const struct log_batch *batch)
{
	return (batch->count == batch->room);
}

void
log_batch_free(struct log_batch **batch)
{
	CHECK((*batch)->count == 0);
	mem_free(*batch);
	*batch = NULL;
}

/* By errno: what passes is left to whoever asks for the log alone. */
static void
batch_give_up(struct batched *item, const char *what)
{
	int error = errno;

	if (!log_wants_room(error) && error != ENAMETOOLONG)
		log_fail(item->log, what);
	item->given_up = true;
	errno = error;
}

static bool
batch_goes_on(const struct batched *item)
{
	return (!item->given_up && !log_failed(item->log));
}

/* --- what is begun -------------------------------------------------------- */

static void
batch_begin_metadata(struct batched *item, struct uuid topic_id)
{
	char name[PATH_MAX];
	char text[LOG_METADATA_TEXT_SIZE];
	size_t length = log_metadata_text(topic_id, text);

	if (uuid_is_zero(topic_id))
		return;
	log_file(item->log, LOG_METADATA_NAME, name);
	item->topic_id = topic_id;
	item->descriptors[SMALL_METADATA] = file_replace_begin(
	    item->log->storage->files, name, text, length);
	item->has[SMALL_METADATA] = true;
	if (item->descriptors[SMALL_METADATA] < 0)
		batch_give_up(item, "could not write partition.metadata");
}

static void
batch_begin_epochs(struct batched *item, int32_t leader_epoch)
{
	epochs_assign(&item->epochs, leader_epoch, log_end_offset(item->log));
	item->descriptors[SMALL_EPOCHS] = log_begin_epochs(item->log,
	    &item->epochs);
	item->has[SMALL_EPOCHS] = true;
	if (item->descriptors[SMALL_EPOCHS] < 0)
		batch_give_up(item, "could not write leader epochs");
}

void
log_batch_add(struct log_batch *batch, const struct log_wish *wish)
{
	struct batched *item = &batch->items[batch->count];
	struct log *log;

	CHECK(!log_batch_full(batch));
	log = storage_place_log(batch->storage, wish->topic, wish->partition);
	if (log == NULL)
		return;
	batch->count++;
	*item = (struct batched){
		.log = log,
		.given_up = log_failed(log),
		.descriptors = { -1, -1 },
	};
	if (batch_goes_on(item)) {
		if (!log_make_files(log))
			batch_give_up(item, "could not make the log");
		else
			batch_begin_metadata(item, wish->topic_id);
	}
	if (wish->leader_epoch >= 0 && batch_goes_on(item))
		batch_begin_epochs(item, wish->leader_epoch);
}

/* --- the steps ------------------------------------------------------------ */

static void
batch_write_out(struct batched *item)
{
	struct files *files = item->log->storage->files;

	for (int i = 0; i < SMALL_COUNT; i++)
		if (item->descriptors[i] >= 0 && batch_goes_on(item))
			files->ops->write_out(files, item->descriptors[i]);
}

/* Closes them, whatever happened. */
static void
batch_sync(struct batched *item)
{
	struct files *files = item->log->storage->files;

	for (int i = 0; i < SMALL_COUNT; i++) {
		int descriptor = item->descriptors[i];

		item->descriptors[i] = -1;
		if (descriptor >= 0 && !batch_goes_on(item))
			files->ops->close(files, descriptor);
		else if (descriptor >= 0 &&
		    file_replace_sync(files, descriptor) != 0)
			batch_give_up(item, "could not sync a new file");
	}
}

static void
batch_rename(struct batched *item)
{
	static const char *const names[SMALL_COUNT] = {
		[SMALL_METADATA] = LOG_METADATA_NAME,
		[SMALL_EPOCHS] = LOG_EPOCHS_NAME,
	};
	struct log *log = item->log;
	char name[PATH_MAX];

	if (!batch_goes_on(item))
		return;
	for (int i = 0; i < SMALL_COUNT && !item->given_up; i++) {
		if (!item->has[i])
			continue;
		log_file(log, names[i], name);
		if (file_replace_rename(log->storage->files, name) != 0)
			batch_give_up(item, "could not rename a new file");
	}
}

static void
batch_sync_log(struct batched *item)
{
	struct log *log = item->log;

	if (batch_goes_on(item) &&
	    file_sync_directory(log->storage->files, log->path) != 0)
		batch_give_up(item, "could not sync the log's directory");
}

/* The names of the logs that lie there. */
static void
batch_sync_dir(struct log_batch *batch, struct log_dir *dir)
{
	struct batched *items[LOG_BATCH_MAX];
	size_t count = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct batched *item = &batch->items[i];

		if (item->log->dir == dir && batch_goes_on(item))
			items[count++] = item;
	}
	if (count == 0 ||
	    file_sync_directory(batch->storage->files, dir->path) == 0)
		return;
	for (size_t i = 0; i < count; i++)
		batch_give_up(items[i], "could not sync the directory of");
}

/* All is on the disk: others may see it. */
static void
batch_show(struct batched *item)
{
	struct log *log = item->log;

	if (!batch_goes_on(item))
		return;
	log_keep_topic_id(log, item->topic_id);
	log_show_epochs(log, &item->epochs, true);
	item->epochs = (struct epochs){ 0 };
	item->admitted = storage_admit_log(log);
}

static void
batch_end(struct batched *item)
{
	epochs_fini(&item->epochs);
	if (!item->admitted)
		storage_displace_log(item->log);
}

void
log_batch_commit(struct log_batch *batch)
{
	struct storage *storage = batch->storage;
	struct batched *end = batch->items + batch->count;

	for (struct batched *item = batch->items; item < end; item++)
		batch_write_out(item);
	for (struct batched *item = batch->items; item < end; item++)
		batch_sync(item);
	for (struct batched *item = batch->items; item < end; item++)
		batch_rename(item);
	for (struct batched *item = batch->items; item < end; item++)
		batch_sync_log(item);
	for (size_t i = 0; i < storage->dir_count; i++)
		batch_sync_dir(batch, storage->dirs[i]);
	for (struct batched *item = batch->items; item < end; item++)
		batch_show(item);
	for (struct batched *item = batch->items; item < end; item++)
		batch_end(item);
	batch->count = 0;
}
