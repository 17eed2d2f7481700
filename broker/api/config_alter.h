/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AlterConfigs and IncrementalAlterConfigs share: each of a request's
 * resources is judged and written alone.
 *
 *	[check] --nothing left--------------------------------> home, answered
 *	   |
 *	   v  the controller's loop
 *	[look] -> [looked] -> [decode] -> [prepare] -> [encode] -> [write]
 *	   ^                   a worker,    each is     a worker     |
 *	   |                   secrets      judged      again; tried v
 *	   +--- [pause] <---- somebody else wrote, or the session - [wrote]
 *	                                                             |
 *	                           home <-- [settle] this broker <---+
 *	                                    goes by it
 *
 * A write is one multi: the controller that was seen still sits there, the node
 * is as it was read, and the notification that tells the other brokers.  So a
 * change is never without its notification, and no change is lost under
 * another one.
 */
#ifndef API_CONFIG_ALTER_H
#define API_CONFIG_ALTER_H

#include "api/api_int.h"
#include "config/alter.h"
#include "zkglue/zkglue.h"

/* As the protocol numbers them. */
enum {
	RESOURCE_TOPIC = 2,
	RESOURCE_BROKER = 4,
	RESOURCE_BROKER_LOGGER = 8,
	RESOURCE_CLIENT_METRICS = 16
};

struct alter_resource {
	int8_t type;
	struct slice name;
	struct config_change *changes;
	size_t count;
	/* What is answered. A null message is Kafka's own null. */
	enum error error;
	struct slice message;
	bool done;

	/* While it is under way: */
	bool topic_known;          /* by this broker, when the request came */
	bool turn;                 /* of this round; see ROUND_MAX */
	struct zk_op *node;        /* what the entity's node holds */
	struct zk_op *topic;       /* whether the topic is there; or NULL */
	struct zk_op *write;
	/* A broker's; a topic's are empty again when it was judged. */
	struct config_map stored;  /* as the node has it */
	struct config_map before;  /* the same with secrets decoded */
	struct config_map after;   /* what it becomes */
	struct config_map encoded; /* the same with secrets encoded */
	struct slice json;         /* what is written, the request's memory */
	const struct config *now;  /* what it was judged by; counted */
	struct config *next;       /* what would count then */
	bool refused;              /* by the rooms: error_text */
	char error_text[ALTER_ERROR_SIZE];
};

struct alter_work;

struct alter {
	struct apis *apis;
	struct request *request;
	bool incremental;
	bool validate_only;
	struct alter_resource *resources;
	size_t count;
	void (*answer)(struct alter *alter);
	/* The task's: */
	struct zk_batch *batch;
	struct zk_op *seat;
	struct alter_work *work; /* on a worker, or NULL */
	int looks;
};

/* `resources` are filled in up to `count`; answers in the end.  All of it is
 * the request's memory. */
void alter_run(struct alter *alter);
/* An error and its message, which is copied; the resource is done. */
void alter_fail(struct alter *alter, struct alter_resource *resource,
    enum error error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* config_alter_write.c: the task, on the controller's loop. */
enum verdict alter_look(struct task *task);
/* Frees what is beside the request's memory. */
void alter_clear(struct alter *alter);

/* loggers.c: BROKER_LOGGER. */
void loggers_alter(struct alter *alter, struct alter_resource *resource);
/* Every logger, by its level; false: the arena refused. */
struct logger_row {
	const char *name;
	const char *level;
};
const struct logger_row *loggers_rows(struct apis *apis, struct arena *arena,
    size_t *count);

#endif
