# SPDX-License-Identifier: Apache-2.0
"""What brokers tell of their logs: OffsetForLeaderEpoch, DescribeLogDirs,
DescribeProducers, the special timestamps of ListOffsets."""

import os
import time

import pytest

import harness
import wire

NONE, UNKNOWN_TOPIC, NOT_LEADER, INVALID_TOPIC = 0, 3, 6, 17
UNSUPPORTED_VERSION, STORAGE, FENCED, UNKNOWN_EPOCH = 35, 56, 74, 75


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


@pytest.fixture
def filled(shared_broker, topic):
    """A topic with five records of 100, 200, .. ms, the fourth the latest."""
    harness.wait_topic(shared_broker, topic)
    with wire.Client(shared_broker.address) as c:
        for stamp in (100, 200, 300, 900, 500):
            part = wire.produce(c, topic, wire.batch(
                [b"x"], timestamp=stamp))
            assert part["ErrorCode"] == NONE, part
    return topic


# --- OffsetForLeaderEpoch ----------------------------------------------------

def epoch_end(client, topic, epoch, version=4, partition=0, current=None):
    row = {"Partition": partition, "LeaderEpoch": epoch}
    if current is not None:
        row["CurrentLeaderEpoch"] = current
    more = {"ReplicaId": -1} if version >= 3 else {}
    topics = client.call("OffsetForLeaderEpoch", version, Topics=[
        {"Topic": topic, "Partitions": [row]}], **more)["Topics"]
    assert [t["Topic"] for t in topics] == [topic]
    part = topics[0]["Partitions"][0]
    assert part["Partition"] == partition
    return (part["ErrorCode"], part.get("LeaderEpoch", -1),
            part["EndOffset"])


@pytest.mark.parametrize("version", range(0, 5))
def test_epoch_end(client, filled, version):
    known = 0 if version >= 1 else -1
    assert epoch_end(client, filled, 0, version) == (NONE, known, 5)
    assert epoch_end(client, filled, 1, version) == (NONE, -1, -1)
    assert epoch_end(client, filled, -1, version) == (NONE, -1, -1)
    assert epoch_end(client, "no-such", 0, version) == (
        UNKNOWN_TOPIC, -1, -1)
    assert epoch_end(client, filled, 0, version, 9) == (
        UNKNOWN_TOPIC, -1, -1)
    if version >= 2:
        assert epoch_end(client, filled, 0, version, current=0) == (
            NONE, 0, 5)
        assert epoch_end(client, filled, 0, version, current=1) == (
            UNKNOWN_EPOCH, -1, -1)


# --- DescribeLogDirs ---------------------------------------------------------

def log_dirs(client, version=4, topics=None):
    answer = client.call("DescribeLogDirs", version, Topics=topics)
    if version >= 3:
        assert answer["ErrorCode"] == NONE
    return {r["LogDir"]: r for r in answer["Results"]}


def logs_of(result):
    return {(t["Name"], p["PartitionIndex"]): p
            for t in result["Topics"] for p in t["Partitions"]}


@pytest.mark.parametrize("version", range(1, 5))
def test_log_dirs(shared_broker, client, filled, version):
    path = str(shared_broker.data)
    found = log_dirs(client, version)
    assert set(found) == {path}
    assert found[path]["ErrorCode"] == NONE
    part = logs_of(found[path])[filled, 0]
    size = sum(os.stat(f).st_size
               for f in shared_broker.log_files(filled))
    assert (part["PartitionSize"], part["OffsetLag"],
            part["IsFutureKey"]) == (size, 0, False)
    if version >= 4:
        space = os.statvfs(path)
        assert found[path]["TotalBytes"] == space.f_blocks * space.f_frsize
        assert 0 < found[path]["UsableBytes"] < found[path]["TotalBytes"]
    # none, and some of which not all are there
    assert logs_of(log_dirs(client, version, [])[path]) == {}
    assert set(logs_of(log_dirs(client, version, [
        {"Topic": filled, "Partitions": [0, 5]},
        {"Topic": "no-such", "Partitions": [0]}])[path])) == {(filled, 0)}
    assert logs_of(log_dirs(client, version, [
        {"Topic": filled, "Partitions": []}])[path]) == {}


def test_log_dirs_version_0(shared_broker, client, filled):
    assert (filled, 0) in logs_of(log_dirs(client, 0)[
        str(shared_broker.data)])


def test_log_dirs_many_and_one_offline(make_broker, tmp_path):
    broker = make_broker()
    (tmp_path / "file").write_text("no directory")
    bad = tmp_path / "file" / "logs"
    more = tmp_path / "more"
    broker.set(log_dirs=f"{broker.data},{more},{bad}")
    broker.start()
    for name in ("one", "two"):
        harness.create_topic(broker, name, 2)
        harness.wait_topic(broker, name, 2)
    with wire.Client(broker.address) as client:
        found = log_dirs(client)
        assert set(found) == {str(broker.data), str(more), str(bad)}
        assert found[str(bad)]["ErrorCode"] == STORAGE
        assert found[str(bad)]["Topics"] == []
        assert (found[str(bad)]["TotalBytes"],
                found[str(bad)]["UsableBytes"]) == (-1, -1)
        here = logs_of(found[str(broker.data)])
        there = logs_of(found[str(more)])
        assert len(here) == len(there) == 2
        assert set(here) | set(there) == {
            (n, p) for n in ("one", "two") for p in (0, 1)}


# --- DescribeProducers -------------------------------------------------------

