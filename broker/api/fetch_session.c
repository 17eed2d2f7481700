/* SPDX-License-Identifier: Apache-2.0 */
#include "api/fetch_session.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/twins.h"
#include "metrics/metrics.h"

#define SHARDS 8
/* Partitions in all sessions of a shard, about 250 bytes each: their names need
 * not exist, so the number of sessions alone is no bound. */
#define SHARD_PARTS_MAX ((size_t)1 << 17)
/* A session may be pushed out when it is so old, or idle so long. */
#define EVICTION_MS 120000
#define FINAL_EPOCH (-1)
#define INITIAL_EPOCH 0

/* The key of a partition in its session: the topic's id or name, then the
 * number. */
#define PART_KEY_MAX (sizeof(struct uuid) + 249 + sizeof(int32_t))

struct session_part {
	struct hash_node node;
	struct list order; /* reading order; those sent go to the tail */
	struct fetch_request_partition asked;
	struct uuid topic_id;
	char *topic; /* by id: its name when it was first known; NULL: never */
	size_t topic_length;
	int64_t high_watermark; /* as last sent; -1: to be sent anew */
	int64_t log_start_offset;
	size_t key_length;
	uint8_t key[];
};

struct session {
	struct hash_node node; /* by id */
	struct list recent;    /* least recently used first */
	int32_t id;
	int32_t epoch; /* that the next request must carry */
	bool by_id;
	bool follower;
	int64_t created_ms;
	int64_t used_ms;
	struct hash parts;
	struct list order;
};

struct session_shard {
	struct lock lock;
	struct random random;
	struct hash sessions;
	struct list recent;
	size_t count;
	size_t parts;
	size_t slots;
	size_t shown_count; /* in the metrics */
	size_t shown_parts;
};

struct fetch_sessions {
	struct metrics *metrics;
	atomic_uint turn; /* which shard has the next new one */
	struct session_shard shards[SHARDS];
};

struct fetch_sessions *
fetch_sessions_new(int32_t slots, uint64_t seed, struct metrics *metrics)
{
	struct fetch_sessions *s = mem_zalloc(sizeof(*s));

	s->metrics = metrics;
	for (size_t i = 0; i < SHARDS; i++) {
		struct session_shard *shard = &s->shards[i];

		lock_init(&shard->lock, LOCK_RANK_LEAF);
		random_seed(&shard->random, seed + i);
		list_init(&shard->recent);
		/* What is left over is no slot, as in Kafka: below one for each
		 * shard there are no sessions. */
		shard->slots = (size_t)slots / SHARDS;
	}
	return (s);
}

/* Every way out of a shard's lock that may have changed what is in it. */
static void
session_shard_leave(struct fetch_sessions *s, struct session_shard *shard)
{
	if (shard->count != shard->shown_count)
		metrics_add(s->metrics, METRIC_FETCH_SESSIONS,
		    (int64_t)shard->count - (int64_t)shard->shown_count);
	if (shard->parts != shard->shown_parts)
		metrics_add(s->metrics, METRIC_FETCH_SESSION_PARTITIONS,
		    (int64_t)shard->parts - (int64_t)shard->shown_parts);
	shard->shown_count = shard->count;
	shard->shown_parts = shard->parts;
	lock_release(&shard->lock);
}

static struct session_shard *
session_shard_of(struct fetch_sessions *s, int32_t id)
{
	return (&s->shards[(uint32_t)id % SHARDS]);
}

/* --- a session, under its shard's lock ------------------------------------ */

static void
session_part_remove(struct session_shard *shard, struct session *session,
    struct session_part *part)
{
	hash_remove(&session->parts, &part->node);
	list_remove(&part->order);
	mem_free(part->topic);
	mem_free(part);
	shard->parts--;
}

static void
session_end(struct session_shard *shard, struct session *session)
{
	LIST_EACH(e, &session->order)
		session_part_remove(shard, session,
		    list_entry(e, struct session_part, order));
	hash_clear(&session->parts);
	hash_remove(&shard->sessions, &session->node);
	list_remove(&session->recent);
	mem_free(session);
	shard->count--;
}

static struct session *
session_find(struct session_shard *shard, int32_t id)
{
	struct hash_node *node = hash_find(&shard->sessions, &id, sizeof(id));

	return (node == NULL ? NULL : container_of(node, struct session, node));
}

