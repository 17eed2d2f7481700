# SPDX-License-Identifier: Apache-2.0
"""kafka-consumer-groups and `barnabas groups` on the same groups: the same
lines, in the order of a hash map there and sorted here, and the same exit
status.

Kafka 3.9's tool puts what it resets, or deletes offsets of, all into one line;
ours has a line each.  Why something failed each tells in its own words, behind
the same name of a class.

What is told of the real Kafka's groups is told of ours, too."""

import re
import threading

import confluent_kafka
import pytest

import harness
from both import SIDES, Both, kind_of

RESET = re.compile(rb"(\S.*?) +(orders|plain) +(\d+) +(\d+)(?= |$)")
DELETED = re.compile(rb"(orders|plain|nothing) +(\d+|Not Provided) +"
                     rb"(Successful|Error: :\S+?Exception)")
UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
REASON = re.compile(rb"(org\.apache\.kafka\.common\.errors\.\w+): .*")
CALLED = "a group, with \"quotes\" and more than 24 letters"


def add_group(broker, group, offsets):
    """A group without members that has committed these."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": broker.address, "group.id": group})
    consumer.commit(offsets=[confluent_kafka.TopicPartition(t, p, o)
                             for (t, p), o in offsets.items()],
                    asynchronous=False)
    consumer.close()


class Members:
    """Consumers that stay in their groups until the end."""

    def __init__(self, broker):
        self.broker, self.consumers = broker, []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._poll)
        self.thread.start()

    def _poll(self):
        while not self.over.is_set():
            with self.lock:
                for consumer in self.consumers:
                    consumer.poll(0)
            self.over.wait(0.05)

    def join(self, group, *topics, **more):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.broker.address, "group.id": group,
            "auto.offset.reset": "earliest", "client.id": f"of-{group}",
            "enable.auto.commit": False,
            **{k.replace("_", "."): v for k, v in more.items()}})
        consumer.subscribe(list(topics))
        with self.lock:
            self.consumers.append(consumer)

    def settled(self):
        def all_have():
            with self.lock:
                return all(c.assignment() for c in self.consumers)
        harness.wait_until(all_have, what="members have partitions")

    def end(self):
        self.over.set()
        self.thread.join()
        for consumer in self.consumers:
            consumer.close()


@pytest.fixture(scope="module", params=SIDES)
def cluster(request, new_factory):
    """Groups that nobody changes: "idle" without members, "busy" with two,
    "static" with one that has a name of its own, and one with an odd name."""
    factory = new_factory("groups-" + request.param)
    broker = factory(kind=kind_of(request.param),
                     group_initial_rebalance_delay_ms=0,
                     offsets_topic_num_partitions=3,
                     offsets_topic_replication_factor=1).start()
    members = None
    try:
        harness.create_topic(broker, "orders", partitions=12)
        harness.create_topic(broker, "plain", partitions=2)
        harness.wait_topic(broker, "orders", partitions=12)
        for partition in range(12):
            harness.kcat(broker, "-P", "-t", "orders", "-p", partition,
                         stdin=b"record\n" * (partition + 3))
        harness.kcat(broker, "-P", "-t", "plain", "-p", 0, stdin=b"one\n" * 9)
        for name in ("idle", CALLED):
            add_group(broker, name, {("orders", p): p for p in range(11)}
                      | {("plain", 0): 9})
        add_group(broker, "busy", {("orders", 0): 1, ("orders", 10): 4,
                                   ("plain", 0): 3})
        members = Members(broker)
        members.join("busy", "orders")
        members.join("busy", "orders")
        members.join("static", "orders", "plain", group_instance_id="chair")
        members.settled()
        yield broker
    finally:
        if members is not None:
            members.end()
        factory.end()


def told(out):
    """The lines of either tool, sorted, reasons left out."""
    head, heading, rows = out.partition(b"NEW-OFFSET")
    lines = [REASON.sub(rb"\1", line.rstrip())
             for line in (head + heading).splitlines()]
    lines += map(b" ".join, RESET.findall(rows.replace(b"\n", b" ")))
    return sorted(line for line in lines if line)


# {(test, its how manieth command): lines}, of whichever broker came first
_first = {}


class Groups(Both):
    def alike(self, *arguments):
        """Both end well; the lines."""
        theirs, ours = self.kafka(*arguments), self.ours(*arguments)
        assert (theirs[0], ours[0]) == (0, 0)
        assert told(ours[1]) == told(theirs[1])
        self.same_of_all(told(ours[1]))
        return told(ours[1])

    def same_of_all(self, lines):
        """But for ports and the ids of members."""
        here = self.broker.address.encode()
        masked = sorted(b" ".join(UUID.sub(b"UUID", line).replace(
            here, b"ADDRESS").split()) for line in lines)
        assert _first.setdefault((self.test, self.count), masked) == masked
        self.count += 1


@pytest.fixture
def groups(java, cluster, request):
    both = Groups(java, cluster, "groups", "kafka-consumer-groups")
    # without the name of the broker
    both.test = re.sub(r"\b(kafka|barnabas)\b", "", request.node.name)
    both.count = 0
    return both


@pytest.mark.parametrize("arguments", (
    (), ("--state",), ("--type",), ("--state", "--type"),
    ("--state", "stable"), ("--state", "Empty, STABLE", "--type"),
    ("--type", "classic"), ("--type", "consumer"), ("--state", "Dead"),
))
def test_list(groups, arguments):
    lines = groups.alike("--list", *arguments)
    assert len(lines) >= 1


@pytest.mark.parametrize("what", (
    (), ("--offsets",), ("--members",), ("--members", "--verbose"),
    ("--state",), ("--state", "--verbose")))
@pytest.mark.parametrize("which", (
    ("--group", "idle"), ("--group", "busy"), ("--group", "static"),
    ("--group", CALLED), ("--group", "none"), ("--all-groups",),
    ("--group", "busy", "--group", "idle", "--group", "busy")))
def test_describe(groups, which, what):
    """What stands beside on standard error is the same, too."""
    lines = groups.alike("--describe", *which, *what)
    assert lines
    done = harness.tool(groups.broker, "groups", "--describe", *which, *what)
    assert sorted(done.stderr.splitlines()) == sorted(
        groups.java.err.splitlines())


def test_described_order(groups):
    """One group's lines: who has more first, then by number."""
    _, out = groups.ours("--describe", "--group", "busy")
    rows = [line.split() for line in out.splitlines() if line.strip()][1:]
    names = [(row[6], int(row[2])) for row in rows]
    assert len(rows) == 13
    assert names[:6] == sorted(names[:6]) and names[6:12] == sorted(
        names[6:12])
    assert rows[-1][:6] == [b"busy", b"plain", b"0", b"3", b"9", b"6"]
    assert rows[0][:6] == [b"busy", b"orders", rows[0][2], *(
        (b"1", b"3", b"2") if rows[0][2] == b"0" else (b"-", rows[0][4],
                                                       b"-"))]


