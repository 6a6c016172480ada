# SPDX-License-Identifier: GPL-2.0-or-later
# xl save and xl migrate on a protected guest: an error or a clean end, never
# a guest that stands still or a replica that is wrong.
. "$(dirname "$0")/lib.sh"
have_guest g1 1
protect g1 1 2
epochs_pass g1 1 3
on 1 "timeout 150 xl save g1 /tmp/g1.save" && fail "xl save took the guest"
on 1 "rm -f /tmp/g1.save"
pulse_good g1 1
if ! no_session g1 1; then
    epochs_pass g1 1 3
    [ "$(status_field g1 1 audit_mismatches)" = 0 ] || fail "audit after save"
else
    protect g1 1 2
fi
on 1 "timeout 150 xl migrate g1 host2" && fail "xl migrate took the guest"
pulse_good g1 1
if ! no_session g1 1; then
    epochs_pass g1 1 3
    on 1 "colo stop g1"
fi
clean_host g1 1
until_true 60 "end of the session on host2" no_session g1 2
on 2 'for d in $(xl list | awk "/--incoming/ {print \$2}"); do xl destroy $d; done'
pulse_good g1 1
