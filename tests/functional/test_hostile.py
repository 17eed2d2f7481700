# SPDX-License-Identifier: Apache-2.0
"""Peers that send what is wrong, too slowly, too much, or read nothing: the
connection closes or an error comes, a counter moves, memory stays bounded, and
a well-behaved client beside them notices nothing."""

import random
import socket
import struct
import threading
import time
import uuid

import pytest

import harness
import wire
from harness import CLOSED, counted
from wire import batch

MALFORMED, UNSUPPORTED, OVERSIZED = "malformed", "unsupported", "oversized"


@pytest.fixture
def client(shared_broker):
    with wire.Client(shared_broker.address) as c:
        yield c


@pytest.fixture(scope="module")
def bystander(shared_broker):
    with harness.Bystander(shared_broker) as b:
        yield b


def header(key, version, flexible=False, client_id="x"):
    return wire.request_header(key, version, 7, client_id, flexible)


# --- frames that are wrong by themselves -------------------------------------

SIZES = {
    "negative": (struct.pack(">i", -1), MALFORMED),
    "most negative": (struct.pack(">i", -2**31), MALFORMED),
    "zero": (struct.pack(">i", 0), MALFORMED),
    "one": (struct.pack(">i", 1) + b"\0", MALFORMED),
    "shorter than a header": (struct.pack(">i", 7) + b"\0" * 7, MALFORMED),
    "one too large": (struct.pack(">i", 104857601), OVERSIZED),
    "largest": (struct.pack(">i", 2**31 - 1), OVERSIZED),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", OVERSIZED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 512,
            OVERSIZED),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", OVERSIZED),
}


@pytest.mark.parametrize("name", SIZES)
def test_wrong_size(shared_broker, bystander, client, name):
    data, reason = SIZES[name]
    if shared_broker.real and name in ("zero", "one", "shorter than a header"):
        pytest.skip("Kafka closes these too, but later")
    with counted(shared_broker, CLOSED, reason=reason):
        client.send_raw(data)
        assert client.ended()
    bystander.still_served()


HEADS = {
    "unknown API": (header(4711, 0), UNSUPPORTED),
    "negative API": (header(-1, 0), UNSUPPORTED),
    "KRaft's API": (header(53, 0), UNSUPPORTED),
    "version too new": (header(3, 13, True), UNSUPPORTED),
    "version negative": (header(3, -1), UNSUPPORTED),
    "version 32767": (header(0, 32767, True), UNSUPPORTED),
    "client id longer than the frame": (
        struct.pack(">hhih", 3, 1, 7, 1000) + b"abc", MALFORMED),
    "client id of length -2": (
        struct.pack(">hhih", 3, 1, 7, -2) + b"\0" * 20, MALFORMED),
    "no client id": (struct.pack(">hhi", 3, 1, 7), MALFORMED),
    "tags cut": (struct.pack(">hhih", 3, 9, 7, 0) + b"\x05", MALFORMED),
    "tag count huge": (
        struct.pack(">hhih", 3, 9, 7, 0) + b"\xff\xff\xff\xff\x07", MALFORMED),
    "varint too long": (
        struct.pack(">hhih", 3, 9, 7, 0) + b"\xff" * 11, MALFORMED),
}


@pytest.mark.parametrize("name", HEADS)
def test_wrong_header(shared_broker, bystander, client, name):
    frame, reason = HEADS[name]
    with counted(shared_broker, CLOSED, reason=reason):
        client.send_frame(frame)
        assert client.ended()
    bystander.still_served()


@pytest.mark.ours
@pytest.mark.parametrize("api,version", (("ConsumerGroupHeartbeat", 0),
                                         ("Envelope", 0)))
def test_not_served_yet(shared_broker, client, api, version):
    """What ApiVersions does not name closes the connection."""
    with counted(shared_broker, CLOSED, reason=UNSUPPORTED):
        client.send(api, version)
        assert client.ended()


# --- bodies ------------------------------------------------------------------

def huge(key, version, before=b"", flexible=False):
    count = b"\xff\xff\xff\xff\x0f" if flexible else struct.pack(
        ">i", 0x7fffffff)
    return header(key, version, flexible) + before + count + b"\0" * 16


