/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The bodies of HELLO, PAGES, GONE, LOADED and AUDIT.  A body is checked
 * whole, once, before anybody uses a part of it; what passes needs no
 * further bounds check.  Any thread.  Source: libcolo-wire(7).
 */
#include <string.h>

#include "wire.h"

#define WHERE "wire"
#define HELLO_FIXED 72 /* before the name */
#define GFN_BITS 56
#define GFN_FIELD ((UINT64_C(1) << GFN_BITS) - 1)

#define ULL(v) ((unsigned long long)(v))

/* ---- hello ------------------------------------------------------------- */

/* The name goes into logs, xenstore and file names. */
static bool name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

/* Both directions: what we refuse from a peer we do not send either. */
static int hello_check(const struct colo_hello *hello, size_t name_len,
                       int code, struct colo_error *err)
{
    if (hello->role != COLO_ROLE_PRIMARY && hello->role != COLO_ROLE_SECONDARY)
        return colo__fail(err, code, 0, WHERE, "HELLO with role %u",
                          hello->role);
    if (hello->mode > COLO_MODE_COLO)
        return colo__fail(err, code, 0, WHERE, "HELLO with mode %u",
                          hello->mode);
    if (hello->nr_gfns > COLO_GFN_MAX + 1)
        return colo__fail(err, code, 0, WHERE,
                          "HELLO of a guest with %llu frames",
                          ULL(hello->nr_gfns));
    /* 0 would be a heartbeat without end, or death at once */
    if (hello->heartbeat_ms < 1 || hello->dead_ms <= hello->heartbeat_ms)
        return colo__fail(err, code, 0, WHERE,
                          "HELLO with a heartbeat every %u ms, dead after "
                          "%u ms", hello->heartbeat_ms, hello->dead_ms);
    if (!name_ok(hello->name, name_len))
        return colo__fail(err, code, 0, WHERE,
                          "HELLO with a name that is not text");
    return 0;
}

int colo__hello_build(const struct colo_hello *hello, uint8_t *out,
                      size_t cap, struct colo_error *err)
{
    size_t name_len = strnlen(hello->name, sizeof(hello->name));
    int rc;

    if (name_len == sizeof(hello->name))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "the name in HELLO is too long (at most %zu bytes)",
                          sizeof(hello->name) - 1);
    if (cap < HELLO_FIXED + name_len)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "no room for HELLO: %zu bytes, %zu needed", cap,
                          HELLO_FIXED + name_len);
    rc = hello_check(hello, name_len, COLO_E_INVAL, err);
    if (rc) return rc;

    colo__put16(out, hello->major);
    colo__put16(out + 2, hello->minor);
    colo__put32(out + 4, hello->role);
    colo__put32(out + 8, hello->mode);
    colo__put32(out + 12, hello->xen_version);
    colo__put64(out + 16, hello->features);
    colo__put64(out + 24, hello->nr_gfns);
    colo__put32(out + 32, hello->heartbeat_ms);
    colo__put32(out + 36, hello->dead_ms);
    memcpy(out + 40, hello->session, 16);
    memcpy(out + 56, hello->uuid, 16);
    memcpy(out + HELLO_FIXED, hello->name, name_len);
    return (int)(HELLO_FIXED + name_len);
}

int colo__hello_parse(const uint8_t *body, size_t len,
                      struct colo_hello *ret_hello, struct colo_error *err)
{
    struct colo_hello hello = { 0 };
    size_t name_len;
    int rc;

    if (len < 4)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "HELLO of %zu bytes is too short", len);
    hello.major = colo__get16(body);
    hello.minor = colo__get16(body + 2);
    /* First, as another major may have another body altogether. */
    if (hello.major != COLO_WIRE_MAJOR)
        return colo__fail(err, COLO_E_VERSION, 0, WHERE,
                          "the peer speaks protocol %u.%u, this side %u.%u: "
                          "install the same libcolo on both",
                          hello.major, hello.minor, COLO_WIRE_MAJOR,
                          COLO_WIRE_MINOR);
    if (len < HELLO_FIXED || len > COLO_WIRE_HELLO_MAX)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "HELLO of %zu bytes (%d to %d are possible)", len,
                          HELLO_FIXED, COLO_WIRE_HELLO_MAX);

    hello.role = colo__get32(body + 4);
    hello.mode = colo__get32(body + 8);
    hello.xen_version = colo__get32(body + 12);
    hello.features = colo__get64(body + 16);
    hello.nr_gfns = colo__get64(body + 24);
    hello.heartbeat_ms = colo__get32(body + 32);
    hello.dead_ms = colo__get32(body + 36);
    memcpy(hello.session, body + 40, 16);
    memcpy(hello.uuid, body + 56, 16);
    name_len = len - HELLO_FIXED;
    memcpy(hello.name, body + HELLO_FIXED, name_len);
    rc = hello_check(&hello, name_len, COLO_E_PROTO, err);
    if (rc) return rc;

    *ret_hello = hello;
    return 0;
}

/* ---- frame numbers ----------------------------------------------------- */

/* How many entries of entry_size bytes msg has room for and claims: both
 * must agree. */
static int check_count(const struct colo_msg *msg, size_t entry_size,
                       uint32_t max, struct colo_error *err)
{
    if (msg->value > max)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s of %llu entries (at most %u)",
                          colo__msg_name(msg->type), ULL(msg->value), max);
    if (msg->len != msg->value * entry_size)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s of %llu entries with a body of %u bytes",
                          colo__msg_name(msg->type), ULL(msg->value),
                          msg->len);
    return 0;
}

