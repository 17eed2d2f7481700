# SPDX-License-Identifier: Apache-2.0
"""AlterReplicaLogDirs: partitions move between log directories while they are
written and read, and whatever dies when."""

import pathlib
import random
import shutil
import threading
import time

import pytest

import disks as small_disks
import dynamic_configs
import harness
import wire

NONE, UNKNOWN_TOPIC, NOT_AVAILABLE, INVALID_TOPIC = 0, 3, 9, 17
STORAGE_ERROR, NOT_FOUND = 56, 57


def dirs_of(broker):
    return [pathlib.Path(p) for p in
            str(broker.options["log.dirs"]).split(",")]


def with_dirs(make_broker, count=2, **options):
    """A broker with so many log directories."""
    broker = make_broker(**options)
    paths = [broker.folder / f"disk-{i}" for i in range(count)]
    broker.set(log_dirs=",".join(map(str, paths)))
    return broker


@pytest.fixture
def broker(make_broker):
    return with_dirs(make_broker, log_segment_bytes=200000,
                     log_segment_delete_delay_ms=100).start()


def alter(client, *wanted, version=2):
    """wanted: (directory, topic, partitions); {(topic, partition): error}."""
    answer = client.call("AlterReplicaLogDirs", version, Dirs=[
        {"Path": str(d), "Topics": [{"Name": t, "Partitions": p}]}
        for d, t, p in wanted])
    rows = [((r["TopicName"], p["PartitionIndex"]), p["ErrorCode"])
            for r in answer["Results"] for p in r["Partitions"]]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def described(client, topic, partition=0):
    """[(directory, is it a copy?, lag, size)]"""
    answer = client.call("DescribeLogDirs", 3, Topics=[
        {"Topic": topic, "Partitions": [partition]}])
    return [(pathlib.Path(d["LogDir"]), p["IsFutureKey"], p["OffsetLag"],
             p["PartitionSize"])
            for d in answer["Results"] for t in d["Topics"]
            for p in t["Partitions"]]


def where(broker, topic, partition=0):
    """The directory that has the partition.  After a move the other one is
    cleared a moment later."""
    name = f"{topic}-{partition}"
    return harness.wait_until(
        lambda: found[0] if len(found := [
            d for d in dirs_of(broker) if (d / name).is_dir()]) == 1
        else None, what=f"{name} in one directory")


def other(broker, topic, partition=0):
    here = where(broker, topic, partition)
    return next(d for d in dirs_of(broker) if d != here)


def names(broker, kind):
    return [p for d in dirs_of(broker) for p in d.glob(f"*-{kind}")]


def wait_moved(client, topic, goal, partition=0):
    harness.wait_until(
        lambda: [r[:2] for r in described(client, topic, partition)]
        == [(goal, False)], what=f"{topic} in {goal}")


def fill(client, topic, count=100, size=5000, partition=0, first=0):
    for n in range(first, first + count):
        answer = wire.produce(client, topic, wire.batch(
            [b"%08d" % n + b"x" * size]), partition=partition)
        assert answer["ErrorCode"] == NONE, answer


def numbers(client, topic, partition=0, offset=0):
    return [int(r[3][:8]) for r in wire.read_all(client, topic,
                                                 partition=partition,
                                                 offset=offset)]


@pytest.mark.parametrize("version", (1, 2))
def test_moves(broker, version):
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        fill(c, "t")
        here, goal = where(broker, "t"), other(broker, "t")
        assert alter(c, (goal, "t", [0]), version=version) == {
            ("t", 0): NONE}
        wait_moved(c, "t", goal)
        assert where(broker, "t") == goal
        assert numbers(c, "t") == list(range(100))
        fill(c, "t", 10, first=100)
        harness.wait_until(lambda: not list(here.glob("t-0*")),
                           what="the old files gone")
        harness.wait_until(
            lambda: not list((goal / "t-0").glob("barnabas*")),
            what="no mark of a move")
        harness.wait_until(
            lambda: "t 0 " not in
            (here / "recovery-point-offset-checkpoint").read_text(),
            what="the old checkpoint forgets it")
        # And back.
        assert alter(c, (here, "t", [0])) == {("t", 0): NONE}
        wait_moved(c, "t", here)
        assert numbers(c, "t") == list(range(110))
    broker.stop()
    broker.start()
    with wire.Client(broker.address) as c:
        harness.wait_topic(broker, "t")
        assert numbers(c, "t") == list(range(110))
        assert where(broker, "t") == here


