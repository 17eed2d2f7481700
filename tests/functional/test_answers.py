# SPDX-License-Identifier: Apache-2.0
"""Answers that were seen of a running Kafka 3.9.2, error for error.

Each row was sent to both brokers; what stands here is what Kafka answered."""

import gzip

import pytest

from wire import Client, batch, fetch, produce, record, request_frame

UNKNOWN_SERVER_ERROR = -1
CORRUPT = 2
UNKNOWN_TOPIC = 3
STALE_CONTROLLER_EPOCH = 11
UNSUPPORTED_VERSION = 35
TRANSACTIONAL_ID_REFUSED = 53
INVALID_RECORD = 87


@pytest.fixture
def client(shared_broker):
    with Client(shared_broker.address) as c:
        yield c


PRODUCED = {
    # name: (batch, error, its message from version 8 on)
    "declared size 10": (lambda: batch([b"x"], length=10), CORRUPT,
                         "Record size 10 is less than the minimum record "
                         "overhead (14)"),
    "declared size -5": (lambda: batch([b"x"], length=-5), CORRUPT,
                         "Record size -5 is less than the minimum record "
                         "overhead (14)"),
    "magic 3": (lambda: batch([b"x"], magic=3), CORRUPT,
                "Invalid magic found in record: 3"),
    "magic -1": (lambda: batch([b"x"], magic=-1), CORRUPT,
                 "Invalid magic found in record: -1"),
    "crc": (lambda: batch([b"x"], crc=1), CORRUPT, None),
    "a transaction that the request does not name": (
        lambda: batch([b"x"], attributes=0x10, producer_id=5,
                      producer_epoch=0, base_sequence=0),
        TRANSACTIONAL_ID_REFUSED, None),
    "codec 5": (lambda: batch([b"x"], attributes=5), UNKNOWN_SERVER_ERROR,
                None),
    "codec 5, wrong crc": (lambda: batch([b"x"], attributes=5, crc=1),
                           CORRUPT, None),
    "codec 5, base offset": (
        lambda: batch([b"x"], attributes=5, base_offset=5), INVALID_RECORD,
        None),
    "gzip that is none": (lambda: batch([b"x"], attributes=1),
                          UNKNOWN_SERVER_ERROR, None),
    "snappy that is none": (lambda: batch([b"x"], attributes=2),
                            UNKNOWN_SERVER_ERROR, None),
    "lz4 that is none": (lambda: batch([b"x"], attributes=3),
                         UNKNOWN_SERVER_ERROR, None),
    "zstd that is none": (lambda: batch([b"x"], attributes=4),
                          UNKNOWN_SERVER_ERROR, None),
    "gzip of no bytes": (lambda: batch([b"x"], attributes=1, payload=b""),
                         UNKNOWN_SERVER_ERROR, None),
    "snappy of no bytes": (lambda: batch([b"x"], attributes=2, payload=b""),
                           UNKNOWN_SERVER_ERROR, None),
    "lz4 of no bytes": (lambda: batch([b"x"], attributes=3, payload=b""),
                        UNKNOWN_SERVER_ERROR, None),
    "zstd of no bytes": (lambda: batch([b"x"], attributes=4, payload=b""),
                         INVALID_RECORD, None),
    "gzip cut short": (
        lambda: batch([b"x"], attributes=1,
                      payload=gzip.compress(record(b"x"))[:-6]),
        UNKNOWN_SERVER_ERROR, None),
    "gzip with a record too few": (
        lambda: batch([b"x", b"y"], attributes=1,
                      payload=gzip.compress(record(b"x"))),
        INVALID_RECORD, None),
    "gzip with a record too many": (
        lambda: batch([b"x"], attributes=1,
                      payload=gzip.compress(record(b"x") + record(b"y"))),
        INVALID_RECORD, None),
    "gzip that begins at offset 1": (
        lambda: batch([b"x", b"y"], attributes=1, payload=gzip.compress(
            record(b"x", offset_delta=1) + record(b"y", offset_delta=2))),
        UNKNOWN_SERVER_ERROR, None),
    "gzip of a member for each record": (
        lambda: batch([b"x", b"y"], attributes=1, payload=gzip.compress(
            record(b"x")) + gzip.compress(record(b"y", offset_delta=1))),
        0, None),
    "gzip with bytes behind": (
        lambda: batch([b"x"], attributes=1,
                      payload=gzip.compress(record(b"x")) + b"junk"),
        0, None),
    "plain offsets that jump": (
        lambda: batch([b"x", b"y"], payload=record(b"x") +
                      record(b"y", offset_delta=5)), 0, None),
}


