#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every public symbol, subcommand, option, exit code, finding and state has its
# place in a manual page, and the pages are good POD.  Reads sources only,
# and the two programs named in COLO and PRINT_STATES.
set -u
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
colo=${COLO:-}
print_states=${PRINT_STATES:-}
failed=0

bad() { echo "test-docs: $*" >&2; failed=1; }

# --- libcolo(3) names every symbol -----------------------------------------
symbols=$(sed -n 's/^ *\(colo_[a-z_]*\);$/\1/p' "$top/libcolo/libcolo.map")
[ "$(wc -w <<<"$symbols")" -gt 20 ] || bad "no symbols found in libcolo.map"
for s in $symbols; do
    grep -q "B<$s>" "$top/man/libcolo.pod" || bad "libcolo(3) lacks $s"
done

# --- libcolo(3) names every error code ---------------------------------------
# names have no blanks
# shellcheck disable=SC2013
for e in $(grep -o '^#define COLO_E_[A-Z_]*' "$top/libcolo/colo.h" |
           cut -d' ' -f2); do
    grep -qw "$e" "$top/man/libcolo.pod" || bad "libcolo(3) lacks $e"
done

# --- colo(1): subcommands, options, exit codes, findings -----------------------
if [ -n "$colo" ]; then
    commands=$("$colo" help | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p')
    [ "$(wc -w <<<"$commands")" -gt 8 ] || bad "colo help lists no commands"
    for c in $commands help; do
        grep -q "^=head2 $c\$" "$top/man/colo.pod" ||
            bad "colo(1) lacks the command $c"
        [ "$c" = help ] && continue
        for o in $("$colo" help "$c" | grep -oE '^ +(-[a-z], )?--[a-z-]+' |
                   grep -oE -- '--[a-z-]+'); do
            grep -qE -- "B<($o( [^>]*)?)>" "$top/man/colo.pod" ||
                bad "colo(1) lacks $c $o"
        done
    done
fi
# shellcheck disable=SC2013
for n in $(sed -n 's/^#define CLI_[A-Z_]* *\([0-9]\).*/\1/p' \
           "$top/cli/exit.h"); do
    grep -q "^=item B<$n>" "$top/man/colo.pod" ||
        bad "colo(1) lacks exit status $n"
done
ids=$(cat "$top"/libcolo/check/*.c "$top"/cli/cmd-check.c | tr '\n' ' ' |
      grep -oE '(REFUSED|WARNING|OK),[ ]*"[a-z0-9-]+"|"[a-z0-9]+", "[a-z-]+", "' |
      grep -oE '"[a-z0-9-]+"(, ")?$' | grep -oE '[a-z0-9-]+' | sort -u)
[ "$(wc -w <<<"$ids")" -gt 30 ] || bad "no findings found in libcolo/check"
for i in $ids; do
    grep -q "C<$i>" "$top/man/colo.pod" || bad "colo(1) lacks finding $i"
done

# --- libcolo-states(7) shows the tables of the program --------------------------
section() { # heading
    awk -v h="=head2 $1" '$0 == h { on = 1; next } /^=/ { on = 0 }
        on && /^ /' "$top/man/libcolo-states.pod"
}
if [ -n "$print_states" ]; then
    for t in Primary Secondary Failover; do
        diff <("$print_states" "${t,,}" | grep .) <(section "$t") >&2 ||
            bad "libcolo-states(7): table $t is not that of states.c"
    done
    for s in $("$print_states" primary | awk 'NF { print $1; print $3 }' |
               sort -u); do
        grep -q "^=item B<$s>" "$top/man/libcolo-states.pod" ||
            bad "libcolo-states(7) does not explain $s"
    done
fi

# --- POD, and no page forgotten ---------------------------------------------------
for p in "$top"/man/*.pod; do
    if command -v podchecker >/dev/null; then
        podchecker -warnings "$p" 2>/dev/null || bad "$p: see podchecker"
    fi
    grep -q "[[:space:]]$(basename "$p")\\b" "$top/man/Makefile.am" ||
        bad "$p is not in man/Makefile.am"
done
exit $failed
