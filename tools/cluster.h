/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `barnabas cluster` share. */
#ifndef TOOLS_CLUSTER_H
#define TOOLS_CLUSTER_H

#include "tools/log_dirs.h"
#include "tools/tool.h"
#include "tools/topics.h"

/* The exit status of `cluster health`. */
enum health { HEALTH_GOOD = 0, HEALTH_BAD = 1, HEALTH_UNKNOWN = 2 };

/* Sentences. */
struct health_list {
	char **items; /* in an arena */
	size_t count;
	size_t capacity;
};

/* A broker that is there, or that only replicas name. */
struct health_broker {
	int32_t id;
	const struct metadata_response_broker *facts; /* NULL: not there */
	size_t replicas;
	size_t led;
	struct log_dirs_answer dirs;
	const char *why; /* there is no answer about directories; NULL: one */
};

/* Partitions that two looks saw, and that were not the same in both. */
struct health_churn {
	size_t partitions; /* of which the ISR or the leader changed */
	size_t isrs;
	size_t leaders; /* or their epochs */
	int64_t ms;	/* from one look to the other */
};

/* What the cluster said, and what is made of it. */
struct health_facts {
	const struct metadata_response *metadata;
	struct health_broker *brokers; /* by id */
	size_t broker_count;
	struct topics_counts counts;
	/* NULL: it is known how many are under their min ISR. */
	const char *min_isr_why;
	size_t moving;
	const char *moving_why; /* NULL: known */
	struct health_churn churn;
	int64_t looked_ms;	/* when the metadata came */
	int64_t free_percent;	/* less on a file system is bad */
	/* Made by health_judge(). */
	struct health_list troubles;
	struct health_list unknown;
};

/* Those that are there and those that replicas name, with their numbers. */
void health_brokers(struct health_facts *facts, struct arena *arena);
/* All but the time. */
void health_churn_count(const struct metadata_response *before,
    const struct metadata_response *after, struct health_churn *out);
enum health health_judge(struct health_facts *facts, struct arena *arena);
void health_text(const struct health_facts *facts, struct buffer *out);
void health_json(const struct health_facts *facts, struct buffer *out);

/* `cluster health`: its exit status. */
int cluster_health(struct tool *tool, const struct args *args,
    struct client *client);

#endif
