/* SPDX-License-Identifier: Apache-2.0 */
#include "zkglue/watch_table_int.h"

#include <string.h>

#include "base/list.h"
#include "base/mem.h"

struct watch_mark {
	struct list link;
	void *cookie;
	enum watch_kind kind;
};

struct watch_path {
	struct hash_node node;
	char *path;
	struct list marks;
};

static struct watch_path *
watch_find(struct watch_table *table, const char *path)
{
	struct hash_node *node = hash_find(&table->paths, path, strlen(path));

	return (node == NULL ? NULL
			     : container_of(node, struct watch_path, node));
}

static struct watch_path *
watch_path_new(struct watch_table *table, const char *path)
{
	struct watch_path *watched = mem_zalloc(sizeof(*watched));

	watched->path = mem_strdup(path);
	list_init(&watched->marks);
	hash_insert(&table->paths, &watched->node, watched->path,
	    strlen(path));
	table->path_bytes += strlen(path);
	return (watched);
}

static void
watch_path_free(struct watch_table *table, struct watch_path *watched)
{
	struct list *element;

	table->path_bytes -= strlen(watched->path);
	hash_remove(&table->paths, &watched->node);
	while ((element = list_pop_head(&watched->marks)) != NULL)
		mem_free(list_entry(element, struct watch_mark, link));
	mem_free(watched->path);
	mem_free(watched);
}

void
watch_table_add(struct watch_table *table, const char *path, void *cookie,
    enum watch_kind kind)
{
	struct watch_path *watched = watch_find(table, path);
	struct watch_mark *mark;

	if (watched == NULL)
		watched = watch_path_new(table, path);
	LIST_EACH(element, &watched->marks) {
		mark = list_entry(element, struct watch_mark, link);
		if (mark->cookie == cookie && mark->kind == kind)
			return;
	}
	mark = mem_zalloc(sizeof(*mark));
	mark->cookie = cookie;
	mark->kind = kind;
	list_push_tail(&watched->marks, &mark->link);
}

static void
watch_path_fire(struct watch_table *table, struct watch_path *watched,
    unsigned kinds, void (*fire)(void *arg, void *cookie), void *arg)
{
	LIST_EACH(element, &watched->marks) {
		struct watch_mark *mark =
		    list_entry(element, struct watch_mark, link);

		if ((mark->kind & kinds) == 0)
			continue;
		list_remove(&mark->link);
		fire(arg, mark->cookie);
		mem_free(mark);
	}
	if (list_empty(&watched->marks))
		watch_path_free(table, watched);
}

void
watch_table_fire(struct watch_table *table, const char *path, unsigned kinds,
    void (*fire)(void *arg, void *cookie), void *arg)
{
	struct watch_path *watched = watch_find(table, path);

	if (watched != NULL)
		watch_path_fire(table, watched, kinds, fire, arg);
}

void
watch_table_paths(const struct watch_table *table,
    void (*tell)(void *arg, const char *path), void *arg)
{
	HASH_EACH(node, &table->paths)
		tell(arg, container_of(node, struct watch_path, node)->path);
}

void
watch_table_fire_all(struct watch_table *table,
    void (*fire)(void *arg, void *cookie), void *arg)
{
	HASH_EACH(node, &table->paths)
		watch_path_fire(table,
		    container_of(node, struct watch_path, node),
		    WATCH_DATA | WATCH_CHILDREN, fire, arg);
}

void
watch_table_fini(struct watch_table *table)
{
	HASH_EACH(node, &table->paths)
		watch_path_free(table,
		    container_of(node, struct watch_path, node));
	hash_clear(&table->paths);
}
