#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Two protected disks on one kernel: the real plugin beneath a mounted file
# system, its twin on another disk, and requests as a session would send them.
# Epochs, a killed proxy and the copy afterwards, states that refuse a guest, a
# takeover; mode colo, where the copy writes too; and what QEMU's way through
# the page cache would see of both.  Starts itself in a machine of tests/lab/vm.
#
#   tests/disk/vm-pair.sh [BUILD-DIR]         77: cannot run here
set -u

if [ "${1:-}" != inside ]; then
    here=$(dirname "$(readlink -f "$0")")
    build=${1:-$here/../../build}
    [ -e "$build/disk-proxy/colo-disk" ] || { echo "nothing built in $build"; exit 77; }
    [ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
    exec "$here/../lab/vm" run --limit 900 --memory 1536 --build "$build" "$0" inside
fi

failed=0
colo() { /usr/libexec/libcolo/colo-disk "$@"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
say() { echo "== $*"; }
bad() { echo "FAILED: $*"; failed=$((failed + 1)); }
mnt=/tmp/mnt
disk=/dev/mapper/colo-dev-mapper-one
mkdir -p $mnt

wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# A session's part: "SIDE TEXT" lines in, answers on stdout, one for each.
cat >/tmp/session.py <<'PY'
import socket, sys, time
def connect(path):
    for _ in range(600):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            s.connect(path)
            return s
        except OSError:
            time.sleep(0.1)
    sys.exit("no " + path)
sides = {"p": connect("/tmp/p.ctl"), "s": connect("/tmp/s.ctl")}
for s in sides.values():
    s.settimeout(240)
seq = 0
for line in sys.stdin:
    word, text = line.split(None, 1)
    seq += 1
    for side in word:
        sides[side].send(b"%d %s" % (seq, text.strip().encode()))
    said = []
    for side in word:
        while True:
            answer = sides[side].recv(4096).decode()
            if not answer:
                answer = "gone"
                break
            first, rest = answer.split(None, 1)
            if first == str(seq):
                answer = rest
                break
        said.append(answer)
    print("/".join(said), flush=True)
PY

serve() { # p|s role target
    /usr/libexec/libcolo/colo-disk serve --role $2 --domain test --vdev xvda \
        --target $3 --control /tmp/$1.ctl --stream /tmp/stream --timeout 5 \
        --spill-dir /tmp $track <>/tmp/$1.in >/tmp/$1.out 2>/tmp/$1.log &
}

track=
begin_pair() { # the primary's and the secondary's disk: one, two
    local from=${1:-one} to=${2:-two}
    rm -f /tmp/[ps].in /tmp/[ps].ctl /tmp/stream
    mkfifo /tmp/p.in /tmp/s.in
    serve s secondary /dev/mapper/$to
    secondary=$!
    serve p primary /dev/mapper/$from
    primary=$!
    wait_for 60 grep -q ready /tmp/p.out || { bad "primary"; cat /tmp/p.log; }
    wait_for 60 grep -q ready /tmp/s.out || { bad "secondary"; cat /tmp/s.log; }
    coproc session { python3 /tmp/session.py 2>/tmp/session.log; }
    epoch=0
}

ask() { # SIDES TEXT
    echo "$1 $2" >&"${session[1]}"
    read -r -t 250 answer <&"${session[0]}" || answer="no answer"
}
must() { # SIDES TEXT
    ask "$1" "$2"
    case $answer in
        ok | ok/ok) ;;
        *) bad "$2: $answer"; tail -n 3 /tmp/p.log /tmp/s.log ;;
    esac
}

do_epoch() {
    epoch=$((epoch + 1))
    mountpoint -q $mnt && fsfreeze -f $mnt
    must p "checkpoint $epoch"
    mountpoint -q $mnt && fsfreeze -u $mnt
    must s "checkpoint $epoch"
    must ps "commit $epoch"
}

