# SPDX-License-Identifier: Apache-2.0
"""Rows: topics, and what brokers tell of themselves."""

import exchange
import harness
import wire
from answers import GHOST, SERVED, T0, batch, part, row, script, topic

NAMES = {
    "empty": "", "one dot": ".", "two dots": "..", "blank": "a b",
    "slash": "a/b", "colon": "a:b", "not ASCII": "t\u00f6pic",
    "zero byte": "a\0b", "249 long": None, "250 long": "x" * 250,
    "as a glob": "*",
}
del NAMES["249 long"]       # is a good one


def prepare(side):
    """What rows find there."""
    side.make(
        topic("alpha"), topic("beta", 3), topic("bare", 2), topic("twins", 2),
        topic("appended", 1, message_timestamp_type="LogAppendTime"),
        topic("small", 1, max_message_bytes="1000"),
        topic("bounded", 1, message_timestamp_before_max_ms="3600000",
              message_timestamp_after_max_ms="3600000"),
        topic("both-isr", 1, min_insync_replicas="2"),
        topic("read", 2), topic("cut", 2), topic("sequences"),
        topic("segments", 1, segment_bytes="500"),
        topic("config", 1, retention_ms="77", cleanup_policy="delete"),
        *[topic(f"as-{c}", 1, compression_type=c)
          for c in ("uncompressed", "gzip", "snappy", "lz4", "zstd")])
    with exchange.nodes(side.broker) as z:
        side.epoch = z.exists("/brokers/ids/0").czxid
        side.controller_epoch = int(z.get("/controller_epoch")[0])
    with wire.Client(side.broker.address) as c:
        harness.wait_until(lambda: c.call(
            "InitProducerId", 4, TransactionalId=None,
            TransactionTimeoutMs=1000)["ErrorCode"] == 0)
    for name in ("read", "segments", "cut"):
        for n in range(6):
            side.call("Produce", 9, Acks=-1, TimeoutMs=10000, TopicData=[
                part(name, batch([b"value %d" % (2 * n), b"x" * 100],
                                 timestamp=T0 + 1000 * n))])


# --- Metadata ----------------------------------------------------------------

NO_AUTO = {"AllowAutoTopicCreation": False}


def metadata(name, versions=None, **values):
    row(name, "Metadata", {**NO_AUTO, **values}, versions)


def named(*names):
    return [{"Name": n} for n in names]


metadata("no topics", Topics=[])
metadata("one", range(4, 13), Topics=named("beta"))
metadata("two and the rights", range(4, 13), Topics=named("alpha", "read"),
         IncludeTopicAuthorizedOperations=True,
         IncludeClusterAuthorizedOperations=True)
metadata("nowhere and the rights", range(4, 13), Topics=named("nowhere"),
         IncludeTopicAuthorizedOperations=True)
metadata("asked twice", range(4, 13), Topics=named("alpha", "alpha"))
metadata("asked three times among others", range(4, 13), Topics=named(
    "alpha", "beta", "alpha", "nowhere", "alpha", "nowhere"))
metadata("nowhere", range(4, 13), Topics=named("nowhere", "no-where"))
metadata("old versions", range(0, 4), Topics=named("alpha"))
for _n, _name in NAMES.items():
    metadata(f"name: {_n}", Topics=named(_name))
metadata("a bad name twice", range(4, 13), Topics=named("a b", "a b"))
metadata("a name of 249", range(4, 13), Topics=named("y" * 249))
metadata("null name", range(10, 13), Topics=[{"Name": None}])
metadata("unknown id", range(10, 13), Topics=[
    {"Name": None, "TopicId": GHOST}])
metadata("unknown id and a name", range(10, 13), Topics=[
    {"Name": "alpha", "TopicId": GHOST}])
metadata("unknown id twice", range(12, 13), Topics=[
    {"Name": None, "TopicId": GHOST}, {"Name": None, "TopicId": GHOST}])
