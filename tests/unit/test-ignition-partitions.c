/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Planning partitions: the matrix of re-use, numbers, and places as sgdisk would choose them. */

#include "partition.h"
#include "test.h"

enum { SECTORS = 2048 /* of a MiB */, DISK_MIB = 1024 };

#define ROOT_TYPE "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
#define GUID_1    "11111111-1111-4111-8111-111111111111"

/* 1 "root" at 1 MiB, 100 MiB; 3 "data" at 201 MiB, 50 MiB. */
static struct gpt_table *disk_table(uint64_t sector_size)
{
        struct gpt_table *t = calloc(1, sizeof(*t));
        uint64_t per_mib = MIB / sector_size;

        *t = (struct gpt_table){
                .exists = true,
                .sector_size = sector_size,
                .first = 34,
                .last = DISK_MIB * per_mib - 34,
                .new_first = 34,
                .new_last = DISK_MIB * per_mib - 34,
                .disk_sectors = DISK_MIB * per_mib,
                .count = 2,
                .entries = { { 1, per_mib, 100 * per_mib, GUID_1, ROOT_TYPE, "root" },
                             { 3, 201 * per_mib, 50 * per_mib, "", ROOT_TYPE, "data" } },
        };
        return t;
}

#define NUMBER(n)                                                                                  \
        {                                                                                          \
                .set = true, .value = (n)                                                          \
        }
#define YES                                                                                        \
        {                                                                                          \
                .set = true, .value = true                                                         \
        }
#define NO                                                                                         \
        {                                                                                          \
                .set = true, .value = false                                                        \
        }

static int plan_list(const struct partition *wishes, size_t count, bool wipe,
                     const struct gpt_table *table, struct gpt_plan *ret, struct error *err)
{
        struct disk disk = { .device = "/dev/x",
                             .wipe_table = { .set = true, .value = wipe },
                             .partitions = { (void *)wishes, count } };

        return gpt_plan(&disk, table, ret, err);
}

