# SPDX-License-Identifier: Apache-2.0
"""Kafka's own tools, and the newest clients from PyPI, unmodified, against
barnabasd."""

import json
import subprocess
import sys

import pytest

import harness
import real_kafka
from real_kafka import tool

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def test_topics(broker, tmp_path):
    def topics(*arguments, **how):
        return tool(tmp_path, "kafka-topics", "--bootstrap-server",
                    broker.address, *arguments, **how)

    out = topics("--create", "--topic", "t", "--partitions", 3,
                 "--replication-factor", 1, "--config", "retention.ms=77")
    assert "Created topic t" in out.stdout.decode()
    assert topics("--list").stdout.decode().split() == ["t"]
    text = topics("--describe", "--topic", "t").stdout.decode()
    assert "PartitionCount: 3" in text and "retention.ms=77" in text
    assert text.count("Leader: 0") == 3
    again = topics("--create", "--topic", "t", check=False)
    assert again.returncode != 0
    assert "already exists" in (again.stdout + again.stderr).decode()
    refused = topics("--create", "--topic", "c", "--config",
                     "cleanup.policy=shred", check=False)
    assert refused.returncode != 0
    assert "cleanup.policy" in (refused.stdout + refused.stderr).decode()
    # and ours says the same of it
    ours = harness.tool(broker, "topics", "--describe", "--topic",
                        "t").stdout.decode()

    def rows(text):
        return sorted(" ".join(row.split()) for row in text.splitlines())
    assert rows(ours) == rows(text)


@pytest.mark.parametrize("codec", CODECS)
def test_console(broker, tmp_path, codec):
    harness.create_topic(broker, "t", partitions=2)
    lines = b"".join(b"line %d %s\n" % (n, b"x" * (n % 50))
                     for n in range(3000))
    tool(tmp_path, "kafka-console-producer", "--bootstrap-server",
         broker.address, "--topic", "t", "--compression-codec", codec,
         "--batch-size", 20000, "--producer-property", "linger.ms=50",
         stdin=lines)
    got = []
    total = 0
    for p in range(2):
        from_kcat = harness.kcat(broker, "-C", "-t", "t", "-p", p, "-o",
                                 "beginning", "-e", "-q")
        count = from_kcat.count(b"\n")
        total += count
        if count == 0:
            continue
        out = tool(tmp_path, "kafka-console-consumer", "--bootstrap-server",
                   broker.address, "--topic", "t", "--partition", p,
                   "--offset", "earliest", "--max-messages", count).stdout
        assert out == from_kcat
        got += out.splitlines(True)
    assert total == 3000 and sorted(got) == sorted(lines.splitlines(True))
    seen = {b for p in range(2) for f in broker.log_files("t", p)
            for b in codecs(f)}
    assert seen == {codec}


def codecs(path):
    import wire
    return [b.codec for b in wire.batches(path.read_bytes())]


@pytest.mark.parametrize("settings", (
    ("enable.idempotence=false", "acks=1"),
    ("enable.idempotence=true", "acks=all"),
    ("acks=0",)))
def test_console_producer_settings(broker, tmp_path, settings):
    harness.create_topic(broker, "t")
    lines = b"".join(b"%d\n" % n for n in range(1000))
    more = [w for s in settings for w in ("--producer-property", s)]
    tool(tmp_path, "kafka-console-producer", "--bootstrap-server",
         broker.address, "--topic", "t", *more, stdin=lines)
    out = tool(tmp_path, "kafka-console-consumer", "--bootstrap-server",
               broker.address, "--topic", "t", "--partition", 0, "--offset",
               0, "--max-messages", 1000).stdout
    assert out == lines


def test_keys_and_headers(broker, tmp_path):
    harness.create_topic(broker, "t")
    tool(tmp_path, "kafka-console-producer", "--bootstrap-server",
         broker.address, "--topic", "t", "--property", "parse.key=true",
         "--property", "parse.headers=true",
         stdin=b"h:1,g:2\tkey\tvalue\n")
    out = tool(tmp_path, "kafka-console-consumer", "--bootstrap-server",
               broker.address, "--topic", "t", "--partition", 0, "--offset",
               "earliest", "--max-messages", 1, "--property",
               "print.key=true", "--property", "print.headers=true",
               "--property", "print.timestamp=true").stdout.decode()
    assert out.startswith("CreateTime:")
    assert out.split("\t")[1:] == ["h:1,g:2", "key", "value\n"]


def test_get_offsets(broker, tmp_path):
    harness.create_topic(broker, "t")
    harness.kcat(broker, "-P", "-t", "t", "-p", 0, stdin=b"a\nb\nc\n")
    for time, offset in ((-1, 3), (-2, 0), (-3, 2)):
        out = tool(tmp_path, "kafka-get-offsets", "--bootstrap-server",
                   broker.address, "--topic", "t", "--time", time).stdout
        found = int(out.decode().strip().rsplit(":", 1)[1])
        assert found == offset or (time == -3 and found >= 0)


