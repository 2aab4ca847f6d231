#include "schema/job_spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"
#include "schema/names.h"

#define PRIORITY_MAX     100
#define PRIORITY_DEFAULT 50
#define PROJECT_DEFAULT  "default"

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

/* Whether nothing was found wrong since there were `before` problems. */
static bool is_good(const struct json_problems *problems, size_t *before)
{
    const size_t now = problems->count + problems->dropped;
    const bool good = now == *before;
    *before = now;
    return good;
}

/* The sections that know nothing of each other; says which of them can be judged together. */
static struct spec_sections decode_sections(const struct json_at *at, struct job_spec *out)
{
    const struct json_at model = json_at_key(at, "model");
    const struct json_at data = json_at_key(at, "data");
    const struct json_at optimizer = json_at_key(at, "optimizer");
    const struct json_at training = json_at_key(at, "training");
    const struct json_at resources = json_at_key(at, "resources");
    const struct json_at checkpoint = json_at_key(at, "checkpoint");
    const struct json_at retry = json_at_key(at, "retry");
    struct spec_sections good = {.model = false};
    size_t before = at->problems->count + at->problems->dropped;
    model_spec_decode(&model, &out->model);
    good.model = is_good(at->problems, &before);
    data_spec_decode(&data, &out->data);
    good.data = is_good(at->problems, &before);
    optimizer_spec_decode(&optimizer, &out->optimizer);
    good.optimizer = is_good(at->problems, &before);
    training_spec_decode(&training, &out->training);
    good.training = is_good(at->problems, &before);
    resources_spec_decode(&resources, &out->resources);
    good.resources = is_good(at->problems, &before);
    checkpoint_spec_decode(&checkpoint, &out->checkpoint);
    good.checkpoint = is_good(at->problems, &before);
    retry_spec_decode(&retry, &out->retry);
    return good;
}

void job_spec_decode(const struct json_at *at, struct job_spec *out)
{
    static const char *const known[] = {"name",      "project",  "trainer",   "model",      "data",
                                        "optimizer", "training", "resources", "checkpoint", "retry",
                                        "priority",  "labels",   NULL};
    memset(out, 0, sizeof(*out));
    out->priority = PRIORITY_DEFAULT;
    (void)text_copy(out->project, sizeof(out->project), PROJECT_DEFAULT);
    if (!spec_get_object(at, known, spec_none))
        return;
    const struct json_at name = json_at_key(at, "name");
    const struct json_at project = json_at_key(at, "project");
    const struct json_at trainer = json_at_key(at, "trainer");
    const struct json_at priority = json_at_key(at, "priority");
    const struct json_at labels = json_at_key(at, "labels");
    (void)spec_get_name(&name, out->name);
    if (json_present(&project))
        (void)spec_get_name(&project, out->project);
    decode_trainer(&trainer);
    const struct spec_sections good = decode_sections(at, out);
    (void)json_opt_int(&priority, 0, PRIORITY_MAX, &out->priority);
    decode_labels(&labels, out);
    if (good.model)
        out->data.label_classes = job_spec_label_classes(out);
    job_spec_check(at, &good, out);
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
    return json_pack("{s:s, s:s, s:{s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "name",
                     spec->name, "project", spec->project, "trainer", "kind", "builtin", "model",
                     model_spec_encode(spec), "data", data_spec_encode(&spec->data), "optimizer",
                     optimizer_spec_encode(spec), "training", training_spec_encode(spec),
                     "resources", resources_spec_encode(&spec->resources), "checkpoint",
                     checkpoint_spec_encode(&spec->checkpoint), "retry",
                     retry_spec_encode(&spec->retry), "priority", (json_int_t)spec->priority,
                     "labels", encode_labels(spec));
}
