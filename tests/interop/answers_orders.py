# SPDX-License-Identifier: Apache-2.0
"""Rows: what brokers and the controller tell each other."""

import copy

import wire
from answers import (GHOST, OTHER, SERVED, T0, THIRD, batch, fetched, part,
                     script, topic)

STALE_EPOCH = 1         # a broker's epoch is a zxid, and later


def head(side, **more):
    """What begins an order.  The broker's controller gives some, too: ours
    heeds the latest connection that brought any."""
    side.drop()
    return {"ControllerId": 0, "ControllerEpoch": side.controller_epoch,
            "BrokerEpoch": side.epoch, **more}


def live(side, name="PLAINTEXT"):
    return [{"Id": 0, "V0Host": "127.0.0.1", "V0Port": side.broker.port,
             "Rack": None, "Endpoints": [
                 {"Port": side.broker.port, "Host": "127.0.0.1",
                  "Listener": name, "SecurityProtocol": 0}]}]


# --- LeaderAndIsr ------------------------------------------------------------

def lead(side, what, v, *states, ids=None, **more):
    """states: (topic, partition, {fields})"""
    rows, topics = [], {}
    for name, index, fields in states:
        state = {"TopicName": name, "PartitionIndex": index, "Leader": 0,
                 "LeaderEpoch": 0, "Isr": [0], "Replicas": [0],
                 "ControllerEpoch": side.controller_epoch, "IsNew": True,
                 **fields}
        rows.append(state)
        topics.setdefault(name, []).append(state)
    side.ask(what, "LeaderAndIsr", v, **head(side, **more), Type=1,
             UngroupedPartitionStates=rows, TopicStates=[
                 {"TopicName": n, "PartitionStates": s,
                  "TopicId": (ids or {}).get(n, GHOST)}
                 for n, s in topics.items()],
             LiveLeaders=[{"BrokerId": 0, "HostName": "127.0.0.1",
                           "Port": side.broker.port}])


@script
def LeaderAndIsr_epochs(side):
    for v in SERVED["LeaderAndIsr"]:
        ghost = (f"ghost-{v}", 0, {})
        lead(side, "nothing", v)
        lead(side, "stale controller", v, ghost, ControllerEpoch=0)
        lead(side, "stale controller, two", v, ghost, ("x", 3, {}),
             ControllerEpoch=-1)
        lead(side, "stale controller, nothing", v, ControllerEpoch=0)
        if v >= 2:
            lead(side, "stale broker", v, ghost, BrokerEpoch=STALE_EPOCH)
            lead(side, "stale both", v, ghost, BrokerEpoch=STALE_EPOCH,
                 ControllerEpoch=0)
            lead(side, "no broker epoch", v, BrokerEpoch=-1)
            lead(side, "later broker epoch", v, BrokerEpoch=side.epoch + 9)
        lead(side, "another controller", v, ControllerId=7)


@script
def LeaderAndIsr_partitions(side):
    # 0 cannot say that a partition is new: without its log ours leads none
    for v in range(1, 8):
        name = f"told-{v}"
        lead(side, "new", v, (name, 0, {}), (name, 1, {}))
        lead(side, "the same", v, (name, 0, {}))
        lead(side, "newer", v, (name, 0, {"LeaderEpoch": 3, "IsNew": False,
                                          "PartitionEpoch": 3}))
        lead(side, "older", v, (name, 0, {"LeaderEpoch": 2}),
             (name, 1, {"LeaderEpoch": 4}))
        lead(side, "no replica here", v, (name, 2, {"Replicas": [7, 8],
                                                    "Leader": 7}))
        lead(side, "no replica here, known", v, (name, 0, {
            "Replicas": [7], "Leader": 7, "LeaderEpoch": 9}))
        lead(side, "leads, not in the ISR", v, (name, 3, {
            "Isr": [7], "Replicas": [0, 7]}))
        lead(side, "follows one that is away", v, (name, 4, {
            "Isr": [7], "Replicas": [0, 7], "Leader": 7}))
        lead(side, "no leader", v, (name, 5, {"Leader": -1}))
        lead(side, "leader -2", v, (name, 6, {"Leader": -2}))
        if v < 5:
            lead(side, "negative epochs", v, (name, 7, {
                "LeaderEpoch": -1, "PartitionEpoch": -1}))
        lead(side, "empty ISR", v, (name, 8, {"Isr": []}))
        lead(side, "twice", v, (name, 9, {}), (name, 9, {"LeaderEpoch": 1}))
        lead(side, "recovering", v, (name, 10, {"LeaderRecoveryState": 1}))
        lead(side, "adding", v, (name, 11, {"AddingReplicas": [8],
                                            "Replicas": [0, 8]}))
        if v >= 5:
            lead(side, "another id", v, (name, 0, {"LeaderEpoch": 20}),
                 ids={name: OTHER})
            lead(side, "no id", v, (name, 0, {"LeaderEpoch": 21}),
                 ids={name: wire.NIL_UUID})
        # but 2 and 7: Kafka remembers partitions that it did not take
        for index in (0, 1, 3, 4, 5, 6, 8, 9, 10, 11):
            side.ask(f"end of {index}", "OffsetForLeaderEpoch", 4, Topics=[
                {"Topic": name, "Partitions": [
                    {"Partition": index, "LeaderEpoch": 0}]}])


