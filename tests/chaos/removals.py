# SPDX-License-Identifier: Apache-2.0
"""Who moves replicas and who wipes brokers must not take one partition's last
record together."""

import contextlib
import threading


class Removals:
    """Whether replicas may be taken out of partitions."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stopped = self.unanswered = False

    @contextlib.contextmanager
    def asked(self):
        """Around such a request and its answer; whether it may be sent."""
        with self.lock:
            if self.stopped:
                yield False
                return
            self.unanswered = True
            yield True
            self.unanswered = False

    def stop(self):
        """None is asked for from now on; whether all were answered, so that
        nothing begins but what ZooKeeper has."""
        with self.lock:
            self.stopped = True
            return not self.unanswered

    def go_on(self):
        with self.lock:
            self.stopped = self.unanswered = False
