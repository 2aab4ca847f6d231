/* test_pairs.c - interaction logs: ids, what is held out, candidates, errors. */
#include "tests/unit/data_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/hash.h"

#define LOG "'train':{'format':'interactions','file':'t'},'root':'r'"

static void check_pairs(const struct dataset *set, const int32_t (*wanted)[2], int64_t count)
{
    assert_int_equal(set->kind, DATA_KIND_PAIRS);
    const int32_t *user = data_fixture_array(set, "user", DATA_I32, count, 1);
    const int32_t *item = data_fixture_array(set, "item", DATA_I32, count, 1);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(user[i], wanted[i][0]);
        assert_int_equal(item[i], wanted[i][1]);
    }
}

static void dense_numbers_stand_for_themselves(void **state)
{
    struct data_fixture *f = *state;
    static const int32_t wanted[][2] = {{3, 7}, {0, 7}, {3, 900}};
    data_fixture_spec(f, "{" LOG "}");
    data_fixture_write(f, "t", "3\t7\t5\t978300174\n0\t7\n3\t900\textra\n");
    assert_ok(data_fixture_train(f), &f->err);
    check_pairs(&f->train, wanted, 3);
    const struct data_fit *fit = data_fixture_fit(f);
    assert_true(fit->users == 4 && fit->items == 901 && !fit->named_users && !fit->named_items);
    assert_int_equal(data_encode_item(fit, "900", 3), 900);
    assert_int_equal(data_encode_item(fit, "901", 3), -1);
    assert_int_equal(data_encode_user(fit, "x", 1), -1);
}

static void other_ids_are_numbered_in_order_of_first_appearance(void **state)
{
    struct data_fixture *f = *state;
    static const int32_t wanted[][2] = {{0, 0}, {1, 1}, {0, 1}, {2, 0}};
    char name[DATA_ID_BYTES];
    data_fixture_spec(f, "{" LOG ",'separator':',','header':true,'user':'who','item':'what'}");
    data_fixture_write(f, "t",
                       "when,what,who\n1,\"a, \"\"b\"\"\",007\n2,99000000,7\n"
                       "3,99000000,007\n4,\"a, \"\"b\"\"\",\xC3\xA9\n");
    assert_ok(data_fixture_train(f), &f->err);
    check_pairs(&f->train, wanted, 4);
    const struct data_fit *fit = data_fixture_fit(f);
    assert_true(fit->users == 3 && fit->items == 2 && fit->named_users && fit->named_items);
    assert_int_equal(data_encode_user(fit, "\xC3\xA9", 2), 2);
    data_user_name(fit, 0, name);
    assert_string_equal(name, "007");
    data_item_name(fit, 0, name);
    assert_string_equal(name, "a, \"b\"");
}

static void numbers_with_large_gaps_are_mapped(void **state)
{
    struct data_fixture *f = *state;
    static const int32_t wanted[][2] = {{0, 0}, {1, 5}};
    data_fixture_spec(f, "{" LOG "}");
    data_fixture_write(f, "t", "5000\t0\n1\t5\n");
    assert_ok(data_fixture_train(f), &f->err);
    check_pairs(&f->train, wanted, 2);
    assert_true(data_fixture_fit(f)->named_users);
}

/* ------------------------------------------------------------------ held out */

static const int32_t *candidates_of(struct data_fixture *f, int64_t rows, int64_t width)
{
    assert_ok(data_fixture_eval(f), &f->err);
    assert_int_equal(f->eval.kind, DATA_KIND_PAIRS);
    return data_fixture_array(&f->eval, "candidates", DATA_I32, rows, width);
}

static void the_latest_item_of_each_user_is_held_out(void **state)
{
    struct data_fixture *f = *state;
    /* user 1 met one item alone, which is not spared; user 2's last two are of one time */
    static const int32_t wanted[][2] = {{0, 10}, {0, 12}, {1, 10}, {1, 10}, {2, 10}};
    data_fixture_spec(f, "{" LOG ",'time':'2','split':{'by':'time'}}");
    data_fixture_write(f, "t",
                       "0\t10\t5\n0\t11\t9\n0\t12\t7\n1\t10\t1\n0\t11\t2\n1\t10\t2\n"
                       "2\t10\t3\n2\t11\t3\n");
    assert_ok(data_fixture_train(f), &f->err);
    check_pairs(&f->train, wanted, 5);
    const int32_t *candidates = candidates_of(f, 2, 100);
    const int32_t *user = data_fixture_array(&f->eval, "user", DATA_I32, 2, 1);
    assert_true(user[0] == 0 && user[1] == 2);
    assert_true(candidates[0] == 11 && candidates[100] == 11);
}

static uint64_t hash_of(const char *text)
{
    uint8_t digest[SHA256_BYTES];
    uint64_t value = 0;
    sha256_of(text, strlen(text), digest);
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    return value;
}

