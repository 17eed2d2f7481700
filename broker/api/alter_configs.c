/* SPDX-License-Identifier: Apache-2.0 */
/* AlterConfigs: all of a resource's entries are replaced. */
#include "api/config_alter.h"

struct alter_configs {
	struct alter alter; /* first */
	struct alter_configs_request body;
};

static void
alter_configs_answer(struct alter *alter)
{
	struct alter_configs_response response;

	wire_init(&message_alter_configs_response, &response);
	response.responses = wire_array(&alter->request->arena,
	    alter_configs_response_resource_schema(), alter->count);
	if (response.responses == NULL) {
		api_refuse_memory(alter->apis, alter->request);
		return;
	}
	response.responses_count = (int32_t)alter->count;
	for (size_t i = 0; i < alter->count; i++) {
		const struct alter_resource *from = &alter->resources[i];

		response.responses[i].error_code = (int16_t)from->error;
		response.responses[i].error_message = from->message;
		response.responses[i].resource_type = from->type;
		response.responses[i].resource_name = from->name;
	}
	api_reply(alter->apis, alter->request, &response);
}

/* False: the arena refused. */
static bool
alter_configs_read(struct alter_configs *s)
{
	struct arena *arena = &s->alter.request->arena;

	s->alter.count = (size_t)s->body.resources_count;
	s->alter.resources = arena_array(arena, s->alter.count,
	    sizeof(*s->alter.resources));
	for (size_t i = 0; s->alter.resources != NULL && i < s->alter.count;
	     i++) {
		const struct alter_configs_request_resource *from =
		    &s->body.resources[i];
		struct alter_resource *to = &s->alter.resources[i];

		to->type = from->resource_type;
		to->name = from->resource_name;
		to->count = (size_t)from->configs_count;
		to->changes = arena_array(arena, to->count,
		    sizeof(*to->changes));
		if (to->changes == NULL)
			return (false);
		for (size_t j = 0; j < to->count; j++)
			to->changes[j] = (struct config_change){
				.name = from->configs[j].name,
				.value = from->configs[j].value,
				.operation = ALTER_SET,
			};
	}
	return (s->alter.resources != NULL);
}

void
api_alter_configs(struct apis *apis, struct request *request)
{
	struct alter_configs *s = arena_zalloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, &message_alter_configs_request, &s->body))
		return;
	s->alter.apis = apis;
	s->alter.request = request;
	s->alter.validate_only = s->body.validate_only;
	s->alter.answer = alter_configs_answer;
	if (alter_configs_read(s))
		alter_run(&s->alter);
	else
		api_refuse_memory(apis, request);
}
