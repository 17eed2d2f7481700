# SPDX-License-Identifier: Apache-2.0
"""DescribeConfigs, AlterConfigs and IncrementalAlterConfigs of every version,
sent to barnabasd and to the real Kafka beside it: the answers, and the nodes
that are left, are equal."""

import json
import pathlib
import subprocess
import zipfile

import pytest

import harness
import real_kafka
import wire
from config_pair import (APPEND, BROKER, CLIENT_METRICS, DELETE, LOGGER, SET,
                         SUBTRACT, TOPIC, Pair, alter, equal, replace,
                         resource, shown)

SECRET = "beneath the stairs"
PASSWORD = "keep, it: \u00e4\U0001f600"
LISTENER = "listener.name.plaintext."


@pytest.fixture
def pair(module_pair):
    """With nothing set at run time."""
    yield module_pair
    for name in ("0", ""):
        if any((node or {}).get("config") for node in module_pair.node(
                "/config/brokers/" + (name or "<default>"))):
            replace(module_pair, 2, (BROKER, name, []), validate=False)
    harness.wait_until(lambda: all(
        not any(c["ConfigSource"] in (2, 3) for c in told["Configs"].values())
        for told in shown(module_pair, BROKER, "0")))


@pytest.fixture(scope="module")
def module_pair(zookeeper, tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    options = {"password.encoder.secret": SECRET}
    brokers = [harness.Broker(folder / "ours", zookeeper, 0, "/configs-ours",
                              **options),
               real_kafka.RealKafka(folder / "real", zookeeper, 0,
                                    "/configs-real", **options)]
    for broker in brokers:
        broker.start()
        for name in ("t", "u"):
            harness.create_topic(broker, name)
            harness.wait_topic(broker, name)
    pair = Pair(brokers)
    yield pair
    pair.end()
    for broker in brokers:
        broker.stop()


# --- changes that are judged -------------------------------------------------

TOPIC_CHANGES = [
    [("retention.ms", SET, "abc")],
    [("retention.ms", SET, "")],
    [("retention.ms", SET, " 10 ")],
    [("retention.ms", SET, "-2")],
    [("retention.ms", SET, "9223372036854775808")],
    [("retention.ms", SET, None)],
    [("retention.ms", SET, None), ("segment.bytes", APPEND, None)],
    [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)],
    [("retention.ms", DELETE, "1"), ("no.such", DELETE, None)],
    [("retention.ms", APPEND, "1")],
    [("retention.ms", SUBTRACT, "1")],
    [("retention.ms", 4, "1")],
    [("retention.ms", -1, "1")],
    [("no.such", SET, "1")],
    [("", SET, "1")],
    [("no.such", APPEND, "1")],
    [("no.such", SUBTRACT, "1")],
    [("no.such", SET, "1"), ("retention.ms", SET, "x")],
    [("retention.ms", SET, "x"), ("no.such", SET, "1")],
    [("cleanup.policy", SET, "shred")],
    [("cleanup.policy", SET, "delete,shred")],
    [("cleanup.policy", SET, "")],
    [("cleanup.policy", SUBTRACT, "delete")],
    [("cleanup.policy", SUBTRACT, "compact")],
    [("cleanup.policy", APPEND, "delete")],
    [("compression.type", SET, "rar")],
    [("compression.type", SET, "gzip")],
    [("compression.gzip.level", SET, "0")],
    [("compression.gzip.level", SET, "-1")],
    [("compression.lz4.level", SET, "18")],
    [("compression.zstd.level", SET, "23")],
    [("segment.bytes", SET, "13")],
    [("segment.bytes", SET, "14")],
    [("segment.bytes", SET, "1.5")],
    [("segment.ms", SET, "0")],
    [("segment.index.bytes", SET, "3")],
    [("segment.jitter.ms", SET, "-1")],
    [("flush.messages", SET, "0")],
    [("flush.ms", SET, "-1")],
    [("file.delete.delay.ms", SET, "-1")],
    [("delete.retention.ms", SET, "-1")],
    [("index.interval.bytes", SET, "-1")],
    [("max.message.bytes", SET, "-1")],
    [("min.insync.replicas", SET, "0")],
    [("preallocate", SET, "maybe")],
    [("preallocate", SET, "TRUE")],
    [("unclean.leader.election.enable", SET, "1")],
    [("message.downconversion.enable", SET, "no")],
    [("min.cleanable.dirty.ratio", SET, "2")],
    [("min.cleanable.dirty.ratio", SET, "-0.25")],
    [("min.cleanable.dirty.ratio", SET, "x")],
    [("min.cleanable.dirty.ratio", SET, "0.25")],
    [("message.format.version", SET, "9")],
    [("message.format.version", SET, "2.8")],
    [("message.timestamp.type", SET, "Now")],
    [("message.timestamp.before.max.ms", SET, "-1")],
    [("message.timestamp.after.max.ms", SET, "-1")],
    [("message.timestamp.difference.max.ms", SET, "-1")],
    [("min.compaction.lag.ms", SET, "10"), ("max.compaction.lag.ms", SET,
                                            "5")],
    [("min.compaction.lag.ms", SET, "5"), ("max.compaction.lag.ms", SET,
                                           "5")],
    [("max.compaction.lag.ms", SET, "0")],
    [("remote.storage.enable", SET, "true")],
    [("remote.storage.enable", SET, "false")],
    [("remote.log.copy.disable", SET, "true")],
    [("remote.log.delete.on.disable", SET, "true")],
    [("local.retention.ms", SET, "-3")],
    [("local.retention.bytes", SET, "5")],
    [("leader.replication.throttled.replicas", SET, "*")],
    [("leader.replication.throttled.replicas", SET, "x")],
    [("leader.replication.throttled.replicas", APPEND, "0:1,1:0")],
    [("leader.replication.throttled.replicas", APPEND, "x")],
    [("follower.replication.throttled.replicas", SUBTRACT, "0:1")],
    [],
]


