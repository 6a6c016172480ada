#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a machine can see of the style in HACKING.md: licence lines, columns,
# tabs, layering.  Looks at the files of the source tree.
set -u
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top" || exit 1
failed=0

bad() { echo "test-style: $*" >&2; failed=1; }

files() { # find's tests
    find . \( -name .git -o -name m4 -o -name build-aux -o -name 'build*' \
        -o -name autom4te.cache -o -name 'libcolo-[0-9]*' -o -name '_*' \) -prune \
        -o -type f "$@" -print | sort
}
is_c=(\( -name '*.c' -o -name '*.h' \) ! -name config.h)
is_code=(\( -name '*.c' -o -name '*.h' -o -name '*.sh' -o -name '*.am' \
    -o -name '*.ac' -o -name '*.bash' -o -name '*.py' \) ! -name config.h)

for f in $(files "${is_code[@]}"); do
    head -3 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' ||
        bad "$f: no SPDX line"
    grep -nE '[[:blank:]]+$' "$f" | sed "s|^|$f:|" | head -3 | grep . >&2 &&
        bad "$f: blanks at the end of a line"
done
for f in $(files "${is_c[@]}"); do
    head -3 "$f" | grep -q 'Copyright (C)' || [[ $f == ./tests/* ]] ||
        bad "$f: no header comment"
    grep -nP '\t' "$f" | head -1 | grep -q . && bad "$f: tabs"
    max=80
    [[ $f == ./tests/* ]] && max=90
    LC_ALL=C.UTF-8 awk -v f="$f" -v max=$max 'length > max {
        print f ":" FNR ": " length " columns"; n = 1 } END { exit n }' "$f" \
        >&2 || bad "$f: lines over $max columns"
done

# Pure code knows no Xen; the command and the examples only the public header.
grep -lE '#include <(xen|lib)xl?[^>]*>' libcolo/pure/*.[ch] 2>/dev/null |
    grep . >&2 && bad "pure code includes Xen headers"
grep -nE '#include "[^"]*\.\./|#include "(internal|pure/|hv/|engine/)' \
    cli/*.[ch] examples/*.c | grep -v '^cli/attach.c:' | grep . >&2 &&
    bad "only the public header may be used there"
grep -nE '\b(printf|fprintf|puts|perror|exit|abort|assert)\(' \
    libcolo/*.c libcolo/{pure,hv,dm,link,engine,check}/*.c xenstore/*.c \
    net-proxy/*.c remus-compat/*.c \
    xl-plugin/{plugin,errors,options,peer,helper}.c |
    grep -v 'snprintf\|_exit\|^[^:]*:[0-9]*: *\*\|/\*' | grep . >&2 &&
    bad "the library must not print or end the program"
exit $failed
