/* SPDX-License-Identifier: Apache-2.0 */
/* SyncGroup: answered when the leader's assignment is written. */
#include "api/group_ask.h"

struct sync_group_state {
	struct sync_group_request body;
	struct sync_group_response response;
};

static struct slice
sync_group_group(const void *state, size_t part)
{
	const struct sync_group_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
sync_group_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct sync_group_state *s = state;

	(void)part;
	return (group_sync(groups, &s->body, ask));
}

void
api_sync_group(struct apis *apis, struct request *request)
{
	struct sync_group_state *s = arena_alloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_sync_group_request, &s->body))
		return;
	wire_init(&message_sync_group_response, &s->response);
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = 1,
	    .group_of = sync_group_group,
	    .call = sync_group_call,
	    .state = s,
	    .response = &s->response,
	});
}
