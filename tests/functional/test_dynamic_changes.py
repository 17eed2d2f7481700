# SPDX-License-Identifier: Apache-2.0
"""What is set of brokers while they run counts without a restart."""

import json
import pathlib
import signal
import socket
import time

import kazoo.security
import pytest

import harness
import wire
from dynamic_configs import DEFAULT, Settings, described

TOO_LARGE = 10
INVALID_TIMESTAMP = 32
UNSUPPORTED_VERSION = 35


@pytest.fixture
def running(make_broker):
    """running(**options): a started broker with .set(name, config)."""
    opened = []

    def make(prepare=None, port=None, **options):
        broker = make_broker(**options)
        broker.port = port or broker.port
        settings = Settings(broker)
        opened.append(settings)
        if prepare is not None:
            prepare(settings)
        broker.start()
        broker.set_dynamic = settings.set
        broker.settings = settings
        return broker
    yield make
    for settings in opened:
        settings.close()


def becomes(broker, wanted, topic=None, entity="0"):
    """{name: (value, source)} is what it describes, soon."""
    harness.wait_until(
        lambda: described(broker, *wanted, topic=topic,
                          entity=entity) == wanted,
        what=f"{wanted}", pause=0.05)


def error_of(broker, topic, data, **how):
    with wire.Client(broker.address) as c:
        return wire.produce(c, topic, data, **how)["ErrorCode"]


def fill(broker, topic, count, size=900):
    """A batch each."""
    with wire.Client(broker.address) as c:
        for _ in range(count):
            assert wire.produce(c, topic, wire.batch([b"x" * size]))[
                "ErrorCode"] == 0


# --- how they come and go ----------------------------------------------------

def test_both_levels(running):
    """That of one broker counts more than that of all; what is taken out gives
    way to what is below; seen by topics that have none of their own."""
    broker = running(log_retention_ms=7000)
    harness.create_topic(broker, "t")
    harness.create_topic(broker, "own", retention_ms=1234)
    becomes(broker, {"retention.ms": ("7000", 4)}, topic="t")
    broker.set_dynamic(DEFAULT, {"log.retention.ms": "5000"})
    becomes(broker, {"log.retention.ms": ("5000", 3)})
    becomes(broker, {"retention.ms": ("5000", 3)}, topic="t")
    broker.set_dynamic("0", {"log.retention.ms": "6000",
                             "no.such.option": "a"})
    becomes(broker, {"log.retention.ms": ("6000", 2)})
    becomes(broker, {"retention.ms": ("6000", 2)}, topic="t")
    becomes(broker, {"log.retention.ms": ("5000", 3)}, entity="")
    becomes(broker, {"retention.ms": ("1234", 1)}, topic="own")
    broker.set_dynamic("0", {})
    becomes(broker, {"retention.ms": ("5000", 3)}, topic="t")
    broker.set_dynamic(DEFAULT, {})
    becomes(broker, {"retention.ms": ("7000", 4)}, topic="t")
    assert described(broker, "log.retention.ms", entity="") == {}


def test_what_has_no_effect_is_passed_over(running):
    """A value that is not of the option's form, what cannot be set at run time
    or for all; the rest of the same node counts."""
    broker = running(broker_rack="here")
    broker.set_dynamic(DEFAULT, {
        "log.segment.bytes": "x", "broker.rack": "there",
        "advertised.listeners": "PLAINTEXT://a:1", "message.max.bytes": "-4",
        "log.retention.ms": "5000"})
    becomes(broker, {"log.retention.ms": ("5000", 3)})
    assert described(broker, "log.segment.bytes", "broker.rack",
                     "message.max.bytes") == {
        "log.segment.bytes": ("1073741824", 5), "broker.rack": ("here", 4),
        "message.max.bytes": ("1048588", 5)}


