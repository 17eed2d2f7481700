# SPDX-License-Identifier: Apache-2.0
"""AlterPartitionReassignments and ListPartitionReassignments: replicas move."""

import json

import harness
from fake_broker import FakeBroker
from test_alter_partition import (  # noqa: F401
    FAKE, NONE, client, fake, make, state, zk)

UNKNOWN_TOPIC, BAD_ASSIGNMENT, NOTHING_MOVES = 3, 39, 85
OTHER = 8


def move(client, replicas, topic="t", partition=0):
    answer = client.call("AlterPartitionReassignments", 0, Topics=[
        {"Name": topic, "Partitions": [
            {"PartitionIndex": partition, "Replicas": replicas}]}])
    assert answer["ErrorCode"] == NONE, answer
    return answer["Responses"][0]["Partitions"][0]["ErrorCode"]


def moving(client, topics=None):
    answer = client.call("ListPartitionReassignments", 0, Topics=topics)
    assert answer["ErrorCode"] == NONE
    return {(t["Name"], p["PartitionIndex"]):
            (p["Replicas"], p["AddingReplicas"], p["RemovingReplicas"])
            for t in answer["Topics"] for p in t["Partitions"]}


def node(zk):
    said = json.loads(zk.get("/brokers/topics/t")[0])
    return tuple(said[key].get("0", []) for key in (
        "partitions", "adding_replicas", "removing_replicas"))


def expand(client, broker, topic_id, isr, by):
    """As the leader does when they have caught up."""
    now, version = state(broker)
    answer = client.call(
        "AlterPartition", 3, BrokerId=by.broker_id, BrokerEpoch=by.epoch,
        Topics=[{"TopicId": topic_id, "Partitions": [{
            "PartitionIndex": 0, "LeaderEpoch": now["leader_epoch"],
            "PartitionEpoch": version, "NewIsrWithEpochs": [
                {"BrokerId": b, "BrokerEpoch": -1} for b in isr]}]}])
    assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE


def test_move(broker, client, zk, fake):
    topic_id = make(client, zk)
    with FakeBroker(broker, OTHER) as other:
        other.wait_known()
        assert moving(client) == {}
        assert move(client, [OTHER, 0]) == NONE
        assert node(zk) == ([OTHER, 0, FAKE], [OTHER], [FAKE])
        assert moving(client) == {
            ("t", 0): ([OTHER, 0, FAKE], [OTHER], [FAKE])}
        assert moving(client, [{"Name": "t", "PartitionIndexes": [1]}]) == {}
        harness.wait_until(lambda: other.told("LeaderAndIsr", "t"),
                           what="LeaderAndIsr to who comes")
        told = other.told("LeaderAndIsr", "t")[0][1]
        assert told["IsNew"] and told["LeaderEpoch"] == 1
        assert told["AddingReplicas"] == [OTHER]
        assert told["RemovingReplicas"] == [FAKE]
        expand(client, zk, topic_id, [FAKE, 0, OTHER], fake)
        harness.wait_until(lambda: node(zk) == ([OTHER, 0], [], []),
                           what="the end of the move")
        now, _ = state(zk)
        assert now["leader"] in (OTHER, 0)
        assert sorted(now["isr"]) == [0, OTHER]
        harness.wait_until(lambda: fake.told("StopReplica", "t"),
                           what="StopReplica to who goes")
        stop = fake.told("StopReplica", "t")[0][1]
        assert stop["DeletePartition"] and stop["LeaderEpoch"] == \
            now["leader_epoch"]
        assert not other.told("StopReplica", "t")
        harness.wait_until(lambda: moving(client) == {},
                           what="no move is told")


def test_fewer_and_cancel(broker, client, zk, fake):
    make(client, zk)
    assert move(client, None) == NOTHING_MOVES
    assert move(client, [FAKE]) == NONE
    harness.wait_until(lambda: node(zk) == ([FAKE], [], []), what="the end")
    assert state(zk)[0]["isr"] == [FAKE]
    with FakeBroker(broker, OTHER) as other:
        other.wait_known()
        assert move(client, [FAKE, OTHER]) == NONE
        assert move(client, None) == NONE
        assert moving(client) == {}
        assert move(client, None) == NOTHING_MOVES
        harness.wait_until(lambda: other.told("StopReplica", "t"),
                           what="StopReplica")
        # told: nobody need know any more
        harness.wait_until(lambda: node(zk) == ([FAKE], [], []),
                           what="the node is as before")


def test_refused(client, zk, fake):
    make(client, zk)
    for bad in ([], [FAKE, FAKE], [-1], [FAKE, 99]):
        assert move(client, bad) == BAD_ASSIGNMENT, bad
    assert move(client, [FAKE], "no") == UNKNOWN_TOPIC
    assert move(client, [FAKE], partition=7) == UNKNOWN_TOPIC


def test_to_where_it_is(broker, client, zk, fake):
    """A new leader epoch begins, and nothing else changes; but not for who is
    on the way there."""
    make(client, zk)
    before, version = state(zk)
    assert move(client, [FAKE, 0]) == NONE
    harness.wait_until(lambda: state(zk)[1] > version, what="a new epoch")
    assert state(zk) == ({**before, "leader_epoch":
                          before["leader_epoch"] + 1}, version + 1)
    assert node(zk) == ([FAKE, 0], [], [])
    assert moving(client) == {}
    harness.wait_until(lambda: [
        t for _, t in fake.told("LeaderAndIsr", "t") if t["LeaderEpoch"] ==
        before["leader_epoch"] + 1], what="LeaderAndIsr")
    with FakeBroker(broker, OTHER) as other:
        other.wait_known()
        for _ in range(2):
            assert move(client, [FAKE, 0, OTHER]) == NONE
            harness.wait_until(lambda: state(zk)[1] > version + 1)
            assert state(zk)[0]["leader_epoch"] == before["leader_epoch"] + 2
            assert node(zk) == ([FAKE, 0, OTHER], [OTHER], [])
        assert move(client, None) == NONE
