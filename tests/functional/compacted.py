# SPDX-License-Identifier: Apache-2.0
"""A compacted topic, its only writer, and what must be left of it: one broker's
(test_compaction.py), or of several replicas, of either kind."""

import contextlib
import random

import harness
import wire
from test_death import controller
from test_elect_leaders import NOT_NEEDED, PREFERRED, elect, errors
from test_reassign import move, moving
from test_replication import hung, in_sync, state

KEYS = 50
CLEANERS = {"log_cleaner_backoff_ms": 100,
            "log_segment_delete_delay_ms": 200,
            "log_initial_task_delay_ms": 100}
TOPIC = {"cleanup_policy": "compact", "segment_bytes": 20000,
         "min_cleanable_dirty_ratio": "0.01"}
# of each broker, so that no two of them compact the same
SEGMENT_BYTES = (12000, 20000, 33000, 15000)
BY_BROKER = {k: v for k, v in TOPIC.items() if k != "segment_bytes"}
# behind what write_once() leaves
FIRST = 2
# records in a batch; the first one of a leader epoch leaves its place
BATCH = 3
PRODUCER = {"producer_id": 4000, "producer_epoch": 0}


def read(broker, topic="t"):
    """All that is left."""
    with wire.Client(broker.address) as c:
        start = wire.list_offset(c, topic, -2)["Offset"]
        records = wire.read_all(c, topic, offset=start)
    offsets = [r[0] for r in records]
    assert offsets == sorted(set(offsets))
    return records


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
