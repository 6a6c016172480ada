/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A real service for a test guest: an HTTP/1.1 keep-alive server over an SQLite
 * database with synchronous=FULL.  It answers a transaction only after COMMIT,
 * so an answer that somebody saw and a row that is missing later is a promise
 * broken.  One thread, one poll loop; started by guest-init (ledger=1).
 *
 *   ledger DATABASE [PORT]
 *   GET /add/N         row N: "ok N seq=S rows=R"; again for the same N: ok too
 *   GET /check         "integrity=ok count=C max=M"
 *   GET /missing/UPTO  "missing=K", then the first of those ids of 1..UPTO
 *   GET /bulk/BYTES    that many bytes
 *   GET /random        "random=N": no two copies of this guest say the same
 *   GET /              a page that counts requests
 *
 * S counts answers and lives in memory only: it goes back exactly if a client
 * sees an older state of this program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sqlite3.h>

#define CONNS_MAX 64
#define REQUEST_MAX 4096
#define ANSWER_MAX (64 * 1024)
#define LISTED_MAX 5000
#define BULK_MAX (INT64_C(1) << 32)

struct conn {
    int fd;
    size_t in_len, out_len, out_at;
    int64_t bulk; /* bytes still to send after `out` */
    bool close;   /* when all is sent */
    char in[REQUEST_MAX];
    char out[ANSWER_MAX];
};

struct ledger {
    sqlite3 *db;
    sqlite3_stmt *add, *ids;
    int64_t seq, rows, requests;
    int listener;
    struct conn *conns[CONNS_MAX];
    char body[ANSWER_MAX - 512]; /* of the answer being made */
};

/* Text that is cut off at its buffer's end, never written beyond. */
struct text {
    char *buf;
    size_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t,
                                                      const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->buf + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    if (n > 0)
        t->len += (size_t)n < t->cap - t->len ? (size_t)n
                                               : t->cap - t->len - 1;
}

/* ---- the database ------------------------------------------------------ */

static void die_db(struct ledger *l, const char *what)
{
    fprintf(stderr, "LEDGER-ERROR %s: %s\n", what,
            l->db ? sqlite3_errmsg(l->db) : "no memory");
    exit(1);
}

static int64_t number_of(struct ledger *l, const char *sql)
{
    sqlite3_stmt *s;
    int64_t n = 0;

    if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL))
        die_db(l, sql);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

