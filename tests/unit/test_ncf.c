/*
 * test_ncf.c - GMF, the perceptron and NeuMF: gradients against finite differences in float64, PyTorch's
 * 20 steps, the same bits on a far device, which records there are, and how candidates are ranked.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "tests/unit/model_rig.h"
#include "tests/unit/trajectory.h"

enum { USERS = 9, ITEMS = 14, MET = 40, ROWS = 30, NEGATIVES = 3, CANDIDATES = 6, TOP_K = 2 };

struct fixture {
    struct model_rig rig;
    struct dataset train, eval;
    int32_t user[MET], item[MET];
    int32_t eval_user[USERS], candidates[USERS][CANDIDATES];
};

static struct job_spec small_spec(int variant)
{
    struct job_spec spec = {.model = {.type = MODEL_NCF}};
    spec.model.ncf.variant = variant;
    spec.model.ncf.factors = 4;
    spec.model.ncf.layers[0] = 12;
    spec.model.ncf.layers[1] = 8;
    spec.model.ncf.layers[2] = 5;
    spec.model.ncf.layer_count = 3;
    spec.model.ncf.negatives = NEGATIVES;
    spec.model.ncf.top_k = TOP_K;
    spec.training.seed = 3;
    spec.optimizer = (struct optimizer_spec){.lr = 0.01,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .momentum = 0.9,
                                             .weight_decay = 0.001};
    return spec;
}

/* Users have met few items, the last one all but two. */
static void make_data(struct fixture *f)
{
    for (int i = 0; i < MET; i++) {
        f->user[i] = i < ITEMS - 2 ? USERS - 1 : i % (USERS - 1);
        f->item[i] = i < ITEMS - 2 ? i : (i * 5) % ITEMS;
    }
    for (int u = 0; u < USERS; u++) {
        f->eval_user[u] = USERS - 1 - u;
        for (int c = 0; c < CANDIDATES; c++)
            f->candidates[u][c] = c == 3 && u % 2 == 0 ? -1 : (u * 3 + c * 2) % ITEMS;
    }
    f->train = (struct dataset){.kind = DATA_KIND_PAIRS, .count = MET, .array_count = 2};
    f->train.arrays[0] = rig_array("user", DATA_I32, MET, 1, f->user);
    f->train.arrays[1] = rig_array("item", DATA_I32, MET, 1, f->item);
    f->eval = (struct dataset){.kind = DATA_KIND_PAIRS, .count = USERS, .array_count = 2};
    f->eval.arrays[0] = rig_array("user", DATA_I32, USERS, 1, f->eval_user);
    f->eval.arrays[1] = rig_array("candidates", DATA_I32, USERS, CANDIDATES, f->candidates);
}

static void fixture_open(struct fixture *f, const struct compute_ops *ops,
                         const struct job_spec *spec)
{
    *f = (struct fixture){.train = {.count = 0}};
    make_data(f);
    rig_open(&f->rig, ops, spec, &(struct model_input){.train = &f->train, .eval = &f->eval});
    f->rig.set = &f->train;
}

/* Records first, first + 3, ... of an epoch. */
static void feed(struct fixture *f, int first, int count, int64_t epoch, int64_t first_row)
{
    int32_t records[RIG_ROWS_MAX];
    for (int i = 0; i < count; i++)
        records[i] = first + 3 * i;
    rig_feed(&f->rig,
             &(struct rig_rows){.set = &f->train,
                                .records = records,
                                .count = count,
                                .batch_rows = ROWS,
                                .epoch = epoch,
                                .first_row = first_row},
             true);
}

/* The newest training feed: users, items, labels, one after the other. */
static const int32_t *fed(const struct fixture *f, int what)
{
    const int32_t *numbers =
        (const int32_t *)(const void *)(f->rig.host_block + sizeof(struct model_feed_head));
    return numbers + what * f->rig.shape.rows;
}

enum { FED_USERS, FED_ITEMS, FED_LABELS };

