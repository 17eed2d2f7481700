# SPDX-License-Identifier: Apache-2.0
"""The real Kafka 3.9: one broker, and its command line tools.

The jars come from Maven, once, into $XDG_CACHE_HOME/barnabas/kafka-VERSION;
$ANCHOR_LIBS names a directory that has them already.  A JDK is needed, and
Maven for the first run."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

import harness
import wire

VERSION = "3.9.2"
CACHE = pathlib.Path(os.environ.get(
    "XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "barnabas"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>barnabas</groupId><artifactId>interop</artifactId>
  <version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency><groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId>
      <artifactId>slf4j-reload4j</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
LOG4J = """log4j.rootLogger=WARN, out
log4j.logger.kafka.log=INFO
log4j.logger.org.apache.kafka.storage=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.Target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
"""
MAINS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-consumer-groups":
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-reassign-partitions":
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-console-producer": "kafka.tools.ConsoleProducer",
    "kafka-console-consumer":
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-dump-log": "kafka.tools.DumpLogSegments",
    "kafka-reassign-partitions":
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-replica-verification":
        "org.apache.kafka.tools.ReplicaVerificationTool",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
}


def jars():
    """The folder of jars; the test is skipped when there is no way to one."""
    if "ANCHOR_LIBS" in os.environ:
        folder = pathlib.Path(os.environ["ANCHOR_LIBS"])
        if not list(folder.glob("kafka_2.13-*.jar")):
            pytest.skip(f"ANCHOR_LIBS={folder} has no Kafka jars")
        return folder
    if shutil.which("java") is None:
        pytest.skip("no java: install openjdk-17-jdk-headless")
    folder = CACHE / f"kafka-{VERSION}"
    if (folder / "complete").exists():
        return folder
    if shutil.which("mvn") is None:
        pytest.skip(f"no mvn to fetch Kafka {VERSION} into {folder}: "
                    "install maven, or set ANCHOR_LIBS")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "wb") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)    # tests run beside these
        if not (folder / "complete").exists():
            _fetch_jars(folder)
    return folder


def _fetch_jars(folder):
    project = folder / "pom"
    project.mkdir(exist_ok=True)
    (project / "pom.xml").write_text(POM)
    got = subprocess.run(
        ["mvn", "-q", "-B", "dependency:copy-dependencies",
         f"-DoutputDirectory={folder}"], cwd=project, capture_output=True)
    if got.returncode != 0:
        pytest.skip(f"mvn cannot fetch Kafka {VERSION}: "
                    + got.stdout.decode(errors="replace")[-800:])
    (folder / "complete").touch()


def archive():
    """Kafka's classes as this JVM has them when they are loaded (JEP 350): with
    them a broker is up in half the time.  The first that ends leaves them."""
    folder = jars()
    since = os.stat(os.path.realpath(shutil.which("java"))).st_mtime_ns
    these = hashlib.sha256(f"{folder} {since}".encode()).hexdigest()[:12]
    return CACHE / f"kafka-{VERSION}-{these}.jsa"


def java(folder, main, *arguments, heap="512m", leaves=None):
    """The command line of a Java program of Kafka's."""
    settings = pathlib.Path(folder) / "log4j.properties"
    if not settings.exists():
        settings.write_text(LOG4J)
    classes = f"-XX:SharedArchiveFile={archive()}"
    if leaves is not None:
        classes = f"-XX:ArchiveClassesAtExit={leaves}"
    # one that is not there, or fits other jars, is passed over
    return ["java", "-XX:+IgnoreUnrecognizedVMOptions", classes,
            "-Xlog:disable", f"-Xmx{heap}", "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
            f"-Dlog4j.configuration=file:{settings}",
            "-cp", f"{jars()}/*", main, *map(str, arguments)]


def tool(folder, name, *arguments, **how):
    """Runs Kafka's own NAME to its end; CompletedProcess with bytes."""
    how.setdefault("seconds", 120)
    return harness.run(*java(folder, MAINS[name], *arguments), **how)


class Tools:
    """Kafka's tools in one process (Tools.java); they write what their scripts
    would.  Their log goes to the process's own standard error."""

    def __init__(self, folder):
        source = pathlib.Path(__file__).with_name("Tools.java")
        self.log = open(pathlib.Path(folder) / "tools.log", "wb")
        self.process = subprocess.Popen(
            java(folder, str(source)), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log)

    def run(self, name, *arguments):
        """(exit status, standard output), with bytes; `err` is what went to
        the standard error then."""
        words = [MAINS[name], *map(str, arguments)]
        assert not any(c in word for word in words for c in "\t\n")
        self.process.stdin.write("\t".join(words).encode() + b"\n")
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        assert len(head) == 3, f"the tools ended: see {self.log.name}"
        status, out, err = map(int, head)
        out = self.process.stdout.read(out)
        self.err = self.process.stdout.read(err)
        return status, out

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class RealKafka(harness.Broker):
    """One real broker, used as a harness.Broker is."""

    real = True
    leaves = None   # where its classes are to be, when it has ended

    def __init__(self, folder, zookeeper, broker_id=0, chroot="", **options):
        super().__init__(folder, zookeeper, broker_id, chroot)
        del self.options["barnabas.admin.listener"]
        self.options.update({
            "group.initial.rebalance.delay.ms": 0,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
        })
        self.set(**{k: v for k, v in options.items()
                    if not k.startswith("barnabas")})

    def command(self):
        self.leaves = (None if archive().exists() else
                       self.folder / "classes.jsa")
        return java(self.folder, "kafka.Kafka", self.properties, heap="1g",
                    leaves=self.leaves)

    def start(self, seconds=180):
        return super().start(seconds)

    def wait_ready(self, seconds=180):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError("Kafka ended:\n" + self.log()[-4000:])
            try:
                with wire.Client(self.address) as client:
                    answer = client.call("Metadata", 7, Topics=[])
            except (OSError, wire.Closed):
                return False
            return answer["ControllerId"] >= 0 and self.broker_id in [
                b["NodeId"] for b in answer["Brokers"]]
        harness.wait_until(ready, seconds, "Kafka is ready")

    def stop(self, seconds=180):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("Kafka did not stop") from None
        self.process = None
        if self.leaves is not None and self.leaves.exists():
            self._keep_classes()

    def _keep_classes(self):
        """If they can be kept, and are whole: a JVM does not survive others."""
        kept = archive().with_suffix(f".{os.getpid()}")
        try:
            archive().parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.leaves, kept)
            if harness.run(
                    "java", f"-XX:SharedArchiveFile={kept}", "-Xshare:on",
                    "-XX:+VerifySharedSpaces", "-XX:ErrorFile=/dev/null",
                    "-XX:+UseSerialGC", "-cp", f"{jars()}/*", "-version",
                    check=False).returncode == 0:
                os.replace(kept, archive())
        except OSError as e:
            print(f"Kafka's classes are not kept: {e}")
        finally:
            kept.unlink(missing_ok=True)
            self.leaves.unlink()

    def metric(self, name, **labels):
        raise AssertionError("Kafka tells no metrics over HTTP")

    def dump_log(self, *arguments):
        return tool(self.folder, "kafka-dump-log",
                    *arguments).stdout.decode()
