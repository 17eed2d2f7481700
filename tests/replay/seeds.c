/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/replay/seeds.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

/* So many seeds fail before the rest of a script is left out. */
#define FAILED_MAX 5

struct seeds {
	uint64_t first;
	uint64_t count;
	seeds_run *run;
	const struct seeds_row *rows;
	size_t row_count;
	pid_t *children; /* of each row; 0: none runs */
	size_t running;
};

static bool
row_passes(const struct seeds *s, const struct seeds_row *row)
{
	uint64_t share = row->share == 0 ? 1 : row->share, done = 0;
	size_t failed = 0, faults;

	for (; done * share < s->count && failed < FAILED_MAX; done++) {
		faults = s->run(row->script, s->first + done);
		if (faults == 0)
			continue;
		failed++;
		fprintf(stderr, "%d %s: seed %llu: %zu faults\n",
		    row->number, row->name,
		    (unsigned long long)(s->first + done), faults);
	}
	printf("%d %-20s %llu seeds, %zu failed\n", row->number, row->name,
	    (unsigned long long)done, failed);
	(void)fflush(stdout);
	return (failed == 0);
}

/* False: it failed. */
static bool
await_child(struct seeds *s)
{
	int status;
	pid_t child = waitpid(-1, &status, 0);

	CHECK(child > 0);
	s->running--;
	for (size_t i = 0; i < s->row_count; i++) {
		if (s->children[i] != child)
			continue;
		s->children[i] = 0;
		if (WIFSIGNALED(status))
			fprintf(stderr, "%d %s: signal %d\n",
			    s->rows[i].number, s->rows[i].name,
			    WTERMSIG(status));
	}
	return (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool
all_pass(struct seeds *s)
{
	const size_t lanes = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	bool pass = true;

	s->children = mem_zalloc(s->row_count * sizeof(s->children[0]));
	for (size_t i = 0; i < s->row_count; i++) {
		if (s->running == lanes)
			pass &= await_child(s);
		s->children[i] = fork();
		CHECK(s->children[i] >= 0);
		if (s->children[i] == 0) {
			mem_free(s->children);
			exit(row_passes(s, &s->rows[i]) ? 0 : 1);
		}
		s->running++;
	}
	while (s->running > 0)
		pass &= await_child(s);
	mem_free(s->children);
	return (pass);
}

static int
compare_numbers(const void *a, const void *b)
{
	const struct seeds_row *left = a, *right = b;

	return (left->number < right->number ? -1 :
	    left->number > right->number);
}

static void
rows_sort(struct seeds_row *rows, size_t count)
{
	qsort(rows, count, sizeof(*rows), compare_numbers);
	for (size_t i = 0; i < count; i++)
		CHECK(rows[i].number > (i == 0 ? 0 : rows[i - 1].number));
}

static bool
row_is(const struct seeds_row *row, const char *text)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", row->number);
	return (strcmp(text, row->name) == 0 || strcmp(text, number) == 0);
}

int
seeds_main(int argc, char **argv, uint64_t seeds, struct seeds_row *rows,
    size_t count, seeds_run *run)
{
	const bool lists = argc == 2 && strcmp(argv[1], "list") == 0;
	struct seeds s = {
		.first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
		.count = argc > 1 ? strtoull(argv[1], NULL, 10) : seeds,
		.run = run,
		.rows = rows,
		.row_count = count,
	};

	/* each change has a short run, each night a whole one */
	if (argc <= 1 && getenv("BARNABAS_SHORT") != NULL)
		s.count = (seeds + 3) / 4;
	rows_sort(rows, count);
	for (size_t i = 0; lists && i < count; i++)
		printf("%d %s\n", rows[i].number, rows[i].name);
	if (lists)
		return (0);
	if (argc <= 3)
		return (all_pass(&s) ? 0 : 1);
	for (size_t i = 0; i < count; i++)
		if (row_is(&rows[i], argv[3]))
			return (row_passes(&s, &rows[i]) ? 0 : 1);
	fprintf(stderr, "there is no script '%s'\n", argv[3]);
	return (1);
}
