# SPDX-License-Identifier: Apache-2.0
"""A directory that two brokers own in turn: what is done to it while one of
them runs, and what is asked of whoever runs, which the last owner's answers
must equal."""

import contextlib
import json
import random
import re
import threading
import time
from concurrent import futures

import harness
import packing
import wire
from both import SHORT

NONE, UNKNOWN_TOPIC, EXISTS, OUT_OF_ORDER = 0, 3, 36, 45
LAST_SEQUENCE = (1 << 31) - 1
TRANSACTIONAL = 16
HOUR = 3600000
# Who owns a directory first, and how each leaves it to the other: each row
# hands it over both ways.
ROWS = ((("ours", "kill"), ("theirs", "stop")) if SHORT else
        (("ours", "stop"), ("ours", "kill"),
         ("theirs", "stop"), ("theirs", "kill")))
OPTIONS = {
    "log_segment_bytes": 6000, "log_index_interval_bytes": 300,
    "log_retention_check_interval_ms": 200, "log_initial_task_delay_ms": 100,
    # recovery begins behind the first segments
    "log_flush_offset_checkpoint_interval_ms": 300,
    "log_flush_start_offset_checkpoint_interval_ms": 300,
    "transaction_state_log_num_partitions": 1,
    "offsets_topic_num_partitions": 1,
    "zookeeper_session_timeout_ms": 6000,
    "zookeeper_connection_timeout_ms": 60000,
}
TOPICS = {
    "codecs": {},
    "appended": {"message_timestamp_type": "LogAppendTime"},
    "by-size": {"retention_bytes": 20000},
    "by-time": {"retention_ms": HOUR},
    "cut": {},
    "one-segment": {"segment_bytes": 1 << 20},
    "grown": {},
    **{f"as-{codec}": {"compression_type": codec}
       for codec in packing.NAMES[1:]},
}


def swap(old, new):
    """new gets old's identity: directory, port, id, cluster."""
    for key in ("log.dirs", "listeners", "zookeeper.connect", "broker.id"):
        new.options[key] = old.options[key]
    new.data = old.data
    new.port = old.port
    new.broker_id = old.broker_id


@contextlib.contextmanager
def nodes(broker):
    """The broker's ZooKeeper."""
    client = harness.connect_zk(broker)
    try:
        yield client
    finally:
        client.end()


def wait_forgotten(broker):
    """Until the session of a killed broker has ended: the real one does not
    start before."""
    with nodes(broker) as z:
        harness.wait_until(
            lambda: not z.exists(f"/brokers/ids/{broker.broker_id}")
            and not z.exists("/controller"), what="the old session ends")


def elect(broker, topics):
    """A new leader epoch for each partition of them, as if leaders had gone and
    come: another controller would have left the nodes so, and the next one
    reads them."""
    epochs = {}
    with nodes(broker) as z:
        for topic in topics:
            for partition in z.get_children(f"/brokers/topics/{topic}"
                                            "/partitions"):
                path = (f"/brokers/topics/{topic}/partitions/{partition}"
                        "/state")
                state = json.loads(z.get(path)[0])
                state["leader_epoch"] += 1
                z.set(path, json.dumps(state, separators=(",", ":")).encode())
                epochs[topic, int(partition)] = state["leader_epoch"]
        z.delete("/controller")

    def led(client):
        return all(epoch_end(client, *which, epoch, epoch)["ErrorCode"] == NONE
                   for which, epoch in epochs.items()) and client.call(
                       "Metadata", 7, Topics=[])["ControllerId"] >= 0
    with wire.Client(broker.address) as c:
        harness.wait_until(lambda: led(c), what="the new epochs are led")


def epoch_end(client, topic, partition, epoch, current=-1):
    return client.call("OffsetForLeaderEpoch", 4, ReplicaId=-1, Topics=[
        {"Topic": topic, "Partitions": [
            {"Partition": partition, "LeaderEpoch": epoch,
             "CurrentLeaderEpoch": current}]}])["Topics"][0]["Partitions"][0]


CLEANED = (r"Log cleaner thread \d cleaned log {0} \(dirty section = "
           r"\[(\d+), (\d+)\]|partition={0} compacted dirty from=(\d+) "
           r"to=(\d+)")


def compactions(broker, partition, since=0):
    """[(first offset, end)] of what was dirty, as the broker's log tells."""
    return [tuple(int(word) for word in row if word) for row in re.findall(
        CLEANED.format(re.escape(partition)), broker.log()[since:])]


# --- those who write ---------------------------------------------------------