@pytest.mark.parametrize("version", (0, 1))
def test_topic_changes(pair, version):
    for rows in TOPIC_CHANGES:
        equal(alter(pair, version, (TOPIC, "t", rows)))


def replacements(table):
    """As AlterConfigs has them."""
    for rows in table:
        yield [(n, v) for n, _, v in rows]


@pytest.mark.parametrize("version", (0, 1, 2))
def test_topic_replacements(pair, version):
    for rows in replacements(TOPIC_CHANGES):
        equal(replace(pair, version, (TOPIC, "t", rows)))


BROKER_CHANGES = [
    [("broker.id", SET, "1")],
    [("broker.id", SET, "1"), ("zookeeper.connect", SET, "x")],
    [("zookeeper.connect", DELETE, None)],
    [(name, SET, "1") for name in ("broker.id", "log.dirs", "log.dir",
                                   "num.partitions", "node.id")],
    [("log.roll.hours", SET, "1")],
    [("log.retention.hours", SET, "1")],
    [("password.encoder.secret", SET, "x")],
    [("ssl.keystore.password", SET, "x")],
    [("ssl.keystore.password", SET, "x"), ("ssl.key.password", SET, "y")],
    [("log.retention.ms", SET, "abc")],
    [("log.retention.ms", SET, None)],
    [("log.retention.ms", SET, "5")],
    [("log.retention.ms", 9, "5")],
    [("log.retention.ms", APPEND, "1")],
    [("log.retention.ms", DELETE, None)],
    [("log.cleanup.policy", APPEND, "delete")],
    [("log.cleanup.policy", SUBTRACT, "compact")],
    [("log.cleanup.policy", SET, "shred")],
    [("no.such", APPEND, "x")],
    [("no.such", SET, "x")],
    [("no.such.%d" % i, SET, "x") for i in range(6)],
    [("background.threads", SET, "0")],
    [("background.threads", SET, "4")],
    [("background.threads", SET, "5")],
    [("background.threads", SET, "20")],
    [("background.threads", SET, "21")],
    [("num.io.threads", SET, "100")],
    [("num.io.threads", SET, "1")],
    [("num.network.threads", SET, "100")],
    [("num.replica.fetchers", SET, "3")],
    [("num.recovery.threads.per.data.dir", SET, "9")],
    [("log.cleaner.threads", SET, "5")],
    [("max.connections", SET, "0")],
    [("max.connections", SET, "10")],
    [("max.connection.creation.rate", SET, "0")],
    [("max.connections.per.ip", SET, "-1")],
    [("min.insync.replicas", SET, "0")],
    [("message.max.bytes", SET, "-1")],
    [("log.segment.bytes", SET, "13")],
    [("compression.type", SET, "rar")],
    [("unclean.leader.election.enable", SET, "yes")],
    [("log.local.retention.ms", SET, "-1")],
    [("log.local.retention.bytes", SET, "-1")],
    [("log.retention.bytes", SET, "5"), ("log.local.retention.bytes", SET,
                                         "6")],
    [("log.message.timestamp.difference.max.ms", SET, "-4")],
    [("leader.replication.throttled.rate", SET, "x")],
    [("leader.replication.throttled.rate", SET, "10")],
    [("replica.alter.log.dirs.io.max.bytes.per.second", SET, "-1")],
    [(LISTENER + "max.connections", SET, "7")],
    [(LISTENER + "max.connections", SET, "x")],
    [(LISTENER + "num.network.threads", SET, "3")],
    [(LISTENER + "log.retention.ms", SET, "7")],
    [(LISTENER + "ssl.keystore.password", SET, "x")],
    [("listener.name.other.ssl.key.password", SET, "x")],
    [("advertised.listeners", SET, "PLAINTEXT://host:1")],
    [],
]


