/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: one struct a room, made of the rows in options.def, and the rows
 * themselves as data.  A room is handed its own struct and keeps the pointer:
 *
 *	struct storage_options { int32_t segment_bytes; int64_t roll_ms; ... }
 *
 * Where Kafka has several names for one thing (log.retention.ms, .minutes and
 * .hours), the first one's field holds what counts in the end.  Texts may be
 * NULL where Kafka's default is null; a number whose default is null and that
 * nothing else decides is -1.  A list is its text; text_next() walks it.
 * Immutable; the memory is the config's.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "config/listener.h"

#define OPTION_CTYPE_BOOLEAN bool
#define OPTION_CTYPE_INT int32_t
#define OPTION_CTYPE_SHORT int16_t
#define OPTION_CTYPE_LONG int64_t
#define OPTION_CTYPE_DOUBLE double
#define OPTION_CTYPE_STRING const char *
#define OPTION_CTYPE_LIST const char *
#define OPTION_CTYPE_CLASS const char *
#define OPTION_CTYPE_PASSWORD const char *

#define ROOM(room, title) struct room##_options {
#define OPTION(room, field, name, type, ...) OPTION_CTYPE_##type field;
#define DERIVED(room, ctype, field) ctype field;
#define ROOM_END(room) };
#include "config/options.def"
#undef ROOM
#undef OPTION
#undef DERIVED
#undef ROOM_END

struct broker_options {
#define ROOM(room, title) struct room##_options room;
#define OPTION(...)
#define DERIVED(...)
#define ROOM_END(room)
#include "config/options.def"
#undef ROOM
#undef OPTION
#undef DERIVED
#undef ROOM_END
};

/* The codes of DescribeConfigs. */
enum option_type {
	OPTION_BOOLEAN = 1,
	OPTION_STRING = 2,
	OPTION_INT = 3,
	OPTION_SHORT = 4,
	OPTION_LONG = 5,
	OPTION_DOUBLE = 6,
	OPTION_LIST = 7,
	OPTION_CLASS = 8,
	OPTION_PASSWORD = 9
};

enum option_check {
	CHECK_ANY,
	CHECK_RANGE,
	CHECK_REAL_RANGE,
	CHECK_ONE_OF,
	CHECK_ONE_OF_ANY_CASE,
	CHECK_EACH_OF,
	CHECK_NON_EMPTY,
	CHECK_VERSION,
	CHECK_GZIP_LEVEL,
	CHECK_THROTTLED_REPLICAS
};

struct option_valid {
	enum option_check check;
	int64_t low, high;
	double low_real, high_real;
	const char *words; /* separated by commas */
};

enum option_update {
	UPDATE_READ_ONLY,
	UPDATE_PER_BROKER,
	UPDATE_CLUSTER_WIDE
};

enum option_status {
	STATUS_HONOURED,
	STATUS_NO_EFFECT,
	STATUS_LATER,    /* no effect yet */
	STATUS_REFUSED,  /* unless at its default */
	STATUS_SECURITY, /* likewise */
	STATUS_SASL      /* refused when a listener speaks SASL */
};

/* A row. Of a topic's options, update and the two flags mean nothing. */
struct option {
	const char *name;
	const char *room; /* "topic" for a topic's options */
	enum option_type type;
	size_t offset; /* in struct broker_options or struct topic_options */
	struct option_valid valid;
	const char *fallback; /* the default; NULL: none */
	enum option_update update;
	bool internal;
	bool dynamic_only;
	enum option_status status;
	const char *why; /* no effect; or what to do */
	const char *prose;
	/* Of a topic's options: where an unset one comes from. */
	const char *source; /* the broker's option, NULL: its own default */
	size_t source_offset; /* in struct broker_options */
};

size_t option_count(void);
const struct option *option_at(size_t index);
/* NULL when there is none of that name. */
const struct option *option_find(const char *name);

/* What stands behind "listener.name.L.", and *listener, unless NULL, becomes L;
 * else `name` itself, and *listener SLICE_NULL.  Within `name`. */
const char *option_behind_listener(const char *name, struct slice *listener);
/* The same, and of an option that a mechanism has, without the mechanism. */
const char *option_base_name(const char *name);
/* What may be set at run time and is a secret, of a listener or of all. */
bool option_is_password(const char *name);

#define OPTION_ERROR_SIZE 512

/* Reads `text` (NULL: Kafka's null) into *field, whose C type is the option's;
 * a text is borrowed. False: why, in Kafka's words; *field is unchanged. */
bool option_parse(const struct option *option, const char *text, void *field,
    char error[OPTION_ERROR_SIZE]);
/* Whether both texts mean the same value; empty is as good as null. */
bool option_same(const struct option *option, const char *a, const char *b);
/* The same of a list: whether it has no item that `whole` has not. */
bool option_within(const struct option *option, const char *text,
    const char *whole);
/* A size that takes any number. */
#define OPTION_NUMBER_SIZE 48
/* The number in *field as text; false for other types. */
bool option_number_text(const struct option *option, const void *field,
    char text[OPTION_NUMBER_SIZE]);

/* "a, b": takes the next item, without blanks, off *rest; false at the end.
 * Start with slice_of_text(list); an empty list has no items. */
bool text_next(struct slice *rest, struct slice *item);

/* Numbers of several names, as they count in the end: option_names_of() gives
 * the names for one option's value, the strongest first, itself included. */
#define OPTION_NAMES_MAX 3
size_t option_names_of(const char *name, const char *names[OPTION_NAMES_MAX]);

#endif
