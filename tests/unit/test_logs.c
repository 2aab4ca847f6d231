/* test_logs.c - the beginning and the end of what a rank wrote, each byte at its place. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "service/store/logs.h"

struct room {
    char folder[64];
    struct logs *logs;
    struct error err;
};

static const struct logs_stream rank0 = {"job_1", 1, 0, "stdout"};

static int set_up(void **state)
{
    static struct room room;
    memset(&room, 0, sizeof room);
    (void)snprintf(room.folder, sizeof room.folder, "/tmp/reprise-logs-XXXXXX");
    assert_non_null(mkdtemp(room.folder));
    assert_ok(logs_open(room.folder, &room.logs, &room.err), &room.err);
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    struct room *room = *state;
    logs_close(room->logs);
    assert_int_equal(fs_remove_tree(room->folder, NULL), STATUS_OK);
    return 0;
}

static int64_t append(struct room *room, int64_t offset, const char *text, size_t size)
{
    int64_t end = -1;
    assert_ok(logs_append(room->logs, &rank0, offset, text, size, &end, &room->err), &room->err);
    return end;
}

static void assert_reads(struct room *room, int64_t offset, const char *expected, int64_t next)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 2 * MIB);
    int64_t got_next = -1;
    assert_ok(logs_read(room->logs, &rank0, offset, &text, &got_next, &room->err), &room->err);
    assert_string_equal(text.data, expected);
    assert_int_equal(got_next, next);
}

static void what_was_appended_is_read_back(void **state)
{
    assert_int_equal(append(*state, 0, "one\n", 4), 4);
    assert_int_equal(append(*state, 4, "two\n", 4), 8);
    assert_reads(*state, 0, "one\ntwo\n", 8);
    assert_reads(*state, 6, "o\n", 8);
    assert_reads(*state, 8, "", 8);
    assert_reads(*state, 100, "", 100);
}

static void repeats_change_nothing(void **state)
{
    assert_int_equal(append(*state, 0, "one\ntwo\n", 8), 8);
    assert_int_equal(append(*state, 0, "one\n", 4), 8);
    assert_int_equal(append(*state, 4, "two\nthree\n", 10), 14);
    assert_reads(*state, 0, "one\ntwo\nthree\n", 14);
}

static void a_gap_is_named(void **state)
{
    assert_int_equal(append(*state, 0, "one\n", 4), 4);
    assert_int_equal(append(*state, 10, "two\n", 4), 14);
    assert_reads(*state, 0, "one\n[reprise: 6 bytes left out]\ntwo\n", 14);
    assert_reads(*state, 7, "[reprise: 3 bytes left out]\ntwo\n", 14);
}

/* Line n, 16 bytes. */
static void line(char out[17], int64_t n)
{
    (void)snprintf(out, 17, "%015lld\n", (long long)n);
}

static int64_t append_lines(struct room *room, int64_t first, int64_t count)
{
    char *text = malloc((size_t)count * 16 + 1);
    assert_non_null(text);
    for (int64_t i = 0; i < count; i++)
        line(text + i * 16, first + i);
    const int64_t end = append(room, first * 16, text, (size_t)count * 16);
    free(text);
    return end;
}

static void the_first_64_kib_and_the_last_mib_stay(void **state)
{
    struct room *room = *state;
    int64_t end = 0;
    for (int64_t i = 0; i < 400; i++)
        end = append_lines(room, i * 1000, 1000);
    assert_int_equal(end, 6400000);

    CLEANUP(buf_clear) struct buf all;
    buf_init(&all, 4 * MIB);
    int64_t next = 0;
    do
        assert_ok(logs_read(room->logs, &rank0, next, &all, &next, &room->err), &room->err);
    while (next < end);
    assert_true(all.size >= LOGS_HEAD_BYTES + LOGS_TAIL_BYTES);
    assert_true(all.size <= LOGS_HEAD_BYTES + LOGS_TAIL_BYTES + 2 * LOGS_SEGMENT_BYTES);
    char expected[17];
    for (int64_t i = 0; i < LOGS_HEAD_BYTES / 16; i++) {
        line(expected, i);
        assert_memory_equal(all.data + i * 16, expected, 16);
    }
    assert_memory_equal(all.data + LOGS_HEAD_BYTES, "[reprise: ", 10);
    for (int64_t i = 1; i <= LOGS_TAIL_BYTES / 16; i++) {
        line(expected, 400000 - i);
        assert_memory_equal(all.data + all.size - (size_t)i * 16, expected, 16);
    }
}

static void a_tail_begins_at_a_line(void **state)
{
    struct room *room = *state;
    (void)append_lines(room, 0, 100);
    int64_t offset = -1;
    assert_ok(logs_tail(room->logs, &rank0, 3, &offset, &room->err), &room->err);
    assert_int_equal(offset, 97 * 16);
    assert_ok(logs_tail(room->logs, &rank0, 0, &offset, &room->err), &room->err);
    assert_int_equal(offset, 1600);
    assert_ok(logs_tail(room->logs, &rank0, 1000, &offset, &room->err), &room->err);
    assert_int_equal(offset, 0);
    (void)append(room, 1600, "no newline", 10);
    assert_ok(logs_tail(room->logs, &rank0, 2, &offset, &room->err), &room->err);
    assert_int_equal(offset, 99 * 16);
}

