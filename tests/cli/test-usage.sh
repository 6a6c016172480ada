#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command line of colo: what is wrong is said on stderr with exit status
# 2, help goes to stdout with 0.  Needs no Xen.
set -u
colo=${COLO:?}
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

bad() { echo "test-usage: $*" >&2; failed=1; }

expect() { # status words-on-stderr(or -) args...
    local want=$1 words=$2 got
    shift 2
    "$colo" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    got=$?
    [ $got = "$want" ] || bad "colo $*: status $got, not $want"
    [ "$words" = - ] || grep -qF -- "$words" "$tmp/err" ||
        bad "colo $*: says $(cat "$tmp/err")"
    [ "$want" != 2 ] || [ ! -s "$tmp/out" ] || bad "colo $*: error on stdout"
}

expect 2 "usage: colo COMMAND"
expect 2 "no such command" frobnicate
expect 2 "no such command" help frobnicate
expect 0 - --version
expect 0 - help
expect 0 - --help
for c in check protect status events checkpoint delay failover stop recover \
    receive version; do
    expect 0 - help $c
    grep -q "^usage: colo $c" "$tmp/out" || bad "help $c"
    expect 0 - $c --help
    expect 2 "usage: colo $c" $c --nonsense
done
expect 2 "an argument is missing" protect web
expect 2 "too many arguments" protect web host2 more
expect 2 "is no host" protect web -- -oProxyCommand=x
expect 2 "is no host" check web -- -oProxyCommand=x
expect 2 "number from 1 to 600000" protect web host2 --interval 0
expect 2 "give one of remus, colo" protect web host2 --mode fast
expect 2 "number from 1 to 600000" protect web host2 --interval=1s
expect 2 "give one of tls, ssh" protect web host2 --transport telnet
expect 2 "give one of auto, never, always" protect a b --compress=yes
expect 2 "at least twice --heartbeat" protect a b --heartbeat 600 --dead 1000
expect 2 "not with --mode colo" protect a b --mode colo --no-network-buffer
expect 2 "not with --mode colo" protect a b --mode colo --no-disks
expect 2 "give one of link, tcp, udp, dns" protect a b --policy arp=pass
expect 2 "give one of compare, pass, drop" protect a b --policy dns=ignore
expect 2 "give CLASS=POLICY" protect a b --policy dns
expect 2 "an argument is missing" events
expect 2 "an argument is missing" delay web
expect 2 "number from 1 to 600000" delay web x
expect 2 "number from 1 to 3600" stop web --timeout 0
expect 2 "number from 1 to 3600" failover web --timeout 3601
expect 2 "number from 1 to 604800" verify web --timeout 604801
expect 2 "give one of remus, colo" check web --mode fast
expect 2 "give one of libcolo, auto, stock" check web host2 --peer xl
expect 2 "give one of auto, xl, libvirt" check web host2 --toolstack xe
expect 2 "give PATH:BYTES" check --host --disk /dev/vg/web
expect 2 "give a number from 0" check --host --disk /dev/vg/web:all
expect 2 "too many arguments" check --host web
expect 2 "too many arguments" version x

# The completion offers what the help lists.
command -v bash >/dev/null || exit $failed
complete_line() { # words...; the last one is completed
    (
        PATH=$(dirname "$colo"):$PATH
        # shellcheck source=cli/completion.bash
        . "${top_srcdir:?}/cli/completion.bash"
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _colo
        echo "${COMPREPLY[*]}"
    )
}
[ "$(complete_line colo prot)" = protect ] || bad "completion of a command"
[ "$(complete_line colo protect --int)" = --interval ] ||
    bad "completion of an option"
[ "$(complete_line colo protect --transport t)" = tls ] ||
    bad "completion of a value"
[ "$(complete_line colo protect --peer s)" = stock ] ||
    bad "completion of a peer"
[ "$(complete_line colo check web h --peer l)" = libcolo ] ||
    bad "completion of a peer of check"
[ "$(complete_line colo check --mo)" = --mode ] || bad "completion of check"
# A guest's name may come from another host: it is a word and no command.
mkdir "$tmp/bin"
cat >"$tmp/bin/colo" <<'COLO'
#!/bin/sh
[ "$1" != status ] || printf 'GUEST ROLE\n%s primary\n' '$(touch${IFS}$MARK)'
COLO
chmod +x "$tmp/bin/colo"
got=$(MARK=$tmp/mark colo=$tmp/bin/colo && export MARK &&
    complete_line colo stop "")
[ ! -e "$tmp/mark" ] || bad "completion runs a guest's name"
[ "$got" = '\$\(touch\$\{IFS\}\$MARK\)' ] || bad "completion of a name: $got"
exit $failed
