/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own mistakes.  CHECK stays in production: a broken invariant ends the
 * process before it can damage what has been acknowledged.  Never CHECK bytes
 * that came from a peer, a file or ZooKeeper: those are errors, not bugs.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

#define CHECK(cond)                                                          \
	((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__, __func__))
#define CHECK_MAGIC(obj, m) CHECK((obj) != NULL && (obj)->magic == (m))
#define UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__, __func__)

#define nelems(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(ptr, type, member)                                      \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

_Noreturn void check_failed(const char *what, const char *file, int line,
    const char *function);

#endif