@pytest.mark.parametrize("name", ("0", "", "00"))
def test_broker_changes(pair, name):
    for rows in BROKER_CHANGES:
        equal(alter(pair, 1, (BROKER, name, rows)))
    for rows in replacements(BROKER_CHANGES):
        equal(replace(pair, 2, (BROKER, name, rows)))


LOGGER_CHANGES = [
    [("root", SET, "debug")], [("root", SET, "OFF")], [("root", SET, "")],
    [("root", DELETE, None)], [("root", APPEND, "INFO")],
    [("root", SUBTRACT, "INFO")], [("root", 7, "INFO")],
    [("no.such", SET, "INFO")], [("no.such", DELETE, None)],
    [("", SET, "INFO")], [("root", SET, "INFO"), ("no.such", SET, "INFO")],
    [("root", SET, None)], [("root", SET, "INFO"), ("root", SET, "WARN")],
    [("root", SET, "INFO")], [],
    [("kafka.controller.KafkaController", SET, "DEBUG")],
    [("kafka.controller.KafkaController", DELETE, None)],
    [("kafka.controller.KafkaController", SET, "OFF")],
    [("kafka.controller.Kafka", SET, "DEBUG")],
    [("kafka.server", SET, "DEBUG")], [("Kafka.server", DELETE, None)],
]


@pytest.mark.parametrize("name", ("0", "1", "", "x"))
def test_logger_changes(pair, name):
    for rows in LOGGER_CHANGES:
        equal(alter(pair, 1, (LOGGER, name, rows)))
        equal(replace(pair, 2, (LOGGER, name, [
            (n, v) for n, _, v in rows[:1]])))


@pytest.mark.parametrize("kind", (-1, 0, 1, 3, 5, BROKER, LOGGER,
                                  CLIENT_METRICS, 32, 127))
def test_other_resources(pair, kind):
    for name in ("", "x", "0", "1", "-1", "+0", "2147483648"):
        equal(alter(pair, 1, (kind, name, [("a", SET, "b")])))
        equal(replace(pair, 2, (kind, name, [("a", "b")])))
        if kind != CLIENT_METRICS:
            equal(alter(pair, 0, (kind, name, [("a", SET, None)])))


