# SPDX-License-Identifier: Apache-2.0
"""Rows that every API has: frames cut and prolonged, unknown versions and
tags, and each field of a whole request with each of its edges."""

import copy
import struct

import wire
from answers import (CLIENT, CORRELATION, GHOST, ROWS, SERVED, T0, batch,
                     script, topic)

STALE = {"ControllerId": 0, "ControllerEpoch": 0, "BrokerEpoch": -1}
STATE = {"TopicName": "edge", "PartitionIndex": 0, "Leader": 0,
         "LeaderEpoch": 0, "Isr": [0], "Replicas": [0], "ControllerEpoch": 0}
CONFIG = [{"Name": "retention.ms", "Value": "5", "ConfigOperation": 0}]

# A whole request of each API, which changes nothing that another row sees; with
# it, the fields that are left alone, and why that must be.
WHOLE = {
    "Produce": lambda s: {
        "TransactionalId": None, "Acks": -1, "TimeoutMs": 1000,
        "TopicData": [{"Name": "edge", "PartitionData": [
            {"Index": 0, "Records": batch([b"x"])}]}]},
    "Fetch": lambda s: {
        "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1000, "RackId": "r",
        "Topics": [{"Topic": "edge", "TopicId": s.ids["edge"], "Partitions": [
            {"Partition": 1, "FetchOffset": 0, "PartitionMaxBytes": 1000}]}],
        "ForgottenTopicsData": [{"Topic": "edge", "TopicId": GHOST,
                                 "Partitions": [0]}]},
    "ListOffsets": lambda s: {
        "ReplicaId": -1, "Topics": [{"Name": "edge", "Partitions": [
            {"PartitionIndex": 1, "Timestamp": -1, "MaxNumOffsets": 1}]}]},
    "Metadata": lambda s: {
        "Topics": [{"Name": "edge"}], "AllowAutoTopicCreation": False},
    "LeaderAndIsr": lambda s: {
        **STALE, "UngroupedPartitionStates": [STATE],
        "TopicStates": [{"TopicName": "edge", "PartitionStates": [STATE]}],
        "LiveLeaders": [{"BrokerId": 0, "HostName": "h", "Port": 1}]},
    "StopReplica": lambda s: {
        **STALE, "UngroupedPartitions": [{"TopicName": "edge"}],
        "Topics": [{"Name": "edge", "PartitionIndexes": [0]}],
        "TopicStates": [{"TopicName": "edge", "PartitionStates": [
            {"PartitionIndex": 0, "LeaderEpoch": 0}]}]},
    "UpdateMetadata": lambda s: {
        **STALE, "UngroupedPartitionStates": [STATE],
        "TopicStates": [{"TopicName": "edge", "PartitionStates": [STATE]}],
        "LiveBrokers": [{"Id": 0, "V0Host": "h", "V0Port": 1, "Rack": "r",
                         "Endpoints": [{"Port": 1, "Host": "h",
                                        "Listener": "PLAINTEXT",
                                        "SecurityProtocol": 0}]}]},
    "ControlledShutdown": lambda s: {"BrokerId": 77, "BrokerEpoch": -1},
    "FindCoordinator": lambda s: {
        "Key": "g", "KeyType": 7, "CoordinatorKeys": ["g"]},
    "ApiVersions": lambda s: {
        "ClientSoftwareName": "edge", "ClientSoftwareVersion": "1.0"},
    "CreateTopics": lambda s: {
        "timeoutMs": 1000, "validateOnly": True, "Topics": [
            {"Name": "edge", "NumPartitions": -1, "ReplicationFactor": -1,
             "Assignments": [{"PartitionIndex": 0, "BrokerIds": [0]}],
             "Configs": [{"Name": "retention.ms", "Value": "5"}]}]},
    "DeleteTopics": lambda s: {
        "TimeoutMs": 1000, "TopicNames": ["nowhere"],
        "Topics": [{"Name": "nowhere"}]},
    "DeleteRecords": lambda s: {
        "TimeoutMs": 1000, "Topics": [{"Name": "edge", "Partitions": [
            {"PartitionIndex": 1, "Offset": 0}]}]},
    "InitProducerId": lambda s: {
        "TransactionalId": None, "TransactionTimeoutMs": 1000},
    "OffsetForLeaderEpoch": lambda s: {
        "Topics": [{"Topic": "edge", "Partitions": [{"Partition": 1}]}]},
    "DescribeConfigs": lambda s: {"Resources": [
        {"ResourceType": 2, "ResourceName": "edge",
         "ConfigurationKeys": ["retention.ms"]}]},
    "AlterConfigs": lambda s: {"ValidateOnly": True, "Resources": [
        {"ResourceType": 2, "ResourceName": "edge", "Configs": [
            {"Name": "retention.ms", "Value": "5"}]}]},
    "IncrementalAlterConfigs": lambda s: {
        "ValidateOnly": True, "Resources": [
            {"ResourceType": 2, "ResourceName": "edge", "Configs": CONFIG}]},
    "AlterReplicaLogDirs": lambda s: {"Dirs": [
        {"Path": "/none", "Topics": [{"Name": "edge", "Partitions": [0]}]}]},
    "DescribeLogDirs": lambda s: {
        "Topics": [{"Topic": "edge", "Partitions": [1]}]},
    "CreatePartitions": lambda s: {
        "TimeoutMs": 1000, "ValidateOnly": True, "Topics": [
            {"Name": "edge", "Count": 3, "Assignments": [
                {"BrokerIds": [0]}]}]},
    "ElectLeaders": lambda s: {
        "ElectionType": 0, "TimeoutMs": 1000, "TopicPartitions": [
            {"Topic": "edge", "Partitions": [0]}]},
    "DescribeCluster": lambda s: {},
    "DescribeProducers": lambda s: {
        "Topics": [{"Name": "edge", "PartitionIndexes": [1]}]},
    "AllocateProducerIds": lambda s: {"BrokerId": 77, "BrokerEpoch": 1},
    "AlterPartition": lambda s: {
        "BrokerId": 77, "BrokerEpoch": 1, "Topics": [
            {"TopicName": "edge", "TopicId": s.ids["edge"], "Partitions": [
                {"PartitionIndex": 0, "LeaderEpoch": 0, "NewIsr": [0],
                 "NewIsrWithEpochs": [{"BrokerId": 0}]}]}]},
    "AlterPartitionReassignments": lambda s: {
        "TimeoutMs": 1000, "Topics": [{"Name": "edge", "Partitions": [
            {"PartitionIndex": 0, "Replicas": [7]}]}]},
    "ListPartitionReassignments": lambda s: {
        "TimeoutMs": 1000, "Topics": [
            {"Name": "edge", "PartitionIndexes": [0]}]},
    "OffsetCommit": lambda s: {
        "GroupId": "edge-g", "GenerationIdOrMemberEpoch": 5, "MemberId": "m",
        "GroupInstanceId": None, "Topics": [{"Name": "edge", "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 1,
             "CommittedMetadata": "m"}]}]},
    "OffsetFetch": lambda s: {
        "GroupId": "edge-g", "Topics": [
            {"Name": "edge", "PartitionIndexes": [0]}],
        "Groups": [{"GroupId": "edge-g", "Topics": [
            {"Name": "edge", "PartitionIndexes": [0]}]}]},
    "JoinGroup": lambda s: {
        "GroupId": "edge-g", "SessionTimeoutMs": 10000,
        "RebalanceTimeoutMs": 10000, "MemberId": "m", "ProtocolType": "p",
        "Protocols": [{"Name": "r", "Metadata": b"x"}], "Reason": "w"},
    "Heartbeat": lambda s: {
        "GroupId": "edge-g", "GenerationId": 1, "MemberId": "m"},
    "LeaveGroup": lambda s: {
        "GroupId": "edge-g", "MemberId": "m", "Members": [
            {"MemberId": "m", "Reason": "w"}]},
    "SyncGroup": lambda s: {
        "GroupId": "edge-g", "GenerationId": 1, "MemberId": "m",
        "ProtocolType": "p", "ProtocolName": "r", "Assignments": [
            {"MemberId": "m", "Assignment": b"x"}]},
    "DescribeGroups": lambda s: {"Groups": ["edge-g"]},
    "ListGroups": lambda s: {"StatesFilter": ["Dead"],
                             "TypesFilter": ["classic"]},
    "DeleteGroups": lambda s: {"GroupsNames": ["edge-g"]},
    "OffsetDelete": lambda s: {
        "GroupId": "edge-g", "Topics": [{"Name": "edge", "Partitions": [
            {"PartitionIndex": 0}]}]},
}
LEFT_ALONE = {
    ("Produce", "Acks"): "0 has no answer: rows of their own",
    ("LeaderAndIsr", "ControllerEpoch"): "a later one would be believed",
    ("StopReplica", "ControllerEpoch"): "a later one would be believed",
    ("UpdateMetadata", "ControllerEpoch"): "a later one would be believed",
    ("ControlledShutdown", "BrokerId"): "0 would be relieved",
    ("Fetch", "MaxWaitMs"): "the longest wait",
    ("Fetch", "SessionId"): "rows of their own",
    ("FindCoordinator", "KeyType"): "0 and 1 make internal topics",
    ("CreateTopics", "NumPartitions"): "2^31-1 partitions",
    ("CreatePartitions", "Count"): "2^31-1 partitions",
    ("DescribeConfigs", "ConfigurationKeys"): "rows of their own",
    ("OffsetCommit", "GenerationIdOrMemberEpoch"): "-1 makes a group",
    ("JoinGroup", "MemberId"): "an empty one makes a member, which stays",
}
# Earlier ones would make topics, or groups.
EDGY = {"FindCoordinator": range(1, 7), "Metadata": range(4, 13),
        "OffsetCommit": range(1, 10)}
