# SPDX-License-Identifier: Apache-2.0
"""Clients that read and commit while brokers come and go, and tell witness.py
what they were shown; and what is held against it when all is well again."""

import collections
import contextlib

import confluent_kafka

import harness
import wire
from clients import Client
from cluster import OFFSETS, UNAVAILABLE, rack
from ledger import KeyLedger, Reading
from readers import Checker, bounds, read_raw, where_led
from witness import (Commits, Growth, compacted_wrong, high_watermarks,
                     log_batches, next_offset, replicas_wrong)

OUT_OF_RANGE = 1
RESET = confluent_kafka.KafkaError._AUTO_OFFSET_RESET
ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE = 22, 25, 27
MEMBER_ID_REQUIRED = 79
# the oldest that is for leaders alone, and has every codec
FETCH_VERSION = 10
# one that followers answer, and that names topics
FOLLOWERS_VERSION = 12


def partitions(topics):
    """topics: {name: count}"""
    return [(t, p) for t, count in topics.items() for p in range(count)]


class Watcher(Client):
    """A reader at the end of every partition, from the beginning on."""

    pause = 0.02
    # all is well: who leads knows it.  One that slept may believe that it
    # leads until it is told, and know less than its successor.
    strict = False

    def __init__(self, name, topics, reads):
        super().__init__(name, [])
        self.reads = reads
        self.next = {where: 0 for where in partitions(topics)}
        self.seen = 0

    @property
    def acknowledged(self):
        return self.seen

    def note(self, where, offset, value):
        if offset != self.next[where]:
            self.reads.jump(self.name, *where, self.next[where], offset)
        self.next[where] = offset + 1
        self.reads.note(self.name, *where, offset, value)
        self.seen += 1


