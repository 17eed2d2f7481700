# SPDX-License-Identifier: Apache-2.0
"""Consumer groups by raw requests: JoinGroup, SyncGroup, Heartbeat, LeaveGroup,
DescribeGroups, ListGroups, in all versions."""

import itertools
import time
import uuid

import pytest

import harness
import wire

NONE, UNKNOWN_SERVER_ERROR = 0, -1
ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP_ID = 22, 23, 24
UNKNOWN_MEMBER, INVALID_SESSION_TIMEOUT, REBALANCE = 25, 26, 27
MEMBER_ID_REQUIRED, MAX_SIZE, FENCED_INSTANCE = 79, 81, 82
# What a group may answer while its partition is made and loaded.
COMING = (14, 15, 16)
GROUP_OPERATIONS = 0x148  # read, delete, describe
NO_OPERATIONS = -(1 << 31)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def groups_broker(zookeeper, tmp_path_factory):
    """Rebalances that begin soon, sessions that end soon."""
    from conftest import Factory
    factory = Factory(zookeeper, tmp_path_factory.mktemp("groups"))
    broker = factory(**{
        "group.initial.rebalance.delay.ms": 500,
        "group.min.session.timeout.ms": 100,
        "group.max.size": 600,
        "offsets.topic.num.partitions": 5}).start()
    coordinate(broker)
    if not broker.real:
        first_round(broker)
    yield broker
    factory.end()


def is_loaded(client, group):
    """Whether the broker, its coordinator, knows who is in it."""
    return client.call("Heartbeat", 0, GroupId=group, GenerationId=1,
                       MemberId="x")["ErrorCode"] == UNKNOWN_MEMBER


def coordinate(broker):
    """Waits until every group has its coordinator."""
    with wire.Client(broker.address) as c:
        def found(group):
            answer = c.call("FindCoordinator", 0, Key=group)
            if answer["ErrorCode"] != NONE:
                return False
            return is_loaded(c, group)
        for n in range(20):
            harness.wait_until(lambda: found(f"any-{n}"),
                               what="a coordinator")


def first_round(broker):
    """Ten seconds after they were loaded, what is empty goes: not between what
    a test does and what it looks at.  Who was late for it is deleted."""
    loaded = time.monotonic()
    members = [Member(broker, f"any-{n}", join=3) for n in range(20)]
    for m in members:
        m.send_join()
    for m in members:
        m.joined()
        m.leave()
        m.close()

    def over():
        groups = [g["GroupId"] for g in c.call("ListGroups", 4)["Groups"]]
        if groups and time.monotonic() > loaded + 20:
            c.call("DeleteGroups", 2, GroupsNames=groups)
        return not groups
    with wire.Client(broker.address) as c:
        harness.wait_until(over, what="the first round is over")


@pytest.fixture
def group():
    return f"group-{next(_numbers)}-{uuid.uuid4().hex[:6]}"


