/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the C client.  The functions called on_* run on its thread and
 * touch nothing but their call; the rest runs on the loop.
 */
#include "zkglue/library_int.h"

#include "base/diag.h"
#include "base/mem.h"

/* Room for the number that a sequential's path gets, with the NUL. */
#define SEQUENCE_BYTES 16

/* --- completions: the client's thread ------------------------------------- */

static void
call_complete(const struct library_call *call, int rc)
{
	struct library_call *mine = (struct library_call *)(uintptr_t)call;

	mine->rc = rc;
	library_deliver(mine->session, &mine->note);
}

static bool
call_copy(struct library_call *call, const void *data, size_t length)
{
	call->data = mem_try_alloc(length + 1);
	if (call->data == NULL)
		return (false);
	if (length > 0)
		memcpy(call->data, data, length);
	call->data[length] = '\0';
	call->length = length;
	return (true);
}

static void
on_void(int rc, const void *arg)
{
	call_complete(arg, rc);
}

static void
on_stat(int rc, const struct Stat *stat, const void *arg)
{
	struct library_call *call = (struct library_call *)(uintptr_t)arg;

	if (rc == ZOK && stat != NULL)
		call->stat = *stat;
	call_complete(call, rc);
}

static void
on_data(int rc, const char *value, int length, const struct Stat *stat,
    const void *arg)
{
	struct library_call *call = (struct library_call *)(uintptr_t)arg;

	if (rc == ZOK && stat != NULL)
		call->stat = *stat;
	/* A length of -1 is null, 0 is empty. */
	if (rc == ZOK && length >= 0 &&
	    !call_copy(call, value, (size_t)length))
		rc = ZSYSTEMERROR;
	call_complete(call, rc);
}

static void
on_created(int rc, const char *path, const struct Stat *stat, const void *arg)
{
	struct library_call *call = (struct library_call *)(uintptr_t)arg;

	if (rc == ZOK && stat != NULL)
		call->stat = *stat;
	if (rc == ZOK && path != NULL &&
	    !call_copy(call, path, strlen(path)))
		rc = ZSYSTEMERROR;
	call_complete(call, rc);
}

static int
name_compare(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return (strcmp(*left, *right));
}

static bool
names_copy(struct library_call *call, const struct String_vector *names)
{
	size_t count = (size_t)names->count;
	size_t bytes = 1 + count * sizeof(char *);
	char *text;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(names->data[i]) + 1;
	call->names = mem_try_alloc(bytes);
	if (call->names == NULL)
		return (false);
	text = (char *)(call->names + count);
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(names->data[i]) + 1;

		memcpy(text, names->data[i], size);
		call->names[i] = text;
		text += size;
	}
	call->name_count = count;
	qsort(call->names, count, sizeof(char *), name_compare);
	return (true);
}

static void
on_children(int rc, const struct String_vector *names,
    const struct Stat *stat, const void *arg)
{
	struct library_call *call = (struct library_call *)(uintptr_t)arg;

	if (rc == ZOK && stat != NULL)
		call->stat = *stat;
	if (rc == ZOK && names != NULL && !names_copy(call, names))
		rc = ZSYSTEMERROR;
	call_complete(call, rc);
}

/* "scheme:id:cdrwa" each, with commas between them. */
static bool
acl_copy(struct library_call *call, const struct ACL_vector *acl)
{
	const struct {
		int right;
		char letter;
	} rights[] = {
		{ ZOO_PERM_CREATE, 'c' }, { ZOO_PERM_DELETE, 'd' },
		{ ZOO_PERM_READ, 'r' }, { ZOO_PERM_WRITE, 'w' },
		{ ZOO_PERM_ADMIN, 'a' },
	};
	struct buffer text = BUFFER_EMPTY;
	bool good;

	for (int32_t i = 0; i < acl->count; i++) {
		buffer_printf(&text, "%s%s:%s:", i == 0 ? "" : ",",
		    acl->data[i].id.scheme, acl->data[i].id.id);
		for (size_t r = 0; r < nelems(rights); r++)
			if ((acl->data[i].perms & rights[r].right) != 0)
				buffer_append(&text, &rights[r].letter, 1);
	}
	good = call_copy(call, text.data, text.length);
	buffer_fini(&text);
	return (good);
}

