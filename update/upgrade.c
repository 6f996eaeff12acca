/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See upgrade.h. What each step leaves on the disk when it is the last one that was made is told in
 * finalize.h and stage.h; here is their order, and what is refused before the first of them. */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>

#include "finalize.h"
#include "history.h"
#include "io.h"
#include "module-set.h"
#include "site-state.h"
#include "strv.h"
#include "upgrade.h"

const char *const upgrade_phase_names[_UPGRADE_PHASE_MAX] = {
        [UPGRADE_IDLE] = "idle",           [UPGRADE_CHECKING] = "checking",
        [UPGRADE_PREPARING] = "preparing", [UPGRADE_STAGING] = "staging",
        [UPGRADE_VERIFYING] = "verifying", [UPGRADE_FINALIZING] = "finalizing",
};

const char *const upgrade_verdict_names[_UPGRADE_VERDICT_MAX] = {
        [UPGRADE_CURRENT] = "current",     [UPGRADE_PENDING] = "pending",
        [UPGRADE_AVAILABLE] = "available", [UPGRADE_FAILED] = "failed",
        [UPGRADE_LEFT] = "rolled-back",
};

static void report(const struct upgrade *u, enum upgrade_phase phase, uint64_t done, uint64_t total)
{
        if (u->options->progress)
                u->options->progress(u->options->userdata, phase, done, total);
}

/* ---- lock, host, configuration ---- */

