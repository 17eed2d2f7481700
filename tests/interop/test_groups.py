# SPDX-License-Identifier: Apache-2.0
"""Groups of real clients: five members come and go while records arrive, and
one at a time is killed.  Every record is seen; nobody reads one twice, or
beside another, while a generation lasts; no commit goes back.

    BARNABAS_GROUP_MINUTES=10 pytest tests/interop/test_groups.py -k franz

It takes half a minute for each kind of client else, and Kafka's own broker has
its turn first, which BARNABAS_SHORT leaves out."""

import collections
import itertools
import os
import random
import threading
import time

import confluent_kafka
import pytest

import harness
import members
import raw_members
import wire
from both import SIDES, kind_of

MINUTES = float(os.environ.get("BARNABAS_GROUP_MINUTES", 0))
SECONDS = MINUTES * 60 or 15
MEMBERS, PARTITIONS, RATE = 5, 6, 200
REBALANCE = 120     # seconds at most: members that are killed, slow machines
_numbers = itertools.count()


@pytest.fixture(scope="module", params=SIDES)
def cluster(request, new_factory):
    factory = new_factory("members-" + request.param)
    broker = factory(kind=kind_of(request.param),
                     group_initial_rebalance_delay_ms=500,
                     offsets_topic_num_partitions=5).start()
    try:
        yield broker
    finally:
        factory.end()


class Load:
    """Numbered records to all partitions in turn, until it is ended."""

    def __init__(self, address, topic):
        self.topic, self.ends = topic, collections.Counter()
        self.errors, self.over = [], threading.Event()
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": address, "enable.idempotence": True})
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _delivered(self, error, message):
        if error:
            self.errors.append(str(error))
            return
        end = self.ends[message.partition()]
        self.ends[message.partition()] = max(end, message.offset() + 1)

    def _run(self):
        number = 0
        while not self.over.wait(10 / RATE):
            for _ in range(10):
                self.producer.produce(
                    self.topic, b"record %d" % number,
                    partition=number % PARTITIONS, callback=self._delivered)
                number += 1
            self.producer.poll(0)

    def end(self):
        """{partition: its end}"""
        self.over.set()
        self.thread.join()
        if self.producer.flush(REBALANCE):
            self.errors.append("not all is written")
        return {p: self.ends[p] for p in range(PARTITIONS)}


class Commits:
    """Looks at a group's offsets all the time."""

    def __init__(self, address, group):
        self.address, self.group = address, group
        self.offsets, self.back = collections.Counter(), []
        self.looks, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        with wire.Client(self.address) as client:
            while not self.over.wait(0.05):
                answer = client.call("OffsetFetch", 7, GroupId=self.group,
                                     Topics=None)
                if answer["ErrorCode"] == 0:
                    self._look(answer["Topics"])

    def _look(self, topics):
        self.looks += 1
        found = {p["PartitionIndex"]: p["CommittedOffset"]
                 for t in topics for p in t["Partitions"]}
        for p, before in self.offsets.items():
            if found.get(p, -1) < before:
                self.back.append((p, before, found.get(p)))
        self.offsets.update({p: offset - self.offsets[p]
                             for p, offset in found.items()})

    def end(self):
        self.over.set()
        self.thread.join()


class Group:
    """So many members, of the kinds in turn."""

    def __init__(self, broker, kinds, folder, topic):
        self.broker, self.folder = broker, folder
        self.kinds, self.topic = itertools.cycle(kinds), topic
        self.name = f"group-of-{topic}"
        self.all, self.now = [], []
        self.client = wire.Client(broker.address)

    def start(self, count):
        for _ in range(count):
            member = members.Member(len(self.all), next(self.kinds),
                                    self.folder, self.broker.address,
                                    self.topic, self.name)
            self.all.append(member)
            self.now.append(member)

    def state(self):
        answer = self.client.call("DescribeGroups", 4, Groups=[self.name])
        return answer["Groups"][0]

    def settled(self):
        """All members that live, and no other, have their assignments."""
        def stable():
            for member in self.now:
                assert member.process.poll() is None, (
                    f"{member.name} ended: {member.log()}")
            state = self.state()
            # A static one is there before it comes back.  Cooperative ones have
            # another round for what was taken away in the last.
            return (state["GroupState"] == "Stable"
                    and len(state["Members"]) == len(self.now)
                    and all(member.joined() for member in self.now)
                    and PARTITIONS == sum(
                        len(raw_members.assigned(m["MemberAssignment"]))
                        for m in state["Members"]))
        harness.wait_until(stable, REBALANCE, f"{self.name} is stable")

    def lose(self, rng, how):
        member = self.now.pop(rng.randrange(len(self.now)))
        getattr(member, how)()
        member.kind.lost(member)

    def end(self):
        for member in self.now:
            member.stop()
        # one that ended while it joined goes with its session
        harness.wait_until(lambda: self.state()["GroupState"] == "Empty",
                           REBALANCE, "all have left")
        for member in self.all:
            member.ended()

    def close(self):
        self.client.close()
        for member in self.all:
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait()


