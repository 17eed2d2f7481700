# SPDX-License-Identifier: Apache-2.0
"""Rows: consumer groups, each walked through its states by raw requests in
every version; and their offsets."""

import itertools
import re
import struct
import time

import harness
import wire
from answers import SERVED, Side, row, script, topic
from raw_members import (BOTH, READS, Member, assignment, fetched, newest,
                         offsets, subscription)

HERE = "JoinGroup" in SERVED
JOINS = range(0, 10)
NOBODY = {"MemberId": "nobody"}
META = "x" * 4096


def group_script(function):
    """A script that is there as soon as groups are served."""
    return script(function) if HERE else function


# --- the beginning, and FindCoordinator --------------------------------------

if HERE:
    # Nobody has asked for a coordinator yet: there is none.
    row("groups: no coordinator", "OffsetFetch", lambda side, v: fetched(
        "g", [("grouped", [0, 1])], v), range(1, 10))
    row("groups: of no group", "OffsetFetch", {"Groups": []}, (8, 9))


@group_script
def Groups_begin(side):
    """The internal topic is made by the first who asks."""
    side.make(topic("grouped", 3), topic("other", 1))
    with wire.Client(side.broker.address) as client:
        harness.wait_until(lambda: client.call(
            "FindCoordinator", 4, KeyType=0, CoordinatorKeys=["g"])[
                "Coordinators"][0]["ErrorCode"] == 0, what="a coordinator")
        harness.wait_until(lambda: client.call(
            "OffsetFetch", 8, **fetched("g", None, 8))["Groups"][0][
                "ErrorCode"] == 0, what="it has loaded")
    side.call("DescribeConfigs", 4, Resources=[
        {"ResourceType": 2, "ResourceName": "__consumer_offsets",
         "ConfigurationKeys": None}])
    begun(side)


def begun(side):
    """Kafka's first round over the groups is when a broker starts, ours is ten
    seconds after they were loaded: none is to come between what follows."""
    loaded = time.monotonic()
    with Member(side, "before") as m:
        m.join("before", 7)
        m.sync("before", 7, [(m, assignment(0))])
        m.leave("before", 7)

    def over():
        """It is gone; who was late for our round goes as on Kafka."""
        if side.broker.real or time.monotonic() > loaded + 20:
            empty_groups(side.connect())
        return not side.connect().call("ListGroups", 4)["Groups"]
    harness.wait_until(over, what="the first round is over")


if HERE:
    for _n, _keys in {"one": ["g"], "empty": [""], "none": [],
                      "not ASCII": ["gr\u00fc\u00df"],
                      "several": ["a", "b", "", "a"]}.items():
        row(f"groups: {_n}", "FindCoordinator", lambda side, v, keys=_keys: {
            "Key": keys[0] if keys else "", "KeyType": 0,
            "CoordinatorKeys": keys if v >= 4 else []})


# --- one member --------------------------------------------------------------

@group_script
def A_member_alone(side):
    """From nothing to nothing, in every version."""
    for v in JOINS:
        with Member(side, f"alone-{v}") as m:
            m.shown("before", v)
            m.join("new", v)
            m.shown("to be synced", v)
            m.heartbeat("before the sync", v)
            m.commit("before the sync", v)
            m.sync("leader", v, [(m, assignment(0, 1, 2))])
            m.shown("stable", v)
            m.sync("again", v)
            m.sync("again, with another", v, [(m, assignment(0))])
            m.heartbeat("stable", v)
            m.commit("stable", v)
            m.ask("its own", "OffsetFetch", v, **fetched(
                m.group, [("grouped", [0, 1])], v))
            m.ask("while it is there", "DeleteGroups", newest(
                "DeleteGroups", v), GroupsNames=[m.group])
            m.ask("subscribed", "OffsetDelete", 0, GroupId=m.group, Topics=[
                {"Name": "grouped", "Partitions": [{"PartitionIndex": 0}]}])
            m.leave("the last", v)
            m.shown("empty", v)
            m.heartbeat("after it left", v)
            m.leave("once more", v)
            m.commit("after it left", v)
            m.ask("offsets stay", "OffsetFetch", v, **fetched(
                m.group, [("grouped", [0, 1])], v))
            m.ask("empty", "DeleteGroups", newest("DeleteGroups", v),
                  GroupsNames=[m.group])
            m.ask("gone", "DeleteGroups", newest("DeleteGroups", v),
                  GroupsNames=[m.group])
            m.ask("offsets are gone", "OffsetFetch", v, **fetched(
                m.group, [("grouped", [0, 1])], v))
            m.shown("gone", v)


