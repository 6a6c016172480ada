/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Paths and values of the xenstore contract, see schema.h.  The KEY=NUMBER
 * lists are in schema-lists.c.  Pure, any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema.h"

/* ---- text helpers ------------------------------------------------------ */

static int put(char *buf, size_t cap, struct colo_error *err, const char *fmt,
               ...) COLO_PRINTF(4, 5);

static int put(char *buf, size_t cap, struct colo_error *err, const char *fmt,
               ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = vsnprintf(buf, cap, fmt, ap);
    va_end(ap);
    if (r < 0 || (size_t)r >= cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "schema",
                          "a value does not fit %zu bytes", cap);
    return 0;
}

/* Decimal digits without sign; advances *p only on success. */
static bool take_u64(const char **p, uint64_t *ret)
{
    const char *s = *p;
    uint64_t n = 0;

    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
            return false;
    }
    *p = s;
    *ret = n;
    return true;
}

/* The next word between spaces; false at the end or if it does not fit. */
static bool take_word(const char **p, char *buf, size_t cap)
{
    size_t n;

    *p += strspn(*p, " ");
    n = strcspn(*p, " \n");
    if (n == 0 || n >= cap)
        return false;
    memcpy(buf, *p, n);
    buf[n] = '\0';
    *p += n;
    return true;
}

/* Spaces, and at the end a newline that `echo` may have added. */
static bool at_end(const char *p)
{
    return p[strspn(p, " \n")] == '\0';
}

/* A number that a space or the end follows. */
static bool take_number(const char **p, uint64_t *ret)
{
    const char *s = *p + strspn(*p, " ");
    uint64_t n;

    if (!take_u64(&s, &n) || (*s != ' ' && *s != '\0' && *s != '\n'))
        return false;
    *p = s;
    *ret = n;
    return true;
}

void colo__xs_clean(char *buf, size_t cap, const char *text)
{
    size_t i;

    for (i = 0; i + 1 < cap && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];

        buf[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
    }
    /* do not end in the middle of a UTF-8 character; of what is none, little
     * is lost */
    if (text[i]) {
        for (int n = 0; n < 3 && i > 0 &&
             ((unsigned char)text[i] & 0xc0) == 0x80; n++)
            i--;
    }
    buf[i] = '\0';
}

/* ---- paths ------------------------------------------------------------- */

bool colo__xs_word_ok(const char *text, size_t cap)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t n = strspn(text, allowed);

    return n > 0 && n < cap && text[n] == '\0';
}

