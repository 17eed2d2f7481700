/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's log.  One event, one line, object first, then key=value:
 *
 *	[2024-08-20 15:47:54,073] INFO partition=a/3 became leader (replica)
 *
 * Lines go to stderr or to a file that diag_reopen() opens again.  A room has
 * a level of its own, or follows the root's; both change at run time.  A line
 * is written by one write(2) without a lock; a line that the kernel does not
 * take is counted.  Control characters become '?', and what is longer than
 * 4 KiB is cut.  Any thread may write, set levels and reopen; the root begins
 * at INFO, and all rooms follow it.
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum diag_level {
	DIAG_TRACE,
	DIAG_DEBUG,
	DIAG_INFO,
	DIAG_WARN,
	DIAG_ERROR,
	DIAG_FATAL
};

/* One row a room, as in broker/LAYERS: the name at the end of a line. */
#define DIAG_ROOMS(X)                                                         \
	X(base) X(config) X(metrics) X(wire) X(zkglue) X(record) X(net)       \
	X(cluster) X(storage) X(security) X(quota) X(replica) X(controller)   \
	X(coord) X(group) X(txn) X(api) X(daemon) X(tools)

enum diag_room {
#define X(room) DIAG_ROOM_##room,
	DIAG_ROOMS(X)
#undef X
	DIAG_ROOM_COUNT
};

struct diag;

/* path NULL: stderr. An unopenable path: NULL, errno set. */
struct diag *diag_new(const struct clock *clock, const char *path);
void diag_free(struct diag *diag);
/* Opens the file anew (after rotation); false: the old one stays in use. */
bool diag_reopen(struct diag *diag);
void diag_set_level(struct diag *diag, enum diag_room room,
    enum diag_level level);
/* It follows the root again. */
void diag_unset_level(struct diag *diag, enum diag_room room);
void diag_set_root_level(struct diag *diag, enum diag_level level);
enum diag_level diag_root_level(const struct diag *diag);
/* What counts for the room. */
enum diag_level diag_level(const struct diag *diag, enum diag_room room);
const char *diag_room_name(enum diag_room room);
const char *diag_level_name(enum diag_level level);
/* Names in any case; false when there is no such level or room. */
bool diag_level_parse(const char *name, enum diag_level *out);
bool diag_room_parse(const char *name, enum diag_room *out);
/* Lines that could not be written. */
uint64_t diag_lost_count(const struct diag *diag);

/* A second taker of every line, without its newline, for tests and replay; NULL
 * ends it.  Set it while no other thread writes. */
void diag_set_sink(struct diag *diag,
    void (*sink)(void *arg, const char *line), void *arg);

void diag_write(struct diag *diag, enum diag_level level, enum diag_room room,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * The calls that rooms use: diag_info(diag, storage, "dir=%s opened", path).
 * `diag` NULL is silence.
 */
#define DIAG_AT(d, lvl, room, ...)                                            \
	do {                                                                  \
		if ((d) != NULL && (lvl) >= diag_level((d), DIAG_ROOM_##room)) \
			diag_write((d), (lvl), DIAG_ROOM_##room, __VA_ARGS__); \
	} while (0)
#define diag_trace(d, room, ...) DIAG_AT(d, DIAG_TRACE, room, __VA_ARGS__)
#define diag_debug(d, room, ...) DIAG_AT(d, DIAG_DEBUG, room, __VA_ARGS__)
#define diag_info(d, room, ...) DIAG_AT(d, DIAG_INFO, room, __VA_ARGS__)
#define diag_warn(d, room, ...) DIAG_AT(d, DIAG_WARN, room, __VA_ARGS__)
#define diag_error(d, room, ...) DIAG_AT(d, DIAG_ERROR, room, __VA_ARGS__)
#define diag_fatal(d, room, ...) DIAG_AT(d, DIAG_FATAL, room, __VA_ARGS__)

#endif
