# SPDX-License-Identifier: Apache-2.0
"""The workload `compact` of tests/bench/run: a GiB of records of 1 KiB with
100,000 keys in turn, written to a topic that is then said to be compacted."""

import random
import re
import time

import harness
import wire

RECORDS = 1 << 20
KEYS = 100000
TOPIC = "bench-compact"
OPTIONS = {"log_cleaner_backoff_ms": 1000,
           "log_initial_task_delay_ms": 1000}
DONE = re.compile(rf"cleaned log {TOPIC}-0 |"
                  rf"partition={TOPIC}-0 compacted dirty")


def write(broker, count):
    import confluent_kafka
    producer = confluent_kafka.Producer({
        "bootstrap.servers": broker.address, "linger.ms": 20,
        "batch.size": 131072, "queue.buffering.max.messages": 100000})
    order = random.Random(1)
    value = order.randbytes(1000)
    for _ in range(count):
        key = b"key-%d" % order.randrange(KEYS)
        while True:
            try:
                producer.produce(TOPIC, value, key, 0)
                break
            except BufferError:
                producer.poll(1)
    assert producer.flush(300) == 0


def size(broker):
    return sum(p.stat().st_size for p in broker.log_files(TOPIC))


def run(broker, cpu_seconds, scale):
    """One row, of a broker that was started."""
    harness.create_topic(broker, TOPIC, segment_bytes=64 << 20,
                         retention_ms=-1)
    harness.wait_topic(broker, TOPIC)
    write(broker, max(KEYS, RECORDS * scale // 100))
    time.sleep(3)
    gib = size(broker) / (1 << 30)
    before = broker.memory_kib() / 1024
    cpu, began = cpu_seconds(broker), time.monotonic()
    with wire.Client(broker.address) as c:
        told = c.call("IncrementalAlterConfigs", 1, ValidateOnly=False,
                      Resources=[{
                          "ResourceType": 2, "ResourceName": TOPIC,
                          "Configs": [{"Name": "cleanup.policy",
                                       "ConfigOperation": 0,
                                       "Value": "compact"}]}])
    assert told["Responses"][0]["ErrorCode"] == 0, told
    harness.wait_until(lambda: DONE.search(broker.log()), 600, "compacted",
                       pause=0.2)
    row = {"MiB before": before, "CPU s/GiB": (cpu_seconds(broker) - cpu) / gib,
           "seconds": time.monotonic() - began,
           "peak MiB": broker.memory_kib("VmHWM") / 1024}
    time.sleep(2)
    row["MiB afterwards"] = broker.memory_kib() / 1024
    row["left MB"] = size(broker) / 1e6
    return row
