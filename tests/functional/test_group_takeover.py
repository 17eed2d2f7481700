# SPDX-License-Identifier: Apache-2.0
"""Groups with members whose coordinator dies, stops, or is another one from now
on: the next one has their generation, members and offsets, and they go on."""

import json
import threading
import uuid

import confluent_kafka
import pytest

import harness
import wire
from test_elect_leaders import PREFERRED, elect, errors
from test_groups import (
    COMING, FENCED_INSTANCE, ILLEGAL_GENERATION, NONE, REBALANCE,
    UNKNOWN_MEMBER, Member, describe, is_loaded, settled, stable)
from test_offsets import commit_all, everything, fetch_groups
from test_reassign import move as reassign, moving
from test_replication import (  # noqa: F401
    PATIENT, in_sync, make_brokers, state)

OFFSETS, PARTITIONS = "__consumer_offsets", 3
NOT_COORDINATOR = 16
# with REQUEST_TIMED_OUT, as long as a replica that is dead counts as in sync
ASK_AGAIN = {7, *COMING}


@pytest.fixture
def brokers(make_brokers):  # noqa: F811
    """Three; each coordinates the groups of one partition."""
    three = make_brokers(3, **PATIENT, **{
        "group.initial.rebalance.delay.ms": 500,
        "offsets.topic.replication.factor": 3,
        "offsets.topic.num.partitions": PARTITIONS,
        "min.insync.replicas": 2})
    with wire.Client(three[0].address) as client:
        harness.wait_until(
            lambda: client.call("FindCoordinator", 0, Key="g")["ErrorCode"]
            == NONE, what="a coordinator")
    harness.create_topic(three[0], "t", 2, 3)
    for topic, partitions in ((OFFSETS, PARTITIONS), ("t", 2)):
        for broker in three:
            harness.wait_topic(broker, topic, partitions)
    assert {state(three[0], OFFSETS, p)["leader"]
            for p in range(PARTITIONS)} == {0, 1, 2}
    for broker in three:
        group = group_of(three, broker.broker_id)
        with wire.Client(broker.address) as client:
            harness.wait_until(lambda: is_loaded(client, group),
                               what=f"{group} is loaded")
    return three


def told_coordinator(asked, group):
    """The broker's id, or None while there is none."""
    with wire.Client(asked.address) as client:
        answer = client.call("FindCoordinator", 0, Key=group)
    return None if answer["ErrorCode"] else answer["NodeId"]


def group_of(brokers, broker_id):
    """The name of a group that it coordinates."""
    while True:
        name = f"group-{uuid.uuid4().hex[:8]}"
        if told_coordinator(brokers[0], name) == broker_id:
            return name


def partition_of(group):
    """Its partition of __consumer_offsets, as Kafka finds it."""
    number = 0
    for c in group:
        number = number * 31 + ord(c) & 0xFFFFFFFF
    return (0 if number == 1 << 31 else
            min(number, (1 << 32) - number)) % PARTITIONS


def taken_over(brokers, group, before):
    """Waits for a coordinator that is another one, and has it."""
    live = [b for b in brokers if b.process is not None]

    def found():
        ids = {told_coordinator(b, group) for b in live}
        if len(ids) > 1 or ids & {None, before}:
            return None
        broker = brokers[ids.pop()]
        answer = describe(broker, group)[0]
        return None if answer["ErrorCode"] in COMING else broker
    return harness.wait_until(found, what=f"{group} is taken over")


def move(member, broker):
    member.client.close()
    member.client, member.broker = wire.Client(broker.address), broker


def commit(member, offsets, generation=None):
    """{partition: offset} of t, as that member; the errors."""
    return set(commit_all(
        member.client, member.group,
        {"t": [(p, o, f"by {member.id}", 0) for p, o in offsets.items()]},
        MemberId=member.id, GroupInstanceId=member.instance,
        GenerationIdOrMemberEpoch=member.generation
        if generation is None else generation).values())


def newcomer(broker, *members):
    """One that comes to those who are there."""
    new = Member(broker, members[0].group, join=3)
    new.send_join()
    for m in members:
        harness.wait_until(lambda m=m: m.beat() == REBALANCE,
                           what="a rebalance")
        m.send_join()
    settled(*members, new)
    return new