@group_script
def A_member_with_wrong_words(side):
    """What a stable group refuses, and that it stays stable."""
    for v in JOINS:
        with Member(side, f"wrong-{v}") as m:
            m.join("new", v)
            for what, more in {
                    "another generation": {"GenerationId": m.generation + 1},
                    "nobody": NOBODY,
                    "another protocol": {"ProtocolName": "roundrobin"},
                    "another type": {"ProtocolType": "connect"}}.items():
                m.sync(f"completing, {what}", v, **more)
            m.sync("leader", v, [(m, assignment(0))])
            for what, more in {
                    "an old generation": {"GenerationId": m.generation - 1},
                    "generation -1": {"GenerationId": -1}, "nobody": NOBODY,
                    "no name": {"MemberId": ""},
                    "no group": {"GroupId": ""},
                    "another group": {"GroupId": "wrong-none"}}.items():
                m.heartbeat(what, v, **more)
                m.sync(what, v, **more)
            for what, more in {
                    "another generation": {
                        "GenerationIdOrMemberEpoch": m.generation + 1},
                    "generation -1": {"GenerationIdOrMemberEpoch": -1},
                    "nobody": NOBODY, "no name": {"MemberId": ""},
                    "as a stranger": {"MemberId": "",
                                      "GenerationIdOrMemberEpoch": -1},
                    "another group": {"GroupId": "wrong-none"},
                    "no group": {"GroupId": ""}}.items():
                m.commit(what, v, **more)
            for what, more in {
                    "no protocols": {"Protocols": []},
                    "no type": {"ProtocolType": ""},
                    "another type": {"ProtocolType": "connect"},
                    "another protocol": {"Protocols": [
                        {"Name": "sticky", "Metadata": READS}]}}.items():
                for who in m.id, "":
                    m.send_join(v, **{"MemberId": who, **more})
                    m.take(f"joins, {what}, {'new' if not who else 'known'}",
                           "JoinGroup", v)
            m.shown("still", v)
            m.heartbeat("still", v)
            m.leave("the last", v)


@group_script
def Joins_that_are_refused(side):
    """Before there is a group."""
    for v in JOINS:
        with Member(side, f"refused-{v}") as m:
            for what, more in {
                    "no group": {"GroupId": ""},
                    "session too short": {"SessionTimeoutMs": 5999},
                    "session of 0": {"SessionTimeoutMs": 0},
                    "session too long": {"SessionTimeoutMs": 1800001},
                    "a name": NOBODY,
                    "no type": {"ProtocolType": ""},
                    "no protocols": {"Protocols": []}}.items():
                m.send_join(v, **more)
                m.take(what, "JoinGroup", v)
                m.shown(what, v)


@group_script
def Members_that_never_joined(side):
    """They were given an id, and no more."""
    for v in range(4, 10):
        with Member(side, f"pending-{v}") as m:
            m.send_join(v)
            m.joined("for an id", v)
            m.shown("pending", v)
            m.heartbeat("pending", v)
            m.sync("pending", v)
            m.commit("pending", v)
            m.leave("pending", v)
            m.leave("again", v)
            m.send_join(v)
            m.joined("after it left", v)


# --- two members -------------------------------------------------------------

