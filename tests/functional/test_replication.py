# SPDX-License-Identifier: Apache-2.0
"""Followers: logs are the leader's, byte for byte, the in-sync replicas follow
who keeps up, and nothing that acks=all acknowledged is lost."""

import json

import pytest

import harness
import wire

# for what is timed by it, so that tests need not wait
QUICK = {"replica.lag.time.max.ms": 2000, "replica.fetch.backoff.ms": 50}


@pytest.fixture
def make_brokers(make_broker):
    """make(count, **options): brokers of one cluster, started."""
    def make(count, **options):
        brokers = [make_broker(n, **options) for n in range(count)]
        for broker in brokers:
            broker.options.update(QUICK)
            # the first one is the controller, which makes topics
            if broker is brokers[0]:
                broker.start()
            else:
                broker.launch()
        for broker in brokers:
            broker.wait_ready()
        with harness.Zk(brokers[0]) as zk:
            harness.wait_until(
                lambda: len(zk.get_children("/brokers/ids")) == count,
                what="all are registered")
        return brokers
    return make


def state(broker, topic, partition=0):
    with harness.Zk(broker) as zk:
        return json.loads(zk.get(
            f"/brokers/topics/{topic}/partitions/{partition}/state")[0])


def make_topic(brokers, topic, **configs):
    """All brokers have a replica; answers leader and followers."""
    def made():
        try:
            harness.create_topic(brokers[0], topic, 1, len(brokers), **configs)
        except AssertionError as e:
            # not all brokers are known to the controller yet
            if "38" not in str(e):
                raise
            return False
        return True
    harness.wait_until(made, what=f"{topic} is made")
    for broker in brokers:
        harness.wait_topic(broker, topic)
    leader = state(brokers[0], topic)["leader"]
    return (brokers[leader],
            [b for b in brokers if b.broker_id != leader])


def produce(broker, topic, values, acks=-1, **how):
    with wire.Client(broker.address) as client:
        return wire.produce(client, topic, wire.batch(values), acks=acks,
                            **how)


def fill(broker, topic, first, count, acks=-1):
    """Numbers, one a batch; what is acknowledged is asserted."""
    with wire.Client(broker.address) as client:
        for n in range(first, first + count):
            part = wire.produce(client, topic, wire.batch([b"%d" % n]),
                                acks=acks)
            assert part["ErrorCode"] == 0, part


def numbers(broker, topic):
    with wire.Client(broker.address) as client:
        return [int(r[3]) for r in wire.read_all(client, topic)]


def log_bytes(broker, topic):
    return b"".join(p.read_bytes() for p in broker.log_files(topic))


def same_logs(brokers, topic):
    logs = [log_bytes(b, topic) for b in brokers]
    return logs[0] != b"" and all(log == logs[0] for log in logs[1:])


def in_sync(broker, topic, ids):
    harness.wait_until(
        lambda: sorted(state(broker, topic)["isr"]) == sorted(ids),
        what=f"the in-sync replicas of {topic} are {ids}")


@pytest.mark.parametrize("count", [2, 3])
def test_acks_all_is_replicated(make_brokers, count):
    brokers = make_brokers(count)
    leader, followers = make_topic(brokers, "t")
    fill(leader, "t", 0, 50)
    # acknowledged: all have it
    assert same_logs(brokers, "t")
    for follower in followers:
        epochs = [b.data / "t-0" / "leader-epoch-checkpoint"
                  for b in (leader, follower)]
        assert epochs[0].read_text() == epochs[1].read_text()
    # more than one answer carries
    for _ in range(20):
        assert produce(leader, "t", [bytes(900_000)])["ErrorCode"] == 0
    assert same_logs(brokers, "t")


def test_leader_killed(make_brokers):
    """Nothing acknowledged is lost; what only the old leader had goes."""
    brokers = make_brokers(3)
    leader, followers = make_topic(brokers, "t")
    fill(leader, "t", 0, 20)
    leader.kill()
    harness.wait_until(
        lambda: state(followers[0], "t")["leader"] != leader.broker_id,
        what="another leads")
    second = brokers[state(followers[0], "t")["leader"]]
    harness.wait_topic(second, "t")
    fill(second, "t", 20, 20)
    assert numbers(second, "t") == list(range(40))
    leader.start()
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="the old leader has all")
    assert numbers(second, "t") == list(range(40))


def test_old_leader_truncates(make_brokers):
    """It had records that nobody else had."""
    leader, (follower,) = make_topic(brokers := make_brokers(2), "t")
    fill(leader, "t", 0, 10)
    follower.process.send_signal(19)
    try:
        fill(leader, "t", 1000, 5, acks=1)
        leader.kill()
    finally:
        follower.process.send_signal(18)
    harness.wait_until(
        lambda: state(follower, "t")["leader"] == follower.broker_id,
        what="the follower leads")
    harness.wait_topic(follower, "t")
    fill(follower, "t", 10, 10)
    # one answer was on its way to the follower when it stopped
    kept = [n for n in numbers(follower, "t") if n != 1000]
    assert kept == list(range(20))
    leader.start()
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="the old leader has followed")
    assert "truncated from" in leader.log()
    assert [n for n in numbers(follower, "t") if n != 1000] == kept
