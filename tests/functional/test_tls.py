# SPDX-License-Identifier: Apache-2.0
"""Listeners that speak TLS, and who speaks to them."""

import os
import re
import resource
import signal
import socket
import ssl
import subprocess

import confluent_kafka
import kafka
import pytest

import certificates
import harness
import wire
from dynamic_configs import BROKER, SET, alter, described
from harness import counted, wait_until

pytestmark = pytest.mark.ours

GOOD = "kafka_server_socket_successful_authentication_total"
FAILED = "kafka_server_socket_failed_authentication_total"
RESUMED = "barnabas_tls_resumed_total"
RELOAD_FAILURES = "barnabas_tls_reload_failures_total"
VERSIONS = ("TLSv1.2", "TLSv1.3")
LINES = b"".join(b"line %d\n" % n for n in range(20000))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("other"), "stranger")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server")


@pytest.fixture(scope="module")
def person(authority):
    return authority.issue("person")


class Secure:
    """A broker with a plaintext listener and one that speaks TLS."""

    def __init__(self, broker, authority):
        self.broker, self.authority = broker, authority
        self.port = harness.free_port()
        self.broker.options["listeners"] = (
            f"PLAINTEXT://127.0.0.1:{broker.port},"
            f"SSL://127.0.0.1:{self.port}")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def set(self, options):
        self.broker.options.update(options)
        return self

    def start(self):
        self.broker.start()
        return self

    def context(self, identity=None, version=None):
        c = certificates.context(self.authority, identity)
        if version is not None:
            c.minimum_version = c.maximum_version = getattr(
                ssl.TLSVersion, version.replace(".", "_"))
        return c

    def client(self, identity=None, version=None, **how):
        return wire.Client(self.address, secure=self.context(identity,
                                                             version), **how)

    def shake(self, *words, ends=True):
        """openssl s_client, which says nothing; (status, both outputs)."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", self.address, "-CAfile",
             str(self.authority.certificate), *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True,
            timeout=harness.PATIENCE)
        return done.returncode, (done.stdout + done.stderr).decode()

    def kcat_words(self, identity=None):
        words = ["-X", "security.protocol=SSL", "-X",
                 f"ssl.ca.location={self.authority.certificate}"]
        if identity is not None:
            words += ["-X", f"ssl.key.location={identity.key}", "-X",
                      f"ssl.certificate.location={identity.certificate}"]
        return words

    def kcat(self, *words, identity=None, **how):
        return harness.run("kcat", "-b", self.address,
                           *self.kcat_words(identity), *words, **how).stdout

    def round_trip(self, topic, identity=None):
        harness.create_topic(self.broker, topic)
        self.kcat("-P", "-t", topic, "-p", 0, stdin=LINES, identity=identity)
        assert self.kcat("-C", "-t", topic, "-p", 0, "-o", "beginning", "-e",
                         "-q", identity=identity) == LINES


@pytest.fixture
def make_secure(make_broker, authority):
    def make(options, **more):
        return Secure(make_broker(**more), authority).set(options)
    return make


@pytest.fixture(scope="module")
def shared(shared_broker, zookeeper, tmp_path_factory, authority, server):
    """For tests that change nothing of it."""
    broker = harness.Broker(tmp_path_factory.mktemp("secure"), zookeeper, 0,
                            "/test-tls")
    secure = Secure(broker, authority).set(server.pem_options()).start()
    yield secure
    broker.stop()


# --- stores and versions -----------------------------------------------------

def inline(identity, authority):
    return {
        "ssl.keystore.type": "PEM", "ssl.truststore.type": "PEM",
        "ssl.keystore.key": certificates.folded(identity.key),
        "ssl.keystore.certificate.chain":
            certificates.folded(identity.certificate),
        "ssl.truststore.certificates":
            certificates.folded(authority.certificate, "\\n")}


STORES = {
    "PEM files": lambda s, a: {**s.pem_options(), **a.pem_options()},
    "PEM in place": inline,
    "PKCS12": lambda s, a: {**s.p12_options(), **a.p12_options()},
    "PKCS12 under Kafka's default, JKS": lambda s, a: {
        **s.p12_options(), **a.p12_options(), "ssl.keystore.type": "JKS",
        "ssl.truststore.type": "JKS"},
}


@pytest.mark.parametrize("store", STORES)
def test_stores(make_secure, authority, server, person, store):
    secure = make_secure({**STORES[store](server, authority),
                          "ssl.client.auth": "required"}).start()
    secure.round_trip("t", person)


def test_old_pkcs12(make_secure, authority, server, tmp_path):
    """As Java and OpenSSL wrote them for years."""
    old = tmp_path / "old.p12"
    certificates.openssl(
        "pkcs12", "-export", "-legacy", "-inkey", server.key, "-in",
        server.certificate, "-out", old, "-passout", "pass:storepass")
    make_secure({**server.p12_options(), "ssl.keystore.location": old}
                ).start().round_trip("t")


def test_encrypted_key(make_secure, server, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(
        server.certificate.read_bytes() + certificates.openssl(
            "pkcs8", "-topk8", "-in", server.key, "-passout", "pass:secret"))
    make_secure({"ssl.keystore.type": "PEM", "ssl.keystore.location": both,
                 "ssl.key.password": "secret"}).start().round_trip("t")


@pytest.mark.parametrize("version", VERSIONS)
def test_versions(make_secure, server, version):
    secure = make_secure({**server.pem_options(),
                          "ssl.enabled.protocols": version}).start()
    secure.round_trip("t")
    other = next(v for v in VERSIONS if v != version)
    flag = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}
    status, text = secure.shake("-brief", flag[version])
    assert status == 0 and f"Protocol version: {version}" in text
    assert "Verification: OK" in text
    with counted(secure.broker, FAILED):
        assert secure.shake("-brief", flag[other])[0] != 0
    assert secure.shake("-brief", "-tls1_1", "-cipher",
                        "DEFAULT@SECLEVEL=0")[0] != 0


def test_cipher_suites(make_secure, server):
    """By Java's names; the first one that the client has, too."""
    secure = make_secure({
        **server.pem_options(), "ssl.cipher.suites":
        "TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}).start()
    for words, suite in (
            (("-tls1_3",), "TLS_AES_128_GCM_SHA256"),
            (("-tls1_2",), "ECDHE-ECDSA-AES128-GCM-SHA256"),
            (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
             "ECDHE-ECDSA-AES256-GCM-SHA384")):
        status, text = secure.shake("-brief", *words)
        assert status == 0 and f"Ciphersuite: {suite}" in text
    for words in (("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
                  ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")):
        assert secure.shake("-brief", *words)[0] != 0


def test_only_suites_of_one_version(make_secure, server):
    secure = make_secure({**server.pem_options(), "ssl.cipher.suites":
                          "TLS_AES_256_GCM_SHA384"}).start()
    assert secure.shake("-brief", "-tls1_3")[0] == 0
    assert secure.shake("-brief", "-tls1_2")[0] != 0


def test_own_options_of_a_listener(make_secure, authority, server):
    """The general key store, and a listener with one of its own."""
    own = authority.issue("own", password="another")
    secure = make_secure(server.p12_options())
    third = harness.free_port()
    secure.set({
        "listeners": secure.broker.options["listeners"] +
        f",Front://127.0.0.1:{third}",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,SSL:SSL,FRONT:SSL",
        **{f"listener.name.front.{k}": v
           for k, v in own.p12_options("another").items()},
        "listener.name.front.ssl.enabled.protocols": "TLSv1.2"}).start()
    assert "CN = server" in secure.shake("-brief", "-tls1_3")[1]
    secure.port = third
    assert "CN = own" in secure.shake("-brief", "-tls1_2")[1]
    assert secure.shake("-brief", "-tls1_3")[0] != 0


# --- clients -----------------------------------------------------------------

@pytest.mark.parametrize("version", VERSIONS)
def test_large_requests_and_answers(shared, version):
    """Longer than any buffer on the way, in both directions, on one
    connection; several at one time."""
    topic = f"large-{version}"
    harness.create_topic(shared.broker, topic, max_message_bytes=1 << 24)
    values = [os.urandom(size) for size in (
        1, 16383, 16384, 16385, 131072, 200000, 5000000)]
    with shared.client(version=version) as client:
        for value in values:
            assert wire.produce(client, topic,
                                wire.batch([value]))["ErrorCode"] == 0
        got = [r[3] for r in wire.read_all(client, topic)]
        assert got == values
        # answers that wait for each other, and a reader that is slow
        asked = [client.send("Fetch", 12, **wire.fetch_request(topic, 0))
                 for _ in range(3)]
        for correlation in asked:
            part = client.receive(correlation)[
                "Responses"][0]["Partitions"][0]
            assert [b.records()[0][3] for b in wire.batches(
                part["Records"])] == values


def test_many_small_requests(shared):
    """Many in one record, and one in many."""
    harness.create_topic(shared.broker, "small")
    with shared.client() as client:
        asked = [client.send("ApiVersions", 0) for _ in range(2000)]
        for correlation in asked:
            assert client.receive(correlation)[
                "ErrorCode"] == 0
        frame = wire.frame(wire.request_header(18, 0, 7, "x", False))
        for byte in frame:
            client.send_raw(bytes([byte]))
        assert client.receive_frame()[:4] == b"\0\0\0\7"


def test_confluent_kafka(shared):
    harness.create_topic(shared.broker, "confluent")
    settings = {"bootstrap.servers": shared.address,
                "security.protocol": "SSL",
                "ssl.ca.location": str(shared.authority.certificate)}
    producer = confluent_kafka.Producer(settings)
    for n in range(1000):
        producer.produce("confluent", b"%d" % n, partition=0)
    assert producer.flush(harness.PATIENCE) == 0
    consumer = confluent_kafka.Consumer({**settings, "group.id": "x",
                                         "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition("confluent", 0, 0)])
    got = []
    while len(got) < 1000:
        message = consumer.poll(harness.PATIENCE)
        assert message is not None and message.error() is None
        got.append(message.value())
    consumer.close()
    assert got == [b"%d" % n for n in range(1000)]


@pytest.mark.parametrize("version", VERSIONS)
def test_kafka_python(shared, version):
    topic = f"python-{version}"
    harness.create_topic(shared.broker, topic)
    how = {"bootstrap_servers": shared.address, "security_protocol": "SSL",
           "ssl_context": shared.context(version=version)}
    producer = kafka.KafkaProducer(**how)
    sent = [producer.send(topic, b"%d" % n) for n in range(200)]
    producer.flush()
    assert [f.get(harness.PATIENCE).offset for f in sent] == list(range(200))
    producer.close()
    consumer = kafka.KafkaConsumer(
        enable_auto_commit=False, group_id=None,
        auto_offset_reset="earliest", **how)
    consumer.assign([kafka.TopicPartition(topic, 0)])
    got = []
    while len(got) < 200:
        for rows in consumer.poll(5000).values():
            got += [r.value for r in rows]
    consumer.close()
    assert got == [b"%d" % n for n in range(200)]


@pytest.mark.skipif(os.cpu_count() == 1, reason="one network thread only")
def test_members_move_to_their_coordinators_thread(make_secure, authority,
                                                   server):
    """Their connections' keys and the counts of both threads go along.  All
    groups are one thread's; connections are dealt to all threads in turn, so
    that one more between them lets those of half of the groups be another's."""
    secure = make_secure({**server.pem_options(),
                          "barnabas.log.level": "info,net=debug",
                          "offsets.topic.num.partitions": "1",
                          "group.initial.rebalance.delay.ms": "0"}).start()
    harness.create_topic(secure.broker, "moving", partitions=1)
    members = []

    def join(count):
        for n in range(len(members), len(members) + count):
            members.append(confluent_kafka.Consumer({
                "bootstrap.servers": secure.address,
                "security.protocol": "SSL",
                "ssl.ca.location": str(authority.certificate),
                "group.id": f"g{n}", "heartbeat.interval.ms": 50,
                "enable.auto.commit": False}))
            members[-1].subscribe(["moving"])
        wait_until(lambda: all([m.poll(0.01) is None and m.assignment()
                                for m in members]), what="all are members")

    def moved():
        for member in members:
            assert member.poll(0.01) is None
        return "is with loop=" in secure.broker.log()

    join(6)
    with secure.client():
        join(6)
        wait_until(moved, what="a connection moved")
    for n, member in enumerate(members):
        where = confluent_kafka.TopicPartition("moving", 0, n)
        member.commit(offsets=[where], asynchronous=False)
        assert member.committed([where])[0].offset == n
        member.close()
    secure.broker.stop()


# --- certificates of clients -------------------------------------------------

def test_client_auth_required(make_secure, authority, stranger, server,
                              person):
    secure = make_secure({**server.pem_options(), **authority.pem_options(),
                          "ssl.client.auth": "required"}).start()
    secure.round_trip("t", person)
    expired = authority.issue("expired", days=-1)
    for bad in (None, stranger.issue("person"), expired):
        for version in VERSIONS:
            with counted(secure.broker, FAILED):
                with pytest.raises((OSError, wire.Closed)):
                    with secure.client(bad, version) as client:
                        client.call("ApiVersions", 0)
    text = secure.shake()[1]
    assert "Acceptable client certificate CA names\nCN = authority" in text


def test_client_auth_requested(make_secure, authority, stranger, server,
                               person):
    """None will do, a bad one will not."""
    secure = make_secure({**server.pem_options(), **authority.pem_options(),
                          "ssl.client.auth": "requested"}).start()
    for good in (None, person):
        with secure.client(good) as client:
            assert client.call("ApiVersions", 0)["ErrorCode"] == 0
    with pytest.raises((OSError, wire.Closed)):
        with secure.client(stranger.issue("bad")) as client:
            client.call("ApiVersions", 0)


# --- sessions ----------------------------------------------------------------

def session(secure, version, path, *words):
    """Shakes hands, with an answer after it, and keeps the session."""
    flag = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}[version]
    request = wire.frame(wire.request_header(18, 0, 7, "x", False))
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-connect", secure.address, flag,
         "-CAfile", str(secure.authority.certificate), "-sess_out", str(path),
         *map(str, words)],
        input=request + b"\0\0\0\1\0", capture_output=True,
        timeout=harness.PATIENCE)
    return done


@pytest.mark.parametrize("version", VERSIONS)
def test_resumption(make_secure, authority, server, person, tmp_path,
                    version):
    secure = make_secure({**server.pem_options(), **authority.pem_options(),
                          "ssl.client.auth": "required"}).start()
    mine = ("-cert", person.certificate, "-key", person.key)
    path = tmp_path / "session"
    session(secure, version, path, *mine)
    assert secure.broker.metric(RESUMED) == 0
    with counted(secure.broker, RESUMED):
        session(secure, version, tmp_path / "again", "-sess_in", path)
    # not by another that was told other things since
    secure.broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "are read again" in secure.broker.log())
    before = secure.broker.metric(RESUMED)
    with counted(secure.broker, FAILED):
        session(secure, version, tmp_path / "again", "-sess_in", path)
    assert secure.broker.metric(RESUMED) == before


# --- anew, while it runs -----------------------------------------------------

def hang_up(secure):
    """SIGHUP, and until it has been followed."""
    return certificates.reload(secure.broker)


def serial(identity):
    return certificates.openssl("x509", "-in", identity.certificate,
                                "-noout", "-serial").decode().split("=")[1]


def shown(secure):
    """The serial number that a new connection is shown."""
    text = secure.shake("-showcerts")[1]
    return certificates.openssl("x509", "-noout", "-serial",
                                input=text.encode()).decode().split("=")[1]


def test_reload(make_secure, authority, tmp_path):
    def put(**how):
        i = authority.issue("reloaded", **how)
        store.write_bytes(i.both.read_bytes())
        return i

    store = tmp_path / "store.pem"
    first = put()
    secure = make_secure({"ssl.keystore.type": "PEM",
                          "ssl.keystore.location": store}).start()
    harness.create_topic(secure.broker, "t")
    assert shown(secure) == serial(first)
    with secure.client() as old:
        old.call("ApiVersions", 0)
        second = put(names="DNS:localhost,DNS:more,IP:127.0.0.1")
        assert "are read again" in hang_up(secure)
        number = serial(second)
        assert shown(secure) == number
        for how, words in (
                ({"subject": "/O=other/CN=reloaded"}, "ssl.allow.dn.changes"),
                ({"names": "IP:127.0.0.1,DNS:more"}, "ssl.allow.san.changes")):
            put(**how)
            with counted(secure.broker, RELOAD_FAILURES):
                assert words in hang_up(secure)
            assert shown(secure) == number
        for broken in ("", "nonsense", second.key.read_text()):
            store.write_text(broken)
            with counted(secure.broker, RELOAD_FAILURES):
                assert "ssl.keystore.location" in hang_up(secure)
            assert shown(secure) == number
        assert wire.produce(old, "t", wire.batch([b"x"]))["ErrorCode"] == 0


def test_reload_that_may_change_names(make_secure, authority, tmp_path):
    store = tmp_path / "store.pem"
    store.write_bytes(authority.issue().both.read_bytes())
    secure = make_secure({
        "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
        "ssl.allow.dn.changes": "true", "ssl.allow.san.changes": "true"}
    ).start()
    other = authority.issue(subject="/O=other/CN=x", names="IP:127.0.0.1")
    store.write_bytes(other.both.read_bytes())
    assert "are read again" in hang_up(secure)
    assert shown(secure) == serial(other)


@pytest.fixture
def give(request):
    """give(broker, {name: value}): what /config/brokers says of it."""
    from dynamic_configs import Settings
    made = {}

    def give(broker, options):
        if broker not in made:
            made[broker] = Settings(broker)
            request.addfinalizer(made[broker].close)
        made[broker].set("0", {k: str(v) for k, v in options.items()})
    return give


def test_other_files_at_run_time(make_secure, authority, tmp_path, give):
    """Another name; the same name, with other content; and no good."""
    key = "listener.name.ssl.ssl.keystore.location"
    first, second, third = (authority.issue(
        f"run-time-{n}", subject="/O=tests/CN=run-time") for n in range(3))
    secure = make_secure(first.pem_options()).start()
    assert shown(secure) == serial(first)
    moved = tmp_path / "moved.pem"
    moved.write_bytes(second.both.read_bytes())
    give(secure.broker, {key: moved})
    wait_until(lambda: shown(secure) == serial(second))
    moved.write_bytes(third.both.read_bytes())
    give(secure.broker, {key: moved})
    wait_until(lambda: shown(secure) == serial(third))
    with counted(secure.broker, RELOAD_FAILURES):
        give(secure.broker, {key: "/no/such"})
    wait_until(lambda: "ssl.* (/config/brokers): listener SSL: "
               "ssl.keystore.location=/no/such" in secure.broker.log())
    assert shown(secure) == serial(third)
    # and SIGHUP reads what is set at run time
    give(secure.broker, {key: moved})
    moved.write_bytes(second.both.read_bytes())
    assert "are read again" in hang_up(secure)
    wait_until(lambda: shown(secure) == serial(second))
    give(secure.broker, {})
    wait_until(lambda: shown(secure) == serial(first))


def test_stores_are_tried_before(make_secure, authority, tmp_path):
    """Asked of the broker: nothing is written that would not hold."""
    key = "listener.name.ssl.ssl.keystore.location"
    first, second = (authority.issue(
        f"asked-{n}", subject="/O=tests/CN=asked") for n in range(2))
    other = authority.issue("asked-other")
    secure = make_secure(first.pem_options()).start()
    broken = tmp_path / "broken.pem"
    broken.write_text("nonsense")

    def ask(path, validate=False):
        with wire.Client(secure.broker.address) as c:
            return alter(c, BROKER, "0", (key, SET, str(path)),
                         validate=validate)
    for path, word in (("/no/such", "/no/such"), (broken, str(broken)),
                       (other.both, "ssl.allow.dn.changes")):
        for validate in (True, False):
            error, message = ask(path, validate)
            assert error == 42 and word in message
            assert "SSLFactory failed: listener SSL: " in message
    assert described(secure.broker, key) == {}
    assert ask(second.both, True) == (0, None)
    assert shown(secure) == serial(first)
    assert ask(second.both) == (0, None)
    assert shown(secure) == serial(second)
    secure.broker.stop()
    secure.broker.start()
    assert shown(secure) == serial(second)
    # with every change it is read again, as with Kafka
    good = second.both.read_text()
    for text, error in (("nonsense", 42), (good, 0)):
        second.both.write_text(text)
        with wire.Client(secure.broker.address) as c:
            assert alter(c, BROKER, "0", ("log.retention.bytes", SET, "5"))[
                0] == error
    assert shown(secure) == serial(second)


def test_what_is_not_a_store_counts_later(make_secure, authority, server,
                                          person, give):
    """Kafka takes it, too, and a listener that is there goes on as it began:
    also when its stores are read again."""
    secure = make_secure({**server.pem_options(),
                          **authority.pem_options()}).start()

    def serves(identity=None):
        with secure.client(identity) as client:
            return client.call("ApiVersions", 0)["ErrorCode"] == 0
    give(secure.broker, {"listener.name.ssl.ssl.client.auth": "required",
                         "listener.name.ssl.ssl.enabled.protocols":
                         "TLSv1.2"})
    wait_until(lambda: "listener=SSL ssl.* (/config/brokers) has changed, and "
               "not in stores alone" in secure.broker.log())
    assert serves()
    assert "are read again" in hang_up(secure)
    assert serves()
    secure.broker.stop()
    secure.broker.start()
    assert serves(person)
    with pytest.raises((OSError, wire.Closed)):
        serves()
    with pytest.raises((OSError, wire.Closed)):
        with secure.client(person, "TLSv1.3") as client:
            client.call("ApiVersions", 0)
    # and back: it stays as it was opened
    give(secure.broker, {})
    wait_until(lambda: secure.broker.log().count("not in stores alone") == 2)
    assert "are read again" in hang_up(secure)
    with pytest.raises((OSError, wire.Closed)):
        serves()


def test_hang_up_while_it_starts(make_secure, server, own_zookeeper):
    """It is done when the broker runs."""
    own_zookeeper.pause()
    secure = make_secure(server.pem_options(), zk=own_zookeeper,
                         zookeeper_connection_timeout_ms=60000)
    secure.broker.launch()
    wait_until(lambda: secure.broker.log(), what="it writes its log")
    secure.broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "barnabas.log.level=INFO is read again" in
               secure.broker.log(), what="the signal came")
    assert "are read again" not in secure.broker.log()
    own_zookeeper.resume()
    secure.broker.wait_ready()
    wait_until(lambda: "TLS keys and certificates are read again" in
               secure.broker.log(), what="TLS is loaded again")


def test_a_listener_that_comes(make_secure, server, person, give):
    """Bound while the broker runs, with a store of its own."""
    secure = make_secure(server.pem_options()).start()
    port = harness.free_port()
    give(secure.broker, {
        "listeners": secure.broker.options["listeners"] +
        f",NEW://127.0.0.1:{port}",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,SSL:SSL,NEW:SSL",
        "listener.name.new.ssl.keystore.location": person.both})
    wait_until(lambda: harness.port_open(port), what="the new listener")
    assert shown(secure) == serial(server)
    secure.port = port
    assert shown(secure) == serial(person)


# --- what stops the start ----------------------------------------------------

def jks(tmp_path):
    path = tmp_path / "store.jks"
    subprocess.run(
        ["keytool", "-genkeypair", "-alias", "a", "-keyalg", "RSA", "-dname",
         "CN=x", "-keystore", str(path), "-storetype", "JKS", "-storepass",
         "storepass", "-keypass", "storepass"], check=True,
        capture_output=True)
    return path


def mixed(server, person, tmp_path):
    path = tmp_path / "mixed.pem"
    path.write_text(person.key.read_text() + server.certificate.read_text())
    return path


REFUSED = {
    "no key store": ({}, ("ssl.keystore.location",)),
    "no such file": ({"ssl.keystore.location": "/no/such",
                      "ssl.keystore.password": "x"},
                     ("ssl.keystore.location=/no/such", "No such file")),
    "a directory": ({"ssl.keystore.location": "/tmp",
                     "ssl.keystore.password": "x"},
                    ("ssl.keystore.location=/tmp", "directory")),
    "no password": ({"ssl.keystore.password": None},
                    ("ssl.keystore.password",)),
    "wrong password": ({"ssl.keystore.password": "wrong"},
                       ("ssl.keystore.password is wrong",)),
    "JKS": ({"ssl.keystore.location": jks},
            ("keytool -importkeystore -srckeystore", "PKCS12")),
    "PEM not said": ({"ssl.keystore.location": "the PEM file"}, ("PEM",)),
    "another's key": ({"ssl.keystore.type": "PEM",
                       "ssl.keystore.password": None,
                       "ssl.keystore.location": mixed},
                      ("fits none of its certificates",)),
    "password of PEM": ({"ssl.keystore.type": "PEM"},
                        ("ssl.keystore.password", "ssl.key.password")),
    "key without chain": ({"ssl.keystore.key": "x"},
                          ("ssl.keystore.certificate.chain",)),
    "type": ({"ssl.keystore.type": "BKS"}, ("ssl.keystore.type=BKS",)),
    "cipher": ({"ssl.cipher.suites": "TLS_NO_SUCH"}, ("TLS_NO_SUCH",)),
    "cipher of no version": (
        {"ssl.cipher.suites": "TLS_AES_256_GCM_SHA384",
         "ssl.enabled.protocols": "TLSv1.2"}, ("ssl.cipher.suites",)),
    "version": ({"ssl.enabled.protocols": "TLSv1.1,TLSv1.2"},
                ("ssl.enabled.protocols", "TLSv1.1")),
    "protocol": ({"ssl.protocol": "SSLv3"}, ("ssl.protocol=SSLv3",)),
    "identification": ({"ssl.endpoint.identification.algorithm": "LDAPS"},
                       ("ssl.endpoint.identification.algorithm",)),
    "trust store": ({"ssl.truststore.location": "/no/such",
                     "ssl.truststore.password": "x"},
                    ("ssl.truststore.location=/no/such",)),
    "engine": ({"ssl.engine.factory.class": "a.B"},
               ("ssl.engine.factory.class",)),
    "provider": ({"ssl.provider": "BC"}, ("ssl.provider",)),
    "users": ({"ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/"},
              ("ssl.principal.mapping.rules",)),
    "a listener's own": (
        {"listener.name.ssl.ssl.keystore.password": "wrong"},
        ("ssl.keystore.password is wrong",)),
    "a listener's own provider": (
        {"listener.name.ssl.ssl.provider": "BC"},
        ("listener.name.ssl.ssl.provider",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(make_secure, server, person, tmp_path, case):
    options, words = REFUSED[case]
    values = {jks: lambda: jks(tmp_path), "the PEM file": lambda: server.both,
              mixed: lambda: mixed(server, person, tmp_path)}
    secure = make_secure({} if case == "no key store"
                         else server.p12_options())
    broker = secure.broker
    for name, value in options.items():
        if value is None:
            broker.options.pop(name, None)
        else:
            broker.options[name] = values.get(value, lambda: value)()
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    checked = harness.run(harness.DAEMON, "-t", broker.properties,
                          check=False)
    assert checked.returncode == 1
    for text in (broker.log(), checked.stderr.decode()):
        for word in words:
            assert word in text
    assert "storepass" not in broker.log()


@pytest.mark.parametrize("days,words", ((-1, "has expired"),))
def test_dates_are_warned_of(make_secure, authority, days, words):
    late = authority.issue("late", days=days)
    secure = make_secure(late.pem_options()).start()
    assert f"the certificate of /O=tests/CN=late {words}" in \
        secure.broker.log()
    assert words.encode() in harness.run(
        harness.DAEMON, "-t", secure.broker.properties).stderr


# --- peers that are no good --------------------------------------------------

def test_plaintext_to_tls(make_secure, server):
    secure = make_secure(server.pem_options(), barnabas_loops=1).start()
    for data in (wire.frame(wire.request_header(18, 0, 7, "x", False)),
                 b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\xff" * 100,
                 os.urandom(5000)):
        with counted(secure.broker, FAILED), \
                counted(secure.broker, harness.CLOSED,
                        reason="authentication"):
            with wire.Client(secure.address) as client:
                client.send_raw(data)
                with pytest.raises(wire.Closed):
                    while True:
                        client.receive_exactly(1)
    log = secure.broker.log()
    assert "listener=SSL TLS handshake failed: the peer speaks no TLS" in log
    # not one line for each of them
    assert 1 <= log.count("TLS handshake failed") < 5
    secure.round_trip("t")


def test_tls_to_plaintext(make_secure, server):
    secure = make_secure(server.pem_options()).start()
    with counted(secure.broker, harness.CLOSED, reason="oversized"):
        with pytest.raises(OSError):
            wire.Client(secure.broker.address, secure=secure.context())
    assert "speaks TLS to a listener that does not" in secure.broker.log()


def test_slow_handshakes(make_secure, server):
    """They are given up in time, and do not hold others up."""
    secure = make_secure({
        **server.pem_options(),
        "socket.connection.setup.timeout.max.ms": "3000",
        "socket.connection.setup.timeout.ms": "1000"}).start()
    silent = [socket.create_connection(("127.0.0.1", secure.port))
              for _ in range(50)]
    for s in silent[:25]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    with counted(secure.broker, harness.CLOSED, 50, reason="slow"):
        secure.round_trip("t")
    for s in silent:
        s.settimeout(harness.PATIENCE)
        assert s.recv(1000) == b""
        s.close()


@pytest.fixture
def descriptors():
    """descriptors(count): this process may have so many from now on."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def need(count):
        soft, hard = before
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip(f"{count} descriptors are needed, {hard} allowed")
        if soft != resource.RLIM_INFINITY and soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    yield need
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_too_many_handshakes(make_secure, server, descriptors):
    """The oldest go; whoever shakes hands at once is served."""
    descriptors(1500)
    secure = make_secure(server.pem_options(), barnabas_loops=1).start()
    silent = [socket.create_connection(("127.0.0.1", secure.port))
              for _ in range(1024)]
    with counted(secure.broker, harness.CLOSED, reason="slow"):
        secure.round_trip("t")
    for s in silent:
        s.close()


def test_connections_are_counted_by_listener(make_secure, server):
    secure = make_secure(server.pem_options()).start()

    def counts():
        return [secure.broker.metric("kafka_server_socket_connection_count",
                                     listener=name)
                for name in ("PLAINTEXT", "SSL")]
    with wire.Client(secure.broker.address) as plain:
        plain.call("ApiVersions", 0)
        before = counts()[0]
        others = [secure.client() for _ in range(3)]
        wait_until(lambda: counts()[1] == 3, what="three of them")
        assert counts()[0] == before >= 1
        for client in others:
            client.close()
        wait_until(lambda: counts()[1] == 0, what="they are gone")


def test_no_renegotiation(shared):
    """s_client asks for it when it is told R; the broker says no."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", shared.address, "-tls1_2",
         "-CAfile", str(shared.authority.certificate)], input=b"R\n",
        capture_output=True, timeout=harness.PATIENCE)
    text = (done.stdout + done.stderr).decode()
    assert "RENEGOTIATING" in text and "no renegotiation" in text


# --- between brokers, and our own tools --------------------------------------

def between_brokers(broker, port, options):
    broker.options.update({
        "listeners": f"SSL://127.0.0.1:{port}",
        "security.inter.broker.protocol": "SSL", **options})
    return broker


def test_brokers_speak_tls(make_broker, authority, server, tmp_path):
    """No other listener: the controller orders by TLS, with a certificate."""
    broker = make_broker()
    secure = Secure(broker, authority)
    between_brokers(broker, secure.port, {
        **server.pem_options(), **authority.pem_options(),
        "ssl.client.auth": "required"}).start()
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL", **server.p12_options(),
        **authority.p12_options()}))
    how = ("--bootstrap-server", secure.address, "--command-config", config)
    harness.run(harness.TOOL, "topics", *how, "--create", "--topic", "t")
    assert harness.run(harness.TOOL, "topics", *how, "--list").stdout == b"t\n"
    broker.stop()
    broker.start()
    assert harness.run(harness.TOOL, "get-offsets", *how, "--topic",
                       "t").stdout == b"t:0:0\n"


