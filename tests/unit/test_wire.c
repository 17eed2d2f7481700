/* SPDX-License-Identifier: Apache-2.0 */
/* Every message in every version, and what a peer or a caller may get wrong. */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

#define SEED 20240820
#define ROUNDS 20

struct sample {
	const struct message *message;
	int version;
	struct random random;
	struct arena arena;
	void *object;
	struct buffer bytes;
};

static void
sample_make(struct sample *s, const struct message *message, int version,
    uint64_t seed)
{
	*s = (struct sample){ .message = message, .version = version };
	random_seed(&s->random, seed);
	arena_init(&s->arena, 0);
	s->object = arena_zalloc(&s->arena, message_size(message));
	values_fill(message, version, &s->random, &s->arena, s->object);
	CU_ASSERT_EQUAL(wire_encode_bytes(message, version, s->object,
	    &s->bytes), WIRE_OK);
}

static void
sample_free(struct sample *s)
{
	buffer_fini(&s->bytes);
	arena_fini(&s->arena);
}

/* Runs `check` on samples of every message and version. */
static void
each_sample(int rounds, void (*check)(struct sample *s))
{
	const struct message *message;
	struct sample s;

	for (size_t i = 0; (message = message_at(i)) != NULL; i++)
		for (int v = message_lowest(message);
		     v <= message_highest(message); v++)
			for (int round = 0; round < rounds; round++) {
				sample_make(&s, message, v, SEED + i * 1000 +
				    (uint64_t)v * 50 + (uint64_t)round);
				check(&s);
				sample_free(&s);
			}
}

/* decode(encode(x)) == x, and encodes to the same bytes again. */
static void
check_round_trip(struct sample *s)
{
	const struct schema *schema = s->message->schema();
	void *again = arena_zalloc(&s->arena, schema->size);
	struct buffer bytes = BUFFER_EMPTY;
	struct slice rest = SLICE_NULL;

	CU_ASSERT_EQUAL(wire_decode(s->message, s->version,
	    buffer_slice(&s->bytes), &s->arena, again, &rest), WIRE_OK);
	CU_ASSERT_EQUAL(rest.length, 0);
	CU_ASSERT(values_equal(schema, s->object, again));
	CU_ASSERT_EQUAL(wire_encode_bytes(s->message, s->version, again,
	    &bytes), WIRE_OK);
	CU_ASSERT(slice_equal(buffer_slice(&bytes), buffer_slice(&s->bytes)));
	buffer_fini(&bytes);
}

static void
test_round_trip(void)
{
	each_sample(ROUNDS, check_round_trip);
}

/* A message that was cut short is malformed, wherever it was cut. Each prefix
 * stands in memory of its own, where a sanitizer sees the step too far. */
static void
check_truncation(struct sample *s)
{
	struct arena arena;
	void *object = arena_zalloc(&s->arena, message_size(s->message));

	arena_init(&arena, 0);
	for (size_t length = 0; length < s->bytes.length; length++) {
		uint8_t *copy = mem_alloc(length + 1);

		memcpy(copy + 1, s->bytes.data, length);
		CU_ASSERT_EQUAL(wire_decode(s->message, s->version,
		    slice_of(copy + 1, length), &arena, object, NULL),
		    WIRE_MALFORMED);
		mem_free(copy);
		arena_reset(&arena);
	}
	arena_fini(&arena);
}

static void
test_truncation(void)
{
	each_sample(1, check_truncation);
}

/* Whatever the bytes: an answer, and what decodes also encodes. */
static void
check_damage(struct sample *s)
{
	void *object = arena_zalloc(&s->arena, message_size(s->message));
	struct buffer again = BUFFER_EMPTY;
	enum wire_status status;
	struct arena arena;

	if (s->bytes.length == 0)
		return;
	arena_init(&arena, 1 << 20);
	for (int round = 0; round < 100; round++) {
		const size_t at = random_below(&s->random, s->bytes.length);

		s->bytes.data[at] = (uint8_t)random_u64(&s->random);
		status = wire_decode(s->message, s->version,
		    buffer_slice(&s->bytes), &arena, object, NULL);
		if (status == WIRE_OK)
			CU_ASSERT_EQUAL(wire_encode_bytes(s->message,
			    s->version, object, &again), WIRE_OK);
		again.length = 0;
		arena_reset(&arena);
	}
	random_bytes(&s->random, s->bytes.data, s->bytes.length);
	wire_decode(s->message, s->version, buffer_slice(&s->bytes), &arena,
	    object, NULL);
	arena_fini(&arena);
	buffer_fini(&again);
}

