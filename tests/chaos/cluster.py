# SPDX-License-Identifier: Apache-2.0
"""Three brokers and three ZooKeepers, each on a host of its own (net.py), each
broker's log directory a file system of its own (disks.py).

$BARNABAS_CHAOS_BROKERS says which kinds: "ours,ours,ours" (the default), or
"kafka" in any place: then the real Kafka 3.9 stands there."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess

import kazoo.exceptions
import kazoo.handlers.threading
import pytest

import disks
import harness
import net
import real_kafka
import wire
from removals import Removals

KINDS = os.environ.get("BARNABAS_CHAOS_BROKERS", "ours,ours,ours").split(",")
PORT, ADMIN_PORT, CHROOT = 9092, 9644, "/chaos"
SESSION_MS = 4000
LAG_MS = 3000
DISK_MIB = 4096  # of memory, and only as far as it is used
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
OFFSETS = "__consumer_offsets"
RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
# until what was disturbed works again, all of it
HEALED = 3 * harness.PATIENCE
# what there is no answer to just now
UNAVAILABLE = (OSError, KeyError, wire.Closed, wire.WireError,
               kazoo.exceptions.KazooException,
               kazoo.handlers.threading.KazooTimeoutError)


class ZooKeepers:
    """An ensemble; member n is on hosts[n]."""

    def __init__(self, folder, hosts):
        self.folder, self.hosts = pathlib.Path(folder), hosts
        self.processes = [None] * len(hosts)
        servers = "".join(f"server.{n}={h.address}:2888:3888\n"
                          for n, h in enumerate(hosts, 1))
        for n, host in enumerate(hosts):
            place = self.folder / f"zookeeper-{n}"
            (place / "data").mkdir(parents=True)
            (place / "data/myid").write_text(f"{n + 1}\n")
            (place / "zoo.cfg").write_text(
                f"tickTime=500\ninitLimit=40\nsyncLimit=8\n"
                f"dataDir={place}/data\nclientPort=2181\n"
                f"clientPortAddress={host.address}\n"
                "admin.enableServer=false\nmaxClientCnxns=0\n"
                f"4lw.commands.whitelist=*\n{servers}")

    @property
    def address(self):
        return ",".join(f"{h.address}:2181" for h in self.hosts)

    def launch(self, n):
        place = self.folder / f"zookeeper-{n}"
        with open(place / "zookeeper.log", "ab") as log:
            self.processes[n] = subprocess.Popen(
                [*self.hosts[n].prefix(), "java", "-Xmx128m",
                 "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                 "-cp", "/usr/share/java/zookeeper.jar",
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                 str(place / "zoo.cfg")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def serves(self, n):
        return harness.zookeeper_serves(2181, self.hosts[n].address)

    def start(self):
        for n in range(len(self.hosts)):
            self.launch(n)
        for n in range(len(self.hosts)):
            harness.wait_until(lambda m=n: self.serves(m),
                               what=f"ZooKeeper {n} serves")

    def kill(self, n):
        if self.processes[n] is not None:
            self.processes[n].kill()
            self.processes[n].wait()
            self.processes[n] = None

    def end(self):
        for n in range(len(self.hosts)):
            self.kill(n)


class Clock:
    """What one broker takes for the time of day, by a file that libfaketime
    reads; the monotonic clock is the machine's own."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, seconds):
        part = self.path.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        part.rename(self.path)

    def environment(self):
        return {"LD_PRELOAD": FAKETIME[0], "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_TIMESTAMP_FILE": str(self.path)}


class Placed:
    """Of a broker, ours or Kafka's: on a host and a disk of its own."""

    def __init__(self, folder, zookeeper, broker_id, place, disk, **options):
        self.host, self.place, self.disk = place.address, place, disk
        super().__init__(folder, zookeeper, broker_id, CHROOT, **options)
        self.port = PORT
        self.set(listeners=f"PLAINTEXT://{self.address}")
        if not self.real:
            self.set(barnabas_admin_listener=f"{self.host}:{ADMIN_PORT}")
            self.admin_port = ADMIN_PORT
        self.clock = Clock(self.folder / "clock") if (
            FAKETIME and not self.real and not harness.sanitized()) else None
        disk.disks.give(self, disk)
        self.data = disk.inside
        self.stopped = False

    def command(self):
        return self.place.prefix() + super().command()

    def launch(self, env=None):
        self.stopped = False
        return super().launch(env or (
            self.clock.environment() if self.clock else None))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def suspend(self):
        self.stopped = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        if self.stopped and self.alive():
            self.process.send_signal(signal.SIGCONT)
        self.stopped = False

    def wipe(self):
        """Its directory is empty: a new disk.  While it is down."""
        for path in self.data.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


class OurBroker(Placed, harness.Broker):
    pass


class KafkaBroker(Placed, real_kafka.RealKafka):
    def launch(self, env=None):
        """It does not start while its former life's node is there."""
        with harness.Zk(self) as zk:
            harness.wait_until(
                lambda: not zk.exists(f"/brokers/ids/{self.broker_id}"),
                what="the session of its former life ends")
        return super().launch(env)