def read_on(load, commits):
    """Everybody commits.  What Java's verifiable consumer could not, as it had
    not heard of the last generation yet, it does with the next record only."""
    reached = {p: load.ends[p] for p in range(PARTITIONS)}
    harness.wait_until(
        lambda: all(commits.offsets[p] > n for p, n in reached.items()),
        REBALANCE, f"more than {reached} is committed")


def churn(group, rng):
    """The longest of it is waiting for the session of who was killed."""
    group.start(2)
    group.settled()
    group.start(MEMBERS - 2)
    group.settled()
    end = time.monotonic() + SECONDS
    for how in itertools.cycle(("stop", "kill")):
        group.lose(rng, how)
        if rng.random() < .5:
            group.settled()
        group.start(1)
        group.settled()
        if how == "kill" and time.monotonic() > end:
            return


@pytest.mark.parametrize("kind", members.KINDS)
def test_members_come_and_go(cluster, program, tmp_path, kind):
    topic = f"shared-{kind}-{next(_numbers)}"
    kinds = members.KINDS[kind]
    for each in kinds:
        each.build(program)
    harness.create_topic(cluster, topic, partitions=PARTITIONS)
    harness.wait_topic(cluster, topic, partitions=PARTITIONS)
    load = Load(cluster.address, topic)
    group = Group(cluster, kinds, tmp_path, topic)
    commits = Commits(cluster.address, group.name)
    try:
        churn(group, random.Random(kind))
        read_on(load, commits)
        ends = load.end()
        harness.wait_until(lambda: dict(commits.offsets) == ends, REBALANCE,
                           f"{ends} are committed")
        group.end()
    finally:
        load.end()
        commits.end()
        group.close()
    assert not load.errors and min(ends.values()) > 100
    assert not commits.back and commits.looks > 10
    wrong = members.judge(group.all, ends)
    assert not wrong, "\n".join(wrong[:30])


# --- the judge itself --------------------------------------------------------

class Told:
    """A member of whom the events are known."""

    kind = members.Kind()

    def __init__(self, name, *lines):
        self.name, self.events = name, []
        for line in lines:
            self.events += self.kind.read(line)


def test_judge():
    a = ("A 1 0,1", "r 2 0 0", "r 2 1 0", "r 3 0 1", "R 4 0,1", "A 5 0",
         "r 6 0 2")
    b = ("A 5 1", "r 7 1 0", "r 8 1 1")
    good = {0: 3, 1: 2}

    def found(*told, ends=good):
        return members.judge([Told(f"m{n}", *lines)
                              for n, lines in enumerate(told)], ends)
    assert found(a, b) == []
    assert "seen by nobody: [2]" in found(a, b, ends={0: 3, 1: 3})[0]
    assert "beyond its end" in found(a, b, ends={0: 2, 1: 2})[0]
    assert "in one generation" in found(
        a, ("A 5 1", "r 7 1 0", "r 8 1 0", "r 9 1 1"))[0]
    assert "which it did not have" in found((*a, "r 9 1 1"), b)[0]
    assert "while m0" in found(a, (*b, "A 2 0", "r 2 0 0", "r 5 0 1"))[0]
    assert "came to 0" in found(
        ("A 1 0", "r 2 0 0", "R 3 0"), ("A 4 0", "r 5 0 2"),
        ("A 6 0", "r 7 0 1"), ends={0: 3})[0]
