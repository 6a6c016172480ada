#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hotplug script vif-colo, where Xen's own ones are stand-ins that say what
# they were given: what is refused, and that vif-bridge has the last word.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

sed 's|@pkglibexecdir@|/nonexistent|' \
    "$here/../../net-proxy/colo-net/vif-colo.in" >"$dir/vif-colo"
cat >"$dir/vif-common.sh" <<'END'
command=$1
dev=$vif
log() { echo "log $*"; }
fatal() { echo "fatal $*"; exit 1; }
xenstore_read_default() { echo "$BRIDGE"; }
END
cat >"$dir/vif-bridge" <<'END'
#!/bin/bash
echo "vif-bridge $* for $vif"
exit "${BRIDGE_STATUS:-0}"
END
mkdir "$dir/bin"
cat >"$dir/bin/modprobe" <<'END'
#!/bin/bash
[ "$2" != "${LACKS:-}" ]
END
cat >"$dir/colo-net" <<'END'
#!/bin/bash
echo "colo-net $*"
exit "${NET_STATUS:-0}"
END
chmod +x "$dir"/vif-* "$dir/bin/modprobe" "$dir/colo-net"

# check STATUS TEXT ENVIRONMENT... COMMAND
check() {
    local want=$1 text=$2 said r=0
    shift 2
    said=$(env PATH="$dir/bin:$PATH" vif=vif7.0 XENBUS_PATH=backend \
        BRIDGE= COLO_NET="$dir/colo-net" "${@:1:$#-1}" \
        "$dir/vif-colo" "${!#}" 2>&1) || r=$?
    if [ $r != "$want" ] || [ "$said" != "$text" ]; then
        echo "vif-colo ${*}: status $r, \"$said\" instead of $want, \"$text\""
        failed=1
    fi
}

check 0 "vif-bridge online for vif7.0" LACKS= online
check 0 "vif-bridge add for vif7.0" LACKS= add
check 1 "vif-bridge online for vif7.0" BRIDGE_STATUS=1 online
# a name that no kernel has in /sys/module, whatever this one has
sed -i 's/cls_bpf/cls_nobody/' "$dir/vif-colo"
check 1 "fatal vif-colo: this kernel has no module cls_nobody" \
    LACKS=cls_nobody online
check 1 "fatal vif-colo: lo is not a bridge of Linux" BRIDGE=lo online
check 0 "colo-net cleanup vif7.0
vif-bridge offline for vif7.0" NET_STATUS=0 offline
check 0 "colo-net cleanup vif7.0
log debug vif-colo: colo-net has vif7.0
vif-bridge offline for vif7.0" NET_STATUS=1 offline
[ $failed = 0 ] && echo "vif-colo: ok"
exit $failed