def lead(brokers, broker, group):
    """It coordinates from now on, while all live."""
    partition = partition_of(group)
    in_sync(brokers[0], OFFSETS, [0, 1, 2], partition)
    with harness.Zk(brokers[0]) as zk:
        controller = brokers[json.loads(zk.get("/controller")[0])["brokerid"]]
    others = [b.broker_id for b in brokers if b is not broker]
    with wire.Client(controller.address) as client:
        assert reassign(client, [broker.broker_id, *others], OFFSETS,
                        partition) == NONE
        harness.wait_until(lambda: not moving(client), what="its order")
        assert errors(elect(client, PREFERRED, [(OFFSETS, [partition])])) == {
            (OFFSETS, partition): NONE}
    harness.wait_until(lambda: {told_coordinator(b, group) for b in brokers} ==
                       {broker.broker_id}, what="it coordinates")


class Known:
    """What a coordinator knows of a group, to be found with the next one."""

    def __init__(self, broker, members):
        self.broker, self.members = broker, members
        self.group = members[0].group
        self.seen = self.look(broker)
        assert self.seen[0]["GroupState"] == "Stable"
        assert {m["MemberId"] for m in self.seen[0]["Members"]} == {
            m.id for m in members}
        assert self.seen[1]

    def look(self, broker):
        with wire.Client(broker.address) as client:
            return (describe(broker, self.group)[0],
                    fetch_groups(client, [self.group])[self.group][1])

    def same_with(self, broker):
        """The generation is told to no one: it is seen by what is refused."""
        assert self.look(broker) == self.seen
        for i, m in enumerate(self.members):
            move(m, broker)
            assert m.beat() == NONE
            for other in (m.generation - 1, m.generation + 1):
                assert m.beat(GenerationId=other) == ILLEGAL_GENERATION
                assert commit(m, {0: 0}, other) == {ILLEGAL_GENERATION}
            answer = m.sync()
            assert (answer["ErrorCode"], answer["Assignment"]) == (
                NONE, b"part %d" % i)
            if m.instance:
                assert m.beat(MemberId="other") == FENCED_INSTANCE
        assert self.look(broker) == self.seen


@pytest.mark.parametrize("end, coordinator", (
    ("kill", 0), ("kill", 1), ("stop", 2)))
def test_group_is_taken_over(brokers, end, coordinator):
    """And given back, while all live."""
    first, group = brokers[coordinator], group_of(brokers, coordinator)
    members = [Member(first, group, instance=i) for i in (None, "fixed")]
    stable(*members)
    generation = members[0].generation
    assert commit(members[0], {0: 100, 1: 7}) == {NONE}
    assert commit(members[1], {1: 8}) == {NONE}
    known = Known(first, members)
    getattr(first, end)()
    second = taken_over(brokers, group, coordinator)
    known.same_with(second)
    # it goes on: commits, and a rebalance, which is the next generation
    assert commit(members[1], {1: 9}) == {NONE}
    members.append(newcomer(second, *members))
    assert {m.generation for m in members} == {generation + 1}
    assert commit(members[2], {0: 101}) == {NONE}
    known = Known(second, members)
    first.start()
    lead(brokers, first, group)
    # those of its first time are not what it knows
    assert members[0].beat() == NOT_COORDINATOR
    assert commit(members[0], {0: 5}) == {NOT_COORDINATOR}
    taken_over(brokers, group, second.broker_id)
    known.same_with(first)
    assert commit(members[0], {1: 10}) == {NONE}
    with wire.Client(first.address) as client:
        assert everything(client, group) == {("t", 0): 101, ("t", 1): 10}
    for m in members:
        assert m.leave()["Members"][0]["ErrorCode"] == NONE
        m.close()
    assert describe(first, group)[0]["GroupState"] == "Empty"


