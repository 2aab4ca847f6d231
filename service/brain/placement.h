#ifndef SERVICE_BRAIN_PLACEMENT_H
#define SERVICE_BRAIN_PLACEMENT_H

/*
 * placement.h - private to the brain: which waiting job goes where.
 *
 * Order: priority, then age. A job that would fit if its kind of slot were free *blocks* every later job that
 * competes for that kind: nothing overtakes it, so a large gang does not starve. A job that could not fit
 * even then (larger than the ready nodes, other arithmetic, former ranks not settled, back-off) blocks
 * nobody.
 * Gang: all ranks or none, on nodes of one `numerics`; on the fewest nodes; of these the best fit. Nodes that
 * the job blames are used only when it does not fit without them.
 * A node is used if it is ready, connected, not suspect, and every slot of an ended attempt there is given
 * back.
 *
 * Cost: a submit that cannot be placed looks at counts alone; the queue is walked only after capacity
 * changed, and only down to where every kind is blocked or used up.
 */

#include "service/brain/state.h"

/* Puts what fits on its slots; called at the end of an input when capacity changed. */
void placement_run(struct brain *brain);
/* A job that begins to wait: tries it alone, which is enough while capacity did not change. */
void placement_offer(struct brain *brain, struct job *job);

bool placement_node_usable(const struct node *node);
/* Whether former attempts allow a next one: an unfenced job waits until nothing of it can run. */
bool placement_may_start(const struct job *job);

struct placement_pick {
    struct node *node;
    int64_t ranks;
    int64_t free;
};
struct placement {
    struct placement_pick *picks; /* in rank order; freed by placement_clear() */
    size_t count;
    enum device_kind kind;
    const char *numerics;
};
void placement_clear(struct placement *placement);

enum placement_verdict {
    PLACEMENT_FITS,  /* out is filled */
    PLACEMENT_BUSY,  /* would fit if the slots were free: blocks */
    PLACEMENT_LARGE, /* would not fit even then */
};
/* `job` may be NULL (dry run of a request). Looks at pools, which must be fresh. */
enum placement_verdict placement_choose(const struct brain *brain,
                                        const struct job_request *request, const struct job *job,
                                        struct placement *out);
void placement_count_pools(const struct brain *brain);
bool placement_kind_fits(const struct job_request *request, const struct job *job,
                         enum device_kind kind);

#endif
