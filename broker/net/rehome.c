/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that go to another loop, and home again.
 *
 * A member of a consumer group sends to its coordinator, on a connection of its
 * own, what only the loop of that coordinator may answer.  From any other loop
 * each request crosses over and back: two loops are woken, which costs more
 * than all the rest of a heartbeat.  So a connection moves there that has sent
 * nothing else for a while.  What no other loop serves draws it back to where
 * it was dealt: a client that has one connection for its group and its data
 * joins by a row of requests to the coordinator and then fetches for hours, and
 * a loop that coordinates many groups would serve the data of all.
 *
 *	hub A   turn, all is at rest: out of A's list, disowned
 *	  |     A's count -1, B's count +1    (B does not stop before it came)
 *	  +---- arrival, a post ---> hub B   adopted, in B's list, a turn
 *
 * At rest: no request, nothing to send, no byte of a next request is read.
 * What comes on the way waits in the kernel.  Between the two nobody has it;
 * who would have closed it meanwhile is asked for at the arrival.
 */
#include "net/net_int.h"

/* Requests in a row; fewer than a member sends before its first heartbeat. */
#define REHOME_AFTER 3

void
rehome_note(struct connection *c, const struct exchange *x)
{
	struct loop *by = x->served_by != NULL ? x->served_by : c->dealt->loop;

	if (by == c->hub->loop || (c->drawn != 0 && by != c->drawn_to)) {
		c->drawn = 0;
		return;
	}
	c->drawn_to = by;
	c->drawn++;
}

bool
rehome_wanted(const struct connection *c)
{
	return (c->drawn >= REHOME_AFTER && !c->closed);
}

static struct hub *
hub_of_loop(struct net *net, const struct loop *loop)
{
	for (size_t i = 0; i < net->hub_count; i++)
		if (net->hubs[i].loop == loop)
			return (&net->hubs[i]);
	return (NULL);
}

static bool
at_rest(const struct connection *c)
{
	return (c->request_count == 0 && c->output_count == 0 &&
	    c->incoming == NULL && c->stash_at == c->stash_length &&
	    c->cold == NULL && c->end_why == NULL &&
	    c->input_end_why == NULL && !c->shaking &&
	    !list_linked(&c->starved) && !list_linked(&c->turn) &&
	    !timer_armed(&c->mute));
}

static void
rehome_arrive(struct post *post)
{
	struct connection *c = container_of(post, struct connection, arrival);

	connection_enter(c);
	secure_moved(c);
	diag_debug(c->hub->net->setup.diag, net,
	    "connection=%s is with loop=%zu now", c->peer, c->hub->index);
	if (atomic_load(&c->listener->gone))
		connection_close(c, "listener");
	else if (c->hub->stopping)
		connection_end(c, "shutdown");
	else
		connection_turn(c);
}

bool
rehome_begin(struct connection *c)
{
	struct hub *from = c->hub;
	struct hub *to;

	if (!rehome_wanted(c) || from->stopping || !at_rest(c))
		return (false);
	c->drawn = 0;
	to = hub_of_loop(from->net, c->drawn_to);
	if (to == NULL || !c->socket->sockets->ops->disown(c->socket))
		return (false);
	list_remove(&c->link);
	c->wanted = 0;
	c->hub = to;
	atomic_fetch_add(&to->connection_count, 1);
	atomic_fetch_sub(&from->connection_count, 1);
	c->arrival.run = rehome_arrive;
	loop_post(to->loop, &c->arrival);
	return (true);
}