end_pair() {
    kill "$primary" "$secondary" 2>/dev/null
    wait "$primary"
    wait "$secondary"
    eval "exec ${session[1]}>&-"
    wait 2>/dev/null
}

# noted WHEN TEXT: what the primary says of its first copy, and that it is one
noted() {
    grep -q "written without a proxy is known" /tmp/p.log ||
        bad "$1: nothing was noted: $(tail -n 5 /tmp/p.log)"
    grep -q "first copy: $2" /tmp/p.log ||
        bad "$1: $(grep 'first copy' /tmp/p.log)"
    do_epoch
    sleep 2 # it is applied
    cmp <(dd if=/dev/mapper/one bs=1M iflag=direct 2>/dev/null) \
        <(dd if=/dev/mapper/two bs=1M iflag=direct 2>/dev/null) ||
        bad "$1: the copies differ"
}
no_notes() { # WHEN
    [ -z "$(dmsetup ls | grep ^era-)$(losetup -l -n | grep era-)" ] ||
        bad "$1: a device of dm-era is left"
    ls /run/libcolo/disk/{era,tracked}-* 2>/dev/null && bad "$1: files are left"
}

# A copy's emulated disk: a process that has the device open all the time and
# reads and writes through the page cache.  "r BLOCK" and "w BLOCK WORD".
twin=/dev/mapper/colo-dev-mapper-two
cat >/tmp/buffered.py <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for line in sys.stdin:
    word = line.split()
    if word[0] == "w":
        os.pwrite(fd, word[2].encode().ljust(4096, b"."), int(word[1]) * 4096)
        print("done", flush=True)
    else:
        print(os.pread(fd, 4096, int(word[1]) * 4096).split(b".")[0][:20]
              .decode("latin1").replace("\0", "") or "empty", flush=True)
PY
begin_buffered() {
    rm -f /tmp/buf.in /tmp/buf.out
    mkfifo /tmp/buf.in /tmp/buf.out
    colo attach /dev/mapper/two >/dev/null || bad "attach of the copy"
    python3 /tmp/buffered.py $twin </tmp/buf.in >/tmp/buf.out &
    buffered=$!
    exec 8>/tmp/buf.in 9</tmp/buf.out
}
buffered() { # r|w BLOCK [WORD]
    echo "$*" >&8
    read -r -t 60 said <&9 || said="no answer"
    echo "$said"
}
sees() { # BLOCK WORD WHEN
    local is
    is=$(buffered r "$1")
    [ "$is" = "$2" ] || bad "$3: the page cache says $is, not $2"
}
end_buffered() {
    exec 8>&- 9<&-
    wait $buffered
}
guest_writes() { # BLOCK WORD [DEVICE]
    printf '%-4096s' "$2" | tr ' ' . |
        dd of="${3:-$disk}" bs=4096 seek="$1" oflag=direct conv=notrunc 2>/dev/null
}
direct() { # BLOCK DEVICE
    dd if="$2" bs=4096 skip="$1" count=1 iflag=direct 2>/dev/null |
        tr -d '\0' | cut -d. -f1 | head -c 20
}

server_of() { # one|two: the process of its plugin
    awk '$1 == "server" { print $2 }' "/run/libcolo/disk/colo-dev-mapper-$1"
}

some_io() { # seconds; fails when any of it fails
    fio --name=io --directory=$mnt --size=8M --rw=randrw --bs=4k-64k \
        --direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c --fsync=32 \
        --time_based --runtime="$1" --verify_backlog=64 >/tmp/io.log 2>&1
}
state() { colo status "$1"; }

modprobe -a loop dm_mod nbd
# what is hashed is slow here: small disks
dmsetup create one --table '0 196608 linear /dev/vdc 0'
dmsetup create two --table '0 196608 linear /dev/vdd 0'
dmsetup mknodes
say "a disk of 96 MiB with a file system"
colo attach /dev/mapper/one >/dev/null || bad "attach"
mkfs.ext4 -q $disk || bad mkfs
mount $disk $mnt || bad mount

