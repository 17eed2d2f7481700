/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second half of an alteration: a task on the controller's loop, where
 * ZooKeeper's answers arrive.  See config_alter.h for its way.
 * Source: ZkAdminManager, AdminZkClient, setOrCreateEntityConfigs of 3.9.
 */
#include "api/config_alter.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "config/topic.h"
#include "security/secrets.h"

/* So long may ZooKeeper take, and so long this broker to go by what was
 * written. */
#define PATIENCE_NS ((int64_t)5 * 1000000000)
#define PAUSE_NS ((int64_t)100 * 1000000)
#define SETTLE_NS ((int64_t)5 * 1000000)
/* So often others may come first. */
#define LOOKS_MAX 50
/* So many at once: a request may name more than ZooKeeper's answers, and the
 * loop, can bear. */
#define ROUND_MAX 200

static task_step alter_looked, alter_decoded, alter_prepare, alter_encoded,
    alter_write, alter_wrote, alter_pause, alter_settle;

/* --- what is beside the request's memory ---------------------------------- */

/* Of this round, and not judged yet. */
static bool
alter_open(const struct alter_resource *r)
{
	return (r->turn && !r->done);
}

static bool
is_of_broker(const struct alter_resource *r)
{
	return (r->type == RESOURCE_BROKER);
}

static void
maps_init(struct alter_resource *r)
{
	config_map_init(&r->stored);
	config_map_init(&r->before);
	config_map_init(&r->after);
	config_map_init(&r->encoded);
}

static void
maps_fini(struct alter_resource *r)
{
	config_map_fini(&r->stored);
	config_map_fini(&r->before);
	config_map_fini(&r->after);
	config_map_fini(&r->encoded);
	config_free(&r->next);
	config_unref(r->now);
	r->now = NULL;
}

void
alter_clear(struct alter *alter)
{
	for (size_t i = 0; i < alter->count; i++)
		maps_fini(&alter->resources[i]);
	mem_free(alter->work);
	alter->work = NULL;
	zk_batch_free(&alter->batch);
}

/* Home, when nobody waits for the broker itself. */
static enum verdict
alter_end(struct task *t)
{
	alter_clear(api_away_of(t)->state);
	return (api_go_home(t));
}

static bool
any_left(const struct alter *alter)
{
	for (size_t i = 0; i < alter->count; i++)
		if (!alter->resources[i].done)
			return (true);
	return (false);
}

static bool
any_open(const struct alter *alter)
{
	for (size_t i = 0; i < alter->count; i++)
		if (alter_open(&alter->resources[i]))
			return (true);
	return (false);
}

/* ZooKeeper did not answer in time, or does not at all. */
static enum verdict
alter_give_up(struct task *t, const char *why)
{
	struct alter *alter = api_away_of(t)->state;

	for (size_t i = 0; i < alter->count; i++)
		if (!alter->resources[i].done)
			alter_fail(alter, &alter->resources[i],
			    ERR_REQUEST_TIMED_OUT, "%s", why);
	return (alter_end(t));
}

/* --- looking -------------------------------------------------------------- */

static const char *
entity_type(const struct alter_resource *r)
{
	return (is_of_broker(r) ? "brokers" : "topics");
}

/* As it stands in the path. */
static const char *
entity_name(struct alter *alter, const struct alter_resource *r,
    struct arena *arena)
{
	if (!is_of_broker(r))
		return (arena_slice_text(arena, r->name));
	if (r->name.length == 0)
		return ("<default>");
	return (arena_printf(arena, "%d", (int)alter->apis->setup.broker_id));
}

static const char *
entity_path(struct alter *alter, const struct alter_resource *r,
    struct arena *arena)
{
	return (znode_config_path(arena, entity_type(r),
	    entity_name(alter, r, arena)));
}

/* A topic whose name cannot be one is nowhere; its path is not asked for. */
static bool
has_path(const struct alter_resource *r)
{
	const char *why;

	return (is_of_broker(r) || topic_name_valid(r->name, &why));
}

