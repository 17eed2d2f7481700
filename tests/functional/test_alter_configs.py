# SPDX-License-Identifier: Apache-2.0
"""AlterConfigs and IncrementalAlterConfigs: what changes, for whom, and when;
also by the clients that people use."""

import concurrent.futures
import contextlib
import json

import confluent_kafka.admin
import kafka
import kafka.admin
import pytest

import harness
import wire
from dynamic_configs import (APPEND, BROKER, DELETE, LOGGER, SET, SUBTRACT,
                             TOPIC, alter)

pytestmark = pytest.mark.ours
NONE, UNKNOWN_TOPIC, TIMED_OUT, TOO_LARGE = 0, 3, 7, 10
STALE_CONTROLLER, INVALID_CONFIG, INVALID_REQUEST = 11, 40, 42
KEYSTORE = "listener.name.plaintext.ssl.keystore.password"


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


@contextlib.contextmanager
def nodes(broker):
    z = harness.connect_zk(broker)
    try:
        yield z
    finally:
        z.end()


def entries(broker, path):
    with nodes(broker) as z:
        return json.loads(z.get("/config/" + path)[0])["config"]


def notices(broker):
    with nodes(broker) as z:
        return [json.loads(z.get(f"/config/changes/{n}")[0])["entity_path"]
                for n in sorted(z.get_children("/config/changes"))]


def replace(client, kind, name, validate=False, version=2, **rows):
    row, = client.call(
        "AlterConfigs", version, ValidateOnly=validate, Resources=[
            {"ResourceType": kind, "ResourceName": name, "Configs": [
                {"Name": n.replace("_", "."), "Value": v}
                for n, v in rows.items()]}])["Responses"]
    return row["ErrorCode"], row["ErrorMessage"]


def shown(client, kind, name, *keys):
    """{name: (value, source)}"""
    result, = client.call("DescribeConfigs", 4, Resources=[
        {"ResourceType": kind, "ResourceName": name,
         "ConfigurationKeys": list(keys)}])["Results"]
    assert result["ErrorCode"] == NONE, result
    return {c["Name"]: (c["Value"], c["ConfigSource"])
            for c in result["Configs"]}


# --- topics ------------------------------------------------------------------

def test_counts_at_once(client, shared_broker, topic):
    """The next describe has it, and the next produce goes by it."""
    harness.wait_topic(shared_broker, topic)
    for size, good in ((1000, False), (5000, True), (900, False)):
        assert alter(client, TOPIC, topic, (
            "max.message.bytes", SET, str(size))) == (NONE, None)
        assert shown(client, TOPIC, topic, "max.message.bytes") == {
            "max.message.bytes": (str(size), 1)}
        error = wire.produce(client, topic, wire.batch([b"x" * 2000]))[
            "ErrorCode"]
        assert error == (NONE if good else TOO_LARGE)
    assert alter(client, TOPIC, topic, (
        "max.message.bytes", DELETE, None)) == (NONE, None)
    assert shown(client, TOPIC, topic, "max.message.bytes") == {
        "max.message.bytes": ("1048588", 5)}


def test_validate_only(client, shared_broker, topic):
    before = notices(shared_broker)
    for error, value in ((NONE, "5"), (INVALID_CONFIG, "x")):
        assert alter(client, TOPIC, topic, ("retention.ms", SET, value),
                     validate=True)[0] == error
        assert replace(client, TOPIC, topic, retention_ms=value,
                       validate=True)[0] == error
    assert entries(shared_broker, f"topics/{topic}") == {}
    assert notices(shared_broker) == before


def test_replaced_whole(client, shared_broker, topic):
    for rows in ({"retention_ms": "5", "segment_ms": "6"},
                 {"segment_ms": "7"}, {}):
        assert replace(client, TOPIC, topic, **rows) == (NONE, None)
        assert entries(shared_broker, f"topics/{topic}") == {
            n.replace("_", "."): v for n, v in rows.items()}
    assert notices(shared_broker)[-3:] == [f"topics/{topic}"] * 3


def test_orphan_config(client, shared_broker):
    """A topic that is not there gets no config, whatever lies about."""
    with nodes(shared_broker) as z:
        z.create("/config/topics/orphan",
                 b'{"version":1,"config":{"retention.ms":"5"}}')
    for name in ("orphan", "no-such"):
        assert alter(client, TOPIC, name, ("segment.ms", SET, "5")) == (
            UNKNOWN_TOPIC, f"The topic '{name}' does not exist.")
    assert entries(shared_broker, "topics/orphan") == {"retention.ms": "5"}


