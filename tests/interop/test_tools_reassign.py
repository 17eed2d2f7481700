# SPDX-License-Identifier: Apache-2.0
"""kafka-reassign-partitions and ours on one cluster of two brokers, Kafka's or
ours."""

import itertools
import json

import pytest

import harness
import wire
from both import SIDES, Both, kind_of
from test_replication import hung

_names = itertools.count()


@pytest.fixture(scope="module", params=SIDES)
def cluster(request, new_factory):
    factory = new_factory("reassign-" + request.param)
    brokers = harness.start_cluster(
        lambda n, **options: factory(n, kind=kind_of(request.param),
                                     **options), 2,
        zookeeper_session_timeout_ms=60000,
        auto_leader_rebalance_enable="false")
    yield brokers
    factory.end()


@pytest.fixture
def tools(java, cluster):
    return Both(java, cluster[0], "reassign-partitions",
                "kafka-reassign-partitions")


@pytest.fixture
def make(cluster):
    """make((0, 1), ...): the name of a topic that lies so."""
    def topic(*replicas):
        name = f"moved-{next(_names)}"
        with wire.Client(cluster[0].address) as client:
            told = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
                "Name": name, "NumPartitions": -1, "ReplicationFactor": -1,
                "Assignments": [
                    {"PartitionIndex": i, "BrokerIds": list(ids)}
                    for i, ids in enumerate(replicas)]}])["Topics"][0]
        assert told["ErrorCode"] == 0, told
        for broker in cluster:
            harness.wait_topic(broker, name, len(replicas))
        return name
    return topic


@pytest.fixture
def file_of(tmp_path):
    def write(content):
        path = tmp_path / f"file-{next(_names)}.json"
        path.write_text(content if isinstance(content, str)
                        else json.dumps(content))
        return path
    return write


def wanted(*parts):
    """parts: (topic, partition, replicas)"""
    return {"version": 1, "partitions": [
        {"topic": t, "partition": p, "replicas": list(r)}
        for t, p, r in parts]}


def in_lines(out):
    """Kafka's tool ends one sentence without an end of the line."""
    text = b"moves are active."
    return out.replace(text + b"\n", text).replace(text, text + b"\n")


def test_verify(tools, make, file_of):
    topic = make((0,), (1,), (0,))
    verify = ("--verify", "--reassignment-json-file")
    for parts, clears in (
            (((topic, 0, (0,)),), True),
            (((topic, 2, (0,)), (topic, 1, (1,)), (topic, 0, (0, 1))), True),
            (((topic, 0, (1, 0)), (topic, 1, (0,))), True),
            (((topic, 7, (0,)),), False), (((topic + "-no", 0, (1,)),), False)):
        path = file_of(wanted(*parts))
        said = tools.same(*verify, path, "--preserve-throttles")
        assert said.startswith(b"Status of partition reassignment:\n")
        if clears:
            said = tools.same(*verify, path)
            assert b"Clearing topic-level throttles on topic " in said


def test_directories(tools, make, file_of, cluster):
    topic = make((0, 1))
    parts = wanted((topic, 0, (0, 1)))
    for dirs in (["any", str(cluster[1].data)], [str(cluster[0].data)] * 2,
                 ["/no/such", "any"]):
        parts["partitions"][0]["log_dirs"] = dirs
        said = tools.same("--verify", "--reassignment-json-file",
                          file_of(parts))
        assert (b" completed successfully." if "/no" not in dirs[0]
                else b"is not being moved from log dir") in said
    path = file_of(parts)
    execute = ("--execute", "--reassignment-json-file", path)
    (status, theirs), (ours_status, ours) = tools.kafka(
        *execute), tools.ours(*execute)
    assert status == ours_status == 1
    # Kafka's tool writes the error behind it, with a trace.
    assert theirs.startswith(ours) and b"Successfully started" in ours


