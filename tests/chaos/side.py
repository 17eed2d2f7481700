# SPDX-License-Identifier: Apache-2.0
"""Clients that make and delete topics and records beside the load, and what
must be true of those."""

import contextlib
import threading

import harness
import wire
from clients import Client
from ledger import Ledger, Reading
from readers import bounds, read_raw

ALREADY_EXISTS, UNKNOWN_TOPIC = 36, 3
PARTITIONS = 2


class Moments:
    """Who wants to strike while something is under way waits here for it."""

    def __init__(self):
        self.condition = threading.Condition()
        self.counts = {}

    def tell(self, what):
        with self.condition:
            self.counts[what] = self.counts.get(what, 0) + 1
            self.condition.notify_all()

    def wait(self, what, seconds=harness.PATIENCE):
        with self.condition:
            now = self.counts.get(what, 0)
            assert self.condition.wait_for(
                lambda: self.counts.get(what, 0) > now, seconds), (
                    f"no {what} within {seconds} s")


class Topic:
    """One name.  state: there, gone (both acknowledged), or unknown while a
    request has no answer; a name is used again and again."""

    def __init__(self, name):
        self.name, self.state = name, "gone"
        self.life = 0
        self.ledgers = []

    def begin(self):
        self.life += 1
        self.ledgers = [Ledger(f"{self.name}-life{self.life}", self.name, p)
                        for p in range(PARTITIONS)]


class TopicMaker(Client):
    """Creates, writes a little, deletes.  The lock is held from a request to
    what its answer changes: who has it sees states that are settled, or of a
    request that the kill cut short."""

    patience = harness.PATIENCE
    names, most_there = 12, 6
    factor = 1  # replicas of each
    strict = True  # who is asked knows what there is

    def __init__(self, address, moments):
        super().__init__("topics", [])
        self.address, self.moments = address, moments
        self.topics = [Topic(f"side-{n}") for n in range(self.names)]
        self.lock = threading.Lock()
        self.made = self.deleted = 0

    @property
    def acknowledged(self):
        return self.made + self.deleted

    def _run(self):
        turn = 0
        while not self.stopping.is_set():
            try:
                with self._connected() as client:
                    while not self.stopping.wait(self.pause):
                        with self.lock:
                            if not self.held:
                                self._step(client, self.topics[
                                    turn % self.names])
                        turn += 1
            except (OSError, wire.Closed):
                self.breaks += 1
                self.stopping.wait(0.02)

    def _connected(self):
        """To who creates and deletes."""
        return wire.Client(self.address, 30)

    def _leader(self, client, topic, partition):
        """A client of who leads that partition, for a while."""
        return contextlib.nullcontext(client)

    def _step(self, client, topic):
        there = [t for t in self.topics if t.state == "there"]
        if topic.state == "unknown" or (topic.state == "there" and
                                        len(there) >= self.most_there):
            self._delete(client, topic)
        elif topic.state == "gone" and len(there) < self.most_there:
            self._create(client, topic)
        for t in there[:2]:
            for ledger in t.ledgers:
                self._write(client, ledger)

    def _create(self, client, topic):
        topic.begin()
        topic.state = "unknown"
        correlation = client.send(
            "CreateTopics", 5, timeoutMs=20000, Topics=[{
                "Name": topic.name, "NumPartitions": PARTITIONS,
                "ReplicationFactor": self.factor}])
        self.moments.tell("creation")
        error = client.receive(correlation)["Topics"][0]["ErrorCode"]
        if error == 0:
            topic.state = "there"
            self.made += 1
        elif error == ALREADY_EXISTS:
            topic.state = "gone"  # its deletion is acknowledged, not complete
        else:
            self._refused(error)

    def _delete(self, client, topic):
        was, topic.state = topic.state, "unknown"
        correlation = client.send("DeleteTopics", 5, TimeoutMs=20000,
                                  TopicNames=[topic.name])
        self.moments.tell("deletion")
        error = client.receive(correlation)["Responses"][0]["ErrorCode"]
        if error == UNKNOWN_TOPIC and was == "there":
            self._missing(topic)
        if error == 0 or (error == UNKNOWN_TOPIC and self.strict):
            topic.state = "gone"
            topic.ledgers = []
            self.deleted += error == 0
        else:
            self._refused(error)

    def _missing(self, topic):
        raise AssertionError(f"{topic.name} was made, now nobody knows it")

    def _refused(self, error):
        self.errors[error] += 1

    def _write(self, client, ledger):
        numbers = [ledger.take() for _ in range(3)]
        with self._leader(client, ledger.topic, ledger.partition) as leader:
            part = wire.produce(leader, ledger.topic, wire.batch(
                [ledger.value(n) for n in numbers]), ledger.partition)
        if part["ErrorCode"]:
            self.errors[part["ErrorCode"]] += 1
            return
        for i, n in enumerate(numbers):
            ledger.acknowledge(n, part["BaseOffset"] + i)

    # --- the check ---

    def wrong(self, *data):
        """data: the log directories.  While the brokers run."""
        with self.lock:
            with self._connected() as client:
                return [w for t in self.topics
                        for w in self._wrong_of(client, t, data)]

    def _wrong_of(self, client, topic, data):
        if topic.state == "there":
            try:
                harness.wait_until(lambda: led(client, topic.name) == [
                    0] * PARTITIONS, self.patience, "leaders")
            except AssertionError:
                yield (f"topic {topic.name} was made, it is told as "
                       f"{led(client, topic.name)}")
                return
            for p in range(PARTITIONS):
                yield from self._read_wrong(client, topic, p)
        elif topic.state == "gone":
            try:
                harness.wait_until(lambda: not self._rest(
                    client, topic, data), self.patience, "gone")
            except AssertionError:
                yield (f"topic {topic.name} was deleted, there is "
                       f"{self._rest(client, topic, data)}")

    def _read_wrong(self, client, topic, partition):
        with self._leader(client, topic.name, partition) as leader:
            start, _ = bounds(leader, topic.name, partition)
            wrong = read_raw(leader, Reading(topic.name, partition,
                                             topic.ledgers))[0]
        if start:
            wrong.append(f"{topic.name}/{partition} begins at {start}")
        return wrong

    def _rest(self, client, topic, data):
        """What there is of a deleted one."""
        told = led(client, topic.name)
        return ([f"partitions {told}"] if told is not None else []) + [
            str(f) for d in data for f in d.glob(f"{topic.name}-*")]


