# SPDX-License-Identifier: Apache-2.0
"""Kafka's own tools and ours on one cluster: the same lines and the same exit
status.  What Kafka prints in the order of a hash map is compared in any order,
and of an error that there is one."""

import json
import re

import pytest

import harness
from both import SIDES, Both, kind_of

# (both tools print "Infinity" for what was read in less than 1 ms)
NUMBER = re.compile(rb"\d+(\.\d+)?|Infinity")
OFFSET_ERROR = re.compile(rb"\terror: .*")


@pytest.fixture(scope="module", params=SIDES)
def cluster(request, new_factory):
    """One broker, with topics that nobody changes."""
    factory = new_factory(request.param)
    broker = factory(kind=kind_of(request.param)).start()
    harness.create_topic(broker, "orders", partitions=12,
                         retention_ms=1234567890, min_insync_replicas=2)
    harness.create_topic(broker, "orders.old")
    harness.create_topic(broker, "plain", partitions=2)
    harness.wait_topic(broker, "plain", partitions=2)
    for partition, count in ((0, 3), (5, 40), (11, 7)):
        harness.kcat(broker, "-P", "-t", "orders", "-p", partition,
                     stdin=b"record\n" * count)
    yield broker
    factory.end()


@pytest.fixture
def topics(java, cluster):
    return Both(java, cluster, "topics", "kafka-topics")


class TestTopics:
    @pytest.mark.parametrize("arguments", (
        (), ("--topic", "orders.*"), ("--topic", "plain,orders"),
        ("--topic", "none"), ("--exclude-internal",),
        ("--topic", "[a-o\\-]\\w+",),
    ))
    def test_list(self, topics, arguments):
        topics.same("--list", *arguments)

    @pytest.mark.parametrize("arguments", (
        (), ("--topic", "orders"), ("--topic", "orders.*"),
        ("--topics-with-overrides",), ("--under-replicated-partitions",),
        ("--unavailable-partitions",), ("--under-min-isr-partitions",),
        ("--at-min-isr-partitions",), ("--exclude-internal",),
        ("--topic", "none", "--if-exists"),
        ("--partition-size-limit-per-response", 3),
        ("--under-min-isr-partitions", "--under-replicated-partitions"),
    ))
    def test_describe(self, topics, arguments):
        topics.same("--describe", *arguments, ordered=False)

    def test_describe_by_id(self, topics):
        text = topics.ours("--describe", "--topic", "plain")[1].decode()
        topic_id = re.search(r"TopicId: (\S+)", text)[1]
        topics.same("--describe", "--topic-id", topic_id)
        topics.same("--describe", "--topic-id", topic_id, "--topic", "orders",
                    "--if-exists")

    @pytest.mark.parametrize("arguments", (
        (), ("--list", "--describe"), ("--describe", "--topic", "none"),
        ("--create",), ("--delete",), ("--delete", "--topic", "none"),
        ("--alter", "--topic", "plain"),
        ("--alter", "--topic", "none", "--partitions", 3),
        ("--alter", "--topic", "plain", "--partitions", 3, "--config", "a=b"),
        ("--list", "--partitions", 3), ("--list", "--if-exists"),
        ("--describe", "--if-exists"), ("--list", "--if-not-exists"),
        ("--delete", "--topic", "plain", "--exclude-internal"),
        ("--alter", "--topic", "plain", "--partitions", 4, "--delete-config",
         "retention.ms"),
        ("--describe", "--topics-with-overrides", "--at-min-isr-partitions"),
        ("--create", "--topic", "plain"),
        ("--create", "--topic", "new", "--partitions", 0),
        ("--create", "--topic", "new", "--replication-factor", 0),
        ("--create", "--topic", "new", "--replication-factor", 2),
        ("--create", "--topic", "new", "--replica-assignment", "0,0:1"),
        ("--create", "--topic", "new", "--replica-assignment", "0",
         "--partitions", 1),
        ("--create", "--topic", "new", "--config", "retention.ms"),
        ("--create", "--topic", "new", "--config", "no.such=1"),
        ("--create", "--topic", "a/b"), ("--create", "--topic", "new",
                                         "--if-exists"),
        ("--list", "--no-such-option"), ("--list", "--topic", "("),
    ))
    def test_wrong(self, topics, arguments):
        topics.both_fail(*arguments)
        assert topics.ours("--list")[1].split() == [
            b"orders", b"orders.old", b"plain"]

    def test_change(self, topics, cluster):
        """Each tool changes topics of its own, and each sees the other's."""
        for run, name in ((topics.kafka, "made-k"), (topics.ours, "made-b")):
            assert run("--create", "--topic", name, "--partitions", 2,
                       "--config", "retention.ms=5") == (
                0, f"Created topic {name}.\n".encode())
            assert run("--create", "--topic", name, "--if-not-exists") == (
                0, b"")
        rows = topics.same("--describe", "--topic", "made-.", ordered=False)
        assert len(rows) == 6
        for run, name in ((topics.kafka, "made-b"), (topics.ours, "made-k")):
            assert run("--alter", "--topic", name, "--partitions", 4,
                       "--replica-assignment", "0,0,0,0") == (0, b"")
        harness.wait_topic(cluster, "made-b", partitions=4)
        harness.wait_topic(cluster, "made-k", partitions=4)
        rows = topics.same("--describe", "--topic", "made-.", ordered=False)
        assert len(rows) == 10
        assert topics.kafka("--delete", "--topic", "made-k") == (0, b"")
        assert topics.ours("--delete", "--topic", "made-b") == (0, b"")
        harness.wait_until(lambda: topics.ours("--list")[1].split() == [
            b"orders", b"orders.old", b"plain"], what="both are gone")
        topics.same("--list")

    @pytest.fixture(autouse=True)
    def tidy_up(self, topics, cluster):
        """What a failed or skipped test_change left behind."""
        yield
        for name in ("made-k", "made-b"):
            with harness.wire.Client(cluster.address) as client:
                if cluster.real:
                    client.call("DeleteTopics", 5, TopicNames=[name],
                                TimeoutMs=10000)


