/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A witness holds a connection to one broker that says nothing, and so sees at
 * once when the broker's process ends: its connections break, and new ones are
 * refused.  ZooKeeper sees it when the session ends, 18 s later.
 *
 *	[read] registration --> [line] connects, is up, breaks --> pause --+
 *	   ^    \                                                          |
 *	   |     \ a line of this registration was up                      |
 *	   |      v                                                        |
 *	   |     [probe] one attempt at every advertised listener          |
 *	   |      |   all refused: dead, by the evidence; pause ----+      |
 *	   |      |   one is open: [line]                           |      |
 *	   |      |   one is silent, the rest refused: pause -------+      |
 *	   +------+-------------------------------------------------+------+
 *
 * Who learns of a new registration calls: the line is given up, and the new one
 * read.  Silence alone is never evidence, nor a refusal by who was never
 * reached, nor does it count with one who reaches less than half of the others,
 * eight of them where there are more, by lines that were made since it came:
 * one that is older may have been silent for long, and is made anew.
 * The word may be wrong all the same (a firewall that refuses): what follows
 * from it is fenced, and taken back when a listener answers or the broker
 * registers anew.  The controller has a witness for each broker, others for the
 * controller's broker, and for all when that is dead by the evidence; who is
 * elected keeps what it saw.
 */
#include "controller/controller_int.h"

#include "net/peer.h"

/* More listeners than any broker has; beyond it, no word is given. */
#define PROBES_MAX 32
#define PROBE_TIMEOUT_MS 1000
#define MS_NS ((int64_t)1000000)
#define PAUSE_FIRST_NS (20 * MS_NS)
#define PAUSE_LAST_NS (1000 * MS_NS)
#define PAUSE_PROBE_NS (500 * MS_NS)
#define PAUSE_ABSENT_NS (5000 * MS_NS)
/* A line that was up so long begins with the shortest pause again. */
#define CALM_NS (10000 * MS_NS)
/* Between two moves on the word about one broker. */
#define MOVE_NS (30000 * MS_NS)

static task_step witness_read, witness_found, witness_line, witness_probe,
    witness_paused;

struct witness {
	struct list link; /* controller's witnesses */
	struct controller *controller;
	struct task_ref task;
	int32_t broker_id;
	/* The registration; what it says is in the batch's memory. */
	int64_t epoch; /* its czxid; 0: there is none */
	int64_t owner; /* its session */
	int64_t mzxid; /* of what it says */
	struct znode_broker node;
	struct zk_batch *batch;
	struct zk_op *op;
	/* Kept as long as the registration is what it is, so that each has one
	 * look-up of its name under way at most; but for a line that is up and
	 * to be made anew, which has none. */
	struct peer *line;
	struct waitq_link line_link;
	bool up;          /* the line is */
	bool held;        /* a line of this registration was */
	int64_t up_ns;    /* since */
	int64_t pause_ns; /* the last */
	bool hurry;       /* no pause */
	bool renew;       /* the line is to be made anew */
	int64_t renewed_ns; /* for evidence that came before; 0: never */
	struct peer *probes[PROBES_MAX];
	struct waitq_link probe_links[PROBES_MAX];
	size_t probe_count;
	bool dead;
	int64_t moved_ns; /* 0: nobody moved on its word */
};

/* --- life ----------------------------------------------------------------- */

static const struct task_class witness_class = {
	.name = "witness of a broker",
	.state_size = sizeof(struct witness *),
};

static struct witness *
witness_of(struct task *task)
{
	return (*(struct witness **)task_state(task));
}

static void
witness_setup(struct task *task, void *arg)
{
	*(struct witness **)task_state(task) = arg;
}

static struct witness *
witness_find(const struct controller *c, int32_t broker_id)
{
	LIST_EACH(element, &c->witnesses) {
		struct witness *w = list_entry(element, struct witness, link);

		if (w->broker_id == broker_id)
			return (w);
	}
	return (NULL);
}

