/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat: a member lives, and hears of a rebalance. */
#include "api/group_ask.h"

struct heartbeat_state {
	struct heartbeat_request body;
	struct heartbeat_response response;
};

static struct slice
heartbeat_group(const void *state, size_t part)
{
	const struct heartbeat_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
heartbeat_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct heartbeat_state *s = state;

	(void)part;
	return (group_heartbeat(groups, &s->body, ask));
}

void
api_heartbeat(struct apis *apis, struct request *request)
{
	struct heartbeat_state *s = arena_alloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_heartbeat_request, &s->body))
		return;
	wire_init(&message_heartbeat_response, &s->response);
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = 1,
	    .group_of = heartbeat_group,
	    .call = heartbeat_call,
	    .state = s,
	    .response = &s->response,
	});
}
