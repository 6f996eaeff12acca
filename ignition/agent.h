/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The agent: what one run of `ignition --stage=…` knows, and the two kinds of plug-in. A stage is
 * one step of provisioning, each run in its own process; what passes from one to the next passes
 * through files (cache, state). A provider finds the user's configuration on one platform. */

#include "config.h"
#include "log.h"
#include "root.h"
#include "state.h"

enum { FETCH_TIMEOUT_DEFAULT_MS = 120000 };

struct options {
        const char *platform; /* NULL: detect */
        const char *stage, *root, *config_cache, *state_file, *neednet, *needed_stages;
        uint64_t fetch_timeout_ms;
        uint64_t deadline_ms; /* for all that a stage fetches; 0: the platform's */
        bool log_to_stdout, experimental, ignore_unsupported, offline, json, version, help;
};

/* A text that a provider found. */
struct config_text {
        char *source; /* where, for people */
        char *text;
        size_t size;
};

struct fetcher;

struct agent {
        struct options options;
        struct log log;
        struct root root;
        struct config config;
        /* While config is being made: the same tree with the origin of each value, and the names
         * of the sources. Later the state tells. */
        json_object *tree;
        char **sources;
        struct state state;
        struct fetcher *fetcher; /* see fetch.h; NULL until something is fetched */
        uint64_t deadline;       /* of this stage's fetching, see clock.h; 0: none */
        bool offline;            /* nothing may touch the network: PROVIDER_NEEDS_NETWORK instead */
        char setting[WHERE_MAX + 128]; /* of the failure, "" when it is about none */
};

struct stage {
        const char *name;
        bool acquires;  /* makes the cache itself; the others read it */
        bool completes; /* the last that needs secrets: they are wiped when it is done */
        bool undoes;    /* can still run after that */
        int (*run)(struct agent *a, struct error *err);
        bool (*is_needed)(const struct config *c); /* false: it would do nothing; NULL: always */
};

extern const struct stage stage_fetch_offline, stage_fetch, stage_kargs, stage_disks, stage_mount,
        stage_files, stage_umount;

/* fetch() results besides 0: nothing there (ask the next one), and there but out of reach. */
enum { PROVIDER_NONE = -ENODATA, PROVIDER_NEEDS_NETWORK = -ENETDOWN };

struct provider {
        const char *name;
        uint64_t deadline_ms; /* unless --deadline is given: somebody stops waiting; 0: nobody */
        int (*fetch)(struct agent *a, struct config_text *ret, struct error *err);
        /* Takes the configuration away from where it was found (ignition-rmcfg); NULL: cannot. */
        int (*remove)(struct agent *a, struct error *err);
        /* Brings what else was learned into the new system (files stage); NULL: nothing. */
        int (*publish)(struct agent *a, struct error *err);
        /* Tells the platform that a stage failed, within a short time; NULL: it does not ask. */
        void (*failed)(struct agent *a, const char *stage, const char *reason);
};

extern const struct provider provider_cmdline, provider_system, provider_applehv, provider_azure,
        provider_azurestack, provider_file, provider_hyperv, provider_metal,
        provider_nvidiabluefield, provider_qemu, provider_virtualbox, provider_vmware, provider_zvm;

/* The provider of a platform; NULL: unknown. */
const struct provider *provider_find(const char *platform);
/* Platform named on the kernel command line, else what the machine looks like. Never NULL. */
const char *platform_detect(void);
/* Value of key= on the kernel command line (the last one wins), "" of a bare key; NULL: not there.
 * Caller frees. */
char *kernel_argument(const char *key);
/* Reads the first of the files that exists. PROVIDER_NONE when none does. */
int config_text_read(const char *const paths[], struct config_text *ret, struct error *err);
void config_text_done(struct config_text *t);

/* Finds, checks and caches the configuration. *ret_need_network: then nothing is cached. */
int agent_acquire(struct agent *a, bool *ret_need_network, struct error *err) _must_check_;
/* Reads what the stages before left: the state, which may be absent, and the cache. */
int agent_load_state(struct agent *a, struct error *err) _must_check_;
int agent_load_config(struct agent *a, struct error *err) _must_check_;

/* First thing in the configuration that needs the network; NULL: none. */
json_object *config_needs_network(const struct config *c);

/* A failure about the setting `key` of the object at (NULL: the value itself): the message ends
 * with its place, "…: $.storage.disks, line 4 col 9", which is also kept for the summary. */
int agent_setting_error(struct agent *a, json_object *at, const char *key, struct error *err,
                        int code, const char *format, ...) _printf_(6, 7);
/* Remembers the setting of a failure that is described already (code < 0); returns code. */
int agent_setting(struct agent *a, json_object *at, const char *key, int code);
/* Takes a->setting, a path in the configuration with some line and column, to where it was written;
 * returns code. */
int agent_place_setting(struct agent *a, int code);
/* "… is not supported by this version". */
int agent_refuse(struct agent *a, json_object *at, const char *key, struct error *err);