for _n, _more in {
        "by id": lambda s: [{"Name": None, "TopicId": s.ids["beta"]}],
        "by id and its name": lambda s: [
            {"Name": "beta", "TopicId": s.ids["beta"]}],
        "by id and another name": lambda s: [
            {"Name": "alpha", "TopicId": s.ids["beta"]}],
        "by id and by name": lambda s: [
            {"Name": "beta"}, {"Name": None, "TopicId": s.ids["beta"]}],
        "by name and by id": lambda s: [
            {"Name": None, "TopicId": s.ids["alpha"]}, {"Name": "beta"}],
        "by id twice": lambda s: [
            {"Name": None, "TopicId": s.ids["beta"]}] * 2,
        "ids known and not": lambda s: [
            {"Name": None, "TopicId": s.ids["beta"]},
            {"Name": None, "TopicId": GHOST}],
}.items():
    row(_n, "Metadata", lambda s, v, more=_more: {
        **NO_AUTO, "Topics": more(s)}, range(10, 13))


@script
def Metadata_all(side):
    """Whichever there are: the same on both."""
    for v in SERVED["Metadata"]:
        side.call("Metadata", v, **NO_AUTO, Topics=None if v else [])


@script
def Metadata_makes_topics(side):
    for v in SERVED["Metadata"]:
        name = f"auto-{v}"
        side.ask("makes", "Metadata", v, AllowAutoTopicCreation=True,
                 Topics=named(name, "a b", name))
        side.learn(name)
        side.ask("made", "Metadata", v, **NO_AUTO, Topics=named(name))
        side.ask("collides", "Metadata", v, AllowAutoTopicCreation=True,
                 Topics=named(f"auto_{v}.x"))
        side.learn(f"auto_{v}.x")
        side.ask("collides", "Metadata", v, AllowAutoTopicCreation=True,
                 Topics=named(f"auto.{v}.x"))


# --- CreateTopics ------------------------------------------------------------

def create(name, *topics, versions=None, **more):
    """With a name of its own in each version where it says {v}."""
    def values(side, v):
        return {"timeoutMs": 20000, "Topics": [
            {**t, "Name": t["Name"].replace("{v}", str(v))}
            for t in topics], **more}
    row(name, "CreateTopics", values, versions)


for _n, _name in NAMES.items():
    create(f"name: {_n}", topic(_name))
for _count in (0, -1, -2, -(1 << 31)):
    create(f"{_count} partitions", topic(f"parts{_count}-{{v}}", _count))
for _factor in (0, -1, -2, 2, 3, 32767, -32768):
    create(f"factor {_factor}", topic(f"factor{_factor}-{{v}}", 1, _factor))
    create(f"bad name and factor {_factor}", topic("a b", 0, _factor))
create("none")
create("none, no time", timeoutMs=0)
create("good", topic("good-{v}", 2))
create("good among bad", topic("mixed-{v}"), topic("a b"), topic("alpha"),
       topic("zero-{v}", 0), topic("other-{v}"))
create("there already", topic("alpha"))
create("there already, and wrong", topic("alpha", 0))
create("there already, wrong factor", topic("alpha", 1, 5))
create("there already, wrong config", topic("alpha", 1, 1, no_such="1"))
create("there already, only validated", topic("alpha"), validateOnly=True)
create("collides", topic("both.isr"), topic("both_isr"))
create("twice", topic("twice-{v}"), topic("twice-{v}"))
create("twice and another", topic("twice-{v}"), topic("once-{v}"),
       topic("twice-{v}", 3))
create("three times", *[topic("thrice-{v}")] * 3)
create("twice a bad name", topic("a b"), topic("a b"))
create("no time", topic("hasty-{v}"), timeoutMs=0)
create("negative time", topic("hastier-{v}"), timeoutMs=-1)
create("no time, bad", topic("a b"), timeoutMs=0)
create("only validated", topic("valid-{v}", 4), validateOnly=True)
create("only validated, bad", topic("valid-{v}", 0), topic("a b"),
       topic("valid2-{v}", 1, 2), validateOnly=True)
create("only validated, no time", topic("valid-{v}"), validateOnly=True,
       timeoutMs=0)
create("two underscores", topic("__mine-{v}"))

_assigned = {
    "good": [(0, [0]), (1, [0])],
    "one": [(0, [0])],
    "out of order": [(1, [0]), (0, [0])],
    "not from 0": [(1, [0])],
    "a gap": [(0, [0]), (2, [0])],
    "negative partition": [(-1, [0])],
    "a partition twice": [(0, [0]), (0, [0])],
    "a broker twice": [(0, [0, 0])],
    "factors differ": [(0, [0]), (1, [0, 1])],
    "partition 2^31-1": [((1 << 31) - 1, [0])],
}
for _n, _how in _assigned.items():
    create(f"assigned: {_n}",
           topic(f"hand-{_n.replace(' ', '-')}-{{v}}".replace("^", ""), -1,
                 -1, _how))
