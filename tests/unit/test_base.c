/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/diag.h"
#include "base/errors.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/siphash.h"
#include "base/text.h"
#include "base/twins.h"
#include "base/uuid.h"
#include "unit.h"

/* --- check ---------------------------------------------------------------- */

/* True when `run` ends its process by abort(). */
static bool
aborts(void (*run)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		run();
		_exit(0);
	}
	CU_ASSERT_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	return (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
fail_check(void)
{
	CHECK(aborts == NULL);
}

static void
pass_check(void)
{
	CHECK(aborts != NULL);
}

static void
test_check(void)
{
	CU_ASSERT(aborts(fail_check));
	CU_ASSERT(!aborts(pass_check));
}

/* --- mem ------------------------------------------------------------------ */

static void
test_mem(void)
{
	char *text = mem_strdup("abc");
	char *part = mem_strndup("abcdef", 2);
	unsigned char *zeros = mem_zalloc(64);
	void *nothing = mem_alloc(0);

	CU_ASSERT_STRING_EQUAL(text, "abc");
	CU_ASSERT_STRING_EQUAL(part, "ab");
	CU_ASSERT_PTR_NOT_NULL(nothing);
	for (size_t i = 0; i < 64; i++)
		CU_ASSERT_EQUAL(zeros[i], 0);
	zeros[63] = 7;
	zeros = mem_realloc(zeros, 4096);
	CU_ASSERT_EQUAL(zeros[63], 7);
	mem_free(text);
	mem_free(part);
	mem_free(zeros);
	mem_free(nothing);
	mem_free(NULL);
}

/* --- arena ---------------------------------------------------------------- */

static void
test_arena_aligned_and_disjoint(void)
{
	struct arena arena;
	unsigned char *pieces[200];

	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(arena.used, 0);
	CU_ASSERT_EQUAL(arena.limit, ARENA_DEFAULT_LIMIT);
	for (size_t i = 0; i < nelems(pieces); i++) {
		pieces[i] = arena_alloc(&arena, i * 7);
		CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
		CU_ASSERT_EQUAL(
		    (uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		memset(pieces[i], (int)i, i * 7);
	}
	for (size_t i = 0; i < nelems(pieces); i++)
		for (size_t j = 0; j < i * 7; j++)
			if (pieces[i][j] != (unsigned char)i)
				CU_FAIL("a piece was overwritten");
	CU_ASSERT_PTR_NOT_EQUAL(arena_alloc(&arena, 0), arena_alloc(&arena, 0));
	arena_fini(&arena);
	CU_ASSERT_EQUAL(arena.used, 0);
}

static void
test_arena_refuses(void)
{
	struct arena arena;
	size_t taken = 0;

	arena_init(&arena, 100000);
	CU_ASSERT_PTR_NULL(arena_alloc(&arena, 100001));
	CU_ASSERT_PTR_NULL(arena_alloc(&arena, SIZE_MAX));
	CU_ASSERT_PTR_NULL(arena_alloc(&arena, SIZE_MAX - 8));
	CU_ASSERT_PTR_NULL(arena_array(&arena, SIZE_MAX / 2, 3));
	CU_ASSERT_EQUAL(arena.used, 0);
	while (arena_alloc(&arena, 1000) != NULL)
		taken += 1000;
	CU_ASSERT(taken > 80000 && taken <= 100000);
	CU_ASSERT(arena.used <= arena.limit);
	arena_fini(&arena);
	/* A limit below the usual block is still of use. */
	arena_init(&arena, 256);
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 100));
	CU_ASSERT_PTR_NULL(arena_alloc(&arena, 300));
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 50));
	arena_fini(&arena);
	/* The block's own header counts. */
	arena_init(&arena, 1000);
	CU_ASSERT_PTR_NULL(arena_alloc(&arena, 992));
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 960));
	arena_fini(&arena);
}

static void
test_arena_reset_keeps_a_small_block(void)
{
	struct arena arena;
	char *first;

	arena_init(&arena, 0);
	first = arena_alloc(&arena, 10);
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 1000000));
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 10));
	arena_reset(&arena);
	CU_ASSERT(arena.used > 0 && arena.used <= 16384);
	CU_ASSERT_PTR_EQUAL(arena_alloc(&arena, 10), first);
	arena_fini(&arena);
	/* Nothing small to keep. */
	arena_init(&arena, 0);
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 1000000));
	arena_reset(&arena);
	CU_ASSERT_EQUAL(arena.used, 0);
	CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 1));
	arena_fini(&arena);
}