@pytest.mark.parametrize("name", PRODUCED)
@pytest.mark.parametrize("version", (7, 8, 11))
def test_produce(client, topic, name, version):
    make, error, message = PRODUCED[name]
    part = produce(client, topic, make(), version=version)
    assert part["ErrorCode"] == error
    assert part["BaseOffset"] == (0 if error == 0 else -1)
    if version >= 8:
        assert part["ErrorMessage"] == message
        assert part["RecordErrors"] == []


def test_corrupt_refuses_the_whole_request(client, topic):
    answer = client.call("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=[
        {"Name": topic, "PartitionData": [
            {"Index": 0, "Records": batch([b"x"], magic=3)},
            {"Index": 77, "Records": batch([b"x"])}]}])
    for part in answer["Responses"][0]["PartitionResponses"]:
        assert (part["ErrorCode"], part["ErrorMessage"]) == (
            CORRUPT, "Invalid magic found in record: 3")


@pytest.mark.parametrize("version", (4, 12))
def test_aborted_transactions(client, topic, version):
    """Null, but to who reads committed records, or where no log was asked."""
    produce(client, topic, batch([b"x"]))

    def aborted(offset=0, partition=0, isolation=0):
        return fetch(client, topic, offset, version=version,
                     partition=partition, max_wait_ms=0,
                     IsolationLevel=isolation)["AbortedTransactions"]

    assert aborted() is None
    assert aborted(offset=1) is None
    assert aborted(offset=9) is None
    assert aborted(isolation=1) == []
    assert aborted(offset=1, isolation=1) == []
    assert aborted(partition=77) == []


@pytest.mark.parametrize("limits", ({"max_bytes": -1},
                                    {"partition_max_bytes": -1}))
def test_negative_limits(client, topic, limits):
    produce(client, topic, batch([b"x"]))
    part = fetch(client, topic, 0, max_wait_ms=0, **limits)
    assert (part["ErrorCode"], part["HighWatermark"]) == (
        UNKNOWN_SERVER_ERROR, -1)
    assert not part["Records"]


@pytest.mark.parametrize("version", (4, 9, 12))
def test_metadata_tells_nothing_twice(client, topic, version):
    answer = client.call("Metadata", version, AllowAutoTopicCreation=False,
                         Topics=[{"Name": n} for n in (
                             topic, "nowhere", topic, "nowhere", topic)])
    assert [(t["Name"], t["ErrorCode"]) for t in answer["Topics"]] == [
        (topic, 0), ("nowhere", UNKNOWN_TOPIC)]


def test_metadata_by_id_and_name(client, topic):
    """Beside an id, names are not looked at; and a null name is no topic."""
    def ask(*topics):
        return client.call("Metadata", 12, AllowAutoTopicCreation=False,
                           Topics=[dict(t) for t in topics])["Topics"]
    found = ask({"Name": topic})[0]["TopicId"]
    by_id = {"Name": None, "TopicId": found}
    assert [t["Name"] for t in ask({"Name": "nowhere"}, by_id, by_id)] == [
        topic]
    assert [(t["Name"], t["ErrorCode"]) for t in ask(
        {"Name": topic}, {"Name": None})] == [
            (topic, UNKNOWN_SERVER_ERROR), ("", UNKNOWN_SERVER_ERROR)]


