/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The inside of colo_proxy_*, for tests.  One thread per proxy.
 */
#ifndef COLO_PROXY_H
#define COLO_PROXY_H

#include "store.h"

#define COLO_PROXY_NO_FAST 1u /* do not offer the socket */

/* colo__proxy_new - colo_proxy_join over any store, which belongs to the
 * proxy afterwards, also when this fails. */
int colo__proxy_new(struct colo_store *store, const char *domain,
                    const char *class_name, const char *id,
                    unsigned int flags, struct colo_proxy **ret_proxy,
                    struct colo_error *err);

#endif
