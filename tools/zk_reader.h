/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a ZooKeeper and writes nothing, not even the chroot.  The calling
 * thread waits; the session is zkglue's, on a loop of the reader's own.
 *
 *	caller: zk_reader_run() --post--> loop: one batch, or out of time
 *	             ^------- woken: rc and answer of each read --+
 */
#ifndef TOOLS_ZK_READER_H
#define TOOLS_ZK_READER_H

#include "zkglue/zkglue.h"

struct zk_reader;

enum zk_read_kind { ZK_READ_DATA, ZK_READ_CHILDREN, ZK_READ_ACL };

struct zk_read {
	enum zk_read_kind kind;
	const char *path; /* below the chroot */
	/* The answer, which lives until zk_reader_free(). */
	enum zk_rc rc;
	struct slice data; /* of DATA and ACL */
	const char **children;
	size_t child_count;
};

/* "host:port,.../chroot"; connects within the time, and that is the time for
 * each zk_reader_run() too. NULL: *why. */
struct zk_reader *zk_reader_new(const char *connect, int64_t timeout_ms,
    struct buffer *why);
void zk_reader_free(struct zk_reader **reader);
/* All at once. False: not answered in time. */
bool zk_reader_run(struct zk_reader *reader, struct zk_read *reads,
    size_t count);

#endif
