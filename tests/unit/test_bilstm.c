/*
 * test_bilstm.c - the bidirectional LSTM over texts: its gradients against finite differences in
 * float64, its first steps against PyTorch's, how texts are packed, and a far device.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "tests/unit/model_rig.h"
#include "tests/unit/trajectory.h"
#include "trainer/model/text_pack.h"

enum { RECORDS = 50, VOCABULARY = 23, LENGTH = 7, EMBEDDING = 5, HIDDEN = 4, TOKENS_MAX = 400 };
enum { EMPTY_RECORD = 3 };

struct fixture {
    struct model_rig rig;
    struct dataset set;
    int32_t tokens[TOKENS_MAX];
    int64_t offsets[RECORDS + 1];
    int32_t labels[RECORDS];
};

struct variant {
    enum model_head head;
    int classes;
    enum sequence_padding padding;
};

static const struct variant variants[] = {
    {HEAD_SIGMOID, 1, PADDING_SKIP},
    {HEAD_SOFTMAX, 3, PADDING_SKIP},
    {HEAD_SIGMOID, 1, PADDING_COMPUTE},
};

static struct job_spec small_spec(const struct variant *variant)
{
    struct job_spec spec = {.model = {.type = MODEL_BILSTM}};
    spec.model.bilstm.embedding = EMBEDDING;
    spec.model.bilstm.hidden = HIDDEN;
    spec.model.bilstm.head = (int)variant->head;
    spec.model.bilstm.classes = variant->classes;
    spec.model.bilstm.padding = (int)variant->padding;
    spec.data.vocabulary = VOCABULARY;
    spec.data.length = LENGTH;
    spec.optimizer = (struct optimizer_spec){.type = OPTIMIZER_ADAM,
                                             .lr = 0.01,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .momentum = 0.9};
    return spec;
}

/* Texts of 0 to 9 words; the longer ones are cut to LENGTH. */
static void fixture_open(struct fixture *f, const struct compute_ops *ops,
                         const struct job_spec *spec)
{
    *f = (struct fixture){.set = {.kind = DATA_KIND_TEXT, .count = RECORDS, .array_count = 3}};
    const int classes =
        spec->model.bilstm.head == HEAD_SIGMOID ? 2 : (int)spec->model.bilstm.classes;
    int64_t count = 0;
    for (int i = 0; i < RECORDS; i++) {
        f->offsets[i] = count;
        f->labels[i] = (i * 5 + 1) % 7 % classes;
        const int words = i == EMPTY_RECORD ? 0 : (i * 7 + 3) % 10;
        for (int t = 0; t < words; t++)
            f->tokens[count++] = 1 + (i * 11 + t * t * 3 + t) % (VOCABULARY - 1);
    }
    f->offsets[RECORDS] = count;
    f->set.arrays[0] = rig_array("tokens", DATA_I32, count, 1, f->tokens);
    f->set.arrays[1] = rig_array("offsets", DATA_I64, RECORDS + 1, 1, f->offsets);
    f->set.arrays[2] = rig_array("label", DATA_I32, RECORDS, 1, f->labels);
    rig_open(&f->rig, ops, spec, &(struct model_input){.train = &f->set});
    f->rig.set = &f->set;
}

static void feed(struct fixture *f, const int32_t *records, int count)
{
    rig_feed(
        &f->rig,
        &(struct rig_rows){.set = &f->set, .records = records, .count = count, .batch_rows = count},
        true);
}

/* Records first, first + 1, ... */
static void feed_range(struct fixture *f, int first, int count)
{
    int32_t records[RIG_ROWS_MAX];
    for (int i = 0; i < count; i++)
        records[i] = first + i;
    feed(f, records, count);
}

/* ------------------------------------------------------------------ the model in float64 */

static const double *tensor(const struct fixture *f, const double *parameters, size_t p)
{
    size_t count = 0;
    return parameters + f->rig.model->ops->parameters(f->rig.model, &count)[p].offset;
}

/* The words of a record as the model sees them; their number. */
static int words_of(const struct fixture *f, int record, int32_t out[LENGTH])
{
    const int64_t all = f->offsets[record + 1] - f->offsets[record];
    const int kept = all < LENGTH ? (int)all : LENGTH;
    const bool pads = f->rig.spec.model.bilstm.padding == PADDING_COMPUTE;
    const int zeros = pads ? LENGTH - kept : 0;
    for (int t = 0; t < zeros; t++)
        out[t] = 0;
    for (int t = 0; t < kept; t++)
        out[zeros + t] = f->tokens[f->offsets[record + 1] - kept + t];
    return zeros + kept;
}

