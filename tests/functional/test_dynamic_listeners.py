# SPDX-License-Identifier: Apache-2.0
"""Listeners that come and go while the broker runs."""

import json
import signal
import socket

import pytest

import harness
import wire
from dynamic_configs import BROKER, DELETE, SET, Settings, alter

MAP = "PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT,LESS:PLAINTEXT"


class Grown:
    """A broker and what is set of it."""

    def __init__(self, broker):
        self.broker = broker
        self.settings = Settings(broker)
        self.own = broker.options["listeners"]

    def set(self, *more, **options):
        """Its own listener and those, "NAME://host:port"."""
        self.settings.set("0", {
            "listeners": ",".join([self.own, *more]),
            "listener.security.protocol.map": MAP,
            **{k.replace("_", "."): v for k, v in options.items()}})

    def node(self):
        path = self.settings.path("/brokers/ids/0")
        data, stat = self.settings.zk.get(path)
        return json.loads(data), stat

    def registered(self, *endpoints):
        harness.wait_until(
            lambda: sorted(self.node()[0]["endpoints"]) ==
            sorted([self.own, *endpoints]), what=f"{endpoints} are registered")


@pytest.fixture
def grown(make_broker):
    opened = []

    def make(broker_id=0, zk=None, **options):
        broker = make_broker(broker_id, zk=zk, **options)
        opened.append(Grown(broker))
        return opened[-1]
    yield make
    for g in opened:
        g.settings.close()


def addresses(port, topic=None):
    """(host, port) of each broker as a client at that port sees it."""
    with wire.Client(f"127.0.0.1:{port}") as c:
        return [(b["Host"], b["Port"])
                for b in c.call("Metadata", 7, Topics=[])["Brokers"]]


def serves(port):
    try:
        return addresses(port)
    except (OSError, wire.Closed):
        return None


def test_one_comes_and_goes(grown):
    """It opens beside the others, whose clients notice nothing; brokers and
    clients hear of it; then it closes with its connections."""
    g = grown()
    g.broker.start()
    epoch = g.node()[1].czxid
    port = harness.free_port()
    with harness.Bystander(g.broker) as bystander:
        g.set(f"MORE://127.0.0.1:{port}")
        harness.wait_until(
            lambda: serves(port) == [("127.0.0.1", port)],
            what="it serves, and tells its own address")
        g.registered(f"MORE://127.0.0.1:{port}")
        node, stat = g.node()
        assert node["listener_security_protocol_map"] == {
            "PLAINTEXT": "PLAINTEXT", "MORE": "PLAINTEXT"}
        assert stat.czxid == epoch and stat.version == 2
        assert addresses(g.broker.port) == [("127.0.0.1", g.broker.port)]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(harness.PATIENCE)
            connection.sendall(wire.frame(
                wire.request_frame("ApiVersions", 0)))
            assert connection.recv(65536)
            g.set()
            try:
                assert connection.recv(1) == b""
            except ConnectionResetError:
                pass
        harness.wait_until(lambda: not harness.port_open(port),
                           what="nobody listens")
        g.registered()
        bystander.still_served()


def test_one_takes_the_place_of_another(grown):
    g = grown()
    g.broker.start()
    first, second = harness.free_port(), harness.free_port()
    g.set(f"MORE://127.0.0.1:{first}")
    harness.wait_until(lambda: serves(first), what="the first")
    g.set(f"LESS://127.0.0.1:{second}")
    harness.wait_until(lambda: serves(second), what="the second")
    harness.wait_until(lambda: not harness.port_open(first),
                       what="not the first")
    g.registered(f"LESS://127.0.0.1:{second}")


def test_other_addresses_for_clients(grown):
    g = grown()
    port = harness.free_port()
    more = f"MORE://127.0.0.1:{port}"
    g.broker.set(listeners=f"{g.own},{more}",
                 listener_security_protocol_map=MAP)
    g.broker.start()
    assert addresses(port) == [("127.0.0.1", port)]
    elsewhere = "MORE://localhost:1234"
    g.set(more, advertised_listeners=f"{g.own},{elsewhere}")
    harness.wait_until(lambda: addresses(port) == [("localhost", 1234)],
                       what="clients are told")
    g.registered(elsewhere)
    assert addresses(g.broker.port) == [("127.0.0.1", g.broker.port)]
    g.settings.set("0", {})
    harness.wait_until(lambda: addresses(port) == [("127.0.0.1", port)],
                       what="clients are told again")
    harness.create_topic(g.broker, "t")


