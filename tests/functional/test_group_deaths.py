# SPDX-License-Identifier: Apache-2.0
"""A coordinator is killed while members of a group wait for its answer to their
JoinGroup or SyncGroup, or right behind a commit that it acknowledged.  With one
broker it comes back on its directory, with three another one takes over: all
come back into the group by themselves, nothing that was written is unread, and
no committed offset goes back."""

import subprocess
import types

import pytest

import harness
import wire
from raw_members import assignment
from test_group_clients import Confluent, Python, shared_out
from test_group_clients import until as clients_until
from test_group_takeover import commit, group_of, move, taken_over
from test_groups import (
    COMING, FENCED_INSTANCE, ILLEGAL_GENERATION, NONE, REBALANCE, Member,
    describe, stable, state)
from test_offsets import everything, subscription
from test_replication import PATIENT, hung, make_brokers  # noqa: F401
from test_rolling import PARTITIONS, TOPIC, Producer

# from one to the next there is an auto commit or two
PACE = {"linger.ms": 50, "queue.buffering.max.messages": 50}
AUTO = {Confluent: {"enable.auto.commit": True, "auto.commit.interval.ms": 200,
                    "partition.assignment.strategy": "range"},
        Python: {"enable_auto_commit": True, "auto_commit_interval_ms": 200}}
# of a member that does not come back
SESSION_MS = 6000


def start(make, count, prepare=None):
    """Brokers, of which each coordinates a partition's groups if there are
    three, with the topics that clients read, and raw members commit."""
    brokers = make(count, prepare, **PATIENT, **{
        "group.initial.rebalance.delay.ms": 500,
        "offsets.topic.replication.factor": count,
        "offsets.topic.num.partitions": 3,
        "min.insync.replicas": min(count, 2)})
    for name, partitions in (("t", 2), (TOPIC, PARTITIONS)):
        harness.create_topic(brokers[0], name, partitions, count)
        for broker in brokers:
            harness.wait_topic(broker, name, partitions)
    return brokers


def coordinated_by(brokers, broker):
    """The name of a group, and its coordinator knows it."""
    with wire.Client(broker.address) as client:
        harness.wait_until(
            lambda: client.call("FindCoordinator", 0, Key="g")["ErrorCode"]
            == NONE, what="a coordinator")
    group = group_of(brokers, broker.broker_id)
    harness.wait_until(lambda: describe(broker, group)[0]["ErrorCode"]
                       not in COMING, what=f"{group} is loaded")
    return group


def waiting(broker, request):
    """How many of that kind have been taken up and are not answered."""
    taken_up = broker.metric("kafka_network_requestmetrics_requests_total",
                             request=request)
    return taken_up - broker.metric(
        "kafka_network_requestmetrics_totaltime_ms_count", request=request)


def next_coordinator(brokers, group, dead):
    """It was killed.  Who is alone comes back."""
    if len(brokers) > 1:
        return taken_over(brokers, group, dead.broker_id)
    if dead.process is None:
        dead.start()
    return taken_over(brokers, group, None)


class Holder(Member):
    """A member by raw requests, which reads nothing, and takes part until it
    is to hold the others back.  Who leads shares the topic out to them."""

    def __init__(self, broker, group):
        super().__init__(broker, group, SessionTimeoutMs=SESSION_MS,
                         Protocols=[("range", subscription())])

    def come(self):
        self.ask_id()
        self.send_join()
        self._settle()

    def _settle(self):
        answer = self.joined()
        assert answer["ErrorCode"] == NONE
        others = [m["MemberId"] for m in answer["Members"]
                  if m["MemberId"] != self.id]
        shares = [(m, assignment(*range(i, PARTITIONS, len(others)),
                                 topic=TOPIC)) for i, m in enumerate(others)]
        # or another one has come
        assert self.sync(shares)["ErrorCode"] in (NONE, REBALANCE)

    def take_part(self):
        error = self.beat()
        assert error in (NONE, REBALANCE)
        if error == REBALANCE:
            self.send_join()
            self._settle()


