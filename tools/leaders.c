/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/leaders.h"

/* A partition that was made a moment ago is not known everywhere yet; one that
 * stays unknown so often does not exist. */
#define UNKNOWN_MAX 10

/* The topics of one metadata answer, by name. */
struct known {
	const struct metadata_response_topic **topics;
	size_t count;
};

static int
topic_compare(const void *a, const void *b)
{
	const struct metadata_response_topic *const *x = a;
	const struct metadata_response_topic *const *y = b;

	return (slice_compare((*x)->name, (*y)->name));
}

static int
topic_search(const void *key, const void *element)
{
	const struct slice *name = key;
	const struct metadata_response_topic *const *topic = element;

	return (slice_compare(*name, (*topic)->name));
}

static void
known_init(struct known *known, const struct metadata_response *metadata)
{
	known->count = (size_t)metadata->topics_count;
	known->topics =
	    mem_zalloc((known->count + 1) * sizeof(*known->topics));
	for (size_t i = 0; i < known->count; i++)
		known->topics[i] = &metadata->topics[i];
	if (known->count > 1)
		qsort(known->topics, known->count, sizeof(*known->topics),
		    topic_compare);
}

static const struct metadata_response_partition *
known_find(const struct known *known, const struct leader_item *item)
{
	const struct metadata_response_topic *const *topic =
	    known->count == 0 ? NULL
			      : bsearch(&item->topic, known->topics,
				    known->count, sizeof(*known->topics),
				    topic_search);

	for (int32_t i = 0; topic != NULL && i < (*topic)->partitions_count;
	     i++)
		if ((*topic)->partitions[i].partition_index == item->partition)
			return (&(*topic)->partitions[i]);
	return (NULL);
}

/* --- one round ------------------------------------------------------------ */

static int
item_compare(const void *a, const void *b)
{
	const struct leader_item *x = *(struct leader_item *const *)a;
	const struct leader_item *y = *(struct leader_item *const *)b;

	if (x->leader != y->leader)
		return (x->leader < y->leader ? -1 : 1);
	if (slice_compare(x->topic, y->topic) != 0)
		return (slice_compare(x->topic, y->topic));
	return ((x->partition > y->partition) - (x->partition < y->partition));
}

/* Whether another round may bring an answer. */
static void
item_settle(struct leader_item *item)
{
	if (item->error == ERR_UNKNOWN_TOPIC_OR_PARTITION)
		item->open = ++item->unknown < UNKNOWN_MAX;
	else
		item->open = error_retriable(item->error);
}

/* The open items that have a leader, by leader. */
static size_t
items_place(const struct known *known, struct leader_item *items,
    size_t count, struct leader_item **out)
{
	size_t placed = 0;

	for (size_t i = 0; i < count; i++) {
		const struct metadata_response_partition *facts;

		if (!items[i].open)
			continue;
		items[i].why = NULL;
		facts = known_find(known, &items[i]);
		items[i].leader = facts == NULL ? -1 : facts->leader_id;
		items[i].error = facts == NULL ? ERR_UNKNOWN_TOPIC_OR_PARTITION
					       : ERR_LEADER_NOT_AVAILABLE;
		if (items[i].leader >= 0)
			out[placed++] = &items[i];
		else
			item_settle(&items[i]);
	}
	if (placed > 1)
		qsort(out, placed, sizeof(*out), item_compare);
	return (placed);
}

static void
leader_ask(struct client *client, struct leader_item *const *items,
    size_t count, leaders_question *question)
{
	enum client_status status;
	const char *why = NULL;

	for (size_t i = 0; i < count; i++)
		items[i]->error = ERR_UNKNOWN_SERVER_ERROR;
	status = question(client, items[0]->leader, items, count);
	if (status != CLIENT_OK)
		why = arena_strdup(client_arena(client), client_why(client));
	for (size_t i = 0; i < count; i++) {
		items[i]->why = why;
		if (status == CLIENT_OK)
			item_settle(items[i]);
		else
			items[i]->open = status == CLIENT_UNREACHABLE;
	}
}

/* `settled` have their answers from rounds before. */
struct leaders_stage {
	leaders_question *question;
	struct progress *progress;
	size_t settled;
};

