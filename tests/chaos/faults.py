# SPDX-License-Identifier: Apache-2.0
"""What is done to a cluster.  A fault begins, lasts, and ends: what was stopped
goes on, what was cut is mended, what was killed starts again.  Who is struck is
chosen by what he is at the moment."""

import contextlib
import json
import time

import cluster as clusters
import harness
import net

ROLES = ("leader", "follower", "controller", "coordinator", "any")
LONGEST = 6  # seconds of a fault that does not need longer
HOUR = 3600


def keeps_somebody(states, assignments, away):
    """Whether each partition's ISR has somebody who is not away, and whom no
    move that is under way takes out of it or, called off, out again."""
    return all(set(state["isr"]) & (
        set(assignments[where].stays) if where in assignments
        else set(state["isr"])) - away for where, state in states.items())


class Fault:
    """role: who is struck; a fault strikes one broker, or none."""

    # whether it did what it is for; where that is not known, it is believed
    took = True

    on_broker = True
    alone = False  # nothing else can be done meanwhile
    ours_alone = False
    needs_replicas = False

    def __init__(self, cluster, rng, struck):
        """struck: brokers that another fault has under way, or will have;
        they are left alone where it would undo this one."""
        self.cluster, self.rng, self.struck = cluster, rng, struck
        self.role = rng.choice(ROLES)
        self.seconds = rng.uniform(0.5, LONGEST)
        self.where = ""
        self.broker = self._choose(struck) if self.on_broker else None

    def __str__(self):
        who = "" if self.broker is None else (
            f" broker {self.broker.broker_id} ({self.role})")
        return f"{type(self).__name__}{who}{self.where} {self.seconds:.1f} s"

    @classmethod
    def possible(cls, cluster):
        """Whether it can be made here, or why not."""
        if cls.ours_alone and any(b.real for b in cluster.brokers):
            return "barnabasd alone"
        if cls.needs_replicas and cluster.factor < 3:
            return "three replicas are needed"
        return None

    def _choose(self, struck):
        free = [b for b in self.cluster.brokers if b not in struck]
        first = self._by_role()
        # the choice is made in any case: a seed has the same ones each time
        other = self.rng.choice(free)
        return first if first in free else other

    def _by_role(self):
        topics = sorted(self.cluster.topics.items())
        topic, count = self.rng.choice(topics)
        partition = self.rng.randrange(count)
        turn = self.rng.randrange(self.cluster.factor)
        n = None
        with contextlib.suppress(*clusters.UNAVAILABLE):
            if self.role == "controller":
                n = self.cluster.controller()
            elif self.role != "any":
                if self.role == "coordinator":
                    topic, partition = clusters.OFFSETS, partition % 3
                state = self.cluster.states()[topic, partition]
                n = state["leader"]
                if self.role == "follower":
                    others = [b for b in state["isr"] if b != n]
                    n = others[turn % len(others)] if others else None
        return None if n is None or n < 0 else self.cluster.brokers[n]

    @property
    def host(self):
        return self.broker.place

    @property
    def peers(self):
        return [b.place for b in self.cluster.brokers if b is not self.broker]

    def begin(self):
        raise NotImplementedError

    def end(self):
        pass


# --- processes ---------------------------------------------------------------

class Kill(Fault):
    """kill -9, and a new start."""

    def begin(self):
        self.broker.kill()

    def end(self):
        self.broker.launch()


class Stop(Fault):
    """SIGTERM: leadership is handed over, if that can be."""

    def begin(self):
        self.broker.process.terminate()

    def end(self):
        harness.wait_until(lambda: not self.broker.alive(),
                           what="it stops")
        status = self.broker.process.returncode
        assert self.broker.real or status == 0, (
            f"broker {self.broker.broker_id} stopped with {status}:\n"
            + self.broker.log()[-4000:])
        self.broker.launch()


class Sleep(Fault):
    """SIGSTOP for less than a session, or more; then it goes on, and may
    believe what is true no longer."""

    def begin(self):
        if self.rng.random() < 0.5:
            self.seconds = clusters.SESSION_MS / 1000 + 2 + self.seconds / 2
        self.broker.suspend()

    def end(self):
        self.broker.resume()