void
witness_begin(struct controller *c, int32_t broker_id)
{
	struct witness *w = witness_find(c, broker_id);

	if (broker_id == c->setup.broker_id || w != NULL)
		return;
	w = mem_zalloc(sizeof(*w));
	w->controller = c;
	w->broker_id = broker_id;
	list_push_tail(&c->witnesses, &w->link);
	w->task = task_ref(task_start(c->setup.loop, &witness_class,
	    witness_read, witness_setup, w));
}

static bool
is_another(const struct witness *w, struct registered as)
{
	return ((as.epoch != 0 && as.epoch != w->epoch) ||
	    (as.owner != 0 && as.owner != w->owner) ||
	    (as.mzxid != 0 && as.mzxid != w->mzxid));
}

void
witness_call(struct controller *c, int32_t broker_id, struct registered as)
{
	struct witness *w = witness_find(c, broker_id);

	if (w == NULL) {
		witness_begin(c, broker_id);
		return;
	}
	w->hurry = true;
	/* A host that went silently and came back leaves its old line open. */
	w->renew = w->epoch != 0 && is_another(w, as);
	task_wake_ref(w->task);
}

static void
line_end(struct witness *w)
{
	peer_free(&w->line);
	w->up = false;
}

/* Other listeners are tried from now on. */
static void
peers_end(struct witness *w)
{
	line_end(w);
	for (size_t i = 0; i < PROBES_MAX; i++)
		peer_free(&w->probes[i]);
}

static void
witness_free(struct witness *w)
{
	struct task *task = task_of_ref(w->task);

	if (task != NULL)
		task_cancel(task);
	peers_end(w);
	zk_batch_free(&w->batch);
	list_remove(&w->link);
	mem_free(w);
}

void
witnesses_keep(struct controller *c, int32_t broker_id)
{
	LIST_EACH(element, &c->witnesses) {
		struct witness *w = list_entry(element, struct witness, link);

		if (w->broker_id != broker_id)
			witness_free(w);
	}
}

/* --- its word ------------------------------------------------------------- */

bool
witness_says_dead(const struct controller *c, int32_t broker_id,
    int64_t broker_epoch)
{
	const struct witness *w = witness_find(c, broker_id);

	return (w != NULL && w->dead && w->epoch == broker_epoch);
}

bool
witness_says_session_dead(const struct controller *c, int32_t broker_id,
    int64_t owner)
{
	const struct witness *w = witness_find(c, broker_id);

	return (w != NULL && w->dead && w->owner == owner);
}

size_t
reach_picks(size_t count, size_t own)
{
	size_t others = own < count ? count - 1 : count;

	return (others < REACH_MAX ? others : REACH_MAX);
}

static bool
has_common_divisor(size_t a, size_t b)
{
	while (b != 0) {
		size_t rest = a % b;

		a = b;
		b = rest;
	}
	return (a != 1);
}

/* Where ids go round the racks, an even step meets one rack alone.  Half-way
 * round and a little more, in turn from where we are to the far side: four and
 * four that follow each other.  Coprime to all, the step comes back to where it
 * began, to us, only behind all others. */
size_t
reach_pick(size_t count, size_t own, size_t k)
{
	size_t step = count / 2 + 1;

	while (has_common_divisor(step, count))
		step++;
	return ((own < count ? own + (k + 1) * step : k * step) % count);
}

/* A line that was up before says nothing of now.  One that is being made is new
 * enough when it is up, and what it looks up is not asked for once more. */
static bool
is_reached(const struct controller *c, struct witness *w)
{
	if (w->up && w->up_ns >= c->evidence_ns)
		return (true);
	if (w->renewed_ns < c->evidence_ns) {
		w->renewed_ns = loop_now_ns(c->setup.loop);
		w->renew = w->renew || w->up;
		w->hurry = true;
		task_wake_ref(w->task);
	}
	return (false);
}

void
reach_count(struct reach *reach, const struct controller *c, int32_t broker_id)
{
	struct witness *w = witness_find(c, broker_id);

	if (broker_id == c->setup.broker_id)
		return;
	reach->others++;
	reach->reached += w != NULL && is_reached(c, w);
}

