/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The protected disk of a long run: two real nbdkits with the real plugin, a
 * guest that writes, and the session's part of the talk, an epoch each 20 ms.
 * Borrows the hands of the disk's model (../disk).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../disk/model.h"
#include "soak.h"

#define DISK_BYTES (UINT64_C(64) << 20)
#define EPOCH_MS 20
#define BLOCK 4096u
#define PIECE (256u << 10)      /* no request is larger */
#define WARM_REQUESTS 64u
#define BURST_BYTES (12u << 20) /* more than the secondary keeps in memory */
#define BURST_EPOCH 10
#define MEMORY_LIMIT (8u << 20)

static struct soak_shared *shared; /* lost() has no other way to it */

/* ---- what the model's files call --------------------------------------- */

uint64_t rnd(struct model *m, uint64_t n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random * 0x2545f4914f6cdd1dULL >> 11) % n;
}

void lost(struct model *m, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    soak_lost(shared, "disk: %s", text);
    for (int i = 0; i < 2; i++) {
        if (m->side[i].pid) {
            kill(m->side[i].pid, SIGKILL);
            waitpid(m->side[i].pid, NULL, 0);
        }
    }
    _exit(1);
}

void note(struct model *m, const char *fmt, ...)
{
    (void)m;
    (void)fmt;
}

/* ---- the guest --------------------------------------------------------- */

static void one_request(struct model *m)
{
    struct nbd_handle *h = m->side[m->primary].nbd;
    uint64_t offset = rnd(m, m->size / BLOCK) * BLOCK, what = rnd(m, 32);
    uint8_t data[BLOCK];
    int r;

    if (what == 0) {
        r = nbd_flush(h, 0);
    } else if (what == 1) { /* reads as zeros on these file systems */
        r = nbd_trim(h, BLOCK, offset, 0);
        memset(m->now.bytes + offset, 0, BLOCK);
    } else if (what < 8) {
        r = nbd_pread(h, data, BLOCK, offset, 0);
        if (r == 0 && memcmp(data, m->now.bytes + offset, BLOCK))
            lost(m, "the guest reads what it did not write, at %llu",
                 (unsigned long long)offset);
    } else {
        for (unsigned i = 0; i < BLOCK; i += 8) {
            uint64_t x = rnd(m, UINT64_MAX);

            memcpy(data + i, &x, 8);
        }
        r = nbd_pwrite(h, data, BLOCK, offset, 0);
        memcpy(m->now.bytes + offset, data, BLOCK);
    }
    if (r < 0)
        lost(m, "a request of the guest failed: %s", nbd_get_error());
}

static void some_requests(struct model *m)
{
    unsigned n = 1 + (unsigned)rnd(m, 6);

    for (unsigned i = 0; i < n; i++)
        one_request(m);
    if (!rnd(m, 50)) { /* odd sizes and places, requests that overlap */
        guest_ops(m, 1);
        n++;
    }
    atomic_fetch_add(&shared->disk_requests, n);
}

/* More than memory has room for on the other side: it must spill. */
static void burst(struct model *m)
{
    uint64_t offset = rnd(m, (m->size - BURST_BYTES) / BLOCK) * BLOCK;

    for (uint64_t end = offset + BURST_BYTES; offset < end; offset += 65536) {
        memset(m->now.bytes + offset, (int)rnd(m, 256), 65536);
        if (nbd_pwrite(m->side[m->primary].nbd, m->now.bytes + offset, 65536,
                       offset, 0) < 0)
            lost(m, "a request of the guest failed: %s", nbd_get_error());
    }
}

static int count_done(void *left, int *error)
{
    (void)error;
    --*(unsigned *)left;
    return 1;
}

/* Each thread of nbdkit keeps a buffer as large as the largest request that
 * it has had.  All have them now, so that it does not look like a leak. */
static void warm_up(struct model *m, uint8_t *piece)
{
    struct nbd_handle *h = m->side[m->primary].nbd;
    nbd_completion_callback done = { .callback = count_done };
    unsigned left = WARM_REQUESTS;

    done.user_data = &left;
    for (unsigned i = 0; i < WARM_REQUESTS; i++)
        if (nbd_aio_pread(h, piece, PIECE, (uint64_t)i * PIECE, done, 0) < 0)
            lost(m, "cannot read: %s", nbd_get_error());
    while (left)
        if (nbd_poll(h, 10000) <= 0)
            lost(m, "reads do not end: %s", nbd_get_error());
}

/* ---- the session ------------------------------------------------------- */

static void protect(struct model *m, uint8_t *piece)
{
    int p = m->primary, s = !p;
    uint64_t qp, qs;
    char why[256];

    for (int i = 0; i < 2; i++)
        if (m->side[i].control < 0)
            side_connect(m, i);
    side_nbd(m, p);
    warm_up(m, piece);
    qp = side_send(m, p, "start", 1);
    qs = side_send(m, s, "start", 1);
    for (int i = 0; i < 20; i++) /* amid the first copy */
        some_requests(m);
    if (side_answer(m, p, qp, 60000, why) != 1)
        lost(m, "start of the primary: %s", why);
    if (side_answer(m, s, qs, 60000, why) != 1)
        lost(m, "start of the secondary: %s", why);
    m->epoch = 0;
    atomic_fetch_add(&shared->disk_protections, 1);
}

