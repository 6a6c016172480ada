# SPDX-License-Identifier: GPL-2.0-or-later
# An HVM guest without PV drivers: it is stopped without its help, and all its
# devices are QEMU's.
. "$(dirname "$0")/lib.sh"
hvm_goes_over nopv=1
