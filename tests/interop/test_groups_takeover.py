# SPDX-License-Identifier: Apache-2.0
"""`__consumer_offsets` and a compacted topic pass from one broker to the other
and back: same ZooKeeper tree, same data directory, after a clean stop or after
kill -9.  Groups resume where they were: what was told of them is told again,
members that live on stay members, those that come anew begin at the committed
offset.  What the one has compacted, the other does not compact again."""

import shutil
import time

import pytest

import exchange
import harness
import members
import packing
import wire
from exchange_groups import TOPICS, Committer, Groups, committed, wait_loaded
from test_dump_log import real_says_nothing
from test_groups import PARTITIONS, Load
from test_takeover import nothing_mended, tear

# Without rounds of retention, which trip over the cleaner's start in the real
# Kafka when they come at once.
OPTIONS = {
    **{k: v for k, v in exchange.OPTIONS.items() if k not in (
        "log_initial_task_delay_ms", "log_retention_check_interval_ms")},
    "offsets_topic_num_partitions": 3, "offsets_topic_segment_bytes": 6000,
    "log_cleaner_backoff_ms": 200, "log_cleaner_threads": 1,
    "log_cleaner_min_cleanable_ratio": "0.01",
    "log_cleaner_delete_retention_ms": 1,
    "log_segment_delete_delay_ms": 500,
    "group_initial_rebalance_delay_ms": 0,
    "zookeeper_session_timeout_ms": 6000,
}
SESSION_MS = 300000     # of members that outlive their broker
TOPIC, OFFSETS = "shared", "__consumer_offsets"
# The partition of the group "live" (its hashCode() is a multiple of 3), which
# commits all the time.  A transaction that stays open ends compaction in 2.
GOES_ON = {OFFSETS + "-0", "compacted-0"}


class Readers:
    """Members of a group that reads the topic, under all owners."""

    def __init__(self, folder, group, *kinds):
        self.folder, self.group = folder / group, group
        self.kinds = kinds
        self.all, self.now = [], []
        self.floor = {}     # what was committed when they were marked
        self.marked = 0     # in milliseconds; they tell before they commit
        self.folder.mkdir()

    def build(self, program):
        for kind in self.kinds:
            kind.build(program)

    def start(self, broker, count=2):
        for _ in range(count):
            number = len(self.all)
            member = members.Member(
                number, self.kinds[number % len(self.kinds)], self.folder,
                broker.address, TOPIC, self.group)
            self.all.append(member)
            self.now.append(member)

    def ask(self, client):
        return committed(client, self.group, TOPIC)

    def described(self, client):
        """(its state, the ids of its members)"""
        told = client.call("DescribeGroups", 5, Groups=[self.group])[
            "Groups"][0]
        return told["GroupState"], {m["MemberId"] for m in told["Members"]}

    def ids(self, client):
        return self.described(client)[1]

    def read_on(self, client):
        """All are there, have read of all partitions and committed it."""
        def went_on():
            for member in self.now:
                assert member.process.poll() is None, member.log()
            state, ids = self.described(client)
            found = self.ask(client)
            return (state == "Stable" and len(ids) == len(self.now)
                    and all(member.joined() for member in self.now)
                    and all(found.get(p, 0) > self.floor.get(p, 0)
                            for p in range(PARTITIONS)))
        harness.wait_until(went_on, 120, f"{self.group} reads on")

    def firsts(self):
        """{partition: the lowest offset that was read since}"""
        out = {}
        for member in self.all:
            for letter, when, *more in list(member.events):
                if letter == "r" and when > self.marked:
                    partition, offset = more
                    out[partition] = min(offset, out.get(partition, offset))
        return out

    def end(self, how, client=None):
        """Those that are stopped leave the group."""
        for member in self.now:
            getattr(member, how)()
        if how == "stop":
            try:
                harness.wait_until(
                    lambda: self.described(client) == ("Empty", set()),
                    what=f"all have left {self.group}")
            except AssertionError as e:
                raise AssertionError("\n".join((
                    str(e), *(m.log(12000) for m in self.now)))) from None
        for member in self.now:
            member.ended()
        self.now.clear()

    def mark(self, client):
        self.floor = self.ask(client)
        self.marked = time.time() * 1000

    def close(self):
        for member in self.now:
            member.process.kill()
            member.process.wait()


