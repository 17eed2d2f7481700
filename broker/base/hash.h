/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash tables of bytes to elements; the links live inside the elements, whose
 * owner keeps the key's bytes unchanged while they are in.  A thin coat over
 * uthash, which stays inside this room, and under a hash whose key is the
 * process's own (base/siphash.h): who chooses keys cannot choose chains.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <uthash.h>

struct hash_node {
	UT_hash_handle hh;
};

struct hash {
	struct hash_node *first;
};

struct hash_node *hash_find(const struct hash *hash, const void *key,
    size_t key_length);
/* The key must not be there yet. */
void hash_insert(struct hash *hash, struct hash_node *node, const void *key,
    size_t key_length);
void hash_remove(struct hash *hash, struct hash_node *node);
size_t hash_count(const struct hash *hash);
/* The table's own memory; the elements stay with their owner. */
void hash_clear(struct hash *hash);

/* In insertion order; the body may remove `node`, but no other. */
#define HASH_EACH(node, hash)                                                \
	for (struct hash_node *node = (hash)->first, *node##_next =          \
		 node ? node->hh.next : NULL;                                \
	     node != NULL;                                                   \
	     node = node##_next, node##_next = node ? node->hh.next : NULL)

/* java.lang.String.hashCode of UTF-8 text; Kafka places groups by it. */
int32_t hash_java_string(const char *text, size_t length);

#endif
