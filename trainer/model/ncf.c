/*
 * ncf.c - neural collaborative filtering (He, Liao, Zhang, Nie, Hu, Chua: "Neural Collaborative
 * Filtering", WWW 2017): which items would this user take, learned from what users have taken.
 *
 *     gmf    output(gmf_user[u] * gmf_item[i])                            element by element
 *     mlp    output(mlp<n>(... relu(mlp0(mlp_user[u] | mlp_item[i]))))    ReLU behind each layer
 *     neumf  output(gmf's product | mlp's last layer)
 *
 * Trained on pairs that were met (label 1) and `negatives` others for each (label 0), by binary cross
 * entropy. Record r of an epoch is positive r / (1 + negatives) itself, or a negative of its user: a pure
 * function of (seed, epoch, r), so it does not matter which rank makes it.
 *
 * Evaluated on candidates: each user's first is the one that should come first (HR@k, NDCG@k). There is
 * no loss then: its level would say more about the number of candidates than about the model.
 *
 * Predictions: evaluate() on a set with "user" (n) and "candidates" (n, width) gives the probability
 * of each candidate, (n, width); entries whose candidate is -1 mean nothing. The width is that of
 * model_input.eval at open(); its training part may have no arrays when its fit says the numbers of users
 * and items.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "trainer/model/model.h"
#include "trainer/model/negatives.h"

#define TABLES_MAX     4
#define PARAMETERS_MAX (TABLES_MAX + 2 * MODEL_LAYERS_MAX)
#define EMBEDDING_STD  0.01F /* the authors' */
#define FILL_ROWS      128   /* of a feed that are made side by side */
#define EVAL_PAIRS     2048  /* scored at once, in whole rows; fixed, so that scores repeat */

enum { SUM_LOSS, SUM_RIGHT, SUM_RANKED, SUM_HITS, SUM_GAIN, SUM_COUNT };

/* The rows of the two tables. */
struct ncf_size {
    int64_t users, items;
};

struct ncf {
    struct model model;
    struct device device;
    struct ncf_size size;
    bool has_gmf, has_mlp;
    int factors;                 /* of GMF's vectors; 0 without */
    int layers;                  /* dense layers of the perceptron */
    int width[MODEL_LAYERS_MAX]; /* width[l]: input of layer l; of [layers]: its output */
    int head;                    /* input of the output layer */
    int negatives;               /* of each positive */
    int top_k;
    int candidates;                     /* of a record that is evaluated; 0: none are */
    struct negatives *met;              /* NULL: there is nothing to train on */
    float *values[MODEL_LAYERS_MAX];    /* values[l] (pairs, width[l]); the last may be `input` */
    float *gradients[MODEL_LAYERS_MAX]; /* likewise */
    float *input, *d_input;             /* of the output layer, (pairs, head) */
    float *logits, *d_logits;           /* (pairs) */
    struct parameter parameters[PARAMETERS_MAX];
    char names[PARAMETERS_MAX][MODEL_NAME_BYTES];
    size_t parameter_count;
    size_t table_rows;              /* of the tables described so far */
    size_t gmf, mlp, dense, output; /* the first parameter of each part */
    char metric_names[2][MODEL_NAME_BYTES];
};

/* The pairs of a call, on the device. */
struct pairs {
    const int32_t *users, *items; /* (count) */
    int count;
};

static void ncf_close(struct model *model)
{
    struct ncf *ncf = (struct ncf *)model;
    if (ncf == NULL)
        return;
    const struct device device = ncf->device;
    for (size_t l = 0; l < MODEL_LAYERS_MAX; l++) {
        device.ops->release(device.compute, ncf->values[l]);
        device.ops->release(device.compute, ncf->gradients[l]);
    }
    float *const owned[] = {ncf->input, ncf->d_input, ncf->logits, ncf->d_logits};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        device.ops->release(device.compute, owned[i]);
    negatives_close(ncf->met);
    free(ncf);
}

static void ncf_cleanup(struct ncf **ncf)
{
    ncf_close(*ncf == NULL ? NULL : &(*ncf)->model);
}

/* ------------------------------------------------------------------ the data */

static enum status check_ids(const struct dataset *set, const char *name, int64_t first_valid,
                             int64_t limit, struct error *err)
{
    const struct data_array *array = dataset_array(set, name);
    const int32_t *ids = array == NULL ? NULL : array->values;
    const int64_t count = array == NULL ? 0 : array->rows * array->width;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < first_valid || ids[i] >= limit)
            return error_set(err, STATUS_INVALID, "record %lld: %s is %d, expected %lld..%lld",
                             (long long)(i / array->width), name, ids[i], (long long)first_valid,
                             (long long)limit - 1);
    }
    return STATUS_OK;
}

