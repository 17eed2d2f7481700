# SPDX-License-Identifier: Apache-2.0
"""Three brokers under faults, singly and mixed (doc/chaos.md).

$BARNABAS_CHAOS_SECONDS is for how long new rounds begin (60),
$BARNABAS_CHAOS_SEED repeats a run's choices, $BARNABAS_CHAOS_FAULTS names the
kinds that are made, as in "Kill,Cut" (all)."""

import contextlib
import os
import time

import cluster
import faults
import harness
import wire
from storm import ENOUGH, Storm

SECONDS = float(os.environ.get("BARNABAS_CHAOS_SECONDS", 60))
SEED = int(os.environ.get("BARNABAS_CHAOS_SEED", time.time_ns() % 10**9))
ONLY = os.environ.get("BARNABAS_CHAOS_FAULTS")


def say(line):
    print(line, flush=True)


@contextlib.contextmanager
def storm_of(folder):
    say(f"seed {SEED}, {cluster.KINDS}")
    with cluster.built(folder) as built:
        yield Storm(built, SEED, say)


def test_faults_of_many(tmp_path):
    with storm_of(tmp_path) as storm:
        if ONLY:
            storm.possible = [getattr(faults, name)
                              for name in ONLY.split(",")]
        storm.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            storm.round()
        storm.finish()
        say(storm.summary())
        if ONLY:
            assert storm.idle_kinds() == []


def test_wipes_take_effect(tmp_path):
    """Where nothing else is done to any, a broker may be wiped soon, whatever
    moves: not while it may be the last of an ISR, or a move has no answer."""
    with storm_of(tmp_path) as storm:
        storm.start()
        for kind in (faults.Wipe, faults.Heir):
            storm.possible = [kind]
            for _ in range(ENOUGH):
                storm.round()
                if storm.effects[kind.__name__]:
                    break
        storm.finish()
        say(storm.summary())
        assert storm.effects == {"Wipe": 1, "Heir": 1}


def last_segment(broker, topic, partition):
    """(its file, its batches), the newest that has some"""
    return [(f, found) for f in sorted(
        (broker.data / f"{topic}-{partition}").glob("*.log"))
        if (found := wire.batches(f.read_bytes()))][-1]


def test_checker_finds(tmp_path):
    """Behind the brokers' back one replica is changed, then all lose what they
    had last: as after faults that they do not survive."""
    with storm_of(tmp_path) as storm:
        storm.start()
        storm.await_load()
        storm.finish()
        brokers, checker = storm.cluster.brokers, storm.checker
        file, found = last_segment(brokers[-1], "steady", 0)
        whole = file.read_bytes()
        spoiled = bytearray(whole)
        spoiled[-1] ^= 1
        file.write_bytes(spoiled)
        # found when the high watermark has come to the checkpoints
        for wrong in (harness.wait_until(checker.replicas),
                      checker.replicas_at_rest(1)):
            assert len(wrong) == 1 and wrong[0].startswith("steady/0: broker")
        file.write_bytes(whole)
        assert checker.replicas_at_rest() == checker.everything() == []
        for b in brokers:
            b.kill()
        for b in brokers:
            file, found = last_segment(b, "steady", 0)
            file.write_bytes(b"".join(x.data for x in found[:-1]))
        for b in brokers:
            b.launch()
        storm.cluster.settle()
        assert checker.replicas_at_rest() == []
        assert any("was acknowledged" in w for w in checker.everything())
        assert any("it was read, the log ends at" in w
                   for w in storm.reads.wrong)
