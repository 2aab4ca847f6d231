#ifndef TESTS_BENCH_FAMILIES_H
#define TESTS_BENCH_FAMILIES_H

/*
 * families.h - the same model, data and batches trained by reprise-trainer and by PyTorch, for
 * bench_families.c.
 *
 * Ours is a job of deploy/jobs or tests/bench/pytorch with changes; PyTorch's is a script of
 * tests/bench/pytorch. Either runs as one process or as two. A speed is rows over the time of their
 * steps, so neither side's start, evaluation and end count. It is no median of short windows: on a
 * busy machine those favour whoever's window fits between two turns of somebody else.
 */

#include <jansson.h>
#include <stdbool.h>

#include "tests/integration/gang.h"

#define FAMILY_ARGUMENTS_MAX 8
#define FAMILY_FOLDER_BYTES  64
#define FAMILY_PATIENCE_MS   (3 * 3600 * 1000) /* a quality run may take long */

/* One comparison. */
struct family {
    const char *name;
    const char *job;     /* file of ours */
    const char *folder;  /* below $REPRISE_DATA; NULL: the folder that families_prepare() filled */
    const char *padding; /* bilstm: "compute" or "skip"; NULL: the job's */
    int length;          /* bilstm: tokens that stay of a text; 0: not asked */
    const char *script;  /* file in tests/bench/pytorch */
    const char *arguments[FAMILY_ARGUMENTS_MAX]; /* of the script; ends with NULL */
    int batch;                                   /* rows of each rank */
    int window;                                  /* steps timed together */
    int steps;                                   /* of PyTorch's run for speed */
    int our_steps;                               /* of ours, so that it takes as long */
    int large_batch;                             /* of all ranks, for 1 against 2 of ours */
    double mark_of_one, mark_of_two; /* times PyTorch, as the project's goals say; 0: none */
};

/* What a run came to; NaN for what it does not say. */
struct family_run {
    double samples_per_second;
    double samples_per_cpu_second; /* of rank 0's share: a busy machine changes it less */
    double resident_bytes;         /* of a rank, at its peak */
    double accuracy, auc, hr, ndcg;
};

/* Why nothing can be compared here ("REPRISE_DATA is not set"), or NULL. */
const char *families_missing(void);
/* Writes the phrase bank's (or imdb's) training and test rows, the same for both sides, into a new folder. */
void families_prepare(const char *dataset, char out_folder[FAMILY_FOLDER_BYTES]);

/* `steps` 0: all of `epochs`, and an evaluation. `batch` is of each process. */
struct family_length {
    int batch, steps, epochs, seed;
};
/* False with a line on stdout when the run failed. `prepared`: the folder of families_prepare() or NULL. */
bool family_run_ours(const struct family *family, const char *prepared, int ranks,
                     const struct family_length *length, struct family_run *out);
bool family_run_torch(const struct family *family, int ranks, const struct family_length *length,
                      struct family_run *out);

#endif
