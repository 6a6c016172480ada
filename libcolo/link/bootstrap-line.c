/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reading and writing the lines of the bootstrap: see bootstrap-line.h.
 * What it reads was written by another host, or by anything that a login
 * script runs.
 */
#include <stdio.h>
#include <string.h>

#include "bootstrap-line.h"

#define MAGIC "colo-bootstrap "
#define MAGIC_LEN (sizeof(MAGIC) - 1)

static const char *const verbs[] = {
    [COLO_BOOT_OPEN] = "open",
    [COLO_BOOT_ATTACH] = "attach",
    [COLO_BOOT_OK] = "ok",
    [COLO_BOOT_ERROR] = "error",
};

/* A part of the line that is still to be read, or one word of it. */
struct span {
    const char *p;
    size_t len;
};

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* The next word, without the blanks around it; empty at the end. */
static struct span next_word(struct span *rest)
{
    struct span word;

    while (rest->len && *rest->p == ' ') {
        rest->p++;
        rest->len--;
    }
    word.p = rest->p;
    word.len = 0;
    while (rest->len && *rest->p != ' ') {
        rest->p++;
        rest->len--;
        word.len++;
    }
    return word;
}

/* Decimal, at least one digit, no sign, at most max. */
static bool span_number(struct span s, uint32_t max, uint32_t *ret_n)
{
    uint64_t n = 0;

    if (!s.len || s.len > 10)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (n > max)
        return false;
    *ret_n = (uint32_t)n;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool colo__hex_decode(const char *hex, size_t hex_len, uint8_t *ret_data,
                      size_t len)
{
    if (hex_len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        ret_data[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

void colo__hex_encode(const uint8_t *data, size_t len, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        ret_hex[2 * i] = digits[data[i] >> 4];
        ret_hex[2 * i + 1] = digits[data[i] & 15];
    }
    ret_hex[2 * len] = '\0';
}

static bool is_address_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c && strchr(".:%_-", c));
}

/* An address or host name; never something that looks like an option. */
static bool copy_address(struct span s, char *ret_address, size_t cap)
{
    if (!s.len || s.len >= cap || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_address_char(s.p[i]))
            return false;
    }
    memcpy(ret_address, s.p, s.len);
    ret_address[s.len] = '\0';
    return true;
}

#define HAS_SESSION   1u
#define HAS_KEY       2u
#define HAS_TRANSPORT 4u
#define HAS_PORT      8u
#define HAS_ADDRESS   16u
#define HAS_STREAMS   32u
#define HAS_LINK      64u

/* One NAME=VALUE; *has collects what was there.  Twice is an error. */
static bool take_field(struct colo_boot_line *line, struct span word,
                       unsigned *has)
{
    const char *eq = memchr(word.p, '=', word.len);
    struct span name = { word.p, 0 }, value;
    unsigned bit = 0;
    uint32_t n = 0;
    bool good = true;

    if (!eq || eq == word.p)
        return false;
    name.len = (size_t)(eq - word.p);
    value.p = eq + 1;
    value.len = word.len - name.len - 1;
    if (span_is(name, "session")) {
        bit = HAS_SESSION;
        good = colo__hex_decode(value.p, value.len, line->session,
                                sizeof(line->session));
    } else if (span_is(name, "key")) {
        bit = HAS_KEY;
        good = colo__hex_decode(value.p, value.len, line->key,
                                sizeof(line->key));
    } else if (span_is(name, "transport")) {
        bit = HAS_TRANSPORT;
        good = span_is(value, "tls") || span_is(value, "ssh");
        line->transport = span_is(value, "ssh") ? COLO_TRANSPORT_SSH
                                                : COLO_TRANSPORT_TLS;
    } else if (span_is(name, "port")) {
        bit = HAS_PORT;
        good = span_number(value, 65535, &n) && n > 0;
        line->port = (uint16_t)n;
    } else if (span_is(name, "address")) {
        bit = HAS_ADDRESS;
        good = copy_address(value, line->address, sizeof(line->address));
    } else if (span_is(name, "streams")) {
        bit = HAS_STREAMS;
        good = span_number(value, COLO_MAX_STREAMS, &line->streams);
    } else if (span_is(name, "link")) {
        bit = HAS_LINK;
        good = span_number(value, 1 + COLO_MAX_STREAMS, &line->link) &&
               line->link > 0;
    }
    if (*has & bit)
        good = false;
    *has |= bit;
    return good;
}

/* Fields that a verb must have. */
static unsigned needed(int verb)
{
    switch (verb) {
    case COLO_BOOT_OPEN:
        return HAS_SESSION | HAS_KEY | HAS_TRANSPORT;
    case COLO_BOOT_ATTACH:
        return HAS_SESSION | HAS_KEY;
    default:
        return 0;
    }
}

