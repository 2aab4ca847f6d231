#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "schema/wire_event.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct wire_event event;

static void decode(const char *line)
{
    struct error err = {.status = STATUS_OK};
    assert_ok(wire_event_decode(line, strlen(line), &event, &err), &err);
}

static void assert_refused(const char *line, const char *message)
{
    struct error err = {.status = STATUS_OK};
    assert_fails(wire_event_decode(line, strlen(line), &event, &err), &err, STATUS_INVALID,
                 message);
}

static void each_kind_survives_the_round_trip(void **state)
{
    (void)state;
    static const struct wire_event events[] = {
        {.kind = EVENT_STARTED,
         .seq = 1,
         .wall_ms = INT64_C(1795504320123),
         .boot_ms = 5,
         .world_size = 2,
         .resume_step = 700},
        {.kind = EVENT_METRIC,
         .job = "job_1",
         .attempt = 2,
         .seq = 2,
         .rank = 1,
         .step = 50,
         .epoch = 1,
         .value_count = 2,
         .values = {{.name = "loss", .value = 0.41}, {.name = "rate", .value = -1e300}}},
        {.kind = EVENT_PROGRESS, .seq = 3, .step = 51, .of = 2345, .epoch = 2},
        {.kind = EVENT_CHECKPOINT,
         .seq = 4,
         .step = 100,
         .shard = 1,
         .shard_of = 2,
         .bytes = 407592,
         .snapshot_wall_ms = INT64_C(1795504320100),
         .path = "/x/step-000100/shard-00001-of-00002",
         .sha256 = SHA},
        {.kind = EVENT_WARNING, .seq = 5, .step = 7, .text = "slow disk"},
        {.kind = EVENT_FINISHED,
         .seq = 6,
         .step = 2345,
         .status = "succeeded",
         .path = "/x/model",
         .sha256 = SHA,
         .bytes = 407592,
         .value_count = 1,
         .values = {{.name = "eval_accuracy", .value = 0.97}}},
        {.kind = EVENT_FINISHED, .seq = 7, .status = "failed", .text = "loss is NaN"},
    };
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        CLEANUP(json_cleanup) json_t *json = wire_event_encode(&events[i]);
        char *line = json_text(json);
        decode(line);
        free(line);
        assert_memory_equal(&event, &events[i], sizeof(event));
    }
}

static void the_documented_lines_are_understood(void **state)
{
    (void)state;
    decode("{\"event\":\"metric\",\"seq\":9,\"rank\":0,\"time\":\"2026-11-24T07:12:00.123Z\","
           "\"boot_ms\":77,\"step\":50,\"epoch\":0,\"values\":{\"loss\":0.41,"
           "\"samples_per_second\":81234}}");
    assert_int_equal(event.kind, EVENT_METRIC);
    assert_int_equal(event.wall_ms, INT64_C(1795504320123));
    assert_int_equal(event.boot_ms, 77);
    assert_int_equal(event.value_count, 2);
    assert_string_equal(event.values[1].name, "samples_per_second");
    assert_true(event.values[1].value == 81234.0);
    assert_string_equal(event.job, "");
}

static void unknown_kinds_and_fields_are_let_through(void **state)
{
    (void)state;
    decode("{\"event\":\"sparkle\",\"seq\":3,\"rank\":1,\"glitter\":{\"a\":[1]}}");
    assert_int_equal(event.kind, EVENT_OTHER);
    assert_int_equal(event.seq, 3);
    decode("{\"event\":\"progress\",\"seq\":4,\"rank\":0,\"step\":1,\"colour\":7}");
    assert_int_equal(event.kind, EVENT_PROGRESS);
    /* Such a kind can be sent on; it has no word of its own. */
    const struct wire_event other = {.kind = EVENT_OTHER, .seq = 1};
    CLEANUP(json_cleanup) json_t *json = wire_event_encode(&other);
    assert_string_equal(json_string_value(json_object_get(json, "event")), "other");
}

static void a_time_that_cannot_be_read_is_unknown(void **state)
{
    (void)state;
    static const char *const times[] = {"\"yesterday\"", "-5",   "99999999999999999",
                                        "1.5",           "null", "[]"};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char line[128];
        (void)snprintf(line, sizeof(line),
                       "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":1,\"time\":%s}",
                       times[i]);
        decode(line);
        assert_int_equal(event.wall_ms, 0);
    }
    decode("{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":1,\"time\":1795504320123}");
    assert_int_equal(event.wall_ms, INT64_C(1795504320123));
}

static void values_that_are_not_finite_are_dropped_and_counted(void **state)
{
    (void)state;
    decode("{\"event\":\"metric\",\"seq\":1,\"rank\":0,\"step\":5,\"values\":{\"loss\": NaN, "
           "\"up\":Infinity,\"down\":-Infinity,\"null\":null,\"text\":\"NaN\",\"good\":1.5,"
           "\"NaN\":2}}");
    assert_int_equal(event.value_count, 2);
    assert_string_equal(event.values[0].name, "good");
    assert_string_equal(event.values[1].name, "NaN");
    assert_int_equal(event.values_dropped, 5);
}

