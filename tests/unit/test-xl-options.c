/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The options of xl remus: the table has those of xl, no more and no fewer,
 * and stands in xl-colo(1) word for word; what they ask of a session; errors.
 */
#include <stdio.h>

#include "pure-common.h"

#include "../../xl-plugin/errors.h"
#include "../../xl-plugin/options.h"

/* Xen 4.17.7, tools/xl/xl_migrate.c, main_remus(): the same in 4.22 */
#define XL_GETOPT "Fbundi:s:N:ecp"

static struct colo_error err;

START_TEST(test_letters)
{
    const struct xl_option *option;
    size_t n;

    for (n = 0; (option = xl_option_at(n)); n++) {
        const char *p = strchr(XL_GETOPT, option->letter);

        ck_assert_ptr_nonnull(p);
        ck_assert_int_eq(p[1] == ':', option->arg != NULL);
        ck_assert_int_eq(option->by == XL_BY_XL, !option->field);
        ck_assert_int_eq(option->take != NULL, option->by == XL_BY_COLO);
        for (size_t k = 0; k < n; k++)
            ck_assert_int_ne(xl_option_at(k)->letter, option->letter);
    }
    ck_assert_uint_eq(n, strlen(XL_GETOPT) - 3);
}
END_TEST

/* every field that xl can set has a row */
START_TEST(test_fields)
{
    static const char *const fields[] = {
        "interval", "allow_unsafe", "blackhole", "compression", "netbuf",
        "netbufscript", "diskbuf", "colo", "userspace_colo_proxy",
    };
    const struct xl_option *option;
    size_t found = 0;

    for (size_t n = 0; (option = xl_option_at(n)); n++) {
        for (size_t i = 0; option->field && i < COLO_ARRAY_LEN(fields); i++)
            found += !strcmp(option->field, fields[i]);
    }
    ck_assert_uint_eq(found, COLO_ARRAY_LEN(fields));
}
END_TEST

/* the page, with every run of blanks as one */
static char *read_page(void)
{
    const char *top = getenv("srcdir");
    char path[512];
    char *text = calloc(1, 65536);
    size_t n = 0;
    bool blank = false;
    FILE *f;
    int c;

    snprintf(path, sizeof(path), "%s/../../man/xl-colo.pod", top ? top : ".");
    f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s", path);
    while ((c = fgetc(f)) != EOF && n < 65535) {
        bool now = c == '\n' || c == ' ';

        if (!now || !blank)
            text[n++] = now ? ' ' : (char)c;
        blank = now;
    }
    fclose(f);
    return text;
}

START_TEST(test_manual)
{
    const struct xl_option *option;
    char *page = read_page(), want[512], *p;
    size_t items = 0, n;

    for (n = 0; (option = xl_option_at(n)); n++) {
        snprintf(want, sizeof(want), "=item B<-%c>%s%s%s %s ", option->letter,
                 option->arg ? " I<" : "", option->arg ? option->arg : "",
                 option->arg ? ">" : "", option->text);
        ck_assert_msg(strstr(page, want), "xl-colo(1) lacks: %s", want);
    }
    for (p = page; (p = strstr(p, "=item B<-")); p++)
        items++;
    ck_assert_uint_eq(items, n);
    free(page);
}
END_TEST

static libxl_defbool yes = { 1 }, no = { -1 };

/* as xl has it after its own defaults */
static libxl_domain_remus_info as_xl(void)
{
    libxl_domain_remus_info info = { .interval = 200 };

    info.blackhole = info.colo = info.userspace_colo_proxy = no;
    return info;
}

static struct xl_request ask(const libxl_domain_remus_info *info)
{
    struct xl_request request = { 0 };

    ck_assert_msg(!xl_request_from(info, &request, &err), "%s", err.text);
    return request;
}

START_TEST(test_defaults)
{
    libxl_domain_remus_info info = as_xl();
    struct xl_request request = ask(&info);

    ck_assert_int_eq(request.mode, COLO_MODE_REMUS);
    ck_assert_uint_eq(request.interval_ms, 200);
    ck_assert(request.network_buffer && request.disks && request.compress);
    ck_assert(!request.nowhere);
}
END_TEST

