/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a host remembers of its copy of a disk across crashes: is it the
 * newest, is it consistent, of which generation, and which chunks may differ
 * from the peer's.  One file for each backing.
 *
 * The header is small, checksummed and written twice in turn, so that one of
 * the two is always whole.  The bitmap has one bit for each 64 KiB.  Marking
 * costs a write to the file only when the 4 MiB extent around it was not
 * marked of late (an activity log): a set bit is never lost by a crash, a
 * cleared one may come back.
 *
 * Used by the disk plugin; colo__meta_may_start, _peek, _untracked, _force and
 * _discard by colo-disk, also while the plugin has the file open.
 * Threads: mark, clear and next may be called by any thread at any time; open,
 * close, set and merge by one at a time.
 */
#ifndef COLO_DISK_META_H
#define COLO_DISK_META_H

#include "../libcolo/internal.h"

#define COLO_META_CHUNK 65536u     /* bytes for each bit of the bitmap */
#define COLO_META_EXTENT 4194304u  /* bytes that become hot together */
#define COLO_META_GENERATION 16    /* bytes; random, equal on both sides */

#define COLO_META_ALONE     1 /* newest copy when it was written last, no peer:
                                 no other took over from it */
#define COLO_META_PRIMARY   2 /* newest, in step with a peer; chunks not yet
                                 committed there are in the bitmap */
#define COLO_META_SECONDARY 3 /* consistent copy of a generation, not known
                                 to be the newest */
#define COLO_META_SYNCING   4 /* inconsistent: the first copy runs */
#define COLO_META_OUTDATED  5 /* the guest went on at the other side */
#define COLO_META_APPLYING  6 /* took over, and epochs that the log holds are
                                 not all applied: newest, but useless once the
                                 proxy that knows the log has died */
#define COLO_META_LAST COLO_META_APPLYING

/* so long may APPLYING last, and a guest that took over wait for its disk */
#define COLO_META_APPLY_SECONDS 3600

struct colo_meta;

/* colo__meta_open - open the metadata of a backing of size bytes.
 * Shape    made_as: if there is no such file, it is made in this state, with a
 *          new generation: ALONE for what a guest uses, SECONDARY for what has
 *          never been a guest's disk.  If there is one of a disk of another
 *          size, it is made anew: in the state that it has, with a new
 *          generation, every chunk marked.
 * Owner    colo__meta_close().
 * Errors   COLO_E_INVAL the file is of a disk of another size, and ALONE or not
 *          where made_as is the other;
 *          COLO_E_CORRUPT no whole header; COLO_E_EXISTS somebody else has it
 *          open; COLO_E_SYS */
int colo__meta_open(const char *path, uint64_t size, int made_as,
                    struct colo_meta **ret_meta, struct colo_error *err);

/* colo__meta_open_pending - as open, but if a guest wrote past the bitmap, that
 * is left to colo__meta_settle; until then the generation is of no use. */
int colo__meta_open_pending(const char *path, uint64_t size, int made_as,
                            struct colo_meta **ret_meta,
                            struct colo_error *err);

/* colo__meta_settle - if a guest wrote past the bitmap: with these bits, which
 * say where (merged, and the generation stays); NULL: with a new generation,
 * as open does it.
 * Shape    as colo__meta_merge. */
int colo__meta_settle(struct colo_meta *meta, const uint8_t *bits, size_t len,
                      struct colo_error *err);

/* colo__meta_close - write what is lazy; NULL is fine. */
void colo__meta_close(struct colo_meta *meta);

int colo__meta_state(const struct colo_meta *meta); /* COLO_META_* */

/* 16 bytes, valid until the next colo__meta_set or close */
const uint8_t *colo__meta_generation(const struct colo_meta *meta);

/* colo__meta_parent - the generation that this one was made from, all zero if
 * none is known: the bits have every chunk that was changed here since.
 * Shape    16 bytes, valid until the next colo__meta_set or close. */
const uint8_t *colo__meta_parent(const struct colo_meta *meta);

/* colo__meta_is_child - did a copy of this parent leave from generation?
 * Shape    16 bytes each; false if there is no parent. */
bool colo__meta_is_child(const uint8_t *parent, const uint8_t *generation);

/* colo__meta_set - change the state, and the generation unless it is NULL; a
 * generation that is given has no parent.
 * Shape    durable on return, bits included. */
int colo__meta_set(struct colo_meta *meta, int state,
                   const uint8_t *generation, struct colo_error *err);

