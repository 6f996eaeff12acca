/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See uki.h. The stub finds its sections by name; we write them in the order in which it measures
 * them (.linux .osrel .cmdline .initrd .uname .pcrpkey), each exactly as long as its content, so
 * what is measured can be computed from the inputs alone. */

#include "pe.h"

static void add(struct uki_section *sections, size_t *n, const char *name, const void *data,
                size_t size)
{
        if (data)
                sections[(*n)++] = (struct uki_section){ name, data, size };
}

static void add_text(struct uki_section *sections, size_t *n, const char *name, const char *text)
{
        add(sections, n, name, text, text ? strlen(text) : 0);
}

int uki_build(const struct uki_input *in, char **ret, size_t *ret_size, struct error *err)
{
        struct uki_section sections[6];
        size_t n = 0;

        add(sections, &n, ".linux", in->linux_image, in->linux_size);
        add_text(sections, &n, ".osrel", in->os_release);
        add_text(sections, &n, ".cmdline", in->cmdline);
        add(sections, &n, ".initrd", in->initrd, in->initrd_size);
        add_text(sections, &n, ".uname", in->uname);
        add_text(sections, &n, ".pcrpkey", in->pcr_key);
        return error_prefix(
                err, pe_append(in->stub, in->stub_size, sections, n, ret, ret_size, err), "UKI");
}
