/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of `barnabas check` share: the broker that is to take over, as
 * its file tells of it, and what was found.  An ERROR hinders it.
 */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "base/arena.h"
#include "config/config.h"
#include "tools/tool.h"
#include "tools/zk_reader.h"

struct check_finding {
	enum finding_severity severity;
	const char *where; /* a file, a directory, a znode */
	int line;          /* 0: none */
	const char *subject; /* what it is about there; "" */
	const char *message; /* what is wrong and what to do */
};

struct check {
	const struct tool *tool;
	struct arena arena; /* all texts */
	struct check_finding *findings;
	size_t finding_count;
	const struct config *config;
	const struct broker_options *options;
	/* The file's, else what meta.properties says; -1: a new one. */
	int32_t broker_id;
	const char *cluster_id; /* of meta.properties; NULL: none has one */
	struct zk_reader *zk;
};

void check_say(struct check *check, enum finding_severity severity,
    const char *where, const char *subject, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same with a line of a file. */
void check_say_line(struct check *check, const struct check_finding *finding);

/* Runs reads; those that are refused are told. False: ZooKeeper does not
 * answer, which is told too. */
bool check_read(struct check *check, struct zk_read *reads, size_t count);

/* meta.properties and locks of the log directories. */
void check_dirs(struct check *check);
/* Whether the node of a ZK_READ_ACL is open to all; true too when it could not
 * be read. */
bool check_acl_open(const struct zk_read *read);
/* What is not about topics. False: nothing can be read. */
bool check_cluster(struct check *check);
void check_topics(struct check *check);

#endif
