/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas cluster health: what the controller moves, what any broker knows of
 * the cluster, what each broker says of its directories; and whether that is
 * well.
 *
 *	a trouble is seen           -> 1
 *	none, but something that    -> 2
 *	    nobody could tell
 *	else                        -> 0
 *
 * There are two looks.  What changes from one to the other is told as ISR
 * churn; by itself it is no trouble.  Two brokers that are asked one after the
 * other do not speak of one moment, so that it takes both looks to find a
 * partition ill:
 *
 *	moves, metadata --all well--> pause, metadata --> directories --> judged
 *	   |  something is ill                               ^
 *	   +--> pause, moves, metadata: what is ill both times
 *
 * Moves come first: one that ends in between leaves a partition that has all
 * that it should have.  One that begins in between, and a broker that has not
 * heard yet, are seen through the second time.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tools/cluster.h"
#include "tools/moves.h"
#include "tools/progress.h"

/* --- who is there --------------------------------------------------------- */

static int
broker_compare(const void *a, const void *b)
{
	const struct health_broker *x = a;
	const struct health_broker *y = b;

	return ((x->id > y->id) - (x->id < y->id));
}

static struct health_broker *
broker_find(const struct health_facts *facts, int32_t id)
{
	const struct health_broker key = { .id = id };

	return (facts->broker_count == 0
		? NULL
		: bsearch(&key, facts->brokers, facts->broker_count,
		      sizeof(key), broker_compare));
}

/* False: it is there already. */
static bool
broker_add(struct health_facts *facts, int32_t id, struct arena *arena)
{
	struct health_broker *more;

	if (id < 0 || broker_find(facts, id) != NULL)
		return (false);
	more = arena_array(arena, facts->broker_count + 1, sizeof(*more));
	CHECK(more != NULL);
	if (facts->broker_count != 0)
		memcpy(more, facts->brokers,
		    facts->broker_count * sizeof(*more));
	more[facts->broker_count++].id = id;
	facts->brokers = more;
	qsort(more, facts->broker_count, sizeof(*more), broker_compare);
	return (true);
}

static void
count_partition(struct health_facts *facts,
    const struct metadata_response_partition *partition, struct arena *arena)
{
	struct health_broker *broker;

	for (int32_t i = 0; i < partition->replica_nodes_count; i++) {
		(void)broker_add(facts, partition->replica_nodes[i], arena);
		broker = broker_find(facts, partition->replica_nodes[i]);
		if (broker != NULL)
			broker->replicas++;
	}
	broker = broker_find(facts, partition->leader_id);
	if (broker != NULL && broker->facts != NULL)
		broker->led++;
}

void
health_brokers(struct health_facts *facts, struct arena *arena)
{
	const struct metadata_response *metadata = facts->metadata;

	for (int32_t i = 0; i < metadata->brokers_count; i++)
		if (broker_add(facts, metadata->brokers[i].node_id, arena))
			broker_find(facts, metadata->brokers[i].node_id)
			    ->facts = &metadata->brokers[i];
	for (int32_t t = 0; t < metadata->topics_count; t++)
		for (int32_t p = 0; p < metadata->topics[t].partitions_count;
		     p++)
			count_partition(facts,
			    &metadata->topics[t].partitions[p], arena);
}

/* --- judging -------------------------------------------------------------- */

