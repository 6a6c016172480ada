#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What programs have taken in from colo.h stays as it is: layout.txt holds the
# sizes, fields, constants and symbols of the present interface.  The test fails
# when one has moved, shrunk, changed or gone; what is new must be added with
#   tests/abi/test-layout.sh --write
# which refuses while something is broken.  (To break the interface on
# purpose, with a new library version, delete the line by hand.)
set -u
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$top/tests/abi
cc=${CC:-gcc}
export LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

printf 'int a[sizeof(void *) == 8 && sizeof(long) == 8 ? 1 : -1];\n' \
    >"$tmp/lp64.c"
# CC may have words
# shellcheck disable=SC2086
$cc -fsyntax-only "$tmp/lp64.c" 2>/dev/null ||
    { echo "test-layout: layout.txt is for 64 bits: skipped"; exit 77; }
awk -f "$here/layout.awk" "$top/libcolo/colo.h" >"$tmp/layout.c" || exit 1
# shellcheck disable=SC2086
$cc -I"$top/libcolo" -o "$tmp/layout" "$tmp/layout.c" || exit 1
"$tmp/layout" >"$tmp/out" ||
    { echo "test-layout: what $cc makes does not run here: skipped"; exit 77; }
awk '/^LIBCOLO_/ { node = $1 }
     /^ *colo_[a-z0-9_]*;/ { sub(/;.*/, ""); print "symbol", $1, node }' \
    "$top/libcolo/libcolo.map" >>"$tmp/out"
sort "$tmp/out" >"$tmp/now"
grep -v '^#' "$here/layout.txt" | sort >"$tmp/then"

# Gone or changed: an error, except what may grow: a struct that begins with
# its size, and the number of names there are.
comm -13 "$tmp/now" "$tmp/then" >"$tmp/missing"
awk 'NR == FNR { value[$1 " " $2] = $3; if ($2 ~ /\.size$/ && $4 == 0)
                     sized[substr($2, 1, length($2) - 5)] = 1; next }
     $1 == "struct" && sized[$2] && value[$1 " " $2] + 0 > $3 + 0 { next }
     $1 == "constant" && $2 ~ /_COUNT$/ && value[$1 " " $2] + 0 > $3 + 0 { next }
     { print }' "$tmp/now" "$tmp/missing" >"$tmp/broken"
comm -23 "$tmp/now" "$tmp/then" >"$tmp/new"
if [ -s "$tmp/broken" ]; then
    echo "test-layout: the interface is broken; it had, and has no more:" >&2
    cat "$tmp/broken" >&2
    exit 1
fi
if [ "${1:-}" = --write ]; then
    {
        echo "# SPDX-License-Identifier: GPL-2.0-or-later"
        echo "# See test-layout.sh.  struct NAME SIZE; field NAME TYPE OFFSET" \
            "SIZE."
        cat "$tmp/now"
    } >"$tmp/text" && cat "$tmp/text" >"$here/layout.txt"
    exit
fi
if [ -s "$tmp/new" ]; then
    echo "test-layout: new; add it with tests/abi/test-layout.sh --write:" >&2
    cat "$tmp/new" >&2
    exit 1
fi
exit 0
