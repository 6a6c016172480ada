# SPDX-License-Identifier: GPL-2.0-or-later
# The guest reboots: carried out at the primary, the replica goes, protection
# ends.  (Its other ends are in two-guests.)
. "$(dirname "$0")/lib.sh"

have_guest g1 1
protect g1 1 2
epochs_pass g1 1 2
reboots g1 1
clean_host g1 2
"$lab" guest stop g1
say "reboot was carried out"
