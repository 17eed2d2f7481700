/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/siphash.h"

#include <stdint.h>

/*
 * Peers choose keys: ids in sessions, names, group ids.  uthash's own hash has
 * no key, so that many that share a chain are soon made.
 */
static unsigned
hash_of(const void *key, size_t key_length)
{
	uint64_t secret[2];

	random_of_process(secret);
	return ((unsigned)siphash(secret, key, key_length));
}

/* Before uthash.h: its own answer to a refused allocation is exit(). */
#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(memory, size) mem_free(memory)
#define uthash_fatal(what) UNREACHABLE()
#define HASH_FUNCTION(key, length, value) ((value) = hash_of(key, length))
#include "base/hash.h"
#include "base/text.h"

/* memcmp() takes no NULL, not even for no bytes. */
static const void *
hash_key(const void *key, size_t key_length)
{
	return (key_length == 0 ? "" : key);
}

struct hash_node *
hash_find(const struct hash *hash, const void *key, size_t key_length)
{
	struct hash_node *found = NULL;

	key = hash_key(key, key_length);
	HASH_FIND(hh, hash->first, key, key_length, found);
	return (found);
}

void
hash_insert(struct hash *hash, struct hash_node *node, const void *key,
    size_t key_length)
{
	struct hash_node *found = NULL;
	unsigned value;

	CHECK(key_length <= UINT32_MAX);
	key = hash_key(key, key_length);
	HASH_VALUE(key, key_length, value);
	HASH_FIND_BYHASHVALUE(hh, hash->first, key, key_length, value, found);
	CHECK(found == NULL);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, hash->first, (const char *)key,
	    (unsigned)key_length, value, node);
}

void
hash_remove(struct hash *hash, struct hash_node *node)
{
	CHECK(hash->first != NULL && node->hh.tbl == hash->first->hh.tbl);
	HASH_DEL(hash->first, node);
	node->hh.tbl = NULL;
}

size_t
hash_count(const struct hash *hash)
{
	return (HASH_COUNT(hash->first));
}

void
hash_clear(struct hash *hash)
{
	HASH_CLEAR(hh, hash->first);
}

int32_t
hash_java_string(const char *text, size_t length)
{
	struct slice rest = slice_of(text, length);
	uint32_t hash = 0;

	while (rest.length != 0) {
		int32_t point;

		if (rest.data[0] < 0x80) { /* as most are */
			hash = hash * 31 + rest.data[0];
			rest = slice_of(rest.data + 1, rest.length - 1);
			continue;
		}
		point = text_utf8_next(&rest);
		if (point < 0)
			point = 0xfffd; /* as Java decodes what it cannot */
		if (point > 0xffff) { /* two UTF-16 units */
			point -= 0x10000;
			hash = hash * 31 + (0xd800 + ((uint32_t)point >> 10));
			point = 0xdc00 + (point & 0x3ff);
		}
		hash = hash * 31 + (uint32_t)point;
	}
	return ((int32_t)hash);
}
