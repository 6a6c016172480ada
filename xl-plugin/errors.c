/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See errors.h.
 */
#include <libxl.h>

#include "errors.h"
#include "internal.h"

/* xl migrate-receive prints the number, and that is all.  The text with the
 * reason goes to xl's log.  xl remus is not told: see remus_end(). */
static const struct {
    int code, libxl;
} table[] = {
    { 0, 0 },
    { COLO_E_INVAL, ERROR_INVAL },
    { COLO_E_STATE, ERROR_NOT_READY },
    { COLO_E_NOMEM, ERROR_NOMEM },
    { COLO_E_SYS, ERROR_FAIL },
    { COLO_E_PEER, ERROR_FAIL },
    { COLO_E_TIMEOUT, ERROR_TIMEDOUT },
    { COLO_E_PROTO, ERROR_FAIL },
    { COLO_E_VERSION, ERROR_VERSION },
    { COLO_E_CORRUPT, ERROR_FAIL },
    { COLO_E_HV, ERROR_FAIL },
    { COLO_E_GUEST, ERROR_GUEST_TIMEDOUT },
    { COLO_E_UNSUPPORTED, ERROR_NI },
    { COLO_E_REFUSED, ERROR_ABORTED },
    { COLO_E_LIMIT, ERROR_BUFFERFULL },
    { COLO_E_NOTFOUND, ERROR_DOMAIN_NOTFOUND },
    { COLO_E_AUTH, ERROR_FAIL },
    { COLO_E_EXISTS, ERROR_LOCK_FAIL },
    { COLO_E_STORE, ERROR_FAIL },
    { COLO_E_PEER_SAID, ERROR_FAIL },
};

int xl_error_from(int code)
{
    for (size_t i = 0; i < COLO_ARRAY_LEN(table); i++) {
        if (table[i].code == code)
            return table[i].libxl;
    }
    return ERROR_FAIL;
}
