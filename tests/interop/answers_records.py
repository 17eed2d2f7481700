# SPDX-License-Identifier: Apache-2.0
"""Rows: records in and out."""

import struct
import time

import legacy
import packing
import wire
from answers import (GHOST, SERVED, T0, batch, fetched, part, row, script,
                     topic)
from wire import record

PRODUCE = SERVED["Produce"]
NEW = range(3, 12)      # batches of magic 2


# --- Produce: one batch ------------------------------------------------------

def produce(name, make, topic="bare", versions=NEW, index=0, acks=-1, **more):
    """make(version) or bytes."""
    row(name, "Produce", lambda side, v: {
        "Acks": acks, "TimeoutMs": 10000, **more, "TopicData": [part(
            topic, make(v) if callable(make) else make, index)]}, versions)


def packed(values, codec, **how):
    return batch(values, attributes=packing.NAMES.index(codec),
                 compress=packing.PACK[codec], **how)


ONE = batch([b"x"])
BATCHES = {
    "good": ONE,
    "three": batch([b"a", (b"b", b"k"), (None, b"k", [(b"h", None)])]),
    "size 10": batch([b"x"], length=10),
    "size 48": batch([b"x"], length=48),
    "size 49": batch([b"x"], length=49),
    "size -5": batch([b"x"], length=-5),
    "size of another": batch([b"x"], length=1000),
    "size 2^31-1": batch([b"x"], length=(1 << 31) - 1),
    "magic 3": batch([b"x"], magic=3),
    "magic -1": batch([b"x"], magic=-1),
    "magic 1 in the place of 2": batch([b"x"], magic=1),
    "magic 0 in the place of 2": batch([b"x"], magic=0),
    "crc": batch([b"x"], crc=1),
    "empty": b"",
    "11 bytes": ONE[:11],
    "12 bytes": ONE[:12],
    "17 bytes": ONE[:17],
    "60 bytes": ONE[:60],
    "61 bytes": ONE[:61],
    "cut by one": ONE[:-1],
    "bytes behind": ONE + b"junk",
    "17 bytes behind": ONE + ONE[:17],
    "two batches": ONE + ONE,
    "two batches, first wrong": batch([b"x"], crc=1) + ONE,
    "base offset": batch([b"x"], base_offset=77),
    "base offset, two": batch([b"x", b"y"], base_offset=77),
    "leader epoch": batch([b"x"], leader_epoch=99),
    "control": batch([(b"\0\0\0\0\0\0", b"\0\0\0\0")], attributes=0x20),
    "control and transactional": batch(
        [(b"\0\0\0\0\0\0", b"\0\0\0\0")], attributes=0x30, producer_id=5,
        producer_epoch=0, base_sequence=0),
    "transactional": batch([b"x"], attributes=0x10, producer_id=5,
                           producer_epoch=0, base_sequence=0),
    "transactional, no id": batch([b"x"], attributes=0x10),
    "append time": batch([b"x"], attributes=8),
    "delete horizon": batch([b"x"], attributes=0x40),
    "unused bits": batch([b"x"], attributes=0x7f80),
    "codec 5": batch([b"x"], attributes=5),
    "codec 7": batch([b"x"], attributes=7),
    "count 0": batch([b"x"], count=0),
    "no records": batch([]),
    "no records, count 0, last 0": batch([], last_offset_delta=0),
    "count 2 of 1": batch([b"x"], count=2, last_offset_delta=1),
    "count 1 of 2": batch([b"x", b"y"], count=1, last_offset_delta=0),
    "count -1": batch([b"x"], count=-1),
    "count 2^31-1": batch([b"x"], count=(1 << 31) - 1),
    "last offset 5 of 1": batch([b"x"], last_offset_delta=5),
    "last offset -1": batch([b"x"], last_offset_delta=-1),
    "record of length 0": batch([b"x"], payload=b"\0"),
    "record of length -1": batch([b"x"], payload=b"\1"),
    "record too long": batch([b"x"], payload=b"\x7e" + record(b"x")[1:]),
    "record too short": batch([b"x"], payload=b"\x06" + record(b"x")[1:]),
    "record's length of six bytes": batch(
        [b"x"], payload=b"\xff" * 6 + b"\0" + record(b"x")[1:]),
    "offset jumps": batch([b"x", b"y"], payload=record(b"x") + record(
        b"y", offset_delta=5)),
    "offsets the same": batch([b"x", b"y"], payload=record(b"x") * 2),
    "offset begins at 1": batch([b"x"], payload=record(
        b"x", offset_delta=1)),
    "null key and value": batch([(None, None)]),
    "header without a name": batch([(b"v", b"k", [(b"", b"1")])]),
    "time 0": batch([b"x"], timestamp=0),
    "time -1": batch([b"x"], timestamp=-1),
    "time -2": batch([b"x"], timestamp=-2),
    "time min": batch([b"x"], timestamp=-(1 << 63)),
    "max time less": batch([b"x", b"y"], timestamps=[T0, T0 + 5],
                           max_timestamp=T0),
    "max time more": batch([b"x"], max_timestamp=T0 + 99),
    "max time -1": batch([b"x"], max_timestamp=-1),
    "times go back": batch([b"x", b"y"], timestamps=[T0, T0 - 5]),
    "producer without an epoch": batch([b"x"], producer_id=71),
    "producer without a sequence": batch([b"x"], producer_id=72,
                                         producer_epoch=0),
    "sequence without a producer": batch([b"x"], base_sequence=0),
    "epoch without a producer": batch([b"x"], producer_epoch=0),
    "producer -2": batch([b"x"], producer_id=-2, producer_epoch=0,
                         base_sequence=0),
    "epoch -2": batch([b"x"], producer_id=73, producer_epoch=-2,
                      base_sequence=0),
}
for _n, _data in BATCHES.items():
    produce(f"batch: {_n}", _data)
