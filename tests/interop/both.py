# SPDX-License-Identifier: Apache-2.0
"""Kafka's tool and ours, run with the same arguments on the same broker."""

import os

import harness
import real_kafka

# Each change has a short run, each night a whole one.
SHORT = "BARNABAS_SHORT" in os.environ
# Whose broker it is.  What passes on Kafka's is a fair test; in a short run
# that is taken as known.
SIDES = ("barnabas",) if SHORT else ("kafka", "barnabas")


def kind_of(side):
    """What a factory takes."""
    return real_kafka.RealKafka if side == "kafka" else harness.Broker


class Both:
    """Runs Kafka's tool and ours with the same arguments."""

    def __init__(self, java, broker, command, kafka_name):
        self.java, self.broker = java, broker
        self.command, self.kafka_name = command, kafka_name

    def kafka(self, *arguments):
        return self.java.run(self.kafka_name, "--bootstrap-server",
                             self.broker.address, *arguments)

    def ours(self, *arguments):
        done = harness.tool(self.broker, self.command, *arguments,
                            check=False)
        return done.returncode, done.stdout

    def same(self, *arguments, ordered=True):
        """What both print."""
        theirs, ours = self.kafka(*arguments), self.ours(*arguments)
        if not ordered:
            theirs, ours = [(status, sorted(out.splitlines()))
                            for status, out in (theirs, ours)]
        assert ours == theirs
        assert ours[0] == 0
        return ours[1]

    def both_fail(self, *arguments):
        assert self.kafka(*arguments)[0] == 1
        assert self.ours(*arguments) == (1, b"")

    def described(self, *entity):
        """What kafka-configs says of an entity."""
        return self.java.run("kafka-configs", "--bootstrap-server",
                             self.broker.address, "--describe", *entity)
