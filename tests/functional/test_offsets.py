# SPDX-License-Identifier: Apache-2.0
"""Committed offsets by raw requests: OffsetCommit, OffsetFetch, OffsetDelete,
DeleteGroups, in all versions; what is left of them after a kill."""

import itertools
import struct
import threading
import time
import uuid

import kazoo.client
import pytest

import harness
import wire
from test_groups import Member, coordinate

NONE, UNKNOWN_TOPIC, METADATA_TOO_LARGE = 0, 3, 12
ILLEGAL_GENERATION, INVALID_GROUP_ID, UNKNOWN_MEMBER = 22, 24, 25
NON_EMPTY, NOT_FOUND, SUBSCRIBED = 68, 69, 86
COMING = (14, 15, 16)
OFFSETS = "__consumer_offsets"
COMMITS, FETCHES = range(1, 10), range(1, 10)

_numbers = itertools.count()


def offsets_broker_of(zookeeper, folder, **options):
    from conftest import Factory
    factory = Factory(zookeeper, folder)
    broker = factory(**{"offsets.topic.num.partitions": 4,
                        "group.initial.rebalance.delay.ms": 100,
                        **options}).start()
    coordinate(broker)
    harness.create_topic(broker, "t", partitions=4)
    harness.create_topic(broker, "u", partitions=1)
    return factory, broker


@pytest.fixture(scope="module")
def offsets_broker(zookeeper, tmp_path_factory):
    factory, broker = offsets_broker_of(
        zookeeper, tmp_path_factory.mktemp("offsets"))
    yield broker
    factory.end()


@pytest.fixture
def group():
    return f"group-{next(_numbers)}-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def client(offsets_broker):
    with wire.Client(offsets_broker.address) as c:
        yield c


def commit_all(client, group, topics, version=7, **more):
    """topics: {name: [(partition, offset, metadata, epoch)]}; errors by
    (topic, partition), in the answer's order."""
    def row(partition, offset, metadata="", epoch=-1):
        out = {"PartitionIndex": partition, "CommittedOffset": offset,
               "CommittedMetadata": metadata}
        if version >= 6:
            out["CommittedLeaderEpoch"] = epoch
        return out
    answer = client.call(
        "OffsetCommit", version, GroupId=group, Topics=[
            {"Name": t, "Partitions": [row(*p) for p in parts]}
            for t, parts in topics.items()], **more)
    return {(t["Name"], p["PartitionIndex"]): p["ErrorCode"]
            for t in answer["Topics"] for p in t["Partitions"]}


def commit(client, group, offset, partition=0, topic="t", metadata="",
           version=7, **more):
    return commit_all(client, group, {topic: [(partition, offset, metadata)]},
                      version, **more)[topic, partition]


def fetch_groups(client, groups, version=8, topics=None, stable=False):
    """{group: (error, {(topic, partition): row})}; topics None: all."""
    asked = None if topics is None else [
        {"Name": t, "PartitionIndexes": p} for t, p in topics.items()]
    more = {"RequireStable": stable} if version >= 7 else {}
    if version >= 8:
        answer = client.call("OffsetFetch", version, Groups=[
            {"GroupId": g, "Topics": asked} for g in groups], **more)
        rows = [(g["GroupId"], g) for g in answer["Groups"]]
    else:
        answer = client.call("OffsetFetch", version, GroupId=groups[0],
                             Topics=asked, **more)
        rows = [(groups[0], answer)]
    return {name: (g.get("ErrorCode", NONE),
                   {(t["Name"], p["PartitionIndex"]): p
                    for t in g["Topics"] for p in t["Partitions"]})
            for name, g in rows}


def fetch(client, group, partition=0, topic="t", version=8, stable=False):
    error, rows = fetch_groups(client, [group], version, {topic: [partition]},
                               stable)[group]
    assert error == NONE
    return rows[topic, partition]


def committed(client, group, partition=0, topic="t"):
    row = fetch(client, group, partition, topic)
    assert row["ErrorCode"] == NONE
    return row["CommittedOffset"]


