/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and JSON of the znodes: golden strings, tolerant reading, rubbish. */
#include "base/random.h"
#include "tests/unit/unit.h"
#include "zkglue/znodes.h"

static struct arena arena;
static struct buffer out;

static void
begin(void)
{
	arena_init(&arena, 0);
	out = BUFFER_EMPTY;
}

static void
end(void)
{
	buffer_fini(&out);
	arena_fini(&arena);
}

/* What was encoded is this; the buffer is empty again. */
static void
wrote(const char *text)
{
	CU_ASSERT_STRING_EQUAL(buffer_text(&out), text);
	out.length = 0;
}

static const char broker_json[] =
    "{\"features\":{},\"listener_security_protocol_map\":"
    "{\"PLAINTEXT\":\"PLAINTEXT\",\"REPL\":\"SSL\"},"
    "\"endpoints\":[\"PLAINTEXT://k1.example:9092\","
    "\"REPL://k1.example:9093\"],"
    "\"rack\":\"r1\",\"jmx_port\":-1,\"port\":9092,"
    "\"host\":\"k1.example\",\"version\":5,"
    "\"timestamp\":\"1717000000000\"}";

static void
test_broker(void)
{
	struct znode_endpoint endpoints[] = {
		{ "PLAINTEXT", "PLAINTEXT", "k1.example", 9092 },
		{ "REPL", "SSL", "k1.example", 9093 },
	};
	struct znode_broker broker = {
		.endpoints = endpoints, .endpoint_count = 2, .rack = "r1",
		.timestamp_ms = 1717000000000, .jmx_port = -1,
	};
	struct znode_broker read;

	begin();
	znode_broker_encode(&broker, &out);
	wrote(broker_json);
	CU_ASSERT_TRUE(znode_broker_decode(SLICE_LITERAL(broker_json), &arena,
	    &read));
	CU_ASSERT_EQUAL_FATAL(read.endpoint_count, 2);
	CU_ASSERT_STRING_EQUAL(read.endpoints[1].listener, "REPL");
	CU_ASSERT_STRING_EQUAL(read.endpoints[1].protocol, "SSL");
	CU_ASSERT_STRING_EQUAL(read.endpoints[1].host, "k1.example");
	CU_ASSERT_EQUAL(read.endpoints[1].port, 9093);
	CU_ASSERT_STRING_EQUAL(read.rack, "r1");
	CU_ASSERT_EQUAL(read.timestamp_ms, 1717000000000);
	/* No plain listener, no rack, an IPv6 address. */
	broker = (struct znode_broker){
		.endpoints = endpoints, .endpoint_count = 1,
		.timestamp_ms = 1, .jmx_port = 9999,
	};
	endpoints[0] = (struct znode_endpoint){ "TLS", "SSL", "::1", 1 };
	znode_broker_encode(&broker, &out);
	CU_ASSERT_TRUE(znode_broker_decode(buffer_slice(&out), &arena, &read));
	CU_ASSERT_STRING_EQUAL(read.endpoints[0].host, "::1");
	wrote("{\"features\":{},"
	    "\"listener_security_protocol_map\":{\"TLS\":\"SSL\"},"
	    "\"endpoints\":[\"TLS://[::1]:1\"],\"jmx_port\":9999,"
	    "\"port\":-1,\"host\":null,\"version\":5,"
	    "\"timestamp\":\"1\"}");
	end();
}

