# SPDX-License-Identifier: Apache-2.0
"""Producers that go on over the broker's deaths and know what was
acknowledged: raw ones, librdkafka, kafka-python."""

import collections
import functools
import json
import random
import threading
import time
import traceback

import confluent_kafka
import kafka

import packing
import wire
from ledger import Ledger

DUPLICATE_SEQUENCE, OUT_OF_ORDER = 46, 45
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
FOR_EVER = 1 << 30
# of what librdkafka says of itself
STATISTICS = (
    "partition", "broker", "leader", "msgq_cnt", "msgs_inflight", "txmsgs",
    "next_ack_seq", "next_err_seq", "acked_msgid", "nodeid", "state",
    "stateage", "outbuf_cnt", "waitresp_cnt", "req_timeouts", "txidle",
    "rxidle")
# times in a row that it says so, five seconds apart
ASTRAY = 4


class Client:
    """A thread that runs until finish() has been called and nothing is under
    way any more.  While `held`, nothing new is sent, only again."""

    held = False
    given_up = 0  # records whose fate nobody will tell any more
    pause = 0  # seconds behind each answer, or round

    def __init__(self, name, ledgers):
        self.name, self.ledgers = name, ledgers
        self.breaks = 0
        self.errors = collections.Counter()
        self.stopping = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._guarded, name=name,
                                       daemon=True)

    @property
    def acknowledged(self):
        return sum(led.acknowledged for led in self.ledgers)

    def state(self):
        """For who asks why it does not go on."""
        return ""

    def start(self):
        self.thread.start()
        return self

    def finish(self):
        self.stopping.set()
        return self

    def join(self, seconds=120):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"{self.name} does not end"
        assert self.failure is None, f"{self.name}: {self.failure}"

    def _more(self):
        """Whether something new is to be sent."""
        return not self.held and not self.stopping.is_set()

    def _guarded(self):
        try:
            self._run()
        except Exception:  # noqa: BLE001: told by join()
            self.failure = traceback.format_exc()


class RawWriter(Client):
    """Several requests under way on one connection; what is not acknowledged
    when that breaks is not sent again."""

    acks = -1
    codecs = ("none",)
    depth = 4
    most = 60  # records in a batch
    patience = 30  # seconds for an answer
    again = 0.02  # seconds until a new connection is tried
    leaders = None  # who knows where the partition is led; else at `address`

    def __init__(self, address, ledger, **settings):
        super().__init__(ledger.name, [ledger])
        self.address, self.ledger = address, ledger
        self.__dict__.update(settings)
        self.rng = random.Random(ledger.name)

    def _run(self):
        while not self._over():
            try:
                with wire.Client(self._place(), self.patience) as client:
                    self._serve(client)
            except (OSError, wire.Closed):
                self.breaks += 1
                self.stopping.wait(self.again)

    def _place(self):
        return self.address if self.leaders is None else self.leaders.address(
            self.ledger.topic, self.ledger.partition)

    def _over(self):
        return self.stopping.is_set()

    def _serve(self, client):
        pending = collections.deque()
        while pending or not self.stopping.is_set():
            while len(pending) < self.depth and self._more():
                numbers = self._numbers()
                pending.append((self._send(client, self._batch(numbers)),
                                numbers))
            if pending:
                self._take(client, *pending.popleft())
            if self.pause or self.held:
                self.stopping.wait(self.pause or 0.01)

    def _numbers(self):
        return [self.ledger.take()
                for _ in range(self.rng.randint(1, self.most))]

    def _batch(self, numbers, **more):
        codec = self.rng.choice(self.codecs)
        return wire.batch(
            [self.ledger.value(n) for n in numbers],
            attributes=CODECS[codec], compress=packing.PACK[codec], **more)

    def _send(self, client, data):
        return client.send(
            "Produce", 9, Acks=self.acks, TimeoutMs=20000, TopicData=[{
                "Name": self.ledger.topic, "PartitionData": [{
                    "Index": self.ledger.partition, "Records": data}]}])

    def _answer(self, client, correlation):
        part = client.receive(correlation)["Responses"][0][
            "PartitionResponses"][0]
        if part["ErrorCode"]:
            self.errors[part["ErrorCode"]] += 1
        return part["ErrorCode"], part["BaseOffset"]

    def _take(self, client, correlation, numbers):
        error, base = self._answer(client, correlation)
        if error and self.leaders is not None:
            raise OSError(f"refused: {error}")  # it may be led elsewhere
        if error:
            self.stopping.wait(0.02)
            return
        for i, number in enumerate(numbers):
            self.ledger.acknowledge(number, base + i)