static void
test_arena_copies(void)
{
	struct arena arena;
	bool ok = true;
	struct slice copy;
	const uint32_t *numbers;

	arena_init(&arena, 8192);
	CU_ASSERT_STRING_EQUAL(arena_strdup(&arena, "topic"), "topic");
	CU_ASSERT_STRING_EQUAL(
	    arena_slice_text(&arena, slice_of("abcdef", 3)), "abc");
	CU_ASSERT_STRING_EQUAL(arena_slice_text(&arena, SLICE_NULL), "");
	CU_ASSERT_STRING_EQUAL(arena_printf(&arena, "%s-%d", "t", 7), "t-7");
	copy = arena_slice_copy(&arena, SLICE_LITERAL("xyz"), &ok);
	CU_ASSERT(ok && slice_equal_text(copy, "xyz"));
	copy = arena_slice_copy(&arena, SLICE_NULL, &ok);
	CU_ASSERT(ok && copy.data == NULL);
	copy = arena_slice_copy(&arena, SLICE_EMPTY, &ok);
	CU_ASSERT(ok && copy.data != NULL && copy.length == 0);
	numbers = arena_array(&arena, 100, sizeof(*numbers));
	for (size_t i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(numbers[i], 0);
	copy = arena_slice_copy(&arena, slice_of(&arena, 9000), &ok);
	CU_ASSERT(!ok && copy.data == NULL);
	CU_ASSERT_PTR_NULL(arena_printf(&arena, "%9000d", 1));
	arena_fini(&arena);
}

/* --- buffer and bytes ----------------------------------------------------- */

static void
test_buffer(void)
{
	struct buffer buffer = BUFFER_EMPTY;

	CU_ASSERT(slice_equal(buffer_slice(&buffer), SLICE_EMPTY));
	CU_ASSERT_STRING_EQUAL(buffer_text(&buffer), "");
	CU_ASSERT_EQUAL(buffer.length, 0);
	buffer_append(&buffer, NULL, 0);
	buffer_append_slice(&buffer, SLICE_NULL);
	buffer_append_text(&buffer, "ab");
	buffer_append_slice(&buffer, SLICE_LITERAL("cd"));
	buffer_printf(&buffer, "%d%s", 5, "e");
	CU_ASSERT_STRING_EQUAL(buffer_text(&buffer), "abcd5e");
	CU_ASSERT_EQUAL(buffer.length, 6);
	for (int i = 0; i < 1000; i++)
		buffer_printf(&buffer, "%04d", i);
	CU_ASSERT_EQUAL(buffer.length, 4006);
	CU_ASSERT_EQUAL(memcmp(buffer.data + 6 + 4 * 999, "0999", 4), 0);
	buffer_printf(&buffer, "%*d", 100000, 1);
	CU_ASSERT_EQUAL(buffer.length, 104006);
	CU_ASSERT_EQUAL(buffer.data[104005], '1');
	memset(buffer_extend(&buffer, 10), 'z', 10);
	CU_ASSERT_EQUAL(buffer.length, 104016);
	CU_ASSERT_PTR_EQUAL(buffer_reserve(&buffer, 0),
	    buffer.data + buffer.length);
	CU_ASSERT(buffer.capacity >= buffer.length);
	buffer_fini(&buffer);
	CU_ASSERT_PTR_NULL(buffer.data);
	CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&buffer, 0));
	buffer_fini(&buffer);
}

static void
overflow_buffer(void)
{
	struct buffer buffer = BUFFER_EMPTY;

	buffer_append_text(&buffer, "x");
	buffer_reserve(&buffer, SIZE_MAX);
}

static void
test_buffer_overflow(void)
{
	CU_ASSERT(aborts(overflow_buffer));
}

static void
test_bytes(void)
{
	uint8_t bytes[9] = { 0 };

	bytes_put_i64(bytes + 1, -2);
	CU_ASSERT_EQUAL(bytes[1], 0xff);
	CU_ASSERT_EQUAL(bytes[8], 0xfe);
	CU_ASSERT_EQUAL(bytes_get_i64(bytes + 1), -2);
	bytes_put_u32(bytes + 1, 0x01020304);
	CU_ASSERT_EQUAL(memcmp(bytes + 1, "\1\2\3\4", 4), 0);
	CU_ASSERT_EQUAL(bytes_get_i16(bytes + 2), 0x0203);
}

static void
test_slice(void)
{
	CU_ASSERT(!slice_equal(SLICE_NULL, SLICE_EMPTY));
	CU_ASSERT(slice_equal(SLICE_NULL, slice_of_text(NULL)));
	CU_ASSERT(slice_compare(SLICE_NULL, SLICE_EMPTY) == 0);
	CU_ASSERT(slice_compare(SLICE_LITERAL("a"), SLICE_LITERAL("ab")) < 0);
	CU_ASSERT(slice_compare(SLICE_LITERAL("b"), SLICE_LITERAL("ab")) > 0);
}

/* --- hash and list -------------------------------------------------------- */

struct item {
	struct hash_node node;
	struct list link;
	int key;
};

static void
test_hash(void)
{
	static struct item items[1000];
	struct hash hash = { NULL };
	int absent = 1000, expected = 0, removed = 0;

	CU_ASSERT_EQUAL(hash_count(&hash), 0);
	CU_ASSERT_PTR_NULL(hash_find(&hash, &absent, sizeof(absent)));
	for (int i = 0; i < 1000; i++) {
		items[i].key = i;
		hash_insert(&hash, &items[i].node, &items[i].key, sizeof(int));
	}
	CU_ASSERT_EQUAL(hash_count(&hash), 1000);
	for (int i = 0; i < 1000; i++)
		CU_ASSERT_PTR_EQUAL(hash_find(&hash, &i, sizeof(i)),
		    &items[i].node);
	CU_ASSERT_PTR_NULL(hash_find(&hash, &absent, sizeof(absent)));
	CU_ASSERT_PTR_NULL(hash_find(&hash, &absent, 2));
	HASH_EACH(node, &hash) {
		struct item *item = container_of(node, struct item, node);

		CU_ASSERT_EQUAL(item->key, expected++);
		if (item->key % 2 == 0) {
			hash_remove(&hash, node);
			removed++;
		}
	}
	CU_ASSERT_EQUAL(removed, 500);
	CU_ASSERT_EQUAL(hash_count(&hash), 500);
	hash_clear(&hash);
	CU_ASSERT_EQUAL(hash_count(&hash), 0);
	CU_ASSERT_PTR_NULL(hash.first);
	hash_insert(&hash, &items[0].node, NULL, 0);
	CU_ASSERT_PTR_EQUAL(hash_find(&hash, "", 0), &items[0].node);
	hash_remove(&hash, &items[0].node);
	CU_ASSERT_PTR_NULL(hash.first);
}

