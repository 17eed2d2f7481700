# SPDX-License-Identifier: Apache-2.0
"""What a broker answers, made comparable with what another one answers.

A Side is one broker with what the rows of the tables may name of it.  A row is
a function of a Side: it sends what it likes by side.ask(), side.frame() and
side.call(), and each outcome goes into the side's transcript:

    ("Metadata", 9, "what was asked", {fields of the answer})
    ("Metadata", 9, "what was asked", "closed")      by the broker
    ("Produce", 9, "what was asked", "silent")       no answer is due

Two transcripts of one row are equal, or some client could tell the brokers
apart.  Masked are: ids, hosts, ports, times, throttling, sizes of disks."""

import os
import re
import socket
import struct
import uuid

import harness
import legacy
import wire

ROWS = {}
GHOST = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
OTHER = uuid.UUID("1f0e0d0c-0b0a-4908-8706-050403020100")
THIRD = uuid.UUID("2f0e0d0c-0b0a-4908-8706-050403020100")
INVENTED = (GHOST, OTHER, THIRD)
T0 = 1700000000000          # of records, unless a row says otherwise
CORRELATION = 7
CLIENT = "same"


AGAINST_KAFKA = os.environ.get("BARNABAS_AGAINST") == "kafka"
GROUPS = ("OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup",
          "Heartbeat", "LeaveGroup", "SyncGroup", "DescribeGroups",
          "ListGroups", "DeleteGroups", "OffsetDelete")


def served():
    """{API: range of versions} of broker/api/served.def; what is to be served
    next is there, too, when Kafka stands in our place."""
    text = (harness.TOP / "broker/api/served.def").read_text()
    found = {}
    for name, low, high in re.findall(r"^SERVED\((\w+), (\d+), (\d+)", text,
                                      re.M):
        camel = name.title().replace("_", "")
        found[camel] = range(int(low), int(high) + 1)
    if AGAINST_KAFKA:
        found.update({api: wire.REQUESTS[api].valid for api in GROUPS})
    return found


SERVED = served()


# --- rows --------------------------------------------------------------------

def script(function):
    """A row of several steps; its name is the function's."""
    name = function.__name__.strip("_").replace("_", " ")
    assert name not in ROWS, name
    ROWS[name] = function
    return function


def row(name, api, values, versions=None):
    """One request, in each version that is served, or those named.  `values`
    is a dict, or made by values(side, version)."""
    name = f"{api}: {name}"
    assert name not in ROWS, name

    def run(side):
        for v in SERVED[api] if versions is None else versions:
            side.call(api, v, **(values(side, v) if callable(values)
                                 else values))
    if api in SERVED:
        ROWS[name] = run


# --- masks -------------------------------------------------------------------

DROPPED = {"ThrottleTimeMs"}
MASKED = {      # by name of field: those of -1, 0, null and "" are compared
    "ClusterId", "Host", "Port", "SessionId", "LogAppendTimeMs",
    "TotalBytes", "UsableBytes",
    "Documentation",    # whose sentences are our own
}
# In the order of one of Scala's or Java's hash tables: as a set.
UNORDERED = {
    "Metadata": {"Topics", "Partitions"},
    "DescribeConfigs": {"Configs"},
    "CreateTopics": {"Topics", "Configs"},
    "DeleteTopics": {"Responses"},
    "CreatePartitions": {"Results"},
    "DeleteRecords": {"Topics", "Partitions"},
    "DescribeLogDirs": {"Topics", "Partitions"},
    "DescribeProducers": {"Topics", "Partitions"},
    "OffsetForLeaderEpoch": {"Topics", "Partitions"},
    "ListOffsets": {"Topics", "Partitions"},
    "Produce": {"Responses", "PartitionResponses"},
    "LeaderAndIsr": {"Topics", "PartitionErrors"},
    "StopReplica": {"PartitionErrors"},
    "AlterConfigs": {"Responses"},
    "IncrementalAlterConfigs": {"Responses"},
    "ElectLeaders": {"ReplicaElectionResults", "PartitionResult"},
    "AlterReplicaLogDirs": {"Results", "Partitions"},
    "AlterPartitionReassignments": {"Responses", "Partitions"},
    "JoinGroup": {"Members"},
    "DescribeGroups": {"Groups", "Members"},
    "ListGroups": {"Groups"},
    "DeleteGroups": {"Results"},
    "OffsetCommit": {"Topics", "Partitions"},
    "OffsetFetch": {"Groups", "Topics", "Partitions"},
    "OffsetDelete": {"Topics", "Partitions"},
}
UUID_SIZE = 36
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WINDOW = re.compile(r"\[\d{13}, ?\d{13}\]")