class IdempotentWriter(RawWriter):
    """Sends again, in order and with the same sequences, whatever was not
    acknowledged when the connection broke or a request was refused."""

    producer_id = None

    def _over(self):
        return self.stopping.is_set() and not self.pending

    def _begin(self, client):
        told = client.call("InitProducerId", 4, TransactionalId=None,
                           TransactionTimeoutMs=60000)
        if told["ErrorCode"]:
            raise OSError(f"InitProducerId answers {told['ErrorCode']}")
        self.producer_id = told["ProducerId"]
        self.epoch = told["ProducerEpoch"]
        self.sequence = 0

    pending = ()

    def _serve(self, client):
        if self.producer_id is None:
            self._begin(client)
            self.pending = collections.deque()
        flying = collections.deque(
            self._send(client, data) for _, data in self.pending)
        while flying or not self.stopping.is_set():
            while len(self.pending) < self.depth and self._more():
                numbers = self._numbers()
                self.pending.append((numbers, self._batch(
                    numbers, producer_id=self.producer_id,
                    producer_epoch=self.epoch, base_sequence=self.sequence)))
                self.sequence += len(numbers)
                flying.append(self._send(client, self.pending[-1][1]))
            if flying:
                self._take_first(client, flying.popleft())
            if self.pause or self.held:
                self.stopping.wait(self.pause or 0.01)

    def _known(self, client):
        """What the broker says of this producer, and what is sent."""
        head = wire.batches(self.pending[0][1])[0]
        told = client.call("DescribeProducers", 0, Topics=[{
            "Name": self.ledger.topic,
            "PartitionIndexes": [self.ledger.partition]}])
        return (f"{client.socket.getpeername()} says {told['Topics']} when "
                f"producer {head.producer_id} sends from sequence "
                f"{head.base_sequence}, at {time.time():.3f}")

    def _take_first(self, client, correlation):
        """The head of the line: its sequence is due, or known as a retry."""
        error, base = self._answer(client, correlation)
        if error == OUT_OF_ORDER:
            raise AssertionError(
                f"{self.ledger} numbers from {self.pending[0][0][0]} on: the "
                f"broker does not know its sequences; {self._known(client)}")
        if error not in (0, DUPLICATE_SEQUENCE):
            raise OSError(f"refused: {error}")  # on another connection again
        for i, number in enumerate(self.pending[0][0]):
            self.ledger.acknowledge(number, base + i if base >= 0 else -1)
        self.pending.popleft()


