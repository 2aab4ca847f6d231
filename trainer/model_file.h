#ifndef TRAINER_MODEL_FILE_H
#define TRAINER_MODEL_FILE_H

/*
 * model_file.h - model.safetensors as one who scores with it sees it: the tensors, the job's complete
 * spec, and what was fitted on the training data. Nothing else is needed to use a model.
 *
 * Metadata, all texts (train_export.c writes them):
 *
 *   format             "pt": names and shapes are PyTorch's
 *   model              the family, "mlp"
 *   spec, spec_sha256  the complete spec in canonical JSON, and the SHA-256 of these bytes
 *   fit                JSON: normaliser, vocabulary, classes (trainer/data/fit.h); "" where nothing is
 *   data_train_sha256, data_eval_sha256   of the decoded data; "" without evaluation
 *   seed, steps, samples                  of the training that made the weights
 *   metrics            {"eval_loss": 0.1, ...}: the figures of the end
 *   sync, reproducible "allreduce"; "yes", or "no" when gradients came whenever they came
 *   reprise_version, numerics
 *
 * The SHA-256 that names a model is over the tensors alone (safetensors_digest).
 *
 * Errors:    STATUS_CORRUPT and STATUS_UNSUPPORTED name file and key.
 * Ownership: what it points to lies in the file and lives as long as it is open.
 */

#include "schema/job_spec.h"
#include "trainer/export/safetensors.h"
#include "trainer/model/model.h"

struct model_file {
    struct safetensors *tensors;
    struct job_spec spec;
    const char *spec_sha256;
    const char *fit; /* "" for none */
};

MUST_CHECK enum status model_file_open(const char *path, struct model_file *out, struct error *err);
void model_file_close(struct model_file *file); /* a zeroed one is fine */

/* Uploads the tensors to the flat vector of a model that was opened with the file's spec. */
MUST_CHECK enum status model_file_load(const struct model_file *file, const struct model *model,
                                       struct device device, float *parameters, struct error *err);

#endif
