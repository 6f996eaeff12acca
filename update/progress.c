/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See progress.h. */

#include <systemd/sd-daemon.h>

#include "progress.h"

void progress_status(const char *text)
{
        (void)sd_notifyf(0, "STATUS=%s", text);
}

void progress_ready(void)
{
        (void)sd_notify(0, "READY=1");
}

/* Told when the phase changes, and with each percent. */
void progress_report(void *userdata, enum upgrade_phase phase, uint64_t done, uint64_t total)
{
        struct progress *p = userdata;
        unsigned percent = total > 0 ? (unsigned)((double)done * 100 / (double)total) : 0;
        char text[96];

        if (phase == p->phase && percent == p->percent)
                return;
        p->phase = phase;
        p->percent = percent;
        snprintf(text, sizeof(text), "%s, %u %%", upgrade_phase_names[phase], percent);
        progress_status(total > 0 ? text : upgrade_phase_names[phase]);
        if (p->fd >= 0)
                (void)dprintf(p->fd, "%s %ju %ju\n", upgrade_phase_names[phase], (uintmax_t)done,
                              (uintmax_t)total);
}

int progress_parse(const char *line, enum upgrade_phase *ret_phase, uint64_t *ret_done,
                   uint64_t *ret_total)
{
        char name[32];
        uintmax_t done, total;
        int end = -1;

        if (sscanf(line, "%31s %ju %ju%n", name, &done, &total, &end) != 3 || line[end] != '\0')
                return -EINVAL;
        for (int i = 0; i < _UPGRADE_PHASE_MAX; i++) {
                if (!streq(name, upgrade_phase_names[i]))
                        continue;
                *ret_phase = i;
                *ret_done = done;
                *ret_total = total;
                return 0;
        }
        return -EINVAL;
}
