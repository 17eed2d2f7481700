# SPDX-License-Identifier: Apache-2.0
"""DeleteTopics, CreatePartitions and ControlledShutdown at the controller: what
clients are answered, what stands in ZooKeeper, what brokers are told.  The
orders are seen by a broker that notes them (fake_broker.py)."""

import json
import struct
import time
import uuid

import pytest

import harness
import wire
from fake_broker import FakeBroker

NONE, UNKNOWN_TOPIC, TIMED_OUT, NOT_AVAILABLE = 0, 3, 7, 8
STALE_CONTROLLER, INVALID_TOPIC, NOT_CONTROLLER = 11, 17, 41
INVALID_PARTITIONS, INVALID_ASSIGNMENT, INVALID_REQUEST = 37, 39, 42
STORAGE_ERROR, REASSIGNMENT, DISABLED, STALE_BROKER = 56, 60, 73, 77
UNKNOWN_ID, UNKNOWN_SERVER = 100, -1
FAKE = 9


def name_of(prefix="topic"):
    return f"{prefix}-{time.monotonic_ns()}"


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


def create_on(client, name, *replicas):
    """Partition i has replicas[i]."""
    answer = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
        "Name": name, "NumPartitions": -1, "ReplicationFactor": -1,
        "Assignments": [{"PartitionIndex": i, "BrokerIds": list(r)}
                        for i, r in enumerate(replicas)]}])["Topics"][0]
    assert answer["ErrorCode"] == NONE, answer


def delete(client, *names, version=5, timeout_ms=30000):
    """By name; the answers."""
    what = {"TopicNames": list(names)} if version < 6 else {
        "Topics": [{"Name": n} for n in names]}
    return client.call("DeleteTopics", version, TimeoutMs=timeout_ms,
                       **what)["Responses"]


def errors(answers):
    return [a["ErrorCode"] for a in answers]


def topic_node(zk, name):
    return json.loads(zk.get(f"/brokers/topics/{name}")[0])


def state(zk, name, partition=0):
    return json.loads(zk.get(
        f"/brokers/topics/{name}/partitions/{partition}/state")[0])


def is_gone(zk, name):
    return not any(zk.exists(p + name) for p in (
        "/brokers/topics/", "/config/topics/", "/admin/delete_topics/"))


def known(client, name):
    return client.call(
        "Metadata", 7, Topics=[{"Name": name}], AllowAutoTopicCreation=False
    )["Topics"][0]["ErrorCode"] != UNKNOWN_TOPIC


# --- DeleteTopics ------------------------------------------------------------

@pytest.mark.parametrize("version", range(7))
def test_delete(client, zk, fake, version):
    name = name_of()
    create_on(client, name, [FAKE], [FAKE])
    answer = delete(client, name, version=version)
    assert errors(answer) == [NONE] and answer[0]["Name"] == name
    assert answer[0].get("ErrorMessage") is None
    assert not known(client, name)
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


def test_delete_by_id(client, zk, fake):
    name = name_of()
    create_on(client, name, [FAKE])
    topic_id = wire.topic_id_bytes(topic_node(zk, name)["topic_id"])
    unknown = uuid.uuid4()
    answers = client.call("DeleteTopics", 6, TimeoutMs=30000, Topics=[
        {"Name": None, "TopicId": topic_id},
        {"Name": None, "TopicId": unknown}])["Responses"]
    by_id = {a["TopicId"]: a for a in answers}
    assert by_id[topic_id]["ErrorCode"] == NONE
    assert by_id[topic_id]["Name"] == name
    assert by_id[unknown]["ErrorCode"] == UNKNOWN_ID
    assert by_id[unknown]["Name"] is None
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


