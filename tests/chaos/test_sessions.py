# SPDX-License-Identifier: Apache-2.0
"""Two brokers whose sessions and controllers come and go under load: whatever
was acknowledged is there, once, and in the end both are registered again."""

import contextlib
import json
import random
import signal
import time
import types

import kazoo.exceptions
import kazoo.handlers.threading

import harness
import wire
from clients import IdempotentWriter, Librdkafka, RawWriter
from ledger import Ledger
from readers import Checker

PARTITIONS = 3
SESSION_MS = 3000
BETWEEN = 1500  # records from one bad moment to the next, at least
# what kazoo says when somebody else attaches to the session that it has
TAKEN_BACK = (kazoo.exceptions.ConnectionLoss,
              kazoo.exceptions.ConnectionClosedError,
              kazoo.exceptions.SessionExpiredError,
              kazoo.handlers.threading.KazooTimeoutError)


def create_on(broker, name, leader, partitions):
    def made():
        with wire.Client(broker.address) as c:
            told = c.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
                "Name": name, "NumPartitions": -1, "ReplicationFactor": -1,
                "Assignments": [
                    {"PartitionIndex": p, "BrokerIds": [leader]}
                    for p in range(partitions)]}])["Topics"][0]
        return told["ErrorCode"] == 0
    harness.wait_until(made, what=f"{name} on {leader}")


class Cluster:
    """Broker 0 has all of the load, 1 is there to be controller in turn."""

    def __init__(self, zookeeper, make_broker):
        self.zookeeper = zookeeper
        self.brokers = [make_broker(
            n, zk=zookeeper, zookeeper_session_timeout_ms=SESSION_MS,
            controlled_shutdown_enable="false").start() for n in range(2)]
        self.first = self.brokers[0]
        with self.client() as zk:
            harness.wait_until(
                lambda: len(zk.get_children("/brokers/ids")) == 2)
            harness.wait_until(lambda: zk.exists("/controller"))
            seat = json.loads(zk.get("/controller")[0])["brokerid"]
        create_on(self.brokers[seat], "t", 0, PARTITIONS)
        harness.wait_topic(self.first, "t", PARTITIONS)
        self.load = [
            RawWriter(self.first.address, Ledger("raw-all", "t", 0),
                      pause=0.01),
            IdempotentWriter(self.first.address, Ledger("raw-once", "t", 1),
                             depth=5, pause=0.01),
            Librdkafka(self.first.address, "rd-once", "t", PARTITIONS, **{
                "enable.idempotence": True}),
            Librdkafka(self.first.address, "rd-plain", "t", PARTITIONS, **{
                "acks": -1})]
        for c in self.load[2:]:
            c.most = 4
        self.checker = Checker(self.first.address, {"t": PARTITIONS}, [
            led for c in self.load for led in c.ledgers])

    def client(self):
        return harness.Zk(self.first)

    def await_load(self):
        before = {c: c.acknowledged for c in self.load}

        def enough():
            for c in self.load:
                assert c.failure is None, f"{c.name}: {c.failure}"
            return all(c.acknowledged > before[c] for c in self.load) and sum(
                c.acknowledged - before[c] for c in self.load) > BETWEEN
        harness.wait_until(enough, 4 * harness.PATIENCE, "the load goes on")

    def settled(self):
        """Both are registered, one of them is controller and works as such."""
        with self.client() as zk:
            harness.wait_until(lambda: sorted(
                zk.get_children("/brokers/ids")) == ["0", "1"],
                what="both are registered")
            for broker in self.brokers:
                harness.wait_until(lambda b=broker: b.http("/readyz")[0]
                                   == 200, what="it is ready")
            harness.wait_until(lambda: sum(b.metric(
                "kafka_controller_activecontrollercount")
                for b in self.brokers) == 1 and zk.exists("/controller"),
                what="one controller")
            harness.wait_topic(self.first, "t", PARTITIONS)

    def check(self):
        """Nothing new is sent meanwhile."""
        for c in self.load:
            c.held = True
        wrong = self.checker.news()
        assert not wrong, "\n".join(wrong)
        for c in self.load:
            c.held = False

    # --- bad moments ---

    def broker_sleeps(self):
        """Past its session, the connections of its clients open."""
        with self.client() as zk:
            self.first.process.send_signal(signal.SIGSTOP)
            harness.wait_until(lambda: not zk.exists("/brokers/ids/0"),
                               what="its session ends")
            self.first.process.send_signal(signal.SIGCONT)

    def zookeeper_restarts(self):
        """With its data kept: the sessions go on."""
        self.zookeeper.stop()
        self.zookeeper.start()

    def zookeeper_rests(self):
        """For longer than the sessions last."""
        self.zookeeper.stop()
        time.sleep(2 * SESSION_MS / 1000)
        self.zookeeper.start()

    def session_is_closed(self):
        """By somebody who has its id and password."""
        saved = dict(
            line.split(" ", 1) for line in (
                self.first.data / "barnabas.session").read_text()
            .splitlines())
        none = types.SimpleNamespace(czxid=0)
        same = (int(saved["id"], 16), bytes.fromhex(saved["password"]))
        # without the chroot, which kazoo would look for before it closes
        address = self.zookeeper.address
        with self.client() as zk:
            before = zk.get("/brokers/ids/0")[1].czxid

            def registered_anew():
                # the broker takes its session back: the close may come late
                with contextlib.suppress(*TAKEN_BACK):
                    with harness.Zk(address, client_id=same):
                        pass
                # it may come and go while it is asked for
                return (zk.exists("/brokers/ids/0") or none).czxid > before
            harness.wait_until(registered_anew, what="registered anew",
                               pause=0.5)

    def seat_is_taken_away(self):
        with self.client() as zk:
            epoch = int(zk.get("/controller_epoch")[0])
            # nobody may sit there just now
            with contextlib.suppress(kazoo.exceptions.NoNodeError):
                zk.delete("/controller")
            harness.wait_until(
                lambda: int(zk.get("/controller_epoch")[0]) > epoch)

    def other_dies(self):
        self.brokers[1].kill()
        self.brokers[1].start()

    MOMENTS = ("broker_sleeps", "zookeeper_restarts", "zookeeper_rests",
               "session_is_closed", "seat_is_taken_away", "other_dies")


def test_sessions_under_load(own_zookeeper, make_broker):
    cluster = Cluster(own_zookeeper, make_broker)
    seed = time.time_ns() % 10**9
    moments = random.Random(seed).sample(Cluster.MOMENTS,
                                         len(Cluster.MOMENTS))
    print("seed", seed, moments, flush=True)
    for c in cluster.load:
        c.start()
    for moment in moments:
        cluster.await_load()
        getattr(cluster, moment)()
        cluster.settled()
        cluster.await_load()
        cluster.check()
    for c in cluster.load:
        c.finish()
    for c in cluster.load:
        c.join()
    cluster.check()
    wrong = cluster.checker.everything() + cluster.checker.batches()
    for c in cluster.load[1:]:
        for led in c.ledgers:
            if led.acknowledged != len(led.offsets):
                wrong.append(f"{led}: {led.acknowledged} of "
                             f"{len(led.offsets)} acknowledged")
    assert not wrong, "\n".join(wrong)
