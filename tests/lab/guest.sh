# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Test guests on the hosts (tests/pulse): start, stop, what their console says.
# On a host: /guest/{vmlinux,initramfs}, /guest/NAME.{cfg,boot}, and the console
# logs of xenconsoled, or of QEMU.  A guest that came in by migration logs as
# NAME--incoming.

mkguest=$lab_top/tests/pulse/mkguest

need_name() { # name
    [[ ${1:-} =~ $LAB_NAME_RE ]] || die "'${1:-}' is no guest name"
}

# Those that can be asked: one that boots closes a connection without a word.
hosts_up() {
    local n
    for n in 1 2; do
        host_pid $n >/dev/null && is_ready $n && echo $n
    done
    true
}

# Shell text for a host: a guest's console logs, in the array `logs`; `newest`
# sets the variable of that name.  No programs where bash can do it: to start one
# takes an emulated host's processor a quarter of a second, and the guest that is
# looked at waits for it.
logs_of() { # name
    cat <<TEXT
logs=(/var/log/xen/console/guest-$1{,-serial,--incoming}.log)
newest() {
    local f
    newest=
    for f in "\${logs[@]}"; do
        [ ! -f "\$f" ] || [ ! "\$f" -nt "\$newest" ] || newest=\$f
    done
    [ -n "\$newest" ]
}
exec {never}<> <(:)
nap() { read -r -t "\$1" -u "\$never"; true; }
TEXT
}

# The host that has a running domain of that name; fails if none has.
guest_host() { # name
    local n
    for n in $(hosts_up); do
        on_host "$n" "xl domid $1" >/dev/null 2>&1 && { echo "$n"; return; }
    done
    return 1
}

# host given, or the one the guest is on.
on_which() { # name [host]
    if [ -n "${2:-}" ]; then host_number "$2"; return; fi
    guest_host "$1" || die "no host has a guest '$1' (see 'lab guest list')"
}

# --- what guests boot -----------------------------------------------------------

