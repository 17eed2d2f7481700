/* SPDX-License-Identifier: Apache-2.0 */
/* /brokers/ids/N in all its versions, and /controller. */
#include "zkglue/znodes.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/text.h"
#include "zkglue/znodes_json_int.h"

/* --- writing -------------------------------------------------------------- */

static void
endpoint_put(struct buffer *out, const struct znode_endpoint *endpoint)
{
	struct buffer text = BUFFER_EMPTY;
	bool v6 = strchr(endpoint->host, ':') != NULL;

	buffer_printf(&text, "%s://%s%s%s:%" PRId32, endpoint->listener,
	    v6 ? "[" : "", endpoint->host, v6 ? "]" : "", endpoint->port);
	znode_put_string(out, buffer_text(&text));
	buffer_fini(&text);
}

/* What clients of 0.8 read: the first PLAINTEXT address, or none. */
static void
legacy_put(struct buffer *out, const struct znode_broker *broker)
{
	const char *host = NULL;
	int32_t port = -1;

	for (size_t i = 0; i < broker->endpoint_count; i++) {
		const struct znode_endpoint *e = broker->endpoints + i;

		if (strcmp(e->protocol, "PLAINTEXT") == 0) {
			host = e->host;
			port = e->port;
			break;
		}
	}
	buffer_printf(out, ",\"port\":%" PRId32 ",\"host\":", port);
	znode_put_string(out, host);
}

/* The keys in the order in which Kafka 3.9 happens to write them. */
void
znode_broker_encode(const struct znode_broker *broker, struct buffer *out)
{
	buffer_append_text(out,
	    "{\"features\":{},\"listener_security_protocol_map\":{");
	for (size_t i = 0; i < broker->endpoint_count; i++) {
		if (i > 0)
			buffer_append_text(out, ",");
		znode_put_string(out, broker->endpoints[i].listener);
		buffer_append_text(out, ":");
		znode_put_string(out, broker->endpoints[i].protocol);
	}
	buffer_append_text(out, "},\"endpoints\":[");
	for (size_t i = 0; i < broker->endpoint_count; i++) {
		if (i > 0)
			buffer_append_text(out, ",");
		endpoint_put(out, broker->endpoints + i);
	}
	buffer_append_text(out, "]");
	if (broker->rack != NULL) {
		buffer_append_text(out, ",\"rack\":");
		znode_put_string(out, broker->rack);
	}
	buffer_printf(out, ",\"jmx_port\":%" PRId32, broker->jmx_port);
	legacy_put(out, broker);
	buffer_printf(out, ",\"version\":5,\"timestamp\":\"%" PRId64 "\"}",
	    broker->timestamp_ms);
}

/* --- reading -------------------------------------------------------------- */

/* Listener names are upper case everywhere (ListenerName.normalised). */
static const char *
upper_copy(struct arena *arena, struct slice name)
{
	char *copy = arena_slice_text(arena, name);

	for (char *at = copy; at != NULL && *at != '\0'; at++)
		*at = (char)toupper((unsigned char)*at);
	return (copy);
}

static bool
host_valid(struct slice host)
{
	for (size_t i = 0; i < host.length; i++)
		if (!isalnum(host.data[i]) &&
		    (host.data[i] == '\0' ||
			strchr("-%._:", host.data[i]) == NULL))
			return (false);
	return (true);
}

/* LISTENER://host:port, LISTENER://[v6]:port */
static bool
endpoint_parse(struct slice text, struct arena *arena,
    struct znode_endpoint *out)
{
	const uint8_t *mark = memmem(text.data, text.length, "://", 3);
	const uint8_t *colon;
	struct slice host;
	size_t after;

	if (mark == NULL)
		return (false);
	out->listener = upper_copy(arena,
	    slice_of(text.data, (size_t)(mark - text.data)));
	host = slice_of(mark + 3,
	    text.length - (size_t)(mark - text.data) - 3);
	colon = host.length == 0 ? NULL
				 : memrchr(host.data, ':', host.length);
	if (colon == NULL)
		return (false);
	after = host.length - (size_t)(colon - host.data) - 1;
	if (!text_to_int32(slice_of(colon + 1, after), &out->port) ||
	    out->port < -1 || out->port > 65535)
		return (false);
	host.length = (size_t)(colon - host.data);
	if (host.length >= 2 && host.data[0] == '[' &&
	    host.data[host.length - 1] == ']')
		host = slice_of(host.data + 1, host.length - 2);
	if (!host_valid(host))
		return (false);
	out->host = arena_slice_text(arena, host);
	return (out->listener != NULL && out->host != NULL);
}