static void
test_broker_versions(void)
{
	struct znode_broker b;

	begin();
	CU_ASSERT_TRUE(znode_broker_decode(SLICE_LITERAL(
	    "{\"version\":1,\"host\":\"h\",\"port\":9,\"jmx_port\":1,"
	    "\"timestamp\":\"2\"}"), &arena, &b));
	CU_ASSERT_EQUAL(b.endpoint_count, 1);
	CU_ASSERT_STRING_EQUAL(b.endpoints[0].protocol, "PLAINTEXT");
	CU_ASSERT_EQUAL(b.endpoints[0].port, 9);
	CU_ASSERT_TRUE(znode_broker_decode(SLICE_LITERAL(
	    "{\"endpoints\":[\"SSL://h:9\"],\"host\":\"h\",\"port\":9,"
	    "\"rack\":\"x\",\"version\":3,\"new key\":[{}]}"), &arena, &b));
	CU_ASSERT_STRING_EQUAL(b.endpoints[0].protocol, "SSL");
	CU_ASSERT_STRING_EQUAL(b.rack, "x");
	CU_ASSERT_TRUE(znode_broker_decode(SLICE_LITERAL(
	    "{\"version\":4,\"endpoints\":[\"in://:9\"],\"rack\":null,"
	    "\"listener_security_protocol_map\":{\"IN\":\"SASL_SSL\"}}"),
	    &arena, &b));
	CU_ASSERT_STRING_EQUAL(b.endpoints[0].listener, "IN");
	CU_ASSERT_STRING_EQUAL(b.endpoints[0].protocol, "SASL_SSL");
	CU_ASSERT_STRING_EQUAL(b.endpoints[0].host, "");
	CU_ASSERT_PTR_NULL(b.rack);
	CU_ASSERT_FALSE(znode_broker_decode(SLICE_LITERAL(
	    "{\"version\":0,\"host\":\"h\",\"port\":9}"), &arena, &b));
	CU_ASSERT_FALSE(znode_broker_decode(SLICE_LITERAL(
	    "{\"version\":5,\"endpoints\":[\"A://h\"]}"), &arena, &b));
	CU_ASSERT_FALSE(znode_broker_decode(SLICE_LITERAL(
	    "{\"version\":5,\"endpoints\":[\"A://h:99999\"]}"), &arena, &b));
	CU_ASSERT_FALSE(znode_broker_decode(SLICE_NULL, &arena, &b));
	end();
}

static const char topic_json[] =
    "{\"partitions\":{\"0\":[1,2,3],\"1\":[2,3,1]},"
    "\"topic_id\":\"bU8pS0p5QnOe7J0PdZrDYw\","
    "\"adding_replicas\":{},\"removing_replicas\":{},\"version\":3}";

static void
test_topic(void)
{
	struct znode_topic t;

	begin();
	CU_ASSERT_TRUE_FATAL(znode_topic_decode(SLICE_LITERAL(topic_json),
	    &arena, &t));
	CU_ASSERT_EQUAL_FATAL(t.partition_count, 2);
	CU_ASSERT_EQUAL(t.partitions[1].replicas[0], 2);
	znode_topic_encode(&t, &out);
	wrote(topic_json);
	/* A reassignment; keys out of order; 10 after 9. */
	CU_ASSERT_TRUE_FATAL(znode_topic_decode(SLICE_LITERAL(
	    "{\"removing_replicas\":{\"9\":[2]},\"x\":null,"
	    "\"partitions\":{\"10\":[],\"9\":[1,2]},"
	    "\"adding_replicas\":{\"9\":[1],\"77\":[5]},\"version\":2}"),
	    &arena, &t));
	CU_ASSERT_TRUE(uuid_is_zero(t.id));
	CU_ASSERT_EQUAL(t.partitions[0].partition, 9);
	CU_ASSERT_EQUAL(t.partitions[0].adding_count, 1);
	znode_topic_encode(&t, &out);
	wrote("{\"partitions\":{\"9\":[1,2],\"10\":[]},"
	    "\"adding_replicas\":{\"9\":[1]},"
	    "\"removing_replicas\":{\"9\":[2]},\"version\":3}");
	CU_ASSERT_TRUE(znode_topic_decode(SLICE_LITERAL(
	    "{\"version\":1,\"partitions\":{\"0\":[1]}}"), &arena, &t));
	CU_ASSERT_FALSE(znode_topic_decode(SLICE_LITERAL(
	    "{\"version\":1,\"partitions\":{\"-1\":[1]}}"), &arena, &t));
	CU_ASSERT_FALSE(znode_topic_decode(SLICE_LITERAL(
	    "{\"version\":1,\"partitions\":{\"1\":[1],\"01\":[1]}}"), &arena,
	    &t));
	CU_ASSERT_FALSE(znode_topic_decode(SLICE_LITERAL(
	    "{\"version\":1,\"partitions\":{\"1\":[5000000000]}}"), &arena,
	    &t));
	CU_ASSERT_FALSE(znode_topic_decode(SLICE_LITERAL(
	    "{\"version\":3,\"topic_id\":\"short\",\"partitions\":{}}"),
	    &arena, &t));
	end();
}