static size_t
session_part_key(bool by_id, struct slice topic, struct uuid topic_id,
    int32_t partition, uint8_t key[PART_KEY_MAX])
{
	size_t length = by_id ? sizeof(topic_id) : topic.length;

	if (by_id)
		memcpy(key, &topic_id, sizeof(topic_id));
	else if (length > 0)
		memcpy(key, topic.data, length);
	memcpy(key + length, &partition, sizeof(partition));
	return (length + sizeof(partition));
}

static struct session_part *
session_part_find(const struct session *session, struct slice topic,
    struct uuid topic_id, int32_t partition)
{
	uint8_t key[PART_KEY_MAX];
	size_t length;
	struct hash_node *node;

	if (topic.length > 249)
		return (NULL);
	length = session_part_key(session->by_id, topic, topic_id, partition,
	    key);
	node = hash_find(&session->parts, key, length);
	return (node == NULL ? NULL :
			       container_of(node, struct session_part, node));
}

/* Once and for all: an id that goes to nobody else keeps its name here, and a
 * topic that comes again under that name has another id. */
static void
session_part_name(struct session_part *part, struct slice topic)
{
	if (part->topic != NULL || topic.data == NULL)
		return;
	part->topic = mem_strndup((const char *)topic.data, topic.length);
	part->topic_length = topic.length;
}

/* A new partition, or new values for one that is there. */
static void
session_part_set(struct session_shard *shard, struct session *session,
    const struct fetch_plan_part *wanted)
{
	struct session_part *part = session_part_find(session, wanted->topic,
	    wanted->topic_id, wanted->asked.partition);
	uint8_t key[PART_KEY_MAX];
	size_t length;

	if (wanted->topic.length > 249)
		return; /* no topic has such a name */
	if (part != NULL) {
		part->asked = wanted->asked;
		return;
	}
	length = session_part_key(session->by_id, wanted->topic,
	    wanted->topic_id, wanted->asked.partition, key);
	part = mem_zalloc(sizeof(*part) + length);
	memcpy(part->key, key, length);
	part->key_length = length;
	part->asked = wanted->asked;
	part->topic_id = wanted->topic_id;
	session_part_name(part, wanted->topic);
	part->high_watermark = -1;
	part->log_start_offset = -1;
	hash_insert(&session->parts, &part->node, part->key, length);
	list_push_tail(&session->order, &part->order);
	shard->parts++;
}

void
fetch_sessions_free(struct fetch_sessions **sessions)
{
	struct fetch_sessions *s = *sessions;

	if (s == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		HASH_EACH(node, &s->shards[i].sessions)
			session_end(&s->shards[i],
			    container_of(node, struct session, node));
		hash_clear(&s->shards[i].sessions);
		lock_fini(&s->shards[i].lock);
	}
	mem_free(s);
	*sessions = NULL;
}

/* --- room for a new one --------------------------------------------------- */

/* Followers outrank consumers, then the larger one, then the higher id. */
static bool
session_outranks(bool follower, size_t parts, const struct session *other)
{
	size_t other_parts = hash_count(&other->parts);

	if (follower != other->follower)
		return (follower);
	return (parts > other_parts);
}

static bool
session_evictable(const struct session *session, bool newcomer_follower,
    int64_t now_ms)
{
	return (now_ms - session->created_ms > EVICTION_MS ||
	    (newcomer_follower && !session->follower));
}

static bool
session_parts_fit(const struct session_shard *shard, size_t count)
{
	return (count <= SHARD_PARTS_MAX &&
	    shard->parts <= SHARD_PARTS_MAX - count);
}

/* True: there is a free slot now. */
static bool
session_make_room(struct fetch_sessions *s, struct session_shard *shard,
    bool follower, size_t parts, int64_t now_ms)
{
	struct session *victim = NULL;

	if (shard->count < shard->slots)
		return (true);
	if (shard->slots == 0)
		return (false);
	victim = list_entry(shard->recent.next, struct session, recent);
	if (now_ms - victim->used_ms <= EVICTION_MS) {
		victim = NULL;
		LIST_EACH(e, &shard->recent) {
			struct session *each =
			    list_entry(e, struct session, recent);

			if (session_evictable(each, follower, now_ms) &&
			    (victim == NULL ||
				session_outranks(victim->follower,
				    hash_count(&victim->parts), each)))
				victim = each;
		}
		if (victim != NULL &&
		    !session_outranks(follower, parts, victim))
			victim = NULL;
	}
	if (victim == NULL)
		return (false);
	session_end(shard, victim);
	metrics_add(s->metrics, METRIC_FETCH_SESSION_EVICTIONS, 1);
	return (true);
}

