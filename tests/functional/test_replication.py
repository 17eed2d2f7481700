# SPDX-License-Identifier: Apache-2.0
"""Followers: logs are the leader's, byte for byte, the in-sync replicas follow
who keeps up, and nothing that acks=all acknowledged is lost."""

import contextlib
import json
import signal

import pytest

import certificates
import dynamic_configs
import harness
import wire
from test_elect_leaders import PREFERRED, create_on, elect, errors

# for what is timed by it, so that tests need not wait
QUICK = {"replica.lag.time.max.ms": 2000, "replica.fetch.backoff.ms": 50}
# for those who need everybody in sync, however slow the machine is
PATIENT = {"replica_lag_time_max_ms": 30000}
MANAGER = "kafka_server_replicamanager_"
PARTITION = "kafka_cluster_partition_"
OFFLINE_PARTITIONS = "kafka_controller_offlinepartitionscount"
UNCLEAN_ELECTIONS = "kafka_controller_stats_uncleanleaderelections_total"


@pytest.fixture
def make_brokers(make_broker):
    """make(count, **options): brokers of one cluster, started.  Leadership
    stays where it went."""
    def make(count, prepare=None, **options):
        def quick(broker):
            if prepare:
                prepare(broker)
            for name, value in {
                    **QUICK, "auto.leader.rebalance.enable": "false"}.items():
                broker.options.setdefault(name, value)
        return harness.start_cluster(make_broker, count, quick, **options)
    return make


def state(broker, topic, partition=0):
    with harness.Zk(broker) as zk:
        return json.loads(zk.get(
            f"/brokers/topics/{topic}/partitions/{partition}/state")[0])


def make_topic(brokers, topic, **configs):
    """All brokers have a replica; answers leader and followers."""
    def made():
        try:
            harness.create_topic(brokers[0], topic, 1, len(brokers), **configs)
        except AssertionError as e:
            # not all brokers are known to the controller yet
            if "38" not in str(e):
                raise
            return False
        return True
    harness.wait_until(made, what=f"{topic} is made")
    for broker in brokers:
        harness.wait_topic(broker, topic)
    leader = state(brokers[0], topic)["leader"]
    return (brokers[leader],
            [b for b in brokers if b.broker_id != leader])


@contextlib.contextmanager
def hung(broker):
    """Nothing comes from it within."""
    harness.suspend(broker.process)
    try:
        yield
    finally:
        broker.process.send_signal(signal.SIGCONT)


def produce(broker, topic, values, acks=-1, **how):
    with wire.Client(broker.address) as client:
        return wire.produce(client, topic, wire.batch(values), acks=acks,
                            **how)


def fill(broker, topic, first, count, acks=-1):
    """Numbers, one a batch; what is acknowledged is asserted."""
    with wire.Client(broker.address) as client:
        for n in range(first, first + count):
            part = wire.produce(client, topic, wire.batch([b"%d" % n]),
                                acks=acks)
            assert part["ErrorCode"] == 0, part


def numbers(broker, topic):
    with wire.Client(broker.address) as client:
        return [int(r[3]) for r in wire.read_all(client, topic)]


def log_bytes(broker, topic):
    return b"".join(p.read_bytes() for p in broker.log_files(topic))


def same_logs(brokers, topic):
    logs = [log_bytes(b, topic) for b in brokers]
    return logs[0] != b"" and all(log == logs[0] for log in logs[1:])


def in_sync(broker, topic, ids, partition=0):
    harness.wait_until(
        lambda: sorted(state(broker, topic, partition)["isr"]) == sorted(ids),
        what=f"the in-sync replicas of {topic}-{partition} are {ids}")


def shows(broker, value, name, **labels):
    """The page has it soon: a gauge follows what it tells of."""
    if broker.real:
        return
    harness.wait_until(lambda: broker.metric(name, **labels) == value,
                       what=f"{name} is {value}")


def shows_replicas(leader, topic, replicas, in_sync_count, partition=0,
                   under=None):
    """What the leader's page says of a partition; `under`: of how many that
    it leads it says that they lack replicas, else of none but this one."""
    of = {"topic": topic, "partition": partition}
    lacks = int(in_sync_count < replicas)
    shows(leader, in_sync_count, PARTITION + "insyncreplicascount", **of)
    shows(leader, replicas, PARTITION + "replicascount", **of)
    shows(leader, lacks, PARTITION + "underreplicated", **of)
    shows(leader, lacks if under is None else under,
          MANAGER + "underreplicatedpartitions")