@group_script
def Two_members(side):
    """The second comes, both go on, the first goes."""
    for v in JOINS:
        group = f"two-{v}"
        with Member(side, group) as a, Member(side, group, client="other") \
                as b:
            a.join("a", v, protocols=BOTH)
            a.sync("a", v, [(a, assignment(0, 1, 2))])
            b.begin_join("b", v, protocols=BOTH)
            rebalancing(a, v)
            a.shown("preparing", v)
            a.commit("preparing", v)
            a.sync("preparing", v)
            a.begin_join("a again", v, protocols=BOTH)
            b.joined("b", v)
            a.joined("a, which leads", v)
            b.send_sync(v)
            while_b_waits(a, v)
            a.sync("a", v, [(a, assignment(0)), (b, assignment(1, 2))])
            b.synced("b", v)
            a.shown("stable", v)
            b.join("a follower, the same", v, protocols=BOTH)
            a.heartbeat("after it", v)
            a.leave("the leader", v)
            rebalancing(b, v)
            b.join("b alone", v, protocols=BOTH)
            b.sync("b", v, [(b, assignment(0, 1, 2))])
            b.leave("the last", v)
            b.shown("empty", v)


def rebalancing(member, v):
    """It is told so, sooner or later: only then the transcript goes on."""
    def told():
        answer = quiet(member, "Heartbeat", 4, member.me())
        return answer["ErrorCode"] == 27
    harness.wait_until(told, what="the group rebalances")
    member.heartbeat("rebalancing", v)


def quiet(member, api, version, values):
    """An exchange that is not told."""
    member.send(api, version, **values)
    return Side.decode(api, version, member.client.receive_frame())


def while_b_waits(a, v):
    """Its SyncGroup waits for the leader's."""
    a.heartbeat("completing", v)
    a.commit("completing", v)
    a.shown("completing", v)
    a.ask("completing", "ListGroups", newest("ListGroups", v),
          StatesFilter=["CompletingRebalance"] if v >= 4 else [])


@group_script
def A_leader_that_joins_again(side):
    """It begins a rebalance, with what it had; another member's change does,
    too."""
    for v in JOINS:
        group = f"again-{v}"
        with Member(side, group) as a, Member(side, group, client="other") \
                as b:
            a.join("a", v)
            a.begin_join("a, not synced, the same", v)
            a.joined("a, not synced, the same", v)
            a.sync("a", v, [(a, assignment(0))])
            b.begin_join("b", v)
            rebalancing(a, v)
            a.begin_join("a", v)
            b.joined("b", v)
            a.joined("a", v)
            b.send_sync(v)
            a.sync("a", v, [(a, assignment(0)), (b, assignment(1))])
            b.synced("b", v)
            a.begin_join("the leader", v)
            rebalancing(b, v)
            b.begin_join("b", v)
            b.joined("b", v)
            a.joined("the leader", v)
            b.send_sync(v)
            a.sync("a", v, [(a, assignment(2))])
            b.synced("b, with nothing", v)
            b.begin_join("b, changed", v, protocols=(
                ("range", subscription("grouped", "other")),))
            rebalancing(a, v)
            a.begin_join("a", v)
            b.joined("b, changed", v)
            a.joined("a", v)
            b.leave("completing", v)
            rebalancing(a, v)
            a.begin_join("a", v)
            a.joined("a alone", v)
            a.leave("the last", v)


@group_script
def Votes(side):
    """Each for its first protocol that all know; most win."""
    for v in (0, 3, 6, 9):
        group = f"votes-{v}"
        members = [Member(side, group, client=f"c{n}") for n in range(3)]
        a, b, c = members
        a.join("a", v, protocols=(("x", b"1"), ("y", b"2"), ("z", b"3")))
        a.sync("a", v, [(a, b"a")], ProtocolName="x")
        b.begin_join("b", v, protocols=(("z", b"4"), ("y", b"5")))
        rebalancing(a, v)
        c.begin_join("c", v, protocols=(("q", b"6"), ("z", b"7"),
                                        ("y", b"8")))

        def all_wait():
            found = quiet(a, "DescribeGroups", 0, {"Groups": [group]})
            return len(found["Groups"][0]["Members"]) == 3
        harness.wait_until(all_wait, what="three members")
        a.begin_join("a", v, protocols=(("x", b"1"), ("y", b"2"),
                                        ("z", b"3")))
        for m in (b, c, a):
            m.joined("all", v)
        for m in (b, c):
            m.send_sync(v, ProtocolName="z")
        a.sync("a", v, [(m, m.client_id.encode()) for m in members],
               ProtocolName="z")
        for m in (b, c):
            m.synced("b and c", v)
        a.shown("stable", v)
        version = newest("LeaveGroup", v)
        a.ask("all", "LeaveGroup", version, GroupId=group, MemberId=a.id,
              Members=[{"MemberId": m.id} for m in members])
        for m in (b, c):
            if version < 3:
                m.leave("each", v)
        a.shown("empty", v)
        for m in members:
            m.client.close()


