/* SPDX-License-Identifier: Apache-2.0 */
/* ListGroups: all groups that this broker coordinates, by their states or types
 * (KIP-518, KIP-848). Each loop tells of its own. */
#include "api/group_ask.h"

struct list_groups_state {
	struct arena *arena;
	size_t loops;
	struct list_groups_request body;
	struct list_groups_response *parts; /* one a loop */
	struct list_groups_response response;
};

static bool
list_groups_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct list_groups_state *s = state;

	ask->response = &s->parts[part];
	return (group_list(groups, &s->body, ask));
}

/* What loads still is missing, and the error tells. */
static bool
list_groups_finish(void *state)
{
	struct list_groups_state *s = state;
	struct list_groups_response *out = &s->response;
	size_t count = 0;

	for (size_t i = 0; i < s->loops; i++)
		count += (size_t)s->parts[i].groups_count;
	out->groups = wire_array(s->arena, list_groups_response_group_schema(),
	    count);
	if (out->groups == NULL)
		return (false);
	for (size_t i = 0; i < s->loops; i++) {
		const struct list_groups_response *part = &s->parts[i];

		for (int32_t j = 0; j < part->groups_count; j++)
			out->groups[out->groups_count++] = part->groups[j];
		if (part->error_code != ERR_NONE)
			out->error_code = part->error_code;
	}
	return (true);
}

void
api_list_groups(struct apis *apis, struct request *request)
{
	struct arena *arena = &request->arena;
	struct list_groups_state *s = arena_alloc(arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->arena = arena;
	s->loops = api_group_loops(apis);
	if (!api_decode(request, &message_list_groups_request, &s->body))
		return;
	wire_init(&message_list_groups_response, &s->response);
	s->parts = arena_array(arena, s->loops, sizeof(*s->parts));
	if (s->parts == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	for (size_t i = 0; i < s->loops; i++)
		wire_init(&message_list_groups_response, &s->parts[i]);
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = s->loops,
	    .call = list_groups_call,
	    .finish = list_groups_finish,
	    .state = s,
	    .response = &s->response,
	});
}
