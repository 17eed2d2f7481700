/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers that follow each other, over many seeds, while they are killed,
 * stopped and cut off from each other: what was below a high watermark stays
 * (ledger.h), whatever acks=all acknowledged is there in the end, and all
 * replicas hold the same bytes.
 * test_followers [seeds [first seed]]; test_followers list.  REPLAY_LOG=1 shows
 * their log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "record/record.h"
#include "tests/replay/house.h"
#include "tests/replay/ledger.h"

#define SEEDS 12
#define NUMBER 602 /* doc/replays.md */
#define BROKERS 3
#define ROUNDS 12
#define SETTLE_MS 60000
#define VALUES_MAX 4000

struct witness {
	struct house *house;
	struct ledger *ledger;
	int32_t next;                 /* the next value */
	bool acknowledged[VALUES_MAX];
	uint16_t found[VALUES_MAX];
};

static int64_t
some_ms(struct house *b, int64_t bound_ms)
{
	return ((int64_t)random_below(&b->world->random, (uint64_t)bound_ms));
}

static int
some_broker(struct house *b)
{
	return (1 + (int)random_below(&b->world->random, BROKERS));
}

static int
some_live(struct house *b)
{
	int id = some_broker(b);

	while (!house_live(b, id))
		id = id % BROKERS + 1;
	return (id);
}

static void
write_some(struct witness *w)
{
	struct house *b = w->house;
	int count = 1 + (int)some_ms(b, 10);

	for (int i = 0; i < count && w->next < VALUES_MAX; i++) {
		int leader = house_leader(b, some_live(b), "t0", 0);
		int32_t value = w->next++;

		if (leader < 1 || leader > BROKERS || !house_live(b, leader)) {
			house_run(b, 200);
			continue;
		}
		w->acknowledged[value] = house_produce_acks(b, leader, "t0", 0,
		    value, -1) == ERR_NONE;
	}
}

/* --- what is on the disks ------------------------------------------------- */

static char *
file_of(struct house *b, int id, size_t *size)
{
	char path[160];
	char *bytes = mem_alloc(1 << 22);
	FILE *file;

	(void)snprintf(path, sizeof(path),
	    "%s/b%d/t0-0/00000000000000000000.log", b->directory, id);
	file = fopen(path, "rb");
	*size = 0;
	if (file == NULL)
		replay_fault(b->world, "%s is not there", path);
	else {
		*size = fread(bytes, 1, 1 << 22, file);
		(void)fclose(file);
	}
	return (bytes);
}

static void
count_values(struct witness *w, struct slice bytes)
{
	struct batch batch;

	while (batch_next(&bytes, &batch) == BATCH_OK) {
		struct record_reader *reader;
		struct record record;

		CHECK(record_reader_new(&batch, 1 << 20, &reader) == ERR_NONE);
		while (record_reader_next(reader, &record) == 1) {
			char text[16] = "";

			memcpy(text, record.value.data, record.value.length);
			w->found[strtol(text, NULL, 10)]++;
		}
		record_reader_free(&reader);
	}
}

static void
check(struct witness *w)
{
	struct house *b = w->house;
	size_t size[BROKERS + 1];
	char *bytes[BROKERS + 1];

	for (int id = 1; id <= BROKERS; id++)
		bytes[id] = file_of(b, id, &size[id]);
	count_values(w, slice_of(bytes[1], size[1]));
	for (int id = 2; id <= BROKERS; id++)
		if (size[id] != size[1] ||
		    memcmp(bytes[id], bytes[1], size[1]) != 0)
			replay_fault(b->world, "b%d and b1 hold different "
			    "logs, %zu and %zu bytes", id, size[id], size[1]);
	for (int32_t i = 0; i < w->next; i++)
		if (w->acknowledged[i] ? w->found[i] != 1 : w->found[i] > 1)
			replay_fault(b->world, "value %d was %s and is there "
			    "%d times", (int)i, w->acknowledged[i] ?
			    "acknowledged" : "not acknowledged",
			    (int)w->found[i]);
	for (int id = 1; id <= BROKERS; id++)
		mem_free(bytes[id]);
}

/* --- what happens to them ------------------------------------------------- */