static void
on_acl(int rc, struct ACL_vector *acl, struct Stat *stat, const void *arg)
{
	struct library_call *call = (struct library_call *)(uintptr_t)arg;

	if (rc == ZOK && stat != NULL)
		call->stat = *stat;
	if (rc == ZOK && acl != NULL && !acl_copy(call, acl))
		rc = ZSYSTEMERROR;
	call_complete(call, rc);
}

/* --- sending: the loop ---------------------------------------------------- */

void
library_call_free(struct library_call *call)
{
	for (size_t i = 0; i < call->part_count; i++)
		mem_free(call->paths[i]);
	mem_free(call->paths);
	mem_free(call->stats);
	mem_free(call->results);
	mem_free(call->operations);
	mem_free(call->names);
	mem_free(call->data);
	mem_free(call);
}

static int
data_length(struct slice data)
{
	return (data.data == NULL ? -1 : (int)data.length);
}

static const char *
call_path(struct library_call *call, const struct zk_op *op)
{
	bool absolute = call->request->absolute;
	const char *path = zk_path_full(call->request->arena,
	    absolute ? "" : call->session->chroot, op->path);
	bool sequential =
	    op->kind == ZK_OP_CREATE && (op->flags & ZK_SEQUENTIAL) != 0;

	return (zk_path_valid(path, sequential) ? path : NULL);
}

/* False: a path that ZooKeeper does not take. */
static bool
part_prepare(struct library_call *call, size_t i)
{
	const struct zk_op *part = call->request->op->parts + i;
	zoo_op_t *operation = call->operations + i;
	const char *path = call_path(call, part);
	size_t room;

	if (path == NULL)
		return (false);
	switch (part->kind) {
	case ZK_OP_CREATE:
		room = strlen(path) + SEQUENCE_BYTES;
		call->paths[i] = mem_zalloc(room);
		zoo_create_op_init(operation, path,
		    (const char *)part->data.data, data_length(part->data),
		    &ZOO_OPEN_ACL_UNSAFE, part->flags, call->paths[i],
		    (int)room);
		return (true);
	case ZK_OP_SET:
		zoo_set_op_init(operation, path,
		    (const char *)part->data.data, data_length(part->data),
		    part->version, call->stats + i);
		return (true);
	case ZK_OP_DELETE:
		zoo_delete_op_init(operation, path, part->version);
		return (true);
	case ZK_OP_CHECK:
		zoo_check_op_init(operation, path, part->version);
		return (true);
	default:
		UNREACHABLE();
	}
}

/*
 * The client builds a multi without a lock against its own state: a session
 * that it finds expired halfway makes it free paths that it never set.  It can
 * expire only while it is not connected.
 */