static void lstm_step(const struct fixture *f, const double *parameters, size_t first, int word,
                      double h[HIDDEN], double c[HIDDEN])
{
    const double *x = tensor(f, parameters, 0) + (ptrdiff_t)word * EMBEDDING;
    const double *w_ih = tensor(f, parameters, first), *w_hh = tensor(f, parameters, first + 1);
    const double *b_ih = tensor(f, parameters, first + 2), *b_hh = tensor(f, parameters, first + 3);
    double gates[4 * HIDDEN];
    for (int j = 0; j < 4 * HIDDEN; j++) {
        gates[j] = b_ih[j] + b_hh[j];
        for (int p = 0; p < EMBEDDING; p++)
            gates[j] += x[p] * w_ih[p * 4 * HIDDEN + j];
        for (int p = 0; p < HIDDEN; p++)
            gates[j] += h[p] * w_hh[p * 4 * HIDDEN + j];
    }
    for (int j = 0; j < HIDDEN; j++) {
        const double i = 1.0 / (1.0 + exp(-gates[j])), g = tanh(gates[2 * HIDDEN + j]);
        const double forget = 1.0 / (1.0 + exp(-gates[HIDDEN + j]));
        c[j] = forget * c[j] + i * g;
        h[j] = tanh(c[j]) / (1.0 + exp(-gates[3 * HIDDEN + j]));
    }
}

static void logits_of(const struct fixture *f, const double *parameters, int record, double out[3])
{
    int32_t words[LENGTH];
    const int count = words_of(f, record, words);
    double h[2][HIDDEN] = {{0.0}}, c[2][HIDDEN] = {{0.0}};
    for (int t = 0; t < count; t++) {
        lstm_step(f, parameters, 1, words[t], h[0], c[0]);
        lstm_step(f, parameters, 5, words[count - 1 - t], h[1], c[1]);
    }
    const int outputs = f->rig.model->score_width;
    const double *weight = tensor(f, parameters, 9), *bias = tensor(f, parameters, 10);
    for (int o = 0; o < outputs; o++) {
        out[o] = bias[o];
        for (int j = 0; j < 2 * HIDDEN; j++)
            out[o] += h[j / HIDDEN][j % HIDDEN] * weight[j * outputs + o];
    }
}

static double probability(const double *logits, int outputs, int label)
{
    if (outputs == 1)
        return 1.0 / (1.0 + exp(label == 1 ? -logits[0] : logits[0]));
    double sum = 0.0;
    for (int o = 0; o < outputs; o++)
        sum += exp(logits[o]);
    return exp(logits[label]) / sum;
}

/* The mean loss of records 0..rows-1. */
static double reference_loss(const struct fixture *f, const double *parameters, int rows)
{
    double loss = 0.0, logits[3];
    for (int r = 0; r < rows; r++) {
        logits_of(f, parameters, r, logits);
        loss -= log(probability(logits, f->rig.model->score_width, f->labels[r]));
    }
    return loss / rows;
}

/* ------------------------------------------------------------------ gradients */

static double *initial_values(struct fixture *f, uint64_t seed)
{
    float *values = calloc(f->rig.count, sizeof(float));
    double *wide = calloc(f->rig.count, sizeof(double));
    assert_non_null(values);
    assert_non_null(wide);
    model_initialise(f->rig.model, seed, values);
    for (size_t i = 0; i < f->rig.count; i++)
        wide[i] = (double)values[i];
    rig_set_parameters(&f->rig, values);
    free(values);
    return wide;
}

static void check_gradients(const struct variant *variant)
{
    static struct fixture f;
    const struct job_spec spec = small_spec(variant);
    fixture_open(&f, &compute_cpu, &spec);
    const int rows = 40; /* two groups */
    double *moved = initial_values(&f, 3);
    float *actual = calloc(f.rig.count, sizeof(float)), sums[MODEL_METRICS_MAX];
    feed_range(&f, 0, rows);

    rig_train(&f.rig);

    rig_get(&f.rig, f.rig.gradients, actual, f.rig.count);
    rig_get(&f.rig, f.rig.sums, sums, MODEL_METRICS_MAX);
    assert_true(fabs((double)sums[0] / rows - reference_loss(&f, moved, rows)) < 1e-6);
    for (size_t i = 0; i < f.rig.count; i++) {
        const double step = 1e-5, before = moved[i];
        moved[i] = before + step;
        const double above = reference_loss(&f, moved, rows);
        moved[i] = before - step;
        const double expected = (above - reference_loss(&f, moved, rows)) / (2.0 * step);
        moved[i] = before;
        if (fabs((double)actual[i] - expected) > 1e-7 + 1e-5 * fabs(expected))
            fail_msg("gradient %zu is %.9g, expected %.9g", i, (double)actual[i], expected);
    }
    free(moved);
    free(actual);
    rig_close(&f.rig);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(variants); i++)
        check_gradients(&variants[i]);
}