# --- StopReplica -------------------------------------------------------------

def stop(side, what, v, *states, delete=False, **more):
    """states: (topic, partition, epoch)"""
    side.ask(what, "StopReplica", v, **head(side, **more),
             DeletePartitions=delete,
             UngroupedPartitions=[{"TopicName": t, "PartitionIndex": p}
                                  for t, p, _ in states],
             Topics=[{"Name": t, "PartitionIndexes": [p]}
                     for t, p, _ in states],
             TopicStates=[{"TopicName": t, "PartitionStates": [
                 {"PartitionIndex": p, "LeaderEpoch": e,
                  "DeletePartition": delete}]} for t, p, e in states])


@script
def StopReplica_epochs(side):
    for v in SERVED["StopReplica"]:
        state = ("told-7", 9, 0)
        stop(side, "nothing", v)
        stop(side, "stale controller", v, state, ControllerEpoch=0)
        stop(side, "stale controller, two", v, state, ("nowhere", 1, 0),
             ControllerEpoch=0, delete=True)
        stop(side, "stale controller, nothing", v, ControllerEpoch=-1)
        if v >= 1:
            stop(side, "stale broker", v, state, BrokerEpoch=STALE_EPOCH)
            stop(side, "stale both", v, state, BrokerEpoch=STALE_EPOCH,
                 ControllerEpoch=0)
            stop(side, "no broker epoch", v, BrokerEpoch=-1)


@script
def StopReplica_partitions(side):
    for v in SERVED["StopReplica"]:
        name = f"stopped-{v}"
        lead(side, "led", 7, *[(name, p, {"LeaderEpoch": 5})
                               for p in range(6)])
        stop(side, "unknown", v, ("nowhere", 0, 0))
        stop(side, "unknown, deleted", v, ("nowhere", 0, 0), delete=True)
        stop(side, "older", v, (name, 0, 4))
        stop(side, "older, deleted", v, (name, 0, 4), delete=True)
        stop(side, "the same", v, (name, 1, 5))
        stop(side, "the same again", v, (name, 1, 5))
        stop(side, "no epoch", v, (name, 2, -1))
        stop(side, "during deletion", v, (name, 3, -2), delete=True)
        stop(side, "newer, deleted", v, (name, 4, 6), delete=True)
        stop(side, "gone", v, (name, 4, 6), delete=True)
        stop(side, "twice", v, (name, 5, 5), (name, 5, 5))
        stop(side, "known and not", v, (name, 0, 9), ("nowhere", 3, 0))
        for index in range(6):
            side.ask(f"end of {index}", "OffsetForLeaderEpoch", 4, Topics=[
                {"Topic": name, "Partitions": [
                    {"Partition": index, "LeaderEpoch": 5}]}])


# --- UpdateMetadata ----------------------------------------------------------

def update(side, what, v, *states, brokers=None, ids=None, **more):
    rows, topics = [], {}
    for name, index, fields in states:
        state = {"TopicName": name, "PartitionIndex": index, "Leader": 0,
                 "LeaderEpoch": 0, "Isr": [0], "Replicas": [0],
                 "ControllerEpoch": side.controller_epoch, "ZkVersion": 0,
                 **fields}
        rows.append(state)
        topics.setdefault(name, []).append(state)
    side.ask(what, "UpdateMetadata", v, **head(side, **more),
             UngroupedPartitionStates=rows, TopicStates=[
                 {"TopicName": n, "PartitionStates": s,
                  "TopicId": (ids or {}).get(n, GHOST)}
                 for n, s in topics.items()],
             LiveBrokers=live(side) if brokers is None else brokers)


