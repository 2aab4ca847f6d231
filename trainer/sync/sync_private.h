#ifndef TRAINER_SYNC_SYNC_PRIVATE_H
#define TRAINER_SYNC_SYNC_PRIVATE_H

/*
 * sync_private.h - what the modes have in common: the parts, the optimizers of this rank's slices of
 * the vector, clipping. Private to sync/.
 */

#include "trainer/sync/sync.h"

#define SYNC_SLICES_MAX   2
#define SYNC_SLICE_FLOATS 16 /* slices are multiples of it: a cache line */

/* A part of the vector that this rank updates. */
struct sync_slice {
    size_t first, count;
    float *gradients; /* device (count): summed over the ranks */
    struct optim *optim;
};

/* First member of each mode's struct. */
struct sync_base {
    struct sync sync;
    struct sync_parts parts;
    struct sync_slice slices[SYNC_SLICES_MAX];
    int slice_count;
    double *partials;     /* device: sums of squares by blocks, of all slices; NULL: no clipping */
    size_t partial_count; /* of the whole vector */
    float *scale;         /* device (1): times each gradient; NULL: no clipping */
    uint8_t *words;       /* device (world_size, SYNC_WORD_BYTES): small exchanges */
};

#define SYNC_WORD_BYTES 16

/* Fills `base`, whose memory is zero. On failure it is to be closed too. */
MUST_CHECK enum status sync_base_open(struct sync_base *base, const struct sync_ops *ops,
                                      const struct sync_parts *parts, struct error *err);
/* Adds a slice with its optimizer; an empty one too. sync.clears_gradients is to be set before. */
MUST_CHECK enum status sync_base_add_slice(struct sync_base *base, size_t first, size_t count,
                                           struct error *err);
/* Releases what is inside. */
void sync_base_close(struct sync_base *base);
/* For the tables: prepare() of every slice. */
enum status sync_base_prepare(struct sync *sync, int64_t step, double lr_factor, struct error *err);
/* A mode that sends nothing before step(). */
enum status sync_base_ready(struct sync *sync, size_t offset, struct error *err);
/* A mode whose ranks hold the same parameters after each step. */
enum status sync_base_settle(struct sync *sync, struct error *err);
/* put_state() by slices. */
enum status sync_base_put_state(struct sync *sync, int index, const float *values,
                                struct error *err);
/* Updates the parameters of every slice from its summed gradients. */
MUST_CHECK enum status sync_base_update(struct sync_base *base, struct error *err);

/* Number of blocks of `count` floats whose squares are summed apart. */
size_t sync_blocks(size_t count);
/* Sums of squares of a slice's gradients to partials[block...]. */
MUST_CHECK enum status sync_square_sums(struct sync_base *base, const struct sync_slice *slice,
                                        size_t block, struct error *err);
/* From all partials to the scale. */
MUST_CHECK enum status sync_clip(struct sync_base *base, struct error *err);
/* Sends a slice of state vector `index` to rank 0, which takes it with sync_receive_state(). */
MUST_CHECK enum status sync_send_state(struct sync_base *base, const struct sync_slice *slice,
                                       int index, struct error *err);
MUST_CHECK enum status sync_receive_state(struct sync_base *base, int source, size_t first,
                                          size_t count, struct error *err);
/* Rank 0: puts a slice of its own where those of others were received. */
MUST_CHECK enum status sync_place_state(struct sync_base *base, const struct sync_slice *slice,
                                        int index, struct error *err);
/* Rank 0: the whole vector, once its parts are there, to the host. */
MUST_CHECK enum status sync_download_state(struct sync_base *base, float *out, struct error *err);

static inline float *sync_flags(const struct sync_base *base)
{
    return base->parts.table_count == 0 ? NULL : base->parts.gradients + base->parts.count;
}

#endif
