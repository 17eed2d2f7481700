# SPDX-License-Identifier: Apache-2.0
"""Stops clean and unclean, damaged files, twins, ZooKeeper away."""

import contextlib
import itertools
import json
import random
import struct
import threading
import time

import kazoo.security
import pytest

import harness
import load
import wire
from dynamic_configs import BROKER, SET, TOPIC, alter, described


def node(broker, path):
    with harness.Zk(broker) as client:
        return client.get(path)


def controlled(broker):
    """Topics can be made, as a client does it: again when it is told to."""
    def made():
        try:
            # one that came to nothing in time may be there all the same
            harness.create_topic(broker, f"new-{time.monotonic_ns()}")
        except AssertionError:
            return False
        return True
    harness.wait_until(made, 60, "topics can be made again")


def fill(broker, topic, count, first=0, size=100):
    with wire.Client(broker.address) as c:
        for n in range(first, first + count):
            part = wire.produce(c, topic, wire.batch([b"%0*d" % (size, n)]))
            assert (part["ErrorCode"], part["BaseOffset"]) == (0, n)


def numbers(broker, topic):
    with wire.Client(broker.address) as c:
        return [int(r[3]) for r in wire.read_all(c, topic)]


# --- clean -------------------------------------------------------------------

def test_clean_marker(broker):
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)
    marker = broker.data / ".kafka_cleanshutdown"
    assert not marker.exists()
    broker.stop()
    assert json.loads(marker.read_text())["version"] == 0
    checkpoint = (broker.data / "recovery-point-offset-checkpoint").read_text()
    assert checkpoint.splitlines() == ["0", "1", "t 0 3"]
    marks = (broker.data / "replication-offset-checkpoint").read_text()
    assert marks.splitlines() == ["0", "1", "t 0 3"]
    # indexes are trimmed
    for suffix, entry in (("index", 8), ("timeindex", 12)):
        for path in broker.log_files("t", 0, suffix):
            assert path.stat().st_size % entry == 0
            assert path.stat().st_size < 1000
    broker.start()
    assert not marker.exists()


def test_restart_many_times(broker):
    harness.create_topic(broker, "t", partitions=1)
    for n in range(8):
        fill(broker, "t", 5, first=5 * n)
        harness.restart(broker, "t")
    assert numbers(broker, "t") == list(range(40))


def test_stop_at_once(broker):
    """Stopped as soon as it is ready, with requests under way."""
    harness.create_topic(broker, "t")
    for n in range(10):
        writer = load.Writer(broker.address, "t", name=f"w{n}").start()
        if n % 2:
            harness.wait_until(lambda: writer.acknowledged)
        broker.stop()
        writer.stop()
        broker.start()
        harness.wait_topic(broker, "t")


@pytest.mark.ours
def test_stop_among_chores(make_broker):
    """High watermarks are written all the time: whoever writes them asks the
    replicas, which go in the stop."""
    broker = make_broker(
        replica_high_watermark_checkpoint_interval_ms=1).start()
    harness.create_topic(broker, "t", partitions=100)
    for _ in range(5):
        harness.restart(broker, "t", 100)
    marks = (broker.data / "replication-offset-checkpoint").read_text()
    assert marks.startswith("0\n100\n")


@pytest.mark.ours
def test_stop_among_config_changes(broker):
    """News of a topic's config come until the session ends, after the logs
    were closed."""
    harness.create_topic(broker, "t", partitions=100)
    for _ in range(3):
        end = threading.Event()

        def change():
            client = harness.connect_zk(broker)
            for n in itertools.count():
                if end.is_set():
                    break
                client.set("/config/topics/t", json.dumps({
                    "version": 1, "config": {"retention.ms": str(10**9 + n)},
                }).encode())
                client.create("/config/changes/config_change_", json.dumps({
                    "version": 2, "entity_path": "topics/t"}).encode(),
                    sequence=True)
            client.end()

        thread = threading.Thread(target=change)
        before = broker.log().count("another config")
        thread.start()
        try:
            harness.wait_until(
                lambda: broker.log().count("another config") > before + 3,
                what="the config changes")
            broker.stop()
        finally:
            end.set()
            thread.join()
        broker.start()
        harness.wait_topic(broker, "t", 100)