def look(side, what, *names):
    for v in (0, 1, 4, 5, 6, 8, 9, 12) if what != "gone" else (4, 12):
        side.ask(what, "Metadata", v, Topics=[{"Name": n} for n in names],
                 AllowAutoTopicCreation=False)


@script
def UpdateMetadata_epochs(side):
    for v in SERVED["UpdateMetadata"]:
        update(side, "nothing", v)
        update(side, "stale controller", v, ("seen", 0, {}),
               ControllerEpoch=0)
        if v >= 5:
            update(side, "stale broker", v, ("seen", 0, {}),
                   BrokerEpoch=STALE_EPOCH)
            update(side, "stale both", v, BrokerEpoch=STALE_EPOCH,
                   ControllerEpoch=0)
            update(side, "no broker epoch", v, BrokerEpoch=-1)
        side.ask("", "DescribeCluster", 0)


@script
def UpdateMetadata_partitions(side):
    other = {"Id": 7, "V0Host": "127.0.0.7", "V0Port": 7, "Rack": "shelf",
             "Endpoints": [{"Port": 7, "Host": "127.0.0.7",
                            "Listener": "PLAINTEXT", "SecurityProtocol": 0}]}
    hidden = {**other, "Id": 8, "Endpoints": [
        {"Port": 8, "Host": "127.0.0.8", "Listener": "INSIDE",
         "SecurityProtocol": 0}]}
    for v in SERVED["UpdateMetadata"]:
        name = f"seen-{v}"
        ids = {name: OTHER}
        update(side, "several", v, (name, 0, {}),
               (name, 1, {"Leader": -1}),
               (name, 2, {"Leader": 7, "Replicas": [7, 0], "Isr": [7]}),
               (name, 3, {"Replicas": [0, 7], "Isr": [0, 7]}),
               (name, 4, {"Replicas": [0, 7], "OfflineReplicas": [7]}),
               (name, 5, {"Leader": 8, "Replicas": [8], "Isr": [8]}),
               ids=ids)
        look(side, "one broker", name)
        update(side, "two brokers", v, brokers=live(side) + [other], ids=ids)
        look(side, "two brokers", name)
        if v >= 3:
            update(side, "one hidden", v, ids=ids,
                   brokers=live(side) + [other, hidden])
            look(side, "one hidden", name)
            side.ask("one hidden", "DescribeCluster", 0)
        for protocol in (-1, 4, 32767):
            strange = copy.deepcopy(other)
            strange["Endpoints"][0]["SecurityProtocol"] = protocol
            update(side, f"protocol {protocol}", v, ids=ids,
                   brokers=live(side) + [strange])
            strange["Endpoints"][0]["Listener"] = ""
            update(side, f"protocol {protocol}, no name", v, ids=ids,
                   brokers=live(side) + [strange])
        look(side, "after strange protocols", name)
        update(side, "another controller", v, ControllerId=7, ids=ids,
               brokers=live(side) + [other])
        look(side, "another controller", name)
        update(side, "gone", v, *[(name, p, {"Leader": -2})
                                  for p in range(6)], ids=ids)
        look(side, "gone", name)
        side.ask("not hosted", "Fetch", 12, MaxWaitMs=0, Topics=[
            fetched(side, name)])


@script
def Led_elsewhere(side):
    """Who asks the wrong broker is told so, and by whom it is led."""
    name = "elsewhere"
    update(side, "elsewhere", 8, (name, 0, {
        "Leader": 7, "Replicas": [7], "Isr": [7], "LeaderEpoch": 3}),
        ids={name: OTHER}, brokers=live(side) + [
            {"Id": 7, "Rack": "shelf", "Endpoints": [
                {"Port": 7, "Host": "127.0.0.7", "Listener": "PLAINTEXT",
                 "SecurityProtocol": 0}]}])
    side.ids[name] = OTHER
    for v in SERVED["Fetch"]:
        for epoch in (-1, 2, 3):
            side.ask(f"epoch {epoch}", "Fetch", v, MaxWaitMs=0, Topics=[
                fetched(side, name, CurrentLeaderEpoch=epoch)])
    for v in SERVED["Produce"]:
        side.call("Produce", v, Acks=-1, TimeoutMs=10000, TopicData=[
            part(name, batch([b"x"]))])
    for v in SERVED["ListOffsets"]:
        for epoch in (-1, 3):
            side.call("ListOffsets", v, ReplicaId=-1, Topics=[
                {"Name": name, "Partitions": [
                    {"PartitionIndex": 0, "Timestamp": T0,
                     "CurrentLeaderEpoch": epoch}]}])
    for v in SERVED["OffsetForLeaderEpoch"]:
        side.call("OffsetForLeaderEpoch", v, Topics=[
            {"Topic": name, "Partitions": [{"Partition": 0}]}])
    for v in SERVED["DeleteRecords"]:
        side.call("DeleteRecords", v, TimeoutMs=1000, Topics=[
            {"Name": name, "Partitions": [{"PartitionIndex": 0}]}])
    side.call("DescribeProducers", 0, Topics=[
        {"Name": name, "PartitionIndexes": [0]}])
    side.call("DescribeConfigs", 4, Resources=[
        {"ResourceType": 2, "ResourceName": name,
         "ConfigurationKeys": ["retention.ms"]}])
    for v in (1, 5, 7):
        side.call("CreateTopics", v, Topics=[topic(name)], timeoutMs=1000,
                  validateOnly=True)
    update(side, "alone again", 8)


