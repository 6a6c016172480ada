/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-compare-pcap, the program, with captures made here.
 */
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compare-frames.h"

#define PRI_ISN 1000u
#define SEC_ISN 3000000000u
#define WORLD 5000u
#define FILES 2

static const uint8_t guest_mac[] = { 2, 0, 0, 0, 0, 0x77 };

struct shot {
    char dir[32], path[FILES][64], out[4096];
    pcap_t *pcap;
    pcap_dumper_t *dump[FILES];
    uint64_t ms[FILES];
    int peer; /* the last byte of the neighbour's MAC */
};

static void begin(struct shot *s)
{
    memset(s, 0, sizeof(*s));
    strcpy(s->dir, "/tmp/colo-pcap-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    s->pcap = pcap_open_dead(DLT_EN10MB, 65535);
    ck_assert_ptr_nonnull(s->pcap);
    for (int i = 0; i < FILES; i++) {
        snprintf(s->path[i], sizeof(s->path[i]), "%s/%c", s->dir, 'a' + i);
        s->dump[i] = pcap_dump_open(s->pcap, s->path[i]);
        ck_assert_ptr_nonnull(s->dump[i]);
        s->ms[i] = 1700000000000u;
    }
    s->peer = 1;
}

static void close_files(struct shot *s)
{
    for (int i = 0; i < FILES; i++) {
        if (s->dump[i])
            pcap_dump_close(s->dump[i]);
        s->dump[i] = NULL;
    }
}

static void finish(struct shot *s)
{
    close_files(s);
    pcap_close(s->pcap);
    for (int i = 0; i < FILES; i++)
        unlink(s->path[i]);
    rmdir(s->dir);
}

static void put(struct shot *s, int file, struct seg seg, size_t cut)
{
    struct pcap_pkthdr h = { .caplen = 0 };
    uint8_t f[FRAME_MAX], world_mac[6] = { 2, 0, 0, 0, 0, (uint8_t)s->peer };

    h.len = (bpf_u_int32)put_seg(f, &seg);
    memcpy(f, seg.in ? guest_mac : world_mac, 6);
    memcpy(f + 6, seg.in ? world_mac : guest_mac, 6);
    h.caplen = h.len - (bpf_u_int32)cut;
    h.ts.tv_sec = (time_t)(s->ms[file] / 1000);
    h.ts.tv_usec = (suseconds_t)(s->ms[file] % 1000 * 1000);
    s->ms[file]++;
    pcap_dump((u_char *)s->dump[file], &h, f);
}

static uint32_t isn(int file)
{
    return file ? SEC_ISN : PRI_ISN;
}

/* The world connects, and asks something. */
static void ask(struct shot *s)
{
    for (int i = 0; i < FILES; i++) {
        uint32_t ours = isn(i) + 1;

        put(s, i, (struct seg){ .in = true, .seq = WORLD - 1,
                                .flags = TCP_SYN }, 0);
        put(s, i, (struct seg){ .seq = isn(i), .ack = WORLD,
                                .flags = TCP_SYN | TCP_ACK }, 0);
        put(s, i, (struct seg){ .in = true, .seq = WORLD, .ack = ours,
                                .flags = TCP_ACK, .data = "?", .len = 1 }, 0);
        put(s, i, (struct seg){ .seq = ours, .ack = WORLD + 1,
                                .flags = TCP_ACK }, 0);
    }
}

static void say(struct shot *s, int file, uint32_t at, const char *text)
{
    put(s, file, (struct seg){ .seq = isn(file) + 1 + at, .ack = WORLD + 1,
                               .flags = TCP_ACK, .data = text,
                               .len = strlen(text) }, 0);
}

static int run(struct shot *s, const char *options)
{
    char command[512];
    FILE *p;
    size_t n;
    int status;

    close_files(s);
    snprintf(command, sizeof(command), "%s %s %s %s 2>&1", PROGRAM, options,
             s->path[0], s->path[1]);
    p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    n = fread(s->out, 1, sizeof(s->out) - 1, p);
    s->out[n] = 0;
    status = pclose(p);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SAYS(s, text) \
    ck_assert_msg(strstr((s)->out, text) != NULL, "no \"%s\" in: %s", text, \
                  (s)->out)
#define GUEST "--guest 02:00:00:00:00:77"

START_TEST(the_same_in_other_pieces)
{
    struct shot s;

    begin(&s);
    ask(&s);
    say(&s, 0, 0, "a long answer");
    say(&s, 1, 0, "a long ");
    say(&s, 1, 7, "answer");
    ck_assert_int_eq(run(&s, GUEST), 0);
    SAYS(&s, "no divergence");
    SAYS(&s, "output frames 3 and 4, input frames 2, released 3, equal bytes "
         "of TCP 13");
    finish(&s);
}
END_TEST

START_TEST(where_bytes_differ)
{
    struct shot s;

    begin(&s);
    ask(&s);
    say(&s, 0, 0, "same, ");
    say(&s, 1, 0, "same, ");
    say(&s, 0, 6, "mine");
    say(&s, 1, 6, "hers");
    ck_assert_int_eq(run(&s, GUEST), 1);
    SAYS(&s, "TCP: different bytes");
    SAYS(&s, "seen at frame 6 of ");
    SAYS(&s, "TCP guest 10.0.0.1:80 world 10.0.0.9:4000");
    SAYS(&s, "equal up to sequence number 1007, 6 bytes");
    SAYS(&s, "released 3"); /* SYN-ACK, acknowledgement, "same, " */
    SAYS(&s, "1 divergence\n");
    /* which connection does not matter where a policy says so */
    ck_assert_int_eq(run(&s, GUEST " --policy tcp=pass"), 0);
    finish(&s);
}
END_TEST

START_TEST(what_the_other_one_never_says)
{
    struct shot s;

    begin(&s);
    ask(&s);
    say(&s, 0, 0, "only here");
    ck_assert_int_eq(run(&s, GUEST), 1);
    SAYS(&s, "the secondary has not said it");
    SAYS(&s, "waited for in vain");
    SAYS(&s, "diverged after 3.004"); /* --hold is 3000 */
    ck_assert_int_eq(run(&s, GUEST " --hold 500"), 1);
    SAYS(&s, "diverged after 0.504");
    finish(&s);
}
END_TEST

START_TEST(all_of_them)
{
    struct shot s;

    begin(&s);
    ask(&s);
    for (int i = 0; i < 2; i++) {
        /* connections of their own, in the middle */
        struct seg a = { .guest_port = 81, .seq = 1, .ack = 1,
                         .flags = TCP_ACK, .data = i ? "a" : "b", .len = 1 };
        struct seg b = { .guest_port = 82, .seq = 1, .ack = 1,
                         .flags = TCP_ACK, .data = i ? "c" : "d", .len = 1 };

        put(&s, i, a, 0);
        put(&s, i, b, 0);
    }
    ck_assert_int_eq(run(&s, GUEST " --go-on"), 1);
    SAYS(&s, "2 divergences");
    finish(&s);
}
END_TEST

START_TEST(clocks_that_differ)
{
    struct shot s;

    begin(&s);
    s.ms[1] += 60000;
    ask(&s);
    ck_assert_int_eq(run(&s, GUEST), 1);
    ck_assert_int_eq(run(&s, GUEST " --align"), 0);
    finish(&s);
}
END_TEST

START_TEST(whose_capture_it_is)
{
    struct shot s;

    begin(&s);
    ask(&s);
    ck_assert_int_eq(run(&s, ""), 3);
    SAYS(&s, "only two cards speak");
    finish(&s);
    begin(&s);
    ask(&s);
    s.peer = 2; /* with two neighbours it is clear */
    say(&s, 0, 0, "x");
    say(&s, 1, 0, "x");
    ck_assert_int_eq(run(&s, ""), 0);
    SAYS(&s, "output frames 3 and 3");
    finish(&s);
}
END_TEST

START_TEST(captures_that_lack_something)
{
    struct shot s;
    FILE *f;

    begin(&s);
    ask(&s);
    put(&s, 0, (struct seg){ .seq = PRI_ISN + 1, .ack = WORLD + 1,
                             .flags = TCP_ACK, .data = "cut", .len = 3 }, 2);
    ck_assert_int_eq(run(&s, GUEST), 0);
    SAYS(&s, "1 frames were left out");
    /* a file that ends in a frame */
    ck_assert_int_eq(truncate(s.path[1], 100), 0);
    ck_assert_int_eq(run(&s, GUEST), 3);
    SAYS(&s, "truncated");
    f = fopen(s.path[0], "w");
    ck_assert_ptr_nonnull(f);
    fputs("this is no capture, but long enough to be one", f);
    fclose(f);
    ck_assert_int_eq(run(&s, GUEST), 3);
    ck_assert_int_eq(run(&s, "--guest here"), 2);
    ck_assert_int_eq(run(&s, "--policy dns=never"), 2);
    ck_assert_int_eq(run(&s, "--hold 0"), 2);
    ck_assert_int_eq(run(&s, "third"), 2);
    finish(&s);
}
END_TEST

PURE_MAIN("compare-pcap", the_same_in_other_pieces, where_bytes_differ,
          what_the_other_one_never_says, all_of_them, clocks_that_differ,
          whose_capture_it_is, captures_that_lack_something)
