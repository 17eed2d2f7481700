# SPDX-License-Identifier: Apache-2.0
"""Directories of old brokers: logs of magic 0 and 1, plain and compressed, are
loaded, recovered, read by offset and by time, handed to consumers of every
age, kept and let go, and go on in magic 2."""

import os
import time

import pytest

import harness
import packing
import wire
from legacy import (APPEND_TIME, GZIP, LZ4, SNAPPY, flat, message, read_set,
                    wrapper)

OUT_OF_RANGE = 1
NOW = 1700000000000  # long ago
DAY = 86400000


def inner(magic, first, count, stamp):
    return b"".join(message(
        b"v%d" % (first + i), b"k%d" % (first + i), magic=magic,
        offset=i if magic else first + i, timestamp=stamp + i)
        for i in range(count))


def part(magic, first, stamp):
    """30 records: ten plain ones, then wrappers of five, of each codec; the
    last of magic 1 has a broker's append time."""
    out = b"".join(message(
        b"v%d" % (first + i), b"k%d" % (first + i), magic=magic,
        offset=first + i, timestamp=stamp + i) for i in range(10))
    packs = [(GZIP, packing.gzip, 0), (SNAPPY, packing.snappy, 0),
             (LZ4, packing.lz4 if magic else packing.lz4_old, 0),
             (GZIP, packing.gzip, APPEND_TIME if magic else 0)]
    for n, (codec, pack, bits) in enumerate(packs):
        at = 10 + 5 * n
        stamped = stamp + at + 4 if not bits else stamp + 1000
        out += wrapper(inner(magic, first + at, 5, stamp + at), codec, pack,
                       magic=magic, offset=first + at + 4,
                       timestamp=stamped, attributes=bits)
    return out


def expected():
    """(offset, timestamp, key, value) of two segments of magic 0, two of 1."""
    out = []
    for segment in range(4):
        magic, first = segment // 2, 30 * segment
        for i in range(30):
            stamp = NOW + segment * DAY + i if magic else None
            if magic and i >= 25:
                stamp = NOW + segment * DAY + 1000
            out.append((first + i, stamp, b"k%d" % (first + i),
                        b"v%d" % (first + i)))
    return out


def write_old(broker, topic):
    """In the stead of an empty log: four segments, and nothing beside."""
    folder = broker.data / f"{topic}-0"
    for path in folder.iterdir():
        if path.name != "partition.metadata":
            path.unlink()
    for segment in range(4):
        path = folder / ("%020d.log" % (30 * segment))
        path.write_bytes(part(segment // 2, 30 * segment,
                              NOW + segment * DAY))
        stamp = (NOW + segment * DAY) / 1000
        os.utime(path, (stamp, stamp))


@pytest.fixture
def old(make_broker):
    return harness.start_on(make_broker(
        log_retention_ms=-1, log_index_interval_bytes=100), "t", write_old)


def older(rows):
    return [(o, None, k, v) for o, _, k, v in rows]


def collect(client, version, offset=0, size=1 << 20):
    """All records from there, as a consumer of that version goes on."""
    out = []
    while True:
        answer = wire.fetch(client, "t", offset, version=version,
                            max_wait_ms=0, partition_max_bytes=size)
        assert answer["ErrorCode"] == 0
        found, _ = read_set(answer["Records"] or b"")
        rows = [r for r in flat(found) if r[0] >= offset]
        if not rows:
            assert offset == answer["HighWatermark"]
            return out
        out += rows
        offset = rows[-1][0] + 1


def check_old(broker, also=()):
    rows = expected() + list(also)
    with wire.Client(broker.address) as c:
        for version in (0, 1):
            assert collect(c, version) == older(rows)
        for version in (2, 3):
            assert collect(c, version) == rows
        for offset in range(0, 120, 7):
            assert collect(c, 1, offset) == older(rows[offset:])
            assert collect(c, 3, offset, 500) == rows[offset:]
        for row in rows[60:]:
            found = wire.list_offset(c, "t", row[1])
            stamp = min(r[1] for r in rows[60:] if r[1] >= row[1])
            first = next(r[0] for r in rows[60:] if r[1] >= row[1])
            assert (found["Offset"], found["Timestamp"]) == (first, stamp)
        # A segment without times counts by its file's, and is the one that
        # is searched: as in Kafka, nothing is found.
        assert wire.list_offset(c, "t", 0)["Offset"] == -1
        assert wire.list_offset(c, "t", -2)["Offset"] == 0
        assert wire.list_offset(c, "t", -1)["Offset"] == len(rows)


def test_read(old):
    check_old(old)


@pytest.mark.parametrize("version", range(4, 13))
def test_as_it_lies(old, version):
    """Consumers that know better get the bytes of the file."""
    files = {int(p.stem): p.read_bytes() for p in old.log_files("t")}
    with wire.Client(old.address) as c:
        for offset in (0, 3, 9, 10, 14, 15, 29, 30, 60, 66, 88, 119):
            base = offset // 30 * 30
            data = wire.fetch(c, "t", offset, version=version)["Records"]
            assert files[base].endswith(data)
            first = read_set(data)[0][0]
            assert first.offset >= offset
            assert flat([first])[0][0] <= offset
        data = wire.fetch(c, "t", 0, version=version,
                          partition_max_bytes=100)["Records"]
        assert files[0].startswith(data) and len(data) == 100


