/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeGroups: the state of groups, and their members. */
#include "api/group_ask.h"

struct describe_groups_state {
	int version;
	struct describe_groups_request body;
	struct describe_groups_response response;
};

static struct slice
describe_groups_group(const void *state, size_t part)
{
	const struct describe_groups_state *s = state;

	return (s->body.groups[part]);
}

static bool
describe_groups_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct describe_groups_state *s = state;
	struct describe_groups_response_group *out = &s->response.groups[part];

	(void)group_describe(groups, s->body.groups[part], out, ask);
	if (s->version >= 3 && s->body.include_authorized_operations &&
	    out->error_code == ERR_NONE)
		out->authorized_operations = API_GROUP_OPERATIONS;
	return (true);
}

void
api_describe_groups(struct apis *apis, struct request *request)
{
	struct arena *arena = &request->arena;
	struct describe_groups_state *s = arena_alloc(arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_describe_groups_request, &s->body))
		return;
	s->version = request->head.api_version;
	wire_init(&message_describe_groups_response, &s->response);
	s->response.groups = wire_array(arena,
	    describe_groups_response_group_schema(),
	    (size_t)s->body.groups_count);
	if (s->response.groups == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->response.groups_count = s->body.groups_count;
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = (size_t)s->body.groups_count,
	    .group_of = describe_groups_group,
	    .call = describe_groups_call,
	    .state = s,
	    .response = &s->response,
	});
}