static void
test_damage(void)
{
	each_sample(3, check_damage);
}

static void
test_tables(void)
{
	const char *top = getenv("srcdir");
	char folder[2048];

	snprintf(folder, sizeof(folder), "%s/tests/vectors/fields",
	    top != NULL ? top : ".");
	CU_ASSERT_EQUAL(tables_compare(folder), 0);
}

static void
test_apis(void)
{
	const struct api *api;
	size_t count = 0;
	int last = -1;

	for (; (api = api_at(count)) != NULL; count++) {
		CU_ASSERT(api->key > last);
		last = api->key;
		CU_ASSERT_PTR_EQUAL(api_by_key(api->key), api);
		CU_ASSERT_PTR_EQUAL(api_by_name(api->name), api);
		CU_ASSERT_EQUAL(message_api(api->request), api->key);
		CU_ASSERT_EQUAL(message_api(api->response), api->key);
		CU_ASSERT_EQUAL(message_kind(api->request), MESSAGE_REQUEST);
		CU_ASSERT_EQUAL(message_kind(api->response), MESSAGE_RESPONSE);
		CU_ASSERT_EQUAL(message_lowest(api->request), api->lowest);
		CU_ASSERT_EQUAL(message_highest(api->request), api->highest);
		CU_ASSERT_EQUAL(message_flexible(api->request), api->flexible);
		CU_ASSERT_EQUAL(message_highest(api->response), api->highest);
	}
	CU_ASSERT_EQUAL(count, 62);
	CU_ASSERT_PTR_NULL(api_by_key(52));
	CU_ASSERT_PTR_NULL(api_by_key(-1));
	CU_ASSERT_PTR_NULL(api_by_key(70));
	CU_ASSERT_PTR_NULL(api_by_name("Vote"));
	CU_ASSERT(api_by_key(API_LEADER_AND_ISR)->flags & API_CLUSTER_ACTION);
	CU_ASSERT(api_by_key(API_CREATE_TOPICS)->flags & API_FORWARDABLE);
	CU_ASSERT_PTR_EQUAL(message_by_name("fetch_request"),
	    &message_fetch_request);
	CU_ASSERT_PTR_NULL(message_by_name("fetch"));
}

/* --- bytes by hand -------------------------------------------------------- */

static enum wire_status
decode_literal(const struct message *message, int version, struct slice bytes,
    void *object)
{
	struct arena arena;
	enum wire_status status;

	arena_init(&arena, 4096);
	status = wire_decode(message, version, bytes, &arena, object, NULL);
	arena_fini(&arena);
	return (status);
}

#define ASSERT_DECODES(m, version, bytes, expected)                           \
	do {                                                                  \
		struct m decoded;                                             \
		CU_ASSERT_EQUAL(decode_literal(&message_##m, version,         \
		    SLICE_LITERAL(bytes), &decoded), expected);               \
	} while (0)

#define ASSERT_ENCODES(m, version, object, bytes)                             \
	do {                                                                  \
		struct buffer encoded = BUFFER_EMPTY;                         \
		CU_ASSERT_EQUAL(wire_encode_bytes(&message_##m, version,      \
		    object, &encoded), WIRE_OK);                              \
		CU_ASSERT(slice_equal(buffer_slice(&encoded),                 \
		    SLICE_LITERAL(bytes)));                                   \
		buffer_fini(&encoded);                                        \
	} while (0)

static void
test_golden(void)
{
	struct api_versions_request asked;
	struct metadata_request metadata;
	struct heartbeat_request beat;

	wire_init(&message_api_versions_request, &asked);
	asked.client_software_name = slice_of_text("kc");
	asked.client_software_version = slice_of_text("1");
	ASSERT_ENCODES(api_versions_request, 3, &asked, "\3kc\2" "1\0");
	ASSERT_ENCODES(api_versions_request, 0, &asked, "");

	wire_init(&message_metadata_request, &metadata);
	CU_ASSERT_EQUAL(metadata.allow_auto_topic_creation, true);
	ASSERT_ENCODES(metadata_request, 0, &metadata, "\0\0\0\0");
	metadata.topics = NULL;
	ASSERT_ENCODES(metadata_request, 0, &metadata, "\0\0\0\0");
	ASSERT_ENCODES(metadata_request, 1, &metadata, "\xff\xff\xff\xff");
	ASSERT_ENCODES(metadata_request, 12, &metadata, "\0\1\0\0");

	wire_init(&message_heartbeat_request, &beat);
	beat.group_id = slice_of_text("g");
	beat.generation_id = 258;
	beat.member_id = slice_of_text("me");
	ASSERT_ENCODES(heartbeat_request, 0, &beat,
	    "\0\1g\0\0\1\2\0\2me");
	ASSERT_ENCODES(heartbeat_request, 4, &beat, "\2g\0\0\1\2\3me\0\0");
}

