/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteGroups: groups without members go, with all that they committed. */
#include "api/group_ask.h"

#include "base/twins.h"

struct delete_groups_state {
	struct request *request;
	struct delete_groups_request body;
	struct delete_groups_response response;
};

static struct slice
delete_groups_group(const void *state, size_t part)
{
	const struct delete_groups_state *s = state;

	return (s->body.groups_names[part]);
}

static bool
delete_groups_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct delete_groups_state *s = state;

	return (group_delete(groups, s->body.groups_names[part],
	    &s->response.results[part], ask));
}

/* Each once, where it is named first. */
static bool
delete_groups_drop_twins(struct delete_groups_state *s)
{
	struct arena *arena = &s->request->arena;
	const size_t count = (size_t)s->body.groups_names_count;
	struct twin *twins = arena_array(arena, count, sizeof(*twins));
	const struct twin_ends *ends;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = s->body.groups_names[i] };
	ends = twins_find(arena, twins, count);
	s->body.groups_names_count = 0;
	for (size_t i = 0; ends != NULL && i < count; i++)
		if (ends[i].first == i)
			s->body.groups_names[s->body.groups_names_count++] =
			    s->body.groups_names[i];
	return (ends != NULL);
}

void
api_delete_groups(struct apis *apis, struct request *request)
{
	struct delete_groups_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->request = request;
	if (!api_decode(request, &message_delete_groups_request, &s->body))
		return;
	wire_init(&message_delete_groups_response, &s->response);
	if (delete_groups_drop_twins(s))
		s->response.results = wire_array(&request->arena,
		    delete_groups_response_group_schema(),
		    (size_t)s->body.groups_names_count);
	if (s->response.results == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->response.results_count = s->body.groups_names_count;
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = (size_t)s->body.groups_names_count,
	    .group_of = delete_groups_group,
	    .call = delete_groups_call,
	    .state = s,
	    .response = &s->response,
	});
}
