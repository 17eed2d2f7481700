# SPDX-License-Identifier: Apache-2.0
"""Real processes for the functional tests: a ZooKeeper, brokers, clients.

Every process is ours, listens on loopback only and ends with its test."""

import contextlib
import fcntl
import functools
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import kazoo.client

import wire

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BARNABAS_BUILD", TOP / "build" / "plain"))
DAEMON = BUILD / "broker" / "barnabasd"
TOOL = BUILD / "tools" / "barnabas"
# produce, consume and perf, which run librdkafka's threads (see tests/run)
CONSOLE = pathlib.Path(os.environ.get("BARNABAS_CONSOLE", TOOL))


NOT_CONTROLLER = 41
_ports_given = set()


@functools.lru_cache(maxsize=None)
def _port_locks():
    """A file of which each process locks the bytes whose numbers are the ports
    that it has given; the locks go with the process."""
    return open(pathlib.Path(tempfile.gettempdir())
                / f"barnabas-tests-ports-{os.getuid()}", "ab")


def free_port():
    """Below the ports that the kernel gives to outgoing connections, so that
    none of them can take it while a broker is down; each is given once, and
    not to tests that run beside these."""
    while True:
        port = random.randrange(12000, 32000)
        if port in _ports_given:
            continue
        _ports_given.add(port)
        try:
            fcntl.lockf(_port_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


# How long what ought to happen at once may take: machines are slow and loaded,
# sanitizers make it worse, and a test that passes does not wait for it.
PATIENCE = 60


def wait_until(condition, seconds=PATIENCE, what="condition", pause=0.02):
    """Polls until condition() is truthy and returns it."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


def suspend(process):
    """Stops a child, and comes back when all of its threads stand still: for a
    moment behind the signal they go on."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def port_open(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def zookeeper_serves(port, host="127.0.0.1"):
    """It has its port before it takes anyone in."""
    try:
        with socket.create_connection((host, port), timeout=1) as s:
            s.sendall(b"srvr")
            return s.recv(1000).startswith(b"Zookeeper version")
    except OSError:
        return False


class ZooKeeper:
    """Debian's ZooKeeper, one server."""

    def __init__(self, folder, tick_ms=500):
        """A session lasts two ticks at least, and a minute at most."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None
        (self.folder / "zoo.cfg").write_text(
            f"tickTime={tick_ms}\ndataDir={self.folder}/data\n"
            f"clientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n"
            "maxSessionTimeout=60000\n"
            "4lw.commands.whitelist=*\n")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "zookeeper.log", "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-cp", "/usr/share/java/zookeeper.jar",
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                 str(self.folder / "zoo.cfg")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        def up():
            if self.process.poll() is not None:
                raise AssertionError(
                    (self.folder / "zookeeper.log").read_text()[-4000:])
            return zookeeper_serves(self.port)
        wait_until(up, what="ZooKeeper serves")
        return self

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        suspend(self.process)

    def resume(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


class Zk(kazoo.client.KazooClient):
    """Of a broker's ZooKeeper, or of an address.  As a context: connected, and
    closed at its end."""

    def __init__(self, where, **more):
        if isinstance(where, Broker):
            where = where.options["zookeeper.connect"]
        super().__init__(where, **more)

    def start(self, timeout=PATIENCE):
        super().start(timeout)

    def end(self):
        self.stop()
        self.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()


def connect_zk(where, **more):
    """A Zk that is connected."""
    return Zk(where, **more).__enter__()


@functools.lru_cache(maxsize=None)
def sanitized():
    """Whether barnabasd was built with a sanitizer: less of everything."""
    if not DAEMON.exists():
        return False
    program = DAEMON.read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


class Broker:
    """One barnabasd."""

    real = False
    host = "127.0.0.1"

    def __init__(self, folder, zookeeper, broker_id=0, chroot="", **options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker_id = broker_id
        self.data = self.folder / "data"
        self.port = free_port()
        self.admin_port = free_port()
        self.process = None
        self.options = {
            "broker.id": broker_id,
            "listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "zookeeper.connect": zookeeper.address + chroot,
            "log.dirs": self.data,
            "barnabas.admin.listener": f"{self.host}:{self.admin_port}",
            "offsets.topic.replication.factor": 1,
            "zookeeper.session.timeout.ms": 6000,
            # tests connect faster than anyone else
            "socket.listen.backlog.size": 2000,
        }
        self.set(**options)

    def set(self, **options):
        """Keys with _ for . (and __ for _)."""
        for key, value in options.items():
            key = key.replace("__", "\0").replace("_", ".").replace("\0", "_")
            if value is None:
                self.options.pop(key, None)
            else:
                self.options[key] = value

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def log_files(self, topic, partition=0, suffix="log"):
        """The partition's files of that kind, by base offset."""
        return sorted((self.data / f"{topic}-{partition}").glob(f"*.{suffix}"))

    def wipe(self):
        """Its disk is lost, and another one in its place."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def dump_log(self, *arguments):
        """The text that dump-log prints."""
        return run(TOOL, "dump-log", *arguments).stdout.decode()

    @property
    def properties(self):
        return self.folder / "server.properties"

    @property
    def log_path(self):
        return self.folder / "broker.log"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def write_properties(self):
        self.properties.write_text(
            "".join(f"{k}={v}\n" for k, v in self.options.items()))

    def command(self):
        return [str(DAEMON), str(self.properties)]

    def launch(self, env=None):
        """Starts the process and does not wait."""
        self.write_properties()
        self.data.mkdir(exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
                env=None if env is None else {**os.environ, **env})
        return self

    def start(self, seconds=PATIENCE):
        self.launch()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=PATIENCE):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"barnabasd ended with {self.process.returncode}:\n"
                    + self.log()[-4000:])
            return self.http("/readyz")[0] == 200
        wait_until(ready, seconds, "barnabasd is ready")

    def http(self, path):
        """(status, text); status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(
                    f"http://{self.host}:{self.admin_port}{path}",
                    timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name, **labels):
        """The sum of the samples of that name with those labels."""
        total = 0.0
        for line in self.http("/metrics")[1].splitlines():
            m = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", line)
            if m is None or m[1] != name:
                continue
            have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
            if all(have.get(k) == str(v) for k, v in labels.items()):
                total += float(m[3])
        return total

    def memory_kib(self, field="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", status, re.M)[1])

    def stop(self, seconds=PATIENCE):
        """SIGTERM; must end cleanly."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise AssertionError(
                "barnabasd did not stop:\n" + self.log()[-4000:]) from None
        self.process = None
        assert status == 0, f"exit status {status}:\n{self.log()[-6000:]}"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def segments(folder):
    """The bytes of a partition's segments, in their order.  Where some are
    exchanged meanwhile (compaction), all is read once more: for a moment there
    is neither the old one nor the new one."""
    def look():
        before = sorted(os.listdir(folder))
        with contextlib.suppress(FileNotFoundError):
            out = [(folder / name).read_bytes() for name in before
                   if name.endswith(".log")]
            if not any(name.endswith(".swap") for name in before) and \
                    sorted(os.listdir(folder)) == before:
                return [out]
        return None
    return wait_until(look, what=f"{folder} is at rest")[0]


def keys_left(folder):
    """Of what compaction has left where nobody writes any more."""
    return [r[2] for data in segments(folder)[:-1]
            for b in wire.batches(data) for r in b.records()]


def start_cluster(make, count, prepare=None, **options):
    """Brokers 0, 1, ... of one cluster, registered all; make(id, **options)
    makes one.  The first one is the controller, which makes topics."""
    brokers = [make(n, **options) for n in range(count)]
    for broker in brokers if prepare else ():
        prepare(broker)
    brokers[0].start()
    for broker in brokers[1:]:
        broker.launch()
    for broker in brokers:
        broker.wait_ready()
    with Zk(brokers[0]) as zk:
        wait_until(lambda: len(zk.get_children("/brokers/ids")) == count,
                   what="all are registered")
    wait_until(lambda: all(len(known_brokers(b)) == count for b in brokers),
               what="all know each other")
    return brokers


def known_brokers(broker):
    """Those of which it tells clients."""
    with wire.Client(broker.address) as client:
        return client.call("Metadata", 7, Topics=[],
                           AllowAutoTopicCreation=False)["Brokers"]


def run(*command, stdin=None, check=True, seconds=180):
    """Runs a command to its end; returns CompletedProcess with bytes."""
    done = subprocess.run(
        [str(c) for c in command], input=stdin, capture_output=True,
        timeout=seconds)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{show(command)} -> {done.returncode}\n"
            f"{done.stdout.decode(errors='replace')}\n"
            f"{done.stderr.decode(errors='replace')}")
    return done


def tool(broker, command, *arguments, **how):
    program = CONSOLE if command in (
        "produce", "consume", "perf") else TOOL
    return run(program, command, "--bootstrap-server", broker.address,
               *arguments, **how)


def forget(broker):
    """That it stopped cleanly, and what is known to be right: the next start
    recovers all."""
    for path in broker.data.iterdir():
        if path.name.endswith("checkpoint") or "clean" in path.name:
            path.unlink()


def start_on(broker, topic, write):
    """Started on what write(broker, topic) put in the stead of the topic's
    empty log, with no checkpoint and no mark of a clean stop: recovered."""
    broker.start()
    create_topic(broker, topic)
    broker.stop()
    write(broker, topic)
    forget(broker)
    broker.start()
    wait_topic(broker, topic)
    return broker


def create_topic(broker, name, partitions=1, replication_factor=1, **configs):
    """By a request of our own, so that no tool need work for it."""
    def answer():
        with wire.Client(broker.address) as client:
            told = client.call(
                "CreateTopics", 5, timeoutMs=20000, Topics=[{
                    "Name": name, "NumPartitions": partitions,
                    "ReplicationFactor": replication_factor,
                    "Configs": [
                        {"Name": k.replace("_", "."), "Value": str(v)}
                        for k, v in configs.items()]}])["Topics"][0]
        # a controller that was just elected loads: clients ask again
        return None if told["ErrorCode"] == NOT_CONTROLLER else told
    told = wait_until(answer, what="a controller")
    assert told["ErrorCode"] == 0, (told["ErrorCode"], told["ErrorMessage"])


def is_led(client, name, partitions=1):
    """Whether the broker tells of a leader of each partition."""
    topic = client.call("Metadata", 7, Topics=[{"Name": name}],
                        AllowAutoTopicCreation=False)["Topics"][0]
    parts = topic["Partitions"]
    return len(parts) == partitions and all(
        p["ErrorCode"] == 0 and p["LeaderId"] >= 0 for p in parts)


def wait_topic(broker, name, partitions=1):
    """Until the broker tells clients a leader of each partition.  After a start
    that comes a moment later than its being ready."""
    def led():
        with wire.Client(broker.address) as client:
            return is_led(client, name, partitions)
    wait_until(led, what=f"{name} has leaders")


def wait_leads(broker, topic, partition=0):
    """Until it tells clients that it leads itself: it was told to by then.
    Before, it may name an old leader yet."""
    def leads():
        with wire.Client(broker.address) as client:
            found = client.call("Metadata", 7, Topics=[{"Name": topic}],
                                AllowAutoTopicCreation=False)["Topics"][0]
        return any(p["PartitionIndex"] == partition and p["ErrorCode"] == 0
                   and p["LeaderId"] == broker.broker_id
                   for p in found["Partitions"])
    wait_until(leads, what=f"{broker.broker_id} leads {topic}")


def restart(broker, topic=None, partitions=1):
    broker.stop()
    broker.start()
    if topic is not None:
        wait_topic(broker, topic, partitions)


def kcat(broker, *arguments, **how):
    """Bytes of its standard output."""
    return run("kcat", "-b", broker.address, *arguments, **how).stdout


class Notify:
    """The socket that systemd would listen on.  It is emptied all the time: it
    holds some ten messages, and who tells more waits."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages = []
        self.looks = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        message = None
        while message != "end":
            message = self.socket.recv(4096).decode()
            self.messages.append(message)

    def _tell(self, word):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(word.encode(), self.path)

    def look(self):
        """All messages up to now."""
        self.looks += 1
        mark = f"look {self.looks}"
        self._tell(mark)
        wait_until(lambda: mark in self.messages, what="all is read")
        return [m for m in self.messages if not m.startswith("look ")]

    def lines(self):
        return [line for m in self.look() for line in m.splitlines()]

    def count(self, line):
        return self.lines().count(line)

    def clear(self):
        self.look()
        self.messages.clear()

    def end(self):
        self._tell("end")
        self.thread.join()
        self.socket.close()