OPTIONS = {
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "zookeeper.session.timeout.ms": SESSION_MS,
    "zookeeper.connection.timeout.ms": 60000,
    "replica.lag.time.max.ms": LAG_MS,
    "replica.fetch.wait.max.ms": 300,
    "replica.fetch.backoff.ms": 200,
    "replica.socket.timeout.ms": 4000,
    "controller.socket.timeout.ms": 4000,
    "request.timeout.ms": 4000,
    "replica.high.watermark.checkpoint.interval.ms": 500,
    "controlled.shutdown.retry.backoff.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    "offsets.topic.num.partitions": 3,
    "log.initial.task.delay.ms": 1000,
    "log.segment.delete.delay.ms": 1000,
    "replica.selector.class": RACK_AWARE,
    # so that it is compacted within a round
    "offsets.topic.segment.bytes": 20000,
    "log.cleaner.min.cleanable.ratio": 0.1,
    "log.cleaner.backoff.ms": 300,
}


def rack(broker):
    return f"rack-{broker.broker_id}"


class Assignment:
    """Of a partition, as its topic's node has it."""

    def __init__(self, node, partition):
        def ids(key):
            return list(node.get(key, {}).get(str(partition), ()))
        self.replicas = ids("partitions")
        self.adding = ids("adding_replicas")
        self.removing = ids("removing_replicas")

    def __str__(self):
        return (f"replicas {self.replicas}, adding {self.adding}, removing "
                f"{self.removing}")

    def is_whole(self, count):
        """Nothing is under way."""
        return len(self.replicas) == count and not (
            self.adding or self.removing)

    @property
    def target(self):
        return [b for b in self.replicas if b not in self.removing]

    @property
    def stays(self):
        """Those who have it however a move that is under way ends."""
        return [b for b in self.target if b not in self.adding]


class Cluster:
    """What is there, and what it says of itself.  Made and used on the
    clients' host."""

    def __init__(self, folder, links, filesystems, kinds=tuple(KINDS)):
        self.folder = pathlib.Path(folder)
        self.links = links
        self.factor = len(kinds)
        self.hosts = [links.host(f"broker {n}", 1 + n)
                      for n in range(len(kinds))]
        self.zk_hosts = [links.host(f"zookeeper {n}", 11 + n)
                         for n in range(3)]
        self.client_host = links.host("clients", 21)
        self.zookeepers = ZooKeepers(self.folder, self.zk_hosts)
        self.topics = {}
        self.removals = Removals()
        self.brokers = []
        for n, kind in enumerate(kinds):
            disk = filesystems.tmpfs(f"disk-{n}", DISK_MIB)
            make = KafkaBroker if kind == "kafka" else OurBroker
            self.brokers.append(make(
                self.folder / f"broker-{n}", self.zookeepers, n,
                self.hosts[n], disk))
            self._configure(self.brokers[-1])

    def _configure(self, broker):
        broker.options.update(OPTIONS)
        broker.options["broker.rack"] = rack(broker)
        for key in ("default.replication.factor",
                    "offsets.topic.replication.factor",
                    "transaction.state.log.replication.factor"):
            broker.options[key] = self.factor
        broker.options["min.insync.replicas"] = min(2, self.factor)
        broker.options["transaction.state.log.min.isr"] = min(2, self.factor)

    @property
    def bootstrap(self):
        return ",".join(b.address for b in self.brokers)

    def start(self):
        self.zookeepers.start()
        with self.zk() as zk:
            zk.ensure_path(CHROOT)
        for b in self.brokers:
            b.launch()
        for b in self.brokers:
            b.wait_ready()

    def zk(self, chroot=""):
        return harness.Zk(self.zookeepers.address + chroot)

    def create(self, name, partitions, **configs):
        harness.create_topic(self._controller_broker(), name, partitions,
                             self.factor, **configs)
        self.topics[name] = partitions

    def _controller_broker(self):
        def found():
            n = self.controller()
            return None if n is None else self.brokers[n]
        return harness.wait_until(found, what="a controller")

    def end(self):
        for b in self.brokers:
            b.resume()
            b.kill()
        self.zookeepers.end()

    # --- who does what -------------------------------------------------------

    def controller(self):
        """The broker's number, or None."""
        with contextlib.suppress(*UNAVAILABLE):
            with self.zk(CHROOT) as zk:
                if zk.exists("/controller"):
                    return json.loads(zk.get("/controller")[0])["brokerid"]
        return None

    def states(self):
        """{(topic, partition): state}, as ZooKeeper has them"""
        out = {}
        with self.zk(CHROOT) as zk:
            for topic in zk.get_children("/brokers/topics"):
                base = f"/brokers/topics/{topic}/partitions"
                for p in zk.get_children(base) if zk.exists(base) else ():
                    node = f"{base}/{p}/state"
                    if zk.exists(node):
                        out[topic, int(p)] = json.loads(zk.get(node)[0])
        return out

    def assignments(self):
        """{(topic, partition): Assignment}, as ZooKeeper has them"""
        out = {}
        with self.zk(CHROOT) as zk:
            for topic in zk.get_children("/brokers/topics"):
                with contextlib.suppress(kazoo.exceptions.NoNodeError):
                    node = json.loads(zk.get(f"/brokers/topics/{topic}")[0])
                    for p in node["partitions"]:
                        out[topic, int(p)] = Assignment(node, p)
        return out

    # --- whether it works ----------------------------------------------------

    def _unwell(self):
        """What is amiss, or None."""
        for b in self.brokers:
            if not b.alive():
                raise AssertionError(
                    f"broker {b.broker_id} ended by itself, with "
                    f"{b.process and b.process.returncode}:\n"
                    + b.log()[-4000:])
        with self.zk(CHROOT) as zk:
            there = sorted(zk.get_children("/brokers/ids"))
            if there != [str(n) for n in range(len(self.brokers))]:
                return f"registered are {there}"
            if not zk.exists("/controller"):
                return "there is no controller"
        states = self.states()
        for topic, partitions in self.topics.items():
            for p in range(partitions):
                if (topic, p) not in states:
                    return f"{topic}/{p} has no state"
        for where, state in sorted(states.items()):
            if state["leader"] < 0 or len(state["isr"]) < self.factor:
                return f"{where[0]}/{where[1]}: {state}"
        for where, a in sorted(self.assignments().items()):
            if not a.is_whole(self.factor):
                return f"{where[0]}/{where[1]} has {a}"
        return self._told_apart(states)

    def _told_apart(self, states):
        """Each broker tells clients the leaders that ZooKeeper has."""
        for b in self.brokers:
            with wire.Client(b.address, 10) as client:
                told = client.call("Metadata", 7, Topics=[
                    {"Name": t} for t in self.topics],
                    AllowAutoTopicCreation=False)["Topics"]
            for topic in told:
                for p in topic["Partitions"]:
                    state = states[topic["Name"], p["PartitionIndex"]]
                    if p["LeaderId"] != state["leader"]:
                        return (f"broker {b.broker_id} tells {topic['Name']}/"
                                f"{p['PartitionIndex']}: {p}")
        return None

    def settle(self, seconds=HEALED):
        """All brokers are there, all replicas in sync, everybody knows."""
        last = ["nothing"]

        def well():
            try:
                last[0] = self._unwell()
            except UNAVAILABLE as e:
                last[0] = repr(e)
            return last[0] is None
        try:
            harness.wait_until(well, seconds, "healed", pause=0.3)
        except AssertionError as e:
            if not str(e).startswith("not within"):
                raise
            raise AssertionError(
                f"not healed within {seconds} s: {last[0]}") from None


