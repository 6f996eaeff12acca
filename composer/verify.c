/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See verify.h. libcryptsetup reads its data from the start of a file, so slots are copied out of
 * the disk into drafts, which are never published. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>

#include "disk.h"
#include "image-commit.h"
#include "io.h"
#include "pe.h"
#include "report.h"
#include "verify.h"
#include "verity.h"
#include "strv.h"

enum { UKI_SIZE_MAX = 512 * 1024 * 1024 };

struct verifier {
        const struct workdir *w;
        const char *directory;
        int dir_fd;
        verify_said_fn said;
        void *userdata;
        struct report_summary report;
};

static void verifier_done(struct verifier *v)
{
        close_p(&v->dir_fd);
        report_summary_done(&v->report);
}

static void _printf_(2, 3) say(const struct verifier *v, const char *format, ...)
{
        char text[ERROR_MESSAGE_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        v->said(v->userdata, text);
}

/* ---- artifacts ---- */

static int check_artifact(const struct verifier *v, const struct artifact *wanted,
                          struct error *err)
{
        _cleanup_close_ int fd = openat(v->dir_fd, wanted->name, O_RDONLY | O_CLOEXEC);
        struct artifact found = { .name = wanted->name };
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", wanted->name);
        found.size = (uint64_t)st.st_size;
        if (found.size != wanted->size)
                return error_set(err, -EBADMSG, "%s: %" PRIu64 " bytes, the report says %" PRIu64,
                                 wanted->name, found.size, wanted->size);
        r = artifact_digest(fd, NULL, &found, err);
        if (r < 0)
                return r;
        if (!sha256_equal(&found.sha256, &wanted->sha256))
                return error_set(err, -EBADMSG, "%s: its digest differs from the report's",
                                 wanted->name);
        say(v, "%s: size and digest are those of the report", wanted->name);
        return 0;
}

static const char *artifact_with(const struct verifier *v, const char *suffix)
{
        for (size_t i = 0; i < v->report.artifacts.count; i++)
                if (endswith(v->report.artifacts.items[i].name, suffix))
                        return v->report.artifacts.items[i].name;
        return NULL;
}

static int artifact_path(const struct verifier *v, const char *suffix, char **ret,
                         struct error *err)
{
        const char *name = artifact_with(v, suffix);

        if (!name)
                return error_set(err, -ENOENT, "the report lists no *%s", suffix);
        *ret = string_format("%s/%s", v->directory, name);
        if (!*ret)
                return error_oom(err);
        return 0;
}

/* ---- disk ---- */

static int find_slot(const struct layout *l, enum partition_role role, const struct uuid *uuid,
                     const struct partition **ret, struct error *err)
{
        for (size_t i = 0; i < l->count; i++)
                if (l->partitions[i].role == role &&
                    memcmp(&l->partitions[i].uuid, uuid, sizeof(*uuid)) == 0) {
                        *ret = &l->partitions[i];
                        return 0;
                }
        return error_set(err, -EBADMSG, "no %s partition carries the root hash's UUID",
                         partition_role_name(role));
}

/* Copies the content of a partition into a draft; *ret_path is its temporary path. */
static int copy_out(const struct verifier *v, int disk, const struct partition *p, uint64_t size,
                    struct draft *d, char **ret_path, struct error *err)
{
        int r;

        if (size > p->size)
                return error_set(err, -EBADMSG, "partition %s is smaller than its content",
                                 p->label);
        r = draft_open(d, v->w->cache_fd, p->slot == 'A' ? "verify-a" : "verify-b", 0600, err);
        if (r < 0)
                return r;
        if (ftruncate(d->fd, (off_t)size) < 0)
                return error_errno(err, "copy of partition %s", p->label);
        *ret_path = string_format("%s/%s", v->w->cache_path, d->temp);
        if (!*ret_path)
                return error_oom(err);
        return io_copy(disk, p->start, d->fd, 0, size, err);
}

static int check_slot(const struct verifier *v, const char *disk_path, const struct layout *l,
                      struct error *err)
{
        _cleanup_draft_ struct draft data_draft = DRAFT_NULL, tree_draft = DRAFT_NULL;
        _cleanup_free_ char *data_path = NULL, *tree_path = NULL;
        _cleanup_close_ int disk = open(disk_path, O_RDONLY | O_CLOEXEC);
        const struct partition *data = NULL, *tree = NULL;
        struct uuid data_uuid, tree_uuid;
        int r;

        if (disk < 0)
                return error_errno(err, "%s", disk_path);
        gpt_uuids_from_root_hash(&v->report.root_hash, &data_uuid, &tree_uuid);
        r = find_slot(l, PARTITION_USR, &data_uuid, &data, err);
        if (r >= 0)
                r = find_slot(l, PARTITION_USR_VERITY, &tree_uuid, &tree, err);
        if (r >= 0)
                r = copy_out(v, disk, data, v->report.usr_size, &data_draft, &data_path, err);
        if (r >= 0)
                r = copy_out(v, disk, tree, v->report.tree_size, &tree_draft, &tree_path, err);
        if (r >= 0)
                r = verity_verify(data_path, tree_path, &v->report.root_hash, err);
        if (r < 0)
                return error_prefix(err, r, "slot %c", data ? data->slot : '?');
        say(v, "slot %c: every block of %s matches the hash tree and the root hash", data->slot,
            data->label);
        return 0;
}

static int check_disk(const struct verifier *v, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        struct layout layout;
        int r;

        r = artifact_path(v, ".raw", &path, err);
        if (r >= 0)
                r = disk_read(path, &layout, err);
        if (r < 0)
                return r;
        say(v, "partition table: both copies are sound, %zu partitions", layout.count);
        return check_slot(v, path, &layout, err);
}

/* ---- UKI ---- */

static int check_uki(const struct verifier *v, struct error *err)
{
        _cleanup_free_ char *path = NULL, *data = NULL, *cmdline = NULL;
        const struct pe_section *section;
        char wanted[SHA256_HEX_SIZE + 16], hex[SHA256_HEX_SIZE];
        struct pe pe;
        size_t size;
        int r;

        r = artifact_path(v, ".efi", &path, err);
        if (r >= 0)
                r = file_read(AT_FDCWD, path, UKI_SIZE_MAX, &data, &size, err);
        if (r >= 0)
                r = pe_read(data, size, &pe, err);
        if (r < 0)
                return r;
        section = pe_find(&pe, ".cmdline");
        if (!section)
                return error_set(err, -EBADMSG, "%s: no .cmdline section", path);
        cmdline = strndup(data + section->offset, MIN(section->file_size, section->memory_size));
        if (!cmdline)
                return error_oom(err);
        snprintf(wanted, sizeof(wanted), "usrhash=%s", sha256_hex(&v->report.root_hash, hex));
        if (!strstr(cmdline, wanted))
                return error_set(err, -EBADMSG, "%s: its command line has another root hash", path);
        say(v, "UKI: its command line carries the root hash");
        return 0;
}

/* ---- commit ---- */

static int derive_again(const struct workdir *w, const struct commit_image *c,
                        struct sha256 *ret_root_hash, struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        int r = commit_image_leaves(w, c, &leaves, err);

        return r < 0 ? r : verity_write(&leaves, &(struct uuid){}, -1, 0, ret_root_hash, err);
}

/* Another version of the compressing library may give other bytes: the likely reason. */
static int explain_difference(const struct workdir *w, const struct sha256 *commit,
                              const struct commit_image *c, const char *derived,
                              const char *claimed, struct error *err)
{
        _cleanup_free_ char *library = NULL;
        char here[CODEC_LIBRARY_MAX];
        int r;

        r = repo_metadata(w->repo, commit, COMMIT_EROFS_LIBRARY, &library, err);
        if (r < 0)
                return r;
        image_library(&c->settings, here);
        if (streq(library, here))
                return error_set(err, -EBADMSG, "derives to root hash %s, claims %s", derived,
                                 claimed);
        return error_set(err, -EBADMSG,
                         "derives to root hash %s, claims %s; it was compressed by %s, here is %s",
                         derived, claimed, library, here);
}

int verify_commit(const struct workdir *w, const char *ref_or_checksum, verify_said_fn said,
                  void *userdata, struct error *err)
{
        const struct verifier v = { .w = w, .said = said, .userdata = userdata };
        _cleanup_commit_image_ struct commit_image c = {};
        _cleanup_free_ char *claimed = NULL;
        struct sha256 commit, derived;
        char hex[SHA256_HEX_SIZE];
        int r;

        r = repo_resolve(w->repo, ref_or_checksum, &commit, err);
        if (r >= 0)
                r = repo_metadata(w->repo, &commit, COMMIT_ROOT_HASH, &claimed, err);
        if (r >= 0)
                r = commit_image_load(w, &commit, NULL, &c, err);
        if (r >= 0)
                r = derive_again(w, &c, &derived, err);
        if (r >= 0 && !streq(sha256_hex(&derived, hex), claimed))
                r = explain_difference(w, &commit, &c, hex, claimed, err);
        if (r < 0)
                return error_prefix(err, r, "commit '%s'", ref_or_checksum);
        say(&v, "commit %s: derives again to root hash %s", sha256_hex(&commit, hex), claimed);
        return 0;
}

static int check_commit(const struct verifier *v, struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        struct sha256 ignored;
        struct error absent;

        sha256_hex(&v->report.commit, hex);
        if (repo_resolve(v->w->repo, hex, &ignored, &absent) < 0) {
                say(v, "commit %s: not in this repository, not checked", hex);
                return 0;
        }
        return verify_commit(v->w, hex, v->said, v->userdata, err);
}

int verify_build(const struct workdir *w, const char *directory, verify_said_fn said,
                 void *userdata, struct error *err)
{
        _cleanup_(verifier_done) struct verifier v = {
                .w = w,
                .directory = directory,
                .said = said,
                .userdata = userdata,
                .dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        };
        int r;

        if (v.dir_fd < 0)
                return error_errno(err, "%s", directory);
        r = report_load(directory, &v.report, err);
        for (size_t i = 0; r >= 0 && i < v.report.artifacts.count; i++)
                r = check_artifact(&v, &v.report.artifacts.items[i], err);
        if (r >= 0)
                r = check_disk(&v, err);
        if (r >= 0)
                r = check_uki(&v, err);
        if (r >= 0)
                r = check_commit(&v, err);
        return error_prefix(err, r, "%s", directory);
}
