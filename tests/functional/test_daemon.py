# SPDX-License-Identifier: Apache-2.0
"""The daemon as an operator meets it: arguments, the file, signals, systemd,
the admin port."""

import os
import random
import re
import signal
import socket
import time

import pytest

import harness
import wire
from fake_broker import FakeBroker
from harness import DAEMON, run

pytestmark = pytest.mark.ours


def check(tmp_path, text, *arguments):
    path = tmp_path / "server.properties"
    path.write_text(text)
    done = run(DAEMON, *arguments, path, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


GOOD = ("broker.id=0\nlisteners=PLAINTEXT://127.0.0.1:19\n"
        "zookeeper.connect=127.0.0.1:2181\nlog.dirs=/var/lib/barnabas\n")


# --- arguments and the file --------------------------------------------------

def test_version_and_help():
    assert re.match(rb"barnabasd \d+\.\d+", run(DAEMON, "--version").stdout)
    assert b"usage" in run(DAEMON, "--help").stdout


@pytest.mark.parametrize("arguments", (
    (), ("--nonsense",), ("a", "b"), ("-t",), ("--override",)))
def test_usage(arguments):
    done = run(DAEMON, *arguments, check=False)
    assert done.returncode == 2 and b"usage" in done.stderr


def test_check_of_a_good_file(tmp_path):
    assert check(tmp_path, GOOD, "-t")[0] == 0


def test_check_of_the_example():
    run(DAEMON, "-t", harness.TOP / "conf" / "server.properties")


def test_no_file(tmp_path):
    done = run(DAEMON, tmp_path / "none", check=False)
    assert done.returncode == 1 and b"none" in done.stderr


@pytest.mark.parametrize("line,words", (
    ("broker.id=x", ("broker.id", "x")),
    ("log.segment.bytes=1", ("log.segment.bytes",)),
    ("listeners=PLAINTEXT://127.0.0.1", ("listeners",)),
    ("listeners=SASL_SSL://127.0.0.1:19", ("SASL_SSL",)),
    ("listeners=SASL_PLAINTEXT://127.0.0.1:19", ("SASL",)),
    ("authorizer.class.name=kafka.security.authorizer.AclAuthorizer",
     ("authorizer.class.name",)),
    ("zookeeper.set.acl=true", ("zookeeper.set.acl",)),
    ("zookeeper.ssl.client.enable=true", ("zookeeper.ssl.client.enable",)),
    ("delegation.token.secret.key=x", ("delegation.token",)),
    ("process.roles=broker", ("process.roles",)),
    ("inter.broker.protocol.version=2.8", ("inter.broker.protocol",)),
    ("compression.type=none", ("compression.type",)),
    ("zookeeper.connect=", ("zookeeper.connect",)),
    ("advertised.listeners=OTHER://127.0.0.1:19", ("advertised.listeners",)),
    ("password.encoder.secret=x\nlog.dirs=", ("log.dir",)),
    ("unclosed=\\u12", ("line 5",)),
))
def test_refused(tmp_path, line, words):
    """Said by name, on -t and at the start alike."""
    for arguments in (("-t",), ()):
        status, text = check(tmp_path, GOOD + line + "\n", *arguments)
        assert status == 1, text
        for word in words:
            assert word in text


@pytest.mark.parametrize("line,word", (
    ("no.such.option=1", "no.such.option"),
    ("num.io.threads=9", "num.io.threads"),
    ("transaction.max.timeout.ms=5", "without effect in this version"),
))
def test_warned_of(tmp_path, line, word):
    status, text = check(tmp_path, GOOD + line + "\n", "-t")
    assert status == 0 and word in text


def test_override(tmp_path):
    status, text = check(tmp_path, GOOD, "-t", "--override", "broker.id=x")
    assert status == 1 and "broker.id" in text
    assert check(tmp_path, GOOD + "broker.id=x\n", "-t", "--override",
                 "broker.id=3")[0] == 0


# --- signals -----------------------------------------------------------------

@pytest.mark.parametrize("sign", (signal.SIGTERM, signal.SIGINT))
def test_signals_end_it(broker, sign):
    harness.create_topic(broker, "t")
    broker.process.send_signal(sign)
    assert broker.process.wait(harness.PATIENCE) == 0
    broker.process = None


@pytest.mark.parametrize("after", (0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08))
def test_stop_while_starting(make_broker, after):
    broker = make_broker().launch()
    # before main() blocks it, the signal just ends the process
    harness.wait_until(lambda: "starts" in broker.log(), what="it has begun")
    time.sleep(after)
    broker.stop()
    assert "ERROR" not in broker.log()
    broker.start()
    harness.create_topic(broker, "t")


def test_stop_at_any_moment(make_broker):
    """A logged word of the start, and a moment: wherever that finds it, it
    ends well.  The draws are the same each time, the moments never are."""
    words = ("starts", "listening", "registered", "controller epoch=",
             "running", "became leader")
    draw = random.Random(7)
    broker = make_broker().start()
    harness.create_topic(broker, "t", partitions=5)
    broker.stop()
    for n in range(24):
        seen = len(broker.log())
        word = words[n % len(words)]
        broker.launch()
        harness.wait_until(lambda: word in broker.log()[seen:], 60, word)
        time.sleep(draw.random() * 0.03)
        broker.stop(60)
    assert " ERROR " not in broker.log() and " FATAL " not in broker.log()
    broker.start()
    harness.wait_topic(broker, "t", 5)


def test_many_signals(broker):
    for _ in range(20):
        broker.process.send_signal(signal.SIGTERM)
        broker.process.send_signal(signal.SIGHUP)
    assert broker.process.wait(harness.PATIENCE) == 0
    broker.process = None


def test_log_file_reopened(make_broker, tmp_path):
    path = tmp_path / "barnabas.log"
    broker = make_broker(barnabas_log_file=path).start()
    line = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] "
                      r"(TRACE|DEBUG|INFO|WARN|ERROR|FATAL) .*\(\w+\)$")
    assert all(line.match(row) for row in path.read_text().splitlines())
    old = tmp_path / "barnabas.log.1"
    path.rename(old)
    size = old.stat().st_size
    broker.process.send_signal(signal.SIGHUP)
    harness.wait_until(path.exists, what="a new log file")
    harness.create_topic(broker, "t")
    harness.wait_until(lambda: "topic=t" in path.read_text())
    assert old.stat().st_size - size < 500