def test_read_back(client, shared_broker, topic):
    """What stands in ZooKeeper is told, before any notification of it."""
    harness.wait_topic(shared_broker, topic)
    with nodes(shared_broker) as z:
        for value in ("2000000", "3000000"):
            z.set(f"/config/topics/{topic}", json.dumps({
                "version": 1, "config": {"retention.ms": value}}).encode())
            assert shown(client, TOPIC, topic, "retention.ms") == {
                "retention.ms": (value, 1)}


def test_unreadable_node(client, shared_broker, topic):
    """It is left as it is."""
    with nodes(shared_broker) as z:
        z.set(f"/config/topics/{topic}", b"no json")
        assert alter(client, TOPIC, topic, ("segment.ms", SET, "5"))[0] == -1
        assert z.get(f"/config/topics/{topic}")[0] == b"no json"


def test_hostile_bytes(client, shared_broker, topic):
    """What JSON cannot hold is refused."""
    good = wire.request_frame(
        "IncrementalAlterConfigs", 0, 9, ValidateOnly=False, Resources=[{
            "ResourceType": TOPIC, "ResourceName": topic, "Configs": [{
                "Name": "retention.ms", "ConfigOperation": SET,
                "Value": "1BAD1"}]}])
    for bad, error in ((b"1\xff\xc01", INVALID_REQUEST),
                       (b"1\0\0\0" + b"1", INVALID_CONFIG)):
        client.send_frame(good.replace(b"1BAD1", bad.ljust(5, b"1")[:5]))
        answer = client.receive_frame()
        assert int.from_bytes(answer[12:14], "big", signed=True) == error
    assert entries(shared_broker, f"topics/{topic}") == {}


def test_many_at_once(client, shared_broker):
    """Each resource is answered, in its order; more than a round takes."""
    names = [f"many-{i}" for i in range(450)]
    for name in names[::15]:
        harness.create_topic(shared_broker, name)
    rows = client.call("IncrementalAlterConfigs", 1, Resources=[
        {"ResourceType": TOPIC, "ResourceName": name, "Configs": [
            {"Name": "retention.ms", "ConfigOperation": SET,
             "Value": str(i)}]} for i, name in enumerate(names)])["Responses"]
    assert [(r["ResourceName"], r["ErrorCode"]) for r in rows] == [
        (name, UNKNOWN_TOPIC if i % 15 else NONE)
        for i, name in enumerate(names)]
    for i in range(0, 450, 15):
        assert entries(shared_broker, f"topics/{names[i]}") == {
            "retention.ms": str(i)}


def test_no_change_is_lost(shared_broker, topic):
    """Clients that change one topic at once: a list that each lengthens."""
    name = "leader.replication.throttled.replicas"

    def one(number):
        with wire.Client(shared_broker.address) as c:
            return [alter(c, TOPIC, topic, (name, APPEND, f"{number}:{i}"))
                    for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for answers in pool.map(one, range(6)):
            assert answers == [(NONE, None)] * 8
    assert sorted(entries(shared_broker, f"topics/{topic}")[name].split(
        ",")) == sorted(f"{n}:{i}" for n in range(6) for i in range(8))


def test_two_brokers(make_broker):
    """Either takes it; both go by it."""
    brokers = [make_broker(i).start() for i in range(2)]
    harness.create_topic(brokers[0], "t")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.Client(b.address))
                   for b in brokers]
        harness.wait_until(lambda: all(
            c.call("Metadata", 7, Topics=[{"Name": "t"}],
                   AllowAutoTopicCreation=False)["Topics"][0]["ErrorCode"]
            == NONE for c in clients))
        for i, value in ((0, "5"), (1, "6"), (0, "7")):
            assert alter(clients[i], TOPIC, "t", (
                "retention.ms", SET, value)) == (NONE, None)
            assert shown(clients[i], TOPIC, "t", "retention.ms") == {
                "retention.ms": (value, 1)}
            harness.wait_until(lambda: shown(
                clients[1 - i], TOPIC, "t", "retention.ms") == {
                    "retention.ms": (value, 1)})
        assert alter(clients[0], BROKER, "1", ("no.such", SET, "1"))[0] == (
            INVALID_REQUEST)


# --- brokers -----------------------------------------------------------------