RESETS = (
    ("--to-earliest",), ("--to-latest",), ("--to-current",),
    ("--to-offset", 5), ("--to-offset", 0), ("--to-offset", 10 ** 15),
    ("--to-offset", -7), ("--shift-by", 1), ("--shift-by", -1),
    ("--shift-by", 10 ** 9), ("--to-datetime", "2020-01-01T00:00:00.000"),
    ("--to-datetime", "2020-01-01T00:00:00.000+02:00"),
    ("--to-datetime", "2099-12-31T23:59:59.999Z"),
    ("--by-duration", "P1D"), ("--by-duration", "-P1DT1H"),
)


@pytest.mark.parametrize("to", RESETS)
def test_reset(groups, to):
    """Shown, not done."""
    scope = ("--dry-run", "--group", "idle", "--all-topics", *to)
    lines = groups.alike("--reset-offsets", *scope)
    assert len([line for line in lines if line.startswith(b"idle ")]) == 12
    groups.alike("--reset-offsets", "--export", *scope)


@pytest.mark.parametrize("scope", (
    ("--group", "idle", "--topic", "orders"),
    ("--group", "idle", "--topic", "orders:0,11", "--topic", "plain"),
    ("--group", "none", "--topic", "plain"),
    ("--group", "none", "--all-topics"),
    ("--group", "idle", "--group", "none", "--topic", "plain"),
    ("--group", "idle", "--group", CALLED, "--topic", "plain"),
    ("--group", "busy", "--all-topics"),
    ("--group", "busy", "--group", "idle", "--topic", "plain"),
    ("--all-groups", "--topic", "plain"),
))
def test_reset_scope(groups, scope):
    for more in ((), ("--export",)):
        lines = groups.alike("--reset-offsets", "--dry-run", "--to-latest",
                             *scope, *more)
        assert lines or more


