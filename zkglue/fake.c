/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server in memory: sessions, writes, reads, watches, and the bad days.
 * A session lives from its first CONNECT until its client closes it, its time
 * runs out while nobody is linked to it, or a test expires it.
 */
#include "zkglue/fake_int.h"

#include <stdlib.h>

#include "base/mem.h"

static void expiry_due(struct timer *timer);

/* --- birth and end -------------------------------------------------------- */

struct zk_fake *
zk_fake_new(struct scheduler *scheduler)
{
	struct zk_fake *fake = mem_zalloc(sizeof(*fake));

	fake->scheduler = scheduler;
	fake->loop = loop_new(scheduler, "zookeeper");
	fake_tree_init(&fake->tree);
	list_init(&fake->sessions);
	list_init(&fake->drivers);
	fake->next_session_id = 0x100000000000001;
	timer_init(&fake->expiry, fake->loop, expiry_due);
	loop_start(fake->loop);
	return (fake);
}

static void
session_free(struct fake_session *session)
{
	struct list *element;

	list_remove(&session->link);
	watch_table_fini(&session->watches);
	while ((element = list_pop_head(&session->pending)) != NULL)
		mem_free(list_entry(element, struct fake_message, link));
	mem_free(session);
}

void
zk_fake_free(struct zk_fake *fake)
{
	CHECK(list_empty(&fake->drivers));
	LIST_EACH(element, &fake->sessions)
		session_free(list_entry(element, struct fake_session, link));
	loop_stop(fake->loop);
	timer_disarm(&fake->expiry);
	loop_free(fake->loop);
	fake_tree_fini(&fake->tree);
	mem_free(fake);
}

struct zk_driver *
zk_fake_driver(struct zk_fake *fake)
{
	struct fake_driver *driver = mem_zalloc(sizeof(*driver));

	driver->driver.ops = &fake_driver_ops;
	driver->fake = fake;
	list_init(&driver->clients);
	list_push_tail(&fake->drivers, &driver->link);
	return (&driver->driver);
}

/* --- watches -------------------------------------------------------------- */

static void
session_fire(void *arg, void *cookie)
{
	struct fake_session *session = arg;
	struct fake_message *message;

	if (session->client != NULL && session->client->linked) {
		fake_client_watch(session->client, cookie);
		return;
	}
	message = mem_zalloc(sizeof(*message));
	message->cookie = cookie;
	list_push_tail(&session->pending, &message->link);
}

static void
watches_fire(struct zk_fake *fake, const char *path, unsigned kinds)
{
	LIST_EACH(element, &fake->sessions) {
		struct fake_session *session =
		    list_entry(element, struct fake_session, link);

		watch_table_fire(&session->watches, path, kinds, session_fire,
		    session);
	}
}

/* The watches hear of what was done, then it stays done. */
static void
changes_commit(struct zk_fake *fake, struct list *changes)
{
	LIST_EACH(element, changes) {
		struct fake_change *change =
		    list_entry(element, struct fake_change, link);
		unsigned kinds = change->kind == FAKE_DELETED
		    ? WATCH_DATA | WATCH_CHILDREN : WATCH_DATA;

		watches_fire(fake, change->node->path, kinds);
		if (change->kind != FAKE_SET)
			watches_fire(fake, change->node->parent->path,
			    WATCH_CHILDREN);
	}
	fake_tree_commit(changes);
}

/* --- sessions ------------------------------------------------------------- */

static int64_t
now_ms(const struct zk_fake *fake)
{
	return (clock_wall_ms(scheduler_clock(fake->scheduler)));
}

static void
ephemerals_delete(struct zk_fake *fake, int64_t owner)
{
	struct list changes;

	list_init(&changes);
	fake->tree.zxid++;
	HASH_EACH(found, &fake->tree.nodes) {
		struct fake_node *node =
		    container_of(found, struct fake_node, hash);
		struct fake_write write = {
			.kind = ZK_OP_DELETE,
			.path = node->path,
			.version = ZK_ANY_VERSION,
		};

		if (node->stat.ephemeral_owner == owner)
			CHECK(fake_tree_write(&fake->tree, &write,
				  &changes) == ZK_OK);
	}
	changes_commit(fake, &changes);
}

void
fake_session_end(struct fake_session *session)
{
	struct fake_client *client = session->client;

	watch_table_fini(&session->watches);
	ephemerals_delete(session->fake, session->id);
	session_free(session);
	if (client != NULL) {
		client->session = NULL;
		fake_client_break(client);
	}
}

