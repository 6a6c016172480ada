# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The two hosts as machines: up, down, pulling the plug, status.  Per host in
# $LAB_RUN: hostN.raw (its disk), hostN.{xen,vmlinuz,initrd,release,stamp} (what
# it boots), hostN.pid, hostN.log (serial console), hostN.mon (QEMU monitor).
# lan.sh has the LAN between them.

LAB_BOOT_SECONDS=${COLO_LAB_BOOT_SECONDS:-240}

# A fresh disk for a host, as built.
new_disk() { # host
    local release dir part
    release=$(host_release "$1")
    dir=$(image_dir "$release")
    for part in raw xen vmlinuz initrd; do
        # A plain copy and no qcow2 overlay: with cache=unsafe an overlay is
        # damaged when its QEMU is killed, and killing it is what we do.
        cp --sparse=always --reflink=auto "$dir/host.$part" \
            "$LAB_RUN/host$1.$part"
    done
    echo "$release" >"$LAB_RUN/host$1.release"
    cp "$dir/disk.stamp" "$LAB_RUN/host$1.stamp"
    : >"$LAB_RUN/host$1.log"
}

# The UDP sockets between the hosts take the machine's default buffer size
# and would drop bursts; raise it while QEMU opens them.
with_big_udp() {
    local file=/proc/sys/net/core/rmem_default old rc=0
    old=$(cat $file 2>/dev/null) || old=
    echo 8388608 2>/dev/null >$file || old=
    "$@" || rc=$?
    [ -z "$old" ] || echo "$old" >$file
    return $rc
}

udp_link() { # repl|lan host
    local peer=$((3 - $2))
    echo "socket,id=$1,udp=127.0.0.1:$(lab_port "$1" $peer),\
localaddr=127.0.0.1:$(lab_port "$1" "$2")"
}

forward() { # what host port: this machine's loopback leads to it
    echo "hostfwd=tcp:127.0.0.1:$(lab_port "$1" "$2")-:$3"
}

nic() { # id host number
    echo "virtio-net-pci,netdev=$1,romfile=,mac=52:54:00:c0:0$2:0$3"
}

# Start a host's QEMU; returns when it runs, long before the host is ready.
start_host() { # host
    local n=$1 base cut=
    base=$LAB_RUN/host$n
    [ ! -e "$LAB_RUN/link-cut" ] || cut=labcut=1
    rm -f "$base.pid" "$base.mon"
    echo "LAB-BOOT $(date +%s)" >>"$base.log"
    # No smap/smep (they stop a PV dom0), no rdtscp (QEMU raises the wrong
    # exit for it and guests crash).  The rest is what every host of the last
    # ten years has, and what TLS and ssh are slow without.
    local cpu=phenom,+svm,+npt,-rdtscp,+ssse3,+sse4.1,+sse4.2,+aes,+pclmulqdq
    with_big_udp timeout 60 setsid qemu-system-x86_64 \
        -name "$(host_name "$n")" \
        -accel tcg,thread=multi -cpu $cpu \
        -m 4G -smp 2 -nodefaults -display none -no-reboot \
        -daemonize -pidfile "$base.pid" \
        -chardev "file,id=con,path=$base.log,append=on" -serial chardev:con \
        -monitor "unix:$base.mon,server=on,wait=off" \
        -kernel "${COLO_LAB_XEN:-$base.xen}" \
        -append "dom0_mem=1G,max:1G dom0_max_vcpus=1 dom0_vcpus_pin console=com1 com1=115200 loglvl=warning guest_loglvl=warning no-real-mode spec-ctrl=no" \
        -initrd "$base.vmlinuz root=/dev/vda rw console=hvc0 init=/lab-init net.ifnames=0 panic=5 quiet mitigations=off audit=0 apparmor=0 labhost=$n $cut,$base.initrd" \
        -drive "file=$base.raw,format=raw,if=virtio,cache=unsafe" \
        -device virtio-rng-pci \
        -netdev "user,id=mgmt,restrict=on,$(forward ssh "$n" 22),$(forward run "$n" 5000)" \
        -device "$(nic mgmt "$n" 0)" \
        -netdev "$(udp_link repl "$n")" -device "$(nic repl "$n" 1)" \
        -netdev "$(lan_link "$n")" -device "$(nic lan "$n" 2)" \
        </dev/null >"$base.err" 2>&1 9>&- ||
        { cat "$base.err" >&2; die "QEMU of host$n did not start"; }
    host_pid "$n" >/dev/null || die "QEMU of host$n ended at once: $base.err"
    prefer "$(host_pid "$n")"
}

# Before what else this machine does, if it may be so: a host whose processor
# waits for its turn thinks that the other one is dead.  setsid made a group of
# its own for the kernel's autogroups, and only the group's nice value counts.
prefer() { # pid
    { echo -10 >"/proc/$1/autogroup"; } 2>/dev/null ||
        renice -n -10 -p "$1" >/dev/null 2>&1 || true
}

wait_ready() { # host
    local end=$((SECONDS + LAB_BOOT_SECONDS))
    until is_ready "$1"; do
        host_pid "$1" >/dev/null ||
            die "host$1 ended while booting, see $LAB_RUN/host$1.log"
        [ $SECONDS -lt $end ] ||
            die "host$1 not ready in $LAB_BOOT_SECONDS s: $LAB_RUN/host$1.log"
        sleep 1
    done
    until COLO_LAB_TIMEOUT=60 on_host "$1" true </dev/null 2>/dev/null; do
        [ $SECONDS -lt $end ] || die "host$1 is ready but does not answer"
        sleep 0.5
    done
}

