#ifndef SCHEMA_JOB_SPEC_H
#define SCHEMA_JOB_SPEC_H

/*
 * job_spec.h - what a job is asked to do: the document of POST /v1/jobs, decoded and complete.
 *
 * job_spec_decode() is strict: it names every wrong, missing and unknown field, fills defaults, and
 * refuses with "later release" what is specified but not built yet. job_spec_encode() writes the
 * complete spec; its canonical bytes (sorted keys, compact) are what is stored, shown, hashed and
 * handed to the trainer. decode(encode(spec)) is the identity.
 *
 * Adding a model family, a format, an optimizer or a sync mode: one enumerator, its word, its struct
 * and its two functions in job_spec_<part>.c; job.schema.json; examples in schema/examples.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

#define JOB_NAME_BYTES           64
#define JOB_LABELS_MAX           32
#define JOB_LABEL_KEY_BYTES      64
#define JOB_LABEL_BYTES          256
#define JOB_RANKS_MAX            1024
#define JOB_BATCH_MAX            (1 << 20)
#define MODEL_LAYERS_MAX         16
#define MODEL_CLASSES_LISTED_MAX 256 /* that can be named in "classes" or weighted one by one */
#define DATA_FILE_BYTES          256
#define DATA_COLUMNS_MAX         256
#define DATA_COLUMN_BYTES        64
#define DATA_SEPARATOR_BYTES     8
#define METRIC_NAME_BYTES        32
#define JOB_SPEC_BYTES_MAX \
    (256 * KIB) /* as POST /v1/jobs takes; the largest complete spec has less */

enum model_type { MODEL_MLP, MODEL_BILSTM, MODEL_NCF };
enum activation { ACTIVATION_RELU, ACTIVATION_GELU, ACTIVATION_TANH };
enum model_head { HEAD_SOFTMAX, HEAD_SIGMOID, HEAD_LINEAR };
enum ncf_variant { NCF_NEUMF, NCF_GMF, NCF_MLP };
enum sequence_padding { PADDING_SKIP, PADDING_COMPUTE };
enum data_format {
    DATA_IDX,
    DATA_NPY,
    DATA_CSV,
    DATA_TSV,
    DATA_TEXT,
    DATA_JSONL,
    DATA_INTERACTIONS
};
enum column_kind { COLUMN_IGNORE, COLUMN_NUMERIC, COLUMN_CATEGORY, COLUMN_TEXT, COLUMN_LABEL };
enum normalize { NORMALIZE_STANDARD, NORMALIZE_NONE };
enum split_by { SPLIT_NONE, SPLIT_HASH, SPLIT_TIME };
enum error_policy { ON_ERROR_FAIL, ON_ERROR_SKIP };
enum class_weighting { CLASS_WEIGHTS_NONE, CLASS_WEIGHTS_BALANCED, CLASS_WEIGHTS_GIVEN };
enum optimizer_type { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_ADAGRAD };
enum embedding_update { EMBEDDING_DENSE, EMBEDDING_SPARSE };
enum schedule_type { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_COSINE, SCHEDULE_LINEAR };
enum sync_mode { SYNC_ALLREDUCE, SYNC_PARAMETER_SERVER, SYNC_SHARDED };
enum nan_policy { ON_NAN_FAIL, ON_NAN_ROLLBACK };
enum metric_mode { METRIC_MIN, METRIC_MAX };
enum job_device { JOB_DEVICE_AUTO, JOB_DEVICE_CUDA, JOB_DEVICE_CPU };
enum controller_loss { CONTROLLER_LOSS_CONTINUE, CONTROLLER_LOSS_STOP };
enum compute_precision { PRECISION_FP32 };

extern const char *const model_type_names[];
extern const char *const model_head_names[];
extern const char *const job_device_names[];