static void
test_malformed(void)
{
	/* A null or negative length where the row knows no null. */
	ASSERT_DECODES(sasl_handshake_request, 0, "\0\1P", WIRE_OK);
	ASSERT_DECODES(sasl_handshake_request, 0, "\xff\xff", WIRE_MALFORMED);
	ASSERT_DECODES(metadata_request, 0, "\xff\xff\xff\xff", WIRE_MALFORMED);
	ASSERT_DECODES(metadata_request, 1, "\xff\xff\xff\xff", WIRE_OK);
	ASSERT_DECODES(metadata_request, 1, "\xff\xff\xff\xfe", WIRE_MALFORMED);
	ASSERT_DECODES(api_versions_request, 3, "\0\2a\0", WIRE_MALFORMED);
	/* A count beyond the bytes that are left, by a little and by a lot. */
	ASSERT_DECODES(metadata_request, 1, "\0\0\0\1", WIRE_MALFORMED);
	ASSERT_DECODES(metadata_request, 1, "\x7f\xff\xff\xff\0\1a",
	    WIRE_MALFORMED);
	/* Varints: six bytes, more than 32 bits. */
	ASSERT_DECODES(api_versions_request, 3, "\x80\x80\x80\x80\x80\1",
	    WIRE_MALFORMED);
	ASSERT_DECODES(api_versions_request, 3, "\xff\xff\xff\xff\x1f",
	    WIRE_MALFORMED);
	/* A presence byte that is neither -1 nor 1. */
	ASSERT_DECODES(consumer_group_heartbeat_response, 0,
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\0", WIRE_OK);
	ASSERT_DECODES(consumer_group_heartbeat_response, 0,
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0", WIRE_MALFORMED);
	/* No such version. */
	ASSERT_DECODES(sasl_handshake_request, 2, "\0\1P", WIRE_UNSUPPORTED);
	ASSERT_DECODES(group_metadata_key, 1, "\0\1P", WIRE_UNSUPPORTED);
}

static void
test_tags(void)
{
#define NAMES "\2a\2b"
	struct api_versions_response reply;

	/* Unknown tags pass, also twice or descending; too long ones do not. */
	ASSERT_DECODES(api_versions_request, 3, NAMES "\0", WIRE_OK);
	ASSERT_DECODES(api_versions_request, 3, NAMES "\2\5\1x\7\0", WIRE_OK);
	ASSERT_DECODES(api_versions_request, 3, NAMES "\2\5\0\5\0", WIRE_OK);
	ASSERT_DECODES(api_versions_request, 3, NAMES "\2\5\0\4\0", WIRE_OK);
	ASSERT_DECODES(api_versions_request, 3, NAMES "\1\5\2x",
	    WIRE_MALFORMED);
	/* A known tag fills its size exactly: here an int64 of 8 bytes. */
#define REPLY "\0\0\1\0\0\0\0\1\1"
	ASSERT_DECODES(api_versions_response, 3, REPLY "\x08\0\0\0\0\0\0\0\7",
	    WIRE_OK);
	ASSERT_DECODES(api_versions_response, 3, REPLY "\x09\0\0\0\0\0\0\0\7\0",
	    WIRE_MALFORMED);
	ASSERT_DECODES(api_versions_response, 3, REPLY "\x07\0\0\0\0\0\0\0\7",
	    WIRE_MALFORMED);

	/* Written when not at its default, -1, also when it is zero. */
	wire_init(&message_api_versions_response, &reply);
	ASSERT_ENCODES(api_versions_response, 3, &reply, "\0\0\1\0\0\0\0\0");
	reply.finalized_features_epoch = 0;
	ASSERT_ENCODES(api_versions_response, 3, &reply,
	    REPLY "\x08\0\0\0\0\0\0\0\0");
}

/* A value whose size takes two bytes moves up by one. */
static void
test_long_tag(void)
{
	uint8_t text[200];
	struct api_versions_response reply, decoded;
	struct api_versions_response_supported_feature feature = {
		.name = slice_of(text, sizeof(text)),
		.min_version = 1, .max_version = 2 };
	struct buffer made = BUFFER_EMPTY;
	struct arena arena;

	memset(text, 'f', sizeof(text));
	wire_init(&message_api_versions_response, &reply);
	reply.finalized_features_epoch = 0;
	reply.supported_features = &feature;
	reply.supported_features_count = 1;
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_api_versions_response, 3,
	    &reply, &made), WIRE_OK);
	CU_ASSERT_EQUAL(made.length, 8 + 3 + 1 + 2 + 200 + 5 + 10);
	CU_ASSERT_EQUAL(memcmp(made.data + 7, "\2\0\xd0\1\2\xc9\1f", 8), 0);
	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(wire_decode(&message_api_versions_response, 3,
	    buffer_slice(&made), &arena, &decoded, NULL), WIRE_OK);
	CU_ASSERT_EQUAL(decoded.supported_features_count, 1);
	CU_ASSERT(slice_equal(decoded.supported_features[0].name,
	    feature.name));
	CU_ASSERT_EQUAL(decoded.finalized_features_epoch, 0);
	arena_fini(&arena);
	buffer_fini(&made);
}

