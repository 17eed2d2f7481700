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

/* Also where replica.fetch.backoff.ms is 0: nobody asks who is dead, or what
 * has failed, without end. */
#define REST_MS ((int64_t)20)

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

	return (options->fetch_backoff_ms <= REST_MS ?
		    REST_MS * NANOS_PER_MILLI :
		    (int64_t)options->fetch_backoff_ms * NANOS_PER_MILLI);
}

void
fetcher_end_call(struct fetcher *fetcher)
{
	if (fetcher->calling)
		peer_call_fini(&fetcher->call);
	fetcher->calling = false;
	/* Without its answer. */
	if (fetcher->fetching) {
		fetcher->fetching = false;
		fetcher_session_lost(fetcher);
	}
	arena_reset(&fetcher->arena);
}

/* --- followings ----------------------------------------------------------- */

void
following_complain(struct following *f, const char *what, enum error error)
{
	if (f->complaint == what && f->complaint_error == error)
		return;
	f->complaint = what;
	f->complaint_error = error;
	diag_warn(f->fetcher->fetchers->replicas->setup.diag, replica,
	    "partition=%s/%d leader=%d epoch=%d %s error=%s; again until it "
	    "succeeds or another leads", f->replica->topic,
	    (int)f->replica->partition, (int)f->fetcher->leader,
	    (int)f->leader_epoch, what, error_name(error));
}

void
following_pause_for(struct following *f, int64_t ns)
{
	f->renew = true;
	f->crowded = false;
	f->resume_ns = loop_now_ns(f->fetcher->loop) + ns;
	following_enter(f, FOLLOWING_PAUSED);
}

void
following_pause(struct following *f)
{
	following_pause_for(f, fetcher_backoff_ns(f->fetcher));
}

void
following_await_leader(struct following *f)
{
	const int64_t longest_ns = fetcher_backoff_ns(f->fetcher);

	f->refused_ns = f->refused_ns == 0 ? REST_MS * NANOS_PER_MILLI :
	    f->refused_ns < longest_ns / 2 ? 2 * f->refused_ns : longest_ns;
	following_pause_for(f, f->refused_ns);
}