class Deaths:
    """Members that read and commit what is written all the while, and what may
    be said of them when their coordinator has died."""

    floor = None

    def __init__(self, brokers, coordinator):
        self.brokers, self.coordinator = brokers, coordinator
        self.group = coordinated_by(brokers, coordinator)
        self.members, self.committed, self.marks = [], {}, []
        self.producer = Producer(brokers, "once",
                                 **{"enable.idempotence": True, **PACE})

    def come(self, *kinds, **more):
        for kind in kinds:
            self.members.append(kind(types.SimpleNamespace(
                address=",".join(b.address for b in self.brokers)),
                TOPIC, self.group, **AUTO[kind], **more))

    def until(self, condition):
        clients_until(condition, *self.members)

    def share(self, meanwhile=lambda: None):
        """All have a part, and go on."""
        def share():
            meanwhile()
            return shared_out(*self.members, partitions=PARTITIONS)
        self.until(share)
        self.read_on(meanwhile)

    def read_on(self, meanwhile=lambda: None):
        """All read, and of each partition something is committed; what was read
        before it was is told by then."""
        def committed():
            meanwhile()
            self.look(self.coordinator)
            return {(TOPIC, p) for p in range(PARTITIONS)} <= set(
                self.committed)
        self.until(committed)
        counts = [len(m.values) for m in self.members]

        def read():
            meanwhile()
            return all(len(m.values) > n
                       for m, n in zip(self.members, counts))
        self.until(read)

    def look(self, broker):
        """No committed offset goes back, or away.  Behind the death it stays
        at what was committed before: librdkafka may send an older commit
        again when a newer one is through."""
        floor = self.committed if self.floor is None else self.floor
        with wire.Client(broker.address) as client:
            self.committed = everything(client, self.group)
        for where, offset in floor.items():
            assert self.committed.get(where, -1) >= offset, (
                where, self.committed, floor)

    def mark(self, floor):
        """What is committed: nobody reads again what lies below it."""
        self.floor = floor
        self.marks = [len(m.places) for m in self.members]

    def _read_again(self):
        return [(p, offset) for m, n in zip(self.members, self.marks)
                for p, offset in m.places[n:]
                if offset < self.floor.get((TOPIC, p), 0)]

    def kill_in(self, name, count):
        """All wait in that state; who commits now tells what it knows."""
        self.look(self.coordinator)
        self.mark(self.committed)
        found = describe(self.coordinator, self.group)[0]
        self.coordinator.kill()
        assert (found["GroupState"], len(found["Members"])) == (name, count)

    def go_on(self):
        """With the next coordinator."""
        dead = self.coordinator
        self.coordinator = next_coordinator(self.brokers, self.group, dead)
        self.look(self.coordinator)

        def settled():
            self.look(self.coordinator)
            found = describe(self.coordinator, self.group)[0]
            return (found["ErrorCode"], found["GroupState"],
                    len(found["Members"])) == (
                        NONE, "Stable", len(self.members)) and shared_out(
                            *self.members, partitions=PARTITIONS)
        self.until(settled)
        if dead.process is None:
            dead.start()
        self.share()
        self.read_all()

    def read_all(self, more=lambda: ()):
        """more(): what others have read."""
        self.producer.end()
        sent = {self.producer.value(n) for n in range(self.producer.sent)}
        self.until(lambda: sent == {v for m in self.members
                                    for v in m.values}.union(more()))

        def all_committed():
            self.look(self.coordinator)
            return sum(o for (topic, _), o in self.committed.items()
                       if topic == TOPIC) == len(sent)
        self.until(all_committed)
        assert self._read_again() == []

    def end(self):
        self.producer.stopping.set()
        self.producer.thread.join()
        # one after another: who joins again waits for those who are members
        for m in self.members:
            m.close()


@pytest.fixture
def deaths(make_brokers):  # noqa: F811
    made = []

    def make(count, coordinator, prepare=None):
        brokers = start(make_brokers, count, prepare)
        made.append(Deaths(brokers, brokers[coordinator]))
        return made[-1]
    yield make
    for d in made:
        d.end()


# broker 0 is the controller
@pytest.mark.slow
@pytest.mark.ours
@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 1)))
def test_killed_in_join(deaths, count, coordinator):
    """One who came, and those who were there, wait for one that does not join
    again, and dies with the coordinator."""
    d = deaths(count, coordinator)
    d.come(Confluent, Python)
    d.share()
    holder = Holder(d.coordinator, d.group)
    holder.come()
    assert not holder.leads
    d.share(holder.take_part)
    d.come(Confluent)
    d.until(lambda: holder.beat() == REBALANCE and
            waiting(d.coordinator, "JoinGroup") == 3)
    assert commit(holder, {0: 7}) == {NONE}
    d.kill_in("PreparingRebalance", 4)
    holder.close()
    d.go_on()
    assert d.committed["t", 0] == 7


