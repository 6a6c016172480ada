# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For cases in which one host has only stock Xen: what it needs to notice that
# the other is dead, and protection from and to it.  Sourced after lib.sh.

# host 2's sshd notices that host 1 is dead
set_alive() {
    on 2 "printf 'ClientAliveInterval 2\nClientAliveCountMax 4\n' \
        >/etc/ssh/sshd_config.d/colo-alive.conf && pkill -HUP -o -x sshd" ||
        fail "sshd on host2"
}

protect_stock() { # NAME: libcolo on host 1, stock Xen on host 2
    protect "$1" 1 2 --peer stock --no-disks
    on 2 "xl list $1--incoming" >/dev/null 2>&1 || fail "no replica on host2"
    [ "$(status_field "$1" 1 commit)" = unacknowledged-ssh ] ||
        fail "commit: $(status_field "$1" 1 commit)"
    epochs_pass "$1" 1 5
}

xl_lives() { # NAME: xl remus, on host 1
    on 1 "pgrep -f '[x]l remus.* $1 '" >/dev/null ||
        fail "xl remus has ended: $(on 1 'tail -n 1 /var/log/remus.log')"
}

# stock Xen on host 1; at the backup, XL migrate-receive -r
stock_protects() { # NAME XL
    on 1 "setsid xl remus -F -n -d -i 1000 -s '' $1 \
        'ssh -o BatchMode=yes host2 $2 migrate-receive -r' \
        >/var/log/remus.log 2>&1 </dev/null &"
    local end=$((SECONDS + 180))
    until on 2 "xl list $1--incoming" >/dev/null 2>&1; do
        xl_lives "$1"
        [ $SECONDS -lt $end ] || fail "no replica on host2"
        sleep 1
    done
}

# The checkpoints of stock Xen are not counted anywhere.  But for each xl asks the
# guest to suspend, through xenstore, and the guest takes the request away: two
# changes.  The first request ends the copy while it runs, and the next comes
# when that checkpoint is whole; one more, since the look may begin between the
# two changes.  xenstore-watch itself begins with a line.
stock_goes_on() { # NAME
    local id
    id=$(on 1 "xl domid $1") || fail "$1 is not on host1"
    on 1 "timeout 300 xenstore-watch -n 7 \
        /local/domain/$id/control/shutdown" >/dev/null || {
        xl_lives "$1"
        fail "no checkpoint of $1 in time"
    }
    xl_lives "$1"
    pulse_good "$1" 1
}
