# SPDX-License-Identifier: GPL-2.0-or-later
# The replication link drops everything.  Without an arbiter both sides run on:
# each says so, neither hangs, each copy's memory is right.  Leaves it protected
# for the next case.
. "$(dirname "$0")/lib.sh"
host_ready 1; host_ready 2
have_protected g1 1 2
epochs_pass g1 1 3
"$lab" cut-link
until_true 60 "end of protection on host1" no_session g1 1
until_true 60 "takeover on host2" guest_here g1 2
pulse_good g1 1
pulse_good g1 2
"$lab" heal-link
on 2 "xl destroy g1"
say "protected again"
host_ready 2
protect g1 1 2
epochs_pass g1 1 3
