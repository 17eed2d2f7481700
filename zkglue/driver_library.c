/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver over ZooKeeper's C client (libzookeeper_mt).  The client runs two
 * threads a session; its watch and completion functions copy what they are told
 * into a note and post it.  Opening and closing block and run on workers.
 *
 * We prefix the chroot ourselves: the client's own one frees paths twice when a
 * multi meets a session that has just expired.
 */
#include "zkglue/library_int.h"

#include <errno.h>

#include "base/mem.h"

/* How often the servers' names are looked up; at a lost connection anyway. */
#define RESOLVE_EVERY_MS 1000

static void inbox_drain(struct post *post);

/* --- notes ---------------------------------------------------------------- */

static void
session_unref(struct library_session *session)
{
	if (atomic_fetch_sub_explicit(&session->references, 1,
		memory_order_acq_rel) != 1)
		return;
	watch_table_fini(&session->watches);
	lock_fini(&session->lock);
	mem_free(session->chroot);
	mem_free(session);
}

static void
note_free(struct library_note *note)
{
	struct library_watch *watch;

	switch (note->kind) {
	case NOTE_EVENT:
		mem_free(container_of(note, struct library_event, note));
		break;
	case NOTE_WATCH:
		watch = container_of(note, struct library_watch, note);
		mem_free(watch->path);
		mem_free(watch);
		break;
	case NOTE_ANSWER:
		library_call_free(
		    container_of(note, struct library_call, note));
		break;
	}
}

void
library_deliver(struct library_session *session, struct library_note *note)
{
	bool post = false;
	bool closed;

	lock_take(&session->lock);
	if (note->kind == NOTE_ANSWER)
		list_remove(&container_of(note, struct library_call,
		    note)->under_way);
	closed = session->closed;
	if (!closed) {
		list_push_tail(&session->inbox, &note->link);
		post = !session->posted;
		session->posted = true;
	}
	lock_release(&session->lock);
	if (closed)
		note_free(note);
	if (post) {
		atomic_fetch_add(&session->references, 1);
		loop_post(session->setup.loop, &session->post);
	}
}

/*
 * The client has one watch function and one argument for all paths: given one
 * each, it would compare them all pairwise at every change of the connection.
 * It tells path and kind; whom that concerns stands in our table.
 */
static void
watch_say(struct library_session *session, const struct library_watch *watch)
{
	unsigned kinds = WATCH_DATA | WATCH_CHILDREN;

	if (watch->type == ZOO_CREATED_EVENT ||
	    watch->type == ZOO_CHANGED_EVENT)
		kinds = WATCH_DATA;
	else if (watch->type == ZOO_CHILD_EVENT)
		kinds = WATCH_CHILDREN;
	watch_table_fire(&session->watches, watch->path, kinds,
	    session->setup.sink.on_watch, session->setup.sink.arg);
}

static void
watch_renounce(void *arg, const char *path)
{
	struct library_session *session = arg;

	/* At once: "local" asks no server. */
	zoo_remove_all_watches(session->handle, path, ZWATCHTYPE_ANY, 1);
}

/*
 * When a connection is back, the client arms all watches again in one packet.
 * A server closes the connection on one beyond its jute.maxbuffer, for ever.
 * So too many watches are given up with the connection, and count as fired.
 */
static void
watches_bound(struct library_session *session)
{
	if (session->watches.path_bytes <= WATCHED_BYTES_MAX)
		return;
	watch_table_paths(&session->watches, watch_renounce, session);
	watch_table_fire_all(&session->watches, session->setup.sink.on_watch,
	    session->setup.sink.arg);
}

static void
note_say(struct library_session *session, struct library_note *note)
{
	struct library_event *event;

	switch (note->kind) {
	case NOTE_EVENT:
		event = container_of(note, struct library_event, note);
		if (event->event == ZK_EVENT_CONNECTED) {
			session->id = event->id;
			memcpy(session->password, event->password,
			    sizeof(session->password));
		}
		if (session->setup.sink.on_event(session->setup.sink.arg,
			event->event) && event->event == ZK_EVENT_SUSPENDED)
			watches_bound(session);
		break;
	case NOTE_WATCH:
		watch_say(session,
		    container_of(note, struct library_watch, note));
		break;
	case NOTE_ANSWER:
		library_call_answer(
		    container_of(note, struct library_call, note));
		break;
	}
}

/* The next note, or NULL when there is none or the session was closed. */
static struct library_note *
inbox_next(struct library_session *session)
{
	struct list *element;

	lock_take(&session->lock);
	element = list_pop_head(&session->inbox);
	if (element == NULL)
		session->posted = false;
	lock_release(&session->lock);
	return (element == NULL
		? NULL : list_entry(element, struct library_note, link));
}

