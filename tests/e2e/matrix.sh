# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For programs that run many cells, each a takeover, and count them.  Sourced;
# a cell is a function that exits 0 passed, 1 failed, 77 not supported, and
# whose last line says why.  A line for each cell on stdout:
#
#   cell=NAME result=passed|failed|unsupported seconds=N [why=TEXT]
# shellcheck source=tests/e2e/ready.sh
. "$(dirname "${BASH_SOURCE[0]}")/ready.sh"

die() { echo "${0##*/}: $*" >&2; exit 1; }

matrix_logs=${COLO_E2E_LOGS:-$(mktemp -d)}
matrix_cells=0 matrix_passed=0 matrix_failed=0
mkdir -p "$matrix_logs"

# wanted NAME PATTERN...: is it one of these?  None: all are.
wanted() {
    local name=$1 pattern
    shift
    [ $# -gt 0 ] || return 0
    for pattern in "$@"; do
        # shellcheck disable=SC2053 # a pattern is meant
        [[ $name == $pattern ]] && return 0
    done
    return 1
}

# run_cell NAME COMMAND...; afterwards both hosts are up, without a guest
run_cell() {
    local name=$1 begin=$SECONDS r=0 result log=$matrix_logs/$1.log why=''
    shift
    # a function whose status is asked for does not end at its first error
    (set -e; "$@") >"$log" 2>&1 </dev/null &
    wait $! || r=$?
    [ $r = 0 ] || why=" why=$(tail -n 1 "$log" | sed 's/^ *[0-9:]* *//')"
    case $r in
        0) result=passed; matrix_passed=$((matrix_passed + 1)) ;;
        77) result=unsupported ;;
        *) result=failed; matrix_failed=$((matrix_failed + 1)) ;;
    esac
    matrix_cells=$((matrix_cells + 1))
    echo "cell=$name result=$result seconds=$((SECONDS - begin))$why"
    if [ $result = failed ]; then
        look >>"$log" 2>&1 || true
        "$lab" down >>"$log" 2>&1 || true
        lab_boot >>"$log" 2>&1 || die "the lab does not boot: $log"
    else
        ("$lab" guest stop g1; host_ready 1; host_ready 2) >>"$log" 2>&1 ||
            die "the hosts are not ready again: $log"
    fi
}

# What a failed cell leaves behind.
look() {
    local n
    for n in 1 2; do
        echo "== host$n"
        COLO_LAB_TIMEOUT=60 on $n 'xl list; colo status
            tail -n 30 /var/log/libcolo/* /var/log/remus.log
            tail -n 20 /var/log/xen/qemu-dm-* /var/log/xen/xl-*
            xl dmesg | tail -n 10' || true
    done
    COLO_LAB_TIMEOUT=60 "$lab" console g1 | tail -n 40
}

# start_cell_guest TYPE [key=value...]: on host 1
start_cell_guest() {
    local type=$1
    shift
    # emulated devices under an emulated CPU: few pages, or a pass takes minutes
    [ "$type" != hvm ] || set -- wait=600 pages=100 rate=100 "$@"
    start_guest g1 1 "type=$type" "$@"
}

# host 1 is switched off, and host 2 has the guest, whose memory is right
takes_over() {
    "$lab" power-off 1
    until_true 150 "takeover on host2" guest_here g1 2
    pulse_good g1 2
}
