/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A policy as people write it.  Pure.
 */
#include <string.h>

#include "compare.h"

bool colo__compare_policy(const char *text, uint8_t *ret_class,
                          uint8_t *ret_policy)
{
    static const char *const classes[COLO_CLASSES] = {
        [COLO_CLASS_LINK] = "link", [COLO_CLASS_TCP] = "tcp",
        [COLO_CLASS_UDP] = "udp", [COLO_CLASS_DNS] = "dns",
        [COLO_CLASS_QUIC] = "quic", [COLO_CLASS_ICMP] = "icmp",
        [COLO_CLASS_OTHER] = "other",
    };
    static const char *const policies[] = {
        [COLO_POLICY_COMPARE] = "compare", [COLO_POLICY_PASS] = "pass",
        [COLO_POLICY_DROP] = "drop",
    };

    for (uint8_t c = 0; c < COLO_CLASSES; c++) {
        size_t n = strlen(classes[c]);

        if (strncmp(text, classes[c], n) != 0 || text[n] != '=')
            continue;
        for (uint8_t p = 0; p < COLO_ARRAY_LEN(policies); p++) {
            if (strcmp(text + n + 1, policies[p]) == 0) {
                *ret_class = c;
                *ret_policy = p;
                return true;
            }
        }
    }
    return false;
}