@script
def A_follower_is_asked(side):
    """A partition that follows a broker that is gone."""
    name, id_ = "follows", THIRD
    update(side, "told of it", 8, (name, 0, {
        "Leader": 0, "Replicas": [0, 7], "Isr": [0, 7]}), ids={name: id_})
    side.ids[name] = id_
    lead(side, "leads", 7, (name, 0, {"Replicas": [0, 7], "Isr": [0]}),
         ids={name: id_})
    side.ask("written", "Produce", 9, Acks=1, TimeoutMs=10000, TopicData=[
        part(name, batch([b"x"]))])
    update(side, "with a broker 7", 8, (name, 0, {
        "Leader": 7, "LeaderEpoch": 1, "Replicas": [0, 7], "Isr": [7]}),
        ids={name: id_}, brokers=live(side) + [
            {"Id": 7, "Rack": None, "Endpoints": [
                {"Port": 7, "Host": "127.0.0.7", "Listener": "PLAINTEXT",
                 "SecurityProtocol": 0}]}])
    lead(side, "follows", 7, (name, 0, {
        "Leader": 7, "LeaderEpoch": 1, "PartitionEpoch": 1, "IsNew": False,
        "Replicas": [0, 7], "Isr": [7]}), ids={name: id_})
    for v in SERVED["Fetch"]:
        for epoch in (-1, 0, 1, 2):
            side.ask(f"epoch {epoch}", "Fetch", v, MaxWaitMs=0, Topics=[
                fetched(side, name, CurrentLeaderEpoch=epoch)])
    for v in SERVED["Produce"]:
        side.call("Produce", v, Acks=-1, TimeoutMs=10000, TopicData=[
            part(name, batch([b"x"]))])
    for v in SERVED["ListOffsets"]:
        for replica in (-1, -2, 7):
            side.ask(f"replica {replica}", "ListOffsets", v,
                     ReplicaId=replica, Topics=[{"Name": name, "Partitions": [
                         {"PartitionIndex": 0, "Timestamp": -1,
                          "MaxNumOffsets": 5}]}])
    for v in SERVED["OffsetForLeaderEpoch"]:
        side.call("OffsetForLeaderEpoch", v, Topics=[
            {"Topic": name, "Partitions": [{"Partition": 0}]}])
    side.call("DeleteRecords", 2, TimeoutMs=1000, Topics=[
        {"Name": name, "Partitions": [{"PartitionIndex": 0}]}])
    side.call("DescribeProducers", 0, Topics=[
        {"Name": name, "PartitionIndexes": [0]}])
    update(side, "alone again", 8)


# --- to the controller -------------------------------------------------------

@script
def AllocateProducerIds_(side):
    for what, values in {
            "good": {}, "again": {}, "stale": {"BrokerEpoch": STALE_EPOCH},
            "no epoch": {"BrokerEpoch": -1}, "unknown": {"BrokerId": 77},
            "negative": {"BrokerId": -1},
            "later epoch": {"BrokerEpoch": side.epoch + 5}}.items():
        side.ask(what, "AllocateProducerIds", 0, **{
            "BrokerId": 0, "BrokerEpoch": side.epoch, **values})


@script
def ControlledShutdown_of_others(side):
    for v in SERVED["ControlledShutdown"]:
        for broker in (77, -1):
            for epoch in (-1, STALE_EPOCH):
                side.ask(f"{broker}, epoch {epoch}", "ControlledShutdown", v,
                         BrokerId=broker, BrokerEpoch=epoch)
        if v >= 2:
            side.ask("stale", "ControlledShutdown", v, BrokerId=0,
                     BrokerEpoch=STALE_EPOCH)
