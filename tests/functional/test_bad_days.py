# SPDX-License-Identifier: Apache-2.0
"""The machine turns against the broker: full, failing, frozen and read-only
disks, no descriptors, damaged files.  Each day ends with what was acknowledged
still there, and is told by a metric and a line of the log."""

import json
import random
import resource
import shutil
import signal
import struct
import time

import kazoo.exceptions
import pytest

import disks as small_disks
import harness
import load
import wire
from test_elect_leaders import create_on
from test_replication import (
    OFFLINE_PARTITIONS, in_sync, shows, shows_replicas, state)

pytestmark = pytest.mark.ours
STORAGE_ERROR = 56
OFFLINE_DIRS = "kafka_log_offline_dirs"
OFFLINE_REPLICAS = "kafka_server_replicamanager_offlinereplicacount"
FULL = "barnabas_log_dir_full"
FAILED_PRODUCE = "kafka_server_brokertopicmetrics_failedproducerequests_total"
MIB = 1 << 20


@pytest.fixture
def disks(tmp_path):
    made = small_disks.Disks(tmp_path / "disks")
    yield made
    made.end()


@pytest.fixture
def make_disk_broker(disks, make_broker):
    """Brokers that end before their disks do."""
    def make(*on, **options):
        options.setdefault("barnabas_disk_reserve_bytes", 0)
        return disks.give(make_broker(**options), *on)
    yield make
    for disk in disks.disks:
        disk.thaw()


class Ledger:
    """Appends numbered records and remembers which were acknowledged."""

    def __init__(self, broker, topic, partition=0, size=100):
        self.broker, self.topic, self.partition = broker, topic, partition
        self.size = size
        self.acknowledged = {}  # offset: value
        self.next = 0

    def value(self):
        self.next += 1
        return b"%s-%d %d " % (self.topic.encode(), self.partition,
                               self.next) + b"." * self.size

    def append(self, client):
        """The error code."""
        value = self.value()
        part = wire.produce(client, self.topic, wire.batch([value]),
                            partition=self.partition)
        if part["ErrorCode"] == 0:
            assert part["BaseOffset"] not in self.acknowledged
            self.acknowledged[part["BaseOffset"]] = value
        return part["ErrorCode"]

    def fill(self, count, timeout=harness.PATIENCE):
        with wire.Client(self.broker.address, timeout) as c:
            for _ in range(count):
                assert self.append(c) == 0
        return self

    def lost_count(self):
        """An answer did not come: what is there now counts."""
        with wire.Client(self.broker.address) as c:
            for offset, _, _, value, _ in wire.read_all(c, self.topic,
                                                        self.partition):
                self.acknowledged.setdefault(offset, value)

    def until_refused(self, most=100000):
        with wire.Client(self.broker.address) as c:
            for _ in range(most):
                error = self.append(c)
                if error:
                    return error
        raise AssertionError(f"{most} records and no refusal")

    def until_taken(self):
        with wire.Client(self.broker.address) as c:
            harness.wait_until(lambda: self.append(c) == 0,
                               what=f"{self.topic} takes records again")

    def check(self):
        """All that was acknowledged and lies above the log's start is there,
        offsets without gap, and nothing else."""
        with wire.Client(self.broker.address) as c:
            start = wire.list_offset(c, self.topic, -2,
                                     self.partition)["Offset"]
            there = wire.read_all(c, self.topic, self.partition, start)
        assert [r[0] for r in there] == list(
            range(start, start + len(there)))
        assert {r[0]: r[3] for r in there} == {
            o: v for o, v in self.acknowledged.items() if o >= start}
        return start


def partition_on(disk, topic, count):
    """A partition of the topic that lies there."""
    for p in range(count):
        if (disk.inside / f"{topic}-{p}").is_dir():
            return p
    raise AssertionError(f"no partition of {topic} on {disk.path}")


def ends_badly(broker):
    """How a start ends that must not succeed; what it said."""
    broker.launch()
    status = broker.process.wait(60)
    broker.process = None
    assert status not in (0, -6, -11), broker.log()[-3000:]
    return broker.log()


# --- a full disk -------------------------------------------------------------

def set_config(broker, topic, **config):
    """As kafka-configs --zookeeper did."""
    client = harness.connect_zk(broker)
    client.set(f"/config/topics/{topic}", json.dumps({
        "version": 1,
        "config": {k.replace("_", "."): str(v) for k, v in config.items()},
    }).encode())
    client.create("/config/changes/config_change_", json.dumps({
        "version": 2, "entity_path": f"topics/{topic}"}).encode(),
        sequence=True)
    client.end()