@pytest.mark.parametrize("count", [2, 3])
def test_acks_all_is_replicated(make_brokers, count):
    brokers = make_brokers(count, **PATIENT)
    leader, followers = make_topic(brokers, "t")
    fill(leader, "t", 0, 50)
    # acknowledged: all have it
    assert same_logs(brokers, "t")
    for follower in followers:
        epochs = [b.data / "t-0" / "leader-epoch-checkpoint"
                  for b in (leader, follower)]
        assert epochs[0].read_text() == epochs[1].read_text()
    # more than one answer carries
    for _ in range(20):
        assert produce(leader, "t", [bytes(900_000)])["ErrorCode"] == 0
    assert same_logs(brokers, "t")


def test_leader_killed(make_brokers):
    """Nothing acknowledged is lost; what only the old leader had goes."""
    brokers = make_brokers(3)
    leader, followers = make_topic(brokers, "t")
    fill(leader, "t", 0, 20)
    leader.kill()
    harness.wait_until(
        lambda: state(followers[0], "t")["leader"] != leader.broker_id,
        what="another leads")
    second = brokers[state(followers[0], "t")["leader"]]
    harness.wait_leads(second, "t")
    fill(second, "t", 20, 20)
    assert numbers(second, "t") == list(range(40))
    leader.start()
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="the old leader has all")
    assert numbers(second, "t") == list(range(40))


def test_old_leader_truncates(make_brokers):
    """It had records that nobody else had."""
    leader, (follower,) = make_topic(
        brokers := make_brokers(2, **PATIENT), "t")
    fill(leader, "t", 0, 10)
    with hung(follower):
        fill(leader, "t", 1000, 50, acks=1)
        leader.kill()
    harness.wait_until(
        lambda: state(follower, "t")["leader"] == follower.broker_id,
        what="the follower leads")
    harness.wait_leads(follower, "t")
    fill(follower, "t", 10, 10)
    # one answer was on its way to the follower when it stopped: it may have
    # the first of them, behind what both had
    kept = numbers(follower, "t")
    late = kept[10:-10]
    assert kept == [*range(10), *late, *range(10, 20)]
    assert late == list(range(1000, 1000 + len(late))) and len(late) < 50
    leader.start()
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="the old leader has followed")
    assert "truncated from" in leader.log()
    # nothing of that was committed
    assert leader.metric("barnabas_replica_lost_records_total") == 0
    assert numbers(follower, "t") == kept


def test_in_sync_replicas(make_brokers):
    """Who dies or hangs is taken out, who is back and has all is taken in."""
    def prepare(broker):
        if broker.broker_id == 2:
            broker.set(zookeeper_session_timeout_ms=60000)
    brokers = make_brokers(3, prepare)
    one, leader, other = brokers
    with wire.Client(one.address) as client:
        create_on(client, "t", [1, 0, 2])
    harness.wait_leads(leader, "t")
    in_sync(leader, "t", [0, 1, 2])
    fill(leader, "t", 0, 5)
    shows_replicas(leader, "t", 3, 3)
    # one that hangs and keeps its session is taken out by the leader, once
    # there is something that it has not
    with harness.counted(leader, MANAGER + "isrexpands_total"):
        with hung(other):
            with harness.counted(leader, MANAGER + "isrshrinks_total"):
                fill(leader, "t", 5, 1, acks=1)
                in_sync(leader, "t", [0, 1])
            fill(leader, "t", 6, 4)
            shows_replicas(leader, "t", 3, 2)
        in_sync(leader, "t", [0, 1, 2])
    # one that dies, by whoever sees it first; and it is the controller
    with harness.counted(leader, MANAGER + "isrexpands_total"):
        one.kill()
        in_sync(leader, "t", [1, 2])
        fill(leader, "t", 10, 5)
        shows_replicas(leader, "t", 3, 2)
        one.start()
        in_sync(leader, "t", [0, 1, 2])
    fill(leader, "t", 15, 5)
    shows_replicas(leader, "t", 3, 3)
    harness.wait_until(lambda: same_logs(brokers, "t"),
                       what="all have the same log")
    assert numbers(leader, "t") == list(range(20))
    for follower in (one, other):
        assert follower.metric(
            "kafka_server_replicafetchermanager_failedpartitionscount") == 0


