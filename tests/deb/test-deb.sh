#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The Debian packages: made, looked into, unpacked and used.  Run by ./check;
# a minute of one processor.  COLO_DEBS: packages that are there already.
#
#   tests/deb/test-deb.sh [--write]     --write: files.txt says what is in them
set -u
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
files=$top/tests/deb/files.txt
failed=0

bad() { echo "test-deb: $*" >&2; failed=1; }
skip() { echo "$*"; exit 77; }

command -v dpkg-buildpackage >/dev/null || skip "no dpkg-buildpackage here"
command -v dh >/dev/null || skip "no debhelper here (tools/install-deps deb)"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
root=$work/root
arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
lib=$root/usr/lib/$arch

# --- made, and nothing is left in the tree ------------------------------------
tree() { git -C "$top" status --porcelain --ignored 2>/dev/null | sort; }
debs=${COLO_DEBS:-$work/debs}
if [ -z "${COLO_DEBS:-}" ]; then
    before=$(tree)
    DEB_BUILD_OPTIONS="noopt noautodbgsym ${DEB_BUILD_OPTIONS:-}" \
        DEB_CFLAGS_STRIP=-g "$top/tools/build-deb" "$debs" || exit 1
    new=$(comm -13 <(echo "$before") <(tree) | grep -E ' (debian|build-deb)')
    [ -z "$new" ] || bad "left in the tree: $new"
fi
deb_of() { # package
    local found=("$debs/$1"_*.deb)
    [ "${#found[@]}" = 1 ] && [ -f "${found[0]}" ] || return 1
    echo "${found[0]}"
}
field() { dpkg-deb -f "$(deb_of "$1")" "$2"; } # package field

# --- what is in them ------------------------------------------------------------
list() {
    local package
    for package in libcolo-dev libcolo0 xen-colo-tools; do
        dpkg-deb -c "$(deb_of "$package")" |
            awk -v p="$package" '!/^d/ { sub(/^\./, "", $6); print p, $6 }' |
            sed "s/$arch/ARCH/" | LC_ALL=C sort
    done
}
for package in libcolo-dev libcolo0 xen-colo-tools; do
    deb_of "$package" >/dev/null ||
        { bad "no package $package in $debs"; exit 1; }
    dpkg-deb -x "$(deb_of "$package")" "$root" || exit 1
done
if [ "${1:-}" = --write ]; then
    list >"$files"
else
    list | diff "$files" - >&2 ||
        bad "other files than in files.txt; if that is meant: $0 --write"
fi
# shellcheck disable=SC2046 # a pattern, and no blanks in it
readelf -d "$root"/usr/bin/colo "$root"/usr/libexec/libcolo/* "$lib"/*.so* \
    2>/dev/null | grep -E 'R(UN)?PATH' >&2 && bad "a program has a library path"

# --- what they say about themselves -------------------------------------------------
version=$(sed -n 's/^AC_INIT(\[libcolo\], \[\([^]]*\)\].*/\1/p' "$top/configure.ac")
for package in libcolo-dev libcolo0 xen-colo-tools; do
    [ "$(field "$package" Version)" = "$version" ] ||
        bad "$package is $(field "$package" Version), the tree $version"
done
for package in libcolo-dev xen-colo-tools; do
    field "$package" Depends | grep -qF "libcolo0 (= $version)" ||
        bad "$package goes with any libcolo0"
done
# libxenctrl changes with each release of Xen, and so does the package's name
xen=$(dpkg-query -W -f '${Version}' libxen-dev | sed 's/\.[0-9]*[+-].*//')
for package in libcolo0 xen-colo-tools; do
    field "$package" Depends | grep -qE "libxen(misc)?[a-z]*$xen" ||
        bad "$package does not ask for Xen $xen: $(field "$package" Depends)"
done
dpkg-deb --ctrl-tarfile "$(deb_of libcolo0)" | tar -xOf - ./symbols |
    sed -n 's/^ \(colo_[a-z0-9_]*\)@.*/\1/p' | LC_ALL=C sort |
    diff - <(sed -n 's/^ *\(colo_[a-z0-9_]*\);.*/\1/p' \
             "$top/libcolo/libcolo.map" | LC_ALL=C sort) >&2 ||
    bad "the package's symbols are not those of libcolo.map"
