#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's disk is made by block-colo; a proxy goes beneath it and comes out
# while the guest writes and checks, and dies there once.
. "$(dirname "$0")/lib.sh"
name=gd1
image=/root/gd1.img
serve=/usr/libexec/libcolo/colo-disk

on 1 "command -v nbdkit >/dev/null && [ -x $serve ] && modprobe -a loop nbd dm_mod" ||
    { say "no nbdkit, colo-disk or kernel modules there"; exit 77; }
"$lab" guest stop $name >/dev/null 2>&1 || true
on 1 "rm -f $image && truncate -s 64M $image && mkfs.ext4 -q $image"
on 1 "cat >/tmp/plain.c" <"$e2e_top/tests/disk/plain-plugin.c"
on 1 "gcc -D_GNU_SOURCE -O2 -shared -fPIC -o /tmp/plain.so /tmp/plain.c"

start_guest $name 1 \
    "disk=vdev=xvda,format=raw,access=w,script=block-colo,target=$image"
# the address that the guest's name gives it
address=$(on 1 "sed -n 's/.*guest.ip=\([0-9.]*\).*/\1/p' /guest/$name.cfg")
[ -n "$address" ] || fail "no address in the guest's configuration"

# in the guest: COMMAND; what it prints
inside() {
    on 1 "printf '%s\nexit\n' $(printf %q "$1") | timeout 60 socat -t 30 - TCP:$address:23"
}
table() { on 1 "dmsetup table colo-root-gd1.img"; }
under() { table | awk '{ print $4 }'; }
loop=$(under)

mounted() {
    # (the guest's busybox has no mountpoint)
    inside 'grep -q " /mnt " /proc/mounts || mount -t ext4 /dev/xvda /mnt
grep -q " /mnt " /proc/mounts && echo mounted' | grep mounted
}
until_true 60 "a mounted disk in the guest" mounted
# writes what it can check, with a sync each time; says how often it was right
inside 'cat >/tmp/io.sh <<"EOF"
n=0
while [ ! -e /tmp/stop ]; do
    n=$((n + 1))
    dd if=/dev/urandom of=/tmp/a bs=64k count=8 2>/dev/null
    cp /tmp/a /mnt/a$((n % 5)) && sync || { echo "write $n" >/tmp/bad; break; }
    echo 3 >/proc/sys/vm/drop_caches
    cmp /tmp/a /mnt/a$((n % 5)) || { echo "compare $n" >/tmp/bad; break; }
    echo $n >/tmp/n
done
EOF
sh /tmp/io.sh >/dev/null 2>&1 </dev/null &' >/dev/null
rounds() { inside 'cat /tmp/n' | tail -n 1; }
io_moves() {
    local before
    before=$(rounds)
    until_true 90 "I/O of the guest" eval "[ \"\$(rounds)\" -gt \"${before:-0}\" ]"
    [ -z "$(inside 'cat /tmp/bad 2>/dev/null')" ] || fail "the guest's I/O failed"
}
io_moves
say "the guest writes to its disk on $loop"

# serve LOG: by hand, without a session; ends with /tmp/hold
begin_serve() {
    on 1 "rm -f /tmp/serve.out; touch /tmp/hold
        (while [ -e /tmp/hold ]; do sleep 0.2; done) |
        $serve serve --role primary --domain none --vdev xvda --target $image \
            --plugin /tmp/plain.so --timeout 10 >/tmp/serve.out 2>&1 &"
    until_true 60 "ready" on 1 "grep -q ready /tmp/serve.out"
}
begin_serve
[ "$(under)" != "$loop" ] || fail "the proxy is not beneath the disk"
io_moves
say "a proxy is beneath it: $(on 1 "$serve status")"
on 1 "rm /tmp/hold"
until_true 60 "end" on 1 "grep -q 'ended request' /tmp/serve.out"
[ "$(under)" = "$loop" ] || fail "the disk is over $(under), not $loop"
io_moves
say "taken out again"

begin_serve
on 1 "kill -9 \$(pgrep -x nbdkit)"
until_true 90 "end" on 1 "grep -q 'ended proxy-gone' /tmp/serve.out"
on 1 "rm -f /tmp/hold"
[ "$(under)" = "$loop" ] || fail "the disk is over $(under), not $loop"
io_moves
say "the proxy was killed: the guest goes on"

inside 'touch /tmp/stop; sleep 3; umount /mnt && echo unmounted' | grep -q unmounted ||
    fail "umount in the guest"
"$lab" guest stop $name
until_true 30 "end of the device" on 1 "! dmsetup table colo-root-gd1.img"
until_true 30 "end of the loop device" on 1 "[ -z \"\$(losetup -j $image)\" ]"
on 1 "fsck.ext4 -fn $image >/tmp/fsck 2>&1" ||
    { on 1 "cat /tmp/fsck"; fail "fsck of the disk"; }
on 1 "rm -f $image /tmp/plain.* /tmp/serve.out"
say "nothing is left, the file system is clean"