@pytest.mark.parametrize("arguments", (
    (), ("--topic", "orders"), ("--topic", "orders.*", "--time", "earliest"),
    ("--topic-partitions", "orders:0-3,plain,:5"),
    ("--topic-partitions", "orders:10-,orders:-2"),
    ("--topic-partitions", ":0"), ("--partitions", "0,11"),
    ("--time", -1), ("--time", -2), ("--time", "max-timestamp"),
    ("--time", "earliest-local"), ("--time", "latest-tiered"),
    ("--time", 0), ("--time", 4000000000000), ("--exclude-internal-topics",),
))
def test_get_offsets(java, cluster, arguments):
    Both(java, cluster, "get-offsets", "kafka-get-offsets").same(*arguments)


@pytest.mark.parametrize("arguments", (
    ("--topic", "none"), ("--time", "noon"), ("--partitions", "x"),
    ("--topic-partitions", "a:b"), ("--topic-partitions", "a", "--topic",
                                    "a"),
))
def test_get_offsets_wrong(java, cluster, arguments):
    Both(java, cluster, "get-offsets",
         "kafka-get-offsets").both_fail(*arguments)


def test_delete_records(java, cluster, tmp_path):
    both = Both(java, cluster, "delete-records", "kafka-delete-records")
    path = tmp_path / "offsets.json"

    def write(*rows):
        path.write_text(json.dumps({"partitions": [
            {"topic": "orders", "partition": p, "offset": o}
            for p, o in rows], "version": 1}))

    write((0, 1), (5, 17), (11, 99))
    told = [sorted(OFFSET_ERROR.sub(b"\terror", out).splitlines())
            for status, out in (both.kafka("--offset-json-file", path),
                                both.ours("--offset-json-file", path))
            if status == 0]
    assert len(told) == 2 and told[0] == told[1]
    assert b"partition: orders-11\terror" in told[0]
    write((0, -1), (0, 2))
    both.both_fail("--offset-json-file", path)
    path.write_text("{}")
    both.both_fail("--offset-json-file", path)
    both.both_fail()


def test_log_dirs(java, cluster):
    both = Both(java, cluster, "log-dirs", "kafka-log-dirs")

    def split(out):
        *head, line = out.decode().splitlines()
        found = json.loads(line)
        for broker in found["brokers"]:
            for folder in broker["logDirs"]:
                folder["partitions"].sort(key=lambda p: p["partition"])
        # the names stand in the same order, too
        return head, found, re.findall(r'"(\w+)":', line)

    for more in ((), ("--topic-list", "plain,none"), ("--broker-list", "0")):
        theirs = both.kafka("--describe", *more)
        ours = both.ours("--describe", *more)
        assert (ours[0], *split(ours[1])) == (theirs[0], *split(theirs[1]))
    both.both_fail("--describe", "--broker-list", "0,9")
    both.both_fail("--broker-list", "0")


def shape(out):
    """Numbers and dates left out, and what `perf produce` says each five
    seconds that it takes."""
    lines = NUMBER.sub(b"N", out).splitlines(keepends=True)
    return b"".join(
        line for line in lines if b"records sent" not in line
        or b"Nth" in line)


def test_perf_produce(java, cluster):
    arguments = ("--topic", "plain", "--num-records", 500, "--record-size",
                 20, "--throughput", -1, "--producer-props",
                 f"bootstrap.servers={cluster.address}", "acks=all")
    status, theirs = java.run("kafka-producer-perf-test", *arguments)
    assert status == 0
    ours = harness.run(harness.TOOL, "perf", "produce", *arguments).stdout
    assert shape(ours) == shape(theirs)
    assert ours.splitlines()[-1].startswith(b"500 records sent, ")


def test_perf_consume(java, cluster):
    """Kafka's tool needs a group; ours has one when it is given."""
    arguments = ("--bootstrap-server", cluster.address, "--topic", "orders",
                 "--messages", 10, "--timeout", 20000)
    status, theirs = java.run("kafka-consumer-perf-test", *arguments)
    assert status == 0
    ours = harness.run(harness.TOOL, "perf", "consume", *arguments).stdout
    assert shape(ours) == shape(theirs)
    assert ours.count(b"\n") == 2
    arguments += ("--group", "measured")
    ours = harness.run(harness.TOOL, "perf", "consume", *arguments).stdout
    assert shape(ours) == shape(theirs)
