# SPDX-License-Identifier: GPL-2.0-or-later
"""listen.py PORT SECONDS: receive the step numbers of a pulse guest by UDP.

Prints a line now and then: how many packets came, the longest silence, and
how many came after it.  Step numbers may go back once, to the last
checkpoint, because output is not held."""
import re
import socket
import sys
import time

port, seconds = int(sys.argv[1]), float(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", port))
sock.settimeout(1)
count = after = longest = back = 0
last = last_step = None
end = time.monotonic() + seconds
said = 0
while time.monotonic() < end:
    try:
        data = sock.recv(2048)
    except socket.timeout:
        continue
    now = time.monotonic()
    step = re.search(rb"step=(\d+)", data)
    step = int(step.group(1)) if step else None
    count += 1
    after += 1
    if last is not None and now - last > longest:
        longest, after = now - last, 0
    if step is not None and last_step is not None and step < last_step:
        back = max(back, last_step - step)
    last, last_step = now, step
    if now - said > 1:
        said = now
        print("packets=%d silence_ms=%d after=%d steps_back=%d" %
              (count, longest * 1000, after, back), flush=True)
