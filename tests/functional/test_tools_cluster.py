# SPDX-License-Identifier: Apache-2.0
"""`barnabas` on a cluster of three brokers of which some stop: what `cluster
health` says, which partitions `topics --describe` shows, and leaders that
`leader-election` brings back."""

import itertools
import json
import threading

import pytest

import harness
from test_replication import QUICK, hung, in_sync, state

_names = itertools.count()


@pytest.fixture(scope="module")
def cluster(make_shared):
    # Leaders change where a test has them changed.
    return harness.start_cluster(
        make_shared, 3, lambda b: b.options.update(QUICK),
        auto_leader_rebalance_enable="false",
        zookeeper_session_timeout_ms=18000)


@pytest.fixture
def whole(cluster):
    """All run again after the test, and nothing is left of it."""
    yield cluster
    for broker in cluster:
        if broker.process is None:
            broker.start()
    if topics(cluster):
        harness.tool(cluster[0], "topics", "--delete", "--topic", ".*")
    harness.wait_until(lambda: not topics(cluster), what="no topic is left")
    harness.wait_until(lambda: health(cluster)[0] == 0, what="all is well")


@pytest.fixture
def name():
    return f"health-{next(_names)}"


def make(cluster, topic, *replicas, **configs):
    harness.tool(
        cluster[0], "topics", "--create", "--topic", topic,
        "--replica-assignment",
        ",".join(":".join(map(str, ids)) for ids in replicas),
        *(w for k, v in configs.items()
          for w in ("--config", f"{k.replace('_', '.')}={v}")))
    for broker in cluster:
        harness.wait_topic(broker, topic, len(replicas))
    for p, ids in enumerate(replicas):
        harness.wait_until(
            lambda p=p, ids=ids: sorted(state(cluster[0], topic, p)["isr"])
            == sorted(ids), what="all are in sync")


def topics(cluster):
    return harness.tool(cluster[0], "topics", "--list").stdout.split()


def health(cluster, *arguments):
    """(exit status, what it says)"""
    done = harness.tool(cluster[0], "cluster", "health", "--output", "json",
                        *arguments, check=False)
    return done.returncode, json.loads(done.stdout)


def wait_health(cluster, *sayings):
    """Until it is bad, and says so, and nothing else."""
    def bad():
        status, told = health(cluster)
        return (status == 1 and told["healthy"] is False
                and len(told["troubles"]) == len(sayings)
                and all(any(s in t for t in told["troubles"])
                        for s in sayings) and told)
    return harness.wait_until(bad, what=f"it says {sayings}")


# --- cluster health ----------------------------------------------------------

def test_healthy(whole, name):
    make(whole, name, (0, 1, 2), (1, 2, 0))
    done = harness.tool(whole[0], "cluster", "health")
    said = done.stdout.decode().splitlines()
    assert said[-1] == "Healthy."
    assert said[1] == "Controller: 0" and said[2] == "Brokers: 3"
    assert "Offline partitions: 0" in said
    assert "Under-replicated partitions: 0" in said
    assert sum(line.startswith("ISR churn: ") for line in said) == 1
    [row] = [line for line in said if line.startswith("1 ")]
    assert whole[1].address in row and str(whole[1].data) in row
    status, told = health(whole)
    assert status == 0 and told["healthy"] is True
    assert told["controller"] == 0 and told["movingPartitions"] == 0
    assert told["changedInMs"] >= 1000
    assert [b["id"] for b in told["brokers"]] == [0, 1, 2]
    for broker, row in zip(whole, told["brokers"]):
        assert row["there"] and f"{row['host']}:{row['port']}" == (
            broker.address)
        [directory] = row["logDirs"]
        assert directory["logDir"] == str(broker.data)
        assert 0 < directory["usableBytes"] <= directory["totalBytes"]
    assert told["troubles"] == told["notKnown"] == []


