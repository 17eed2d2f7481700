# SPDX-License-Identifier: Apache-2.0
"""One directory, compacted by ours and by the real Kafka: the same batches are
left; and each goes on where the other was."""

import shutil
import struct

import pytest

import harness
import legacy
import packing
import wire
from exchange import compactions, swap

confluent_kafka = pytest.importorskip("confluent_kafka")

OPTIONS = {"log_segment_bytes": 6000, "log_index_interval_bytes": 300,
           "zookeeper_session_timeout_ms": 30000,
           "log_cleaner_backoff_ms": 200, "log_cleaner_threads": 1,
           "log_cleaner_min_cleanable_ratio": "0.01",
           "log_cleaner_delete_retention_ms": 1,
           "log_segment_delete_delay_ms": 500,
           "transaction_state_log_num_partitions": 1,
           "offsets_topic_num_partitions": 1}
HORIZON = 0x40
TRANSACTIONAL = 0x10


def produce(client, rows, size):
    for key, value in rows:
        client.produce("t", None if value is None else
                       b"%s-%s" % (key.encode(), value) + b"." * size,
                       key=key.encode(), partition=0)
    assert client.flush(60) == 0


def fill(broker):
    """Every codec, transactions of both ends, tombstones, batches of which some
    records stay, and producers that come back."""
    for turn in range(3):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            plain = confluent_kafka.Producer({
                "bootstrap.servers": broker.address, "linger.ms": 500,
                "compression.type": codec, "enable.idempotence": turn != 1})
            produce(plain, [(f"{codec}-{n}", b"%d" % turn) for n in range(
                0, 9, turn + 1)], 80)
            produce(plain, [(f"{codec}-{n}", None) for n in (0, 3)
                            if turn > 0], 0)
        for name in ("commits", "aborts"):
            writer = confluent_kafka.Producer({
                "bootstrap.servers": broker.address, "transactional.id":
                f"{name}-{turn // 2}", "linger.ms": 5})
            writer.init_transactions(60)
            for n in range(3):
                writer.begin_transaction()
                produce(writer, [(f"{name}-{n}", b"%d" % turn),
                                 ("both", b"%d" % turn)], 200)
                if name == "commits":
                    writer.commit_transaction(60)
                else:
                    writer.abort_transaction(60)


def close_segment(broker):
    """What was written before can be compacted."""
    with wire.Client(broker.address) as c:
        for _ in range(8):
            assert wire.produce(c, "t", wire.batch(
                [(b"x" * 1000, b"filler", [])]))["ErrorCode"] == 0


def cleaned_to(broker, since=0):
    return max((to for _, to in compactions(broker, "t-0", since)),
               default=-1)


def active_base(broker):
    return int(broker.log_files("t")[-1].name[:20])


def wait_cleaned(broker, since=0):
    """All but the active segment."""
    harness.wait_until(lambda: cleaned_to(broker, since) >=
                       active_base(broker), 120, "compacted")


def committed(broker):
    """Keys' last values, as who reads committed records has them."""
    client = confluent_kafka.Consumer({
        "bootstrap.servers": broker.address, "group.id": "none",
        "enable.auto.commit": False, "isolation.level": "read_committed",
        "enable.partition.eof": True})
    client.assign([confluent_kafka.TopicPartition(
        "t", 0, confluent_kafka.OFFSET_BEGINNING)])
    out = {}
    while True:
        message = client.poll(60)
        assert message is not None
        if message.error():
            assert message.error().code() == \
                confluent_kafka.KafkaError._PARTITION_EOF
            break
        out[message.key().decode()] = message.value()
    client.close()
    return {k: v for k, v in out.items() if v is not None}


def marks_epoch(b):
    """Where a leader epoch began, and nothing of it is left: Kafka takes that
    away (doc/differences.md)."""
    return b.count == 0 and b.producer_id < 0