produce("a day ahead", batch([b"x"], timestamp=int(
    time.time() + 86400) * 1000), versions=(3, 11))
for _codec in packing.NAMES[1:]:
    for _n, _data in {
            "good": packed([b"x" * 100, (b"y", b"k")], _codec),
            "base offset": packed([b"x"], _codec, base_offset=5),
            "that is none": batch([b"x"], attributes=packing.NAMES.index(
                _codec)),
            "of no bytes": batch([b"x"], attributes=packing.NAMES.index(
                _codec), payload=b""),
            "of nothing": packed([b"x"], _codec, payload=b""),
            "a record too few": packed([b"x", b"y"], _codec,
                                       payload=record(b"x")),
            "a record too many": packed([b"x"], _codec, payload=record(
                b"x") + record(b"y", offset_delta=1)),
            "offset begins at 1": packed([b"x"], _codec, payload=record(
                b"x", offset_delta=1)),
            "offset jumps": packed([b"x", b"y"], _codec, payload=record(
                b"x") + record(b"y", offset_delta=5)),
            "record of length -1": packed([b"x"], _codec, payload=b"\1"),
            "max time": packed([b"x"], _codec, max_timestamp=T0 + 5),
            "bytes behind a record": packed([b"x"], _codec, payload=record(
                b"x") + b"junk"),
            "time -2": packed([b"x"], _codec, timestamp=-2),
    }.items():
        produce(f"{_codec}: {_n}", _data)
    produce(f"to gzip from {_codec}", packed([b"x" * 100, b"y"], _codec),
            "as-gzip")
    produce(f"to none from {_codec}", packed([b"x" * 100, b"y"], _codec),
            "as-uncompressed")
    produce(f"none to {_codec}", batch([b"x" * 100, b"y"]), f"as-{_codec}")
    produce(f"none to {_codec}, base offset", batch(
        [b"x" * 100, b"y"], base_offset=5), f"as-{_codec}")


# --- Produce: topics, acks, sizes --------------------------------------------

for _n, _where in {
        "partition 99": ("bare", 99), "partition -1": ("bare", -1),
        "partition min": ("bare", -(1 << 31)), "nowhere": ("nowhere", 0),
        "bad name": ("a b", 0), "empty name": ("", 0),
        "long name": ("x" * 250, 0)}.items():
    produce(f"to {_n}", ONE, _where[0], index=_where[1])
for _acks in (1, 0, 2, -2, 32767, -32768):
    if _acks:
        produce(f"acks {_acks}", ONE, acks=_acks)
        produce(f"acks {_acks} nowhere", ONE, "nowhere", acks=_acks)
for _time in (0, -1, -(1 << 31), (1 << 31) - 1):
    produce(f"timeout {_time}", ONE, TimeoutMs=_time)
produce("no key, compacted", batch([b"x"]), "compacted")
produce("one key of three, compacted",
        batch([b"x", (b"y", b"k"), b"z"]), "compacted")
produce("keys, compacted", batch([(b"x", b"k"), (None, b"k")]), "compacted")
produce("no key, gzip, compacted", packed([b"x"], "gzip"), "compacted")
produce("append time", batch([b"x", b"y"]), "appended")
produce("append time, gzip", packed([b"x", b"y"], "gzip"), "appended")
produce("too large", batch([b"x" * 1000]), "small")
produce("too large, crc", batch([b"x" * 1000], crc=1), "small")
produce("as large as may be", batch([b"x" * (1000 - 61 - 9)]), "small")
produce("larger by one", batch([b"x" * (1000 - 61 - 8)]), "small")
produce("too large when open", packed([b"x" * 5000], "gzip"), "small")
produce("too old", ONE, "bounded")
produce("too old, gzip", packed([b"x", b"y"], "gzip"), "bounded")
produce("two too old", batch([b"x", b"y"]), "bounded")
produce("too few in sync", ONE, "both-isr")
produce("too few in sync, acks 1", ONE, "both-isr", acks=1)
produce("too few in sync, crc", batch([b"x"], crc=1), "both-isr")
produce("a transactional id", ONE, TransactionalId="t")
produce("an empty transactional id", ONE, TransactionalId="")