void
following_fail(struct following *f, const char *why)
{
	following_enter(f, FOLLOWING_FAILED);
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

/* Nobody is left who follows. */
static bool
fetcher_all_over(struct fetcher *fetcher)
{
	fetcher_notice(fetcher);
	return (fetcher->counts[FOLLOWING_OVER] ==
	    hash_count(&fetcher->table));
}

/* No request will tell the leader's session whom to forget: it is given up, or
 * it would keep their replicas, and those their logs. */
static enum verdict
fetcher_idle(struct task *t, struct fetcher *fetcher)
{
	if (fetcher_all_over(fetcher)) {
		link_close(&fetcher->connection);
		fetcher->complained = false;
	}
	if (fetcher->counts[FOLLOWING_OVER] > 0) {
		fetcher_session_lost(fetcher);
		fetcher_notice(fetcher);
	}
	if (fetcher->counts[FOLLOWING_PAUSED] > 0)
		task_sleep(t, fetcher->next_resume_ns -
		    loop_now_ns(fetcher->loop));
	/* Some whose pause ended just now, or whose directories failed. */
	else if (fetcher->counts[FOLLOWING_FETCHES] > 0)
		task_sleep(t, fetcher_backoff_ns(fetcher));
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
	size_t kept;
	int version;

	fetcher_end_call(fetcher);
	fetcher_notice(fetcher);
	if (fetcher->counts[FOLLOWING_ASKS] > 0)
		return (task_next(t, fetcher_range_ask));
	if (fetcher->counts[FOLLOWING_FETCHES] == 0)
		return (fetcher_idle(t, fetcher));
	peer = link_peer(&fetcher->connection, fetcher->loop,
	    fetcher->leader);
	if (peer == NULL)
		return (fetcher_retry(t, "it is not among the live brokers"));
	version = fetcher_build(fetcher, &request, &kept);
	if (version < 0)
		return (fetcher_retry(t, "memory was refused"));
	/* They were ended just now, or their directories failed. */
	if (kept == 0)
		return (fetcher_idle(t, fetcher));
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
	fetcher->calling = fetcher->fetching = true;
	fetcher->session_broken = false;
	fetcher_sent(t);
	return (task_next(t, fetcher_answered));
}

/* --- a request under way -------------------------------------------------- */

/* Beyond the time that the leader may let a Fetch wait. */
#define LATE_NS ((int64_t)1000 * NANOS_PER_MILLI)

void
fetcher_sent(struct task *t)
{
	const struct replica_options *options =
	    fetcher_of(t)->fetchers->replicas->setup.options;

	task_sleep(t, (int64_t)options->fetch_wait_max_ms * NANOS_PER_MILLI +
	    LATE_NS);
}

static bool
fetcher_asked_lives(const struct fetcher *fetcher)
{
	if (fetcher->range_count > 0)
		return (fetcher_range_lives(fetcher));
	HASH_EACH(node, &fetcher->table) {
		const struct following *f = container_of(node,
		    struct following, node);

		if (f->asked && !atomic_load(&f->over))
			return (true);
	}
	return (false);
}

/*
 * A leader that died without a word leaves the request to its timeout, which is
 * long.  Its partitions have another leader then, or follow it in another
 * epoch, or the image does not have it any more.
 */
bool
fetcher_gives_up(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);

	if (!fetcher_all_over(fetcher)) {
		if (!task_slept(t))
			return (false);
		if (link_stands(&fetcher->connection, fetcher->leader) &&
		    fetcher_asked_lives(fetcher)) {
			fetcher_sent(t);
			return (false);
		}
		diag_info(fetcher->fetchers->replicas->setup.diag, replica,
		    "leader=%d fetcher=%d does not answer; what was asked for "
		    "is not wanted any more, or not from there",
		    (int)fetcher->leader, (int)fetcher->number);
	}
	fetcher_end_call(fetcher);
	link_close(&fetcher->connection);
	return (true);
}

/* --- answers -------------------------------------------------------------- */

/* An answer counts only for what was asked, and of who is still asking; what
 * does not is to be told anew.  False: it tells of a stranger. */
static bool
fetcher_take(struct fetcher *fetcher, const struct fetch_response_topic *topic)
{
	bool known = true;

	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const struct fetch_response_partition *answer =
		    &topic->partitions[i];
		struct following *f = fetcher->request_version > 12 ?
		    fetcher_find_by_id(fetcher, topic->topic_id,
			answer->partition_index) :
		    fetcher_find(fetcher, topic->topic,
			answer->partition_index);

		known &= f != NULL;
		if (f == NULL)
			continue;
		if (!f->asked || atomic_load(&f->over) ||
		    f->state != FOLLOWING_FETCHES ||
		    !following_take(f, answer))
			f->renew = true;
		f->asked = false;
	}
	return (known);
}

static bool
fetcher_take_all(struct fetcher *fetcher)
{
	const struct fetch_response *response = &fetcher->response.fetch;
	bool known = true;

	for (int32_t i = 0; i < response->responses_count; i++)
		known &= fetcher_take(fetcher, &response->responses[i]);
	return (known);
}

static enum verdict
fetcher_answered(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);
	bool whole = fetcher->session_epoch == 0;
	bool broken = fetcher->session_broken;

	if (!fetcher->call.done)
		return (fetcher_gives_up(t) ? task_next(t, fetcher_gather) :
					      STEP_WAIT);
	if (fetcher->call.error != PEER_OK) {
		enum peer_error error = fetcher->call.error;

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
	if (!fetcher_take_all(fetcher) && !broken) {
		fetcher_session_lost(fetcher);
		return (fetcher_retry(t, "it answers what was not asked"));
	}
	return (task_next(t, fetcher_gather));
}
