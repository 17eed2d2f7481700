# SPDX-License-Identifier: Apache-2.0
"""Three brokers as one, for the letters g of tests/bench/run, and what becomes
of them: `g-life` creates 1,000 partitions, rests, loses each broker in turn to
SIGKILL and the controller to SIGTERM; `g-many` has 10,000, and 20,000."""

import shutil
import time

import harness
import wire

BROKERS = 3
PARTITIONS = 1000
TOPICS, PARTITIONS_EACH = 200, 100      # the many
FEW_TOPICS = TOPICS // 2                # those of which memory is measured
TOPIC = "bench-life"
# Kafka's own session time.  Who comes back shall lead nothing by itself.
OPTIONS = {"zookeeper_session_timeout_ms": 18000,
           "offsets_topic_replication_factor": BROKERS,
           "auto_leader_rebalance_enable": "false"}


class Cluster:
    """Used as one broker is, as far as its clients can tell."""

    replicas = BROKERS

    def __init__(self, make, kind, name):
        self.label = kind.label
        self.brokers = [
            make(kind, f"{name}-{i}", chroot=f"/{name}", broker_id=i,
                 **OPTIONS)
            for i in range(BROKERS)]

    @property
    def address(self):
        return self.brokers[0].address

    @property
    def addresses(self):
        return [b.address for b in self.brokers]

    @property
    def processes(self):
        return [b.process for b in self.brokers if b.process is not None]

    def memory_kib(self, field="VmRSS"):
        return max(b.memory_kib(field) for b in self.brokers)

    def metadata(self, topics=()):
        """As the first broker tells it; None: of all topics."""
        with wire.Client(self.address) as client:
            return client.call(
                "Metadata", 7, AllowAutoTopicCreation=False,
                Topics=topics and [{"Name": name} for name in topics])

    def start(self):
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()
        harness.wait_until(
            lambda: len(self.metadata()["Brokers"]) == BROKERS,
            what="all brokers are known")
        return self

    def kill(self):
        for broker in self.brokers:
            broker.kill()

    def remove(self):
        for broker in self.brokers:
            shutil.rmtree(broker.data, ignore_errors=True)

    def others(self, broker):
        return [b for b in self.brokers if b is not broker]

    def controller(self):
        return self.brokers[self.metadata()["ControllerId"]]

    def wait_in_sync(self, topics=None):
        """Until every replica is in its partition's ISR."""
        harness.wait_until(
            lambda: all(len(p["IsrNodes"]) == len(p["ReplicaNodes"])
                        for t in self.metadata(topics)["Topics"]
                        for p in t["Partitions"]),
            300, "all replicas are in sync", pause=0.5)

    def led_without(self, lost, began, seconds_to, topic, count):
        """Seconds from `began` until others lead everything, as each says."""
        return max(seconds_to(began, "led", b.address, topic, count,
                              lost.broker_id) for b in self.others(lost))


def life(brokers, program, seconds_to, cpu_seconds, scale):
    count = max(BROKERS, PARTITIONS * scale // 100)
    row = {}
    brokers.start()
    began = time.monotonic()
    program("load", "create", brokers.address, TOPIC, count, BROKERS)
    row["1,000 led s"] = max(
        seconds_to(began, "led", address, TOPIC, count, -1)
        for address in brokers.addresses)
    brokers.wait_in_sync([TOPIC])
    time.sleep(5)
    before = cpu_seconds(brokers)
    time.sleep(10)
    row["idle CPU ms/s"] = (cpu_seconds(brokers) - before) * 100
    row["peak MiB"] = brokers.memory_kib("VmHWM") / 1024
    # The controller first: the others take over what it led, and are next.
    first = brokers.controller()
    took = []
    for lost in (first, *brokers.others(first)):
        began = time.monotonic()
        lost.kill()
        took.append(brokers.led_without(lost, began, seconds_to, TOPIC, count))
        lost.launch()
        lost.wait_ready()
        brokers.wait_in_sync([TOPIC])
    row["led after kill -9 s"] = max(took)
    lost = brokers.controller()
    began = time.monotonic()
    lost.process.terminate()
    row["led after SIGTERM s"] = brokers.led_without(
        lost, began, seconds_to, TOPIC, count)
    lost.stop()
    return row


def many(brokers, program, seconds_to, _cpu_seconds, scale):
    """10,000 partitions of three replicas for the memory; as many of two beside
    them for the death of a controller, which is over when a topic was created,
    too.  A log takes a descriptor: of three each they would not fit into the
    20,000 that many machines allow a process."""
    topics = max(2, TOPICS * scale // 100)
    count = topics * PARTITIONS_EACH
    row = {}
    brokers.start()
    for i in range(topics):
        if i == min(topics - 1, FEW_TOPICS):
            time.sleep(5)
            row["10,000 VmHWM MiB"] = brokers.memory_kib("VmHWM") / 1024
        program("load", "create", brokers.address, f"{TOPIC}-{i}",
                PARTITIONS_EACH, BROKERS - (i >= FEW_TOPICS))
    program("load", "led", brokers.address, "*", count, -1)
    brokers.wait_in_sync()
    time.sleep(5)
    lost = brokers.controller()
    began = time.monotonic()
    lost.kill()
    led = brokers.led_without(lost, began, seconds_to, "*", count)
    made = seconds_to(began, "create", brokers.others(lost)[0].address,
                      f"{TOPIC}-new", 1, BROKERS - 1)
    row["led after kill -9 s"] = max(led, made)
    row["20,000 VmHWM MiB"] = max(
        b.memory_kib("VmHWM") for b in brokers.others(lost)) / 1024
    return row