# Where Kafka gives no answer at all, within half a minute at least.
UNANSWERED = {("Produce", "Records"): "None", ("OffsetFetch", "Groups"): "[]"}


@script
def The_topic_of_edges(side):
    side.make(topic("edge", 2))
    side.call("Produce", 9, Acks=-1, TimeoutMs=1000, TopicData=[
        {"Name": "edge", "PartitionData": [
            {"Index": 1, "Records": batch([b"x"], timestamp=T0)}]}])


# --- whole frames ------------------------------------------------------------

def each(api, name, versions=None):
    """Registers f(side, version, values) for the API's versions."""
    def register(f):
        def run(side):
            for v in EDGY.get(api, SERVED[api]) if versions is None \
                    else versions:
                f(side, v, WHOLE[api](side))
        if api in SERVED and versions != ():
            ROWS[f"{api}: edges: {name}"] = run
        return f
    return register


def frames(api):
    schema = wire.REQUESTS[api]

    @each(api, "whole")
    def _(side, v, values):
        side.ask("", api, v, **values)

    @each(api, "without a client id")
    def _(side, v, values):
        if (api, v) != ("ControlledShutdown", 0):
            side.frame(api, v, "", side.payload(api, v, values, None))

    @each(api, "cut")
    def _(side, v, values):
        whole = side.payload(api, v, values)
        for n in sorted({1, 2, 3, 4, 5, 7, len(whole) // 2,
                         len(whole) - 4, len(whole) - 8,
                         len(whole) - 9}):
            # a body of nothing but tags or flags may do without its last byte
            if 0 < n < len(whole) and 8 <= len(whole) - n:
                side.frame(api, v, f"by {n}", whole[:-n])

    @each(api, "bytes behind")
    def _(side, v, values):
        side.frame(api, v, "", side.payload(api, v, values) + b"more")

    @each(api, "tags", None if schema.flexible else ())
    def _(side, v, values):
        if v not in schema.flexible:
            return
        side.frame(api, v, "in the header", side.payload(
            api, v, values, tags=b"\x01\x32\x02ab"))
        side.ask("in the body", api, v, **values, _tags={77: b"cd"})
        for what, end in {
                "twice": b"\x02\x50\0\x50\0", "descending": b"\x02\x51\0\x50\0",
                "cut": b"\x01\x50\x05", "too many": b"\x7f\x50\0",
                "very large": b"\x01\xff\xff\xff\xff\x0f\x01x",
                "of six bytes": b"\x01\xff\xff\xff\xff\xff\x01\x01x",
                "count of six bytes": b"\xff\xff\xff\xff\xff\x01",
                "negative size": b"\x01\x50\xff\xff\xff\xff\x0f"}.items():
            whole = side.payload(api, v, values)
            # the body's own section, which is empty, is the last byte
            side.frame(api, v, what, whole[:-1] + end)

    if api == "ApiVersions":    # answers to any: below
        return

    @each(api, "other versions", (-1, -32768, 32767,
                                  max(schema.valid) + 1))
    def _(side, v, values):
        side.frame(api, v, "", wire.request_header(
            schema.key, v, CORRELATION, CLIENT) + bytes(64))


