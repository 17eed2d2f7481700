# SPDX-License-Identifier: Apache-2.0
"""`barnabas groups`, and consume and perf consume as members of groups: JSON,
errors, what is committed and when.  That their lines are Kafka's is seen in
tests/interop/test_tools_groups.py."""

import json
import signal
import subprocess

import confluent_kafka
import pytest

import harness

COUNT = 40


@pytest.fixture(scope="module")
def cluster(zookeeper, tmp_path_factory):
    from conftest import Factory
    factory = Factory(zookeeper, tmp_path_factory.mktemp("groups"))
    broker = factory(group_initial_rebalance_delay_ms=0,
                     offsets_topic_num_partitions=3,
                     offsets_topic_replication_factor=1).start()
    try:
        harness.create_topic(broker, "orders", partitions=2)
        harness.wait_topic(broker, "orders", partitions=2)
        for partition in 0, 1:
            harness.kcat(broker, "-P", "-t", "orders", "-p", partition,
                         stdin=b"".join(b"%d-%d\n" % (partition, n)
                                        for n in range(COUNT // 2)))
        yield broker
    finally:
        factory.end()


def groups(broker, *arguments, **how):
    return harness.tool(broker, "groups", *arguments, **how)


def told(broker, *arguments):
    return json.loads(groups(broker, *arguments, "--output", "json").stdout)


def offsets(broker, group):
    found = told(broker, "--describe", "--group", group)["groups"][0]
    return {(p["topic"], p["partition"]): p["currentOffset"]
            for p in found["partitions"]}


def consume(broker, group, *arguments, **how):
    done = harness.tool(broker, "consume", "--topic", "orders", "--group",
                        group, *arguments, **how)
    return done.stdout.split()


def test_goes_on(cluster):
    """Each run reads what the ones before did not."""
    seen = []
    for count in 7, 1, 20:
        seen += consume(cluster, "goes-on", "--from-beginning",
                        "--max-messages", count)
        assert sum(offsets(cluster, "goes-on").values()) == len(seen)
    seen += consume(cluster, "goes-on", "--max-messages", COUNT - len(seen))
    assert len(seen) == len(set(seen)) == COUNT
    assert offsets(cluster, "goes-on") == {("orders", 0): 20,
                                           ("orders", 1): 20}
    state = told(cluster, "--describe", "--group", "goes-on", "--state")
    assert state["groups"][0]["state"] == "Empty"
    assert state["groups"][0]["members"] == 0
    port = int(cluster.address.rpartition(":")[2])
    assert state["groups"][0]["coordinator"]["port"] == port


def test_commits_nothing(cluster):
    arguments = ("--from-beginning", "--max-messages", COUNT,
                 "--consumer-property", "enable.auto.commit=false")
    for _ in range(2):
        assert len(consume(cluster, "no-commits", *arguments)) == COUNT
    assert not any(offsets(cluster, "no-commits").values())


def test_latest_and_pattern(cluster):
    """Without --from-beginning a new group begins behind the newest; a pattern
    leaves the brokers' own topics out."""
    assert consume(cluster, "late", "--timeout-ms", 3000) == []
    done = harness.tool(cluster, "consume", "--include", "ord.*|__.*",
                        "--group", "by-pattern", "--from-beginning",
                        "--max-messages", COUNT)
    assert len(done.stdout.split()) == COUNT
    assert {t for t, _ in offsets(cluster, "by-pattern")} == {"orders"}


def reader(broker, group, *more):
    return subprocess.Popen(
        [harness.CONSOLE, "consume", "--bootstrap-server", broker.address,
         "--topic", "orders", "--group", group, "--from-beginning", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_shared_and_interrupted(cluster):
    """Two share the partitions; what either printed before its SIGTERM is
    committed, and it has left the group when it ends."""
    readers = [reader(cluster, "shared") for _ in range(2)]

    def members():
        return told(cluster, "--describe", "--group", "shared",
                    "--members")["groups"][0]
    try:
        harness.wait_until(lambda: [
            m["partitions"] for m in members()["members"]] == [1, 1],
            what="each has a partition")
        assert sorted(sum(([a["topic"], *a["partitions"]]
                           for m in members()["members"]
                           for a in m["assignment"]), []), key=str) == [
            0, 1, "orders", "orders"]
        harness.wait_until(lambda: sum(
            v or 0 for v in offsets(cluster, "shared").values()) == COUNT,
            what="all is committed")
        out = []
        for process in readers:
            process.send_signal(signal.SIGTERM)
            out += process.communicate(timeout=60)[0].split()
            assert process.returncode == 0
    finally:
        for process in readers:
            process.kill()
            process.wait()
    assert set(out) == {b"%d-%d" % (p, n) for p in (0, 1)
                        for n in range(COUNT // 2)}
    assert members()["state"] == "Empty" and not members()["members"]


def test_what_nobody_got(cluster):
    """A reader that closes early: what was not written is not committed."""
    process = reader(cluster, "cut-off")
    try:
        process.stdout.close()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert not any(offsets(cluster, "cut-off").values())


def test_perf(cluster):
    done = harness.run(
        harness.CONSOLE, "perf", "consume", "--bootstrap-server",
        cluster.address, "--topic", "orders", "--messages", COUNT, "--group",
        "measured", "--output", "json")
    found = json.loads(done.stdout)
    assert found["consumedMessages"] == COUNT
    assert sum(offsets(cluster, "measured").values()) == COUNT


def test_list(cluster):
    consume(cluster, "listed", "--from-beginning", "--max-messages", 1)
    rows = {g["group"]: g for g in told(cluster, "--list")["groups"]}
    assert rows["listed"] == {"group": "listed", "state": "Empty",
                              "protocolType": "consumer", "type": "classic"}
    assert sorted(rows) == list(rows)
    assert "listed" in groups(cluster, "--list").stdout.decode().split()
    assert told(cluster, "--list", "--state", "Dead") == {"groups": []}


def test_reset_and_delete(cluster):
    consume(cluster, "moved", "--from-beginning", "--max-messages", COUNT)
    reset = ("--reset-offsets", "--group", "moved", "--topic", "orders:1")
    done = told(cluster, *reset, "--to-offset", 3)
    assert done == {"executed": False, "groups": [{
        "group": "moved", "state": "Empty", "refused": False, "partitions": [
            {"topic": "orders", "partition": 1, "newOffset": 3}]}]}
    assert offsets(cluster, "moved")["orders", 1] == COUNT // 2
    assert told(cluster, *reset, "--to-offset", 3, "--execute")["executed"]
    assert sorted(consume(cluster, "moved", "--max-messages", 17)) == sorted(
        b"1-%d" % n for n in range(3, 20))
    err = groups(cluster, *reset, "--to-offset", 999, "--dry-run").stderr
    assert b"orders-1: 999 is higher" in err
    deleted = told(cluster, "--delete-offsets", "--group", "moved",
                   "--topic", "orders:1", "--topic", "nothing")
    assert deleted["error"] is None
    assert deleted["partitions"] == [
        {"topic": "nothing", "partition": -1,
         "error": "UNKNOWN_TOPIC_OR_PARTITION"},
        {"topic": "orders", "partition": 1, "error": None}]
    assert list(offsets(cluster, "moved")) == [("orders", 0)]
    assert told(cluster, "--delete", "--group", "moved", "--group", "none") \
        == {"groups": [{"group": "moved", "error": None},
                       {"group": "none", "error": "GROUP_ID_NOT_FOUND"}]}
    assert told(cluster, "--describe", "--group", "moved")["groups"] == [
        {"group": "moved", "state": "Dead", "partitions": []}]


def test_reset_halfway(cluster, tmp_path):
    """Of two groups the second cannot be reset: the first is, and told."""
    plan = tmp_path / "plan"
    plan.write_text("half-1,orders,1,3\nhalf-2,orders,7,3\n")
    done = groups(cluster, "--reset-offsets", "--group", "half-1", "--group",
                  "half-2", "--from-file", plan, "--execute", "--output",
                  "json", check=False)
    assert done.returncode == 1 and b"not reset: orders-7" in done.stderr
    found, = json.loads(done.stdout)["groups"]
    assert (found["group"], found["partitions"]) == ("half-1", [
        {"topic": "orders", "partition": 1, "newOffset": 3}])
    assert offsets(cluster, "half-1") == {("orders", 1): 3}
    assert offsets(cluster, "half-2") == {}


def test_members_are_safe(cluster):
    """A group with members is neither reset nor deleted."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": cluster.address, "group.id": "alive",
        "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["orders"])
        harness.wait_until(lambda: consumer.poll(0.2) is not None)
        consumer.commit(asynchronous=False)
        before = offsets(cluster, "alive")
        done = told(cluster, "--reset-offsets", "--group", "alive",
                    "--to-earliest", "--all-topics", "--execute")
        assert done["groups"][0]["refused"]
        assert done["groups"][0]["state"] == "Stable"
        assert told(cluster, "--delete", "--group", "alive")["groups"] == [
            {"group": "alive", "error": "NON_EMPTY_GROUP"}]
        assert told(cluster, "--delete-offsets", "--group", "alive",
                    "--topic", "orders:0")["partitions"][0]["error"] == (
            "GROUP_SUBSCRIBED_TO_TOPIC")
        assert offsets(cluster, "alive") == before
    finally:
        consumer.close()


def test_other_protocols(cluster):
    """Groups that are none of consumers are not shown."""
    import wire
    with wire.Client(cluster.address) as client:
        harness.wait_until(lambda: client.call(
            "FindCoordinator", 4, KeyType=0, CoordinatorKeys=["workers"])[
                "Coordinators"][0]["ErrorCode"] == 0)
        joined = client.call(
            "JoinGroup", 3, GroupId="workers", SessionTimeoutMs=30000,
            RebalanceTimeoutMs=30000, MemberId="", ProtocolType="connect",
            Protocols=[{"Name": "v1", "Metadata": b"x"}])
        assert joined["ErrorCode"] == 0
        names = [g["group"] for g in told(cluster, "--list")["groups"]]
        done = groups(cluster, "--describe", "--group", "workers",
                      check=False)
        assert "workers" not in names
        assert done.returncode == 1 and not done.stdout
        assert b'its protocol is "connect"' in done.stderr
        client.call("LeaveGroup", 0, GroupId="workers",
                    MemberId=joined["MemberId"])


def test_not_reached(cluster):
    port = harness.free_port()
    done = harness.run(
        harness.TOOL, "groups", "--bootstrap-server", f"127.0.0.1:{port}",
        "--list", "--timeout", 500, check=False)
    assert done.returncode == 1 and not done.stdout
    assert b"is the broker running?" in done.stderr
