/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateMetadata: what the controller tells of the cluster.  Answered when all
 * loops see it, so that a client that was told so by the controller finds it.
 */
#include "api/api_int.h"

#include "config/listener.h"
#include "group/group.h"
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

static bool
update_metadata_protocols_known(const struct update_metadata_request *body)
{
	bool known = true;

	for (int32_t i = 0; i < body->live_brokers_count; i++)
		for (int32_t j = 0; j < body->live_brokers[i].endpoints_count;
		    j++)
			known = known && security_protocol_known(
			    body->live_brokers[i].endpoints[j]
				.security_protocol);
	return (known);
}

void
api_update_metadata(struct apis *apis, struct request *request)
{
	struct update_metadata_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_update_metadata_request, &s->body))
		return;
	/* Versions 1 and 2 name listeners by their protocols; later ones only
	 * tell them. */
	if (request->head.api_version <= 2 &&
	    !update_metadata_protocols_known(&s->body)) {
		request_close(request, "malformed");
		return;
	}
	if (!api_order_counts(apis, request, s->body.broker_epoch,
		s->body.controller_epoch))
		return;
	wire_init(&message_update_metadata_response, &s->response);
	api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = update_metadata_apply,
		.home = update_metadata_home,
		.state = s,
	    });
}

/* Checked on the one loop where it is applied: of two controllers' requests
 * that come at once, on two loops, the older one must not be the last. */
static enum verdict
update_metadata_apply(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct update_metadata_state *s = away->state;

	s->response.error_code = (int16_t)api_check_epochs(away->apis,
	    s->body.broker_epoch, s->body.controller_epoch);
	if (s->response.error_code != ERR_NONE)
		return (api_go_home(t));
	s->update = cluster_update(away->apis->setup.cluster, &s->body,
	    task_ref(t));
	return (task_next(t, update_metadata_swapped));
}

static void
forget_if_gone(struct apis *apis, const struct cluster_image *image,
    struct slice topic)
{
	if (image_topic(image, topic) != NULL)
		return;
	configs_forget(apis->setup.configs, topic);
	groups_topic_deleted(apis->setup.groups, topic);
}

/* What is no topic any more has no config, and no group has read it: of what
 * was named, and is gone. */
static void
update_metadata_forget(struct apis *apis,
    const struct update_metadata_request *body)
{
	const struct cluster_image *image = cluster_image(apis->setup.cluster);

	for (int32_t i = 0; i < body->topic_states_count; i++)
		forget_if_gone(apis, image, body->topic_states[i].topic_name);
	/* before version 5 */
	for (int32_t i = 0; i < body->ungrouped_partition_states_count; i++)
		forget_if_gone(apis, image,
		    body->ungrouped_partition_states[i].topic_name);
	if (body->type == UPDATE_METADATA_FULL)
		configs_unknow_gone(apis->setup.configs, image);
}

static enum verdict
update_metadata_swapped(struct task *t)
{
	struct apis *apis = api_away_of(t)->apis;
	struct update_metadata_state *s = api_away_of(t)->state;

	if (!cluster_update_done(s->update))
		return (STEP_WAIT);
	if (cluster_update_failed(s->update))
		s->response.error_code = ERR_UNKNOWN_SERVER_ERROR;
	else
		update_metadata_forget(apis, &s->body);
	cluster_update_free(&s->update);
	return (api_go_home(t));
}
