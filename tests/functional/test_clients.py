# SPDX-License-Identifier: Apache-2.0
"""Real clients of Debian: kafka-python 2.0.2, confluent-kafka 1.7, kcat."""

import json

import confluent_kafka
import confluent_kafka.admin
import kafka
import kafka.admin
import pytest

import harness


def make_consumer(broker, **more):
    return kafka.KafkaConsumer(
        bootstrap_servers=broker.address, enable_auto_commit=False,
        auto_offset_reset="earliest", group_id=None, **more)


@pytest.mark.parametrize("codec", (None, "gzip"))
@pytest.mark.parametrize("acks", (0, 1, "all"))
def test_kafka_python(shared_broker, topic, codec, acks):
    producer = kafka.KafkaProducer(bootstrap_servers=shared_broker.address,
                                   compression_type=codec, acks=acks,
                                   linger_ms=5)
    sent = [producer.send(topic, value=b"value %d" % n, key=b"%d" % (n % 7),
                          headers=[("n", b"%d" % n)]) for n in range(500)]
    producer.flush()
    if acks != 0:
        assert [f.get(20).offset for f in sent] == list(range(500))
    producer.close()
    consumer = make_consumer(shared_broker)
    consumer.assign([kafka.TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    got = []
    while len(got) < 500:
        for rows in consumer.poll(5000).values():
            got += rows
    assert [(r.value, r.key, r.headers) for r in got] == [
        (b"value %d" % n, b"%d" % (n % 7), [("n", b"%d" % n)])
        for n in range(500)]
    part = kafka.TopicPartition(topic, 0)
    assert consumer.end_offsets([part]) == {part: 500}
    assert consumer.beginning_offsets([part]) == {part: 0}
    found = consumer.offsets_for_times({part: got[100].timestamp})[part]
    assert found.timestamp == got[100].timestamp and found.offset <= 100
    consumer.close()


def test_kafka_python_admin(shared_broker):
    admin = kafka.admin.KafkaAdminClient(
        bootstrap_servers=shared_broker.address)
    name = "kafka-python-admin"
    admin.create_topics([kafka.admin.NewTopic(name, 3, 1, topic_configs={
        "retention.ms": "1234"})])
    assert name in admin.list_topics()
    found = admin.describe_topics([name])[0]
    assert len(found["partitions"]) == 3
    with pytest.raises(kafka.errors.TopicAlreadyExistsError):
        admin.create_topics([kafka.admin.NewTopic(name, 3, 1)])
    found = admin.describe_configs([kafka.admin.ConfigResource(
        kafka.admin.ConfigResourceType.TOPIC, name)])
    assert "1234" in str(found)
    assert admin.describe_cluster()["controller_id"] == 0
    admin.close()


def test_kafka_python_auto_creation(shared_broker):
    producer = kafka.KafkaProducer(bootstrap_servers=shared_broker.address)
    assert producer.send("made-by-sending", b"x").get(20).offset == 0
    producer.close()


@pytest.mark.parametrize("settings", (
    {}, {"enable.idempotence": True}, {"acks": 1}, {"acks": 0},
    {"enable.idempotence": True, "compression.codec": "zstd"},
    {"compression.codec": "lz4", "batch.num.messages": 10},
    {"max.in.flight": 1}, {"message.max.bytes": 2000}))
def test_confluent(shared_broker, topic, settings):
    count = 2000
    producer = confluent_kafka.Producer({
        "bootstrap.servers": shared_broker.address, **settings})
    told = []
    for n in range(count):
        producer.produce(topic, b"value %d" % n, b"key",
                         on_delivery=lambda e, m: told.append((e, m)))
        producer.poll(0)
    assert producer.flush(60) == 0
    assert len(told) == count and all(e is None for e, _ in told)
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": shared_broker.address, "group.id": "unused",
        "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    got = []
    while True:
        m = consumer.poll(20)
        assert m is not None
        if m.error() is not None:
            assert m.error().code() == \
                confluent_kafka.KafkaError._PARTITION_EOF
            break
        got.append(m.value())
    assert got == [b"value %d" % n for n in range(count)]
    part = confluent_kafka.TopicPartition(topic, 0)
    assert consumer.get_watermark_offsets(part) == (0, count)
    consumer.close()


def test_confluent_admin(shared_broker):
    admin = confluent_kafka.admin.AdminClient({
        "bootstrap.servers": shared_broker.address})
    name = "confluent-admin"
    new = confluent_kafka.admin.NewTopic(name, 4, 1,
                                         config={"retention.ms": "77"})
    admin.create_topics([new])[name].result(20)
    found = admin.list_topics(timeout=20)
    assert len(found.topics[name].partitions) == 4
    assert found.controller_id == 0 and list(found.brokers) == [0]
    with pytest.raises(confluent_kafka.KafkaException):
        admin.create_topics([new])[name].result(20)
    resource = confluent_kafka.admin.ConfigResource("topic", name)
    values = admin.describe_configs([resource])[resource].result(20)
    assert values["retention.ms"].value == "77"


def test_kcat_lists(shared_broker, topic):
    found = json.loads(harness.kcat(shared_broker, "-L", "-J"))
    assert topic in [t["topic"] for t in found["topics"]]
    assert found["brokers"] == [
        {"id": 0, "name": f"127.0.0.1:{shared_broker.port}"}]


def test_kcat_queries_times(shared_broker, topic):
    harness.kcat(shared_broker, "-P", "-t", topic, stdin=b"a\nb\n")
    out = harness.kcat(shared_broker, "-Q", "-t", f"{topic}:0:0")
    assert b"offset 0" in out


def test_kcat_tails(shared_broker, topic):
    harness.kcat(shared_broker, "-P", "-t", topic,
                 stdin=b"".join(b"%d\n" % n for n in range(50)))
    out = harness.kcat(shared_broker, "-C", "-t", topic, "-o", -5, "-e", "-q")
    assert out.split() == [b"45", b"46", b"47", b"48", b"49"]
