/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What this build can do, as words that scripts may look for.  A feature that
 * configure left out is not in the list.
 */
#include <config.h>

#include "internal.h"

const char *colo_features(void)
{
    return "remus colo tls ssh fd stock lz4 audit arbiter-none xen-"
           COLO_XEN_VERSION;
}
