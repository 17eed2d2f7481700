# SPDX-License-Identifier: Apache-2.0
"""Members of consumer groups as processes, which tell what they do:

    A TIME PARTITION,...    these are assigned, beside what it has
    R TIME PARTITION,...    these are taken away
    r TIME PARTITION OFFSET a record
    E TIME ...              an error that reached it

TIME is in milliseconds.  A record is told before its offset is committed.
Java's tools and ours have words of their own, which are translated; consoles
tell of records only."""

import json
import pathlib
import re
import subprocess
import threading
import time

import harness
import other_clients
import real_kafka

MEMBER = pathlib.Path(__file__).with_name("member.py")
PRINTED = re.compile(r"Partition:(\d+)\tOffset:(\d+)\t")
ORDINARY = re.compile("FetchRe|HeartbeatRe|HEARTBEAT")
SESSION_MS = 12000
CONSOLE_OPTIONS = {
    "session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 1000,
    "auto.commit.interval.ms": 500}


class Kind:
    """How a member is started, and how its lines are read."""

    assigned = True     # it tells of partitions

    def command(self, folder, address, topic, group):
        raise NotImplementedError

    def build(self, program):
        """program(maker): see the fixture."""

    def started(self, member):
        """By the last command."""

    def lost(self, member):
        """It was told to end, or killed."""

    def read(self, line):
        """(letter, time, more...) of each event of a line."""
        words = line.split()
        if not words or words[0] not in ("A", "R", "r", "E"):
            return
        if words[0] == "r":
            yield "r", int(words[1]), int(words[2]), int(words[3])
        elif words[0] in "AR":
            yield words[0], int(words[1]), [
                int(p) for p in "".join(words[2:]).split(",") if p]
        else:
            yield "E", int(words[1]), " ".join(words[2:])


class Python(Kind):
    def __init__(self, library, strategy, session_ms=SESSION_MS):
        self.library = library
        self.words = strategy, str(session_ms)
        self.python = ["/usr/bin/python3"]

    def build(self, program):
        if self.library == "librdkafka":
            self.python = program(other_clients.python)

    def command(self, folder, address, topic, group):
        return [*self.python, str(MEMBER), self.library, address, topic, group,
                *self.words]


class Verifiable(Kind):
    """Java's consumer; it commits behind each poll."""

    def __init__(self, strategy, session_ms=SESSION_MS):
        self.strategy = f"org.apache.kafka.clients.consumer.{strategy}"
        self.session_ms = session_ms

    def command(self, folder, address, topic, group):
        return real_kafka.java(
            folder, real_kafka.MAINS["kafka-verifiable-consumer"],
            "--bootstrap-server", address, "--topic", topic, "--group-id",
            group, "--reset-policy", "earliest", "--session-timeout",
            self.session_ms, "--assignment-strategy", self.strategy, heap="96m")

    def read(self, line):
        event = json.loads(line) if line.startswith("{") else {"name": ""}
        when = event.get("timestamp", 0)
        if event["name"] in ("partitions_assigned", "partitions_revoked"):
            yield ("A" if event["name"].endswith("assigned") else "R", when,
                   [p["partition"] for p in event["partitions"]])
        elif event["name"] == "records_consumed":
            for part in event["partitions"]:
                assert part["count"] == (part["maxOffset"]
                                         - part["minOffset"] + 1), line
                for offset in range(part["minOffset"], part["maxOffset"] + 1):
                    yield "r", when, part["partition"], offset
        elif event["name"] == "offsets_committed" and not event["success"]:
            yield "E", when, event.get("error")


class Static(Verifiable):
    """With names of their own: who comes takes the place of one that was lost,
    as long as there is one."""

    def __init__(self, strategy):
        super().__init__(strategy)
        self.free, self.count, self.names = [], 0, {}

    def command(self, *where):
        if not self.free:
            self.count += 1
            self.free.append(f"chair-{self.count}")
        self.taken = self.free.pop()
        return [*super().command(*where), "--group-instance-id", self.taken]

    def started(self, member):
        self.names[member] = self.taken

    def lost(self, member):
        member.process.wait()
        self.free.append(self.names[member])


class Console(Kind):
    assigned = False
    shown = ("--property", "print.partition=true", "--property",
             "print.offset=true", "--from-beginning")

    def options(self):
        for name, value in CONSOLE_OPTIONS.items():
            yield from ("--consumer-property", f"{name}={value}")

    def read(self, line):
        found = PRINTED.match(line)
        if found:
            yield ("r", int(time.time() * 1000), int(found[1]), int(found[2]))


class JavaConsole(Console):
    def command(self, folder, address, topic, group):
        return real_kafka.java(
            folder, real_kafka.MAINS["kafka-console-consumer"],
            "--bootstrap-server", address, "--topic", topic, "--group", group,
            *self.shown, *self.options(), heap="96m")


class OurConsole(Console):
    def command(self, folder, address, topic, group):
        return [str(harness.CONSOLE), "consume", "--bootstrap-server",
                address, "--topic", topic, "--group", group, *self.shown,
                *self.options()]


