/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BROKER_LOGGER: the rooms' levels in the operator's log, and "root", which
 * rooms without a level of their own follow.  They change at once, and last
 * until the next start or SIGHUP, when barnabas.log.level counts again.
 * Source: RuntimeLoggerManager of 3.9.
 */
#include "api/config_alter.h"

#include <stdio.h>

#define LOGGER_ROOT "root"

/* The room of that name; DIAG_ROOM_COUNT is the root.  Kafka minds case. */
static bool
logger_find(struct slice name, enum diag_room *out)
{
	*out = DIAG_ROOM_COUNT;
	if (slice_equal_text(name, LOGGER_ROOT))
		return (true);
	for (int r = 0; r < DIAG_ROOM_COUNT; r++)
		if (slice_equal_text(name,
			diag_room_name((enum diag_room)r))) {
			*out = (enum diag_room)r;
			return (true);
		}
	return (false);
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
	struct logger_row *rows = arena_array(arena, DIAG_ROOM_COUNT + 1,
	    sizeof(*rows));
	const struct diag *diag = apis->setup.diag;

	*count = 0;
	if (rows == NULL)
		return (NULL);
	rows[(*count)++] = (struct logger_row){ LOGGER_ROOT,
		diag_level_name(diag_root_level(diag)) };
	for (int r = 0; r < DIAG_ROOM_COUNT; r++)
		rows[(*count)++] = (struct logger_row){
			diag_room_name((enum diag_room)r),
			diag_level_name(diag_level(diag, (enum diag_room)r)) };
	return (rows);
}

/* --- altering ------------------------------------------------------------- */

static bool
check_logger(struct alter *alter, struct alter_resource *resource,
    const struct config_change *change)
{
	enum diag_room room;
	enum diag_level level;

	if (!logger_find(change->name, &room)) {
		alter_fail(alter, resource, ERR_INVALID_CONFIG,
		    "Logger %.*s does not exist!", SLICE_ARGS(change->name));
		return (false);
	}
	if (change->operation == ALTER_DELETE) {
		if (room != DIAG_ROOM_COUNT)
			return (true);
		alter_fail(alter, resource, ERR_INVALID_REQUEST, "Removing the "
		    "log level of the " LOGGER_ROOT " logger is not allowed");
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
	enum diag_room room;
	enum diag_level level = DIAG_INFO;

	if (!logger_find(change->name, &room))
		return;
	if (change->operation == ALTER_DELETE)
		diag_unset_level(diag, room);
	else if (level_find(change->value, &level) && room == DIAG_ROOM_COUNT)
		diag_set_root_level(diag, level);
	else
		diag_set_level(diag, room, level);
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
