# SPDX-License-Identifier: Apache-2.0
"""Compacted topics while they are written, read, and their broker dies."""

import contextlib
import random
import re
import threading
import time

import pytest

import dynamic_configs
import harness
import wire
from compacted import CLEANERS, KEYS, TOPIC, read


def put(client, key, value, topic="t"):
    """Acknowledged, or an error."""
    return wire.produce(client, topic, wire.batch(
        [(value, key.encode(), [])]))["ErrorCode"]


def latest(broker, topic="t"):
    """The last value of each key; a key whose last is a tombstone has None."""
    return {r[2].decode(): r[3] for r in read(broker, topic)}


def compactions(broker, partition="t-0"):
    return broker.log().count(f"partition={partition} compacted dirty")


class Writer(threading.Thread):
    """Writes keys in turn until the broker is gone, or it is told to stop; what
    was acknowledged, and what was not told any more."""

    def __init__(self, broker, known):
        super().__init__(daemon=True)
        self.broker, self.known, self.unsure = broker, known, {}
        self.ended = threading.Event()
        self.count = 0

    def run(self):
        try:
            with wire.Client(self.broker.address) as c:
                while not self.ended.is_set():
                    key = f"key-{random.randrange(KEYS)}"
                    value = b"%s %d " % (key.encode(), time.monotonic_ns())
                    self.unsure = {key: value + b"." * 100}
                    assert put(c, key, self.unsure[key]) == 0
                    self.known.update(self.unsure)
                    self.unsure = {}
                    self.count += 1
        except (OSError, wire.Closed):
            pass

    def stop(self):
        self.ended.set()
        self.join(harness.PATIENCE)
        assert not self.is_alive()


def expect(broker, known, unsure=None):
    found = latest(broker)
    for key, value in known.items():
        assert found.get(key) in (value, (unsure or {}).get(key)), key
    known.update({k: v for k, v in found.items() if k in (unsure or {})})