@pytest.mark.slow
@pytest.mark.ours
@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 2)))
def test_killed_in_first_join(deaths, count, coordinator):
    """The next coordinator has never heard of the group."""
    def slow(broker):
        if broker.broker_id == coordinator:
            broker.set(group_initial_rebalance_delay_ms=300000)
    d = deaths(count, coordinator, slow)
    d.come(Confluent, Python)
    d.until(lambda: waiting(d.coordinator, "JoinGroup") == 2)
    d.kill_in("PreparingRebalance", 2)
    d.coordinator.set(group_initial_rebalance_delay_ms=500)
    d.go_on()


@pytest.mark.slow
@pytest.mark.ours
@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 0)))
def test_killed_in_sync(deaths, count, coordinator):
    """All wait for a leader, which dies with the coordinator, to assign."""
    d = deaths(count, coordinator)
    holder = Holder(d.coordinator, d.group)
    holder.come()
    assert holder.leads
    d.come(Confluent, Python)
    d.share(holder.take_part)
    assert commit(holder, {0: 7}) == {NONE}
    d.come(Confluent)
    d.until(lambda: holder.beat() == REBALANCE)
    holder.send_join()
    assert len(holder.joined()["Members"]) == 4
    d.until(lambda: holder.beat() == NONE and
            waiting(d.coordinator, "SyncGroup") == 3)
    d.kill_in("CompletingRebalance", 4)
    holder.close()
    d.go_on()
    assert d.committed["t", 0] == 7


@pytest.mark.slow
@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 2)))
def test_killed_behind_a_commit(deaths, count, coordinator):
    d = deaths(count, coordinator)
    d.come(Confluent, Python, Confluent)
    d.share()
    assert state(d.coordinator, d.group) == "Stable"
    who = d.members[0]

    def commit_and_kill():
        """On the member's thread, which alone reads what it has."""
        positions = who.consumer.position(who.consumer.assignment())
        assert all(p.offset > 0 for p in positions)
        answers = who.consumer.commit(offsets=positions, asynchronous=False)
        d.coordinator.kill()
        assert all(p.error is None for p in answers)
        d.mark({**d.committed, **{
            (TOPIC, p.partition): p.offset for p in positions}})
    who.commit = commit_and_kill
    who.committing.set()
    d.until(lambda: not who.committing.is_set())
    d.go_on()


# --- members that die, too ----------------------------------------------------

def completing(*members):
    """A rebalance of those who are stable, up to the answers to their
    JoinGroups; who leads comes first."""
    leader, *followers = sorted(members, key=lambda m: not m.leads)
    leader.send_join()
    for m in followers:
        harness.wait_until(lambda m=m: m.beat() == REBALANCE,
                           what="a rebalance")
        m.send_join()
    assert {m.joined()["ErrorCode"] for m in members} == {NONE}
    return leader, *followers


def alone(member):
    """Joins and syncs, as clients do, until it is the only member."""
    while True:
        answer = member.join()
        assert answer["ErrorCode"] == NONE
        synced = member.sync([(member.id, b"all")])
        if synced["ErrorCode"] == REBALANCE:  # the other one's session ended
            continue
        assert synced["ErrorCode"] == NONE
        if [m["MemberId"] for m in answer["Members"]] == [member.id]:
            assert synced["Assignment"] == b"all"
            return
        harness.wait_until(lambda: member.beat() == REBALANCE,
                           what="the end of a session")


def pair(broker, group, instances=(None, None), **more):
    """Two members, of which one committed: (who leads, who follows)."""
    members = [Member(broker, group, instance=i, **more) for i in instances]
    leader = stable(*members)
    assert commit(leader, {0: 5}) == {NONE}
    return leader, members[members[0] is leader]


def are(broker, name, members):
    """Each one's group is in that state."""
    groups = [m.group for m in members]
    assert {g["GroupState"] for g in describe(broker, *groups)} == {name}


