/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of the ZooKeeper in memory.  Writes note what they changed, so that
 * a multi whose third part fails can take back the first two.
 */
#include "zkglue/fake_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

/* --- nodes ---------------------------------------------------------------- */

static struct slice
data_keep(struct slice data)
{
	uint8_t *copy;

	if (data.data == NULL)
		return (SLICE_NULL);
	copy = mem_alloc(data.length + 1);
	memcpy(copy, data.data, data.length);
	return (slice_of(copy, data.length));
}

static void
data_drop(struct slice data)
{
	mem_free((void *)(uintptr_t)data.data);
}

struct fake_node *
fake_tree_find(const struct fake_tree *tree, const char *path)
{
	struct hash_node *node =
	    hash_find(&tree->nodes, path, strlen(path));

	return (node == NULL ? NULL
			     : container_of(node, struct fake_node, hash));
}

static struct fake_node *
node_new(const char *path, struct slice data)
{
	struct fake_node *node = mem_zalloc(sizeof(*node));

	node->path = mem_strdup(path);
	node->data = data_keep(data);
	list_init(&node->sibling);
	list_init(&node->children);
	return (node);
}

static void
node_free(struct fake_node *node)
{
	data_drop(node->data);
	mem_free(node->path);
	mem_free(node);
}

static void
node_attach(struct fake_tree *tree, struct fake_node *node)
{
	hash_insert(&tree->nodes, &node->hash, node->path,
	    strlen(node->path));
	if (node->parent != NULL)
		list_push_tail(&node->parent->children, &node->sibling);
}

static void
node_detach(struct fake_tree *tree, struct fake_node *node)
{
	hash_remove(&tree->nodes, &node->hash);
	list_remove(&node->sibling);
}

void
fake_tree_init(struct fake_tree *tree)
{
	*tree = (struct fake_tree){ .zxid = 0 };
	tree->root = node_new("/", SLICE_EMPTY);
	node_attach(tree, tree->root);
}

void
fake_tree_fini(struct fake_tree *tree)
{
	HASH_EACH(node, &tree->nodes) {
		hash_remove(&tree->nodes, node);
		node_free(container_of(node, struct fake_node, hash));
	}
	hash_clear(&tree->nodes);
}

/* --- writes --------------------------------------------------------------- */

static struct fake_node *
parent_of(const struct fake_tree *tree, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	struct fake_node *node;

	if (slash == path)
		return (tree->root);
	parent = mem_strndup(path, (size_t)(slash - path));
	node = fake_tree_find(tree, parent);
	mem_free(parent);
	return (node);
}

static void
change_note(struct list *changes, enum fake_change_kind kind,
    struct fake_node *node, struct slice old_data)
{
	struct fake_change *change = mem_zalloc(sizeof(*change));

	change->kind = kind;
	change->node = node;
	change->old_data = old_data;
	change->old_stat = node->stat;
	if (node->parent != NULL) {
		change->parent_stat = node->parent->stat;
		change->parent_creates = node->parent->creates;
	}
	list_push_tail(changes, &change->link);
}

/* As the server computes it: makings and deletions of children. */
static void
children_changed(struct fake_node *parent, int count)
{
	parent->stat.children_count += count;
	parent->stat.children_version =
	    (int32_t)(parent->creates * 2 - parent->stat.children_count);
}

static enum zk_rc
tree_create(struct fake_tree *tree, struct fake_write *write,
    struct list *changes)
{
	struct fake_node *parent = parent_of(tree, write->path);
	char number[16] = "";
	char *path;
	size_t size;

