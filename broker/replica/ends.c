/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where partitions end for consumers (their high watermarks) that are led
 * elsewhere: for who tells how far groups are behind.
 *
 * Who asks for one that is not known leaves an entry, and a task of the setup's
 * loop asks the leaders about all entries: all leaders at once, each with one
 * ListOffsets after the other.  An entry goes when nobody has asked for it for
 * a while; with the last one the task rests, and no connection stays.
 *
 *	rest --the first entry--> round --who leads it?--> ask <--+
 *	  ^                         ^                       |     | the next
 *	  |                         +--PERIOD-- pause <--all+-----+
 *	  +-- no entry is left -----+
 *
 * What a leader does not tell stays as it was told last, until that is too old
 * to be true.  At most barnabas.group.lag.max are known: who tells of them
 * tells of no more, and counts the others.  A leader that authorizes wants the
 * brokers' principal to be allowed Describe on the topics.
 */
#include "replica/fetcher_int.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "config/options.h"

#define PERIOD_NS ((int64_t)5 * 1000 * NANOS_PER_MILLI)
#define ANSWER_TIMEOUT_MS 5000
#define ANSWER_BYTES_MAX ((size_t)16 << 20)
/* So many rounds after the last question an entry goes. */
#define IDLE_ROUNDS 12
#define OLD_MS 60000
/* In one request, and looked up in one step. */
#define ASKED_MAX 1000
#define LOOKED_UP_MAX 64

struct ends_entry {
	struct hash_node node;
	/* Under the lock: */
	unsigned idle; /* rounds since somebody asked */
	bool told;
	int64_t told_ms;
	int64_t end;
	/* The task's: */
	struct ends_entry *next; /* to be asked of the same leader */
	size_t key_length;
	uint8_t key[];
};

struct ends_leader {
	struct ends_leader *next;
	int32_t broker;
	struct ends_entry *entries;
	struct link connection;
	struct peer_call call;
	bool calling;
	struct arena arena; /* of the request and its answer */
	struct list_offsets_response response;
};

struct ends {
	struct replicas *replicas;
	struct follow_setup setup;
	struct task_ref task;
	struct post post;
	struct lock lock; /* a leaf */
	struct hash entries;
	struct ends_entry **list; /* the same ones, in no order */
	size_t count;
	size_t capacity;
	size_t most;
	bool rests;   /* the task does, until it is posted to */
	bool stopped;
	atomic_bool posted;
	/* The task's, and it alone takes entries away: */
	struct ends_leader *leaders;
	size_t looked_up; /* in this round */
};

static task_step ends_rest, ends_round, ends_look_up, ends_ask, ends_pause;

static const struct task_class ends_class = {
	.name = "ends of partitions",
	.state_size = sizeof(struct ends *),
};

static struct ends *
ends_of(struct task *t)
{
	return (*(struct ends **)task_state(t));
}

static void
ends_setup(struct task *task, void *arg)
{
	*(struct ends **)task_state(task) = arg;
}

static void
ends_wake(struct post *post)
{
	struct ends *ends = container_of(post, struct ends, post);
	struct task *task = task_of_ref(ends->task);

	atomic_store(&ends->posted, false);
	if (task != NULL)
		task_wake(task);
}

struct ends *
ends_new(struct replicas *replicas, const struct follow_setup *setup)
{
	struct ends *ends = mem_zalloc(sizeof(*ends));

	ends->replicas = replicas;
	ends->setup = *setup;
	ends->rests = true;
	ends->most = (size_t)replicas->setup.broker_options->group.lag_max;
	lock_init(&ends->lock, LOCK_RANK_LEAF);
	list_init(&ends->post.link);
	ends->post.run = ends_wake;
	ends->task = task_ref(task_start(replicas->setup.loop, &ends_class,
	    ends_rest, ends_setup, ends));
	return (ends);
}