/* A random positive id of this shard that is free. */
static int32_t
session_new_id(struct session_shard *shard, size_t index)
{
	int32_t id;

	do {
		id = (int32_t)(random_u64(&shard->random) & INT32_MAX);
		id = id - (int32_t)((uint32_t)id % SHARDS) + (int32_t)index;
	} while (id <= 0 || session_find(shard, id) != NULL);
	return (id);
}

static int32_t
session_create(struct fetch_sessions *s, const struct fetch_plan *plan,
    const struct fetch_sent *sent, int64_t now_ms)
{
	size_t index = atomic_fetch_add_explicit(&s->turn, 1,
	    memory_order_relaxed) % SHARDS;
	struct session_shard *shard = &s->shards[index];
	struct session *session = NULL;
	int32_t id = 0;

	lock_take(&shard->lock);
	if (session_parts_fit(shard, plan->part_count) &&
	    session_make_room(s, shard, plan->follower, plan->part_count,
		now_ms)) {
		session = mem_zalloc(sizeof(*session));
		session->id = id = session_new_id(shard, index);
		session->epoch = 1;
		session->by_id = plan->by_id;
		session->follower = plan->follower;
		session->created_ms = session->used_ms = now_ms;
		list_init(&session->order);
		list_init(&session->recent);
		hash_insert(&shard->sessions, &session->node, &session->id,
		    sizeof(session->id));
		list_push_tail(&shard->recent, &session->recent);
		shard->count++;
		for (size_t i = 0; i < plan->part_count; i++) {
			struct session_part *part;

			session_part_set(shard, session, &plan->parts[i]);
			part = session_part_find(session, plan->parts[i].topic,
			    plan->parts[i].topic_id,
			    plan->parts[i].asked.partition);
			if (part == NULL || sent[i].error != ERR_NONE)
				continue;
			part->high_watermark = sent[i].high_watermark;
			part->log_start_offset = sent[i].log_start_offset;
		}
	}
	session_shard_leave(s, shard);
	return (id);
}

/* --- the plan ------------------------------------------------------------- */

static int32_t
session_epoch_after(int32_t epoch)
{
	return (epoch == INT32_MAX ? 1 : epoch + 1);
}

/* Who is named twice stands where it was named first, with what was said of it
 * last. */
static bool
fetch_plan_drop_twins(struct arena *arena, struct fetch_plan *plan)
{
	struct fetch_plan_part *parts = plan->parts;
	struct twin *twins = arena_array(arena, plan->part_count,
	    sizeof(*twins));
	const struct twin_ends *ends;
	size_t kept = 0;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < plan->part_count; i++)
		twins[i] = (struct twin){ .number = parts[i].asked.partition,
			.name = plan->by_id ? slice_of(parts[i].topic_id.bytes,
			    sizeof(parts[i].topic_id.bytes)) :
			    parts[i].topic };
	ends = twins_find(arena, twins, plan->part_count);
	if (ends == NULL)
		return (false);
	/* Those behind are still as they were named. */
	for (size_t i = 0; i < plan->part_count; i++)
		if (ends[i].first == i)
			parts[kept++] = parts[ends[i].last];
	plan->part_count = kept;
	return (true);
}

static bool
fetch_plan_of_request(const struct fetch_request *request, struct arena *arena,
    struct fetch_plan *out)
{
	size_t count = 0;
	struct fetch_plan_part *part;

	for (int32_t i = 0; i < request->topics_count; i++)
		count += (size_t)request->topics[i].partitions_count;
	part = arena_array(arena, count, sizeof(*part));
	if (part == NULL)
		return (false);
	out->parts = part;
	out->part_count = count;
	for (int32_t i = 0; i < request->topics_count; i++)
		for (int32_t j = 0; j < request->topics[i].partitions_count;
		    j++, part++) {
			part->topic = out->by_id ? SLICE_NULL :
			    request->topics[i].topic;
			part->topic_id = request->topics[i].topic_id;
			part->asked = request->topics[i].partitions[j];
		}
	return (count < 2 || fetch_plan_drop_twins(arena, out));
}

