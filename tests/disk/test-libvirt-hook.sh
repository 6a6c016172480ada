#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# libvirt's hook, where colo-disk and xenstore are stand-ins: which devices of
# a definition it makes and takes away, when, and what it refuses.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
uuid=6c1b02ee-0001-4c11-9d00-00163e102000

sed 's|@pkglibexecdir@|/nonexistent|' "$here/../../disk-proxy/libvirt-hook.in" \
    >"$dir/hook"
mkdir "$dir/bin" "$dir/records"
cat >"$dir/colo-disk" <<'END'
#!/bin/bash
echo "$*" >>"$LOG"
echo "/dev/mapper/it"
[ "$2" != "${REFUSED:-}" ] && exit 0
echo "colo-disk: something else" >&2
echo "colo-disk: this copy is stale: colo-disk force TARGET" >&2
exit 1
END
cat >"$dir/bin/xenstore-read" <<'END'
#!/bin/bash
echo "read $*" >>"$LOG.xenstore"
case $1 in
    "/libcolo/$UUID/role") [ -n "${ROLE:-}" ] && echo "$ROLE" ;;
    "/libcolo/$UUID/owner") [ -n "${OWNER:-}" ] && echo "$OWNER 345" ;;
    *) exit 1 ;;
esac
END
chmod +x "$dir/hook" "$dir/colo-disk" "$dir/bin/xenstore-read"

# As libvirt writes it; DISKS: lines within <devices>
definition() { # [DISKS]
    cat <<XML
<domain type='xen'>
  <name>web</name>
  <uuid>$uuid</uuid>
  <description>&lt;source dev='/dev/mapper/colo-in-text'/&gt;</description>
  <metadata>
    <x:y xmlns:x='http://example.org/x'>
      <source dev='/dev/mapper/colo-in-metadata'/>
    </x:y>
  </metadata>
  <devices>
${1-}
    <console type='pty'><target type='xen'/></console>
  </devices>
  <seclabel type='none'/>
</domain>
XML
}
disk() { # DEVICE [ATTRIBUTES]
    cat <<XML
    <disk type='block' device='disk'>
      <driver name='phy' type='raw'/>
      <source dev='$1'${2-}/>
      <target dev='xvda' bus='xen'/>
    </disk>
XML
}
two=$(disk /dev/mapper/colo-dev-vg-web " index='1'"
    disk /dev/mapper/colo-srv-a=20b+c_.raw)

# check WHAT STATUS CALLS SAID DISKS ENVIRONMENT... OPERATION SUB-OPERATION
check() {
    local what=$1 want=$2 calls=$3 text=$4 disks=$5 said r=0
    shift 5
    : >"$dir/log"
    : >"$dir/log.xenstore"
    said=$(definition "$disks" |
        env PATH="$dir/bin:$PATH" LOG="$dir/log" UUID=$uuid \
            COLO_DISK="$dir/colo-disk" COLO_RECORDS="$dir/records" \
            "${@:1:$#-2}" "$dir/hook" web "${@:$#-1}" - 2>&1) || r=$?
    if [ $r != "$want" ] || [ "$(cat "$dir/log")" != "$calls" ] ||
        [ "$said" != "$text" ]; then
        echo "$what: status $r, \"$(cat "$dir/log")\", \"$said\" instead of" \
            "$want, \"$calls\", \"$text\""
        failed=1
    fi
}

attached="attach /dev/mapper/colo-dev-vg-web
attach /dev/mapper/colo-srv-a=20b+c_.raw"
check "a start" 0 "$attached" "" "$two" ROLE= prepare begin
check "an end" 0 "${attached//attach/detach}" "" "$two" ROLE= release end
for op in "start begin" "started begin" "stopped end" "reconnect begin" \
    "migrate begin" "prepare end" "release begin"; do
    # shellcheck disable=SC2086 # two words
    check "$op" 0 "" "" "$two" ROLE= $op
done
check "no disk" 0 "" "" "" ROLE= prepare begin
check "one twice" 0 "attach /dev/mapper/colo-a-b" "" \
    "$(disk /dev/mapper/colo-a-b; disk /dev/mapper/colo-a-b)" \
    ROLE= prepare begin

# The second is refused: libvirt is told which and why, and says release.
stale() { echo "$1: colo-disk: this copy is stale: colo-disk force $1"; }
check "a stale copy" 1 "$attached" \
    "$(stale /dev/mapper/colo-srv-a=20b+c_.raw)" "$two" \
    REFUSED=/dev/mapper/colo-srv-a=20b+c_.raw prepare begin
check "the first is stale" 1 "attach /dev/mapper/colo-dev-vg-web" \
    "$(stale /dev/mapper/colo-dev-vg-web)" "$two" \
    REFUSED=/dev/mapper/colo-dev-vg-web prepare begin
check "an end that fails" 0 "${attached//attach/detach}" \
    "colo-disk detach /dev/mapper/colo-dev-vg-web: colo-disk: something else
colo-disk: this copy is stale: colo-disk force TARGET" "$two" \
    REFUSED=/dev/mapper/colo-dev-vg-web release end
check "no colo-disk" 1 "" \
    "/dev/mapper/colo-dev-vg-web: env: '$dir/none': No such file or directory" \
    "$two" LC_ALL=C COLO_DISK="$dir/none" prepare begin

# What is not colo-disk's, or no name at all.
# shellcheck disable=SC2016 # not to be expanded, here nor there
for device in /dev/vg/web /dev/mapper/vg-web /dev/mapper/colo-web \
    /dev/mapper/colo-a--b /dev/mapper/colo--a-b /dev/mapper/colo-a-b- \
    '/dev/mapper/colo-a-b;id' '/dev/mapper/colo-a-$(id)' \
    '/dev/mapper/colo-a-b c' '/dev/mapper/colo-a-b/../../sda' \
    "/dev/mapper/colo-a-b&apos;" '/dev/mapper/colo-a-`id`' \
    '/dev/mapper/colo-a-*' "x/dev/mapper/colo-a-b"; do
    check "$device" 0 "" "" "$(disk "$device")" ROLE= prepare begin
done

# A replica's disk is attached when its proxy is there, and not before.
asked() { [ "$(grep -c role "$dir/log.xenstore")" -gt 1 ]; }
(for _ in {1..100}; do asked && break; sleep 0.1; done
    echo there >>"$dir/log"; touch "$dir/records/colo-a-b") &
check "a replica" 0 "there
attach /dev/mapper/colo-a-b" "" "$(disk /dev/mapper/colo-a-b)" \
    ROLE=secondary OWNER=$$ prepare begin
wait
asked || { echo "a replica: it did not look twice"; failed=1; }
rm -f "$dir/records/colo-a-b"
begin=$SECONDS
check "a primary" 0 "attach /dev/mapper/colo-a-b" "" \
    "$(disk /dev/mapper/colo-a-b)" ROLE=primary OWNER=$$ prepare begin
# no process has this number
check "a dead session" 0 "attach /dev/mapper/colo-a-b" "" \
    "$(disk /dev/mapper/colo-a-b)" ROLE=secondary OWNER=99999999 prepare begin
[ $((SECONDS - begin)) -lt 10 ] || { echo "it waits for nobody"; failed=1; }
check "an end waits for nobody" 0 "detach /dev/mapper/colo-a-b" "" \
    "$(disk /dev/mapper/colo-a-b)" ROLE=secondary OWNER=$$ release end

[ $failed = 0 ] && echo "libvirt-hook: ok"
exit $failed