def test_min_insync_replicas(make_brokers):
    brokers = make_brokers(2)
    leader, (follower,) = make_topic(brokers, "t", min_insync_replicas=2)

    def min_isr(under, at):
        # the leader hears of what it asked for a moment after it is written
        shows(leader, under, MANAGER + "underminisrpartitioncount")
        shows(leader, at, MANAGER + "atminisrpartitioncount")
        of = {"topic": "t", "partition": 0}
        shows(leader, under, PARTITION + "underminisr", **of)
        shows(leader, at, PARTITION + "atminisr", **of)
    in_sync(leader, "t", [leader.broker_id, follower.broker_id])
    fill(leader, "t", 0, 5)
    min_isr(under=0, at=1)
    follower.kill()
    in_sync(leader, "t", [leader.broker_id])
    min_isr(under=1, at=0)
    refused = harness.wait_until(
        lambda: produce(leader, "t", [b"refused"])["ErrorCode"],
        what="acks=all is refused")
    assert refused == 19  # NOT_ENOUGH_REPLICAS
    fill(leader, "t", 5, 2, acks=1)
    # nobody may see what is not on enough replicas
    assert numbers(leader, "t") == list(range(5))
    follower.start()
    in_sync(leader, "t", [0, 1])
    min_isr(under=0, at=1)
    fill(leader, "t", 7, 3)
    assert numbers(leader, "t") == list(range(10))
    assert same_logs(brokers, "t")


@pytest.mark.parametrize("controller", ("a replica", "another"))
def test_unclean_election_is_counted(make_brokers, controller):
    """What it gave up was committed: whoever cuts it off says so.  The
    controller elects when it begins, or when a replica is back."""
    brokers = make_brokers(2 if controller == "a replica" else 3)
    with wire.Client(brokers[0].address) as client:
        create_on(client, "t", [b.broker_id for b in brokers[-2:]],
                  unclean_leader_election_enable="true")
    leader, follower = brokers[-2:]
    harness.wait_leads(leader, "t")
    fill(leader, "t", 0, 10)
    follower.kill()
    in_sync(leader, "t", [leader.broker_id])
    fill(leader, "t", 10, 7)
    leader.stop()  # its high watermark is on disk then
    if controller == "another":
        shows(brokers[0], 1, OFFLINE_PARTITIONS)
        assert brokers[0].metric(UNCLEAN_ELECTIONS) == 0
    follower.start()
    harness.wait_until(
        lambda: state(follower, "t")["leader"] == follower.broker_id,
        what="who was not in sync leads")
    elector = follower if controller == "a replica" else brokers[0]
    shows(elector, 1, UNCLEAN_ELECTIONS)
    shows(elector, 0, OFFLINE_PARTITIONS)
    harness.wait_leads(follower, "t")
    fill(follower, "t", 100, 3)
    leader.start()
    harness.wait_until(lambda: same_logs([leader, follower], "t"),
                       what="the old leader has what there is")
    assert elector.metric(UNCLEAN_ELECTIONS) == 1
    assert numbers(follower, "t") == [*range(10), *range(100, 103)]
    lost = "barnabas_replica_lost_records_total"
    assert [b.metric(lost) for b in (leader, follower)] == [7, 0]
    assert f"leader={follower.broker_id}" in leader.log().split(
        "lost from=10 to=16")[0].rpartition("partition=t/0 ")[2]


def delete_records(broker, topic, offset, timeout_ms=10000):
    with wire.Client(broker.address) as client:
        part = client.call("DeleteRecords", 2, TimeoutMs=timeout_ms, Topics=[
            {"Name": topic, "Partitions": [
                {"PartitionIndex": 0, "Offset": offset}]}])[
                    "Topics"][0]["Partitions"][0]
    return part["ErrorCode"], part["LowWatermark"]


