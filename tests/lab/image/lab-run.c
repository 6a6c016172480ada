/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a shell command line on a lab host for somebody on the machine that
 * emulates it.  What sshd does for a command, a shell of its own and a copy of
 * itself, takes an emulated host a second, which is longer than most commands.
 *
 *   lab-run serve PORT TOKEN-FILE    on a host, for ever
 *   lab-run ask PORT TOKEN-FILE COMMANDLINE
 *                on this machine; PORT of the loopback leads to the host's.
 *                Exit status: the command's; 255 if there is no answer
 *
 * The asker sends the token, which proves that it may, the length of the
 * command line in four bytes, the line, and then frames with what its stdin
 * has.  The host answers with frames: one byte (enum frame), four bytes length
 * or status (most significant first), data.
 *
 * A command has ended when its shell has, even if a background child still
 * holds its stdout.  Output that is there at that moment is passed on; what such
 * a child writes later hits a closed pipe.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN 64u
#define LINE_MAX_BYTES (128u * 1024u) /* the longest argument of execve */
#define CHUNK 65536u
#define HELLO_SECONDS 30
#define GOODBYE_MS 10000

enum frame { IN, OUT, ERR, EXIT };

/* ---- bytes --------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static bool read_all(int fd, void *data, size_t len)
{
    char *p = data;

    while (len) {
        ssize_t n = read(fd, p, len);

        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* data follows a head of its own in the same buffer: one packet */
static bool send_frame(int sock, enum frame type, char *buf, size_t len,
                       uint32_t value)
{
    value = htonl(value);
    buf[0] = (char)type;
    memcpy(buf + 1, &value, 4);
    return write_all(sock, buf, 5 + len);
}

static bool get_frame(int sock, uint8_t *ret_type, uint32_t *ret_value)
{
    char head[5];

    if (!read_all(sock, head, 5))
        return false;
    *ret_type = (uint8_t)head[0];
    memcpy(ret_value, head + 1, 4);
    *ret_value = ntohl(*ret_value);
    return true;
}

/* Pass on what one read gives as a frame; an empty one says that the end is
 * reached.  < 0: nothing more comes, 0: not now. */
static ssize_t relay(int from, int sock, enum frame type)
{
    char buf[5 + CHUNK];
    ssize_t n = read(from, buf + 5, CHUNK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        n = 0;
    if (!send_frame(sock, type, buf, (size_t)n, (uint32_t)n))
        return -1;
    return n ? n : -1;
}

/* A frame's data, into fd if there is one still. */
static bool take(int sock, uint32_t len, int *fd)
{
    char buf[CHUNK];

    if (len > CHUNK || !read_all(sock, buf, len))
        return false;
    if (*fd >= 0 && (!len || !write_all(*fd, buf, len))) {
        close(*fd);
        *fd = -1;
    }
    return true;
}

static bool read_token(const char *path, char token[TOKEN])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read_all(fd, token, TOKEN);

    if (!ok)
        fprintf(stderr, "lab-run: %s: no token\n", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- on the host ----------------------------------------------------------- */

struct job {
    pid_t pid;
    int in, out, err, pidfd;
    int sock, alone; /* alone: an eventfd, the asker has gone */
};

static bool start(const char *line, struct job *job)
{
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
        pipe2(err, O_CLOEXEC))
        return false;
    job->pid = fork();
    if (job->pid == 0) {
        setsid();
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGCHLD, SIG_DFL);
        execl("/bin/bash", "bash", "-c", line, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    job->in = in[1];
    job->out = out[0];
    job->err = err[0];
    fcntl(job->out, F_SETFL, O_NONBLOCK);
    fcntl(job->err, F_SETFL, O_NONBLOCK);
    job->pidfd = job->pid < 0 ? -1 :
                 (int)syscall(SYS_pidfd_open, job->pid, 0);
    return job->pidfd >= 0;
}

/* A thread, because a command may take no input before its output is taken. */
static void *feed(void *arg)
{
    struct job *job = arg;
    uint64_t one = 1;
    uint32_t len;
    uint8_t type;

    while (get_frame(job->sock, &type, &len) && type == IN &&
           take(job->sock, len, &job->in))
        ;
    (void)!write(job->alone, &one, sizeof(one));
    return NULL;
}

static void serve_job(struct job *job)
{
    struct pollfd fds[4] = {
        { .fd = job->out, .events = POLLIN },
        { .fd = job->err, .events = POLLIN },
        { .fd = job->pidfd, .events = POLLIN },
        { .fd = job->alone, .events = POLLIN },
    };
    char buf[5];
    int status;

    while (!fds[2].revents) {
        if ((poll(fds, 4, -1) < 0 && errno != EINTR) || fds[3].revents)
            return;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents &&
                relay(fds[i].fd, job->sock, i ? ERR : OUT) < 0)
                fds[i].fd = -1;
    }
    while (relay(job->out, job->sock, OUT) > 0)
        ;
    while (relay(job->err, job->sock, ERR) > 0)
        ;
    if (waitpid(job->pid, &status, 0) < 0)
        return;
    send_frame(job->sock, EXIT, buf, 0,
               WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) :
                                   128u + (uint32_t)WTERMSIG(status));
    /* to close with input unread would throw away what it has not read yet */
    shutdown(job->sock, SHUT_WR);
    poll(&fds[3], 1, GOODBYE_MS);
}

