/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as java.text.SimpleDateFormat writes them, in the local time zone: the
 * letters y M d H h m s S a E Z, and texts in single quotes.
 */
#ifndef TOOLS_DATE_FORMAT_H
#define TOOLS_DATE_FORMAT_H

#include "base/buffer.h"

/* False: *why names the letter that is not understood. */
bool date_format_check(const char *pattern, struct buffer *why);
/* Of a pattern that was checked; milliseconds since 1970. */
void date_format_put(const char *pattern, int64_t wall_ms, struct buffer *out);

#endif
