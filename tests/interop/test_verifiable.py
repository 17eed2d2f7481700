# SPDX-License-Identifier: Apache-2.0
"""Kafka's VerifiableProducer, VerifiableConsumer and console consumer in
groups, with the same arguments on the real Kafka and on ours: they tell the
same but for times and the sizes of what a poll brought."""

import json
from concurrent import futures

import pytest

import harness
import real_kafka
import wire

PARTITIONS, RECORDS = 3, 40
OPTIONS = {"group_initial_rebalance_delay_ms": 0,
           "offsets_topic_num_partitions": 1,
           "zookeeper_session_timeout_ms": 30000}


@pytest.fixture(scope="module")
def pair(new_factory):
    """(the real one, ours), each in a cluster of its own."""
    factory = new_factory("verifiable")
    theirs = factory(0, kind=real_kafka.RealKafka, **OPTIONS)
    ours = factory(0, kind=harness.Broker, **OPTIONS)
    theirs.options["zookeeper.connect"] += "-real"
    try:
        with futures.ThreadPoolExecutor(2) as pool:
            yield tuple(pool.map(lambda broker: broker.start(),
                                 (theirs, ours)))
    finally:
        factory.end()


def create(pair, topic, partitions):
    for broker in pair:
        harness.create_topic(broker, topic, partitions)
        harness.wait_topic(broker, topic, partitions)


def write(pair, topic, partitions=PARTITIONS, times=1):
    for broker in pair:
        with wire.Client(broker.address) as c:
            for p in range(partitions):
                for _ in range(times):
                    assert wire.produce(c, topic, wire.batch(
                        [(b"%d-%d" % (p, n), b"key %d" % n)
                         for n in range(RECORDS)]), p)["ErrorCode"] == 0


def events(out):
    """What a tool printed, without the times."""
    rows = [json.loads(line) for line in out.decode().splitlines()
            if line.startswith("{")]
    for row in rows:
        row.pop("timestamp")
        row.pop("avg_throughput", None)
    return rows


def both(pair, run):
    with futures.ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(run, pair)
    assert ours == theirs
    return ours


# --- the producer ------------------------------------------------------------

@pytest.mark.parametrize("partitions, arguments", (
    (1, ("--acks", 1)),
    (1, ("--acks", 0, "--value-prefix", 3)),
    (3, ("--repeating-keys", 7, "--value-prefix", 2,
         "--message-create-time", 1700000000000)),
), ids=("acks 1", "acks 0", "keys"))
def test_producer(pair, tmp_path, partitions, arguments):
    """It sums up while it ends: a process for each."""
    topic = f"produced-{partitions}-{len(arguments)}"
    create(pair, topic, partitions)

    def run(broker):
        folder = tmp_path / f"real-{broker.real}"
        folder.mkdir()
        done = real_kafka.tool(
            folder, "kafka-verifiable-producer", "--bootstrap-server",
            broker.address, "--topic", topic, "--max-messages", 300,
            *arguments)
        rows = events(done.stdout)
        with wire.Client(broker.address) as c:
            held = [[(r[2], r[3]) for r in wire.read_all(c, topic, p)]
                    for p in range(partitions)]
        # partitions are answered in either order
        return sorted(rows, key=repr), rows[-2:], held
    rows, last, held = both(pair, run)
    assert len(rows) == 303 and sum(map(len, held)) == 300
    assert last == [{"name": "shutdown_complete"}, {
        "name": "tool_data", "sent": 300, "acked": 300,
        "target_throughput": -1}]


# --- the consumer ------------------------------------------------------------

def consumed(rows):
    """Whatever each poll brought: every record, what was committed last, and
    what else was told."""
    records, offsets, rest = [], {}, []
    for row in rows:
        if row["name"] == "records_consumed":
            for part in row["partitions"]:
                records += [(part["partition"], n) for n in range(
                    part["minOffset"], part["maxOffset"] + 1)]
                assert part["count"] == (part["maxOffset"]
                                         - part["minOffset"] + 1)
        elif row["name"] == "offsets_committed":
            assert row["success"] and "error" not in row
            offsets.update({p["partition"]: p["offset"]
                            for p in row["offsets"]})
        elif "partitions" in row:
            rest.append((row["name"], sorted(map(repr, row["partitions"]))))
        else:
            rest.append(tuple(row.values()))
    # of several partitions whichever came first
    return sorted(records), offsets, sorted(rest, key=repr), rest[:2]


