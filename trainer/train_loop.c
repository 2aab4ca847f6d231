#include "trainer/train_loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"

/* The members of struct train_loop: one table for both ways. */
static const struct member {
    const char *name;
    bool is_real;
    size_t offset;
} members[] = {
    {"loss_mean", true, offsetof(struct train_loop, loss_mean)},
    {"loss_steps", false, offsetof(struct train_loop, loss_steps)},
    {"spike_step", false, offsetof(struct train_loop, spike_step)},
    {"rollbacks", false, offsetof(struct train_loop, rollbacks)},
    {"lr_factor", true, offsetof(struct train_loop, lr_factor)},
    {"early_evaluations", false, offsetof(struct train_loop, early_evaluations)},
    {"early_step", false, offsetof(struct train_loop, early_step)},
    {"early_waited", false, offsetof(struct train_loop, early_waited)},
    {"early_value", true, offsetof(struct train_loop, early_value)},
};

void train_results_set(struct train_results *results, const char *name, double value)
{
    size_t i = 0;
    while (i < results->count && strcmp(results->names[i], name) != 0)
        i++;
    if (i == TRAIN_RESULTS_MAX)
        return;
    if (i == results->count)
        results->count++;
    (void)text_copy(results->names[i], sizeof(results->names[i]), name);
    results->values[i] = value;
}

bool train_results_get(const struct train_results *results, const char *name, double *out)
{
    for (size_t i = 0; i < results->count; i++) {
        if (strcmp(results->names[i], name) != 0)
            continue;
        *out = results->values[i];
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ to JSON; NULL: out of memory */

static json_t *encode_results(const struct train_results *results)
{
    json_t *json = json_object();
    for (size_t i = 0; i < results->count; i++)
        (void)json_object_set_new(json, results->names[i], json_real(results->values[i]));
    return json;
}

static json_t *encode_loop(const struct train_loop *loop)
{
    json_t *json = json_object();
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const char *at = (const char *)loop + members[i].offset;
        double real = 0.0;
        int64_t integer = 0;
        if (members[i].is_real)
            memcpy(&real, at, sizeof(real));
        else
            memcpy(&integer, at, sizeof(integer));
        (void)json_object_set_new(json, members[i].name,
                                  members[i].is_real ? json_real(real) : json_integer(integer));
    }
    return json;
}

static json_t *encode_best(const struct train_best *best)
{
    json_t *json = json_object();
    (void)json_object_set_new(json, "step", json_integer(best->step));
    (void)json_object_set_new(json, "value", json_real(best->value));
    (void)json_object_set_new(json, "results", encode_results(&best->results));
    return json;
}

static json_t *encode_kept(const struct train_kept *kept)
{
    json_t *json = json_object(), *sums = json_array();
    for (int i = 0; i < MODEL_METRICS_MAX; i++)
        (void)json_array_append_new(sums, json_real(kept->window_sums[i]));
    (void)json_object_set_new(json, "step", json_integer(kept->step));
    (void)json_object_set_new(json, "window_rows", json_integer(kept->window_rows));
    (void)json_object_set_new(json, "window_sums", sums);
    (void)json_object_set_new(json, "loop", encode_loop(&kept->loop));
    (void)json_object_set_new(json, "results", encode_results(&kept->results));
    return json;
}

enum status train_loop_encode(const struct train_loop *loop, const struct train_results *results,
                              const struct train_best *best, const struct train_kept *kept,
                              char *out, size_t out_bytes, struct error *err)
{
    CLEANUP(json_cleanup) json_t *json = json_object();
    (void)json_object_set_new(json, "loop", encode_loop(loop));
    (void)json_object_set_new(json, "results", encode_results(results));
    if (best->is_kept)
        (void)json_object_set_new(json, "best", encode_best(best));
    if (kept->is_older)
        (void)json_object_set_new(json, "kept", encode_kept(kept));
    CLEANUP(free_cleanup) char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "encode the state of training");
    if (!text_copy(out, out_bytes, text))
        return error_set(err, STATUS_TOO_LARGE, "the state of training has %zu bytes, at most %zu",
                         strlen(text), out_bytes - 1);
    return STATUS_OK;
}

/* ------------------------------------------------------------------ from JSON */

static bool get_real(const struct json_at *parent, const char *name, double *out)
{
    const struct json_at at = json_at_key(parent, name);
    return json_get_double(&at, -HUGE_VAL, HUGE_VAL, out);
}

static bool get_integer(const struct json_at *parent, const char *name, int64_t *out)
{
    const struct json_at at = json_at_key(parent, name);
    return json_get_int(&at, 0, INT64_MAX, out);
}

static void decode_results(const struct json_at *parent, struct train_results *out)
{
    const struct json_at at = json_at_key(parent, "results");
    *out = (struct train_results){.count = 0};
    if (!json_get_open_object(&at))
        return;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(json_iterable(at.value), name, value) {
        double number = 0.0;
        if (get_real(&at, name, &number))
            train_results_set(out, name, number);
    }
}

static void decode_loop(const struct json_at *parent, struct train_loop *out)
{
    const struct json_at at = json_at_key(parent, "loop");
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        char *target = (char *)out + members[i].offset;
        double real = 0.0;
        int64_t integer = 0;
        if (members[i].is_real && get_real(&at, members[i].name, &real))
            memcpy(target, &real, sizeof(real));
        else if (!members[i].is_real && get_integer(&at, members[i].name, &integer))
            memcpy(target, &integer, sizeof(integer));
    }
}

static void decode_best(const struct json_at *root, struct train_best *out)
{
    const struct json_at at = json_at_key(root, "best");
    out->is_kept = json_present(&at);
    if (!out->is_kept)
        return;
    (void)get_integer(&at, "step", &out->step);
    (void)get_real(&at, "value", &out->value);
    decode_results(&at, &out->results);
}

static void decode_kept(const struct json_at *root, struct train_kept *out)
{
    const struct json_at at = json_at_key(root, "kept");
    out->step = -1;
    out->is_older = json_present(&at);
    if (!out->is_older)
        return;
    (void)get_integer(&at, "step", &out->step);
    (void)get_integer(&at, "window_rows", &out->window_rows);
    const struct json_at sums = json_at_key(&at, "window_sums");
    for (int i = 0; i < MODEL_METRICS_MAX; i++) {
        const struct json_at sum = json_at_index(&sums, (size_t)i);
        (void)json_get_double(&sum, -HUGE_VAL, HUGE_VAL, &out->window_sums[i]);
    }
    decode_loop(&at, &out->loop);
    decode_results(&at, &out->results);
}

enum status train_loop_decode(const char *text, struct train_loop *loop,
                              struct train_results *results, struct train_best *best,
                              struct train_kept *kept, struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    struct error cause = {.status = STATUS_OK};
    if (json_parse(text, strlen(text), &document, &cause) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "its state: %s", cause.text);
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "decode the state of training");
    const struct json_at root = json_at_root(document, problems);
    decode_loop(&root, loop);
    decode_results(&root, results);
    decode_best(&root, best);
    decode_kept(&root, kept);
    if (json_problems_status(problems, &cause) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "its state: %s", cause.text);
    return STATUS_OK;
}
