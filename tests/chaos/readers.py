# SPDX-License-Identifier: Apache-2.0
"""Readings by two clients: librdkafka's consumer, quick enough for a million
records, and the raw one, which sees batches."""

import re
import time

import confluent_kafka

import harness
import wire
from ledger import Reading, Sequences

EARLIEST, LATEST = -2, -1
NOT_LEADER, OFFSET_NOT_AVAILABLE = 6, 78
MOVED = re.compile(rf"answers ({NOT_LEADER}|{OFFSET_NOT_AVAILABLE})\b")


def where_led(read):
    """What read() tells is wrong; again where it is led elsewhere meanwhile."""
    for _ in range(10):
        try:
            wrong = read()
        except AssertionError as e:
            wrong = [str(e)]
        if not any(map(MOVED.search, wrong)):
            break
        time.sleep(0.2)
    return wrong


def bounds(client, topic, partition):
    """(log start offset, high watermark) as consumers are told."""
    out = []
    for timestamp in (EARLIEST, LATEST):
        told = wire.list_offset(client, topic, timestamp, partition)
        assert told["ErrorCode"] == 0, (
            f"{topic}/{partition}: ListOffsets of {timestamp} answers "
            f"{told['ErrorCode']}")
        out.append(told["Offset"])
    return out


class Checker:
    """Of whole topics, from which nothing is taken away."""

    def __init__(self, address, topics, ledgers):
        """topics: {name: partitions}"""
        self.address, self.topics, self.ledgers = address, topics, ledgers
        self.readings = self._readings()
        self.read = 0

    def _readings(self):
        return [Reading(t, p, self.ledgers)
                for t, count in self.topics.items() for p in range(count)]

    def news(self):
        """What came since the last time; a list of what is wrong."""
        return self._consume(self.readings)

    def everything(self):
        return self._consume(self._readings())

    def _leader(self, reading):
        """A client of who leads that partition."""
        return wire.Client(self.address)

    def _bounds(self, reading):
        with self._leader(reading) as client:
            return bounds(client, reading.topic, reading.partition)

    def _ends(self, readings):
        """{(topic, partition): end} of what there is to read"""
        out = {}
        for r in readings:
            highest = r.begin()
            start, end = self._bounds(r)
            if start != 0:
                r.tell(start, "the log begins there")
            if end <= highest or end < r.next:
                r.tell(end, f"the log ends there, {highest} was "
                       f"acknowledged, {r.next - 1} was read before")
            if end > r.next:
                out[r.topic, r.partition] = end
        return out

    def _consume(self, readings):
        ends = self._ends(readings)
        at = {(r.topic, r.partition): r for r in readings}
        if ends:
            self._take(ends, at)
        return [w for r in readings for w in r.settle()]

    def _take(self, ends, at):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.address, "group.id": "unused",
            "enable.auto.commit": False, "auto.offset.reset": "error",
            "check.crcs": True, "fetch.wait.max.ms": 20,
            "queued.min.messages": 50000})
        consumer.assign([confluent_kafka.TopicPartition(t, p, at[t, p].next)
                         for t, p in ends])
        last = time.monotonic()
        while ends:
            for m in consumer.consume(5000, 0.05):
                last = time.monotonic()
                where = m.topic(), m.partition()
                if m.error() is not None:
                    raise AssertionError(f"reading {where}: {m.error()}")
                if where in ends:
                    self._note(ends, at, where, m)
            if time.monotonic() > last + harness.PATIENCE:
                for t, p in ends:
                    at[t, p].tell(at[t, p].next, "cannot be read")
                break
        consumer.close()

    def _note(self, ends, at, where, message):
        offset = message.offset()
        if offset < ends[where]:
            at[where].note(offset, message.value())
            self.read += 1
        if offset + 1 >= ends[where]:
            del ends[where]

    def batches(self):
        """Everything once more, raw: batches, and the records in them."""
        out = []
        with wire.Client(self.address) as client:
            for r in self._readings():
                out += read_raw(client, r)[0]
        return out


def read_raw(client, reading):
    """From reading.start to the high watermark: (what is wrong, bytes)"""
    topic, partition = reading.topic, reading.partition
    heads = Sequences(topic, partition, reading.start)
    size = 0
    highest = reading.begin()
    while True:
        part = wire.fetch(client, topic, reading.next, partition=partition,
                          max_wait_ms=0, partition_max_bytes=1 << 20)
        if part["ErrorCode"]:
            reading.tell(reading.next, f"Fetch answers {part['ErrorCode']}")
            break
        for b in wire.batches(part["Records"] or b""):
            size += len(b.data)
            if heads.next == reading.start > b.base_offset:
                heads.next = b.base_offset  # it begins within this batch
            heads.note(b)
            for record in b.records():
                if record[0] >= reading.start:
                    reading.note(record[0], record[3])
        if reading.next >= part["HighWatermark"]:
            break
    if reading.next <= highest:
        reading.tell(reading.next, f"the end, {highest} was acknowledged")
    return reading.settle() + heads.wrong, size