@pytest.mark.slow
def test_deleted_records(make_brokers):
    """Answered when every replica has forgotten them; who was away forgets
    them as soon as it is back."""
    brokers = make_brokers(3)
    leader, (one, other) = make_topic(brokers, "t")
    fill(leader, "t", 0, 20)
    assert delete_records(leader, "t", 5) == (0, 5)
    with hung(one):
        assert delete_records(leader, "t", 12, 500) == (7, 5)
        with wire.Client(leader.address) as client:
            assert wire.list_offset(client, "t", -2)["Offset"] == 12
    assert delete_records(leader, "t", 12) == (0, 12)
    one.kill()
    in_sync(leader, "t", [leader.broker_id, other.broker_id])
    assert delete_records(leader, "t", 15) == (0, 15)
    one.start()
    in_sync(leader, "t", [0, 1, 2])
    # in sync at the end of all, whatever its log began with
    assert delete_records(leader, "t", 16) == (0, 16)
    for lost in (leader, other):
        lost.kill()
    harness.wait_until(
        lambda: state(one, "t")["leader"] == one.broker_id,
        what="the last one leads")
    harness.wait_leads(one, "t")
    with wire.Client(one.address) as client:
        assert wire.list_offset(client, "t", -2)["Offset"] == 16
        assert [int(r[3]) for r in wire.read_all(client, "t", offset=16)] == \
            list(range(16, 20))


@pytest.fixture
def make_pair(make_brokers):
    """make(**options): two brokers whose fetchers alone come to the listener
    REPLICAS; orders and what is asked of the controller go to CONTROL."""
    def make(**options):
        def prepare(broker):
            listeners = {"PLAINTEXT": broker.port,
                         "REPLICAS": harness.free_port(),
                         "CONTROL": harness.free_port()}
            broker.options.update({
                "listeners": ",".join(f"{name}://127.0.0.1:{port}"
                                      for name, port in listeners.items()),
                "listener.security.protocol.map": ",".join(
                    f"{name}:PLAINTEXT" for name in listeners),
                "inter.broker.listener.name": "REPLICAS",
                "control.plane.listener.name": "CONTROL"})
        return make_brokers(2, prepare, **PATIENT, **options)
    return make


def leaders_of(broker, topic):
    with wire.Client(broker.address) as client:
        told = client.call("Metadata", 7, Topics=[{"Name": topic}],
                           AllowAutoTopicCreation=False)["Topics"][0]
    return {p["PartitionIndex"]: p["LeaderId"] for p in told["Partitions"]}


def fetchers_come(brokers, topic, count):
    """To each leader, as many as Kafka spreads its partitions over: by the
    hash of the topic, of one letter, and the partition."""
    leaders = leaders_of(brokers[0], topic)
    for broker in brokers:
        used = {(31 * ord(topic) + p) % count for p, leader in leaders.items()
                if leader == broker.broker_id}
        shows(broker, len(used), "kafka_server_socket_connection_count",
              listener="REPLICAS")
        yield len(used)


def test_many_partitions(make_pair):
    """Over several fetchers, and a topic that is deleted meanwhile."""
    brokers = make_pair(num_replica_fetchers=3)
    for topic in ("m", "gone"):
        harness.create_topic(brokers[0], topic, 30, 2)
        for broker in brokers:
            harness.wait_topic(broker, topic, 30)
    leaders = leaders_of(brokers[0], "m")
    with wire.Client(brokers[0].address) as client:
        client.call("DeleteTopics", 4, TopicNames=["gone"], TimeoutMs=20000)
    assert set(leaders.values()) == {0, 1}
    for partition, leader in leaders.items():
        with wire.Client(brokers[leader].address) as client:
            part = wire.produce(client, "m", wire.batch([b"x" * 1000]),
                                partition=partition)
            assert part["ErrorCode"] == 0, part
    for partition in leaders:
        logs = [b.log_files("m", partition)[0].read_bytes() for b in brokers]
        assert logs[0] == logs[1] != b""
    assert list(fetchers_come(brokers, "m", 3)) == [3, 3]


