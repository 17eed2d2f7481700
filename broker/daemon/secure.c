/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloading of keys and certificates.
 *
 *	broker_reload_tls() --post--> the controller's loop
 *	                            | one at a time
 *	                         a worker reads the files, makes contexts, and
 *	                            | puts them to use: all or none
 *	                         told in the log; the next one, if asked for
 */
#include "daemon/broker_int.h"

#include "config/security.h"
#include "daemon/secure.h"
#include "metrics/metrics.h"

/* Until a change of /config/brokers is over, which may bring other files. */
#define LATER_NS ((int64_t)100 * 1000000)

static void tls_asked(struct post *post);
static void tls_look(struct timer *timer);
static void tls_run(struct work *work);
static void tls_done(struct work *work);

void
broker_tls_init(struct broker *b)
{
	lock_init(&b->tls.lock, LOCK_RANK_TLS);
	b->tls.asked.run = tls_asked;
	timer_init(&b->tls.later, b->control, tls_look);
	list_init(&b->tls.asked.link);
	b->tls.work.run = tls_run;
	b->tls.work.done = tls_done;
	b->tls.work.home = b->control;
}

void
broker_tls_fini(struct broker *b)
{
	tls_free(&b->tls.peers);
	tls_free(&b->tls.followers);
	lock_fini(&b->tls.lock);
}

/* What says how brokers are spoken to there; NULL: without TLS. */
static const struct security_options *
peers_security(const struct net_options *net, const char *listener)
{
	const struct config_listener *l = listener_list_find(
	    &net->listener_list, listener);

	return (l == NULL ? NULL : l->security);
}

static bool
tls_begin(struct broker *b, const char *listener, struct tls **out)
{
	const struct security_options *security =
	    peers_security(&b->options->net, listener);
	struct tls_report report;

	if (security == NULL)
		return (true);
	*out = tls_new(TLS_CLIENT, "brokers");
	tls_offer_kernel(*out, b->setup.seams.sockets);
	if (tls_load(*out, security, false, &report))
		return (true);
	diag_error(b->setup.seams.diag, daemon, "listener=%s brokers cannot "
	    "speak TLS to each other: %s", listener, report.error);
	return (false);
}

bool
broker_tls_start(struct broker *b)
{
	const struct net_options *net = &b->options->net;

	return (tls_begin(b, broker_control_listener(b), &b->tls.peers) &&
	    (net->control_plane_listener == NULL ||
		tls_begin(b, net->inter_broker_listener->name,
		    &b->tls.followers)));
}

struct tls *
broker_tls_of_followers(const struct broker *b)
{
	return (b->options->net.control_plane_listener == NULL ?
		b->tls.peers : b->tls.followers);
}

bool
broker_tls_idle(struct broker *b, struct task *task)
{
	timer_disarm(&b->tls.later);
	b->tls.waiter = task_ref(task);
	return (!b->tls.running);
}

/* --- anew ----------------------------------------------------------------- */

void
broker_tls_started(struct broker *b)
{
	b->tls.started = true;
	if (b->tls.again)
		tls_look(&b->tls.later);
}

void
broker_reload_tls(struct broker *b)
{
	if (!atomic_exchange(&b->tls.posted, true))
		loop_post(b->control, &b->tls.asked);
}

static void
tls_asked(struct post *post)
{
	struct broker *b = container_of(post, struct broker, tls.asked);

	atomic_store(&b->tls.posted, false);
	tls_look(&b->tls.later);
}

static void
tls_look(struct timer *timer)
{
	struct broker *b = container_of(timer, struct broker, tls.later);

	b->tls.again = b->tls.running || !b->tls.started;
	if (b->tls.again || broker_state(b) != BROKER_RUNNING)
		return;
	if (!dynamic_at_rest(b->dynamic)) {
		timer_arm_in(timer, LATER_NS);
		return;
	}
	b->tls.running = true;
	b->tls.config = config_ref(dynamic_config(b->dynamic));
	work_submit(b->disk, &b->tls.work);
}

/* NULL in *out where there is nothing to do. */
static bool
tls_next(struct broker *b, struct tls *tls, const char *listener,
    const struct net_options *net, struct tls_context **out,
    struct tls_report *report)
{
	const struct security_options *next = peers_security(net, listener);
	struct security_options security;

	if (tls == NULL || next == NULL)
		return (true);
	security = *peers_security(&b->options->net, listener);
	security_take_stores(&security, next);
	*out = tls_prepare(tls, &security, false, report);
	return (*out != NULL);
}

bool
broker_tls_change(struct broker *b, const struct net_options *net, bool use,
    struct tls_report *report)
{
	struct tls_context *peers = NULL, *followers = NULL;
	bool good;

	lock_take(&b->tls.lock);
	good = tls_next(b, b->tls.peers, broker_control_listener(b), net,
		&peers, report) &&
	    tls_next(b, b->tls.followers,
		b->options->net.inter_broker_listener->name, net, &followers,
		report) &&
	    net_tls_reload(b->net, &net->listener_list, use, report);
	if (good && use && peers != NULL)
		tls_use(b->tls.peers, &peers);
	if (good && use && followers != NULL)
		tls_use(b->tls.followers, &followers);
	tls_context_unref(&peers);
	tls_context_unref(&followers);
	lock_release(&b->tls.lock);
	return (good);
}

static void
tls_run(struct work *work)
{
	struct broker *b = container_of(work, struct broker, tls.work);

	b->tls.good = broker_tls_change(b, &config_options(
	    b->tls.config)->net, true, &b->tls.report);
}

static void
tls_done(struct work *work)
{
	struct broker *b = container_of(work, struct broker, tls.work);
	struct diag *diag = b->setup.seams.diag;

	b->tls.running = false;
	config_unref(b->tls.config);
	if (b->tls.good) {
		diag_info(diag, daemon, "TLS keys and certificates are read "
		    "again");
		if (b->tls.report.warning[0] != '\0')
			diag_warn(diag, daemon, "TLS: %s",
			    b->tls.report.warning);
	} else {
		metrics_add(b->setup.metrics, METRIC_TLS_RELOAD_FAILURES, 1);
		diag_error(diag, daemon, "TLS keys and certificates cannot be "
		    "used, the old ones stay: %s", b->tls.report.error);
	}
	if (b->tls.again)
		broker_reload_tls(b);
	b->tls.again = false;
	if (b->tls.waiter.loop != NULL)
		task_wake_ref(b->tls.waiter);
}