static void open_db(struct ledger *l, const char *path)
{
    /* WAL: one fsync a commit; FULL: it is waited for */
    static const char *const setup[] = {
        "PRAGMA locking_mode=EXCLUSIVE",
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA temp_store=MEMORY",
        "CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY)",
    };
    size_t i;

    if (sqlite3_open(path, &l->db))
        die_db(l, path);
    for (i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
        if (sqlite3_exec(l->db, setup[i], NULL, NULL, NULL))
            die_db(l, setup[i]);
    if (sqlite3_prepare_v2(l->db, "INSERT OR IGNORE INTO entry VALUES (?)", -1,
                           &l->add, NULL) ||
        sqlite3_prepare_v2(l->db,
                           "SELECT n FROM entry WHERE n BETWEEN 1 AND ?"
                           " ORDER BY n",
                           -1, &l->ids, NULL))
        die_db(l, "prepare");
    l->rows = number_of(l, "SELECT count(*) FROM entry");
}

static int do_add(struct ledger *l, int64_t n, struct text *body)
{
    int r;

    sqlite3_bind_int64(l->add, 1, n);
    /* no BEGIN: the statement is a transaction, its end the COMMIT */
    r = sqlite3_step(l->add);
    if (r == SQLITE_DONE)
        l->rows += sqlite3_changes(l->db);
    sqlite3_reset(l->add);
    if (r != SQLITE_DONE) {
        say(body, "failed: %s\n", sqlite3_errmsg(l->db));
        return 500;
    }
    say(body, "ok %" PRId64 " seq=%" PRId64 " rows=%" PRId64 "\n", n,
        ++l->seq, l->rows);
    return 200;
}

static int do_check(struct ledger *l, struct text *body)
{
    const char *verdict = "no answer";
    sqlite3_stmt *s;

    if (sqlite3_prepare_v2(l->db, "PRAGMA integrity_check(1)", -1, &s, NULL))
        verdict = sqlite3_errmsg(l->db);
    else if (sqlite3_step(s) == SQLITE_ROW)
        verdict = (const char *)sqlite3_column_text(s, 0);
    say(body, "integrity=%s count=%" PRId64 " max=%" PRId64 "\n", verdict,
        number_of(l, "SELECT count(*) FROM entry"),
        number_of(l, "SELECT max(n) FROM entry"));
    sqlite3_finalize(s);
    return 200;
}

static int do_missing(struct ledger *l, int64_t upto, struct text *body)
{
    int64_t want = 1, n, missing, listed = 0;
    int r;

    sqlite3_bind_int64(l->ids, 1, upto);
    missing = upto;
    while (sqlite3_step(l->ids) == SQLITE_ROW)
        missing--;
    say(body, "missing=%" PRId64 "\n", missing);
    sqlite3_reset(l->ids);
    do {
        r = sqlite3_step(l->ids);
        n = r == SQLITE_ROW ? sqlite3_column_int64(l->ids, 0) : upto + 1;
        for (; want < n && listed < LISTED_MAX; want++, listed++)
            say(body, "%" PRId64 "\n", want);
        want = n + 1;
    } while (r == SQLITE_ROW && listed < LISTED_MAX);
    sqlite3_reset(l->ids);
    return r == SQLITE_ROW || r == SQLITE_DONE ? 200 : 500;
}

static int do_page(struct ledger *l, struct text *body)
{
    say(body,
        "<!DOCTYPE html><title>ledger</title><h1>ledger</h1>"
        "<p>request %" PRId64 ", %" PRId64 " rows</p>\n",
        l->requests, l->rows);
    return 200;
}

/* After a checkpoint both copies have the same key in their kernels, and draw
 * the same numbers from it until it is mixed anew: seconds later.  No two read
 * the same clock. */
static int do_random(struct text *body)
{
    uint32_t n = 0;

    if (getrandom(&n, sizeof(n), 0) != sizeof(n))
        return 500;
    n ^= (uint32_t)__builtin_ia32_rdtsc();
    say(body, "random=%010" PRIu32 "\n", n);
    return 200;
}

/* ---- HTTP -------------------------------------------------------------- */

/* "/add/17" with prefix "/add/": 17.  Nothing but digits. */
static bool number_after(const char *path, const char *prefix, int64_t *ret)
{
    size_t n = strlen(prefix);
    const char *p = path + n;
    int64_t value = 0;

    if (strncmp(path, prefix, n) != 0 || *p == '\0')
        return false;
    for (; *p; p++) {
        if (*p < '0' || *p > '9' || value > INT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (*p - '0');
    }
    *ret = value;
    return true;
}

static void answer(struct ledger *l, struct conn *c, const char *path)
{
    struct text body = { l->body, sizeof(l->body), 0 };
    struct text out = { c->out, sizeof(c->out), 0 };
    int64_t n, bulk = 0;
    int status = 404;

    l->requests++;
    if (strcmp(path, "/") == 0)
        status = do_page(l, &body);
    else if (number_after(path, "/add/", &n))
        status = do_add(l, n, &body);
    else if (strcmp(path, "/check") == 0)
        status = do_check(l, &body);
    else if (number_after(path, "/missing/", &n))
        status = do_missing(l, n, &body);
    else if (strcmp(path, "/random") == 0)
        status = do_random(&body);
    else if (number_after(path, "/bulk/", &n) && n <= BULK_MAX)
        status = 200, bulk = n;
    say(&out,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %" PRId64
        "\r\nConnection: %s\r\n\r\n",
        status, status == 200 ? "OK" : "Error",
        strcmp(path, "/") == 0 ? "text/html" : "text/plain",
        bulk ? bulk : (int64_t)body.len, c->close ? "close" : "keep-alive");
    memcpy(c->out + out.len, l->body, body.len);
    c->out_len = out.len + body.len;
    c->out_at = 0;
    c->bulk = bulk;
}

/* Take one whole request out of the buffer, if there is one. */
static void take_request(struct ledger *l, struct conn *c)
{
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    char path[256];
    size_t used;

    if (!end) {
        c->close = c->close || c->in_len == sizeof(c->in);
        return;
    }
    *end = '\0';
    used = (size_t)(end - c->in) + 4;
    if (sscanf(c->in, "GET %255s HTTP/1.", path) != 1) {
        c->close = true;
        path[0] = '\0';
    } else if (strcasestr(c->in, "\r\nConnection: close")) {
        c->close = true;
    }
    answer(l, c, path);
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
}

/* ---- connections ------------------------------------------------------- */

static bool all_sent(const struct conn *c)
{
    return c->out_at == c->out_len && c->bulk == 0;
}

static int send_some(struct conn *c)
{
    static const char filler[32768] = { 0 };
    ssize_t r;

    while (!all_sent(c)) {
        if (c->out_at < c->out_len) {
            r = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
            if (r > 0)
                c->out_at += (size_t)r;
        } else {
            r = send(c->fd, filler,
                     c->bulk < (int64_t)sizeof(filler) ? (size_t)c->bulk
                                                       : sizeof(filler),
                     MSG_NOSIGNAL | MSG_DONTWAIT);
            if (r > 0)
                c->bulk -= r;
        }
        if (r < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    return 0;
}

/* -1: this connection is at its end. */
static int serve_conn(struct ledger *l, struct conn *c, short events)
{
    ssize_t r;

    if (events & (POLLIN | POLLHUP | POLLERR)) {
        if (c->in_len < sizeof(c->in)) {
            r = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len,
                     MSG_DONTWAIT);
            if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
                return -1;
            if (r > 0)
                c->in_len += (size_t)r;
        }
    }
    for (;;) {
        if (send_some(c))
            return -1;
        if (!all_sent(c))
            return 0;
        if (c->close)
            return -1;
        take_request(l, c);
        if (all_sent(c))
            return c->close ? -1 : 0;
    }
}

static void accept_conn(struct ledger *l)
{
    int i, one = 1, fd;

    fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (i = 0; i < CONNS_MAX && l->conns[i]; i++)
        ;
    if (i == CONNS_MAX || !(l->conns[i] = calloc(1, sizeof(struct conn)))) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    l->conns[i]->fd = fd;
}

static void loop(struct ledger *l)
{
    struct pollfd fds[CONNS_MAX + 1];
    struct conn *who[CONNS_MAX + 1];
    nfds_t n, i;
    int k;

    for (;;) {
        fds[0] = (struct pollfd){ l->listener, POLLIN, 0 };
        for (k = 0, n = 1; k < CONNS_MAX; k++) {
            if (!l->conns[k])
                continue;
            who[n] = l->conns[k];
            /* nothing is read while an answer waits to be sent */
            fds[n++] = (struct pollfd){
                l->conns[k]->fd, all_sent(l->conns[k]) ? POLLIN : POLLOUT, 0
            };
        }
        if (poll(fds, n, -1) < 0)
            continue;
        for (i = 1; i < n; i++) {
            if (!fds[i].revents || !serve_conn(l, who[i], fds[i].revents))
                continue;
            for (k = 0; l->conns[k] != who[i]; k++)
                ;
            l->conns[k] = NULL;
            close(who[i]->fd);
            free(who[i]);
        }
        if (fds[0].revents)
            accept_conn(l);
    }
}

static void listen_at(struct ledger *l, const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)) };
    int one = 1;

    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                         0);
    if (l->listener >= 0)
        setsockopt(l->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (l->listener < 0 ||
        bind(l->listener, (struct sockaddr *)&a, sizeof(a)) ||
        listen(l->listener, 64)) {
        perror("LEDGER-ERROR listen");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct ledger l = { .listener = -1 };

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: ledger DATABASE [PORT]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    open_db(&l, argv[1]);
    listen_at(&l, argc > 2 ? argv[2] : "80");
    printf("LEDGER-UP rows=%" PRId64 "\n", l.rows);
    fflush(stdout);
    loop(&l);
    return 0;
}
