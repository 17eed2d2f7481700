# SPDX-License-Identifier: Apache-2.0
"""tools/quickstart: a cluster of three in one command; whom `stop` ends, and
whom it lets live."""

import os
import subprocess
import sys

import pytest

import harness

pytestmark = pytest.mark.ours
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def process(tmp_path):
    """process(name, *words): a sleeper that calls itself so; its pid is in
    the file of the broker."""
    made = []

    def make(name, *words):
        made.append(subprocess.Popen([name, "-c", SLEEP, *map(str, words)],
                                     executable=sys.executable))
        (tmp_path / "broker.pid").write_text(f"{made[-1].pid}\n")
        return made[-1]
    yield make
    for p in made:
        p.kill()
        p.wait()


def quickstart(folder, *arguments, **how):
    return subprocess.run(
        [harness.TOP / "tools" / "quickstart", *arguments],
        capture_output=True, timeout=300, env={
            **os.environ, "QUICKSTART_DIR": str(folder),
            "QUICKSTART_BUILD": str(harness.BUILD)}, **how)


def stop(folder):
    done = quickstart(folder, "stop", check=True)
    return (done.stdout + done.stderr).decode()


def test_its_own(process, tmp_path):
    ours = process("build/broker/barnabasd", tmp_path / "server.properties")
    # which waits for its end, so we must see to that meanwhile
    stopper = subprocess.Popen(
        [harness.TOP / "tools" / "quickstart", "stop"],
        env={**os.environ, "QUICKSTART_DIR": str(tmp_path)})
    assert ours.wait(60) == -15
    assert stopper.wait(60) == 0
    assert not (tmp_path / "broker.pid").exists()


@pytest.mark.parametrize("name,file", (
    ("less", "broker.log"), ("less", "server.properties"),
    ("barnabasd", "other/server.properties")))
def test_a_stranger(process, tmp_path, name, file):
    """The number of a process that was ours is another's now."""
    stranger = process(name, tmp_path / file)
    assert f"pid {stranger.pid}" not in stop(tmp_path)
    assert stranger.poll() is None
    assert not (tmp_path / "broker.pid").exists()


def test_nothing_there(tmp_path):
    stop(tmp_path)
    (tmp_path / "broker.pid").write_text("no number\n")
    stop(tmp_path)


def test_usage(tmp_path):
    for words in (["2"], ["3", "stop"], ["start"]):
        done = quickstart(tmp_path, *words)
        assert done.returncode == 1 and b"usage:" in done.stderr


@pytest.mark.slow
def test_three(tmp_path):
    names = ["broker-1", "broker-2", "broker-3"]
    try:
        said = quickstart(tmp_path, "3", check=True).stdout.decode()
        for name in names:
            assert f"started {name}: 127.0.0.1:" in said
        assert "sent and received:\n    " in said
        assert "Brokers: 3\nTopics: 1, partitions: 3\n" in said
        assert "Under-replicated partitions: 0\n" in said
        # again: nothing is started twice
        again = quickstart(tmp_path, "3", check=True).stdout.decode()
        for name in ["ZooKeeper", *names]:
            assert f"{name} runs already" in again
    finally:
        said = stop(tmp_path)
    for name in [*names, "zookeeper"]:
        assert f"stopped {name} (pid " in said
    assert not list(tmp_path.glob("*.pid"))
