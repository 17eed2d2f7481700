# SPDX-License-Identifier: Apache-2.0
"""The same administration of a real Kafka and of barnabasd, each in a ZooKeeper
tree of its own: the trees differ in ids and times only."""

import json
import re

import pytest

import harness
import wire
from answers import SERVED


def tree(address):
    """{path: (data, version, ephemeral?, acl)}"""
    client = harness.connect_zk(address)
    out = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        data, stat = client.get(path)
        acls, _ = client.get_acls(path)
        out[path] = (data, stat.version, stat.ephemeralOwner != 0,
                     [(a.perms, a.id.scheme, a.id.id) for a in acls])
        todo += [path.rstrip("/") + "/" + child
                 for child in client.get_children(path)]
    client.end()
    return out


def masked(data, broker):
    """Without ids, times and ports; the order of keys stays."""
    if data is None:
        return None
    text = data.decode()
    text = re.sub(r'("(?:topic_)?id":)"[\w-]{22}"', r'\1"ID"', text)
    text = re.sub(r'("timestamp":)"\d+"', r'\1"TIME"', text)
    for n, port in enumerate((broker.port, *broker.more_ports)):
        text = text.replace(str(port), f"PORT-{n}")
    return text


def fill(broker):
    harness.create_topic(broker, "plain")
    harness.create_topic(broker, "three", partitions=3)
    harness.create_topic(broker, "with-configs", partitions=1,
                         retention_ms=1000, segment_bytes=100000)
    with wire.Client(broker.address) as c:
        c.call("CreateTopics", 5, timeoutMs=10000, Topics=[{
            "Name": "assigned", "NumPartitions": -1, "ReplicationFactor": -1,
            "Assignments": [{"PartitionIndex": i, "BrokerIds": [0]}
                            for i in range(2)]}])
        c.call("Metadata", 9, Topics=[{"Name": "auto"}])
        harness.wait_until(lambda: c.call(
            "InitProducerId", 4, TransactionalId=None,
            TransactionTimeoutMs=1000)["ErrorCode"] == 0)
    harness.wait_topic(broker, "auto")


# --- changes -----------------------------------------------------------------

def steps(answer, rows, codes):
    """The errors of an answer's rows, which must be those."""
    found = [row["ErrorCode"] for row in answer[rows]]
    assert found == list(codes), answer


def change_topics(c):
    """More partitions, fewer topics, one that comes again, and what is refused,
    which leaves no trace."""
    def grow(name, count, hand=None, code=0, **more):
        steps(c.call("CreatePartitions", 3, TimeoutMs=20000, Topics=[
            {"Name": name, "Count": count, "Assignments": hand}], **more),
            "Results", [code])
    grow("plain", 3)
    grow("three", 4, [{"BrokerIds": [0]}])
    grow("three", 9, ValidateOnly=True)
    grow("three", 2, code=37)
    grow("assigned", 3, [{"BrokerIds": [7]}], code=39)
    for name in ("gone", "again", "by-id", "with.dots"):
        steps(c.call("CreateTopics", 7, timeoutMs=20000, Topics=[
            {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1,
             "Configs": [{"Name": "retention.ms", "Value": "5"}]}]),
            "Topics", [0])
    for name, code, more in (
            ("a b", 17, {}), ("with_dots", 17, {}), ("plain", 36, {}),
            ("no-config", 40, {"Configs": [{"Name": "x", "Value": "1"}]}),
            ("too-wide", 38, {"ReplicationFactor": 5})):
        steps(c.call("CreateTopics", 7, timeoutMs=20000, Topics=[
            {"Name": name, "NumPartitions": 1, "ReplicationFactor": 1,
             **more}]), "Topics", [code])
    steps(c.call("CreateTopics", 7, timeoutMs=20000, validateOnly=True,
                 Topics=[{"Name": "validated", "NumPartitions": 1,
                          "ReplicationFactor": 1}]), "Topics", [0])
    steps(c.call("DeleteTopics", 5, TimeoutMs=20000, TopicNames=[
        "gone", "again", "nowhere"]), "Responses", [0, 0, 3])
    topic = c.call("Metadata", 12, Topics=[{"Name": "by-id"}])["Topics"][0]
    steps(c.call("DeleteTopics", 6, TimeoutMs=20000, Topics=[
        {"Name": None, "TopicId": topic["TopicId"]}]), "Responses", [0])


def wait_gone(broker, *names):
    """Kafka answers before its nodes are gone."""
    client = harness.connect_zk(broker)
    harness.wait_until(
        lambda: not client.get_children("/admin/delete_topics") and not any(
            client.exists("/brokers/topics/" + n)
            for n in names), what="topics are deleted")
    client.end()


