# SPDX-License-Identifier: Apache-2.0
"""Kafka's own tools and ours on one cluster, of those that administer brokers:
kafka-configs, kafka-leader-election, kafka-cluster, kafka-broker-api-versions.
And `barnabas check` on what a real Kafka leaves behind."""

import json

import pytest

import harness
import real_kafka
from both import SIDES, Both, kind_of


@pytest.fixture(scope="module", params=SIDES)
def cluster(request, new_factory):
    factory = new_factory("admin-" + request.param)
    broker = factory(kind=kind_of(request.param)).start()
    harness.create_topic(broker, "orders", partitions=3, retention_ms=123456,
                         min_insync_replicas=2)
    harness.create_topic(broker, "plain")
    harness.wait_topic(broker, "plain")
    yield broker
    factory.end()


# --- kafka-configs -----------------------------------------------------------

@pytest.fixture
def configs(java, cluster):
    return Both(java, cluster, "configs", "kafka-configs")


class TestConfigs:
    @pytest.mark.parametrize("arguments", (
        ("--topic", "orders"), ("--topic", "plain"),
        ("--topic", "orders", "--all"),
        ("--entity-type", "topics", "--entity-name", "orders"),
        ("--broker", 0), ("--broker-defaults",),
        ("--entity-type", "brokers", "--entity-default"),
        ("--entity-type", "brokers", "--entity-name", 0, "--all"),
    ))
    def test_describe(self, configs, arguments):
        configs.same("--describe", *arguments)

    @pytest.mark.parametrize("kind", ("topics", "brokers"))
    def test_describe_all(self, configs, kind):
        configs.same("--describe", "--entity-type", kind, ordered=False)

    def test_loggers(self, configs):
        rows = configs.same("--describe", "--broker-logger", 0)
        assert rows.startswith(b"Dynamic configs for broker-logger 0 are:\n")
        assert rows.count(b"\n") > 5

    @pytest.mark.parametrize("arguments", (
        (), ("--describe",), ("--describe", "--alter", "--topic", "orders"),
        ("--describe", "--topic", "none"),
        ("--describe", "--topic", "a/b"),
        ("--describe", "--entity-type", "things"),
        ("--describe", "--entity-type", "topics", "--topic", "orders"),
        ("--describe", "--topic", "orders", "--broker", 0),
        ("--describe", "--broker", "x"),
        ("--describe", "--entity-type", "broker-loggers"),
        ("--describe", "--topic", "orders", "--add-config", "a=1"),
        ("--alter", "--topic", "orders"),
        ("--alter", "--entity-type", "topics", "--add-config", "a=1"),
        ("--alter", "--topic", "orders", "--add-config", "no.such=1"),
        ("--alter", "--topic", "orders", "--add-config", "retention.ms=x"),
        ("--alter", "--topic", "orders", "--add-config", "retention.ms"),
        ("--alter", "--topic", "orders", "--add-config", "retention.ms=1=2"),
        ("--alter", "--topic", "orders", "--add-config", "a b=2"),
        ("--alter", "--topic", "orders", "--delete-config", "flush.ms"),
        ("--alter", "--topic", "orders", "--add-config", "retention.ms=1",
         "--add-config-file", "/nowhere"),
        ("--alter", "--topic", "orders", "--add-config-file", "/nowhere"),
        ("--alter", "--topic", "none", "--add-config", "retention.ms=1"),
        ("--alter", "--broker", 0, "--add-config", "log.dirs=/x"),
        ("--alter", "--broker", 0, "--delete-config", "log.retention.ms"),
    ))
    def test_wrong(self, configs, arguments):
        """And nothing is changed."""
        theirs = configs.kafka(*arguments)
        assert theirs[0] == 1
        assert configs.ours(*arguments) == (1, b"")
        assert b"=123456 " in configs.ours("--describe", "--topic",
                                           "orders")[1]

    def test_alter(self, configs, cluster, tmp_path):
        """Each tool changes a topic of its own, and each sees the other's."""
        path = tmp_path / "add.properties"
        path.write_text("flush.ms = 70000\nsegment.bytes:200000\n")
        for run, name in ((configs.kafka, "alter-k"),
                          (configs.ours, "alter-b")):
            harness.create_topic(cluster, name)
            done = (0, f"Completed updating config for topic {name}.\n"
                    .encode())
            alter = ("--alter", "--topic", name)
            assert run(*alter, "--add-config", "retention.ms=5,"
                       "leader.replication.throttled.replicas=[0:0,1:0],"
                       "compression.type=lz4") == done
            assert run(*alter, "--add-config-file", path, "--delete-config",
                       "retention.ms,compression.type") == done
            assert run("--alter", "--entity-type", "topics", "--entity-name",
                       name, "--add-config", "retention.ms=7", "--force",
                       "--delete-config", "flush.ms") == done

        def rows(name):
            return [row.replace(name.encode(), b"") for row in configs.same(
                "--describe", "--topic", name).splitlines()]
        assert rows("alter-k") == rows("alter-b")
        assert len(rows("alter-k")) == 4

    def test_message_format(self, configs):
        """Both warn."""
        for run in (configs.kafka, configs.ours):
            status, out = run("--alter", "--topic", "plain", "--add-config",
                              "message.format.version=2.0-IV0")
            assert status == 0
            first, last = out.splitlines()
            assert last == b"Completed updating config for topic plain."
            assert first == (
                b"WARNING: The configuration message.format.version=2.0-IV0 "
                b"is specified. This configuration will be ignored if the "
                b"version is newer than the inter.broker.protocol.version "
                b"specified in the broker or if the "
                b"inter.broker.protocol.version is 3.0 or newer. This "
                b"configuration is deprecated and it will be removed in "
                b"Apache Kafka 4.0.")
            status, _ = run("--alter", "--topic", "plain", "--delete-config",
                            "message.format.version")
            assert status == 0

    def settled(self, configs, count):
        """Both print so many options of brokers: a broker hears of them a
        moment later."""
        describe = ("--describe", "--entity-type", "brokers")
        harness.wait_until(
            lambda: configs.ours(*describe)[1].count(b"\n  ") == count,
            what=f"{count} options are told")
        configs.same(*describe)

    def test_alter_brokers(self, configs):
        for one, other in ((configs.kafka, configs.ours),
                           (configs.ours, configs.kafka)):
            assert one("--alter", "--broker-defaults", "--add-config",
                       "log.retention.ms=70000") == (
                0, b"Completed updating default config for brokers in the "
                b"cluster.\n")
            assert one("--alter", "--broker", 0, "--add-config",
                       "log.retention.ms=80000,log.segment.bytes=90000") == (
                0, b"Completed updating config for broker 0.\n")
            self.settled(configs, 3)
            assert other("--alter", "--broker", 0, "--delete-config",
                         "log.retention.ms,log.segment.bytes")[0] == 0
            assert other("--alter", "--entity-type", "brokers",
                         "--entity-default", "--delete-config",
                         "log.retention.ms")[0] == 0
            self.settled(configs, 0)

    def test_alter_loggers(self, configs):
        for run in (configs.kafka, configs.ours):
            assert run("--alter", "--broker-logger", 0, "--add-config",
                       "kafka.cluster.Partition=DEBUG") == (
                0, b"Completed updating config for broker-logger 0.\n")
            assert b"kafka.cluster.Partition=DEBUG " in configs.same(
                "--describe", "--broker-logger", 0)
            assert run("--alter", "--broker-logger", 0, "--delete-config",
                       "kafka.cluster.Partition")[0] == 0
            assert run("--alter", "--broker-logger", 0, "--add-config",
                       "no.such.logger=DEBUG")[0] == 1