enum verdict
alter_look(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	struct arena *arena;
	size_t round = 0;

	if (alter->looks == 0)
		task_set_deadline(t, loop_now_ns(task_loop(t)) + PATIENCE_NS);
	if (++alter->looks > LOOKS_MAX)
		return (alter_give_up(t, "Others change the same configs"));
	zk_batch_free(&alter->batch);
	alter->batch = zk_batch_new(alter->apis->setup.zk);
	arena = zk_batch_arena(alter->batch);
	alter->seat = zk_batch_get(alter->batch, ZNODE_CONTROLLER, NULL);
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		r->node = r->topic = r->write = NULL;
		r->turn = !r->done && round < ROUND_MAX;
		round += r->turn;
		if (!r->turn || !has_path(r))
			continue;
		r->node = zk_batch_get(alter->batch,
		    entity_path(alter, r, arena), NULL);
		if (!is_of_broker(r))
			r->topic = zk_batch_exists(alter->batch,
			    znode_topic_path(arena,
				entity_name(alter, r, arena)), NULL);
	}
	zk_batch_submit(alter->batch, t);
	return (task_next(t, alter_looked));
}

static enum verdict
alter_again(struct task *t)
{
	task_sleep(t, PAUSE_NS);
	return (task_next(t, alter_pause));
}

static enum verdict
alter_pause(struct task *t)
{
	if (task_expired(t))
		return (alter_give_up(t,
		    "ZooKeeper cannot be reached now"));
	return (task_slept(t) ? task_next(t, alter_look) : STEP_WAIT);
}

static void
stored_take(struct alter *alter, struct alter_resource *r)
{
	maps_fini(r);
	maps_init(r);
	if (r->node != NULL && r->node->rc == ZK_OK &&
	    !znode_config_decode_map(r->node->answer, &r->stored))
		alter_fail(alter, r, ERR_UNKNOWN_SERVER_ERROR, "What ZooKeeper "
		    "holds cannot be read: it is left as it is");
}

static void take_written(struct alter *alter, struct alter_resource *r,
    const struct zk_op *op);

/* Ours, of which the answer was lost. */
static bool
wrote_before(const struct alter_resource *r)
{
	return (r->json.data != NULL && r->node != NULL &&
	    r->node->rc == ZK_OK && slice_equal(r->node->answer, r->json));
}

static void
look_take(struct alter *alter, struct alter_resource *r)
{
	enum zk_rc rc = r->node == NULL ? ZK_NO_NODE : r->node->rc;

	if (rc != ZK_OK && rc != ZK_NO_NODE)
		alter_fail(alter, r, ERR_UNKNOWN_SERVER_ERROR, "ZooKeeper does "
		    "not let this broker read the configs (%s)",
		    zk_rc_name(rc));
	else if (is_of_broker(r))
		stored_take(alter, r);
}

static bool
passes(enum zk_rc rc)
{
	return (rc == ZK_SESSION_EXPIRED || rc == ZK_CLOSED);
}

/* The session went under some of them. */
static bool
look_broken(const struct alter *alter)
{
	if (passes(alter->seat->rc))
		return (true);
	for (size_t i = 0; i < alter->count; i++) {
		const struct alter_resource *r = &alter->resources[i];

		if (r->node != NULL && (passes(r->node->rc) ||
			(r->topic != NULL && passes(r->topic->rc))))
			return (true);
	}
	return (false);
}

/* --- secrets, on a worker ------------------------------------------------- */

struct alter_work {
	struct work work;
	struct alter *alter;
	struct task_ref task;
	bool done;
};

static void
work_done(struct work *work)
{
	struct alter_work *w = container_of(work, struct alter_work, work);

	w->done = true;
	task_wake_ref(w->task);
}

