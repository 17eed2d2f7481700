# SPDX-License-Identifier: Apache-2.0
"""The same requests to barnabasd and to the real Kafka, beside each other:
what a Produce of any version answers, what is stored then, and what consumers
of the oldest versions get of it."""

import itertools
import re
import struct
import time

import pytest

import harness
import packing
import real_kafka
import wire
from legacy import (APPEND_TIME, NOW, fields, flat, message, messages,
                    read_set, wrapper)
from wire import batch, record, varint

HOUR = 3600000
CODECS = packing.NAMES
_names = itertools.count()


class Pair:
    """Ours and the real one, each in a cluster of its own."""

    def __init__(self, brokers):
        self.brokers = brokers
        self.clients = [wire.Client(b.address) for b in brokers]

    def create(self, **configs):
        name = f"differ-{next(_names)}"
        for broker in self.brokers:
            harness.create_topic(broker, name, **configs)
            harness.wait_topic(broker, name)
        return name

    def each(self, ask):
        """Both answers; "closed" where the connection was ended."""
        out = []
        for i, broker in enumerate(self.brokers):
            try:
                out.append(ask(self.clients[i]))
            except wire.Closed:
                out.append("closed")
                self.clients[i] = wire.Client(broker.address)
        return out

    def stored(self, topic):
        """The bytes of the log's segments, of each."""
        return [b"".join(p.read_bytes() for p in broker.log_files(topic))
                for broker in self.brokers]