/* One member is meant, by `type`; the others are zero. */
struct model_spec {
    int type; /* enum model_type */
    struct {
        int64_t hidden[MODEL_LAYERS_MAX];
        size_t hidden_count;
        int activation;          /* enum activation */
        double dropout;          /* behind each hidden layer; 0: none */
        int head;                /* enum model_head */
        int64_t classes;         /* softmax; 1 for the other heads */
        int64_t embedding_width; /* of each category column; default 16 */
    } mlp;
    struct {
        int64_t embedding; /* width, default 128 */
        int64_t hidden;    /* of each direction, default 128 */
        int head;          /* HEAD_SIGMOID (default) or HEAD_SOFTMAX */
        int64_t classes;   /* softmax; 1 for sigmoid */
        int padding;       /* enum sequence_padding; default skip */
    } bilstm;
    struct {
        int variant;     /* enum ncf_variant, default neumf */
        int64_t factors; /* width of GMF's vectors, default 8 */
        int64_t layers
            [MODEL_LAYERS_MAX]; /* of the MLP; the first is its input: user and item half each; default 64 32 16 8 */
        size_t layer_count;
        int64_t negatives; /* sampled for each positive, default 4 */
        int64_t top_k;     /* of HR@k and NDCG@k, default 10 */
    } ncf;
};

/* A file or two of one part. */
struct data_part {
    int format;                     /* enum data_format; the same in both parts */
    char features[DATA_FILE_BYTES]; /* idx, npy: relative to the root, no "..", no leading "/" */
    char labels[DATA_FILE_BYTES];   /* idx, npy */
    char file[DATA_FILE_BYTES];     /* the other formats */
};

struct data_column {
    char name[DATA_COLUMN_BYTES];
    int kind; /* enum column_kind */
    int64_t
        buckets; /* category: rows of its table, hashed into; default 1024, row 0 is "missing" */
};

#define DATA_CLASS_LEFT_OUT (-1) /* as JSON: null */

struct data_class {
    char value[DATA_COLUMN_BYTES];
    int64_t index; /* DATA_CLASS_LEFT_OUT: records of this class belong to no part */
};

/* How records are read; one description for both parts. */
struct data_spec {
    struct data_part train;
    struct data_part eval;     /* neither features nor file: none (but see split) */
    char root[JOB_NAME_BYTES]; /* name of a registered dataset */
    /* csv, tsv, text, jsonl */
    char separator
        [DATA_SEPARATOR_BYTES]; /* default "," csv, tab tsv and interactions; text must name it */
    bool header; /* the first line names the columns; default true for csv, else false */
    struct data_column columns[DATA_COLUMNS_MAX];
    size_t column_count;
    struct data_class
        classes[MODEL_CLASSES_LISTED_MAX]; /* none: labels are numbers, see label_classes */
    size_t class_count;
    int64_t
        label_classes; /* labels without `classes`: integers below it; 0: numbers. By the model's head */
    int normalize; /* enum normalize: of numeric columns, fitted on the training part */
    int64_t
        vocabulary; /* text: rows of the word table, 0 = padding, 1 = other words; default 10000 */
    int64_t length; /* text: the last so many tokens stay; default 100 */
    /* interactions: names of columns with a header, else their positions "0", "1", ... */
    char user[DATA_COLUMN_BYTES], item[DATA_COLUMN_BYTES];
    char time[DATA_COLUMN_BYTES];         /* empty: none */
    char negatives_file[DATA_FILE_BYTES]; /* empty: sampled, 99 a user */
    /* A part of `train` set aside for evaluation, when there is no `eval`. */
    struct {
        int by; /* enum split_by */
        char column[DATA_COLUMN_BYTES];
        double test_share; /* default 0.2; of interactions one item a user is set aside instead */
    } split;
    int on_error;       /* enum error_policy */
    int64_t max_errors; /* skip: more than these fail after all; default 100; else 0 */
};

struct schedule_spec {
    int type;             /* enum schedule_type */
    int64_t warmup_steps; /* linear from 0 */
    int64_t every_steps;  /* step: times `factor` each */
    double factor;        /* step */
    double min_factor;    /* cosine and linear end here, at the last step */
};

struct optimizer_spec {
    int type; /* enum optimizer_type */
    double lr;
    double beta1, beta2, eps; /* adam, adamw; eps also adagrad */
    double momentum;          /* sgd */
    double weight_decay;
    double initial_accumulator; /* adagrad */
    int embeddings;   /* enum embedding_update: sparse touches the rows of a batch alone */
    double clip_norm; /* 0: not clipped */
    struct schedule_spec schedule;
};