BODIES = {
    "no body": header(3, 1),
    "array count huge": huge(3, 1),
    "array count huge, compact": huge(3, 9, flexible=True),
    "array count -2": header(3, 1) + struct.pack(">i", -2),
    "array count one too many": header(3, 1) + struct.pack(
        ">ih", 2, 1) + b"a",
    "string longer than the frame": header(3, 1) + struct.pack(
        ">ih", 1, 30000) + b"a",
    "string of length -2": header(3, 1) + struct.pack(">ih", 1, -2),
    "Produce: topics huge": huge(0, 3, struct.pack(">hhi", -1, -1, 1000)),
    "Produce: partitions huge": huge(0, 3, struct.pack(
        ">hhiih", -1, -1, 1000, 1, 1) + b"t"),
    "Produce: records longer than the frame": header(0, 3) + struct.pack(
        ">hhiih", -1, -1, 1000, 1, 1) + b"t" + struct.pack(
            ">iii", 1, 0, 0x7ffffff0),
    "Produce: records of length -2": header(0, 3) + struct.pack(
        ">hhiih", -1, -1, 1000, 1, 1) + b"t" + struct.pack(">iii", 1, 0, -2),
    "Fetch: topics huge": huge(1, 4, struct.pack(">iiiib", -1, 0, 0, 0, 0)),
    "Fetch: forgotten huge": huge(1, 7, struct.pack(
        ">iiiibiii", -1, 0, 0, 0, 0, 0, -1, 0)),
    "ListOffsets: cut": wire.request_frame(
        "ListOffsets", 5, ReplicaId=-1, Topics=[{"Name": "t", "Partitions": [
            {"PartitionIndex": 0, "Timestamp": -1}]}])[:-3],
    "CreateTopics: topics huge": huge(19, 2),
    "CreateTopics: null configs' names": header(19, 5, True) + b"\x02\x02t" +
    b"\0" * 30,
    "a tag's size beyond the frame": header(3, 9, True) +
    b"\x01\x01\x00\x00\x01\x05\x7f",
    "deep in tags": header(1, 12, True) + b"\xff" * 64,
}


@pytest.mark.parametrize("name", BODIES)
def test_wrong_body(shared_broker, bystander, client, name):
    with counted(shared_broker, CLOSED, reason=MALFORMED):
        client.send_frame(BODIES[name])
        assert client.ended()
    bystander.still_served()


@pytest.mark.parametrize("name,version", (
    ("Metadata", 12), ("Produce", 9), ("Fetch", 12), ("ListOffsets", 7),
    ("CreateTopics", 5), ("InitProducerId", 4), ("DescribeConfigs", 4),
    ("FindCoordinator", 4)))
def test_every_cut(shared_broker, bystander, name, version):
    """A right request, cut at each byte: the end, never an answer of half."""
    values = {
        "Metadata": {"Topics": [{"Name": "bystander"}]},
        "Produce": {"Acks": -1, "TimeoutMs": 1000, "TopicData": [
            {"Name": "no-such", "PartitionData": [
                {"Index": 0, "Records": batch([b"x"])}]}]},
        "Fetch": wire.fetch_request("no-such", 0),
        "ListOffsets": {"Topics": [{"Name": "no-such", "Partitions": [
            {"Timestamp": -1}]}]},
        "CreateTopics": {"Topics": [], "timeoutMs": 1000},
        "DescribeConfigs": {"Resources": [
            {"ResourceType": 4, "ResourceName": "0"}]},
        "FindCoordinator": {"CoordinatorKeys": ["a", "b"]},
    }.get(name, {})
    whole = wire.request_frame(name, version, **values)
    step = 7 if harness.sanitized() else 1
    for cut in range(8, len(whole), step):
        with wire.Client(shared_broker.address) as c:
            c.send_frame(whole[:cut])
            assert c.ended(), cut
    bystander.still_served()


def test_bytes_after_the_body(shared_broker, bystander, client):
    """Too long a frame: an error or an answer, and not taken for the next
    request."""
    frame = wire.request_frame("Metadata", 1, Topics=[]) + b"\0" * 100
    client.send_frame(frame)
    try:
        client.receive_frame()
        client.call("ApiVersions", 0)
    except wire.Closed:
        pass
    bystander.still_served()


