/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes taken from the real Kafka (tests/vectors/capture): every API's requests
 * and answers in every version, and stored messages, decode and re-encode to
 * the same bytes; log dirs that it wrote are walked to the last record; its
 * znodes decode, and encode to equal JSON.
 */
#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "record/record.h"
#include "tests/unit/unit.h"
#include "wire/wire.h"
#include "zkglue/znodes.h"

#define MOST_MESSAGES 256
#define DECOMPRESSED_MAX ((size_t)1 << 20)
#define CODECS_EACH 60 /* records of each codec in codecs-0 */

/* One line of a golden file: what, in which version, and its bytes. */
struct vector {
	const char *file;
	const struct api *api; /* NULL: stored data, see `message` */
	const struct message *message;
	char kind; /* of "request", "response", "data": q, p, d */
	int version;
	struct buffer bytes;
};

/* Which versions of which message were seen, a bit each. */
struct seen {
	uint32_t versions[MOST_MESSAGES];
};

static char *
vectors_path(char *path, size_t size, const char *rest)
{
	const char *top = getenv("srcdir");

	snprintf(path, size, "%s/tests/vectors/%s", top != NULL ? top : ".",
	    rest);
	return (path);
}

static void
complain(const struct vector *v, const char *what)
{
	fprintf(stderr, "%s: version %d: %s\n", v->file, v->version, what);
	CU_FAIL("golden bytes differ");
}

static void
seen_add(struct seen *seen, const struct message *message, int version)
{
	for (size_t i = 0; message_at(i) != NULL; i++)
		if (message_at(i) == message)
			seen->versions[i] |= UINT32_C(1) << version;
}

/* --- golden messages ------------------------------------------------------ */

/* Takes the header off *frame and writes it again; NULL or what is wrong. */
static const char *
head_again(const struct vector *v, struct slice *frame, struct buffer *out)
{
	struct request_head head;
	int32_t correlation_id;

	if (v->kind == 'q') {
		if (wire_read_request_head(frame, &head) != WIRE_OK)
			return ("the request's header does not decode");
		if (head.api_key != v->api->key ||
		    head.api_version != v->version)
			return ("the request is another's");
		wire_write_request_head(&head, out);
	} else if (v->kind == 'p') {
		if (wire_read_response_head(v->api, v->version, frame,
			&correlation_id) != WIRE_OK)
			return ("the answer's header does not decode");
		wire_write_response_head(v->api, v->version, correlation_id,
		    out);
	}
	return (NULL);
}

static const char *
body_again(const struct vector *v, const struct message *message,
    struct slice body, struct arena *arena, struct buffer *out)
{
	void *object = arena_zalloc(arena, message_size(message));
	struct slice rest = SLICE_NULL;

	if (wire_decode(message, v->version, body, arena, object, &rest) !=
	    WIRE_OK)
		return ("does not decode");
	if (rest.length != 0)
		return ("bytes are left over");
	if (wire_encode_bytes(message, v->version, object, out) != WIRE_OK)
		return ("does not encode");
	return (NULL);
}

static void
vector_check(const struct vector *v, struct seen *seen)
{
	const struct message *message = v->kind == 'q' ? v->api->request :
	    v->kind == 'p' ? v->api->response : v->message;
	struct slice frame = buffer_slice(&v->bytes);
	struct buffer out = BUFFER_EMPTY;
	const char *wrong;
	struct arena arena;

	arena_init(&arena, 0);
	wrong = head_again(v, &frame, &out);
	if (wrong == NULL)
		wrong = body_again(v, message, frame, &arena, &out);
	if (wrong == NULL &&
	    !slice_equal(buffer_slice(&out), buffer_slice(&v->bytes)))
		wrong = "encodes to other bytes";
	if (wrong != NULL)
		complain(v, wrong);
	seen_add(seen, message, v->version);
	buffer_fini(&out);
	arena_fini(&arena);
}

static int
hex_digit(int c)
{
	return (isdigit(c) ? c - '0' : c - 'a' + 10);
}

/* "request 3 00ff..."; false for a comment. */
static bool
vector_parse(const char *line, struct vector *v)
{
	char *end;
	const char *hex = strchr(line, ' ');

	if (*line == '#' || hex == NULL)
		return (false);
	v->kind = *line == 'd' ? 'd' : strncmp(line, "req", 3) == 0 ? 'q' : 'p';
	v->version = (int)strtol(hex, &end, 10);
	v->bytes.length = 0;
	for (hex = end + 1; isxdigit((unsigned char)hex[0]); hex += 2) {
		const uint8_t byte = (uint8_t)(hex_digit(hex[0]) << 4 |
		    hex_digit(hex[1]));

		buffer_append(&v->bytes, &byte, 1);
	}
	return (true);
}

