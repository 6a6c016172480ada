/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Writes the seed corpus of every target: make-corpus DIR.  The files are
 * what a session really sends, made with the library itself, so run it again
 * when the wire changes, and commit what it wrote.
 */
#include <sys/stat.h>

#include "fuzz.h"

#include "bytes.h"
#include "link/bootstrap-line.h"
#include "pure/delta.h"
#include "pure/seed-header.h"
#include "pure/seed-pack.h"
#include "pure/wire.h"

#include "../../disk-proxy/meta-format.h"
#include "../../disk-proxy/wire.h"
#include "../../net-proxy/colo-net/twin-wire.h"
#include "../../net-proxy/frames.h"
#include "../../xenstore/schema.h"

#include "corpus-streams.h"

struct out {
    const char *dir;
    uint8_t bytes[64 * 1024];
    size_t len;
};

static void put(struct out *out, const void *bytes, size_t len)
{
    MUST(out->len + len <= sizeof(out->bytes));
    if (len)
        memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
}

static void put_number(struct out *out, uint64_t v, size_t len)
{
    uint8_t be[8];

    colo__put64(be, v);
    put(out, be + 8 - len, len);
}

/* what was put goes to DIR/target/name */
static void save(struct out *out, const char *target, const char *name)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", out->dir, target);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%s/%s", out->dir, target, name);
    f = fopen(path, "wbe");
    if (!f) {
        perror(path);
        exit(1);
    }
    MUST(fwrite(out->bytes, 1, out->len, f) == out->len);
    MUST(fclose(f) == 0);
    out->len = 0;
}

static void put_msg(struct out *out, uint32_t type, uint64_t epoch,
                    uint64_t value, const void *body, uint32_t len)
{
    struct colo_msg msg = { .type = type, .epoch = epoch, .value = value,
                            .body = body, .len = len };
    uint8_t header[COLO_WIRE_HEADER];

    MUST(colo__wire_build(&msg, header, NULL) == 0);
    put(out, header, sizeof(header));
    put(out, body, len);
}

static int make_hello(uint8_t *body, const char *name)
{
    struct colo_hello hello = {
        .major = COLO_WIRE_MAJOR, .minor = COLO_WIRE_MINOR,
        .role = COLO_ROLE_PRIMARY, .mode = COLO_MODE_REMUS,
        .xen_version = 4 << 16 | 17,
        .features = COLO_FEATURE_DELTA | COLO_FEATURE_LZ4 |
                    COLO_FEATURE_AUDIT,
        .nr_gfns = 65536, .heartbeat_ms = 100, .dead_ms = 1000,
        .session = "0123456789abcde", .uuid = "fedcba987654321",
    };
    int len;

    snprintf(hello.name, sizeof(hello.name), "%s", name);
    len = colo__hello_build(&hello, body, COLO_WIRE_HELLO_MAX, NULL);
    MUST(len > 0);
    return len;
}

static void save_hello(struct out *out)
{
    static const char *const names[] = {
        "", "guest",
        ("a-name-of-sixty-three-bytes-which-is-as-long-as-it-can-"
         "ever-beXX"),
    };
    uint8_t body[COLO_WIRE_HELLO_MAX];

    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        char file[32];

        put(out, body, (size_t)make_hello(body, names[i]));
        snprintf(file, sizeof(file), "name-%zu", i);
        save(out, "hello", file);
    }
    put(out, body, (size_t)make_hello(body, "guest"));
    out->bytes[1]++;
    save(out, "hello", "another-major");
}

