#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"

static char captured[64 * KIB];

/* Points stderr at a file; returns the descriptor that stderr was. */
static int capture_begin(void)
{
    const int before = dup(STDERR_FILENO);
    char path[] = "/tmp/reprise-log-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(before >= 0 && fd >= 0);
    (void)unlink(path);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
    return before;
}

static void capture_end(int before)
{
    const ssize_t size = pread(STDERR_FILENO, captured, sizeof(captured) - 1, 0);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    (void)close(before);
    assert_true(size >= 0);
    captured[size] = '\0';
}

static void a_text_line_is_time_level_event_message_and_fields(void **state)
{
    (void)state;
    log_setup("reprise-test", LOG_INFO, false);
    const int before = capture_begin();
    log_write(LOG_INFO, "attempt_started", "gang is up", "job", "job_1", "attempt", "2", NULL);
    capture_end(before);
    /* 07:15:01.123 */
    assert_int_equal(strspn(captured, "0123456789:."), 12);
    assert_string_equal(captured + 12, " info  attempt_started gang is up job=job_1 attempt=2\n");
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    log_setup("reprise-test", LOG_INFO, true);
    const int before = capture_begin();
    log_write(LOG_ERROR, "disk", "it is \"full\"", "path", "/a\nb", NULL);
    capture_end(before);
    CLEANUP(json_cleanup) json_t *line = NULL;
    assert_ok(json_parse(captured, strlen(captured), &line, &err), &err);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(line, "program")), "reprise-test");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "disk");
    assert_string_equal(json_string_value(json_object_get(line, "message")), "it is \"full\"");
    assert_string_equal(json_string_value(json_object_get(line, "path")), "/a\nb");
    assert_int_equal(json_string_length(json_object_get(line, "time")), 24);
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_setup("reprise-test", LOG_WARN, false);
    const int before = capture_begin();
    log_write(LOG_INFO, "quiet", "x", NULL);
    log_write(LOG_WARN, "loud", "y", NULL);
    capture_end(before);
    assert_null(strstr(captured, "quiet"));
    assert_non_null(strstr(captured, " warn  loud y\n"));
}

static void a_field_cannot_forge_another_line(void **state)
{
    (void)state;
    log_setup("reprise-test", LOG_INFO, false);
    const int before = capture_begin();
    log_write(LOG_INFO, "event", "two\nlines", "key", "a b\n00:00:00.000 info forged x=\"y\"", "e",
              "", NULL);
    capture_end(before);
    assert_string_equal(captured + 12,
                        " info  event two lines "
                        "key=\"a b\\n00:00:00.000 info forged x=\\\"y\\\"\" e=\"\"\n");
}

static void a_line_over_the_limit_is_replaced_by_a_short_one(void **state)
{
    (void)state;
    char *huge = calloc(1, 20 * KIB);
    assert_non_null(huge);
    memset(huge, 'x', 20 * KIB - 1);
    log_setup("reprise-test", LOG_INFO, false);
    const int before = capture_begin();
    log_write(LOG_INFO, "event", "message", "key", huge, NULL);
    capture_end(before);
    free(huge);
    assert_string_equal(captured + 12, " info  event (a line over the limit was dropped)\n");
}

static void levels_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_false(log_level_parse("loud", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_is_time_level_event_message_and_fields),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_field_cannot_forge_another_line),
        cmocka_unit_test(a_line_over_the_limit_is_replaced_by_a_short_one),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
