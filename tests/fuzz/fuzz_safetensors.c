/* Any file: refused with a reason, or tensors that lie within it. */

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/export/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(fd_cleanup) const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0);
    const enum status written = fs_write_all(fd, data, size, NULL);
    assert(written == STATUS_OK);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CLEANUP(safetensors_cleanup) struct safetensors *file = NULL;
    struct error err = {.status = STATUS_OK};
    fuzz_check_error(safetensors_open(path, &file, &err), &err);
    if (err.status != STATUS_OK)
        return 0;
    size_t count = 0, floats = 0;
    const struct safetensors_tensor *tensors = safetensors_tensors(file, &count);
    volatile float last = 0.0F; /* reads each tensor's ends, for the sanitizer to see */
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].count > 0)
            last = tensors[i].values[0] + tensors[i].values[tensors[i].count - 1];
        floats += tensors[i].count;
    }
    (void)last;
    assert(floats * sizeof(float) <= size);
    return 0;
}