class Librdkafka(Client):
    """One producer instance over all kills, to all partitions of a topic."""

    # Whether another one takes its place when it ends itself.  Before 2.3.0 an
    # idempotent one does so when a request that had no answer turns out not to
    # have been written (librdkafka pull request 4438).
    renewed = False

    def __init__(self, address, name, topic, partitions, **settings):
        once = settings.get("enable.idempotence", False)
        super().__init__(name, [Ledger(name, topic, p, once)
                                for p in range(partitions)])
        self.topic = topic
        self.most = 150  # records under way
        self.outstanding = self.turn = 0
        self.fatal = None
        self.settings = {
            "bootstrap.servers": address, "linger.ms": 2,
            "batch.num.messages": 10, "message.timeout.ms": 0,
            "message.send.max.retries": 10**7, "retry.backoff.ms": 20,
            # "unknown topic" is believed at once
            "topic.metadata.propagation.max.ms": 0,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
            "statistics.interval.ms": 5000, "stats_cb": self._told,
            "log_level": 0, "error_cb": self._error, **settings}
        self.statistics = {}
        self.astray = collections.Counter()
        self.producer = confluent_kafka.Producer(self.settings)

    def _told(self, statistics):
        """What the library says of itself; called by poll()."""
        self.statistics = json.loads(statistics)
        self.astray = collections.Counter({
            where: self.astray[where] + 1 for where in (
                (p["partition"], p["broker"], p["leader"])
                for p in self._partitions()
                if -1 < p["broker"] != p["leader"] > -1)})
        for (partition, broker, leader), times in self.astray.items():
            if times == ASTRAY:
                self.errors["went astray"] += 1
                self.fatal = (f"it sends {self.topic}/{partition} to broker "
                              f"{broker}, and knows that {leader} leads")

    def _partitions(self):
        return [p for t in self.statistics.get("topics", {}).values()
                for p in t["partitions"].values() if p["partition"] >= 0]

    def state(self):
        def told(rows):
            return [{key: row[key] for key in STATISTICS if key in row}
                    for row in rows]
        brokers = self.statistics.get("brokers", {}).values()
        return (f"{self.outstanding} outstanding, eos "
                f"{self.statistics.get('eos')}, brokers {told(brokers)}, "
                f"partitions {told(self._partitions())}")

    def _error(self, error):
        if error.fatal():
            self.fatal = f"fatal: {error.str()}"

    def _renew(self):
        """What was under way is given up, and is not sent again."""
        self.errors["ended itself"] += 1
        self.given_up += self.outstanding
        self.producer.purge()
        self.fatal = None
        self.outstanding = 0
        self.astray.clear()
        self.producer = confluent_kafka.Producer(self.settings)

    def _delivered(self, producer, error, message):
        if producer is not self.producer:
            return
        self.outstanding -= 1
        if error is not None:
            self.errors[error.str()] += 1
            return
        number = int(message.value().split(b" ", 2)[1])
        offset = message.offset()  # None: known as a retry, not where
        self.ledgers[message.partition()].acknowledge(
            number, -1 if offset is None else offset)

    def _run(self):
        while not (self.stopping.is_set() and self.outstanding == 0):
            try:
                self._fill()
                self.producer.poll(0.05)
            except confluent_kafka.KafkaException as e:
                self.fatal = self.fatal or str(e)
            if self.fatal is not None:
                assert self.renewed, self.fatal
                self._renew()
            if self.pause:
                self.stopping.wait(self.pause)

    def _fill(self):
        while self.outstanding < self.most and self._more():
            self.turn += 1
            ledger = self.ledgers[self.turn % len(self.ledgers)]
            self.outstanding += 1
            self.producer.produce(
                self.topic, ledger.value(ledger.take()),
                partition=ledger.partition, on_delivery=functools.partial(
                    self._delivered, self.producer))


class KafkaPython(Client):
    """One producer that sends again and may repeat."""

    def __init__(self, address, name, topic, partition, **settings):
        super().__init__(name, [Ledger(name, topic, partition, once=False)])
        self.address, self.settings = address, settings
        self.most = 50

    def _run(self):
        ledger = self.ledgers[0]
        producer = kafka.KafkaProducer(**{
            "bootstrap_servers": self.address, "acks": "all",
            "retries": FOR_EVER, "compression_type": "gzip",
            "max_in_flight_requests_per_connection": 1,
            "retry_backoff_ms": 20, "reconnect_backoff_ms": 20, "linger_ms": 5,
            "reconnect_backoff_max_ms": 200, "request_timeout_ms": 30000,
            # without it, it would give a batch up after request_timeout_ms
            "api_version": (1, 0), **self.settings})
        flying = collections.deque()
        while flying or not self.stopping.is_set():
            while len(flying) < self.most and self._more():
                number = ledger.take()
                flying.append((number, producer.send(
                    ledger.topic, ledger.value(number),
                    partition=ledger.partition)))
            if flying:
                self._take(ledger, *flying.popleft())
            if self.pause or not flying:
                self.stopping.wait(self.pause or 0.01)
        producer.close()

    def _take(self, ledger, number, future):
        try:
            ledger.acknowledge(number, future.get(120).offset)
        except kafka.errors.KafkaError as e:
            self.errors[type(e).__name__] += 1
