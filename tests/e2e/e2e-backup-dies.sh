# SPDX-License-Identifier: GPL-2.0-or-later
# The backup host is switched off: the guest goes on, and can be protected
# again when the host is back.  Leaves it protected for the next case.
. "$(dirname "$0")/lib.sh"
host_ready 1; host_ready 2
have_protected g1 1 2
epochs_pass g1 1 3
"$lab" power-off 2
until_true 60 "end of protection" no_session g1 1
pulse_good g1 1
on 1 "xenstore-ls /libcolo 2>/dev/null" | grep . >/dev/null && fail "nodes are left"
host_ready 2
protect g1 1 2
epochs_pass g1 1 3