def test_names_end_where_they_end(client, topic):
    """A zero byte is a part of the name, not its end."""
    answer = client.call("DeleteTopics", 5, TimeoutMs=1000,
                         TopicNames=[topic + "\0x"])["Responses"][0]
    assert (answer["Name"], answer["ErrorCode"]) == (topic + "\0x",
                                                     UNKNOWN_TOPIC)
    answer = client.call("CreatePartitions", 3, TimeoutMs=1000, Topics=[
        {"Name": topic + "\0x", "Count": 9, "Assignments": None}])["Results"]
    assert [(t["Name"], t["ErrorCode"]) for t in answer] == [
        (topic + "\0x", UNKNOWN_SERVER_ERROR)]
    answer = client.call("Metadata", 9, Topics=[{"Name": topic}])["Topics"][0]
    assert len(answer["Partitions"]) == 1


@pytest.mark.parametrize("version", range(8))
def test_stale_orders_are_refused_row_for_row(client, version):
    state = {"TopicName": "t", "PartitionIndex": 3, "Isr": [], "Replicas": []}
    answer = client.call(
        "LeaderAndIsr", version, ControllerEpoch=-1,
        UngroupedPartitionStates=[state],
        TopicStates=[{"TopicName": "t", "PartitionStates": [state]}])
    assert answer["ErrorCode"] == STALE_CONTROLLER_EPOCH
    rows = answer["PartitionErrors"] if version < 5 else \
        answer["Topics"][0]["PartitionErrors"]
    assert [(r["PartitionIndex"], r["ErrorCode"]) for r in rows] == [
        (3, STALE_CONTROLLER_EPOCH)]


@pytest.mark.parametrize("version", range(1, 9))
def test_protocols_that_are_none(broker, version):
    """Told by a controller, in whatever version, they end no broker."""
    def endpoint(port, protocol, name):
        return {"Port": port, "Host": "127.0.0.1", "Listener": name,
                "SecurityProtocol": protocol}
    for protocol in (-1, 4, 32767):
        for name in ("PLAINTEXT", ""):
            with Client(broker.address) as c:
                ask = dict(
                    ControllerId=0, ControllerEpoch=1, LiveBrokers=[
                        {"Id": 0, "Rack": None, "Endpoints": [
                            endpoint(broker.port, 0, "PLAINTEXT")]},
                        {"Id": 7, "Rack": None, "Endpoints": [
                            endpoint(7, protocol, name)]}])
                if version > 2:
                    answer = c.call("UpdateMetadata", version, **ask)
                    assert answer["ErrorCode"] == 0
                else:
                    c.send("UpdateMetadata", version, **ask)
                    assert c.ended()
    with Client(broker.address) as c:
        assert c.call("Metadata", 1, Topics=[])["Brokers"]


@pytest.mark.parametrize("order", ("twice", "descending"))
def test_tags_in_any_order(client, order):
    tags = {"twice": b"\x02\x50\0\x50\0", "descending": b"\x02\x51\0\x50\0"}
    client.send_frame(request_frame("Metadata", 9, 5, Topics=[])[:-1]
                      + tags[order])
    assert client.receive_frame()[:4] == b"\0\0\0\5"


def test_list_offsets_version_0(client, topic):
    """It knew no rule against twins, and none for a negative count."""
    produce(client, topic, batch([b"x"]))

    def ask(*queries):
        return client.call("ListOffsets", 0, ReplicaId=-1, Topics=[
            {"Name": topic, "Partitions": [
                {"PartitionIndex": 0, "Timestamp": timestamp,
                 "MaxNumOffsets": count} for timestamp, count in queries]}]
        )["Topics"][0]["Partitions"]

    twins = ask((-1, 5), (-2, 5))
    assert [p["ErrorCode"] for p in twins] == [0, 0]
    assert [p["OldStyleOffsets"] for p in twins] == [[1, 0], [0]]
    assert ask((-1, -1))[0]["ErrorCode"] == UNKNOWN_SERVER_ERROR
    # nor any other special time
    assert [(p["ErrorCode"], p["OldStyleOffsets"]) for p in ask(
        (-3, 5), (-77, 5))] == [(UNSUPPORTED_VERSION, [])] * 2
    # as many as there are, whatever number may be told
    assert [p["OldStyleOffsets"] for p in ask(
        *[(-1, 2**31 - 1)] * 200)] == [[1, 0]] * 200
