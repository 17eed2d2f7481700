# SPDX-License-Identifier: Apache-2.0
"""`barnabas` against a broker: configs, leader-election, cluster,
broker-api-versions; completion in bash, and what `make install` installs.
What Kafka's own tools print of the same is in
tests/interop/test_tools_admin.py."""

import itertools
import json
import os
import subprocess

import pytest

import harness
import wire

_names = itertools.count()


@pytest.fixture
def name():
    return f"tools-admin-{next(_names)}"


def text_of(done):
    return done.stdout.decode()


def json_of(done):
    return json.loads(done.stdout)


def fails(broker, command, *arguments):
    """Its standard error; nothing is printed."""
    done = harness.tool(broker, command, *arguments, check=False)
    assert done.returncode == 1 and done.stderr and not done.stdout, done
    return done.stderr.decode()


def needs(broker, key):
    """The test is for brokers that know the API."""
    with wire.Client(broker.address) as client:
        answer = client.call("ApiVersions", 3, ClientSoftwareName="t",
                             ClientSoftwareVersion="1")
    if key not in {row["ApiKey"] for row in answer["ApiKeys"]}:
        pytest.skip(f"API {key} is not served yet")


# --- configs -----------------------------------------------------------------

class TestConfigs:
    def entries(self, broker, *arguments):
        """{(type, name): {option: row}}"""
        found = json_of(harness.tool(broker, "configs", "--describe",
                                     "--output", "json", *arguments))
        return {(e["entityType"], e["entityName"]):
                {c["name"]: c for c in e["configs"]}
                for e in found["entities"]}

    def test_described(self, shared_broker, name):
        harness.create_topic(shared_broker, name, retention_ms=5,
                             max_message_bytes=70000)
        text = text_of(harness.tool(shared_broker, "configs", "--describe",
                                    "--topic", name))
        head, first, second = text.splitlines()
        assert head == f"Dynamic configs for topic {name} are:"
        assert first.startswith(
            "  max.message.bytes=70000 sensitive=false synonyms={"
            "DYNAMIC_TOPIC_CONFIG:max.message.bytes=70000, DEFAULT_CONFIG:")
        assert second.startswith("  retention.ms=5 ")
        rows = self.entries(shared_broker, "--topic", name)
        [(entity, own)] = rows.items()
        assert entity == ("topics", name)
        assert set(own) == {"max.message.bytes", "retention.ms"}
        assert own["retention.ms"]["source"] == "DYNAMIC_TOPIC_CONFIG"

    def test_all(self, shared_broker, name):
        harness.create_topic(shared_broker, name, retention_ms=5)
        [own] = self.entries(shared_broker, "--all", "--entity-type",
                             "topics", "--entity-name", name).values()
        assert own["retention.ms"]["value"] == "5"
        assert own["segment.bytes"]["source"] == "DEFAULT_CONFIG"

    def test_every_topic(self, shared_broker, name):
        for end in "ba":
            harness.create_topic(shared_broker, name + end)
        done = harness.tool(shared_broker, "configs", "--describe",
                            "--entity-type", "topics", "--output", "json",
                            "--progress")
        names = [e["entityName"] for e in json_of(done)["entities"]]
        assert names == sorted(names) and {name + "a", name + "b"} <= set(
            names)
        assert done.stderr.splitlines()[-1] == (
            b"entities asked: %d of %d" % (len(names), len(names)))

    def test_brokers(self, shared_broker):
        rows = self.entries(shared_broker, "--entity-type", "brokers")
        assert list(rows) == [("brokers", "0"), ("brokers", None)]
        own = self.entries(shared_broker, "--broker", 0, "--all")[
            "brokers", "0"]
        assert own["log.dirs"]["value"] == str(shared_broker.data)
        assert own["log.dirs"]["source"] == "STATIC_BROKER_CONFIG"
        assert own["log.dirs"]["readOnly"] is True

    def test_not_there(self, shared_broker, name):
        assert "UNKNOWN_TOPIC_OR_PARTITION" in fails(
            shared_broker, "configs", "--describe", "--topic", name)
        assert "broker 7 is not there" in fails(
            shared_broker, "configs", "--describe", "--broker", 7)

    def test_altered(self, shared_broker, name, tmp_path):
        needs(shared_broker, 44)
        harness.create_topic(shared_broker, name, retention_ms=5,
                             segment_bytes=100000)
        alter = ("configs", "--alter", "--topic", name)
        done = harness.tool(
            shared_broker, *alter, "--add-config",
            "retention.ms=6,message.timestamp.type=[LogAppendTime]",
            "--delete-config", "segment.bytes")
        assert text_of(done) == f"Completed updating config for topic {name}.\n"
        own = self.entries(shared_broker, "--topic", name)["topics", name]
        assert {n: c["value"] for n, c in own.items()} == {
            "retention.ms": "6", "message.timestamp.type": "LogAppendTime"}
        path = tmp_path / "more.properties"
        path.write_text("retention.ms = 7\nsegment.bytes=200000\n")
        done = harness.tool(shared_broker, *alter, "--add-config-file", path,
                            "--output", "json")
        assert json_of(done) == {"entityType": "topics", "entityName": name,
                                 "altered": True}
        own = self.entries(shared_broker, "--topic", name)["topics", name]
        assert own["retention.ms"]["value"] == "7" and len(own) == 3
        # what is not set is not deleted, and then nothing is changed
        assert "Invalid config(s): flush.ms,index.x;" in fails(
            shared_broker, *alter, "--add-config", "retention.ms=8",
            "--delete-config", "flush.ms,retention.ms", "--delete-config",
            "index.x")
        assert "INVALID_CONFIG" in fails(
            shared_broker, *alter, "--add-config",
            "retention.ms=9,segment.bytes=x")
        own = self.entries(shared_broker, "--topic", name)["topics", name]
        assert own["retention.ms"]["value"] == "7"

    def test_altered_brokers(self, broker):
        needs(broker, 44)
        done = harness.tool(broker, "configs", "--alter", "--broker-defaults",
                            "--add-config", "log.retention.ms=70000")
        assert text_of(done) == (
            "Completed updating default config for brokers in the cluster.\n")
        done = harness.tool(broker, "configs", "--alter", "--broker", 0,
                            "--add-config", "log.retention.ms=80000")
        assert text_of(done) == "Completed updating config for broker 0.\n"

        def told():
            rows = self.entries(broker, "--entity-type", "brokers")
            return {k: {n: c["value"] for n, c in v.items()}
                    for k, v in rows.items()} == {
                ("brokers", "0"): {"log.retention.ms": "80000"},
                ("brokers", None): {"log.retention.ms": "70000"}}
        harness.wait_until(told, what="both values are told")

    def test_loggers(self, broker):
        needs(broker, 44)
        found = harness.tool(broker, "configs", "--describe",
                             "--broker-logger", 0, check=False)
        if found.returncode != 0:
            pytest.skip("loggers are not served yet")
        assert b"Dynamic configs for broker-logger 0 are:\n" in found.stdout
        assert "Invalid broker logger(s): no.such" in fails(
            broker, "configs", "--alter", "--broker-logger", 0,
            "--add-config", "no.such=INFO")