bool
reach_enough(const struct reach *reach)
{
	return (reach->reached > 0 && reach->reached * 2 >= reach->others);
}

bool
witness_may_move(const struct controller *c, int32_t broker_id, int64_t now_ns)
{
	const struct witness *w = witness_find(c, broker_id);

	return (w != NULL && (w->moved_ns == 0 ||
	    now_ns - w->moved_ns >= MOVE_NS));
}

void
witness_moved(struct controller *c, int32_t broker_id, int64_t now_ns)
{
	struct witness *w = witness_find(c, broker_id);

	CHECK(w != NULL);
	w->moved_ns = now_ns;
}

static void
witness_say_alive(struct witness *w)
{
	if (!w->dead)
		return;
	w->dead = false;
	w->controller->evidence_changed = true;
	controller_look(w->controller);
}

static void
witness_say_dead(struct witness *w)
{
	if (!w->dead) {
		diag_info(w->controller->setup.diag, controller, "broker=%d is "
		    "dead by the evidence: its connection broke and every "
		    "listener refuses", (int)w->broker_id);
		w->controller->evidence_ns =
		    loop_now_ns(w->controller->setup.loop);
	}
	w->dead = w->controller->evidence_changed = true;
	/* Also when it was said before: a move may have had to wait. */
	controller_look(w->controller);
}

/* --- the registration ----------------------------------------------------- */

static enum verdict
witness_pause(struct task *t, int64_t pause_ns)
{
	task_sleep(t, pause_ns);
	return (task_next(t, witness_paused));
}

static enum verdict
witness_paused(struct task *t)
{
	struct witness *w = witness_of(t);

	if (!task_slept(t) && !w->hurry)
		return (STEP_WAIT);
	w->hurry = false;
	return (task_next(t, witness_read));
}

static enum verdict
witness_read(struct task *t)
{
	struct witness *w = witness_of(t);

	w->renew = false;
	zk_batch_free(&w->batch);
	w->batch = zk_batch_new(w->controller->setup.zk);
	w->op = zk_batch_get(w->batch, znode_broker_path(
	    zk_batch_arena(w->batch), w->broker_id), NULL);
	zk_batch_submit(w->batch, t);
	return (task_next(t, witness_found));
}

static struct peer *
witness_peer(struct witness *w, const struct znode_endpoint *endpoint,
    struct tls *tls)
{
	const struct controller_setup *setup = &w->controller->setup;
	struct peer *peer = peer_new(&(struct peer_setup){
	    .loop = setup->loop,
	    .sockets = setup->sockets,
	    .resolver = setup->resolver,
	    .tls = tls,
	    .host = endpoint->host,
	    .port = endpoint->port,
	    .client_id = "witness",
	    .connect_timeout_ms = PROBE_TIMEOUT_MS,
	    .request_timeout_ms = PROBE_TIMEOUT_MS,
	    .backoff_ms = PROBE_TIMEOUT_MS,
	    .response_bytes_max = 1,
	    .in_flight_max = 1,
	});

	peer_connect(peer);
	return (peer);
}

static enum verdict
line_begin(struct task *t)
{
	struct witness *w = witness_of(t);
	const struct controller_setup *setup = &w->controller->setup;

	for (size_t i = 0; i < w->node.endpoint_count; i++) {
		const struct znode_endpoint *endpoint = &w->node.endpoints[i];

		if (endpoint->host == NULL ||
		    strcmp(endpoint->listener, setup->listener) != 0)
			continue;
		if (w->line == NULL)
			w->line = witness_peer(w, endpoint, setup->tls);
		else
			peer_connect(w->line);
		return (task_next(t, witness_line));
	}
	return (witness_pause(t, PAUSE_ABSENT_NS));
}