def test_one_is_gone(whole, name):
    make(whole, name, (2, 1), (0, 2), min_insync_replicas=2)
    make(whole, name + "-all", (0, 1, 2), min_insync_replicas=2)
    make(whole, name + "-alone", (2,))
    whole[2].stop()
    told = wait_health(
        whole, "broker 2 is not there", "1 partitions have no leader",
        "replicas that are not in sync",
        "2 partitions have fewer replicas in sync than min.insync.replicas")
    assert told["offlinePartitions"] == 1
    assert told["underMinIsrPartitions"] == 2
    assert told["brokers"][2]["there"] is False
    done = harness.tool(whole[0], "cluster", "health", check=False)
    assert done.returncode == 1
    assert b"Brokers: 2, missing: 1\n" in done.stdout
    assert b"\nNot healthy:\n" in done.stdout
    whole[2].start()
    harness.wait_until(lambda: health(whole)[0] == 0, what="it is well again")


def test_churn(whole, name):
    """A broker that stops and starts is seen by those who look meanwhile."""
    make(whole, name, (0, 1, 2), (1, 0, 2), (2, 0, 1))
    told, over = [], threading.Event()

    def look(late):
        over.wait(late)
        while not over.is_set():
            told.append(health(whole, "--timeout", 3000)[1])

    def seen():
        return any(t["changedIsrs"] for t in told)
    # One looks while others ask for directories.
    lookers = [threading.Thread(target=look, args=(n * 0.4,))
               for n in range(3)]
    try:
        for looker in lookers:
            looker.start()
        harness.wait_until(lambda: told and not told[-1]["changedPartitions"],
                           what="all is calm")
        # Nobody's two looks need have been around it.
        harness.wait_until(
            lambda: bounce(whole, 2, name, 0, 1, 2) or seen(),
            what="somebody sees it change")
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    assert all(max(t["changedIsrs"], t["changedLeaders"])
               <= t["changedPartitions"] <= 3 for t in told)


@pytest.mark.slow
def test_one_is_silent(whole, name):
    make(whole, name, (0, 1))
    with hung(whole[1]):
        status, told = health(whole, "--timeout", 4000)
        assert status == 1
        assert any("broker 1 does not tell of its directories" in t
                   for t in told["troubles"])
        # Whom it asks first: then it cannot tell.
        done = harness.tool(whole[1], "cluster", "health", "--timeout", 4000,
                            check=False)
        assert done.returncode == 2 and not done.stdout and done.stderr
    # the controller
    with hung(whole[0]):
        done = harness.tool(whole[1], "cluster", "health", "--timeout", 4000,
                            "--output", "json", check=False)
        told = json.loads(done.stdout)
        assert done.returncode == 1 and told["movingPartitions"] is None
        assert any("which partitions move" in t for t in told["notKnown"])


def test_no_room(whole):
    status, told = health(whole, "--free-percent", 100)
    assert status == 1
    assert len(told["troubles"]) == 3
    assert all("less than 100 % of the file system" in t
               for t in told["troubles"])


def test_nobody_there():
    done = harness.run(harness.TOOL, "cluster", "health", "-b",
                       f"127.0.0.1:{harness.free_port()}", "--timeout", 300,
                       check=False)
    assert done.returncode == 2 and not done.stdout and done.stderr


# --- topics --describe -------------------------------------------------------

def shown(cluster, name, *filters):
    """Numbers of topics NAME-NUMBER, as text and as JSON."""
    describe = ("topics", "--describe", "--topic", name + "-.*", *filters)
    found = json.loads(harness.tool(cluster[0], *describe, "--output",
                                    "json").stdout)["topics"]
    names = [t["topic"] for t in found for p in t["partitions"]]
    lines = harness.tool(cluster[0], *describe).stdout.decode().splitlines()
    assert [line.split("\t")[1] for line in lines] == [
        f"Topic: {n}" for n in names]
    return [int(n.rpartition("-")[2]) for n in names]


def test_describe_filters(whole, name):
    for n, ids in enumerate(((0, 1, 2), (2, 1), (2,), (0, 1), (0,))):
        make(whole, f"{name}-{n}", ids, min_insync_replicas=2)
    under, unavailable = ("--under-replicated-partitions",
                          "--unavailable-partitions")
    below, at = "--under-min-isr-partitions", "--at-min-isr-partitions"
    assert shown(whole, name, under) == []
    assert shown(whole, name, unavailable) == []
    # one replica can never be two
    assert shown(whole, name, below) == [2, 4]
    assert shown(whole, name, at) == [1, 3]
    whole[2].stop()
    harness.wait_until(
        lambda: shown(whole, name, unavailable) == [2]
        and shown(whole, name, under) == [0, 1],
        what="what broker 2 had is shown")
    assert shown(whole, name, below) == [1, 2, 4]
    assert shown(whole, name, at) == [0, 3]
    assert shown(whole, name, under, unavailable) == [0, 1, 2]
    whole[2].start()
    in_sync(whole[0], name + "-0", [0, 1, 2])
    harness.wait_until(lambda: shown(whole, name, under, unavailable) == [],
                       what="all are back")