static void
test_state(void)
{
	static const char json[] =
	    "{\"controller_epoch\":4,\"leader\":1,\"version\":1,"
	    "\"leader_epoch\":12,\"isr\":[1,2,3]}";
	struct znode_state s;

	begin();
	CU_ASSERT_TRUE_FATAL(znode_state_decode(SLICE_LITERAL(json), &arena,
	    &s));
	CU_ASSERT_EQUAL(s.leader_epoch, 12);
	CU_ASSERT_FALSE(s.recovering);
	znode_state_encode(&s, &out);
	wrote(json);
	s.recovering = true;
	s.leader = -1;
	s.isr_count = 1;
	znode_state_encode(&s, &out);
	CU_ASSERT_TRUE(znode_state_decode(buffer_slice(&out), &arena, &s));
	CU_ASSERT_TRUE(s.recovering);
	wrote("{\"controller_epoch\":4,\"leader\":-1,\"version\":1,"
	    "\"leader_epoch\":12,\"isr\":[1],\"leader_recovery_state\":1}");
	CU_ASSERT_FALSE(znode_state_decode(SLICE_LITERAL(
	    "{\"leader\":1,\"leader_epoch\":1,\"isr\":[]}"), &arena, &s));
	CU_ASSERT_FALSE(znode_state_decode(SLICE_LITERAL("[]"), &arena, &s));
	end();
}

static void
test_controller(void)
{
	static const char json[] =
	    "{\"version\":2,\"brokerid\":3,\"timestamp\":\"1717000000000\","
	    "\"kraftControllerEpoch\":-1}";
	struct znode_controller c;
	int32_t epoch;

	begin();
	CU_ASSERT_TRUE(znode_controller_decode(SLICE_LITERAL(json), &c));
	CU_ASSERT_EQUAL(c.broker_id, 3);
	znode_controller_encode(&c, &out);
	wrote(json);
	CU_ASSERT_TRUE(znode_controller_decode(SLICE_LITERAL(
	    "{\"version\":1,\"brokerid\":7,\"timestamp\":\"5\"}"), &c));
	CU_ASSERT_EQUAL(c.kraft_controller_epoch, -1);
	CU_ASSERT_TRUE(znode_controller_decode(SLICE_LITERAL(
	    "{\"brokerid\":7,\"kraftControllerEpoch\":9}"), &c));
	CU_ASSERT_EQUAL(c.kraft_controller_epoch, 9);
	CU_ASSERT_FALSE(znode_controller_decode(SLICE_LITERAL(
	    "{\"brokerid\":\"7\"}"), &c));
	znode_epoch_encode(7, &out);
	wrote("7");
	CU_ASSERT_TRUE(znode_epoch_decode(SLICE_LITERAL("7"), &epoch));
	CU_ASSERT_EQUAL(epoch, 7);
	CU_ASSERT_FALSE(znode_epoch_decode(SLICE_LITERAL("7 "), &epoch));
	CU_ASSERT_FALSE(znode_epoch_decode(SLICE_NULL, &epoch));
	end();
}

