#include "schema/wire_event.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "schema/names.h"
#include "schema/wire_private.h"

/* The agent puts (job, attempt) in front of a line that has the trainer's own maximum. */
#define LINE_BYTES_MAX (EVENT_LINE_BYTES_MAX + 256)
#define EVENT_WORD_MAX 64
#define TIME_BYTES_MAX 40

const char *const event_kind_names[] = {
    [EVENT_STARTED] = "started",   [EVENT_METRIC] = "metric",
    [EVENT_PROGRESS] = "progress", [EVENT_CHECKPOINT] = "checkpoint",
    [EVENT_WARNING] = "warning",   [EVENT_FINISHED] = "finished",
    [EVENT_OTHER] = NULL};

/* ------------------------------------------------------------------ decoding */

/* RFC 3339 or milliseconds. A time that cannot be read is unknown: it is only shown to people. */
static void decode_time(const struct json_at *at, int64_t *out_ms)
{
    const json_t *value = at->value;
    int64_t ms = 0;
    if (json_is_integer(value))
        ms = json_integer_value(value);
    else if (json_is_string(value) && json_string_length(value) <= TIME_BYTES_MAX)
        (void)clock_parse_rfc3339(json_string_value(value), &ms);
    if (ms > 0 && ms <= CLOCK_WALL_MS_MAX)
        *out_ms = ms;
}

static bool add_value(const char *name, const json_t *value, struct wire_event *out)
{
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return false;
    if (out->value_count == EVENT_VALUES_MAX || strlen(name) >= EVENT_VALUE_NAME_BYTES)
        return false;
    struct event_value *slot = &out->values[out->value_count++];
    (void)text_copy(slot->name, sizeof(slot->name), name);
    slot->value = json_number_value(value);
    return true;
}

static void decode_values(const struct json_at *at, struct wire_event *out)
{
    if (!json_get_open_object(at))
        return;
    const char *name = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), name, value) {
        if (!add_value(name, value, out))
            out->values_dropped++;
    }
}

static void decode_started(const struct json_at *at, struct wire_event *out)
{
    wire_opt_int(at, "world_size", 1, &out->world_size);
    wire_opt_int(at, "resume_step", 0, &out->resume_step);
    wire_opt_int(at, "process_boot_ms", 0, &out->process_boot_ms);
}

static void decode_checkpoint(const struct json_at *at, struct wire_event *out)
{
    wire_get_int(at, "step", 0, &out->step);
    wire_get_int(at, "shard", 0, &out->shard);
    wire_get_int(at, "of", 1, &out->shard_of);
    wire_get_text(at, "path", out->path, sizeof(out->path));
    wire_get_int(at, "bytes", 0, &out->bytes);
    wire_get_sha256(at, "sha256", out->sha256);
    const struct json_at snapshot = json_at_key(at, "snapshot_time");
    decode_time(&snapshot, &out->snapshot_wall_ms);
    if (out->shard_of > 0 && out->shard >= out->shard_of) {
        const struct json_at shard = json_at_key(at, "shard");
        json_problem_add(&shard, "integer below %jd", (intmax_t)out->shard_of);
    }
}

static void decode_finished(const struct json_at *at, struct wire_event *out)
{
    const struct json_at sha256 = json_at_key(at, "sha256");
    const struct json_at metrics = json_at_key(at, "metrics");
    wire_get_text(at, "status", out->status, sizeof(out->status));
    wire_opt_text(at, "model", out->path, sizeof(out->path));
    wire_opt_int(at, "bytes", 0, &out->bytes);
    wire_opt_text(at, "error", out->text, sizeof(out->text));
    if (json_present(&sha256))
        wire_get_sha256(at, "sha256", out->sha256);
    if (json_present(&metrics))
        decode_values(&metrics, out);
}

static void decode_body(const struct json_at *at, struct wire_event *out)
{
    const struct json_at values = json_at_key(at, "values");
    switch (out->kind) {
    case EVENT_STARTED:
        decode_started(at, out);
        break;
    case EVENT_METRIC:
        wire_get_int(at, "step", 0, &out->step);
        decode_values(&values, out);
        break;
    case EVENT_PROGRESS:
        wire_get_int(at, "step", 0, &out->step);
        wire_opt_int(at, "of", 0, &out->of);
        break;
    case EVENT_CHECKPOINT:
        decode_checkpoint(at, out);
        break;
    case EVENT_WARNING:
        wire_opt_int(at, "step", 0, &out->step);
        wire_get_text(at, "text", out->text, sizeof(out->text));
        break;
    case EVENT_FINISHED:
        wire_opt_int(at, "step", 0, &out->step);
        decode_finished(at, out);
        break;
    case EVENT_OTHER:
        break;
    }
}

