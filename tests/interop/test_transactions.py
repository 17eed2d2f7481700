# SPDX-License-Identifier: Apache-2.0
"""A directory that the real Kafka wrote for transactional producers: one that
commits, one that aborts, one whose transaction nobody has ended.  Ours takes it
over and tells readers of committed records what the real one told them."""

import shutil

import pytest

import harness
import wire
from both import SHORT
from exchange import swap, wait_forgotten

confluent_kafka = pytest.importorskip("confluent_kafka")

OPTIONS = {"log_segment_bytes": 4000, "log_index_interval_bytes": 300,
           "log_retention_ms": -1, "zookeeper_session_timeout_ms": 6000}


class Writer:
    """One transactional producer."""

    def __init__(self, broker, name):
        self.name = name
        self.client = confluent_kafka.Producer({
            "bootstrap.servers": broker.address, "transactional.id": name,
            "transaction.timeout.ms": 900000, "linger.ms": 0})
        self.client.init_transactions(60)
        self.count = 0

    def begin(self):
        self.client.begin_transaction()

    def write(self, count=2, size=200):
        for _ in range(count):
            self.client.produce("t", b"%s-%d " % (
                self.name.encode(), self.count) + b"." * size, partition=0)
            self.count += 1
        assert self.client.flush(60) == 0

    def commit(self):
        self.client.commit_transaction(60)

    def abort(self):
        self.client.abort_transaction(60)


def write_plain(broker, count=1):
    with wire.Client(broker.address) as c:
        for n in range(count):
            part = wire.produce(c, "t", wire.batch([b"plain" + b"." * 90]))
            assert part["ErrorCode"] == 0


def commit(broker, name, producer):
    """What its producer does: librdkafka has seen who does not serve EndTxn,
    and does not ask again."""
    def ended():
        with wire.Client(broker.address) as c:
            return c.call(
                "EndTxn", 3, TransactionalId=name, Committed=True,
                ProducerId=producer["ProducerId"],
                ProducerEpoch=producer["ProducerEpoch"])["ErrorCode"] == 0
    harness.wait_until(ended, 60, "the transaction is committed")
    wait_ended(broker, name)


def wait_ended(broker, *names):
    """Until their coordinator has written down that their transactions are
    over.  Kafka tells the producer earlier; killed in between, it writes the
    markers once more when it comes back."""
    def ended():
        with wire.Client(broker.address) as c:
            states = c.call("DescribeTransactions", 0, TransactionalIds=list(
                names))["TransactionStates"]
        return {s["TransactionState"] for s in states} <= {
            "CompleteCommit", "CompleteAbort"}
    harness.wait_until(ended, 60, f"the transactions of {names} have ended")


def producers(broker):
    with wire.Client(broker.address) as c:
        found = c.call("DescribeProducers", 0, Topics=[
            {"Name": "t", "PartitionIndexes": [0]}])["Topics"][0][
                "Partitions"][0]
    assert found["ErrorCode"] == 0
    return sorted(found["ActiveProducers"], key=lambda p: p["ProducerId"])


def fill(broker):
    """Answers the name of the one whose transaction stays open."""
    good, bad, both, left = (Writer(broker, name) for name in (
        "good", "bad", "both", "left"))
    write_plain(broker, 3)
    bad.begin()
    bad.write()
    for turn in range(6):
        good.begin()
        good.write(3)
        write_plain(broker)
        if turn == 3:      # by then it lies over several segments
            bad.write()
            bad.abort()
        good.commit()
        both.begin()
        both.write(4)
        both.abort() if turn % 2 else both.commit()
    left.begin()
    left.write()
    good.begin()
    good.write()
    good.commit()
    bad.begin()
    bad.write(6)
    bad.abort()
    wait_ended(broker, good.name, bad.name, both.name)
    write_plain(broker, 3)
    return left.name


