# SPDX-License-Identifier: Apache-2.0
"""Where groups live: FindCoordinator, __consumer_offsets made on first need,
its partitions loaded wherever they are led, and requests' ways there."""

import json

import kazoo.client
import pytest

import harness
import wire

NONE, NOT_AVAILABLE, INVALID_REQUEST = 0, 15, 42
UNKNOWN_TOPIC, INVALID_TOPIC = 3, 17
OFFSETS = "__consumer_offsets"
SETTINGS = {"cleanup.policy": "compact", "compression.type": "producer",
            "segment.bytes": "104857600"}


@pytest.fixture
def zk():
    clients = []

    def connect(broker):
        c = kazoo.client.KazooClient(broker.options["zookeeper.connect"])
        c.start(30)
        clients.append(c)
        return c
    yield connect
    for c in clients:
        c.stop()
        c.close()


def find(client, version, *keys, kind=0):
    """The answers, one a key."""
    more = {} if version == 0 else {"KeyType": kind}
    if version >= 4:
        return client.call("FindCoordinator", version, CoordinatorKeys=keys,
                           **more)["Coordinators"]
    return [client.call("FindCoordinator", version, Key=k, **more)
            for k in keys]


def find_one(broker, key="g", version=4, address=None):
    with wire.Client(address or broker.address, timeout=30) as c:
        return find(c, version, key)[0]


def found(broker, key="g", address=None):
    """Waits for it."""
    def there():
        answer = find_one(broker, key, address=address)
        return answer if answer["ErrorCode"] == NONE else None
    return harness.wait_until(there, what="a coordinator")


def internal_topic(broker):
    with wire.Client(broker.address) as c:
        return c.call("Metadata", 7, Topics=[{"Name": OFFSETS}],
                      AllowAutoTopicCreation=False)["Topics"][0]


@pytest.mark.parametrize("version", range(0, 7))
def test_found_by_each_version(make_broker, version):
    broker = make_broker(offsets_topic_num_partitions=5).start()
    with wire.Client(broker.address, timeout=30) as c:
        first = find(c, version, "g")[0]
        assert first["ErrorCode"] == NOT_AVAILABLE
        assert (first["NodeId"], first["Host"], first["Port"]) == (-1, "", -1)
        harness.wait_until(
            lambda: find(c, version, "g")[0]["ErrorCode"] == NONE,
            what="a coordinator")
        for key in ("g", "", "another", "ключ", "x" * 2000):
            answer = find(c, version, key)[0]
            assert answer["ErrorCode"] == NONE
            assert answer["NodeId"] == 0
            assert answer["Host"] == "127.0.0.1"
            assert answer["Port"] == broker.port
            if 1 <= version <= 3:
                assert answer["ErrorMessage"] == "NONE"
            elif version >= 4:
                assert (answer["Key"], answer["ErrorMessage"]) == (key, "")


def test_found_in_batches(make_broker):
    broker = make_broker(offsets_topic_num_partitions=3).start()
    found(broker)
    with wire.Client(broker.address, timeout=30) as c:
        keys = [f"g{i}" for i in range(500)] + ["g1"]
        answers = find(c, 4, *keys)
        assert [a["Key"] for a in answers] == keys
        assert {a["ErrorCode"] for a in answers} == {NONE}
        assert find(c, 4) == []
        assert {a["ErrorCode"] for a in find(c, 6, *keys, kind=9)} == \
            {INVALID_REQUEST}
        assert {a["ErrorCode"] for a in find(c, 6, *keys, kind=2)} == \
            {NOT_AVAILABLE}


def test_asking_for_nothing_makes_nothing(make_broker):
    broker = make_broker().start()
    with wire.Client(broker.address, timeout=30) as c:
        assert find(c, 4) == []
        assert find(c, 6, "g", kind=2)[0]["ErrorCode"] == NOT_AVAILABLE
        assert find(c, 6, "g", kind=7)[0]["ErrorCode"] == INVALID_REQUEST
    assert internal_topic(broker)["ErrorCode"] == UNKNOWN_TOPIC


@pytest.mark.ours
def test_no_coordinators_of_transactions_yet(make_broker):
    """And no internal topic comes of asking."""
    broker = make_broker().start()
    with wire.Client(broker.address, timeout=30) as c:
        for version in range(1, 7):
            assert find(c, version, "t", kind=1)[0]["ErrorCode"] == \
                NOT_AVAILABLE
        topics = c.call("Metadata", 7, Topics=None)["Topics"]
    assert topics == []