static int take_lock(struct upgrade *u, struct error *err)
{
        _cleanup_free_ char *directory = host_path(&u->options->places, "/run/slipway"),
                            *path = host_path(&u->options->places, UPGRADE_LOCK_PATH);
        int r = directory && path ? path_mkdirs(AT_FDCWD, directory, 0755, err) : error_oom(err);

        if (r < 0)
                return r;
        u->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (u->lock_fd < 0)
                return error_errno(err, "%s", path);
        if (flock(u->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? error_set(err, -EBUSY, "another update is under way")
                                            : error_errno(err, "%s", path);
        return 0;
}

static int open_upgrade(struct upgrade *u, struct error *err)
{
        int r = take_lock(u, err);

        if (r >= 0)
                r = update_config_load(u->options->places.root, &u->config, err);
        if (r >= 0)
                r = host_load(&u->options->places, &u->host, err);
        if (r >= 0)
                r = host_load_release(&u->host, err);
        if (r >= 0 && !u->host.running)
                r = error_set(err, -ENODATA, "%s: none of its slots runs", u->host.disk);
        if (r >= 0 && !u->host.idle)
                r = error_set(err, -ENODATA, "%s: there is no second slot", u->host.disk);
        if (r >= 0)
                r = host_load_entries(&u->host, err);
        return r;
}

/* The host has pointers into itself, so it stays where it is. */
int upgrade_open(const struct upgrade_options *options, struct upgrade *ret, struct error *err)
{
        int r;

        *ret = (struct upgrade)UPGRADE_NULL;
        ret->options = options;
        r = open_upgrade(ret, err);
        if (r < 0)
                upgrade_done(ret);
        return r;
}

void upgrade_done(struct upgrade *u)
{
        site_offer_done(&u->offer);
        extension_plan_done(&u->extensions);
        update_config_done(&u->config);
        host_done(&u->host);
        close_p(&u->lock_fd);
        *u = (struct upgrade)UPGRADE_NULL;
}

/* ---- check ---- */

static int load_memory(struct upgrade *u, const char *path, struct site_memory *ret,
                       struct error *err)
{
        int r = site_memory_load(path, ret, err);

        if (r < 0 || !ret->site)
                return r;
        if (!streq(ret->site, u->config.site) || !streq(ret->channel, u->config.channel))
                ret->summary_timestamp = 0; /* of another site's clock */
        return 0;
}

static int save_memory(struct upgrade *u, const char *path, uint64_t now, struct error *err)
{
        const struct site_memory m = { .summary_timestamp = u->offer.summary_timestamp,
                                       .checked = now,
                                       .site = u->config.site,
                                       .channel = u->config.channel,
                                       .version = u->offer.release.version,
                                       .root_hash = u->offer.release.root_hash };

        return site_memory_save(path, &m, err);
}

static int load_keys(const struct upgrade *u, struct keyring *ret, struct error *err)
{
        return keyring_load(u->options->places.root, u->config.keys, u->config.revoked, ret, err);
}

static int ask_site(struct upgrade *u, struct error *err)
{
        _cleanup_free_ char *path = host_path(&u->options->places, SITE_STATE_PATH),
                            *repo = host_path(&u->options->places, STATE_DIRECTORY "/repo");
        _cleanup_(site_memory_done) struct site_memory memory = {};
        struct site_state state = { .running_timestamp = u->host.release.timestamp,
                                    .running_version = u->host.release.version,
                                    .now = (uint64_t)time(NULL),
                                    .allow_downgrade = u->options->allow_downgrade };
        struct keyring keys;
        int r = path && repo ? load_memory(u, path, &memory, err) : error_oom(err);

        state.summary_timestamp = memory.summary_timestamp;
        if (r >= 0)
                r = load_keys(u, &keys, err);
        if (r >= 0)
                r = site_check(&u->config, &keys, u->host.release.image, host_architecture(), repo,
                               &state, &u->offer, err);
        return r < 0 ? r : save_memory(u, path, state.now, err);
}

/* Whether the last that happened to a release was that somebody went back from it. */
static bool was_left(const struct history *h, const struct sha256 *root_hash)
{
        for (size_t i = h->count; i > 0; i--)
                if (sha256_equal(&h->items[i - 1].root_hash, root_hash))
                        return h->items[i - 1].kind == HISTORY_ROLLED_BACK;
        return false;
}

static int ask_history(struct upgrade *u, enum upgrade_verdict *ret, struct error *err)
{
        _cleanup_free_ char *path = host_path(&u->options->places, HISTORY_PATH);
        const struct sha256 *root_hash = &u->offer.release.root_hash;
        _cleanup_(history_done) struct history history = {};
        int r = path ? history_load(path, &history, err) : error_oom(err);

        if (r >= 0)
                *ret = history_failed(&history, root_hash) ? UPGRADE_FAILED
                       : was_left(&history, root_hash)     ? UPGRADE_LEFT
                                                           : UPGRADE_AVAILABLE;
        return r;
}

/* The other slot has the release, and its entry is the one that boots next. */
static bool is_pending(const struct upgrade *u)
{
        const struct boot_entry *next = entries_next(&u->host.entries);

        return slots_find(&u->host.slots, &u->offer.release.root_hash) == u->host.idle && next &&
               streq(next->version, u->offer.release.version) && boot_entry_bootable(next);
}

int upgrade_check(struct upgrade *u, struct error *err)
{
        enum upgrade_verdict past = UPGRADE_AVAILABLE;
        int r;

        if (!u->config.site)
                return error_set(err, -ENODATA, "no site is configured");
        report(u, UPGRADE_CHECKING, 0, 0);
        r = ask_site(u, err);
        if (r >= 0)
                r = ask_history(u, &past, err);
        if (r < 0)
                return r;
        u->verdict = sha256_equal(&u->offer.release.root_hash, &u->host.root_hash) ? UPGRADE_CURRENT
                     : is_pending(u)                                               ? UPGRADE_PENDING
                                                                                   : past;
        return 0;
}

/* ---- does it fit ---- */

/* What a file in EFI/Linux takes, if preparing removes it. */
static uint64_t freed_by(int fd, const struct dirent *entry, const char *running)
{
        struct boot_entry e;
        struct stat st;
        bool ours = boot_entry_parse(entry->d_name, &e) == 0
                            ? !streq(e.version, running)
                            : endswith(entry->d_name, FINALIZE_STAGED_SUFFIX);

        return ours && fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
                       ? (uint64_t)st.st_size
                       : 0;
}

static int esp_free(struct upgrade *u, struct error *err)
{
        int fd = openat(u->host.esp_fd, "EFI/Linux", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        struct statvfs st;

        if (!dir) {
                int r = error_errno(err, "ESP: EFI/Linux");

                close_p(&fd);
                return r;
        }
        if (fstatvfs(fd, &st) < 0)
                return error_errno(err, "ESP");
        u->esp_free = (uint64_t)st.f_bavail * st.f_frsize;
        while ((entry = readdir(dir)))
                u->esp_free += freed_by(fd, entry, u->host.release.version);
        return 0;
}

int upgrade_fits(struct upgrade *u, struct error *err)
{
        const struct release *r = &u->offer.release;
        const struct slot *slot = u->host.idle;
        int code = esp_free(u, err);
        const struct {
                const char *what;
                uint64_t want, have;
        } needs[] = {
                { "image in its partition", MAX(r->usr_size, r->layout.usr), slot->usr.size },
                { "hash tree in its partition", MAX(r->tree_size, r->layout.usr_verity),
                  slot->tree.size },
                { "kernel image on the ESP", r->uki_size, u->esp_free },
        };

        if (code < 0)
                return code;
        for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
                if (needs[i].want > needs[i].have)
                        return error_set(
                                err, -ENOSPC,
                                "release %s does not fit: its %s wants %ju bytes, %ju more "
                                "than there are",
                                r->version, needs[i].what, (uintmax_t)needs[i].want,
                                (uintmax_t)(needs[i].want - needs[i].have));
        return 0;
}

/* ---- stage ---- */

static void on_stage(void *userdata, enum stage_object_kind object, uint64_t done, uint64_t total)
{
        const struct upgrade *u = userdata;
        const struct release *r = &u->offer.release;
        const uint64_t sizes[_STAGE_OBJECT_MAX] = { r->tree_size, r->usr_size, r->uki_size };
        uint64_t before = 0, all = 0;

        for (size_t i = 0; i < _STAGE_OBJECT_MAX; i++) {
                before += i < object ? sizes[i] : 0;
                all += sizes[i];
        }
        if (total > 0)
                before += (uint64_t)((double)sizes[object] * (double)done / (double)total);
        report(u, UPGRADE_STAGING, MIN(before, all), all);
}

static int run_stage(struct upgrade *u, struct store *store, const char *uki_name,
                     int (*run)(struct stage *s, struct error *err), struct error *err)
{
        _cleanup_(target_sources_done) struct target_sources sources = TARGET_SOURCES_NULL;
        _cleanup_free_ char *modules = host_path(&u->options->places, MODULE_DIRECTORY);
        _cleanup_(fetcher_free_p) struct fetcher *fetcher = NULL;
        struct keyring keys;
        struct stage stage = { .site = u->config.site,
                               .release = &u->offer.release,
                               .store = store,
                               .uki_name = uki_name,
                               .modules = modules,
                               .keys = &keys,
                               .gap = STAGE_GAP_DEFAULT,
                               .progress = on_stage,
                               .userdata = u };
        int r = modules ? load_keys(u, &keys, err) : error_oom(err);

        if (r >= 0)
                r = target_sources_open(&u->host, &sources, err);
        if (r >= 0)
                r = fetcher_new(&fetcher, err);
        if (r < 0)
                return r;
        stage.fetcher = fetcher;
        stage.usr_sources = &sources.usr;
        stage.n_usr_sources = 1;
        stage.uki_sources = &sources.uki;
        stage.n_uki_sources = sources.has_uki;
        r = run(&stage, err);
        memcpy(u->counts, stage.counts, sizeof(u->counts));
        u->requests = fetcher_statistics(fetcher)->requests;
        u->fetched = fetcher_statistics(fetcher)->bytes;
        return r;
}

static char *staged_name(const struct upgrade *u)
{
        return string_format("slipway_%s" FINALIZE_STAGED_SUFFIX, u->offer.release.version);
}

int upgrade_plan(struct upgrade *u, struct error *err)
{
        _cleanup_(store_done) struct store store = STORE_NULL;
        _cleanup_free_ char *uki_name = staged_name(u);
        int r = uki_name ? target_open(&u->host, &store, err) : error_oom(err);

        return r < 0 ? r : run_stage(u, &store, uki_name, stage_plan, err);
}

int upgrade_extensions(struct upgrade *u, struct error *err)
{
        struct keyring keys;
        int r = load_keys(u, &keys, err);

        return r < 0 ? r
                     : extensions_plan(&u->config, &keys, &u->host, &u->offer.release,
                                       &u->extensions, err);
}

/* ---- apply ---- */

static int remember(struct upgrade *u, enum history_kind kind, const char *version,
                    const struct sha256 *root_hash, struct error *err)
{
        _cleanup_free_ char *path = host_path(&u->options->places, HISTORY_PATH);
        const struct history_event event = { .time = (uint64_t)time(NULL),
                                             .kind = kind,
                                             .version = (char *)version,
                                             .root_hash = *root_hash };

        return path ? history_append(path, &event, err) : error_oom(err);
}

static int refuse(struct upgrade *u, struct error *err)
{
        int r;

        if (u->verdict == UPGRADE_FAILED && !u->options->force)
                return error_set(err, -EPERM,
                                 "release %s fell back on this machine before: `slipway-update "
                                 "history` says why",
                                 u->offer.release.version);
        r = upgrade_fits(u, err);
        if (r >= 0)
                r = upgrade_extensions(u, err);
        if (r >= 0 && !u->options->force)
                r = error_prefix(err, extensions_refuse(&u->extensions, err), "release %s",
                                 u->offer.release.version);
        return r;
}

/* They are here before the release can boot that wants them. */
static int bring_extensions(struct upgrade *u, struct error *err)
{
        _cleanup_(fetcher_free_p) struct fetcher *fetcher = NULL;
        int r = u->extensions.problems.count > 0 ? fetcher_new(&fetcher, err) : 0;

        if (r < 0 || !fetcher)
                return r;
        r = extensions_fetch(&u->extensions, u->config.site, &u->host, fetcher, err);
        u->requests += fetcher_statistics(fetcher)->requests;
        u->fetched += fetcher_statistics(fetcher)->bytes;
        return r;
}

static int apply(struct upgrade *u, struct finalize *f, struct error *err)
{
        int r;

        report(u, UPGRADE_PREPARING, 0, 0);
        r = finalize_prepare(f, err);
        if (r < 0)
                return r;
        on_stage(u, STAGE_TREE, 0, 0);
        r = run_stage(u, f->store, f->uki_name, stage_run, err);
        if (r < 0)
                return r;
        report(u, UPGRADE_VERIFYING, 0, 0);
        r = finalize_verify(f, err);
        if (r >= 0)
                r = bring_extensions(u, err);
        if (r < 0 || u->options->stage_only)
                return r;
        report(u, UPGRADE_FINALIZING, 0, 0);
        r = finalize_commit(f, err);
        if (r >= 0)
                r = remember(u, HISTORY_STAGED, f->release->version, &f->release->root_hash, err);
        return r < 0 ? r : extensions_sweep(&u->host, f->release, err);
}

int upgrade_apply(struct upgrade *u, struct error *err)
{
        _cleanup_(store_done) struct store store = STORE_NULL;
        _cleanup_free_ char *uki_name = staged_name(u);
        struct finalize f = { .store = &store,
                              .slot = u->host.idle,
                              .release = &u->offer.release,
                              .running_version = u->host.release.version,
                              .uki_name = uki_name };
        int r = uki_name ? refuse(u, err) : error_oom(err);

        if (r >= 0)
                r = target_open(&u->host, &store, err);
        return r < 0 ? r : error_prefix(err, apply(u, &f, err), "release %s", f.release->version);
}

/* ---- roll back ---- */

int upgrade_rollback(struct upgrade *u, char ret_version[BOOT_VERSION_MAX + 1], struct error *err)
{
        _cleanup_(store_done) struct store store = STORE_NULL;
        const char *other = slot_version(u->host.idle);
        int r;

        if (!*other || !entries_find(&u->host.entries, other))
                return error_set(err, -ENOENT, "slot %c has no release that could be booted",
                                 u->host.idle->name);
        r = target_open_entries(&u->host, &store, err);
        if (r >= 0)
                r = rollback_entries(&store, u->host.release.version, other, err);
        if (r >= 0)
                r = remember(u, HISTORY_ROLLED_BACK, u->host.release.version, &u->host.root_hash,
                             err);
        if (r >= 0)
                snprintf(ret_version, BOOT_VERSION_MAX + 1, "%s", other);
        return r;
}
