/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/replay/ledger.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "daemon/broker_int.h"
#include "record/record.h"
#include "replica/replica_int.h"

#define FILE_MAX ((size_t)1 << 22)

struct entry {
	int32_t value;
	int32_t leader_epoch;
};

/* A replica as it was at the last look. */
struct copy {
	bool live;
	int64_t end;
	int64_t high_watermark; /* -1: nobody tells */
	int32_t led_epoch;      /* -1: it does not lead */
	int64_t checked;        /* all below agreed when the end was that */
	int64_t checked_end;
	struct entry *entries;  /* of the file, when it was read */
	int64_t count;
};

struct ledger {
	struct house *house;
	char *topic;
	size_t records_max;
	struct entry *known;
	int64_t known_count;
	int64_t told_lack; /* a fault was noted at so many */
	struct copy copies[HOUSE_MAX + 1];
	char *bytes;
};

struct ledger *
ledger_new(struct house *b, const char *topic, size_t records_max)
{
	struct ledger *l = mem_zalloc(sizeof(*l));

	l->house = b;
	l->topic = mem_strdup(topic);
	l->records_max = records_max;
	l->known = mem_alloc(records_max * sizeof(*l->known));
	l->told_lack = -1;
	l->bytes = mem_alloc(FILE_MAX);
	for (int id = 1; id <= HOUSE_MAX; id++)
		l->copies[id] = (struct copy){ .high_watermark = -1,
			.led_epoch = -1, .checked_end = -1,
			.entries = mem_alloc(records_max *
			    sizeof(*l->known)) };
	return (l);
}

void
ledger_free(struct ledger **place)
{
	struct ledger *l = *place;

	for (int id = 1; id <= HOUSE_MAX; id++)
		mem_free(l->copies[id].entries);
	mem_free(l->bytes);
	mem_free(l->known);
	mem_free(l->topic);
	mem_free(l);
	*place = NULL;
}

int64_t
ledger_known(const struct ledger *l)
{
	return (l->known_count);
}

/* --- replicas ------------------------------------------------------------- */

static void
copy_add(struct ledger *l, struct copy *c, const struct batch *batch)
{
	struct record_reader *reader;
	struct record record;

	CHECK(record_reader_new(batch, 1 << 20, &reader) == ERR_NONE);
	while (record_reader_next(reader, &record) == 1) {
		char text[16] = "";

		CHECK(record.offset == c->count &&
		    (size_t)c->count < l->records_max &&
		    record.value.length < sizeof(text));
		memcpy(text, record.value.data, record.value.length);
		c->entries[c->count++] = (struct entry){
			(int32_t)strtol(text, NULL, 10),
			batch->leader_epoch };
	}
	record_reader_free(&reader);
}

static void
copy_read(struct ledger *l, int id)
{
	struct copy *c = &l->copies[id];
	struct slice bytes;
	struct batch batch;
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof(path),
	    "%s/b%d/%s-0/00000000000000000000.log", l->house->directory, id,
	    l->topic);
	c->count = 0;
	file = fopen(path, "rb");
	if (file == NULL)
		return;
	bytes = slice_of(l->bytes, fread(l->bytes, 1, FILE_MAX, file));
	(void)fclose(file);
	while (batch_next(&bytes, &batch) == BATCH_OK)
		copy_add(l, c, &batch);
}

/* Of one that runs; else what lies on its disk stays as it is. */
static struct replica *
live_replica(const struct ledger *l, int id)
{
	const struct running *p = &l->house->at[id];

	if (!house_live(l->house, id) || p->broker->replicas == NULL ||
	    broker_state(p->broker) != BROKER_RUNNING)
		return (NULL);
	return (replicas_find(p->broker->replicas, slice_of_text(l->topic),
	    0));
}