def test_log_levels(make_broker):
    broker = make_broker(barnabas_log_level="ERROR,daemon=DEBUG").start()
    harness.create_topic(broker, "t")
    rooms = set(re.findall(r"INFO .*\((\w+)\)$", broker.log(), re.M))
    assert rooms == {"daemon"}


def test_log_levels_read_again(make_broker):
    """SIGHUP takes the levels that the file has now; from a file that is no
    good it takes nothing."""
    broker = make_broker(barnabas_log_level="ERROR,daemon=DEBUG").start()

    def rooms(**options):
        """Who says INFO of the making of a topic, after that reload."""
        broker.set(**options)
        broker.write_properties()
        seen = len(broker.log())
        broker.process.send_signal(signal.SIGHUP)
        # said last, from good and bad files
        harness.wait_until(lambda: re.search(
            r"TLS keys and certificates are read again \(daemon\)\n",
            broker.log()[seen:]), what="a reload")
        seen = len(broker.log())
        harness.create_topic(broker, f"t{seen}")
        return set(re.findall(r"INFO .*\((\w+)\)$", broker.log()[seen:],
                              re.M))

    assert "replica" not in rooms()
    assert "replica" in rooms(barnabas_log_level="daemon=DEBUG")
    assert "replica" in rooms(barnabas_log_level="ERROR", log_segment_bytes=1)
    broker.set(log_segment_bytes=None)
    assert rooms(barnabas_log_level="ERROR,daemon=INFO") == set()


