/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a fetch session (KIP-227).  The leader remembers what it
 * was told of each partition; a request names what changed, and what is to be
 * left out.
 *
 *	   id, epoch         the next request
 *	   0, 0              all partitions; a session is wished for
 *	   x, n > 0          what changed since
 *	   x, 0              all; x ends (it is not known what x holds)
 *
 * What was told of a partition and not taken is told again only when the
 * session has forgotten the partition and gets it anew: one request forgets it
 * and does not wait, the next one names it.  When all are such, a new session
 * begins.
 *
 * Source: Kafka 3.9's FetchSessionHandler.
 */
#include "replica/fetcher_int.h"

#include "base/mem.h"
#include "config/options.h"

#define BUSY_WAIT_MS 10
#define THROTTLED_NS ((int64_t)100 * NANOS_PER_MILLI) /* between two looks */
#define FETCH_VERSION 17
#define FETCH_VERSION_NAMES 12 /* the last one that has names */

/* --- the session ---------------------------------------------------------- */

static void
session_forget_all(struct fetcher *fetcher)
{
	fetcher->ended = true;
	HASH_EACH(node, &fetcher->table)
		container_of(node, struct following, node)->in_session = false;
}

void
fetcher_session_lost(struct fetcher *fetcher)
{
	/* What is under way carries the session's epoch. */
	if (fetcher->fetching) {
		fetcher->session_broken = true;
		return;
	}
	fetcher->session_epoch = 0;
	session_forget_all(fetcher);
}

static void
session_begin_anew(struct fetcher *fetcher)
{
	fetcher->session_id = 0;
	fetcher_session_lost(fetcher);
}

bool
fetcher_session_answered(struct fetcher *fetcher,
    const struct fetch_response *response)
{
	bool broken = fetcher->session_broken;

	fetcher->fetching = false;
	if (response->error_code == ERR_FETCH_SESSION_ID_NOT_FOUND) {
		session_begin_anew(fetcher);
		return (false);
	}
	if (response->error_code != ERR_NONE) {
		fetcher_session_lost(fetcher);
		return (false);
	}
	/* Of a full one: the new session's id, 0 when there is no room. */
	if (fetcher->session_epoch == 0) {
		fetcher->session_id = response->session_id;
		if (response->session_id == 0 || broken)
			session_forget_all(fetcher);
		else
			fetcher->session_epoch = 1;
		return (true);
	}
	/* It was closed, as nothing was left in it, or is not ours. */
	if (response->session_id != fetcher->session_id) {
		session_begin_anew(fetcher);
		return (true);
	}
	if (broken) {
		fetcher_session_lost(fetcher);
		return (true);
	}
	fetcher->session_epoch = fetcher->session_epoch == INT32_MAX ? 1 :
	    fetcher->session_epoch + 1;
	return (true);
}

/* --- requests ------------------------------------------------------------- */

/* A request while it is built: topics grow behind each other. */
struct building {
	struct fetcher *fetcher;
	struct fetch_request *request;
	struct fetch_request_partition *partitions;
	size_t partition_count;
	int32_t *forgotten;
	size_t forgotten_count;
	int32_t max_bytes;
	int version;
	size_t left;    /* that were not looked at yet */
	size_t kept;    /* that are in the session after the request */
	bool renews;
	int64_t resume_ns; /* the first of those whom the leader refused */
	bool failed;    /* memory was refused */
};

static bool
same_topic(const struct building *b, struct slice name, struct uuid id,
    const struct following *f)
{
	return (b->version > FETCH_VERSION_NAMES ?
	    uuid_equal(id, f->topic_id) :
	    slice_equal_text(name, f->replica->topic));
}

/* Most requests name nobody: room for all who are left, with the first. */
static bool
build_room(struct building *b)
{
	struct arena *arena = &b->fetcher->arena;

	if (b->partitions == NULL) {
		b->request->topics = arena_array(arena, b->left,
		    sizeof(*b->request->topics));
		b->partitions = arena_array(arena, b->left,
		    sizeof(*b->partitions));
		b->failed |= b->request->topics == NULL ||
		    b->partitions == NULL;
	}
	return (!b->failed);
}

