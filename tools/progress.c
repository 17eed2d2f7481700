/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/clock.h"
#include "tools/progress.h"
#include "tools/tool.h"

/* Whoever is done within the first one sees nothing of it. */
#define TERMINAL_FIRST_MS 1000
#define TERMINAL_MS 200
#define LINE_MS 5000

static int64_t
now_ms(void)
{
	return (clock_mono_ns(clock_system()) / 1000000);
}

void
progress_begin(struct progress *progress, const struct tool *tool,
    const char *what, uint64_t total)
{
	*progress = (struct progress) {
		.tool = tool,
		.what = what,
		.total = total,
		.next_ms = now_ms() +
		    (tool->terminal ? TERMINAL_FIRST_MS : LINE_MS),
	};
}

static void
progress_line(const struct progress *progress, uint64_t done)
{
	fprintf(progress->tool->err, "%s%s: %" PRIu64 " of %" PRIu64 "%s",
	    progress->tool->terminal ? "\r" : "", progress->what, done,
	    progress->total, progress->tool->terminal ? "\033[K" : "\n");
	fflush(progress->tool->err);
}

void
progress_step(struct progress *progress, uint64_t done)
{
	const struct tool *tool = progress->tool;

	if ((!tool->terminal && !tool->progress) || progress->quiet ||
	    now_ms() < progress->next_ms)
		return;
	progress_line(progress, done);
	progress->shown = tool->terminal;
	progress->next_ms =
	    now_ms() + (tool->terminal ? TERMINAL_MS : LINE_MS);
}

void
progress_end(struct progress *progress, uint64_t done)
{
	if (progress->shown)
		fputs("\r\033[K", progress->tool->err);
	else if (progress->tool->progress && !progress->tool->terminal)
		progress_line(progress, done);
	progress->shown = false;
}
