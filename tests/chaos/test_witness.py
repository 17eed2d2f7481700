# SPDX-License-Identifier: Apache-2.0
"""The checker of many brokers on histories that were made up: each fault is
found, nothing is told of good ones."""

import struct

import pytest

import switch
import wire
from cluster import Assignment
from faults import keeps_somebody
from removals import Removals
from witness import (Commits, Growth, Reads, SharedCommits, compacted_wrong,
                     high_watermarks, log_batches, next_offset,
                     replicas_wrong)

# --- what readers were shown -------------------------------------------------


def shown(history, end=None):
    """history: (reader, offset, value) or (reader, last offset of a batch,
    high watermark, "answer")"""
    reads = Reads()
    for reader, offset, value, *answer in history:
        if answer:
            reads.note_answer(reader, "t", 0, wire.Batch(wire.batch(
                [b"x"], base_offset=offset)), value)
        else:
            reads.note(reader, "t", 0, offset, value)
    if end is not None:
        reads.end("t", 0, end)
    return reads.wrong


GOOD = [("a", 0, b"x"), ("a", 1, b"y"), ("b", 1, b"y"), ("b", 0, b"x"),
        ("a", 2, b"z")]


@pytest.mark.parametrize("history, end, told", (
    (GOOD, None, None),
    (GOOD, 3, None),
    (GOOD, 4, None),
    (GOOD, 2, "offset 2: it was read, the log ends at 2"),
    (GOOD, 0, "it was read, the log ends at 0"),
    (GOOD + [("b", 2, b"y")], 3, "offset 2: b was shown b'y'"),
    (GOOD + [("b", 2, None)], 3, "b was shown None"),
    (GOOD + [("the checker", 0, b"y")], 3, "the checker was shown b'y'"),
    ([("a", 1, b"y"), ("b", 1, b"x")], None, "offset 1: b was shown b'x'"),
    ([("a", 4, 5, "answer")], None, None),
    ([("a", 5, 5, "answer")], None,
     "offset 5: a was shown it with a high watermark of 5"),
    ([("a", 9, 5, "answer")], None, "a high watermark of 5"),
))
def test_reads(history, end, told):
    wrong = shown(history, end)
    assert (wrong == []) if told is None else any(told in w for w in wrong)


def test_readers_jump():
    reads = Reads()
    reads.jump("a", "t", 1, 7, 9)
    assert reads.wrong == ["t/1 offset 9: a was shown it where 7 was due"]


@pytest.mark.parametrize("told, grew", (
    (((3, 10), (3, 10), (3, 9), (3, 10)), [False, False, False, True]),
    (((3, 10), (4, 12), (4, 13)), [False, False, True]),
    (((-1, 10), (-1, 12)), [False, False]),
))
def test_growth(told, grew):
    growth = Growth()
    assert [growth.grew(*row) for row in told] == grew


@pytest.mark.parametrize("marks, asked, told", (
    ([(3, 10)], 10, False),
    ([(3, 10)], 9, True),
    ([(3, 10), (3, 8)], 9, True),
    ([(3, 10), (4, 8)], 9, False),
    ([(4, 8), (3, 10)], 9, False),
))
def test_leaders_high_watermark(marks, asked, told):
    """By who leads in the newest epoch that a replica told of."""
    reads, where = Reads(), ("t", 0)
    for mark in marks:
        reads.marks.note(where, *mark)
    reads.note_leader("a", *where, reads.marks.due(where), asked)
    assert [" was told it as high watermark" in w
            for w in reads.wrong] == [True] * told


def test_leader_of_another_epoch():
    marks, where = Reads().marks, ("t", 0)
    assert marks.due(where) is None
    marks.forget(where, None)
    marks.note(where, 3, 10)
    due = marks.due(where)
    marks.note(where, 4, 2)
    marks.forget(where, due)
    assert marks.due(where) == (4, 2)
    marks.forget(where, (4, 2))
    assert marks.due(where) is None


# --- who is wiped, and who moves ---------------------------------------------

def assignment(replicas, adding=(), removing=()):
    return Assignment({"partitions": {"0": replicas},
                       "adding_replicas": {"0": list(adding)},
                       "removing_replicas": {"0": list(removing)}}, 0)


