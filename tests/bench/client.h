/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking connection to one broker, for the benchmark's load programs: ask,
 * wait, decode.  The broker is trusted; whatever goes wrong ends the program
 * with a line on stderr.
 */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include <stdnoreturn.h>

#include "wire/wire.h"

struct client {
	int descriptor;
	struct buffer bytes; /* of the request, then of the answer */
	struct arena arena;  /* of the answer, until the next call */
};

/* What Metadata says of one topic; leaders[i] is -1 where there is none. */
struct topic {
	int32_t count;
	int32_t led;
	int32_t error;
};

noreturn void fail(const char *what);
/* By the broker. */
noreturn void refused(const char *what, int error);
/* The positive number in `text`, else the end. */
long number_of(const char *text);
int64_t now_ns(void);
double cpu_seconds(void); /* of the calling thread */
void rest_ms(long ms);    /* below a second */

/* -1: nobody listens at "HOST:PORT". */
int dial(const char *address);
/* False: the broker closed the connection. */
bool send_all(int s, struct slice bytes);
/* A whole frame: size, header and body. */
void frame_make(enum api_key key, int version, const void *request,
    struct buffer *out);
/* Body of the answer to frame_make()'s request, without size and header. */
void frame_read(enum api_key key, int version, struct slice frame,
    struct arena *arena, void *response);

bool client_open(struct client *client, const char *address);
void client_close(struct client *client);
/* False: the broker closed the connection. */
bool client_call(struct client *client, enum api_key key, int version,
    const void *request, void *response);
/* NULL asks for the brokers alone; returns how many there are, -1 for none
 * or no connection. */
int client_metadata(struct client *client, const char *name,
    struct topic *topic);

#endif
