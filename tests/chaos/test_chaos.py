# SPDX-License-Identifier: Apache-2.0
"""One broker killed again and again under load, and every acknowledged record
counted.  $BARNABAS_CHAOS_KILLS is how often (12), $BARNABAS_CHAOS_SEED repeats
a run's choices.

What this shows is the death of a process: what it had written stays in the
page cache, whatever was synced.  The death of a machine is shown by tests of
the file seam (tests/unit).

The checker itself is tried on seeded losses: what it does not find there, it
would not find in earnest."""

import os
import time

import kills

KILLS = int(os.environ.get("BARNABAS_CHAOS_KILLS", 12))
SEED = int(os.environ.get("BARNABAS_CHAOS_SEED", time.time_ns() % 10**9))
BETWEEN = 10000


def test_kills_under_load(make_broker):
    print("seed", SEED, flush=True)
    run = kills.Run(make_broker, SEED, BETWEEN)
    run.start()
    began = time.monotonic()
    deck = []
    while run.kills < KILLS:
        deck = deck or run.rng.sample(run.MOMENTS, len(run.MOMENTS))
        run.await_load()
        run.kill_at(deck.pop())
        run.restart()
        run.check(whole=run.kills % 25 == 0)
        print(f"{time.monotonic() - began:.1f} s: kill {run.kills}, "
              f"{sum(c.acknowledged for c in run.load)} acknowledged",
              flush=True)
    run.await_load()
    run.finish()
    run.check_last()
    print(run.summary())
