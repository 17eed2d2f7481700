# SPDX-License-Identifier: Apache-2.0
"""What was sent and acknowledged, and the reading back that is held against it.

A producer numbers its records for each partition; a ledger has the offset at
which each number was acknowledged, 8 bytes a record."""

import array
import itertools
import random

NOT_ACKNOWLEDGED, SOMEWHERE = -1, -2
MOST_WRONG = 20
_FILLER = bytes(random.Random(1).choices(b"abcdefgh", k=4000))


class Ledger:
    """Of one producer and partition.  once: nothing may be there twice;
    ordered: and what is there is in the order of its numbers."""

    def __init__(self, name, topic, partition=0, once=True, size=150,
                 ordered=True):
        self.name, self.topic, self.partition = name, topic, partition
        self.once, self.size, self.ordered = once, size, ordered
        self.label = name.encode()
        self.offsets = array.array("q")
        self.acknowledged = 0
        self.highest = -1  # offset that was acknowledged

    def __str__(self):
        return f"{self.topic}/{self.partition} producer {self.name}"

    def value(self, number):
        at = number * 31 % 3000
        return b"%s %d %s" % (self.label, number,
                              _FILLER[at:at + number % self.size])

    def take(self):
        """The number of the next record."""
        self.offsets.append(NOT_ACKNOWLEDGED)
        return len(self.offsets) - 1

    def acknowledge(self, number, offset):
        assert self.offsets[number] == NOT_ACKNOWLEDGED, (
            f"{self} number {number} is acknowledged twice")
        self.offsets[number] = SOMEWHERE if offset < 0 else offset
        self.highest = max(self.highest, offset)
        self.acknowledged += 1


class KeyLedger(Ledger):
    """Of the only producer of a compacted partition: its numbers go over some
    keys in turn, and some are tombstones.  What had no answer may be there, or
    come late."""

    keys = 40

    def key(self, number):
        return b"key-%d" % (number % self.keys)

    def value(self, number):
        """As wire.batch() takes it."""
        return (None if number % 7 == 0 else super().value(number),
                self.key(number), ())

    def told(self):
        """{key: (offset, value) that was acknowledged last}"""
        told = {}
        for number, offset in enumerate(self.offsets):
            value, key, _ = self.value(number)
            if offset > told.get(key, (-1,))[0]:
                told[key] = offset, value
        return told

    def _may_be(self, key, at, value):
        """Whether it was sent, and is not known to be elsewhere."""
        return any(offset in (NOT_ACKNOWLEDGED, SOMEWHERE, at) and
                   (value, key, ()) == self.value(number)
                   for number, offset in enumerate(self.offsets)
                   if key == self.key(number))

    def wrong(self, records, told):
        """records: all that was left when told() was that, or later."""
        offsets = [r[0] for r in records]
        if offsets != sorted(set(offsets)):
            yield f"{self}: offsets do not ascend"
        last = {key: (offset, value) for offset, _, key, value, _ in records}
        for key in sorted({*told, *last}):
            due, found = told.get(key, (-1, None)), last.get(key, (-1, None))
            if found != due and not (
                    found[0] > due[0] and self._may_be(key, *found)):
                yield (f"{self} {key.decode()}: {found} is there last, {due} "
                       "was acknowledged")


class _Seen:
    """Where the records of one ledger were found."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.found = array.array("q")
        self.repeats = {}
        # what is not settled: numbers from here on, and some below
        self.checked = 0
        self.open = []

    def unsettled(self):
        return itertools.chain(
            self.open, range(self.checked, len(self.ledger.offsets)))


class Reading:
    """One partition as it is read, from `start` on, in as many steps as the
    reader likes: begin(), note() of each record, settle()."""

    def __init__(self, topic, partition, ledgers, start=0):
        self.topic, self.partition = topic, partition
        self.next = self.start = start
        self.seen = {led.label: _Seen(led) for led in ledgers
                     if (led.topic, led.partition) == (topic, partition)}
        self.wrong = []

    def tell(self, offset, what):
        if len(self.wrong) < MOST_WRONG:
            self.wrong.append(
                f"{self.topic}/{self.partition} offset {offset}: {what}")

    def begin(self):
        """What is acknowledged now must be there in this step."""
        for s in self.seen.values():
            s.somewhere = {n for n in s.unsettled()
                           if s.ledger.offsets[n] == SOMEWHERE}
        return max((s.ledger.highest for s in self.seen.values()), default=-1)

    def note(self, offset, value):
        if offset != self.next:
            self.tell(offset, f"read where {self.next} was expected")
        self.next = offset + 1
        parts = (value or b"").split(b" ", 2)
        seen = self.seen.get(parts[0])
        if seen is None or len(parts) < 3 or not parts[1].isdigit():
            self.tell(offset, f"nobody sent {value!r}")
            return
        number, ledger, found = int(parts[1]), seen.ledger, seen.found
        if number >= len(ledger.offsets) or value != ledger.value(number):
            self.tell(offset, f"{ledger} did not send {value!r}")
        elif number == len(found):
            found.append(offset)
        else:
            self._out_of_turn(seen, number, offset)

    def _out_of_turn(self, seen, number, offset):
        ledger, found = seen.ledger, seen.found
        if number > len(found):
            found.extend([-1] * (number - len(found)))
            found.append(offset)
        elif not ledger.once:
            if found[number] >= 0:
                seen.repeats.setdefault(number, []).append(found[number])
            found[number] = offset
        elif found[number] >= 0:
            self.tell(offset, f"{ledger} number {number} is there a second "
                      f"time, first at {found[number]}")
        else:
            if ledger.ordered:
                self.tell(offset, f"{ledger} number {number} comes after "
                          f"{len(found) - 1}")
            found[number] = offset

    def settle(self):
        """Everything acknowledged below the offset come to was read there."""
        for s in self.seen.values():
            self._settle(s)
        return self.wrong

    def _settle(self, seen):
        ledger, found = seen.ledger, seen.found
        left = []
        count = len(ledger.offsets)
        for n in seen.unsettled():
            told = ledger.offsets[n]
            at = found[n] if n < len(found) else -1
            if told == at >= 0 or told in seen.repeats.get(n, ()):
                continue
            if told == NOT_ACKNOWLEDGED or told >= self.next:
                left.append(n)
            elif told >= self.start or (at < 0 and n in seen.somewhere):
                self.tell("?" if told < 0 else told, f"{ledger} number {n} was "
                          "acknowledged there, it is " + (
                              f"at {at}" if at >= 0 else "missing"))
            elif told == SOMEWHERE and at < 0:
                left.append(n)
        seen.open, seen.checked = left, max(count, seen.checked)


class Sequences:
    """Heads of batches: offsets without a gap, sequences of each producer id
    and epoch without a gap or a repetition."""

    def __init__(self, topic, partition, start=0):
        self.topic, self.partition = topic, partition
        self.next = start
        self.whole = start == 0
        self.sequences = {}
        self.wrong = []

    def note(self, batch):
        at = f"{self.topic}/{self.partition} offset {batch.base_offset}: "
        if batch.base_offset != self.next:
            self.wrong.append(f"{at}batch where {self.next} was expected")
        self.next = batch.last_offset + 1
        if batch.producer_id < 0:
            return
        key = (batch.producer_id, batch.producer_epoch)
        due = self.sequences.get(key, 0 if self.whole else None)
        if due not in (None, batch.base_sequence):
            self.wrong.append(
                f"{at}producer id {key[0]} epoch {key[1]} sequence "
                f"{batch.base_sequence} where {due} was expected")
        self.sequences[key] = batch.base_sequence + batch.count