@script
def Produce_without_an_answer(side):
    for v in PRODUCE:
        data = ONE if v > 2 else legacy.message(b"x", magic=0, timestamp=T0)
        for what, topic, records in (
                ("good", "bare", data), ("crc", "bare", batch(
                    [b"x"], crc=1) if v > 2 else legacy.message(
                        b"x", magic=0, crc=1)),
                ("nowhere", "nowhere", data), ("good again", "bare", data)):
            side.frame("Produce", v, what, side.payload("Produce", v, {
                "Acks": 0, "TimeoutMs": 1000,
                "TopicData": [part(topic, records)]}), silent=True)
        side.frame("Produce", v, "of nothing", side.payload("Produce", v, {
            "Acks": 0, "TimeoutMs": 1000}), silent=True)


def _many(*parts):
    topics = {}
    for topic, index, data in parts:
        topics.setdefault(topic, []).append({"Index": index, "Records": data})
    return [{"Name": t, "PartitionData": p} for t, p in topics.items()]


for _n, _parts in {
        "none": [], "good ones": [("bare", 0, ONE), ("bare", 1, ONE),
                                  ("alpha", 0, ONE)],
        "unknown among": [("bare", 0, ONE), ("bare", 9, ONE),
                          ("nowhere", 0, ONE), ("bare", 1, ONE)],
        "wrong among": [("bare", 0, ONE), ("bare", 1, batch(
            [b"x"], crc=1)), ("compacted", 0, ONE), ("alpha", 0, ONE)],
        "magic among": [("bare", 0, ONE), ("bare", 1, batch(
            [b"x"], magic=1)), ("alpha", 0, ONE)],
        "size among": [("bare", 0, ONE), ("bare", 1, batch(
            [b"x"], length=3)), ("nowhere", 0, ONE)],
        "empty among": [("bare", 0, ONE), ("bare", 1, b""),
                        ("nowhere", 0, b"")],
        "a partition twice": [("twins", 0, ONE), ("twins", 0, batch([b"2"]))],
}.items():
    row(f"several: {_n}", "Produce", {
        "Acks": -1, "TimeoutMs": 10000, "TopicData": _many(*_parts)}, NEW)
row("several: a topic twice", "Produce", {
    "Acks": -1, "TimeoutMs": 10000,
    "TopicData": [part("twins", ONE), part("twins", ONE, 1)]}, NEW)
row("several: a topic's partition twice", "Produce", {
    "Acks": -1, "TimeoutMs": 10000,
    "TopicData": [part("twins", ONE), part("twins", ONE)]}, NEW)
row("several: no partitions", "Produce", {
    "Acks": -1, "TimeoutMs": 10000,
    "TopicData": [{"Name": "bare", "PartitionData": []}]}, NEW)


# --- Produce: sequences ------------------------------------------------------

@script
def Produce_sequences(side):
    for v in NEW:
        def send(what, epoch, sequence, count=1, pid=1000 + v):
            side.ask(what, "Produce", v, Acks=-1, TimeoutMs=10000, TopicData=[
                part("sequences", batch([b"x"] * count, producer_id=pid,
                                        producer_epoch=epoch,
                                        base_sequence=sequence))])
        send("first", 0, 0)
        send("again", 0, 0)
        send("a gap", 0, 5)
        send("next, two", 0, 1, 2)
        send("again", 0, 1, 2)
        send("part of it", 0, 1)
        send("overlaps", 0, 2, 2)
        send("next", 0, 3)
        for n in range(4, 9):
            send(f"next {n}", 0, n)
        send("the fifth last", 0, 4)
        send("the sixth last", 0, 3)
        send("an old one", 0, 0)
        send("new epoch, not 0", 1, 9)
        send("new epoch", 1, 0)
        send("old epoch", 0, 9)
        send("old epoch, 0", 0, 0)
        send("far epoch", 32767, 0)
        send("negative sequence", 32767, -1)
        send("negative sequence -2", 32767, -2)
        # the first may begin anywhere; sequences wrap
        send("begins at 77", 3, 77, 1, 2000 + v)
        send("begins at the end", 0, (1 << 31) - 2, 3, 3000 + v)
        send("goes on at 1", 0, 1, 1, 3000 + v)
        send("wrapped again", 0, (1 << 31) - 2, 3, 3000 + v)
        send("epoch -1", -1, 0, 1, 4000 + v)
        send("epoch -1 again", -1, 0, 1, 4000 + v)


@script
def DescribeProducers_of_sequences(side):
    answer = side.connect().call("DescribeProducers", 0, Topics=[
        {"Name": "sequences", "PartitionIndexes": [0]}])
    found = answer["Topics"][0]["Partitions"][0]["ActiveProducers"]
    for p in found:
        p["LastTimestamp"] = p["LastTimestamp"] > 0
    side.told.append(("DescribeProducers", 0, "sequences",
                      {"found": sorted(found, key=repr)}))


# --- Produce: message sets ---------------------------------------------------

def old(name, make, topic="bare", versions=range(0, 3), **how):
    """make(magic)"""
    produce(f"set: {name}", lambda v: make(0 if v < 2 else 1), topic,
            versions, **how)


def _msg(value=b"v", key=b"k", **how):
    how.setdefault("timestamp", T0)
    return lambda magic: legacy.message(value, key, magic=magic, **how)