struct told {
    size_t offsets[8], count;
};

static enum status note_ready(void *context, size_t offset, struct error *err)
{
    (void)err;
    struct told *told = context;
    assert_true(told->count < COUNT_OF(told->offsets));
    told->offsets[told->count++] = offset;
    return STATUS_OK;
}

static void gradients_are_told_final_from_the_head_down_once_a_call(void **state)
{
    (void)state;
    static struct fixture f;
    struct told told = {.count = 0};
    const struct job_spec spec = small_spec(&variants[1]);
    fixture_open(&f, &compute_cpu, &spec);
    free(initial_values(&f, 3));
    feed_range(&f, 0, 2 * TEXT_GROUP_ROWS - 20);
    const struct model_listener listener = {note_ready, &told};
    const struct model_call call = {.shape = f.rig.shape,
                                    .set = &f.set,
                                    .head =
                                        (const struct model_feed_head *)(const void *)f.rig.block,
                                    .feed = f.rig.block + sizeof(struct model_feed_head),
                                    .listener = &listener};
    assert_ok(model_bilstm.train_step(f.rig.model, f.rig.parameters, f.rig.gradients, f.rig.sums,
                                      &call, &f.rig.err),
              &f.rig.err);
    size_t count = 0;
    const struct parameter *table = model_bilstm.parameters(f.rig.model, &count);
    assert_int_equal(told.count, 3);
    assert_int_equal(told.offsets[0], table[9].offset); /* output.weight */
    assert_int_equal(told.offsets[1], table[1].offset); /* the LSTM */
    assert_int_equal(told.offsets[2], 0);               /* the words */
    rig_close(&f.rig);
}

static void twenty_steps_are_pytorchs(void **state)
{
    (void)state;
    static const char *const names[] = {"bilstm_sigmoid_skip", "bilstm_sigmoid_compute",
                                        "bilstm_softmax_skip", "bilstm_softmax_sgd"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        trajectory_check(names[i], &compute_cpu);
        trajectory_check(names[i], &compute_far);
    }
}

/* ------------------------------------------------------------------ scores */

static void scores_come_in_the_order_of_the_records(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT_OF(variants); v++) {
        static struct fixture f;
        const struct job_spec spec = small_spec(&variants[v]);
        fixture_open(&f, &compute_cpu, &spec);
        double *values = initial_values(&f, 5);
        const int outputs = f.rig.model->score_width, rows = RECORDS - 1;
        float scores[RIG_ROWS_MAX * 3];
        int32_t records[RIG_ROWS_MAX];
        for (int i = 0; i < rows; i++)
            records[i] = (i * 17 + 2) % RECORDS;
        feed(&f, records, rows);

        rig_evaluate(&f.rig, true);

        rig_get(&f.rig, f.rig.scores, scores, (size_t)(rows * outputs));
        for (int i = 0; i < rows; i++) {
            double logits[3];
            logits_of(&f, values, records[i], logits);
            for (int o = 0; o < outputs; o++)
                assert_true(fabs((double)scores[i * outputs + o] -
                                 probability(logits, outputs, outputs == 1 ? 1 : o)) < 1e-6);
        }
        free(values);
        rig_close(&f.rig);
    }
}

static float score_among(struct fixture *f, int record, int others)
{
    float score = 0.0F;
    int32_t records[RIG_ROWS_MAX];
    for (int i = 0; i < others; i++)
        records[i] = (record + 1 + i) % RECORDS;
    records[others] = record;
    feed(f, records, others + 1);
    rig_evaluate(&f->rig, true);
    rig_get(&f->rig, f->rig.scores + others, &score, 1);
    return score;
}

static void a_texts_score_does_not_depend_on_the_other_texts(void **state)
{
    (void)state;
    static struct fixture f;
    const struct job_spec spec = small_spec(&variants[0]);
    fixture_open(&f, &compute_cpu, &spec);
    free(initial_values(&f, 5));
    for (int record = 0; record < RECORDS; record += 7) {
        const float alone = score_among(&f, record, 0);
        for (int others = 1; others < RECORDS; others += 5)
            assert_true(fabsf(score_among(&f, record, others) - alone) < 1e-6F);
    }
    rig_close(&f.rig);
}

