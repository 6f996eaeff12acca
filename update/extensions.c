/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extensions.h. The index is believed when one of the machine's keys signed it, and it says
 * that it is of this image, architecture and channel. A file is believed by its digest in there;
 * that its root hash is signed, too, is judged by who merges it. It gets its name when all of it is
 * on the disk. */

#include <fcntl.h>

#include "extensions.h"
#include "file-seal.h"
#include "io.h"
#include "request.h"
#include "strv.h"

/* ---- the channel's index ---- */

static char *site_url(const char *site, const char *path, const char *suffix)
{
        size_t n = strlen(site);
        _cleanup_free_ char *end = string_format("%s%s", path, suffix);

        while (n > 0 && site[n - 1] == '/')
                n--;
        return end ? string_format("%.*s/%s", (int)n, site, end) : NULL;
}

static int fetch_small(const char *site, const char *path, const char *suffix, size_t limit,
                       char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *url = site_url(site, path, suffix);
        const struct request request = { .url = url, .limit = limit };

        return url ? request_run(&request, ret, ret_size, err) : error_oom(err);
}

static int check_index(const struct extension_index *index, const struct update_config *config,
                       const struct host *h, struct error *err)
{
        if (!streq(index->image, h->release.image) ||
            !streq(index->architecture, host_architecture()) ||
            !streq(index->channel, config->channel))
                return error_set(err, -EBADMSG, EXTENSION_INDEX_NAME ": of another channel");
        return 0;
}

/* -ENOENT: the channel has none. */
static int fetch_index(const struct update_config *config, const struct keyring *keys,
                       const struct host *h, struct extension_index *ret, struct error *err)
{
        _cleanup_free_ char *path =
                string_format("channels/%s/%s/%s/" EXTENSION_INDEX_NAME, h->release.image,
                              host_architecture(), config->channel);
        _cleanup_free_ char *text = NULL, *bytes = NULL;
        size_t size, n;
        struct file_seal seal;
        int r = path ? fetch_small(config->site, path, FILE_SEAL_SUFFIX, FILE_SEAL_MAX, &bytes, &n,
                                   err)
                     : error_oom(err);

        if (r >= 0)
                r = file_seal_parse(bytes, n, EXTENSION_INDEX_MAX, &seal, err);
        if (r >= 0)
                r = fetch_small(config->site, path, "", seal.size, &text, &size, err);
        if (r >= 0)
                r = keyring_verify(keys, text, size, seal.signatures, seal.count, err);
        if (r >= 0)
                r = extension_index_parse(EXTENSION_INDEX_NAME, text, size, ret, err);
        return r < 0 ? r : check_index(ret, config, h, err);
}

/* ---- the plan ---- */

static char *file_path(const struct host *h, const struct extension_entry *e)
{
        _cleanup_free_ char *path = string_format(EXTENSIONS_DIRECTORY "/%s-%s-%s.raw", e->name,
                                                  e->version, host_architecture());

        return path ? host_path(&h->places, path) : NULL;
}

static bool is_here(const char *path, const struct extension_entry *e)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct sha256 digest;
        struct error ignored;
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
               (uint64_t)st.st_size == e->size &&
               sha256_fd(fd, 0, e->size, &digest, &ignored) >= 0 &&
               sha256_equal(&digest, &e->sha256);
}

static struct extension_host host_of(const struct host *h, const struct release *release)
{
        return (struct extension_host){
                .levels = release->sysext_levels,
                .version_ids = { h->release.version_id, release->version },
        };
}

static int find_replacements(struct extension_plan *p, const struct host *h,
                             const struct release *release, struct error *err)
{
        const struct extension_host host = host_of(h, release);
        int r = 0;

        p->replacements = calloc(p->problems.count, sizeof(*p->replacements));
        if (!p->replacements)
                return error_oom(err);
        for (size_t i = 0; r >= 0 && i < p->problems.count; i++) {
                struct extension_entry **e = &p->replacements[i];
                _cleanup_free_ char *path = NULL;

                r = extension_index_find(&p->index, p->problems.items[i].name, &host, e, err);
                path = r >= 0 && *e ? file_path(h, *e) : NULL;
                if (r >= 0 && *e && !path)
                        r = error_oom(err);
                if (path && !is_here(path, *e))
                        p->fetch_bytes += (*e)->size;
        }
        return r;
}

