# SPDX-License-Identifier: GPL-2.0-or-later
# One host with libcolo, the other with what stock Xen has: first as the backup
# (colo protect --peer stock), where the replica must not start while host 1
# lives, and must when it does not; then as the primary (xl remus).
. "$(dirname "$0")/lib.sh"

# host 2's sshd notices that host 1 is dead
set_alive() {
    on 2 "printf 'ClientAliveInterval 2\nClientAliveCountMax 4\n' \
        >/etc/ssh/sshd_config.d/colo-alive.conf && pkill -HUP -o -x sshd" ||
        fail "sshd on host2"
}

protect_stock() {
    protect g1 1 2 --peer stock --no-disks
    on 2 "xl list g1--incoming" >/dev/null 2>&1 || fail "no replica on host2"
    [ "$(status_field g1 1 commit)" = unacknowledged-ssh ] ||
        fail "commit: $(status_field g1 1 commit)"
    epochs_pass g1 1 5
}

no_replica() {
    ! on 2 "xl list g1--incoming" >/dev/null 2>&1
}

# host 1 lives: the guest is there, and only there
only_here() {
    until_true 60 "end of the session on host1" no_session g1 1
    until_true 60 "end of the replica on host2" no_replica
    guest_here g1 2 && fail "the guest runs on both hosts"
    pulse_good g1 1
}

host_ready 1; host_ready 2
set_alive
have_guest g1 1

say "stopped"
protect_stock
on 1 "colo stop g1" || fail "colo stop"
only_here

say "the session is killed, then the gate"
protect_stock
on 1 "pkill -KILL -x colo" || fail "no session to kill"
only_here
on 1 "colo recover" || true
protect_stock
on 1 "pkill -KILL -n -f 'colo-stock to-backup'" || fail "no gate to kill"
only_here

say "host 1 is switched off"
protect_stock
"$lab" power-off 1
until_true 90 "takeover on host2" guest_here g1 2
pulse_good g1 2
"$lab" guest stop g1 >/dev/null 2>&1 || on 2 "xl destroy g1" || true
host_ready 1

say "a stock primary"
start_guest g1 1
on 1 "setsid xl remus -F -n -d -i 1000 -s '' g1 \
    'ssh -o BatchMode=yes host2 colo-xl migrate-receive -r' \
    >/var/log/remus.log 2>&1 </dev/null &"
until_true 120 "a session on host2" on 2 "colo status g1 --json"
epochs_pass g1 2 5
"$lab" power-off 1
until_true 120 "takeover on host2" guest_here g1 2
pulse_good g1 2
until_true 60 "end of the session on host2" no_session g1 2
"$lab" guest stop g1 >/dev/null 2>&1 || on 2 "xl destroy g1" || true
host_ready 1