/* Arms for the session whose time runs out first. */
static void
expiry_arm(void *arg)
{
	struct zk_fake *fake = arg;
	int64_t first = INT64_MAX;

	LIST_EACH(element, &fake->sessions) {
		int64_t deadline = list_entry(element, struct fake_session,
		    link)->deadline_ns;

		if (deadline != 0 && deadline < first)
			first = deadline;
	}
	if (first != INT64_MAX)
		timer_arm_at(&fake->expiry, first);
}

static void
expiry_due(struct timer *timer)
{
	struct zk_fake *fake = container_of(timer, struct zk_fake, expiry);
	int64_t now = loop_now_ns(fake->loop);

	LIST_EACH(element, &fake->sessions) {
		struct fake_session *session =
		    list_entry(element, struct fake_session, link);

		if (session->deadline_ns != 0 && session->deadline_ns <= now)
			fake_session_end(session);
	}
	expiry_arm(fake);
}

/* Called from anywhere, while the timer is the server loop's. */
void
fake_session_left(struct fake_session *session)
{
	struct zk_fake *fake = session->fake;

	session->deadline_ns = session->timeout_ns +
	    clock_mono_ns(scheduler_clock(fake->scheduler));
	loop_post_call(fake->loop, expiry_arm, fake);
}

static struct fake_session *
session_new(struct zk_fake *fake, int timeout_ms)
{
	struct fake_session *session = mem_zalloc(sizeof(*session));

	session->fake = fake;
	session->id = fake->next_session_id++;
	for (size_t i = 0; i < sizeof(session->password); i++)
		session->password[i] =
		    (uint8_t)(session->id * 31 + (int64_t)i * 7);
	session->timeout_ns = (int64_t)timeout_ms * 1000000;
	list_init(&session->pending);
	list_push_tail(&fake->sessions, &session->link);
	return (session);
}

static struct fake_session *
session_resume(struct zk_fake *fake, const struct zk_session_setup *setup)
{
	LIST_EACH(element, &fake->sessions) {
		struct fake_session *session =
		    list_entry(element, struct fake_session, link);

		if (session->id == setup->resume_id &&
		    memcmp(session->password, setup->resume_password,
			sizeof(session->password)) == 0)
			return (session);
	}
	return (NULL);
}

/* A first connection finds or makes its session, a later one finds it again. */
static struct fake_session *
session_find(struct fake_client *client)
{
	if (client->asked)
		return (client->session);
	client->asked = true;
	if (client->setup.resume_id != 0)
		return (session_resume(client->fake, &client->setup));
	return (session_new(client->fake, client->setup.timeout_ms));
}

void
fake_server_connect(struct fake_client *client)
{
	struct fake_session *session = session_find(client);
	struct list *element;

	if (client->forgotten) {
		client->linked = true;
		fake_client_tell(client, ZK_EVENT_CONNECTED);
		fake_client_flush(client);
		return;
	}
	if (session == NULL) {
		client->over = true;
		fake_client_tell(client, ZK_EVENT_EXPIRED);
		return;
	}
	if (session->client != NULL && session->client != client) {
		struct fake_client *old = session->client;

		old->session = NULL;
		fake_client_break(old);
	}
	session->deadline_ns = 0;
	session->client = client;
	client->session = session;
	client->id = session->id;
	memcpy(client->password, session->password, sizeof(client->password));
	client->linked = true;
	fake_client_tell(client, ZK_EVENT_CONNECTED);
	while ((element = list_pop_head(&session->pending)) != NULL) {
		struct fake_message *message =
		    list_entry(element, struct fake_message, link);

		fake_client_watch(client, message->cookie);
		mem_free(message);
	}
	fake_client_flush(client);
}

/* --- requests ------------------------------------------------------------- */

bool
fake_op_writes(const struct zk_op *op)
{
	return (op->kind != ZK_OP_GET && op->kind != ZK_OP_EXISTS &&
	    op->kind != ZK_OP_CHILDREN && op->kind != ZK_OP_ACL);
}

static enum zk_rc
children_answer(struct fake_node *node, struct zk_op *op, struct arena *arena)
{
	size_t at = 0;

	op->child_count = (size_t)node->stat.children_count;
	op->children = arena_array(arena, op->child_count + 1,
	    sizeof(*op->children));
	if (op->children == NULL)
		return (ZK_TOO_LARGE);
	LIST_EACH(element, &node->children) {
		struct fake_node *child =
		    list_entry(element, struct fake_node, sibling);

		op->children[at++] =
		    arena_strdup(arena, strrchr(child->path, '/') + 1);
	}
	CHECK(at == op->child_count);
	return (ZK_OK);
}

static int
name_compare(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return (strcmp(*left, *right));
}