static void
insert_twice(void)
{
	struct item one, two;
	struct hash hash = { NULL };

	hash_insert(&hash, &one.node, "k", 1);
	hash_insert(&hash, &two.node, "k", 1);
}

static void
test_hash_refuses_a_second(void)
{
	CU_ASSERT(aborts(insert_twice));
}

/* Message and key are 00 01 02 ...; as `openssl mac ... c-rounds:1 d-rounds:3`
 * answers, the first byte lowest. */
static void
test_siphash(void)
{
	static const struct {
		size_t length;
		uint64_t expected;
	} vectors[] = {
		{ 0, 0xabac0158050fc4dc },
		{ 1, 0xc9f49bf37d57ca93 },
		{ 7, 0xd3927d989bb11140 },
		{ 8, 0x369095118d299a8e },
		{ 9, 0x25a48eb36c063de4 },
		{ 15, 0xd320d86d2a519956 },
		{ 16, 0xcc4fdd1a7d908b66 },
		{ 20, 0xc0dc2f46a6cce040 },
		{ 63, 0x9d199062b7bbb3a8 },
	};
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	const uint64_t other[2] = { 0x0706050403020101, 0x0f0e0d0c0b0a0908 };
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < nelems(vectors); i++)
		CU_ASSERT_EQUAL(siphash(key, bytes, vectors[i].length),
		    vectors[i].expected);
	CU_ASSERT_EQUAL(siphash(key, NULL, 0), vectors[0].expected);
	CU_ASSERT_NOT_EQUAL(siphash(other, bytes, 8), vectors[3].expected);
}

/* As uthash's own hash works: 12 bytes are added to three words, which are
 * stirred in a way that goes backwards, too. */
static void
jenkins_unmix(uint32_t w[3])
{
	uint32_t a = w[0], b = w[1], c = w[2];

	c ^= b >> 15, c += a + b;
	b ^= a << 10, b += c + a;
	a ^= c >> 3, a += b + c;
	c ^= b >> 5, c += a + b;
	b ^= a << 16, b += c + a;
	a ^= c >> 12, a += b + c;
	c ^= b >> 13, c += a + b;
	b ^= a << 8, b += c + a;
	a ^= c >> 13, a += b + c;
	w[0] = a, w[1] = b, w[2] = c;
}

/* A topic's id and partition 0, of which uthash's own hash is `value`. */
static void
jenkins_collide(uint32_t value, struct random *random, uint8_t key[20])
{
	uint32_t w[3] = { (uint32_t)random_u64(random),
		(uint32_t)random_u64(random), value };

	memset(key, 0, 20);
	memcpy(&key[12], "\1\2\3\4", 4);
	jenkins_unmix(w);
	w[0] -= 0x04030201;
	w[2] -= 20;
	jenkins_unmix(w);
	w[0] -= 0x9e3779b9, w[1] -= 0x9e3779b9, w[2] -= 0xfeedbeef;
	for (size_t i = 0; i < 12; i++)
		key[i] = (uint8_t)(w[i / 4] >> i % 4 * 8);
}

static unsigned
longest_chain(const struct hash *hash)
{
	const UT_hash_table *table = hash->first->hh.tbl;
	unsigned longest = 0;

	for (unsigned i = 0; i < table->num_buckets; i++)
		if (table->buckets[i].count > longest)
			longest = table->buckets[i].count;
	return (longest);
}

/* uthash doubles a table at ten in a chain, so that a few share one, and 40 do
 * by chance in no lifetime. */
static void
test_hash_chains(void)
{
	static struct {
		struct hash_node node;
		uint8_t key[20];
	} items[5000];
	struct hash hash = { NULL };
	struct random random;
	unsigned old;

	random_seed(&random, 5);
	for (size_t i = 0; i < nelems(items); i++) {
		jenkins_collide(0x12345678, &random, items[i].key);
		HASH_JEN(items[i].key, sizeof(items[i].key), old);
		CU_ASSERT_EQUAL_FATAL(old, 0x12345678);
		hash_insert(&hash, &items[i].node, items[i].key,
		    sizeof(items[i].key));
	}
	CU_ASSERT_EQUAL(hash_count(&hash), nelems(items));
	CU_ASSERT(longest_chain(&hash) < 40);
	for (size_t i = 0; i < nelems(items); i++)
		CU_ASSERT_PTR_EQUAL(hash_find(&hash, items[i].key,
			sizeof(items[i].key)), &items[i].node);
	hash_clear(&hash);
}

static int32_t
java_hash(const char *text)
{
	return (hash_java_string(text, strlen(text)));
}

static void
test_hash_java_string(void)
{
	CU_ASSERT_EQUAL(java_hash(""), 0);
	CU_ASSERT_EQUAL(java_hash("hello"), 99162322);
	CU_ASSERT_EQUAL(java_hash("polygenelubricants"), INT32_MIN);
	CU_ASSERT_EQUAL(java_hash("my-group"),
	    -1906497762);
	CU_ASSERT_EQUAL(java_hash("\xc3\xa9"), 0xe9);
	/* U+1F600 is the pair d83d de00. */
	CU_ASSERT_EQUAL(java_hash("\xf0\x9f\x98\x80"), 0xd83d * 31 + 0xde00);
	CU_ASSERT_EQUAL(java_hash("\xff"), 0xfffd);
}