# --- systemd -----------------------------------------------------------------

@pytest.fixture
def notify(tmp_path):
    n = harness.Notify(tmp_path / "notify")
    yield n
    n.end()


def test_ready_and_stopping(make_broker, notify):
    broker = make_broker().launch(env={"NOTIFY_SOCKET": notify.path})
    harness.wait_until(lambda: notify.count("READY=1"), what="READY=1")
    assert broker.http("/readyz")[0] == 200
    assert notify.count("STOPPING=1") == 0
    broker.stop()
    assert notify.count("STOPPING=1") == 1 and notify.count("READY=1") == 1
    assert notify.count("WATCHDOG=1") == 0


def numbered(lines, what):
    """(done, total) of the lines of status that tell of `what`."""
    return [tuple(map(int, m.groups())) for m in (
        re.match(rf"STATUS={what}: (\d+) of (\d+)$", line)
        for line in lines) if m]


def test_stop_is_given_time(make_broker, notify):
    """Handing over and closing ask systemd for more of it."""
    broker = make_broker().launch(env={"NOTIFY_SOCKET": notify.path})
    harness.wait_until(lambda: notify.count("READY=1"), what="READY=1")
    harness.create_topic(broker, "t", partitions=20)
    harness.wait_topic(broker, "t", 20)
    with FakeBroker(broker, 77):
        harness.wait_until(lambda: known_brokers(broker) == 2,
                           what="two brokers")
        notify.clear()
        broker.stop()
    seen = notify.lines()
    assert seen.count("STOPPING=1") == 1
    assert numbered(seen, "handing over, attempt")[0] == (1, 3)
    # several threads close and tell
    assert (20, 20) in numbered(seen, "closing logs")
    times = [int(line.split("=")[1]) for line in seen
             if line.startswith("EXTEND_TIMEOUT_USEC=")]
    # an attempt may last controller.socket.timeout.ms, and a pause follows
    assert times[0] == 95_000_000 and times[-1] == 60_000_000


def known_brokers(broker):
    with wire.Client(broker.address) as client:
        return len(client.call("Metadata", 7, Topics=[],
                               AllowAutoTopicCreation=False)["Brokers"])


def test_end_by_itself_is_told(make_broker, notify):
    """Also when no signal came."""
    first = make_broker(0).start()
    twin = make_broker(0).launch(env={"NOTIFY_SOCKET": notify.path})
    assert twin.process.wait(2 * harness.PATIENCE) == 1
    twin.process = None
    assert notify.count("STOPPING=1") == 1
    harness.create_topic(first, "t")


def test_watchdog(make_broker, notify):
    broker = make_broker().launch(env={"NOTIFY_SOCKET": notify.path,
                                       "WATCHDOG_USEC": "500000"})
    harness.wait_until(lambda: notify.count("WATCHDOG=1") >= 5,
                       what="signs of life")
    harness.suspend(broker.process)
    before = notify.count("WATCHDOG=1")
    time.sleep(1)
    assert notify.count("WATCHDOG=1") == before
    broker.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: notify.count("WATCHDOG=1") > before)


def test_not_ready_when_refused(make_broker, notify):
    first = make_broker(0).start()
    twin = make_broker(0).launch(env={"NOTIFY_SOCKET": notify.path})
    assert twin.process.wait(2 * harness.PATIENCE) == 1
    twin.process = None
    assert notify.count("READY=1") == 0
    harness.create_topic(first, "t")


# --- the admin port ----------------------------------------------------------

def test_health(broker):
    assert broker.http("/healthz") == (200, "ok\n")
    assert broker.http("/readyz") == (200, "ok\n")
    assert broker.http("/nothing")[0] == 404


