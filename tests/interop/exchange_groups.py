# SPDX-License-Identifier: Apache-2.0
"""Groups in a directory that two brokers own in turn (see exchange.py): what is
done to them while one of them runs, and what whoever runs then must say."""

import contextlib
import threading

import answers
import exchange
import harness
import wire
from raw_members import Member, assignment, fetched, offsets

NONE, NOT_AVAILABLE = 0, 15
ILLEGAL_GENERATION, FENCED = 22, 82
# no session, and no rebalance, ends while a test runs
LONG = {"SessionTimeoutMs": 1800000, "RebalanceTimeoutMs": 1800000}
PARTITIONS = 3
TOPICS = {"grouped": PARTITIONS, "other": 1}


def ordered(value):
    """The same in whichever order it was told."""
    if isinstance(value, dict):
        return {k: ordered(v) for k, v in value.items()
                if k != "ThrottleTimeMs"}
    if isinstance(value, list):
        return sorted(map(ordered, value), key=repr)
    return value


def wait_loaded(broker, groups):
    """Until the coordinator has the offsets of these, and can list all."""
    def loaded(client):
        if client.call("FindCoordinator", 4, KeyType=0, CoordinatorKeys=list(
                groups))["Coordinators"][0]["ErrorCode"] != NONE:
            return False
        told = client.call("OffsetFetch", 8, Groups=[
            {"GroupId": g, "Topics": None} for g in groups])["Groups"]
        return (all(g["ErrorCode"] == NONE for g in told)
                and client.call("ListGroups", 4)["ErrorCode"] == NONE)
    with wire.Client(broker.address) as c:
        harness.wait_until(lambda: loaded(c), what="the groups are loaded")


def commit(client, group, topics, version=8, again=False, **more):
    """As nobody's member; again: clients do, when they are told so."""
    def answered():
        answer = client.call("OffsetCommit", version, **{
            "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "",
            "Topics": topics, **more})
        codes = {p["ErrorCode"] for t in answer["Topics"]
                 for p in t["Partitions"]}
        return None if again and codes == {NOT_AVAILABLE} else codes
    codes = harness.wait_until(answered, what="a coordinator")
    assert codes == {NONE}, (group, codes)


def committed(client, group, topic="grouped"):
    """{partition: offset}"""
    told = client.call("OffsetFetch", 8, **fetched(group, None, 8))["Groups"]
    assert told[0]["ErrorCode"] == NONE, told
    return {p["PartitionIndex"]: p["CommittedOffset"]
            for t in told[0]["Topics"] if t["Name"] == topic
            for p in t["Partitions"]}


def state(client, group):
    return client.call("DescribeGroups", 5,
                       Groups=[group])["Groups"][0]["GroupState"]


class Committer:
    """Commits ever greater offsets until its broker is gone.  The next owner
    has the last one that was acknowledged, or the one behind it."""

    group = "counted"

    def __init__(self):
        self.acked = self.thread = None

    def _run(self, broker):
        with contextlib.suppress(wire.Closed, ConnectionError):
            with wire.Client(broker.address) as c:
                while True:
                    commit(c, self.group, offsets({0: self.acked + 1}))
                    self.acked += 1

    def start(self, broker, before=200):
        """So many are through."""
        first = self.acked = self.acked or 0
        self.thread = threading.Thread(target=self._run, args=(broker,))
        self.thread.start()
        harness.wait_until(lambda: self.acked >= first + before
                           or not self.thread.is_alive())
        assert self.thread.is_alive()

    def check(self, client):
        self.thread.join()
        found = committed(client, self.group)[0]
        assert self.acked <= found <= self.acked + 1
        self.acked = found


