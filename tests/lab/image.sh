# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The image of a lab host, one for each Debian release, outside the tree:
#   $LAB_DIR/image-RELEASE/root/      the installed packages, also the chroot
#                                     that `push` builds in
#   .../host.raw host.xen host.vmlinuz host.initrd    what QEMU boots
#   .../guest.vmlinux                                 what test guests boot
# Two steps, each repeated only if its inputs changed (a hash in a stamp file):
# `root` installs the packages (minutes), `disk` adds our files and makes the
# file system (seconds).

image_dir() { echo "$LAB_DIR/image-$1"; } # release

xen_version() { # release
    case $1 in
        bookworm) echo 4.17 ;;
        trixie) echo 4.20 ;;
        *) die "release '$1' is not known to the lab: bookworm or trixie" ;;
    esac
}

image_packages() { # release
    sed -e 's/#.*//' -e '/^ *$/d' -e "s/@XEN@/$(xen_version "$1")/" \
        "$here/image/packages"
}

root_hash() { # release
    { image_packages "$1"
      declare -f make_root make_root_mounted; } | sha256sum | cut -c1-32
}

disk_hash() { # release
    { root_hash "$1"
      cat "$here"/image/lab-* "$LAB_DIR/key.pub" "$LAB_DIR/token" \
          "$lab_top/tests/pulse/extract-vmlinux"
      declare -f make_disk make_initrd add_files; } | sha256sum | cut -c1-32
}

stamp_is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; } # file hash

# --- root: packages -----------------------------------------------------------

make_root() { # release
    local release=$1 dir work
    dir=$(image_dir "$release")
    say "installing the packages of a $release host (about 2 minutes)"
    rm -rf "$dir/root.stamp" "$dir/root.new"
    mkdir -p "$dir"
    # In a mount namespace of its own: no mount is left, whatever happens.
    unshare -m bash -euo pipefail -c "$(declare -f make_root_mounted)
        make_root_mounted \"\$@\"" make_root "$release" "$dir/root.new" \
        "$("$here/image/apt-sources" "$release")" \
        "$(image_packages "$release" | tr '\n' ' ')" >"$dir/root.log" 2>&1 ||
        { tail -n 20 "$dir/root.log" >&2
          die "installing $release failed, see $dir/root.log"; }
    work=$dir/root.old
    rm -rf "$work"
    [ ! -e "$dir/root" ] || mv "$dir/root" "$work"
    mv "$dir/root.new" "$dir/root"
    rm -rf "$work"
    root_hash "$release" >"$dir/root.stamp"
}

make_root_mounted() { # release root sources packages
    local release=$1 root=$2 sources=$3 packages=$4 mirror
    mirror=$(echo "$sources" | awk 'NR == 1 { print $2 }')
    # The initrd is ours, see make_initrd: the kernel's package makes none.
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C INITRD=No
    debootstrap --variant=minbase "$release" "$root" "$mirror"
    echo "$sources" >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^(Acquire::|APT::Sandbox)' \
        >"$root/etc/apt/apt.conf.d/99lab-builder" || true
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    chroot "$root" apt-get -qq update
    chroot "$root" apt-get -qq -y --no-install-recommends upgrade
    # shellcheck disable=SC2086 # one word per package is meant
    chroot "$root" apt-get -qq -y --no-install-recommends install $packages
    chroot "$root" apt-get clean
    rm "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/99lab-builder" \
        "$root/etc/resolv.conf"
    rm -rf "$root/var/lib/apt/lists"
    mkdir -p "$root/var/lib/apt/lists/partial"
}

# --- disk: our files, file system, what QEMU boots -----------------------------

add_files() { # root
    local root=$1 n
    install -m 755 "$LAB_DIR/lab-run" "$root/usr/local/bin/lab-run"
    install -m 600 "$LAB_DIR/token" "$root/etc/lab-token"
    install -m 755 "$here/image/lab-cut" "$root/usr/local/sbin/lab-cut"
    install -m 755 "$here/image/vif-lab" "$root/etc/xen/scripts/vif-lab"
    install -m 755 "$here/image/lab-init" "$root/lab-init"
    install -m 755 "$here/image/lab-vm-init" "$root/lab-vm-init"
    echo 'autoballoon="off"' >"$root/etc/xen/xl.conf"
    {   echo "127.0.0.1 localhost"
        for n in 1 2; do
            echo "10.10.0.$n host$n"
            echo "10.20.0.$n host$n-lan"
        done
    } >"$root/etc/hosts"
    # The same key lets us into the hosts and each host into the other.
    install -d -m 700 "$root/root/.ssh"
    install -m 600 "$LAB_DIR/key" "$root/root/.ssh/id_ed25519"
    install -m 600 "$LAB_DIR/key.pub" "$root/root/.ssh/authorized_keys"
    cat >"$root/root/.ssh/config" <<'SSH'
Host *
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    KexAlgorithms curve25519-sha256
SSH
    cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'SSHD'
UseDNS no
UsePAM no
PermitRootLogin prohibit-password
MaxSessions 100
MaxStartups 100
PrintMotd no
SSHD
    rm -f "$root"/etc/ssh/ssh_host_*
    ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"
}

