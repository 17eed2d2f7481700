/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/errors.h"
#include "base/text.h"
#include "tools/client.h"
#include "tools/console.h"

/* --- properties ----------------------------------------------------------- */

int
console_properties(const struct tool *tool, const struct args *args,
    const char *file, const char *many, struct config_map *map)
{
	const char *path = args_text(args, file);
	const char *text;
	size_t at = 0;

	if (path != NULL && !client_read_properties(tool, path, map))
		return (TOOL_FAILED);
	while ((text = args_next(args, many, &at)) != NULL) {
		struct slice value;
		const struct slice name =
		    text_cut(slice_of_text(text), '=', &value);

		/* Kafka takes a name alone as name=. */
		if (value.data == NULL)
			value = SLICE_EMPTY;
		if (name.length == 0 || !config_map_set(map, name, value, 0))
			return (tool_usage(tool,
			    "--%s wants name=value, not \"%s\"", many, text));
	}
	return (TOOL_OK);
}

void
console_merge(const struct args *args, const struct console_row *rows,
    size_t count, struct config_map *map)
{
	for (const struct console_row *row = rows; row < rows + count; row++) {
		const char *text = args_text(args, row->option);

		if (text != NULL && (args_has(args, row->option) ||
					config_map_find(map, row->property) ==
					    NULL))
			(void)config_map_set_text(map, row->property, text);
	}
}

int
console_texts_init(struct console_texts *texts, const struct tool *tool,
    const struct args *args, const char *option, const char *file)
{
	const char *path = args_text(args, file);
	const char *text;
	size_t at = 0;

	texts->args = args;
	texts->option = option;
	config_map_init(&texts->file);
	while ((text = args_next(args, option, &at)) != NULL)
		if (*text == '=' || *text == '\0')
			return (tool_usage(tool,
			    "--%s wants name=value, not \"%s\"", option,
			    text));
	if (path != NULL && !client_read_properties(tool, path, &texts->file))
		return (TOOL_FAILED);
	return (TOOL_OK);
}

void
console_texts_fini(struct console_texts *texts)
{
	config_map_fini(&texts->file);
}

const char *
console_text(const struct console_texts *texts, const char *name)
{
	const size_t length = strlen(name);
	const char *found = NULL;
	const char *text;
	size_t at = 0;

	while ((text = args_next(texts->args, texts->option, &at)) != NULL) {
		if (strncmp(text, name, length) != 0)
			continue;
		if (text[length] == '=')
			found = text + length + 1;
		else if (text[length] == '\0')
			found = "";
	}
	return (found != NULL ? found : config_map_get(&texts->file, name));
}

struct slice
console_text_or(const struct console_texts *texts, const char *name,
    const char *fallback)
{
	const char *text = console_text(texts, name);

	return (slice_of_text(text != NULL && *text != '\0' ? text
							    : fallback));
}

bool
console_flag(const struct console_texts *texts, const char *name,
    bool fallback)
{
	const char *text = console_text(texts, name);

	return (text == NULL ? fallback : strcasecmp(text, "true") == 0);
}

int
console_group(const struct tool *tool, const struct args *args,
    struct config_map *map, bool *group)
{
	const char *wanted = args_text(args, "group");
	const char *other = config_map_get(map, "group.id");

	*group = wanted != NULL || other != NULL;
	if (wanted != NULL && other != NULL && strcmp(wanted, other) != 0)
		return (tool_usage(tool,
		    "--group %s is another one than group.id=%s; name one",
		    wanted, other));
	if (wanted != NULL)
		(void)config_map_set_text(map, "group.id", wanted);
	return (TOOL_OK);
}

const char *
console_bootstrap(const struct tool *tool, const struct args *args,
    const char *other)
{
	const char *text = args_text(args, "bootstrap-server");

	if (text == NULL && other != NULL)
		text = args_text(args, other);
	if (text == NULL)
		tool_usage(tool, "--bootstrap-server host:port is needed");
	return (text);
}

/* --- Kafka's names and librdkafka's --------------------------------------- */

/* `theirs` NULL: without effect here. `refused`: why it cannot be left out. */
static const struct name_row {
	const char *kafka;
	const char *theirs;
	const char *refused;
} name_rows[] = {
	{ "buffer.memory", NULL, NULL },
	{ "max.block.ms", NULL, NULL },
	{ "key.serializer", NULL, NULL },
	{ "value.serializer", NULL, NULL },
	{ "key.deserializer", NULL, NULL },
	{ "value.deserializer", NULL, NULL },
	{ "max.poll.records", NULL, NULL },
	{ "partitioner.class", NULL, NULL },
	{ "default.api.timeout.ms", NULL, NULL },
	{ "max.request.size", "message.max.bytes", NULL },
	{ "send.buffer.bytes", "socket.send.buffer.bytes", NULL },
	{ "receive.buffer.bytes", "socket.receive.buffer.bytes", NULL },
	{ "fetch.max.wait.ms", "fetch.wait.max.ms", NULL },
	/* console_tls() sees to these. */
	{ "ssl.truststore.location", NULL, NULL },
	{ "ssl.truststore.certificates", NULL, NULL },
	{ "ssl.truststore.type", NULL, NULL },
	{ "ssl.truststore.password", NULL, NULL },
	{ "ssl.keystore.location", NULL, NULL },
	{ "ssl.keystore.key", NULL, NULL },
	{ "ssl.keystore.certificate.chain", NULL, NULL },
	{ "ssl.keystore.type", NULL, NULL },
	{ "ssl.keystore.password", NULL, NULL },
	{ "ssl.cipher.suites", NULL, NULL },
	{ "ssl.enabled.protocols", NULL, NULL },
	{ "ssl.endpoint.identification.algorithm", NULL, NULL },
	{ "ssl.protocol", NULL, NULL },
	{ "ssl.provider", NULL, NULL },
	{ "ssl.engine.factory.class", NULL, NULL },
	{ "ssl.keymanager.algorithm", NULL, NULL },
	{ "ssl.trustmanager.algorithm", NULL, NULL },
	{ "ssl.secure.random.implementation", NULL, NULL },
	{ "sasl.jaas.config", NULL, "use sasl.username and sasl.password" },
};