def left(broker):
    """Every batch of closed segments; what depends on when it was compacted is
    left out."""
    out = []
    for path in broker.log_files("t")[:-1]:
        for b in wire.batches(path.read_bytes()):
            assert b.valid(), (path, b.base_offset)
            if marks_epoch(b):
                continue
            head = b.data[:17] + b.data[21:27] + b.data[35:61]
            if not b.attributes & HORIZON:
                head += b.data[17:21] + b.data[27:35]
                # zstd, lz4 and gzip may pack otherwise
                head = head[:8] + head[12:17] + head[17:43] if \
                    b.attributes & 7 else head
            else:
                head = head[:8] + head[12:]
            out.append((b.base_offset, head, b.records() if b.count else []))
    return out


def bytes_left(directory):
    return [b.data for path in sorted(directory.glob("t-0/*.log"))
            for b in wire.batches(path.read_bytes())]


def aborted(broker):
    return [p.read_bytes() for p in broker.log_files("t", suffix="txnindex")
            if p.stat().st_size]


class Pair:
    """Ours and the real one, which take turns with one directory."""

    def __init__(self, make_broker, theirs):
        """It is what theirs has written; that is stopped."""
        self.theirs, self.ours = theirs, make_broker(0, **OPTIONS)
        swap(theirs, self.ours)
        theirs.set(log_cleaner_enable="true",
                   inter_broker_protocol_version=None)
        self.kept = self.put_by("kept")

    def put_by(self, name):
        path = self.ours.data.with_name(name)
        shutil.copytree(self.ours.data, path)
        return path

    def run(self, broker, directory, told, times=1, more=False):
        """Compacts a copy of the directory; what may be read then."""
        shutil.rmtree(broker.data)
        shutil.copytree(directory, broker.data)
        for _ in range(times):
            since = len(broker.log()) if broker.log_path.exists() else 0
            broker.start(180)
            harness.wait_topic(broker, "t")
            if more:
                close_segment(broker)
            wait_cleaned(broker, since)
            assert unfilled(committed(broker)) == unfilled(told)
            broker.stop()


def unfilled(values):
    return {k: v for k, v in values.items() if k != "filler"}


@pytest.mark.slow
def test_same_batches(make_broker, make_kafka):
    """Both compact the same directory; then each compacts further what the
    other left."""
    theirs = make_kafka(0, **OPTIONS, log_cleaner_enable="false")
    theirs.start(180)
    harness.create_topic(theirs, "t", cleanup_policy="compact")
    harness.wait_topic(theirs, "t")
    fill(theirs)
    close_segment(theirs)
    told = committed(theirs)
    theirs.stop()
    pair = Pair(make_broker, theirs)

    results, directories = {}, {}
    for name, broker in (("ours", pair.ours), ("theirs", theirs)):
        pair.run(broker, pair.kept, told)
        results[name] = left(broker), aborted(broker)
        directories[name] = pair.put_by(name)
    assert [row[0] for row in results["ours"][0]] == [
        row[0] for row in results["theirs"][0]]
    for mine, real in zip(results["ours"][0], results["theirs"][0]):
        assert mine == real
    assert results["ours"][1] == results["theirs"][1]
    # of every kind there are some
    batches = [wire.Batch(data) for data in bytes_left(directories["ours"])]
    assert sum((b.attributes & HORIZON) != 0 for b in batches) > 3
    assert sum(b.count == 0 for b in batches) > 1
    assert sum(0 < b.count <= b.last_offset_delta for b in batches) > 1
    assert {b.codec for b in batches} == set(wire.Batch.CODECS)
    assert results["ours"][1]

    # tombstones and markers have their horizons by now: these have passed
    for name, broker in (("ours", theirs), ("theirs", pair.ours)):
        pair.run(broker, directories[name], told, times=3, more=True)
        with_tombstones = [
            key for _, _, records in left(broker)
            for _, _, key, value, _ in records if value is None]
        results[name] = [row[0] for row in left(broker)]
        assert not with_tombstones
    assert results["ours"] == results["theirs"]


