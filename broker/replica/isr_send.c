/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlterPartition: all that was proposed in one request, one request under way.
 * Topics that have no id go by their names, in requests of their own: those
 * name no broker epochs (KIP-903), and the others shall not do without.
 *
 *	next --queue is not empty--> answered --each: a worker takes it--> next
 *	  ^                              |
 *	  +--50 ms-- pause <--failed or refused as a whole: all of them again
 *
 * What a request does not answer stays in the queue.  The controller is the one
 * that the loop's image names.
 *
 * Source: Kafka 3.9's AlterPartitionManager.
 */
#include "replica/isr_propose_int.h"

#include <stdio.h>

#include "base/mem.h"
#include "config/options.h"

#define PAUSE_NS ((int64_t)50 * 1000000)
#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define ALTER_VERSION 3
#define ALTER_VERSION_NAMES 1 /* the last one that has topics' names */
/* In one request. */
#define PROPOSALS_MAX 1000

static task_step send_next, send_answered, send_pause;

static const struct task_class send_class = {
	.name = "in-sync replicas",
	.state_size = sizeof(struct isr_proposer *),
};

static struct isr_proposer *
proposer_of(struct task *t)
{
	return (*(struct isr_proposer **)task_state(t));
}

static void
send_setup(struct task *task, void *arg)
{
	*(struct isr_proposer **)task_state(task) = arg;
}

void
isr_send_start(struct isr_proposer *proposer)
{
	const struct replicas_setup *setup = &proposer->replicas->setup;

	proposer->connection = (struct link){
		.setup = &proposer->setup,
		.replicas = proposer->replicas,
		.listener = proposer->setup.control_listener,
		.tls = proposer->setup.control_tls,
		.request_timeout_ms =
		    setup->broker_options->controller.socket_timeout_ms,
		.response_bytes_max = ANSWER_BYTES_MAX,
	};
	(void)snprintf(proposer->connection.client_id,
	    sizeof(proposer->connection.client_id), "%d",
	    (int)setup->broker_id);
	proposer->task = task_ref(task_start(setup->loop, &send_class,
	    send_next, send_setup, proposer));
}

void
isr_send_wake(struct isr_proposer *proposer)
{
	struct task *task = task_of_ref(proposer->task);

	if (task != NULL)
		task_wake(task);
}

static void
send_end_call(struct isr_proposer *proposer)
{
	if (proposer->calling)
		peer_call_fini(&proposer->call);
	proposer->calling = false;
	arena_reset(&proposer->arena);
}

void
isr_send_stop(struct isr_proposer *proposer)
{
	struct task *task = task_of_ref(proposer->task);

	if (task != NULL)
		task_cancel(task);
	send_end_call(proposer);
	link_close(&proposer->connection);
}

/* --- the request ---------------------------------------------------------- */

static struct uuid
proposal_topic_id(const struct proposal *p)
{
	struct log *log = replica_log(p->replica);

	return (log == NULL ? UUID_ZERO : log_topic_id(log));
}

/* Those that count and go as the oldest of them does, up to a bound, go from
 * the queue to what is sent.  *next_ns: of none, when the first one may. */
static size_t
send_take(struct isr_proposer *proposer, int64_t *next_ns)
{
	int64_t now_ns = loop_now_ns(proposer->replicas->setup.loop);
	size_t count = 0;

	*next_ns = INT64_MAX;
	LIST_EACH(link, &proposer->queue) {
		struct proposal *p = list_entry(link, struct proposal, link);
		int version = uuid_is_zero(proposal_topic_id(p)) ?
		    ALTER_VERSION_NAMES : ALTER_VERSION;

		if (count == PROPOSALS_MAX)
			break;
		if (count > 0 && version != proposer->version)
			continue;
		if (p->again_ns > now_ns) {
			if (p->again_ns < *next_ns)
				*next_ns = p->again_ns;
			continue;
		}
		list_remove(&p->link);
		if (!proposal_stands(p)) {
			proposal_free(p);
			continue;
		}
		proposer->version = version;
		list_push_tail(&proposer->sent, &p->link);
		count++;
	}
	return (count);
}

static bool
send_build_members(struct isr_proposer *proposer, const struct proposal *p,
    struct alter_partition_request_partition *part)
{
	size_t count = (size_t)p->member_count;
	struct alter_partition_request_broker_state *states;
	int32_t *ids;

	if (proposer->version >= ALTER_VERSION) {
		states = arena_array(&proposer->arena, count, sizeof(*states));
		for (size_t i = 0; states != NULL && i < count; i++) {
			states[i].broker_id = p->members[i].broker;
			states[i].broker_epoch = p->members[i].broker_epoch;
		}
		part->new_isr_with_epochs = states;
		part->new_isr_with_epochs_count = p->member_count;
		return (states != NULL);
	}
	ids = arena_array(&proposer->arena, count, sizeof(*ids));
	for (size_t i = 0; ids != NULL && i < count; i++)
		ids[i] = p->members[i].broker;
	part->new_isr = ids;
	part->new_isr_count = p->member_count;
	return (ids != NULL);
}

