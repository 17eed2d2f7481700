# SPDX-License-Identifier: Apache-2.0
"""What is taken away: replicas by StopReplica, records by DeleteRecords."""

import time
import uuid

import pytest

import harness
import wire
from test_death import controller
from test_elect_leaders import create_on
from test_replication import in_sync, make_brokers, same_logs  # noqa: F401

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, NOT_LEADER = 0, 1, 3, 6
TIMED_OUT, STALE_CONTROLLER, INVALID_TOPIC = 7, 11, 17
EXISTS, FENCED, STALE_BROKER = 36, 74, 77
EPOCH = 1  # of the first controller
DURING_DELETE = -2


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


@pytest.fixture
def pair(shared_broker):
    """A topic of two partitions with three records each."""
    name = f"pair-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name, 2)
    harness.wait_topic(shared_broker, name, 2)
    with wire.Client(shared_broker.address) as c:
        for partition in (0, 1):
            for i in range(3):
                part = wire.produce(c, name, wire.batch([b"%d" % i]),
                                    partition)
                assert part["ErrorCode"] == NONE
    return name


def order(client, name, version, **values):
    """On a connection of its own: the broker's controller has one, too, and the
    latest one that brought an order counts.  If that was the controller's, once
    more, as a controller does."""
    for left in (1, 0):
        with wire.Client("%s:%d" % client.socket.getpeername()) as c:
            try:
                return c.call(name, version, **values)
            except wire.Closed:
                if not left:
                    raise


def stop(client, topic, version=3, partition=0, delete=True, epoch=-1,
         ask=order, **more):
    """(top-level error, the partition's error or None)"""
    more.setdefault("ControllerId", 0)
    more.setdefault("ControllerEpoch", EPOCH)
    if version == 0:
        more["UngroupedPartitions"] = [
            {"TopicName": topic, "PartitionIndex": partition}]
    elif version < 3:
        more["Topics"] = [{"Name": topic, "PartitionIndexes": [partition]}]
    else:
        more["TopicStates"] = [{"TopicName": topic, "PartitionStates": [
            {"PartitionIndex": partition, "LeaderEpoch": epoch,
             "DeletePartition": delete}]}]
    if version < 3:
        more["DeletePartitions"] = delete
    answer = ask(client, "StopReplica", version, **more)
    rows = answer["PartitionErrors"]
    if rows:
        assert [(r["TopicName"], r["PartitionIndex"]) for r in rows] == [
            (topic, partition)]
    return answer["ErrorCode"], rows[0]["ErrorCode"] if rows else None


def lead(client, topic, epoch, partition=0, topic_id=uuid.UUID(int=0),
         is_new=True, isr=(0,), replicas=(0,)):
    answer = order(
        client, "LeaderAndIsr", 6, ControllerId=0, ControllerEpoch=EPOCH,
        TopicStates=[{
            "TopicName": topic, "TopicId": topic_id, "PartitionStates": [{
                "PartitionIndex": partition, "ControllerEpoch": EPOCH,
                "Leader": 0, "LeaderEpoch": epoch, "Isr": list(isr),
                "PartitionEpoch": epoch, "Replicas": list(replicas),
                "IsNew": is_new}]}],
        LiveLeaders=[{"BrokerId": 0, "HostName": "127.0.0.1", "Port": 1}])
    assert answer["ErrorCode"] == NONE
    return answer["Topics"][0]["PartitionErrors"][0]["ErrorCode"]


def directories(broker, topic, partition=0):
    """(the partition's, those that wait for their removal)"""
    return ((broker.data / f"{topic}-{partition}").exists(),
            len(list(broker.data.glob(f"{topic}-{partition}.*-delete"))))


# --- StopReplica -------------------------------------------------------------

@pytest.mark.parametrize("version", range(0, 5))
def test_stop_and_delete(shared_broker, client, pair, version):
    epoch = DURING_DELETE if version >= 3 else -1
    assert directories(shared_broker, pair) == (True, 0)
    assert stop(client, pair, version, epoch=epoch) == (NONE, NONE)
    assert directories(shared_broker, pair) == (False, 1)
    # the image still has the partition
    assert wire.produce(client, pair, wire.batch([b"x"]))[
        "ErrorCode"] == NOT_LEADER
    assert wire.fetch(client, pair, 0)["ErrorCode"] == NOT_LEADER
    assert wire.list_offset(client, pair, -1)["ErrorCode"] == NOT_LEADER
    # once more, and the other one is as it was
    assert stop(client, pair, version, epoch=epoch) == (NONE, NONE)
    assert len(wire.read_all(client, pair, 1)) == 3