dpkg-deb --ctrl-tarfile "$(deb_of xen-colo-tools)" | tar -xOf - ./conffiles |
    diff - <(printf '/etc/%s\n' libvirt/hooks/libxl.d/colo \
        xen/scripts/block-colo xen/scripts/vif-colo) >&2 ||
    bad "xen-colo-tools: other conffiles"

# --- used ---------------------------------------------------------------------------
said=$(LD_LIBRARY_PATH=$lib "$root/usr/bin/colo" --version) ||
    bad "colo --version fails"
[ "${said%%$'\n'*}" = "colo $version" ] || bad "colo --version: $said"
strings=$(LC_ALL=C tr -c '[:print:]' '\n' <"$root/usr/bin/colo")
grep -qx /usr/libexec/libcolo/colo-attach <<<"$strings" ||
    bad "colo looks for its helpers elsewhere"
for script in etc/xen/scripts/block-colo etc/xen/scripts/vif-colo \
    etc/libvirt/hooks/libxl.d/colo usr/bin/colo-xl usr/libexec/libcolo/colo-wait; do
    grep -oE '/usr/[a-z0-9_/.-]*' "$root/$script" | while read -r path; do
        [ -e "$root$path" ] || [ "$path" = /usr/libexec/libcolo ] ||
            echo "$script: $path"
    done
done | grep . >&2 && bad "scripts name files that are in no package"

for example in "$root"/usr/share/doc/libcolo-dev/examples/*.c; do
    # shellcheck disable=SC2046 # words are meant
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$lib/pkgconfig \
        ${CC:-gcc} -Wall -Werror -o "$work/example" "$example" \
        $(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$lib/pkgconfig \
          pkg-config --cflags --libs libcolo) -Wl,-rpath-link,"$lib" ||
        bad "$(basename "$example") does not compile with libcolo-dev"
    # No argument, or no Xen: whatever it says, it has been loaded.
    LD_LIBRARY_PATH=$lib timeout 20 "$work/example" </dev/null \
        >"$work/said" 2>&1
    [ $? -lt 124 ] || bad "$(basename "$example") does not run: $(cat "$work/said")"
done

# --- the unit -------------------------------------------------------------------------
unit=$root/usr/lib/systemd/system/colo@.service
if command -v systemd-analyze >/dev/null; then
    mkdir "$work/unit"
    sed -E "s|=(-?)/usr/|=\1$root/usr/|" "$unit" >"$work/unit/colo@web-1.service"
    said=$(timeout 60 systemd-analyze verify --man=no \
        "$work/unit/colo@web-1.service" 2>&1) || bad "systemd-analyze: $said"
    ! grep -F colo@ <<<"$said" >&2 || bad "systemd-analyze complains"
fi
# Those end it; the numbers are the command's (cli/exit.h).
for name in USAGE NOT_FOUND MOVED; do
    sed -n "s/^#define CLI_$name *\([0-9]\).*/\1/p" "$top/cli/exit.h"
done | tr '\n' ' ' | sed 's/ $//' |
    diff - <(sed -n 's/^RestartPreventExitStatus=//p' "$unit" | tr -d '\n') \
    >&2 || bad "colo@.service: other exit codes end it"
grep -qx 'KillMode=process' "$unit" ||
    bad "colo@.service: a stop would signal those who serve the guest"

# Waiting: only a guest that is not here is waited for, and not for ever.
cat >"$work/colo" <<'COLO'
#!/bin/sh
echo "$*" >>"$0.calls"
[ "$(wc -l <"$0.calls")" -le "$(cat "$0.absent")" ] && exit 4
exit 3
COLO
chmod +x "$work/colo"
wait_calls() { # absent seconds expected [at-most]
    local calls
    rm -f "$work/colo.calls"
    echo "$1" >"$work/colo.absent"
    COLO=$work/colo timeout 20 "$root/usr/libexec/libcolo/colo-wait" "web 1" "$2" \
        2>/dev/null || bad "colo-wait fails"
    calls=$(grep -cx 'check web 1' "$work/colo.calls")
    [ "$calls" -ge "$3" ] && [ "$calls" -le "${4:-$3}" ] ||
        bad "colo-wait: $calls calls, not $3"
}
wait_calls 0 5 1
wait_calls 1 5 2
wait_calls 9 2 2 4

# Who publishes packages gives an address; ours are built by their users.
if command -v lintian >/dev/null; then
    lintian --fail-on error,warning --suppress-tags bogus-mail-host \
        "$debs"/*_"$version"_*.deb || bad "lintian"
fi
exit $failed
