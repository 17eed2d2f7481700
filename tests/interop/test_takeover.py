# SPDX-License-Identifier: Apache-2.0
"""One takes the other's place: same ZooKeeper tree, same data directory."""

import pytest

import harness
import wire


def swap(old, new):
    """new gets old's identity: directory, port, id, cluster."""
    for key in ("log.dirs", "listeners", "zookeeper.connect", "broker.id"):
        new.options[key] = old.options[key]
    new.port = old.port
    new.broker_id = old.broker_id


def fill(broker, first, count, codec="none"):
    harness.kcat(broker, "-P", "-t", "t", "-p", 0, "-X",
                 f"compression.codec={codec}", "-X", "batch.num.messages=30",
                 stdin=b"".join(b"%d %s\n" % (n, b"." * (n % 60))
                                for n in range(first, first + count)))


def check(broker, count):
    out = harness.kcat(broker, "-C", "-t", "t", "-p", 0, "-o", "beginning",
                       "-e", "-q", "-f", "%o %s\n").splitlines()
    assert out == [b"%d %d %s" % (n, n, b"." * (n % 60))
                   for n in range(count)]


@pytest.mark.parametrize("first", ("ours", "theirs"))
def test_there_and_back(make_broker, make_kafka, first):
    options = {"log_segment_bytes": 50000, "log_index_interval_bytes": 500}
    one = make_broker(0, **options)
    other = make_kafka(0, **options)
    if first == "theirs":
        one, other = other, one
    swap(one, other)
    one.data.mkdir(exist_ok=True)
    one.start()
    harness.create_topic(one, "t", partitions=2)
    count = 0
    with wire.Client(one.address) as c:
        pid = harness.wait_until(
            lambda: (lambda a: a if a["ErrorCode"] == 0 else None)(c.call(
                "InitProducerId", 4, TransactionalId=None,
                TransactionTimeoutMs=1000)))["ProducerId"]
        topic_id = c.call("Metadata", 10, Topics=[{"Name": "t"}])[
            "Topics"][0]["TopicId"]
    brokers = [one, other, one, other, one]
    for turn, broker in enumerate(brokers):
        if broker.process is None:
            broker.start(180)
        harness.wait_topic(broker, "t", 2)
        check(broker, count)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            fill(broker, count, 300, codec)
            count += 300
        check(broker, count)
        with wire.Client(broker.address) as c:
            # a producer goes on where it was, and its last batch is known
            if turn:
                again = wire.produce(c, "t", wire.batch(
                    [b"s"], producer_id=pid, producer_epoch=0,
                    base_sequence=turn - 1), partition=1)
                assert (again["ErrorCode"], again["BaseOffset"]) == (
                    0, turn - 1)
            part = wire.produce(c, "t", wire.batch(
                [b"s"], producer_id=pid, producer_epoch=0,
                base_sequence=turn), partition=1)
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, turn)
            topic = c.call("Metadata", 10, Topics=[{"Name": "t"}])["Topics"][0]
            assert topic["TopicId"] == topic_id
            harness.create_topic(broker, f"made-by-{turn}")
        broker.stop()


@pytest.mark.slow
def test_after_a_kill(make_broker, make_kafka):
    """What one leaves behind when killed, the other recovers."""
    options = {"log_segment_bytes": 50000, "log_index_interval_bytes": 500,
               "zookeeper_session_timeout_ms": 3000}
    ours = make_broker(0, **options).start()
    theirs = make_kafka(0, **options)
    swap(ours, theirs)
    harness.create_topic(ours, "t")
    fill(ours, 0, 1000)
    ours.kill()

    def started(broker):
        try:
            broker.start(180)
        except AssertionError:
            broker.kill()   # the old session has not ended yet
            return False
        return True
    harness.wait_until(lambda: started(theirs), 400, "Kafka has taken over")
    harness.wait_topic(theirs, "t")
    check(theirs, 1000)
    fill(theirs, 1000, 1000, "lz4")
    theirs.kill()
    harness.wait_until(lambda: started(ours), 400, "we have taken over")
    harness.wait_topic(ours, "t")
    check(ours, 2000)
    fill(ours, 2000, 100)
    check(ours, 2100)
