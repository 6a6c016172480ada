# SPDX-License-Identifier: GPL-2.0-or-later
# xl save and xl migrate on a protected guest: refused at once, and neither
# guest nor protection notices; once it is over, they work again.  A refused xl
# lets the guest go on; where that falls into the copy of a checkpoint,
# protection ends, says why, and can begin again.
. "$(dirname "$0")/lib.sh"
have_guest g1 1
protect g1 1 2
epochs_pass g1 1 3
refused() { # WHAT COMMAND
    local begin=$SECONDS said
    on 1 "timeout 150 $2" >"${TMPDIR:-/tmp}/foreign.$$" 2>&1 &&
        fail "$1 took the guest"
    # libxl's own word for the lock that the session holds
    grep -q "uspend event channel" "${TMPDIR:-/tmp}/foreign.$$" ||
        { cat "${TMPDIR:-/tmp}/foreign.$$"; fail "$1 failed otherwise"; }
    rm -f "${TMPDIR:-/tmp}/foreign.$$"
    say "$1 is refused after $((SECONDS - begin)) s"
    pulse_good g1 1
    if no_session g1 1; then
        said=$(on 1 "tail -n 5 /var/log/libcolo/g1.log")
        grep "somebody has resumed .* while its memory was copied" <<<"$said" ||
            fail "protection ended with $1, and not for the copy's sake: $said"
        clean_host g1 1
        until_true 60 "end of the session on host2" no_session g1 2
        protect g1 1 2
    fi
    epochs_pass g1 1 3
    [ "$(status_field g1 1 audit_mismatches)" = 0 ] || fail "audit after $1"
    on 2 "xl list g1--incoming >/dev/null" || fail "the replica is gone"
}
refused "xl save" "xl save g1 /tmp/g1.save"
refused "xl migrate" "xl migrate g1 host2"
on 1 "rm -f /tmp/g1.save; colo stop g1"
clean_host g1 1
[[ $(on 1 "colo status g1 2>&1; true") == *sessions*/var/log/libcolo/g1.log* ]] ||
    fail "colo status does not say where to look"
until_true 60 "end of the session on host2" no_session g1 2
# what the other tool's receiver made
on 2 'for d in $(xl list | awk "/--incoming/ {print \$2}"); do xl destroy $d; done'
pulse_good g1 1
on 1 "timeout 150 xl save g1 /tmp/g1.save && xl restore /tmp/g1.save" \
    >/dev/null 2>&1 || fail "xl save and restore after protection"
on 1 "rm -f /tmp/g1.save"
pulse_good g1 1