static enum zk_rc
read_apply(struct fake_client *client, struct zk_driver_request *request,
    const char *path)
{
	struct zk_op *op = request->op;
	struct fake_node *node = fake_tree_find(&client->fake->tree, path);
	bool ok = true;

	if (request->watch_cookie != NULL &&
	    (node != NULL || op->kind == ZK_OP_EXISTS))
		watch_table_add(&client->session->watches, path,
		    request->watch_cookie, op->kind == ZK_OP_CHILDREN
			? WATCH_CHILDREN : WATCH_DATA);
	if (node == NULL)
		return (ZK_NO_NODE);
	if (client->fake->forbidden != NULL && op->kind != ZK_OP_EXISTS &&
	    strcmp(client->fake->forbidden, path) == 0)
		return (ZK_NO_AUTH);
	op->stat = node->stat;
	if (op->kind == ZK_OP_GET)
		op->answer = arena_slice_copy(request->arena, node->data, &ok);
	if (op->kind == ZK_OP_ACL)
		op->answer = SLICE_LITERAL(ZK_ACL_OPEN);
	if (op->kind == ZK_OP_CHILDREN) {
		ok = children_answer(node, op, request->arena) == ZK_OK;
		if (ok)
			qsort(op->children, op->child_count,
			    sizeof(*op->children), name_compare);
	}
	return (ok ? ZK_OK : ZK_TOO_LARGE);
}

static enum zk_rc
part_apply(struct fake_client *client, struct zk_driver_request *request,
    struct zk_op *op, struct list *changes)
{
	const char *chroot = request->absolute ? "" : client->chroot;
	struct fake_write write = {
		.kind = op->kind,
		.path = zk_path_full(request->arena, chroot, op->path),
		.data = op->data,
		.version = op->version,
		.flags = op->flags,
		.owner = client->session->id,
		.now_ms = now_ms(client->fake),
	};

	if (!zk_path_valid(write.path, op->kind == ZK_OP_CREATE &&
		(op->flags & ZK_SEQUENTIAL) != 0))
		return (op->rc = ZK_OTHER);
	op->rc = fake_tree_write(&client->fake->tree, &write, changes);
	if (op->rc != ZK_OK || write.node == NULL)
		return (op->rc);
	op->stat = write.node->stat;
	if (op->kind == ZK_OP_CREATE)
		op->answer = slice_of_text(arena_strdup(request->arena,
		    write.node->path + strlen(chroot)));
	return (ZK_OK);
}

static enum zk_rc
multi_apply(struct fake_client *client, struct zk_driver_request *request,
    struct list *changes)
{
	struct zk_op *op = request->op;
	enum zk_rc failed = ZK_OK;

	for (size_t i = 0; i < op->part_count; i++) {
		struct zk_op *part = op->parts + i;

		if (failed == ZK_OK)
			failed = part_apply(client, request, part, changes);
		else
			part->rc = ZK_ROLLED_BACK;
	}
	for (size_t i = 0; failed != ZK_OK && i < op->part_count; i++)
		if (op->parts[i].rc == ZK_OK)
			op->parts[i].rc = ZK_ROLLED_BACK;
	return (failed);
}

static enum zk_rc
write_apply(struct fake_client *client, struct zk_driver_request *request)
{
	struct zk_fake *fake = client->fake;
	struct list changes;
	enum zk_rc rc;

	list_init(&changes);
	fake->tree.zxid++;
	if (request->op->kind == ZK_OP_MULTI)
		rc = multi_apply(client, request, &changes);
	else
		rc = part_apply(client, request, request->op, &changes);
	if (rc == ZK_OK)
		changes_commit(fake, &changes);
	else
		fake_tree_undo(&fake->tree, &changes);
	return (rc);
}

static bool
request_stale(const struct fake_message *message)
{
	const struct fake_client *client = message->client;

	return (client->closed || client->generation != message->generation);
}

/* Applies; the message then goes back as the reply, unless it was lost. */
void
fake_server_request(struct fake_message *message)
{
	struct fake_client *client = message->client;
	struct zk_driver_request *request = message->request;
	struct zk_op *op;

	if (request_stale(message))
		return;
	op = request->op;
	if (client->session == NULL) {
		op->rc = ZK_SESSION_EXPIRED;
		return;
	}
	if (!fake_op_writes(op)) {
		op->rc = read_apply(client, request,
		    zk_path_full(request->arena,
			request->absolute ? "" : client->chroot, op->path));
		return;
	}
	if (client->fake->on_write != NULL)
		client->fake->on_write(client->fake->on_write_arg,
		    &client->driver->driver, op);
	if (request_stale(message))
		return;
	op->rc = write_apply(client, request);
	if (client->driver->lose_next_reply) {
		client->driver->lose_next_reply = false;
		fake_client_break(client);
	}
}