/* racing: writes that are under way meanwhile, before it or after */
static void checkpoint(struct model *m, unsigned racing)
{
    struct flight f[MAX_FLIGHT];
    unsigned n = guest_launch(m, m->primary, f, racing);
    int p = m->primary, s = !p;
    uint64_t qp, qs;
    char why[256];

    m->epoch++;
    qp = side_send(m, p, "checkpoint", m->epoch);
    qs = side_send(m, s, "checkpoint", m->epoch);
    if (side_answer(m, p, qp, 20000, why) != 1)
        lost(m, "checkpoint of the primary: %s", why);
    guest_land(m, m->primary, &m->now, f, n, false);
    if (side_answer(m, s, qs, 20000, why) != 1)
        lost(m, "checkpoint of the secondary: %s", why);
    side_must(m, s, "commit", m->epoch);
    side_must(m, p, "commit", m->epoch);
    atomic_fetch_add(&shared->disk_epochs, 1);
}

static void verify(struct model *m)
{
    struct side *p = &m->side[m->primary];

    p->compared = p->differing = 0;
    side_must(m, m->primary, "verify", 0);
    if (p->differing || p->compared != m->size / 65536)
        lost(m, "verify: %llu chunks, %llu differ",
             (unsigned long long)p->compared,
             (unsigned long long)p->differing);
}

/* Until it is time for another round; false: for none. */
static bool epochs(struct model *m)
{
    uint64_t next = soak_now_ms(), end = next + shared->round_ms * 6 / 5;

    while (!atomic_load(&shared->quit)) {
        uint64_t now = soak_now_ms();

        if (now >= end)
            return true;
        if (now < next) {
            soak_nap((uint32_t)(next - now));
            continue;
        }
        next = now + EPOCH_MS - (now - next) % EPOCH_MS;
        some_requests(m);
        if (m->epoch == BURST_EPOCH)
            burst(m);
        checkpoint(m, (unsigned)rnd(m, 4));
    }
    return false;
}

/* ---- the whole --------------------------------------------------------- */

static void make_disk(struct model *m, int i)
{
    char path[128];
    int fd;

    side_path(m, i, "img", path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)m->size) < 0)
        lost(m, "cannot make %s", path);
    for (uint64_t o = 0; i == 0 && o < m->size; o += PIECE)
        if (pwrite(fd, m->now.bytes + o, PIECE, (off_t)o) != PIECE)
            lost(m, "cannot write %s", path);
    close(fd);
}

static void read_back(struct model *m, uint8_t *piece)
{
    side_nbd(m, m->primary);
    for (uint64_t o = 0; o < m->size; o += PIECE) {
        if (nbd_pread(m->side[m->primary].nbd, piece, PIECE, o, 0) < 0)
            lost(m, "cannot read: %s", nbd_get_error());
        if (memcmp(piece, m->now.bytes + o, PIECE))
            lost(m, "the guest's disk is not what it wrote, from "
                 "%llu on", (unsigned long long)o);
    }
}

static void compare_file(struct model *m, int i, uint8_t *piece)
{
    char path[128];
    int fd;

    side_path(m, i, "img", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    for (uint64_t o = 0; o < m->size; o += PIECE) {
        if (pread(fd, piece, PIECE, (off_t)o) != PIECE)
            lost(m, "cannot read %s", path);
        if (memcmp(piece, m->now.bytes + o, PIECE))
            lost(m, "copy %c is not what the guest wrote, from "
                 "%llu on", 'a' + i, (unsigned long long)o);
    }
    close(fd);
}

static void start_servers(struct model *m)
{
    for (int i = 1; i >= 0; i--) {
        side_start(m, i, i == 1);
        atomic_store(&shared->pid[SOAK_DISK_PRIMARY + i], m->side[i].pid);
    }
}

/* Asked to, or because its session went away: both leave the disk alone. */
static void end_round(struct model *m, bool asked)
{
    int p = m->primary;

    if (!asked) {
        side_leave(m, p);
        side_leave(m, !p);
        side_nbd(m, p);
        return;
    }
    side_must(m, p, "stop", 0);
    side_must(m, !p, "stop", 0);
}

void soak_writer(struct soak_shared *sh, const char *dir)
{
    static struct model m;
    uint8_t *piece = malloc(PIECE);
    bool more = true;

    shared = sh;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "soak-writer");
    snprintf(m.dir, sizeof(m.dir), "%.63s", dir);
    m.random = 88172645463325252;
    m.size = DISK_BYTES;
    m.memory_limit = MEMORY_LIMIT;
    m.spill = true;
    m.side[0].control = m.side[1].control = -1;
    m.side[1].index = 1;
    image_init(&m, &m.now);
    for (uint64_t o = 0; o < m.size; o += BLOCK)
        memset(m.now.bytes + o, (int)(o / BLOCK * 31), BLOCK);
    make_disk(&m, 0);
    make_disk(&m, 1);
    start_servers(&m);
    for (unsigned round = 1; more; round++) {
        protect(&m, piece);
        more = epochs(&m);
        if (!more)
            checkpoint(&m, 0); /* it has all that was written */
        verify(&m);
        end_round(&m, !more || round % 2);
        read_back(&m, piece);
        for (int i = 0; more && i < 50; i++) /* unprotected: tracked */
            some_requests(&m);
    }
    side_leave(&m, 0);
    side_leave(&m, 1);
    for (int i = 0; i < 2; i++) {
        atomic_store(&shared->pid[SOAK_DISK_PRIMARY + i], 0);
        side_kill(&m, i, SIGTERM);
        compare_file(&m, i, piece);
    }
    free(piece);
    image_free(&m.now);
    _exit(0);
}