for _api in WHOLE:
    frames(_api)


# --- each field --------------------------------------------------------------

NOT_UTF8 = b"\xff\xfe"
LONG = "x" * 300
# What cannot be kept is refused by both, but for other reasons; and long values
# are cut short in what is said of them.  Two rows for one resource have no
# answer of Kafka's AlterConfigs.
OTHER_WORDS = {"AlterConfigs", "IncrementalAlterConfigs"}
# Produce: both are appended, see ACCEPTED.  LeaderAndIsr: Kafka trips over it.
NOT_TWICE = {"TopicData", "PartitionData", "TopicStates"}
EDGES = {
    "int8": (-1, 0, 1, 127, -128), "int16": (-1, 0, 32767, -32768),
    "uint16": (0, 65535), "int32": (-1, 0, 1, (1 << 31) - 1, -(1 << 31)),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-1, 0, (1 << 63) - 1, -(1 << 63)),
    "bool": (0, 1, 2, -1),
    "string": (None, "", "x", NOT_UTF8, LONG),
    "bytes": (None, b"", b"x"), "records": (b"", b"x"),
    "uuid": (GHOST, wire.NIL_UUID),
}


class Count(list):
    """An empty array that says to have so many elements."""

    def __init__(self, count):
        super().__init__()
        self.count_ = count

    def __len__(self):
        return self.count_

    def __iter__(self):
        return iter(())

    def __repr__(self):
        return f"{self.count_} of nothing"