/* Closes the session that a full fetch names. */
static void
fetch_plan_close(struct fetch_sessions *s, int32_t id)
{
	struct session_shard *shard = session_shard_of(s, id);
	struct session *session;

	lock_take(&shard->lock);
	session = session_find(shard, id);
	if (session != NULL)
		session_end(shard, session);
	session_shard_leave(s, shard);
}

/* Adds, changes and forgets what the request says. */
static void
session_update(struct session_shard *shard, struct session *session,
    const struct fetch_request *request, const struct fetch_plan *named)
{
	for (size_t i = 0; i < named->part_count; i++)
		session_part_set(shard, session, &named->parts[i]);
	for (int32_t i = 0; i < request->forgotten_topics_data_count; i++) {
		const struct fetch_request_forgotten_topic *topic =
		    &request->forgotten_topics_data[i];

		for (int32_t j = 0; j < topic->partitions_count; j++) {
			struct session_part *part = session_part_find(session,
			    topic->topic, topic->topic_id,
			    topic->partitions[j]);

			if (part != NULL)
				session_part_remove(shard, session, part);
		}
	}
}

static bool
fetch_plan_of_session(const struct session *session, struct arena *arena,
    struct fetch_plan *out)
{
	size_t count = hash_count(&session->parts);
	struct fetch_plan_part *to = arena_array(arena, count, sizeof(*to));
	struct slice copied = SLICE_NULL;
	bool ok = true;

	if (to == NULL)
		return (false);
	out->parts = to;
	out->part_count = count;
	LIST_EACH(e, &session->order) {
		const struct session_part *part =
		    list_entry(e, struct session_part, order);
		struct slice name = part->topic == NULL ? SLICE_NULL :
		    slice_of(part->topic, part->topic_length);

		/* Neighbours are of one topic, mostly. */
		if (name.data != NULL &&
		    (copied.data == NULL || !slice_equal(name, copied)))
			copied = arena_slice_copy(arena, name, &ok);
		to->topic_id = part->topic_id;
		to->asked = part->asked;
		to->topic = name.data == NULL ? SLICE_NULL : copied;
		to++;
	}
	return (ok);
}

/* Whether there is room for those that the session does not have yet. */
static bool
session_may_grow(const struct session_shard *shard,
    const struct session *session, const struct fetch_plan *named)
{
	size_t count = 0;

	if (session_parts_fit(shard, named->part_count))
		return (true);
	for (size_t i = 0; i < named->part_count; i++)
		count += session_part_find(session, named->parts[i].topic,
			     named->parts[i].topic_id,
			     named->parts[i].asked.partition) == NULL;
	return (count == 0 || session_parts_fit(shard, count));
}

/* With the shard's lock held. */
static bool
fetch_plan_incremental(struct session_shard *shard,
    const struct fetch_request *request, struct arena *arena,
    struct fetch_plan *out)
{
	struct session *session = session_find(shard, request->session_id);

	if (session == NULL) {
		out->error = ERR_FETCH_SESSION_ID_NOT_FOUND;
		return (true);
	}
	if (session->epoch != request->session_epoch) {
		out->error = ERR_INVALID_FETCH_SESSION_EPOCH;
		return (true);
	}
	if (session->by_id != out->by_id) {
		out->error = ERR_FETCH_SESSION_TOPIC_ID_ERROR;
		return (true);
	}
	/* The client starts again with a full fetch, and gets no session. */
	if (!session_may_grow(shard, session, out)) {
		session_end(shard, session);
		out->error = ERR_FETCH_SESSION_ID_NOT_FOUND;
		return (true);
	}
	session_update(shard, session, request, out);
	if (list_empty(&session->order)) {
		session_end(shard, session);
		out->kind = FETCH_SESSIONLESS;
		out->part_count = 0;
		return (true);
	}
	session->epoch = session_epoch_after(session->epoch);
	out->kind = FETCH_INCREMENTAL;
	out->session_id = session->id;
	out->session_epoch = session->epoch;
	return (fetch_plan_of_session(session, arena, out));
}