def test_generate(tools, make, file_of):
    topic = make((0, 1), (0, 1), (1, 0))
    path = file_of({"version": 1, "topics": [{"topic": topic}]})
    for more in ((), ("--disable-rack-aware",)):
        generate = ("--generate", "--topics-to-move-json-file", path,
                    "--broker-list", "0,1", *more)
        theirs, ours = tools.kafka(*generate), tools.ours(*generate)
        rows = [out.decode().splitlines() for _, out in (theirs, ours)]
        assert theirs[0] == ours[0] == 0
        assert rows[0][:4] == rows[1][:4] and [len(r) for r in rows] == [5, 5]
        # Where it begins is left to chance.
        now, then = (json.loads(r[4]) for r in rows)
        for said in (now, then):
            for part in said["partitions"]:
                part["replicas"].sort()
        assert now == then


def throttled(tools, topic, are):
    """What is told of the topic and both brokers, who apply an option some
    time after it was answered: when all have it, or none any more."""
    rows = []

    def told():
        rows[:] = [tools.described(*entity) for entity in (
            ("--topic", topic), ("--broker", 0), ("--broker", 1))]
        return all((b"throttled" in out) == are and b"=50000000" not in out
                   for _, out in rows)
    harness.wait_until(told, what="all are told of the throttle")
    return rows


def test_execute(tools, make, file_of):
    """Each moves a topic of its own, and each sees the other's."""
    said = []
    for run, other in ((tools.kafka, tools.ours), (tools.ours, tools.kafka)):
        topic = make((0,), (0,), (1,))
        path = file_of(wanted(*((topic, i, (1, 0)) for i in range(3))))
        execute = ("--execute", "--reassignment-json-file", path)
        verify = ("--verify", "--reassignment-json-file", path)
        rows = [run(*execute, "--throttle", 50000000)]

        def done():
            return b"in progress" not in other(
                *verify, "--preserve-throttles")[1]
        harness.wait_until(done, what="it has moved")
        rows.append(run(*execute, "--throttle", 60000000, "--additional",
                        "--replica-alter-log-dirs-throttle", 70000000))
        rows += throttled(tools, topic, True)
        rows.append(other(*verify))
        rows += throttled(tools, topic, False)
        assert rows[0][0] == rows[1][0] == 0
        said.append([(status, out.replace(topic.encode(), b"T"))
                     for status, out in rows])
    assert said[0] == said[1]
    assert (b"leader.replication.throttled.replicas=0:0,0:1,1:0,1:1,2:0,2:1 "
            in said[0][2][1])


def test_under_way(tools, make, file_of, cluster):
    topic = make((0,), (0,))
    path = file_of(wanted((topic, 0, (1, 0)), (topic, 1, (0,))))
    for run in (tools.kafka, tools.ours):
        with hung(cluster[1]):  # for less than its session
            status, out = run("--execute", "--reassignment-json-file", path)
            assert status == 0, out
            assert b"adding: 1." in tools.same("--list")
            said = tools.same("--verify", "--reassignment-json-file", path)
            assert b"is still in progress" in said
            tools.both_fail("--execute", "--reassignment-json-file", path)
            # That only adds: Kafka's tool does not take it back.
            cancel = ("--cancel", "--reassignment-json-file", path,
                      "--preserve-throttles")
            if run == tools.kafka:
                assert b"None of the specified" in run(*cancel)[1]
            status, out = tools.ours(*cancel)
            assert status == 0
            assert out.startswith(b"Successfully cancelled partition "
                                  b"reassignment for: " + topic.encode())
            assert tools.same("--list") == (
                b"No partition reassignments found.\n")
    # What takes away, too, both take back.
    path = file_of(wanted((topic, 0, (1,)), (topic, 1, (1,))))
    said = []
    with hung(cluster[1]):
        for run in (tools.kafka, tools.ours):
            assert run("--execute", "--reassignment-json-file", path)[0] == 0
            status, out = run("--cancel", "--reassignment-json-file", path,
                              "--preserve-throttles")
            said.append((status, in_lines(out)))
        assert said[0] == said[1] and said[0][0] == 0
    theirs, ours = (
        run("--cancel", "--reassignment-json-file", path)
        for run in (tools.kafka, tools.ours))
    assert in_lines(theirs[1]) == ours[1] and theirs[0] == ours[0] == 0


