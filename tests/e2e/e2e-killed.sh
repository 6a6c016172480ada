# SPDX-License-Identifier: GPL-2.0-or-later
# Processes are killed with SIGKILL: the session on either side, and then the
# session together with its watchdog.  The guest always goes on, on one host.
. "$(dirname "$0")/lib.sh"
kill_primary() { # what
    on 1 "pkill -KILL -x $1" || fail "no $1 to kill"
}

say "the primary's session, at any moment"
have_protected g1 1 2
on 1 "colo delay g1 1" || fail "colo delay"
epochs_pass g1 1 $((2 + RANDOM % 4))
kill_primary colo
until_true 60 "end of the session on host1" no_session g1 1
until_true 60 "end of the session on host2" no_session g1 2
guest_here g1 2 && fail "the guest runs on both hosts"
pulse_good g1 1
clean_host g1 1
clean_host g1 2
say "what the guest does next is still carried out"
sleep 6 # the watchdog looks after a suspend under way first
reboots g1 1

say "the backup's session"
protect g1 1 2
epochs_pass g1 1 3
on 2 "pkill -KILL -x colo"
until_true 60 "end of the session on host1" no_session g1 1
pulse_good g1 1
on 2 "colo recover"
clean_host g1 2

say "the watchdog and the session"
protect g1 1 2 --interval 1
epochs_pass g1 1 3
on 1 "pkill -KILL -x colo-watchdog; pkill -KILL -x colo; colo recover"
pulse_good g1 1
clean_host g1 1
on 2 "xl list" | grep "^g1 " >/dev/null && on 2 "xl destroy g1"
until_true 60 "end of the session on host2" no_session g1 2