/* One page of each coding, with a body that pages_check takes. */
static uint32_t make_pages(uint8_t *body)
{
    static struct colo_delta_scratch scratch;
    uint8_t page[COLO_PAGE_SIZE], base[COLO_PAGE_SIZE] = { 1, 2, 3 };
    struct colo_wire_page p = { .gfn = 5, .coding = COLO_CODING_RAW,
                                .len = COLO_PAGE_SIZE };
    uint8_t *entries = body, *end = body + 4 * COLO_WIRE_PAGE_ENTRY;

    memset(end, 0x55, COLO_PAGE_SIZE);
    colo__page_entry_build(entries, &p);
    end += p.len;

    p = (struct colo_wire_page){ .gfn = 6, .coding = COLO_CODING_ZERO };
    colo__page_entry_build(entries + COLO_WIRE_PAGE_ENTRY, &p);

    for (size_t i = 0; i < COLO_PAGE_SIZE; i++)
        page[i] = (uint8_t)(i / 100);
    p.gfn = 100;
    p.coding = colo__page_encode(&scratch, page, NULL, true, end, &p.len);
    MUST(p.coding == COLO_CODING_LZ4);
    p.hash = colo__page_hash(page);
    colo__page_entry_build(entries + 2 * COLO_WIRE_PAGE_ENTRY, &p);
    end += p.len;

    memcpy(page, base, COLO_PAGE_SIZE);
    page[77] = 1;
    p.gfn = 65535;
    p.coding = colo__page_encode(&scratch, page, base, true, end, &p.len);
    MUST(p.coding == COLO_CODING_XOR);
    p.hash = colo__page_hash(page);
    colo__page_entry_build(entries + 3 * COLO_WIRE_PAGE_ENTRY, &p);
    end += p.len;
    return (uint32_t)(end - body);
}

static uint32_t make_zero_pages(uint8_t *body, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct colo_wire_page p = { .gfn = i * 3,
                                    .coding = COLO_CODING_ZERO };

        colo__page_entry_build(body + i * COLO_WIRE_PAGE_ENTRY, &p);
    }
    return count * COLO_WIRE_PAGE_ENTRY;
}

static void save_pages(struct out *out)
{
    uint8_t body[16 * 1024];
    uint32_t len = make_pages(body);

    put_number(out, 65536, 8);
    put_number(out, 4, 2);
    put(out, body, len);
    save(out, "pages", "all-codings");

    len = make_zero_pages(body, COLO_WIRE_MAX_PAGES);
    put_number(out, 65536, 8);
    put_number(out, COLO_WIRE_MAX_PAGES, 2);
    put(out, body, len);
    save(out, "pages", "zero-128");
}

/* count entries of step bytes that begin with a frame number */
static void make_gfns(uint8_t *body, uint32_t count, size_t step)
{
    for (uint32_t i = 0; i < count; i++) {
        colo__put64(body + i * step, i * 7);
        if (step == 16)
            colo__put64(body + i * step + 8, i * UINT64_C(0x123456789ab));
    }
}

static void save_gfns_audit(struct out *out)
{
    static const char *const names[] = { "gone", "loaded", "audit", "dirty" };

    for (uint64_t which = 0; which < 4; which++) {
        size_t step = which == 3 ? COLO_WIRE_DIRTY_ENTRY : which == 2 ? 16 : 8;
        uint8_t body[20 * COLO_WIRE_DIRTY_ENTRY];

        make_gfns(body, 20, step);
        put_number(out, which, 1);
        put_number(out, 65536, 8);
        put_number(out, 20, 8);
        put(out, body, 20 * step);
        save(out, "gfns-audit", names[which]);
    }
    put_number(out, 1, 1);
    put_number(out, 65536, 8);
    put_number(out, 0, 8);
    save(out, "gfns-audit", "loaded-none");
}

static void save_disks(struct out *out)
{
    static const struct colo_disk_name disks[2] = {
        { "xvda", "/dev/vg/web" }, { "xvdb", "/srv/data.raw" },
    };
    uint8_t body[200];
    int n = colo__disks_build(disks, 2, body, sizeof(body), NULL);

    MUST(n > 0);
    put_number(out, 2, 1);
    put(out, body, (size_t)n);
    save(out, "disks", "two");
    put_number(out, 0, 1);
    save(out, "disks", "none");
}

static void save_dm_name(struct out *out)
{
    static const char *const names[] = { "device", "odd", "hash", "target" };
    static const char *const texts[] = {
        "/dev/mapper/colo-dev-vg-web", "/dev/mapper/colo-srv-a=20b=2D.img",
        "/dev/mapper/colo-srv-a==0123456789abcdef", "/srv/a b-\xc3\xa4",
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        put(out, texts[i], strlen(texts[i]));
        save(out, "dm-name", names[i]);
    }
}