@pytest.mark.parametrize("arguments", (
    (), ("--list", "--verify"), ("--verify",), ("--execute",), ("--cancel",),
    ("--generate",), ("--generate", "--broker-list", "0"),
    ("--list", "--throttle", "7"), ("--list", "--timeout", "7"),
    ("--list", "--broker-list", "0"), ("--list", "--additional"),
    ("--verify", "--reassignment-json-file", "FILE", "--additional"),
    ("--execute", "--reassignment-json-file", "FILE",
     "--preserve-throttles"),
    ("--execute", "--reassignment-json-file", "/nowhere/x"),
))
def test_wrong_options(tools, make, file_of, arguments):
    path = file_of(wanted((make((0,)), 0, (0,))))
    tools.both_fail(*(path if a == "FILE" else a for a in arguments))


@pytest.mark.parametrize("content", (
    "", "{", "7", '{"version":2}', '{"partitions":7}', '{"partitions":[7]}',
    '{"partitions":[]}', '{"partitions":[{"topic":"T","partition":0}]}',
    '{"partitions":[{"topic":"T","partition":0,"replicas":[]}]}',
    '{"partitions":[{"topic":"T","partition":0,"replicas":[0,0]}]}',
    '{"partitions":[{"topic":"T","partition":0,"replicas":[7]}]}',
    '{"partitions":[{"topic":"T","partition":9,"replicas":[0]}]}',
    '{"partitions":[{"topic":"no","partition":0,"replicas":[0]}]}',
    '{"partitions":[{"topic":"T","partition":0,"replicas":[0]},'
    '{"topic":"T","partition":0,"replicas":[0]}]}',
    '{"partitions":[{"topic":"T","partition":0,"replicas":[0],'
    '"log_dirs":[]}]}',
))
def test_wrong_files(tools, make, file_of, content):
    path = file_of(content.replace("T", make((0,))))
    tools.both_fail("--execute", "--reassignment-json-file", path)