def everything(client, group):
    """{(topic, partition): offset}"""
    error, rows = fetch_groups(client, [group])[group]
    assert error == NONE
    return {k: p["CommittedOffset"] for k, p in rows.items()}


# --- there and back ----------------------------------------------------------

@pytest.mark.parametrize("version", COMMITS)
def test_commit_versions(client, group, version):
    errors = commit_all(client, group, {
        "t": [(0, 10, "note", 3), (3, 1 << 40, None, -1)], "u": [(0, 7)]},
        version)
    assert errors == {("t", 0): NONE, ("t", 3): NONE, ("u", 0): NONE}
    row = fetch(client, group)
    assert (row["CommittedOffset"], row["Metadata"]) == (10, "note")
    assert row["CommittedLeaderEpoch"] == (3 if version >= 6 else -1)
    row = fetch(client, group, 3)
    assert (row["CommittedOffset"], row["Metadata"]) == (1 << 40, "")
    assert everything(client, group) == {
        ("t", 0): 10, ("t", 3): 1 << 40, ("u", 0): 7}


@pytest.mark.parametrize("version", FETCHES)
def test_fetch_versions(client, group, version):
    commit_all(client, group, {"t": [(1, 10, "note", 3)]})
    error, rows = fetch_groups(client, [group], version,
                               {"t": [1, 2, 1], "gone": [0]})[group]
    assert error == NONE and set(rows) == {("t", 1), ("t", 2), ("gone", 0)}
    row = rows["t", 1]
    assert (row["CommittedOffset"], row["Metadata"], row["ErrorCode"]) == (
        10, "note", NONE)
    if version >= 5:
        assert row["CommittedLeaderEpoch"] == 3
    for key in (("t", 2), ("gone", 0)):
        assert (rows[key]["CommittedOffset"], rows[key]["Metadata"],
                rows[key]["ErrorCode"]) == (-1, "", NONE)
    if version >= 2:
        assert set(fetch_groups(client, [group], version)[group][1]) == {
            ("t", 1)}
        assert fetch_groups(client, ["no-" + group], version) == {
            "no-" + group: (NONE, {})}


def test_many_groups_in_one_fetch(client, group):
    names = [f"{group}-{n}" for n in range(40)]
    for n, name in enumerate(names):
        assert commit(client, name, n) == NONE
    got = fetch_groups(client, names + [group], 9, {"t": [0]}, True)
    assert list(got) == names + [group]
    for n, name in enumerate(names):
        assert got[name][0] == NONE
        assert got[name][1]["t", 0]["CommittedOffset"] == n
    assert got[group][1]["t", 0]["CommittedOffset"] == -1


def test_refused_parts(client, group):
    errors = commit_all(client, group, {
        "t": [(0, 1), (9, 1), (1, 1, "x" * 4097), (2, 1, "x" * 4096),
              (3, 1, "é" * 4096)],
        "gone": [(0, 1)]})
    assert errors == {
        ("t", 0): NONE, ("t", 9): UNKNOWN_TOPIC, ("t", 1): METADATA_TOO_LARGE,
        ("t", 2): NONE, ("t", 3): NONE, ("gone", 0): UNKNOWN_TOPIC}
    assert set(everything(client, group)) == {("t", 0), ("t", 2), ("t", 3)}
    assert commit(client, group, 1, metadata="x" * 5000) == METADATA_TOO_LARGE
    assert commit_all(client, group, {}) == {}