@pytest.mark.parametrize("isr, how, away, kept", (
    ([0, 1, 2], ([0, 1, 2],), {1}, True),
    ([0, 1], ([0, 1, 2],), {1}, True),
    ([1], ([0, 1, 2],), {1}, False),
    ([0, 1], ([0, 1, 2],), {0, 1}, False),
    ([0, 1], ([0, 1],), {1}, True),
    ([1, 2], ([0, 1, 2], (), (2,)), {1}, False),     # 2 is about to go
    ([1, 2], ([0, 1, 2], (2,)), {1}, False),         # and may be called off
    ([0, 1, 2], ([0, 1, 2], (2,)), {1}, True),
))
def test_keeps_somebody(isr, how, away, kept):
    where = ("t", 0)
    assert keeps_somebody({where: {"isr": isr}}, {where: assignment(*how)},
                          away) is kept
    # of a topic that is just made no move is known
    assert keeps_somebody({where: {"isr": isr}}, {}, away) is bool(
        set(isr) - away)


def test_assignment():
    assert assignment([2, 0, 1]).is_whole(3)
    for unfinished in (([0, 1],), ([0, 1, 2], (2,)), ([0, 1, 2], (), (2,))):
        assert not assignment(*unfinished).is_whole(3)
    assert assignment([0, 1, 2], (2,), (0,)).target == [1, 2]
    old = Assignment({"partitions": {"7": [1, 0]}}, 7)  # as before 2.4
    assert old.is_whole(2) and old.target == old.stays == [1, 0]


def test_removals():
    removals = Removals()
    with removals.asked() as may:
        assert may
    assert removals.stop()
    with removals.asked() as may:
        assert not may
    assert removals.stop()
    removals.go_on()
    with pytest.raises(OSError), removals.asked() as may:
        assert may
        raise OSError("no answer")
    assert not removals.stop()
    removals.go_on()
    assert removals.stop()


# --- replicas ----------------------------------------------------------------

def batch(offset, count=2, epoch=0, value=b"v"):
    return wire.Batch(wire.batch(
        [value] * count, base_offset=offset, leader_epoch=epoch,
        timestamp=1000))


def log():
    return [batch(0), batch(2), batch(4, epoch=1), batch(6, 3, 1), batch(9)]


def changed(at, to):
    def change(copy):
        copy[at] = to
    return change


def without(at):
    def change(copy):
        del copy[at]
    return change


@pytest.mark.parametrize("whose", (0, 1, 2))
@pytest.mark.parametrize("change, limit, told", (
    (lambda copy: None, 11, None),
    (lambda copy: None, None, None),
    (lambda copy: None, 0, None),
    (without(4), 9, None),                       # it lags
    (lambda copy: copy.clear(), 0, None),        # it is new
    (changed(4, batch(9, 5, 7)), 9, None),       # it will be cut off
    (without(4), 10, "lacks [9, 10]"),
    (without(4), 11, "lacks [9, 10]"),
    (without(4), None, "lacks [9, 10]"),
    (lambda copy: copy.clear(), 1, "lacks [0, 1]"),
    (lambda copy: copy.append(batch(11)), None, "lacks [11, 12]"),
    (lambda copy: copy.append(batch(11)), 11, None),
    (without(2), 11, "follows on"),
    (without(0), 11, "has [0, 1]"),
    (changed(1, batch(2, value=b"w")), 11, "has [2, 3]"),
    (changed(1, batch(2, value=b"w")), 3, "has [2, 3]"),
    (changed(1, batch(2, value=b"w")), 2, None),
    (changed(2, batch(4, epoch=2)), 11, "[4, 5] epoch 2"),
    (changed(2, batch(4, 3, 1)), 11, "[4, 6]"),
))
def test_replicas(change, limit, told, whose):
    copies = {n: log() for n in range(3)}
    change(copies[whose])
    wrong = replicas_wrong("t/0", copies, limit)
    assert (wrong == []) if told is None else any(told in w for w in wrong)


def keyed(offset, *rows):
    """A batch of (key, value) from there on."""
    return wire.Batch(wire.batch([(value, key, ()) for key, value in rows],
                                 base_offset=offset))


