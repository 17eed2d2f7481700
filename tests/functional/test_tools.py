# SPDX-License-Identifier: Apache-2.0
"""`barnabas` against a broker: topics, get-offsets, delete-records, log-dirs,
perf.  What the options mean is in tests/unit/test_tools.c, and what Kafka's own
tools print of the same in tests/interop/test_tools.py."""

import itertools
import json
import re
import signal
import subprocess

import pytest

import harness
import wire
from fake_broker import FakeBroker

_names = itertools.count()
TOTAL = re.compile(
    r"(\d+) records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), [\d.]+ ms avg "
    r"latency, [\d.]+ ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, "
    r"\d+ ms 99.9th\.\n$")


@pytest.fixture
def name():
    return f"tools-{next(_names)}"


def text_of(done):
    return done.stdout.decode()


def json_of(done):
    return json.loads(done.stdout)


def fails(broker, command, *arguments):
    """Its standard error."""
    done = harness.tool(broker, command, *arguments, check=False)
    assert done.returncode == 1, done
    assert done.stderr
    return done.stderr.decode()


def fill(broker, topic, count, partition=0):
    harness.kcat(broker, "-P", "-t", topic, "-p", partition,
                 stdin=b"".join(b"%d\n" % n for n in range(count)))


# --- topics ------------------------------------------------------------------

class TestAlter:
    def test_more_partitions(self, shared_broker, name):
        harness.create_topic(shared_broker, name, partitions=2)
        done = harness.tool(shared_broker, "topics", "--alter", "--topic",
                            name, "--partitions", 5)
        assert done.stdout == b""
        harness.wait_topic(shared_broker, name, partitions=5)
        found = json_of(harness.tool(shared_broker, "topics", "--describe",
                                     "--topic", name, "--output", "json"))
        assert found["topics"][0]["partitionCount"] == 5

    def test_with_brokers(self, shared_broker, name):
        """The first of the list are there and stay."""
        harness.create_topic(shared_broker, name)
        harness.tool(shared_broker, "topics", "--alter", "--topic", name,
                     "--partitions", 3, "--replica-assignment", "0,0,0")
        harness.wait_topic(shared_broker, name, partitions=3)

    @pytest.mark.parametrize("arguments,word", (
        (("--partitions", 2), "INVALID_PARTITIONS"),
        (("--partitions", 1), "INVALID_PARTITIONS"),
        (("--partitions", 0), "--partitions"),
        (("--partitions", 4, "--replica-assignment", "0,0,0"),
         "INVALID_REPLICA_ASSIGNMENT"),
        (("--partitions", 3, "--replica-assignment", "0,0,7"),
         "INVALID_REPLICA_ASSIGNMENT"),
        (("--partitions", 3, "--config", "retention.ms=1"), "kafka-configs"),
        ((), "--partitions"),
    ))
    def test_refused(self, shared_broker, name, arguments, word):
        """And nothing changes."""
        harness.create_topic(shared_broker, name, partitions=2)
        assert word in fails(shared_broker, "topics", "--alter", "--topic",
                             name, *arguments)
        harness.wait_topic(shared_broker, name, partitions=2)

    def test_not_there(self, shared_broker, name):
        arguments = ("--alter", "--topic", name, "--partitions", 3)
        assert name in fails(shared_broker, "topics", *arguments)
        done = harness.tool(shared_broker, "topics", *arguments,
                            "--if-exists")
        assert done.stdout == b""
        done = harness.tool(shared_broker, "topics", *arguments,
                            "--if-exists", "--output", "json")
        assert json_of(done) == {"topics": []}

    def test_some_refused(self, shared_broker, name):
        """One of two topics has as many already."""
        harness.create_topic(shared_broker, name + ".a", partitions=1)
        harness.create_topic(shared_broker, name + ".b", partitions=2)
        done = harness.tool(shared_broker, "topics", "--alter", "--topic",
                            name + "\\.[ab]", "--partitions", 2, "--output",
                            "json", check=False)
        assert done.returncode == 1 and b"INVALID_PARTITIONS" in done.stderr
        told = {t["topic"]: t["altered"] for t in json_of(done)["topics"]}
        assert told == {name + ".a": True, name + ".b": False}
        harness.wait_topic(shared_broker, name + ".a", partitions=2)


