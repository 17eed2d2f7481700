# SPDX-License-Identifier: Apache-2.0
"""`barnabas reassign-partitions` with three brokers: replicas move to other
brokers and directories, throttled, watched, taken back.  What Kafka's own tool
says of the same is in tests/interop/test_tools_reassign.py."""

import itertools
import json
import subprocess

import pytest

import harness
from test_replication import hung

_names = itertools.count()
RATES = ("leader.replication.throttled.rate",
         "follower.replication.throttled.rate")
REPLICAS = ("leader.replication.throttled.replicas",
            "follower.replication.throttled.replicas")


@pytest.fixture(scope="module")
def cluster(make_shared):
    def two_disks(broker):
        broker.set(log_dirs=",".join(
            str(broker.folder / f"disk-{i}") for i in range(2)))
    # Who is stopped for a while stays registered.
    return harness.start_cluster(make_shared, 3, two_disks,
                                 zookeeper_session_timeout_ms=60000)


@pytest.fixture
def name():
    return f"moved-{next(_names)}"


@pytest.fixture
def file_of(tmp_path):
    """file_of(dict): a file with it."""
    def write(content):
        path = tmp_path / f"file-{next(_names)}.json"
        path.write_text(json.dumps(content))
        return path
    return write


def wanted(topic, *replicas, dirs=None):
    """What --reassignment-json-file takes, from partition 0 on."""
    return {"version": 1, "partitions": [
        {"topic": topic, "partition": i, "replicas": list(ids),
         **({"log_dirs": dirs[i]} if dirs else {})}
        for i, ids in enumerate(replicas)]}


def reassign(cluster, *arguments, **how):
    return harness.tool(cluster[0], "reassign-partitions", *arguments, **how)


def text(cluster, *arguments):
    return reassign(cluster, *arguments).stdout.decode()


def answer(cluster, *arguments):
    return json.loads(
        reassign(cluster, *arguments, "--output", "json").stdout)


def fails(cluster, *arguments):
    """Its standard error; nothing is printed."""
    done = reassign(cluster, *arguments, check=False)
    assert done.returncode == 1 and done.stderr and not done.stdout, done
    return done.stderr.decode()


def make(cluster, topic, *replicas, count=50):
    """With records in each partition."""
    harness.tool(cluster[0], "topics", "--create", "--topic", topic,
                 "--replica-assignment",
                 ",".join(":".join(map(str, ids)) for ids in replicas))
    for broker in cluster:
        harness.wait_topic(broker, topic, len(replicas))
    for partition in range(len(replicas)):
        harness.kcat(cluster[0], "-P", "-t", topic, "-p", partition, "-X",
                     "acks=all", stdin=lines(count))


def lines(count):
    return b"".join(b"%d\n" % n for n in range(count))


def read(cluster, topic, partition):
    return harness.kcat(cluster[0], "-C", "-t", topic, "-p", partition, "-o",
                        "beginning", "-e", "-q")


def wait_replicas(cluster, topic, *expected):
    """Until each broker tells so, from partition 0 on."""
    def told():
        for broker in cluster:
            [found] = json.loads(harness.tool(
                broker, "topics", "--describe", "--topic", topic, "--output",
                "json").stdout)["topics"]
            if [tuple(p["replicas"]) for p in found["partitions"]] != list(
                    expected):
                return False
        return True
    harness.wait_until(told, what=f"{topic} lies on {expected}")


def verified(cluster, path, *more):
    """The text of --verify, once nothing moves any more."""
    def done():
        said = text(cluster, "--verify", "--reassignment-json-file", path,
                    *more)
        return None if "in progress" in said else said
    return harness.wait_until(done, what="the moves have ended")


def configs(cluster, *entity):
    """{name: value} that is set for the entity alone."""
    [found] = json.loads(harness.tool(
        cluster[0], "configs", "--describe", *entity, "--output",
        "json").stdout)["entities"]
    return {c["name"]: c["value"] for c in found["configs"]}


