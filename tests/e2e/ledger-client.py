# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the test guest's ledger that remembers what it was promised.

ledger-client.py run HOST[:PORT] DIR [--connections N]
  Adds rows for ever, one after the other on each of N (1) connections, and
  never opens a connection again: a reset is what the user of a protected guest
  must not see.  In DIR: `acknowledged`, a line "ID MILLISECONDS" per answer,
  written before the next request, goes on where it ended; `status`, one line,
  written each second and at the end.  SIGUSR2 leaves a second between an answer
  and what is asked next; SIGUSR1 asks at once again, and begins a new window
  (window_*); SIGTERM asks nothing more, waits for what was asked, and ends.
ledger-client.py get HOST[:PORT]/PATH [SECONDS]
  One request by a connection of its own; the body on stdout.
ledger-client.py lost DIR
  Reads what /missing said on stdin: the acknowledged ids among them.

Exit status 0: no reset, nothing went back, no wrong answer."""
import os
import re
import select
import signal
import socket
import sys
import time

STUCK_SECONDS = 180   # no answer for so long: the service is gone
CALM_SECONDS = 1      # between an answer and the next request, after SIGUSR2


def address(text):
    host, _, port = text.partition(":")
    return host, int(port or 80)


def parse(buf):
    """One HTTP answer: (status, body, bytes used), or None: not whole yet."""
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buf[:end].decode("latin-1")
    status = re.match(r"HTTP/1\.1 (\d+) ", head)
    length = re.search(r"\r\nContent-Length: (\d+)", head)
    if not status or not length:
        raise ValueError("no HTTP answer: %r" % head[:80])
    used = end + 4 + int(length.group(1))
    if len(buf) < used:
        return None
    return int(status.group(1)), buf[end + 4:used].decode("latin-1"), used


class Connection:
    def __init__(self, where):
        self.sock = socket.create_connection(where, timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's own patience must be longer than ours.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT,
                             10 * STUCK_SECONDS * 1000)
        self.buf = b""
        self.asked = self.asked_at = None
        self.floor = (0, 0)
        self.idle_since = 0
        self.host = where[0]

    def ask(self, path):
        self.asked_at = time.monotonic()
        self.sock.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" %
                           (path, self.host)).encode())

    def answer(self):
        """Read what is there; (status, body) or None.  Fails at the end."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buf += data
        found = parse(self.buf)
        if not found:
            return None
        self.buf = self.buf[found[2]:]
        return found[:2]


