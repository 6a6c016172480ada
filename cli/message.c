/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Where messages go: stderr for people, or a log file once the program has
 * detached.  For the subcommands, and for xl-plugin/session.c.  A line is one
 * write, so that the lines of processes that share a file do not mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static const char log_dir[] = "/var/log/libcolo";
#define LOG_PATH_MAX 160

/* A log file gets the time, a screen does not.  The file is made by
 * cli_log_open and then is stderr, so that children write there too. */
static bool with_time;

static void put_line(const char *prefix, const char *text)
{
    char line[640], stamp[40] = "";
    struct timespec ts;
    ssize_t r;
    int n;

    if (with_time) {
        struct tm tm;
        size_t len;

        clock_gettime(CLOCK_REALTIME, &ts);
        localtime_r(&ts.tv_sec, &tm);
        len = strftime(stamp, sizeof(stamp), "%F %T", &tm);
        snprintf(stamp + len, sizeof(stamp) - len, ".%03ld ",
                 ts.tv_nsec / 1000000);
    }
    n = snprintf(line, sizeof(line), "%s%s%s\n", stamp, prefix, text);
    if (n >= (int)sizeof(line)) {
        n = (int)sizeof(line) - 1;
        line[n - 1] = '\n';
    }
    r = write(STDERR_FILENO, line, (size_t)n);
    (void)r; /* nowhere left to complain */
}

void cli_say(const char *fmt, ...)
{
    char text[560];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put_line("colo: ", text);
}

void cli_say_event(const struct colo_event *event, int verbose)
{
    const struct colo_checkpoint_info *info = event->checkpoint;

    switch (event->type) {
    case COLO_EVENT_STATE:
        if (verbose > 1 || event->state < COLO_STATE_WAITING ||
            event->state >= COLO_STATE_TAKEOVER)
            cli_say("%s -> %s", colo_state_name(event->old_state),
                    colo_state_name(event->state));
        break;
    case COLO_EVENT_CHECKPOINT:
        if (info && (info->epoch == 1 || verbose > 0))
            cli_say("epoch %" PRIu64 " is here whole: %" PRIu64 " pages",
                    info->epoch, info->dirty_pages);
        break;
    case COLO_EVENT_WARNING:
        cli_say("warning: %s", event->text ? event->text : "");
        break;
    case COLO_EVENT_EXIT:
        cli_say("ended: %s%s%s", colo_reason_name(event->reason),
                event->text && event->text[0] ? ": " : "",
                event->text ? event->text : "");
        break;
    }
}

int cli_fail(const struct colo_error *err, const char *fmt, ...)
{
    char what[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    cli_say("%s: %s", what,
            err->text[0] ? err->text : colo_strerror(err->code));
    return cli_exit_of(err->code);
}

int cli_exit_of(int code)
{
    switch (code) {
    case 0:
        return CLI_OK;
    case COLO_E_UNSUPPORTED:
        return CLI_NOT_PROTECTABLE;
    case COLO_E_NOTFOUND:
        return CLI_NOT_FOUND;
    case COLO_E_GUEST:
        return CLI_GUEST_ENDED;
    case COLO_E_TIMEOUT:
        return CLI_TIMEOUT;
    default:
        return CLI_FAILED;
    }
}

static void log_line(void *user, int level, int sys_errno,
                     const char *context, const char *text)
{
    static const char *const names[] = {
        "debug", "info", "notice", "warning", "error"
    };
    char prefix[80], whole[560], buf[64];

    (void)user;
    snprintf(prefix, sizeof(prefix), "colo: %s: %s: ",
             level >= 0 && level <= COLO_LOG_ERROR ? names[level] : "?",
             context);
    if (sys_errno > 0)
        snprintf(whole, sizeof(whole), "%s: %s", text,
                 strerror_r(sys_errno, buf, sizeof(buf)));
    else
        snprintf(whole, sizeof(whole), "%s", text);
    put_line(prefix, whole);
}

struct colo_log cli_log(int verbose)
{
    struct colo_log log = { log_line, NULL, COLO_LOG_WARNING };

    if (verbose == 1)
        log.min_level = COLO_LOG_INFO;
    else if (verbose > 1)
        log.min_level = COLO_LOG_DEBUG;
    return log;
}

/* false: no file can have that name */
static bool log_path(const char *name, char path[LOG_PATH_MAX])
{
    int n;

    if (!name[0] || name[0] == '.' || strchr(name, '/'))
        return false;
    n = snprintf(path, LOG_PATH_MAX, "%s/%s.log", log_dir, name);
    return n > 0 && n < LOG_PATH_MAX;
}

void cli_say_log(const char *name)
{
    char path[LOG_PATH_MAX];
    struct stat st;

    if (log_path(name, path) && !lstat(path, &st) && S_ISREG(st.st_mode) &&
        st.st_size > 0)
        cli_say("%s: what became of earlier sessions here: %s; of a unit: "
                "`journalctl -u colo@%s`", name, path, name);
}

bool cli_log_open(const char *name)
{
    char path[LOG_PATH_MAX];
    int fd;

    if (!log_path(name, path)) {
        cli_say("no log file for a guest called '%s'", name);
        return false;
    }
    if (mkdir(log_dir, 0700) && errno != EEXIST) {
        cli_say("no log file: %s: %s", log_dir, strerror(errno));
        return false;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
              0600);
    if (fd < 0) {
        cli_say("no log file: %s: %s", path, strerror(errno));
        return false;
    }
    dup2(fd, STDERR_FILENO); /* the copy is not close-on-exec: wanted */
    close(fd);
    with_time = true;
    return true;
}
