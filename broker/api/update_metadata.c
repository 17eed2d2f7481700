/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateMetadata: what the controller tells of the cluster.  Answered when all
 * loops see it, so that a client that was told so by the controller finds it.
 */
#include "api/api_int.h"

#include "replica/replica.h"

static task_step update_metadata_apply, update_metadata_swapped;

struct update_metadata_state {
	struct update_metadata_request body;
	struct update_metadata_response response;
	struct cluster_update *update;
};

static void
update_metadata_home(struct api_away *away)
{
	struct update_metadata_state *s = away->state;

	api_reply(away->apis, away->request, &s->response);
}

void
api_update_metadata(struct apis *apis, struct request *request)
{
	struct update_metadata_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));
	int64_t epoch = apis->setup.broker_epoch(apis->setup.broker_epoch_arg);

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_update_metadata_request, &s->body))
		return;
	wire_init(&message_update_metadata_response, &s->response);
	if (s->body.broker_epoch != -1 && s->body.broker_epoch < epoch)
		s->response.error_code = ERR_STALE_BROKER_EPOCH;
	else if (!replicas_accept_controller_epoch(apis->setup.replicas,
		     s->body.controller_epoch))
		s->response.error_code = ERR_STALE_CONTROLLER_EPOCH;
	if (s->response.error_code != ERR_NONE) {
		api_reply(apis, request, &s->response);
		return;
	}
	api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = update_metadata_apply,
		.home = update_metadata_home,
		.state = s,
	    });
}

static enum verdict
update_metadata_apply(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct update_metadata_state *s = away->state;

	s->update = cluster_update(away->apis->setup.cluster, &s->body,
	    task_ref(t));
	return (task_next(t, update_metadata_swapped));
}

static enum verdict
update_metadata_swapped(struct task *t)
{
	struct update_metadata_state *s = api_away_of(t)->state;

	if (!cluster_update_done(s->update))
		return (STEP_WAIT);
	cluster_update_free(&s->update);
	return (api_go_home(t));
}
