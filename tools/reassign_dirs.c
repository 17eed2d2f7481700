/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves between log directories, each a matter of its broker:
 *
 *	[not there yet] --the replica has come--> [begun] --> current, future
 *	      |       ^                                           |
 *	      |       +-- its broker is silent: where is it now?  v
 *	      +-- --timeout: a failure                    current is wanted
 */
#include "base/check.h"
#include "base/clock.h"
#include "tools/log_dirs.h"
#include "tools/reassign.h"

#define NS_PER_MS ((int64_t)1000000)
#define MOVES_BYTES_MAX ((size_t)1 << 30)
/* So often it is asked again at once, then ever so many pauses later: what
 * answers hold stays in memory. */
#define ROUNDS_QUICK 50
#define PAUSES_SLOW 50
/* Of --timeout each broker that is left to be asked has its share; a busy one
 * is given so long in any case. */
#define SHARE_MS_MIN 2000

/* How many from the first on are of its broker. */
static size_t
same_broker(const struct reassign_dir *dirs, size_t count)
{
	size_t same = 0;

	while (same < count && dirs[same].broker == dirs[0].broker)
		same++;
	return (same);
}

/* Of one broker's replicas. */
static struct reassign_dir *
dir_of(struct reassign_dir *dirs, size_t count, struct slice topic,
    int32_t partition)
{
	size_t low = 0;

	while (count > 0) {
		const size_t middle = low + count / 2;
		int order = slice_compare(dirs[middle].topic, topic);

		if (order == 0)
			order = (dirs[middle].partition > partition) -
			    (dirs[middle].partition < partition);
		if (order == 0)
			return (&dirs[middle]);
		if (order < 0) {
			count -= middle + 1 - low;
			low = middle + 1;
		} else {
			count = middle - low;
		}
	}
	return (NULL);
}

/* --- where they lie ------------------------------------------------------- */

void
reassign_dirs_take(struct reassign_dir *dirs, size_t count,
    const struct describe_log_dirs_response *response)
{
	for (int32_t i = 0; i < response->results_count; i++) {
		const struct describe_log_dirs_response_result *result =
		    &response->results[i];

		for (int32_t t = 0; t < result->topics_count; t++)
			for (int32_t p = 0;
			     p < result->topics[t].partitions_count; p++) {
				const struct
				    describe_log_dirs_response_partition
					*part =
				    &result->topics[t].partitions[p];
				struct reassign_dir *dir = dir_of(dirs, count,
				    result->topics[t].name,
				    part->partition_index);

				if (dir != NULL && part->is_future_key)
					dir->future = result->log_dir;
				else if (dir != NULL)
					dir->current = result->log_dir;
			}
	}
}

/* A directory that is offline tells nothing of its replicas. */
static int
answer_check(const struct reassign *r, const struct log_dirs_answer *answer)
{
	for (int32_t i = 0; i < answer->response.results_count; i++) {
		const struct describe_log_dirs_response_result *result =
		    &answer->response.results[i];

		if (result->error_code != ERR_NONE &&
		    result->error_code != ERR_KAFKA_STORAGE_ERROR)
			return (tool_fail(r->tool, "broker %d: %.*s: %s",
			    answer->broker, SLICE_ARGS(result->log_dir),
			    error_name(result->error_code)));
	}
	return (TOOL_OK);
}

static int
broker_find(struct reassign *r, const struct metadata_response *metadata,
    struct reassign_dir *dirs, size_t count)
{
	struct log_dirs_answer answer = { .broker = dirs->broker };
	const char *why;

	if (!reassign_broker_there(metadata, dirs->broker))
		return (tool_fail(r->tool,
		    "broker %d is not there: nobody tells of its directories",
		    dirs->broker));
	why = log_dirs_ask(r->client, &answer);
	if (why != NULL)
		return (tool_fail(r->tool, "broker %d: %s", dirs->broker,
		    why));
	reassign_dirs_take(dirs, count, &answer.response);
	return (answer_check(r, &answer));
}

