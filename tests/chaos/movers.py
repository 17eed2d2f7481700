# SPDX-License-Identifier: Apache-2.0
"""What administrators do beside a storm: replicas move, preferred leaders are
elected.  Only for the end of it all is promised: nothing is under way, and
every partition has all of its replicas."""

import collections
import contextlib
import random
import socket
import struct
import threading

import cluster as clusters
import harness
import wire
from clients import Client

NONE, NOT_CONTROLLER = 0, 41
PREFERRED = 0
# a connection that is closed takes along what was not sent yet: no request is
# carried out long after it was given up
AT_ONCE = struct.pack("ii", 1, 0)


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
        self.resting = threading.Event()

    @property
    def acknowledged(self):
        return sum(self.counts.values())

    def _run(self):
        while not self.stopping.is_set():
            try:
                with self._controller() as client:
                    while not self.stopping.wait(self.pause):
                        self._step(client)
            except clusters.UNAVAILABLE:
                self.breaks += 1
                self.stopping.wait(0.2)

    @contextlib.contextmanager
    def _controller(self):
        with wire.Client(self.leaders.controller(), self.patience) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     AT_ONCE)
            yield client

    def hold(self, seconds=clusters.HEALED):
        """Nothing is begun any more but what makes partitions whole."""
        self.resting.clear()
        self.held = True
        assert self.resting.wait(seconds), (
            f"partitions cannot be made whole: refused {dict(self.errors)}, "
            f"{self.breaks} breaks, {self.failure}")

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
            self._remove(client, where, replicas[:-1])
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
        broken = [where for where, a in self.cluster.assignments().items()
                  if len(a.target) < self.cluster.factor]
        for where in broken:
            self._move(client, "three", where,
                       list(range(self.cluster.factor)))
        if not broken:
            self.resting.set()

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
            with self._controller() as client:
                told = client.call("ListPartitionReassignments", 0,
                                   TimeoutMs=3000, Topics=None)
            return None if told["ErrorCode"] else told
        return None
