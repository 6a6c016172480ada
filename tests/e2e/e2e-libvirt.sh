# SPDX-License-Identifier: GPL-2.0-or-later
# A guest of libvirt's: it stays libvirt's while it is protected, when it ends,
# when devices change, when libvirtd is restarted, and on the other host.  Its
# disk, whose device libvirt's hook makes, goes with it.
. "$(dirname "$0")/lib.sh"
image=/srv/g1.raw
device=colo-srv-g1.raw

# libvirtd with the Xen driver alone.  It wants a CPU that it knows: the
# emulated one lacks what even a 486 has.
libvirt_up() { # HOST
    on "$1" 'command -v libvirtd >/dev/null' ||
        { say "no libvirt in the image of host$1"; exit 77; }
    on "$1" 'cd /usr/lib/x86_64-linux-gnu/libvirt/connection-driver
        mkdir -p off /var/log/libvirt
        for f in libvirt_driver_*.so; do
            [ $f = libvirt_driver_libxl.so ] || mv $f off/
        done
        sed -i "/vme/d" /usr/share/libvirt/cpu_map/x86_486.xml; sync
        pidof libvirtd >/dev/null || libvirtd -d >/dev/null 2>&1'
    until_true 60 "libvirtd on host$1" on "$1" "virsh version"
}

libvirt_restart() { # HOST
    on "$1" 'kill $(pidof libvirtd)'
    until_true 30 "end of libvirtd on host$1" on "$1" '! pidof libvirtd'
    libvirt_up "$1"
}

# From what `lab guest start` has put there.
define() { # NAME HOST
    on "$2" "cd /guest && extra=\$(sed -n 's/^extra = \"\\(.*\\)\"\$/\\1/p' $1.cfg) &&
        mac=\$(sed -n 's/.*mac=\\([0-9a-f:]*\\).*/\\1/p' $1.cfg) &&
        cat >$1.xml <<XML && virsh define $1.xml >/dev/null
<domain type='xen'>
  <name>$1</name>
  <uuid>6c1b02ee-0001-4c11-9d00-00163e102000</uuid>
  <memory unit='MiB'>128</memory>
  <vcpu cpuset='1'>1</vcpu>
  <os>
    <type arch='x86_64' machine='xenpvh'>xenpvh</type>
    <kernel>/guest/vmlinux</kernel>
    <initrd>/guest/initramfs</initrd>
    <cmdline>\$extra</cmdline>
  </os>
  <clock offset='utc'><timer name='tsc' present='yes' mode='native'/></clock>
  <on_reboot>restart</on_reboot>
  <devices>
    <interface type='bridge'>
      <mac address='\$mac'/><source bridge='xenbr0'/>
    </interface>
    <disk type='block' device='disk'>
      <driver name='phy' type='raw'/>
      <source dev='/dev/mapper/$device'/>
      <target dev='xvda' bus='xen'/>
    </disk>
    <console type='pty'><target type='xen'/></console>
  </devices>
</domain>
XML" || fail "$1 cannot be defined on host$2"
}

state() { on "$2" "virsh domstate $1 --reason" | head -n 1; } # NAME HOST
is_in() { # STATE NAME HOST: the first words of what libvirt says
    case $(state "$2" "$3") in "$1"*) ;; *) return 1 ;; esac
}
must_be() { # STATE NAME HOST
    until_true 60 "state $1 of $2 on host$3" is_in "$@"
    say "libvirt, host$3: $2 is $(state "$2" "$3")"
}
boot() { # NAME HOST
    on "$2" "rm -f /var/log/xen/console/guest-$1.log; virsh start $1" \
        >/dev/null || fail "virsh start $1"
    until_true 90 "boot of $1" "$lab" guest pulse "$1" "$2"
}
# ---- its disk --------------------------------------------------------------------