class TestDelete:
    def listed(self, broker):
        return text_of(harness.tool(broker, "topics", "--list")).split()

    def test_deleted(self, shared_broker, name):
        for n in range(3):
            harness.create_topic(shared_broker, f"{name}.{n}")
        done = harness.tool(shared_broker, "topics", "--delete", "--topic",
                            name + "\\.[01]")
        assert done.stdout == b""
        harness.wait_until(
            lambda: [t for t in self.listed(shared_broker)
                     if t.startswith(name + ".")] == [name + ".2"],
            what="two topics are gone")
        done = harness.tool(shared_broker, "topics", "--delete", "--topic",
                            name + ".2", "--output", "json")
        assert json_of(done) == {
            "topics": [{"topic": name + ".2", "deleted": True}]}

    def test_not_there(self, shared_broker, name):
        assert name in fails(shared_broker, "topics", "--delete", "--topic",
                             name)
        harness.tool(shared_broker, "topics", "--delete", "--topic", name,
                     "--if-exists")

    def test_refused_by_the_broker(self, make_broker, name):
        broker = make_broker(delete_topic_enable="false").start()
        harness.create_topic(broker, name)
        assert "delete.topic.enable" in fails(
            broker, "topics", "--delete", "--topic", name)
        assert name in self.listed(broker)


def test_describe_by_id(shared_broker, name):
    harness.create_topic(shared_broker, name)
    found = json_of(harness.tool(shared_broker, "topics", "--describe",
                                 "--topic", name, "--output", "json"))
    topic_id = found["topics"][0]["topicId"]
    text = text_of(harness.tool(shared_broker, "topics", "--describe",
                                "--topic-id", topic_id))
    assert text.startswith(f"Topic: {name}\tTopicId: {topic_id}\t")
    assert "A" * 21 in fails(shared_broker, "topics", "--describe",
                             "--topic-id", "A" * 21 + "Q")


@pytest.mark.slow
def test_a_silent_broker(broker, tmp_path):
    """Whoever waits is told for what, and what to do in the end."""
    config = tmp_path / "client.properties"
    config.write_text("request.timeout.ms=7000\n"
                      "default.api.timeout.ms=7000\n")
    harness.suspend(broker.process)
    try:
        err = fails(broker, "topics", "--list", "--command-config", config)
    finally:
        broker.process.send_signal(signal.SIGCONT)
    assert "no answer yet, after 5 s" in err
    assert "no answer in time" in err


# --- get-offsets -------------------------------------------------------------

class TestGetOffsets:
    @pytest.fixture(scope="class")
    def topic(self, shared_broker):
        name = f"offsets-{next(_names)}"
        harness.create_topic(shared_broker, name, partitions=12)
        for partition, count in ((0, 3), (2, 5), (10, 7)):
            with wire.Client(shared_broker.address) as client:
                for n in range(count):
                    part = wire.produce(
                        client, name,
                        wire.batch([b"x"], timestamp=1000 + 10 * n),
                        partition=partition)
                    assert part["ErrorCode"] == 0
        return name

    def offsets(self, broker, topic, *arguments):
        out = text_of(harness.tool(broker, "get-offsets", *arguments))
        rows = [row.rsplit(":", 2) for row in out.splitlines()]
        assert all(row[0] == topic for row in rows)
        return {int(row[1]): int(row[2]) for row in rows}

    def test_latest(self, shared_broker, topic):
        found = self.offsets(shared_broker, topic, "--topic", topic)
        assert len(found) == 12
        assert (found[0], found[1], found[2], found[10]) == (3, 0, 5, 7)
        # in the order of the names: 0, 1, 10, 11, 2
        assert list(found)[:5] == [0, 1, 10, 11, 2]

    @pytest.mark.parametrize("pattern,partitions", (
        ("{}:2", {2}), ("{}:0-3", {0, 1, 2}), ("{}:10-", {10, 11}),
        ("{}:-2", {0, 1}), ("{}:2,{}:4", {2, 4}), ("{}", set(range(12))),
    ))
    def test_patterns(self, shared_broker, topic, pattern, partitions):
        found = self.offsets(shared_broker, topic, "--topic-partitions",
                             pattern.replace("{}", topic))
        assert set(found) == partitions

    def test_partitions(self, shared_broker, topic):
        found = self.offsets(shared_broker, topic, "--topic", topic,
                             "--partitions", "0,10")
        assert found == {0: 3, 10: 7}

    @pytest.mark.parametrize("time,offset", (
        ("latest", 5), ("-1", 5), ("earliest", 0), ("-2", 0),
        ("max-timestamp", 4), ("-3", 4), ("earliest-local", 0), ("-4", 0),
        ("1015", 2), ("0", 0),
    ))
    def test_times(self, shared_broker, topic, time, offset):
        found = self.offsets(shared_broker, topic, "--topic-partitions",
                             f"{topic}:2", "--time", time)
        assert found == {2: offset}

    @pytest.mark.parametrize("time", ("5000", "latest-tiered", "-5"))
    def test_there_is_none(self, shared_broker, topic, time):
        arguments = ("--topic-partitions", f"{topic}:2", "--time", time)
        assert self.offsets(shared_broker, topic, *arguments) == {}
        found = json_of(harness.tool(shared_broker, "get-offsets", *arguments,
                                     "--output", "json"))
        assert found == {"offsets": [
            {"topic": topic, "partition": 2, "offset": None}]}

    def test_json(self, shared_broker, topic):
        found = json_of(harness.tool(
            shared_broker, "get-offsets", "--topic-partitions", f"{topic}:2",
            "--time", "max-timestamp", "--output", "json"))["offsets"]
        assert len(found) == 1
        assert found[0]["offset"] == 4 and found[0]["timestamp"] == 1040

    @pytest.mark.parametrize("arguments,word", (
        (("--topic", "not-there"), "no partition matches"),
        (("--time", "noon"), "--time"),
        (("--partitions", "1,b"), "--partitions"),
        (("--topic-partitions", "a:b"), "no range"),
        (("--topic-partitions", "a", "--topic", "a"), "does not go"),
        (("--topic", "("), "("),
    ))
    def test_wrong(self, shared_broker, arguments, word):
        assert word in fails(shared_broker, "get-offsets", *arguments)

    def test_old_name_of_the_option(self, shared_broker, topic):
        done = harness.run(harness.TOOL, "get-offsets", "--broker-list",
                           shared_broker.address, "--topic", topic)
        assert len(done.stdout.splitlines()) == 12