static enum verdict
work_start(struct task *t, void (*run)(struct work *work), task_step *next)
{
	struct alter *alter = api_away_of(t)->state;

	mem_free(alter->work);
	alter->work = mem_zalloc(sizeof(*alter->work));
	alter->work->alter = alter;
	alter->work->task = task_ref(t);
	alter->work->work.run = run;
	alter->work->work.done = work_done;
	alter->work->work.home = task_loop(t);
	work_submit(alter->apis->setup.workers, &alter->work->work);
	return (task_next(t, next));
}

static const struct security_options *
security_of(const struct alter *alter)
{
	return (&alter->apis->setup.options->security);
}

static void
told_undecodable(void *arg, const char *name)
{
	const struct alter *alter = arg;

	diag_warn(alter->apis->setup.diag, api, "%s (/config/brokers): it "
	    "cannot be decoded by password.encoder.*, and stays as it is",
	    name);
}

static void
run_decode(struct work *work)
{
	struct alter *alter = container_of(work, struct alter_work,
	    work)->alter;

	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (alter_open(r) && is_of_broker(r))
			secrets_decode(security_of(alter), &r->stored,
			    &r->before, told_undecodable, alter);
	}
}

static bool
is_changed(const struct alter_resource *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (slice_equal_text(r->changes[i].name, name))
			return (true);
	return (false);
}

/* Secrets under another secret are nobody's to throw away: whoever knows it may
 * come back. */
static bool
keep_undecodable(const struct alter *alter, struct alter_resource *r)
{
	bool good = true;

	CONFIG_MAP_EACH(entry, &r->stored)
		if (alter->incremental && option_is_password(entry->name) &&
		    config_map_get(&r->before, entry->name) == NULL &&
		    !is_changed(r, entry->name))
			good = good && config_map_put(&r->encoded,
			    slice_of_text(entry->name),
			    slice_of_text(entry->value), 0);
	return (good);
}

/* What is answered as done must hold: also with the next start. */
static void
try_broker(const struct alter *alter, struct alter_resource *r)
{
	const struct api_setup *setup = &alter->apis->setup;
	char why[ALTER_ERROR_SIZE];

	r->refused = setup->may_become != NULL && !setup->may_become(
	    setup->may_become_arg, r->now, r->next, why);
	if (r->refused)
		config_refuse_dynamic(why, r->error_text);
}

static void
encode_broker(const struct alter *alter, struct alter_resource *r)
{
	if (secrets_encode(security_of(alter), &r->after, &r->stored,
		&r->encoded, r->error_text))
		*r->error_text = '\0';
	if (*r->error_text == '\0' && !keep_undecodable(alter, r))
		snprintf(r->error_text, sizeof(r->error_text),
		    "Too many or too long configs");
}

static void
run_encode(struct work *work)
{
	struct alter *alter = container_of(work, struct alter_work,
	    work)->alter;

	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		*r->error_text = '\0';
		if (!alter_open(r) || !is_of_broker(r))
			continue;
		try_broker(alter, r);
		if (!r->refused && !alter->validate_only)
			encode_broker(alter, r);
	}
}

/* --- judging -------------------------------------------------------------- */

static enum verdict
alter_looked(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	bool secrets = false;

	if (!zk_batch_done(alter->batch))
		return (task_expired(t) ? alter_give_up(t,
		    "ZooKeeper does not answer") : STEP_WAIT);
	if (look_broken(alter))
		return (alter_again(t));
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (alter_open(r) && wrote_before(r)) {
			r->done = true;
			take_written(alter, r, r->node);
		}
		if (alter_open(r))
			look_take(alter, r);
		secrets |= alter_open(r) && is_of_broker(r) &&
		    secrets_any(&r->stored);
	}
	return (secrets ? work_start(t, run_decode, alter_decoded) :
	    task_next(t, alter_prepare));
}

static enum verdict
alter_decoded(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;

	return (alter->work->done ? task_next(t, alter_prepare) : STEP_WAIT);
}