class Compacted:
    """A topic of which every broker leaves the last values only."""

    topic = "compacted"

    def __init__(self):
        self.turn, self.known = 0, {}

    def _write(self, client, rows, codec="none"):
        assert wire.produce(client, self.topic, exchange.packed(
            [(value, key) for key, value in rows.items()], codec))[
                "ErrorCode"] == 0
        self.known.update(rows)

    def fill(self, broker):
        with wire.Client(broker.address) as c:
            for n in range(12):
                self._write(c, {b"key-%d" % k: None if (k + n) % 7 == 0 else
                                b"%d-%d-" % (self.turn, n) + b"." * 60
                                for k in range(n % 4, 40, 3)},
                            packing.NAMES[(n + self.turn) % 5])
            # nobody writes to this key again
            self._write(c, {b"gone-%d" % self.turn: b"here"})
            self._write(c, {b"gone-%d" % self.turn: None})
            for _ in range(8):
                self._write(c, {b"filler": b"x" * 1000})
            harness.wait_until(lambda: self._compacted(broker, c), 120,
                               "it is compacted")
        self.turn += 1

    def _read(self, client):
        start = wire.list_offset(client, self.topic, -2)["Offset"]
        return wire.read_all(client, self.topic, offset=start)

    def _compacted(self, broker, client):
        """No key twice before the active segment; and a tombstone that the
        last owner left is gone, its horizon is over."""
        end = active_base(broker, self.topic)
        records = self._read(client)
        keys = [r[2] for r in records if r[0] < end]
        return (len(keys) == len(set(keys))
                and b"gone-%d" % (self.turn - 1) not in keys
                and checkpoints(broker).get(f"{self.topic}-0", -1) >= end)

    def check(self, broker):
        with wire.Client(broker.address) as c:
            found = {r[2]: r[3] for r in self._read(c)}
        assert {k: v for k, v in found.items() if v is not None} == {
            k: v for k, v in self.known.items() if v is not None}


def active_base(broker, topic, partition=0):
    return int(broker.log_files(topic, partition)[-1].name[:20])


def checkpoints(broker):
    """{partition: up to where it is compacted}"""
    path = broker.data / "cleaner-offset-checkpoint"
    rows = path.read_text().splitlines()[2:] if path.exists() else []
    return {"-".join(topic_partition): int(offset) for *topic_partition, offset
            in map(str.split, rows)}


def names_of(partitions):
    return {p.rsplit("-", 1)[0] for p in partitions}


def half_swapped(broker, topic):
    """As a kill in a compaction leaves it: what was made of one segment has not
    its own name yet; something else is half made."""
    first, second = broker.log_files(topic)[:2]
    for suffix in (".log", ".index", ".timeindex"):
        path = first.with_suffix(suffix)
        if path.exists():
            path.rename(f"{path}.swap")
    shutil.copyfile(second, f"{second}.cleaned")


BOTH = {Compacted.topic, OFFSETS}


