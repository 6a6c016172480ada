# SPDX-License-Identifier: GPL-2.0-or-later
# The guest reboots: carried out at the primary, the replica goes, protection
# ends.  (Its other ends are in two-guests.)
. "$(dirname "$0")/lib.sh"

have_guest g1 1
before=$(on 1 "xl domid g1")
protect g1 1 2
epochs_pass g1 1 2
"$lab" guest tell g1 reboot 1
until_true 90 "the new g1 after reboot" new_guest g1 1 "$before"
clean_host g1 2
# what it says counts, and not what the one before has said
on 1 ": >/var/log/xen/console/guest-g1.log"
pulse_good g1 1
"$lab" guest stop g1
say "reboot was carried out"