static void
test_config(void)
{
	static const char json[] =
	    "{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}";
	struct znode_config config;
	struct znode_config_entry odd = { "k", "a\"b\\c\n\t\x01\x1f/\xc3\xa9" };
	const char *path;

	begin();
	CU_ASSERT_TRUE_FATAL(znode_config_decode(SLICE_LITERAL(json), &arena,
	    &config));
	CU_ASSERT_STRING_EQUAL(config.entries[0].value, "compact");
	znode_config_encode(&config, &out);
	wrote(json);
	config.entry_count = 0;
	znode_config_encode(&config, &out);
	wrote("{\"version\":1,\"config\":{}}");
	config = (struct znode_config){ &odd, 1 };
	znode_config_encode(&config, &out);
	CU_ASSERT_TRUE_FATAL(znode_config_decode(buffer_slice(&out), &arena,
	    &config));
	CU_ASSERT_STRING_EQUAL(config.entries[0].value, odd.value);
	/* As Jackson: short escapes, upper-case hexadecimal, no \/. */
	wrote("{\"version\":1,\"config\":{\"k\":"
	    "\"a\\\"b\\\\c\\n\\t\\u0001\\u001F/\xc3\xa9\"}}");
	CU_ASSERT_FALSE(znode_config_decode(SLICE_LITERAL(
	    "{\"version\":1,\"config\":{\"k\":1}}"), &arena, &config));
	CU_ASSERT_FALSE(znode_config_decode(SLICE_LITERAL("{"), &arena,
	    &config));
	/* As Kafka: nothing is set. */
	CU_ASSERT_TRUE(znode_config_decode(SLICE_NULL, &arena, &config));
	CU_ASSERT_TRUE(znode_config_decode(SLICE_LITERAL("{\"version\":1}"),
	    &arena, &config));
	CU_ASSERT_EQUAL(config.entry_count, 0);
	znode_config_change_encode("topics/t", &out);
	CU_ASSERT_TRUE(znode_config_change_decode(buffer_slice(&out), &arena,
	    &path));
	CU_ASSERT_STRING_EQUAL(path, "topics/t");
	wrote("{\"version\":2,\"entity_path\":\"topics/t\"}");
	CU_ASSERT_TRUE(znode_config_change_decode(SLICE_LITERAL(
	    "{\"version\":1,\"entity_type\":\"clients\","
	    "\"entity_name\":\"c\"}"), &arena, &path));
	CU_ASSERT_STRING_EQUAL(path, "clients/c");
	CU_ASSERT_FALSE(znode_config_change_decode(SLICE_LITERAL(
	    "{\"version\":1,\"entity_type\":\"users\","
	    "\"entity_name\":\"c\"}"), &arena, &path));
	CU_ASSERT_FALSE(znode_config_change_decode(SLICE_LITERAL(
	    "{\"version\":3,\"entity_path\":\"topics/t\"}"), &arena, &path));
	end();
}

static void
test_small(void)
{
	static const char ids[] =
	    "{\"version\":1,\"broker\":1,\"block_start\":\"0\","
	    "\"block_end\":\"999\"}";
	static const char feature[] =
	    "{\"features\":{},\"version\":2,\"status\":1}";
	struct znode_producer_ids block;
	struct znode_feature f;
	const char *id;
	int32_t broker;

	begin();
	znode_cluster_id_encode("mXq2aaaaaaaaaaaaaaaaaa", &out);
	CU_ASSERT_TRUE(znode_cluster_id_decode(buffer_slice(&out), &arena,
	    &id));
	CU_ASSERT_STRING_EQUAL(id, "mXq2aaaaaaaaaaaaaaaaaa");
	wrote("{\"version\":\"1\",\"id\":\"mXq2aaaaaaaaaaaaaaaaaa\"}");
	CU_ASSERT_TRUE(znode_producer_ids_decode(SLICE_LITERAL(ids), &block));
	CU_ASSERT_EQUAL(block.last, 999);
	znode_producer_ids_encode(&block, &out);
	wrote(ids);
	CU_ASSERT_FALSE(znode_producer_ids_decode(SLICE_NULL, &block));
	CU_ASSERT_TRUE(znode_feature_decode(SLICE_LITERAL(feature), &f));
	CU_ASSERT_TRUE(f.enabled);
	znode_feature_encode(&f, &out);
	wrote(feature);
	CU_ASSERT_TRUE(znode_feature_decode(SLICE_LITERAL(
	    "{\"features\":{\"a\":{\"max_version_level\":2}},\"version\":2,"
	    "\"status\":0}"), &f));
	CU_ASSERT_FALSE(f.enabled);
	CU_ASSERT_EQUAL(f.feature_count, 1);
	znode_log_dir_event_encode(2, &out);
	CU_ASSERT_TRUE(znode_log_dir_event_decode(buffer_slice(&out),
	    &broker));
	CU_ASSERT_EQUAL(broker, 2);
	wrote("{\"version\":1,\"broker\":2,\"event\":1}");
	end();
}

static void
test_partitions(void)
{
	static const char with[] =
	    "{\"version\":1,\"partitions\":[{\"topic\":\"t\","
	    "\"partition\":0,\"replicas\":[1,2]}]}";
	struct znode_partitions p;

	begin();
	CU_ASSERT_TRUE_FATAL(znode_partitions_decode(SLICE_LITERAL(with),
	    &arena, &p));
	znode_partitions_encode(&p, true, &out);
	wrote(with);
	znode_partitions_encode(&p, false, &out);
	CU_ASSERT_TRUE(znode_partitions_decode(buffer_slice(&out), &arena,
	    &p));
	CU_ASSERT_EQUAL(p.items[0].replica_count, 0);
	wrote("{\"version\":1,\"partitions\":[{\"topic\":\"t\","
	    "\"partition\":0}]}");
	CU_ASSERT_FALSE(znode_partitions_decode(SLICE_LITERAL(
	    "{\"partitions\":[{\"topic\":\"t\"}]}"), &arena, &p));
	end();
}