def batch_told(b):
    """Of a compressed batch only what is in it: codecs of two libraries make
    different bytes of it."""
    same = (b.base_offset, b.leader_epoch, b.magic, b.attributes,
            b.last_offset_delta, b.base_timestamp, b.max_timestamp,
            b.producer_id, b.producer_epoch, b.base_sequence, b.count)
    if b.codec == "none":
        return same, b.data.hex()
    assert b.valid()
    return same, b.records()


def records_told(data):
    if not data:
        return data
    if len(data) > 16 and data[16] == 2:
        out, at = [], 0
        for b in wire.batches(data):
            out.append(batch_told(b))
            at += len(b.data)
        return out + [data[at:].hex()]
    # What is behind the last whole message no client looks at; Kafka fills up
    # there to the size that it had reckoned with.
    found, _ = legacy.read_set(data)
    return [tuple(m) for m in found]


class Mask:
    def __init__(self, side, api):
        self.side, self.api = side, api
        self.unordered = UNORDERED.get(api, set())

    def value(self, name, value):
        if isinstance(value, dict):
            return {k: self.value(k, v) for k, v in value.items()
                    if k not in DROPPED}
        if (self.api, name) == ("ApiVersions", "ApiKeys"):
            # what is not served yet is the only thing that may be missing
            value = [v for v in value if wire.NAMES[v["ApiKey"]] in SERVED]
        if (self.api, name) == ("DescribeLogDirs", "Topics"):
            # two libraries' codecs make records of two sizes
            value = [v for v in value if not v["Name"].startswith("as-")]
        if isinstance(value, list):
            out = [self.value(name, v) for v in value]
            return sorted(out, key=repr) if name in self.unordered else out
        if (self.api, name) == ("InitProducerId", "ProducerId"):
            return "ID" if value >= 0 else value
        if name in MASKED and value not in (-1, 0, None, ""):
            return name
        if isinstance(value, uuid.UUID):
            # whose kind nobody drew: nil, and what rows ask for
            return self.side.names.get(value, "SOME ID" if value.version == 4
                                       and value not in INVENTED else
                                       str(value))
        if name == "Records":
            return records_told(value)
        if isinstance(value, str):
            if name == "MemberId":
                self.side.member(value)
            return self.text(value)
        return value

    def text(self, text):
        text = text.replace(str(self.side.broker.folder), "FOLDER")
        text = text.replace(self.side.broker.address, "ADDRESS")
        text = text.replace(
            str(self.side.broker.options["zookeeper.connect"]), "ZOOKEEPER")
        for member, name in self.side.members.items():
            text = text.replace(member, name)
        return WINDOW.sub("[WINDOW]", text)


# --- a side ------------------------------------------------------------------

