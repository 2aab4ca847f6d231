#ifndef SERVICE_LIVE_H
#define SERVICE_LIVE_H

/*
 * live.h - what moves too fast for the database of state: the newest progress and metrics of jobs and
 * the phase of ranks. In memory only; merged into answers, it moves no revision.
 *
 * After a restart it is empty; whoever misses a job here asks telemetry.db and puts it in with
 * live_restore(). What comes from an older attempt than the one known changes nothing.
 *
 * Bounds: LIVE_JOBS_MAX jobs; the one that was touched longest ago makes room.
 * Threads: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"

#define LIVE_JOBS_MAX    4096
#define LIVE_METRICS_MAX 64
#define LIVE_NAME_BYTES  64
#define LIVE_RANKS_MAX   1024

struct live;

struct live_metric {
    char name[LIVE_NAME_BYTES];
    double value;
};

struct live_job {
    int64_t attempt; /* 0: nothing known */
    int64_t step;
    int64_t of;    /* 0: not said */
    int64_t epoch; /* -1: not said */
    int64_t wall_ms;
    size_t metric_count;
    struct live_metric metrics[LIVE_METRICS_MAX];
};

struct live_rank {
    bool known;
    int phase; /* enum progress_phase */
    int64_t step;
};

MUST_CHECK enum status live_new(struct live **out, struct error *err);
void live_free(struct live *live); /* accepts NULL */

/* False when the job is not held. */
bool live_get(struct live *live, const char *job, struct live_job *out);
struct live_rank live_get_rank(struct live *live, const char *job, int64_t attempt, int64_t rank);

/* What telemetry.db knows; a job that has come in meanwhile stays as it is. */
void live_restore(struct live *live, const char *job, const struct live_job *known);
/* `of` 0 and `epoch` -1 leave what is known. Out of memory: it is not shown until the next one. */
void live_progress(struct live *live, const char *job, int64_t attempt, int64_t step, int64_t of,
                   int64_t epoch, int64_t wall_ms);
void live_metric(struct live *live, const char *job, int64_t attempt, const char *name,
                 double value);
void live_rank(struct live *live, const char *job, int64_t attempt, int64_t rank, int phase,
               int64_t step);
/* When the state of this step was copied, by the clock of the rank that told of it first. */
void live_checkpoint(struct live *live, const char *job, int64_t attempt, int64_t step,
                     int64_t wall_ms);
int64_t live_checkpoint_wall_ms(struct live *live, const char *job, int64_t attempt,
                                int64_t step); /* 0: not heard of */
/* True for the first step that this attempt shows beyond `resume_step`, once. */
bool live_first_step(struct live *live, const char *job, int64_t attempt, int64_t step,
                     int64_t resume_step);

#endif
