/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finalizing on the small disk of the proof of power cuts: what each step leaves, and what it
 * refuses before anything has changed. */

#include "test.h"

#include "../tools/powercut-machine.h"

struct fixture {
        char *directory;
        struct sample *v1, *v2, *v3;
        struct world world;
        struct machine machine;
        struct finalize finalize; /* of 3.0 into slot B, while 2.0 runs from A */
        size_t changes;
};

static int count(void *userdata, const struct store_event *event _unused_,
                 struct error *err _unused_)
{
        ((struct fixture *)userdata)->changes++;
        return 0;
}

/* Slot A has 2.0, B 1.0, whose entries have these names. */
static void fixture_init(struct fixture *f, const char *running, const char *other)
{
        char *top = test_mkdir();
        struct store_range *targets;
        struct error err = {};
        const struct slot *idle;

        *f = (struct fixture){ .v1 = sample_new("1.0"),
                               .v2 = sample_new("2.0"),
                               .v3 = sample_new("3.0") };
        f->directory = string_format("%s/EFI", top);
        assert_int_equal(mkdir(f->directory, 0700), 0);
        free(top);
        make_disk(f->directory, &f->world);
        install(&f->world, f->directory, 0, f->v2, running);
        install(&f->world, f->directory, 1, f->v1, other);
        assert_ok(machine_init(&f->machine, &f->world, f->directory, &err), &err);
        idle = &f->machine.slots.items[1];
        targets = f->machine.store.targets;
        targets[STORE_USR] = (struct store_range){ dup_fd(targets[STORE_TABLE].fd), idle->usr.start,
                                                   idle->usr.size };
        targets[STORE_TREE] = (struct store_range){ dup_fd(targets[STORE_TABLE].fd),
                                                    idle->tree.start, idle->tree.size };
        targets[STORE_SIGNATURE] =
                (struct store_range){ dup_fd(targets[STORE_TABLE].fd), idle->signature.start,
                                      idle->signature.size };
        f->finalize = (struct finalize){ &f->machine.store, idle, &f->v3->release, "2.0",
                                         "slipway_3.0.efi.new" };
        f->machine.store.observe = count;
        f->machine.store.userdata = f;
}

static void fixture_done(struct fixture *f)
{
        machine_done(&f->machine);
        free(f->v1);
        free(f->v2);
        free(f->v3);
        *strrchr(f->directory, '/') = '\0';
        test_rmdir(f->directory);
}

static void touch(const struct fixture *f, const char *name)
{
        struct error err = {};

        assert_ok(file_write(f->machine.store.entries_fd, name, "MZ", 2, 0600, &err), &err);
}

static bool has(const struct fixture *f, const char *name)
{
        return faccessat(f->machine.store.entries_fd, name, F_OK, 0) == 0;
}

static void reload(struct fixture *f)
{
        struct error err = {};

        assert_ok(slots_load(f->machine.path, &f->machine.slots, &err), &err);
}

static void stage(struct fixture *f, const struct sample *s)
{
        struct store *store = &f->machine.store;
        struct error err = {};

        assert_ok(stage_target(store, STORE_TREE, s->tree, sizeof(s->tree), &err), &err);
        assert_ok(stage_target(store, STORE_SIGNATURE, s->signature, sizeof(s->signature), &err),
                  &err);
        assert_ok(stage_target(store, STORE_USR, s->usr, sizeof(s->usr), &err), &err);
        assert_ok(stage_uki(store, f->finalize.uki_name, s->uki, &err), &err);
}

static void test_prepare(void **state _unused_)
{
        const struct slot *slots;
        struct uuid empty, usr, tree;
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        touch(&f, "slipway_0.5+3.efi");
        touch(&f, "slipway_2.5.efi.new");
        touch(&f, "slipway_2.0.efi.new");
        touch(&f, "slipway_3.0.efi.new");
        touch(&f, "other.efi");
        assert_ok(finalize_prepare(&f.finalize, &err), &err);
        assert_true(has(&f, "slipway_2.0.efi") && has(&f, "other.efi"));
        assert_true(has(&f, "slipway_3.0.efi.new") && has(&f, "slipway_2.0.efi.new"));
        assert_false(has(&f, "slipway_1.0.efi") || has(&f, "slipway_0.5+3.efi") ||
                     has(&f, "slipway_2.5.efi.new"));
        reload(&f);
        slots = f.machine.slots.items;
        assert_string_equal(slots[1].usr.label, "_empty");
        assert_string_equal(slots[1].tree.label, "_empty");
        assert_string_equal(slots[1].signature.label, "_empty");
        assert_string_equal(slot_version(&slots[0]), "2.0");
        gpt_uuids_from_root_hash(&f.v1->release.root_hash, &usr, &tree);
        assert_memory_not_equal(&slots[1].usr.uuid, &usr, sizeof(usr));
        assert_memory_not_equal(&slots[1].tree.uuid, &tree, sizeof(tree));
        /* Again: an empty slot stays as it is. */
        empty = slots[1].usr.uuid;
        assert_ok(finalize_prepare(&f.finalize, &err), &err);
        reload(&f);
        assert_memory_equal(&slots[1].usr.uuid, &empty, sizeof(empty));
        fixture_done(&f);
}