def test_delete_orders(client, zk, fake):
    """Every broker forgets the topic before a replica goes; nobody is told to
    lead or follow any more."""
    name = name_of()
    create_on(client, name, [FAKE], [FAKE], [FAKE])
    delete(client, name)
    # Kafka stops each replica first, and then deletes it.
    stops = harness.wait_until(
        lambda: (lambda got: len(got) >= 3 and got)(
            [(i, p) for i, p in fake.told("StopReplica", name)
             if p["DeletePartition"]]), what="StopReplica with deletion")
    forgotten = [(i, p) for i, p in fake.told("UpdateMetadata", name)
                 if p["Leader"] == -2]
    assert {p["PartitionIndex"] for _, p in forgotten} == {0, 1, 2}
    assert {p["PartitionIndex"] for _, p in stops} == {0, 1, 2}
    assert all(p["LeaderEpoch"] == -2 for _, p in stops)
    assert forgotten[0][0] < stops[0][0]
    assert all(i < stops[0][0] for i, _ in fake.told("LeaderAndIsr", name))
    api, version, body = fake.orders[stops[0][0]]
    assert version == 4 and body["BrokerEpoch"] == fake.epoch
    assert body["ControllerEpoch"] == int(zk.get("/controller_epoch")[0])


def test_delete_refused(client, fake):
    name, missing = name_of(), name_of("missing")
    create_on(client, name, [FAKE])
    assert errors(delete(client, missing)) == [UNKNOWN_TOPIC]
    both = client.call("DeleteTopics", 6, TimeoutMs=1000, Topics=[
        {"Name": name, "TopicId": uuid.uuid4()}, {"Name": missing}])
    assert errors(both["Responses"]) == [INVALID_REQUEST] * 2
    assert known(client, name)
    answers = delete(client, name, missing)
    assert {a["Name"]: a["ErrorCode"] for a in answers} == {
        name: NONE, missing: UNKNOWN_TOPIC}


def test_delete_twice_in_one_request(client, zk, fake):
    name = name_of()
    create_on(client, name, [FAKE])
    assert set(errors(delete(client, name, name))) == {NONE}
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


@pytest.mark.parametrize("timeout_ms", (0, -1))
def test_delete_does_not_wait(client, zk, fake, timeout_ms):
    """It goes on all the same."""
    name = name_of()
    create_on(client, name, [FAKE])
    assert errors(delete(client, name, timeout_ms=timeout_ms)) == [TIMED_OUT]
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


def test_delete_disabled(make_broker):
    broker = make_broker(delete_topic_enable="false").start()
    zk = harness.connect_zk(broker)
    try:
        harness.create_topic(broker, "t")
        with wire.Client(broker.address) as client:
            for version in range(7):
                assert errors(delete(client, "t", version=version)) == [
                    INVALID_REQUEST if version < 3 else DISABLED]
        zk.create("/admin/delete_topics/t")
        harness.wait_until(lambda: not zk.exists("/admin/delete_topics/t"),
                           what="the mark to go")
        assert zk.exists("/brokers/topics/t")
    finally:
        zk.stop()


def test_delete_by_mark(client, zk, fake):
    """As Kafka's old tools ask for it; a mark of nothing goes."""
    name, missing = name_of(), name_of("missing")
    create_on(client, name, [FAKE])
    zk.create(f"/admin/delete_topics/{missing}")
    zk.create(f"/admin/delete_topics/{name}")
    harness.wait_until(lambda: is_gone(zk, name) and is_gone(zk, missing),
                       what="the nodes to go")
    harness.wait_until(lambda: not known(client, name))


@pytest.mark.ours
def test_name_is_free_at_once(client, zk, fake):
    """Kafka may say for a while that the name is marked for deletion."""
    name, ids = name_of(), set()
    for _ in range(5):
        create_on(client, name, [FAKE], [FAKE])
        ids.add(topic_node(zk, name)["topic_id"])
        assert errors(delete(client, name)) == [NONE]
    assert len(ids) == 5


def test_dead_broker_holds_deletion_up(client, zk, fake):
    name = name_of()
    create_on(client, name, [FAKE], [FAKE])
    fake.stop()
    harness.wait_until(lambda: state(zk, name)["leader"] == -1,
                       what="the broker's end to be seen")
    assert errors(delete(client, name)) == [NONE]
    assert zk.exists(f"/admin/delete_topics/{name}")
    assert zk.exists(f"/brokers/topics/{name}/partitions/1/state")
    # Clients do not know it any more, and its name is not free.
    assert errors(delete(client, name)) == [UNKNOWN_TOPIC]
    answer = client.call("CreateTopics", 5, timeoutMs=5000, Topics=[{
        "Name": name, "NumPartitions": 1, "ReplicationFactor": 1}])
    assert answer["Topics"][0]["ErrorCode"] == 36
    fake.start()
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


