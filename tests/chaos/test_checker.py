# SPDX-License-Identifier: Apache-2.0
"""Seeded losses: what the checker does not find here, it would not find in
earnest."""

import json
import struct

import pytest

import harness
import wire
from clients import ASTRAY, IdempotentWriter, Librdkafka, RawWriter
from ledger import SOMEWHERE, KeyLedger, Ledger, Reading, Sequences
from readers import Checker, where_led
from side import Moments, TopicMaker, Trimmer, retained_wrong

# --- readings by hand --------------------------------------------------------


def two_producers():
    """Ledgers of 30 records each and what a log of them looks like."""
    once, loose = Ledger("once", "t"), Ledger("loose", "t", once=False)
    log = []
    for i in range(60):
        ledger = (once, loose)[i % 2]
        log.append(ledger.value(ledger.take()))
    return [once, loose], log


def read(ledgers, log, steps=1):
    """The first 20 of each are acknowledged, as they were at first."""
    reading = Reading("t", 0, ledgers)
    for step in range(steps):
        begin, end = 60 * step // steps, 60 * (step + 1) // steps
        for i in range(begin, min(end, 40)):
            ledgers[i % 2].acknowledge(i // 2, i)
        reading.begin()
        for offset, value in enumerate(
                log[begin:end if step < steps - 1 else None], begin):
            reading.note(*value if isinstance(value, tuple)
                         else (offset, value))
        reading.settle()
    return reading.wrong


def swap(log, a, b):
    log[a], log[b] = log[b], log[a]


@pytest.mark.parametrize("steps", (1, 7))
@pytest.mark.parametrize("seed, told", (
    (lambda log: None, None),
    (lambda log: log.pop(), None),                     # not acknowledged
    (lambda log: log.pop(39), "number 19 was acknowledged there"),
    (lambda log: log.insert(0, log.pop(4)), "comes after"),
    (lambda log: log.__setitem__(9, (10, log[9])), "9 was expected"),
    (lambda log: log.__setitem__(9, (8, log[9])), "9 was expected"),
    (lambda log: log.append(log[50]), "is there a second time"),
    (lambda log: log.append(log[51]), None),           # it may send again
    (lambda log: log.append(log[0]), "is there a second time"),
    (lambda log: log.append(log[1]), None),
    (lambda log: swap(log, 50, 52), "comes after"),
    (lambda log: swap(log, 1, 3), "was acknowledged there"),
    (lambda log: log.__setitem__(5, log[5] + b"x"), "did not send"),
    (lambda log: log.__setitem__(5, log[7]), "was acknowledged there"),
    (lambda log: log.append(b"other 1 x"), "nobody sent"),
    (lambda log: log.append(b"once 99 "), "did not send"),
    (lambda log: log.append(None), "nobody sent"),
))
def test_reading_finds(seed, told, steps):
    ledgers, log = two_producers()
    seed(log)
    wrong = read(ledgers, log, steps)
    assert (wrong == []) if told is None else any(told in w for w in wrong)


def test_once_in_any_order():
    for seed, told in ((lambda log: swap(log, 50, 52), None),
                       (lambda log: log.append(log[50]), "a second time"),
                       (lambda log: swap(log, 0, 2), "was acknowledged")):
        ledgers, log = two_producers()
        ledgers[0].ordered = False
        seed(log)
        wrong = read(ledgers, log)
        assert not wrong if told is None else told in wrong[0]


def test_acknowledged_without_an_offset():
    for gone in (False, True):
        ledgers, log = two_producers()
        ledgers[0].acknowledge(20, -1)
        assert ledgers[0].offsets[20] == SOMEWHERE
        if gone:
            log.pop(40)
        assert [("number 20 was acknowledged there, it is missing" in w)
                for w in read(ledgers, log)] == [True] * gone


@pytest.mark.parametrize("batches, told", (
    ([(0, 3, 0), (3, 2, 3), (5, 1, 5)], None),
    ([(0, 3, 0), (3, 2, 3), (6, 1, 5)], "batch where 5 was expected"),
    ([(0, 3, 0), (3, 2, 3), (5, 2, 3)], "sequence 3 where 5 was expected"),
    ([(0, 3, 0), (3, 2, 4)], "sequence 4 where 3 was expected"),
    ([(0, 3, 7)], "sequence 7 where 0 was expected"),
))
def test_sequences_find(batches, told):
    heads = Sequences("t", 0)
    for offset, count, sequence in batches:
        heads.note(wire.Batch(wire.batch(
            [b"x"] * count, base_offset=offset, producer_id=5,
            producer_epoch=0, base_sequence=sequence)))
    assert (heads.wrong == []) if told is None else any(
        told in w for w in heads.wrong)


def keys_written(rounds=4):
    """A ledger of keys of which each was written so often, and the log; the
    last one of each had no answer, and is not there."""
    ledger = KeyLedger("keys", "t")
    log = []
    for number in range(ledger.keys * rounds):
        assert ledger.take() == number
        value, key, _ = ledger.value(number)
        if number < ledger.keys * (rounds - 1):
            ledger.acknowledge(number, number)
            log.append((number, 0, key, value, []))
    return ledger, log


def row(ledger, number, offset):
    value, key, _ = ledger.value(number)
    return offset, 0, key, value, []


def test_keys_acknowledged_since():
    ledger, log = keys_written()
    told = ledger.told()
    ledger.acknowledge(120, 120)
    assert list(ledger.wrong(log, told)) == []
    log.append(row(ledger, 120, 120))
    for due in (told, ledger.told()):
        assert list(ledger.wrong(log, due)) == []
    log[-1] = row(ledger, 120, 121)
    for due in (told, ledger.told()):
        assert "key-0" in "".join(ledger.wrong(log, due))


@pytest.mark.parametrize("change, told", (
    (lambda led, log: None, None),
    (lambda led, log: log.__delitem__(slice(80)), None),    # compacted
    (lambda led, log: log.pop(), "key-39"),
    (lambda led, log: log.pop(119), "key-39"),
    (lambda led, log: log.__delitem__(slice(0, 120, 40)), "key-0: (-1, None)"),
    (lambda led, log: log.append(row(led, 130, 130)), None),  # it came
    (lambda led, log: log.append(row(led, 10, 130)), "key-10"),
    (lambda led, log: log.append(row(led, 200, 130)), "key-0"),
    (lambda led, log: log.__setitem__(90, row(led, 130, 90)), "key-10"),
    (lambda led, log: log.__setitem__(91, row(led, 51, 91)), "key-11"),
    (lambda led, log: log.append(log[0]), "do not ascend"),
    (lambda led, log: log.append((120, 0, b"other", b"x", [])), "other"),
    # a tombstone is gone, and what it had deleted is back
    (lambda led, log: log.pop(91), "key-11"),
))
def test_keys_find(change, told):
    ledger, log = keys_written()
    change(ledger, log)
    wrong = list(ledger.wrong(log, ledger.told()))
    assert (wrong == []) if told is None else any(told in w for w in wrong)


# --- logs of a broker that were changed behind its back ----------------------

def moved(batch, base_offset):
    return struct.pack(">q", base_offset) + batch.data[8:]


def lost_tail(found):
    return [b.data for b in found[:-1]]


def hole(found):
    del found[len(found) // 2]
    return [b.data for b in found]


def hole_closed(found):
    gone = found.pop(len(found) // 2)
    return [moved(b, b.base_offset - gone.count * (
        b.base_offset > gone.base_offset)) for b in found]


def changed(found):
    at = len(found) // 2
    b = found[at]
    found[at] = wire.Batch(wire.batch(
        [b"not what was sent"] * b.count, base_offset=b.base_offset,
        leader_epoch=b.leader_epoch, timestamp=b.base_timestamp))
    return [b.data for b in found]


def of_one_producer(found):
    ids = [b.producer_id for b in found if b.producer_id >= 0]
    return [b for b in found if b.producer_id == ids[0]]


def repeated(found):
    b = of_one_producer(found)[-1]
    return [x.data for x in found] + [moved(b, found[-1].last_offset + 1)]


def swapped(found):
    """Two batches of an idempotent producer; what lies between is moved."""
    a, b = of_one_producer(found)[3:5]
    at, to = found.index(a), found.index(b)
    found[at], found[to] = b, a
    out, offset = [], 0
    for x in found:
        out.append(moved(x, offset))
        offset += x.count
    return out


@pytest.mark.parametrize("loss, told, raw", (
    (lost_tail, "the log ends there", "the end, "),
    (hole, "was expected", "batch where"),
    (hole_closed, "was acknowledged there", "was acknowledged there"),
    (changed, "nobody sent", "nobody sent"),
    (repeated, "is there a second time", "sequence"),
    (swapped, "comes after", "sequence")))
def test_checker_finds(make_broker, loss, told, raw):
    broker = make_broker().start()
    address = broker.address
    harness.create_topic(broker, "t")
    harness.wait_topic(broker, "t")
    clients = [
        RawWriter(address, Ledger("raw", "t"), pause=0.01),
        IdempotentWriter(address, Ledger("raw-once", "t"), pause=0.01),
        Librdkafka(address, "rd-once", "t", 1, **{
            "enable.idempotence": True})]
    clients[2].most = 10
    for c in clients:
        c.start()
    harness.wait_until(lambda: all(c.acknowledged > 300 for c in clients))
    for c in clients:
        c.finish()
    for c in clients:
        c.join()
    checker = Checker(address, {"t": 1},
                      [led for c in clients for led in c.ledgers])
    assert checker.news() == checker.everything() == checker.batches() == []
    broker.kill()
    path = broker.log_files("t")[0]
    path.write_bytes(b"".join(loss(wire.batches(path.read_bytes()))))
    broker.start()
    harness.wait_topic(broker, "t")
    assert any(told in w for w in checker.everything())
    assert any(raw in w for w in checker.batches())
    # what was read before is not read again, but for a shorter log
    assert (checker.news() != []) == (loss in (lost_tail, hole_closed,
                                               repeated))


def test_read_where_led():
    """Who leads no more, or not quite yet, is no fault; all else is."""
    answers = iter((
        AssertionError("t/1: ListOffsets of -1 answers 6"),
        ["t/1 offset 3: Fetch answers 6"],
        AssertionError("t/1: ListOffsets of -2 answers 78"),
        ["t/1 offset 3: Fetch answers 60"]))

    def read():
        answer = next(answers)
        if isinstance(answer, AssertionError):
            raise answer
        return answer
    assert where_led(read) == ["t/1 offset 3: Fetch answers 60"]
    assert next(answers, None) is None
    assert where_led(lambda: ["Fetch answers 6"]) == ["Fetch answers 6"]


# --- who ends itself ---------------------------------------------------------

def test_producer_goes_astray():
    """One that says again and again that it sends to who does not lead is
    given up; one whose leader has just changed is not."""
    def told(*places):
        return json.dumps({"topics": {"t": {"partitions": {
            str(p): {"partition": p, "broker": broker, "leader": leader}
            for p, broker, leader in places}}}})
    client = Librdkafka("127.0.0.1:1", "rd-once", "t", 2, **{
        "enable.idempotence": True})
    client.renewed = client.held = True
    client.outstanding = 3
    first = client.producer
    for place in ((0, 0, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1),
                  (0, 1, 0), (0, 1, 0), (0, 1, -1), (0, -1, 0)):
        client._told(told(place, (1, 2, 2)))
    for _ in range(ASTRAY - 1):
        client._told(told((0, 0, 0), (1, 2, 0)))
    assert client.fatal is None and "'leader': 0" in client.state()
    client._told(told((0, 0, 0), (1, 2, 0)))
    assert "t/1 to broker 2, and knows that 0 leads" in client.fatal
    client.start()
    harness.wait_until(lambda: client.producer is not first)
    client.finish().join()
    assert client.errors == {"went astray": 1, "ended itself": 1}
    assert client.given_up == 3


# --- beside the load ---------------------------------------------------------

def delete(broker, name):
    with wire.Client(broker.address) as client:
        told = client.call("DeleteTopics", 5, TimeoutMs=20000,
                           TopicNames=[name])["Responses"][0]
    assert told["ErrorCode"] == 0


@pytest.fixture
def maker(make_broker):
    broker = make_broker(auto_create_topics_enable="false",
                         log_segment_delete_delay_ms=100).start()
    maker = TopicMaker(broker.address, Moments())
    maker.start()
    harness.wait_until(lambda: maker.made > 8 and maker.deleted > 4)
    maker.finish().join()
    assert maker.wrong(broker.data) == []
    maker.patience = 2      # from now on something is found
    return broker, maker


def one(maker, state):
    return next(t for t in maker.topics if t.state == state and t.life)


def test_topic_that_went(maker):
    broker, maker = maker
    name = one(maker, "there").name
    delete(broker, name)
    assert [name in w for w in maker.wrong(broker.data)] == [True]


def test_topic_that_came_back(maker):
    broker, maker = maker
    name = one(maker, "gone").name
    harness.create_topic(broker, name)
    assert [name in w for w in maker.wrong(broker.data)] == [True]


def test_directory_that_stayed(maker):
    broker, maker = maker
    name = one(maker, "gone").name
    (broker.data / f"{name}-1.0123456789abcdef0123456789abcdef-delete").mkdir()
    assert [name in w for w in maker.wrong(broker.data)] == [True]


def test_records_of_an_earlier_life(maker):
    broker, maker = maker
    topic = one(maker, "there")
    with wire.Client(broker.address) as client:
        wire.produce(client, topic.name, wire.batch(
            [b"%s-life0 0 " % topic.name.encode()]))
    assert any("nobody sent" in w for w in maker.wrong(broker.data))


def test_too_much_deleted(make_broker):
    broker = make_broker().start()
    harness.create_topic(broker, "trimmed")
    harness.wait_topic(broker, "trimmed")
    writer = RawWriter(broker.address, Ledger("w", "trimmed")).start()
    trimmer = Trimmer(broker.address, "trimmed", Moments()).start()
    harness.wait_until(lambda: trimmer.done > 2)
    writer.finish().join()
    trimmer.finish().join()
    ledgers = writer.ledgers
    assert trimmer.wrong(ledgers) == []
    assert retained_wrong(broker.address, "trimmed", ledgers, 1000) == []
    assert "to be kept" in retained_wrong(
        broker.address, "trimmed", ledgers, 1 << 40)[0]
    trimmer.asked -= 1
    assert "were to be deleted" in trimmer.wrong(ledgers)[0]
