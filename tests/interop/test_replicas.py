# SPDX-License-Identifier: Apache-2.0
"""One cluster of both: a real Kafka follows barnabasd and leads after it, and
the reverse; consumers read from the follower in their rack; Kafka's own tool
finds all replicas alike."""

import json
import re
import subprocess
import threading

import pytest

import harness
import real_kafka
import wire
from compacted import (
    BATCH, BY_BROKER, CLEANERS, FIRST, SEGMENT_BYTES, Load, has_gap)
from dynamic_configs import described
from exchange_groups import commit, wait_loaded
from raw_members import offsets
from test_closest import SELECTOR
from test_elect_leaders import PREFERRED, elect, errors
from test_reassign import move, moving
from test_replication import (
    PATIENT, QUICK, fill, hung, in_sync, numbers, same_logs, state)
from test_throttle import FOLLOWER, LEADER, fill_large, has

OPTIONS = {"controlled.shutdown.retry.backoff.ms": 200,
           "auto.leader.rebalance.enable": "false"}


def start(*brokers):
    """The first one is the controller."""
    for broker in brokers:
        for name, value in {**QUICK, **OPTIONS}.items():
            broker.options.setdefault(name, value)
        broker.start(180)
    with harness.Zk(brokers[0]) as zk:
        harness.wait_until(
            lambda: len(zk.get_children("/brokers/ids")) == len(brokers),
            what="all are registered")


def make(brokers, topic, partitions=1, **configs):
    """Every broker has a replica; partition n is led by broker n, n + 1, ..."""
    ids = [b.broker_id for b in brokers]
    def made():
        with wire.Client(brokers[0].address) as client:
            told = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
                "Name": topic, "NumPartitions": -1, "ReplicationFactor": -1,
                "Assignments": [
                    {"PartitionIndex": p, "BrokerIds": ids[p:] + ids[:p]}
                    for p in range(partitions)],
                "Configs": [{"Name": k.replace("_", "."), "Value": str(v)}
                            for k, v in configs.items()]}])["Topics"][0]
        return told["ErrorCode"] == 0
    harness.wait_until(made, what=f"{topic} is made")
    for broker in brokers:
        harness.wait_topic(broker, topic, partitions)


def leads(broker, topic="t"):
    harness.wait_until(
        lambda: state(broker, topic)["leader"] == broker.broker_id,
        what=f"{broker.broker_id} leads")
    harness.wait_leads(broker, topic)


def alike(brokers):
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="all have the same log")


@pytest.fixture(params=("ours", "theirs"))
def pair(request, make_broker, make_kafka):
    """The first one is the controller."""
    kinds = [make_broker, make_kafka]
    if request.param == "theirs":
        kinds.reverse()
    return [make(n) for n, make in enumerate(kinds)]


@pytest.mark.slow
def test_one_follows_the_other(pair):
    first, second = pair
    for broker in pair:
        broker.set(**PATIENT)
    start(*pair)
    make(pair, "t")
    leads(first)
    fill(first, "t", 0, 50)
    in_sync(first, "t", [0, 1])
    alike(pair)

    # a clean stop hands over leadership, and the controller
    first.stop()
    leads(second)
    fill(second, "t", 50, 50)
    first.start(180)
    in_sync(second, "t", [0, 1])
    alike(pair)
    assert numbers(second, "t") == list(range(100))

    # and back, by a death: what only the dead one had is cut off
    with hung(first):
        fill(second, "t", 1000, 30, acks=1)
        second.kill()
    leads(first)
    fill(first, "t", 100, 20)
    second.start(180)
    in_sync(first, "t", [0, 1])
    alike(pair)
    kept = numbers(first, "t")
    late = kept[100:-20]
    assert kept == [*range(100), *late, *range(100, 120)]
    assert late == list(range(1000, 1000 + len(late))) and len(late) < 30

    # what was left in sync may lead
    first.kill()
    leads(second)
    fill(second, "t", 120, 10)
    assert numbers(second, "t") == kept + list(range(120, 130))


@pytest.mark.slow
def test_lag_of_what_kafka_leads(pair):
    """Told by ours, which coordinates."""
    for broker in pair:
        broker.set(**{"offsets.topic.replication.factor": 2,
                      "offsets.topic.num.partitions": 2})
    start(*pair)
    make(pair, "t", 2)
    ours = next(b for b in pair if not isinstance(b, real_kafka.RealKafka))
    with wire.Client(ours.address) as client:
        def coordinated(group):
            told = client.call("FindCoordinator", 0, Key=group)
            return (told["ErrorCode"] == 0
                    and told["NodeId"] == ours.broker_id)
        group = harness.wait_until(
            lambda: next(filter(coordinated, map(str, range(10))), None),
            what="one that ours coordinates")
        for partition, broker in enumerate(pair):
            with wire.Client(broker.address) as leader:
                wire.produce(leader, "t", wire.batch([b"x"] * 10), partition)
        wait_loaded(ours, [group])
        commit(client, group, offsets({0: 3, 1: 4}, "t"))
        for partition, lag in enumerate((7, 6)):
            harness.wait_until(
                lambda p=partition, lag=lag: ours.metric(
                    "kafka_consumergroup_lag", group=group, topic="t",
                    partition=p) == lag, what="its lag", pause=0.5)