static void without_times_the_item_of_the_least_hash_is_held_out(void **state)
{
    struct data_fixture *f = *state;
    CLEANUP(buf_clear) struct buf text;
    int32_t wanted[20];
    buf_init(&text, MIB);
    data_fixture_spec(f, "{" LOG ",'split':{'by':'hash'}}");
    for (int user = 0; user < 20; user++) {
        uint64_t least = UINT64_MAX;
        for (int item = 0; item < 30; item++) {
            char pair[16];
            (void)snprintf(pair, sizeof(pair), "%d\t%d", user, item);
            buf_printf(&text, "%s\n", pair);
            if (hash_of(pair) < least) {
                least = hash_of(pair);
                wanted[user] = item;
            }
        }
    }
    data_fixture_write(f, "t", text.data);
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(f->train.count, 20 * 29);
    const int32_t *candidates = candidates_of(f, 20, 100);
    for (int user = 0; user < 20; user++)
        assert_int_equal(candidates[user * 100], wanted[user]);
}

static void drawn_candidates_are_different_items_that_the_user_has_not_met(void **state)
{
    struct data_fixture *f = *state;
    CLEANUP(buf_clear) struct buf text;
    bool met[4][400] = {{false}};
    buf_init(&text, MIB);
    for (int user = 0; user < 4; user++) { /* user 3 has met all items but 20 */
        for (int i = 0; i < (user < 3 ? 50 : 380); i++) {
            const int item = user < 3 ? (i * 7 + user) % 400 : i;
            met[user][item] = true;
            buf_printf(&text, "%d\t%d\n", user, item);
        }
    }
    buf_append_text(&text, "4\t399\n");
    data_fixture_write(f, "t", text.data);
    data_fixture_write(f, "e", "2\t350\n0\t390\n3\t399\n");
    data_fixture_spec(f, "{" LOG ",'eval':{'format':'interactions','file':'e'}}");
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *candidates = candidates_of(f, 3, 100);
    const int32_t *user = data_fixture_array(&f->eval, "user", DATA_I32, 3, 1);
    for (int row = 0; row < 3; row++) {
        bool seen[400] = {false};
        for (int i = 0; i < 100; i++) {
            const int32_t item = candidates[row * 100 + i];
            if (row == 2 && i >= 20) {
                assert_int_equal(item, -1); /* there are no more */
                continue;
            }
            assert_in_range(item, 0, 399);
            assert_false(seen[item]);
            assert_false(met[user[row]][item]);
            seen[item] = true;
        }
    }
}

/* ------------------------------------------------------------------ a file of negatives */

#define WITH_FILES \
    LOG ",'eval':{'format':'interactions','file':'e'},'negatives':{'file':'n','format':'ncf'}"

static void write_files(struct data_fixture *f, const char *negatives)
{
    data_fixture_write(f, "t", "0\t1\n1\t2\n1\t0\n2\t3\n");
    data_fixture_write(f, "e", "1\t3\t5\t978824351\n0\t2\t3\t978300174\n");
    data_fixture_write(f, "n", negatives);
}

static void negatives_are_read_in_the_form_of_the_ncf_authors(void **state)
{
    struct data_fixture *f = *state;
    static const int32_t wanted[] = {3, 0, -1, 1, 2, 1, 3, 3};
    data_fixture_spec(f, "{" WITH_FILES "}");
    write_files(f, "(1,3)\t0\t3\t1\n(0, 2)\t1\t3\t3\n"); /* the item itself is no negative */
    assert_ok(data_fixture_train(f), &f->err);
    const int32_t *candidates = candidates_of(f, 2, 4);
    assert_memory_equal(candidates, wanted, sizeof(wanted));
}

static void negatives_that_do_not_fit_are_refused_by_line(void **state)
{
    struct data_fixture *f = *state;
    static const struct {
        const char *file;
        const char *text;
    } wrong[] = {
        {"", "/n:1: expected (user,item) and its negatives, got an empty file"},
        {"(1,3)\n", "/n:1: expected (user,item) and its negatives, got no negative"},
        {"(1,3)\t0\n", "/n: expected a line for each of 2 evaluation records, got 1"},
        {"(1,3)\t0\n(0,2)\t1\n(0,2)\t1\n", "/n:3: expected the end after 2 lines"},
        {"(1,3)\t0\t1\n(0,2)\t1\n", "/n:2: expected 2 negatives as on the first line, got 1"},
        {"(1,3)\t0\n(0,3)\t1\n",
         "/n:2:1: expected the pair of the evaluation record at this place, user number 0 and item "
         "number 2, got 0 and 3"},
        {"1,3\t0\n(0,3)\t1\n", "/n:1:1: expected (user,item) of the training part"},
        {"(1,3)\tx\n(0,3)\t1\n", "/n:1:2: expected an item of the training part, got \"x\""},
    };
    data_fixture_spec(f, "{" WITH_FILES "}");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char text[400];
        write_files(f, wrong[i].file);
        assert_ok(data_fixture_train(f), &f->err);
        assert_int_equal(data_fixture_eval(f), STATUS_INVALID);
        (void)snprintf(text, sizeof(text), "%s%s", f->root, wrong[i].text);
        assert_string_equal(f->err.text, text);
    }
}

