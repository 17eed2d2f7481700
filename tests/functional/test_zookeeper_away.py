# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper is away for longer than the session: hanging, or down.  What is led
is served; who asks for what needs ZooKeeper is told so in time; nothing grows;
afterwards all is as it was.  An hour of it is in tests/replay."""

import json
import time

import pytest

import harness
import wire

pytestmark = [pytest.mark.ours, pytest.mark.slow]
TIMED_OUT, LEADER_NOT_AVAILABLE, LOADING = 7, 5, 14
AWAY_S = 30
# to be told within, whatever time-out was asked for
SOON_S = 20


class Asker:
    """Requests that ZooKeeper has to answer, each on a connection of its own,
    and some that it need not."""

    def __init__(self, broker):
        self.broker = broker
        self.rounds = 0

    def call(self, name, version, **values):
        with wire.Client(self.broker.address, SOON_S) as c:
            return c.call(name, version, **values)

    def refused(self):
        n = self.rounds
        self.rounds += 1
        told = self.call("CreateTopics", 5, timeoutMs=2000, Topics=[{
            "Name": f"new-{n}", "NumPartitions": 1, "ReplicationFactor": 1}])
        assert told["Topics"][0]["ErrorCode"] == TIMED_OUT
        assert "ZooKeeper" in told["Topics"][0]["ErrorMessage"]
        told = self.call("DeleteTopics", 5, TopicNames=["u"], TimeoutMs=2000)
        assert told["Responses"][0]["ErrorCode"] == TIMED_OUT
        told = self.call("CreatePartitions", 3, TimeoutMs=2000, Topics=[
            {"Name": "t", "Count": 3, "Assignments": None}],
            ValidateOnly=False)
        assert told["Results"][0]["ErrorCode"] == TIMED_OUT
        told = self.call("Metadata", 7, Topics=[{"Name": f"auto-{n}"}],
                         AllowAutoTopicCreation=True)
        assert told["Topics"][0]["ErrorCode"] == LEADER_NOT_AVAILABLE

    def served(self):
        told = self.call("Metadata", 7, Topics=None,
                         AllowAutoTopicCreation=True)
        assert {"t", "u"} <= {t["Name"] for t in told["Topics"]}
        told = self.call("DescribeConfigs", 4, Resources=[
            {"ResourceType": 2, "ResourceName": "t",
             "ConfigurationKeys": None}])
        assert told["Results"][0]["ErrorCode"] == 0
        told = self.call("InitProducerId", 4, TransactionalId=None,
                         TransactionTimeoutMs=60000)
        assert told["ErrorCode"] in (0, LOADING)
        told = self.call("DeleteRecords", 2, TimeoutMs=2000, Topics=[
            {"Name": "t", "Partitions": [
                {"PartitionIndex": 0, "Offset": 0}]}])
        assert told["Topics"][0]["Partitions"][0]["ErrorCode"] == 0

    def leave(self, count):
        """Asks and does not wait for the answers."""
        for n in range(count):
            with wire.Client(self.broker.address) as c:
                c.send("CreateTopics", 5, timeoutMs=600000, Topics=[{
                    "Name": f"left-{self.rounds}-{n}", "NumPartitions": 1,
                    "ReplicationFactor": 1}])


def hang(zookeeper):
    zookeeper.pause()
    return zookeeper.resume


def down(zookeeper):
    zookeeper.stop()
    return zookeeper.start


@pytest.mark.parametrize("leave", (hang, down))
def test_away(own_zookeeper, make_broker, leave):
    broker = make_broker(zk=own_zookeeper).start()
    harness.create_topic(broker, "t")
    harness.create_topic(broker, "u")
    asker = Asker(broker)
    with harness.Bystander(broker) as bystander:
        back = leave(own_zookeeper)
        asker.refused()
        asker.leave(100)
        lines, memory = len(broker.log().splitlines()), broker.memory_kib()
        end = time.monotonic() + AWAY_S
        while time.monotonic() < end:
            asker.refused()
            asker.served()
            asker.leave(100)
            bystander.still_served()
        # some lines an attempt at most, and nothing for each request
        assert len(broker.log().splitlines()) - lines < 100
        if not harness.sanitized():
            assert broker.memory_kib() - memory < 4096
        assert broker.http("/healthz")[0] == 200
        back()
        harness.wait_until(lambda: broker.http("/readyz")[0] == 200
                           and broker.metric("kafka_server_zk_sessionstate",
                                             state="CONNECTED") == 1)
        client = harness.connect_zk(broker)
        harness.wait_until(lambda: client.exists("/brokers/ids/0"))
        harness.wait_until(lambda: client.exists("/controller"))
        assert json.loads(client.get("/controller")[0])["brokerid"] == 0
        harness.create_topic(broker, "after")
        bystander.still_served()
        # who was told no, or left, is not served behind his back, but for
        # what had been sent already, and those who ask still
        made = set(client.get_children("/brokers/topics"))
        assert {"t", "bystander", "after"} <= made
        assert len([t for t in made
                    if not t.startswith(f"left-{asker.rounds}-")]) < 20
        client.end()
    assert wire_records(broker) == bystander.rounds


def wire_records(broker):
    with wire.Client(broker.address) as c:
        return len(wire.read_all(c, "bystander"))