class Producer:
    """An idempotent one: it goes on with whoever leads."""

    def __init__(self, content, client, topic, sequence=0, partition=0):
        self.content, self.topic = content, topic
        self.partition = partition
        answer = harness.wait_until(lambda: self._init(client))
        self.id, self.epoch = answer["ProducerId"], answer["ProducerEpoch"]
        self.sequence = sequence
        self.last = None    # (batch, its base offset)

    @staticmethod
    def _init(client):
        answer = client.call("InitProducerId", 4, TransactionalId=None,
                             TransactionTimeoutMs=1000)
        return answer if answer["ErrorCode"] == NONE else None

    def _after(self, count):
        return (self.sequence + count) % (LAST_SEQUENCE + 1)

    def batch(self, values, codec="none", sequence=None):
        return packed(values, codec, producer_id=self.id,
                      producer_epoch=self.epoch, base_sequence=self.sequence
                      if sequence is None else sequence)

    def write(self, client, values, codec="none"):
        data = self.batch(values, codec)
        base = self.content.append(client, self.topic, data, values,
                                   self.partition)
        self.last = data, base
        self.sequence = self._after(len(values))

    def go_on(self, client, codec="none"):
        """Its last batch is known, a gap is seen, the next one is taken."""
        self.repeat(client)
        part = wire.produce(client, self.topic, self.batch(
            [b"gap"], sequence=self._after(1)), self.partition)
        assert (part["ErrorCode"], part["BaseOffset"]) == (OUT_OF_ORDER, -1)
        self.write(client, [b"on-%d" % n for n in range(3)], codec)
        self.repeat(client)

    def repeat(self, client):
        data, base = self.last
        part = wire.produce(client, self.topic, data, self.partition)
        assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, base)

    def new_epoch(self):
        """As after a fatal error in the client: another epoch begins at 0."""
        self.epoch += 1
        self.sequence = 0


class Live:
    """An idempotent producer that writes until its broker is killed, and then
    goes on with the next one, beginning with the batch that had no answer."""

    def __init__(self, broker):
        harness.create_topic(broker, "live")
        harness.wait_topic(broker, "live")
        self.acked = 0      # batches, a record each
        with wire.Client(broker.address) as c:
            self.id = harness.wait_until(
                lambda: Producer._init(c))["ProducerId"]

    def _write(self, client):
        part = wire.produce(client, "live", wire.batch(
            [b"%d" % self.acked], producer_id=self.id, producer_epoch=0,
            base_sequence=self.acked))
        assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, self.acked)
        self.acked += 1

    def _run(self, broker):
        with contextlib.suppress(wire.Closed, ConnectionError):
            with wire.Client(broker.address) as c:
                while True:
                    self._write(c)

    def until_killed(self, broker):
        before = self.acked
        thread = threading.Thread(target=self._run, args=(broker,))
        thread.start()
        harness.wait_until(lambda: self.acked >= before + 200
                           or not thread.is_alive())
        broker.kill()
        thread.join()
        assert self.acked >= before + 200

    def go_on(self, broker):
        harness.wait_topic(broker, "live")
        with wire.Client(broker.address) as c:
            self._write(c)
            assert [(r[0], r[3]) for r in wire.read_all(c, "live")] == [
                (n, b"%d" % n) for n in range(self.acked)]


class Transactions:
    """Of one transactional id, with the real Kafka only; ours reads what they
    left: aborted ones, and one that is open."""

    def __init__(self, content, name="tx"):
        self.content, self.name = content, name
        self.sequence = 0
        self.open = []      # offsets
        self.aborted = set()

    def begin(self, client):
        harness.wait_until(lambda: client.call(
            "FindCoordinator", 3, Key=self.name,
            KeyType=1)["ErrorCode"] == NONE)

        def init():
            answer = client.call("InitProducerId", 4,
                                 TransactionalId=self.name,
                                 TransactionTimeoutMs=600000)
            return answer if answer["ErrorCode"] == NONE else None
        answer = harness.wait_until(init)
        self.id, self.epoch = answer["ProducerId"], answer["ProducerEpoch"]

    def write(self, client, values, codec):
        def added():
            return client.call(
                "AddPartitionsToTxn", 3, V3AndBelowTransactionalId=self.name,
                V3AndBelowProducerId=self.id,
                V3AndBelowProducerEpoch=self.epoch,
                V3AndBelowTopics=[{"Name": "txn", "Partitions": [0]}])[
                    "ResultsByTopicV3AndBelow"][0]["ResultsByPartition"][0][
                        "PartitionErrorCode"] == NONE
        harness.wait_until(added)
        base = self.content.append(client, "txn", packed(
            values, codec, attributes=TRANSACTIONAL, producer_id=self.id,
            producer_epoch=self.epoch, base_sequence=self.sequence), values,
                                   transactional_id=self.name)
        self.sequence += len(values)
        self.open += range(base, base + len(values))

    def ask_end(self, client, commit):
        assert client.call("EndTxn", 3, TransactionalId=self.name,
                           ProducerId=self.id, ProducerEpoch=self.epoch,
                           Committed=commit)["ErrorCode"] == NONE

    def end(self, client, commit):
        """And the marker is written."""
        self.ask_end(client, commit)
        self.content.skip("txn")
        if not commit:
            self.aborted.update(self.open)
        self.open.clear()

        def stable():
            part = wire.fetch(client, "txn", 0, IsolationLevel=1)
            return part["LastStableOffset"] == part["HighWatermark"]
        harness.wait_until(stable, what="the marker is written")