static void save_delta(struct out *out)
{
    uint8_t body[16 * 1024];
    uint32_t len = make_pages(body);
    struct colo_msg msg = { .value = 4, .len = len, .body = body };
    static const char *const names[] = { "raw", "zero", "lz4", "xor" };
    size_t offset = 0;

    for (uint32_t i = 0; i < 4; i++) {
        struct colo_wire_page p;

        colo__pages_entry(&msg, i, &offset, &p);
        put_number(out, p.coding | 8 | 32, 1);
        put(out, p.payload, p.len);
        save(out, "delta", names[i]);
    }
    put_number(out, 2 | 8 | 16 | 32, 1);
    put(out, "the text of a page that is written over and over again", 54);
    save(out, "delta", "text");
}

static void save_control(struct out *out)
{
    uint8_t body[512];
    int len = make_hello(body, "guest");

    put_number(out, 2, 1);
    put_msg(out, COLO_MSG_HELLO, 0, 0, body, (uint32_t)len);
    put_msg(out, COLO_MSG_SEEDED, 0, 0, NULL, 0);
    put_msg(out, COLO_MSG_CHECKPOINT_READY, 0, 0, NULL, 0);
    put_msg(out, COLO_MSG_CHECKPOINT_REQUEST, 1, 0, NULL, 0);
    put_msg(out, COLO_MSG_CHECKPOINT_REPLY, 1, 0, NULL, 0);
    put_msg(out, COLO_MSG_VMSTATE_SEND, 1, 0, NULL, 0);
    put_msg(out, COLO_MSG_VMSTATE_SIZE, 1, 3, NULL, 0);
    put_msg(out, COLO_MSG_VMSTATE_RECEIVED, 1, 0, NULL, 0);
    make_gfns(body, 4, 8);
    put_msg(out, COLO_MSG_VMSTATE_LOADED, 1, 4, body, 32);
    save(out, "wire", "control");

    put_number(out, 0, 1);
    put_msg(out, COLO_MSG_HEARTBEAT, 1, 123456789, NULL, 0);
    put_msg(out, COLO_MSG_ERROR, 1, (uint64_t)COLO_E_PROTO, "no", 2);
    put_msg(out, COLO_MSG_GUEST_END, 1, 1, NULL, 0);
    put_msg(out, COLO_MSG_STOP, 1, 0, NULL, 0);
    save(out, "wire", "control-end");
}

static void save_bulk(struct out *out)
{
    uint8_t body[16 * 1024];
    uint32_t len;

    put_number(out, 3, 1);
    put_msg(out, COLO_MSG_ATTACH, 0, 0, "0123456789abcdef", 16);
    put_msg(out, COLO_MSG_SEED_DATA, 0, 0, "seed", 4);
    put_msg(out, COLO_MSG_SEED_END, 0, 4, NULL, 0);
    put_msg(out, COLO_MSG_EPOCH_BEGIN, 1, 65536, NULL, 0);
    len = make_zero_pages(body, 3);
    put_msg(out, COLO_MSG_PAGES, 1, 3, body, len);
    make_gfns(body, 2, 8);
    put_msg(out, COLO_MSG_GONE, 1, 2, body, 16);
    put_msg(out, COLO_MSG_STATE, 1, 1, "state", 5);
    make_gfns(body, 2, 16);
    put_msg(out, COLO_MSG_AUDIT, 1, 2, body, 32);
    put_msg(out, COLO_MSG_EPOCH_END, 1, 4, "12345678", 8);
    save(out, "wire", "bulk");

    len = make_pages(body);
    put_number(out, 1, 1);
    put_msg(out, COLO_MSG_PAGES, 2, 4, body, len);
    save(out, "wire", "bulk-pages");
}