say "the first copy, under I/O"
begin_pair
some_io 10 &
io=$!
must sp "start 1"
state /dev/mapper/one
state /dev/mapper/two

say "epochs under I/O"
for _ in 1 2 3 4 5 6; do
    do_epoch
    [ $failed -eq 0 ] || exit 1
done
wait $io || bad "I/O failed"
state /dev/mapper/one | grep -q " primary " || bad "state of the primary"
state /dev/mapper/two | grep -q " secondary " || bad "state of the secondary"
# what it uses is locked, and what nbdkit might use is not there: 430 MiB of it
for name in one two; do
    awk '/^VmLck/ { lck = $2 } /^VmRSS/ { rss = $2 }
         END { exit !(lck > rss / 2 && rss > 1000 && rss < 200000) }' \
        "/proc/$(server_of $name)/status" ||
        bad "memory of $name: $(grep -E 'VmLck|VmRSS' \
            "/proc/$(server_of $name)/status")"
done

say "the primary's proxy is killed: the guest goes on, the copy stays"
some_io 10 &
io=$!
sleep 2
kill -9 "$(server_of one)"
wait_for 60 grep -q proxy-gone /tmp/p.out || bad "kill: not noticed"
wait $io || bad "kill: I/O failed"
end_pair
state /dev/mapper/one | grep -q " alone " || bad "kill: $(state /dev/mapper/one)"
state /dev/mapper/two | grep -q " secondary " || bad "kill: $(state /dev/mapper/two)"
colo attach /dev/mapper/two 2>/tmp/err && bad "a guest may start on the copy"
grep -q "force TARGET" /tmp/err || bad "attach says $(cat /tmp/err)"

say "protected again: what differs is copied"
begin_pair
must sp "start 1"
some_io 5 || bad "again: I/O failed"
do_epoch

say "takeover: what was not committed is dropped"
umount $mnt || bad umount
begin_buffered
guest_writes 20000 before
do_epoch
sleep 1
sees 20000 before "takeover: before it"
guest_writes 20000 after
do_epoch
sync
dd if=/dev/mapper/one of=/tmp/committed bs=1M count=64 iflag=direct 2>/dev/null
dd if=/dev/urandom of=$disk bs=1M count=8 oflag=direct 2>/dev/null
guest_writes 20000 never
must s "failover"
sees 20000 after "takeover: after it"
end_buffered

say "takeover: a plugin that is busy for longer than a request may take"
server=$(server_of two)
kill -STOP "$server"
guest_writes 20001 patient $twin &
writer=$!
sleep 12
kill -CONT "$server"
wait $writer || bad "busy: a write failed"
[ "$(direct 20001 $twin)" = patient ] || bad "busy: a write was lost"
[ "$(server_of two)" = "$server" ] || bad "busy: the plugin was replaced"
grep -q proxy-gone /tmp/s.out && bad "busy: the plugin was given up"

kill "$secondary"
wait "$secondary" || bad "takeover: the supervisor of the secondary"
state /dev/mapper/two | grep -q " alone " || bad "takeover: $(state /dev/mapper/two)"
cmp -n 67108864 /tmp/committed /dev/mapper/two || bad "takeover: another copy"
cmp -n 67108864 /tmp/committed /dev/mapper/one >/dev/null && bad "takeover: the same"
must p "failover"
end_pair 2>/dev/null
state /dev/mapper/one | grep -q " outdated " || bad "takeover: $(state /dev/mapper/one)"
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
    bad "takeover: the old side may still be used"
colo detach /dev/mapper/one
colo attach /dev/mapper/one 2>/tmp/err && bad "takeover: the old side starts"
grep -q "went on at the other host" /tmp/err || bad "attach says $(cat /tmp/err)"
colo attach /dev/mapper/two >/dev/null || bad "takeover: the new side does not start"
fsck.ext4 -fn /dev/mapper/colo-dev-mapper-two >/tmp/fsck 2>&1 || { bad fsck; cat /tmp/fsck; }
colo force /dev/mapper/one || bad "force"
colo attach /dev/mapper/one >/dev/null || bad "force: does not start"

