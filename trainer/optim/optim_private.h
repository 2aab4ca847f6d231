#ifndef TRAINER_OPTIM_OPTIM_PRIVATE_H
#define TRAINER_OPTIM_OPTIM_PRIVATE_H

/*
 * optim_private.h - what all optimizers are made of: state vectors and scalars on the device, and the
 * slice cut into regions, each dense or of one sparse table. Private to optim/.
 */

#include "trainer/optim/optim.h"

/* A piece of the slice that one call of a compute operation updates. */
struct optim_region {
    size_t begin, count; /* in the slice */
    bool is_sparse;
    size_t flag; /* index of the flag of its first row */
    size_t skip; /* elements of that row before the slice */
    int width;
};

/* First member of each optimizer's struct, or the whole of it. */
struct optim_base {
    struct optim optim;
    struct optimizer_spec spec;
    struct device device;
    size_t count;
    float *states[OPTIM_STATES_MAX]; /* device (count) */
    void *scalars;                   /* device: of dense regions, then of sparse ones */
    size_t scalars_bytes;            /* of one kind */
    struct optim_region *regions;
    size_t region_count;
    bool clears_gradients;
};

/* Issues the update of one region; scalars and states are those of the region. */
typedef enum status optim_issue_fn(const struct optim_base *base,
                                   const struct compute_update *update,
                                   float *const states[OPTIM_STATES_MAX], const void *scalars,
                                   struct error *err);

/* State vectors are zeroed; `scalars_bytes` is the size of one struct of scalars. */
MUST_CHECK enum status optim_base_open(const struct optim_ops *ops, const struct optim_parts *parts,
                                       size_t scalars_bytes, struct optim_base **out,
                                       struct error *err);
void optim_base_close(struct optim *optim);
float *optim_base_state(struct optim *optim, int index);
/* `scalars` are two structs: for dense regions and for sparse ones. */
MUST_CHECK enum status optim_base_upload(const struct optim_base *base, const void *scalars,
                                         struct error *err);
/* Calls `issue` for each region, in the order of the vector. */
MUST_CHECK enum status optim_base_update(const struct optim_base *base, float *parameters,
                                         float *gradients, const float *flags, const float *scale,
                                         optim_issue_fn *issue, struct error *err);

static inline void optim_base_cleanup(struct optim_base **base)
{
    optim_base_close(*base == NULL ? NULL : &(*base)->optim);
}

#endif