int colo__xs_path(char *buf, size_t cap, const char *uuid, const char *node,
                  struct colo_error *err)
{
    if (!colo__xs_word_ok(uuid, COLO_XS_UUID_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "schema",
                          "'%.40s' is not a UUID", uuid);
    if (!node)
        return put(buf, cap, err, COLO_XS_ROOT "/%s", uuid);
    return put(buf, cap, err, COLO_XS_ROOT "/%s/%s", uuid, node);
}

static int check_names(const char *uuid, const char *class_name,
                       const char *id, struct colo_error *err)
{
    if (!colo__xs_word_ok(uuid, COLO_XS_UUID_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "schema",
                          "'%.40s' is not a UUID", uuid);
    if (!colo__xs_word_ok(class_name, COLO_XS_WORD_MAX) ||
        !colo__xs_word_ok(id, COLO_XS_WORD_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "schema",
                          "proxy '%.32s/%.32s': class and id are at most 32 "
                          "of A-Z a-z 0-9 _ -", class_name, id);
    return 0;
}

int colo__xs_proxy_path(char *buf, size_t cap, const char *uuid,
                        const char *class_name, const char *id,
                        const char *node, struct colo_error *err)
{
    int rc = check_names(uuid, class_name, id, err);

    if (rc)
        return rc;
    return put(buf, cap, err, COLO_XS_ROOT "/%s/" COLO_XS_PROXY "/%s/%s%s%s",
               uuid, class_name, id, node ? "/" : "", node ? node : "");
}

int colo__xs_stream_path(char *buf, size_t cap, const char *uuid,
                         const char *class_name, const char *id,
                         struct colo_error *err)
{
    int rc = check_names(uuid, class_name, id, err);

    if (rc)
        return rc;
    return put(buf, cap, err, COLO_XS_ROOT "/%s/" COLO_XS_STREAM "/%s/%s",
               uuid, class_name, id);
}

static bool take_component(const char **p, char *buf)
{
    size_t n = strcspn(*p, "/");

    if (n == 0 || n >= COLO_XS_WORD_MAX)
        return false;
    memcpy(buf, *p, n);
    buf[n] = '\0';
    *p += n;
    if (**p == '/')
        ++*p;
    return colo__xs_word_ok(buf, COLO_XS_WORD_MAX);
}

int colo__xs_proxy_split(const char *path, const char *uuid,
                         char ret_class[COLO_XS_WORD_MAX],
                         char ret_id[COLO_XS_WORD_MAX],
                         char ret_node[COLO_XS_WORD_MAX])
{
    char class_name[COLO_XS_WORD_MAX], id[COLO_XS_WORD_MAX];
    char node[COLO_XS_WORD_MAX] = "";
    char dir[COLO_XS_PATH_MAX];
    size_t n;

    if (colo__xs_path(dir, sizeof(dir), uuid, COLO_XS_PROXY "/", NULL))
        return 0;
    n = strlen(dir);
    if (strncmp(path, dir, n) != 0)
        return 0;
    path += n;
    if (!take_component(&path, class_name) || !take_component(&path, id))
        return 0;
    if (*path && (!take_component(&path, node) || *path))
        return 0;
    memcpy(ret_class, class_name, sizeof(class_name));
    memcpy(ret_id, id, sizeof(id));
    memcpy(ret_node, node, sizeof(node));
    return 1;
}

/* ---- single values ----------------------------------------------------- */

int colo__xs_u64_parse(const char *text, uint64_t *ret, struct colo_error *err)
{
    const char *p = text;
    uint64_t n;

    if (!take_number(&p, &n) || !at_end(p))
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "'%.40s' is not a number", text);
    *ret = n;
    return 0;
}

static int find_name(const char *text, const char *(*name)(int), int first,
                     int count)
{
    for (int i = first; i < count; i++) {
        if (strcmp(name(i), text) == 0)
            return i;
    }
    return -1;
}

int colo__xs_state_parse(const char *text)
{
    return find_name(text, colo_state_name, 0, COLO_STATE_COUNT);
}

int colo__xs_mode_parse(const char *text)
{
    return find_name(text, colo_mode_name, COLO_MODE_NONE, COLO_MODE_COLO + 1);
}

int colo__xs_role_parse(const char *text)
{
    return find_name(text, colo_role_name, COLO_ROLE_PRIMARY,
                     COLO_ROLE_SECONDARY + 1);
}

int colo__xs_reason_parse(const char *text)
{
    return find_name(text, colo_reason_name, COLO_REASON_NONE,
                     COLO_REASON_ERROR + 1);
}

int colo__xs_owner_build(char *buf, size_t cap, const struct colo_owner *owner,
                         struct colo_error *err)
{
    return put(buf, cap, err, "%d %llu", owner->pid,
               (unsigned long long)owner->start);
}

int colo__xs_owner_parse(const char *text, struct colo_owner *ret_owner,
                         struct colo_error *err)
{
    const char *p = text;
    uint64_t pid, start;

    if (!take_number(&p, &pid) || !take_number(&p, &start) || !at_end(p) ||
        pid == 0 || pid > INT32_MAX)
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "owner '%.40s' is not 'PID STARTTIME'", text);
    ret_owner->pid = (int32_t)pid;
    ret_owner->start = start;
    return 0;
}

uint64_t colo__xs_seq(const char *text)
{
    uint64_t seq;

    return take_number(&text, &seq) ? seq : 0;
}

/* ---- requests: SEQ VERB [ARGUMENT] ------------------------------------- */

enum { ARG_NONE, ARG_MS, ARG_MODE, ARG_EPOCH, ARG_UNDONE };

struct verb {
    int32_t number;
    const char *word;
    int arg;
};

/* One kind of request. */
struct verbs {
    const char *what; /* for errors */
    const char *known;
    struct verb verb[8]; /* the last has no word */
};

static const struct verbs controls = {
    "control", "checkpoint, failover, stop, delay MS, verify", {
        { COLO_CONTROL_CHECKPOINT, "checkpoint", ARG_NONE },
        { COLO_CONTROL_FAILOVER, "failover", ARG_NONE },
        { COLO_CONTROL_STOP, "stop", ARG_NONE },
        { COLO_CONTROL_DELAY, "delay", ARG_MS },
        { COLO_CONTROL_VERIFY, "verify", ARG_NONE },
    }
};

static const struct verbs requests = {
    "request", "start MODE, checkpoint N, commit N, failover, stop, verify", {
        { COLO_PROXY_START, "start", ARG_MODE },
        { COLO_PROXY_CHECKPOINT, "checkpoint", ARG_EPOCH },
        { COLO_PROXY_COMMIT, "commit", ARG_EPOCH },
        { COLO_PROXY_FAILOVER, "failover", ARG_NONE },
        { COLO_PROXY_STOP, "stop", ARG_UNDONE },
        { COLO_PROXY_VERIFY, "verify", ARG_NONE },
    }
};

static int build_request(char *buf, size_t cap, const struct verbs *verbs,
                         int32_t number, uint64_t seq, uint64_t arg,
                         struct colo_error *err)
{
    unsigned long long s = seq, n = arg;