static void malformed_interactions_are_named_by_line_and_field(void **state)
{
    struct data_fixture *f = *state;
    char text[400];
    data_fixture_spec(f, "{" LOG ",'eval':{'format':'interactions','file':'e'}}");
    data_fixture_write(f, "t", "0\t1\n1\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(text, sizeof(text),
                   "%s/t:2: expected at least 2 fields, got 1 by the separator tab", f->root);
    assert_string_equal(f->err.text, text);
    data_fixture_write(f, "t", "0\t1\n1\t\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(text, sizeof(text),
                   "%s/t:2:2 (1): expected an id of 1..255 bytes of UTF-8, got nothing", f->root);
    assert_string_equal(f->err.text, text);
    data_fixture_spec(f, "{" LOG ",'time':'2','split':{'by':'time'}}");
    data_fixture_write(f, "t", "0\t1\t7\n1\t1\t8\n1\t2\t2026-11-24\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(
        text, sizeof(text),
        "%s/t:3: column \"2\": expected a number as in line 1, got RFC 3339: they have no "
        "common order",
        f->root);
    assert_string_equal(f->err.text, text);
    data_fixture_spec(f, "{" LOG ",'eval':{'format':'interactions','file':'e'}}");
    data_fixture_write(f, "t", "0\t1\n1\t2\n");
    data_fixture_write(f, "e", "1\t1\n\n0\t3\n");
    assert_ok(data_fixture_train(f), &f->err);
    assert_int_equal(data_fixture_eval(f), STATUS_INVALID);
    (void)snprintf(text, sizeof(text),
                   "%s/e:3:2 (1): expected an item of the training part, got \"3\"", f->root);
    assert_string_equal(f->err.text, text);
}

static void a_header_that_is_taken_as_an_interaction_is_recognised(void **state)
{
    struct data_fixture *f = *state;
    char text[400];
    static const char *const headers[] = {"user\titem\n0\t1\n1\t2\n",
                                          "user\titem\nann\t1\nbob\t2\n"};
    static const char *const logs[] = {"ann\tapple\nbob\tpear\n", "ann\t1\n7\t2\n", "ann\tapple\n",
                                       "7\tapple\n8\t3\n"};
    data_fixture_spec(f, "{" LOG "}");
    (void)snprintf(
        text, sizeof(text),
        "%s/t:1: expected numbers as in the other lines, got \"user\" and \"item\"; with "
        "\"header\": true line 1 is the names of the columns",
        f->root);
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        data_fixture_write(f, "t", headers[i]);
        assert_int_equal(data_fixture_train(f), STATUS_INVALID);
        assert_string_equal(f->err.text, text);
    }
    for (size_t i = 0; i < COUNT_OF(logs); i++) {
        data_fixture_write(f, "t", logs[i]);
        assert_ok(data_fixture_train(f), &f->err);
    }
    data_fixture_spec(f, "{" LOG ",'time':'2','split':{'by':'time'}}");
    data_fixture_write(f, "t", "user\titem\twhen\n0\t1\t5\n1\t2\t6\n");
    assert_int_equal(data_fixture_train(f), STATUS_INVALID);
    (void)snprintf(text, sizeof(text),
                   "%s/t:1:3 (2): expected a time, as a number or as RFC 3339, got \"when\"; with "
                   "\"header\": true line 1 is the names of the columns",
                   f->root);
    assert_string_equal(f->err.text, text);
}

#define WITH(test) \
    cmocka_unit_test_setup_teardown(test, data_fixture_set_up, data_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(dense_numbers_stand_for_themselves),
        WITH(a_header_that_is_taken_as_an_interaction_is_recognised),
        WITH(other_ids_are_numbered_in_order_of_first_appearance),
        WITH(numbers_with_large_gaps_are_mapped),
        WITH(the_latest_item_of_each_user_is_held_out),
        WITH(without_times_the_item_of_the_least_hash_is_held_out),
        WITH(drawn_candidates_are_different_items_that_the_user_has_not_met),
        WITH(negatives_are_read_in_the_form_of_the_ncf_authors),
        WITH(negatives_that_do_not_fit_are_refused_by_line),
        WITH(malformed_interactions_are_named_by_line_and_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