def whole():
    return [keyed(0, (b"a", b"1"), (b"b", b"1")), keyed(2, (b"a", b"2")),
            keyed(3, (b"b", None)), keyed(4, (b"c", b"1"))]


@pytest.mark.parametrize("whose", (0, 1, 2))
@pytest.mark.parametrize("change, limit, told", (
    (lambda copy: None, 5, None),
    (lambda copy: None, None, None),
    (without(0), 5, None),                               # compacted
    (without(0), None, None),
    (lambda copy: (without(2)(copy), without(0)(copy)), 5, None),
    (lambda copy: (without(2)(copy), without(0)(copy)), None, None),
    (without(1), 5, "lacks (b'a', b'2') at 2"),
    (without(1), 2, None),                               # it lags
    (without(3), 5, "lacks (b'c', b'1') at 4"),
    (without(3), 4, None),
    (without(3), None, "the logs end at"),
    (without(2), 5, "lacks (b'b', None) at 3"),          # b is back
    (changed(1, keyed(2, (b"a", b"3"))), 5, "offset 2: broker"),
    (changed(1, keyed(2, (b"a", b"3"))), 2, None),
    (changed(1, keyed(2, (b"d", b"2"))), 5, "offset 2: broker"),
    (lambda copy: copy.append(keyed(5, (b"a", b"3"))), 5, None),
    (lambda copy: copy.append(keyed(5, (b"a", b"3"))), None, "lacks"),
))
def test_compacted_replicas(change, limit, told, whose):
    copies = {n: whole() for n in range(3)}
    change(copies[whose])
    wrong = compacted_wrong("t/0", copies, limit)
    assert (wrong == []) if told is None else any(told in w for w in wrong)


def test_log_files(tmp_path):
    """Read from the segment on that has the offset, without what is being
    written."""
    rows = log()
    names = ("%020d.log" % n for n in (0, 4, 9))
    for name, part in zip(names, (rows[:2], rows[2:4], rows[4:])):
        (tmp_path / name).write_bytes(b"".join(b.data for b in part))
    with open(tmp_path / ("%020d.log" % 9), "ab") as f:
        f.write(batch(11).data[:-1])

    def read(start):
        return [b.base_offset for b in log_batches(tmp_path, start)]
    assert read(0) == [0, 2, 4, 6, 9]
    assert read(3) == [2, 4, 6, 9]
    assert read(8) == [6, 9]
    assert read(9) == read(10) == [9]
    assert read(11) == []
    assert next_offset(log_batches(tmp_path)) == 11
    assert next_offset(log_batches(tmp_path / "none")) == 0


def test_checkpoint(tmp_path):
    assert high_watermarks(tmp_path) == {}
    (tmp_path / "replication-offset-checkpoint").write_text(
        "0\n2\nt 0 15\n__consumer_offsets 12 3\n")
    assert high_watermarks(tmp_path) == {
        ("t", 0): 15, ("__consumer_offsets", 12): 3}


# --- committed offsets -------------------------------------------------------

@pytest.mark.parametrize("steps, told", (
    ("f-1", None),
    ("a1 k1 f1 a2 k2 f2", None),
    ("a1 f-1 f1 k1", None),                      # asked while it is under way
    ("a1 k1 a2 f1 f2", None),
    ("a1 a2 k2 f2 f1", None),                    # carried out late
    ("f1", "offset 1 is told as committed, 0 was"),
    ("a1 k1 f-1", "offset -1 is told as committed, 1 was"),
    ("a1 k1 a2 k2 f1", "offset 1 is told as committed, 2 was"),
    ("a1 k1 a2 k2 a3 f1", "offset 1 is told"),
    ("a1 k1 f2", "offset 2 is told as committed, 1 was"),
    ("a1 k1 a2 k2 m1 f2", None),                 # by who is replaced
    ("a1 k1 a2 k2 m1 f1", "offset 1 is told"),
))
def test_commits(steps, told):
    book = Commits("g t/0")
    for step in steps.split():
        number = int(step[1:])
        {"a": book.attempt, "k": book.acknowledge, "f": book.fetched,
         "m": lambda n: book.fetched(n, strict=False)}[step[0]](number)
    assert (book.wrong == []) if told is None else told in book.wrong[0]


