/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and base64 as text, strictly: the whole input or a refusal. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/slice.h"

/* Decimal with an optional sign, nothing before or after. False: *out unset. */
bool text_to_int64(struct slice text, int64_t *out);
bool text_to_int32(struct slice text, int32_t *out);
bool text_to_double(struct slice text, double *out);
/* As java.lang.Double writes it: the fewest digits that read back alike. */
#define TEXT_DOUBLE_SIZE 48
void text_of_double(double number, char text[TEXT_DOUBLE_SIZE]);
/* "true" or "false" in any case, as java.lang.Boolean. */
bool text_to_bool(struct slice text, bool *out);
/* Without bytes up to 0x20 at either end, as java.lang.String.trim(). */
struct slice text_trim(struct slice text);
/* Cuts at the first `separator`: returns what is before, *rest what is after
 * (null when there was no separator). */
struct slice text_cut(struct slice text, char separator, struct slice *rest);
/* Takes one code point off the front of a text that is not empty.  What is not
 * UTF-8 (RFC 3629) costs one byte and answers -1. */
int32_t text_utf8_next(struct slice *rest);
/* Topic-name order and JSON need no locale. */
bool text_is_utf8(struct slice text);

#endif