static void initialise_widely(struct fixture *f, float *out)
{
    model_initialise(f->rig.model, 3, out);
    for (size_t i = 0; i < f->rig.count; i++)
        out[i] *= fabsf(out[i]) < 0.05F ? 30.0F : 1.0F; /* embeddings are tiny at first */
    rig_set_parameters(&f->rig, out);
}

/* ------------------------------------------------------------------ gradients */

struct reference {
    const struct model *model;
    const double *parameters;
};

static const struct parameter *named(const struct reference *r, const char *name)
{
    size_t count = 0;
    const struct parameter *table = model_ncf.parameters(r->model, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

static const double *row_of(const struct reference *r, const char *name, int row)
{
    const struct parameter *table = named(r, name);
    return r->parameters + table->offset + (size_t)row * (size_t)table->shape[1];
}

/* out = in * weight + bias of a layer; its width. */
static int dense(const struct reference *r, const char *name, const double *in, double *out)
{
    char text[MODEL_NAME_BYTES];
    (void)snprintf(text, sizeof(text), "%s.weight", name);
    const struct parameter *weight = named(r, text);
    (void)snprintf(text, sizeof(text), "%s.bias", name);
    const struct parameter *bias = named(r, text);
    for (int64_t o = 0; o < weight->shape[1]; o++) {
        out[o] = r->parameters[bias->offset + (size_t)o];
        for (int64_t i = 0; i < weight->shape[0]; i++)
            out[o] += in[i] * r->parameters[weight->offset + (size_t)(i * weight->shape[1] + o)];
    }
    return (int)weight->shape[1];
}

static double reference_score(const struct reference *r, int user, int item)
{
    double joined[32] = {0.0}, logit = 0.0;
    int width = 0;
    if (named(r, "gmf_user.weight") != NULL) {
        width = (int)named(r, "gmf_user.weight")->shape[1];
        for (int j = 0; j < width; j++)
            joined[j] =
                row_of(r, "gmf_user.weight", user)[j] * row_of(r, "gmf_item.weight", item)[j];
    }
    if (named(r, "mlp_user.weight") != NULL) {
        double in[32] = {0.0}, out[32] = {0.0};
        const int half = (int)named(r, "mlp_user.weight")->shape[1];
        for (int j = 0; j < half; j++) {
            in[j] = row_of(r, "mlp_user.weight", user)[j];
            in[half + j] = row_of(r, "mlp_item.weight", item)[j];
        }
        int last = 2 * half;
        for (int l = 0; l < 2; l++) {
            last = dense(r, l == 0 ? "mlp0" : "mlp1", in, out);
            for (int j = 0; j < last; j++)
                in[j] = out[j] > 0.0 ? out[j] : 0.0;
        }
        memcpy(joined + width, in, (size_t)last * sizeof(double));
    }
    (void)dense(r, "output", joined, &logit);
    return logit;
}

static double reference_loss(const struct fixture *f, const double *parameters)
{
    const struct reference r = {f->rig.model, parameters};
    double loss = 0.0;
    for (int i = 0; i < ROWS; i++) {
        const double z = reference_score(&r, fed(f, FED_USERS)[i], fed(f, FED_ITEMS)[i]);
        loss += log1p(exp(-fabs(z))) + fmax(z, 0.0) - z * fed(f, FED_LABELS)[i];
    }
    return loss / ROWS;
}

static void check_gradients(int variant)
{
    static struct fixture f;
    const struct job_spec spec = small_spec(variant);
    fixture_open(&f, &compute_cpu, &spec);
    const size_t count = f.rig.count;
    float *initial = calloc(count, sizeof(float)), *actual = calloc(count, sizeof(float));
    double *moved = calloc(count, sizeof(double));
    initialise_widely(&f, initial);
    for (size_t i = 0; i < count; i++)
        moved[i] = (double)initial[i];
    feed(&f, 0, ROWS, 0, 0);

    rig_train(&f.rig);

    float sums[MODEL_METRICS_MAX];
    rig_get(&f.rig, f.rig.gradients, actual, count);
    rig_get(&f.rig, f.rig.sums, sums, MODEL_METRICS_MAX);
    assert_true(fabs((double)sums[0] / ROWS - reference_loss(&f, moved)) < 1e-6);
    for (size_t i = 0; i < count; i++) {
        const double step = 1e-6, before = moved[i];
        moved[i] = before + step;
        const double above = reference_loss(&f, moved);
        moved[i] = before - step;
        const double below = reference_loss(&f, moved);
        moved[i] = before;
        const double expected = (above - below) / (2.0 * step);
        if (fabs((double)actual[i] - expected) > 1e-6 + 1e-4 * fabs(expected))
            fail_msg("variant %d: gradient %zu is %.9g, expected %.9g", variant, i,
                     (double)actual[i], expected);
    }
    free(initial);
    free(actual);
    free(moved);
    rig_close(&f.rig);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    check_gradients(NCF_GMF);
    check_gradients(NCF_MLP);
    check_gradients(NCF_NEUMF);
}

/* ------------------------------------------------------------------ PyTorch's steps */

static int feed_batch(struct model_rig *rig, const struct vectors *vectors, int step)
{
    static const char *const keys[] = {"user", "item", "label"};
    size_t count = 0;
    uint8_t *at = rig->host_block + sizeof(struct model_feed_head);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        int32_t *numbers = vectors_batch(vectors, step, keys[i], &count);
        memcpy(at, numbers, count * sizeof(*numbers));
        at += count * sizeof(*numbers);
        free(numbers);
    }
    const struct model_feed_head head = {.loss_scale = 1.0F / (float)count};
    memcpy(rig->host_block, &head, sizeof(head));
    assert_ok(rig->device.ops->upload(rig->device.compute, rig->block, rig->host_block,
                                      (size_t)(at - rig->host_block), &rig->err),
              &rig->err);
    rig->shape = (struct model_shape){.rows = (int)count};
    return (int)count;
}

static void twenty_steps_are_those_of_pytorch(void **state)
{
    (void)state;
    static const char *const names[] = {"ncf_gmf",
                                        "ncf_mlp",
                                        "ncf_neumf",
                                        "ncf_neumf_sgd",
                                        "ncf_neumf_sparse_adam",
                                        "ncf_neumf_sparse_adagrad"};
    static const char fit[] = "{\"kind\": \"pairs\", \"users\": 12, \"items\": 18}";
    const int32_t none = 0;
    struct dataset train = {.kind = DATA_KIND_PAIRS,
                            .count = 1,
                            .array_count = 2,
                            .fit = fit,
                            .fit_bytes = sizeof(fit) - 1};
    train.arrays[0] = rig_array("user", DATA_I32, 1, 1, &none);
    train.arrays[1] = rig_array("item", DATA_I32, 1, 1, &none);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        trajectory_check_fed(names[i], &compute_cpu, &train, feed_batch);
        trajectory_check_fed(names[i], &compute_far, &train, feed_batch);
    }
}