def test_number_of_fetchers_changes(make_pair):
    """While records come: partitions go over to the others."""
    brokers = make_pair()
    with wire.Client(brokers[0].address) as client:
        create_on(client, "t", *[[0, 1], [0, 1], [1, 0], [1, 0]] * 2)
    for broker in brokers:
        harness.wait_topic(broker, "t", 8)

    def write():
        for partition, leader in leaders_of(brokers[0], "t").items():
            with wire.Client(brokers[leader].address) as client:
                answer = wire.produce(client, "t", wire.batch([b"x"]),
                                      partition=partition)
                assert answer["ErrorCode"] == 0, answer

    def taken(count):
        return all(dynamic_configs.described(
            b, "num.replica.fetchers", entity=str(b.broker_id))[
                "num.replica.fetchers"][0] == str(count) for b in brokers)

    write()
    assert list(fetchers_come(brokers, "t", 1)) == [1, 1]
    for count, used in ((2, 2), (4, 2), (3, 3), (2, 2), (1, 1)):
        with wire.Client(brokers[0].address) as client:
            assert dynamic_configs.alter(
                client, dynamic_configs.BROKER, "",
                ("num.replica.fetchers", dynamic_configs.SET,
                 str(count)))[0] == 0
        harness.wait_until(lambda n=count: taken(n), what="it is taken")
        write()
        assert list(fetchers_come(brokers, "t", count)) == [used] * 2
    for partition in range(8):
        logs = [b.log_files("t", partition)[0].read_bytes() for b in brokers]
        assert logs[0] == logs[1] != b""


# --- brokers that speak TLS to each other ------------------------------------

class Stores:
    """The files of one broker: who it is, and whom it trusts."""

    def __init__(self, folder, broker):
        self.broker = broker
        self.identity = folder / f"identity-{broker.broker_id}.pem"
        self.trust = folder / f"trust-{broker.broker_id}.pem"

    def show(self, authority, **names):
        """A new key and certificate, of the same names unless told."""
        issued = authority.issue(f"server-{self.broker.broker_id}", **names)
        self.identity.write_bytes(issued.both.read_bytes())

    def believe(self, *authorities):
        self.trust.write_text("".join(
            a.certificate.read_text() for a in authorities))

    def options(self):
        return {"ssl.keystore.type": "PEM",
                "ssl.keystore.location": self.identity,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.trust,
                "ssl.client.auth": "required"}


@pytest.fixture
def make_tls_brokers(make_brokers, tmp_path):
    """make(authority, control, ...): two brokers that speak TLS to each other,
    both with certificates and host names looked at; and the files of each.
    control: the controller's orders have a listener of their own."""
    def make(authority, control, **options):
        stores = []

        def prepare(broker):
            stores.append(Stores(tmp_path, broker))
            stores[-1].show(authority)
            stores[-1].believe(authority)
            listeners = {"PLAINTEXT": broker.port,
                         "INSIDE": harness.free_port()}
            broker.options.update({
                **stores[-1].options(),
                "ssl.endpoint.identification.algorithm": "https",
                "listener.security.protocol.map":
                    "PLAINTEXT:PLAINTEXT,INSIDE:SSL,CONTROL:SSL",
                "inter.broker.listener.name": "INSIDE"})
            if control:
                listeners["CONTROL"] = harness.free_port()
                broker.options["control.plane.listener.name"] = "CONTROL"
            broker.options["listeners"] = ",".join(
                f"{name}://127.0.0.1:{port}"
                for name, port in listeners.items())
            broker.tls_ports = [port for name, port in listeners.items()
                                if name != "PLAINTEXT"]
        return make_brokers(2, prepare, **PATIENT, **options), stores
    return make


def refuses(broker, port, authority, identity=None):
    """Who comes to that port so is refused in the handshake."""
    context = certificates.context(authority, identity)
    with harness.counted(
            broker, "kafka_server_socket_failed_authentication_total"):
        with pytest.raises((OSError, wire.Closed)):
            with wire.Client(f"127.0.0.1:{port}", secure=context) as client:
                client.call("ApiVersions", 0)


@pytest.mark.ours
@pytest.mark.parametrize("control", [False, True])
def test_tls_between_brokers(make_tls_brokers, tmp_path, control):
    authority = certificates.Authority(tmp_path)
    brokers, _ = make_tls_brokers(authority, control)
    stranger = certificates.Authority(tmp_path, "stranger").issue()
    for broker in brokers:
        assert len(broker.tls_ports) == 1 + control
        for port in broker.tls_ports:
            refuses(broker, port, authority)
            refuses(broker, port, authority, stranger)
    leader, (follower,) = make_topic(brokers, "t")
    fill(leader, "t", 0, 10)
    assert same_logs(brokers, "t")
    follower.kill()
    in_sync(leader, "t", [leader.broker_id])
    fill(leader, "t", 10, 10)
    follower.start()
    in_sync(leader, "t", [0, 1])
    assert same_logs(brokers, "t")


