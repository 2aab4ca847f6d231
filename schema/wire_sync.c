/* wire_sync.c - what an agent says: the whole truth of its node, and the result of a job. */

#include <stdlib.h>

#include "schema/progress_page.h"
#include "schema/wire_agent.h"
#include "schema/wire_private.h"
#include "schema/wire_slot.h"

#define EXIT_CODE_MAX 255
#define SIGNAL_MAX    64

/* ------------------------------------------------------------------ a rank */

static void decode_exit(const struct json_at *at, struct wire_rank_report *out)
{
    out->exited = json_present(at);
    if (!out->exited || !json_get_open_object(at))
        return;
    const struct json_at code = json_at_key(at, "code");
    const struct json_at signal = json_at_key(at, "signal");
    (void)json_opt_int(&signal, 0, SIGNAL_MAX, &out->exit_signal);
    out->exit_code = -1;
    if (json_present(&code) || out->exit_signal == 0) /* what a signal ended has no code */
        (void)json_get_int(&code, -1, EXIT_CODE_MAX, &out->exit_code);
    wire_opt_bool(at, "oom", &out->exit_oom);
    /* A reason of a newer agent still is a failure that is nobody's decision: internal. */
    out->exit_reason = (enum reason)wire_word(at, "reason", reason_names, REASON_INTERNAL);
    wire_opt_int(at, "age_ms", 0, &out->exit_age_ms);
}

static void decode_rank(const struct json_at *at, struct wire_rank_report *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_int(at, "rank", 0, &out->rank);
    wire_opt_text(at, "slot", out->slot, sizeof(out->slot));
    wire_opt_int(at, "pid", 0, &out->pid);
    /* A verdict that we do not understand must not kill, restart or complete anything. */
    out->verdict = (enum verdict)wire_word(at, "verdict", verdict_names, VERDICT_UNKNOWN);
    out->phase = wire_word(at, "phase", phase_names, PROGRESS_SETUP);
    wire_opt_int(at, "step", 0, &out->step);
    wire_opt_int(at, "collective", 0, &out->collective);
    wire_opt_int(at, "waiting_ms", 0, &out->waiting_ms);
    wire_opt_text(at, "detail", out->detail, sizeof(out->detail));
    const struct json_at exit_at = json_at_key(at, "exit");
    decode_exit(&exit_at, out);
}

static json_t *encode_exit(const struct wire_rank_report *rank)
{
    if (!rank->exited)
        return json_null();
    json_t *object = json_object();
    wire_set_int(object, "code", rank->exit_code);
    wire_set_int(object, "signal", rank->exit_signal);
    wire_set_bool(object, "oom", rank->exit_oom);
    wire_set_text(object, "reason", reason_names[rank->exit_reason]);
    wire_set_int(object, "age_ms", rank->exit_age_ms);
    return object;
}

static json_t *encode_rank(const struct wire_rank_report *rank)
{
    json_t *object = json_object();
    wire_set_int(object, "rank", rank->rank);
    wire_set_text(object, "slot", rank->slot);
    wire_set_int(object, "pid", rank->pid);
    wire_set_text(object, "verdict", verdict_names[rank->verdict]);
    wire_set_text(object, "phase", phase_names[rank->phase]);
    wire_set_int(object, "step", rank->step);
    wire_set_int(object, "collective", rank->collective);
    wire_set_int(object, "waiting_ms", rank->waiting_ms);
    wire_set(object, "exit", encode_exit(rank));
    if (rank->detail[0] != '\0')
        wire_set_text(object, "detail", rank->detail);
    return object;
}

/* ------------------------------------------------------------------ sync */

static void decode_attempt(const struct json_at *at, struct wire_attempt_report *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "job", out->job, sizeof(out->job));
    wire_get_int(at, "attempt", 1, &out->attempt);
    const struct json_at ranks = json_at_key(at, "ranks");
    out->ranks = wire_get_list(&ranks, NODE_SLOTS_MAX, sizeof(out->ranks[0]), &out->rank_count);
    for (size_t i = 0; i < out->rank_count; i++) {
        const struct json_at rank = json_at_index(&ranks, i);
        decode_rank(&rank, &out->ranks[i]);
    }
}