static void
test_list(void)
{
	struct list head, other;
	struct item items[4];
	int sum = 0;

	list_init(&head);
	list_init(&other);
	for (int i = 0; i < 4; i++) {
		items[i].key = i;
		list_init(&items[i].link);
		list_push_tail(i < 2 ? &head : &other, &items[i].link);
	}
	list_splice_tail(&head, &other);
	CU_ASSERT(list_empty(&other));
	LIST_EACH(element, &head) {
		struct item *item = list_entry(element, struct item, link);

		CU_ASSERT_EQUAL(item->key, sum++);
		if (item->key == 1)
			list_remove(element);
	}
	CU_ASSERT(!list_linked(&items[1].link));
	CU_ASSERT_PTR_EQUAL(list_pop_head(&head), &items[0].link);
	CU_ASSERT_PTR_EQUAL(list_pop_head(&head), &items[2].link);
	CU_ASSERT_PTR_EQUAL(list_pop_head(&head), &items[3].link);
	CU_ASSERT_PTR_NULL(list_pop_head(&head));
}

/* --- blob ----------------------------------------------------------------- */

static void
count_release(struct blob *blob)
{
	static const struct blob_ops released = { NULL, NULL, NULL };

	blob->ops = &released;
}

static void
test_twins(void)
{
	const struct twin names[] = {
		{ SLICE_LITERAL("b"), 0, 0 }, { SLICE_LITERAL("a"), 1, 0 },
		{ SLICE_LITERAL("b"), 0, 0 }, { SLICE_LITERAL("b"), 1, 0 },
		{ SLICE_LITERAL("a"), 1, 0 }, { SLICE_LITERAL("b"), 0, 0 },
		{ SLICE_LITERAL(""), 1, 0 },
	};
	static const struct twin_ends expected[] = { { 0, 5 }, { 1, 4 },
		{ 0, 5 }, { 3, 3 }, { 1, 4 }, { 0, 5 }, { 6, 6 } };
	struct twin twins[nelems(names)];
	const struct twin_ends *ends;
	struct arena arena;

	memcpy(twins, names, sizeof(names));
	arena_init(&arena, 0);
	ends = twins_find(&arena, twins, nelems(names));
	for (size_t i = 0; i < nelems(names); i++) {
		CU_ASSERT_EQUAL(ends[i].first, expected[i].first);
		CU_ASSERT_EQUAL(ends[i].last, expected[i].last);
	}
	CU_ASSERT_PTR_NOT_NULL(twins_find(&arena, twins, 0));
	arena_fini(&arena);
	arena_init(&arena, 16);
	CU_ASSERT_PTR_NULL(twins_find(&arena, twins, nelems(names)));
	arena_fini(&arena);
}

static void
test_blob(void)
{
	const struct blob_ops ops = { .release = count_release };
	struct blob blob;

	blob_init(&blob, &ops);
	CU_ASSERT_PTR_EQUAL(blob_ref(&blob), &blob);
	blob_unref(&blob);
	CU_ASSERT_PTR_EQUAL(blob.ops, &ops);
	blob_unref(&blob);
	CU_ASSERT_PTR_NOT_EQUAL(blob.ops, &ops);
}

/* --- text ----------------------------------------------------------------- */

static void
test_text_int64(void)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{ "0", 0 }, { "-0", 0 }, { "+5", 5 }, { "007", 7 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
		{ "-9223372036854775807", INT64_MIN + 1 },
	};
	static const char *const bad[] = { "", "-", "+", " 1", "1 ", "1a",
		"0x10", "--1", "1.0", "9223372036854775808",
		"-9223372036854775809", "18446744073709551616",
		"99999999999999999999" };
	int64_t value = 0;

	for (size_t i = 0; i < nelems(good); i++) {
		CU_ASSERT(text_to_int64(slice_of_text(good[i].text), &value));
		CU_ASSERT_EQUAL(value, good[i].value);
	}
	value = 77;
	for (size_t i = 0; i < nelems(bad); i++)
		CU_ASSERT(!text_to_int64(slice_of_text(bad[i]), &value));
	CU_ASSERT(!text_to_int64(SLICE_NULL, &value));
	CU_ASSERT(!text_to_int64(SLICE_LITERAL("1\0002"), &value));
	CU_ASSERT_EQUAL(value, 77);
}

static void
test_text_int32(void)
{
	int32_t value = 77;

	CU_ASSERT(!text_to_int32(SLICE_LITERAL("2147483648"), &value));
	CU_ASSERT(!text_to_int32(SLICE_LITERAL("-2147483649"), &value));
	CU_ASSERT(!text_to_int32(SLICE_LITERAL("x"), &value));
	CU_ASSERT_EQUAL(value, 77);
	CU_ASSERT(text_to_int32(SLICE_LITERAL("-2147483648"), &value));
	CU_ASSERT_EQUAL(value, INT32_MIN);
	CU_ASSERT(text_to_int32(slice_of("123", 2), &value));
	CU_ASSERT_EQUAL(value, 12);
}

static void
test_text_double(void)
{
	static const char *const bad[] = { "", ".", "e5", "1e", "1e+", " 1",
		"1 ", "nan", "inf", "0x1p3", "1e999", "1f", "1..2" };
	char longest[100];
	double value = 77;

	for (size_t i = 0; i < nelems(bad); i++)
		CU_ASSERT(!text_to_double(slice_of_text(bad[i]), &value));
	memset(longest, '1', sizeof(longest));
	CU_ASSERT(!text_to_double(slice_of(longest, sizeof(longest)), &value));
	CU_ASSERT_EQUAL(value, 77);
	CU_ASSERT(text_to_double(SLICE_LITERAL("0.5"), &value));
	CU_ASSERT_EQUAL(value, 0.5);
	CU_ASSERT(text_to_double(SLICE_LITERAL("-2.5E-1"), &value));
	CU_ASSERT_EQUAL(value, -0.25);
	CU_ASSERT(text_to_double(SLICE_LITERAL(".5"), &value));
	CU_ASSERT(text_to_double(SLICE_LITERAL("5."), &value));
	CU_ASSERT_EQUAL(value, 5);
}

