# SPDX-License-Identifier: GPL-2.0-or-later
# The symbols file of libcolo0 out of libcolo.map: a symbol is there since the
# version that its node is named after.
BEGIN {
    print "libcolo.so.0 libcolo0 #MINVER#"
    print "* Build-Depends-Package: libcolo-dev"
}
/^LIBCOLO_[0-9.]+ *\{/ {
    node = $1
    since = substr(node, length("LIBCOLO_") + 1) ".0"
    print " " node "@" node " " since
}
node && /^ *colo_[a-z0-9_]+;/ {
    sub(";", "", $1)
    print " " $1 "@" node " " since
}
