#include "trainer/comm/comm.h"

#include <stdbool.h>

enum status comm_check(const struct comm_ops *ops, struct error *err)
{
    const struct {
        const char *name;
        bool present;
    } operations[] = {
        {"all_reduce_sum", ops->all_reduce_sum != NULL},
        {"reduce_scatter_sum", ops->reduce_scatter_sum != NULL},
        {"all_gather", ops->all_gather != NULL},
        {"all_to_all", ops->all_to_all != NULL},
        {"broadcast", ops->broadcast != NULL},
        {"send", ops->send != NULL},
        {"recv", ops->recv != NULL},
        {"recv_any", ops->recv_any != NULL},
        {"barrier", ops->barrier != NULL},
        {"window", ops->window != NULL},
        {"abort", ops->abort != NULL},
        {"close", ops->close != NULL},
    };
    const char *name = ops->name != NULL ? ops->name : "without a name";

    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        if (!operations[i].present)
            return error_set(err, STATUS_INTERNAL, "communicator %s has no operation %s", name,
                             operations[i].name);
    }
    if (ops->name == NULL)
        return error_set(err, STATUS_INTERNAL, "communicator has no name");
    return STATUS_OK;
}

void comm_close(struct comm *comm)
{
    if (comm != NULL)
        comm->ops->close(comm);
}

void comm_cleanup(struct comm **comm)
{
    comm_close(*comm);
}
