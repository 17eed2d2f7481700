# SPDX-License-Identifier: Apache-2.0
"""One run: a cluster, its clients, rounds of faults, and what is checked after
each of them and in the end."""

import collections
import random
import time

import cluster as clusters
import faults
import harness
import wire
from clients import IdempotentWriter, KafkaPython, Librdkafka, RawWriter
from ledger import KeyLedger, Ledger
from movers import ManyTopics, Mover
from watchers import (Committer, LibrdkafkaWatcher, ManyChecker, RawWatcher,
                      ReplicaWatcher, Sharer)
from witness import Reads, SharedCommits

# "rolling" has small segments
TOPICS = {"rolling": 3, "steady": 3}
COMPACTED = {"compacted": 2}
CONFIGS = {
    "rolling": {"segment_bytes": 100000},
    "steady": {},
    # tombstones stay, whatever clocks do: who is away for longer than they do
    # would bring back what was deleted
    "compacted": {"cleanup_policy": "compact", "segment_bytes": 10000,
                  "min_cleanable_dirty_ratio": "0.001",
                  "delete_retention_ms": 10**12}}
PATIENT = {"socket.timeout.ms": 4000, "message.timeout.ms": 0,
           "request.timeout.ms": 3000, "retry.backoff.ms": 100,
           "topic.metadata.refresh.interval.ms": 3000, "acks": "all"}
RAW = {"patience": 5, "again": 0.2, "most": 10, "pause": 0.1, "depth": 3}
# records that are acknowledged from one round to the next, of each client
BETWEEN = 20
# rounds in which librdkafka may go astray once more
ASTRAY_EACH = 50
# times that a kind of fault was tried: it must have taken effect by then
ENOUGH = 4


def writers(bootstrap, leaders):
    """Some hundred records a second together: two cores have the brokers,
    ZooKeepers and the checker to run as well."""
    def raw(kind, name, topic, partition, **settings):
        # what a connection that was given up has brought may be read late
        made = KeyLedger if topic in COMPACTED else Ledger
        ledger = made(name, topic, partition,
                      ordered=kind is IdempotentWriter)
        return kind(None, ledger, leaders=leaders, **{**RAW, **settings})

    def librdkafka(name, topic, **settings):
        out = Librdkafka(bootstrap, name, topic, TOPICS[topic], **PATIENT,
                         **settings)
        out.most, out.pause, out.renewed = 20, 0.2, True
        return out
    python = KafkaPython(bootstrap.split(","), "kafka-python", "steady", 2,
                         request_timeout_ms=8000, max_block_ms=600000,
                         metadata_max_age_ms=3000)
    python.most, python.pause = 5, 0.02
    return [
        raw(RawWriter, "raw-all", "rolling", 0, codecs=("none", "zstd")),
        raw(IdempotentWriter, "raw-once", "steady", 0, depth=1),
        raw(IdempotentWriter, "raw-once-5", "rolling", 1, depth=5,
            codecs=("none", "lz4")),
        raw(RawWriter, "raw-keys", "compacted", 0, codecs=("none", "lz4")),
        # of a producer's batches the last one alone outlives compaction
        raw(IdempotentWriter, "raw-keys-once", "compacted", 1, depth=1),
        librdkafka("rd-once", "rolling", **{
            # more under way may repeat what another partition's had no
            # answer to (librdkafka issue 4953)
            "enable.idempotence": True, "max.in.flight": 1}),
        librdkafka("rd-all", "steady"),
        python]