class Run:
    def __init__(self, where, folder, connections):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "acknowledged")
        ids = read_ids(path)
        self.next_id = max(ids, default=0) + 1
        self.log = open(path, "a", buffering=1)
        self.acknowledged = len(ids)
        self.first = time.monotonic()
        self.last = self.first
        self.longest = self.window = self.window_count = 0
        self.resets = self.went_back = self.wrong = 0
        self.seq = self.rows = 0
        self.stuck = 0
        self.ending = self.new_window = self.calm = False
        self.conns = [Connection(where) for _ in range(connections)]

    def next(self, conn):
        conn.asked = self.next_id
        self.next_id += 1
        # What any connection saw before we ask was so when we asked.
        conn.floor = (self.seq, self.rows)
        conn.ask("/add/%d" % conn.asked)

    def drop(self, conn, why):
        self.resets += 1
        self.conns.remove(conn)
        print("connection lost while %s was asked: %s" % (conn.asked, why),
              flush=True)
        conn.sock.close()

    def take(self, conn, status, body):
        now = time.monotonic()
        match = re.match(r"ok (\d+) seq=(\d+) rows=(\d+)\n$", body)
        if status != 200 or not match or int(match.group(1)) != conn.asked:
            self.wrong += 1
            print("wrong answer to %s: %s %r" % (conn.asked, status, body),
                  flush=True)
        else:
            seq, rows = int(match.group(2)), int(match.group(3))
            if seq <= conn.floor[0] or rows < conn.floor[1]:
                self.went_back += 1
                print("went back: seq %d, rows %d after %d, %d" %
                      (seq, rows, *conn.floor), flush=True)
            self.seq, self.rows = max(seq, self.seq), max(rows, self.rows)
            self.acknowledged += 1
            self.window_count += 1
            self.log.write("%d %d\n" % (conn.asked, (now - self.first) * 1000))
        self.silence(now)
        self.last = now
        conn.asked = None
        conn.idle_since = now

    def silence(self, now):
        gap = int((now - self.last) * 1000)
        self.longest = max(self.longest, gap)
        self.window = max(self.window, gap)

    def line(self):
        return ("acknowledged=%d longest_silence_ms=%d resets=%d went_back=%d "
                "wrong=%d stuck=%d window_silence_ms=%d window_acknowledged=%d"
                % (self.acknowledged, self.longest, self.resets,
                   self.went_back, self.wrong, self.stuck, self.window,
                   self.window_count))

    def write_status(self):
        path = os.path.join(self.folder, "status")
        with open(path + ".new", "w") as f:
            f.write(" " + self.line() + "\n")
        os.rename(path + ".new", path)

    def read(self, conn):
        try:
            found = conn.answer()
            if not found:
                return
            self.take(conn, *found)
        except (OSError, ValueError) as e:
            self.drop(conn, e)

    def go_on(self, conn):
        if conn.asked is not None or self.ending:
            return
        if self.calm and time.monotonic() < conn.idle_since + CALM_SECONDS:
            return
        try:
            self.next(conn)
        except OSError as e:
            self.drop(conn, e)

    def begin_window(self):
        self.new_window, self.calm = True, False

    def second(self):
        """What is done each second."""
        if self.new_window:
            self.new_window = False
            self.window = self.window_count = 0
        now = time.monotonic()
        if any(c.asked is not None for c in self.conns):
            self.silence(now)
        if now - self.last > STUCK_SECONDS:
            self.stuck = 1
        self.write_status()

    def loop(self):
        said = 0
        while self.conns and not self.stuck:
            if self.ending and all(c.asked is None for c in self.conns):
                break
            for conn in list(self.conns):
                self.go_on(conn)
            ready, _, _ = select.select([c.sock for c in self.conns], [], [],
                                        0.2)
            for conn in [c for c in self.conns if c.sock in ready]:
                self.read(conn)
            if time.monotonic() - said > 1 or self.new_window:
                said = time.monotonic()
                self.second()
        self.write_status()
        print(self.line(), flush=True)
        return int(bool(self.resets or self.went_back or self.wrong or
                        self.stuck))


def read_ids(path):
    try:
        with open(path) as f:
            return [int(line.split()[0]) for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


def get(url, seconds):
    host, _, path = url.partition("/")
    conn = Connection(address(host))
    conn.ask("/" + path)
    end = time.monotonic() + seconds
    while True:
        conn.sock.settimeout(max(0.1, end - time.monotonic()))
        found = conn.answer()
        if found:
            sys.stdout.write(found[1])
            return 0 if found[0] == 200 else 1
        if time.monotonic() > end:
            raise TimeoutError("no whole answer")


def lost(folder):
    ids = set(read_ids(os.path.join(folder, "acknowledged")))
    missing = {int(line) for line in sys.stdin if line.strip().isdigit()}
    gone = sorted(ids & missing)
    print(len(gone), *gone[:20])
    return 1 if gone else 0


def main(args):
    if args[:1] == ["run"] and len(args) in (3, 5):
        n = int(args[4]) if args[3:4] == ["--connections"] else 1
        run = Run(address(args[1]), args[2], n)
        signal.signal(signal.SIGTERM, lambda *_: setattr(run, "ending", True))
        signal.signal(signal.SIGUSR1, lambda *_: run.begin_window())
        signal.signal(signal.SIGUSR2, lambda *_: setattr(run, "calm", True))
        return run.loop()
    if args[:1] == ["get"] and len(args) in (2, 3):
        try:
            return get(args[1], float(args[2]) if args[2:] else 30)
        except (OSError, ValueError) as e:
            print("%s: %s" % (args[1], e), file=sys.stderr)
            return 1
    if args[:1] == ["lost"] and len(args) == 2:
        return lost(args[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
