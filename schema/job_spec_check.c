/* job_spec_check.c - what only the whole spec can say: rules across its sections. */

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"

#define EVALUATION_METRICS_MAX 3

struct check {
    const struct json_at *at;
    const struct job_spec *spec;
};

static bool is_mlp(const struct job_spec *spec)
{
    return spec->model.type == MODEL_MLP;
}

bool job_spec_has_tables(const struct job_spec *spec)
{
    return !is_mlp(spec) || data_columns_of(&spec->data, COLUMN_CATEGORY) > 0;
}

int64_t job_spec_label_classes(const struct job_spec *spec)
{
    if (spec->model.type == MODEL_NCF)
        return 0;
    const int head = is_mlp(spec) ? spec->model.mlp.head : spec->model.bilstm.head;
    const int64_t classes = is_mlp(spec) ? spec->model.mlp.classes : spec->model.bilstm.classes;
    if (head == HEAD_LINEAR)
        return 0;
    return head == HEAD_SIGMOID ? 2 : classes;
}

static bool has_evaluation(const struct data_spec *data)
{
    return data->eval.file[0] != '\0' || data->eval.features[0] != '\0' ||
           data->split.by != SPLIT_NONE;
}

/* ------------------------------------------------------------------ model and data */

/* The families' formats; false if this one does not fit. */
static bool check_format(const struct check *check)
{
    static const char *const wanted[] = {[MODEL_MLP] =
                                             "\"idx\", \"npy\", \"csv\", \"tsv\" or \"jsonl\"",
                                         [MODEL_BILSTM] = "\"csv\", \"tsv\", \"text\" or \"jsonl\"",
                                         [MODEL_NCF] = "\"interactions\""};
    const int type = check->spec->model.type;
    const int format = check->spec->data.train.format;
    const bool fits = type == MODEL_NCF      ? format == DATA_INTERACTIONS
                      : type == MODEL_BILSTM ? data_format_has_columns(format)
                                             : format != DATA_TEXT && format != DATA_INTERACTIONS;
    if (fits)
        return true;
    const struct json_at data = json_at_key(check->at, "data");
    const struct json_at train = json_at_key(&data, "train");
    const struct json_at format_at = json_at_key(&train, "format");
    json_problem_add(&format_at, "%s for model \"%s\"", wanted[type], model_type_names[type]);
    return false;
}

static void check_columns(const struct check *check)
{
    const struct data_spec *data = &check->spec->data;
    if (!data_format_has_columns(data->train.format))
        return;
    const struct json_at data_at = json_at_key(check->at, "data");
    const struct json_at columns = json_at_key(&data_at, "columns");
    const size_t texts = data_columns_of(data, COLUMN_TEXT);
    const size_t values =
        data_columns_of(data, COLUMN_NUMERIC) + data_columns_of(data, COLUMN_CATEGORY);
    if (is_mlp(check->spec) && (texts > 0 || values == 0))
        json_problem_add(&columns, "array with columns of kind \"numeric\" or \"category\" and "
                                   "none of kind \"text\" for model \"mlp\"");
    if (!is_mlp(check->spec) && (texts != 1 || values > 0))
        json_problem_add(&columns, "array with one column of kind \"text\" and none of kind "
                                   "\"numeric\" or \"category\" for model \"bilstm\"");
}

/* Every class of the head has a value, and no value another. */
static void check_classes(const struct check *check)
{
    const struct data_spec *data = &check->spec->data;
    const int64_t classes = job_spec_label_classes(check->spec);
    if (data->class_count == 0)
        return;
    const struct json_at data_at = json_at_key(check->at, "data");
    const struct json_at at = json_at_key(&data_at, "classes");
    if (classes == 0) {
        json_problem_add(&at, "nothing, because a linear head has no classes");
        return;
    }
    int64_t next = 0; /* they are sorted by index */
    for (size_t i = 0; i < data->class_count && data->classes[i].index <= next; i++)
        next = data->classes[i].index + 1;
    const struct data_class *last = &data->classes[data->class_count - 1];
    const struct json_at last_at = json_at_key(&at, last->value);
    if (last->index >= classes)
        json_problem_add(&last_at, "index 0..%jd, because the model has %jd classes",
                         (intmax_t)(classes - 1), (intmax_t)classes);
    else if (next < classes)
        json_problem_add(&at,
                         "object with a value for index %jd, because the model has %jd classes",
                         (intmax_t)next, (intmax_t)classes);
}

