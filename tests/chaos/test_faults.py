# SPDX-License-Identifier: Apache-2.0
"""Three brokers under faults, singly and mixed (doc/chaos.md).

$BARNABAS_CHAOS_SECONDS is for how long new rounds begin (60),
$BARNABAS_CHAOS_SEED repeats a run's choices, $BARNABAS_CHAOS_FAULTS names the
kinds that are made, as in "Kill,Cut" (all)."""

import os
import time

import pytest

import cluster
import faults
import wire
from storm import Storm

ALTER_PARTITION = wire.KEYS["AlterPartition"]

SECONDS = float(os.environ.get("BARNABAS_CHAOS_SECONDS", 60))
SEED = int(os.environ.get("BARNABAS_CHAOS_SEED", time.time_ns() % 10**9))
ONLY = os.environ.get("BARNABAS_CHAOS_FAULTS")


def say(line):
    print(line, flush=True)


def replicates(broker):
    with wire.Client(broker.address) as client:
        told = client.call("ApiVersions", 3, ClientSoftwareName="t",
                           ClientSoftwareVersion="1")
    return ALTER_PARTITION in {row["ApiKey"] for row in told["ApiKeys"]}


def test_faults_of_many(tmp_path):
    say(f"seed {SEED}, {cluster.KINDS}")
    with cluster.built(tmp_path) as built:
        if built.factor > 1 and not replicates(built.brokers[-1]):
            pytest.skip("AlterPartition is not served: no replicas yet")
        storm = Storm(built, SEED, say)
        if ONLY:
            storm.possible = [getattr(faults, name)
                              for name in ONLY.split(",")]
        storm.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            storm.round()
        storm.finish()
        say(storm.summary())