# --- what old brokers have left ----------------------------------------------

def fill_old(broker):
    """Messages, which the broker writes as its topic wants them, plain and in
    wrappers: some of whose messages go, all, or none; tombstones."""
    with wire.Client(broker.address) as c:
        for n in range(36):
            codec = packing.NAMES[n % 4]
            rows = [(b"%s-%d" % (codec.encode(), (n * 5 + i) % (7 + n % 23)),
                     None if (n + i) % 8 == 0 else b"%d-%d" % (n, i)
                     + b"." * 70) for i in range(6)]
            if n % 12 == 11:    # none of these is written to again
                rows = [(b"last-%d-%d" % (n, i), v) for i, (_, v) in
                        enumerate(rows)]
            data = b"".join(legacy.message(
                v, k, offset=i if codec != "none" else 0,
                timestamp=legacy.NOW - 60000 + n * 100 + i)
                for i, (k, v) in enumerate(rows))
            if codec != "none":
                data = legacy.wrapper(
                    data, n % 4, packing.PACK[codec], offset=5,
                    timestamp=legacy.NOW - 60000 + n * 100 + 5)
            assert wire.produce(c, "t", data, version=2)["ErrorCode"] == 0


def messages_left(broker):
    """As left(), of any magic: wrappers with what is in them."""
    out = []
    for path in broker.log_files("t")[:-1]:
        data = path.read_bytes()
        while data:
            size = 12 + struct.unpack_from(">i", data, 8)[0]
            if data[16] == 2:
                b = wire.Batch(data[:size])
                assert b.valid()
                if not marks_epoch(b):
                    out.append((b.base_offset, 2, b.attributes, b.records()))
            else:
                (message,), rest = legacy.read_set(data[:size])
                assert rest == b""
                out.append(message)
            data = data[size:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("magic", (0, 1))
def test_old_messages(make_broker, make_kafka, magic):
    """Of magic 0 or 1, with batches of magic 2 behind them."""
    theirs = make_kafka(0, **OPTIONS, log_cleaner_enable="false",
                        inter_broker_protocol_version="2.8")
    theirs.start(180)
    harness.create_topic(
        theirs, "t", cleanup_policy="compact",
        message_format_version="0.10.0" if magic else "0.9.0")
    harness.wait_topic(theirs, "t")
    fill_old(theirs)
    theirs.stop()
    assert {p.read_bytes()[16] for p in theirs.log_files("t")} == {magic}
    theirs.set(inter_broker_protocol_version=None)
    theirs.start(180)
    harness.wait_topic(theirs, "t")
    with wire.Client(theirs.address) as c:
        assert wire.produce(c, "t", wire.batch(
            [(b"new" * 9, b"snappy-%d" % n) for n in range(4)]))[
                "ErrorCode"] == 0
    close_segment(theirs)
    told = committed(theirs)
    theirs.stop()
    pair = Pair(make_broker, theirs)

    results, directories = {}, {}
    for name, broker in (("ours", pair.ours), ("theirs", theirs)):
        pair.run(broker, pair.kept, told)
        results[name] = messages_left(broker)
        directories[name] = pair.put_by(name)
    for mine, real in zip(results["ours"], results["theirs"]):
        assert mine == real
    assert len(results["ours"]) == len(results["theirs"])
    kinds = {m.attributes & 7 for m in results["ours"]
             if isinstance(m, legacy.Message)}
    assert kinds == {0, 1, 2, 3}
    inner = [len(m.inner) for m in results["ours"]
             if isinstance(m, legacy.Message) and m.inner]
    assert min(inner) < 6 and max(inner) == 6

    for name, broker in (("ours", theirs), ("theirs", pair.ours)):
        pair.run(broker, directories[name], told, times=2, more=True)
        results[name] = [m for m in messages_left(broker) if isinstance(
            m, legacy.Message) or m[3][0][2] != b"filler"]
    assert results["ours"] == results["theirs"] and results["ours"]
