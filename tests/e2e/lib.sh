# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the lab's cases: a guest with pulse, protection from one host to the
# other, and the question whether the guest's memory is what it must be.
# Sourced; a case exits 0 passed, 1 failed, 77 skipped.
set -euo pipefail

e2e_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab=$e2e_top/tests/lab/lab
# The lab is slow: one emulated CPU does everything on a host.
E2E_PROTECT="--interval 1000 --heartbeat 500 --dead 8000"
# Looking at both hosts first takes as long as a tenth of the copy: once is
# enough (e2e-tools).
E2E_CHECK=--no-check

say() { echo "  $(date +%T) $*"; }
fail() { say "FAILED: $*"; exit 1; }

on() { "$lab" ssh "$@"; }

# until SECONDS WHAT COMMAND...: try once a second
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "$what did not happen in time"
        sleep 1
    done
}

# ---- the guest -----------------------------------------------------------------

field() { # LINE NAME
    sed -n "s/.*[ ]$2=\([^ ]*\).*/\1/p" <<<"$1"
}

guest_here() { on "$2" "xl domid $1" >/dev/null 2>&1; } # NAME HOST

# pulse_good NAME HOST: its program goes on, and finds nothing wrong
pulse_good() {
    local line
    line=$("$lab" guest good "$1" "$2" 90 2>&1) || fail "$1 on host$2: $line"
    say "$1 is right on host$2: step $(field "$line" step)"
}

# A guest that works and then sleeps, so that what the case is about gets the
# processors: under emulation a guest that never sleeps takes one of this
# machine's for itself.  As busy as can be: idle=0 tick_us=10000 pages=800
# rate=800.  Its interface is plugged by vif-lab; Xen's own script serves the
# guests of output-commit and of ./demo.
start_guest() { # NAME HOST [key=value...]
    local name=$1 host=$2
    shift 2
    "$lab" guest stop "$name" >/dev/null 2>&1 || true
    "$lab" guest start "$name" "host=$host" memory=112 pages=200 rate=20 \
        idle=1 tick_us=50000 script=vif-lab "$@" >/dev/null 2>&1 ||
        fail "guest $name did not start on host$host"
    say "guest $name runs on host$host"
}

# have_guest NAME HOST: the one that the case before left, if it runs there and
# nowhere else, unprotected and right; otherwise a new one.  A boot takes long.
have_guest() {
    local name=$1 host=$2 line
    if guest_here "$name" "$host" && ! guest_here "$name" $((3 - host)) &&
        no_session "$name" "$host" &&
        on "$host" "grep -q 'pulse.idle=1' /guest/$name.cfg" &&
        ! on $((3 - host)) "xl list $name--incoming" >/dev/null 2>&1 &&
        line=$("$lab" guest pulse "$name" "$host" 2>/dev/null) &&
        [ "$(field "$line" bad)" = 0 ]; then
        say "guest $name is on host$host already"
    else
        start_guest "$name" "$host"
    fi
}

# ---- protection -----------------------------------------------------------------

status_of() { on "$2" "colo status $1 --json" 2>/dev/null || true; } # NAME HOST
value_in() { # FIELD STATUS
    # nobody stops reading early: with pipefail that would look like a failure
    tr ',{}' '\n' <<<"$2" | awk -F: -v key="\"$1\"" '$1 == key && !seen {
        gsub(/"/, "", $2); print $2; seen = 1 }'
}
status_field() { value_in "$3" "$(status_of "$1" "$2")"; } # NAME HOST FIELD

# protect NAME FROM TO: returns when the first epoch is committed
protect() {
    local name=$1 from=$2 to=$3
    shift 3
    on "$from" "timeout 300 colo protect $name host$to --daemon \
        $E2E_PROTECT $E2E_CHECK $*" \
        >"${TMPDIR:-/tmp}/protect.$$" 2>&1 ||
        { cat "${TMPDIR:-/tmp}/protect.$$"; fail "protect $name host$from -> host$to"; }
    rm -f "${TMPDIR:-/tmp}/protect.$$"
    say "$name is protected, host$from -> host$to"
}

# have_protected NAME FROM TO: as the case before left it, or anew.  A first copy
# takes long.
have_protected() {
    local status
    status=$(status_of "$1" "$2")
    if [ "$(value_in role "$status")" = primary ] &&
        [ "$(value_in audit_mismatches "$status")" = 0 ] &&
        "$lab" guest bad "$1" "$2" >/dev/null 2>&1; then
        say "$1 is protected already"
    else
        have_guest "$1" "$2"
        protect "$1" "$2" "$3"
    fi
}

epochs_pass() { # NAME HOST N: N more checkpoints are committed
    local said
    said=$(on "$2" "exec {events}< <(exec colo events $1)
        n=0 line='no session'
        while [ \$n -lt $3 ] && read -r -t 90 -u \$events line; do
            case \$line in
                *': epoch '*) n=\$((n + 1)) ;;
                *': ended'*) break ;;
            esac
        done
        kill \$! 2>/dev/null
        [ \$n -ge $3 ] || { echo \"\$n epochs of $3: \$line\"; exit 1; }") ||
        fail "$1 on host$2: $said"
}

