/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * libcolo's errors as libxl's: the one table.  Pure.
 */
#ifndef XL_ERRORS_H
#define XL_ERRORS_H

/* xl_error_from - an ERROR_* of libxl for a COLO_E_*; 0 for 0.  Those that the
 * table does not have are ERROR_FAIL. */
int xl_error_from(int code);

#endif
