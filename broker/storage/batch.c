/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many logs at once.  A new log, or an epoch that begins, is a few small files
 * and names that must be on the disk.  One log after the other, the file system
 * commits several times for each; here every step is made for all logs of a
 * batch before the next one begins, so that one commit is for all of them.
 *
 *	add      directory, segment, PATH.tmp of the small files: not synced
 *	commit   all .tmp begin to be written out
 *	         each .tmp is synced
 *	         each is renamed
 *	         each log's directory is synced, then those the new ones lie in
 *	         now a new log is found, and a new epoch is known
 *
 * For every single log that is the order of log_create() and
 * log_assign_epoch().  No lock is held from one step to the next: whoever
 * changes a log's epochs meanwhile (retention does) is right, and those of the
 * batch are given up.  So is everything that passes (no room, no descriptor):
 * asked for alone, it is tried once more, and said.
 */
#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

enum { SMALL_METADATA, SMALL_EPOCHS, SMALL_COUNT };

struct batched {
	struct log *log; /* a reference */
	bool made;       /* new: only `admitted` it is in the tables */
	bool admitted;   /* and the reference is theirs */
	bool given_up;
	bool has[SMALL_COUNT];       /* is to be on the disk */
	bool in_place[SMALL_COUNT];  /* and is there, but for its name */
	int descriptors[SMALL_COUNT]; /* of its .tmp; -1: none, or synced */
	struct uuid topic_id;        /* of a new one */
	struct epochs epochs;        /* as they shall be */
	unsigned epochs_turn;        /* when their .tmp was written */
	int64_t end_offset;          /* likewise */
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
	struct log *log = item->log;

	lock_take(&log->writer);
	item->end_offset = log_end_offset(log);
	if (!log_deleted(log) && log->cut == CUT_NONE &&
	    epochs_lacks(&log->epochs, leader_epoch, item->end_offset)) {
		epochs_copy(&item->epochs, &log->epochs);
		epochs_assign(&item->epochs, leader_epoch, item->end_offset);
		item->has[SMALL_EPOCHS] = true;
		item->in_place[SMALL_EPOCHS] = log_epochs_in_file(log,
		    leader_epoch, item->end_offset);
		if (!item->in_place[SMALL_EPOCHS])
			item->descriptors[SMALL_EPOCHS] = log_begin_epochs(log,
			    &item->epochs);
		item->epochs_turn = log->epochs_turn;
		if (item->descriptors[SMALL_EPOCHS] < 0 &&
		    !item->in_place[SMALL_EPOCHS])
			batch_give_up(item, "could not write leader epochs");
	}
	lock_release(&log->writer);
}

void
log_batch_add(struct log_batch *batch, const struct log_wish *wish)
{
	struct batched *item = &batch->items[batch->count];
	struct log *log = wish->log;

	CHECK(!log_batch_full(batch));
	log = log != NULL ? log_ref(log) :
			    storage_place_log(batch->storage, wish->topic,
				wish->partition);
	if (log == NULL)
		return;
	batch->count++;
	*item = (struct batched){
		.log = log,
		.made = wish->log == NULL,
		.given_up = log_failed(log),
		.descriptors = { -1, -1 },
	};
	if (item->made && batch_goes_on(item)) {
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

/* The writer's lock is held: nothing has happened to the log's epochs. */
static bool
batch_epochs_hold(const struct batched *item)
{
	const struct log *log = item->log;

	return (!log_deleted(log) && log->epochs_turn == item->epochs_turn &&
	    log_end_offset(log) == item->end_offset);
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
	lock_take(&log->writer);
	item->has[SMALL_EPOCHS] = item->has[SMALL_EPOCHS] &&
	    batch_epochs_hold(item);
	for (int i = 0; i < SMALL_COUNT && !item->given_up; i++) {
		if (!item->has[i] || item->in_place[i])
			continue;
		log_file(log, names[i], name);
		if (file_replace_rename(log->storage->files, name) != 0)
			batch_give_up(item, "could not rename a new file");
	}
	lock_release(&log->writer);
}

static void
batch_sync_log(struct batched *item)
{
	struct log *log = item->log;

	if (!batch_goes_on(item) ||
	    (!item->made && !item->has[SMALL_EPOCHS]))
		return;
	if (file_sync_directory(log->storage->files, log->path) != 0)
		batch_give_up(item, "could not sync the log's directory");
}

/* The names of the new logs that lie there. */
static void
batch_sync_dir(struct log_batch *batch, struct log_dir *dir)
{
	struct batched *items[LOG_BATCH_MAX];
	size_t count = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct batched *item = &batch->items[i];

		if (item->made && item->log->dir == dir && batch_goes_on(item))
			items[count++] = item;
	}
	if (count == 0 ||
	    file_sync_directory(batch->storage->files, dir->path) == 0)
		return;
	for (size_t i = 0; i < count; i++)
		batch_give_up(items[i], "could not sync the directory of");
}

/* It was given up, maybe when the file had the batch's epochs already. */
static void
batch_unshown(struct batched *item)
{
	if (item->made || !item->has[SMALL_EPOCHS] ||
	    item->in_place[SMALL_EPOCHS])
		return;
	lock_take(&item->log->writer);
	log_epochs_changed(item->log);
	lock_release(&item->log->writer);
}

/* All is on the disk: others may see it. */
static void
batch_show(struct batched *item)
{
	struct log *log = item->log;

	if (!batch_goes_on(item)) {
		batch_unshown(item);
		return;
	}
	if (item->made) {
		log_keep_topic_id(log, item->topic_id);
		log_show_epochs(log, &item->epochs, true);
		item->epochs = (struct epochs){ 0 };
		item->admitted = storage_admit_log(log);
		return;
	}
	lock_take(&log->writer);
	if (item->has[SMALL_EPOCHS] && batch_epochs_hold(item)) {
		log_show_epochs(log, &item->epochs, true);
		item->epochs = (struct epochs){ 0 };
	} else if (item->has[SMALL_EPOCHS]) {
		/* The file may have the batch's. */
		log_epochs_changed(log);
	}
	lock_release(&log->writer);
}

static void
batch_end(struct batched *item)
{
	epochs_fini(&item->epochs);
	if (!item->made)
		log_unref(item->log);
	else if (!item->admitted)
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