/* Kafka has the type and the name in front of what is not of its form. */
static void
fail_value(struct alter *alter, struct alter_resource *r, const char *why)
{
	alter_fail(alter, r, ERR_INVALID_CONFIG, "Invalid config value for "
	    "resource ConfigResource(type=%s, name='%.*s'): %s",
	    is_of_broker(r) ? "BROKER" : "TOPIC", SLICE_ARGS(r->name), why);
}

/* What is to be written; the request's memory. */
static void
put_json(struct alter *alter, struct alter_resource *r,
    const struct config_map *map)
{
	struct buffer text = BUFFER_EMPTY;
	bool ok = true;

	znode_config_encode_map(map, &text);
	r->json = arena_slice_copy(&alter->request->arena,
	    buffer_slice(&text), &ok);
	buffer_fini(&text);
	if (!ok)
		alter_fail(alter, r, ERR_UNKNOWN_SERVER_ERROR,
		    "The request needs more memory than one may have");
}

static void
judge_topic(struct alter *alter, struct alter_resource *r)
{
	const struct config *config = apis_config(alter->apis);
	char why[OPTION_ERROR_SIZE];
	enum topic_owner owner = topic_name_internal(r->name) ?
	    TOPIC_INTERNAL : TOPIC_OF_USER;
	enum topic_fault fault;

	if (!r->topic_known) {
		alter_fail(alter, r, ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "The topic '%.*s' does not exist.", SLICE_ARGS(r->name));
		return;
	}
	if (r->topic == NULL || r->topic->rc != ZK_OK) {
		alter_fail(alter, r, ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "Topic '%.*s' does not exist.", SLICE_ARGS(r->name));
		return;
	}
	fault = topic_options_judge(config_options(config), owner, &r->after,
	    why);
	if (fault == TOPIC_FAULT_VALUE)
		fail_value(alter, r, why);
	else if (fault != TOPIC_FAULT_NONE)
		alter_fail(alter, r, ERR_INVALID_CONFIG, "%s", why);
}

static enum config_source
source_of(const struct alter_resource *r)
{
	return (r->name.length == 0 ? CONFIG_SOURCE_DYNAMIC_DEFAULT :
	    CONFIG_SOURCE_DYNAMIC_BROKER);
}

/* What the request says of the broker and of all must hold together. */
static enum error
check_with_others(const struct alter *alter, const struct alter_resource *r,
    char why[ALTER_ERROR_SIZE])
{
	for (const struct alter_resource *other = alter->resources; other < r;
	     other++)
		if (other->next != NULL && other->error == ERR_NONE &&
		    !config_check_together(r->next, source_of(other),
			&other->after, why))
			return (ERR_INVALID_REQUEST);
	return (ERR_NONE);
}

static void
judge_broker(struct alter *alter, struct alter_resource *r)
{
	char why[ALTER_ERROR_SIZE];
	enum error error;

	r->now = config_ref(apis_config(alter->apis));
	error = config_check_layer(r->now, source_of(r), &r->after, &r->next,
	    why);
	if (error == ERR_NONE)
		error = check_with_others(alter, r, why);
	if (error != ERR_NONE)
		alter_fail(alter, r, error, "%s", why);
	else if (r->name.length == 0 && secrets_any(&r->after) &&
	    !alter->validate_only)
		fail_value(alter, r,
		    "Password config can be defined only at broker level");
}

/* What the changes are made to: `before`, where it was not decoded. */
static bool
take_valid(struct alter_resource *r)
{
	struct config_map kept;
	bool good;

	config_map_init(&kept);
	good = config_keep_valid(source_of(r), secrets_any(&r->stored) ?
	    &r->before : &r->stored, &kept);
	config_map_fini(&r->before);
	config_map_init(&r->before);
	good = good && config_map_merge(&r->before, &kept);
	config_map_fini(&kept);
	return (good);
}

