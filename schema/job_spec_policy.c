/* job_spec_policy.c - the sections "resources", "checkpoint" and "retry": how a job is run. */

#include <string.h>

#include "schema/job_spec_parts.h"

#define SECOND_MS          INT64_C(1000)
#define HOUR_MS            (3600 * SECOND_MS)
#define DAY_MS             (24 * HOUR_MS)
#define MEMORY_BYTES_MIN   ((int64_t)16 * MIB)
#define MEMORY_BYTES_MAX   ((int64_t)1 << 50)
#define TIME_LIMIT_MAX     (366 * DAY_MS)
#define CHECKPOINT_MIN     100
#define CHECKPOINT_DEFAULT (60 * SECOND_MS)
#define KEEP_LAST_MAX      1000
#define KEEP_LAST_DEFAULT  3
#define RESTARTS_MAX       100000
#define RESTARTS_DEFAULT   5
#define INFRA_DEFAULT      50
#define ORPHAN_DEFAULT     (12 * HOUR_MS)
#define ORPHAN_MAX         (30 * DAY_MS)

const char *const job_device_names[] = {
    [JOB_DEVICE_AUTO] = "auto", [JOB_DEVICE_CUDA] = "cuda", [JOB_DEVICE_CPU] = "cpu", NULL};
/* Devices that can be asked for in this release. */
static const char *const later_devices[] = {"cuda", NULL};
static const char *const controller_loss_names[] = {
    [CONTROLLER_LOSS_CONTINUE] = "continue", [CONTROLLER_LOSS_STOP] = "stop", NULL};

void resources_spec_decode(const struct json_at *at, struct resources_spec *out)
{
    static const char *const known[] = {"ranks", "device", "memory_bytes", "time_limit", NULL};
    out->ranks = 1;
    out->device = JOB_DEVICE_AUTO;
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at ranks = json_at_key(at, "ranks");
    const struct json_at device = json_at_key(at, "device");
    const struct json_at memory = json_at_key(at, "memory_bytes");
    const struct json_at time_limit = json_at_key(at, "time_limit");
    (void)json_opt_int(&ranks, 1, JOB_RANKS_MAX, &out->ranks);
    (void)spec_opt_enum(&device, job_device_names, later_devices, &out->device);
    (void)json_opt_int(&memory, MEMORY_BYTES_MIN, MEMORY_BYTES_MAX, &out->memory_bytes);
    (void)json_opt_duration(&time_limit, SECOND_MS, TIME_LIMIT_MAX, &out->time_limit_ms);
}

json_t *resources_spec_encode(const struct resources_spec *spec)
{
    return json_pack("{s:I, s:s, s:o, s:o}", "ranks", (json_int_t)spec->ranks, "device",
                     job_device_names[spec->device], "memory_bytes",
                     spec_int_or_null(spec->memory_bytes), "time_limit",
                     spec_duration_or_null(spec->time_limit_ms));
}

static void decode_best(const struct json_at *at, struct checkpoint_spec *out)
{
    static const char *const known[] = {"metric", "mode", NULL};
    if (json_present(at) && spec_get_object(at, known, spec_none))
        spec_get_watched(at, out->best_metric, &out->best_mode);
}

void checkpoint_spec_decode(const struct json_at *at, struct checkpoint_spec *out)
{
    static const char *const known[] = {"every_steps", "every", "keep_last", "best", NULL};
    out->keep_last = KEEP_LAST_DEFAULT;
    if (json_present(at) && spec_get_object(at, known, spec_none)) {
        const struct json_at every_steps = json_at_key(at, "every_steps");
        const struct json_at every = json_at_key(at, "every");
        const struct json_at keep_last = json_at_key(at, "keep_last");
        const struct json_at best = json_at_key(at, "best");
        (void)json_opt_int(&every_steps, 1, SPEC_STEPS_MAX, &out->every_steps);
        (void)json_opt_duration(&every, CHECKPOINT_MIN, DAY_MS, &out->every_ms);
        (void)json_opt_int(&keep_last, 1, KEEP_LAST_MAX, &out->keep_last);
        decode_best(&best, out);
    }
    /* A job without any checkpoint would lose everything with a node. */
    if (out->every_steps == 0 && out->every_ms == 0)
        out->every_ms = CHECKPOINT_DEFAULT;
}

json_t *checkpoint_spec_encode(const struct checkpoint_spec *spec)
{
    json_t *best = spec->best_metric[0] == '\0'
                       ? json_null()
                       : spec_watched_json(spec->best_metric, spec->best_mode);
    return json_pack("{s:o, s:o, s:I, s:o}", "every_steps", spec_int_or_null(spec->every_steps),
                     "every", spec_duration_or_null(spec->every_ms), "keep_last",
                     (json_int_t)spec->keep_last, "best", best);
}

/* A duration, or "auto", which is 0. */
static void decode_hang_timeout(const struct json_at *at, int64_t *out_ms)
{
    if (json_is_string(at->value) && strcmp(json_string_value(at->value), "auto") == 0)
        return;
    int64_t ignored_ms = 0;
    if (json_is_string(at->value) && duration_parse(json_string_value(at->value), &ignored_ms))
        (void)json_get_duration(at, SECOND_MS, DAY_MS, out_ms);
    else if (json_present(at))
        json_problem_add(at, "\"auto\" or duration 1s..24h, such as \"90s\"");
}

void retry_spec_decode(const struct json_at *at, struct retry_spec *out)
{
    static const char *const known[] = {"max_restarts",       "max_infra_restarts", "hang_timeout",
                                        "on_controller_loss", "orphan_timeout",     NULL};
    out->max_restarts = RESTARTS_DEFAULT;
    out->max_infra_restarts = INFRA_DEFAULT;
    out->on_controller_loss = CONTROLLER_LOSS_CONTINUE;
    out->orphan_timeout_ms = ORPHAN_DEFAULT;
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at max_restarts = json_at_key(at, "max_restarts");
    const struct json_at max_infra = json_at_key(at, "max_infra_restarts");
    const struct json_at hang = json_at_key(at, "hang_timeout");
    const struct json_at loss = json_at_key(at, "on_controller_loss");
    const struct json_at orphan = json_at_key(at, "orphan_timeout");
    (void)json_opt_int(&max_restarts, 0, RESTARTS_MAX, &out->max_restarts);
    (void)json_opt_int(&max_infra, 0, RESTARTS_MAX, &out->max_infra_restarts);
    decode_hang_timeout(&hang, &out->hang_timeout_ms);
    (void)json_opt_enum(&loss, controller_loss_names, &out->on_controller_loss);
    (void)json_opt_duration(&orphan, SECOND_MS, ORPHAN_MAX, &out->orphan_timeout_ms);
}

json_t *retry_spec_encode(const struct retry_spec *spec)
{
    json_t *hang = spec->hang_timeout_ms == 0 ? json_string("auto")
                                              : spec_duration_json(spec->hang_timeout_ms);
    return json_pack("{s:I, s:I, s:o, s:s, s:o}", "max_restarts", (json_int_t)spec->max_restarts,
                     "max_infra_restarts", (json_int_t)spec->max_infra_restarts, "hang_timeout",
                     hang, "on_controller_loss", controller_loss_names[spec->on_controller_loss],
                     "orphan_timeout", spec_duration_json(spec->orphan_timeout_ms));
}
