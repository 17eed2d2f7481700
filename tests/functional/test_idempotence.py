# SPDX-License-Identifier: Apache-2.0
"""What a log remembers of its producers: over restarts, over kills, until they
were idle for too long."""

import contextlib
import time

import pytest

import harness
import wire
from wire import batch, produce

OUT_OF_ORDER, INVALID_EPOCH = 45, 47
LAST = (1 << 31) - 1


def send(broker, sequence, count=2, epoch=0, producer=4000, timestamp=None):
    """(error, base offset)"""
    with wire.Client(broker.address) as c:
        part = produce(c, "t", batch(
            [b"x"] * count, producer_id=producer, producer_epoch=epoch,
            base_sequence=sequence, timestamp=timestamp))
    return part["ErrorCode"], part["BaseOffset"]


def begin(make_broker, **options):
    broker = make_broker(zookeeper_session_timeout_ms=3000,
                         **options).start()
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    return broker


def again(broker, how):
    if how == "stop":
        harness.restart(broker, "t")
        return
    broker.kill()

    def started():
        try:
            broker.start(90)
        except AssertionError:
            broker.kill()   # the old session has not ended yet
            return False
        return True
    harness.wait_until(started, 120, "the broker is back")
    harness.wait_topic(broker, "t")


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_over_a_restart(make_broker, how):
    broker = begin(make_broker)
    for n in range(7):
        assert send(broker, 2 * n) == (0, 2 * n)
    # the last five are known
    for n in range(2, 7):
        assert send(broker, 2 * n) == (0, 2 * n)
    assert send(broker, 2) == (OUT_OF_ORDER, -1)
    again(broker, how)
    # Kafka knows the last one only, by the snapshot of a clean stop
    assert send(broker, 12) == (0, 12)
    if broker.real and how == "stop":
        assert send(broker, 10) == (OUT_OF_ORDER, -1)
    else:
        for n in range(2, 7):
            assert send(broker, 2 * n) == (0, 2 * n)
        assert send(broker, 2) == (OUT_OF_ORDER, -1)
    assert send(broker, 16) == (OUT_OF_ORDER, -1)
    assert send(broker, 14) == (0, 14)
    again(broker, how)
    assert send(broker, 14) == (0, 14)
    # another epoch begins at 0, an old one is over
    assert send(broker, 16, epoch=1) == (OUT_OF_ORDER, -1)
    assert send(broker, 0, epoch=1) == (0, 16)
    again(broker, how)
    assert send(broker, 16, epoch=0) == (INVALID_EPOCH, -1)
    assert send(broker, 0, epoch=1) == (0, 16)
    assert send(broker, 2, epoch=1) == (0, 18)


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_the_wrap(make_broker, how):
    """Behind 2147483647 comes 0, also within a batch."""
    broker = begin(make_broker)
    assert send(broker, LAST - 2) == (0, 0)
    assert send(broker, LAST, 3) == (0, 2)
    again(broker, how)
    assert send(broker, LAST, 3) == (0, 2)
    assert send(broker, 0) == (OUT_OF_ORDER, -1)
    assert send(broker, 2) == (0, 5)
    assert send(broker, LAST, producer=4001, count=1) == (0, 7)
    assert send(broker, 0, producer=4001, count=1) == (0, 8)
    again(broker, how)
    assert send(broker, 0, producer=4001, count=1) == (0, 8)
    assert send(broker, 1, producer=4001, count=1) == (0, 9)


def test_expiry(make_broker):
    """By the time of its records: one whose are old is forgotten first."""
    broker = begin(make_broker, producer_id_expiration_ms=3600000,
                   producer_id_expiration_check_interval_ms=100,
                   log_initial_task_delay_ms=10)
    now = int(time.time() * 1000)
    assert send(broker, 0, producer=1, timestamp=now) == (0, 0)
    assert send(broker, 0, producer=2, timestamp=now - 7200000) == (0, 2)

    def forgotten():
        # unknown again, any sequence will do; each try makes it known
        error, _ = send(broker, 50, producer=2, timestamp=now - 7200000)
        return error == 0
    harness.wait_until(forgotten, what="the idle producer is forgotten")
    assert send(broker, 50, producer=1, timestamp=now) == (OUT_OF_ORDER, -1)
    assert send(broker, 0, producer=1, timestamp=now) == (0, 0)


def test_expired_while_it_was_down(make_broker):
    broker = begin(make_broker)
    now = int(time.time() * 1000)
    old = now - 2 * 86400000
    assert send(broker, 0, producer=1, timestamp=now) == (0, 0)
    assert send(broker, 0, producer=2, timestamp=old) == (0, 2)
    harness.restart(broker, "t")
    assert send(broker, 50, producer=1, timestamp=now) == (OUT_OF_ORDER, -1)
    assert send(broker, 50, producer=2, timestamp=now) == (0, 4)


@pytest.mark.ours
def test_blocks_of_ids(make_broker):
    """Of two requests of one broker each gets a block of its own, also when
    they come at once."""
    broker = begin(make_broker)
    with harness.Zk(broker) as client:
        epoch = client.get("/brokers/ids/0")[1].czxid
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.Client(broker.address))
                   for _ in range(4)]
        given = []
        for _ in range(10):
            for c in clients:
                c.send("AllocateProducerIds", 0, BrokerId=0,
                       BrokerEpoch=epoch)
            answers = [c.receive() for c in clients]
            assert [a["ErrorCode"] for a in answers] == [0] * 4
            given += [a["ProducerIdStart"] for a in answers]
    assert len(set(given)) == 40
