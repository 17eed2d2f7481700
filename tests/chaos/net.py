# SPDX-License-Identifier: Apache-2.0
"""Hosts of our own: network namespaces with an address each, and the links
between them, which can be cut, one way or both, and slowed down.

    broker 0   10.77.0.1  --+
    broker 1   10.77.0.2  --+
    broker 2   10.77.0.3  --+-- switch.py
    ZooKeepers 10.77.0.11 --+
    clients    10.77.0.21 --+

A namespace has no name: a process of ours holds it, and it goes with that, also
when the test is killed.  Nothing of these networks is seen elsewhere."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

import switch

PREFIX = "10.77.0."
# a process ends with the thread that started it, however that ends
BOUND = ["setpriv", "--pdeathsig", "KILL"]


class Host:
    """One namespace."""

    def __init__(self, name, number):
        self.name, self.address = name, f"{PREFIX}{number}"
        self.holder = subprocess.Popen(
            [*BOUND, "unshare", "--net", "sh", "-c", "echo there; read _"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != b"there\n":
            why = self.holder.stderr.read().decode()
            self.end()
            pytest.skip(f"no network namespace: {why}")

    def __repr__(self):
        return self.name

    @property
    def pid(self):
        return self.holder.pid

    def prefix(self):
        """Before a command that is to run there, and to end with us."""
        return [*BOUND, "nsenter", "-t", str(self.pid), "-n", "--"]

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


class Net:
    """Hosts and the switch that joins them.  Links are as good as can be until
    cut() or slow(), and again after mend()."""

    def __init__(self):
        if os.geteuid() != 0:
            pytest.skip("only root may make network namespaces")
        if not os.path.exists("/dev/net/tun"):
            pytest.skip("no /dev/net/tun: the kernel has no tun devices")
        self.hosts = []
        self.rules = {}
        self.process = subprocess.Popen(
            [*BOUND, sys.executable, str(pathlib.Path(switch.__file__))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _order(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the switch ended"
        return json.loads(answer)

    def host(self, name, number):
        host = Host(name, number)
        self.hosts.append(host)
        self._order(add=host.pid, address=host.address)
        return host

    def packets(self):
        """[passed on, dropped] up to now"""
        return self._order(count=True)

    def _set(self, pairs, row):
        self.rules.update({(a.address, b.address): row for a, b in pairs})
        self._order(rules=[[*pair, *row] for pair, row in self.rules.items()])

    def cut(self, pairs):
        """pairs: (from, to), each of which is one direction."""
        self._set(pairs, (switch.DROP, 0, 0, 0))

    def slow(self, pairs, delay, jitter):
        """Each packet comes so many seconds later."""
        self._set(pairs, (switch.PASS, delay, jitter, 0))

    def refuse(self, pairs, port):
        """What goes to that port is answered by a reset."""
        self._set(pairs, (switch.REFUSE, 0, 0, port))

    def mend(self, pairs=None):
        """Those links, or all, are as they were."""
        for a, b in pairs or ():
            self.rules.pop((a.address, b.address), None)
        if pairs is None:
            self.rules.clear()
        self._set((), None)

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        for host in self.hosts:
            host.end()


def both_ways(some, others):
    """The links between hosts of one and of another list."""
    return [pair for a in some for b in others if a is not b
            for pair in ((a, b), (b, a))]


def one_way(some, others):
    return [(a, b) for a in some for b in others if a is not b]


@contextlib.contextmanager
def inside(host):
    """This thread, and those that it starts, are on that host meanwhile."""
    home, there = switch.namespace_of("thread-self"), switch.namespace_of(
        host.pid)
    try:
        switch.enter_namespace(there)
        yield host
    finally:
        switch.enter_namespace(home)
        os.close(home)
        os.close(there)
