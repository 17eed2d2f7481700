/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch: the reading.  For each partition the errors in Kafka's order, then an
 * extent of its log, bounded by what the asker may see.
 *
 *	log start          stable    high watermark      end
 *	   |------------------|------------|--------------|
 *	    read committed -->|            |              |
 *	    read uncommitted ------------->|              |
 *	    followers ----------------------------------->|
 *
 * Source: Kafka 3.9's ReplicaManager.readFromLog, Partition.fetchRecords and
 * DelayedFetch; KIP-74 (size limits), KIP-595 (diverging epochs).
 */
#include "replica/fetch_int.h"

#include "base/bytes.h"
#include "base/mem.h"

/* How often a read is begun anew as the log was compacted under it. */
#define READ_TRIES 3

static enum error fetch_check(const struct fetch *f,
    const struct fetch_part *part, const struct replica_sight *sight,
    struct log *log);
static enum error fetch_check_offset(struct fetch_part *part,
    const struct replica_sight *sight, struct log *log);

void
fetch_resolve(struct fetch *f)
{
	const struct cluster_image *image =
	    cluster_image(f->replicas->setup.cluster);
	const struct cluster_topic *topic = NULL;
	struct slice name = SLICE_NULL;

	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];

		if (part->error != ERR_NONE)
			continue;
		/* Neighbours are of one topic, mostly. */
		if (topic == NULL || !slice_equal(name, part->topic)) {
			name = part->topic;
			topic = image_topic(image, name);
		}
		if (topic == NULL ||
		    topic_partition(topic, part->partition) == NULL) {
			part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
			continue;
		}
		part->replica = replicas_find(f->replicas, part->topic,
		    part->partition);
		if (part->replica == NULL)
			part->error = ERR_NOT_LEADER_OR_FOLLOWER;
	}
}

static bool
fetch_wants_committed(const struct fetch *f)
{
	return (f->isolation == 1 && f->replica_id < 0);
}

bool
fetch_is_hot(struct fetch *f)
{
	for (size_t i = 0; i < f->part_count; i++) {
		const struct fetch_part *part = &f->parts[i];
		struct log *log = part->replica == NULL ? NULL :
		    replica_log(part->replica);
		int32_t most = part->max_bytes < f->max_bytes ?
		    part->max_bytes : f->max_bytes;
		size_t size = most > 0 ? (size_t)most : 1;

		if (log == NULL || part->preferred_read_replica >= 0)
			continue;
		/* What lies further is looked at when it is sent. */
		if (!log_read_is_hot(log, part->fetch_offset,
			size < BLOB_LOOK_BYTES ? size : BLOB_LOOK_BYTES)) {
			metrics_add(f->replicas->setup.metrics,
			    METRIC_COLD_FETCHES, 1);
			return (false);
		}
		if (fetch_wants_committed(f) &&
		    log_has_aborted(log, part->fetch_offset))
			return (false);
	}
	return (true);
}

void
fetch_bring(struct fetch *f)
{
	size_t left = BLOB_LOOK_BYTES;

	for (size_t i = 0; i < f->part_count && left > 0; i++) {
		const struct extent *extent = &f->parts[i].extent;
		size_t size = extent->length < left ? extent->length : left;

		if (extent->blob == NULL)
			continue;
		blob_bring(extent->blob, extent->position, size);
		left -= size;
	}
}

/* The first offset that this asker may not see. */
static int64_t
fetch_bound(const struct fetch *f, const struct replica_view *view)
{
	if (f->replica_id >= 0)
		return (view->end_offset);
	return (fetch_wants_committed(f) ? view->stable_offset :
					   view->high_watermark);
}

static void
fetch_extent_drop(struct fetch_part *part)
{
	if (part->extent.blob != NULL)
		blob_unref(part->extent.blob);
	part->extent = (struct extent){ 0 };
}

void
fetch_drop(struct fetch *f)
{
	for (size_t i = 0; i < f->part_count; i++)
		fetch_extent_drop(&f->parts[i]);
}

/* --- one part ------------------------------------------------------------- */

/* Once set it stays, also when its directory fails meanwhile. */
static struct log *
fetch_log(const struct fetch_part *part)
{
	return (atomic_load_explicit(&part->replica->log,
	    memory_order_acquire));
}

