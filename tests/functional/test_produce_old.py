# SPDX-License-Identifier: Apache-2.0
"""Produce 0 to 2: message sets of magic 0 and 1, which become one batch.

Old clients send them; and librdkafka before 2.8 compresses only for a broker
that names Produce 0."""

import time

import pytest

import harness
import packing
import wire
from legacy import (APPEND_TIME, GZIP, LZ4, NOW, SNAPPY, ZSTD, fields,
                    message, messages, wrapper)
from wire import produce, read_all

NONE, CORRUPT, TOO_LARGE, LIST_TOO_LARGE = 0, 2, 10, 18
UNKNOWN_SERVER_ERROR, INVALID_TIMESTAMP, INVALID_RECORD = -1, 32, 87


snappy_block, xerial, lz4, lz4_old = (
    packing.snappy_block, packing.snappy, packing.lz4, packing.lz4_old)
gzip = packing.gzip


def plain_and_wrapped(magic, **how):
    yield "plain", messages(3, magic=magic, **how)
    yield "gzip", wrapper(messages(3, magic=magic, **how), magic=magic,
                          offset=2)
    yield "snappy", wrapper(messages(3, magic=magic, **how), SNAPPY, xerial,
                            magic=magic, offset=2)
    yield "bare-snappy", wrapper(messages(3, magic=magic, **how), SNAPPY,
                                 snappy_block, magic=magic, offset=2)
    yield "lz4", wrapper(messages(3, magic=magic, **how), LZ4,
                         lz4 if magic else lz4_old, magic=magic, offset=2)


GOOD = [(f"{form}-{magic}", data) for magic in (0, 1)
        for form, data in plain_and_wrapped(magic)]