def edges_of(field, value):
    if field.array:
        yield None
        yield []
        yield Count(9)
        yield Count(1 << 30)
        if value and field.name not in NOT_TWICE:
            yield value + value
        return
    if field.children:
        return
    yield from EDGES[field.kind]


def variants(fields, values, version, path=""):
    """(where, a function that puts an edge into a copy of the request)"""
    for f in fields:
        if version not in f.versions:
            continue
        value = values.get(f.name, f.default())
        where = f"{path}.{f.name}".lstrip(".")
        for edge in edges_of(f, value):
            # an unknown tag is not sent for a default; null has no tag
            yield where, f.name, edge, []
        if f.children and value:
            inner = value[0] if f.array else value
            step = [(f.name, 0)] if f.array else [(f.name, None)]
            for w, name, edge, steps in variants(f.children, inner, version,
                                                 where):
                yield w, name, edge, step + steps


def with_edge(values, name, edge, steps):
    out = copy.deepcopy(values)
    at = out
    for field, index in steps:
        at = at[field] if index is None else at[field][index]
    at[name] = edge
    return out


def fields_of(api):
    @each(api, "fields")
    def _(side, v, values):
        for where, name, edge, steps in variants(
                wire.REQUESTS[api].fields, values, v):
            if (api, name) in LEFT_ALONE or (
                    UNANSWERED.get((api, name)) == repr(edge)) or (
                    api in OTHER_WORDS and edge in (NOT_UTF8, LONG)) or (
                    api == "AlterConfigs" and name == "Resources" and
                    len(edge or ()) == 2):
                continue
            short = repr(edge) if len(repr(edge)) < 40 else "long"
            side.ask(f"{where} = {short}", api, v,
                     **with_edge(values, name, edge, steps))