static void
cut_pair(struct house *b, bool cut, int a, int c)
{
	char left[8], right[8];

	(void)snprintf(left, sizeof(left), "b%d", a);
	(void)snprintf(right, sizeof(right), "b%d", c);
	fabric_cut(b->world->fabric, left, right, cut);
}

/* As if neither listened: what the controller takes for a death may be none. */
static void
refuse_pair(struct house *b, int a, int c)
{
	char left[8], right[8];

	(void)snprintf(left, sizeof(left), "b%d", a);
	(void)snprintf(right, sizeof(right), "b%d", c);
	fabric_refuse(b->world->fabric, left, right, true);
}

static void
mend_all(struct house *b)
{
	for (int a = 1; a <= BROKERS; a++)
		for (int c = a + 1; c <= BROKERS; c++)
			cut_pair(b, false, a, c);
}

static size_t
live_count(const struct house *b)
{
	size_t count = 0;

	for (int id = 1; id <= BROKERS; id++)
		count += house_live(b, id);
	return (count);
}

static void
disturb(struct house *b)
{
	int id = some_broker(b);

	switch (random_below(&b->world->random, 7)) {
	case 0:
		if (house_live(b, id) && live_count(b) > 1)
			house_kill(b, id);
		break;
	case 1:
		/* The fabric keeps what cannot be carried, with its loop. */
		mend_all(b);
		if (house_live(b, id) && live_count(b) > 1)
			house_stop(b, id);
		break;
	case 2:
		cut_pair(b, true, id, id % BROKERS + 1);
		break;
	case 3:
		mend_all(b);
		break;
	case 4:
		refuse_pair(b, id, id % BROKERS + 1);
		break;
	default:
		if (!house_live(b, id))
			house_start(b, id);
		break;
	}
	house_run(b, some_ms(b, 10000));
}

static void
look(struct house *b)
{
	const struct witness *w = b->script;

	ledger_look(w->ledger);
}

static void
script(struct witness *w)
{
	struct house *b = w->house;

	b->script = w;
	b->on_step = look;
	for (int id = 1; id <= BROKERS; id++)
		b->more[id] = "replica.lag.time.max.ms=3000\n"
		    "min.insync.replicas=2\n";
	house_start_all(b);
	house_run(b, 2000);
	for (int id = 1; id <= BROKERS; id++)
		if (house_controller(b) == id &&
		    house_create(b, id, "t0", 1, BROKERS) != ERR_NONE)
			replay_fault(b->world, "no topic");
	house_run(b, 1000);
	write_some(w);
	for (int i = 0; i < ROUNDS; i++) {
		disturb(b);
		write_some(w);
	}
	mend_all(b);
	for (int id = 1; id <= BROKERS; id++)
		if (!house_live(b, id)) {
			house_start(b, id);
			(void)house_await(b, id, BROKER_RUNNING);
		}
	house_run(b, SETTLE_MS);
	write_some(w);
	house_run(b, 2000);
	check(w);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct witness *w;
	int64_t written = 0, acknowledged = 0, kept = 0;
	size_t failed = 0;

	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		printf("%d followers\n", NUMBER);
		return (0);
	}
	w = mem_zalloc(sizeof(*w));
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		*w = (struct witness){ .house = house_new(seed, BROKERS) };
		w->ledger = ledger_new(w->house, "t0", VALUES_MAX);
		script(w);
		for (int32_t i = 0; i < w->next; i++)
			acknowledged += w->acknowledged[i];
		written += w->next;
		kept += ledger_known(w->ledger);
		if (w->house->world->faults > 0) {
			failed++;
			fprintf(stderr, "followers: seed %llu: %zu faults\n",
			    (unsigned long long)seed, w->house->world->faults);
		}
		w->house->on_step = NULL;
		ledger_free(&w->ledger);
		house_free(&w->house);
	}
	mem_free(w);
	printf("followers: %llu seeds, %zu failed; %lld of %lld values were "
	    "acknowledged, %lld below a high watermark\n",
	    (unsigned long long)seeds, failed, (long long)acknowledged,
	    (long long)written, (long long)kept);
	return (failed == 0 ? 0 : 1);
}
