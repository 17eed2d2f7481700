/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that the controller answers: decoded here, carried to its loop as a
 * controller_call, brought home and encoded.
 */
#include "api/api_int.h"

#include "controller/controller.h"

static task_step ask_controller_ask, ask_controller_wait;

struct ask_controller {
	void (*ask)(struct controller *controller,
	    struct controller_call *call);
	int64_t timeout_ms;
	struct controller_call call;
};

static void
ask_controller_home(struct api_away *away)
{
	struct ask_controller *s = away->state;

	api_reply(away->apis, away->request, s->call.response);
}

void
api_ask_controller(struct apis *apis, struct request *request,
    void (*ask)(struct controller *controller, struct controller_call *call),
    int64_t (*timeout_ms)(const void *body))
{
	const struct message *message = request->api->request;
	const struct message *answer = request->api->response;
	struct ask_controller *s = arena_zalloc(&request->arena, sizeof(*s));
	void *body = arena_zalloc(&request->arena, message_size(message));
	void *response = arena_zalloc(&request->arena, message_size(answer));

	if (s == NULL || body == NULL || response == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	if (!api_decode(request, message, body))
		return;
	wire_init(answer, response);
	s->ask = ask;
	s->timeout_ms = timeout_ms(body);
	s->call.request = body;
	s->call.response = response;
	api_go_away(apis, request, apis->setup.controller_loop,
	    &(struct api_away){
		.first = ask_controller_ask,
		.home = ask_controller_home,
		.state = s,
	    });
}

static enum verdict
ask_controller_ask(struct task *t)
{
	struct api_away *away = api_away_of(t);
	struct ask_controller *s = away->state;

	s->call.task = task_ref(t);
	s->call.arena = &away->request->arena;
	s->call.version = away->request->head.api_version;
	s->call.deadline_ns = loop_now_ns(task_loop(t)) +
	    s->timeout_ms * 1000000;
	s->ask(away->apis->setup.controller, &s->call);
	return (task_next(t, ask_controller_wait));
}

static enum verdict
ask_controller_wait(struct task *t)
{
	struct ask_controller *s = api_away_of(t)->state;

	return (s->call.done ? api_go_home(t) : STEP_WAIT);
}
