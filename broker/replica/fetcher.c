/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task of one fetcher: one Fetch after the other from one leader.
 *
 *	  +-----------------------------------------------------------+
 *	  v                                                           |
 *	gather --nothing to fetch--> wait for an order, a worker, time |
 *	  |  \--some are out of range--> range_ask, ranged (the same) -+
 *	  |                                                            |
 *	  +--request--> answered --each partition: following_take()----+
 *	                   \--failed: pause (replica.fetch.backoff.ms)-+
 */
#include "replica/fetcher_int.h"

#include <inttypes.h>

#include "base/mem.h"
#include "config/options.h"

static task_step fetcher_answered, fetcher_pause;

const struct task_class fetcher_class = {
	.name = "fetcher",
	.state_size = sizeof(struct fetcher *),
};

struct fetcher *
fetcher_of(struct task *task)
{
	return (*(struct fetcher **)task_state(task));
}

int64_t
fetcher_backoff_ns(const struct fetcher *fetcher)
{
	const struct replica_options *options =
	    fetcher->fetchers->replicas->setup.options;

	return ((int64_t)options->fetch_backoff_ms * NANOS_PER_MILLI);
}

void
fetcher_end_call(struct fetcher *fetcher)
{
	if (fetcher->calling)
		peer_call_fini(&fetcher->call);
	fetcher->calling = false;
	arena_reset(&fetcher->arena);
}

/* --- followings ----------------------------------------------------------- */

void
following_complain(struct following *f, const char *what, enum error error)
{
	if (f->complained)
		return;
	f->complained = true;
	diag_warn(f->fetcher->fetchers->replicas->setup.diag, replica,
	    "partition=%s/%d leader=%d epoch=%d %s error=%s; again until it "
	    "succeeds or another leads", f->replica->topic,
	    (int)f->replica->partition, (int)f->fetcher->leader,
	    (int)f->leader_epoch, what, error_name(error));
}

void
following_pause(struct following *f)
{
	f->state = FOLLOWING_PAUSED;
	f->resume_ns = loop_now_ns(f->fetcher->loop) +
	    fetcher_backoff_ns(f->fetcher);
}

void
following_fail(struct following *f, const char *why)
{
	f->state = FOLLOWING_FAILED;
	if (atomic_load(&f->over))
		return;
	atomic_store(&f->replica->fetch_lag, FETCH_LAG_FAILED);
	diag_error(f->fetcher->fetchers->replicas->setup.diag, replica,
	    "partition=%s/%d leader=%d epoch=%d is not followed any more: %s; "
	    "until the controller names another epoch", f->replica->topic,
	    (int)f->replica->partition, (int)f->fetcher->leader,
	    (int)f->leader_epoch, why);
}

/* --- gather --------------------------------------------------------------- */

/* Those that an order ended go, once the session does not have them. */
static void
fetcher_sweep(struct fetcher *fetcher)
{
	int64_t now_ns = loop_now_ns(fetcher->loop);

	HASH_EACH(node, &fetcher->table) {
		struct following *f = container_of(node, struct following,
		    node);

		if (f->state == FOLLOWING_PAUSED && f->resume_ns <= now_ns)
			f->state = FOLLOWING_FETCHES;
		if (f->state == FOLLOWING_FETCHES &&
		    replica_fetches_later(f->replica))
			following_pause(f);
		if (!atomic_load(&f->over) || f->in_session)
			continue;
		f->in_table = false;
		hash_remove(&fetcher->table, node);
		following_unref(f);
		fetcher->table_changed = true;
	}
}

/* How long until one that pauses goes on; -1: none does. */
static int64_t
fetcher_next_resume(const struct fetcher *fetcher)
{
	int64_t next_ns = INT64_MAX;

	HASH_EACH(node, &fetcher->table) {
		const struct following *f = container_of(node,
		    struct following, node);

		if (f->state == FOLLOWING_PAUSED && f->resume_ns < next_ns)
			next_ns = f->resume_ns;
	}
	if (next_ns == INT64_MAX)
		return (-1);
	return (next_ns - loop_now_ns(fetcher->loop));
}

static bool
fetcher_all_over(const struct fetcher *fetcher)
{
	HASH_EACH(node, &fetcher->table)
		if (!atomic_load(&container_of(node, struct following,
			node)->over))
			return (false);
	return (true);
}

static enum verdict
fetcher_idle(struct task *t, struct fetcher *fetcher)
{
	int64_t pause_ns = fetcher_next_resume(fetcher);

	if (fetcher_all_over(fetcher)) {
		link_close(&fetcher->connection);
		fetcher_session_lost(fetcher);
		fetcher_sweep(fetcher);
		fetcher->complained = false;
	}
	if (pause_ns >= 0)
		task_sleep(t, pause_ns);
	return (STEP_WAIT);
}

