# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the functional tests."""

import importlib.util
import logging
import pathlib

_path = pathlib.Path(__file__).resolve().parents[1] / "functional/conftest.py"
_spec = importlib.util.spec_from_file_location("functional_conftest", _path)
_functional = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_functional)

pytest_configure = _functional.pytest_configure
zookeeper = _functional.zookeeper
own_zookeeper = _functional.own_zookeeper
make_broker = _functional.make_broker
broker = _functional.broker

# kafka-python tells every broken connection
logging.getLogger("kafka").setLevel(logging.CRITICAL)
