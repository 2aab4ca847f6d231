/* job_spec_model.c - the section "model": the families and their fields. */

#include "schema/job_spec_parts.h"

#define LAYER_WIDTH_MAX         65536
#define CLASSES_MAX             65536
#define EMBEDDING_MAX           4096
#define EMBEDDING_WIDTH_DEFAULT 16
#define LSTM_HIDDEN_MAX         4096
#define LSTM_WIDTH_DEFAULT      128
#define FACTORS_DEFAULT         8
#define NEGATIVES_MAX           1000
#define NEGATIVES_DEFAULT       4
#define TOP_K_MAX               1000
#define TOP_K_DEFAULT           10

const char *const model_type_names[] = {
    [MODEL_MLP] = "mlp", [MODEL_BILSTM] = "bilstm", [MODEL_NCF] = "ncf", NULL};
static const char *const later_model_types[] = {"dlrm", "deepfm", "kge", "transformer", NULL};
static const char *const activation_names[] = {
    [ACTIVATION_RELU] = "relu", [ACTIVATION_GELU] = "gelu", [ACTIVATION_TANH] = "tanh", NULL};
const char *const model_head_names[] = {
    [HEAD_SOFTMAX] = "softmax", [HEAD_SIGMOID] = "sigmoid", [HEAD_LINEAR] = "linear", NULL};
static const char *const bilstm_head_names[] = {
    [HEAD_SOFTMAX] = "softmax", [HEAD_SIGMOID] = "sigmoid", NULL};
static const char *const padding_names[] = {
    [PADDING_SKIP] = "skip", [PADDING_COMPUTE] = "compute", NULL};
static const char *const variant_names[] = {
    [NCF_NEUMF] = "neumf", [NCF_GMF] = "gmf", [NCF_MLP] = "mlp", NULL};
static const char *const later_fields[] = {"placement", NULL};

/* ------------------------------------------------------------------ decoding */

/* "head" and "classes": a softmax over so many, or one number, which needs no count. */
static void decode_head(const struct json_at *at, const char *const names[], int *out_head,
                        int64_t *out_classes)
{
    static const char *const fields[] = {"classes", NULL};
    const struct json_at head = json_at_key(at, "head");
    const struct json_at classes = json_at_key(at, "classes");
    if (!json_opt_enum(&head, names, out_head))
        return;
    if (*out_head == HEAD_SOFTMAX) {
        (void)json_get_int(&classes, 2, CLASSES_MAX, out_classes);
        return;
    }
    *out_classes = 1;
    spec_refuse(at, fields, "the head gives one number");
}

static void decode_mlp(const struct json_at *at, struct model_spec *out)
{
    static const char *const known[] = {"type", "hidden",  "activation",      "dropout",
                                        "head", "classes", "embedding_width", NULL};
    if (!spec_get_object(at, known, later_fields))
        return;
    const struct json_at hidden = json_at_key(at, "hidden");
    const struct json_at activation = json_at_key(at, "activation");
    const struct json_at dropout = json_at_key(at, "dropout");
    const struct json_at embedding = json_at_key(at, "embedding_width");
    out->mlp.embedding_width = EMBEDDING_WIDTH_DEFAULT;
    (void)spec_get_widths(&hidden, LAYER_WIDTH_MAX, out->mlp.hidden, &out->mlp.hidden_count);
    (void)json_opt_enum(&activation, activation_names, &out->mlp.activation);
    (void)json_opt_double(&dropout, 0.0, SPEC_BELOW_ONE, &out->mlp.dropout);
    decode_head(at, model_head_names, &out->mlp.head, &out->mlp.classes);
    (void)json_opt_int(&embedding, 1, EMBEDDING_MAX, &out->mlp.embedding_width);
}

static void decode_bilstm(const struct json_at *at, struct model_spec *out)
{
    static const char *const known[] = {"type",    "embedding", "hidden", "head",
                                        "classes", "padding",   NULL};
    if (!spec_get_object(at, known, later_fields))
        return;
    const struct json_at embedding = json_at_key(at, "embedding");
    const struct json_at hidden = json_at_key(at, "hidden");
    const struct json_at padding = json_at_key(at, "padding");
    out->bilstm.embedding = LSTM_WIDTH_DEFAULT;
    out->bilstm.hidden = LSTM_WIDTH_DEFAULT;
    out->bilstm.head = HEAD_SIGMOID;
    (void)json_opt_int(&embedding, 1, EMBEDDING_MAX, &out->bilstm.embedding);
    (void)json_opt_int(&hidden, 1, LSTM_HIDDEN_MAX, &out->bilstm.hidden);
    decode_head(at, bilstm_head_names, &out->bilstm.head, &out->bilstm.classes);
    (void)json_opt_enum(&padding, padding_names, &out->bilstm.padding);
}

