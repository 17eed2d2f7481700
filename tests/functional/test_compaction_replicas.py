# SPDX-License-Identifier: Apache-2.0
"""A compacted topic that has replicas: each compacts for itself, other segments
at other times, and is away, wiped, cut or new meanwhile.  Whoever leads then
has of each key what was acknowledged last."""

import contextlib
import random

import pytest

import harness
import wire
from test_compaction import KEYS, QUICK as CLEANERS, TOPIC, read
from test_death import controller
from test_elect_leaders import NOT_NEEDED, PREFERRED, create_on, elect, errors
from test_reassign import move, moving
from test_replication import (  # noqa: F401
    PATIENT, hung, in_sync, make_brokers, same_logs, state)

# of each broker, so that no two of them compact the same
SEGMENT_BYTES = (12000, 20000, 33000, 15000)
BY_BROKER = {k: v for k, v in TOPIC.items() if k != "segment_bytes"}
# behind what write_once() leaves
FIRST = 2
# records in a batch; the first one of a leader epoch leaves its place
BATCH = 3
PRODUCER = {"producer_id": 4000, "producer_epoch": 0}
TOMBSTONES_GO = {"delete_retention_ms": 0}


def present(found):
    return {k: row for k, row in found.items() if row[1] is not None}


def folder(broker):
    return broker.data / "t-0"


def is_compacted(broker):
    keys = harness.keys_left(folder(broker))
    return 0 < len(keys) == len(set(keys))


def has_gap(broker, offset):
    """Nothing is left there, and something behind it."""
    behind = [b for data in harness.segments(folder(broker))
              for b in wire.batches(data) if b.last_offset >= offset]
    return bool(behind) and behind[0].base_offset > offset


class Load:
    """Who alone writes to the topic, and knows of each key where its last value
    was acknowledged, and what it is.  replicas: who leads comes first."""

    def __init__(self, brokers, replicas):
        self.brokers, self.replicas = brokers, replicas
        self.known, self.end = {}, 0
        self.sequence, self.once_at = 7, -1
        self.choice = random.Random(1)

    # --- what is written -----------------------------------------------------

    def put(self, client, rows, acks=-1, **how):
        """One batch of (key, value); the first offset."""
        part = wire.produce(client, "t", wire.batch(
            [(value, key, []) for key, value in rows], **how), acks=acks)
        assert part["ErrorCode"] == 0, part
        return part["BaseOffset"]

    def take(self, base, rows):
        """They are acknowledged: no offset is there twice."""
        assert base >= self.end
        self.end = base + len(rows)
        self.known.update((key, (base + n, value))
                          for n, (key, value) in enumerate(rows))

    def write(self, leader, count=200, tombstones=True):
        """So many batches, of keys in disorder."""
        with wire.Client(leader.address) as client:
            for n in range(count):
                rows = [(b"key-%d" % k, None if tombstones and
                         self.choice.random() < 0.1 else
                         b"%d " % n + b"." * 150)
                        for k in self.choice.sample(range(KEYS), BATCH)]
                self.take(self.put(client, rows), rows)

    def write_once(self, leader):
        """By an idempotent producer, whose key others write to then: what is
        left of it is its sequence.  What it had before it sends again first,
        and is told that it is there."""
        with wire.Client(leader.address) as client:
            if self.once_at >= 0:
                assert self._once(client, self.sequence - 1) == self.once_at
            self.once_at = self._once(client, self.sequence)
            self.take(self.once_at, [(b"once", b"%d" % self.sequence)])
            self.sequence += 1
            rows = [(b"once", b"of another")]
            self.take(self.put(client, rows), rows)

    def _once(self, client, sequence):
        return self.put(client, [(b"once", b"%d" % sequence)],
                        base_sequence=sequence, **PRODUCER)

    # --- who leads -----------------------------------------------------------

    def moved(self, *replicas):
        """Until the partition is there, written to meanwhile, and the first one
        leads."""
        with harness.Zk(replicas[0]) as zk:
            seat = self.brokers[controller(zk)]
        ids = [b.broker_id for b in replicas]

        def there():
            self.write(self.replicas[0], 5)
            return not moving(client)
        with wire.Client(seat.address) as client:
            assert move(client, ids) == 0
            harness.wait_until(there, what="it is moved")
            in_sync(seat, "t", ids)
            told = errors(elect(client, PREFERRED, [("t", [0])]))
            assert told["t", 0] in (0, NOT_NEEDED)
        self.replicas = replicas
        harness.wait_leads(replicas[0], "t")

    def leader_dies(self, key=b"late"):
        """With records that nobody was told of, and only it has.  Another one
        leads then; where the log of the dead one ends."""
        leader, *followers = self.replicas
        late = [(key, b"%d" % n + b"." * 500) for n in range(100)]
        its_end = self.end + len(late)
        with contextlib.ExitStack() as stack:
            for follower in followers:
                stack.enter_context(hung(follower))
            with wire.Client(leader.address) as client:
                for row in late:
                    self.put(client, [row], acks=1)
            leader.kill()
        second = harness.wait_until(
            lambda: [b for b in followers if b.broker_id == state(
                b, "t")["leader"]], what="another leads")[0]
        self.replicas = sorted([*followers, leader],
                               key=lambda b: b is not second)
        harness.wait_leads(second, "t")
        # one answer was on its way to each: it may have the first of them
        came = [r for r in read(second) if r[0] >= self.end]
        assert [r[2:4] for r in came] == late[:len(came)] != late
        for offset, _, key, value, _ in came:
            self.take(offset, [(key, value)])
        return its_end

    # --- what is there -------------------------------------------------------

    def check(self, leader):
        """Nothing else, and where it was acknowledged; what is deleted may be
        told as deleted yet."""
        found = {key: (offset, value)
                 for offset, _, key, value, _ in read(leader)}
        assert present(found) == present(self.known)
        with wire.Client(leader.address) as client:
            assert wire.list_offset(client, "t", -1)["Offset"] == self.end

    def compacted(self, *replicas):
        for broker in replicas or self.replicas:
            harness.wait_until(lambda b=broker: is_compacted(b),
                               what=f"{broker.broker_id} has compacted all")

    def each_leads(self):
        """In turn; and all go on with what they have."""
        for _ in self.replicas:
            self.moved(*self.replicas[1:], self.replicas[0])
            self.check(self.replicas[0])
            self.write_once(self.replicas[0])
            self.write(self.replicas[0], 60)
        self.compacted()
        self.check(self.replicas[0])


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
    assert f"partition=t-0 truncated from={its_end} to=" in leader.log()
    assert has_gap(leader, gap)
    load.each_leads()


@pytest.mark.slow
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