@pytest.mark.parametrize("kind", ("tmpfs", "ext4"))
def test_down_to_the_reserve(disks, make_disk_broker, kind):
    """Appends are refused, all else goes on; retention makes room, and no
    restart is needed."""
    disk = getattr(disks, kind)("disk", 48)
    broker = make_disk_broker(
        disk, barnabas_disk_reserve_bytes=16 * MIB, log_segment_bytes=MIB,
        log_retention_check_interval_ms=300, log_initial_task_delay_ms=100,
        file_delete_delay_ms=100, log_segment_delete_delay_ms=100).start()
    harness.create_topic(broker, "t")
    old = Ledger(broker, "t", size=60000)
    with harness.counted(broker, FAILED_PRODUCE):
        assert old.until_refused() == STORAGE_ERROR
    # what the writes since the last look took of it is bounded: 4 MiB
    assert disk.free_bytes() > 8 * MIB
    assert "is down to its reserve" in broker.log()
    assert broker.metric(FULL) == 1 and broker.metric(OFFLINE_DIRS) == 0
    old.check()
    # what is small and needed has room: a topic can be made, and the mark
    # of a clean stop
    harness.create_topic(broker, "u")
    harness.restart(broker, "t")
    assert old.until_refused() == STORAGE_ERROR
    old.check()
    set_config(broker, "t", retention_bytes=4 * MIB)
    old.until_taken()
    assert "has room again" in broker.log()
    harness.wait_until(lambda: broker.metric(FULL) == 0)
    assert old.check() > 0
    old.fill(5)
    Ledger(broker, "u").fill(5).check()
    harness.restart(broker, "t")
    old.check()


