/* SPDX-License-Identifier: Apache-2.0 */
/* Runs commands of barnabas(1) in the test's own process. */
#ifndef UNIT_TOOL_RIG_H
#define UNIT_TOOL_RIG_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "tests/unit/unit.h"
#include "tools/tool.h"

#define ARGC_MAX 24

/* --- a command with its output in memory ---------------------------------- */

struct ran {
	int status;
	char *out;
	char *err;
};

/* `line` is cut at blanks. */
static inline struct ran
run(const char *line)
{
	struct ran ran = { 0 };
	size_t out_size, err_size;
	struct tool tool = {
		.in = stdin,
		.out = open_memstream(&ran.out, &out_size),
		.err = open_memstream(&ran.err, &err_size),
	};
	struct slice rest = slice_of_text(line);
	char *argv[ARGC_MAX];
	int argc = 0;

	while (rest.data != NULL && argc < ARGC_MAX) {
		const struct slice word = text_cut(rest, ' ', &rest);

		if (word.length != 0)
			argv[argc++] = mem_strndup((const char *)word.data,
			    word.length);
	}
	ran.status = tool_main(&tool, argc, argv);
	fclose(tool.out);
	fclose(tool.err);
	while (argc > 0)
		mem_free(argv[--argc]);
	return (ran);
}

static inline void
ran_fini(struct ran *ran)
{
	free(ran->out);
	free(ran->err);
}

static inline void
expect(const char *line, int status, const char *err)
{
	struct ran ran = run(line);

	CU_ASSERT_EQUAL(ran.status, status);
	if (strstr(ran.err, err) == NULL)
		printf("\n%s: %s", line, ran.err);
	CU_ASSERT(strstr(ran.err, err) != NULL);
	ran_fini(&ran);
}

static inline void
same_text(struct buffer *got, const char *want)
{
	if (strcmp(buffer_text(got), want) != 0)
		printf("\ngot:  %s\nwant: %s\n", buffer_text(got), want);
	CU_ASSERT_STRING_EQUAL(buffer_text(got), want);
	buffer_fini(got);
}

#endif
