# SPDX-License-Identifier: GPL-2.0-or-later
# The guest reboots, powers off, crashes: carried out at the primary, the replica
# goes, protection ends.
. "$(dirname "$0")/lib.sh"
no_guest() { ! guest_here "$1" "$2"; }
new_guest() { [ "$(on 1 'xl domid g1' 2>/dev/null || echo "$before")" != "$before" ]; }
ends() { # HOW WHAT COMMAND...: what is seen on host 1
    local how=$1
    shift
    protect g1 1 2
    epochs_pass g1 1 2
    "$lab" guest tell g1 "$how" 1
    until_true 90 "$@"
    # a new guest has nodes of its own
    [ "$how" = reboot ] || clean_host g1 1
    clean_host g1 2
    say "$how was carried out"
}

have_guest g1 1
before=$(on 1 "xl domid g1")
ends reboot "the new g1 after reboot" new_guest
# what it says counts, and not what the one before has said
on 1 ": >/var/log/xen/console/guest-g1.log"
pulse_good g1 1
ends poweroff "end of g1 after poweroff" no_guest g1 1
start_guest g1 1
ends crash "end of g1 after crash" no_guest g1 1