/* Of a leader it only rises. */
static void
copy_view(struct ledger *l, int id, const struct replica_view *view)
{
	struct copy *c = &l->copies[id];

	if (view->leads && view->leader_epoch == c->led_epoch &&
	    view->high_watermark < c->high_watermark)
		replay_fault(l->house->world, "b%d leads %s in epoch %d, and "
		    "its high watermark went back from %lld to %lld", id,
		    l->topic, (int)view->leader_epoch,
		    (long long)c->high_watermark,
		    (long long)view->high_watermark);
	c->high_watermark = view->high_watermark;
	c->led_epoch = view->leads ? view->leader_epoch : -1;
}

static void
copy_look(struct ledger *l, int id)
{
	struct copy *c = &l->copies[id];
	struct replica *replica = live_replica(l, id);
	struct log *log = replica == NULL ? NULL : replica_log(replica);
	struct replica_view view;
	bool live = log != NULL;

	if (live) {
		replica_view(replica, &view);
		copy_view(l, id, &view);
		c->end = log_end_offset(log);
	} else
		c->high_watermark = c->led_epoch = -1;
	if (!live && (c->live || house_live(l->house, id))) {
		copy_read(l, id);
		c->end = c->count;
	}
	c->live = live;
	if (replica != NULL)
		replica_unref(replica);
}

/* --- what is for good ----------------------------------------------------- */

static void
ledger_extend(struct ledger *l, int id)
{
	struct copy *c = &l->copies[id];

	copy_read(l, id);
	for (; l->known_count < c->high_watermark &&
	    l->known_count < c->count; l->known_count++)
		l->known[l->known_count] = c->entries[l->known_count];
	if (l->known_count < c->high_watermark)
		replay_fault(l->house->world, "b%d's high watermark of %s is "
		    "%lld, and it has %lld records", id, l->topic,
		    (long long)c->high_watermark, (long long)c->count);
}

static void
copy_agrees(struct ledger *l, int id, int64_t below)
{
	struct copy *c = &l->copies[id];

	if (below > l->known_count)
		below = l->known_count;
	if (c->checked_end == c->end && c->checked >= below)
		return;
	copy_read(l, id);
	c->checked = below;
	c->checked_end = c->end;
	for (int64_t i = 0; i < below && i < c->count; i++)
		if (c->entries[i].value != l->known[i].value ||
		    c->entries[i].leader_epoch != l->known[i].leader_epoch) {
			replay_fault(l->house->world, "b%d has %d of epoch %d "
			    "at offset %lld of %s, where %d of epoch %d was "
			    "below a high watermark", id,
			    (int)c->entries[i].value,
			    (int)c->entries[i].leader_epoch, (long long)i,
			    l->topic, (int)l->known[i].value,
			    (int)l->known[i].leader_epoch);
			return;
		}
}

static void
member_has_all(struct ledger *l, int id)
{
	const struct copy *c = &l->copies[id];

	if (c->end < l->known_count) {
		if (l->told_lack != l->known_count)
			replay_fault(l->house->world, "b%d is in the ISR of %s "
			    "with %lld records, and %lld were below a high "
			    "watermark", id, l->topic, (long long)c->end,
			    (long long)l->known_count);
		l->told_lack = l->known_count;
		return;
	}
	copy_agrees(l, id, l->known_count);
}

void
ledger_look(struct ledger *l)
{
	struct znode_state state;
	struct arena arena;
	int32_t version;

	for (int id = 1; id <= HOUSE_MAX; id++)
		copy_look(l, id);
	for (int id = 1; id <= HOUSE_MAX; id++)
		if (l->copies[id].high_watermark > l->known_count)
			ledger_extend(l, id);
	for (int id = 1; id <= HOUSE_MAX; id++)
		copy_agrees(l, id, l->copies[id].high_watermark);
	arena_init(&arena, 0);
	if (replay_state(l->house->world, l->topic, 0, &arena, &state,
	    &version))
		for (int32_t i = 0; i < state.isr_count; i++)
			member_has_all(l, state.isr[i]);
	arena_fini(&arena);
}