/* 003-Metadata.txt and data-OffsetCommitKey.txt: whose vectors they are. */
static bool
vector_owner(const char *name, struct vector *v)
{
	char snake[128];
	size_t length = 0;

	if (isdigit((unsigned char)*name)) {
		v->api = api_by_key((int)strtol(name, NULL, 10));
		return (v->api != NULL);
	}
	for (name += strlen("data-"); *name != '.' && *name != '\0' &&
	     length < sizeof(snake) - 2; name++) {
		if (isupper((unsigned char)*name) && length > 0)
			snake[length++] = '_';
		snake[length++] = (char)tolower((unsigned char)*name);
	}
	snake[length] = '\0';
	v->message = message_by_name(snake);
	return (v->message != NULL);
}

static void
golden_file(const char *folder, const char *name, struct seen *seen)
{
	char path[2304], *line = NULL;
	struct vector v = { .file = name };
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	if (!vector_owner(name, &v))
		complain(&v, "no such message");
	else
		while (getline(&line, &size, file) > 0)
			if (vector_parse(line, &v))
				vector_check(&v, seen);
	buffer_fini(&v.bytes);
	free(line);
	fclose(file);
}

/* Every message that there is has bytes of the real Kafka in every version. */
static void
seen_all(const struct seen *seen)
{
	const struct message *m;

	for (size_t i = 0; (m = message_at(i)) != NULL; i++)
		for (int v = message_lowest(m); v <= message_highest(m); v++)
			if ((seen->versions[i] >> v & 1) == 0) {
				fprintf(stderr, "%s %d: no golden bytes\n",
				    message_name(m), v);
				CU_FAIL("a message without golden bytes");
			}
}

static void
test_golden(void)
{
	struct seen seen = { .versions = { 0 } };
	char folder[2048];
	struct dirent *entry;
	DIR *dir = opendir(vectors_path(folder, sizeof(folder), "golden"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strstr(entry->d_name, ".txt") != NULL)
			golden_file(folder, entry->d_name, &seen);
	closedir(dir);
	seen_all(&seen);
}

/* --- log dirs ------------------------------------------------------------- */

/* What a walk over a partition's segments counted. */
struct walk {
	int64_t next_offset;
	int records;
	int by_codec[CODEC_COUNT];
	int batches_of_codec[CODEC_COUNT];
	int transactional;
	int commits;
	int aborts;
	/* Called for each record, if there is one. */
	void (*look)(const struct batch *, const struct record *);
};

static struct buffer
file_bytes(const char *name)
{
	struct buffer bytes = BUFFER_EMPTY;
	char path[2048], part[4096];
	size_t got;
	FILE *file = fopen(vectors_path(path, sizeof(path), name), "rb");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while ((got = fread(part, 1, sizeof(part), file)) > 0)
		buffer_append(&bytes, part, got);
	fclose(file);
	return (bytes);
}

static void
walk_control(struct walk *walk, const struct record *record)
{
	CU_ASSERT_EQUAL_FATAL(record->key.length, 4);
	if (bytes_get_i16(record->key.data + 2) == 1)
		walk->commits++;
	else
		walk->aborts++;
}

static void
walk_records(struct walk *walk, const struct batch *batch)
{
	struct record_reader *reader = NULL;
	struct record record;
	int got, count = 0;

	CU_ASSERT_EQUAL_FATAL(record_reader_new(batch, DECOMPRESSED_MAX,
	    &reader), ERR_NONE);
	while ((got = record_reader_next(reader, &record)) == 1) {
		CU_ASSERT_EQUAL(record.offset, batch->base_offset + count++);
		CU_ASSERT(record.timestamp_ms <= batch->max_timestamp_ms);
		if (batch->attributes & BATCH_ATTR_CONTROL)
			walk_control(walk, &record);
		else if (walk->look != NULL)
			walk->look(batch, &record);
	}
	CU_ASSERT_EQUAL(got, 0);
	CU_ASSERT_EQUAL(count, batch->record_count);
	walk->records += count;
	walk->by_codec[batch_codec(batch)] += count;
	record_reader_free(&reader);
}

static void
walk_segment(struct walk *walk, const char *name)
{
	struct buffer file = file_bytes(name);
	struct slice bytes = buffer_slice(&file);
	struct batch batch;
	enum batch_walk step;

	while ((step = batch_next(&bytes, &batch)) == BATCH_OK) {
		CU_ASSERT_EQUAL(batch.magic, 2);
		CU_ASSERT(batch_crc_good(&batch));
		CU_ASSERT_EQUAL(batch.base_offset, walk->next_offset);
		walk->next_offset = batch.last_offset + 1;
		walk->batches_of_codec[batch_codec(&batch)]++;
		walk->transactional +=
		    (batch.attributes & BATCH_ATTR_TRANSACTIONAL) != 0;
		walk_records(walk, &batch);
	}
	CU_ASSERT_EQUAL(step, BATCH_END);
	buffer_fini(&file);
}

/* Key key-N, value "CODEC N ...", headers color:CODEC and n:N. */
static void
look_at_codecs(const struct batch *batch, const struct record *record)
{
	const char *codec = codec_name(batch_codec(batch));
	struct slice headers = record->headers;
	struct record_header header;
	char value[64], key[16], number[16];
	const int n = (int)(record->offset % CODECS_EACH);

	snprintf(value, sizeof(value), "%s %d ", codec, n);
	snprintf(key, sizeof(key), "key-%d", n % 7);
	snprintf(number, sizeof(number), "%d", n);
	CU_ASSERT(slice_equal_text(record->key, key));
	CU_ASSERT(record->value.length >= strlen(value) &&
	    memcmp(record->value.data, value, strlen(value)) == 0);
	CU_ASSERT_EQUAL(record->header_count, 2);
	CU_ASSERT_EQUAL(record_header_next(&headers, &header), 1);
	CU_ASSERT(slice_equal_text(header.key, "color"));
	CU_ASSERT(slice_equal_text(header.value, codec));
	CU_ASSERT_EQUAL(record_header_next(&headers, &header), 1);
	CU_ASSERT(slice_equal_text(header.key, "n"));
	CU_ASSERT(slice_equal_text(header.value, number));
	CU_ASSERT_EQUAL(record_header_next(&headers, &header), 0);
}

static void
test_codecs(void)
{
	struct walk walk = { .look = look_at_codecs };

	walk_segment(&walk, "logs/b/codecs-0/00000000000000000000.log");
	CU_ASSERT_EQUAL(walk.next_offset, 217); /* the next one's name */
	walk_segment(&walk, "logs/b/codecs-0/00000000000000000217.log");
	CU_ASSERT_EQUAL(walk.records, CODEC_COUNT * CODECS_EACH);
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		CU_ASSERT_EQUAL(walk.by_codec[codec], CODECS_EACH);
		CU_ASSERT(walk.batches_of_codec[codec] > 1);
	}
}