def test_epochs_grow(broker):
    if broker.real:
        pytest.skip("ours alone looks at the metrics")
    epochs = [int(node(broker, "/controller_epoch")[0])]
    zxids = [node(broker, "/brokers/ids/0")[1].czxid]
    for _ in range(2):
        harness.restart(broker)
        epochs.append(int(node(broker, "/controller_epoch")[0]))
        zxids.append(node(broker, "/brokers/ids/0")[1].czxid)
    assert epochs == [1, 2, 3]
    assert zxids == sorted(set(zxids))


def test_stop_under_load(broker):
    harness.create_topic(broker, "t")
    writers = [load.Writer(broker.address, "t", name=f"w{i}").start()
               for i in range(4)]
    harness.wait_until(
        lambda: all(len(w.acknowledged) > 50 for w in writers))
    broker.stop()
    for w in writers:
        w.stop()
    broker.start()
    harness.wait_topic(broker, "t")
    assert load.check(broker.address, "t", writers) == []


# --- unclean -----------------------------------------------------------------

@pytest.mark.ours
@pytest.mark.parametrize("segment_bytes", (1 << 30, 20000))
def test_kill_under_load(make_broker, segment_bytes):
    broker = make_broker(log_segment_bytes=segment_bytes,
                         log_index_interval_bytes=500).start()
    harness.create_topic(broker, "t", partitions=2)
    writers = []
    for round_ in range(3):
        now = [load.Writer(broker.address, "t", p, f"r{round_}w{i}p{p}").start()
               for p in range(2) for i in range(2)]
        harness.wait_until(
            lambda: all(len(w.acknowledged) > 40 for w in now))
        broker.kill()
        for w in now:
            w.stop()
        writers += now
        broker.start()
        harness.wait_topic(broker, "t", 2)
        for p in range(2):
            assert load.check(broker.address, "t", [
                w for w in writers if w.partition == p], p) == []
    broker.stop()
    broker.start()
    harness.wait_topic(broker, "t", 2)
    for p in range(2):
        assert load.check(broker.address, "t", [
            w for w in writers if w.partition == p], p) == []


@pytest.mark.ours
def test_old_session_is_closed(make_broker):
    """The nodes of the killed process go at once, not after its session."""
    broker = make_broker(zookeeper_session_timeout_ms=10000).start()
    session = node(broker, "/brokers/ids/0")[1].ephemeralOwner
    broker.kill()
    begun = time.monotonic()
    broker.start()
    assert node(broker, "/brokers/ids/0")[1].ephemeralOwner != session
    # unless the machine was so slow that it had ended by itself
    assert "of the last run is closed now" in broker.log() or \
        time.monotonic() - begun >= 9


