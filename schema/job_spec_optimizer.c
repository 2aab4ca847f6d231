/* job_spec_optimizer.c - the section "optimizer", with its schedule. */

#include "schema/job_spec_parts.h"

#define LR_MIN                     1e-12
#define LR_MAX                     1000.0
#define EPS_MIN                    1e-16
#define EPS_DEFAULT                1e-8
#define ADAGRAD_EPS_DEFAULT        1e-10
#define WEIGHT_DECAY_MAX           1.0
#define ADAMW_WEIGHT_DECAY_DEFAULT 0.01
#define ACCUMULATOR_MAX            1e6
#define CLIP_NORM_MAX              1e6
#define STEP_FACTOR_DEFAULT        0.1

static const char *const optimizer_names[] = {[OPTIMIZER_SGD] = "sgd",
                                              [OPTIMIZER_ADAM] = "adam",
                                              [OPTIMIZER_ADAMW] = "adamw",
                                              [OPTIMIZER_ADAGRAD] = "adagrad",
                                              NULL};
static const char *const embedding_names[] = {
    [EMBEDDING_DENSE] = "dense", [EMBEDDING_SPARSE] = "sparse", NULL};
static const char *const schedule_names[] = {[SCHEDULE_CONSTANT] = "constant",
                                             [SCHEDULE_STEP] = "step",
                                             [SCHEDULE_COSINE] = "cosine",
                                             [SCHEDULE_LINEAR] = "linear",
                                             NULL};

static bool is_adam(int type)
{
    return type == OPTIMIZER_ADAM || type == OPTIMIZER_ADAMW;
}

/* ------------------------------------------------------------------ decoding */

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
    (void)json_get_double(&first, 0.0, SPEC_BELOW_ONE, &out->beta1);
    (void)json_get_double(&second, 0.0, SPEC_BELOW_ONE, &out->beta2);
}

static void decode_schedule(const struct json_at *at, struct schedule_spec *out)
{
    static const char *const known[] = {"type",   "warmup_steps", "every_steps",
                                        "factor", "min_factor",   NULL};
    static const char *const of_step[] = {"every_steps", "factor", NULL};
    static const char *const of_falling[] = {"min_factor", NULL};
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at type = json_at_key(at, "type");
    const struct json_at warmup = json_at_key(at, "warmup_steps");
    const struct json_at every = json_at_key(at, "every_steps");
    const struct json_at factor = json_at_key(at, "factor");
    const struct json_at min_factor = json_at_key(at, "min_factor");
    (void)json_opt_int(&warmup, 0, SPEC_STEPS_MAX, &out->warmup_steps);
    if (!json_get_enum(&type, schedule_names, &out->type))
        return;
    if (out->type == SCHEDULE_STEP) {
        out->factor = STEP_FACTOR_DEFAULT;
        (void)json_get_int(&every, 1, SPEC_STEPS_MAX, &out->every_steps);
        (void)json_opt_double(&factor, 0.0, 1.0, &out->factor);
    } else {
        spec_refuse(at, of_step, "the schedule's type is not \"step\"");
    }
    if (out->type == SCHEDULE_COSINE || out->type == SCHEDULE_LINEAR)
        (void)json_opt_double(&min_factor, 0.0, 1.0, &out->min_factor);
    else
        spec_refuse(at, of_falling, "the schedule's type is neither \"cosine\" nor \"linear\"");
}

/* The fields that only some optimizers have. */
static void decode_own_fields(const struct json_at *at, struct optimizer_spec *out)
{
    const struct json_at betas = json_at_key(at, "betas");
    const struct json_at eps = json_at_key(at, "eps");
    const struct json_at momentum = json_at_key(at, "momentum");
    const struct json_at accumulator = json_at_key(at, "initial_accumulator");
    switch ((enum optimizer_type)out->type) {
    case OPTIMIZER_SGD:
        (void)json_opt_double(&momentum, 0.0, SPEC_BELOW_ONE, &out->momentum);
        return;
    case OPTIMIZER_ADAMW:
    case OPTIMIZER_ADAM:
        out->beta1 = 0.9;
        out->beta2 = 0.999;
        out->eps = EPS_DEFAULT;
        decode_betas(&betas, out);
        (void)json_opt_double(&eps, EPS_MIN, 1.0, &out->eps);
        return;
    case OPTIMIZER_ADAGRAD:
        out->eps = ADAGRAD_EPS_DEFAULT;
        (void)json_opt_double(&eps, EPS_MIN, 1.0, &out->eps);
        (void)json_opt_double(&accumulator, 0.0, ACCUMULATOR_MAX, &out->initial_accumulator);
        return;
    }
}