static const struct {
        const char *name;
        struct partition wish;
        enum gpt_action action;
        const char *message; /* of a refusal */
} matrix[] = {
        { "absent, unwanted", { .number = NUMBER(7), .should_exist = NO }, GPT_NOTHING, NULL },
        { "absent, unwanted, wipe",
          { .number = NUMBER(7), .should_exist = NO, .wipe_entry = YES },
          GPT_NOTHING,
          NULL },
        { "absent, wanted", { .number = NUMBER(7) }, GPT_CREATE, NULL },
        { "absent, wanted, wipe",
          { .number = NUMBER(7), .should_exist = YES, .wipe_entry = YES },
          GPT_CREATE,
          NULL },
        { "there, unwanted",
          { .number = NUMBER(1), .should_exist = NO },
          GPT_REFUSE,
          "exists but is specified as nonexistent" },
        { "there, unwanted, wipe",
          { .number = NUMBER(1), .should_exist = NO, .wipe_entry = YES },
          GPT_DELETE,
          NULL },
        { "matches by silence", { .number = NUMBER(1) }, GPT_KEEP, NULL },
        { "matches in everything",
          { .number = NUMBER(1),
            .label = "root",
            .start_mib = NUMBER(1),
            .size_mib = NUMBER(100),
            .guid = GUID_1,
            .type_guid = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" },
          GPT_KEEP,
          NULL },
        { "empty GUIDs are any",
          { .number = NUMBER(1), .guid = "", .type_guid = "" },
          GPT_KEEP,
          NULL },
        { "matches, wipe",
          { .number = NUMBER(1),
            .wipe_entry = YES,
            .start_mib = NUMBER(1),
            .size_mib = NUMBER(100) },
          GPT_KEEP,
          NULL },
        { "other label",
          { .number = NUMBER(1), .label = "x" },
          GPT_REFUSE,
          "label did not match (specified \"x\", got \"root\")" },
        { "empty label is a label",
          { .number = NUMBER(1), .label = "" },
          GPT_REFUSE,
          "label did not match" },
        { "other type",
          { .number = NUMBER(1), .type_guid = GUID_1 },
          GPT_REFUSE,
          "type GUID did not match" },
        { "other GUID", { .number = NUMBER(1), .guid = ROOT_TYPE }, GPT_REFUSE, "GUID did not" },
        { "other start",
          { .number = NUMBER(1), .start_mib = NUMBER(2), .size_mib = NUMBER(9) },
          GPT_REFUSE,
          "starting sector did not match (specified 4096, got 2048)" },
        { "other size",
          { .number = NUMBER(1), .size_mib = NUMBER(150) },
          GPT_REFUSE,
          "size did not match (specified 307200, got 204800)" },
        { "other size, for which there is no room",
          { .number = NUMBER(1), .size_mib = NUMBER(300) },
          GPT_REFUSE,
          "size did not match (specified 614400, got 204800)" },
        { "other label, no room",
          { .number = NUMBER(1), .size_mib = NUMBER(300), .label = "x", .resize = YES },
          GPT_REFUSE,
          "label did not match" },
        { "no room to resize",
          { .number = NUMBER(1), .size_mib = NUMBER(300), .resize = YES },
          GPT_REFUSE,
          "no room for partition 1: 614400 sectors at 2048, where 409600 are free" },
        { "other size, resize",
          { .number = NUMBER(1), .size_mib = NUMBER(150), .resize = YES },
          GPT_RESIZE,
          NULL },
        { "size to the next partition, resize",
          { .number = NUMBER(1), .size_mib = NUMBER(0), .resize = YES },
          GPT_RESIZE,
          NULL },
        { "other label, resize",
          { .number = NUMBER(1), .label = "x", .size_mib = NUMBER(150), .resize = YES },
          GPT_REFUSE,
          "label did not match" },
        { "other label, wipe",
          { .number = NUMBER(1), .label = "x", .wipe_entry = YES },
          GPT_REPLACE,
          NULL },
        { "other size, wipe and resize",
          { .number = NUMBER(1), .size_mib = NUMBER(150), .wipe_entry = YES, .resize = YES },
          GPT_REPLACE,
          NULL },
};

static void test_matrix(void **state _unused_)
{
        _cleanup_free_ struct gpt_table *table = disk_table(512);

        for (size_t i = 0; i < ARRAY_SIZE(matrix); i++) {
                _cleanup_gpt_plan_ struct gpt_plan plan = {};
                struct error err = {};
                int r = plan_list(&matrix[i].wish, 1, false, table, &plan, &err);

                if (matrix[i].action == GPT_REFUSE) {
                        if (r >= 0 || !strstr(err.message, matrix[i].message))
                                fail_msg("%s: %d %s", matrix[i].name, r, err.message);
                        assert_ptr_equal(plan.culprit, &matrix[i].wish);
                } else if (r < 0 || plan.operations[0].action != matrix[i].action) {
                        fail_msg("%s: %d %s, %s", matrix[i].name, r, err.message,
                                 r < 0 ? "" : gpt_action_name(plan.operations[0].action));
                }
        }
}

static void assert_place(const struct gpt_plan *plan, size_t i, unsigned number, uint64_t start,
                         uint64_t size)
{
        assert_int_equal(plan->operations[i].after.number, number);
        assert_int_equal(plan->operations[i].after.start, start);
        assert_int_equal(plan->operations[i].after.size, size);
}

static void test_numbers_and_places(void **state _unused_)
{
        static const struct partition wishes[] = {
                { .label = "new", .size_mib = NUMBER(10) },     /* lowest free number: 4 */
                { .label = "data" },                            /* is 3 */
                { .number = NUMBER(2), .size_mib = NUMBER(0) }, /* placed before "new" */
        };
        _cleanup_free_ struct gpt_table *table = disk_table(512);
        _cleanup_gpt_plan_ struct gpt_plan plan = {};
        struct error err = {};

        assert_ok(plan_list(wishes, 2, false, table, &plan, &err), &err);
        assert_place(&plan, 0, 2, 101 * SECTORS,
                     10 * SECTORS); /* as if "data" were not there yet */
        assert_place(&plan, 1, 3, 201 * SECTORS, 50 * SECTORS);
        assert_int_equal(plan.operations[1].action, GPT_KEEP);
        gpt_plan_done(&plan);

        assert_ok(plan_list(wishes, 3, false, table, &plan, &err), &err);
        assert_place(&plan, 0, 2, 251 * SECTORS, table->last + 1 - 251 * SECTORS);
        assert_place(&plan, 1, 4, 101 * SECTORS, 10 * SECTORS);
        assert_place(&plan, 2, 3, 201 * SECTORS, 50 * SECTORS);
}

/* What is there and does not fit the configuration is told before what has no room. */
static void test_mismatch_before_no_room(void **state _unused_)
{
        static const struct partition wishes[] = {
                { .number = NUMBER(2), .size_mib = NUMBER(2 * DISK_MIB) },
                { .number = NUMBER(1), .label = "x" },
        };
        _cleanup_free_ struct gpt_table *table = disk_table(512);
        struct gpt_plan plan = {};
        struct error err = {};

        assert_int_equal(plan_list(wishes, 2, false, table, &plan, &err), -EEXIST);
        assert_non_null(strstr(err.message, "Partition 1 didn't match: label"));
        assert_ptr_equal(plan.culprit, &wishes[1]);
        assert_int_equal(plan_list(wishes, 1, false, table, &plan, &err), -ENOSPC);
        assert_ptr_equal(plan.culprit, &wishes[0]);
}

/* A 4 KiB sector is eight times as large: a MiB has 256. */
static void test_large_sectors(void **state _unused_)
{
        static const struct partition wish = { .number = NUMBER(1), .size_mib = NUMBER(8) };
        _cleanup_free_ struct gpt_table *table = disk_table(4096);
        _cleanup_gpt_plan_ struct gpt_plan plan = {};
        struct error err = {};

        assert_ok(plan_list(&wish, 1, true, table, &plan, &err), &err);
        assert_true(plan.wipe_table);
        assert_place(&plan, 0, 1, 256, 8 * 256);
}

static void test_no_room(void **state _unused_)
{
        static const struct partition overlapping = { .number = NUMBER(2),
                                                      .start_mib = NUMBER(150),
                                                      .size_mib = NUMBER(60) };
        static const struct partition huge = { .number = NUMBER(2), .size_mib = NUMBER(INT64_MAX) };
        static const struct partition number = { .number = NUMBER(129) };
        _cleanup_free_ struct gpt_table *table = disk_table(512);
        struct gpt_plan plan = {};
        struct error err = {};

        assert_int_equal(plan_list(&overlapping, 1, false, table, &plan, &err), -ENOSPC);
        assert_int_equal(plan_list(&huge, 1, false, table, &plan, &err), -ENOSPC);
        assert_int_equal(plan_list(&number, 1, false, table, &plan, &err), -ENOSPC);
}

static void test_tables(void **state _unused_)
{
        static const struct partition absent = { .number = NUMBER(2), .should_exist = NO };
        static const struct partition wanted = { .number = NUMBER(2) };
        struct gpt_table *table = disk_table(512);
        struct gpt_plan plan = {};
        struct error err = {};

        *table->foreign = 'd';
        assert_int_equal(plan_list(&wanted, 1, false, table, &plan, &err), -EMEDIUMTYPE);
        assert_ok(plan_list(&wanted, 1, true, table, &plan, &err), &err);
        gpt_plan_done(&plan);
        *table->foreign = '\0';
        table->exists = false;
        table->count = 0;
        assert_ok(plan_list(&absent, 1, false, table, &plan, &err), &err);
        assert_false(gpt_plan_changes(&plan)); /* no table is made for nothing */
        gpt_plan_done(&plan);
        assert_ok(plan_list(&wanted, 1, false, table, &plan, &err), &err);
        assert_true(plan.wipe_table);
        gpt_plan_done(&plan);
        free(table);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_matrix),
                cmocka_unit_test(test_numbers_and_places),
                cmocka_unit_test(test_large_sectors),
                cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_mismatch_before_no_room),
        };

        return test_run(tests);
}