def test_other_topics(pair):
    for name in ("", "no-such", "a b", "a/b", "x" * 250, "\u00e4"):
        for rows in ([("retention.ms", SET, "1")], [("no.such", SET, "1")],
                     [("no.such", APPEND, "1")], []):
            equal(alter(pair, 1, (TOPIC, name, rows)))
            equal(replace(pair, 2, (TOPIC, name, [
                (n, v) for n, _, v in rows])))


def test_several(pair):
    """Each for itself, and in their order; what appears twice not at all."""
    good = (TOPIC, "t", [("retention.ms", SET, "1")])
    bad = (TOPIC, "u", [("retention.ms", SET, "x")])
    broker = (BROKER, "0", [("log.retention.ms", SET, "1")])
    default = (BROKER, "", [("log.retention.ms", SET, "1")])
    for rows in ((good, bad, broker, default), (bad, good, default),
                 (good, bad, good), (good, good), (bad, broker, bad, broker),
                 (broker, broker, broker), ()):
        equal(alter(pair, 1, *rows))
    equal(replace(pair, 2, *[(k, n, [(a, v) for a, _, v in rows])
                             for k, n, rows in (good, bad, broker)]))
    equal(replace(pair, 2))


# --- what is left ------------------------------------------------------------

def test_topic_nodes(pair):
    """A chain of changes leaves the same node behind each, and the same
    notifications in the end."""
    throttled = "leader.replication.throttled.replicas"
    for rows in (
            [("retention.ms", SET, " 10 "), ("segment.bytes", SET, "2000"),
             ("preallocate", SET, "TRUE")],
            [("retention.ms", DELETE, None), (throttled, APPEND, "0:1,0:2")],
            [(throttled, APPEND, "0:1,0:3,0:3")],
            [(throttled, APPEND, "")],
            [(throttled, SUBTRACT, "0:3,0:9")],
            [(throttled, SUBTRACT, "0:1,0:2,0:3")],
            [("cleanup.policy", SUBTRACT, "delete")],
            [("cleanup.policy", APPEND, "delete")],
            [("cleanup.policy", APPEND, "delete")],
            [("segment.bytes", DELETE, None), ("no.such", DELETE, None)],
            [("segment.bytes", SET, "x")],
            []):
        equal(alter(pair, 1, (TOPIC, "t", rows), validate=False))
        ours, real = pair.node("/config/topics/t")
        assert ours == real
    for version, rows in enumerate(([("retention.ms", "77"),
                                     ("compression.type", "gzip")], [],
                                    [("retention.ms", "7")])):
        equal(replace(pair, version, (TOPIC, "t", rows), validate=False))
        ours, real = pair.node("/config/topics/t")
        assert ours == real
    ours, real = pair.notices()
    assert ours == real


def await_same(pair):
    """Ours at once, Kafka when it has heard of it."""
    names = ("log.retention.ms", "no.such", "log.flush.interval.messages",
             LISTENER + "max.connections")
    ours = [shown(pair, BROKER, which, *names, docs=True)[0]
            for which in ("0", "")]
    harness.wait_until(lambda: ours == [
        shown(pair, BROKER, which, *names, docs=True)[1]
        for which in ("0", "")], what="Kafka tells what ours told at once")
    of_topic = shown(pair, TOPIC, "u", "retention.ms", "flush.messages")
    assert of_topic[0] == of_topic[1]


def test_broker_nodes(pair):
    """Changes of a broker and of all, seen by whoever asks next; each is taken
    back in the end."""
    here, all_ = "/config/brokers/0", "/config/brokers/<default>"
    for name, rows in (
            ("0", [("log.retention.ms", SET, " 1234567 "),
                   ("no.such", SET, "bar")]),
            ("", [("log.retention.ms", SET, "1234568"),
                  ("log.flush.interval.messages", SET, "7")]),
            ("0", [(LISTENER + "max.connections", SET, "700")]),
            ("0", [("log.retention.ms", DELETE, None)]),
            ("0", [("broker.id", DELETE, None)]),
            ("", [("broker.id", SET, "3")]),
            ("0", []), ("", [])):
        equal(alter(pair, 1, (BROKER, name, rows), validate=False))
        for path in (here, all_):
            ours, real = pair.node(path)
            assert ours == real
        await_same(pair)
    for name, version in (("0", 0), ("", 1)):
        equal(replace(pair, version, (BROKER, name, []), validate=False))
    ours, real = pair.notices()
    assert ours == real