static bool
send_build(struct isr_proposer *proposer, size_t count,
    struct alter_partition_request *request)
{
	const struct follow_setup *setup = &proposer->setup;
	struct alter_partition_request_topic *topics = arena_array(
	    &proposer->arena, count, sizeof(*topics));
	struct alter_partition_request_partition *parts = arena_array(
	    &proposer->arena, count, sizeof(*parts));
	bool good = topics != NULL && parts != NULL;
	size_t i = 0;

	wire_init(&message_alter_partition_request, request);
	LIST_EACH(link, &proposer->sent) {
		const struct proposal *p = list_entry(link, struct proposal,
		    link);

		if (!good)
			break;
		parts[i].partition_index = p->replica->partition;
		parts[i].leader_epoch = p->leader_epoch;
		parts[i].partition_epoch = p->partition_epoch;
		good = send_build_members(proposer, p, &parts[i]);
		topics[i].topic_name = slice_of_text(p->replica->topic);
		topics[i].topic_id = proposal_topic_id(p);
		topics[i].partitions = &parts[i];
		topics[i].partitions_count = 1;
		i++;
	}
	request->broker_id = proposer->replicas->setup.broker_id;
	request->broker_epoch = setup->broker_epoch(setup->broker_epoch_arg);
	request->topics = topics;
	request->topics_count = (int32_t)i;
	return (good);
}

static enum verdict
send_retry(struct task *t, const char *why)
{
	struct isr_proposer *proposer = proposer_of(t);

	if (!proposer->complained)
		diag_warn(proposer->replicas->setup.diag, replica,
		    "changes of in-sync replicas are not taken by the "
		    "controller: %s; again until they are", why);
	proposer->complained = true;
	send_end_call(proposer);
	/* Those that go another way have their turn before. */
	list_splice_tail(&proposer->queue, &proposer->sent);
	task_sleep(t, PAUSE_NS);
	return (task_next(t, send_pause));
}

static enum verdict
send_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, send_next) : STEP_WAIT);
}

static enum verdict
send_next(struct task *t)
{
	struct isr_proposer *proposer = proposer_of(t);
	const struct cluster_image *image;
	struct alter_partition_request request;
	struct peer *peer;
	int64_t next_ns;
	size_t count;

	send_end_call(proposer);
	count = send_take(proposer, &next_ns);
	if (count == 0) {
		if (next_ns != INT64_MAX)
			task_sleep(t, next_ns -
			    loop_now_ns(proposer->replicas->setup.loop));
		return (STEP_WAIT);
	}
	image = cluster_image(proposer->replicas->setup.cluster);
	peer = link_peer(&proposer->connection,
	    proposer->replicas->setup.loop, image->controller_id);
	if (peer == NULL)
		return (send_retry(t, "none is known"));
	if (!send_build(proposer, count, &request))
		return (send_retry(t, "memory was refused"));
	wire_init(&message_alter_partition_response, &proposer->response);
	proposer->call = (struct peer_call){
		.task = task_ref(t),
		.arena = &proposer->arena,
		.response = &proposer->response,
	};
	if (peer_send(peer, &proposer->call, API_ALTER_PARTITION,
		proposer->version, &request) != WIRE_OK)
		return (send_retry(t, "the request cannot be encoded"));
	proposer->calling = true;
	return (task_next(t, send_answered));
}

/* --- the answer ----------------------------------------------------------- */

static bool
answer_is_for(const struct isr_proposer *proposer,
    const struct alter_partition_response_topic *topic,
    const struct proposal *p)
{
	return (proposer->version > ALTER_VERSION_NAMES ?
	    uuid_equal(topic->topic_id, proposal_topic_id(p)) :
	    slice_equal_text(topic->topic_name, p->replica->topic));
}

static const struct alter_partition_response_partition *
answer_find(const struct isr_proposer *proposer, const struct proposal *p)
{
	const struct alter_partition_response *r = &proposer->response;

	for (int32_t i = 0; i < r->topics_count; i++) {
		const struct alter_partition_response_topic *topic =
		    &r->topics[i];

		for (int32_t j = 0; j < topic->partitions_count; j++)
			if (topic->partitions[j].partition_index ==
				p->replica->partition &&
			    answer_is_for(proposer, topic, p))
				return (&topic->partitions[j]);
	}
	return (NULL);
}

static enum verdict
send_answered(struct task *t)
{
	struct isr_proposer *proposer = proposer_of(t);
	const struct alter_partition_response_partition *answer;
	struct list *link, left;

	if (!proposer->call.done)
		return (STEP_WAIT);
	if (proposer->call.error != PEER_OK) {
		const char *why = peer_error_name(proposer->call.error);

		send_end_call(proposer);
		link_close(&proposer->connection);
		return (send_retry(t, why));
	}
	if (proposer->response.error_code != ERR_NONE)
		return (send_retry(t,
		    error_name(proposer->response.error_code)));
	proposer->complained = false;
	list_init(&left);
	while ((link = list_pop_head(&proposer->sent)) != NULL) {
		struct proposal *p = list_entry(link, struct proposal, link);

		answer = answer_find(proposer, p);
		if (answer == NULL)
			list_push_tail(&left, &p->link);
		else
			proposal_answered(p, answer);
	}
	if (list_empty(&left))
		return (task_next(t, send_next));
	list_splice_tail(&proposer->sent, &left);
	return (send_retry(t, "it does not answer all of them"));
}
