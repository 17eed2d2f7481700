# SPDX-License-Identifier: Apache-2.0
"""What must be true of many brokers beside what ledger.py has of one: that
what anybody was shown stays, that replicas are alike, that committed offsets
do not go back.  Nothing here talks to a broker: test_witness.py tries it all
on histories that were made up."""

import array
import hashlib
import threading

import wire

MOST_WRONG = 20


def fingerprint(value):
    """63 bits of it and one that is set: 0 stands for nothing."""
    digest = hashlib.blake2b(value or b"", digest_size=8).digest()
    return int.from_bytes(digest, "big") | 1


class Reads:
    """A fingerprint of each record that a reader was shown, by its offset: one
    that was shown above the high watermark is another one later, or none."""

    def __init__(self):
        self.shown = {}
        self.marks = Watermarks()
        self.wrong = []
        self.count = 0
        self.lock = threading.Lock()

    def tell(self, topic, partition, offset, what):
        if len(self.wrong) < MOST_WRONG:
            self.wrong.append(f"{topic}/{partition} offset {offset}: {what}")

    def note(self, reader, topic, partition, offset, value):
        with self.lock:
            row = self.shown.setdefault((topic, partition), array.array("Q"))
            if offset >= len(row):
                row.extend([0] * (offset + 1 - len(row)))
            before, now = row[offset], fingerprint(value)
            row[offset] = now
            self.count += 1
            if before not in (0, now):
                self.tell(topic, partition, offset,
                          f"{reader} was shown {value!r}, somebody else read "
                          "another record there before")

    def note_answer(self, reader, topic, partition, batch, high_watermark):
        """Of a Fetch."""
        if batch.last_offset >= high_watermark:
            with self.lock:
                self.tell(topic, partition, batch.last_offset,
                          f"{reader} was shown it with a high watermark of "
                          f"{high_watermark}")

    def note_leader(self, reader, topic, partition, due, high_watermark):
        """Of a Fetch that named due's leader epoch, and was sent when that was
        known; see Watermarks."""
        if high_watermark < due[1]:
            with self.lock:
                self.tell(topic, partition, high_watermark,
                          f"{reader} was told it as high watermark in epoch "
                          f"{due[0]}, where a replica told {due[1]} before")

    def jump(self, reader, topic, partition, due, offset):
        with self.lock:
            self.tell(topic, partition, offset,
                      f"{reader} was shown it where {due} was due")

    def end(self, topic, partition, end):
        """The log ends there, at rest."""
        with self.lock:
            shown = len(self.shown.get((topic, partition), ()))
            if shown > end:
                self.tell(topic, partition, shown - 1,
                          f"it was read, the log ends at {end}")


class Watermarks:
    """What a replica told as its high watermark, where that had grown within a
    leader epoch: it has it from the leader of that epoch, who tells no lower
    one as long as he leads in it."""

    def __init__(self):
        self.told = {}
        self.lock = threading.Lock()

    def note(self, where, epoch, offset):
        with self.lock:
            self.told[where] = max((epoch, offset),
                                   self.told.get(where, (-1, -1)))

    def due(self, where):
        """(leader epoch, the least that its leader tells from now on), or
        None."""
        return self.told.get(where)

    def forget(self, where, due):
        """Another leader epoch has begun."""
        with self.lock:
            if due is not None and self.told.get(where) == due:
                del self.told[where]


class Growth:
    """Of what one connection tells, one partition's high watermark."""

    def __init__(self):
        self.before = None

    def grew(self, epoch, offset):
        """Within a leader epoch, and where it is one life's: a broker that
        starts again may have an older one."""
        before, self.before = self.before, (epoch, offset)
        return (epoch >= 0 and before is not None and before[0] == epoch and
                offset > before[1])


def describe(batch):
    return (f"[{batch.base_offset}, {batch.last_offset}] epoch "
            f"{batch.leader_epoch} producer {batch.producer_id} sequence "
            f"{batch.base_sequence} crc {batch.crc:08x}")


def replicas_wrong(where, copies, limit=None):
    """Of one partition.  copies: {broker: its batches, from the same offset
    on}; limit: the smallest high watermark, None: they are at rest, and have
    the same end."""
    wrong = []
    rows = {}
    for broker, batches in sorted(copies.items()):
        rows[broker] = [b for b in batches
                        if limit is None or b.base_offset < limit]
        for a, b in zip(batches, batches[1:]):
            if b.base_offset != a.last_offset + 1:
                wrong.append(f"{where} of broker {broker}: {describe(b)} "
                             f"follows on {describe(a)}")
                break
    (first, one), *others = rows.items()
    for broker, other in others:
        for a, b in zip(one, other):
            if a.data != b.data:
                wrong.append(f"{where}: broker {first} has {describe(a)}, "
                             f"broker {broker} has {describe(b)}")
                break
        else:
            if len(one) != len(other):
                short, longer = sorted((one, other), key=len)
                wrong.append(
                    f"{where}: broker {first if short is one else broker} "
                    f"lacks {describe(longer[len(short)])}, the smallest high "
                    f"watermark is {limit}")
    return wrong