struct double_text {
	double number;
	const char *text;
};

/* As java.lang.Double.toString has them. */
static void
test_text_of_double(void)
{
	static const struct double_text rows[] = {
		{ 0, "0.0" }, { 1, "1.0" }, { -1, "-1.0" }, { 0.5, "0.5" },
		{ 0.9, "0.9" }, { 0.1 + 0.2, "0.30000000000000004" },
		{ 0.001, "0.001" }, { 0.0001, "1.0E-4" },
		{ 0.00012345, "1.2345E-4" }, { 1234567, "1234567.0" },
		{ 12345678, "1.2345678E7" }, { 1e7, "1.0E7" },
		{ 9999999, "9999999.0" }, { 1.5e300, "1.5E300" },
		{ 1.7976931348623157e308, "1.7976931348623157E308" },
		{ 123.456, "123.456" },
	};
	char text[TEXT_DOUBLE_SIZE];

	for (size_t i = 0; i < nelems(rows); i++) {
		text_of_double(rows[i].number, text);
		CU_ASSERT_STRING_EQUAL(text, rows[i].text);
	}
}

static void
test_text_bool(void)
{
	bool value = false;

	CU_ASSERT(text_to_bool(SLICE_LITERAL("TrUe"), &value));
	CU_ASSERT(value);
	CU_ASSERT(text_to_bool(SLICE_LITERAL("FALSE"), &value));
	CU_ASSERT(!value);
	CU_ASSERT(!text_to_bool(SLICE_LITERAL("yes"), &value));
	CU_ASSERT(!text_to_bool(SLICE_LITERAL("true "), &value));
	CU_ASSERT(!text_to_bool(SLICE_NULL, &value));
}

static void
test_text_cuts(void)
{
	struct slice rest, part;

	CU_ASSERT(slice_equal_text(
	    text_trim(SLICE_LITERAL(" \t a b\r\n")), "a b"));
	CU_ASSERT_EQUAL(text_trim(SLICE_LITERAL("  ")).length, 0);
	CU_ASSERT_PTR_NULL(text_trim(SLICE_NULL).data);
	part = text_cut(SLICE_LITERAL("a=b=c"), '=', &rest);
	CU_ASSERT(slice_equal_text(part, "a"));
	CU_ASSERT(slice_equal_text(rest, "b=c"));
	part = text_cut(SLICE_LITERAL("abc"), '=', &rest);
	CU_ASSERT(slice_equal_text(part, "abc") && rest.data == NULL);
	part = text_cut(SLICE_LITERAL("abc="), '=', &rest);
	CU_ASSERT(slice_equal_text(part, "abc"));
	CU_ASSERT(rest.data != NULL && rest.length == 0);
	part = text_cut(SLICE_NULL, '=', &rest);
	CU_ASSERT(part.data == NULL && rest.data == NULL);
}

static void
test_text_utf8(void)
{
	static const char *const good[] = { "", "abc", "\xc3\xa9",
		"\xed\x9f\xbf", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf",
		"\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xff", "a\xc3", "\xe2\x82", "\xe2\x82z" };
	struct slice rest = SLICE_LITERAL("\xe2\x82\xac!");

	for (size_t i = 0; i < nelems(good); i++)
		CU_ASSERT(text_is_utf8(slice_of_text(good[i])));
	for (size_t i = 0; i < nelems(bad); i++)
		CU_ASSERT(!text_is_utf8(slice_of_text(bad[i])));
	CU_ASSERT_EQUAL(text_utf8_next(&rest), 0x20ac);
	CU_ASSERT_EQUAL(text_utf8_next(&rest), '!');
	CU_ASSERT_EQUAL(rest.length, 0);
}

/* --- uuid, random, clock -------------------------------------------------- */

static void
test_uuid_text(void)
{
	struct uuid uuid = UUID_ZERO;
	char text[UUID_TEXT_SIZE];

	uuid_to_text(uuid, text);
	CU_ASSERT_STRING_EQUAL(text, "AAAAAAAAAAAAAAAAAAAAAA");
	for (size_t i = 0; i < sizeof(uuid.bytes); i++)
		uuid.bytes[i] = (uint8_t)(0xf0 + i);
	uuid_to_text(uuid, text);
	CU_ASSERT_STRING_EQUAL(text, "8PHy8_T19vf4-fr7_P3-_w");
	CU_ASSERT(uuid_from_text(SLICE_LITERAL("8PHy8_T19vf4-fr7_P3-_w"),
	    &uuid));
	CU_ASSERT_EQUAL(uuid.bytes[15], 0xff);
	CU_ASSERT(!uuid_is_zero(uuid));
	/* Kafka's metadata topic: least significant bits 1. */
	CU_ASSERT(uuid_from_text(SLICE_LITERAL("AAAAAAAAAAAAAAAAAAAAAQ"),
	    &uuid));
	CU_ASSERT_EQUAL(uuid.bytes[15], 1);
	CU_ASSERT(!uuid_from_text(SLICE_LITERAL("AAAAAAAAAAAAAAAAAAAAA"),
	    &uuid));
	CU_ASSERT(!uuid_from_text(SLICE_LITERAL("AAAAAAAAAAAAAAAAAAAAAAA"),
	    &uuid));
	CU_ASSERT(!uuid_from_text(SLICE_LITERAL("AAAAAAAAAAAAAAAAAAAA+A"),
	    &uuid));
	CU_ASSERT(!uuid_from_text(SLICE_LITERAL("AAAAAAAAAAAAAAAAAAAA\0A"),
	    &uuid));
	CU_ASSERT(!uuid_from_text(SLICE_NULL, &uuid));
	CU_ASSERT_EQUAL(uuid.bytes[15], 1);
}