/* The towers' input is the user's vector beside the item's, so its width is even. */
static void decode_ncf_layers(const struct json_at *at, struct model_spec *out)
{
    static const int64_t initial[] = {64, 32, 16, 8};
    if (!json_present(at)) {
        for (size_t i = 0; i < COUNT_OF(initial); i++)
            out->ncf.layers[i] = initial[i];
        out->ncf.layer_count = COUNT_OF(initial);
        return;
    }
    if (!spec_get_widths(at, LAYER_WIDTH_MAX, out->ncf.layers, &out->ncf.layer_count))
        return;
    if (out->ncf.layer_count == 0) {
        json_problem_add(at, "array of at least 1 width");
        return;
    }
    const struct json_at first = json_at_index(at, 0);
    if (out->ncf.layers[0] % 2 != 0)
        json_problem_add(&first, "even number: half for the user, half for the item");
}

static void decode_ncf(const struct json_at *at, struct model_spec *out)
{
    static const char *const known[] = {"type",      "variant", "factors", "layers",
                                        "negatives", "top_k",   NULL};
    static const char *const of_gmf[] = {"factors", NULL};
    static const char *const of_towers[] = {"layers", NULL};
    if (!spec_get_object(at, known, later_fields))
        return;
    const struct json_at variant = json_at_key(at, "variant");
    const struct json_at factors = json_at_key(at, "factors");
    const struct json_at layers = json_at_key(at, "layers");
    const struct json_at negatives = json_at_key(at, "negatives");
    const struct json_at top_k = json_at_key(at, "top_k");
    out->ncf.negatives = NEGATIVES_DEFAULT;
    out->ncf.top_k = TOP_K_DEFAULT;
    (void)json_opt_int(&negatives, 1, NEGATIVES_MAX, &out->ncf.negatives);
    (void)json_opt_int(&top_k, 1, TOP_K_MAX, &out->ncf.top_k);
    if (!json_opt_enum(&variant, variant_names, &out->ncf.variant))
        return;
    if (out->ncf.variant == NCF_MLP) {
        spec_refuse(at, of_gmf, "variant \"mlp\" has layers alone");
    } else {
        out->ncf.factors = FACTORS_DEFAULT;
        (void)json_opt_int(&factors, 1, EMBEDDING_MAX, &out->ncf.factors);
    }
    if (out->ncf.variant == NCF_GMF)
        spec_refuse(at, of_towers, "variant \"gmf\" has factors alone");
    else
        decode_ncf_layers(&layers, out);
}

void model_spec_decode(const struct json_at *at, struct model_spec *out)
{
    if (!json_get_open_object(at))
        return;
    const struct json_at type = json_at_key(at, "type");
    /* Without a type of this release nobody can say which other fields are right. */
    if (!spec_get_enum(&type, model_type_names, later_model_types, &out->type))
        return;
    switch ((enum model_type)out->type) {
    case MODEL_MLP:
        decode_mlp(at, out);
        return;
    case MODEL_BILSTM:
        decode_bilstm(at, out);
        return;
    case MODEL_NCF:
        decode_ncf(at, out);
        return;
    }
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_mlp(const struct job_spec *spec)
{
    const struct model_spec *model = &spec->model;
    json_t *out = json_pack("{s:s, s:o, s:s, s:f, s:s}", "type", model_type_names[model->type],
                            "hidden", spec_widths_json(model->mlp.hidden, model->mlp.hidden_count),
                            "activation", activation_names[model->mlp.activation], "dropout",
                            model->mlp.dropout, "head", model_head_names[model->mlp.head]);
    if (model->mlp.head == HEAD_SOFTMAX)
        spec_set(&out, "classes", json_integer(model->mlp.classes));
    if (job_spec_has_tables(spec))
        spec_set(&out, "embedding_width", json_integer(model->mlp.embedding_width));
    return out;
}

static json_t *encode_bilstm(const struct model_spec *model)
{
    json_t *out = json_pack(
        "{s:s, s:I, s:I, s:s, s:s}", "type", model_type_names[model->type], "embedding",
        (json_int_t)model->bilstm.embedding, "hidden", (json_int_t)model->bilstm.hidden, "head",
        model_head_names[model->bilstm.head], "padding", padding_names[model->bilstm.padding]);
    if (model->bilstm.head == HEAD_SOFTMAX)
        spec_set(&out, "classes", json_integer(model->bilstm.classes));
    return out;
}

static json_t *encode_ncf(const struct model_spec *model)
{
    json_t *out =
        json_pack("{s:s, s:s, s:I, s:I}", "type", model_type_names[model->type], "variant",
                  variant_names[model->ncf.variant], "negatives", (json_int_t)model->ncf.negatives,
                  "top_k", (json_int_t)model->ncf.top_k);
    if (model->ncf.variant != NCF_MLP)
        spec_set(&out, "factors", json_integer(model->ncf.factors));
    if (model->ncf.variant != NCF_GMF)
        spec_set(&out, "layers", spec_widths_json(model->ncf.layers, model->ncf.layer_count));
    return out;
}

json_t *model_spec_encode(const struct job_spec *spec)
{
    switch ((enum model_type)spec->model.type) {
    case MODEL_MLP:
        return encode_mlp(spec);
    case MODEL_BILSTM:
        return encode_bilstm(&spec->model);
    case MODEL_NCF:
        return encode_ncf(&spec->model);
    }
    return NULL;
}

char *data_spec_text(const struct data_spec *spec)
{
    CLEANUP(json_cleanup) json_t *json = data_spec_encode(spec);
    return json == NULL ? NULL : json_canonical(json);
}