# Nothing of an earlier run; an ext4 on host 1, as much space on host 2.
make_disks() {
    local n
    for n in 1 2; do
        on $n "modprobe -a loop nbd dm_mod && mkdir -p /srv || exit
            colo-disk detach $image 2>/dev/null
            rm -f $image /var/lib/libcolo/disk/$device.* &&
            truncate -s 16M $image" || fail "no disk on host$n"
    done
    on 1 "mke2fs -q -F -t ext4 $image && sync" || fail "mke2fs on host1"
}
has_device() { on "$1" "dmsetup info $device >/dev/null 2>&1"; } # HOST
no_device() { ! has_device "$1"; }
# (the guest's busybox has no mountpoint)
mounted='grep -q " /mnt " /proc/mounts || mount -t ext4 /dev/xvda /mnt
grep -q " /mnt " /proc/mounts || exit'
disk_has() { # WORD; read from the disk, not from memory
    local said
    said=$("$lab" guest sh g1 "$mounted
echo 3 >/proc/sys/vm/drop_caches; cat /mnt/word; exit" | tr -d '\r\n') || true
    [ "$said" = "$1" ] || fail "the disk has '$said', not '$1'"
    say "the guest reads $1 from its disk"
}
disk_write() { # WORD
    "$lab" guest sh g1 "$mounted
echo $1 >/mnt/word; sync; exit" >/dev/null || true
    disk_has "$1"
}
in_step() {
    on 1 "colo-disk status $image" | grep -F "$image primary" >/dev/null ||
        fail "no proxy on host1: $(on 1 "colo-disk status")"
    on 2 "colo-disk status $image" | grep -F "$image secondary" >/dev/null ||
        fail "no proxy on host2: $(on 2 "colo-disk status")"
    on 1 "colo verify g1" || fail "the disks of both hosts differ"
}

of_ours() { on "$1" 'pgrep -f "colo-toolstack (monitor|end)"'; } # HOST

for host in 1 2; do
    host_ready $host
    libvirt_up $host
    on $host "virsh destroy g1; virsh undefine g1; true" >/dev/null 2>&1
done
for host in 2 1; do
    start_guest g1 $host wait=0
    "$lab" guest stop g1 >/dev/null
    define g1 $host
done
make_disks
boot g1 1
has_device 1 || fail "libvirt's hook has made no device"
disk_write one
on 1 "colo check g1 --verbose" | grep "disk xvda is replicated" >/dev/null ||
    fail "the check does not know the disk"
pulse_good g1 1

# ---- what it looks like, and what others may do -------------------------------
protect g1 1 2
must_be running g1 1
must_be paused g1 2
disk_write two
in_step
on 1 "virsh save g1 /tmp/g1.save" >/dev/null 2>&1 && fail "virsh save took it"
must_be running g1 1
on 1 "virsh migrate --live g1 xen+ssh://host2/system" >/dev/null 2>&1 &&
    fail "virsh migrate took it"
epochs_pass g1 1 3
libvirt_restart 2
must_be paused g1 2
libvirt_restart 1
epochs_pass g1 1 3
pulse_good g1 1
[ "$(status_field g1 1 audit_mismatches)" = 0 ] || fail "audit"

# ---- after protection libvirt sees the guest's end itself ---------------------
on 1 "colo stop g1"
clean_host g1 1
must_be running g1 1
must_be "shut off" g1 2
until_true 30 "end of the device on host2" no_device 2
pulse_good g1 1
of_ours 1 && fail "libvirt was not given its guest back"
"$lab" guest tell g1 poweroff 1
must_be "shut off (shutdown)" g1 1
until_true 30 "end of the device on host1" no_device 1

# ---- the copy of the other host starts no guest --------------------------------
said=$(on 2 "virsh start g1" 2>&1) && fail "g1 was started on an old copy"
grep "colo-disk force" <<<"$said" >/dev/null ||
    fail "not refused because of the copy: $said"
must_be "shut off" g1 2
no_device 2 || fail "a device of a guest that was refused is left"

# ---- while it is protected, the session does ----------------------------------
boot g1 1
disk_has two
protect g1 1 2
before=$(on 1 "xl domid g1")
"$lab" guest tell g1 reboot 1
new_guest() {
    [ "$(on 1 'xl domid g1' 2>/dev/null || echo "$before")" != "$before" ]
}
until_true 120 "the new g1 after reboot" new_guest
must_be running g1 1
until_true 60 "end of the session on host1" no_session g1 1
must_be "shut off" g1 2
on 1 "virsh dominfo g1" | grep -E "^Persistent: +yes" >/dev/null ||
    fail "g1 is not the defined one any more"
until_true 90 "boot of g1" "$lab" guest pulse g1 1
disk_has two

# ---- another device ends protection -------------------------------------------
protect g1 1 2
on 1 "virsh attach-interface g1 bridge xenbr0 --mac 00:16:3e:10:21:01 --live" \
    >/dev/null || fail "attach-interface"
clean_host g1 1
must_be running g1 1
on 1 "grep 'attached a device' /var/log/libcolo/g1.log" >/dev/null ||
    fail "no word of the device"
on 1 "virsh detach-interface g1 bridge --mac 00:16:3e:10:21:01 --live" \
    >/dev/null || fail "detach-interface"
pulse_good g1 1

# ---- the other host ------------------------------------------------------------
protect g1 1 2 --toolstack libvirt
disk_write three
epochs_pass g1 1 3
"$lab" power-off 1
must_be "running" g1 2
guest_here g1 2 || fail "g1 does not run on host2"
pulse_good g1 2
disk_has three
until_true 60 "end of the session on host2" no_session g1 2
of_ours 2 && fail "a program of ours watches libvirt's guest"
on 2 "virsh ttyconsole g1" | grep /dev/pts >/dev/null || fail "no console"
on 2 "virsh shutdown g1" >/dev/null || fail "virsh shutdown"
must_be "shut off (shutdown)" g1 2
until_true 30 "end of the device on host2" no_device 2
on 2 "mount -o loop $image /mnt && cat /mnt/word; umount /mnt" |
    grep -x three >/dev/null || fail "$image on host2 has another word"
on 2 "virsh undefine g1; rm -f $image; kill \$(pidof libvirtd)" >/dev/null
host_ready 1
