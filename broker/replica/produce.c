/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Produce: checks, appends, and with acks=all the wait for replicas.
 *
 *	produce_run -- all appended, nothing to wait for --------------> done
 *	     |  some partitions were held            |
 *	     +--> [queued] --post: the last is in ---+--> [task: acks] -> done
 *
 * The straight line on top takes no task and no memory beyond the request's.
 * What the answer carries with each error: storage sheet, Kafka 3.9's
 * ReplicaManager.appendToLocalLog and DelayedProduce.
 */
#include "replica/produce_int.h"

#include "base/bytes.h"
#include "config/options.h"

#define PRODUCE_ZSTD_VERSION 7 /* KIP-110 */

static task_step produce_await_acks;

static void produce_refuse_all(struct produce *p, enum error error);
static bool produce_check_all(struct produce *p);
static void produce_check_part(struct produce *p, struct produce_part *part);
static void produce_append_part(struct produce *p, struct produce_part *part);
static void produce_take_result(struct produce *p, struct produce_part *part);
static void produce_appended(struct produce *p);
static void produce_acknowledge(struct produce *p);
static void produce_finish(struct produce *p);

static void
produce_part_begin(struct produce_part *part)
{
	part->error = ERR_NONE;
	part->error_message = NULL;
	part->faults = NULL;
	part->fault_count = 0;
	part->base_offset = -1;
	part->log_append_time_ms = -1;
	part->log_start_offset = -1;
	part->current_leader = -1;
	part->current_leader_epoch = -1;
	part->replica = NULL;
	part->state = NULL;
}

static void
produce_append_posted(struct post *post)
{
	produce_appended(
	    container_of(post, struct produce_int, post)->produce);
}

void
produce_run(struct produce *p)
{
	struct produce_int *state = arena_zalloc(p->arena, sizeof(*state));
	struct produce_part_int *parts = arena_array(p->arena, p->part_count,
	    sizeof(*parts));

	p->state = state;
	for (size_t i = 0; i < p->part_count; i++)
		produce_part_begin(&p->parts[i]);
	if (state == NULL || parts == NULL) {
		produce_refuse_all(p, ERR_UNKNOWN_SERVER_ERROR);
		produce_finish(p);
		return;
	}
	state->produce = p;
	state->post.run = produce_append_posted;
	state->deadline_ns = loop_now_ns(p->loop) +
	    (int64_t)p->timeout_ms * NANOS_PER_MILLI;
	atomic_init(&state->outstanding, 1);
	for (size_t i = 0; i < p->part_count; i++)
		p->parts[i].state = &parts[i];
	if (!produce_check_all(p)) {
		produce_finish(p);
		return;
	}
	for (size_t i = 0; i < p->part_count; i++)
		if (p->parts[i].error == ERR_NONE)
			produce_append_part(p, &p->parts[i]);
	/* Else the last append posts. */
	if (atomic_fetch_sub(&state->outstanding, 1) == 1)
		produce_appended(p);
}

void
produce_abandon(struct produce *p)
{
	if (p->state == NULL)
		return;
	atomic_store(&p->state->abandoned, true);
	task_wake_ref(p->state->task);
}

/* --- checks of the request ------------------------------------------------ */

static void
produce_refuse_all(struct produce *p, enum error error)
{
	for (size_t i = 0; i < p->part_count; i++)
		p->parts[i].error = error;
}

/* A batch that cannot be walked, when it is the first of its partition, fails
 * the whole request, with Kafka's words. */
static void
produce_refuse_corrupt(struct produce *p, const struct produce_part *part)
{
	int32_t declared = bytes_get_i32(part->bytes + BATCH_LOG_OVERHEAD - 4);
	const char *message = NULL;

	/* Kafka's sum of it and the bytes before it wraps. */
	if (declared > INT32_MAX - BATCH_LOG_OVERHEAD) {
		produce_refuse_all(p, ERR_UNKNOWN_SERVER_ERROR);
		return;
	}
	if (declared < BATCH_SIZE_LEAST)
		message = arena_printf(p->arena,
		    "Record size %d is less than the minimum record overhead "
		    "(%d)",
		    (int)declared, BATCH_SIZE_LEAST);
	else if (part->size >= BATCH_PEEK_SIZE &&
	    (int8_t)part->bytes[BATCH_PEEK_SIZE - 1] != 2)
		message = arena_printf(p->arena,
		    "Invalid magic found in record: %d",
		    (int)(int8_t)part->bytes[BATCH_PEEK_SIZE - 1]);
	produce_refuse_all(p, ERR_CORRUPT_MESSAGE);
	for (size_t i = 0; i < p->part_count; i++)
		p->parts[i].error_message = message;
}

