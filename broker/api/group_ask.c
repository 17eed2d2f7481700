/* SPDX-License-Identifier: Apache-2.0 */
#include "api/group_ask.h"

#include <arpa/inet.h>
#include <stdatomic.h>

/* Parts that one step begins before others of the loop get their turn. */
#define PARTS_PER_STEP 32

struct group_question;

/* One loop's parts; that loop's from its departure to its return, but for what
 * is said. */
struct group_visit {
	struct api_away away;
	struct group_question *question;
	struct loop *loop;
	struct arena own; /* where several fill one response */
	struct group_ask *asks;
	size_t *parts;
	size_t count;
	size_t begun;
	size_t answered; /* all below are */
	struct task_ref task;  /* valid once `arrived` */
	atomic_bool arrived;
};

/* The request's loop's, and immutable while visits are away, but for
 * `abandoned`. */
struct group_question {
	struct apis *apis;
	struct request *request;
	struct group_plan plan;
	const char *client_host;
	struct group_visit *visits;
	size_t visit_count;
	size_t away;
	bool refused;
	atomic_bool abandoned;
};

static task_step visit_ask, visit_wait;
static bool question_sort(struct group_question *q);
static void question_leave(struct group_question *q);
static void question_answer(struct group_question *q);

/* As java.net.InetAddress writes one, with all eight groups. NULL: no
 * memory. */
static const char *
client_host_text(struct request *request)
{
	const char *host = connection_peer_host(request->connection);
	unsigned char a[16];

	if (strchr(host, ':') == NULL || inet_pton(AF_INET6, host, a) != 1)
		return (arena_printf(&request->arena, "/%s", host));
	return (arena_printf(&request->arena, "/%x:%x:%x:%x:%x:%x:%x:%x",
	    a[0] << 8 | a[1], a[2] << 8 | a[3], a[4] << 8 | a[5],
	    a[6] << 8 | a[7], a[8] << 8 | a[9], a[10] << 8 | a[11],
	    a[12] << 8 | a[13], a[14] << 8 | a[15]));
}

size_t
api_group_loops(const struct apis *apis)
{
	return (coord_loop_count(groups_coord(apis->setup.groups)));
}

