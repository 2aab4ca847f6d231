/* test_telemetry.c - metrics come back as they were sent, once each, bounded, with nothing invented. */

#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/id.h"
#include "service/store/telemetry.h"
#include "service/store/telemetry_private.h"

struct room {
    char folder[64];
    struct telemetry *telemetry;
    struct error err;
};

static int set_up(void **state)
{
    static struct room room;
    memset(&room, 0, sizeof room);
    (void)snprintf(room.folder, sizeof room.folder, "/tmp/reprise-telemetry-XXXXXX");
    assert_non_null(mkdtemp(room.folder));
    assert_ok(telemetry_open(room.folder, &room.telemetry, &room.err), &room.err);
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    struct room *room = *state;
    telemetry_close(room->telemetry);
    assert_int_equal(fs_remove_tree(room->folder, NULL), STATUS_OK);
    return 0;
}

static struct telemetry_line metric(int64_t attempt, int64_t seq, int64_t step,
                                    const struct telemetry_value *values, size_t count)
{
    return (struct telemetry_line){.kind = TELEMETRY_METRIC,
                                   .job = "job_1",
                                   .attempt = attempt,
                                   .seq = seq,
                                   .wall_ms = 1000 + seq,
                                   .step = step,
                                   .epoch = 0,
                                   .value_count = count,
                                   .values = values};
}

static void append(struct room *room, const struct telemetry_line *lines, size_t count)
{
    assert_ok(telemetry_append(room->telemetry, lines, count, 5000, &room->err), &room->err);
}

/* Attempt's steps first..last, loss = value(step), seq = step, in batches of `batch`. */
static void append_steps(struct room *room, int64_t attempt, int64_t first, int64_t last,
                         double (*value)(int64_t step), size_t batch)
{
    struct telemetry_line *lines = calloc(batch, sizeof *lines);
    struct telemetry_value *values = calloc(batch, sizeof *values);
    assert_non_null(lines);
    assert_non_null(values);
    size_t count = 0;
    for (int64_t step = first; step <= last; step++) {
        values[count] = (struct telemetry_value){.name = "loss", .value = value(step)};
        lines[count] = metric(attempt, step, step, &values[count], 1);
        if (++count == batch || step == last) {
            append(room, lines, count);
            count = 0;
        }
    }
    free(lines);
    free(values);
}

static double identity(int64_t step)
{
    return (double)step;
}

/* What a query gave, copied. */
struct answer {
    size_t series;
    char names[8][TELEMETRY_NAME_BYTES];
    size_t count; /* of the last one */
    int64_t *step;
    double *value, *min, *max;
    int64_t *attempt;
};

static void *copy(const void *bytes, size_t size)
{
    void *out = malloc(size);
    assert_non_null(out);
    memcpy(out, bytes, size);
    return out;
}

static void answer_clear(struct answer *answer)
{
    free(answer->step);
    free(answer->value);
    free(answer->min);
    free(answer->max);
    free(answer->attempt);
    memset(answer, 0, sizeof *answer);
}

static void take_series(void *context, const struct telemetry_series *series)
{
    struct answer *answer = context;
    const size_t number = answer->series;
    char names[8][TELEMETRY_NAME_BYTES];
    memcpy(names, answer->names, sizeof names);
    (void)snprintf(names[number], TELEMETRY_NAME_BYTES, "%s", series->name);
    answer_clear(answer);
    memcpy(answer->names, names, sizeof names);
    answer->series = number + 1;
    answer->count = series->count;
    answer->step = copy(series->step, series->count * sizeof *series->step);
    answer->value = copy(series->value, series->count * sizeof *series->value);
    answer->min = copy(series->min, series->count * sizeof *series->min);
    answer->max = copy(series->max, series->count * sizeof *series->max);
    answer->attempt = copy(series->attempt, series->count * sizeof *series->attempt);
}

