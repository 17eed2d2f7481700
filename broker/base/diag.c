/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor keeps its number for the life of the object: diag_reopen()
 * puts the new file under it by dup3(2), so that a writer on another thread
 * meets the old file or the new one, but never a closed descriptor.
 */
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#define DIAG_MAGIC 0xd1a60106u
/* With the newline; what is longer ends in "...". */
#define LINE_SIZE_MAX 4096
/* The digits of an int in front of a comma, a few times over. */
#define STAMP_SIZE_MAX 96

struct diag {
	unsigned magic;
	const struct clock *clock;
	char *path; /* NULL: stderr */
	int descriptor;
	pthread_mutex_t mutex; /* of who sets levels */
	bool own[DIAG_ROOM_COUNT]; /* the mutex: it does not follow the root */
	atomic_uchar root;
	atomic_uchar levels[DIAG_ROOM_COUNT];
	_Atomic uint64_t lost_count;
	void (*sink)(void *arg, const char *line);
	void *sink_arg;
};

static const char *const room_names[] = {
#define X(room) #room,
	DIAG_ROOMS(X)
#undef X
};

static const char *const level_names[] = {
	[DIAG_TRACE] = "TRACE",
	[DIAG_DEBUG] = "DEBUG",
	[DIAG_INFO] = "INFO",
	[DIAG_WARN] = "WARN",
	[DIAG_ERROR] = "ERROR",
	[DIAG_FATAL] = "FATAL",
};

static int diag_open(const char *path);
static size_t diag_stamp(int64_t wall_ms, char *out, size_t size);
static void diag_send(struct diag *diag, const char *line, size_t length);

struct diag *
diag_new(const struct clock *clock, const char *path)
{
	struct diag *diag;
	int descriptor = STDERR_FILENO;

	if (path != NULL && (descriptor = diag_open(path)) < 0)
		return (NULL);
	tzset(); /* localtime_r() need not */
	diag = mem_zalloc(sizeof(*diag));
	diag->magic = DIAG_MAGIC;
	diag->clock = clock;
	diag->path = path == NULL ? NULL : mem_strdup(path);
	diag->descriptor = descriptor;
	CHECK(pthread_mutex_init(&diag->mutex, NULL) == 0);
	atomic_init(&diag->root, DIAG_INFO);
	for (size_t i = 0; i < DIAG_ROOM_COUNT; i++)
		atomic_init(&diag->levels[i], DIAG_INFO);
	atomic_init(&diag->lost_count, 0);
	return (diag);
}

void
diag_free(struct diag *diag)
{
	if (diag == NULL)
		return;
	CHECK_MAGIC(diag, DIAG_MAGIC);
	if (diag->path != NULL)
		close(diag->descriptor);
	mem_free(diag->path);
	CHECK(pthread_mutex_destroy(&diag->mutex) == 0);
	diag->magic = 0;
	mem_free(diag);
}

bool
diag_reopen(struct diag *diag)
{
	int descriptor;
	bool replaced;

	CHECK_MAGIC(diag, DIAG_MAGIC);
	if (diag->path == NULL)
		return (true);
	descriptor = diag_open(diag->path);
	if (descriptor < 0)
		return (false);
	replaced = dup3(descriptor, diag->descriptor, O_CLOEXEC) >= 0;
	close(descriptor);
	return (replaced);
}