@pytest.mark.parametrize("kind", ("tmpfs", "ext4"))
def test_no_byte_left(disks, make_disk_broker, kind):
    """Without a reserve, and others fill the disk: half an append is taken
    back, rolls fail and succeed later, nothing goes offline."""
    disk = getattr(disks, kind)("disk", 32)
    broker = make_disk_broker(
        disk, log_segment_bytes=300000,
        log_index_interval_bytes=1000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t", size=9000).fill(100)
    for leave in (700000, 30000, 4096, 0):
        disk.ballast(leave)
        with harness.counted(broker, FAILED_PRODUCE):
            assert log.until_refused() == STORAGE_ERROR
        log.check()
        for _ in range(3):
            log.until_refused()
        disk.drop_ballast()
        log.until_taken()
        log.fill(50).check()
    assert broker.metric(OFFLINE_DIRS) == 0
    assert "is full, appends are refused" in broker.log() or (
        "is down to its reserve" in broker.log())
    # killed and started with no byte left, not even for the indexes of a
    # recovery: it may end and say why, but takes nothing away
    disk.ballast(0)
    log.until_refused()
    broker.kill()
    broker.launch()
    harness.wait_until(lambda: broker.process.poll() is not None
                       or broker.http("/readyz")[0] == 200, 60)
    if broker.process.poll() is not None:
        assert "No space left on device" in broker.log()
        broker.kill()
    disk.drop_ballast()
    if broker.process is None:
        broker.start(60)
    harness.wait_topic(broker, "t")
    log.check()
    log.until_taken()
    log.fill(100).check()
    harness.restart(broker, "t")
    log.check()


def delete_topic(broker, name):
    with wire.Client(broker.address) as c:
        assert c.call("DeleteTopics", 5, TopicNames=[name], TimeoutMs=20000)[
            "Responses"][0]["ErrorCode"] == 0


def folders(disk, topic):
    return sorted(p.name for p in disk.inside.glob(f"{topic}-*"))


def test_topics_on_a_full_disk(disks, make_disk_broker):
    """A log that cannot be made is made when there is room, by itself; a topic
    of such logs can be deleted."""
    disk = disks.ext4("disk", 16)
    broker = make_disk_broker(disk).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(3)
    disk.ballast(0)
    harness.create_topic(broker, "u", partitions=20)
    harness.create_topic(broker, "v", partitions=20)
    harness.wait_until(lambda: "could not be made" in broker.log())
    assert broker.metric(OFFLINE_DIRS) == 0
    with wire.Client(broker.address) as c:
        assert wire.produce(c, "u", wire.batch([b"x"]),
                            partition=7)["ErrorCode"] != 0
    delete_topic(broker, "v")
    assert folders(disk, "v") == []
    time.sleep(2.5)
    said = broker.log()
    disk.drop_ballast()
    ledgers = [Ledger(broker, "u", p) for p in range(20)]
    for ledger in ledgers:
        ledger.until_taken()
        ledger.fill(3).check()
    log.until_taken()
    log.check()
    assert said.count("could not be made") < 5
    assert folders(disk, "v") == []
    harness.create_topic(broker, "v", partitions=2)
    for p in range(2):
        Ledger(broker, "v", p).until_taken()
    harness.restart(broker, "u", 20)
    for ledger in ledgers:
        ledger.check()
    log.check()
    # a stop does not wait for room
    disk.ballast(0)
    harness.create_topic(broker, "w", partitions=20)
    harness.wait_until(lambda: "w/7 epoch=0: room or a desc" in broker.log())
    broker.stop()


def test_topics_on_a_full_disk_of_two(disks, make_disk_broker):
    """They lie on the other; nothing of them stays on the full one."""
    full, other = disks.ext4("full", 16), disks.ext4("other", 16)
    broker = make_disk_broker(full, other).start()
    full.ballast(0)
    harness.create_topic(broker, "u", partitions=10)
    for p in range(10):
        Ledger(broker, "u", p).until_taken()
    assert folders(full, "u") == []
    delete_topic(broker, "u")
    full.drop_ballast()
    harness.wait_until(lambda: not [
        f for f in folders(other, "u") if "delete" not in f])
    harness.create_topic(broker, "w", partitions=10)
    logs = [Ledger(broker, "w", p) for p in range(10)]
    for log in logs:
        log.until_taken()
    harness.restart(broker, "w", 10)
    for log in logs:
        log.check()


def test_flush_on_a_full_disk(disks, make_disk_broker):
    """With flush.messages a full disk refuses records, and takes them again."""
    disk = disks.ext4("disk", 16)
    broker = make_disk_broker(disk, log_flush_interval_messages=1,
                              log_segment_bytes=300000,
                              log_index_interval_bytes=1000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t", size=9000).fill(20)
    for leave in (300000, 4096, 0):
        disk.ballast(leave)
        assert log.until_refused() == STORAGE_ERROR
        disk.drop_ballast()
        log.until_taken()
        log.lost_count()
        log.fill(20).check()
    assert broker.metric(OFFLINE_DIRS) == 0
    assert "offline" not in broker.log()


# --- failing disks -----------------------------------------------------------

def fail_by_error(disk):
    disk.fail()


def fail_by_mount(disk):
    disk.abort()


@pytest.mark.parametrize("fail", (fail_by_error, fail_by_mount))
def test_one_directory_fails(disks, make_disk_broker, fail):
    """It goes offline alone; the controller is told; the other goes on."""
    good, bad = disks.ext4("good", 32), disks.ext4("bad", 32)
    broker = make_disk_broker(good, bad).start()
    harness.create_topic(broker, "t", partitions=4)
    here = Ledger(broker, "t", partition_on(good, "t", 4)).fill(20)
    there = Ledger(broker, "t", partition_on(bad, "t", 4)).fill(20)
    client = harness.connect_zk(broker)
    events = client.get("/log_dir_event_notification")[1]
    fail(bad)
    with harness.counted(broker, FAILED_PRODUCE):
        assert there.until_refused() == STORAGE_ERROR
    harness.wait_until(lambda: broker.metric(OFFLINE_DIRS) == 1,
                       what="the metric tells it")
    assert broker.metric("kafka_log_dir_offline", log_dir=bad.path) == 1
    assert broker.metric("kafka_log_dir_offline", log_dir=good.path) == 0
    assert f"dir={bad.path} goes offline" in broker.log()
    # written, and taken away by the controller, which is this very broker
    harness.wait_until(
        lambda: client.get("/log_dir_event_notification")[1].cversion
        >= events.cversion + 2, what="the event came and went")
    assert "tells of a failed log dir" in broker.log()
    client.end()
    here.fill(20).check()
    # nobody leads what is lost, and clients are told so
    with wire.Client(broker.address) as c:
        harness.wait_until(lambda: [
            p for p in c.call("Metadata", 7, Topics=[{"Name": "t"}],
                              AllowAutoTopicCreation=False)[
                "Topics"][0]["Partitions"]
            if p["PartitionIndex"] == there.partition
            and p["LeaderId"] == -1], what="it has no leader")
        part = wire.fetch(c, "t", 0, partition=there.partition)
        assert part["ErrorCode"] == STORAGE_ERROR
    assert broker.metric(OFFLINE_REPLICAS) == 2
    # a new topic lies where it can
    harness.create_topic(broker, "u", partitions=2)
    for p in range(2):
        Ledger(broker, "u", p).fill(3).check()


def leads(logs, broker):
    """It leads all of them, and they are asked of it from now on."""
    for log in logs:
        harness.wait_until(lambda log=log: state(
            broker, log.topic, log.partition)["leader"] == broker.broker_id,
            what=f"{broker.broker_id} leads {log.topic}-{log.partition}")
        harness.wait_leads(broker, log.topic, log.partition)
        log.broker = broker


@pytest.mark.parametrize("failing", (0, 1))
def test_a_leaders_directory_fails(disks, make_broker, failing):
    """The other replica leads what lay there, with all that was acknowledged,
    and the broker goes on with its other directory; with a healthy one it is
    in sync again.  Broker 0 is the controller."""
    good, bad, fresh = (disks.ext4(n, 32) for n in ("good", "bad", "fresh"))

    def prepare(broker):
        if broker.broker_id == failing:
            disks.give(broker, good, bad)
    brokers = harness.start_cluster(
        make_broker, 2, prepare, auto_leader_rebalance_enable="false",
        barnabas_disk_reserve_bytes=0)
    broker, other = brokers[failing], brokers[1 - failing]
    with wire.Client(brokers[0].address) as client:
        create_on(client, "t", *4 * [[failing, 1 - failing]])
        create_on(client, "alone", *2 * [[failing]])
    logs = [Ledger(broker, "t", p) for p in range(4)]
    leads(logs, broker)
    for log in logs:
        log.fill(20)
    here = [g for g in logs if (good.inside / f"t-{g.partition}").is_dir()]
    there = [g for g in logs if g not in here]
    assert len(here) == len(there) == 2
    shows(brokers[0], 0, OFFLINE_PARTITIONS)
    bad.fail()
    assert there[0].until_refused() == STORAGE_ERROR
    leads(there, other)
    for log in there:
        log.check()
        log.fill(20).check()
        in_sync(other, "t", [other.broker_id], log.partition)
        shows_replicas(other, "t", 2, 1, log.partition, under=2)
    for log in here:
        log.fill(20).check()
        in_sync(other, "t", [0, 1], log.partition)
        assert state(other, "t", log.partition)["leader"] == failing
    shows(broker, 1, OFFLINE_DIRS)
    shows(broker, 3, OFFLINE_REPLICAS)  # and one of "alone"
    shows(brokers[0], 1, OFFLINE_PARTITIONS)
    assert (other.metric(OFFLINE_DIRS), other.metric(OFFLINE_REPLICAS)) == (
        0, 0)
    assert broker.process.poll() is None
    broker.stop()
    broker.set(log_dirs=f"{good.path},{fresh.path}")
    broker.start()
    for log in logs:
        in_sync(other, "t", [0, 1], log.partition)
    leads(logs, other)
    for log in logs:
        log.fill(20).check()
    shows(broker, 0, OFFLINE_DIRS)
    # whose only log is lost is not led anew with an empty one
    shows(broker, 1, OFFLINE_REPLICAS)
    harness.wait_until(
        lambda: sum(b.metric(OFFLINE_PARTITIONS) for b in brokers) == 1,
        what="the controller knows of it")
    assert all(fresh.log_files("t", g.partition) for g in there)
    # what it fetched anew is all that there was
    other.kill()
    leads(logs, broker)
    for log in logs:
        log.check()


def test_a_read_fails(disks, make_disk_broker):
    """Old records lie on a disk that failed unseen: told, not served wrong."""
    good, bad = disks.ext4("good", 32), disks.ext4("bad", 32)
    broker = make_disk_broker(good, bad, log_segment_bytes=100000).start()
    harness.create_topic(broker, "t", partitions=2)
    p = partition_on(bad, "t", 2)
    Ledger(broker, "t", p, size=5000).fill(60)
    broker.stop()
    broker.start()
    harness.wait_topic(broker, "t", 2)
    bad.fail()
    with wire.Client(broker.address) as c:
        part = wire.fetch(c, "t", 0, partition=p)
        assert part["ErrorCode"] == STORAGE_ERROR or not part["Records"]
    Ledger(broker, "t", 1 - p).fill(20).check()


def test_all_directories_fail(disks, make_disk_broker):
    """Nothing is left to serve: the daemon ends, with an error, by itself."""
    pair = [disks.ext4(f"disk{n}", 32) for n in range(2)]
    broker = make_disk_broker(*pair).start()
    harness.create_topic(broker, "t", partitions=2)
    logs = [Ledger(broker, "t", p).fill(5) for p in range(2)]
    for disk in pair:
        disk.fail()
    for log in logs:
        try:
            log.until_refused()
        except (wire.Closed, OSError):
            pass
    status = broker.process.wait(60)
    broker.process = None
    assert status not in (0, -6, -11)
    assert "all log directories are offline" in broker.log()


def test_slow_directory(disks, make_disk_broker):
    """A disk that takes its time has its appends made by a worker.  When it
    then stops altogether, who uses the other one is served; and afterwards all
    goes on as if nothing had been."""
    good, slow = disks.ext4("good", 32), disks.ext4("slow", 32)
    broker = make_disk_broker(good, slow).start()
    harness.create_topic(broker, "t", partitions=4)
    here = [Ledger(broker, "t", p) for p in range(4)
            if (good.inside / f"t-{p}").is_dir()]
    there = [load.Writer(broker.address, "t", p, f"w{p}{i}", timeout=300)
             for p in range(4) for i in range(2)
             if (slow.inside / f"t-{p}").is_dir()]
    for log in here:
        log.fill(5)
    for writer in there:
        writer.start()
    harness.wait_until(lambda: all(len(w.acknowledged) > 10 for w in there))
    frozen_and_served(broker, slow, here, 5)
    assert f"dir={slow.path} slow: an append took" in broker.log()
    slow.thaw()
    before = [len(w.acknowledged) for w in there]
    harness.wait_until(lambda: all(
        len(w.acknowledged) > n + 20 for w, n in zip(there, before)),
        60, "the slow disk's writers go on")
    for writer in there:
        writer.stop()
        assert not writer.errors
    for p in {w.partition for w in there}:
        assert load.check(broker.address, "t", [
            w for w in there if w.partition == p], p) == []
    for log in here:
        log.check()
    assert broker.metric(OFFLINE_DIRS) == 0


def frozen_and_served(broker, slow, here, tries):
    """How slow the disk is shows in an append that took long; from then on it
    may stop.  It is frozen when this returns.  The broker forgets after a
    second without a slow append: a test that was late tries again."""
    for n in range(tries):
        slow.freeze()
        time.sleep(0.2)
        slow.thaw()
        if n == 0:      # it is said once a second at most
            harness.wait_until(lambda: "slow: an append took" in broker.log(),
                               what="it counts as slow")
        slow.freeze()
        try:
            # longer than it remembers a slow append
            for _ in range(6):
                for log in here:
                    log.fill(10, timeout=10 * (n + 1)).check()
                time.sleep(0.4)
            with wire.Client(broker.address) as c:
                assert c.call("ApiVersions", 0)["ErrorCode"] == 0
                c.call("Metadata", 7, Topics=None,
                       AllowAutoTopicCreation=False)
            assert broker.http("/healthz")[0] == 200
            return
        except TimeoutError:
            slow.thaw()
            for log in here:
                log.lost_count()
    raise AssertionError("nobody is served while one disk is frozen")


def test_controller_stops_on_a_slow_disk(disks, make_disk_broker, make_broker):
    """Its seat is free before its logs are closed, and so is its place among
    the brokers."""
    slow = disks.ext4("slow", 32)
    brokers = [make_disk_broker(slow).start(), make_broker(1).start()]
    harness.create_topic(brokers[0], "t", partitions=4)
    Ledger(brokers[0], "t", partition_on(slow, "t", 4)).fill(5)
    client = harness.connect_zk(brokers[1])

    def controller():
        try:
            return json.loads(client.get("/controller")[0])["brokerid"]
        except kazoo.exceptions.NoNodeError:
            return None

    assert controller() == 0
    slow.freeze()
    brokers[0].process.send_signal(signal.SIGTERM)
    harness.wait_until(lambda: controller() == 1, what="another controller")
    harness.wait_until(lambda: client.get_children("/brokers/ids") == ["1"],
                       what="it is no broker any more")
    time.sleep(1)
    assert brokers[0].process.poll() is None, "its logs are not closed yet"
    slow.thaw()
    assert brokers[0].process.wait(harness.PATIENCE) == 0
    brokers[0].process = None
    assert controller() == 1
    client.end()


# --- directories at the start ------------------------------------------------

def test_read_only_at_the_start(disks, make_disk_broker):
    """Alone it ends the start; beside another it is offline, and what was
    there is not made anew elsewhere."""
    first, second = disks.ext4("one", 32), disks.ext4("two", 32)
    broker = make_disk_broker(first, second).start()
    harness.create_topic(broker, "t", partitions=4)
    logs = [Ledger(broker, "t", p).fill(5) for p in range(4)]
    broker.stop()
    second.read_only()
    broker.start()
    assert broker.metric(OFFLINE_DIRS) == 1
    assert f"dir={second.path}" in broker.log()
    for log in logs:
        if (first.inside / f"t-{log.partition}").is_dir():
            harness.wait_until(
                lambda: served(broker, log), what="it is served")
            log.fill(5).check()
        else:
            with wire.Client(broker.address) as c:
                assert log.append(c) != 0
    broker.stop()
    first.read_only()
    assert "none of the log directories can be used" in ends_badly(broker)
    for disk in (first, second):
        disk.read_only(False)
    broker.start()
    harness.wait_topic(broker, "t", 4)
    for log in logs:
        log.check()


def served(broker, log):
    with wire.Client(broker.address) as c:
        part = wire.fetch(c, log.topic, 0, partition=log.partition)
        return part["ErrorCode"] == 0


def test_same_partition_twice(make_broker):
    """Which one is right nobody knows but the operator."""
    broker = make_broker()
    dirs = [broker.folder / f"disk{n}" for n in range(2)]
    for d in dirs:
        d.mkdir()
    broker.options["log.dirs"] = ",".join(map(str, dirs))
    broker.start()
    harness.create_topic(broker, "t", partitions=2)
    logs = [Ledger(broker, "t", p).fill(5) for p in range(2)]
    broker.stop()
    there = dirs[0] if (dirs[0] / "t-0").is_dir() else dirs[1]
    other = dirs[1] if there is dirs[0] else dirs[0]
    shutil.copytree(there / "t-0", other / "t-0")
    assert "t-0 is in two log directories" in ends_badly(broker)
    shutil.rmtree(other / "t-0")
    broker.start()
    harness.wait_topic(broker, "t", 2)
    for log in logs:
        log.check()
    # nothing was taken from the clean stop
    assert "is recovered" not in broker.log()


# --- descriptors -------------------------------------------------------------

def open_files(broker):
    import os
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def limit_files(broker, count):
    hard = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE,
                     (count, hard))


def test_descriptors_exhausted(make_broker):
    """Rolls and new topics fail or wait, nothing goes offline, nothing is
    lost; with descriptors again all goes on."""
    broker = make_broker(log_segment_bytes=20000,
                         log_index_interval_bytes=1000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t", size=5000).fill(20)
    soft = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)[0]
    with wire.Client(broker.address) as c:
        with wire.Client(broker.address) as admin:
            assert log.append(c) == 0
            admin.call("ApiVersions", 0)
            # not one more than are open now
            limit_files(broker, open_files(broker))
            errors = {log.append(c) for _ in range(60)}
            assert errors <= {0, STORAGE_ERROR}
            admin.call("CreateTopics", 5, timeoutMs=5000, Topics=[{
                "Name": "u", "NumPartitions": 30, "ReplicationFactor": 1}])
            admin.call("CreateTopics", 5, timeoutMs=5000, Topics=[{
                "Name": "v", "NumPartitions": 30, "ReplicationFactor": 1}])
            log.append(c)
            assert admin.call("DeleteTopics", 5, TopicNames=["v"],
                              TimeoutMs=20000)["Responses"][0][
                                  "ErrorCode"] == 0
            time.sleep(2.5)
            limit_files(broker, soft)
            harness.wait_until(lambda: log.append(c) == 0,
                               what="appends go on")
    late = [Ledger(broker, "u", p) for p in range(30)]
    for ledger in late:
        ledger.until_taken()
        ledger.fill(2).check()
    log.fill(60).check()
    assert broker.metric(OFFLINE_DIRS) == 0
    assert "offline" not in broker.log()
    harness.wait_until(lambda: not list(broker.data.glob("v-?")),
                       what="v is gone")
    harness.restart(broker, "t")
    log.fill(20).check()
    harness.wait_topic(broker, "u", 30)
    for ledger in late:
        ledger.fill(2).check()


def test_start_with_few_descriptors(make_broker):
    """More segments than descriptors."""
    broker = make_broker(log_segment_bytes=3000).start()
    harness.create_topic(broker, "t", partitions=20)
    logs = [Ledger(broker, "t", p, size=2000).fill(20) for p in range(20)]
    for end in (broker.stop, broker.kill):
        end()
        command = broker.command
        broker.command = lambda: ["prlimit", "--nofile=160"] + command()
        broker.start(60)
        harness.wait_topic(broker, "t", 20)
        for log in logs:
            log.check()
            log.fill(1)
        assert broker.metric(OFFLINE_DIRS) == 0
        broker.command = command


# --- damaged files -----------------------------------------------------------

def producer_batch(n, sequence, producer_id=4000):
    return wire.batch([b"p%d" % n], producer_id=producer_id,
                      producer_epoch=0, base_sequence=sequence)


def with_producers(broker, topic="t", count=30):
    """One record in each batch of two producers in turn."""
    with wire.Client(broker.address) as c:
        for n in range(count):
            part = wire.produce(c, topic, producer_batch(
                n, n // 2, 4000 + n % 2))
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)


def producers_go_on(broker, topic="t", count=30):
    """Their last batches are known, a gap is refused, the next are taken."""
    with wire.Client(broker.address) as c:
        for who in range(2):
            last = (count - 1 - who) // 2
            at = 2 * last + who
            again = wire.produce(c, topic,
                                 producer_batch(at, last, 4000 + who))
            assert (again["ErrorCode"], again["BaseOffset"]) == (0, at)
            gap = wire.produce(c, topic,
                               producer_batch(0, last + 2, 4000 + who))
            assert gap["ErrorCode"] == 45
        for who in range(2):
            last = (count - 1 - who) // 2
            more = wire.produce(c, topic,
                                producer_batch(0, last + 1, 4000 + who))
            assert (more["ErrorCode"], more["BaseOffset"]) == (
                0, count + who)


SNAPSHOT_DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "garbage": lambda path: path.write_bytes(
        random.Random(5).randbytes(path.stat().st_size)),
    "one_bit": lambda path: path.write_bytes(
        path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "many_announced": lambda path: path.write_bytes(
        path.read_bytes()[:6] + b"\x7f\xff\xff\xff"
        + path.read_bytes()[10:]),
}


@pytest.mark.parametrize("which", ("newest", "all"))
@pytest.mark.parametrize("end", ("stop", "kill"))
@pytest.mark.parametrize("name", SNAPSHOT_DAMAGES)
def test_damaged_snapshots(make_broker, name, end, which):
    """Producers are known from an older snapshot, or from the records."""
    broker = make_broker(log_segment_bytes=1000).start()
    harness.create_topic(broker, "t")
    with_producers(broker)

    def written():
        return [p for p in broker.log_files("t", 0, "snapshot")
                if p.stat().st_size > 0]
    harness.wait_until(lambda: len(written()) >= 2)
    getattr(broker, end)()
    found = written()
    if which == "newest":
        found = found[-1:]
    elif (name, end) == ("missing", "stop"):
        # Kafka takes a clean log without any to have had no producers; one
        # that is old stays here
        found = found[1:]
    for path in found:
        SNAPSHOT_DAMAGES[name](path)
    before = len(broker.log())
    broker.start()
    harness.wait_topic(broker, "t")
    # a recovery from the start on does not look at them
    if name != "missing" and end == "stop":
        assert "producer snapshot is damaged" in broker.log()[before:]
    producers_go_on(broker)
    harness.restart(broker, "t")
    with wire.Client(broker.address) as c:
        assert [r[3] for r in wire.read_all(c, "t")][:30] == [
            b"p%d" % n for n in range(30)]


@pytest.mark.parametrize("end", ("stop", "kill"))
@pytest.mark.parametrize("content", (
    None, b"", b"0\n1\n", b"0\n7\n0 0\n", b"9\n0\n", b"\xff\0", b"0\n1\n5 9\n"))
def test_damaged_epochs(broker, content, end):
    """leader-epoch-checkpoint: from the records after a kill, from the next
    leader on after a clean stop."""
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(20)
    getattr(broker, end)()
    path = broker.data / "t-0" / "leader-epoch-checkpoint"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    before = len(broker.log())
    broker.start()
    harness.wait_topic(broker, "t")
    if content not in (None, b"", b"0\n1\n5 9\n"):
        assert "leader epochs are malformed" in broker.log()[before:]
    log.fill(10).check()
    version, count, *rows = path.read_text().splitlines()
    rows = [tuple(map(int, r.split())) for r in rows]
    assert version == "0" and int(count) == len(rows)
    assert rows == sorted(rows) and len({e for e, _ in rows}) == len(rows)
    assert all(start <= 30 for _, start in rows)


CHECKPOINTS = ("recovery-point-offset-checkpoint",
               "replication-offset-checkpoint",
               "log-start-offset-checkpoint")


@pytest.mark.parametrize("end", ("stop", "kill"))
@pytest.mark.parametrize("content", (
    None, b"", b"0\n", b"0\n1\n", b"1\n0\n", b"0\n1\nt x 4\n",
    b"0\n1\nt 0 -4\n", b"0\n99999999\nt 0 4\n", b"\xff" * 500,
    b"0\n1\nt 0 99999999999999999999\n"))
def test_damaged_checkpoints(make_broker, content, end):
    """Over two directories; said, counted as empty, and written anew."""
    broker = make_broker()
    dirs = [broker.folder / f"disk{n}" for n in range(2)]
    for d in dirs:
        d.mkdir()
    broker.options["log.dirs"] = ",".join(map(str, dirs))
    broker.start()
    harness.create_topic(broker, "t", partitions=2)
    logs = [Ledger(broker, "t", p).fill(20) for p in range(2)]
    getattr(broker, end)()
    for name in CHECKPOINTS:
        path = dirs[1] / name
        if content is not None:
            path.write_bytes(content)
        elif path.exists():
            path.unlink()
    before = len(broker.log())
    broker.start()
    harness.wait_topic(broker, "t", 2)
    if content not in (None, b""):
        assert "is malformed and counts as empty" in broker.log()[before:]
    for log in logs:
        log.check()
        log.fill(5).check()
    broker.stop()
    for d in dirs:
        for name in CHECKPOINTS[:2]:
            lines = (d / name).read_text().splitlines()
            assert lines[:2] == ["0", "1"] and lines[2].endswith(" 25")


@pytest.mark.parametrize("suffix", ("index", "timeindex"))
@pytest.mark.parametrize("end", ("stop", "kill"))
@pytest.mark.parametrize("size", (0, 1, 13, 3996, 4000))
def test_damaged_indexes(make_broker, suffix, end, size):
    """Cut, or garbage, in closed segments and in the last: every record is
    found by its offset and by its time."""
    broker = make_broker(log_segment_bytes=5000,
                         log_index_interval_bytes=300).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(80)
    getattr(broker, end)()
    for n, path in enumerate(broker.log_files("t", 0, suffix)):
        path.write_bytes(random.Random(n).randbytes(size))
    broker.start()
    harness.wait_topic(broker, "t")
    log.check()
    with wire.Client(broker.address) as c:
        for offset, stamp, *_ in wire.read_all(c, "t")[::7]:
            part = wire.fetch(c, "t", offset)
            assert wire.batches(part["Records"])[0].base_offset <= offset
            assert wire.batches(part["Records"])[0].last_offset >= offset
            found = wire.list_offset(c, "t", stamp)
            assert found["Timestamp"] == stamp and found["Offset"] <= offset
    log.fill(80).check()
    harness.restart(broker, "t")
    log.check()


def test_lying_timeindex(make_broker):
    """An index that calls the records old makes nobody delete them."""
    broker = make_broker(log_segment_bytes=5000,
                         log_retention_hours=1).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(80)
    broker.stop()
    for path in broker.log_files("t", 0, "timeindex")[:-1]:
        path.write_bytes(struct.pack(">qi", 1000000, struct.unpack(
            ">qi", path.read_bytes()[-12:])[1]))
    broker.set(log_retention_check_interval_ms=200,
               log_initial_task_delay_ms=100)
    broker.start()
    harness.wait_topic(broker, "t")
    harness.wait_until(lambda: "an index led to no batch" in broker.log(),
                       what="retention has looked")
    assert log.check() == 0
    # it looks no further than the first segment that is to stay
    first = broker.log_files("t", 0, "timeindex")[0]
    harness.wait_until(lambda: first.stat().st_size >= 12 and struct.unpack(
        ">qi", first.read_bytes()[-12:])[0] > 1000000,
        what="it is made anew")
    harness.restart(broker, "t")
    assert log.check() == 0


@pytest.mark.parametrize("content", (b"", b"x" * 33, b"\0" * 34 * 3))
@pytest.mark.parametrize("end", ("stop", "kill"))
def test_damaged_txnindex(make_broker, content, end):
    """The list of aborted transactions of a segment that has none."""
    broker = make_broker(log_segment_bytes=5000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(80)
    getattr(broker, end)()
    for path in broker.log_files("t"):
        path.with_suffix(".txnindex").write_bytes(content)
    broker.start()
    harness.wait_topic(broker, "t")
    log.check()
    log.fill(10).check()


@pytest.mark.parametrize("content", (b"", b"version: 9\n", b"\xff" * 90))
def test_damaged_metadata(make_broker, content):
    """A partition that does not say whose it is: its directory is offline,
    and says why; it is not served under a wrong name."""
    broker = make_broker()
    dirs = [broker.folder / f"disk{n}" for n in range(2)]
    for d in dirs:
        d.mkdir()
    broker.options["log.dirs"] = ",".join(map(str, dirs))
    broker.start()
    harness.create_topic(broker, "t", partitions=2)
    logs = [Ledger(broker, "t", p).fill(5) for p in range(2)]
    broker.stop()
    lost = next(p for p in range(2) if (dirs[1] / f"t-{p}").is_dir())
    (dirs[1] / f"t-{lost}" / "partition.metadata").write_bytes(content)
    broker.start()
    assert "partition.metadata is malformed" in broker.log()
    assert broker.metric(OFFLINE_DIRS) == 1
    harness.wait_until(lambda: served(broker, logs[1 - lost]))
    logs[1 - lost].fill(5).check()


@pytest.mark.parametrize("lost", (None, ".timeindex", ".index"))
def test_damage_in_the_middle(make_broker, lost):
    """After a clean stop nobody reads what lies in the middle: a consumer gets
    the damaged batch, whose checksum tells it, and all others; though an index
    is lost as well."""
    broker = make_broker(log_segment_bytes=5000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(80)
    broker.stop()
    path = broker.log_files("t")[2]
    data = bytearray(path.read_bytes())
    bad = wire.batches(bytes(data))[5]
    data[data.index(bad.data) + 90] ^= 0xff
    path.write_bytes(data)
    if lost:
        path.with_suffix(lost).unlink()
    broker.start()
    harness.wait_topic(broker, "t")
    got, offset = {}, 0
    with wire.Client(broker.address) as c:
        while offset < 80:
            part = wire.fetch(c, "t", offset)
            assert part["ErrorCode"] == 0
            for b in wire.batches(part["Records"]):
                if not b.valid():
                    assert b.base_offset == bad.base_offset
                    got[b.base_offset] = None
                else:
                    got.update((r[0], r[3]) for r in b.records())
                offset = b.last_offset + 1
    assert got.pop(bad.base_offset, 0) is None
    log.acknowledged.pop(bad.base_offset)
    assert got == log.acknowledged
    log.fill(5)


def test_length_damaged_in_the_middle(make_broker):
    """A batch whose length cannot be: where is said, what lies before it and
    in other segments is served."""
    broker = make_broker(log_segment_bytes=3000,
                         log_index_interval_bytes=100000).start()
    harness.create_topic(broker, "t")
    log = Ledger(broker, "t").fill(80)
    broker.stop()
    files = broker.log_files("t")
    path = files[2]
    data = bytearray(path.read_bytes())
    bad = wire.batches(bytes(data))[5]
    struct.pack_into(">i", data, data.index(bad.data) + 8, -7)
    path.write_bytes(data)
    next_base = int(files[3].stem)
    broker.start()
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        for offset in (0, int(path.stem), next_base, 79):
            part = wire.fetch(c, "t", offset)
            assert part["ErrorCode"] == 0
            assert wire.batches(part["Records"])[0].records()[0][3] == (
                log.acknowledged[wire.batches(part["Records"])[0]
                                 .base_offset])
        part = wire.fetch(c, "t", bad.last_offset + 1)
        assert part["ErrorCode"] in (2, STORAGE_ERROR), part
    assert str(path.name) in broker.log() or path.stem in broker.log()
    log.fill(5)


# --- killed while it recovers ------------------------------------------------

def test_killed_in_recovery(make_broker):
    """Again and again, at any moment of it, with what that leaves behind."""
    rng = random.Random(11)
    broker = make_broker(log_segment_bytes=30000,
                         log_index_interval_bytes=300).start()
    harness.create_topic(broker, "t", partitions=8)
    logs = [Ledger(broker, "t", p, size=1000).fill(100) for p in range(8)]
    broker.kill()
    # all of it is to be read: no recovery point
    for name in CHECKPOINTS[:1]:
        (broker.data / name).unlink(missing_ok=True)
    for _ in range(15):
        seen = broker.log().count("is recovered")
        wanted = seen + rng.randrange(9)
        broker.launch()
        harness.wait_until(
            lambda: broker.log().count("is recovered") >= wanted
            or broker.http("/readyz")[0] == 200, 60, "it recovers")
        broker.process.send_signal(signal.SIGKILL)
        broker.kill()
    broker.start(60)
    harness.wait_topic(broker, "t", 8)
    for log in logs:
        log.check()
        log.fill(5).check()