static void
leader_end_call(struct ends_leader *leader)
{
	if (leader->calling)
		peer_call_fini(&leader->call);
	leader->calling = false;
	arena_reset(&leader->arena);
}

static void
ends_forget_leaders(struct ends *ends)
{
	struct ends_leader *gone;

	while ((gone = ends->leaders) != NULL) {
		ends->leaders = gone->next;
		leader_end_call(gone);
		link_close(&gone->connection);
		arena_fini(&gone->arena);
		mem_free(gone);
	}
}

void
ends_stop(struct ends *ends)
{
	struct task *task;

	if (ends == NULL)
		return;
	lock_take(&ends->lock);
	ends->stopped = true;
	lock_release(&ends->lock);
	task = task_of_ref(ends->task);
	if (task != NULL)
		task_cancel(task);
	ends_forget_leaders(ends);
}

bool
ends_at_rest(const struct ends *ends)
{
	return (ends == NULL || !atomic_load(&ends->posted));
}

void
ends_free(struct ends **place)
{
	struct ends *gone = *place;

	*place = NULL;
	if (gone == NULL)
		return;
	hash_clear(&gone->entries);
	for (size_t i = 0; i < gone->count; i++)
		mem_free(gone->list[i]);
	mem_free(gone->list);
	lock_fini(&gone->lock);
	mem_free(gone);
}

/* --- who asks ------------------------------------------------------------- */

/* NULL: there are too many.  The lock is held. */
static struct ends_entry *
ends_add(struct ends *ends, const uint8_t *key, size_t length)
{
	struct ends_entry *entry;

	if (ends->stopped || ends->count >= ends->most)
		return (NULL);
	entry = mem_zalloc(sizeof(*entry) + length);
	memcpy(entry->key, key, length);
	entry->key_length = length;
	hash_insert(&ends->entries, &entry->node, entry->key, length);
	if (ends->count == ends->capacity) {
		ends->capacity = 2 * ends->capacity + 64;
		ends->list = mem_realloc(ends->list,
		    ends->capacity * sizeof(struct ends_entry *));
	}
	ends->list[ends->count++] = entry;
	if (ends->rests) {
		ends->rests = false;
		atomic_store(&ends->posted, true);
		loop_post(ends->replicas->setup.loop, &ends->post);
	}
	return (entry);
}

/* The lock is held. */
static struct ends_entry *
ends_find(const struct ends *ends, const uint8_t *key, size_t length)
{
	struct hash_node *node = hash_find(&ends->entries, key, length);

	return (node == NULL ? NULL :
	    container_of(node, struct ends_entry, node));
}

static bool
ends_look(struct ends *ends, struct slice topic, int32_t partition,
    int64_t *out)
{
	const int64_t now_ms = replicas_now_ms(ends->replicas);
	uint8_t key[REPLICA_KEY_MAX];
	const size_t length = replica_make_key(topic, partition, key);
	struct ends_entry *entry;
	bool known = false;

	if (length == 0)
		return (false);
	lock_take(&ends->lock);
	entry = ends_find(ends, key, length);
	if (entry == NULL)
		entry = ends_add(ends, key, length);
	if (entry != NULL) {
		entry->idle = 0;
		known = entry->told && now_ms - entry->told_ms < OLD_MS;
		*out = entry->end;
	}
	lock_release(&ends->lock);
	return (known);
}

bool
replicas_high_watermark(struct replicas *replicas, struct slice topic,
    int32_t partition, int64_t *out)
{
	struct replica *replica = replicas_find(replicas, topic, partition);
	struct replica_view view = { .leads = false };

	if (replica != NULL) {
		replica_view(replica, &view);
		replica_unref(replica);
	}
	if (view.leads && !view.offline) {
		*out = view.high_watermark;
		return (true);
	}
	return (replicas->ends != NULL &&
	    ends_look(replicas->ends, topic, partition, out));
}

/* --- a round -------------------------------------------------------------- */