/* O_APPEND: each write lands whole at the end, whoever else writes there. */
static int
diag_open(const char *path)
{
	return (open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
}

static void
diag_store(atomic_uchar *place, enum diag_level level)
{
	CHECK(level <= DIAG_FATAL);
	atomic_store_explicit(place, (unsigned char)level,
	    memory_order_relaxed);
}

void
diag_set_level(struct diag *diag, enum diag_room room, enum diag_level level)
{
	CHECK_MAGIC(diag, DIAG_MAGIC);
	CHECK(room < DIAG_ROOM_COUNT);
	CHECK(pthread_mutex_lock(&diag->mutex) == 0);
	diag->own[room] = true;
	diag_store(&diag->levels[room], level);
	CHECK(pthread_mutex_unlock(&diag->mutex) == 0);
}

void
diag_unset_level(struct diag *diag, enum diag_room room)
{
	CHECK_MAGIC(diag, DIAG_MAGIC);
	CHECK(room < DIAG_ROOM_COUNT);
	CHECK(pthread_mutex_lock(&diag->mutex) == 0);
	diag->own[room] = false;
	diag_store(&diag->levels[room], diag_root_level(diag));
	CHECK(pthread_mutex_unlock(&diag->mutex) == 0);
}

void
diag_set_root_level(struct diag *diag, enum diag_level level)
{
	CHECK_MAGIC(diag, DIAG_MAGIC);
	CHECK(pthread_mutex_lock(&diag->mutex) == 0);
	diag_store(&diag->root, level);
	for (size_t i = 0; i < DIAG_ROOM_COUNT; i++)
		if (!diag->own[i])
			diag_store(&diag->levels[i], level);
	CHECK(pthread_mutex_unlock(&diag->mutex) == 0);
}

enum diag_level
diag_root_level(const struct diag *diag)
{
	return ((enum diag_level)atomic_load_explicit(&diag->root,
	    memory_order_relaxed));
}

enum diag_level
diag_level(const struct diag *diag, enum diag_room room)
{
	CHECK(room < DIAG_ROOM_COUNT);
	return ((enum diag_level)atomic_load_explicit(&diag->levels[room],
	    memory_order_relaxed));
}

const char *
diag_room_name(enum diag_room room)
{
	CHECK(room < DIAG_ROOM_COUNT);
	return (room_names[room]);
}

const char *
diag_level_name(enum diag_level level)
{
	CHECK(level <= DIAG_FATAL);
	return (level_names[level]);
}

bool
diag_level_parse(const char *name, enum diag_level *out)
{
	for (size_t i = 0; i < nelems(level_names); i++)
		if (strcasecmp(name, level_names[i]) == 0) {
			*out = (enum diag_level)i;
			return (true);
		}
	return (false);
}

bool
diag_room_parse(const char *name, enum diag_room *out)
{
	for (size_t i = 0; i < nelems(room_names); i++)
		if (strcasecmp(name, room_names[i]) == 0) {
			*out = (enum diag_room)i;
			return (true);
		}
	return (false);
}

uint64_t
diag_lost_count(const struct diag *diag)
{
	return (atomic_load_explicit(&diag->lost_count, memory_order_relaxed));
}

void
diag_set_sink(struct diag *diag, void (*sink)(void *arg, const char *line),
    void *arg)
{
	CHECK_MAGIC(diag, DIAG_MAGIC);
	diag->sink = sink;
	diag->sink_arg = arg;
}

/* A line stays one line, whatever bytes a peer got into it. */
static void
blank_controls(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

/*
 *	[stamp] LEVEL text (room)\n
 *	              |    |
 *	          begin    length; the tail's bytes are set aside first
 */
void
diag_write(struct diag *diag, enum diag_level level, enum diag_room room,
    const char *format, ...)
{
	char line[LINE_SIZE_MAX];
	char tail[64];
	int64_t wall_ms = clock_wall_ms(diag->clock);
	va_list arguments;
	size_t begin, room_left, length;
	int wanted, tail_length;

	CHECK_MAGIC(diag, DIAG_MAGIC);
	begin = diag_stamp(wall_ms, line, STAMP_SIZE_MAX);
	begin += (size_t)snprintf(line + begin, STAMP_SIZE_MAX, " %s ",
	    diag_level_name(level));
	tail_length = snprintf(tail, sizeof(tail), " (%s)",
	    diag_room_name(room));
	/* vsnprintf()'s NUL lies where the newline will. */
	room_left = sizeof(line) - begin - (size_t)tail_length;
	va_start(arguments, format);
	wanted = vsnprintf(line + begin, room_left, format, arguments);
	va_end(arguments);
	length = begin + (wanted < 0 ? 0 : (size_t)wanted);
	if (wanted >= 0 && (size_t)wanted >= room_left) {
		length = begin + room_left - 1;
		memcpy(line + length - 3, "...", 3);
	}
	blank_controls(line + begin, length - begin);
	memcpy(line + length, tail, (size_t)tail_length);
	length += (size_t)tail_length;
	line[length] = '\n';
	diag_send(diag, line, length + 1);
	if (diag->sink != NULL) {
		line[length] = '\0';
		diag->sink(diag->sink_arg, line);
	}
}

/* Local time, as log4j's %d{ISO8601} has it. */
static size_t
diag_stamp(int64_t wall_ms, char *out, size_t size)
{
	int64_t millis = (wall_ms % 1000 + 1000) % 1000;
	time_t seconds = (time_t)((wall_ms - millis) / 1000);
	struct tm when = { 0 };
	int length;

	localtime_r(&seconds, &when);
	length = snprintf(out, size, "[%04d-%02d-%02d %02d:%02d:%02d,%03d]",
	    when.tm_year + 1900, when.tm_mon + 1, when.tm_mday, when.tm_hour,
	    when.tm_min, when.tm_sec, (int)millis);
	CHECK(length > 0 && (size_t)length < size);
	return ((size_t)length);
}

static void
diag_send(struct diag *diag, const char *line, size_t length)
{
	int saved_errno = errno; /* callers log, then look at errno */
	ssize_t sent;

	do
		sent = write(diag->descriptor, line, length);
	while (sent < 0 && errno == EINTR);
	if (sent != (ssize_t)length)
		atomic_fetch_add_explicit(&diag->lost_count, 1,
		    memory_order_relaxed);
	errno = saved_errno;
}