/* The first batch's header is decoded once, for all who ask. */
static const struct record_verdict *
produce_look(struct produce_part *part)
{
	struct record_verdict *verdict = &part->state->append.verdict;

	record_begin(slice_of(part->bytes, part->size), verdict);
	return (verdict);
}

/* False: the whole request was refused. Null records fail all of it, and so do
 * records of a transaction in a request that names none. */
static bool
produce_check_all(struct produce *p)
{
	bool transactional = false;

	for (size_t i = 0; i < p->part_count; i++)
		if (p->parts[i].null_records) {
			produce_refuse_all(p, ERR_UNKNOWN_SERVER_ERROR);
			return (false);
		}
	for (size_t i = 0; i < p->part_count; i++) {
		const struct record_verdict *verdict = produce_look(
		    &p->parts[i]);

		if (verdict->first == BATCH_CORRUPT) {
			produce_refuse_corrupt(p, &p->parts[i]);
			return (false);
		}
		transactional |= verdict->first == BATCH_OK &&
		    verdict->batch.magic == 2 &&
		    (verdict->batch.attributes & BATCH_ATTR_TRANSACTIONAL) !=
			0;
	}
	if (transactional && !p->names_transaction) {
		produce_refuse_all(p,
		    ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
		return (false);
	}
	for (size_t i = 0; i < p->part_count; i++)
		produce_check_part(p, &p->parts[i]);
	return (true);
}

/* The form that the version demands: one batch of magic 2. Before version 3
 * that is the log's business, and other forms are as good. */
static enum error
produce_check_form(const struct produce *p, const struct produce_part *part)
{
	const struct record_verdict *verdict = &part->state->append.verdict;
	const struct batch *first = &verdict->batch;

	if (p->api_version < PRODUCE_BATCH_VERSION)
		return (verdict->first == BATCH_OK && first->magic == 2 &&
			(first->attributes & BATCH_ATTR_TRANSACTIONAL) != 0
			? ERR_INVALID_TXN_STATE
			: ERR_NONE);
	if (verdict->first != BATCH_OK || first->magic != 2)
		return (ERR_INVALID_RECORD);
	/* Before version 7 the codec is looked at here. */
	if (p->api_version < PRODUCE_ZSTD_VERSION &&
	    batch_codec(first) == CODEC_ZSTD)
		return (ERR_UNSUPPORTED_COMPRESSION_TYPE);
	if (p->api_version < PRODUCE_ZSTD_VERSION &&
	    batch_codec(first) > CODEC_ZSTD)
		return (ERR_UNKNOWN_SERVER_ERROR);
	switch (verdict->second) {
	case BATCH_OK:
		return (ERR_INVALID_RECORD);
	case BATCH_CORRUPT:
		return (ERR_CORRUPT_MESSAGE);
	case BATCH_END:
	case BATCH_PARTIAL:
		break;
	}
	/* Nothing can have been verified: no coordinator gave the transaction
	 * its partitions (KIP-890). */
	if ((first->attributes & BATCH_ATTR_TRANSACTIONAL) != 0)
		return (ERR_INVALID_TXN_STATE);
	return (ERR_NONE);
}

static void
produce_check_part(struct produce *p, struct produce_part *part)
{
	if (!p->coordinators &&
	    !replicas_in_image(p->replicas, part->topic, part->partition))
		part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else
		part->error = produce_check_form(p, part);
	if (part->error == ERR_INVALID_TXN_STATE)
		part->error_message =
		    "This version of the broker serves no transactions.";
	if (part->error != ERR_NONE)
		return;
	if (p->acks < -1 || p->acks > 1)
		part->error = ERR_INVALID_REQUIRED_ACKS;
	else if (!p->internal_allowed && topic_name_internal(part->topic))
		part->error = ERR_INVALID_TOPIC_EXCEPTION;
}

/* --- the append ----------------------------------------------------------- */

/* Before the records are looked at: as far as can be told without the lock. */
static enum error
produce_check_role(const struct produce *p, struct replica *replica,
    int32_t min_insync)
{
	struct replica_sight sight;
	int32_t least = min_insync;

	replica_look(replica, &sight);
	if (sight.view.offline)
		return (ERR_KAFKA_STORAGE_ERROR);
	if (!sight.view.leads || replicas_stopped(p->replicas))
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (least > sight.replica_count)
		least = sight.replica_count;
	if (p->acks == -1 && sight.isr_count < least)
		return (ERR_NOT_ENOUGH_REPLICAS);
	return (ERR_NONE);
}

static void
produce_rules(struct produce *p, struct produce_part *part,
    const struct replica_rules *rules, struct record_rules *out)
{
	*out = (struct record_rules){
		.max_message_bytes = rules->max_message_bytes,
		.segment_bytes = rules->segment_bytes,
		.compacted = rules->compacted,
		.log_append_time = rules->log_append_time,
		.timestamp_before_max_ms = rules->timestamp_before_max_ms,
		.timestamp_after_max_ms = rules->timestamp_after_max_ms,
		.now_ms = loop_wall_ms(p->loop),
		.api_version = p->api_version,
		.topic = part->replica->topic,
		.partition = part->partition,
		.codec_fixed = rules->codec >= 0,
		.codec = rules->codec >= 0 ? (enum codec)rules->codec
					   : CODEC_NONE,
		.codec_level = rules->codec_level,
	};
}

/* Where the loop is not, the append's end is told as its others. */
void
produce_submit(struct produce *p, struct produce_part *part)
{
	struct append *append = &part->state->append;

	if (append->error == ERR_NONE) {
		atomic_fetch_add(&p->state->outstanding, 1);
		if (append_submit(append))
			atomic_fetch_sub(&p->state->outstanding, 1);
	} else if (replica_log(part->replica) != NULL) {
		append->log_start_offset =
		    log_start_offset(replica_log(part->replica));
	}
}

static void
produce_append_part(struct produce *p, struct produce_part *part)
{
	struct append *append = &part->state->append;
	struct replica_rules rules;

	part->replica = replicas_find(p->replicas, part->topic,
	    part->partition);
	if (part->replica == NULL) {
		part->error = ERR_NOT_LEADER_OR_FOLLOWER;
		return;
	}
	replica_rules(part->replica, &rules);
	append->replica = part->replica;
	append->bytes = part->bytes;
	append->acks = p->acks;
	append->min_insync = rules.min_insync;
	append->fenced = p->coordinators;
	append->leads_since = p->leads_since;
	append->done = produce_append_done;
	append->owner = p;
	append->log_start_offset = -1;
	produce_rules(p, part, &rules, &append->rules);
	append->error = produce_check_role(p, part->replica,
	    append->min_insync);
	if (append->error == ERR_NONE)
		produce_take_records(p, part);
	else
		produce_submit(p, part);
}

/* The last one to end tells the loop. */
void
produce_append_done(struct append *append)
{
	struct produce *p = append->owner;
	struct produce_int *state = p->state;
	struct loop *loop = p->loop;

	if (atomic_fetch_sub(&state->outstanding, 1) == 1)
		loop_post(loop, &state->post);
}

/* Errors that Kafka answers without a log start offset. */
static bool
produce_hides_start(enum error error)
{
	switch (error) {
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
	case ERR_NOT_LEADER_OR_FOLLOWER:
	case ERR_MESSAGE_TOO_LARGE:
	case ERR_RECORD_LIST_TOO_LARGE:
	case ERR_CORRUPT_MESSAGE:
	case ERR_KAFKA_STORAGE_ERROR:
	case ERR_INVALID_TOPIC_EXCEPTION:
		return (true);
	default:
		return (false);
	}
}

static void
produce_take_result(struct produce *p, struct produce_part *part)
{
	const struct append *append = &part->state->append;

	if (part->replica == NULL)
		return;
	produce_records_end(p, part);
	part->error = append->error;
	if (part->error != ERR_NONE) {
		if (!produce_hides_start(part->error))
			part->log_start_offset = append->log_start_offset;
		return;
	}
	if (part->state->nothing)
		return;
	part->base_offset = append->appended.base_offset;
	part->log_append_time_ms = append->appended.log_append_time_ms;
	part->log_start_offset = append->log_start_offset;
	part->state->awaits = p->acks == -1;
	part->state->flushes = append->appended.flush_wanted;
	if (append->appended.duplicate)
		return;
	traffic_add(&part->replica->traffic.messages_in,
	    (uint64_t)append->verdict.batch.record_count);
	traffic_add(&part->replica->traffic.bytes_in,
	    (uint64_t)append->verdict.batch.size);
	if (part->state->converted_count > 0)
		traffic_add(&part->replica->traffic.produce_conversions,
		    (uint64_t)part->state->converted_count);
}

/* --- the wait ------------------------------------------------------------- */

/*
 * True: an answer is due, with *error.  Leadership must have been held without
 * a break since the append: else what was appended may have been cut off since.
 */
static bool
replica_acked(struct replica *replica, const struct append *append,
    enum error *error)
{
	struct replica_sight sight;

	replica_look(replica, &sight);
	*error = ERR_NONE;
	if (sight.view.offline)
		*error = ERR_KAFKA_STORAGE_ERROR;
	else if (!sight.view.leads || replicas_stopped(replica->replicas) ||
	    append->leader_epoch < sight.leads_since)
		*error = ERR_NOT_LEADER_OR_FOLLOWER;
	if (*error != ERR_NONE)
		return (true);
	if (sight.view.high_watermark <= append->appended.last_offset)
		return (false);
	if (sight.maximal_isr_count <
	    replica_min_isr(replica, sight.replica_count))
		*error = ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
	return (true);
}

/* False: some part must wait. */
static bool
produce_all_acked(struct produce *p)
{
	bool all = true;

	for (size_t i = 0; i < p->part_count; i++) {
		struct produce_part *part = &p->parts[i];

		if (part->state != NULL && part->state->awaits)
			part->state->awaits = !replica_acked(part->replica,
			    &part->state->append, &part->error);
		all &= part->state == NULL || !part->state->awaits;
	}
	return (all);
}

static const struct task_class produce_class = {
	.name = "produce",
	.state_size = sizeof(struct produce *),
};

static void
produce_setup(struct task *task, void *arg)
{
	*(struct produce **)task_state(task) = arg;
}

/* --- flush.messages ------------------------------------------------------- */

static void
produce_flush_run(struct work *work)
{
	struct produce *p = container_of(work, struct produce_int,
	    flush)->produce;

	for (size_t i = 0; i < p->part_count; i++) {
		struct produce_part *part = &p->parts[i];
		struct log *log;

		if (part->state == NULL || !part->state->flushes)
			continue;
		log = replica_log(part->replica);
		if (log != NULL && log_flush(log) == ERR_NONE)
			continue;
		part->error = ERR_KAFKA_STORAGE_ERROR;
		part->base_offset = part->log_append_time_ms =
		    part->log_start_offset = -1;
		part->state->awaits = false;
		/* Room or a descriptor that is wanted comes again. */
		if (log == NULL || log_failed(log))
			replica_set_offline(part->replica);
	}
}

static void
produce_flush_done(struct work *work)
{
	produce_acknowledge(
	    container_of(work, struct produce_int, flush)->produce);
}

/* On the loop: every part was appended or refused. */
static void
produce_appended(struct produce *p)
{
	struct work_queue *work = NULL;

	for (size_t i = 0; i < p->part_count; i++) {
		produce_take_result(p, &p->parts[i]);
		if (p->parts[i].state->flushes)
			work = append_dir_work(p->parts[i].replica, work);
	}
	if (work == NULL) {
		produce_acknowledge(p);
		return;
	}
	p->state->flush.run = produce_flush_run;
	p->state->flush.done = produce_flush_done;
	p->state->flush.home = p->loop;
	work_submit(work, &p->state->flush);
}

static void
produce_acknowledge(struct produce *p)
{
	struct task *task;

	if (produce_all_acked(p)) {
		produce_finish(p);
		return;
	}
	if (p->appended != NULL)
		p->appended(p);
	metrics_add_at(p->replicas->setup.metrics, METRIC_PURGATORY_SIZE,
	    METRICS_DELAYED_PRODUCE, 1);
	task = task_start(p->loop, &produce_class, produce_await_acks,
	    produce_setup, p);
	task_set_deadline(task, p->state->deadline_ns);
	p->state->task = task_ref(task);
}

static void
produce_stop_waiting(struct produce *p, enum error error)
{
	for (size_t i = 0; i < p->part_count; i++) {
		struct produce_part_int *state = p->parts[i].state;

		if (state == NULL || !state->awaits)
			continue;
		state->awaits = false;
		p->parts[i].error = error;
	}
}

static enum verdict
produce_await_acks(struct task *t)
{
	struct produce *p = *(struct produce **)task_state(t);
	/* Asked before the look, so that what came in time counts. */
	bool late = task_expired(t) || atomic_load(&p->state->abandoned);

	for (size_t i = 0; i < p->part_count; i++)
		if (p->parts[i].state != NULL && p->parts[i].state->awaits)
			waitq_join(&p->parts[i].replica->acked,
			    &p->parts[i].state->link, t);
	if (!produce_all_acked(p)) {
		if (!late)
			return (STEP_WAIT);
		produce_stop_waiting(p, ERR_REQUEST_TIMED_OUT);
	}
	metrics_add_at(p->replicas->setup.metrics, METRIC_PURGATORY_SIZE,
	    METRICS_DELAYED_PRODUCE, -1);
	produce_finish(p);
	return (STEP_DONE);
}

/* --- the answer ----------------------------------------------------------- */

/* As far as records were looked at. */
static void
produce_count_flaw(const struct produce *p, const struct produce_part *part)
{
	static const enum metric metrics[] = {
		[RECORD_FLAW_MAGIC] = METRIC_INVALID_MAGIC_RECORDS,
		[RECORD_FLAW_CRC] = METRIC_INVALID_CRC_RECORDS,
		[RECORD_FLAW_OFFSET] =
		    METRIC_INVALID_OFFSET_OR_SEQUENCE_RECORDS,
		[RECORD_FLAW_NO_KEY] = METRIC_NO_KEY_RECORDS,
	};
	enum record_flaw flaw = RECORD_FLAW_OTHER;

	if (part->state != NULL &&
	    part->error == part->state->append.verdict.error)
		flaw = part->state->append.verdict.flaw;
	if (flaw != RECORD_FLAW_OTHER)
		metrics_add(p->replicas->setup.metrics, metrics[flaw], 1);
}

static void
produce_count(struct produce *p)
{
	struct metrics *metrics = p->replicas->setup.metrics;
	int64_t failed = 0, messages = 0, bytes = 0, rejected = 0;
	int64_t converted = 0;

	for (size_t i = 0; i < p->part_count; i++) {
		const struct produce_part *part = &p->parts[i];
		bool large = part->error == ERR_MESSAGE_TOO_LARGE ||
		    part->error == ERR_RECORD_LIST_TOO_LARGE;

		failed += part->error != ERR_NONE;
		rejected += large ? (int64_t)part->size : 0;
		if (part->replica == NULL)
			continue;
		traffic_add(&part->replica->traffic.produces, 1);
		traffic_add(&part->replica->traffic.failed_produces,
		    part->error != ERR_NONE);
		traffic_add(&part->replica->traffic.bytes_rejected,
		    large ? part->size : 0);
		if (part->base_offset < 0 ||
		    part->state->append.appended.duplicate)
			continue;
		messages += part->state->append.verdict.batch.record_count;
		converted += part->state->converted_count;
		bytes += part->state->append.verdict.batch.size;
	}
	metrics_add(metrics, METRIC_PRODUCE_REQUESTS, (int64_t)p->part_count);
	if (failed > 0)
		metrics_add(metrics, METRIC_FAILED_PRODUCE_REQUESTS, failed);
	for (size_t i = 0; failed > 0 && i < p->part_count; i++)
		if (p->parts[i].error != ERR_NONE)
			produce_count_flaw(p, &p->parts[i]);
	metrics_add(metrics, METRIC_MESSAGES_IN, messages);
	metrics_add(metrics, METRIC_BYTES_IN, bytes);
	if (rejected > 0)
		metrics_add(metrics, METRIC_BYTES_REJECTED, rejected);
	if (converted > 0)
		metrics_add(metrics, METRIC_PRODUCE_CONVERSIONS, converted);
}

static void
produce_finish(struct produce *p)
{
	produce_count(p);
	for (size_t i = 0; i < p->part_count; i++) {
		struct produce_part *part = &p->parts[i];

		if (part->error == ERR_NOT_LEADER_OR_FOLLOWER)
			part->error = replicas_refusal(p->replicas,
			    part->replica, part->topic, part->partition);
		if (part->error == ERR_NOT_LEADER_OR_FOLLOWER) {
			struct leader_hint hint = replicas_leader_hint(
			    p->replicas, part->replica, part->topic,
			    part->partition);

			part->current_leader = hint.leader;
			part->current_leader_epoch = hint.leader_epoch;
		}
		if (part->state != NULL && part->replica != NULL)
			waitq_leave(&part->replica->acked,
			    &part->state->link);
		if (part->replica != NULL)
			replica_unref(part->replica);
		part->replica = NULL;
	}
	p->done(p);
}
