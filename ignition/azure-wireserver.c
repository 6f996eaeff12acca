/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* WireServer: the fabric's agent on the host. DHCP says where it is (option 245, four bytes); the
 * address is the same in all regions of the public cloud, and not in Azure Stack. networkd keeps
 * options of private use in the lease files, as hexadecimal digits. */

#include <arpa/inet.h>
#include <fcntl.h>

#include "azure.h"
#include "strv.h"
#include "xml.h"

enum { LEASE_MAX = 64 * 1024, ID_MAX = 256, INCARNATION_MAX = 20 };

static const char leases[] = "run/systemd/netif/leases", everywhere[] = "168.63.129.16",
                  version[] = "2012-11-30";

/* ---- where it is ---- */

/* "a83f8110", and with colons as NetworkManager writes it. */
static bool parse_option(const char *text, char ret[static AZURE_ADDRESS_SIZE])
{
        char digits[9] = "";
        struct in_addr address;
        size_t n = 0;

        for (; *text && *text != '\r'; text++) {
                if (*text == ':')
                        continue;
                if (n == sizeof(digits) - 1)
                        return false;
                digits[n++] = *text;
        }
        return hex_decode(digits, &address.s_addr, sizeof(address.s_addr)) == 0 &&
               address.s_addr != INADDR_ANY && address.s_addr != INADDR_NONE &&
               inet_ntop(AF_INET, &address, ret, AZURE_ADDRESS_SIZE);
}

bool azure_lease_wireserver(const char *lease, char ret[static AZURE_ADDRESS_SIZE])
{
        _cleanup_strv_ char **lines = NULL;

        if (strv_split(lease, "\n", &lines) < 0)
                return false;
        STRV_FOREACH (line, lines) {
                const char *value = startswith(*line, "OPTION_245=");

                if (value)
                        return parse_option(value, ret);
        }
        return false;
}

/* The first interface that was told. */
void azure_wireserver(const struct azure *z, char ret[static AZURE_ADDRESS_SIZE])
{
        int fd = openat(z->root->fd, leases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        unsigned long found = 0;
        struct dirent *entry;

        if (fd >= 0 && !dir)
                close(fd);
        strcpy(ret, everywhere);
        while (dir && (entry = readdir(dir))) {
                unsigned long index = strtoul(entry->d_name, NULL, 10);
                _cleanup_free_ char *lease = NULL;
                char address[AZURE_ADDRESS_SIZE];
                struct error ignored;

                if (index == 0 || (found > 0 && index > found) ||
                    file_read(dirfd(dir), entry->d_name, LEASE_MAX, &lease, NULL, &ignored) < 0 ||
                    !azure_lease_wireserver(lease, address))
                        continue;
                found = index;
                strcpy(ret, address);
        }
}

/* ---- what it says ---- */

static int take_version(const char *path, const char *text, void *userdata,
                        struct error *err _unused_)
{
        if (streq(path, "Versions/Supported/Version") && streq(text, version))
                *(bool *)userdata = true;
        return 0;
}

int azure_versions_parse(const char *text, size_t size, bool *ret_classic, struct error *err)
{
        *ret_classic = false;
        return xml_for_elements(text, size, take_version, ret_classic, err);
}

void azure_goal_state_done(struct azure_goal_state *g)
{
        free(g->incarnation);
        free(g->container);
        free(g->instance);
        *g = (struct azure_goal_state){};
}

/* A virtual machine's container has one role instance. */
int azure_goal_state_parse(const char *text, size_t size, struct azure_goal_state *ret,
                           struct error *err)
{
        static const struct xml_field fields[] = {
                { "GoalState/Incarnation", offsetof(struct azure_goal_state, incarnation),
                  INCARNATION_MAX, XML_MANDATORY },
                { "GoalState/Container/ContainerId", offsetof(struct azure_goal_state, container),
                  ID_MAX, XML_MANDATORY },
                { "GoalState/Container/RoleInstanceList/RoleInstance/InstanceId",
                  offsetof(struct azure_goal_state, instance), ID_MAX, XML_MANDATORY },
        };
        int r;

        azure_goal_state_done(ret);
        r = xml_decode(text, size, fields, ARRAY_SIZE(fields), ret, err);
        if (r >= 0 && ret->incarnation[strspn(ret->incarnation, "0123456789")])
                r = error_set(err, -EINVAL, "incarnation '%s' is no number", ret->incarnation);
        return r;
}
