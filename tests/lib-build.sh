# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) libcolo developers
#
# For scripts that may be run from a fresh clone: colo_build TARGET... makes
# what they need in a build directory of their own and prints nothing unless
# it fails.  COLO_BUILDDIR names another (configured) build directory.

root=$(cd "$(dirname "$0")/../.." && pwd)
builddir=${COLO_BUILDDIR:-$root/build-tests}

# one builder at a time: ./check runs scripts side by side
colo_build()
{
    local log

    mkdir -p "$builddir"
    log=$builddir/$(basename "$0").build.log
    (
        flock 9
        cd "$builddir" || exit 1
        if [ ! -x "$root/configure" ]; then
            (cd "$root" && autoreconf -fi) || exit 1
        fi
        if [ ! -f Makefile ]; then
            "$root/configure" || exit 1
        fi
        for target in "$@"; do
            make -j2 -C "$(dirname "$target")" \
                "$(basename "$target")" || exit 1
        done
    ) 9>"$builddir/.lock" >"$log" 2>&1 && return 0
    tail -n 20 "$log" >&2
    echo "$0: the build failed: $log" >&2
    exit 1
}
