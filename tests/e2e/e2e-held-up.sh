# SPDX-License-Identifier: GPL-2.0-or-later
# The primary's session stands still for longer than "dead", its backup takes
# over, and then the session is killed before it could learn of that.  What is
# left of the guest there ends, and its disk is not taken for the newest copy.
. "$(dirname "$0")/lib.sh"
guest=held
backing=/srv/held.raw
disk=/usr/libexec/libcolo/colo-disk

"$lab" guest stop $guest >/dev/null 2>&1 || true
for n in 1 2; do
    until_true 60 "end of an old session on host$n" no_session $guest $n
    on $n "rm -f $backing /var/lib/libcolo/disk/*held.raw*
        mkdir -p /srv && truncate -s 16M $backing"
done
start_guest $guest 1 \
    "disk=vdev=xvda,format=raw,access=w,script=block-colo,target=$backing"
protect $guest 1 2
epochs_pass $guest 1 2
on 1 "pkill -STOP -x colo" || fail "no session to hold up"
until_true 60 "takeover on host2" guest_here $guest 2
say "host2 has taken over, and host1 does not know"
guest_here $guest 1 || fail "host1 has no guest any more: nothing is tested"
on 1 "pkill -KILL -x colo" || fail "no session to kill"
# as a unit's ExecStopPost: beside the watchdog
on 1 "colo recover" || true
until_true 90 "end of the guest on host1" eval "! guest_here $guest 1"
is_outdated() { on 1 "$disk status $backing" | grep -w outdated; }
until_true 120 "mark of the old copy" is_outdated
said=$(on 1 "$disk attach $backing 2>&1") && fail "a guest may start on it"
say "refused: $said"
clean_host $guest 1
pulse_good $guest 2
protect $guest 2 1
epochs_pass $guest 2 2
on 2 "colo stop $guest"
until_true 60 "end of the session on host1" no_session $guest 1
"$lab" guest stop $guest >/dev/null 2>&1 || true