old("one", _msg())
old("three", lambda m: legacy.messages(3, magic=m, timestamp=T0))
old("offsets from 5", lambda m: legacy.messages(3, 5, magic=m, timestamp=T0))
old("null key", _msg(key=None))
old("null value", _msg(value=None))
old("null key, compacted", _msg(key=None), "compacted")
old("crc", _msg(crc=1))
old("size 13", _msg(size=13))
old("size 14", _msg(size=14))
old("size -1", _msg(size=-1))
old("size of another", _msg(size=1000))
old("key -2", _msg(body=struct.pack(">ii", -2, -1)))
old("key too long", _msg(body=struct.pack(">ii", 99, -1)))
old("value too long", _msg(body=struct.pack(">ii", -1, 99)))
old("no value", _msg(body=struct.pack(">i", -1)))
old("bytes after the value", _msg(body=struct.pack(">iii", -1, -1, 0)))
old("empty", lambda m: b"")
old("cut", lambda m: _msg()(m)[:-1])
old("cut behind a whole one", lambda m: _msg()(m) + _msg()(m)[:-1])
old("10 bytes", lambda m: _msg()(m)[:10])
old("the second's crc", lambda m: _msg()(m) + _msg(crc=1)(m))
old("the other magic", lambda m: _msg()(1 - m))
old("both magics", lambda m: _msg()(m) + _msg()(1 - m))
old("a batch", lambda m: ONE)
old("codec 5", _msg(attributes=5))
old("zstd", lambda m: legacy.wrapper(legacy.messages(
    2, magic=m, timestamp=T0), legacy.ZSTD, packing.zstd, magic=m,
    timestamp=T0, offset=1))
old("append time bit", _msg(attributes=8))
old("too large", _msg(value=b"x" * 1000), "small")
old("append time", _msg(), "appended")
old("too old", _msg(), "bounded")
old("time -1", _msg(timestamp=-1))
old("unused bits", _msg(attributes=0x70))
for _codec, _number in (("gzip", 1), ("snappy", 2), ("lz4", 3)):
    def _wrap(inner, magic, codec=_codec, number=_number, **how):
        pack = packing.lz4_old if codec == "lz4" and magic == 0 else \
            packing.PACK[codec]
        how.setdefault("timestamp", T0)
        return legacy.wrapper(inner, number, pack, magic=magic, **how)
    old(f"{_codec}", lambda m, w=_wrap: w(legacy.messages(
        3, magic=m, timestamp=T0), m, offset=2))
    old(f"{_codec} of nothing", lambda m, w=_wrap: w(b"", m))
    old(f"{_codec} that is none", _msg(attributes=_number))
    old(f"{_codec} of a null value", _msg(value=None, attributes=_number))
    old(f"{_codec}, inner crc", lambda m, w=_wrap: w(legacy.message(
        b"v", magic=m, timestamp=T0, crc=1), m))
    old(f"{_codec}, inner magic", lambda m, w=_wrap: w(legacy.message(
        b"v", magic=1 - m, timestamp=T0), m))
    old(f"{_codec} in {_codec}", lambda m, w=_wrap: w(w(legacy.messages(
        2, magic=m, timestamp=T0), m, offset=1), m, offset=1))
    old(f"{_codec} cut inside", lambda m, w=_wrap: w(legacy.messages(
        2, magic=m, timestamp=T0)[:-3], m, offset=1))
    old(f"two of {_codec}", lambda m, w=_wrap: w(legacy.messages(
        2, magic=m, timestamp=T0), m, offset=1) * 2)
    old(f"{_codec}, offsets", lambda m, w=_wrap: w(legacy.messages(
        2, 7, magic=m, timestamp=T0), m, offset=3))
    old(f"{_codec} to gzip", lambda m, w=_wrap: w(legacy.messages(
        2, magic=m, timestamp=T0), m, offset=1), "as-gzip")
for _version in NEW:
    produce(f"sets in version {_version}", legacy.message(
        b"v", magic=1, timestamp=T0), versions=(_version,))
produce("magic 0 in new versions", legacy.message(b"v", magic=0))


# --- Fetch -------------------------------------------------------------------

def fetch(name, *parts, versions=None, **more):
    """parts: (topic, offset) or (topic, offset, {fields})"""
    def values(side, v):
        return {"MaxWaitMs": 0, "MinBytes": 1, "Topics": [
            fetched(side, p[0], p[1], **(p[2] if len(p) > 2 else {}))
            for p in parts], **more}
    row(name, "Fetch", values, versions)


fetch("nothing")
for _offset in (0, 1, 2, 11, 12, 13, -1, -2, 1 << 62, -(1 << 63)):
    fetch(f"read at {_offset}", ("read", _offset))
for _isolation in (0, 1, 2, -1):
    fetch(f"isolation {_isolation}", ("read", 4), IsolationLevel=_isolation)
    fetch(f"isolation {_isolation}, at the end", ("read", 12),
          IsolationLevel=_isolation)
for _n, _where in {
        "partition 99": ("read", {"index": 99}),
        "partition -1": ("read", {"index": -1}),
        "nowhere": ("nowhere", {}), "bad name": ("a b", {}),
        "empty name": ("", {}), "empty log": ("read", {"index": 1})}.items():
    fetch(_n, (_where[0], 0, _where[1]))
