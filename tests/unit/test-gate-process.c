/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The whole way to a backup with stock Xen: a session that finds out by itself
 * what its peer is, colo-stock between, and in place of ssh this program, as
 * "TEST fake-ssh FOLDER HOST COMMAND", whose xl does what stock Xen does.
 * FOLDER is where it leaves what became of it.
 */
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "gate-common.h"

#define GATE_DIR "../../remus-compat"

static char folder[64];

/* ---- the other host ---------------------------------------------------- */

static void note(const char *dir, const char *name, const char *text)
{
    char path[200], done[200];
    FILE *f;

    snprintf(path, sizeof(path), "%s/.%s", dir, name);
    snprintf(done, sizeof(done), "%s/%s", dir, name);
    f = fopen(path, "we");
    if (!f || fputs(text, f) < 0 || fclose(f) || rename(path, done))
        _exit(99);
}

static bool is_noted(const char *dir, const char *name)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static int fake_xl(const char *dir)
{
    static struct xl xl = { .fd = STDIN_FILENO };
    struct sim_config config;
    char text[64], why[200];
    int end;

    sim_config_init(&config);
    xl_make(&xl, &config);
    snprintf(text, sizeof(text), "%d", (int)getppid());
    note(dir, "gate", text);
    end = xl_receive(&xl);
    /* its domain may have been destroyed under its hands */
    if (end == XL_STARTED && is_noted(dir, "destroyed"))
        end = XL_GAVE_UP;
    if (end == XL_STARTED) {
        config.vcpu = SIM_VCPU_NONE;
        if (!sim_guest_verify(xl.replica, &config, why, sizeof(why)))
            end = XL_CONFUSED;
    }
    snprintf(text, sizeof(text), "%d %d", end,
             (int)atomic_load(&xl.checkpoints));
    note(dir, "xl", text);
    fprintf(stderr, "xl: ends with %d\n", end);
    return end == XL_STARTED ? 0 : 1;
}

static int fake_ssh(const char *dir, const char *command)
{
    if (!strncmp(command, "xl migrate-receive -r", 21))
        return fake_xl(dir);
    if (!strcmp(command, "xl destroy 'sim--incoming'")) {
        note(dir, is_noted(dir, "xl") ? "too-late" : "destroyed", "");
        return 0;
    }
    fprintf(stderr, "sh: 1: %s: not found\n", command);
    return 127;
}

/* ---- this host --------------------------------------------------------- */

/* end of xl, once it has ended */
static int xl_end(int *ret_checkpoints)
{
    char path[200];
    int end = -1, n = 0;
    FILE *f = NULL;

    snprintf(path, sizeof(path), "%s/xl", folder);
    for (int i = 0; i < 1000 && !(f = fopen(path, "re")); i++)
        poll(NULL, 0, 10);
    ck_assert_msg(f, "xl has not ended");
    ck_assert_int_eq(fscanf(f, "%d %d", &end, &n), 2);
    fclose(f);
    if (ret_checkpoints)
        *ret_checkpoints = n;
    return end;
}

static pid_t gate_pid(void)
{
    char path[200];
    int pid = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/gate", folder);
    f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return pid;
}

static char self[300], ssh[500];