static void ask(struct room *room, struct telemetry_query query, struct answer *out)
{
    CLEANUP(telemetry_reader_cleanup) struct telemetry_reader *reader = NULL;
    memset(out, 0, sizeof *out);
    query.job = "job_1";
    query.rank = -1;
    assert_ok(telemetry_reader_open(room->folder, &reader, &room->err), &room->err);
    assert_ok(telemetry_query(reader, &query, take_series, out, &room->err), &room->err);
}

static void points_come_back_as_they_were_sent(void **state)
{
    CLEANUP(answer_clear) struct answer answer;
    const struct telemetry_value values[] = {{"loss", 0.5}, {"accuracy", 0.25}};
    const struct telemetry_value later[] = {{"loss", 0.125}, {"accuracy", 0.75}};
    const struct telemetry_line lines[] = {metric(1, 1, 10, values, 2), metric(1, 2, 20, later, 2)};
    append(*state, lines, 2);
    ask(*state, (struct telemetry_query){.points = 0}, &answer);
    assert_int_equal(answer.series, 2);
    assert_string_equal(answer.names[0], "accuracy");
    assert_string_equal(answer.names[1], "loss");
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.step[0], 10);
    assert_true(answer.value[0] == 0.5 && answer.min[0] == 0.5 && answer.max[0] == 0.5);
    assert_int_equal(answer.step[1], 20);
    assert_true(answer.value[1] == 0.125);
    assert_int_equal(answer.attempt[1], 1);
}

static void repeats_change_nothing(void **state)
{
    struct room *room = *state;
    CLEANUP(answer_clear) struct answer answer;
    append_steps(room, 1, 1, 100, identity, 10);
    append_steps(room, 1, 51, 120, identity, 7);
    ask(room, (struct telemetry_query){.points = 0}, &answer);
    assert_int_equal(answer.count, 120);
    for (size_t i = 0; i < 120; i++)
        assert_int_equal(answer.step[i], i + 1);
    int64_t seq = 0;
    assert_ok(telemetry_last_seq(room->telemetry, "job_1", 1, 0, &seq, &room->err), &room->err);
    assert_int_equal(seq, 120);
    assert_ok(telemetry_last_seq(room->telemetry, "job_9", 1, 0, &seq, &room->err), &room->err);
    assert_int_equal(seq, 0);
    struct telemetry_counts counts;
    telemetry_count(room->telemetry, &counts);
    assert_int_equal(counts.points, 120);
    assert_int_equal(counts.repeats, 50);
}

static double spiky(int64_t step)
{
    if (step == 12345)
        return -1000.0;
    return step == 23456 ? 1000.0 : (double)(step % 7);
}

static void fewer_buckets_keep_extremes_and_real_values(void **state)
{
    CLEANUP(answer_clear) struct answer answer;
    append_steps(*state, 1, 1, 30000, spiky, 1000);
    ask(*state, (struct telemetry_query){.points = 100}, &answer);
    assert_true(answer.count <= 100);
    assert_true(answer.count >= 80);
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < answer.count; i++) {
        assert_true(answer.value[i] == spiky(answer.step[i]));
        assert_true(answer.min[i] <= answer.value[i] && answer.value[i] <= answer.max[i]);
        low = fmin(low, answer.min[i]);
        high = fmax(high, answer.max[i]);
    }
    assert_true(low == -1000.0);
    assert_true(high == 1000.0);
    assert_int_equal(answer.step[answer.count - 1], 30000);
}

static void a_full_series_is_thinned_and_keeps_its_extremes(void **state)
{
    struct room *room = *state;
    CLEANUP(answer_clear) struct answer answer;
    append_steps(room, 1, 1, 3 * TELEMETRY_SERIES_POINTS_MAX, spiky, 4000);
    ask(room, (struct telemetry_query){.points = 0}, &answer);
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < answer.count; i++) {
        assert_true(answer.value[i] == spiky(answer.step[i]));
        assert_true(i == 0 || answer.step[i] > answer.step[i - 1]);
        low = fmin(low, answer.min[i]);
        high = fmax(high, answer.max[i]);
    }
    assert_true(low == -1000.0);
    assert_true(high == 1000.0);
    sqlite3 *raw = NULL;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/telemetry.db", room->folder);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(raw,
                                        "SELECT sum(length(data)) / 16, (SELECT points FROM series)"
                                        " FROM chunks",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_true(sqlite3_column_int64(stmt, 0) <= TELEMETRY_SERIES_POINTS_MAX);
    assert_int_equal(sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1));
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(raw);
}

