/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far groups are behind: of each partition the high watermark less what is
 * committed.
 *
 * Offsets belong to loops, and the page of metrics is made elsewhere; so each
 * shard copies what it has to a sheet, every few seconds while somebody makes
 * pages, and a page reads the last sheets.
 *
 *	shard's loop:  slots --copy, over turns--> sheet --swap--+
 *	                                             under the lock  |
 *	page:          high watermarks  <--- sheets -----------------+
 *
 * Committed offsets on a page are some seconds old, and so are high watermarks
 * of what is led elsewhere, whose leaders are asked (replica/ends.c); what is
 * not known yet is not on a page, and the first one after a silence shows
 * nothing.  A sheet has each partition of a group once, as it was when the copy
 * came by; what came since the copy began may be missing.  Samples are bounded
 * in number (barnabas.group.lag.max); what is left out is counted, and said
 * once.
 */
#include "group/lag_int.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/lock.h"
#include "base/mem.h"
#include "config/options.h"
#include "group/offsets_int.h"
#include "metrics/metrics.h"

#define REFRESH_NS (INT64_C(5) * 1000000000)
/* So many refreshes after a page the sheets go. */
#define PATIENT_REFRESHES 60
/* Of a turn, a slot's: its partition is looked up. */
#define SLOT_COST 8

struct lag_row {
	int64_t committed;
	size_t group; /* positions in `text` */
	size_t topic;
	int32_t partition;
};

/* Immutable; counted under the lock. */
struct lag_sheet {
	unsigned references;
	size_t count;
	size_t capacity;
	size_t left_out;
	struct lag_row *rows;
	struct buffer text; /* names, each with a NUL */
};

/* A shard's; its own but for what is said. */
struct shard_lag {
	struct group_shard *shard;
	struct timer timer;
	struct list link;        /* group_lag.shards: under the lock */
	struct lag_sheet *sheet; /* under the lock; NULL: none */
	struct lag_sheet *making; /* NULL: none */
	/* How far it is: */
	struct group_walk walk;
	const struct group *group; /* whose slots come next; NULL: begin it */
	struct offset_place place;
	const struct group_topic *topic; /* of the last row */
	size_t group_text;
	size_t topic_text;
};

struct group_lag {
	struct groups *groups;
	struct lock lock;
	struct list shards;
	size_t most;
	atomic_int wanted; /* refreshes that are still to be made, at least */
	atomic_bool said;
};

static void lag_refresh(struct timer *timer);
static void lag_collect(struct metrics_scrape *scrape, void *arg);

struct group_lag *
group_lag_new(struct groups *groups)
{
	const struct group_options *options = groups->setup.options;
	struct group_lag *lag;

	if (!options->lag_enable || groups->setup.metrics == NULL ||
	    groups->setup.high_watermark == NULL)
		return (NULL);
	lag = mem_zalloc(sizeof(*lag));
	lag->groups = groups;
	lag->most = (size_t)options->lag_max;
	lock_init(&lag->lock, LOCK_RANK_LEAF);
	list_init(&lag->shards);
	metrics_register_collector(groups->setup.metrics, lag_collect, lag);
	return (lag);
}

void
group_lag_free(struct group_lag **lag)
{
	if (*lag == NULL)
		return;
	CHECK(list_empty(&(*lag)->shards));
	lock_fini(&(*lag)->lock);
	mem_free(*lag);
	*lag = NULL;
}

static void
sheet_free(struct lag_sheet *sheet)
{
	buffer_fini(&sheet->text);
	mem_free(sheet->rows);
	mem_free(sheet);
}

static void
sheet_unref(struct group_lag *lag, struct lag_sheet *sheet)
{
	bool last;

	if (sheet == NULL)
		return;
	lock_take(&lag->lock);
	last = --sheet->references == 0;
	lock_release(&lag->lock);
	if (last)
		sheet_free(sheet);
}

static void
sheet_publish(struct shard_lag *mine, struct lag_sheet *sheet)
{
	struct group_lag *lag = mine->shard->groups->lag;
	struct lag_sheet *before;

	lock_take(&lag->lock);
	before = mine->sheet;
	mine->sheet = sheet;
	lock_release(&lag->lock);
	sheet_unref(lag, before);
}