def test_broker_at_once(make_broker):
    """Of this broker, and of all: the next describe has it, topics go by it."""
    broker = make_broker().start()
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c:
        assert alter(c, BROKER, "", ("message.max.bytes", SET, "1000")) == (
            NONE, None)
        for name in ("0", ""):
            assert shown(c, BROKER, name, "message.max.bytes") == {
                "message.max.bytes": ("1000", 3)}
        assert shown(c, TOPIC, "t", "max.message.bytes") == {
            "max.message.bytes": ("1000", 3)}
        assert wire.produce(c, "t", wire.batch([b"x" * 2000]))[
            "ErrorCode"] == TOO_LARGE
        assert alter(c, BROKER, "0", ("message.max.bytes", SET, "5000")) == (
            NONE, None)
        assert shown(c, TOPIC, "t", "max.message.bytes") == {
            "max.message.bytes": ("5000", 2)}
        assert wire.produce(c, "t", wire.batch([b"x" * 2000]))[
            "ErrorCode"] == NONE
        assert replace(c, BROKER, "0") == replace(c, BROKER, "") == (
            NONE, None)
        assert shown(c, BROKER, "0", "message.max.bytes") == {
            "message.max.bytes": ("1048588", 5)}
    assert notices(broker) == ["brokers/<default>", "brokers/0", "brokers/0",
                               "brokers/<default>"]


def test_refused_by_name(client, shared_broker):
    error, message = alter(client, BROKER, "",
                           ("metric.reporters", SET, "a.B"))
    assert error == INVALID_CONFIG and "metric.reporters" in message
    error, message = alter(client, BROKER, "0", (
        "log.cleaner.min.compaction.lag.ms", SET, "5"), (
            "log.cleaner.max.compaction.lag.ms", SET, "4"))
    assert error == INVALID_REQUEST and "compaction.lag" in message


def test_refused_together(client, shared_broker):
    """What is said of the broker and of all in one request."""
    rows = ((("", "log.cleaner.min.compaction.lag.ms", "50"),
             ("0", "log.cleaner.max.compaction.lag.ms", "40")),
            (("0", "log.cleaner.max.compaction.lag.ms", "40"),
             ("", "log.cleaner.min.compaction.lag.ms", "50")))
    for both in rows:
        answers = client.call(
            "IncrementalAlterConfigs", 1, ValidateOnly=True, Resources=[
                {"ResourceType": BROKER, "ResourceName": name, "Configs": [
                    {"Name": key, "ConfigOperation": SET, "Value": value}]}
                for name, key, value in both])["Responses"]
        assert [a["ErrorCode"] for a in answers] == [NONE, INVALID_REQUEST]
        assert "compaction.lag" in answers[1]["ErrorMessage"]


# --- secrets -----------------------------------------------------------------

def test_secrets(make_broker):
    """They are in no node, no log and no answer; with another secret they are
    told and kept, with the old one given they are encoded anew."""
    broker = make_broker(**{"password.encoder.secret": "first"}).start()

    def client():
        return wire.Client(broker.address)
    with client() as c:
        assert alter(c, BROKER, "0", (KEYSTORE, SET, "hush-hush")) == (
            NONE, None)
        first = entries(broker, "brokers/0")[KEYSTORE]
        assert "hush" not in first and "iterations:4096" in first
        # another entry leaves it alone
        assert alter(c, BROKER, "0", ("no.such", SET, "1")) == (NONE, None)
        assert entries(broker, "brokers/0")[KEYSTORE] == first
        assert shown(c, BROKER, "0", KEYSTORE) == {KEYSTORE: (None, 2)}
    # another secret: nobody can read it, nobody loses it
    broker.stop()
    broker.set(**{"password.encoder.secret": "second"})
    broker.start()
    assert KEYSTORE in broker.log()
    with client() as c:
        assert shown(c, BROKER, "0", KEYSTORE) == {}
        assert alter(c, BROKER, "0", ("no.such", SET, "2")) == (NONE, None)
    assert entries(broker, "brokers/0") == {KEYSTORE: first, "no.such": "2"}
    # the old one is given: it is encoded anew, and the others hear of it
    broker.stop()
    seen = len(notices(broker))
    broker.set(**{"password.encoder.old.secret": "first"})
    broker.start()
    second = entries(broker, "brokers/0")[KEYSTORE]
    assert second != first
    assert notices(broker)[seen:] == ["brokers/0"]
    broker.stop()
    broker.set(**{"password.encoder.old.secret": None})
    broker.start()
    with client() as c:
        assert shown(c, BROKER, "0", KEYSTORE) == {KEYSTORE: (None, 2)}
        # known again, so that the same value leaves it as it is
        assert alter(c, BROKER, "0", (KEYSTORE, SET, "hush-hush")) == (
            NONE, None)
        assert entries(broker, "brokers/0")[KEYSTORE] == second
        assert alter(c, BROKER, "0", (KEYSTORE, DELETE, None)) == (
            NONE, None)
    assert entries(broker, "brokers/0") == {"no.such": "2"}
    assert "hush" not in broker.log()


