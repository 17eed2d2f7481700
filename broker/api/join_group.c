/* SPDX-License-Identifier: Apache-2.0 */
/* JoinGroup: answered when all members of the group have joined. */
#include "api/group_ask.h"

struct join_group_state {
	struct join_group_request body;
	struct join_group_response response;
};

static struct slice
join_group_group(const void *state, size_t part)
{
	const struct join_group_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
join_group_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct join_group_state *s = state;

	(void)part;
	return (group_join(groups, &s->body, ask));
}

void
api_join_group(struct apis *apis, struct request *request)
{
	struct join_group_state *s = arena_alloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_join_group_request, &s->body))
		return;
	wire_init(&message_join_group_response, &s->response);
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = 1,
	    .group_of = join_group_group,
	    .call = join_group_call,
	    .state = s,
	    .response = &s->response,
	    .needs_host = true,
	});
}