# --- delete-records ----------------------------------------------------------

class TestDeleteRecords:
    def delete(self, broker, folder, offsets, *more, **how):
        path = folder / "offsets.json"
        path.write_text(offsets if isinstance(offsets, str) else json.dumps(
            {"partitions": [{"topic": t, "partition": p, "offset": o}
                            for t, p, o in offsets], "version": 1}))
        return harness.tool(broker, "delete-records", "--offset-json-file",
                            path, *more, **how)

    def first(self, broker, topic, partition=0):
        with wire.Client(broker.address) as client:
            return wire.list_offset(client, topic, -2, partition)["Offset"]

    def test_deleted(self, shared_broker, tmp_path, name):
        harness.create_topic(shared_broker, name, partitions=2)
        fill(shared_broker, name, 10, 0)
        fill(shared_broker, name, 20, 1)
        done = self.delete(shared_broker, tmp_path,
                           [(name, 1, -1), (name, 0, 4)])
        assert text_of(done) == (
            "Executing records delete operation\n"
            "Records delete operation completed:\n"
            f"partition: {name}-1\tlow_watermark: 20\n"
            f"partition: {name}-0\tlow_watermark: 4\n")
        assert self.first(shared_broker, name, 0) == 4
        assert self.first(shared_broker, name, 1) == 20

    def test_some_fail(self, shared_broker, tmp_path, name):
        """Told by the line, and no failure of the command: as Kafka's."""
        harness.create_topic(shared_broker, name)
        fill(shared_broker, name, 10)
        done = self.delete(shared_broker, tmp_path, [
            (name, 0, 11), (name, 5, 1), ("not-there", 0, 1)])
        rows = text_of(done).splitlines()[2:]
        assert rows[0].startswith(
            f"partition: {name}-0\terror: OFFSET_OUT_OF_RANGE")
        assert all("\terror: UNKNOWN_TOPIC_OR_PARTITION" in row
                   for row in rows[1:]) and len(rows) == 3
        found = json_of(self.delete(shared_broker, tmp_path, [
            (name, 0, 11), (name, 0 + 5, 1)], "--output", "json"))
        assert "OFFSET_OUT_OF_RANGE" in found["partitions"][0]["error"]
        assert self.first(shared_broker, name) == 0

    @pytest.mark.parametrize("text,word", (
        ("", "JSON"), ("{", "JSON"), ("{}", "partitions"),
        ('{"partitions":[{"topic":"T","partition":0,"offset":2},'
         '{"topic":"T","partition":0,"offset":3}]}', "more than once"),
        ('{"partitions":[{"topic":"T","partition":0,"offset":2},'
         '{"topic":"T","partition":0}]}', "entry 2"),
        ('{"version":2,"partitions":[{"topic":"T","partition":0,'
         '"offset":2}]}', "version"),
    ))
    def test_wrong_file(self, shared_broker, tmp_path, name, text, word):
        """Nothing is deleted, not even what is right in it."""
        harness.create_topic(shared_broker, name)
        fill(shared_broker, name, 5)
        done = self.delete(shared_broker, tmp_path, text.replace("T", name),
                           check=False)
        assert done.returncode == 1 and done.stdout == b""
        assert word in done.stderr.decode()
        assert "nothing was deleted" in done.stderr.decode()
        assert self.first(shared_broker, name) == 0

    def test_no_file(self, shared_broker):
        assert "/nowhere" in fails(shared_broker, "delete-records",
                                   "--offset-json-file", "/nowhere")
        assert "--offset-json-file" in fails(shared_broker, "delete-records")


