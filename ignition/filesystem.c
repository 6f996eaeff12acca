/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The last step of the disks stage. A file system that is already what the configuration wants
 * stays, unless it is to be wiped; any other is an error, unless it is to be wiped. Signatures are
 * removed before mkfs runs, and mkfs writes its own last, so that an attempt which was cut off
 * leaves either nothing or the whole. */

#include <ctype.h>
#include <fcntl.h>

#include "block.h"
#include "disks.h"
#include "parallel.h"
#include "process.h"
#include "strv.h"

/* argv: program, user's options, then these; %s is replaced. */
static const struct format {
        const char *name, *program;
        const char *force;
        const char *uuid_option, *uuid_prefix, *label_option;
        bool uuid_without_dash;
} formats[] = {
        { "btrfs", "mkfs.btrfs", "--force", "-U", "", "-L", false },
        { "ext4", "mkfs.ext4", "-F", "-U", "", "-L", false },
        { "swap", "mkswap", "-f", "-U", "", "-L", false },
        { "vfat", "mkfs.fat", NULL, "-i", "", "-n", true },
        { "xfs", "mkfs.xfs", "-f", "-m", "uuid=", "-L", false },
};

static const struct format *find_format(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
                if (streq(formats[i].name, name))
                        return &formats[i];
        return NULL;
}

static bool is_listed(const struct filesystem *f)
{
        return !string_is_empty(f->format);
}

/* Without regard to case and dashes: vfat's are written both ways. */
static bool same_uuid(const char *a, const char *b)
{
        while (*a || *b) {
                if (*a == '-')
                        a++;
                else if (*b == '-')
                        b++;
                else if (tolower((unsigned char)*a++) != tolower((unsigned char)*b++))
                        return false;
        }
        return true;
}

static bool is_wanted(const struct filesystem *f, const struct probe *p)
{
        return streq(f->format, p->type) && (!f->label || streq(f->label, p->label)) &&
               (string_is_empty(f->uuid) || same_uuid(f->uuid, p->uuid));
}

int filesystem_decide(const struct filesystem *f, const struct probe *there, enum verdict *ret,
                      struct error *err)
{
        *ret = VERDICT_MAKE;
        if (config_is_true(&f->wipe))
                return 0;
        if (there->unfinished)
                *ret = VERDICT_REMAKE;
        else if (is_wanted(f, there))
                *ret = VERDICT_KEEP;
        else if (*there->type)
                return error_set(err, -EEXIST,
                                 "filesystem at \"%s\" was not of the correct type, label, or UUID "
                                 "(found %s, \"%s\", %s) and a filesystem wipe was not requested",
                                 f->device, there->type, there->label, there->uuid);
        return 0;
}

/* *ret: there is nothing to do. */
static int check_existing(struct agent *a, const struct filesystem *f, const char *node, bool *ret,
                          struct error *err)
{
        enum verdict verdict = VERDICT_MAKE;
        struct probe p = {};
        int r = 0;

        if (!config_is_true(&f->wipe))
                r = probe_device(node, &p, err);
        if (r >= 0)
                r = filesystem_decide(f, &p, &verdict, err);
        if (r < 0)
                return r;
        if (verdict == VERDICT_REMAKE)
                log_line(&a->log, LOG_NOTICE, "%s on %s was never finished: making it anew", p.type,
                         node);
        else if (verdict == VERDICT_KEEP)
                log_line(&a->log, LOG_INFO,
                         "filesystem at \"%s\" is already correctly formatted. Skipping mkfs...",
                         f->device);
        *ret = verdict == VERDICT_KEEP;
        return 0;
}

/* Lower case, and for vfat without its dash; NULL: out of memory. */
static char *uuid_argument(const struct format *format, const char *uuid)
{
        char *text = string_format("%s%s", format->uuid_prefix, uuid), *to = text;

        for (const char *from = text; from && *from; from++)
                if (!format->uuid_without_dash || *from != '-')
                        *to++ = (char)tolower((unsigned char)*from);
        if (to)
                *to = '\0';
        return text;
}

static int run_mkfs(const struct filesystem *f, const struct format *format, const char *node,
                    struct error *err)
{
        _cleanup_free_ const char **argv = calloc(f->options.count + 8, sizeof(*argv));
        _cleanup_free_ char *uuid = NULL;
        size_t n = 0;

        if (!argv)
                return error_oom(err);
        argv[n++] = format->program;
        for (size_t i = 0; i < f->options.count; i++)
                argv[n++] = f->options.items[i];
        if (format->force)
                argv[n++] = format->force;
        if (!string_is_empty(f->uuid)) {
                uuid = uuid_argument(format, f->uuid);
                if (!uuid)
                        return error_oom(err);
                argv[n++] = format->uuid_option;
                argv[n++] = uuid;
        }
        if (f->label) {
                argv[n++] = format->label_option;
                argv[n++] = f->label;
        }
        argv[n++] = node;
        return spawn(argv, NULL, NULL, err);
}