# The kernel is made with the image, the initramfs whenever pulse changed.
guest_file() { # host vmlinux|vmlinuz|initramfs; prints where it is
    local release dir out input
    release=$(cat "$LAB_RUN/host$1.release")
    dir=$(image_dir "$release")
    out=$dir/guest.$2
    [ "$2" != vmlinuz ] || out=$dir/host.vmlinuz
    if [ "$2" = initramfs ]; then
        for input in "$lab_top"/tests/pulse/* "$dir/root.stamp"; do
            [ "$out" -nt "$input" ] && continue
            "$mkguest" initramfs "$dir/root" "$out"
            break
        done
    fi
    [ -f "$out" ] || die "no guest kernel for $release: run 'lab build'"
    echo "$out"
}

# Bring a host's copy up to date.
put_guest_file() { # host vmlinux|initramfs
    local file sum
    file=$(guest_file "$1" "$2")
    sum=$(sha256sum <"$file" | cut -c1-64)
    on_host "$1" "grep -qsx $sum /guest/$2.sum" </dev/null && return
    say "copying $2 to host$1"
    gzip -1c "$file" | on_host "$1" "mkdir -p /guest && rm -f /guest/$2.sum &&
        gzip -dc >/guest/$2 && echo $sum >/guest/$2.sum"
}

# What an HVM guest boots from: its QEMU opens it, on the other host, too.
# The same on both, also where their releases are not.
put_boot() { # name config host
    local n out=$LAB_RUN/$1.boot
    "$mkguest" boot "$2" "$(guest_file "$3" vmlinuz)" \
        "$(guest_file "$3" initramfs)" "$out"
    for n in $(hosts_up); do
        gzip -1c "$out" |
            on_host "$n" "mkdir -p /guest && gzip -dc >/guest/$1.boot"
    done
    rm -f "$out"
}

# --- verbs ------------------------------------------------------------------------

guest_start() { # name [host=N] [wait=SECONDS] [key=value...]
    local name=$1 host=1 seconds=180 word config=() n type=pvh made
    shift
    for word in "$@"; do
        case $word in
            host=*) host=$(host_number "${word#*=}") ;;
            wait=*) seconds=${word#*=} ;;
            type=*) type=${word#*=}; config+=("$word") ;;
            *) config+=("$word") ;;
        esac
    done
    need_host "$host"
    if n=$(guest_host "$name"); then
        die "guest '$name' is on host$n already: 'lab guest stop $name' first"
    fi
    for n in $(hosts_up); do
        on_host "$n" "$(logs_of "$name")
            rm -f \"\${logs[@]}\"" </dev/null
    done
    made=$LAB_RUN/$name.cfg
    "$mkguest" config "$name" "${config[@]}" >"$made"
    if [ "$type" = hvm ]; then
        put_boot "$name" "$made" "$host"
    else
        put_guest_file "$host" vmlinux
        put_guest_file "$host" initramfs
    fi
    on_host "$host" "cat >/guest/$name.cfg" <"$made"
    # xl leaves a child behind to look after the guest.
    on_host "$host" "xl create /guest/$name.cfg </dev/null 2>&1" ||
        die "host$host could not create '$name'"
    [ "$seconds" = 0 ] || guest_wait "$name" "$host" "$seconds"
}

guest_wait() { # name host seconds
    on_host "$2" "$(logs_of "$1")
        sign='^PULSE name|^PULSE-E'
        ! grep -q pulse.off=1 /guest/$1.cfg || sign='^GUEST-UP'
        end=\$((SECONDS + $3))
        while [ \$SECONDS -lt \$end ]; do
            for i in 1 2 3 4; do
                newest && grep -aE -m 1 \"\$sign\" \"\$newest\" && exit
                nap 0.7
            done
            xl domid $1 >/dev/null 2>&1 || { echo 'guest is gone' >&2; exit 1; }
        done
        echo 'not up in $3 s' >&2; exit 1" ||
        die "guest '$1' did not come up: see 'lab console $1'"
}

guest_stop() { # name; on every host, whatever state it is in
    local n
    for n in $(hosts_up); do
        on_host "$n" "for d in $1 $1--incoming; do
            xl domid \$d >/dev/null 2>&1 && xl destroy \$d; done; true"
    done
}

# Shell text for a host: functions that read what a guest's program has said.
# `pulse` sets `line`, to the last PULSE line that is whole: a line by an emulated
# serial port takes its time, and at a checkpoint a replica goes on in the middle
# of another one.
pulse_reader() { # name
    logs_of "$1"
    cat <<'TEXT'
whole='^PULSE( (name|step|verified|passes|bad)=[^ =]+){5}( |$)'
pulse() {
    local text
    line=
    newest || return
    while IFS= read -r text; do
        text=${text//$'\r'}
        [[ ! $text =~ $whole ]] || line=$text
    done < <(tail -c 4000 "$newest")
    [ -n "$line" ]
}
bad() {
    local there=()
    for f in "${logs[@]}"; do [ ! -f "$f" ] || there+=("$f"); done
    [ ${#there[@]} = 0 ] || cat "${there[@]}" | tr -d '\r' |
        grep -a -e '^PULSE-BAD' -e '^PULSE-E' | head -n 20
}
TEXT
}

guest_pulse() { # name [host]
    local n
    n=$(on_which "$@")
    on_host "$n" "$(pulse_reader "$1")
        pulse && echo \"\$line\"" || die "host$n has no PULSE line of '$1'"
}

guest_bad() { # name [host]; the PULSE-BAD lines; fails if there is one
    local n lines
    n=$(on_which "$@")
    lines=$(on_host "$n" "$(pulse_reader "$1")
        bad; true")
    [ -z "$lines" ] || { echo "$lines"; return 1; }
}

# Waits for two whole passes over its memory that began after the first look;
# prints the last line.  A number of the same step again would only prove that
# the log is there; a replica's log begins when it runs.
guest_good() { # name [host [seconds]]
    local n
    n=$(on_which "$@")
    on_host "$n" "$(pulse_reader "$1")
        first='' end=\$((SECONDS + ${3:-90}))
        while [ \$SECONDS -lt \$end ]; do
            if pulse && [[ \$line =~ \ passes=([0-9]+) ]]; then
                now=\${BASH_REMATCH[1]}
                [[ \$line == *' bad=0'* ]] || break
                : \${first:=\$now}
                [ \$now -lt \$((first + 2)) ] || break
            fi
            nap 1
        done
        said=\$(bad)
        if [ -z \"\$said\" ] && [[ \$line =~ \ bad=0( |$) ]] &&
            [ -n \"\$first\" ] && [ \$now -ge \$((first + 2)) ]; then
            echo \"\$line\"
            exit
        fi
        echo \"\${said:-stands still: \$line}\"
        exit 1"
}

guest_tell() { # name word [host]; type a word at the guest's console
    local n
    n=$(on_which "$1" "${3:-}")
    on_host "$n" "id=\$(xl domid $1) &&
        tty=\$(xenstore-read /local/domain/\$id/console/tty \
            /local/domain/\$id/serial/0/tty 2>/dev/null | head -n 1)
        [ -n \"\$tty\" ] && timeout 10 sh -c 'echo $2 >'\$tty" ||
        die "could not type at the console of '$1' on host$n"
}

guest_sh() { # name command...; run a command in the guest, over its LAN
    local name=$1 n ip
    shift
    n=$(on_which "$name")
    # the host that made it may be dead
    ip=$(cat "$LAB_RUN/$name.cfg" 2>/dev/null ||
        on_host "$n" "cat /guest/$name.cfg" </dev/null)
    ip=$(sed -n 's/.*guest\.ip=\([0-9.]*\).*/\1/p' <<<"$ip")
    [ -n "$ip" ] || die "'$name' has no network"
    echo "$*" | on_host "$n" "timeout ${COLO_LAB_TIMEOUT:-60} busybox nc $ip 23"
}