class Storm:
    def __init__(self, cluster, seed, say=print):
        self.cluster, self.seed, self.say_line = cluster, seed, say
        self.rng = random.Random(seed)
        self.began = time.monotonic()
        self.rounds = 0
        self.counts = collections.Counter()
        self.effects = collections.Counter()
        self.story = []
        self.possible = []
        for kind in faults.KINDS:
            why = kind.possible(cluster)
            if why is None:
                self.possible.append(kind)
            else:
                self.say(f"no {kind.__name__}: {why}")
        for name, count in {**TOPICS, **COMPACTED}.items():
            cluster.create(name, count, retention_ms=-1, **CONFIGS[name])
        self._make_clients()

    def _make_clients(self):
        bootstrap = self.cluster.bootstrap
        self.leaders = clusters.Leaders(bootstrap.split(","))
        self.reads = Reads()
        self.writers = writers(bootstrap, self.leaders)
        self.readers = [
            RawWatcher("raw-reader", TOPICS, self.reads,
                       clusters.Leaders(bootstrap.split(","))),
            LibrdkafkaWatcher("rd-reader", TOPICS, self.reads, bootstrap),
            *(ReplicaWatcher(TOPICS, self.reads, b)
              for b in self.cluster.brokers)]
        self.committer = Committer(
            "committer", "group", "steady", TOPICS["steady"], self.leaders)
        books = [SharedCommits(f"shared steady/{p}")
                 for p in range(TOPICS["steady"])]
        self.sharers = [Sharer(f"sharer-{n}", "shared", "steady", books,
                               self.leaders) for n in range(2)]
        self.committers = [self.committer, *self.sharers]
        self.watchers = self.readers + self.committers
        self.mover = Mover(self.cluster, {
            **TOPICS, **COMPACTED, clusters.OFFSETS: 3},
            self.leaders, self.seed)
        self.topics = ManyTopics(self.cluster, self.leaders)
        self.clients = self.writers + self.watchers + [
            self.mover, self.topics]
        self.checker = ManyChecker(
            self.cluster, TOPICS, self.leaders,
            [led for c in self.writers for led in c.ledgers], self.reads)

    def say(self, what):
        line = f"{time.monotonic() - self.began:6.1f} s: {what}"
        self.story.append(line)
        self.say_line(line)

    def fail(self, what):
        logs = "".join(
            f"\n--- broker {b.broker_id}, the end of its log\n"
            + b.log()[-2500:] for b in self.cluster.brokers)
        raise AssertionError(
            f"seed {self.seed}, round {self.rounds}:\n{what}\n\n"
            + "\n".join(self.story[-40:]) + "\n" + self.summary() + logs)

    # --- the load ---

    def start(self):
        self.cluster.settle()
        for c in self.clients:
            c.start()
        self.await_load()
        self.settle()  # __consumer_offsets, too
        self.go_on()

    def await_load(self):
        """Every client goes on."""
        before = {c: c.acknowledged for c in self.clients}
        end = time.monotonic() + clusters.HEALED
        while True:
            for c in self.clients:
                if c.failure is not None:
                    self.fail(f"{c.name}: {c.failure}")
            idle = [c for c in self.clients if not c.held and
                    c.acknowledged < before[c] + (
                        BETWEEN if c in self.writers else 1)]
            if not idle:
                return
            if time.monotonic() > end:
                self.fail("these do not go on:\n" + "\n".join(
                    f"{c.name}, {c.acknowledged - before[c]} acknowledged: "
                    f"{c.state()} {self._known(c)}" for c in idle))
            time.sleep(0.1)

    def _known(self, client):
        """What is known of its partitions where they are led, and what each
        broker tells of them."""
        if not client.ledgers:
            return ""
        out = {}
        for topic, partition in {(led.topic, led.partition)
                                 for led in client.ledgers}:
            try:
                address = self.leaders.address(topic, partition)
                with wire.Client(address, 5) as c:
                    out[topic, partition] = (
                        address, wire.list_offset(c, topic, -1, partition),
                        c.call("DescribeProducers", 0, Topics=[{
                            "Name": topic, "PartitionIndexes": [partition]}])[
                                "Topics"][0]["Partitions"][0])
            except clusters.UNAVAILABLE as e:
                out[topic, partition] = repr(e)
        told = {}
        for b in self.cluster.brokers:
            try:
                told[b.broker_id] = clusters.Leaders.ask(b.address, sorted(
                    {led.topic for led in client.ledgers}))["Topics"]
            except clusters.UNAVAILABLE as e:
                told[b.broker_id] = repr(e)
        return f"known: {out}, told: {told}"

    def settle(self):
        """All is mended: so is what was moved, which is over then."""
        try:
            self.topics.hold()
            self.mover.hold()
            self.cluster.settle()
        except AssertionError as e:
            self.fail(str(e))

    def go_on(self):
        self.cluster.removals.go_on()
        self.mover.held = self.topics.held = False

    # --- a round ---

    def round(self):
        self.rounds += 1
        most = min(len(self.possible), len(self.cluster.brokers),
                   self.rng.choice((1, 1, 2, 3)))
        kinds = self.rng.sample(self.possible, most)
        kinds = [k for k in kinds if k.alone][:1] or kinds
        for kind in kinds:
            self.counts[kind.__name__] += 1
        if any(issubclass(k, faults.Wipe) for k in kinds):
            self.checker.alike.clear()
        try:
            for fault in faults.strike(self.cluster, self.rng, kinds,
                                       self.say):
                self.effects[type(fault).__name__] += fault.took
        except AssertionError as e:
            self.fail(str(e))
        self.settle()
        self.say("healed")
        self.await_load()
        self.check()
        self.go_on()

    def check(self):
        """Nothing new is sent meanwhile."""
        for c in self.writers + self.committers:
            c.held = True
        self._forget_moved()
        wrong = self.checker.news() + self.checker.last_values()
        wrong += self.checker.replicas()
        wrong += self._strictly() + self._administered()
        if wrong:
            self.fail("\n".join(wrong))
        for c in self.writers + self.committers:
            c.held = False
        self.say(f"checked: {sum(c.acknowledged for c in self.writers)} "
                 f"acknowledged, {self.checker.read} read back")

    def _administered(self):
        return self.mover.wrong() + self.topics.wrong(
            *(b.data for b in self.cluster.brokers))

    def _forget_moved(self):
        """What is a replica again may have another log."""
        for where in self.mover.moved:
            self.checker.alike.pop(where, None)
        self.mover.moved.clear()

    def _strictly(self):
        """All is well: whoever is asked has no excuse."""
        for c in self.watchers:
            c.strict = True
        asked = [c.asked for c in self.committers]
        due = {(r.topic, r.partition): r.next for r in self.checker.readings}
        wrong = []

        def read():
            return self._told() or self._shared_out() and all(
                c.asked >= n + 2 for c, n in zip(self.committers, asked)) and \
                all(c.next[w] >= due[w] for c in self.readers for w in due)
        try:
            harness.wait_until(read, what="readers have what there is")
        except AssertionError as e:
            wrong.append(f"{e}: {due} is there, " + ", ".join(
                f"{c.name} is at {c.next}" for c in self.readers)
                + ", ".join(f", {c.name} asked {c.asked - n} times {c.state()}"
                            for c, n in zip(self.committers, asked)))
        for c in self.watchers:
            c.strict = False
        return wrong + self._told()

    def _told(self):
        """What was wrong in what readers and committers were told."""
        return self.reads.wrong + list(dict.fromkeys(
            w for c in self.committers for w in c.wrong))

    def _shared_out(self):
        """Each partition has one member of the group."""
        return len({c.generation for c in self.sharers}) == 1 and sorted(
            p for c in self.sharers for p in c.has) == list(
                range(TOPICS["steady"]))

    # --- the end ---

    def finish(self):
        """What is under way is acknowledged; then all is read again."""
        self.settle()
        wrong = self._administered()
        for c in (self.mover, self.topics):
            c.finish().join()
        for c in self.writers:
            c.finish()
        for c in self.writers:
            c.join()
        for c in self.committers:
            c.finish().join()
        wrong += self.checker.everything() + self.checker.batches()
        wrong += self.checker.last_values()
        wrong += self.checker.replicas_at_rest()
        wrong += self.checker.compaction_wrong()
        for c in self.readers:
            c.finish()
        for c in self.readers:
            c.join()
        wrong += self._told()
        for c in self.writers:
            if isinstance(c, (IdempotentWriter, Librdkafka)):
                wrong += self._unacknowledged(c)
        if wrong:
            self.fail("\n".join(wrong))

    def _unacknowledged(self, client):
        """Of one that goes on until all is; what a fatal error takes along is
        not known."""
        astray = client.errors["went astray"]
        if astray > 1 + self.rounds // ASTRAY_EACH:
            yield f"{client.name} went astray {astray} times"
        sent = sum(len(led.offsets) for led in client.ledgers)
        if client.errors["ended itself"] == astray and \
                client.acknowledged + client.given_up != sent:
            yield (f"{client.name}: {client.acknowledged} of {sent} "
                   f"acknowledged, {client.given_up} given up")

    def idle_kinds(self):
        """Those that were tried enough, and never took effect."""
        return [kind for kind, n in self.counts.items()
                if n >= ENOUGH and not self.effects[kind]]

    def summary(self):
        lines = [f"{self.rounds} rounds, kinds and how many took effect: "
                 + ", ".join(f"{kind} {self.effects[kind]} of {n}"
                             for kind, n in sorted(self.counts.items())),
                 "packets passed and dropped: %d, %d" % tuple(
                     self.cluster.links.packets()),
                 f"mover: answered {dict(self.mover.counts)}, topics: "
                 f"{self.topics.made} made, {self.topics.deleted} deleted"]
        for led in self.checker.keyed:
            lines.append(f"{led}: {self.checker.left.get(led.name)} of "
                         f"{led.acknowledged} records left")
        for c in self.clients:
            lines.append(f"{c.name}: {c.acknowledged} acknowledged, "
                         f"{c.breaks} breaks, refused {dict(c.errors)}")
        return "\n".join(lines)