def test_errors(broker, zookeeper):
    long_name = "x" * 215
    harness.create_topic(broker, "t")
    harness.create_topic(broker, long_name)
    with wire.Client(broker.address) as c:
        here, goal = where(broker, "t"), other(broker, "t")
        assert alter(c, ("/no/such", "t", [0]), (here, "t", [7]),
                     ("/no/such", "no", [1]), (goal, "no", [2]),
                     (goal, long_name, [0])) == {
            ("t", 0): NOT_FOUND, ("t", 7): UNKNOWN_TOPIC,
            ("no", 1): NOT_FOUND, ("no", 2): UNKNOWN_TOPIC,
            (long_name, 0): INVALID_TOPIC}
        # Where it lies already; the last word counts.
        assert alter(c, (goal, "t", [0]), (here, "t", [0])) == {
            ("t", 0): NONE}
        assert alter(c) == {}
        assert [r[:2] for r in described(c, "t")] == [(here, False)]


def test_a_place_for_what_is_to_come(broker):
    """Every partition, though the other directory would take half of them."""
    goal = dirs_of(broker)[1]
    with wire.Client(broker.address) as c:
        assert set(alter(c, (goal, "later", list(range(6)))).values()) == {
            UNKNOWN_TOPIC}
    harness.create_topic(broker, "later", 6)
    assert {where(broker, "later", p) for p in range(6)} == {goal}


def throttle(broker, limit):
    """Before the start: bytes a second of all moves."""
    client = harness.connect_zk(broker)
    client.ensure_path("/config/brokers")
    data = ('{"version":1,"config":{"replica.alter.log.dirs.io.max.bytes.'
            'per.second":"%d"}}' % limit).encode()
    path = f"/config/brokers/{broker.broker_id}"
    if client.exists(path):
        client.set(path, data)
    else:
        client.create(path, data)
    client.end()


@pytest.fixture
def slow(make_broker):
    """Its moves take as long as they are looked at."""
    broker = with_dirs(make_broker, 3, log_segment_bytes=200000,
                       log_segment_delete_delay_ms=100,
                       log_retention_check_interval_ms=300)
    broker.start()
    broker.stop()
    throttle(broker, 50000)
    return broker.start()


def test_a_copy_is_described_and_given_up(slow):
    harness.create_topic(slow, "t")
    with wire.Client(slow.address) as c:
        fill(c, "t", 200)
        here = where(slow, "t")
        first, second = [d for d in dirs_of(slow) if d != here]
        assert alter(c, (first, "t", [0])) == {("t", 0): NONE}
        harness.wait_until(lambda: any(
            r[0] == first and r[1] and 0 < r[2] < 200 and r[3] > 0
            for r in described(c, "t")), what="the copy grows")
        assert len(list(first.glob("t-0.*-future"))) == 1
        rows = described(c, "t")
        assert [r for r in rows if not r[1]][0][0] == here
        # The same again is no news; another directory is.
        assert alter(c, (first, "t", [0])) == {("t", 0): NONE}
        assert len(list(first.glob("t-0.*-future"))) == 1
        assert alter(c, (second, "t", [0])) == {("t", 0): NONE}
        assert not list(first.glob("t-0.*-future"))
        assert len(list(second.glob("t-0.*-future"))) == 1
        assert {r[:2] for r in described(c, "t")} == {
            (here, False), (second, True)}
        # Where it is: nothing moves.
        assert alter(c, (here, "t", [0])) == {("t", 0): NONE}
        assert [r[:2] for r in described(c, "t")] == [(here, False)]
        assert not names(slow, "future")
        assert numbers(c, "t") == list(range(200))