static void check_embedding_width(const struct check *check)
{
    static const char *const fields[] = {"embedding_width", NULL};
    const struct json_at model = json_at_key(check->at, "model");
    if (is_mlp(check->spec) && !job_spec_has_tables(check->spec))
        spec_refuse(&model, fields, "there is no column of kind \"category\"");
}

static void check_model_and_data(const struct check *check)
{
    if (!check_format(check))
        return;
    check_columns(check);
    check_classes(check);
    check_embedding_width(check);
}

/* ------------------------------------------------------------------ the others */

static void check_sparse(const struct check *check)
{
    const struct json_at optimizer = json_at_key(check->at, "optimizer");
    const struct json_at at = json_at_key(&optimizer, "embeddings");
    if (check->spec->optimizer.embeddings == EMBEDDING_SPARSE && !job_spec_has_tables(check->spec))
        json_problem_add(&at, "\"dense\", because the model has no embedding tables");
}

static void check_class_weights(const struct check *check)
{
    const struct training_spec *training = &check->spec->training;
    const int64_t classes = job_spec_label_classes(check->spec);
    const struct json_at training_at = json_at_key(check->at, "training");
    const struct json_at at = json_at_key(&training_at, "class_weights");
    if (training->class_weights != CLASS_WEIGHTS_NONE && classes == 0)
        json_problem_add(&at, "\"none\", because the model has no classes");
    else if (training->class_weights == CLASS_WEIGHTS_GIVEN &&
             training->given_class_weight_count != (size_t)classes)
        json_problem_add(&at, "array of %jd numbers, one for each class", (intmax_t)classes);
}

/* Each rank that trains needs a row of each part of a batch. */
static void check_ranks(const struct check *check)
{
    const struct training_spec *training = &check->spec->training;
    const int64_t ranks = check->spec->resources.ranks;
    const struct json_at training_at = json_at_key(check->at, "training");
    const struct json_at batch = json_at_key(&training_at, "batch_size");
    const struct json_at servers = json_at_key(&training_at, "servers");
    const struct json_at resources = json_at_key(check->at, "resources");
    const struct json_at ranks_at = json_at_key(&resources, "ranks");
    if (training->sync == SYNC_PARAMETER_SERVER && ranks < 2) {
        json_problem_add(&ranks_at, "at least 2 with \"sync\": \"parameter_server\"");
        return;
    }
    if (training->servers >= ranks) {
        json_problem_add(&servers, "integer 1..%jd: one of %jd ranks must work",
                         (intmax_t)(ranks - 1), (intmax_t)ranks);
        return;
    }
    if (training->batch_size < ranks - training->servers)
        json_problem_add(&batch, "at least 1 row for each of %jd ranks",
                         (intmax_t)(ranks - training->servers));
    else if (training->batch_size < (ranks - training->servers) * training->accumulate_steps)
        json_problem_add(&batch, "at least 1 row for each of %jd parts of %jd ranks",
                         (intmax_t)training->accumulate_steps,
                         (intmax_t)(ranks - training->servers));
    if (training->reproducible && training->micro_shards % ranks != 0)
        json_problem_add(&ranks_at, "divisor of %jd, the \"micro_shards\"",
                         (intmax_t)training->micro_shards);
}