@pytest.mark.parametrize("identify", (True, False))
def test_name_of_another_host(make_broker, authority, identify):
    wrong = authority.issue("wrong", names="DNS:elsewhere")
    broker = between_brokers(make_broker(), harness.free_port(), {
        **wrong.pem_options(), **authority.pem_options()})
    if not identify:
        broker.options["ssl.endpoint.identification.algorithm"] = ""
        broker.start()
        return
    broker.launch()
    wait_until(lambda: re.search("cannot connect: TLS handshake failed: .*IP "
                                 "address mismatch", broker.log()))
    assert broker.http("/readyz")[0] != 200


def test_brokers_must_trust_themselves(make_broker, stranger, server):
    broker = between_brokers(make_broker(), harness.free_port(), {
        **server.pem_options(), **stranger.pem_options()}).launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert "its own certificate is not trusted by it" in broker.log()


PROPERTIES = {
    "PEM": lambda a: a.pem_options(),
    "PEM in place": lambda a: {
        "ssl.truststore.type": "PEM", "ssl.truststore.certificates":
        certificates.folded(a.certificate)},
    "PKCS12": lambda a: a.p12_options(),
}


@pytest.mark.parametrize("store", PROPERTIES)
def test_tools(shared, authority, tmp_path, store):
    """What asks brokers itself, and what librdkafka does."""
    topic = "tools-" + store.replace(" ", "-")
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL", **PROPERTIES[store](authority)}))
    where = ("--bootstrap-server", shared.address)
    harness.run(harness.TOOL, "topics", *where, "--command-config", config,
                "--create", "--topic", topic)
    harness.run(harness.CONSOLE, "produce", *where, "--topic", topic,
                "--producer.config", config, stdin=LINES)
    got = harness.run(harness.CONSOLE, "consume", *where, "--topic", topic,
                      "--partition", 0, "--offset", "earliest",
                      "--max-messages", 20000, "--consumer.config", config)
    assert got.stdout == LINES


