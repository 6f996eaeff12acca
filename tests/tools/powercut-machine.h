/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Releases and disks for powercut.c, and a world as files that the real code takes. */

#include <fcntl.h>
#include <sys/mman.h>

#include "finalize.h"
#include "io.h"
#include "process.h"
#include "strv.h"

#include "../../update/table.h" /* the composer has one of that name */
#include "powercut-world.h"

enum { STAGE_RUN = 2 /* blocks of one write */ };

/* ---- releases and disks ---- */

static inline void fill_block(uint8_t *block, const char *version, size_t index)
{
        uint64_t n = index + 1;

        memset(block, 0, BLOCK_SIZE);
        if (index % 5 == 0) /* zeros */
                return;
        for (const char *c = index % 3 == 0 ? "shared" : version; *c; c++)
                n = n * 131 + (uint64_t)*c;
        for (size_t i = 0; i < BLOCK_SIZE / sizeof(n); i++) {
                n = n * 6364136223846793005 + 1442695040888963407;
                memcpy(block + i * sizeof(n), &n, sizeof(n));
        }
}

static inline void make_tree(struct sample *s)
{
        const struct {
                char signature[8];
                uint32_t version, type;
                uint8_t uuid[16];
                char algorithm[32];
                uint32_t data_block, hash_block;
                uint64_t blocks;
        } _packed_ superblock = {
                "verity\0", htole32(1),          htole32(1),          { 7 },
                "sha256",   htole32(BLOCK_SIZE), htole32(BLOCK_SIZE), htole64(USR_BLOCKS)
        };

        memcpy(s->tree, &superblock, sizeof(superblock));
        sha256_each(s->usr, BLOCK_SIZE, USR_BLOCKS, (struct sha256 *)(s->tree + BLOCK_SIZE));
        sha256_of(s->tree + BLOCK_SIZE, BLOCK_SIZE, &s->release.root_hash);
}

static inline void make_uki(struct sample *s)
{
        struct sha256 leaves[DIGESTS_PER_BLOCK] = {};
        char hex[SHA256_HEX_SIZE];

        for (size_t i = 0; i < UKI_BLOCKS; i++)
                fill_block(s->uki + i * BLOCK_SIZE, s->version, 101 + i);
        snprintf((char *)s->uki, 128, "MZ usrhash=%s", sha256_hex(&s->release.root_hash, hex));
        memset(s->uki + UKI_SIZE, 0, sizeof(s->uki) - UKI_SIZE);
        sha256_each(s->uki, BLOCK_SIZE, UKI_BLOCKS, leaves);
        sha256_of(leaves, sizeof(leaves), &s->release.uki_root_hash);
}

/* The first release has none. */
static inline void make_signature(struct sample *s)
{
        struct release *r = &s->release;

        if (streq(s->version, "0.9"))
                return;
        r->usr_signature_size = 700 + 300 * (uint64_t)(s->version[0] - '0');
        for (uint64_t i = 0; i < r->usr_signature_size; i++)
                s->signature[i] = (uint8_t)(r->root_hash.bytes[i % SHA256_SIZE] | 1);
        sha256_of(s->signature, r->usr_signature_size, &r->usr_signature);
}

static inline struct sample *sample_new(const char *version)
{
        struct sample *s = calloc(1, sizeof(*s));

        assert(s);
        snprintf(s->version, sizeof(s->version), "%s", version);
        s->release = (struct release){ .format = RELEASE_FORMAT,
                                       .version = s->version,
                                       .usr_size = sizeof(s->usr),
                                       .tree_size = sizeof(s->tree),
                                       .uki_size = UKI_SIZE };
        for (size_t i = 0; i < USR_BLOCKS; i++)
                fill_block(s->usr + i * BLOCK_SIZE, version, i);
        make_tree(s);
        make_uki(s);
        make_signature(s);
        return s;
}

/* ---- from a world to files that the real code takes, and back ---- */

struct machine {
        const char *directory; /* EFI/Linux */
        struct store store;
        struct slots slots;
        char path[64];
};

static inline void machine_done(struct machine *m)
{
        store_done(&m->store);
}

static inline int dup_fd(int fd)
{
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        assert(again >= 0);
        return again;
}