/* An attempt tells only whether somebody listens: no TLS is spoken. */
static enum verdict
probe_begin(struct task *t)
{
	struct witness *w = witness_of(t);
	const struct znode_broker *node = &w->node;

	if (node->endpoint_count == 0 || node->endpoint_count > PROBES_MAX)
		return (line_begin(t));
	for (size_t i = 0; i < node->endpoint_count; i++)
		if (node->endpoints[i].host == NULL)
			return (line_begin(t));
	w->probe_count = node->endpoint_count;
	for (size_t i = 0; i < w->probe_count; i++) {
		/* One that was open says nothing of now. */
		if (w->probes[i] != NULL && peer_connected(w->probes[i]))
			peer_free(&w->probes[i]);
		if (w->probes[i] == NULL)
			w->probes[i] = witness_peer(w, &node->endpoints[i],
			    NULL);
		else
			peer_connect(w->probes[i]);
	}
	return (task_next(t, witness_probe));
}

static enum verdict
witness_found(struct task *t)
{
	struct witness *w = witness_of(t);
	const struct zk_op *read = w->op;

	if (!zk_batch_done(w->batch))
		return (STEP_WAIT);
	if (read->rc != ZK_OK || !znode_broker_decode(read->answer,
		zk_batch_arena(w->batch), &w->node)) {
		w->epoch = w->owner = w->mzxid = 0;
		w->held = false;
		peers_end(w);
		witness_say_alive(w);
		return (witness_pause(t, PAUSE_ABSENT_NS));
	}
	if (read->stat.czxid != w->epoch || read->stat.mzxid != w->mzxid) {
		/* Other listeners, perhaps: none of them was reached. */
		peers_end(w);
		w->held = false;
		witness_say_alive(w);
	}
	w->epoch = read->stat.czxid;
	w->owner = read->stat.ephemeral_owner;
	w->mzxid = read->stat.mzxid;
	return (w->held ? probe_begin(t) : line_begin(t));
}

/* --- the line ------------------------------------------------------------- */

static enum verdict
witness_line(struct task *t)
{
	struct witness *w = witness_of(t);
	int64_t now_ns = loop_now_ns(task_loop(t));

	waitq_join(peer_changed(w->line), &w->line_link, t);
	if (w->renew) {
		line_end(w);
		w->hurry = w->renew = false;
		return (task_next(t, witness_read));
	}
	if (peer_connected(w->line)) {
		if (!w->up) {
			w->up_ns = now_ns;
			diag_debug(w->controller->setup.diag, controller,
			    "broker=%d is watched by broker=%d",
			    (int)w->broker_id,
			    (int)w->controller->setup.broker_id);
			/* What is known of others may count now. */
			w->controller->evidence_changed = true;
			controller_look(w->controller);
		}
		w->up = w->held = true;
		witness_say_alive(w);
		return (STEP_WAIT);
	}
	if (peer_connecting(w->line))
		return (STEP_WAIT);
	if (w->up && now_ns - w->up_ns >= CALM_NS)
		w->pause_ns = 0;
	w->up = w->hurry = false;
	w->pause_ns = w->pause_ns == 0 ? PAUSE_FIRST_NS : w->pause_ns * 2;
	if (w->pause_ns > PAUSE_LAST_NS)
		w->pause_ns = PAUSE_LAST_NS;
	return (witness_pause(t, w->pause_ns));
}

/* --- probes --------------------------------------------------------------- */

static enum verdict
witness_probe(struct task *t)
{
	struct witness *w = witness_of(t);
	bool open = false, waits = false, refused = true;

	for (size_t i = 0; i < w->probe_count; i++) {
		struct peer *probe = w->probes[i];

		waitq_join(peer_changed(probe), &w->probe_links[i], t);
		open = open || peer_connected(probe);
		waits = waits || peer_connecting(probe);
		refused = refused && peer_last_error(probe) == PEER_REFUSED;
	}
	if (!open && waits)
		return (STEP_WAIT);
	if (open) {
		for (size_t i = 0; i < w->probe_count; i++)
			if (peer_connected(w->probes[i]))
				peer_free(&w->probes[i]);
		witness_say_alive(w);
		return (line_begin(t));
	}
	if (refused)
		witness_say_dead(w);
	w->hurry = false;
	return (witness_pause(t, PAUSE_PROBE_NS));
}
