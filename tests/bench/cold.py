# SPDX-License-Identifier: Apache-2.0
"""The workload `cold` of tests/bench/run: one record a request on one
connection, alone, and beside a consumer whose records were all taken out of
the kernel's memory.  What counts is how much later the answers come."""

import os
import pathlib
import subprocess
import threading

OLD_BATCHES = 2000      # of 900 records of 1 KiB
REQUESTS = 100000
WRITTEN_BYTES = OLD_BATCHES * 900 * 1024


def evict(broker, topic):
    for path in broker.log_files(topic):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes(broker):
    """What the broker's process had read from a disk."""
    told = pathlib.Path(f"/proc/{broker.process.pid}/io").read_text()
    return int(told.split("\nread_bytes: ")[1].split("\n")[0])


class Consumer(threading.Thread):
    """Reads all of the topic, cold each time, until it is stopped."""

    def __init__(self, program, broker, topic):
        super().__init__()
        self.command = [str(program), "fetch", broker.address, topic]
        self.broker, self.topic = broker, topic
        self.stopping = False
        self.process = None

    def run(self):
        while not self.stopping:
            evict(self.broker, self.topic)
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE)
            self.process.communicate()

    def stop(self):
        self.stopping = True
        if self.process is not None:
            self.process.terminate()
        self.join()


def run(broker, load, program, rep, scale):
    """One row; load(command, topic, ...) runs tests/bench/load to its end."""
    requests = max(1, REQUESTS * scale // 100)
    old = "bench-cold-old"
    if rep == 0:
        load("create", old, 1, 1)
        load("led", old, 1, -1)
        load("produce", old, 1, 1, 5, 1024, 900,
             max(1, OLD_BATCHES * scale // 100))
    row = {}
    for name in ("alone", "beside"):
        topic = f"bench-cold-{name}-{rep}"
        load("create", topic, 1, 1)
        load("led", topic, 1, -1)
        consumer = Consumer(program, broker, old)
        before = disk_bytes(broker)
        if name == "beside":
            consumer.start()
        try:
            got = load("produce", topic, 1, 1, 1, 100, 1, requests)
        finally:
            if name == "beside":
                consumer.stop()
        row[f"{name} p99 ms"] = got["p99"]
    row["p99 beside / alone"] = row["beside p99 ms"] / row["alone p99 ms"]
    row["MB from the disk"] = (disk_bytes(broker) - before) / 1e6
    return row