@pytest.mark.ours
@pytest.mark.parametrize("how", ("stop", "kill"))
def test_topics_are_never_unknown(make_broker, how):
    """From the first answer on, though the controller tells of them later: to
    librdkafka, "unknown" is the end of all that it has for a topic.  Nor to who
    commits."""
    broker = make_broker(auto_create_topics_enable="false").start()
    harness.create_topic(broker, "t", 300)
    harness.wait_topic(broker, "t", 300)
    seen, committed = set(), set()

    def ask(name):
        try:
            with wire.Client(broker.address) as client:
                return client.call("Metadata", 7, Topics=[{"Name": name}],
                                   AllowAutoTopicCreation=False)["Topics"][0]
        except (OSError, wire.Closed):
            return None

    def commit():
        with contextlib.suppress(OSError, wire.Closed), \
                wire.Client(broker.address) as client:
            told = client.call("OffsetCommit", 7, GroupId="g", MemberId="",
                               GenerationIdOrMemberEpoch=-1, Topics=[{
                                   "Name": "t", "Partitions": [{
                                       "PartitionIndex": 0,
                                       "CommittedOffset": 0}]}])
            committed.add(told["Topics"][0]["Partitions"][0]["ErrorCode"])

    def there():
        topic = ask("t")
        commit()
        if topic is not None:
            seen.add(topic["ErrorCode"])
        return topic is not None and topic["ErrorCode"] == 0
    for _ in range(5):
        getattr(broker, how)()
        broker.launch()
        harness.wait_until(there, what="t is told", pause=0)
    assert 0 in seen <= {0, 5}  # LEADER_NOT_AVAILABLE
    assert committed <= {0, 14, 15, 16}  # what clients ask again after
    assert ask("nobody-made-it")["ErrorCode"] == 3


def start_after_damage(broker, topic="t"):
    broker.start()
    harness.wait_topic(broker, topic)


DAMAGES = {}


def damage(f):
    DAMAGES[f.__name__] = f
    return f


@damage
def torn_tail(log, index, timeindex):
    with open(log, "r+b") as f:
        f.truncate(log.stat().st_size - 30)
    return 1


@damage
def torn_header(log, index, timeindex):
    with open(log, "ab") as f:
        f.write(b"\0\0\0\0\0\0\0\x32\0\0")


@damage
def zero_tail(log, index, timeindex):
    with open(log, "ab") as f:
        f.write(b"\0" * 5000)


@damage
def garbage_tail(log, index, timeindex):
    with open(log, "ab") as f:
        f.write(random.Random(1).randbytes(3000))


@damage
def half_a_batch(log, index, timeindex):
    with open(log, "ab") as f:
        f.write(wire.batch([b"x" * 500], base_offset=50)[:200])


@damage
def batch_of_wrong_checksum(log, index, timeindex):
    with open(log, "ab") as f:
        f.write(wire.batch([b"x" * 500], base_offset=50, crc=7))


@damage
def index_of_zeros(log, index, timeindex):
    index.write_bytes(b"\0" * 10485760)
    timeindex.write_bytes(b"\0" * 10485756)


@damage
def index_of_garbage(log, index, timeindex):
    index.write_bytes(random.Random(2).randbytes(804))
    timeindex.write_bytes(random.Random(3).randbytes(1201))


@damage
def index_missing(log, index, timeindex):
    index.unlink()
    timeindex.unlink()


@damage
def leftovers(log, index, timeindex):
    for suffix in (".deleted", ".cleaned", ".swap.deleted"):
        (log.parent / (log.name + suffix)).write_bytes(b"x")
    (log.parent / "00000000000000000007.index").write_bytes(b"\0" * 8)


@damage
def checkpoints_of_garbage(log, index, timeindex):
    data = log.parent.parent
    for name in ("recovery-point-offset-checkpoint",
                 "replication-offset-checkpoint",
                 "log-start-offset-checkpoint"):
        (data / name).write_text("x\n7\n\0")
    (log.parent / "leader-epoch-checkpoint").write_text("0\n1\nx")


@damage
def checkpoints_missing(log, index, timeindex):
    for name in ("recovery-point-offset-checkpoint",
                 "replication-offset-checkpoint"):
        (log.parent.parent / name).unlink(missing_ok=True)
    (log.parent / "leader-epoch-checkpoint").unlink(missing_ok=True)


