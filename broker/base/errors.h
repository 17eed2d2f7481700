/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's error codes, ERR_NONE = 0; the rows are errors.def. */
#ifndef BASE_ERRORS_H
#define BASE_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

enum error {
#define ERROR(name, code, retriable) ERR_##name = (code),
#include "base/errors.def"
#undef ERROR
};

/* "NOT_LEADER_OR_FOLLOWER"; "UNKNOWN" for a code without a row. */
const char *error_name(int code);
/* Whether Kafka's clients try again. */
bool error_retriable(int code);

#endif
