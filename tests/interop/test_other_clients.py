# SPDX-License-Identifier: Apache-2.0
"""Clients of other languages, without groups, do on barnabasd what they do on
the real Kafka: each program of tests/interop/clients tells step by step what
it saw, and both tell the same."""

import hashlib
import subprocess

import pytest

import harness
import other_clients
import real_kafka


@pytest.fixture(scope="module")
def both(new_factory):
    """The real broker and ours, each in a cluster of its own."""
    factories = [new_factory(name) for name in ("kafka", "barnabas")]
    brokers = [factory(kind=kind).start() for factory, kind in zip(
        factories, (real_kafka.RealKafka, harness.Broker))]
    yield brokers
    for factory in factories:
        factory.end()


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """program(name): its command line; built once."""
    built = {}
    folder = tmp_path_factory.mktemp("clients")

    def get(name):
        if name not in built:
            built[name] = other_clients.MAKERS[name](folder)
        return built[name]
    return get


def run(command, *arguments):
    done = subprocess.run([*command, *arguments], capture_output=True,
                          timeout=180)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4000:]
    return done.stdout.decode()


@pytest.mark.parametrize("name", other_clients.MAKERS)
def test_same(both, program, name):
    command = program(name)
    theirs, ours = [run(command, broker.address, "t-" + name)
                    for broker in both]
    assert ours == theirs
    if name == "kafkajs":  # its topic stays, for who can read without a group
        digests = [digest(broker, "t-" + name) for broker in both]
        assert digests[0] == digests[1]


def digest(broker, topic):
    """Of all records with all that belongs to them."""
    out = harness.kcat(broker, "-C", "-t", topic, "-e", "-q", "-o", "beginning",
                       "-f", "%p %o %T %K %k %S %s %h\n")
    lines = sorted(out.splitlines())
    assert len(lines) > 800
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
