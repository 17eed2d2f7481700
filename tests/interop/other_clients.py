# SPDX-License-Identifier: Apache-2.0
"""Builds the programs of tests/interop/clients, each on a client of its own
registry; a copy of the sources is built, the tree stays as it is."""

import os
import pathlib
import shutil
import subprocess

import pytest

from both import SHORT

SOURCES = pathlib.Path(__file__).with_name("clients")
BUILD_SECONDS = 3600


def _build(folder, language, needs, *command, **environment):
    if shutil.which(needs) is None:
        pytest.skip(f"no {needs}")
    copy = folder / language
    shutil.copytree(SOURCES / language, copy, dirs_exist_ok=True)
    done = subprocess.run(command, cwd=copy, capture_output=True,
                          timeout=BUILD_SECONDS,
                          env={**os.environ, **environment})
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4000:]
    return copy


def go(folder, name):
    copy = _build(folder, "go", "go", "go", "build", "-o", f"bin/{name}",
                  f"./{name}", GOFLAGS="-mod=mod")
    return [str(copy / "bin" / name)]


def node(folder, program="kafkajs.js"):
    copy = _build(folder, "node", "npm", "npm", "install", "--no-audit",
                  "--no-fund", "--ignore-scripts")
    return ["node", str(copy / program)]


def rust(folder):
    """librdkafka, which comes with the crate, is compiled: minutes, which a
    short run does not take.  Python's comes from the same source."""
    if SHORT:
        pytest.skip("left to longer runs: minutes to compile")
    copy = _build(folder, "rust", "cargo", "cargo", "build", "--release", "-q")
    return [str(copy / "target/release/barnabas-tests-clients")]


def python(folder):
    """Python itself, with the librdkafka of PyPI."""
    copy = _build(folder, "python", "pip3", "/usr/bin/python3", "-m", "pip",
                  "install", "-q", "--no-deps", "--target", "site", "-r",
                  "requirements.txt")
    return ["env", f"PYTHONPATH={copy / 'site'}", "/usr/bin/python3"]


# The same programs; members of groups when the first argument is "member".
MEMBERS = {"kafkajs": lambda folder: node(folder, "member.js")}
MAKERS = {
    "franz-go": lambda folder: go(folder, "franz"),
    "sarama": lambda folder: go(folder, "sarama"),
    "kafkajs": node,
    "rust-rdkafka": rust,
}
