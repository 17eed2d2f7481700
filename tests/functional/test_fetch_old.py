# SPDX-License-Identifier: Apache-2.0
"""Fetch 0 to 3: consumers that know only messages of magic 0 and 1."""

import struct
import threading
import time

import pytest

import harness
import packing
import wire
from legacy import NOW, flat, read_set
from wire import batch, fetch, produce, record

UNSUPPORTED_VERSION, UNSUPPORTED_COMPRESSION = 35, 76
CONVERTED = "kafka_server_brokertopicmetrics_fetchmessageconversions_total"


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


def rows_of(data):
    return flat(read_set(data or b"")[0])


def batch_of(codec, values, **how):
    return batch(values, attributes=packing.NAMES.index(codec),
                 compress=packing.PACK[codec], timestamp=NOW, **how)


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize("codec", packing.NAMES[:4])
def test_every_version(client, topic, version, codec):
    rows = [(b"v", b"k", [(b"h", b"1")]), (None, b"k"), (b"", None), (b"w",)]
    assert produce(client, topic, batch_of(codec, rows))["ErrorCode"] == 0
    answer = client.call("Fetch", version, **wire.fetch_request(topic, 0))
    assert ("ThrottleTimeMs" in answer) == (version >= 1)
    part = answer["Responses"][0]["Partitions"][0]
    assert (part["ErrorCode"], part["HighWatermark"]) == (0, 4)
    found, rest = read_set(part["Records"])
    assert rest == b""
    assert {m.magic for m in found} == {version // 2}
    stamp = NOW if version >= 2 else None
    assert flat(found) == [(0, stamp, b"k", b"v"), (1, stamp, b"k", None),
                           (2, stamp, None, b""), (3, stamp, None, b"w")]
    if codec == "none":
        assert len(found) == 4
    else:
        assert [(m.offset, m.attributes & 7) for m in found] == [
            (3, packing.NAMES.index(codec))]
        assert [m.offset for m in found[0].inner] == [0, 1, 2, 3]


@pytest.mark.parametrize("version", range(4))
def test_from_the_middle(client, topic, version):
    """Of plain ones only those from there on; a wrapper comes whole."""
    produce(client, topic, batch_of("none", [b"%d" % n for n in range(5)]))
    produce(client, topic, batch_of("gzip", [b"%d" % n for n in range(5)]))
    got = rows_of(fetch(client, topic, 3, version=version)["Records"])
    assert [r[0] for r in got] == [3, 4, 5, 6, 7, 8, 9]
    got = rows_of(fetch(client, topic, 7, version=version)["Records"])
    assert [r[0] for r in got] == [5, 6, 7, 8, 9]


def test_limits(client, topic):
    """Before version 3 nothing comes that is larger; then the first does."""
    for _ in range(3):
        produce(client, topic, batch_of("none", [b"x" * 500]))
    for version in range(4):
        part = fetch(client, topic, 0, version=version, max_wait_ms=0,
                     partition_max_bytes=200)
        got = rows_of(part["Records"])
        assert [r[0] for r in got] == ([0] if version == 3 else [])
        part = fetch(client, topic, 0, version=version, max_wait_ms=0,
                     partition_max_bytes=1300)
        assert [r[0] for r in rows_of(part["Records"])] == [0, 1]
    part = fetch(client, topic, 0, version=3, max_wait_ms=0, max_bytes=1)
    assert [r[0] for r in rows_of(part["Records"])] == [0]


@pytest.mark.parametrize("version", range(4))
def test_zstd(client, topic, version):
    """Error 76 when it is the first; else what is before it comes."""
    produce(client, topic, batch_of("none", [b"a", b"b"]))
    produce(client, topic, batch_of("zstd", [b"c"]), version=7)
    produce(client, topic, batch_of("none", [b"d"]))
    part = fetch(client, topic, 0, version=version)
    assert part["ErrorCode"] == 0
    assert [r[0] for r in rows_of(part["Records"])] == [0, 1]
    part = fetch(client, topic, 2, version=version)
    assert (part["ErrorCode"], part["HighWatermark"],
            part["Records"] or b"") == (UNSUPPORTED_COMPRESSION, -1, b"")
    part = fetch(client, topic, 3, version=version)
    assert [r[0] for r in rows_of(part["Records"])] == [3]


@pytest.mark.parametrize("version", range(13))
def test_a_topic_of_zstd(client, shared_broker, version):
    name = f"zstd-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, compression_type="zstd")
    produce(client, name, batch_of("none", [b"a"]))
    part = fetch(client, name, 0, version=version)
    if version >= 10:
        assert part["ErrorCode"] == 0
        assert wire.batches(part["Records"])[0].codec == "zstd"
        return
    assert (part["ErrorCode"], part["HighWatermark"]) == (
        UNSUPPORTED_COMPRESSION, -1)
    if version >= 4:
        assert part["AbortedTransactions"] == []


def test_conversion_forbidden(client, shared_broker):
    name = f"no-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_downconversion_enable="false")
    produce(client, name, batch_of("none", [b"a"]))
    for version in range(6):
        for offset in (0, 1, 5):
            error = fetch(client, name, offset, version=version,
                          max_wait_ms=0)["ErrorCode"]
            assert error == (UNSUPPORTED_VERSION if version < 4
                             else 1 if offset == 5 else 0)


def test_waits_for_bytes(shared_broker, client, topic):
    got = []

    def wait():
        with wire.Client(shared_broker.address) as c:
            got.append(fetch(c, topic, 0, version=1, max_wait_ms=600000))
    thread = threading.Thread(target=wait)
    thread.start()
    produce(client, topic, batch_of("none", [b"a"]))
    thread.join(harness.PATIENCE)
    assert [r[3] for r in rows_of(got[0]["Records"])] == [b"a"]


def test_append_time(client, shared_broker):
    name = f"append-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_timestamp_type="LogAppendTime")
    for codec in ("none", "gzip"):
        stamp = produce(client, name,
                        batch_of(codec, [b"a", b"b"]))["LogAppendTimeMs"]
        at = 0 if codec == "none" else 2
        found = read_set(fetch(client, name, at, version=2)["Records"])[0]
        assert {(m.timestamp, m.attributes & 8) for m in found} == {(stamp, 8)}
        assert all(r[1] == stamp for r in flat(found))
        found = read_set(fetch(client, name, at, version=0)["Records"])[0]
        assert {m.attributes & 8 for m in found} == {0}


def put_log(broker, topic, data):
    """The stopped broker's log is that, and nothing else."""
    for path in (broker.data / f"{topic}-0").iterdir():
        if path.name != "partition.metadata":
            path.unlink()
    (broker.data / f"{topic}-0" / ("0" * 20 + ".log")).write_bytes(data)
    for path in broker.data.iterdir():
        if path.name.endswith("checkpoint") or "clean" in path.name:
            path.unlink()


def marker(base_offset, producer_id):
    return batch([], base_offset=base_offset, attributes=0x30, count=1,
                 last_offset_delta=0, leader_epoch=0, producer_id=producer_id,
                 producer_epoch=0, payload=record(
                     struct.pack(">hi", 0, 0), struct.pack(">hh", 0, 1)))


def test_control_batches_are_left_out(make_broker):
    broker = make_broker().start()
    harness.create_topic(broker, "t")
    broker.stop()
    put_log(broker, "t", b"".join((
        batch_of("none", [b"a"], base_offset=0, leader_epoch=0),
        marker(1, 7), marker(2, 8),
        batch_of("gzip", [b"b", b"c"], base_offset=3, leader_epoch=0),
        marker(5, 9))))
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        for version in range(4):
            for offset, seen in ((0, [0, 3, 4]), (1, [3, 4]), (4, [3, 4])):
                got = fetch(c, "t", offset, version=version)
                assert [r[0] for r in rows_of(got["Records"])] == seen
            # Nothing is there for them: the head of a message to come.
            assert fetch(c, "t", 5, version=version)["Records"] == \
                struct.pack(">qi", -1, 61)


@pytest.mark.ours
def test_much_is_told_bit_by_bit(make_broker):
    """Many partitions, much in each: the answer stays small, each gets some,
    and going on from there brings all."""
    broker = make_broker().start()
    harness.create_topic(broker, "t", partitions=40)
    value = b"y" * 50000
    with wire.Client(broker.address) as c:
        for p in range(40):
            for n in range(12):
                assert produce(c, "t", batch_of(
                    ("none", "gzip")[n % 2], [value, b"%d" % n]),
                    partition=p)["ErrorCode"] == 0
        before = broker.memory_kib("VmHWM")
        at, seen, turns = [0] * 40, [[] for _ in range(40)], 0
        while any(a < 24 for a in at):
            turns += 1
            answer = c.call("Fetch", 1, MaxWaitMs=0, MinBytes=1, Topics=[
                {"Topic": "t", "Partitions": [
                    {"Partition": p, "FetchOffset": at[p],
                     "PartitionMaxBytes": 1 << 24} for p in range(40)]}])
            total = 0
            for part in answer["Responses"][0]["Partitions"]:
                p, data = part["PartitionIndex"], part["Records"] or b""
                total += len(data)
                rows = [r for r in rows_of(data) if r[0] >= at[p]]
                assert rows or at[p] == 24
                seen[p] += rows
                at[p] += len(rows)
            assert total < 40 * 250000
        assert turns > 1
        for p in range(40):
            assert [r[3] for r in seen[p]] == [
                v for n in range(12) for v in (value, b"%d" % n)]
        with harness.counted(broker, CONVERTED, 1, topic="t"):
            fetch(c, "t", 0, version=0)
        assert broker.metric(CONVERTED, topic="t") >= 40 * 24
        if not harness.sanitized():
            assert broker.memory_kib("VmHWM") < before + 64 * 1024


@pytest.mark.ours
def test_what_cannot_be_converted_leaks_nothing(make_broker):
    """Its last record is of a time that messages cannot tell."""
    broker = make_broker().start()
    harness.create_topic(broker, "t")
    values = [b"y" * 50000] * 20
    with wire.Client(broker.address) as c:
        assert produce(c, "t", batch(
            values, timestamps=[NOW] * 19 + [-5]))["ErrorCode"] == 0
        fetch(c, "t", 0, version=2)
        before = broker.memory_kib("VmRSS")
        for _ in range(100):
            part = fetch(c, "t", 0, version=2)
            assert part["ErrorCode"] == -1 and not part["Records"]
        if not harness.sanitized():
            assert broker.memory_kib("VmRSS") < before + 32 * 1024


@pytest.mark.parametrize("release", ("0.8.2.2", "0.10.1.0"))
@pytest.mark.parametrize("codec", packing.NAMES[:4])
def test_kcat_as_of_old(shared_broker, topic, codec, release):
    lines = [b"line %d %s" % (n, b"." * (n % 70)) for n in range(3000)]
    harness.kcat(shared_broker, "-P", "-t", topic, "-p", 0, "-z", codec,
                 stdin=b"\n".join(lines))
    got = harness.kcat(shared_broker, "-C", "-t", topic, "-p", 0, "-o",
                       "beginning", "-e", "-q", "-X",
                       "api.version.request=false", "-X",
                       f"broker.version.fallback={release}").splitlines()
    assert got == lines
