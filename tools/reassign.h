/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `barnabas reassign-partitions` share.  Texts and lists live
 * in an arena. */
#ifndef TOOLS_REASSIGN_H
#define TOOLS_REASSIGN_H

#include "tools/client.h"
#include "tools/json_out.h"
#include "tools/tool.h"

/* A partition and its replicas: those it has, or those that are wanted. */
struct reassign_part {
	struct slice topic;
	int32_t partition;
	int32_t *replicas;
	int32_t replica_count;
};

/* By topic and number. */
struct reassign_parts {
	struct reassign_part *items;
	size_t count;
};

/* A replica, and the log directory where it is to lie. */
struct reassign_dir {
	struct slice topic;
	int32_t partition;
	int32_t broker;
	struct slice wanted;
	struct slice current; /* null: in none that is online */
	struct slice future;  /* to which it moves; null: it does not */
	bool begun;	      /* its broker has taken up the move */
};

/* By broker, topic and number. */
struct reassign_dirs {
	struct reassign_dir *items;
	size_t count;
};

/* What a file of --reassignment-json-file says. */
struct reassign_wanted {
	struct reassign_parts parts;
	struct reassign_dirs dirs;
};

struct reassign_topics {
	struct slice *items; /* by name */
	size_t count;
};

struct reassign_brokers {
	int32_t *ids; /* ascending */
	size_t count;
};

/* One command under way: its text goes out line by line, its JSON in one
 * document at the end. */
struct reassign {
	struct tool *tool;
	const struct args *args;
	struct client *client;
	struct arena *arena; /* the client's */
	struct buffer text;
	struct json_out json;
};

/* --- files (reassign_file.c) ---------------------------------------------- */

/* False: *why says what is wrong with the text. */
bool reassign_parse(struct slice text, struct arena *arena,
    struct reassign_wanted *out, struct buffer *why);
bool reassign_parse_topics(struct slice text, struct arena *arena,
    struct reassign_topics *out, struct buffer *why);
bool reassign_parse_brokers(const char *text, struct arena *arena,
    struct reassign_brokers *out, struct buffer *why);
/* Of what is to be carried out: no list in it may be empty, and no replica
 * there twice. */
bool reassign_check(const struct reassign_wanted *wanted, struct buffer *why);
/* Sorts. */
void reassign_parts_sort(struct reassign_parts *parts);
/* NULL: it is not among them. */
const struct reassign_part *reassign_part_find(
    const struct reassign_parts *parts, struct slice topic, int32_t partition);
/* How many from the first on are of its topic. */
size_t reassign_same_topic(const struct reassign_part *parts, size_t count);

/* --- plans (reassign_plan.c) ---------------------------------------------- */

/* From whom a partition's bytes come, and to whom they go. */
struct reassign_move {
	struct slice topic;
	int32_t partition;
	struct reassign_brokers from;
	struct reassign_brokers to;
};

/* By topic and number. */
struct reassign_moves {
	struct reassign_move *items;
	size_t count;
};

/* Those that are under way, and those that are wanted. `now` is where the
 * wanted ones lie; each is there. */
void reassign_plan_moves(
    const struct list_partition_reassignments_response *under_way,
    const struct reassign_parts *wanted, const struct reassign_parts *now,
    struct arena *arena, struct reassign_moves *out);
/* All who send or receive. */
void reassign_plan_brokers(const struct reassign_moves *moves,
    struct arena *arena, struct reassign_brokers *out);
enum reassign_side { REASSIGN_LEADERS, REASSIGN_FOLLOWERS };
/* "0:1,0:2": the replicas of one topic that are to be throttled; `moves` are
 * those of the topic.  Ordered as texts, as Kafka's tool does. */
void reassign_plan_throttle(const struct reassign_move *moves, size_t count,
    enum reassign_side side, struct buffer *out);
/* Where these topics would go if they were made anew on these brokers.
 * `metadata` tells their racks, unless `racks` is false.  False: *why. */
struct random;
bool reassign_propose(const struct reassign_parts *now,
    const struct reassign_brokers *brokers,
    const struct metadata_response *metadata, bool racks,
    struct random *random, struct arena *arena, struct reassign_parts *out,
    struct buffer *why);
