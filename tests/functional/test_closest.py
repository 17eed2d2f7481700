# SPDX-License-Identifier: Apache-2.0
"""Consumers read from the replica in their rack (KIP-392)."""

import confluent_kafka
import pytest

import harness
import wire
from test_replication import (  # noqa: F401
    PATIENT, fill, in_sync, make_brokers, make_topic, state)

SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
OUT_OF_RANGE, NOT_LEADER, FENCED, UNKNOWN_EPOCH = 1, 6, 74, 75
WAITS_MS = 600000    # who is not woken fails by the client's patience


def rack(broker):
    return f"rack-{broker.broker_id}"


def in_racks(broker):
    broker.set(broker_rack=rack(broker), replica_selector_class=SELECTOR)


@pytest.fixture
def racks(make_brokers):    # noqa: F811
    return make_brokers(3, in_racks, **PATIENT)


def sent(broker, topic="t"):
    """Bytes to consumers."""
    return broker.metric("kafka_server_brokertopicmetrics_bytesout_total",
                         topic=topic)


def fetch(broker, offset, version=12, **how):
    with wire.Client(broker.address) as client:
        return wire.fetch(client, "t", offset, version=version,
                          **{"max_wait_ms": 0, **how})


def wait_watermark(broker, offset):
    harness.wait_until(
        lambda: fetch(broker, 0)["HighWatermark"] == offset,
        what=f"the high watermark is {offset}")


def test_the_leader_names_the_follower(racks):
    leader, (one, other) = make_topic(racks, "t")
    fill(leader, "t", 0, 5)
    for follower in (one, other):
        part = fetch(leader, 0, RackId=rack(follower))
        assert part["ErrorCode"] == 0
        assert part["PreferredReadReplica"] == follower.broker_id
        assert not part["Records"]
        assert (part["HighWatermark"], part["LastStableOffset"],
                part["LogStartOffset"]) == (5, 5, 0)
        # nobody waits with it
        assert fetch(leader, 5, RackId=rack(follower), max_wait_ms=WAITS_MS)[
            "PreferredReadReplica"] == follower.broker_id
    for who in (rack(leader), "elsewhere", ""):
        part = fetch(leader, 0, RackId=who)
        assert part["PreferredReadReplica"] == -1 and part["Records"]
    assert fetch(leader, 0, 10)["Records"]
    # a follower names nobody
    part = fetch(one, 0, RackId=rack(other))
    assert part["PreferredReadReplica"] == -1 and part["Records"]
    # who is not in sync is not named
    one.kill()
    in_sync(leader, "t", [leader.broker_id, other.broker_id])
    harness.wait_until(
        lambda: fetch(leader, 0, RackId=rack(one))["PreferredReadReplica"]
        == -1, what="the leader names it no more")
    assert fetch(leader, 0, RackId=rack(one))["Records"]


def test_a_session_tells_it_each_time(racks):
    leader, (follower, _) = make_topic(racks, "t")
    fill(leader, "t", 0, 5)
    with wire.Client(leader.address) as client:
        how = wire.fetch_request("t", 0, max_wait_ms=0, RackId=rack(follower))
        answer = client.call("Fetch", 12, SessionId=0, SessionEpoch=0, **how)
        for epoch in (1, 2):
            answer = client.call("Fetch", 12, **{
                **how, "Topics": [], "SessionId": answer["SessionId"],
                "SessionEpoch": epoch})
            part, = answer["Responses"][0]["Partitions"]
            assert part["PreferredReadReplica"] == follower.broker_id