def test_generate_execute_verify(cluster, name, file_of):
    make(cluster, name, (0, 1), (0, 2), (0, 1))
    topics = file_of({"version": 1, "topics": [{"topic": name}]})
    generate = ("--generate", "--topics-to-move-json-file", topics,
                "--broker-list", "1,2")
    said = text(cluster, *generate).splitlines()
    assert said[0] == "Current partition replica assignment"
    assert said[2:4] == ["", "Proposed partition reassignment configuration"]
    now, proposed = json.loads(said[1]), json.loads(said[4])
    assert len(said) == 5
    assert [p["replicas"] for p in now["partitions"]] == [
        [0, 1], [0, 2], [0, 1]]
    assert [(p["topic"], p["partition"], sorted(p["replicas"]), p["log_dirs"])
            for p in proposed["partitions"]] == [
        (name, i, [1, 2], ["any", "any"]) for i in range(3)]
    assert answer(cluster, *generate)["current"] == now
    path = file_of(proposed)
    said = text(cluster, "--execute", "--reassignment-json-file", path)
    assert said == (
        "Current partition replica assignment\n\n"
        + json.dumps(now, separators=(",", ":")) +
        "\n\nSave this to use as the --reassignment-json-file option during "
        "rollback\n"
        f"Successfully started partition reassignments for {name}-0,{name}-1,"
        f"{name}-2\n")
    said = verified(cluster, path)
    assert said == (
        "Status of partition reassignment:\n"
        + "".join(f"Reassignment of partition {name}-{i} is completed.\n"
                  for i in range(3)) +
        "\nClearing broker-level throttles on brokers 0,1,2\n"
        f"Clearing topic-level throttles on topic {name}\n")
    wait_replicas(cluster, name,
                  *(tuple(p["replicas"]) for p in proposed["partitions"]))
    for partition in range(3):
        assert read(cluster, name, partition) == lines(50)
    harness.wait_until(
        lambda: not list(cluster[0].folder.glob(f"disk-*/{name}-?")),
        what="broker 0 has nothing of it")
    # and back, with what --execute printed
    assert answer(cluster, "--execute", "--reassignment-json-file",
                  file_of(now)) == {"current": proposed, "started": True}
    verified(cluster, file_of(now))
    wait_replicas(cluster, name, (0, 1), (0, 2), (0, 1))


def test_throttles(cluster, name, file_of):
    make(cluster, name, (0, 1), (1, 2))
    path = file_of(wanted(name, (0, 2), (1, 2)))
    said = text(cluster, "--execute", "--reassignment-json-file", path,
                "--throttle", 1000000).splitlines()
    assert said[-3:] == [
        "Warning: You must run --verify periodically, until the reassignment "
        "completes, to ensure the throttle is removed.",
        "The inter-broker throttle limit was set to 1000000 B/s",
        f"Successfully started partition reassignments for {name}-0,{name}-1"]
    assert configs(cluster, "--topic", name) == dict(
        zip(REPLICAS, ("0:0,0:1,1:1,1:2", "0:2")))
    for broker in range(3):
        assert configs(cluster, "--broker", broker) == dict.fromkeys(
            RATES, "1000000")
    said = verified(cluster, path, "--preserve-throttles")
    assert "Clearing" not in said
    assert configs(cluster, "--topic", name)
    # another rate, and what is done already
    said = answer(cluster, "--execute", "--reassignment-json-file", path,
                  "--throttle", 2000000, "--additional")
    assert said["throttle"] == 2000000
    assert configs(cluster, "--broker", 2) == dict.fromkeys(RATES, "2000000")
    told = answer(cluster, "--verify", "--reassignment-json-file", path)
    assert told["throttlesCleared"] is True
    assert {p["state"] for p in told["partitions"]} == {"completed"}
    assert configs(cluster, "--topic", name) == {}
    for broker in range(3):
        assert configs(cluster, "--broker", broker) == {}
    assert read(cluster, name, 0) == lines(50)