class Wipe(Fault):
    """kill -9, and what starts again has an empty directory; but for who may
    be the last that has something, or whom another fault leaves to lead: a
    controller takes who is away out of the ISR, and what is left of it would
    have nothing."""

    needs_replicas = True
    took = False

    def begin(self):
        self.broker.kill()

    def end(self):
        away = {b.broker_id for b in self.struck} | {self.broker.broker_id}
        # until all is healed nobody is taken out of a partition: he may be
        # who was counted on
        if not self.cluster.removals.stop():
            self.where = " not wiped: a move had no answer"
        elif not self._may_wipe(away):
            self.where = " not wiped: it may be the last of an ISR"
        else:
            self.broker.wipe()
            self.where = " wiped"
            self.took = True
        self.broker.launch()

    def _may_wipe(self, away):
        with contextlib.suppress(*clusters.UNAVAILABLE):
            assignments = self.cluster.assignments()
            return keeps_somebody(self.cluster.states(), assignments, away)
        return False


class Heir(Wipe):
    """Wiped; it fetches slowly, and as soon as it is in sync with anybody the
    others are killed: it has all that was acknowledged, or it is lost."""

    alone = True

    def begin(self):
        self.registration = f"/brokers/ids/{self.broker.broker_id}"
        with self.cluster.zk(clusters.CHROOT) as zk:
            self.former = zk.exists(self.registration).czxid
        super().begin()

    def end(self):
        pairs = net.both_ways([self.host], self.peers)
        self.cluster.links.slow(pairs, 0.1, 0)
        super().end()
        if not self.took:
            return
        self.took = False
        with contextlib.suppress(*clusters.UNAVAILABLE):
            self._await_in_sync()
            self.took = True
        others = [b for b in self.cluster.brokers if b is not self.broker]
        for b in others:
            b.kill()
        self.cluster.links.mend(pairs)
        # back before their sessions end, or behind
        time.sleep(self.rng.choice((0, clusters.SESSION_MS / 1000 + 2)))
        for b in others:
            b.launch()

    def _await_in_sync(self):
        """In some partition, by a state that was written since it registered
        anew: an older one does not know that it was away.  Each is looked at
        often."""
        states = [f"/brokers/topics/{topic}/partitions/{p}/state"
                  for topic, count in self.cluster.topics.items()
                  for p in range(count)]
        with self.cluster.zk(clusters.CHROOT) as zk:
            def in_sync():
                born = zk.exists(self.registration)
                return born and born.czxid != self.former and any(
                    self.broker.broker_id in json.loads(node)["isr"]
                    and stat.mzxid > born.czxid
                    for node, stat in map(zk.get, states))
            harness.wait_until(in_sync, what="it is in sync")


# --- links -------------------------------------------------------------------

class Link(Fault):
    """Links of one broker.  What begin() puts into `pairs` is mended."""

    pairs = ()

    def _choose_pairs(self):
        zk, clients = self.cluster.zk_hosts, [self.cluster.client_host]
        what, others = self.rng.choice((
            ("brokers", self.peers), ("one broker", self.peers[:1]),
            ("ZooKeeper", zk), ("brokers and ZooKeeper", self.peers + zk),
            ("clients", clients), ("all", self.peers + zk + clients)))
        return what, others

    def end(self):
        self.cluster.links.mend(self.pairs)


class Cut(Link):
    """Both ways."""

    def begin(self):
        what, others = self._choose_pairs()
        self.where = f" from {what}"
        if "ZooKeeper" in what and self.rng.random() < 0.5:
            self.seconds += clusters.SESSION_MS / 1000
        self.pairs = net.both_ways([self.host], others)
        self.cluster.links.cut(self.pairs)


class HalfCut(Link):
    """What it says is not heard, or it does not hear what is said."""

    def begin(self):
        what, others = self._choose_pairs()
        out = self.rng.random() < 0.5
        self.where = (f" to {what}" if out else f" off {what}")
        self.pairs = net.one_way([self.host], others) if out else (
            net.one_way(others, [self.host]))
        self.cluster.links.cut(self.pairs)


class Slow(Link):
    """Every packet comes later."""

    def begin(self):
        what, others = self._choose_pairs()
        delay = self.rng.choice((0.02, 0.1, 0.3))
        self.where = f" and {what} by {delay} s"
        self.pairs = net.both_ways([self.host], others)
        self.cluster.links.slow(self.pairs, delay, delay / 2)


class Refuse(Link):
    """Connections to it break and new ones are refused, as if it were dead;
    it lives, and reaches everybody."""

    def begin(self):
        clients = [self.cluster.client_host]
        what, others = self.rng.choice((
            ("brokers", self.peers), ("one broker", self.peers[:1]),
            ("brokers and clients", self.peers + clients)))
        self.where = f" {what}"
        self.seconds += self.rng.choice((0, clusters.SESSION_MS / 1000))
        self.pairs = net.one_way(others, [self.host])
        self.cluster.links.refuse(self.pairs, clusters.PORT)


