# SPDX-License-Identifier: GPL-2.0-or-later
# One host with libcolo, the other with what stock Xen has: first as the backup
# (colo protect --peer stock), where the replica must not start while host 1
# lives, and must when it does not; then as the primary (xl remus).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/stock.sh"

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

# The replica is never started while host 1 lives: not when protection is
# stopped, not when the session is killed, not when the gate is.
stopped() {
    have_guest g1 1
    protect_stock g1
    on 1 "colo stop g1" || fail "colo stop"
    only_here
}

session_killed() {
    have_guest g1 1
    protect_stock g1
    on 1 "pkill -KILL -x colo" || fail "no session to kill"
    only_here
    on 1 "colo recover" || true
}

gate_killed() {
    have_guest g1 1
    protect_stock g1
    on 1 "pkill -KILL -f '[c]olo-stock to-backup'" || fail "no gate to kill"
    only_here
}

has_epoch() { [ "$(status_field g1 1 epoch)" -gt 0 ]; }

# xl remus -b: checkpoints as ever, and nobody has them
nowhere() {
    have_guest g1 1
    on 1 "setsid colo-xl remus -F -b -i 400 g1 nowhere \
        >/var/log/remus.log 2>&1 </dev/null &"
    until_true 180 "a first checkpoint" has_epoch
    epochs_pass g1 1 5
    on 1 "pkill -TERM -f '[x]l remus.* g1 '" || fail "no xl to end"
    only_here
}

primary_dies() {
    have_guest g1 1
    protect_stock g1
    "$lab" power-off 1
    until_true 90 "takeover on host2" guest_here g1 2
    pulse_good g1 2
    gone
}

# as far as libcolo can know: see xl-colo(1)
stock_primary_dies() {
    start_guest g1 1
    stock_protects g1 colo-xl
    epochs_pass g1 2 5
    "$lab" power-off 1
    until_true 120 "takeover on host2" guest_here g1 2
    pulse_good g1 2
    until_true 60 "end of the session on host2" no_session g1 2
    gone
}

gone() {
    "$lab" guest stop g1 >/dev/null 2>&1 || on 2 "xl destroy g1" || true
    host_ready 1
}

host_ready 1; host_ready 2
set_alive
[ $# -gt 0 ] ||
    set -- stopped session_killed gate_killed nowhere primary_dies \
        stock_primary_dies
for part in "$@"; do
    say "$part"
    "$part"
done