/* The texts of xenstore nodes. */
static void save_schema(struct out *out)
{
    static const char *const texts[][2] = {
        { "control", "7 checkpoint" }, { "control-delay", "8 delay 250" },
        { "request", "12 start remus" }, { "request-epoch", "13 commit 9" },
        { "answer", "13 ok" }, { "answer-error", "13 error no space" },
        { "owner", "4242 123456" }, { "event", "diverged tcp payload" },
        { "path", "/libcolo/u/proxy/net/vif0/reply" },
        { "state", "waiting" }, { "exit", "remus error peer gone" },
    };
    struct colo_committed info = {
        .info = { .epoch = 9, .pause_us = 6500 }, .at_ms = 1677014
    };
    struct colo_status status = { .seed_total = 32768 };
    char buf[COLO_XS_VALUE_MAX];

    for (size_t i = 0; i < COLO_ARRAY_LEN(texts); i++) {
        put(out, texts[i][1], strlen(texts[i][1]));
        save(out, "schema", texts[i][0]);
    }
    MUST(colo__xs_checkpoint_build(buf, sizeof(buf), &info, NULL) == 0);
    put(out, buf, strlen(buf));
    save(out, "schema", "checkpoint");
    MUST(colo__xs_stats_build(buf, sizeof(buf), &status, NULL) == 0);
    put(out, buf, strlen(buf));
    save(out, "schema", "stats");
}

/* The lines before there is a link. */
static void save_bootstrap(struct out *out)
{
    static const char *const names[] = { "open", "attach", "ok", "error" };
    static const char ssh[] = "10.0.0.1 40000 fd00::2 22";
    struct colo_boot_line line = {
        .port = 40123, .address = "fe80::1%eth0", .text = "no such domain",
        .session = "0123456789abcde", .transport = COLO_TRANSPORT_SSH,
    };
    char buf[COLO_BOOT_LINE_MAX];

    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        line.verb = COLO_BOOT_OPEN + (int)i;
        put(out, buf, colo__boot_line_format(&line, buf, sizeof(buf)) - 1);
        save(out, "bootstrap", names[i]);
    }
    put(out, ssh, sizeof(ssh) - 1);
    save(out, "bootstrap", "ssh-connection");
}

static void put_dmsg(struct out *out, struct colo_dmsg msg)
{
    uint8_t header[COLO_DWIRE_HEADER];

    colo__dwire_build(&msg, header);
    put(out, header, sizeof(header));
    put(out, msg.body, msg.len);
}

static void save_disk_meta(struct out *out)
{
    static const char record[] =
        "supervisor 12 345\nserver 13 346\nnbd 3\ntimeout 30\nsecondary 0\n"
        "target /dev/vg/web\nmeta /var/lib/m\nidentifier colo-12-345\n";
    struct colo_meta_header header = {
        .serial = 7, .size = 1 << 30, .state = COLO_META_PRIMARY,
        .parent = { 1, 2, 3 },
    };
    uint8_t buf[COLO_META_BLOCK];

    for (int copy = 0; copy < 2; copy++) {
        memset(buf, 0, sizeof(buf));
        colo__meta_header_build(&header, buf);
        put(out, buf, copy ? COLO_META_HEADER_LEN : sizeof(buf));
        header.serial++;
    }
    save(out, "disk-meta", "headers");
    put(out, record, sizeof(record) - 1);
    save(out, "disk-meta", "record");
}

static void save_disk_wire(struct out *out)
{
    struct colo_dhello hello = { .role = 1, .state = 1, .size = 1 << 30,
                                 .parent = { 7 }, .block = 512 };
    uint8_t body[4096];
    const uint64_t chunks = 3 * COLO_DWIRE_CHUNK;

    memset(body, 0x5a, sizeof(body));
    put_number(out, 1, 1); /* the target's choice: make checksums right */
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_HASHES, .len = 48,
                                      .value = chunks, .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_WANT, .len = 1,
                                      .value = chunks, .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_WRITE, .len = 4096,
                                      .offset = 8192, .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_SYNC_DONE, .len = 16,
                                      .body = body });
    save(out, "disk-wire", "sync");
    put_number(out, 0, 1);
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_WRITE, .len = 512,
                                      .flags = COLO_DFLAG_FUA,
                                      .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_ZERO,
                                      .value = 123456 });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_FLUSH });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_BARRIER,
                                      .value = 1 });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_APPLIED, .epoch = 1,
                                      .value = 1 });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_ERROR, .len = 3,
                                      .body = body });
    save(out, "disk-wire", "epoch");
    put_number(out, 2, 1);
    colo__dhello_build(&hello, body);
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_HELLO,
                                      .len = COLO_DHELLO_BODY,
                                      .value = hello.size, .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_HELLO,
                                      .len = COLO_DHELLO_PARENT,
                                      .value = hello.size, .body = body });
    put_dmsg(out, (struct colo_dmsg){ .type = COLO_DMSG_HELLO,
                                      .len = COLO_DHELLO_LEAST,
                                      .value = hello.size, .body = body });
    save(out, "disk-wire", "hello");
}