# The other host, if it is up, lets it in over the link, if that is whole.
wait_meet() { # host
    local other=$((3 - $1))
    [ ! -e "$LAB_RUN/link-cut" ] && host_pid $other >/dev/null &&
        is_ready $other || return 0
    COLO_LAB_TIMEOUT=90 on_host $other "for ((i = 0; i < 10; i++)); do
            ssh -o BatchMode=yes -o ConnectTimeout=5 host$1 true && exit
            sleep 1
        done; exit 1" </dev/null >/dev/null 2>&1 ||
        die "host$other does not reach host$1"
}

stop_host() { # host; the plug is pulled
    local pid
    if pid=$(host_pid "$1"); then
        kill -KILL "$pid"
        timeout 20 tail --pid="$pid" -s 0.1 -f /dev/null ||
            die "QEMU of host$1 (pid $pid) does not end"
    fi
    rm -f "$LAB_RUN/host$1.pid"
}

# For measurements: as on a real host, dom0's work takes no time from the
# guest's processor.  Guests are pinned to Xen's CPU 1; its thread gets the
# second processor of this machine, everything else the first.  Slower.
lab_pin() {
    local n pid task core
    [ "$(nproc)" -ge 2 ] || die "pin: this machine has one processor"
    for n in 1 2; do
        pid=$(host_pid $n) || continue
        for task in /proc/"$pid"/task/*; do
            core=0
            [ "$(cat "$task/comm")" = "CPU 1/TCG" ] && core=1
            taskset -pc $core "${task##*/}" >/dev/null ||
                die "pin: thread ${task##*/} of host$n"
        done
    done
}

# --- verbs --------------------------------------------------------------------

need_tools() {
    local tool
    for tool in qemu-system-x86_64 ssh setsid flock; do
        command -v $tool >/dev/null ||
            die "$tool is missing: run tools/install-deps lab"
    done
}

lab_up() {
    need_tools
    if host_pid 1 >/dev/null && host_pid 2 >/dev/null; then
        with_lock "$LAB_RUN/lock" 300 wait_both
        check_release 1
        check_release 2
        say "already up"
        return
    fi
    lab_build
    with_lock "$LAB_RUN/lock" 300 up_locked
}

# A running host must be what was asked for; an older image is only told.
check_release() { # host
    local is var=COLO_LAB_RELEASE$1
    is=$(cat "$LAB_RUN/host$1.release")
    [ -z "${!var:-}" ] || [ "${!var}" = "$is" ] ||
        die "host$1 runs $is, not ${!var}: run 'lab down' first"
    stamp_is "$LAB_RUN/host$1.stamp" "$(disk_hash "$is")" ||
        say "host$1 was booted from an older image: 'lab down' and 'lab up'"
}

wait_both() { wait_ready 1; wait_ready 2; }

up_locked() {
    local n
    if ! host_pid 1 >/dev/null && ! host_pid 2 >/dev/null; then
        rm -f "$LAB_RUN/link-cut"
        lan_choose
        for n in 1 2; do new_disk $n; done
    fi
    for n in 1 2; do
        host_pid $n >/dev/null || start_host $n
    done
    wait_both
    say "both hosts are up after $SECONDS s"
}

lab_down() { with_lock "$LAB_RUN/lock" 300 down_locked; }
down_locked() {
    stop_host 1
    stop_host 2
    lan_stop
    rm -f "$LAB_RUN/link-cut"
}

# No lock: a power cut must not wait for anything.
lab_power_off() { # host
    local n pid
    n=$(host_number "${1:-}")
    if pid=$(host_pid "$n"); then kill -KILL "$pid"; fi
    stop_host "$n"
}

lab_power_on() { # host
    local n
    n=$(host_number "${1:-}")
    [ -f "$LAB_RUN/host$n.raw" ] || die "host$n has no disk yet: run 'lab up'"
    with_lock "$LAB_RUN/lock" 300 power_on_locked "$n"
}

power_on_locked() { # host
    lan_again
    if host_pid "$1" >/dev/null && is_ready "$1"; then
        say "host$1 is up already"
        return
    fi
    host_pid "$1" >/dev/null || start_host "$1"
    wait_ready "$1"
    wait_meet "$1"
    say "host$1 is up after $SECONDS s"
}

lab_status() {
    local n pid release
    for n in 1 2; do
        release=$(cat "$LAB_RUN/host$n.release" 2>/dev/null || host_release $n)
        if ! pid=$(host_pid $n); then
            echo "host$n: off, $release"
            continue
        fi
        echo "host$n: on, $release, pid $pid, ssh port $(lab_port ssh $n)"
        is_ready $n ||
            { echo "  still booting: $LAB_RUN/host$n.log"; continue; }
        COLO_LAB_TIMEOUT=20 on_host $n "timeout 15 xl list" 2>&1 |
            sed 's/^/  /' || true
    done
    if [ -e "$LAB_RUN/link-cut" ]; then
        echo "replication link: cut (lab heal-link mends it)"
    else
        echo "replication link: whole"
    fi
    lan_status
}