@pytest.fixture(scope="module")
def pair(zookeeper, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    brokers = [harness.Broker(folder / "ours", zookeeper, 0, "/differ-ours"),
               real_kafka.RealKafka(folder / "real", zookeeper, 0,
                                    "/differ-real")]
    for broker in brokers:
        broker.start()
    yield Pair(brokers)
    for broker in brokers:
        broker.stop()


# --- what is produced --------------------------------------------------------

def packed(codec, values, attributes=0, **how):
    return batch(values, attributes=CODECS.index(codec) | attributes,
                 compress=packing.PACK[codec], **how)


def good_batches():
    now = int(time.time() * 1000)
    old, late = now - 2 * HOUR, now + 2 * HOUR
    rows = [(b"v", b"k", [(b"h", b"1"), (b"h", None)]), (None, None),
            (b"", b""), (None, b"key")]
    for codec in CODECS:
        def made(name, values, **how):
            return f"{codec}: {name}", packed(codec, values, **how)
        yield made("three", [b"a", b"b", b"c"])
        yield made("all kinds", rows)
        yield made("times", [b"x"] * 4,
                   timestamps=[now + 5, now - 7, now + 90, now])
        yield made("no time", [b"x"] * 2, timestamps=[-1, -1])
        yield made("negative time", [b"x"] * 2, timestamps=[-2, -2])
        yield made("some without time", [b"x"] * 3,
                   timestamps=[now, -1, now + 1])
        yield made("old", [b"x"] * 2, timestamps=[now, old])
        yield made("all old", [b"x"] * 5, timestamps=[old] * 5)
        yield made("late", [b"x"] * 3, timestamps=[late, now, late])
        yield made("append time", [b"x"] * 2, attributes=8)
        yield made("append time, none", [b"x", None], attributes=8,
                   timestamps=[-1, -1], max_timestamp=-1)
        yield made("max timestamp wrong", [b"x"] * 2,
                   max_timestamp=now + 77777)
        yield made("offsets jump", [b"x", b"y"],
                   payload=record(b"x") + record(b"y", offset_delta=5))
        yield made("offsets from 1", [b"x", b"y"], payload=record(
            b"x", offset_delta=1) + record(b"y", offset_delta=2))
        yield made("offsets go down", [b"x", b"y"], payload=record(
            b"x", offset_delta=1) + record(b"y", offset_delta=0))
        yield made("unknown bits", [b"x"], attributes=0x80)
        yield made("delete horizon", [b"x"], attributes=0x40)
        yield made("control", [b"x"], attributes=0x20)
        yield made("a count too few", [b"x", b"y"], count=1)
        yield made("a count too many", [b"x", b"y"], count=3)
        yield made("no records", [])
        yield made("a delta too large", [b"x", b"y"], last_offset_delta=5)
        yield made("a record too few", [b"x", b"y"], payload=record(b"x"))
        yield made("a record too many", [b"x"],
                   payload=record(b"x") + record(b"y", offset_delta=1))
        yield made("a wrong crc", [b"x"], crc=1)
        yield made("base offset", [b"x"], base_offset=7)
        yield made("leader epoch", [b"x"], leader_epoch=99)
        yield made("magic 3", [b"x"], magic=3)
        yield made("producer without sequence", [b"x"], producer_id=5,
                   producer_epoch=0)
        yield made("producer without epoch", [b"x"], producer_id=6,
                   base_sequence=0)
        yield made("sequence without producer", [b"x"], base_sequence=9)
        yield made("epoch without producer", [b"x"], producer_epoch=3)
        yield made("a header of negative length", [b"x"], payload=varint(9) +
                   b"\0\0\0" + varint(-1) * 2 + varint(1) + varint(-1) +
                   varint(-1) + b"\0")
        yield made("large", [b"%0*d" % (9000, n) for n in range(9)])
        yield made("half", [b"x" * 60 for n in range(9)])


def odd_batches():
    three = batch([b"a", b"b", b"c"])
    yield "nothing", b""
    yield "a piece", three[:-1]
    yield "a head", three[:20]
    yield "two", three * 2
    yield "a piece behind", three + three[:50]
    yield "garbage behind", three + b"\0" * 40
    yield "size 0", batch([b"x"], length=0)
    yield "size 13", batch([b"x"], length=13)
    yield "size 40", batch([b"x"], length=40)
    for codec in range(1, 8):
        yield f"no stream of codec {codec}", batch([b"x"], attributes=codec)
        yield f"empty stream of codec {codec}", batch(
            [b"x"], attributes=codec, payload=b"")
    yield "two gzip members", packed("gzip", [b"x", b"y"], payload=record(
        b"x") + record(b"y", offset_delta=1)).replace(b"", b"")
    yield "raw snappy", batch([b"x"], attributes=2,
                              compress=packing.snappy_block)
    for count, first in enumerate((0, 2, 1, 4, 0, 2, 9), 1):
        yield f"sequence {count}", batch(
            [b"s%d" % count] * 2, producer_id=77, producer_epoch=0,
            base_sequence=first)
    for epoch, first in ((1, 5), (1, 0), (0, 4), (1, 2)):
        yield f"epoch {epoch} sequence {first}", packed(
            "gzip", [b"e"] * 2, producer_id=77, producer_epoch=epoch,
            base_sequence=first)
    yield "the last sequence", batch([b"w"] * 2, producer_id=78,
                                     producer_epoch=0,
                                     base_sequence=(1 << 31) - 1)
    yield "behind the wrap", batch([b"w"] * 2, producer_id=78,
                                   producer_epoch=0, base_sequence=1)
    yield "the wrap again", batch([b"w"] * 2, producer_id=78,
                                  producer_epoch=0,
                                  base_sequence=(1 << 31) - 1)


def sets():
    now = int(time.time() * 1000)
    packs = {"gzip": packing.gzip, "snappy": packing.snappy}
    for magic in (0, 1):
        def plain(count=3, **how):
            return messages(count, magic=magic, **{"timestamp": now, **how})
        yield f"{magic}: plain", plain()
        yield f"{magic}: null", message(None, magic=magic, timestamp=now)
        yield f"{magic}: crc", plain() + message(b"v", magic=magic, crc=1)
        yield f"{magic}: old", plain(timestamp=now - 2 * HOUR)
        yield f"{magic}: no time", plain(timestamp=-1)
        yield f"{magic}: negative time", plain(timestamp=-2)
        yield f"{magic}: append time", plain(attributes=APPEND_TIME)
        yield f"{magic}: bad key", plain() + message(
            None, magic=magic, timestamp=now, body=b"\0\0\0\x99kkkkkk")
        yield f"{magic}: bad key, then old", message(
            None, magic=magic, timestamp=now, body=b"\0\0\0\x99kkkkkk"
        ) + plain(timestamp=now - 2 * HOUR)
        yield f"{magic}: large", message(b"%09000d" % 1, magic=magic,
                                         timestamp=now) * 9
        for codec, pack in {**packs, "lz4": (
                packing.lz4 if magic else packing.lz4_old)}.items():
            def wrapped(inner, **how):
                return wrapper(inner, CODECS.index(codec), pack, magic=magic,
                               **{"timestamp": now, "offset": 2, **how})
            yield f"{magic} {codec}: three", wrapped(plain())
            yield f"{magic} {codec}: old", wrapped(
                plain(timestamp=now - 2 * HOUR))
            yield f"{magic} {codec}: append time", wrapped(
                plain(), attributes=APPEND_TIME)
            yield f"{magic} {codec}: negative", wrapped(plain(timestamp=-2))
            yield f"{magic} {codec}: bad value", wrapped(message(
                None, magic=magic, timestamp=now,
                body=fields(None, None)[:4] + b"\0\0\0\x99v"))
            yield f"{magic} {codec}: offsets", wrapped(b"".join(
                message(b"v", b"k", magic=magic, offset=o, timestamp=now)
                for o in (5, 3, 0)))
            yield f"{magic} {codec}: large", wrapped(b"".join(
                message(b"%09000d" % n, magic=magic, timestamp=now)
                for n in range(9)))


BATCHES = [*good_batches(), *odd_batches()]
SETS = list(sets())
TOPICS = {
    "default": {},
    "append-time": {"message_timestamp_type": "LogAppendTime"},
    "bounds": {"message_timestamp_before_max_ms": HOUR,
               "message_timestamp_after_max_ms": HOUR},
    "difference": {"message_timestamp_difference_max_ms": HOUR},
    "before": {"message_timestamp_before_max_ms": HOUR},
    "after": {"message_timestamp_after_max_ms": HOUR,
              "message_timestamp_difference_max_ms": 10 * HOUR},
    "uncompressed": {"compression_type": "uncompressed"},
    "gzip": {"compression_type": "gzip", "compression_gzip_level": 9},
    "snappy": {"compression_type": "snappy"},
    "lz4": {"compression_type": "lz4", "compression_lz4_level": 1},
    "zstd": {"compression_type": "zstd", "compression_zstd_level": -5},
    "gzip-append-time": {"compression_type": "gzip",
                         "message_timestamp_type": "LogAppendTime"},
    "zstd-bounds": {"compression_type": "zstd",
                    "message_timestamp_before_max_ms": HOUR},
    "plain-append-time": {"compression_type": "uncompressed",
                          "message_timestamp_type": "LogAppendTime"},
    "small": {"max_message_bytes": 400},
    "small-plain": {"max_message_bytes": 400,
                    "compression_type": "uncompressed"},
    "small-gzip": {"max_message_bytes": 400, "compression_type": "gzip"},
    "small-segment": {"segment_bytes": 400},
    "small-segment-plain": {"segment_bytes": 400,
                            "compression_type": "uncompressed"},
    "small-segment-lz4": {"segment_bytes": 400, "compression_type": "lz4"},
}


def without_clock(part):
    """What may differ by the moment of the call."""
    if part == "closed":
        return part
    part = dict(part)
    if part.get("LogAppendTimeMs", -1) > NOW:
        part["LogAppendTimeMs"] = "now"
    for error in part.get("RecordErrors") or []:
        error["BatchIndexErrorMessage"] = re.sub(
            r"\[-?\d+, -?\d+\]", "[.., ..]", error["BatchIndexErrorMessage"])
    return part


def versions_of(name, is_set):
    # every version gets its share
    if is_set:
        return (2, sum(name.encode()) % 2, 3)
    return (2, 3, 7, 8 + sum(name.encode()) % 4)


# Stored so, but neither broker can tell them to old consumers: the real one
# ends the connection when it comes to one.
UNTELLABLE = ("negative time", "offsets go down")


def produce_all(pair, topic, cases, is_set):
    """What was answered otherwise by one of them, and how much was asked."""
    wrong, asked, drift = [], 0, 0
    for name, data in cases:
        for version in versions_of(name, is_set):
            got = [without_clock(part) for part in pair.each(
                lambda c: wire.produce(c, topic, data, version=version))]
            asked += 1
            if drift is None and [p["ErrorCode"] for p in got] == [0, 0]:
                drift = got[0]["BaseOffset"] - got[1]["BaseOffset"]
            if drift and got[1]["BaseOffset"] >= 0:
                got[1]["BaseOffset"] += drift
            if got[0] != got[1]:
                wrong.append((name, version, *got))
                drift = None
    return wrong, asked


@pytest.mark.parametrize("kind", TOPICS)
def test_produce(pair, kind):
    topic, untellable = (pair.create(**TOPICS[kind]) for _ in range(2))
    append_time = "LogAppendTime" in TOPICS[kind].values()
    hard = [c for c in BATCHES if c[0].endswith(UNTELLABLE)]
    easy = [c for c in BATCHES if c not in hard]
    wrong, total = [], 0
    for where, cases, is_set in ((topic, easy, False), (topic, SETS, True),
                                 (untellable, hard, False)):
        differ, asked = produce_all(pair, where, cases, is_set)
        wrong += differ
        total += asked
    assert not wrong, "\n".join(["", *map(str, wrong)])
    assert total > 500
    for where in (topic, untellable):
        same_batches(*pair.stored(where), append_time, TOPICS[kind])
    old_consumers(pair, topic, append_time)


def same_batches(ours, theirs, append_time, configs):
    ours, theirs = wire.batches(ours), wire.batches(theirs)
    assert len(ours) == len(theirs)
    rebuilt = configs.get("compression_type", "producer") != "producer"
    for a, b in zip(ours, theirs):
        for name in ("base_offset", "magic", "attributes", "leader_epoch",
                     "last_offset_delta", "base_timestamp", "producer_id",
                     "producer_epoch", "base_sequence", "count"):
            assert getattr(a, name) == getattr(b, name), (a.base_offset, name)
        if not append_time:
            assert a.max_timestamp == b.max_timestamp
        assert a.valid() and b.valid()
        if a.data[61:] != b.data[61:]:
            # libraries and levels make different streams of the same
            assert rebuilt or a.base_sequence == -1, a.base_offset
            assert packing.UNPACK[a.codec](a.data[61:]) == \
                packing.UNPACK[b.codec](b.data[61:])


def old_consumers(pair, topic, append_time):
    """Fetch 0 to 3, from every offset that means something."""
    found = wire.batches(pair.stored(topic)[0])
    offsets = sorted({o for b in found for o in (
        b.base_offset, b.base_offset + 1, b.last_offset)})
    end = found[-1].last_offset + 1
    picked = offsets[::len(offsets) // 24] + offsets[-3:] + [end, end + 1]
    for n, offset in enumerate(picked):
        for version in range(4):
            size = (1 << 20, 5000, 300, 100, 40, 11)[(n + version) % 6]
            parts = pair.each(lambda c: wire.fetch(
                c, topic, offset, version=version, max_wait_ms=0,
                partition_max_bytes=size))
            where = (offset, version, size)
            if parts[1] == "closed":
                stops_at_zstd(parts[0], found, offset)
                continue
            assert parts[0] != "closed", where
            data = [p.pop("Records") or b"" for p in parts]
            assert parts[0] == parts[1], (offset, version, size)
            same_messages(*data, append_time, (offset, version, size))


def stops_at_zstd(ours, found, offset):
    """Where a batch of zstd follows and much is still to be filled up, the
    real one (3.9.2) fails and ends the connection."""
    first = next(b.base_offset for b in found
                 if b.codec == "zstd" and b.last_offset >= offset)
    rows = flat(read_set(ours["Records"])[0])
    assert rows[-1][0] == first - 1


def shown(found, append_time):
    return [m if not append_time else m._replace(
        timestamp=None, inner=m.inner and shown(m.inner, True))
        for m in found]


def same_messages(ours, theirs, append_time, where):
    (a, rest_a), (b, rest_b) = read_set(ours), read_set(theirs)
    a, b = shown(a, append_time), shown(b, append_time)
    # Ours never sends a piece of a message, but for the head that says that
    # nothing here is for the consumer.
    if rest_a:
        assert (rest_a, a) == (struct.pack(">qi", -1, 61), []), where
        assert ours == theirs, where
    assert bool(a) == bool(b), where
    # Streams of another library may be longer, so that fewer have room.
    n = min(len(a), len(b))
    assert a[:n] == b[:n], where
    if all(m.inner is None for m in a + b):
        assert len(a) == len(b), where
        assert append_time or theirs.startswith(ours), where