static void take_text(struct colo_boot_line *line, struct span rest)
{
    while (rest.len && *rest.p == ' ') {
        rest.p++;
        rest.len--;
    }
    if (rest.len >= sizeof(line->text))
        rest.len = sizeof(line->text) - 1;
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = (unsigned char)rest.p[i];

        line->text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    line->text[rest.len] = '\0';
}

static int find_verb(struct span word)
{
    for (int i = 1; i < (int)COLO_ARRAY_LEN(verbs); i++) {
        if (span_is(word, verbs[i]))
            return i;
    }
    return 0;
}

bool colo__boot_line_is(const char *buf, size_t len)
{
    return len >= MAGIC_LEN && memcmp(buf, MAGIC, MAGIC_LEN) == 0;
}

int colo__boot_line_parse(const char *buf, size_t len,
                          struct colo_boot_line *ret_line)
{
    struct span rest, word;
    unsigned has = 0;

    memset(ret_line, 0, sizeof(*ret_line));
    if (len >= COLO_BOOT_LINE_MAX || !colo__boot_line_is(buf, len))
        return COLO_E_PROTO;
    rest.p = buf + MAGIC_LEN;
    rest.len = len - MAGIC_LEN;
    if (!span_number(next_word(&rest), UINT32_MAX, &ret_line->version))
        return COLO_E_PROTO;
    if (ret_line->version != COLO_BOOT_VERSION)
        return COLO_E_VERSION;
    ret_line->verb = find_verb(next_word(&rest));
    if (!ret_line->verb)
        return COLO_E_PROTO;
    if (ret_line->verb == COLO_BOOT_ERROR) {
        take_text(ret_line, rest);
        return 0;
    }
    while ((word = next_word(&rest)).len) {
        if (!take_field(ret_line, word, &has))
            return COLO_E_PROTO;
    }
    if ((has & needed(ret_line->verb)) != needed(ret_line->verb))
        return COLO_E_PROTO;
    if (ret_line->verb == COLO_BOOT_ATTACH && !(has & HAS_LINK))
        ret_line->link = 1;
    return 0;
}

static void add_secrets(const struct colo_boot_line *line, char *buf,
                        size_t cap)
{
    char session[2 * COLO_BOOT_SESSION + 1], key[2 * COLO_BOOT_KEY + 1];

    colo__hex_encode(line->session, sizeof(line->session), session);
    colo__hex_encode(line->key, sizeof(line->key), key);
    snprintf(buf, cap, " session=%s key=%s", session, key);
    explicit_bzero(key, sizeof(key));
}

size_t colo__boot_line_format(const struct colo_boot_line *line, char *buf,
                              size_t cap)
{
    size_t n = (size_t)snprintf(buf, cap, MAGIC "%u %s",
                                (unsigned)COLO_BOOT_VERSION,
                                verbs[line->verb]);

    switch (line->verb) {
    case COLO_BOOT_OPEN:
    case COLO_BOOT_ATTACH:
        add_secrets(line, buf + n, cap - n);
        n += strlen(buf + n);
        if (line->verb == COLO_BOOT_OPEN)
            n += (size_t)snprintf(buf + n, cap - n, " transport=%s",
                                  line->transport == COLO_TRANSPORT_SSH
                                  ? "ssh" : "tls");
        if (line->verb == COLO_BOOT_OPEN && line->streams)
            n += (size_t)snprintf(buf + n, cap - n, " streams=%u",
                                  (unsigned)line->streams);
        if (line->verb == COLO_BOOT_ATTACH && line->link > 1)
            n += (size_t)snprintf(buf + n, cap - n, " link=%u",
                                  (unsigned)line->link);
        break;
    case COLO_BOOT_OK:
        if (line->port)
            n += (size_t)snprintf(buf + n, cap - n, " port=%u",
                                  (unsigned)line->port);
        if (line->address[0])
            n += (size_t)snprintf(buf + n, cap - n, " address=%s",
                                  line->address);
        break;
    default:
        n += (size_t)snprintf(buf + n, cap - n, " %s", line->text);
        break;
    }
    /* The longest, an error with its text, is far below the limit. */
    buf[n++] = '\n';
    return n;
}

void colo__boot_ssh_connection(const char *value, char *ret_client,
                               char *ret_server, size_t cap)
{
    struct span rest = { value, value ? strlen(value) : 0 };
    struct span client, server;

    ret_client[0] = ret_server[0] = '\0';
    client = next_word(&rest);
    (void)next_word(&rest);
    server = next_word(&rest);
    if (!next_word(&rest).len ||
        !copy_address(client, ret_client, cap) ||
        !copy_address(server, ret_server, cap))
        ret_client[0] = ret_server[0] = '\0';
}
