/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A commit sets each node; what is not there is made, with all above it; what
 * somebody made meanwhile is set once more.
 *
 *	      next parts          NO_NODE of some      NODE_EXISTS of some
 *	[set] ----------> answered -------> [make] --------> [set again]
 *	  ^                  |                 |                  |
 *	  +------------------+-----------------+------------------+
 */
#include "api/offset_zk.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "zkglue/zkglue.h"

/* Nodes in hand, and bytes of their paths and of all that are above them, as a
 * batch that makes them has these; well within the bound of its arena. */
#define ROUND_NODES 500
#define ROUND_BYTES ((size_t)1 << 20)
/* As offsets.commit.timeout.ms is by default: version 0 has none of its own. */
#define PATIENCE_NS (INT64_C(5) * 1000000000)

static task_step offset_zk_begin, offset_zk_round, offset_zk_answered;

enum round { ROUND_GET, ROUND_SET, ROUND_MAKE, ROUND_SET_AGAIN };

struct offset_zk {
	enum round first;
	enum round round;
	const char *group;
	struct group_part *parts;
	size_t count;
	size_t from; /* of this round's parts */
	size_t to;
	struct zk_batch *batch;
	struct zk_op *ops[ROUND_NODES]; /* NULL: the part is not in the round */
	void (*reply)(void *state);
	void *state;
};

/* No node has such a name, or none should have so many above it. */
static bool
group_fits_path(struct slice group)
{
	size_t depth = 1;

	for (size_t i = 0; i < group.length; i++) {
		if (group.data[i] == '\0')
			return (false);
		depth += group.data[i] == '/';
	}
	return (depth * group.length <= ROUND_BYTES);
}

static void
offset_zk_home(struct api_away *away)
{
	struct offset_zk *z = away->state;

	z->reply(z->state);
}