/* ------------------------------------------------------------------ the far device */

static void training_and_ranking_on_a_far_device_give_the_same_bits(void **state)
{
    (void)state;
    for (int variant = NCF_NEUMF; variant <= NCF_MLP; variant++) {
        static struct fixture near, far;
        struct job_spec spec = small_spec(variant);
        spec.optimizer.embeddings = variant == NCF_GMF ? EMBEDDING_SPARSE : EMBEDDING_DENSE;
        fixture_open(&near, &compute_cpu, &spec);
        fixture_open(&far, &compute_far, &spec);
        struct fixture *const both[] = {&near, &far};
        float *parameters[2], sums[2][MODEL_METRICS_MAX], scores[2][USERS * CANDIDATES];
        for (int i = 0; i < 2; i++) {
            const int32_t records[USERS] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
            struct model_rig *rig = &both[i]->rig;
            parameters[i] = calloc(rig->count, sizeof(float));
            rig_initialise(rig, 11);
            rig_train_with(rig, optim_registry[OPTIMIZER_ADAM], 30, ROWS, parameters[i], sums[i]);
            rig_feed(
                rig,
                &(struct rig_rows){
                    .set = &both[i]->eval, .records = records, .count = USERS, .batch_rows = USERS},
                false);
            rig_evaluate(rig, true);
            rig_get(rig, rig->sums, sums[i], MODEL_METRICS_MAX);
            rig_get(rig, rig->scores, scores[i], USERS * CANDIDATES);
        }
        assert_memory_equal(parameters[1], parameters[0], near.rig.count * sizeof(float));
        assert_memory_equal(sums[1], sums[0], sizeof(sums[0]));
        assert_memory_equal(scores[1], scores[0], sizeof(scores[0]));
        assert_int_equal(compute_far_replays(far.rig.device.compute), 28); /* two keys */
        free(parameters[0]);
        free(parameters[1]);
        rig_close(&near.rig);
        rig_close(&far.rig);
    }
}

