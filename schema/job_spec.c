#include "schema/job_spec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"
#include "schema/names.h"

#define JOB_FIELDS_MAX   32
#define PRIORITY_MAX     100
#define PRIORITY_DEFAULT 50
#define PROJECT_DEFAULT  "default"

static const char *const none[] = {NULL};

/* ------------------------------------------------------------------ helpers of all parts */

bool spec_get_object(const struct json_at *at, const char *const known[], const char *const later[])
{
    const char *all[JOB_FIELDS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; known[i] != NULL; i++)
        all[count++] = known[i];
    for (size_t i = 0; later[i] != NULL; i++)
        all[count++] = later[i];
    assert(count <= JOB_FIELDS_MAX);
    all[count] = NULL;
    if (!json_get_object(at, all))
        return false;
    for (size_t i = 0; later[i] != NULL; i++) {
        const struct json_at field = json_at_key(at, later[i]);
        if (json_present(&field))
            json_problem_add(&field, "nothing (\"%s\" comes in a later release)", later[i]);
    }
    return true;
}

static bool is_one_of(const char *const words[], const char *word)
{
    return word != NULL && name_index(words, word) >= 0;
}

/* `"sgd" or "adam"`: the words that are not for later; what does not fit is cut. */
static void join_words(const char *const names[], const char *const later[], char *out,
                       size_t out_bytes)
{
    const char *words[JOB_FIELDS_MAX];
    size_t count = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!is_one_of(later, names[i]))
            words[count++] = names[i];
    }
    assert(count > 0 && count < JOB_FIELDS_MAX);
    size_t used = 0;
    for (size_t i = 0; i < count && used < out_bytes - 1; i++) {
        const char *separator = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        used += (size_t)snprintf(out + used, out_bytes - used, "%s\"%s\"", separator, words[i]);
    }
}

bool spec_get_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out)
{
    const char *text = json_string_value(at->value);
    if (is_one_of(names, text) && !is_one_of(later, text)) {
        *out = name_index(names, text);
        return true;
    }
    char words[96];
    join_words(names, later, words, sizeof(words));
    if (is_one_of(later, text))
        json_problem_add(at, "%s (\"%s\" comes in a later release)", words, text);
    else
        json_problem_add(at, "%s", words);
    return false;
}

bool spec_opt_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out)
{
    return !json_present(at) || spec_get_enum(at, names, later, out);
}

bool job_name_is_valid(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t length = strlen(text);
    return length > 0 && length < JOB_NAME_BYTES && strchr(first, text[0]) != NULL &&
           strspn(text, rest) == length;
}

bool spec_get_name(const struct json_at *at, char out[JOB_NAME_BYTES])
{
    if (json_is_string(at->value) && job_name_is_valid(json_string_value(at->value)))
        return json_get_string_copy(at, out, JOB_NAME_BYTES);
    json_problem_add(at, "name of 1..%d of a-z 0-9 . _ -, the first a letter or digit",
                     JOB_NAME_BYTES - 1);
    return false;
}

json_t *spec_duration_json(int64_t duration_ms)
{
    char text[24];
    duration_format(duration_ms, text);
    return json_string(text);
}

json_t *spec_duration_or_null(int64_t duration_ms)
{
    return duration_ms == 0 ? json_null() : spec_duration_json(duration_ms);
}

json_t *spec_int_or_null(int64_t value)
{
    return value == 0 ? json_null() : json_integer(value);
}

/* ------------------------------------------------------------------ decoding */

static void decode_trainer(const struct json_at *at)
{
    static const char *const kinds[] = {"builtin", NULL};
    static const char *const later_kinds[] = {"command", NULL};
    static const char *const known[] = {"kind", NULL};
    static const char *const of_command[] = {"argv", "env", "launcher", "effects", NULL};
    if (!json_present(at) || !json_get_open_object(at))
        return;
    int kind = 0;
    const struct json_at kind_at = json_at_key(at, "kind");
    /* Of another kind nobody can say which other fields are right. */
    if (spec_opt_enum(&kind_at, kinds, later_kinds, &kind))
        (void)spec_get_object(at, known, of_command);
}

static int compare_labels(const void *a, const void *b)
{
    return strcmp(((const struct job_label *)a)->key, ((const struct job_label *)b)->key);
}

