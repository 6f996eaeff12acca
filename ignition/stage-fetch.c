/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fetch-offline and fetch: find the configuration and put it into the cache. Offline, a
 * configuration that needs the network (or names something there) leaves the neednet file, by which
 * the boot units bring the network up. fetch has it. For boot units, too, is the list of those
 * later stages that this configuration has something for: to start a program that finds nothing to
 * do costs more than what most of them do. */

#include <fcntl.h>

#include "fetch.h"
#include "io.h"
#include "report.h"

static int ask_for_network(struct agent *a, struct error *err)
{
        const char *path = a->options.neednet, *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        int r = 0;

        log_line(&a->log, LOG_INFO, "config requires networking");
        if (parent && *parent)
                r = path_mkdirs(AT_FDCWD, parent, 0755, err);
        return r < 0 ? r : file_write(AT_FDCWD, path, "", 0, 0644, err);
}

static int note_needed_stages(const struct agent *a, struct error *err)
{
        static const struct stage *const later[] = { &stage_kargs, &stage_disks, &stage_mount,
                                                     &stage_umount };
        _cleanup_close_ int dir = -1;
        int r = 0;

        if (!a->options.needed_stages)
                return 0;
        dir = path_open_dir(AT_FDCWD, a->options.needed_stages, 0755, err);
        if (dir < 0)
                return dir;
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(later); i++)
                if (later[i]->is_needed(&a->config))
                        r = file_write(dir, later[i]->name, "", 0, 0644, err);
        return r;
}

static int run_offline(struct agent *a, struct error *err)
{
        bool need_network = false;
        int r;

        a->offline = true;
        r = agent_acquire(a, &need_network, err);
        if (r >= 0 && !need_network)
                r = note_needed_stages(a, err);
        need_network |= report_needs_network() || (r >= 0 && config_needs_network(&a->config));
        if (r < 0 || !need_network)
                return r;
        return ask_for_network(a, err);
}

static int run_online(struct agent *a, struct error *err)
{
        bool need_network = false;
        int r;

        r = agent_acquire(a, &need_network, err);
        if (r >= 0 && need_network) /* no provider says so when it may use the network */
                return error_set(err, -ENETDOWN, "the configuration cannot be reached");
        return r < 0 ? r : note_needed_stages(a, err);
}

const struct stage stage_fetch_offline = { .name = "fetch-offline",
                                           .acquires = true,
                                           .run = run_offline };
const struct stage stage_fetch = { .name = "fetch", .acquires = true, .run = run_online };
