/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LeaderAndIsr: the controller gives partitions their leaders.  The configs of
 * topics that are not known here are read first, whether the controller calls
 * them new or not: nobody leads by another topic's min.insync.replicas.  The
 * epochs are looked at before that, for whoever it is that asks, and again
 * after it.  The roles change on workers.
 */
#include "api/api_int.h"

#include "replica/replica.h"

static task_step leader_and_isr_configs, leader_and_isr_apply,
    leader_and_isr_applied;

struct leader_and_isr_state {
	struct leader_and_isr_request body;
	struct leader_and_isr_response response;
	struct configs_fetch *fetch;
	struct replicas_order *order;
};

static void
leader_and_isr_home(struct api_away *away)
{
	struct leader_and_isr_state *s = away->state;

	api_reply(away->apis, away->request, &s->response);
}

void
api_leader_and_isr(struct apis *apis, struct request *request)
{
	struct leader_and_isr_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_leader_and_isr_request, &s->body) ||
	    !api_order_counts(apis, request, s->body.broker_epoch,
		s->body.controller_epoch))
		return;
	wire_init(&message_leader_and_isr_response, &s->response);
	api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = leader_and_isr_configs,
		.home = leader_and_isr_home,
		.state = s,
	    });
}

/* All topics that are named; NULL: no memory. */
static struct configs_wish *
leader_and_isr_wishes(struct api_away *away, size_t *count)
{
	const struct leader_and_isr_request *body =
	    &((struct leader_and_isr_state *)away->state)->body;
	size_t room = (size_t)body->topic_states_count +
	    (size_t)body->ungrouped_partition_states_count;
	struct configs_wish *wishes = arena_array(&away->request->arena,
	    room + 1, sizeof(*wishes));

	*count = 0;
	if (wishes == NULL)
		return (NULL);
	for (int32_t i = 0; i < body->topic_states_count; i++)
		wishes[(*count)++] = (struct configs_wish){
			body->topic_states[i].topic_name,
			body->topic_states[i].topic_id };
	for (int32_t i = 0; i < body->ungrouped_partition_states_count; i++) {
		struct slice name =
		    body->ungrouped_partition_states[i].topic_name;

		if (*count == 0 || !slice_equal(wishes[*count - 1].topic, name))
			wishes[(*count)++] = (struct configs_wish){ name,
				UUID_ZERO };
	}
	return (wishes);
}

static enum verdict
leader_and_isr_refuse(struct task *t, enum error error)
{
	struct leader_and_isr_state *s = api_away_of(t)->state;

	s->response.error_code = (int16_t)error;
	return (api_go_home(t));
}

static enum verdict
leader_and_isr_order(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct leader_and_isr_state *s = away->state;
	struct apis *apis = away->apis;

	s->order = replicas_leader_and_isr(apis->setup.replicas, &s->body,
	    away->request->head.api_version,
	    apis->setup.broker_epoch(apis->setup.broker_epoch_arg),
	    &away->request->arena, &s->response, task_ref(t));
	return (task_next(t, leader_and_isr_applied));
}

static enum verdict
leader_and_isr_configs(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct leader_and_isr_state *s = away->state;
	enum error error = api_check_epochs(away->apis, s->body.broker_epoch,
	    s->body.controller_epoch);
	const struct configs_wish *wishes;
	size_t count;

	/* What is stale stays so: the replicas refuse it, row for row. */
	if (error != ERR_NONE)
		return (leader_and_isr_order(t));
	wishes = leader_and_isr_wishes(away, &count);
	if (wishes == NULL)
		return (leader_and_isr_refuse(t, ERR_UNKNOWN_SERVER_ERROR));
	s->fetch = configs_fetch(away->apis->setup.configs, wishes, count,
	    task_ref(t));
	return (task_next(t, leader_and_isr_apply));
}

static enum verdict
leader_and_isr_apply(struct task *t)
{
	struct leader_and_isr_state *s = api_away_of(t)->state;
	bool failed;

	if (!configs_fetch_done(s->fetch))
		return (STEP_WAIT);
	failed = configs_fetch_failed(s->fetch);
	configs_fetch_free(&s->fetch);
	if (failed)
		return (leader_and_isr_refuse(t, ERR_BROKER_NOT_AVAILABLE));
	return (leader_and_isr_order(t));
}

static enum verdict
leader_and_isr_applied(struct task *t)
{
	struct leader_and_isr_state *s = api_away_of(t)->state;

	if (!replicas_order_done(s->order))
		return (STEP_WAIT);
	replicas_order_free(&s->order);
	return (api_go_home(t));
}
