# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the benchmarks that use the two hosts of tests/lab.  Sourced, after which
# there are $lab, $build and `on HOST`, and, of a guest that is protected on
# host1, `status_field NAME 1 FIELD` (tests/e2e/lib.sh).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"
# shellcheck disable=SC2034 # for those who source this
build=${COLO_BUILD:-$e2e_top/build}

lab_set_up() {
    "$e2e_top/tools/install-deps"
    [ -x "$e2e_top/configure" ] || (cd "$e2e_top" && autoreconf -fi)
    mkdir -p "$build"
    [ -f "$build/Makefile" ] || (cd "$build" &&
        "$e2e_top/configure" --prefix=/usr --libexecdir=/usr/libexec)
    make -C "$build" -j2
    "$lab" build && "$lab" up && COLO_BUILD=$build "$lab" push
}
lab_finish() { [ -n "${COLO_E2E_KEEP:-}" ] || "$lab" down >/dev/null 2>&1 || true; }

# Builds, boots and installs what is needed; the hosts end with the caller.
lab_ready() {
    local log
    log=$(mktemp)
    trap lab_finish EXIT
    # a function whose status is asked for does not end at its first error
    (set -e; lab_set_up) >"$log" 2>&1 &
    wait $! || { tail -n 20 "$log"; rm -f "$log"; die "set-up"; }
    rm -f "$log"
}
