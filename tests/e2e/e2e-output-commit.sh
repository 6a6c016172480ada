# SPDX-License-Identifier: GPL-2.0-or-later
# The campaign for what the outside was told, with one power cut.
COLO_LOGS=${COLO_E2E_LOGS:+$COLO_E2E_LOGS/output-commit} exec bash \
    "$(dirname "$0")/output-commit" 1