class Transactions(exchange.Transactions):
    """Offsets in transactions, which only the real Kafka takes; ours reads
    what they left: some that count, some that do not, and an open one."""

    group = "in-transactions"

    def __init__(self):
        super().__init__(None, "of-offsets")
        self.turn = 0

    def _send(self, client, partition, offset):
        def added():
            return client.call(
                "AddOffsetsToTxn", 3, TransactionalId=self.name,
                ProducerId=self.id, ProducerEpoch=self.epoch,
                GroupId=self.group)["ErrorCode"] == NONE
        harness.wait_until(added, what="the group is in the transaction")
        answer = client.call(
            "TxnOffsetCommit", 3, TransactionalId=self.name,
            ProducerId=self.id, ProducerEpoch=self.epoch, GroupId=self.group,
            Topics=offsets({partition: offset}, metadata="in a transaction"))
        assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE

    def _ended(self, client, commits):
        self.ask_end(client, commits)

        def stable():
            told = client.call("OffsetFetch", 8, **fetched(
                self.group, None, 8, True))["Groups"][0]["Topics"]
            return all(p["ErrorCode"] == NONE for t in told
                       for p in t["Partitions"])
        harness.wait_until(stable, what="the marker is written")

    def go_on(self, client):
        if self.turn == 0:
            commit(client, self.group, offsets({0: 1, 1: 1, 2: 1}))
            self.begin(client)
        else:
            assert committed(client, self.group)[2] != 30 + self.turn
            self._ended(client, True)
            assert committed(client, self.group)[2] == 30 + self.turn
        self.turn += 1
        self._send(client, 0, 10 + self.turn)
        self._ended(client, True)
        self._send(client, 1, 20 + self.turn)
        self._ended(client, False)
        self._send(client, 2, 30 + self.turn)
        found = committed(client, self.group)
        assert (found[0], found[1]) == (10 + self.turn, 1)