@pytest.mark.parametrize("version", range(0, 5))
def test_stop_only(shared_broker, client, pair, version):
    """A leader goes on, and the log stays."""
    assert stop(client, pair, version, delete=False) == (NONE, NONE)
    assert directories(shared_broker, pair) == (True, 0)
    assert len(wire.read_all(client, pair)) == 3
    assert stop(client, "nothing-here", version) == (NONE, NONE)
    assert stop(client, "not a name", version) == (NONE, NONE)


@pytest.mark.ours
def test_stop_on_an_older_connection(broker):
    """What a controller took for lost, and has said again since."""
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    said = {"delete": False, "ask": wire.Client.call}
    for version in range(0, 5):
        with wire.Client(broker.address) as old, \
                wire.Client(broker.address) as new:
            assert wire.produce(new, "t", wire.batch([b"x"]))[
                "ErrorCode"] == NONE
            assert stop(old, "t", version, **said) == (NONE, NONE)
            # what is refused takes nobody's place
            assert stop(new, "t", 3, BrokerEpoch=0, **said) == (
                STALE_BROKER, None)
            assert stop(old, "t", version, **said) == (NONE, NONE)
            assert stop(new, "t", version, **said) == (NONE, NONE)
            with pytest.raises(wire.Closed):
                stop(old, "t", version, ask=wire.Client.call)
            assert directories(broker, "t") == (True, 0)
            assert len(wire.read_all(new, "t")) == version + 1
            assert stop(new, "t", version, **said) == (NONE, NONE)
    # the controller's own one was the oldest: it has made another
    harness.create_topic(broker, "u")
    harness.wait_topic(broker, "u")


@pytest.mark.parametrize("version", range(0, 5))
def test_stop_stale(client, pair, version):
    assert stop(client, pair, version, ControllerEpoch=EPOCH - 1) == (
        STALE_CONTROLLER, None)
    if version >= 1:
        assert stop(client, pair, version, BrokerEpoch=0) == (
            STALE_BROKER, None)
        assert stop(client, pair, version, BrokerEpoch=0,
                    ControllerEpoch=EPOCH - 1) == (STALE_BROKER, None)
    assert len(wire.read_all(client, pair)) == 3


@pytest.mark.parametrize("version", (3, 4))
def test_stop_leader_epochs(shared_broker, client, pair, version):
    told = client.call("Metadata", 10, Topics=[{"Name": pair}])["Topics"][0]
    assert lead(client, pair, 7, topic_id=told["TopicId"],
                is_new=False) == NONE
    assert stop(client, pair, version, epoch=6) == (NONE, FENCED)
    assert directories(shared_broker, pair) == (True, 0)
    assert stop(client, pair, version, epoch=7, delete=False) == (NONE, NONE)
    assert stop(client, pair, version, epoch=8) == (NONE, NONE)
    assert directories(shared_broker, pair) == (False, 1)
    # nothing is left to be fenced by
    assert stop(client, pair, version, epoch=0) == (NONE, NONE)


def test_stop_ends_a_waiting_fetch(shared_broker, client, pair):
    with wire.Client(shared_broker.address) as other:
        # longer than this client has patience
        waiting = other.send("Fetch", 12, **wire.fetch_request(
            pair, 3, max_wait_ms=10 * 60 * 1000))
        assert wire.list_offset(client, pair, -1)["ErrorCode"] == NONE
        assert stop(client, pair, epoch=DURING_DELETE) == (NONE, NONE)
        part = other.receive(waiting)["Responses"][0]["Partitions"][0]
        assert part["ErrorCode"] == NOT_LEADER


def test_stop_ends_a_waiting_produce(shared_broker, client, pair):
    """acks=all with a replica that is not there."""
    told = client.call("Metadata", 10, Topics=[{"Name": pair}])["Topics"][0]
    assert lead(client, pair, 3, topic_id=told["TopicId"], is_new=False,
                isr=(0, 9), replicas=(0, 9)) == NONE
    with wire.Client(shared_broker.address) as other:
        waiting = other.send(
            "Produce", 9, Acks=-1, TimeoutMs=25000, TopicData=[
                {"Name": pair, "PartitionData": [
                    {"Index": 0, "Records": wire.batch([b"x"])}]}])
        # it is in the log, and waits
        harness.wait_until(lambda: client.call(
            "OffsetForLeaderEpoch", 3, ReplicaId=-2, Topics=[
                {"Topic": pair, "Partitions": [
                    {"Partition": 0, "LeaderEpoch": 3}]}])["Topics"][0][
                        "Partitions"][0]["EndOffset"] == 4,
            what="the record is appended")
        assert stop(client, pair, epoch=DURING_DELETE) == (NONE, NONE)
        part = other.receive(waiting)["Responses"][0][
            "PartitionResponses"][0]
        assert part["ErrorCode"] == NOT_LEADER