# --- what is told ------------------------------------------------------------

# What is the broker's own, and what this version has no use for.
OWN = {"listeners", "log.dirs", "zookeeper.connect", "advertised.listeners"}


@pytest.mark.parametrize("version", range(5))
def test_described(pair, version):
    for kind, name in ((TOPIC, "u"), (BROKER, "0"), (BROKER, "")):
        ours, real = shown(pair, kind, name, version=version, docs=True)
        for answer in (ours, real):
            answer["Configs"] = {
                n: c for n, c in answer["Configs"].items()
                if n not in OWN and not n.startswith("barnabas.")}
        # set for the tests, of one of them only
        for n in set(pair.brokers[1].options) - set(pair.brokers[0].options):
            ours["Configs"].pop(n, None)
            real["Configs"].pop(n, None)
        assert set(ours["Configs"]) == set(real["Configs"])
        for n in ours["Configs"]:
            assert ours["Configs"][n] == real["Configs"][n]
        assert ours == real


def test_described_strangers(pair, java):
    """Of what a topic's node holds and nobody knows, the name is told."""
    for broker, nodes in zip(pair.brokers, pair.nodes):
        harness.create_topic(broker, "s")
        harness.wait_topic(broker, "s")
        nodes.set("/config/topics/s", json.dumps({"version": 1, "config": {
            "no.such": "1", "retention.ms": "5", "my.password": ""}})
            .encode())
        nodes.create("/config/changes/config_change_", json.dumps(
            {"version": 2, "entity_path": "topics/s"}).encode(),
            sequence=True)
    harness.wait_until(lambda: all(
        told["Configs"]["retention.ms"]["Value"] == "5"
        for told in shown(pair, TOPIC, "s")))
    for version in range(5):
        for keys in ((), ("no.such", "nor.this"), ("retention.ms",)):
            ours, real = shown(pair, TOPIC, "s", *keys, version=version,
                               docs=True)
            assert ours == real
            assert ("no.such" in ours["Configs"]) == (
                keys != ("retention.ms",))
    ours, real = (java.run(
        "kafka-configs", "--bootstrap-server", broker.address, "--describe",
        "--topic", "s")[1].splitlines() for broker in pair.brokers)
    assert sorted(ours) == sorted(real) and len(ours) == 4


def test_described_loggers(pair):
    names = ("root", "kafka.network.Processor")
    equal(alter(pair, 1, (LOGGER, "0", [(names[0], SET, "ERROR"),
                                        (names[1], SET, "WARN")]),
                validate=False))
    for version in range(5):
        ours, real = shown(pair, LOGGER, "0", *names, "no.such",
                           version=version)
        assert ours == real and set(ours["Configs"]) == set(names)
    equal(alter(pair, 1, (LOGGER, "0", [(names[0], SET, "INFO"),
                                        (names[1], DELETE, None)]),
                validate=False))
    ours, real = shown(pair, LOGGER, "0", *names)
    assert ours == real


# What its log4j.properties name beside classes.
NO_CLASSES = {"kafka.controller", "org.apache.kafka", "org.apache.zookeeper",
              "state.change.logger", "kafka.request.logger",
              "kafka.authorizer.logger"}


def test_loggers_of_kafka(pair):
    """Kafka has them all."""
    classes = set()
    for jar in real_kafka.jars().glob("*.jar"):
        if jar.name.startswith(("kafka", "zookeeper")):
            classes.update(zipfile.ZipFile(jar).namelist())
    ours, real = shown(pair, LOGGER, "0")
    for name in set(ours["Configs"]) - set(real["Configs"]) - NO_CLASSES:
        assert ("." not in name or
                name.replace(".", "/") + ".class" in classes), name
    assert len(set(ours["Configs"]) & set(real["Configs"])) > 40


