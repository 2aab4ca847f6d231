#include "trainer/optim/optim.h"

const struct optim_ops *const optim_registry[] = {
    [OPTIMIZER_SGD] = &optim_sgd,
    [OPTIMIZER_ADAM] = &optim_adam,
    [OPTIMIZER_ADAMW] = &optim_adamw,
    [OPTIMIZER_ADAGRAD] = &optim_adagrad,
};
