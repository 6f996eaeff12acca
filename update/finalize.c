/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See finalize.h. After each change, what boots:
 *
 *   entries of other releases removed, names synced       the running release; nothing names the
 *                                                         idle slot any more
 *   its partitions named "_empty", with other UUIDs       the same
 *   (staging)                                             the same
 *   its partitions named for the release                  the same: still no entry
 *   the UKI's temporary name → "+3", names synced         the new release; with a rename that is
 *                                                         only half there, one of the two
 *   downgrade only: the running release's entry → "+0"    before it is, the running release (it has
 *                                                         the higher version), then the new one
 *
 * A flush follows each line, so of two lines only the later one can be missing.
 *
 * An entry that is bad comes last, but of bad ones the newest comes first. So nothing is marked bad
 * but what stands in the way (a newer release, of which somebody wants an older one), and nothing
 * is started from a running release that has no good entry: it would not be the way back. */

#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>

#include "finalize.h"
#include "hash-tree.h"
#include "io.h"
#include "parallel.h"
#include "stage.h"
#include "table.h"
#include "version.h"

enum { WINDOW = 512 * 1024 /* of each thread */, WINDOW_BLOCKS = WINDOW / BLOCK_SIZE };

/* ---- prepare ---- */

/* The entry must not be the running one's, nor stand beside it in an order that nobody knows. */
static int check_version(const struct finalize *f, struct error *err)
{
        if (version_compare(f->release->version, f->running_version) != 0 &&
            strcasecmp(f->release->version, f->running_version) != 0)
                return 0;
        return error_set(err, -EEXIST, "release %s cannot stand beside %s, which runs",
                         f->release->version, f->running_version);
}

/* Whether the running release may lose the others. */
static int check_way_back(const struct finalize *f, const struct entries *entries,
                          struct error *err)
{
        const struct boot_entry *running = entries_find(entries, f->running_version);

        if (!running)
                return error_set(err, -ENOENT, "release %s, which runs, has no boot entry",
                                 f->running_version);
        for (size_t i = 0; running->counted && i < entries->count; i++) {
                const struct boot_entry *e = &entries->items[i];

                if (!boot_entry_bootable(running) ||
                    (!streq(e->version, running->version) && boot_entry_bootable(e)))
                        return error_set(err, -EAGAIN,
                                         "release %s, which runs, is not known to be good",
                                         f->running_version);
        }
        return 0;
}

static int remove_entries(const struct finalize *f, const struct entries *entries,
                          struct error *err)
{
        char name[BOOT_ENTRY_NAME_MAX];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < entries->count; i++)
                if (!streq(entries->items[i].version, f->running_version))
                        r = store_file_remove(f->store, boot_entry_format(&entries->items[i], name),
                                              err);
        return r;
}

/* The running release's stays: what a rename that was cut leaves is one file with two names, whose
 * blocks are freed with either of them. */
static bool is_stray(const struct finalize *f, const char *name)
{
        const char *version = startswith(name, "slipway_");
        size_t n = strlen(f->running_version);

        return version && endswith(name, FINALIZE_STAGED_SUFFIX) && !streq(name, f->uki_name) &&
               !(strncmp(version, f->running_version, n) == 0 &&
                 streq(version + n, FINALIZE_STAGED_SUFFIX));
}

