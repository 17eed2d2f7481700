# SPDX-License-Identifier: Apache-2.0
"""One run: a broker, its clients, the moments at which it is killed, and what
is checked after each of its deaths."""

import collections
import os
import random
import time

import harness
from clients import IdempotentWriter, KafkaPython, Librdkafka, RawWriter
from ledger import Ledger
from readers import Checker
from side import Moments, TopicMaker, Trimmer, retained_wrong

RETENTION_BYTES = 150000
# "rolling" has small segments, "steady" one large one
TOPICS = {"rolling": 3, "steady": 3}


def load_clients(address):
    def raw(kind, name, topic, partition, **settings):
        return kind(address, Ledger(name, topic, partition), **settings)

    def librdkafka(name, topic, **settings):
        return Librdkafka(address, name, topic, TOPICS[topic], **settings)
    once = {"enable.idempotence": True}
    return [
        raw(RawWriter, "raw-one", "rolling", 0, acks=1),
        raw(RawWriter, "raw-all", "steady", 0,
            codecs=("none", "gzip", "zstd")),
        raw(RawWriter, "raw-packed", "rolling", 1, acks=1,
            codecs=("lz4", "snappy")),
        raw(IdempotentWriter, "raw-once", "rolling", 2, depth=1),
        raw(IdempotentWriter, "raw-once-5", "steady", 1, depth=5,
            codecs=("none", "zstd")),
        librdkafka("rd-once", "rolling", **once),
        librdkafka("rd-once-1", "rolling", **once, **{
            "max.in.flight": 1, "compression.codec": "lz4"}),
        librdkafka("rd-once-zstd", "steady", **once, **{
            "compression.codec": "zstd"}),
        librdkafka("rd-plain", "steady", **{
            "acks": 1, "compression.codec": "snappy"}),
        KafkaPython(address, "kafka-python", "steady", 2),
    ]