# --- kafka-leader-election ---------------------------------------------------

@pytest.fixture
def election(java, cluster):
    return Both(java, cluster, "leader-election", "kafka-leader-election")


class TestLeaderElection:
    @pytest.mark.parametrize("arguments", (
        ("--election-type", "preferred", "--all-topic-partitions"),
        ("--election-type", "unclean", "--all-topic-partitions"),
        ("--election-type", "PREFERRED", "--topic", "orders",
         "--partition", 1),
        ("--election-type", "unclean", "--topic", "orders",
         "--partition", 1),
    ))
    def test_elect(self, election, arguments):
        election.same(*arguments)

    def test_elect_some(self, election, tmp_path):
        path = tmp_path / "partitions.json"
        path.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": t, "partition": p}
            for t, p in (("orders", 2), ("plain", 0), ("orders", 0))]}))
        told = []
        for run in (election.kafka, election.ours):
            status, out = run("--election-type", "preferred",
                              "--path-to-json-file", path)
            head, _, names = out.partition(b"partitions ")
            told.append((status, head, sorted(names.strip().split(b", "))))
        assert told[0] == told[1]
        assert told[0][2] == [b"orders-0", b"orders-2", b"plain-0"]

    @pytest.mark.parametrize("arguments", (
        ("--topic", "orders", "--partition", 9),
        ("--topic", "none", "--partition", 0),
    ))
    @pytest.mark.parametrize("kind", ("preferred", "unclean"))
    def test_failed(self, election, kind, arguments):
        """The line of what failed is on standard output."""
        theirs = election.kafka("--election-type", kind, *arguments)
        assert theirs[0] == 1 and theirs[1].startswith(b"Error completing")
        assert election.ours("--election-type", kind, *arguments) == theirs

    @pytest.mark.parametrize("arguments", (
        (), ("--election-type", "any", "--all-topic-partitions"),
        ("--election-type", "preferred"), ("--all-topic-partitions",),
        ("--election-type", "preferred", "--topic", "orders"),
        ("--election-type", "preferred", "--partition", 0),
        ("--election-type", "preferred", "--topic", "orders", "--partition",
         0, "--all-topic-partitions"),
        ("--election-type", "preferred", "--path-to-json-file", "/nowhere"),
        ("--election-type", "preferred", "--admin.config", "/nowhere",
         "--all-topic-partitions"),
    ))
    def test_wrong(self, election, arguments):
        election.both_fail(*arguments)

    @pytest.mark.parametrize("text", (
        "", "{}", '{"partitions":[{"topic":"orders"}]}',
        '{"partitions":[{"topic":"orders","partition":0},'
        '{"topic":"orders","partition":0}]}'))
    def test_wrong_files(self, election, tmp_path, text):
        path = tmp_path / "partitions.json"
        path.write_text(text)
        election.both_fail("--election-type", "preferred",
                           "--path-to-json-file", path)