static void a_text_without_words_is_judged_by_the_bias_alone(void **state)
{
    (void)state;
    static struct fixture f;
    const struct job_spec spec = small_spec(&variants[0]);
    fixture_open(&f, &compute_cpu, &spec);
    double *values = initial_values(&f, 5);
    const double expected = 1.0 / (1.0 + exp(-*tensor(&f, values, 10)));
    assert_true(fabs((double)score_among(&f, EMPTY_RECORD, 0) - expected) < 1e-7);
    assert_true(fabs((double)score_among(&f, EMPTY_RECORD, 40) - expected) < 1e-7);
    free(values);
    rig_close(&f.rig);
}

/* ------------------------------------------------------------------ packing */

static void texts_lie_step_after_step_longest_first(void **state)
{
    (void)state;
    const int32_t tokens[] = {9, 1, 2, 3, 4, 5, 6, 7};
    const int64_t offsets[] = {0, 1, 1, 5, 7, 8};
    const int32_t labels[] = {10, 11, 12, 13, 14}, records[] = {0, 1, 2, 3, 4};
    const struct text_source source = {
        .tokens = tokens, .offsets = offsets, .labels = labels, .length = 3, .vocabulary = 10};
    const int32_t expected[] = {12, 13, 10, 14, 11, 3, 2, 1, 1, 0, 2,
                                4,  0,  1,  3,  2,  5, 9, 7, 3, 6, 4};
    int32_t block[64];
    struct text_layout layout;
    struct error err = {.status = STATUS_OK};

    assert_ok(text_pack(&source, records, 5, block, &layout, &err), &err);

    assert_int_equal(layout.steps, 3);
    assert_int_equal(layout.tokens, 7);
    assert_int_equal(layout.count, COUNT_OF(expected));
    assert_memory_equal(block, expected, sizeof(expected));
}

static void padded_texts_have_zeros_in_front(void **state)
{
    (void)state;
    const int32_t tokens[] = {9, 8, 7}, records[] = {1, 0};
    const int64_t offsets[] = {0, 1, 3};
    const struct text_source source = {
        .tokens = tokens, .offsets = offsets, .length = 3, .vocabulary = 10, .pads = true};
    const int32_t expected[] = {0, 0, 3, 3, 0, 1, 0, 0, 8, 0, 7, 9};
    int32_t block[64];
    struct text_layout layout;
    struct error err = {.status = STATUS_OK};
    assert_ok(text_pack(&source, records, 2, block, &layout, &err), &err);
    assert_int_equal(layout.count, COUNT_OF(expected));
    assert_memory_equal(block, expected, sizeof(expected));
}

static void what_a_group_does_not_fill_repeats_a_token_of_the_call(void **state)
{
    (void)state;
    enum { ROWS = TEXT_GROUP_ROWS + 1, LAST = TEXT_GROUP_ROWS };
    int32_t tokens[2 * ROWS], records[ROWS];
    int64_t offsets[ROWS + 1];
    for (int i = 0; i < ROWS; i++) {
        records[i] = i;
        offsets[i] = 2 * i;
        tokens[2 * i] = tokens[2 * i + 1] = 5;
    }
    offsets[ROWS] = 2 * ROWS - 1; /* the last text has one word */
    const struct text_source source = {
        .tokens = tokens, .offsets = offsets, .length = 9, .vocabulary = 6};
    static int32_t block[1024];
    struct text_layout layout;
    struct error err = {.status = STATUS_OK};
    assert_ok(text_pack(&source, records, ROWS, block, &layout, &err), &err);
    assert_int_equal(layout.groups, 2);
    assert_int_equal(layout.tokens, 2 * TEXT_GROUP_ROWS);
    assert_int_equal(block[layout.lengths + LAST], 1);
    for (int i = 0; i < layout.tokens; i++)
        assert_int_equal(block[layout.ids + (size_t)(layout.tokens + i)], 5);
}

static void a_token_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    const int32_t tokens[] = {1, 10}, records[] = {0};
    const int64_t offsets[] = {0, 2};
    const struct text_source source = {
        .tokens = tokens, .offsets = offsets, .length = 3, .vocabulary = 10};
    int32_t block[64];
    struct text_layout layout;
    struct error err = {.status = STATUS_OK};
    assert_fails(text_pack(&source, records, 1, block, &layout, &err), &err, STATUS_CORRUPT,
                 "record 0 has token 10, the vocabulary has 10 words");
}

/* ------------------------------------------------------------------ sparse tables, far devices */