def log_bytes(broker):
    """Of the files that compaction does not take away meanwhile."""
    total = 0
    for path in broker.log_files("t"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.mark.slow
@pytest.mark.ours
def test_kills(make_broker):
    """At any instant: the latest value of each key is there afterwards."""
    broker = make_broker(**CLEANERS).start()
    harness.create_topic(broker, "t", **TOPIC)
    harness.wait_topic(broker, "t")
    known = {}
    for _ in range(6):
        before = compactions(broker)
        writer = Writer(broker, known)
        writer.start()
        harness.wait_until(lambda: compactions(broker) > before,
                           what="compacted")
        time.sleep(random.random() / 5)
        broker.kill()
        writer.join(harness.PATIENCE)
        broker.start()
        harness.wait_topic(broker, "t")
        expect(broker, known, writer.unsure)
    writer = Writer(broker, known)
    writer.start()
    harness.wait_until(lambda: writer.count > 500, what="written")
    writer.stop()
    # few are left: the rest was replaced
    harness.wait_until(lambda: log_bytes(broker) < 80000, what="compacted")
    broker.stop()
    broker.start()
    harness.wait_topic(broker, "t")
    expect(broker, known)


@pytest.mark.ours
def test_readers_go_on(make_broker):
    """Who reads from the start while all of it is exchanged misses nothing that
    was written last."""
    broker = make_broker(**CLEANERS).start()
    harness.create_topic(broker, "t", **TOPIC)
    harness.wait_topic(broker, "t")
    writer = Writer(broker, {})
    writer.start()
    for _ in range(20):
        at_least = dict(writer.known)
        before = compactions(broker)
        found = latest(broker)
        for key, value in at_least.items():
            # this value, or one that was written later
            assert int(found[key].split()[1]) >= int(value.split()[1])
        harness.wait_until(
            lambda: compactions(broker) > before or not writer.is_alive(),
            what="compacted")
        assert writer.is_alive()
    writer.stop()


def test_tombstones_go(make_broker):
    broker = make_broker(**CLEANERS).start()
    harness.create_topic(broker, "t", delete_retention_ms=0, **TOPIC)
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert put(c, "stays", b"here") == 0
        assert put(c, "goes", b"there") == 0
        assert put(c, "goes", None) == 0
        found = latest(broker)
        assert found["goes"] is None

        def gone():
            for n in range(30):
                assert put(c, f"other-{n % 3}", b"x" * 1000) == 0
            return "goes" not in latest(broker)
        harness.wait_until(gone, what="the tombstone is gone")
        assert latest(broker)["stays"] == b"here"
        assert put(c, "goes", b"again") == 0
    assert latest(broker)["goes"] == b"again"


def test_no_key(make_broker):
    broker = make_broker(**CLEANERS).start()
    harness.create_topic(broker, "t", **TOPIC)
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        answer = wire.produce(c, "t", wire.batch([b"x"]))
    assert answer["ErrorCode"] == 87
    assert "Compacted topic cannot accept" in answer["RecordErrors"][0][
        "BatchIndexErrorMessage"]


def test_both_policies(make_broker):
    """compact,delete: what is old goes, too."""
    broker = make_broker(log_retention_check_interval_ms=300,
                         **CLEANERS).start()
    harness.create_topic(broker, "t", **{
        **TOPIC, "cleanup_policy": "compact,delete", "retention_ms": 1000})
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert put(c, "old", b"x") == 0

        def gone():
            for n in range(30):
                assert put(c, f"other-{n % 3}", b"x" * 1000) == 0
            try:
                return "old" not in latest(broker)
            except wire.WireError:
                return False  # the start moved on meanwhile
        harness.wait_until(gone, what="retention")


def alter(client, kind, name, **configs):
    assert dynamic_configs.alter(client, kind, name, *(
        (k.replace("_", "."), 0, str(v)) for k, v in configs.items())
    ) == (0, None)


@pytest.mark.ours
def test_while_it_runs(make_broker):
    """The speed limit, threads and the policy itself count at once."""
    broker = make_broker(**CLEANERS).start()
    with wire.Client(broker.address) as c:
        harness.create_topic(broker, "t", **TOPIC)
        harness.wait_topic(broker, "t")

        alter(c, 4, "", log_cleaner_io_max_bytes_per_second=10)
        for n in range(200):
            assert put(c, f"key-{n % 5}", b"x" * 1000) == 0
        assert compactions(broker) == 0
        alter(c, 4, "", log_cleaner_io_max_bytes_per_second=1e9,
              log_cleaner_threads=2)
        harness.wait_until(lambda: compactions(broker) > 0, what="compacted")
        alter(c, 2, "t", cleanup_policy="delete")
        harness.wait_until(lambda: put(c, "a", b"x") == 0 and wire.produce(
            c, "t", wire.batch([b"without a key"]))["ErrorCode"] == 0,
            what="keys are not wanted any more")
    assert broker.metric("kafka_log_logcleaner_deadthreadcount") == 0
    assert 0 < broker.metric(
        "kafka_log_logcleaner_cleaner_recopy_percent") < 50


@pytest.mark.ours
def test_metrics(make_broker):
    """While a pass goes on, and after it: what its line in the log says."""
    broker = make_broker(
        **CLEANERS, log_cleaner_dedupe_buffer_size=(1 << 20) + 1,
        log_cleaner_io_max_bytes_per_second=10).start()

    def told(name):
        return broker.metric(f"kafka_log_logcleaner{name}")
    with wire.Client(broker.address) as c:
        harness.create_topic(broker, "t", **{
            **TOPIC, "cleanup_policy": "delete",
            "max_compaction_lag_ms": 600000})
        harness.wait_topic(broker, "t")
        hour_ago = int((time.time() - 3600) * 1000)
        for n in range(24):
            assert wire.produce(c, "t", wire.batch(
                [(b"x" * 100, b"key-%d" % (n % 12 * 100 + i), [])
                 for i in range(100)], timestamp=hour_ago))["ErrorCode"] == 0
        alter(c, 2, "t", cleanup_policy="compact")
        harness.wait_until(lambda: told("manager_max_dirty_percent") == 100,
                           what="it is looked at")
        assert 3000 <= told("_max_compaction_delay_secs") <= 3300
        assert told("_max_buffer_utilization_percent") == 0
        harness.wait_until(
            lambda: told("manager_time_since_last_run_ms") > 1500,
            what="it goes on for a while")
        alter(c, 4, "", log_cleaner_io_max_bytes_per_second=1e9)
        harness.wait_until(lambda: compactions(broker) == 1, what="compacted")
    read, left, took = map(int, re.search(
        r"compacted dirty .* bytes=(\d+) left=(\d+) .* ms=(\d+)",
        broker.log()).groups())
    assert 10 < 100 * left // read < 90 and took >= 1500
    assert told("_cleaner_recopy_percent") == 100 * left // read
    assert told("_max_clean_time_secs") == took // 1000
    # 1100 keys or so, of 43690 at most
    assert told("_max_buffer_utilization_percent") == 2
    harness.wait_until(lambda: told("manager_max_dirty_percent") == 0
                       and told("_max_compaction_delay_secs") == 0
                       and told("manager_time_since_last_run_ms") < 1000,
                       what="nothing is dirty")


def test_rolls_early(make_broker):
    """What is compacted is in a closed segment by max.compaction.lag.ms."""
    broker = make_broker(log_cleaner_enable="false").start()
    rows = {"early": ("compact", 1000, 3600000, 2),
            "both": ("compact,delete", 1000, 3600000, 2),
            "late": ("compact", 3600000, 3600000, 1),
            "by-time": ("compact", 3600000, 1000, 2),
            "deleted": ("delete", 1000, 3600000, 1)}
    now = int(time.time() * 1000)
    with wire.Client(broker.address) as c:
        for topic, (policy, lag_ms, segment_ms, files) in rows.items():
            harness.create_topic(
                broker, topic, cleanup_policy=policy, segment_ms=segment_ms,
                max_compaction_lag_ms=lag_ms)
            harness.wait_topic(broker, topic)
            for timestamp in (now - 5000, now - 4500, now - 3000):
                assert wire.produce(c, topic, wire.batch(
                    [(b"x", b"key", [])], timestamp=timestamp)
                )["ErrorCode"] == 0
            assert len(broker.log_files(topic)) == files, topic


@pytest.mark.ours
def test_damage(make_broker):
    """One partition that cannot be read is given up and told of; it is served,
    and others are compacted."""
    broker = make_broker(**{**CLEANERS, "log_cleaner_backoff_ms": 1000}).start()
    folder = str(broker.data)
    name = "kafka_log_logcleanermanager_uncleanable_partitions_count"
    for topic in ("t", "other"):
        harness.create_topic(broker, topic, **{
            **TOPIC, "min_compaction_lag_ms": 3600000})
        harness.wait_topic(broker, topic)
    with wire.Client(broker.address) as c:
        for n in range(100):
            for topic in ("t", "other"):
                assert put(c, f"key-{n % 5}", b"x" * 1000, topic) == 0
        path = broker.log_files("t")[0]
        with open(path, "r+b") as f:
            f.seek(500)
            f.write(b"damage")
        for topic in ("t", "other"):
            alter(c, 2, topic, min_compaction_lag_ms=0)
        harness.wait_until(lambda: broker.metric(name, log_dir=folder) == 1,
                           what="uncleanable")
        # all but the active segment
        assert broker.metric(
            "kafka_log_logcleanermanager_uncleanable_bytes", log_dir=folder
        ) == sum(p.stat().st_size for p in broker.log_files("t")[:-1])
        harness.wait_until(lambda: compactions(broker, "other-0") > 0,
                           what="the other is compacted")
        assert put(c, "key-1", b"y") == 0
    assert compactions(broker) == 0
    assert latest(broker, "other").keys() == {f"key-{n}" for n in range(5)}
    assert broker.metric("kafka_log_offline_dirs") == 0
