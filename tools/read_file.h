/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_READ_FILE_H
#define TOOLS_READ_FILE_H

#include <stdbool.h>

#include "base/buffer.h"

/* A whole file that the user named.  False: errno; EFBIG when it has more than
 * `most` bytes.  By stdio, not by storage's file calls: it may be a pipe,
 * <(...). */
bool read_file(const char *path, size_t most, struct buffer *out);

#endif
