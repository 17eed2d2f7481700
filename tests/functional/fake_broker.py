# SPDX-License-Identifier: Apache-2.0
"""A broker that only takes the controller's orders, and notes them: what the
controller tells is seen here on the wire."""

import contextlib
import json
import socket
import struct
import threading

import harness
import wire


class FakeBroker:
    """Listens at `address`; registered in ZooKeeper, that of `broker`, as
    broker_id from start() until stop().
    `orders` are (api, version, body) in the order in which they came;
    `stop_errors` answers StopReplica: {(topic, partition): error}, and
    `lead_errors` LeaderAndIsr: {(topic, leader epoch): error}.  Nothing is
    answered while `hold` is not set; `busy` are the links that wait for an
    answer."""

    def __init__(self, broker, broker_id):
        self.broker_id = broker_id
        self.connect = broker and broker.options["zookeeper.connect"]
        self.orders, self.stop_errors = [], {}
        self.links, self.busy = [], set()
        self.lead_errors = {}
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.zk = None
        self.epoch = -1
        self.hold = threading.Event()
        self.hold.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.close()

    def start(self):
        self.zk = harness.connect_zk(self.connect)
        path = f"/brokers/ids/{self.broker_id}"
        self.zk.create(path, json.dumps({
            "version": 5, "host": "127.0.0.1", "port": self.port,
            "jmx_port": -1, "timestamp": "1", "features": {},
            "endpoints": [f"PLAINTEXT://127.0.0.1:{self.port}"],
            "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
        }).encode(), ephemeral=True)
        self.epoch = self.zk.get(path)[1].czxid
        return self

    def close(self):
        """Nobody connects any more."""
        self.server.close()

    def stop(self):
        """Its node goes at once."""
        if self.zk is not None:
            self.zk.end()
            self.zk = None

    def cut(self):
        """All connections end."""
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,),
                             daemon=True).start()

    def _serve(self, link):
        self.links.append(link)
        with link:
            while True:
                try:
                    data = self._frame(link)
                except OSError:
                    return
                if data is None:
                    return
                self.busy.add(link)
                try:
                    answer = self._answer(data)
                    # what it does not do, such as a Fetch: it hangs up
                    if answer is None:
                        return
                    link.sendall(wire.frame(answer))
                except OSError:
                    return
                finally:
                    self.busy.discard(link)

    @staticmethod
    def _frame(link):
        def exactly(n):
            out = b""
            while len(out) < n:
                got = link.recv(n - len(out))
                if not got:
                    return None
                out += got
            return out
        size = exactly(4)
        return None if size is None else exactly(struct.unpack(">i", size)[0])

    def _answer(self, data):
        r = wire.Reader(data)
        key, version, correlation = (r.number("h"), r.number("h"),
                                     r.number("i"))
        r.take(max(r.number("h"), 0))
        name = wire.NAMES[key]
        if not hasattr(self, "_" + name):
            return None
        flexible = version in wire.REQUESTS[name].flexible
        if flexible:
            assert r.uvarint() == 0
        body = wire.decode(wire.REQUESTS[name], version, r)
        self.orders.append((name, version, body))
        self.hold.wait()
        tags = b"\0" if flexible and name != "ApiVersions" else b""  # KIP-511
        return (struct.pack(">i", correlation) + tags
                + wire.encode(wire.RESPONSES[name], version,
                              getattr(self, "_" + name)(body)))

    def _ApiVersions(self, body):
        """What it answers, in every version."""
        return {"ErrorCode": 0, "ApiKeys": [
            {"ApiKey": key, "MinVersion": min(wire.REQUESTS[name].valid),
             "MaxVersion": max(wire.REQUESTS[name].valid)}
            for key, name in wire.NAMES.items() if hasattr(self, "_" + name)]}

    def _Metadata(self, body):
        return {"Brokers": [{"NodeId": self.broker_id, "Host": "127.0.0.1",
                             "Port": self.port}],
                "ControllerId": self.broker_id, "Topics": []}

    def _LeaderAndIsr(self, body):
        return {"ErrorCode": 0, "Topics": [
            {"TopicId": t["TopicId"], "PartitionErrors": [
                {"PartitionIndex": p["PartitionIndex"],
                 "ErrorCode": self.lead_errors.get(
                     (t["TopicName"], p["LeaderEpoch"]), 0)}
                for p in t["PartitionStates"]]}
            for t in body["TopicStates"]]}

    @staticmethod
    def _UpdateMetadata(body):
        return {"ErrorCode": 0}

    def _StopReplica(self, body):
        return {"ErrorCode": 0, "PartitionErrors": [
            {"TopicName": t["TopicName"],
             "PartitionIndex": p["PartitionIndex"],
             "ErrorCode": self.stop_errors.get(
                 (t["TopicName"], p["PartitionIndex"]), 0)}
            for t in body["TopicStates"] for p in t["PartitionStates"]]}

    def wait_known(self):
        """Until the controller gives it orders, as of its present node."""
        harness.wait_until(
            lambda: any(body.get("BrokerEpoch") == self.epoch
                        for _, _, body in list(self.orders)),
            what="an order")

    def told(self, name, topic):
        """[(index of the order, partition's state)] of a topic."""
        return [(i, p) for i, (api, _, body) in enumerate(list(self.orders))
                if api == name for t in body["TopicStates"]
                if t["TopicName"] == topic for p in t["PartitionStates"]]

    def wait_told(self, name, topic, count=1):
        return harness.wait_until(
            lambda: (lambda got: len(got) >= count and got)(
                self.told(name, topic)),
            what=f"{name} of {topic}")
