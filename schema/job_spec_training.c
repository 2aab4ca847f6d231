/* job_spec_training.c - the section "training". */

#include "schema/job_spec_parts.h"
#include "schema/names.h"

#define EPOCHS_MAX           1000000
#define THREADS_MAX          256
#define METRICS_EVERY_STEPS  20
#define STALENESS_MAX        1024
#define MICRO_SHARDS_MAX     1024
#define MICRO_SHARDS_DEFAULT 8
#define ACCUMULATE_MAX       1024
#define CLASS_WEIGHT_MAX     1e6
#define PATIENCE_MAX         1000000
#define PATIENCE_DEFAULT     5
#define MIN_DELTA_MAX        1e9
#define ROLLBACKS_MAX        1000
#define ROLLBACKS_DEFAULT    3
#define LR_FACTOR_MIN        1e-6
#define LR_FACTOR_DEFAULT    0.5
#define SPIKE_MAX            1e9

static const char *const precision_names[] = {[PRECISION_FP32] = "fp32", NULL};
static const char *const later_precisions[] = {"bf16", "tf32", "fp16", NULL};
static const char *const sync_names[] = {[SYNC_ALLREDUCE] = "allreduce",
                                         [SYNC_PARAMETER_SERVER] = "parameter_server",
                                         [SYNC_SHARDED] = "sharded",
                                         NULL};
static const char *const task_names[] = {"train", NULL};
static const char *const later_tasks[] = {"score", NULL};
static const char *const weighting_names[] = {
    [CLASS_WEIGHTS_NONE] = "none", [CLASS_WEIGHTS_BALANCED] = "balanced", NULL};
static const char *const nan_names[] = {
    [ON_NAN_FAIL] = "fail", [ON_NAN_ROLLBACK] = "rollback", NULL};

/* ------------------------------------------------------------------ decoding */

/* `epochs` or `steps`, one of them. */
static void decode_length(const struct json_at *at, struct training_spec *out)
{
    const struct json_at epochs = json_at_key(at, "epochs");
    const struct json_at steps = json_at_key(at, "steps");
    if (json_present(&epochs) && json_present(&steps)) {
        json_problem_add(&steps, "nothing, because \"epochs\" is given too");
        return;
    }
    if (json_present(&steps))
        (void)json_get_int(&steps, 1, SPEC_STEPS_MAX, &out->steps);
    else if (json_present(&epochs))
        (void)json_get_int(&epochs, 1, EPOCHS_MAX, &out->epochs);
    else
        json_problem_add(&epochs, "integer 1..%d, or \"steps\" instead", EPOCHS_MAX);
}

static void decode_sync(const struct json_at *at, struct training_spec *out)
{
    static const char *const of_servers[] = {"servers", "staleness", NULL};
    const struct json_at sync = json_at_key(at, "sync");
    const struct json_at servers = json_at_key(at, "servers");
    const struct json_at staleness = json_at_key(at, "staleness");
    if (!json_opt_enum(&sync, sync_names, &out->sync))
        return;
    if (out->sync != SYNC_PARAMETER_SERVER) {
        spec_refuse(at, of_servers, "\"sync\" is not \"parameter_server\"");
        return;
    }
    out->servers = 1;
    (void)json_opt_int(&servers, 1, JOB_RANKS_MAX - 1, &out->servers);
    (void)json_opt_int(&staleness, 0, STALENESS_MAX, &out->staleness);
}

/* The same bits for other numbers of ranks: fixed parts of each batch, one fixed tree of sums. */
static void decode_reproducible(const struct json_at *at, struct training_spec *out)
{
    static const char *const of_parts[] = {"micro_shards", NULL};
    const struct json_at reproducible = json_at_key(at, "reproducible");
    const struct json_at shards = json_at_key(at, "micro_shards");
    const struct json_at accumulate = json_at_key(at, "accumulate_steps");
    out->micro_shards = 1;
    (void)json_opt_bool(&reproducible, &out->reproducible);
    if (!out->reproducible) {
        spec_refuse(at, of_parts, "\"reproducible\" is not true");
        return;
    }
    out->micro_shards = MICRO_SHARDS_DEFAULT;
    if (json_opt_int(&shards, 1, MICRO_SHARDS_MAX, &out->micro_shards) &&
        (out->micro_shards & (out->micro_shards - 1)) != 0)
        json_problem_add(&shards, "power of two 1..%d", MICRO_SHARDS_MAX);
    if (out->sync != SYNC_ALLREDUCE)
        json_problem_add(&reproducible, "false, because \"sync\" is not \"allreduce\"");
    if (out->accumulate_steps > 1)
        json_problem_add(&accumulate, "1, because \"reproducible\" has its own parts of a batch");
}

