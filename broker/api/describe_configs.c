/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeConfigs: values of topics and of this broker, where each comes from,
 * and what it means.  All texts come from config's rows.  Configs of topics are
 * read first, as Kafka does: who changed one through any broker reads it back
 * from every other, whose notification may still be under way.  Without a
 * ZooKeeper what is known here is told.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/config_alter.h"
#include "base/text.h"

/* So long may ZooKeeper take. */
#define PATIENCE_NS ((int64_t)5 * 1000000000)

#define SOURCE_LOGGER 6 /* ConfigSource: DYNAMIC_BROKER_LOGGER_CONFIG */

static task_step describe_learn, describe_learnt;

struct describe_state {
	struct apis *apis;
	struct request *request;
	struct describe_configs_request body;
	bool refused; /* the arena */
	struct configs_wish *wishes; /* of each resource; empty: no topic's */
	bool *known;                 /* likewise */
	struct configs_fetch *fetch;
};

static int
describe_key_order(const void *a, const void *b)
{
	return (slice_compare(*(const struct slice *)a,
	    *(const struct slice *)b));
}

/* All options are held against them: they may be many. */
static void
describe_sort_keys(const struct describe_configs_request_resource *asked)
{
	if (asked->configuration_keys_count > 1)
		qsort(asked->configuration_keys,
		    (size_t)asked->configuration_keys_count,
		    sizeof(asked->configuration_keys[0]), describe_key_order);
}

/* The keys are sorted. */
static bool
describe_wanted(const struct describe_configs_request_resource *asked,
    const char *name)
{
	const struct slice key = slice_of_text(name);

	/* Null or empty: all of them. */
	return (asked->configuration_keys_count == 0 ||
	    bsearch(&key, asked->configuration_keys,
		(size_t)asked->configuration_keys_count, sizeof(key),
		describe_key_order) != NULL);
}

static struct slice
describe_text(struct describe_state *s, const char *text)
{
	bool ok = true;
	struct slice copy = arena_slice_copy(&s->request->arena,
	    slice_of_text(text), &ok);

	s->refused |= !ok;
	return (copy);
}

static void
describe_synonyms(struct describe_state *s, const struct config_value *value,
    struct slice shown, struct describe_configs_response_config *out)
{
	if (!s->body.include_synonyms)
		return;
	out->synonyms = wire_array(&s->request->arena,
	    describe_configs_response_synonym_schema(), value->synonym_count);
	if (out->synonyms == NULL) {
		s->refused = true;
		return;
	}
	out->synonyms_count = (int32_t)value->synonym_count;
	for (size_t i = 0; i < value->synonym_count; i++) {
		const struct config_synonym *from = &value->synonyms[i];

		out->synonyms[i].name = describe_text(s, from->name);
		out->synonyms[i].value =
		    from->source == CONFIG_SOURCE_TOPIC ? shown :
		    describe_text(s, from->value);
		out->synonyms[i].source = (int8_t)from->source;
	}
}

/* Of a listener's own, and of names that nobody knows, Kafka has no text. */
static const char *
describe_prose(const struct config_value *value)
{
	return (value->option != NULL &&
	    strcmp(value->option->name, value->name) == 0 ?
	    value->option->prose : NULL);
}

static void
describe_value(struct describe_state *s, const struct config_value *value,
    struct describe_configs_response_config *out)
{
	struct slice shown = slice_of_text(config_value_text(value,
	    &s->request->arena));

	s->refused |= shown.data == NULL && value->value != NULL;
	out->name = describe_text(s, value->name);
	out->value = shown;
	out->read_only = value->read_only;
	out->is_sensitive = value->sensitive;
	out->config_source = (int8_t)value->source;
	out->config_type = value->option == NULL ? 0 :
	    (int8_t)value->option->type;
	out->documentation = s->body.include_documentation ?
	    slice_of_text(describe_prose(value)) : SLICE_NULL;
	describe_synonyms(s, value, shown, out);
}

/* Room for `count` rows; false: refused. */
static bool
describe_rows(struct describe_state *s, size_t count,
    struct describe_configs_response_result *out)
{
	out->configs = wire_array(&s->request->arena,
	    describe_configs_response_config_schema(), count);
	s->refused |= out->configs == NULL;
	return (out->configs != NULL);
}

/* All options, and whatever else is set. */
static void
describe_topic_values(struct describe_state *s,
    const struct describe_configs_request_resource *asked,
    const struct config_map *overrides,
    struct describe_configs_response_result *out)
{
	struct config_value value;

	if (!describe_rows(s, topic_option_count() +
		config_map_count(overrides), out))
		return;
	for (size_t i = 0; i < topic_option_count(); i++) {
		const struct option *option = topic_option_at(i);

		if (!describe_wanted(asked, option->name))
			continue;
		config_describe_topic(apis_config(s->apis), overrides, option,
		    &value);
		describe_value(s, &value,
		    &out->configs[out->configs_count++]);
	}
	CONFIG_MAP_EACH(entry, overrides) {
		if (topic_option_find(entry->name) != NULL ||
		    !describe_wanted(asked, entry->name))
			continue;
		config_describe_stranger(entry, &value);
		describe_value(s, &value,
		    &out->configs[out->configs_count++]);
	}
}

