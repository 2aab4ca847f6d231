#include "tests/unit/trajectory.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* ------------------------------------------------------------------ the spec */

static json_t *column(const char *kind, size_t number)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "%s%zu", kind, number);
    return json_pack("{s:s, s:s}", "name", name, "kind", kind);
}

static json_t *columns_of_table(const struct vectors *v)
{
    json_t *columns = json_array();
    const json_t *buckets = vectors_at(v, "records.buckets");
    for (size_t i = 0; i < (size_t)vectors_int(v, "records.numeric_width"); i++)
        (void)json_array_append_new(columns, column("numeric", i));
    for (size_t i = 0; i < json_array_size(buckets); i++) {
        json_t *category = column("category", i);
        (void)json_object_set(category, "buckets", json_array_get(buckets, i));
        (void)json_array_append_new(columns, category);
    }
    (void)json_array_append_new(columns, column("label", 0));
    return columns;
}

static bool is_of_bytes(const struct vectors *v)
{
    return json_object_get(vectors_at(v, "records"), "numeric_bytes") != NULL;
}

static json_t *data_section(const struct vectors *v)
{
    if (strncmp(v->name, "ncf", 3) == 0)
        return json_pack("{s:s, s:{s:s, s:s}}", "root", "x", "train", "format", "interactions",
                         "file", "x");
    if (strncmp(v->name, "bilstm", 6) == 0)
        return json_pack("{s:s, s:{s:s, s:s}, s:[o, o], s:O, s:O}", "root", "x", "train", "format",
                         "tsv", "file", "x", "columns", column("label", 0), column("text", 0),
                         "vocabulary", vectors_at(v, "records.vocabulary"), "length",
                         vectors_at(v, "records.length"));
    if (is_of_bytes(v))
        return json_pack("{s:s, s:{s:s, s:s, s:s}}", "root", "x", "train", "format", "idx",
                         "features", "x", "labels", "y");
    return json_pack("{s:s, s:{s:s, s:s}, s:o}", "root", "x", "train", "format", "csv", "file", "x",
                     "columns", columns_of_table(v));
}

/* Fields that the vectors give and a spec of this model must not. */
static json_t *model_section(const struct vectors *v)
{
    json_t *model = json_deep_copy(vectors_at(v, "model"));
    const char *head = json_string_value(json_object_get(model, "head"));
    const char *variant = json_string_value(json_object_get(model, "variant"));
    const json_t *buckets = json_object_get(vectors_at(v, "records"), "buckets");
    if (head != NULL && strcmp(head, "softmax") != 0)
        (void)json_object_del(model, "classes");
    if (json_array_size(buckets) == 0)
        (void)json_object_del(model, "embedding_width");
    if (variant != NULL && strcmp(variant, "mlp") == 0)
        (void)json_object_del(model, "factors");
    if (variant != NULL && strcmp(variant, "gmf") == 0)
        (void)json_object_del(model, "layers");
    return model;
}

static void decode_spec(const struct vectors *v, struct job_spec *out)
{
    CLEANUP(json_cleanup)
    json_t *document =
        json_pack("{s:s, s:o, s:o, s:O, s:{s:i, s:i}}", "name", "trajectory", "model",
                  model_section(v), "data", data_section(v), "optimizer",
                  vectors_at(v, "optimizer"), "training", "steps", VECTORS_STEPS, "batch_size", 20);
    assert_non_null(document);
    struct json_problems problems = {0};
    struct error err = {.status = STATUS_OK};
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, out);
    assert_ok(json_problems_status(&problems, &err), &err);
}

/* ------------------------------------------------------------------ the records */

#define BUFFERS_MAX 4

/* A dataset and what it points into. */
struct records {
    struct dataset set;
    void *buffers[BUFFERS_MAX];
    float *class_weights;
};

static void add_array(struct records *r, const char *name, enum data_type type, size_t rows,
                      size_t width, void *values)
{
    struct dataset *set = &r->set;
    r->buffers[set->array_count] = values;
    set->arrays[set->array_count++] = rig_array(name, type, (int64_t)rows, (int64_t)width, values);
}

static void add_labels(struct records *r, const struct vectors *v)
{
    size_t count = 0;
    const char *head = json_string_value(vectors_at(v, "model.head"));
    void *labels = NULL;
    const bool is_number = strcmp(head, "linear") == 0;
    if (is_number)
        labels = vectors_floats(v, "records.labels", &count);
    else
        labels = vectors_ints(v, "records.labels", &count);
    r->set.count = (int64_t)count;
    add_array(r, "label", is_number ? DATA_F32 : DATA_I32, count, 1, labels);
    r->set.classes = strcmp(head, "softmax") == 0 ? vectors_int(v, "model.classes") : 2;
}

static void add_texts(struct records *r, const struct vectors *v)
{
    size_t tokens = 0, offsets = 0;
    int32_t *values = vectors_ints(v, "records.tokens", &tokens);
    int32_t *small = vectors_ints(v, "records.offsets", &offsets);
    int64_t *wide = calloc(offsets, sizeof(int64_t));
    assert_non_null(wide);
    for (size_t i = 0; i < offsets; i++)
        wide[i] = small[i];
    free(small);
    r->set.kind = DATA_KIND_TEXT;
    add_array(r, "tokens", DATA_I32, tokens, 1, values);
    add_array(r, "offsets", DATA_I64, offsets, 1, wide);
}

static void add_bytes(struct records *r, const struct vectors *v, size_t width)
{
    size_t count = 0;
    int32_t *values = vectors_ints(v, "records.numeric_bytes", &count);
    uint8_t *bytes = calloc(count, 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)values[i];
    free(values);
    r->set.kind = DATA_KIND_BYTES;
    r->set.scale = 1.0F / 255.0F;
    add_array(r, "features", DATA_U8, count / width, width, bytes);
}