# --- kafka-cluster, kafka-broker-api-versions --------------------------------

def test_cluster(java, cluster):
    """Its options come behind the action."""
    def both(*arguments):
        theirs = java.run("kafka-cluster", *arguments)
        done = harness.run(harness.TOOL, "cluster", *arguments, check=False)
        assert (done.returncode, done.stdout) == theirs
        return theirs

    address = cluster.address
    assert both("cluster-id", "--bootstrap-server", address)[1].startswith(
        b"Cluster ID: ")
    assert both("cluster-id", "-b", address)[0] == 0
    assert both("cluster-id", f"--bootstrap-s={address}")[0] == 0
    assert b"does not support" in both("unregister", "-b", address, "-i",
                                       0)[1]


def test_cluster_wrong(tmp_path, cluster):
    """With a process each: Kafka's tool ends its own here."""
    if not cluster.real:
        pytest.skip("no broker is asked")
    for arguments in (("unregister", "-b", cluster.address), ("cluster-id",),
                      ("nothing", "-b", cluster.address), ()):
        theirs = real_kafka.tool(tmp_path, "kafka-cluster", *arguments,
                                 check=False)
        ours = harness.run(harness.TOOL, "cluster", *arguments, check=False)
        assert (theirs.returncode, ours.returncode) == (1, 1)
        assert not ours.stdout and ours.stderr


def test_broker_api_versions(java, cluster):
    both = Both(java, cluster, "broker-api-versions",
                "kafka-broker-api-versions")
    rows = both.same()
    assert rows.count(b"\n") > 60
    assert b"\tMetadata(3): 0 to 12 [usable: 12],\n" in rows


# --- check -------------------------------------------------------------------

def test_check_kafka(make_kafka):
    """What a Kafka broker with an authorizer, groups and a compacted topic
    leaves: its own file, directory and znodes."""
    broker = make_kafka(1, authorizer_class_name=(
        "kafka.security.authorizer.AclAuthorizer"),
        allow_everyone_if_no_acl_found="true",
        offsets_topic_num_partitions=2).start()
    harness.create_topic(broker, "orders", partitions=2)
    harness.create_topic(broker, "table", cleanup_policy="compact")

    def check(*arguments):
        done = harness.run(harness.TOOL, "check", broker.properties,
                           "--output", "json", *arguments, check=False)
        return {(f["where"], f["subject"]): f
                for f in json.loads(done.stdout)["findings"]}

    found = check()
    lock = found[str(broker.data / ".lock"), ""]
    assert f"process {broker.process.pid}" in lock["message"]
    assert "runs, at what" in found["/brokers/ids/1", ""]["message"]
    assert found["/kafka-acl", ""]["severity"] == "WARN"
    harness.kcat(broker, "-P", "-t", "orders", stdin=b"x\n")
    harness.kcat(broker, "-G", "some-group", "-c", "1", "-X",
                 "auto.offset.reset=earliest", "orders")
    broker.stop()
    found = check()
    grave = sorted(k for k, f in found.items() if f["severity"] == "ERROR")
    assert grave == [(str(broker.properties), "authorizer.class.name")]


def test_check_plain_kafka(make_kafka):
    """One that can be replaced."""
    broker = make_kafka(1).start()
    harness.create_topic(broker, "orders", partitions=2, retention_ms=5)
    broker.stop()
    done = harness.run(harness.TOOL, "check", broker.properties)
    assert b"Nothing hinders" in done.stdout
