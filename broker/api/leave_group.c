/* SPDX-License-Identifier: Apache-2.0 */
/* LeaveGroup: members go, one or (from 3) several. */
#include "api/group_ask.h"

struct leave_group_state {
	struct leave_group_request body;
	struct leave_group_response response;
};

static struct slice
leave_group_group(const void *state, size_t part)
{
	const struct leave_group_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
leave_group_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct leave_group_state *s = state;

	(void)part;
	return (group_leave(groups, &s->body, ask));
}

void
api_leave_group(struct apis *apis, struct request *request)
{
	struct leave_group_state *s = arena_alloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_leave_group_request, &s->body))
		return;
	wire_init(&message_leave_group_response, &s->response);
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = 1,
	    .group_of = leave_group_group,
	    .call = leave_group_call,
	    .state = s,
	    .response = &s->response,
	});
}