def test_commits_maybe():
    book = Commits("g t/0")
    book.attempt(1)
    book.acknowledge(1)
    assert book.fetched(1, strict=False)
    assert not book.fetched(-1, strict=False)
    assert book.wrong == []


@pytest.mark.parametrize("steps, told", (
    ("f-1", None),
    ("b1 k1 f1 b2 k2 f2", None),
    ("b1 k1 b2 f1 f2", None),
    ("b1 k1 b1 k2 f1", "offset 1 is told as committed, 2 was"),
    ("b1 k1 b2 k2 f-1", "offset -1 is told as committed, 2 was"),
    ("b1 b1 k2 f1 f2", None),                    # carried out late
    ("b1 b2 k2 f1", "offset 1 is told as committed, 2 was"),
    ("b1 b2 k2 k1 f2", None),                    # the answers came so
    ("b1 b2 k2 k1 f1", "offset 1 is told as committed, 2 was"),
    ("b1 b2 f1 f2", None),
))
def test_shared_commits(steps, told):
    """bN: the next offset, by a member of generation N"""
    book = SharedCommits("g t/0")
    for step in steps.split():
        number = int(step[1:])
        {"b": book.begin, "k": book.acknowledge,
         "f": book.asking()}[step[0]](number)
    assert (book.wrong == []) if told is None else told in book.wrong[0]


def test_shared_commits_meanwhile():
    """What counts is what was known when somebody asked."""
    book = SharedCommits("g t/0")
    book.acknowledge(book.begin(1))
    unanswered = book.begin(1)
    fetched = book.asking()
    book.acknowledge(book.begin(2))
    assert fetched(1) and fetched(unanswered) and fetched(3)
    assert not book.asking()(unanswered, strict=False)
    assert book.wrong == []
    assert not fetched(-1)
    assert book.wrong != []


# --- the switch --------------------------------------------------------------

def test_switch_rules():
    rules = switch.Rules()
    a, b = b"\x0a\x4d\0\1", b"\x0a\x4d\0\2"
    assert rules.due((a, b), 5) == 5 and not rules.drops((a, b))
    rules.replace([["10.77.0.1", "10.77.0.2", switch.PASS, 1, 0.5, 0]])
    first = rules.due((a, b), 5)
    assert 6 <= first <= 6.5 and rules.due((b, a), 5) == 5
    assert not rules.drops((a, b))
    assert rules.due((a, b), 5.001) >= first
    rules.replace([["10.77.0.2", "10.77.0.1", switch.DROP, 0, 0, 0]])
    assert rules.drops((b, a)) and not rules.drops((a, b))
    # what comes after those that are held back does not overtake them
    assert rules.due((a, b), 5.002) >= first
    assert rules.due((a, b), 9) == 9


@pytest.mark.parametrize("flags,size,expected", [
    (switch.SYN, 0, (0, 1001, switch.RST | switch.ACK)),
    (switch.ACK, 300, (77, 0, switch.RST)),
    (switch.RST, 0, None)])
def test_switch_refuses(flags, size, expected):
    """RFC 9293, 3.10.7.1."""
    a, b = b"\x0a\x4d\x00\x01", b"\x0a\x4d\x00\x02"
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 40 + size, 0, 0, 64, 6, 0) \
        + a + b + struct.pack("!HHIIHHHH", 50000, 9092, 1000,
                              77 if flags & switch.ACK else 0,
                              5 << 12 | flags, 0, 0, 0) + bytes(size)
    assert switch.refusal(packet, 9093) is None
    answer = switch.refusal(packet, 9092)
    if expected is None:
        assert answer == b""
        return
    assert answer[12:20] == b + a and len(answer) == 40
    ports = struct.unpack("!HH", answer[20:24])
    seq, ack, rest = struct.unpack("!IIH", answer[24:34])
    assert ports == (9092, 50000) and (seq, ack, rest & 0x3f) == expected
    assert switch.checksum(answer[:20]) == 0
    assert switch.checksum(answer[12:20] + struct.pack("!HH", 6, 20)
                           + answer[20:]) == 0