def test_a_copy_outlives_a_stop(slow):
    harness.create_topic(slow, "t")
    with wire.Client(slow.address) as c:
        fill(c, "t", 200)
        goal = other(slow, "t")
        assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
    slow.stop()
    assert len(names(slow, "future")) == 1
    throttle(slow, 2 ** 40)
    slow.start()
    with wire.Client(slow.address) as c:
        wait_moved(c, "t", goal)
        assert numbers(c, "t") == list(range(200))
        assert not names(slow, "future")


@pytest.mark.ours
def test_the_limit_changes_at_run_time(slow):
    slow.stop()
    throttle(slow, 1)
    slow.start()
    harness.create_topic(slow, "t")
    with wire.Client(slow.address) as c:
        fill(c, "t", 20)
        goal = other(slow, "t")
        assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
        assert len(names(slow, "future")) == 1
        assert dynamic_configs.alter(
            c, dynamic_configs.BROKER, str(slow.broker_id),
            ("replica.alter.log.dirs.io.max.bytes.per.second",
             dynamic_configs.DELETE, None))[0] == NONE
        wait_moved(c, "t", goal)
        assert numbers(c, "t") == list(range(20))
        assert slow.metric(
            "kafka_server_alterlogdirsreplication_byte_rate") > 0


def test_a_topic_goes_while_it_moves(slow):
    harness.create_topic(slow, "t")
    with wire.Client(slow.address) as c:
        fill(c, "t", 100)
        goal = other(slow, "t")
        assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
        answer = c.call("DeleteTopics", 5, TimeoutMs=30000, TopicNames=["t"])
        assert answer["Responses"][0]["ErrorCode"] == NONE
        harness.wait_until(lambda: not names(slow, "future")
                           and not names(slow, "delete"),
                           what="the files gone")
        harness.create_topic(slow, "t")
        assert numbers(c, "t") == []


@pytest.mark.ours
def test_records_are_deleted_while_it_moves(slow):
    """The answer comes when the copy, too, begins there: ours begins anew, in
    Kafka's it has to come so far, which times out here."""
    harness.create_topic(slow, "t")
    with wire.Client(slow.address) as c:
        fill(c, "t", 200)
        goal = other(slow, "t")
        assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
        answer = c.call("DeleteRecords", 2, TimeoutMs=30000, Topics=[
            {"Name": "t", "Partitions": [{"PartitionIndex": 0,
                                          "Offset": 190}]}])
        assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == NONE
        wait_moved(c, "t", goal)
        assert numbers(c, "t", offset=190) == list(range(190, 200))
        assert wire.list_offset(c, "t", -2)["Offset"] == 190
    slow.kill()
    slow.start()
    harness.wait_topic(slow, "t")
    with wire.Client(slow.address) as c:
        assert wire.list_offset(c, "t", -2)["Offset"] == 190
        assert numbers(c, "t", offset=190) == list(range(190, 200))


class Traffic:
    """Writes numbers to a topic and reads them, each in its turn."""

    def __init__(self, broker, topic):
        self.broker, self.topic = broker, topic
        self.written, self.read, self.errors = 0, [], []
        self.over = self.last = False
        self.threads = [threading.Thread(target=self._run, args=(f,))
                        for f in (self._write, self._read)]

    def _run(self, what):
        try:
            with wire.Client(self.broker.address) as c:
                what(c)
        except Exception as e:  # told by the test
            self.errors.append(e)

    def _write(self, c):
        while not self.over:
            fill(c, self.topic, 1, 300, first=self.written)
            self.written += 1

    def _read(self, c):
        while not self.last or len(self.read) < self.written:
            got = wire.fetch(c, self.topic, len(self.read), max_wait_ms=200)
            assert got["ErrorCode"] == NONE, got
            for batch in wire.batches(got["Records"] or b""):
                for record in batch.records():
                    if record[0] == len(self.read):
                        self.read.append(int(record[3][:8]))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.over = True
        self.threads[0].join(60)
        self.last = True
        self.threads[1].join(60)
        if kind is None:
            assert not self.errors, self.errors
            assert self.read == list(range(self.written))