def test_the_topic_as_kafka_makes_it(make_broker, zk):
    broker = make_broker(auto_create_topics_enable="false").start()
    z = zk(broker)
    found(broker)
    harness.wait_topic(broker, OFFSETS, 50)
    topic = internal_topic(broker)
    assert topic["IsInternal"] is True
    assert {tuple(p["ReplicaNodes"]) for p in topic["Partitions"]} == {(0,)}
    node = z.get(f"/config/topics/{OFFSETS}")[0].decode()
    assert json.loads(node) == {"version": 1, "config": SETTINGS}
    assert node == ('{"version":1,"config":{"compression.type":"producer",'
                    '"cleanup.policy":"compact","segment.bytes":"104857600"}}')


def test_the_options_of_the_topic(make_broker, zk):
    broker = make_broker(offsets_topic_num_partitions=7,
                         offsets_topic_segment_bytes=1048576).start()
    found(broker)
    assert len(internal_topic(broker)["Partitions"]) == 7
    node = json.loads(zk(broker).get(f"/config/topics/{OFFSETS}")[0])
    assert node["config"] == {**SETTINGS, "segment.bytes": "1048576"}


def test_not_before_so_many_brokers_live(make_broker):
    broker = make_broker(offsets_topic_replication_factor=3).start()
    with wire.Client(broker.address, timeout=30) as c:
        for _ in range(50):
            assert find(c, 3, "g")[0]["ErrorCode"] == NOT_AVAILABLE
    assert internal_topic(broker)["ErrorCode"] == UNKNOWN_TOPIC
    if not broker.real:
        # it is said, and not for each who asks
        said = broker.log().count(
            "topic=__consumer_offsets cannot be created automatically "
            "error=INVALID_REPLICATION_FACTOR")
        assert 1 <= said < 50


def test_the_endpoint_of_the_listener(make_broker):
    broker = make_broker(offsets_topic_num_partitions=2)
    other = harness.free_port()
    broker.set(listeners=f"PLAINTEXT://127.0.0.1:{broker.port},"
               f"OTHER://127.0.0.1:{other}",
               advertised_listeners=f"PLAINTEXT://127.0.0.1:{broker.port},"
               f"OTHER://localhost:{other}",
               listener_security_protocol_map="PLAINTEXT:PLAINTEXT,"
               "OTHER:PLAINTEXT")
    broker.start()
    here = found(broker)
    assert (here["Host"], here["Port"]) == ("127.0.0.1", broker.port)
    there = found(broker, address=f"127.0.0.1:{other}")
    assert (there["Host"], there["Port"]) == ("localhost", other)


def test_clients_do_not_write_there(make_broker):
    broker = make_broker(offsets_topic_num_partitions=1).start()
    found(broker)
    with wire.Client(broker.address, timeout=30) as c:
        part = wire.produce(c, OFFSETS, wire.batch([(b"k", b"v")]))
        assert part["ErrorCode"] == INVALID_TOPIC


# --- shards ------------------------------------------------------------------

def served(broker):
    return broker.metric("barnabas_group_coordinator_partitions")


def await_served(broker, count):
    harness.wait_until(lambda: served(broker) == count, 120,
                       f"{count} partitions of groups")
    assert broker.metric(
        "barnabas_group_coordinator_partitions_loading") == 0


@pytest.mark.ours
def test_partitions_are_loaded_where_they_are_led(make_broker):
    broker = make_broker(zookeeper_session_timeout_ms=3000).start()
    assert served(broker) == 0
    found(broker)
    await_served(broker, 50)
    loads = "barnabas_group_coordinator_loads_total"
    harness.wait_until(lambda: broker.metric(loads) >= 50, what="all is told")
    assert broker.metric(loads) == 50
    broker.stop()
    broker.start()
    await_served(broker, 50)
    broker.kill()
    harness.wait_until(lambda: started(broker), 120, "the broker is back")
    await_served(broker, 50)
    # a stop does not say it for each of them
    assert "no longer the group coordinator" not in broker.log()


def started(broker):
    try:
        broker.start(90)
    except AssertionError:
        broker.kill()   # the old session has not ended yet
        return False
    return True


@pytest.mark.ours
def test_a_topic_that_is_deleted_and_made_again(make_broker):
    broker = make_broker(offsets_topic_num_partitions=4).start()
    found(broker)
    await_served(broker, 4)
    for _ in range(2):
        with wire.Client(broker.address, timeout=60) as c:
            answer = c.call("DeleteTopics", 5, TopicNames=[OFFSETS],
                            TimeoutMs=30000)["Responses"][0]
            assert answer["ErrorCode"] == NONE
        await_served(broker, 0)
        found(broker)
        await_served(broker, 4)