static void
test_paths(void)
{
	begin();
	CU_ASSERT_STRING_EQUAL(znode_broker_path(&arena, 3), "/brokers/ids/3");
	CU_ASSERT_STRING_EQUAL(znode_topic_path(&arena, "t"),
	    "/brokers/topics/t");
	CU_ASSERT_STRING_EQUAL(znode_partitions_path(&arena, "t"),
	    "/brokers/topics/t/partitions");
	CU_ASSERT_STRING_EQUAL(znode_partition_path(&arena, "t", 4),
	    "/brokers/topics/t/partitions/4");
	CU_ASSERT_STRING_EQUAL(znode_state_path(&arena, "t", 4),
	    "/brokers/topics/t/partitions/4/state");
	CU_ASSERT_STRING_EQUAL(znode_delete_topic_path(&arena, "t"),
	    "/admin/delete_topics/t");
	CU_ASSERT_STRING_EQUAL(znode_config_path(&arena, "users", "<default>"),
	    "/config/users/<default>");
	CU_ASSERT_STRING_EQUAL(znode_join(&arena, "/a", "b"), "/a/b");
	CU_ASSERT_STRING_EQUAL(znode_consumer_offset_path(&arena, "g", "t", 4),
	    "/consumers/g/offsets/t/4");
	CU_ASSERT_STRING_EQUAL(znode_static_paths()[0], "/consumers");
	end();
}

static void
decode_all(struct slice json)
{
	struct znode_broker broker;
	struct znode_topic topic;
	struct znode_state state;
	struct znode_controller controller;
	struct znode_config config;
	struct znode_producer_ids ids;
	struct znode_feature feature;
	struct znode_partitions partitions;
	const char *text;
	int32_t number;

	znode_broker_decode(json, &arena, &broker);
	znode_topic_decode(json, &arena, &topic);
	znode_state_decode(json, &arena, &state);
	znode_controller_decode(json, &controller);
	znode_cluster_id_decode(json, &arena, &text);
	znode_epoch_decode(json, &number);
	znode_config_decode(json, &arena, &config);
	znode_config_change_decode(json, &arena, &text);
	znode_producer_ids_decode(json, &ids);
	znode_feature_decode(json, &feature);
	znode_log_dir_event_decode(json, &number);
	znode_partitions_decode(json, &arena, &partitions);
}

/* Every cut of the golden strings, and 20,000 of them with bytes changed: no
 * crash, whatever the answer. */
static void
test_rubbish(void)
{
	const struct slice golden[] = {
		SLICE_LITERAL(broker_json), SLICE_LITERAL(topic_json),
		SLICE_LITERAL("{\"partitions\":[{\"topic\":\"t\"}]}"),
	};
	uint8_t bytes[sizeof(broker_json)];
	struct random random;

	random_seed(&random, 1);
	for (size_t g = 0; g < nelems(golden); g++)
		for (size_t n = 0; n < golden[g].length; n++) {
			begin();
			decode_all(slice_of(golden[g].data, n));
			end();
		}
	for (int i = 0; i < 20000; i++) {
		struct slice from = golden[random_below(&random, 3)];

		memcpy(bytes, from.data, from.length);
		for (uint64_t n = random_below(&random, 4) + 1; n > 0; n--)
			bytes[random_below(&random, from.length)] =
			    "\"{}[]:,-019\\u\0 x\xff"
			    [random_below(&random, 17)];
		begin();
		decode_all(slice_of(bytes, from.length));
		end();
	}
	CU_PASS("no crash");
}

static const struct unit_test tests[] = {
	{ "paths", test_paths },
	{ "broker", test_broker },
	{ "broker, all versions", test_broker_versions },
	{ "topic", test_topic },
	{ "state", test_state },
	{ "controller and epoch", test_controller },
	{ "config and its changes", test_config },
	{ "the small ones", test_small },
	{ "lists of partitions", test_partitions },
	{ "rubbish", test_rubbish },
};

int
main(void)
{
	return (unit_main("znodes", tests, nelems(tests)));
}