def test_no_secret(client, shared_broker):
    assert alter(client, BROKER, "0", (KEYSTORE, SET, "x")) == (
        INVALID_CONFIG, "Invalid config value for resource ConfigResource("
        "type=BROKER, name='0'): Password encoder secret not configured")


def test_unknown_cipher(make_broker):
    """The start says it, and so does the check."""
    broker = make_broker(**{"password.encoder.secret": "s",
                            "password.encoder.cipher.algorithm": "ROT13"})
    broker.launch()
    assert broker.process.wait(harness.PATIENCE) == 1
    broker.process = None
    assert "ROT13" in broker.log()


# --- loggers -----------------------------------------------------------------

def lines(broker, level):
    return broker.log().count(f" {level} ")


def test_loggers(make_broker):
    """A level counts at once, for rooms without one of their own that of the
    root; after a restart those of the file count."""
    broker = make_broker(barnabas_log_level="WARN,net=ERROR").start()
    with wire.Client(broker.address) as c:
        told = shown(c, LOGGER, "0")
        assert told["root"] == ("WARN", 6) and told["net"] == ("ERROR", 6)
        assert {"storage", "controller", "replica", "api"} <= set(told)
        harness.create_topic(broker, "quiet")
        assert lines(broker, "INFO") == 0
        assert alter(c, LOGGER, "0", ("root", SET, "INFO")) == (NONE, None)
        told = shown(c, LOGGER, "0", "root", "net", "storage")
        assert told == {"root": ("INFO", 6), "net": ("ERROR", 6),
                        "storage": ("INFO", 6)}
        harness.create_topic(broker, "loud")
        harness.wait_until(lambda: lines(broker, "INFO") > 0)
        assert alter(c, LOGGER, "0", ("net", DELETE, None),
                     ("storage", SET, "TRACE")) == (NONE, None)
        told = shown(c, LOGGER, "0", "net", "storage")
        assert told == {"net": ("INFO", 6), "storage": ("TRACE", 6)}
        # one that is not good, and none counts
        assert alter(c, LOGGER, "0", ("root", SET, "FATAL"),
                     ("no.such", SET, "INFO")) == (
            INVALID_CONFIG, "Logger no.such does not exist!")
        assert alter(c, LOGGER, "0", ("root", SET, "FATAL"),
                     validate=True) == (NONE, None)
        assert shown(c, LOGGER, "0", "root")["root"] == ("INFO", 6)
        assert replace(c, LOGGER, "0", root="INFO") == (
            INVALID_REQUEST, "Unknown resource type 8")
    broker.stop()
    broker.start()
    with wire.Client(broker.address) as c:
        assert shown(c, LOGGER, "0", "root", "net", "storage") == {
            "root": ("WARN", 6), "net": ("ERROR", 6), "storage": ("WARN", 6)}


def test_loggers_of_kafka(make_broker):
    """Kafka's names stand for rooms, or for the root."""
    broker = make_broker().start()

    def told_by_the_controller(topic):
        before = broker.log().count("(controller)")
        harness.create_topic(broker, topic)
        harness.wait_topic(broker, topic)
        return broker.log().count("(controller)") - before

    one, other = "kafka.controller.KafkaController", "state.change.logger"
    with wire.Client(broker.address) as c:
        told = shown(c, LOGGER, "0")
        assert set(told.values()) == {("INFO", 6)}
        assert {one, other, "kafka", "kafka.cluster.Partition",
                "kafka.request.logger", "org.apache.zookeeper"} <= set(told)
        assert told_by_the_controller("a") > 0
        assert alter(c, LOGGER, "0", (one, SET, "ERROR")) == (NONE, None)
        told = shown(c, LOGGER, "0")
        assert {n for n, t in told.items() if t[0] == "ERROR"} == {
            "controller", other, *(
                n for n in told if n.startswith("kafka.controller"))}
        assert told_by_the_controller("b") == 0
        assert alter(c, LOGGER, "0", (other, DELETE, None)) == (NONE, None)
        assert shown(c, LOGGER, "0", one) == {one: ("INFO", 6)}
        assert told_by_the_controller("c") > 0
        for name in ("kafka.server", "kafka.controller.Kafka", "Kafka"):
            assert alter(c, LOGGER, "0", (name, SET, "INFO")) == (
                INVALID_CONFIG, f"Logger {name} does not exist!")
        assert alter(c, LOGGER, "0", ("kafka", SET, "WARN")) == (NONE, None)
        told = shown(c, LOGGER, "0")
        assert set(told.values()) == {("WARN", 6)}
        assert alter(c, LOGGER, "0", ("kafka", DELETE, None)) == (
            INVALID_REQUEST, "Removing the log level of the kafka logger is "
            "not allowed")


