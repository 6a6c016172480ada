# SPDX-License-Identifier: GPL-2.0-or-later
# A PV guest, which travels as a stream: stopped, with its session killed, with
# its helper killed, and over to host 2 when host 1 is switched off; then the
# same with only stock Xen at the other side.
# Needs a Xen with shadow paging (COLO_LAB_XEN), which Debian does not build.
. "$(dirname "$0")/lib.sh"

alone() { # WHY: the guest goes on here, unprotected, and there is no other
    until_true 60 "end of the session on host1 ($1)" no_session v1 1
    until_true 60 "end of the replica on host2 ($1)" on 2 \
        "! xl list v1--incoming"
    guest_here v1 2 && fail "the guest runs on both hosts ($1)"
    pulse_good v1 1
    clean_host v1 1
    say "$1: goes on alone"
}

goes_over() {
    local begin=$SECONDS
    "$lab" power-off 1
    until_true 90 "takeover on host2" guest_here v1 2
    say "takeover after $((SECONDS - begin)) s (dead after 8 s of silence)"
    pulse_good v1 2
    on 2 "xl list" | grep -- --incoming >/dev/null &&
        fail "the replica kept its old name"
    return 0
}

host_ready 1; host_ready 2
if ! on 1 "xl info" | grep '^virt_caps.* shadow' >/dev/null; then
    echo "the hosts' Xen has no shadow paging: see COLO_LAB_XEN"
    exit 77
fi
start_guest v1 1 type=pv
protect v1 1 2
epochs_pass v1 1 10
[ "$(status_field v1 1 audit_off)" = 1 ] || fail "a PV guest is audited"
say "$(on 1 'colo status v1' | grep '^pause')"
pulse_good v1 1
asked v1 1
on 1 "colo stop v1" || fail "colo stop"
alone "stopped"

protect v1 1 2 --interval 1
epochs_pass v1 1 5
on 1 "pkill -KILL -x colo" || fail "no session to kill"
alone "the session is killed"

protect v1 1 2 --interval 1
epochs_pass v1 1 5
on 1 "pkill -KILL -f 'colo-toolstack stream'" || fail "no helper to kill"
alone "the helper is killed"

protect v1 1 2 --interval 1
epochs_pass v1 1 10
goes_over
until_true 60 "end of the session on host2" no_session v1 2
asked v1 2
"$lab" guest stop v1
host_ready 1

say "a backup with stock Xen"
on 2 "printf 'ClientAliveInterval 2\nClientAliveCountMax 4\n' \
    >/etc/ssh/sshd_config.d/colo-alive.conf && pkill -HUP -o -x sshd" ||
    fail "sshd on host2"
start_guest v1 1 type=pv
protect v1 1 2 --peer stock --no-disks
[ "$(status_field v1 1 commit)" = unacknowledged-ssh ] ||
    fail "commit: $(status_field v1 1 commit)"
epochs_pass v1 1 5
on 1 "colo stop v1" || fail "colo stop"
alone "stopped, stock peer"
protect v1 1 2 --peer stock --no-disks
epochs_pass v1 1 5
goes_over
"$lab" guest stop v1 >/dev/null 2>&1 || on 2 "xl destroy v1" || true
host_ready 1
