/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "tools/topic_filter.h"

bool
topic_is_internal(struct slice topic)
{
	return (slice_equal_text(topic, "__consumer_offsets") ||
	    slice_equal_text(topic, "__transaction_state"));
}

static bool
is_quote(uint8_t c)
{
	return (c == '"' || c == '\'');
}

/* What stands in it as POSIX writes it. */
static void
pattern_translate(struct slice pattern, struct buffer *out)
{
	while (pattern.length > 0 && is_quote(pattern.data[0]))
		pattern = slice_of(pattern.data + 1, pattern.length - 1);
	while (pattern.length > 0 &&
	    is_quote(pattern.data[pattern.length - 1]))
		pattern.length--;
	buffer_append_text(out, "^(");
	for (size_t i = 0; i < pattern.length; i++) {
		const uint8_t c = pattern.data[i];
		const uint8_t next =
		    i + 1 < pattern.length ? pattern.data[i + 1] : 0;

		if (c == ',') {
			buffer_append_text(out, "|");
		} else if (c == '\\' && (next == 'd' || next == 'D')) {
			buffer_append_text(out,
			    next == 'd' ? "[0-9]" : "[^0-9]");
			i++;
		} else if (c == '\\' && next != 0) {
			buffer_append(out, pattern.data + i, 2);
			i++;
		} else if (c != ' ') {
			buffer_append(out, &c, 1);
		}
	}
	buffer_append_text(out, ")$");
}

bool
topic_filter_init(struct topic_filter *filter, const char *pattern,
    bool exclude_internal, struct buffer *why)
{
	struct buffer regex = BUFFER_EMPTY;
	char text[128];
	int error;

	filter->all = pattern == NULL;
	filter->exclude_internal = exclude_internal;
	if (filter->all)
		return (true);
	pattern_translate(text_trim(slice_of_text(pattern)), &regex);
	error = regcomp(&filter->regex, buffer_text(&regex),
	    REG_EXTENDED | REG_NOSUB);
	buffer_fini(&regex);
	if (error == 0)
		return (true);
	regerror(error, &filter->regex, text, sizeof(text));
	buffer_printf(why, "\"%s\" is no regular expression: %s", pattern,
	    text);
	filter->all = true;
	return (false);
}

void
topic_filter_fini(struct topic_filter *filter)
{
	if (!filter->all)
		regfree(&filter->regex);
}

bool
topic_filter_takes(const struct topic_filter *filter, struct slice topic)
{
	char *name;
	bool takes;

	if (filter->exclude_internal && topic_is_internal(topic))
		return (false);
	if (filter->all)
		return (true);
	name = mem_strndup((const char *)topic.data, topic.length);
	takes = regexec(&filter->regex, name, 0, NULL, 0) == 0;
	mem_free(name);
	return (takes);
}
