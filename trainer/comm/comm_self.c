/* comm_self.c - a gang of one rank: sums and exchanges over the ranks are the identity. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/comm/comm.h"

struct comm_self {
    struct comm comm;
    atomic_bool aborted;
};

static enum status check_alive(struct comm *comm, struct error *err)
{
    const struct comm_self *self = (const struct comm_self *)comm;
    if (atomic_load_explicit(&self->aborted, memory_order_relaxed))
        return error_set(err, STATUS_UNAVAILABLE, "rank 0: the communicator was aborted");
    return STATUS_OK;
}

static void copy_bytes(void *target, const void *source, size_t bytes)
{
    if (bytes > 0 && target != source)
        memmove(target, source, bytes);
}

static enum status self_all_reduce_sum(struct comm *comm, float *data, size_t count,
                                       struct error *err)
{
    (void)data;
    (void)count;
    return check_alive(comm, err);
}

static enum status self_reduce_scatter_sum(struct comm *comm, float *out, const float *data,
                                           size_t count, struct error *err)
{
    TRY(check_alive(comm, err));
    copy_bytes(out, data, count * sizeof(float));
    return STATUS_OK;
}

static enum status self_all_gather(struct comm *comm, void *out, const void *data, size_t bytes,
                                   struct error *err)
{
    TRY(check_alive(comm, err));
    copy_bytes(out, data, bytes);
    return STATUS_OK;
}

static enum status self_all_to_all(struct comm *comm, void *out, const size_t *recv_offset,
                                   const size_t *recv_bytes, const void *data,
                                   const size_t *send_offset, const size_t *send_bytes,
                                   struct error *err)
{
    TRY(check_alive(comm, err));
    if (send_bytes[0] != recv_bytes[0])
        return error_set(err, STATUS_INVALID, "rank 0 sends itself %zu bytes and expects %zu",
                         send_bytes[0], recv_bytes[0]);
    if (send_bytes[0] > 0)
        copy_bytes((char *)out + recv_offset[0], (const char *)data + send_offset[0],
                   send_bytes[0]);
    return STATUS_OK;
}

static enum status self_broadcast(struct comm *comm, void *data, size_t bytes, int root,
                                  struct error *err)
{
    (void)data;
    (void)bytes;
    TRY(check_alive(comm, err));
    if (root != 0)
        return error_set(err, STATUS_INVALID, "broadcast from rank %d in a world of 1", root);
    return STATUS_OK;
}

static enum status self_send(struct comm *comm, const void *data, size_t bytes, int target,
                             struct error *err)
{
    (void)comm;
    (void)data;
    return error_set(err, STATUS_INVALID, "send of %zu bytes to rank %d in a world of 1", bytes,
                     target);
}

static enum status self_recv(struct comm *comm, void *data, size_t bytes, int source,
                             struct error *err)
{
    (void)comm;
    (void)data;
    return error_set(err, STATUS_INVALID, "receipt of %zu bytes from rank %d in a world of 1",
                     bytes, source);
}

static enum status self_recv_any(struct comm *comm, void *data, size_t bytes, int first, int count,
                                 int *out_source, struct error *err)
{
    (void)comm;
    (void)data;
    (void)bytes;
    (void)out_source;
    return error_set(err, STATUS_INVALID, "receipt from ranks %d..%d in a world of 1", first,
                     first + count - 1);
}

static enum status self_barrier(struct comm *comm, struct error *err)
{
    return check_alive(comm, err);
}

static enum status self_window(struct comm *comm, size_t bytes, void **out, struct error *err)
{
    (void)bytes;
    *out = NULL;
    return check_alive(comm, err);
}

static void self_abort(struct comm *comm)
{
    struct comm_self *self = (struct comm_self *)comm;
    atomic_store_explicit(&self->aborted, true, memory_order_relaxed);
}

static void self_close(struct comm *comm)
{
    free(comm);
}

static const struct comm_ops self_ops = {
    .name = "self",
    .all_reduce_sum = self_all_reduce_sum,
    .reduce_scatter_sum = self_reduce_scatter_sum,
    .all_gather = self_all_gather,
    .all_to_all = self_all_to_all,
    .broadcast = self_broadcast,
    .send = self_send,
    .recv = self_recv,
    .recv_any = self_recv_any,
    .barrier = self_barrier,
    .window = self_window,
    .abort = self_abort,
    .close = self_close,
};

enum status comm_self_open(struct comm **out, struct error *err)
{
    TRY(comm_check(&self_ops, err));
    struct comm_self *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return error_set(err, STATUS_NO_MEMORY, "communicator self: out of memory");
    self->comm = (struct comm){.ops = &self_ops, .rank = 0, .world_size = 1};
    atomic_init(&self->aborted, false);
    *out = &self->comm;
    return STATUS_OK;
}