create("assigned, with partitions", topic("hand1-{v}", 1, -1, [(0, [0])]))
create("assigned, with a factor", topic("hand2-{v}", -1, 1, [(0, [0])]))
create("assigned, with both", topic("hand3-{v}", 1, 1, [(0, [0])]))
create("assigned, with factor 0", topic("hand4-{v}", -1, 0, [(0, [0])]))
create("assigned, with 0 partitions", topic("hand5-{v}", 0, -1, [(0, [0])]))
create("assigned, bad name", topic("a b", -1, -1, [(0, [0])]))
create("assigned, there already", topic("alpha", -1, -1, [(0, [0])]))
create("assigned and wrong, there already",
       topic("alpha", -1, -1, [(1, [0])]))
create("assigned and wrong config",
       topic("hand6-{v}", -1, -1, [(1, [0])], no_such="1"))

CONFIGS = {
    "unknown": {"no_such": "1"},
    "unknown and null": {"no_such": None},
    "empty name": {"": "1"},
    "compact": {"cleanup_policy": "compact"},
    "good": {"retention_ms": "1000", "cleanup_policy": "delete",
             "min_insync_replicas": "1", "preallocate": "true"},
    "null": {"retention_ms": None},
    "two null": {"retention_ms": None, "segment_bytes": None},
    "null and wrong": {"retention_ms": None, "segment_bytes": "x"},
    "empty": {"retention_ms": ""},
    "no number": {"retention_ms": "x"},
    "a fraction": {"retention_ms": "1.5"},
    "blanks around": {"retention_ms": " 1000 "},
    "plus": {"retention_ms": "+1000"},
    "hex": {"retention_ms": "0x10"},
    "int too large": {"segment_bytes": "2147483648"},
    "long too large": {"retention_ms": "9223372036854775808"},
    "retention -1": {"retention_ms": "-1"},
    "retention -2": {"retention_ms": "-2"},
    "retention bytes -2": {"retention_bytes": "-2"},
    "segment.bytes 13": {"segment_bytes": "13"},
    "segment.bytes 14": {"segment_bytes": "14"},
    "segment.ms 0": {"segment_ms": "0"},
    "segment.jitter.ms -1": {"segment_jitter_ms": "-1"},
    "index 3": {"segment_index_bytes": "3"},
    "flush.messages 0": {"flush_messages": "0"},
    "flush.ms -1": {"flush_ms": "-1"},
    "max.message.bytes -1": {"max_message_bytes": "-1"},
    "index.interval.bytes -1": {"index_interval_bytes": "-1"},
    "ratio 1.5": {"min_cleanable_dirty_ratio": "1.5"},
    "ratio x": {"min_cleanable_dirty_ratio": "x"},
    "ratio 0.25": {"min_cleanable_dirty_ratio": "0.25"},
    "ratio 1e-1": {"min_cleanable_dirty_ratio": "1e-1"},
    "policy": {"cleanup_policy": "shred"},
    "policy twice": {"cleanup_policy": "delete,delete"},
    "policy empty": {"cleanup_policy": ""},
    "policy with blanks": {"cleanup_policy": " delete , delete "},
    "compact and delete": {"cleanup_policy": "compact,delete"},
    "policy in capitals": {"cleanup_policy": "DELETE"},
    "bool": {"unclean_leader_election_enable": "yes"},
    "bool in capitals": {"unclean_leader_election_enable": "TRUE"},
    "bool empty": {"preallocate": ""},
    "min isr 0": {"min_insync_replicas": "0"},
    "compression": {"compression_type": "rar"},
    "compression in capitals": {"compression_type": "GZIP"},
    "gzip level": {"compression_gzip_level": "0"},
    "gzip level 10": {"compression_gzip_level": "10"},
    "gzip level -1": {"compression_gzip_level": "-1"},
    "lz4 level 18": {"compression_lz4_level": "18"},
    "zstd level 23": {"compression_zstd_level": "23"},
    "timestamp type": {"message_timestamp_type": "Never"},
    "timestamp difference": {"message_timestamp_difference_max_ms": "-1"},
    "timestamp before": {"message_timestamp_before_max_ms": "-1"},
    "format version": {"message_format_version": "2.8"},
    "format version 9.9": {"message_format_version": "9.9"},
    "downconversion": {"message_downconversion_enable": "maybe"},
    "throttled": {"leader_replication_throttled_replicas": "0:0,1:0"},
    "throttled all": {"leader_replication_throttled_replicas": "*"},
    "throttled wrong": {"leader_replication_throttled_replicas": "zero"},
    "file.delete.delay.ms -1": {"file_delete_delay_ms": "-1"},
    "delete.retention.ms -1": {"delete_retention_ms": "-1"},
    "compaction lag -1": {"min_compaction_lag_ms": "-1"},
    "compaction lags": {"min_compaction_lag_ms": "100",
                        "max_compaction_lag_ms": "10"},
    "max compaction lag 0": {"max_compaction_lag_ms": "0"},
    "remote": {"remote_storage_enable": "true"},
    "remote off": {"remote_storage_enable": "false"},
    "local retention": {"local_retention_ms": "2000", "retention_ms": "1000"},
    "local retention -3": {"local_retention_ms": "-3"},
    "two wrong": {"retention_ms": "x", "segment_bytes": "13"},
    "broker's own name": {"log_retention_ms": "1"},
}
for _n, _configs in CONFIGS.items():
    create(f"config: {_n}", topic(
        f"c-{_n.replace(' ', '-')}-{{v}}".replace("'", ""), **_configs))
    create(f"config, validated: {_n}", topic(
        "not-made-{v}", **_configs), validateOnly=True, versions=(1, 7))