class Member:
    """One connection of one member; what it asks is of the newest version
    unless told."""

    def __init__(self, broker, group, join=9, client=None, **more):
        self.broker, self.group = broker, group
        self.client = client or wire.Client(broker.address)
        self.id, self.generation, self.leads = "", -1, False
        self.instance = more.pop("instance", None)
        self.version = {"join": join, "sync": min(join, 5),
                        "beat": min(join, 4), "leave": min(join, 5)}
        self.settings = {"SessionTimeoutMs": 60000,
                         "RebalanceTimeoutMs": 60000,
                         "ProtocolType": "consumer",
                         "Protocols": [("range", b"meta")], **more}

    def close(self):
        self.client.close()

    def _instance(self, version, since):
        return {} if version < since else {"GroupInstanceId": self.instance}

    def send_join(self):
        version = self.version["join"]
        body = dict(self.settings, GroupId=self.group, MemberId=self.id)
        body["Protocols"] = [{"Name": n, "Metadata": m}
                             for n, m in body["Protocols"]]
        if version < 1:
            del body["RebalanceTimeoutMs"]
        self.client.send("JoinGroup", version, client_id="member", **body,
                         **self._instance(version, 5))

    def ask_id(self):
        """Takes the id that it needs for its JoinGroup (KIP-394)."""
        if (self.version["join"] >= 4 and self.instance is None
                and not self.id):
            self.send_join()
            answer = self.client.receive()
            assert answer["ErrorCode"] == MEMBER_ID_REQUIRED
            self.id = answer["MemberId"]

    def joined(self):
        answer = self.client.receive()
        if answer["ErrorCode"] == MEMBER_ID_REQUIRED:
            assert self.version["join"] >= 4 and self.instance is None
            self.id = answer["MemberId"]
            self.send_join()
            return self.joined()
        if answer["ErrorCode"] == NONE:
            self.id, self.generation = (answer["MemberId"],
                                        answer["GenerationId"])
            self.leads = answer["Leader"] == self.id
        return answer

    def join(self):
        self.send_join()
        return self.joined()

    def send_sync(self, assignments=(), **more):
        version = self.version["sync"]
        body = {"GroupId": self.group, "GenerationId": self.generation,
                "MemberId": self.id,
                "Assignments": [{"MemberId": m, "Assignment": a}
                                for m, a in assignments],
                **self._instance(version, 3)}
        if version >= 5:
            body.update(ProtocolType="consumer", ProtocolName="range")
        self.client.send("SyncGroup", version, **{**body, **more})

    def sync(self, assignments=(), **more):
        self.send_sync(assignments, **more)
        return self.client.receive()

    def beat(self, **more):
        version = self.version["beat"]
        return self.client.call("Heartbeat", version, **{
            "GroupId": self.group, "GenerationId": self.generation,
            "MemberId": self.id, **self._instance(version, 3), **more}
        )["ErrorCode"]

    def leave(self):
        version = self.version["leave"]
        if version < 3:
            return self.client.call("LeaveGroup", version, GroupId=self.group,
                                    MemberId=self.id)
        return self.client.call("LeaveGroup", version, GroupId=self.group,
                                Members=[{"MemberId": self.id,
                                          "GroupInstanceId": self.instance}])


@pytest.fixture
def make_member(groups_broker, group):
    made = []

    def make(**more):
        made.append(Member(groups_broker, group, **more))
        return made[-1]
    yield make
    for member in made:
        member.close()


def stable(*members):
    """Joins and syncs all; the assignment of each is its place.  Who leads
    comes first: it makes a rebalance where there is none."""
    # the first round does not wait for those who ask for an id yet
    for m in members:
        m.ask_id()
    asking = sorted(members, key=lambda m: not m.leads)
    asking[0].send_join()
    if asking[0].leads and len(asking) > 1:
        harness.wait_until(lambda: asking[1].beat() == REBALANCE,
                           what="a rebalance")
    for m in asking[1:]:
        m.send_join()
    return settled(*members)


def settled(*members):
    """All have sent their JoinGroup: takes the answers, and syncs."""
    answers = [m.joined() for m in members]
    assert [a["ErrorCode"] for a in answers] == [NONE] * len(members), answers
    assert len({a["GenerationId"] for a in answers}) == 1
    leaders = [m for m in members if m.leads]
    assert len(leaders) == 1
    for m in members:
        m.send_sync([(x.id, b"part %d" % i) for i, x in enumerate(members)]
                    if m is leaders[0] else ())
    for i, m in enumerate(members):
        answer = m.client.receive()
        assert (answer["ErrorCode"], answer["Assignment"]) == (
            NONE, b"part %d" % i)
    return leaders[0]


def describe(broker, *groups, version=5, **more):
    with wire.Client(broker.address) as c:
        return c.call("DescribeGroups", version, Groups=list(groups),
                      **more)["Groups"]


def state(broker, group):
    return describe(broker, group)[0]["GroupState"]


# --- one member, every version -----------------------------------------------

