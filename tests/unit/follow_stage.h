/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker's replicas in replay, whose broker 2, which leads and controls, is
 * played by the test: it is asked, and answers when the test says so.
 */
#ifndef TESTS_UNIT_FOLLOW_STAGE_H
#define TESTS_UNIT_FOLLOW_STAGE_H

#include "net/socket.h"
#include "replica/follow.h"
#include "replica_rig.h"

struct stage {
	struct replica_rig rig;
	struct fabric *fabric;
	struct work_queue *resolver;
	struct socket *listening, *connections[8];
	size_t connection_count;
	/* The last request, answered by stage_answer(). */
	struct arena arena;
	struct buffer frame;
	struct request_head head;
	union {
		struct fetch_request fetch;
		struct alter_partition_request alter;
		struct list_offsets_request offsets;
	} request;
	struct socket *from;
	bool asked;
	int requests;
};

void stage_init(struct stage *s);
void stage_fini(struct stage *s);
/* Until broker 2 is asked. */
bool stage_await(struct stage *s, int api_key, int64_t ms);
void stage_answer(struct stage *s, const void *response);
/* Of RIG_TOPIC's partition 0. */
struct replica_sight stage_sight(struct stage *s);

#endif