static void
offset_zk_go(struct apis *apis, struct request *request,
    const struct group_commit *commit, const struct offset_zk *plan)
{
	struct offset_zk *z = arena_zalloc(&request->arena, sizeof(*z));

	if (z == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	*z = *plan;
	z->round = z->first;
	z->parts = commit->parts;
	z->count = commit->count;
	if (group_fits_path(commit->group_id))
		z->group = arena_slice_text(&request->arena, commit->group_id);
	else
		z->group = "";
	if (z->group == NULL)
		api_refuse_memory(apis, request);
	else
		(void)api_go_away(apis, request, apis->setup.controller_loop,
		    &(struct api_away){
			.first = offset_zk_begin,
			.home = offset_zk_home,
			.state = z,
		    });
}

void
offset_zk_commit(struct apis *apis, struct request *request,
    const struct group_commit *commit, void (*reply)(void *state),
    void *state)
{
	for (size_t i = 0; i < commit->count; i++)
		if (commit->parts[i].error == ERR_NONE &&
		    group_metadata_too_long(apis->setup.groups,
			commit->parts[i].metadata))
			commit->parts[i].error = ERR_OFFSET_METADATA_TOO_LARGE;
	offset_zk_go(apis, request, commit, &(struct offset_zk){
	    .first = ROUND_SET, .reply = reply, .state = state });
}

void
offset_zk_fetch(struct apis *apis, struct request *request,
    const struct group_commit *asked, void (*reply)(void *state), void *state)
{
	offset_zk_go(apis, request, asked, &(struct offset_zk){
	    .first = ROUND_GET, .reply = reply, .state = state });
}

/* --- on ZooKeeper's loop -------------------------------------------------- */

static enum verdict
offset_zk_begin(struct task *t)
{
	task_set_deadline(t, loop_now_ns(task_loop(t)) + PATIENCE_NS);
	return (task_next(t, offset_zk_round));
}

static bool
offset_zk_wanted(const struct offset_zk *z, size_t i)
{
	const struct zk_op *before = z->ops[i - z->from];

	if (z->round == z->first)
		return (z->parts[i].error == ERR_NONE);
	return (before != NULL && before->rc == (z->round == ROUND_MAKE ?
	    ZK_NO_NODE : ZK_NODE_EXISTS));
}

static struct zk_op *
offset_zk_op(const struct offset_zk *z, struct zk_batch *batch,
    const struct group_part *part, size_t *bytes)
{
	struct arena *arena = zk_batch_arena(batch);
	char topic[256];
	char text[24];
	const char *path;

	/* The image has it, so it is a topic's name. */
	snprintf(topic, sizeof(topic), "%.*s", SLICE_ARGS(part->topic));
	snprintf(text, sizeof(text), "%" PRId64, part->offset);
	path = znode_consumer_offset_path(arena, z->group, topic,
	    part->partition);
	CHECK(path != NULL); /* bounded by ROUND_BYTES */
	for (const char *at = path; *at != '\0'; at++)
		*bytes += *at == '/' ? strlen(path) : 0;
	if (z->round == ROUND_GET)
		return (zk_batch_get(batch, path, NULL));
	if (z->round == ROUND_MAKE)
		return (zk_batch_create_all(batch, path,
		    slice_of_text(text)));
	return (zk_batch_set(batch, path, slice_of_text(text),
	    ZK_ANY_VERSION));
}

/* False: nothing is to be asked. */
static bool
offset_zk_fill(struct offset_zk *z, struct zk_batch *batch)
{
	const bool first = z->round == z->first;
	const size_t end = first ? z->count : z->to;
	size_t bytes = 0, i = z->from;
	bool any = false;

	while (i < end && i - z->from < ROUND_NODES &&
	    (!first || bytes < ROUND_BYTES)) {
		struct zk_op **op = &z->ops[i - z->from];

		*op = offset_zk_wanted(z, i) ?
		    offset_zk_op(z, batch, &z->parts[i], &bytes) :
		    NULL;
		any |= *op != NULL;
		i++;
	}
	if (first)
		z->to = i;
	return (any);
}

static enum verdict
offset_zk_end(struct task *t, struct offset_zk *z)
{
	zk_batch_free(&z->batch);
	return (api_go_home(t));
}

/* The parts in hand, or the next ones. */
static enum verdict
offset_zk_round(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct offset_zk *z = away->state;
	struct zk_batch *batch;

	if (z->from == z->count)
		return (offset_zk_end(t, z));
	batch = zk_batch_new(away->apis->setup.zk);
	if (offset_zk_fill(z, batch)) {
		zk_batch_free(&z->batch);
		z->batch = batch;
		zk_batch_submit(batch, t);
		return (task_next(t, offset_zk_answered));
	}
	zk_batch_free(&batch);
	z->from = z->to;
	z->round = z->first;
	return (task_next(t, offset_zk_round));
}

static void
offset_zk_take(const struct offset_zk *z, struct group_part *part,
    const struct zk_op *op)
{
	if (op->rc == ZK_OK && z->round == ROUND_GET && op->answer.data == NULL)
		part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else if (op->rc == ZK_OK && z->round == ROUND_GET)
		part->error = text_to_int64(op->answer, &part->offset) ?
		    ERR_NONE :
		    ERR_UNKNOWN_SERVER_ERROR;
	else if (op->rc == ZK_OK)
		part->error = ERR_NONE;
	else if (op->rc == ZK_NO_NODE && z->round == ROUND_GET)
		part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else
		part->error = ERR_UNKNOWN_SERVER_ERROR;
}

/* What was not asked, or not answered in time. */
static void
offset_zk_give_up(struct offset_zk *z)
{
	for (size_t i = z->from; i < z->count; i++)
		if (z->parts[i].error == ERR_NONE)
			z->parts[i].error = ERR_REQUEST_TIMED_OUT;
}

static enum verdict
offset_zk_answered(struct task *t)
{
	struct offset_zk *z = api_away_of(t)->state;

	if (!zk_batch_done(z->batch)) {
		if (!task_expired(t))
			return (STEP_WAIT);
		offset_zk_give_up(z);
		return (offset_zk_end(t, z));
	}
	for (size_t i = z->from; i < z->to; i++)
		if (z->ops[i - z->from] != NULL)
			offset_zk_take(z, &z->parts[i], z->ops[i - z->from]);
	if (z->round == ROUND_GET || z->round == ROUND_SET_AGAIN) {
		z->from = z->to;
		z->round = z->first;
	} else {
		z->round++;
	}
	return (task_next(t, offset_zk_round));
}
