# SPDX-License-Identifier: Apache-2.0
"""Fetch and ListOffsets, by hand-made requests: long poll, limits, sessions,
ids, offsets out of range, times."""

import threading
import time
import uuid

import pytest

import harness
import wire
from wire import batch, fetch, fetch_request, list_offset, produce

OUT_OF_RANGE, UNKNOWN_TOPIC, UNSUPPORTED_VERSION = 1, 3, 35
NO_SESSION, WRONG_SESSION_EPOCH = 70, 71
FENCED_EPOCH, UNKNOWN_EPOCH, UNKNOWN_ID = 74, 75, 100


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


def topic_id(client, name):
    answer = client.call("Metadata", 12, Topics=[{"Name": name}],
                         AllowAutoTopicCreation=False)
    return answer["Topics"][0]["TopicId"]


def fill(client, topic, count=10, size=100, partition=0):
    for n in range(count):
        assert produce(client, topic, batch([b"%0*d" % (size, n)]),
                       partition=partition)["ErrorCode"] == 0


def call_fetch(client, version, topic, offset, **how):
    """By name or by id, as the version wants it; the whole answer."""
    request = fetch_request(topic, offset, **how)
    if version >= 13:
        for t in request["Topics"]:
            t["TopicId"] = topic_id(client, t["Topic"])
    return client.call("Fetch", version, **request)


# --- versions ----------------------------------------------------------------

@pytest.mark.parametrize("version", range(4, 18))
def test_every_version(client, topic, version):
    fill(client, topic, 3)
    answer = call_fetch(client, version, topic, 1)
    assert answer.get("ErrorCode", 0) == 0
    part = answer["Responses"][0]["Partitions"][0]
    assert part["ErrorCode"] == 0
    assert part["HighWatermark"] == part["LastStableOffset"] == 3
    assert part.get("LogStartOffset", 0) == 0
    assert part["AbortedTransactions"] in (None, [])
    assert [b.base_offset for b in wire.batches(part["Records"])] == [1, 2]


@pytest.mark.parametrize("version", (4, 12, 17))
def test_read_committed(client, topic, version):
    fill(client, topic, 3)
    part = call_fetch(client, version, topic, 0, IsolationLevel=1)[
        "Responses"][0]["Partitions"][0]
    assert part["AbortedTransactions"] == []
    assert len(wire.batches(part["Records"])) == 3


# --- errors ------------------------------------------------------------------

def test_out_of_range(client, topic):
    fill(client, topic, 3)
    for offset in (4, 10**12, -1, -5):
        assert fetch(client, topic, offset)["ErrorCode"] == OUT_OF_RANGE
    at_end = fetch(client, topic, 3, max_wait_ms=1)
    assert (at_end["ErrorCode"], at_end["Records"] or b"") == (0, b"")


def test_unknown_topics(client, topic):
    assert fetch(client, "no-such", 0)["ErrorCode"] == UNKNOWN_TOPIC
    assert fetch(client, topic, 0, partition=1)["ErrorCode"] == UNKNOWN_TOPIC
    request = fetch_request("x", 0)
    request["Topics"][0]["TopicId"] = uuid.uuid4()
    answer = client.call("Fetch", 13, **request)
    assert answer["ErrorCode"] == 0
    assert answer["Responses"][0]["Partitions"][0]["ErrorCode"] == UNKNOWN_ID