# name, bytes, error; with error 0 how many records are to be found
ODD = [
    ("empty", b"", NONE, 0),
    ("a piece of a message", messages(1)[:-1], NONE, 0),
    ("a piece behind", messages(2) + messages(1)[:-1], NONE, 2),
    ("a piece inside", wrapper(messages(3)[:-1], offset=1), NONE, 2),
    ("some bytes inside", wrapper(messages(3) + b"x" * 11), NONE, 3),
    ("offsets of no use", b"".join(
        message(b"v", b"k", offset=o) for o in (7, 3, -9)), NONE, 3),
    ("inner offsets of no use", wrapper(b"".join(
        message(b"v", b"k", offset=o) for o in (5, 3, 0))), NONE, 3),
    ("wrapper's offset 0", wrapper(messages(3), offset=0), NONE, 3),
    ("wrapper's offset larger", wrapper(messages(3), offset=9), NONE, 3),
    ("wrapper's offset too small", wrapper(messages(3), offset=1),
     INVALID_RECORD, 0),
    ("magic 0: wrapper's offset", wrapper(messages(3, magic=0), magic=0,
                                          offset=1), NONE, 3),
    ("null and empty", message(None) + message(b"", b""), NONE, 2),
    ("negative lengths", message(None, body=b"\xff\xff\xff\xf0" * 2), NONE,
     1),
    ("bytes behind the value", message(
        None, body=fields(b"k", b"v") + b"more"), NONE, 1),
    ("bytes behind the inner value", wrapper(message(
        None, body=fields(b"k", b"v") + b"more")), NONE, 1),
    ("no time", messages(2, timestamp=-1), NONE, 2),
    ("negative time", messages(2, timestamp=-2), UNKNOWN_SERVER_ERROR, 0),
    ("negative inner time", wrapper(messages(2, timestamp=-2)),
     UNKNOWN_SERVER_ERROR, 0),
    ("times up and down", b"".join(
        message(b"v", timestamp=NOW + d) for d in (5, -7, 90, 3)), NONE, 4),
    ("append time claimed", messages(2, attributes=APPEND_TIME), NONE, 2),
    ("append time claimed by one", messages(1, attributes=APPEND_TIME) +
     message(b"v1", b"k1", timestamp=NOW + 5), NONE, 2),
    ("append time claimed without one",
     messages(1, attributes=APPEND_TIME, timestamp=-1), INVALID_TIMESTAMP, 0),
    ("wrapper's append time", wrapper(
        messages(3), offset=2, attributes=APPEND_TIME, timestamp=NOW + 77),
     NONE, 3),
    ("magic 0: bit 3 means nothing", messages(
        1, magic=0, attributes=APPEND_TIME), NONE, 1),
    ("crc", message(b"v", crc=1), CORRUPT, 0),
    ("second's crc", messages(1) + message(b"v", crc=1), CORRUPT, 0),
    ("wrapper's crc", wrapper(messages(2), crc=1), CORRUPT, 0),
    ("inner crc", wrapper(messages(1) + message(b"v", crc=1, offset=1)),
     CORRUPT, 0),
    ("size too small", message(b"v", size=13), CORRUPT, 0),
    ("second's size too small", messages(1) + message(b"v", size=13),
     CORRUPT, 0),
    ("inner size too small", wrapper(messages(1) + message(b"v", size=13)),
     CORRUPT, 0),
    ("magic 3", message(b"v", magic=3), CORRUPT, 0),
    ("magic -1", message(b"v", magic=-1), CORRUPT, 0),
    ("two magics", messages(1) + messages(1, magic=0), INVALID_RECORD, 0),
    ("a batch behind", messages(1) + wire.batch([b"x"]), INVALID_RECORD, 0),
    ("messages behind a batch", wire.batch([b"x"]) + messages(1),
     INVALID_RECORD, 0),
    ("inner magic 0 in 1", wrapper(messages(2, magic=0)), INVALID_RECORD, 0),
    ("inner magic 1 in 0", wrapper(messages(2), magic=0), INVALID_RECORD, 0),
    ("inner magic 7", wrapper(messages(2, magic=7)), INVALID_RECORD, 0),
    # the first byte of its CRC stands where a message names codec 7
    ("a batch inside", wrapper(wire.batch([b"x"], timestamp=1700000000000)),
     UNKNOWN_SERVER_ERROR, 0),
    ("two wrappers", wrapper(messages(1)) * 2, INVALID_RECORD, 0),
    ("a wrapper behind", messages(1) + wrapper(messages(1)),
     INVALID_RECORD, 0),
    ("a message behind", wrapper(messages(1)) + messages(1),
     INVALID_RECORD, 0),
    ("wrapper in a wrapper", wrapper(wrapper(messages(1))),
     INVALID_RECORD, 0),
    ("null wrapper", message(None, attributes=GZIP), INVALID_RECORD, 0),
    ("empty wrapper", message(b"", attributes=GZIP),
     UNKNOWN_SERVER_ERROR, 0),
    ("nothing inside", wrapper(b""), INVALID_RECORD, 0),
    ("a wrapper with a key", wrapper(messages(1), body=fields(
        b"k", gzip(messages(1)))), NONE, 1),
    ("no gzip", message(b"rubbish", attributes=GZIP),
     UNKNOWN_SERVER_ERROR, 0),
    ("gzip cut short", message(gzip(messages(3))[:-9], attributes=GZIP),
     UNKNOWN_SERVER_ERROR, 0),
    ("no snappy", message(b"rubbish", attributes=SNAPPY),
     UNKNOWN_SERVER_ERROR, 0),
    ("no lz4", message(b"rubbish", attributes=LZ4),
     UNKNOWN_SERVER_ERROR, 0),
    ("magic 1: lz4 as of magic 0", wrapper(messages(1), LZ4, lz4_old),
     UNKNOWN_SERVER_ERROR, 0),
    ("magic 0: lz4 as of magic 1", wrapper(messages(1, magic=0), LZ4, lz4,
                                           magic=0), NONE, 1),
    ("zstd", message(b"rubbish", attributes=ZSTD), INVALID_RECORD, 0),
    ("codec 5", message(b"v", attributes=5), UNKNOWN_SERVER_ERROR, 0),
    ("inner codec 5", wrapper(message(b"v", attributes=5)),
     UNKNOWN_SERVER_ERROR, 0),
    ("key longer than all", message(None, body=b"\0\0\0\x99" + b"kkkkkk"),
     UNKNOWN_SERVER_ERROR, 0),
    ("value longer than all", message(
        None, body=fields(None, None)[:4] + b"\0\0\0\x99v"),
     UNKNOWN_SERVER_ERROR, 0),
    ("inner value longer than all", wrapper(message(
        None, body=fields(None, None)[:4] + b"\0\0\0\x99v")),
     UNKNOWN_SERVER_ERROR, 0),
    ("a batch", wire.batch([b"a", b"b"], timestamp=NOW), NONE, 2),
    ("a batch of gzip", wire.batch([b"a"], attributes=1, compress=gzip,
                                   timestamp=NOW), NONE, 1),
    ("two batches", wire.batch([b"a"], timestamp=NOW) * 2, INVALID_RECORD, 0),
    ("a batch with a bad crc", wire.batch([b"a"], crc=1), CORRUPT, 0),
]


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


