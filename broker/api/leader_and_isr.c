/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LeaderAndIsr: the controller gives partitions their leaders.  The configs of
 * topics that are new here are read first; the roles change on workers.
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
	if (!api_decode(request, &message_leader_and_isr_request, &s->body))
		return;
	wire_init(&message_leader_and_isr_response, &s->response);
	api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = leader_and_isr_configs,
		.home = leader_and_isr_home,
		.state = s,
	    });
}

/* The names of topics with a partition that is not hosted here yet. */
static size_t
leader_and_isr_new_topics(struct api_away *away, const char ***names)
{
	struct leader_and_isr_state *s = away->state;
	struct arena *arena = &away->request->arena;
	size_t room = (size_t)s->body.topic_states_count +
	    (size_t)s->body.ungrouped_partition_states_count;
	size_t count = 0;

	*names = arena_array(arena, room + 1, sizeof(**names));
	if (*names == NULL)
		return (0);
	for (int32_t i = 0; i < s->body.topic_states_count; i++) {
		const struct leader_and_isr_request_topic_state *topic =
		    &s->body.topic_states[i];

		for (int32_t j = 0; j < topic->partition_states_count; j++)
			if (topic->partition_states[j].is_new) {
				(*names)[count++] = arena_slice_text(arena,
				    topic->topic_name);
				break;
			}
	}
	for (int32_t i = 0; i < s->body.ungrouped_partition_states_count; i++)
		if (s->body.ungrouped_partition_states[i].is_new)
			(*names)[count++] = arena_slice_text(arena,
			    s->body.ungrouped_partition_states[i].topic_name);
	return (count);
}

static enum verdict
leader_and_isr_configs(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct leader_and_isr_state *s = away->state;
	const char **names;
	size_t count = leader_and_isr_new_topics(away, &names);

	if (count > 0)
		s->fetch = configs_fetch(away->apis->setup.configs, names,
		    count, task_ref(t));
	return (task_next(t, leader_and_isr_apply));
}

static enum verdict
leader_and_isr_apply(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct leader_and_isr_state *s = away->state;
	struct apis *apis = away->apis;

	if (s->fetch != NULL && !configs_fetch_done(s->fetch))
		return (STEP_WAIT);
	configs_fetch_free(&s->fetch);
	s->order = replicas_leader_and_isr(apis->setup.replicas, &s->body,
	    away->request->head.api_version,
	    apis->setup.broker_epoch(apis->setup.broker_epoch_arg),
	    &away->request->arena, &s->response, task_ref(t));
	return (task_next(t, leader_and_isr_applied));
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