# Busybox and what the root disk needs: see lab-initrd-init.
make_initrd() { # root kernel-version out
    local root=$1 out=$3 tmp file
    tmp=$(mktemp -d)
    mkdir -p "$tmp"/{bin,dev,proc,sys,root,modules}
    cp "$root/bin/busybox" "$tmp/bin/busybox"
    chroot "$tmp" /bin/busybox --install -s /bin
    install -m 755 "$here/image/lab-initrd-init" "$tmp/init"
    chroot "$root" modprobe -S "$2" -a --show-depends virtio_pci virtio_blk \
        ext4 crc32c_generic | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r file; do
            case $file in
                *.xz) xz -dc "$root$file" \
                    >"$tmp/modules/$(basename "$file" .xz)" ;;
                *) cp "$root$file" "$tmp/modules/" ;;
            esac
            basename "$file" .xz
        done >"$tmp/modules/order"
    [ -s "$tmp/modules/order" ] || die "no modules for the initrd in $root"
    (cd "$tmp" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1n >"$out"
    rm -rf "$tmp"
}

make_disk() { # release
    local release=$1 dir root kernel
    dir=$(image_dir "$release")
    root=$dir/root
    say "making the disk of a $release host"
    rm -f "$dir/disk.stamp"
    add_files "$root"
    "$lab_top/tests/pulse/mkguest" kernel "$root" "$dir/guest.vmlinux"
    mkdir -p "$root/guest"
    cp "$dir/guest.vmlinux" "$root/guest/vmlinux"
    sha256sum <"$dir/guest.vmlinux" | cut -c1-64 >"$root/guest/vmlinux.sum"
    kernel=$(cd "$root/boot" && echo vmlinuz-*)
    [ -f "$root/boot/$kernel" ] || die "not exactly one kernel in $root/boot"
    cp "$root/boot/$kernel" "$dir/host.vmlinuz"
    make_initrd "$root" "${kernel#vmlinuz-}" "$dir/host.initrd"
    gzip -dc "$root/boot/xen-$(xen_version "$release")-amd64.gz" \
        >"$dir/host.xen"
    rm -f "$dir/host.raw"
    mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -J size=16 \
        -d "$root" "$dir/host.raw" 4G >/dev/null
    disk_hash "$release" >"$dir/disk.stamp"
}

# --- the verb -----------------------------------------------------------------

lab_build() { # release...; default: those of the two hosts
    [ $# -gt 0 ] || set -- "$(host_release 1)" "$(host_release 2)"
    [ "$(id -u)" = 0 ] || die "build: needs root (debootstrap, chroot)"
    with_lock "$LAB_DIR/build.lock" 900 build_locked "$@"
}

# The same program here and there.  Whoever runs the old one keeps it.
make_lab_run() {
    local program=$LAB_DIR/lab-run source=$here/image/lab-run.c
    [ "$program" -nt "$source" ] && return
    gcc -O2 -Wall -static -pthread -o "$program.new" "$source" &&
        mv "$program.new" "$program"
}

build_locked() {
    local release dir
    [ -f "$LAB_DIR/key" ] ||
        ssh-keygen -q -t ed25519 -N '' -C colo-lab -f "$LAB_DIR/key"
    [ -f "$LAB_DIR/token" ] || (umask 077
        od -An -vtx1 -N32 /dev/urandom | tr -d ' \n' >"$LAB_DIR/token")
    make_lab_run
    for release in "$@"; do
        dir=$(image_dir "$release")
        stamp_is "$dir/root.stamp" "$(root_hash "$release")" ||
            make_root "$release"
        stamp_is "$dir/disk.stamp" "$(disk_hash "$release")" ||
            make_disk "$release"
    done
}