def test_described_otherwise(pair):
    for kind in (-1, 0, 1, 3, TOPIC, BROKER, LOGGER, CLIENT_METRICS, 32):
        for name in ("", "1", "x", "no-such", "a/b", ".", "x" * 250, "00"):
            if (kind, name) in ((LOGGER, "00"), (BROKER, "00")):
                continue
            ours, real = shown(pair, kind, name, "retention.ms", "no.such")
            assert ours == real
    for kinds in ((TOPIC, 3, TOPIC), (TOPIC, TOPIC, CLIENT_METRICS)):
        ours, real = pair.each("DescribeConfigs", 4, Resources=[
            {"ResourceType": kind, "ResourceName": "u",
             "ConfigurationKeys": ["retention.ms", "retention.ms"]}
            for kind in kinds])
        assert ours == real
    for keys in ([], ["no.such"]):
        ours, real = shown(pair, TOPIC, "u", *keys)
        assert set(ours["Configs"]) == set(real["Configs"])


# --- secrets -----------------------------------------------------------------

def java_secrets(tmp_path, *lines):
    """What Kafka's own encoder makes of each: "encode" or "decode", the
    secret, and so on, by tabs."""
    source = pathlib.Path(__file__).with_name("Secrets.java")
    got = subprocess.run(
        real_kafka.java(tmp_path, str(source)), check=True,
        input="".join("\t".join(line) + "\n" for line in lines).encode(),
        capture_output=True)
    return got.stdout.decode().split("\n")[:-1]


def stored(pair, which, name):
    return pair.node("/config/brokers/0")[which]["config"][name]


def test_secrets(pair, tmp_path):
    """Kafka decodes what ours encoded; what Kafka encoded ours knows again, and
    leaves as it is."""
    name = LISTENER + "ssl.keystore.password"
    path = "/config/brokers/0"
    equal(alter(pair, 1, (BROKER, "0", [(name, SET, PASSWORD)]),
                validate=False))
    ours, real = (stored(pair, i, name) for i in range(2))

    def parts(text):
        return {k: v for k, _, v in (p.partition(":")
                                     for p in text.split(","))}
    differ = {"salt", "initializationVector", "encryptedPassword"}
    assert {k: v for k, v in parts(ours).items() if k not in differ} == {
        k: v for k, v in parts(real).items() if k not in differ}
    assert {k: len(v) for k, v in parts(ours).items()} == {
        k: len(v) for k, v in parts(real).items()}
    algorithms = [("", "AES/CBC/PKCS5Padding", "128", "4096"),
                  ("PBKDF2WithHmacSHA256", "AES/GCM/NoPadding", "256", "1024"),
                  ("PBKDF2WithHmacSHA1", "DESede/CBC/PKCS5Padding", "192",
                   "2000")]
    out = java_secrets(tmp_path, ("decode", SECRET, ours), *(
        ("encode", SECRET, PASSWORD, *a) for a in algorithms))
    assert out[0] == PASSWORD
    for text in (real, *out[1:]):
        pair.nodes[0].set(path, json.dumps(
            {"version": 1, "config": {name: text}}).encode())
        equal(alter(pair, 1, (BROKER, "0", [(name, SET, PASSWORD)]),
                    validate=False))
        assert stored(pair, 0, name) == text
    # and another password is another one
    equal(alter(pair, 1, (BROKER, "0", [(name, SET, PASSWORD + "!")]),
                validate=False))
    assert java_secrets(tmp_path, ("decode", SECRET, stored(
        pair, 0, name))) == [PASSWORD + "!"]
    harness.wait_until(lambda: name in shown(pair, BROKER, "0", name)[1][
        "Configs"])
    ours, real = shown(pair, BROKER, "0", name)
    assert ours == real


