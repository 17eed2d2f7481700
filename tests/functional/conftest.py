# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one ZooKeeper a session, brokers by the test.

With BARNABAS_AGAINST=kafka the real Kafka 3.9 stands where barnabasd would
(tests/interop/real_kafka.py): a test that fails there expects what Kafka does
not do.  Tests of what only Barnabas has are marked `ours` and left out then.
"""

import itertools
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]
import harness  # noqa: E402
import real_kafka  # noqa: E402

AGAINST_KAFKA = os.environ.get("BARNABAS_AGAINST") == "kafka"
SIGNS = ("ERROR: AddressSanitizer", "runtime error:",
         "WARNING: ThreadSanitizer", "LeakSanitizer", "CHECK failed")
_chroots = itertools.count()


def pytest_configure(config):
    config.addinivalue_line("markers", "ours: only Barnabas behaves so")
    config.addinivalue_line("markers", "slow: takes more than some seconds")


def pytest_collection_modifyitems(items):
    # Files begin in this order: no lane is to come to a long one at the end.
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)
    if not AGAINST_KAFKA:
        return
    for item in items:
        if "ours" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="only Barnabas does so"))


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory):
    server = harness.ZooKeeper(tmp_path_factory.mktemp("zookeeper")).start()
    yield server
    server.stop()


@pytest.fixture
def own_zookeeper(tmp_path):
    """For tests that stop or pause it."""
    server = harness.ZooKeeper(tmp_path / "zookeeper").start()
    yield server
    server.resume()
    server.stop()


class Factory:
    """make(broker_id=0, **options): a Broker, not yet started, in a cluster
    (chroot) of its own."""

    def __init__(self, zookeeper, folder):
        self.zookeeper, self.folder = zookeeper, folder
        self.chroot = f"/test-{next(_chroots)}"
        self.brokers = []

    def __call__(self, broker_id=0, zk=None, kind=None, **options):
        kind = kind or (real_kafka.RealKafka if AGAINST_KAFKA
                        else harness.Broker)
        broker = kind(
            self.folder / f"broker-{broker_id}-{len(self.brokers)}",
            zk or self.zookeeper, broker_id, self.chroot, **options)
        self.brokers.append(broker)
        return broker

    def end(self):
        errors = []
        for broker in self.brokers:
            try:
                broker.stop()
            except AssertionError as e:
                errors.append(str(e))
        for broker in self.brokers:
            text = broker.log() if broker.log_path.exists() else ""
            for sign in SIGNS:
                if sign in text:
                    at = text.index(sign)
                    errors.append(text[at:at + 6000])
        assert not errors, "\n".join(errors)


@pytest.fixture
def make_broker(zookeeper, tmp_path):
    factory = Factory(zookeeper, tmp_path)
    yield factory
    factory.end()


@pytest.fixture
def broker(make_broker):
    return make_broker().start()


@pytest.fixture(scope="module")
def make_shared(zookeeper, tmp_path_factory):
    """As make_broker, for all tests of a file."""
    factory = Factory(zookeeper, tmp_path_factory.mktemp("shared"))
    yield factory
    factory.end()


@pytest.fixture(scope="module")
def shared_broker(make_shared):
    """For tests that only look at topics of their own."""
    return make_shared().start()


@pytest.fixture
def topic(request, shared_broker):
    """A topic of this test's own on the shared broker."""
    name = f"topic-{next(_chroots)}"
    harness.create_topic(shared_broker, name)
    return name