void wire_sync_decode(const struct json_at *at, struct wire_sync *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_int(at, "session", 0, &out->session);
    wire_get_text(at, "boot_id", out->boot_id, sizeof(out->boot_id));
    wire_get_int(at, "seq", 0, &out->seq);
    wire_opt_int(at, "revision_seen", 0, &out->revision_seen);
    wire_opt_bool(at, "news", &out->news);
    const struct json_at observed = json_at_key(at, "observed");
    out->attempts =
        wire_get_list(&observed, NODE_ATTEMPTS_MAX, sizeof(out->attempts[0]), &out->attempt_count);
    for (size_t i = 0; i < out->attempt_count; i++) {
        const struct json_at attempt = json_at_index(&observed, i);
        decode_attempt(&attempt, &out->attempts[i]);
    }
    const struct json_at slots = json_at_key(at, "slots");
    out->slots = wire_get_list(&slots, NODE_SLOTS_MAX, sizeof(out->slots[0]), &out->slot_count);
    for (size_t i = 0; i < out->slot_count; i++) {
        const struct json_at slot = json_at_index(&slots, i);
        wire_slot_decode(&slot, &out->slots[i]);
    }
}

json_t *wire_sync_encode(const struct wire_sync *sync)
{
    json_t *observed = json_array();
    for (size_t i = 0; i < sync->attempt_count; i++) {
        const struct wire_attempt_report *report = &sync->attempts[i];
        json_t *ranks = json_array();
        for (size_t k = 0; k < report->rank_count; k++)
            (void)json_array_append_new(ranks, encode_rank(&report->ranks[k]));
        json_t *attempt = json_object();
        wire_set_text(attempt, "job", report->job);
        wire_set_int(attempt, "attempt", report->attempt);
        wire_set(attempt, "ranks", ranks);
        (void)json_array_append_new(observed, attempt);
    }
    json_t *object = json_object();
    wire_set_int(object, "session", sync->session);
    wire_set_text(object, "boot_id", sync->boot_id);
    wire_set_int(object, "seq", sync->seq);
    wire_set_int(object, "revision_seen", sync->revision_seen);
    wire_set_bool(object, "news", sync->news);
    wire_set(object, "observed", observed);
    wire_set(object, "slots", wire_slots_encode(sync->slots, sync->slot_count));
    return object;
}

void wire_sync_clear(struct wire_sync *sync)
{
    for (size_t i = 0; i < sync->attempt_count; i++)
        free(sync->attempts[i].ranks);
    free(sync->attempts);
    free(sync->slots);
    *sync = (struct wire_sync){.session = 0};
}

/* ------------------------------------------------------------------ result */

static void check_metrics(const struct json_at *at)
{
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), key, value) {
        const struct json_at metric = json_at_key(at, key);
        double ignored = 0.0;
        (void)json_get_double(&metric, -1e308, 1e308, &ignored);
    }
}

void wire_result_decode(const struct json_at *at, struct wire_result *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "job", out->job, sizeof(out->job));
    wire_get_int(at, "attempt", 1, &out->attempt);
    const struct json_at model = json_at_key(at, "model");
    if (json_get_open_object(&model)) {
        wire_get_sha256(&model, "sha256", out->model_sha256);
        const struct json_at file = json_at_key(&model, "file_sha256");
        if (json_present(&file))
            wire_get_sha256(&model, "file_sha256", out->model_file_sha256);
        wire_get_int(&model, "bytes", 0, &out->model_bytes);
    }
    const struct json_at metrics = json_at_key(at, "metrics");
    if (!json_get_open_object(&metrics))
        return;
    check_metrics(&metrics);
    out->metrics = json_incref(json_iterable(metrics.value));
}

json_t *wire_result_encode(const struct wire_result *result)
{
    json_t *model = json_object();
    wire_set_text(model, "sha256", result->model_sha256);
    if (result->model_file_sha256[0] != '\0')
        wire_set_text(model, "file_sha256", result->model_file_sha256);
    wire_set_int(model, "bytes", result->model_bytes);
    json_t *object = json_object();
    wire_set_text(object, "job", result->job);
    wire_set_int(object, "attempt", result->attempt);
    wire_set(object, "model", model);
    wire_set(object, "metrics",
             result->metrics != NULL ? json_incref(result->metrics) : json_object());
    return object;
}

void wire_result_clear(struct wire_result *result)
{
    json_decref(result->metrics);
    *result = (struct wire_result){.attempt = 0};
}