def fetches(client, end):
    ident = client.call("Metadata", 12, Topics=[{"Name": "t"}])["Topics"][0][
        "TopicId"]
    for version in range(4, 17):
        for isolation in (0, 1):
            for size in (1 << 20, 900, 1):
                for offset in range(0, end + 1, 1 + version % 3):
                    ask = wire.fetch_request(
                        "t", offset, max_wait_ms=0, partition_max_bytes=size,
                        IsolationLevel=isolation)
                    if version >= 13:
                        ask["Topics"][0] = {"TopicId": ident, "Partitions":
                                            ask["Topics"][0]["Partitions"]}
                    if version < 15:
                        ask["ReplicaId"] = -1
                    part = client.call("Fetch", version, **ask)["Responses"][
                        0]["Partitions"][0]
                    yield (version, isolation, size, offset), part


def asked(broker):
    """What clients of many versions are told."""
    out = {}
    with wire.Client(broker.address) as c:
        end = wire.list_offset(c, "t", -1)["Offset"]
        out.update(fetches(c, end))
        for isolation in (0, 1):
            for version in range(2, 10):
                for timestamp in (-1, -2):
                    found = c.call(
                        "ListOffsets", version, ReplicaId=-1,
                        IsolationLevel=isolation,
                        Topics=[{"Name": "t", "Partitions": [
                            {"PartitionIndex": 0, "Timestamp": timestamp}]}])
                    part = found["Topics"][0]["Partitions"][0]
                    part.pop("LeaderEpoch", None)
                    out["offsets", isolation, version, timestamp] = part
    out["producers"] = producers(broker)
    return out


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, its in theirs.items():
        assert ours[key] == its, key


def consumed(broker, level):
    """By the Java client, until nothing comes any more."""
    import real_kafka
    got = real_kafka.tool(
        broker.folder, "kafka-console-consumer", "--bootstrap-server",
        broker.address, "--topic", "t", "--partition", 0, "--offset",
        "earliest", "--isolation-level", level, "--timeout-ms", 15000,
        check=False)
    return got.stdout.splitlines()


def come_up(broker):
    broker.start()
    harness.wait_topic(broker, "t")


@pytest.mark.slow
@pytest.mark.parametrize("how", ("kill",) if SHORT else ("stop", "kill"))
def test_taken_over(make_broker, make_kafka, how):
    kafka = make_kafka(0, **OPTIONS).start(90)
    harness.create_topic(kafka, "t")
    harness.wait_topic(kafka, "t")
    left = fill(kafka)
    assert len(kafka.log_files("t")) >= 4
    if how == "kill":
        # what both of them begin with
        kafka.kill()
        wait_forgotten(kafka)
        before = kafka.data.with_name("killed")
        shutil.copytree(kafka.data, before)
        come_up(kafka)
    told = asked(kafka)
    read = {level: consumed(kafka, level)
            for level in ("read_committed", "read_uncommitted")}
    kafka.stop()
    if how == "kill":
        shutil.rmtree(kafka.data)
        before.rename(kafka.data)

    ours = make_broker(0, **OPTIONS)
    swap(kafka, ours)
    indexes = {p: p.read_bytes()
               for p in kafka.log_files("t", 0, "txnindex")}
    come_up(ours)
    # these are worth it: aborts, and a stable offset below the rest
    parts = [p for k, p in told.items() if k[1] == 1 and k[0] in (4, 12, 16)]
    assert any(len(p["AbortedTransactions"]) > 1 for p in parts)
    assert all(p["LastStableOffset"] < p["HighWatermark"] for p in parts)
    same(asked(ours), told)
    for level, lines in read.items():
        assert consumed(ours, level) == lines
    assert any(b"left" in line for line in read["read_uncommitted"])
    assert not any(b"left" in line or b"bad" in line
                   for line in read["read_committed"])
    if how == "stop":
        assert indexes == {p: p.read_bytes()
                           for p in ours.log_files("t", 0, "txnindex")}
    write_plain(ours)
    ours.stop()

    # and back: there it can be ended
    come_up(kafka)
    still, = [p for p in producers(kafka) if p["CurrentTxnStartOffset"] >= 0]
    commit(kafka, left, still)
    told = asked(kafka)
    lines = consumed(kafka, "read_committed")
    kafka.stop()
    come_up(ours)
    same(asked(ours), told)
    assert consumed(ours, "read_committed") == lines
    assert sum(b"left" in line for line in lines) == 2