class Side:
    def __init__(self, broker):
        self.broker = broker
        self.ids, self.names = {}, {}   # of topics
        self.epoch = self.controller_epoch = -1
        self.kept = {}                  # what one step leaves for the next
        self.members = {}               # of groups: {id: its name in rows}
        self.told = []
        self.client = None

    # what goes out

    def connect(self):
        if self.client is None:
            self.client = wire.Client(self.broker.address)
        return self.client

    def drop(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    @staticmethod
    def payload(api, version, values, client_id=CLIENT, tags=b"\0"):
        """Header and body; ControlledShutdown 0 has no client id."""
        schema = wire.REQUESTS[api]
        body = wire.encode(schema, version, values)
        if (api, version) == ("ControlledShutdown", 0):
            return struct.pack(">hhi", schema.key, 0, CORRELATION) + body
        head = wire.request_header(schema.key, version, CORRELATION,
                                   client_id)
        return head + (tags if version in schema.flexible else b"") + body

    def outcome(self, payload, silent=False):
        """The answer's bytes, "closed" or "silent".  Whether a request has no
        answer is seen by another behind it."""
        client = self.connect()
        try:
            client.send_frame(payload)
            if silent:
                client.send_frame(wire.request_frame("ApiVersions", 0, 99))
            answer = client.receive_frame()
            if silent and answer[:4] == struct.pack(">i", 99):
                return "silent"
            if silent:
                client.receive_frame()
            return answer
        except wire.Closed:
            self.drop()
            return "closed"
        except socket.timeout:
            self.drop()
            return "no answer"

    # what comes in

    @staticmethod
    def decode(api, version, answer):
        data = wire.Reader(answer)
        if data.number("i") != CORRELATION:
            raise wire.WireError("another correlation id")
        schema = wire.RESPONSES[api]
        if version in schema.flexible and api != "ApiVersions":
            if data.uvarint() != 0:
                raise wire.WireError("tags in the response header")
        return wire.decode(schema, version, data)

    def tell(self, api, version, what, outcome, answered=None):
        """Into the transcript; the answer as it came, or None."""
        if isinstance(outcome, str):
            self.told.append((api, version, what, outcome))
            return None
        v = version if answered is None else answered
        answer = self.decode(api, v, outcome)
        self.told.append((api, version, what,
                          Mask(self, api).value("", answer)))
        return answer

    def frame(self, api, version, what, payload, answered=None, silent=False):
        """Any bytes; read as an answer of that API and version."""
        return self.tell(api, version, what, self.outcome(payload, silent),
                         answered)

    def ask(self, what, api, version, **values):
        return self.frame(api, version, what,
                          self.payload(api, version, values))

    def call(self, api, version, **values):
        return self.ask("", api, version, **values)

    def member(self, text):
        """Each new id gets a number in the stead of its uuid."""
        if len(text) > UUID_SIZE and text not in self.members and \
                UUID.fullmatch(text[-UUID_SIZE:]):
            self.members[text] = (f"{text[:-UUID_SIZE]}"
                                  f"{len(self.members) + 1}")

    # what rows need of the broker

    def learn(self, *names, partitions=1):
        """The ids of topics that have leaders now, and as many partitions."""
        def found():
            with wire.Client(self.broker.address) as c:
                answer = c.call("Metadata", 12, AllowAutoTopicCreation=False,
                                Topics=[{"Name": n} for n in names])
            return all(len(t["Partitions"]) >= partitions and all(
                p["LeaderId"] >= 0 for p in t["Partitions"])
                for t in answer["Topics"]) and answer
        for t in harness.wait_until(found, what=f"leaders of {names}")[
                "Topics"]:
            self.ids[t["Name"]] = t["TopicId"]
            self.names[t["TopicId"]] = f"ID-{t['Name']}"

    def make(self, *topics):
        """Topics as CreateTopics names them; not in the transcript.  One that
        has just been deleted may not be gone altogether yet."""
        def made():
            with wire.Client(self.broker.address) as c:
                answer = c.call("CreateTopics", 7, Topics=list(topics),
                                timeoutMs=30000)
            told = [(t["ErrorCode"], t["ErrorMessage"])
                    for t in answer["Topics"] if t["ErrorCode"]]
            assert all("marked for deletion" in str(m) for _, m in told), told
            return not told
        harness.wait_until(made, what="topics are made")
        self.learn(*[t["Name"] for t in topics])

    def run(self, name):
        """The transcript of that row."""
        self.told = []
        self.members = {}
        ROWS[name](self)
        return self.told


# --- the two -----------------------------------------------------------------

def pairs(a, b, path=""):
    """(path, theirs, ours) of what differs."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *[k for k in b if k not in a]]:
            yield from pairs(a.get(key, "no field"), b.get(key, "no field"),
                             f"{path}.{key}")
    elif (isinstance(a, (list, tuple)) and isinstance(b, (list, tuple))
          and len(a) == len(b)):
        for n, (x, y) in enumerate(zip(a, b)):
            yield from pairs(x, y, f"{path}[{n}]")
    elif a != b:
        yield path, a, b


def beside(x, y, width=150):
    """Both texts from shortly before where they part."""
    at = next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), 0)
    at = at - 60 if at > 100 else 0
    return f"Kafka {x[at:at + width]}, ours {y[at:at + width]}"


def differences(theirs, ours):
    """Lines: what the one says and the other does not, each with all the
    versions that it is so in."""
    found = {}
    for a, b in zip(theirs, ours):
        if a[:3] != b[:3]:
            found[a[0], f"ours is at {b[:3]}", a[2]] = [a[1]]
            break
        for path, x, y in pairs(a[3], b[3]):
            text = f"{path} {beside(repr(x), repr(y))}"
            found.setdefault((a[0], text, a[2]), []).append(a[1])
    out = [f"{api} {','.join(map(str, v))} {what}: {text}"
           for (api, text, what), v in found.items()]
    if len(theirs) != len(ours):
        out.append(f"Kafka tells {len(theirs)} outcomes, ours {len(ours)}")
    return out


# --- short names for values --------------------------------------------------

def topic(name, partitions=1, factor=1, assigned=None, **configs):
    """For CreateTopics; configs with _ for dots."""
    return {"Name": name, "NumPartitions": partitions,
            "ReplicationFactor": factor,
            "Assignments": [{"PartitionIndex": p, "BrokerIds": b}
                            for p, b in assigned or ()],
            "Configs": [{"Name": k.replace("_", "."), "Value": v}
                        for k, v in configs.items()]}


def part(name, data, index=0):
    return {"Name": name, "PartitionData": [{"Index": index,
                                             "Records": data}]}


def batch(values, **how):
    how.setdefault("timestamp", T0)
    return wire.batch(values, **how)


def fetched(side, name, offset=0, index=0, max_bytes=1 << 20, **more):
    """A topic of Fetch with one partition, by name and by id."""
    return {"Topic": name, "TopicId": side.ids.get(name, GHOST),
            "Partitions": [{"Partition": index, "FetchOffset": offset,
                            "PartitionMaxBytes": max_bytes, **more}]}