def producers(client, topic, partition=0):
    topics = client.call("DescribeProducers", 0, Topics=[
        {"Name": topic, "PartitionIndexes": [partition]}])["Topics"]
    assert [t["Name"] for t in topics] == [topic]
    part = topics[0]["Partitions"][0]
    assert part["PartitionIndex"] == partition
    return part


def test_producers(client, topic, shared_broker):
    harness.wait_topic(shared_broker, topic)
    assert producers(client, topic) == {
        "PartitionIndex": 0, "ErrorCode": NONE, "ErrorMessage": None,
        "ActiveProducers": []}
    now = int(time.time() * 1000)
    for producer, sequences in ((4242, (0, 1, 2)), (17, (0,))):
        for s in sequences:
            part = wire.produce(client, topic, wire.batch(
                [b"a", b"b"], timestamp=now + s, producer_id=producer,
                producer_epoch=3, base_sequence=2 * s))
            assert part["ErrorCode"] == NONE, part
    found = {p["ProducerId"]: p
             for p in producers(client, topic)["ActiveProducers"]}
    assert found == {
        4242: {"ProducerId": 4242, "ProducerEpoch": 3, "LastSequence": 5,
               "LastTimestamp": now + 2, "CoordinatorEpoch": -1,
               "CurrentTxnStartOffset": -1},
        17: {"ProducerId": 17, "ProducerEpoch": 3, "LastSequence": 1,
             "LastTimestamp": now, "CoordinatorEpoch": -1,
             "CurrentTxnStartOffset": -1}}


def test_producers_of_twins(client, topic, shared_broker):
    """A partition that is named again and again is told of each time, but in
    no more memory than one request may have."""
    harness.wait_topic(shared_broker, topic)
    for producer in range(100):
        part = wire.produce(client, topic, wire.batch(
            [b"a"], producer_id=producer, producer_epoch=0, base_sequence=0))
        assert part["ErrorCode"] == NONE, part
    parts = client.call("DescribeProducers", 0, Topics=[
        {"Name": topic, "PartitionIndexes": [0, 7, 0]},
        {"Name": topic, "PartitionIndexes": [0]}])["Topics"]
    first, absent, second = parts[0]["Partitions"]
    assert [p["ProducerId"] for p in first["ActiveProducers"]] == list(
        range(100))
    assert first == second == parts[1]["Partitions"][0]
    assert (absent["ErrorCode"], absent["ActiveProducers"]) == (
        UNKNOWN_TOPIC, [])
    with wire.Client(shared_broker.address) as greedy:
        greedy.send("DescribeProducers", 0, Topics=[
            {"Name": topic, "PartitionIndexes": [0] * 20000}])
        assert greedy.ended()
    assert producers(client, topic)["ErrorCode"] == NONE


def test_producers_refused(client, topic, shared_broker):
    harness.wait_topic(shared_broker, topic)
    assert producers(client, "no-such")["ErrorCode"] == UNKNOWN_TOPIC
    assert producers(client, topic, 3)["ErrorCode"] == UNKNOWN_TOPIC
    bad = producers(client, "not a name")
    assert (bad["ErrorCode"], bad["ActiveProducers"]) == (INVALID_TOPIC, [])
    assert bad["ErrorMessage"] == (
        "Topic name is invalid: 'not a name' contains one or more characters "
        "other than ASCII alphanumerics, '.', '_' and '-'")


# --- ListOffsets -------------------------------------------------------------

@pytest.mark.parametrize("version", range(1, 10))
def test_special_timestamps(client, filled, version):
    def ask(timestamp):
        part = wire.list_offset(client, filled, timestamp, version=version)
        return (part["ErrorCode"], part["Offset"], part["Timestamp"],
                part.get("LeaderEpoch", -1))
    epoch = 0 if version >= 4 else -1
    refused = (UNSUPPORTED_VERSION, -1, -1, -1)
    assert ask(-1) == (NONE, 5, -1, epoch)
    assert ask(-2) == (NONE, 0, -1, epoch)
    assert ask(-3) == ((NONE, 3, 900, epoch) if version >= 7 else refused)
    assert ask(-4) == ((NONE, 0, -1, epoch) if version >= 8 else refused)
    assert ask(-5) == ((NONE, -1, -1, -1) if version >= 9 else refused)
    assert ask(-6) == refused
    assert ask(150) == (NONE, 1, 200, epoch)
    assert ask(400) == (NONE, 3, 900, epoch)
    assert ask(901) == (NONE, -1, -1, -1)


@pytest.mark.parametrize("version", (7, 9))
def test_special_timestamps_of_nothing(client, topic, shared_broker, version):
    harness.wait_topic(shared_broker, topic)
    for timestamp in (-3, 0):
        part = wire.list_offset(client, topic, timestamp, version=version)
        assert (part["ErrorCode"], part["Offset"], part["Timestamp"],
                part["LeaderEpoch"]) == (NONE, -1, -1, -1)


def test_max_timestamp_after_deletion(client, filled):
    """As long as the segment is there, its latest record is told of."""
    client.call("DeleteRecords", 2, TimeoutMs=10000, Topics=[
        {"Name": filled, "Partitions": [{"PartitionIndex": 0, "Offset": 4}]}])
    part = wire.list_offset(client, filled, -2, version=8)
    assert (part["Offset"], part["LeaderEpoch"]) == (4, 0)
    part = wire.list_offset(client, filled, -3, version=8)
    assert (part["Offset"], part["Timestamp"]) == (3, 900)
    part = wire.list_offset(client, filled, 100, version=8)
    assert (part["Offset"], part["Timestamp"]) == (4, 500)