@pytest.mark.parametrize("count, coordinator, killed", (
    (1, 0, False), (1, 0, True), (3, 1, True)))
def test_member_dies_between_join_and_sync(
        make_brokers, count, coordinator, killed):  # noqa: F811
    """Its session ends with the coordinator that gave it its generation; or
    with the next one, which knows it of the generation before."""
    brokers = start(make_brokers, count)
    first = brokers[coordinator]
    pairs = [pair(first, coordinated_by(brokers, first)) for _ in range(2)]
    (dead_leader, follower), (leader, dead_follower) = pairs
    for m in (dead_leader, dead_follower):
        m.settings["SessionTimeoutMs"] = SESSION_MS
    for members in pairs:
        stable(*members)
        completing(*members)
    for m in (dead_leader, dead_follower):
        m.close()
    follower.send_sync()
    are(first, "CompletingRebalance", (leader, follower))
    if killed:
        first.kill()
        for m in (leader, follower):
            move(m, next_coordinator(brokers, m.group, first))
            assert m.beat() == ILLEGAL_GENERATION
    else:
        assert follower.client.receive()["ErrorCode"] == REBALANCE
    for m in (leader, follower):
        alone(m)
        assert m.generation == (3 if killed else 4)
        with wire.Client(m.broker.address) as client:
            assert everything(client, m.group) == {("t", 0): 5}
        m.close()


def comes_back(broker, old, other, part):
    """A static member as its host starts it anew: it takes its old self's
    place, and no one else hears of it."""
    new = Member(broker, old.group, instance=old.instance)
    answer = new.join()
    assert (answer["ErrorCode"], answer["GenerationId"]) == (NONE, 1)
    assert new.id != old.id and new.leads == old.leads
    synced = new.sync()
    assert (synced["ErrorCode"], synced["Assignment"]) == (NONE, part)
    old.generation = other.generation = 1
    for m in (old, other):
        move(m, broker)
    assert (old.beat(), new.beat(), other.beat()) == (
        FENCED_INSTANCE, NONE, NONE)
    assert commit(new, {1: 6}) == {NONE}
    with wire.Client(broker.address) as client:
        assert everything(client, old.group) == {("t", 0): 5, ("t", 1): 6}
    return new


@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 1)))
@pytest.mark.parametrize("name", ("Stable", "CompletingRebalance"))
def test_static_member_comes_back(
        make_brokers, count, coordinator, name):  # noqa: F811
    """Its host starts anew within its session, while the coordinator dies."""
    brokers = start(make_brokers, count)
    first = brokers[coordinator]
    pairs = [pair(first, coordinated_by(brokers, first), "ab")
             for _ in range(2)]
    for members in pairs if name == "CompletingRebalance" else ():
        completing(*members)
    are(first, name, [m for m, _ in pairs])
    first.kill()
    for old, other in (pairs[0], pairs[1][::-1]):
        second = next_coordinator(brokers, old.group, first)
        new = comes_back(second, old, other,
                         b"part %d" % "ab".index(old.instance))
        are(second, "Stable", [new])
        # together they go on
        stable(new, other)
        assert new.generation == 2
        for m in (old, other, new):
            m.close()


def ids(broker, group):
    """{group.instance.id: member id}"""
    return {m["GroupInstanceId"]: m["MemberId"]
            for m in describe(broker, group)[0]["Members"]}


class Static:
    """kcat as a static member, which can be killed, and started anew."""

    def __init__(self, brokers, group, folder):
        self.command = [
            "kcat", "-b", ",".join(b.address for b in brokers), "-Euf",
            "%p %o %s\n", "-X", "group.instance.id=kcat",
            "-X", "session.timeout.ms=60000",
            "-X", "heartbeat.interval.ms=300",
            "-X", "auto.offset.reset=earliest",
            "-X", "partition.assignment.strategy=range",
            "-G", group, TOPIC]
        self.folder, self.lives, self.process = folder, [], None

    def start(self):
        self.lives.append(self.folder / f"kcat-{len(self.lives)}")
        with open(self.lives[-1], "wb") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.DEVNULL)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def read(self, life=-1):
        """[(partition, offset, value)]"""
        lines = self.lives[life].read_bytes().split(b"\n")[:-1]
        return [(int(p), int(o), value) for p, o, value in
                (line.split(b" ", 2) for line in lines)]


