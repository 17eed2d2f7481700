# SPDX-License-Identifier: Apache-2.0
"""The same topics on a real Kafka and on barnabasd, each in a ZooKeeper tree of
its own: the trees differ in ids and times only."""

import json
import re

import kazoo.client
import pytest

import harness
import wire


def tree(address):
    """{path: (data, version, ephemeral?, acl)}"""
    client = kazoo.client.KazooClient(address)
    client.start()
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
    client.stop()
    client.close()
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
def test_same_tree(make_broker, make_kafka, listeners):
    ours, theirs = make_broker(0), make_kafka(0)
    theirs.options["zookeeper.connect"] += "-real"
    for broker in (ours, theirs):
        broker.more_ports = []
        if listeners > 1:
            with_listeners(broker)
    ours.start()
    fill(ours)
    theirs.start()
    fill(theirs)
    differences = compare(ours, theirs)
    assert not differences, "\n".join(map(repr, differences))
    # and after a restart of each
    harness.restart(ours, "auto")
    harness.restart(theirs, "auto")
    differences = compare(ours, theirs)
    assert not differences, "\n".join(map(repr, differences))