START_TEST(test_each)
{
    libxl_domain_remus_info info = as_xl();

    info.interval = 50;
    ck_assert_uint_eq(ask(&info).interval_ms, 50);
    info.compression = no;
    ck_assert(!ask(&info).compress);
    info.netbufscript = (char *)(uintptr_t)"/any/script";
    (void)ask(&info);
    info.allow_unsafe = yes;
    info.netbuf = no;
    ck_assert(!ask(&info).network_buffer && ask(&info).disks);
    info.netbuf = yes;
    info.diskbuf = no;
    ck_assert(ask(&info).network_buffer && !ask(&info).disks);
    info.blackhole = yes;
    ck_assert(ask(&info).nowhere);
}
END_TEST

/* with -c xl sets no interval, and compression to false */
START_TEST(test_mode_colo)
{
    libxl_domain_remus_info info = as_xl();

    info.interval = 0;
    info.colo = yes;
    info.compression = no;
    info.userspace_colo_proxy = yes;
    ck_assert_int_eq(ask(&info).mode, COLO_MODE_COLO);
    ck_assert_uint_eq(ask(&info).interval_ms, 0);
    ck_assert(ask(&info).compress);
    info.blackhole = no;
    info.netbuf = info.diskbuf = yes;
    ck_assert_int_eq(ask(&info).mode, COLO_MODE_COLO);
}
END_TEST

/* what -b, -n and -d ask for, one of them */
static void give_up(libxl_domain_remus_info *info, int which)
{
    if (which == 0)
        info->blackhole = yes;
    else if (which == 1)
        info->netbuf = no;
    else
        info->diskbuf = no;
}

/* Two guests with one address, or on one disk: not even with -F. */
START_TEST(test_mode_colo_alone)
{
    for (int i = 0; i < 3; i++) {
        libxl_domain_remus_info info = as_xl();
        struct xl_request request;

        info.interval = 0;
        info.colo = info.allow_unsafe = yes;
        give_up(&info, i);
        ck_assert_int_eq(xl_request_from(&info, &request, &err),
                         COLO_E_REFUSED);
        ck_text(err, "not with -b, -n or -d");
    }
}
END_TEST

START_TEST(test_refused)
{
    libxl_domain_remus_info info = as_xl();
    struct xl_request request = { .mode = 77 };

    info.interval = -1;
    ck_assert_int_eq(xl_request_from(&info, &request, &err), COLO_E_INVAL);
    ck_text(err, "-i -1");
    info.interval = 600001;
    ck_assert_int_eq(xl_request_from(&info, &request, &err), COLO_E_INVAL);
    for (int i = 0; i < 3; i++) {
        info = as_xl();
        give_up(&info, i);
        ck_assert_int_eq(xl_request_from(&info, &request, &err),
                         COLO_E_REFUSED);
        ck_text(err, "-F");
        info.allow_unsafe = no;
        ck_assert_int_eq(xl_request_from(&info, &request, &err),
                         COLO_E_REFUSED);
        info.allow_unsafe = yes;
        ck_assert_int_eq(xl_request_from(&info, &(struct xl_request){ 0 },
                                         &err), 0);
    }
    ck_assert_int_eq(request.mode, 77);
}
END_TEST

/* Every code has a row, and none of them means success. */
START_TEST(test_errors)
{
    ck_assert_int_eq(xl_error_from(0), 0);
    for (int code = COLO_E_PEER_SAID; code < 0; code++) {
        ck_assert_int_lt(xl_error_from(code), 0);
        ck_assert_str_ne(colo_strerror(code), "unknown error");
    }
    ck_assert_int_eq(xl_error_from(COLO_E_GUEST), ERROR_GUEST_TIMEDOUT);
    ck_assert_int_eq(xl_error_from(COLO_E_INVAL), ERROR_INVAL);
    ck_assert_int_eq(xl_error_from(COLO_E_NOTFOUND), ERROR_DOMAIN_NOTFOUND);
    /* only a guest that does not answer is left alone by xl */
    for (int code = COLO_E_PEER_SAID; code < 0; code++) {
        if (code != COLO_E_GUEST)
            ck_assert_int_ne(xl_error_from(code), ERROR_GUEST_TIMEDOUT);
    }
    ck_assert_int_eq(xl_error_from(-4711), ERROR_FAIL);
    /* a new code wants a row */
    ck_assert_str_eq(colo_strerror(COLO_E_PEER_SAID - 1), "unknown error");
}
END_TEST

PURE_MAIN("xl-options", test_letters, test_fields, test_manual, test_defaults,
          test_each, test_mode_colo, test_mode_colo_alone, test_refused,
          test_errors)