static void a_new_process_goes_on_at_the_end(void **state)
{
    struct room *room = *state;
    (void)append(room, 0, "one\n", 4);
    logs_close(room->logs);
    assert_ok(logs_open(room->folder, &room->logs, &room->err), &room->err);
    int64_t end = -1;
    assert_ok(logs_end(room->logs, &rank0, &end, &room->err), &room->err);
    assert_int_equal(end, 4);
    assert_int_equal(append(room, 4, "two\n", 4), 8);
    assert_reads(room, 0, "one\ntwo\n", 8);
}

static void streams_do_not_mix(void **state)
{
    struct room *room = *state;
    const struct logs_stream other = {"job_1", 1, 3, "stderr"};
    int64_t end = 0;
    int64_t ranks[8];
    size_t count = 0;
    (void)append(room, 0, "out\n", 4);
    assert_ok(logs_append(room->logs, &other, 0, "err\n", 4, &end, &room->err), &room->err);
    assert_reads(room, 0, "out\n", 4);
    assert_ok(logs_ranks(room->logs, "job_1", 1, "stderr", ranks, 8, &count, &room->err),
              &room->err);
    assert_int_equal(count, 1);
    assert_int_equal(ranks[0], 3);
    assert_ok(logs_ranks(room->logs, "job_2", 1, "stderr", ranks, 8, &count, &room->err),
              &room->err);
    assert_int_equal(count, 0);
}

static void what_is_not_there_is_said_so(void **state)
{
    struct room *room = *state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 100);
    int64_t next = 0;
    assert_fails(logs_read(room->logs, &rank0, 0, &text, &next, &room->err), &room->err,
                 STATUS_NOT_FOUND, "job job_1 attempt 1 rank 0 has no stdout");
    assert_ok(logs_end(room->logs, &rank0, &next, &room->err), &room->err);
    assert_int_equal(next, 0);
}

static void no_name_leaves_the_folder(void **state)
{
    struct room *room = *state;
    static const struct logs_stream bad[] = {{"../x", 1, 0, "stdout"},   {"", 1, 0, "stdout"},
                                             {"job/x", 1, 0, "stdout"},  {"job_1", 0, 0, "stdout"},
                                             {"job_1", 1, -1, "stdout"}, {"job_1", 1, 0, "../x"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t end = 0;
        assert_int_equal(logs_append(room->logs, &bad[i], 0, "x", 1, &end, NULL), STATUS_INVALID);
    }
    assert_int_equal(logs_drop_job(room->logs, "..", NULL), STATUS_INVALID);
}

static void old_jobs_are_removed(void **state)
{
    struct room *room = *state;
    size_t removed = 0;
    (void)append(room, 0, "one\n", 4);
    assert_ok(logs_prune(room->logs, 1000, 10, &removed, &room->err), &room->err);
    assert_int_equal(removed, 0);
    assert_ok(logs_prune(room->logs, INT64_MAX, 10, &removed, &room->err), &room->err);
    assert_int_equal(removed, 1);
    int64_t end = -1;
    assert_ok(logs_end(room->logs, &rank0, &end, &room->err), &room->err);
    assert_int_equal(end, 0);
}

static void holes_without_end_stay_bounded(void **state)
{
    struct room *room = *state;
    for (int64_t i = 0; i < 300; i++)
        assert_int_equal(append(room, i * 100, "x\n", 2), i * 100 + 2);
    int64_t end = 0;
    assert_ok(logs_end(room->logs, &rank0, &end, &room->err), &room->err);
    assert_int_equal(end, 299 * 100 + 2);
}

/* Who follows reads into a buffer of one read and a little more. */
static void a_log_of_many_holes_is_read_to_its_end(void **state)
{
    struct room *room = *state;
    static const char piece[4225] = {'x'};
    int64_t end = 0;
    for (int64_t i = 1; i < 63; i++)
        end = append(room, i * 10000, piece, sizeof(piece));
    int64_t next = 0;
    while (next < end) {
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, LOGS_READ_BYTES + KIB);
        const int64_t before = next;
        assert_ok(logs_read(room->logs, &rank0, next, &text, &next, &room->err), &room->err);
        assert_true(next > before);
    }
    assert_int_equal(next, end);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_appended_is_read_back),
        CASE(repeats_change_nothing),
        CASE(a_gap_is_named),
        CASE(the_first_64_kib_and_the_last_mib_stay),
        CASE(a_tail_begins_at_a_line),
        CASE(a_new_process_goes_on_at_the_end),
        CASE(streams_do_not_mix),
        CASE(what_is_not_there_is_said_so),
        CASE(no_name_leaves_the_folder),
        CASE(old_jobs_are_removed),
        CASE(holes_without_end_stay_bounded),
        CASE(a_log_of_many_holes_is_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
