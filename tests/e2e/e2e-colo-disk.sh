# SPDX-License-Identifier: GPL-2.0-or-later
# Mode colo and an emulated disk: what both copies of a database agreed to have
# written is there after host 1, and then host 2, has lost its power.
COLO_LOGS=${COLO_E2E_LOGS:+$COLO_E2E_LOGS/colo-disk} COLO_MODE=colo exec bash \
    "$(dirname "$0")/output-commit" 2