static enum verdict
ends_rest(struct task *t)
{
	struct ends *ends = ends_of(t);
	bool rests;

	lock_take(&ends->lock);
	rests = ends->rests;
	lock_release(&ends->lock);
	return (rests ? STEP_WAIT : task_next(t, ends_round));
}

static enum verdict
ends_round(struct task *t)
{
	struct ends *ends = ends_of(t);
	bool rests;

	lock_take(&ends->lock);
	rests = ends->rests = ends->count == 0;
	lock_release(&ends->lock);
	if (rests) {
		ends_forget_leaders(ends);
		return (task_next(t, ends_rest));
	}
	ends->looked_up = 0;
	task_sleep(t, PERIOD_NS);
	return (task_next(t, ends_look_up));
}

static struct ends_leader *
leader_new(struct ends *ends, int32_t broker)
{
	struct ends_leader *leader = mem_zalloc(sizeof(*leader));

	leader->broker = broker;
	leader->connection = (struct link){
		.setup = &ends->setup,
		.replicas = ends->replicas,
		.listener = ends->setup.listener,
		.tls = ends->setup.tls,
		.request_timeout_ms = ANSWER_TIMEOUT_MS,
		.response_bytes_max = ANSWER_BYTES_MAX,
	};
	(void)snprintf(leader->connection.client_id,
	    sizeof(leader->connection.client_id), "broker-%d-ends",
	    (int)ends->replicas->setup.broker_id);
	arena_init(&leader->arena, 0);
	leader->next = ends->leaders;
	ends->leaders = leader;
	return (leader);
}

static struct ends_leader *
ends_leader(struct ends *ends, int32_t broker)
{
	for (struct ends_leader *each = ends->leaders; each != NULL;
	    each = each->next)
		if (each->broker == broker)
			return (each);
	return (leader_new(ends, broker));
}

static struct slice
entry_topic(const struct ends_entry *entry)
{
	return (slice_of(entry->key + sizeof(int32_t),
	    entry->key_length - sizeof(int32_t)));
}

static void
entry_look_up(struct ends *ends, struct ends_entry *entry)
{
	const struct cluster_topic *topic = image_topic(
	    cluster_image(ends->replicas->setup.cluster), entry_topic(entry));
	const struct cluster_partition *partition = topic == NULL ? NULL :
	    topic_partition(topic, bytes_get_i32(entry->key));
	struct ends_leader *leader;

	if (partition == NULL || partition->leader < 0 ||
	    partition->leader == ends->replicas->setup.broker_id)
		return;
	leader = ends_leader(ends, partition->leader);
	entry->next = leader->entries;
	leader->entries = entry;
}

/* The next ones of the round; those that nobody asks for any more go.  *more:
 * these were not the last. */
static size_t
ends_take(struct ends *ends, struct ends_entry *out[LOOKED_UP_MAX], bool *more)
{
	size_t count = 0;

	lock_take(&ends->lock);
	for (int i = 0; i < LOOKED_UP_MAX && ends->looked_up < ends->count;
	     i++) {
		struct ends_entry **at = &ends->list[ends->looked_up];

		if ((*at)->idle++ < IDLE_ROUNDS) {
			out[count++] = *at;
			ends->looked_up++;
			continue;
		}
		hash_remove(&ends->entries, &(*at)->node);
		mem_free(*at);
		*at = ends->list[--ends->count];
	}
	*more = ends->looked_up < ends->count;
	lock_release(&ends->lock);
	return (count);
}

static enum verdict
ends_look_up(struct task *t)
{
	struct ends *ends = ends_of(t);
	struct ends_entry *entries[LOOKED_UP_MAX];
	bool more;
	const size_t count = ends_take(ends, entries, &more);

	for (size_t i = 0; i < count; i++)
		entry_look_up(ends, entries[i]);
	return (task_next(t, more ? ends_look_up : ends_ask));
}

