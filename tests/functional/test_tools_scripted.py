# SPDX-License-Identifier: Apache-2.0
"""What tools make of answers that do not speak of one moment, or that are
refused: `cluster health` and `reassign-partitions` with a broker that says what
the test has it say."""

import json

import pytest

import harness
from fake_broker import FakeBroker

NOT_AUTHORIZED = 31
TOPIC = "scripted"


class Scripted(FakeBroker):
    """The controller, and three brokers at one address.  `partitions` is
    TOPIC's {number: (replicas, in sync)} and `moves` {number: (replicas,
    adding, removing)}; `after[question]` is called once, when the question was
    answered."""

    def __init__(self):
        super().__init__(None, 1)
        self.partitions, self.moves, self.after = {0: ([1, 2], [1, 2])}, {}, {}
        self.moves_error = self.dirs_error = 0

    def _answer(self, data):
        answer = super()._answer(data)
        if answer is not None:
            name, _, body = self.orders[-1]
            if name != "Metadata" or body["Topics"] is None:
                self.after.pop(name, lambda: None)()
        return answer

    def _Metadata(self, body):
        return {
            "Brokers": [{"NodeId": n, "Host": "127.0.0.1", "Port": self.port}
                        for n in (1, 2, 3)],
            "ControllerId": 1, "ClusterId": "c",
            "Topics": [] if body["Topics"] is not None else [
                {"Name": TOPIC, "Partitions": [
                    {"PartitionIndex": p, "LeaderId": isr[0],
                     "LeaderEpoch": 0, "ReplicaNodes": replicas,
                     "IsrNodes": isr}
                    for p, (replicas, isr) in self.partitions.items()]}]}

    def _DescribeConfigs(self, body):
        return {"Results": [
            {"ResourceType": 2, "ResourceName": r["ResourceName"],
             "Configs": [{"Name": "min.insync.replicas", "Value": "1"}]}
            for r in body["Resources"]]}

    def _DescribeLogDirs(self, body):
        return {"ErrorCode": self.dirs_error, "Results":
                [] if self.dirs_error else [
                    {"LogDir": "/d", "TotalBytes": 100, "UsableBytes": 50}]}

    def _ListPartitionReassignments(self, body):
        return {"ErrorCode": self.moves_error, "Topics":
                [] if self.moves_error or not self.moves else [
                    {"Name": TOPIC, "Partitions": [
                        {"PartitionIndex": p, "Replicas": replicas,
                         "AddingReplicas": adding, "RemovingReplicas": removing}
                        for p, (replicas, adding, removing)
                        in self.moves.items()]}]}

    def asked(self, name):
        return sum(order[0] == name for order in self.orders)


@pytest.fixture
def broker():
    scripted = Scripted()
    yield scripted
    scripted.close()


# --- cluster health ----------------------------------------------------------

def health(broker):
    """(exit status, what it says)"""
    done = harness.tool(broker, "cluster", "health", "--output", "json",
                        "--timeout", 5000, check=False)
    return done.returncode, json.loads(done.stdout)


def begin(broker):
    broker.partitions[0] = ([1, 2, 3], [1, 2])
    broker.moves[0] = ([1, 2, 3], [3], [])


def end(broker):
    broker.partitions[0] = ([1, 2, 3], [1, 2, 3])
    broker.moves.clear()


def test_health(broker):
    assert health(broker)[0] == 0
    assert broker.asked("ListPartitionReassignments") == 1
    begin(broker)
    status, told = health(broker)
    assert status == 0 and told["movingPartitions"] == 1
    del broker.orders[:]
    broker.partitions[0] = ([1, 2, 3], [1, 2])
    broker.moves.clear()
    status, told = health(broker)
    assert status == 1 and told["underReplicatedPartitions"] == 1
    assert broker.asked("ListPartitionReassignments") == 2


def test_a_move_ends(broker):
    """Between the two questions, whichever comes first: all that move are
    known when what lacks replicas is."""
    begin(broker)
    broker.after["Metadata"] = broker.after["ListPartitionReassignments"] = (
        lambda: end(broker))
    status, told = health(broker)
    assert status == 0 and told["troubles"] == []
    assert broker.asked("ListPartitionReassignments") == 1


def test_a_move_begins(broker):
    broker.after["ListPartitionReassignments"] = lambda: begin(broker)
    status, told = health(broker)
    assert status == 0 and told["troubles"] == []
    assert told["movingPartitions"] == 1


def test_ill_once(broker):
    """What one look sees and the other does not is no trouble; what the second
    one sees anew is not yet one."""
    broker.partitions[1] = ([1, 2], [1, 2])
    broker.partitions[0] = ([1, 2], [1])

    def other():
        broker.partitions[0] = ([1, 2], [1, 2])
        broker.partitions[1] = ([1, 2], [1])
    broker.after["Metadata"] = other
    status, told = health(broker)
    assert status == 0 and told["underReplicatedPartitions"] == 0


def test_may_not_ask(broker):
    """Whoever may not is not told that the cluster is ill."""
    broker.dirs_error = NOT_AUTHORIZED
    status, told = health(broker)
    assert status == 2 and told["healthy"] is None
    assert len(told["notKnown"]) == 3
    broker.dirs_error, broker.moves_error = 0, NOT_AUTHORIZED
    begin(broker)
    status, told = health(broker)
    assert status == 2 and told["troubles"] == []
    assert told["movingPartitions"] is None
    assert any("or move" in t for t in told["notKnown"])
    # What no move explains is a trouble all the same.
    broker.partitions[0] = ([1, 2], [-1])
    assert health(broker)[0] == 1
