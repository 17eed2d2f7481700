# SPDX-License-Identifier: Apache-2.0
"""ElectLeaders: preferred leaders, and unclean ones where nobody leads; what a
tool wrote to /admin/preferred_replica_election."""

import json

import pytest

import harness
import wire
from fake_broker import FakeBroker

NONE, UNKNOWN_SERVER, UNKNOWN_TOPIC = 0, -1, 3
INVALID_TOPIC, NOT_CONTROLLER, PREFERRED_NOT_AVAILABLE = 17, 41, 80
ELIGIBLE_NOT_AVAILABLE, NOT_NEEDED = 83, 84
PREFERRED, UNCLEAN = 0, 1
FAKE = 7
NODE = "/admin/preferred_replica_election"


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


def elect(client, kind, topics, version=2, timeout_ms=30000):
    """{(topic, partition): (error, message)}, and the error above them."""
    more = {"ElectionType": kind} if version > 0 else {}
    if topics is not None:
        topics = [{"Topic": t, "Partitions": p} for t, p in topics]
    answer = client.call("ElectLeaders", version, TopicPartitions=topics,
                         TimeoutMs=timeout_ms, **more)
    rows = [((r["Topic"], p["PartitionId"]),
             (p["ErrorCode"], p["ErrorMessage"]))
            for r in answer["ReplicaElectionResults"]
            for p in r["PartitionResult"]]
    assert len(dict(rows)) == len(rows)
    return dict(rows), answer.get("ErrorCode", 0)


def errors(got):
    return {key: error for key, (error, _) in got[0].items()}


def create_on(client, name, *replicas, **configs):
    answer = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
        "Name": name, "NumPartitions": -1, "ReplicationFactor": -1,
        "Configs": [{"Name": k.replace("_", "."), "Value": str(v)}
                    for k, v in configs.items()],
        "Assignments": [{"PartitionIndex": i, "BrokerIds": list(r)}
                        for i, r in enumerate(replicas)]}])["Topics"][0]
    assert answer["ErrorCode"] == NONE, answer


def state_path(topic, partition=0):
    return f"/brokers/topics/{topic}/partitions/{partition}/state"


def state(zk, topic, partition=0):
    return json.loads(zk.get(state_path(topic, partition))[0])


def set_isr(zk, topic, isr, **more):
    """As a leader of old versions writes it."""
    node = state(zk, topic)
    zk.set(state_path(topic), json.dumps({**node, "isr": isr, **more},
                                         separators=(",", ":")).encode())


def wait_leader(zk, topic, leader, partition=0):
    harness.wait_until(lambda: state(zk, topic, partition)["leader"] == leader,
                       what=f"{topic} led by {leader}")


def leader_told(client, topic):
    return client.call("Metadata", 9, Topics=[{"Name": topic}])[
        "Topics"][0]["Partitions"][0]["LeaderId"]


def led_by_other(client, zk, fake, topic, isr):
    """A topic of [FAKE, 0] that 0 leads, although FAKE is back."""
    create_on(client, topic, [FAKE, 0])
    wait_leader(zk, topic, FAKE)
    fake.stop()
    wait_leader(zk, topic, 0)
    fake.orders.clear()
    fake.start()
    fake.wait_known()
    set_isr(zk, topic, isr)


@pytest.mark.parametrize("version", (0, 1, 2))
def test_nothing_to_elect(broker, client, version):
    harness.create_topic(broker, "led", 3)
    got, error = elect(client, PREFERRED, [("led", [0, 2, 9]), ("no", [0]),
                                           ("led", [2])], version)
    assert error == 0
    assert {k: e for k, (e, _) in got.items()} == {
        ("led", 0): NOT_NEEDED, ("led", 2): NOT_NEEDED,
        ("led", 9): UNKNOWN_TOPIC, ("no", 0): UNKNOWN_TOPIC}
    assert got["led", 0][1] == \
        "Leader election not needed for topic partition."
    assert got["no", 0][1] == "The partition does not exist."
    assert elect(client, PREFERRED, [], version) == ({}, 0)
    assert elect(client, PREFERRED, None, version) == ({}, 0)


def test_unclean_not_needed(broker, client):
    harness.create_topic(broker, "led")
    assert errors(elect(client, UNCLEAN, [("led", [0])])) == {
        ("led", 0): NOT_NEEDED}
    assert elect(client, UNCLEAN, None, 1) == ({}, 0)


@pytest.mark.parametrize("version", (1, 2))
def test_no_such_kind(broker, client, version):
    harness.create_topic(broker, "led")
    for kind in (2, -1):
        assert elect(client, kind, [("led", [0]), ("x", [4])], version) == (
            {("led", 0): (UNKNOWN_SERVER, None),
             ("x", 4): (UNKNOWN_SERVER, None)}, UNKNOWN_SERVER)
        assert elect(client, kind, None, version) == ({}, UNKNOWN_SERVER)