static void
describe_topic(struct describe_state *s, int32_t index,
    struct describe_configs_response_result *out)
{
	const struct describe_configs_request_resource *asked =
	    &s->body.resources[index];
	const struct cluster_image *image =
	    cluster_image(s->apis->setup.cluster);
	const struct cluster_topic *topic = image_topic(image,
	    asked->resource_name);
	const struct topic_config *overrides;
	const char *why;

	if (!topic_name_valid(asked->resource_name, &why)) {
		out->error_code = ERR_INVALID_TOPIC_EXCEPTION;
		out->error_message = slice_of_text(topic_name_complaint(
		    &s->request->arena, asked->resource_name, why));
		return;
	}
	if (topic == NULL || s->wishes[index].topic.length == 0) {
		out->error_code = ERR_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	if (!s->known[index]) {
		out->error_code = ERR_REQUEST_TIMED_OUT;
		out->error_message = SLICE_LITERAL(
		    "The topic's configs cannot be read from ZooKeeper now.");
		return;
	}
	overrides = configs_topic(s->apis->setup.configs, topic->name);
	if (overrides->refused) {
		out->error_code = ERR_UNKNOWN_SERVER_ERROR;
		out->error_message = SLICE_LITERAL(
		    "ZooKeeper does not let this broker read the topic's "
		    "configs.");
		topic_config_unref(overrides);
		return;
	}
	describe_topic_values(s, asked, overrides->map, out);
	topic_config_unref(overrides);
}

/* False: said. */
static bool
describe_own_id(struct describe_state *s, struct slice name, const char *or_not,
    struct describe_configs_response_result *out)
{
	int32_t id, mine = s->apis->setup.broker_id;

	out->error_code = ERR_INVALID_REQUEST;
	if (!text_to_int32(name, &id))
		out->error_message = slice_of_text(arena_printf(
		    &s->request->arena,
		    "Broker id must be an integer, but it is: %.*s",
		    SLICE_ARGS(name)));
	else if (id != mine)
		out->error_message = slice_of_text(arena_printf(
		    &s->request->arena,
		    "Unexpected broker id, expected %d%s but received %.*s",
		    (int)mine, or_not, SLICE_ARGS(name)));
	else
		out->error_code = ERR_NONE;
	return (out->error_code == ERR_NONE);
}

static void
describe_broker(struct describe_state *s,
    const struct describe_configs_request_resource *asked,
    struct describe_configs_response_result *out)
{
	/* "" asks for the cluster-wide dynamic defaults. */
	bool of_all = asked->resource_name.length == 0;
	const struct config *config = apis_config(s->apis);
	struct config_value value;
	const char **names;
	size_t count;

	if (!of_all && !describe_own_id(s, asked->resource_name,
		" or empty string,", out))
		return;
	names = config_names(config, of_all, &s->request->arena, &count);
	if (names == NULL || !describe_rows(s, count, out)) {
		s->refused = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!describe_wanted(asked, names[i]))
			continue;
		if (of_all)
			config_describe_default(config, names[i], &value);
		else
			config_describe_name(config, names[i], &value);
		describe_value(s, &value,
		    &out->configs[out->configs_count++]);
	}
}

static void
describe_loggers(struct describe_state *s,
    const struct describe_configs_request_resource *asked,
    struct describe_configs_response_result *out)
{
	const struct logger_row *rows;
	size_t count;

	if (asked->resource_name.length == 0) {
		out->error_code = ERR_INVALID_REQUEST;
		out->error_message = SLICE_LITERAL(
		    "Broker id must not be empty");
		return;
	}
	if (!describe_own_id(s, asked->resource_name, "", out))
		return;
	rows = loggers_rows(s->apis, &s->request->arena, &count);
	if (rows == NULL || !describe_rows(s, count, out)) {
		s->refused = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct describe_configs_response_config *row =
		    &out->configs[out->configs_count];

		if (!describe_wanted(asked, rows[i].name))
			continue;
		row->name = slice_of_text(rows[i].name);
		row->value = slice_of_text(rows[i].level);
		row->config_source = SOURCE_LOGGER;
		row->documentation = SLICE_EMPTY;
		out->configs_count++;
	}
}

static void
describe_resource(struct describe_state *s, int32_t index,
    struct describe_configs_response_result *out)
{
	const struct describe_configs_request_resource *asked =
	    &s->body.resources[index];

	out->resource_type = asked->resource_type;
	out->resource_name = asked->resource_name;
	out->error_message = SLICE_EMPTY;
	describe_sort_keys(asked);
	switch (asked->resource_type) {
	case RESOURCE_TOPIC:
		describe_topic(s, index, out);
		break;
	case RESOURCE_BROKER:
		describe_broker(s, asked, out);
		break;
	case RESOURCE_BROKER_LOGGER:
		describe_loggers(s, asked, out);
		break;
	case RESOURCE_CLIENT_METRICS:
		out->error_code = ERR_INVALID_REQUEST;
		out->error_message = asked->resource_name.length == 0 ?
		    SLICE_LITERAL("Client metrics subscription name must not "
			"be empty") :
		    SLICE_LITERAL("Config type client-metrics is only "
			"supported on KRaft clusters");
		break;
	}
}

