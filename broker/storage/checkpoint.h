/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint files: text, "0" (the version), the number of rows, then a row a
 * line, its fields separated by one space.  Written by file_replace().
 */
#ifndef STORAGE_CHECKPOINT_H
#define STORAGE_CHECKPOINT_H

#include "base/slice.h"
#include "base/text.h"

#define CHECKPOINT_FIELDS_MAX 3

/* Calls `row` with the fields of each. False: no such file. */
bool checkpoint_decode(struct slice text, size_t field_count,
    bool (*row)(void *arg, struct slice *fields), void *arg);

#endif