@pytest.mark.ours
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_after_a_kill(make_broker, name):
    """What an unclean end may leave: cut there, rebuilt, appended to."""
    broker = make_broker(log_index_interval_bytes=500).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", 50)
    broker.kill()
    lost = DAMAGES[name](broker.log_files("t")[0],
                         broker.log_files("t", 0, "index")[0],
                         broker.log_files("t", 0, "timeindex")[0]) or 0
    start_after_damage(broker)
    left = 50 - lost
    assert numbers(broker, "t") == list(range(left))
    fill(broker, "t", 10, first=left)
    with wire.Client(broker.address) as c:
        assert wire.list_offset(c, "t", -1)["Offset"] == left + 10
        stamps = [(r[0], r[1]) for r in wire.read_all(c, "t")]
        for offset, stamp in stamps[::9]:
            found = wire.list_offset(c, "t", stamp)
            assert found["Timestamp"] == stamp and found["Offset"] <= offset
    harness.restart(broker, "t")
    assert numbers(broker, "t") == list(range(left + 10))


@pytest.mark.ours
def test_bad_batch_in_the_middle(make_broker):
    """After an unclean end the log is cut at the first bad batch, and all
    later segments go."""
    broker = make_broker(log_segment_bytes=2000).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", 60)
    files = broker.log_files("t")
    assert len(files) > 4
    broker.kill()
    with open(files[2], "r+b") as f:
        data = f.read()
        second = struct.unpack_from(">i", data, 8)[0] + 12
        f.seek(second + 80)
        f.write(b"\xff")
    start_after_damage(broker)
    kept = int(files[2].stem) + 1
    assert numbers(broker, "t") == list(range(kept))
    fill(broker, "t", 5, first=kept)


@pytest.mark.ours
@pytest.mark.parametrize("suffix", ("index", "timeindex"))
def test_index_missing_after_a_clean_stop(make_broker, suffix):
    broker = make_broker(log_index_interval_bytes=500).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", 50)
    broker.stop()
    for path in broker.log_files("t", 0, suffix):
        path.unlink()
    start_after_damage(broker)
    assert numbers(broker, "t") == list(range(50))
    fill(broker, "t", 5, first=50)


# --- who may start -----------------------------------------------------------

def ends_badly(broker):
    broker.launch()
    status = broker.process.wait(2 * harness.PATIENCE)
    broker.process = None
    assert status not in (0, -6, -11), broker.log()[-3000:]
    return broker.log()


@pytest.mark.ours
def test_directory_in_use(make_broker):
    first = make_broker(0).start()
    second = make_broker(1, log_dirs=first.data)
    assert "held by another process" in ends_badly(second)
    harness.create_topic(first, "t")


@pytest.mark.ours
def test_broker_id_in_use(make_broker):
    first = make_broker(0).start()
    twin = make_broker(0)
    text = ends_badly(twin)
    assert "FATAL" in text or "ERROR" in text
    harness.create_topic(first, "t")


@pytest.mark.ours
def test_address_in_use(make_broker):
    first = make_broker(0).start()
    twin = make_broker(
        1, listeners=f"PLAINTEXT://127.0.0.1:{harness.free_port()}",
        advertised_listeners=f"PLAINTEXT://127.0.0.1:{first.port}")
    ends_badly(twin)
    harness.create_topic(first, "t")


@pytest.mark.ours
def test_port_in_use(make_broker):
    first = make_broker(0).start()
    second = make_broker(1, listeners=f"PLAINTEXT://127.0.0.1:{first.port}")
    assert str(first.port) in ends_badly(second)


@pytest.mark.ours
@pytest.mark.parametrize("change,word", (
    (("broker.id=0", "broker.id=7"), "broker 7"),
    (("cluster.id=", "cluster.id=x"), "luster"),
    (("version=0", "version=1"), "version"),
))
def test_other_identity(broker, change, word):
    """meta.properties of another broker, another cluster, KRaft."""
    broker.stop()
    path = broker.data / "meta.properties"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    assert word in ends_badly(broker)
    path.write_text(text)
    broker.start()


@pytest.mark.ours
def test_unknown_directory(broker):
    """Kafka refuses it too: it may be data under a wrong name."""
    harness.create_topic(broker, "t")
    broker.stop()
    (broker.data / "nodash").mkdir()
    assert "nodash" in ends_badly(broker)
    (broker.data / "nodash").rmdir()
    broker.start()