/* Before version 4 a listener's name was its protocol's. */
static bool
protocol_find(const json_t *map, struct arena *arena,
    struct znode_endpoint *endpoint)
{
	const char *name;
	json_t *value;

	endpoint->protocol = endpoint->listener;
	if (map == NULL || json_is_null(map))
		return (true);
	if (!json_is_object(map))
		return (false);
	json_object_foreach((json_t *)(uintptr_t)map, name, value) {
		if (strcasecmp(name, endpoint->listener) != 0)
			continue;
		if (!json_is_string(value))
			return (false);
		endpoint->protocol = arena_strdup(arena,
		    json_string_value(value));
		return (endpoint->protocol != NULL);
	}
	return (false);
}

static bool
endpoints_read(const json_t *object, struct arena *arena,
    struct znode_broker *out)
{
	const json_t *list = json_object_get(object, "endpoints");
	const json_t *map =
	    json_object_get(object, "listener_security_protocol_map");
	size_t count = json_array_size(list);

	if (!json_is_array(list))
		return (false);
	out->endpoints = arena_array(arena, count, sizeof(*out->endpoints));
	if (out->endpoints == NULL)
		return (false);
	out->endpoint_count = count;
	for (size_t i = 0; i < count; i++) {
		const json_t *text = json_array_get(list, i);

		if (!json_is_string(text) ||
		    !endpoint_parse(slice_of(json_string_value(text),
			json_string_length(text)), arena,
			out->endpoints + i) ||
		    !protocol_find(map, arena, out->endpoints + i))
			return (false);
	}
	return (true);
}

/* Version 1 knew one address, in plain text. */
static bool
address_read(const json_t *object, struct arena *arena,
    struct znode_broker *out)
{
	out->endpoints = arena_array(arena, 1, sizeof(*out->endpoints));
	if (out->endpoints == NULL)
		return (false);
	out->endpoint_count = 1;
	out->endpoints[0].listener = "PLAINTEXT";
	out->endpoints[0].protocol = "PLAINTEXT";
	return (znode_json_text(object, "host", arena,
		    &out->endpoints[0].host) &&
	    znode_json_int32(object, "port", &out->endpoints[0].port));
}

bool
znode_broker_decode(struct slice json, struct arena *arena,
    struct znode_broker *out)
{
	json_t *object = znode_json_open(json);
	int32_t version;
	bool ok = false;

	*out = (struct znode_broker){ .jmx_port = -1 };
	if (object == NULL)
		return (false);
	if (znode_json_int32(object, "version", &version) && version >= 1)
		ok = version == 1 ? address_read(object, arena, out)
				  : endpoints_read(object, arena, out);
	if (ok) {
		znode_json_text(object, "rack", arena, &out->rack);
		znode_json_int64(object, "timestamp", &out->timestamp_ms);
		znode_json_int32(object, "jmx_port", &out->jmx_port);
	}
	json_decref(object);
	return (ok);
}

/* --- /controller ---------------------------------------------------------- */

void
znode_controller_encode(const struct znode_controller *controller,
    struct buffer *out)
{
	buffer_printf(out,
	    "{\"version\":2,\"brokerid\":%" PRId32 ",\"timestamp\":\"%" PRId64
	    "\",\"kraftControllerEpoch\":%" PRId32 "}",
	    controller->broker_id, controller->timestamp_ms,
	    controller->kraft_controller_epoch);
}

bool
znode_controller_decode(struct slice json, struct znode_controller *out)
{
	json_t *object = znode_json_open(json);
	bool ok;

	*out = (struct znode_controller){ .kraft_controller_epoch = -1 };
	if (object == NULL)
		return (false);
	ok = znode_json_int32(object, "brokerid", &out->broker_id);
	znode_json_int64(object, "timestamp", &out->timestamp_ms);
	znode_json_int32(object, "kraftControllerEpoch",
	    &out->kraft_controller_epoch);
	json_decref(object);
	return (ok);
}
