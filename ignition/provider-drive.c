/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clouds that attach a small volume with a well-known label: one row each. Where there is a
 * metadata service besides it, both are asked in turn, and the first that answers wins. A service's
 * 404 is an answer: there is no configuration. */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "fetch.h"
#include "provider.h"
#include "strv.h"

enum { ATTEMPT_MS = 5000, PATIENCE_MS = 30000, LEASE_MAX = 64 * 1024 };

struct drive {
        const char *label;
        const char *paths[2]; /* the first one that is there */
};

static int fetch(struct agent *a, struct config_text *ret, struct error *err);
static int openstack_urls(char ***ret, struct error *err);
static int cloudstack_urls(char ***ret, struct error *err);

#define OPENSTACK_DRIVES                                                                           \
        {                                                                                          \
                { "config-2", { "/openstack/latest/user_data" } },                                 \
                {                                                                                  \
                        "CONFIG-2",                                                                \
                        {                                                                          \
                                "/openstack/latest/user_data"                                      \
                        }                                                                          \
                }                                                                                  \
        }

static const struct row {
        struct provider provider;
        struct drive drives[2];
        int (*urls)(char ***ret, struct error *err); /* of metadata services; NULL: none */
        bool optional;       /* without a drive after PATIENCE_MS, there is no configuration */
        bool for_cloud_init; /* its user data counts as none */
} rows[] = {
        { .provider = { .name = "brightbox", .fetch = fetch },
          .drives = OPENSTACK_DRIVES,
          .urls = openstack_urls },
        { .provider = { .name = "cloudstack", .fetch = fetch },
          .drives = { { "config-2", { "/cloudstack/userdata/user_data.txt" } },
                      { "CONFIG-2", { "/cloudstack/userdata/user_data.txt" } } },
          .urls = cloudstack_urls },
        { .provider = { .name = "ibmcloud", .fetch = fetch },
          .drives = { { "cidata", { "/user-data" } } },
          .optional = true },
        { .provider = { .name = "kubevirt", .fetch = fetch },
          .drives = { { "cidata", { "/user-data" } },
                      { "config-2", { "/openstack/latest/user_data" } } } },
        { .provider = { .name = "nutanix", .fetch = fetch },
          .drives = { { "config-2", { "/openstack/latest/user_data" } } } },
        { .provider = { .name = "openstack", .fetch = fetch },
          .drives = OPENSTACK_DRIVES,
          .urls = openstack_urls },
        { .provider = { .name = "powervs", .fetch = fetch },
          .drives = { { "config-2", { "/openstack/latest/user_data" } } } },
        { .provider = { .name = "proxmoxve", .fetch = fetch },
          .drives = { { "cidata", { "/user-data", "/vendor-data" } } },
          .optional = true,
          .for_cloud_init = true },
};

static const struct row *find(const char *platform)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (streq(rows[i].provider.name, platform))
                        return &rows[i];
        return NULL;
}

const struct provider *drive_find(const char *platform)
{
        const struct row *row = find(platform);

        return row ? &row->provider : NULL;
}

/* ---- metadata services ---- */

static int add_url(char ***urls, char *url, struct error *err)
{
        _cleanup_free_ char *owned = url;

        return !owned || strv_extend(urls, owned) < 0 ? error_oom(err) : 0;
}

/* Where there is no IPv4, the service has a link-local address, on which interface nobody knows. */
static int openstack_urls(char ***ret, struct error *err)
{
        static const char path[] = "openstack/latest/user_data";
        struct ifaddrs *all = NULL;
        int r = add_url(ret, string_format("http://169.254.169.254/%s", path), err);

        if (r < 0 || getifaddrs(&all) < 0)
                return r;
        for (struct ifaddrs *i = all; i && r >= 0; i = i->ifa_next) {
                struct sockaddr_in6 address;

                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET6)
                        continue;
                memcpy(&address, i->ifa_addr, sizeof(address));
                if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr))
                        r = add_url(ret,
                                    string_format("http://[fe80::a9fe:a9fe%%25%s]/%s", i->ifa_name,
                                                  path),
                                    err);
        }
        freeifaddrs(all);
        return r;
}

static int add_lease(const char *lease, char ***urls, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        struct in_addr address;

        if (strv_split(lease, "\n", &lines) < 0)
                return error_oom(err);
        STRV_FOREACH (line, lines) {
                const char *server = startswith(*line, "SERVER_ADDRESS=");

                if (server && inet_pton(AF_INET, server, &address) == 1)
                        return add_url(urls, string_format("http://%s/latest/user-data", server),
                                       err);
        }
        return 0;
}

