/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one line of QMP, without its newline.
 */
#include "fuzz.h"

#include "dm/qmp-msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = (char *)fuzz_copy(data, size);
    struct colo_qmp_msg msg = { 0 };
    struct colo_error err;
    uint64_t n;
    int rc = colo__qmp_parse(line, size, &msg, &err);

    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(!msg.tree);
        free(line);
        return 0;
    }
    memset(line, 0xff, size); /* nothing of the message points there */
    MUST(msg.tree);
    MUST((msg.kind == COLO_QMP_ERROR || msg.kind == COLO_QMP_EVENT) ==
         (msg.text != NULL));
    MUST(msg.kind != COLO_QMP_RETURN || msg.body);
    if (msg.text)
        MUST(strlen(msg.text) <= size);
    (void)colo__qmp_text(msg.body, "status");
    (void)colo__qmp_number(msg.body, "fdset-id", &n);
    colo__qmp_msg_fini(&msg);
    MUST(!msg.tree);
    free(line);
    return 0;
}
