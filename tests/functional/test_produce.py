# SPDX-License-Identifier: Apache-2.0
"""Produce, by hand-made requests: acks, sequences, what is refused and how."""

import struct
import threading
import time
import zlib

import pytest

import harness
import legacy
import wire
from wire import batch, produce, read_all

NONE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE = 0, 2, 3, 10
INVALID_ACKS, INVALID_TIMESTAMP, INVALID_REQUEST = 21, 32, 42
OUT_OF_ORDER, INVALID_EPOCH = 45, 47
UNSUPPORTED_COMPRESSION, INVALID_RECORD = 76, 87


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


def values_of(client, topic):
    return [r[3] for r in read_all(client, topic)]


# --- what is right -----------------------------------------------------------

@pytest.mark.parametrize("version", range(3, 12))
def test_every_version(client, topic, version):
    now = int(time.time() * 1000)
    for n in range(2):
        part = produce(client, topic, batch([b"a", b"b"], timestamp=now),
                       version=version)
        assert part["ErrorCode"] == NONE
        assert part["BaseOffset"] == 2 * n
        assert part["LogAppendTimeMs"] == -1
        assert part.get("LogStartOffset", 0) == 0
        assert part.get("RecordErrors", []) == []
        assert part.get("ErrorMessage") is None
    assert values_of(client, topic) == [b"a", b"b"] * 2


@pytest.mark.parametrize("acks", (1, -1))
def test_acks(client, topic, acks):
    assert produce(client, topic, batch([b"x"]), acks=acks)["ErrorCode"] == 0
    assert values_of(client, topic) == [b"x"]


def test_acks_0(client, topic):
    """No answer; the answer to the next request is the next thing heard."""
    for n in range(5):
        client.send_frame(wire.request_frame(
            "Produce", 9, 1000 + n, Acks=0, TimeoutMs=1000, TopicData=[
                {"Name": topic, "PartitionData": [
                    {"Index": 0, "Records": batch([b"%d" % n])}]}]))
    client.call("ApiVersions", 0)
    assert values_of(client, topic) == [b"0", b"1", b"2", b"3", b"4"]


def test_acks_0_error_closes(client, topic):
    client.send("Produce", 9, Acks=0, TimeoutMs=1000, TopicData=[
        {"Name": topic, "PartitionData": [
            {"Index": 99, "Records": batch([b"x"])}]}])
    assert client.ended()


@pytest.mark.parametrize("acks", (2, -2, 100, -32768))
def test_wrong_acks(client, topic, acks):
    assert produce(client, topic, batch([b"x"]),
                   acks=acks)["ErrorCode"] == INVALID_ACKS
    assert values_of(client, topic) == []


def test_keys_headers_nulls(client, topic):
    rows = [(b"v", b"k", [(b"h", b"1"), (b"h", None)]), (None, None),
            (b"", b""), (None, b"key")]
    assert produce(client, topic, batch(rows))["ErrorCode"] == 0
    got = read_all(client, topic)
    assert [(r[3], r[2], r[4]) for r in got] == [
        (b"v", b"k", [(b"h", b"1"), (b"h", None)]), (None, None, []),
        (b"", b"", []), (None, b"key", [])]


def test_leader_epoch_and_offsets_are_stamped(client, topic):
    produce(client, topic, batch([b"a", b"b", b"c"]))
    produce(client, topic, batch([b"d"], leader_epoch=77))
    found = wire.batches(wire.fetch(client, topic, 0)["Records"])
    assert [(b.base_offset, b.last_offset, b.leader_epoch) for b in found] == [
        (0, 2, 0), (3, 3, 0)]
    assert all(b.valid() for b in found)


def test_gzip_batch_is_kept_as_it_came(client, topic):
    data = batch([b"a" * 50] * 20, attributes=1,
                 compress=lambda p: zlib.compress(p, 1, 31))
    assert produce(client, topic, data)["ErrorCode"] == 0
    found = wire.batches(wire.fetch(client, topic, 0)["Records"])
    assert [b.codec for b in found] == ["gzip"]
    assert found[0].data[61:] == data[61:]


