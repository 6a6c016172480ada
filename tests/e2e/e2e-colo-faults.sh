# SPDX-License-Identifier: GPL-2.0-or-later
# Mode colo: fifty checkpoints in a row by hand, then a proxy, the replica's
# device model and the backup's session are killed, one in each protection: the
# guest goes on at host 1 and answers, and nothing is left on host 2.
. "$(dirname "$0")/lib.sh"

both_run() {
    protect h1 1 2 --mode colo --interval 20000 --hold 30000
    epochs_pass h1 1 1
    asked h1 1
}
# killed WHAT HOST COMMAND
killed() {
    say "$1 on host$2 is killed"
    on "$2" "$3" || fail "$1: there was none"
    until_true 60 "end of protection on host1" no_session h1 1
    clean_host h1 2
    guest_here h1 1 || fail "the guest is gone from host1"
    guest_here h1 2 && fail "the guest runs on both hosts"
    asked h1 1
    pulse_good h1 1
}

host_ready 1; host_ready 2
start_guest h1 1 type=hvm nopv=1 pages=100 rate=20 tick_us=100000
both_run
for ((i = 0; i < 50; i++)); do
    on 1 "colo checkpoint h1" >/dev/null || fail "checkpoint $i"
done
pulse_good h1 1
pulse_good h1 2
[ "$(status_field h1 1 audit_mismatches)" = 0 ] || fail "audit"
say "50 checkpoints: $(on 1 'colo status h1' | grep '^pause')"
killed colo-net 1 "pkill -KILL -x colo-net"
both_run
killed "the replica's QEMU" 2 "pkill -KILL -f 'xen-domid.*h1--incoming'"
both_run
killed "the backup's session" 2 "pkill -KILL -x colo"
"$lab" guest stop h1