@pytest.mark.slow
@pytest.mark.parametrize("count, coordinator", ((1, 0), (3, 1)))
def test_static_client_comes_back(deaths, tmp_path, count, coordinator):
    """As above by real clients: who has not died keeps its partitions and its
    id, and who has goes on where it committed."""
    d = deaths(count, coordinator)
    kcat = Static(d.brokers, d.group, tmp_path)
    d.come(Confluent, **{"group.instance.id": "other"})
    other, = d.members
    d.until(lambda: len(other.has) == PARTITIONS)
    kcat.start()
    try:
        d.until(lambda: len(kcat.read()) > 10 and
                0 < len(other.has) < PARTITIONS)
        its = set(range(PARTITIONS)) - other.has
        d.read_on()
        given, lost = len(other.given), len(other.lost)
        known = ids(d.coordinator, d.group)
        d.coordinator.kill()
        kcat.kill()
        d.mark(d.committed)
        kcat.start()
        dead = d.coordinator
        d.coordinator = next_coordinator(d.brokers, d.group, dead)
        d.look(d.coordinator)
        d.until(lambda: len(kcat.read()) > 10)
        for p, offset, _ in kcat.read():
            assert p in its and offset >= d.floor[TOPIC, p]
        now = ids(d.coordinator, d.group)
        assert now["other"] == known["other"] and now["kcat"] != known["kcat"]
        d.read_all(lambda: [value for life in (0, 1)
                            for _, _, value in kcat.read(life)])
        assert (len(other.given), len(other.lost)) == (given, lost)
    finally:
        kcat.kill()


# --- what was not written yet -------------------------------------------------

@pytest.mark.ours
def test_killed_while_it_writes(make_brokers):  # noqa: F811
    """An assignment, a commit, and the id of a static member that came back,
    are under way to the followers, and not answered.  Whether they have them
    or not: with the next coordinator each group goes on."""
    brokers = start(make_brokers, 3)
    first = brokers[1]
    syncing, static = (pair(first, coordinated_by(brokers, first), "ab")
                       for _ in range(2))
    completing(*syncing)
    new = Member(first, static[1].group, instance=static[1].instance)
    with hung(brokers[0]), hung(brokers[2]):
        static[0].client.send(
            "OffsetCommit", 7, GroupId=static[0].group,
            MemberId=static[0].id, GenerationIdOrMemberEpoch=1,
            GroupInstanceId=static[0].instance, Topics=[{
                "Name": "t", "Partitions": [{
                    "PartitionIndex": 0, "CommittedOffset": 6,
                    "CommittedMetadata": ""}]}])
        syncing[1].send_sync()
        syncing[0].send_sync([(m.id, b"new") for m in syncing])
        new.send_join()
        harness.wait_until(lambda: static[1].beat() == FENCED_INSTANCE,
                           what="its id is another one")
        for request, count in (("SyncGroup", 2), ("OffsetCommit", 1),
                               ("JoinGroup", 1)):
            harness.wait_until(lambda: waiting(first, request) == count,
                               what=f"{request} is under way")
        are(first, "CompletingRebalance", syncing)
        first.kill()
        assert all(m.client.ended() for m in (*syncing, static[0], new))
    for m in (*syncing, static[0], new):
        move(m, taken_over(brokers, m.group, 1))
        are(m.broker, "Stable", [m])
    told = {m.beat() for m in syncing}
    assert told in ({NONE}, {ILLEGAL_GENERATION})
    for m in syncing if told == {ILLEGAL_GENERATION} else ():
        m.generation = 1
    assert [m.sync()["Assignment"] for m in syncing] == (
        [b"new"] * 2 if told == {NONE} else [
            b"part %d" % "ab".index(m.instance) for m in syncing])
    answer = new.join()
    assert (answer["ErrorCode"], answer["GenerationId"]) == (NONE, 1)
    assert (static[0].beat(), new.beat()) == (NONE, NONE)
    assert everything(new.client, new.group)["t", 0] in (5, 6)
    for members in (syncing, (static[0], new)):
        generation = members[0].generation
        stable(*members)
        assert {m.generation for m in members} == {generation + 1}
        for m in members:
            m.close()
