#include "tests/unit/compute_far_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES    ((size_t)256 * MIB)
#define PAGE_BYTES     4096
#define RECORDINGS_MAX 64
#define CALLS_MAX      64

struct far_recording {
    uint64_t key;
    size_t count;
    struct far_call calls[CALLS_MAX];
};

struct compute {
    struct compute *near; /* the CPU that does the work */
    uint8_t *arena;
    size_t used;
    struct far_recording *recordings;
    size_t recording_count;
    struct far_recording *open; /* being recorded; NULL outside a step */
    size_t replays;
};

size_t compute_far_replays(const struct compute *compute)
{
    return compute->replays;
}

static void allow(const struct compute *far, int protection)
{
    const int failed = mprotect(far->arena, ARENA_BYTES, protection);
    assert(failed == 0);
    (void)failed;
}

static enum status far_close_parts(struct compute *far, enum status status)
{
    if (far->arena != NULL)
        (void)munmap(far->arena, ARENA_BYTES);
    free(far->recordings);
    free(far);
    return status;
}

enum status far_open(int index, int threads, struct compute **out, struct error *err)
{
    struct compute *far = calloc(1, sizeof(*far));
    assert(far != NULL);
    const enum status status = compute_cpu.open(index, threads, &far->near, err);
    if (status != STATUS_OK)
        return far_close_parts(far, status);
    far->recordings = calloc(RECORDINGS_MAX, sizeof(*far->recordings));
    far->arena =
        mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(far->recordings != NULL);
    assert(far->arena != MAP_FAILED);
    *out = far;
    return STATUS_OK;
}

void far_close(struct compute *far)
{
    if (far == NULL)
        return;
    compute_cpu.close(far->near);
    (void)far_close_parts(far, STATUS_OK);
}

const char *far_describe(struct compute *far)
{
    return compute_cpu.describe(far->near);
}

static enum status refuse_in_step(const struct compute *far, const char *operation,
                                  struct error *err)
{
    if (far->open == NULL)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, "%s inside a step", operation);
}

enum status far_alloc(struct compute *far, size_t bytes, void **out, struct error *err)
{
    TRY(refuse_in_step(far, "alloc", err));
    const size_t rounded = (bytes / PAGE_BYTES + 1) * PAGE_BYTES;
    if (rounded > ARENA_BYTES - far->used)
        return error_set(err, STATUS_NO_MEMORY, "far device: %zu bytes", bytes);
    *out = far->arena + far->used; /* never used before, so zero */
    far->used += rounded;
    return STATUS_OK;
}

void far_release(struct compute *far, void *memory)
{
    (void)far;
    (void)memory; /* the arena goes as a whole */
}

size_t far_allocated(struct compute *far)
{
    return far->used;
}

enum status far_upload(struct compute *far, void *target, const void *source, size_t bytes,
                       struct error *err)
{
    TRY(refuse_in_step(far, "upload", err));
    allow(far, PROT_READ | PROT_WRITE);
    memcpy(target, source, bytes);
    allow(far, PROT_NONE);
    return STATUS_OK;
}

enum status far_download(struct compute *far, void *target, const void *source, size_t bytes,
                         struct error *err)
{
    return far_upload(far, target, source, bytes, err);
}

enum status far_map_host(struct compute *far, const void *host, size_t bytes, const void **out,
                         struct error *err)
{
    void *copy = NULL;
    TRY(far_alloc(far, bytes, &copy, err));
    TRY(far_upload(far, copy, host, bytes, err));
    *out = copy;
    return STATUS_OK;
}

void far_unmap_host(struct compute *far, const void *view)
{
    (void)far;
    (void)view;
}

enum status far_sync(struct compute *far, struct error *err)
{
    return refuse_in_step(far, "sync", err);
}

/* ------------------------------------------------------------------ recording and replaying */

enum status far_issue(struct compute *far, const struct far_call call, struct error *err)
{
    if (far->open != NULL) {
        assert(far->open->count < CALLS_MAX);
        far->open->calls[far->open->count++] = call;
        return STATUS_OK;
    }
    allow(far, PROT_READ | PROT_WRITE);
    const enum status status = call.play(far->near, &call, err);
    allow(far, PROT_NONE);
    return status;
}

static struct far_recording *find_recording(struct compute *far, uint64_t key)
{
    for (size_t i = 0; i < far->recording_count; i++) {
        if (far->recordings[i].key == key)
            return &far->recordings[i];
    }
    return NULL;
}

enum status far_run(struct compute *far, uint64_t key, compute_step_fn *step, void *context,
                    struct error *err)
{
    TRY(refuse_in_step(far, "run", err));
    struct far_recording *recording = find_recording(far, key);
    if (recording == NULL) {
        assert(far->recording_count < RECORDINGS_MAX);
        recording = &far->recordings[far->recording_count++];
        recording->key = key;
        far->open = recording;
        const enum status status = step(context, err);
        far->open = NULL;
        if (status != STATUS_OK)
            return status;
    } else {
        far->replays++;
    }
    allow(far, PROT_READ | PROT_WRITE);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < recording->count && status == STATUS_OK; i++)
        status = recording->calls[i].play(far->near, &recording->calls[i], err);
    allow(far, PROT_NONE);
    return status;
}

const struct compute_ops compute_far = {.abi = COMPUTE_ABI,
                                        .name = "far",
#define X(type, operation, parameters) .operation = far_##operation,
                                        COMPUTE_OPS(X)
#undef X
};