def test_traffic_goes_on(broker):
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c, Traffic(broker, "t") as traffic:
        for _ in range(6):
            goal = other(broker, "t")
            seen = traffic.written
            assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
            wait_moved(c, "t", goal)
            harness.wait_until(lambda: traffic.written > seen + 50
                               or traffic.errors, what="more records")


@pytest.mark.ours
def test_killed_while_it_moves(make_broker):
    """Deaths at any moment: one whole copy is there, and the move goes on."""
    broker = with_dirs(make_broker, log_segment_bytes=100000,
                       log_segment_delete_delay_ms=100).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        fill(c, "t", 400)
    dice = random.Random(7)
    for n in range(12):
        with wire.Client(broker.address) as c:
            goal = other(broker, "t")
            assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
            time.sleep(dice.random() * 0.12)
        broker.kill()
        broker.start()
        harness.wait_topic(broker, "t")
        with wire.Client(broker.address) as c:
            wait_moved(c, "t", goal)
            assert numbers(c, "t") == list(range(400 + n))
            fill(c, "t", 1, first=400 + n)
    harness.wait_until(
        lambda: not names(broker, "delete") and not names(broker, "future"),
        what="nothing left over")


def mark(log, kind, here, goal, move="AAAAAAAAAAAAAAAAAAAAAA"):
    """As a broker writes it when the log moves from `here` to `goal`."""
    topic = (log / "partition.metadata").read_text().split()[-1]
    (log / f"barnabas.{kind}").write_text(
        f"version: 1\nmove_id: {move}\ntopic_id: {topic}\n"
        f"from: {here}\nto: {goal}\n")


def between_two_renames(broker, kind="arrives"):
    """Dead, with 50 records in both directories; (here, goal)."""
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        fill(c, "t", 50)
        here, goal = where(broker, "t"), other(broker, "t")
    broker.kill()
    shutil.copytree(here / "t-0", goal / "t-0")
    mark(here / "t-0", "leaves", here, goal)
    mark(goal / "t-0", kind, here, goal)
    return here, goal


@pytest.mark.ours
@pytest.mark.parametrize("kind", ("arrives", "moved"))
def test_killed_between_two_renames(broker, kind):
    """Both are there; the one that has come from the other is it."""
    here, goal = between_two_renames(broker, kind)
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert where(broker, "t") == goal
        assert numbers(c, "t") == list(range(50))
    assert not list((goal / "t-0").glob("barnabas*"))
    broker.stop()
    # Who knows which one it is?
    shutil.copytree(goal / "t-0", here / "t-0")
    broker.launch()
    assert broker.process.wait(60) != 0
    assert "is in two log directories" in broker.log()
    # A mark of another move is no proof.
    mark(here / "t-0", "leaves", here, goal)
    mark(goal / "t-0", kind, here, goal, move="B" + "A" * 21)
    if kind == "moved":
        broker.launch()
        assert broker.process.wait(60) != 0
    shutil.rmtree(here / "t-0")
    broker.start()
    with wire.Client(broker.address) as c:
        harness.wait_topic(broker, "t")
        assert numbers(c, "t") == list(range(50))


def produce_error(client):
    return wire.produce(client, "t", wire.batch([b"x"]))["ErrorCode"]


