# SPDX-License-Identifier: Apache-2.0
"""One takes the other's place, and gives it back: same ZooKeeper tree, same
data directory, after a clean stop or after kill -9."""

import re

import pytest

import exchange
import harness
import wire
from test_dump_log import real_says_nothing

# What the real Kafka says of files that it does not find as a clean stop leaves
# them; ours warns.
DAMAGE = re.compile(r"corrupt|invalid|recovering|rebuilding index|no clean"
                    r"|could not find|truncat| WARN .*kafka\.(log|server\.chec)"
                    r"| ERROR ", re.I)
END = re.compile(r"LogLoader partition=(\S+), .* producer state till offset "
                 r"(\d+)")
SNAPSHOT = re.compile(r"partition=(\S+)\] Loading producer state from snapshot "
                      r"file 'SnapshotFile\(offset=(\d+)")
OUR_DAMAGE = re.compile(r" (WARN|ERROR|FATAL) .*\(storage\)|is recovered")


def nothing_mended(broker, log):
    pattern = DAMAGE if broker.real else OUR_DAMAGE
    found = [line for line in log.splitlines() if pattern.search(line)]
    assert not found, found


def quiet(broker, log):
    """It found nothing to mend, and every snapshot of producers at the log's
    end: an older one would do, but for a replay of what is behind it."""
    nothing_mended(broker, log)
    if broker.real:
        snapshots = set(SNAPSHOT.findall(log))
        assert len(snapshots) > 10 and snapshots <= set(END.findall(log))


def tear(broker, topic):
    """A write that the kill cut short."""
    path = broker.log_files(topic)[-1]
    torn = wire.batch([b"torn" * 50], base_offset=1 << 40)
    with open(path, "ab") as f:
        f.write(torn[:100])


def left_over(broker, content):
    """Directories of deleted topics, files of removed segments."""
    return [p for pattern in ("*-delete", "*/*.deleted")
            for p in broker.data.glob(pattern)] + [
                p for topic in content.deleted
                for p in broker.data.glob(topic + "*")]


@pytest.mark.slow
@pytest.mark.parametrize("first,how", exchange.ROWS)
def test_there_and_back(make_broker, make_kafka, java, first, how):
    owners = [make_broker(0, **exchange.OPTIONS),
              make_kafka(0, **exchange.OPTIONS)]
    if first == "theirs":
        owners.reverse()
    exchange.swap(*owners)
    content, live, told = exchange.Content(), None, None
    for turn, broker in enumerate((*owners, owners[0])):
        broker.set(log_segment_delete_delay_ms=500 if turn else 600000)
        said = len(broker.log()) if broker.log_path.exists() else 0
        broker.start(180)
        if turn:
            for topic in {topic for topic, _ in content.partitions()}:
                harness.wait_topic(broker, topic, sum(
                    t == topic for t, _ in content.partitions()))
            exchange.same(exchange.asked(broker, content), told)
            if how == "stop":
                quiet(broker, broker.log()[said:])
            else:
                live.go_on(broker)
            content.check(broker)
            content.go_on(broker)
            harness.wait_until(lambda: not left_over(broker, content),
                               what="what was deleted is gone")
        elif how == "kill":
            live = exchange.Live(broker)
        content.fill(broker)
        told = exchange.asked(broker, content)
        if how == "stop":
            broker.stop()
            files = [p for suffix in ("log", "index", "timeindex", "snapshot")
                     for p in broker.data.glob(f"*-[0-9]/*.{suffix}")]
            real_says_nothing(java, files)
        else:
            live.until_killed(broker)
            exchange.wait_forgotten(broker)
            tear(broker, "codecs")
        if turn == 0:
            assert left_over(broker, content)


def appended(broker, topic, count):
    """The offset that the first one got."""
    with wire.Client(broker.address) as c:
        part = wire.produce(c, topic, wire.batch([b"x"] * count))
    assert part["ErrorCode"] == 0
    return part["BaseOffset"]


@pytest.mark.slow
def test_what_a_new_disk_lost(make_broker, make_kafka):
    """Ours notes it where the real one reads, too, which goes on as ever: it
    leads what is gone with an empty log, and ours takes that over."""
    ours, theirs = make_broker(0), make_kafka(0)
    exchange.swap(ours, theirs)
    for topic in "gone", "t":
        ours.start()
        harness.create_topic(ours, topic)
        assert appended(ours, topic, 3) == 0
        ours.stop()
        if topic == "gone":
            ours.wipe()
    points = ours.data / "recovery-point-offset-checkpoint"
    assert sorted(points.read_text().splitlines()[2:]) == ["gone 0 0", "t 0 3"]
    for broker, ends in (theirs, (0, 3)), (ours, (2, 5)):
        broker.start(180)
        for topic, end in zip(("gone", "t"), ends):
            harness.wait_leads(broker, topic)
            assert appended(broker, topic, 2) == end
        broker.stop()
        assert not re.search(r" (WARN|ERROR|FATAL) .*(\(storage\)|"
                             r"kafka\.(log|server\.chec))", broker.log())