def test_the_last_of_twins_counts(client, group):
    answer = client.call("OffsetCommit", 5, GroupId=group, Topics=[
        {"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": n} for n in (1, 2)]},
        {"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 3}]}])
    assert [(t["Name"], [p["PartitionIndex"] for p in t["Partitions"]])
            for t in answer["Topics"]] == [("t", [0])]
    assert committed(client, group) == 3


def test_who_may_commit(offsets_broker, client, group):
    assert commit(client, group, 1, GenerationIdOrMemberEpoch=0) == (
        ILLEGAL_GENERATION)
    member = Member(offsets_broker, group)
    member.join()
    assert member.sync([(member.id, b"")])["ErrorCode"] == NONE
    who = {"MemberId": member.id, "GenerationIdOrMemberEpoch": 1}
    assert commit(client, group, 1) == UNKNOWN_MEMBER
    assert commit(client, group, 1, **{**who, "MemberId": "x"}) == (
        UNKNOWN_MEMBER)
    assert commit(client, group, 1, **{
        **who, "GenerationIdOrMemberEpoch": 2}) == ILLEGAL_GENERATION
    assert commit(client, group, 5, **who) == NONE
    assert committed(client, group) == 5
    member.close()
    assert commit(client, "", 9) == NONE
    assert committed(client, "") == 9


# --- version 0: ZooKeeper ----------------------------------------------------

def test_version_0(offsets_broker, client, group):
    zk = kazoo.client.KazooClient(
        offsets_broker.options["zookeeper.connect"])
    zk.start(30)
    path = f"/consumers/{group}/offsets"
    rows = fetch_groups(client, [group], 0, {"t": [0, 9]})[group][1]
    assert [rows["t", p]["ErrorCode"] for p in (0, 9)] == [UNKNOWN_TOPIC] * 2
    for offset in (5, 6):
        assert commit_all(client, group, {
            "t": [(0, offset, "m"), (1, offset), (9, 1),
                  (2, 1, "x" * 5000)], "u": [(0, 1)]}, 0) == {
            ("t", 0): NONE, ("t", 1): NONE, ("t", 9): UNKNOWN_TOPIC,
            ("t", 2): METADATA_TOO_LARGE, ("u", 0): NONE}
        assert zk.get(f"{path}/t/0")[0] == b"%d" % offset
    assert sorted(zk.get_children(path)) == ["t", "u"]
    assert zk.get_acls(f"{path}/t/0")[0][0].id.scheme == "world"
    rows = fetch_groups(client, [group], 0, {"t": [0, 2], "u": [0]})[group][1]
    assert (rows["t", 0]["CommittedOffset"], rows["t", 0]["Metadata"],
            rows["t", 0]["ErrorCode"]) == (6, "", NONE)
    assert rows["t", 2]["ErrorCode"] == UNKNOWN_TOPIC
    assert rows["u", 0]["CommittedOffset"] == 1
    # what is named twice is answered once
    answer = client.call("OffsetFetch", 0, GroupId=group, Topics=[
        {"Name": t, "PartitionIndexes": p}
        for t, p in (("t", [0, 0, 9]), ("u", [0]), ("t", [9, 0]))])
    assert sorted((t["Name"], p["PartitionIndex"]) for t in answer["Topics"]
                  for p in t["Partitions"]) == [("t", 0), ("t", 9), ("u", 0)]
    # nothing of it is the coordinator's
    assert everything(client, group) == {}
    zk.set(f"{path}/t/1", b"none")
    rows = fetch_groups(client, [group], 0, {"t": [1]})[group][1]
    assert (rows["t", 1]["CommittedOffset"], rows["t", 1]["ErrorCode"]) == (
        -1, -1)
    # no such names can be
    for bad in ("", "a//b", "a\x01b"):
        assert commit(client, bad, 1, version=0) == -1
    # nor would so many nodes above one be made
    deep = "/".join("a" * 16000)
    assert commit_all(client, deep, {"t": [(p, 1) for p in range(4)]}, 0) == {
        ("t", p): -1 for p in range(4)}
    assert zk.exists("/consumers/a") is None
    # some are
    assert commit(client, f"{group}/b/c", 3, version=0) == NONE
    assert zk.get(f"/consumers/{group}/b/c/offsets/t/0")[0] == b"3"
    zk.stop()
    zk.close()


# --- deletion ----------------------------------------------------------------

def delete_groups(client, *groups, version=2):
    answer = client.call("DeleteGroups", version, GroupsNames=groups)
    return [(r["GroupId"], r["ErrorCode"]) for r in answer["Results"]]


@pytest.mark.parametrize("version", range(0, 3))
def test_delete_groups(offsets_broker, client, group, version):
    names = [f"{group}-{n}" for n in range(10)]
    for name in names:
        assert commit_all(client, name, {"t": [(0, 1), (1, 2)]}) == {
            ("t", 0): NONE, ("t", 1): NONE}
    member = Member(offsets_broker, group)
    member.join()
    asked = names + ["no-" + group, group, names[0]]
    assert sorted(delete_groups(client, *asked, version=version)) == sorted(
        [(n, NONE) for n in names] +
        [("no-" + group, NOT_FOUND), (group, NON_EMPTY)])
    for name in names:
        assert everything(client, name) == {}
    assert delete_groups(client, names[0]) == [(names[0], NOT_FOUND)]
    member.close()


def offset_delete(client, group, topics):
    answer = client.call("OffsetDelete", 0, GroupId=group, Topics=[
        {"Name": t, "Partitions": [{"PartitionIndex": p} for p in parts]}
        for t, parts in topics.items()])
    return answer["ErrorCode"], {
        (t["Name"], p["PartitionIndex"]): p["ErrorCode"]
        for t in answer["Topics"] for p in t["Partitions"]}


def subscription(*topics):
    return struct.pack(">hi", 0, len(topics)) + b"".join(
        struct.pack(">h", len(t)) + t.encode() for t in topics) + (
        struct.pack(">i", -1))


def test_offset_delete(offsets_broker, client, group):
    assert offset_delete(client, "", {"t": [0]}) == (INVALID_GROUP_ID, {})
    assert offset_delete(client, group, {"t": [0]}) == (NOT_FOUND, {})
    commit_all(client, group, {"t": [(0, 1), (1, 2)], "u": [(0, 3)]})
    assert offset_delete(client, group, {"t": [0, 9], "gone": [0]}) == (
        NONE, {("t", 0): NONE, ("t", 9): UNKNOWN_TOPIC,
               ("gone", 0): UNKNOWN_TOPIC})
    assert everything(client, group) == {("t", 1): 2, ("u", 0): 3}
    member = Member(offsets_broker, group,
                    Protocols=[("range", subscription("u"))])
    member.join()
    assert member.sync([(member.id, b"")])["ErrorCode"] == NONE
    assert offset_delete(client, group, {"t": [1], "u": [0]}) == (
        NONE, {("t", 1): NONE, ("u", 0): SUBSCRIBED})
    assert everything(client, group) == {("u", 0): 3}
    member.close()
    other = Member(offsets_broker, group + "-c", ProtocolType="connect")
    other.join()
    assert offset_delete(client, group + "-c", {"t": [1]}) == (NON_EMPTY, {})
    other.close()


def test_a_topic_goes(offsets_broker, client, group):
    topic = "topic-" + group
    harness.create_topic(offsets_broker, topic, partitions=2)
    commit_all(client, group, {topic: [(0, 1), (1, 2)], "t": [(0, 3)]})
    commit_all(client, group + "-2", {topic: [(0, 1)]})
    client.call("DeleteTopics", 5, TopicNames=[topic], TimeoutMs=30000)
    harness.wait_until(
        lambda: everything(client, group) == {("t", 0): 3}
        and everything(client, group + "-2") == {},
        what="the topic's offsets are gone")
    # one of the same name begins anew
    def made():
        try:
            harness.create_topic(offsets_broker, topic, partitions=2)
        except AssertionError as e:
            assert "marked for deletion" in str(e)
            return False
        return True
    harness.wait_until(made, what="the name is free")
    assert committed(client, group, topic=topic) == -1


# --- the log -----------------------------------------------------------------

def key_of(group, topic=None, partition=0):
    def text(s):
        return struct.pack(">h", len(s)) + s.encode()
    if topic is None:
        return struct.pack(">h", 2) + text(group)
    return (struct.pack(">h", 1) + text(group) + text(topic)
            + struct.pack(">i", partition))


def log_of(client, group, partitions=4):
    """(key, value) of the group, in the order of its partition."""
    out = []
    for p in range(partitions):
        for r in wire.read_all(client, OFFSETS, p):
            if r[2] is not None and r[2][2:].startswith(key_of(group)[2:]):
                out.append((r[2], r[3]))
    return out


def test_records(client, group):
    """Byte for byte: keys of version 1, values of version 3, or 1 where an
    offset has a time of its own."""
    commit_all(client, group, {"t": [(2, 77, "note", 5)]})
    commit_all(client, group, {"t": [(2, 78, "")]}, 3, RetentionTimeMs=86400000)
    commit_all(client, group, {"t": [(2, 79, "x")]}, 1)
    assert offset_delete(client, group, {"t": [2]})[0] == NONE
    records = log_of(client, group)
    assert [k for k, _ in records] == [key_of(group, "t", 2)] * 4
    values = [v for _, v in records]
    assert values[0][:-8] == struct.pack(">hqih4s", 3, 77, 5, 4, b"note")
    when = struct.unpack(">q", values[0][-8:])[0]
    assert values[1][:12] == struct.pack(">hqh", 1, 78, 0)
    at, until = struct.unpack(">qq", values[1][12:])
    assert until - at == 86400000 and at >= when
    assert values[2][:-8] == struct.pack(">hqih1s", 3, 79, -1, 1, b"x")
    assert values[3] is None


def test_batches(client, group):
    """Nobody produces them; but commits begin at sequence 0, as Kafka's."""
    commit_all(client, group, {"t": [(0, 1, ""), (1, 2, "")]})
    assert offset_delete(client, group, {"t": [0, 1]})[0] == NONE
    found = []
    for p in range(4):
        part = wire.fetch(client, OFFSETS, 0, partition=p)
        found += [(b.producer_id, b.producer_epoch, b.base_sequence, b.count)
                  for b in wire.batches(part["Records"] or b"")
                  if group.encode() in b.data]
    assert found == [(-1, -1, 0, 2), (-1, -1, -1, 2)]


def test_a_commit_at_a_time_of_its_own(client, group):
    """Version 1 says when."""
    client.call("OffsetCommit", 1, GroupId=group, Topics=[
        {"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 5,
             "CommitTimestamp": 1234567890123}]}])
    value = log_of(client, group)[0][1]
    assert struct.unpack(">q", value[-8:])[0] == 1234567890123


