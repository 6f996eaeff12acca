/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fetch-offline and fetch: find the configuration and put it into the cache. Offline, a
 * configuration that needs the network (or names something there) leaves the neednet file, by which
 * the boot units bring the network up. fetch has it. */

#include <fcntl.h>

#include "fetch.h"
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

static int run_offline(struct agent *a, struct error *err)
{
        bool need_network = false;
        int r;

        a->offline = true;
        r = agent_acquire(a, &need_network, err);
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
        return r;
}

const struct stage stage_fetch_offline = { .name = "fetch-offline",
                                           .acquires = true,
                                           .run = run_offline };
const struct stage stage_fetch = { .name = "fetch", .acquires = true, .run = run_online };