static double negative(int64_t step)
{
    return -(double)step;
}

static void the_effective_lineage_ends_each_attempt_where_the_next_resumed(void **state)
{
    CLEANUP(answer_clear) struct answer answer;
    append_steps(*state, 1, 1, 100, identity, 10);
    append_steps(*state, 2, 81, 95, negative, 10); /* resumed from 80, died before a checkpoint */
    append_steps(*state, 3, 81, 120, identity, 10);
    const struct telemetry_bound bounds[] = {{1, 0}, {2, 80}, {3, 80}};
    ask(*state, (struct telemetry_query){.lineage = bounds, .lineage_count = 3}, &answer);
    assert_int_equal(answer.count, 120);
    for (size_t i = 0; i < 120; i++) {
        assert_int_equal(answer.step[i], i + 1);
        assert_int_equal(answer.attempt[i], i < 80 ? 1 : 3);
        assert_true(answer.value[i] == (double)(i + 1));
    }
    answer_clear(&answer);
    ask(*state, (struct telemetry_query){.points = 0}, &answer);
    assert_int_equal(answer.count, 100 + 15 + 40);
}

static void a_range_of_steps_and_names_is_all_that_comes(void **state)
{
    CLEANUP(answer_clear) struct answer answer;
    append_steps(*state, 1, 1, 100, identity, 10);
    const struct telemetry_value other = {"other", 1.0};
    const struct telemetry_line line = metric(1, 200, 50, &other, 1);
    append(*state, &line, 1);
    static const char *const names[] = {"loss", "unknown"};
    ask(*state,
        (struct telemetry_query){
            .names = names, .name_count = 2, .from_step = 20, .to_step = 30, .has_to_step = true},
        &answer);
    assert_int_equal(answer.series, 1);
    assert_string_equal(answer.names[0], "loss");
    assert_int_equal(answer.count, 11);
    assert_int_equal(answer.step[0], 20);
    assert_int_equal(answer.step[10], 30);
}

static void many_attempts_get_a_bucket_each_at_least(void **state)
{
    CLEANUP(answer_clear) struct answer answer;
    for (int64_t attempt = 1; attempt <= 30; attempt++)
        append_steps(*state, attempt, 1, 20, identity, 20);
    ask(*state, (struct telemetry_query){.points = 10}, &answer);
    assert_int_equal(answer.count, 30);
    answer_clear(&answer);
    ask(*state, (struct telemetry_query){.points = 60}, &answer);
    assert_true(answer.count <= 60);
}

static void what_cannot_be_stored_is_dropped_and_counted(void **state)
{
    struct room *room = *state;
    char long_name[TELEMETRY_NAME_BYTES + 1];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[TELEMETRY_NAME_BYTES] = '\0';
    const struct telemetry_value values[] = {
        {"nan", NAN}, {"inf", INFINITY}, {long_name, 1.0}, {"", 1.0}, {"fine", 1.0}};
    const struct telemetry_line line = metric(1, 1, 1, values, 5);
    append(room, &line, 1);
    struct telemetry_counts counts;
    telemetry_count(room->telemetry, &counts);
    assert_int_equal(counts.dropped, 4);
    assert_int_equal(counts.points, 1);
}