@pytest.mark.parametrize("version", range(0, 10))
def test_life(groups_broker, make_member, group, version):
    m = make_member(join=version)
    assert state(groups_broker, group) == "Dead"
    answer = m.join()
    assert answer["ErrorCode"] == NONE
    assert answer["GenerationId"] == 1
    assert answer["ProtocolName"] == "range"
    assert answer.get("ProtocolType", "consumer") == "consumer"
    assert answer["Leader"] == answer["MemberId"] == m.id
    assert m.id.startswith("member-") and len(m.id) == 7 + 36
    uuid.UUID(m.id[7:])
    assert not answer.get("SkipAssignment")
    assert [(x["MemberId"], x.get("GroupInstanceId"), x["Metadata"])
            for x in answer["Members"]] == [(m.id, None, b"meta")]
    assert state(groups_broker, group) == "CompletingRebalance"
    answer = m.sync([(m.id, b"mine")])
    assert (answer["ErrorCode"], answer["Assignment"]) == (NONE, b"mine")
    assert answer.get("ProtocolType", "consumer") == "consumer"
    assert answer.get("ProtocolName", "range") == "range"
    assert m.beat() == NONE
    assert m.beat(GenerationId=2) == ILLEGAL_GENERATION
    assert m.beat(MemberId="x") == UNKNOWN_MEMBER
    assert state(groups_broker, group) == "Stable"
    answer = m.leave()
    assert answer["ErrorCode"] == NONE
    if m.version["leave"] >= 3:
        assert answer["Members"] == [{"MemberId": m.id,
                                      "GroupInstanceId": None,
                                      "ErrorCode": NONE}]
    assert state(groups_broker, group) == "Empty"
    again = m.leave()
    if m.version["leave"] < 3:
        assert again["ErrorCode"] == UNKNOWN_MEMBER
    else:
        assert again["ErrorCode"] == NONE
        assert again["Members"][0]["ErrorCode"] == UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(0, 6))
def test_describe(groups_broker, make_member, group, version):
    m = make_member()
    stable(m)
    more = {"IncludeAuthorizedOperations": True} if version >= 3 else {}
    first, unknown = describe(groups_broker, group, "no-such-group",
                              version=version, **more)
    for field in ("ErrorCode", "GroupId", "ProtocolType", "ProtocolData"):
        assert first[field] == {"ErrorCode": NONE, "GroupId": group,
                                "ProtocolType": "consumer",
                                "ProtocolData": "range"}[field]
    assert first["GroupState"] == "Stable"
    member, = first["Members"]
    assert member["MemberId"] == m.id
    assert member.get("GroupInstanceId") is None
    assert (member["ClientId"], member["ClientHost"]) == (
        "member", "/127.0.0.1")
    assert (member["MemberMetadata"], member["MemberAssignment"]) == (
        b"meta", b"part 0")
    assert (unknown["ErrorCode"], unknown["GroupState"]) == (NONE, "Dead")
    assert (unknown["ProtocolType"], unknown["ProtocolData"],
            unknown["Members"]) == ("", "", [])
    if version >= 3:
        for g in (first, unknown):
            assert g["AuthorizedOperations"] == GROUP_OPERATIONS
        assert describe(groups_broker, group, version=version)[0][
            "AuthorizedOperations"] == NO_OPERATIONS


@pytest.mark.parametrize("version", range(0, 6))
def test_list(groups_broker, make_member, group, version):
    m = make_member()
    stable(m)
    with wire.Client(groups_broker.address) as c:
        def listed(**more):
            answer = c.call("ListGroups", version, **more)
            assert answer["ErrorCode"] == NONE
            return [g for g in answer["Groups"] if g["GroupId"] == group]
        found, = listed()
        assert found["ProtocolType"] == "consumer"
        if version >= 4:
            assert found["GroupState"] == "Stable"
            assert len(listed(StatesFilter=["stable", "Dead"])) == 1
            assert listed(StatesFilter=["Empty"]) == []
            assert listed(StatesFilter=["nonsense"]) == []
        if version >= 5:
            assert found["GroupType"] == "classic"
            assert len(listed(TypesFilter=["Classic"])) == 1
            assert listed(TypesFilter=["consumer"]) == []


# --- several members ---------------------------------------------------------