static void
test_unsupported(void)
{
	struct fetch_request fetch;
	struct join_group_response join;
	struct sasl_handshake_request sasl;
	struct offset_fetch_request offsets;
	struct default_principal_data principal;
	struct buffer made = BUFFER_EMPTY;
	static const uint8_t long_text[40000];

	/* Not ignorable: refused, and nothing is left behind. */
	buffer_append_text(&made, "before");
	wire_init(&message_fetch_request, &fetch);
	CU_ASSERT_EQUAL(fetch.session_epoch, -1);
	fetch.replica_state.replica_id = 1;
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_fetch_request, 14, &fetch,
	    &made), WIRE_UNSUPPORTED);
	CU_ASSERT(slice_equal_text(buffer_slice(&made), "before"));
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_fetch_request, 15, &fetch,
	    &made), WIRE_OK);
	/* Ignorable: left out. */
	wire_init(&message_fetch_request, &fetch);
	fetch.rack_id = slice_of_text("r");
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_fetch_request, 4, &fetch,
	    &made), WIRE_OK);
	/* Null says something else than empty, where null can be said. */
	wire_init(&message_offset_fetch_request, &offsets);
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_offset_fetch_request, 8,
	    &offsets, &made), WIRE_OK);
	offsets.topics = NULL;
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_offset_fetch_request, 8,
	    &offsets, &made), WIRE_UNSUPPORTED);
	/* Longer than a string can be; in both forms. */
	wire_init(&message_sasl_handshake_request, &sasl);
	sasl.mechanism = slice_of(long_text, sizeof(long_text));
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_sasl_handshake_request, 0,
	    &sasl, &made), WIRE_UNSUPPORTED);
	wire_init(&message_default_principal_data, &principal);
	principal.name = sasl.mechanism;
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_default_principal_data, 0,
	    &principal, &made), WIRE_UNSUPPORTED);
	/* No such version. */
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_sasl_handshake_request, 9,
	    &sasl, &made), WIRE_UNSUPPORTED);
	/* Null where the version forbids it is empty. */
	wire_init(&message_join_group_response, &join);
	join.protocol_name = SLICE_NULL;
	ASSERT_ENCODES(join_group_response, 0, &join,
	    "\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0");
	buffer_fini(&made);
}

/* The arena's bound is a status of its own. */
static void
test_arena_bound(void)
{
	struct metadata_request request;
	uint8_t bytes[4 + 2000 * 2] = { 0, 0, 2000 >> 8, 2000 & 255 };

	CU_ASSERT_EQUAL(decode_literal(&message_metadata_request, 1,
	    slice_of(bytes, sizeof(bytes)), &request), WIRE_TOO_LARGE);
	/* A name takes two bytes: 3,000 cannot hold so many, which is known
	 * before the arena is asked. */
	CU_ASSERT_EQUAL(decode_literal(&message_metadata_request, 1,
	    slice_of(bytes, 3000), &request), WIRE_MALFORMED);
}

/* --- extents -------------------------------------------------------------- */

static void
blob_released(struct blob *blob)
{
	(void)blob;
}