def test_several_partitions_in_one_request(client, shared_broker):
    name = f"many-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, partitions=3)
    answer = client.call(
        "Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=[
            {"Name": name, "PartitionData": [
                {"Index": i, "Records": batch([b"p%d" % i])}
                for i in (2, 0, 7, 1)]},
            {"Name": "no-such-topic", "PartitionData": [
                {"Index": 0, "Records": batch([b"x"])}]}])
    first, second = answer["Responses"]
    assert [(p["Index"], p["ErrorCode"])
            for p in first["PartitionResponses"]] == [
        (2, 0), (0, 0), (7, UNKNOWN_TOPIC), (1, 0)] or sorted(
        (p["Index"], p["ErrorCode"]) for p in first["PartitionResponses"]
    ) == [(0, 0), (1, 0), (2, 0), (7, UNKNOWN_TOPIC)]
    assert second["PartitionResponses"][0]["ErrorCode"] == UNKNOWN_TOPIC
    for i in range(3):
        assert [r[3] for r in read_all(client, name, i)] == [b"p%d" % i]


def test_pipelined_order(client, topic):
    """Many requests before the first answer: offsets and answers in order."""
    count = 500
    sent = [client.send(
        "Produce", 9, Acks=(-1, 1)[n % 2], TimeoutMs=10000, TopicData=[
            {"Name": topic, "PartitionData": [
                {"Index": 0, "Records": batch([b"%d" % n])}]}])
            for n in range(count)]
    for n, correlation in enumerate(sent):
        part = client.receive(correlation)["Responses"][0][
            "PartitionResponses"][0]
        assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)
    assert values_of(client, topic) == [b"%d" % n for n in range(count)]


def test_mixed_pipeline(client, topic):
    """Answers keep the order of the requests, whatever they are."""
    sent = []
    for n in range(30):
        sent.append(client.send(
            "Produce", 9, Acks=-1, TimeoutMs=10000, TopicData=[
                {"Name": topic, "PartitionData": [
                    {"Index": 0, "Records": batch([b"%d" % n])}]}]))
        sent.append(client.send("Fetch", 12, **wire.fetch_request(
            topic, n, max_wait_ms=20)))
        sent.append(client.send("Metadata", 9, Topics=[{"Name": topic}]))
        sent.append(client.send("ApiVersions", 3, ClientSoftwareName="raw",
                                ClientSoftwareVersion="1"))
    for correlation in sent:
        client.receive(correlation)


# --- what is wrong -----------------------------------------------------------

def corrupt_crc():
    return batch([b"x"], crc=1)


def changed_byte():
    data = bytearray(batch([b"hello"]))
    data[-3] ^= 1
    return bytes(data)