/* Nothing can be asked: all wait. */
static enum verdict
fetcher_retry(struct task *t, const char *why)
{
	struct fetcher *fetcher = fetcher_of(t);

	if (!fetcher->complained)
		diag_warn(fetcher->fetchers->replicas->setup.diag, replica,
		    "leader=%d fetcher=%d cannot fetch: %s; again until it can",
		    (int)fetcher->leader, (int)fetcher->number, why);
	fetcher->complained = true;
	fetcher_end_call(fetcher);
	task_sleep(t, fetcher_backoff_ns(fetcher));
	return (task_next(t, fetcher_pause));
}

static enum verdict
fetcher_pause(struct task *t)
{
	/* Those that follow it no more do not wait for that. */
	if (!task_slept(t) && !fetcher_all_over(fetcher_of(t)))
		return (STEP_WAIT);
	return (task_next(t, fetcher_gather));
}

enum verdict
fetcher_gather(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);
	struct fetch_request request;
	struct peer *peer;
	int version;

	fetcher_end_call(fetcher);
	fetcher_sweep(fetcher);
	if (fetcher_asks(fetcher))
		return (task_next(t, fetcher_range_ask));
	if (fetcher_wanted(fetcher) == 0)
		return (fetcher_idle(t, fetcher));
	peer = link_peer(&fetcher->connection, fetcher->loop,
	    fetcher->leader);
	if (peer == NULL)
		return (fetcher_retry(t, "it is not among the live brokers"));
	fetcher_sort(fetcher);
	version = fetcher_build(fetcher, &request);
	if (version < 0)
		return (fetcher_retry(t, "memory was refused"));
	wire_init(&message_fetch_response, &fetcher->response.fetch);
	fetcher->call = (struct peer_call){
		.task = task_ref(t),
		.arena = &fetcher->arena,
		.response = &fetcher->response.fetch,
	};
	if (peer_send(peer, &fetcher->call, API_FETCH, version, &request) !=
	    WIRE_OK) {
		fetcher_session_lost(fetcher);
		return (fetcher_retry(t, "the request cannot be encoded"));
	}
	fetcher->calling = true;
	return (task_next(t, fetcher_answered));
}

/* --- answers -------------------------------------------------------------- */

static struct following *
fetcher_find(struct fetcher *fetcher, const struct fetch_response_topic *topic,
    int32_t partition)
{
	struct slice name = topic->topic;
	struct hash_node *node;
	struct following *f;
	uint8_t key[REPLICA_KEY_MAX];
	size_t length;

	if (fetcher->request_version > 12) {
		const struct cluster_topic *known = image_topic_by_id(
		    cluster_image(
			fetcher->fetchers->replicas->setup.cluster),
		    topic->topic_id);

		if (known == NULL)
			return (NULL);
		name = slice_of(known->name, known->name_length);
	}
	length = replica_make_key(name, partition, key);
	node = length == 0 ? NULL : hash_find(&fetcher->table, key, length);
	if (node == NULL)
		return (NULL);
	f = container_of(node, struct following, node);
	return (fetcher->request_version > 12 &&
	    !uuid_equal(f->topic_id, topic->topic_id) ? NULL : f);
}

/* An answer counts only for what was asked, and of who is still asking. */
static void
fetcher_take_all(struct fetcher *fetcher)
{
	const struct fetch_response *response = &fetcher->response.fetch;

	for (int32_t i = 0; i < response->responses_count; i++) {
		const struct fetch_response_topic *topic =
		    &response->responses[i];

		for (int32_t j = 0; j < topic->partitions_count; j++) {
			const struct fetch_response_partition *answer =
			    &topic->partitions[j];
			struct following *f = fetcher_find(fetcher, topic,
			    answer->partition_index);

			if (f == NULL || !f->asked || atomic_load(&f->over) ||
			    f->state != FOLLOWING_FETCHES)
				continue;
			f->asked = false;
			following_take(f, answer);
		}
	}
}

static enum verdict
fetcher_answered(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);
	bool whole = fetcher->session_epoch == 0;

	if (!fetcher->call.done)
		return (STEP_WAIT);
	if (fetcher->call.error != PEER_OK) {
		enum peer_error error = fetcher->call.error;

		fetcher_session_lost(fetcher);
		fetcher_end_call(fetcher);
		/* It may have come back under another address. */
		link_close(&fetcher->connection);
		return (fetcher_retry(t, peer_error_name(error)));
	}
	if (!fetcher_session_answered(fetcher, &fetcher->response.fetch)) {
		if (whole)
			return (fetcher_retry(t, error_name(
			    fetcher->response.fetch.error_code)));
		return (task_next(t, fetcher_gather));
	}
	if (fetcher->complained)
		diag_info(fetcher->fetchers->replicas->setup.diag, replica,
		    "leader=%d fetcher=%d fetches again",
		    (int)fetcher->leader, (int)fetcher->number);
	fetcher->complained = false;
	fetcher_take_all(fetcher);
	return (task_next(t, fetcher_gather));
}