def packed(values, codec="none", attributes=0, **how):
    return wire.batch(
        values, attributes=attributes | packing.NAMES.index(codec),
        compress=packing.PACK[codec], **how)


def consumed(broker, topic):
    """[(offset, value)] that a consumer of what is committed gets."""
    out = harness.kcat(broker, "-C", "-t", topic, "-p", 0, "-o", "beginning",
                       "-e", "-q", "-f", "%o %s\n", "-X",
                       "isolation.level=read_committed")
    return [(int(offset), value) for offset, value in (
        line.split(b" ", 1) for line in out.splitlines())]


# --- what is in the directory ------------------------------------------------

class Content:
    """Writes to the topics, and knows what every offset must hold."""

    def __init__(self):
        self.values = {}        # {(topic, partition): {offset: value}}
        self.ends = {}
        self.turn = 0
        self.producers = []
        self.deleted = set()
        self.transactions = None

    def partitions(self):
        return sorted(self.values)

    def create(self, broker, topic, partitions=1, **configs):
        harness.create_topic(broker, topic, partitions, **configs)
        harness.wait_topic(broker, topic, partitions)
        for partition in range(partitions):
            self.values[topic, partition] = {}
            self.ends[topic, partition] = 0

    def append(self, client, topic, data, values, partition=0, **how):
        part = wire.produce(client, topic, data, partition, **how)
        base = self.ends[topic, partition]
        assert (part["ErrorCode"], part["BaseOffset"]) == (NONE, base), topic
        for n, value in enumerate(values):
            self.values[topic, partition][base + n] = value
        self.ends[topic, partition] = base + len(values)
        return base

    def skip(self, topic, partition=0):
        """A marker takes an offset."""
        self.ends[topic, partition] += 1

    def write(self, client, topic, partition=0, count=20, age=0, rng=random):
        """Batches of each codec in turn; their times go up and down."""
        for n in range(count):
            at = self.ends[topic, partition]
            values = [b"%d-%s" % (at + i, rng.randbytes(
                rng.randrange(60)).hex().encode() * rng.randrange(1, 3))
                      for i in range(rng.randrange(1, 8))]
            now = int(time.time() * 1000) - age - (count - n) * 1000
            rows = [(v, b"k%d" % (i % 3) if i % 4 else None,
                     [(b"h", v[:3])] * (i % 2)) for i, v in enumerate(values)]
            data = packed(rows, packing.NAMES[n % 5], timestamps=[
                now + rng.randrange(-3000, 3000) for _ in rows])
            self.append(client, topic, data, values, partition)

    # one owner's turn

    def fill(self, broker):
        """All that this broker does while it owns the directory."""
        rng = random.Random(self.turn)
        if self.turn == 0:
            for topic, configs in TOPICS.items():
                self.create(broker, topic, **configs)
            if broker.real:
                self.create(broker, "txn")
        with wire.Client(broker.address) as c:
            if self.turn == 0:
                self._begin(broker, c)
            self._grow(broker, c)
            for half in range(2):
                for topic, partition in self.partitions():
                    self.write(c, topic, partition, rng=rng)
                self._produce(c)
                if broker.real:
                    self._transact(c)
                if half == 0:
                    elect(broker, ("codecs", "cut", "by-size"))
            self._cut(c, rng)
            self._retained(broker, c)
            self._delete(broker, c)
        self.turn += 1

    def _begin(self, broker, client):
        # more than what is kept
        self.write(client, "by-time", age=2 * HOUR, count=40)
        self.write(client, "by-size", count=60)
        self.producers = [Producer(self, client, "codecs"),
                          Producer(self, client, "codecs"),
                          Producer(self, client, "cut", LAST_SEQUENCE - 4),
                          Producer(self, client, "by-size"),
                          Producer(self, client, "by-time"),
                          Producer(self, client, "appended"),
                          Producer(self, client, "one-segment"),
                          Producer(self, client, "as-zstd")]
        for producer in self.producers:
            producer.write(client, [b"first"] * 3, "gzip")
        if broker.real:
            self.transactions = Transactions(self)
            self.transactions.begin(client)

    def _produce(self, client):
        for n, producer in enumerate(self.producers):
            for codec in packing.NAMES:
                producer.write(client, [b"%d %d" % (n, i) for i in range(4)],
                               codec)
            if n % 2:
                producer.new_epoch()
                producer.write(client, [b"anew"], "lz4")
            producer.go_on(client, packing.NAMES[n % 5])

    def _transact(self, client):
        """Commits, aborts, and leaves one open."""
        t = self.transactions
        if t is None:
            return
        if self.turn > 0 and t.sequence:
            t.end(client, commit=False)
        for commit in (True, False, False):
            for codec in packing.NAMES:
                t.write(client, [b"txn %d" % i for i in range(9)], codec)
            t.end(client, commit)
        t.write(client, [b"open"] * 2, "snappy")
        self.write(client, "txn")

    def _grow(self, broker, client):
        """One partition more each turn."""
        count = self.turn + 2
        answer = client.call("CreatePartitions", 3, TimeoutMs=20000,
                             ValidateOnly=False, Topics=[
                                 {"Name": "grown", "Count": count,
                                  "Assignments": None}])
        assert answer["Results"][0]["ErrorCode"] == NONE, answer
        harness.wait_topic(broker, "grown", count)
        self.values["grown", count - 1] = {}
        self.ends["grown", count - 1] = 0

    def _cut(self, client, rng):
        """Into a batch, behind the first segments."""
        first = min(self.values["cut", 0])
        end = self.ends["cut", 0]
        at = first + (end - first) // 2 + rng.randrange(8)
        part = client.call("DeleteRecords", 2, TimeoutMs=20000, Topics=[
            {"Name": "cut", "Partitions": [
                {"PartitionIndex": 0, "Offset": at}]}])[
                    "Topics"][0]["Partitions"][0]
        assert (part["ErrorCode"], part["LowWatermark"]) == (NONE, at)
        self._starts("cut", 0, at)

    def _starts(self, topic, partition, start):
        held = self.values[topic, partition]
        self.values[topic, partition] = {
            offset: v for offset, v in held.items() if offset >= start}

    def _retained(self, broker, client):
        """Until retention has done its work."""
        def done():
            try:
                files = broker.log_files("by-size")
                sizes = [p.stat().st_size for p in files]
            except FileNotFoundError:
                return False
            start = wire.list_offset(client, "cut", -2)["Offset"]
            below = [int(p.stem) for p in broker.log_files("cut")[1:]]
            # a log begins later a moment after its files went
            return (sum(sizes) - sizes[0] < 20000
                    and wire.list_offset(client, "by-size", -2)["Offset"]
                    == int(files[0].stem)
                    and not any(base <= start for base in below)
                    and wire.list_offset(client, "by-time", -2)["Offset"])
        harness.wait_until(done, what="retention has passed")
        for topic in ("by-size", "by-time"):
            start = wire.list_offset(client, topic, -2)["Offset"]
            assert start > 0
            self._starts(topic, 0, start)
        # and what must outlive a kill is where it does
        start = wire.list_offset(client, "cut", -2)["Offset"]
        path = broker.data / "log-start-offset-checkpoint"
        harness.wait_until(lambda: f"cut 0 {start}\n" in path.read_text(),
                           what="the start is in the checkpoint")

    def _delete(self, broker, client):
        """One for good; one is made again under its name."""
        gone = f"gone-{self.turn}"
        for topic in (gone, "again"):
            if (topic, 0) not in self.values:
                self.create(broker, topic, 2)
                self.write(client, topic, 0)
            self._delete_topic(client, topic)
        self._create_when_gone(broker, "again")
        self.write(client, "again", 1)
        self.deleted.add(gone)

    def _delete_topic(self, client, topic):
        assert client.call("DeleteTopics", 5, TopicNames=[topic],
                           TimeoutMs=20000)["Responses"][0]["ErrorCode"] == 0
        for which in [w for w in self.values if w[0] == topic]:
            del self.values[which], self.ends[which]

    def _create_when_gone(self, broker, topic):
        with nodes(broker) as z:
            harness.wait_until(
                lambda: not z.exists(f"/brokers/topics/{topic}")
                and not z.exists(f"/admin/delete_topics/{topic}"),
                what="the old topic is gone")
        self.create(broker, topic, 2)

    # the next owner

    def check(self, broker):
        """Every record, by its offset; and by a consumer's own reading."""
        with wire.Client(broker.address) as c:
            for (topic, partition), held in self.values.items():
                start = wire.list_offset(c, topic, -2, partition)["Offset"]
                got = {r[0]: r[3] for r in wire.read_all(
                    c, topic, partition, start)}
                if topic == "txn":  # without the markers
                    got = {o: v for o, v in got.items() if o in held}
                assert got == held, (topic, partition)
        asks = [(topic, self.values[topic, 0]) for topic in (
            "codecs", "cut", *(t for t in TOPICS if "as-" in t))]
        if self.transactions:
            asks.append(("txn", self._committed()))
        with futures.ThreadPoolExecutor(len(asks)) as pool:
            told = pool.map(lambda ask: consumed(broker, ask[0]), asks)
        for (topic, held), got in zip(asks, told):
            assert got == sorted(held.items()), topic

    def _committed(self):
        t = self.transactions
        end = min(t.open, default=self.ends["txn", 0])
        return {offset: v for offset, v in self.values["txn", 0].items()
                if offset < end and offset not in t.aborted}

    def go_on(self, broker):
        with wire.Client(broker.address) as c:
            for producer in self.producers:
                producer.go_on(c)
            if self.transactions and broker.real:
                self._transact(c)


