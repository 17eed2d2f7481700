# SPDX-License-Identifier: Apache-2.0
"""`barnabas check`: each thing that hinders a replacement, made by hand in a
real ZooKeeper, a properties file and log directories."""

import itertools
import json
import re

import kazoo.security
import pytest

import harness

pytestmark = [
    pytest.mark.ours,
    pytest.mark.filterwarnings("ignore:No chroot path exists")]

LINE = re.compile(r"(\S+?)(?::(\d+))?: (INFO|WARN|ERROR)(?: (\S+))?: (.+)")
CLUSTER_ID = "A-cluster-of-the-test-"
_chroots = itertools.count()


class Patient:
    """A broker's file and directory, and the cluster that it belongs to, in
    which nothing is wrong at first."""

    def __init__(self, folder, zookeeper):
        self.folder = folder
        self.chroot = f"/check-{next(_chroots)}"
        self.zookeeper = zookeeper
        self.data = folder / "data"
        self.data.mkdir()
        self.file = folder / "server.properties"
        self.zk = harness.connect_zk(zookeeper.address + self.chroot)
        self.zk.ensure_path("/")
        self.node("/cluster/id", {"version": "1", "id": CLUSTER_ID})
        for path in ("/brokers/ids", "/brokers/topics", "/config/topics",
                     "/config/brokers", "/admin/delete_topics"):
            self.zk.ensure_path(path)
        self.node("/controller_epoch", 1)
        self.node("/feature", {"features": {}, "version": 2, "status": 1})
        self.write()
        self.meta()

    def end(self):
        self.zk.end()

    def node(self, path, value, **how):
        self.zk.create(path, json.dumps(value, separators=(",", ":"))
                       .encode(), makepath=True, **how)

    def broker(self, broker_id, port=9092, version=5):
        self.node(f"/brokers/ids/{broker_id}", {
            "features": {}, "listener_security_protocol_map": {
                "PLAINTEXT": "PLAINTEXT"},
            "endpoints": [f"PLAINTEXT://127.0.0.1:{port}"], "jmx_port": -1,
            "port": port, "host": "127.0.0.1", "version": version,
            "timestamp": "1"})

    def topic(self, name, replicas, adding=None, **config):
        self.node(f"/brokers/topics/{name}", {
            "partitions": {str(p): r for p, r in enumerate(replicas)},
            "topic_id": "AAAAAAAAAAAAAAAAAAAAAQ",
            "adding_replicas": adding or {}, "removing_replicas": {},
            "version": 3})
        self.node(f"/config/topics/{name}", {
            "version": 1,
            "config": {k.replace("_", "."): v for k, v in config.items()}})

    def write(self, *lines):
        """The lines come first."""
        self.file.write_text("\n".join([
            *lines, "broker.id=1", "listeners=PLAINTEXT://127.0.0.1:9092",
            "zookeeper.connect=" + self.zookeeper.address + self.chroot,
            f"log.dirs={self.data}", ""]))

    def meta(self, version=0, broker_id=1, cluster_id=CLUSTER_ID):
        (self.data / "meta.properties").write_text(
            f"#\nversion={version}\nbroker.id={broker_id}\n"
            f"cluster.id={cluster_id}\n")

    def check(self, *arguments):
        """{(where, subject): (severity, line, message)}"""
        done = harness.run(harness.TOOL, "check", self.file, *arguments,
                           check=False)
        *rows, last = done.stdout.decode().splitlines()
        found = {}
        for row in rows:
            where, line, severity, subject, message = LINE.fullmatch(
                row).groups()
            where = where.replace(str(self.folder) + "/", "")
            # (test data lies below /tmp)
            if "outlive a restart" in message:
                continue
            found[where, subject or ""] = (
                severity, line and int(line), message)
        grave = [f for f in found.values() if f[0] == "ERROR"]
        assert done.returncode == (1 if grave else 0), done
        assert last.startswith(
            f"{len(grave)} finding" if grave else "Nothing hinders")
        assert not done.stderr
        return found

    def grave(self, *arguments):
        """Where and what of the one that hinders."""
        [where] = [w for w, f in self.check(*arguments).items()
                   if f[0] == "ERROR"]
        return where, self.check(*arguments)[where][2]

    def tree(self, path=""):
        """All that is in ZooKeeper, with versions."""
        data, stat = self.zk.get(path or "/")
        yield path, data, stat.version
        for name in sorted(self.zk.get_children(path or "/")):
            yield from self.tree(f"{path}/{name}")