def test_leader_epochs(client, topic):
    def with_epoch(epoch):
        request = fetch_request(topic, 0, max_wait_ms=0)
        request["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch
        return client.call("Fetch", 12, **request)["Responses"][0][
            "Partitions"][0]["ErrorCode"]
    assert with_epoch(0) == 0
    assert with_epoch(-1) == 0
    assert with_epoch(1) == UNKNOWN_EPOCH


def test_diverging_epoch(client, topic):
    """A reader whose last epoch has another end here is told so (KIP-595)."""
    fill(client, topic, 3)
    request = fetch_request(topic, 2, max_wait_ms=0)
    part = request["Topics"][0]["Partitions"][0]
    part["LastFetchedEpoch"] = 0
    got = client.call("Fetch", 12, **request)["Responses"][0]["Partitions"][0]
    assert got["ErrorCode"] == 0 and wire.batches(got["Records"])
    part["LastFetchedEpoch"] = 7
    got = client.call("Fetch", 12, **request)["Responses"][0]["Partitions"][0]
    assert got["ErrorCode"] == OUT_OF_RANGE or \
        got["DivergingEpoch"]["EndOffset"] <= 3


# --- long poll ---------------------------------------------------------------

def test_waits_for_bytes(shared_broker, client, topic):
    correlation = client.send("Fetch", 12, **fetch_request(
        topic, 0, max_wait_ms=20000, min_bytes=1))
    with wire.Client(shared_broker.address) as other:
        fill(other, topic, 1)
        part = client.receive(correlation)["Responses"][0]["Partitions"][0]
    assert len(wire.batches(part["Records"])) == 1


def test_waits_for_enough_bytes(shared_broker, client, topic):
    one = len(batch([b"%0100d" % 0]))
    correlation = client.send("Fetch", 12, **fetch_request(
        topic, 0, max_wait_ms=20000, min_bytes=3 * one))
    with wire.Client(shared_broker.address) as other:
        fill(other, topic, 3)
        part = client.receive(correlation)["Responses"][0]["Partitions"][0]
    assert len(wire.batches(part["Records"])) == 3


def test_wait_ends(client, topic):
    fill(client, topic, 1)
    part = fetch(client, topic, 0, max_wait_ms=50, min_bytes=10**6)
    assert len(wire.batches(part["Records"])) == 1
    part = fetch(client, topic, 1, max_wait_ms=50, min_bytes=1)
    assert (part["Records"] or b"") == b""


def test_error_ends_the_wait(shared_broker, client, topic):
    other = f"other-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, other)
    request = fetch_request(topic, 0, max_wait_ms=600000)
    request["Topics"].append({"Topic": other, "Partitions": [
        {"Partition": 0, "FetchOffset": 9, "PartitionMaxBytes": 1000}]})
    answer = client.call("Fetch", 12, **request)
    assert {t["Topic"]: t["Partitions"][0]["ErrorCode"]
            for t in answer["Responses"]} == {topic: 0, other: OUT_OF_RANGE}


def test_abandoned_waits(shared_broker, client, topic):
    """Connections that go while their fetch waits leave nothing behind."""
    for _ in range(200):
        with wire.Client(shared_broker.address) as c:
            c.send("Fetch", 12, **fetch_request(topic, 0,
                                                max_wait_ms=600000))
    fill(client, topic, 1)
    if not shared_broker.real:
        harness.wait_until(lambda: shared_broker.metric(
            "kafka_server_delayedoperationpurgatory_purgatorysize",
            delayedOperation="Fetch") == 0, what="no fetch waits")


# --- limits ------------------------------------------------------------------

def test_partition_limit(client, topic):
    fill(client, topic, 10, size=1000)
    one = len(batch([b"%01000d" % 0]))
    for limit, whole in ((1, 1), (one, 1), (3 * one, 3), (3 * one + 7, 3),
                         (10 * one, 10)):
        part = fetch(client, topic, 0, partition_max_bytes=limit)
        assert len(wire.batches(part["Records"])) == whole
        assert len(part["Records"]) <= max(limit, one)


def test_request_limit(client, shared_broker):
    name = f"limit-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, partitions=4)
    for p in range(4):
        fill(client, name, 4, size=1000, partition=p)
    one = len(batch([b"%01000d" % 0]))
    request = fetch_request(name, 0, max_bytes=5 * one)
    request["Topics"][0]["Partitions"] = [
        {"Partition": p, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}
        for p in range(4)]
    parts = client.call("Fetch", 12, **request)["Responses"][0]["Partitions"]
    assert len(parts) == 4
    counts = [len(wire.batches(p["Records"] or b"")) for p in parts]
    assert counts[0] == 4 and counts[2:] == [0, 0]
    assert sum(len(p["Records"] or b"") for p in parts) <= 5 * one
    request["MaxBytes"] = 0
    parts = client.call("Fetch", 12, **request)["Responses"][0]["Partitions"]
    counts = [len(wire.batches(p["Records"] or b"")) for p in parts]
    assert counts == [1, 0, 0, 0]


def test_from_inside_a_batch(client, topic):
    """The whole batch is given; the reader skips."""
    produce(client, topic, batch([b"%d" % n for n in range(10)]))
    part = fetch(client, topic, 5)
    assert wire.batches(part["Records"])[0].base_offset == 0


# --- sessions ----------------------------------------------------------------

class Session:
    def __init__(self, client, version=12):
        self.client, self.version = client, version
        self.id, self.epoch = 0, 0

    def fetch(self, topics=(), forget=(), **how):
        return self.client.call(
            "Fetch", self.version, MaxWaitMs=how.pop("wait", 0), MinBytes=1,
            MaxBytes=1 << 20, SessionId=self.id, SessionEpoch=self.epoch,
            Topics=list(topics), ForgottenTopicsData=list(forget), **how)

    def next(self, *arguments, **how):
        answer = self.fetch(*arguments, **how)
        assert answer["ErrorCode"] == 0
        self.id = answer["SessionId"]
        self.epoch += 1
        return {(t["Topic"], p["PartitionIndex"]): p
                for t in answer["Responses"] for p in t["Partitions"]}


def part_of(topic, offset, partition=0):
    return {"Topic": topic, "Partitions": [
        {"Partition": partition, "FetchOffset": offset,
         "PartitionMaxBytes": 1 << 20}]}


def test_session(client, shared_broker):
    names = [f"session-{n}-{time.monotonic_ns()}" for n in range(3)]
    for name in names:
        harness.create_topic(shared_broker, name)
    a, b, c = names
    s = Session(client)
    got = s.next([part_of(a, 0), part_of(b, 0)])
    assert s.id != 0 and set(got) == {(a, 0), (b, 0)}
    assert s.next() == {}                       # no news
    fill(client, a, 1)
    got = s.next()
    assert set(got) == {(a, 0)}
    assert len(wire.batches(got[a, 0]["Records"])) == 1
    # the session's offset did not move: the same again
    assert wire.batches(s.next()[a, 0]["Records"])
    assert s.next([part_of(a, 1)]) == {}        # now it did
    fill(client, b, 1)
    fill(client, c, 1)
    assert set(s.next([part_of(c, 0)])) == {(b, 0), (c, 0)}   # one added
    got = s.next(forget=[{"Topic": b, "Partitions": [0]}])
    assert set(got) == {(c, 0)}                               # one forgotten
    got = s.next([part_of(a, 77)])
    assert got[a, 0]["ErrorCode"] == OUT_OF_RANGE
    # errors are told again each time
    assert s.next()[a, 0]["ErrorCode"] == OUT_OF_RANGE


def test_session_errors(client, topic):
    s = Session(client)
    s.next([part_of(topic, 0)])
    right = s.epoch
    for epoch in (right + 1, right + 100, right - 1 or 99):
        s.epoch = epoch
        answer = s.fetch()
        assert answer["ErrorCode"] == WRONG_SESSION_EPOCH
        assert answer["Responses"] == [] and answer["SessionId"] == 0
    s.epoch = right
    s.next()
    kept = s.id
    s.id = kept ^ 0x12345
    assert s.fetch()["ErrorCode"] == NO_SESSION
    s.id = kept
    s.next()


def test_session_ends(client, topic):
    s = Session(client)
    s.next([part_of(topic, 0)])
    old = s.id
    s.epoch = -1
    answer = s.fetch([part_of(topic, 0)])
    assert (answer["ErrorCode"], answer["SessionId"]) == (0, 0)
    assert len(answer["Responses"]) == 1
    s.id, s.epoch = old, 1
    assert s.fetch()["ErrorCode"] == NO_SESSION


def test_session_replaced(client, topic):
    s = Session(client)
    s.next([part_of(topic, 0)])
    old, s.epoch = s.id, 0
    s.next([part_of(topic, 0)])
    assert s.id not in (0, old)
    stale = Session(client)
    stale.id, stale.epoch = old, 1
    assert stale.fetch()["ErrorCode"] == NO_SESSION


def test_empty_session_closes(client, topic):
    s = Session(client)
    s.next([part_of(topic, 0)])
    old = s.id
    s.next(forget=[{"Topic": topic, "Partitions": [0]}])
    assert s.id == 0
    s.id = old
    assert s.fetch()["ErrorCode"] == NO_SESSION


def test_session_long_poll(shared_broker, client, topic):
    s = Session(client)
    s.next([part_of(topic, 0)])
    done = []
    thread = threading.Thread(target=lambda: done.append(s.next(wait=20000)))
    thread.start()
    with wire.Client(shared_broker.address) as other:
        fill(other, topic, 1)
    thread.join()
    assert len(wire.batches(done[0][topic, 0]["Records"])) == 1


def test_session_slots(make_broker):
    """Full of young sessions: a newcomer gets none and is served all the
    same."""
    broker = make_broker(
        max_incremental_fetch_session_cache_slots=8).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as client:
        ids = []
        for _ in range(60):
            s = Session(client)
            got = s.next([part_of("t", 0)])
            assert set(got) == {("t", 0)}
            ids.append(s.id)
        assert sum(1 for i in ids if i) <= 8 and 0 in ids


# --- ListOffsets -------------------------------------------------------------

@pytest.mark.parametrize("version", range(0, 10))
def test_list_offsets_every_version(client, topic, version):
    fill(client, topic, 5)
    for timestamp, offset in ((-1, 5), (-2, 0)):
        answer = client.call("ListOffsets", version, ReplicaId=-1, Topics=[
            {"Name": topic, "Partitions": [
                {"PartitionIndex": 0, "Timestamp": timestamp,
                 **({"MaxNumOffsets": 1} if version == 0 else {})}]}])
        part = answer["Topics"][0]["Partitions"][0]
        assert part["ErrorCode"] == 0
        if version == 0:
            assert part["OldStyleOffsets"] == [offset]
        else:
            assert (part["Offset"], part["Timestamp"]) == (offset, -1)
        if version >= 4:
            assert part["LeaderEpoch"] == 0


def test_offsets_by_time(client, topic):
    for n in range(10):
        produce(client, topic, batch(
            [b"a", b"b"], timestamps=[1000 * n + 5, 1000 * n + 8]))
    def at(timestamp):
        part = list_offset(client, topic, timestamp)
        assert part["ErrorCode"] == 0
        return part["Offset"], part["Timestamp"]
    assert at(0) == (0, 5)
    assert at(5) == (0, 5)
    assert at(6) == (1, 8)
    assert at(9) == (2, 1005)
    assert at(5007) == (11, 5008)
    assert at(9008) == (19, 9008)
    assert at(9009) == (-1, -1)
    assert at(-3) == (19, 9008)
    # the first record of the greatest time counts, not the last record
    produce(client, topic, batch([b"late"], timestamps=[99999]))
    produce(client, topic, batch([b"early"], timestamps=[7]))
    assert at(-3) == (20, 99999)
    assert at(9009) == (20, 99999)
    assert at(-1) == (22, -1)


def test_offsets_of_an_empty_partition(client, topic):
    for timestamp, found in ((-1, 0), (-2, 0), (-3, -1), (0, -1)):
        part = list_offset(client, topic, timestamp)
        assert (part["ErrorCode"], part["Offset"]) == (0, found)


def test_offsets_by_time_across_segments(make_broker):
    broker = make_broker(log_segment_bytes=20000,
                         log_index_interval_bytes=200).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        for n in range(300):
            produce(c, "t", batch([b"x" * 300], timestamps=[10**6 + 10 * n]))
    assert len(broker.log_files("t")) > 3
    for restarted in (False, True):
        with wire.Client(broker.address) as c:
            for n in range(0, 300, 17):
                for before in (0, 9):
                    part = list_offset(c, "t", 10**6 + 10 * n - before)
                    assert (part["Offset"], part["Timestamp"]) == (
                        n, 10**6 + 10 * n)
            assert list_offset(c, "t", -3)["Offset"] == 299
        if not restarted:
            harness.restart(broker, "t")


def test_wrong_queries(client, topic):
    assert list_offset(client, "no-such", -1)["ErrorCode"] == UNKNOWN_TOPIC
    assert list_offset(client, topic, -1, partition=9)["ErrorCode"] == \
        UNKNOWN_TOPIC
    assert list_offset(client, topic, -3, version=6)["ErrorCode"] == \
        UNSUPPORTED_VERSION
    assert list_offset(client, topic, -77)["ErrorCode"] == UNSUPPORTED_VERSION
    assert list_offset(client, "no-such", -77)["ErrorCode"] == \
        UNSUPPORTED_VERSION
    answer = client.call("ListOffsets", 7, ReplicaId=-1, Topics=[
        {"Name": topic, "Partitions": [
            {"PartitionIndex": 0, "Timestamp": -1, "CurrentLeaderEpoch": 5}]}])
    assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == UNKNOWN_EPOCH
    answer = client.call("ListOffsets", 7, ReplicaId=-1, Topics=[
        {"Name": topic, "Partitions": [
            {"PartitionIndex": 0, "Timestamp": -1},
            {"PartitionIndex": 0, "Timestamp": -2}]}])
    assert {p["ErrorCode"] for p in answer["Topics"][0]["Partitions"]} == {42}
