/* test_negatives.c - what is drawn, and that both forms of remembering what users met say the same. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "trainer/model/negatives.h"

enum { MET = 300 };

struct interactions {
    int32_t user[MET], item[MET];
};

/* A third of them comes twice. */
static void make(struct interactions *out, int64_t users, int64_t items)
{
    const struct philox_key key = philox_key_of(5, PHILOX_MAKE_DATA);
    for (int i = 0; i < MET; i++) {
        uint32_t numbers[4];
        philox_4x32(key, 0, (uint64_t)(i % (2 * MET / 3)), numbers);
        out->user[i] = (int32_t)(numbers[0] % users);
        out->item[i] = (int32_t)(numbers[1] % items);
    }
}

static bool is_among(const struct interactions *met, int32_t user, int32_t item)
{
    for (int i = 0; i < MET; i++) {
        if (met->user[i] == user && met->item[i] == item)
            return true;
    }
    return false;
}

static struct negatives *open_on(const struct interactions *met, int64_t users, int64_t items)
{
    struct negatives *out = NULL;
    struct error err = {.status = STATUS_OK};
    assert_ok(negatives_open(met->user, met->item, MET, users, items, &out, &err), &err);
    return out;
}

static int32_t draw(const struct negatives *negatives, uint64_t seed, int64_t epoch, int32_t record,
                    int32_t user)
{
    int32_t item = -1;
    negatives_draw(negatives, philox_key_of(seed, PHILOX_NEGATIVES), epoch, &record, &user, 1,
                   &item);
    return item;
}

/* Few pairs are remembered as bits, many as lists: 50,000 times 7,000 bits are more than a bitmap may have. */
static const struct {
    int32_t users, items;
} sizes[] = {{1, 400}, {7, 64}, {20, 65}, {50000, 7000}};

static void what_was_met_is_known_and_nothing_else(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        struct interactions met;
        make(&met, sizes[s].users, sizes[s].items);
        struct negatives *negatives = open_on(&met, sizes[s].users, sizes[s].items);
        assert_true(negatives_bytes(negatives) <= NEGATIVES_BITMAP_BYTES);
        for (int i = 0; i < MET; i++) {
            const int32_t user = met.user[i];
            for (int32_t item = met.item[i] - 2; item <= met.item[i] + 2; item++) {
                if (item >= 0 && item < sizes[s].items)
                    assert_int_equal(negatives_has_met(negatives, user, item),
                                     is_among(&met, user, item));
            }
            assert_int_equal(negatives_has_met(negatives, user, 0), is_among(&met, user, 0));
            assert_int_equal(negatives_has_met(negatives, user, sizes[s].items - 1),
                             is_among(&met, user, sizes[s].items - 1));
        }
        negatives_close(negatives);
    }
}

static void a_draw_is_never_met_and_depends_on_record_and_epoch_alone(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        struct interactions met;
        int changed = 0;
        make(&met, sizes[s].users, sizes[s].items);
        struct negatives *negatives = open_on(&met, sizes[s].users, sizes[s].items);
        int32_t records[MET], drawn[MET], again[MET];
        for (int i = 0; i < MET; i++)
            records[i] = i;
        negatives_draw(negatives, philox_key_of(1, PHILOX_NEGATIVES), 0, records, met.user, MET,
                       drawn);
        negatives_draw(negatives, philox_key_of(1, PHILOX_NEGATIVES), 1, records, met.user, MET,
                       again);
        for (int i = 0; i < MET; i++) {
            assert_true(drawn[i] >= 0 && drawn[i] < sizes[s].items);
            assert_false(is_among(&met, met.user[i], drawn[i]));
            assert_int_equal(draw(negatives, 1, 0, i, met.user[i]), drawn[i]);
            changed += again[i] != drawn[i];
        }
        assert_true(changed > MET * 9 / 10);
        negatives_close(negatives);
    }
}

static void unmet_items_are_drawn_equally_often(void **state)
{
    (void)state;
    enum { ITEMS = 10, DRAWS = 20000 };
    const struct interactions met = {.user = {0}, .item = {0, 3, 7}}; /* the rest is item 0 again */
    struct negatives *negatives = open_on(&met, 1, ITEMS);
    int counts[ITEMS] = {0};
    for (int i = 0; i < DRAWS; i++)
        counts[draw(negatives, 1, 2, i, 0)]++;
    for (int item = 0; item < ITEMS; item++) {
        const int expected = item == 0 || item == 3 || item == 7 ? 0 : DRAWS / (ITEMS - 3);
        assert_in_range(counts[item], expected - expected / 20, expected + expected / 20);
    }
    negatives_close(negatives);
}

static void a_user_who_has_met_everything_gets_some_item(void **state)
{
    (void)state;
    struct interactions met = {.user = {0}};
    for (int i = 0; i < MET; i++)
        met.item[i] = i % 12;
    struct negatives *negatives = open_on(&met, 1, 12);
    assert_in_range(draw(negatives, 1, 0, 0, 0), 0, 11);
    negatives_close(negatives);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_met_is_known_and_nothing_else),
        cmocka_unit_test(a_draw_is_never_met_and_depends_on_record_and_epoch_alone),
        cmocka_unit_test(unmet_items_are_drawn_equally_often),
        cmocka_unit_test(a_user_who_has_met_everything_gets_some_item),
    };
    return cmocka_run_group_tests_name("negatives", tests, NULL, NULL);
}
