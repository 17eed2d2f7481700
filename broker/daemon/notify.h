/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is told (sd_notify(3)); without it, nothing. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

void notify_ready(void);
void notify_stopping(void);
/* While logs load: a line of status, and more time. */
void notify_progress(uint64_t done, uint64_t total);
void notify_alive(void);
/* How often notify_alive() is due: half of what the unit asks for; 0: never. */
int64_t notify_interval_ms(void);

#endif