    for (const struct verb *v = verbs->verb; v->word; v++) {
        if (v->number != number)
            continue;
        if (v->arg == ARG_NONE || (v->arg == ARG_UNDONE && !arg))
            return put(buf, cap, err, "%llu %s", s, v->word);
        if (v->arg == ARG_MODE)
            return put(buf, cap, err, "%llu %s %s", s, v->word,
                       colo_mode_name((int)arg));
        return put(buf, cap, err, "%llu %s %llu", s, v->word, n);
    }
    return colo__fail(err, COLO_E_INVAL, 0, "schema",
                      "no %s verb has number %d", verbs->what, number);
}

static bool take_arg(const char **p, int kind, uint64_t *ret)
{
    char word[16];
    int mode;

    switch (kind) {
    case ARG_MS:
        return take_number(p, ret) && *ret >= 1 && *ret <= COLO_DELAY_MAX_MS;
    case ARG_EPOCH:
        return take_number(p, ret);
    case ARG_UNDONE: /* may be left out */
        return !take_number(p, ret) || *ret == 1;
    case ARG_MODE:
        mode = take_word(p, word, sizeof(word)) ? colo__xs_mode_parse(word)
                                                : COLO_MODE_NONE;
        *ret = (uint64_t)mode;
        return mode > COLO_MODE_NONE;
    default:
        return true;
    }
}

static int parse_request(const char *text, const struct verbs *verbs,
                         int32_t *ret_number, uint64_t *ret_seq,
                         uint64_t *ret_arg, struct colo_error *err)
{
    const struct verb *v;
    const char *p = text;
    uint64_t seq, arg = 0;
    char word[16];

    if (!take_number(&p, &seq) || seq == 0 ||
        !take_word(&p, word, sizeof(word)))
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "%s '%.40s' is not 'SEQ VERB', SEQ a number from 1",
                          verbs->what, text);
    for (v = verbs->verb; v->word && strcmp(v->word, word) != 0; v++)
        ;
    if (!v->word)
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "%s '%s' is none of %s", verbs->what, word,
                          verbs->known);
    if (!take_arg(&p, v->arg, &arg)) {
        if (v->arg == ARG_MS)
            return colo__fail(err, COLO_E_PROTO, 0, "schema",
                              "%s needs a number from 1 to %u", word,
                              COLO_DELAY_MAX_MS);
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "%s '%.40s': wrong argument", verbs->what, text);
    }
    if (!at_end(p))
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "something follows '%s': '%.40s'", word, p);
    *ret_number = v->number;
    *ret_seq = seq;
    *ret_arg = arg;
    return 0;
}