# --- ZooKeeper ---------------------------------------------------------------

class Seat(Fault):
    """/controller is deleted: another term, perhaps of the same broker."""

    on_broker = False
    took = False

    def begin(self):
        with contextlib.suppress(*clusters.UNAVAILABLE):
            with self.cluster.zk(clusters.CHROOT) as zk:
                zk.delete("/controller")
                self.took = True


class Session(Fault):
    """Somebody who has its id and password closes a broker's session.  The
    broker takes it back when it sees that somebody else is there: it may come
    through this unharmed."""

    ours_alone = True
    took = False
    tries = 5

    def begin(self):
        saved = self.broker.data / "barnabas.session"
        node = f"/brokers/ids/{self.broker.broker_id}"
        # whatever fails here fails for want of ZooKeeper or of a session
        with contextlib.suppress(*clusters.UNAVAILABLE):
            with self.cluster.zk(clusters.CHROOT) as zk:
                before = zk.get(node)[1].czxid
                rows = dict(line.split(" ", 1)
                            for line in saved.read_text().splitlines())
                same = int(rows["id"], 16), bytes.fromhex(rows["password"])
                for _ in range(self.tries):
                    self._close(same)
                    now = zk.exists(node)
                    if now is None or now.czxid != before:
                        self.took = True
                        break

    def _close(self, same):
        with contextlib.suppress(*clusters.UNAVAILABLE):
            with harness.Zk(self.cluster.zookeepers.address, client_id=same):
                pass


class ZooKeeper(Fault):
    """One member of three is killed, or cut off from the others."""

    on_broker = False

    def begin(self):
        self.member = self.rng.randrange(3)
        self.killed = self.rng.random() < 0.5
        self.seconds += 2
        host = self.cluster.zk_hosts[self.member]
        self.where = f" {self.member} " + (
            "killed" if self.killed else "cut off")
        if self.killed:
            self.cluster.zookeepers.kill(self.member)
            return
        self.pairs = net.both_ways([host], [
            h for h in self.cluster.zk_hosts if h is not host])
        self.cluster.links.cut(self.pairs)

    def end(self):
        if self.killed:
            self.cluster.zookeepers.launch(self.member)
        else:
            self.cluster.links.mend(self.pairs)


class Ensemble(Fault):
    """All of ZooKeeper is away, for less than a session or for longer."""

    on_broker = False
    alone = True

    def begin(self):
        self.seconds = self.rng.choice((1, clusters.SESSION_MS / 1000 + 3))
        for n in range(3):
            self.cluster.zookeepers.kill(n)

    def end(self):
        for n in range(3):
            self.cluster.zookeepers.launch(n)


# --- the machine -------------------------------------------------------------

class Full(Fault):
    """Its disk has no room left.  Kafka ends by itself then."""

    ours_alone = True

    def begin(self):
        self.broker.disk.shrink()

    def end(self):
        self.broker.disk.grow(clusters.DISK_MIB)


class Leap(Fault):
    """Its clock goes ahead or back, by hours and days, and is right again."""

    ours_alone = True

    @classmethod
    def possible(cls, cluster):
        return super().possible(cluster) or (
            None if all(b.clock for b in cluster.brokers)
            else "libfaketime is not installed")

    def begin(self):
        hours = self.rng.choice((-24 * 30, -2, 3, 24 * 400))
        self.where = f" by {hours} h"
        self.broker.clock.set(hours * HOUR)

    def end(self):
        self.broker.clock.set(0)


KINDS = (Kill, Stop, Sleep, Wipe, Heir, Cut, HalfCut, Slow, Refuse, Seat,
         Session, ZooKeeper, Ensemble, Full, Leap)


def strike(cluster, rng, kinds, say):
    """Faults of those kinds, each on another broker, one begun after the other
    and under way together."""
    under_way, struck = [], []
    for kind in kinds:
        fault = kind(cluster, rng, struck)
        fault.begin()
        say(f"begins: {fault}")
        if fault.broker is not None:
            struck.append(fault.broker)
        under_way.append((time.monotonic() + fault.seconds, fault))
        time.sleep(rng.uniform(0, 1.5))
    for due, fault in sorted(under_way, key=lambda row: row[0]):
        time.sleep(max(0, due - time.monotonic()))
        fault.end()
        say(f"ends: {fault}")
    cluster.links.mend()
    return [fault for _, fault in under_way]
