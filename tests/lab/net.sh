# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The replication link cut and whole.  Both hosts drop what arrives on it, so
# packets vanish both ways; commands from outside and the guests' LAN go on.  The
# state is kept in $LAB_RUN/link-cut for hosts that boot meanwhile.

lab_cut_link() { touch "$LAB_RUN/link-cut"; set_cut on; }
lab_heal_link() {
    [ -e "$LAB_RUN/link-cut" ] || return 0
    rm -f "$LAB_RUN/link-cut"
    (set_cut off) || { touch "$LAB_RUN/link-cut"; exit 1; }
}

set_cut() { # on|off
    local n jobs=()
    for n in 1 2; do
        host_pid $n >/dev/null || continue
        COLO_LAB_TIMEOUT=30 on_host $n "lab-cut $1" &
        jobs+=($!)
    done
    [ ${#jobs[@]} -gt 0 ] || die "no host is up: run 'lab up' first"
    for n in "${jobs[@]}"; do
        wait "$n" || die "could not switch the link on a host"
    done
}
