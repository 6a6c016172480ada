# SPDX-License-Identifier: GPL-2.0-or-later
# Host 1 is switched off while an idle-ish guest waits between checkpoints.
. "$(dirname "$0")/lib.sh"
host_ready 1; host_ready 2
start_guest g1 1 rate=10
protect g1 1 2 --interval 1000
epochs_pass g1 1 5
"$lab" power-off 1
begin=$SECONDS
until_true 60 "takeover on host2" guest_here g1 2
say "takeover after $((SECONDS - begin)) s (dead after 8 s of silence)"
pulse_good g1 2
on 2 "xl list" | grep -- --incoming >/dev/null && fail "the replica kept its old name"
until_true 60 "end of the session on host2" no_session g1 2
"$lab" guest stop g1
host_ready 1
