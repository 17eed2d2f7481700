/* SPDX-License-Identifier: Apache-2.0 */
/* A client of the server in net_rig.h, over a blocking socket on loopback. */
#ifndef TESTS_UNIT_NET_CLIENT_H
#define TESTS_UNIT_NET_CLIENT_H

#include "tests/unit/net_rig.h"

/* Longer than anything here takes. */
#define PATIENCE_S 10

/* The descriptor, -1: refused.  Buffer 0: the system's. */
int client_connect(const struct rig *rig);
int client_connect_with(const struct rig *rig, int receive_buffer);
int client_connect_to(int32_t port, int receive_buffer);
void client_send(int fd, const void *bytes, size_t size);
void client_request(int fd, int api, int32_t id, const void *body, size_t size);
/* The next answer's bytes after the correlation id; false: there is none. */
bool client_answer(int fd, int32_t *id, struct buffer *body);
bool client_expect(int fd, int32_t id, const char *text);
/* The server closed; anything else is a failure. */
bool client_closed(int fd);

/* Until it is that; else a failure. */
void await_count(atomic_uint *count, unsigned value);
void await_metric(const struct rig *rig, enum metric metric, size_t slot,
    int64_t value);

#endif