/* A follower's fetch tells how far it has come. */
static enum error
fetch_record_progress(struct fetch *f, struct fetch_part *part,
    const struct replica_view *view)
{
	struct isr_fetch progress = {
		.fetch_offset = part->fetch_offset,
		.start_offset = part->log_start_offset,
		.leader_end = view->end_offset,
		.leader_epoch = view->leader_epoch,
		.now_ms = f->state->now_ms,
		.broker_epoch = f->replica_epoch,
	};

	if (f->replica_id < 0 || f->state->recorded)
		return (ERR_NONE);
	return (replica_follower_fetched(part->replica, f->replica_id,
	    &progress));
}

static enum error
fetch_not_a_follower(const struct fetch_part *part)
{
	return (part->current_leader_epoch >= 0 ? ERR_UNKNOWN_LEADER_EPOCH :
						  ERR_NOT_LEADER_OR_FOLLOWER);
}

void
fetch_part_fail(struct fetch_part *part)
{
	fetch_extent_drop(part);
	part->has_diverging = false;
	part->tells_aborted = false;
	part->high_watermark = -1;
	part->stable_offset = -1;
	part->answered_log_start = -1;
	part->preferred_read_replica = -1;
}

/* Whether the extent, cut at its limit, ends within its first batch. */
static bool
fetch_cut_short(const struct extent *extent, int64_t limit)
{
	uint8_t head[BATCH_PEEK_SIZE];

	if (extent->blob == NULL || (int64_t)extent->length < limit)
		return (false);
	if (extent->length < sizeof(head))
		return (true);
	if (extent->blob->ops->read_at(extent->blob, head, sizeof(head),
		extent->position) != (ssize_t)sizeof(head))
		return (true);
	return ((uint64_t)bytes_get_i32(head + 8) + BATCH_LOG_OVERHEAD >
	    extent->length);
}

/* The extent, and for whom it matters what of it was aborted.  With nothing but
 * the head of a batch there is no list, as in Kafka. */
static enum error
fetch_read_once(struct fetch *f, struct fetch_part *part,
    const struct replica_view *view, int64_t limit, bool at_least_one)
{
	struct log *log = fetch_log(part);
	struct log_read read;
	enum error error;

	error = log_read(log, part->fetch_offset, fetch_bound(f, view),
	    (size_t)limit, at_least_one, &read);
	part->extent = read.extent;
	if (part->extent.blob != NULL)
		blob_set_readers(part->extent.blob,
		    append_dir_reads(part->replica, NULL));
	if (error != ERR_NONE)
		return (error);
	f->state->at_once |= read.at_end_of_segment;
	/* A batch that does not fit comes whole or not at all: a consumer could
	 * do nothing with its head. */
	if (!at_least_one && !f->hard_limit &&
	    fetch_cut_short(&part->extent, limit))
		fetch_extent_drop(part);
	else if (fetch_wants_committed(f)) {
		part->tells_aborted = true;
		error = log_read_aborted(log, part->fetch_offset, &read,
		    f->arena, &part->aborted);
	}
	return (error);
}

/* Compaction, or a move, may come between the two: what is there now is read
 * then. */
static enum error
fetch_read_log(struct fetch *f, struct fetch_part *part,
    const struct replica_view *view, int64_t limit, bool at_least_one)
{
	enum error error;

	/* A follower that has all, as most have at most times. */
	if (f->replica_id >= 0 && part->fetch_offset >= view->end_offset)
		return (ERR_NONE);
	for (int i = 0; i < READ_TRIES; i++) {
		error = fetch_read_once(f, part, view, limit, at_least_one);
		if (error != ERR_REPLICA_NOT_AVAILABLE)
			return (error);
		fetch_extent_drop(part);
	}
	return (ERR_KAFKA_STORAGE_ERROR);
}

/* A follower that has to wait tells how far it is all the same. */
static bool
fetch_is_held_back(const struct fetch *f, const struct fetch_part *part)
{
	return (f->replica_id >= 0 &&
	    replica_holds_back(part->replica, f->replica_id));
}

