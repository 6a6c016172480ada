# SPDX-License-Identifier: GPL-2.0-or-later
# HVM guests, whose devices QEMU emulates: with PV drivers (they suspend by
# themselves at a checkpoint) and without (they are stopped).  The session is
# killed at any moment, mostly while guest and devices stand still: both go on.
# Then host 1 is switched off, and devices and memory go on together on host 2.
. "$(dirname "$0")/lib.sh"

goes_over() { # WHAT [key=value...]
    local what=$1 begin
    shift
    host_ready 1; host_ready 2
    # emulated devices under an emulated CPU: few pages, or a pass takes minutes
    start_guest h1 1 type=hvm pages=100 rate=100 "$@"
    say "$what: the session is killed"
    protect h1 1 2 --interval 1
    epochs_pass h1 1 3
    on 1 "pkill -KILL -x colo" || fail "no session to kill"
    until_true 60 "end of the session on host1" no_session h1 1
    until_true 60 "end of the session on host2" no_session h1 2
    guest_here h1 2 && fail "the guest runs on both hosts"
    pulse_good h1 1
    clean_host h1 1
    clean_host h1 2
    say "$what: host 1 is switched off"
    protect h1 1 2
    epochs_pass h1 1 8
    [ "$(status_field h1 1 audit_mismatches)" = 0 ] || fail "audit"
    say "$what: $(on 1 'colo status h1' | grep -i pause | head -n 2 | tr '\n' ' ')"
    "$lab" power-off 1
    begin=$SECONDS
    until_true 60 "takeover on host2" guest_here h1 2
    say "takeover after $((SECONDS - begin)) s (dead after 8 s of silence)"
    pulse_good h1 2
    until_true 60 "end of the session on host2" no_session h1 2
    "$lab" guest stop h1
}

goes_over "PV drivers"
goes_over "no PV drivers" nopv=1
host_ready 1