static void decode_class_weights(const struct json_at *at, struct training_spec *out)
{
    if (!json_present(at))
        return;
    if (!json_is_array(at->value)) {
        const char *word = json_string_value(at->value);
        const int index = word == NULL ? -1 : name_index(weighting_names, word);
        if (index < 0)
            json_problem_add(at, "\"none\", \"balanced\" or array of a number for each class");
        else
            out->class_weights = index;
        return;
    }
    size_t count = 0;
    if (!json_get_array(at, MODEL_CLASSES_LISTED_MAX, &count))
        return;
    bool is_some = false;
    for (size_t i = 0; i < count; i++) {
        const struct json_at weight = json_at_index(at, i);
        is_some |= !json_get_double(&weight, 0.0, CLASS_WEIGHT_MAX, &out->given_class_weights[i]) ||
                   out->given_class_weights[i] > 0.0;
    }
    if (!is_some)
        json_problem_add(at, "array of numbers of which one is above 0");
    out->class_weights = CLASS_WEIGHTS_GIVEN;
    out->given_class_weight_count = count;
}

static void decode_early_stopping(const struct json_at *at, struct early_stopping_spec *out)
{
    static const char *const known[] = {"metric", "mode", "patience", "min_delta", NULL};
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at patience = json_at_key(at, "patience");
    const struct json_at min_delta = json_at_key(at, "min_delta");
    out->patience = PATIENCE_DEFAULT;
    spec_get_watched(at, out->metric, &out->mode);
    (void)json_opt_int(&patience, 1, PATIENCE_MAX, &out->patience);
    (void)json_opt_double(&min_delta, 0.0, MIN_DELTA_MAX, &out->min_delta);
}

static void decode_guards(const struct json_at *at, struct guard_spec *out)
{
    static const char *const known[] = {"on_nan",     "max_rollbacks",       "rollback_lr_factor",
                                        "loss_spike", "replica_check_steps", NULL};
    static const char *const of_rollback[] = {"max_rollbacks", "rollback_lr_factor", NULL};
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at on_nan = json_at_key(at, "on_nan");
    const struct json_at rollbacks = json_at_key(at, "max_rollbacks");
    const struct json_at lr_factor = json_at_key(at, "rollback_lr_factor");
    const struct json_at check = json_at_key(at, "replica_check_steps");
    const struct json_at spike = json_at_key(at, "loss_spike");
    (void)json_opt_int(&check, 0, SPEC_STEPS_MAX, &out->replica_check_steps);
    if (json_opt_double(&spike, 0.0, SPIKE_MAX, &out->loss_spike) && out->loss_spike > 0.0 &&
        out->loss_spike <= 1.0)
        json_problem_add(&spike, "0, or a number above 1");
    if (!json_opt_enum(&on_nan, nan_names, &out->on_nan))
        return;
    if (out->on_nan != ON_NAN_ROLLBACK) {
        spec_refuse(at, of_rollback, "\"on_nan\" is not \"rollback\"");
        return;
    }
    out->max_rollbacks = ROLLBACKS_DEFAULT;
    out->rollback_lr_factor = LR_FACTOR_DEFAULT;
    (void)json_opt_int(&rollbacks, 1, ROLLBACKS_MAX, &out->max_rollbacks);
    (void)json_opt_double(&lr_factor, LR_FACTOR_MIN, 1.0, &out->rollback_lr_factor);
}

static void decode_how_often(const struct json_at *at, struct training_spec *out)
{
    const struct json_at threads = json_at_key(at, "threads_per_rank");
    const struct json_at metrics = json_at_key(at, "metrics_every_steps");
    const struct json_at eval = json_at_key(at, "eval_every_epochs");
    const struct json_at stopping = json_at_key(at, "early_stopping");
    out->threads_per_rank = 1;
    out->metrics_every_steps = METRICS_EVERY_STEPS;
    out->eval_every_epochs = 1;
    (void)json_opt_int(&threads, 1, THREADS_MAX, &out->threads_per_rank);
    (void)json_opt_int(&metrics, 1, SPEC_STEPS_MAX, &out->metrics_every_steps);
    (void)json_opt_int(&eval, 0, EPOCHS_MAX, &out->eval_every_epochs);
    decode_early_stopping(&stopping, &out->early_stopping);
    if (out->early_stopping.metric[0] != '\0' && out->eval_every_epochs == 0)
        json_problem_add(&eval, "integer 1..%d, because of \"early_stopping\"", EPOCHS_MAX);
}

