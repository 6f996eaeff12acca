/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stages a release into plain files: what is counted goes to stdout as JSON, a failure to stderr.
 *
 * stage SITE RELEASE.JSON DIRECTORY [OPTION...]; in the directory: usr, usr.tree and, if there is
 * one, usr.sig (the slot, as large as it is to be), and EFI/ (UKIs). Options: --plan; --gap=BYTES;
 * --usr=IMAGE:TREE and
 * --uki=IMAGE:TREE, sources; --modules=DIRECTORY that run, --key=PUBLIC of their patches;
 * --patience=MILLISECONDS of pause, seconds otherwise; --offset=BYTES of the targets in their
 * files; --full: the ESP takes nothing more. */

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "interrupt.h"
#include "io.h"
#include "stage.h"
#include "strv.h"

enum { SOURCES_MAX = 4 };

#define UKI_NAME "slipway_new.efi.new"

struct sources {
        struct stage_source items[SOURCES_MAX];
        size_t count;
};

struct tool {
        struct store store;
        struct stage stage;
        struct sources usr, uki;
        struct fetch_patience patience;
        struct keyring keys;
        uint64_t offset;
        bool plan;
};

static int file_size(int fd, const char *path, uint64_t *ret, struct error *err)
{
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", path);
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int add_source(struct sources *s, char *paths, struct error *err)
{
        struct stage_source *source = &s->items[s->count++];
        char *tree = strchr(paths, ':');
        int r;

        if (!tree || s->count > SOURCES_MAX)
                return error_set(err, -EINVAL, "%s: IMAGE:TREE?", paths);
        *tree++ = '\0';
        source->fd = open(paths, O_RDONLY | O_CLOEXEC);
        r = file_size(source->fd, paths, &source->size, err);
        return r < 0 ? r
                     : hash_tree_trust(open(tree, O_RDONLY | O_CLOEXEC), 0,
                                       ROUND_UP(source->size, (uint64_t)BLOCK_SIZE), &source->tree,
                                       err);
}

static int open_target(struct tool *t, int dir, enum store_target target, const char *name,
                       struct error *err)
{
        struct store_range *range = &t->store.targets[target];
        int r;

        range->fd = openat(dir, name, O_RDWR | O_CLOEXEC);
        range->offset = t->offset;
        r = file_size(range->fd, name, &range->size, err);
        range->size -= MIN(range->size, t->offset);
        return r;
}

static int open_targets(struct tool *t, const char *path, struct error *err)
{
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir < 0)
                return error_errno(err, "%s", path);
        r = open_target(t, dir, STORE_USR, "usr", err);
        if (r >= 0)
                r = open_target(t, dir, STORE_TREE, "usr.tree", err);
        if (r >= 0 && faccessat(dir, "usr.sig", F_OK, 0) == 0)
                r = open_target(t, dir, STORE_SIGNATURE, "usr.sig", err);
        t->store.entries_fd = openat(dir, "EFI", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return r >= 0 && t->store.entries_fd < 0 ? error_errno(err, "EFI") : r;
}

static int set_key(struct tool *t, const char *text, struct error *err)
{
        t->keys.count = 1;
        t->stage.keys = &t->keys;
        return ed25519_public_parse(text, &t->keys.keys[0]) < 0
                       ? error_set(err, -EINVAL, "%s: no key", text)
                       : 0;
}

static int refuse_files(void *userdata _unused_, const struct store_event *event, struct error *err)
{
        return event->operation == STORE_FILE_WRITE && event->offset > 0
                       ? error_set(err, -ENOSPC, "%s: no space left", event->name)
                       : 0;
}

static int parse(struct tool *t, int argc, char *argv[], struct error *err)
{
        static const struct option options[] = {
                { "full", no_argument, NULL, 'f' },
                { "plan", no_argument, NULL, 'p' },
                { "gap", required_argument, NULL, 'g' },
                { "usr", required_argument, NULL, 'u' },
                { "uki", required_argument, NULL, 'k' },
                { "modules", required_argument, NULL, 'm' },
                { "key", required_argument, NULL, 'y' },
                { "patience", required_argument, NULL, 'w' },
                { "offset", required_argument, NULL, 'o' },
                {},
        };
        int c, r = 0;

        while (r >= 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1)
                switch (c) {
                case 'f': t->store.observe = refuse_files; break;
                case 'p': t->plan = true; break;
                case 'g': t->stage.gap = strtoull(optarg, NULL, 10); break;
                case 'u': r = add_source(&t->usr, optarg, err); break;
                case 'k': r = add_source(&t->uki, optarg, err); break;
                case 'm': t->stage.modules = optarg; break;
                case 'y': r = set_key(t, optarg, err); break;
                case 'o': t->offset = strtoull(optarg, NULL, 10); break;
                case 'w':
                        t->patience = (struct fetch_patience){
                                .connect_seconds = 1,
                                .stall_seconds = 1,
                                .stall_speed = 1024,
                                .pause_ms = (unsigned)strtoul(optarg, NULL, 10),
                        };
                        break;
                default: return error_set(err, -EINVAL, "unknown option");
                }
        return r >= 0 && argc - optind != 3 ? error_set(err, -EINVAL, "three arguments") : r;
}

/* KiB; what wait4() says counts the parent's before exec, too. */
static unsigned long peak_memory(void)
{
        _cleanup_fclose_ FILE *file = fopen("/proc/self/status", "re");
        unsigned long peak = 0;
        char line[128];

        while (file && fgets(line, sizeof(line), file))
                if (sscanf(line, "VmHWM: %lu kB", &peak) == 1)
                        break;
        return peak;
}

static void print(const struct tool *t)
{
        static const char *const names[_STAGE_OBJECT_MAX] = { "tree", "usr", "uki" };
        const struct fetch_statistics *f = fetcher_statistics(t->stage.fetcher);

        printf("{");
        for (size_t i = 0; i < _STAGE_OBJECT_MAX; i++) {
                const struct stage_count *c = &t->stage.counts[i];

                printf("\"%s\": {\"blocks\": %ju, \"present\": %ju, \"zero\": %ju, \"reused\": %ju, "
                       "\"patched\": %ju, \"missing\": %ju, \"ranges\": %ju, \"bytes\": %ju}, ",
                       names[i], (uintmax_t)c->blocks, (uintmax_t)c->present, (uintmax_t)c->zero,
                       (uintmax_t)c->reused, (uintmax_t)c->patched, (uintmax_t)c->missing,
                       (uintmax_t)c->ranges, (uintmax_t)c->fetch_bytes);
        }
        printf("\"requests\": %ju, \"fetched\": %ju, \"peak\": %lu}\n", (uintmax_t)f->requests,
               (uintmax_t)f->bytes, peak_memory());
}

static int stage(struct tool *t, char *argv[], struct error *err)
{
        _cleanup_(release_done) struct release release = {};
        _cleanup_(fetcher_free_p) struct fetcher *fetcher = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, argv[1], RELEASE_TEXT_MAX, &text, &size, err);

        if (r >= 0)
                r = release_parse(argv[1], text, size, &release, err);
        if (r >= 0)
                r = open_targets(t, argv[2], err);
        if (r >= 0)
                r = fetcher_new(&fetcher, err);
        if (r < 0)
                return r;
        fetcher_set_patience(fetcher, &t->patience);
        t->stage.site = argv[0];
        t->stage.release = &release;
        t->stage.fetcher = fetcher;
        r = t->plan ? stage_plan(&t->stage, err) : stage_run(&t->stage, err);
        print(t);
        return r;
}

int main(int argc, char *argv[])
{
        struct tool t = { .store = STORE_NULL, .patience = FETCH_PATIENCE };
        struct error err = {};
        int r;

        interrupt_catch();
        t.stage =
                (struct stage){ .store = &t.store, .uki_name = UKI_NAME, .gap = STAGE_GAP_DEFAULT };
        r = parse(&t, argc, argv, &err);
        t.stage.usr_sources = t.usr.items;
        t.stage.n_usr_sources = t.usr.count;
        t.stage.uki_sources = t.uki.items;
        t.stage.n_uki_sources = t.uki.count;
        if (r >= 0)
                r = stage(&t, argv + optind, &err);
        if (r < 0)
                fprintf(stderr, "stage: %s (%d)\n", err.message, -r);
        for (size_t i = 0; i < t.usr.count; i++)
                close(t.usr.items[i].fd), close(t.usr.items[i].tree.fd);
        for (size_t i = 0; i < t.uki.count; i++)
                close(t.uki.items[i].fd), close(t.uki.items[i].tree.fd);
        store_done(&t.store);
        interrupt_die();
        return r < 0 ? 1 : 0;
}