# --- static members ----------------------------------------------------------

@group_script
def Static_members(side):
    """One comes back without its id: it takes its own place, the old one is
    fenced off."""
    for v in range(5, 10):
        group = f"static-{v}"
        with Member(side, group, "chair") as a, \
                Member(side, group, "chair") as back, \
                Member(side, group, "stool") as b:
            a.join("new", v)
            a.sync("new", v, [(a, assignment(0, 1, 2))])
            a.shown("stable", v)
            a.join("with its id", v)
            a.sync("with its id", v, [(a, assignment(0, 1, 2))])
            a.heartbeat("before", v)
            back.join("comes back", v)
            back.sync("comes back", v)
            back.heartbeat("comes back", v)
            for call in a.heartbeat, a.sync, a.commit, a.leave:
                call("fenced off", v)
            a.send_join(v)
            a.take("fenced off", "JoinGroup", v)
            back.heartbeat("another's name", v, GroupInstanceId="stool")
            back.heartbeat("its id alone", v, GroupInstanceId=None)
            back.commit("its id alone", v, GroupInstanceId=None)
            b.begin_join("another", v)
            rebalancing(back, v)
            back.begin_join("again", v)
            b.joined("another", v)
            back.joined("again", v)
            b.send_sync(v)
            back.sync("again", v, [(back, assignment(0)),
                                   (b, assignment(1, 2))])
            b.synced("another", v)
            b.shown("both", v)
            version = newest("LeaveGroup", v)
            b.ask("by name", "LeaveGroup", version, GroupId=group, Members=[
                {"MemberId": "", "GroupInstanceId": "stool"},
                {"MemberId": "", "GroupInstanceId": "nobody"},
                {"MemberId": "nobody", "GroupInstanceId": "chair"},
                {"MemberId": back.id, "GroupInstanceId": None},
                {"MemberId": "", "GroupInstanceId": None}])
            b.shown("after it", v)


@group_script
def Static_members_that_change(side):
    """Another subscription of the one who comes back is a rebalance."""
    for v in range(5, 10):
        group = f"changed-{v}"
        with Member(side, group, "chair") as a, \
                Member(side, group, "chair") as back:
            a.join("new", v)
            a.sync("new", v, [(a, assignment(0))])
            back.join("with another subscription", v, protocols=(
                ("range", subscription("other")),))
            back.heartbeat("then", v)
            back.sync("then", v, [(back, assignment(0))])
            back.shown("then", v)
            back.leave("by both names", v)
            back.shown("empty", v)


# --- LeaveGroup --------------------------------------------------------------

@group_script
def Leaving_what_there_is_not(side):
    for v in SERVED["LeaveGroup"]:
        for what, group in {"unknown group": "none", "no group": ""}.items():
            side.ask(what, "LeaveGroup", v, GroupId=group, MemberId="nobody",
                     Members=[{"MemberId": "nobody"},
                              {"MemberId": "", "GroupInstanceId": "chair"}])
        side.ask("nobody named", "LeaveGroup", v, GroupId="none",
                 MemberId="", Members=[])


# --- offsets -----------------------------------------------------------------

def commit_as_stranger(side, what, v, group, topics, **more):
    return side.ask(what, "OffsetCommit", v, **{
        "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "",
        "RetentionTimeMs": -1, "Topics": topics, **more})


