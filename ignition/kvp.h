/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pools of key-value pairs, by which Hyper-V's hosts and guests exchange small texts. Their files
 * are records of fixed size. */

#include <assert.h>

#include "error.h"

enum { KVP_KEY_MAX = 512, KVP_VALUE_MAX = 2048, KVP_RECORDS_MAX = 8192, KVP_POOLS = 5 };

struct kvp_record {
        char key[KVP_KEY_MAX], value[KVP_VALUE_MAX]; /* NUL-terminated, padded */
};
static_assert(sizeof(struct kvp_record) == 2560, "as in the files");

struct kvp_pool {
        struct kvp_record *records;
        size_t count, capacity;
};

void kvp_pool_done(struct kvp_pool *p);
int kvp_parse(const void *data, size_t size, struct kvp_pool *ret, struct error *err) _must_check_;
/* NULL: not there. */
const char *kvp_get(const struct kvp_pool *p, const char *key);
int kvp_set(struct kvp_pool *p, const char *key, const char *value, struct error *err) _must_check_;
void kvp_delete(struct kvp_pool *p, const char *key);
/* ignition.config, or the parts ignition.config.0, .1, … in a row; *ret is NULL when there is
 * neither. */
int kvp_config(const struct kvp_pool *p, char **ret, size_t *ret_size,
               struct error *err) _must_check_;

struct kvp_pools {
        struct kvp_pool pool[KVP_POOLS];
};

void kvp_pools_done(struct kvp_pools *p);
/* kvp-host.c: registers with the kernel's device and takes in what the host sends, until it is
 * quiet for a second. */
int kvp_listen(int fd, struct kvp_pools *pools, struct error *err) _must_check_;
