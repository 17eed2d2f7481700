# SPDX-License-Identifier: Apache-2.0
"""A writer that knows what was acknowledged, and the check of it."""

import threading

import wire


class Writer:
    """Appends numbered records to one partition over one connection, several
    requests under way, until the connection breaks or stop() is called.
    acknowledged: {number: offset}."""

    def __init__(self, address, topic, partition=0, name="w", depth=8,
                 first=0, size=200, timeout=30):
        self.address, self.topic, self.partition = address, topic, partition
        self.name, self.depth, self.size = name, depth, size
        self.timeout = timeout
        self.acknowledged, self.next = {}, first
        self.errors = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def value(self, number):
        return b"%s %d " % (self.name.encode(), number) + b"." * (
            number % self.size)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self

    def _run(self):
        try:
            with wire.Client(self.address, self.timeout) as client:
                pending = []
                while not self.stopping.is_set():
                    while len(pending) < self.depth:
                        pending.append((self._send(client), self.next))
                        self.next += 1
                    self._take(client, *pending.pop(0))
                for p in pending:
                    self._take(client, *p)
        except (OSError, wire.Closed):
            pass

    def _send(self, client):
        return client.send(
            "Produce", 9, Acks=-1, TimeoutMs=20000, TopicData=[
                {"Name": self.topic, "PartitionData": [
                    {"Index": self.partition,
                     "Records": wire.batch([self.value(self.next)])}]}])

    def _take(self, client, correlation, number):
        part = client.receive(correlation)["Responses"][0][
            "PartitionResponses"][0]
        if part["ErrorCode"] == 0:
            self.acknowledged[number] = part["BaseOffset"]
        else:
            self.errors.append(part["ErrorCode"])


def check(address, topic, writers, partition=0):
    """Every acknowledged record is at its offset, offsets are without gap, and
    nothing is there that nobody wrote; a list of what is wrong."""
    with wire.Client(address) as client:
        records = wire.read_all(client, topic, partition)
    wrong = []
    offsets = [r[0] for r in records]
    if offsets != list(range(len(offsets))):
        wrong.append("offsets are not consecutive")
    values = {r[0]: r[3] for r in records}
    for w in writers:
        for number, offset in w.acknowledged.items():
            if values.get(offset) != w.value(number):
                wrong.append(f"{w.name} {number} acknowledged at {offset}: "
                             f"there is {values.get(offset)!r}")
    sent = {w.value(n) for w in writers for n in range(w.next)}
    wrong += [f"nobody sent {v!r}" for v in values.values() if v not in sent]
    return wrong