@pytest.mark.parametrize("name", ("0", ""))
def test_secrets_of_all(pair, name):
    """What ends in a secret's name is one."""
    for rows in ([("my.ssl.key.password", SET, "x")],
                 [("sasl.jaas.config", DELETE, None)]):
        equal(alter(pair, 1, (BROKER, name, rows), validate=False))
        ours, real = pair.node("/config/brokers/" + (name or "<default>"))
        assert set((ours or {}).get("config", ())) == set(
            (real or {}).get("config", ()))


def test_no_secret(make_broker, make_kafka):
    """Without password.encoder.secret: the answers are equal, too."""
    name = LISTENER + "ssl.keystore.password"
    brokers = [make_broker(0).start(), make_kafka(1).start()]
    answers = []
    for broker in brokers:
        with wire.Client(broker.address) as c:
            for validate in (True, False):
                row, = c.call("IncrementalAlterConfigs", 1,
                              ValidateOnly=validate, Resources=[resource(
                                  BROKER, str(broker.broker_id),
                                  [(name, SET, "x")])])["Responses"]
                answers.append((row["ErrorCode"], (
                    row["ErrorMessage"] or "").replace(
                        f"'{broker.broker_id}'", "'N'")))
    assert answers[:2] == answers[2:]
    assert answers[0] == (0, "") and answers[1][0] == 40


# --- Kafka's own tool --------------------------------------------------------

TOPICS = ("--entity-type", "topics", "--entity-name", "u")
ONE = ("--entity-type", "brokers", "--entity-name", "0")
ALL = ("--entity-type", "brokers", "--entity-default")
LOGGERS = ("--entity-type", "broker-loggers", "--entity-name", "0")
COMMANDS = [
    ("--alter", *TOPICS, "--add-config", "retention.ms=5,segment.bytes=[2000]"),
    ("--describe", *TOPICS),
    ("--alter", *TOPICS, "--add-config", "retention.ms=x"),
    ("--alter", *TOPICS, "--delete-config", "retention.ms,segment.bytes"),
    ("--alter", *TOPICS, "--delete-config", "retention.ms"),
    ("--describe", *TOPICS),
    ("--alter", *ALL, "--add-config", "log.retention.ms=77"),
    ("--alter", *ONE, "--add-config", "log.flush.interval.messages=9"),
    ("--alter", *ONE, "--add-config", "broker.rack=x"),
    ("--describe", *ONE),
    ("--describe", *ALL),
    ("--alter", *ALL, "--delete-config", "log.retention.ms"),
    ("--alter", *ONE, "--delete-config", "log.flush.interval.messages"),
    ("--alter", *LOGGERS, "--add-config", "root=WARN"),
    ("--alter", *LOGGERS, "--add-config", "root=LOUD"),
    ("--alter", *LOGGERS, "--add-config", "no.such=WARN"),
    ("--alter", *LOGGERS, "--delete-config", "root"),
    ("--alter", *LOGGERS, "--add-config",
     "kafka.controller.KafkaController=DEBUG,kafka.request.logger=TRACE"),
    ("--alter", *LOGGERS, "--delete-config",
     "kafka.controller.KafkaController,kafka.request.logger"),
]


def test_kafka_configs(pair, java):
    """It does its work on ours as on Kafka."""
    def run(broker, words):
        status, out = java.run("kafka-configs", "--bootstrap-server",
                               broker.address, *words)
        text = (out + java.err).decode().replace(broker.address, "HOST")
        return status, sorted(line for line in text.splitlines()
                              if not line.startswith("\tat "))
    for words in COMMANDS:
        ours = run(pair.brokers[0], words)
        if words[0] == "--alter":
            assert ours == run(pair.brokers[1], words)
        else:   # Kafka's own comes a moment later
            harness.wait_until(lambda: run(pair.brokers[1], words) == ours,
                               what=f"Kafka answers {words} as ours: {ours}")
    logger, = [line for line in run(
        pair.brokers[0], ("--describe", *LOGGERS))[1] if "root=" in line]
    assert logger.split()[0] == "root=WARN"
    run(pair.brokers[0], ("--alter", *LOGGERS, "--add-config", "root=INFO"))
