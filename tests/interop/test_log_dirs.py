# SPDX-License-Identifier: Apache-2.0
"""A copy that one broker left half-way is taken up by the other: same
directories, same ZooKeeper tree."""

import importlib.util
import pathlib

import pytest

import exchange
import harness
import wire

_path = (pathlib.Path(__file__).resolve().parents[1]
         / "functional/test_log_dirs.py")
_spec = importlib.util.spec_from_file_location("functional_log_dirs", _path)
dirs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(dirs)


def write_marks(here, goal):
    """As one of ours leaves them that dies just before the copy is renamed."""
    dirs.mark(here / "t-0", "leaves", here, goal)
    dirs.mark(next(goal.glob("t-0.*-future")), "arrives", here, goal)


@pytest.mark.slow
@pytest.mark.parametrize("first,how", (*exchange.ROWS, ("ours", "marks")))
def test_there_and_back(make_broker, make_kafka, first, how):
    options = {"log_segment_bytes": 200000,
               "log_segment_delete_delay_ms": 100,
               "zookeeper_session_timeout_ms": 6000}
    owners = [dirs.with_dirs(make_broker, **options),
              make_kafka(0, **options)]
    if first == "theirs":
        owners[1].set(log_dirs=owners[0].options["log.dirs"])
        owners.reverse()
    exchange.swap(*owners)
    count = 0
    for turn, broker in enumerate((*owners, owners[0])):
        if turn:
            dirs.throttle(broker, 1 << 40)
        else:
            broker.start(180)
            broker.stop()
            dirs.throttle(broker, 50000)
        broker.start(180)
        if turn == 0:
            harness.create_topic(broker, "t")
        harness.wait_topic(broker, "t")
        with wire.Client(broker.address) as c:
            if turn:
                dirs.wait_moved(c, "t", goal)
                harness.wait_until(lambda: not dirs.names(broker, "future"),
                                   what="no copy is left")
            assert dirs.numbers(c, "t") == list(range(count))
            dirs.fill(c, "t", 200, first=count)
            count += 200
            goal = dirs.other(broker, "t")
            assert dirs.alter(c, (goal, "t", [0])) == {("t", 0): 0}
            if turn:
                dirs.wait_moved(c, "t", goal)
                # Kafka starts with one only: after a death of its own, too
                assert dirs.where(broker, "t") == goal
            else:
                harness.wait_until(
                    lambda: any(r[1] and r[3] > 0
                                for r in dirs.described(c, "t")),
                    what="the copy grows")
        if how == "stop":
            broker.stop()
            continue
        broker.kill()
        if how == "marks" and turn == 0:
            write_marks(dirs.where(broker, "t"), goal)
        exchange.wait_forgotten(broker)