static const struct name_row *
name_find(const char *name)
{
	for (size_t i = 0; i < nelems(name_rows); i++)
		if (strcmp(name_rows[i].kafka, name) == 0)
			return (&name_rows[i]);
	return (NULL);
}

static int
conf_set(const struct tool *tool, rd_kafka_conf_t *conf,
    const struct config_entry *entry)
{
	const struct name_row *row = name_find(entry->name);
	const char *name = row == NULL ? entry->name : row->theirs;
	char why[256];

	if (row != NULL && row->refused != NULL)
		return (tool_usage(tool, "%s is not understood: %s",
		    entry->name, row->refused));
	if (name == NULL)
		return (TOOL_OK);
	switch (rd_kafka_conf_set(conf, name, entry->value, why,
	    sizeof(why))) {
	case RD_KAFKA_CONF_OK:
		return (TOOL_OK);
	case RD_KAFKA_CONF_UNKNOWN:
		return (tool_usage(tool, "there is no property %s",
		    entry->name));
	default:
		return (tool_usage(tool, "property %s=%s: %s", entry->name,
		    entry->value, why));
	}
}

static void
log_nothing(const rd_kafka_t *rk, int level, const char *facility,
    const char *text)
{
	/* What matters comes as errors. */
	(void)rk;
	(void)level;
	(void)facility;
	(void)text;
}

rd_kafka_conf_t *
console_conf(const struct tool *tool, const struct config_map *map,
    int *status)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_log_cb(conf, log_nothing);
	*status = console_tls(tool, map, conf);
	CONFIG_MAP_EACH(entry, map)
		if (*status == TOOL_OK)
			*status = conf_set(tool, conf, entry);
	if (*status == TOOL_OK)
		return (conf);
	rd_kafka_conf_destroy(conf);
	return (NULL);
}

void
console_producer_defaults(struct config_map *map)
{
	const char *acks = config_map_get(map, "acks");
	const char *retries = config_map_get(map, "retries");
	const bool all = acks != NULL &&
	    (strcmp(acks, "all") == 0 || strcmp(acks, "-1") == 0);

	if (config_map_find(map, "enable.idempotence") == NULL && all &&
	    (retries == NULL || strcmp(retries, "0") != 0))
		(void)config_map_set_text(map, "enable.idempotence", "true");
	if (config_map_find(map, "delivery.timeout.ms") == NULL)
		(void)config_map_set_text(map, "delivery.timeout.ms",
		    "120000");
	/* Keys go where Kafka's own clients put them. */
	if (config_map_find(map, "partitioner") == NULL)
		(void)config_map_set_text(map, "partitioner",
		    "murmur2_random");
}

/* --- errors --------------------------------------------------------------- */

const char *
console_error(rd_kafka_resp_err_t error)
{
	/* Positive ones are the protocol's. */
	return (error > 0 ? error_name((int)error)
			  : rd_kafka_err2str(error));
}

const char *
console_advice(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return ("; barnabas topics --list shows the topics");
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return ("; the topic's max.message.bytes is the limit");
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
		return ("; barnabas topics --describe shows who is in sync");
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return ("; this user may not use the topic");
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__TRANSPORT:
		return ("; are the brokers running and reachable?");
	case RD_KAFKA_RESP_ERR__SSL:
		return ("; ssl.truststore.location names whom to trust, "
			"ssl.keystore.location who we are");
	default:
		return ("");
	}
}

/* Of a handshake that fails no record tells but that it came too late. */
void
console_trouble(const struct tool *tool, rd_kafka_t *rk, int error,
    const char *reason, struct console_said *said)
{
	const bool untrusted = error == RD_KAFKA_RESP_ERR__SSL ||
	    error == RD_KAFKA_RESP_ERR__AUTHENTICATION;
	char text[512];

	if (error == RD_KAFKA_RESP_ERR__FATAL)
		tool_warn(tool, "%s", console_error(rd_kafka_fatal_error(rk,
		    text, sizeof(text))));
	if ((untrusted && !said->untrusted) ||
	    (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !said->down))
		tool_warn(tool, "%s%s", reason, console_advice(error));
	said->untrusted |= untrusted;
	said->down |= error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
}