def _twice(a, b):
    t = topic("c-same-{v}")
    t["Configs"] = [{"Name": "retention.ms", "Value": a},
                    {"Name": "retention.ms", "Value": b}]
    return t


create("config twice", _twice("1000", "2000"))
create("config twice, first wrong", _twice("x", "2000"))
create("config twice, last null", _twice("1000", None))


@script
def CreateTopics_of_names_that_collide(side):
    """Two of one request: which one is made is not said."""
    for v in SERVED["CreateTopics"]:
        answer = side.connect().call("CreateTopics", v, timeoutMs=20000,
                                     Topics=[topic(f"col.x-{v}"),
                                             topic(f"col_x-{v}")])
        made = [(t["ErrorCode"], bool(t.get("ErrorMessage")))
                for t in answer["Topics"]]
        side.told.append(("CreateTopics", v, "", {"made": sorted(made)}))
        side.connect().call("DeleteTopics", 5, TimeoutMs=20000, TopicNames=[
            t["Name"] for t in answer["Topics"] if not t["ErrorCode"]])


@script
def CreateTopics_with_brokers_that_are_not(side):
    """Made, and without a leader: who asks waits in vain."""
    for v in SERVED["CreateTopics"]:
        side.call("CreateTopics", v, timeoutMs=1, validateOnly=True, Topics=[
            topic(f"away-{v}", -1, -1, [(0, [7])]),
            topic(f"away2-{v}", -1, -1, [(0, [-1])])])
        side.ask("made", "CreateTopics", v, timeoutMs=1, Topics=[
            topic(f"away3-{v}", -1, -1, [(0, [-1])])])


# --- CreatePartitions --------------------------------------------------------

def grow(name, *topics, versions=None, **more):
    def values(side, v):
        return {"TimeoutMs": 20000, "Topics": [
            {"Name": n.replace("{v}", str(v)), "Count": count,
             "Assignments": None if brokers is None else [
                 {"BrokerIds": b} for b in brokers]}
            for n, count, brokers in topics], **more}
    row(name, "CreatePartitions", values, versions)


grow("none")
for _count in (0, -1, 1, 2, -1000):
    grow(f"beta to {_count}", ("beta", _count, None))
grow("beta to 3", ("beta", 3, None))
grow("nowhere", ("nowhere", 3, None))
grow("bad name", ("a b", 3, None))
grow("empty name", ("", 3, None))
for _n, _name in NAMES.items():
    grow(f"name: {_n}", (_name, 3, None))
grow("beta and a zero byte", ("beta\0b", 9, None))
grow("good and bad ones, validated", ("beta", 5, None), ("a\0b", 3, None),
     ("..", 3, None), ("nowhere", 3, None), ValidateOnly=True)
grow("twice", ("beta", 4, None), ("beta", 5, None))
grow("twice and nowhere", ("beta", 4, None), ("nowhere", 5, None),
     ("beta", 4, None))