def random_request(rng):
    key = rng.choice(list(wire.NAMES))
    schema = wire.REQUESTS[wire.NAMES[key]]
    version = rng.choice(list(schema.valid))
    kind = rng.random()
    if kind < 0.3:
        body = rng.randbytes(rng.randrange(200))
    else:
        body = bytearray(wire.encode(schema, version, {}))
        for _ in range(rng.randrange(1, 4)):
            if body:
                body[rng.randrange(len(body))] = rng.choice(
                    (0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        body = bytes(body) + rng.randbytes(rng.randrange(40))
    return header(key, version, version in schema.flexible) + body


# Sent by the controller alone; believing a stranger is what every broker
# without authorization does, and would end the other tests of this file.
POWERFUL = {"LeaderAndIsr", "StopReplica", "UpdateMetadata",
            "ControlledShutdown", "CreateTopics", "DeleteTopics"}


@pytest.mark.ours
def test_random_bytes(shared_broker, bystander):
    rng = random.Random(3)
    before = shared_broker.memory_kib()
    for n in range(300 if harness.sanitized() else 1500):
        with wire.Client(shared_broker.address) as c:
            try:
                if n % 3 == 0:
                    c.send_raw(rng.randbytes(rng.randrange(1, 300)))
                else:
                    request = random_request(rng)
                    while wire.NAMES.get(struct.unpack_from(
                            ">h", request)[0]) in POWERFUL:
                        request = random_request(rng)
                    c.send_frame(request)
                c.socket.shutdown(socket.SHUT_WR)
                c.socket.settimeout(5)
                while c.socket.recv(65536):
                    pass
            except (wire.Closed, OSError):
                pass
    bystander.still_served()
    if not harness.sanitized():
        assert shared_broker.memory_kib() - before < 64 << 10


# --- announced and not sent --------------------------------------------------

@pytest.mark.ours
def test_announced_sizes_cost_nothing(shared_broker, bystander):
    """100 peers announce 100 MiB each, send a little, and wait."""
    clients = [wire.Client(shared_broker.address) for _ in range(100)]
    before = shared_broker.memory_kib()
    for c in clients:
        c.send_raw(struct.pack(">i", 100 << 20) + header(0, 3) + b"\0" * 100)
    bystander.still_served(10)
    if not harness.sanitized():
        assert shared_broker.memory_kib() - before < 64 << 10
    for c in clients:
        c.close()
    bystander.still_served()


@pytest.mark.ours
def test_large_frames_are_bounded(make_broker):
    """20 peers send 4 MiB of a 16 MiB request each and stop; the bound is 8
    MiB beside one request."""
    broker = make_broker(barnabas_network_buffer_bytes=8 << 20).start()
    with harness.Bystander(broker) as by:
        before = broker.memory_kib()
        clients = [wire.Client(broker.address) for _ in range(20)]
        for c in clients:
            c.socket.setblocking(False)
            c.left = struct.pack(">i", 16 << 20) + header(0, 3) + \
                b"\0" * (4 << 20)

        def push():
            for c in clients:
                try:
                    c.left = c.left[c.socket.send(c.left[:1 << 18]):]
                except (BlockingIOError, ConnectionError):
                    pass
            return broker.metric(
                "kafka_network_socketserver_memorypoolwaits_total") > 0
        harness.wait_until(push, what="some wait for memory")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            push()
        if not harness.sanitized():
            assert broker.memory_kib() - before < (8 + 16 + 24) << 10
        by.still_served(10)
        assert broker.metric(
            "kafka_network_socketserver_memorypoolused") > 1 << 20
        for c in clients:
            c.close()
        by.still_served()
    harness.wait_until(lambda: broker.metric(
        "kafka_network_socketserver_memorypoolused") == 0,
        what="the memory of frames came back")


# --- slow and silent peers ---------------------------------------------------

def test_one_byte_a_time(shared_broker, bystander, client):
    """As slow as it pleases; the request is right, so it is answered."""
    frame = wire.frame(wire.request_frame("Metadata", 9, 1, Topics=[]))
    for byte in frame:
        client.send_raw(bytes([byte]))
        time.sleep(0.02)
    assert client.receive_frame()
    bystander.still_served()


def test_one_byte_a_second(shared_broker, bystander, client):
    """Beside it, others are served as ever."""
    frame = wire.frame(wire.request_frame("ApiVersions", 0, 1))
    for byte in frame[:6]:
        client.send_raw(bytes([byte]))
        bystander.still_served()
        time.sleep(1)
    client.send_raw(frame[6:])
    assert client.receive_frame()


def test_many_slow_frames(shared_broker, bystander):
    """Hundreds of peers in the middle of a frame."""
    count = 100 if harness.sanitized() else 500
    clients = [wire.Client(shared_broker.address) for _ in range(count)]
    frame = wire.frame(wire.request_frame("Metadata", 9, 1, Topics=[]))
    for at in range(0, len(frame) - 1, 5):
        for c in clients:
            c.send_raw(frame[at:min(at + 5, len(frame) - 1)])
    bystander.still_served(10)
    for c in clients:
        c.send_raw(frame[-1:])
    for c in clients:
        assert c.receive_frame()
        c.close()


@pytest.mark.ours
@pytest.mark.slow
def test_stuck_frame_under_pressure(make_broker):
    """Who holds memory and sends nothing, while others wait for memory, is
    closed as slow."""
    broker = make_broker(barnabas_network_buffer_bytes=1 << 20).start()
    with counted(broker, CLOSED, seconds=60, reason="slow"):
        clients = [wire.Client(broker.address) for _ in range(4)]
        for c in clients:
            c.socket.setblocking(False)
            data = struct.pack(">i", 8 << 20) + header(0, 3) + b"\0" * (2 << 20)
            while data:
                try:
                    data = data[c.socket.send(data):]
                except BlockingIOError:
                    if not broker.metric("kafka_network_socketserver"
                                         "_memorypoolwaits_total"):
                        time.sleep(0.02)
                        continue
                    break
    for c in clients:
        c.close()


@pytest.mark.ours
def test_never_reads_while_fetching(shared_broker, bystander):
    """Asks for 64 MiB a hundred times and reads nothing."""
    name = f"big-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name)
    with wire.Client(shared_broker.address) as c:
        for _ in range(16):
            part = wire.produce(c, name, batch([], payload=wire.record(
                b"\0" * 1000000), count=1, last_offset_delta=0))
            assert part["ErrorCode"] == 0
    before = shared_broker.memory_kib()
    clients = [wire.Client(shared_broker.address, receive_buffer=4096)
               for _ in range(30)]
    for c in clients:
        c.socket.settimeout(0.2)
        try:
            for _ in range(100):
                c.send("Fetch", 12, **wire.fetch_request(name, 0))
        except (TimeoutError, wire.Closed):
            pass
    bystander.still_served(10)
    if not harness.sanitized():
        assert shared_broker.memory_kib() - before < 64 << 10
    # one of them reads after all and gets what it asked for
    c = clients[0]
    c.socket.settimeout(60)
    part = c.receive(1)["Responses"][0]["Partitions"][0]
    assert len(wire.batches(part["Records"])) == 16
    for c in clients:
        c.close()
    bystander.still_served()


@pytest.mark.ours
def test_never_reads_small_answers(shared_broker, bystander):
    """Sends requests for ever and reads no answer: it is not read any more."""
    before = shared_broker.memory_kib()
    c = wire.Client(shared_broker.address, receive_buffer=4096)
    c.socket.settimeout(1)
    frame = wire.frame(wire.request_frame("ApiVersions", 0, 1)) * 1000
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 28:
            sent += c.socket.send(frame)
    bystander.still_served(10)
    if not harness.sanitized():
        assert shared_broker.memory_kib() - before < 32 << 10
    c.close()


@pytest.mark.ours
def test_never_reads_while_producing(shared_broker, bystander):
    name = f"flood-{time.monotonic_ns()}"
    harness.create_topic(shared_broker, name)
    before = shared_broker.memory_kib()
    c = wire.Client(shared_broker.address, receive_buffer=4096)
    c.socket.settimeout(1)
    frame = wire.frame(wire.request_frame(
        "Produce", 9, 1, Acks=-1, TimeoutMs=1000, TopicData=[
            {"Name": name, "PartitionData": [
                {"Index": 0, "Records": batch([b"x"])}]}])) * 500
    sent = 0
    try:
        while sent < 40 << 20:
            sent += c.socket.send(frame)
    except TimeoutError:
        pass
    bystander.still_served(10)
    if not harness.sanitized():
        assert shared_broker.memory_kib() - before < 64 << 10
    c.close()


# --- connections -------------------------------------------------------------

def test_half_open(shared_broker, bystander, topic):
    """Requests, then the end of sending: all are answered, then the end."""
    with wire.Client(shared_broker.address) as c:
        sent = [c.send("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=[
            {"Name": topic, "PartitionData": [
                {"Index": 0, "Records": batch([b"x"])}]}])
                for _ in range(20 if not shared_broker.real else 1)]
        if not shared_broker.real:
            c.socket.shutdown(socket.SHUT_WR)
        for s in sent:
            assert c.receive(s)["Responses"]
        if not shared_broker.real:
            assert c.ended()
    bystander.still_served()


@pytest.mark.ours
def test_idle_connections_are_closed(make_broker):
    broker = make_broker(connections_max_idle_ms=4000).start()
    harness.create_topic(broker, "t")
    with wire.Client(broker.address) as waiting:
        w = waiting.send("Fetch", 12, **wire.fetch_request(
            "t", 0, max_wait_ms=10000))
        with wire.Client(broker.address) as idle, \
                wire.Client(broker.address) as half, \
                counted(broker, CLOSED, reason="idle"):
            half.send_raw(b"\0\0")
            assert idle.ended() and half.ended()
        waiting.receive(w)  # waiting for an answer is no idleness


@pytest.mark.ours
def test_gone_while_its_fetch_waits(make_broker):
    """A peer that ended is not kept for the days that its Fetch would wait."""
    broker = make_broker(connections_max_idle_ms=1000).start()
    harness.create_topic(broker, "t")
    for _ in range(20):
        with wire.Client(broker.address) as c:
            c.send("Fetch", 12, **wire.fetch_request(
                "t", 0, max_wait_ms=0x7fffffff))
    harness.wait_until(lambda: broker.metric(
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        delayedOperation="Fetch") == 0, what="no fetch waits")
    harness.wait_until(
        lambda: broker.metric("kafka_server_socket_connection_count") <= 1,
        what="the connections are gone")


def test_many_connections(shared_broker, bystander):
    count = 300 if harness.sanitized() else 2000
    clients = []
    for _ in range(count):
        clients.append(wire.Client(shared_broker.address))
    for c in clients:
        c.send("ApiVersions", 0)
    for c in clients:
        c.receive()
    bystander.still_served(10)
    for c in clients:
        c.close()
    bystander.still_served()
    if not shared_broker.real:
        harness.wait_until(lambda: shared_broker.metric(
            "kafka_server_socket_connection_count") < 50,
            what="the connections are gone")


def test_connections_come_and_go(shared_broker, bystander):
    """Resets, and ends before a word."""
    for n in range(500):
        c = wire.Client(shared_broker.address)
        if n % 2:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
        if n % 3 == 0:
            c.send("Metadata", 9, Topics=None)
        c.close()
    bystander.still_served()


def test_limit_of_connections(make_broker):
    broker = make_broker(max_connections_per_ip=10).start()
    clients = [wire.Client(broker.address) for _ in range(10 - 2 * 1)]
    for c in clients:
        c.call("ApiVersions", 0)
    with counted(broker, CLOSED, reason="over_limit"):
        more = [wire.Client(broker.address) for _ in range(10)]

        def refused():
            n = 0
            for c in more:
                try:
                    c.call("ApiVersions", 0)
                except (wire.Closed, OSError):
                    n += 1
            return n
        assert 7 <= refused() <= 10
    for c in clients + more:
        c.close()

    def served():
        try:
            with wire.Client(broker.address) as c:
                return c.call("ApiVersions", 0)
        except (wire.Closed, OSError):
            return None
    harness.wait_until(served, what="there is room again")


@pytest.mark.ours
def test_limit_of_a_listener(make_broker):
    """Past max.connections the newcomer waits or is refused; those that are in
    stay."""
    broker = make_broker(max_connections=12).start()
    clients = [wire.Client(broker.address) for _ in range(8)]
    for c in clients:
        c.call("ApiVersions", 0)
    more = [wire.Client(broker.address) for _ in range(30)]
    for c in clients:
        c.call("ApiVersions", 0)
    assert broker.metric("kafka_server_socket_connection_count") <= 12
    for c in more:
        c.close()
    for c in clients:
        c.call("ApiVersions", 0)
        c.close()


@pytest.mark.ours
def test_descriptors_run_out(make_broker):
    """More peers than descriptors: accepting pauses, nobody inside is hurt."""
    broker = make_broker()
    limits = ["prlimit", "--nofile=100:100"]
    command = broker.command
    broker.command = lambda: limits + command()
    broker.start()
    with harness.Bystander(broker) as by:
        clients = [wire.Client(broker.address) for _ in range(200)]
        by.still_served(20)
        for c in clients:
            c.close()
        by.still_served(5)
    with wire.Client(broker.address) as c:
        c.call("ApiVersions", 0)


@pytest.mark.ours
def test_bounds_of_one_request(shared_broker, bystander, client):
    """Millions of array elements in a frame of its size: refused, not
    carried out, and the memory comes back."""
    before = shared_broker.memory_kib()
    count = 20 << 20
    try:
        client.send_raw(struct.pack(">i", len(header(3, 1)) + 4 + 2 * count))
        client.send_raw(header(3, 1) + struct.pack(">i", count))
        client.send_raw(b"\0" * (2 * count))
        client.receive_frame()
    except wire.Closed:
        pass
    bystander.still_served(5)
    if not harness.sanitized():
        harness.wait_until(
            lambda: shared_broker.memory_kib() - before < 100 << 10,
            what="the memory came back")


def test_everything_at_once(shared_broker, bystander):
    """All of the frames above, from several peers at a time."""
    frames = [data for data, _ in SIZES.values()]
    frames += [wire.frame(data) for data, _ in HEADS.values()]
    frames += [wire.frame(data) for data in BODIES.values()]
    stop = threading.Event()

    def attack(seed):
        rng = random.Random(seed)
        for _ in range(50 if harness.sanitized() else 150):
            try:
                with wire.Client(shared_broker.address, timeout=5) as c:
                    c.send_raw(rng.choice(frames))
                    if rng.random() < 0.5:
                        c.socket.recv(10)
            except (OSError, wire.Closed):
                pass
        stop.set()

    threads = [threading.Thread(target=attack, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    bystander.still_served(10)


# --- as if by a controller ---------------------------------------------------

STALE_CONTROLLER_EPOCH, INVALID_TOPIC = 11, 17


def order(client, names, epoch):
    """(the request's error, those of its partitions)"""
    answer = client.call(
        "LeaderAndIsr", 7, ControllerId=0, ControllerEpoch=epoch,
        TopicStates=[{
            "TopicName": name, "TopicId": uuid.uuid4(), "PartitionStates": [{
                "ControllerEpoch": epoch, "Leader": 0, "Isr": [0],
                "Replicas": [0], "IsNew": True}]} for name in names],
        LiveLeaders=[{"BrokerId": 0, "HostName": "127.0.0.1", "Port": 1}])
    return answer["ErrorCode"], {
        p["ErrorCode"] for t in answer["Topics"]
        for p in t["PartitionErrors"]}


@pytest.mark.ours
@pytest.mark.parametrize("names", (
    ["x" * 32000] * 500, ["", ".", "..", "a//b", "x/..", "a b"]))
def test_orders_of_bad_names(make_broker, names):
    """More of them than a request's memory holds, and such as no path may
    have; an order of no epoch does not even get ZooKeeper asked."""
    broker = make_broker(barnabas_request_memory_bytes=8 << 20).start()
    with harness.Bystander(broker) as by, wire.Client(broker.address) as c:
        assert order(c, names, 1) == (0, {INVALID_TOPIC})
        assert order(c, names + ["good"], 0) == (
            STALE_CONTROLLER_EPOCH, {STALE_CONTROLLER_EPOCH})
        assert not (broker.data / "good-0").exists()
        by.still_served()
    broker.stop()