@pytest.mark.parametrize("arguments", (
    (), ("--enable-autocommit",), ("--group-instance-id", "chair"),
    ("--verbose",), ("--assignment-strategy",
                     "org.apache.kafka.clients.consumer.StickyAssignor"),
), ids=("plain", "auto", "static", "verbose", "sticky"))
def test_consumer(pair, java, arguments):
    """A group that reads all, and once more what has come since."""
    name = "read-" + (arguments or ("plain",))[0].strip("-")
    create(pair, name, PARTITIONS)
    for turn in range(2):
        write(pair, name, times=turn + 1)
        count = PARTITIONS * RECORDS * (turn + 1)
        told = []
        for broker in pair:
            status, out = java.run(
                "kafka-verifiable-consumer", "--bootstrap-server",
                broker.address, "--topic", name, "--group-id", name,
                "--max-messages", count, "--reset-policy", "earliest",
                *arguments)
            status_then, group = java.run(
                "kafka-consumer-groups", "--bootstrap-server", broker.address,
                "--describe", "--group", name)
            assert (status, status_then) == (0, 0)
            told.append((consumed(events(out)), described(group)))
        theirs, ours = told
        assert ours == theirs
        (records, offsets, *_), rows = ours
        first, end = RECORDS * turn, RECORDS * (1 + 2 * turn)
        assert records == [(p, n) for p in range(PARTITIONS)
                           for n in range(first, end)]
        if "--enable-autocommit" not in arguments:
            assert offsets == dict.fromkeys(range(PARTITIONS), end)
        assert len(rows) == PARTITIONS + 1


def described(out):
    """Group, topic, partition and offsets; a static member may be there still,
    by another id everywhere."""
    return sorted(line.split()[:6] for line in out.splitlines() if line)


# --- the console -------------------------------------------------------------

def test_console_consumer(pair, java):
    """In a group, it begins where it was."""
    create(pair, "printed", 1)
    write(pair, "printed", 1, times=3)

    def read(broker, count, *more):
        status, out = java.run(
            "kafka-console-consumer", "--bootstrap-server", broker.address,
            "--topic", "printed", "--group", "console", "--max-messages",
            count, "--timeout-ms", 60000, "--property", "print.key=true",
            "--property", "print.offset=true", *more)
        said = [line for line in java.err.splitlines()
                if line.startswith(b"Processed")]
        return status, out, said

    def describe(broker):
        return described(java.run(
            "kafka-consumer-groups", "--bootstrap-server", broker.address,
            "--describe", "--group", "console")[1])
    for at, count, more in ((0, 50, ("--from-beginning",)), (50, 30, ()),
                            (80, 40, ("--consumer-property",
                                      "auto.commit.interval.ms=10"))):
        theirs, ours = [(read(broker, count, *more), describe(broker))
                        for broker in pair]
        assert ours == theirs
        (status, out, said), rows = ours
        assert status == 0 and said == [b"Processed a total of %d messages"
                                        % count]
        assert [int(line.split(b"\t")[0].split(b":")[1])
                for line in out.splitlines()] == list(range(at, at + count))
        assert rows[-1][3] == b"%d" % (at + count)


def test_console_consumer_nothing(pair, java):
    """Only what comes while it is there; until it has waited long enough."""
    create(pair, "printed-later", 1)
    write(pair, "printed-later", 1)
    told = []
    for broker in pair:
        status, out = java.run(
            "kafka-console-consumer", "--bootstrap-server", broker.address,
            "--topic", "printed-later", "--group", "late", "--timeout-ms",
            3000)
        told.append((status, out, b"Processed a total of 0 messages"
                     in java.err))
    assert told[0] == told[1] == (0, b"", True)
