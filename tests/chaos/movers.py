# SPDX-License-Identifier: Apache-2.0
"""What administrators do beside a storm: replicas move, preferred leaders are
elected.  Only for the end of it all is promised: nothing is under way, and
every partition has all of its replicas."""

import collections
import contextlib
import functools
import random
import socket
import struct
import threading

import cluster as clusters
import harness
import wire
from clients import Client
from readers import where_led
from side import Moments, TopicMaker

NONE, NOT_CONTROLLER = 0, 41
PREFERRED = 0
# a connection that is closed takes along what was not sent yet: no request is
# carried out long after it was given up
AT_ONCE = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def controller_of(leaders, patience):
    """A client of it."""
    with wire.Client(leaders.controller(), patience) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        yield client


class Mover(Client):
    """Sends partitions to three replicas and to two, calls that off, and
    elects leaders.  While it is `held` it makes them whole, and then rests."""

    patience = 4
    pause = 0.4
    # how often of a hundred
    CHOICES = ("two",) * 35 + ("three",) * 25 + ("back",) * 20 + (
        "elect",) * 20

    def __init__(self, cluster, topics, leaders, seed):
        super().__init__("mover", [])
        self.cluster, self.leaders = cluster, leaders
        self.rng = random.Random(f"{seed} mover")
        self.places = [(t, p) for t, n in sorted(topics.items())
                       for p in range(n)]
        self.counts = collections.Counter()
        # partitions that may have lost replicas, and got others
        self.moved = set()
        # what is to be made whole
        self.broken = {}
        self.resting = threading.Event()

    @property
    def acknowledged(self):
        return sum(self.counts.values())

    def _run(self):
        while not self.stopping.is_set():
            try:
                with controller_of(self.leaders, self.patience) as client:
                    while not self.stopping.wait(self.pause):
                        self._step(client)
            except clusters.UNAVAILABLE:
                self.breaks += 1
                self.stopping.wait(0.2)

    def hold(self, seconds=clusters.HEALED):
        """Nothing is begun any more but what makes partitions whole."""
        self.resting.clear()
        self.held = True
        assert self.resting.wait(seconds), (
            "partitions do not become whole: " + ", ".join(
                "%s/%d has " % where + str(a)
                for where, a in sorted(self.broken.items()))
            + f"; {self.breaks} breaks, {self.failure}")

    def _step(self, client):
        if self.held:
            self._make_whole(client)
            return
        # each is drawn, whatever becomes of it
        what, where = self.rng.choice(self.CHOICES), self.rng.choice(
            self.places)
        replicas = self.rng.sample(range(self.cluster.factor),
                                   self.cluster.factor)
        if what == "two":
            # two at least: there is min.insync.replicas
            self._remove(client, where, replicas[:max(2, len(replicas) - 1)])
        elif what == "three":
            self._move(client, what, where, replicas)
        elif what == "back":
            self._move(client, "three", where, replicas)
            self._move(client, what, where, None)
        else:
            self._elect(client, where)

    def _remove(self, client, where, replicas):
        with self.cluster.removals.asked() as may:
            if may:
                self.moved.add(where)
                self._move(client, "two", where, replicas)

    def _make_whole(self, client):
        """Whatever is under way must end first, by itself."""
        self.broken = {
            where: a for where, a in self.cluster.assignments().items()
            if not a.is_whole(self.cluster.factor)}
        for where, a in self.broken.items():
            if a.is_whole(len(a.replicas)):
                self._move(client, "three", where, self._all(where[1]))
        if not self.broken:
            self.resting.set()

    def _all(self, turn):
        """Another one leads each partition, if it may."""
        count = self.cluster.factor
        return [(turn + n) % count for n in range(count)]

    def _move(self, client, what, where, replicas):
        told = client.call(
            "AlterPartitionReassignments", 0, TimeoutMs=3000, Topics=[{
                "Name": where[0], "Partitions": [
                    {"PartitionIndex": where[1], "Replicas": replicas}]}])
        self._note(what, told["ErrorCode"] or told["Responses"][0][
            "Partitions"][0]["ErrorCode"])

    def _elect(self, client, where):
        told = client.call(
            "ElectLeaders", 2, ElectionType=PREFERRED, TimeoutMs=3000,
            TopicPartitions=[{"Topic": where[0], "Partitions": [where[1]]}])
        rows = [p["ErrorCode"] for t in told["ReplicaElectionResults"]
                for p in t["PartitionResult"]]
        self._note("elect", told["ErrorCode"] or (rows or [NONE])[0])

    def _note(self, what, error):
        if error == NONE:
            self.counts[what] += 1
            return
        self.errors[error] += 1
        if error == NOT_CONTROLLER:
            raise OSError("another broker is the controller")

    # --- the check ---

    def wrong(self):
        """What is told to be under way when nothing is any more."""
        told = harness.wait_until(self._listed, what="moves are listed")
        return [f"{t['Name']}/{p['PartitionIndex']} is told to move: {p}"
                for t in told["Topics"] for p in t["Partitions"]]

    def _listed(self):
        """None where who is asked is not the controller, or not yet."""
        with contextlib.suppress(*clusters.UNAVAILABLE):
            with controller_of(self.leaders, self.patience) as client:
                told = client.call("ListPartitionReassignments", 0,
                                   TimeoutMs=3000, Topics=None)
            return None if told["ErrorCode"] else told
        return None


class ManyTopics(TopicMaker):
    """Creates small topics of all brokers, writes a little to their leaders,
    deletes.  Who is asked while faults are on may believe that it is the
    controller and not know what the real one made: such an answer says
    nothing of what there is."""

    pause = 0.5
    names, most_there = 4, 2
    strict = False

    def __init__(self, cluster, leaders):
        super().__init__(None, Moments())
        self.leaders = leaders
        self.factor = cluster.factor

    def _connected(self):
        return controller_of(self.leaders, 20)

    def _leader(self, client, topic, partition):
        return wire.Client(self.leaders.address(topic, partition), 4)

    def _missing(self, topic):
        if self.strict:
            super()._missing(topic)

    def _refused(self, error):
        super()._refused(error)
        if error == NOT_CONTROLLER:
            raise OSError("another broker is the controller")

    def hold(self):
        """Nothing is under way any more."""
        self.held = True
        with self.lock:
            pass

    def wrong(self, *data):
        """When all is well: what may be there is deleted first."""
        self.strict = True
        with self.lock:
            for topic in self.topics:
                if topic.state == "unknown":
                    harness.wait_until(lambda t=topic: self._deleted(t),
                                       what=f"{topic.name} is deleted")
        try:
            return super().wrong(*data)
        finally:
            self.strict = False

    def _read_wrong(self, *what):
        return where_led(functools.partial(super()._read_wrong, *what))

    def _deleted(self, topic):
        with contextlib.suppress(*clusters.UNAVAILABLE):
            with self._connected() as client:
                self._delete(client, topic)
        return topic.state == "gone"
