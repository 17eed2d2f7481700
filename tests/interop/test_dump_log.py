# SPDX-License-Identifier: Apache-2.0
"""The real kafka-dump-log over what barnabasd wrote, and ours over what the
real Kafka wrote."""

import random
import re

import pytest

import harness
import wire

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
WRONG = re.compile(rb"isvalid: false|Mismatches|Non-consecutive|non-consec"
                   rb"|should not be|Found timestamp mismatch|out of order"
                   rb"|not found|Exception|Error|corrupt|invalid", re.I)


def fill(broker, topic, codec, count=3000):
    rng = random.Random(count)
    lines = b"".join(b"key-%d:line %d %s\n" % (
        n % 31, n, rng.randbytes(40).hex().encode()) for n in range(count))
    harness.kcat(broker, "-P", "-t", topic, "-p", 0, "-K:", "-X",
                 f"compression.codec={codec}", "-X", "batch.num.messages=40",
                 "-H", "a=b", stdin=lines)


def real_says_nothing(java, files, compacted=False):
    """With all its checks; but those for gaps are not for what is
    compacted."""
    for arguments in ((("--index-sanity-check",),
                       ("--index-sanity-check", "--verify-index-only"))
                      if compacted else
                      (("--deep-iteration",),
                       ("--index-sanity-check",),
                       ("--deep-iteration", "--index-sanity-check",
                        "--verify-index-only"))):
        status, out = java.run("kafka-dump-log", *arguments, "--files",
                               ",".join(map(str, files)))
        assert status == 0 and not WRONG.search(out), out[-3000:]
        assert not WRONG.search(java.err), java.err[-3000:]


def files_of(broker, topic):
    """Of the four kinds that it reads."""
    kinds = [broker.log_files(topic, 0, suffix)
             for suffix in ("log", "index", "timeindex", "snapshot")]
    assert all(kinds[:3])
    return sum(kinds, [])


@pytest.mark.parametrize("codec", CODECS)
def test_ours_by_the_real_one(make_broker, java, codec):
    """Running, rolled, stopped, killed and recovered."""
    broker = make_broker(log_segment_bytes=60000,
                         log_index_interval_bytes=600).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", codec)
    assert len(broker.log_files("t")) > 1
    broker.stop()
    real_says_nothing(java, files_of(broker, "t"))
    if codec not in ("none", "lz4"):
        return
    broker.start()
    harness.wait_topic(broker, "t")
    fill(broker, "t", codec, 500)
    broker.kill()
    broker.start()
    harness.wait_topic(broker, "t")
    broker.stop()
    real_says_nothing(java, files_of(broker, "t"))


def test_the_real_one_would_tell(make_broker, java):
    """So that silence means something: the same checks on damaged files."""
    broker = make_broker(log_segment_bytes=60000,
                         log_index_interval_bytes=600).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", "none")
    broker.stop()
    for suffix, at in (("log", 100), ("index", 5), ("timeindex", 3)):
        path = broker.log_files("t", 0, suffix)[0]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[at] ^= 0x55
        path.write_bytes(bad)
        with pytest.raises(AssertionError):
            real_says_nothing(java, files_of(broker, "t"))
        path.write_bytes(good)
    real_says_nothing(java, files_of(broker, "t"))


def test_idempotent_producers(make_broker, java):
    broker = make_broker(log_segment_bytes=30000).start()
    harness.create_topic(broker, "t")
    harness.kcat(broker, "-P", "-t", "t", "-p", 0, "-X",
                 "enable.idempotence=true", "-X", "batch.num.messages=10",
                 stdin=b"".join(b"%d %s\n" % (n, b"z" * 80)
                                for n in range(1000)))
    broker.stop()
    real_says_nothing(java, files_of(broker, "t"))


def rows(text):
    """Fields of each batch line, whatever their order."""
    out = []
    for line in text.splitlines():
        if "baseOffset:" in line or line.lstrip().startswith("offset:"):
            out.append(dict(re.findall(r"(\w+): (\S+)", line)))
    return out


@pytest.mark.parametrize("codec", CODECS)
def test_theirs_by_ours(make_kafka, make_broker, java, codec):
    kafka = make_kafka(0, log_segment_bytes=60000,
                       log_index_interval_bytes=600).start()
    harness.create_topic(kafka, "t")
    fill(kafka, "t", codec)
    kafka.stop()
    ours = make_broker(1)   # never started: for its dump_log
    for suffix in ("log", "index", "timeindex"):
        for path in kafka.log_files("t", 0, suffix):
            theirs = java.run("kafka-dump-log", "--files",
                              path)[1].decode()
            mine = ours.dump_log("--files", path)
            if suffix == "log":
                assert rows(mine) == rows(theirs) and rows(mine)
            else:
                def entries(text):
                    return re.findall(r"(?:offset|timestamp): \d+.*", text)
                assert entries(mine) == entries(theirs)
            harness.run(harness.TOOL, "dump-log", "--index-sanity-check",
                        "--deep-iteration", "--files", path)


def test_printed_records(broker, java):
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        wire.produce(c, "t", wire.batch([(b"v1", b"k1", [(b"h", b"x")]),
                                         (None, b"k2"), (b"v3", None)]))
    broker.stop()
    path = broker.log_files("t")[0]
    arguments = ("--print-data-log", "--files", path)
    theirs = java.run("kafka-dump-log", *arguments)[1].decode()
    assert rows(broker.dump_log(*arguments)) == rows(theirs)
    assert "payload: v1" in broker.dump_log(*arguments)