class RawWatcher(Watcher):
    """Asks each partition's leader in turn."""

    patience = 4

    def __init__(self, name, topics, reads, leaders):
        super().__init__(name, topics, reads)
        self.leaders = leaders
        self.clients = {}
        self.places = {}

    def _run(self):
        while not self.stopping.is_set():
            for where in self.next:
                if self.stopping.is_set():
                    break
                try:
                    self._look(where)
                except (OSError, wire.Closed):
                    self.breaks += 1
                    self._leave(where)
                    self.stopping.wait(0.1)
            self.stopping.wait(self.pause)
        for client in self.clients.values():
            client.close()

    def _leave(self, where):
        """Whoever led it is asked no more, and by nobody waited for."""
        place = self.places.pop(where, None)
        if place in self.clients:
            self.clients.pop(place).close()

    def _client(self, where):
        if where not in self.places:
            self.places[where] = self.leaders.address(*where)
        place = self.places[where]
        if place not in self.clients:
            self.clients[place] = wire.Client(place, self.patience)
        return self.clients[place]

    def _look(self, where):
        client = self._client(where)
        due = self.reads.marks.due(where)
        part = self._fetch(client, where, -1 if due is None else due[0])
        if part["ErrorCode"]:
            self.errors[part["ErrorCode"]] += 1
            self.reads.marks.forget(where, due)
            if part["ErrorCode"] == OUT_OF_RANGE and self.strict:
                self.reads.tell(*where, self.next[where], f"{self.name} had "
                                "all below it, now it is out of range")
            del self.places[where]
            return
        if due is not None:
            self.reads.note_leader(self.name, *where, due,
                                   part["HighWatermark"])
        for b in wire.batches(part["Records"] or b""):
            self.reads.note_answer(self.name, *where, b,
                                   part["HighWatermark"])
            for record in b.records():
                if record[0] >= self.next[where]:
                    self.note(where, record[0], record[3])


    def _fetch(self, client, where, epoch):
        request = wire.fetch_request(
            where[0], self.next[where], partition=where[1], max_wait_ms=20,
            partition_max_bytes=1 << 18)
        request["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch
        told = client.call("Fetch", FETCH_VERSION, **request)
        return told["Responses"][0]["Partitions"][0]


class ReplicaWatcher(Watcher):
    """Asks one broker for all partitions, whatever it is of them, as consumers
    do that are in its rack."""

    patience = 4
    pause = 0.1

    def __init__(self, topics, reads, broker):
        super().__init__(f"reader-of-{broker.broker_id}", topics, reads)
        self.address, self.rack = broker.address, rack(broker)
        # Kafka tells the high watermark as it was before it read, and a
        # follower's answer often has what came between
        self.exact = not broker.real
        self.epochs = {}
        self.growths = {}

    def _run(self):
        while not self.stopping.is_set():
            try:
                with wire.Client(self.address, self.patience) as client:
                    self.epochs.clear()
                    self.growths = {where: Growth() for where in self.next}
                    while not self.stopping.wait(self.pause):
                        self._learn(client)
                        self._look(client)
            except (OSError, wire.Closed):
                self.breaks += 1
                self.stopping.wait(0.2)

    def _learn(self, client):
        """The leader epochs that it tells, where an older one was refused."""
        topics = {t for t, p in self.next if (t, p) not in self.epochs}
        if not topics:
            return
        told = client.call("Metadata", 7, Topics=[
            {"Name": t} for t in sorted(topics)], AllowAutoTopicCreation=False)
        for topic in told["Topics"]:
            for p in topic["Partitions"]:
                self.epochs[topic["Name"], p["PartitionIndex"]] = p[
                    "LeaderEpoch"]

    def _look(self, client):
        topics = {}
        for (topic, p), offset in self.next.items():
            topics.setdefault(topic, []).append({
                "Partition": p, "FetchOffset": offset,
                "CurrentLeaderEpoch": self.epochs.get((topic, p), -1),
                "PartitionMaxBytes": 1 << 18})
        told = client.call(
            "Fetch", FOLLOWERS_VERSION, MaxWaitMs=200, MinBytes=1,
            MaxBytes=1 << 20, RackId=self.rack, Topics=[
                {"Topic": t, "Partitions": rows} for t, rows in topics.items()])
        for topic in told["Responses"]:
            for part in topic["Partitions"]:
                self._take((topic["Topic"], part["PartitionIndex"]), part)

    def _take(self, where, part):
        if part["ErrorCode"]:
            self.errors[part["ErrorCode"]] += 1
            # it may have been wiped, or lost the replica and got another
            if part["ErrorCode"] == OUT_OF_RANGE and self.strict:
                self.reads.tell(*where, self.next[where], f"{self.name} had "
                                "all below it, now it is out of range")
            self.epochs.pop(where, None)
            return
        epoch, mark = self.epochs.get(where, -1), part["HighWatermark"]
        if self.growths[where].grew(epoch, mark):
            self.reads.marks.note(where, epoch, mark)
        for b in wire.batches(part["Records"] or b""):
            if self.exact:
                self.reads.note_answer(self.name, *where, b, mark)
            for record in b.records():
                if record[0] >= self.next[where]:
                    self.note(where, record[0], record[3])


class LibrdkafkaWatcher(Watcher):
    def __init__(self, name, topics, reads, bootstrap):
        super().__init__(name, topics, reads)
        self.bootstrap = bootstrap

    def _run(self):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "unused",
            "enable.auto.commit": False, "auto.offset.reset": "error",
            "check.crcs": True, "fetch.wait.max.ms": 100,
            "socket.timeout.ms": 5000, "reconnect.backoff.max.ms": 500,
            "topic.metadata.refresh.interval.ms": 2000, "log_level": 0})
        self._assign(consumer)
        while not self.stopping.wait(self.pause):
            messages = consumer.consume(500, 0.1)
            for m in messages:
                if m.error() is None:
                    self.note((m.topic(), m.partition()), m.offset(),
                              m.value())
                else:
                    self.errors[m.error().name()] += 1
            if any(m.error() is not None and m.error().code() == RESET
                   for m in messages):
                # it may have asked a follower that lags: again, elsewhere
                self._assign(consumer)
        consumer.close()

    def _assign(self, consumer):
        consumer.assign([confluent_kafka.TopicPartition(*where, offset)
                         for where, offset in self.next.items()])