@pytest.mark.ours
def test_topic_unknown_to_zookeeper(broker):
    """Its directory is kept."""
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)
    broker.stop()
    client = harness.connect_zk(broker)
    client.delete("/brokers/topics/t", recursive=True)
    client.end()
    broker.start()
    assert broker.log_files("t")
    harness.create_topic(broker, "u")


def never_leads(broker):
    """Started again and again, it makes no log of t."""
    for n in range(3):
        broker.start()
        harness.create_topic(broker, f"other-{n}")
        with wire.Client(broker.address) as c:
            part = wire.produce(c, "t", wire.batch([b"x"]))
            assert part["ErrorCode"] != 0
        assert not broker.log_files("t")
        broker.stop()


@pytest.mark.ours
def test_lost_data_does_not_lead(broker):
    """Told to lead what is not there any more: an error, not an empty log."""
    import shutil
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)
    broker.stop()
    shutil.rmtree(broker.data / "t-0")
    # not a node as a controller leaves it that died while making the topic
    client = harness.connect_zk(broker)
    path = "/brokers/topics/t/partitions/0/state"
    client.set(path, client.get(path)[0])
    client.end()
    never_leads(broker)


@pytest.mark.ours
def test_lost_disk_does_not_lead(broker):
    """Not at its next start, when it is not new any more, either."""
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)
    broker.stop()
    broker.wipe()
    never_leads(broker)
    broker.start()
    with wire.Client(broker.address) as c:
        # it may not know the topic again yet
        harness.wait_until(lambda: alter(c, TOPIC, "t", (
            "unclean.leader.election.enable", SET, "true"))[0] == 0)
    broker.stop()
    broker.start()
    harness.wait_leads(broker, "t")
    assert numbers(broker, "t") == []


@pytest.mark.ours
def test_new_disk_and_unreadable_topic(broker):
    """What a disk lost of it is not known: no start, until that is mended."""
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)
    broker.stop()
    broker.wipe()
    client = harness.connect_zk(broker)
    path = "/brokers/topics/t"
    good = client.get(path)[0]
    client.set(path, good[:-1])
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    assert [line for line in broker.log().splitlines()
            if " FATAL " in line and f"path={path} " in line]
    assert not (broker.data / "meta.properties").exists()
    client.set(path, good)
    client.end()
    never_leads(broker)


def leave_made(client, topics):
    """Topics as a controller leaves them that died when it had told nobody,
    and had written each state twice: broker 0 leads, alone in sync."""
    state = json.dumps({"controller_epoch": 1, "leader": 0, "version": 1,
                        "leader_epoch": 1, "isr": [0]}).encode()
    made = client.transaction()
    for topic in topics:
        path = f"/brokers/topics/{topic}"
        made.create(path, json.dumps({
            "partitions": {"0": [0]}, "version": 1}).encode())
        for below in ("partitions", "0"):
            path += f"/{below}"
            made.create(path)
        made.create(f"{path}/state", state)
        made.set_data(f"{path}/state", state)
    assert not any(isinstance(r, Exception) for r in made.commit())


@pytest.mark.ours
def test_new_disk_lost_nothing_that_came_later(broker):
    """This broker, on a new disk, is the only one in sync."""
    broker.stop()
    broker.wipe()
    broker.start()
    client = harness.connect_zk(broker)
    leave_made(client, ["t"])
    client.delete("/controller")
    client.end()
    harness.wait_leads(broker, "t")
    fill(broker, "t", 3)
    assert numbers(broker, "t") == list(range(3))