def test_under_way(cluster, name, file_of):
    """The destination does nothing for a while."""
    make(cluster, name, (0,), (1,))
    path = file_of(wanted(name, (1, 2), (1,)))
    other = file_of(wanted(name, (0,), (1,)))
    execute = ("--execute", "--reassignment-json-file")
    assert text(cluster, "--list") == "No partition reassignments found.\n"
    with hung(cluster[2]):
        text(cluster, *execute, path)
        assert text(cluster, "--list") == (
            "Current partition reassignments:\n"
            f"{name}-0: replicas: 1,2,0. adding: 1,2. removing: 0.\n")
        assert answer(cluster, "--list") == {"reassignments": [{
            "topic": name, "partition": 0, "replicas": [1, 2, 0],
            "addingReplicas": [1, 2], "removingReplicas": [0]}]}
        assert text(cluster, "--verify", "--reassignment-json-file",
                    path) == (
            "Status of partition reassignment:\n"
            f"Reassignment of partition {name}-0 is still in progress.\n"
            f"Reassignment of partition {name}-1 is completed.\n\n")
        assert "there is an existing partition assignment" in fails(
            cluster, *execute, other)
        # The moves that stand in the file, and no other ones.
        assert text(cluster, "--cancel", "--preserve-throttles",
                    "--reassignment-json-file", other) == (
            f"Successfully cancelled partition reassignment for: {name}-0\n"
            "None of the specified partition moves are active.\n")
        wait_replicas(cluster[:2], name, (0,), (1,))
        # What only adds replicas can be taken back, too.
        text(cluster, *execute, file_of(wanted(name, (0, 2))))
        text(cluster, "--additional", *execute, file_of(
            {"partitions": wanted(name, (), (1,))["partitions"][1:]}))
        assert text(cluster, "--cancel", "--preserve-throttles",
                    "--reassignment-json-file", path).startswith(
            f"Successfully cancelled partition reassignment for: {name}-0\n")
        assert text(cluster, "--list") == "No partition reassignments found.\n"
    wait_replicas(cluster, name, (0,), (1,))
    assert text(cluster, "--cancel", "--reassignment-json-file", path) == (
        "None of the specified partition reassignments are active.\n"
        "None of the specified partition moves are active.\n"
        "Clearing broker-level throttles on brokers 0,1,2\n"
        f"Clearing topic-level throttles on topic {name}\n")
    assert text(cluster, "--verify", "--reassignment-json-file", path) == (
        "Status of partition reassignment:\n"
        f"There is no active reassignment of partition {name}-0, but replica "
        "set is 0 rather than 1,2.\n"
        f"Reassignment of partition {name}-1 is completed.\n\n"
        "Clearing broker-level throttles on brokers 0,1,2\n"
        f"Clearing topic-level throttles on topic {name}\n")
    assert read(cluster, name, 0) == lines(50)


def test_directories(cluster, name, file_of):
    """A replica goes to another broker, and there to a directory; another one
    to the other directory of its broker."""
    def disk(broker, number):
        return str(cluster[broker].folder / f"disk-{number}")

    make(cluster, name, (0,), (1,))
    [at] = [d for d in range(2) if list(
        cluster[1].folder.glob(f"disk-{d}/{name}-1"))]
    path = file_of(wanted(name, (0, 2), (1,), dirs=[
        ["any", disk(2, 1)], [disk(1, 1 - at)]]))
    said = text(cluster, "--execute", "--reassignment-json-file", path,
                "--replica-alter-log-dirs-throttle", 10000000,
                "--timeout", 60000).splitlines()
    assert "The replica-alter-dir throttle limit was set to 10000000 B/s" in (
        said)
    # In the order in which the brokers have them.
    assert sorted(said[-2:]) == sorted((
        f"Successfully started moving log directory to {disk(1, 1 - at)} for "
        f"replica {name}-1 with broker 1 ",
        f"Successfully started moving log directory to {disk(2, 1)} for "
        f"replica {name}-0 with broker 2 "))
    said = verified(cluster, path)
    assert said == (
        "Status of partition reassignment:\n"
        f"Reassignment of partition {name}-0 is completed.\n"
        f"Reassignment of partition {name}-1 is completed.\n"
        f"Reassignment of replica {name}-1-1 completed successfully.\n"
        f"Reassignment of replica {name}-0-2 completed successfully.\n"
        "Clearing broker-level throttles on brokers 0,1,2\n"
        f"Clearing topic-level throttles on topic {name}\n")
    told = answer(cluster, "--verify", "--reassignment-json-file", path)
    assert [(r["broker"], r["logDir"], r["futureLogDir"])
            for r in told["replicas"]] == [
        (1, disk(1, 1 - at), None), (2, disk(2, 1), None)]
    assert configs(cluster, "--broker", 1) == {}
    for partition in range(2):
        assert read(cluster, name, partition) == lines(50)
    back = file_of(wanted(name, (0, 2), (1,), dirs=[
        ["any", disk(2, 0)], ["any"]]))
    assert text(cluster, "--verify", "--preserve-throttles",
                "--reassignment-json-file", back).splitlines()[3] == (
        f"Partition {name}-0 on broker 2 is not being moved from log dir "
        f"{disk(2, 1)} to {disk(2, 0)}.")
    # What was done is told also where the rest fails.
    done = reassign(
        cluster, "--execute", "--output", "json", "--reassignment-json-file",
        file_of(wanted(name, (0, 2), dirs=[["/no/such", disk(2, 0)]])),
        check=False)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert f"Failed to alter dir for {name}-0-0: LOG_DIR_NOT_FOUND" in said
    assert f"move could be started for: {name}-0-0\n" in said
    told = json.loads(done.stdout)
    assert told["started"] is True
    # One broker's refusal is not the other's.
    assert [r["begun"] for r in told["replicas"]] == [False, True]