say "a copy that was the guest's disk is overwritten only when given up"
sum_of() { dd if="$1" bs=1M iflag=direct 2>/dev/null | sha256sum; }
exec 7<$twin
colo discard /dev/mapper/two 2>/tmp/err && bad "discard: it is in use"
grep -q "in use" /tmp/err || bad "discard says $(cat /tmp/err)"
exec 7<&-
colo detach /dev/mapper/two
before=$(sum_of /dev/mapper/two)
begin_pair
colo discard /dev/mapper/two 2>/tmp/err && bad "discard: it is served"
ask sp "start 1"
case $answer in
    *"discard TARGET"*/*"the twin says: this copy may"*"discard TARGET") ;;
    *) bad "refusal: $answer" ;;
esac
guest_writes 20000 goes-on
must sp "stop"
end_pair
[ "$(direct 20000 $disk)" = goes-on ] || bad "refusal: the guest's write"
state /dev/mapper/two | grep -q " alone " || bad "refusal: $(state /dev/mapper/two)"
[ "$(sum_of /dev/mapper/two)" = "$before" ] || bad "refusal: it was written"
colo discard /dev/mapper/two || bad "discard"
state /dev/mapper/two | grep -q " outdated " || bad "discard: $(state /dev/mapper/two)"
colo discard /dev/mapper/two | grep -q "nothing to do" || bad "discard: again"
colo discard /dev/vdd 2>/tmp/err && bad "discard: no metadata"
grep -q "nothing is known" /tmp/err || bad "discard says $(cat /tmp/err)"

say "mode colo: the copy writes too, through the page cache"
begin_pair
must sp "start 2"
begin_buffered
for n in 1 2 3; do guest_writes 2100$n one; done
do_epoch
for n in 1 2 3; do sees 2100$n one "colo: the first epoch"; done
buffered w 21002 own >/dev/null
sync -d $twin
buffered w 21003 dirty >/dev/null # and it never came to the disk
guest_writes 21001 two
guest_writes 21003 two
sees 21001 one "colo: what is not committed"
sees 21002 own "colo: its own"
do_epoch
sees 21001 two "colo: the second epoch"
sees 21002 one "colo: its own, taken back"
sees 21003 two "colo: its own in the page cache, taken back"
sync -d $twin
[ "$(direct 21003 $twin)" = two ] || bad "colo: a dirty page came late"
[ "$(direct 21003 /dev/mapper/two)" = two ] || bad "colo: below"

say "mode colo: takeover keeps what the copy wrote"
guest_writes 21001 never
buffered w 21002 mine >/dev/null
sync -d $twin
buffered w 21003 late >/dev/null
must s "failover"
sees 21001 two "colo, takeover: committed"
sees 21002 mine "colo, takeover: its own"
buffered w 21001 alone >/dev/null
sync -d $twin
for line in "21001 alone" "21002 mine" "21003 late"; do
    set -- $line
    [ "$(direct "$1" $twin)" = "$2" ] || bad "colo, takeover: $line"
    [ "$(direct "$1" /dev/mapper/two)" = "$2" ] || bad "colo, merged: $line"
done
state /dev/mapper/two | grep -q " alone " || bad "colo: $(state /dev/mapper/two)"
end_buffered

say "mode colo: the plugin dies after the takeover, and has a request"
server=$(server_of two)
kill -STOP "$server"
guest_writes 21001 orphan $twin &
writer=$!
sleep 1
kill -9 "$server"
begin=$SECONDS
wait $writer || bad "dead: a write failed"
[ $((SECONDS - begin)) -lt 100 ] || bad "dead: $((SECONDS - begin)) s"
wait_for 100 grep -q proxy-gone /tmp/s.out || bad "dead: not noticed"
[ "$(direct 21001 /dev/mapper/two)" = orphan ] || bad "dead: a write was lost"
must p "failover"
end_pair 2>/dev/null
colo detach /dev/mapper/two
colo detach /dev/mapper/one

say "noted by the kernel: protected again after an orderly end"
track=--track
colo force /dev/mapper/one || bad "noted: force"
colo discard /dev/mapper/two || bad "noted: discard"
colo attach /dev/mapper/one >/dev/null || bad "noted: attach"
begin_pair
must sp "start 1"
grep -q "everything is compared" /tmp/p.log || bad "noted: $(cat /tmp/p.log)"
do_epoch
end_pair
dmsetup table era-colo-dev-mapper-one | grep -q " era " || bad "noted: no device"
[ "$(cat /sys/block/vdc/queue/discard_max_bytes)" != 0 ] ||
    echo "noted: this machine discards nothing"
# dm-era would note the first MiB of it
blkdiscard -o 60M -l 8M $disk 2>/dev/null && bad "noted: a discard"
guest_writes 20000 noted
guest_writes 24575 last
dd if=/dev/urandom of=$disk bs=64k seek=700 count=30 oflag=direct 2>/dev/null
begin_pair
must sp "start 1"
no_notes "noted"
noted "noted" "only what may differ"
[ "$(direct 20000 /dev/mapper/two)" = noted ] || bad "noted: not copied"

say "noted by the kernel: the copy takes over, and is protected from there"
colo attach /dev/mapper/two >/dev/null || bad "noted: attach of the copy"
sleep 1
dmsetup suspend --noflush --nolockfs two # a disk that is slow
guest_writes 20006 slow
do_epoch
guest_writes 20001 never
must s "failover"
state /dev/mapper/two | grep -q " applying " ||
    bad "slow: $(state /dev/mapper/two)"
kill "$secondary"
sleep 2
gone "$secondary" && bad "slow: it did not wait for the log"
timeout 8 /usr/libexec/libcolo/colo-disk attach /dev/mapper/two \
    >/dev/null || bad "slow: locked while the log is applied"
guest_writes 20002 drained $twin &
writer=$!
sleep 1
dmsetup resume two
wait $writer || bad "slow: a write failed"
wait "$secondary"
must p "failover"
end_pair 2>/dev/null
colo detach /dev/mapper/one
guest_writes 20003 unprotected $twin
dd if=/dev/urandom of=$twin bs=64k seek=100 count=30 oflag=direct 2>/dev/null
begin_pair two one
must sp "start 1"
noted "noted, takeover" "what may differ since the takeover"
for line in "20000 noted" "20006 slow" "20002 drained" "20003 unprotected"; do
    set -- $line
    [ "$(direct "$1" /dev/mapper/one)" = "$2" ] || bad "noted, takeover: $line"
done
[ "$(direct 20001 /dev/mapper/one)" = never ] && bad "noted, takeover: 20001"

say "not noted: the proxy was killed"
kill -9 "$(server_of two)"
guest_writes 20004 relayed $twin
wait_for 60 grep -q proxy-gone /tmp/p.out || bad "not noted: not noticed"
end_pair 2>/dev/null
guest_writes 20005 plain $twin
begin_pair two one
must sp "start 1"
grep -q "everything is compared" /tmp/p.log || bad "not noted: $(cat /tmp/p.log)"
do_epoch
end_pair
dmsetup ls | grep -q ^era- || bad "noted again: no device"
[ "$(direct 20004 /dev/mapper/one)$(direct 20005 /dev/mapper/one)" = relayedplain ] ||
    bad "not noted: not copied"

say "notes go with the guest"
colo detach /dev/mapper/two
no_notes "detach"

pgrep nbdkit && bad "nbdkit is left"
ls /sys/block/nbd*/pid 2>/dev/null && bad "an nbd device is left"
echo "$failed failed"
[ $failed -eq 0 ]
