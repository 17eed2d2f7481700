# SPDX-License-Identifier: Apache-2.0
"""What goes in comes out: by kcat and librdkafka, each codec, restarts."""

import random
import re

import confluent_kafka
import pytest

import harness
import wire
from harness import kcat

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def lines_of_text(count, seed):
    rng = random.Random(seed)
    words = [b"".join(rng.choices([b"a", b"k", b"\xc3\xa9", b"7"], k=n))
             for n in range(1, 30)]
    # librdkafka sends a batch plain that does not get smaller: so that even a
    # single line does
    tail = b"." * 120 + b"\n"
    return b"".join(b"%d " % i + b" ".join(rng.choices(words, k=6)) + tail
                    for i in range(count))


def codecs_in_files(broker, topic, partition=0):
    """By dump-log, and by looking into the files ourselves."""
    said, seen = set(), set()
    for path in broker.log_files(topic, partition):
        text = broker.dump_log("--files", path)
        rows = re.findall(r"baseOffset: .*compresscodec: (\w+)", text)
        found = wire.batches(path.read_bytes())
        assert len(rows) == len(found) and rows
        said |= set(rows)
        seen |= {b.codec for b in found}
    assert said == seen
    return seen


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_of_lines(broker, tmp_path, codec):
    text = lines_of_text(5000 if harness.sanitized() else 100000, codec)
    path = tmp_path / "lines"
    path.write_bytes(text)
    harness.create_topic(broker, "lines")
    kcat(broker, "-P", "-t", "lines", "-p", 0, "-X",
         f"compression.codec={codec}", "-l", path)
    read = ("-C", "-t", "lines", "-p", 0, "-o", "beginning", "-e", "-q")
    assert kcat(broker, *read) == text
    assert codecs_in_files(broker, "lines") == {codec}
    harness.restart(broker, "lines")
    assert kcat(broker, *read) == text
    assert codecs_in_files(broker, "lines") == {codec}


def test_appending_after_a_restart(broker):
    harness.create_topic(broker, "t")
    for n in range(3):
        kcat(broker, "-P", "-t", "t", "-p", 0, stdin=b"line %d\n" % n)
        harness.restart(broker, "t")
    got = kcat(broker, "-C", "-t", "t", "-p", 0, "-o", "beginning", "-e", "-q",
               "-f", "%o %s\n")
    assert got == b"0 line 0\n1 line 1\n2 line 2\n"


def test_partitions_by_key(broker):
    harness.create_topic(broker, "keyed", partitions=5)
    count = 500 if harness.sanitized() else 5000
    text = b"".join(b"key-%d:value %d\n" % (i % 97, i) for i in range(count))
    kcat(broker, "-P", "-t", "keyed", "-K", ":", stdin=text)
    got = kcat(broker, "-C", "-t", "keyed", "-o", "beginning", "-e", "-q",
               "-f", "%p %o %k:%s\n").splitlines()
    assert len(got) == count
    partition_of, values, offsets = {}, {}, {}
    for row in got:
        partition, offset, rest = row.split(b" ", 2)
        key, value = rest.split(b":")
        assert partition_of.setdefault(key, partition) == partition
        values.setdefault(key, []).append(int(value.split()[1]))
        assert int(offset) == offsets.get(partition, -1) + 1
        offsets[partition] = int(offset)
    assert len(offsets) > 1
    for key, seen in values.items():
        assert seen == list(range(int(key[4:]), count, 97))


RECORDS = [
    # key, value, headers, timestamp
    (b"key", b"value", [("h", b"1"), ("h", b"2"), ("empty", b"")], 1),
    (None, b"no key", [], 1700000000000),
    (b"no value", None, [("null", None)], 1700000000001),
    (b"", b"", [], 1600000000000),
    (None, None, [("\u00e9\u4e16", b"\x00\xff")], 1700000000002),
    (b"\x00" * 300, b"\xff" * 70000, [(f"n{i}", b"x") for i in range(50)],
     1700000000003),
]


@pytest.mark.parametrize("codec", CODECS)
def test_keys_headers_timestamps(broker, codec):
    harness.create_topic(broker, "t")
    producer = confluent_kafka.Producer({
        "bootstrap.servers": broker.address, "compression.codec": codec,
        "linger.ms": 50})
    for key, value, headers, timestamp in RECORDS:
        producer.produce("t", key=key, value=value, headers=headers or None,
                         timestamp=timestamp, partition=0)
    assert producer.flush(20) == 0

    def check():
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": broker.address, "group.id": "unused",
            "enable.auto.commit": False})
        consumer.assign([confluent_kafka.TopicPartition("t", 0, 0)])
        for n, (key, value, headers, timestamp) in enumerate(RECORDS):
            m = consumer.poll(20)
            assert m is not None and m.error() is None, m and m.error()
            assert (m.offset(), m.key(), m.value()) == (n, key, value)
            assert m.timestamp() == (1, timestamp)
            assert (m.headers() or []) == headers
        consumer.close()

    check()
    harness.restart(broker, "t")
    check()


def test_many_segments(make_broker, tmp_path):
    """Rolls, and reads across the seams; also after a restart."""
    broker = make_broker(log_segment_bytes=65536,
                         log_index_interval_bytes=512).start()
    harness.create_topic(broker, "t")
    text = lines_of_text(5000, 7)
    kcat(broker, "-P", "-t", "t", "-p", 0, "-X", "batch.num.messages=50",
         stdin=text)
    read = ("-C", "-t", "t", "-p", 0, "-e", "-q", "-o")
    assert kcat(broker, *read, "beginning") == text
    assert len(broker.log_files("t")) > 5
    harness.restart(broker, "t")
    lines = text.splitlines(True)
    assert kcat(broker, *read, "beginning") == text
    for start in (1, 777, 2500, 4999):
        assert kcat(broker, *read, start) == b"".join(lines[start:])


@pytest.mark.ours
@pytest.mark.parametrize("codec", ("none", "lz4"))
def test_our_own_console(broker, codec):
    """barnabas produce and consume."""
    harness.create_topic(broker, "t")
    text = lines_of_text(1000, 3)
    harness.tool(broker, "produce", "--topic", "t", "--compression-codec",
                 codec, stdin=text)
    got = harness.tool(broker, "consume", "--topic", "t", "--from-beginning",
                       "--max-messages", 1000).stdout
    assert got == text
    assert codecs_in_files(broker, "t") == {codec}
    got = harness.tool(broker, "consume", "--topic", "t", "--partition", 0,
                       "--offset", 990, "--max-messages", 10).stdout
    assert got == b"".join(text.splitlines(True)[990:])