@pytest.mark.ours
def test_new_disk_lost_very_many(broker):
    """More topics than are asked for at once; one cannot have a log."""
    topics = [f"t{n}" for n in range(1100)]
    broker.stop()
    broker.wipe()
    client = harness.connect_zk(broker)
    for first in range(0, len(topics), 100):
        leave_made(client, topics[first:first + 100])
    leave_made(client, ["no topic"])
    client.end()
    broker.start()
    broker.stop()
    points = broker.data / "recovery-point-offset-checkpoint"
    assert sorted(points.read_text().splitlines()) == sorted(
        ["0", str(len(topics))] + [f"{topic} 0 0" for topic in topics])
    assert not list(broker.data.glob("t*"))


# --- ZooKeeper ---------------------------------------------------------------

@pytest.mark.ours
def test_zookeeper_stopped(own_zookeeper, make_broker):
    """Serving goes on; afterwards registration and control resume."""
    broker = make_broker(zk=own_zookeeper).start()
    harness.create_topic(broker, "t")
    own_zookeeper.stop()
    fill(broker, "t", 20)
    assert numbers(broker, "t") == list(range(20))
    # past its session
    time.sleep(8)
    fill(broker, "t", 20, first=20)
    own_zookeeper.start()
    harness.wait_until(lambda: broker.metric(
        "kafka_server_zk_sessionstate", state="CONNECTED") == 1, 60,
        "connected again")
    controlled(broker)
    assert node(broker, "/brokers/ids/0")[1].ephemeralOwner
    fill(broker, "t", 20, first=40)


@pytest.mark.ours
def test_session_expires(own_zookeeper, make_broker):
    """A new session: registered with a new epoch, controller again."""
    broker = make_broker(zk=own_zookeeper).start()
    harness.create_topic(broker, "t")
    stat = node(broker, "/brokers/ids/0")[1]
    epoch = int(node(broker, "/controller_epoch")[0])
    # the broker sleeps past its session; the others end it meanwhile
    import signal
    harness.suspend(broker.process)
    client = harness.connect_zk(broker)
    harness.wait_until(lambda: not client.exists("/brokers/ids/0"), 60,
                       "its node goes")
    broker.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: client.exists("/brokers/ids/0"), 60,
                       "registered again")
    assert client.get("/brokers/ids/0")[1].czxid > stat.czxid
    harness.wait_until(
        lambda: client.exists("/controller")
        and int(client.get("/controller_epoch")[0]) > epoch, 60,
        "controller again")
    client.end()
    assert broker.metric("kafka_server_zk_expires_total") >= 1
    controlled(broker)
    fill(broker, "t", 5)


@pytest.mark.ours
@pytest.mark.parametrize("twin", ("0", "5"))
def test_session_expires_and_a_twin_comes(make_broker, twin):
    """Its place is taken when it comes back, by its id or by its address: it
    does not go on as if nothing were, it ends as one that failed."""
    import signal
    broker = make_broker().start()
    harness.create_topic(broker, "t")
    client = harness.connect_zk(broker)
    value = json.loads(client.get("/brokers/ids/0")[0])
    harness.suspend(broker.process)
    harness.wait_until(lambda: not client.exists("/brokers/ids/0"), 60,
                       "its node goes")
    if twin == "0":
        value.update(port=1, endpoints=["PLAINTEXT://127.0.0.1:1"])
    client.create(f"/brokers/ids/{twin}", json.dumps(value).encode(),
                  ephemeral=True)
    broker.process.send_signal(signal.SIGCONT)
    assert broker.process.wait(60) == 1
    broker.process = None
    assert " FATAL " in broker.log()
    client.delete(f"/brokers/ids/{twin}")
    client.end()
    broker.start()
    controlled(broker)