/* Sorts, and leaves each once. */
void reassign_brokers_unite(struct reassign_brokers *brokers);

/* --- texts (reassign_text.c) ---------------------------------------------- */

/* {"version":1,"partitions":[...]}, names in the order of Kafka's tool. */
void reassign_json_parts(struct json_out *json, const char *name,
    const struct reassign_parts *parts);
/* "a-0,a-1" */
void reassign_put_names(const struct reassign_parts *parts,
    struct buffer *out);
void reassign_put_ids(const int32_t *ids, size_t count, struct buffer *out);
/* --list */
void reassign_list_text(
    const struct list_partition_reassignments_response *moves,
    struct arena *arena, struct buffer *out);
void reassign_list_json(
    const struct list_partition_reassignments_response *moves,
    struct arena *arena, struct json_out *json);

/* --verify: how it stands. `now` is where they lie, as far as they are
 * there. */
struct reassign_state {
	const struct reassign_parts *wanted;
	const struct reassign_parts *now;
	const struct list_partition_reassignments_response *moves;
};
void reassign_state_text(const struct reassign_state *state,
    struct buffer *out);
void reassign_state_json(const struct reassign_state *state,
    struct json_out *json);
void reassign_dirs_text(const struct reassign_dirs *dirs, struct buffer *out);
void reassign_dirs_json(const struct reassign_dirs *dirs, const char *name,
    struct json_out *json);
bool reassign_dir_moving(const struct reassign_dir *dir);

/* --- questions (reassign_ask.c) ------------------------------------------- */

/* TOOL_OK, or said, each. */
int reassign_ask_moves(struct reassign *r,
    struct list_partition_reassignments_response *moves);
int reassign_ask_metadata(struct reassign *r,
    struct metadata_response *metadata);
bool reassign_broker_there(const struct metadata_response *metadata,
    int32_t id);
/* Each wanted partition as it lies; those that are not there are left out. */
void reassign_now(struct reassign *r, const struct metadata_response *metadata,
    const struct reassign_parts *wanted, struct reassign_parts *out);
/* The same; one that is not there fails. */
int reassign_now_all(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_parts *wanted, struct reassign_parts *out);
/* All partitions of these topics. */
int reassign_now_topics(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_topics *topics, struct reassign_parts *out);
/* Begins these moves, or (`ended` not NULL) takes them back: those of which
 * nothing moves any more are in *ended.  Of partitions that were refused, one
 * line each in *refused. */
int reassign_alter(struct reassign *r, const struct reassign_parts *parts,
    struct reassign_parts *ended, struct buffer *refused);

/* --- throttles (reassign_throttle.c) -------------------------------------- */

/* Before anything moves. `rate` in bytes a second.  Brokers that are not there
 * neither send nor receive: a warning, no more. */
int reassign_throttle(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_moves *moves, int64_t rate);
int reassign_throttle_dirs(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_dirs *dirs, int64_t rate);
/* Of these topics, of all brokers that are there and of those that the
 * partitions name; that one of these is not there is a failure, in the end. */
int reassign_unthrottle(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_parts *parts);

/* --- directories (reassign_dirs.c) ---------------------------------------- */

/* Where the replicas lie and whereto they move. */
int reassign_dirs_find(struct reassign *r,
    const struct metadata_response *metadata, struct reassign_dirs *dirs);
/* What a broker's answer says of these, its replicas. */
struct describe_log_dirs_response;
void reassign_dirs_take(struct reassign_dir *dirs, size_t count,
    const struct describe_log_dirs_response *response);
/* Tells brokers to move them, again while a replica is not there yet, for
 * --timeout. */
int reassign_dirs_move(struct reassign *r, struct reassign_dirs *dirs);

/* --- actions -------------------------------------------------------------- */

/* A line of text; none with --output json. */
void reassign_say(struct reassign *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What was said stands where it belongs, with --output json too: before the
 * first change. */
int reassign_told(struct reassign *r);
/* Reads --reassignment-json-file. */
int reassign_read(struct reassign *r, struct reassign_wanted *out);

int reassign_generate(struct reassign *r);
int reassign_execute(struct reassign *r);
int reassign_verify(struct reassign *r);
int reassign_cancel(struct reassign *r);
int reassign_list(struct reassign *r);

#endif