static void
test_uuid_random(void)
{
	struct random random;
	char text[UUID_TEXT_SIZE];

	random_seed(&random, 1);
	for (int i = 0; i < 2000; i++) {
		struct uuid uuid = uuid_random(&random);
		struct uuid again = UUID_ZERO;

		CU_ASSERT_EQUAL(uuid.bytes[6] >> 4, 4);
		CU_ASSERT_EQUAL(uuid.bytes[8] >> 6, 2);
		uuid_to_text(uuid, text);
		CU_ASSERT_NOT_EQUAL(text[0], '-');
		CU_ASSERT_EQUAL(strlen(text), 22);
		CU_ASSERT(uuid_from_text(slice_of_text(text), &again));
		CU_ASSERT(uuid_equal(uuid, again));
	}
}

static void
test_random(void)
{
	struct random one, same, other;
	uint8_t bytes[13] = { 0 };
	int drawn[5] = { 0 };
	uint64_t key[2], again[2];

	random_seed(&one, 42);
	random_seed(&same, 42);
	random_seed(&other, 43);
	CU_ASSERT_NOT_EQUAL(random_u64(&one), random_u64(&other));
	random_u64(&same);
	CU_ASSERT_EQUAL(random_u64(&one), random_u64(&same));
	for (int i = 0; i < 5000; i++) {
		uint64_t value = random_below(&one, 5);

		CU_ASSERT_FATAL(value < 5);
		drawn[value]++;
	}
	for (size_t i = 0; i < 5; i++)
		CU_ASSERT(drawn[i] > 850 && drawn[i] < 1150);
	CU_ASSERT_EQUAL(random_below(&one, 1), 0);
	random_bytes(&one, bytes, 12);
	CU_ASSERT_EQUAL(bytes[12], 0);
	random_seed_system(&one);
	random_seed_system(&other);
	CU_ASSERT_NOT_EQUAL(random_u64(&one), random_u64(&other));
	/* The reference generator's first draws from state 1 2 3 4. */
	random_of_process(key);
	random_of_process(again);
	CU_ASSERT_EQUAL(key[0], again[0]);
	CU_ASSERT_EQUAL(key[1], again[1]);
	CU_ASSERT_NOT_EQUAL(key[0], key[1]);

	one = (struct random){ { 1, 2, 3, 4 } };
	CU_ASSERT_EQUAL(random_u64(&one), 11520);
	CU_ASSERT_EQUAL(random_u64(&one), 0);
	CU_ASSERT_EQUAL(random_u64(&one), 1509978240);
}

static void
test_clock(void)
{
	const struct clock *system = clock_system();
	struct clock_virtual virtual;
	int64_t before = clock_mono_ns(system);

	CU_ASSERT(clock_mono_ns(system) >= before);
	CU_ASSERT(clock_wall_ms(system) / 1000 - (int64_t)time(NULL) <= 1);
	CU_ASSERT(clock_wall_ms(system) > INT64_C(1700000000000));
	clock_virtual_init(&virtual, 1000);
	CU_ASSERT_EQUAL(clock_mono_ns(&virtual.clock), 0);
	clock_virtual_advance_to(&virtual, 2500000);
	CU_ASSERT_EQUAL(clock_mono_ns(&virtual.clock), 2500000);
	CU_ASSERT_EQUAL(clock_mono_ms(&virtual.clock), 2);
	CU_ASSERT_EQUAL(clock_wall_ms(&virtual.clock), 1002);
	CU_ASSERT_EQUAL(clock_after_ms(7, 2), 2000007);
	CU_ASSERT_EQUAL(clock_after_ms(7, 0), 7);
	CU_ASSERT_EQUAL(clock_after_ms(7, INT64_MAX / 1000000 - 1),
	    (INT64_MAX / 1000000 - 1) * 1000000 + 7);
	CU_ASSERT_EQUAL(clock_after_ms(7, INT64_MAX), INT64_MAX);
	CU_ASSERT_EQUAL(clock_after_ms(INT64_MAX, 1), INT64_MAX);
}

static void
turn_clock_back(void)
{
	struct clock_virtual virtual;

	clock_virtual_init(&virtual, 0);
	clock_virtual_advance_to(&virtual, 5);
	clock_virtual_advance_to(&virtual, 4);
}

static void
test_clock_never_back(void)
{
	CU_ASSERT(aborts(turn_clock_back));
}

/* --- crc and errors ------------------------------------------------------- */