def led(client, name):
    """The partitions' errors, without a leader -1; None: no such topic"""
    topic = client.call("Metadata", 7, Topics=[{"Name": name}],
                        AllowAutoTopicCreation=False)["Topics"][0]
    if topic["ErrorCode"] == UNKNOWN_TOPIC:
        return None
    return [p["ErrorCode"] if p["LeaderId"] >= 0 else -1
            for p in topic["Partitions"]]


class Trimmer(Client):
    """DeleteRecords, always up to some records before the end."""

    def __init__(self, address, topic, moments):
        super().__init__("trimmer", [])
        self.address, self.topic, self.moments = address, topic, moments
        self.asked = self.low = 0
        self.done = 0
        self.fell_back = 0
        self.lock = threading.Lock()

    @property
    def acknowledged(self):
        return self.done

    def _run(self):
        while not self.stopping.is_set():
            try:
                with wire.Client(self.address, 30) as client:
                    while not self.stopping.wait(0.02):
                        with self.lock:
                            self._step(client)
            except (OSError, wire.Closed):
                self.breaks += 1
                self.stopping.wait(0.02)

    def _step(self, client):
        told = wire.list_offset(client, self.topic, -1)
        target = told["Offset"] - 1000
        if told["ErrorCode"] or target <= self.asked:
            return
        self.asked = target
        correlation = client.send(
            "DeleteRecords", 2, TimeoutMs=20000, Topics=[{
                "Name": self.topic, "Partitions": [
                    {"PartitionIndex": 0, "Offset": target}]}])
        self.moments.tell("trim")
        part = client.receive(correlation)["Topics"][0]["Partitions"][0]
        if part["ErrorCode"]:
            self.errors[part["ErrorCode"]] += 1
            return
        self.low = part["LowWatermark"]
        self.done += 1

    def wrong(self, ledgers):
        """From the log's start on everything is there; the start is nowhere
        that was not asked for.  As in Kafka, a kill may take a start back that
        no checkpoint has yet."""
        with self.lock, wire.Client(self.address) as client:
            start, _ = bounds(client, self.topic, 0)
            self.fell_back += start < self.low
            out = read_raw(client, Reading(self.topic, 0, ledgers, start))[0]
        if start > self.asked:
            out.append(f"{self.topic}/0 begins at {start}, records up to "
                       f"{self.asked} were to be deleted")
        return out


def retained_wrong(address, topic, ledgers, retention_bytes):
    """What is there begins at 0 or is still enough."""
    with wire.Client(address) as client:
        while True:
            start, _ = bounds(client, topic, 0)
            out, size = read_raw(client, Reading(topic, 0, ledgers, start))
            if bounds(client, topic, 0)[0] == start:
                break  # else segments went while they were read
    if start > 0 and size < retention_bytes:
        out.append(f"{topic}/0 begins at {start} and has {size} bytes of "
                   f"{retention_bytes} to be kept")
    return out