static void a_job_has_a_bounded_number_of_series(void **state)
{
    struct room *room = *state;
    enum { EACH = 64 };
    char names[EACH][TELEMETRY_NAME_BYTES];
    struct telemetry_value values[EACH];
    for (int64_t line = 0; line < TELEMETRY_JOB_SERIES_MAX / EACH + 2; line++) {
        for (int i = 0; i < EACH; i++) {
            (void)snprintf(names[i], sizeof names[i], "m%d", (int)line * EACH + i);
            values[i] = (struct telemetry_value){names[i], 1.0};
        }
        const struct telemetry_line one = metric(1, line + 1, line, values, EACH);
        append(room, &one, 1);
    }
    struct telemetry_counts counts;
    telemetry_count(room->telemetry, &counts);
    assert_int_equal(counts.points, TELEMETRY_JOB_SERIES_MAX);
    assert_int_equal(counts.dropped, 2 * EACH);
}

static void take_latest(void *context, const char *name, double value, int64_t step,
                        int64_t attempt)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 200 - strlen(out), "%s=%g@%lld/%lld ", name, value,
                   (long long)step, (long long)attempt);
}

static void the_latest_values_are_of_the_newest_attempt(void **state)
{
    struct room *room = *state;
    append_steps(room, 1, 1, 100, identity, 50);
    const struct telemetry_value end[] = {{"eval_accuracy", 0.5}};
    const struct telemetry_line line = metric(1, 101, 100, end, 1);
    append(room, &line, 1);
    append_steps(room, 2, 81, 90, negative, 50);
    char text[200] = "";
    assert_ok(telemetry_latest(telemetry_own_reader(room->telemetry), "job_1", take_latest, text,
                               &room->err),
              &room->err);
    assert_string_equal(text, "eval_accuracy=0.5@100/1 loss=-90@90/2 ");
}

static void progress_is_that_of_the_newest_attempt(void **state)
{
    struct room *room = *state;
    struct telemetry_reader *reader = telemetry_own_reader(room->telemetry);
    struct telemetry_progress progress;
    assert_int_equal(telemetry_progress(reader, "job_1", &progress, NULL), STATUS_NOT_FOUND);
    const struct telemetry_line lines[] = {{.kind = TELEMETRY_PROGRESS,
                                            .job = "job_1",
                                            .attempt = 1,
                                            .seq = 1,
                                            .step = 90,
                                            .of = 200,
                                            .epoch = 1},
                                           {.kind = TELEMETRY_PROGRESS,
                                            .job = "job_1",
                                            .attempt = 2,
                                            .seq = 1,
                                            .wall_ms = 77,
                                            .step = 81,
                                            .of = 200,
                                            .epoch = -1}};
    append(room, lines, 2);
    assert_ok(telemetry_progress(reader, "job_1", &progress, &room->err), &room->err);
    assert_int_equal(progress.attempt, 2);
    assert_int_equal(progress.step, 81);
    assert_int_equal(progress.of, 200);
    assert_int_equal(progress.epoch, -1);
    assert_int_equal(progress.wall_ms, 77);
}

static void take_text(void *context, const struct telemetry_text *text)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 200 - strlen(out), "%lld:%s:%s ", (long long)text->seq,
                   text->word, text->text);
}

static void texts_are_kept_in_order_and_bounded(void **state)
{
    struct room *room = *state;
    const struct telemetry_line lines[] = {
        {.kind = TELEMETRY_TEXT, .job = "job_1", .attempt = 1, .seq = 1, .word = "started"},
        {.kind = TELEMETRY_OTHER, .job = "job_1", .attempt = 1, .seq = 2},
        {.kind = TELEMETRY_TEXT,
         .job = "job_1",
         .attempt = 1,
         .seq = 3,
         .word = "warning",
         .text = "slow"}};
    append(room, lines, 3);
    char text[200] = "";
    assert_ok(telemetry_texts(telemetry_own_reader(room->telemetry), "job_1", 10, take_text, text,
                              &room->err),
              &room->err);
    assert_string_equal(text, "1:started: 3:warning:slow ");
    for (int64_t seq = 4; seq < TELEMETRY_JOB_TEXTS_MAX + 10; seq++) {
        struct telemetry_line line = lines[2];
        line.seq = seq;
        append(room, &line, 1);
    }
    struct telemetry_counts counts;
    telemetry_count(room->telemetry, &counts);
    assert_int_equal(counts.dropped, 8);
}

