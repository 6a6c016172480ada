/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What colo-xl-session does before its session begins, what it asks of it, and
 * where it says what has become of it.  The library is made up here.
 */
int session_main(int argc, char **argv);
#define main session_main
#include "../../xl-plugin/session.c"
#undef main
#include "../../cli/session-loop.c"

#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pure-common.h"

/* ---- the library, in the child ------------------------------------------ */

static int recovers;            /* what colo_recover returns */
static const char *finds;       /* the check: an id that is refused */
static bool opens;              /* the session does, and is a takeover */
static int signals;             /* that it gets, before it ends by itself */
static bool stops, refuses;     /* it was told to end; it does not do that */
static struct colo_config asked;

int colo_config_init(struct colo_config *config, size_t size)
{
    memset(config, 0, size);
    config->size = (uint32_t)size;
    config->heartbeat_ms = 100;
    config->dead_ms = 1000;
    return 0;
}

int colo_recover(struct colo_log *log, struct colo_error *err)
{
    log->fn(log->user, COLO_LOG_WARNING, -1, "recover", "looked");
    return recovers < 0 ? colo__fail(err, recovers, 0, "test", "stuck") :
           recovers;
}

int colo_check_domain(const char *domain, int mode, colo_check_fn *fn,
                      void *user, struct colo_error *err)
{
    struct colo_check_item item = {
        COLO_CHECK_OK, "memory-needed", "1 page", ""
    };

    (void)err;
    ck_assert_str_eq(domain, "7");
    ck_assert_int_eq(mode, COLO_MODE_REMUS);
    fn(user, &item);
    if (!finds)
        return 0;
    item = (struct colo_check_item){
        COLO_CHECK_REFUSED, finds, "it has one", "detach it"
    };
    fn(user, &item);
    return 1;
}

int colo_session_open(const struct colo_config *config,
                      struct colo_session **ret_session,
                      struct colo_error *err)
{
    static char session;

    asked = *config;
    *ret_session = opens ? (struct colo_session *)&session : NULL;
    return opens ? 0 : colo__fail(err, COLO_E_STATE, 0, "test",
                                  "dead after %u ms", config->dead_ms);
}

int session_wait(struct colo_session *session, struct pollfd *fds, nfds_t n,
                 struct colo_error *err)
{
    bool gate = asked.transport == COLO_TRANSPORT_FD;

    (void)session;
    (void)err;
    fds[0].fd = -1;
    if (gate)
        ck_assert_int_ge(fds[n - 1].fd, 0);
    (void)poll(fds, n, gate ? 20000 : 0);
    return 0;
}

/* What comes on a link: its end, or what cannot be anything. */
static void say_control(int fd)
{
    unsigned char byte = 0;
    ssize_t r = recv(fd, &byte, 1, MSG_DONTWAIT);

    dprintf(REPORT_FD, "control %s\n", r == 0 ? "ends" :
            r == 1 && byte == 0xff ? "has last words" : "says nothing");
}

int colo_session_process(struct colo_session *session, struct colo_error *err)
{
    struct colo_event event = {
        .type = COLO_EVENT_STATE, .old_state = COLO_STATE_TAKEOVER,
        .state = COLO_STATE_ACTIVE,
    };

    (void)session;
    (void)err;
    if (stops)
        return 0;
    if (signals-- > 0) {
        raise(SIGTERM);
        return 1;
    }
    if (asked.transport == COLO_TRANSPORT_FD)
        say_control(asked.control_fd);
    asked.event_fn(asked.event_user, &event);
    asked.log.fn(asked.log.user, COLO_LOG_NOTICE, -1, "test", "all is well");
    asked.log.fn(asked.log.user, COLO_LOG_WARNING, -1, "test", "is it?");
    return 0;
}

int colo_query_status(struct colo_session *session,
                      struct colo_status *status, struct colo_error *err)
{
    (void)session;
    (void)err;
    strcpy(status->name, "web");
    strcpy(status->peer, "host1");
    return 0;
}