def test_health(cluster, make):
    """Of Kafka's brokers as of ours."""
    make((0, 1), (1, 0))

    def well():
        done = harness.tool(cluster[0], "cluster", "health", "--output",
                            "json", "--free-percent", 0, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None
    told = harness.wait_until(well, what="all is well")
    assert told["healthy"] is True and told["controller"] == 0
    assert told["troubles"] == told["notKnown"] == []
    for broker, row in zip(cluster, told["brokers"]):
        assert row["host"] == broker.host and row["port"] == broker.port
        [directory] = row["logDirs"]
        assert directory["logDir"] == str(broker.data)
        assert 0 < directory["usableBytes"] <= directory["totalBytes"]
    with hung(cluster[1]):
        done = harness.tool(cluster[0], "cluster", "health", "--timeout", 5000,
                            check=False)
        assert done.returncode == 1
        assert b"broker 1 does not tell of its directories" in done.stdout


# --- one of the two is away --------------------------------------------------

def parts_of(broker, topic):
    with wire.Client(broker.address) as client:
        told = client.call("Metadata", 7, Topics=[{"Name": topic}],
                           AllowAutoTopicCreation=False)["Topics"][0]
    return {p["PartitionIndex"]: (p["LeaderId"], sorted(p["IsrNodes"]))
            for p in told["Partitions"]}


def in_sync(cluster, topic, *brokers):
    harness.wait_until(
        lambda: all(isr == list(brokers) for b in cluster
                    for _, isr in parts_of(b, topic).values()),
        what=f"{topic} is in sync on {brokers}")


def test_filters_while_one_is_away(java, cluster, make):
    topics = Both(java, cluster[0], "topics", "kafka-topics")
    two, alone, strict = make((0, 1), (1, 0)), make((1,)), make((0, 1))
    with wire.Client(cluster[0].address) as client:
        told = client.call("IncrementalAlterConfigs", 1, ValidateOnly=False,
                           Resources=[{
                               "ResourceType": 2, "ResourceName": strict,
                               "Configs": [{"Name": "min.insync.replicas",
                                            "ConfigOperation": 0,
                                            "Value": "2"}]}])
    assert told["Responses"][0]["ErrorCode"] == 0, told
    cluster[1].stop()
    try:
        in_sync(cluster[:1], two, 0)
        in_sync(cluster[:1], strict, 0)
        harness.wait_until(
            lambda: parts_of(cluster[0], alone)[0][0] == -1,
            what=f"{alone} has no leader")
        for wanted_topics, name in (
                ((two, strict), "--under-replicated-partitions"),
                ((alone,), "--unavailable-partitions"),
                ((strict,), "--under-min-isr-partitions"),
                ((two,), "--at-min-isr-partitions"),
                ((strict,), "--topics-with-overrides")):
            said = topics.same("--describe", name, ordered=False)
            for topic in wanted_topics:
                assert any(topic.encode() in line for line in said), name
    finally:
        cluster[1].start()
    under = ("topics", "--describe", "--under-replicated-partitions")
    harness.wait_until(lambda: harness.tool(cluster[0], *under).stdout == b"",
                       what="all topics are in sync")
    assert topics.same(*under[1:]) == b""


def test_preferred_leaders_after_a_stop(java, cluster, make):
    tools = Both(java, cluster[0], "leader-election", "kafka-leader-election")
    names = [make((1, 0)), make((1, 0))]
    for name in names:
        in_sync(cluster, name, 0, 1)
    cluster[1].stop()
    for name in names:
        in_sync(cluster[:1], name, 0)
    cluster[1].start()
    for run, name in zip((tools.kafka, tools.ours), names):
        in_sync(cluster, name, 0, 1)
        assert parts_of(cluster[0], name)[0][0] == 0
        assert run("--election-type", "preferred", "--topic", name,
                   "--partition", 0) == (
            0, b"Successfully completed leader election (PREFERRED) for "
               b"partitions " + name.encode() + b"-0\n")
        harness.wait_until(lambda: parts_of(cluster[0], name)[0][0] == 1,
                           what=f"{name} is led by its preferred leader")


@pytest.mark.slow
def test_unclean_leaders(java, cluster, make):
    """Partitions whose only replica in sync is away; of one there is no
    other."""
    tools = Both(java, cluster[0], "leader-election", "kafka-leader-election")
    names, alone = [make((1, 0)), make((1, 0))], make((1,))
    for name in names:
        in_sync(cluster, name, 0, 1)
    cluster[0].stop()
    try:
        for name in names:
            in_sync(cluster[1:], name, 1)
            with wire.Client(cluster[1].address) as client:
                assert wire.produce(client, name, wire.batch([b"x"]))[
                    "ErrorCode"] == 0
    finally:
        cluster[1].stop()
        cluster[0].start()
    unclean = ("--election-type", "unclean", "--partition", 0, "--topic")
    try:
        for name in (*names, alone):
            harness.wait_until(lambda n=name: parts_of(cluster[0], n).get(
                0) == (-1, [1]), what=f"{name} has no leader")
        for run, name in zip((tools.kafka, tools.ours), names):
            assert run(*unclean, name) == (
                0, b"Successfully completed leader election (UNCLEAN) for "
                   b"partitions " + name.encode() + b"-0\n")
            harness.wait_until(
                lambda n=name: parts_of(cluster[0], n)[0] == (0, [0]),
                what=f"{name} is led by who was not in sync")
        assert b"already elected" in tools.same(*unclean, names[0])
        theirs, ours = (run(*unclean, alone)
                        for run in (tools.kafka, tools.ours))
        assert ours[0] == theirs[0] == 1
        assert theirs[1].startswith(ours[1]) and alone.encode() in ours[1]
    finally:
        cluster[1].start()
    for name in names:
        in_sync(cluster, name, 0, 1)
        with wire.Client(cluster[0].address) as client:
            assert wire.read_all(client, name) == []
