# SPDX-License-Identifier: Apache-2.0
"""TLS with Java at the other end: Kafka's own tools as clients, and Kafka's
brokers beside ours."""

import subprocess

import pytest

import certificates
import harness
import real_kafka
import wire
from harness import wait_until

LINES = b"".join(b"line %d\n" % n for n in range(5000))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server")


def between_brokers(broker, own, authority, port):
    """No plaintext at all, and certificates both ways."""
    broker.port = port
    broker.options.update({
        "listeners": f"SSL://127.0.0.1:{port}",
        "security.inter.broker.protocol": "SSL",
        "ssl.client.auth": "required",
        **own.p12_options(), **authority.p12_options()})
    return broker


def client_of(broker, authority, own):
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    context.load_cert_chain(own.certificate, own.key)
    return wire.Client(broker.address, secure=context)


def jks(authority, tmp_path):
    path = tmp_path / "trust.jks"
    subprocess.run(
        ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file",
         str(authority.certificate), "-keystore", str(path), "-storetype",
         "JKS", "-storepass", "trustpass"], check=True, capture_output=True)
    return {"ssl.truststore.location": path,
            "ssl.truststore.password": "trustpass"}


@pytest.mark.parametrize("version", ("TLSv1.2", "TLSv1.3"))
@pytest.mark.parametrize("store", ("PEM", "PKCS12", "JKS"))
def test_java_clients(make_broker, authority, server, tmp_path, version,
                      store):
    """With a certificate of their own; one restart of the client in between,
    so that a second connection is made."""
    broker = make_broker()
    port = harness.free_port()
    broker.options.update({
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},"
                     f"SSL://127.0.0.1:{port}",
        "ssl.client.auth": "required",
        **server.pem_options(), **authority.pem_options()})
    broker.start()
    person = authority.issue("person")
    stores = {"PEM": {**person.pem_options(), **authority.pem_options()},
              "PKCS12": {**person.p12_options(), **authority.p12_options()},
              "JKS": {**person.p12_options(), **jks(authority, tmp_path)}}
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL", "ssl.enabled.protocols": version,
        **stores[store]}))
    where = ("--bootstrap-server", f"127.0.0.1:{port}")

    def run(name, *arguments, **how):
        return real_kafka.tool(tmp_path, name, *where, *arguments, **how)

    run("kafka-topics", "--command-config", config, "--create", "--topic",
        "t")
    run("kafka-console-producer", "--topic", "t", "--producer.config", config,
        stdin=LINES)
    got = run("kafka-console-consumer", "--topic", "t", "--partition", 0,
              "--offset", "earliest", "--max-messages", 5000,
              "--consumer.config", config)
    assert got.stdout == LINES


def test_java_resumes(make_broker, authority, server, tmp_path):
    """A Java client has a second connection to the same broker, for its
    bootstrap: it brings its session along."""
    broker = make_broker()
    port = harness.free_port()
    broker.options.update({
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},"
                     f"SSL://127.0.0.1:{port}", **server.pem_options()})
    broker.start()
    harness.create_topic(broker, "t")
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL", **authority.pem_options()}))
    real_kafka.tool(
        tmp_path, "kafka-console-producer", "--bootstrap-server",
        f"127.0.0.1:{port}", "--topic", "t", "--producer.config", config,
        stdin=LINES)
    assert broker.metric(
        "kafka_server_socket_failed_authentication_total") == 0
    assert broker.metric("barnabas_tls_resumed_total") >= 1


@pytest.mark.parametrize("first", ("kafka", "barnabas"))
def test_one_cluster(make_broker, make_kafka, authority, server, first):
    """Whoever is controller orders the other one by TLS."""
    kinds = {"kafka": make_kafka, "barnabas": make_broker}
    second = next(kind for kind in kinds if kind != first)
    brokers = []
    for number, kind in enumerate((first, second)):
        broker = between_brokers(kinds[kind](number), server, authority,
                                 harness.free_port())
        broker.launch()
        brokers.append(broker)

        def told():
            assert broker.process.poll() is None, broker.log()[-4000:]
            try:
                with client_of(broker, authority, server) as client:
                    answer = client.call("Metadata", 7, Topics=[])
            except (OSError, wire.Closed):
                return False
            return len(answer["Brokers"]) == number + 1
        wait_until(told, 180, f"{kind} is told of the brokers")
