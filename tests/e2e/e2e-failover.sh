# SPDX-License-Identifier: GPL-2.0-or-later
# Host 1 is switched off in the middle of a checkpoint: the next one begins as
# soon as the last is committed, so it always is.  Then protection goes the
# other way and host 2 is switched off while the guest runs between checkpoints.
. "$(dirname "$0")/lib.sh"

takes_over() { # HOST
    local begin=$SECONDS
    until_true 60 "takeover on host$1" guest_here g1 "$1"
    say "takeover after $((SECONDS - begin)) s (dead after 8 s of silence)"
    boots $((3 - $1))
    pulse_good g1 "$1"
    on "$1" "xl list" | grep -- --incoming >/dev/null &&
        fail "the replica kept its old name"
    until_true 60 "end of the session on host$1" no_session g1 "$1"
}

host_ready 1; host_ready 2
start_guest g1 1 tick_us=20000 pages=800 rate=100
protect g1 1 2 --interval 1
epochs_pass g1 1 10
"$lab" power-off 1
takes_over 2
say "and back"
host_ready 1
protect g1 2 1 --interval 1500
epochs_pass g1 2 3
"$lab" power-off 2
takes_over 1
host_ready 2
"$lab" guest stop g1
