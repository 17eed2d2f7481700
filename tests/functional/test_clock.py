# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set ahead and back, by hours and days, while the
broker runs (libfaketime; tests/replay has it without)."""

import glob
import re
import time

import pytest

import harness
import wire
from test_groups import coordinate
from test_offsets import commit, committed

pytestmark = pytest.mark.ours
LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
HOUR = 3600


class Clock:
    """Of one broker; the monotonic one is the machine's own."""

    def __init__(self, folder):
        self.path = folder / "clock"
        self.set(0)

    def set(self, seconds):
        part = self.path.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        part.rename(self.path)

    def environment(self):
        return {"LD_PRELOAD": LIBRARIES[0], "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_TIMESTAMP_FILE": str(self.path)}


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
@pytest.mark.skipif(harness.sanitized(), reason="sanitizers come first")
def test_clock_leaps(make_broker, tmp_path):
    broker = make_broker(
        log_segment_bytes=2000, log_retention_hours=24,
        log_retention_check_interval_ms=300, log_initial_task_delay_ms=100,
        log_segment_delete_delay_ms=100, log_flush_interval_ms=200,
        offsets_retention_check_interval_ms=300,
        offsets_topic_num_partitions=1)
    clock = Clock(tmp_path)
    broker.launch(clock.environment())
    broker.wait_ready()
    harness.create_topic(broker, "t", **{
        "message.timestamp.type": "LogAppendTime"})
    coordinate(broker)
    written = 0
    with wire.Client(broker.address) as c:
        assert commit(c, "g", 7) == 0
        for hours in (0, 30, 24 * 400, 0, -24 * 30, 0):
            clock.set(hours * HOUR)
            for _ in range(20):
                part = wire.produce(c, "t", wire.batch([b"%d" % written
                                                        + b"." * 200]))
                assert (part["ErrorCode"], part["BaseOffset"]) == (0, written)
                # as Kafka: the clock's own, whatever came before
                assert abs(part["LogAppendTimeMs"] / 1000 - time.time()
                           - hours * HOUR) < 600
                written += 1
            # some rounds of retention, and a wait that ends
            part = wire.fetch(c, "t", written, max_wait_ms=1500)
            assert part["ErrorCode"] == 0
            assert len(wire.read_all(c, "t")) == written
            assert wire.list_offset(c, "t", -2)["Offset"] == 0
            assert committed(c, "g") == 7
    # 30 hours, less what went by between the readings of two clocks
    assert re.search(r"the clock went ahead by seconds=10(799\d|8\d{3}):",
                     broker.log())
    assert "the clock went back by seconds=" in broker.log()
    assert broker.http("/readyz")[0] == 200
    broker.stop()
    assert "the clock stays ahead" not in broker.log()