static bool
build_forgotten_room(struct building *b)
{
	struct arena *arena = &b->fetcher->arena;
	struct fetch_request *r = b->request;

	if (b->forgotten == NULL) {
		r->forgotten_topics_data = arena_array(arena, b->left,
		    sizeof(*r->forgotten_topics_data));
		b->forgotten = arena_array(arena, b->left,
		    sizeof(*b->forgotten));
		b->failed |= r->forgotten_topics_data == NULL ||
		    b->forgotten == NULL;
	}
	return (!b->failed);
}

static void
build_forgotten(struct building *b, const struct following *f)
{
	struct fetch_request *r = b->request;
	struct fetch_request_forgotten_topic *topic =
	    r->forgotten_topics_data_count == 0 ? NULL :
	    &r->forgotten_topics_data[r->forgotten_topics_data_count - 1];

	if (!build_forgotten_room(b))
		return;
	if (topic == NULL ||
	    !same_topic(b, topic->topic, topic->topic_id, f)) {
		topic = &r->forgotten_topics_data[
		    r->forgotten_topics_data_count++];
		topic->topic = slice_of_text(f->replica->topic);
		topic->topic_id = f->topic_id;
		topic->partitions = &b->forgotten[b->forgotten_count];
		topic->partitions_count = 0;
	}
	b->forgotten[b->forgotten_count++] = f->replica->partition;
	topic->partitions_count++;
}

static void
build_partition(struct building *b, const struct following *f)
{
	struct fetch_request *r = b->request;
	struct fetch_request_topic *topic = r->topics_count == 0 ? NULL :
	    &r->topics[r->topics_count - 1];
	struct fetch_request_partition *part;

	if (!build_room(b))
		return;
	part = &b->partitions[b->partition_count];
	if (topic == NULL ||
	    !same_topic(b, topic->topic, topic->topic_id, f)) {
		topic = &r->topics[r->topics_count++];
		topic->topic = slice_of_text(f->replica->topic);
		topic->topic_id = f->topic_id;
		topic->partitions = part;
		topic->partitions_count = 0;
	}
	b->partition_count++;
	topic->partitions_count++;
	part->partition = f->replica->partition;
	part->current_leader_epoch = f->leader_epoch;
	part->fetch_offset = f->told.fetch_offset;
	part->last_fetched_epoch = f->told.last_fetched_epoch;
	part->log_start_offset = f->told.log_start_offset;
	part->partition_max_bytes = b->max_bytes;
}

/* What must be done before it is asked for: then it is BUSY. */
static void
following_prepare(struct following *f, struct log *log)
{
	struct replica_view view;

	if (f->cut_first) {
		replica_view(f->replica, &view);
		f->cut_first = log_end_offset(log) > view.high_watermark;
	}
	if (f->cut_first) {
		following_cut(f, &(struct follow_step){ .what = FOLLOW_CUT,
		    .offset = view.high_watermark });
	} else if (f->sync_first) {
		f->sync_first = false;
		if (log_wants_flush(log))
			following_sync(f);
	}
}

static void
build_following(struct building *b, struct following *f)
{
	struct following_asked now;
	struct log *log = replica_log(f->replica);
	bool wanted, renews;

	if (f->state == FOLLOWING_FETCHES && replica_fetches_later(f->replica))
		following_pause_for(f, THROTTLED_NS);
	wanted = f->state == FOLLOWING_FETCHES && log != NULL &&
	    !atomic_load(&f->over);
	if (wanted) {
		following_prepare(f, log);
		wanted = f->state == FOLLOWING_FETCHES;
	}
	renews = wanted && f->in_session && f->renew;
	f->asked = wanted && !renews;
	f->renew = false;
	b->renews |= renews;
	if (!f->asked) {
		if (f->state == FOLLOWING_PAUSED && f->refused_ns > 0 &&
		    f->resume_ns < b->resume_ns)
			b->resume_ns = f->resume_ns;
		if (f->in_session)
			build_forgotten(b, f);
		f->in_session = false;
		b->fetcher->ended |= f->state == FOLLOWING_OVER;
		return;
	}
	b->kept++;
	now = (struct following_asked){
		.fetch_offset = log_end_offset(log),
		.log_start_offset = log_start_offset(log),
		.last_fetched_epoch = log_latest_epoch(log),
	};
	if (f->in_session && now.fetch_offset == f->told.fetch_offset &&
	    now.log_start_offset == f->told.log_start_offset &&
	    now.last_fetched_epoch == f->told.last_fetched_epoch)
		return;
	f->told = now;
	f->in_session = true;
	build_partition(b, f);
}