def change_configs(c):
    """Of topics and brokers: all at once, one by one, and refused ones."""
    topic, broker, logger = 2, 4, 8

    def alter(kind, name, code=0, **values):
        steps(c.call("AlterConfigs", 2, Resources=[
            {"ResourceType": kind, "ResourceName": name, "Configs": [
                {"Name": k.replace("_", "."), "Value": v}
                for k, v in values.items()]}]), "Responses", [code])

    def tune(kind, name, *changes, code=0, **more):
        steps(c.call("IncrementalAlterConfigs", 1, Resources=[
            {"ResourceType": kind, "ResourceName": name, "Configs": [
                {"Name": k, "ConfigOperation": op, "Value": v}
                for k, op, v in changes]}], **more), "Responses", [code])
    alter(topic, "plain", retention_ms="1234", segment_bytes="100000")
    alter(topic, "plain", retention_ms="4321")
    alter(topic, "three", code=40, no_such="1")
    alter(topic, "nowhere", code=3, retention_ms="1")
    tune(topic, "with-configs", ("retention.ms", 1, None),
         ("flush.messages", 0, "7"))
    tune(topic, "with-configs", ("flush.messages", 0, "-7"), code=40)
    tune(topic, "three", ("leader.replication.throttled.replicas", 0, "0:0"))
    tune(topic, "three", ("leader.replication.throttled.replicas", 2, "1:0"))
    tune(topic, "three", ("leader.replication.throttled.replicas", 3, "0:0"))
    tune(topic, "assigned", ("retention.ms", 0, "9"), ValidateOnly=True)
    tune(broker, "0", ("background.threads", 0, "11"))
    tune(broker, "", ("log.retention.ms", 0, "86400000"))
    tune(broker, "0", ("log.dirs", 0, "/x"), code=42)
    tune(broker, "0", ("background.threads", 1, None))
    tune(logger, "0", ("root", 0, "WARN"))


def change(broker):
    with wire.Client(broker.address) as c:
        change_topics(c)
        wait_gone(broker, "gone", "again", "by-id")
        harness.create_topic(broker, "again", partitions=1)
        harness.wait_topic(broker, "again")
        if {"AlterConfigs", "IncrementalAlterConfigs"} <= set(SERVED):
            change_configs(c)
        if "ElectLeaders" in SERVED:
            c.call("ElectLeaders", 2, ElectionType=0, TimeoutMs=20000,
                   TopicPartitions=None)


def change_by_tools(java, broker):
    """The scripts of Kafka, as an operator would type them."""
    def run(name, *arguments):
        status, out = java.run(name, "--bootstrap-server", broker.address,
                               *arguments)
        assert status == 0, (arguments, out, java.err)
    run("kafka-topics", "--create", "--topic", "tool", "--partitions", "2",
        "--config", "retention.ms=1000", "--config", "segment.bytes=50000")
    run("kafka-topics", "--create", "--topic", "tool-by-hand",
        "--replica-assignment", "0,0,0")
    run("kafka-topics", "--create", "--topic", "tool-gone")
    run("kafka-topics", "--alter", "--topic", "tool", "--partitions", "3")
    run("kafka-topics", "--delete", "--topic", "tool-gone")
    if "IncrementalAlterConfigs" in SERVED:
        run("kafka-configs", "--alter", "--topic", "tool", "--add-config",
            "retention.ms=2000,flush.ms=5", "--delete-config",
            "segment.bytes")
        run("kafka-configs", "--alter", "--broker", "0", "--add-config",
            "log.cleaner.threads=2")


# --- trees -------------------------------------------------------------------

def compare(ours, theirs):
    theirs_tree = tree(theirs.options["zookeeper.connect"])
    ours_tree = tree(ours.options["zookeeper.connect"])
    assert set(ours_tree) == set(theirs_tree)
    differences = []
    for path in sorted(theirs_tree):
        his, mine = theirs_tree[path], ours_tree[path]
        a = (masked(his[0], theirs),) + his[1:]
        b = (masked(mine[0], ours),) + mine[1:]
        if a != b:
            same = False
            try:
                same = (json.loads(a[0]), a[1:]) == (json.loads(b[0]), b[1:])
            except (TypeError, ValueError):
                pass
            # Kafka writes configs in the order of Java's hash table.
            if same and path.startswith("/config/"):
                continue
            differences.append((path, "order of keys" if same else "", a, b))
    return differences


def with_listeners(broker):
    """A rack and two listeners more, one of a name of its own."""
    broker.more_ports = [harness.free_port() for _ in range(2)]
    broker.options.update({
        "broker.rack": "r1",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},"
                     f"INSIDE://127.0.0.1:{broker.more_ports[0]},"
                     f"ADMIN://127.0.0.1:{broker.more_ports[1]}",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,ADMIN:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    })


@pytest.mark.parametrize("listeners", (1, 3))
def test_same_tree(make_broker, make_kafka, java, listeners):
    ours, theirs = make_broker(0), make_kafka(0)
    theirs.options["zookeeper.connect"] += "-real"
    for broker in (ours, theirs):
        # another session would be another term of the controller
        broker.set(zookeeper_session_timeout_ms=30000)
        broker.more_ports = []
        if listeners > 1:
            with_listeners(broker)
    ours.start()
    fill(ours)
    theirs.start()
    fill(theirs)
    change(ours)
    change(theirs)
    for broker in (ours, theirs):
        change_by_tools(java, broker)
        wait_gone(broker, "tool-gone")
    differences = compare(ours, theirs)
    assert not differences, "\n".join(map(repr, differences))
    # and after a restart of each
    harness.restart(ours, "auto")
    harness.restart(theirs, "auto")
    differences = compare(ours, theirs)
    assert not differences, "\n".join(map(repr, differences))