def test_made_again_at_once(shared_broker, client, pair):
    """The same name, another topic: nothing of the old one comes back."""
    part = client.call("DeleteRecords", 2, TimeoutMs=10000, Topics=[
        {"Name": pair, "Partitions": [{"PartitionIndex": 0, "Offset": 2}]}])[
            "Topics"][0]["Partitions"][0]
    assert part["ErrorCode"] == NONE
    for i in range(3):
        assert stop(client, pair, epoch=DURING_DELETE) == (NONE, NONE)
        assert lead(client, pair, 0, topic_id=uuid.uuid4()) == NONE
        assert directories(shared_broker, pair) == (True, i + 1)
        assert wire.list_offset(client, pair, -2)["Offset"] == 0
        for n in range(2):
            part = wire.produce(client, pair, wire.batch([b"new"]))
            assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, n)
        assert [r[3] for r in wire.read_all(client, pair)] == [b"new"] * 2


@pytest.mark.ours
def test_deleted_is_not_told_of(shared_broker, client, pair):
    def told():
        return f'topic="{pair}"' in shared_broker.http("/metrics")[1]
    assert told()
    for partition in (0, 1):
        stop(client, pair, partition=partition, epoch=DURING_DELETE)
    assert not told()


@pytest.mark.ours
def test_made_again_and_killed(make_broker):
    """Deleted, made again, killed: the new records are there."""
    broker = make_broker(log_segment_delete_delay_ms=1000).start()
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as client:
        for i in range(20):
            wire.produce(client, "t", wire.batch([b"old %d" % i]))
        client.call("DeleteRecords", 2, TimeoutMs=10000, Topics=[
            {"Name": "t", "Partitions": [
                {"PartitionIndex": 0, "Offset": 15}]}])
        assert stop(client, "t", epoch=DURING_DELETE) == (NONE, NONE)
        told = client.call("Metadata", 10, Topics=[{"Name": "t"}])[
            "Topics"][0]
        assert lead(client, "t", 0, topic_id=told["TopicId"]) == NONE
        for i in range(5):
            assert wire.produce(client, "t", wire.batch([b"%d" % i]))[
                "ErrorCode"] == NONE
    broker.kill()
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as client:
        assert [r[3] for r in wire.read_all(client, "t")] == [
            b"%d" % i for i in range(5)]
    # what the kill left over goes as well
    harness.wait_until(lambda: directories(broker, "t") == (True, 0),
                       what="the old directory is removed")


# --- a topic, by its controller ----------------------------------------------

def delete_topic(client, name):
    return client.call("DeleteTopics", 5, TopicNames=[name],
                       TimeoutMs=20000)["Responses"][0]["ErrorCode"]


def create_when_gone(client, name, partitions):
    """Its znode goes a moment after the answer that it is deleted."""
    def made():
        error = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
            "Name": name, "NumPartitions": partitions,
            "ReplicationFactor": 1}])["Topics"][0]["ErrorCode"]
        assert error in (NONE, EXISTS)
        return error == NONE
    harness.wait_until(made, what=f"{name} can be made")


def test_topic_comes_and_goes(make_broker):
    """The same name again and again, with records each time."""
    broker = make_broker(log_segment_delete_delay_ms=500).start()
    with wire.Client(broker.address) as client:
        for i in range(5):
            create_when_gone(client, "t", 3)
            harness.wait_topic(broker, "t", 3)
            for partition in range(3):
                part = wire.produce(client, "t", wire.batch([b"%d" % i]),
                                    partition)
                assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, 0)
                assert [r[3] for r in wire.read_all(
                    client, "t", partition)] == [b"%d" % i]
            assert delete_topic(client, "t") == NONE
            harness.wait_until(
                lambda: not directories(broker, "t")[0],
                what="the directory has another name")
        harness.wait_until(lambda: directories(broker, "t") == (False, 0),
                           what="the files are removed")