@pytest.mark.ours
@pytest.mark.parametrize("away", ("old", "new"))
def test_one_of_two_is_away(broker, away):
    """Whether it is the one, the other must tell: nobody serves, nothing is
    lost, and it is made nowhere else."""
    here, goal = between_two_renames(broker)
    gone = here if away == "old" else goal
    gone.rename(f"{gone}-away")
    gone.write_text("not a directory")
    broker.start()
    with wire.Client(broker.address) as c:
        harness.wait_until(lambda: produce_error(c) == STORAGE_ERROR,
                           what="its error")
        assert "t-0 is not served" in broker.log()
        assert where(broker, "t") == (goal if away == "old" else here)
    broker.stop()
    gone.unlink()
    pathlib.Path(f"{gone}-away").rename(gone)
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert numbers(c, "t") == list(range(50))
        assert where(broker, "t") == goal
        assert produce_error(c) == NONE


@pytest.mark.ours
def test_the_operator_decides(broker):
    """It left for a directory that is not configured any more: it is served
    when the file goes that the log names."""
    here, goal = between_two_renames(broker)
    mark(here / "t-0", "leaves", here, "/no/such/directory")
    shutil.rmtree(goal / "t-0")
    broker.start()
    with wire.Client(broker.address) as c:
        harness.wait_until(lambda: produce_error(c) == STORAGE_ERROR,
                           what="its error")
        assert alter(c, (goal, "t", [0])) == {("t", 0): STORAGE_ERROR}
    assert f"remove {here}/t-0/barnabas.leaves" in broker.log()
    broker.stop()
    (here / "t-0" / "barnabas.leaves").unlink()
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert numbers(c, "t") == list(range(50))
        assert alter(c, (goal, "t", [0])) == {("t", 0): NONE}
        wait_moved(c, "t", goal)
        assert numbers(c, "t") == list(range(50))


@pytest.fixture
def disks(tmp_path):
    made = small_disks.Disks(tmp_path / "disks")
    yield made
    made.end()


def two_disks(make_broker, disks, kind):
    """A broker on a large and a small one, with a topic on the large."""
    large, small = getattr(disks, kind)("large", 48), disks.ext4("small", 16)
    broker = disks.give(make_broker(barnabas_disk_reserve_bytes=0,
                                    log_segment_bytes=1 << 20),
                        large, small).start()
    with wire.Client(broker.address) as c:
        alter(c, (large.path, "t", [0]))
        harness.create_topic(broker, "t")
        assert [r[0] for r in described(c, "t")] == [large.path]
        fill(c, "t", 100, 50000)
    return broker, small


@pytest.mark.ours
def test_no_room_where_it_is_to_go(make_broker, disks):
    """It serves where it is, and moves when there is room."""
    broker, small = two_disks(make_broker, disks, "ext4")
    small.ballast(2 << 20)
    with wire.Client(broker.address) as c:
        assert alter(c, (small.path, "t", [0])) == {("t", 0): NONE}
        harness.wait_until(lambda: "cannot move" in broker.log(),
                           what="a line about it")
        fill(c, "t", 5, 50000, first=100)
        assert numbers(c, "t") == list(range(105))
        assert broker.metric("kafka_log_offline_dirs") == 0
        small.drop_ballast()
        wait_moved(c, "t", pathlib.Path(small.path))
        assert numbers(c, "t") == list(range(105))
    broker.stop()


@pytest.mark.ours
def test_the_disk_fails_where_it_is_to_go(make_broker, disks):
    broker, small = two_disks(make_broker, disks, "tmpfs")
    small.ballast(2 << 20)
    with wire.Client(broker.address) as c:
        assert alter(c, (small.path, "t", [0])) == {("t", 0): NONE}
        harness.wait_until(lambda: "cannot move" in broker.log(),
                           what="a line about it")
        small.fail()
        harness.wait_until(
            lambda: broker.metric("kafka_log_offline_dirs") == 1,
            what="the directory offline")
        harness.wait_until(lambda: "stays where it is" in broker.log(),
                           what="a line about the end")
        fill(c, "t", 5, 50000, first=100)
        assert numbers(c, "t") == list(range(105))
        assert alter(c, (small.path, "t", [0])) == {("t", 0): STORAGE_ERROR}
    broker.stop()