WRONG = {
    # name: (batch, the errors that Kafka answers)
    "crc": (corrupt_crc, {CORRUPT}),
    "a changed byte": (changed_byte, {CORRUPT}),
    "magic 0": (lambda: batch([b"x"], magic=0), {INVALID_RECORD, CORRUPT}),
    "magic 1": (lambda: batch([b"x"], magic=1), {INVALID_RECORD, CORRUPT}),
    "magic 3": (lambda: batch([b"x"], magic=3), {CORRUPT}),
    "magic -1": (lambda: batch([b"x"], magic=-1), {CORRUPT}),
    "base offset": (lambda: batch([b"x"], base_offset=5), {INVALID_RECORD}),
    "nothing": (lambda: b"", {INVALID_RECORD}),
    "short header": (lambda: batch([b"x"])[:40], {INVALID_RECORD, CORRUPT}),
    "cut short": (lambda: batch([b"x" * 100])[:-10], {INVALID_RECORD}),
    "two batches": (lambda: batch([b"x"]) * 2, {INVALID_RECORD}),
    "length 0": (lambda: batch([b"x"], length=0), {CORRUPT}),
    "length negative": (lambda: batch([b"x"], length=-1), {CORRUPT}),
    "length huge": (lambda: batch([b"x"], length=0x7fffffff),
                    {INVALID_RECORD, CORRUPT, -1}),
    "count 0": (lambda: batch([b"x"], count=0), {INVALID_RECORD}),
    "count too large": (lambda: batch([b"x"], count=2), {INVALID_RECORD}),
    "count too small": (lambda: batch([b"x", b"y"], count=1),
                        {INVALID_RECORD}),
    "count and delta too large": (
        lambda: batch([b"x"], count=2, last_offset_delta=1),
        {INVALID_RECORD}),
    "count and delta too small": (
        lambda: batch([b"x", b"y"], count=1, last_offset_delta=0),
        {INVALID_RECORD}),
    "count huge": (lambda: batch([b"x"], count=0x7fffffff,
                                 last_offset_delta=0x7ffffffe),
                   {INVALID_RECORD}),
    "count negative": (lambda: batch([b"x"], count=-1), {INVALID_RECORD}),
    "delta negative": (lambda: batch([b"x"], last_offset_delta=-1),
                       {INVALID_RECORD}),
    "control": (lambda: batch([b"x"], attributes=0x20), {INVALID_RECORD}),
    "producer without sequence": (
        lambda: batch([b"x"], producer_id=5, producer_epoch=0),
        {INVALID_RECORD}),
    "record longer than the batch": (
        lambda: batch([], payload=wire.varint(1000) + b"\0" * 20, count=1,
                      last_offset_delta=0), {INVALID_RECORD}),
    "record length negative": (
        lambda: batch([], payload=wire.varint(-5) + b"\0" * 20, count=1,
                      last_offset_delta=0), {INVALID_RECORD}),
    "varint without end": (
        lambda: batch([], payload=b"\xff" * 30, count=1, last_offset_delta=0),
        {INVALID_RECORD, -1}),
    "header count huge": (
        lambda: batch([], payload=wire.varint(9) + b"\0\0\0\x01\x01" +
                      wire.varint(0x7fffffff)[:4] + b"\0" * 10, count=1,
                      last_offset_delta=0), {INVALID_RECORD}),
    "gzip that is none": (lambda: batch([b"x"], attributes=1),
                          {INVALID_RECORD, CORRUPT, -1}),
    "snappy that is none": (
        lambda: batch([], attributes=2, payload=b"\xff" * 40, count=1,
                      last_offset_delta=0), {INVALID_RECORD, CORRUPT, -1}),
    "lz4 that is none": (
        lambda: batch([], attributes=3, payload=b"\xff" * 40, count=1,
                      last_offset_delta=0), {INVALID_RECORD, CORRUPT, -1}),
    "zstd that is none": (
        lambda: batch([], attributes=4, payload=b"\xff" * 40, count=1,
                      last_offset_delta=0),
        {INVALID_RECORD, CORRUPT, UNSUPPORTED_COMPRESSION, -1}),
    "codec 5": (lambda: batch([b"x"], attributes=5),
                {INVALID_RECORD, CORRUPT, UNSUPPORTED_COMPRESSION, -1}),
    "codec 7": (lambda: batch([b"x"], attributes=7),
                {INVALID_RECORD, CORRUPT, UNSUPPORTED_COMPRESSION, -1}),
    "log append time bit": (
        lambda: batch([b"x"], attributes=8, timestamps=[-1]),
        {INVALID_TIMESTAMP}),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("version", (3, 7, 11))
def test_wrong_batch(client, topic, name, version):
    make, errors = WRONG[name]
    part = produce(client, topic, make(), version=version)
    assert part["ErrorCode"] in errors
    assert (part["BaseOffset"], part["LogAppendTimeMs"]) == (-1, -1)
    # and the next one is fine, on this connection
    assert produce(client, topic, batch([b"good"]))["BaseOffset"] == 0
    assert values_of(client, topic) == [b"good"]


def test_random_batches(client, topic, shared_broker):
    """Seeded changes to good batches: an error or an append, never worse."""
    import random
    rng = random.Random(20240820)
    good = batch([(b"value %d" % i, b"key", [(b"h", b"x")])
                  for i in range(20)])
    packed = batch([b"value"] * 50, attributes=1,
                   compress=lambda p: zlib.compress(p, 6, 31))
    for n in range(100 if harness.sanitized() else 400):
        data = bytearray(rng.choice((good, packed)))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(62, len(data)):]
        if rng.random() < 0.9:      # past the checksum
            struct.pack_into(">i", data, 8, len(data) - 12)
            data[16] = 2
            struct.pack_into(">I", data, 17, wire.crc32c(data[21:]))
        part = produce(client, topic, bytes(data), version=9)
        assert part["ErrorCode"] in (-1, 0, 2, 10, 32, 45, 47, 48, 53, 76,
                                     87), (
            n, part)
    offset = wire.list_offset(client, topic, -1)["Offset"]
    part = produce(client, topic, batch([b"after"]))
    assert (part["ErrorCode"], part["BaseOffset"]) == (0, offset)


