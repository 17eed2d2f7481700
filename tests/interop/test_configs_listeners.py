# SPDX-License-Identifier: Apache-2.0
"""Changes of listeners and of their TLS at run time, asked of barnabasd and of
the real Kafka: what is refused, and what a listener that is there goes by."""

import ssl

import pytest

import certificates
import harness
import real_kafka
import wire
from config_pair import (BROKER, DELETE, SET, Pair, resource, shown,
                         without_order)

OF_SSL = "listener.name.ssl."
REFUSED = 42
MAP = "PLAINTEXT:PLAINTEXT,SSL:SSL,NEW:PLAINTEXT,NEWS:SSL"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("listeners")


@pytest.fixture(scope="module")
def authority(folder):
    return certificates.Authority(folder)


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server")


class Listeners(Pair):
    """Both have a listener of each kind."""

    def ask(self, rows, validate=True, name="0"):
        """(error, message) of each; `rows` is made for a broker."""
        got = []
        for broker, client in zip(self.brokers, self.clients):
            answer, = without_order(client.call(
                "IncrementalAlterConfigs", 1, ValidateOnly=validate,
                Resources=[resource(BROKER, name, rows(broker))])["Responses"])
            got.append((answer["ErrorCode"], answer["ErrorMessage"]))
        return got


@pytest.fixture(scope="module")
def pair(zookeeper, folder, authority, server):
    brokers = [harness.Broker(folder / "ours", zookeeper, 0,
                              "/listeners-ours"),
               real_kafka.RealKafka(folder / "real", zookeeper, 0,
                                    "/listeners-real")]
    for broker in brokers:
        broker.tls_port = harness.free_port()
        broker.own = (f"PLAINTEXT://127.0.0.1:{broker.port},"
                      f"SSL://127.0.0.1:{broker.tls_port}")
        broker.options.update({
            "listeners": broker.own, "listener.security.protocol.map": MAP,
            **server.pem_options(), **authority.pem_options()})
        broker.start()
    pair = Listeners(brokers)
    yield pair
    pair.end()
    for broker in brokers:
        broker.stop()


def also(*more):
    """Its own listeners, and those."""
    return lambda broker: [("listeners", SET, ",".join([broker.own, *more]))]


def these(*rows):
    return lambda broker: [(name, SET, value) for name, value in rows]


SAME = (
    these((OF_SSL + "ssl.client.auth", "required")),
    these((OF_SSL + "ssl.client.auth", "perhaps")),
    these((OF_SSL + "ssl.enabled.protocols", "TLSv1.2")),
    these((OF_SSL + "ssl.cipher.suites", "NOPE")),
    these(("ssl.client.auth", "required")),
    these(("ssl.client.auth", "perhaps")),
    these(("ssl.enabled.protocols", "TLSv1.2")),
    these(("ssl.client.auth", "required"),
          (OF_SSL + "ssl.client.auth", "required")),
    these(("max.connections", "100"), (OF_SSL + "ssl.client.auth",
                                       "required")),
    these(("listener.name.plaintext.ssl.keystore.location", "/no/such")),
    these(("listener.name.none.ssl.keystore.location", "/no/such")),
    these(("listener.security.protocol.map",
           "PLAINTEXT:SSL,SSL:SSL")),
    these(("listener.security.protocol.map",
           "PLAINTEXT:PLAINTEXT,SSL:PLAINTEXT")),
    these((OF_SSL + "num.network.threads", "6")),
    these((OF_SSL + "num.network.threads", "7")),
    these((OF_SSL + "num.network.threads", "1")),
    these((OF_SSL + "num.network.threads", "0")),
    these(("num.network.threads", "7")),
    these((OF_SSL + "max.connections", "0")),
    these((OF_SSL + "max.connections", "-5")),
    these((OF_SSL + "max.connection.creation.rate", "0")),
    lambda broker: [("listeners", SET, f"PLAINTEXT://127.0.0.1:{broker.port}")],
    lambda broker: also(f"NEW://127.0.0.1:{harness.free_port()}")(broker),
)


def test_same_answers(pair):
    for rows in SAME:
        ours, real = pair.ask(rows)
        assert ours == real