grow("validated", ("beta", 5, None), ValidateOnly=True)
grow("validated, by hand", ("beta", 5, [[0], [0]]), ValidateOnly=True)
grow("by hand, too few", ("beta", 5, [[0]]))
grow("by hand, too many", ("beta", 4, [[0], [0]]))
grow("by hand, none", ("beta", 4, []))
grow("by hand, empty", ("beta", 4, [[]]))
grow("by hand, unknown broker", ("beta", 4, [[9]]))
grow("by hand, a broker twice", ("beta", 4, [[0, 0]]))
grow("by hand, negative", ("beta", 4, [[-1]]))
grow("by hand, factors differ", ("beta", 5, [[0], [0, 1]]))
grow("by hand, another factor", ("beta", 4, [[0, 1]]))
grow("by hand, not more", ("beta", 3, [[0]]))
grow("no time, not more", ("beta", 3, None), TimeoutMs=0)
grow("validated, no time", ("beta", 4, None), TimeoutMs=0, ValidateOnly=True)
grow("not more and nowhere", ("beta", 3, None), ("nowhere", 3, None))


@script
def CreatePartitions_good(side):
    side.make(*[topic(f"grows-{v}") for v in SERVED["CreatePartitions"]])
    for v in SERVED["CreatePartitions"]:
        def ask(what, name, count, hand=None, time=20000):
            side.ask(what, "CreatePartitions", v, TimeoutMs=time, Topics=[
                {"Name": name, "Count": count, "Assignments": hand}])
        ask("to 2", f"grows-{v}", 2)
        ask("by hand to 3", f"grows-{v}", 3, [{"BrokerIds": [0]}])
        ask("no time", f"grows-{v}", 4, None, 0)
        ask("negative time", f"grows-{v}", 5, None, -1)
        side.learn(f"grows-{v}", partitions=5)
        side.ask("", "Metadata", 12, Topics=named(f"grows-{v}"))


# --- DeleteTopics ------------------------------------------------------------

@script
def DeleteTopics_by_name(side):
    for v in SERVED["DeleteTopics"]:
        def ask(what, *names, time=20000):
            side.ask(what, "DeleteTopics", v, TimeoutMs=time,
                     TopicNames=list(names),
                     Topics=[{"Name": n} for n in names])
        side.make(topic(f"gone-{v}"), topic(f"gone2-{v}", 2),
                  topic(f"gone3-{v}"), topic(f"gone4-{v}"))
        ask("none")
        ask("nowhere", "nowhere")
        ask("nowhere twice", "nowhere", "nowhere")
        ask("bad names", *NAMES.values())
        ask("a zero byte behind", f"gone-{v}\0b")
        ask("one", f"gone-{v}")
        ask("again", f"gone-{v}")
        ask("two", f"gone2-{v}", "nowhere")
        ask("one twice", f"gone3-{v}", f"gone3-{v}")
        ask("no time", f"gone4-{v}", time=0)


@script
def DeleteTopics_by_id(side):
    side.make(topic("gone-by-id"), topic("gone-by-id-2"),
              topic("gone-by-id-3"))

    def ask(what, *topics):
        side.ask(what, "DeleteTopics", 6, TimeoutMs=20000, Topics=[
            {"Name": n, **({} if i is None else {"TopicId": i})}
            for n, i in topics])
    ids = side.ids
    ask("unknown id", (None, GHOST))
    ask("unknown id twice", (None, GHOST), (None, GHOST))
    ask("neither", (None, None))
    ask("neither twice", (None, None), (None, None))
    ask("both", ("gone-by-id", ids["gone-by-id"]))
    ask("both, and another", ("gone-by-id", ids["gone-by-id"]),
        ("nowhere", None), (None, GHOST))
    ask("its id", (None, ids["gone-by-id"]))
    with wire.Client(side.broker.address) as c:     # some moments later
        harness.wait_until(lambda: c.call(
            "DeleteTopics", 6, TimeoutMs=1000, Topics=[
                {"Name": None, "TopicId": ids["gone-by-id"]}])[
                    "Responses"][0]["ErrorCode"] == 100)
    ask("again", (None, ids["gone-by-id"]))
    ask("id twice", (None, ids["gone-by-id-2"]), (None, ids["gone-by-id-2"]))
    ask("id and name", ("gone-by-id-3", None), (None, ids["gone-by-id-3"]))
    with wire.Client(side.broker.address) as c:     # Kafka's logs go later
        harness.wait_until(lambda: not any(
            t["Name"].startswith("gone") for d in c.call(
                "DescribeLogDirs", 1, Topics=None)["Results"]
            for t in d["Topics"]))