static void decode_labels(const struct json_at *at, struct job_spec *out)
{
    if (!json_present(at) || !json_get_open_object(at))
        return;
    if (json_object_size(at->value) > JOB_LABELS_MAX) {
        json_problem_add(at, "object of at most %d labels", JOB_LABELS_MAX);
        return;
    }
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), key, value) {
        const struct json_at label_at = json_at_key(at, key);
        struct job_label *label = &out->labels[out->label_count];
        if (!job_name_is_valid(key))
            json_problem_add(&label_at,
                             "key of 1..%d of a-z 0-9 . _ -, the first a letter or digit",
                             JOB_LABEL_KEY_BYTES - 1);
        else if (json_get_string_copy(&label_at, label->value, sizeof(label->value)))
            out->label_count += text_copy(label->key, sizeof(label->key), key) ? 1 : 0;
    }
    qsort(out->labels, out->label_count, sizeof(out->labels[0]), compare_labels);
}

/* What only the whole spec can say: each rank needs a row of each batch. */
static void check_batch(const struct json_at *at, const struct job_spec *spec)
{
    if (spec->training.batch_size >= spec->resources.ranks || spec->training.batch_size == 0)
        return;
    const struct json_at training = json_at_key(at, "training");
    const struct json_at batch = json_at_key(&training, "batch_size");
    json_problem_add(&batch, "at least 1 row for each of %jd ranks",
                     (intmax_t)spec->resources.ranks);
}

void job_spec_decode(const struct json_at *at, struct job_spec *out)
{
    static const char *const known[] = {"name",      "project",  "trainer",   "model",      "data",
                                        "optimizer", "training", "resources", "checkpoint", "retry",
                                        "priority",  "labels",   NULL};
    memset(out, 0, sizeof(*out));
    out->priority = PRIORITY_DEFAULT;
    (void)text_copy(out->project, sizeof(out->project), PROJECT_DEFAULT);
    if (!spec_get_object(at, known, none))
        return;
    const struct json_at name = json_at_key(at, "name");
    const struct json_at project = json_at_key(at, "project");
    const struct json_at trainer = json_at_key(at, "trainer");
    const struct json_at model = json_at_key(at, "model");
    const struct json_at data = json_at_key(at, "data");
    const struct json_at optimizer = json_at_key(at, "optimizer");
    const struct json_at training = json_at_key(at, "training");
    const struct json_at resources = json_at_key(at, "resources");
    const struct json_at checkpoint = json_at_key(at, "checkpoint");
    const struct json_at retry = json_at_key(at, "retry");
    const struct json_at priority = json_at_key(at, "priority");
    const struct json_at labels = json_at_key(at, "labels");
    (void)spec_get_name(&name, out->name);
    if (json_present(&project))
        (void)spec_get_name(&project, out->project);
    decode_trainer(&trainer);
    model_spec_decode(&model, &out->model);
    data_spec_decode(&data, &out->data);
    optimizer_spec_decode(&optimizer, &out->optimizer);
    training_spec_decode(&training, &out->training);
    resources_spec_decode(&resources, &out->resources);
    checkpoint_spec_decode(&checkpoint, &out->checkpoint);
    retry_spec_decode(&retry, &out->retry);
    (void)json_opt_int(&priority, 0, PRIORITY_MAX, &out->priority);
    decode_labels(&labels, out);
    check_batch(at, out);
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_labels(const struct job_spec *spec)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < spec->label_count; i++)
        (void)json_object_set_new(labels, spec->labels[i].key, json_string(spec->labels[i].value));
    return labels;
}

json_t *job_spec_encode(const struct job_spec *spec)
{
    return json_pack(
        "{s:s, s:s, s:{s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "name", spec->name,
        "project", spec->project, "trainer", "kind", "builtin", "model",
        model_spec_encode(&spec->model), "data", data_spec_encode(&spec->data), "optimizer",
        optimizer_spec_encode(&spec->optimizer), "training", training_spec_encode(&spec->training),
        "resources", resources_spec_encode(&spec->resources), "checkpoint",
        checkpoint_spec_encode(&spec->checkpoint), "retry", retry_spec_encode(&spec->retry),
        "priority", (json_int_t)spec->priority, "labels", encode_labels(spec));
}