@pytest.mark.ours
def test_what_is_passed_over_is_told(running):
    broker = running()
    broker.set_dynamic(DEFAULT, {
        "log.segment.bytes": "x", "log.dirs": "/a",
        "metric.reporters": "a.B"})
    broker.set_dynamic("0", {
        "authorizer.class.name": "a.B", "log.retention.bytes": "5000",
        "listener.name.other.ssl.key.password": "secret"})
    becomes(broker, {"log.retention.bytes": ("5000", 2)})
    for name in ("log.segment.bytes", "log.dirs", "metric.reporters",
                 "authorizer.class.name"):
        harness.wait_until(lambda: [
            line for line in broker.log().splitlines()
            if " WARN " in line and f"{name} (/config/brokers)" in line],
            what=name)
    assert "config=log.retention.bytes was set in" in broker.log()
    broker.set_dynamic("0", {})
    harness.wait_until(
        lambda: "config=log.retention.bytes was taken out" in broker.log(),
        what="told")
    # once, though it was read again
    assert broker.log().count("log.dirs (/config/brokers)") == 1
    assert "secret" not in broker.log()


@pytest.mark.ours
def test_what_does_not_hold_together_changes_nothing(running):
    """Rules between options: all of it waits until it is right."""
    broker = running()
    broker.set_dynamic("0", {"log.retention.bytes": "5000"})
    becomes(broker, {"log.retention.bytes": ("5000", 2)})
    broker.set_dynamic("0", {"log.retention.bytes": "6000",
                             "max.connections.per.ip": "0"})
    harness.wait_until(
        lambda: "nothing of what was set in /config/brokers counts" in
        broker.log(), what="it is told")
    assert described(broker, "log.retention.bytes") == {
        "log.retention.bytes": ("5000", 2)}
    broker.set_dynamic("0", {"log.retention.bytes": "6000"})
    becomes(broker, {"log.retention.bytes": ("6000", 2)})


@pytest.mark.ours
def test_without_a_notification(running):
    broker = running()
    broker.set_dynamic("0", {"log.retention.bytes": "5000"}, notify=False)
    becomes(broker, {"log.retention.bytes": ("5000", 2)})


@pytest.mark.ours
def test_that_cannot_be_read(running):
    """What it said before counts, and what it says next."""
    broker = running()
    path = broker.settings.path("/config/brokers/0")
    broker.set_dynamic("0", {"log.retention.bytes": "5000"})
    becomes(broker, {"log.retention.bytes": ("5000", 2)})
    broker.settings.zk.set(path, b"no json")
    harness.wait_until(
        lambda: "path=/config/brokers/0 cannot be read" in broker.log(),
        what="it is told")
    broker.set_dynamic(DEFAULT, {"log.segment.bytes": "9000"})
    becomes(broker, {"log.segment.bytes": ("9000", 3)})
    assert described(broker, "log.retention.bytes") == {
        "log.retention.bytes": ("5000", 2)}
    broker.set_dynamic("0", {"log.retention.bytes": "6000"})
    becomes(broker, {"log.retention.bytes": ("6000", 2)})


def test_set_while_the_session_was_away(own_zookeeper, make_broker):
    """ZooKeeper comes back, and the broker with another session: what was set
    meanwhile counts, and what is set then."""
    broker = make_broker(zk=own_zookeeper)
    settings = Settings(broker)
    settings.set("0", {"log.retention.bytes": "5000"})
    broker.start()
    harness.suspend(broker.process)
    try:
        # its session of 6 s ends
        node = settings.path("/brokers/ids/0")
        harness.wait_until(lambda: settings.zk.exists(node) is None,
                           what="the session ends")
        settings.set("0", {"log.retention.bytes": "6000"})
        settings.set(DEFAULT, {"log.segment.bytes": "9000"})
    finally:
        broker.process.send_signal(signal.SIGCONT)
    becomes(broker, {"log.retention.bytes": ("6000", 2)})
    becomes(broker, {"log.segment.bytes": ("9000", 3)})
    settings.set("0", {"log.retention.bytes": "7000"})
    becomes(broker, {"log.retention.bytes": ("7000", 2)})
    settings.close()


@pytest.mark.ours
def test_set_while_it_starts(running):
    """Between the reading for the start and the opened doors."""
    broker = running()
    for i in range(20):
        broker.set_dynamic("0", {"log.retention.bytes": str(5000 + i)})
    becomes(broker, {"log.retention.bytes": ("5019", 2)})
    broker.stop()
    broker.launch()
    for i in range(20):
        broker.set_dynamic("0", {"log.retention.bytes": str(6000 + i)})
        time.sleep(0.02)
    broker.wait_ready()
    becomes(broker, {"log.retention.bytes": ("6019", 2)})


