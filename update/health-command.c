/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks that are programs: one of the image's or the machine's own, and podman for a container. */

#include "health.h"
#include "process.h"
#include "strv.h"

static bool command_set(const struct health_check *c)
{
        return c->command && c->command[0];
}

static int command_try(const struct health_check *c, struct error *err)
{
        return spawn((const char *const *)c->command, NULL, NULL, err);
}

const struct health_ops health_command_ops = { "command", command_set, command_try };

static bool container_set(const struct health_check *c)
{
        return c->container;
}

static int container_try(const struct health_check *c, struct error *err)
{
        const char *const argv[] = { "podman",  "container",
                                     "inspect", "--format={{.State.Status}}",
                                     "--",      c->container,
                                     NULL };
        _cleanup_free_ char *output = NULL;
        int r = spawn(argv, NULL, &output, err);

        if (r < 0)
                return r;
        output[strcspn(output, "\n")] = '\0';
        return streq(output, "running")
                       ? 0
                       : error_set(err, -EAGAIN, "container '%s' is %s", c->container, output);
}

const struct health_ops health_container_ops = { "container", container_set, container_try };

static bool broken_set(const struct health_check *c)
{
        return c->broken;
}

static int broken_try(const struct health_check *c, struct error *err)
{
        return error_set(err, -EBADMSG, "%s", c->broken);
}

const struct health_ops health_broken_ops = { "broken", broken_set, broken_try };
