# SPDX-License-Identifier: Apache-2.0
"""Directories that hold transactions, written by hand: what a reader of
committed records is given, and told of those that were aborted."""

import struct

import pytest

import harness
import wire

TRANSACTIONAL, CONTROL = 0x10, 0x20
NOW = 1700000000000
ONE, TWO, THREE = 1001, 1002, 1003


def data(offset, producer, count=2, sequence=0, size=150):
    values = [b"%d-%d-" % (producer, offset + i) + b"." * size
              for i in range(count)]
    plain = producer < 1000
    return wire.batch(
        values, base_offset=offset, leader_epoch=0, timestamp=NOW + offset,
        producer_id=-1 if plain else producer,
        producer_epoch=-1 if plain else 0,
        base_sequence=-1 if plain else sequence,
        attributes=0 if plain else TRANSACTIONAL)


def marker(offset, producer, commit):
    return wire.batch(
        [(struct.pack(">hi", 0, 7), struct.pack(">hh", 0, int(commit)), [])],
        base_offset=offset, leader_epoch=0, timestamp=NOW + offset,
        producer_id=producer, producer_epoch=0,
        attributes=TRANSACTIONAL | CONTROL)


def story():
    """Three segments: (base offset, batches).  ONE aborts what it wrote over
    two of them, TWO commits, then aborts; THREE never ends what it began."""
    return [
        (0, [data(0, 1), data(2, ONE), data(4, TWO)]),
        (6, [data(6, ONE, sequence=2), marker(8, TWO, True), data(9, 2),
             marker(11, ONE, False)]),
        (12, [data(12, TWO, sequence=2), data(14, 3), marker(16, TWO, False),
              data(17, 4), data(19, THREE), data(21, 5)]),
    ]


END, STABLE = 23, 19
ABORTED = [(ONE, 2), (TWO, 12)]
COMMITTED = [0, 1, 4, 5, 9, 10, 14, 15, 17, 18]


def place(broker, topic):
    """In the stead of an empty log, with nothing beside: it is recovered."""
    folder = broker.data / f"{topic}-0"
    for path in folder.iterdir():
        if path.name not in ("partition.metadata", "leader-epoch-checkpoint"):
            path.unlink()
    for base, batches in story():
        (folder / ("%020d.log" % base)).write_bytes(b"".join(batches))


@pytest.fixture
def old(make_broker):
    return harness.start_on(make_broker(
        log_retention_ms=-1, log_index_interval_bytes=100), "t", place)


def topic_id(client):
    return client.call("Metadata", 12, Topics=[{"Name": "t"}])["Topics"][0][
        "TopicId"]


def fetch(client, offset, version=12, isolation=1, size=1 << 20, wait_ms=0,
          replica=-1, ident=None):
    ask = wire.fetch_request("t", offset, max_wait_ms=wait_ms,
                             partition_max_bytes=size,
                             IsolationLevel=isolation)
    if version >= 13:
        ask["Topics"][0] = {"TopicId": ident or topic_id(client),
                            "Partitions": ask["Topics"][0]["Partitions"]}
    if version < 15:
        ask["ReplicaId"] = replica
    answer = client.call("Fetch", version, **ask)
    assert answer.get("ErrorCode", 0) == 0
    return answer["Responses"][0]["Partitions"][0]


def aborted(part):
    if part["AbortedTransactions"] is None:
        return None
    return [(a["ProducerId"], a["FirstOffset"])
            for a in part["AbortedTransactions"]]


def committed(client, version=12, offset=0, size=1 << 20):
    """Offsets of records, as a consumer filters them."""
    out = []
    ident = topic_id(client)
    while True:
        part = fetch(client, offset, version, size=size, ident=ident)
        assert part["ErrorCode"] == 0
        assert part["LastStableOffset"] == STABLE
        assert part["HighWatermark"] == END
        found = wire.batches(part["Records"] or b"")
        if not found:
            assert offset == STABLE
            return out
        waiting, skipped = sorted(aborted(part), key=lambda a: a[1]), set()
        for batch in found:
            while waiting and waiting[0][1] <= batch.last_offset:
                skipped.add(waiting.pop(0)[0])
            if batch.attributes & CONTROL:
                if batch.records()[0][2][3] == 0:
                    skipped.discard(batch.producer_id)
            elif not (batch.attributes & TRANSACTIONAL and
                      batch.producer_id in skipped):
                out += [r[0] for r in batch.records() if r[0] >= offset]
            offset = max(offset, batch.last_offset + 1)


