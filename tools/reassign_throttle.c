/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The throttles of `barnabas reassign-partitions`: which replicas of a topic,
 * and at what rate a broker sends and receives these.
 *
 *	--execute --throttle:  topics, then brokers, then the replicas move
 *	--verify, --cancel:    brokers, then topics
 *
 * A broker's options are changed by itself alone.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "tools/configs.h"
#include "tools/reassign.h"

#define LEADER_RATE "leader.replication.throttled.rate"
#define FOLLOWER_RATE "follower.replication.throttled.rate"
#define DIRS_RATE "replica.alter.log.dirs.io.max.bytes.per.second"
#define LEADER_REPLICAS "leader.replication.throttled.replicas"
#define FOLLOWER_REPLICAS "follower.replication.throttled.replicas"

enum { OPERATION_SET = 0, OPERATION_DELETE = 1 };

/* The names that one change is about, NULL after the last. */
static const char *const rates[] = { LEADER_RATE, FOLLOWER_RATE, NULL };
static const char *const dirs_rates[] = { DIRS_RATE, NULL };
static const char *const all_rates[] = { LEADER_RATE, FOLLOWER_RATE,
	DIRS_RATE, NULL };
static const char *const replicas[] = { LEADER_REPLICAS, FOLLOWER_REPLICAS,
	NULL };

/* --- a change of options -------------------------------------------------- */

typedef struct incremental_alter_configs_request_resource resource_change;

static resource_change *
change_begin(struct reassign *r, size_t resources,
    struct incremental_alter_configs_request *request)
{
	wire_init(&message_incremental_alter_configs_request, request);
	request->resources = wire_array(r->arena,
	    incremental_alter_configs_request_resource_schema(), resources);
	CHECK(request->resources != NULL);
	request->resources_count = (int32_t)resources;
	return (request->resources);
}

/* `values` NULL: the names are deleted; else one for each. */
static void
change_fill(struct reassign *r, const struct configs_entity *entity,
    const char *const *names, const struct slice *values,
    resource_change *out)
{
	size_t count = 0;

	while (names[count] != NULL)
		count++;
	out->resource_type = (int8_t)entity->kind;
	out->resource_name = entity->name;
	out->configs = wire_array(r->arena,
	    incremental_alter_configs_request_config_schema(), count);
	CHECK(out->configs != NULL);
	out->configs_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		out->configs[i].name = slice_of_text(names[i]);
		out->configs[i].config_operation =
		    values != NULL ? OPERATION_SET : OPERATION_DELETE;
		out->configs[i].value =
		    values != NULL ? values[i] : SLICE_EMPTY;
	}
}

/* TOOL_OK, or each failure said. */
static int
change_send(struct reassign *r, const struct configs_entity *whom,
    const struct incremental_alter_configs_request *request)
{
	struct incremental_alter_configs_response response;
	int status = TOOL_OK;

	if (configs_send(r->client, whom, API_INCREMENTAL_ALTER_CONFIGS,
		request, &response) != CLIENT_OK)
		return (tool_fail(r->tool, "throttles: %s",
		    client_why(r->client)));
	for (int32_t i = 0; i < response.responses_count; i++) {
		const struct incremental_alter_configs_response_resource
		    *answer = &response.responses[i];

		if (answer->error_code != ERR_NONE)
			status = tool_fail(r->tool,
			    "throttles of %s '%.*s': %s%s%.*s",
			    answer->resource_type == CONFIGS_TOPIC ? "topic"
								   : "broker",
			    SLICE_ARGS(answer->resource_name),
			    error_name(answer->error_code),
			    answer->error_message.length != 0 ? ": " : "",
			    SLICE_ARGS(answer->error_message));
	}
	if (status == TOOL_OK &&
	    response.responses_count != request->resources_count)
		status = tool_fail(r->tool,
		    "throttles: the broker's answer is about %d entities "
		    "instead of %d",
		    response.responses_count, request->resources_count);
	return (status);
}

/* --- brokers -------------------------------------------------------------- */

static int
broker_change(struct reassign *r, int32_t id, const char *const *names,
    const struct slice *values)
{
	struct incremental_alter_configs_request request;
	const struct configs_entity entity = {
		.kind = CONFIGS_BROKER,
		.name = slice_of_text(arena_printf(r->arena, "%d", id)),
	};

	change_fill(r, &entity, names, values, change_begin(r, 1, &request));
	return (change_send(r, &entity, &request));
}

static int
brokers_set(struct reassign *r, const struct metadata_response *metadata,
    const struct reassign_brokers *brokers, const char *const *names,
    int64_t rate)
{
	const struct slice text =
	    slice_of_text(arena_printf(r->arena, "%" PRId64, rate));
	const struct slice values[] = { text, text };
	int status = TOOL_OK;

	for (size_t i = 0; status == TOOL_OK && i < brokers->count; i++) {
		if (reassign_broker_there(metadata, brokers->ids[i]))
			status = broker_change(r, brokers->ids[i], names,
			    values);
		else
			tool_warn(r->tool,
			    "broker %d is not there, and gets no throttle",
			    brokers->ids[i]);
	}
	return (status);
}

static void
brokers_concerned(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_parts *parts, struct reassign_brokers *out)
{
	size_t count = (size_t)metadata->brokers_count;

	for (size_t i = 0; i < parts->count; i++)
		count += (size_t)parts->items[i].replica_count;
	*out = (struct reassign_brokers) { 0 };
	out->ids = arena_array(r->arena, count + 1, sizeof(*out->ids));
	CHECK(out->ids != NULL);
	for (int32_t i = 0; i < metadata->brokers_count; i++)
		out->ids[out->count++] = metadata->brokers[i].node_id;
	for (size_t i = 0; i < parts->count; i++)
		for (int32_t k = 0; k < parts->items[i].replica_count; k++)
			out->ids[out->count++] = parts->items[i].replicas[k];
	reassign_brokers_unite(out);
}

