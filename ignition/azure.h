/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A virtual machine's side of Azure's provisioning. Its nouns, one file each:
 *
 *   identity    which virtual machine this is, and the marker "this one is provisioned"
 *   talk        one question to a service of the platform, asked until it is answered
 *   imds        the instance metadata service: what the machine shall be
 *   wireserver  the fabric's agent on the host: where it is, and the goal state
 *   health      the report Ready or NotReady, which ends the creation of the machine
 *   kvp         the same for those who look at the host
 *   account     host name, administrator, SSH keys
 *   disc        the CD with custom data
 *
 * The program `slipway-azure` runs through them once a machine; `ignition` uses imds and disc for
 * the configuration, and health when a stage fails. docs/azure-provisioning.md tells it in order.
 */

#include "clock.h"
#include "log.h"
#include "root.h"
#include "uuid.h"

#define AZURE_AGENT "slipway-azure"

enum {
        AZURE_TEXT_MAX = 1024 * 1024, /* an answer; an instance with all its tags has some 20 KiB */
        AZURE_DESCRIPTION_MAX = 512,  /* characters */
        AZURE_KEYS_MAX = 64,
        AZURE_KEY_MAX = 16 * 1024,
        AZURE_USER_DATA_MAX_MS = 300000,
};

/* What the platform says about the machine. Texts are "" when it says nothing. */
struct azure_instance {
        char *name, *computer_name; /* the resource's, and the host's */
        char *vm_id, *admin, *pps_type;
        char **keys; /* strv */
};
void azure_instance_done(struct azure_instance *i);

/* One run. */
struct azure {
        struct log *log;
        struct root *root;       /* the system: account, marker, lease, DMI tables */
        struct http *http;       /* NULL until something is asked */
        uint64_t deadline;       /* of all that is asked, see clock.h */
        char id[UUID_TEXT_SIZE]; /* of the virtual machine */
        struct azure_instance instance;
};
void azure_done(struct azure *z);

/* ---- identity ---- */

/* The virtual machine's id as the control plane writes it. root_fd: of the running system. */
int azure_identity(int root_fd, char ret[static UUID_TEXT_SIZE], struct error *err) _must_check_;
/* The platform is Azure, by DMI or the kernel command line. */
bool azure_is_here(void);
int azure_marker_find(int root_fd, const char *id, bool *ret, struct error *err) _must_check_;
int azure_marker_write(int root_fd, const char *id, struct error *err) _must_check_;

/* ---- talk ---- */

/* How long, and how often, a service is asked. Between two attempts there are pauses that double,
 * from a fifth of a second to `pause_ms`; an answer's Retry-After is heeded. */
struct azure_patience {
        const unsigned *statuses; /* that may pass, besides 5xx; ends with 0 */
        uint64_t connect_ms, attempt_ms, pause_ms, total_ms;
        unsigned attempts; /* at most; 0: any number */
};

struct azure_question {
        const char *what; /* for people */
        const char *url;
        const char *const *headers; /* "Name: value"; NULL-terminated */
        const char *body;           /* of a POST; NULL: GET */
        const struct azure_patience *patience;
        /* Makes something of an answer's text, which is NUL-terminated. -EBADMSG: it is broken, and
         * the question is asked again. NULL: nobody wants it. */
        int (*take)(const char *text, size_t size, void *userdata, struct error *err);
        void *userdata;
        unsigned status; /* of the last answer; 0: there was none */
};

int azure_ask(struct azure *z, struct azure_question *q, struct error *err) _must_check_;

/* ---- imds ---- */

/* Into z->instance. */
int azure_imds_instance(struct azure *z, struct error *err) _must_check_;
/* User data as it is there, base64; empty: none. total_ms: instead of the usual total. */
int azure_imds_user_data(struct azure *z, uint64_t total_ms, char **ret, size_t *ret_size,
                         struct error *err) _must_check_;
int azure_instance_parse(const char *text, size_t size, struct azure_instance *ret,
                         struct error *err) _must_check_;
/* -EOPNOTSUPP for machines that are made for a pool, before anybody wants them. */
int azure_refuse_pps(const char *type, struct error *err) _must_check_;

/* ---- wireserver ---- */

enum { AZURE_ADDRESS_SIZE = sizeof("255.255.255.255") };

/* Where it is: what DHCP said, else the address that it has everywhere. */
void azure_wireserver(const struct azure *z, char ret[static AZURE_ADDRESS_SIZE]);
/* DHCP's option 245 in networkd's lease; false: it is not there. */
bool azure_lease_wireserver(const char *lease, char ret[static AZURE_ADDRESS_SIZE]);

struct azure_goal_state {
        char *incarnation, *container, *instance;
};
void azure_goal_state_done(struct azure_goal_state *g);
int azure_goal_state_parse(const char *text, size_t size, struct azure_goal_state *ret,
                           struct error *err) _must_check_;
/* *ret_classic: WireServer speaks the version of its protocol that we do. */
int azure_versions_parse(const char *text, size_t size, bool *ret_classic,
                         struct error *err) _must_check_;

/* ---- health ---- */

struct azure_health {
        const char *reason; /* NULL: Ready; else NotReady, provisioning failed */
        uint64_t total_ms;  /* 0: the usual total */
        unsigned attempts;  /* per question; 0: any number */
};
int azure_health_report(struct azure *z, const struct azure_health *h,
                        struct error *err) _must_check_;
/* "result=success|agent=…", at most so many characters of it: the reason is cut. NULL: out of
 * memory. */
char *azure_health_text(const struct azure *z, const char *reason, size_t max) _must_check_;
/* Report of a machine that `g` speaks of, in XML, and the one without goal state, in JSON. */
char *azure_health_xml(const struct azure_goal_state *g, const char *description) _must_check_;
char *azure_health_json(const char *description) _must_check_;

/* ---- kvp ---- */

/* Instead of an earlier report. */
int azure_kvp_report(struct azure *z, const char *reason, struct error *err) _must_check_;

/* ---- account ---- */

/* /etc/hostname and the kernel's, unless the configuration set one. */
int azure_set_hostname(struct azure *z, struct error *err) _must_check_;
/* The administrator, unless there already is a user of that name, and the keys. */
int azure_set_account(struct azure *z, struct error *err) _must_check_;

/* ---- disc ---- */

struct agent;
struct config_text;
/* Custom data on the CD; PROVIDER_NONE: the CD has none. */
int azure_disc_fetch(struct agent *a, struct config_text *ret, struct error *err) _must_check_;
/* What ovf-env.xml says. */
struct azure_environment {
        char *custom_data; /* base64; NULL: none */
        char *preprovisioned, *pps_type;
};
void azure_environment_done(struct azure_environment *e);
int azure_environment_parse(const char *text, size_t size, struct azure_environment *ret,
                            struct error *err) _must_check_;
/* Opens the drive, so that nobody reads the disc afterwards. */
void azure_disc_eject(struct azure *z);