def test_reset_done(groups, cluster, tmp_path):
    """Each tool resets a group of its own, in all ways, and reads what the
    other one exported."""
    start = {("orders", p): 2 for p in range(4)}
    names = ("reset-k", "reset-b")
    plan = tmp_path / "plan.csv"
    for run, other, name in ((groups.kafka, groups.ours, names[0]),
                             (groups.ours, groups.kafka, names[1])):
        add_group(cluster, name, start)
        reset = ("--reset-offsets", "--execute", "--group", name)
        assert run(*reset, "--shift-by", 1, "--topic", "orders:0")[0] == 0
        assert run(*reset, "--to-latest", "--topic", "orders:1")[0] == 0
        assert run(*reset, "--to-earliest", "--topic", "orders:2,7")[0] == 0
        assert run(*reset, "--to-offset", 4, "--topic", "plain:1")[0] == 0
        plan.write_bytes(other("--reset-offsets", "--dry-run", "--export",
                               "--group", name, "--all-topics",
                               "--shift-by", -1)[1].rstrip() + b"\n")
        assert run("--reset-offsets", "--dry-run", "--group", name,
                   "--from-file", plan)[0] == 0
    rows = [[line.split()[1:4] for line in groups.alike(
        "--describe", "--group", name) if b" orders " in line or
        b" plain " in line] for name in names]
    assert rows[0] == rows[1]
    assert {(r[0].decode(), int(r[1])): int(r[2]) for r in rows[0]} == {
        ("orders", 0): 3, ("orders", 1): 4, ("orders", 2): 0,
        ("orders", 3): 2, ("orders", 7): 0, ("plain", 1): 0}
    for run, name in zip((groups.kafka, groups.ours), names):
        assert run("--reset-offsets", "--execute", "--group", name,
                   "--from-file", plan)[0] == 0
        assert run("--delete", "--group", name) == (
            0, f"Deletion of requested consumer groups ('{name}') was "
            "successful.\n".encode())
        assert groups.alike("--describe", "--group", name) == [
            f"Error: Consumer group '{name}' does not exist.".encode()]


def test_reset_from_file(groups, tmp_path):
    plan = tmp_path / "plan.csv"
    for text, which in (
            ("plain,0,4\norders,3,1\n", ("--group", "idle")),
            ("idle,plain,0,4\nnone,orders,3,1\n",
             ("--group", "idle", "--group", "none")),
            ("idle,plain,0,4\n", ("--group", "idle", "--group", "none")),
            (f'idle,plain,0,4\n"{CALLED}",orders,1,1\n'.replace(
                '"quotes"', '""quotes""'), ("--group", CALLED, "--group",
                                            "idle"))):
        plan.write_text(text)
        lines = groups.alike("--reset-offsets", "--dry-run", "--from-file",
                             plan, *which)
        assert len(lines) >= 2