int
reassign_dirs_find(struct reassign *r,
    const struct metadata_response *metadata, struct reassign_dirs *dirs)
{
	int status = TOOL_OK;
	size_t same;

	for (size_t at = 0; status == TOOL_OK && at < dirs->count;
	     at += same) {
		same = same_broker(&dirs->items[at],
		    dirs->count - at);
		status = broker_find(r, metadata, &dirs->items[at], same);
	}
	return (status);
}

/* --- the moves ------------------------------------------------------------ */

/* A row for each replica that has not begun: what names a directory or topic
 * twice is as good. */
static void
move_request(const struct reassign_dir *dirs, size_t count,
    struct arena *arena, struct alter_replica_log_dirs_request *request)
{
	wire_init(&message_alter_replica_log_dirs_request, request);
	request->dirs = wire_array(arena,
	    alter_replica_log_dirs_request_dir_schema(), count);
	CHECK(request->dirs != NULL);
	for (size_t i = 0; i < count; i++) {
		struct alter_replica_log_dirs_request_dir *row =
		    &request->dirs[request->dirs_count];

		if (dirs[i].begun)
			continue;
		request->dirs_count++;
		row->path = dirs[i].wanted;
		row->topics = wire_array(arena,
		    alter_replica_log_dirs_request_topic_schema(), 1);
		CHECK(row->topics != NULL);
		row->topics_count = 1;
		row->topics->name = dirs[i].topic;
		row->topics->partitions = arena_array(arena, 1,
		    sizeof(*row->topics->partitions));
		CHECK(row->topics->partitions != NULL);
		row->topics->partitions_count = 1;
		row->topics->partitions[0] = dirs[i].partition;
	}
}

static enum client_status
move_ask(struct reassign *r, const struct reassign_dir *dirs, size_t count,
    int64_t within_ms, struct alter_replica_log_dirs_response *response)
{
	struct alter_replica_log_dirs_request request;
	enum client_status status;
	struct arena arena;

	/* One of its own: there may be many rounds. */
	arena_init(&arena, MOVES_BYTES_MAX);
	move_request(dirs, count, &arena, &request);
	client_begin_within(r->client, within_ms, within_ms);
	status = client_ask_node(r->client, dirs->broker,
	    API_ALTER_REPLICA_LOG_DIRS, &request, response);
	client_end(r->client);
	arena_fini(&arena);
	return (status);
}

static void
move_begun(struct reassign *r, struct reassign_dir *dir)
{
	dir->begun = true;
	reassign_say(r, "Successfully started moving log directory to %.*s "
			"for replica %.*s-%d with broker %d \n",
	    SLICE_ARGS(dir->wanted), SLICE_ARGS(dir->topic), dir->partition,
	    dir->broker);
}

/* What is wrong with one of them is said; all that begin are told. */
static int
move_take(struct reassign *r, struct reassign_dir *dirs, size_t count,
    const struct alter_replica_log_dirs_response *response)
{
	int status = TOOL_OK;

	for (int32_t t = 0; t < response->results_count; t++) {
		const struct alter_replica_log_dirs_response_topic *topic =
		    &response->results[t];

		for (int32_t p = 0; p < topic->partitions_count; p++) {
			const int error = topic->partitions[p].error_code;
			struct reassign_dir *dir =
			    dir_of(dirs, count, topic->topic_name,
				topic->partitions[p].partition_index);

			if (dir == NULL || dir->begun)
				continue;
			if (error == ERR_NONE)
				move_begun(r, dir);
			else if (error != ERR_REPLICA_NOT_AVAILABLE)
				status = tool_fail(r->tool,
				    "Failed to alter dir for %.*s-%d-%d: %s; "
				    "barnabas log-dirs shows the directories",
				    SLICE_ARGS(dir->topic), dir->partition,
				    dir->broker, error_name(error));
		}
	}
	return (status);
}

/* Of a broker that does not answer nothing has begun. */
static int
broker_move(struct reassign *r, struct reassign_dir *dirs, size_t count,
    int64_t within_ms, bool *silent)
{
	struct alter_replica_log_dirs_response response;

	switch (move_ask(r, dirs, count, within_ms, &response)) {
	case CLIENT_OK:
		return (move_take(r, dirs, count, &response));
	case CLIENT_UNREACHABLE:
		*silent = true;
		return (TOOL_OK); /* it may come back in time */
	default:
		return (tool_fail(r->tool, "broker %d: %s", dirs->broker,
		    client_why(r->client)));
	}
}