int colo__xs_control_build(char *buf, size_t cap,
                           const struct colo_control *control,
                           struct colo_error *err)
{
    return build_request(buf, cap, &controls, control->verb, control->seq,
                         control->arg, err);
}

int colo__xs_control_parse(const char *text, struct colo_control *ret_control,
                           struct colo_error *err)
{
    uint64_t arg;
    int rc = parse_request(text, &controls, &ret_control->verb,
                           &ret_control->seq, &arg, err);

    if (rc == 0)
        ret_control->arg = (uint32_t)arg; /* bounded by take_arg() */
    return rc;
}

int colo__xs_request_build(char *buf, size_t cap,
                           const struct colo_proxy_request *request,
                           struct colo_error *err)
{
    return build_request(buf, cap, &requests, request->verb, request->seq,
                         request->arg, err);
}

int colo__xs_request_parse(const char *text,
                           struct colo_proxy_request *ret_request,
                           struct colo_error *err)
{
    return parse_request(text, &requests, &ret_request->verb,
                         &ret_request->seq, &ret_request->arg, err);
}

/* ---- answers and events ------------------------------------------------ */

int colo__xs_answer_build(char *buf, size_t cap, uint64_t seq,
                          const char *error, struct colo_error *err)
{
    char text[sizeof(((struct colo_answer *)NULL)->text)];

    if (!error)
        return put(buf, cap, err, "%llu ok", (unsigned long long)seq);
    colo__xs_clean(text, sizeof(text), error);
    return put(buf, cap, err, "%llu error %s", (unsigned long long)seq, text);
}

int colo__xs_answer_parse(const char *text, struct colo_answer *ret_answer,
                          struct colo_error *err)
{
    const char *p = text;
    uint64_t seq;
    char word[8];
    bool ok;

    if (!take_number(&p, &seq) || !take_word(&p, word, sizeof(word)))
        goto bad;
    ok = strcmp(word, "ok") == 0;
    if ((!ok && strcmp(word, "error") != 0) || (ok && !at_end(p)))
        goto bad;
    p += strspn(p, " ");
    ret_answer->seq = seq;
    ret_answer->ok = ok;
    colo__xs_clean(ret_answer->text, sizeof(ret_answer->text),
                   ok ? "" : *p ? p : "no reason given");
    return 0;

bad:
    return colo__fail(err, COLO_E_PROTO, 0, "schema",
                      "answer '%.40s' is not 'SEQ ok' or 'SEQ error TEXT'",
                      text);
}

int colo__xs_exit_build(char *buf, size_t cap, const struct colo_exit *end,
                        struct colo_error *err)
{
    char text[sizeof(end->text)];

    colo__xs_clean(text, sizeof(text), end->text);
    return put(buf, cap, err, "%s %s%s%s", colo_mode_name(end->mode),
               colo_reason_name(end->reason), text[0] ? " " : "", text);
}

int colo__xs_exit_parse(const char *text, struct colo_exit *ret_end,
                        struct colo_error *err)
{
    const char *p = text;
    char word[16];
    int mode = -1, reason = -1;

    if (take_word(&p, word, sizeof(word)))
        mode = colo__xs_mode_parse(word);
    if (mode >= 0 && take_word(&p, word, sizeof(word)))
        reason = colo__xs_reason_parse(word);
    if (reason < 0)
        return colo__fail(err, COLO_E_PROTO, 0, "schema",
                          "exit '%.40s' is not 'MODE REASON TEXT'", text);
    p += strspn(p, " \n");
    ret_end->mode = mode;
    ret_end->reason = reason;
    colo__xs_clean(ret_end->text, sizeof(ret_end->text), p);
    return 0;
}