@pytest.mark.ours
def test_set_until_it_stops(running):
    """A stop in the middle of changes is clean."""
    broker = running(background_threads=2)
    harness.create_topic(broker, "t", partitions=20)
    for i in range(5):
        broker.set_dynamic("0", {"background.threads": str(1 + i % 3),
                                 "log.retention.bytes": str(5000 + i)})
    broker.stop()


# --- topics' defaults --------------------------------------------------------

def test_message_max_bytes(running):
    broker = running()
    harness.create_topic(broker, "t")
    harness.create_topic(broker, "own", max_message_bytes=9000)
    data = wire.batch([b"x" * 2500])
    assert error_of(broker, "t", data) == 0
    broker.set_dynamic(DEFAULT, {"message.max.bytes": "2000"})
    harness.wait_until(lambda: error_of(broker, "t", data) == TOO_LARGE,
                       what="it is too large")
    assert error_of(broker, "own", data) == 0
    harness.create_topic(broker, "later")
    assert error_of(broker, "later", data) == TOO_LARGE
    broker.set_dynamic(DEFAULT, {})
    harness.wait_until(lambda: error_of(broker, "t", data) == 0,
                       what="it is not")


def test_compression(running):
    broker = running()
    harness.create_topic(broker, "t")

    def codec():
        with wire.Client(broker.address) as c:
            offset = wire.produce(c, "t", wire.batch([b"x" * 500]))[
                "BaseOffset"]
            return wire.batches(wire.fetch(c, "t", offset)["Records"])[0].codec
    assert codec() == "none"
    for name in ("gzip", "zstd", "lz4", "uncompressed"):
        broker.set_dynamic(DEFAULT, {"compression.type": name,
                                     f"compression.{name}.level": "2"}
                           if name in ("gzip", "zstd", "lz4") else
                           {"compression.type": name})
        harness.wait_until(
            lambda: codec() == name.replace("uncompressed", "none"),
            what=name)


def test_timestamps(running):
    broker = running()
    harness.create_topic(broker, "t")
    old = wire.batch([b"a"], timestamp=int(time.time() * 1000) - 3600000)
    soon = wire.batch([b"a"], timestamp=int(time.time() * 1000) + 1800000)
    assert error_of(broker, "t", old) == 0
    broker.set_dynamic("0", {
        "log.message.timestamp.before.max.ms": "600000",
        "log.message.timestamp.after.max.ms": "600000"})
    harness.wait_until(
        lambda: error_of(broker, "t", old) == INVALID_TIMESTAMP,
        what="it is too old")
    assert error_of(broker, "t", soon) == INVALID_TIMESTAMP
    broker.set_dynamic("0", {"log.message.timestamp.type": "LogAppendTime"})

    def appended_ms():
        with wire.Client(broker.address) as c:
            return wire.produce(c, "t", old)["LogAppendTimeMs"]
    harness.wait_until(lambda: appended_ms() > 0, what="the broker's time")


def test_segments(running):
    """By size and by time, and what retention keeps of them, and for how long
    the files stay."""
    broker = running(log_retention_check_interval_ms=100,
                     log_initial_task_delay_ms=100)
    harness.create_topic(broker, "t")
    fill(broker, "t", 20)
    assert len(broker.log_files("t")) == 1
    broker.set_dynamic(DEFAULT, {"log.segment.bytes": "4000"})
    becomes(broker, {"segment.bytes": ("4000", 3)}, topic="t")
    fill(broker, "t", 20)
    assert len(broker.log_files("t")) >= 5
    broker.set_dynamic(DEFAULT, {"log.segment.bytes": "4000",
                                 "log.segment.delete.delay.ms": "1",
                                 "log.retention.bytes": "5000"})

    def begins():
        with wire.Client(broker.address) as c:
            return wire.list_offset(c, "t", -2)["Offset"]
    # Files are renamed first: the log begins later a moment after.
    harness.wait_until(lambda: begins() > 20, what="old ones go")
    harness.wait_until(lambda: len(broker.log_files("t")) <= 3,
                       what="so do their files")
    harness.wait_until(
        lambda: not broker.log_files("t", suffix="deleted"),
        what="their files go at once")
    harness.create_topic(broker, "old")
    fill(broker, "old", 1)
    broker.set_dynamic(DEFAULT, {"log.roll.ms": "1"})
    becomes(broker, {"segment.ms": ("1", 3)}, topic="old")
    fill(broker, "old", 2)
    assert len(broker.log_files("old")) >= 2
    broker.set_dynamic(DEFAULT, {"log.retention.ms": "100"})

    def empty():
        with wire.Client(broker.address) as c:
            return wire.list_offset(c, "old", -2)["Offset"] == 3
    harness.wait_until(empty, what="all are too old")