# --- log-dirs ----------------------------------------------------------------

class TestLogDirs:
    def describe(self, broker, *arguments):
        return harness.tool(broker, "log-dirs", "--describe", *arguments)

    def test_described(self, shared_broker, name):
        harness.create_topic(shared_broker, name, partitions=2)
        fill(shared_broker, name, 10, 1)
        rows = text_of(self.describe(shared_broker, "--topic-list",
                                     f"{name},other")).splitlines()
        assert rows[:2] == [
            "Querying brokers for log directories information",
            "Received log directory information from brokers 0"]
        found = json.loads(rows[2])
        assert found["version"] == 1 and len(found["brokers"]) == 1
        broker = found["brokers"][0]
        assert broker["broker"] == 0
        [folder] = broker["logDirs"]
        assert folder["logDir"] == str(shared_broker.data)
        assert folder["error"] is None
        parts = {p["partition"]: p for p in folder["partitions"]}
        size = sum(f.stat().st_size
                   for f in shared_broker.log_files(name, 1))
        assert size > 0 and set(parts) == {f"{name}-0", f"{name}-1"}
        assert parts[f"{name}-1"] == {"partition": f"{name}-1", "size": size,
                                      "offsetLag": 0, "isFuture": False}

    def test_json(self, shared_broker):
        found = json_of(self.describe(shared_broker, "--output", "json"))
        folder = found["brokers"][0]["logDirs"][0]
        assert 0 < folder["usableBytes"] <= folder["totalBytes"]

    def test_wrong(self, shared_broker):
        err = fails(shared_broker, "log-dirs", "--describe", "--broker-list",
                    "0,7")
        assert "not there: 7" in err
        assert "--describe" in fails(shared_broker, "log-dirs")
        assert "no broker id" in fails(shared_broker, "log-dirs",
                                       "--describe", "--broker-list", "x")


def test_an_api_that_the_broker_lacks(shared_broker):
    """Said by its name; the exit status tells."""
    lacking = FakeBroker(shared_broker, 7)
    with lacking.server:
        assert "DescribeLogDirs" in fails(lacking, "log-dirs", "--describe")


def test_no_terminal_obeys_an_error(shared_broker):
    said = fails(shared_broker, "topics", "--describe", "--topic-id",
                 "\x1b[31m" + "A" * 16 + "Q")
    assert "?[31m" in said and "\x1b" not in said


# --- produce -----------------------------------------------------------------

