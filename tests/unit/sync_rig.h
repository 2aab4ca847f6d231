#ifndef TESTS_UNIT_SYNC_RIG_H
#define TESTS_UNIT_SYNC_RIG_H

/*
 * sync_rig.h - a small problem that gangs of forked ranks train by any way to synchronise.
 *
 * The gradient of a shard depends on the parameters, so that trajectories feed back; a global batch is
 * RIG_SHARDS shards, dealt to the workers in order. In the middle of the vector lies a table of which
 * a shard touches two rows.
 */

#include "tests/unit/comm_gang.h"
#include "trainer/sync/sync.h"

enum {
    RIG_SHARDS = 8,
    RIG_TABLE_OFFSET = 1003,
    RIG_TABLE_ROWS = 301,
    RIG_TABLE_WIDTH = 7,
    RIG_COUNT = 5003,
};

struct rig_case {
    struct training_spec training;
    struct optimizer_spec optimizer; /* embeddings says whether the table is sparse */
    size_t count;                    /* of parameters; 0: RIG_COUNT */
    int steps;
    bool shards_by_tree; /* a rank's shards are summed as a tree: reproducible */
    int killed_rank;     /* of a rank that dies in the middle; 0: nobody does */
    int slow_rank;       /* of a worker that sleeps a little in each step; 0: nobody does */
    bool is_never_ready; /* before step() */
    bool spoils_rank_1;  /* a parameter of rank 1 is changed after the last step */
};

/* What rank 0 has after the last step; shared with the test. */
struct rig_result {
    double first_loss, last_loss;      /* of the sums in the tail */
    _Atomic int begun[GANG_RANKS_MAX]; /* steps that each rank has begun */
    float *parameters;                 /* (count) */
    float *states[OPTIM_STATES_MAX];
};

/* Memory for the results of `count` parameters (0: RIG_COUNT) that forked ranks write to. */
struct rig_result *rig_result_new(size_t count);
void rig_result_free(struct rig_result *result, size_t count);
/* Runs the case on a gang; every rank must succeed. */
void rig_run(const struct rig_case *what, int world_size, int ranks_per_node,
             struct rig_result *out);
/* What each rank does, for gang_start(); `context` is a struct rig_context. */
struct rig_context {
    const struct rig_case *what;
    struct rig_result *result;
};
gang_rank_fn rig_rank;

#endif