/* Rows that are left alone have no momentum that moves them, and no decay. */
static void check_sparse(const struct json_at *at, const struct optimizer_spec *spec)
{
    const bool moves =
        spec->type == OPTIMIZER_ADAMW || (spec->type == OPTIMIZER_SGD && spec->momentum > 0.0);
    if (spec->embeddings == EMBEDDING_SPARSE && moves)
        json_problem_add(at, "\"dense\", because only adam, adagrad and sgd without momentum leave "
                             "rows alone");
}

#define OPTIMIZER_COMMON "type", "lr", "weight_decay", "embeddings", "clip_norm", "schedule"

void optimizer_spec_decode(const struct json_at *at, struct optimizer_spec *out)
{
    static const char *const of_sgd[] = {OPTIMIZER_COMMON, "momentum", NULL};
    static const char *const of_adam[] = {OPTIMIZER_COMMON, "betas", "eps", NULL};
    static const char *const of_adagrad[] = {OPTIMIZER_COMMON, "eps", "initial_accumulator", NULL};
    static const char *const *const fields[] = {[OPTIMIZER_SGD] = of_sgd,
                                                [OPTIMIZER_ADAM] = of_adam,
                                                [OPTIMIZER_ADAMW] = of_adam,
                                                [OPTIMIZER_ADAGRAD] = of_adagrad};
    if (!json_get_open_object(at))
        return;
    const struct json_at type = json_at_key(at, "type");
    if (!json_get_enum(&type, optimizer_names, &out->type) ||
        !spec_get_object(at, fields[out->type], spec_none))
        return;
    const struct json_at lr = json_at_key(at, "lr");
    const struct json_at weight_decay = json_at_key(at, "weight_decay");
    const struct json_at embeddings = json_at_key(at, "embeddings");
    const struct json_at clip_norm = json_at_key(at, "clip_norm");
    const struct json_at schedule = json_at_key(at, "schedule");
    if (out->type == OPTIMIZER_ADAMW)
        out->weight_decay = ADAMW_WEIGHT_DECAY_DEFAULT;
    (void)json_get_double(&lr, LR_MIN, LR_MAX, &out->lr);
    (void)json_opt_double(&weight_decay, 0.0, WEIGHT_DECAY_MAX, &out->weight_decay);
    (void)json_opt_double(&clip_norm, 0.0, CLIP_NORM_MAX, &out->clip_norm);
    (void)json_opt_enum(&embeddings, embedding_names, &out->embeddings);
    decode_schedule(&schedule, &out->schedule);
    decode_own_fields(at, out);
    check_sparse(&embeddings, out);
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_schedule(const struct schedule_spec *spec)
{
    json_t *out = json_pack("{s:s, s:I}", "type", schedule_names[spec->type], "warmup_steps",
                            (json_int_t)spec->warmup_steps);
    if (spec->type == SCHEDULE_STEP) {
        spec_set(&out, "every_steps", json_integer(spec->every_steps));
        spec_set(&out, "factor", json_real(spec->factor));
    }
    if (spec->type == SCHEDULE_COSINE || spec->type == SCHEDULE_LINEAR)
        spec_set(&out, "min_factor", json_real(spec->min_factor));
    return out;
}

json_t *optimizer_spec_encode(const struct job_spec *spec)
{
    const struct optimizer_spec *optimizer = &spec->optimizer;
    json_t *out =
        json_pack("{s:s, s:f, s:f, s:f, s:o}", "type", optimizer_names[optimizer->type], "lr",
                  optimizer->lr, "weight_decay", optimizer->weight_decay, "clip_norm",
                  optimizer->clip_norm, "schedule", encode_schedule(&optimizer->schedule));
    if (optimizer->type == OPTIMIZER_SGD)
        spec_set(&out, "momentum", json_real(optimizer->momentum));
    else
        spec_set(&out, "eps", json_real(optimizer->eps));
    if (is_adam(optimizer->type))
        spec_set(&out, "betas", json_pack("[f, f]", optimizer->beta1, optimizer->beta2));
    if (optimizer->type == OPTIMIZER_ADAGRAD)
        spec_set(&out, "initial_accumulator", json_real(optimizer->initial_accumulator));
    if (job_spec_has_tables(spec))
        spec_set(&out, "embeddings", json_string(embedding_names[optimizer->embeddings]));
    return out;
}