static void
judge(struct alter *alter, struct alter_resource *r)
{
	const struct config_map *before = NULL;
	char why[ALTER_ERROR_SIZE];
	enum error error;

	if (is_of_broker(r) && !take_valid(r)) {
		alter_fail(alter, r, ERR_UNKNOWN_SERVER_ERROR, NULL);
		return;
	}
	if (alter->incremental)
		before = is_of_broker(r) ? &r->before : &r->stored;
	error = config_alter(before, r->changes, r->count, is_of_broker(r) ?
	    option_find : topic_option_find, &r->after, why);
	if (error != ERR_NONE && *why == '\0')
		alter_fail(alter, r, error, NULL);
	else if (error != ERR_NONE)
		alter_fail(alter, r, error, "%s", why);
	else if (is_of_broker(r))
		judge_broker(alter, r);
	else
		judge_topic(alter, r);
	if (alter->validate_only && !is_of_broker(r))
		r->done = true;
}

/* There may be many: none keeps its maps. */
static void
prepare_topic(struct alter *alter, struct alter_resource *r)
{
	stored_take(alter, r);
	if (alter_open(r))
		judge(alter, r);
	if (alter_open(r))
		put_json(alter, r, &r->after);
	maps_fini(r);
	maps_init(r);
}

static enum verdict
alter_prepare(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	bool of_broker = false;

	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (alter_open(r) && is_of_broker(r))
			judge(alter, r);
		else if (alter_open(r))
			prepare_topic(alter, r);
		of_broker |= alter_open(r) && is_of_broker(r);
	}
	return (of_broker ? work_start(t, run_encode, alter_encoded) :
	    task_next(t, alter_write));
}

static enum verdict
alter_encoded(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;

	if (!alter->work->done)
		return (STEP_WAIT);
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (!alter_open(r) || !is_of_broker(r))
			continue;
		if (r->refused)
			alter_fail(alter, r, ERR_INVALID_REQUEST, "%s",
			    r->error_text);
		else if (*r->error_text != '\0')
			fail_value(alter, r, r->error_text);
		else if (alter->validate_only)
			r->done = true;
		else
			put_json(alter, r, &r->encoded);
	}
	return (task_next(t, alter_write));
}

/* --- writing -------------------------------------------------------------- */

/* Entity configs are written while a controller sits there, and no KRaft one;
 * NULL: so it is. */
static const char *
seat_complaint(const struct alter *alter, bool *kraft)
{
	struct znode_controller seat;

	*kraft = false;
	if (alter->seat->rc != ZK_OK)
		return ("when there is no controller");
	if (!znode_controller_decode(alter->seat->answer, &seat))
		return ("when there is no controller");
	*kraft = seat.kraft_controller_epoch > 0;
	return (*kraft ? "directly when there is a KRaft controller" : NULL);
}

static void
put_write(struct alter *alter, struct alter_resource *r)
{
	struct arena *arena = zk_batch_arena(alter->batch);
	const char *path = entity_path(alter, r, arena);
	struct buffer notice = BUFFER_EMPTY;
	bool ok = true;

	znode_config_change_encode(arena_printf(arena, "%s/%s", entity_type(r),
	    entity_name(alter, r, arena)), &notice);
	r->write = zk_batch_multi(alter->batch, 3);
	zk_multi_check(alter->batch, r->write, ZNODE_CONTROLLER,
	    alter->seat->stat.version);
	if (r->node->rc == ZK_OK)
		zk_multi_set(alter->batch, r->write, path, r->json,
		    r->node->stat.version);
	else
		zk_multi_create(alter->batch, r->write, path, r->json,
		    ZK_PERSISTENT);
	zk_multi_create(alter->batch, r->write,
	    ZNODE_CONFIG_CHANGES "/config_change_",
	    arena_slice_copy(arena, buffer_slice(&notice), &ok),
	    ZK_SEQUENTIAL);
	buffer_fini(&notice);
}