# --- what is asked -----------------------------------------------------------

def asked(broker, content):
    """{question: answer} of all partitions."""
    out = {}
    with wire.Client(broker.address) as c:
        out["topics"] = topics(c)
        out["sizes"] = sizes(c, content)
        for topic, partition in content.partitions():
            for name, answer in of_partition(c, topic, partition).items():
                out[topic, partition, name] = answer
            path = (broker.data / f"{topic}-{partition}"
                    / "partition.metadata")
            # Kafka writes it a while after it made the partition
            harness.wait_until(path.exists, what=f"{path} is written")
            out[topic, partition, "file"] = path.read_text().split()
    return out


def of_partition(c, topic, partition):
    out = {}
    start, end = (wire.list_offset(c, topic, when, partition)["Offset"]
                  for when in (-2, -1))
    for isolation in (0, 1):
        out["all", isolation] = wire.fetch(
            c, topic, start, partition=partition, max_wait_ms=0,
            IsolationLevel=isolation)
    for offset in {*range(start - 1, end + 2, 11), start - 1, end, end + 1}:
        out["at", offset] = wire.fetch(
            c, topic, offset, partition=partition, max_wait_ms=0,
            partition_max_bytes=1)
    stamps = {b.max_timestamp + n for b in wire.batches(
        out["all", 0]["Records"] or b"")[::3] for n in (0, 1)}
    for stamp in {-1, -2, -3, -4, -5, 0, *stamps}:
        out["time", stamp] = wire.list_offset(c, topic, stamp, partition, 9)
    for epoch in range(-1, 12):
        out["epoch", epoch] = epoch_end(c, topic, partition, epoch)
    told = c.call("DescribeProducers", 0, Topics=[
        {"Name": topic, "PartitionIndexes": [partition]}])[
            "Topics"][0]["Partitions"][0]
    told["ActiveProducers"].sort(key=lambda p: p["ProducerId"])
    out["producers"] = told
    return out


def topics(c):
    """With their ids and leader epochs."""
    rows = c.call("Metadata", 12, Topics=None)["Topics"]
    for row in rows:
        row["Partitions"].sort(key=lambda p: p["PartitionIndex"])
    return {row["Name"]: row for row in rows}


def sizes(c, content):
    """Of the logs; those of internal topics are their coordinators'."""
    answer = c.call("DescribeLogDirs", 4, Topics=None)
    return {(t["Name"], p["PartitionIndex"]): p["PartitionSize"]
            for r in answer["Results"] for t in r["Topics"]
            for p in t["Partitions"]
            if (t["Name"], p["PartitionIndex"]) in content.values}


def same(now, before):
    """Shows what differs, but not all bytes of it."""
    assert now.keys() == before.keys()
    for question, answer in now.items():
        old = before[question]
        differs = {key: (str(answer[key])[:300], str(old[key])[:300])
                   for key in answer if answer[key] != old[key]} if isinstance(
                       answer, dict) and answer.keys() == old.keys() else ()
        assert answer == old, (question, differs)