static void init(struct session_pair *t, int peer_kind)
{
    static char name[] = "/tmp/colo-gate.XXXXXX";
    struct colo_config *c = &t->p.config;

    snprintf(name, sizeof(name), "/tmp/colo-gate.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(name));
    snprintf(folder, sizeof(folder), "%s", name);
    snprintf(ssh, sizeof(ssh), "%s fake-ssh %s", self, folder);
    pair_init(t);
    c->transport = COLO_TRANSPORT_TLS;
    c->peer = "there";
    c->ssh_command = ssh;
    c->libexecdir = GATE_DIR;
    c->connect_ms = 20000;
    c->dead_ms = 4000;
    c->commit_ms = 5000;
    c->peer_kind = peer_kind;
}

static void open_session(struct session_pair *t)
{
    struct colo_parts parts = { .watchdog_fd = -1 };
    int rc;

    ck_assert_int_eq(sim_guest_new(&t->sim, &t->guest, &t->p.err), 0);
    t->p.hv = parts.hv = stock_hv_primary(t->guest);
    rc = colo__session_new(&t->p.config, &parts, &t->p.session, &t->p.err);
    ck_assert_msg(!rc, "%s", t->p.err.text);
    ck_assert_int_eq(colo_set_replication(t->p.session, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(sim_guest_run(t->guest, NULL), 0);
}

static void goes_on(struct session_pair *t, uint64_t checkpoints)
{
    pair_until(t, 20000, t->p.checkpoints >= checkpoints || t->p.rc <= 0);
    ck_assert_msg(t->p.rc == 1, "%s", t->p.err.text);
}

static void finish(struct session_pair *t)
{
    static const char *const names[] = {
        "gate", "xl", "destroyed", "too-late",
    };
    char path[200];

    pair_close(t);
    stock_hv_join();
    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(found_out)
{
    static const int kinds[] = { COLO_PEER_AUTO, COLO_PEER_STOCK };

    for (int i = 0; i < 2; i++) {
        struct session_pair t;
        int n = 0;

        init(&t, kinds[i]);
        open_session(&t);
        goes_on(&t, 10);
        ck_assert_int_eq(!!strstr(t.p.warning, "there has no libcolo"),
                         kinds[i] == COLO_PEER_AUTO);
        t.p.warning[0] = '\0';
        ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
        pair_until(&t, 12000, t.p.rc <= 0);
        ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
        /* xl's end was waited for */
        ck_assert_str_eq(t.p.warning, "");
        ck_assert(is_noted(folder, "xl"));
        ck_assert_int_eq(xl_end(&n), XL_GAVE_UP);
        ck_assert_int_gt(n, 10);
        ck_assert(!is_noted(folder, "destroyed"));
        finish(&t);
    }
}
END_TEST

START_TEST(libcolo_or_nothing)
{
    struct session_pair t;

    init(&t, COLO_PEER_LIBCOLO);
    open_session(&t);
    pair_until(&t, 20000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER);
    ck_assert_ptr_nonnull(strstr(t.p.err.text, "is libcolo installed there"));
    ck_assert(!is_noted(folder, "gate"));
    finish(&t);
}
END_TEST

START_TEST(remus_only)
{
    struct session_pair t;

    init(&t, COLO_PEER_STOCK);
    t.p.config.mode = COLO_MODE_COLO;
    open_session(&t);
    pair_until(&t, 20000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_UNSUPPORTED);
    ck_assert(!is_noted(folder, "gate"));
    finish(&t);
}
END_TEST

static int listen_at(char *text, size_t cap)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    snprintf(text, cap, "127.0.0.1:%d", ntohs(sin.sin_port));
    return fd;
}

static void *serve(void *arg)
{
    struct xl *xl = arg;
    int listener = xl->fd;

    xl->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    xl_main(xl);
    close(xl->fd);
    return NULL;
}

/* no ssh between: the kernel of the other host is what is asked */
START_TEST(tcp)
{
    for (int dies = 0; dies < 2; dies++) {
        struct colo_status st = { .size = sizeof(st) };
        static struct xl xl;
        struct session_pair t;
        char address[64];
        int listener;

        memset(&xl, 0, sizeof(xl));
        init(&t, COLO_PEER_STOCK);
        listener = xl.fd = listen_at(address, sizeof(address));
        xl_make(&xl, &t.sim);
        ck_assert_int_eq(pthread_create(&xl.thread, NULL, serve, &xl), 0);
        t.p.config.address = address;
        xl.stop_after = dies ? 8 : 0;
        xl.stop_how = XL_DIE;
        open_session(&t);
        goes_on(&t, 5);
        ck_assert_int_eq(colo_query_status(t.p.session, &st, NULL), 0);
        ck_assert_int_eq(st.commit, COLO_COMMIT_UNACKNOWLEDGED);
        if (!dies)
            ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
        pair_until(&t, 12000, t.p.rc <= 0);
        pthread_join(xl.thread, NULL);
        close(listener);
        ck_assert_int_eq(atomic_load(&xl.end), XL_GAVE_UP);
        ck_assert_msg(dies ? t.p.rc < 0 : t.p.rc == 0, "%s", t.p.err.text);
        ck_assert_str_eq(t.p.warning, "");
        /* who ended it cannot be known: ssh is asked */
        for (int i = 0; dies && i < 500 && !is_noted(folder, "destroyed"); i++)
            poll(NULL, 0, 10);
        ck_assert_int_eq(is_noted(folder, "destroyed"), dies);
        xl_free(&xl);
        finish(&t);
    }
}
END_TEST

/* xl remus -b: checkpoints as ever, and nobody has them */
START_TEST(nowhere)
{
    struct session_pair t;

    init(&t, COLO_PEER_STOCK);
    t.p.config.ssh_command = GATE_DIR "/colo-stock nowhere";
    open_session(&t);
    goes_on(&t, 10);
    ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
    pair_until(&t, 12000, t.p.rc <= 0);
    ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
    ck_assert_str_eq(t.p.warning, "");
    finish(&t);
}
END_TEST

/* killed with all that it had: the gate lives, and so does this host */
START_TEST(session_killed)
{
    struct session_pair t;
    int status, n = 0, up[2];
    char byte;
    pid_t pid;

    init(&t, COLO_PEER_STOCK);
    ck_assert_int_eq(pipe2(up, O_CLOEXEC), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        open_session(&t);
        pair_protected(&t, 5);
        (void)!write(up[1], "", 1);
        for (;;)
            pair_turn(&t);
    }
    ck_assert_int_eq(read(up[0], &byte, 1), 1);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(xl_end(&n), XL_GAVE_UP);
    ck_assert_int_gt(n, 5);
    ck_assert(!is_noted(folder, "destroyed"));
    finish(&t);
}
END_TEST

/* its guard holds the connection until the replica is destroyed */
START_TEST(gate_killed)
{
    struct session_pair t;

    init(&t, COLO_PEER_STOCK);
    open_session(&t);
    goes_on(&t, 10);
    ck_assert_int_eq(kill(gate_pid(), SIGKILL), 0);
    pair_until(&t, 10000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER);
    ck_assert_ptr_nonnull(strstr(t.p.warning, "--incoming"));
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    ck_assert_int_eq(xl_end(NULL), XL_GAVE_UP);
    ck_assert(is_noted(folder, "destroyed"));
    finish(&t);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        found_out, libcolo_or_nothing, remus_only, tcp, session_killed,
        gate_killed, nowhere,
    };
    ssize_t n;

    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && !strcmp(argv[1], "fake-ssh"))
        return fake_ssh(argv[2], argv[4]);
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0 || access(GATE_DIR "/colo-stock", X_OK)) {
        printf("skipped: no " GATE_DIR "/colo-stock here\n");
        return 77;
    }
    return pure_run("gate-process", tests, COLO_ARRAY_LEN(tests));
}