def test_index(running):
    """An entry for each so many bytes, from then on."""
    broker = running(log_index_interval_bytes=1000000)
    harness.create_topic(broker, "t", segment_bytes=30000)
    fill(broker, "t", 28)
    broker.set_dynamic("0", {"log.index.interval.bytes": "1000"})
    becomes(broker, {"index.interval.bytes": ("1000", 2)}, topic="t")
    fill(broker, "t", 90)

    def sizes():
        """Without the active one's: it may be larger, for what is to come;
        and it is closed a moment later."""
        return [f.stat().st_size for f in
                broker.log_files("t", suffix="index")[:-1]]
    harness.wait_until(
        lambda: len(sizes()) >= 2 and sizes()[0] <= 8 and
        80 <= sizes()[-1] < 1000, what="the entries of each segment")


def test_flush(running):
    """Each record is synced, as the checkpoint of it tells."""
    broker = running(log_flush_offset_checkpoint_interval_ms=100,
                     log_initial_task_delay_ms=100)
    harness.create_topic(broker, "t")

    def synced():
        path = broker.data / "recovery-point-offset-checkpoint"
        lines = path.read_text().splitlines()[2:] if path.exists() else []
        return dict(line.rsplit(" ", 1) for line in lines).get("t 0", "0")
    fill(broker, "t", 5)
    broker.set_dynamic("0", {"log.flush.interval.messages": "1"})
    becomes(broker, {"flush.messages": ("1", 2)}, topic="t")
    assert synced() == "0"
    fill(broker, "t", 5)
    harness.wait_until(lambda: synced() == "10", what="all is synced")


def test_downconversion(running):
    broker = running()
    harness.create_topic(broker, "t")
    fill(broker, "t", 1, size=10)

    def code():
        with wire.Client(broker.address) as c:
            return wire.fetch(c, "t", 0, version=3, max_wait_ms=0)[
                "ErrorCode"]
    assert code() == 0
    broker.set_dynamic("0", {"log.message.downconversion.enable": "false"})
    harness.wait_until(lambda: code() == UNSUPPORTED_VERSION,
                       what="nothing is converted")


def test_unclean_election(running):
    """Switched on, it gives partitions a leader that have none; a topic that
    says no keeps none."""
    def lost(settings):
        for topic, config in (("t", {}), ("never", {
                "unclean.leader.election.enable": "false"})):
            for path, value in (
                    (f"/brokers/topics/{topic}", {
                        "version": 3, "partitions": {"0": [9, 0]},
                        "topic_id": topic.ljust(22, "A"),
                        "adding_replicas": {}, "removing_replicas": {}}),
                    (f"/config/topics/{topic}", {
                        "version": 1, "config": config}),
                    (f"/brokers/topics/{topic}/partitions/0/state", {
                        "controller_epoch": 1, "leader": 9, "version": 1,
                        "leader_epoch": 3, "isr": [9]})):
                settings.zk.create(settings.path(path),
                                   json.dumps(value).encode(),
                                   makepath=True)
    broker = running(prepare=lost)

    def leader(topic):
        with wire.Client(broker.address) as c:
            answer = c.call("Metadata", 7, Topics=[{"Name": topic}],
                            AllowAutoTopicCreation=False)["Topics"][0]
        parts = answer["Partitions"]
        return parts[0]["LeaderId"] if parts else None
    harness.wait_until(lambda: leader("t") == -1 and leader("never") == -1,
                       what="both are known")
    broker.set_dynamic("0", {"unclean.leader.election.enable": "true"})
    harness.wait_until(lambda: leader("t") == 0, what="it has a leader")
    fill(broker, "t", 1)
    assert leader("never") == -1


