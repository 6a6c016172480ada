#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The binary interface: colo.h, libcolo.map and the built library name the same
# symbols, and the library has no writable data of its own.
set -u
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${top_builddir:-$top}
lib=$build/libcolo/.libs/libcolo.so
failed=0

bad() { echo "test-abi: $*" >&2; failed=1; }

[ -e "$lib" ] || { echo "test-abi: $lib is not built: skipped"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# Declarations: from COLO_PUBLIC to the opening parenthesis.
tr '\n' ' ' <"$top/libcolo/colo.h" |
    grep -oE 'COLO_PUBLIC [^;(]*\(' | grep -oE 'colo_[a-z0-9_]+\(' |
    tr -d '(' | LC_ALL=C sort >"$tmp/header"
sed -n 's/^ *\(colo_[a-z0-9_]*\);$/\1/p' "$top/libcolo/libcolo.map" |
    LC_ALL=C sort >"$tmp/map"
# With their version nodes; the nodes themselves are absolute symbols.
nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' |
    LC_ALL=C sort >"$tmp/versioned"
sed 's/@.*//' "$tmp/versioned" >"$tmp/library"

[ "$(wc -l <"$tmp/header")" -gt 30 ] || bad "found no declarations in colo.h"
diff "$tmp/header" "$tmp/map" >&2 || bad "colo.h and libcolo.map differ"
diff "$tmp/map" "$tmp/library" >&2 ||
    bad "libcolo.map and the exports of $lib differ"
uniq -d "$tmp/header" | grep . >&2 && bad "declared twice"
grep -v '@@LIBCOLO_0\.' "$tmp/versioned" >&2 &&
    bad "exported without a version node of ours"

# Two sessions in one process share nothing: no .data, no .bss.  (Constant
# tables with pointers are in .data.rel.ro.)
if ! nm -D "$lib" | grep -qE '__(asan|ubsan|tsan)_'; then
    objdump -t "$lib" | awk '$4 == ".data" || $4 == ".bss" { print $NF }' |
        grep -vE '^(\.data|\.bss|__dso_handle|completed\.[0-9]+|__TMC_END__)$' |
        grep -vE '^(__bss_start|_edata|_end|_ITM_.*)$' >"$tmp/writable"
    # Without symbols (stripped) the sections' sizes still tell.
    [ ! -s "$tmp/writable" ] ||
        bad "writable data in the library: $(tr '\n' ' ' <"$tmp/writable")"
fi

# Nobody finds a printf, an exit or an abort in it.
nm -D --undefined-only "$lib" | awk '{ print $2 }' | sed 's/@.*//' |
    grep -xE 'printf|puts|putchar|perror|exit|abort|signal|sigaction' >&2 &&
    bad "the library must not use these"
exit $failed