void
group_lag_open(struct group_shard *shard)
{
	struct group_lag *lag = shard->groups->lag;
	struct shard_lag *mine;

	if (lag == NULL)
		return;
	mine = mem_zalloc(sizeof(*mine));
	mine->shard = shard;
	shard->lag = mine;
	timer_init(&mine->timer, shard->loop, lag_refresh);
	timer_arm_in(&mine->timer, 0);
	lock_take(&lag->lock);
	list_push_tail(&lag->shards, &mine->link);
	lock_release(&lag->lock);
}

void
group_lag_close(struct group_shard *shard)
{
	struct shard_lag *mine = shard->lag;
	struct group_lag *lag = shard->groups->lag;

	if (mine == NULL)
		return;
	timer_disarm(&mine->timer);
	lock_take(&lag->lock);
	list_remove(&mine->link);
	lock_release(&lag->lock);
	sheet_unref(lag, mine->sheet);
	if (mine->making != NULL)
		sheet_free(mine->making);
	group_walk_end(&mine->walk);
	mem_free(mine);
	shard->lag = NULL;
}

/* --- a sheet -------------------------------------------------------------- */

static bool
lag_high_watermark(const struct groups *groups, struct slice topic,
    int32_t partition, int64_t *out)
{
	return (groups->setup.high_watermark(groups->setup.high_watermark_arg,
	    topic, partition, out));
}

static size_t
sheet_text(struct lag_sheet *sheet, struct slice name)
{
	const size_t at = sheet->text.length;

	buffer_append_slice(&sheet->text, name);
	buffer_append(&sheet->text, "", 1);
	return (at);
}

static void
sheet_make_room(struct lag_sheet *sheet, size_t most)
{
	if (sheet->count < sheet->capacity)
		return;
	sheet->capacity = 2 * sheet->capacity < most ?
	    2 * sheet->capacity + 1 : most;
	sheet->rows = mem_realloc(sheet->rows,
	    sheet->capacity * sizeof(*sheet->rows));
}

static void
sheet_add(struct shard_lag *mine, const struct offset_slot *slot,
    const struct group_topic *topic)
{
	const struct groups *groups = mine->shard->groups;
	const struct slice name = group_topic_name(topic);
	struct lag_sheet *sheet = mine->making;
	int64_t unused;

	if (!slot->present || slot->offset < 0)
		return;
	if (sheet->count == groups->lag->most) {
		sheet->left_out++;
		return;
	}
	/* So that it is known when a page asks. */
	(void)lag_high_watermark(groups, name, slot->partition, &unused);
	if (mine->topic == NULL)
		mine->group_text = sheet_text(sheet, group_id(mine->group));
	if (mine->topic != topic)
		mine->topic_text = sheet_text(sheet, name);
	mine->topic = topic;
	sheet_make_room(sheet, groups->lag->most);
	sheet->rows[sheet->count++] = (struct lag_row){
		.committed = slot->offset,
		.group = mine->group_text,
		.topic = mine->topic_text,
		.partition = slot->partition,
	};
}

/* One slot, or the way to the next group; false: that was all. */
static bool
sheet_step(struct shard_lag *mine)
{
	const struct group *group = group_walk_at(&mine->walk);
	const struct offset_slot *slot;
	struct group_topic *topic;

	if (group == NULL)
		return (false);
	/* The one that it was at may have gone. */
	if (group != mine->group) {
		mine->group = group;
		mine->topic = NULL;
		offset_place_begin(&mine->place, mine->shard);
	}
	slot = offset_place_next(&mine->place, group, &topic);
	if (slot != NULL)
		sheet_add(mine, slot, topic);
	else
		(void)group_walk_next(&mine->walk);
	return (true);
}

static void
sheet_begin(struct shard_lag *mine)
{
	struct lag_sheet *sheet = mem_zalloc(sizeof(*sheet));
	const size_t most = mine->shard->groups->lag->most;
	const size_t now = mine->shard->offset_count;

	sheet->references = 1;
	sheet->capacity = now < most ? now : most;
	sheet->rows = mem_alloc(sheet->capacity * sizeof(*sheet->rows));
	mine->making = sheet;
	mine->group = NULL;
	group_walk_begin(&mine->walk, mine->shard);
}

