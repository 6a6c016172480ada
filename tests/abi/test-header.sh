#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# colo.h alone, without config.h or feature macros, in every dialect that a
# program may be written in: C90 with stdint.h, C99, C11, C++; and the example
# of libcolo(3).
set -u
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cc=${CC:-gcc}
cxx=${CXX:-g++}
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

try() { # compiler dialect file
    # CC may have words
    # shellcheck disable=SC2086
    $1 -std="$2" -pedantic-errors -Wall -Wextra -Werror -fsyntax-only \
        -I"$top/libcolo" "$3" ||
        { echo "test-header: not $2" >&2; failed=1; }
}

cat >"$tmp/use.c" <<'USE'
#include <colo.h>
#include <colo.h> /* twice is fine */

int use(void);
int use(void)
{
    struct colo_config config;
    struct colo_error err;
    struct colo_session *session = NULL;
    int rc;

    if (colo_config_init(&config, sizeof(config)))
        return COLO_E_INVAL;
    config.role = COLO_ROLE_PRIMARY;
    rc = colo_session_open(&config, &session, &err);
    colo_session_close(session);
    return rc;
}
USE
cp "$tmp/use.c" "$tmp/use.cc"
for std in c90 c99 c11; do
    try "$cc" $std "$tmp/use.c"
done
if command -v "${cxx%% *}" >/dev/null; then
    for std in c++98 c++11 c++17; do
        # C++98 had no long long: the 64-bit types of stdint.h bring it
        try "$cxx -Wno-long-long" $std "$tmp/use.cc"
    done
else
    echo "test-header: no C++ compiler, not tried"
fi
sed -n '/^=head1 EXAMPLE/,/^ }$/p' "$top/man/libcolo.pod" |
    sed -n 's/^ //p' >"$tmp/example.c"
grep -q colo_session_run "$tmp/example.c" ||
    { echo "test-header: no example in libcolo(3)" >&2; failed=1; }
try "$cc" c11 "$tmp/example.c"
exit $failed