for _max in (0, 1, 60, 200, 400, 1000, -1, -(1 << 31), (1 << 31) - 1):
    fetch(f"max bytes {_max}", ("read", 2), MaxBytes=_max)
    fetch(f"partition max bytes {_max}", ("read", 2, {"max_bytes": _max}))
    fetch(f"max bytes {_max} for two", ("read", 2), ("segments", 4),
          MaxBytes=_max)
for _min in (0, -1, 1 << 30):
    fetch(f"min bytes {_min}", ("read", 2), MinBytes=_min)
for _wait in (-1, -(1 << 31)):
    fetch(f"wait {_wait} at the end", ("read", 12), MaxWaitMs=_wait)
fetch("wait at the end", ("read", 12), MaxWaitMs=100, versions=(0, 4, 12, 17))
fetch("several", ("read", 0), ("segments", 3), ("read", 99), ("nowhere", 0),
      ("read", 0, {"index": 7}), ("alpha", 0))
fetch("segments", ("segments", 5))
fetch("segments with little room", ("segments", 5), MaxBytes=300)
fetch("twice", ("read", 4), ("read", 8))
fetch("twice the same", ("read", 4), ("read", 4))
fetch("a topic in two", ("read", 4), ("segments", 0),
      ("read", 0, {"index": 1}))
for _epoch in (0, 1, -1, -2, 5, (1 << 31) - 1):
    fetch(f"leader epoch {_epoch}", ("read", 4, {
        "CurrentLeaderEpoch": _epoch}))
    fetch(f"last epoch {_epoch}", ("read", 4, {"LastFetchedEpoch": _epoch}))
    fetch(f"last epoch {_epoch} beyond", ("read", 99, {
        "LastFetchedEpoch": _epoch}))
    fetch(f"both epochs {_epoch}", ("read", 4, {
        "CurrentLeaderEpoch": _epoch, "LastFetchedEpoch": _epoch}))
fetch("epoch, nowhere", ("nowhere", 0, {"CurrentLeaderEpoch": 3}))
fetch("last epoch, empty", ("read", 0, {"index": 1, "LastFetchedEpoch": 0}))
fetch("log start", ("read", 4, {"LogStartOffset": 3}))
for _replica in (0, 1, 7, -2, -3, -(1 << 31)):
    fetch(f"replica {_replica}", ("read", 4), ReplicaId=_replica,
          ReplicaState={"ReplicaId": _replica, "ReplicaEpoch": -1})
    fetch(f"replica {_replica}, epoch", ("read", 4, {
        "CurrentLeaderEpoch": 0}), ReplicaId=_replica,
        ReplicaState={"ReplicaId": _replica, "ReplicaEpoch": 5})
    fetch(f"replica {_replica}, beyond", ("read", 99), ReplicaId=_replica,
          ReplicaState={"ReplicaId": _replica, "ReplicaEpoch": 5})
fetch("rack", ("read", 4), RackId="shelf")
fetch("another cluster's id", ("read", 4), ClusterId="other")
fetch("directory id", ("read", 4, {"ReplicaDirectoryId": GHOST}))
fetch("forgotten without a session", ("read", 4), ForgottenTopicsData=[
    {"Topic": "read", "TopicId": GHOST, "Partitions": [0]}])
fetch("session 5 unknown", ("read", 4), SessionId=5, SessionEpoch=3)
fetch("session 5, epoch 0", ("read", 4), SessionId=5, SessionEpoch=0)
fetch("session 5, epoch -1", ("read", 4), SessionId=5, SessionEpoch=-1)
fetch("session -1", ("read", 4), SessionId=-1, SessionEpoch=1)
fetch("session 0, epoch 1", ("read", 4), SessionId=0, SessionEpoch=1)
fetch("session 0, epoch -2", ("read", 4), SessionId=0, SessionEpoch=-2)
fetch("session 5, epoch -2", ("read", 4), SessionId=5, SessionEpoch=-2)
fetch("empty full session", SessionId=0, SessionEpoch=0)
fetch("compressed", ("as-gzip", 0))
fetch("appended", ("compacted", 0))
for _codec in ("snappy", "lz4", "zstd"):
    fetch(f"as {_codec}", (f"as-{_codec}", 0))