	if (parent == NULL)
		return (ZK_NO_NODE);
	if (write->flags & ZK_SEQUENTIAL)
		snprintf(number, sizeof(number), "%010" PRId64,
		    parent->creates);
	size = strlen(write->path) + sizeof(number);
	path = mem_alloc(size);
	snprintf(path, size, "%s%s", write->path, number);
	if (fake_tree_find(tree, path) != NULL) {
		mem_free(path);
		return (ZK_NODE_EXISTS);
	}
	if (parent->stat.ephemeral_owner != 0) {
		mem_free(path);
		return (ZK_NO_CHILDREN_FOR_EPHEMERALS);
	}
	write->node = node_new(path, write->data);
	mem_free(path);
	write->node->parent = parent;
	change_note(changes, FAKE_CREATED, write->node, SLICE_NULL);
	write->node->stat = (struct zk_stat){
		.czxid = tree->zxid,
		.mzxid = tree->zxid,
		.ctime_ms = write->now_ms,
		.mtime_ms = write->now_ms,
		.ephemeral_owner =
		    write->flags & ZK_EPHEMERAL ? write->owner : 0,
	};
	node_attach(tree, write->node);
	parent->creates++;
	children_changed(parent, 1);
	return (ZK_OK);
}

static enum zk_rc
tree_look(const struct fake_tree *tree, const struct fake_write *write,
    struct fake_node **node)
{
	*node = fake_tree_find(tree, write->path);
	if (*node == NULL)
		return (ZK_NO_NODE);
	if (write->version != ZK_ANY_VERSION &&
	    write->version != (*node)->stat.version)
		return (ZK_BAD_VERSION);
	return (ZK_OK);
}

static enum zk_rc
tree_set(struct fake_tree *tree, struct fake_write *write,
    struct list *changes)
{
	struct fake_node *node;
	enum zk_rc rc = tree_look(tree, write, &node);

	if (rc != ZK_OK)
		return (rc);
	change_note(changes, FAKE_SET, node, node->data);
	node->data = data_keep(write->data);
	node->stat.version++;
	node->stat.mzxid = tree->zxid;
	node->stat.mtime_ms = write->now_ms;
	write->node = node;
	return (ZK_OK);
}

static enum zk_rc
tree_delete(struct fake_tree *tree, struct fake_write *write,
    struct list *changes)
{
	struct fake_node *node;
	enum zk_rc rc = tree_look(tree, write, &node);

	if (rc != ZK_OK)
		return (rc);
	if (node->parent == NULL || !list_empty(&node->children))
		return (ZK_NOT_EMPTY);
	change_note(changes, FAKE_DELETED, node, SLICE_NULL);
	node_detach(tree, node);
	children_changed(node->parent, -1);
	return (ZK_OK);
}

enum zk_rc
fake_tree_write(struct fake_tree *tree, struct fake_write *write,
    struct list *changes)
{
	struct fake_node *node;

	switch (write->kind) {
	case ZK_OP_CREATE:
		return (tree_create(tree, write, changes));
	case ZK_OP_SET:
		return (tree_set(tree, write, changes));
	case ZK_OP_DELETE:
		return (tree_delete(tree, write, changes));
	case ZK_OP_CHECK:
		return (tree_look(tree, write, &node));
	default:
		UNREACHABLE();
	}
}

/* --- undo and commit ------------------------------------------------------ */

static void
change_undo(struct fake_tree *tree, struct fake_change *change)
{
	struct fake_node *node = change->node;

	if (node->parent != NULL) {
		node->parent->stat = change->parent_stat;
		node->parent->creates = change->parent_creates;
	}
	switch (change->kind) {
	case FAKE_CREATED:
		node_detach(tree, node);
		node_free(node);
		break;
	case FAKE_SET:
		data_drop(node->data);
		node->data = change->old_data;
		node->stat = change->old_stat;
		break;
	case FAKE_DELETED:
		node_attach(tree, node);
		break;
	}
}

void
fake_tree_undo(struct fake_tree *tree, struct list *changes)
{
	while (!list_empty(changes)) {
		struct fake_change *change =
		    list_entry(changes->prev, struct fake_change, link);

		list_remove(&change->link);
		change_undo(tree, change);
		mem_free(change);
	}
}

void
fake_tree_commit(struct list *changes)
{
	struct list *element;

	while ((element = list_pop_head(changes)) != NULL) {
		struct fake_change *change =
		    list_entry(element, struct fake_change, link);

		if (change->kind == FAKE_SET)
			data_drop(change->old_data);
		if (change->kind == FAKE_DELETED)
			node_free(change->node);
		mem_free(change);
	}
}