/* ------------------------------------------------------------------ records */

static bool has_met(const struct fixture *f, int32_t user, int32_t item)
{
    for (int i = 0; i < MET; i++) {
        if (f->user[i] == user && f->item[i] == item)
            return true;
    }
    return false;
}

static void a_record_is_a_positive_or_an_item_that_its_user_has_not_met(void **state)
{
    (void)state;
    static struct fixture f;
    const struct job_spec spec = small_spec(NCF_GMF);
    fixture_open(&f, &compute_cpu, &spec);
    const int64_t records = model_ncf.records(f.rig.model, &f.train, true);
    assert_int_equal(records, MET * (1 + NEGATIVES));
    assert_int_equal(model_ncf.records(f.rig.model, &f.eval, false), USERS);
    for (int32_t r = 0; r < (int32_t)records; r++) {
        rig_feed(&f.rig,
                 &(struct rig_rows){.set = &f.train, .records = &r, .count = 1, .batch_rows = 1},
                 true);
        const int positive = r / (1 + NEGATIVES);
        assert_int_equal(fed(&f, FED_USERS)[0], f.user[positive]);
        assert_int_equal(fed(&f, FED_LABELS)[0], r % (1 + NEGATIVES) == 0);
        if (fed(&f, FED_LABELS)[0] == 1)
            assert_int_equal(fed(&f, FED_ITEMS)[0], f.item[positive]);
        else
            assert_false(has_met(&f, f.user[positive], fed(&f, FED_ITEMS)[0]));
    }
    rig_close(&f.rig);
}

static void a_batch_holds_the_same_rows_however_it_is_cut(void **state)
{
    (void)state;
    static struct fixture f;
    const struct job_spec spec = small_spec(NCF_GMF);
    int32_t whole[3][ROWS];
    fixture_open(&f, &compute_cpu, &spec);
    feed(&f, 1, ROWS, 4, 0);
    for (int what = 0; what < 3; what++)
        memcpy(whole[what], fed(&f, what), sizeof(whole[what]));
    for (int first = 0; first < ROWS; first += 7) {
        const int count = ROWS - first < 7 ? ROWS - first : 7;
        feed(&f, 1 + 3 * first, count, 4, first);
        for (int what = 0; what < 3; what++)
            assert_memory_equal(fed(&f, what), whole[what] + first,
                                (size_t)count * sizeof(int32_t));
    }
    feed(&f, 1, ROWS, 5, 0);
    assert_memory_equal(fed(&f, FED_USERS), whole[FED_USERS], sizeof(whole[0]));
    assert_memory_not_equal(fed(&f, FED_ITEMS), whole[FED_ITEMS],
                            sizeof(whole[0])); /* drawn anew */
    rig_close(&f.rig);
}

