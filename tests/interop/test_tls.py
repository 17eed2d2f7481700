# SPDX-License-Identifier: Apache-2.0
"""TLS with Java at the other end: Kafka's own tools as clients, and Kafka's
brokers beside ours."""

import json
import subprocess

import pytest

import certificates
import harness
import real_kafka
import wire
from harness import wait_until

SECURED = "kafka_server_socket_successful_authentication_total"
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


def told_of(broker, authority, own):
    """How many brokers it tells of; 0: it does not answer yet."""
    assert broker.process.poll() is None, broker.log()[-4000:]
    try:
        with client_of(broker, authority, own) as client:
            return len(client.call("Metadata", 7, Topics=[])["Brokers"])
    except (OSError, wire.Closed):
        return 0


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


def test_java_tools(make_broker, authority, server, java, tmp_path):
    """Each of them once, with a broker that has no other listener."""
    port = harness.free_port()
    broker = between_brokers(make_broker(), server, authority, port).launch()
    wait_until(lambda: told_of(broker, authority, server) == 1, 60,
               "the broker serves")
    config = tmp_path / "client.properties"
    config.write_text(certificates.text_of({
        "security.protocol": "SSL",
        **authority.issue("tools").p12_options(), **authority.p12_options()}))
    offsets = tmp_path / "offsets.json"
    offsets.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": "t", "partition": 0, "offset": 3}]}))

    def run(name, *arguments, by="--command-config",
            where=("--bootstrap-server", broker.address)):
        before = broker.metric(SECURED)
        status, out = java.run(name, *where, by, config, *arguments)
        assert status == 0, java.err.decode()
        assert broker.metric(SECURED) > before
        return out.decode()

    run("kafka-topics", "--create", "--topic", "t")
    assert run("kafka-producer-perf-test", "--topic", "t", "--num-records",
               10, "--record-size", 20, "--throughput", -1,
               "--producer-props", "bootstrap.servers=" + broker.address,
               by="--producer.config", where=()).splitlines()[-1].startswith(
        "10 records sent")
    assert run("kafka-get-offsets", "--topic", "t") == "t:0:10\n"
    assert "low_watermark: 3" in run(
        "kafka-delete-records", "--offset-json-file", offsets)
    assert run("kafka-get-offsets", "--topic", "t", "--time", -2) == "t:0:3\n"
    assert '"partition":"t-0"' in run(
        "kafka-log-dirs", "--describe", "--topic-list", "t")
    assert run("kafka-configs", "--alter", "--topic", "t", "--add-config",
               "retention.ms=-1").startswith("Completed updating config")
    assert "retention.ms=-1 " in run("kafka-configs", "--describe", "--topic",
                                     "t")
    assert "Valid replica already elected" in run(
        "kafka-leader-election", "--election-type", "preferred", "--topic",
        "t", "--partition", 0, by="--admin.config")
    assert f"{broker.address} (id: 0 rack: null) -> (" in run(
        "kafka-broker-api-versions")


@pytest.mark.parametrize("first", ("kafka", "barnabas"))
def test_one_cluster(make_broker, make_kafka, authority, server, first):
    """Whoever is controller orders the other one by TLS, and each follows the
    other."""
    kinds = {"kafka": make_kafka, "barnabas": make_broker}
    second = next(kind for kind in kinds if kind != first)
    brokers = []
    for number, kind in enumerate((first, second)):
        broker = between_brokers(kinds[kind](number), server, authority,
                                 harness.free_port())
        broker.launch()
        brokers.append(broker)

        wait_until(lambda: told_of(broker, authority, server) == number + 1,
                   180, f"{kind} is told of the brokers")
    with client_of(brokers[0], authority, server) as client:
        told = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
            "Name": "t", "NumPartitions": -1, "ReplicationFactor": -1,
            "Assignments": [{"PartitionIndex": n, "BrokerIds": [n, 1 - n]}
                            for n in range(2)]}])
    assert told["Topics"][0]["ErrorCode"] == 0, told
    for n, leader in enumerate(brokers):
        with client_of(leader, authority, server) as client:
            def produced():
                return wire.produce(client, "t", wire.batch([b"one"] * 9),
                                    partition=n)["ErrorCode"] == 0
            wait_until(produced, 60, f"broker {n} leads")
            assert produced()

        def same():
            logs = [b"".join(p.read_bytes() for p in b.log_files("t", n))
                    for b in brokers]
            return logs[0] == logs[1] != b""
        wait_until(same, 60, f"broker {1 - n} has what {n} has")