new_guest() { # NAME HOST DOMID: it runs as another domain
    [ "$(on "$2" "xl domid $1" 2>/dev/null || echo "$3")" != "$3" ]
}

# reboots NAME HOST: by itself, and somebody makes it a new domain
reboots() {
    local before
    before=$(on "$2" "xl domid $1")
    "$lab" guest tell "$1" reboot "$2"
    until_true 90 "the new $1 after reboot" new_guest "$1" "$2" "$before"
    # what it says counts, and not what the one before has said
    on "$2" ": >/var/log/xen/console/guest-$1.log"
    pulse_good "$1" "$2"
}

no_session() { # NAME HOST
    ! on "$2" "colo status $1 --json" >/dev/null 2>&1
}

# Nothing of a session of that guest is left on a host.
clean_host() { # NAME HOST
    local said
    said=$(on "$2" "left() {
            colo status $1 --json >/dev/null 2>&1 && { echo its session; return; }
            for u in \$(xenstore-list /libcolo 2>/dev/null); do
                [ \"\$(xenstore-read /libcolo/\$u/name 2>/dev/null)\" != $1 ] ||
                    { echo nodes in xenstore; return; }
            done
            id=\$(xl domid $1 2>/dev/null) &&
                xenstore-exists /local/domain/\$id/device/suspend &&
                { echo the hold on its suspend channel; return; }
            xl list $1--incoming >/dev/null 2>&1 && echo a replica
        }
        for ((i = 0; i < 60; i++)); do
            what=\$(left)
            [ -n \"\$what\" ] || exit 0
            sleep 1
        done
        echo \"\$what is left\"; exit 1") || fail "$1 on host$2: $said"
}

# The host is up, reachable from the other one, and can be a backup.
host_ready() { # HOST
    local said
    said=$("$lab" power-on "$1" 2>&1) || fail "host$1: $said"
    "$lab" heal-link >/dev/null 2>&1 || fail "the link is not healed"
}

# The dead host begins to boot, while the case looks at the other one.
boots() { # HOST
    "$lab" power-on "$1" >/dev/null 2>&1 &
}

# asked NAME HOST: a session over TCP, whose answer no copy can give before it
# has the question
asked() {
    [ "$("$lab" guest sh "$1" 'echo $((6 * 7)); exit' | tr -d '\r\n')" = 42 ] ||
        fail "$1 does not answer on host$2"
    say "$1 answers, on host$2"
}

# ---- HVM guests ------------------------------------------------------------------

# hvm_goes_over [key=value...]: a session that is killed at a checkpoint, mostly
# while guest and devices stand still: both go on.  Then host 1 is switched off,
# and memory and devices go on together on host 2.
hvm_goes_over() {
    local begin
    host_ready 1; host_ready 2
    # emulated devices under an emulated CPU: few pages, or a pass takes minutes
    start_guest h1 1 type=hvm pages=100 rate=100 "$@"
    protect h1 1 2 --interval 1
    epochs_pass h1 1 3
    on 1 "pkill -KILL -x colo" || fail "no session to kill"
    until_true 60 "end of the session on host1" no_session h1 1
    until_true 60 "end of the session on host2" no_session h1 2
    guest_here h1 2 && fail "the guest runs on both hosts"
    pulse_good h1 1
    clean_host h1 1
    clean_host h1 2
    protect h1 1 2
    epochs_pass h1 1 8
    [ "$(status_field h1 1 audit_mismatches)" = 0 ] || fail "audit"
    say "$(on 1 'colo status h1' | grep '^pause')"
    "$lab" power-off 1
    begin=$SECONDS
    until_true 60 "takeover on host2" guest_here h1 2
    say "takeover after $((SECONDS - begin)) s (dead after 8 s of silence)"
    pulse_good h1 2
    until_true 60 "end of the session on host2" no_session h1 2
    "$lab" guest stop h1
    host_ready 1
}