@script
def Fetch_sessions(side):
    for v in range(7, 18):
        how = {"MaxWaitMs": 0, "MinBytes": 1}

        def ask(what, session, epoch, *topics, forget=()):
            return side.ask(what, "Fetch", v, SessionId=session,
                            SessionEpoch=epoch, Topics=list(topics),
                            ForgottenTopicsData=[
                                {"Topic": t, "Partitions": [p],
                                 "TopicId": side.ids.get(t, GHOST)}
                                for t, p in forget], **how)
        read, empty = fetched(side, "read", 4), fetched(side, "read", 0, 1)
        s = ask("full", 0, 0, read, empty, fetched(
            side, "nowhere", 0))["SessionId"]
        ask("the same", s, 1)
        ask("moved", s, 2, fetched(side, "read", 12))
        ask("nothing new", s, 3)
        ask("an old epoch", s, 2)
        ask("a later epoch", s, 9)
        ask("one more", s, 4, fetched(side, "segments", 8))
        ask("forgotten", s, 5, forget=[("nowhere", 0), ("segments", 0)])
        ask("forgotten again", s, 6, forget=[("segments", 0)])
        ask("forgotten and named", s, 7, fetched(side, "read", 2),
            forget=[("read", 0)])
        ask("after that", s, 8)
        ask("named at another", s, 9, fetched(side, "read", 0))
        ask("out of range", s, 10, fetched(side, "read", 99))
        ask("out of range still", s, 11)
        ask("all forgotten", s, 12, forget=[("read", 0), ("read", 1)])
        ask("gone", s, 13)
        s = ask("another", 0, 0, read, empty)["SessionId"]
        s2 = ask("anew", s, 0, read)["SessionId"]
        ask("the old one", s, 1)
        ask("the new one", s2, 1)
        ask("closed", s2, -1, read)
        ask("after the end", s2, 2)
        ask("twice in a full one", 0, 0, fetched(side, "read", 4),
            fetched(side, "read", 8))
        side.drop()


@script
def Fetch_session_by_the_other_kind(side):
    """By names and by ids: no session serves both."""
    def ask(what, v, session, epoch, *topics):
        return side.ask(what, "Fetch", v, MaxWaitMs=0, MinBytes=1,
                        SessionId=session, SessionEpoch=epoch,
                        Topics=list(topics))
    read = fetched(side, "read", 4)
    for first, second in ((12, 13), (13, 12), (7, 17), (17, 7)):
        s = ask("full", first, 0, 0, read)["SessionId"]
        ask("the other kind", second, s, 1, read)
        ask("the other kind, nothing named", second, s, 1)
        ask("its own kind", first, s, 1)
        ask("its own kind again", first, s, 2)
        ask("full, the other kind", second, s, 0, read)


# --- ListOffsets -------------------------------------------------------------

def offsets(name, *parts, versions=None, **more):
    """parts: (topic, partition, {fields})"""
    row(name, "ListOffsets", lambda side, v: {
        "ReplicaId": -1, "Topics": [{"Name": t, "Partitions": [
            {"PartitionIndex": i, "MaxNumOffsets": 3, **f}]}
            for t, i, f in parts], **more}, versions)


offsets("none")
for _stamp in (-1, -2, -3, -4, -5, -6, -7, -(1 << 63), 0, T0, T0 + 1,
               T0 + 1000, T0 + 4999, T0 + 5000, T0 + 5001, (1 << 63) - 1):
    for _topic, _index in (("read", 0), ("read", 1), ("segments", 0)):
        offsets(f"{_stamp} of {_topic}-{_index}",
                (_topic, _index, {"Timestamp": _stamp}))
for _n, _part in {
        "nowhere": ("nowhere", 0), "bad name": ("a b", 0),
        "empty name": ("", 0), "partition 99": ("read", 99),
        "partition -1": ("read", -1)}.items():
    offsets(_n, (*_part, {"Timestamp": -1}))
    offsets(f"{_n}, with an epoch", (*_part, {"Timestamp": -1,
                                              "CurrentLeaderEpoch": 5}))
for _epoch in (0, 1, -1, -2):
    offsets(f"epoch {_epoch}", ("read", 0, {
        "Timestamp": -1, "CurrentLeaderEpoch": _epoch}))
for _isolation in (0, 1, 2, -1):
    offsets(f"isolation {_isolation}", ("read", 0, {"Timestamp": -1}),
            ("read", 1, {"Timestamp": -3}), IsolationLevel=_isolation)
for _replica in (0, 1, 7, -2, -3):
    offsets(f"replica {_replica}", ("read", 0, {"Timestamp": -1}),
            ("segments", 0, {"Timestamp": T0}), ReplicaId=_replica)
offsets("twice", ("read", 0, {"Timestamp": -1}),
        ("read", 0, {"Timestamp": -2}))
offsets("twice unknown", ("nowhere", 0, {"Timestamp": -1}),
        ("nowhere", 0, {"Timestamp": -1}))
offsets("twice and another", ("read", 0, {"Timestamp": -1}),
        ("segments", 0, {"Timestamp": -1}), ("read", 0, {"Timestamp": -1}))
for _max in (0, 1, 2, 100, -1):
    offsets(f"at most {_max}", ("segments", 0, {
        "Timestamp": -1, "MaxNumOffsets": _max}), versions=(0,))
    offsets(f"at most {_max}, of a time", ("segments", 0, {
        "Timestamp": T0 + 4000, "MaxNumOffsets": _max}), versions=(0,))