def test_a_follower_answers(racks):
    leader, (follower, _) = make_topic(racks, "t")
    fill(leader, "t", 0, 5)
    wait_watermark(follower, 5)
    assert fetch(follower, 0)["Records"] == fetch(leader, 0)["Records"]
    # of older versions the leader alone
    assert fetch(follower, 0, 10)["ErrorCode"] == NOT_LEADER
    assert fetch(follower, 6)["ErrorCode"] == OUT_OF_RANGE
    epoch = state(leader, "t")["leader_epoch"]

    def asked(epoch):
        with wire.Client(follower.address) as client:
            request = wire.fetch_request("t", 0, max_wait_ms=0)
            request["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch
            answer = client.call("Fetch", 12, **request)
            return answer["Responses"][0]["Partitions"][0]["ErrorCode"]
    assert asked(epoch) == 0
    assert asked(epoch + 1) == UNKNOWN_EPOCH
    if epoch > 0:
        assert asked(epoch - 1) == FENCED
    with wire.Client(follower.address) as client:
        assert wire.list_offset(client, "t", -1)["ErrorCode"] == NOT_LEADER


def test_a_follower_wakes_who_waits(racks):
    leader, (follower, _) = make_topic(racks, "t")
    fill(leader, "t", 0, 5)
    wait_watermark(follower, 5)
    with wire.Client(follower.address) as client:
        waits = client.send("Fetch", 12, **wire.fetch_request(
            "t", 5, max_wait_ms=WAITS_MS))
        fill(leader, "t", 5, 1)
        part = client.receive(waits)["Responses"][0]["Partitions"][0]
    assert part["ErrorCode"] == 0
    assert part["HighWatermark"] == 6
    assert [int(r[3]) for r in wire.batches(part["Records"])[0].records()] \
        == [5]


@pytest.mark.ours
def test_kcat_reads_there(racks):
    leader, (follower, _) = make_topic(racks, "t")
    fill(leader, "t", 0, 500)
    wait_watermark(follower, 500)
    before = sent(leader)
    for who, reads in ((follower, follower), (leader, leader)):
        had = sent(reads)
        out = harness.kcat(leader, "-C", "-t", "t", "-o", "beginning", "-c",
                           500, "-q", "-X", f"client.rack={rack(who)}")
        assert [int(n) for n in out.split()] == list(range(500))
        assert sent(reads) > had
        if who is follower:
            assert sent(leader) == before


class Reader:
    """confluent-kafka, of one partition, from its beginning."""

    def __init__(self, brokers, where):
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": ",".join(b.address for b in brokers),
            "group.id": "unused", "client.rack": where,
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 0})
        self.consumer.assign([confluent_kafka.TopicPartition("t", 0, 0)])
        self.values = []

    def until(self, count):
        def has():
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.values.append(int(message.value()))
            return len(self.values) >= count
        harness.wait_until(has, what=f"{count} records are read", pause=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.consumer.close()


@pytest.mark.ours
def test_the_follower_dies(racks):
    """librdkafka stays with it for minutes, and goes on when it is back; the
    Java client goes to the leader (tests/interop/test_replicas.py)."""
    leader, (follower, other) = make_topic(racks, "t")
    fill(leader, "t", 0, 50)
    wait_watermark(follower, 50)
    looked = sent(follower)
    with Reader(racks, rack(follower)) as reader:
        reader.until(50)
        assert sent(follower) > looked
        assert sent(leader) == 0
        follower.kill()
        in_sync(leader, "t", [leader.broker_id, other.broker_id])
        fill(leader, "t", 50, 50)
        follower.start()
        reader.until(100)
        assert reader.values == list(range(100))
        assert sent(follower) > 0


@pytest.mark.slow
@pytest.mark.ours
def test_another_leads(racks):
    """Its consumer goes on where the follower leads now, or another does."""
    leader, (follower, _) = make_topic(racks, "t")
    fill(leader, "t", 0, 50)
    wait_watermark(follower, 50)
    with Reader(racks, rack(follower)) as reader:
        reader.until(50)
        leader.stop()
        harness.wait_until(
            lambda: state(follower, "t")["leader"] != leader.broker_id,
            what="another leads")
        second = racks[state(follower, "t")["leader"]]
        harness.wait_leads(second, "t")
        fill(second, "t", 50, 50)
        reader.until(100)
        assert reader.values == list(range(100))


@pytest.mark.ours
def test_other_selectors(make_broker):
    broker = make_broker(replica_selector_class="com.example.Selector")
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) != 0
    assert "replica.selector.class" in broker.log()
    broker.process = None
    broker.set(replica_selector_class=SELECTOR.replace("RackAwareReplica",
                                                       "Leader"))
    broker.start()