# --- leader-election ---------------------------------------------------------

def elect(cluster, *arguments, **how):
    return harness.tool(cluster[0], "leader-election", *arguments, **how)


def leaders(cluster, topic, count):
    return [state(cluster[0], topic, p)["leader"] for p in range(count)]


def bounce(cluster, number, topic, *partitions):
    """Others lead afterwards, and it is in sync again."""
    cluster[number].stop()
    harness.wait_until(
        lambda: all(state(cluster[0], topic, p)["leader"] != number
                    for p in partitions), what="others lead")
    cluster[number].start()
    harness.wait_until(
        lambda: all(number in state(cluster[0], topic, p)["isr"]
                    for p in partitions), what="it is in sync")


def test_preferred(whole, name, tmp_path):
    make(whole, name, (2, 0), (2, 1), (1, 2), (2, 0))
    bounce(whole, 2, name, 0, 1, 3)
    assert leaders(whole, name, 4) == [0, 1, 1, 0]
    path = tmp_path / "partitions.json"
    path.write_text(json.dumps({"partitions": [
        {"topic": name, "partition": p} for p in (1, 2)]}))
    done = elect(whole, "--election-type", "preferred",
                 "--path-to-json-file", path)
    assert done.stdout.decode() == (
        "Successfully completed leader election (PREFERRED) for partitions "
        f"{name}-1\n"
        f"Valid replica already elected for partitions {name}-2\n")
    harness.wait_until(lambda: leaders(whole, name, 4) == [0, 2, 1, 0],
                       what="partition 1 is led by 2")
    done = elect(whole, "--election-type", "preferred",
                 "--all-topic-partitions", "--output", "json")
    elected = {(p["topic"], p["partition"])
               for p in json.loads(done.stdout)["partitions"]
               if p["elected"]}
    assert {(name, 0), (name, 3)} <= elected
    assert (name, 1) not in elected and (name, 2) not in elected
    assert leaders(whole, name, 4) == [2, 2, 1, 2]


def test_preferred_is_gone(whole, name):
    make(whole, name, (2, 0))
    whole[2].stop()
    harness.wait_until(lambda: leaders(whole, name, 1) == [0],
                       what="the other one leads")
    done = elect(whole, "--election-type", "preferred", "--topic", name,
                 "--partition", 0, check=False)
    assert done.returncode == 1
    assert b"PreferredLeaderNotAvailableException" in done.stdout


def test_unclean(whole, name):
    """The one that was in sync is gone; the other one lacks what was written
    meanwhile."""
    make(whole, name, (1, 2))
    whole[2].stop()
    in_sync(whole[0], name, [1])
    harness.kcat(whole[0], "-P", "-t", name, "-X", "acks=all", stdin=b"one\n")
    whole[1].kill()
    harness.wait_until(lambda: leaders(whole, name, 1) == [-1],
                       what="nobody leads")
    whole[2].start()
    arguments = ("--topic", name, "--partition", 0)

    def elected():
        done = elect(whole, "--election-type", "unclean", *arguments,
                     check=False)
        return done if done.returncode == 0 else None
    done = harness.wait_until(elected, what="an unclean leader")
    assert done.stdout.decode() == (
        "Successfully completed leader election (UNCLEAN) for partitions "
        f"{name}-0\n")
    assert leaders(whole, name, 1) == [2]
    harness.wait_topic(whole[0], name)
    assert harness.kcat(whole[0], "-C", "-t", name, "-o", "beginning", "-e",
                        "-q") == b""
    done = elect(whole, "--election-type", "unclean", *arguments)
    assert done.stdout.decode() == (
        f"Valid replica already elected for partitions {name}-0\n")