/* One of another type, and Kafka answers none of them. */
static bool
describe_refused(const struct describe_state *s)
{
	for (int32_t i = 0; i < s->body.resources_count; i++)
		switch (s->body.resources[i].resource_type) {
		case RESOURCE_TOPIC:
		case RESOURCE_BROKER:
		case RESOURCE_BROKER_LOGGER:
		case RESOURCE_CLIENT_METRICS:
			break;
		default:
			return (true);
		}
	return (false);
}

static void
describe_refuse(const struct describe_state *s, int32_t index,
    struct describe_configs_response_result *out)
{
	out->resource_type = s->body.resources[index].resource_type;
	out->resource_name = s->body.resources[index].resource_name;
	out->error_code = ERR_INVALID_REQUEST;
	out->error_message = SLICE_LITERAL("This most likely occurs because of "
	    "a request being malformed by the client library or the message "
	    "was sent to an incompatible broker. See the broker logs for more "
	    "details.");
}

static void
describe_answer(struct describe_state *s)
{
	struct request *request = s->request;
	struct describe_configs_response response;
	bool refused = describe_refused(s);

	wire_init(&message_describe_configs_response, &response);
	response.results = wire_array(&request->arena,
	    describe_configs_response_result_schema(),
	    (size_t)s->body.resources_count);
	if (response.results == NULL) {
		api_refuse_memory(s->apis, request);
		return;
	}
	response.results_count = s->body.resources_count;
	for (int32_t i = 0; i < s->body.resources_count && !s->refused; i++)
		if (refused)
			describe_refuse(s, i, &response.results[i]);
		else
			describe_resource(s, i, &response.results[i]);
	if (s->refused)
		api_refuse_memory(s->apis, request);
	else
		api_reply(s->apis, request, &response);
}

/* --- what is not known yet ------------------------------------------------ */

static void
describe_home(struct api_away *away)
{
	describe_answer(away->state);
}

/* The topics among the resources; false: there are none. */
static bool
describe_wishes(struct describe_state *s)
{
	const struct cluster_image *image =
	    cluster_image(s->apis->setup.cluster);
	bool any = false;

	for (int32_t i = 0; i < s->body.resources_count; i++) {
		const struct describe_configs_request_resource *asked =
		    &s->body.resources[i];
		const struct cluster_topic *topic =
		    asked->resource_type == RESOURCE_TOPIC ?
		    image_topic(image, asked->resource_name) : NULL;

		s->wishes[i] = (struct configs_wish){ SLICE_EMPTY, UUID_ZERO };
		if (topic == NULL)
			continue;
		s->wishes[i] = (struct configs_wish){ asked->resource_name,
			topic->id };
		any = true;
	}
	return (any);
}

static enum verdict
describe_learn(struct task *t)
{
	struct describe_state *s = api_away_of(t)->state;

	for (int32_t i = 0; i < s->body.resources_count; i++)
		s->wishes[i].anew =
		    zk_state(s->apis->setup.zk) == ZK_CONNECTED;
	task_set_deadline(t, loop_now_ns(task_loop(t)) + PATIENCE_NS);
	s->fetch = configs_fetch(s->apis->setup.configs, s->wishes,
	    (size_t)s->body.resources_count, task_ref(t));
	return (task_next(t, describe_learnt));
}

static enum verdict
describe_learnt(struct task *t)
{
	struct describe_state *s = api_away_of(t)->state;
	bool done = configs_fetch_done(s->fetch), all;

	if (!done && !task_expired(t))
		return (STEP_WAIT);
	all = done && !configs_fetch_failed(s->fetch);
	for (int32_t i = 0; i < s->body.resources_count; i++)
		s->known[i] = s->wishes[i].topic.length > 0 && (all ||
		    configs_known(s->apis->setup.configs, s->wishes[i].topic,
			s->wishes[i].id));
	configs_fetch_free(&s->fetch);
	return (api_go_home(t));
}

void
api_describe_configs(struct apis *apis, struct request *request)
{
	struct describe_state *s = arena_zalloc(&request->arena, sizeof(*s));
	size_t count;

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	*s = (struct describe_state){ .apis = apis, .request = request };
	if (!api_decode(request, &message_describe_configs_request, &s->body))
		return;
	count = (size_t)s->body.resources_count;
	s->wishes = arena_array(&request->arena, count, sizeof(*s->wishes));
	s->known = arena_array(&request->arena, count, sizeof(*s->known));
	if (s->wishes == NULL || s->known == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	memset(s->known, 0, count * sizeof(*s->known));
	if (!describe_wishes(s)) {
		describe_answer(s);
		return;
	}
	(void)api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = describe_learn,
		.home = describe_home,
		.state = s,
	    });
}