class Built(Kind):
    """Of another language: tests/interop/clients."""

    def __init__(self, name):
        self.name = name

    def build(self, program):
        self.program = program(other_clients.MEMBERS.get(
            self.name, other_clients.MAKERS[self.name]))

    def command(self, folder, address, topic, group):
        return [*self.program, "member", address, topic, group]


KINDS = {
    "librdkafka-range": [Python("librdkafka", "range")],
    "librdkafka-roundrobin": [Python("librdkafka", "roundrobin")],
    "librdkafka-cooperative": [Python("librdkafka", "cooperative-sticky")],
    "kafka-python": [Python("kafka-python", "range")],
    "java": [Verifiable("RangeAssignor")],
    "java-roundrobin": [Verifiable("RoundRobinAssignor")],
    "java-sticky": [Verifiable("StickyAssignor")],
    "java-cooperative": [Verifiable("CooperativeStickyAssignor")],
    "java-static": [Static("RangeAssignor")],
    "java-console": [JavaConsole()],
    "barnabas": [OurConsole()],
    "mixed": [Python("librdkafka", "range"), Verifiable("RangeAssignor"),
              Python("kafka-python", "range"), OurConsole()],
    **{name: [Built(name)] for name in other_clients.MAKERS},
}


class Member:
    """A process, and its events so far."""

    def __init__(self, number, kind, folder, *where):
        self.name, self.kind = f"member-{number}", kind
        self.events, self.dead = [], False
        self.wrong = None
        self.log_path = pathlib.Path(folder) / f"{self.name}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                kind.command(folder, *where), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log)
        kind.started(self)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for raw in self.process.stdout:
            # what a kill cut off is no line
            if raw.endswith(b"\n"):
                try:
                    self.events += self.kind.read(raw.decode())
                except Exception as e:  # noqa: BLE001: told by ended()
                    self.wrong = self.wrong or f"{raw[:200]}: {e!r}"

    def log(self, length=2000):
        """Its last lines, without what comes all the time."""
        return "\n".join(
            line for line in self.log_path.read_text(
                errors="replace").splitlines()
            if not ORDINARY.search(line))[-length:]

    def joined(self):
        return not self.kind.assigned or any(e[0] == "A" for e in self.events)

    def stop(self):
        self.process.terminate()

    def kill(self):
        self.dead = True
        self.process.kill()

    def ended(self, seconds=harness.PATIENCE):
        """Until all that it told has been read; its status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end within {seconds} "
                                 f"s:\n{self.log(12000)}") from None
        self.thread.join(seconds)
        self.process.stdout.close()
        assert self.wrong is None, f"{self.name}: {self.wrong}"
        return status


class Span:
    """What one member read of one partition while it had it."""

    def __init__(self, member):
        self.member, self.records = member, []

    @property
    def first(self):
        return self.records[0]

    @property
    def last(self):
        return self.records[-1]

    def __str__(self):
        return f"{self.member} read {self.first[1]} to {self.last[1]}"


def spans_of(member, wrong):
    """{partition: [Span, ...]} of its events."""
    held, found = {}, {}
    for letter, when, *more in member.events:
        if letter == "A":
            for p in more[0]:
                held[p] = Span(member.name)
                found.setdefault(p, []).append(held[p])
        elif letter == "R":
            for p in more[0]:
                held.pop(p, None)
        elif letter == "r":
            partition, offset = more
            span = held.get(partition)
            if span is None:
                wrong.append(f"{member.name} read {partition}:{offset}, "
                             "which it did not have")
                continue
            if span.records and offset != span.last[1] + 1:
                wrong.append(f"{member.name}, in one generation: "
                             f"{partition}:{offset} behind {span.last[1]}")
            span.records.append((when, offset))
    return found


def judge(members, ends):
    """What is wrong with what they told of partitions that end there."""
    wrong, seen, spans = [], {p: set() for p in ends}, {}
    for member in members:
        for event in member.events:
            if event[0] == "r":
                seen[event[2]].add(event[3])
        if member.kind.assigned:
            for p, some in spans_of(member, wrong).items():
                spans.setdefault(p, []).extend(s for s in some if s.records)
    for partition, end in ends.items():
        lost = set(range(end)) - seen[partition]
        if lost:
            wrong.append(f"partition {partition}: {len(lost)} of {end} were "
                         f"seen by nobody: {sorted(lost)[:10]}")
        if seen[partition] - set(range(end)):
            wrong.append(f"partition {partition}: seen beyond its end")
    if all(m.kind.assigned for m in members):
        wrong += [text for p, some in spans.items()
                  for text in between(p, some)]
    return wrong


def between(partition, spans):
    """From one member to the next: nobody reads beside another, and nothing is
    passed over."""
    spans = sorted(spans, key=lambda s: s.first)
    reached = 0
    for before, after in zip([None, *spans], spans):
        if before is not None and after.first[0] < before.last[0]:
            yield (f"partition {partition}: {after}, while {before}")
        if after.first[1] > reached:
            yield (f"partition {partition}: {after}, but those before only "
                   f"came to {reached - 1}")
        reached = max(reached, after.last[1] + 1)
