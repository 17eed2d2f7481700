# SPDX-License-Identifier: Apache-2.0
"""Three brokers are restarted one after another under load of librdkafka, told
to end or killed: no error reaches an application, nothing is lost, and what an
idempotent producer sent is there once.  The same with clients of Java and
Go is in tests/interop/test_rolling_clients.py."""

import threading

import confluent_kafka
import pytest

import harness
import wire
from test_replication import QUICK

TOPIC, PARTITIONS = "rolled", 3


class Producer:
    """Sends numbers all the time."""

    def __init__(self, brokers, name, **settings):
        self.name, self.delivered, self.errors = name, [], []
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": ",".join(b.address for b in brokers),
            "acks": "all", "linger.ms": 2, **settings})
        self.sent = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _done(self, error, message):
        if error is not None:
            self.errors.append(str(error))
        else:
            self.delivered.append(message.value())

    def value(self, number):
        return b"%s %d" % (self.name.encode(), number)

    def _run(self):
        while not self.stopping.is_set():
            try:
                self.producer.produce(TOPIC, self.value(self.sent),
                                      partition=self.sent % PARTITIONS,
                                      on_delivery=self._done)
                self.sent += 1
            except BufferError:     # as long as a broker is missing
                self.producer.poll(0.1)
            self.producer.poll(0.001)

    def end(self):
        self.stopping.set()
        self.thread.join()
        left = self.producer.flush(60)
        assert left == 0 and not self.errors, (left, self.errors[:10])
        assert sorted(self.delivered) == sorted(
            self.value(n) for n in range(self.sent))


class Consumer:
    """A member of a group, which reads all the time."""

    def __init__(self, brokers, group):
        self.values, self.errors = [], []
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": ",".join(b.address for b in brokers),
            "group.id": group, "auto.offset.reset": "earliest",
            "session.timeout.ms": 60000, "heartbeat.interval.ms": 500,
            "auto.commit.interval.ms": 200})
        self.consumer.subscribe([TOPIC])
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                self.errors.append(str(message.error()))
            else:
                self.values.append(message.value())
        self.consumer.close()

    def end(self):
        self.stopping.set()
        self.thread.join()
        assert not self.errors, self.errors[:10]


def roll(brokers, end=harness.Broker.stop):
    """The next one ends when all is well again."""
    for broker in brokers:
        end(broker)
        broker.start()
        harness.wait_until(
            lambda: harness.tool(brokers[0], "cluster", "health",
                                 "--free-percent", 0,
                                 check=False).returncode == 0,
            what=f"all is well after broker {broker.broker_id}")


def start_three(make_broker):
    """With the topic; two replicas in sync are enough."""
    brokers = harness.start_cluster(
        make_broker, 3, lambda b: b.options.update(QUICK),
        offsets_topic_replication_factor=3, offsets_topic_num_partitions=3,
        min_insync_replicas=2)
    harness.create_topic(brokers[0], TOPIC, PARTITIONS, 3)
    for broker in brokers:
        harness.wait_topic(broker, TOPIC, PARTITIONS)
    return brokers


@pytest.mark.slow
@pytest.mark.parametrize("end", (harness.Broker.stop, harness.Broker.kill),
                         ids=("stop", "kill"))
def test_rolling_restart(make_broker, end):
    brokers = start_three(make_broker)
    producers = [Producer(brokers, "once", **{"enable.idempotence": True}),
                 Producer(brokers, "plain")]
    consumers = [Consumer(brokers, "g"), Consumer(brokers, "g")]
    try:
        harness.wait_until(lambda: all(len(c.values) > 100 for c in consumers),
                           what="both read")
        roll(brokers, end)
        counts = [len(c.values) for c in consumers]
        harness.wait_until(
            lambda: all(len(c.values) > n for c, n in zip(consumers, counts)),
            what="both still read")
        for producer in producers:
            producer.end()
        written = []
        for partition in range(PARTITIONS):
            records = read(brokers, partition)
            assert [r[0] for r in records] == list(range(len(records)))
            written += [r[3] for r in records]
        once, plain = ({p.value(n) for n in range(p.sent)} for p in producers)
        assert set(written) == once | plain
        assert sum(v in once for v in written) == len(once)
        # Members may read again what was not committed when they moved.
        harness.wait_until(
            lambda: {v for c in consumers for v in c.values} == once | plain,
            what="the group has read all")
    finally:
        for client in (*producers, *consumers):
            client.stopping.set()
            client.thread.join()
    for consumer in consumers:
        consumer.end()


def read(brokers, partition):
    """From whoever leads; when another one does meanwhile, anew."""
    def got():
        with wire.Client(brokers[0].address) as client:
            [topic] = client.call("Metadata", 7, Topics=[{"Name": TOPIC}],
                                  AllowAutoTopicCreation=False)["Topics"]
        leader = {p["PartitionIndex"]: p["LeaderId"]
                  for p in topic["Partitions"]}[partition]
        try:
            with wire.Client(brokers[leader].address) as client:
                return [wire.read_all(client, TOPIC, partition)]
        except wire.WireError:
            return None
    return harness.wait_until(got, what=f"partition {partition} is read")[0]
