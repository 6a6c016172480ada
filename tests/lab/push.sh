# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The freshly built libcolo onto the hosts: `make install` into a staging
# folder with prefix /usr, one tar over ssh.  Xen's libraries differ between
# releases, so a host whose release is not this machine's gets a build of its
# own, made in the chroot of its image.
#
# With COLO_LAB_DEBS=DIR the packages that tools/build-deb has put into DIR, or
# into DIR/RELEASE if that is there, are installed instead.

builder_release() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# Configured for the paths of a host: the programs know where they are.
make_install() { # build-dir stage
    # libtool's relinking must not find an older stage.
    rm -rf "$2"
    make -s -C "$1" install DESTDIR="$2" prefix=/usr exec_prefix=/usr \
        sysconfdir=/etc localstatedir=/var >"$2.log" 2>&1 ||
        { tail -n 20 "$2.log" >&2; die "make install failed, see $2.log"; }
}

stage_from_build() { # stage
    local build=${COLO_BUILD:-$lab_top/build}
    [ -f "$build/Makefile" ] ||
        die "nothing is configured in $build: configure there, or set COLO_BUILD"
    make_install "$build" "$1"
}

# What differs becomes new now: a file may be older than what was built from
# the one before it.
take_changed() { # from to
    local file
    (cd "$1" && find . -type f -print0) | while IFS= read -r -d '' file; do
        cmp -s "$1/$file" "$2/$file" && continue
        mkdir -p "$2/$(dirname "$file")"
        cp --preserve=mode "$1/$file" "$2/$file"
    done
}

# Build the tree's present files inside the image of a release.
stage_in_chroot() { # release stage
    local root log=$2.log
    root=$(image_dir "$1")/root
    say "building libcolo in the chroot of $1"
    rm -rf "$root/build/new"
    mkdir -p "$root/build/new" "$root/build/src"
    (cd "$lab_top" && git ls-files -z --cached --others --exclude-standard |
        tar --null -T - --ignore-failed-read -cf - 2>/dev/null) |
        tar -C "$root/build/new" -xf -
    take_changed "$root/build/new" "$root/build/src"
    timeout 900 unshare -m bash -euo pipefail -c '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        chroot "$1" bash -euc "
            cd /build/src
            [ -x configure ] || autoreconf -fi
            mkdir -p ../obj && cd ../obj
            [ -f Makefile ] || ../src/configure --prefix=/usr
            make -s -j2
            rm -rf ../stage
            make -s install sysconfdir=/etc DESTDIR=/build/stage"
        ' chroot_build "$root" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "building in the chroot failed: $log"; }
    rm -rf "$2"
    mv "$root/build/stage" "$2"
}

# What one way of installing leaves would be found first by what the other
# installs: the library lies in another folder.
remove_packages='
    found=$(dpkg-query -W -f "\${db:Status-Status} \${Package}\n" \
        "libcolo*" "xen-colo-tools*" 2>/dev/null |
        while read -r status package; do
            case $status in
                not-installed | config-files) ;;
                *) echo "$package" ;;
            esac
        done)
    [ -z "$found" ] || dpkg --remove $found >/dev/null </dev/null'
remove_stage='
    rm -rf /usr/lib/libcolo /usr/lib/libcolo.* /usr/lib/pkgconfig/libcolo.pc \
        /usr/libexec/libcolo'

# Whatever is in the way of an unattended install is overwritten; there is no
# network in a host, so what is missing is said by dpkg.
install_packages='
    export DEBIAN_FRONTEND=noninteractive
    dpkg --install --force-confnew --force-confmiss /root/debs/*.deb
    r=$?
    rm -rf /root/debs
    [ $r = 0 ] && ldconfig && colo --version'

push_packages() { # host release
    local dir=$COLO_LAB_DEBS package found files=()
    [ ! -d "$dir/$2" ] || dir=$dir/$2
    for package in libcolo0 libcolo-dev xen-colo-tools; do
        found=("$dir/$package"_*.deb)
        [ -f "${found[0]}" ] ||
            die "no $package in $dir: run tools/build-deb $dir"
        [ "${#found[@]}" = 1 ] || die "more than one $package in $dir"
        files+=("$(basename "${found[0]}")")
    done
    tar -C "$dir" --owner=0 --group=0 -cf - "${files[@]}" |
        on_host "$1" "rm -rf /root/debs && mkdir /root/debs &&
            tar -C /root/debs -xf -" || die "copying to host$1 failed"
    on_host "$1" "$remove_stage
$install_packages" >"$LAB_RUN/debs-host$1.log" 2>&1 </dev/null ||
        { tail -n 20 "$LAB_RUN/debs-host$1.log" >&2
          die "installing on host$1 failed: $LAB_RUN/debs-host$1.log"; }
    say "the packages of libcolo are on host$1"
}

lab_push() {
    local n release stage
    need_host 1
    need_host 2
    mkdir -p "$LAB_RUN"
    for n in 1 2; do
        release=$(cat "$LAB_RUN/host$n.release")
        if [ -n "${COLO_LAB_DEBS:-}" ]; then
            push_packages "$n" "$release"
            continue
        fi
        stage=$LAB_RUN/stage-$release
        # Both hosts of one release share a stage.
        if [ "$n" = 1 ] || [ "$release" != "$(cat "$LAB_RUN/host1.release")" ]
        then
            if [ "$release" = "$(builder_release)" ]; then
                stage_from_build "$stage"
            else
                stage_in_chroot "$release" "$stage"
            fi
        fi
        # Over a usr-merged root: --keep-directory-symlink.
        tar -C "$stage" --owner=0 --group=0 -czf - . |
            on_host "$n" "$remove_packages
                tar -C / --keep-directory-symlink --no-overwrite-dir \
                -xzf - && ldconfig" ||
            die "copying to host$n failed"
        say "libcolo is on host$n"
    done
}