static void
test_crc(void)
{
	uint8_t bytes[32];

	CU_ASSERT_EQUAL(crc32c(0, "123456789", 9), 0xe3069283);
	CU_ASSERT_EQUAL(crc32_gzip_of(0, "123456789", 9), 0xcbf43926);
	CU_ASSERT_EQUAL(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	CU_ASSERT_EQUAL(crc32_gzip_of(crc32_gzip_of(0, "1234", 4), "56789", 5),
	    0xcbf43926);
	CU_ASSERT_EQUAL(crc32c(0, NULL, 0), 0);
	CU_ASSERT_EQUAL(crc32c(0xe3069283, NULL, 0), 0xe3069283);
	CU_ASSERT_EQUAL(crc32_gzip_of(7, NULL, 0), 7);
	/* RFC 3720, B.4. */
	memset(bytes, 0, sizeof(bytes));
	CU_ASSERT_EQUAL(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	CU_ASSERT_EQUAL(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
}

static void
test_errors(void)
{
	CU_ASSERT_EQUAL(ERR_NONE, 0);
	CU_ASSERT_STRING_EQUAL(error_name(6), "NOT_LEADER_OR_FOLLOWER");
	CU_ASSERT_STRING_EQUAL(error_name(-1), "UNKNOWN_SERVER_ERROR");
	CU_ASSERT_STRING_EQUAL(error_name(-2), "UNKNOWN");
	CU_ASSERT_STRING_EQUAL(error_name(9999), "UNKNOWN");
	CU_ASSERT(error_retriable(ERR_NOT_LEADER_OR_FOLLOWER));
	CU_ASSERT(!error_retriable(ERR_NONE));
	CU_ASSERT(!error_retriable(9999));
}

/* --- diag ----------------------------------------------------------------- */

struct captured {
	char line[5000];
	int count;
};

static void
capture(void *arg, const char *line)
{
	struct captured *captured = arg;

	snprintf(captured->line, sizeof(captured->line), "%s", line);
	captured->count++;
}

static void
make_path(char path[64])
{
	int descriptor;

	snprintf(path, 64, "test_base.XXXXXX");
	descriptor = mkstemp(path);
	CU_ASSERT_FATAL(descriptor >= 0);
	close(descriptor);
}

/* The file's text; the caller frees it. */
static char *
read_all(const char *path)
{
	struct stat status;
	char *text;
	int descriptor = open(path, O_RDONLY);

	CU_ASSERT_FATAL(descriptor >= 0 && fstat(descriptor, &status) == 0);
	text = mem_zalloc((size_t)status.st_size + 1);
	CU_ASSERT_EQUAL(read(descriptor, text, (size_t)status.st_size),
	    status.st_size);
	close(descriptor);
	return (text);
}

static void
test_diag_line(void)
{
	struct clock_virtual clock;
	struct captured captured = { .count = 0 };
	char path[64];
	char *text;
	struct diag *diag;

	setenv("TZ", "XYZ-2", 1); /* two hours east of Greenwich */
	make_path(path);
	clock_virtual_init(&clock, INT64_C(1724161674073));
	diag = diag_new(&clock.clock, path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	diag_set_sink(diag, capture, &captured);
	diag_info(diag, replica, "partition=%s became leader epoch=%d",
	    "orders/3", 12);
	text = read_all(path);
	CU_ASSERT_STRING_EQUAL(text,
	    "[2024-08-20 15:47:54,073] INFO partition=orders/3 became leader "
	    "epoch=12 (replica)\n");
	mem_free(text);
	CU_ASSERT_EQUAL(captured.line[strlen(captured.line) - 1], ')');
	diag_error(diag, net, "name=%s", "a\nb\033[0m");
	CU_ASSERT_STRING_EQUAL(captured.line,
	    "[2024-08-20 15:47:54,073] ERROR name=a?b?[0m (net)");
	diag_info(diag, net, "%6000d", 1);
	CU_ASSERT_EQUAL(strlen(captured.line), 4095);
	CU_ASSERT_STRING_EQUAL(captured.line + 4095 - 9, "... (net)");
	diag_info(diag, net, "%s", "");
	CU_ASSERT_STRING_EQUAL(captured.line,
	    "[2024-08-20 15:47:54,073] INFO  (net)");
	CU_ASSERT_EQUAL(captured.count, 4);
	diag_set_sink(diag, NULL, NULL);
	diag_info(diag, net, "no sink");
	CU_ASSERT_EQUAL(captured.count, 4);
	diag_free(diag);
	unlink(path);
	unsetenv("TZ");
}

static void
test_diag_levels(void)
{
	struct captured captured = { .count = 0 };
	struct diag *diag = diag_new(clock_system(), "/dev/null");
	struct diag *silence = NULL;
	enum diag_level level = DIAG_FATAL;
	enum diag_room room = DIAG_ROOM_base;

	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	diag_set_sink(diag, capture, &captured);
	diag_debug(diag, storage, "not heard");
	CU_ASSERT_EQUAL(captured.count, 0);
	diag_set_level(diag, DIAG_ROOM_storage, DIAG_DEBUG);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_storage), DIAG_DEBUG);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_net), DIAG_INFO);
	diag_debug(diag, storage, "heard");
	diag_debug(diag, net, "not heard");
	diag_trace(diag, storage, "not heard");
	CU_ASSERT_EQUAL(captured.count, 1);
	diag_warn(silence, net, "nowhere");
	diag_fatal(silence, net, "nowhere");
	/* Those without a level of their own follow the root. */
	diag_set_root_level(diag, DIAG_ERROR);
	CU_ASSERT_EQUAL(diag_root_level(diag), DIAG_ERROR);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_net), DIAG_ERROR);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_storage), DIAG_DEBUG);
	diag_unset_level(diag, DIAG_ROOM_storage);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_storage), DIAG_ERROR);
	diag_set_root_level(diag, DIAG_TRACE);
	CU_ASSERT_EQUAL(diag_level(diag, DIAG_ROOM_storage), DIAG_TRACE);
	CU_ASSERT(diag_level_parse("warn", &level) && level == DIAG_WARN);
	CU_ASSERT(!diag_level_parse("loud", &level) && level == DIAG_WARN);
	CU_ASSERT(diag_room_parse("Storage", &room));
	CU_ASSERT_EQUAL(room, DIAG_ROOM_storage);
	CU_ASSERT(!diag_room_parse("", &room));
	CU_ASSERT_STRING_EQUAL(diag_room_name(DIAG_ROOM_zkglue), "zkglue");
	CU_ASSERT_STRING_EQUAL(diag_level_name(DIAG_TRACE), "TRACE");
	diag_free(diag);
	diag_free(NULL);
}