bool
fetch_plan_make(struct fetch_sessions *s, const struct fetch_request *request,
    int version, int64_t now_ms, struct arena *arena, struct fetch_plan *out)
{
	int32_t epoch = version < 7 ? FINAL_EPOCH : request->session_epoch;
	struct session_shard *shard;
	bool ok;

	*out = (struct fetch_plan){ .kind = FETCH_SESSIONLESS };
	out->by_id = version >= 13;
	out->follower = (version >= 15 ? request->replica_state.replica_id :
					 request->replica_id) >= 0;
	(void)now_ms;
	if (!fetch_plan_of_request(request, arena, out))
		return (false);
	if (epoch == FINAL_EPOCH || epoch == INITIAL_EPOCH) {
		if (version >= 7 && request->session_id != 0)
			fetch_plan_close(s, request->session_id);
		if (epoch == INITIAL_EPOCH)
			out->kind = FETCH_FULL;
		return (true);
	}
	shard = session_shard_of(s, request->session_id);
	lock_take(&shard->lock);
	ok = fetch_plan_incremental(shard, request, arena, out);
	session_shard_leave(s, shard);
	return (ok);
}

/* --- what is sent --------------------------------------------------------- */

/* Whether an incremental answer shows the partition; notes what it shows. */
static bool
session_part_news(struct session *session, struct session_part *part,
    const struct fetch_sent *sent)
{
	bool news = sent->record_bytes > 0 || sent->diverging ||
	    sent->preferred_replica;

	if (part->high_watermark != sent->high_watermark ||
	    part->log_start_offset != sent->log_start_offset)
		news = true;
	part->high_watermark = sent->high_watermark;
	part->log_start_offset = sent->log_start_offset;
	if (sent->error != ERR_NONE) {
		part->high_watermark = -1; /* shown again once it is well */
		news = true;
	}
	/* Fairness: who was given bytes reads last next time. */
	if (sent->record_bytes > 0) {
		list_remove(&part->order);
		list_push_tail(&session->order, &part->order);
	}
	return (news);
}

static void
fetch_plan_show_all(const struct fetch_plan *plan, struct fetch_sent *sent)
{
	for (size_t i = 0; i < plan->part_count; i++)
		sent[i].include = true;
}

/* In the epoch of the plan no other request has been here: the session's parts
 * stand as they stood when the plan was made. */
static void
session_note(struct session_shard *shard, struct session *session,
    const struct fetch_plan *plan, struct fetch_sent *sent, int64_t now_ms)
{
	struct list *at = session->order.next;

	for (size_t i = 0; i < plan->part_count; i++) {
		struct session_part *part =
		    list_entry(at, struct session_part, order);

		at = at->next;
		session_part_name(part, plan->parts[i].topic);
		sent[i].include = session_part_news(session, part, &sent[i]);
	}
	session->used_ms = now_ms;
	list_remove(&session->recent);
	list_push_tail(&shard->recent, &session->recent);
}

static enum error
fetch_plan_note(struct fetch_sessions *s, const struct fetch_plan *plan,
    struct fetch_sent *sent, int64_t now_ms)
{
	struct session_shard *shard = session_shard_of(s, plan->session_id);
	enum error error = ERR_NONE;
	struct session *session;

	lock_take(&shard->lock);
	session = session_find(shard, plan->session_id);
	if (session == NULL)
		fetch_plan_show_all(plan, sent);
	else if (session->epoch != plan->session_epoch ||
	    hash_count(&session->parts) != plan->part_count)
		error = ERR_INVALID_FETCH_SESSION_EPOCH;
	else
		session_note(shard, session, plan, sent, now_ms);
	lock_release(&shard->lock);
	return (error);
}

enum error
fetch_plan_finish(struct fetch_sessions *s, const struct fetch_plan *plan,
    struct fetch_sent *sent, int64_t now_ms, int32_t *session_id)
{
	*session_id = plan->session_id;
	if (plan->kind == FETCH_INCREMENTAL)
		return (fetch_plan_note(s, plan, sent, now_ms));
	fetch_plan_show_all(plan, sent);
	*session_id = plan->kind == FETCH_SESSIONLESS ? 0 :
	    session_create(s, plan, sent, now_ms);
	return (ERR_NONE);
}