static void
leaders_round(struct client *client, struct leader_item **items, size_t count,
    const struct leaders_stage *stage)
{
	size_t first = 0;

	while (first < count) {
		size_t end = first + 1;

		while (end < count &&
		    items[end]->leader == items[first]->leader)
			end++;
		if (stage->progress != NULL)
			progress_step(stage->progress,
			    stage->settled + first);
		leader_ask(client, items + first, end - first,
		    stage->question);
		first = end;
	}
}

static size_t
settled_count(const struct leader_item *items, size_t count)
{
	size_t settled = 0;

	for (size_t i = 0; i < count; i++)
		settled += !items[i].open;
	return (settled);
}

static const struct leader_item *
first_open(const struct leader_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].open)
			return (&items[i]);
	return (NULL);
}

static bool
leaders_wait(struct client *client, const struct leader_item *open)
{
	struct buffer text = BUFFER_EMPTY;
	bool more;

	buffer_append_text(&text, "partition ");
	leader_item_name(open, &text);
	if (open->why != NULL)
		buffer_printf(&text, ": %s", open->why);
	else
		buffer_printf(&text, ": %s", error_name(open->error));
	more = client_try_again(client, buffer_text(&text));
	buffer_fini(&text);
	return (more);
}

void
leaders_ask(struct client *client, struct leader_item *items, size_t count,
    leaders_question *question, struct progress *progress)
{
	struct leaders_stage stage = { question, progress, 0 };
	struct leader_item **placed =
	    mem_zalloc((count + 1) * sizeof(struct leader_item *));
	struct metadata_response metadata;
	const struct leader_item *open;
	struct known known;

	for (size_t i = 0; i < count; i++)
		items[i].open = true;
	client_begin(client);
	do {
		if (client_metadata(client, &metadata) != CLIENT_OK) {
			for (size_t i = 0; i < count; i++)
				if (items[i].open)
					items[i].why = arena_strdup(
					    client_arena(client),
					    client_why(client));
			break;
		}
		known_init(&known, &metadata);
		stage.settled = settled_count(items, count);
		leaders_round(client, placed,
		    items_place(&known, items, count, placed), &stage);
		mem_free(known.topics);
		open = first_open(items, count);
	} while (open != NULL && leaders_wait(client, open));
	client_end(client);
	mem_free(placed);
}

/* --- for questions and answers -------------------------------------------- */

size_t
leaders_same_topic(struct leader_item *const *items, size_t count)
{
	size_t same = 0;

	while (same < count && slice_equal(items[same]->topic, items[0]->topic))
		same++;
	return (same);
}

struct leader_item *
leaders_find(struct leader_item *const *items, size_t count,
    struct slice topic, int32_t partition)
{
	struct leader_item key = { .topic = topic, .partition = partition };
	struct leader_item *wanted = &key;
	struct leader_item *const *found;

	if (count == 0)
		return (NULL);
	key.leader = items[0]->leader;
	found = bsearch(&wanted, items, count, sizeof(struct leader_item *),
	    item_compare);
	return (found == NULL ? NULL : *found);
}

void
leader_item_name(const struct leader_item *item, struct buffer *out)
{
	buffer_printf(out, "%.*s-%d", SLICE_ARGS(item->topic),
	    item->partition);
}

static const char *
advice_for(int error)
{
	switch (error) {
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
		return ("; barnabas topics --describe shows the partitions");
	case ERR_LEADER_NOT_AVAILABLE:
	case ERR_NOT_LEADER_OR_FOLLOWER:
		return ("; barnabas topics --describe "
			"--unavailable-partitions shows who is missing");
	case ERR_OFFSET_OUT_OF_RANGE:
		return ("; barnabas get-offsets shows the range");
	case ERR_POLICY_VIOLATION:
		return ("; records of a compacted topic are not deleted so");
	case ERR_TOPIC_AUTHORIZATION_FAILED:
		return ("; this user may not do that");
	case ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
		return ("; its records are too old to have timestamps");
	default:
		return ("");
	}
}

void
leader_item_error(const struct leader_item *item, struct buffer *out)
{
	if (item->why != NULL)
		buffer_append_text(out, item->why);
	else
		buffer_printf(out, "%s%s", error_name(item->error),
		    advice_for(item->error));
}