class Groups:
    """Of all states but those of a rebalance, which no log has."""

    def __init__(self):
        self.turn = 0
        self.real = False
        self.names = {"none"}       # of whom the next owner says the same
        self.expiring = set()       # under the next owner
        self.members = {}           # {group: (id, generation, instance)}
        self.transactions = Transactions()

    # what is asked

    def asked(self, broker):
        names = sorted(self.names)
        out = {}
        with wire.Client(broker.address) as c:
            for stable in (False, True):
                told = c.call("OffsetFetch", 8, RequireStable=stable, Groups=[
                    {"GroupId": g, "Topics": None} for g in names])["Groups"]
                out.update({(g["GroupId"], stable): ordered(g) for g in told})
            told = c.call("DescribeGroups", 5, Groups=names)["Groups"]
            out.update({(g["GroupId"], "state"): ordered(g) for g in told})
            out["list"] = {g["GroupId"]: g
                           for g in c.call("ListGroups", 5)["Groups"]
                           if g["GroupId"] in self.names}
        return out

    # one owner's turn

    def fill(self, broker):
        self.real = broker.real
        side = answers.Side(broker)
        with wire.Client(broker.address) as c:
            if self.turn == 0:
                self.names.add("simple")
            self._simple(c)
            self._expired(c)
            self._deleted(broker, c)
            if broker.real:
                self.names.add(Transactions.group)
                self.transactions.go_on(c)
            self._with_members(side, c)
            self._half(side, c)
        self.turn += 1

    def _commit(self, *what, **more):
        """Kafka makes a group for its first commit, and may find it over, as
        one without members or offsets, before it has that."""
        commit(*what, again=self.real, **more)

    def _name(self, what):
        name = f"{what}-{self.turn}"
        self.names.add(name)
        return name

    def _simple(self, client):
        """Offsets alone; those of an earlier turn go on and back."""
        n = self.turn
        self._commit(client, self._name("simple"), offsets(
            {0: 7, 2: 1 << 40}, metadata="m" * 2000, epoch=n))
        self._commit(client, "simple", offsets(
            {0: 100 - n, 1: n, 2: 5}, epoch=n)
            + offsets({0: n}, "other", metadata="gr\u00fc\u00df"))
        self._commit(client, "simple", offsets({1: n + 10}, metadata=None))
        # with its own time to expire, which an old client gave it
        self._commit(client, self._name("for-an-hour"),
                     offsets({0: 5, 1: 6}), version=4,
                     RetentionTimeMs=3600000)

    def _expired(self, client):
        """The first owner looks for them too rarely."""
        for group in self.expiring:
            self._wait_gone(client, group)
            self.names.add(group)
        self.expiring.clear()
        group = f"expired-{self.turn}"
        self._commit(client, group, offsets({0: 5, 1: 6}), version=4,
                     RetentionTimeMs=1)
        if self.turn == 0:
            self.expiring.add(group)
        else:
            self._wait_gone(client, group)
            self.names.add(group)

    @staticmethod
    def _wait_gone(client, group):
        harness.wait_until(
            lambda: not committed(client, group)
            and state(client, group) == "Dead"
            and group not in {g["GroupId"] for g in client.call(
                "ListGroups", 4)["Groups"]}, what=f"{group} is gone")

    def _deleted(self, broker, client):
        """Groups, some offsets, and those of a topic."""
        gone, less = self._name("deleted"), self._name("less")
        topic = f"short-lived-{self.turn}"
        harness.create_topic(broker, topic)
        harness.wait_topic(broker, topic)
        for group in gone, less:
            self._commit(client, group, offsets({0: 1, 1: 2, 2: 3})
                         + offsets({0: 4}, topic))
        assert client.call("DeleteGroups", 2, GroupsNames=[gone])[
            "Results"][0]["ErrorCode"] == NONE
        answer = client.call("OffsetDelete", 0, GroupId=less, Topics=[
            {"Name": "grouped", "Partitions": [{"PartitionIndex": 1}]}])
        assert answer["ErrorCode"] == NONE
        assert client.call("DeleteTopics", 5, TopicNames=[topic],
                           TimeoutMs=20000)["Responses"][0][
                               "ErrorCode"] == NONE
        harness.wait_until(lambda: not committed(client, less, topic),
                           what="the topic's offsets are gone")
        assert committed(client, less) == {0: 1, 2: 3}
        self._wait_gone(client, gone)

    def _with_members(self, side, client):
        """Of consumers and of others, with a name of their own or without; and
        one that all have left."""
        for what, kind, instance in (
                ("member", "consumer", None), ("chair", "consumer", "chair"),
                ("worker", "connect", None), ("left", "consumer", None)):
            name = self._name(what)
            # a group without anything may go while its first member joins
            self._commit(client, name, offsets({0: 1}))
            with Member(side, name, instance) as m:
                m.join("", 9, kind=kind, **LONG)
                m.sync("", 9, [(m, assignment(0, 1, 2))], ProtocolType=kind)
                m.commit("", 8, Topics=offsets({0: 3, 1: self.turn}))
                if what == "left":
                    m.leave("", 5)
                else:
                    self.members[m.group] = m.id, m.generation, instance
                assert state(client, m.group) == (
                    "Empty" if what == "left" else "Stable")

    def _half(self, side, client):
        """It has joined again, and its assignment was not written: the next
        owner knows the generation before."""
        group = f"half-{self.turn}"
        self._commit(client, group, offsets({0: 1}))
        with Member(side, group) as m:
            m.join("", 9, **LONG)
            m.sync("", 9, [(m, assignment(0))])
            self.members[group] = m.id, m.generation, None
            m.join("", 9, **LONG)
        assert state(client, group) == "CompletingRebalance"

    # the next owner

    def go_on(self, broker):
        """Members that never noticed; each did what its name says."""
        side = answers.Side(broker)
        with wire.Client(broker.address) as c:
            for group, (name, generation, instance) in self.members.items():
                with Member(side, group, instance) as m:
                    m.id, m.generation = name, generation
                    getattr(self, "_go_on_" + group.split("-")[0])(m)
                    self.members[group] = m.id, m.generation, instance
                assert state(c, group) == "Stable"
        self.names.update(self.members)

    def _go_on_member(self, m, kind="consumer"):
        assert m.heartbeat("", 9)["ErrorCode"] == NONE
        told = m.sync("", 9, ProtocolType=kind)
        assert (told["ErrorCode"], told["Assignment"]) == (
            NONE, assignment(0, 1, 2))
        told = m.commit("", 8, Topics=offsets({2: self.turn}))
        assert told["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE

    def _go_on_worker(self, m):
        self._go_on_member(m, "connect")

    def _go_on_chair(self, m):
        """It comes back without its id: no rebalance."""
        old, generation, m.id = m.id, m.generation, ""
        told = m.join("", 9, **LONG)
        assert (told["ErrorCode"], m.generation) == (NONE, generation)
        assert m.id != old and told["SkipAssignment"]
        assert m.heartbeat("", 9, MemberId=old)["ErrorCode"] == FENCED
        self._go_on_member(m)

    def _go_on_half(self, m):
        if m.group == f"half-{self.turn - 1}":
            assert m.heartbeat("", 9, GenerationId=m.generation + 1)[
                "ErrorCode"] == ILLEGAL_GENERATION
        assert m.heartbeat("", 9)["ErrorCode"] == NONE