static void a_step_flags_the_words_of_its_texts_and_no_others(void **state)
{
    (void)state;
    static struct fixture f;
    struct job_spec spec = small_spec(&variants[0]);
    spec.optimizer.embeddings = EMBEDDING_SPARSE;
    fixture_open(&f, &compute_cpu, &spec);
    free(initial_values(&f, 5));
    float flags[VOCABULARY];
    feed_range(&f, 5, 4);
    bool expected[VOCABULARY] = {false};
    for (int r = 5; r < 9; r++) {
        int32_t words[LENGTH];
        const int count = words_of(&f, r, words);
        for (int t = 0; t < count; t++)
            expected[words[t]] = true;
    }

    rig_train(&f.rig);

    assert_int_equal(f.rig.flag_count, VOCABULARY);
    rig_get(&f.rig, f.rig.gradients + f.rig.count, flags, VOCABULARY);
    for (int w = 0; w < VOCABULARY; w++)
        assert_int_equal(flags[w] > 0.0F, expected[w]);
    rig_close(&f.rig);
}

static void check_far(const struct variant *variant, enum embedding_update embeddings)
{
    static struct fixture near, far;
    struct job_spec spec = small_spec(variant);
    spec.optimizer.embeddings = (int)embeddings;
    fixture_open(&near, &compute_cpu, &spec);
    fixture_open(&far, &compute_far, &spec);
    float *expected = calloc(near.rig.count, sizeof(float));
    float *actual = calloc(near.rig.count, sizeof(float));
    float expected_sums[MODEL_METRICS_MAX], actual_sums[MODEL_METRICS_MAX];
    rig_initialise(&near.rig, 11);
    rig_initialise(&far.rig, 11);

    rig_train_with(&near.rig, optim_registry[OPTIMIZER_ADAM], 30, 40, expected, expected_sums);
    rig_train_with(&far.rig, optim_registry[OPTIMIZER_ADAM], 30, 40, actual, actual_sums);

    assert_memory_equal(actual, expected, near.rig.count * sizeof(float));
    assert_memory_equal(actual_sums, expected_sums, sizeof(actual_sums));
    assert_true(compute_far_replays(far.rig.device.compute) > 0);
    free(expected);
    free(actual);
    rig_close(&near.rig);
    rig_close(&far.rig);
}

static void training_on_a_far_device_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        check_far(&variants[i], EMBEDDING_DENSE);
        check_far(&variants[i], EMBEDDING_SPARSE);
    }
}

/* ------------------------------------------------------------------ initial values */

static void initial_values_fill_pytorchs_intervals(void **state)
{
    (void)state;
    static struct fixture f;
    const struct job_spec spec = small_spec(&variants[1]);
    fixture_open(&f, &compute_cpu, &spec);
    double *values = initial_values(&f, 1);
    size_t count = 0;
    const struct parameter *table = f.rig.model->ops->parameters(f.rig.model, &count);
    assert_int_equal(count, 11);
    for (size_t p = 0; p < count; p++) {
        const double bound = p == 0  ? 0.05
                             : p < 9 ? 1.0 / sqrt((double)HIDDEN)
                                     : 1.0 / sqrt(2.0 * HIDDEN);
        double largest = 0.0;
        for (size_t i = 0; i < table[p].count; i++)
            largest = fmax(largest, fabs(values[table[p].offset + i]));
        assert_true(largest <= bound * (1.0 + 1e-6));
        assert_true(largest > 0.3 * bound);
    }
    free(values);
    rig_close(&f.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(gradients_are_told_final_from_the_head_down_once_a_call),
        cmocka_unit_test(twenty_steps_are_pytorchs),
        cmocka_unit_test(scores_come_in_the_order_of_the_records),
        cmocka_unit_test(a_texts_score_does_not_depend_on_the_other_texts),
        cmocka_unit_test(a_text_without_words_is_judged_by_the_bias_alone),
        cmocka_unit_test(texts_lie_step_after_step_longest_first),
        cmocka_unit_test(padded_texts_have_zeros_in_front),
        cmocka_unit_test(what_a_group_does_not_fill_repeats_a_token_of_the_call),
        cmocka_unit_test(a_token_outside_the_vocabulary_is_refused),
        cmocka_unit_test(a_step_flags_the_words_of_its_texts_and_no_others),
        cmocka_unit_test(training_on_a_far_device_gives_the_same_bits),
        cmocka_unit_test(initial_values_fill_pytorchs_intervals),
    };
    return cmocka_run_group_tests_name("bilstm", tests, NULL, NULL);
}