static int make_plan(const struct update_config *config, const struct keyring *keys,
                     const struct host *h, const struct release *release, struct extension_plan *p,
                     struct error *err)
{
        int r = sysext_check(h, release, &p->problems, err);

        if (r < 0 || p->problems.count == 0)
                return r;
        r = fetch_index(config, keys, h, &p->index, err);
        if (r == -ENOENT)
                r = 0;
        return r < 0 ? r : find_replacements(p, h, release, err);
}

int extensions_plan(const struct update_config *config, const struct keyring *keys,
                    const struct host *h, const struct release *release, struct extension_plan *ret,
                    struct error *err)
{
        struct extension_plan p = {};
        int r = make_plan(config, keys, h, release, &p, err);

        if (r < 0) {
                extension_plan_done(&p);
                return error_prefix(err, r, "extensions");
        }
        *ret = p;
        return 0;
}

void extension_plan_done(struct extension_plan *p)
{
        sysext_problems_done(&p->problems);
        extension_index_done(&p->index);
        free(p->replacements);
        *p = (struct extension_plan){};
}

int extensions_refuse(const struct extension_plan *p, struct error *err)
{
        for (size_t i = 0; i < p->problems.count; i++)
                if (!p->replacements[i])
                        return error_set(
                                err, -ENOPKG,
                                "extension '%s' %s, and the site has no version of it that "
                                "fits",
                                p->problems.items[i].name, p->problems.items[i].reason);
        return 0;
}

/* ---- files ---- */

static int take_bytes(void *userdata, size_t range _unused_, uint64_t offset, const void *data,
                      size_t size, struct error *err)
{
        const struct draft *draft = userdata;

        return io_pwrite(draft->fd, data, size, offset, err);
}

static int fetch_draft(struct draft *draft, const char *url, const struct extension_entry *e,
                       struct fetcher *fetcher, struct error *err)
{
        const struct fetch_range all = { .offset = 0, .size = e->size };
        struct sha256 digest;
        int r = fetch_ranges(fetcher, url, e->size, &all, 1, take_bytes, draft, err);

        if (r >= 0)
                r = sha256_fd(draft->fd, 0, e->size, &digest, err);
        if (r >= 0 && !sha256_equal(&digest, &e->sha256))
                return error_set(err, -EBADMSG, "%s: not the file that the index names", url);
        return r;
}

static int fetch_file(const struct host *h, const struct extension_entry *e, const char *site,
                      struct fetcher *fetcher, struct error *err)
{
        _cleanup_free_ char *path = file_path(h, e), *url = NULL;
        _cleanup_close_ int dir_fd = -1; /* outlives the draft, which is removed through it */
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        char hex[SHA256_HEX_SIZE];
        int r;

        url = site_url(site, sha256_hex(&e->sha256, hex), ".raw");
        if (!path || !url)
                return error_oom(err);
        if (is_here(path, e))
                return 0;
        *strrchr(path, '/') = '\0';
        dir_fd = path_open_dir(AT_FDCWD, path, 0755, err);
        if (dir_fd < 0)
                return dir_fd;
        drafts_sweep(dir_fd);
        r = draft_open(&draft, dir_fd, path + strlen(path) + 1, 0644, err);
        if (r >= 0)
                r = fetch_draft(&draft, url, e, fetcher, err);
        return r < 0 ? r : draft_publish(&draft, err);
}

/* ---- the note of what was fetched ---- */

static int new_note(const struct host *h, struct extension_index *ret, struct error *err)
{
        *ret = (struct extension_index){ .format = EXTENSION_INDEX_FORMAT,
                                         .image = strdup(h->release.image),
                                         .architecture = strdup(host_architecture()),
                                         .channel = strdup("any") };
        return ret->image && ret->architecture && ret->channel ? 0 : error_oom(err);
}