@pytest.mark.ours
def test_null_records(client, topic):
    """Kafka never answers; here it is an error or the end."""
    try:
        part = produce(client, topic, None)
        assert part["ErrorCode"] in (-1, INVALID_RECORD)
    except wire.Closed:
        pass
    with wire.Client(client_address(client)) as again:
        assert produce(again, topic, batch([b"x"]))["ErrorCode"] == 0


def client_address(client):
    return "%s:%d" % client.socket.getpeername()


def test_unknown_topic_and_partition(client, topic):
    for name, partition in (("no-such", 0), (topic, 1), (topic, -1),
                            ("", 0), ("bad/name", 0)):
        part = produce(client, name, batch([b"x"]), partition=partition)
        assert part["ErrorCode"] in (UNKNOWN_TOPIC, 17), (name, partition)
        assert part["BaseOffset"] == -1


def test_too_large(client, topic):
    limit = 1048588
    fits = batch([b"x" * (limit - 61 - 20)])
    assert len(fits) <= limit
    assert produce(client, topic, fits)["ErrorCode"] == 0
    with_more = batch([b"x" * limit])
    assert produce(client, topic, with_more)["ErrorCode"] == TOO_LARGE
    assert produce(client, topic, batch([b"y"]))["BaseOffset"] == 1


def test_topic_limit_of_size(shared_broker, client):
    name = f"small-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, max_message_bytes=200)
    assert produce(client, name, batch([b"x" * 100]))["ErrorCode"] == 0
    assert produce(client, name, batch([b"x" * 200]))["ErrorCode"] == TOO_LARGE


def test_zstd_needs_version_7(client, topic):
    zstd = batch([], attributes=4, payload=b"\x28\xb5\x2f\xfd\0\0\1\0\0",
                 count=1, last_offset_delta=0)
    part = produce(client, topic, zstd, version=6)
    assert part["ErrorCode"] == UNSUPPORTED_COMPRESSION


def test_record_errors(shared_broker, client):
    """Which records were wrong is told from version 8."""
    name = f"times-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_timestamp_after_max_ms=3600000,
                         message_timestamp_before_max_ms=3600000)
    now = int(time.time() * 1000)
    data = batch([b"a", b"b", b"c", b"d"],
                 timestamps=[now, now + 10**8, now, now - 10**8])
    part = produce(client, name, data, version=8)
    assert part["ErrorCode"] == INVALID_TIMESTAMP
    assert [e["BatchIndex"] for e in part["RecordErrors"]] == [1, 3]
    assert all(e["BatchIndexErrorMessage"] for e in part["RecordErrors"])
    assert part["ErrorMessage"]
    assert produce(client, name, data, version=7)["ErrorCode"] == \
        INVALID_TIMESTAMP
    good = batch([b"a"], timestamps=[now - 3000000])
    assert produce(client, name, good)["ErrorCode"] == 0


def test_log_append_time(shared_broker, client):
    name = f"append-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name,
                         message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    part = produce(client, name, batch([b"a", b"b"], timestamps=[1, 2]))
    assert part["ErrorCode"] == 0
    assert before <= part["LogAppendTimeMs"] <= int(time.time() * 1000)
    found = wire.batches(wire.fetch(client, name, 0)["Records"])[0]
    assert found.attributes == 8 and found.valid()
    assert found.max_timestamp == part["LogAppendTimeMs"]


# --- idempotent producers ----------------------------------------------------

@pytest.fixture
def producer_id(client):
    def ask():
        answer = client.call("InitProducerId", 4, TransactionalId=None,
                             TransactionTimeoutMs=60000)
        return answer if answer["ErrorCode"] == 0 else None
    answer = harness.wait_until(ask, what="a producer id")
    assert answer["ProducerId"] >= 0 and answer["ProducerEpoch"] == 0
    return answer["ProducerId"]


