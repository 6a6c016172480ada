/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One line of QMP, as QEMU sends it.  Pure; takes any bytes.
 */
#ifndef COLO_DM_QMP_MSG_H
#define COLO_DM_QMP_MSG_H

#include <yajl/yajl_tree.h>

#include "../internal.h"

#define COLO_QMP_LINE_MAX (1u << 20) /* a reply of QEMU is far below */
#define COLO_QMP_DEPTH_MAX 64u

enum colo_qmp_kind {
    COLO_QMP_GREETING,
    COLO_QMP_RETURN,
    COLO_QMP_ERROR,
    COLO_QMP_EVENT,
};

struct colo_qmp_msg {
    enum colo_qmp_kind kind;
    bool has_id;
    uint64_t id;
    const char *text; /* description of an error, name of an event */
    yajl_val body;    /* what a return gives, data of an event, or NULL */
    yajl_val tree;    /* owns all of it */
};

/* colo__qmp_parse - len bytes without the newline.
 * Returns  0 (end with colo__qmp_msg_fini), or COLO_E_PROTO, or COLO_E_NOMEM */
int colo__qmp_parse(const char *line, size_t len, struct colo_qmp_msg *ret,
                    struct colo_error *err);
void colo__qmp_msg_fini(struct colo_qmp_msg *msg);

/* colo__qmp_field - a member of an object: NULL if it is no object, has no
 * such member, or that is of another type. */
yajl_val colo__qmp_field(yajl_val object, const char *name, yajl_type type);
/* colo__qmp_text - the same for strings */
const char *colo__qmp_text(yajl_val object, const char *name);
/* colo__qmp_number - the same for whole numbers that are not negative */
bool colo__qmp_number(yajl_val object, const char *name, uint64_t *ret);

#endif