static void flags_count_the_rows_that_a_step_touches(void **state)
{
    (void)state;
    static struct fixture f;
    struct job_spec spec = small_spec(NCF_NEUMF);
    spec.optimizer.embeddings = EMBEDDING_SPARSE;
    fixture_open(&f, &compute_cpu, &spec);
    float flags[2 * (USERS + ITEMS)], expected[2 * (USERS + ITEMS)] = {0.0F};
    assert_int_equal(f.rig.flag_count, COUNT_OF(flags));
    rig_initialise(&f.rig, 1);
    feed(&f, 0, ROWS, 0, 0);
    rig_train(&f.rig);
    for (int i = 0; i < ROWS; i++) {
        for (int table = 0; table < 2; table++) { /* GMF's, then the perceptron's */
            expected[table * (USERS + ITEMS) + fed(&f, FED_USERS)[i]] += 1.0F;
            expected[table * (USERS + ITEMS) + USERS + fed(&f, FED_ITEMS)[i]] += 1.0F;
        }
    }
    rig_get(&f.rig, f.rig.gradients + f.rig.count, flags, COUNT_OF(flags));
    assert_memory_equal(flags, expected, sizeof(flags));
    rig_close(&f.rig);
}

/* ------------------------------------------------------------------ ranking */

/* Where the first candidate stands, by the reference's scores in float64. */
static int reference_rank(const struct fixture *f, const double *parameters, int row)
{
    const struct reference r = {f->rig.model, parameters};
    const double first = reference_score(&r, f->eval_user[row], f->candidates[row][0]);
    int rank = 0;
    for (int c = 1; c < CANDIDATES; c++) {
        if (f->candidates[row][c] >= 0)
            rank += reference_score(&r, f->eval_user[row], f->candidates[row][c]) > first;
    }
    return rank;
}

static void candidates_are_ranked_by_their_scores_and_left_out_ones_do_not_count(void **state)
{
    (void)state;
    for (int variant = NCF_NEUMF; variant <= NCF_MLP; variant++) {
        static struct fixture f;
        const struct job_spec spec = small_spec(variant);
        const int32_t records[USERS] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
        fixture_open(&f, &compute_cpu, &spec);
        float *initial = calloc(f.rig.count, sizeof(float));
        double *parameters = calloc(f.rig.count, sizeof(double));
        initialise_widely(&f, initial);
        for (size_t i = 0; i < f.rig.count; i++)
            parameters[i] = (double)initial[i];
        rig_feed(&f.rig,
                 &(struct rig_rows){
                     .set = &f.eval, .records = records, .count = USERS, .batch_rows = USERS},
                 false);

        rig_evaluate(&f.rig, true);

        float sums[MODEL_METRICS_MAX], scores[USERS * CANDIDATES];
        double wide[MODEL_METRICS_MAX], hits = 0.0, gain = 0.0;
        rig_get(&f.rig, f.rig.sums, sums, MODEL_METRICS_MAX);
        rig_get(&f.rig, f.rig.scores, scores, COUNT_OF(scores));
        for (int i = 0; i < MODEL_METRICS_MAX; i++)
            wide[i] = (double)sums[i];
        for (int row = 0; row < USERS; row++) {
            const struct reference r = {f.rig.model, parameters};
            const int rank = reference_rank(&f, parameters, row);
            hits += rank < TOP_K;
            gain += rank < TOP_K ? log(2.0) / log(rank + 2.0) : 0.0;
            for (int c = 0; c < CANDIDATES; c++) {
                if (f.candidates[row][c] < 0)
                    continue;
                const double z = reference_score(&r, f.eval_user[row], f.candidates[row][c]);
                assert_true(fabs((double)scores[row * CANDIDATES + c] - 1.0 / (1.0 + exp(-z))) <
                            1e-5);
            }
        }
        const char *names[MODEL_METRICS_MAX];
        double values[MODEL_METRICS_MAX];
        assert_int_equal(model_ncf.metrics(f.rig.model, wide, USERS, names, values), 2);
        assert_string_equal(names[0], "hr_at_2");
        assert_string_equal(names[1], "ndcg_at_2");
        assert_true(fabs(values[0] - hits / USERS) < 1e-6);
        assert_true(fabs(values[1] - gain / USERS) < 1e-6);
        free(initial);
        free(parameters);
        rig_close(&f.rig);
    }
}