@group_script
def Offsets_without_members(side):
    for v in SERVED["OffsetCommit"]:
        group = f"simple-{v}"

        def commit(what, topics, **more):
            commit_as_stranger(side, what, v, group, topics, **more)
        commit("no topics", [])
        side.ask("nothing yet", "DescribeGroups", 5, Groups=[group])
        commit("two", offsets({0: 7, 2: 9}, metadata="here", epoch=3))
        commit("no metadata", offsets({1: 1}, metadata=None))
        commit("an unknown topic", offsets({0: 1}, "nowhere"))
        commit("a bad name", offsets({0: 1}, "a b") + offsets({0: 1}, ""))
        commit("an unknown partition", offsets({0: 8, 3: 1, -1: 1}))
        commit("of several topics", offsets({0: 8}) + offsets(
            {0: 3, 1: 1}, "other") + offsets({0: 1}, "nowhere"))
        commit("as long as may be", offsets({0: 8}, metadata=META))
        commit("too long", offsets({0: 6}, metadata=META + "x"))
        commit("long in one", [{"Name": "grouped", "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 4,
             "CommittedMetadata": META + "x"},
            {"PartitionIndex": 1, "CommittedOffset": 4,
             "CommittedMetadata": "m"}]}])
        commit("beyond the end", offsets({2: (1 << 63) - 1}))
        commit("backwards", offsets({1: 0}))
        commit("below zero", offsets({1: -1}))
        commit("for an hour", offsets({0: 5}), RetentionTimeMs=3600000)
        commit("with a name", offsets({0: 1}), MemberId="nobody")
        commit("with a generation", offsets({0: 1}),
               GenerationIdOrMemberEpoch=1)
        if v >= 7:
            commit("with an instance", offsets({0: 1}),
                   GroupInstanceId="chair")
        commit("no group", offsets({0: 1}), GroupId="")
        for f in SERVED["OffsetFetch"]:
            side.ask(f"of {v}", "OffsetFetch", f, **fetched(
                group, [("grouped", [0, 1, 2]), ("other", [0])], f))
        side.ask("then", "DescribeGroups", 5, Groups=[group],
                 IncludeAuthorizedOperations=True)


@group_script
def Offsets_fetched(side):
    group = "fetched"
    commit_as_stranger(side, "some", 8, group, offsets(
        {0: 7, 2: 9}, metadata="here", epoch=0) + offsets({0: 1}, "other"))
    for v in SERVED["OffsetFetch"]:
        for what, topics in {
                "all": None, "none": [], "one": [("grouped", [2])],
                "no partitions": [("grouped", [])],
                "not committed": [("grouped", [1])],
                "unknown": [("nowhere", [0]), ("grouped", [7, -1])],
                "bad names": [("a b", [0]), ("", [0])],
                "twice": [("grouped", [0, 0]), ("grouped", [0])]}.items():
            for which in group, "none", "":
                for stable in {False, v >= 7}:
                    side.ask(f"{what} of {which!r}, stable: {stable}",
                             "OffsetFetch", v,
                             **fetched(which, topics, v, stable))
    for v in (8, 9):
        named = [{"Name": "grouped", "PartitionIndexes": [0]}]
        for what, groups in {
                "three": [{"GroupId": group, "Topics": None},
                          {"GroupId": "none", "Topics": named},
                          {"GroupId": "simple-9", "Topics": named}],
                "the same": [{"GroupId": group, "Topics": named},
                             {"GroupId": group, "Topics": named}],
                "with an empty one": [{"GroupId": "", "Topics": None},
                                      {"GroupId": group, "Topics": named}],
                "as a member": [{"GroupId": group, "MemberId": "m",
                                 "MemberEpoch": 3, "Topics": named}],
        }.items():
            side.ask(what, "OffsetFetch", v, Groups=groups)


@group_script
def Offsets_deleted(side):
    group = "deleted"

    def delete(what, *topics, group=group):
        side.ask(what, "OffsetDelete", 0, GroupId=group, Topics=[
            {"Name": n, "Partitions": [{"PartitionIndex": i} for i in p]}
            for n, p in topics])
        side.ask(f"after: {what}", "OffsetFetch", 8,
                 **fetched(group, None, 8))
    for name in group, "deleted-too":
        commit_as_stranger(side, "some", 8, name, offsets(
            {0: 7, 1: 8, 2: 9}) + offsets({0: 1}, "other"))
    delete("nothing")
    delete("one", ("grouped", [1]))
    delete("one that is not", ("grouped", [1]))
    delete("unknown", ("nowhere", [0]), ("grouped", [9, -1]))
    delete("no partitions", ("grouped", []))
    delete("bad names", ("a b", [0]), ("", [0]))
    delete("twice", ("grouped", [2, 2]), ("grouped", [2]))
    delete("the rest", ("grouped", [0, 1, 2]), ("other", [0]))
    delete("no group", ("grouped", [0]), group="")
    delete("unknown group", ("grouped", [0]), group="none")
    side.ask("then", "DescribeGroups", 5, Groups=[group, "deleted-too"])


