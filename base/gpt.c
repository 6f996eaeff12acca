/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See gpt.h. UUIDs:
 * https://uapi-group.org/specifications/specs/discoverable_partitions_specification */

#include "gpt.h"

static const struct {
        const char *name, *amd64, *arm64;
} roles[_PARTITION_ROLE_MAX] = {
        [PARTITION_ESP] = { "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
                            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" },
        [PARTITION_USR] = { "usr", "8484680c-9521-48c6-9c11-b0720656f69e",
                            "b0e01050-ee5f-4390-949a-9101b17104e9" },
        [PARTITION_USR_VERITY] = { "usr-verity", "77ff5f63-e7b6-4633-acf4-1565b864c0e6",
                                   "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e" },
        [PARTITION_USR_VERITY_SIG] = { "usr-verity-sig", "e7bb33fb-06cf-4e81-8273-e543b413e2e2",
                                       "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a" },
        [PARTITION_ROOT] = { "root", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
                             "b921b045-1df0-41c3-af44-4c6f280d3fae" },
        [PARTITION_ROOT_VERITY] = { "root-verity", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
                                    "df3300ce-d69f-4c92-978c-9bfb0f38d820" },
        [PARTITION_ROOT_VERITY_SIG] = { "root-verity-sig", "41092b05-9fc8-4523-994f-2def0408b176",
                                        "6db69de6-29f4-4758-a7a5-962190f00ce3" },
};

const char *gpt_type(enum partition_role role, const char *architecture)
{
        if (streq(architecture, "amd64"))
                return roles[role].amd64;
        if (streq(architecture, "arm64"))
                return roles[role].arm64;
        return NULL;
}

const char *partition_role_name(enum partition_role role)
{
        return roles[role].name;
}

void gpt_uuids_from_root_hash(const struct sha256 *root_hash, struct uuid *data, struct uuid *tree)
{
        memcpy(data->bytes, root_hash->bytes, UUID_SIZE);
        memcpy(tree->bytes, root_hash->bytes + UUID_SIZE, UUID_SIZE);
}