/* As long as the kernel has no driver for it, udev takes a btrfs for one that misses devices
 * (64-btrfs.rules), and systemd waits for ever for a device that it found a moment ago. */
static void load_driver(const struct format *format)
{
        static const char *const modprobe[] = { "modprobe", "-q", "btrfs", NULL };
        struct error ignored; /* it may be built in, or not wanted here */

        if (streq(format->name, "btrfs") && access("/dev/btrfs-control", F_OK) < 0 &&
            spawn(modprobe, NULL, NULL, &ignored) < 0)
                return;
}

static int make(const struct filesystem *f, const char *node, struct error *err)
{
        const struct format *format = find_format(f->format);
        int r;

        r = probe_wipe(node, err);
        if (r < 0 || streq(f->format, "none"))
                return r;
        load_driver(format);
        r = run_mkfs(f, format, node, err);
        return r < 0 ? r : block_sync(node, err);
}

static int process(struct agent *a, const struct filesystem *f, struct error *err)
{
        _cleanup_block_ struct block b = BLOCK_NULL;
        bool done = false;
        int r;

        r = block_open(f->device, O_RDONLY, &b, err);
        if (r < 0)
                return r;
        block_done(&b); /* the node's name is what is needed; mkfs wants it alone */
        r = check_existing(a, f, b.node, &done, err);
        if (r < 0 || done)
                return r;
        r = make(f, b.node, err);
        return r < 0 ? r : devices_settle(a, b.node, err);
}

/* Side by side with others: of the agent only the log is used. */
static int format_one(struct agent *a, const struct filesystem *f, struct error *err)
{
        unsigned operation =
                log_start(&a->log, "creating \"%s\" filesystem on \"%s\"", f->format, f->device);
        int r = process(a, f, err);

        log_end(&a->log, operation, r < 0 ? err : NULL, "creating \"%s\" filesystem on \"%s\"",
                f->format, f->device);
        return r;
}

struct formatting {
        struct agent *agent;
        const struct filesystem **items;
        int *results;
        size_t count;
};

static int format_index(void *context, size_t i, struct error *err)
{
        struct formatting *f = context;

        return f->results[i] = format_one(f->agent, f->items[i], err);
}

static int check_formats(const struct formatting *f, struct error *err)
{
        for (size_t i = 0; i < f->count; i++)
                if (!streq(f->items[i]->format, "none") && !find_format(f->items[i]->format))
                        return agent_setting_error(
                                f->agent, f->items[i]->at, "format", err, -EOPNOTSUPP,
                                "unsupported filesystem format \"%s\"", f->items[i]->format);
        return 0;
}

/* The failure is that of the first in the configuration: all before it were begun, too. */
static int format_all(struct formatting *f, struct error *err)
{
        int r = check_formats(f, err);

        if (r < 0)
                return r;
        r = parallel_for(f->count, 0, format_index, f, err);
        for (size_t i = 0; i < f->count; i++)
                if (f->results[i] < 0)
                        return agent_setting(f->agent, f->items[i]->at, NULL, r);
        return r;
}

static int wait_for_devices(struct agent *a, const struct config_list *list, struct error *err)
{
        _cleanup_free_ const char **paths = calloc(list->count + 1, sizeof(*paths));
        size_t n = 0;

        if (!paths)
                return error_oom(err);
        CONFIG_FOREACH(struct filesystem, f, list)
        if (is_listed(f))
                paths[n++] = f->device;
        return devices_wait(a, paths, n, err);
}

int disks_format(struct agent *a, struct error *err)
{
        const struct config_list *list = &a->config.root.storage.filesystems;
        _cleanup_free_ const struct filesystem **items = calloc(list->count + 1, sizeof(*items));
        _cleanup_free_ int *results = calloc(list->count + 1, sizeof(*results));
        struct formatting all = { .agent = a, .items = items, .results = results };
        int r;

        if (!items || !results)
                return error_oom(err);
        CONFIG_FOREACH(struct filesystem, f, list)
        if (is_listed(f))
                items[all.count++] = f;
        r = wait_for_devices(a, list, err);
        if (r >= 0)
                r = format_all(&all, err);
        /* While a file system is made udev may lose sight of it, and systemd learns of its coming
         * back later than udev: it would fail what is mounted next. */
        return r < 0 ? r : wait_for_devices(a, list, err);
}
