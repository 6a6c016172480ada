# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every verb of the lab shares: settings and names, messages, locks, the
# process of a host, commands on a host.  Sourced by `lab`, runs nothing itself.

lab_top=$(cd "$here/../.." && pwd)
LAB_DIR=${COLO_LAB_DIR:-/var/cache/libcolo-lab}
LAB_INSTANCE=${COLO_LAB_INSTANCE:-1}
LAB_RUN=$LAB_DIR/instance-$LAB_INSTANCE
# Guest names become file names and words of remote commands.
LAB_NAME_RE='^[A-Za-z0-9._-]+$'

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

[[ $LAB_INSTANCE =~ ^[1-9]$ ]] ||
    die "COLO_LAB_INSTANCE=$LAB_INSTANCE: give a number from 1 to 9"

# Ports on the loopback of this machine; 20 are set aside for each instance.
lab_port() { # what(ssh|repl|lan|hub|run) host
    local base=$((22000 + LAB_INSTANCE * 20))
    case $1 in
        ssh) echo $((base + $2)) ;;
        repl) echo $((base + 2 + $2)) ;;
        lan) echo $((base + 4 + $2)) ;;
        hub) echo $((base + 6 + $2)) ;;
        run) echo $((base + 8 + $2)) ;;
    esac
}

host_number() { # word
    case ${1:-} in
        1 | 2) echo "$1" ;;
        host1 | host2) echo "${1#host}" ;;
        *) die "'${1:-}' is no host: give 1 or 2" ;;
    esac
}

host_release() { # host
    local var=COLO_LAB_RELEASE$1
    echo "${!var:-bookworm}"
}

# --- locks ------------------------------------------------------------------

# Run a function while holding an exclusive lock.  The lock's descriptor is 9;
# whatever is started to live longer must close it (9>&-).
with_lock() { # file seconds function args...
    local file=$1 seconds=$2
    shift 2
    mkdir -p "$(dirname "$file")"
    exec 9>"$file"
    flock -w "$seconds" 9 ||
        die "still locked after $seconds s by another lab command: $file"
    "$@"
    exec 9>&-
}

# One user of the lab at a time: `lab lock CMD...`.
lab_lock() {
    [ $# -gt 0 ] || die "lock: give a command"
    with_lock "$LAB_RUN/use.lock" "${COLO_LAB_LOCK_WAIT:-3600}" \
        lab_lock_run "$@"
}
lab_lock_run() { "$@" 9>&-; }

# --- the process of a host ----------------------------------------------------

# The value of QEMU's -name; threads have names for `lab pin`.
host_name() { echo "guest=$(host_tag "$1"),debug-threads=on"; } # host
host_tag() { echo "colo-lab-$LAB_INSTANCE-host$1"; } # host

# Print the pid of a host's QEMU; fails if it does not run.  A pid file alone
# proves nothing: the process must carry our name.
host_pid() { # host
    local pid
    pid=$(cat "$LAB_RUN/host$1.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] || return 1
    # Not grep -q: it would end early, and tr's SIGPIPE look like a failure.
    { tr '\0' '\n' <"/proc/$pid/cmdline" | grep -x "$(host_name "$1")"; } \
        >/dev/null 2>&1 || return 1
    echo "$pid"
}

# Has the host said so since it was last started?
is_ready() { # host
    awk -v sign="LAB-READY host$1" '/^LAB-BOOT/ { ready = 0 }
        index($0, sign) { ready = 1 } END { exit !ready }' \
        "$LAB_RUN/host$1.log"
}

need_host() { # host
    host_pid "$1" >/dev/null ||
        die "host$1 is down: run 'lab up' or 'lab power-on $1' first"
}

# --- commands on a host, from this machine --------------------------------------

# Run a shell command line on a host, as ssh does and much faster (lab-run.c).
# Comes back when the command ends, even if a child of it keeps its stdout open.
on_host() { # host command...
    local host=$1
    shift
    timeout -k 5 "${COLO_LAB_TIMEOUT:-600}" "$LAB_DIR/lab-run" ask \
        "$(lab_port run "$host")" "$LAB_DIR/token" "$*" 9>&-
}

lab_ssh() {
    local host
    host=$(host_number "${1:-}")
    shift
    need_host "$host"
    if [ $# -eq 0 ]; then
        exec ssh -t -F none -p "$(lab_port ssh "$host")" -i "$LAB_DIR/key" \
            -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
            -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
            -o KexAlgorithms=curve25519-sha256 -o ConnectTimeout=60 \
            root@127.0.0.1
    fi
    on_host "$host" "$@"
}
