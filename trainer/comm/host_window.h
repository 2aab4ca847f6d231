#ifndef TRAINER_COMM_HOST_WINDOW_H
#define TRAINER_COMM_HOST_WINDOW_H

/* host_window.h - private to host*.c: operations on memory that all ranks see. */

#include "trainer/comm/host.h"

MUST_CHECK enum status host_window_open(struct host *host, size_t bytes, void **out,
                                        struct error *err);
void host_window_close_all(struct host *host);
/* The window that this rank's memory lies in, whole; NULL: in none. */
const struct host_window *host_window_of(const struct host *host, const void *data, size_t bytes);
MUST_CHECK enum status host_window_all_reduce(struct host *host, const struct host_window *window,
                                              float *data, size_t count, struct error *err);
/* data (world_size, count): slice `rank` becomes the sum. */
MUST_CHECK enum status host_window_reduce_scatter(struct host *host,
                                                  const struct host_window *window, float *data,
                                                  size_t count, struct error *err);
/* data (world_size, bytes): slice `rank` is there. */
MUST_CHECK enum status host_window_all_gather(struct host *host, const struct host_window *window,
                                              uint8_t *data, size_t bytes, struct error *err);

#endif