static void decode_line(const struct json_at *at, struct wire_event *out)
{
    if (!json_get_open_object(at))
        return;
    const struct json_at kind = json_at_key(at, "event");
    const struct json_at time = json_at_key(at, "time");
    const char *word = NULL;
    if (!json_get_string(&kind, EVENT_WORD_MAX, &word))
        return;
    const int index = name_index(event_kind_names, word);
    out->kind = index >= 0 ? (enum event_kind)index : EVENT_OTHER;
    wire_opt_text(at, "job", out->job, sizeof(out->job));
    wire_opt_int(at, "attempt", 1, &out->attempt);
    wire_get_int(at, "seq", 1, &out->seq);
    wire_get_int(at, "rank", 0, &out->rank);
    wire_opt_int(at, "boot_ms", 0, &out->boot_ms);
    wire_opt_int(at, "epoch", 0, &out->epoch);
    decode_time(&time, &out->wall_ms);
    decode_body(at, out);
}

/*
 * JSON has no NaN and no Infinity, but Python's json.dumps() writes them, and a diverging loss is when
 * people want to see their other metrics. Outside strings each becomes an empty string of the same
 * length, which add_value() then drops and counts. True if there were any.
 */
static bool blank_non_finite(char *line, size_t size)
{
    static const char *const words[] = {"NaN", "-Infinity", "Infinity"};
    bool found = false;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string && line[i] == '\\') {
            i++;
        } else if (line[i] == '"') {
            in_string = !in_string;
        } else if (!in_string) {
            for (size_t w = 0; w < COUNT_OF(words); w++) {
                const size_t length = strlen(words[w]);
                if (size - i < length || memcmp(line + i, words[w], length) != 0)
                    continue;
                memset(line + i, ' ', length);
                memset(line + i, '"', 2);
                found = true;
                i += length - 1;
                break;
            }
        }
    }
    return found;
}

/* The ordinary way first: only a line that is refused is looked at twice. */
static enum status parse_line(const char *line, size_t size, json_t **out, struct error *err)
{
    struct error first = {.status = STATUS_OK};
    if (json_parse(line, size, out, &first) == STATUS_OK)
        return STATUS_OK;
    char mended[LINE_BYTES_MAX];
    memcpy(mended, line, size);
    if (blank_non_finite(mended, size) && json_parse(mended, size, out, NULL) == STATUS_OK)
        return STATUS_OK;
    return error_set(err, first.status, "%s", first.text);
}