@pytest.mark.ours
def test_its_own_bound(grown):
    """What is set with a listener's prefix counts for one that came later."""
    g = grown()
    g.broker.start()
    port = harness.free_port()
    name = "listener.name.more.max.connections"
    g.set(f"MORE://127.0.0.1:{port}", **{name: "0"})
    g.registered(f"MORE://127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(wire.frame(wire.request_frame("ApiVersions", 0)))
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        g.set(f"MORE://127.0.0.1:{port}", **{name: "1"})
        connection.settimeout(harness.PATIENCE)
        assert connection.recv(1)


@pytest.mark.ours
@pytest.mark.parametrize("change,word", (
    # a port that somebody has
    (lambda g: g.set(f"MORE://127.0.0.1:{g.settings.zk.hosts[0][1]}"),
     "listener=MORE cannot listen"),
    # another address for one that is there
    (lambda g: g.settings.set("0", {
        "listeners": f"PLAINTEXT://127.0.0.1:{harness.free_port()}"}),
     "listener=PLAINTEXT is there with another address"),
    # brokers need theirs
    (lambda g: g.settings.set("0", {
        "listeners": f"MORE://127.0.0.1:{harness.free_port()}",
        "listener.security.protocol.map": MAP}),
     "there is no advertised listener PLAINTEXT"),
    (lambda g: g.set("SSL://127.0.0.1:19093"), "(/config/brokers)"),
))
def test_what_cannot_be(grown, change, word):
    """All stays as it was, and goes on from there."""
    g = grown()
    g.broker.start()
    change(g)
    harness.wait_until(
        lambda: "nothing of what was set in /config/brokers counts" in
        g.broker.log(), what="it is told")
    assert word in g.broker.log()
    assert addresses(g.broker.port) == [("127.0.0.1", g.broker.port)]
    g.registered()
    port = harness.free_port()
    g.set(f"MORE://127.0.0.1:{port}")
    harness.wait_until(lambda: serves(port), what="what is right counts")


@pytest.mark.ours
def test_asked_of_the_broker(grown):
    """What could not be is refused before it is written, and what is answered
    as done holds: also with the next start."""
    g = grown()
    g.broker.start()
    port = harness.free_port()

    def ask(listeners, validate=False):
        with wire.Client(g.broker.address) as c:
            return alter(c, BROKER, "0", ("listeners", SET, listeners), (
                "listener.security.protocol.map", SET, MAP),
                validate=validate)
    for listeners, word in (
            (f"{g.own},MORE://127.0.0.1:{g.settings.zk.hosts[0][1]}",
             "listener=MORE cannot listen"),
            (f"{g.own},MORE://no.such.host.invalid:{port}",
             "listener=MORE cannot listen"),
            (f"{g.own},MORE://127.0.0.1:{port},LESS://127.0.0.1:"
             f"{g.settings.zk.hosts[0][1]}", "listener=LESS cannot listen"),
            (f"PLAINTEXT://127.0.0.1:{port}",
             "listener=PLAINTEXT is there with another address")):
        for validate in (True, False):
            error, message = ask(listeners, validate)
            assert error == 42 and word in message
    assert not g.settings.zk.exists(g.settings.path("/config/brokers/0"))
    assert "nothing of what was set" not in g.broker.log()
    good = f"{g.own},MORE://127.0.0.1:{port}"
    assert ask(good, True) == (0, None)
    # it was tried, and let go of
    assert not harness.port_open(port)
    for _ in range(2):
        # and again, when it is there
        assert ask(good) == (0, None)
        assert harness.port_open(port)
    harness.wait_until(lambda: serves(port) == [("127.0.0.1", port)],
                       what="clients are told")
    g.broker.stop()
    g.broker.start()
    assert serves(port) == [("127.0.0.1", port)]
    with wire.Client(g.broker.address) as c:
        assert alter(c, BROKER, "0", ("listeners", DELETE, None)) == (0, None)


@pytest.mark.ours
def test_asked_many_times(grown):
    """Trying costs none of the listeners that a broker may have in its life."""
    g = grown()
    g.broker.start()
    port = harness.free_port()
    with wire.Client(g.broker.address) as c:
        for _ in range(70):
            assert alter(c, BROKER, "0", (
                "listeners", SET, f"{g.own},MORE://127.0.0.1:{port}"), (
                    "listener.security.protocol.map", SET, MAP),
                validate=True) == (0, None)


@pytest.mark.ours
def test_an_address_that_another_has(grown):
    """The registration stays, and the broker goes on."""
    g, other = grown(), grown(1)
    g.broker.start()
    other.broker.start()
    g.set(advertised_listeners=other.own)
    harness.wait_until(
        lambda: "cannot be registered with other addresses" in
        g.broker.log(), what="it is told")
    g.registered()
    g.set(advertised_listeners="PLAINTEXT://localhost:1234")
    harness.wait_until(
        lambda: g.node()[0]["endpoints"] == ["PLAINTEXT://localhost:1234"],
        what="another one is taken")


@pytest.mark.ours
def test_the_next_session_has_them_too(own_zookeeper, grown):
    g = grown(zk=own_zookeeper)
    g.broker.start()
    port = harness.free_port()
    more = f"MORE://127.0.0.1:{port}"
    g.set(more)
    g.registered(more)
    harness.suspend(g.broker.process)
    try:
        node = g.settings.path("/brokers/ids/0")
        harness.wait_until(lambda: g.settings.zk.exists(node) is None,
                           what="the session ends")
    finally:
        g.broker.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: g.settings.zk.exists(node), what="it is back")
    g.registered(more)
    # of brokers it knows what the controller, elected anew, tells
    harness.wait_until(lambda: serves(port), what="it serves")


@pytest.mark.ours
def test_a_stop_with_them(grown):
    g = grown()
    g.broker.start()
    for i in range(8):
        g.set(*([f"MORE://127.0.0.1:{harness.free_port()}"] if i % 2 else []))
    g.broker.stop()
