/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the syntax of java.util.Properties. */
#ifndef CONFIG_PROPERTIES_H
#define CONFIG_PROPERTIES_H

#include "config/map.h"

struct properties_error {
	int line; /* of the file, from 1 */
	const char *message;
};

/* Adds what `text` holds to the map; of several values the last one stays.
 * False: *error says what and where; the map holds what came before. */
bool properties_read(struct slice text, struct config_map *map,
    struct properties_error *error);

#endif