/* Whether it is made. */
static bool
sheet_go_on(struct shard_lag *mine)
{
	bool more;

	do
		more = sheet_step(mine);
	while (more && group_turn_goes_on(mine->shard, SLOT_COST));
	return (!more);
}

static bool
lag_wanted(struct group_lag *lag)
{
	const bool wanted = atomic_load_explicit(&lag->wanted,
	    memory_order_relaxed) > 0;

	if (wanted)
		atomic_fetch_sub_explicit(&lag->wanted, 1,
		    memory_order_relaxed);
	return (wanted);
}

static void
lag_refresh(struct timer *timer)
{
	struct shard_lag *mine = container_of(timer, struct shard_lag, timer);

	if (mine->making == NULL && lag_wanted(mine->shard->groups->lag))
		sheet_begin(mine);
	if (mine->making != NULL && !sheet_go_on(mine)) {
		timer_arm_in(timer, 0);
		return;
	}
	if (mine->making != NULL || mine->sheet != NULL)
		sheet_publish(mine, mine->making);
	mine->making = NULL;
	timer_arm_in(timer, REFRESH_NS);
}

/* --- a page --------------------------------------------------------------- */

/* False: where it ends is not known. */
static bool
lag_sample(const struct group_lag *lag, struct metrics_scrape *scrape,
    const struct lag_sheet *sheet, const struct lag_row *row)
{
	const char *text = (const char *)sheet->text.data;
	const char *topic = text + row->topic;
	char partition[16];
	int64_t end;

	if (!lag_high_watermark(lag->groups, slice_of_text(topic),
		row->partition, &end))
		return (false);
	snprintf(partition, sizeof(partition), "%" PRId32, row->partition);
	metrics_sample(scrape, METRIC_CONSUMER_GROUP_LAG,
	    METRICS_VALUES(text + row->group, topic, partition),
	    end > row->committed ? end - row->committed : 0);
	return (true);
}

static struct lag_sheet **
lag_take_sheets(struct group_lag *lag, size_t *count)
{
	struct lag_sheet **sheets;
	size_t shards = 0;

	lock_take(&lag->lock);
	LIST_EACH(element, &lag->shards)
		shards++;
	sheets = mem_alloc((shards + 1) * sizeof(struct lag_sheet *));
	*count = 0;
	LIST_EACH(element, &lag->shards) {
		struct lag_sheet *sheet = list_entry(element,
		    struct shard_lag, link)->sheet;

		if (sheet == NULL)
			continue;
		sheet->references++;
		sheets[(*count)++] = sheet;
	}
	atomic_store_explicit(&lag->wanted,
	    (int)(shards * PATIENT_REFRESHES), memory_order_relaxed);
	lock_release(&lag->lock);
	return (sheets);
}

static void
lag_say(struct group_lag *lag, size_t unknown, size_t left_out)
{
	metrics_set(lag->groups->setup.metrics, METRIC_CONSUMER_GROUP_LAG_LEFT,
	    (int64_t)(unknown + left_out));
	if (left_out > 0 && !atomic_exchange(&lag->said, true))
		diag_warn(lag->groups->setup.diag, group,
		    "metrics show the lag of %zu partitions of groups and "
		    "leave out %zu: see barnabas.group.lag.max", lag->most,
		    left_out);
	if (left_out == 0)
		atomic_store(&lag->said, false);
}

static void
lag_collect(struct metrics_scrape *scrape, void *arg)
{
	struct group_lag *lag = arg;
	size_t count, shown = 0, unknown = 0, left_out = 0;
	struct lag_sheet **sheets = lag_take_sheets(lag, &count);

	for (size_t s = 0; s < count; s++) {
		const struct lag_sheet *sheet = sheets[s];
		size_t i;

		for (i = 0; i < sheet->count && shown < lag->most; i++)
			if (lag_sample(lag, scrape, sheet, &sheet->rows[i]))
				shown++;
			else
				unknown++;
		left_out += sheet->count - i + sheet->left_out;
		sheet_unref(lag, sheets[s]);
	}
	mem_free(sheets);
	lag_say(lag, unknown, left_out);
}