@pytest.mark.parametrize("version", (3, 4, 5))
def test_half_a_producer(client, version):
    """What it was before is told whole, or not at all (KIP-360)."""
    for had in ({"ProducerId": 5}, {"ProducerEpoch": 0}):
        for transactional_id in (None, "t"):
            answer = client.call("InitProducerId", version,
                                 TransactionalId=transactional_id,
                                 TransactionTimeoutMs=60000, **had)
            assert (answer["ErrorCode"], answer["ProducerId"],
                    answer["ProducerEpoch"]) == (INVALID_REQUEST, -1, -1)


def sequenced(value, producer_id, sequence, epoch=0, count=1):
    return batch([value] * count, producer_id=producer_id,
                 producer_epoch=epoch, base_sequence=sequence)


@pytest.mark.parametrize("version", range(0, 6))
def test_producer_ids_differ(client, version):
    seen = set()
    for _ in range(20):
        answer = harness.wait_until(
            lambda: (lambda a: a if a["ErrorCode"] == 0 else None)(
                client.call("InitProducerId", version, TransactionalId=None,
                            TransactionTimeoutMs=60000)))
        seen.add(answer["ProducerId"])
    assert len(seen) == 20


def test_duplicates(client, topic, producer_id):
    """The last five batches of a producer are known again."""
    offsets = []
    for n in range(7):
        part = produce(client, topic,
                       sequenced(b"%d" % n, producer_id, 2 * n, count=2))
        assert part["ErrorCode"] == 0
        offsets.append(part["BaseOffset"])
    assert offsets == list(range(0, 14, 2))
    for n in (6, 2, 4, 3, 5):
        part = produce(client, topic,
                       sequenced(b"%d" % n, producer_id, 2 * n, count=2))
        assert (part["ErrorCode"], part["BaseOffset"]) == (0, offsets[n])
    old = produce(client, topic, sequenced(b"0", producer_id, 0, count=2))
    assert old["ErrorCode"] in (OUT_OF_ORDER, 46)
    assert len(values_of(client, topic)) == 14


def test_gap_in_sequence(client, topic, producer_id):
    assert produce(client, topic,
                   sequenced(b"0", producer_id, 0))["ErrorCode"] == 0
    part = produce(client, topic, sequenced(b"2", producer_id, 2))
    assert part["ErrorCode"] == OUT_OF_ORDER
    assert part["LogStartOffset"] == 0
    assert produce(client, topic,
                   sequenced(b"1", producer_id, 1))["ErrorCode"] == 0
    assert values_of(client, topic) == [b"0", b"1"]


def test_unknown_producer_may_begin_anywhere(client, topic, producer_id):
    assert produce(client, topic,
                   sequenced(b"a", producer_id, 1234))["ErrorCode"] == 0
    assert produce(client, topic,
                   sequenced(b"b", producer_id, 1235))["ErrorCode"] == 0


def test_sequence_wraps(client, topic, producer_id):
    top = 0x7fffffff
    assert produce(client, topic,
                   sequenced(b"a", producer_id, top - 1))["ErrorCode"] == 0
    assert produce(client, topic,
                   sequenced(b"b", producer_id, top))["ErrorCode"] == 0
    assert produce(client, topic,
                   sequenced(b"c", producer_id, 0))["ErrorCode"] == 0
    assert values_of(client, topic) == [b"a", b"b", b"c"]


def test_epochs(client, topic, producer_id):
    assert produce(client, topic, sequenced(
        b"a", producer_id, 0, epoch=1))["ErrorCode"] == 0
    assert produce(client, topic, sequenced(
        b"b", producer_id, 1, epoch=0))["ErrorCode"] == INVALID_EPOCH
    assert produce(client, topic, sequenced(
        b"b", producer_id, 1, epoch=2))["ErrorCode"] == OUT_OF_ORDER
    assert produce(client, topic, sequenced(
        b"b", producer_id, 0, epoch=2))["ErrorCode"] == 0
    assert values_of(client, topic) == [b"a", b"b"]


def test_two_producers_do_not_disturb(client, topic, producer_id):
    other = client.call("InitProducerId", 4, TransactionalId=None,
                        TransactionTimeoutMs=60000)["ProducerId"]
    for n in range(10):
        for p in (producer_id, other):
            assert produce(client, topic,
                           sequenced(b"x", p, n))["ErrorCode"] == 0


