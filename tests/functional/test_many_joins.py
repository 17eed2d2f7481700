# SPDX-License-Identifier: Apache-2.0
"""Thousands of JoinGroups at once over tens of connections: all are answered
rightly, a group beside them does not suffer, and what they cost is bounded."""

import pytest

import harness
import wire
from test_group_takeover import Committer
from test_groups import (
    MEMBER_ID_REQUIRED, NONE, UNKNOWN_MEMBER, Member, coordinate, describe,
    stable)

pytestmark = pytest.mark.ours

CONNECTIONS = 50
# JoinGroups under way on each of them
DEPTH = 20 if harness.sanitized() else 100
MEMORY_KIB = 64 << 10


@pytest.fixture
def start(make_broker):
    """start(**options): a broker, and what tells that it serves as before: a
    group commits, asks what is committed, and heartbeats all the while."""
    committers = []

    def begin(**options):
        broker = make_broker(offsets_topic_num_partitions=3, **options).start()
        coordinate(broker)
        harness.create_topic(broker, "t", 2)
        harness.wait_topic(broker, "t", 2)
        committers.append(Committer([broker], 0))
        committers[0].goes_on()
        before = broker.memory_kib()

        def still_served():
            committers[0].goes_on()
            if not harness.sanitized():
                assert broker.memory_kib() - before < MEMORY_KIB
        return broker, still_served
    yield begin
    for c in committers:
        c.end()


class Crowd:
    """A connection that asks for many members at once."""

    def __init__(self, broker, groups):
        self.client = wire.Client(broker.address)
        self.members = [Member(broker, g, client=self.client) for g in groups]

    def close(self):
        self.client.close()


def joins(crowds):
    """Each member sends its JoinGroup, and none waits for another's answer."""
    for c in crowds:
        for m in c.members:
            m.send_join()
    return [(m, m.client.receive()) for c in crowds for m in c.members]


def refused(answer, error):
    """No part of it tells of a generation."""
    return (answer["ErrorCode"], answer["GenerationId"], answer["Leader"],
            answer["ProtocolName"], answer["Members"]) == (
                error, -1, "", None, [])


def take_ids(crowds):
    """Each is told an id of its own to come back with (KIP-394)."""
    ids = set()
    for m, answer in joins(crowds):
        assert refused(answer, MEMBER_ID_REQUIRED), answer
        m.id = answer["MemberId"]
        ids.add(m.id)
    assert len(ids) == CONNECTIONS * DEPTH


def test_one_group(start):
    broker, still_served = start()
    crowds = [Crowd(broker, ["crowded"] * DEPTH) for _ in range(CONNECTIONS)]
    for n, m in enumerate(m for c in crowds for m in c.members):
        m.id = f"nobody-{n}"
    for m, answer in joins(crowds):
        assert refused(answer, UNKNOWN_MEMBER), answer
        assert answer["MemberId"] == m.id
        m.id = ""
    still_served()
    take_ids(crowds)
    still_served()
    # who has an id is no member yet
    found, = describe(broker, "crowded")
    assert (found["GroupState"], found["Members"]) == ("Empty", [])
    # one of each connection comes back, the others do not want to
    members = [c.members.pop() for c in crowds]
    for c in crowds:
        c.client.send("LeaveGroup", 5, GroupId="crowded", Members=[
            {"MemberId": m.id, "GroupInstanceId": None} for m in c.members])
    for c in crowds:
        left = c.client.receive()
        assert left["ErrorCode"] == NONE
        assert [(m["MemberId"], m["ErrorCode"]) for m in left["Members"]] == [
            (m.id, NONE) for m in c.members]
    for generation in (1, 2):
        stable(*members)
        assert {m.generation for m in members} == {generation}
    still_served()
    for c in crowds:
        c.close()


def test_many_groups(start):
    """Each member comes back with its id, and is alone in its group."""
    broker, still_served = start(group_initial_rebalance_delay_ms=0)
    crowds = [Crowd(broker, [f"g-{c}-{n}" for n in range(DEPTH)])
              for c in range(CONNECTIONS)]
    take_ids(crowds)
    still_served()
    for m, answer in joins(crowds):
        assert (answer["ErrorCode"], answer["GenerationId"],
                answer["ProtocolName"]) == (NONE, 1, "range")
        assert answer["Leader"] == answer["MemberId"] == m.id
        assert [x["MemberId"] for x in answer["Members"]] == [m.id]
        m.generation = 1
    still_served()
    members = [m for c in crowds for m in c.members]
    for m in members:
        m.send_sync([(m.id, m.id.encode())])
    for m in members:
        answer = m.client.receive()
        assert (answer["ErrorCode"], answer["Assignment"]) == (
            NONE, m.id.encode())
    still_served()
    groups = [m.group for m in members]
    assert [(g["GroupId"], g["GroupState"], [m["MemberId"] for m in
                                             g["Members"]])
            for g in describe(broker, *groups)] == [
        (m.group, "Stable", [m.id]) for m in members]
    assert {m.beat() for m in members} == {NONE}
    still_served()
    for c in crowds:
        c.close()
