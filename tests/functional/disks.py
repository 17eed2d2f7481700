# SPDX-License-Identifier: Apache-2.0
"""Small real file systems that fill up, fail and freeze.

They are mounted in a mount namespace of the test's own, in which the broker
runs too: nothing of them is seen elsewhere, and they go with the test.  The
test looks at them through /proc.  Root is needed, and for ext4 loop devices;
a test is skipped, with the reason, where the machine has them not."""

import fcntl
import os
import pathlib
import struct
import subprocess

import pytest

import harness

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
EXT4_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """One file system.  `path`: as the broker names it."""

    def __init__(self, disks, path):
        self.disks, self.path = disks, path
        self.frozen = None

    @property
    def inside(self):
        """The same directory as this process can reach it."""
        return pathlib.Path(f"/proc/{self.disks.pid}/root{self.path}")

    def _ioctl(self, request, value):
        folder = os.open(self.inside, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, request, value)
        finally:
            os.close(folder)

    def fail(self):
        """From now on every read from the disk and every write is EIO."""
        self._ioctl(EXT4_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))

    def freeze(self):
        """Whoever writes waits, without end."""
        self.frozen = os.open(self.inside, os.O_RDONLY)
        fcntl.ioctl(self.frozen, FIFREEZE, 0)

    def thaw(self):
        if self.frozen is not None:
            fcntl.ioctl(self.frozen, FITHAW, 0)
            os.close(self.frozen)
            self.frozen = None

    def abort(self):
        """As an error of the disk that ext4 met itself: read-only from now
        on, whoever has files open."""
        self.disks.run("mount", "-o", "remount,abort", self.path)

    def read_only(self, yes=True):
        self.disks.run("mount", "-o", "remount," + ("ro" if yes else "rw"),
                       self.path)

    def free_bytes(self):
        found = os.statvfs(self.inside)
        return found.f_bavail * found.f_frsize

    def ballast(self, leave_bytes):
        """A file that takes all room but so much; drop_ballast() ends it."""
        with open(self.inside / "ballast", "ab", buffering=0) as f:
            while True:
                more = self.free_bytes() - leave_bytes
                if more <= 0:
                    break
                try:
                    f.write(b"\0" * min(more, 1 << 20))
                except OSError:
                    break
        return self

    def drop_ballast(self):
        (self.inside / "ballast").unlink()

    def shrink(self):
        """A tmpfs: no room is left; whoever writes meanwhile takes what his
        page has."""
        def full():
            found = os.statvfs(self.inside)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            return self.disks.run(
                "mount", "-o", f"remount,size={used}", self.path,
                check=False).returncode == 0
        harness.wait_until(full, what=f"{self.path} is full")

    def grow(self, mib):
        """A tmpfs: so much is its size from now on."""
        self.disks.run("mount", "-o", f"remount,size={mib}m", self.path)

    def log_files(self, topic, partition=0, suffix="log"):
        return sorted(
            (self.inside / f"{topic}-{partition}").glob(f"*.{suffix}"))


class Disks:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disks = []
        if os.geteuid() != 0:
            pytest.skip("only root may mount file systems")
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             "echo there; read _"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != b"there\n":
            pytest.skip("no mount namespace: "
                        + self.holder.stderr.read().decode())

    @property
    def pid(self):
        return self.holder.pid

    def prefix(self):
        return ["nsenter", "-t", str(self.pid), "-m", "--"]

    def run(self, *command, **how):
        return harness.run(*self.prefix(), *command, **how)

    def _mount(self, name, *options):
        path = self.folder / name
        path.mkdir()
        done = self.run("mount", *options, path, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount {name}: {done.stderr.decode()}")
        self.disks.append(Disk(self, path))
        return self.disks[-1]

    def tmpfs(self, name, mib):
        return self._mount(name, "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs")

    def ext4(self, name, mib):
        image = self.folder / f"{name}.img"
        with open(image, "wb") as f:
            f.truncate(mib << 20)
        made = harness.run("mkfs.ext4", "-q", "-F", "-m", 0, image,
                           check=False)
        if made.returncode != 0:
            pytest.skip(f"mkfs.ext4: {made.stderr.decode()}")
        disk = self._mount(name, "-o", "loop", image)
        (disk.inside / "lost+found").rmdir()
        return disk

    def give(self, broker, *disks):
        """The broker's log directories are these; it runs among them."""
        broker.options["log.dirs"] = ",".join(str(d.path) for d in disks)
        command = broker.command
        broker.command = lambda: self.prefix() + command()
        return broker

    def end(self):
        for disk in self.disks:
            disk.thaw()
            self.run("umount", "--lazy", disk.path, check=False)
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()
