# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the functional tests, and real brokers beside ours."""

import importlib.util
import pathlib

import pytest

_path = pathlib.Path(__file__).resolve().parents[1] / "functional/conftest.py"
_spec = importlib.util.spec_from_file_location("functional_conftest", _path)
_functional = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_functional)

pytest_configure = _functional.pytest_configure
pytest_collection_modifyitems = _functional.pytest_collection_modifyitems
zookeeper = _functional.zookeeper
own_zookeeper = _functional.own_zookeeper
make_broker = _functional.make_broker
broker = _functional.broker


@pytest.fixture(scope="session", autouse=True)
def real_jars():
    """Every test here needs the real Kafka; skipped with a reason without."""
    import real_kafka
    return real_kafka.jars()


@pytest.fixture(scope="session")
def java(tmp_path_factory):
    """Kafka's own tools."""
    import real_kafka
    tools = real_kafka.Tools(tmp_path_factory.mktemp("java"))
    yield tools
    tools.end()


@pytest.fixture(scope="session")
def new_factory(zookeeper, tmp_path_factory):
    """new_factory(name): what make_broker is, for longer than a test; whoever
    asks for it calls its end()."""
    def new(name):
        return _functional.Factory(zookeeper, tmp_path_factory.mktemp(name))
    return new


@pytest.fixture
def make_kafka(make_broker):
    """As make_broker, but the real one; in the same cluster."""
    import real_kafka

    def make(broker_id=0, **options):
        return make_broker(broker_id, kind=real_kafka.RealKafka, **options)
    return make


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """program(maker): the command line that a maker of other_clients gives;
    built once."""
    built = {}
    folder = tmp_path_factory.mktemp("clients")

    def get(maker):
        if maker not in built:
            built[maker] = maker(folder)
        return built[maker]
    return get