def seen(broker, topic):
    """(offset, timestamp, key, value) by a consumer, whatever the codec."""
    rows = harness.kcat(broker, "-C", "-t", topic, "-p", 0, "-o", "beginning",
                        "-e", "-q", "-f", "%o|%T|%k|%s\n").splitlines()
    return [tuple(r.split(b"|")) for r in rows]


@pytest.mark.parametrize("version", (0, 1, 2))
@pytest.mark.parametrize("name,data", GOOD, ids=[g[0] for g in GOOD])
def test_good(client, shared_broker, topic, version, name, data):
    for n in range(2):
        part = produce(client, topic, data, version=version)
        expected = {"Index": 0, "ErrorCode": 0, "BaseOffset": 3 * n}
        if version >= 2:
            expected["LogAppendTimeMs"] = -1
        assert part == expected
    found = wire.batches(wire.fetch(client, topic, 0)["Records"])
    assert [(b.base_offset, b.last_offset, b.magic, b.producer_id,
             b.producer_epoch, b.base_sequence) for b in found] == [
        (0, 2, 2, -1, -1, -1), (3, 5, 2, -1, -1, -1)]
    assert all(b.valid() and b.leader_epoch == 0 for b in found)
    codec = name.split("-")[-2]
    assert {b.codec for b in found} == {"none" if codec == "plain" else codec}
    stamp = b"%d" % (-1 if name.endswith("0") else NOW)
    assert seen(shared_broker, topic) == [
        (b"%d" % i, stamp, b"k%d" % (i % 3), b"v%d" % (i % 3))
        for i in range(6)]


@pytest.mark.parametrize("name,data,error,count", ODD,
                         ids=[o[0].replace(" ", "-") for o in ODD])
def test_odd(client, topic, name, data, error, count):
    part = produce(client, topic, data, version=2)
    assert part["ErrorCode"] == error
    assert part["BaseOffset"] == (0 if count else -1)
    found = wire.batches(wire.fetch(client, topic, 0, max_wait_ms=0)["Records"])
    assert [b.count for b in found] == ([count] if count else [])
    # and it goes on
    assert produce(client, topic, messages(1), version=2)["BaseOffset"] == count


def test_throttle_time_from_version_1(client, topic):
    for version in range(3):
        answer = client.call("Produce", version, Acks=1, TimeoutMs=1000,
                             TopicData=[{"Name": topic, "PartitionData": [
                                 {"Index": 0, "Records": messages(1)}]}])
        assert ("ThrottleTimeMs" in answer) == (version >= 1)


