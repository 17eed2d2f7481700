/* SPDX-License-Identifier: Apache-2.0 */
/* Texts padded to a width, counted as Java counts: in UTF-16. */
#ifndef TOOLS_COLUMNS_H
#define TOOLS_COLUMNS_H

#include "base/buffer.h"

size_t column_width(struct slice text);
/* The larger of both. */
size_t column_widest(size_t width, struct slice text);
/* `text`, and blanks up to the width. */
void column_put(struct buffer *out, struct slice text, size_t width);
/* The same of a number. */
void column_put_int(struct buffer *out, int64_t number, size_t width);

#endif