def test_delete(groups, cluster):
    """Of three, one is there; each tool deletes its own."""
    done = []
    for run, name in ((groups.kafka, "gone-k"), (groups.ours, "gone-b")):
        add_group(cluster, name, {("plain", 0): 1})
        status, out = run("--delete", "--group", name, "--group", "none",
                          "--group", "busy")
        assert status == 0
        lines = told(out.replace(name.encode(), b"NAME"))
        # whose quotes Kafka's tool sets wrongly
        done.append([line for line in lines if b"successfully" not in line])
        assert any(b"successfully: 'NAME'" in line for line in lines)
    assert done[0] == done[1]
    assert len(done[0]) == 3


def shown(out):
    """The partitions of --delete-offsets, and how each ended."""
    return sorted(DELETED.findall(out.rpartition(b"STATUS")[2]))


@pytest.mark.parametrize("arguments", (
    ("--group", "NAME", "--topic", "orders"),
    ("--group", "NAME", "--topic", "orders:0,2", "--topic", "plain"),
    ("--group", "NAME", "--topic", "nothing"),
    ("--group", "NAME", "--topic", "plain", "--topic", "nothing"),
    ("--group", "busy", "--topic", "orders:1"),
    ("--group", "none", "--topic", "plain"),
))
def test_delete_offsets(groups, cluster, arguments):
    done = []
    for run, name in ((groups.kafka, "less-k"), (groups.ours, "less-b")):
        add_group(cluster, name, {("orders", p): 1 for p in range(4)})
        status, out = run("--delete-offsets", *[
            name if word == "NAME" else word for word in arguments])
        assert status == 0
        heading = out.partition(b"TOPIC ")[0].replace(name.encode(), b"NAME")
        done.append((heading, shown(out), [
            line.split()[1:4] for line in told(groups.ours(
                "--describe", "--group", name)[1])
            if line.startswith(b"less")]))
    assert done[0] == done[1]
    assert done[0][1]


@pytest.mark.parametrize("arguments", (
    (), ("--list", "--describe"), ("--list", "--group", "idle"),
    ("--list", "--members"), ("--list", "--state", "asleep"),
    ("--list", "--type", "share"), ("--describe",),
    ("--describe", "--group", "idle", "--all-groups"),
    ("--describe", "--group", "idle", "--state", "stable"),
    ("--describe", "--group", "idle", "--members", "--offsets"),
    ("--describe", "--group", "idle", "--topic", "plain"),
    ("--delete",), ("--delete", "--group", "idle", "--topic", "plain"),
    ("--delete-offsets", "--group", "idle"),
    ("--delete-offsets", "--topic", "plain"),
    ("--delete-offsets", "--group", "idle", "--topic", "plain:x"),
    ("--reset-offsets", "--group", "idle", "--all-topics"),
    ("--reset-offsets", "--to-latest", "--all-topics"),
    ("--reset-offsets", "--group", "idle", "--to-latest"),
    ("--reset-offsets", "--group", "idle", "--to-latest", "--to-earliest",
     "--all-topics"),
    ("--reset-offsets", "--group", "idle", "--to-latest", "--execute",
     "--dry-run", "--all-topics"),
    ("--reset-offsets", "--group", "idle", "--shift-by", 1, "--topic",
     "plain:1"),
))
def test_wrong(groups, arguments):
    assert groups.kafka(*arguments)[0] == 1
    assert groups.ours(*arguments) == (1, b"")


@pytest.mark.parametrize("arguments", (
    ("--to-latest", "--topic", "nothing"),
    ("--to-datetime", "yesterday", "--topic", "plain"),
    ("--by-duration", "5m", "--topic", "plain"),
    ("--from-file", "/nowhere"), ("--to-offset", "x", "--topic", "plain"),
))
def test_refused(groups, arguments):
    """Kafka's tool ends with 0 here, though it says that it failed."""
    arguments = ("--reset-offsets", "--dry-run", "--group", "idle",
                 *arguments)
    status, out = groups.kafka(*arguments)
    assert (status, b"\nError: Executing" in out) == (0, True)
    assert groups.ours(*arguments) == (1, b"")
