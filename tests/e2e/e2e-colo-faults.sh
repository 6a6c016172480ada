# SPDX-License-Identifier: GPL-2.0-or-later
# Mode colo, one fault in each protection.  Afterwards the guest runs on one host,
# is right, and answers; nothing is left on the other.
#
#   tests/e2e/run colo-faults                     the ones of `short`
#   tests/e2e/e2e-colo-faults.sh [-k] FAULT...    on a lab that is up; "all" of
#                                            them; -k keeps the guest afterwards
#
#   hand              no fault: fifty checkpoints in a row by hand
#   proxy, session    of the primary or -backup: killed
#   qemu-primary      killed: the guest goes on at the backup
#   qemu-backup       killed: protection ends
#   remus-qemu-...    the same two in mode remus
#   link              drops everything: both copies go on
#   off-primary       that host loses its power: while nothing happens, at
#   off-backup        @STATE of its own checkpoint, @STATE-there of the other's,
#                     or @load: amid questions and checkpoints without a pause
#   failover          asked for at the backup while it loads an epoch: it
#                     finishes that first (RELAUNCH)
#
# Each finds the guest where the one before left it, and protects it from there.
. "$(dirname "$0")/lib.sh"

short=(hand proxy-primary qemu-backup session-backup)
all=(hand proxy-primary proxy-backup session-primary session-backup
     qemu-backup qemu-primary remus-qemu-backup remus-qemu-primary link failover
     off-backup off-backup@stopping off-backup@receiving off-backup@loading
     off-backup@load off-primary off-primary@requested off-primary@stopping
     off-primary@committing off-primary@loading off-primary@loading-there
     off-primary@load)

log=/var/log/libcolo/h1.log
from=1 to=2

# ---- before ----------------------------------------------------------------------

# Whichever was lost: each looks for the other.
both_ready() {
    "$lab" power-on 1 >/dev/null 2>&1 || true
    "$lab" power-on 2 >/dev/null 2>&1 || true
    host_ready 1; host_ready 2
}

# The guest is on one host, unprotected; $from says on which.
have_hvm() {
    local n here=
    both_ready
    for n in 1 2; do
        guest_here h1 $n && here=$here$n
        # a backup that tells of its steps
        on $n "printf '#!/bin/sh\nexec colo \"\$@\" -v -v\n' >/usr/bin/colo-v &&
            chmod 755 /usr/bin/colo-v; rm -f $log; sync"
    done
    case $here in
        1 | 2) from=$here ;;
        *) from=1
           start_guest h1 1 type=hvm nopv=1 pages=100 rate=20 tick_us=100000
           on 1 "cat /guest/h1.cfg" | on 2 "cat >/guest/h1.cfg" ;;
    esac
    to=$((3 - from))
}

unserved() { on $from "! pgrep -x colo-net >/dev/null"; }

protected() { # MODE
    local how=(--remote colo-v -v -v --mode "$1")
    # the emulated hosts take seconds for what others do in a millisecond
    [ "$1" = remus ] || how+=(--interval 20000 --hold 30000)
    # two minutes after the last connection from before a takeover: an end that
    # got lost is sent again
    until_true 240 "end of the connections from before" unserved
    protect h1 $from $to "${how[@]}"
    epochs_pass h1 $from 1
    asked h1 $from
}

no_pause() { on $from "colo delay h1 1" || fail "delay"; }

# questions HOST: asked there, one after the other, for a minute and a half
questions() {
    local ip
    ip=$(on "$1" "sed -n 's/.*guest\.ip=\([0-9.]*\).*/\1/p' /guest/h1.cfg")
    on "$1" "timeout 90 sh -c 'while :; do echo \"echo \\\$((6 * 7)); exit\" |
        timeout 20 busybox nc $ip 23; done' >/tmp/answers 2>&1 &"
}
answers() { on "$1" "grep -c '^42' /tmp/answers || true"; } # HOST

# at_state HOST STATE: returns when its session gets there
at_state() {
    on "$1" "timeout 100 sh -c 'tail -n 0 -F $log 2>/dev/null |
        grep -m 1 -E \"(h1: |-> )$2( |\$)\"'" >/dev/null ||
        fail "host$1 does not come to $2"
}

# ---- after -----------------------------------------------------------------------

only_on() { # HOST
    until_true 90 "the guest's going on at host$1" guest_here h1 "$1"
    until_true 60 "end of the session on host$1" no_session h1 "$1"
    on "$1" "tail -n 3 $log" || true
    asked h1 "$1"
    pulse_good h1 "$1"
}