def test_failed_replica_holds_deletion_up(client, zk, fake):
    name = name_of()
    create_on(client, name, [FAKE], [FAKE])
    fake.stop_errors[(name, 1)] = STORAGE_ERROR
    assert errors(delete(client, name)) == [NONE]
    fake.wait_told("StopReplica", name)
    assert zk.exists(f"/admin/delete_topics/{name}")
    fake.stop_errors.clear()
    fake.stop()
    harness.wait_until(lambda: not zk.exists(f"/brokers/ids/{FAKE}"))
    fake.start()
    harness.wait_until(lambda: is_gone(zk, name), what="the nodes to go")


@pytest.mark.ours
def test_topics_to_delete_are_counted(broker, client, zk, fake):
    def told(count):
        harness.wait_until(
            lambda: broker.metric(
                "kafka_controller_topicstodeletecount") == count,
            what=f"{count} are being deleted")
    told(0)
    names = name_of(), name_of()
    for name in names:
        create_on(client, name, [FAKE])
        fake.stop_errors[(name, 0)] = STORAGE_ERROR
    for n, name in enumerate(names):
        assert errors(delete(client, name)) == [NONE]
        told(n + 1)
    fake.stop_errors.clear()
    fake.stop()
    harness.wait_until(lambda: not zk.exists(f"/brokers/ids/{FAKE}"))
    fake.start()
    told(0)
    assert all(is_gone(zk, name) for name in names)


@pytest.mark.ours
def test_orders_that_wait_are_counted(broker, client, zk, fake):
    """The fake broker takes none while its answer is awaited."""
    def waiting(broker_id):
        return broker.metric("kafka_controller_channel_queue_size",
                             broker_id=broker_id)

    fake.hold.clear()
    try:
        for _ in range(4):
            create_on(client, name_of(), [0])
        # one is under way; UpdateMetadata is sent to all
        harness.wait_until(lambda: waiting(FAKE) >= 3, what="orders wait")
        assert waiting(0) == 0
    finally:
        fake.hold.set()
    harness.wait_until(lambda: waiting(FAKE) == 0, what="all were taken")


@pytest.mark.ours
def test_orders_are_told_again(client, fake):
    """What had no answer when the connection ended comes again, before all that
    waited."""
    names = [name_of() for _ in range(5)]

    def told():
        return [t["TopicName"] for api, _, body in list(fake.orders)
                if api == "UpdateMetadata" for t in body["TopicStates"]
                if t["TopicName"] in names]

    # what was under way before is over then
    create_on(client, names[0], [0])
    harness.wait_until(lambda: told() == names[:1] and not fake.busy,
                       what="one is told, and answered")
    fake.hold.clear()
    try:
        for name in names[1:]:
            create_on(client, name, [0])
        harness.wait_until(lambda: told() == names[:2], what="one more is")
        fake.cut()
        harness.wait_until(lambda: told() == names[:2] + names[1:2],
                           what="it is told again")
    finally:
        fake.hold.set()
    harness.wait_until(lambda: names[-1] in told(), what="all have come")
    assert told() == names[:2] + names[1:]


@pytest.mark.ours
def test_deletion_survives_the_controller(client, broker, zk, fake):
    # A killed Kafka cannot start before its old session has ended.
    name = name_of()
    create_on(client, name, [FAKE])
    fake.stop()
    harness.wait_until(lambda: state(zk, name)["leader"] == -1,
                       what="the broker's end to be seen")
    assert errors(delete(client, name)) == [NONE]
    client.close()
    broker.kill()
    broker.start(60)
    fake.start()
    harness.wait_until(lambda: is_gone(zk, name), 60, "the nodes to go")
    with wire.Client(broker.address) as other:
        # each broker's orders come by a channel of its own
        harness.wait_until(lambda: not known(other, name),
                           what="it is forgotten")