# --- leader-election ---------------------------------------------------------

class TestLeaderElection:
    def elect(self, broker, *arguments, **how):
        return harness.tool(broker, "leader-election", *arguments, **how)

    def test_not_needed(self, shared_broker, name, tmp_path):
        needs(shared_broker, 43)
        harness.create_topic(shared_broker, name, partitions=3)
        harness.wait_topic(shared_broker, name, partitions=3)
        done = self.elect(shared_broker, "--election-type", "PREFERRED",
                          "--topic", name, "--partition", 1)
        assert text_of(done) == (
            f"Valid replica already elected for partitions {name}-1\n")
        path = tmp_path / "partitions.json"
        path.write_text(json.dumps({"partitions": [
            {"topic": name, "partition": p} for p in (2, 0)]}))
        done = self.elect(shared_broker, "--election-type", "unclean",
                          "--path-to-json-file", path, "--output", "json")
        rows = json_of(done)
        assert rows["electionType"] == "UNCLEAN"
        assert [(r["partition"], r["elected"], r["error"])
                for r in rows["partitions"]] == [
            (0, False, "ELECTION_NOT_NEEDED"),
            (2, False, "ELECTION_NOT_NEEDED")]

    def test_failed(self, shared_broker, name):
        needs(shared_broker, 43)
        done = self.elect(shared_broker, "--election-type", "preferred",
                          "--topic", name, "--partition", 5, check=False)
        assert done.returncode == 1
        assert text_of(done).startswith(
            "Error completing leader election (PREFERRED) for partition: "
            f"{name}-5: org.apache.kafka.common.errors."
            "UnknownTopicOrPartitionException: ")
        assert b"1 replica(s) could not be elected" in done.stderr


