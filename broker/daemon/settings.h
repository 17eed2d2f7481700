/* SPDX-License-Identifier: Apache-2.0 */
/* How the rooms come by what configs say, at the start and when it changes. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <stdbool.h>

#include "config/alter.h"

struct broker;
struct log_settings;
struct topic_config;

/* What storage looks at of a topic's config. `arg` is the broker. */
void settings_of_topic(void *arg, const char *topic, struct log_settings *out);
/* A topic's config changed; on the controller's loop. */
void settings_config_changed(void *arg, const struct topic_config *config);

/* What was made before /config/brokers was read follows it; before the rooms
 * are made. */
void settings_take_early(struct broker *broker);
struct arena;
struct broker_options;
struct znode_broker;
/* What the others are told: host and port as advertised, a port 0 as bound. */
void settings_advertise(const struct broker *broker,
    const struct broker_options *options, struct arena *arena,
    struct znode_broker *out);

/* Whether a broker that runs can go over to `next`; if not, that was said. On
 * the controller's loop. */
bool settings_may_take(const struct broker *broker,
    const struct config *before, const struct config *next);
/* api's: whether settings_prepare() would, tried beforehand; `arg` is the
 * broker. On a worker. False: why. */
bool settings_may_become(void *arg, const struct config *now,
    const struct config *next, char why[ALTER_ERROR_SIZE]);
/* Whatever waits, for names or files, before `next` can count.  False: it
 * cannot, which was said.  On a worker; settings_take() or settings_abandon()
 * comes after it. */
bool settings_prepare(struct broker *broker, const struct config *before,
    const struct config *next);
void settings_abandon(struct broker *broker);
/* `next` counts from now on for all that the controller's loop tells of it. On
 * that loop; `before` may go afterwards. */
void settings_take(struct broker *broker, const struct config *before,
    const struct config *next);
/* config_live's: the same for what each loop has of its own. */
void settings_take_on_loop(void *arg, const struct config *next);

#endif