def test_delete_with_its_logs(broker, client, zk):
    """The whole way, on the broker that holds the logs."""
    ids = set()
    for i in range(3):
        harness.create_topic(broker, "t", 3)
        ids.add(topic_node(zk, "t")["topic_id"])
        assert wire.produce(client, "t", wire.batch([b"x"]))["ErrorCode"] == 0
        assert wire.list_offset(client, "t", -1)["Offset"] == 1
        assert errors(delete(client, "t")) == [NONE]
        harness.wait_until(lambda: is_gone(zk, "t"), what="the nodes to go")
        assert not (broker.data / "t-0").exists()
    assert len(ids) == 3


# --- CreatePartitions --------------------------------------------------------

def grow(client, name, count, assignments=None, version=3, validate_only=False,
         timeout_ms=20000):
    if assignments is not None:
        assignments = [{"BrokerIds": list(a)} for a in assignments]
    return client.call("CreatePartitions", version, Topics=[
        {"Name": name, "Count": count, "Assignments": assignments}],
        TimeoutMs=timeout_ms, ValidateOnly=validate_only)["Results"][0]


def partitions(client, name):
    topic = client.call("Metadata", 7, Topics=[{"Name": name}],
                        AllowAutoTopicCreation=False)["Topics"][0]
    return {p["PartitionIndex"]: p for p in topic["Partitions"]}


@pytest.mark.parametrize("version", range(4))
def test_grow(broker, client, zk, version):
    name = name_of()
    harness.create_topic(broker, name, 2)
    before = topic_node(zk, name)
    answer = grow(client, name, 5, version=version)
    assert answer == {"Name": name, "ErrorCode": NONE, "ErrorMessage": None}
    found = partitions(client, name)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert all(p["LeaderId"] == 0 for p in found.values())
    after = topic_node(zk, name)
    assert after["topic_id"] == before["topic_id"]
    assert after["partitions"] == {str(i): [0] for i in range(5)}
    assert after["version"] == 3
    assert state(zk, name, 4)["leader_epoch"] == 0
    assert wire.produce(client, name, wire.batch([b"x"]),
                        partition=4)["ErrorCode"] == NONE


def test_grow_by_assignment(client, zk, fake):
    name = name_of()
    create_on(client, name, [0, FAKE])
    answer = grow(client, name, 3, [[FAKE, 0], [0, FAKE]])
    assert answer["ErrorCode"] == NONE
    assert topic_node(zk, name)["partitions"] == {
        "0": [0, FAKE], "1": [FAKE, 0], "2": [0, FAKE]}
    assert partitions(client, name)[1]["LeaderId"] == FAKE
    told = fake.wait_told("LeaderAndIsr", name, 3)
    new = {p["PartitionIndex"]: p for _, p in told}
    assert new[1]["IsNew"] and new[1]["Leader"] == FAKE


@pytest.mark.parametrize("count,assignments,error,words", (
    (1, None, INVALID_PARTITIONS, "Topic currently has 2 partitions, which is "
     "higher than the requested 1."),
    (0, None, INVALID_PARTITIONS, "Topic currently has 2 partitions, which is "
     "higher than the requested 0."),
    (2, None, INVALID_PARTITIONS, "Topic already has 2 partitions."),
    (3, [[7]], INVALID_ASSIGNMENT,
     "Unknown broker(s) in replica assignment: 7."),
    (4, [[0]], INVALID_ASSIGNMENT, "Increasing the number of partitions by 2 "
     "but 1 assignments provided."),
    (3, [], INVALID_ASSIGNMENT, "Increasing the number of partitions by 1 but "
     "0 assignments provided."),
    (3, [[]], INVALID_ASSIGNMENT,
     "Cannot have replication factor of 0 for partition id 2."),
    (3, [[0, 0]], INVALID_ASSIGNMENT, "Duplicate brokers not allowed in "
     "replica assignment: 0, 0 for partition id 2."),
))
def test_grow_refused(broker, client, zk, count, assignments, error, words):
    name = name_of()
    harness.create_topic(broker, name, 2)
    for validate_only in (False, True):
        answer = grow(client, name, count, assignments,
                      validate_only=validate_only)
        assert (answer["ErrorCode"], answer["ErrorMessage"]) == (error, words)
    assert len(topic_node(zk, name)["partitions"]) == 2