# The other host is up: nothing may be left there.
nothing_on() { # HOST
    clean_host h1 "$1"
    guest_here h1 "$1" && fail "the guest runs on both hosts"
    return 0
}

killed() { # HOST COMMAND
    on "$1" "$2" || fail "there was nothing to kill"
    until_true 60 "end of protection on host$from" no_session h1 $from
}

# ---- the faults ------------------------------------------------------------------

fault_hand() {
    local said
    # one is asked for when the one before is committed, or two would be one
    said=$(on $from "epoch() {
            colo status h1 --json 2>/dev/null |
                sed -n 's/.*\"epoch\":\([0-9]*\).*/\1/p' | head -n 1
        }
        last=\$(epoch)
        for ((i = 1; i <= 50; i++)); do
            colo checkpoint h1 >/dev/null || exit 1
            for ((j = 0; j < 100; j++)); do
                now=\$(epoch)
                [ -n \"\$now\" ] || exit 1
                [ \$now -le \$last ] || break
                sleep 0.2
            done
            [ \$now -gt \$last ] || { echo \"number \$i: epoch \$now\"; exit 1; }
            last=\$now
        done") || fail "checkpoints by hand: $said"
    pulse_good h1 $from
    pulse_good h1 $to
    [ "$(status_field h1 $from audit_mismatches)" = 0 ] || fail "audit"
    say "50 checkpoints: $(on $from 'colo status h1' | grep '^pause')"
    on $from "colo stop h1"
    only_on $from; nothing_on $to
}

fault_proxy() { # HOST
    killed "$1" "pkill -KILL -x colo-net"
    only_on $from; nothing_on $to
}

fault_session() { # HOST
    killed "$1" "pkill -KILL -x colo"
    on "$1" "colo recover"
    only_on $from; nothing_on $to
}

no_qemu() { # HOST DOMAIN
    killed "$1" "pkill -KILL -f \"xen-domid \$(xl domid $2)( |\\$)\""
}

fault_qemu_backup() {
    no_qemu $to h1--incoming
    only_on $from; nothing_on $to
}

fault_qemu_primary() {
    no_qemu $from h1
    only_on $to; nothing_on $from
}

fault_link() {
    "$lab" cut-link
    until_true 60 "end of protection on host$from" no_session h1 $from
    until_true 90 "the copy's going on" guest_here h1 $to
    pulse_good h1 $from
    pulse_good h1 $to
    "$lab" heal-link
    on $to "xl destroy h1"
    only_on $from; nothing_on $to
}

fault_failover() {
    no_pause
    at_state $to loading
    on $to "colo failover h1" || fail "failover"
    only_on $to; nothing_on $from
    # by then it may have loaded it
    say "relaunched: $(on $to "grep -c 'loading -> loading' $log || true")"
}

fault_off() { # HOST SURVIVOR STATE
    local before=
    case $3 in
        '') ;;
        load) questions "$2"; no_pause; sleep $((5 + RANDOM % 20))
              before=$(answers "$2") ;;
        *-there) no_pause; at_state "$2" "${3%-there}" ;;
        *) no_pause; at_state "$1" "$3" ;;
    esac
    "$lab" power-off "$1"
    only_on "$2"
    if [ -n "$before" ]; then
        say "answers under load: $before, and then $(answers "$2")"
        [ "$(answers "$2")" -gt "$before" ] || fail "no answer afterwards"
    fi
}

fault() { # NAME
    local state=
    case $1 in *@*) state=${1#*@} ;; esac
    case $1 in
        hand) fault_hand ;;
        proxy-primary) fault_proxy $from ;;
        proxy-backup) fault_proxy $to ;;
        session-primary) fault_session $from ;;
        session-backup) fault_session $to ;;
        qemu-primary | remus-qemu-primary) fault_qemu_primary ;;
        qemu-backup | remus-qemu-backup) fault_qemu_backup ;;
        link) fault_link ;;
        failover) fault_failover ;;
        off-primary | off-primary@*) fault_off $from $to "$state" ;;
        off-backup | off-backup@*) fault_off $to $from "$state" ;;
        *) fail "no fault is called $1" ;;
    esac
}

keep=
[ "${1:-}" != -k ] || { keep=1; shift; }
[ $# -gt 0 ] || set -- "${short[@]}"
[ "$1" != all ] || set -- "${all[@]}"
for name in "$@"; do
    say "== $name"
    have_hvm
    case $name in
        remus-*) protected remus ;;
        *) protected colo ;;
    esac
    fault "$name"
done
both_ready
[ -n "$keep" ] || "$lab" guest stop h1