def test_tools_tell_whom_they_do_not_trust(shared, tmp_path):
    """librdkafka's as well, whose records only come too late."""
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL", "request.timeout.ms": 5000,
        "delivery.timeout.ms": 6000}))
    done = harness.run(
        harness.CONSOLE, "produce", "--bootstrap-server", shared.address,
        "--topic", "untrusted", "--producer.config", config, stdin=b"x\n",
        check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"certificate verify failed") == 1
    assert b"; ssl.truststore.location names whom to trust" in done.stderr


@pytest.mark.parametrize("rules,version", (
    ({"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}, "TLSv1.3"),
    ({"ssl.cipher.suites": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
     "TLSv1.2"),
    ({"ssl.enabled.protocols": "TLSv1.3"}, "TLSv1.3"),
    ({"ssl.enabled.protocols": "TLSv1.2"}, "TLSv1.2"),
))
def test_tools_keep_to_rules(make_secure, authority, server, tmp_path, rules,
                             version):
    """librdkafka as well: it meets who has what it may use, and nobody else.
    The broker's suite is one of the other's kind or version."""
    config = tmp_path / "client.properties"

    secure = make_secure(server.pem_options())

    def produced(options):
        """To a broker of those; whether that took it, and what it refused."""
        for name in ("ssl.cipher.suites", "ssl.enabled.protocols"):
            secure.broker.options.pop(name, None)
        secure.set(options).start()
        if options is rules:
            harness.create_topic(secure.broker, "t")
        harness.wait_topic(secure.broker, "t")
        # what it may use is not refused while it waits
        for patience_ms in ((60000,) if options is rules else (2000, 60000)):
            config.write_text(certificates.text_of({
                "security.protocol": "SSL",
                "request.timeout.ms": patience_ms - 100,
                "delivery.timeout.ms": patience_ms,
                **authority.pem_options(), **rules}))
            done = harness.run(
                harness.CONSOLE, "produce", "--bootstrap-server",
                secure.address, "--topic", "t", "--producer.config", config,
                stdin=b"x\n", check=False)
            refused = secure.broker.metric(FAILED)
            if done.returncode == 0 or refused:
                break
        secure.broker.stop()
        return done.returncode == 0, refused > 0
    assert produced(rules) == (True, False)
    other = next(v for v in VERSIONS if v != version)
    assert produced({"ssl.enabled.protocols": other}) == (False, True)
    if rules == {"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}:
        assert produced({"ssl.cipher.suites": "TLS_AES_256_GCM_SHA384"}) == (
            False, True)


def test_tools_with_a_certificate(make_secure, authority, server, person,
                                  tmp_path):
    secure = make_secure({**server.pem_options(), **authority.pem_options(),
                          "ssl.client.auth": "required"}).start()
    harness.create_topic(secure.broker, "t")
    for mine in (person.pem_options(), person.p12_options()):
        config = tmp_path / "client.properties"
        config.write_text(certificates.text_of({
            "security.protocol": "SSL", **authority.pem_options(), **mine}))
        where = ("--bootstrap-server", secure.address)
        harness.run(harness.TOOL, "topics", *where, "--command-config",
                    config, "--list")
        harness.run(harness.CONSOLE, "produce", *where, "--topic", "t",
                    "--producer.config", config, stdin=b"x\n")


def listed(secure, tmp_path, options, words):
    """`topics --list`, in vain until its time-out; with a longer one where it
    was over before that told the words."""
    config = tmp_path / "client.properties"
    for patience_ms in (1500, 10000, 60000):
        config.write_text(certificates.text_of({
            "security.protocol": "SSL",
            "default.api.timeout.ms": patience_ms, **options}))
        done = harness.run(harness.TOOL, "topics", "--bootstrap-server",
                           secure.address, "--command-config", config,
                           "--list", check=False)
        if done.returncode == 0 or words in done.stderr.decode():
            break
    return done


@pytest.mark.parametrize("options,words", (
    ({}, "certificate verify failed"),
    ({"ssl.truststore.location": "/no/such"}, "ssl.truststore.location"),
    ({"ssl.provider": "BC"}, "ssl.provider"),
    ({"security.protocol": "SASL_SSL"}, "SASL_SSL"),
    ({"security.protocol": "PLAINTEXT"}, "security.protocol"),
))
def test_tools_are_refused(shared, tmp_path, options, words):
    done = listed(shared, tmp_path, options, words)
    assert done.returncode != 0 and words in done.stderr.decode()


def test_tools_look_at_the_name(make_secure, authority, tmp_path):
    wrong = authority.issue("wrong", names="DNS:elsewhere")
    secure = make_secure(wrong.pem_options()).start()
    trusted, words = authority.pem_options(), "IP address mismatch"
    done = listed(secure, tmp_path, trusted, words)
    assert done.returncode == 1 and words in done.stderr.decode()
    done = listed(secure, tmp_path, {
        **trusted, "ssl.endpoint.identification.algorithm": ""}, words)
    assert done.returncode == 0, done.stderr
