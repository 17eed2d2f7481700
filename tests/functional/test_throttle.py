# SPDX-License-Identifier: Apache-2.0
"""Replication is throttled (KIP-73): what catches up is held back, what keeps
up is not."""

import pytest

import harness
import wire
from dynamic_configs import BROKER, DELETE, SET, TOPIC, alter
from test_reassign import move
from test_replication import (  # noqa: F401
    PATIENT, fill, in_sync, make_brokers, make_topic, numbers, same_logs,
    state)

LEADER = "leader.replication.throttled"
FOLLOWER = "follower.replication.throttled"
# So few bytes a second that what was fetched once takes longer than any test.
TRICKLE = 1000
BATCH, BATCHES = 400_000, 12


def set_config(broker, kind, name, *rows):
    with wire.Client(broker.address) as client:
        assert alter(client, kind, name, *rows)[0] == 0


def fill_large(leader):
    with wire.Client(leader.address) as client:
        for n in range(BATCHES):
            part = wire.produce(client, "t", wire.batch(
                [b"%d" % n + bytes(BATCH)]), acks=1)
            assert part["ErrorCode"] == 0, part


def has(broker):
    return sum(p.stat().st_size for p in broker.log_files("t"))


def lags(follower):
    """How far its page says that it is behind, of the topic and at most."""
    return [follower.metric("kafka_server_fetcherlagmetrics_consumerlag",
                            topic="t", partition=0),
            follower.metric("kafka_server_replicafetchermanager_maxlag")]


def follower_fetches(leader):
    return leader.metric("kafka_network_requestmetrics_requests_total",
                         request="FetchFollower")


@pytest.fixture
def behind(make_brokers):    # noqa: F811
    """Leader and follower of "t", of which the follower is down and has
    nothing; and of "live", in which it will keep up."""
    brokers = make_brokers(2)
    leader, (follower,) = make_topic(brokers, "t")
    in_sync(leader, "t", [0, 1])
    follower.kill()
    in_sync(leader, "t", [leader.broker_id])
    fill_large(leader)
    return leader, follower


def lift(leader, row, follower):
    """The throttle is taken away: it catches up."""
    set_config(leader, BROKER, "", (row + ".rate", DELETE, None))
    in_sync(leader, "t", [0, 1])
    harness.wait_until(lambda: same_logs([leader, follower], "t"),
                       what="the follower has all")
    harness.wait_until(lambda: lags(follower) == [0, 0],
                       what="nothing is left to fetch")
    with wire.Client(leader.address) as client:
        assert len(wire.read_all(client, "t")) == BATCHES


@pytest.mark.ours
@pytest.mark.parametrize("named", ["*", "ids"])
def test_a_leader_holds_back(behind, named):
    leader, follower = behind
    set_config(leader, BROKER, "", (LEADER + ".rate", SET, str(TRICKLE)))
    set_config(leader, TOPIC, "t", (
        LEADER + ".replicas", SET, "*" if named == "*" else
        f"0:{leader.broker_id},0:{follower.broker_id}"))
    follower.start()
    harness.wait_until(lambda: has(follower) > 0, what="it has something")
    harness.wait_until(lambda: leader.metric(
        "kafka_server_leaderreplication_byte_rate") > TRICKLE,
        what="the rate is over its limit")
    first, asked = has(follower), follower_fetches(leader)
    harness.wait_until(lambda: follower_fetches(leader) >= asked + 3,
                       what="it asks again")
    # one answer may have been on its way
    assert has(follower) <= first + 4 * BATCH
    assert 0 < has(follower) < has(leader)
    lag, most = lags(follower)
    assert 0 < lag == most < BATCHES
    assert follower.metric(
        "kafka_server_followerreplication_byte_rate") == 0
    lift(leader, LEADER, follower)


@pytest.mark.ours
def test_a_follower_asks_later(behind):
    leader, follower = behind
    set_config(leader, BROKER, "", (FOLLOWER + ".rate", SET, str(TRICKLE)))
    set_config(leader, TOPIC, "t", (FOLLOWER + ".replicas", SET, "*"))
    follower.start()
    harness.wait_until(lambda: follower.metric(
        "kafka_server_followerreplication_byte_rate") > TRICKLE,
        what="the rate is over its limit")
    # what it keeps up with goes on
    harness.create_topic(leader, "live", 1, 2)
    harness.wait_topic(leader, "live")
    led = (leader if leader.broker_id == state(leader, "live")["leader"]
           else follower)
    harness.wait_leads(led, "live")
    fill(led, "live", 0, 50)
    assert numbers(led, "live") == list(range(50))
    assert 0 < has(follower) < has(leader)
    assert leader.metric("kafka_server_leaderreplication_byte_rate") == 0
    lift(leader, FOLLOWER, follower)


@pytest.mark.ours
def test_a_replica_moves_slowly(make_brokers):    # noqa: F811
    """As kafka-reassign-partitions --throttle has it: what moves is named on
    both sides, and is told of while it does."""
    brokers = make_brokers(2)
    harness.create_topic(brokers[0], "t")
    harness.wait_topic(brokers[0], "t")
    leader = brokers[state(brokers[0], "t")["leader"]]
    follower = next(b for b in brokers if b is not leader)

    def moving():
        return leader.metric("kafka_server_replicamanager_"
                             "reassigningpartitions")
    harness.wait_topic(leader, "t")
    fill_large(leader)
    assert moving() == 0
    set_config(leader, BROKER, "", (LEADER + ".rate", SET, str(TRICKLE)),
               (FOLLOWER + ".rate", SET, str(TRICKLE)))
    set_config(leader, TOPIC, "t", (
        LEADER + ".replicas", SET, f"0:{leader.broker_id}"), (
        FOLLOWER + ".replicas", SET, f"0:{follower.broker_id}"))
    with wire.Client(brokers[0].address) as client:
        assert move(client, [leader.broker_id, follower.broker_id]) == 0
    harness.wait_until(lambda: moving() == 1, what="it is told that it moves")
    harness.wait_until(lambda: follower.metric(
        "kafka_server_followerreplication_byte_rate") > TRICKLE,
        what="the rate is over its limit")
    assert 0 < has(follower) < has(leader) and moving() == 1
    for broker, way in ((leader, "out"), (follower, "in")):
        assert broker.metric("kafka_server_brokertopicmetrics_"
                             f"reassignmentbytes{way}_total") > 0
    set_config(leader, BROKER, "", (LEADER + ".rate", DELETE, None))
    lift(leader, FOLLOWER, follower)
    harness.wait_until(lambda: moving() == 0, what="the end of the move")


@pytest.mark.ours
def test_who_is_in_sync_is_not_held_back(make_brokers):    # noqa: F811
    brokers = make_brokers(2, **PATIENT)
    leader, (follower,) = make_topic(
        brokers, "t", leader_replication_throttled_replicas="*",
        follower_replication_throttled_replicas="*")
    set_config(leader, BROKER, "", (LEADER + ".rate", SET, str(TRICKLE)),
               (FOLLOWER + ".rate", SET, str(TRICKLE)))
    in_sync(leader, "t", [0, 1])
    for _ in range(BATCHES):
        with wire.Client(leader.address) as client:
            assert wire.produce(client, "t", wire.batch(
                [bytes(BATCH)]))["ErrorCode"] == 0
    assert same_logs(brokers, "t")
    # it was counted all the same
    assert leader.metric(
        "kafka_server_leaderreplication_byte_rate") > TRICKLE
    assert follower.metric(
        "kafka_server_followerreplication_byte_rate") > TRICKLE