def test_segments_by_time(old):
    """ListOffsets 0 goes by the time when the file was written last."""
    with wire.Client(old.address) as c:
        def ask(timestamp, count=9):
            return c.call("ListOffsets", 0, ReplicaId=-1, Topics=[
                {"Name": "t", "Partitions": [
                    {"PartitionIndex": 0, "Timestamp": timestamp,
                     "MaxNumOffsets": count}]}])["Topics"][0]["Partitions"][
                         0]["OldStyleOffsets"]
        assert ask(-1) == [120, 90, 60, 30, 0]
        assert ask(-1, 2) == [120, 90]
        assert ask(-2) == [0]
        assert ask(NOW + DAY) == [30, 0]
        assert ask(NOW + 3 * DAY - 1) == [60, 30, 0]
        assert ask(NOW - 1) == []


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_goes_on_in_magic_2(old, how):
    more = []
    with wire.Client(old.address) as c:
        for n, codec in enumerate(packing.NAMES[:4]):
            answer = wire.produce(c, "t", wire.batch(
                [(b"n%d" % n, b"m", [(b"h", b"x")])],
                timestamp=NOW + 9 * DAY + n, attributes=n,
                compress=packing.PACK[codec]))
            assert (answer["ErrorCode"], answer["BaseOffset"]) == (0, 120 + n)
            more.append((120 + n, NOW + 9 * DAY + n, b"m", b"n%d" % n))
    check_old(old, more)
    if how == "stop":
        old.stop()
    else:
        old.kill()
    old.start()
    harness.wait_topic(old, "t")
    check_old(old, more)
    text = (old.data / "t-0" / "leader-epoch-checkpoint").read_text().split()
    assert [w for w in text[2:]][1] == "120"


@pytest.mark.parametrize("damage", ("index", "timeindex", "all", "tail",
                                    "crc"))
def test_recovery(old, damage):
    old.stop()
    files = old.log_files("t")
    good = {p: p.read_bytes() for p in files}
    kept = {suffix: {p.name: p.read_bytes() for p in old.log_files(
        "t", 0, suffix)} for suffix in ("index", "timeindex")}
    assert all(kept["index"].values())
    for suffix in ("index", "timeindex"):
        if damage in (suffix, "all", "tail", "crc"):
            for path in old.log_files("t", 0, suffix):
                path.unlink()
    lost = 0
    if damage in ("tail", "crc", "all"):
        (old.data / ".kafka_cleanshutdown").unlink()
        (old.data / "recovery-point-offset-checkpoint").unlink()
    if damage == "tail":
        files[-1].write_bytes(good[files[-1]][:-3])
        lost = 5
    if damage == "crc":
        # a wrapper of magic 1: it and all behind it go
        data = bytearray(good[files[-1]])
        data[data.rindex(packing.XERIAL[:8]) + 30] ^= 1
        files[-1].write_bytes(data)
        lost = 15
    old.start()
    harness.wait_topic(old, "t")
    with wire.Client(old.address) as c:
        assert collect(c, 3) == expected()[:120 - lost]
    old.stop()
    if not lost and damage != "timeindex":
        for path in old.log_files("t", 0, "index"):
            assert path.read_bytes() == kept["index"][path.name]
        for path in old.log_files("t", 0, "timeindex"):
            assert path.read_bytes() == kept["timeindex"][path.name]


def test_retention(old):
    """By the largest time of a record; of magic 0, by that of the file."""
    old.stop()
    keep = int(time.time() * 1000) - NOW - DAY // 2
    old.set(log_retention_ms=keep,
            log_retention_check_interval_ms=100,
            log_initial_task_delay_ms=10)
    old.start()
    harness.wait_topic(old, "t")
    with wire.Client(old.address) as c:
        harness.wait_until(lambda: wire.list_offset(c, "t", -2)["Offset"] == 30,
                           what="the first segment goes")
        assert wire.fetch(c, "t", 29, version=1)["ErrorCode"] == OUT_OF_RANGE
    old.stop()
    old.set(log_retention_ms=keep - 2 * DAY)
    old.start()
    harness.wait_topic(old, "t")
    with wire.Client(old.address) as c:
        harness.wait_until(lambda: wire.list_offset(c, "t", -2)["Offset"] == 90,
                           what="all but the last go")
        assert collect(c, 3, 90) == expected()[90:]


def test_dump_log(old):
    old.stop()
    for path in old.log_files("t"):
        base = int(path.stem)
        text = old.dump_log("--files", path, "--deep-iteration",
                            "--print-data-log")
        for n in range(base, base + 30):
            assert f"v{n}" in text
        assert "magic: %d" % (base // 60) in text
        assert "isvalid: false" not in text


def test_is_not_written_to(old):
    before = {p.name: p.read_bytes() for p in old.log_files("t")}
    check_old(old)
    harness.restart(old, "t")
    assert {p.name: p.read_bytes() for p in old.log_files("t")} == before