/* A rollback's step must be the same in every run, so it must not depend on a clock. */
static void check_rollback(const struct check *check)
{
    const struct checkpoint_spec *checkpoint = &check->spec->checkpoint;
    if (check->spec->training.guards.on_nan != ON_NAN_ROLLBACK)
        return;
    const struct json_at checkpoint_at = json_at_key(check->at, "checkpoint");
    const struct json_at steps = json_at_key(&checkpoint_at, "every_steps");
    const struct json_at every = json_at_key(&checkpoint_at, "every");
    if (checkpoint->every_steps == 0)
        json_problem_add(&steps, "integer >= 1, because \"on_nan\" is \"rollback\"");
    if (check->spec->training.staleness > 0) {
        const struct json_at training_at = json_at_key(check->at, "training");
        const struct json_at guards = json_at_key(&training_at, "guards");
        const struct json_at on_nan = json_at_key(&guards, "on_nan");
        json_problem_add(&on_nan, "\"fail\", because with \"staleness\" there is no step that all "
                                  "ranks end together, to go back to");
    }
    if (json_present(&every))
        json_problem_add(&every, "nothing, because \"on_nan\" is \"rollback\": \"every_steps\" "
                                 "does not depend on a clock");
}

/* What an evaluation of the model says; returns how many names. */
static size_t evaluation_metrics(const struct job_spec *spec,
                                 char out[EVALUATION_METRICS_MAX][METRIC_NAME_BYTES])
{
    const struct model_spec *model = &spec->model;
    if (model->type == MODEL_NCF) {
        (void)snprintf(out[0], METRIC_NAME_BYTES, "eval_hr_at_%d", (int)model->ncf.top_k);
        (void)snprintf(out[1], METRIC_NAME_BYTES, "eval_ndcg_at_%d", (int)model->ncf.top_k);
        return 2;
    }
    const int head = is_mlp(spec) ? model->mlp.head : model->bilstm.head;
    (void)text_copy(out[0], METRIC_NAME_BYTES, "eval_loss");
    (void)text_copy(out[1], METRIC_NAME_BYTES, head == HEAD_LINEAR ? "eval_rmse" : "eval_accuracy");
    (void)text_copy(out[2], METRIC_NAME_BYTES, "eval_auc");
    return job_spec_label_classes(spec) == 2 ? 3 : 2;
}

static void check_metric(const struct json_at *at, const struct job_spec *spec, const char *metric)
{
    char names[EVALUATION_METRICS_MAX][METRIC_NAME_BYTES];
    const size_t count = evaluation_metrics(spec, names);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], metric) == 0)
            return;
    }
    json_problem_add(at, "\"%s\"%s%s%s or \"%s\", which the model's evaluation gives", names[0],
                     count == 3 ? ", \"" : "", count == 3 ? names[1] : "", count == 3 ? "\"" : "",
                     names[count - 1]);
}

static void check_watched(const struct check *check, bool good_model, const char *section,
                          const char *field, const char *metric)
{
    if (metric[0] == '\0')
        return;
    const struct json_at section_at = json_at_key(check->at, section);
    const struct json_at field_at = json_at_key(&section_at, field);
    const struct json_at metric_at = json_at_key(&field_at, "metric");
    if (!has_evaluation(&check->spec->data))
        json_problem_add(&metric_at, "nothing to watch, because the data has neither \"eval\" nor "
                                     "\"split\"");
    else if (good_model)
        check_metric(&metric_at, check->spec, metric);
}

void job_spec_check(const struct json_at *at, const struct spec_sections *good,
                    const struct job_spec *spec)
{
    const struct check check = {.at = at, .spec = spec};
    if (good->model && good->data)
        check_model_and_data(&check);
    if (good->model && good->data && good->optimizer)
        check_sparse(&check);
    if (good->model && good->training)
        check_class_weights(&check);
    if (good->training && good->resources)
        check_ranks(&check);
    if (good->training && good->checkpoint)
        check_rollback(&check);
    if (good->data && good->training)
        check_watched(&check, good->model, "training", "early_stopping",
                      spec->training.early_stopping.metric);
    if (good->data && good->checkpoint)
        check_watched(&check, good->model, "checkpoint", "best", spec->checkpoint.best_metric);
}
