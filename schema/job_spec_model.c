/* job_spec_model.c - the sections "model" and "data", and how large a model is. */

#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"

#define LAYER_WIDTH_MAX     65536
#define CLASSES_MAX         65536
#define MNIST_WIDTH         784
#define CHECKPOINT_ROOM     (64 * KIB) /* headers, names and the state record */
#define BYTES_PER_PARAMETER 4

const char *const model_type_names[] = {[MODEL_MLP] = "mlp", NULL};
static const char *const later_model_types[] = {"bilstm", "ncf",         "dlrm", "deepfm",
                                                "kge",    "transformer", NULL};
static const char *const activation_names[] = {[ACTIVATION_RELU] = "relu", NULL};
static const char *const later_activations[] = {"gelu", "tanh", NULL};
static const char *const format_names[] = {[DATA_IDX] = "idx", NULL};
static const char *const later_formats[] = {"csv", "tsv", "text", "interactions", NULL};
static const char *const none[] = {NULL};

/* ------------------------------------------------------------------ model */

static void decode_mlp(const struct json_at *at, struct model_spec *out)
{
    static const char *const known[] = {"type", "hidden", "activation", "classes", NULL};
    static const char *const later[] = {"head", "placement", NULL};
    if (!spec_get_object(at, known, later))
        return;
    const struct json_at hidden = json_at_key(at, "hidden");
    const struct json_at activation = json_at_key(at, "activation");
    const struct json_at classes = json_at_key(at, "classes");
    out->mlp.activation = ACTIVATION_RELU;
    size_t count = 0;
    if (json_get_array(&hidden, MODEL_LAYERS_MAX, &count)) {
        for (size_t i = 0; i < count; i++) {
            const struct json_at width = json_at_index(&hidden, i);
            (void)json_get_int(&width, 1, LAYER_WIDTH_MAX, &out->mlp.hidden[i]);
        }
        out->mlp.hidden_count = count;
    }
    (void)spec_opt_enum(&activation, activation_names, later_activations, &out->mlp.activation);
    (void)json_get_int(&classes, 2, CLASSES_MAX, &out->mlp.classes);
}

void model_spec_decode(const struct json_at *at, struct model_spec *out)
{
    if (!json_get_open_object(at))
        return;
    const struct json_at type = json_at_key(at, "type");
    /* Without a type of this release nobody can say which other fields are right. */
    if (spec_get_enum(&type, model_type_names, later_model_types, &out->type))
        decode_mlp(at, out);
}

json_t *model_spec_encode(const struct model_spec *spec)
{
    json_t *hidden = json_array();
    for (size_t i = 0; i < spec->mlp.hidden_count; i++)
        (void)json_array_append_new(hidden, json_integer(spec->mlp.hidden[i]));
    return json_pack("{s:s, s:o, s:s, s:I}", "type", model_type_names[spec->type], "hidden", hidden,
                     "activation", activation_names[spec->mlp.activation], "classes",
                     (json_int_t)spec->mlp.classes);
}

static uint64_t mlp_parameters(const struct model_spec *spec, uint64_t input_width)
{
    uint64_t parameters = 0;
    uint64_t width = input_width;
    for (size_t i = 0; i < spec->mlp.hidden_count; i++) {
        const uint64_t next = (uint64_t)spec->mlp.hidden[i];
        parameters += (width + 1) * next;
        width = next;
    }
    return parameters + (width + 1) * (uint64_t)spec->mlp.classes;
}

uint64_t job_spec_state_bytes(const struct job_spec *spec, int64_t input_width)
{
    const uint64_t width = input_width > 0 ? (uint64_t)input_width : MNIST_WIDTH;
    /* Parameters, and per parameter Adam's two moments or SGD's velocity. */
    const uint64_t vectors = spec->optimizer.type == OPTIMIZER_ADAM ? 3 : 2;
    return mlp_parameters(&spec->model, width) * vectors * BYTES_PER_PARAMETER + CHECKPOINT_ROOM;
}

/* ------------------------------------------------------------------ data */

/* A file below the dataset's root: no way out of it, whatever the root is. */
static bool is_relative_file(const char *path)
{
    for (const char *part = path; part != NULL;) {
        const size_t length = strcspn(part, "/");
        const bool dots =
            (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.');
        if (length == 0 || dots)
            return false;
        part = part[length] == '/' ? part + length + 1 : NULL;
    }
    return true;
}

static void decode_file(const struct json_at *at, char out[DATA_FILE_BYTES])
{
    const char *path = NULL;
    if (!json_get_string(at, DATA_FILE_BYTES - 1, &path))
        return;
    if (!is_relative_file(path)) {
        json_problem_add(at, "file relative to the dataset's root, without \"..\"");
        return;
    }
    (void)text_copy(out, DATA_FILE_BYTES, path);
}

static void decode_part(const struct json_at *at, struct data_part *out)
{
    static const char *const known[] = {"format", "features", "labels", NULL};
    if (!json_get_open_object(at))
        return;
    const struct json_at format = json_at_key(at, "format");
    if (!spec_get_enum(&format, format_names, later_formats, &out->format))
        return;
    if (!spec_get_object(at, known, none))
        return;
    const struct json_at features = json_at_key(at, "features");
    const struct json_at labels = json_at_key(at, "labels");
    decode_file(&features, out->features);
    decode_file(&labels, out->labels);
}

void data_spec_decode(const struct json_at *at, struct data_spec *out)
{
    static const char *const known[] = {"train", "eval", "root", NULL};
    static const char *const later[] = {"separator", "header", "columns", "classes",   "split",
                                        "user",      "item",   "time",    "negatives", NULL};
    if (!spec_get_object(at, known, later))
        return;
    const struct json_at train = json_at_key(at, "train");
    const struct json_at eval = json_at_key(at, "eval");
    const struct json_at root = json_at_key(at, "root");
    decode_part(&train, &out->train);
    if (json_present(&eval))
        decode_part(&eval, &out->eval);
    (void)spec_get_name(&root, out->root);
}

static json_t *encode_part(const struct data_part *part)
{
    return json_pack("{s:s, s:s, s:s}", "format", format_names[part->format], "features",
                     part->features, "labels", part->labels);
}

json_t *data_spec_encode(const struct data_spec *spec)
{
    json_t *eval = spec->eval.features[0] == '\0' ? json_null() : encode_part(&spec->eval);
    return json_pack("{s:o, s:o, s:s}", "train", encode_part(&spec->train), "eval", eval, "root",
                     spec->root);
}