@pytest.mark.ours
@pytest.mark.parametrize("version", (4, 5))
def test_topic_that_is_gone(make_broker, group, version):
    """Told in either form: what groups committed there is gone with it."""
    broker = make_broker(**{"offsets.topic.num.partitions": 1}).start()
    coordinate(broker)
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    state = {"PartitionIndex": 0, "ControllerEpoch": 2, "Leader": -2,
             "LeaderEpoch": 1, "Isr": [0], "ZkVersion": 1, "Replicas": [0]}
    told = {"UngroupedPartitionStates": [{"TopicName": "t", **state}]} \
        if version == 4 else {"TopicStates": [
            {"TopicName": "t", "PartitionStates": [state]}]}
    with wire.Client(broker.address) as c, \
            wire.Client(broker.address) as controller:
        assert commit(c, group, 5) == NONE
        assert everything(c, group) == {("t", 0): 5}
        answer = controller.call(
            "UpdateMetadata", version, ControllerId=0, ControllerEpoch=2,
            LiveBrokers=[{"Id": 0, "Rack": None, "Endpoints": [{
                "Port": broker.port, "Host": "127.0.0.1",
                "Listener": "PLAINTEXT", "SecurityProtocol": 0}]}], **told)
        assert answer["ErrorCode"] == NONE
        harness.wait_until(lambda: everything(c, group) == {},
                           what="it is forgotten")