/* next: the smallest number that is in order here */
static int check_gfn(const struct colo_msg *msg, uint64_t gfn, uint64_t next,
                     uint64_t nr_gfns, struct colo_error *err)
{
    if (gfn > COLO_GFN_MAX || gfn >= nr_gfns)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s names frame 0x%llx; the guest has 0x%llx",
                          colo__msg_name(msg->type), ULL(gfn), ULL(nr_gfns));
    if (gfn < next)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s names frame 0x%llx out of order",
                          colo__msg_name(msg->type), ULL(gfn));
    return 0;
}

static int check_gfns(const struct colo_msg *msg, size_t entry_size,
                      uint64_t nr_gfns, uint32_t max, struct colo_error *err)
{
    uint64_t next = 0;
    int rc;

    rc = check_count(msg, entry_size, max, err);
    if (rc) return rc;
    for (size_t i = 0; i < msg->value; i++) {
        uint64_t gfn = colo__get64(msg->body + i * entry_size);

        rc = check_gfn(msg, gfn, next, nr_gfns, err);
        if (rc) return rc;
        next = gfn + 1;
    }
    return 0;
}

int colo__gfns_check(const struct colo_msg *msg, uint64_t nr_gfns,
                     uint32_t max, struct colo_error *err)
{
    return check_gfns(msg, 8, nr_gfns, max, err);
}

int colo__audit_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err)
{
    return check_gfns(msg, 16, nr_gfns, COLO_WIRE_MAX_AUDIT, err);
}

int colo__dirty_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err)
{
    if (!msg->value)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "DIRTY of no frame");
    return check_gfns(msg, COLO_WIRE_DIRTY_ENTRY, nr_gfns,
                      COLO_WIRE_MAX_DIRTY, err);
}

void colo__dirty_entry_build(uint8_t *out, const struct colo_wire_dirty *d)
{
    colo__put64(out, d->gfn);
    colo__put64(out + 8, d->high);
    colo__put64(out + 16, d->low);
}

void colo__dirty_entry(const struct colo_msg *msg, uint32_t i,
                       struct colo_wire_dirty *ret_dirty)
{
    const uint8_t *p = msg->body + (size_t)i * COLO_WIRE_DIRTY_ENTRY;

    ret_dirty->gfn = colo__get64(p);
    ret_dirty->high = colo__get64(p + 8);
    ret_dirty->low = colo__get64(p + 16);
}

/* ---- pages ------------------------------------------------------------- */

void colo__page_entry_build(uint8_t *out, const struct colo_wire_page *page)
{
    colo__put64(out, page->gfn | (uint64_t)page->coding << GFN_BITS);
    colo__put32(out + 8, page->len);
    colo__put32(out + 12, 0);
    colo__put64(out + 16, page->hash);
}

static void get_entry(const struct colo_msg *msg, uint32_t i,
                      struct colo_wire_page *page)
{
    const uint8_t *p = msg->body + (size_t)i * COLO_WIRE_PAGE_ENTRY;
    uint64_t word = colo__get64(p);

    page->gfn = word & GFN_FIELD;
    page->coding = (uint32_t)(word >> GFN_BITS);
    page->len = colo__get32(p + 8);
    page->hash = colo__get64(p + 16);
    page->payload = NULL;
}

static bool len_fits(uint32_t coding, uint32_t len)
{
    switch (coding) {
    case COLO_CODING_RAW:
        return len == COLO_PAGE_SIZE;
    case COLO_CODING_ZERO:
        return len == 0;
    case COLO_CODING_LZ4:
    case COLO_CODING_XOR:
        return len >= 1 && len < COLO_PAGE_SIZE;
    default:
        return false;
    }
}

/* What must be zero in entry i: the reserved word, and the hash of what the
 * checksum of the message covers already. */
static bool zeros_fit(const struct colo_msg *msg, uint32_t i,
                      const struct colo_wire_page *page)
{
    if (colo__get32(msg->body + (size_t)i * COLO_WIRE_PAGE_ENTRY + 12))
        return false;
    return page->coding == COLO_CODING_LZ4 ||
           page->coding == COLO_CODING_XOR || page->hash == 0;
}

int colo__pages_check(const struct colo_msg *msg, uint64_t nr_gfns,
                      struct colo_error *err)
{
    uint64_t next = 0;
    size_t end;
    int rc;

    if (msg->value < 1 || msg->value > COLO_WIRE_MAX_PAGES)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "PAGES of %llu pages (1 to %u)", ULL(msg->value),
                          COLO_WIRE_MAX_PAGES);
    end = (size_t)msg->value * COLO_WIRE_PAGE_ENTRY;
    if (msg->len < end)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "PAGES of %llu pages with a body of %u bytes",
                          ULL(msg->value), msg->len);

    for (uint32_t i = 0; i < msg->value; i++) {
        struct colo_wire_page page;

        get_entry(msg, i, &page);
        rc = check_gfn(msg, page.gfn, next, nr_gfns, err);
        if (rc) return rc;
        next = page.gfn + 1;
        if (!len_fits(page.coding, page.len))
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "PAGES: frame 0x%llx has coding %u with %u bytes",
                              ULL(page.gfn), page.coding, page.len);
        if (!zeros_fit(msg, i, &page))
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "PAGES: frame 0x%llx with reserved bits or a "
                              "hash that its coding has not", ULL(page.gfn));
        end += page.len; /* at most 128 * 4096: no overflow */
    }
    if (end != msg->len)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "PAGES: a body of %u bytes, but its pages end at %zu",
                          msg->len, end);
    return 0;
}

void colo__pages_entry(const struct colo_msg *msg, uint32_t i,
                       size_t *offset, struct colo_wire_page *ret_page)
{
    get_entry(msg, i, ret_page);
    ret_page->payload = msg->body +
                        (size_t)msg->value * COLO_WIRE_PAGE_ENTRY + *offset;
    *offset += ret_page->len;
}