static int
multi_send(struct library_call *call)
{
	zhandle_t *handle = call->session->handle;
	size_t count = call->request->op->part_count;

	call->part_count = count;
	call->operations = mem_zalloc((count + 1) * sizeof(zoo_op_t));
	call->results = mem_zalloc((count + 1) * sizeof(zoo_op_result_t));
	call->stats = mem_zalloc((count + 1) * sizeof(struct Stat));
	call->paths = mem_zalloc((count + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++)
		if (!part_prepare(call, i))
			return (ZBADARGUMENTS);
	if (zoo_state(handle) != ZOO_CONNECTED_STATE)
		return (ZCONNECTIONLOSS);
	return (zoo_amulti(handle, (int)count, call->operations,
	    call->results, on_void, call));
}

static int
call_send(struct library_call *call)
{
	const struct zk_op *op = call->request->op;
	zhandle_t *handle = call->session->handle;
	int watch = call->request->watch_cookie != NULL;
	const char *path;

	if (op->kind == ZK_OP_MULTI)
		return (multi_send(call));
	path = call_path(call, op);
	if (path == NULL)
		return (ZBADARGUMENTS);
	switch (op->kind) {
	case ZK_OP_GET:
		return (zoo_aget(handle, path, watch, on_data, call));
	case ZK_OP_EXISTS:
		return (zoo_aexists(handle, path, watch, on_stat, call));
	case ZK_OP_CHILDREN:
		return (zoo_aget_children2(handle, path, watch, on_children,
		    call));
	case ZK_OP_ACL:
		return (zoo_aget_acl(handle, path, on_acl, call));
	case ZK_OP_CREATE:
		return (zoo_acreate2(handle, path,
		    (const char *)op->data.data, data_length(op->data),
		    &ZOO_OPEN_ACL_UNSAFE, op->flags, on_created, call));
	case ZK_OP_SET:
		return (zoo_aset(handle, path, (const char *)op->data.data,
		    data_length(op->data), op->version, on_stat, call));
	case ZK_OP_DELETE:
		return (zoo_adelete(handle, path, op->version, on_void, call));
	default:
		UNREACHABLE(); /* a CHECK alone */
	}
}

void
library_submit(struct zk_session *base, struct zk_driver_request *request)
{
	struct library_session *session =
	    container_of(base, struct library_session, base);
	struct library_call *call = mem_zalloc(sizeof(*call));
	int rc;

	call->note.kind = NOTE_ANSWER;
	call->session = session;
	call->request = request;
	lock_take(&session->lock);
	list_push_tail(&session->calls, &call->under_way);
	lock_release(&session->lock);
	rc = call_send(call);
	if (rc != ZOK)
		call_complete(call, rc);
}

/* --- answering: the loop -------------------------------------------------- */

/* The connection went, or the server would not even begin. */
static bool
rc_is_lost(int rc)
{
	return (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT ||
	    rc == ZRUNTIMEINCONSISTENCY || rc == ZSESSIONMOVED ||
	    rc == ZTHROTTLEDOP || rc == ZINVALIDSTATE || rc == ZCLOSING);
}

static enum zk_rc
rc_translate(int rc)
{
	switch (rc) {
	case ZOK:
		return (ZK_OK);
	case ZNONODE:
		return (ZK_NO_NODE);
	case ZNODEEXISTS:
		return (ZK_NODE_EXISTS);
	case ZBADVERSION:
		return (ZK_BAD_VERSION);
	case ZNOTEMPTY:
		return (ZK_NOT_EMPTY);
	case ZNOCHILDRENFOREPHEMERALS:
		return (ZK_NO_CHILDREN_FOR_EPHEMERALS);
	case ZSESSIONEXPIRED:
		return (ZK_SESSION_EXPIRED);
	case ZNOAUTH:
		return (ZK_NO_AUTH);
	default:
		return (ZK_OTHER);
	}
}

static enum zk_rc
rc_final(struct library_call *call, int rc, const struct zk_op *op)
{
	struct library_driver *driver = container_of(
	    call->session->base.driver, struct library_driver, driver);
	enum zk_rc result = rc_translate(rc);

	if (result == ZK_OTHER)
		diag_warn(driver->diag, zkglue,
		    "path=%s refused rc=%d error=%s", op->path, rc,
		    zerror(rc));
	else if (result == ZK_NO_AUTH)
		diag_warn(driver->diag, zkglue,
		    "path=%s refused: its ACL does not let us", op->path);
	return (result);
}

static void
stat_copy(struct zk_stat *to, const struct Stat *from)
{
	*to = (struct zk_stat){
		.czxid = from->czxid,
		.mzxid = from->mzxid,
		.ctime_ms = from->ctime,
		.mtime_ms = from->mtime,
		.ephemeral_owner = from->ephemeralOwner,
		.version = from->version,
		.children_version = from->cversion,
		.children_count = from->numChildren,
	};
}

/* A path that was made, below the chroot; null when the arena refuses. */
static struct slice
path_answer(struct library_call *call, const char *path)
{
	const char *chroot = call->request->absolute ? ""
						     : call->session->chroot;
	size_t skip = strlen(chroot);

	if (strncmp(path, chroot, skip) != 0)
		skip = 0;
	return (slice_of_text(arena_strdup(call->request->arena,
	    path + skip)));
}

/*
 * When a multi fails, the server tells 0 for the parts before the culprit and
 * "inconsistency" for those behind it; neither happened.
 */
static void
multi_answer(struct library_call *call)
{
	struct zk_op *op = call->request->op;

	op->rc = rc_translate(call->rc);
	for (size_t i = 0; i < call->part_count; i++) {
		struct zk_op *part = op->parts + i;
		int rc = call->results[i].err;

		if (call->rc == ZOK) {
			part->rc = ZK_OK;
			if (part->kind == ZK_OP_SET)
				stat_copy(&part->stat, call->stats + i);
			if (part->kind == ZK_OP_CREATE)
				part->answer =
				    path_answer(call, call->paths[i]);
		} else if (rc == ZOK || rc == ZRUNTIMEINCONSISTENCY) {
			part->rc = ZK_ROLLED_BACK;
		} else {
			part->rc = rc_final(call, rc, part);
			op->rc = part->rc;
		}
	}
}

static bool
children_answer(struct library_call *call)
{
	struct zk_op *op = call->request->op;
	struct arena *arena = call->request->arena;

	op->child_count = call->name_count;
	op->children = arena_array(arena, call->name_count + 1,
	    sizeof(*op->children));
	if (op->children == NULL)
		return (false);
	for (size_t i = 0; i < call->name_count; i++) {
		op->children[i] = arena_strdup(arena, call->names[i]);
		if (op->children[i] == NULL)
			return (false);
	}
	return (true);
}

static void
answer_fill(struct library_call *call)
{
	struct zk_op *op = call->request->op;
	bool ok = true;

	if (op->kind == ZK_OP_MULTI) {
		multi_answer(call);
		return;
	}
	op->rc = rc_final(call, call->rc, op);
	if (op->rc != ZK_OK)
		return;
	if (op->kind != ZK_OP_DELETE)
		stat_copy(&op->stat, &call->stat);
	if ((op->kind == ZK_OP_GET || op->kind == ZK_OP_ACL) &&
	    call->data != NULL)
		op->answer = arena_slice_copy(call->request->arena,
		    slice_of(call->data, call->length), &ok);
	else if (op->kind == ZK_OP_GET)
		op->answer = SLICE_NULL;
	if (op->kind == ZK_OP_CREATE && call->data != NULL)
		op->answer = path_answer(call, (const char *)call->data);
	if (op->kind == ZK_OP_CHILDREN)
		ok = children_answer(call);
	if (!ok)
		op->rc = ZK_TOO_LARGE;
}

void
library_call_answer(struct library_call *call)
{
	struct zk_driver_request *request = call->request;
	struct zk_op *op = request->op;
	bool armed = call->rc == ZOK ||
	    (op->kind == ZK_OP_EXISTS && call->rc == ZNONODE);

	if (rc_is_lost(call->rc)) {
		request->done(request, true);
		return;
	}
	/* Noted with the answer, in the order of the client's words: a word
	 * about an older watch cannot take this one away. */
	if (armed && request->watch_cookie != NULL)
		watch_table_add(&call->session->watches, call_path(call, op),
		    request->watch_cookie, op->kind == ZK_OP_CHILDREN
			? WATCH_CHILDREN : WATCH_DATA);
	answer_fill(call);
	request->done(request, false);
}
