# SPDX-License-Identifier: GPL-2.0-or-later
"""A pair of colo-net between two copies of a server and a client.

Five network namespaces: the client's, two hosts with a bridge each, and two
copies with the same addresses.  A copy is a namespace with servers of its own,
not a machine: a checkpoint here is what the proxies know of one, and does not
make the copies equal.
"""
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

MAC = "02:00:00:00:00:77"
SERVER4, SERVER6 = "10.77.0.2", "fd77::2"
CLIENT4, CLIENT6 = "10.77.0.1", "fd77::1"
OFFERED = 7000


def sh(text, check=True):
    r = subprocess.run(text, shell=True, capture_output=True, text=True)
    if check and r.returncode:
        raise RuntimeError(f"{text}: {r.stderr.strip()}")
    return r.stdout.strip()


class Side:
    """One colo-net and the session's end of it."""

    def __init__(self, pair, role, ns, vif):
        self.pair, self.role, self.ns, self.vif = pair, role, ns, vif
        self.path = f"{pair.dir}/{role}"
        self.seq = 0
        self.events = []
        self.lock = threading.Lock()
        self.proc = self.sock = None
        self.stderr = None  # a descriptor; else its log

    def start(self):
        self.proc = subprocess.Popen(
            ["ip", "netns", "exec", self.ns, self.pair.program, "serve",
             "--role", self.role, "--vif", self.vif, "--control", self.path,
             "--stream", f"{self.pair.dir}/stream", *self.pair.options],
            stdin=subprocess.PIPE, stderr=self.stderr or
            open(f"{self.path}.log", "a"))
        for _ in range(500):
            with contextlib.suppress(OSError):
                self.sock = socket.socket(socket.AF_UNIX,
                                          socket.SOCK_SEQPACKET)
                self.sock.connect(self.path)
                return
            if self.proc.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"{self.role}: " + open(f"{self.path}.log").read())

    def send(self, verb):
        self.seq += 1
        self.sock.send(f"{self.seq} {verb}".encode())

    def answer(self, limit=15):
        """The answer to what was sent last; events are kept."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            r, _, _ = select.select([self.sock], [], [], 0.2)
            if not r:
                continue
            text = self.sock.recv(400).decode()
            if not text:
                break
            if text.startswith("event "):
                self.events.append(text[6:])
            elif text.startswith(f"{self.seq} "):
                return text.split(" ", 1)[1]
        return "no answer"

    def ask(self, verb, limit=15):
        with self.lock:
            self.send(verb)
            return self.answer(limit)

    def look(self):
        """Events that have come, without waiting."""
        with self.lock:
            while self.sock and select.select([self.sock], [], [], 0)[0]:
                text = self.sock.recv(400).decode()
                if not text:
                    break
                if text.startswith("event "):
                    self.events.append(text[6:])
            found, self.events = self.events, []
        return found

    def end(self):
        if self.sock:
            self.sock.close()
        if self.proc:
            self.proc.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.proc.wait(5)
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()


class Pair:
    def __init__(self, program, options=()):
        self.program, self.options = program, list(options)
        self.dir = tempfile.mkdtemp(prefix="colo-net-")
        n = os.getpid()
        self.client, self.h1, self.h2, self.c1, self.c2 = (
            f"cn{n}{k}" for k in ("c", "h1", "h2", "s1", "s2"))
        self.procs = []
        self.epoch = 0
        self.checkpoints, self.reasons = 0, []
        self.stood = 0  # the longest that watch() did not get to run
        self.primary = self.secondary = None
        self.watching = None
        self.first_vif = 40000 + n % 10000

    # ---- the network ------------------------------------------------------

    def build(self):
        v1, v2 = f"vif{self.first_vif}.0", f"vif{self.first_vif + 10000}.0"
        for ns in (self.client, self.h1, self.h2, self.c1, self.c2):
            sh(f"ip netns add {ns}")
            sh(f"ip -n {ns} link set lo up")
            self.inside(ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 "
                            "net.ipv6.conf.default.accept_dad=0")
        for ns in (self.h1, self.h2):
            sh(f"ip -n {ns} link add br0 type bridge forward_delay 0 "
               "mcast_snooping 0")
            sh(f"ip -n {ns} link set br0 up")
        self.wire(self.client, "eth0", self.h1, "up0")
        self.wire(self.h1, "peer", self.h2, "peer")
        for ns, host, vif in ((self.c1, self.h1, v1), (self.c2, self.h2, v2)):
            self.wire(ns, "eth0", host, vif)
        for host, port in ((self.h1, "up0"), (self.h1, "peer"), (self.h1, v1),
                           (self.h2, "peer"), (self.h2, v2)):
            sh(f"ip -n {host} link set {port} master br0")
        self.address(self.client, "02:00:00:00:00:01", CLIENT4, CLIENT6)
        for ns in (self.c1, self.c2):
            self.address(ns, MAC, SERVER4, SERVER6)
        # a replica that does not run does not speak
        sh(f"ip -n {self.h2} link set {v2} nomaster")
        self.primary = Side(self, "primary", self.h1, v1)
        self.secondary = Side(self, "secondary", self.h2, v2)
        self.secondary_bridge = ["--bridge", "br0"]

    @staticmethod
    def wire(ns1, dev1, ns2, dev2):
        sh(f"ip link add {dev1} netns {ns1} type veth peer name {dev2} "
           f"netns {ns2}")
        sh(f"ip -n {ns1} link set {dev1} up")
        sh(f"ip -n {ns2} link set {dev2} up")

    @staticmethod
    def address(ns, mac, v4, v6):
        sh(f"ip -n {ns} link set eth0 address {mac}")
        sh(f"ip -n {ns} addr add {v4}/24 dev eth0")
        sh(f"ip -n {ns} addr add {v6}/64 dev eth0 nodad")

    @staticmethod
    def inside(ns, text, check=True):
        return sh(f"ip netns exec {ns} {text}", check)

    def spawn(self, ns, argv, **kw):
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stderr", subprocess.DEVNULL)
        p = subprocess.Popen(["ip", "netns", "exec", ns, *argv], **kw)
        self.procs.append(p)
        return p

    def both(self, argv):
        """The same server twice, as the two copies."""
        for ns in (self.c1, self.c2):
            self.spawn(ns, argv)

    # ---- the session ------------------------------------------------------

    def protect(self):
        """Both in place, joined, and comparing."""
        self.options += self.secondary_bridge
        self.secondary.start()
        self.primary.start()
        # the secondary first: it must listen before the other one connects
        with self.primary.lock, self.secondary.lock:
            self.secondary.send("start 2")
            self.primary.send("start 2")
            for side in (self.secondary, self.primary):
                a = side.answer()
                if a != "ok":
                    raise RuntimeError(f"{side.role}: start: {a}")
        self.checkpoint()
        self.checkpoints = 0
        self.watching = threading.Thread(target=self.watch, daemon=True)
        self.watching.start()

    def checkpoint(self):
        self.epoch += 1
        n = self.epoch
        for side, verb in ((self.secondary, "checkpoint"),
                           (self.primary, "checkpoint"),
                           (self.primary, "commit"),
                           (self.secondary, "commit")):
            a = side.ask(f"{verb} {n}")
            if a != "ok":
                raise RuntimeError(f"{side.role}: {verb}: {a}")
        self.checkpoints += 1

    def watch(self):
        """A checkpoint for each divergence, as a session does it."""
        me, last = self.watching, time.monotonic()
        while self.watching is me:
            time.sleep(0.002)
            self.stood = max(self.stood, time.monotonic() - last)
            try:
                found = self.primary.look()
                if found:
                    self.reasons += found
                    self.checkpoint()
            except (OSError, RuntimeError):
                return
            last = time.monotonic()

    def unwatch(self):
        w, self.watching = self.watching, None
        if w:
            w.join(20)

    def kill(self, side):
        """The colo-net of a side, without a word of good-bye."""
        side.proc.send_signal(signal.SIGKILL)
        side.proc.wait()
        side.sock.close()

    def lose_primary(self):
        """Host 1 is gone: its copy, its bridge's links."""
        self.unwatch()
        for dev in ("up0", "peer"):
            sh(f"ip -n {self.h1} link set {dev} nomaster")
        # the LAN's switch is host 2's from now on
        sh(f"ip -n {self.h1} link add lan type bridge forward_delay 0 "
           "mcast_snooping 0")
        sh(f"ip -n {self.h1} link set lan up")
        for dev in ("up0", "peer"):
            sh(f"ip -n {self.h1} link set {dev} master lan")
        self.kill(self.primary)
        return self.secondary.ask("failover")

    def destroy(self):
        self.unwatch()
        for side in (self.primary, self.secondary):
            if side:
                side.end()
        for p in self.procs:
            p.kill()
            p.wait()
        for ns in (self.client, self.h1, self.h2, self.c1, self.c2):
            for pid in sh(f"ip netns pids {ns}", False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            sh(f"ip netns del {ns}", False)
        shutil.rmtree(self.dir, ignore_errors=True)
        for side in (self.primary, self.secondary):
            with contextlib.suppress(OSError, AttributeError):
                os.unlink(f"/run/libcolo/net/{side.vif}")

    def logs(self):
        for side in (self.primary, self.secondary):
            with contextlib.suppress(OSError):
                for line in open(f"{side.path}.log"):
                    print(f"    {side.role}: {line.rstrip()}")

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *exc):
        self.destroy()