@pytest.mark.ours
def test_tls_rotates_between_brokers(make_tls_brokers, tmp_path):
    """From one authority to another, by SIGHUP alone for who is not restarted:
    also the connections that it opens are of what it read last.  It is the
    controller and it follows, so it opens both kinds; at each step the other
    one is restarted, so that all of them are made anew."""
    old, new = (certificates.Authority(tmp_path, n) for n in ("old", "new"))
    (first, second), stores = make_tls_brokers(old, True)
    pid, count = first.process.pid, 0
    with wire.Client(first.address) as client:
        create_on(client, "a", [0, 1])
        create_on(client, "b", [1, 0])

    def replicated():
        """Each leads one and follows the other one."""
        nonlocal count
        for leader, topic in ((first, "a"), (second, "b")):
            harness.wait_leads(leader, topic)
            in_sync(first, topic, [0, 1])
            fill(leader, topic, count, 10)
            # acknowledged while both were in sync
            in_sync(first, topic, [0, 1])
            assert same_logs([first, second], topic)
        count += 10

    def again(end):
        """The second one goes, and is back in its place."""
        end()
        harness.wait_until(lambda: state(first, "b")["leader"] == 0,
                           what="the first leads all")
        harness.wait_leads(first, "b")
        second.start()
        for topic in ("a", "b"):
            in_sync(first, topic, [0, 1])
        with wire.Client(first.address) as client:
            assert errors(elect(client, PREFERRED, [("b", [0])])) == {
                ("b", 0): 0}
        replicated()

    def take(step, *authorities):
        for of in stores:
            step(of, *authorities)
        for of in stores:
            assert "are read again" in certificates.reload(of.broker)
            # one has the new ones and the other one not yet
            replicated()

    replicated()
    take(Stores.believe, old, new)
    again(second.stop)
    take(Stores.show, new)
    again(second.stop)
    take(Stores.believe, new)
    again(second.kill)
    for broker in (first, second):
        for port in broker.tls_ports:
            refuses(broker, port, new, old.issue("server-old"))
    assert first.process.pid == pid
    assert first.metric("barnabas_tls_reload_failures_total") == 0
    for leader, topic in ((first, "a"), (second, "b")):
        assert numbers(leader, topic) == list(range(count))


@pytest.mark.ours
def test_tls_leader_of_another_name(make_tls_brokers, tmp_path):
    """Whoever follows it does not believe that it is the leader, until it shows
    a certificate of its own name."""
    authority = certificates.Authority(tmp_path)
    (leader, follower), stores = make_tls_brokers(
        authority, False, ssl_allow_san_changes="true")
    with wire.Client(leader.address) as client:
        create_on(client, "t", [0, 1])
    for broker in (leader, follower):
        harness.wait_topic(broker, "t")
    fill(leader, "t", 0, 10)
    follower.kill()
    in_sync(leader, "t", [0])
    fill(leader, "t", 10, 10)

    def shows_names(**names):
        stores[0].show(authority, **names)
        assert "are read again" in certificates.reload(leader)
    shows_names(names="DNS:elsewhere")
    had, before = log_bytes(follower, "t"), len(follower.log())
    with harness.counted(
            leader, "kafka_server_socket_failed_authentication_total", 4):
        follower.start()
    for said in (f"peer=127.0.0.1:{leader.tls_ports[0]} cannot connect: TLS "
                 "handshake failed: certificate verify failed: IP address "
                 "mismatch",
                 "leader=0 fetcher=0 cannot fetch: TLS handshake failed"):
        harness.wait_until(lambda: said in follower.log()[before:], what=said)
    assert state(leader, "t")["isr"] == [0]
    assert log_bytes(follower, "t") == had
    assert not same_logs([leader, follower], "t")
    shows_names()
    in_sync(leader, "t", [0, 1])
    fill(leader, "t", 20, 10)
    assert same_logs([leader, follower], "t")