class Committer(Client):
    """Commits higher and higher offsets of some partitions in the name of a
    group, and asks what is committed."""

    pause = 0.1
    patience = 4
    strict = False  # as a Watcher's

    def __init__(self, name, group, topic, partitions, leaders):
        super().__init__(name, [])
        self.group, self.topic, self.leaders = group, topic, leaders
        self.books = [Commits(f"{group} {topic}/{p}")
                      for p in range(partitions)]
        self.number = 0
        self.asked = 0

    @property
    def acknowledged(self):
        return min(self.asked, *(b.acknowledged for b in self.books))

    @property
    def wrong(self):
        return [w for b in self.books for w in b.wrong]

    def _run(self):
        while not self.stopping.is_set():
            try:
                with self.coordinator() as client:
                    while not self.stopping.wait(self.pause):
                        self.turn(client)
            except (OSError, wire.Closed):
                self.breaks += 1
                self.stopping.wait(0.2)

    def turn(self, client):
        if not self.held:
            self.commit(client)
        self.ask(client)

    @contextlib.contextmanager
    def coordinator(self):
        place = None
        for address in self.leaders.addresses:
            with contextlib.suppress(OSError, wire.Closed):
                with wire.Client(address, self.patience) as client:
                    told = client.call("FindCoordinator", 0, Key=self.group)
                if told["ErrorCode"] == 0:
                    place = f"{told['Host']}:{told['Port']}"
                    break
        if place is None:
            raise OSError(f"nobody tells a coordinator of {self.group}")
        with wire.Client(place, self.patience) as client:
            yield client

    def _refused(self, error):
        self.errors[error] += 1
        raise OSError(f"refused: {error}")

    def _next(self):
        """{partition: what is to be committed of it}"""
        self.number += 1
        for b in self.books:
            b.attempt(self.number)
        return dict.fromkeys(range(len(self.books)), self.number)

    def commit(self, client, **more):
        numbers = self._next()
        told = client.call(
            "OffsetCommit", 7, GroupId=self.group, Topics=[{
                "Name": self.topic, "Partitions": [
                    {"PartitionIndex": p, "CommittedOffset": n,
                     "CommittedMetadata": ""}
                    for p, n in numbers.items()]}], **more)
        rows = told["Topics"][0]["Partitions"]
        # an error does not say that it was not written
        for row in rows:
            if row["ErrorCode"] == 0:
                p = row["PartitionIndex"]
                self.books[p].acknowledge(numbers[p])
        for row in rows:
            if row["ErrorCode"]:
                self._refused(row["ErrorCode"])

    def ask(self, client):
        judges = [b.asking() for b in self.books]
        told = client.call("OffsetFetch", 5, GroupId=self.group, Topics=[{
            "Name": self.topic,
            "PartitionIndexes": list(range(len(self.books)))}])
        rows = told["Topics"][0]["Partitions"] if told["Topics"] else []
        for error in [told["ErrorCode"]] + [r["ErrorCode"] for r in rows]:
            if error:
                self._refused(error)
        for row in rows:
            if not judges[row["PartitionIndex"]](row["CommittedOffset"],
                                                 self.strict):
                self._refused("old offsets")
        self.asked += 1