# --- what a broker tells -----------------------------------------------------

row("none", "DescribeCluster", {})
row("rights", "DescribeCluster", {"IncludeClusterAuthorizedOperations": True})
for _type in (0, 1, 2, 3, -1, 127):
    row(f"endpoint type {_type}", "DescribeCluster", {"EndpointType": _type})

row("all", "DescribeLogDirs", {"Topics": None})
row("none", "DescribeLogDirs", {"Topics": []})
for _n, _topics in {
        "one": [("bare", [0, 1])],
        "unknown": [("nowhere", [0]), ("bare", [0, 99])],
        "negative": [("bare", [-1])],
        "no partitions": [("bare", [])],
        "bad name": [("a b", [0])],
        "partition twice": [("bare", [0, 0])],
        "topic twice": [("bare", [0]), ("bare", [1])],
        "the same twice": [("bare", [0]), ("bare", [0])],
}.items():
    row(_n, "DescribeLogDirs", {"Topics": [
        {"Topic": t, "Partitions": p} for t, p in _topics]})

for _n, _topics in {
        "none": [], "unknown": [("nowhere", [0])],
        "no producers": [("bare", [0, 1])],
        "no partitions": [("bare", [])],
        "unknown partitions": [("bare", [7, -1])],
        "bad names": [("a b", [0]), ("", [0])],
        "twice": [("bare", [0]), ("bare", [0, 0])],
}.items():
    row(_n, "DescribeProducers", {"Topics": [
        {"Name": t, "PartitionIndexes": p} for t, p in _topics]})

row("nobody", "FindCoordinator", {"CoordinatorKeys": [], "Key": "g",
                                  "KeyType": 7}, range(1, 7))
for _type in (2, 3, -1):
    row(f"type {_type}", "FindCoordinator", {
        "Key": "g", "KeyType": _type, "CoordinatorKeys": ["g", "h", "g"]},
        range(1, 7))

# Of one without a transactional id.
for _n, _more in {
        "plain": {}, "timeout 0": {"TransactionTimeoutMs": 0},
        "timeout -1": {"TransactionTimeoutMs": -1},
        "timeout max": {"TransactionTimeoutMs": (1 << 31) - 1},
        "id alone": {"ProducerId": 5}, "epoch alone": {"ProducerEpoch": 5},
        "both": {"ProducerId": 5, "ProducerEpoch": 5},
        "id -2": {"ProducerId": -2}, "both -2": {"ProducerId": -2,
                                                 "ProducerEpoch": -2},
        "empty": {"TransactionalId": ""},
        "empty, id alone": {"TransactionalId": "", "ProducerId": 5},
}.items():
    row(_n, "InitProducerId", {"TransactionalId": None,
                               "TransactionTimeoutMs": 1000, **_more})


# --- configs -----------------------------------------------------------------

def describe(name, *resources, versions=None, **more):
    row(name, "DescribeConfigs", {"Resources": [
        {"ResourceType": t, "ResourceName": n, "ConfigurationKeys": k}
        for t, n, k in resources], **more}, versions)


describe("none")
describe("a topic", (2, "config", None))
describe("a topic, all told", (2, "config", None), IncludeSynonyms=True,
         IncludeDocumentation=True)
describe("keys", (2, "config", ["retention.ms", "no.such", "segment.ms"]))
describe("no keys", (2, "config", []))
describe("unknown topic", (2, "nowhere", None))
describe("bad name", (2, "a b", None), (2, "", None))
describe("twice", (2, "config", ["retention.ms"]),
         (2, "config", ["retention.ms"]))
for _type in (0, 1, 3, 5, 16, 32, 127, -1):
    describe(f"type {_type}", (_type, "x", None))
for _name in ("0", "1", "x", "-1", ""):
    describe(f"broker {_name!r}", (4, _name, ["log.retention.hours",
                                              "background.threads"]))
    describe(f"broker {_name!r}, all told", (4, _name, [
        "log.retention.hours", "log.retention.ms", "zookeeper.connect",
        "ssl.key.password", "compression.type", "no.such"]),
        IncludeSynonyms=True, IncludeDocumentation=True)