/* --- bad days ------------------------------------------------------------- */

static struct fake_driver *
driver_of(struct zk_driver *driver)
{
	return (container_of(driver, struct fake_driver, driver));
}

void
zk_fake_lose_next_reply(struct zk_fake *fake, struct zk_driver *driver)
{
	CHECK(driver_of(driver)->fake == fake);
	driver_of(driver)->lose_next_reply = true;
}

void
zk_fake_cut(struct zk_fake *fake, struct zk_driver *driver, bool cut)
{
	CHECK(driver_of(driver)->fake == fake);
	driver_of(driver)->cut = cut;
	LIST_EACH(element, &driver_of(driver)->clients) {
		struct fake_client *client =
		    list_entry(element, struct fake_client, link);

		if (cut)
			fake_client_break(client);
		else
			fake_client_reconnect(client);
	}
}

void
zk_fake_expire(struct zk_fake *fake, struct zk_driver *driver)
{
	CHECK(driver_of(driver)->fake == fake);
	LIST_EACH(element, &driver_of(driver)->clients) {
		struct fake_client *client =
		    list_entry(element, struct fake_client, link);

		if (client->session != NULL)
			fake_session_end(client->session);
	}
}

void
zk_fake_disown(struct zk_fake *fake, struct zk_driver *driver)
{
	CHECK(driver_of(driver)->fake == fake);
	LIST_EACH(element, &driver_of(driver)->clients) {
		struct fake_client *client =
		    list_entry(element, struct fake_client, link);
		struct fake_session *session = client->session;

		if (session == NULL)
			continue;
		session->client = NULL;
		client->session = NULL;
		fake_session_left(session);
		fake_client_break(client);
	}
}

void
zk_fake_forget(struct zk_fake *fake, struct zk_driver *driver)
{
	CHECK(driver_of(driver)->fake == fake);
	LIST_EACH(element, &driver_of(driver)->clients) {
		struct fake_client *client =
		    list_entry(element, struct fake_client, link);
		struct fake_session *session = client->session;

		if (session == NULL)
			continue;
		session->client = NULL;
		client->session = NULL;
		client->forgotten = true;
		fake_session_end(session);
	}
}

void
zk_fake_forbid(struct zk_fake *fake, const char *path)
{
	fake->forbidden = path;
}

void
zk_fake_on_write(struct zk_fake *fake,
    void (*hook)(void *arg, struct zk_driver *driver, const struct zk_op *op),
    void *arg)
{
	fake->on_write = hook;
	fake->on_write_arg = arg;
}

/* --- looking at the tree -------------------------------------------------- */

bool
zk_fake_get(struct zk_fake *fake, const char *path, struct slice *data,
    struct zk_stat *stat)
{
	const struct fake_node *node = fake_tree_find(&fake->tree, path);

	if (node == NULL)
		return (false);
	if (data != NULL)
		*data = node->data;
	if (stat != NULL)
		*stat = node->stat;
	return (true);
}

static enum zk_rc
outside_write(struct zk_fake *fake, struct fake_write *write)
{
	struct list changes;
	enum zk_rc rc;

	list_init(&changes);
	fake->tree.zxid++;
	write->now_ms = now_ms(fake);
	rc = fake_tree_write(&fake->tree, write, &changes);
	if (rc == ZK_OK)
		changes_commit(fake, &changes);
	return (rc);
}

enum zk_rc
zk_fake_put(struct zk_fake *fake, const char *path, struct slice data)
{
	struct fake_write write = {
		.kind = ZK_OP_SET,
		.path = path,
		.data = data,
		.version = ZK_ANY_VERSION,
	};

	if (!zk_path_valid(path, false))
		return (ZK_OTHER);
	if (fake_tree_find(&fake->tree, path) != NULL)
		return (outside_write(fake, &write));
	for (const char *end = strchr(path + 1, '/'); end != NULL;
	    end = strchr(end + 1, '/')) {
		char *parent = mem_strndup(path, (size_t)(end - path));
		struct fake_write make = {
			.kind = ZK_OP_CREATE, .path = parent,
		};

		outside_write(fake, &make);
		mem_free(parent);
	}
	write.kind = ZK_OP_CREATE;
	return (outside_write(fake, &write));
}

enum zk_rc
zk_fake_delete(struct zk_fake *fake, const char *path)
{
	struct fake_write write = {
		.kind = ZK_OP_DELETE,
		.path = path,
		.version = ZK_ANY_VERSION,
	};

	return (outside_write(fake, &write));
}
