# SPDX-License-Identifier: Apache-2.0
"""Consumers of records that are no longer in the kernel's memory: a worker
reads for them, before the answer and, piece by piece, while it is sent; the
loops that serve others never wait for the disk."""

import contextlib
import os
import threading

import pytest

import harness
import wire

pytestmark = pytest.mark.ours
FETCHES = "barnabas_cold_fetches_total"
SENDS = "barnabas_cold_sends_total"
BYTES_OUT = "kafka_server_socket_outgoing_byte_total"
KIB = 1 << 10


def is_resident(path):
    with open(path, "rb") as f:
        for at in range(0, os.path.getsize(path), 64 * KIB):
            try:
                os.preadv(f.fileno(), [bytearray(1)], at, os.RWF_NOWAIT)
            except BlockingIOError:
                return False
    return True


def drop(path):
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def evict(broker, topic):
    """Out of the kernel's memory, as when others had needed it."""
    for path in broker.log_files(topic):
        drop(path)
        if is_resident(path):
            pytest.skip("this file system keeps files in memory")


@contextlib.contextmanager
def evicted_until(broker, topic, reads):
    """Again and again until a worker has read: at times the kernel has read
    ahead, before the broker looks, all that is left."""
    over, before = threading.Event(), broker.metric(reads)

    def run():
        while not over.is_set() and broker.metric(reads) == before:
            for path in broker.log_files(topic):
                drop(path)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def fill(broker, topic, count, size):
    values = [b"%08d" % n + bytes([n % 251]) * size for n in range(count)]
    with wire.Client(broker.address) as c:
        for n, value in enumerate(values):
            part = wire.produce(c, topic, wire.batch([value]))
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)
    return values


def await_still(broker):
    """Until nothing is sent to clients for a moment."""
    sent = []

    def still():
        sent.append(broker.metric(BYTES_OUT))
        return sent[-2:-1] == sent[-1:]
    harness.wait_until(still, what="the socket is full", pause=0.3)


def values_of(part):
    assert part["ErrorCode"] == 0
    return [r[3] for b in wire.batches(part["Records"]) for r in b.records()]


def test_evicted_segments(make_broker):
    """Several segments; when they were read all of it is there, unless the
    kernel takes it away again."""
    broker = make_broker(log_segment_bytes=2048 * KIB).start()
    harness.create_topic(broker, "t")
    values = fill(broker, "t", 40, 200 * KIB)
    assert len(broker.log_files("t")) >= 4
    evict(broker, "t")
    with harness.Bystander(broker) as bystander:
        with harness.counted(broker, FETCHES, 4):
            with wire.Client(broker.address) as c:
                assert [r[3] for r in wire.read_all(c, "t")] == values
        bystander.still_served()

    def reads_no_disk():
        before = broker.metric(FETCHES), broker.metric(SENDS)
        with wire.Client(broker.address) as c:
            assert [r[3] for r in wire.read_all(c, "t")] == values
        return (broker.metric(FETCHES), broker.metric(SENDS)) == before
    harness.wait_until(reads_no_disk, what="all of it is there")


def test_evicted_while_sent(make_broker):
    """A consumer takes its time with an answer that was in memory when it was
    made."""
    broker = make_broker(log_segment_bytes=64 << 20).start()
    harness.create_topic(broker, "t")
    values = fill(broker, "t", 60, 500 * KIB)
    with wire.Client(broker.address, receive_buffer=4 * KIB) as c:
        sent = broker.metric(
            "kafka_server_brokertopicmetrics_bytesout_total")
        asked = c.send("Fetch", 12, **wire.fetch_request("t", 0))
        harness.wait_until(lambda: broker.metric(
            "kafka_server_brokertopicmetrics_bytesout_total") > sent)
        # the first of it goes out unseen: until the socket takes no more
        await_still(broker)
        evict(broker, "t")
        with harness.counted(broker, SENDS):
            with harness.Bystander(broker) as bystander:
                with evicted_until(broker, "t", SENDS):
                    answer = c.receive(asked)
                bystander.still_served()
    part = answer["Responses"][0]["Partitions"][0]
    assert values_of(part) == values
    # each piece once at most, and not each time that the socket takes some
    assert broker.metric(SENDS) < 60


def test_many_cold_consumers(make_broker):
    """More than there are workers, each at a place of its own, some of them
    gone before they are answered."""
    broker = make_broker(log_segment_bytes=4096 * KIB,
                         background_threads=2).start()
    harness.create_topic(broker, "t")
    values = fill(broker, "t", 60, 500 * KIB)
    evict(broker, "t")
    clients = [wire.Client(broker.address) for _ in range(40)]
    with harness.Bystander(broker) as bystander:
        asked = [c.send("Fetch", 12, **wire.fetch_request("t", n))
                 for n, c in enumerate(clients)]
        for c in clients[::4]:
            c.close()
        bystander.still_served()
        for n, c in enumerate(clients):
            if n % 4 != 0:
                part = c.receive(asked[n])["Responses"][0]["Partitions"][0]
                got = values_of(part)
                assert got and got == values[n:n + len(got)]
                c.close()
        bystander.still_served()
    assert broker.metric(FETCHES) > 0