int colo_session_stop(struct colo_session *session, struct colo_error *err)
{
    (void)session;
    if (refuses)
        return colo__fail(err, COLO_E_STATE, 0, "test", "not now");
    stops = true;
    return 0;
}

void colo_session_close(struct colo_session *session)
{
    (void)session;
}

int relay_run(const char *pid)
{
    (void)pid;
    return 1;
}

/* The file of its log is among the reports. */
bool cli_log_open(const char *name)
{
    dprintf(REPORT_FD, "file %s\n", name);
    return true;
}

static void log_line(void *user, int level, int sys_errno,
                     const char *context, const char *text)
{
    (void)user;
    (void)sys_errno;
    dprintf(REPORT_FD, "file %d %s: %s\n", level, context, text);
}

struct colo_log cli_log(int verbose)
{
    ck_assert_int_eq(verbose, 0);
    return (struct colo_log){ log_line, NULL, COLO_LOG_WARNING };
}

void cli_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    dprintf(REPORT_FD, "file ");
    vdprintf(REPORT_FD, fmt, ap);
    dprintf(REPORT_FD, "\n");
    va_end(ap);
}

void cli_say_event(const struct colo_event *event, int verbose)
{
    cli_say("-> %s, %d", colo_state_name(event->state), verbose);
}

/* ---- xl ------------------------------------------------------------------ */

static char reports[2048];