class Leaders:
    """Where a client finds a partition's leader: by asking one broker after
    the other, as clients do.  Who slept may name itself, in an epoch that is
    over: as Java's clients do (KIP-320), an older epoch is not believed."""

    def __init__(self, addresses):
        self.addresses = list(addresses)
        self.turn = 0
        self.epochs = {}  # the latest, by (topic id, partition)

    def address(self, topic, partition):
        """OSError where nobody tells one."""
        def leader(told):
            told, = told["Topics"]
            key = told["TopicId"], partition
            for p in told["Partitions"]:
                if p["PartitionIndex"] != partition or \
                        p["LeaderEpoch"] < self.epochs.get(key, -1):
                    continue
                self.epochs[key] = p["LeaderEpoch"]
                return p["LeaderId"]
            return None
        return self._find(leader, [topic],
                          f"a leader of {topic}/{partition}")

    def controller(self):
        """Its address, likewise."""
        return self._find(lambda told: told["ControllerId"], [],
                          "a controller")

    def _find(self, who, topics, what):
        for _ in self.addresses:
            self.turn += 1
            asked = self.addresses[self.turn % len(self.addresses)]
            with contextlib.suppress(*UNAVAILABLE):
                told = self.ask(asked, topics)
                brokers = {b["NodeId"]: f"{b['Host']}:{b['Port']}"
                           for b in told["Brokers"]}
                found = brokers.get(who(told))
                if found is not None:
                    return found
        raise OSError(f"nobody tells {what}")

    @staticmethod
    def ask(address, topics):
        """What that broker tells of leaders."""
        with wire.Client(address, 3) as client:
            return client.call("Metadata", 12, Topics=[
                {"Name": t} for t in topics], AllowAutoTopicCreation=False)


@contextlib.contextmanager
def built(folder, kinds=tuple(KINDS)):
    """A Cluster, started, this thread on its clients' host; all of it ends
    with the block."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv: it is part of util-linux")
    with contextlib.ExitStack() as stack:
        filesystems = disks.Disks(pathlib.Path(folder) / "disks")
        stack.callback(filesystems.end)
        links = net.Net()
        stack.callback(links.end)
        cluster = Cluster(folder, links, filesystems, kinds)
        stack.callback(cluster.end)
        stack.enter_context(net.inside(cluster.client_host))
        cluster.start()
        yield cluster