void training_spec_decode(const struct json_at *at, struct training_spec *out)
{
    static const char *const known[] = {"epochs",
                                        "steps",
                                        "batch_size",
                                        "seed",
                                        "precision",
                                        "sync",
                                        "servers",
                                        "staleness",
                                        "reproducible",
                                        "micro_shards",
                                        "task",
                                        "guards",
                                        "accumulate_steps",
                                        "class_weights",
                                        "early_stopping",
                                        "threads_per_rank",
                                        "metrics_every_steps",
                                        "eval_every_epochs",
                                        NULL};
    if (!spec_get_object(at, known, spec_none))
        return;
    const struct json_at batch_size = json_at_key(at, "batch_size");
    const struct json_at seed = json_at_key(at, "seed");
    const struct json_at precision = json_at_key(at, "precision");
    const struct json_at accumulate = json_at_key(at, "accumulate_steps");
    const struct json_at weights = json_at_key(at, "class_weights");
    const struct json_at guards = json_at_key(at, "guards");
    const struct json_at task = json_at_key(at, "task");
    int64_t seed_value = 1;
    int ignored_task = 0;
    out->accumulate_steps = 1;
    decode_length(at, out);
    (void)json_get_int(&batch_size, 1, JOB_BATCH_MAX, &out->batch_size);
    (void)json_opt_int(&seed, 0, INT64_MAX, &seed_value);
    (void)spec_opt_enum(&precision, precision_names, later_precisions, &out->precision);
    (void)json_opt_int(&accumulate, 1, ACCUMULATE_MAX, &out->accumulate_steps);
    (void)spec_opt_enum(&task, task_names, later_tasks, &ignored_task);
    decode_sync(at, out);
    decode_reproducible(at, out);
    decode_class_weights(&weights, out);
    decode_guards(&guards, &out->guards);
    decode_how_often(at, out);
    out->seed = (uint64_t)seed_value;
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_class_weights(const struct training_spec *spec)
{
    if (spec->class_weights != CLASS_WEIGHTS_GIVEN)
        return json_string(weighting_names[spec->class_weights]);
    json_t *weights = json_array();
    for (size_t i = 0; i < spec->given_class_weight_count; i++)
        (void)json_array_append_new(weights, json_real(spec->given_class_weights[i]));
    return weights;
}

static json_t *encode_early_stopping(const struct early_stopping_spec *spec)
{
    if (spec->metric[0] == '\0')
        return json_null();
    json_t *out = spec_watched_json(spec->metric, spec->mode);
    spec_set(&out, "patience", json_integer(spec->patience));
    spec_set(&out, "min_delta", json_real(spec->min_delta));
    return out;
}

static json_t *encode_guards(const struct guard_spec *spec)
{
    json_t *out =
        json_pack("{s:s, s:I, s:f}", "on_nan", nan_names[spec->on_nan], "replica_check_steps",
                  (json_int_t)spec->replica_check_steps, "loss_spike", spec->loss_spike);
    if (spec->on_nan == ON_NAN_ROLLBACK) {
        spec_set(&out, "max_rollbacks", json_integer(spec->max_rollbacks));
        spec_set(&out, "rollback_lr_factor", json_real(spec->rollback_lr_factor));
    }
    return out;
}

json_t *training_spec_encode(const struct job_spec *spec)
{
    const struct training_spec *training = &spec->training;
    const bool by_steps = training->steps > 0;
    json_t *out = json_pack(
        "{s:I, s:I, s:I, s:s, s:s, s:s, s:b, s:I, s:o, s:o, s:I, s:I, s:I}",
        by_steps ? "steps" : "epochs", (json_int_t)(by_steps ? training->steps : training->epochs),
        "batch_size", (json_int_t)training->batch_size, "seed", (json_int_t)training->seed, "task",
        task_names[0], "precision", precision_names[training->precision], "sync",
        sync_names[training->sync], "reproducible", training->reproducible, "accumulate_steps",
        (json_int_t)training->accumulate_steps, "early_stopping",
        encode_early_stopping(&training->early_stopping), "guards",
        encode_guards(&training->guards), "threads_per_rank",
        (json_int_t)training->threads_per_rank, "metrics_every_steps",
        (json_int_t)training->metrics_every_steps, "eval_every_epochs",
        (json_int_t)training->eval_every_epochs);
    if (training->sync == SYNC_PARAMETER_SERVER) {
        spec_set(&out, "servers", json_integer(training->servers));
        spec_set(&out, "staleness", json_integer(training->staleness));
    }
    if (training->reproducible)
        spec_set(&out, "micro_shards", json_integer(training->micro_shards));
    if (job_spec_label_classes(spec) > 0)
        spec_set(&out, "class_weights", encode_class_weights(training));
    return out;
}