static void
inbox_drain(struct post *post)
{
	struct library_session *session =
	    container_of(post, struct library_session, post);
	struct library_note *note;

	while ((note = inbox_next(session)) != NULL) {
		note_say(session, note);
		note_free(note);
	}
	session_unref(session);
}

/* --- the client's words --------------------------------------------------- */

static void
event_note(struct library_session *session, zhandle_t *handle, int state)
{
	struct library_event *event = mem_zalloc(sizeof(*event));

	event->note.kind = NOTE_EVENT;
	if (state == ZOO_CONNECTED_STATE) {
		const clientid_t *id = zoo_client_id(handle);

		event->event = ZK_EVENT_CONNECTED;
		event->id = id->client_id;
		memcpy(event->password, id->passwd, sizeof(event->password));
	} else if (state == ZOO_EXPIRED_SESSION_STATE) {
		event->event = ZK_EVENT_EXPIRED;
	} else if (state == ZOO_AUTH_FAILED_STATE) {
		event->event = ZK_EVENT_AUTH_FAILED;
	} else {
		event->event = ZK_EVENT_SUSPENDED;
	}
	library_deliver(session, &event->note);
}

/* Both the session's and every node's watch function. */
static void
on_watch(zhandle_t *handle, int type, int state, const char *path,
    void *context)
{
	struct library_session *session = context;
	struct library_watch *watch;

	if (type == ZOO_SESSION_EVENT) {
		event_note(session, handle, state);
		return;
	}
	if (path == NULL)
		return;
	watch = mem_zalloc(sizeof(*watch));
	watch->note.kind = NOTE_WATCH;
	watch->type = type;
	watch->path = mem_strdup(path);
	library_deliver(session, &watch->note);
}

/* --- the driver ----------------------------------------------------------- */

static struct zk_session *
library_open(struct zk_driver *driver, const struct zk_session_setup *setup)
{
	struct library_session *session = mem_zalloc(sizeof(*session));
	clientid_t resumed = { .client_id = setup->resume_id };
	struct slice chroot;
	struct slice cut = zk_hosts_cut(setup->hosts, &chroot);
	char *hosts = mem_strndup((const char *)cut.data, cut.length);

	session->base.driver = driver;
	session->setup = *setup;
	session->setup.hosts = NULL;
	session->chroot = mem_strndup((const char *)chroot.data,
	    chroot.length);
	lock_init(&session->lock, LOCK_RANK_LEAF);
	list_init(&session->inbox);
	list_init(&session->calls);
	session->post.run = inbox_drain;
	atomic_init(&session->references, 1);
	memcpy(resumed.passwd, setup->resume_password, sizeof(resumed.passwd));
	session->handle = zookeeper_init(hosts, on_watch, setup->timeout_ms,
	    setup->resume_id == 0 ? NULL : &resumed, session,
	    ZOO_NO_LOG_CLIENTENV);
	mem_free(hosts);
	if (session->handle == NULL) {
		int error = errno;

		session_unref(session);
		errno = error;
		return (NULL);
	}
	/* It would ask the resolver before each look at its socket. */
	(void)zoo_set_servers_resolution_delay(session->handle,
	    RESOLVE_EVERY_MS);
	return (&session->base);
}

static int64_t
library_id(struct zk_session *base, uint8_t password[16])
{
	struct library_session *session =
	    container_of(base, struct library_session, base);

	memcpy(password, session->password, sizeof(session->password));
	return (session->id);
}

/*
 * The client ends its threads before it answers.  They run the completions of
 * what is under way, whose notes go with the inbox, but not of what they have
 * not come to when they see the end: such calls are ours to free.
 */
static void
library_close(struct zk_session *base)
{
	struct library_session *session =
	    container_of(base, struct library_session, base);
	struct list notes;
	struct list *element;

	zookeeper_close(session->handle);
	list_init(&notes);
	lock_take(&session->lock);
	session->closed = true;
	list_splice_tail(&notes, &session->inbox);
	lock_release(&session->lock);
	while ((element = list_pop_head(&notes)) != NULL)
		note_free(list_entry(element, struct library_note, link));
	while ((element = list_pop_head(&session->calls)) != NULL)
		library_call_free(list_entry(element, struct library_call,
		    under_way));
	session_unref(session);
}

static void
library_free(struct zk_driver *driver)
{
	struct library_driver *library =
	    container_of(driver, struct library_driver, driver);

	library_log_free(library->log);
	mem_free(library);
}

static const struct zk_driver_ops library_ops = {
	.open = library_open,
	.submit = library_submit,
	.id = library_id,
	.close = library_close,
	.free = library_free,
};

struct zk_driver *
zk_driver_library(struct diag *diag)
{
	struct library_driver *library = mem_zalloc(sizeof(*library));

	library->driver.ops = &library_ops;
	library->diag = diag;
	library->log = library_log_new(diag);
	return (&library->driver);
}
