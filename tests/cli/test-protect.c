/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The exit status of a protection that could not begin: systemd tries again
 * after some of them only.  The session is made up here.
 */
#include "../unit/pure-common.h"

#include "../../cli/cmd-protect.c"
#include "../../cli/protect.c"

static int opens, ends, guest;
static int looks; /* so many times the guest is found, whatever it is later */
static char policy[200];

static int say_no(int code, struct colo_error *err)
{
    memset(err, 0, sizeof(*err));
    err->code = code;
    strcpy(err->text, "no address is known for host2-repl");
    return code;
}

int colo_session_open(const struct colo_config *config,
                      struct colo_session **ret_session,
                      struct colo_error *err)
{
    snprintf(policy, sizeof(policy), "%s",
             config->net_policy ? config->net_policy : "");
    *ret_session = NULL;
    return opens ? say_no(opens, err) : 0;
}

int cli_session_loop(struct colo_session *session, int signal_fd,
                     bool with_hangup, struct colo_error *err)
{
    (void)session;
    (void)signal_fd;
    (void)with_hangup;
    return say_no(ends, err);
}

int colo_query_status(struct colo_session *session,
                      struct colo_status *status, struct colo_error *err)
{
    (void)session;
    (void)status;
    (void)err;
    return COLO_E_STATE;
}

void colo_session_close(struct colo_session *session)
{
    (void)session;
}

int colo_config_init(struct colo_config *config, size_t size)
{
    memset(config, 0, size);
    return 0;
}

int colo_check_domain(const char *domain, int mode, colo_check_fn *fn,
                      void *user, struct colo_error *err)
{
    (void)domain;
    (void)mode;
    (void)fn;
    (void)user;
    return guest && looks-- <= 0 ? say_no(guest, err) : 0;
}

bool check_peer(struct check_report *report, const char *ssh,
                const char *remote, const char *host, const char *domain,
                int cancel_fd)
{
    (void)report;
    (void)ssh;
    (void)remote;
    (void)host;
    (void)domain;
    (void)cancel_fd;
    return true;
}

void check_stock(struct check_report *report, const char *host, int mode)
{
    (void)report;
    (void)host;
    (void)mode;
}

void check_report_item(void *user, const struct colo_check_item *item)
{
    (void)user;
    (void)item;
}

bool cli_signals_open(int *ret_fd)
{
    *ret_fd = -1;
    return true;
}

static int protect(int open, int end, int there)
{
    char *argv[] = { (char[]){ "protect" }, (char[]){ "--no-check" },
                     (char[]){ "web" }, (char[]){ "host2" }, NULL };

    opens = open;
    ends = end;
    guest = there;
    optind = 1;
    return cli_cmd_protect.run(4, argv);
}

START_TEST(test_not_found)
{
    /* what was not found is not the guest */
    ck_assert_int_eq(protect(0, COLO_E_NOTFOUND, 0), CLI_FAILED);
    ck_assert_int_eq(protect(COLO_E_NOTFOUND, 0, 0), CLI_FAILED);
    ck_assert_int_eq(protect(COLO_E_NOTFOUND, 0, COLO_E_NOTFOUND),
                     CLI_NOT_FOUND);
    ck_assert_int_eq(protect(0, COLO_E_TIMEOUT, 0), CLI_FAILED);
    ck_assert_int_eq(protect(0, COLO_E_UNSUPPORTED, 0), CLI_NOT_PROTECTABLE);
}
END_TEST

/* It reboots just after it was found: systemd is to try again. */
START_TEST(test_vanishes)
{
    char *argv[] = { (char[]){ "protect" }, (char[]){ "web" },
                     (char[]){ "host2" }, NULL };

    for (int found = 0; found < 2; found++) {
        opens = guest = COLO_E_NOTFOUND;
        ends = 0;
        looks = found;
        optind = 1;
        ck_assert_int_eq(cli_cmd_protect.run(3, argv),
                         found ? CLI_GUEST_ENDED : CLI_NOT_FOUND);
    }
}
END_TEST

START_TEST(test_policy)
{
    char *argv[] = { (char[]){ "protect" }, (char[]){ "--no-check" },
                     (char[]){ "--policy" }, (char[]){ "dns=pass" },
                     (char[]){ "web" }, (char[]){ "host2" },
                     (char[]){ "--policy=icmp=drop" }, NULL };

    opens = ends = guest = 0;
    optind = 1;
    ck_assert_int_eq(cli_cmd_protect.run(7, argv), CLI_OK);
    ck_assert_str_eq(policy, "dns=pass icmp=drop");
    (void)protect(0, 0, 0);
    ck_assert_str_eq(policy, "");
}
END_TEST

static bool said(int fd, const char *words)
{
    char text[4096];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    return strstr(text, words) != NULL;
}

/* Who did not answer may have the guest; who said why has it not. */
START_TEST(test_lost)
{
    struct protect lost = { .name = "web", .committed = true,
                            .config.peer = "host2" };
    FILE *file = tmpfile();
    int fd = fileno(file);
    struct colo_error err;

    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    guest = 0;
    say_no(COLO_E_PEER_SAID, &err);
    ck_assert_int_eq(say_end(&lost, COLO_E_PEER_SAID, &err),
                     CLI_UNPROTECTED);
    ck_assert(said(fd, "above is put right: colo protect web host2"));
    ck_assert(!said(fd, "taken"));
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(say_end(&lost, COLO_E_PEER, &err), CLI_UNPROTECTED);
    ck_assert(said(fd, "it may have taken web over. Look there first"));
    ck_assert(!said(fd, "put right"));
    fclose(file);
}
END_TEST

PURE_MAIN("cli-protect", test_not_found, test_vanishes, test_policy,
          test_lost)
