# SPDX-License-Identifier: Apache-2.0
"""The workloads `groups`, `rebalance` and `offsets` of tests/bench/run: many
members that heartbeat and commit, one group in which a member comes and goes,
and many committed offsets that a restarted broker loads."""

import re
import subprocess
import time

import harness

# Each group forms in one generation, and one that has members never waits; who
# is slow for a while keeps its session with ZooKeeper.
OPTIONS = {"group_initial_rebalance_delay_ms": 1000,
           "zookeeper_session_timeout_ms": 30000}

MEMBERS, GROUPS, PARTITIONS = 3, 1000, 6
PER_SECOND, WARM_UP_PER_SECOND, SECONDS = 3000, 20000, 10
LARGE, ROUNDS = 500, 20
TOPIC, TOPICS, PARTITIONS_EACH, OFFSET_GROUPS = "bench-offsets", 4, 25, 10000


def words_of(line):
    pairs = (w.split("=", 1) for w in line.decode().split())
    return {k: float(v) for k, v in pairs}


def measured(program, command, broker, cpu_seconds, *words):
    """What groupload tells, and the broker's CPU between its lines."""
    with subprocess.Popen(
            [str(program), command, broker.address, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        before = cpu_seconds(broker)
        process.stdin.write(b"\n")
        process.stdin.flush()
        got = words_of(process.stdout.readline())
        got["cpu"] = cpu_seconds(broker) - before
        process.stdin.write(b"\n")
        process.stdin.close()
    assert process.returncode == 0
    return got


def steady(broker, load, programs, cpu_seconds, rep, scale, warming):
    """While it warms up as fast as it goes: Java compiles what it has run some
    ten thousand times."""
    topic = f"bench-groups-{rep}"
    load("create", topic, PARTITIONS, 1)
    load("led", topic, PARTITIONS, -1)
    got = measured(programs / "groupload", "steady", broker, cpu_seconds,
                   topic, MEMBERS, GROUPS,
                   WARM_UP_PER_SECOND if warming else PER_SECOND,
                   max(1, SECONDS * scale // 100))
    return {"CPU us/request": got["cpu"] * 1e6 / got["requests"],
            "requests/s": got["requests"] / got["seconds"],
            "p50 ms": got["p50"], "p99 ms": got["p99"],
            "client us/request": got["client_cpu"] * 1e6 / got["requests"],
            "peak MiB": broker.memory_kib("VmHWM") / 1024}


def rebalance(broker, _load, programs, cpu_seconds, rep, scale, _warming):
    got = measured(programs / "groupload", "rebalance", broker, cpu_seconds,
                   f"bench-rebalance-{rep}", LARGE,
                   max(2, ROUNDS * scale // 100))
    return {"median ms": got["p50"],
            "CPU ms a round": got["cpu"] * 1e3 / got["rounds"],
            "client ms a round": got["client_cpu"] * 1e3 / got["rounds"],
            "peak MiB": broker.memory_kib("VmHWM") / 1024}


# --- offsets ------------------------------------------------------------------

def held_mib(broker):
    """What the broker holds.  Of Java the live objects after a full
    collection, as its process keeps its whole heap; of ours all of the process,
    what the allocator has not given back included."""
    if not broker.real:
        return broker.memory_kib() / 1024
    told = harness.run("jcmd", broker.process.pid,
                       "GC.class_histogram").stdout.decode()
    return int(re.search(r"^Total +\d+ +(\d+)", told, re.M)[1]) / (1 << 20)


def plan(broker, scale):
    return (broker.address, TOPIC, TOPICS, PARTITIONS_EACH,
            max(1, OFFSET_GROUPS * scale // 100))


def reload(broker, program):
    """A restart, and how long the coordinators of all partitions then load."""
    broker.stop()
    began = time.monotonic()
    broker.launch()
    got = program("offsetload", "ready", broker.address)
    broker.wait_ready()
    row = {"load s": got["seconds"], "restart s": got["at_ns"] / 1e9 - began}
    time.sleep(3)
    return row


def fill(broker, load, program, scale):
    """What the broker holds before there is a committed offset."""
    for i in range(TOPICS):
        load("create", f"{TOPIC}-{i}", PARTITIONS_EACH, 1)
        load("led", f"{TOPIC}-{i}", PARTITIONS_EACH, -1)
    program("offsetload", "ready", broker.address)
    reload(broker, program)
    before = held_mib(broker)
    for i in range(TOPICS):
        load("led", f"{TOPIC}-{i}", PARTITIONS_EACH, -1)
    program("offsetload", "commit", *plan(broker, scale))
    return before


def restart(broker, program, before, scale):
    row = reload(broker, program)
    row["MiB"] = held_mib(broker) - before
    row["process MiB"] = broker.memory_kib() / 1024
    program("offsetload", "check", *plan(broker, scale))
    return row
