# SPDX-License-Identifier: GPL-2.0-or-later
# The commands and the xenstore contract on a protected guest, and a clean end.
. "$(dirname "$0")/lib.sh"
have_guest g1 1
E2E_CHECK='' protect g1 1 2
epochs_pass g1 1 3
[ "$(status_field g1 1 role)" = primary ] || fail "role on host1"
[ "$(status_field g1 2 role)" = secondary ] || fail "role on host2"
[ "$(status_field g1 1 mode)" = remus ] || fail "mode"
on 1 "colo status g1" | grep g1 >/dev/null || fail "colo status"
on 1 "colo events g1 --now" | grep . >/dev/null || fail "colo events --now"
on 1 "colo delay g1 300" || fail "colo delay"
[ "$(status_field g1 1 interval_ms)" = 300 ] || fail "the delay is not in status"
on 1 "colo checkpoint g1" || fail "colo checkpoint"
say "xenstore-write alone drives the session"
on 1 'u=$(xenstore-list /libcolo | head -n 1)
    xenstore-write /libcolo/$u/control "77 delay 200"
    for i in $(seq 50); do
        r=$(xenstore-read /libcolo/$u/control-reply 2>/dev/null)
        [ "$r" = "77 ok" ] && exit 0
        sleep 0.2
    done
    echo "reply: $r"; exit 1' || fail "control by xenstore-write"
on 1 'u=$(xenstore-list /libcolo | head -n 1)
    xenstore-write /libcolo/$u/control "78 delay never"
    for i in $(seq 50); do
        r=$(xenstore-read /libcolo/$u/control-reply 2>/dev/null)
        case $r in "78 error "*) exit 0 ;; esac
        sleep 0.2
    done
    echo "reply: $r"; exit 1' || fail "a bad control request is refused"
[ "$(status_field g1 1 audit_mismatches)" = 0 ] || fail "the audit found pages"
on 1 "colo protect g1 host2 --daemon" >/dev/null 2>&1 &&
    fail "a second session for the same guest was let in"
on 1 "colo failover nosuchguest" >/dev/null 2>&1 && fail "failover of nobody"
pulse_good g1 1
on 1 "colo stop g1" || fail "colo stop"
clean_host g1 1
clean_host g1 2
pulse_good g1 1
