/* SPDX-License-Identifier: Apache-2.0 */
/* Random values of any message, and whether two are equal, for tests. */
#ifndef TESTS_UNIT_WIRE_VALUES_H
#define TESTS_UNIT_WIRE_VALUES_H

#include "base/arena.h"
#include "base/random.h"
#include "wire/schema_int.h"

/* Fills the version's fields, nulls and empty arrays among them; the others
 * keep their defaults. */
void values_fill(const struct message *message, int version,
    struct random *random, struct arena *arena, void *object);
bool values_equal(const struct schema *schema, const void *a, const void *b);

/* Compares every row with the field tables in `folder`; the number of
 * differences, each said on stderr. */
int tables_compare(const char *folder);

#endif
