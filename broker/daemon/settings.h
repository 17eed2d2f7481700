/* SPDX-License-Identifier: Apache-2.0 */
/* How the rooms come by what configs say, at the start and when it changes. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

struct broker;
struct config;
struct log_settings;
struct topic_config;

/* What storage looks at of a topic's config. `arg` is the broker. */
void settings_of_topic(void *arg, const char *topic, struct log_settings *out);
/* A topic's config changed; on the controller's loop. */
void settings_config_changed(void *arg, const struct topic_config *config);

/* What was made before /config/brokers was read follows it; before the rooms
 * are made. */
void settings_take_early(struct broker *broker);
/* Whatever waits, for names or files, before `next` can count. On a worker. */
void settings_prepare(struct broker *broker, const struct config *next);
/* `next` counts from now on for all that the controller's loop tells of it. On
 * that loop; `before` may go afterwards. */
void settings_take(struct broker *broker, const struct config *before,
    const struct config *next);
/* config_live's: the same for what each loop has of its own. */
void settings_take_on_loop(void *arg, const struct config *next);

#endif
