# SPDX-License-Identifier: Apache-2.0
"""Groups of real clients: confluent-kafka (librdkafka) and kafka-python
subscribe, rebalance, come back as static members, and rebalance bit by bit."""

import itertools
import threading
import uuid

import confluent_kafka
import confluent_kafka.admin
import kafka
import kafka.admin
import pytest

import harness

PARTITIONS = 4
_numbers = itertools.count()


@pytest.fixture(scope="module")
def group_broker(zookeeper, tmp_path_factory):
    from conftest import Factory
    factory = Factory(zookeeper, tmp_path_factory.mktemp("clients"))
    yield factory(**{"group.initial.rebalance.delay.ms": 100,
                     "offsets.topic.num.partitions": 5}).start()
    factory.end()


@pytest.fixture
def full_topic(group_broker):
    """A topic of several partitions with a record in each, "0" to "3"."""
    name = f"topic-{next(_numbers)}"
    harness.create_topic(group_broker, name, PARTITIONS)
    harness.wait_topic(group_broker, name, PARTITIONS)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": group_broker.address})
    for p in range(PARTITIONS):
        producer.produce(name, b"%d" % p, partition=p)
    assert producer.flush(60) == 0
    return name


class Client:
    """A consumer that polls on a thread of its own (a rebalance waits for all
    of a group) and notes what it reads, where, and what it has."""

    def __init__(self):
        self.values, self.places = [], []
        self.has, self.error = set(), None
        self.polls = 0
        self.ending, self.committing = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.ending.is_set():
                self.poll()
                if self.committing.is_set():
                    self.commit()
                    self.committing.clear()
                self.has = self.assignment()
                self.polls += 1
        except Exception as e:  # told by until()
            self.error = e

    def close(self):
        if self.thread is None:
            return
        self.ending.set()
        self.thread.join(60)
        assert not self.thread.is_alive(), "it sticks"
        self.thread = None
        self.end()


