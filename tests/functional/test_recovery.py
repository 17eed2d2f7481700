# SPDX-License-Identifier: Apache-2.0
"""Starts with many logs, deaths in the middle of them, few descriptors."""

import os
import socket
import time

import pytest

import harness
import wire

STORAGE_ERROR = 56


def fill(broker, topic, partitions, value):
    """One record to each partition; the errors, by partition."""
    with wire.Client(broker.address) as c:
        return [wire.produce(c, topic, wire.batch([value]),
                             partition=p)["ErrorCode"]
                for p in range(partitions)]


def values(broker, topic, partition):
    with wire.Client(broker.address) as c:
        return [r[3] for r in wire.read_all(c, topic, partition=partition)]


def limited(broker, descriptors):
    """Starts it with so few descriptors."""
    command = broker.command()
    broker.command = lambda: ["prlimit", f"--nofile={descriptors}", "--",
                              *command]
    return broker


def descriptors_of(broker):
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


@pytest.mark.ours
def test_few_descriptors(make_broker):
    """More partitions than descriptors: all are written and read, also after
    a clean stop and after a death; a client that takes what is left makes
    produce wait its turn, and takes no directory offline."""
    count, limit = 150, 160
    broker = limited(make_broker(), limit).start()
    harness.create_topic(broker, "t", count)
    harness.wait_topic(broker, "t", count)
    assert fill(broker, "t", count, b"1") == [0] * count
    with harness.counted(broker, "barnabas_log_files_closed_total"):
        assert fill(broker, "t", count, b"2") == [0] * count
    assert broker.metric("barnabas_log_files_bound") == limit // 2
    assert broker.metric("barnabas_log_files_open") <= limit // 2
    assert descriptors_of(broker) < limit
    broker.stop()
    broker.start()
    harness.wait_topic(broker, "t", count)
    assert fill(broker, "t", count, b"3") == [0] * count
    broker.kill()
    broker.start()
    harness.wait_topic(broker, "t", count)
    with wire.Client(broker.address) as c:
        takers = []
        try:
            for _ in range(limit):
                takers.append(socket.create_connection(
                    ("127.0.0.1", broker.port), timeout=10))
            for p in range(count):
                error = wire.produce(c, "t", wire.batch([b"4"]),
                                     partition=p)["ErrorCode"]
                assert error in (0, STORAGE_ERROR)
        finally:
            for taker in takers:
                taker.close()
    harness.wait_until(lambda: fill(broker, "t", count, b"5") == [0] * count,
                       what="all partitions take records again")
    assert broker.metric("kafka_log_offline_dirs") == 0
    for p in range(count):
        got = values(broker, "t", p)
        assert got[:3] == [b"1", b"2", b"3"] and got[-1] == b"5", (p, got)


@pytest.mark.ours
def test_killed_while_loading(make_broker):
    """Deaths at any moment of a start, recovery included."""
    count = 60
    broker = make_broker(log_segment_bytes=300)
    broker.start()
    harness.create_topic(broker, "t", count)
    harness.wait_topic(broker, "t", count)
    for n in range(6):
        assert fill(broker, "t", count, b"%0100d" % n) == [0] * count
    broker.kill()
    for n in range(8):
        broker.launch()
        time.sleep(0.01 * 2 ** (n % 5))
        broker.kill()
    broker.start()
    harness.wait_topic(broker, "t", count)
    for p in range(count):
        assert values(broker, "t", p) == [b"%0100d" % n for n in range(6)]
    assert "recovering" in broker.log()


@pytest.mark.ours
def test_progress_is_told(make_broker, tmp_path):
    """systemd hears how far the loading is, and is asked for time."""
    count = 20
    broker = make_broker()
    broker.start()
    harness.create_topic(broker, "t", count)
    harness.wait_topic(broker, "t", count)
    broker.kill()
    told = harness.Notify(tmp_path / "notify")
    try:
        broker.launch({"NOTIFY_SOCKET": told.path})
        broker.wait_ready()
        if not told.look():
            pytest.skip("built without libsystemd")
        harness.wait_until(lambda: told.count("READY=1"), what="READY=1")
        loading = [m for m in told.look() if "loading logs" in m]
    finally:
        told.end()
    assert all("EXTEND_TIMEOUT_USEC=" in m for m in loading)
    assert f"STATUS=loading logs: {count} of {count}" in loading[-1]


@pytest.mark.ours
def test_stop_while_recovering(make_broker):
    """A stop does not wait until all is recovered, and is a good one; what was
    there is there afterwards."""
    count = 1500
    broker = make_broker(log_segment_bytes=150).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        for n in range(count):
            assert wire.produce(c, "t", wire.batch([b"%050d" % n]))[
                "ErrorCode"] == 0
    broker.kill()

    def stopped_in_time():
        """A recovery that is quicker than this test is of no use."""
        harness.forget(broker)
        seen = len(broker.log())
        broker.launch()
        harness.wait_until(lambda: "is recovered from" in broker.log()[seen:],
                           what="a recovery has begun")
        broker.stop()
        said = broker.log()[seen:]
        assert " ERROR " not in said and " FATAL " not in said
        return "loaded logs" not in said
    for _ in range(3):
        harness.wait_until(stopped_in_time, what="a stop in the middle")
    broker.start()
    harness.wait_topic(broker, "t")
    assert values(broker, "t", 0) == [b"%050d" % n for n in range(count)]
