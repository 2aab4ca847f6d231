#include "trainer/train_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "trainer/train.h"

#define STATUS_FILE       "/proc/self/status"
#define STATUS_BYTES_MAX  (16 * KIB)
#define PLAN_NUMBER_BYTES 24

static int64_t bytes_of_copies(const struct train *train)
{
    const struct train_guard *guard = &train->guard;
    if (train->contract->rank != 0)
        return 0;
    int64_t vectors = 1 + train->sync->optim->state_count; /* of a snapshot */
    const int64_t own = vectors;
    if (guard->best.values != NULL)
        vectors += 2; /* and in the snapshot */
    if (guard->kept.vectors[0] != NULL)
        vectors += 2 * own;
    return vectors * (int64_t)(train->parameter_count * sizeof(float));
}

static void write_plan(const struct train_plan *plan)
{
    const int64_t values[] = {plan->parameters,  plan->optimizer, plan->gradients,
                              plan->activations, plan->copies,    plan->total};
    char text[COUNT_OF(values)][PLAN_NUMBER_BYTES];
    for (size_t i = 0; i < COUNT_OF(values); i++)
        (void)snprintf(text[i], sizeof(text[i]), "%lld", (long long)values[i]);
    log_write(LOG_INFO, "memory_plan", "bytes that this rank may come to take", "parameters",
              text[0], "optimizer", text[1], "gradients", text[2], "activations", text[3], "copies",
              text[4], "total_with_64_mib", text[5], NULL);
}

void train_plan_make(struct train *train, size_t sync_bytes)
{
    struct train_plan *plan = &train->memory;
    const size_t allocated = train->device.ops->allocated(train->device.compute);
    plan->parameters = (int64_t)(train->parameter_count * sizeof(float));
    plan->optimizer = (int64_t)sync_bytes;
    plan->gradients =
        (int64_t)((train->parameter_count + train->flag_count + SYNC_TAIL) * sizeof(float));
    const int64_t vectors = (train->parameter_memory.is_shared ? 0 : plan->parameters) +
                            (train->gradient_memory.is_shared ? 0 : plan->gradients);
    plan->activations = (int64_t)allocated - plan->optimizer - vectors +
                        (int64_t)feeder_bytes(train->feeder) + (int64_t)train->model->host_bytes;
    plan->copies = bytes_of_copies(train);
    plan->total = plan->parameters + plan->optimizer + plan->gradients + plan->activations +
                  plan->copies + TRAIN_PLAN_MARGIN_BYTES;
    write_plan(plan);
}

/* A line "VmHWM:     1234 kB"; 0 when there is none. */
static int64_t bytes_of_line(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoll(line + strlen(name), NULL, 10) * KIB;
}

enum status train_plan_check(struct train *train, struct error *err)
{
    struct train_plan *plan = &train->memory;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, STATUS_BYTES_MAX);
    train->part = TRAIN_PART_WRITE;
    TRY(fs_read_file(STATUS_FILE, &text, err));
    plan->peak = bytes_of_line(text.data, "\nVmHWM:") - bytes_of_line(text.data, "\nRssFile:") -
                 bytes_of_line(text.data, "\nRssShmem:");
    if (plan->peak <= plan->total)
        return STATUS_OK;
    return train_warn(train, err,
                      "memory: this rank took %lld bytes at its peak, the plan was %lld",
                      (long long)plan->peak, (long long)plan->total);
}
