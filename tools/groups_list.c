/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas groups --list */
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "tools/columns.h"
#include "tools/groups.h"
#include "tools/json_out.h"

#define NAME_WIDTH 15
#define NAME_GAP 10
#define FACT_WIDTH 20

static const char *const states[] = { "PreparingRebalance",
	"CompletingRebalance", "Stable", "Dead", "Empty", "Assigning",
	"Reconciling" };
static const char *const types[] = { "Consumer", "Classic" };

/* --- the filters ---------------------------------------------------------- */

/* NULL: none of them. */
static const char *
name_known(struct slice text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) == text.length &&
		    strncasecmp(names[i], (const char *)text.data,
			text.length) == 0)
			return (names[i]);
	return (NULL);
}

static void
say_unknown(const struct tool *tool, const char *option,
    const char *const *names, size_t count)
{
	struct buffer all = BUFFER_EMPTY;

	for (size_t i = 0; i < count; i++)
		buffer_printf(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
	tool_usage(tool, "--%s wants names with commas between them, of: %s",
	    option, buffer_text(&all));
	buffer_fini(&all);
}

/* An option, and the names that it may have. */
struct filter_words {
	const char *option;
	const char *const *names;
	size_t count;
};

/* TOOL_OK, or said.  No value: no filter. */
static int
filter_read(struct groups *g, const struct filter_words *words,
    struct slice **out, int32_t *count)
{
	const char *text = args_text(g->args, words->option);
	struct slice rest;

	*out = NULL;
	*count = 0;
	if (text == NULL || text[0] == '\0')
		return (TOOL_OK);
	*out = arena_array(client_arena(g->client), strlen(text) + 1,
	    sizeof(**out));
	CHECK(*out != NULL);
	for (rest = slice_of_text(text); rest.data != NULL;) {
		const struct slice one = text_trim(text_cut(rest, ',', &rest));
		const char *name =
		    name_known(one, words->names, words->count);

		if (name == NULL) {
			say_unknown(g->tool, words->option, words->names,
			    words->count);
			return (TOOL_USAGE);
		}
		(*out)[(*count)++] = slice_of_text(name);
	}
	return (TOOL_OK);
}

/* --- printing ------------------------------------------------------------- */

static void
print_names(struct groups *g, const struct group_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		buffer_printf(&g->out, "%.*s\n",
		    SLICE_ARGS(list->items[i].id));
}

/* "classic" is "Classic" on paper. */
static struct slice
kind_name(const struct group *group)
{
	const char *name = name_known(group->kind, types, nelems(types));

	return (slice_of_text(name == NULL ? "Unknown" : name));
}

static void
print_row(struct groups *g, size_t width, struct slice name,
    struct slice kind, struct slice state)
{
	column_put(&g->out, name, width);
	if (args_has(g->args, "type")) {
		buffer_append_text(&g->out, " ");
		column_put(&g->out, kind, FACT_WIDTH);
	}
	if (args_has(g->args, "state")) {
		buffer_append_text(&g->out, " ");
		column_put(&g->out, state, FACT_WIDTH);
	}
	buffer_append_text(&g->out, "\n");
}

static void
print_table(struct groups *g, const struct group_list *list)
{
	size_t width = NAME_WIDTH;

	for (size_t i = 0; i < list->count; i++)
		width = column_widest(width, list->items[i].id);
	width += NAME_GAP;
	print_row(g, width, SLICE_LITERAL("GROUP"), SLICE_LITERAL("TYPE"),
	    SLICE_LITERAL("STATE"));
	for (size_t i = 0; i < list->count; i++)
		print_row(g, width, list->items[i].id,
		    kind_name(&list->items[i]), list->items[i].state);
}

static void
print_json(struct groups *g, const struct group_list *list)
{
	struct json_out json;

	json_init(&json, &g->out);
	json_open(&json, NULL, '{');
	json_open(&json, "groups", '[');
	for (size_t i = 0; i < list->count; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "group", list->items[i].id);
		json_text(&json, "protocolType", list->items[i].type);
		json_text(&json, "state", list->items[i].state);
		json_text(&json, "type", list->items[i].kind);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

int
groups_list(struct groups *g)
{
	static const struct filter_words state_words = { "state", states,
		nelems(states) };
	static const struct filter_words type_words = { "type", types,
		nelems(types) };
	struct group_filter filter = { 0 };
	struct group_list list = { 0 };
	int status;

	status = filter_read(g, &state_words, &filter.states,
	    &filter.states_count);
	if (status == TOOL_OK)
		status = filter_read(g, &type_words, &filter.types,
		    &filter.types_count);
	if (status == TOOL_OK)
		status = groups_find(g, &filter, &list);
	if (status == TOOL_OK && g->json)
		print_json(g, &list);
	else if (status == TOOL_OK && (args_has(g->args, "state") ||
					  args_has(g->args, "type")))
		print_table(g, &list);
	else if (status == TOOL_OK)
		print_names(g, &list);
	group_list_fini(&list);
	return (status);
}
