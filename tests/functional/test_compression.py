# SPDX-License-Identifier: Apache-2.0
"""compression.type of a topic or of the broker; and records that are checked
aside because they are large, or unpack to much."""

import time
import zlib

import pytest

import harness
import packing
import wire
from fake_broker import FakeBroker
from legacy import NOW, messages, wrapper
from wire import batch, produce, read_all

TOO_LARGE, LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD = 10, 18, 32, 87
CONVERTED = "kafka_server_brokertopicmetrics_producemessageconversions_total"


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


def create(broker, **configs):
    name = f"compression-{time.monotonic_ns()}"
    harness.create_topic(broker, name, **configs)
    return name


def packed(codec, values, **how):
    return batch(values, attributes=packing.NAMES.index(codec),
                 compress=packing.PACK[codec], **{"timestamp": NOW, **how})


def stored(client, topic):
    return wire.batches(wire.fetch(client, topic, 0)["Records"] or b"")


ROWS = [(b"v" * 40, b"k", [(b"h", b"1"), (b"h", None)]), (None, None),
        (b"", b"")]


@pytest.mark.parametrize("target", ("uncompressed", "gzip", "snappy", "lz4",
                                    "zstd", "producer"))
@pytest.mark.parametrize("source", packing.NAMES)
def test_every_pair(client, shared_broker, target, source):
    name = create(shared_broker, compression_type=target)
    data = packed(source, ROWS, producer_id=9, producer_epoch=2,
                  base_sequence=4)
    for n in range(2):
        # the second is known as a retry, though it was written anew
        part = produce(client, name, data)
        assert (part["ErrorCode"], part["BaseOffset"]) == (0, 0)
    codec = {"uncompressed": "none", "producer": source}.get(target, target)
    found = stored(client, name)
    assert [(b.codec, b.base_offset, b.last_offset_delta, b.count,
             b.producer_id, b.producer_epoch, b.base_sequence, b.leader_epoch)
            for b in found] == [(codec, 0, 2, 3, 9, 2, 4, 0)]
    assert found[0].valid()
    if codec == source:
        assert found[0].data[61:] == data[61:]
    assert [(r[3], r[2], r[4]) for r in read_all(client, name)] == [
        (b"v" * 40, b"k", [(b"h", b"1"), (b"h", None)]), (None, None, []),
        (b"", b"", [])]
    assert harness.kcat(shared_broker, "-C", "-t", name, "-e", "-q", "-o",
                        "beginning", "-f", "%o,").startswith(b"0,1,2,")


@pytest.mark.parametrize("target", ("uncompressed", "gzip", "zstd"))
def test_of_message_sets(client, shared_broker, target):
    name = create(shared_broker, compression_type=target)
    for data in (messages(3), wrapper(messages(3)), messages(3, magic=0)):
        assert produce(client, name, data, version=2)["ErrorCode"] == 0
    codec = target.replace("uncompressed", "none")
    assert [(b.codec, b.base_offset, b.count) for b in stored(client, name)] \
        == [(codec, 0, 3), (codec, 3, 3), (codec, 6, 3)]


def test_of_the_broker(make_broker):
    """A topic's own goes before the broker's."""
    broker = make_broker(compression_type="gzip", compression_gzip_level=9)
    broker.start()
    harness.create_topic(broker, "a")
    harness.create_topic(broker, "b", compression_type="producer")
    with wire.Client(broker.address) as c:
        for name in "ab":
            with harness.counted(broker, CONVERTED, 5 if name == "a" else 0):
                assert produce(c, name, packed("none", [b"x" * 99] * 5))[
                    "ErrorCode"] == 0
        assert [b.codec for b in stored(c, "a")] == ["gzip"]
        assert [b.codec for b in stored(c, "b")] == ["none"]
        if not broker.real:
            assert broker.metric(CONVERTED, topic="a") == 5
            assert broker.metric(CONVERTED, topic="b") == 0


def test_sizes_are_looked_at_again(client, shared_broker):
    small = packed("gzip", [b"x" * 5000])
    name = create(shared_broker, compression_type="uncompressed",
                  max_message_bytes=3000)
    assert produce(client, name, small)["ErrorCode"] == TOO_LARGE
    name = create(shared_broker, compression_type="uncompressed",
                  segment_bytes=3000)
    assert produce(client, name, small)["ErrorCode"] == LIST_TOO_LARGE
    name = create(shared_broker, compression_type="gzip", segment_bytes=3000)
    assert produce(client, name,
                   packed("none", [b"x" * 5000]))["ErrorCode"] == 0
    # what comes must not be larger either
    name = create(shared_broker, compression_type="gzip",
                  max_message_bytes=3000)
    assert produce(client, name,
                   packed("none", [b"x" * 5000]))["ErrorCode"] == TOO_LARGE