def test_produce_interrupted(shared_broker, name):
    """Whoever feeds it a file or pipe is told that its end was not reached."""
    harness.create_topic(shared_broker, name)
    with subprocess.Popen(
            [harness.CONSOLE, "produce", "--topic", name, "--sync",
             "--bootstrap-server", shared_broker.address],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()

        def both():
            with wire.Client(shared_broker.address) as client:
                return wire.list_offset(client, name, -1)["Offset"] == 2
        harness.wait_until(both, what="two records were sent")
        process.send_signal(signal.SIGTERM)
        assert process.wait(harness.PATIENCE) == 1
        assert b"what comes after line 2 was not sent" in (
            process.stderr.read())


# --- perf --------------------------------------------------------------------

class TestPerf:
    def produce(self, broker, topic, *arguments, **how):
        return harness.run(
            harness.CONSOLE, "perf", "produce", "--topic", topic, *arguments,
            "--producer-props", f"bootstrap.servers={broker.address}",
            "acks=all", **how)

    def consume(self, broker, topic, *arguments, **how):
        return harness.run(
            harness.CONSOLE, "perf", "consume", "--bootstrap-server",
            broker.address, "--topic", topic, *arguments, **how)

    def values(self, broker, topic):
        with wire.Client(broker.address) as client:
            return [r[3] for r in wire.read_all(client, topic)]

    def test_random(self, shared_broker, name):
        harness.create_topic(shared_broker, name)
        out = text_of(self.produce(shared_broker, name, "--num-records", 2000,
                                   "--record-size", 100, "--throughput", -1))
        assert TOTAL.search(out)[1] == "2000"
        values = self.values(shared_broker, name)
        assert len(values) == 2000 and len(set(values)) == 2000
        assert all(re.fullmatch(b"[A-Z]{100}", v) for v in values)

    def test_monotonic(self, shared_broker, name):
        harness.create_topic(shared_broker, name)
        self.produce(shared_broker, name, "--num-records", 50,
                     "--payload-monotonic", "--throughput", 1000)
        assert self.values(shared_broker, name) == [
            b"%d" % n for n in range(50)]

    def test_from_a_file(self, shared_broker, tmp_path, name):
        harness.create_topic(shared_broker, name)
        path = tmp_path / "payload"
        path.write_bytes(b"one;two;;three;;")
        out = text_of(self.produce(
            shared_broker, name, "--num-records", 300, "--payload-file", path,
            "--payload-delimiter", ";", "--throughput", -1))
        assert out.startswith(f"Reading payloads from: {path}\n"
                              "Number of messages read: 4\n")
        assert set(self.values(shared_broker, name)) == {
            b"one", b"two", b"", b"three"}

    def test_json_and_metrics(self, shared_broker, name):
        harness.create_topic(shared_broker, name)
        rows = self.produce(
            shared_broker, name, "--num-records", 100, "--record-size", 10,
            "--throughput", -1, "--output", "json",
            "--print-metrics").stdout.splitlines()
        total, metrics = map(json.loads, rows)
        assert total["total"] and total["records"] == 100
        assert metrics["metrics"]["txmsgs"] == 100

    def test_refused_by_the_broker(self, shared_broker, name):
        """What was not stored is not counted, and the exit status tells."""
        harness.create_topic(shared_broker, name, max_message_bytes=1000)
        done = self.produce(shared_broker, name, "--num-records", 3,
                            "--record-size", 5000, "--throughput", -1,
                            check=False)
        assert done.returncode == 1
        assert TOTAL.search(text_of(done).replace("NaN", "0"))[1] == "0"
        assert b"max.message.bytes" in done.stderr

    def test_interrupted(self, shared_broker, name):
        harness.create_topic(shared_broker, name)
        with subprocess.Popen(
                [harness.CONSOLE, "perf", "produce", "--topic", name,
                 "--num-records", "1000000", "--record-size", "10",
                 "--throughput", "20", "--bootstrap-server",
                 shared_broker.address],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            def some():
                with wire.Client(shared_broker.address) as client:
                    return wire.list_offset(client, name, -1)["Offset"] > 3
            harness.wait_until(some, what="some records were sent")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 1 and b"interrupted" in err
        told = int(TOTAL.search(out.decode())[1])
        assert told == len(self.values(shared_broker, name))

    def test_consume(self, shared_broker, name):
        harness.create_topic(shared_broker, name, partitions=3)
        for partition in range(3):
            fill(shared_broker, name, 500, partition)
        header, row = text_of(self.consume(
            shared_broker, name, "--messages", 1500)).splitlines()
        assert header == (
            "start.time, end.time, data.consumed.in.MB, MB.sec, "
            "data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, "
            "fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec")
        columns = row.split(", ")
        assert len(columns) == 10 and columns[4] == "1500"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}",
                            columns[0])
        found = json_of(self.consume(shared_broker, name, "--messages", 100,
                                     "--output", "json"))
        assert found["consumedMessages"] == 100

    def test_consume_too_few(self, shared_broker, name):
        harness.create_topic(shared_broker, name)
        fill(shared_broker, name, 10)
        rows = text_of(self.consume(
            shared_broker, name, "--messages", 20, "--timeout", 3000,
            "--hide-header", "--date-format", "'t'")).splitlines()
        assert rows[0].startswith("WARNING: Exiting before consuming the "
                                  "expected number of messages: timeout "
                                  "(3000 ms) exceeded.")
        assert rows[1].split(", ")[0] == "t"
        assert rows[1].split(", ")[4] == "10"

    def test_consume_not_there(self, shared_broker):
        done = self.consume(shared_broker, "not-there", "--messages", 1,
                            check=False)
        assert done.returncode == 1
        assert b"UNKNOWN_TOPIC_OR_PARTITION" in done.stderr