static void test_prepare_refused(void **state _unused_)
{
        static const struct {
                const char *running, *other, *version;
                int code;
        } cases[] = {
                { "slipway_2.0.efi", "slipway_1.0.efi", "2.0", -EEXIST },
                { "slipway_2.0.efi", "slipway_1.0.efi", "2.00", -EEXIST },
                { "slipway_2.1.efi", "slipway_1.0.efi", NULL, -ENOENT },
                { "slipway_2.0+2-1.efi", "slipway_1.0.efi", NULL, -EAGAIN },
                { "slipway_2.0+0.efi", "slipway_1.0.efi", NULL, -EAGAIN },
                { "slipway_2.0+0-1.efi", "slipway_1.0+0-3.efi", NULL, -EAGAIN },
                { "slipway_2.0+2-1.efi", "slipway_1.0+0-3.efi", NULL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error err = {};
                struct fixture f;

                fixture_init(&f, cases[i].running, cases[i].other);
                if (cases[i].version)
                        strcpy(f.v3->version, cases[i].version);
                assert_int_equal(finalize_prepare(&f.finalize, &err), cases[i].code);
                assert_int_equal(f.changes == 0, cases[i].code < 0);
                assert_true(has(&f, cases[i].running));
                fixture_done(&f);
        }
}

/* One byte of what was staged is another one on the disk. */
static void flip(struct fixture *f, enum store_target target, uint64_t offset)
{
        struct store *s = &f->machine.store;
        struct error err = {};
        uint8_t byte;

        assert_ok(store_read(s, target, offset, &byte, 1, &err), &err);
        byte ^= 0x10;
        assert_ok(store_write(s, target, offset, &byte, 1, &err), &err);
}

static void test_verify(void **state _unused_)
{
        static const struct {
                enum store_target target;
                uint64_t offset;
        } flips[] = {
                { STORE_USR, 0 },
                { STORE_USR, 5 * BLOCK_SIZE },
                { STORE_USR, USR_BLOCKS * BLOCK_SIZE - 1 },
                { STORE_TREE, 0 },
                { STORE_TREE, BLOCK_SIZE + 40 },
                { STORE_TREE, 2 * BLOCK_SIZE - 1 },
                { STORE_SIGNATURE, 0 },
                { STORE_SIGNATURE, 1500 },
                { STORE_SIGNATURE, SIGNATURE_ROOM - 1 },
        };
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        stage(&f, f.v3);
        assert_ok(finalize_verify(&f.finalize, &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
                flip(&f, flips[i].target, flips[i].offset);
                assert_int_equal(finalize_verify(&f.finalize, &err), -EBADMSG);
                flip(&f, flips[i].target, flips[i].offset);
        }
        assert_ok(finalize_verify(&f.finalize, &err), &err);
        fixture_done(&f);
}

/* Of a release without one, any is too much. */
static void test_verify_unsigned(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        f.v3->release.usr_signature = (struct sha256){};
        f.v3->release.usr_signature_size = 0;
        stage(&f, f.v3);
        assert_int_equal(finalize_verify(&f.finalize, &err), -EBADMSG);
        memset(f.v3->signature, 0, sizeof(f.v3->signature));
        stage(&f, f.v3);
        assert_ok(finalize_verify(&f.finalize, &err), &err);
        fixture_done(&f);
}

static void test_verify_uki(void **state _unused_)
{
        static const uint64_t offsets[] = { 0, BLOCK_SIZE, UKI_SIZE - 1, UKI_SIZE };
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        stage(&f, f.v3);
        for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
                /* At its end there is a byte too many. */
                assert_ok(store_file_write(&f.machine.store, f.finalize.uki_name, offsets[i],
                                           "\x7f", 1, &err),
                          &err);
                assert_int_equal(finalize_verify(&f.finalize, &err), -EBADMSG);
                assert_ok(store_file_remove(&f.machine.store, f.finalize.uki_name, &err), &err);
                stage(&f, f.v3);
                assert_ok(finalize_verify(&f.finalize, &err), &err);
        }
        assert_ok(store_file_remove(&f.machine.store, f.finalize.uki_name, &err), &err);
        assert_int_equal(finalize_verify(&f.finalize, &err), -ENOENT);
        fixture_done(&f);
}

static void test_commit(void **state _unused_)
{
        const struct slot *slot;
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        assert_ok(finalize_prepare(&f.finalize, &err), &err);
        stage(&f, f.v3);
        assert_ok(finalize_commit(&f.finalize, &err), &err);
        reload(&f);
        slot = slots_find(&f.machine.slots, &f.v3->release.root_hash);
        assert_ptr_equal(slot, &f.machine.slots.items[1]);
        assert_string_equal(slot->usr.label, "usr_3.0");
        assert_string_equal(slot->tree.label, "usr-verity_3.0");
        assert_string_equal(slot->signature.label, "usr-verity-sig_3.0");
        assert_true(has(&f, "slipway_3.0+3.efi") && has(&f, "slipway_2.0.efi"));
        assert_false(has(&f, "slipway_3.0.efi.new"));
        fixture_done(&f);
}

/* An older release comes next, too; the running one stays as the way back. */
static void test_downgrade(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        strcpy(f.v3->version, "0.3");
        assert_ok(finalize_prepare(&f.finalize, &err), &err);
        stage(&f, f.v3);
        assert_ok(finalize_commit(&f.finalize, &err), &err);
        assert_true(has(&f, "slipway_0.3+3.efi") && has(&f, "slipway_2.0+0.efi"));
        assert_false(has(&f, "slipway_2.0.efi"));
        fixture_done(&f);
}

static void test_long_version(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f, "slipway_2.0.efi", "slipway_1.0.efi");
        f.v3->release.version = (char *)"3.0-as-long-as-no-label-can-be";
        stage(&f, f.v3);
        f.changes = 0;
        assert_int_equal(finalize_commit(&f.finalize, &err), -EINVAL);
        assert_int_equal(f.changes, 0);
        fixture_done(&f);
}