class Run:
    def __init__(self, make_broker, seed, between):
        """between: how many records are acknowledged from one kill to the
        next, at least."""
        self.rng = random.Random(seed)
        self.seed, self.between = seed, between
        self.kinds = collections.Counter()
        self.kills = 0
        self.broker = make_broker(
            auto_create_topics_enable="false", log_segment_delete_delay_ms=300,
            log_retention_check_interval_ms=300, log_initial_task_delay_ms=100,
            log_index_interval_bytes=1000).start()
        for name, configs in (
                ("rolling", {"segment_bytes": 80000}), ("steady", {}),
                ("trimmed", {"segment_bytes": 50000}),
                ("retained", {"segment_bytes": 30000,
                              "retention_bytes": RETENTION_BYTES})):
            harness.create_topic(self.broker, name, TOPICS.get(name, 1),
                                 **configs)
            harness.wait_topic(self.broker, name, TOPICS.get(name, 1))
        self._make_clients()

    def _make_clients(self):
        address = self.broker.address
        self.moments = Moments()
        self.load = load_clients(address)
        self.topics = TopicMaker(address, self.moments)
        self.trimmer = Trimmer(address, "trimmed", self.moments)
        self.beside = [
            RawWriter(address, Ledger(n, n), depth=1, pause=0.01, acks=1)
            for n in ("trimmed", "retained")]
        self.clients = self.load + self.beside + [self.topics, self.trimmer]
        self.checker = Checker(
            address, TOPICS, [led for c in self.load for led in c.ledgers])

    def fail(self, what):
        raise AssertionError(
            f"seed {self.seed}, kill {self.kills}, {dict(self.kinds)}:\n"
            + what + "\n" + self.broker.log()[-3000:])

    # --- the load ---

    def start(self):
        for c in self.clients:
            c.start()

    def await_load(self):
        """So many records more are acknowledged, and every client had some."""
        before = {c: c.acknowledged for c in self.clients}
        enough = sum(before[c] for c in self.load) + self.between
        end = time.monotonic() + 4 * harness.PATIENCE
        while True:
            for c in self.clients:
                if c.failure is not None:
                    self.fail(f"{c.name}: {c.failure}")
            idle = [c.name for c in self.clients if c.acknowledged == before[c]]
            now = sum(c.acknowledged for c in self.load)
            if not idle and now >= enough:
                return
            if time.monotonic() > end:
                self.fail(f"{now} of {enough} acknowledged, none of {idle}\n"
                          + self.summary())
            time.sleep(0.005)

    def finish(self):
        """What is under way is acknowledged; nothing was given up."""
        for c in self.clients:
            c.finish()
        for c in self.clients:
            c.join()

    def hold(self, held):
        for c in self.load + self.beside:
            c.held = held

    # --- the kills ---

    def kill_at(self, moment):
        """`moment` is the name of a method below."""
        self.kills += 1
        self.kinds[moment] += 1
        getattr(self, moment)()
        self.broker.kill()

    def _sleep(self, most):
        time.sleep(self.rng.uniform(0, most))

    def instant(self):
        self._sleep(0.3)

    def _strike(self, what, most=0.02):
        self.moments.wait(what)
        self._sleep(most)

    def creation(self):
        self._strike("creation")

    def deletion(self):
        self._strike("deletion")

    def trim(self):
        self._strike("trim")

    def _new_file(self, folders, ending):
        def names():
            return {n for f in folders for n in os.listdir(f)
                    if n.endswith(ending)}
        before = names()
        end = time.monotonic() + harness.PATIENCE
        while not names() - before:
            assert time.monotonic() < end, f"no new {ending}"
            time.sleep(0.0005)

    def roll(self):
        self._new_file([self.broker.data / f"rolling-{p}" for p in range(3)],
                       ".log")
        self._sleep(0.003)

    def retention(self):
        self._new_file([self.broker.data / "retained-0"], ".deleted")
        self._sleep(0.003)

    def stop(self):
        self.broker.process.terminate()
        self._sleep(0.3)
        if self.broker.process.poll() is not None:
            self.kinds["stop that was quicker"] += 1

    def recovery(self):
        """It dies, and again while it starts."""
        self.broker.kill()
        for _ in range(self.rng.randint(1, 4)):
            self._launch()
            self._sleep(self.rng.choice((0.05, 0.15, 0.3)))
            self.broker.kill()
            self.kinds[f"again, {self._stage()}"] += 1

    # what the log says at the latest, and which part of a start comes then
    STAGES = ((" running (daemon)", "running"),
              (" loaded logs=", "behind loading"),
              (" loading logs=", "loading"),
              (" starts (daemon)", "before loading"))

    def _stage(self):
        text = self.broker.log()
        text = text[text.rfind(self.STAGES[-1][0]):]
        return next((n for s, n in self.STAGES if s in text), "at once")

    MOMENTS = ("instant", "recovery", "roll", "creation", "deletion", "stop",
               "retention", "trim")

    def _launch(self):
        self.broker.set(
            log_flush_offset_checkpoint_interval_ms=self.rng.choice(
                (50, 1000, 60000)),
            num_recovery_threads_per_data_dir=self.rng.choice((1, 2, 4)))
        self.broker.launch()

    def restart(self):
        """And nothing new is sent until all has been checked."""
        self.hold(True)
        self._launch()
        self.broker.wait_ready()
        for name in (*TOPICS, "trimmed", "retained"):
            harness.wait_topic(self.broker, name, TOPICS.get(name, 1))

    # --- the check ---

    def check(self, whole=False):
        address = self.broker.address
        wrong = self.checker.everything() if whole else self.checker.news()
        wrong += self.topics.wrong(self.broker.data)
        wrong += self.trimmer.wrong(self.beside[0].ledgers)
        wrong += retained_wrong(address, "retained", self.beside[1].ledgers,
                                RETENTION_BYTES)
        if wrong:
            self.fail("\n".join(wrong))
        self.hold(False)

    def check_last(self):
        """Nothing is under way any more."""
        self.check(whole=True)
        wrong = self.checker.batches()
        for c in self.load:
            for led in c.ledgers:
                if c.errors and not isinstance(c, RawWriter):
                    wrong.append(f"{led}: {dict(c.errors)}")
                if not isinstance(c, IdempotentWriter) and isinstance(
                        c, RawWriter):
                    continue
                if led.acknowledged != len(led.offsets):
                    wrong.append(f"{led}: {led.acknowledged} of "
                                 f"{len(led.offsets)} acknowledged")
        if wrong:
            self.fail("\n".join(wrong))

    def summary(self):
        lines = [f"{self.kills} kills: {dict(self.kinds)}"]
        for c in self.clients:
            lines.append(f"{c.name}: {c.acknowledged} acknowledged, "
                         f"{c.breaks} breaks, refused {dict(c.errors)}")
        lines.append(f"{sum(c.acknowledged for c in self.load)} acknowledged "
                     f"records, {self.checker.read} read back; starts that "
                     f"fell back: {self.trimmer.fell_back}")
        return "\n".join(lines)