@pytest.mark.ours
@pytest.mark.slow
def test_killed_while_topics_go(make_broker):
    """Whatever was deleted is deleted in the end; the rest is there."""
    broker = make_broker(log_segment_delete_delay_ms=100).start()
    deleted = set()
    for i in range(6):
        names = [f"r{i}-{n}" for n in range(4)]
        for name in names:
            harness.create_topic(broker, name, 4)
            harness.wait_topic(broker, name, 4)
        with wire.Client(broker.address) as client:
            for name in names:
                for partition in range(4):
                    part = wire.produce(client, name, wire.batch([b"x"]),
                                        partition)
                    assert part["ErrorCode"] == NONE
            client.send("DeleteTopics", 5, TopicNames=names[:3],
                        TimeoutMs=20000)
            time.sleep(0.004 * i)
        broker.kill()
        broker.start()
        with wire.Client(broker.address) as client:
            # a kill may have come before the request was taken
            for name in names[:3]:
                assert delete_topic(client, name) in (NONE, UNKNOWN_TOPIC)
                deleted.add(name)
            # on this connection: loops are told one after the other
            harness.wait_until(lambda: harness.is_led(
                client, names[3], 4), what=f"{names[3]} is led")
            for partition in range(4):
                assert len(wire.read_all(client, names[3], partition)) == 1
    harness.wait_until(
        lambda: not any(any(directories(broker, name, p))
                        for name in deleted for p in range(4)),
        seconds=60, what="all that was deleted is gone")
    # none of the names is spoilt
    with wire.Client(broker.address) as client:
        for name in sorted(deleted)[:3]:
            create_when_gone(client, name, 4)
            harness.wait_topic(broker, name, 4)
            assert wire.produce(client, name, wire.batch([b"y"]))[
                "BaseOffset"] == 0


# each is led by another one
LYING = ([0, 1, 2], [1, 2, 0], [2, 0, 1])


def write_all(brokers, values):
    """To each partition of t."""
    for partition, ids in enumerate(LYING):
        leader = brokers[ids[0]]
        harness.wait_leads(leader, "t", partition)
        with wire.Client(leader.address) as client:
            for n, value in enumerate(values):
                part = wire.produce(client, "t", wire.batch([value]),
                                    partition)
                assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, n)


def topic_nodes(zk):
    return [zk.exists(path) is not None for path in (
        "/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t")]


def topic_told(broker):
    with wire.Client(broker.address) as client:
        return client.call("Metadata", 10, Topics=[{"Name": "t"}],
                           AllowAutoTopicCreation=False)["Topics"][0]


def files_of(broker):
    return sorted(p.name for p in broker.data.glob("t-*"))


@pytest.mark.parametrize("changes", (False, True),
                         ids=("same controller", "another controller"))
@pytest.mark.parametrize("away", (0, 1), ids=("controller", "broker"))
def test_deleted_while_one_is_away(make_brokers, away, changes):  # noqa: F811
    """The topic goes from those who live, and waits for who had a replica; what
    it comes back with is not what has the name later on."""
    brokers = make_brokers(3, log_segment_delete_delay_ms=500)
    with harness.Zk(brokers[0]) as zk:
        with wire.Client(brokers[0].address) as client:
            create_on(client, "t", *LYING)
        write_all(brokers, [b"old"] * 5)
        old = topic_told(brokers[0])["TopicId"]
        gone, live = brokers[away], [b for b in brokers
                                     if b.broker_id != away]
        gone.kill()
        for partition, ids in enumerate(LYING):
            in_sync(live[0], "t", [i for i in ids if i != away], partition)
        had = files_of(gone)
        assert len(had) == 3

        def now_controls():
            harness.wait_until(lambda: controller(zk) not in (-1, away),
                               what="a controller")
            return brokers[controller(zk)]
        with wire.Client(now_controls().address) as client:
            harness.wait_until(
                lambda: delete_topic(client, "t") == NONE, what="it is taken")
        if changes:
            harness.restart(now_controls())
        for broker in live:
            harness.wait_until(lambda b=broker: not files_of(b),
                               what="who lives has no files")
            harness.wait_until(
                lambda b=broker: topic_told(b)["ErrorCode"] == UNKNOWN_TOPIC,
                what="nobody is told of it")
        assert topic_nodes(zk) == [True] * 3
        with wire.Client(now_controls().address) as client:
            assert client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
                "Name": "t", "NumPartitions": 3, "ReplicationFactor": 2}])[
                    "Topics"][0]["ErrorCode"] == EXISTS
        assert files_of(gone) == had

        gone.start()
        harness.wait_until(lambda: not any(topic_nodes(zk)),
                           what="its nodes are gone")
        harness.wait_until(lambda: not files_of(gone),
                           what="who was away has no files")
        with wire.Client(now_controls().address) as client:
            create_on(client, "t", *LYING)
    write_all(brokers, [b"new", b"newer"])
    assert {topic_told(b)["TopicId"] for b in brokers} & {old} == set()
    for partition, ids in enumerate(LYING):
        in_sync(brokers[0], "t", ids, partition)
        with wire.Client(brokers[ids[0]].address) as client:
            assert [(r[0], r[3]) for r in wire.read_all(
                client, "t", partition)] == [(0, b"new"), (1, b"newer")]
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="all have the new one")