static int64_t largest_id(const struct dataset *set, const char *name)
{
    const struct data_array *array = set == NULL ? NULL : dataset_array(set, name);
    const int32_t *ids = array == NULL ? NULL : array->values;
    const int64_t count = array == NULL ? 0 : array->rows * array->width;
    int64_t largest = -1;
    for (int64_t i = 0; i < count; i++)
        largest = ids[i] > largest ? ids[i] : largest;
    return largest;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* As the training part's fit says; without one, 1 + the largest number of both parts. */
static enum status take_size(const struct model_input *input, struct ncf_size *out,
                             struct error *err)
{
    const struct dataset *train = input->train, *eval = input->eval;
    if (train->fit_bytes == 0) {
        out->users = 1 + larger(largest_id(train, "user"), largest_id(eval, "user"));
        out->items = 1 + larger(largest_id(train, "item"), largest_id(eval, "candidates"));
    } else {
        CLEANUP(json_cleanup) json_t *fit = NULL;
        TRY(json_parse(train->fit, train->fit_bytes, &fit, err));
        out->users = json_integer_value(json_object_get(fit, "users"));
        out->items = json_integer_value(json_object_get(fit, "items"));
    }
    if (out->users < 1 || out->items < 1 || out->users > INT32_MAX || out->items > INT32_MAX)
        return error_set(err, STATUS_INVALID, "%lld users and %lld items: expected 1..%d of each",
                         (long long)out->users, (long long)out->items, INT32_MAX);
    return STATUS_OK;
}

static enum status open_training(struct ncf *ncf, const struct dataset *train, struct error *err)
{
    const struct data_array *user = dataset_array(train, "user");
    const struct data_array *item = dataset_array(train, "item");
    if (user == NULL || item == NULL)
        return STATUS_OK;
    TRY(check_ids(train, "user", 0, ncf->size.users, err));
    TRY(check_ids(train, "item", 0, ncf->size.items, err));
    if (train->count > DATA_RECORDS_MAX / (1 + ncf->negatives))
        return error_set(err, STATUS_INVALID,
                         "%lld interactions with %d negatives each: more than %d records",
                         (long long)train->count, ncf->negatives, DATA_RECORDS_MAX);
    TRY(negatives_open(user->values, item->values, train->count, ncf->size.users, ncf->size.items,
                       &ncf->met, err));
    ncf->model.host_bytes = negatives_bytes(ncf->met);
    return STATUS_OK;
}

static enum status open_evaluation(struct ncf *ncf, const struct dataset *eval, struct error *err)
{
    if (eval == NULL)
        return STATUS_OK;
    const struct data_array *candidates = dataset_array(eval, "candidates");
    if (candidates == NULL || dataset_array(eval, "user") == NULL)
        return error_set(err, STATUS_INVALID,
                         "the evaluation part has no candidates to rank: expected negatives");
    TRY(check_ids(eval, "user", 0, ncf->size.users, err));
    TRY(check_ids(eval, "candidates", -1, ncf->size.items, err));
    ncf->candidates = (int)candidates->width;
    ncf->model.score_width = ncf->candidates;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ parameters */

static struct parameter *add_parameter(struct ncf *ncf, const char *name)
{
    const size_t p = ncf->parameter_count++;
    struct parameter *parameter = &ncf->parameters[p];
    const struct parameter *before = p == 0 ? NULL : &ncf->parameters[p - 1];
    (void)snprintf(ncf->names[p], MODEL_NAME_BYTES, "%s", name);
    *parameter = (struct parameter){.name = ncf->names[p],
                                    .offset = before == NULL ? 0 : before->offset + before->count};
    return parameter;
}

static void add_table(struct ncf *ncf, const char *name, int64_t rows, int width)
{
    struct parameter *table = add_parameter(ncf, name);
    table->dims = 2;
    table->shape[0] = rows;
    table->shape[1] = width;
    table->count = (size_t)rows * (size_t)width;
    table->init = PARAMETER_NORMAL;
    table->bound = EMBEDDING_STD;
    table->is_table = true;
    table->flags = ncf->table_rows;
    ncf->table_rows += (size_t)rows;
}

static void add_dense(struct ncf *ncf, const char *name, int in, int out)
{
    const float bound = (float)(1.0 / sqrt((double)in));
    char text[MODEL_NAME_BYTES];
    (void)snprintf(text, sizeof(text), "%s.weight", name);
    struct parameter *weight = add_parameter(ncf, text);
    weight->dims = 2;
    weight->shape[0] = in;
    weight->shape[1] = out;
    weight->count = (size_t)in * (size_t)out;
    weight->transposed = true;
    (void)snprintf(text, sizeof(text), "%s.bias", name);
    struct parameter *bias = add_parameter(ncf, text);
    bias->dims = 1;
    bias->shape[0] = out;
    bias->count = (size_t)out;
    weight->init = bias->init = PARAMETER_UNIFORM;
    weight->bound = bias->bound = bound;
}

static void describe(struct ncf *ncf)
{
    ncf->gmf = ncf->parameter_count;
    if (ncf->has_gmf) {
        add_table(ncf, "gmf_user.weight", ncf->size.users, ncf->factors);
        add_table(ncf, "gmf_item.weight", ncf->size.items, ncf->factors);
    }
    ncf->mlp = ncf->parameter_count;
    if (ncf->has_mlp) {
        add_table(ncf, "mlp_user.weight", ncf->size.users, ncf->width[0] / 2);
        add_table(ncf, "mlp_item.weight", ncf->size.items, ncf->width[0] / 2);
    }
    ncf->dense = ncf->parameter_count;
    for (int l = 0; l < ncf->layers; l++) {
        char name[MODEL_NAME_BYTES];
        (void)snprintf(name, sizeof(name), "mlp%d", l);
        add_dense(ncf, name, ncf->width[l], ncf->width[l + 1]);
    }
    ncf->output = ncf->parameter_count;
    add_dense(ncf, "output", ncf->head, 1);
}

/* ------------------------------------------------------------------ open */

static void take_spec(struct ncf *ncf, const struct model_spec *spec)
{
    ncf->has_gmf = spec->ncf.variant != NCF_MLP;
    ncf->has_mlp = spec->ncf.variant != NCF_GMF;
    ncf->negatives = (int)spec->ncf.negatives;
    ncf->top_k = (int)spec->ncf.top_k;
    ncf->factors = ncf->has_gmf ? (int)spec->ncf.factors : 0;
    ncf->head = ncf->factors;
    if (ncf->has_mlp) {
        ncf->layers = (int)spec->ncf.layer_count - 1;
        for (int l = 0; l <= ncf->layers; l++)
            ncf->width[l] = (int)spec->ncf.layers[l];
        ncf->head += ncf->width[ncf->layers];
    }
    (void)snprintf(ncf->metric_names[0], MODEL_NAME_BYTES, "hr_at_%d", ncf->top_k);
    (void)snprintf(ncf->metric_names[1], MODEL_NAME_BYTES, "ndcg_at_%d", ncf->top_k);
}

static enum status allocate_floats(const struct ncf *ncf, size_t count, float **out,
                                   struct error *err)
{
    void *memory = NULL;
    TRY(ncf->device.ops->alloc(ncf->device.compute, count * sizeof(float), &memory, err));
    *out = memory;
    return STATUS_OK;
}

static enum status allocate(struct ncf *ncf, int64_t rows_max, struct error *err)
{
    const size_t pairs =
        (size_t)larger(rows_max, ncf->candidates == 0 ? 0 : larger(ncf->candidates, EVAL_PAIRS));
    for (int l = 0; ncf->has_mlp && l <= ncf->layers; l++) {
        const size_t floats = pairs * (size_t)ncf->width[l];
        TRY(allocate_floats(ncf, floats, &ncf->values[l], err));
        TRY(allocate_floats(ncf, floats, &ncf->gradients[l], err));
    }
    TRY(allocate_floats(ncf, pairs * (size_t)ncf->head, &ncf->input, err));
    TRY(allocate_floats(ncf, pairs * (size_t)ncf->head, &ncf->d_input, err));
    TRY(allocate_floats(ncf, pairs, &ncf->logits, err));
    return allocate_floats(ncf, pairs, &ncf->d_logits, err);
}

static enum status ncf_open(const struct job_spec *spec, const struct model_input *input,
                            struct device device, struct model **out, struct error *err)
{
    CLEANUP(ncf_cleanup) struct ncf *ncf = calloc(1, sizeof(*ncf));
    if (ncf == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open ncf");
    ncf->model.ops = model_registry[MODEL_NCF];
    ncf->device = device;
    take_spec(ncf, &spec->model);
    TRY(take_size(input, &ncf->size, err));
    TRY(open_training(ncf, input->train, err));
    TRY(open_evaluation(ncf, input->eval, err));
    describe(ncf);
    TRY(allocate(ncf, input->rows_max, err));
    *out = &TAKE(ncf)->model;
    return STATUS_OK;
}

static const struct parameter *ncf_parameters(const struct model *model, size_t *out_count)
{
    const struct ncf *ncf = (const struct ncf *)model;
    *out_count = ncf->parameter_count;
    return ncf->parameters;
}

/* ------------------------------------------------------------------ what the device is fed */

static int64_t ncf_records(const struct model *model, const struct dataset *set, bool training)
{
    const struct ncf *ncf = (const struct ncf *)model;
    return training ? set->count * (1 + ncf->negatives) : set->count;
}

static size_t ncf_feed_bytes(const struct model *model, int64_t rows)
{
    const struct ncf *ncf = (const struct ncf *)model;
    const int64_t training = 3, evaluation = 2 * (int64_t)ncf->candidates;
    return (size_t)rows * (size_t)larger(training, evaluation) * sizeof(int32_t);
}

/* Rows first..first+count-1 of a call; count is at most FILL_ROWS. */
static void fill_rows(const struct ncf *ncf, const struct model_rows *rows, int first, int count,
                      int32_t *feed)
{
    const int32_t *user = dataset_array(rows->set, "user")->values;
    const int32_t *item = dataset_array(rows->set, "item")->values;
    const int32_t *records = rows->records + first;
    int32_t *users = feed + first, *items = users + rows->count, *labels = items + rows->count;
    const uint32_t group = 1 + (uint32_t)ncf->negatives;
    uint32_t positives[FILL_ROWS];
    for (int i = 0; i < count; i++) { /* records come in random order */
        positives[i] = (uint32_t)records[i] / group;
        labels[i] = positives[i] * group == (uint32_t)records[i];
        __builtin_prefetch(user + positives[i]);
        __builtin_prefetch(item + positives[i]);
    }
    for (int i = 0; i < count; i++)
        users[i] = user[positives[i]];
    negatives_draw(ncf->met, philox_key_of(rows->seed, PHILOX_NEGATIVES), rows->epoch, records,
                   users, count, items);
    for (int i = 0; i < count; i++)
        items[i] = labels[i] == 1 ? item[positives[i]] : items[i];
}

/* users (count), items (count), labels (count) */
static enum status fill_training(const struct ncf *ncf, const struct model_rows *rows,
                                 int32_t *feed, struct error *err)
{
    if (ncf->met == NULL)
        return error_set(err, STATUS_INVALID, "the training part has no interactions");
    for (int done = 0; done < rows->count; done += FILL_ROWS) {
        const int left = rows->count - done;
        fill_rows(ncf, rows, done, left < FILL_ROWS ? left : FILL_ROWS, feed);
    }
    return STATUS_OK;
}

/*
 * users (count, candidates), items (count, candidates). A candidate that is left out becomes the first
 * one once more, which is not ranked against itself.
 */
static enum status fill_evaluation(const struct ncf *ncf, const struct model_rows *rows,
                                   int32_t *feed, struct error *err)
{
    const struct data_array *user = dataset_array(rows->set, "user");
    const struct data_array *candidates = dataset_array(rows->set, "candidates");
    if (user == NULL || candidates == NULL || candidates->width != ncf->candidates)
        return error_set(err, STATUS_INVALID, "expected %d candidates a record", ncf->candidates);
    const size_t width = (size_t)ncf->candidates;
    int32_t *users = feed, *items = users + (size_t)rows->count * width;
    for (size_t i = 0; i < (size_t)rows->count; i++) {
        const size_t record = (size_t)rows->records[i];
        const int32_t *from = (const int32_t *)candidates->values + record * width;
        const int32_t instead = from[0] < 0 ? 0 : from[0];
        for (size_t c = 0; c < width; c++) {
            users[i * width + c] = ((const int32_t *)user->values)[record];
            items[i * width + c] = from[c] < 0 ? instead : from[c];
        }
    }
    return STATUS_OK;
}

static enum status ncf_fill(const struct model *model, const struct model_rows *rows, bool training,
                            void *feed, size_t *out_bytes, struct model_shape *out,
                            struct error *err)
{
    const struct ncf *ncf = (const struct ncf *)model;
    TRY(training ? fill_training(ncf, rows, feed, err) : fill_evaluation(ncf, rows, feed, err));
    const int numbers = training ? 3 : 2 * ncf->candidates;
    *out_bytes = (size_t)rows->count * (size_t)numbers * sizeof(int32_t);
    *out = (struct model_shape){.rows = rows->count, .dims = {training ? 0 : ncf->candidates}};
    return STATUS_OK;
}

/* ------------------------------------------------------------------ forward and backward */

static size_t offset_of(const struct ncf *ncf, size_t parameter)
{
    return ncf->parameters[parameter].offset;
}

/* The two vectors of each pair side by side, through the layers, into the right part of `input`. */
static enum status forward_mlp(struct ncf *ncf, const float *parameters, struct pairs pairs,
                               struct error *err)
{
    const struct compute_ops *ops = ncf->device.ops;
    struct compute *compute = ncf->device.compute;
    const int width = ncf->width[0], half = width / 2, last = ncf->width[ncf->layers];
    TRY(ops->embedding_gather(compute, ncf->values[0], width, parameters + offset_of(ncf, ncf->mlp),
                              pairs.users, 1, pairs.count, half, err));
    TRY(ops->embedding_gather(compute, ncf->values[0] + half, width,
                              parameters + offset_of(ncf, ncf->mlp + 1), pairs.items, 1,
                              pairs.count, half, err));
    for (int l = 0; l < ncf->layers; l++) {
        const size_t weight = ncf->dense + 2 * (size_t)l;
        TRY(ops->dense_forward(compute, ncf->values[l + 1], ncf->values[l],
                               parameters + offset_of(ncf, weight),
                               parameters + offset_of(ncf, weight + 1), pairs.count,
                               ncf->width[l + 1], ncf->width[l], COMPUTE_RELU, err));
    }
    return ops->copy_rows(compute, ncf->input + ncf->factors, ncf->head, ncf->values[ncf->layers],
                          last, pairs.count, last, err);
}

/* Fills `logits`. */
static enum status forward(struct ncf *ncf, const float *parameters, struct pairs pairs,
                           struct error *err)
{
    const struct compute_ops *ops = ncf->device.ops;
    struct compute *compute = ncf->device.compute;
    if (ncf->has_gmf)
        TRY(ops->embedding_product(compute, ncf->input, ncf->head,
                                   parameters + offset_of(ncf, ncf->gmf), pairs.users,
                                   parameters + offset_of(ncf, ncf->gmf + 1), pairs.items,
                                   pairs.count, ncf->factors, err));
    if (ncf->has_mlp)
        TRY(forward_mlp(ncf, parameters, pairs, err));
    return ops->dense_forward(compute, ncf->logits, ncf->input,
                              parameters + offset_of(ncf, ncf->output),
                              parameters + offset_of(ncf, ncf->output + 1), pairs.count, 1,
                              ncf->head, COMPUTE_LINEAR, err);
}

static float *flags_of(const struct ncf *ncf, const struct model_call *call, size_t table)
{
    return call->flags == NULL ? NULL : call->flags + ncf->parameters[table].flags;
}

static enum status backward_mlp(struct ncf *ncf, const float *parameters, float *gradients,
                                const struct model_call *call, struct pairs pairs,
                                struct error *err)
{
    const struct compute_ops *ops = ncf->device.ops;
    struct compute *compute = ncf->device.compute;
    const int width = ncf->width[0], half = width / 2, last = ncf->width[ncf->layers];
    TRY(ops->copy_rows(compute, ncf->gradients[ncf->layers], last, ncf->d_input + ncf->factors,
                       ncf->head, pairs.count, last, err));
    for (int l = ncf->layers - 1; l >= 0; l--) {
        const size_t weight = offset_of(ncf, ncf->dense + 2 * (size_t)l);
        const size_t bias = offset_of(ncf, ncf->dense + 2 * (size_t)l + 1);
        TRY(ops->dense_backward(compute, ncf->gradients[l], gradients + weight, gradients + bias,
                                ncf->gradients[l + 1], ncf->values[l + 1], ncf->values[l],
                                parameters + weight, pairs.count, ncf->width[l + 1], ncf->width[l],
                                COMPUTE_RELU, err));
    }
    TRY(model_ready(call, offset_of(ncf, ncf->dense), err));
    TRY(ops->embedding_scatter_add(compute, gradients + offset_of(ncf, ncf->mlp + 1),
                                   flags_of(ncf, call, ncf->mlp + 1), ncf->gradients[0] + half,
                                   width, pairs.items, 1, pairs.count, half, err));
    TRY(ops->embedding_scatter_add(compute, gradients + offset_of(ncf, ncf->mlp),
                                   flags_of(ncf, call, ncf->mlp), ncf->gradients[0], width,
                                   pairs.users, 1, pairs.count, half, err));
    return model_ready(call, offset_of(ncf, ncf->mlp), err);
}

static enum status ncf_train_step(struct model *model, const float *parameters, float *gradients,
                                  float *sums, const struct model_call *call, struct error *err)
{
    struct ncf *ncf = (struct ncf *)model;
    const struct compute_ops *ops = ncf->device.ops;
    struct compute *compute = ncf->device.compute;
    const int32_t *users = call->feed;
    const int rows = call->shape.rows;
    const struct pairs pairs = {.users = users, .items = users + rows, .count = rows};
    const size_t weight = offset_of(ncf, ncf->output), bias = offset_of(ncf, ncf->output + 1);
    TRY(forward(ncf, parameters, pairs, err));
    TRY(ops->sigmoid_cross_entropy(compute, &sums[SUM_LOSS], &sums[SUM_RIGHT], ncf->d_logits,
                                   ncf->logits, pairs.items + rows, NULL, &call->head->loss_scale,
                                   rows, err));
    TRY(ops->dense_backward(compute, ncf->d_input, gradients + weight, gradients + bias,
                            ncf->d_logits, ncf->logits, ncf->input, parameters + weight, rows, 1,
                            ncf->head, COMPUTE_LINEAR, err));
    if (ncf->has_mlp)
        TRY(backward_mlp(ncf, parameters, gradients, call, pairs, err));
    if (!ncf->has_gmf)
        return STATUS_OK;
    const size_t user = offset_of(ncf, ncf->gmf), item = offset_of(ncf, ncf->gmf + 1);
    TRY(ops->embedding_product_backward(compute, gradients + user, flags_of(ncf, call, ncf->gmf),
                                        gradients + item, flags_of(ncf, call, ncf->gmf + 1),
                                        ncf->d_input, ncf->head, parameters + user, pairs.users,
                                        parameters + item, pairs.items, rows, ncf->factors, err));
    return model_ready(call, user, err);
}

static enum status ncf_evaluate(struct model *model, const float *parameters, float *sums,
                                float *scores, const struct model_call *call, struct error *err)
{
    struct ncf *ncf = (struct ncf *)model;
    const struct compute_ops *ops = ncf->device.ops;
    struct compute *compute = ncf->device.compute;
    const int width = call->shape.dims[0], rows = call->shape.rows;
    const int rows_at_once = width < EVAL_PAIRS ? EVAL_PAIRS / width : 1;
    const int32_t *users = call->feed, *items = users + (size_t)rows * (size_t)width;
    for (int row = 0; row < rows; row += rows_at_once) {
        const int now = rows - row < rows_at_once ? rows - row : rows_at_once;
        const size_t first = (size_t)row * (size_t)width;
        const struct pairs pairs = {
            .users = users + first, .items = items + first, .count = now * width};
        TRY(forward(ncf, parameters, pairs, err));
        TRY(ops->rank_first(compute, &sums[SUM_RANKED], ncf->logits, pairs.items, now, width,
                            ncf->top_k, err));
        if (scores != NULL)
            TRY(ops->probabilities(compute, scores + first, ncf->logits, pairs.count, 1, err));
    }
    return STATUS_OK;
}

/* The sums are of training rows, or of ranked ones. */
static int ncf_metrics(const struct model *model, const double *sums, double rows,
                       const char *names[MODEL_METRICS_MAX], double values[MODEL_METRICS_MAX])
{
    const struct ncf *ncf = (const struct ncf *)model;
    const bool ranked = sums[SUM_RANKED] > 0.0;
    names[0] = ranked ? ncf->metric_names[0] : "loss";
    values[0] = sums[ranked ? SUM_HITS : SUM_LOSS] / rows;
    names[1] = ranked ? ncf->metric_names[1] : "accuracy";
    values[1] = sums[ranked ? SUM_GAIN : SUM_RIGHT] / rows;
    return 2;
}

const struct model_ops model_ncf = {
    .type = "ncf",
    .open = ncf_open,
    .close = ncf_close,
    .parameters = ncf_parameters,
    .records = ncf_records,
    .feed_bytes = ncf_feed_bytes,
    .fill = ncf_fill,
    .train_step = ncf_train_step,
    .evaluate = ncf_evaluate,
    .sum_count = SUM_COUNT,
    .metrics = ncf_metrics,
};