@script
def ListOffsets_of_times_in_disorder(side):
    """Equal times, times that go back, none at all; packed and not."""
    side.make(*[topic(f"times-{n}") for n in range(4)])
    stamps = ((T0, T0, T0 + 5, T0 + 5, T0 + 3), (-1, -1), (T0 + 9, T0, T0 + 9),
              (0, 5, 3))
    for n in range(4):
        for at, times in enumerate(stamps[n:] + stamps[:n]):
            values = [(b"%d" % i, b"k") for i in range(len(times))]
            data = wire.batch(values, timestamps=list(times)) if at % 2 else \
                wire.batch(values, timestamps=list(times), attributes=1,
                           compress=packing.gzip)
            side.call("Produce", 11, Acks=-1, TimeoutMs=10000,
                      TopicData=[part(f"times-{n}", data)])
        for stamp in (-1, -2, -3, -4, -5, 0, 1, 3, 4, 5, 6, T0, T0 + 1,
                      T0 + 3, T0 + 4, T0 + 5, T0 + 6, T0 + 9, T0 + 10):
            for v in (0, 1, 4, 7, 9):
                side.ask(f"{stamp}", "ListOffsets", v, ReplicaId=-1, Topics=[
                    {"Name": f"times-{n}", "Partitions": [
                        {"PartitionIndex": 0, "Timestamp": stamp,
                         "MaxNumOffsets": 3}]}])


@script
def A_topic_that_goes(side):
    """By name and by id, in sessions and without, before and after."""
    for v in (4, 12, 13, 17):
        name = f"goes-{v}"
        side.make(topic(name))
        how = {"MaxWaitMs": 0, "MinBytes": 1}
        side.ask("written", "Produce", 9, Acks=-1, TimeoutMs=10000,
                 TopicData=[part(name, batch([b"x"]))])
        full = side.ask("full", "Fetch", v, SessionEpoch=0, **how, Topics=[
            fetched(side, name), fetched(side, "read", 4)])
        side.connect().call("DeleteTopics", 5, TimeoutMs=20000,
                            TopicNames=[name])
        for what, topics in (("alone", [name]), ("and another", [
                name, "read"])):
            side.ask(what, "Fetch", v, **how, Topics=[
                fetched(side, t, 4 * (t == "read")) for t in topics])
        if v >= 7:
            for epoch in (1, 2):
                side.ask(f"session {epoch}", "Fetch", v, **how, Topics=[],
                         SessionId=full["SessionId"], SessionEpoch=epoch)
        side.ask("after", "Produce", 9, Acks=-1, TimeoutMs=10000,
                 TopicData=[part(name, batch([b"x"]))])
        side.make(topic(name))
        if v >= 7:
            for epoch in (3, 4):
                side.ask(f"again, session {epoch}", "Fetch", v, **how,
                         Topics=[], SessionId=full["SessionId"],
                         SessionEpoch=epoch)
        side.ask("again", "Fetch", v, **how, Topics=[fetched(side, name)])


@script
def Fetch_session_with_an_id_that_comes(side):
    """Named by an id that is not known; the session keeps it."""
    for v in (13, 17):
        full = side.ask("full", "Fetch", v, SessionEpoch=0, MaxWaitMs=0,
                        MinBytes=1, Topics=[
                            fetched(side, "nowhere"),
                            fetched(side, "read", 4)])
        for epoch in (1, 2):
            side.ask(f"epoch {epoch}", "Fetch", v, MaxWaitMs=0, MinBytes=1,
                     SessionId=full["SessionId"], SessionEpoch=epoch)
        side.ask("forgotten", "Fetch", v, MaxWaitMs=0, MinBytes=1,
                 SessionId=full["SessionId"], SessionEpoch=3,
                 ForgottenTopicsData=[{"TopicId": GHOST, "Partitions": [0]}])
        side.ask("after", "Fetch", v, MaxWaitMs=0, MinBytes=1,
                 SessionId=full["SessionId"], SessionEpoch=4)


# --- epochs, deletion --------------------------------------------------------

for _n, _parts in {
        "none": [],
        **{f"epoch {e}": [("read", {"LeaderEpoch": e})]
           for e in (0, 1, -1, -2, 5, (1 << 31) - 1)},
        **{f"current {e}": [("read", {"LeaderEpoch": 0,
                                      "CurrentLeaderEpoch": e})]
           for e in (0, 1, -1, -2, 5)},
        "empty log": [("read", {"Partition": 1, "LeaderEpoch": 0})],
        "empty log, epoch 1": [("read", {"Partition": 1, "LeaderEpoch": 1})],
        "nowhere": [("nowhere", {"LeaderEpoch": 0})],
        "nowhere, current": [("nowhere", {"CurrentLeaderEpoch": 3})],
        "bad name": [("a b", {})], "partition 99": [("read", {
            "Partition": 99})], "partition -1": [("read", {"Partition": -1})],
        "several": [("read", {}), ("nowhere", {}), ("alpha", {})],
        "twice": [("read", {"LeaderEpoch": 0}), ("read", {
            "LeaderEpoch": 1})],
}.items():
    for _replica in (-1, -2, 0, 7):
        row(f"{_n}, replica {_replica}", "OffsetForLeaderEpoch", {
            "ReplicaId": _replica, "Topics": [
                {"Topic": t, "Partitions": [f]} for t, f in _parts]},
            range(0, 5) if _replica == -2 else (3, 4))