static void values_beyond_the_limits_are_dropped_and_counted(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf line;
    buf_init(&line, EVENT_LINE_BYTES_MAX);
    buf_append_text(&line, "{\"event\":\"metric\",\"seq\":1,\"rank\":0,\"step\":5,\"values\":{");
    for (int i = 0; i < EVENT_VALUES_MAX; i++)
        buf_printf(&line, "\"v%d\":%d,", i, i);
    buf_printf(&line, "\"one_more\":1,\"%064d\":1}}", 0);
    decode(line.data);
    assert_int_equal(event.value_count, EVENT_VALUES_MAX);
    assert_int_equal(event.values_dropped, 2);
}

static void wrong_lines_are_refused_by_place(void **state)
{
    (void)state;
    assert_refused("[]", "document: expected object, got array of 0");
    assert_refused("{}", "/event: expected string, got nothing");
    assert_refused("{\"event\":\"progress\"}",
                   "/seq: expected integer 1..1000000000000000, got nothing (and 2 more problems)");
    assert_refused("{\"event\":\"metric\",\"seq\":1,\"rank\":0,\"step\":1}",
                   "/values: expected object, got nothing");
    assert_refused("{\"event\":\"metric\",\"seq\":0,\"rank\":0,\"step\":1,\"values\":{}}",
                   "/seq: expected integer 1..1000000000000000, got integer 0");
    assert_refused("{\"event\":\"checkpoint\",\"seq\":1,\"rank\":0,\"step\":1,\"shard\":2,\"of\":2,"
                   "\"path\":\"p\",\"bytes\":1,\"sha256\":\"" SHA "\"}",
                   "/shard: expected integer below 2, got integer 2");
    assert_refused("{\"event\":\"checkpoint\",\"seq\":1,\"rank\":0,\"step\":1,\"shard\":0,\"of\":2,"
                   "\"path\":\"p\",\"bytes\":1,\"sha256\":\"xyz\"}",
                   "/sha256: expected 64 lower-case hexadecimal digits, got string \"xyz\"");
    struct error err = {.status = STATUS_OK};
    const char *twice = "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":1,\"step\":2}";
    assert_int_equal(wire_event_decode(twice, strlen(twice), &event, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "line 1, column 52: duplicate object key"));
}

static void a_line_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    const size_t size = 17 * KIB;
    char *line = malloc(size);
    assert_non_null(line);
    memset(line, ' ', size);
    assert_fails(wire_event_decode(line, size, &event, &err), &err, STATUS_TOO_LARGE,
                 "event line is over 16640 bytes");
    free(line);
}

static void a_telemetry_answer_survives_the_wire(void **state)
{
    (void)state;
    const struct wire_telemetry_ack acked[] = {
        {.job = "job_1", .attempt = 2, .rank = 0, .seq = 40},
        {.job = "job_1", .attempt = 2, .rank = 1, .seq = 41}};
    const struct wire_telemetry_ack stale[] = {{.job = "job_2", .attempt = 1, .rank = 0, .seq = 7}};
    CLEANUP(json_cleanup) json_t *json = wire_telemetry_answer_encode(acked, 2, stale, 1);
    struct wire_telemetry_ack got_acked[4];
    struct wire_telemetry_ack got_stale[4];
    size_t acked_count = 0;
    size_t stale_count = 0;
    struct json_problems problems = {.count = 0};
    const struct json_at root = json_at_root(json, &problems);
    wire_telemetry_answer_decode(&root, 4, got_acked, &acked_count, got_stale, &stale_count);
    assert_int_equal(problems.count, 0);
    assert_int_equal(acked_count, 2);
    assert_int_equal(stale_count, 1);
    assert_memory_equal(got_acked, acked, sizeof(acked));
    assert_memory_equal(got_stale, stale, sizeof(stale));
    /* A longer list than the caller has room for is a problem, not an overflow. */
    wire_telemetry_answer_decode(&root, 1, got_acked, &acked_count, got_stale, &stale_count);
    assert_int_equal(acked_count, 0);
    assert_int_equal(stale_count, 1);
    assert_int_equal(problems.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_survives_the_round_trip),
        cmocka_unit_test(the_documented_lines_are_understood),
        cmocka_unit_test(unknown_kinds_and_fields_are_let_through),
        cmocka_unit_test(a_time_that_cannot_be_read_is_unknown),
        cmocka_unit_test(values_that_are_not_finite_are_dropped_and_counted),
        cmocka_unit_test(values_beyond_the_limits_are_dropped_and_counted),
        cmocka_unit_test(wrong_lines_are_refused_by_place),
        cmocka_unit_test(a_line_over_the_limit_is_refused),
        cmocka_unit_test(a_telemetry_answer_survives_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
