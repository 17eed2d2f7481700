# SPDX-License-Identifier: Apache-2.0
"""What was set at run time, of one broker or of all (/config/brokers)."""

import json

import kazoo.client
import pytest

import harness
import wire

pytestmark = pytest.mark.ours
TOO_LARGE = 10


@pytest.fixture
def given(make_broker):
    """given(all={}, this={}): a broker, not started, for which that is set."""
    clients = []

    def give(broker, name, config):
        client = kazoo.client.KazooClient(broker.options["zookeeper.connect"])
        client.start()
        clients.append(client)
        path = f"/config/brokers/{name}"
        client.ensure_path(path)
        client.set(path, json.dumps(
            {"version": 1, "config": config}).encode())

    def make(all=None, this=None, **options):
        broker = make_broker(**options)
        broker.give = lambda name, config: give(broker, name, config)
        if all or this:
            root = kazoo.client.KazooClient(
                broker.options["zookeeper.connect"].split("/")[0])
            root.start()
            root.ensure_path("/" + broker.options["zookeeper.connect"]
                             .split("/", 1)[1])
            root.stop()
            root.close()
        if all:
            give(broker, "<default>", all)
        if this:
            give(broker, "0", this)
        return broker
    yield make
    for client in clients:
        client.stop()
        client.close()


def described(broker, *names, topic=None, entity="0"):
    """{name: (value, source)}"""
    with wire.Client(broker.address) as c:
        result = c.call("DescribeConfigs", 1, IncludeSynonyms=False,
                        Resources=[{
                            "ResourceType": 2 if topic else 4,
                            "ResourceName": topic or entity,
                            "ConfigurationKeys": list(names)}])["Results"][0]
    assert result["ErrorCode"] == 0
    return {c["Name"]: (c["Value"], c["ConfigSource"])
            for c in result["Configs"]}


def test_they_count_at_the_start(given):
    """That of one broker more than that of all, and both more than the file;
    also where topics take the broker's."""
    broker = given({"min.insync.replicas": "2", "log.retention.ms": "5000",
                    "message.max.bytes": "3000"},
                   {"message.max.bytes": "2000"},
                   message_max_bytes=9000000).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert wire.produce(c, "t", wire.batch([b"x" * 2500]), acks=1)[
            "ErrorCode"] == TOO_LARGE
        assert wire.produce(c, "t", wire.batch([b"x" * 1500]), acks=1)[
            "ErrorCode"] == 0
    assert described(broker, "min.insync.replicas", "message.max.bytes") == {
        "min.insync.replicas": ("2", 3), "message.max.bytes": ("2000", 2)}
    assert described(broker, "retention.ms", "min.insync.replicas",
                     topic="t") == {
        "retention.ms": ("5000", 3), "min.insync.replicas": ("2", 3)}


def test_described_of_all(given):
    """Alone, whatever this broker's own; and options of no file are shown
    where they are set."""
    rate = "leader.replication.throttled.rate"
    broker = given({"log.retention.ms": "5000", "message.max.bytes": "3000"},
                   {"message.max.bytes": "2000", rate: "7"}).start()
    assert described(broker, entity="") == {
        "log.retention.ms": ("5000", 3), "message.max.bytes": ("3000", 3)}
    assert described(broker, "message.max.bytes", "log.dirs",
                     entity="") == {"message.max.bytes": ("3000", 3)}
    assert described(broker, rate, "message.max.bytes") == {
        "message.max.bytes": ("2000", 2), rate: ("7", 2)}
    assert "follower.replication.throttled.rate" not in described(broker)


@pytest.mark.parametrize("all,this,word", (
    ({"log.cleanup.policy": "compact"}, None, "log.cleanup.policy"),
    (None, {"listeners": "SSL://127.0.0.1:19"}, "listeners"),
    ({"authorizer.class.name": "a.B"}, None, "authorizer.class.name"),
    ({"log.segment.bytes": "x"}, None, "log.segment.bytes"),
))
def test_refused(given, all, this, word):
    broker = given(all, this).launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert [line for line in broker.log().splitlines()
            if " FATAL " in line and word in line]


def test_that_cannot_be_read(given):
    broker = given({"a": "b"})
    broker.give("0", None)
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert "path=/config/brokers/0 cannot be read" in broker.log()


@pytest.mark.parametrize("all,this", (
    ({"num.io.threads": "9"}, None),
    ({"num.replica.fetchers": "4"}, None),
    ({"background.threads": "9"}, None),
    ({"no.such.option": "9"}, None),
    ({"advertised.listeners": "PLAINTEXT://a:1"}, None),
    (None, {"follower.replication.throttled.rate": "1000"}),
    (None, {"listener.name.other.ssl.keystore.password": "secret"}),
    # as the file has it, too
    (None, {"broker.rack": "there"}),
))
def test_warned_of(given, all, this):
    broker = given(all, this, broker_rack="here").start()
    name = list(all or this)[0]
    assert [line for line in broker.log().splitlines()
            if " WARN " in line and f"{name} (/config/brokers)" in line]
    assert "secret" not in broker.log()


def test_later_changes_are_told(given):
    broker = given({"log.retention.ms": "5000"}).start()
    assert "next start" not in broker.log()
    broker.give("<default>", {"log.retention.bytes": "5000"})
    broker.give("0", {"listener.name.a.ssl.key.password": "secret"})
    for words in ("log.retention.bytes was set in /config/brokers/<default>",
                  "log.retention.ms was taken out",
                  "ssl.key.password was set in /config/brokers/0"):
        harness.wait_until(lambda: words in broker.log(), what=words)
    assert "secret" not in broker.log()
    assert described(broker, "log.retention.bytes") == {
        "log.retention.bytes": ("-1", 5)}
    harness.restart(broker)
    assert described(broker, "log.retention.bytes") == {
        "log.retention.bytes": ("5000", 3)}
