#ifndef TRAINER_TRAIN_H
#define TRAINER_TRAIN_H

/*
 * train.h - one rank's training, from contract to model file.
 *
 * train.c is the loop; train_open.c builds what it uses and takes it down; train_batch.c feeds one
 * step; train_report.c keeps the metric window and speaks, train_board.c also to TensorBoard;
 * train_doubts.c warns before the first step; train_eval.c evaluates; train_export.c writes the model. They share struct train.
 *
 * Threads: one, plus the checkpoint's writer. Signals only set flags (train_signal.c).
 */

#include <stdbool.h>
#include <stdint.h>

#include "schema/exit_code.h"
#include "schema/job_spec.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/comm.h"
#include "trainer/contract.h"
#include "trainer/data/data.h"
#include "trainer/data/fit.h"
#include "trainer/evaluator.h"
#include "trainer/events.h"
#include "trainer/model/model.h"
#include "trainer/model_file.h"
#include "trainer/progress.h"
#include "trainer/sync/grad_tree.h"
#include "trainer/sync/sync.h"
#include "trainer/train_feed.h"
#include "trainer/train_guard.h"
#include "trainer/train_plan.h"

#define TRAIN_BOARD_FOLDER "tensorboard" /* in the output folder */

/* What part of the work failed: decides the exit code. */
enum train_part {
    TRAIN_PART_SPEC,
    TRAIN_PART_DATA,
    TRAIN_PART_DEVICE,
    TRAIN_PART_GANG, /* rendezvous and collectives */
    TRAIN_PART_RESTORE,
    TRAIN_PART_STEP,
    TRAIN_PART_WRITE,
    TRAIN_PART_COUNT
};

/* Sums since the last multiple of metrics_every_steps. */
struct train_window {
    double sums[MODEL_METRICS_MAX];
    int64_t rows;
    int64_t timed_rows; /* those of this process: a resumed window also has older ones */
    int64_t started_ns; /* monotonic, moved on by pauses that are no training */
};

struct train {
    const struct contract *contract;
    struct job_spec spec;
    char spec_sha256[SHA256_HEX_BYTES];
    enum train_part part; /* what is being done */

    struct events *events;  /* NULL: an evaluation alone, which reports nothing */
    struct tfevents *board; /* rank 0's, from its first metric on; else NULL */
    struct progress_page *progress;
    struct dataset training, evaluation; /* evaluation.count is 0: none */
    struct device device;
    struct comm *comm;
    struct model *model;
    struct sync *sync;
    struct grad_tree *tree; /* sums micro-shards; NULL unless reproducible */
    struct checkpoints *checkpoints;

    struct sync_memory parameter_memory, gradient_memory;
    float *parameters; /* device (count) */
    float *gradients;  /* device (parameters, flags of tables' rows, SYNC_TAIL) */
    size_t parameter_count;
    size_t flag_count;                               /* 0 unless tables are updated sparsely */
    struct optim_table tables[MODEL_PARAMETERS_MAX]; /* those, if any */
    size_t table_count;
    struct feed_plan plan;
    struct feeder *feeder;
    uint8_t *device_feed;        /* of all calls of a step */
    struct evaluator *evaluator; /* NULL: nothing to evaluate on */
    int64_t eval_records;

    int64_t steps_per_epoch;
    int64_t total_steps;
    int64_t step; /* done */
    struct train_window window;
    int64_t step_rows; /* of the newest global batch */
    int64_t progress_reported_ms;
    int64_t checkpoint_mono_ms; /* when the last one was taken, or training began */
    bool checkpoint_owed;       /* one fell due while its predecessor was being written */
    bool checkpoint_agreed;     /* the words of the newest step, summed over the ranks */
    bool stop_agreed;
    bool stopped;

