# SPDX-License-Identifier: GPL-2.0-or-later
# Mode colo: both copies of an HVM guest without PV drivers run, a client gets
# what both agree on, and either host may go.  First the backup is switched off
# and the primary's copy goes on alone, then the primary is.
. "$(dirname "$0")/lib.sh"

both_run() {
    # the emulated hosts take seconds for what others do in a millisecond
    protect h1 1 2 --mode colo --interval 20000 --hold 30000
    [ "$(status_field h1 1 mode)" = colo ] || fail "mode"
    epochs_pass h1 1 2
    pulse_good h1 1
    pulse_good h1 2
    asked h1 1
    on 1 "colo checkpoint h1" || fail "colo checkpoint"
    epochs_pass h1 1 1
    pulse_good h1 2
    [ "$(status_field h1 1 audit_mismatches)" = 0 ] || fail "audit"
    on 1 "colo status h1"
}

host_ready 1; host_ready 2
start_guest h1 1 type=hvm nopv=1 pages=100 rate=20 tick_us=100000
asked h1 1
both_run
"$lab" power-off 2
until_true 60 "end of protection" no_session h1 1
pulse_good h1 1
asked h1 1
host_ready 2
both_run
"$lab" power-off 1
until_true 60 "takeover on host2" guest_here h1 2
pulse_good h1 2
asked h1 2
until_true 60 "end of the session on host2" no_session h1 2
"$lab" guest stop h1
host_ready 1