/* colo__meta_derive - as set, and the generation up to now is the parent.
 * Shape    no bit may go before the next colo__meta_set with a generation. */
int colo__meta_derive(struct colo_meta *meta, int state,
                      const uint8_t *generation, struct colo_error *err);

/* colo__meta_mark - before a write begins: the chunks may differ.
 * Shape    durable on return. */
int colo__meta_mark(struct colo_meta *meta, uint64_t offset, uint64_t len,
                    struct colo_error *err);

/* colo__meta_clear - the peer has these chunks too.
 * Shape    clears every chunk that the range touches; durable later. */
int colo__meta_clear(struct colo_meta *meta, uint64_t offset, uint64_t len,
                     struct colo_error *err);

/* colo__meta_next - the next run of marked chunks at or after *offset.
 * Shape    *offset_inout: in: bytes, multiple of the chunk; out: where the
 *          run begins.  *ret_len: bytes, cut at the disk's end.
 * Returns  false: no more. */
bool colo__meta_next(const struct colo_meta *meta, uint64_t *offset_inout,
                     uint64_t *ret_len);

/* colo__meta_merge - or the peer's bitmap into ours.
 * Shape    bits: bit i of byte i / 8 is chunk i; at most len bytes are looked
 *          at, bits beyond the disk's end are ignored. */
int colo__meta_merge(struct colo_meta *meta, const uint8_t *bits, size_t len,
                     struct colo_error *err);

/* colo__meta_may_start - may a guest run on this copy?
 * Returns  0 yes (also when there is no file), 1 no: why says why not and
 *          what to do. */
int colo__meta_may_start(const char *path, char *why, size_t cap);

/* colo__meta_peek - the state and generation that the file says now, without
 * taking it.
 * Shape    generation: 16 bytes, or NULL.
 * Returns  COLO_META_*, 0 there is no file, or < 0 (COLO_E_CORRUPT,
 *          COLO_E_VERSION, COLO_E_SYS). */
int colo__meta_peek(const char *path, uint8_t *generation,
                    struct colo_error *err);

/* colo__meta_untracked - before a guest writes past the bitmap: whatever the
 * file says of the peer's copy does not hold any more.  The next open takes a
 * new generation (everything is compared), and PRIMARY becomes ALONE.
 * Shape    durable on return; nothing is done if there is no file. */
int colo__meta_untracked(const char *path, struct colo_error *err);

/* colo__meta_flag - as untracked, where the metadata cannot be written: an
 * empty file, in memory, that lives as long as this host is up.
 * Shape    flag: its path. */
int colo__meta_flag(const char *flag, struct colo_error *err);

/* colo__meta_take_flag - if there is one: a new generation, and when that is
 * durable the flag goes.  To be called before the file is opened for a
 * protection; nothing is done if there is no flag.
 * Shape    size: of the disk.
 * Errors   of colo__meta_open: then the flag stays, and nobody may protect */
int colo__meta_take_flag(const char *path, const char *flag, uint64_t size,
                         struct colo_error *err);

/* colo__meta_is_pending - does the file say that a guest wrote past it?
 * Returns  true also if that cannot be told. */
bool colo__meta_is_pending(const char *path);

/* colo__meta_force - an operator says that this copy is the truth: ALONE, new
 * generation, every chunk marked.
 * Shape    the file is made anew, for a disk of this size.  inconsistent: also
 *          when it is not consistent, or when the file is not readable.
 * Errors   COLO_E_REFUSED inconsistent was not said; COLO_E_NOTFOUND no file;
 *          COLO_E_EXISTS a proxy has it open */
int colo__meta_force(const char *path, uint64_t size, bool inconsistent,
                     struct colo_error *err);

/* colo__meta_discard - an operator says that the guest's disk is another copy:
 * OUTDATED, so that a primary may overwrite this one.  Generation, parent and
 * bits stay, as a resync by bitmap needs them.
 * Shape    *ret_state: what it was before; ALONE, PRIMARY and SECONDARY change,
 *          of the others nobody expects anything.
 * Errors   COLO_E_NOTFOUND no file; COLO_E_EXISTS a proxy has it open;
 *          COLO_E_CORRUPT; COLO_E_SYS */
int colo__meta_discard(const char *path, int *ret_state,
                       struct colo_error *err);

/* colo__meta_state_name - a word for COLO_META_*. */
const char *colo__meta_state_name(int state);

#endif