/* All that can be cleared is cleared. */
static int
brokers_clear(struct reassign *r, const struct metadata_response *metadata,
    const struct reassign_brokers *brokers)
{
	struct buffer ids = BUFFER_EMPTY;
	int status = TOOL_OK;

	reassign_put_ids(brokers->ids, brokers->count, &ids);
	reassign_say(r, "Clearing broker-level throttles on broker%s %s\n",
	    brokers->count == 1 ? "" : "s", buffer_text(&ids));
	buffer_fini(&ids);
	for (size_t i = 0; i < brokers->count; i++)
		if (!reassign_broker_there(metadata, brokers->ids[i]))
			status = tool_fail(r->tool,
			    "broker %d is not there: throttles that it has "
			    "stay; --verify clears them when it is back",
			    brokers->ids[i]);
		else if (broker_change(r, brokers->ids[i], all_rates, NULL) !=
		    TOOL_OK)
			status = TOOL_FAILED;
	return (status);
}

/* --- topics --------------------------------------------------------------- */

static struct slice
throttle_text(struct reassign *r, const struct reassign_move *moves,
    size_t count, enum reassign_side side)
{
	struct buffer text = BUFFER_EMPTY;
	struct slice copy;
	bool good = true;

	reassign_plan_throttle(moves, count, side, &text);
	copy = arena_slice_copy(r->arena, buffer_slice(&text), &good);
	CHECK(good);
	buffer_fini(&text);
	return (copy);
}

static size_t
same_topic(const struct reassign_move *moves, size_t count)
{
	size_t same = 0;

	while (same < count && slice_equal(moves[same].topic, moves[0].topic))
		same++;
	return (same);
}

static int
topics_set(struct reassign *r, const struct reassign_moves *moves)
{
	struct incremental_alter_configs_request request;
	resource_change *changes = change_begin(r, moves->count, &request);
	struct configs_entity entity = { .kind = CONFIGS_TOPIC };
	size_t same;

	request.resources_count = 0;
	for (size_t at = 0; at < moves->count; at += same) {
		const struct reassign_move *first = &moves->items[at];
		struct slice values[2];

		same = same_topic(first, moves->count - at);
		values[0] = throttle_text(r, first, same, REASSIGN_LEADERS);
		values[1] = throttle_text(r, first, same, REASSIGN_FOLLOWERS);
		entity.name = first->topic;
		change_fill(r, &entity, replicas, values,
		    &changes[request.resources_count++]);
	}
	return (change_send(r, &entity, &request));
}

static int
topics_clear(struct reassign *r, const struct reassign_parts *parts)
{
	struct incremental_alter_configs_request request;
	resource_change *changes = change_begin(r, parts->count, &request);
	struct configs_entity entity = { .kind = CONFIGS_TOPIC };
	struct buffer names = BUFFER_EMPTY;
	int32_t count = 0;

	for (size_t at = 0; at < parts->count;
	     at += reassign_same_topic(&parts->items[at], parts->count - at)) {
		entity.name = parts->items[at].topic;
		change_fill(r, &entity, replicas, NULL, &changes[count]);
		buffer_printf(&names, count++ == 0 ? "%.*s" : ",%.*s",
		    SLICE_ARGS(entity.name));
	}
	request.resources_count = count;
	reassign_say(r, "Clearing topic-level throttles on topic%s %s\n",
	    count == 1 ? "" : "s", buffer_text(&names));
	buffer_fini(&names);
	return (count == 0 ? TOOL_OK : change_send(r, &entity, &request));
}

/* --- all of it ------------------------------------------------------------ */

int
reassign_throttle(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_moves *moves, int64_t rate)
{
	struct reassign_brokers brokers;
	int status = topics_set(r, moves);

	reassign_plan_brokers(moves, r->arena, &brokers);
	if (status == TOOL_OK)
		status = brokers_set(r, metadata, &brokers, rates, rate);
	if (status == TOOL_OK)
		reassign_say(r, "The inter-broker throttle limit was set to "
				"%" PRId64 " B/s\n",
		    rate);
	return (status);
}

int
reassign_throttle_dirs(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_dirs *dirs, int64_t rate)
{
	struct reassign_brokers brokers = { 0 };
	int status;

	brokers.ids =
	    arena_array(r->arena, dirs->count + 1, sizeof(*brokers.ids));
	CHECK(brokers.ids != NULL);
	for (size_t i = 0; i < dirs->count; i++)
		brokers.ids[brokers.count++] = dirs->items[i].broker;
	reassign_brokers_unite(&brokers);
	status = brokers_set(r, metadata, &brokers, dirs_rates, rate);
	if (status == TOOL_OK)
		reassign_say(r, "The replica-alter-dir throttle limit was set "
				"to %" PRId64 " B/s\n",
		    rate);
	return (status);
}

int
reassign_unthrottle(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_parts *parts)
{
	struct reassign_brokers brokers;
	int status;

	brokers_concerned(r, metadata, parts, &brokers);
	status = brokers_clear(r, metadata, &brokers);
	if (topics_clear(r, parts) != TOOL_OK)
		status = TOOL_FAILED;
	json_bool(&r->json, "throttlesCleared", status == TOOL_OK);
	return (status);
}