static enum verdict
alter_write(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	struct zk_batch *looked = alter->batch;
	bool kraft;
	const char *complaint = seat_complaint(alter, &kraft);

	if (!any_open(alter))
		return (task_next(t, alter_settle));
	/* `looked` has what is written of: it goes last. */
	alter->batch = zk_batch_new(alter->apis->setup.zk);
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (!alter_open(r))
			continue;
		if (complaint != NULL) {
			alter_fail(alter, r, ERR_STALE_CONTROLLER_EPOCH,
			    "Cannot set entity configs for %s %s %s.",
			    entity_type(r), entity_name(alter, r,
				zk_batch_arena(alter->batch)), complaint);
			continue;
		}
		put_write(alter, r);
	}
	if (!any_open(alter)) {
		zk_batch_free(&looked);
		return (task_next(t, alter_settle));
	}
	zk_batch_free(&looked);
	zk_batch_submit(alter->batch, t);
	return (task_next(t, alter_wrote));
}

/* --- what came of it ------------------------------------------------------ */

/* Somebody else was first, or has just become controller. */
static bool
is_overtaken(const struct zk_op *write)
{
	for (size_t i = 0; i < write->part_count; i++) {
		enum zk_rc rc = write->parts[i].rc;

		if (rc == ZK_BAD_VERSION || rc == ZK_NODE_EXISTS ||
		    rc == ZK_NO_NODE)
			return (true);
	}
	return (write->rc == ZK_BAD_VERSION || write->rc == ZK_NODE_EXISTS ||
	    write->rc == ZK_NO_NODE);
}

/* What was written is known here at once, not when the notification comes. */
static void
take_written(struct alter *alter, struct alter_resource *r,
    const struct zk_op *op)
{
	struct configs *configs = alter->apis->setup.configs;
	struct arena arena;

	arena_init(&arena, 0);
	diag_info(alter->apis->setup.diag, api, "configs=%s/%s written by a "
	    "client's wish", entity_type(r), entity_name(alter, r, &arena));
	if (!is_of_broker(r))
		(void)configs_take(configs, entity_name(alter, r, &arena), op);
	arena_fini(&arena);
}

static enum verdict
alter_wrote(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	bool again = false;

	if (!zk_batch_done(alter->batch))
		return (task_expired(t) ? alter_give_up(t, "ZooKeeper does not "
		    "answer: the configs may have been changed, or not") :
		    STEP_WAIT);
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];

		if (!alter_open(r) || r->write == NULL)
			continue;
		if (r->write->rc == ZK_OK) {
			r->done = true;
			take_written(alter, r, &(struct zk_op){
				.kind = ZK_OP_GET, .rc = ZK_OK,
				.answer = r->json,
				.stat = r->write->parts[1].stat });
		} else if (passes(r->write->rc) || is_overtaken(r->write)) {
			again = true;
		} else {
			alter_fail(alter, r, ERR_UNKNOWN_SERVER_ERROR,
			    "ZooKeeper refuses the change (%s)",
			    zk_rc_name(r->write->rc));
		}
	}
	return (again ? alter_again(t) : task_next(t, alter_settle));
}

/* --- until this broker goes by it ----------------------------------------- */

static bool
is_settled(const struct alter *alter, const struct alter_resource *r)
{
	if (!is_of_broker(r) || r->error != ERR_NONE || alter->validate_only)
		return (true);
	return (config_layer_is(apis_config(alter->apis), source_of(r),
	    &r->after));
}

/* Whoever asks next is to see it; it is not waited for long. */
static enum verdict
alter_settle(struct task *t)
{
	struct alter *alter = api_away_of(t)->state;
	bool settled = true;

	if (any_left(alter)) {
		alter->looks = 0;
		return (task_next(t, alter_look));
	}
	for (size_t i = 0; i < alter->count && settled; i++)
		settled = is_settled(alter, &alter->resources[i]);
	settled = settled && config_live_settled(alter->apis->setup.live);
	if (settled || task_expired(t))
		return (alter_end(t));
	task_sleep(t, SETTLE_NS);
	return (STEP_WAIT);
}
