# SPDX-License-Identifier: GPL-2.0-or-later
# Two guests at once, first in opposite directions; then one changes sides by
# hand, and both are protected from host 1.  There one powers off and the other
# crashes: carried out, the replica goes, protection ends.
. "$(dirname "$0")/lib.sh"
host_ready 1; host_ready 2
start_guest g1 1 &
start_guest g2 2
wait $! || fail "g1 did not start"
# under emulation, epochs of the one that follow closely leave little for the
# other's first copy
protect g1 1 2 --interval 2000
protect g2 2 1 --interval 2000
epochs_pass g1 1 2
epochs_pass g2 2 2
say "planned: g2 changes sides by hand"
on 1 "colo failover g2" || fail "colo failover on the backup"
until_true 60 "g2 on host1" guest_here g2 1
guest_here g2 2 && fail "g2 runs on both hosts"
pulse_good g2 1
until_true 60 "end of g2's session" no_session g2 1
clean_host g2 2
protect g2 1 2
epochs_pass g1 1 2
epochs_pass g2 1 3
pulse_good g1 1
pulse_good g2 1
no_guest() { ! guest_here "$1" 1; }
ends() { # NAME HOW
    "$lab" guest tell "$1" "$2" 1
    until_true 60 "end of $1 after $2" no_guest "$1"
    clean_host "$1" 1
    clean_host "$1" 2
    say "$2 of $1 was carried out"
}
ends g2 poweroff
epochs_pass g1 1 2
pulse_good g1 1
ends g1 crash