class Confluent(Client):
    def __init__(self, broker, topic, group, **more):
        self.given, self.lost = [], []
        self.cooperative = "cooperative" in more.get(
            "partition.assignment.strategy", "")
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": broker.address, "group.id": group,
            "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 300, "enable.auto.commit": False,
            **more})
        self.consumer.subscribe([topic], on_assign=self._assigned,
                                on_revoke=self._revoked)
        super().__init__()

    def _assigned(self, consumer, parts):
        self.given.append({p.partition for p in parts})
        if self.cooperative:
            consumer.incremental_assign(parts)
        else:
            consumer.assign(parts)

    def _revoked(self, consumer, parts):
        self.lost.append({p.partition for p in parts})
        if self.cooperative:
            consumer.incremental_unassign(parts)
        else:
            consumer.unassign()

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is not None:
            assert message.error() is None, message.error()
            self.values.append(message.value())
            self.places.append((message.partition(), message.offset()))

    def assignment(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def end(self):
        self.consumer.close()


class Python(Client):
    def __init__(self, broker, topic, group, **more):
        self.consumer = kafka.KafkaConsumer(topic, **{
            "bootstrap_servers": broker.address, "group_id": group,
            "auto_offset_reset": "earliest", "enable_auto_commit": False,
            "session_timeout_ms": 6000, "heartbeat_interval_ms": 300, **more})
        super().__init__()

    def poll(self):
        for rows in self.consumer.poll(50).values():
            self.values += [r.value for r in rows]
            self.places += [(r.partition, r.offset) for r in rows]

    def assignment(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self):
        self.consumer.commit()

    def end(self):
        self.consumer.close(autocommit=False)


KINDS = pytest.mark.parametrize("kind", (Confluent, Python))


@pytest.fixture
def group():
    return f"clients-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def make(group_broker, full_topic, group):
    made = []

    def new(kind, **more):
        made.append(kind(group_broker, full_topic, group, **more))
        return made[-1]
    yield new
    for client in made:
        client.close()


def until(condition, *clients):
    def look():
        for c in clients:
            assert c.error is None, c.error
        return condition()
    harness.wait_until(look, what="the clients")


def shared_out(*clients, partitions=PARTITIONS):
    """Each has something, and all is had once."""
    has = [c.has for c in clients]
    return (all(has) and sum(map(len, has)) == partitions and
            set().union(*has) == set(range(partitions)))


@KINDS
def test_alone(make, kind):
    a = make(kind)
    until(lambda: len(a.values) == PARTITIONS, a)
    assert sorted(a.values) == [b"%d" % p for p in range(PARTITIONS)]


@KINDS
def test_commit_and_come_back(make, kind):
    a = make(kind)
    until(lambda: len(a.values) == PARTITIONS, a)
    a.committing.set()
    until(lambda: not a.committing.is_set(), a)
    a.close()
    b = make(kind)
    until(lambda: shared_out(b), b)
    polls = b.polls
    until(lambda: b.polls > polls + 20, b)
    assert b.values == []


@KINDS
def test_rebalance(make, kind):
    a = make(kind)
    until(lambda: shared_out(a), a)
    b = make(kind)
    until(lambda: shared_out(a, b), a, b)
    c = make(kind)
    until(lambda: shared_out(a, b, c), a, b, c)
    b.close()
    until(lambda: shared_out(a, c), a, c)
    c.close()
    until(lambda: shared_out(a), a)


def test_two_kinds_in_one_group(make):
    a = make(Confluent, **{"partition.assignment.strategy": "range"})
    until(lambda: shared_out(a), a)
    b = make(Python)
    until(lambda: shared_out(a, b), a, b)


def test_static(make):
    settings = [{"group.instance.id": f"i{n}", "session.timeout.ms": 60000}
                for n in range(2)]
    a, b = (make(Confluent, **s) for s in settings)
    until(lambda: shared_out(a, b), a, b)
    had, given, lost = b.has, len(a.given), len(a.lost)
    # librdkafka does not leave a group as a static member
    b.close()
    again = make(Confluent, **settings[1])
    until(lambda: again.has, a, again)
    assert again.has == had
    polls = a.polls
    until(lambda: a.polls > polls + 20, a)
    assert (len(a.given), len(a.lost)) == (given, lost)


def test_static_twice(make):
    """The older of two with one name is fenced."""
    a = make(Confluent, **{"group.instance.id": "same"})
    until(lambda: shared_out(a), a)
    b = make(Confluent, **{"group.instance.id": "same"})
    until(lambda: shared_out(b), b)
    harness.wait_until(lambda: a.error, what="the end of the older one")
    assert "FENCED" in str(a.error).upper()


def test_cooperative(make):
    how = {"partition.assignment.strategy": "cooperative-sticky"}
    a = make(Confluent, **how)
    until(lambda: shared_out(a), a)
    b = make(Confluent, **how)
    until(lambda: shared_out(a, b), a, b)
    # What it keeps it never loses.
    assert not set().union(*a.lost) & a.has
    assert len(a.has) == len(b.has) == PARTITIONS // 2


def test_administrators(make, group_broker, group):
    a = make(Python, client_id="watched")
    until(lambda: shared_out(a), a)
    admin = kafka.admin.KafkaAdminClient(
        bootstrap_servers=group_broker.address)
    assert (group, "consumer") in admin.list_consumer_groups()
    found, = admin.describe_consumer_groups([group])
    assert (found.group, found.state, found.protocol) == (
        group, "Stable", "range")
    member, = found.members
    assert (member.client_id, member.client_host) == ("watched", "/127.0.0.1")
    (topic, parts), = member.member_assignment.assignment
    assert sorted(parts) == list(range(PARTITIONS))
    admin.close()
    listed = confluent_kafka.admin.AdminClient(
        {"bootstrap.servers": group_broker.address}).list_groups(group, 60)
    assert [(g.id, g.state, len(g.members)) for g in listed] == [
        (group, "Stable", 1)]