# In both brokers' words, which differ.
BOTH_REFUSE = (
    these((OF_SSL + "ssl.keystore.location", "/no/such")),
    these((OF_SSL + "ssl.keystore.type", "NOPE")),
    these((OF_SSL + "ssl.truststore.location", "/no/such")),
    also("X://127.0.0.1:1"),
    lambda broker: also(f"NEW://127.0.0.1:{broker.port}")(broker),
    lambda broker: [("listeners", SET, f"SSL://127.0.0.1:{broker.tls_port}")],
    these(("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT")),
    these(("advertised.listeners", "PLAINTEXT://0.0.0.0:1")),
    these(("advertised.listeners", "SSL://127.0.0.1:1")),
    these(("num.replica.fetchers", "0")),
)


def test_both_refuse(pair):
    for rows in BOTH_REFUSE:
        ours, real = pair.ask(rows)
        assert (ours[0], real[0]) == (REFUSED, REFUSED)


@pytest.mark.parametrize("how", ("junk", "other"))
def test_stores_that_are_no_good(pair, authority, folder, how):
    """What stands around the reason is the same."""
    path = folder / f"{how}.pem"
    path.write_text("junk" if how == "junk" else authority.issue(
        "other", subject="/O=other/CN=other").both.read_text())
    wrapped = ("Invalid value org.apache.kafka.common.config.ConfigException: "
               "Validation of dynamic config update of SSLFactory failed: ",
               " for configuration Invalid dynamic configuration")
    for validate in (True, False):
        for error, text in pair.ask(these(
                (OF_SSL + "ssl.keystore.location", str(path))), validate):
            assert error == REFUSED
            assert text.startswith(wrapped[0]) and text.endswith(wrapped[1])
    assert not any((node or {}).get("config")
                   for node in pair.node("/config/brokers/0"))


def test_only_ours_refuses(pair):
    """Kafka answers that it is done, does not do it, and does not start with it
    any more, or with another address than it has said."""
    for rows in (
            lambda broker: [("listeners", SET,
                             f"PLAINTEXT://127.0.0.1:{harness.free_port()},"
                             f"SSL://127.0.0.1:{broker.tls_port}")],
            lambda broker: also("NEW://no.such.host.invalid:"
                                f"{harness.free_port()}")(broker),
            lambda broker: also(f"NEW://{pair.nodes[0].hosts[0][0]}:"
                                f"{pair.nodes[0].hosts[0][1]}")(broker),
            lambda broker: also(f"NEWS://127.0.0.1:{harness.free_port()}")(
                broker) + [("listener.name.news.ssl.keystore.location", SET,
                            "/no/such")]):
        ours, real = pair.ask(rows)
        assert (ours[0], real[0]) == (REFUSED, 0)
    ours, real = pair.ask(also("NEW://127.0.0.1:1"), name="")
    assert ours == real


def greets(broker, authority):
    """A client that has no certificate is served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with wire.Client(f"127.0.0.1:{broker.tls_port}", secure=context) as c:
        return c.call("ApiVersions", 0)["ErrorCode"] == 0


def test_what_is_not_a_store_counts_later(pair, authority, server, folder):
    """It is kept and described; the listener that is there does not go by it,
    also when its store is read again.  And no more changes of what is said of
    all listeners are taken."""
    name = OF_SSL + "ssl.client.auth"
    moved = folder / "moved.pem"
    moved.write_text(server.both.read_text())

    def described(key, value):
        harness.wait_until(lambda: all(
            told["Configs"].get(key, {}).get("Value") == value
            for told in shown(pair, BROKER, "0", key)))
    for key, value in ((name, "required"),
                       (OF_SSL + "ssl.keystore.location", str(moved))):
        assert [e for e, _ in pair.ask(these((key, value)), False)] == [0, 0]
        described(key, value)
        assert all(greets(b, authority) for b in pair.brokers)
    for rows in (these(("max.connections", "100")),
                 these(("ssl.client.auth", "required")),
                 lambda broker: [("advertised.listeners", SET, broker.own)]):
        ours, real = pair.ask(rows, False)
        assert ours == real and ours[0] == REFUSED
    # a store that is named at run time is read with every change
    moved.write_text("nonsense")
    assert [e for e, _ in pair.ask(these(("no.such", "1")), False)] == [
        REFUSED, 40]
    moved.write_text(server.both.read_text())
    assert [e for e, _ in pair.ask(lambda broker: [
        (name, DELETE, None), (OF_SSL + "ssl.keystore.location", DELETE,
                               None)], False)] == [0, 0]
    described(name, None)
    ours, real = pair.ask(these(("max.connections", "100")))
    assert ours == real and ours[0] == 0