@group_script
def Offsets_of_deleted_topics(side):
    """They go with the topic."""
    side.make(topic("short-lived", 2))
    commit_as_stranger(side, "some", 8, "of-deleted", offsets(
        {0: 1, 1: 2}, "short-lived") + offsets({0: 1}))
    side.ask("", "DeleteTopics", 5, TimeoutMs=10000,
             TopicNames=["short-lived"])

    def gone():
        answer = side.connect().call("OffsetFetch", 8, **fetched(
            "of-deleted", None, 8))
        return len(answer["Groups"][0]["Topics"]) == 1
    harness.wait_until(gone, what="the topic's offsets are gone")
    side.ask("then", "OffsetFetch", 8, **fetched("of-deleted", None, 8))
    harness.wait_until(lambda: not empty_groups(side.connect()),
                       what="groups without anything are gone")


def empty_groups(client):
    """Those that have neither members nor offsets go.  Whenever a topic is
    deleted Kafka looks for all of them; else each broker in its rounds."""
    names = [g["GroupId"] for g in client.call(
        "ListGroups", 4, StatesFilter=["Empty"])["Groups"]]
    told = client.call("OffsetFetch", 8, Groups=[
        {"GroupId": n, "Topics": None} for n in names])["Groups"]
    found = [g["GroupId"] for g in told if not g["Topics"]]
    if found:
        client.call("DeleteGroups", 2, GroupsNames=found)
    return found


@group_script
def Offsets_while_members_read(side):
    """Of other topics than theirs, and by strangers."""
    with Member(side, "reading") as m:
        m.join("new", 7)
        m.sync("new", 7, [(m, assignment(0))])
        m.commit("two topics", 7, Topics=offsets({0: 4}) + offsets(
            {0: 2}, "other"))
        for what, name in {"theirs": "grouped", "another": "other",
                           "unknown": "nowhere"}.items():
            m.ask(what, "OffsetDelete", 0, GroupId="reading", Topics=[
                {"Name": name, "Partitions": [{"PartitionIndex": 0}]}])
        m.ask("then", "OffsetFetch", 8, **fetched("reading", None, 8))
        commit_as_stranger(side, "by a stranger", 8, "reading",
                           offsets({0: 1}))
        m.leave("the last", 7)
        m.ask("theirs, then", "OffsetDelete", 0, GroupId="reading", Topics=[
            {"Name": "grouped", "Partitions": [{"PartitionIndex": 0}]}])
    with Member(side, "working") as m:
        m.join("of no consumers", 7, kind="connect")
        m.ask("another protocol", "OffsetDelete", 0, GroupId="working",
              Topics=[{"Name": "grouped", "Partitions": [
                  {"PartitionIndex": 0}]}])
        m.shown("of no consumers")
        m.leave("the last", 7)
    with Member(side, "no-words") as m:
        m.join("not to be read", 7, protocols=(("range", b"\0"),))
        m.sync("not to be read", 7, [(m, b"")])
        m.commit("not to be read", 7)
        m.ask("not to be read", "OffsetDelete", 0, GroupId="no-words",
              Topics=[{"Name": "grouped", "Partitions": [
                  {"PartitionIndex": 0}]}])
        m.leave("the last", 7)


# --- what is told of groups --------------------------------------------------

