#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# colo-disk with a real kernel: its proxy goes beneath a mounted file system
# that is written all the time, comes out again, dies, hangs, and loses its
# supervisor; no write may fail and no byte be wrong.  A plain pass-through
# plugin stands in for the real one.  Starts itself in a machine of
# tests/lab/vm.
#
#   tests/disk/vm-insert.sh [BUILD-DIR] [EVERY]      77: cannot run here
#
# EVERY: of the calls before which it is killed, every so many-th, from a
# random one on (1: all of them).
set -u

if [ "${1:-}" != inside ]; then
    here=$(dirname "$(readlink -f "$0")")
    build=${1:-$here/../../build}
    [ -e "$build/disk-proxy/colo-disk" ] || { echo "nothing built in $build"; exit 77; }
    [ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    # shellcheck disable=SC2046 # words are meant
    gcc -D_GNU_SOURCE -O2 -shared -fPIC $(pkg-config --cflags nbdkit) \
        -o "$tmp/plain-plugin.so" "$here/plain-plugin.c" || exit 1
    "$here/../lab/vm" run --limit 1100 --copy "$build/disk-proxy/colo-disk" \
        --copy "$tmp/plain-plugin.so" "$0" inside "${2:-1}"
    exit
fi

failed=0
name=colo-dev-vdc
disk=/dev/mapper/$name
mnt=/tmp/mnt
colo() { ./colo-disk "$@"; }
say() { echo "== $*"; }
bad() { echo "FAILED: $*"; failed=$((failed + 1)); }
under() { dmsetup table "$name" | awk '{ print $4 }'; }
majmin() { printf '%d:%d' "0x$(stat -c %t "$1")" "0x$(stat -c %T "$1")"; }

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# --- a guest's I/O: verified writes past the page cache ------------------------

io_loop() {
    while [ ! -e /tmp/io-stop ]; do
        fio --name=io --directory=$mnt --size=8M --rw=randrw --bs=4k-64k \
            --direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c \
            --fsync=32 --time_based --runtime=2 --verify_backlog=64 \
            >/tmp/io.log 2>&1 || { cp /tmp/io.log /tmp/io-failed; break; }
        echo $((++rounds)) >/tmp/io-rounds
    done
}

io_begin() {
    rm -f /tmp/io-stop /tmp/io-failed
    rounds=0
    echo 0 >/tmp/io-rounds
    io_loop &
    io=$!
    sleep 1
}

# Requests of the disk that have ended; without udev its name is no link.
requests() { awk '{ print $1 + $5 }' "/sys/dev/block/$(majmin "$disk")/stat"; }
moved_since() { [ "$(requests)" -gt "$1" ]; }
# A round of I/O has pauses, and the machine may have a fifth of a processor.
io_moves() { wait_for 60 moved_since "$(($(requests) + 3))"; }

io_end() {
    touch /tmp/io-stop
    wait "$io"
    echo "$(cat /tmp/io-rounds) rounds of I/O"
    if [ -e /tmp/io-failed ]; then
        bad "$1: I/O failed"
        grep -iE 'error|fail|verify' /tmp/io-failed | head -5
    fi
}

# --- the supervisor --------------------------------------------------------------

serve() { # options...
    rm -f /tmp/in /tmp/out
    mkfifo /tmp/in
    ./colo-disk serve --role primary --domain test --vdev xvda \
        --target /dev/vdc --plugin "$PWD/plain-plugin.so" "$@" \
        </tmp/in >/tmp/out 2>/tmp/serve.log &
    supervisor=$!
    exec 7>/tmp/in
    wait_for 60 grep -q ready /tmp/out || { bad "not ready"; cat /tmp/serve.log; }
}

kit() { awk '$1 == "server" { print $2 }' /run/libcolo/disk/$name; }
nbd() { awk '$1 == "nbd" { print $2 }' /run/libcolo/disk/$name; }
gone() { ! kill -0 "$1" 2>/dev/null; }
no_nbdkit() { ! pgrep nbdkit >/dev/null; }
no_nbd() { ! ls /sys/block/nbd*/pid >/dev/null 2>&1; }

is_clean() { # case
    [ "$(under)" = "$backing" ] || bad "$1: over $(under), not $backing"
    [ -z "$(dmsetup table --inactive "$name")" ] ||
        bad "$1: a table is left loaded: $(dmsetup table --inactive "$name")"
    # the kernel takes it away in its own time
    wait_for 10 no_nbd || bad "$1: an nbd device is left"
    [ ! -e /run/libcolo/disk/$name ] || bad "$1: the record is left"
    # so does process 1 with a dead one that has no parent any more
    wait_for 10 no_nbdkit || bad "$1: nbdkit is left: $(pgrep -a nbdkit)"
    dmsetup info -c --noheadings -o suspended $name | grep -qi '^suspended' &&
        bad "$1: suspended"
}

end_serve() { # case status
    local r=0
    exec 7>&-
    wait_for 60 gone "$supervisor" || bad "$1: the supervisor does not end"
    wait "$supervisor" || r=$?
    [ $r = "$2" ] || { bad "$1: status $r, not $2"; cat /tmp/serve.log; }
}

# --- cases -----------------------------------------------------------------------

modprobe -a loop dm_mod
backing=$(majmin /dev/vdc)

say "attach"
[ "$(colo attach /dev/vdc)" = $disk ] || bad "attach"
[ "$(under)" = "$backing" ] || bad "attach: over $(under)"
mkdir -p $mnt
if ! mkfs.ext4 -q $disk || ! mount $disk $mnt; then bad "mount"; fi
colo attach /dev/vdc 2>/tmp/err && bad "attach: twice"
grep -q "in use" /tmp/err || bad "attach: says $(cat /tmp/err)"
io_begin
io_moves || bad "I/O does not move"

say "in and out, three times"
for _ in 1 2 3; do
    begin=$(date +%s%N)
    serve
    echo "in after $((($(date +%s%N) - begin) / 1000000)) ms"
    [ "$(under)" = "$(majmin "/dev/nbd$(nbd)")" ] || bad "in: over $(under)"
    io_moves || bad "in: I/O does not move"
    colo serve --role primary --domain test --vdev xvda --target /dev/vdc \
        2>/tmp/err </dev/null && bad "in: served twice"
    grep -q already /tmp/err || bad "in: says $(cat /tmp/err)"
    end_serve in-out 0
    is_clean in-out
    io_moves || bad "out: I/O does not move"
done
io_end in-out

say "SIGTERM"
io_begin
serve
kill "$supervisor"
end_serve term 0
is_clean term
io_end term

say "kill -9 of nbdkit"
for _ in 1 2 3; do
    io_begin
    serve --timeout 5
    io_moves || bad "kill: I/O does not move"
    begin=$(date +%s%N)
    kill -9 "$(kit)"
    wait_for 60 grep -q 'ended proxy-gone' /tmp/out || bad "kill: not noticed"
    echo "out after $((($(date +%s%N) - begin) / 1000000)) ms"
    end_serve kill 1
    is_clean kill
    io_moves || bad "kill: I/O does not move"
    io_end kill
done

say "a hanging nbdkit"
io_begin
serve --timeout 3
kill -STOP "$(kit)"
wait_for 60 grep -q 'ended proxy-gone' /tmp/out || bad "hang: not noticed"
end_serve hang 1
is_clean hang
io_moves || bad "hang: I/O does not move"
io_end hang

say "an nbdkit that hangs when it is taken out"
io_begin
serve --timeout 40
kill -STOP "$(kit)"
exec 7>&-
wait_for 200 gone "$supervisor" || bad "hang-out: does not end"
is_clean hang-out
io_moves || bad "hang-out: I/O does not move"
io_end hang-out

say "kill -9 of the supervisor, then recover"
io_begin
serve
kill -9 "$supervisor"
wait "$supervisor" 2>/dev/null
exec 7>&-
sleep 1
io_moves || bad "abandoned: I/O does not move"
colo status | grep -q abandoned || bad "abandoned: status says $(colo status)"
colo recover || bad "recover"
is_clean recover
io_moves || bad "recover: I/O does not move"
io_end recover

say "a hanging nbdkit whose supervisor is killed, then recover"
io_begin
serve --timeout 40
kill -STOP "$(kit)"
kill -9 "$supervisor"
wait "$supervisor" 2>/dev/null
exec 7>&-
colo recover || bad "hang-recover"
is_clean hang-recover
io_moves || bad "hang-recover: I/O does not move"
io_end hang-recover

say "kill -9 of both, then recover"
io_begin
serve --dead-time 60 --timeout 5
io_moves || bad "both: I/O does not move"
kill -9 "$supervisor" "$(kit)"
wait "$supervisor" 2>/dev/null
exec 7>&-
sleep 2
colo recover || bad "both: recover"
is_clean both
io_moves || bad "both: I/O does not move"
io_end both

say "a record of long ago, whose nbd device is another disk's now"
io_begin
serve
stale=/run/libcolo/disk/colo-dev-vdd
sed -e 's|^supervisor .*|supervisor 1 1|' -e 's|^server .*|server 0 0|' \
    -e 's|^target .*|target /dev/vdd|' -e 's|^meta .*|meta /tmp/no.meta|' \
    -e 's|^identifier .*|identifier colo-1-1|' /run/libcolo/disk/$name >$stale
colo recover || bad "stale"
[ ! -e $stale ] || bad "stale: the record is left"
[ -e "/sys/block/nbd$(nbd)/pid" ] || bad "stale: the nbd device is gone"
io_moves || bad "stale: I/O does not move"
end_serve stale 0
is_clean stale
io_end stale

say "kill -9 of the supervisor, then serve again"
io_begin
serve
kill -9 "$supervisor"
wait "$supervisor" 2>/dev/null
exec 7>&-
serve
io_moves || bad "again: I/O does not move"
end_serve again 0
is_clean again
io_end again

# killed CASE COMMAND...: one that is killed; then recover cleans up.
killed() {
    local case=$1 r=0
    shift
    # the shell would say that it was killed
    { "$@" </dev/null >/tmp/out 2>/tmp/serve.log; } 2>/dev/null || r=$?
    colo recover >/dev/null || bad "killed $case: recover"
    is_clean "killed $case"
    io_moves || bad "killed $case: I/O does not move"
    return $r
}

say "no space of time: killed while it goes in and out"
supervise=(./colo-disk serve --role primary --domain test --vdev xvda
    --target /dev/vdc --plugin "$PWD/plain-plugin.so" --dead-time 60 --timeout 5)
io_begin
for ms in 0.2 0.4 0.6 0.9; do
    killed "after $ms" timeout -s KILL $ms "${supervise[@]}"
done
io_end killed-while

every=${2:-1}
say "killed before calls that change something, every $every."
steps=0
io_begin
for call in clone rename sendmsg unlink ioctl; do
    # the count of one that comes through is too high
    for ((n = 1 + RANDOM % every; ; n += every, steps++)); do
        killed "before $call $n" strace -qq -o /dev/null -e "trace=$call" \
            -e "inject=$call:signal=KILL:when=$n" "${supervise[@]}" && break
    done
done
echo "$steps steps"
[ $steps -gt $((every == 1 ? 12 : 0)) ] || bad "killed before: $steps steps"
io_end killed-before

say "a dead time that passes: errors, not a hang for ever"
# What a file system had still to write would be lost and told to the next
# reader, as it should be: there is none here.
umount $mnt || bad "umount"
serve --dead-time 2
kill -9 "$supervisor" "$(kit)"
wait "$supervisor" 2>/dev/null
exec 7>&-
begin=$SECONDS
timeout 60 dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
    bad "dead: a read succeeded"
[ $((SECONDS - begin)) -lt 30 ] || bad "dead: a hang of $((SECONDS - begin)) s"
colo recover || bad "dead: recover"
is_clean dead
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null ||
    bad "dead: not readable after recover"

say "file system"
fsck.ext4 -fn $disk >/tmp/fsck 2>&1 || { bad "fsck"; cat /tmp/fsck; }
colo detach $disk || bad "detach, by the device"
[ ! -e $disk ] || bad "detach: the device is left"
fsck.ext4 -fn /dev/vdc >/tmp/fsck 2>&1 || { bad "fsck of the backing"; cat /tmp/fsck; }

say "a file"
truncate -s 64M /tmp/file-1.img
device=$(colo attach /tmp/file-1.img) || bad "file: attach"
[ "$device" = /dev/mapper/colo-tmp-file=2D1.img ] || bad "file: $device"
[ "$(losetup -l -n -O BACK-FILE | wc -l)" = 1 ] || bad "file: $(losetup -l)"
dd if=/dev/urandom of="$device" bs=1M count=8 oflag=direct 2>/dev/null ||
    bad "file: write"
exec 8<"$device"
sleep 60 &
reader=$!
sleep 0.2
colo detach /tmp/file-1.img || bad "file: detach in use"
kill $reader
wait $reader 2>/dev/null
exec 8<&-
wait_for 5 sh -c "! dmsetup table $(basename "$device") >/dev/null 2>&1" ||
    bad "file: the device is left"
no_loops() { [ -z "$(losetup -l -n)" ]; }
wait_for 5 no_loops || bad "file: $(losetup -l)"

say "what is refused"
./colo-disk serve --role primary --domain test --vdev xvda --target /dev/vdd \
    </dev/null 2>/tmp/err && bad "serve without a device"
grep -q block-colo /tmp/err || bad "serve without a device: $(cat /tmp/err)"
colo attach relative 2>/dev/null && bad "a relative path"
colo attach /dev/null 2>/dev/null && bad "not a disk"
colo attach /nothing 2>/dev/null && bad "nothing"
colo attach /dev/mapper/colo-a==0123456789abcdef 2>/tmp/err && bad "a hash"
grep -q "target itself" /tmp/err || bad "a hash: $(cat /tmp/err)"
colo force /dev/vdd 2>/tmp/err && bad "force without metadata"

say "a replica that comes later"
exec 7>&-
mkfifo /tmp/in3
./colo-disk serve --role secondary --domain test --vdev xvda \
    --target /dev/vdd --plugin "$PWD/plain-plugin.so" </tmp/in3 \
    >/tmp/out 2>/tmp/serve.log &
supervisor=$!
exec 7>/tmp/in3
name=colo-dev-vdd
wait_for 60 grep -q ready /tmp/out || { bad "secondary"; cat /tmp/serve.log; }
colo attach /dev/vdd >/dev/null || bad "secondary: attach"
[ "$(under)" = "$(majmin "/dev/nbd$(nbd)")" ] || bad "secondary: over $(under)"
dd if=/dev/mapper/colo-dev-vdd of=/dev/null bs=1M count=4 iflag=direct \
    2>/dev/null || bad "secondary: read"
exec 7>&-
wait_for 60 gone $supervisor || bad "secondary: does not end"
[ "$(under)" = "$(majmin /dev/vdd)" ] || bad "secondary: over $(under) at the end"
colo detach /dev/vdd || bad "secondary: detach"

dmesg | grep -iE 'BUG|hung task|WARNING:|Call Trace' | head
echo "$failed failed"
[ $failed -eq 0 ]