static void test_rollback(void **state _unused_)
{
        static const struct {
                const char *running, *other, *from, *to;
                const char *left[2]; /* names there are afterwards; the first is started */
                int code;
        } cases[] = {
                { "slipway_2.0.efi",
                  "slipway_1.0.efi",
                  "2.0",
                  "1.0",
                  { "slipway_1.0.efi", "slipway_2.0+0.efi" },
                  0 },
                { "slipway_2.0+2-1.efi",
                  "slipway_1.0+0-3.efi",
                  "2.0",
                  "1.0",
                  { "slipway_1.0+3.efi", "slipway_2.0+0.efi" },
                  0 },
                /* Forward again: the older one stays good, and so the way back. */
                { "slipway_2.0+0.efi",
                  "slipway_1.0.efi",
                  "1.0",
                  "2.0",
                  { "slipway_2.0+3.efi", "slipway_1.0.efi" },
                  0 },
                { "slipway_2.0+3.efi",
                  "slipway_1.0.efi",
                  "1.0",
                  "2.0",
                  { "slipway_2.0+3.efi", "slipway_1.0.efi" },
                  0 },
                { "slipway_2.0.efi",
                  "slipway_1.0.efi",
                  "2.0",
                  "0.9",
                  { "slipway_2.0.efi", "slipway_1.0.efi" },
                  -ENOENT },
        };
        char name[BOOT_ENTRY_NAME_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct entries entries;
                struct error err = {};
                struct fixture f;

                fixture_init(&f, cases[i].running, cases[i].other);
                assert_int_equal(
                        rollback_entries(&f.machine.store, cases[i].from, cases[i].to, &err),
                        cases[i].code);
                assert_ok(entries_load(f.machine.store.entries_fd, &entries, &err), &err);
                assert_int_equal(entries.count, 2);
                assert_string_equal(boot_entry_format(entries_next(&entries), name),
                                    cases[i].left[0]);
                assert_true(has(&f, cases[i].left[1]));
                fixture_done(&f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_prepare),         cmocka_unit_test(test_prepare_refused),
                cmocka_unit_test(test_verify),          cmocka_unit_test(test_verify_uki),
                cmocka_unit_test(test_verify_unsigned), cmocka_unit_test(test_commit),
                cmocka_unit_test(test_downgrade),       cmocka_unit_test(test_long_version),
                cmocka_unit_test(test_rollback),
        };

        return test_run(tests);
}
