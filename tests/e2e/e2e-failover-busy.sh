# SPDX-License-Identifier: GPL-2.0-or-later
# Host 1 is switched off in the middle of a checkpoint: the next one begins as
# soon as the last is committed, so it always is.  Then protection goes the
# other way and host 2 is switched off.
. "$(dirname "$0")/lib.sh"
host_ready 1; host_ready 2
start_guest g1 1
protect g1 1 2 --interval 1
epochs_pass g1 1 10
"$lab" power-off 1
until_true 60 "takeover on host2" guest_here g1 2
pulse_good g1 2
until_true 60 "end of the session on host2" no_session g1 2
say "and back"
host_ready 1
protect g1 2 1 --interval 1
epochs_pass g1 2 10
"$lab" power-off 2
until_true 60 "takeover on host1" guest_here g1 1
pulse_good g1 1
until_true 60 "end of the session on host1" no_session g1 1
"$lab" guest stop g1
host_ready 2