static void add_table(struct records *r, const struct vectors *v, size_t width)
{
    size_t count = 0;
    const size_t tables = json_array_size(vectors_at(v, "records.buckets"));
    r->set.kind = DATA_KIND_TABLE;
    if (width > 0) {
        float *numeric = vectors_floats(v, "records.numeric", &count);
        add_array(r, "numeric", DATA_F32, count / width, width, numeric);
    }
    if (tables > 0) {
        int32_t *category = vectors_ints(v, "records.category", &count);
        add_array(r, "category", DATA_I32, count / tables, tables, category);
    }
}

static void records_make(struct records *r, const struct vectors *v)
{
    *r = (struct records){.class_weights = NULL};
    add_labels(r, v);
    if (strncmp(v->name, "bilstm", 6) == 0) {
        add_texts(r, v);
        return;
    }
    const size_t width = (size_t)vectors_int(v, "records.numeric_width");
    if (is_of_bytes(v))
        add_bytes(r, v, width);
    else
        add_table(r, v, width);
    size_t count = 0;
    if (!json_is_null(vectors_at(v, "class_weights")))
        r->class_weights = vectors_floats(v, "class_weights", &count);
}

static void records_free(struct records *r)
{
    for (size_t i = 0; i < BUFFERS_MAX; i++)
        free(r->buffers[i]);
    free(r->class_weights);
}

static int feed_records(struct model_rig *rig, const struct vectors *v, int step)
{
    size_t count = 0;
    int32_t *records = vectors_batch(v, step, NULL, &count);
    rig_feed(rig,
             &(struct rig_rows){.set = rig->set,
                                .records = records,
                                .count = (int)count,
                                .batch_rows = (int)count,
                                .step = step},
             true);
    free(records);
    return (int)count;
}

/* ------------------------------------------------------------------ the steps */

struct update {
    struct model_rig *rig;
    struct optim *optim;
};

static enum status issue_update(void *context, struct error *err)
{
    const struct update *u = context;
    struct model_rig *rig = u->rig;
    const float *flags = rig->flag_count > 0 ? rig->gradients + rig->count : NULL;
    return u->optim->ops->update(u->optim, rig->parameters, rig->gradients, flags, NULL, err);
}

static void check_parameters(struct model_rig *rig, const struct vectors *v, enum vectors_when when)
{
    size_t count = 0;
    const struct parameter *table = rig->model->ops->parameters(rig->model, &count);
    float *values = calloc(rig->count, sizeof(float));
    assert_non_null(values);
    rig_get(rig, rig->parameters, values, rig->count);
    vectors_check(v, when, table, count, values);
    free(values);
}

static void step_and_check(struct model_rig *rig, struct optim *optim, const struct vectors *v,
                           trajectory_feed_fn *feed, int step)
{
    const uint64_t update_key = UINT64_C(1) << 63; /* no shape has it */
    float sums[MODEL_METRICS_MAX];
    struct update update = {.rig = rig, .optim = optim};
    rig_clear(rig);
    const int rows = feed(rig, v, step);
    rig_train(rig);
    rig_get(rig, rig->sums, sums, MODEL_METRICS_MAX);
    vectors_check_loss(v, step, (double)sums[0] / rows);
    assert_ok(optim->ops->prepare(optim, step + 1, 1.0, &rig->err), &rig->err);
    assert_ok(
        rig->device.ops->run(rig->device.compute, update_key, issue_update, &update, &rig->err),
        &rig->err);
}

static void follow(struct model_rig *rig, const struct vectors *v, trajectory_feed_fn *feed)
{
    struct optim_table tables[RIG_TABLES_MAX];
    const struct optim_parts parts = {.spec = &rig->spec.optimizer,
                                      .device = rig->device,
                                      .count = rig->count,
                                      .tables = tables,
                                      .table_count = rig_tables(rig, tables)};
    struct optim *optim = NULL;
    size_t count = 0;
    const struct parameter *table = rig->model->ops->parameters(rig->model, &count);
    float *initial = calloc(rig->count, sizeof(float));
    assert_non_null(initial);
    vectors_load(v, VECTORS_INITIAL, table, count, initial);
    rig_set_parameters(rig, initial);
    free(initial);
    assert_ok(optim_registry[rig->spec.optimizer.type]->open(&parts, &optim, &rig->err), &rig->err);
    for (int step = 0; step < VECTORS_STEPS; step++) {
        step_and_check(rig, optim, v, feed, step);
        if (step == 0)
            check_parameters(rig, v, VECTORS_AFTER_1);
    }
    check_parameters(rig, v, VECTORS_AFTER_20);
    optim->ops->close(optim);
}

static void check(struct vectors *v, const struct compute_ops *ops, const struct model_input *input,
                  trajectory_feed_fn *feed)
{
    static struct job_spec spec; /* large */
    struct model_rig rig;
    spec = (struct job_spec){.name = ""};
    decode_spec(v, &spec);
    rig_open(&rig, ops, &spec, input);
    rig.set = input->train;
    follow(&rig, v, feed);
    rig_close(&rig);
}

void trajectory_check(const char *name, const struct compute_ops *ops)
{
    struct vectors v;
    struct records records;
    vectors_open(&v, name);
    records_make(&records, &v);
    check(&v, ops,
          &(struct model_input){.train = &records.set, .class_weights = records.class_weights},
          feed_records);
    records_free(&records);
    vectors_close(&v);
}

void trajectory_check_fed(const char *name, const struct compute_ops *ops,
                          const struct dataset *train, trajectory_feed_fn *feed)
{
    struct vectors v;
    vectors_open(&v, name);
    check(&v, ops, &(struct model_input){.train = train}, feed);
    vectors_close(&v);
}
