/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * XXH3 for whoever hashes a disk's data: the variant for this processor where
 * libxxhash was built to choose at run time, which is when it installs that
 * header.  The hashes are the same.
 */
#ifndef COLO_DISK_HASH_H
#define COLO_DISK_HASH_H

#include <xxhash.h>

#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif
#endif

#endif