/* UKIs that other releases left half staged: the ESP has room for one. */
static int remove_strays(const struct finalize *f, struct error *err)
{
        int r = 0, fd = openat(f->store->entries_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *d;

        if (!directory) {
                close_p(&fd);
                return error_errno(err, "EFI/Linux");
        }
        while (r >= 0 && (d = readdir(directory)))
                if (is_stray(f, d->d_name))
                        r = store_file_remove(f->store, d->d_name, err);
        return r;
}

static void change_empty(const struct slot_partition *p, const char *role,
                         const struct sha256 *seed, struct table_change *ret)
{
        *ret = (struct table_change){ .number = p->number, .uuid = p->uuid, .label = "_empty" };
        if (!streq(p->label, "_empty"))
                derive_uuid(seed, role, &ret->uuid);
}

/* How many of image, tree and signature there are: the last one not on every disk. */
static size_t slot_parts(const struct slot *s)
{
        return s->signature.number != 0 ? 3 : 2;
}

static int empty_slot(const struct finalize *f, struct error *err)
{
        struct table_change changes[3];

        change_empty(&f->slot->usr, "empty-usr", &f->release->root_hash, &changes[0]);
        change_empty(&f->slot->tree, "empty-usr-verity", &f->release->root_hash, &changes[1]);
        change_empty(&f->slot->signature, "empty-usr-verity-sig", &f->release->root_hash,
                     &changes[2]);
        return table_update(f->store, changes, slot_parts(f->slot), err);
}

int finalize_prepare(struct finalize *f, struct error *err)
{
        struct entries entries;
        int r = entries_load(f->store->entries_fd, &entries, err);

        if (r >= 0)
                r = check_version(f, err);
        if (r >= 0)
                r = check_way_back(f, &entries, err);
        if (r >= 0)
                r = remove_entries(f, &entries, err);
        if (r >= 0)
                r = remove_strays(f, err);
        if (r >= 0)
                r = store_names_sync(f->store, err);
        if (r >= 0)
                r = empty_slot(f, err);
        return error_prefix(err, r, "Preparing slot %c", f->slot->name);
}

/* ---- verify ---- */

/* Blocks being read back: compared with a tree, or their digests collected. */
struct reading {
        int fd;
        uint64_t offset, size; /* the last block may be shorter: it counts as padded with zeros */
        const struct hash_tree *tree;
        struct sha256 *leaves;
};

static int compare_leaves(const struct reading *r, uint64_t first, uint64_t count,
                          const struct sha256 *found, struct error *err)
{
        struct sha256 want[WINDOW_BLOCKS];
        int code = hash_tree_leaves(r->tree, first, count, want, err);

        for (uint64_t i = 0; code >= 0 && i < count; i++)
                if (!sha256_equal(&want[i], &found[i]))
                        code = error_set(err, -EBADMSG, "block %ju is not what was written",
                                         (uintmax_t)(first + i));
        return code;
}

static int read_window(void *context, size_t index, struct error *err)
{
        const struct reading *reading = context;
        uint64_t at = (uint64_t)index * WINDOW, first = at / BLOCK_SIZE,
                 size = MIN(reading->size - at, (uint64_t)WINDOW),
                 count = DIV_ROUND_UP(size, BLOCK_SIZE);
        _cleanup_free_ char *data = aligned_alloc(IO_DIRECT_ALIGN, WINDOW);
        struct sha256 found[WINDOW_BLOCKS];
        size_t got;
        int r;

        if (!data)
                return error_oom(err);
        r = io_pread(reading->fd, data, count * BLOCK_SIZE, reading->offset + at, &got, err);
        if (r < 0)
                return r;
        if (got < size)
                return error_set(err, -ENODATA, "ends early");
        memset(data + size, 0, count * BLOCK_SIZE - size);
        blocks_hash(data, count, found);
        if (reading->tree)
                return compare_leaves(reading, first, count, found, err);
        memcpy(reading->leaves + first, found, count * sizeof(*found));
        return 0;
}

/* From the disk, not from memory: if not past the page cache, with what that has dropped. */
static int read_back(struct reading *reading, struct error *err)
{
        (void)posix_fadvise(reading->fd, (off_t)reading->offset, (off_t)reading->size,
                            POSIX_FADV_DONTNEED);
        return parallel_for(DIV_ROUND_UP(reading->size, WINDOW), 0, read_window, reading, err);
}

static int verify_slot(const struct finalize *f, struct error *err)
{
        const struct store_range *usr = &f->store->targets[STORE_USR],
                                 *tree = &f->store->targets[STORE_TREE];
        _cleanup_close_ int direct = -1;
        struct hash_tree leaves;
        int r;

        if (f->release->usr_size > usr->size || f->release->tree_size > tree->size)
                return error_set(err, -ENOSPC, "the release does not fit");
        (void)posix_fadvise(tree->fd, (off_t)tree->offset, (off_t)f->release->tree_size,
                            POSIX_FADV_DONTNEED);
        r = hash_tree_open(tree->fd, tree->offset, f->release->usr_size, &f->release->root_hash,
                           &leaves, err);
        if (r < 0)
                return r;
        direct = io_reopen_direct(usr->fd, err);
        if (direct < 0)
                return direct;
        return read_back(
                &(struct reading){ direct, usr->offset, f->release->usr_size, &leaves, NULL }, err);
}

static int verify_uki(const struct finalize *f, struct error *err)
{
        _cleanup_close_ int fd =
                openat(f->store->entries_fd, f->uki_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        uint64_t size = f->release->uki_size, count = DIV_ROUND_UP(size, BLOCK_SIZE);
        _cleanup_free_ struct sha256 *leaves = calloc(count, sizeof(*leaves));
        struct reading reading = { fd, 0, size, NULL, leaves };
        struct sha256 root;
        struct stat st;
        int r;

        if (!leaves)
                return error_oom(err);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", f->uki_name);
        if (size == 0 || (uint64_t)st.st_size != size)
                return error_set(err, -EBADMSG, "%s has not the release's size", f->uki_name);
        r = read_back(&reading, err);
        if (r < 0)
                return error_prefix(err, r, "%s", f->uki_name);
        r = hash_tree_root(leaves, count, &root, err);
        if (r < 0)
                return r;
        if (!sha256_equal(&root, &f->release->uki_root_hash))
                return error_set(err, -EBADMSG, "%s is not what was written", f->uki_name);
        return 0;
}

/* That of the release, or none. */
static int verify_signature(const struct finalize *f, struct error *err)
{
        const struct store_range *range = &f->store->targets[STORE_SIGNATURE];
        uint64_t size = MIN(range->size, (uint64_t)STAGE_SIGNATURE_SIZE),
                 used = f->release->usr_signature_size;
        _cleanup_free_ uint8_t *data = malloc(size + 1);
        struct sha256 digest;
        int r;

        if (range->fd < 0)
                return 0;
        if (!data)
                return error_oom(err);
        (void)posix_fadvise(range->fd, (off_t)range->offset, (off_t)size, POSIX_FADV_DONTNEED);
        r = store_read(f->store, STORE_SIGNATURE, 0, data, size, err);
        if (r < 0)
                return r;
        if (used > 0 && used <= size)
                sha256_of(data, used, &digest);
        if (used > size || !memory_is_zero(data + used, size - used) ||
            (used > 0 && !sha256_equal(&digest, &f->release->usr_signature)))
                return error_set(err, -EBADMSG, "its signature is not what was written");
        return 0;
}

int finalize_verify(struct finalize *f, struct error *err)
{
        int r = verify_slot(f, err);

        if (r >= 0)
                r = verify_signature(f, err);
        if (r >= 0)
                r = verify_uki(f, err);
        return error_prefix(err, r, "Verifying slot %c", f->slot->name);
}

/* ---- commit ---- */

static int name_slot(const struct finalize *f, struct error *err)
{
        struct table_change changes[3] = { { .number = f->slot->usr.number },
                                           { .number = f->slot->tree.number },
                                           { .number = f->slot->signature.number } };
        static const char *const formats[] = { "usr_", "usr-verity_", "usr-verity-sig_" };

        gpt_uuids_from_root_hash(&f->release->root_hash, &changes[0].uuid, &changes[1].uuid);
        derive_uuid(&f->release->root_hash, "usr-verity-sig", &changes[2].uuid);
        for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
                if (snprintf(changes[i].label, sizeof(changes[i].label), "%s%s", formats[i],
                             f->release->version) >= (int)sizeof(changes[i].label))
                        return error_set(err, -EINVAL, "version %s is too long for a label",
                                         f->release->version);
        return table_update(f->store, changes, slot_parts(f->slot), err);
}

/* Gives an entry another counter, durably. */
static int set_tries(struct store *store, const struct boot_entry *entry, unsigned tries,
                     struct error *err)
{
        char from[BOOT_ENTRY_NAME_MAX], to[BOOT_ENTRY_NAME_MAX];
        struct boot_entry counted = *entry;
        int r;

        counted.counted = true;
        counted.tries_left = tries;
        counted.tries_done = 0;
        r = store_file_rename(store, boot_entry_format(entry, from),
                              boot_entry_format(&counted, to), err);
        return r < 0 ? r : store_names_sync(store, err);
}

/* The release's entry becomes a bad one; twice, where a power cut left two names. */
static int mark_bad(struct store *store, const char *version, struct error *err)
{
        struct entries entries;
        int r = entries_load(store->entries_fd, &entries, err);

        for (size_t i = 0; r >= 0 && i < entries.count; i++)
                if (streq(entries.items[i].version, version) &&
                    boot_entry_bootable(&entries.items[i]))
                        r = set_tries(store, &entries.items[i], 0, err);
        return r;
}

static int name_entry(const struct finalize *f, struct error *err)
{
        struct boot_entry entry = { .counted = true, .tries_left = BOOT_TRIES };
        char name[BOOT_ENTRY_NAME_MAX];
        struct boot_entry again;
        int r;

        snprintf(entry.version, sizeof(entry.version), "%s", f->release->version);
        if (boot_entry_parse(boot_entry_format(&entry, name), &again) < 0 ||
            !streq(again.version, f->release->version))
                return error_set(err, -EINVAL, "version %s cannot name a boot entry",
                                 f->release->version);
        r = store_file_rename(f->store, f->uki_name, name, err);
        return r < 0 ? r : store_names_sync(f->store, err);
}

int finalize_commit(struct finalize *f, struct error *err)
{
        int r = check_version(f, err);

        if (r >= 0)
                r = name_slot(f, err);
        if (r >= 0)
                r = name_entry(f, err);
        if (r >= 0 && version_compare(f->release->version, f->running_version) < 0)
                r = mark_bad(f->store, f->running_version, err);
        return error_prefix(err, r, "Release %s", f->release->version);
}

int rollback_entries(struct store *store, const char *from, const char *to, struct error *err)
{
        const struct boot_entry *target;
        struct entries entries;
        int r = entries_load(store->entries_fd, &entries, err);

        if (r < 0)
                return r;
        target = entries_find(&entries, to);
        if (!target)
                return error_set(err, -ENOENT, "Release %s has no boot entry", to);
        if (!boot_entry_bootable(target))
                r = set_tries(store, target, BOOT_TRIES, err);
        else
                r = store_names_sync(store, err);
        if (r >= 0 && version_compare(to, from) < 0)
                r = mark_bad(store, from, err);
        return error_prefix(err, r, "Release %s", to);
}
