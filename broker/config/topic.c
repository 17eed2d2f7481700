/* SPDX-License-Identifier: Apache-2.0 */
/* The options of topics; see topic.h. */
#include "config/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "config/options_int.h"

#define FROM(room, field, name_)                                              \
	.source = name_,                                                      \
	.source_offset = offsetof(struct broker_options, room.field)
#define OWN .source = NULL

static const struct option rows[] = {
#define TOPIC_OPTION(field_, name_, type_, valid_, default_, source_, status_, \
    prose_)                                                                   \
	{ .name = name_, .room = "topic", .type = OPTION_##type_,             \
		.offset = offsetof(struct topic_options, field_), valid_,     \
		default_, source_, status_, .prose = prose_ },
#include "config/topic_options.def"
#undef TOPIC_OPTION
};

size_t
topic_option_count(void)
{
	return (nelems(rows));
}

const struct option *
topic_option_at(size_t index)
{
	CHECK(index < nelems(rows));
	return (&rows[index]);
}

const struct option *
topic_option_find(const char *name)
{
	for (size_t i = 0; i < nelems(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return (&rows[i]);
	return (NULL);
}

static size_t
field_size(enum option_type type)
{
	switch (type) {
	case OPTION_BOOLEAN: return (sizeof(bool));
	case OPTION_INT: return (sizeof(int32_t));
	case OPTION_SHORT: return (sizeof(int16_t));
	case OPTION_LONG: return (sizeof(int64_t));
	case OPTION_DOUBLE: return (sizeof(double));
	default: return (sizeof(const char *));
	}
}

/* --- what counts ---------------------------------------------------------- */

static void
take_broker_option(const struct broker_options *broker,
    const struct option *option, struct topic_options *out)
{
	char error[OPTION_ERROR_SIZE];
	char *field = (char *)out + option->offset;

	if (option->source == NULL)
		CHECK(option_parse(option, option->fallback, field, error));
	else
		memcpy(field, (const char *)broker + option->source_offset,
		    field_size(option->type));
}

static void
derive_codec(struct topic_options *out)
{
	/* By the numbers in a batch's attributes. */
	static const char *const names[] = { "uncompressed", "gzip", "snappy",
		"lz4", "zstd" };
	const int levels[] = { 0, out->compression_gzip_level, 0,
		out->compression_lz4_level, out->compression_zstd_level };

	out->codec = -1;
	out->codec_level = 0;
	for (size_t i = 0; i < nelems(names); i++) {
		if (strcmp(out->compression_type, names[i]) != 0)
			continue;
		out->codec = (int)i;
		out->codec_level = levels[i];
	}
}

static void
derive(struct topic_options *out)
{
	struct slice rest = slice_of_text(out->cleanup_policy), item;
	int64_t both = out->message_timestamp_difference_max_ms;

	out->cleanup = 0;
	while (text_next(&rest, &item))
		out->cleanup |= slice_equal_text(item, "compact")
		    ? CLEANUP_COMPACT : CLEANUP_DELETE;
	out->log_append_time =
	    strcmp(out->message_timestamp_type, "LogAppendTime") == 0;
	/* KIP-937: the older bound counts where the newer ones are not set. */
	if (out->message_timestamp_before_max_ms == INT64_MAX)
		out->message_timestamp_before_max_ms = both;
	if (out->message_timestamp_after_max_ms == INT64_MAX)
		out->message_timestamp_after_max_ms = both;
	derive_codec(out);
}

void
topic_options_resolve(const struct broker_options *broker,
    const struct config_map *overrides, struct topic_options *out)
{
	char error[OPTION_ERROR_SIZE];

	*out = (struct topic_options){ 0 };
	for (const struct option *o = rows; o < rows + nelems(rows); o++) {
		const char *text = config_map_get(overrides, o->name);

		if (text == NULL || !option_parse(o, text,
			(char *)out + o->offset, error))
			take_broker_option(broker, o, out);
	}
	derive(out);
}

/* --- what a client may set ------------------------------------------------ */

static bool
is_refused(const struct option *option, enum topic_owner owner,
    const char *value)
{
	if (option->status != STATUS_REFUSED)
		return (false);
	if (owner == TOPIC_INTERNAL &&
	    strcmp(option->name, "cleanup.policy") == 0)
		return (false);
	return (!option_within(option, value, option->fallback));
}

static enum topic_fault
judge_entry(enum topic_owner owner, const char *name, const char *value,
    char error[OPTION_ERROR_SIZE])
{
	const struct option *option = topic_option_find(name);
	union {
		int64_t number;
		double real;
		const char *text;
	} field;

	if (option == NULL) {
		snprintf(error, OPTION_ERROR_SIZE,
		    "Unknown topic config name: %.249s", name);
		return (TOPIC_FAULT_NAME);
	}
	if (value == NULL) {
		snprintf(error, OPTION_ERROR_SIZE,
		    "Null value not supported for topic configs: %s", name);
		return (TOPIC_FAULT_RULE);
	}
	if (!option_parse(option, value, &field, error))
		return (TOPIC_FAULT_VALUE);
	if (!is_refused(option, owner, value))
		return (TOPIC_FAULT_NONE);
	snprintf(error, OPTION_ERROR_SIZE,
	    "Invalid value %.100s for configuration %s: %s", value, name,
	    option->why);
	return (TOPIC_FAULT_VALUE);
}

bool
topic_option_check(enum topic_owner owner, const char *name, const char *value,
    char error[OPTION_ERROR_SIZE])
{
	return (judge_entry(owner, name, value, error) == TOPIC_FAULT_NONE);
}

/* What Kafka's tiered storage forbids in ZooKeeper mode, or while it is off. */
static enum topic_fault
judge_remote(const struct topic_options *o, char error[OPTION_ERROR_SIZE])
{
	if (o->remote_log_copy_disable || o->remote_log_delete_on_disable) {
		snprintf(error, OPTION_ERROR_SIZE, "It is invalid to set "
		    "`remote.log.delete.on.disable` or "
		    "`remote.log.copy.disable` under Zookeeper's mode.");
		return (TOPIC_FAULT_RULE);
	}
	if (!o->remote_storage_enable)
		return (TOPIC_FAULT_NONE);
	snprintf(error, OPTION_ERROR_SIZE, "Tiered Storage functionality is "
	    "disabled in the broker. Topic cannot be configured with remote "
	    "log storage.");
	return (TOPIC_FAULT_VALUE);
}

static enum topic_fault
judge_rules(const struct topic_options *o, char error[OPTION_ERROR_SIZE])
{
	if (o->min_compaction_lag_ms <= o->max_compaction_lag_ms)
		return (judge_remote(o, error));
	snprintf(error, OPTION_ERROR_SIZE, "conflict topic config setting "
	    "min.compaction.lag.ms (%" PRId64 ") > max.compaction.lag.ms (%"
	    PRId64 ")", o->min_compaction_lag_ms, o->max_compaction_lag_ms);
	return (TOPIC_FAULT_RULE);
}

enum topic_fault
topic_options_judge(const struct broker_options *broker,
    enum topic_owner owner, const struct config_map *overrides,
    char error[OPTION_ERROR_SIZE])
{
	struct topic_options options;
	enum topic_fault fault = TOPIC_FAULT_NONE;

	CONFIG_MAP_EACH(entry, overrides)
		if (topic_option_find(entry->name) == NULL)
			fault = judge_entry(owner, entry->name, entry->value,
			    error);
	CONFIG_MAP_EACH(entry, overrides)
		if (fault == TOPIC_FAULT_NONE)
			fault = judge_entry(owner, entry->name, entry->value,
			    error);
	if (fault != TOPIC_FAULT_NONE)
		return (fault);
	topic_options_resolve(broker, overrides, &options);
	return (judge_rules(&options, error));
}

bool
topic_options_check(const struct broker_options *broker,
    enum topic_owner owner, const struct config_map *overrides,
    char error[OPTION_ERROR_SIZE])
{
	return (topic_options_judge(broker, owner, overrides, error) ==
	    TOPIC_FAULT_NONE);
}
