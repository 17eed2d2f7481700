/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files that tell of a move between directories, in the log's own
 * directory, and the logs that a start has found and may not serve, as these
 * files say that another directory must be looked at first.
 *
 *	version: 1
 *	move_id: BASE64           of this one try to take the log's place
 *	topic_id: BASE64
 *	from: /where/the/log/lay
 *	to: /where/the/copy/lies
 *
 * The log's and its copy's are the same, byte for byte: that is how they know
 * each other.  doc/replica.md tells what a start makes of them.
 */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

#define MARK_BYTES_MAX ((size_t)4 * PATH_MAX)

static const char *const mark_names[] = {
	[MARK_LEAVES] = "barnabas.leaves",
	[MARK_ARRIVES] = "barnabas.arrives",
	[MARK_MOVED] = "barnabas.moved",
};

/* One that is not served. */
struct withheld {
	struct list link;
	struct log_dir *dir;
	char name[]; /* "topic-partition" */
};

static void
mark_file(const char *directory, enum mark_kind kind, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", directory, mark_names[kind]);
}

/* --- files ---------------------------------------------------------------- */

void
mark_make(const struct log *log, const struct log_dir *to, struct buffer *text)
{
	char move_id[UUID_TEXT_SIZE], topic_id[UUID_TEXT_SIZE];
	struct storage *storage = log->storage;
	struct uuid uuid;

	lock_take(&storage->lock);
	uuid = uuid_random(&storage->random);
	lock_release(&storage->lock);
	uuid_to_text(uuid, move_id);
	uuid_to_text(log_topic_id(log), topic_id);
	buffer_printf(text,
	    "version: 1\nmove_id: %s\ntopic_id: %s\nfrom: %s\nto: %s\n",
	    move_id, topic_id, log->dir->path, to->path);
}

bool
mark_write(struct files *files, const char *directory, enum mark_kind kind,
    struct slice text)
{
	char name[PATH_MAX];

	mark_file(directory, kind, name);
	return (file_replace(files, name, text.data, text.length) == 0);
}

bool
mark_remove(struct files *files, const char *directory, enum mark_kind kind)
{
	char name[PATH_MAX];

	mark_file(directory, kind, name);
	return (files->ops->unlink(files, name) == 0 || errno == ENOENT);
}

bool
mark_confirm(struct files *files, const char *directory)
{
	char from[PATH_MAX], to[PATH_MAX];

	mark_file(directory, MARK_ARRIVES, from);
	mark_file(directory, MARK_MOVED, to);
	/* It may have been renamed, and not synced, before. */
	return ((files->ops->rename(files, from, to) == 0 ||
		    errno == ENOENT) &&
	    file_sync_directory(files, directory) == 0);
}

bool
mark_is_there(struct files *files, const char *directory, enum mark_kind kind,
    bool *there)
{
	struct file_info info;
	char name[PATH_MAX];

	mark_file(directory, kind, name);
	*there = files->ops->stat(files, name, &info) == 0;
	return (*there || errno == ENOENT);
}

bool
mark_is_moved(const char *name)
{
	return (strcmp(name, mark_names[MARK_MOVED]) == 0);
}

bool
mark_is_temporary(const char *name)
{
	size_t length = strlen(name);

	return (strncmp(name, "barnabas.", 9) == 0 && length > 4 &&
	    strcmp(name + length - 4, ".tmp") == 0);
}

void
mark_remove_temporary(struct files *files, const char *directory)
{
	char name[PATH_MAX + 8], mark[PATH_MAX];

	for (int kind = 0; kind < MARK_COUNT; kind++) {
		mark_file(directory, (enum mark_kind)kind, mark);
		snprintf(name, sizeof(name), "%s.tmp", mark);
		(void)files->ops->unlink(files, name);
	}
}