# --- visits ------------------------------------------------------------------

PROTOCOLS = {"ProtocolType": "consumer",
             "Protocols": [{"Name": "range", "Metadata": b""}]}


def serving(make_broker, **options):
    broker = make_broker(offsets_topic_num_partitions=7, **options).start()
    found(broker)
    # Kafka: each group answers for itself
    with wire.Client(broker.address) as c:
        for n in range(40):
            harness.wait_until(
                lambda: c.call("Heartbeat", 0, GroupId=f"g{n}", GenerationId=1,
                               MemberId="x")["ErrorCode"] == UNKNOWN_MEMBER,
                what="its partition is loaded")
    return broker


UNKNOWN_MEMBER, NO_GROUP, REBALANCE = 25, 69, 27


def join(client, group, **more):
    """Sends; a member at once, before MEMBER_ID_REQUIRED."""
    return client.send("JoinGroup", 3, **{
        "GroupId": group, "SessionTimeoutMs": 60000,
        "RebalanceTimeoutMs": 60000, "MemberId": "", **PROTOCOLS, **more})


def test_many_groups_at_once(make_broker):
    broker = serving(make_broker)
    groups = [f"g{n}" for n in range(300)]
    with wire.Client(broker.address) as c:
        for n in range(40):
            answer = c.call("OffsetCommit", 2, GroupId=f"g{n}", MemberId="",
                            GenerationIdOrMemberEpoch=-1, Topics=[])
            assert answer["Topics"] == []
        answers = c.call("DescribeGroups", 5, Groups=groups)["Groups"]
        assert [a["GroupId"] for a in answers] == groups
        assert {a["GroupState"] for a in answers[40:]} == {"Dead"}
        answers = c.call("DeleteGroups", 2,
                         GroupsNames=groups[40:])["Results"]
        assert sorted(a["GroupId"] for a in answers) == sorted(groups[40:])
        assert {a["ErrorCode"] for a in answers} == {NO_GROUP}
        assert c.call("DescribeGroups", 5, Groups=[])["Groups"] == []


def test_a_client_that_leaves_while_it_joins(make_broker):
    """It stays a member until its session ends."""
    broker = serving(make_broker,
                     group_initial_rebalance_delay_ms=6000)
    with wire.Client(broker.address) as gone:
        join(gone, "g")
    harness.wait_until(lambda: group_state(broker, "g") ==
                       "PreparingRebalance", what="the member joins")
    with wire.Client(broker.address) as c:
        answer = c.receive(join(c, "g"))
        assert answer["ErrorCode"] == NONE
        assert answer["Leader"] != answer["MemberId"]
        assert answer["Members"] == []
        members = c.call("DescribeGroups", 5, Groups=["g"])["Groups"][0][
            "Members"]
        assert len(members) == 2
        assert {m["ClientHost"] for m in members} == {"/127.0.0.1"}
        assert {m["ClientId"] for m in members} == {"raw"}


def group_state(broker, group):
    with wire.Client(broker.address) as c:
        return c.call("DescribeGroups", 5,
                      Groups=[group])["Groups"][0]["GroupState"]


def test_a_connection_waits_while_it_joins(make_broker):
    """Its next request is taken up after the answer, as with Kafka."""
    broker = serving(make_broker,
                     group_initial_rebalance_delay_ms=1000)
    with wire.Client(broker.address) as c:
        joining = join(c, "g")
        asking = c.send("DescribeGroups", 5, Groups=["g"])
        assert c.receive(joining)["ErrorCode"] == NONE
        assert c.receive(asking)["Groups"][0]["GroupState"] == \
            "CompletingRebalance"


@pytest.mark.ours
def test_a_stop_with_members_that_wait(make_broker):
    broker = serving(make_broker,
                     group_initial_rebalance_delay_ms=600000)
    clients = [wire.Client(broker.address) for _ in range(20)]
    for n, c in enumerate(clients):
        join(c, f"g{n}")
    for n in range(20):
        harness.wait_until(lambda: group_state(broker, f"g{n}") ==
                           "PreparingRebalance", what="members that join")
    broker.stop()
    for c in clients:
        c.close()
    assert "the stop waits" not in broker.log()
    assert "CHECK" not in broker.log()
