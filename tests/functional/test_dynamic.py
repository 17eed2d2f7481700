# SPDX-License-Identifier: Apache-2.0
"""What was set at run time, of one broker or of all (/config/brokers)."""

import pytest

import harness
import wire
from dynamic_configs import DEFAULT, Settings, described

pytestmark = pytest.mark.ours
TOO_LARGE = 10


@pytest.fixture
def given(make_broker):
    """given(all={}, this={}): a broker, not started, for which that is set."""
    opened = []

    def make(all=None, this=None, **options):
        broker = make_broker(**options)
        settings = Settings(broker)
        opened.append(settings)
        broker.give = settings.set
        if all:
            broker.give(DEFAULT, all)
        if this:
            broker.give("0", this)
        return broker
    yield make
    for settings in opened:
        settings.close()


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
    ({"metric.reporters": "a.B"}, None, "metric.reporters"),
    (None, {"listeners": "SASL_SSL://127.0.0.1:19"}, "listeners"),
    ({"authorizer.class.name": "a.B"}, None, "authorizer.class.name"),
))
def test_refused(given, all, this, word):
    broker = given(all, this).launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert [line for line in broker.log().splitlines()
            if " FATAL " in line and word in line]


def test_that_cannot_be_read(given):
    broker = given({"a": "b"})
    broker.give("0", {"background.threads": 9})  # no text
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert "path=/config/brokers/0 cannot be read" in broker.log()


@pytest.mark.parametrize("all,this", (
    ({"num.io.threads": "9"}, None),
    # Kafka passes over what is not of the option's form, too
    ({"log.segment.bytes": "x"}, None),
    (None, {"ssl.keystore.password": "secret"}),
    ({"no.such.option": "9"}, None),
    ({"advertised.listeners": "PLAINTEXT://a:1"}, None),
    (None, {"log.preallocate": "true"}),
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