# --- connections -------------------------------------------------------------

HELLO = wire.frame(wire.request_frame("ApiVersions", 0))


def greeted(connection, patience=0.5):
    """Whether it is served, soon; who is sure of it has more patience."""
    connection.settimeout(patience)
    try:
        connection.sendall(HELLO)
        return len(connection.recv(65536)) > 4
    except OSError:
        return False


class Clients:
    def __init__(self, port):
        self.port, self.open = port, []

    def connect(self):
        self.open.append(socket.create_connection(("127.0.0.1", self.port),
                                                  timeout=harness.PATIENCE))
        return self.open[-1]

    def served(self, patience=0.5):
        """Whether a new one is."""
        connection = self.connect()
        good = greeted(connection, patience)
        if not good:
            self.open.remove(connection)
            connection.close()
        return good

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.open:
            connection.close()


@pytest.fixture
def guarded(running):
    """A broker whose clients have a listener of their own, .clients."""
    def make(**options):
        clients, brokers = harness.free_port(), harness.free_port()
        broker = running(
            listeners=f"PLAINTEXT://127.0.0.1:{brokers},"
                      f"CLIENTS://127.0.0.1:{clients}",
            listener_security_protocol_map="PLAINTEXT:PLAINTEXT,"
                                           "CLIENTS:PLAINTEXT",
            port=brokers, **options)
        broker.clients = clients
        return broker
    return make


def test_max_connections(guarded):
    """Nobody comes beyond it; of those that are too many the idle ones go; the
    listener of brokers is not bounded."""
    broker = guarded()
    with Clients(broker.clients) as clients:
        for _ in range(4):
            assert clients.served(harness.PATIENCE)
        broker.set_dynamic(DEFAULT, {"max.connections": "2"})
        harness.wait_until(
            lambda: sum(greeted(c) for c in clients.open) <= 2,
            what="some go")
        harness.wait_until(lambda: not clients.served(),
                           what="nobody comes beyond it")
        with wire.Client(broker.address) as c:
            assert c.call("ApiVersions", 0)["ErrorCode"] == 0
        broker.set_dynamic(DEFAULT, {})
        harness.wait_until(clients.served, what="there is room")


def test_max_connections_of_a_listener(guarded):
    broker = guarded()
    with Clients(broker.clients) as clients:
        for _ in range(2):
            assert clients.served(harness.PATIENCE)
        name = "listener.name.clients.max.connections"
        broker.set_dynamic("0", {name: "2"})
        harness.wait_until(lambda: not clients.served(), what="it is full")
        assert all(greeted(c, harness.PATIENCE) for c in clients.open[:2])
        with wire.Client(broker.address) as c:
            assert c.call("ApiVersions", 0)["ErrorCode"] == 0
        # until the bound counted more of them came
        broker.set_dynamic("0", {name: str(len(clients.open) + 2)})
        harness.wait_until(clients.served, what="there is room")


def test_max_connections_per_ip(guarded):
    broker = guarded()
    with Clients(broker.clients) as clients:
        assert clients.served(harness.PATIENCE)
        broker.set_dynamic(DEFAULT, {"max.connections.per.ip": "1"})
        harness.wait_until(lambda: not clients.served(), what="one is enough")
        assert greeted(clients.open[0], harness.PATIENCE)
        broker.set_dynamic(DEFAULT, {
            "max.connections.per.ip": "1",
            "max.connections.per.ip.overrides": "127.0.0.1:100"})
        harness.wait_until(clients.served, what="this one may")
        broker.set_dynamic(DEFAULT, {
            "max.connections.per.ip.overrides": "127.0.0.1:1"})
        harness.wait_until(lambda: not clients.served(), what="or not")
        # of this address, only the broker itself connects now
        broker.set_dynamic(DEFAULT, {})
        harness.wait_until(clients.served, what="all may")