/* Six transactions of two records: three were committed, three were not; two
 * markers more were written by hand. */
static void
test_transactions(void)
{
	struct walk walk = { .look = NULL };

	walk_segment(&walk, "logs/a/ledger-0/00000000000000000000.log");
	CU_ASSERT_EQUAL(walk.records, 6 * 2 + 6 + 2);
	CU_ASSERT_EQUAL(walk.commits, 4);
	CU_ASSERT_EQUAL(walk.aborts, 4);
	CU_ASSERT_EQUAL(walk.transactional, 6 + 6 + 2);
}

/* A stored key or value: its version, then that version's body. */
static void
stored_again(const struct message *message, struct slice bytes)
{
	struct vector v = { .file = message_name(message), .kind = 'd',
		.message = message };
	struct seen seen = { .versions = { 0 } };

	CU_ASSERT_FATAL(bytes.length >= 2);
	v.version = bytes_get_i16(bytes.data);
	buffer_append(&v.bytes, bytes.data + 2, bytes.length - 2);
	vector_check(&v, &seen);
	buffer_fini(&v.bytes);
}

static void
look_at_offsets(const struct batch *batch, const struct record *record)
{
	const bool group = bytes_get_i16(record->key.data) == 2;

	CU_ASSERT(batch_codec(batch) == CODEC_NONE);
	stored_again(group ? &message_group_metadata_key :
	    &message_offset_commit_key, record->key);
	if (record->value.data != NULL)
		stored_again(group ? &message_group_metadata_value :
		    &message_offset_commit_value, record->value);
}

static void
look_at_states(const struct batch *batch, const struct record *record)
{
	CU_ASSERT(batch_codec(batch) == CODEC_NONE);
	stored_again(&message_transaction_log_key, record->key);
	if (record->value.data != NULL)
		stored_again(&message_transaction_log_value, record->value);
}

static void
test_internal_topics(void)
{
	static const char *const offsets[] = {
		"logs/a/__consumer_offsets-0/00000000000000000000.log",
		"logs/a/__consumer_offsets-1/00000000000000000000.log",
		"logs/a/__consumer_offsets-2/00000000000000000000.log" };
	static const char *const states[] = {
		"logs/b/__transaction_state-0/00000000000000000000.log",
		"logs/a/__transaction_state-1/00000000000000000000.log",
		"logs/a/__transaction_state-2/00000000000000000000.log" };

	for (size_t i = 0; i < nelems(offsets); i++) {
		struct walk walk = { .look = look_at_offsets };

		walk_segment(&walk, offsets[i]);
		CU_ASSERT(walk.records > 0);
	}
	for (size_t i = 0; i < nelems(states); i++) {
		struct walk walk = { .look = look_at_states };

		walk_segment(&walk, states[i]);
		CU_ASSERT_EQUAL(walk.records, 10);
	}
}

