#include "trainer/compute/compute.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CUDA_LIBRARY "libreprise-cuda.so"

enum status compute_check(const struct compute_ops *ops, struct error *err)
{
    if (ops->abi != COMPUTE_ABI)
        return error_set(err, STATUS_INTERNAL, "compute backend: expected ABI %d, got %u",
                         COMPUTE_ABI, ops->abi);
    if (ops->name == NULL)
        return error_set(err, STATUS_INTERNAL, "compute backend has no name");
#define X(type, operation, parameters)                                                        \
    if (ops->operation == NULL)                                                               \
        return error_set(err, STATUS_INTERNAL, "compute backend %s: operation %s is missing", \
                         ops->name, #operation);
    COMPUTE_OPS(X)
#undef X
    return STATUS_OK;
}

size_t compute_lstm_workspace_bytes(const struct compute_lstm_shape *shape)
{
    return (size_t)COMPUTE_LSTM_DIRECTIONS * COMPUTE_LSTM_NOTES * (size_t)shape->tokens *
           (size_t)shape->hidden * sizeof(float);
}

/* The path of a file that lies in the folder of this program. */
static enum status beside_program(const char *file, char *out, size_t size, struct error *err)
{
    char program[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0)
        return error_set(err, STATUS_INTERNAL, "read /proc/self/exe");
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL)
        *slash = '\0';
    const int written = snprintf(out, size, "%s/%s", program, file);
    if (written < 0 || (size_t)written >= size)
        return error_set(err, STATUS_TOO_LARGE, "path of %s is over %zu bytes", file, size);
    return STATUS_OK;
}

/* The library stays loaded for the life of the process. */
static enum status load_cuda(const struct compute_ops **out, struct error *err)
{
    char path[PATH_MAX];
    TRY(beside_program(CUDA_LIBRARY, path, sizeof(path), err));
    if (access(path, R_OK) != 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "device cuda: this build has no CUDA backend (no %s)", path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, STATUS_UNSUPPORTED, "device cuda: %s", dlerror());
    const struct compute_ops *(*entry)(void) = NULL;
    *(void **)&entry = dlsym(library, COMPUTE_ENTRY); /* the cast POSIX asks for */
    if (entry == NULL)
        return error_set(err, STATUS_INTERNAL, "%s: no symbol %s", path, COMPUTE_ENTRY);
    const struct compute_ops *ops = entry();
    if (ops == NULL)
        return error_set(err, STATUS_UNSUPPORTED, "device cuda: no usable device");
    TRY(compute_check(ops, err));
    *out = ops;
    return STATUS_OK;
}

enum status compute_find(const char *name, const struct compute_ops **out, struct error *err)
{
    if (strcmp(name, "cpu") == 0) {
        TRY(compute_check(&compute_cpu, err));
        *out = &compute_cpu;
        return STATUS_OK;
    }
    if (strcmp(name, "cuda") == 0)
        return load_cuda(out, err);
    return error_set(err, STATUS_UNSUPPORTED, "device \"%s\" is neither cpu nor cuda", name);
}