@pytest.mark.parametrize("clean", (True, False))
def test_sequences_outlive_a_restart(broker, clean):
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        answer = harness.wait_until(
            lambda: (lambda a: a if a["ErrorCode"] == 0 else None)(c.call(
                "InitProducerId", 4, TransactionalId=None,
                TransactionTimeoutMs=60000)))
        p = answer["ProducerId"]
        for n in range(3):
            assert produce(c, "t", sequenced(b"%d" % n, p, n))["ErrorCode"] == 0
    if clean:
        broker.stop()
    else:
        broker.kill()
        if broker.real:
            pytest.skip("Kafka waits for its old session to expire")
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        part = produce(c, "t", sequenced(b"2", p, 2))
        assert (part["ErrorCode"], part["BaseOffset"]) == (0, 2)
        part = produce(c, "t", sequenced(b"4", p, 4))
        assert part["ErrorCode"] == OUT_OF_ORDER
        assert produce(c, "t", sequenced(b"3", p, 3))["BaseOffset"] == 3
        assert values_of(c, "t") == [b"0", b"1", b"2", b"3"]
        fresh = c.call("InitProducerId", 4, TransactionalId=None,
                       TransactionTimeoutMs=60000)
        if fresh["ErrorCode"] == 0:
            assert fresh["ProducerId"] != p


@pytest.mark.ours
def test_refused_records_are_counted(shared_broker, client, topic):
    """By what is wrong with them, where Kafka tells; as many as there are
    batches."""
    prefix = "kafka_server_brokertopicmetrics_"
    names = ("invalidmagicnumberrecords", "invalidmessagecrcrecords",
             "invalidoffsetorsequencerecords", "nokeycompactedtopicrecords")
    compacted = topic + "-compacted"
    harness.create_topic(shared_broker, compacted, cleanup_policy="compact")
    harness.wait_topic(shared_broker, compacted)

    def counts():
        return [shared_broker.metric(f"{prefix}{name}_total")
                for name in names]
    before = counts()
    expected = [0, 0, 0, 0]
    for nth, error, name, data, version in (
            (1, CORRUPT, topic, corrupt_crc(), 9),
            (1, CORRUPT, topic, legacy.message(b"x", crc=7), 2),
            (0, INVALID_RECORD, topic, legacy.message(b"x", magic=1)
             + legacy.message(b"x", magic=0), 2),
            (2, INVALID_RECORD, topic, batch([b"x"], count=2), 9),
            (2, INVALID_RECORD, topic,
             batch([b"x"], producer_id=5, producer_epoch=0), 9),
            (3, INVALID_RECORD, compacted, batch([b"x", b"y"]), 9),
            (3, INVALID_RECORD, compacted, legacy.message(b"x"), 2),
            (3, INVALID_RECORD, compacted,
             legacy.wrapper(legacy.message(b"x")), 2),
            (None, NONE, compacted, batch([(b"x", b"key")]), 9),
            (None, INVALID_RECORD, topic, batch([b"x"], base_offset=5), 9),
            (None, NONE, topic, batch([b"x"]), 9)):
        assert produce(client, name, data,
                       version=version)["ErrorCode"] == error
        if nth is not None:
            expected[nth] += 1
        # they are counted a moment before the answer
        assert [n - b for n, b in zip(counts(), before)] == expected


def test_concurrent_producers(shared_broker, topic):
    """Many connections at one partition: every offset once, in the order of
    each of them."""
    workers, each = 8, 30 if harness.sanitized() else 150
    found = [None] * workers

    def work(w):
        with wire.Client(shared_broker.address) as c:
            sent = [c.send("Produce", 9, Acks=-1, TimeoutMs=20000, TopicData=[
                {"Name": topic, "PartitionData": [
                    {"Index": 0, "Records": batch([b"%d %d" % (w, n)])}]}])
                    for n in range(each)]
            found[w] = [c.receive(s)["Responses"][0]["PartitionResponses"][0][
                "BaseOffset"] for s in sent]

    threads = [threading.Thread(target=work, args=(w,))
               for w in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(sum(found, [])) == list(range(workers * each))
    assert all(f == sorted(f) for f in found)
    with wire.Client(shared_broker.address) as c:
        rows = read_all(c, topic)
    assert [r[0] for r in rows] == list(range(workers * each))
    for w in range(workers):
        assert [rows[o][3] for o in found[w]] == [
            b"%d %d" % (w, n) for n in range(each)]