# --- when ZooKeeper is away --------------------------------------------------

def test_zookeeper_hangs(own_zookeeper, make_broker):
    """The answer comes all the same, and others are served meanwhile; later it
    works again, and a stop is not held up."""
    broker = make_broker(zk=own_zookeeper,
                         zookeeper_session_timeout_ms=30000).start()
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    with wire.Client(broker.address) as c, \
            wire.Client(broker.address) as other:
        own_zookeeper.pause()
        correlation = c.send(
            "IncrementalAlterConfigs", 1, Resources=[{
                "ResourceType": TOPIC, "ResourceName": "t", "Configs": [{
                    "Name": "retention.ms", "ConfigOperation": SET,
                    "Value": "5"}]}])
        assert wire.produce(other, "t", wire.batch([b"x"]))[
            "ErrorCode"] == NONE
        answer, = c.receive(correlation)["Responses"]
        assert answer["ErrorCode"] == TIMED_OUT
        own_zookeeper.resume()
        harness.wait_until(lambda: alter(c, TOPIC, "t", (
            "retention.ms", SET, "6")) == (NONE, None))
        assert shown(c, TOPIC, "t", "retention.ms") == {
            "retention.ms": ("6", 1)}
    assert entries(broker, "topics/t") == {"retention.ms": "6"}


def test_kraft_took_over(make_broker):
    """Kafka's rule: while a KRaft controller sits there, nobody writes."""
    broker = make_broker().start()
    harness.create_topic(broker, "t")
    with nodes(broker) as z, wire.Client(broker.address) as c:
        seat = json.loads(z.get("/controller")[0])
        seat.update(kraftControllerEpoch=3, brokerid=3000)
        at_once = z.transaction()
        at_once.delete("/controller")
        at_once.create("/controller", json.dumps(seat).encode())
        assert not any(isinstance(r, Exception) for r in at_once.commit())
        error, message = alter(c, TOPIC, "t", ("retention.ms", SET, "5"))
        assert (error, message) == (
            STALE_CONTROLLER, "Cannot set entity configs for topics t "
            "directly when there is a KRaft controller.")
        assert entries(broker, "topics/t") == {}


# --- clients -----------------------------------------------------------------

def test_confluent(shared_broker, topic):
    admin = confluent_kafka.admin.AdminClient(
        {"bootstrap.servers": shared_broker.address})
    entry = confluent_kafka.admin.ConfigEntry
    kind = confluent_kafka.admin.ConfigResource
    for rows in ({"retention.ms": "1234"}, {"segment.ms": "99"}):
        resource = kind(kind.Type.TOPIC, topic, set_config=rows)
        for future in admin.alter_configs([resource]).values():
            future.result(harness.PATIENCE)
    if hasattr(admin, "incremental_alter_configs"):
        resource = kind(kind.Type.TOPIC, topic, incremental_configs=[
            entry("retention.ms", "5678", incremental_operation=confluent_kafka
                  .admin.AlterConfigOpType.SET)])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(harness.PATIENCE)
    found, = admin.describe_configs([kind(kind.Type.TOPIC, topic)]).values()
    told = found.result(harness.PATIENCE)
    assert told["segment.ms"].value == "99"
    assert told["segment.ms"].source == 1
    bad = kind(kind.Type.TOPIC, topic, set_config={"retention.ms": "x"})
    future, = admin.alter_configs([bad]).values()
    with pytest.raises(confluent_kafka.KafkaException, match="Not a number"):
        future.result(harness.PATIENCE)


def test_kafka_python(shared_broker, topic):
    admin = kafka.admin.KafkaAdminClient(
        bootstrap_servers=shared_broker.address)
    try:
        resource = kafka.admin.ConfigResource
        kind = kafka.admin.ConfigResourceType
        admin.alter_configs([resource(kind.TOPIC, topic,
                                      configs={"retention.ms": "4321"})])
        answer, = admin.describe_configs([
            resource(kind.TOPIC, topic, configs={"retention.ms": None})])
        rows = answer.to_object()["resources"][0]["config_entries"]
        assert [(r["config_names"], r["config_value"]) for r in rows] == [
            ("retention.ms", "4321")]
    finally:
        admin.close()
