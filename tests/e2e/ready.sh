# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For programs that bring the two hosts of tests/lab up themselves: benchmarks,
# matrices.  Sourced, after which there are $lab, $build and all of lib.sh.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck disable=SC2034 # for those who source this
build=${COLO_BUILD:-$e2e_top/build}

lab_set_up() {
    "$e2e_top/tools/install-deps"
    [ -x "$e2e_top/configure" ] || (cd "$e2e_top" && autoreconf -fi)
    mkdir -p "$build"
    [ -f "$build/Makefile" ] || (cd "$build" &&
        "$e2e_top/configure" --prefix=/usr --libexecdir=/usr/libexec)
    make -C "$build" -j2
    lab_boot
}
# From fresh disks; what the hosts' releases are is COLO_LAB_RELEASE1 and 2's
# business.
lab_boot() {
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