/* A guest's frames, and the table that is made of them. */
static void save_net_learn(struct out *out)
{
    static const struct colo_learn_entry entries[] = {
        { { 2, 0, 0, 0, 0, 1 }, 0, 3, 4, { 192, 0, 2, 1 } },
        { { 2, 0, 0, 0, 0, 1 }, 5, 3, 6, { 0xfe, 0x80, [15] = 1 } },
    };
    uint8_t frame[COLO_FRAME_BYTES], table[COLO_LEARN_BYTES];
    struct colo_learn learn = { 0 };

    put_number(out, 0, 1);
    for (size_t i = 0; i < COLO_ARRAY_LEN(entries); i++) {
        size_t len = colo__frame_address(&entries[i], frame);

        put_number(out, len, 1);
        put(out, frame, len);
        colo__learn_frame(&learn, 3, frame, len, 0);
    }
    save(out, "net-learn", "frames");
    put_number(out, 1, 1);
    put(out, table, colo__learn_export(&learn, table));
    save(out, "net-learn", "table");
}

static void save_net_twin(struct out *out)
{
    static const uint8_t hello[2] = { 1, 1 }, frame[74] = { 0 };
    uint8_t head[NET_WIRE_HEADER];

    net_wire_header(head, NET_MSG_HELLO, 0, sizeof(hello));
    put(out, head, sizeof(head));
    put(out, hello, sizeof(hello));
    net_wire_header(head, NET_MSG_EPOCH, 3, 0);
    put(out, head, sizeof(head));
    net_wire_header(head, NET_MSG_INPUT, 3, sizeof(frame));
    put(out, head, sizeof(head));
    put(out, frame, sizeof(frame));
    net_wire_header(head, NET_MSG_NOTE, 3, 1);
    put(out, head, sizeof(head));
    put(out, frame, 1);
    save(out, "net-twin", "primary");
}

/* A segment of 10.0.0.1:80 to 10.0.0.9:4000, or back; no checksums. */
static void put_segment(struct out *out, uint8_t what, bool in, uint32_t seq,
                        uint32_t ack, uint8_t flags, const char *text)
{
    static const uint8_t opts[12] = { 2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 1, 1 };
    size_t n = 54 + sizeof(opts) + strlen(text);
    uint8_t f[128] = { [12] = 8, [14] = 0x45, [22] = 64, [23] = 6,
                       [26] = 10, [29] = 1, [30] = 10, [33] = 9 };

    f[17] = (uint8_t)(n - 14);
    f[29] = in ? 9 : 1;
    f[33] = in ? 1 : 9;
    f[in ? 37 : 35] = 80;
    f[in ? 34 : 36] = 15;
    f[in ? 35 : 37] = 160;
    colo__put32(f + 38, seq);
    colo__put32(f + 42, ack);
    f[46] = (20 + sizeof(opts)) / 4 << 4;
    f[47] = flags;
    memcpy(f + 54, opts, sizeof(opts));
    memcpy(f + 54 + sizeof(opts), text, strlen(text));
    put_number(out, what, 1);
    put_number(out, n, 2);
    put(out, f, n);
}

static void save_compare(struct out *out)
{
    put_number(out, 0, 1); /* no virtio_net_hdr */
    put_segment(out, 4, true, 4999, 0, 0x02, "");
    put_segment(out, 0, false, 1000, 5000, 0x12, "");
    put_segment(out, 2, false, 9000, 5000, 0x12, "");
    put_number(out, 0x86, 1); /* told; the gate stays open */
    put_number(out, 0, 2);
    put_segment(out, 4, true, 5000, 1001, 0x10, "ask");
    put_segment(out, 0, false, 1001, 5003, 0x18, "answer");
    put_segment(out, 2, false, 9001, 5003, 0x18, "ans");
    put_segment(out, 2, false, 9004, 5003, 0x19, "wer");
    put_number(out, 0x67, 1); /* commit, alone */
    put_number(out, 0, 2);
    put_segment(out, 5, false, 9007, 5003, 0x11, "");
    save(out, "compare", "connection");
}