@pytest.fixture
def patient(zookeeper, tmp_path):
    patient = Patient(tmp_path, zookeeper)
    yield patient
    patient.end()


def test_nothing(patient):
    """And nothing changes, in ZooKeeper or on disk."""
    patient.topic("orders", [[1], [1]], retention_ms="5")
    before = list(patient.tree())
    assert patient.check() == {}
    assert list(patient.tree()) == before
    assert [p.name for p in patient.data.iterdir()] == ["meta.properties"]


def test_json(patient):
    patient.write("authorizer.class.name=kafka.security.authorizer.X")
    done = harness.run(harness.TOOL, "check", patient.file, "--output",
                       "json", check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["hindered"] is True
    [grave] = [f for f in found["findings"] if f["severity"] == "ERROR"]
    assert grave["where"] == str(patient.file) and grave["line"] == 1
    assert grave["subject"] == "authorizer.class.name"


def test_usage(patient):
    for arguments in ((), ("/nowhere/x",), (patient.file, "--bogus"),
                      (patient.file, "--zookeeper", "")):
        done = harness.run(harness.TOOL, "check", *arguments, check=False)
        assert done.returncode == 2 and done.stderr and not done.stdout


# --- the file ----------------------------------------------------------------

class TestFile:
    def test_same_as_the_daemon(self, patient):
        """The findings of barnabasd -t, with their lines."""
        patient.write("no.such.option=1", "num.io.threads=3",
                      "zookeeper.set.acl=true", "log.retention.ms=x")
        done = harness.run(harness.DAEMON, "-t", patient.file, check=False)
        told = {(m[1], m[2] and int(m[2]), m[3]) for m in re.finditer(
            r"^(\w+)(?: line (\d+))? ?:? ?([\w.]+): ",
            done.stderr.decode(), re.M)}
        found = patient.check()
        ours = {(f[0], f[1], subject) for (where, subject), f in
                found.items() if where == "server.properties"}
        assert done.returncode != 0 and len(ours) >= 4
        assert {t for t in told if t[2] != "log.dirs"} == ours

    def test_key_stores(self, patient, tmp_path):
        listeners = "listeners=PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9093"
        old = tmp_path / "old.jks"
        old.write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
        for store, words in ((old, "keytool -importkeystore"),
                             (tmp_path / "none", "No such file")):
            patient.write(f"ssl.keystore.location={store}",
                          "ssl.keystore.password=x")
            assert patient.check() == {}
            patient.file.write_text(
                patient.file.read_text() + listeners + "\n")
            where, message = patient.grave()
            assert where == ("server.properties", "listeners")
            assert words in message

    def test_broken(self, patient):
        patient.file.write_text("a=1\nb=\\u00zz\n")
        severity, _, message = patient.check()["server.properties", ""]
        assert severity == "ERROR" and message.startswith("line 2: ")


# --- directories -------------------------------------------------------------

class TestDirectories:
    META = "data/meta.properties"

    def test_another_broker(self, patient):
        patient.meta(broker_id=4)
        (where, subject), message = patient.grave()
        assert (where, subject) == (self.META, "broker.id")
        assert "of broker 4, not of 1" in message

    def test_another_cluster(self, patient):
        patient.meta(cluster_id="B-cluster-of-the-test-")
        (where, _), message = patient.grave()
        assert where == "/cluster/id" and "B-cluster" in message

    def test_kraft(self, patient):
        patient.meta(version=1)
        assert patient.grave()[0] == (self.META, "version")

    def test_unreadable(self, patient):
        (patient.data / "meta.properties").write_text("a=\\u00zz\n")
        severity, line, _ = patient.check()[self.META, ""]
        assert (severity, line) == ("ERROR", 1)

    def test_no_directory(self, patient):
        patient.file.write_text(patient.file.read_text().replace(
            str(patient.data), str(patient.file)))
        assert "no directory" in patient.grave()[1]

    def test_missing(self, patient):
        """It may be a new broker."""
        (patient.data / "meta.properties").unlink()
        assert patient.check()[self.META, ""][0] == "INFO"
        patient.data.rmdir()
        assert patient.check()["data", ""][0] == "WARN"

    def test_id_of_the_directory(self, patient):
        """Without broker.id the directory's counts."""
        patient.broker(1, port=7)
        patient.file.write_text(patient.file.read_text().replace(
            "broker.id=1\n", ""))
        assert patient.grave()[0][0] == "/brokers/ids/1"


# --- the cluster -------------------------------------------------------------

class TestCluster:
    def test_no_zookeeper(self, patient):
        (where, _), message = patient.grave(
            "--zookeeper", f"127.0.0.1:{harness.free_port()}",
            "--timeout-ms", 1500)
        assert where == "ZooKeeper" and "--zookeeper" in message

    def test_elsewhere(self, patient):
        """--zookeeper counts; another path there has no such cluster, and
        none is made."""
        (where, _), message = patient.grave(
            "--zookeeper", patient.zookeeper.address + "/nothing-here")
        assert where == "/cluster/id" and "no cluster here" in message
        zk = harness.connect_zk(patient.zookeeper.address)
        assert zk.exists("/nothing-here") is None
        zk.end()

    def test_a_new_one(self, patient):
        (patient.data / "meta.properties").unlink()
        found = patient.check(
            "--zookeeper", patient.zookeeper.address + "/nothing-here")
        assert found["/cluster/id", ""][0] == "INFO"

    def test_no_id(self, patient):
        patient.zk.set("/cluster/id", b"{}")
        assert patient.grave()[0][0] == "/cluster/id"

    def test_kraft_controller(self, patient):
        patient.node("/controller", {"version": 2, "brokerid": 3000,
                                     "timestamp": "1",
                                     "kraftControllerEpoch": 4})
        assert patient.grave()[0] == ("/controller", "kraftControllerEpoch")

    def test_zookeeper_controller(self, patient):
        patient.node("/controller", {"version": 2, "brokerid": 1,
                                     "timestamp": "1",
                                     "kraftControllerEpoch": -1})
        assert patient.check() == {}

    def test_migration(self, patient):
        state = {"version": 0, "kraft_controller_id": 3000,
                 "kraft_controller_epoch": 4, "kraft_metadata_offset": 1,
                 "kraft_metadata_epoch": 1}
        patient.node("/migration", state)
        (where, _), message = patient.grave()
        assert where == "/migration" and "3000" in message
        patient.zk.set("/migration", json.dumps(
            {**state, "kraft_controller_id": -1}).encode())
        assert patient.check()["/migration", ""][0] == "WARN"

    def test_features(self, patient):
        patient.zk.set("/feature", json.dumps({
            "features": {"x": {"min_version_level": 1,
                               "max_version_level": 2}},
            "version": 2, "status": 1}).encode())
        assert patient.grave()[0][0] == "/feature"

    def test_features_of_old(self, patient):
        """As a controller writes it below 3.3."""
        patient.zk.set("/feature",
                       b'{"features":{},"version":1,"status":1}')
        (where, subject), message = patient.grave()
        assert (where, subject) == ("/feature", "version")
        assert "below 3.3" in message

    def test_itself(self, patient):
        patient.broker(1)
        assert patient.check()["/brokers/ids/1", ""][0] == "WARN"

    def test_same_id(self, patient):
        patient.broker(1, port=1234)
        (where, _), message = patient.grave()
        assert where == "/brokers/ids/1" and "127.0.0.1:1234" in message

    def test_old_brokers(self, patient):
        patient.broker(2, port=1234, version=4)
        (where, subject), message = patient.grave()
        assert (where, subject) == ("/brokers/ids/2", "version")
        assert "below 2.7" in message

    def test_other_brokers(self, patient):
        patient.broker(2, port=1234)
        severity, _, message = patient.check()["/brokers/ids", ""]
        assert severity == "WARN" and message.startswith("1 other")
        assert "must be 3.9" in message
        patient.broker(1)
        assert patient.check()["/brokers/ids", ""][2] == message

    def test_reassignment(self, patient):
        node = "/admin/reassign_partitions"
        patient.node(node, {
            "version": 1, "partitions": [
                {"topic": "t", "partition": 0, "replicas": [1]}]})
        severity, _, message = patient.check()[node, ""]
        assert severity == "WARN" and message.startswith("1 partitions")
        patient.zk.set(node, b"nonsense")
        assert patient.check()[node, ""][0] == "WARN"

    def test_deletion_and_election(self, patient):
        patient.zk.create("/admin/delete_topics/gone", b"")
        patient.node("/admin/preferred_replica_election",
                     {"version": 1, "partitions": []})
        found = patient.check()
        assert found["/admin/delete_topics/gone", ""][0] == "WARN"
        assert found["/admin/preferred_replica_election", ""][0] == "WARN"

    @pytest.mark.parametrize("root", ("/kafka-acl",
                                      "/kafka-acl-extended/prefixed"))
    def test_authorizer(self, patient, root):
        patient.zk.ensure_path(root + "/Topic")
        patient.zk.ensure_path(root + "/Group")
        assert patient.check()[root, ""][0] == "WARN"
        patient.zk.create(root + "/Topic/orders", b"{}")
        (where, _), message = patient.grave()
        assert where == root and message.startswith("1 resources")

    def test_protected_nodes(self, patient):
        """As Kafka makes them with zookeeper.set.acl=true."""
        patient.zk.add_auth("digest", "kafka:secret")
        mine = kazoo.security.make_digest_acl("kafka", "secret", all=True)
        anyone = kazoo.security.make_acl("world", "anyone", read=True)
        patient.zk.set_acls("/brokers/topics", [mine, anyone])
        (where, subject), message = patient.grave()
        assert (where, subject) == ("/brokers/topics", "ACL")
        assert "digest:kafka:" in message and "unsecure" in message

    def test_protected_topics(self, patient):
        """Made while some broker had zookeeper.set.acl=true: their folder
        does not tell."""
        patient.zk.add_auth("digest", "kafka:secret")
        mine = kazoo.security.make_digest_acl("kafka", "secret", all=True)
        anyone = kazoo.security.make_acl("world", "anyone", read=True)
        for name in ("a", "b", "c"):
            patient.topic(name, [[1]])
        for name in ("b", "c"):
            patient.zk.set_acls(f"/brokers/topics/{name}", [mine, anyone])
        (where, subject), message = patient.grave()
        assert subject == "ACL"
        assert where in ("/brokers/topics/b", "/brokers/topics/c")
        assert "digest:kafka:" in message and "2 topics" in message

    @pytest.mark.parametrize("path", (
        "/config/brokers", "/isr_change_notification",
        "/latest_producer_id_block", "/log_dir_event_notification"))
    def test_other_protected_nodes(self, patient, path):
        patient.zk.add_auth("digest", "kafka:secret")
        mine = kazoo.security.make_digest_acl("kafka", "secret", all=True)
        anyone = kazoo.security.make_acl("world", "anyone", read=True)
        patient.zk.ensure_path(path)
        patient.zk.set_acls(path, [mine, anyone])
        assert patient.grave()[0] == (path, "ACL")

    def test_hidden_nodes(self, patient):
        patient.zk.add_auth("digest", "kafka:secret")
        mine = kazoo.security.make_digest_acl("kafka", "secret", all=True)
        patient.zk.ensure_path("/config/users")
        patient.zk.set_acls("/config/users", [mine])
        (where, _), message = patient.grave()
        assert where == "/config/users" and "no auth" in message

    def test_quotas(self, patient):
        patient.node("/config/users/u", {"version": 1, "config": {
            "producer_byte_rate": "1"}})
        assert patient.check()["/config/users", ""][0] == "WARN"

    def test_options_set_at_run_time(self, patient):
        patient.node("/config/brokers/<default>", {
            "version": 1, "config": {"metric.reporters": "a.B"}})
        patient.node("/config/brokers/1", {
            "version": 1, "config": {"broker.rack": "r"}})
        patient.node("/config/brokers/2", {
            "version": 1, "config": {"metric.reporters": "a.B"}})
        found = patient.check()
        assert found["/config/brokers/<default>",
                     "metric.reporters"][0] == "ERROR"
        assert found["/config/brokers/1", "broker.rack"][0] == "WARN"
        assert len(found) == 2

    @pytest.mark.parametrize("name,value,subject,word", (
        ("listeners", "SSL://127.0.0.1:9093",
         "security.inter.broker.protocol", "no advertised listener"),
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT",
         "listeners", "SASL_PLAINTEXT"),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9093",
         "listeners", "needs a key and a certificate"),
    ))
    def test_run_time_breaks_the_file(self, patient, name, value, subject,
                                      word):
        """What barnabasd would not start with, where the option that is wrong
        is not the one that was set; not that of another broker."""
        node = {"version": 1, "config": {name: value}}
        patient.node("/config/brokers/2", node)
        assert patient.check() == {}
        patient.node("/config/brokers/1", node)
        where, message = patient.grave()
        assert where == ("/config/brokers/1", subject) and word in message

    def test_secrets_at_run_time(self, patient):
        patient.node("/config/brokers/1", {"version": 1, "config": {
            "listeners": "PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9093",
            "ssl.keystore.location": "/nowhere",
            "ssl.keystore.password": "encoded"}})
        severity, _, message = patient.check()["/config/brokers/1",
                                               "listeners"]
        assert severity == "WARN" and "secrets are encoded" in message

    def test_nonsense_at_run_time(self, patient):
        patient.zk.create("/config/brokers/1", b"nonsense")
        assert patient.grave()[0][0] == "/config/brokers/1"


