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

/* Room for what a listener's own option is called. */
#define SECURITY_NAME_SIZE 256

/* "listener.name.l.option"; false: it is too long. */
bool security_scoped_name(const char *listener, const char *option,
    char name[SECURITY_NAME_SIZE]);
/* Whether the options say the same; files may differ. */
bool security_same(const struct security_options *a,
    const struct security_options *b);
/* The options of a client out of its properties. False: *error says what is
 * wrong. */
bool security_of_client(const struct config_map *map,
    struct security_options *out, char error[OPTION_ERROR_SIZE]);

#endif