# --- cluster, broker-api-versions --------------------------------------------

def test_cluster(shared_broker):
    zk = harness.connect_zk(shared_broker)
    cluster_id = json.loads(zk.get("/cluster/id")[0])["id"]
    zk.end()
    done = harness.tool(shared_broker, "cluster", "cluster-id")
    assert text_of(done) == f"Cluster ID: {cluster_id}\n"
    done = harness.run(harness.TOOL, "cluster", "cluster-id", "-b",
                       shared_broker.address, "--output", "json")
    assert json_of(done) == {"clusterId": cluster_id}
    done = harness.tool(shared_broker, "cluster", "unregister", "--id", 0)
    assert b"does not support" in done.stdout
    done = harness.tool(shared_broker, "cluster", "unregister", "--id", 0,
                        "--output", "json")
    assert json_of(done) == {"broker": 0, "unregistered": False,
                             "supported": False}


def test_broker_api_versions(shared_broker):
    with wire.Client(shared_broker.address) as client:
        answer = client.call("ApiVersions", 3, ClientSoftwareName="t",
                             ClientSoftwareVersion="1")
    told = {r["ApiKey"]: (r["MinVersion"], r["MaxVersion"])
            for r in answer["ApiKeys"]}
    done = harness.tool(shared_broker, "broker-api-versions", "--output",
                        "json")
    [broker] = json_of(done)["brokers"]
    assert broker["port"] == shared_broker.port
    apis = {a["key"]: a for a in broker["apis"]}
    assert {k: (a["minVersion"], a["maxVersion"])
            for k, a in apis.items() if a["supported"]} == told
    assert apis[55] == {"key": 55, "name": "DescribeQuorum",
                        "supported": False}
    text = text_of(harness.tool(shared_broker, "broker-api-versions"))
    assert text.startswith(f"127.0.0.1:{shared_broker.port} (id: 0 rack: null)"
                           " -> (\n\tProduce(0): 0 to 11 [usable: 11],\n")


# --- shortened options -------------------------------------------------------

def test_shortened(shared_broker, name):
    harness.create_topic(shared_broker, name)
    done = harness.run(harness.TOOL, "topics", "--boot",
                       shared_broker.address, "-list", "--topic", name)
    assert text_of(done) == name + "\n"
    done = harness.run(harness.TOOL, "topics", "--boot",
                       shared_broker.address, "--de", check=False)
    assert done.returncode == 1
    assert b"--de may be --describe or --delete or --delete-config" in (
        done.stderr)


# --- completion in bash ------------------------------------------------------