@pytest.mark.slow
def test_both_compact(pair):
    """Each for itself.  One was away, and is wiped, and follows where the other
    has nothing any more; one is cut, and both lead in turn."""
    first, second = pair
    for broker in pair:
        broker.set(log_segment_bytes=SEGMENT_BYTES[broker.broker_id],
                   **CLEANERS, **PATIENT)
    start(*pair)
    make(pair, "t", **BY_BROKER)
    leads(first)
    in_sync(first, "t", [0, 1])
    load = Load(pair, pair)
    load.write_once(first)
    load.write(first)
    load.compacted()

    for wiped in (False, True):
        second.kill()
        in_sync(first, "t", [0])
        gap = FIRST if wiped else load.end + BATCH
        if wiped:
            second.wipe()
        load.write(first)
        load.compacted(first)
        assert has_gap(first, gap)
        second.start(180)
        in_sync(first, "t", [0, 1])
        assert has_gap(second, gap)
        load.each_leads()

    load.leader_dies()
    gap = load.end + BATCH
    load.write(second)
    load.compacted(second)
    first.start(180)
    in_sync(second, "t", [0, 1])
    assert has_gap(first, gap)
    load.each_leads()


@pytest.mark.slow
def test_a_follower_serves_its_rack(pair, tmp_path):
    for broker in pair:
        broker.set(broker_rack=f"rack-{broker.broker_id}",
                   replica_selector_class=SELECTOR, **PATIENT)
    start(*pair)
    make(pair, "t")
    leader, follower = pair
    leads(leader)
    fill(leader, "t", 0, 300)

    def watermark():
        with wire.Client(follower.address) as client:
            return wire.fetch(client, "t", 0)["HighWatermark"]
    harness.wait_until(lambda: watermark() == 300,
                       what="the follower may show all")
    with wire.Client(leader.address) as client:
        part = wire.fetch(client, "t", 300, max_wait_ms=600000,
                          RackId="rack-1")
    assert part["PreferredReadReplica"] == 1

    def sent():
        broker = follower if leader.real else leader
        return broker.metric(
            "kafka_server_brokertopicmetrics_bytesout_total", topic="t")

    def by_java():
        return real_kafka.tool(
            tmp_path, "kafka-console-consumer", "--bootstrap-server",
            leader.address, "--topic", "t", "--partition", 0, "--offset",
            "earliest", "--max-messages", 300, "--consumer-property",
            "client.rack=rack-1").stdout

    def by_kcat():
        return harness.kcat(leader, "-C", "-t", "t", "-o", "beginning", "-c",
                            300, "-q", "-X", "client.rack=rack-1")
    for read in (by_java, by_kcat):
        before = sent()
        assert [int(n) for n in read().split()] == list(range(300))
        assert (sent() > before) == leader.real


def lines_of(process, into):
    for line in process.stdout:
        into.append(int(line))


