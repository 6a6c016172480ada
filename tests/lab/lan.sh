# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The LAN of the guests.  A switch (`hub`) joins the hosts' LAN interfaces and
# one of this machine, in a network namespace of its own: a client there
# outlives both hosts.  Where that cannot be had, the hosts are joined by a pair
# of sockets and there is no outside.  $LAB_RUN/lan says which: hub or pair.

LAN_NS=colo-lan-$LAB_INSTANCE
LAN_ADDRESS=10.20.0.9/24

lan_is_hub() { [ "$(cat "$LAB_RUN/lan" 2>/dev/null)" = hub ]; }

# The value of a host's -netdev.
lan_link() { # host
    local peer
    peer=$(lab_port lan $((3 - $1)))
    if lan_is_hub; then peer=$(lab_port hub "$1"); fi
    echo "socket,id=lan,udp=127.0.0.1:$peer,\
localaddr=127.0.0.1:$(lab_port lan "$1")"
}

# Print the hub's pid; fails if it does not run.
hub_pid() {
    local pid
    pid=$(cat "$LAB_RUN/hub.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    # What has that number now must have been started for our namespace.
    [ "$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | tail -n 1)" = \
        "$LAN_NS" ] || return 1
    echo "$pid"
}

hub_start() {
    local tap=$LAN_NS i
    if hub_pid >/dev/null; then return; fi
    ip netns list 2>/dev/null | grep -qw "$LAN_NS" ||
        ip netns add "$LAN_NS" || return 1
    # what an earlier hub said must not be taken for this one's word
    : >"$LAB_RUN/hub.log"
    setsid "$here/hub" "$(lab_port hub 1):$(lab_port lan 1)" \
        "$(lab_port hub 2):$(lab_port lan 2)" "$tap" "$LAN_NS" \
        </dev/null >"$LAB_RUN/hub.log" 2>&1 9>&- &
    echo $! >"$LAB_RUN/hub.pid"
    for ((i = 0; i < 100; i++)); do
        grep -qx ready "$LAB_RUN/hub.log" && break
        sleep 0.1
    done
    hub_pid >/dev/null &&
        ip -n "$LAN_NS" link set lo up &&
        ip -n "$LAN_NS" addr add $LAN_ADDRESS dev "$tap" &&
        ip -n "$LAN_NS" link set "$tap" up
}

lan_stop() {
    local pid
    if pid=$(hub_pid); then
        kill "$pid"
        timeout 20 tail --pid="$pid" -s 0.1 -f /dev/null ||
            die "the hub (pid $pid) does not end"
    fi
    rm -f "$LAB_RUN/hub.pid" "$LAB_RUN/lan"
    if ip netns list 2>/dev/null | grep -qw "$LAN_NS"; then
        ip netns del "$LAN_NS"
    fi
}

# Before both hosts start.
lan_choose() {
    lan_stop
    if hub_start 2>>"$LAB_RUN/hub.log"; then
        echo hub >"$LAB_RUN/lan"
        return
    fi
    lan_stop
    echo pair >"$LAB_RUN/lan"
    say "no TAP or network namespace here: the guests' LAN has no outside:" \
        "$(tail -n 1 "$LAB_RUN/hub.log")"
}

# Before one host starts again: the hub may have ended meanwhile.
lan_again() {
    ! lan_is_hub || hub_start || die "the LAN's hub does not start, see \
$LAB_RUN/hub.log"
}

lan_status() {
    if ! lan_is_hub; then
        echo "guests' LAN: the hosts only"
    elif hub_pid >/dev/null; then
        echo "guests' LAN: also from here (lab lan)"
    else
        echo "guests' LAN: its hub has ended (lab power-on starts it)"
    fi
}

lab_lan() {
    [ $# -gt 0 ] || die "lan: give a command"
    if ! lan_is_hub || ! hub_pid >/dev/null; then
        die "the guests' LAN has no outside: 'lab down' and 'lab up'"
    fi
    exec ip netns exec "$LAN_NS" "$@"
}