class Sharer(Committer):
    """Likewise as a member of a group that shares the partitions out: it
    commits offsets of those that it has.  From time to time it joins again,
    so that faults meet rebalances."""

    again = 30  # commits
    # a JoinGroup may wait for another one's session to end
    join_patience = 12
    settings = {"SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 300000,
                "ProtocolType": "sharer",
                "Protocols": [{"Name": "shared", "Metadata": b""}]}

    def __init__(self, name, group, topic, books, leaders):
        super().__init__(name, group, topic, 0, leaders)
        self.books = books
        self.id, self.generation, self.has = "", -1, b""
        self.commits = self.in_generation = 0

    @property
    def acknowledged(self):
        return min(self.asked, self.commits)

    def state(self):
        return f"{self.id} of generation {self.generation} has {[*self.has]}"

    def turn(self, client):
        if self.generation < 0:
            self._join_group(client)
            self.in_generation = 0
        self._granted(client.call("Heartbeat", 3, **self._me()))
        super().turn(client)
        if self.in_generation == self.again:
            self._lose()

    def _lose(self):
        self.generation, self.has = -1, b""

    def _me(self):
        return {"GroupId": self.group, "GenerationId": self.generation,
                "MemberId": self.id}

    def _refused(self, error):
        if error in (UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCE):
            self._lose()
        if error == UNKNOWN_MEMBER:
            self.id = ""
        super()._refused(error)

    def _granted(self, told):
        if told["ErrorCode"]:
            self._refused(told["ErrorCode"])
        return told

    def _join_group(self, client):
        def send():
            return client.call("JoinGroup", 5, GroupId=self.group,
                               MemberId=self.id, **self.settings)
        client.socket.settimeout(self.join_patience)
        told = send()
        if told["ErrorCode"] == MEMBER_ID_REQUIRED:
            self.id = told["MemberId"]
            told = send()
        client.socket.settimeout(self.patience)
        generation = self._granted(told)["GenerationId"]
        # where it leads; others are told of no members
        members = [m["MemberId"] for m in told["Members"]]
        told = self._granted(client.call("SyncGroup", 3, **{
            **self._me(), "GenerationId": generation, "Assignments": [
                {"MemberId": m, "Assignment": bytes(
                    range(i, len(self.books), len(members)))}
                for i, m in enumerate(members)]}))
        self.generation, self.has = generation, told["Assignment"]

    def _next(self):
        return {p: self.books[p].begin(self.generation) for p in self.has}

    def commit(self, client):
        if self.has:
            super().commit(client, MemberId=self.id,
                           GenerationIdOrMemberEpoch=self.generation)
            self.commits += 1
            self.in_generation += 1