class TestCompletion:
    SCRIPT = r"""
        source /dev/stdin || exit 9
        COMP_LINE=$1 COMP_POINT=${#1}
        _barnabas barnabas "" ""
        [ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
    """

    @pytest.fixture(scope="class")
    def complete(self):
        script = harness.run(harness.TOOL, "completion").stdout
        path = f"{harness.TOOL.parent}:{os.environ['PATH']}"

        def run(line, before=""):
            done = subprocess.run(
                ["bash", "-c", self.SCRIPT, "bash", line], input=script,
                capture_output=True, timeout=harness.PATIENCE,
                env={**os.environ, "PATH": before + path})
            assert done.returncode == 0 and not done.stderr, done
            return done.stdout.decode().split("\n")[:-1]
        return run

    @pytest.mark.parametrize("line,words", (
        ("barnabas to", ["topics"]),
        ("/usr/bin/barnabas con", ["configs", "consume"]),
        ("barnabas nothing --", []),
        ("barnabas perf ", ["produce", "consume"]),
        ("barnabas perf c", ["consume"]),
        ("barnabas perf produce --num", ["--num-records"]),
        ("barnabas topics --desc", ["--describe"]),
        ("/x/kafka-topics.sh --de", ["--describe", "--delete",
                                     "--delete-config"]),
        ("kafka-configs.sh --entity-type b", ["brokers", "broker-loggers"]),
        ("barnabas topics --output ", ["text", "json"]),
        ("barnabas topics --output=j", ["json"]),
        ("barnabas topics --partitions ", []),
        ("barnabas cluster un", ["unregister"]),
        ("barnabas check --time", ["--timeout-ms"]),
        ("barnabas completion ", ["bash"]),
    ))
    def test_words(self, complete, line, words):
        assert complete(line) == words

    def test_files(self, complete, tmp_path):
        (tmp_path / "one file").touch()
        (tmp_path / "other").touch()
        assert complete(f"barnabas check {tmp_path}/o") == [
            f"{tmp_path}/one file", f"{tmp_path}/other"]
        assert complete(f"barnabas dump-log --files {tmp_path}/ot") == [
            f"{tmp_path}/other"]

    def test_topics(self, complete, shared_broker, name):
        for end in ("one", "two"):
            harness.create_topic(shared_broker, f"{name}.{end}")
        for server in (f"--bootstrap-server {shared_broker.address}",
                       f"--bootstrap-server={shared_broker.address}"):
            for head in ("barnabas topics", "kafka-topics.sh",
                         "barnabas consume"):
                assert complete(f"{head} {server} --topic {name}.t") == [
                    f"{name}.two"]
        # one that does not answer
        assert complete("barnabas topics --bootstrap-server "
                        f"127.0.0.1:{harness.free_port()} --topic ") == []

    def test_nobody_is_asked(self, complete, tmp_path):
        """Who was not named on the line."""
        program = tmp_path / "barnabas"
        program.write_text('#!/bin/sh\necho asked "$@" | tr " :" "\\n_"\n')
        program.chmod(0o755)
        before = f"{tmp_path}:"
        for line in ("barnabas topics --topic ", "kafka-topics.sh --topic a",
                     "kafka-topics.sh --command-config f --topic "):
            assert complete(line, before) == []
        assert complete("kafka-topics.sh --command-config f --bootstrap-server"
                        " h:1 --topic ", before) == [
            "asked", "topics", "--list", "--bootstrap-server", "h_1",
            "--command-config", "f"]

    def test_names_are_no_code(self, complete, tmp_path):
        """Whatever a broker says its topics are."""
        seen = tmp_path / "seen"
        program = tmp_path / "barnabas"
        program.write_text(
            f"#!/bin/sh\ncat << 'E'\ngood-1._\n$(touch {seen})\n"
            f"`touch {seen}`\na b\n\n;x\n*\nE\n")
        program.chmod(0o755)
        assert complete(f"{program} consume --bootstrap-server h:1 --topic "
                        ) == ["good-1._"]
        assert not seen.exists()

    def test_every_option(self, complete):
        """What --output json says of the commands is what is completed."""
        commands = json_of(harness.run(harness.TOOL, "completion", "--output",
                                       "json"))["commands"]
        assert len(commands) == 17
        for command in commands:
            options = ["--" + o["name"] for o in command["options"]
                       if not o["operand"]]
            assert complete(f"barnabas {command['name']} --") == options
            if command["kafkaName"]:
                assert complete(f"{command['kafkaName']} --") == options


# --- installed ---------------------------------------------------------------

def test_installed(tmp_path):
    """A link for each of Kafka's names, and the completion; and all of it goes
    again."""
    def make(target):
        return harness.run("make", "-s", "-C", harness.BUILD, target,
                           f"DESTDIR={tmp_path}", seconds=900)

    make("install")
    [kafka] = tmp_path.glob("**/barnabas/kafka")
    [program] = tmp_path.glob("**/bin/barnabas")
    commands = json_of(harness.run(program, "completion", "--output",
                                   "json"))["commands"]
    names = {c["kafkaName"] for c in commands if c["kafkaName"]}
    assert {p.name for p in kafka.iterdir()} == names
    for link in kafka.iterdir():
        assert str(tmp_path) + os.readlink(link) == str(program)
    # argv[0] decides
    link = tmp_path / "kafka-configs.sh"
    link.symlink_to(program)
    assert b"--add-config-file" in harness.run(link, "--help").stdout
    link.unlink()
    [completion] = tmp_path.glob("**/bash-completion/completions/barnabas")
    assert completion.read_bytes() == harness.run(program,
                                                  "completion").stdout
    make("uninstall")
    left = [p for p in tmp_path.glob("**/*") if not p.is_dir()]
    assert left == [] and not kafka.exists()