static void save_streams(struct out *out)
{
    const char *name;

    for (size_t n = 0; (out->len = corpus_stream(n, out->bytes,
                                                 sizeof(out->bytes), &name));
         n++)
        save(out, "stream", name);
    for (size_t n = 0; (out->len = corpus_stream_xl(n, out->bytes,
                                                    sizeof(out->bytes),
                                                    &name)); n++)
        save(out, "stream-xl", name);
}

/* u16, u16, u32 or u32, u32, little endian, and a body of zeros */
static void put_record(struct out *out, uint64_t head, uint32_t len)
{
    static const uint8_t zeros[64];
    uint8_t le[8];

    colo__put_le(le, head, 4);
    colo__put_le(le + 4, len, 4);
    put(out, le, 8);
    put(out, zeros, len);
}

/* a seed, as short as one can be: the APICs' records are long, or not */
static void save_seeds(struct out *out)
{
    static const uint8_t zeros[40];

    for (uint32_t lapic = 24; lapic <= 32; lapic += 8) {
        uint8_t header[SEED_HEADER], le[8];

        put_number(out, 6, 1); /* pieces of 7 bytes */
        seed_header_put(header, 2);
        put(out, header, sizeof(header));
        put(out, "{}LibxlFmt", 10);
        put(out, zeros, 8);
        put_record(out, 1, 0); /* libxc's stream */
        put(out, zeros, 40);
        put_record(out, 1, 32); /* pages */
        colo__put_le(le, 9, 4); /* the context */
        colo__put_le(le + 4, 8 + 24 + 2 * (8 + lapic) + 8, 4);
        put(out, le, 8);
        put_record(out, 1, 24);
        put_record(out, 5, lapic);
        put_record(out, 5 | 1 << 16, lapic);
        put_record(out, 0, 0);
        put_record(out, 0, 0); /* the end of libxc's, of libxl's */
        put_record(out, 0, 0);
        save(out, "seed-trim", lapic == 24 ? "old" : "new");
    }
}

/* pieces of a seed as SEED_DATA has them: of zeros, of text, plain, cut off,
 * longer than it says, longer than it may */
static void save_seed_pieces(struct out *out)
{
    static const char *const names[] = { "zeros", "text", "plain", "cut",
                                         "longer", "too-long" };
    static const uint32_t lens[] = { COLO_WIRE_SEED_CHUNK, 600, 600, 600, 600,
                                     COLO_WIRE_SEED_CHUNK };
    static uint8_t raw[COLO_WIRE_SEED_CHUNK], packed[sizeof(raw)];
    static struct colo_delta_scratch scratch;

    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++) {
        uint32_t n = lens[i];

        if (i == 1)
            for (uint32_t at = 0; at < n; at++)
                raw[at] = (uint8_t)"it is written over and over"[at % 27];
        put_number(out, i == 2 ? 0 : n - (i == 4) + (i == 5), 8);
        if (i == 2) {
            put(out, raw, n);
        } else {
            n = colo__seed_pack(&scratch, raw, n, packed);
            MUST(n);
            put(out, packed, n - (i == 3));
        }
        save(out, "seed-pack", names[i]);
    }
}

int main(int argc, char **argv)
{
    struct out *out;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIR\n", argv[0]);
        return 2;
    }
    out = calloc(1, sizeof(*out));
    MUST(out);
    out->dir = argv[1];
    (void)mkdir(out->dir, 0755);
    save_control(out);
    save_bulk(out);
    save_hello(out);
    save_pages(out);
    save_gfns_audit(out);
    save_disks(out);
    save_dm_name(out);
    save_delta(out);
    save_schema(out);
    save_bootstrap(out);
    save_disk_meta(out);
    save_disk_wire(out);
    save_net_learn(out);
    save_net_twin(out);
    save_compare(out);
    save_streams(out);
    save_seeds(out);
    save_seed_pieces(out);
    free(out);
    return 0;
}
