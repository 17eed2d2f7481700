# SPDX-License-Identifier: Apache-2.0
"""Brokers that die while their sessions last: what they led is led by others
before ZooKeeper knows, and comes back to them in the end; old tools' moves."""

import json

import pytest

import harness
import wire
from test_replication import (  # noqa: F401
    fill, in_sync, make_brokers, make_topic, numbers, same_logs, state)

PARTITIONS = 12
SESSION = {"zookeeper_session_timeout_ms": 18000}


def states(zk, topic, partitions=PARTITIONS):
    return [json.loads(zk.get(
        f"/brokers/topics/{topic}/partitions/{n}/state")[0])
        for n in range(partitions)]


def assigned(zk, topic):
    node = json.loads(zk.get(f"/brokers/topics/{topic}")[0])
    return {int(n): replicas for n, replicas in node["partitions"].items()}


def controller(zk):
    return json.loads(zk.get("/controller")[0])["brokerid"] \
        if zk.exists("/controller") else -1


def make_wide(brokers, topic):
    harness.create_topic(brokers[0], topic, PARTITIONS, len(brokers))
    for broker in brokers:
        harness.wait_topic(broker, topic, PARTITIONS)


def wait_led_by_others(zk, topic, victim):
    harness.wait_until(
        lambda: all(s["leader"] not in (-1, victim) and
                    victim not in s["isr"] for s in states(zk, topic)),
        what=f"{topic} is led by others than {victim}")


def told_leaders(broker, topic):
    with wire.Client(broker.address) as client:
        told = client.call("Metadata", 7, Topics=[{"Name": topic}],
                           AllowAutoTopicCreation=False)["Topics"][0]
    return {p["PartitionIndex"]: p["LeaderId"] for p in told["Partitions"]}


@pytest.mark.ours
@pytest.mark.parametrize("victim", [0, 1], ids=["controller", "broker"])
def test_killed_before_its_session_ends(make_brokers, victim):  # noqa: F811
    brokers = make_brokers(3, **SESSION)
    make_wide(brokers, "t")
    others = [b for b in brokers if b.broker_id != victim]
    with harness.Zk(brokers[0]) as zk:
        assert controller(zk) == 0
        registered = zk.exists(f"/brokers/ids/{victim}").czxid
        brokers[victim].kill()
        wait_led_by_others(zk, "t", victim)
        # in this order: its session is not over yet
        assert zk.exists(f"/brokers/ids/{victim}").czxid == registered
        assert controller(zk) != victim
        leaders = {n: s["leader"] for n, s in enumerate(states(zk, "t"))}
        for broker in others:
            harness.wait_until(
                lambda: told_leaders(broker, "t") == leaders,
                what=f"{broker.broker_id} tells clients of them")
        # and new topics are made without it
        harness.create_topic(
            next(b for b in others if b.broker_id == controller(zk)), "new",
            PARTITIONS, 2)
        assert all(victim not in r for r in assigned(zk, "new").values())
        now = next(b for b in others if b.broker_id == controller(zk))
        for name, least in (
                ("kafka_controller_stats_leaderelectionrateandtime_ms_count",
                 1), ("barnabas_controller_leader_elections_total", 1)):
            harness.wait_until(lambda: now.metric(name) >= least,
                               what=f"{name} is {least}")
        leader = next(b for b in others if b.broker_id == leaders[0])
        harness.wait_leads(leader, "t")
        fill(leader, "t", 0, 20)
        brokers[victim].start()
        in_sync(leader, "t", [0, 1, 2])
        assert numbers(leader, "t") == list(range(20))
        harness.wait_until(lambda: same_logs(brokers, "t"),
                           what="it has them, too")


@pytest.mark.slow
@pytest.mark.ours
def test_switched_off(make_brokers):  # noqa: F811
    """Nothing happens before the session ends."""
    brokers = make_brokers(3, **{
        **SESSION,
        "barnabas_evidence_brokers_enable": "false",
        "barnabas_evidence_controller_enable": "false"})
    make_wide(brokers, "t")
    with harness.Zk(brokers[0]) as zk:
        assert any(s["leader"] == 1 for s in states(zk, "t"))
        brokers[1].kill()
        harness.wait_until(lambda: not zk.exists("/brokers/ids/1"),
                           what="its session is over")
        wait_led_by_others(zk, "t", 1)
        assert not any("dead by the evidence" in b.log() for b in brokers)


def test_leaders_go_back(make_brokers):  # noqa: F811
    brokers = make_brokers(
        3, auto_leader_rebalance_enable="true",
        leader_imbalance_check_interval_seconds=1,
        leader_imbalance_per_broker_percentage=0)
    make_wide(brokers, "t")
    with harness.Zk(brokers[0]) as zk:
        preferred = {n: r[0] for n, r in assigned(zk, "t").items()}
        brokers[1].kill()
        wait_led_by_others(zk, "t", 1)
        brokers[1].start()
        harness.wait_until(
            lambda: {n: s["leader"] for n, s in
                     enumerate(states(zk, "t"))} == preferred,
            what="each is led by its first replica")


def test_moved_by_a_node(make_brokers):  # noqa: F811
    """As tools before 2.6 ask."""
    brokers = make_brokers(3)
    harness.create_topic(brokers[0], "t", 1, 2)
    with harness.Zk(brokers[0]) as zk:
        now = assigned(zk, "t")[0]
        to = [3 - sum(now), now[1]]
        leader = brokers[state(brokers[0], "t")["leader"]]
        harness.wait_leads(leader, "t")
        fill(leader, "t", 0, 30)
        zk.create("/admin/reassign_partitions", json.dumps({
            "version": 1, "partitions": [
                {"topic": "t", "partition": 0, "replicas": to},
                {"topic": "no", "partition": 0, "replicas": to}],
        }).encode())
        harness.wait_until(
            lambda: not zk.exists("/admin/reassign_partitions"),
            what="the node is gone")
        assert assigned(zk, "t") == {0: to}
        left = brokers[now[0]]
        harness.wait_until(lambda: not (left.data / "t-0").exists(),
                           what="who lost it has it no longer")
        on = [brokers[n] for n in to]
        assert same_logs(on, "t")
        leader = state(brokers[0], "t")["leader"]
        assert leader in to
        harness.wait_leads(brokers[leader], "t")
        assert numbers(brokers[leader], "t") == list(range(30))