struct early_stopping_spec {
    char metric[METRIC_NAME_BYTES]; /* "eval_loss"; empty: none */
    int mode;                       /* enum metric_mode */
    int64_t patience;               /* evaluations without gain */
    double min_delta;
};

struct guard_spec {
    int on_nan; /* enum nan_policy */
    int64_t max_rollbacks;
    double rollback_lr_factor;   /* times the learning rate, at each */
    int64_t replica_check_steps; /* 0: never */
    double loss_spike; /* warn when a step's loss exceeds so many times its moving mean; 0: never */
};

struct training_spec {
    int64_t epochs;     /* 0: steps rules */
    int64_t steps;      /* 0: epochs rules */
    int64_t batch_size; /* global */
    uint64_t seed;
    int precision;        /* enum compute_precision */
    int sync;             /* enum sync_mode */
    int64_t servers;      /* parameter_server: the last so many ranks serve */
    int64_t staleness;    /* parameter_server: steps that a worker may be ahead; 0: synchronous */
    bool reproducible;    /* the same bits for any number of ranks that divides micro_shards */
    int64_t micro_shards; /* reproducible: a power of two, default 8; else 1 */
    int64_t accumulate_steps; /* parts that a rank works through one after the other, default 1 */
    int class_weights;        /* enum class_weighting */
    double given_class_weights[MODEL_CLASSES_LISTED_MAX];
    size_t given_class_weight_count;
    struct early_stopping_spec early_stopping;
    struct guard_spec guards;
    int64_t threads_per_rank;
    int64_t metrics_every_steps;
    int64_t eval_every_epochs; /* 0: only at the end */
};

struct resources_spec {
    int64_t ranks;
    int device;            /* enum job_device */
    int64_t memory_bytes;  /* of each rank; 0: not limited */
    int64_t time_limit_ms; /* 0: none */
};

struct checkpoint_spec {
    int64_t every_steps; /* 0: not by steps */
    int64_t every_ms;    /* 0: not by time */
    int64_t keep_last;
    char best_metric
        [METRIC_NAME_BYTES]; /* the parameters with the best value are kept and exported; empty: the last */
    int best_mode;           /* enum metric_mode */
};

struct retry_spec {
    int64_t max_restarts;
    int64_t max_infra_restarts;
    int64_t hang_timeout_ms; /* 0: auto */
    int on_controller_loss;  /* enum controller_loss */
    int64_t orphan_timeout_ms;
};

struct job_label {
    char key[JOB_LABEL_KEY_BYTES];
    char value[JOB_LABEL_BYTES];
};

struct job_spec {
    char name[JOB_NAME_BYTES];
    char project[JOB_NAME_BYTES];
    struct model_spec model;
    struct data_spec data;
    struct optimizer_spec optimizer;
    struct training_spec training;
    struct resources_spec resources;
    struct checkpoint_spec checkpoint;
    struct retry_spec retry;
    int64_t priority; /* 0..100, higher first; default 50 */
    struct job_label labels[JOB_LABELS_MAX];
    size_t label_count;
};

/* Decodes and completes; problems are collected, *out is valid when there are none. */
void job_spec_decode(const struct json_at *at, struct job_spec *out);
/* The complete spec, a new reference; NULL only when out of memory. */
json_t *job_spec_encode(const struct job_spec *spec);
/* The canonical text of a section "data": the name of what is decoded from it. To be freed; NULL: no memory. */
char *data_spec_text(const struct data_spec *spec);
/* Names of jobs, projects, datasets, labels' keys: [a-z0-9][a-z0-9._-]{0,62} */
bool job_name_is_valid(const char *text);
/*
 * Upper bound of the bytes of one checkpoint (parameters, optimizer state, best and rollback copies),
 * from the spec alone. What only the data says is given by the caller, or 0 for an assumption: the
 * input's width of an mlp over arrays (784, as MNIST's), users and items together of an ncf (20,000,
 * so a larger data set exceeds the bound).
 */
uint64_t job_spec_state_bytes(const struct job_spec *spec, int64_t input_width);

#endif
