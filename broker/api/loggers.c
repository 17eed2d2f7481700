/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BROKER_LOGGER: the rooms' levels in the operator's log, and "root", which
 * rooms without a level of their own follow; both under Kafka's names, too,
 * each of which has the level of what it stands for.  They change at once, and
 * last until the next start or SIGHUP, when barnabas.log.level counts again.
 * Source: RuntimeLoggerManager of 3.9.
 */
#include "api/config_alter.h"

#include <stdio.h>

#include "base/check.h"

#define LOGGER_ROOT "root"

struct logger {
	const char *name;
	enum diag_room room; /* DIAG_ROOM_COUNT: the root */
};

static const struct logger loggers[] = {
	{ LOGGER_ROOT, DIAG_ROOM_COUNT },
#define X(room) { #room, DIAG_ROOM_##room },
	DIAG_ROOMS(X)
#undef X
#define LOGGER(room, name) { name, DIAG_ROOM_##room },
#define LOGGER_OF_ALL(name) { name, DIAG_ROOM_COUNT },
#include "api/loggers.def"
#undef LOGGER
#undef LOGGER_OF_ALL
};

/* NULL: nobody's. Kafka minds case. */
static const struct logger *
logger_find(struct slice name)
{
	for (size_t i = 0; i < nelems(loggers); i++)
		if (slice_equal_text(name, loggers[i].name))
			return (&loggers[i]);
	return (NULL);
}

static bool
level_find(struct slice name, enum diag_level *out)
{
	for (int l = DIAG_TRACE; l <= DIAG_FATAL; l++)
		if (slice_equal_text(name,
			diag_level_name((enum diag_level)l))) {
			*out = (enum diag_level)l;
			return (true);
		}
	return (false);
}

const struct logger_row *
loggers_rows(struct apis *apis, struct arena *arena, size_t *count)
{
	struct logger_row *rows = arena_array(arena, nelems(loggers),
	    sizeof(*rows));
	const struct diag *diag = apis->setup.diag;

	*count = rows == NULL ? 0 : nelems(loggers);
	for (size_t i = 0; i < *count; i++) {
		const enum diag_room room = loggers[i].room;

		rows[i] = (struct logger_row){ loggers[i].name,
			diag_level_name(room == DIAG_ROOM_COUNT ?
			    diag_root_level(diag) : diag_level(diag, room)) };
	}
	return (rows);
}

/* --- altering ------------------------------------------------------------- */

static bool
check_logger(struct alter *alter, struct alter_resource *resource,
    const struct config_change *change)
{
	const struct logger *logger = logger_find(change->name);
	enum diag_level level;

	if (logger == NULL) {
		alter_fail(alter, resource, ERR_INVALID_CONFIG,
		    "Logger %.*s does not exist!", SLICE_ARGS(change->name));
		return (false);
	}
	if (change->operation == ALTER_DELETE) {
		if (logger->room != DIAG_ROOM_COUNT)
			return (true);
		alter_fail(alter, resource, ERR_INVALID_REQUEST, "Removing the "
		    "log level of the %s logger is not allowed", logger->name);
		return (false);
	}
	if (level_find(change->value, &level))
		return (true);
	alter_fail(alter, resource, ERR_INVALID_CONFIG, "Cannot set the log "
	    "level of %.*s to %.*s as it is not a supported log level. Valid "
	    "log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
	    SLICE_ARGS(change->name), SLICE_ARGS(change->value));
	return (false);
}

static bool
check_change(struct alter *alter, struct alter_resource *resource,
    const struct config_change *change)
{
	switch (change->operation) {
	case ALTER_SET:
	case ALTER_DELETE:
		return (check_logger(alter, resource, change));
	case ALTER_APPEND:
	case ALTER_SUBTRACT:
		alter_fail(alter, resource, ERR_INVALID_REQUEST, "%s operation "
		    "is not allowed for the BROKER_LOGGER resource",
		    change->operation == ALTER_APPEND ? "APPEND" : "SUBTRACT");
		return (false);
	default: /* an exception of Kafka's own */
		alter_fail(alter, resource, ERR_UNKNOWN_SERVER_ERROR, NULL);
		return (false);
	}
}

static void
apply_change(struct diag *diag, const struct config_change *change)
{
	const struct logger *logger = logger_find(change->name);
	enum diag_level level = DIAG_INFO;

	if (logger == NULL)
		return;
	if (change->operation == ALTER_DELETE)
		diag_unset_level(diag, logger->room);
	else if (level_find(change->value, &level) &&
	    logger->room == DIAG_ROOM_COUNT)
		diag_set_root_level(diag, level);
	else
		diag_set_level(diag, logger->room, level);
	diag_warn(diag, api, "logger=%.*s level=%s by a client's wish",
	    SLICE_ARGS(change->name), change->operation == ALTER_DELETE ?
	    "the root's" : diag_level_name(level));
}

void
loggers_alter(struct alter *alter, struct alter_resource *resource)
{
	for (size_t i = 0; i < resource->count; i++)
		if (!check_change(alter, resource, &resource->changes[i]))
			return;
	for (size_t i = 0; i < resource->count && !alter->validate_only; i++)
		apply_change(alter->apis->setup.diag, &resource->changes[i]);
	resource->done = true;
}