static enum error
fetch_read_here(struct fetch *f, struct fetch_part *part,
    const struct replica_sight *sight, int64_t limit, bool at_least_one)
{
	enum error error = fetch_check_offset(part, sight, fetch_log(part));

	if (error != ERR_NONE)
		return (error);
	/* Kafka 3.9 fails on these, and names no error for it. */
	if (part->max_bytes < 0 || limit < 0)
		return (ERR_UNKNOWN_SERVER_ERROR);
	if (part->has_diverging)
		return (ERR_NONE);
	if (!fetch_is_held_back(f, part))
		error = fetch_read_log(f, part, &sight->view,
		    limit < part->max_bytes ? limit : part->max_bytes,
		    at_least_one);
	return (error != ERR_NONE ? error :
				    fetch_record_progress(f, part,
					&sight->view));
}

/* Answers the bytes that were found. */
static size_t
fetch_read_part(struct fetch *f, size_t index, int64_t limit,
    bool at_least_one)
{
	struct fetch_part *part = &f->parts[index];
	struct fetch_part_int *state = &f->state->parts[index];
	struct log *log = replica_log(part->replica);
	struct replica_sight sight;

	part->tells_aborted = false;
	replica_look(part->replica, &sight);
	part->error = fetch_check(f, part, &sight, log);
	/* Who leads now may choose another. Nobody has looked whether it could
	 * be read here, where it might wait for a disk. */
	if (!sight.view.leads && part->preferred_read_replica >= 0) {
		part->preferred_read_replica = -1;
		if (part->error == ERR_NONE)
			part->error = ERR_NOT_LEADER_OR_FOLLOWER;
	}
	if (part->error == ERR_NONE && part->preferred_read_replica < 0)
		part->error = fetch_read_here(f, part, &sight, limit,
		    at_least_one);
	if (part->error != ERR_NONE) {
		fetch_part_fail(part);
		return (0);
	}
	/* As they were before this fetch was noted. */
	part->high_watermark = sight.view.high_watermark;
	part->stable_offset = sight.view.stable_offset;
	part->answered_log_start = sight.view.log_start_offset;
	*state = (struct fetch_part_int){
		.leader_epoch = sight.view.leader_epoch,
		.segment_count = log_segment_count(log),
		.sequence = sight.sequence,
		.leads = sight.view.leads,
		.read = true,
		.empty = fetch_bound(f, &sight.view) <= part->fetch_offset &&
		    !part->has_diverging && part->preferred_read_replica < 0,
	};
	f->state->at_once |= part->has_diverging ||
	    part->preferred_read_replica >= 0;
	return (part->extent.blob == NULL ? 0 : part->extent.length);
}

/*
 * It was empty when it was read, and nothing has happened to it since: what was
 * found then is its answer still.  So are most that a follower asks for.
 */
static bool
fetch_part_rests(const struct fetch *f, size_t index)
{
	const struct fetch_part *part = &f->parts[index];
	const struct fetch_part_int *state = &f->state->parts[index];
	struct log *log;

	if (!state->read || !state->empty ||
	    replica_changed_since(part->replica, state->sequence))
		return (false);
	log = replica_log(part->replica);
	return (log != NULL &&
	    log_start_offset(log) == part->answered_log_start &&
	    log_segment_count(log) == state->segment_count &&
	    part->preferred_read_replica < 0 && !replicas_stopped(f->replicas));
}

void
fetch_read_all(struct fetch *f)
{
	struct fetch_int *state = f->state;
	int64_t left = f->max_bytes;
	bool at_least_one = !f->hard_limit, readable = false;

	fetch_drop(f);
	state->read_bytes = 0;
	state->at_once = false;
	state->now_ms = replicas_now_ms(f->replicas);
	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];
		size_t got;

		if (part->replica == NULL) {
			state->at_once |= part->error ==
			    ERR_NOT_LEADER_OR_FOLLOWER;
			continue;
		}
		if (fetch_part_rests(f, i)) {
			readable = true;
			continue;
		}
		state->parts[i].read = false;
		part->has_diverging = false;
		got = fetch_read_part(f, i, left, at_least_one);
		readable = true;
		state->at_once |= part->error != ERR_NONE;
		state->read_bytes += (int64_t)got;
		left = (int64_t)got > left ? 0 : left - (int64_t)got;
		if (got > 0)
			at_least_one = false;
	}
	state->recorded = true;
	/* Parts that were refused by name or by the asker end the wait only
	 * when there is nothing else: as a session keeps them, it would never
	 * wait. */
	state->at_once |= !readable;
}

