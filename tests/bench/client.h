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

/* What Metadata says of one topic, or of all. */
struct topic {
	int32_t count; /* of partitions */
	int32_t led;   /* by a broker that lives */
	int32_t error;
	int32_t without; /* set before: who leads nothing that counts, or -1 */
};

/* Of a broker. */
struct address {
	char text[64]; /* HOST:PORT */
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
/* NULL asks for the brokers alone, "*" for all topics; returns how many brokers
 * there are, -1 for none or no connection. */
int client_metadata(struct client *client, const char *name,
    struct topic *topic);
/* False: there is none, or no connection. */
bool client_controller(struct client *client, struct address *controller);
/* Who leads each partition of a topic, asked of the broker at `address`; the
 * end of the program when one is not led.  Free by mem_free(). */
struct address *client_leaders(const char *address, const char *name,
    int32_t *count);

#endif
