/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-stock: the process of a gate (gate.h).  Sessions start it; not for
 * users.
 *
 *   to-backup [tcp=ADDRESS:PORT] SSH... HOST COMMAND
 *                                   in place of ssh, by a primary whose backup
 *                                   has only stock Xen: stdin and stdout are
 *                                   the bootstrap, SSH... is how to reach HOST,
 *                                   COMMAND is its xl
 *   guard NAME SSH... HOST COMMAND  host_guard()
 *   from-primary NAME UUID          by the session of a backup whose primary
 *                                   has only stock Xen: 0 is xl's stream, 1 and
 *                                   2 the control and bulk link, 3 a file with
 *                                   the configuration in JSON, as xl has said
 *                                   it; UUID: 32 digits.  Its status is 0 when
 *                                   the primary is lost, and only then
 *   nowhere HOST COMMAND            in place of SSH... above: no host, see
 *                                   nowhere.h
 *
 * What it has to say goes to syslog once it has left its starter, and to
 * /var/log/libcolo/colo-stock.log where there is such a folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "gate.h"
#include "host.h"
#include "nowhere.h"
#include "link/bootstrap-line.h"
#include "pure/seed-header.h"
#include "talk.h"

#define TCP_WORD "tcp="
#define CONFIG_FD 3 /* of from-primary */
#define GREET_MS 30000u
#define SEND_MS 10000u
#define END_MS 30000u
#define BOOT_MS 30000u
#define SILENT_MS 75000u   /* of a stock primary; more if it is slower.  libxl
                              gives its guest 60 s to suspend, and is silent */
/* Of this process, to its session, which is on the same host: silence says
 * that this process is held up (stopped, swapped out), and nothing of the
 * primary, so it is no reason to take over.  As long as this process itself
 * would wait for a primary at most (MAX_SILENT_MS of from-primary.c).  That it
 * has died is seen at once, by last words (../xl-plugin/stock-gate.h). */
#define GATE_DEAD_MS 600000u
#define MAX_PFN ((UINT64_C(1) << 26) - 1)

static void to_syslog(void *user, int level, int sys_errno,
                      const char *context, const char *text)
{
    (void)user;
    (void)sys_errno;
    syslog(level >= COLO_LOG_ERROR ? LOG_ERR :
           level == COLO_LOG_WARNING ? LOG_WARNING : LOG_NOTICE, "%s: %s",
           context, text);
}

static const struct colo_log syslog_log = {
    to_syslog, NULL, COLO_LOG_NOTICE
};

/* It ends with its session, in order; and its guard when nothing is left to
 * guard. */
static void ignore_signals(void)
{
    static const int list[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM,
        SIGTSTP, SIGTTIN, SIGTTOU,
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(list); i++)
        signal(list[i], SIG_IGN);
}

static void become(int fd, int number)
{
    if (fd < 0)
        return;
    dup2(fd, number);
    if (fd > 2)
        close(fd);
}