# --- DeleteRecords -----------------------------------------------------------

def delete_records(client, topic, offset, version=2, partition=0,
                   timeout_ms=10000):
    topics = client.call(
        "DeleteRecords", version, TimeoutMs=timeout_ms, Topics=[
            {"Name": topic, "Partitions": [
                {"PartitionIndex": partition, "Offset": offset}]}])["Topics"]
    assert [t["Name"] for t in topics] == [topic]
    part = topics[0]["Partitions"][0]
    assert part["PartitionIndex"] == partition
    return part["ErrorCode"], part["LowWatermark"]


@pytest.mark.parametrize("version", range(0, 3))
def test_delete_records(client, pair, version):
    assert delete_records(client, pair, 1, version) == (NONE, 1)
    assert wire.list_offset(client, pair, -2)["Offset"] == 1
    assert wire.fetch(client, pair, 0)["ErrorCode"] == OUT_OF_RANGE
    assert [r[0] for r in wire.read_all(client, pair, offset=1)] == [1, 2]
    # not back again, and not too far
    assert delete_records(client, pair, 0, version) == (NONE, 1)
    assert delete_records(client, pair, 4, version) == (OUT_OF_RANGE, -1)
    assert delete_records(client, pair, -2, version) == (OUT_OF_RANGE, -1)
    # all there is
    assert delete_records(client, pair, -1, version) == (NONE, 3)
    assert wire.list_offset(client, pair, -2)["Offset"] == 3
    assert wire.produce(client, pair, wire.batch([b"x"]))["BaseOffset"] == 3
    assert wire.list_offset(client, pair, -2, 1)["Offset"] == 0


@pytest.mark.parametrize("version", range(0, 3))
def test_delete_records_refused(shared_broker, client, pair, version):
    assert delete_records(client, "no-such-topic", 0, version) == (
        UNKNOWN_TOPIC, -1)
    assert delete_records(client, pair, 0, version, 7) == (UNKNOWN_TOPIC, -1)
    assert stop(client, pair) == (NONE, NONE)
    assert delete_records(client, pair, 0, version) == (NOT_LEADER, -1)
    answer = client.call("DeleteRecords", version, TimeoutMs=1000, Topics=[])
    assert answer["Topics"] == []


def test_delete_records_of_a_follower_that_is_away(client, pair):
    """Its low watermark is not known, but it does not live."""
    told = client.call("Metadata", 10, Topics=[{"Name": pair}])["Topics"][0]
    assert lead(client, pair, 3, topic_id=told["TopicId"], is_new=False,
                replicas=(0, 9)) == NONE
    assert delete_records(client, pair, 2) == (NONE, 2)


@pytest.mark.ours
def test_delete_records_outlives_a_kill(broker):
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as client:
        for i in range(10):
            wire.produce(client, "t", wire.batch([b"%d" % i]))
        assert delete_records(client, "t", 6) == (NONE, 6)
    broker.kill()
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as client:
        assert wire.list_offset(client, "t", -2)["Offset"] == 6
        assert [r[0] for r in wire.read_all(client, "t", offset=6)] == [
            6, 7, 8, 9]


@pytest.mark.slow
def test_delete_records_removes_segments(make_broker):
    broker = make_broker(log_retention_check_interval_ms=500,
                         log_initial_task_delay_ms=500,
                         log_segment_delete_delay_ms=100).start()
    harness.create_topic(broker, "t", segment_bytes=2000)
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as client:
        for i in range(20):
            wire.produce(client, "t", wire.batch([b"." * 700]))
        before = len(broker.log_files("t"))
        assert before > 5
        assert delete_records(client, "t", 11) == (NONE, 11)
        harness.wait_until(lambda: len(broker.log_files("t")) <= before - 4,
                           what="segments below the start are removed")
        assert [r[0] for r in wire.read_all(client, "t", offset=11)] == list(
            range(11, 20))