def test_second_member(groups_broker, make_member, group):
    a, b = make_member(), make_member()
    stable(a)
    b.send_join()
    assert b.client.receive()["ErrorCode"] == MEMBER_ID_REQUIRED
    assert state(groups_broker, group) == "Stable"
    b.version["join"] = 3  # without an id given out
    b.send_join()
    harness.wait_until(lambda: a.beat() == REBALANCE, what="a rebalance")
    described, = describe(groups_broker, group)
    assert described["GroupState"] == "PreparingRebalance"
    assert described["ProtocolData"] == ""
    assert {m["MemberMetadata"] for m in described["Members"]} == {b""}
    assert a.sync()["ErrorCode"] == REBALANCE
    # an id that was given out may leave as well
    pending = make_member()
    pending.send_join()
    pending.id = pending.client.receive()["MemberId"]
    assert pending.leave()["Members"][0]["ErrorCode"] == NONE


def test_rebalance(groups_broker, make_member, group):
    members = [make_member(join=3) for _ in range(3)]
    leader = stable(*members)
    assert {m.generation for m in members} == {1}
    # a follower's join changes nothing, the leader's begins anew
    follower = next(m for m in members if m is not leader)
    answer = follower.join()
    assert (answer["GenerationId"], answer["Members"]) == (1, [])
    assert follower.sync()["Assignment"].startswith(b"part")
    assert stable(*members) is leader
    assert {m.generation for m in members} == {2}
    # one goes, the others hear of it
    gone = members.pop()
    assert gone.leave()["ErrorCode"] == NONE
    for m in members:
        assert m.beat() == REBALANCE
    stable(*members)
    assert {m.generation for m in members} == {3}
    assert gone.beat() == UNKNOWN_MEMBER


def test_session_ends(groups_broker, make_member, group):
    a = make_member(join=3)
    b = make_member(join=3, SessionTimeoutMs=5000)
    stable(a, b)
    b.close()
    harness.wait_until(lambda: a.beat() == REBALANCE,
                       what="the end of a session")
    stable(a)
    assert len(describe(groups_broker, group)[0]["Members"]) == 1


def test_client_goes_while_it_waits(groups_broker, make_member, group):
    """Its member counts as one that waits, until its session ends."""
    a = make_member(join=3)
    b = make_member(join=3, SessionTimeoutMs=10000)
    stable(a)
    b.send_join()
    harness.wait_until(lambda: a.beat() == REBALANCE, what="a rebalance")
    b.close()
    answer = a.join()
    assert (answer["GenerationId"], len(answer["Members"])) == (2, 2)
    assert a.sync()["ErrorCode"] == NONE
    harness.wait_until(lambda: a.beat() == REBALANCE,
                       what="the end of a session")
    stable(a)
    assert a.generation == 3


def test_one_request_at_a_time(groups_broker, make_member, group):
    """What a member sends behind its join is answered after it."""
    a = make_member(join=3)
    stable(a)
    b = make_member(join=3)
    b.send_join()
    b.client.send("Metadata", 9, Topics=[], AllowAutoTopicCreation=False)
    harness.wait_until(lambda: a.beat() == REBALANCE, what="a rebalance")
    a.send_join()
    assert b.joined()["GenerationId"] == 2
    assert "Brokers" in b.client.receive()


def test_late_members_are_out(groups_broker, make_member, group):
    a = make_member(join=3, RebalanceTimeoutMs=6000)
    b = make_member(join=3, RebalanceTimeoutMs=6000)
    stable(a, b)
    a.settings["Protocols"] = [("range", b"other")]
    answer = a.join()
    assert answer["ErrorCode"] == NONE
    assert [m["MemberId"] for m in answer["Members"]] == [a.id]
    assert b.beat() == UNKNOWN_MEMBER


def test_vote(groups_broker, make_member):
    members = [make_member(join=3, Protocols=[(n, b"") for n in names])
               for names in ("ab", "ba", "cba")]
    for m in members:
        m.send_join()
    assert {m.joined()["ProtocolName"] for m in members} == {"b"}


def test_syncs_wait_for_the_leader(groups_broker, make_member, group):
    a, b = make_member(join=3), make_member(join=3)
    for m in (a, b):
        m.send_join()
    leader = [m for m in (a, b) if m.joined()["Leader"] == m.id]
    first = leader[0]
    other = b if first is a else a
    other.send_sync()
    # who comes now breaks it off
    c = make_member(join=3)
    c.send_join()
    assert other.client.receive()["ErrorCode"] == REBALANCE
    for m in (a, b):
        m.send_join()
    assert {m.joined()["GenerationId"] for m in (a, b, c)} == {2}