/* The value of the next line, if it has that key. */
static bool
mark_line(struct slice *text, const char *key, struct slice *value)
{
	struct slice line = text_cut(*text, '\n', text);
	size_t length = strlen(key);

	if (line.length < length || memcmp(line.data, key, length) != 0)
		return (false);
	*value = slice_of(line.data + length, line.length - length);
	return (true);
}

static bool
mark_parse(struct mark *mark)
{
	struct slice rest = slice_of(mark->text, mark->length);
	struct slice version, move_id, topic_id;
	struct uuid id;

	return (mark_line(&rest, "version: ", &version) &&
	    slice_equal_text(version, "1") &&
	    mark_line(&rest, "move_id: ", &move_id) &&
	    uuid_from_text(move_id, &id) &&
	    mark_line(&rest, "topic_id: ", &topic_id) &&
	    uuid_from_text(topic_id, &mark->topic_id) &&
	    mark_line(&rest, "from: ", &mark->from) &&
	    mark_line(&rest, "to: ", &mark->to) && rest.length == 0);
}

bool
mark_load(struct files *files, const char *directory, enum mark_kind kind,
    struct mark *mark)
{
	char name[PATH_MAX];

	*mark = (struct mark){ 0 };
	mark_file(directory, kind, name);
	if (file_load(files, name, MARK_BYTES_MAX, &mark->text,
		&mark->length) == 0) {
		mark->good = mark_parse(mark);
		return (true);
	}
	/* It is there, and tells nothing. */
	if (errno == EFBIG) {
		*mark = (struct mark){ .text = mem_strdup("") };
		return (true);
	}
	return (errno == ENOENT);
}

void
mark_free(struct mark *mark)
{
	mem_free(mark->text);
	*mark = (struct mark){ 0 };
}

bool
mark_equal(const struct mark *a, const struct mark *b)
{
	return (a->good && b->good && a->length == b->length &&
	    memcmp(a->text, b->text, a->length) == 0);
}

/* --- what is not served --------------------------------------------------- */

void
storage_withhold(struct log_dir *dir, const char *name)
{
	struct storage *storage = dir->storage;
	size_t size = strlen(name) + 1;
	struct withheld *withheld = mem_zalloc(sizeof(*withheld) + size);

	withheld->dir = dir;
	memcpy(withheld->name, name, size);
	lock_take(&storage->deletions_lock);
	list_push_tail(&storage->withheld, &withheld->link);
	lock_release(&storage->deletions_lock);
}

/* The lock of deletions is held. Either may be NULL: any. */
static struct withheld *
withheld_find(struct storage *storage, const struct log_dir *dir,
    const char *name)
{
	LIST_EACH(element, &storage->withheld) {
		struct withheld *withheld = list_entry(element,
		    struct withheld, link);

		if ((name == NULL || strcmp(withheld->name, name) == 0) &&
		    (dir == NULL || withheld->dir == dir))
			return (withheld);
	}
	return (NULL);
}

bool
storage_is_withheld(struct storage *storage, const struct log_dir *dir,
    const char *name)
{
	bool found;

	lock_take(&storage->deletions_lock);
	found = withheld_find(storage, dir, name) != NULL;
	lock_release(&storage->deletions_lock);
	return (found);
}

bool
storage_withholds(struct storage *storage, const char *topic,
    int32_t partition)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	return (storage_is_withheld(storage, NULL, name));
}

struct log_dir *
storage_take_withheld(struct storage *storage, const char *name)
{
	struct withheld *found;
	struct log_dir *dir;

	lock_take(&storage->deletions_lock);
	found = withheld_find(storage, NULL, name);
	if (found != NULL)
		list_remove(&found->link);
	lock_release(&storage->deletions_lock);
	dir = found == NULL ? NULL : found->dir;
	mem_free(found);
	return (dir);
}

void
storage_forget_withheld(struct storage *storage)
{
	struct list *link;

	while ((link = list_pop_head(&storage->withheld)) != NULL)
		mem_free(list_entry(link, struct withheld, link));
}
