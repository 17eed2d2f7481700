# SPDX-License-Identifier: Apache-2.0
"""Members of groups by raw requests, in every version.

A Member is one connection, so that a JoinGroup may wait while others are asked.
Its id is told by what is before its uuid, and its number (answers.Side.member).
"""

import struct

import wire
from answers import CLIENT, Side

NEEDS_ID = 79


def newest(api, version):
    """The version of another API that goes with JoinGroup's."""
    return min(version, max(wire.REQUESTS[api].valid))


def protocol_bytes(name, version, **values):
    return struct.pack(">h", version) + wire.encode(wire.DATA[name], version,
                                                    values)


def subscription(*topics, version=1):
    return protocol_bytes("ConsumerProtocolSubscription", version,
                          Topics=list(topics), UserData=None)


def assignment(*partitions, topic="grouped"):
    return protocol_bytes("ConsumerProtocolAssignment", 1, UserData=None,
                          AssignedPartitions=[
                              {"Topic": topic, "Partitions": list(partitions)}])


def assigned(data):
    """{(topic, partition)} of what one member was assigned."""
    if not data:
        return set()
    version, = struct.unpack_from(">h", data)
    told = wire.decode(wire.DATA["ConsumerProtocolAssignment"], version,
                       data[2:])
    return {(t["Topic"], p) for t in told["AssignedPartitions"]
            for p in t["Partitions"]}


READS = subscription("grouped")
RANGE = (("range", READS),)
BOTH = (("range", READS), ("roundrobin", READS))


class Member:
    """A connection with what JoinGroup said of it."""

    def __init__(self, side, group, instance=None, client=CLIENT):
        self.side, self.group, self.instance = side, group, instance
        self.client_id = client
        self.client = wire.Client(side.broker.address, timeout=20)
        self.id, self.generation = "", -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def send(self, api, v, **values):
        self.client.send_frame(Side.payload(api, v, values, self.client_id))

    def take(self, what, api, v):
        try:
            outcome = self.client.receive_frame()
        except wire.Closed:
            outcome = "closed"
        if api == "JoinGroup" and not isinstance(outcome, str):
            self.side.member(Side.decode(api, v, outcome)["MemberId"])
        return self.side.tell(api, v, what, outcome)

    def ask(self, what, api, v, **values):
        self.send(api, v, **values)
        return self.take(what, api, v)

    # with what a member says of itself

    def me(self, **more):
        return {"GroupId": self.group, "GenerationId": self.generation,
                "MemberId": self.id, "GroupInstanceId": self.instance, **more}

    def send_join(self, v, protocols=RANGE, kind="consumer", **more):
        self.send("JoinGroup", v, **{
            "GroupId": self.group, "SessionTimeoutMs": 30000,
            "RebalanceTimeoutMs": 30000, "MemberId": self.id,
            "GroupInstanceId": self.instance if v >= 5 else None,
            "ProtocolType": kind, "Reason": "to read", "Protocols": [
                {"Name": n, "Metadata": m} for n, m in protocols], **more})

    def joined(self, what, v):
        answer = self.take(what, "JoinGroup", v)
        if answer is not None and answer["ErrorCode"] in (0, NEEDS_ID):
            self.id = answer["MemberId"]
            self.generation = answer["GenerationId"]
        return answer

    def begin_join(self, what, v, **how):
        """Up to the request that waits: a new member is given its id first,
        where the version has that."""
        if self.id == "" and self.instance is None and v >= 4:
            self.send_join(v, **how)
            self.joined(f"{what}, for an id", v)
        self.send_join(v, **how)

    def join(self, what, v, **how):
        self.begin_join(what, v, **how)
        return self.joined(what, v)

    def send_sync(self, v, assignments=(), **more):
        self.send("SyncGroup", newest("SyncGroup", v), **self.me(
            GroupInstanceId=self.instance if v >= 5 else None,
            ProtocolType="consumer", ProtocolName="range",
            Assignments=[{"MemberId": m.id, "Assignment": a}
                         for m, a in assignments]) | more)

    def synced(self, what, v):
        return self.take(what, "SyncGroup", newest("SyncGroup", v))

    def sync(self, what, v, assignments=(), **more):
        self.send_sync(v, assignments, **more)
        return self.synced(what, v)

    def heartbeat(self, what, v, **more):
        return self.ask(what, "Heartbeat", newest("Heartbeat", v), **self.me(
            GroupInstanceId=self.instance if v >= 5 else None) | more)

    def commit(self, what, v, **more):
        values = {
            "GroupId": self.group, "MemberId": self.id,
            "GenerationIdOrMemberEpoch": self.generation,
            "GroupInstanceId": self.instance if v >= 7 else None,
            "Topics": offsets({0: 5})} | more
        return self.ask(what, "OffsetCommit", v, **values)

    def leave(self, what, v, **more):
        v = newest("LeaveGroup", v)
        return self.ask(what, "LeaveGroup", v, **{
            "GroupId": self.group, "MemberId": self.id, "Members": [
                {"MemberId": self.id, "GroupInstanceId": self.instance,
                 "Reason": "read"}], **more})

    def shown(self, what, v=5):
        return self.ask(what, "DescribeGroups", newest("DescribeGroups", v),
                        Groups=[self.group], IncludeAuthorizedOperations=True)


def offsets(partitions, topic="grouped", metadata="", epoch=-1):
    """Topics of an OffsetCommit."""
    return [{"Name": topic, "Partitions": [
        {"PartitionIndex": p, "CommittedOffset": o,
         "CommittedMetadata": metadata, "CommittedLeaderEpoch": epoch}
        for p, o in partitions.items()]}]


def fetched(group, topics, v, stable=False):
    """An OffsetFetch of whichever version."""
    names = None if topics is None else [
        {"Name": n, "PartitionIndexes": p} for n, p in topics]
    return {"GroupId": group, "Topics": names, "RequireStable": stable,
            "Groups": [{"GroupId": group, "Topics": names}]}