/* Its words, one string; what it reports is in reports. */
static void run_session(const char *text)
{
    char words[200], *argv[16] = { words }, *save = NULL, *word;
    int report_pipe[2], fds[2], argc = 1, status;
    size_t n = 0;
    ssize_t r;
    pid_t pid;

    snprintf(words, sizeof(words), "colo-xl-session %s", text);
    (void)strtok_r(words, " ", &save);
    while ((word = strtok_r(NULL, " ", &save)))
        argv[argc++] = word;
    ck_assert_int_eq(pipe2(report_pipe, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        dup2(report_pipe[1], REPORT_FD);
        dup2(fds[0], LIFE_FD);
        for (int fd = XL_SEND_FD; fd < 30; fd++)
            dup2(fds[0], fd);
        _exit(session_main(argc, argv));
    }
    close(report_pipe[1]);
    while ((r = read(report_pipe[0], reports + n, sizeof(reports) - 1 - n)) >
           0)
        n += (size_t)r;
    reports[n] = '\0';
    close(report_pipe[0]);
    close(fds[0]);
    close(fds[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == (!opens || refuses),
                  "%s", reports);
}

static void primary(const char *kind, const char *network, const char *disks)
{
    char text[120];

    snprintf(text, sizeof(text), "%s 7 peer remus 200 %s %s compress", kind,
             network, disks);
    run_session(text);
}

#define SAYS(words) ck_assert_msg(strstr(reports, words), "%s", reports)
#define SAYS_NOT(words) ck_assert_msg(!strstr(reports, words), "%s", reports)
#define OPENED "end -2 "   /* by colo_session_open: COLO_E_STATE */
#define ENDED "end -13 "   /* COLO_E_REFUSED */
#define REFUSED "end -12 " /* COLO_E_UNSUPPORTED */

/* What `colo protect` refuses, but for what is not wanted anyway. */
START_TEST(test_check)
{
    static const struct {
        const char *id, *kind, *network, *disks;
        bool refused;
    } cases[] = {
        { NULL, "primary", "buffer", "disks", false },
        { "disk-not-replicated", "primary", "buffer", "disks", true },
        { "disk-not-replicated", "primary", "no-buffer", "disks", true },
        { "disk-not-replicated", "primary", "buffer", "no-disks", false },
        { "disk-not-replicated", "nowhere", "buffer", "disks", false },
        { "net-modules", "primary", "buffer", "no-disks", true },
        { "net-modules", "primary", "no-buffer", "disks", false },
        { "driver-domain", "primary", "no-buffer", "no-disks", true },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        finds = cases[i].id;
        primary(cases[i].kind, cases[i].network, cases[i].disks);
        SAYS_NOT("1 page");
        if (cases[i].refused) {
            SAYS("log 4 refused: it has one: detach it\n" REFUSED
                 "not protected (1 reason above)");
        } else {
            SAYS(OPENED);
            if (finds)
                SAYS("log 3 warning: it has one\n");
        }
    }
}
END_TEST

/* Every kind of session looks first for what a killed one has left. */
START_TEST(test_recover)
{
    static const char *const kinds[] = {
        "primary 7 peer remus 200 buffer disks compress", "secondary",
        "stock-secondary web 00112233445566778899aabbccddeeff",
    };

    setenv("COLO_XL_LIBEXECDIR", "/nowhere", 1);
    for (size_t i = 0; i < COLO_ARRAY_LEN(kinds); i++) {
        recovers = 2;
        run_session(kinds[i]);
        SAYS("log 3 recover: looked\nlog 3 put right what 2 killed sessions "
             "had left\n");
        recovers = COLO_E_STORE;
        run_session(kinds[i]);
        SAYS_NOT("put right");
        recovers = COLO_E_HV;
        run_session(kinds[i]);
        SAYS("could not be put right: stuck");
        SAYS("end ");
    }
}
END_TEST

/* Of a backup there is a log that stays when xl has gone. */
START_TEST(test_log)
{
    opens = true;
    run_session("secondary");
    SAYS("file web\nfile web: receiving from host1\nfile -> active, 0\n");
    SAYS("log 2 test: all is well\nlog 3 test: is it?\nfile 3 test: is it?\n"
         "end 1 \n");
    primary("primary", "buffer", "disks");
    SAYS_NOT("file");
    SAYS("log 3 test: is it?\nend 1 \n");
}
END_TEST

/* How long a peer may be silent: xl cannot say it, and nowhere is here. */
START_TEST(test_dead)
{
    static const struct {
        const char *text, *kind, *said;
    } cases[] = {
        { NULL, "primary", "dead after 1000 ms" },
        { "4000", "primary", "dead after 4000 ms" },
        { "199", "primary", "dead after 1000 ms" },
        { "600001", "primary", "dead after 1000 ms" },
        { "4000", "nowhere", "dead after 600000 ms" },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        if (cases[i].text)
            setenv("COLO_XL_DEAD", cases[i].text, 1);
        primary(cases[i].kind, "buffer", "disks");
        SAYS(cases[i].said);
    }
}
END_TEST

/* It ends cleanly, on either side, or, where it cannot, at once. */
START_TEST(test_signal)
{
    opens = true;
    signals = 1;
    for (int i = 0; i < 2; i++) {
        refuses = i;
        run_session("secondary");
        SAYS(i ? ENDED "ended by a signal" : "end 0 ");
        primary("primary", "buffer", "disks");
        SAYS(i ? ENDED "ended by a signal" : "end 0 ");
    }
}
END_TEST

/* The end of a gate is the loss of a stock primary if it says so. */
START_TEST(test_gate)
{
    static const struct {
        const char *does, *control;
    } cases[] = {
        { "exit 0", "ends" },
        { "exit 1", "has last words" },
        { "kill -KILL $$", "has last words" },
    };
    char dir[] = "/tmp/colo-xl-begin.XXXXXX", path[64], line[64];
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/colo-stock", dir);
    setenv("COLO_XL_LIBEXECDIR", dir, 1);
    opens = true;
    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        f = fopen(path, "we");
        ck_assert_ptr_nonnull(f);
        fprintf(f, "#!/bin/sh\n%s\n", cases[i].does);
        fclose(f);
        ck_assert_int_eq(chmod(path, 0755), 0);
        run_session("stock-secondary web 00112233445566778899aabbccddeeff");
        snprintf(line, sizeof(line), "control %s\n", cases[i].control);
        SAYS(line);
    }
    unlink(path);
    rmdir(dir);
}
END_TEST

PURE_MAIN("xl-begin", test_check, test_recover, test_log, test_dead,
          test_signal, test_gate)