def test_metrics_page(broker):
    harness.create_topic(broker, "t", partitions=2)
    with wire.Client(broker.address) as c:
        wire.produce(c, "t", wire.batch([b"x"] * 7))
        wire.fetch(c, "t", 0)
        wire.fetch(c, "t", 99)
        text = broker.http("/metrics")[1]
    sample = re.compile(r'[a-z_]\w*(\{(\w+="[^"]*",?)*\})? '
                        r"(-?\d+(\.\d+)?([eE][+-]?\d+)?|\+Inf|NaN)$")
    helped, typed = set(), set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            typed.add(line.split()[2])
        else:
            assert sample.match(line), line
    assert helped == typed and len(typed) > 60
    for name, labels, least in (
            ("kafka_server_brokertopicmetrics_messagesin_total", {}, 7),
            ("kafka_server_brokertopicmetrics_bytesin_total", {}, 68),
            ("kafka_server_brokertopicmetrics_bytesout_total", {}, 68),
            ("kafka_server_brokertopicmetrics_totalproducerequests_total",
             {}, 1),
            ("kafka_network_requestmetrics_requests_total",
             {"request": "Fetch"}, 2),
            ("kafka_network_requestmetrics_requestbytes_count",
             {"request": "FetchConsumer"}, 2),
            ("kafka_network_requestmetrics_requestbytes_sum",
             {"request": "Produce"}, 68),
            ("kafka_controller_activecontrollercount", {}, 1),
            ("kafka_server_replicamanager_leadercount", {}, 2),
            ("kafka_server_replicamanager_partitioncount", {}, 2),
            ("kafka_controller_globaltopiccount", {}, 1),
            ("kafka_controller_globalpartitioncount", {}, 2),
            ("kafka_controller_activebrokercount", {}, 1),
            ("kafka_log_end_offset", {"topic": "t", "partition": "0"}, 7),
            ("kafka_server_zk_sessionstate", {"state": "CONNECTED"}, 1),
            ("kafka_server_brokerstate", {}, 3),
            ("kafka_server_brokertopicmetrics_failedfetchrequests_total",
             {}, 1)):
        # some are told a moment after the answer that they count
        harness.wait_until(
            lambda: broker.metric(name, **labels) >= least,
            what=f"{name}{labels} is {least}")


REQUEST_TIMES = ("requestqueue", "local", "remote", "responsequeue",
                 "responsesend")


def test_times_of_requests(broker):
    """Where each was; a Fetch that waits is not at work meanwhile."""
    def told(part, what, request):
        return broker.metric("kafka_network_requestmetrics_"
                             f"{part}time_ms_{what}", request=request)
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as c:
        wire.fetch(c, "t", 0, max_wait_ms=1500)
        for _ in range(5):
            c.call("ApiVersions", 0)
        for part in (*REQUEST_TIMES, "total"):
            for request, count in (("ApiVersions", 5), ("Fetch", 1),
                                   ("FetchConsumer", 1)):
                harness.wait_until(
                    lambda: told(part, "count", request) == count,
                    what=f"{part} of {request} is counted {count} times")
    # a loop that was late begins to count at its turn's begin
    for part in ("remote", "total"):
        assert told(part, "sum", "FetchConsumer") > 750
    assert told("local", "sum", "FetchConsumer") < 750
    assert told("remote", "sum", "ApiVersions") == 0
    assert 0 < told("local", "sum", "ApiVersions") <= \
        told("total", "sum", "ApiVersions")


