/*
 * test_makedata.c - invented data is the same everywhere, and what is committed is what the program
 * writes.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/fs.h"
#include "trainer/makedata.h"

#define FILE_BYTES_MAX (4 * MIB)

static char folder[32];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/reprise-make-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove_tree(folder, NULL) != STATUS_OK;
}

static void make(enum makedata_kind kind, int64_t rows, uint64_t seed)
{
    struct error err = {.status = STATUS_OK};
    const struct makedata_request request = {
        .kind = kind, .folder = folder, .rows = rows, .seed = seed};
    assert_ok(makedata_write(&request, &err), &err);
}

static void read_into(struct buf *out, const char *in, const char *name)
{
    struct error err = {.status = STATUS_OK};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", in, name);
    buf_init(out, FILE_BYTES_MAX);
    assert_ok(fs_read_file(path, out, &err), &err);
}

static void what_is_committed_is_what_the_program_writes(void **state)
{
    (void)state;
    static const struct {
        enum makedata_kind kind;
        const char *committed, *name;
    } cases[] = {{MAKEDATA_TABLE, "deploy/data/credit-small", "loans.csv"},
                 {MAKEDATA_TEXT, "deploy/data/reviews-small", "train.tsv"},
                 {MAKEDATA_TEXT, "deploy/data/reviews-small", "test.tsv"},
                 {MAKEDATA_INTERACTIONS, "deploy/data/shop-small", "train.tsv"},
                 {MAKEDATA_INTERACTIONS, "deploy/data/shop-small", "test.tsv"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(buf_clear) struct buf expected;
        CLEANUP(buf_clear) struct buf actual;
        make(cases[i].kind, 0, 1);
        read_into(&expected, cases[i].committed, cases[i].name);
        read_into(&actual, folder, cases[i].name);
        assert_int_equal(actual.size, expected.size);
        assert_memory_equal(actual.data, expected.data, expected.size);
    }
}

static void more_rows_go_on_where_fewer_end(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf fewer;
    CLEANUP(buf_clear) struct buf more;
    make(MAKEDATA_TABLE, 100, 7);
    read_into(&fewer, folder, "loans.csv");
    make(MAKEDATA_TABLE, 300, 7);
    read_into(&more, folder, "loans.csv");
    assert_true(more.size > 2 * fewer.size);
    assert_memory_equal(more.data, fewer.data, fewer.size);
}

static void another_seed_gives_other_data(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf one;
    CLEANUP(buf_clear) struct buf other;
    make(MAKEDATA_TEXT, 100, 1);
    read_into(&one, folder, "train.tsv");
    make(MAKEDATA_TEXT, 100, 2);
    read_into(&other, folder, "train.tsv");
    assert_string_not_equal(one.data, other.data);
}

/* Reads the user and item of one line; false at the end. */
static bool next_pair(const char **text, long *user, long *item)
{
    char *end = NULL;
    if (**text == '\0')
        return false;
    *user = strtol(*text, &end, 10);
    assert_int_equal(*end, '\t');
    *item = strtol(end + 1, &end, 10);
    *text = strchr(end, '\n') + 1;
    return true;
}

static void no_user_has_an_item_twice(void **state)
{
    (void)state;
    enum { USERS = 62, ITEMS = 300 };
    static bool seen[USERS][ITEMS];
    int lines = 0;
    make(MAKEDATA_INTERACTIONS, 1000, 3);
    for (int i = 0; i < 2; i++) {
        CLEANUP(buf_clear) struct buf text;
        read_into(&text, folder, i == 0 ? "train.tsv" : "test.tsv");
        long user = 0, item = 0;
        for (const char *at = text.data; next_pair(&at, &user, &item); lines++) {
            assert_true(user >= 0 && user < USERS && item >= 0 && item < ITEMS);
            assert_false(seen[user][item]);
            seen[user][item] = true;
        }
    }
    assert_int_equal(lines, USERS * 17);
}

static void a_wrong_request_is_named(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    enum makedata_kind kind = MAKEDATA_TABLE;
    assert_fails(makedata_kind_of("tabel", &kind, &err), &err, STATUS_INVALID,
                 "make-data: expected table, text or interactions, got \"tabel\"");
    const struct makedata_request few = {.kind = MAKEDATA_TEXT, .folder = folder, .rows = 99};
    assert_fails(makedata_write(&few, &err), &err, STATUS_INVALID,
                 "make-data: expected 100..1000000000 rows, got 99");
    const struct makedata_request full = {.kind = MAKEDATA_TABLE, .folder = "/dev/null/x"};
    assert_int_not_equal(makedata_write(&full, &err), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_what_the_program_writes),
        cmocka_unit_test(more_rows_go_on_where_fewer_end),
        cmocka_unit_test(another_seed_gives_other_data),
        cmocka_unit_test(no_user_has_an_item_twice),
        cmocka_unit_test(a_wrong_request_is_named),
    };
    return cmocka_run_group_tests_name("makedata", tests, make_folder, remove_folder);
}