# --- refusals ----------------------------------------------------------------

@pytest.mark.parametrize("version", (0, 6, 7, 9))
def test_join_refused(groups_broker, make_member, group, version):
    def error(**more):
        m = make_member(join=version, **{k: v for k, v in more.items()
                                         if k not in ("group", "id")})
        m.group, m.id = more.get("group", group), more.get("id", "")
        m.send_join()
        answer = m.client.receive()
        assert (answer["GenerationId"], answer["Leader"],
                answer["Members"]) == (-1, "", [])
        assert answer["ProtocolName"] == ("" if version < 7 else None)
        assert answer["MemberId"] == m.id
        return answer["ErrorCode"]
    assert error(group="") == INVALID_GROUP_ID
    assert error(SessionTimeoutMs=99) == INVALID_SESSION_TIMEOUT
    assert error(SessionTimeoutMs=1800001) == INVALID_SESSION_TIMEOUT
    assert error(id="x") == UNKNOWN_MEMBER
    assert error(ProtocolType="") == INCONSISTENT_PROTOCOL
    assert error(Protocols=[]) == INCONSISTENT_PROTOCOL
    stable(make_member())
    assert error(id="x") == UNKNOWN_MEMBER
    assert error(ProtocolType="connect") == INCONSISTENT_PROTOCOL
    assert error(Protocols=[("mine", b"")]) == INCONSISTENT_PROTOCOL


@pytest.mark.parametrize("version", range(0, 6))
def test_sync_refused(groups_broker, make_member, group, version):
    m = make_member(join=version if version < 5 else 9)

    def error(**more):
        answer = m.sync(**more)
        assert answer["Assignment"] == b""
        assert answer.get("ProtocolName") is None
        return answer["ErrorCode"]
    m.generation = 1
    assert error(GroupId="") == INVALID_GROUP_ID
    assert error(MemberId="x") == UNKNOWN_MEMBER
    stable(m)
    assert error(MemberId="x") == UNKNOWN_MEMBER
    assert error(GenerationId=2) == ILLEGAL_GENERATION
    if version >= 5:
        assert error(ProtocolType="x") == INCONSISTENT_PROTOCOL
        assert error(ProtocolName="x") == INCONSISTENT_PROTOCOL
        assert error(ProtocolName=None) == INCONSISTENT_PROTOCOL
        assert error(ProtocolType=None) == INCONSISTENT_PROTOCOL
        assert error(GroupInstanceId="i") == UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(0, 5))
def test_heartbeat_refused(groups_broker, make_member, group, version):
    m = make_member(join=version)
    assert m.beat(GroupId="") == INVALID_GROUP_ID
    assert m.beat(MemberId="x") == UNKNOWN_MEMBER
    stable(m)
    assert m.beat(GenerationId=0) == ILLEGAL_GENERATION
    if version >= 3:
        assert m.beat(GroupInstanceId="i") == UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(0, 6))
def test_leave_refused(groups_broker, make_member, group, version):
    m = make_member(join=version)
    m.group = ""
    answer = m.leave()
    assert answer["ErrorCode"] == INVALID_GROUP_ID
    assert answer.get("Members", []) == []
    m.group, m.id = group, "x"
    answer = m.leave()
    if version < 3:
        assert answer["ErrorCode"] == UNKNOWN_MEMBER
    else:
        assert answer["ErrorCode"] == NONE
        assert answer["Members"] == [{
            "MemberId": "x", "GroupInstanceId": None,
            "ErrorCode": UNKNOWN_MEMBER}]


def test_too_large(groups_broker, make_member):
    """An assignment that no record holds."""
    m = make_member()
    m.join()
    answer = m.sync([(m.id, b"x" * 3000000)])
    assert answer["ErrorCode"] == UNKNOWN_SERVER_ERROR
    assert m.beat() == REBALANCE
    stable(m)


# --- static members ----------------------------------------------------------