static const struct blob_ops blob_test_ops = { .release = blob_released };

static void
test_extents(void)
{
	struct blob blob;
	struct wire_out out;
	struct buffer plain = BUFFER_EMPTY;
	struct fetch_response reply;
	struct fetch_response_topic topic;
	struct fetch_response_partition parts[2];

	blob_init(&blob, &blob_test_ops);
	wire_init(&message_fetch_response, &reply);
	schema_init(fetch_response_topic_schema(), &topic);
	schema_init(fetch_response_partition_schema(), &parts[0]);
	parts[0].records.extent = (struct extent){ &blob, 100, 1000 };
	parts[1] = parts[0];
	parts[1].records.extent.length = 7;
	topic.partitions = parts;
	topic.partitions_count = 2;
	reply.responses = &topic;
	reply.responses_count = 1;

	wire_out_init(&out);
	buffer_append_text(&out.bytes, "head");
	CU_ASSERT_EQUAL(wire_encode(&message_fetch_response, 12, &reply, &out),
	    WIRE_OK);
	CU_ASSERT_EQUAL(out.insert_count, 2);
	CU_ASSERT_EQUAL(out.insert_bytes, 1007);
	CU_ASSERT_EQUAL(atomic_load(&blob.references), 3);
	/* 1001 as a varint stands before the first, the tags after. */
	CU_ASSERT_EQUAL(memcmp(out.bytes.data + out.inserts[0].at - 2,
	    "\xe9\7", 2), 0);
	CU_ASSERT_EQUAL(out.inserts[1].at, out.bytes.length - 3);
	CU_ASSERT_EQUAL(out.inserts[1].extent.length, 7);

	/* A later failure gives back what was taken. */
	reply.session_id = 1;
	CU_ASSERT_EQUAL(wire_encode(&message_fetch_response, 4, &reply, &out),
	    WIRE_UNSUPPORTED);
	CU_ASSERT_EQUAL(out.insert_count, 2);
	parts[1].preferred_read_replica = 3;
	reply.session_id = 0;
	CU_ASSERT_EQUAL(wire_encode(&message_fetch_response, 4, &reply, &out),
	    WIRE_UNSUPPORTED);
	CU_ASSERT_EQUAL(out.insert_count, 2);
	CU_ASSERT_EQUAL(out.insert_bytes, 1007);
	CU_ASSERT_EQUAL(atomic_load(&blob.references), 3);
	CU_ASSERT_EQUAL(wire_encode_bytes(&message_fetch_response, 12, &reply,
	    &plain), WIRE_UNSUPPORTED);
	wire_out_fini(&out);
	CU_ASSERT_EQUAL(atomic_load(&blob.references), 1);
	buffer_fini(&plain);
}

/* --- headers -------------------------------------------------------------- */

static void
test_request_heads(void)
{
	struct request_head head;
	struct slice frame;

#define HEAD(bytes) frame = SLICE_LITERAL(bytes)
	/* Produce 3: header 1; a null client id is empty. */
	HEAD("\0\0\0\3\0\0\0\7\xff\xff" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_OK);
	CU_ASSERT_EQUAL(head.api_key, API_PRODUCE);
	CU_ASSERT_EQUAL(head.api_version, 3);
	CU_ASSERT_EQUAL(head.correlation_id, 7);
	CU_ASSERT(slice_equal(head.client_id, SLICE_EMPTY));
	CU_ASSERT(slice_equal_text(frame, "body"));
	/* Fetch 12: header 2, the client id not compact, tags after it. */
	HEAD("\0\1\0\x0c\0\0\0\7\0\2me\0" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_OK);
	CU_ASSERT(slice_equal_text(head.client_id, "me"));
	CU_ASSERT(slice_equal_text(frame, "body"));
	/* ControlledShutdown 0: header 0. */
	HEAD("\0\7\0\0\0\0\0\7" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_OK);
	CU_ASSERT(slice_equal_text(frame, "body"));
	/* ApiVersions of a version to come. */
	HEAD("\0\x12\0\x63\0\0\0\7\0\2me\0" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_OK);
	CU_ASSERT_EQUAL(head.api_version, 99);
	CU_ASSERT(slice_equal_text(frame, "body"));
	/* Unknown key, unknown version, cut short. */
	HEAD("\0\x34\0\0\0\0\0\7" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head),
	    WIRE_UNSUPPORTED);
	CU_ASSERT_EQUAL(head.api_key, 52);
	CU_ASSERT_EQUAL(head.correlation_id, 7);
	HEAD("\0\0\0\x0c\0\0\0\7" "body");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head),
	    WIRE_UNSUPPORTED);
	HEAD("\0\0\0\3\0\0\0");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_MALFORMED);
	HEAD("\0\0\0\3\0\0\0\7\0\5me");
	CU_ASSERT_EQUAL(wire_read_request_head(&frame, &head), WIRE_MALFORMED);