/* syslog writes to stderr, too: see openlog in main. */
static void leave_stdio(void)
{
    int log_fd;

    become(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
    dup2(0, 1);
    dup2(0, 2);
    log_fd = open("/var/log/libcolo/colo-stock.log",
                  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    become(log_fd, 2);
}

/* ---- in place of ssh -------------------------------------------------- */

static int boot(struct colo_bootstrap **ret_boot,
                struct colo_bootstrap_result *ret, struct colo_error *err)
{
    const struct colo_bootstrap_config config = {
        .address = "127.0.0.1", .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO, .timeout_ms = BOOT_MS,
    };
    struct pollfd pfd = { .events = POLLIN };
    int rc = colo__bootstrap_start(&config, false, NULL, ret_boot, err);

    if (rc)
        return rc;
    pfd.fd = colo__bootstrap_fd(*ret_boot);
    while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
        ;
    rc = colo__bootstrap_finish(*ret_boot, ret, err);
    if (!rc && ret->streams)
        rc = colo__fail(err, COLO_E_UNSUPPORTED, 0, "gate",
                        "stock Xen keeps no disks in step");
    return rc;
}

/* The session hears why. */
static void refuse(const struct gate *gate, const struct colo_error *why)
{
    struct colo_error ignored;
    struct talk talk;

    talk_init(&talk, gate->control, COLO_ROLE_SECONDARY, gate->session, 0,
              gate->log);
    (void)talk_send(&talk, COLO_MSG_ERROR, 0, (uint64_t)(int64_t)why->code,
                    why->text, &ignored);
}

static int run_gate(struct host *host,
                    const struct colo_bootstrap_result *links)
{
    struct gate gate = {
        .control = links->control, .bulk = links->bulk, .log = &syslog_log,
        .greet_ms = GREET_MS, .send_ms = SEND_MS, .end_ms = END_MS,
        .user = host, .armed = host_armed, .destroy = host_destroy,
        .ended = host_ended, .fd = -1,
    };
    struct colo_error err = { 0 };
    int rc;

    memcpy(gate.session, links->session, sizeof(gate.session));
    rc = host_connect(host, GREET_MS, &gate.fd, &err);
    if (rc)
        refuse(&gate, &err);
    else
        rc = gate_to_backup(&gate, &err);
    if (rc)
        syslog(LOG_ERR, "%s", err.text);
    host_end(host, !rc);
    return rc ? 1 : 0;
}

/* The child; report: a byte, once the session has no more use for its "ssh". */
static int child_main(struct host *host, int report)
{
    struct colo_bootstrap_result links = { 0 };
    struct colo_bootstrap *b = NULL;
    struct colo_error err = { 0 };
    int rc;

    ignore_signals();
    rc = boot(&b, &links, &err);
    if (rc) {
        fprintf(stderr, "colo-stock: %s\n", err.text);
        goto out;
    }
    leave_stdio();
    (void)!write(report, "", 1);
    close(report);
    rc = run_gate(host, &links);
out:
    if (links.control)
        colo__link_ops(links.control)->close(links.control);
    if (links.bulk)
        colo__link_ops(links.bulk)->close(links.bulk);
    colo__bootstrap_end(b);
    return rc ? 1 : 0;
}

/* What the session takes for ssh, and ends as soon as it has its links. */
static int parent_main(pid_t child, int report)
{
    int status = 0;
    char byte;
    ssize_t n;

    do {
        n = read(report, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        return 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int to_backup(struct host *host)
{
    int report[2];
    pid_t pid;

    if (pipe2(report, O_CLOEXEC)) {
        perror("colo-stock: pipe");
        return 1;
    }
    pid = fork();
    if (pid < 0) {
        perror("colo-stock: fork");
        return 1;
    }
    close(report[pid ? 1 : 0]);
    if (pid)
        return parent_main(pid, report[0]);
    setsid();
    return child_main(host, report[1]);
}

/* ---- a stock primary -------------------------------------------------- */

struct pump {
    int in_fd, null_fd, sock;
};

static void *pump_main(void *arg)
{
    const struct pump *pump = arg;

    colo__link_copy(pump->in_fd, pump->null_fd, pump->sock, -1);
    return NULL;
}

/* xl gets pipes of sshd, and a gate has a socket. */
static int stream_of(int fd, struct pump *pump, int *ret_fd,
                     struct colo_error *err)
{
    struct stat st;
    pthread_t thread;
    int pair[2], e;

    if (!fstat(fd, &st) && S_ISSOCK(st.st_mode)) {
        *ret_fd = fd;
        return 0;
    }
    pump->in_fd = fd;
    pump->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (pump->null_fd < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "gate", "xl's stream");
    pump->sock = pair[1];
    e = pthread_create(&thread, NULL, pump_main, pump);
    if (e)
        return colo__fail(err, COLO_E_SYS, e, "gate", "xl's stream");
    pthread_detach(thread);
    *ret_fd = pair[0];
    return 0;
}

/* From its beginning, wherever somebody has read to; NULL: it cannot be read,
 * or it is longer than a seed may say it. */
static char *read_config(int fd)
{
    char *text = malloc(SEED_CONFIG_MAX + 1);
    size_t len = 0;
    ssize_t r = 1;

    while (text && len < SEED_CONFIG_MAX && r > 0) {
        r = pread(fd, text + len, SEED_CONFIG_MAX - len, (off_t)len);
        len += r > 0 ? (size_t)r : 0;
    }
    if (text && (r < 0 || len == SEED_CONFIG_MAX)) {
        free(text);
        return NULL;
    }
    if (text)
        text[len] = '\0';
    return text;
}

static void end_link(struct colo_link *link)
{
    if (link)
        colo__link_ops(link)->close(link);
}

/* 0: the primary is lost.  Nothing else ends so: whoever has started this
 * process takes every other end, that by a signal, too, for one that says
 * nothing of the primary. */
static int from_primary(char **words)
{
    char *config = read_config(CONFIG_FD);
    /* out of the way of what is printed */
    int stream = fcntl(0, F_DUPFD_CLOEXEC, 3);
    int control = fcntl(1, F_DUPFD_CLOEXEC, 3);
    int bulk = fcntl(2, F_DUPFD_CLOEXEC, 3);
    struct gate_from gate = {
        .config = config, .name = words[0], .max_pfn = MAX_PFN,
        .log = &syslog_log, .silent_ms = SILENT_MS, .send_ms = SEND_MS,
        .dead_ms = GATE_DEAD_MS,
    };
    static struct pump pump;
    struct colo_error err = { 0 };
    int rc;

    ignore_signals();
    leave_stdio();
    close(CONFIG_FD);
    if (!config || !colo__hex_decode(words[1], strlen(words[1]), gate.uuid,
                                     sizeof(gate.uuid))) {
        syslog(LOG_ERR, "%s: no configuration, or no UUID", words[0]);
        free(config);
        return 2;
    }
    rc = colo__link_fd_new(control, &gate.control, &err);
    if (!rc)
        rc = colo__link_fd_new(bulk, &gate.bulk, &err);
    if (!rc)
        rc = stream_of(stream, &pump, &gate.fd, &err);
    if (!rc)
        rc = gate_from_primary(&gate, &err);
    syslog(rc ? LOG_ERR : LOG_WARNING, "%s: %s", words[0], err.text);
    end_link(gate.bulk);
    end_link(gate.control);
    free(config);
    return rc ? 1 : 0;
}

/* ---- no host at all --------------------------------------------------- */

/* Its status is that of an xl that has given up, and of a destroy with nothing
 * to be destroyed. */
static int nowhere(const char *command)
{
    struct colo_error err = { 0 };
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

    if (strstr(command, " destroy "))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    if (fd < 0)
        return 2;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    (void)gate_nowhere(fd, MAX_PFN, &err);
    fprintf(stderr, "the replica is nowhere: %s\n", err.text);
    return 1;
}

/* ---- main ------------------------------------------------------------- */

static int guard(struct host *host, const char *name)
{
    struct colo_error err = { 0 };

    ignore_signals();
    if (host_guard(host, name, STDIN_FILENO, &err)) {
        syslog(LOG_ERR, "%s: %s", name, err.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    bool guarding = argc > 1 && !strcmp(argv[1], "guard");
    int first = guarding ? 3 : 2;
    const char *ssh[HOST_WORDS + 1] = { NULL };
    struct host host;
    bool tcp;
    int words = argc - 2 - first;

    if (argc == 4 && !strcmp(argv[1], "from-primary")) {
        openlog("colo-stock", LOG_PID | LOG_PERROR, LOG_DAEMON);
        return from_primary(argv + 2);
    }
    if (argc == 4 && !strcmp(argv[1], "nowhere"))
        return nowhere(argv[3]);
    if (words < 1 || words > HOST_WORDS ||
        (!guarding && strcmp(argv[1], "to-backup"))) {
        fprintf(stderr, "colo-stock: `colo protect --peer stock` runs "
                "this\n");
        return 2;
    }
    for (int i = 0; i < words; i++)
        ssh[i] = argv[first + i];
    tcp = !strncmp(ssh[0], TCP_WORD, strlen(TCP_WORD));
    host_init(&host, ssh + tcp, argv[argc - 2], argv[argc - 1], &syslog_log);
    if (tcp)
        host.tcp = ssh[0] + strlen(TCP_WORD);
    host.guard = "/proc/self/exe";
    openlog("colo-stock", LOG_PID | LOG_PERROR, LOG_DAEMON);
    if (guarding)
        return guard(&host, argv[2]);
    return to_backup(&host);
}