def test_deleted_groups_in_the_log(offsets_broker, client, group):
    member = Member(offsets_broker, group)
    member.join()
    assert member.sync([(member.id, b"")])["ErrorCode"] == NONE
    commit(client, group, 1, MemberId=member.id, GenerationIdOrMemberEpoch=1)
    member.leave()
    member.close()
    assert delete_groups(client, group) == [(group, NONE)]
    tail = log_of(client, group)[-2:]
    assert tail == [(key_of(group, "t"), None), (key_of(group), None)]


# --- age ---------------------------------------------------------------------

def test_retention(make_broker):
    broker = make_broker(**{
        "offsets.retention.check.interval.ms": 200,
        "offsets.retention.minutes": 60,
        "offsets.topic.num.partitions": 2}).start()
    coordinate(broker)
    harness.create_topic(broker, "t", partitions=2)
    with wire.Client(broker.address) as c:
        assert commit(c, "g", 5) == NONE
        assert commit(c, "g", 6, partition=1, version=2,
                      RetentionTimeMs=1) == NONE
        old = c.call("OffsetCommit", 1, GroupId="h", Topics=[
            {"Name": "t", "Partitions": [
                {"PartitionIndex": 0, "CommittedOffset": 5,
                 "CommitTimestamp": 1234567890123}]}])
        assert old["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE
        harness.wait_until(
            lambda: everything(c, "g") == {("t", 0): 5}
            and everything(c, "h") == {}, what="offsets expired")
        assert log_of(c, "h", 2)[-1] == (key_of("h", "t"), None)
        groups = c.call("ListGroups", 4)["Groups"]
        assert [g["GroupId"] for g in groups] == ["g"]
    if not broker.real:
        assert broker.metric(
            "kafka_server_group_coordinator_metrics_offset_expiration_total"
        ) == 2
    harness.restart(broker, "t", 2)
    coordinate(broker)
    with wire.Client(broker.address) as c:
        assert everything(c, "g") == {("t", 0): 5}
        assert everything(c, "h") == {}


# --- the codec ---------------------------------------------------------------

@pytest.mark.parametrize("codec", range(1, 5))
def test_codec(make_broker, codec):
    broker = make_broker(**{"offsets.topic.num.partitions": 1,
                            "offsets.topic.compression.codec": codec}).start()
    coordinate(broker)
    harness.create_topic(broker, "t", partitions=4)
    with wire.Client(broker.address) as c:
        assert commit_all(c, "g", {"t": [(p, p + 5) for p in range(4)]}) == {
            ("t", p): NONE for p in range(4)}
        part = wire.fetch(c, OFFSETS, 0)
        assert [b.attributes & 7 for b in wire.batches(
            part["Records"])] == [codec]
    harness.restart(broker, "t", 4)
    coordinate(broker)
    with wire.Client(broker.address) as c:
        assert everything(c, "g") == {("t", p): p + 5 for p in range(4)}


# --- starts ------------------------------------------------------------------

def test_restart(make_broker):
    broker = make_broker(**{"offsets.topic.num.partitions": 4}).start()
    coordinate(broker)
    harness.create_topic(broker, "t", partitions=4)
    with wire.Client(broker.address) as c:
        for n in range(200):
            assert commit_all(c, f"g{n}", {"t": [
                (p, 10 * n + p, f"m{n}") for p in range(4)]}) == {
                ("t", p): NONE for p in range(4)}
        assert delete_groups(c, "g7") == [("g7", NONE)]
    for _ in range(2):
        harness.restart(broker, "t", 4)
        coordinate(broker)
        with wire.Client(broker.address) as c:
            for n in range(200):
                rows = fetch_groups(c, [f"g{n}"])[f"g{n}"][1]
                assert {k[1]: (r["CommittedOffset"], r["Metadata"])
                        for k, r in rows.items()} == ({} if n == 7 else {
                            p: (10 * n + p, f"m{n}") for p in range(4)})


class Committer(threading.Thread):
    """Commits 1, 2, 3, ... until its broker dies."""

    def __init__(self, broker, group, first):
        super().__init__()
        self.broker, self.group = broker, group
        self.asked = self.acknowledged = first
        self.failure = None

    def run(self):
        try:
            with wire.Client(self.broker.address) as c:
                while True:
                    self.asked += 1
                    error = commit(c, self.group, self.asked)
                    if error == NONE:
                        self.acknowledged = self.asked
                    elif error not in COMING:
                        self.failure = error
                        return
        except (wire.Closed, OSError):
            pass


def test_partitions_added(make_broker):
    """No group moves before the next start: abs("g".hashCode()) is 103, which
    lives in partition 3 of 4 and in 7 of 8."""
    broker = make_broker(**{"offsets.topic.num.partitions": 4}).start()
    coordinate(broker)
    harness.create_topic(broker, "t")
    harness.restart(broker, "t")
    coordinate(broker)
    with wire.Client(broker.address) as c:
        assert commit(c, "g", 5) == NONE
        answer = c.call("CreatePartitions", 3, TimeoutMs=30000, Topics=[
            {"Name": OFFSETS, "Count": 8, "Assignments": None}],
            ValidateOnly=False)
        assert answer["Results"][0]["ErrorCode"] == NONE
        harness.wait_topic(broker, OFFSETS, 8)
        assert committed(c, "g") == 5
        assert commit(c, "g", 6) == NONE
    harness.restart(broker, "t")
    harness.wait_topic(broker, OFFSETS, 8)
    coordinate(broker)
    with wire.Client(broker.address) as c:
        assert everything(c, "g") == {}


def test_killed_in_commits(make_broker):
    """What was acknowledged is there, and nothing that was never asked for."""
    broker = make_broker(**{"offsets.topic.num.partitions": 4}).start()
    coordinate(broker)
    harness.create_topic(broker, "t")
    last = {f"g{n}": 0 for n in range(8)}
    for turn in range(5):
        committers = [Committer(broker, g, n) for g, n in last.items()]
        for c in committers:
            c.start()
        harness.wait_until(
            lambda: all(c.acknowledged > last[c.group] + 20 * turn
                        for c in committers) or
            any(c.failure for c in committers), what="commits")
        broker.kill()
        for c in committers:
            c.join()
            assert c.failure is None
        broker.start()
        coordinate(broker)
        with wire.Client(broker.address) as client:
            for c in committers:
                found = committed(client, c.group)
                assert c.acknowledged <= found <= c.asked
                last[c.group] = found


# --- what is told to the monitoring ------------------------------------------

@pytest.mark.ours
def test_lag(make_broker):
    broker = make_broker(**{"offsets.topic.num.partitions": 2,
                            "barnabas.group.lag.max": 3}).start()
    coordinate(broker)
    harness.create_topic(broker, "t", partitions=4)
    lag = "kafka_consumergroup_lag"
    with wire.Client(broker.address) as c:
        wire.produce(c, "t", wire.batch([b"x"] * 10))
        assert commit_all(c, "g", {"t": [(0, 4), (1, 0)]}) == {
            ("t", 0): NONE, ("t", 1): NONE}
        harness.wait_until(
            lambda: broker.metric(lag, group="g", topic="t", partition=0) == 6,
            what="lag", pause=0.5)
        assert broker.metric("barnabas_consumergroup_lag_left_out") == 0
        wire.produce(c, "t", wire.batch([b"x"] * 5))
        assert broker.metric(lag, group="g", partition=0) == 11
        assert commit(c, "h", 15) == NONE
        assert commit(c, "h", 0, partition=3) == NONE
        harness.wait_until(
            lambda: broker.metric("barnabas_consumergroup_lag_left_out") == 1,
            what="one is left out", pause=0.5)
        assert "barnabas.group.lag.max" in broker.log()
        names = "kafka_coordinator_group_groupmetadatamanager_num"
        assert broker.metric(names + "offsets") == 4
        assert broker.metric(names + "groups") == 2


@pytest.mark.ours
@pytest.mark.parametrize("enabled", ("true", "false"))
def test_lag_switch(make_broker, enabled):
    broker = make_broker(**{"offsets.topic.num.partitions": 2,
                            "barnabas.group.lag.enable": enabled}).start()
    coordinate(broker)
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        wire.produce(c, "t", wire.batch([b"x"] * 10))
        assert commit(c, "g", 4) == NONE
        # it is told every five seconds
        until = time.monotonic() + 8

        def told():
            page = broker.http("/metrics")[1]
            return "\nkafka_consumergroup_lag" in page
        harness.wait_until(lambda: told() or time.monotonic() > until,
                           what="lag, or time", pause=0.5)
        assert told() == (enabled == "true")
    assert broker.metric(
        "kafka_coordinator_group_groupmetadatamanager_numoffsets") == 1
