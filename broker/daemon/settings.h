/* SPDX-License-Identifier: Apache-2.0 */
/* What storage looks at of a topic's options. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

struct log_settings;
struct topic_options;

void settings_of_topic(const struct topic_options *options,
    struct log_settings *out);

#endif
