/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of configs as clients ask for them: what a topic's or a broker's
 * entries become, and whether they may.  Pure: nothing is read or written here.
 *
 *	before + changes --config_alter--> after --check--> to be written
 *
 * Errors are Kafka's, in its words.
 * Source: ConfigAdminManager, ZkAdminManager, DynamicBrokerConfig of 3.9.
 */
#ifndef CONFIG_ALTER_H
#define CONFIG_ALTER_H

#include "base/errors.h"
#include "config/config.h"

/* AlterConfigOp.OpType; others are foreign. */
enum { ALTER_SET, ALTER_DELETE, ALTER_APPEND, ALTER_SUBTRACT };

struct config_change {
	struct slice name;
	struct slice value; /* null for a deletion only */
	int8_t operation;
};

#define ALTER_ERROR_SIZE 1024

/* `after`, empty before, becomes `before` with the changes, of which no two
 * name the same; `find` knows the rows.  An error whose message is empty has
 * none. */
enum error config_alter(const struct config_map *before,
    const struct config_change *changes, size_t count,
    const struct option *(*find)(const char *name), struct config_map *after,
    char message[ALTER_ERROR_SIZE]);

/* Whether `entries` may become that dynamic source of `config`, which counts
 * now; then *next is what would count, resolved, to be freed. */
enum error config_check_layer(const struct config *config,
    enum config_source source, const struct config_map *entries,
    struct config **next, char message[ALTER_ERROR_SIZE]);
/* Whether `config` holds together with that dynamic source, too. */
bool config_check_together(const struct config *config,
    enum config_source source, const struct config_map *entries,
    char message[ALTER_ERROR_SIZE]);
/* Whether the listeners that are there may stay as `next` has them: neither
 * their protocol nor their address changes while they are open. False: why. */
bool config_listeners_stay(const struct config *now, const struct config *next,
    char why[ALTER_ERROR_SIZE]);
/* What Kafka says of a whole that cannot be taken, for that reason. */
void config_refuse_dynamic(const char *why, char message[ALTER_ERROR_SIZE]);

/* What of `stored` Kafka would take into a change: neither what is set in the
 * file only, nor what no change could set there.  False: `out` is full. */
bool config_keep_valid(enum config_source source,
    const struct config_map *stored, struct config_map *out);

#endif