def test_static(groups_broker, make_member, group):
    old = make_member(instance="i")
    stable(old)
    assert old.id.startswith("i-") and len(old.id) == 2 + 36
    new = make_member(instance="i")
    answer = new.join()
    assert (answer["ErrorCode"], answer["GenerationId"]) == (NONE, 1)
    assert answer["SkipAssignment"] and answer["Leader"] == new.id != old.id
    assert [m["GroupInstanceId"] for m in answer["Members"]] == ["i"]
    assert new.sync()["Assignment"] == b"part 0"
    assert old.beat() == FENCED_INSTANCE
    assert old.sync()["ErrorCode"] == FENCED_INSTANCE
    assert old.join()["ErrorCode"] == FENCED_INSTANCE
    assert old.leave()["Members"][0]["ErrorCode"] == FENCED_INSTANCE
    assert new.beat() == NONE
    member, = describe(groups_broker, group)[0]["Members"]
    assert (member["MemberId"], member["GroupInstanceId"]) == (new.id, "i")
    # before version 9 it is told that its old self leads
    older = make_member(instance="i", join=8)
    answer = older.join()
    assert (answer["Leader"], answer["Members"]) == (new.id, [])
    # an administrator removes it
    with wire.Client(groups_broker.address) as c:
        answer = c.call("LeaveGroup", 5, GroupId=group, Members=[
            {"MemberId": "", "GroupInstanceId": "i"},
            {"MemberId": "", "GroupInstanceId": "j"},
            {"MemberId": "x", "GroupInstanceId": None}])
    assert [(m["MemberId"], m["GroupInstanceId"], m["ErrorCode"])
            for m in answer["Members"]] == [
        ("", "i", NONE), ("", "j", UNKNOWN_MEMBER),
        ("x", None, UNKNOWN_MEMBER)]
    assert older.beat() == UNKNOWN_MEMBER
    assert state(groups_broker, group) == "Empty"


# --- many, and the next coordinator ------------------------------------------

def test_many_members(make_broker, group):
    broker = make_broker(**{"offsets.topic.num.partitions": 1}).start()
    coordinate(broker)
    members = [Member(broker, group, join=3) for _ in range(300)]
    for _ in range(2):
        leader = stable(*members)
    assert len(describe(broker, group)[0]["Members"]) == 300
    assert leader.generation == 2
    for m in members[1:]:
        assert m.leave()["ErrorCode"] == NONE
    stable(members[0])
    for m in members:
        m.close()


def test_outlives_a_restart(make_broker, group):
    broker = make_broker(**{"group.initial.rebalance.delay.ms": 500,
                            "offsets.topic.num.partitions": 3}).start()
    coordinate(broker)
    m = Member(broker, group, instance="i")
    stable(m)
    m.close()
    broker.stop()
    broker.start()
    m.client = wire.Client(broker.address)
    harness.wait_until(lambda: m.beat() not in COMING and
                       state(broker, group) == "Stable", what="the group")
    assert m.beat() == NONE
    assert m.sync()["Assignment"] == b"part 0"
    member, = describe(broker, group)[0]["Members"]
    assert member["MemberId"] == m.id
    assert (member["MemberMetadata"], member["MemberAssignment"]) == (
        b"meta", b"part 0")
    m.close()


@pytest.mark.ours
def test_metrics(make_broker, group):
    prefix = "kafka_coordinator_group_groupmetadatamanager_numgroups"
    broker = make_broker(**{"group.initial.rebalance.delay.ms": 500,
                            "offsets.topic.num.partitions": 1}).start()
    coordinate(broker)
    m = Member(broker, group)
    m.join()
    assert broker.metric(prefix + "completingrebalance") == 1
    m.sync()
    assert broker.metric(prefix + "stable") == 1
    assert broker.metric(prefix + "completingrebalance") == 0
    m.beat()
    assert broker.metric("barnabas_group_heartbeats_total") >= 1
    assert broker.metric("barnabas_group_rebalance_time_ms_count") == 1
    assert broker.metric("kafka_server_group_coordinator_metrics_"
                         "group_completed_rebalance_total") == 1
    m.leave()
    assert broker.metric(prefix + "stable") == 0
    assert broker.metric(prefix + "empty") == 1
    m.close()