@pytest.mark.slow
def test_java_goes_on_with_the_leader(make_broker, tmp_path):
    """The follower in its rack dies, and comes back."""
    brokers = [make_broker(n, broker_rack=f"rack-{n}",
                           replica_selector_class=SELECTOR, **PATIENT)
               for n in range(2)]
    start(*brokers)
    make(brokers, "t")
    leader, follower = brokers
    leads(leader)

    def sent(broker):
        return broker.metric(
            "kafka_server_brokertopicmetrics_bytesout_total", topic="t")
    values, total = [], 50
    fill(leader, "t", 0, total)
    consumer = subprocess.Popen(
        real_kafka.java(
            tmp_path, real_kafka.MAINS["kafka-console-consumer"],
            "--bootstrap-server", f"{leader.address},{follower.address}",
            "--topic", "t", "--partition", 0, "--offset", "earliest",
            "--consumer-property", "client.rack=rack-1",
            "--consumer-property", "metadata.max.age.ms=1000"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    threading.Thread(target=lines_of, args=(consumer, values),
                     daemon=True).start()

    def read():
        harness.wait_until(lambda: len(values) >= total, 180,
                           f"{total} records are read")
    try:
        read()
        assert sent(follower) > 0 and sent(leader) == 0
        follower.kill()
        in_sync(leader, "t", [0])
        fill(leader, "t", total, 50)
        total += 50
        read()
        assert sent(leader) > 0
        follower.start()
        in_sync(leader, "t", [0, 1])

        def back():
            nonlocal total
            fill(leader, "t", total, 10)
            total += 10
            read()
            return sent(follower) > 0
        harness.wait_until(back, what="it reads there again", pause=0.5)
        assert values == list(range(total))
    finally:
        consumer.kill()
        consumer.wait()


@pytest.mark.slow
def test_replicas_are_verified(make_broker, tmp_path):
    brokers = [make_broker(n) for n in range(3)]
    start(*brokers)
    make(brokers, "t", 3)
    for n, broker in enumerate(brokers):
        with wire.Client(broker.address) as client:
            for _ in range(20):
                assert wire.produce(client, "t", wire.batch(
                    [b"x" * 100]), partition=n)["ErrorCode"] == 0
    verifier = subprocess.Popen(
        real_kafka.java(tmp_path,
                        real_kafka.MAINS["kafka-replica-verification"],
                        "--broker-list", brokers[0].address,
                        "--topics-include", "t", "--time", -2,
                        "--report-interval-ms", 500),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    try:
        for line in verifier.stdout:
            said.append(line)
            if re.search(r"max lag is 0 for partition t-\d at offset 20 among "
                         r"3 partitions", line):
                break
        else:
            raise AssertionError("".join(said))
    finally:
        verifier.kill()
        verifier.wait()
    assert not [line for line in said if "match" in line], said


@pytest.mark.slow
def test_a_throttled_reassignment(make_broker, java, tmp_path):
    """kafka-reassign-partitions --throttle, and --verify, which takes the
    throttle away."""
    leader, other = brokers = [make_broker(n) for n in range(2)]
    start(*brokers)
    make([leader], "t")
    leads(leader)
    fill_large(leader)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": "t", "partition": 0, "replicas": [0, 1]}]}))

    def reassign(*arguments):
        status, out = java.run(
            "kafka-reassign-partitions", "--bootstrap-server", leader.address,
            "--reassignment-json-file", plan, *arguments)
        assert status == 0, out
        return out.decode()

    def limits():
        return [value for b in brokers for value, _ in described(
            b, LEADER + ".rate", FOLLOWER + ".rate",
            entity=str(b.broker_id)).values()]
    assert "was set to 1000 B/s" in reassign("--execute", "--throttle", 1000)
    assert limits() == ["1000"] * 4
    assert described(leader, LEADER + ".replicas", topic="t")[
        LEADER + ".replicas"][0] == "0:0"
    assert described(leader, FOLLOWER + ".replicas", topic="t")[
        FOLLOWER + ".replicas"][0] == "0:1"
    harness.wait_until(lambda: other.metric(
        "kafka_server_followerreplication_byte_rate") > 1000,
        what="the rate is over its limit")
    assert "still in progress" in reassign("--verify")
    assert 0 < has(other) < has(leader)
    assert "100000000 B/s" in reassign("--execute", "--additional",
                                       "--throttle", 100000000)
    in_sync(leader, "t", [0, 1])
    harness.wait_until(lambda: "is completed" in reassign("--verify"),
                       what="it is done")
    assert limits() == []
    assert described(leader, LEADER + ".replicas", topic="t")[
        LEADER + ".replicas"][0] == ""
    alike(brokers)


@pytest.mark.slow
def test_kafka_comes_to_a_cluster_with_data(make_broker, make_kafka):
    """It gets a replica by reassignment, leads, and has none in the end."""
    ours, other = [make_broker(n) for n in range(2)]
    kafka = make_kafka(2)
    for broker in (ours, other, kafka):
        broker.set(**PATIENT)
    start(ours, other)
    make([ours, other], "t", segment_bytes=100000)
    leads(ours)
    fill(ours, "t", 0, 50)
    with wire.Client(ours.address) as client:
        for _ in range(30):
            assert wire.produce(client, "t", wire.batch([b"0" * 10000]))[
                "ErrorCode"] == 0
    count = 80
    assert len(ours.log_files("t")) > 2

    def placed(*replicas):
        """By whoever is the controller, until it is so."""
        with wire.Client(ours.address) as client:
            assert move(client, list(replicas)) == 0
            harness.wait_until(lambda: not moving(client), what="it is moved")
        in_sync(ours, "t", replicas)

    def offsets(leader):
        with wire.Client(leader.address) as client:
            assert [r[0] for r in wire.read_all(client, "t")] == list(
                range(count))

    def led_by(leader, *brokers):
        with wire.Client(ours.address) as client:
            assert errors(elect(client, PREFERRED, [("t", [0])])) == {
                ("t", 0): 0}
        leads(leader)
        more(leader, *brokers)

    def more(leader, *brokers):
        nonlocal count
        fill(leader, "t", count, 20)
        count += 20
        alike(brokers)
        for broker in brokers:
            in_sync(broker, "t", [b.broker_id for b in brokers])
        offsets(leader)
    for name, value in {**QUICK, **OPTIONS}.items():
        kafka.options.setdefault(name, value)
    kafka.start()
    placed(2, 0, 1)
    more(ours, ours, other, kafka)
    led_by(kafka, ours, other, kafka)
    # one of ours takes all from it that it has missed
    other.kill()
    in_sync(ours, "t", [0, 2])
    fill(kafka, "t", count, 20)
    count += 20
    other.start()
    in_sync(ours, "t", [0, 1, 2])
    more(kafka, ours, other, kafka)
    placed(0, 1)
    leads(ours)
    more(ours, ours, other)
    harness.wait_until(lambda: not kafka.log_files("t"),
                       what="Kafka has no files of it")
    kafka.stop()
    fill(ours, "t", count, 10)
    count += 10
    offsets(ours)
