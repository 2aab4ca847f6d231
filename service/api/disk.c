#include "service/api/disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define BATCH_MAX 16

static void run_tasks(void *context, void **items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        struct disk_task *task = items[i];
        task->run(task);
    }
}

enum status disk_new(struct worker **out, struct error *err)
{
    const struct worker_options options = {
        .name = "disk", .queue_max = DISK_QUEUE_MAX, .batch_max = BATCH_MAX, .fn = run_tasks};
    return worker_new(&options, out, err);
}

bool disk_push(struct worker *disk, struct disk_task *task)
{
    return worker_push(disk, task);
}

struct drop {
    struct disk_task task;
    struct blobs *blobs;
    char prefix[BLOB_KEY_BYTES];
};

static void drop_run(struct disk_task *task)
{
    struct drop *drop = task->context;
    struct error err = {0};
    if (blob_remove_under(drop->blobs, drop->prefix, &err) != STATUS_OK)
        log_write(LOG_WARN, "blob_not_deleted", err.text, "prefix", drop->prefix, NULL);
    free(drop);
}

void disk_drop(struct worker *disk, struct blobs *blobs, const char *job, int64_t attempt,
               int64_t step)
{
    struct drop *drop = calloc(1, sizeof(*drop));
    if (drop == NULL)
        return;
    drop->task = (struct disk_task){.run = drop_run, .context = drop};
    drop->blobs = blobs;
    snprintf(drop->prefix, sizeof(drop->prefix), "checkpoints/%s/%lld/%lld", job,
             (long long)attempt, (long long)step);
    if (!disk_push(disk, &drop->task))
        free(drop);
}