# --- what is told to the monitoring -------------------------------------------

CLOSED = "kafka_server_socket_connection_close_total"


@contextlib.contextmanager
def counted(broker, name, at_least=1, seconds=PATIENCE, **labels):
    """The counter rises by that much within the block, or soon after."""
    if broker.real:
        yield
        return
    before = broker.metric(name, **labels)
    yield
    wait_until(lambda: broker.metric(name, **labels) >= before + at_least,
               seconds, f"{name}{labels} rises by {at_least} from {before}")


class Bystander:
    """A well-behaved client that goes on producing and fetching on a topic of
    its own; whatever goes wrong for it is raised when it is stopped."""

    def __init__(self, broker, topic="bystander"):
        self.broker, self.topic = broker, topic
        create_topic(broker, topic)
        self.rounds = 0
        self.error = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            with wire.Client(self.broker.address) as client:
                while not self.stopping.is_set():
                    value = b"round %d" % self.rounds
                    part = wire.produce(client, self.topic,
                                        wire.batch([value]))
                    assert part["ErrorCode"] == 0, part
                    got = wire.fetch(client, self.topic, part["BaseOffset"])
                    assert got["ErrorCode"] == 0, got
                    records = wire.batches(got["Records"])[0].records()
                    assert records[0][3] == value
                    self.rounds += 1
                    self.stopping.wait(0.01)
        except Exception as e:  # noqa: BLE001: told by stop()
            self.error = e

    def __enter__(self):
        """It is connected and served before the block begins."""
        self.thread.start()
        self.still_served(1)
        return self

    def still_served(self, more=3):
        target = self.rounds + more
        wait_until(lambda: self.error or self.rounds >= target,
                   what="a well-behaved client is served")
        assert self.error is None, repr(self.error)

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.thread.join()
        if kind is None:
            assert self.error is None, repr(self.error)


def show(command):
    return " ".join(shlex.quote(str(c)) for c in command)