static enum error
fetch_check(const struct fetch *f, const struct fetch_part *part,
    const struct replica_sight *sight, struct log *log)
{
	bool leader_only = f->replica_id >= 0 || !f->may_read_follower;
	struct uuid id;

	if (sight->view.offline)
		return (ERR_KAFKA_STORAGE_ERROR);
	/* No LeaderAndIsr came yet. */
	if (log == NULL || sight->view.leader_epoch < 0 ||
	    replicas_stopped(f->replicas))
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	id = log_topic_id(log);
	if (!uuid_is_zero(part->topic_id) && !uuid_is_zero(id) &&
	    !uuid_equal(part->topic_id, id))
		return (ERR_INCONSISTENT_TOPIC_ID);
	if (part->current_leader_epoch > sight->view.leader_epoch)
		return (ERR_UNKNOWN_LEADER_EPOCH);
	if (part->current_leader_epoch >= 0 &&
	    part->current_leader_epoch < sight->view.leader_epoch)
		return (ERR_FENCED_LEADER_EPOCH);
	if (leader_only && !sight->view.leads)
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (f->replica_id >= 0 &&
	    !replica_has_follower(part->replica, f->replica_id))
		return (fetch_not_a_follower(part));
	return (ERR_NONE);
}

static enum error
fetch_check_offset(struct fetch_part *part, const struct replica_sight *sight,
    struct log *log)
{
	const struct replica_view *view = &sight->view;

	if (part->fetch_offset < view->log_start_offset)
		return (ERR_OFFSET_OUT_OF_RANGE);
	if (part->last_fetched_epoch >= 0) {
		struct log_epoch_end end = log_epoch_end(log,
		    part->last_fetched_epoch);

		if (end.leader_epoch < 0 || end.end_offset < 0)
			return (ERR_OFFSET_OUT_OF_RANGE);
		if (end.leader_epoch < part->last_fetched_epoch ||
		    end.end_offset < part->fetch_offset) {
			part->diverging = end;
			part->has_diverging = true;
			return (ERR_NONE);
		}
	}
	return (part->fetch_offset > view->end_offset ?
		    ERR_OFFSET_OUT_OF_RANGE :
		    ERR_NONE);
}

/* --- while it waits ------------------------------------------------------- */

/* Any change of role, or of the segment that is read, ends the wait. */
static bool
fetch_part_changed(const struct fetch_part_int *state,
    const struct replica_sight *sight, struct log *log)
{
	return (!state->read || log == NULL || sight->view.offline ||
	    sight->view.leader_epoch != state->leader_epoch ||
	    sight->view.leads != state->leads ||
	    log_segment_count(log) != state->segment_count);
}

bool
fetch_is_ready(struct fetch *f)
{
	int32_t wanted = f->min_bytes < f->max_bytes ? f->min_bytes :
						       f->max_bytes;
	int64_t bytes = 0;

	if (replicas_stopped(f->replicas))
		return (true);
	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];
		struct log *log;
		struct replica_sight sight;
		int64_t bound, more = 0;

		if (part->replica == NULL || fetch_part_rests(f, i))
			continue;
		log = replica_log(part->replica);
		replica_look(part->replica, &sight);
		bound = fetch_bound(f, &sight.view);
		if (fetch_part_changed(&f->state->parts[i], &sight, log))
			return (true);
		/* Truncated, or cut from the front, below it. */
		if (part->fetch_offset > sight.view.end_offset ||
		    part->fetch_offset < sight.view.log_start_offset)
			return (true);
		if (bound > part->fetch_offset && !fetch_is_held_back(f, part))
			more = log_bytes_between(log, part->fetch_offset,
			    bound);
		bytes += more < part->max_bytes ? more : part->max_bytes;
	}
	return (bytes >= wanted);
}