def test_preferred(client, zk, fake):
    led_by_other(client, zk, fake, "t", [0])
    before = state(zk, "t")
    got = elect(client, PREFERRED, [("t", [0])])
    assert errors(got) == {("t", 0): PREFERRED_NOT_AVAILABLE}
    assert got[0]["t", 0][1]
    assert state(zk, "t") == before
    # Of everything, errors are told, too.
    assert errors(elect(client, PREFERRED, None)) == {
        ("t", 0): PREFERRED_NOT_AVAILABLE}
    set_isr(zk, "t", [0, FAKE])
    fake.orders.clear()
    assert elect(client, PREFERRED, None) == ({("t", 0): (NONE, None)}, 0)
    assert leader_told(client, "t") == FAKE
    after = state(zk, "t")
    assert (after["leader"], after["isr"], after["leader_epoch"]) == (
        FAKE, [0, FAKE], before["leader_epoch"] + 1)
    told = [p for _, p in fake.wait_told("LeaderAndIsr", "t")]
    assert (told[-1]["Leader"], told[-1]["LeaderEpoch"]) == (
        FAKE, after["leader_epoch"])
    assert errors(elect(client, PREFERRED, [("t", [0])], 0)) == {
        ("t", 0): NOT_NEEDED}


def test_preferred_is_dead(client, zk, fake):
    led_by_other(client, zk, fake, "t", [0])
    fake.stop()
    harness.wait_until(lambda: not zk.exists(f"/brokers/ids/{FAKE}"))
    harness.wait_until(lambda: FAKE not in [
        b["NodeId"] for b in client.call("Metadata", 9, Topics=[])["Brokers"]],
        what="the controller knows")
    set_isr(zk, "t", [0, FAKE])
    got = elect(client, PREFERRED, [("t", [0])])
    assert errors(got) == {("t", 0): PREFERRED_NOT_AVAILABLE}
    assert state(zk, "t")["leader"] == 0


def test_unclean(client, zk, fake):
    create_on(client, "t", [FAKE, 0])
    create_on(client, "alone", [FAKE])
    wait_leader(zk, "t", FAKE)
    wait_leader(zk, "alone", FAKE)
    set_isr(zk, "t", [FAKE])
    fake.stop()
    wait_leader(zk, "t", -1)
    # What is not lost for good is not given up for a preferred leader.
    assert errors(elect(client, PREFERRED, [("t", [0])])) == {
        ("t", 0): PREFERRED_NOT_AVAILABLE}
    assert errors(elect(client, UNCLEAN, [("t", [0]), ("alone", [0])])) == {
        ("t", 0): NONE, ("alone", 0): ELIGIBLE_NOT_AVAILABLE}
    assert leader_told(client, "t") == 0
    assert (state(zk, "t")["leader"], state(zk, "t")["isr"]) == (0, [0])
    assert state(zk, "alone")["leader"] == -1
    harness.wait_until(lambda: wire.produce(
        client, "t", wire.batch([b"x"]))["ErrorCode"] == NONE,
        what="a record written")


def test_a_topic_that_is_being_deleted(client, zk, fake):
    create_on(client, "t", [FAKE, 0])
    wait_leader(zk, "t", FAKE)
    fake.stop()
    wait_leader(zk, "t", 0)
    client.call("DeleteTopics", 5, TimeoutMs=10000, TopicNames=["t"])
    assert elect(client, PREFERRED, [("t", [0])]) == (
        {("t", 0): (INVALID_TOPIC, "The topic is being deleted")}, 0)


def test_not_the_controller(make_broker):
    first = make_broker(0).start()
    second = make_broker(1).start()
    harness.create_topic(first, "t")
    harness.wait_topic(second, "t")
    with wire.Client(second.address) as c:
        assert elect(c, PREFERRED, [("t", [0]), ("x", [1])]) == (
            {("t", 0): (NOT_CONTROLLER, None),
             ("x", 1): (NOT_CONTROLLER, None)}, 0)
        assert elect(c, UNCLEAN, None, 1) == (
            {("t", 0): (NOT_CONTROLLER, None)}, 0)


def put_node(zk, data):
    zk.create(NODE, data)
    harness.wait_until(lambda: not zk.exists(NODE), what="the node deleted")


def wanted(*partitions):
    return json.dumps({"version": 1, "partitions": [
        {"topic": t, "partition": p} for t, p in partitions]}).encode()


def test_the_node(broker, client, zk, fake):
    led_by_other(client, zk, fake, "t", [0, FAKE])
    put_node(zk, wanted(("t", 0), ("t", 5), ("no", 0)))
    wait_leader(zk, "t", FAKE)
    # Again, with nothing to do, and with nothing that can be read.
    put_node(zk, wanted(("t", 0)))
    put_node(zk, b"nonsense")
    assert state(zk, "t")["leader"] == FAKE


def test_the_node_of_who_was_not_there(broker, client, zk, fake):
    """It was written before this controller began."""
    led_by_other(client, zk, fake, "t", [0, FAKE])
    broker.stop()
    set_isr(zk, "t", [0, FAKE], leader=0)
    zk.create(NODE, wanted(("t", 0)))
    broker.start()
    harness.wait_until(lambda: not zk.exists(NODE), what="the node deleted")
    wait_leader(zk, "t", FAKE)