def test_directory_of_nobody(cluster, name, file_of):
    """A replica that is in no directory may still come there: what throttles it
    stays, as with Kafka's tool."""
    make(cluster, name, (0,))
    path = file_of(wanted(name, (0, 2), dirs=[
        ["any", str(cluster[2].folder / "disk-1")]]))
    said = text(cluster, "--verify", "--reassignment-json-file", path)
    assert f"{name}-0 is not found in any live log dir on broker 2" in said
    assert "Clearing" not in said


def test_nothing_to_say_it_to(cluster, name, file_of):
    """Who cannot write what stands now changes nothing."""
    make(cluster, name, (0,))
    path = file_of(wanted(name, (1,)))
    for more in ([], ["--output", "json"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [harness.TOOL, "reassign-partitions", "--bootstrap-server",
                 cluster[0].address, "--execute", "--reassignment-json-file",
                 path, *more], stdout=full, stderr=subprocess.PIPE,
                check=False)
        assert done.returncode == 1
        assert b"nothing is changed" in done.stderr, done.stderr
    wait_replicas(cluster, name, (0,))


def test_directory_of_the_silent(cluster, name, file_of, tmp_path):
    """The broker that is to move the replica does not answer in time."""
    make(cluster, name, (0,))
    impatient = tmp_path / "client.properties"
    impatient.write_text("request.timeout.ms=3000\n")
    path = file_of(wanted(name, (0, 2), dirs=[
        ["any", str(cluster[2].folder / "disk-1")]]))
    with hung(cluster[2]):
        done = reassign(
            cluster, "--execute", "--reassignment-json-file", path,
            "--timeout", 3000, "--command-config", impatient, check=False)
        assert done.returncode == 1
        assert done.stdout.endswith(
            b"Successfully started partition reassignment for "
            + f"{name}-0\n".encode())
        assert ("Timed out before log directory move could be started for: "
                f"{name}-0-2\n") in done.stderr.decode()
    assert "is completed" in verified(cluster, path)


def test_wrong(cluster, name, file_of, tmp_path):
    make(cluster, name, (0, 1), count=1)

    def execute(content):
        return fails(cluster, "--execute", "--reassignment-json-file",
                     file_of(content))
    assert "Unknown broker id 7" in execute(wanted(name, (0, 7)))
    assert "Topic no-such not found" in execute(wanted("no-such", (0,)))
    assert f"Unable to find partition: {name}-1, {name}-2" in execute(
        wanted(name, (0,), (0,), (0,)))
    assert "duplicate entries" in execute(wanted(name, (1, 1)))
    assert "cannot be empty" in execute(wanted(name))
    assert "Topic no-such not found" in fails(
        cluster, "--generate", "--broker-list", "0,1",
        "--topics-to-move-json-file",
        file_of({"topics": [{"topic": "no-such"}]}))
    done = reassign(
        cluster, "--generate", "--broker-list", "0,9",
        "--topics-to-move-json-file",
        file_of({"topics": [{"topic": name}]}), check=False)
    assert done.returncode == 1 and not done.stdout
    assert b"broker 9 is not there" in done.stderr
    assert b"Replication factor: 2 larger than available brokers: 1." in (
        done.stderr)
    # What is gone is told, and its throttles cannot be cleared.
    done = reassign(cluster, "--verify", "--reassignment-json-file",
                    file_of(wanted("no-such", (0,))), check=False)
    assert done.returncode == 1
    assert b"but replica set is  rather than 0." in done.stdout
    assert b"UNKNOWN_TOPIC_OR_PARTITION" in done.stderr
    # Throttles of a broker that is gone cannot be cleared, all others are.
    harness.tool(cluster[0], "configs", "--alter", "--broker", 1,
                 "--add-config", f"{RATES[0]}=5")
    done = reassign(cluster, "--verify", "--reassignment-json-file",
                    file_of(wanted(name, (0, 7))), check=False)
    assert done.returncode == 1
    assert b"broker 7 is not there" in done.stderr
    assert configs(cluster, "--broker", 1) == {}
    wait_replicas(cluster, name, (0, 1))
