# SPDX-License-Identifier: Apache-2.0
"""Clients of other languages, without groups, do on barnabasd what they do on
the real Kafka: each program of tests/interop/clients tells step by step what
it saw, and both tell the same."""

import hashlib
import subprocess

import pytest

import certificates
import harness
import other_clients
import real_kafka


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def both(new_factory, authority):
    """The real broker and ours, each in a cluster of its own; both listen in
    plain and over TLS."""
    server = authority.issue()
    factories, brokers = [], []
    for name, kind in ("kafka", real_kafka.RealKafka), (
            "barnabas", harness.Broker):
        factories.append(new_factory(name))
        broker = factories[-1](kind=kind)
        broker.tls_address = f"127.0.0.1:{harness.free_port()}"
        broker.options.update(server.p12_options())
        broker.options["listeners"] = (
            f"PLAINTEXT://{broker.address},SSL://{broker.tls_address}")
        brokers.append(broker.start())
    yield brokers
    for factory in factories:
        factory.end()


def run(command, *arguments):
    done = subprocess.run([*command, *arguments], capture_output=True,
                          timeout=180)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4000:]
    return done.stdout.decode()


@pytest.mark.parametrize("over", ("plain", "tls"))
@pytest.mark.parametrize("name", other_clients.MAKERS)
def test_same(both, authority, program, name, over):
    command = program(other_clients.MAKERS[name])
    topic = f"{over}-{name}"
    theirs, ours = [
        run(command, broker.address, topic) if over == "plain" else
        run(command, broker.tls_address, topic, str(authority.certificate))
        for broker in both]
    assert ours.splitlines() == theirs.splitlines()
    if name == "kafkajs":  # its topic stays, for who can read without a group
        digests = [digest(broker, topic) for broker in both]
        assert digests[0] == digests[1]


def digest(broker, topic):
    """Of all records with all that belongs to them."""
    out = harness.kcat(broker, "-C", "-t", topic, "-e", "-q", "-o", "beginning",
                       "-f", "%p %o %T %K %k %S %s %h\n")
    lines = sorted(out.splitlines())
    assert len(lines) > 800
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
