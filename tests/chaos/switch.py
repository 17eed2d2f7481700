# SPDX-License-Identifier: Apache-2.0
r"""A switch between network namespaces, as a process of its own (net.py starts
it): a tun device in each, and every packet from one to another goes through
here, where it is passed on, held back for a while, dropped, or refused.

    host --tun--> read --rule of (from, to)--> drop
                            |             \-> refuse: a reset goes back
                            |
                            +-- due later -> heap -+-> write --tun--> host
                            +----------------------+

So a cut is silence, as of a pulled cable, each direction is cut for itself, and
no packet filter or traffic shaper of the kernel is needed.  Refused is what
goes to one TCP port, as by a firewall that rejects.  Commands are lines of JSON
on standard input, each answered by a line:

    {"add": PID, "address": "10.77.0.1"}    a device in that process's namespace
    {"rules": [[FROM, TO, WHAT, DELAY_S, JITTER_S, PORT], ...]}  no others
    {"count": true}                         packets: [passed, dropped]
"""

import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
MTU = 16000
MOST_HELD = 20000  # packets that are held back; more are dropped
PASS, DROP, REFUSE = range(3)
TCP = 6
FIN, SYN, RST, ACK = 1, 2, 4, 16


def enter_namespace(handle):
    """This thread is in the network namespace from now on."""
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def namespace_of(pid):
    """A handle, to be closed."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)


def open_device(pid, address):
    handle = namespace_of(pid)
    enter_namespace(handle)
    os.close(handle)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack(
        "16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
    for words in (f"address add {address}/24 dev wire",
                  f"link set wire mtu {MTU} up", "link set lo up"):
        subprocess.run(["ip", *words.split()], check=True,
                       stdin=subprocess.DEVNULL)
    return device


def checksum(data):
    """RFC 1071's, of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def refusal(packet, port):
    """The reset that answers a packet to that port; empty: none is due (it is
    a reset itself), None: it goes elsewhere."""
    head = (packet[0] & 15) * 4
    if packet[9] != TCP:
        return None
    source, to, seq, ack, rest = struct.unpack_from("!HHIIH", packet, head)
    if to != port:
        return None
    if rest & RST:
        return b""
    length = (struct.unpack_from("!H", packet, 2)[0] - head
              - (rest >> 12) * 4 + bool(rest & SYN) + bool(rest & FIN))
    seq, ack, flags = (ack, 0, RST) if rest & ACK else (
        0, (seq + length) & 0xffffffff, RST | ACK)
    pair = packet[16:20] + packet[12:16]

    def tcp(total):
        return struct.pack("!HHIIHHHH", to, source, seq, ack,
                           5 << 12 | flags, 0, total, 0)

    def ip(total):
        return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, TCP,
                           total) + pair
    return ip(checksum(ip(0))) + tcp(
        checksum(pair + struct.pack("!HH", TCP, 20) + tcp(0)))


class Rules:
    """What happens to packets; addresses are 4 bytes."""

    def __init__(self):
        self.rows = {}
        self.last_due = {}

    def replace(self, rows):
        self.rows = {(socket.inet_aton(a), socket.inet_aton(b)): tuple(row)
                     for a, b, *row in rows}

    def drops(self, pair):
        row = self.rows.get(pair)
        return row is not None and row[0] == DROP

    def refused(self, pair, packet):
        """As refusal()."""
        row = self.rows.get(pair)
        return None if row is None or row[0] != REFUSE else refusal(
            packet, row[3])

    def due(self, pair, now):
        """When it goes on; those of one pair keep their order."""
        row = self.rows.get(pair)
        last = self.last_due.get(pair, 0)
        if row is None and last <= now:
            return now
        delay = 0 if row is None else row[1] + random.random() * row[2]
        self.last_due[pair] = max(now + delay, last)
        return self.last_due[pair]


class Switch:
    def __init__(self):
        self.rules = Rules()
        self.devices = {}  # address: device
        self.addresses = {}  # device: address
        self.held = []
        self.order = itertools.count()
        self.passed = self.dropped = 0
        self.poll = select.epoll()
        self.poll.register(0, select.EPOLLIN)
        self.commands = b""

    def run(self):
        while True:
            wait = -1
            if self.held:
                wait = max(0, self.held[0][0] - time.monotonic())
            for device, _ in self.poll.poll(wait):
                if device != 0:
                    self._take(device)
                elif not self._read_commands():
                    return
            now = time.monotonic()
            while self.held and self.held[0][0] <= now:
                _, _, pair, packet = heapq.heappop(self.held)
                self._pass_on(pair, packet)

    def _take(self, device):
        source = self.addresses[device]
        for _ in range(64):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            pair = source, packet[16:20]
            if packet[0] >> 4 != 4 or pair[1] not in self.devices:
                continue  # nothing of ours: IPv6, broadcasts
            now = time.monotonic()
            due = self.rules.due(pair, now)
            if due <= now:
                self._pass_on(pair, packet)
            elif len(self.held) < MOST_HELD:
                heapq.heappush(self.held,
                               (due, next(self.order), pair, packet))
            else:
                self.dropped += 1

    def _pass_on(self, pair, packet):
        refused = self.rules.refused(pair, packet)
        if self.rules.drops(pair) or refused == b"":
            self.dropped += 1
            return
        back = pair[1] if refused is None else pair[0]
        try:
            os.write(self.devices[back], refused or packet)
            self.passed += 1
        except OSError:
            self.dropped += 1  # its queue is full, as a cable's may be

    def _read_commands(self):
        data = os.read(0, 65536)
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            print(json.dumps(self._obey(json.loads(line))), flush=True)
        return data != b""

    def _obey(self, order):
        if "add" in order:
            device = open_device(order["add"], order["address"])
            address = socket.inet_aton(order["address"])
            self.devices[address] = device
            self.addresses[device] = address
            self.poll.register(device, select.EPOLLIN)
        elif "rules" in order:
            self.rules.replace(order["rules"])
        return [self.passed, self.dropped]


if __name__ == "__main__":
    Switch().run()
    sys.exit(0)
