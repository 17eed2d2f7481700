/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for librdkafka: Kafka's stores are read as our own client reads them, and
 * handed over in PEM; versions and suites, of which librdkafka takes some only,
 * are told to OpenSSL.  librdkafka's own names (ssl.ca.location, ...) pass by.
 */
#include <string.h>

#include "base/check.h"
#include "config/security.h"
#include "net/tls.h"
#include "tools/console.h"

/* Any of these, and the stores are ours to read. */
static const char *const store_names[] = {
	"ssl.truststore.location", "ssl.truststore.certificates",
	"ssl.keystore.location", "ssl.keystore.key",
	"ssl.keystore.certificate.chain",
};
/* And these OpenSSL's. */
static const char *const rule_names[] = {
	"ssl.cipher.suites", "ssl.enabled.protocols",
};

static bool
has_any(const struct config_map *map, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (config_map_get(map, names[i]) != NULL)
			return (true);
	return (false);
}

static int
set(const struct tool *tool, rd_kafka_conf_t *conf, const char *name,
    struct buffer *value)
{
	char why[256];

	if (value->length == 0 || rd_kafka_conf_set(conf, name,
		buffer_text(value), why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return (TOOL_OK);
	return (tool_usage(tool, "property %s: %s", name, why));
}

static int
set_stores(const struct tool *tool, rd_kafka_conf_t *conf,
    const struct security_options *security)
{
	struct tls_report report;
	struct tls_pem pem;
	int status;

	if (tls_export(security, &pem, &report)) {
		status = set(tool, conf, "ssl.ca.pem", &pem.trusted);
		if (status == TOOL_OK)
			status = set(tool, conf, "ssl.certificate.pem",
			    &pem.certificates);
		if (status == TOOL_OK)
			status = set(tool, conf, "ssl.key.pem", &pem.key);
	} else {
		tool_fail(tool, "%s", report.error);
		status = TOOL_FAILED;
	}
	tls_pem_fini(&pem);
	return (status);
}

static int
set_identification(const struct tool *tool, const struct config_map *map,
    rd_kafka_conf_t *conf)
{
	static const char identify[] = "ssl.endpoint.identification.algorithm";
	const char *algorithm = config_map_get(map, identify);
	char why[256];

	if (algorithm != NULL && rd_kafka_conf_set(conf, identify,
		*algorithm == '\0' ? "none" : algorithm, why, sizeof(why)) !=
		RD_KAFKA_CONF_OK)
		return (tool_usage(tool, "property %s=%s: %s", identify,
		    algorithm, why));
	return (TOOL_OK);
}

int
console_tls(const struct tool *tool, const struct config_map *map,
    rd_kafka_conf_t *conf)
{
	struct security_options security;
	struct tls_report report;
	char error[OPTION_ERROR_SIZE];
	int status = set_identification(tool, map, conf);

	if (status != TOOL_OK)
		return (status);
	if (!security_of_client(map, &security, error))
		return (tool_usage(tool, "%s", error));
	if (has_any(map, store_names, nelems(store_names)))
		status = set_stores(tool, conf, &security);
	if (status == TOOL_OK && has_any(map, rule_names, nelems(rule_names)) &&
	    !tls_impose(&security, &report))
		status = tool_usage(tool, "%s", report.error);
	return (status);
}
