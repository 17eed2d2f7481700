/* SPDX-License-Identifier: Apache-2.0 */
/* Topic names: kafka's Topic.validate, hasCollision, isInternal. */
#include "cluster/cluster.h"

#define TOPIC_NAME_LENGTH_MAX 249

static bool
name_character(uint8_t c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
}

bool
topic_name_valid(struct slice name, const char **why)
{
	*why = NULL;
	if (name.length == 0)
		*why = "the empty string is not allowed";
	else if (slice_equal_text(name, "."))
		*why = "'.' is not allowed";
	else if (slice_equal_text(name, ".."))
		*why = "'..' is not allowed";
	else if (name.length > TOPIC_NAME_LENGTH_MAX)
		*why = "is longer than the max allowed length 249";
	for (size_t i = 0; *why == NULL && i < name.length; i++)
		if (!name_character(name.data[i]))
			*why = "contains one or more characters other than "
			    "ASCII alphanumerics, '.', '_' and '-'";
	return (*why == NULL);
}

const char *
topic_name_complaint(struct arena *arena, struct slice name, const char *why)
{
	if (name.length > TOPIC_NAME_LENGTH_MAX)
		return (arena_printf(arena, "Topic name is invalid: the length "
		    "of '%.*s' %s", SLICE_ARGS(name), why));
	if (name.length > 0 && !slice_equal_text(name, ".") &&
	    !slice_equal_text(name, ".."))
		return (arena_printf(arena, "Topic name is invalid: '%.*s' %s",
		    SLICE_ARGS(name), why));
	return (arena_printf(arena, "Topic name is invalid: %s", why));
}

bool
topic_name_internal(struct slice name)
{
	return (slice_equal_text(name, "__consumer_offsets") ||
	    slice_equal_text(name, "__transaction_state"));
}

bool
topic_names_collide(struct slice a, struct slice b)
{
	if (a.length != b.length)
		return (false);
	for (size_t i = 0; i < a.length; i++) {
		uint8_t x = a.data[i] == '.' ? '_' : a.data[i];
		uint8_t y = b.data[i] == '.' ? '_' : b.data[i];

		if (x != y)
			return (false);
	}
	return (true);
}