@pytest.mark.ours
def test_not_ready_while_unregistered(make_broker):
    """Readiness follows the registration."""
    import signal
    broker = make_broker().start()
    client = harness.connect_zk(broker)
    value = json.loads(client.get("/brokers/ids/0")[0])
    harness.suspend(broker.process)
    harness.wait_until(lambda: not client.exists("/brokers/ids/0"), 60,
                       "its node goes")
    # as left by a process that died at the same address: it waits
    client.create("/brokers/ids/0", json.dumps(value).encode(),
                  ephemeral=True)
    broker.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: broker.http("/readyz")[0] == 503,
                       what="it is not ready")
    assert broker.http("/healthz")[0] == 200
    client.delete("/brokers/ids/0")
    harness.wait_until(lambda: broker.http("/readyz")[0] == 200,
                       what="it is ready again")
    client.end()
    controlled(broker)


@pytest.mark.ours
def test_zookeeper_hangs(own_zookeeper, make_broker):
    """Answers nothing for longer than the session, then goes on."""
    broker = make_broker(zk=own_zookeeper).start()
    harness.create_topic(broker, "t")
    own_zookeeper.pause()
    fill(broker, "t", 5)
    time.sleep(9)
    fill(broker, "t", 5, first=5)
    own_zookeeper.resume()
    controlled(broker)


@pytest.mark.ours
def test_start_without_zookeeper(own_zookeeper, make_broker):
    """Waits for it, and stops when told to meanwhile."""
    own_zookeeper.stop()
    # a slow machine may take longer than a session for ZooKeeper's start
    broker = make_broker(
        zk=own_zookeeper, zookeeper_connection_timeout_ms=60000).launch()
    harness.wait_until(lambda: broker.http("/healthz")[0] == 200,
                       what="the admin port answers")
    assert broker.http("/readyz")[0] == 503
    broker.stop()
    broker.launch()
    time.sleep(1)
    own_zookeeper.start()
    broker.wait_ready(60)


def read_only(broker, path):
    """As a cluster with zookeeper.set.acl=true leaves it to others."""
    client = harness.connect_zk(broker)
    client.set_acls(path, [kazoo.security.make_acl("world", "anyone",
                                                   read=True)])
    client.end()


@pytest.mark.ours
def test_config_that_must_not_be_read(make_broker):
    """Of one topic: it and the others go on."""
    broker = make_broker().start()
    harness.create_topic(broker, "t", **{"retention.ms": "1000"})
    client = harness.connect_zk(broker)
    client.set_acls("/config/topics/t", [kazoo.security.make_acl(
        "world", "anyone", write=True, admin=True)])
    client.end()
    harness.restart(broker, "t")
    harness.create_topic(broker, "u")
    with wire.Client(broker.address) as c:
        for topic in "tu":
            assert wire.produce(c, topic, wire.batch([b"x"]))[
                "ErrorCode"] == 0
    assert "topic=t ZooKeeper refuses path=/config/topics/t" in broker.log()


@pytest.mark.ours
@pytest.mark.parametrize("data", (b"", b'{"version":1}'))
def test_configs_without_any(make_broker, data):
    """By hand: they set nothing, and may be altered."""
    broker = make_broker().start()
    harness.create_topic(broker, "t", **{"retention.ms": "1000"})
    broker.stop()
    client = harness.connect_zk(broker)
    client.set("/config/topics/t", data)
    client.create("/config/brokers/0", data, makepath=True)
    client.end()
    broker.start()
    harness.wait_topic(broker, "t")
    assert described(broker, "retention.ms", topic="t") == {
        "retention.ms": ("604800000", 5)}
    with wire.Client(broker.address) as c:
        for kind, name, key in ((TOPIC, "t", "retention.ms"),
                                (BROKER, "0", "background.threads")):
            assert alter(c, kind, name, (key, SET, "9"))[0] == 0


@pytest.mark.ours
def test_a_controller_epoch_that_is_no_number(make_broker):
    """Nobody is controller until it is repaired; then somebody is."""
    broker = make_broker().start()
    client = harness.connect_zk(broker)
    client.set("/controller_epoch", b"7\n")
    client.delete("/controller")
    told = "/controller_epoch cannot be read"
    harness.wait_until(lambda: told in broker.log(), what="it is told")
    time.sleep(3)
    assert not client.exists("/controller")
    assert broker.log().count(told) == 1
    client.set("/controller_epoch", b"7")
    harness.wait_until(lambda: client.exists("/controller"),
                       what="a controller")
    assert client.get("/controller_epoch")[0] == b"8"
    client.end()