void
api_ask_groups(struct apis *apis, struct request *request,
    const struct group_plan *plan)
{
	struct group_question *q = arena_zalloc(&request->arena, sizeof(*q));

	if (q == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	q->apis = apis;
	q->request = request;
	q->plan = *plan;
	q->client_host = plan->needs_host ? client_host_text(request) : NULL;
	if ((plan->needs_host && q->client_host == NULL) || !question_sort(q))
		api_refuse_memory(apis, request);
	else if (q->visit_count == 0)
		question_answer(q);
	else
		question_leave(q);
}

/* --- which part goes where ------------------------------------------------ */

static struct loop *
part_loop(const struct group_question *q, size_t part)
{
	const struct api_setup *setup = &q->apis->setup;
	const struct coord *coord = groups_coord(setup->groups);

	if (q->plan.group_of == NULL)
		return (coord_loop(coord, (int32_t)part));
	return (coord_loop(coord, coord_partition_of(coord,
	    cluster_image(setup->cluster),
	    q->plan.group_of(q->plan.state, part))));
}

static struct group_visit *
visit_of_loop(struct group_question *q, struct loop *loop)
{
	struct group_visit *visit = q->visits;

	while (visit < q->visits + q->visit_count && visit->loop != loop)
		visit++;
	if (visit == q->visits + q->visit_count) {
		q->visit_count++;
		visit->loop = loop;
		visit->question = q;
	}
	return (visit);
}

/* Room for what each visit was counted to have. */
static bool
visit_make_room(struct group_question *q, struct group_visit *visit)
{
	visit->parts = arena_array(&q->request->arena, visit->count,
	    sizeof(*visit->parts));
	visit->asks = arena_array(&q->request->arena, visit->count,
	    sizeof(*visit->asks));
	arena_init(&visit->own, q->request->arena.limit);
	visit->count = 0;
	return (visit->parts != NULL && visit->asks != NULL);
}

static bool
question_sort(struct group_question *q)
{
	struct arena *arena = &q->request->arena;
	const size_t loops = api_group_loops(q->apis);
	struct group_visit **of = arena_array(arena, q->plan.count,
	    sizeof(struct group_visit *));

	q->visits = arena_array(arena,
	    loops < q->plan.count ? loops : q->plan.count, sizeof(*q->visits));
	if (of == NULL || q->visits == NULL)
		return (false);
	for (size_t i = 0; i < q->plan.count; i++) {
		of[i] = visit_of_loop(q, part_loop(q, i));
		of[i]->count++;
	}
	for (size_t v = 0; v < q->visit_count; v++)
		if (!visit_make_room(q, &q->visits[v]))
			return (false);
	for (size_t i = 0; i < q->plan.count; i++)
		of[i]->parts[of[i]->count++] = i;
	return (true);
}

/* --- away ----------------------------------------------------------------- */

/* The client is gone: what waits is let go. */
static void
question_abandoned(struct request *request)
{
	struct group_question *q = request->owner;

	atomic_store(&q->abandoned, true);
	for (size_t v = 0; v < q->visit_count; v++)
		if (atomic_load(&q->visits[v].arrived))
			task_wake_ref(q->visits[v].task);
}

static void
question_home(struct api_away *away)
{
	struct group_question *q = away->state;

	if (--q->away == 0)
		question_answer(q);
}

static void
question_leave(struct group_question *q)
{
	q->request->owner = q;
	q->request->abandoned = question_abandoned;
	q->away = q->visit_count;
	for (size_t v = 0; v < q->visit_count; v++) {
		struct group_visit *visit = &q->visits[v];

		visit->away = (struct api_away){
			.first = visit_ask,
			.home = question_home,
			.state = q,
		};
		api_go_away_with(&visit->away, q->apis, q->request,
		    visit->loop);
	}
}

static struct group_visit *
visit_of(struct task *t)
{
	return (container_of(api_away_of(t), struct group_visit, away));
}

static void
visit_ask_part(struct task *t, struct group_visit *visit, size_t i)
{
	struct group_question *q = visit->question;
	struct group_ask *ask = &visit->asks[i];

	ask->version = q->request->head.api_version;
	ask->client_id = q->request->head.client_id;
	ask->client_host = q->client_host;
	ask->arena = q->visit_count == 1 ? &q->request->arena : &visit->own;
	ask->task = task_ref(t);
	ask->response = q->plan.response;
	if (q->plan.call(q->apis->setup.groups, q->plan.state,
		visit->parts[i], ask))
		ask->done = true;
}

/* Who abandons sees that we are here, or we see that it did. */
static enum verdict
visit_ask(struct task *t)
{
	struct group_visit *visit = visit_of(t);
	size_t until = visit->begun + PARTS_PER_STEP;

	if (visit->begun == 0) {
		visit->task = task_ref(t);
		atomic_store(&visit->arrived, true);
	}
	while (visit->begun < visit->count && visit->begun < until)
		visit_ask_part(t, visit, visit->begun++);
	return (task_next(t, visit->begun < visit->count ? visit_ask :
							   visit_wait));
}

static enum verdict
visit_wait(struct task *t)
{
	struct group_visit *visit = visit_of(t);
	const bool abandoned = atomic_load(&visit->question->abandoned);

	for (; visit->answered < visit->count; visit->answered++) {
		struct group_ask *ask = &visit->asks[visit->answered];

		if (ask->done)
			continue;
		if (!abandoned)
			return (STEP_WAIT);
		group_forget(ask);
		ask->refused = true;
	}
	return (api_go_home(t));
}

/* --- at home -------------------------------------------------------------- */

static bool
question_good(const struct group_question *q)
{
	for (size_t v = 0; v < q->visit_count; v++)
		for (size_t i = 0; i < q->visits[v].count; i++)
			if (q->visits[v].asks[i].refused)
				return (false);
	return (q->plan.finish == NULL || q->plan.finish(q->plan.state));
}

static void
question_answer(struct group_question *q)
{
	struct request *request = q->request;
	struct apis *apis = q->apis;
	struct wire_out out;
	bool good, encoded;

	request->abandoned = NULL;
	if (q->visit_count == 1)
		request_served_by(request, q->visits->loop);
	wire_out_init(&out);
	good = question_good(q);
	encoded = good && api_encode(apis, request, q->plan.response, &out);
	for (size_t v = 0; v < q->visit_count; v++)
		arena_fini(&q->visits[v].own);
	/* `q` goes with the request. */
	if (encoded) {
		api_send(request, &out);
		return;
	}
	wire_out_fini(&out);
	if (good || request->dead)
		request_close(request, "network");
	else
		api_refuse_memory(apis, request);
}
