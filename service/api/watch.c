#include "service/api/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

#define BUCKETS 512

struct waiter {
    struct waiter *next;
    uint64_t hold;
    char id[ID_BYTES_MAX];
};

struct watch {
    struct http_holds *holds;
    pthread_mutex_t lock; /* guards buckets */
    struct waiter *buckets[BUCKETS];
};

static struct waiter **bucket_of(struct watch *watch, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return &watch->buckets[(size_t)(hash >> 20) % BUCKETS];
}

enum status watch_new(struct http_holds *holds, struct watch **out, struct error *err)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return error_set(err, STATUS_NO_MEMORY, "watchers: out of memory");
    watch->holds = holds;
    pthread_mutex_init(&watch->lock, NULL);
    *out = watch;
    return STATUS_OK;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (watch->buckets[i] != NULL) {
            struct waiter *waiter = watch->buckets[i];
            watch->buckets[i] = waiter->next;
            free(waiter);
        }
    }
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

bool watch_add(struct watch *watch, const char *id, uint64_t hold)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        return false;
    waiter->hold = hold;
    snprintf(waiter->id, sizeof(waiter->id), "%s", id);
    pthread_mutex_lock(&watch->lock);
    struct waiter **bucket = bucket_of(watch, id);
    waiter->next = *bucket;
    *bucket = waiter;
    pthread_mutex_unlock(&watch->lock);
    return true;
}

/* Takes the waiters for `id` (hold 0: all of them) out of the table. */
static struct waiter *take(struct watch *watch, const char *id, uint64_t hold)
{
    struct waiter *taken = NULL;
    pthread_mutex_lock(&watch->lock);
    for (struct waiter **link = bucket_of(watch, id); *link != NULL;) {
        struct waiter *waiter = *link;
        if (strcmp(waiter->id, id) == 0 && (hold == 0 || waiter->hold == hold)) {
            *link = waiter->next;
            waiter->next = taken;
            taken = waiter;
        } else {
            link = &waiter->next;
        }
    }
    pthread_mutex_unlock(&watch->lock);
    return taken;
}

void watch_wake(struct watch *watch, const char *id)
{
    struct waiter *waiter = take(watch, id, 0);
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        http_hold_wake(watch->holds, waiter->hold);
        free(waiter);
        waiter = next;
    }
}

void watch_forget(struct watch *watch, const char *id, uint64_t hold)
{
    free(take(watch, id, hold)); /* a hold waits for one object, once */
}