static void serve_one(int sock, const char *token)
{
    struct timeval patience = { .tv_sec = HELLO_SECONDS }, none = { 0 };
    char theirs[TOKEN], *line;
    struct job job = { .sock = sock };
    pthread_t feeder;
    uint32_t len;

    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (!read_all(sock, theirs, TOKEN) || memcmp(theirs, token, TOKEN) != 0 ||
        !read_all(sock, &len, 4))
        return;
    len = ntohl(len);
    if (len >= LINE_MAX_BYTES)
        return;
    line = calloc(1, len + 1u);
    if (!line || !read_all(sock, line, len))
        return;
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
    signal(SIGCHLD, SIG_DFL);
    job.alone = eventfd(0, EFD_CLOEXEC);
    if (job.alone >= 0 && start(line, &job) &&
        pthread_create(&feeder, NULL, feed, &job) == 0)
        serve_job(&job);
}

static int serve(uint16_t port, const char *token)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&any, sizeof(any)) ||
        listen(listener, 100)) {
        perror("lab-run: serve");
        return 1;
    }
    if (chdir("/root"))
        return 1;
    signal(SIGCHLD, SIG_IGN); /* nobody waits for those who serve */
    for (;;) {
        int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pid_t pid;

        if (sock < 0)
            continue;
        pid = fork();
        if (pid == 0) {
            serve_one(sock, token);
            _exit(0);
        }
        close(sock);
    }
}

/* ---- on this machine --------------------------------------------------------- */

static void *pass_stdin(void *arg)
{
    const int *sock = arg;

    while (relay(0, *sock, IN) >= 0)
        ;
    return NULL;
}

static int ask(uint16_t port, const char *token, const char *line)
{
    struct sockaddr_in host = { .sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int to[] = { [OUT] = 1, [ERR] = 2 };
    uint32_t len = (uint32_t)strlen(line), value = htonl(len);
    pthread_t feeder;

    if (strlen(line) >= LINE_MAX_BYTES) {
        fprintf(stderr, "lab-run: the command line is too long\n");
        return 2;
    }
    if (connect(sock, (struct sockaddr *)&host, sizeof(host)) ||
        !write_all(sock, token, TOKEN) || !write_all(sock, &value, 4) ||
        !write_all(sock, line, len)) {
        perror("lab-run: the host does not answer");
        return 255;
    }
    if (pthread_create(&feeder, NULL, pass_stdin, &sock))
        return 255;
    for (;;) {
        uint8_t type;

        if (!get_frame(sock, &type, &value))
            return 255; /* as when its plug is pulled */
        if (type == EXIT)
            return (int)value;
        if ((type != OUT && type != ERR) || !take(sock, value, &to[type]))
            return 255;
    }
}

int main(int argc, char **argv)
{
    char token[TOKEN];
    int port = argc > 2 ? atoi(argv[2]) : 0;

    if (argc < 4 || port < 1 || port > 65535) {
        fprintf(stderr, "usage: lab-run serve|ask PORT TOKEN-FILE [LINE]\n");
        return 2;
    }
    if (!read_token(argv[3], token))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve((uint16_t)port, token);
    if (argc == 5 && strcmp(argv[1], "ask") == 0)
        return ask((uint16_t)port, token, argv[4]);
    return 2;
}