class ManyChecker(Checker):
    """Reads what readers.Checker reads, from whoever leads it, and holds it
    against what others were shown.  topics: those that are not compacted."""

    excuse = None

    def __init__(self, cluster, topics, leaders, ledgers, reads):
        super().__init__(cluster.bootstrap, topics, ledgers)
        self.cluster, self.leaders, self.reads = cluster, leaders, reads
        self.compacted = {OFFSETS: 3, **{
            t: n for t, n in cluster.topics.items() if t not in topics}}
        self.keyed = [led for led in ledgers if isinstance(led, KeyLedger)]
        # records in what is compacted, at last
        self.left = {}
        # below it, replicas were found to be alike
        self.alike = collections.Counter()

    def _leader(self, reading):
        return wire.Client(self.leaders.address(
            reading.topic, reading.partition))

    def _bounds(self, reading):
        """Of a leader that was just elected, too: it says so until it knows;
        and of another one than a moment ago."""
        told = []

        def found():
            try:
                told[:] = super(ManyChecker, self)._bounds(reading)
            except (OSError, wire.Closed, AssertionError) as e:
                self.excuse = repr(e)
            return told
        try:
            return harness.wait_until(found, pause=0.2)
        except AssertionError:
            raise AssertionError(
                f"{reading.topic}/{reading.partition}: no end is told: "
                f"{self.excuse}") from None

    def _note(self, ends, at, where, message):
        if message.offset() < ends[where]:
            self.reads.note("the checker", *where, message.offset(),
                            message.value())
        super()._note(ends, at, where, message)

    def batches(self):
        return [w for r in self._readings() for w in self._read_raw(r)]

    def _read_raw(self, reading):
        def read():
            again = Reading(reading.topic, reading.partition, self.ledgers)
            with self._leader(again) as client:
                # one that was just elected says so here
                bounds(client, again.topic, again.partition)
                return read_raw(client, again)[0]
        return where_led(read)

    # --- replicas ------------------------------------------------------------

    def _folders(self, topic, partition):
        return {b.broker_id: b.data / f"{topic}-{partition}"
                for b in self.cluster.brokers}

    def _copies(self, topic, partition, start=0):
        return {n: log_batches(f, start)
                for n, f in self._folders(topic, partition).items()}

    def _left(self, topic, partition):
        """As _copies(), of what is compacted meanwhile."""
        return {n: [b for data in harness.segments(f)
                    for b in wire.batches(data)]
                for n, f in self._folders(topic, partition).items()}

    def replicas(self):
        """Differences below the smallest high watermark; the brokers run."""
        marks = [high_watermarks(b.data) for b in self.cluster.brokers]
        out = []
        for topic, p in partitions(self.topics):
            limit = min(m.get((topic, p), 0) for m in marks)
            wrong = replicas_wrong(f"{topic}/{p}", self._copies(
                topic, p, self.alike[topic, p]), limit)
            # what the first lacks is due from its beginning
            self.alike[topic, p] = 0 if wrong else max(
                0, limit - 1, self.alike[topic, p])
            out += wrong
        for topic, p in partitions(self.compacted):
            limit = min(m.get((topic, p), 0) for m in marks)
            out += compacted_wrong(f"{topic}/{p}", self._left(topic, p), limit)
        return out

    def _unlike(self):
        self.rest = {where: self._copies(*where)
                     for where in partitions(self.topics)}
        out = [w for where, copies in self.rest.items()
               for w in replicas_wrong("%s/%d" % where, copies)]
        for where in partitions(self.compacted):
            copies = self._left(*where)
            out += compacted_wrong("%s/%d" % where, copies)
            out += [f"broker {n}: {w}" for led in self.keyed
                    if where == (led.topic, led.partition)
                    for n, found in copies.items()
                    for w in led.wrong([r for b in found
                                        for r in b.records()], led.told())]
        return out

    def replicas_at_rest(self, seconds=harness.PATIENCE):
        """Nobody writes any more: whole logs are alike, to the last byte where
        nothing is compacted, when the followers have had the time; and no
        reader saw more."""
        with contextlib.suppress(AssertionError):
            harness.wait_until(lambda: not self._unlike(), seconds, pause=0.5)
        for where, copies in self.rest.items():
            self.reads.end(*where, min(
                next_offset(b) for b in copies.values()))
        return self._unlike()

    # --- what is compacted ---------------------------------------------------

    def last_values(self):
        """Of each key, as who leads has it."""
        return [w for led in self.keyed for w in self._last_wrong(led)]

    def _last_wrong(self, led):
        def found():
            with contextlib.suppress(*UNAVAILABLE), self._leader(led) as c:
                return [wire.read_all(c, led.topic, led.partition)]
            return None
        told = led.told()
        records, = harness.wait_until(found, what=f"{led} is read")
        for offset, _, _, value, _ in records:
            self.reads.note("the checker", led.topic, led.partition, offset,
                            value)
        self.read += len(records)
        return led.wrong(records, told)

    def compaction_wrong(self, seconds=harness.PATIENCE):
        """Nobody writes any more: every replica is compacted in the end."""
        def dirty():
            return [f"{led.topic}/{led.partition} of broker {n} is not "
                    "compacted" for led in self.keyed
                    for n, f in self._folders(
                        led.topic, led.partition).items()
                    if self._is_dirty(led, harness.keys_left(f))]
        with contextlib.suppress(AssertionError):
            harness.wait_until(lambda: not dirty(), seconds, pause=0.5)
        return dirty()

    def _is_dirty(self, led, keys):
        self.left[led.name] = len(keys)
        return len(keys) != len(set(keys))