for _api in WHOLE:
    fields_of(_api)


# --- ApiVersions, and what is no API -----------------------------------------

@script
def ApiVersions_of_other_versions(side):
    for v in (5, 6, 100, 32767, -1, -2, -32768):
        for body in (b"", b"\0", b"\x05edge\x041.0\0", bytes(40)):
            head = wire.request_header(18, v, CORRELATION, CLIENT)
            side.frame("ApiVersions", v, f"body of {len(body)}",
                       head + body, answered=0)


@script
def ApiVersions_names(side):
    for v in (3, 4):
        for name in ("", "a", "-a", "a-", "a.b-c", "a b", "a_b", ".", "9",
                     "\u00e4", "x" * 300):
            side.ask(f"name {name:.9}", "ApiVersions", v,
                     ClientSoftwareName=name, ClientSoftwareVersion="1")
            side.ask(f"version {name:.9}", "ApiVersions", v,
                     ClientSoftwareName="n", ClientSoftwareVersion=name)


@script
def Unknown_keys(side):
    """Keys that nobody has, and those of KRaft's listeners."""
    for key in (-1, -32768, 52, 53, 54, 55, 59, 62, 63, 64, 70, 71, 76, 83,
                200, 32767):
        for v in (0, 1):
            side.frame("ApiVersions", v, f"key {key}", struct.pack(
                ">hhih", key, v, CORRELATION, 4) + b"same" + bytes(40))


@script
def Frames_that_are_none(side):
    for n in (0, 1, 2, 4, 7, 8, 9, 10):
        side.frame("Metadata", 1, f"{n} bytes", wire.request_header(
            3, 1, CORRELATION, CLIENT)[:n])
    for size in (-1, -(1 << 31), (1 << 31) - 1, 104857601):
        client = side.connect()
        client.send_raw(struct.pack(">i", size) + bytes(100))
        side.told.append(("", 0, f"size {size}",
                          "closed" if client.ended() else "open"))
        side.drop()
    for what, client_id in {"-2": -2, "longer": 99, "largest": 32767}.items():
        side.frame("Metadata", 1, f"client id of {what}", struct.pack(
            ">hhih", 3, 1, CORRELATION, client_id) + b"same" + bytes(4))
    side.frame("Metadata", 1, "client id not UTF-8", struct.pack(
        ">hhih", 3, 1, CORRELATION, 2) + b"\xff\xfe" + bytes(4))


# --- the end -----------------------------------------------------------------

@script
def The_broker_is_relieved_last(side):
    """It goes on to answer: there is nobody to take its place."""
    for v in SERVED["ControlledShutdown"]:
        for epoch in (-1, side.epoch, side.epoch + 5):
            side.ask(f"epoch {epoch - side.epoch if epoch > 0 else -1}",
                     "ControlledShutdown", v, BrokerId=0, BrokerEpoch=epoch)
    side.call("Metadata", 12, AllowAutoTopicCreation=False,
              Topics=[{"Name": "edge"}])
    side.call("DescribeCluster", 1)
    side.call("Produce", 11, Acks=-1, TimeoutMs=1000, TopicData=[
        {"Name": "edge", "PartitionData": [
            {"Index": 1, "Records": batch([b"x"], timestamp=T0)}]}])
    for v in (1, 5, 7):
        side.call("CreateTopics", v, timeoutMs=1000, validateOnly=True,
                  Topics=[topic("late"), topic("later", 1, 2),
                          topic("latest", -1, -1, [(0, [0])])])
    side.call("AllocateProducerIds", 0, BrokerId=0, BrokerEpoch=side.epoch)
