/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of the ZooKeeper in memory: what stands where the C client
 * stands in life.
 */
#include "zkglue/fake_int.h"

#include <errno.h>

#include "base/mem.h"

/* --- messages ------------------------------------------------------------- */

static void
client_ref(struct fake_client *client)
{
	client->references++;
}

void
fake_client_unref(struct fake_client *client)
{
	if (--client->references > 0)
		return;
	mem_free(client->chroot);
	mem_free(client);
}

static struct fake_message *
message_new(struct fake_client *client, enum fake_message_kind kind,
    void (*run)(struct post *post))
{
	struct fake_message *message = mem_zalloc(sizeof(*message));

	message->kind = kind;
	message->client = client;
	message->generation = client->generation;
	message->post.run = run;
	list_init(&message->link);
	client_ref(client);
	return (message);
}

static void
message_free(struct fake_message *message)
{
	list_remove(&message->link);
	fake_client_unref(message->client);
	mem_free(message);
}

/* On the client's loop. */
static void
message_arrive(struct post *post)
{
	struct fake_message *message =
	    container_of(post, struct fake_message, post);
	struct fake_client *client = message->client;
	struct zk_session_sink *sink = &client->setup.sink;

	if (!client->closed) {
		if (message->kind == FAKE_EVENT)
			(void)sink->on_event(sink->arg, message->event);
		else if (message->kind == FAKE_WATCH)
			sink->on_watch(sink->arg, message->cookie);
		else
			message->request->done(message->request,
			    message->kind == FAKE_LOST);
	}
	message_free(message);
}

/* On the server's loop. */
static void
message_serve(struct post *post)
{
	struct fake_message *message =
	    container_of(post, struct fake_message, post);
	struct fake_client *client = message->client;

	if (message->kind == FAKE_CONNECT) {
		client->connecting = false;
		if (!client->closed && !client->linked && !client->over &&
		    !client->driver->cut)
			fake_server_connect(client);
		message_free(message);
		return;
	}
	fake_server_request(message);
	if (client->closed || client->generation != message->generation) {
		message_free(message); /* lost, and told so already */
		return;
	}
	/* From here on it arrives, also if the link breaks behind it. */
	list_remove(&message->link);
	message->kind = FAKE_REPLY;
	message->post.run = message_arrive;
	loop_post(client->setup.loop, &message->post);
}

void
fake_client_tell(struct fake_client *client, enum zk_driver_event event)
{
	struct fake_message *message =
	    message_new(client, FAKE_EVENT, message_arrive);

	message->event = event;
	loop_post(client->setup.loop, &message->post);
}

void
fake_client_watch(struct fake_client *client, void *cookie)
{
	struct fake_message *message =
	    message_new(client, FAKE_WATCH, message_arrive);

	message->cookie = cookie;
	loop_post(client->setup.loop, &message->post);
}

static void
client_lost(struct fake_client *client, struct zk_driver_request *request)
{
	struct fake_message *message =
	    message_new(client, FAKE_LOST, message_arrive);

	message->request = request;
	loop_post(client->setup.loop, &message->post);
}

void
fake_client_reconnect(struct fake_client *client)
{
	struct fake_message *message;

	if (client->closed || client->linked || client->over ||
	    client->connecting || client->driver->cut)
		return;
	client->connecting = true;
	message = message_new(client, FAKE_CONNECT, message_serve);
	loop_post(client->fake->loop, &message->post);
}

static void
outstanding_lost(struct fake_client *client)
{
	struct list *element;

	while ((element = list_pop_head(&client->outstanding)) != NULL) {
		struct fake_message *message =
		    list_entry(element, struct fake_message, link);

		client_lost(client, message->request);
		if (message->held)
			message_free(message);
	}
}