def test_who_waits_is_told(brokers):
    """A JoinGroup and a SyncGroup that wait when another one coordinates.  What
    was not written then is not known: each group is as before its rebalance."""
    first, second = brokers[1:]
    joining, syncing = (group_of(brokers, 1) for _ in range(2))
    old = [Member(first, joining), Member(first, syncing)]
    new = [Member(first, m.group, join=3) for m in old]  # need no id to wait
    for m in old:
        stable(m)
    for m, other in zip(old, new):
        other.send_join()
        harness.wait_until(lambda m=m: m.beat() == REBALANCE,
                           what="a rebalance")
    old[1].send_join()
    for m in (old[1], new[1]):
        assert m.joined()["ErrorCode"] == NONE
        assert m.generation == 2
    follower = new[1] if old[1].leads else old[1]
    follower.send_sync()
    lead(brokers, second, joining)
    for waiting in (new[0], follower):
        assert waiting.client.receive()["ErrorCode"] == NOT_COORDINATOR
    for m in (*old, *new):
        assert taken_over(brokers, m.group, 1) is second
        move(m, second)
    assert [m.beat() for m in (*old, new[1])] == [
        NONE, ILLEGAL_GENERATION, UNKNOWN_MEMBER]
    old[1].generation = 1
    for m, other in zip(old, new):
        other.close()
        again = newcomer(second, m)
        assert m.generation == again.generation == 2
        m.close()
        again.close()


class Committer:
    """A member that commits ever higher offsets, and reads each back, with
    whoever coordinates; it is told only what makes a client ask again."""

    def __init__(self, brokers, coordinator):
        self.brokers = brokers
        self.member = Member(brokers[coordinator],
                             group_of(brokers, coordinator))
        stable(self.member)
        self.acknowledged, self.error = 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.stopping.is_set():
                offset = self.acknowledged + 1
                self._until(lambda: commit(self.member, {0: offset}))
                self.acknowledged = offset
                self._until(self._read)
                self._until(lambda: {self.member.beat()})
                self.stopping.wait(0.01)
        except Exception as e:  # noqa: BLE001: told by well()
            self.error = e

    def _read(self):
        error, rows = fetch_groups(self.member.client, [self.member.group])[
            self.member.group]
        if error == NONE:
            at = {k: (p["CommittedOffset"], p["ErrorCode"])
                  for k, p in rows.items()}
            assert at == {("t", 0): (self.acknowledged, NONE)}
        return {error}

    def _until(self, ask):
        """Is answered without an error."""
        def answered():
            try:
                errors_told = ask()
            except (wire.Closed, OSError):
                errors_told = {NOT_COORDINATOR}
            if errors_told == {NONE}:
                return True
            assert errors_told <= ASK_AGAIN, errors_told
            self._find()
            return False
        harness.wait_until(answered, what="a coordinator takes it")

    def _find(self):
        for broker in self.brokers:
            try:
                at = told_coordinator(broker, self.member.group)
                if at is not None:
                    move(self.member, self.brokers[at])
                    return
            except (wire.Closed, OSError):
                pass    # it is away, or who is named

    def goes_on(self, more=10):
        target = self.acknowledged + more
        harness.wait_until(
            lambda: self.error or self.acknowledged >= target,
            what=f"{self.member.group} commits")
        assert self.error is None, repr(self.error)

    def end(self):
        self.stopping.set()
        self.thread.join()
        self.member.close()
        assert self.error is None, repr(self.error)


def test_lag_of_what_others_lead(brokers):
    """The coordinator tells it, whoever leads; another one does, too, when it
    has come to be that."""
    lag = "kafka_consumergroup_lag"
    harness.create_topic(brokers[0], "wide", 3)
    clients = [wire.Client(b.address) for b in brokers]
    led = {state(brokers[0], "wide", p)["leader"]: p for p in range(3)}
    assert set(led) == {0, 1, 2}
    first, group = brokers[0], group_of(brokers, 0)

    def write(broker_id, count):
        assert wire.produce(clients[broker_id], "wide",
                            wire.batch([b"x"] * count),
                            led[broker_id])["ErrorCode"] == NONE

    def told(broker):
        return {n: broker.metric(lag, group=group, topic="wide", partition=p)
                for n, p in led.items()}

    def tells(broker, expected):
        harness.wait_until(lambda: told(broker) == expected, pause=0.5,
                           what=f"{broker.broker_id} tells {expected}")

    for broker in brokers:
        harness.wait_topic(broker, "wide", 3)
        write(broker.broker_id, 10 + broker.broker_id)
    assert set(commit_all(clients[0], group, {"wide": [
        (p, 2) for p in led.values()]}).values()) == {NONE}
    tells(first, {0: 8, 1: 9, 2: 10})
    write(2, 30)
    tells(first, {0: 8, 1: 9, 2: 40})
    for broker in brokers[1:]:
        assert group not in broker.http("/metrics")[1]
    lead(brokers, brokers[1], group)
    write(0, 1)
    tells(brokers[1], {0: 9, 1: 9, 2: 40})
    assert group not in first.http("/metrics")[1]
    for client in clients:
        client.close()


