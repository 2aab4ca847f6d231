#ifndef SERVICE_API_DISK_H
#define SERVICE_API_DISK_H

/*
 * disk.h - the thread for what waits for the disk: syncing uploads, hashing files, deleting blobs.
 *
 * Threads: disk_push() and disk_drop() from any.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "service/blobs/blobs.h"
#include "service/worker.h"

#define DISK_QUEUE_MAX 4096

struct disk_task {
    void (*run)(struct disk_task *task); /* on the disk's thread; the task may be gone after it */
    void *context;
};

MUST_CHECK enum status disk_new(struct worker **out, struct error *err);
/* False when the queue is full: the task stays the caller's. */
MUST_CHECK bool disk_push(struct worker *disk, struct disk_task *task);
/* Deletes the blobs of one step; when the queue is full they stay until the next start's sweep. */
void disk_drop(struct worker *disk, struct blobs *blobs, const char *job, int64_t attempt,
               int64_t step);

#endif