void
fake_client_break(struct fake_client *client)
{
	bool linked = client->linked;

	if (client->closed)
		return;
	if (linked) {
		client->linked = false;
		client->generation++;
		fake_client_tell(client, ZK_EVENT_SUSPENDED);
	}
	outstanding_lost(client);
	if (linked && client->session != NULL)
		fake_session_left(client->session);
	fake_client_reconnect(client);
}

void
fake_client_flush(struct fake_client *client)
{
	LIST_EACH(element, &client->outstanding) {
		struct fake_message *message =
		    list_entry(element, struct fake_message, link);

		message->held = false;
		message->generation = client->generation;
		loop_post(client->fake->loop, &message->post);
	}
}

/* --- the driver ----------------------------------------------------------- */

static struct fake_client *
client_of(struct zk_session *session)
{
	return (container_of(session, struct fake_client, base));
}

static struct zk_session *
memory_open(struct zk_driver *base, const struct zk_session_setup *setup)
{
	struct fake_driver *driver =
	    container_of(base, struct fake_driver, driver);
	struct fake_client *client;
	struct slice chroot;

	if (zk_hosts_cut(setup->hosts, &chroot).length == 0) {
		errno = EINVAL;
		return (NULL);
	}
	client = mem_zalloc(sizeof(*client));
	client->base.driver = base;
	client->fake = driver->fake;
	client->driver = driver;
	client->setup = *setup;
	client->setup.hosts = NULL;
	client->chroot =
	    mem_strndup((const char *)chroot.data, chroot.length);
	client->references = 1;
	list_init(&client->outstanding);
	list_push_tail(&driver->clients, &client->link);
	fake_client_reconnect(client);
	return (&client->base);
}

static void
memory_submit(struct zk_session *session, struct zk_driver_request *request)
{
	struct fake_client *client = client_of(session);
	struct fake_message *message;

	CHECK(!client->closed);
	if (!client->linked &&
	    (client->session == NULL || client->driver->cut)) {
		client_lost(client, request);
		return;
	}
	message = message_new(client, FAKE_REQUEST, message_serve);
	message->request = request;
	/* As the C client: what comes while it connects waits for that, and so
	 * may overtake what the old connection lost. */
	message->held = !client->linked;
	list_push_tail(&client->outstanding, &message->link);
	if (!message->held)
		loop_post(client->fake->loop, &message->post);
}

static int64_t
memory_id(struct zk_session *session, uint8_t password[16])
{
	struct fake_client *client = client_of(session);

	memcpy(password, client->password, sizeof(client->password));
	return (client->id);
}

/* The client is no more; its messages find it closed. */
static void
client_end(struct fake_client *client)
{
	struct list *element;

	client->closed = true;
	client->linked = false;
	client->driver = NULL;
	client->session = NULL;
	list_remove(&client->link);
	while ((element = list_pop_head(&client->outstanding)) != NULL) {
		struct fake_message *message =
		    list_entry(element, struct fake_message, link);

		if (message->held)
			message_free(message);
	}
	fake_client_unref(client);
}

/* Without a link no last word is sent: the session lives until its time-out. */
static void
memory_close(struct zk_session *base)
{
	struct fake_client *client = client_of(base);
	struct fake_session *session = client->session;
	bool linked = client->linked;

	if (session != NULL)
		session->client = NULL;
	client_end(client);
	if (session != NULL && linked)
		fake_session_end(session);
}

/* With open sessions, it is a process that was killed. */
static void
memory_free(struct zk_driver *base)
{
	struct fake_driver *driver =
	    container_of(base, struct fake_driver, driver);

	LIST_EACH(element, &driver->clients) {
		struct fake_client *client =
		    list_entry(element, struct fake_client, link);

		if (client->session != NULL) {
			client->session->client = NULL;
			if (client->linked)
				fake_session_left(client->session);
		}
		client_end(client);
	}
	list_remove(&driver->link);
	mem_free(driver);
}

const struct zk_driver_ops fake_driver_ops = {
	.open = memory_open,
	.submit = memory_submit,
	.id = memory_id,
	.close = memory_close,
	.free = memory_free,
};