@pytest.mark.ours
@pytest.mark.parametrize("path,refused", (
    ("/brokers/ids", "/brokers/ids/0"),
    ("/", "/cluster/id"),
    ("/config", "/config/brokers"),
))
def test_zookeeper_refuses(make_broker, path, refused):
    """Nodes that only others may write: the start ends, and says which."""
    broker = make_broker().start()
    broker.stop()
    client = harness.connect_zk(broker)
    if path != "/brokers/ids":
        client.delete("/cluster" if path == "/" else refused, recursive=True)
    client.end()
    read_only(broker, path)
    text = ends_badly(broker)
    assert [line for line in text.splitlines()
            if " FATAL " in line and f"path={refused} " in line]


@pytest.mark.ours
@pytest.mark.parametrize("spoiled", ("json", "empty", "acl"))
def test_a_topic_of_offsets_that_cannot_be_read(make_broker, spoiled):
    """It is not taken for one that is yet to be made, of as many partitions as
    the file says: groups would be looked for where they are not."""
    path = "/brokers/topics/__consumer_offsets"
    broker = make_broker().start()
    with wire.Client(broker.address, timeout=30) as c:
        harness.wait_until(
            lambda: not c.call("FindCoordinator", 0, Key="g")["ErrorCode"],
            what="a coordinator")
    broker.stop()
    client = harness.connect_zk(broker)
    if spoiled == "json":
        client.set(path, b"{")
    elif spoiled == "empty":
        client.set(path, b'{"version":2,"partitions":{}}')
    else:
        client.set_acls(path, [kazoo.security.make_acl(
            "world", "anyone", write=True, admin=True)])
    client.end()
    assert [line for line in ends_badly(broker).splitlines()
            if " FATAL " in line and path in line]


@pytest.mark.ours
def test_zookeeper_refuses_what_is_not_needed(make_broker):
    """Folders that others may not write to do no harm once all is there."""
    broker = make_broker().start()
    broker.stop()
    for path in ("/brokers", "/config", "/cluster", "/cluster/id"):
        read_only(broker, path)
    broker.start()


@pytest.mark.ours
def test_stop_without_zookeeper(own_zookeeper, make_broker):
    broker = make_broker(zk=own_zookeeper).start()
    harness.create_topic(broker, "t")
    fill(broker, "t", 5)
    own_zookeeper.stop()
    broker.stop()
    own_zookeeper.start()
    broker.start(60)
    harness.wait_topic(broker, "t")
    assert numbers(broker, "t") == list(range(5))


# --- disks -------------------------------------------------------------------

@pytest.mark.ours
def test_two_log_dirs(make_broker):
    broker = make_broker()
    dirs = [broker.folder / f"disk{n}" for n in range(3)]
    for d in dirs:
        d.mkdir()
    broker.options["log.dirs"] = ",".join(map(str, dirs))
    broker.start()
    harness.create_topic(broker, "t", partitions=9)
    for d in dirs:
        assert len(list(d.glob("t-*"))) == 3
        assert (d / ".lock").exists() and (d / "meta.properties").exists()
    with wire.Client(broker.address) as c:
        for p in range(9):
            assert wire.produce(c, "t", wire.batch([b"x"]),
                                p)["ErrorCode"] == 0
    harness.restart(broker, "t", 9)
    with wire.Client(broker.address) as c:
        for p in range(9):
            assert len(wire.read_all(c, "t", p)) == 1


@pytest.mark.ours
def test_directory_that_cannot_be_made(make_broker):
    broker = make_broker(log_dirs="/proc/no/such")
    assert "/proc/no/such" in ends_badly(broker)
