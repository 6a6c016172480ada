/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: the text of a xenstore node, or the path of one.  Every parser of
 * the xenstore contract sees it; what one takes must come out of its builder
 * and be taken again.
 */
#include "fuzz.h"

#include "../../xenstore/schema.h"

static void control(const char *text)
{
    struct colo_control c = { 0, 0, 0 }, again;
    struct colo_error err;
    char buf[128];
    int rc = colo__xs_control_parse(text, &c, &err);

    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(c.verb == 0 && c.seq == 0);
        return;
    }
    MUST(c.seq != 0 && c.seq == colo__xs_seq(text));
    MUST(colo__xs_control_build(buf, sizeof(buf), &c, NULL) == 0);
    MUST(colo__xs_control_parse(buf, &again, NULL) == 0);
    MUST(again.verb == c.verb && again.arg == c.arg && again.seq == c.seq);
}

static void request(const char *text)
{
    struct colo_proxy_request r = { 7, 0, 0, 0 }, again;
    struct colo_error err;
    char buf[128];
    int rc = colo__xs_request_parse(text, &r, &err);

    MUST(r.size == 7);
    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(r.verb == 0 && r.seq == 0);
        return;
    }
    MUST(colo__xs_request_build(buf, sizeof(buf), &r, NULL) == 0);
    MUST(colo__xs_request_parse(buf, &again, NULL) == 0);
    MUST(again.verb == r.verb && again.arg == r.arg && again.seq == r.seq);
}

static void answer(const char *text)
{
    struct colo_answer a, again;
    struct colo_error err;
    char buf[256];
    int rc = colo__xs_answer_parse(text, &a, &err);

    if (rc) {
        fuzz_check_error(&err, rc);
        return;
    }
    MUST(memchr(a.text, '\0', sizeof(a.text)));
    MUST(colo__xs_answer_build(buf, sizeof(buf), a.seq,
                               a.ok ? NULL : a.text, NULL) == 0);
    MUST(colo__xs_answer_parse(buf, &again, NULL) == 0);
    MUST(again.ok == a.ok && again.seq == a.seq);
    MUST(strcmp(again.text, a.text) == 0);
}

static void end(const char *text)
{
    struct colo_exit e, again;
    char buf[256];

    if (colo__xs_exit_parse(text, &e, NULL))
        return;
    MUST(memchr(e.text, '\0', sizeof(e.text)));
    MUST(colo__xs_exit_build(buf, sizeof(buf), &e, NULL) == 0);
    MUST(colo__xs_exit_parse(buf, &again, NULL) == 0);
    MUST(again.mode == e.mode && again.reason == e.reason);
    MUST(strcmp(again.text, e.text) == 0);
}

static void owner(const char *text)
{
    struct colo_owner o, again;
    char buf[64];

    if (colo__xs_owner_parse(text, &o, NULL))
        return;
    MUST(o.pid > 0);
    MUST(colo__xs_owner_build(buf, sizeof(buf), &o, NULL) == 0);
    MUST(colo__xs_owner_parse(buf, &again, NULL) == 0);
    MUST(again.pid == o.pid && again.start == o.start);
}

static void lists(const char *text)
{
    struct colo_committed info = { .info = { .epoch = 5 } }, again;
    struct colo_status status = { .size = 5 };
    struct colo_error err;
    char buf[COLO_XS_VALUE_MAX];
    int rc = colo__xs_checkpoint_parse(text, &info, &err);

    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(info.info.epoch == 5);
    } else {
        MUST(colo__xs_checkpoint_build(buf, sizeof(buf), &info, NULL) == 0);
        MUST(colo__xs_checkpoint_parse(buf, &again, NULL) == 0);
        MUST(memcmp(&info, &again, sizeof(info)) == 0);
    }
    (void)colo__xs_stats_parse(text, &status, NULL);
    (void)colo__xs_progress_parse(text, &status, NULL);
    MUST(status.size == 5);
}

static void path(const char *text)
{
    char c[COLO_XS_WORD_MAX], i[COLO_XS_WORD_MAX], n[COLO_XS_WORD_MAX];
    char buf[COLO_XS_PATH_MAX];
    size_t len = strlen(text);

    if (colo__xs_proxy_split(text, "u", c, i, n) == 0)
        return;
    MUST(colo__xs_proxy_path(buf, sizeof(buf), "u", c, i, n[0] ? n : NULL,
                             NULL) == 0);
    /* all but a slash at the end */
    MUST(strncmp(buf, text, strlen(buf)) == 0);
    MUST(len == strlen(buf) ||
         (len == strlen(buf) + 1 && text[len - 1] == '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), small[9];
    const char *reason;
    uint64_t number;

    MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    control(text);
    request(text);
    answer(text);
    end(text);
    owner(text);
    lists(text);
    path(text);
    reason = colo__xs_event_diverged(text);
    MUST(!reason || (reason > text && reason <= text + size));
    if (colo__xs_u64_parse(text, &number, NULL) == 0)
        MUST(number == colo__xs_seq(text));
    (void)colo__xs_state_parse(text);
    colo__xs_clean(small, sizeof(small), text);
    MUST(memchr(small, '\0', sizeof(small)));
    free(text);
    return 0;
}