def compacted_wrong(where, copies, limit=None):
    """As replicas_wrong(), of copies from the beginning on that were compacted
    each for itself: what two have at an offset is the same, and of each key the
    last one is there, unless it is a tombstone.  That may be above the limit
    where one is further than another."""
    wrong = []
    rows = {broker: {r[0]: (r[2], r[3]) for b in batches for r in b.records()}
            for broker, batches in sorted(copies.items())}
    last = {broker: {key: offset for offset, (key, _) in row.items()}
            for broker, row in rows.items()}
    everything = {}
    for broker, row in rows.items():
        for offset, record in row.items():
            if limit is not None and offset >= limit:
                continue
            before = everything.setdefault(offset, record)
            if record != before:
                wrong.append(f"{where} offset {offset}: broker {broker} has "
                             f"{record}, another one {before}")
    for key in sorted({key for row in last.values() for key in row}):
        at = max(row.get(key, -1) for row in last.values())
        if limit is not None and at >= limit:
            continue
        wrong += [f"{where}: broker {broker} lacks {everything[at]} at {at}"
                  for broker, row in last.items() if row.get(key, -1) != at
                  and (key in row or everything[at][1] is not None)]
    ends = {broker: next_offset(batches) for broker, batches in copies.items()}
    if limit is None and len(set(ends.values())) > 1:
        wrong.append(f"{where}: the logs end at {ends}")
    return wrong[:MOST_WRONG]


def next_offset(batches, start=0):
    return batches[-1].last_offset + 1 if batches else start


class Commits:
    """Of one group and partition, whose only writer commits higher and higher
    offsets, one at a time."""

    def __init__(self, name):
        self.name = name
        self.told = 0  # the last one that was acknowledged
        self.acknowledged = 0
        self.unanswered = set()
        self.wrong = []

    def attempt(self, offset):
        """It may be there from now on, or late, when another one has been
        acknowledged meanwhile: requests that a broker has not read yet when
        their connection ends are carried out all the same."""
        assert offset > self.told
        self.unanswered.add(offset)

    def acknowledge(self, offset):
        self.unanswered.discard(offset)
        self.told = offset
        self.acknowledged += 1

    def asking(self):
        """Somebody asks what is committed: what tells whether an answer may
        be so."""
        return self.fetched

    def fetched(self, offset, strict=True):
        """-1: the broker knows of none.  Whether it may be so; if it may not,
        it is told as wrong where `strict`: else it may be the answer of a
        coordinator that does not know yet that there is another one."""
        if offset == self.told or offset in self.unanswered or (
                offset == -1 and self.told == 0):
            return True
        self._tell(strict, offset, self.told)
        return False

    def _tell(self, strict, offset, told):
        if strict and len(self.wrong) < MOST_WRONG:
            self.wrong.append(
                f"{self.name}: offset {offset} is told as committed, "
                f"{told} was acknowledged last")


class SharedCommits(Commits):
    """Of a partition that the members of a group have in turn.  What one of
    them commits goes on from what the others did; when it is acknowledged,
    nothing of a generation before is carried out any more."""

    def __init__(self, name):
        super().__init__(name)
        self.lock = threading.Lock()
        self.last = 0
        self.generations = {}   # of those that are unanswered

    def begin(self, generation):
        """The next offset, which is attempted."""
        with self.lock:
            self.last += 1
            self.generations[self.last] = generation
            self.attempt(self.last)
            return self.last

    def acknowledge(self, offset):
        with self.lock:
            self.acknowledged += 1
            self.told = max(self.told, offset)
            # away already: the answer to one of a later generation came before
            generation = self.generations.pop(offset, -1)
            self.generations = {o: g for o, g in self.generations.items()
                                if g >= generation}
            self.unanswered = set(self.generations)

    def asking(self):
        """Others commit until the answer comes."""
        with self.lock:
            told, unanswered = self.told, set(self.unanswered)

        def fetched(offset, strict=True):
            if offset >= told or offset in unanswered or (
                    offset == -1 and told == 0):
                return True
            self._tell(strict, offset, told)
            return False
        return fetched


def log_batches(folder, start=0):
    """Of a partition's directory, from the segment on that has `start`; a
    batch that is being written at its end is left out."""
    files = sorted(folder.glob("*.log"))
    at = max((n for n, f in enumerate(files) if int(f.stem) <= start),
             default=0)
    out = []
    for f in files[at:]:
        out += wire.batches(f.read_bytes())
    return [b for b in out if b.last_offset >= start]


def high_watermarks(folder):
    """{(topic, partition): offset} of a log directory's checkpoint"""
    path = folder / "replication-offset-checkpoint"
    if not path.exists():
        return {}
    out = {}
    for line in path.read_text().splitlines()[2:]:
        topic, partition, offset = line.split(" ")
        out[topic, int(partition)] = int(offset)
    return out
