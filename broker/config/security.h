/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options ssl.* as they count for one listener, or for one client:
 *
 *	listener.name.L.ssl.x, else ssl.x, else the default --> of listener L
 *	ssl.x of a client's properties, else the default    --> of a client
 *
 * A struct security_options whose other fields mean nothing. Texts are borrowed
 * of the config or the map. What stands in files is none of this room's.
 */
#ifndef CONFIG_SECURITY_H
#define CONFIG_SECURITY_H

#include "config/map.h"
#include "config/options.h"

/* Stores are what a listener that is there takes at run time: SslFactory,
 * reconfigurableConfigs.  What else ssl.* says of it counts when it is opened.
 */
bool security_same_stores(const struct security_options *a,
    const struct security_options *b);
bool security_same_but_stores(const struct security_options *a,
    const struct security_options *b);
/* Whether one of the entries names a file of a store, of any listener. */
bool security_names_files(const struct config_map *entries);
/* `options` goes on with the stores of `next`; texts are borrowed. */
void security_take_stores(struct security_options *options,
    const struct security_options *next);
/* The options of a client out of its properties. False: *error says what is
 * wrong. */
bool security_of_client(const struct config_map *map,
    struct security_options *out, char error[OPTION_ERROR_SIZE]);

#endif
