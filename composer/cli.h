/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the verbs share: options that several of them take, the work directory made from these, and
 * the progress lines. */

#include <argp.h>

#include "json.h"
#include "workdir.h"

struct verb {
        const char *name, *summary;
        int (*run)(int argc, char *argv[], struct error *err);
};

/* Tables of verbs end with a row whose name is NULL. This is the program's, `slipway kernel` has
 * one of its own. */
extern const struct verb verbs[];

/* The row of that name, or NULL. */
const struct verb *verb_find(const struct verb *table, const char *name);
/* Two columns: names and summaries. */
void verbs_print(const struct verb *table, FILE *out);
/* Runs a verb on the arguments behind argv[0]; its usage errors name it "program name". */
int verb_call(const struct verb *verb, const char *program, int argc, char *argv[],
              struct error *err);

int verb_build(int argc, char *argv[], struct error *err);
int verb_diff(int argc, char *argv[], struct error *err);
int verb_kernel(int argc, char *argv[], struct error *err);
int verb_keygen(int argc, char *argv[], struct error *err);
int verb_lock(int argc, char *argv[], struct error *err);
int verb_plan(int argc, char *argv[], struct error *err);
int verb_publish(int argc, char *argv[], struct error *err);
int verb_run(int argc, char *argv[], struct error *err);
int verb_sign(int argc, char *argv[], struct error *err);
int verb_sysext(int argc, char *argv[], struct error *err);
int verb_schema(int argc, char *argv[], struct error *err);
int verb_verify(int argc, char *argv[], struct error *err);

/* Values of the shared options; hand it to cli_children as the input of the first child. */
struct cli_options {
        const char *cache, *repo, *libexec;
        char **mirrors;
        unsigned threads;
        bool json, allow_expired, offline;
};
void cli_options_done(struct cli_options *o);

/* The argp children of a verb with the shared options. */
extern const struct argp_child cli_children[];

/* For ARGP_KEY_ARG: keeps the only argument, a second one is a usage error. */
error_t cli_one_argument(struct argp_state *state, char *argument, const char **ret,
                         const char *what);

/* Usage errors end the program with this status, as everywhere. */
enum { EXIT_USAGE = 2 };

/* A work directory with cache and repository opened, and output (may be NULL) made and opened. */
int cli_workdir(const struct cli_options *o, const char *output, struct workdir *ret,
                struct error *err) _must_check_;
void workdir_done(struct workdir *w);
/* Where our own programs are: beside this one when it runs from the build tree, else the installed
 * place; caller frees, NULL: out of memory. */
char *cli_libexec(void);
#define _cleanup_workdir_ _cleanup_(workdir_done)

/* Prints a result and releases it. */
void cli_print_json(json_object *root);

/* "1.5 GiB" in a static-size buffer (16 bytes); returns it. */
char *cli_size(uint64_t bytes, char *buffer);

/* SOURCE_DATE_EPOCH; 0 when it is not set. */
int cli_epoch(uint64_t *ret, struct error *err) _must_check_;
