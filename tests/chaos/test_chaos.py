# SPDX-License-Identifier: Apache-2.0
"""One broker killed again and again under load, and every acknowledged record
counted.  $BARNABAS_CHAOS_SECONDS is how long (30); $BARNABAS_CHAOS_SEED repeats
a run's choices.

The checker itself is tried on seeded losses: what it does not find there, it
would not find in earnest."""

import os
import random
import struct
import time

import pytest

import harness
import load
import wire

SECONDS = float(os.environ.get("BARNABAS_CHAOS_SECONDS", 30))
SEED = int(os.environ.get("BARNABAS_CHAOS_SEED", time.time_ns() % 10**9))
PARTITIONS = 3


def writers_of(broker, round_):
    return [load.Writer(broker.address, "t", p, f"r{round_}p{p}w{i}").start()
            for p in range(PARTITIONS) for i in range(2)]


def wrong_in(broker, writers):
    out = []
    for p in range(PARTITIONS):
        out += load.check(broker.address, "t", [
            w for w in writers if w.partition == p], p)
    return out


def test_kills_under_load(make_broker):
    rng = random.Random(SEED)
    print("seed", SEED)
    broker = make_broker(log_segment_bytes=300000,
                         log_index_interval_bytes=1000).start()
    harness.create_topic(broker, "t", partitions=PARTITIONS)
    writers, kills = [], 0
    end = time.monotonic() + SECONDS
    # a slow machine has longer to come to something
    while time.monotonic() < end or (
            time.monotonic() < end + 300 and (kills <= 2 or sum(
                len(w.acknowledged) for w in writers) <= 1000)):
        now = writers_of(broker, kills)
        time.sleep(rng.uniform(0.05, 1.5))
        if rng.random() < 0.2:
            broker.stop()
        else:
            broker.kill()
        for w in now:
            w.stop()
        writers += now
        kills += 1
        # now and then it dies again while it starts
        while rng.random() < 0.3:
            broker.launch()
            time.sleep(rng.uniform(0, 0.3))
            broker.kill()
        broker.start(60)
        harness.wait_topic(broker, "t", PARTITIONS)
        if rng.random() < 0.3:
            assert wrong_in(broker, writers) == [], f"seed {SEED}"
    assert wrong_in(broker, writers) == [], f"seed {SEED}"
    acknowledged = sum(len(w.acknowledged) for w in writers)
    print(f"{kills} ends, {acknowledged} acknowledged records, all there")
    assert kills > 2 and acknowledged > 1000


# --- seeded losses -----------------------------------------------------------

def last_batch(path):
    """Cuts the last batch off: as if it had been acknowledged too early."""
    data = path.read_bytes()
    found = wire.batches(data)
    path.write_bytes(data[:len(data) - len(found[-1].data)])


def one_in_the_middle(path):
    """Takes a batch out and closes the gap: offsets stay consecutive."""
    found = wire.batches(path.read_bytes())
    at = len(found) // 2
    kept = [b.data for b in found[:at]]
    for b in found[at + 1:]:
        kept.append(struct.pack(">q", b.base_offset - 1) + b.data[8:])
    path.write_bytes(b"".join(kept))


def one_changed(path):
    """Another value under a right checksum."""
    found = wire.batches(path.read_bytes())
    at = len(found) // 2
    b = found[at]
    data = wire.batch([b"not what was sent"], base_offset=b.base_offset,
                      leader_epoch=b.leader_epoch, timestamp=b.base_timestamp)
    path.write_bytes(b"".join(
        data if n == at else x.data for n, x in enumerate(found)))


@pytest.mark.parametrize("loss", (last_batch, one_in_the_middle, one_changed))
def test_checker_finds_a_loss(make_broker, loss):
    broker = make_broker().start()
    harness.create_topic(broker, "t", partitions=PARTITIONS)
    writers = writers_of(broker, 0)
    harness.wait_until(
        lambda: all(len(w.acknowledged) > 20 for w in writers))
    for w in writers:
        w.stop()
    assert wrong_in(broker, writers) == []
    broker.kill()
    loss(broker.log_files("t", 1)[0])
    broker.start(60)
    harness.wait_topic(broker, "t", PARTITIONS)
    assert wrong_in(broker, writers) != []