/* One that is damaged is begun anew: then some files stay that could go. */
static int load_note(const struct host *h, char **ret_path, struct extension_index *ret,
                     struct error *err)
{
        _cleanup_free_ char *path = host_path(&h->places, EXTENSIONS_NOTE), *text = NULL;
        struct error ignored;
        size_t size;
        int r = path ? file_read(AT_FDCWD, path, EXTENSION_INDEX_MAX, &text, &size, &ignored)
                     : error_oom(err);

        if (!path)
                return r;
        if (r >= 0)
                r = extension_index_parse(path, text, size, ret, &ignored);
        if (r < 0)
                r = new_note(h, ret, err);
        if (r >= 0)
                *ret_path = TAKE_PTR(path);
        return r;
}

static int save_note(const char *path, const struct extension_index *note, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = extension_index_text(note, &text, err);

        return r < 0 ? r : file_write(AT_FDCWD, path, text, strlen(text), 0644, err);
}

static int copy_text(const char *from, char **ret, struct error *err)
{
        *ret = from ? strdup(from) : NULL;
        return from && !*ret ? error_oom(err) : 0;
}

static int note_entry(struct extension_index *note, const struct extension_entry *e,
                      struct error *err)
{
        struct extension_entry copy = { .sha256 = e->sha256, .size = e->size };
        int r = copy_text(e->name, &copy.name, err);

        if (r >= 0)
                r = copy_text(e->version, &copy.version, err);
        if (r >= 0)
                r = copy_text(e->match.id, &copy.match.id, err);
        if (r >= 0)
                r = copy_text(e->match.level, &copy.match.level, err);
        if (r >= 0)
                r = copy_text(e->match.version_id, &copy.match.version_id, err);
        if (r >= 0)
                r = extension_index_add(note, &copy, err);
        extension_entry_done(&copy);
        return r;
}

/* The note is first: what it does not name is never removed. */
int extensions_fetch(const struct extension_plan *p, const char *site, const struct host *h,
                     struct fetcher *fetcher, struct error *err)
{
        _cleanup_extension_index_ struct extension_index note = {};
        _cleanup_free_ char *path = NULL, *files = string_format("%s/extensions", site);
        int r = files ? 0 : error_oom(err);

        if (r >= 0 && p->problems.count > 0)
                r = load_note(h, &path, &note, err);
        for (size_t i = 0; r >= 0 && i < p->problems.count; i++)
                if (p->replacements[i])
                        r = note_entry(&note, p->replacements[i], err);
        if (r >= 0 && path)
                r = save_note(path, &note, err);
        for (size_t i = 0; r >= 0 && i < p->problems.count; i++)
                if (p->replacements[i])
                        r = error_prefix(err,
                                         fetch_file(h, p->replacements[i], files, fetcher, err),
                                         "extension '%s'", p->problems.items[i].name);
        return r;
}

/* ---- what nobody takes any more ---- */

static int is_wanted(const struct extension_entry *e, const struct host *h,
                     const struct release *release, struct error *err)
{
        char *levels[] = { h->release.sysext_level, NULL };
        const struct extension_host hosts[] = {
                host_of(h, release),
                { .levels = levels, .version_ids = { h->release.version_id } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
                _cleanup_free_ char *reason = NULL;
                int r = extension_fits(&e->match, &hosts[i], &reason, err);

                if (r < 0 || !reason)
                        return r < 0 ? r : 1;
        }
        return 0;
}

static int sweep_note(struct extension_index *note, const struct host *h,
                      const struct release *release, struct error *err)
{
        for (size_t i = note->entries.count; i-- > 0;) {
                const struct extension_entry *e = &extension_entries(note)[i];
                _cleanup_free_ char *path = file_path(h, e);
                int r = path ? is_wanted(e, h, release, err) : error_oom(err);

                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (unlink(path) < 0 && errno != ENOENT)
                        return error_errno(err, "%s", path);
                extension_index_remove(note, i);
        }
        return 0;
}

int extensions_sweep(const struct host *h, const struct release *release, struct error *err)
{
        _cleanup_extension_index_ struct extension_index note = {};
        _cleanup_free_ char *path = NULL;
        size_t count;
        int r = load_note(h, &path, &note, err);

        count = note.entries.count;
        if (r >= 0)
                r = sweep_note(&note, h, release, err);
        return r < 0 || note.entries.count == count ? r : save_note(path, &note, err);
}