@pytest.mark.parametrize("target", ("producer", "lz4"))
def test_faults_are_named(client, shared_broker, target):
    """Also when a worker found them."""
    name = create(shared_broker, compression_type=target,
                  message_timestamp_before_max_ms=3600000)
    now = int(time.time() * 1000)
    times = [now, now - 7200000] * 200
    part = produce(client, name, packed(
        "gzip", [b"%d" % n + b"\0" * 9000 for n in range(400)],
        timestamps=times))
    assert part["ErrorCode"] == INVALID_TIMESTAMP
    assert [e["BatchIndex"] for e in part["RecordErrors"]] == list(
        range(1, 400, 2))
    assert all(f"Timestamp {now - 7200000} of message with offset "
               f"{e['BatchIndex']} is out of range" in
               e["BatchIndexErrorMessage"] for e in part["RecordErrors"])
    assert part["ErrorMessage"]
    assert stored(client, name) == []


def large_of(kind, n):
    """Some that a loop checks, and some that it does not."""
    if kind == 0:
        return packed("gzip", [b"%d" % n])
    if kind == 1:
        return packed("gzip", [b"%d" % n + b"\0" * (3 << 20)])
    if kind == 2:
        noise = zlib.compress(str(n).encode()) * 20000
        return packed("lz4", [b"%d" % n + noise])
    return packed("none", [b"%d" % n])


@pytest.mark.parametrize("target", ("producer", "snappy"))
@pytest.mark.parametrize("acks", (0, 1, -1))
def test_order_of_large_and_small(client, shared_broker, acks, target):
    name = create(shared_broker, compression_type=target,
                  max_message_bytes=8 << 20)
    sent = []
    for n in range(40):
        sent.append(client.send(
            "Produce", 9, Acks=acks, TimeoutMs=5000, TransactionalId=None,
            TopicData=[{"Name": name, "PartitionData": [
                {"Index": 0, "Records": large_of(n * 7 % 4, n)}]}]))
    for n, correlation in enumerate(sent if acks else ()):
        part = client.receive(correlation)["Responses"][0][
            "PartitionResponses"][0]
        assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)
    if not acks:
        client.pending.clear()
    client.call("ApiVersions", 0)
    got = [r[3] for r in read_all(client, name)]
    assert len(got) == 40
    assert all(v.startswith(b"%d" % n) for n, v in enumerate(got))


def test_a_bomb_stops_nobody(client, shared_broker, topic):
    """300 MiB out of some hundred KiB: refused, and others go on meanwhile."""
    z = zlib.compressobj(9, wbits=31)
    body = b"".join((wire.varint(300 << 20), b"\0\0\0\1",
                     wire.varint((300 << 20) - 10)))
    parts = [z.compress(body)]
    zeros = b"\0" * (1 << 20)
    parts += [z.compress(zeros) for _ in range(299)] + [z.flush()]
    bomb = batch([b"x"], attributes=1, payload=b"".join(parts))
    assert len(bomb) < 1 << 20
    with wire.Client(shared_broker.address, 120) as other:
        correlation = other.send(
            "Produce", 9, Acks=1, TimeoutMs=5000, TransactionalId=None,
            TopicData=[{"Name": topic, "PartitionData": [
                {"Index": 0, "Records": bomb}]}])
        for n in range(20):
            assert produce(client, topic, packed(
                "gzip", [b"%d" % n]))["BaseOffset"] == n
        part = other.receive(correlation)["Responses"][0][
            "PartitionResponses"][0]
        assert part["ErrorCode"] in (TOO_LARGE, INVALID_RECORD, -1)


@pytest.mark.ours
def test_the_next_waits_for_the_append_only(broker):
    """A worker makes the batches anew, so the second request waits for that;
    it does not wait until the replicas have the first."""
    other = 7
    with FakeBroker(broker, other) as follower, \
            wire.Client(broker.address) as client, \
            wire.Client(broker.address) as looker:
        harness.wait_until(lambda: follower.orders, what="the first order")
        answer = looker.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
            "Name": "two", "NumPartitions": -1, "ReplicationFactor": -1,
            "Assignments": [{"PartitionIndex": 0, "BrokerIds": [0, other]}],
            "Configs": [{"Name": "compression.type", "Value": "gzip"}]}])
        assert answer["Topics"][0]["ErrorCode"] == 0, answer
        harness.wait_until(
            lambda: looker.call("Metadata", 7, Topics=[{"Name": "two"}])
            ["Topics"][0]["ErrorCode"] == 0, what="a leader")
        sent = [client.send("Produce", 9, Acks=-1, TimeoutMs=90000, TopicData=[
            {"Name": "two", "PartitionData": [
                {"Index": 0, "Records": batch([b"%d" % n])}]}])
            for n in range(3)]
        harness.wait_until(
            lambda: looker.call("ListOffsets", 7, ReplicaId=other, Topics=[
                {"Name": "two", "Partitions": [
                    {"PartitionIndex": 0, "Timestamp": -1}]}])
            ["Topics"][0]["Partitions"][0]["Offset"] == 3,
            what="all three in the log")
        assert wire.list_offset(looker, "two", -1)["Offset"] == 0
        looker.call("Fetch", 11, ReplicaId=other,
                    **wire.fetch_request("two", 3, max_wait_ms=0))
        for n, correlation in enumerate(sent):
            part = client.receive(correlation)["Responses"][0][
                "PartitionResponses"][0]
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)
