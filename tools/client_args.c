/* SPDX-License-Identifier: Apache-2.0 */
/* A client as the user asked for it: --bootstrap-server, --command-config. */
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/text.h"
#include "config/properties.h"
#include "config/security.h"
#include "net/tls.h"
#include "tools/client.h"
#include "tools/read_file.h"
#include "tools/tool.h"

#define PROPERTIES_BYTES_MAX ((size_t)1 << 20)

bool
client_read_properties(const struct tool *tool, const char *path,
    struct config_map *map)
{
	struct properties_error error;
	struct buffer text = BUFFER_EMPTY;
	bool good = false;

	if (!read_file(path, PROPERTIES_BYTES_MAX, &text))
		tool_fail(tool, "%s: %s", path, strerror(errno));
	else if (!properties_read(buffer_slice(&text), map, &error))
		tool_fail(tool, "%s: line %d: %s", path, error.line,
		    error.message);
	else
		good = true;
	buffer_fini(&text);
	return (good);
}

/* TLS as the properties have it. False: said. */
static bool
tls_of_map(const struct tool *tool, const struct config_map *map,
    struct tls **out)
{
	struct security_options security;
	struct tls_report report;
	char error[OPTION_ERROR_SIZE];

	if (!security_of_client(map, &security, error)) {
		tool_fail(tool, "%s", error);
		return (false);
	}
	*out = tls_new(TLS_CLIENT, "client");
	if (!tls_load(*out, &security, false, &report)) {
		tool_fail(tool, "%s", report.error);
		tls_free(out);
		return (false);
	}
	if (report.warning[0] != '\0')
		tool_warn(tool, "%s", report.warning);
	return (true);
}

/* Fails closed: what this client does not speak is not left out. */
static bool
protocol_of_map(const struct tool *tool, const struct config_map *map,
    struct tls **tls)
{
	const char *protocol = config_map_get(map, "security.protocol");

	*tls = NULL;
	if (protocol == NULL || strcasecmp(protocol, "PLAINTEXT") == 0)
		return (true);
	if (strcasecmp(protocol, "SSL") == 0)
		return (tls_of_map(tool, map, tls));
	tool_fail(tool,
	    "security.protocol=%s: this version speaks PLAINTEXT and SSL "
	    "only; name such a listener",
	    protocol);
	return (false);
}

static int64_t
number_of(const struct tool *tool, const struct config_map *map,
    const char *name, int64_t fallback)
{
	const char *text = config_map_get(map, name);
	int64_t number;

	if (text == NULL)
		return (fallback);
	if (text_to_int64(slice_of_text(text), &number) && number > 0)
		return (number);
	tool_warn(tool, "%s=%s is no positive number; %lld is used instead",
	    name, text, (long long)fallback);
	return (fallback);
}

static void
client_notice(void *arg, const char *text)
{
	tool_warn(arg, "%s", text);
}

static struct client *
client_of_map(struct tool *tool, const char *bootstrap,
    const struct config_map *map, struct tls *tls, int *status)
{
	const char *client_id = config_map_get(map, "client.id");
	struct buffer why = BUFFER_EMPTY;
	const struct client_setup setup = {
		.bootstrap = bootstrap,
		.client_id = client_id != NULL ? client_id : "barnabas",
		.request_timeout_ms =
		    number_of(tool, map, "request.timeout.ms", 30000),
		.deadline_ms =
		    number_of(tool, map, "default.api.timeout.ms", 60000),
		.backoff_ms = number_of(tool, map, "retry.backoff.ms", 100),
		.tls = tls,
		.notice = client_notice,
		.notice_arg = tool,
	};
	struct client *client = client_new(&setup, &why);

	if (client == NULL)
		*status = tool_usage(tool, "%s", buffer_text(&why));
	buffer_fini(&why);
	return (client);
}

struct client *
client_of_args(struct tool *tool, const struct args *args, int *status)
{
	return (client_of_bootstrap(tool, args,
	    args_text(args, "bootstrap-server"), status));
}

struct client *
client_of_bootstrap(struct tool *tool, const struct args *args,
    const char *bootstrap, int *status)
{
	return (client_of_file(tool, bootstrap,
	    args_text(args, "command-config"), status));
}

struct client *
client_of_file(struct tool *tool, const char *bootstrap, const char *path,
    int *status)
{
	struct client *client = NULL;
	struct config_map map;
	struct tls *tls;

	if (bootstrap == NULL) {
		*status = tool_usage(tool,
		    "--bootstrap-server host:port is needed");
		return (NULL);
	}
	*status = TOOL_FAILED;
	config_map_init(&map);
	if ((path == NULL || client_read_properties(tool, path, &map)) &&
	    protocol_of_map(tool, &map, &tls))
		client = client_of_map(tool, bootstrap, &map, tls, status);
	config_map_fini(&map);
	return (client);
}
