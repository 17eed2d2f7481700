# SPDX-License-Identifier: Apache-2.0
"""What tools make of answers that do not speak of one moment, or that are
refused: `cluster health` and `reassign-partitions` with a broker that says what
the test has it say."""

import json
import threading

import pytest

import harness
from fake_broker import FakeBroker

NOT_AUTHORIZED = 31
NO_REASSIGNMENT_IN_PROGRESS = 85
TOPIC = "scripted"


class Scripted(FakeBroker):
    """The controller, and three brokers at one address unless `ports` says
    otherwise.  `partitions` is TOPIC's {number: (replicas, in sync)} and
    `moves` {number: (replicas, adding, removing)}; `after[question]` is called
    once, when the question was answered.  About a move to the directory
    `silent` there is no answer before close()."""

    def __init__(self):
        super().__init__(None, 1)
        self.partitions, self.moves, self.after = {0: ([1, 2], [1, 2])}, {}, {}
        self.moves_error = self.dirs_error = 0
        self.ports, self.silent, self.closed = {}, None, threading.Event()

    def close(self):
        self.closed.set()
        super().close()

    def _answer(self, data):
        answer = super()._answer(data)
        if answer is not None:
            name, _, body = self.orders[-1]
            if name != "Metadata" or body["Topics"] is None:
                self.after.pop(name, lambda: None)()
        return answer

    def _Metadata(self, body):
        return {
            "Brokers": [{"NodeId": n, "Host": "127.0.0.1",
                         "Port": self.ports.get(n, self.port)}
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

    def _AlterPartitionReassignments(self, body):
        """What does not move cannot be taken back."""
        return {"Responses": [
            {"Name": t["Name"], "Partitions": [
                {"PartitionIndex": p["PartitionIndex"],
                 "ErrorCode": NO_REASSIGNMENT_IN_PROGRESS
                 if p["Replicas"] is None
                 and p["PartitionIndex"] not in self.moves else 0}
                for p in t["Partitions"]]} for t in body["Topics"]]}

    @staticmethod
    def _IncrementalAlterConfigs(body):
        return {"Responses": [
            {"ResourceType": r["ResourceType"],
             "ResourceName": r["ResourceName"]} for r in body["Resources"]]}

    def _AlterReplicaLogDirs(self, body):
        if any(d["Path"] == self.silent for d in body["Dirs"]):
            self.closed.wait()
        return {"Results": [
            {"TopicName": t["Name"], "Partitions": [
                {"PartitionIndex": p} for p in t["Partitions"]]}
            for d in body["Dirs"] for t in d["Topics"]]}

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
    assert told["changedPartitions"] == told["changedIsrs"] == 2


def churn(broker):
    """(status, partitions, ISRs, leaders)"""
    status, told = health(broker)
    assert told["healthy"] is (status == 0)
    assert told["changedInMs"] >= 1000
    return (status, told["changedPartitions"], told["changedIsrs"],
            told["changedLeaders"])


def test_churn(broker):
    """What changes from one look to the other is told, and is no trouble."""
    def change():
        broker.partitions = {0: ([1, 2, 3], [1, 3]), 1: ([1, 2], [2, 1]),
                             2: ([1, 2], [1, 2]), 9: ([1], [1])}
    broker.partitions = {0: ([1, 2, 3], [1, 2, 3]), 1: ([1, 2], [1, 2]),
                         2: ([1, 2], [1, 2]), 3: ([1, 2], [1, 2])}
    assert churn(broker) == (0, 0, 0, 0)
    assert broker.asked("ListPartitionReassignments") == 1
    broker.after["Metadata"] = change
    # 1 has another leader, 3 and 9 are not there both times
    assert churn(broker) == (0, 2, 1, 1)
    assert churn(broker) == (1, 0, 0, 0)
    # what ails it is told with it
    def worse():
        broker.partitions[0] = ([1, 2, 3], [1])
    broker.after["Metadata"] = worse
    assert churn(broker) == (1, 1, 1, 0)


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


# --- reassign-partitions -----------------------------------------------------

@pytest.fixture
def file_of(tmp_path):
    """file_of(partition=(replicas, directories), ...): a file with that."""
    def write(partitions):
        path = tmp_path / "wanted.json"
        path.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": TOPIC, "partition": p, "replicas": replicas,
             "log_dirs": dirs or ["any"] * len(replicas)}
            for p, (replicas, dirs) in partitions.items()]}))
        return path
    return write


def reassign(broker, action, path, *arguments, check=True):
    done = harness.tool(broker, "reassign-partitions", action,
                        "--reassignment-json-file", path, *arguments,
                        check=check)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("left", [[1], []])
def test_cancel_what_ended(broker, file_of, left):
    """Partition 0, and 1 unless it is left, end when they were listed."""
    replicas = [1, 2, 3]
    broker.partitions = {p: (replicas, [1, 2]) for p in (0, 1, 2)}
    broker.moves = {p: (replicas, [3], [1]) for p in (0, 1)}
    path = file_of({p: ([2, 3], None) for p in (0, 1, 2)})

    def ended():
        broker.moves = {p: broker.moves[p] for p in left}
    broker.after["ListPartitionReassignments"] = ended
    said = reassign(broker, "--cancel", path)[1]
    assert ("Successfully cancelled partition reassignment for: "
            f"{TOPIC}-1\n" in said) == bool(left)
    assert ("This partition reassignment had ended before: "
            f"{TOPIC}-0\n" in said) == bool(left)
    assert ("These partition reassignments had ended before: "
            f"{TOPIC}-0,{TOPIC}-1\n" in said) == (not left)
    assert "Clearing topic-level throttles" in said
    broker.moves = {p: (replicas, [3], [1]) for p in (0, 1)}
    broker.after["ListPartitionReassignments"] = ended
    told = json.loads(reassign(broker, "--cancel", path, "--output",
                               "json")[1])
    assert [p["partition"] for p in told["cancelled"]["partitions"]] == left
    assert [p["partition"] for p in told["ended"]["partitions"]] == [
        p for p in (0, 1) if p not in left]
    assert told["throttlesCleared"] is True


def test_directories_of_the_silent(broker, file_of, tmp_path):
    """Whoever does not answer takes no more than its share of --timeout, and
    the others are asked."""
    broker.partitions = {0: ([1, 2], [1, 2])}
    broker.silent = "/silent"
    patient = tmp_path / "client.properties"
    patient.write_text("request.timeout.ms=1000000\n"
                       "default.api.timeout.ms=1000000\n")
    status, said, why = reassign(
        broker, "--execute", file_of({0: ([1, 2], ["/silent", "/d"])}),
        "--timeout", 1000, "--command-config", patient, check=False)
    assert status == 1
    assert f"to /d for replica {TOPIC}-0 with broker 2 \n" in said
    assert "with broker 1" not in said
    assert ("Timed out before log directory move could be started for: "
            f"{TOPIC}-0-1\n" in why)


def test_directories_of_who_moved(broker, file_of):
    """A broker that comes back at another port is found there."""
    broker.partitions = {0: ([1, 2], [1, 2])}
    broker.ports[2] = harness.free_port()
    broker.after["AlterReplicaLogDirs"] = broker.ports.clear
    said = reassign(broker, "--execute",
                    file_of({0: ([1, 2], ["/d", "/d"])}),
                    "--timeout", 60000)[1]
    for n in (1, 2):
        assert f"to /d for replica {TOPIC}-0 with broker {n} \n" in said
    assert broker.asked("AlterReplicaLogDirs") == 2