    int64_t trained_rows;        /* by all ranks, in this attempt */
    int64_t training_started_ns; /* monotonic, moved on by evaluations */
    double samples_per_second;   /* of this attempt, once it is through */
    struct train_results results;
    struct train_guard guard;
    struct train_plan memory;
    char model_path[PATH_BYTES_MAX];
    uint64_t model_bytes; /* of the file */
    char model_sha256[SHA256_HEX_BYTES];
};

/* Runs to the end; `train` is to be closed in every case. The error is reported in an event too. */
enum trainer_exit train_run(struct train *train, const struct contract *contract,
                            struct error *err);
void train_close(struct train *train);
/* The exit code of a failure. */
enum trainer_exit train_exit_of(enum train_part part, enum status status);
/*
 * Opens a saved model on the data of its spec, to be evaluated and not trained: data, device, model and
 * its parameters; nobody else, and nothing is reported. The contract names data and cache, which must be
 * nobody else's: what was fitted comes from the model. The training part is needed where an evaluation
 * asks it (interactions).
 */
MUST_CHECK enum status train_open_saved(struct train *train, const struct contract *contract,
                                        const struct model_file *file, struct error *err);
/* Decodes the spec and hashes its complete canonical form. */
MUST_CHECK enum status train_spec_load(const char *path, struct job_spec *out,
                                       char out_sha256[SHA256_HEX_BYTES], struct error *err);
/* The same for who tells all problems, and not the first alone; `problems` is zeroed. */
MUST_CHECK enum status train_spec_check(const char *path, struct json_problems *problems,
                                        struct job_spec *out, char out_sha256[SHA256_HEX_BYTES],
                                        struct error *err);

/* ---- between train*.c ---- */

/* Loads the spec and opens everything; restores the checkpoint or initialises. */
MUST_CHECK enum status train_open(struct train *train, const struct contract *contract,
                                  struct error *err);
/* Takes the next global batch: forward, backward, sum over the ranks, update. */
MUST_CHECK enum status train_step(struct train *train, struct error *err);
/* Accounts for the step and reports metrics and progress where they are due. */
MUST_CHECK enum status train_report_step(struct train *train, struct error *err);
/* The figures since the last metric event; nothing if there was no step. Called by all ranks. */
MUST_CHECK enum status train_report_window(struct train *train, struct error *err);
/* Rank 0 emits a metric event and writes its values for TensorBoard; others say nothing. */
MUST_CHECK enum status train_report_values(struct train *train, struct wire_event *event,
                                           struct error *err);
/* How far it is, by rank 0. A job that early stopping ends has no more steps than it did. */
MUST_CHECK enum status train_report_progress(struct train *train, struct error *err);
MUST_CHECK enum status train_report_started(struct train *train, struct error *err);
/* Rank 0 warns of malformed records that the readers passed over. */
MUST_CHECK enum status train_report_skipped(struct train *train, struct error *err);
/* Not MUST_CHECK: when it follows a failure, its own changes nothing. */
enum status train_report_finished(struct train *train, const char *status, const char *text,
                                  struct error *err);
MUST_CHECK enum status train_warn(struct train *train, struct error *err, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Rank 0 warns of what the spec and the data allow and nobody can mean; nothing on a resumed job. */
MUST_CHECK enum status train_doubt(struct train *train, struct error *err);
bool train_evaluation_is_due(const struct train *train);
MUST_CHECK enum status train_evaluate(struct train *train, struct error *err);
/* Rank 0 writes the model file; all ranks come together before and after. */
MUST_CHECK enum status train_export(struct train *train, struct error *err);
/* And model.onnx, where the family has that form. `fit` is NULL where nothing was fitted. */
MUST_CHECK enum status train_export_onnx(struct train *train,
                                         const struct safetensors_tensor *tensors, size_t count,
                                         const struct data_fit *fit, struct error *err);

/* Installs the handlers: SIGTERM and SIGINT ask to stop, SIGUSR1 asks for a checkpoint. */
void train_signal_setup(void);
bool train_signal_stop(void);
bool train_signal_take_checkpoint(void); /* and forgets it */

#endif
