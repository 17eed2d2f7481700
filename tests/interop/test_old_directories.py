# SPDX-License-Identifier: Apache-2.0
"""A directory that the real Kafka wrote in the formats of old: magic 0 and 1,
then 2.  Ours takes it over and answers what the real one answered."""

import pytest

import harness
import packing
import wire
from exchange import swap
from legacy import NOW, message, wrapper

# ListOffsets 0 goes by the clock and by the files' times: the records' own are
# over.
THEN = NOW - 3600000
OLD = {"inter_broker_protocol_version": "2.8", "log_segment_bytes": 3000,
       "log_index_interval_bytes": 300, "log_retention_ms": -1}
TOPICS = {"zero": "0.9.0", "one": "0.10.0"}


def fill(client, topic, first, headers=True):
    """Some sets and batches of each codec; the broker writes them as its
    topic wants them.  Older formats take no headers."""
    at = first
    for n in range(12):
        codec = packing.NAMES[n % 4]
        values = [b"%d-%s" % (at + i, b"." * (37 * (n + i) % 90))
                  for i in range(5)]
        stamp = THEN + 1000 * at
        if n % 3 == 0:
            data, version = wire.batch(
                [(v, b"k", [(b"h", b"x")] * headers) for v in values],
                timestamps=[stamp + i for i in range(5)],
                attributes=n % 4, compress=packing.PACK[codec]), 7
        else:
            data, version = b"".join(message(
                v, b"k", offset=i, timestamp=stamp + i)
                for i, v in enumerate(values)), 2
            if codec != "none":
                data = wrapper(data, n % 4, packing.PACK[codec], offset=4,
                               timestamp=stamp + 4)
        answer = wire.produce(client, topic, data, version=version)
        assert (answer["ErrorCode"], answer["BaseOffset"]) == (0, at)
        at += 5
    return at


def asked(broker, topic, end):
    """What clients of many versions are told."""
    out = {}
    with wire.Client(broker.address) as c:
        for offset in range(0, end + 1, 4):
            for version in range(13):
                for size in (1 << 20, 200):
                    part = wire.fetch(c, topic, offset, version=version,
                                      max_wait_ms=0, partition_max_bytes=size)
                    out[offset, version, size] = part
        for timestamp in [THEN + n for n in range(-1, 1000 * end, 777)] + [
                -1, -2, -3, 0]:
            found = wire.list_offset(c, topic, timestamp)
            found.pop("LeaderEpoch")
            out["time", timestamp] = found
        written = [p.stat().st_mtime_ns // 1000000
                   for p in broker.log_files(topic)]
        for timestamp in {-1, -2, THEN, *written, *[t - 1 for t in written]}:
            out["segments", timestamp] = c.call(
                "ListOffsets", 0, ReplicaId=-1, Topics=[
                    {"Name": topic, "Partitions": [
                        {"PartitionIndex": 0, "Timestamp": timestamp,
                         "MaxNumOffsets": 99}]}])
    return out


def same(ours, theirs):
    from test_records_differ import same_messages
    assert ours.keys() == theirs.keys()
    for key, mine in ours.items():
        its = theirs[key]
        if key[0] in ("time", "segments") or key[1] >= 4:
            assert mine == its, key
            continue
        data = [p.pop("Records") or b"" for p in (mine, its)]
        assert mine == its, key
        same_messages(*data, False, key)


@pytest.mark.parametrize("recover", (False, True), ids=("clean", "recovered"))
def test_taken_over(make_broker, make_kafka, recover):
    kafka = make_kafka(0, **OLD).start(90)
    ends = {}
    with wire.Client(kafka.address) as c:
        for topic, form in TOPICS.items():
            harness.create_topic(kafka, topic, message_format_version=form)
            harness.wait_topic(kafka, topic)
            ends[topic] = fill(c, topic, 0, headers=False)
    kafka.stop()
    for topic in TOPICS:
        kinds = {p.read_bytes()[16] for p in kafka.log_files(topic)}
        assert kinds == {list(TOPICS).index(topic)}
    kafka.set(inter_broker_protocol_version=None)
    kafka.start(90)
    told = {}
    with wire.Client(kafka.address) as c:
        for topic in TOPICS:
            harness.wait_topic(kafka, topic)
            ends[topic] = fill(c, topic, ends[topic])
    for topic in TOPICS:
        told[topic] = asked(kafka, topic, ends[topic])
    kafka.stop()
    kept = {p: p.read_bytes() for topic in TOPICS
            for suffix in ("log", "index", "timeindex")
            for p in kafka.log_files(topic, 0, suffix)}
    ours = make_broker(0, **{k: v for k, v in OLD.items()
                             if not k.startswith("inter")})
    swap(kafka, ours)
    if recover:
        for path in kafka.data.iterdir():
            if path.name.startswith((".kafka_clean", "recovery-point")):
                path.unlink()
    ours.start()
    for topic in TOPICS:
        harness.wait_topic(ours, topic)
        same(asked(ours, topic, ends[topic]), told[topic])
        with wire.Client(ours.address) as c:
            ends[topic] = fill(c, topic, ends[topic])
    ours.stop()
    for path, data in kept.items():
        if path.suffix == ".log" or not recover:
            assert path.read_bytes().startswith(data), path
    # and back
    told = {}
    kafka.start(90)
    for topic in TOPICS:
        harness.wait_topic(kafka, topic)
        told[topic] = asked(kafka, topic, ends[topic])
    kafka.stop()
    ours.start()
    for topic in TOPICS:
        harness.wait_topic(ours, topic)
        same(asked(ours, topic, ends[topic]), told[topic])
