#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# colo@.service under a real systemd, which runs apart from everything in
# namespaces of its own, with a `colo` that ends as it is told.  Needs root.
set -u
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
systemd=/lib/systemd/systemd

if [ "${1:-}" != inside ]; then
    skip() { echo "$*"; exit 77; }
    [ -x $systemd ] || skip "no systemd here"
    [ "$(id -u)" = 0 ] || skip "not root"
    unshare -m -p -f --mount-proc true 2>/dev/null || skip "no namespaces here"
    work=$(mktemp -d) || exit 1
    timeout -k 5 120 unshare -m -p -f --mount-proc "$0" inside "$work"
    r=$?
    mkdir "$work/cgroup" # its groups outlive the namespaces, not by much
    # shellcheck disable=SC2016 # $1 is the inner shell's
    unshare -m sh -c 'mount -t cgroup2 cgroup2 "$1/cgroup" || exit
        group=$1/cgroup/$(basename "$1")
        for i in 1 2 3 4 5 6 7 8 9 10; do
            find "$group" -depth -type d -exec rmdir {} ";"
            [ -d "$group" ] || break
            sleep 0.2
        done' sh "$work" 2>/dev/null
    [ $r -ne 77 ] || cat "$work/why"
    rm -rf "$work"
    exit $r
fi

work=$2
failed=0
bad() { echo "test-unit: $case: $*" >&2; failed=1; }
give_up() { echo "$*" >"$work/why"; exit 77; }

# --- a systemd of our own ---------------------------------------------------------
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user ||
    give_up "no tmpfs here"
umount -l /sys/fs/cgroup 2>/dev/null
mkdir -p /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null &&
    group=/sys/fs/cgroup/$(basename "$work") && mkdir "$group" &&
    echo $$ >"$group/cgroup.procs" || give_up "no cgroups of version 2 here"
export XDG_RUNTIME_DIR=/run/user SYSTEMD_UNIT_PATH=$work/units:
export SYSTEMD_LOG_TARGET=console
mkdir -p "$work/units" "$work/etc/colo"
sed -e "s|@bindir@|$work|; s|@pkglibexecdir@|$work|; s|@sysconfdir@|$work/etc|" \
    -e 's/^RestartSec=.*/RestartSec=500ms/' \
    "$top/service/colo@.service.in" >"$work/units/colo@.service"
printf '#!/bin/sh\nexit 0\n' >"$work/colo-wait"
cat >"$work/colo" <<'COLO'
#!/bin/bash
# protect ends with the next word of `ends`; "lives" ends at SIGTERM, and has
# a helper that a signal would disturb
work=$(dirname "$0")
printf '%s|' "$@" | sed 's/|$/\n/' >>"$work/calls"
[ "$1" = protect ] || exit 0
read -r code rest <"$work/ends"
echo "${rest:-lives}" >"$work/ends"
[ "$code" = lives ] || exit "$code"
[ -e "$work/helper" ] ||
    bash -c "trap 'echo disturbed >>$work/calls' TERM
        echo \$\$ >$work/helper; while :; do sleep 0.1; done" &
trap 'echo ended >>"$work/calls"; exit 0' TERM
while :; do sleep 0.1; done
COLO
chmod +x "$work/colo" "$work/colo-wait"
printf 'HOST=host2\nOPTIONS=--interval 50 --ssh "ssh -p 22"\n' \
    >"$work/etc/colo/web-1.conf"
printf 'HOST=host2\nDOMAIN="a b"\n' >"$work/etc/colo/odd.conf"
printf 'OPTIONS=-v\n' >"$work/etc/colo/nohost.conf"

$systemd --user --unit=basic.target >"$work/log" 2>&1 &
ctl() { timeout 30 systemctl --user "$@" 2>>"$work/log"; }
for ((i = 0; i < 100; i++)); do
    ctl is-active -q basic.target && break
    sleep 0.1
done
[ $i -lt 100 ] || give_up "systemd does not start: $(tail -n 1 "$work/log")"

# --- cases ------------------------------------------------------------------------
# What a case says must come true within some seconds, and then stay.
state_is() { # unit state
    local i
    for ((i = 0; i < 60; i++)); do
        [ "$(ctl show -P ActiveState "$1")" = "$2" ] && return
        sleep 0.1
    done
    bad "$1 is $(ctl show -P ActiveState "$1"), not $2"
}
protects() { grep -c '^protect' "$work/calls"; }
calls_are() { # number of protect
    local i
    for ((i = 0; i < 60 && $(protects) < $1; i++)); do
        sleep 0.1
    done
    sleep 0.8
    [ "$(protects)" = "$1" ] || bad "$(protects) sessions, not $1"
}
begin() { # case ends unit
    case=$1
    : >"$work/calls"
    echo "$2" >"$work/ends"
    ctl stop colo@web-1 # where the case before has failed
    ctl reset-failed
    ctl start "$3"
}

begin "ended as asked" "0" colo@web-1
state_is colo@web-1 inactive
calls_are 1
grep -qxF 'protect|--interval|50|--ssh|ssh -p 22|--|web-1|host2' "$work/calls" ||
    bad "other words: $(cat "$work/calls")"

begin "what may pass is tried again" "1 3 5 8 0" colo@web-1
calls_are 5
state_is colo@web-1 inactive

for code in 2 4 7; do
    begin "exit status $code ends it" "$code lives" colo@web-1
    state_is colo@web-1 failed
    calls_are 1
done

begin "a guest that reboots" "6 lives" colo@web-1
calls_are 2
state_is colo@web-1 active
ctl stop colo@web-1

begin "a guest that has gone" "6 4 lives" colo@web-1
calls_are 2
state_is colo@web-1 failed

rm -f "$work/helper"
begin "a stop is for the session only" "lives" colo@web-1
for ((i = 0; i < 50; i++)); do
    [ ! -e "$work/helper" ] || break
    sleep 0.1
done
ctl stop colo@web-1
state_is colo@web-1 inactive
sleep 0.3
kill -0 "$(cat "$work/helper")" || bad "the guest's helper was killed"
! grep -q disturbed "$work/calls" || bad "the guest's helper got a signal"
[ "$(grep -xE 'ended|recover' "$work/calls" | tr '\n' ' ')" = "ended recover " ] ||
    bad "not ended cleanly: $(cat "$work/calls")"

begin "a session that is killed" "lives lives" colo@web-1
state_is colo@web-1 active
calls_are 1
ctl kill -s KILL --kill-who=main colo@web-1
calls_are 2
state_is colo@web-1 active
grep -qx recover "$work/calls" || bad "nothing was put right"
ctl stop colo@web-1

begin "a name with blanks" "0" colo@odd
calls_are 1
grep -qxF 'protect|--|a b|host2' "$work/calls" || bad "$(cat "$work/calls")"

begin "no HOST" "2" colo@nohost
state_is colo@nohost failed
grep -qxF 'protect|-v|--|nohost|' "$work/calls" || bad "$(cat "$work/calls")"

begin "no settings" "lives" colo@nosuch
calls_are 0
state_is colo@nosuch inactive

[ $failed -eq 0 ] || tail -n 20 "$work/log" >&2
exit $failed
