/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See qmp-msg.h.  Called by qmp.c and dm-qmp.c.
 */
#include <stdlib.h>
#include <string.h>

#include "qmp-msg.h"

static int bad(struct colo_error *err, const char *what)
{
    return colo__fail(err, COLO_E_PROTO, 0, "qmp", "QEMU sent %s", what);
}

/* libyajl frees a tree by recursion: what is nested too deep would take our
 * stack.  Brackets inside strings do not count. */
static bool is_shallow(const char *line, size_t len)
{
    bool in_string = false;
    unsigned depth = 0;

    for (size_t i = 0; i < len; i++) {
        char c = line[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > COLO_QMP_DEPTH_MAX)
                return false;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return true;
}

yajl_val colo__qmp_field(yajl_val object, const char *name, yajl_type type)
{
    if (!YAJL_IS_OBJECT(object))
        return NULL;
    for (size_t i = 0; i < object->u.object.len; i++) {
        yajl_val v = object->u.object.values[i];

        if (!strcmp(object->u.object.keys[i], name))
            return type == yajl_t_any || v->type == type ? v : NULL;
    }
    return NULL;
}

const char *colo__qmp_text(yajl_val object, const char *name)
{
    return YAJL_GET_STRING(colo__qmp_field(object, name, yajl_t_string));
}

bool colo__qmp_number(yajl_val object, const char *name, uint64_t *ret)
{
    yajl_val v = colo__qmp_field(object, name, yajl_t_number);

    if (!v || !YAJL_IS_INTEGER(v) || YAJL_GET_INTEGER(v) < 0)
        return false;
    *ret = (uint64_t)YAJL_GET_INTEGER(v);
    return true;
}

/* What the message is, by the member that makes it one. */
static int classify(struct colo_qmp_msg *msg, struct colo_error *err)
{
    yajl_val v;

    msg->has_id = colo__qmp_number(msg->tree, "id", &msg->id);
    if (colo__qmp_field(msg->tree, "QMP", yajl_t_object)) {
        msg->kind = COLO_QMP_GREETING;
    } else if ((v = colo__qmp_field(msg->tree, "return", yajl_t_any))) {
        msg->kind = COLO_QMP_RETURN;
        msg->body = v;
    } else if ((v = colo__qmp_field(msg->tree, "error", yajl_t_object))) {
        msg->kind = COLO_QMP_ERROR;
        msg->text = colo__qmp_text(v, "desc");
        if (!msg->text)
            return bad(err, "an error without a text");
    } else if ((msg->text = colo__qmp_text(msg->tree, "event"))) {
        msg->kind = COLO_QMP_EVENT;
        msg->body = colo__qmp_field(msg->tree, "data", yajl_t_object);
    } else {
        return bad(err, "what is no QMP message");
    }
    return 0;
}

int colo__qmp_parse(const char *line, size_t len, struct colo_qmp_msg *ret,
                    struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    char *text = NULL, why[120];
    int rc;

    if (len > COLO_QMP_LINE_MAX)
        return bad(err, "a line that is too long");
    if (memchr(line, 0, len))
        return bad(err, "a zero byte");
    if (!is_shallow(line, len))
        return bad(err, "JSON that is nested too deep");
    text = strndup(line, len);
    if (!text)
        return colo__fail(err, COLO_E_NOMEM, 0, "qmp", "no memory");
    msg.tree = yajl_tree_parse(text, why, sizeof(why));
    if (!msg.tree) {
        rc = bad(err, "what is no JSON");
        goto out;
    }
    rc = classify(&msg, err);
    if (rc)
        goto out;
    *ret = msg;
    msg.tree = NULL;
    rc = 0;
out:
    colo__qmp_msg_fini(&msg);
    free(text);
    return rc;
}

void colo__qmp_msg_fini(struct colo_qmp_msg *msg)
{
    if (msg->tree)
        yajl_tree_free(msg->tree);
    memset(msg, 0, sizeof(*msg));
}