#undef HEAD
}

static void
test_heads_written(void)
{
	const struct api *api;
	struct buffer made = BUFFER_EMPTY;

	for (size_t i = 0; (api = api_at(i)) != NULL; i++)
		for (int v = api->lowest; v <= api->highest; v++) {
			struct request_head head = { api->key, (int16_t)v, 77,
				SLICE_LITERAL("tool") };
			struct request_head back;
			struct slice frame;
			int32_t id = 0;

			made.length = 0;
			wire_write_request_head(&head, &made);
			frame = buffer_slice(&made);
			CU_ASSERT_EQUAL(wire_read_request_head(&frame, &back),
			    WIRE_OK);
			CU_ASSERT_EQUAL(frame.length, 0);
			CU_ASSERT_EQUAL(back.correlation_id, 77);
			made.length = 0;
			wire_write_response_head(api, v, -5, &made);
			frame = buffer_slice(&made);
			CU_ASSERT_EQUAL(made.length,
			    v >= api->flexible && api->key != API_API_VERSIONS
			    ? 5 : 4);
			CU_ASSERT_EQUAL(wire_read_response_head(api, v, &frame,
			    &id), WIRE_OK);
			CU_ASSERT_EQUAL(frame.length, 0);
			CU_ASSERT_EQUAL(id, -5);
		}
	buffer_fini(&made);
}

/* --- JSON ----------------------------------------------------------------- */

static void
test_json(void)
{
	struct buffer made = BUFFER_EMPTY;
	struct produce_request produce;
	struct produce_request_topic topic;
	struct produce_request_partition part;
	struct leader_and_isr_request isr;
	struct sync_group_response sync;

	wire_init(&message_produce_request, &produce);
	schema_init(produce_request_topic_schema(), &topic);
	schema_init(produce_request_partition_schema(), &part);
	topic.name = SLICE_LITERAL("a\"\n\xff");
	part.records.bytes = SLICE_LITERAL("12345");
	topic.partition_data = &part;
	topic.partition_data_count = 1;
	produce.topic_data = &topic;
	produce.topic_data_count = 1;
	produce.acks = -1;
	wire_to_json(&message_produce_request, 9, &produce, &made);
	CU_ASSERT_STRING_EQUAL(buffer_text(&made),
	    "{\"transactionalId\":null,\"acks\":-1,\"timeoutMs\":0,"
	    "\"topicData\":[{\"name\":\"a\\\"\\u000a\\ufffd\","
	    "\"partitionData\":[{\"index\":0,\"recordsSizeInBytes\":5}]}]}");
	made.length = 0;
	wire_init(&message_sync_group_response, &sync);
	sync.assignment = SLICE_LITERAL("ab\xff" "d");
	wire_to_json(&message_sync_group_response, 0, &sync, &made);
	CU_ASSERT_STRING_EQUAL(buffer_text(&made),
	    "{\"errorCode\":0,\"assignment\":\"YWL/ZA==\"}");
	made.length = 0;
	wire_init(&message_leader_and_isr_request, &isr);
	wire_to_json(&message_leader_and_isr_request, 7, &isr, &made);
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&made),
	    "\"isKRaftController\":false"));
	buffer_fini(&made);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "rows are Kafka's field tables", test_tables },
		{ "APIs", test_apis },
		{ "decode(encode(x)) is x, everywhere", test_round_trip },
		{ "cut short is malformed, everywhere", test_truncation },
		{ "damaged bytes get an answer", test_damage },
		{ "bytes by hand", test_golden },
		{ "malformed input", test_malformed },
		{ "tags", test_tags },
		{ "long tags", test_long_tag },
		{ "values that a version lacks", test_unsupported },
		{ "arena bound", test_arena_bound },
		{ "records as extents", test_extents },
		{ "request heads", test_request_heads },
		{ "heads of every API and version", test_heads_written },
		{ "JSON", test_json },
	};

	return (unit_main("wire", tests, nelems(tests)));
}
