# SPDX-License-Identifier: Apache-2.0
"""AlterPartition: a leader asks the controller for another ISR."""

import json
import uuid

import pytest

import harness
import wire
from fake_broker import FakeBroker

NONE, UNKNOWN_TOPIC, NOT_ATTEMPTED, FENCED_EPOCH = 0, 3, 55, 74
NOT_CONTROLLER, STALE_BROKER, OLD_VERSION = 41, 77, 95
NOT_AVAILABLE, STORAGE_ERROR = 9, 56
UNKNOWN_ID, INVALID_REQUEST, INELIGIBLE = 100, 42, 107
FAKE, GONE = 7, 8


@pytest.fixture
def zk(broker):
    client = harness.connect_zk(broker)
    yield client
    client.end()


@pytest.fixture
def fake(broker):
    with FakeBroker(broker, FAKE) as f:
        f.wait_known()
        yield f


@pytest.fixture
def client(broker):
    with wire.Client(broker.address, timeout=60) as c:
        yield c


def make(client, zk, leader=FAKE):
    """t/0 led by FAKE, unless that refuses, with 0 in sync: its id."""
    answer = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
        "Name": "t", "NumPartitions": -1, "ReplicationFactor": -1,
        "Assignments": [{"PartitionIndex": 0, "BrokerIds": [FAKE, 0]}]}])
    assert answer["Topics"][0]["ErrorCode"] == NONE, answer
    harness.wait_until(lambda: state(zk)[0]["leader"] == leader,
                       what="a leader")
    return client.call("Metadata", 10, Topics=[
        {"TopicId": uuid.UUID(int=0), "Name": "t"}])["Topics"][0]["TopicId"]


def state(zk):
    data, stat = zk.get("/brokers/topics/t/partitions/0/state")
    return json.loads(data), stat.version


def ask(client, fake, topic_id, version, isr, *, leader_epoch=0,
        partition_epoch=0, broker_epoch=None, name="t", epoch=-1):
    row = {"PartitionIndex": 0, "LeaderEpoch": leader_epoch,
           "PartitionEpoch": partition_epoch}
    if version < 3:
        row["NewIsr"] = isr
    else:
        row["NewIsrWithEpochs"] = [
            {"BrokerId": b, "BrokerEpoch": epoch} for b in isr]
    topic = {"TopicName": name} if version < 2 else {"TopicId": topic_id}
    answer = client.call(
        "AlterPartition", version, BrokerId=FAKE,
        BrokerEpoch=fake.epoch if broker_epoch is None else broker_epoch,
        Topics=[{**topic, "Partitions": [row]}])
    if answer["ErrorCode"] != NONE:
        return answer["ErrorCode"]
    got, = answer["Topics"]
    assert got.get("TopicName", name) == name
    assert got.get("TopicId", topic_id) == topic_id
    return got["Partitions"][0]


@pytest.mark.parametrize("version", (0, 1, 2, 3))
def test_shrink_and_expand(client, zk, fake, version):
    topic_id = make(client, zk)
    got = ask(client, fake, topic_id, version, [FAKE])
    assert (got["ErrorCode"], got["LeaderId"], got["LeaderEpoch"],
            got["Isr"], got["PartitionEpoch"]) == (NONE, FAKE, 0, [FAKE], 1)
    node, node_version = state(zk)
    assert (node["isr"], node["leader_epoch"], node_version) == ([FAKE], 0, 1)
    # Its answer was lost: the same again writes nothing.
    assert ask(client, fake, topic_id, version, [FAKE]) == got
    assert state(zk)[1] == 1
    harness.wait_until(
        lambda: any(p["Isr"] == [FAKE]
                    for _, p in fake.told("UpdateMetadata", "t")),
        what="UpdateMetadata")
    assert not any(p["Isr"] == [FAKE]
                   for _, p in fake.told("LeaderAndIsr", "t"))
    got = ask(client, fake, topic_id, version, [FAKE, 0], partition_epoch=1)
    assert (got["ErrorCode"], got["Isr"]) == (NONE, [FAKE, 0])


def test_refused(client, zk, fake):
    topic_id = make(client, zk)

    def error(isr, **more):
        return ask(client, fake, topic_id, 3, isr, **more)["ErrorCode"]
    assert ask(client, fake, topic_id, 3, [FAKE],
               broker_epoch=fake.epoch - 1) == STALE_BROKER
    assert error([FAKE], leader_epoch=-1) == FENCED_EPOCH
    assert error([FAKE], leader_epoch=1) == NOT_CONTROLLER
    assert error([FAKE], partition_epoch=1) == NOT_CONTROLLER
    assert error([FAKE], partition_epoch=-1) == OLD_VERSION
    assert error([0]) == INVALID_REQUEST
    assert error([]) == INVALID_REQUEST
    assert error([FAKE, FAKE]) == INVALID_REQUEST
    assert error([FAKE, 0, GONE]) == INELIGIBLE
    assert error([FAKE], epoch=fake.epoch - 1) == INELIGIBLE
    assert ask(client, fake, uuid.UUID(int=9), 3, [FAKE])[
        "ErrorCode"] == UNKNOWN_ID
    assert ask(client, fake, topic_id, 1, [FAKE], name="u")[
        "ErrorCode"] == UNKNOWN_TOPIC
    assert state(zk)[1] == 0


def test_another_wrote(client, zk, fake):
    """As an old leader does: its version is not written over."""
    topic_id = make(client, zk)
    node, _ = state(zk)
    zk.set("/brokers/topics/t/partitions/0/state", json.dumps(
        {**node, "isr": [0, FAKE]}, separators=(",", ":")).encode())
    assert ask(client, fake, topic_id, 2, [FAKE])["ErrorCode"] == OLD_VERSION
    assert state(zk)[1] == 1
    got = ask(client, fake, topic_id, 2, [FAKE], partition_epoch=1)
    assert (got["ErrorCode"], got["PartitionEpoch"]) == (NONE, 2)


def test_waiting_for_room_is_no_failed_directory(client, zk, fake):
    """Who could not lead what it lacks, and waits for room to follow, may come
    back in sync.  Kafka's brokers do not wait so."""
    fake.lead_errors = {("t", 0): STORAGE_ERROR, ("t", 1): NOT_AVAILABLE}
    topic_id = make(client, zk, leader=0)
    own = zk.get("/brokers/ids/0")[1].czxid

    def error():
        """0 asks, as the leader that it is."""
        node, version = state(zk)
        row = {"PartitionIndex": 0, "LeaderEpoch": node["leader_epoch"],
               "PartitionEpoch": version, "NewIsrWithEpochs": [
                   {"BrokerId": b, "BrokerEpoch": -1} for b in (0, FAKE)]}
        answer = client.call(
            "AlterPartition", 3, BrokerId=0, BrokerEpoch=own,
            Topics=[{"TopicId": topic_id, "Partitions": [row]}])
        assert answer["ErrorCode"] == NONE
        return answer["Topics"][0]["Partitions"][0]["ErrorCode"]
    fake.wait_told("LeaderAndIsr", "t", 2)
    harness.wait_until(lambda: error() == NONE, what="it is taken in")
    assert state(zk)[0]["isr"] == [0, FAKE]