def test_max_connection_creation_rate(guarded):
    broker = guarded()

    def burst():
        """How long ten connections take."""
        start = time.monotonic()
        for _ in range(10):
            with Clients(broker.clients) as clients:
                clients.connect().sendall(HELLO)
                assert clients.open[-1].recv(65536)
        return time.monotonic() - start
    burst()
    broker.set_dynamic(
        DEFAULT, {"listener.name.clients.max.connection.creation.rate": "2"})
    harness.wait_until(lambda: burst() > 2, what="it is slow")
    broker.set_dynamic(DEFAULT, {})
    harness.wait_until(lambda: burst() < 2, what="it is quick")


# --- the rest ----------------------------------------------------------------

def workers(broker):
    count = 0
    for task in pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir():
        try:
            count += (task / "comm").read_text().strip() == "worker"
        except OSError:
            pass  # it has just ended
    return count


@pytest.mark.ours
def test_background_threads(running):
    """Threads come and go; also those that were set before the start."""
    def five(settings):
        settings.set(DEFAULT, {"background.threads": "5"})
    broker = running(prepare=five, background_threads=2)
    # half as many again unpack and convert, one moves logs to another
    # directory; ZooKeeper's client inherits the name for two
    more = 1 + 2
    harness.wait_until(lambda: workers(broker) == 5 + 3 + more,
                       what="those of the start")
    broker.set_dynamic("0", {"background.threads": "9"})
    harness.wait_until(lambda: workers(broker) == 9 + 5 + more,
                       what="they come")
    broker.set_dynamic("0", {"background.threads": "1"})
    harness.wait_until(lambda: workers(broker) == 1 + 1 + more,
                       what="they go")
    harness.create_topic(broker, "t")
    fill(broker, "t", 3)


def test_producer_id_expiration(running):
    broker = running(producer_id_expiration_check_interval_ms=100,
                     log_initial_task_delay_ms=100)
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert wire.produce(c, "t", wire.batch(
            [b"a"], producer_id=7, producer_epoch=0, base_sequence=0))[
            "ErrorCode"] == 0

        def known():
            return c.call("DescribeProducers", 0, Topics=[{
                "Name": "t", "PartitionIndexes": [0]}])["Topics"][0][
                "Partitions"][0]["ActiveProducers"]
        assert known()
        broker.set_dynamic("0", {"producer.id.expiration.ms": "50"})
        harness.wait_until(lambda: not known(), what="it is forgotten")


@pytest.mark.ours
def test_disk_reserve(running):
    broker = running()
    harness.create_topic(broker, "t")
    fill(broker, "t", 1)
    broker.set_dynamic("0", {
        "barnabas.disk.reserve.bytes": str((1 << 63) - 1)})
    data = wire.batch([b"x"])
    harness.wait_until(lambda: error_of(broker, "t", data) != 0,
                       what="there is no room")
    broker.set_dynamic("0", {})
    harness.wait_until(lambda: error_of(broker, "t", data) == 0,
                       what="there is")


@pytest.mark.ours
def test_a_node_that_must_not_be_read(running):
    """For a while only: what it says then counts."""
    broker = running()
    harness.create_topic(broker, "t")
    fill(broker, "t", 1)
    broker.set_dynamic("0", {})
    settings = broker.settings
    path = settings.path("/config/brokers/0")
    settings.zk.set_acls(path, [kazoo.security.make_acl(
        "world", "anyone", write=True, admin=True)])
    # it is read at the beginning of a session
    harness.suspend(broker.process)
    harness.wait_until(
        lambda: not settings.zk.exists(settings.path("/brokers/ids/0")), 60,
        "its node goes")
    broker.process.send_signal(signal.SIGCONT)
    harness.wait_until(
        lambda: "path=/config/brokers/0 cannot be read" in broker.log(),
        what="it is refused")
    settings.zk.set_acls(path, [kazoo.security.make_acl(
        "world", "anyone", all=True)])
    broker.set_dynamic("0", {
        "barnabas.disk.reserve.bytes": str((1 << 63) - 1)})
    data = wire.batch([b"x"])
    harness.wait_until(lambda: error_of(broker, "t", data) != 0, 60,
                       "there is no room")
    assert broker.log().count("path=/config/brokers/0 cannot be read") == 1