def test_times_are_kept(client, topic):
    times = [NOW + d for d in (5, -7, 90, 3)]
    data = b"".join(message(b"v", timestamp=t) for t in times)
    produce(client, topic, data, version=2)
    produce(client, topic, wrapper(data), version=2)
    assert [r[1] for r in read_all(client, topic)] == times * 2
    for b in wire.batches(wire.fetch(client, topic, 0)["Records"]):
        assert (b.base_timestamp, b.max_timestamp) == (times[0], NOW + 90)


@pytest.mark.parametrize("magic", (0, 1))
@pytest.mark.parametrize("wrap", (lambda m, magic: m,
                                  lambda m, magic: wrapper(m, magic=magic)),
                         ids=("plain", "gzip"))
def test_append_time(client, shared_broker, magic, wrap):
    name = f"append-time-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    part = produce(client, name, wrap(messages(2, magic=magic), magic),
                   version=2)
    after = int(time.time() * 1000)
    assert part["ErrorCode"] == 0
    assert before <= part["LogAppendTimeMs"] <= after
    found = wire.batches(wire.fetch(client, name, 0)["Records"])
    assert [(b.attributes & 8, b.max_timestamp) for b in found] == [
        (8, part["LogAppendTimeMs"])]
    claimed = wrap(messages(2, magic=1, attributes=APPEND_TIME), 1)
    if claimed[17] & 7:
        claimed = wrapper(messages(2), attributes=APPEND_TIME)
    assert produce(client, name, claimed,
                   version=2)["ErrorCode"] == INVALID_TIMESTAMP


@pytest.mark.parametrize("wrap", (lambda m: m, wrapper),
                         ids=("plain", "gzip"))
def test_times_out_of_range(client, shared_broker, wrap):
    name = f"times-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_timestamp_before_max_ms=3600000,
                         message_timestamp_after_max_ms=3600000)
    now = int(time.time() * 1000)

    def answer(*times):
        return produce(client, name, wrap(b"".join(
            message(b"v", timestamp=t) for t in times)),
            version=2)["ErrorCode"]

    assert answer(now) == NONE
    assert answer(-1, now, -1) == NONE
    assert answer(now - 7200000) == INVALID_TIMESTAMP
    assert answer(now, now + 7200000) == INVALID_TIMESTAMP


def test_sizes(client, shared_broker):
    name = f"small-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, max_message_bytes=1000)
    big = message(b"x" * 1000)
    assert produce(client, name, big, version=2)["ErrorCode"] == TOO_LARGE
    # each would do, but the batch of them does not
    many = message(b"x" * 100) * 9
    assert produce(client, name, many, version=2)["ErrorCode"] == TOO_LARGE
    assert produce(client, name, wrapper(many), version=2)["ErrorCode"] == NONE
    # a wrapper goes by what it is when compressed, before and after
    many = message(b"x" * 100) * 100
    assert len(wrapper(many)) < 1000
    assert produce(client, name, wrapper(many), version=2)["ErrorCode"] == NONE
    assert len(read_all(client, name)) == 109


def test_segment_bytes(client, shared_broker):
    name = f"segment-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, segment_bytes=1000)
    assert produce(client, name, message(b"x" * 300) * 2,
                   version=2)["ErrorCode"] == NONE
    assert produce(client, name, message(b"x" * 300) * 4,
                   version=2)["ErrorCode"] == LIST_TOO_LARGE


