/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a look at the site to a boot entry, in a straight line:
 *
 *   upgrade_open    lock, host, configuration
 *   upgrade_check   what the channel offers, and whether that is news
 *   upgrade_plan    what staging would fetch
 *   upgrade_apply   prepare, stage, verify, commit, history
 *
 * Each may fail, and the running release boots as before. */

#include "config.h"
#include "extensions.h"
#include "site.h"
#include "target.h"

#define UPGRADE_LOCK_PATH "/run/slipway/update.lock"

/* Read by programs: the bus has them as State. */
enum upgrade_phase {
        UPGRADE_IDLE,
        UPGRADE_CHECKING,
        UPGRADE_PREPARING,
        UPGRADE_STAGING,
        UPGRADE_VERIFYING,
        UPGRADE_FINALIZING,
        _UPGRADE_PHASE_MAX,
};

extern const char *const upgrade_phase_names[_UPGRADE_PHASE_MAX];

/* What the offered release is to this machine. */
enum upgrade_verdict {
        UPGRADE_CURRENT,   /* it runs */
        UPGRADE_PENDING,   /* the other slot has it, and boots next */
        UPGRADE_AVAILABLE, /* it can be applied */
        UPGRADE_FAILED,    /* it fell back here: not tried again */
        UPGRADE_LEFT,      /* it was rolled back by hand: taken again by hand, too */
        _UPGRADE_VERDICT_MAX,
};

extern const char *const upgrade_verdict_names[_UPGRADE_VERDICT_MAX];

struct upgrade_options {
        struct host_places places;
        bool allow_downgrade, force, stage_only;
        /* Bytes done of the phase; total 0: it has no measure. */
        void (*progress)(void *userdata, enum upgrade_phase phase, uint64_t done, uint64_t total);
        void *userdata;
};

struct upgrade {
        const struct upgrade_options *options;
        int lock_fd;
        struct host host;
        struct update_config config;
        struct site_offer offer;
        enum upgrade_verdict verdict;
        struct extension_plan extensions;             /* of the plan, or of what was done */
        struct stage_count counts[_STAGE_OBJECT_MAX]; /* of the plan, or of what was done */
        uint64_t requests, fetched;                   /* that were made, bytes of bodies */
        uint64_t esp_free;                            /* bytes, with what preparing would free */
};
#define UPGRADE_NULL                                                                               \
        {                                                                                          \
                .lock_fd = -1, .host = HOST_NULL                                                   \
        }

/* -EBUSY: another update is under way. */
int upgrade_open(const struct upgrade_options *options, struct upgrade *ret,
                 struct error *err) _must_check_;
/* -ENODATA: no site is configured; else see site_check(). */
int upgrade_check(struct upgrade *u, struct error *err) _must_check_;
/* -ENOSPC: it does not fit this machine; the message says where, and by how much. */
int upgrade_fits(struct upgrade *u, struct error *err) _must_check_;
int upgrade_plan(struct upgrade *u, struct error *err) _must_check_;
/* What the offered release means for system extensions. */
int upgrade_extensions(struct upgrade *u, struct error *err) _must_check_;
/* -EPERM: the release fell back here before; -ENOPKG: an extension would be lost. Neither when it
 * is forced. */
int upgrade_apply(struct upgrade *u, struct error *err) _must_check_;
/* Makes the other slot's release the next one; from there, forward again. ret_version gets it. */
int upgrade_rollback(struct upgrade *u, char ret_version[BOOT_VERSION_MAX + 1],
                     struct error *err) _must_check_;
void upgrade_done(struct upgrade *u);
