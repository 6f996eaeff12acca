/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* NVIDIA's BlueField cards: the host pushes the configuration into the boot FIFO, which the driver
 * shows as a file that can be read once. */

#include "process.h"
#include "provider.h"

static const char fifo[] = "/sys/bus/platform/devices/MLNXBF04:00/bootfifo";

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        static const char *const modprobe[] = { "modprobe", "-q", "mlxbf_bootctl", NULL };
        struct error ignored = {};
        int r;

        if (access(fifo, F_OK) < 0 && spawn(modprobe, NULL, NULL, &ignored) < 0)
                log_line(&a->log, LOG_WARNING, "loading mlxbf_bootctl: %s", ignored.message);
        r = config_text_read((const char *const[]){ fifo, NULL }, ret, err);
        if (r >= 0)
                config_text_strip(ret);
        return r;
}

const struct provider provider_nvidiabluefield = { .name = "nvidiabluefield", .fetch = fetch };
