/* SPDX-License-Identifier: Apache-2.0 */
/* StopReplica: the controller takes partitions away.  The work is done on
 * workers; logs are deleted there. */
#include "api/api_int.h"

#include "replica/replica.h"

static task_step stop_replica_apply, stop_replica_applied;

struct stop_replica_state {
	struct apis *apis;
	struct request *request;
	struct stop_replica_request body;
	struct stop_replica_response response;
	struct replicas_stop_order *order;
};

static const struct task_class stop_replica_class = {
	.name = "stop-replica",
	.state_size = sizeof(struct stop_replica_state *),
};

static struct stop_replica_state *
stop_replica_of(struct task *task)
{
	return (*(struct stop_replica_state **)task_state(task));
}

static void
stop_replica_setup(struct task *task, void *arg)
{
	*(struct stop_replica_state **)task_state(task) = arg;
}

void
api_stop_replica(struct apis *apis, struct request *request)
{
	struct stop_replica_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_stop_replica_request, &s->body) ||
	    !api_order_counts(apis, request, s->body.broker_epoch,
		s->body.controller_epoch))
		return;
	wire_init(&message_stop_replica_response, &s->response);
	task_start(request->loop, &stop_replica_class, stop_replica_apply,
	    stop_replica_setup, s);
}

static enum verdict
stop_replica_apply(struct task *t)
{
	struct stop_replica_state *s = stop_replica_of(t);
	struct apis *apis = s->apis;

	s->order = replicas_stop_replica(apis->setup.replicas, &s->body,
	    s->request->head.api_version,
	    apis->setup.broker_epoch(apis->setup.broker_epoch_arg),
	    &s->request->arena, &s->response, task_ref(t));
	return (task_next(t, stop_replica_applied));
}

static enum verdict
stop_replica_applied(struct task *t)
{
	struct stop_replica_state *s = stop_replica_of(t);

	if (!replicas_stop_order_done(s->order))
		return (STEP_WAIT);
	replicas_stop_order_free(&s->order);
	api_reply(s->apis, s->request, &s->response);
	return (STEP_DONE);
}