/* --- a leader ------------------------------------------------------------- */

static bool
leader_build(struct ends_leader *leader, struct list_offsets_request *request)
{
	struct list_offsets_request_topic *topics = arena_array(
	    &leader->arena, ASKED_MAX, sizeof(*topics));
	struct list_offsets_request_partition *partitions = arena_array(
	    &leader->arena, ASKED_MAX, sizeof(*partitions));
	int32_t count = 0;

	wire_init(&message_list_offsets_request, request);
	if (topics == NULL || partitions == NULL)
		return (false);
	while (leader->entries != NULL && count < ASKED_MAX) {
		const struct ends_entry *entry = leader->entries;

		leader->entries = entry->next;
		partitions[count].partition_index = bytes_get_i32(entry->key);
		partitions[count].current_leader_epoch = -1;
		partitions[count].timestamp = TIMESTAMP_LATEST;
		partitions[count].max_num_offsets = 1;
		topics[count].name = entry_topic(entry);
		topics[count].partitions = &partitions[count];
		topics[count].partitions_count = 1;
		count++;
	}
	request->replica_id = -1; /* as a consumer: up to the high watermark */
	request->topics = topics;
	request->topics_count = count;
	return (true);
}

/* False: nothing is under way, and nothing more will be in this round. */
static bool
leader_ask(struct task *t, struct ends_leader *leader)
{
	struct list_offsets_request request;
	struct peer *peer;

	if (leader->entries == NULL)
		return (false);
	arena_reset(&leader->arena); /* of one that was not sent */
	peer = link_peer(&leader->connection, task_loop(t), leader->broker);
	if (peer == NULL || !leader_build(leader, &request)) {
		leader->entries = NULL;
		return (false);
	}
	wire_init(&message_list_offsets_response, &leader->response);
	leader->call = (struct peer_call){
		.task = task_ref(t),
		.arena = &leader->arena,
		.response = &leader->response,
	};
	leader->calling = peer_send(peer, &leader->call, API_LIST_OFFSETS,
	    LIST_OFFSETS_VERSION, &request) == WIRE_OK;
	if (!leader->calling)
		leader->entries = NULL;
	return (leader->calling);
}

static void
ends_tell(struct ends *ends, struct slice topic,
    const struct list_offsets_response_partition *answer)
{
	uint8_t key[REPLICA_KEY_MAX];
	const size_t length = replica_make_key(topic, answer->partition_index,
	    key);
	struct ends_entry *entry;

	if (length == 0 || answer->error_code != ERR_NONE || answer->offset < 0)
		return;
	lock_take(&ends->lock);
	entry = ends_find(ends, key, length);
	if (entry != NULL) {
		entry->told = true;
		entry->told_ms = replicas_now_ms(ends->replicas);
		entry->end = answer->offset;
	}
	lock_release(&ends->lock);
}

static void
leader_answered(struct ends *ends, struct ends_leader *leader)
{
	const struct list_offsets_response *r = &leader->response;

	if (leader->call.error != PEER_OK) {
		leader->entries = NULL;
		leader_end_call(leader);
		link_close(&leader->connection);
		return;
	}
	for (int32_t i = 0; i < r->topics_count; i++)
		for (int32_t j = 0; j < r->topics[i].partitions_count; j++)
			ends_tell(ends, r->topics[i].name,
			    &r->topics[i].partitions[j]);
	leader_end_call(leader);
}

static enum verdict
ends_ask(struct task *t)
{
	struct ends *ends = ends_of(t);
	bool waits = false;

	for (struct ends_leader *each = ends->leaders; each != NULL;
	    each = each->next) {
		if (each->calling && each->call.done)
			leader_answered(ends, each);
		if (each->calling || leader_ask(t, each))
			waits = true;
	}
	return (waits ? STEP_WAIT : task_next(t, ends_pause));
}

static enum verdict
ends_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, ends_round) : STEP_WAIT);
}