@pytest.mark.slow
def test_commits_never_go_back(brokers):
    """Each coordinator is killed in its turn, comes back, and has its groups
    again."""
    committers = [Committer(brokers, n) for n in range(3)]
    partitions = [partition_of(c.member.group) for c in committers]
    generations = [c.member.generation for c in committers]
    for broker, own in zip(brokers, committers):
        for c in committers:
            c.goes_on()
        broker.kill()
        taken_over(brokers, own.member.group, broker.broker_id)
        for c in committers:
            c.goes_on()
        broker.start()
        lead(brokers, broker, own.member.group)
    for c in committers:
        c.goes_on()
        c.end()
    assert sorted(partitions) == [0, 1, 2]
    for broker, c, generation in zip(brokers, committers, generations):
        m = c.member
        move(m, broker)
        assert (m.beat(), m.generation) == (NONE, generation)
        with wire.Client(broker.address) as client:
            assert everything(client, m.group) == {
                ("t", 0): c.acknowledged}
        m.close()


class Reader:
    """A member by librdkafka, and what its application is told."""

    def __init__(self, brokers, group):
        self.read, self.told = {}, []
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": ",".join(b.address for b in brokers),
            "group.id": group, "auto.offset.reset": "earliest",
            "session.timeout.ms": 60000, "heartbeat.interval.ms": 300,
            "auto.commit.interval.ms": 200})
        self.consumer.subscribe(
            ["t"], on_assign=lambda _, parts: self.told.append(len(parts)),
            on_revoke=lambda *_: self.told.append("revoked"),
            on_lost=lambda *_: self.told.append("lost"))
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            message = self.consumer.poll(0.05)
            if message is None:
                continue
            if message.error() is not None:
                self.told.append(message.error())
            else:
                self.read.setdefault(message.partition(), []).append(
                    message.offset())

    def end(self):
        self.stopping.set()
        self.thread.join()
        self.consumer.close()


@pytest.mark.slow
def test_applications_go_on(brokers):
    """librdkafka's members keep what they were assigned, read each record once,
    and commit with the next one."""
    group = group_of(brokers, 1)
    readers = [Reader(brokers, group) for _ in range(2)]
    harness.wait_until(
        lambda: all(r.told[-1:] == [1] for r in readers), what="both share")
    for r in readers:
        r.told.clear()
    known = describe(brokers[1], group)[0]
    count = 0

    def more():
        nonlocal count
        live = [b.address for b in brokers if b.process is not None]
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": ",".join(live), "acks": "all",
             "enable.idempotence": True})
        for n in range(20):
            producer.produce("t", b"%d" % n, partition=n % 2)
        assert producer.flush(harness.PATIENCE) == 0
        count += 10
        harness.wait_until(
            lambda: sorted(p for r in readers for p in r.read) == [0, 1] and
            all(o == list(range(count)) for r in readers
                for o in r.read.values()), what="each record is read once")

    def goes_on(broker):
        more()
        with wire.Client(broker.address) as client:
            harness.wait_until(lambda: everything(client, group) == {
                ("t", 0): count, ("t", 1): count}, what="it is committed")
        assert describe(broker, group)[0] == known
        assert [r.told for r in readers] == [[], []]
    try:
        goes_on(brokers[1])
        brokers[1].kill()
        goes_on(taken_over(brokers, group, 1))
        brokers[1].start()
        lead(brokers, brokers[1], group)
        goes_on(brokers[1])
    finally:
        for r in readers:
            r.end()