/* `why`: "Timed out before", as Kafka's tool says it. */
static int
dirs_not_begun(const struct reassign *r, const struct reassign_dirs *dirs,
    const char *why)
{
	struct buffer names = BUFFER_EMPTY;
	size_t count = 0;

	for (size_t i = 0; i < dirs->count; i++)
		if (!dirs->items[i].begun)
			buffer_printf(&names, "%s%.*s-%d-%d",
			    count++ == 0 ? "" : ",",
			    SLICE_ARGS(dirs->items[i].topic),
			    dirs->items[i].partition, dirs->items[i].broker);
	if (count > 0)
		tool_fail(r->tool,
		    "%s log directory move%s could be started for: %s", why,
		    count == 1 ? "" : "s", buffer_text(&names));
	buffer_fini(&names);
	return (TOOL_FAILED);
}

static bool
all_begun(const struct reassign_dir *dirs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!dirs[i].begun)
			return (false);
	return (true);
}

/* How many brokers have moves to begin. */
static size_t
brokers_left(const struct reassign_dirs *dirs)
{
	size_t count = 0;
	size_t same;

	for (size_t at = 0; at < dirs->count; at += same) {
		same = same_broker(&dirs->items[at], dirs->count - at);
		count += !all_begun(&dirs->items[at], same);
	}
	return (count);
}

static int64_t
share_ms(int64_t limit_ms, size_t brokers)
{
	const int64_t left_ms = limit_ms - clock_mono_ms(clock_system());
	const int64_t share = left_ms / (int64_t)brokers;

	return (share > SHARE_MS_MIN ? share : SHARE_MS_MIN);
}

/* All brokers are asked, also where one refuses or is silent. */
static int
dirs_round(struct reassign *r, struct reassign_dirs *dirs, int64_t limit_ms,
    bool *silent)
{
	size_t left = brokers_left(dirs);
	int status = TOOL_OK;
	size_t same;

	for (size_t at = 0; at < dirs->count; at += same) {
		struct reassign_dir *first = &dirs->items[at];

		same = same_broker(first, dirs->count - at);
		if (all_begun(first, same))
			continue;
		if (broker_move(r, first, same, share_ms(limit_ms, left--),
			silent) != TOOL_OK)
			status = TOOL_FAILED;
	}
	return (status);
}

/* Who is silent may be elsewhere by now.  That nobody tells is no failure: it
 * is asked again. */
static void
brokers_learn(struct reassign *r, int64_t limit_ms)
{
	struct metadata_response metadata;
	const int64_t within_ms = share_ms(limit_ms, 2);

	client_begin_within(r->client, within_ms, within_ms);
	(void)client_brokers(r->client, &metadata);
	client_end(r->client);
}

int
reassign_dirs_move(struct reassign *r, struct reassign_dirs *dirs)
{
	const struct clock *clock = clock_system();
	const int64_t limit_ms = clock_after_ms(clock_mono_ns(clock),
	    args_number(r->args, "timeout")) / NS_PER_MS;

	for (int round = 0;; round++) {
		int pauses = round < ROUNDS_QUICK ? 1 : PAUSES_SLOW;
		bool silent = false;

		if (dirs_round(r, dirs, limit_ms, &silent) != TOOL_OK)
			return (dirs_not_begun(r, dirs,
			    "A move was refused; no"));
		if (all_begun(dirs->items, dirs->count))
			return (TOOL_OK);
		if (clock_mono_ms(clock) >= limit_ms)
			return (dirs_not_begun(r, dirs, "Timed out before"));
		if (silent)
			brokers_learn(r, limit_ms);
		for (; pauses > 0 && clock_mono_ms(clock) < limit_ms;
		     pauses--) {
			client_begin(r->client);
			(void)client_pause(r->client);
			client_end(r->client);
		}
	}
}
