/* SPDX-License-Identifier: Apache-2.0 */
/* What entries become by a client's changes; see alter.h. */
#include "config/alter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"

static enum error
say(enum error error, char message[ALTER_ERROR_SIZE], const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum error
say(enum error error, char message[ALTER_ERROR_SIZE], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, ALTER_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return (error);
}

/* --- lists ---------------------------------------------------------------- */

/* Items of a list, each counted; by their bytes. */
struct counted {
	struct hash_node node;
	size_t count;
};

struct list_change {
	struct arena *arena;
	struct hash items;
	struct buffer out;
	bool refused;
};

/* As java.lang.String.split(","): without the empty items at the end, but the
 * empty text is one item. */
static struct slice
split_text(struct slice text)
{
	while (text.length > 1 && text.data[text.length - 1] == ',')
		text.length--;
	if (text.length == 1 && text.data[0] == ',')
		text = SLICE_NULL;
	return (text);
}

static bool
split_next(struct slice *rest, struct slice *item)
{
	if (rest->data == NULL)
		return (false);
	*item = text_cut(*rest, ',', rest);
	return (true);
}

static struct counted *
counted_find(const struct list_change *l, struct slice item)
{
	struct hash_node *node = hash_find(&l->items, item.data, item.length);

	return (node == NULL ? NULL : container_of(node, struct counted, node));
}

static void
count_items(struct list_change *l, struct slice text)
{
	struct slice rest = split_text(text), item;

	while (split_next(&rest, &item)) {
		struct counted *c = counted_find(l, item);

		if (c == NULL) {
			c = arena_zalloc(l->arena, sizeof(*c));
			if (c == NULL) {
				l->refused = true;
				return;
			}
			hash_insert(&l->items, &c->node, item.data,
			    item.length);
		}
		c->count++;
	}
}

static void
put_item(struct list_change *l, struct slice item, bool *first)
{
	if (!*first)
		buffer_append_text(&l->out, ",");
	*first = false;
	buffer_append_slice(&l->out, item);
}

/* What it has not yet, behind what it has. */
static void
list_append(struct list_change *l, struct slice old, struct slice more)
{
	struct slice rest, item;
	bool first = true;

	if (old.length == 0)
		old = SLICE_NULL;
	count_items(l, old);
	for (rest = split_text(old); split_next(&rest, &item);)
		put_item(l, item, &first);
	for (rest = split_text(more); split_next(&rest, &item);)
		if (counted_find(l, item) == NULL)
			put_item(l, item, &first);
}

/* Each item of `less` takes the first of its kind away. */
static void
list_subtract(struct list_change *l, struct slice old, struct slice less)
{
	struct slice rest, item;
	bool first = true;

	count_items(l, less);
	for (rest = split_text(old); split_next(&rest, &item);) {
		struct counted *c = counted_find(l, item);

		if (c != NULL && c->count > 0)
			c->count--;
		else
			put_item(l, item, &first);
	}
}

static enum error
change_list(const struct config_change *change, const struct option *option,
    struct config_map *after)
{
	const char *old = config_map_get(after, option->name);
	struct list_change l = { .out = BUFFER_EMPTY };
	struct arena arena;
	bool put;

	arena_init(&arena, 0);
	l.arena = &arena;
	if (old == NULL)
		old = option->fallback == NULL ? "" : option->fallback;
	if (change->operation == ALTER_APPEND)
		list_append(&l, slice_of_text(old), change->value);
	else
		list_subtract(&l, slice_of_text(old), change->value);
	put = !l.refused && config_map_put(after, change->name,
	    buffer_slice(&l.out), 0);
	hash_clear(&l.items);
	buffer_fini(&l.out);
	arena_fini(&arena);
	return (put ? ERR_NONE : ERR_INVALID_CONFIG);
}

/* --- changes -------------------------------------------------------------- */

/* Kafka ends with an exception on a name that it does not know, and on a change
 * of another kind: no message. */
static enum error
change_one(const struct config_change *change,
    const struct option *(*find)(const char *name), struct config_map *after,
    char message[ALTER_ERROR_SIZE])
{
	const struct option *option;
	char name[256];

	switch (change->operation) {
	case ALTER_SET:
		return (config_map_put(after, change->name, change->value, 0) ?
		    ERR_NONE : ERR_INVALID_CONFIG);
	case ALTER_DELETE:
		return (ERR_NONE); /* not copied */
	case ALTER_APPEND:
	case ALTER_SUBTRACT:
		break;
	default:
		return (ERR_UNKNOWN_SERVER_ERROR);
	}
	snprintf(name, sizeof(name), "%.*s", SLICE_ARGS(change->name));
	option = find(name);
	if (option == NULL)
		return (ERR_UNKNOWN_SERVER_ERROR);
	if (option->type != OPTION_LIST)
		return (say(ERR_INVALID_CONFIG, message, "Config value %s is "
		    "not allowed for config key: %s",
		    change->operation == ALTER_APPEND ? "append" : "subtract",
		    name));
	return (change_list(change, option, after));
}

/* What stays of `before`.  False: `after` is full. */
static bool
keep_others(const struct config_map *before,
    const struct config_change *changes, size_t count,
    struct config_map *after)
{
	struct hash_node *nodes = mem_alloc((count + 1) * sizeof(*nodes));
	struct hash deleted = { NULL };
	bool good = true;

	for (size_t i = 0; i < count; i++)
		if (changes[i].operation == ALTER_DELETE)
			hash_insert(&deleted, &nodes[i], changes[i].name.data,
			    changes[i].name.length);
	CONFIG_MAP_EACH(entry, before)
		if (hash_find(&deleted, entry->name, strlen(entry->name)) ==
		    NULL)
			good = good && config_map_put(after,
			    slice_of_text(entry->name),
			    slice_of_text(entry->value), 0);
	hash_clear(&deleted);
	mem_free(nodes);
	return (good);
}

enum error
config_alter(const struct config_map *before,
    const struct config_change *changes, size_t count,
    const struct option *(*find)(const char *name), struct config_map *after,
    char message[ALTER_ERROR_SIZE])
{
	enum error error = ERR_NONE;
	const bool good = before == NULL ||
	    keep_others(before, changes, count, after);

	*message = '\0';
	for (size_t i = 0; i < count && good && error == ERR_NONE; i++)
		error = change_one(&changes[i], find, after, message);
	if ((!good || error == ERR_INVALID_CONFIG) && *message == '\0')
		return (say(ERR_INVALID_CONFIG, message, "More than %d configs,"
		    " or %zu bytes, or a NUL byte among them",
		    CONFIG_ENTRIES_MAX, CONFIG_TEXT_BYTES_MAX));
	return (error);
}
