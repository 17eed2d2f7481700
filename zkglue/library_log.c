/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's own log, led into ours.  Its callback has no argument and we
 * have no globals, so it writes to a stream whose end is here.  The stream is
 * the client's global: the last driver made in a process has it.
 *
 * While a server is away the client says so at each of its attempts, a few a
 * second; what was said lately goes to DEBUG.
 */
#include "zkglue/library_int.h"

#include "base/diag.h"
#include "base/mem.h"
#include "base/text.h"

/* Longer than the client's longest line. */
#define LOG_BUFFER_BYTES 8192
#define LOG_RECENT 16

struct library_log {
	struct diag *diag;
	FILE *stream;
	uint32_t recent[LOG_RECENT]; /* under the stream's lock */
	size_t next;
};

/* FNV-1a: enough to know a line again, whatever time it tells of. */
static uint32_t
line_hash(struct slice line)
{
	static const char late[] = " (exceeded timeout by";
	const uint8_t *end = memmem(line.data, line.length, late,
	    sizeof(late) - 1);
	uint32_t hash = 2166136261u;

	if (end != NULL)
		line.length = (size_t)(end - line.data);
	for (size_t i = 0; i < line.length; i++)
		hash = (hash ^ line.data[i]) * 16777619u;
	return (hash);
}

static bool
line_recent(struct library_log *log, struct slice line)
{
	uint32_t hash = line_hash(line);

	for (size_t i = 0; i < LOG_RECENT; i++)
		if (log->recent[i] == hash)
			return (true);
	log->recent[log->next++ % LOG_RECENT] = hash;
	return (false);
}

/* "2024-01-01 00:00:00,000:12(0x7f):ZOO_WARN@function@123: text" */
static void
line_say(struct library_log *log, struct slice line)
{
	static const char tag[] = ":ZOO_";
	const uint8_t *at = memmem(line.data, line.length, tag,
	    sizeof(tag) - 1);
	enum diag_level level = DIAG_WARN;

	if (line.length == 0)
		return;
	if (at != NULL) {
		line.length -= (size_t)(at - line.data) + sizeof(tag) - 1;
		line.data = at + sizeof(tag) - 1;
		if (line.data[0] == 'I')
			level = DIAG_INFO;
		else if (line.data[0] == 'D')
			level = DIAG_DEBUG;
		text_cut(line, '@', &line);
	}
	if (line_recent(log, line))
		level = DIAG_DEBUG;
	DIAG_AT(log->diag, level, zkglue, "client %.*s", SLICE_ARGS(line));
}

static ssize_t
log_write(void *cookie, const char *text, size_t size)
{
	struct slice rest = slice_of(text, size);

	while (rest.data != NULL)
		line_say(cookie, text_cut(rest, '\n', &rest));
	return ((ssize_t)size);
}

struct library_log *
library_log_new(struct diag *diag)
{
	struct library_log *log = mem_zalloc(sizeof(*log));

	log->diag = diag;
	log->stream = fopencookie(log, "w",
	    (cookie_io_functions_t){ .write = log_write });
	CHECK(log->stream != NULL);
	setvbuf(log->stream, NULL, _IOFBF, LOG_BUFFER_BYTES);
	zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
	zoo_set_log_stream(log->stream);
	return (log);
}

void
library_log_free(struct library_log *log)
{
	zoo_set_log_stream(NULL);
	fclose(log->stream);
	mem_free(log);
}
