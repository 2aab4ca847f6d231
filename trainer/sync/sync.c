#include "trainer/sync/sync.h"

#include "schema/job_spec.h"

const struct sync_ops *const sync_registry[] = {
    [SYNC_ALLREDUCE] = &sync_allreduce,
};