# --- topics ------------------------------------------------------------------

class TestTopics:
    def test_compaction(self, patient):
        patient.topic("table", [[1]], cleanup_policy="compact")
        patient.topic("others", [[2]], cleanup_policy="compact,delete")
        assert patient.check() == {}

    def test_tiers(self, patient):
        patient.topic("t", [[1]], remote_storage_enable="true")
        (where, _), message = patient.grave()
        assert where == "/config/topics/t" and "remote" in message.lower()

    def test_nonsense(self, patient):
        patient.topic("t", [[1]])
        patient.zk.set("/config/topics/t", b"nonsense")
        assert patient.grave()[0][0] == "/config/topics/t"

    def test_nonsense_of_a_topic(self, patient):
        patient.zk.create("/brokers/topics/t", b"nonsense")
        assert patient.grave()[0][0] == "/brokers/topics/t"

    def test_replicas(self, patient):
        patient.broker(2, port=1234)
        patient.topic("t", [[1], [1, 2], [2, 1], [2]])
        found = patient.check()
        assert list(found) == [("/brokers/ids", "")]
        assert "replica" not in found["/brokers/ids", ""][2]

    def test_moves(self, patient):
        """Of the broker's own partitions."""
        patient.topic("t", [[2], [2, 3]], adding={"1": [3]})
        assert patient.check() == {}
        patient.topic("u", [[1, 3], [2, 1], [1]],
                      adding={"0": [3], "1": [1]})
        [(where, (severity, _, message))] = patient.check().items()
        assert where == ("/brokers/topics/u", "") and severity == "WARN"
        assert message.startswith("2 partitions") and "reassigned" in message

    def test_groups(self, patient):
        patient.topic("__consumer_offsets", [[1], [2]],
                      cleanup_policy="compact")
        assert patient.check() == {}

    def test_transactions(self, patient):
        name = "__transaction_state"
        patient.topic(name, [[1], [2]], cleanup_policy="compact")
        (where, _), message = patient.grave()
        assert where == f"/brokers/topics/{name}"
        assert message.startswith("1 partitions")

    def test_no_id(self, patient):
        patient.topic("t", [[1]])
        patient.zk.set("/brokers/topics/t",
                       b'{"version":1,"partitions":{"0":[1]}}')
        assert patient.check()["/brokers/topics/t", ""][0] == "WARN"

    def test_many(self, patient):
        """More than are read at once; how far it is can be told."""
        with patient.zk.transaction() as t:
            for n in range(1100):
                t.create(f"/brokers/topics/t{n}", json.dumps({
                    "version": 3, "topic_id": "AAAAAAAAAAAAAAAAAAAAAQ",
                    "partitions": {"0": [1]}, "adding_replicas": {},
                    "removing_replicas": {}}).encode())
        names = sorted(f"t{n}" for n in range(1100))
        wrong = {f"/config/topics/{names[n]}"
                 for n in (0, 499, 500, 999, 1000, 1099)}
        for path in wrong:
            patient.node(path, {
                "version": 1, "config": {"remote.storage.enable": "true"}})
        assert {where for where, _ in patient.check()} == wrong
        done = harness.run(harness.TOOL, "check", patient.file, "--progress",
                           check=False)
        assert done.stderr.splitlines()[-1] == (
            b"topics checked: 1100 of 1100")


# --- a broker that runs ------------------------------------------------------

def test_a_running_broker(broker):
    """The file and directory of one that serves: all is well, but that it
    runs."""
    harness.create_topic(broker, "orders", partitions=3, retention_ms=5)
    done = harness.run(harness.TOOL, "check", broker.properties)
    out = done.stdout.decode()
    assert f"{broker.data}/.lock: WARN: a broker runs on it" in out
    assert "/brokers/ids/0: WARN: broker 0 runs" in out
    assert "Nothing hinders" in out
    broker.stop()
    out = harness.run(harness.TOOL, "check", broker.properties).stdout
    assert b"runs" not in out