guest_list() {
    local n
    for n in $(hosts_up); do
        echo "host$n:"
        on_host "$n" "xl list | tail -n +3" | sed 's/^/  /'
    done
}

lab_guest() {
    local verb=${1:-}
    [ $# -eq 0 ] || shift
    case $verb in
        list) guest_list ;;
        config) need_name "${1:-}"; "$mkguest" config "$@" ;;
        start | stop | pulse | bad | good | tell | sh)
            need_name "${1:-}"
            "guest_$verb" "$@" ;;
        *) cat >&2 <<'USAGE'
usage: lab guest start NAME [host=N] [wait=SECONDS] [KEY=VALUE...]
       lab guest stop NAME          destroy it, on both hosts
       lab guest pulse NAME [N]     its last PULSE line
       lab guest bad NAME [N]       its errors; fails if there are any
       lab guest good NAME [N [S]]  wait for two passes over its memory without one
       lab guest tell NAME WORD [N] type a command: stats gaps verify ...
       lab guest sh NAME CMD...     run a command in it
       lab guest config NAME [KEY=VALUE...]
       lab guest list
KEYs are those of tests/pulse/mkguest: memory= pages= rate= type= vif= ...
USAGE
           exit 2 ;;
    esac
}

lab_console() { # name [host]
    local n
    need_name "${1:-}"
    [ -n "$(hosts_up)" ] || die "no host is up"
    for n in ${2:-$(hosts_up)}; do
        on_host "$n" "$(logs_of "$1")
            for log in \"\${logs[@]}\"; do
                [ -f \"\$log\" ] || continue
                echo \"== host$n \$log\"; tail -c \${BYTES:-100000} \"\$log\" |
                    tr -d '\r'
            done"
    done
}