static inline void fill_directory(const struct world *w, const char *directory, int fd)
{
        _cleanup_closedir_ DIR *d = opendir(directory);
        struct error err = {};
        struct dirent *old;

        assert(d);
        while ((old = readdir(d)))
                if (old->d_name[0] != '.')
                        assert(unlinkat(fd, old->d_name, 0) == 0);
        for (size_t i = 0; i < WORLD_FILES; i++) {
                const struct world_file *file = &w->files[w->names[i].file];
                _cleanup_close_ int out = -1;

                if (!*w->names[i].text)
                        continue;
                out = openat(fd, w->names[i].text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (out < 0 || io_write(out, file->data, file->size, &err) < 0)
                        abort();
        }
}

static inline int machine_init(struct machine *m, const struct world *w, const char *directory,
                               struct error *err)
{
        int disk = memfd_create("disk", MFD_CLOEXEC);
        struct error ignored = {};

        *m = (struct machine){ .directory = directory, .store = STORE_NULL };
        if (disk < 0 || io_write(disk, w->disk, WORLD_DISK, &ignored) < 0)
                abort();
        m->store.targets[STORE_TABLE] = (struct store_range){ disk, 0, WORLD_DISK };
        m->store.entries_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fill_directory(w, directory, m->store.entries_fd);
        snprintf(m->path, sizeof(m->path), "/proc/self/fd/%d", disk);
        return slots_load(m->path, &m->slots, err);
}

static inline void machine_read(const struct machine *m, struct world *ret)
{
        _cleanup_closedir_ DIR *d = opendir(m->directory);
        struct error err = {};
        struct dirent *e;
        unsigned file = 0;

        assert(d);
        *ret = (struct world){};
        if (io_pread(m->store.targets[STORE_TABLE].fd, ret->disk, WORLD_DISK, 0, NULL, &err) < 0)
                abort();
        while ((e = readdir(d)))
                if (e->d_name[0] != '.') {
                        struct world_file *to = &ret->files[file];

                        if (store_file_read(&m->store, e->d_name, 0, to->data, sizeof(to->data),
                                            &to->size, &err) < 0)
                                abort();
                        world_name(ret, e->d_name, file++);
                }
}

/* sfdisk's disk with two empty slots. */
static inline void make_disk(const char *directory, struct world *ret)
{
        static const char script[] =
                "label: gpt\nfirst-lba: 40\n"
                "start=40,size=64,type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b,name=ESP\n"
                "start=104,size=192,type=8484680c-9521-48c6-9c11-b0720656f69e,name=_empty\n"
                "start=296,size=16,type=77ff5f63-e7b6-4633-acf4-1565b864c0e6,name=_empty\n"
                "start=520,size=8,type=e7bb33fb-06cf-4e81-8273-e543b413e2e2,name=_empty\n"
                "start=312,size=192,type=8484680c-9521-48c6-9c11-b0720656f69e,name=_empty\n"
                "start=504,size=16,type=77ff5f63-e7b6-4633-acf4-1565b864c0e6,name=_empty\n"
                "start=528,size=8,type=e7bb33fb-06cf-4e81-8273-e543b413e2e2,name=_empty\n";
        _cleanup_free_ char *disk = string_format("%s/../disk", directory);
        _cleanup_close_ int fd = open(disk, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_close_ int in = memfd_create("script", MFD_CLOEXEC);
        struct error err = {};
        int r = 0;

        if (fd < 0 || in < 0 || ftruncate(fd, WORLD_DISK) < 0)
                r = error_errno(&err, "%s", disk);
        if (r >= 0)
                r = io_pwrite(in, script, strlen(script), 0, &err);
        if (r >= 0)
                r = spawn((const char *const[]){ "sfdisk", "-q", disk, NULL },
                          &(struct spawn_options){ .stdin_fd = in }, NULL, &err);
        if (r >= 0)
                r = io_pread(fd, ret->disk, WORLD_DISK, 0, NULL, &err);
        if (r < 0) {
                fprintf(stderr, "powercut: %s\n", err.message);
                exit(1);
        }
}

/* Puts a release into a slot, under this name on the ESP (NULL: none). */
static inline void install(struct world *w, const char *directory, size_t slot,
                           const struct sample *s, const char *name)
{
        _cleanup_(machine_done) struct machine m;
        struct table_change changes[2] = {};
        struct error err = {};
        struct slot *to;
        unsigned file = 0;

        if (machine_init(&m, w, directory, &err) < 0)
                abort();
        to = &m.slots.items[slot];
        changes[0].number = to->usr.number;
        changes[1].number = to->tree.number;
        gpt_uuids_from_root_hash(&s->release.root_hash, &changes[0].uuid, &changes[1].uuid);
        snprintf(changes[0].label, sizeof(changes[0].label), "usr_%s", s->version);
        snprintf(changes[1].label, sizeof(changes[1].label), "usr-verity_%s", s->version);
        if (table_update(&m.store, changes, 2, &err) < 0)
                abort();
        machine_read(&m, w);
        memcpy(w->disk + to->usr.start, s->usr, sizeof(s->usr));
        memcpy(w->disk + to->tree.start, s->tree, sizeof(s->tree));
        memcpy(w->disk + to->signature.start, s->signature, sizeof(s->signature));
        while (name && file < WORLD_FILES && *w->names[file].text)
                file++;
        if (name) {
                memcpy(w->files[file].data, s->uki, UKI_SIZE);
                w->files[file].size = UKI_SIZE;
                world_name(w, name, file);
        }
}

/* ---- actions ---- */

/* The blocks that are not there yet, in the order in which staging works: tree, signature, image,
 * UKI. */
static inline int stage_target(struct store *s, enum store_target target, const uint8_t *data,
                               size_t size, struct error *err)
{
        uint8_t there[STAGE_RUN * BLOCK_SIZE];
        int r = 0;

        for (size_t at = 0; r >= 0 && at < size; at += sizeof(there)) {
                size_t n = MIN(size - at, sizeof(there));

                r = store_read(s, target, at, there, n, err);
                if (r >= 0 && memcmp(there, data + at, n) != 0)
                        r = store_write(s, target, at, data + at, n, err);
        }
        return r < 0 ? r : store_flush(s, target, err);
}

static inline int stage_uki(struct store *s, const char *name, const uint8_t *data,
                            struct error *err)
{
        uint8_t there[BLOCK_SIZE];
        int r = 0;

        for (size_t at = 0; r >= 0 && at < UKI_SIZE; at += sizeof(there)) {
                size_t n = MIN((size_t)UKI_SIZE - at, sizeof(there)), got = 0;
                struct error ignored = {};

                if (store_file_read(s, name, at, there, n, &got, &ignored) >= 0 && got == n &&
                    memcmp(there, data + at, n) == 0)
                        continue;
                r = store_file_write(s, name, at, data + at, n, err);
        }
        return r < 0 ? r : store_file_sync(s, name, err);
}

static inline int update(struct machine *m, const struct sample *running, const struct sample *next,
                         struct error *err)
{
        const struct slot *runs = slots_find(&m->slots, &running->release.root_hash), *idle;
        char uki_name[WORLD_NAME];
        struct finalize f = { &m->store, NULL, &next->release, running->version, uki_name };
        int r, fd = m->store.targets[STORE_TABLE].fd;

        if (!runs)
                return error_set(err, -ENODEV, "the running release has no slot");
        f.slot = idle = &m->slots.items[runs == &m->slots.items[0]];
        m->store.targets[STORE_USR] =
                (struct store_range){ dup_fd(fd), idle->usr.start, idle->usr.size };
        m->store.targets[STORE_TREE] =
                (struct store_range){ dup_fd(fd), idle->tree.start, idle->tree.size };
        m->store.targets[STORE_SIGNATURE] =
                (struct store_range){ dup_fd(fd), idle->signature.start, idle->signature.size };
        snprintf(uki_name, sizeof(uki_name), "slipway_%s" FINALIZE_STAGED_SUFFIX, next->version);
        r = finalize_prepare(&f, err);
        if (r >= 0)
                r = stage_target(&m->store, STORE_TREE, next->tree, sizeof(next->tree), err);
        if (r >= 0)
                r = stage_target(&m->store, STORE_SIGNATURE, next->signature,
                                 sizeof(next->signature), err);
        if (r >= 0)
                r = stage_target(&m->store, STORE_USR, next->usr, sizeof(next->usr), err);
        if (r >= 0)
                r = stage_uki(&m->store, uki_name, next->uki, err);
        if (r >= 0)
                r = finalize_verify(&f, err);
        return r < 0 ? r : finalize_commit(&f, err);
}

static inline int roll_back(struct machine *m, const struct sample *running,
                            const struct sample *next, struct error *err)
{
        return rollback_entries(&m->store, running->version, next->version, err);
}

typedef int (*action_fn)(struct machine *m, const struct sample *running, const struct sample *next,
                         struct error *err);
