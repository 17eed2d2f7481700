/* SPDX-License-Identifier: Apache-2.0 */
/* What both drivers share: host lists, paths, and the head of a session. */
#ifndef ZKGLUE_DRIVER_INT_H
#define ZKGLUE_DRIVER_INT_H

#include "zkglue/driver.h"

/* First in each driver's own session. */
struct zk_session {
	struct zk_driver *driver;
};

/* Cuts h1:p1,h2:p2/chroot; `chroot` is "" for none and for "/". */
struct slice zk_hosts_cut(const char *connect, struct slice *chroot);
/* Where `path` lies on the server; NULL when the arena refuses. */
const char *zk_path_full(struct arena *arena, const char *chroot,
    const char *path);
/* ZooKeeper's own rules, which the C client must not be left to find out: in
 * a multi it frees a refused path twice. */
bool zk_path_valid(const char *path, bool sequential);

#endif
