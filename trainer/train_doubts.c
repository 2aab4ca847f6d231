/*
 * train_doubts.c - what is allowed and yet hardly meant: told once, in warnings before the first step, by
 * rank 0.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "trainer/train.h"

#define CLASSES_NAMED_MAX 4
#define CLASS_TEXT_BYTES  128

/* "bad" where classes have names, else their numbers. */
static void name_class(const struct data_spec *spec, int64_t index, char out[CLASS_TEXT_BYTES])
{
    for (size_t i = 0; i < spec->class_count; i++) {
        if (spec->classes[i].index == index) {
            (void)snprintf(out, CLASS_TEXT_BYTES, "\"%s\"", spec->classes[i].value);
            return;
        }
    }
    (void)snprintf(out, CLASS_TEXT_BYTES, "%lld", (long long)index);
}

/* Records of each class, to be freed; NULL where labels are no classes. */
static enum status count_classes(const struct dataset *set, int64_t classes, int64_t **out,
                                 struct error *err)
{
    const struct data_array *label = dataset_array(set, "label");
    *out = NULL;
    if (classes == 0 || label == NULL || label->type != DATA_I32)
        return STATUS_OK;
    int64_t *counts = calloc((size_t)classes, sizeof(*counts));
    if (counts == NULL)
        return error_set(err, STATUS_NO_MEMORY, "records of %lld classes", (long long)classes);
    const int32_t *labels = label->values;
    for (int64_t i = 0; i < set->count; i++)
        counts[labels[i]]++;
    *out = counts;
    return STATUS_OK;
}

/* Classes that cannot be learned, because nothing shows them. */
static enum status tell_absent_classes(struct train *train, int64_t classes, struct error *err)
{
    CLEANUP(free_cleanup) int64_t *counts = NULL;
    TRY(count_classes(&train->training, classes, &counts, err));
    char names[CLASSES_NAMED_MAX * CLASS_TEXT_BYTES] = "";
    size_t used = 0;
    int64_t absent = 0;
    for (int64_t c = 0; counts != NULL && c < classes; c++) {
        char name[CLASS_TEXT_BYTES];
        if (counts[c] > 0 || ++absent > CLASSES_NAMED_MAX)
            continue;
        name_class(&train->spec.data, c, name);
        used += (size_t)snprintf(names + used, sizeof(names) - used, " %s", name);
    }
    if (absent == 0)
        return STATUS_OK;
    return train_warn(train, err, "the training part has no record of %lld of %lld classes:%s%s",
                      (long long)absent, (long long)classes, names,
                      absent > CLASSES_NAMED_MAX ? " ..." : "");
}

/* Whether the evaluation part shows more than one class: if not, no order of its records is wrong. */
static enum status tell_single_class(struct train *train, int64_t classes, struct error *err)
{
    CLEANUP(free_cleanup) int64_t *counts = NULL;
    TRY(count_classes(&train->evaluation, classes, &counts, err));
    for (int64_t c = 0; counts != NULL && c < classes; c++) {
        char name[CLASS_TEXT_BYTES];
        if (counts[c] < train->evaluation.count)
            continue;
        name_class(&train->spec.data, c, name);
        return train_warn(train, err, "all %lld records of the evaluation part are of class %s%s",
                          (long long)counts[c], name,
                          train->model->is_binary ? ": there is no eval_auc" : "");
    }
    return STATUS_OK;
}

/* A hit among so few is none. */
static enum status tell_few_candidates(struct train *train, struct error *err)
{
    const struct data_array *array = dataset_array(&train->evaluation, "candidates");
    const int64_t top_k = train->spec.model.ncf.top_k;
    int64_t few = 0;
    for (int64_t i = 0; array != NULL && i < array->rows; i++) {
        const int32_t *candidates = (const int32_t *)array->values + i * array->width;
        int64_t count = 0;
        for (int64_t j = 0; j < array->width && count <= top_k; j++)
            count += candidates[j] >= 0 ? 1 : 0;
        few += count <= top_k ? 1 : 0;
    }
    if (few == 0)
        return STATUS_OK;
    return train_warn(train, err,
                      "%lld of %lld evaluation records have %lld candidates or fewer: a hit among "
                      "the first %lld (/model/top_k) says nothing of them",
                      (long long)few, (long long)array->rows, (long long)top_k, (long long)top_k);
}

/* Numeric columns that say the same of every record, most often because all their values are missing. */
static enum status tell_constant_columns(struct train *train, struct error *err)
{
    const struct data_spec *spec = &train->spec.data;
    const struct data_array *array = dataset_array(&train->training, "numeric");
    const float *const values = array == NULL ? NULL : array->values;
    int64_t column = 0;
    for (size_t i = 0; values != NULL && i < spec->column_count; i++) {
        if (spec->columns[i].kind != COLUMN_NUMERIC)
            continue;
        int64_t row = 1;
        while (row < array->rows && values[row * array->width + column] == values[column])
            row++;
        column++;
        if (row == array->rows && row > 1)
            TRY(train_warn(
                train, err,
                "column \"%s\" has one value or none in all %lld records of the training "
                "part: nothing can be learned from it",
                spec->columns[i].name, (long long)array->rows));
    }
    return STATUS_OK;
}

static enum status tell_plan(struct train *train, struct error *err)
{
    const struct schedule_spec *schedule = &train->spec.optimizer.schedule;
    const int64_t ranks = train->spec.resources.ranks;
    if (schedule->warmup_steps >= train->total_steps)
        TRY(train_warn(train, err,
                       "/optimizer/schedule/warmup_steps is %lld, the job has %lld steps: the "
                       "learning rate stays below /optimizer/lr",
                       (long long)schedule->warmup_steps, (long long)train->total_steps));
    if (train->contract->standalone && ranks > 1)
        TRY(train_warn(train, err, "/resources/ranks is %lld: this is one rank alone",
                       (long long)ranks));
    return STATUS_OK;
}

enum status train_doubt(struct train *train, struct error *err)
{
    if (train->contract->rank != 0 || train->step > 0)
        return STATUS_OK;
    const int64_t classes = train->spec.data.label_classes;
    train->part = TRAIN_PART_WRITE;
    TRY(tell_absent_classes(train, classes, err));
    TRY(tell_constant_columns(train, err));
    TRY(tell_plan(train, err));
    if (train->evaluation.count == 0)
        return STATUS_OK;
    TRY(tell_single_class(train, classes, err));
    return train->spec.model.type == MODEL_NCF ? tell_few_candidates(train, err) : STATUS_OK;
}
