/*
 * test_train_feed.c - what ranks are told of each step: every record of an epoch once, whatever the
 * number of ranks and calls, in an order that only seed and epoch decide.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/train_feed.h"

enum { RECORDS = 53, BATCH = 8, STEPS_PER_EPOCH = 7, EPOCHS = 3, ROWS_MAX = BATCH };

/* A model that needs nothing but the numbers of the records. */
static enum status fill(const struct model *model, const struct model_rows *rows, bool training,
                        void *feed, size_t *out_bytes, struct model_shape *out, struct error *err)
{
    (void)model;
    if (!training || rows->count > ROWS_MAX)
        return error_set(err, STATUS_INTERNAL, "%d rows", rows->count);
    *out_bytes = (size_t)rows->count * sizeof(int32_t);
    memcpy(feed, rows->records, *out_bytes);
    *out = (struct model_shape){.rows = rows->count};
    return STATUS_OK;
}

static enum status fill_fails(const struct model *model, const struct model_rows *rows,
                              bool training, void *feed, size_t *out_bytes, struct model_shape *out,
                              struct error *err)
{
    if (rows->step == 2)
        return error_set(err, STATUS_CORRUPT, "record %d is damaged", rows->records[0]);
    return fill(model, rows, training, feed, out_bytes, out, err);
}

static const struct model_ops numbers_ops = {.type = "numbers", .fill = fill};
static const struct model numbers = {.ops = &numbers_ops};

static struct feed_plan plan_of(int ranks, int rank, int calls)
{
    return (struct feed_plan){
        .model = &numbers,
        .seed = 5,
        .records = RECORDS,
        .batch_size = BATCH,
        .steps_per_epoch = STEPS_PER_EPOCH,
        .total_steps = EPOCHS * STEPS_PER_EPOCH,
        .shards = ranks * calls,
        .first_shard = rank * calls,
        .calls = calls,
        .rows_max = ROWS_MAX,
        .block_bytes = FEED_BLOCK_BYTES + ROWS_MAX * sizeof(int32_t),
    };
}

static struct feed_step *step_of(struct feeder *feeder, int64_t step)
{
    struct feed_step *out = NULL;
    struct error err = {.status = STATUS_OK};
    assert_ok(feeder_step(feeder, step, &out, &err), &err);
    assert_int_equal(out->step, step);
    return out;
}

/* Appends the records of all calls of the step; the number is returned. */
static int take(const struct feed_step *step, int calls, int32_t *out, int first_row)
{
    int count = 0;
    for (int c = 0; c < calls; c++) {
        const struct feed_call *call = &step->calls[c];
        struct model_feed_head head;
        memcpy(&head, call->block + FEED_FRONT_BYTES, sizeof(head));
        assert_int_equal(head.step[0], step->step);
        assert_true(head.loss_scale == 1.0F / (float)step->rows);
        if (call->shape.rows > 0)
            assert_int_equal(head.first_row, first_row + count);
        memcpy(out + count, call->block + FEED_BLOCK_BYTES,
               (size_t)call->shape.rows * sizeof(int32_t));
        count += call->shape.rows;
    }
    return count;
}

/* All records of all steps, in the order of the global batches. */
static void collect(int ranks, int calls, int32_t out[EPOCHS * RECORDS])
{
    struct feeder *feeders[8];
    struct error err = {.status = STATUS_OK};
    for (int r = 0; r < ranks; r++) {
        const struct feed_plan plan = plan_of(ranks, r, calls);
        assert_ok(feeder_open(&plan, 0, &feeders[r], &err), &err);
    }
    int count = 0;
    for (int64_t s = 0; s < EPOCHS * STEPS_PER_EPOCH; s++) {
        const int before = count;
        for (int r = 0; r < ranks; r++)
            count += take(step_of(feeders[r], s), calls, out + count, count - before);
        assert_int_equal(count - before, s % STEPS_PER_EPOCH == 6 ? RECORDS % BATCH : BATCH);
    }
    assert_int_equal(count, EPOCHS * RECORDS);
    for (int r = 0; r < ranks; r++)
        feeder_close(feeders[r]);
}

static void every_record_comes_once_an_epoch_for_any_ranks_and_calls(void **state)
{
    (void)state;
    int32_t expected[EPOCHS * RECORDS], actual[EPOCHS * RECORDS];
    collect(1, 1, expected);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[RECORDS] = {0};
        for (int i = 0; i < RECORDS; i++)
            seen[expected[epoch * RECORDS + i]]++;
        for (int i = 0; i < RECORDS; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(expected, expected + RECORDS, RECORDS * sizeof(int32_t));
    const int shapes[][2] = {{1, 8}, {2, 1}, {2, 4}, {3, 1}, {4, 2}, {8, 1}, {1, 3}};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        collect(shapes[i][0], shapes[i][1], actual);
        assert_memory_equal(actual, expected, sizeof(actual));
    }
}

static void another_step_than_the_next_begins_anew(void **state)
{
    (void)state;
    struct feeder *feeder = NULL;
    struct error err = {.status = STATUS_OK};
    const struct feed_plan plan = plan_of(1, 0, 1);
    int32_t all[EPOCHS * RECORDS], records[BATCH];
    collect(1, 1, all);
    assert_ok(feeder_open(&plan, 3, &feeder, &err), &err);
    const int64_t asked[] = {3, 4, 5, 1, 2, 12, 13, 3, 20, 0};
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        const int count = take(step_of(feeder, asked[i]), 1, records, 0);
        const int64_t first =
            asked[i] / STEPS_PER_EPOCH * RECORDS + asked[i] % STEPS_PER_EPOCH * BATCH;
        assert_memory_equal(records, all + first, (size_t)count * sizeof(int32_t));
    }
    feeder_close(feeder);
}

static void a_rank_that_serves_gets_an_empty_call(void **state)
{
    (void)state;
    struct feeder *feeder = NULL;
    struct error err = {.status = STATUS_OK};
    struct feed_plan plan = plan_of(2, 0, 1);
    plan.calls = 0;
    assert_ok(feeder_open(&plan, 0, &feeder, &err), &err);
    const struct feed_step *step = step_of(feeder, 0);
    assert_int_equal(step->calls[0].shape.rows, 0);
    assert_int_equal(step->calls[0].bytes, FEED_BLOCK_BYTES);
    feeder_close(feeder);
}

static void a_record_that_cannot_be_fed_is_told_at_its_step(void **state)
{
    (void)state;
    const struct model_ops failing_ops = {.type = "failing", .fill = fill_fails};
    const struct model failing = {.ops = &failing_ops};
    struct feeder *feeder = NULL;
    struct feed_step *step = NULL;
    struct error err = {.status = STATUS_OK};
    struct feed_plan plan = plan_of(1, 0, 1);
    plan.model = &failing;
    assert_ok(feeder_open(&plan, 0, &feeder, &err), &err);
    (void)step_of(feeder, 0);
    (void)step_of(feeder, 1);
    assert_int_equal(feeder_step(feeder, 2, &step, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "is damaged"));
    feeder_close(feeder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_comes_once_an_epoch_for_any_ranks_and_calls),
        cmocka_unit_test(another_step_than_the_next_begins_anew),
        cmocka_unit_test(a_rank_that_serves_gets_an_empty_call),
        cmocka_unit_test(a_record_that_cannot_be_fed_is_told_at_its_step),
    };
    return cmocka_run_group_tests_name("train_feed", tests, NULL, NULL);
}
