/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "base/text.h"
#include "metrics/metrics.h"

/* A request has no body worth reading, and few headers. */
#define ADMIN_HEADERS_MAX 16384
#define ADMIN_BODY_MAX 1024
#define ADMIN_TIMEOUT_S 30

struct admin {
	struct admin_setup setup;
	struct event_base *base;
	struct evhttp *http;
	pthread_t thread;
	bool running;
	pthread_mutex_t metrics_mutex; /* over a page that is being made */
	bool metrics_ended;
};

static void
admin_answer(struct evhttp_request *request, int status, const char *type,
    struct slice text)
{
	struct evbuffer *body = evbuffer_new();

	if (body == NULL || evbuffer_add(body, text.data, text.length) != 0) {
		evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
	} else {
		evhttp_add_header(evhttp_request_get_output_headers(request),
		    "Content-Type", type);
		evhttp_send_reply(request, status, NULL, body);
	}
	if (body != NULL)
		evbuffer_free(body);
}

/* False: there are none any more. */
static bool
admin_expose(struct admin *a, struct buffer *page)
{
	bool good;

	CHECK(pthread_mutex_lock(&a->metrics_mutex) == 0);
	good = !a->metrics_ended;
	if (good)
		metrics_expose(a->setup.metrics, page);
	CHECK(pthread_mutex_unlock(&a->metrics_mutex) == 0);
	return (good);
}

static void
admin_metrics(struct evhttp_request *request, void *arg)
{
	struct buffer page = BUFFER_EMPTY;

	if (admin_expose(arg, &page))
		admin_answer(request, HTTP_OK, METRICS_CONTENT_TYPE,
		    buffer_slice(&page));
	else
		admin_answer(request, HTTP_SERVUNAVAIL, "text/plain",
		    SLICE_LITERAL("stopping\n"));
	buffer_fini(&page);
}

void
admin_end_metrics(struct admin *a)
{
	CHECK(pthread_mutex_lock(&a->metrics_mutex) == 0);
	a->metrics_ended = true;
	CHECK(pthread_mutex_unlock(&a->metrics_mutex) == 0);
}

static void
admin_yes_or_no(struct evhttp_request *request, bool yes)
{
	admin_answer(request, yes ? HTTP_OK : HTTP_SERVUNAVAIL, "text/plain",
	    yes ? SLICE_LITERAL("ok\n") : SLICE_LITERAL("no\n"));
}

static void
admin_healthz(struct evhttp_request *request, void *arg)
{
	struct admin *a = arg;

	admin_yes_or_no(request, a->setup.healthy(a->setup.arg));
}

static void
admin_readyz(struct evhttp_request *request, void *arg)
{
	struct admin *a = arg;

	admin_yes_or_no(request, a->setup.ready(a->setup.arg));
}

/*
 * One that closes its own descriptor.  Left to itself, evhttp closes it first
 * and takes it out of the epoll afterwards, when another thread may have been
 * given the number.
 */
static struct bufferevent *
admin_bufferevent(struct event_base *base, void *arg)
{
	(void)arg;
	return (bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE));
}

static void *
admin_run(void *arg)
{
	struct admin *a = arg;

	event_base_loop(a->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return (NULL);
}

/* host:port, the host in brackets or not. */
static bool
admin_bind(struct admin *a)
{
	char *address = mem_strdup(a->setup.address);
	char *colon = strrchr(address, ':');
	char *host = address;
	int32_t port = 0;
	bool good = colon != NULL &&
	    text_to_int32(slice_of_text(colon + 1), &port) && port >= 0 &&
	    port <= 65535;

	if (good) {
		*colon = '\0';
		if (host[0] == '[' && colon > host && colon[-1] == ']') {
			colon[-1] = '\0';
			host++;
		}
		errno = 0;
		good = evhttp_bind_socket(a->http, host, (uint16_t)port) == 0;
	}
	if (!good)
		diag_error(a->setup.diag, daemon,
		    "barnabas.admin.listener=%s cannot be listened on: %s",
		    a->setup.address,
		    errno != 0 ? strerror(errno) : "it must read host:port");
	mem_free(address);
	return (good);
}

static bool
admin_start(struct admin *a)
{
	sigset_t all, before;
	int error;

	a->base = event_base_new();
	a->http = a->base == NULL ? NULL : evhttp_new(a->base);
	if (a->http == NULL || evthread_make_base_notifiable(a->base) != 0)
		return (false);
	evhttp_set_max_headers_size(a->http, ADMIN_HEADERS_MAX);
	evhttp_set_max_body_size(a->http, ADMIN_BODY_MAX);
	evhttp_set_timeout(a->http, ADMIN_TIMEOUT_S);
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_bevcb(a->http, admin_bufferevent, NULL);
	evhttp_set_cb(a->http, "/metrics", admin_metrics, a);
	evhttp_set_cb(a->http, "/healthz", admin_healthz, a);
	evhttp_set_cb(a->http, "/readyz", admin_readyz, a);
	if (!admin_bind(a))
		return (false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&a->thread, NULL, admin_run, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	a->running = error == 0;
	return (a->running);
}

struct admin *
admin_new(const struct admin_setup *setup)
{
	struct admin *a = mem_zalloc(sizeof(*a));

	a->setup = *setup;
	CHECK(pthread_mutex_init(&a->metrics_mutex, NULL) == 0);
	evthread_use_pthreads();
	if (!admin_start(a))
		admin_free(&a);
	return (a);
}

void
admin_free(struct admin **admin)
{
	struct admin *a = *admin;

	if (a == NULL)
		return;
	if (a->running) {
		/* An event in the loop, where loopbreak would be forgotten by a
		 * thread that has not entered its loop yet. */
		(void)event_base_loopexit(a->base, NULL);
		pthread_join(a->thread, NULL);
	}
	if (a->http != NULL)
		evhttp_free(a->http);
	if (a->base != NULL)
		event_base_free(a->base);
	CHECK(pthread_mutex_destroy(&a->metrics_mutex) == 0);
	mem_free(a);
	*admin = NULL;
}