class Passing:
    """All that passes."""

    def __init__(self, folder, program):
        self.groups, self.compacted = Groups(), Compacted()
        self.committer = Committer()
        self.live = Readers(folder, "live",
                            members.Python("librdkafka", "range", SESSION_MS),
                            members.Verifiable("RangeAssignor", SESSION_MS))
        self.resumed = Readers(folder, "resumed",
                               members.Verifiable("RangeAssignor"))
        self.killed = Readers(folder, "killed",
                              members.Python("librdkafka", "range"))
        self.readers = self.live, self.resumed, self.killed
        for readers in self.readers:
            readers.build(program)
        self.load = self.told = self.ids = self.kept = None
        self.since = 0          # of the owner's log

    def names(self):
        return [*self.groups.names, Committer.group,
                *(r.group for r in self.readers)]

    def begin(self, broker):
        # what waits for the next owner comes in big batches
        for topic, partitions in {**TOPICS, TOPIC: PARTITIONS}.items():
            harness.create_topic(broker, topic, partitions,
                                 segment_bytes=1 << 20)
            harness.wait_topic(broker, topic, partitions)
        harness.create_topic(broker, Compacted.topic,
                             cleanup_policy="compact")
        harness.wait_topic(broker, Compacted.topic)
        wait_loaded(broker, self.names())
        self.load = Load(broker.address, TOPIC)
        self.live.start(broker)

    def taken(self, broker):
        """The next owner says what the last one said."""
        for topic, partitions in {**TOPICS, TOPIC: PARTITIONS,
                                  Compacted.topic: 1}.items():
            harness.wait_topic(broker, topic, partitions)
        wait_loaded(broker, self.names())
        exchange.same(self.groups.asked(broker), self.told)
        with wire.Client(broker.address) as c:
            self.committer.check(c)
            for readers in (self.resumed, self.killed):
                assert readers.ask(c) == readers.floor
            assert self.live.ids(c) == self.ids
            found = self.live.ask(c)
            assert all(found[p] >= n for p, n in self.live.floor.items())
        self.compacted.check(broker)

    def fill(self, broker, turn):
        self.resumed.start(broker)
        self.killed.start(broker)
        if turn:
            self.groups.go_on(broker)
        self.groups.fill(broker)
        self.compacted.fill(broker)
        with wire.Client(broker.address) as c:
            for readers in self.readers:
                readers.read_on(c)
            if turn:
                assert self.live.ids(c) == self.ids
            self.ids = self.live.ids(c)
        if turn:
            self._resumed()
            self._compacted_on(broker)

    def _resumed(self):
        """Nothing is read again below what was committed; who comes anew
        begins there."""
        for readers in (self.resumed, self.killed):
            harness.wait_until(lambda r=readers: r.firsts() == r.floor,
                               what=f"{readers.group} resumes there")
        live = self.live
        harness.wait_until(lambda: live.firsts().keys() >= live.floor.keys(),
                           what="all that live has read is told")
        firsts = live.firsts()
        assert all(firsts[p] >= n for p, n in live.floor.items())

    def _compacted_on(self, broker):
        """From where the last owner came to."""
        def begun():
            return {p: rows[0][0] for p in self.kept for rows in
                    [exchange.compactions(broker, p, self.since)] if rows}
        harness.wait_until(lambda: names_of(begun()) == BOTH,
                           what="both are compacted on")
        assert begun().items() <= self.kept.items()

    def leave(self, broker, how):
        self.killed.end("kill")
        with wire.Client(broker.address) as c:
            self.resumed.end("stop", c)
            for readers in self.readers:
                readers.mark(c)
        self.told = self.groups.asked(broker)
        self.committer.start(broker)
        harness.wait_until(
            lambda: checkpoints(broker).keys() >= GOES_ON,
            what="what the next owner has to go on with is compacted")
        if how == "stop":
            broker.stop()
        else:
            broker.kill()
            exchange.wait_forgotten(broker)
            tear(broker, OFFSETS)
            half_swapped(broker, Compacted.topic)
        self.kept = checkpoints(broker)

    def end(self, broker):
        """Every record was seen."""
        ends = self.load.end()
        assert not self.load.errors
        with wire.Client(broker.address) as c:
            harness.wait_until(lambda: self.live.ask(c) == ends, 120,
                               f"{ends} are committed")
            self.live.end("stop", c)
        wrong = members.judge(self.live.all, ends)
        assert not wrong, "\n".join(wrong[:30])

    def close(self):
        if self.load is not None:
            self.load.end()
        for readers in self.readers:
            readers.close()


def checked_by_kafka(java, broker):
    """Whose own tool finds nothing wrong with any file."""
    real_says_nothing(java, [
        p for suffix in ("log", "index", "timeindex") for topic in BOTH
        for p in broker.data.glob(f"{topic}-*/*.{suffix}")], compacted=True)


@pytest.mark.slow
@pytest.mark.parametrize("first,how", exchange.ROWS)
def test_groups_there_and_back(make_broker, make_kafka, java, program,
                               tmp_path, first, how):
    owners = [make_broker(0, **OPTIONS), make_kafka(0, **OPTIONS)]
    if first == "theirs":
        owners.reverse()
    exchange.swap(*owners)
    passing = Passing(tmp_path, program)
    try:
        for turn, broker in enumerate((*owners, owners[0])):
            # the first owner leaves what is over to the next
            broker.set(offsets_retention_check_interval_ms=300 if turn
                       else 3600000)
            passing.since = (len(broker.log()) if broker.log_path.exists()
                             else 0)
            broker.start(180)
            if turn == 0:
                passing.begin(broker)
            else:
                passing.taken(broker)
                if how == "stop":
                    nothing_mended(broker, broker.log()[passing.since:])
            passing.fill(broker, turn)
            if turn < 2:
                passing.leave(broker, how)
                if how == "stop":
                    checked_by_kafka(java, broker)
        passing.end(broker)
    finally:
        passing.close()
