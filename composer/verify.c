/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See verify.h. Here is what there is around a disk: the files of a build, and commits. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>

#include "image-commit.h"
#include "io.h"
#include "report.h"
#include "strv.h"
#include "verify.h"
#include "verity.h"

struct build {
        const struct workdir *w;
        const char *directory;
        int dir_fd;
        const struct verify_options *options;
        struct report_summary report;
};

static void build_done(struct build *v)
{
        close_p(&v->dir_fd);
        report_summary_done(&v->report);
}

static void _printf_(3, 4)
        say(const struct verify_options *o, const char *link, const char *format, ...)
{
        char text[ERROR_MESSAGE_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        o->said(o->userdata, link, VERIFY_HOLDS, text);
}

/* ---- artifacts ---- */

static int check_artifact(const struct build *v, const struct artifact *wanted, struct error *err)
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
        r = artifact_digest(fd, NULL, 0, &found, err);
        if (r < 0)
                return r;
        if (!sha256_equal(&found.sha256, &wanted->sha256))
                return error_set(err, -EBADMSG, "%s: its digest differs from the report's",
                                 wanted->name);
        say(v->options, "artifacts", "%s: size and digest are those of the report", wanted->name);
        return 0;
}

static const char *artifact_with(const struct build *v, const char *suffix)
{
        for (size_t i = 0; i < v->report.artifacts.count; i++)
                if (endswith(v->report.artifacts.items[i].name, suffix))
                        return v->report.artifacts.items[i].name;
        return NULL;
}

static int artifact_path(const struct build *v, const char *suffix, char **ret, struct error *err)
{
        const char *name = artifact_with(v, suffix);

        if (!name)
                return error_set(err, -ENOENT, "the report lists no *%s", suffix);
        *ret = string_format("%s/%s", v->directory, name);
        if (!*ret)
                return error_oom(err);
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

int verify_commit(const struct workdir *w, const char *ref_or_checksum,
                  const struct verify_options *options, struct error *err)
{
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
        say(options, "commit", "%s derives again to root hash %s", sha256_hex(&commit, hex),
            claimed);
        return 0;
}

static int check_commit(const struct build *v, struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        struct sha256 ignored;
        struct error absent;

        sha256_hex(&v->report.commit, hex);
        if (repo_resolve(v->w->repo, hex, &ignored, &absent) < 0) {
                v->options->said(v->options->userdata, "commit", VERIFY_UNCHECKED,
                                 "not in this repository");
                return 0;
        }
        return verify_commit(v->w, hex, v->options, err);
}

static int check_disk(const struct build *v, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = artifact_path(v, ".raw", &path, err);

        return r < 0 ? r : verify_disk(path, v->options, err);
}

int verify_build(const struct workdir *w, const char *directory,
                 const struct verify_options *options, struct error *err)
{
        _cleanup_(build_done) struct build v = {
                .w = w,
                .directory = directory,
                .options = options,
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
                r = check_commit(&v, err);
        return error_prefix(err, r, "%s", directory);
}
