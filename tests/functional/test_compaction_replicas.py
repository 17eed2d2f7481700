# SPDX-License-Identifier: Apache-2.0
"""A compacted topic that has replicas: each compacts for itself, other segments
at other times, and is away, wiped, cut or new meanwhile.  Whoever leads then
has of each key what was acknowledged last."""

import pytest

import harness
import wire
from compacted import (
    BATCH, BY_BROKER, CLEANERS, FIRST, SEGMENT_BYTES, Load, folder, has_gap)
from test_elect_leaders import create_on
from test_replication import (  # noqa: F401
    PATIENT, in_sync, make_brokers, same_logs, state)

TOMBSTONES_GO = {"delete_retention_ms": 0}


@pytest.fixture
def make_load(make_brokers):  # noqa: F811
    """make(**configs): a Load of 1, 2 and 0, of which 1 leads; 3 is there."""
    def prepare(broker):
        broker.set(log_segment_bytes=SEGMENT_BYTES[broker.broker_id])

    def make(count=3, **configs):
        brokers = make_brokers(count, prepare, **PATIENT, **CLEANERS)
        with wire.Client(brokers[0].address) as client:
            create_on(client, "t", [1, 2, 0], **BY_BROKER, **configs)
        for broker in brokers:
            harness.wait_topic(broker, "t")
        harness.wait_leads(brokers[1], "t")
        in_sync(brokers[0], "t", [0, 1, 2])
        load = Load(brokers, [brokers[n] for n in (1, 2, 0)])
        load.write_once(brokers[1])
        load.write(brokers[1])
        load.compacted()
        return load, brokers
    return make


def test_each_compacts_for_itself(make_load):
    load, _ = make_load(**TOMBSTONES_GO)
    leader = load.replicas[0]
    assert not same_logs(load.replicas, "t")
    goes = [(b"goes-%d" % n, None) for n in range(5)]
    with wire.Client(leader.address) as client:
        for rows in [[(key, b"x") for key, _ in goes], goes]:
            load.take(load.put(client, rows), rows)

    def gone():
        load.write(leader, 30, tombstones=False)
        return all(not any(k.startswith(b"goes") for k in
                       harness.keys_left(folder(b))) for b in load.replicas)
    harness.wait_until(gone, what="tombstones are gone everywhere")
    load.each_leads()


def test_a_follower_was_away(make_load):
    """Where its log ended, the leader has nothing any more.  Tombstones wait
    for it."""
    load, _ = make_load()
    leader, follower, other = load.replicas
    follower.kill()
    in_sync(other, "t", [leader.broker_id, other.broker_id])
    gap = load.end + BATCH
    load.write(leader)
    load.compacted(leader, other)
    assert has_gap(leader, gap)
    follower.start()
    in_sync(leader, "t", [0, 1, 2])
    assert has_gap(follower, gap)
    load.each_leads()


def test_a_follower_was_wiped(make_load):
    """It copies what is left, tombstones that are gone not among it, and the
    sequences of those who write once."""
    load, _ = make_load(**TOMBSTONES_GO)
    leader, follower, other = load.replicas
    follower.kill()
    in_sync(other, "t", [leader.broker_id, other.broker_id])
    follower.wipe()
    load.write(leader, tombstones=False)
    load.compacted(leader, other)
    assert has_gap(leader, FIRST)
    follower.start()
    in_sync(leader, "t", [0, 1, 2])
    assert has_gap(follower, FIRST)
    load.each_leads()


def test_an_old_leader_is_cut(make_load):
    """What only it had goes, some segments of it, and from there on the new
    one has a gap."""
    load, _ = make_load()
    leader = load.replicas[0]
    its_end = load.leader_dies()
    second, other, _ = load.replicas
    gap = load.end + BATCH
    load.write(second)
    load.compacted(second, other)
    leader.start()
    in_sync(second, "t", [0, 1, 2])
    assert leader.real or \
        f"partition=t-0 truncated from={its_end} to=" in leader.log()
    assert has_gap(leader, gap)
    load.each_leads()


@pytest.mark.slow
@pytest.mark.ours
def test_an_old_leader_is_cut_by_a_copy(make_load):
    """Of what was written first in the next leader's epoch nothing is left, and
    who copied what is left leads: it has to know where that epoch began."""
    load, _ = make_load()
    leader = load.replicas[0]
    with wire.Client(leader.address) as client:
        rows = [(b"stays", b"acknowledged")]
        load.take(load.put(client, rows), rows)
    its_end = load.leader_dies(key=b"stays")
    second, copy, _ = load.replicas
    load.write(second)
    load.compacted(second)
    assert has_gap(second, its_end)
    copy.kill()
    in_sync(second, "t", [second.broker_id])
    copy.wipe()
    copy.start()
    in_sync(second, "t", [second.broker_id, copy.broker_id])
    second.kill()
    harness.wait_until(
        lambda: state(copy, "t")["leader"] == copy.broker_id,
        what="the copy leads")
    harness.wait_leads(copy, "t")
    leader.start()
    second.start()
    in_sync(copy, "t", [0, 1, 2])
    load.replicas = copy, second, leader
    load.each_leads()


def test_a_broker_is_new(make_load):
    """While it is written to, and others compact."""
    load, brokers = make_load(4)
    leaves = brokers[0]
    load.write(load.replicas[0], 100)
    load.moved(brokers[3], brokers[1], brokers[2])
    harness.wait_until(lambda: not leaves.log_files("t"),
                       what="who left has no files")
    assert has_gap(brokers[3], FIRST)
    load.each_leads()