@group_script
def Groups_listed(side):
    with Member(side, "listed") as m, Member(side, "listed-too") as other:
        m.join("stable", 7)
        m.sync("stable", 7, [(m, assignment(0))])
        other.join("completing", 7)
        for v in SERVED["ListGroups"]:
            side.ask("all", "ListGroups", v)
            for states in (["Stable"], ["stable"], ["STABLE", "Empty"],
                           ["Dead"], ["CompletingRebalance", "Stable"],
                           ["PreparingRebalance"], ["asleep"], [""]):
                if v >= 4:
                    side.ask(f"states {states}", "ListGroups", v,
                             StatesFilter=states)
            for types in (["classic"], ["Classic"], ["consumer"], ["share"],
                          ["classic", "consumer"], ["x"], [""]):
                if v >= 5:
                    side.ask(f"types {types}", "ListGroups", v,
                             TypesFilter=types)
                    side.ask(f"types {types}, stable", "ListGroups", v,
                             TypesFilter=types, StatesFilter=["Stable"])
        for v in SERVED["DescribeGroups"]:
            for names in ([], ["listed"], ["listed-too", "none", "listed"],
                          [""], ["listed", "listed"], ["fetched"]):
                side.ask(f"{names}", "DescribeGroups", v, Groups=names,
                         IncludeAuthorizedOperations=False)
                if v >= 3:
                    side.ask(f"{names}, operations", "DescribeGroups", v,
                             Groups=names, IncludeAuthorizedOperations=True)
        m.leave("the last", 7)
        other.leave("the last", 7)


@group_script
def Groups_deleted(side):
    for v in SERVED["DeleteGroups"]:
        names = [f"doomed-{v}-{n}" for n in range(3)]
        for name in names:
            commit_as_stranger(side, "some", 8, name, offsets({0: 1}))
        with Member(side, f"alive-{v}") as m:
            m.join("stays", 7)
            for what, which in {
                    "none": [], "unknown": ["none"], "empty name": [""],
                    "one": names[:1], "again": names[:1],
                    "several": [names[1], "none", m.group, ""],
                    "twice": [names[2], names[2]]}.items():
                side.ask(what, "DeleteGroups", v, GroupsNames=which)
            m.shown("stays")
            m.leave("the last", 7)
        side.ask("then", "DescribeGroups", 5, Groups=names)
        side.ask("no longer", "OffsetFetch", 8,
                 **fetched(names[0], None, 8))


# --- what all this has left --------------------------------------------------

KINDS = ("OffsetCommit", "OffsetCommit", "GroupMetadata")   # by key version
UUIDS = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def record_told(record):
    """Key and value as they are declared; without times and uuids, members in
    any order."""
    _, _, key, value, headers = record
    kind = KINDS[struct.unpack_from(">h", key)[0]]
    out = {"key": decoded(f"{kind}Key", key),
           "value": value and decoded(f"{kind}Value", value),
           "headers": headers}
    if value and "members" in out["value"]:
        out["value"]["members"].sort(key=repr)
    return out


def decoded(name, data):
    version = struct.unpack_from(">h", data)[0]
    told = wire.decode(wire.DATA[name], version, data[2:])
    return masked({"version": version, **told})


def masked(value):
    if isinstance(value, dict):
        return {k: "TIME" if "imestamp" in k and v != -1 else masked(v)
                for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v) for v in value]
    return UUIDS.sub("UUID", value) if isinstance(value, str) else value


def in_order(batches):
    """Tombstones of what went together may come in any."""
    def tombstones(b):
        return all(r["value"] is None for r in b["records"])
    for all_are, some in itertools.groupby(batches, tombstones):
        yield from sorted(some, key=repr) if all_are else some


@group_script
def Records_of_groups(side):
    """Every batch that the coordinator has written up to now."""
    harness.wait_until(lambda: not empty_groups(side.connect()),
                       what="groups without anything are gone")
    found, offset, end = [], 0, 1
    while offset < end:
        part = wire.fetch(side.connect(), "__consumer_offsets", offset,
                          partition_max_bytes=1 << 20)
        end = part["HighWatermark"]
        for b in wire.batches(part["Records"] or b""):
            offset = b.last_offset + 1
            found.append({
                "attributes": b.attributes, "producer": b.producer_id,
                "epoch": b.leader_epoch, "sequence": b.base_sequence,
                "records": sorted(map(record_told, b.records()), key=repr)})
    for n, b in enumerate(in_order(found)):
        side.told.append(("Fetch", 12, f"batch {n}", b))