@pytest.mark.parametrize("acks", (0, 1, -1))
def test_order_of_large_and_small(client, topic, acks):
    """Large and compressed ones are converted aside; none is overtaken."""
    expected, sent = [], []
    for n in range(60):
        large = b"%d-" % n + b"y" * (50000 if n % 3 == 0 else 3)
        data = message(large)
        if n % 4 == 1:
            data = wrapper(data)
        expected.append(large)
        version = n % 3 if n % 5 else 3
        if version == 3:
            data = wire.batch([large], timestamp=NOW)
        values = dict(Acks=acks, TimeoutMs=5000, TopicData=[
            {"Name": topic, "PartitionData": [{"Index": 0, "Records": data}]}])
        sent.append(client.send("Produce", version, **values))
    if acks:
        for n, correlation in enumerate(sent):
            part = client.receive(correlation)["Responses"][0][
                "PartitionResponses"][0]
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)
    else:
        client.pending.clear()
    client.call("ApiVersions", 0)
    assert [r[3] for r in read_all(client, topic)] == expected


def test_many_partitions(client, shared_broker):
    name = f"many-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, partitions=4)
    sets = [messages(2), wrapper(messages(3)), messages(1) + b"x" * 5,
            message(b"v", crc=1)]
    answer = client.call("Produce", 1, Acks=-1, TimeoutMs=5000, TopicData=[
        {"Name": name, "PartitionData": [
            {"Index": i, "Records": data} for i, data in enumerate(sets)] +
         [{"Index": 9, "Records": messages(1)}]}])
    got = {p["Index"]: p["ErrorCode"]
           for p in answer["Responses"][0]["PartitionResponses"]}
    assert got == {0: 0, 1: 0, 2: 0, 3: CORRUPT, 9: 3}
    assert [len(read_all(client, name, i)) for i in range(4)] == [2, 3, 1, 0]


@pytest.mark.ours
def test_a_bomb_is_refused(client, topic):
    """What is converted is held in memory: there is a bound to it."""
    bomb = wrapper(message(b"\0" * (65 << 20)), pack=gzip)
    assert len(bomb) < 1 << 20
    assert produce(client, topic, bomb, version=2)["ErrorCode"] == TOO_LARGE
    assert produce(client, topic, messages(1), version=2)["ErrorCode"] == NONE


def test_gone_before_it_is_converted(shared_broker, topic, client):
    data = wrapper(b"".join(message(b"x" * 100) for _ in range(20000)))
    for n in range(10):
        with wire.Client(shared_broker.address) as c:
            c.send("Produce", n % 3, Acks=-1, TimeoutMs=1000, TopicData=[
                {"Name": topic, "PartitionData": [
                    {"Index": 0, "Records": data}]}])
    harness.wait_until(lambda: sum(
        b.count for b in wire.batches(wire.fetch(
            client, topic, 0, max_wait_ms=0)["Records"] or b"")) >= 20000,
        what="one of them is there")
    assert produce(client, topic, messages(1), version=2)["ErrorCode"] == NONE


@pytest.mark.parametrize("codec", ("gzip", "snappy", "lz4", "zstd"))
def test_kcat_compresses(shared_broker, topic, client, codec):
    harness.kcat(shared_broker, "-P", "-t", topic, "-p", 0, "-z", codec,
                 "-X", "linger.ms=1000",
                 stdin=b"".join(b"line %d\n" % i for i in range(200)))
    found = wire.batches(wire.fetch(client, topic, 0)["Records"])
    # librdkafka may send what it has before the rest of the lines arrives,
    # and leaves a batch alone that compression would make larger
    assert {b.codec for b in found if b.count > 5} == {codec}


@pytest.mark.parametrize("codec", ("none", "gzip", "snappy", "lz4"))
@pytest.mark.parametrize("release", ("0.8.2.2", "0.10.1.0"))
def test_kcat_as_of_old(shared_broker, topic, codec, release):
    """librdkafka told that the broker is old: it makes magic 0 and 1."""
    harness.kcat(shared_broker, "-P", "-t", topic, "-p", 0, "-z", codec,
                 "-X", "api.version.request=false",
                 "-X", f"broker.version.fallback={release}",
                 stdin=b"".join(b"line %d\n" % i for i in range(200)))
    assert [r[3] for r in seen(shared_broker, topic)] == [
        b"line %d" % i for i in range(200)]
