# SPDX-License-Identifier: Apache-2.0
"""Three of ours are restarted one after another under Java's idempotent
producer and a group of its consumers: they see no error, nothing is lost,
nothing is there twice."""

import collections
import json
import signal
import subprocess
import threading

import pytest

import harness
import real_kafka
from test_rolling import PARTITIONS, TOPIC, read, roll, start_three


class Program:
    """One of Java's, which tells in lines of JSON what it does."""

    def __init__(self, folder, name, brokers, *arguments):
        folder.mkdir()
        self.name = name
        self.rows = []
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            real_kafka.java(folder, real_kafka.MAINS[name],
                            "--bootstrap-server",
                            ",".join(b.address for b in brokers), "--topic",
                            TOPIC, *arguments, heap="256m"),
            stdout=subprocess.PIPE, stderr=self.log)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for line in self.process.stdout:
            if line.startswith(b"{"):
                self.rows.append(json.loads(line))

    def named(self, name):
        return [r for r in list(self.rows) if r["name"] == name]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.thread.join()
            self.log.close()


def consumed(consumers):
    """(partition, offset) of what they read."""
    return [(part["partition"], n) for c in consumers
            for row in c.named("records_consumed")
            for part in row["partitions"]
            for n in range(part["minOffset"], part["maxOffset"] + 1)]


@pytest.mark.slow
def test_rolling_restart(make_broker, tmp_path):
    brokers = start_three(make_broker)
    settings = tmp_path / "producer.properties"
    settings.write_text("enable.idempotence=true\nretries=2147483647\n")
    programs = [
        Program(tmp_path / "producer", "kafka-verifiable-producer", brokers,
                "--acks", -1, "--throughput", 300, "--producer.config",
                settings)] + [
        Program(tmp_path / f"consumer-{n}", "kafka-verifiable-consumer",
                brokers, "--group-id", "g", "--reset-policy", "earliest",
                "--session-timeout", 10000) for n in range(2)]
    producer, *consumers = programs
    try:
        harness.wait_until(
            lambda: all(c.named("records_consumed") for c in consumers),
            180, what="both read")
        roll(brokers)
        counts = [len(c.named("records_consumed")) for c in consumers]
        harness.wait_until(
            lambda: all(len(c.named("records_consumed")) > n
                        for c, n in zip(consumers, counts)),
            what="both still read")
        producer.end()
        held = {(p, r[0]): r[3] for p in range(PARTITIONS)
                for r in read(brokers, p)}
        harness.wait_until(lambda: set(consumed(consumers)) == set(held),
                           what="the group has read all")
    finally:
        for program in programs:
            if program.process.returncode is None:
                program.end()
    assert not producer.named("producer_send_error")
    acknowledged = {(r["partition"], r["offset"]): r["value"].encode()
                    for r in producer.named("producer_send_success")}
    assert len(acknowledged) > 1000 and acknowledged == held
    [told] = producer.named("tool_data")
    assert told["sent"] == told["acked"] == len(held)
    assert max(collections.Counter(held.values()).values()) == 1
    for consumer in consumers:
        assert all(r["success"] for r in consumer.named("offsets_committed"))
