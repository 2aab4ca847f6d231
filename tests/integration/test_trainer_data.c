/* test_trainer_data.c - what a job says about the data that it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "schema/exit_code.h"
#include "tests/integration/gang.h"

#define EVENTS_MAX 256

static struct wire_event events[EVENTS_MAX];

static int set_up(void **state)
{
    static struct gang gang;
    gang_open(&gang);
    *state = &gang;
    return 0;
}

static int tear_down(void **state)
{
    gang_close(*state);
    return 0;
}

static const struct gang_start pair = {.world_size = 2, .shared_memory = true};

/* The small credit data with three records spoiled, in the gang's own folder. */
static void spoil_records(struct gang *gang)
{
    char path[GANG_PATH_BYTES * 2];
    CLEANUP(buf_clear) struct buf text;
    gang_use(gang, "credit-small");
    (void)snprintf(path, sizeof(path), "%s/loans.csv", gang->data);
    buf_init(&text, MIB);
    assert_int_equal(fs_read_file(path, &text, NULL), STATUS_OK);
    buf_append_text(&text, "1,old,3060,0,14500,36,3,0,business,own,R04,repaid\n");
    buf_append_text(&text, "2,30,3060\n");
    buf_append_text(&text, "3,30,3060,0,14500,36,3,0,business,own,R04,perhaps\n");
    (void)snprintf(gang->data, sizeof(gang->data), "%s", gang->folder);
    (void)snprintf(path, sizeof(path), "%s/loans.csv", gang->folder);
    assert_int_equal(fs_replace_file(path, text.data, text.size, 0644, NULL), STATUS_OK);
    gang_set(gang, "training.epochs", json_integer(1));
}

static int warnings_with(const struct gang *gang, int rank, const char *part)
{
    const int count = gang_events(gang, gang->attempt, rank, events, EVENTS_MAX);
    int found = 0;
    for (int i = 0; i < count; i++)
        found += events[i].kind == EVENT_WARNING && strstr(events[i].text, part) != NULL;
    return found;
}

static void records_that_are_passed_over_are_told_by_rank_0(void **state)
{
    struct gang *gang = *state;
    spoil_records(gang);
    gang_set(gang, "data.on_error", json_string("skip"));

    gang_run(gang, &pair, TRAINER_EXIT_DONE);

    assert_int_equal(
        warnings_with(gang, 0, "3 malformed records of the training part were passed over"), 1);
    assert_int_equal(warnings_with(gang, 0, ":2 (age): expected a number, got \"old\""), 2);
    assert_int_equal(warnings_with(gang, 0, ": expected 12 fields, got 3"), 2);
    assert_int_equal(warnings_with(gang, 0,
                                   "(outcome): expected one of the values of \"classes\" "
                                   "(\"repaid\", \"default\"), got \"perhaps\""),
                     2); /* of each part, since both read the file */
    assert_int_equal(warnings_with(gang, 1, "passed over"), 0);
}

static void the_first_malformed_record_fails_the_job_by_its_line(void **state)
{
    struct gang *gang = *state;
    spoil_records(gang);

    gang_run(gang, &pair, TRAINER_EXIT_BAD_DATA);

    struct wire_event end;
    assert_true(gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &end));
    assert_string_equal(end.status, "failed");
    assert_non_null(strstr(end.text, "loans.csv:"));
    assert_non_null(strstr(end.text, ":2 (age): expected a number, got \"old\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_that_are_passed_over_are_told_by_rank_0, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_first_malformed_record_fails_the_job_by_its_line,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