static void list_add(struct health_list *list, struct arena *arena,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

static void
list_add(struct health_list *list, struct arena *arena, const char *format,
    ...)
{
	va_list arguments;
	char line[512];
	char **more;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (list->count == list->capacity) {
		list->capacity = list->capacity * 2 + 8;
		more = arena_array(arena, list->capacity, sizeof(*more));
		CHECK(more != NULL);
		if (list->count != 0)
			memcpy(more, list->items,
			    list->count * sizeof(*more));
		list->items = more;
	}
	list->items[list->count++] = arena_strdup(arena, line);
}

static void
judge_dir(struct health_facts *facts, int32_t broker,
    const struct describe_log_dirs_response_result *dir, struct arena *arena)
{
	if (dir->error_code == ERR_KAFKA_STORAGE_ERROR)
		list_add(&facts->troubles, arena,
		    "broker %d: log directory %.*s is offline", broker,
		    SLICE_ARGS(dir->log_dir));
	else if (dir->error_code != ERR_NONE)
		list_add(&facts->unknown, arena, "broker %d: %.*s: %s", broker,
		    SLICE_ARGS(dir->log_dir), error_name(dir->error_code));
	/* By parts of a hundred: no product overflows. */
	else if (dir->total_bytes > 0 && dir->usable_bytes >= 0 &&
	    dir->usable_bytes <
		dir->total_bytes / 100 * facts->free_percent)
		list_add(&facts->troubles, arena,
		    "broker %d: less than %lld %% of the file system of %.*s "
		    "are free",
		    broker, (long long)facts->free_percent,
		    SLICE_ARGS(dir->log_dir));
}

static void
judge_broker(struct health_facts *facts, const struct health_broker *broker,
    struct arena *arena)
{
	if (broker->facts == NULL) {
		list_add(&facts->troubles, arena,
		    "broker %d is not there: %zu partitions have a replica on "
		    "it",
		    broker->id, broker->replicas);
		return;
	}
	if (broker->why != NULL)
		list_add(broker->dirs.refused ? &facts->unknown
					      : &facts->troubles, arena,
		    "broker %d does not tell of its directories: %s",
		    broker->id, broker->why);
	for (int32_t i = 0; broker->why == NULL &&
	     i < broker->dirs.response.results_count; i++)
		judge_dir(facts, broker->id, &broker->dirs.response.results[i],
		    arena);
}

static void
judge_partitions(struct health_facts *facts, struct arena *arena)
{
	static const char names[] = "barnabas topics --describe";
	const struct topics_counts *counts = &facts->counts;

	if (counts->unavailable != 0)
		list_add(&facts->troubles, arena,
		    "%zu partitions have no leader (%s "
		    "--unavailable-partitions names them)",
		    counts->unavailable, names);
	if (counts->under_min_isr != 0)
		list_add(&facts->troubles, arena,
		    "%zu partitions have fewer replicas in sync than "
		    "min.insync.replicas (%s --under-min-isr-partitions names "
		    "them)",
		    counts->under_min_isr, names);
	/* What moves has more replicas than it should have in sync. */
	if (counts->under_replicated != 0 && facts->moving_why != NULL)
		list_add(&facts->unknown, arena,
		    "%zu partitions have replicas that are not in sync, or "
		    "move (%s --under-replicated-partitions names them)",
		    counts->under_replicated, names);
	else if (counts->under_replicated != 0)
		list_add(&facts->troubles, arena,
		    "%zu partitions have replicas that are not in sync (%s "
		    "--under-replicated-partitions names them)",
		    counts->under_replicated, names);
	if (facts->min_isr_why != NULL)
		list_add(&facts->unknown, arena,
		    "nobody tells min.insync.replicas: %s",
		    facts->min_isr_why);
	if (facts->moving_why != NULL)
		list_add(&facts->unknown, arena,
		    "nobody tells which partitions move: %s",
		    facts->moving_why);
}

enum health
health_judge(struct health_facts *facts, struct arena *arena)
{
	const struct metadata_response *metadata = facts->metadata;
	const struct health_broker *controller =
	    broker_find(facts, metadata->controller_id);

	if (controller == NULL || controller->facts == NULL)
		list_add(&facts->troubles, arena, "there is no controller");
	for (int32_t i = 0; i < metadata->topics_count; i++)
		if (metadata->topics[i].error_code != ERR_NONE)
			list_add(&facts->unknown, arena, "topic %.*s: %s",
			    SLICE_ARGS(metadata->topics[i].name),
			    error_name(metadata->topics[i].error_code));
	judge_partitions(facts, arena);
	for (size_t i = 0; i < facts->broker_count; i++)
		judge_broker(facts, &facts->brokers[i], arena);
	if (facts->troubles.count != 0)
		return (HEALTH_BAD);
	return (facts->unknown.count != 0 ? HEALTH_UNKNOWN : HEALTH_GOOD);
}

/* --- asking --------------------------------------------------------------- */

/* Brokers hear sooner than this what the controller has decided; barnabas(1)
 * tells of it. */
#define LOOKS_APART_MS 1000

/* False: nobody tells. */
static bool
ask_moves(struct client *client, struct health_facts *facts,
    struct list_partition_reassignments_response *moves)
{
	facts->moving = 0;
	facts->moving_why = NULL;
	if (moves_ask(client, moves) != CLIENT_OK)
		facts->moving_why = arena_strdup(client_arena(client),
		    client_why(client));
	else if (moves->error_code != ERR_NONE)
		facts->moving_why = error_name(moves->error_code);
	for (int32_t i = 0;
	     facts->moving_why == NULL && i < moves->topics_count; i++)
		facts->moving += (size_t)moves->topics[i].partitions_count;
	return (facts->moving_why == NULL);
}

/* To be freed. */
static const struct metadata_response_topic **
topics_of(const struct metadata_response *metadata)
{
	const size_t count = (size_t)metadata->topics_count;
	const struct metadata_response_topic **topics =
	    mem_alloc((count + 1) * sizeof(*topics));

	for (size_t i = 0; i < count; i++)
		topics[i] = &metadata->topics[i];
	return (topics);
}

static void
ask_partitions(struct client *client,
    const struct list_partition_reassignments_response *moves,
    const struct topics_counts *before, struct health_facts *facts)
{
	const struct metadata_response *metadata = facts->metadata;
	const size_t count = (size_t)metadata->topics_count;
	const struct metadata_response_topic **topics = topics_of(metadata);
	struct describe_configs_response configs;
	struct topics_facts from = { .metadata = metadata, .moves = moves };

	facts->min_isr_why = NULL;
	if (count != 0)
		facts->min_isr_why = topics_ask_configs(client, topics, count,
		    SLICE_LITERAL("min.insync.replicas"), &configs);
	if (count != 0 && facts->min_isr_why == NULL)
		from.configs = &configs;
	topics_count(&from, topics, count, before, &facts->counts);
	mem_free(topics);
}

/* False: there is no answer. */
static bool
ask_metadata(struct client *client, struct metadata_response *metadata,
    struct health_facts *facts)
{
	if (client_metadata(client, metadata) != CLIENT_OK)
		return (false);
	facts->looked_ms = clock_mono_ms(clock_system());
	facts->metadata = metadata;
	facts->brokers = NULL;
	facts->broker_count = 0;
	health_brokers(facts, client_arena(client));
	return (true);
}

/* False: there is no answer. `before`: the first look, NULL in it. */
static bool
look(struct client *client, const struct topics_counts *before,
    struct metadata_response *metadata, struct health_facts *facts)
{
	struct list_partition_reassignments_response moves;
	const bool told = ask_moves(client, facts, &moves);

	if (!ask_metadata(client, metadata, facts))
		return (false);
	ask_partitions(client, told ? &moves : NULL, before, facts);
	return (true);
}

/* The second look when the first one, `before`, found all well: nothing can
 * have been ill both times, and the controller is spared. */
static bool
look_for_churn(struct client *client, const struct topics_counts *before,
    struct metadata_response *metadata, struct health_facts *facts)
{
	const struct topics_facts from = { .metadata = metadata };
	const struct metadata_response_topic **topics;

	if (!ask_metadata(client, metadata, facts))
		return (false);
	topics = topics_of(metadata);
	topics_count(&from, topics, (size_t)metadata->topics_count, before,
	    &facts->counts);
	mem_free(topics);
	return (true);
}

static bool
looks_well(const struct health_facts *facts)
{
	const struct health_broker *controller =
	    broker_find(facts, facts->metadata->controller_id);

	for (size_t i = 0; i < facts->broker_count; i++)
		if (facts->brokers[i].facts == NULL)
			return (false);
	return (controller != NULL && facts->counts.ill_count == 0);
}

static bool
look_twice(struct client *client, struct metadata_response *metadata,
    struct health_facts *facts)
{
	struct metadata_response first;
	struct topics_counts counts;
	int64_t first_ms;
	bool well, good;

	if (!look(client, NULL, &first, facts))
		return (false);
	first_ms = facts->looked_ms;
	well = looks_well(facts);
	client_begin(client);
	client_wait(client, LOOKS_APART_MS);
	client_end(client);
	counts = facts->counts;
	facts->counts = (struct topics_counts) { 0 };
	good = well ? look_for_churn(client, &counts, metadata, facts)
		    : look(client, &counts, metadata, facts);
	topics_counts_fini(&counts);
	if (!good)
		return (false);
	health_churn_count(&first, metadata, &facts->churn);
	facts->churn.ms = facts->looked_ms - first_ms;
	return (true);
}

static void
ask_brokers(struct tool *tool, struct client *client,
    struct health_facts *facts)
{
	struct progress progress;

	progress_begin(&progress, tool, "brokers asked", facts->broker_count);
	for (size_t i = 0; i < facts->broker_count; i++) {
		struct health_broker *broker = &facts->brokers[i];

		progress_step(&progress, i);
		broker->dirs.broker = broker->id;
		if (broker->facts != NULL)
			broker->why = log_dirs_ask(client, &broker->dirs);
	}
	progress_end(&progress, facts->broker_count);
}

int
cluster_health(struct tool *tool, const struct args *args,
    struct client *client)
{
	struct arena *arena = client_arena(client);
	struct metadata_response metadata;
	struct health_facts facts = {
		.free_percent = args_number(args, "free-percent"),
	};
	struct buffer out = BUFFER_EMPTY;
	enum health health;

	client_limit(client, args_number(args, "timeout"));
	if (!look_twice(client, &metadata, &facts)) {
		tool_fail(tool, "%s", client_why(client));
		return (HEALTH_UNKNOWN);
	}
	ask_brokers(tool, client, &facts);
	health = health_judge(&facts, arena);
	if (args_json(args))
		health_json(&facts, &out);
	else
		health_text(&facts, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
	topics_counts_fini(&facts.counts);
	return ((int)health);
}
