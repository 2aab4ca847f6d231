/* job_spec_training.c - the sections "optimizer" and "training". */

#include "schema/job_spec_parts.h"

#define LR_MIN              1e-12
#define LR_MAX              1000.0
#define BELOW_ONE           0.999999999 /* decay rates: 1 itself would never forget */
#define EPS_MIN             1e-16
#define WEIGHT_DECAY_MAX    1.0
#define EPOCHS_MAX          1000000
#define STEPS_MAX           INT64_C(1000000000000)
#define THREADS_MAX         256
#define METRICS_EVERY_STEPS 20

static const char *const optimizer_names[] = {
    [OPTIMIZER_SGD] = "sgd", [OPTIMIZER_ADAM] = "adam", NULL};
static const char *const later_optimizers[] = {"adamw", "adagrad", NULL};
static const char *const precision_names[] = {[PRECISION_FP32] = "fp32", NULL};
static const char *const later_precisions[] = {"bf16", "tf32", "fp16", NULL};
static const char *const sync_names[] = {[SYNC_ALLREDUCE] = "allreduce", NULL};
static const char *const later_syncs[] = {"parameter_server", "sharded", NULL};
static const char *const task_names[] = {"train", NULL};
static const char *const later_tasks[] = {"score", NULL};

/* ------------------------------------------------------------------ optimizer */

static void decode_betas(const struct json_at *at, struct optimizer_spec *out)
{
    if (!json_present(at))
        return;
    size_t count = 0;
    if (!json_get_array(at, 2, &count))
        return;
    if (count != 2) {
        json_problem_add(at, "array of 2 numbers");
        return;
    }
    const struct json_at first = json_at_index(at, 0);
    const struct json_at second = json_at_index(at, 1);
    (void)json_get_double(&first, 0.0, BELOW_ONE, &out->beta1);
    (void)json_get_double(&second, 0.0, BELOW_ONE, &out->beta2);
}

void optimizer_spec_decode(const struct json_at *at, struct optimizer_spec *out)
{
    static const char *const of_adam[] = {"type", "lr", "betas", "eps", "weight_decay", NULL};
    static const char *const of_sgd[] = {"type", "lr", "momentum", "weight_decay", NULL};
    static const char *const later[] = {"schedule", NULL};
    if (!json_get_open_object(at))
        return;
    const struct json_at type = json_at_key(at, "type");
    if (!spec_get_enum(&type, optimizer_names, later_optimizers, &out->type))
        return;
    if (!spec_get_object(at, out->type == OPTIMIZER_ADAM ? of_adam : of_sgd, later))
        return;
    const struct json_at lr = json_at_key(at, "lr");
    const struct json_at weight_decay = json_at_key(at, "weight_decay");
    (void)json_get_double(&lr, LR_MIN, LR_MAX, &out->lr);
    (void)json_opt_double(&weight_decay, 0.0, WEIGHT_DECAY_MAX, &out->weight_decay);
    if (out->type == OPTIMIZER_SGD) {
        const struct json_at momentum = json_at_key(at, "momentum");
        (void)json_opt_double(&momentum, 0.0, BELOW_ONE, &out->momentum);
        return;
    }
    const struct json_at betas = json_at_key(at, "betas");
    const struct json_at eps = json_at_key(at, "eps");
    out->beta1 = 0.9;
    out->beta2 = 0.999;
    out->eps = 1e-8;
    decode_betas(&betas, out);
    (void)json_opt_double(&eps, EPS_MIN, 1.0, &out->eps);
}

json_t *optimizer_spec_encode(const struct optimizer_spec *spec)
{
    if (spec->type == OPTIMIZER_SGD)
        return json_pack("{s:s, s:f, s:f, s:f}", "type", "sgd", "lr", spec->lr, "momentum",
                         spec->momentum, "weight_decay", spec->weight_decay);
    return json_pack("{s:s, s:f, s:[f, f], s:f, s:f}", "type", "adam", "lr", spec->lr, "betas",
                     spec->beta1, spec->beta2, "eps", spec->eps, "weight_decay",
                     spec->weight_decay);
}

/* ------------------------------------------------------------------ training */

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
        (void)json_get_int(&steps, 1, STEPS_MAX, &out->steps);
    else if (json_present(&epochs))
        (void)json_get_int(&epochs, 1, EPOCHS_MAX, &out->epochs);
    else
        json_problem_add(&epochs, "integer 1..%d, or \"steps\" instead", EPOCHS_MAX);
}

/* Fields of later releases whose present behaviour may already be spelled out. */
static void check_defaults_of_later(const struct json_at *at)
{
    const struct json_at task = json_at_key(at, "task");
    const struct json_at reproducible = json_at_key(at, "reproducible");
    int ignored_task = 0;
    bool wanted = false;
    (void)spec_opt_enum(&task, task_names, later_tasks, &ignored_task);
    if (json_opt_bool(&reproducible, &wanted) && wanted)
        json_problem_add(&reproducible, "false (\"reproducible\" comes in a later release)");
}

void training_spec_decode(const struct json_at *at, struct training_spec *out)
{
    static const char *const known[] = {"epochs",
                                        "steps",
                                        "batch_size",
                                        "seed",
                                        "precision",
                                        "sync",
                                        "threads_per_rank",
                                        "metrics_every_steps",
                                        "eval_every_epochs",
                                        "task",
                                        "reproducible",
                                        NULL};
    static const char *const later[] = {"servers", "staleness", "micro_shards", NULL};
    if (!spec_get_object(at, known, later))
        return;
    const struct json_at batch_size = json_at_key(at, "batch_size");
    const struct json_at seed = json_at_key(at, "seed");
    const struct json_at precision = json_at_key(at, "precision");
    const struct json_at sync = json_at_key(at, "sync");
    const struct json_at threads = json_at_key(at, "threads_per_rank");
    const struct json_at metrics = json_at_key(at, "metrics_every_steps");
    const struct json_at eval = json_at_key(at, "eval_every_epochs");
    int64_t seed_value = 1;
    out->threads_per_rank = 1;
    out->metrics_every_steps = METRICS_EVERY_STEPS;
    out->eval_every_epochs = 1;
    decode_length(at, out);
    (void)json_get_int(&batch_size, 1, JOB_BATCH_MAX, &out->batch_size);
    (void)json_opt_int(&seed, 0, INT64_MAX, &seed_value);
    (void)spec_opt_enum(&precision, precision_names, later_precisions, &out->precision);
    (void)spec_opt_enum(&sync, sync_names, later_syncs, &out->sync);
    (void)json_opt_int(&threads, 1, THREADS_MAX, &out->threads_per_rank);
    (void)json_opt_int(&metrics, 1, STEPS_MAX, &out->metrics_every_steps);
    (void)json_opt_int(&eval, 0, EPOCHS_MAX, &out->eval_every_epochs);
    check_defaults_of_later(at);
    out->seed = (uint64_t)seed_value;
}

json_t *training_spec_encode(const struct training_spec *spec)
{
    const bool by_steps = spec->steps > 0;
    return json_pack("{s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I}", by_steps ? "steps" : "epochs",
                     (json_int_t)(by_steps ? spec->steps : spec->epochs), "batch_size",
                     (json_int_t)spec->batch_size, "seed", (json_int_t)spec->seed, "precision",
                     precision_names[spec->precision], "sync", sync_names[spec->sync],
                     "threads_per_rank", (json_int_t)spec->threads_per_rank, "metrics_every_steps",
                     (json_int_t)spec->metrics_every_steps, "eval_every_epochs",
                     (json_int_t)spec->eval_every_epochs);
}
