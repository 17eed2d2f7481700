/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is told (sd_notify(3)); without it, nothing. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

struct broker_progress;

void notify_ready(void);
void notify_stopping(void);
/* While start or stop go on: a line of status, and more time. Any thread. */
void notify_progress(const struct broker_progress *progress);
void notify_alive(void);
/* How often notify_alive() is due: half of what the unit asks for; 0: never. */
int64_t notify_interval_ms(void);

#endif