def test_queues_of_requests(broker):
    """What waits for those before it, and what a client does not take."""
    def size(what):
        return broker.metric(
            f"kafka_network_requestchannel_{what}queuesize")
    harness.create_topic(broker, "t")
    harness.create_topic(broker, "large")
    with wire.Client(broker.address) as c, \
            wire.Client(broker.address, receive_buffer=4096) as slow:
        c.send("Fetch", 12, **wire.fetch_request("t", 0, max_wait_ms=60000))
        c.send("ApiVersions", 0)
        harness.wait_until(lambda: size("request") == 1, what="one waits")
        data = wire.batch([bytes(900000)])
        for _ in range(20):
            assert wire.produce(slow, "large", data)["ErrorCode"] == 0
        slow.send("Fetch", 12, **wire.fetch_request("large", 0))
        harness.wait_until(lambda: size("response") == 1,
                           what="one is not taken")
        harness.wait_until(lambda: size("request") == 1, what="one waits yet")
        slow.receive()
        harness.wait_until(lambda: size("response") == 0, what="it was taken")
        with wire.Client(broker.address) as other:
            wire.produce(other, "t", wire.batch([b"x"]))
        c.receive()
        c.receive()
        harness.wait_until(lambda: size("request") == 0, what="none waits")
        # its end is seen when what waits is over
        c.send("Fetch", 12, **wire.fetch_request("t", 1, max_wait_ms=5000))
        c.send("ApiVersions", 0)
        harness.wait_until(lambda: size("request") == 1, what="one waits")
    harness.wait_until(lambda: size("request") == 0, what="its client left")


def test_metrics_of_logs(broker):
    harness.create_topic(broker, "t", flush_messages=1)
    harness.kcat(broker, "-P", "-t", "t", "-X", "enable.idempotence=true",
                 stdin=b"one\n")
    assert broker.metric(
        "kafka_server_replicamanager_produceridcount") == 1
    assert broker.metric("kafka_log_flush_seconds_count") >= 1


def test_metrics_of_loops(broker):
    """A process that stood still ran its timers late, each time once."""
    def loops(name):
        return set(re.findall(name + r'\{loop="([^"]+)"\}',
                              broker.http("/metrics")[1]))
    assert loops("barnabas_loop_lag_ms") == loops("barnabas_loop_turns_total")
    with wire.Client(broker.address):
        with harness.Bystander(broker) as b:
            b.still_served()
        harness.suspend(broker.process)
        time.sleep(3)
        broker.process.send_signal(signal.SIGCONT)
        harness.wait_until(
            lambda: broker.metric("barnabas_loop_lag_ms") >= 500,
            what="the timers were late")


def test_metrics_of_the_controller(own_zookeeper, make_broker):
    """What is asked for while it waits for ZooKeeper waits for it."""
    def size():
        return broker.metric("kafka_controller_eventqueue_size")

    def waited():
        return broker.metric("kafka_controller_eventqueue_time_ms_count")
    broker = make_broker(zk=own_zookeeper,
                         zookeeper_session_timeout_ms=40000).start()
    clients = [wire.Client(broker.address) for _ in range(4)]
    told = clients[0].call("CreateTopics", 5, timeoutMs=20000, Topics=[{
        "Name": "t", "NumPartitions": -1, "ReplicationFactor": -1,
        "Assignments": [{"PartitionIndex": n, "BrokerIds": [0, 77]}
                        for n in range(4)]}])
    assert told["Topics"][0]["ErrorCode"] == 0, told
    harness.wait_until(lambda: waited() >= 1 and size() == 0,
                       what="it has nothing to do")
    before = waited()
    own_zookeeper.pause()
    for n, client in enumerate(clients):
        client.send("AlterPartitionReassignments", 0, TimeoutMs=60000,
                    Topics=[{"Name": "t", "Partitions": [
                        {"PartitionIndex": n, "Replicas": [0]}]}])
    # one is at hand
    harness.wait_until(lambda: size() == 3, what="three wait")
    own_zookeeper.resume()
    harness.wait_until(lambda: waited() >= before + 4 and size() == 0,
                       what="all were taken")
    for client in clients:
        client.close()


def test_metrics_under_load(broker):
    """Pages while everything moves, and while it stops."""
    import threading
    harness.create_topic(broker, "t")
    end = threading.Event()

    def scrape():
        while not end.is_set():
            broker.http("/metrics")

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        with harness.Bystander(broker) as b:
            b.still_served(100)
        broker.stop()
    finally:
        end.set()
        for t in threads:
            t.join()


