#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One member of a group, by librdkafka or kafka-python, until SIGTERM:

    member.py LIBRARY ADDRESS TOPIC GROUP STRATEGY SESSION_MS

It prints what test_groups.py reads (see members.py), and commits only what it
has printed."""

import signal
import sys
import time

HEARTBEAT_MS, COMMIT_SECONDS = 1000, 0.5
over = False


def end(*_):
    global over
    over = True


def now():
    return int(time.time() * 1000)


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def partitions(kind, these):
    say(kind, now(), ",".join(str(p.partition) for p in these))
    sys.stdout.flush()


def librdkafka(address, topic, group, strategy, session_ms):
    import confluent_kafka
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": address, "group.id": group,
        "partition.assignment.strategy": strategy,
        "debug": "cgrp,protocol",   # to be read when it does not end
        "auto.offset.reset": "earliest", "session.timeout.ms": int(session_ms),
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "enable.auto.offset.store": False,
        "auto.commit.interval.ms": int(COMMIT_SECONDS * 1000)})
    consumer.subscribe([topic],
                       on_assign=lambda _, these: partitions("A", these),
                       on_revoke=lambda _, these: partitions("R", these))
    while not over:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            say("E", now(), message.error())
            continue
        say("r", now(), message.partition(), message.offset())
        sys.stdout.flush()
        try:
            consumer.store_offsets(message)
        except confluent_kafka.KafkaException as e:
            say("E", now(), e)
    print("closes", now(), file=sys.stderr, flush=True)
    consumer.close()
    print("closed", now(), file=sys.stderr, flush=True)


def kafka_python(address, topic, group, strategy, session_ms):
    import kafka
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import (
        RoundRobinPartitionAssignor)

    class Listener(kafka.ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            if revoked:
                commit()
            partitions("R", revoked)

        def on_partitions_assigned(self, assigned):
            partitions("A", assigned)

    def commit():
        try:
            consumer.commit()
        except kafka.errors.KafkaError as e:
            say("E", now(), type(e).__name__)

    assignor = {"range": RangePartitionAssignor,
                "roundrobin": RoundRobinPartitionAssignor}[strategy]
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=address, group_id=group,
        auto_offset_reset="earliest", session_timeout_ms=int(session_ms),
        heartbeat_interval_ms=HEARTBEAT_MS, enable_auto_commit=False,
        api_version=(2, 5, 0), partition_assignment_strategy=[assignor])
    consumer.subscribe([topic], listener=Listener())
    last = time.monotonic()
    while not over:
        for records in consumer.poll(200).values():
            for r in records:
                say("r", now(), r.partition, r.offset)
        sys.stdout.flush()
        if time.monotonic() - last > COMMIT_SECONDS:
            commit()
            last = time.monotonic()
    commit()
    consumer.close(autocommit=False)


signal.signal(signal.SIGTERM, end)
{"librdkafka": librdkafka, "kafka-python": kafka_python}[sys.argv[1]](
    *sys.argv[2:])