for _n, _parts in {
        "none": [], "nowhere": [("nowhere", 0, 0)],
        "bad name": [("a b", 0, 0)], "partition 99": [("cut", 99, 0)],
        "partition -1": [("cut", -1, 0)], "at 0": [("cut", 0, 0)],
        "at 1, in a batch": [("cut", 0, 1)], "at 4": [("cut", 0, 4)],
        "back to 2": [("cut", 0, 2)], "beyond": [("cut", 0, 13)],
        "-2": [("cut", 0, -2)], "empty": [("cut", 1, 0)],
        "empty beyond": [("cut", 1, 1)], "empty -1": [("cut", 1, -1)],
        "compacted": [("compacted", 0, 0)],
        "compacted beyond": [("compacted", 0, 1 << 40)],
        "several": [("cut", 0, 5), ("cut", 1, 0), ("nowhere", 0, 0)],
        "twice": [("cut", 0, 5), ("cut", 0, 6)],
}.items():
    row(_n, "DeleteRecords", {"TimeoutMs": 10000, "Topics": [
        {"Name": t, "Partitions": [{"PartitionIndex": p, "Offset": o}]}
        for t, p, o in _parts]})


@script
def DeleteRecords_then_read(side):
    for v in SERVED["DeleteRecords"]:
        side.ask("", "DeleteRecords", v, TimeoutMs=10000, Topics=[
            {"Name": "cut", "Partitions": [
                {"PartitionIndex": 0, "Offset": 7 + v}]}])
        for offset in (6, 7 + v, 8):
            side.ask(f"at {offset}", "Fetch", 12, MaxWaitMs=0, MinBytes=1,
                     Topics=[fetched(side, "cut", offset)])
        for stamp in (-2, -1, -3, T0, T0 + 4000):
            side.ask(f"{stamp}", "ListOffsets", 7, ReplicaId=-1, Topics=[
                {"Name": "cut", "Partitions": [
                    {"PartitionIndex": 0, "Timestamp": stamp}]}])
        side.ask("below the start", "Fetch", 12, MaxWaitMs=0, MinBytes=1,
                 Topics=[fetched(side, "cut", 0, LastFetchedEpoch=0)])
    side.ask("high watermark", "DeleteRecords", 2, TimeoutMs=10000, Topics=[
        {"Name": "cut", "Partitions": [{"PartitionIndex": 0, "Offset": -1}]}])
    side.ask("emptied", "Fetch", 12, MaxWaitMs=0, MinBytes=1,
             Topics=[fetched(side, "cut", 12)])


@script
def Epochs_after_an_order(side):
    """A leader epoch that moved, with records on both sides of it."""
    state = {"PartitionIndex": 0, "Leader": 0, "LeaderEpoch": 5, "Isr": [0],
             "ControllerEpoch": side.controller_epoch, "PartitionEpoch": 1,
             "Replicas": [0]}
    side.drop()     # as in answers_orders.head()
    side.ask("epoch 5", "LeaderAndIsr", 7, ControllerId=0, Type=1,
             ControllerEpoch=side.controller_epoch, BrokerEpoch=side.epoch,
             TopicStates=[{"TopicName": "segments", "PartitionStates": [state],
                           "TopicId": side.ids["segments"]}])
    side.ask("written", "Produce", 11, Acks=-1, TimeoutMs=10000,
             TopicData=[part("segments", batch([b"newer"]))])
    for epoch in (-1, 0, 3, 5, 6):
        for v in range(0, 5):
            side.ask(f"end of {epoch}", "OffsetForLeaderEpoch", v, Topics=[
                {"Topic": "segments", "Partitions": [
                    {"Partition": 0, "LeaderEpoch": epoch,
                     "CurrentLeaderEpoch": 5}]}])
        for v in SERVED["Fetch"]:
            for offset in (11, 12, 13, 14):
                side.ask(f"current {epoch} at {offset}", "Fetch", v,
                         MaxWaitMs=0, MinBytes=1, Topics=[fetched(
                             side, "segments", offset,
                             CurrentLeaderEpoch=epoch)])
                side.ask(f"last {epoch} at {offset}", "Fetch", v,
                         MaxWaitMs=0, MinBytes=1, Topics=[fetched(
                             side, "segments", offset, CurrentLeaderEpoch=5,
                             LastFetchedEpoch=epoch)])
        for v in SERVED["ListOffsets"]:
            for stamp in (-1, -2, -3, T0 + 5000):
                side.ask(f"current {epoch}", "ListOffsets", v, ReplicaId=-1,
                         Topics=[{"Name": "segments", "Partitions": [
                             {"PartitionIndex": 0, "Timestamp": stamp,
                              "MaxNumOffsets": 9,
                              "CurrentLeaderEpoch": epoch}]}])


@script
def Everything_read(side):
    """What all rows above have left in the logs, in each format."""
    for name in ("bare", "alpha", "compacted", "small", "sequences",
                 "as-uncompressed", "as-gzip", "as-snappy", "as-lz4"):
        # some of what is in there ends Kafka's conversion, and the connection
        for v in (11, 12) if name == "bare" else (1, 3, 11, 12):
            side.ask(name, "Fetch", v, MaxWaitMs=0, MinBytes=1, Topics=[
                fetched(side, name, 0, max_bytes=1 << 26)])