/* No more than may be copied, should all of it be for workers; but some. */
static int32_t
fetcher_room(const struct fetcher *fetcher,
    const struct replica_options *options)
{
	const int32_t all = options->fetch_response_max_bytes;
	const int32_t left = fetcher->copied_bytes < (size_t)all ?
	    all - (int32_t)fetcher->copied_bytes : 0;
	const int32_t least = options->fetch_max_bytes < all ?
	    options->fetch_max_bytes : all;

	return (left > least ? left : least);
}

static void
build_head(const struct fetcher *fetcher, struct fetch_request *r, int version)
{
	const struct fetchers *fetchers = fetcher->fetchers;
	const struct replicas_setup *setup = &fetchers->replicas->setup;
	int64_t epoch = fetchers->setup.broker_epoch(
	    fetchers->setup.broker_epoch_arg);

	if (version > FETCH_VERSION_NAMES) {
		r->replica_state.replica_id = setup->broker_id;
		r->replica_state.replica_epoch = epoch;
	} else {
		r->replica_id = setup->broker_id;
	}
	r->max_wait_ms = setup->options->fetch_wait_max_ms;
	r->min_bytes = setup->options->fetch_min_bytes;
	r->max_bytes = fetcher_room(fetcher, setup->options);
	r->session_id = fetcher->session_id;
	r->session_epoch = fetcher->session_epoch;
}

/* No longer than that. */
static void
build_wait(struct building *b, int64_t ms)
{
	if (b->request->max_wait_ms > ms)
		b->request->max_wait_ms = ms < 0 ? 0 : (int32_t)ms;
}

/* False: no memory. */
static bool
build_all(struct building *b)
{
	struct fetcher *fetcher = b->fetcher;
	size_t count = fetcher->order_count;

	wire_init(&message_fetch_request, b->request);
	b->partitions = NULL;
	b->forgotten = NULL;
	b->partition_count = b->forgotten_count = b->kept = 0;
	b->renews = false;
	b->resume_ns = INT64_MAX;
	build_head(fetcher, b->request, b->version);
	/* Without a session the first ones get the most: take turns. */
	for (b->left = count; b->left > 0 && !b->failed; b->left--)
		build_following(b, fetcher->order[(fetcher->first + count -
		    b->left) % count]);
	/* Who is forgotten now is to come back soon, and so is who is with a
	 * worker, or whom its leader refused: others wait for what it tells of
	 * its end. */
	if (b->renews)
		build_wait(b, 0);
	if (fetcher->counts[FOLLOWING_BUSY] > 0)
		build_wait(b, BUSY_WAIT_MS);
	if (b->resume_ns != INT64_MAX)
		build_wait(b, (b->resume_ns - loop_now_ns(fetcher->loop)) /
			NANOS_PER_MILLI + 1);
	return (!b->failed);
}

int
fetcher_build(struct fetcher *fetcher, struct fetch_request *request,
    size_t *kept)
{
	struct building b = {
		.fetcher = fetcher,
		.request = request,
		.max_bytes = fetcher->fetchers->replicas->setup.options->
		    fetch_max_bytes,
		/* By names as soon as one topic has no id (older ones in
		 * ZooKeeper). */
		.version = fetcher->nameless > 0 ? FETCH_VERSION_NAMES :
						   FETCH_VERSION,
	};

	fetcher_sort(fetcher);
	/* A session is by names or by ids. */
	if (fetcher->session_version != b.version)
		fetcher_session_lost(fetcher);
	(void)build_all(&b);
	/* Nothing of the session stays: another one, with all of them. */
	if (!b.failed && b.kept == 0) {
		fetcher_session_lost(fetcher);
		(void)build_all(&b);
	}
	*kept = b.kept;
	/* Some of them may have noted what will not be told. */
	if (b.failed) {
		fetcher_session_lost(fetcher);
		return (-1);
	}
	if (fetcher->session_epoch == 0 && fetcher->order_count > 0) {
		request->forgotten_topics_data_count = 0;
		fetcher->first = (fetcher->first + 1) % fetcher->order_count;
	}
	fetcher->request_version = fetcher->session_version = b.version;
	return (b.version);
}