def test_describe_configs(broker, tmp_path):
    harness.create_topic(broker, "t", retention_ms=77)
    out = tool(tmp_path, "kafka-configs", "--bootstrap-server",
               broker.address, "--describe", "--entity-type", "topics",
               "--entity-name", "t").stdout.decode()
    assert "retention.ms=77" in out
    out = tool(tmp_path, "kafka-configs", "--bootstrap-server",
               broker.address, "--describe", "--all", "--entity-type",
               "brokers", "--entity-name", "0").stdout.decode()
    assert "log.dirs=" in out


def test_our_tools_against_kafka(make_kafka):
    kafka = make_kafka(5).start()
    harness.tool(kafka, "topics", "--create", "--topic", "t", "--partitions",
                 2)
    assert b"t" in harness.tool(kafka, "topics", "--list").stdout
    text = harness.tool(kafka, "topics", "--describe", "--topic", "t").stdout
    assert b"PartitionCount: 2" in text


# --- PyPI --------------------------------------------------------------------

SCRIPT = r"""
import json, sys
address, which = sys.argv[1:]
out = {}
if which == "confluent-kafka":
    import confluent_kafka as ck, confluent_kafka.admin as a
    out["version"] = ck.__version__ if hasattr(ck, "__version__") else str(
        ck.version())
    admin = a.AdminClient({"bootstrap.servers": address})
    admin.create_topics([a.NewTopic("new", 2, 1)])["new"].result(60)
    meta = admin.list_topics(timeout=30)
    out["partitions"] = len(meta.topics["new"].partitions)
    p = ck.Producer({"bootstrap.servers": address, "linger.ms": 20,
                     "enable.idempotence": True, "compression.type": "lz4"})
    for n in range(1000):
        p.produce("new", b"%d" % n, partition=n % 2,
                  headers=[("n", b"%d" % n)])
    assert p.flush(60) == 0
    c = ck.Consumer({"bootstrap.servers": address, "group.id": "unused",
                     "enable.auto.commit": False})
    c.assign([ck.TopicPartition("new", i, 0) for i in (0, 1)])
    got = []
    while len(got) < 1000:
        m = c.poll(30)
        assert m is not None and m.error() is None, m and m.error()
        got.append((m.partition(), int(m.value()), m.headers()))
    c.close()
    out["sum"] = sum(g[1] for g in got)
    out["ordered"] = all(
        [g[1] for g in got if g[0] == i] == list(range(i, 1000, 2))
        for i in (0, 1))
else:
    import kafka, kafka.admin
    out["version"] = kafka.__version__
    admin = kafka.admin.KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([kafka.admin.NewTopic("new", 2, 1)])
    out["partitions"] = len(admin.describe_topics(["new"])[0]["partitions"])
    p = kafka.KafkaProducer(bootstrap_servers=address, linger_ms=20,
                            compression_type="gzip")
    for n in range(1000):
        p.send("new", b"%d" % n, partition=n % 2)
    p.flush()
    p.close()
    c = kafka.KafkaConsumer(bootstrap_servers=address, group_id=None,
                            auto_offset_reset="earliest")
    c.assign([kafka.TopicPartition("new", i) for i in (0, 1)])
    c.seek_to_beginning()
    got = []
    while len(got) < 1000:
        for rows in c.poll(30000).values():
            got += [(r.partition, int(r.value)) for r in rows]
    c.close()
    out["sum"] = sum(g[1] for g in got)
    out["ordered"] = all(
        [g[1] for g in got if g[0] == i] == list(range(i, 1000, 2))
        for i in (0, 1))
print(json.dumps(out))
"""


@pytest.fixture(scope="session")
def newest():
    """A virtual environment with the newest clients, kept between runs."""
    folder = real_kafka.CACHE / "clients-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(folder)],
                              capture_output=True)
        if made.returncode != 0:
            pytest.skip("no venv: install python3-venv")
    got = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "-U", "confluent-kafka",
         "kafka-python"], capture_output=True)
    have = subprocess.run(
        [str(python), "-c", "import kafka, confluent_kafka"],
        capture_output=True)
    if have.returncode != 0:
        pytest.skip("pip cannot fetch the clients: "
                    + got.stderr.decode(errors="replace")[-500:])
    return python


@pytest.mark.parametrize("which", ("confluent-kafka", "kafka-python"))
def test_newest_from_pypi(broker, tmp_path, newest, which):
    script = tmp_path / "client.py"
    script.write_text(SCRIPT)
    out = json.loads(harness.run(newest, script, broker.address, which,
                                 seconds=120).stdout)
    assert (out["partitions"], out["sum"], out["ordered"]) == (
        2, sum(range(1000)), True)
    print(which, out["version"])


