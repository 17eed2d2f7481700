# SPDX-License-Identifier: Apache-2.0
"""Rows of AlterPartition and of reassignments, as far as one broker goes."""

import harness
from answers import GHOST, SERVED, script, topic

STALE_EPOCH = 1         # a broker's epoch is a zxid, and later


def state(side, v, **more):
    values = {"PartitionIndex": 0, "LeaderEpoch": 0, "PartitionEpoch": 0,
              "NewIsr": [0], "NewIsrWithEpochs": [
                  {"BrokerId": 0, "BrokerEpoch": side.epoch}]}
    values.update(more)
    if "NewIsr" in more and "NewIsrWithEpochs" not in more:
        values["NewIsrWithEpochs"] = [{"BrokerId": b, "BrokerEpoch": -1}
                                      for b in more["NewIsr"]]
    return values


def alter(side, what, v, *states, name="moves", uuid=None, **more):
    side.ask(what, "AlterPartition", v, **{
        "BrokerId": 0, "BrokerEpoch": side.epoch, "Topics": [
            {"TopicName": name, "TopicId": uuid or side.ids[name],
             "Partitions": list(states)}], **more})


if "AlterPartition" in SERVED:
    @script
    def AlterPartition(side):
        side.make(topic("moves"))
        for v in SERVED["AlterPartition"]:
            alter(side, "as it is", v, state(side, v))
            alter(side, "stale broker", v, state(side, v),
                  BrokerEpoch=STALE_EPOCH)
            alter(side, "unknown broker", v, state(side, v), BrokerId=77)
            side.ask("no topics", "AlterPartition", v, BrokerId=0,
                     BrokerEpoch=side.epoch, Topics=[])
            alter(side, "no partitions", v)
            alter(side, "unknown topic", v, state(side, v), uuid=GHOST,
                  Topics=[{"TopicName": "nowhere", "TopicId": GHOST,
                           "Partitions": [state(side, v)]}])
            alter(side, "unknown partition", v,
                  state(side, v, PartitionIndex=9))
            alter(side, "later leader epoch", v, state(side, v, LeaderEpoch=1))
            alter(side, "earlier leader epoch", v,
                  state(side, v, LeaderEpoch=-1))
            alter(side, "later partition epoch", v,
                  state(side, v, PartitionEpoch=3, NewIsr=[]))
            alter(side, "earlier partition epoch", v,
                  state(side, v, PartitionEpoch=-1, NewIsr=[0, 7]))
            alter(side, "a broker that is not there", v,
                  state(side, v, NewIsr=[0, 7]))
            alter(side, "good and bad", v, state(side, v),
                  state(side, v, PartitionIndex=9))


def move(side, what, *parts, name="moved", **more):
    side.ask(what, "AlterPartitionReassignments", 0, **{
        "TimeoutMs": 20000, "Topics": [{"Name": name, "Partitions": [
            {"PartitionIndex": p, "Replicas": r} for p, r in parts]}],
        **more})


def epochs(side, *wanted):
    """That the leaders of "moved" have, in a moment at the latest."""
    def told():
        found, = side.connect().call("Metadata", 7, Topics=[
            {"Name": "moved"}])["Topics"]
        return [p["LeaderEpoch"] for p in sorted(
            found["Partitions"], key=lambda p: p["PartitionIndex"])]
    harness.wait_until(lambda: told() >= list(wanted), 20,
                       f"leader epochs {wanted}")
    assert told() == list(wanted)


if "AlterPartitionReassignments" in SERVED:
    @script
    def AlterPartitionReassignments(side):
        side.make(topic("moved", 2))
        move(side, "to where it is", (0, [0]))
        epochs(side, 1, 0)
        move(side, "both", (0, [0]), (1, [0]))
        epochs(side, 2, 1)
        move(side, "nothing is under way", (0, None))
        move(side, "unknown broker", (0, [7]))
        move(side, "one more that is unknown", (0, [0, 7]))
        move(side, "negative broker", (0, [-1]))
        move(side, "twice in the list", (0, [0, 0]))
        move(side, "empty list", (0, []))
        move(side, "unknown partition", (9, [0]))
        move(side, "unknown partition, cancelled", (9, None))
        move(side, "negative partition", (-1, [0]))
        move(side, "good and bad", (0, [0]), (9, [0]), (1, []))
        epochs(side, 3, 1)
        move(side, "unknown topic", (0, [0]), name="nowhere")
        move(side, "unknown topic, cancelled", (0, None), name="nowhere")
        move(side, "empty name", (0, [0]), name="")
        move(side, "no partitions")
        move(side, "no topics", Topics=[])
        for ms in (0, -1):
            move(side, f"within {ms} ms", (0, [0]), TimeoutMs=ms)
        for what, topics in {
                "all": None, "none": [],
                "one": [{"Name": "moved", "PartitionIndexes": [0, 1]}],
                "unknown": [{"Name": "nowhere", "PartitionIndexes": [0]},
                            {"Name": "moved", "PartitionIndexes": [9, -1]}],
                "no partitions": [{"Name": "moved",
                                   "PartitionIndexes": []}]}.items():
            side.ask(what, "ListPartitionReassignments", 0, TimeoutMs=20000,
                     Topics=topics)
        side.connect().call("DeleteTopics", 5, TimeoutMs=20000,
                            TopicNames=["moved"])