def test_grow_refused_factor(client, fake):
    name = name_of()
    create_on(client, name, [0, FAKE])
    answer = grow(client, name, 3, [[0], [FAKE]])
    assert answer["ErrorCode"] == INVALID_ASSIGNMENT
    assert answer["ErrorMessage"] == (
        "Inconsistent replication factor between partitions, partition 0 has 2 "
        "while partitions [1, 2] have replication factors [1, 1], "
        "respectively.")


def test_grow_unknown_and_twice(broker, client):
    missing = name_of("missing")
    answer = grow(client, missing, 3)
    assert answer["ErrorCode"] == UNKNOWN_TOPIC
    assert answer["ErrorMessage"] == f"The topic '{missing}' does not exist."
    harness.create_topic(broker, "twice")
    results = client.call("CreatePartitions", 3, Topics=[
        {"Name": "twice", "Count": 2, "Assignments": None},
        {"Name": "twice", "Count": 3, "Assignments": None}],
        TimeoutMs=5000, ValidateOnly=False)["Results"]
    if not broker.real:  # which loses one of two equal rows while decoding
        assert [(r["ErrorCode"], r["ErrorMessage"]) for r in results] == [
            (INVALID_REQUEST, "Duplicate topic in request.")]


def test_grow_validates_only(broker, client, zk):
    name = name_of()
    harness.create_topic(broker, name, 2)
    assert grow(client, name, 4, validate_only=True)["ErrorCode"] == NONE
    assert len(topic_node(zk, name)["partitions"]) == 2


def test_grow_does_not_wait(broker, client):
    name = name_of()
    harness.create_topic(broker, name, 1)
    answer = grow(client, name, 3, timeout_ms=0)
    assert answer["ErrorCode"] == TIMED_OUT
    harness.wait_topic(broker, name, 3)


def test_grow_while_moving(broker, client, zk):
    name = name_of()
    harness.create_topic(broker, name, 1)
    node = topic_node(zk, name)
    node["partitions"]["0"] = [0, 1]
    node["adding_replicas"] = {"0": [1]}
    zk.set(f"/brokers/topics/{name}", json.dumps(node).encode())
    answer = grow(client, name, 3)
    assert answer["ErrorCode"] == REASSIGNMENT
    assert answer["ErrorMessage"] == ("A partition reassignment is in progress "
                                      f"for the topic '{name}'.")


def test_grow_while_deleted(client, zk, fake):
    name = name_of()
    create_on(client, name, [FAKE])
    fake.stop()
    harness.wait_until(lambda: state(zk, name)["leader"] == -1)
    delete(client, name)
    answer = grow(client, name, 3)
    assert answer["ErrorCode"] == INVALID_TOPIC
    assert answer["ErrorMessage"] == "The topic is queued for deletion."


def test_grow_by_node(broker, client, zk):
    """As another broker or an old tool writes it."""
    name = name_of()
    harness.create_topic(broker, name, 1)
    node = topic_node(zk, name)
    node["partitions"].update({"1": [0], "2": [0]})
    zk.set(f"/brokers/topics/{name}", json.dumps(node).encode())
    harness.wait_topic(broker, name, 3)


# --- not the controller ------------------------------------------------------

def test_only_the_controller(make_broker):
    first, second = make_broker(0).start(), make_broker(1)
    second.start()
    harness.create_topic(first, "t")
    with wire.Client(second.address) as client:
        for version in range(7):
            assert errors(delete(client, "t", version=version)) == [
                NOT_CONTROLLER]
        for version in range(4):
            assert grow(client, "t", 3, version=version)["ErrorCode"] == \
                NOT_CONTROLLER
        for version in range(4):
            assert depart(client, 0, version=version)["ErrorCode"] == \
                STALE_CONTROLLER


# --- ControlledShutdown ------------------------------------------------------