static void old_and_large_data_is_removed_oldest_first(void **state)
{
    struct room *room = *state;
    const struct telemetry_value value = {"loss", 1.0};
    struct telemetry_line line = metric(1, 1, 1, &value, 1);
    static const char *const jobs[] = {"job_1", "job_2", "job_3"};
    for (int i = 0; i < 3; i++) {
        line.job = jobs[i];
        assert_ok(telemetry_append(room->telemetry, &line, 1, 1000 * (i + 1), &room->err),
                  &room->err);
    }
    size_t removed = 0;
    assert_ok(telemetry_prune(room->telemetry, 1500, INT64_MAX, 10, &removed, &room->err),
              &room->err);
    assert_int_equal(removed, 1);
    int64_t seq = 0;
    assert_ok(telemetry_last_seq(room->telemetry, "job_1", 1, 0, &seq, &room->err), &room->err);
    assert_int_equal(seq, 0);
    assert_ok(telemetry_last_seq(room->telemetry, "job_2", 1, 0, &seq, &room->err), &room->err);
    assert_int_equal(seq, 1);
    assert_ok(telemetry_prune(room->telemetry, 0, 1, 1, &removed, &room->err), &room->err);
    assert_int_equal(removed, 1);
    assert_ok(telemetry_drop_job(room->telemetry, "job_3", &room->err), &room->err);
    assert_ok(telemetry_drop_job(room->telemetry, "job_3", &room->err), &room->err);
    assert_ok(telemetry_prune(room->telemetry, INT64_MAX, 1, 10, &removed, &room->err), &room->err);
    assert_int_equal(removed, 0);
}

static void a_new_process_goes_on_where_the_old_one_ended(void **state)
{
    struct room *room = *state;
    CLEANUP(answer_clear) struct answer answer;
    append_steps(room, 1, 1, 700, identity, 100);
    telemetry_close(room->telemetry);
    room->telemetry = NULL;
    assert_ok(telemetry_open(room->folder, &room->telemetry, &room->err), &room->err);
    append_steps(room, 1, 601, 800, identity, 100);
    ask(room, (struct telemetry_query){.points = 0}, &answer);
    assert_int_equal(answer.count, 800);
}

static void thinning_keeps_the_lowest_and_the_highest_of_four(void **state)
{
    (void)state;
    struct telemetry_point points[11];
    static const double values[11] = {5, 1, 9, 3, /**/ 2, 2, 2, 2, /**/ 8, 7, 6};
    for (int i = 0; i < 11; i++)
        points[i] = (struct telemetry_point){.step = i, .value = values[i]};
    static const int64_t expected[] = {1, 2, 4, 7, 8, 9, 10};
    const size_t count = telemetry_thin(points, 11);
    assert_int_equal(count, COUNT_OF(expected));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(points[i].step, expected[i]);
        assert_true(points[i].value == values[expected[i]]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(points_come_back_as_they_were_sent),
        CASE(repeats_change_nothing),
        CASE(fewer_buckets_keep_extremes_and_real_values),
        CASE(a_full_series_is_thinned_and_keeps_its_extremes),
        CASE(the_effective_lineage_ends_each_attempt_where_the_next_resumed),
        CASE(a_range_of_steps_and_names_is_all_that_comes),
        CASE(many_attempts_get_a_bucket_each_at_least),
        CASE(what_cannot_be_stored_is_dropped_and_counted),
        CASE(a_job_has_a_bounded_number_of_series),
        CASE(the_latest_values_are_of_the_newest_attempt),
        CASE(progress_is_that_of_the_newest_attempt),
        CASE(texts_are_kept_in_order_and_bounded),
        CASE(old_and_large_data_is_removed_oldest_first),
        CASE(a_new_process_goes_on_where_the_old_one_ended),
        cmocka_unit_test(thinning_keeps_the_lowest_and_the_highest_of_four),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
