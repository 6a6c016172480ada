/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one line of the bootstrap without its newline; the same bytes are
 * also tried as a value of SSH_CONNECTION.
 */
#include "fuzz.h"

#include "link/bootstrap-line.h"

static void check_string(const char *s, size_t cap)
{
    size_t len = strnlen(s, cap);

    MUST(len < cap);
    for (size_t i = 0; i < len; i++)
        MUST((unsigned char)s[i] >= 0x20);
}

/* What was understood can be said, and is understood the same way again. */
static void check_again(const struct colo_boot_line *line)
{
    char buf[COLO_BOOT_LINE_MAX];
    struct colo_boot_line again;
    size_t len = colo__boot_line_format(line, buf, sizeof(buf));

    MUST(len > 1 && len <= sizeof(buf) && buf[len - 1] == '\n');
    MUST(memchr(buf, '\n', len) == buf + len - 1);
    MUST(colo__boot_line_parse(buf, len - 1, &again) == 0);
    MUST(again.verb == line->verb);
    switch (line->verb) {
    case COLO_BOOT_OPEN:
        MUST(again.transport == line->transport);
        /* fall through */
    case COLO_BOOT_ATTACH:
        MUST(!memcmp(again.key, line->key, sizeof(line->key)));
        MUST(!memcmp(again.session, line->session, sizeof(line->session)));
        break;
    case COLO_BOOT_OK:
        MUST(again.port == line->port);
        MUST(!strcmp(again.address, line->address));
        break;
    default:
        MUST(!strcmp(again.text, line->text));
        break;
    }
}

static void try_ssh_connection(const uint8_t *data, size_t size)
{
    char client[64], server[64], *value = malloc(size + 1);

    MUST(value);
    if (size)
        memcpy(value, data, size);
    value[size] = '\0';
    colo__boot_ssh_connection(value, client, server, sizeof(server));
    check_string(client, sizeof(client));
    check_string(server, sizeof(server));
    MUST(!client[0] == !server[0]);
    MUST(client[0] != '-' && server[0] != '-');
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    struct colo_boot_line line;
    int rc = colo__boot_line_parse((const char *)copy, size, &line);

    MUST(rc == 0 || rc == COLO_E_PROTO || rc == COLO_E_VERSION);
    MUST(rc == COLO_E_PROTO ||
         colo__boot_line_is((const char *)copy, size));
    if (rc == 0) {
        check_string(line.address, sizeof(line.address));
        check_string(line.text, sizeof(line.text));
        check_again(&line);
    }
    try_ssh_connection(copy, size);
    free(copy);
    return 0;
}