/* --- znodes --------------------------------------------------------------- */

/* One decodes and encodes again; false when it does not decode. */
#define ZNODE_AGAIN(kind)                                                     \
	static bool                                                           \
	kind##_again(struct slice json, struct arena *arena,                  \
	    struct buffer *out)                                               \
	{                                                                     \
		struct znode_##kind node;                                     \
                                                                              \
		if (!znode_##kind##_decode(json, arena, &node))               \
			return (false);                                       \
		znode_##kind##_encode(&node, out);                            \
		return (true);                                                \
	}
ZNODE_AGAIN(broker)
ZNODE_AGAIN(topic)
ZNODE_AGAIN(state)
ZNODE_AGAIN(config)

static bool
controller_again(struct slice json, struct arena *arena, struct buffer *out)
{
	struct znode_controller node;

	(void)arena;
	if (!znode_controller_decode(json, &node))
		return (false);
	znode_controller_encode(&node, out);
	return (true);
}

static bool
feature_again(struct slice json, struct arena *arena, struct buffer *out)
{
	struct znode_feature node;

	(void)arena;
	if (!znode_feature_decode(json, &node))
		return (false);
	znode_feature_encode(&node, out);
	return (true);
}

static bool
cluster_id_again(struct slice json, struct arena *arena, struct buffer *out)
{
	const char *id;

	if (!znode_cluster_id_decode(json, arena, &id))
		return (false);
	znode_cluster_id_encode(id, out);
	return (true);
}

static bool
epoch_again(struct slice json, struct arena *arena, struct buffer *out)
{
	int32_t epoch;

	(void)arena;
	if (!znode_epoch_decode(json, &epoch))
		return (false);
	znode_epoch_encode(epoch, out);
	return (true);
}

static const struct {
	const char *paths;
	bool (*again)(struct slice, struct arena *, struct buffer *);
} znode_kinds[] = {
	{ "/brokers/ids/[0-9]*", broker_again },
	{ "/brokers/topics/*/state", state_again },
	{ "/brokers/topics/*", topic_again },
	{ "/config/topics/*", config_again },
	{ "/controller", controller_again },
	{ "/feature", feature_again },
	{ "/cluster/id", cluster_id_again },
	{ "/controller_epoch", epoch_again },
};

static void
znode_check(const char *path, const char *text)
{
	struct buffer out = BUFFER_EMPTY;
	json_t *theirs, *ours;
	struct arena arena;
	bool good = false;

	arena_init(&arena, 0);
	for (size_t i = 0; i < nelems(znode_kinds); i++)
		if (fnmatch(znode_kinds[i].paths, path, 0) == 0) {
			good = znode_kinds[i].again(slice_of_text(text), &arena,
			    &out);
			break;
		}
	theirs = json_loads(text, JSON_DECODE_ANY, NULL);
	ours = json_loads(buffer_text(&out), JSON_DECODE_ANY, NULL);
	if (!good || !json_equal(theirs, ours)) {
		fprintf(stderr, "%s\n\tKafka's %s\n\tours    %s\n", path, text,
		    buffer_text(&out));
		CU_FAIL("a znode differs");
	}
	json_decref(theirs);
	json_decref(ours);
	buffer_fini(&out);
	arena_fini(&arena);
}

static void
test_znodes(void)
{
	char path[2048];
	const char *name;
	json_t *node;
	int checked = 0;
	json_t *tree = json_load_file(
	    vectors_path(path, sizeof(path), "znodes.json"), 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
	json_object_foreach (tree, name, node) {
		const char *text = json_string_value(json_object_get(node,
		    "text"));

		if (text != NULL && *text != '\0') {
			znode_check(name, text);
			checked++;
		}
	}
	CU_ASSERT_EQUAL(checked, 11);
	/* What every broker makes at its start is there. */
	for (const char *const *p = znode_static_paths(); *p != NULL; p++)
		CU_ASSERT_PTR_NOT_NULL(json_object_get(tree, *p));
	json_decref(tree);
}

static const struct unit_test tests[] = {
	{ "golden messages decode and encode to the same bytes", test_golden },
	{ "records of all five codecs", test_codecs },
	{ "transactions and their markers", test_transactions },
	{ "stored groups, offsets and transactions", test_internal_topics },
	{ "znodes decode and encode to equal JSON", test_znodes },
};

int
main(void)
{
	return (unit_main("vectors", tests, nelems(tests)));
}