/* The virtual router, which is the DHCP server, answers. */
static int cloudstack_urls(char ***ret, struct error *err)
{
        _cleanup_closedir_ DIR *dir = opendir("/run/systemd/netif/leases");
        struct dirent *entry;
        int r = 0;

        while (dir && r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *lease = NULL;
                struct error ignored;

                if (entry->d_name[0] != '.' &&
                    file_read(dirfd(dir), entry->d_name, LEASE_MAX, &lease, NULL, &ignored) >= 0)
                        r = add_lease(lease, ret, err);
        }
        return r;
}

/* ---- one attempt each; *ret_done: that was an answer ---- */

static bool is_for_cloud_init(const struct config_text *t)
{
        return t->size == 0 || startswith(t->text, "#cloud-config\n");
}

static int read_drive(const struct row *row, const struct volume *v, const struct drive *drive,
                      struct config_text *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(drive->paths) && drive->paths[i]; i++) {
                int r = volume_read(v, drive->paths[i], &ret->text, &ret->size, err);

                if (r >= 0 && row->for_cloud_init && is_for_cloud_init(ret)) {
                        config_text_done(ret);
                        r = PROVIDER_NONE;
                }
                if (r == PROVIDER_NONE)
                        continue;
                if (r >= 0)
                        ret->source = string_format("%s on %s", drive->paths[i], drive->label);
                return r >= 0 && !ret->source ? error_oom(err) : r;
        }
        return PROVIDER_NONE;
}

static int try_drive(struct agent *a, const struct row *row, const struct drive *drive,
                     struct config_text *ret, bool *ret_done, struct error *err)
{
        _cleanup_volume_ struct volume volume = VOLUME_NULL;
        char path[64];
        int r;

        snprintf(path, sizeof(path), "/dev/disk/by-label/%s", drive->label);
        if (access(path, F_OK) < 0)
                return error_set(err, -ENODEV, "there is no %s", path);
        r = volume_open(&volume, path, err);
        if (r < 0) {
                log_line(&a->log, LOG_WARNING, "%s: %s", path, err->message);
                return r;
        }
        *ret_done = true;
        return error_prefix(err, read_drive(row, &volume, drive, ret, err), "%s", path);
}

static int try_url(struct agent *a, const char *url, struct config_text *ret, bool *ret_done,
                   struct error *err)
{
        const struct fetch_request request = {
                .url = url, .attempts = 1, .timeout_ms = ATTEMPT_MS, .direct = true
        };
        int r = fetch_text(a, &request, &ret->text, &ret->size, err);

        *ret_done = r >= 0 || r == FETCH_NOT_FOUND;
        if (r < 0)
                return r;
        ret->source = strdup(url);
        return ret->source ? 0 : error_oom(err);
}

static int try_all(struct agent *a, const struct row *row, struct config_text *ret, bool *ret_done,
                   struct error *err)
{
        _cleanup_strv_ char **urls = NULL;
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(row->drives) && row->drives[i].label; i++) {
                r = try_drive(a, row, &row->drives[i], ret, ret_done, err);
                if (*ret_done)
                        return r;
        }
        if (row->urls && row->urls(&urls, err) < 0)
                return err->code;
        STRV_FOREACH (url, urls) {
                r = try_url(a, *url, ret, ret_done, err);
                if (*ret_done)
                        return r;
        }
        return r;
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        const struct row *row = find(provider_find(a->options.platform)->name);
        struct patience patience =
                patience_for(a,
                             row->urls ? "a configuration drive or the metadata service"
                                       : "a configuration drive",
                             row->optional ? PATIENCE_MS : 0);
        bool done = false;
        int r;

        if (row->urls && a->offline)
                return error_set(err, PROVIDER_NEEDS_NETWORK, "the metadata service");
        for (;;) {
                struct error last = {};

                r = try_all(a, row, ret, &done, &last);
                if (done || r == -ENOMEM || r == -EINTR) {
                        *err = r < 0 ? last : *err;
                        return r;
                }
                r = patience_wait(a, &patience, err);
                if (r == -ETIMEDOUT && row->optional)
                        return PROVIDER_NONE;
                if (r == -ETIMEDOUT)
                        return error_set(err, r, "%s did not appear in time (%s)", patience.what,
                                         last.message);
                if (r < 0)
                        return r;
        }
}
