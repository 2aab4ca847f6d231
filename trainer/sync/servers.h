#ifndef TRAINER_SYNC_SERVERS_H
#define TRAINER_SYNC_SERVERS_H

/*
 * servers.h - what both kinds of parameter server have in common: who serves, which slice, and what
 * they do outside of steps. Private to sync/.
 *
 * Ranks 0 .. workers - 1 work; rank workers + s serves slice s of the vector.
 */

#include "trainer/sync/sync_private.h"

/* First member of each kind's struct. */
struct servers {
    struct sync_base base;
    int workers, servers;
    bool serves;
    size_t *begins; /* (servers + 1): slice s is [begins[s], begins[s + 1]) */
    float *inbox;   /* device: gradients of workers for this rank's slice; NULL: it works */
};

/* Fills `servers`, whose memory is zero; an inbox of `inbox_slices` slices. */
MUST_CHECK enum status servers_open(struct servers *servers, const struct sync_ops *ops,
                                    const struct sync_parts *parts, size_t inbox_slices,
                                    struct error *err);
void servers_close(struct servers *servers);
/* Floats of this server's slice. */
size_t servers_slice(const struct servers *servers);
/* On a server: the sums of squares of all slices, and the scale from them. */
MUST_CHECK enum status servers_clip(struct servers *servers, struct error *err);
/* All ranks: everyone gets every slice. */
MUST_CHECK enum status servers_spread_parameters(struct servers *servers, struct error *err);
extern const struct sync_ops sync_stale_server; /* parameter_server with staleness */

enum status servers_gather_state(struct sync *sync, int index, float *out, struct error *err);

#endif