enum status wire_event_decode(const char *line, size_t size, struct wire_event *out,
                              struct error *err)
{
    if (size > LINE_BYTES_MAX)
        return error_set(err, STATUS_TOO_LARGE, "event line is over %d bytes", LINE_BYTES_MAX);
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(parse_line(line, size, &document, err));
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    memset(out, 0, sizeof(*out));
    decode_line(&root, out);
    return json_problems_status(&problems, err);
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_values(const struct wire_event *event)
{
    json_t *values = json_object();
    for (size_t i = 0; i < event->value_count; i++)
        (void)json_object_set_new(values, event->values[i].name, json_real(event->values[i].value));
    return values;
}

static void encode_time(json_t *object, const char *key, int64_t wall_ms)
{
    char time[CLOCK_RFC3339_BYTES];
    if (wall_ms == 0)
        return;
    clock_format_rfc3339(wall_ms, time);
    wire_set_text(object, key, time);
}

static void encode_body(const struct wire_event *event, json_t *object)
{
    switch (event->kind) {
    case EVENT_STARTED:
        if (event->world_size > 0)
            wire_set_int(object, "world_size", event->world_size);
        wire_set_int(object, "resume_step", event->resume_step);
        if (event->process_boot_ms > 0)
            wire_set_int(object, "process_boot_ms", event->process_boot_ms);
        break;
    case EVENT_METRIC:
        wire_set_int(object, "step", event->step);
        wire_set_int(object, "epoch", event->epoch);
        wire_set(object, "values", encode_values(event));
        break;
    case EVENT_PROGRESS:
        wire_set_int(object, "step", event->step);
        wire_set_int(object, "of", event->of);
        wire_set_int(object, "epoch", event->epoch);
        break;
    case EVENT_CHECKPOINT:
        wire_set_int(object, "step", event->step);
        wire_set_int(object, "shard", event->shard);
        wire_set_int(object, "of", event->shard_of);
        encode_time(object, "snapshot_time", event->snapshot_wall_ms);
        wire_set_text(object, "path", event->path);
        wire_set_int(object, "bytes", event->bytes);
        wire_set_text(object, "sha256", event->sha256);
        break;
    case EVENT_WARNING:
        wire_set_int(object, "step", event->step);
        wire_set_text(object, "text", event->text);
        break;
    case EVENT_FINISHED:
        wire_set_int(object, "step", event->step);
        wire_set_text(object, "status", event->status);
        if (event->path[0] != '\0')
            wire_set_text(object, "model", event->path);
        if (event->sha256[0] != '\0')
            wire_set_text(object, "sha256", event->sha256);
        wire_set_int(object, "bytes", event->bytes);
        if (event->text[0] != '\0')
            wire_set_text(object, "error", event->text);
        wire_set(object, "metrics", encode_values(event));
        break;
    case EVENT_OTHER:
        break;
    }
}

json_t *wire_event_encode(const struct wire_event *event)
{
    json_t *object = json_object();
    if (event->job[0] != '\0')
        wire_set_text(object, "job", event->job);
    if (event->attempt > 0)
        wire_set_int(object, "attempt", event->attempt);
    wire_set_text(object, "event",
                  event->kind == EVENT_OTHER ? "other" : event_kind_names[event->kind]);
    wire_set_int(object, "seq", event->seq);
    wire_set_int(object, "rank", event->rank);
    encode_time(object, "time", event->wall_ms);
    wire_set_int(object, "boot_ms", event->boot_ms);
    encode_body(event, object);
    return object;
}

/* ------------------------------------------------------------------ answers to telemetry */

static json_t *encode_acks(const struct wire_telemetry_ack *acks, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *ack = json_object();
        wire_set_text(ack, "job", acks[i].job);
        wire_set_int(ack, "attempt", acks[i].attempt);
        wire_set_int(ack, "rank", acks[i].rank);
        wire_set_int(ack, "seq", acks[i].seq);
        (void)json_array_append_new(list, ack);
    }
    return list;
}

json_t *wire_telemetry_answer_encode(const struct wire_telemetry_ack *acked, size_t acked_count,
                                     const struct wire_telemetry_ack *stale, size_t stale_count)
{
    json_t *object = json_object();
    wire_set(object, "acked", encode_acks(acked, acked_count));
    wire_set(object, "stale", encode_acks(stale, stale_count));
    return object;
}

static size_t decode_acks(const struct json_at *at, size_t max, struct wire_telemetry_ack *out)
{
    size_t count = 0;
    if (!json_get_array(at, max, &count))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct json_at ack = json_at_index(at, i);
        out[i] = (struct wire_telemetry_ack){.attempt = 0};
        if (!json_get_open_object(&ack))
            continue;
        wire_get_text(&ack, "job", out[i].job, sizeof(out[i].job));
        wire_get_int(&ack, "attempt", 1, &out[i].attempt);
        wire_get_int(&ack, "rank", 0, &out[i].rank);
        wire_get_int(&ack, "seq", 0, &out[i].seq);
    }
    return count;
}

void wire_telemetry_answer_decode(const struct json_at *at, size_t max,
                                  struct wire_telemetry_ack *acked, size_t *out_acked_count,
                                  struct wire_telemetry_ack *stale, size_t *out_stale_count)
{
    *out_acked_count = 0;
    *out_stale_count = 0;
    if (!json_get_open_object(at))
        return;
    const struct json_at acked_at = json_at_key(at, "acked");
    const struct json_at stale_at = json_at_key(at, "stale");
    *out_acked_count = decode_acks(&acked_at, max, acked);
    *out_stale_count = decode_acks(&stale_at, max, stale);
}
