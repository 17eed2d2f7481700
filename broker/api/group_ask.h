/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the group APIs reach groups: each group belongs to the loop of its
 * partition of __consumer_offsets, so a request visits that loop, or several of
 * them at once, and comes home when all of its parts are answered.
 *
 *	handler: decode -> api_ask_groups(plan)
 *	             | one visit a loop, with that loop's parts
 *	             v
 *	loop A: call(part 0), call(part 3)    loop B: call(part 1) ..
 *	             | each answered, at once or later
 *	             v
 *	home:   plan->finish -> the response is encoded and sent
 *
 * One group, or as many as were named (DescribeGroups, DeleteGroups,
 * OffsetFetch from 8), or one part for every loop (ListGroups).  An example:
 *
 *	static bool
 *	heartbeat_call(struct groups *groups, void *state, size_t part,
 *	    struct group_ask *ask)
 *	{
 *		return (group_heartbeat(groups, state, ask));
 *	}
 *	...
 *	api_ask_groups(apis, request, &(struct group_plan){
 *	    .count = 1, .group_of = heartbeat_group, .call = heartbeat_call,
 *	    .state = body, .response = response });
 *
 * Meanwhile the request's body may be read by all loops and written by none;
 * `call` writes what belongs to its own part, and takes memory from ask->arena
 * alone.  When the client's connection ends first, what still waits is let go
 * by group_forget() (and a member that joins stays one until its session ends).
 * A connection's later requests wait meanwhile, as Kafka's do.
 */
#ifndef API_GROUP_ASK_H
#define API_GROUP_ASK_H

#include "api/api_int.h"
#include "group/group.h"

struct group_plan {
	size_t count; /* of parts; 0: finish() follows at once */
	/* The group of a part, whose loop it visits. NULL: part i visits
	 * network loop i; `count` is then api_group_loops(). */
	struct slice (*group_of)(const void *state, size_t part);
	/* As group_join() and its siblings answer: false: not yet, ask->done
	 * and a wake tell. On the part's loop. */
	bool (*call)(struct groups *groups, void *state, size_t part,
	    struct group_ask *ask);
	/* All parts are answered: what is left to do before the response is
	 * sent. Takes memory of the request's arena. On the request's loop; may
	 * be NULL. False: no memory. */
	bool (*finish)(void *state);
	bool needs_host; /* `call` reads ask->client_host; else it is NULL */
	void *state; /* in the request's arena */
	/* wire_init()ed, of the request's API; also ask->response. */
	void *response;
};

/* The request is answered, or closed, by what follows from it. On its loop. */
void api_ask_groups(struct apis *apis, struct request *request,
    const struct group_plan *plan);
/* Loops that groups live on. */
size_t api_group_loops(const struct apis *apis);

#endif