def test_pages_while_it_hands_over(make_broker):
    """A controlled shutdown that takes its time can be watched; who asks
    whether it is ready is answered: no."""
    broker = make_broker(controlled_shutdown_retry_backoff_ms=5000).start()
    with wire.Client(broker.address) as client:
        told = client.call("CreateTopics", 5, timeoutMs=20000, Topics=[{
            "Name": "t", "NumPartitions": -1, "ReplicationFactor": -1,
            "Assignments": [{"PartitionIndex": 0, "BrokerIds": [0, 77]}]}])
        assert told["Topics"][0]["ErrorCode"] == 0, told
    with FakeBroker(broker, 77):
        harness.wait_until(lambda: known_brokers(broker) == 2,
                           what="two brokers")
        broker.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: "did not relieve" in broker.log(),
                           what="it is not relieved")
        assert broker.http("/healthz") == (200, "ok\n")
        assert broker.http("/readyz") == (503, "no\n")
        assert broker.metric("kafka_server_brokerstate") == 7
        assert broker.metric("kafka_server_replicamanager_leadercount") == 1
        assert broker.process.wait(harness.PATIENCE) == 0
        broker.process = None


def test_admin_while_logs_open(broker):
    """Connections that come and go while other threads open files: whoever
    closes a descriptor has no business with its number afterwards.
    ThreadSanitizer sees it."""
    import threading
    harness.create_topic(broker, "t", partitions=30)
    broker.stop()
    broker.launch()
    end = threading.Event()

    def scrape():
        while not end.is_set():
            broker.http("/readyz")

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        broker.wait_ready(60)
        harness.create_topic(broker, "u", partitions=30)
    finally:
        end.set()
        for t in threads:
            t.join()


def test_admin_client_that_stays(broker):
    """A connection that is left open does not keep the daemon."""
    with socket.create_connection(("127.0.0.1", broker.admin_port)) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in s.recv(4096)
        broker.stop()


def test_admin_port_taken(make_broker):
    first = make_broker(0).start()
    second = make_broker(
        1, barnabas_admin_listener=f"127.0.0.1:{first.admin_port}").launch()
    assert second.process.wait(2 * harness.PATIENCE) == 1
    second.process = None
    assert "barnabas.admin.listener" in second.log() or \
        str(first.admin_port) in second.log()


def test_no_admin_port(make_broker):
    broker = make_broker(barnabas_admin_listener="").launch()
    harness.wait_until(lambda: "running" in broker.log(), what="it runs")
    harness.create_topic(broker, "t")


# --- the process -------------------------------------------------------------

def test_descriptors_are_raised(broker):
    limits = open(f"/proc/{broker.process.pid}/limits").read()
    m = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits)
    assert m[1] == m[2]


def test_only_loopback(broker):
    """Nothing listens but what was asked for."""
    inodes = set()
    folder = f"/proc/{broker.process.pid}/fd"
    for fd in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:
            continue    # a connection that went meanwhile
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening = set()
    for family in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{family}").readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, port = words[1].split(":")
                listening.add((host, int(port, 16)))
    assert listening == {("0100007F", broker.port),
                         ("0100007F", broker.admin_port)}


def test_no_descriptors_leak(broker):
    def count():
        return len(os.listdir(f"/proc/{broker.process.pid}/fd"))
    harness.create_topic(broker, "t")
    for _ in range(3):
        with wire.Client(broker.address) as c:
            wire.produce(c, "t", wire.batch([b"x"]))
            wire.fetch(c, "t", 0)
    before = count()
    for _ in range(100):
        with wire.Client(broker.address) as c:
            wire.produce(c, "t", wire.batch([b"x"]))
            wire.fetch(c, "t", 0)
            wire.list_offset(c, "t", -3)
    harness.wait_until(lambda: count() <= before + 2,
                       what="descriptors are given back")
