# SPDX-License-Identifier: GPL-2.0-or-later
# An HVM guest with PV drivers: it suspends by itself, and QEMU has little to do.
. "$(dirname "$0")/lib.sh"
hvm_goes_over