def check(broker):
    with wire.Client(broker.address) as c:
        for version in range(4, 17):
            assert committed(c, version) == COMMITTED
        for size in (1, 300, 500):
            assert committed(c, size=size) == COMMITTED
        for offset in range(END + 1):
            assert committed(c, offset=min(offset, STABLE)) == [
                o for o in COMMITTED if o >= offset]
        # all that lies in reach of what was read, and no more than that
        assert aborted(fetch(c, 0)) == [(ONE, 2)]
        assert aborted(fetch(c, 12)) == [(TWO, 12)]
        assert aborted(fetch(c, 17)) == []
        assert aborted(fetch(c, STABLE)) == []
        assert aborted(fetch(c, END)) == []
        # others are told nothing, and see it all
        part = fetch(c, 12, isolation=0)
        assert aborted(part) is None
        assert part["LastStableOffset"] == STABLE
        assert wire.batches(part["Records"])[-1].last_offset == END - 1
        assert aborted(fetch(c, END + 1)) is None
        for isolation, end in ((0, END), (1, STABLE)):
            for version in range(2, 8):
                answer = c.call(
                    "ListOffsets", version, ReplicaId=-1,
                    IsolationLevel=isolation,
                    Topics=[{"Name": "t", "Partitions": [
                        {"PartitionIndex": 0, "Timestamp": -1}]}])
                assert answer["Topics"][0]["Partitions"][0]["Offset"] == end
        rows = c.call("DescribeProducers", 0, Topics=[
            {"Name": "t", "PartitionIndexes": [0]}])["Topics"][0][
                "Partitions"][0]["ActiveProducers"]
        # the two others were idle for long; who has begun does not expire
        assert {r["ProducerId"]: r["CurrentTxnStartOffset"]
                for r in rows}[THREE] == STABLE
    out = harness.kcat(broker, "-C", "-t", "t", "-e", "-q", "-f", "%o\n",
                       "-X", "isolation.level=read_committed")
    assert [int(o) for o in out.split()] == COMMITTED


def test_recovered(old):
    check(old)
    for path in old.log_files("t", 0, "txnindex"):
        entry = struct.unpack(">hqqqq", path.read_bytes())
        assert entry == {6: (0, ONE, 2, 11, 12),
                         12: (0, TWO, 12, 16, 17)}[int(path.stem)]
    assert "a transaction is open" in old.log()


def test_restarted(old):
    old.stop()
    old.start()
    harness.wait_topic(old, "t")
    check(old)


@pytest.mark.parametrize("damage", ("version", "torn", "cut", "gone"))
def test_damaged_index(old, damage):
    old.stop()
    for path in old.log_files("t", 0, "txnindex"):
        data = path.read_bytes()
        if damage == "version":
            path.write_bytes(b"\0\1" + data[2:])
        elif damage == "torn":
            path.write_bytes(data + data[:9])
        elif damage == "cut":
            path.write_bytes(data[:-1])
        else:
            path.unlink()
            path.with_suffix(".index").unlink()
    old.start()
    harness.wait_topic(old, "t")
    check(old)


def test_killed(old):
    old.set(zookeeper_session_timeout_ms=3000)
    harness.restart(old, "t")
    old.kill()

    def started():
        try:
            old.start(90)
        except AssertionError:
            old.kill()   # the old session has not ended yet
            return False
        return True
    harness.wait_until(started, 120, "the broker is back")
    harness.wait_topic(old, "t")
    check(old)


def test_waits_and_goes_on(old):
    """More records do not wake who reads what is committed; what is deleted
    does not hold him back, but for the place where it was."""
    with wire.Client(old.address) as c, wire.Client(old.address) as other:
        ask = c.send("Fetch", 12, **wire.fetch_request(
            "t", STABLE, max_wait_ms=6000, IsolationLevel=1))
        assert wire.produce(other, "t", wire.batch(
            [b"more"], timestamp=NOW + END))["BaseOffset"] == END
        # who would be awake has answered by now
        assert fetch(other, END, isolation=0, wait_ms=1000)["Records"]
        c.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            c.receive_frame()
        c.socket.settimeout(60)
        part = c.receive(ask)["Responses"][0]["Partitions"][0]
        assert (part["ErrorCode"], part["Records"] or b"",
                part["LastStableOffset"]) == (0, b"", STABLE)
        answer = other.call("DeleteRecords", 2, TimeoutMs=10000, Topics=[
            {"Name": "t", "Partitions": [
                {"PartitionIndex": 0, "Offset": END}]}])
        assert answer["Topics"][0]["Partitions"][0]["ErrorCode"] == 0
        part = fetch(c, END)
        assert part["LogStartOffset"] == END
        assert part["LastStableOffset"] == END
        assert not part["Records"]
