# SPDX-License-Identifier: Apache-2.0
"""Three of ours are restarted one after another under an idempotent producer
and a group of two, all of one client: they see no error, nothing is lost,
nothing is there twice.  librdkafka has its turn in
tests/functional/test_rolling.py."""

import collections
import json

import pytest

import harness
import members
import real_kafka
from test_rolling import PARTITIONS, TOPIC, read, roll, start_three

SENT = 1000         # at the least
ENDED = 0, 143      # Java's, when they are told to


class Producer(members.Built):
    """Of tests/interop/clients; beside E, see members.py, it tells

    a TIME PARTITION OFFSET VALUE   that is acknowledged
    S TIME COUNT                    so many were sent, at the end
    """

    def command(self, folder, address, topic):
        return [*self.program, "produce", address, topic]

    def read(self, line):
        words = line.split()
        if words and words[0] == "a":
            yield ("a", int(words[1]), int(words[2]), int(words[3]),
                   words[4].encode())
        elif words and words[0] == "S":
            yield "S", int(words[1]), int(words[2])
        else:
            yield from super().read(line)


class JavaProducer(members.Kind):
    def command(self, folder, address, topic):
        settings = folder / "producer.properties"
        settings.write_text("enable.idempotence=true\nretries=2147483647\n")
        return real_kafka.java(
            folder, real_kafka.MAINS["kafka-verifiable-producer"],
            "--bootstrap-server", address, "--topic", topic, "--acks", -1,
            "--throughput", 300, "--producer.config", settings, heap="256m")

    def read(self, line):
        event = json.loads(line) if line.startswith("{") else {"name": ""}
        when = event.get("timestamp", 0)
        if event["name"] == "producer_send_success":
            yield ("a", when, event["partition"], event["offset"],
                   event["value"].encode())
        elif event["name"] == "producer_send_error":
            yield "E", when, event["message"]
        elif event["name"] == "tool_data":
            yield "S", when, event["sent"]


CLIENTS = {
    "java": (JavaProducer(), members.Verifiable("RangeAssignor", 60000)),
    "franz-go": (Producer("franz-go"), members.Built("franz-go")),
}


def told(process, letter):
    """What it told by this letter, without the time."""
    return [tuple(more) for kind, _, *more in list(process.events)
            if kind == letter]


def judge(producer, held):
    """What is wrong with what it told, of {partition: [(offset, value)]}."""
    acknowledged = collections.Counter(told(producer, "a"))
    there = {(p, *record) for p, records in held.items() for record in records}
    values = collections.Counter(value for _, _, value in there)
    [[sent]] = told(producer, "S")
    wrong = {
        "acknowledged, but not there": acknowledged.keys() - there,
        "there, but not acknowledged": there - acknowledged.keys(),
        "acknowledged twice": {a for a, n in acknowledged.items() if n > 1},
        "there twice": {v for v, n in values.items() if n > 1}}
    wrong = [f"{len(these)} {what}: {sorted(these)[:10]}"
             for what, these in wrong.items() if these]
    if sent != len(values):
        wrong.append(f"{sent} were sent, {len(values)} are there")
    for partition, records in held.items():
        if [offset for offset, _ in records] != list(range(len(records))):
            wrong.append(f"partition {partition} has gaps")
    return wrong


def stop(process):
    process.stop()
    assert process.ended() in ENDED, process.log()


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_rolling_restart(make_broker, program, tmp_path, client):
    for kind in CLIENTS[client]:
        kind.build(program)
    brokers = start_three(make_broker)
    where = tmp_path, ",".join(b.address for b in brokers), TOPIC
    produces, consumes = CLIENTS[client]
    producer = members.Member("that-produces", produces, *where)
    group = [members.Member(n, consumes, *where, "g") for n in range(2)]
    try:
        harness.wait_until(lambda: all(told(m, "r") for m in group), 180,
                           "both read")
        roll(brokers)
        counts = [len(told(m, "r")) for m in group]
        harness.wait_until(
            lambda: all(len(told(m, "r")) > n for m, n in zip(group, counts)),
            what="both still read")
        stop(producer)
        held = {p: [(r[0], r[3]) for r in read(brokers, p)]
                for p in range(PARTITIONS)}
        ends = {p: len(records) for p, records in held.items()}
        harness.wait_until(
            lambda: {(p, n - 1) for p, n in ends.items()} <=
            {record for m in group for record in told(m, "r")},
            what="the group has come to the ends")
        for member in group:
            stop(member)
    finally:
        for process in (producer, *group):
            process.process.kill()
            process.process.wait()
    assert sum(ends.values()) > SENT
    wrong = judge(producer, held) + members.judge(group, ends)
    wrong += [f"{each.name} saw {error}" for each in (producer, *group)
              for error, in told(each, "E")]
    assert not wrong, "\n".join(wrong[:30])


# --- the judge itself --------------------------------------------------------

class Told:
    """A producer of which the lines are known."""

    def __init__(self, *lines):
        self.events = [e for line in lines for e in Producer("").read(line)]


def test_judge():
    all_well = "a 1 0 0 0", "a 1 1 0 1", "a 2 0 1 2", "S 3 3"
    held = {0: [(0, b"0"), (1, b"2")], 1: [(0, b"1")]}
    assert judge(Told(*all_well), held) == []

    def found(lines=all_well, **other):
        return " ".join(judge(Told(*lines), {
            p: other.get(f"p{p}", records) for p, records in held.items()}))
    assert "acknowledged twice: [(1, 0, b'1')]" in found(
        (*all_well, "a 3 1 0 1"))
    assert "but not there: [(0, 1, b'2')]" in found(p0=[(0, b"0")])
    assert "there, but not acknowledged: [(0, 1, b'2')]" in found(
        (*all_well[:2], "S 3 3"))
    assert "there twice: [b'1']" in found(p1=[(0, b"1"), (1, b"1")])
    assert "4 were sent, 3 are there" in found((*all_well[:3], "S 3 4"))
    assert "partition 1 has gaps" in found(p1=[(1, b"1")])