def depart(client, broker_id, epoch=-1, version=3):
    if version > 0:
        more = {"BrokerEpoch": epoch} if version >= 2 else {}
        return client.call("ControlledShutdown", version, BrokerId=broker_id,
                           **more)
    # The only request whose header has no client id.
    client.pending[77] = ("ControlledShutdown", 0)
    client.send_frame(struct.pack(">hhii", 7, 0, 77, broker_id))
    return client.receive(77)


@pytest.mark.parametrize("version", range(4))
def test_depart(client, zk, fake, version):
    name, only = name_of(), name_of("only")
    create_on(client, name, [FAKE, 0], [0, FAKE])
    create_on(client, only, [FAKE])
    answer = depart(client, FAKE, fake.epoch, version)
    assert answer == {"ErrorCode": NONE, "RemainingPartitions": []}
    led, followed, alone = (state(zk, name, 0), state(zk, name, 1),
                            state(zk, only))
    assert (led["leader"], led["isr"], led["leader_epoch"]) == (0, [0], 1)
    assert (followed["leader"], followed["isr"]) == (0, [0])
    assert (alone["leader"], alone["isr"]) == (FAKE, [FAKE])
    stops = fake.wait_told("StopReplica", name)
    assert {p["PartitionIndex"] for _, p in stops} == {1}
    assert not any(p["DeletePartition"] for _, p in stops)
    # What it led it is told to follow.
    harness.wait_until(
        lambda: [(p["Leader"], p["LeaderEpoch"])
                 for _, p in fake.told("LeaderAndIsr", name)
                 if p["PartitionIndex"] == 0][-1] == (0, 1),
        what="LeaderAndIsr of the new leader")
    # It is no candidate any more.
    other = name_of("other")
    create_on(client, other, [FAKE, 0])
    assert state(zk, other)["leader"] == 0


def test_depart_remaining(client, zk, fake):
    """What nobody else has in sync remains; the only replica does not count."""
    name, only = name_of(), name_of("only")
    create_on(client, name, [FAKE, 7])
    create_on(client, only, [FAKE])
    assert state(zk, name)["isr"] == [FAKE]
    answer = depart(client, FAKE, fake.epoch)
    assert answer == {"ErrorCode": NONE, "RemainingPartitions": [
        {"TopicName": name, "PartitionIndex": 0}]}


def test_depart_refused(client, fake):
    for version in range(4):
        assert depart(client, 55, version=version)["ErrorCode"] == \
            NOT_AVAILABLE
    assert depart(client, 55, 1)["ErrorCode"] == UNKNOWN_SERVER
    assert depart(client, FAKE, fake.epoch - 1)["ErrorCode"] == STALE_BROKER


@pytest.mark.parametrize("victim", (0, 1))
@pytest.mark.parametrize("enabled", (True, False))
def test_hands_over_at_sigterm(make_broker, victim, enabled):
    """The controller is broker 0: the first time it relieves itself."""
    brokers = [make_broker(i, controlled_shutdown_enable=str(enabled).lower())
               .start() for i in range(2)]
    other = brokers[1 - victim]
    zk = harness.connect_zk(other)
    try:
        with wire.Client(brokers[0].address) as client:
            create_on(client, "t", [victim, 1 - victim])
            create_on(client, "u", [victim])
        brokers[victim].stop()
        if not other.real:
            assert ("was relieved by" in brokers[victim].log()) == enabled
        led = harness.wait_until(
            lambda: state(zk, "t")["leader"] == 1 - victim and state(zk, "t"),
            what="the other leads")
        assert led["isr"] == [1 - victim]
        harness.wait_until(lambda: state(zk, "u")["leader"] == -1,
                           what="the only replica's partition has no leader")
    finally:
        zk.stop()


@pytest.mark.ours
def test_stops_at_once_where_nobody_can_take_over(make_broker):
    brokers = [make_broker(i, controlled_shutdown_retry_backoff_ms=600000)
               .start() for i in range(2)]
    with wire.Client(brokers[0].address) as client:
        create_on(client, "t", [0, 7])
        create_on(client, "u", [1, 7])
    brokers[1].stop()
    assert "no other replica lives" in brokers[1].log()
    brokers[0].stop()
    assert "stops without handing over" in brokers[0].log()
