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

#define JOB_NAME_BYTES      64
#define JOB_LABELS_MAX      32
#define JOB_LABEL_KEY_BYTES 64
#define JOB_LABEL_BYTES     256
#define JOB_RANKS_MAX       1024
#define JOB_BATCH_MAX       (1 << 20)
#define MODEL_LAYERS_MAX    16
#define DATA_FILE_BYTES     256
#define JOB_SPEC_BYTES_MAX  (64 * KIB)

enum model_type { MODEL_MLP };
enum activation { ACTIVATION_RELU };
enum data_format { DATA_IDX };
enum optimizer_type { OPTIMIZER_SGD, OPTIMIZER_ADAM };
enum sync_mode { SYNC_ALLREDUCE };
enum job_device { JOB_DEVICE_AUTO, JOB_DEVICE_CUDA, JOB_DEVICE_CPU };
enum controller_loss { CONTROLLER_LOSS_CONTINUE, CONTROLLER_LOSS_STOP };
enum compute_precision { PRECISION_FP32 };

extern const char *const model_type_names[];
extern const char *const job_device_names[];

struct model_spec {
    int type; /* enum model_type */
    struct {
        int64_t hidden[MODEL_LAYERS_MAX];
        size_t hidden_count;
        int activation; /* enum activation */
        int64_t classes;
    } mlp;
};

struct data_part {
    int format;                     /* enum data_format */
    char features[DATA_FILE_BYTES]; /* relative to the root, no "..", no leading "/" */
    char labels[DATA_FILE_BYTES];
};

struct data_spec {
    struct data_part train;
    struct data_part eval;     /* eval.features[0] == 0: no evaluation */
    char root[JOB_NAME_BYTES]; /* name of a registered dataset */
};

struct optimizer_spec {
    int type; /* enum optimizer_type */
    double lr;
    double beta1, beta2, eps; /* adam */
    double momentum;          /* sgd */
    double weight_decay;
};

struct training_spec {
    int64_t epochs;     /* 0: steps rules */
    int64_t steps;      /* 0: epochs rules */
    int64_t batch_size; /* global */
    uint64_t seed;
    int precision; /* enum compute_precision */
    int sync;      /* enum sync_mode */
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
/* Names of jobs, projects, datasets, labels' keys: [a-z0-9][a-z0-9._-]{0,62} */
bool job_name_is_valid(const char *text);
/*
 * Upper bound of the bytes of one checkpoint (parameters and optimizer state), from the spec alone;
 * input width is unknown here, so it is given by the caller or 0 for "as MNIST's 784".
 */
uint64_t job_spec_state_bytes(const struct job_spec *spec, int64_t input_width);

#endif
