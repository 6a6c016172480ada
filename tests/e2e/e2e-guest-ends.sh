# SPDX-License-Identifier: GPL-2.0-or-later
# The guest powers off, reboots, crashes: carried out at the primary, the
# replica goes, protection ends.
. "$(dirname "$0")/lib.sh"
no_guest() { ! guest_here "$1" "$2"; }
for how in poweroff crash; do
    have_guest g1 1
    protect g1 1 2
    epochs_pass g1 1 2
    "$lab" guest tell g1 $how 1
    until_true 60 "end of g1 after $how" no_guest g1 1
    clean_host g1 1
    clean_host g1 2
    say "$how was carried out"
done
start_guest g1 1
before=$(on 1 "xl domid g1")
protect g1 1 2
epochs_pass g1 1 2
"$lab" guest tell g1 reboot 1
new_guest() { [ "$(on 1 'xl domid g1' 2>/dev/null || echo "$before")" != "$before" ]; }
until_true 90 "the new g1 after reboot" new_guest
clean_host g1 2
"$lab" guest stop g1
say "reboot was carried out"
