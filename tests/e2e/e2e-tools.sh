# SPDX-License-Identifier: GPL-2.0-or-later
# The commands and the xenstore contract on a protected guest.  Leaves it
# protected for the next case.
. "$(dirname "$0")/lib.sh"
have_guest g1 1
E2E_CHECK='' protect g1 1 2
epochs_pass g1 1 3
status=$(status_of g1 1)
[ "$(value_in role "$status")" = primary ] || fail "role on host1"
[ "$(value_in mode "$status")" = remus ] || fail "mode"
[ "$(status_field g1 2 role)" = secondary ] || fail "role on host2"
on 1 "colo status g1 | grep g1" >/dev/null || fail "colo status"
on 1 "colo events g1 --now | grep ." >/dev/null || fail "colo events --now"
on 1 "colo delay g1 1300" || fail "colo delay"
[ "$(status_field g1 1 interval_ms)" = 1300 ] || fail "the delay is not in status"
on 1 "colo checkpoint g1" || fail "colo checkpoint"
say "xenstore-write alone drives the session"
written() { # REQUEST REPLY; the reply's first word is the request's
    on 1 "u=\$(xenstore-list /libcolo | head -n 1)
        xenstore-write /libcolo/\$u/control '$1'
        for i in \$(seq 50); do
            r=\$(xenstore-read /libcolo/\$u/control-reply 2>/dev/null)
            case \$r in $2) exit 0 ;; esac
            sleep 0.2
        done
        echo \"reply: \$r\"; exit 1" || fail "'$1' by xenstore-write"
}
written "77 delay 1000" '"77 ok"'
written "78 delay never" '"78 error "*'
status=$(status_of g1 1)
[ "$(value_in interval_ms "$status")" = 1000 ] || fail "the delay by xenstore-write"
[ "$(value_in audit_mismatches "$status")" = 0 ] || fail "the audit found pages"
on 1 "colo protect g1 host2 --daemon" >/dev/null 2>&1 &&
    fail "a second session for the same guest was let in"
on 1 "colo failover nosuchguest" >/dev/null 2>&1 && fail "failover of nobody"
pulse_good g1 1