/* ------------------------------------------------------------------ what is refused */

static void data_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char fit[] = "{\"users\": 9, \"items\": 13}";
    static const char empty[] = "{\"users\": 9}";
    struct fixture f = {.train = {.count = 0}};
    struct device device = {.ops = &compute_cpu};
    struct model *model = NULL;
    struct error err = {.status = STATUS_OK};
    const struct job_spec spec = small_spec(NCF_GMF);
    struct model_input input = {.train = &f.train, .eval = &f.eval, .rows_max = ROWS};
    make_data(&f);
    assert_ok(compute_cpu.open(0, 1, &device.compute, &err), &err);

    f.train.fit = fit;
    f.train.fit_bytes = sizeof(fit) - 1;
    assert_fails(model_ncf.open(&spec, &input, device, &model, &err), &err, STATUS_INVALID,
                 "record 25: item is 13, expected 0..12");
    f.train.fit = empty;
    f.train.fit_bytes = sizeof(empty) - 1;
    assert_fails(model_ncf.open(&spec, &input, device, &model, &err), &err, STATUS_INVALID,
                 "9 users and 0 items: expected 1..2147483647 of each");
    f.train.fit_bytes = 0;
    f.eval.array_count = 1;
    assert_fails(model_ncf.open(&spec, &input, device, &model, &err), &err, STATUS_INVALID,
                 "the evaluation part has no candidates to rank: expected negatives");
    compute_cpu.close(device.compute);
}

static void without_interactions_it_predicts_and_does_not_train(void **state)
{
    (void)state;
    static const char fit[] = "{\"users\": 9, \"items\": 14}";
    static struct fixture f;
    const struct job_spec spec = small_spec(NCF_NEUMF);
    const int32_t records[1] = {0};
    size_t bytes = 0;
    struct model_shape shape;
    f = (struct fixture){.train = {.count = 0}};
    make_data(&f);
    f.train = (struct dataset){.kind = DATA_KIND_PAIRS, .fit = fit, .fit_bytes = sizeof(fit) - 1};
    rig_open(&f.rig, &compute_cpu, &spec,
             &(struct model_input){.train = &f.train, .eval = &f.eval});
    assert_int_equal(f.rig.model->score_width, CANDIDATES);
    rig_initialise(&f.rig, 1);
    rig_feed(&f.rig,
             &(struct rig_rows){.set = &f.eval, .records = records, .count = 1, .batch_rows = 1},
             false);
    rig_evaluate(&f.rig, true);
    const struct model_rows rows = {.set = &f.train, .records = records, .count = 1};
    assert_fails(
        model_ncf.fill(f.rig.model, &rows, true, f.rig.host_block, &bytes, &shape, &f.rig.err),
        &f.rig.err, STATUS_INVALID, "the training part has no interactions");
    rig_close(&f.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(twenty_steps_are_those_of_pytorch),
        cmocka_unit_test(training_and_ranking_on_a_far_device_give_the_same_bits),
        cmocka_unit_test(a_record_is_a_positive_or_an_item_that_its_user_has_not_met),
        cmocka_unit_test(a_batch_holds_the_same_rows_however_it_is_cut),
        cmocka_unit_test(flags_count_the_rows_that_a_step_touches),
        cmocka_unit_test(candidates_are_ranked_by_their_scores_and_left_out_ones_do_not_count),
        cmocka_unit_test(data_that_does_not_fit_is_refused),
        cmocka_unit_test(without_interactions_it_predicts_and_does_not_train),
    };
    return cmocka_run_group_tests_name("ncf", tests, NULL, NULL);
}