static void
test_diag_refusals(void)
{
	struct diag *diag;

	errno = 0;
	CU_ASSERT_PTR_NULL(diag_new(clock_system(), "/nowhere/at/all"));
	CU_ASSERT_EQUAL(errno, ENOENT);
	diag = diag_new(clock_system(), "/dev/full");
	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	CU_ASSERT_EQUAL(diag_lost_count(diag), 0);
	errno = EPIPE;
	diag_info(diag, base, "lost");
	CU_ASSERT_EQUAL(errno, EPIPE);
	CU_ASSERT_EQUAL(diag_lost_count(diag), 1);
	diag_free(diag);
	diag = diag_new(clock_system(), NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	CU_ASSERT(diag_reopen(diag));
	diag_free(diag);
}

static void
test_diag_reopen(void)
{
	char path[64], rotated[80];
	char *text;
	struct diag *diag;

	make_path(path);
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	diag = diag_new(clock_system(), path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	diag_info(diag, base, "one");
	CU_ASSERT_EQUAL(rename(path, rotated), 0);
	diag_info(diag, base, "two");
	CU_ASSERT(diag_reopen(diag));
	diag_info(diag, base, "three");
	text = read_all(rotated);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "two"));
	CU_ASSERT_PTR_NULL(strstr(text, "three"));
	mem_free(text);
	text = read_all(path);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "three"));
	mem_free(text);
	/* What cannot be opened leaves the old file in use. */
	unlink(path);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT(!diag_reopen(diag));
	diag_info(diag, base, "four");
	CU_ASSERT_EQUAL(diag_lost_count(diag), 0);
	diag_free(diag);
	rmdir(path);
	unlink(rotated);
}

enum { WRITERS = 4, LINES_EACH = 500 };

static void *
write_lines(void *arg)
{
	struct diag *diag = arg;

	for (int i = 0; i < LINES_EACH; i++) {
		diag_info(diag, base, "%0100d end", i);
		if (i % 100 == 0) {
			diag_set_level(diag, DIAG_ROOM_net, DIAG_WARN);
			diag_set_root_level(diag, DIAG_DEBUG);
			diag_unset_level(diag, DIAG_ROOM_net);
			CU_ASSERT(diag_reopen(diag));
		}
	}
	return (NULL);
}

static void
test_diag_threads(void)
{
	pthread_t threads[WRITERS];
	char path[64];
	char *text, *line, *next;
	struct diag *diag;
	int count = 0;

	make_path(path);
	diag = diag_new(clock_system(), path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(diag);
	for (size_t i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL_FATAL(
		    pthread_create(&threads[i], NULL, write_lines, diag), 0);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	text = read_all(path);
	for (line = text; *line != '\0'; line = next + 1) {
		next = strchr(line, '\n');
		CU_ASSERT_PTR_NOT_NULL_FATAL(next);
		*next = '\0';
		if (line[0] != '[' || strlen(line) != 25 + 6 + 104 + 7)
			CU_FAIL("a line is torn");
		count++;
	}
	CU_ASSERT_EQUAL(count, WRITERS * LINES_EACH);
	CU_ASSERT_EQUAL(diag_lost_count(diag), 0);
	mem_free(text);
	diag_free(diag);
	unlink(path);
}

static const struct unit_test tests[] = {
	{ "CHECK aborts", test_check },
	{ "mem", test_mem },
	{ "arena: aligned, disjoint", test_arena_aligned_and_disjoint },
	{ "arena: refuses", test_arena_refuses },
	{ "arena: reset keeps a small block",
	    test_arena_reset_keeps_a_small_block },
	{ "arena: copies", test_arena_copies },
	{ "buffer", test_buffer },
	{ "buffer: overflow is a bug", test_buffer_overflow },
	{ "bytes", test_bytes },
	{ "slice", test_slice },
	{ "hash", test_hash },
	{ "hash: a second of a key is a bug", test_hash_refuses_a_second },
	{ "hash: siphash", test_siphash },
	{ "hash: keys that peers choose share no chain", test_hash_chains },
	{ "hash: java strings", test_hash_java_string },
	{ "list", test_list },
	{ "twins", test_twins },
	{ "blob", test_blob },
	{ "text: int64", test_text_int64 },
	{ "text: int32", test_text_int32 },
	{ "text: double", test_text_double },
	{ "text: of a double", test_text_of_double },
	{ "text: bool", test_text_bool },
	{ "text: trim and cut", test_text_cuts },
	{ "text: utf-8", test_text_utf8 },
	{ "uuid: text", test_uuid_text },
	{ "uuid: random", test_uuid_random },
	{ "random", test_random },
	{ "clock", test_clock },
	{ "clock: never back", test_clock_never_back },
	{ "crc", test_crc },
	{ "errors", test_errors },
	{ "diag: line", test_diag_line },
	{ "diag: levels", test_diag_levels },
	{ "diag: refusals", test_diag_refusals },
	{ "diag: reopen", test_diag_reopen },
	{ "diag: threads", test_diag_threads },
};

int
main(void)
{
	return (unit_main("base", tests, nelems(tests)));
}
