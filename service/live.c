#include "service/live.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS     1024
#define CHECKPOINTS 4 /* that were told and may still be on their way */

struct told_checkpoint {
    int64_t step; /* 0: none */
    int64_t wall_ms;
};

struct entry {
    struct entry *next;
    char id[ID_BYTES_MAX];
    uint64_t touched;
    int64_t attempt, step, of, epoch, wall_ms;
    int64_t first_step_attempt; /* the newest attempt whose first step was told */
    struct told_checkpoint checkpoints[CHECKPOINTS]; /* of `attempt`, newest first */
    size_t metric_count;
    struct live_metric *metrics;
    size_t rank_count; /* of `attempt` */
    struct live_rank *ranks;
};

struct live {
    pthread_mutex_t lock; /* guards everything below */
    struct entry *buckets[BUCKETS];
    size_t count;
    uint64_t touches;
};

static size_t bucket_of(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return (size_t)(hash >> 20) % BUCKETS;
}

static void entry_free(struct entry *entry)
{
    free(entry->metrics);
    free(entry->ranks);
    free(entry);
}

enum status live_new(struct live **out, struct error *err)
{
    struct live *live = calloc(1, sizeof(*live));
    if (live == NULL)
        return error_set(err, STATUS_NO_MEMORY, "live table: out of memory");
    pthread_mutex_init(&live->lock, NULL);
    *out = live;
    return STATUS_OK;
}

void live_free(struct live *live)
{
    if (live == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (live->buckets[i] != NULL) {
            struct entry *entry = live->buckets[i];
            live->buckets[i] = entry->next;
            entry_free(entry);
        }
    }
    pthread_mutex_destroy(&live->lock);
    free(live);
}

static void evict_oldest(struct live *live)
{
    struct entry **oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct entry **link = &live->buckets[i]; *link != NULL; link = &(*link)->next) {
            if (oldest == NULL || (*link)->touched < (*oldest)->touched)
                oldest = link;
        }
    }
    assert(oldest != NULL);
    struct entry *gone = *oldest;
    *oldest = gone->next;
    entry_free(gone);
    live->count--;
}

static struct entry *find(struct live *live, const char *id)
{
    struct entry *entry = live->buckets[bucket_of(id)];
    while (entry != NULL && strcmp(entry->id, id) != 0)
        entry = entry->next;
    if (entry != NULL)
        entry->touched = ++live->touches;
    return entry;
}

/* The job's entry, made if missing; NULL when out of memory. */
static struct entry *find_or_add(struct live *live, const char *id)
{
    struct entry *entry = find(live, id);
    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    if (live->count >= LIVE_JOBS_MAX)
        evict_oldest(live);
    snprintf(entry->id, sizeof(entry->id), "%s", id);
    entry->epoch = -1;
    entry->touched = ++live->touches;
    struct entry **bucket = &live->buckets[bucket_of(id)];
    entry->next = *bucket;
    *bucket = entry;
    live->count++;
    return entry;
}

/*
 * The entry, moved on to `attempt`; NULL when that is an older one. A new attempt starts with the
 * former one's metrics: they are the newest there are until it shows its own.
 */
static struct entry *enter(struct live *live, const char *id, int64_t attempt)
{
    struct entry *entry = find_or_add(live, id);
    if (entry == NULL || attempt < entry->attempt)
        return NULL;
    if (attempt > entry->attempt) {
        entry->attempt = attempt;
        entry->step = 0;
        memset(entry->checkpoints, 0, sizeof(entry->checkpoints));
        free(entry->ranks);
        entry->ranks = NULL;
        entry->rank_count = 0;
    }
    return entry;
}

bool live_get(struct live *live, const char *job, struct live_job *out)
{
    pthread_mutex_lock(&live->lock);
    const struct entry *entry = find(live, job);
    if (entry != NULL) {
        out->attempt = entry->attempt;
        out->step = entry->step;
        out->of = entry->of;
        out->epoch = entry->epoch;
        out->wall_ms = entry->wall_ms;
        out->metric_count = entry->metric_count;
        if (entry->metric_count > 0)
            memcpy(out->metrics, entry->metrics, entry->metric_count * sizeof(*entry->metrics));
    }
    pthread_mutex_unlock(&live->lock);
    return entry != NULL;
}

struct live_rank live_get_rank(struct live *live, const char *job, int64_t attempt, int64_t rank)
{
    struct live_rank result = {0};
    pthread_mutex_lock(&live->lock);
    const struct entry *entry = find(live, job);
    if (entry != NULL && entry->attempt == attempt && rank >= 0 && (size_t)rank < entry->rank_count)
        result = entry->ranks[rank];
    pthread_mutex_unlock(&live->lock);
    return result;
}

static void set_metric(struct entry *entry, const char *name, double value)
{
    for (size_t i = 0; i < entry->metric_count; i++) {
        if (strcmp(entry->metrics[i].name, name) == 0) {
            entry->metrics[i].value = value;
            return;
        }
    }
    if (entry->metric_count == LIVE_METRICS_MAX || strlen(name) >= LIVE_NAME_BYTES)
        return;
    struct live_metric *metrics =
        realloc(entry->metrics, (entry->metric_count + 1) * sizeof(*metrics));
    if (metrics == NULL)
        return;
    entry->metrics = metrics;
    struct live_metric *metric = &metrics[entry->metric_count++];
    snprintf(metric->name, sizeof(metric->name), "%s", name);
    metric->value = value;
}

void live_restore(struct live *live, const char *job, const struct live_job *known)
{
    pthread_mutex_lock(&live->lock);
    struct entry *entry = find_or_add(live, job);
    if (entry != NULL && entry->attempt <= known->attempt && entry->metric_count == 0) {
        entry->attempt = known->attempt;
        if (known->step > entry->step)
            entry->step = known->step;
        entry->of = known->of;
        entry->epoch = known->epoch;
        entry->wall_ms = known->wall_ms;
        for (size_t i = 0; i < known->metric_count; i++)
            set_metric(entry, known->metrics[i].name, known->metrics[i].value);
    }
    pthread_mutex_unlock(&live->lock);
}

void live_progress(struct live *live, const char *job, int64_t attempt, int64_t step, int64_t of,
                   int64_t epoch, int64_t wall_ms)
{
    pthread_mutex_lock(&live->lock);
    struct entry *entry = enter(live, job, attempt);
    if (entry != NULL) {
        entry->step = step > entry->step ? step : entry->step;
        entry->of = of > 0 ? of : entry->of;
        entry->epoch = epoch >= 0 ? epoch : entry->epoch;
        entry->wall_ms = wall_ms;
    }
    pthread_mutex_unlock(&live->lock);
}

void live_metric(struct live *live, const char *job, int64_t attempt, const char *name,
                 double value)
{
    pthread_mutex_lock(&live->lock);
    struct entry *entry = enter(live, job, attempt);
    if (entry != NULL)
        set_metric(entry, name, value);
    pthread_mutex_unlock(&live->lock);
}

void live_rank(struct live *live, const char *job, int64_t attempt, int64_t rank, int phase,
               int64_t step)
{
    if (rank < 0 || rank >= LIVE_RANKS_MAX)
        return;
    pthread_mutex_lock(&live->lock);
    struct entry *entry = enter(live, job, attempt);
    if (entry != NULL && (size_t)rank >= entry->rank_count) {
        const size_t count = (size_t)rank + 1;
        struct live_rank *ranks = realloc(entry->ranks, count * sizeof(*ranks));
        if (ranks != NULL) {
            memset(ranks + entry->rank_count, 0, (count - entry->rank_count) * sizeof(*ranks));
            entry->ranks = ranks;
            entry->rank_count = count;
        }
    }
    if (entry != NULL && (size_t)rank < entry->rank_count)
        entry->ranks[rank] = (struct live_rank){.known = true, .phase = phase, .step = step};
    pthread_mutex_unlock(&live->lock);
}

void live_checkpoint(struct live *live, const char *job, int64_t attempt, int64_t step,
                     int64_t wall_ms)
{
    pthread_mutex_lock(&live->lock);
    struct entry *entry = enter(live, job, attempt);
    if (entry != NULL && step > entry->checkpoints[0].step) {
        memmove(&entry->checkpoints[1], &entry->checkpoints[0],
                (CHECKPOINTS - 1) * sizeof(entry->checkpoints[0]));
        entry->checkpoints[0] = (struct told_checkpoint){.step = step, .wall_ms = wall_ms};
    }
    pthread_mutex_unlock(&live->lock);
}

int64_t live_checkpoint_wall_ms(struct live *live, const char *job, int64_t attempt, int64_t step)
{
    pthread_mutex_lock(&live->lock);
    const struct entry *entry = find(live, job);
    int64_t wall_ms = 0;
    for (size_t i = 0; entry != NULL && entry->attempt == attempt && i < CHECKPOINTS; i++) {
        if (entry->checkpoints[i].step == step)
            wall_ms = entry->checkpoints[i].wall_ms;
    }
    pthread_mutex_unlock(&live->lock);
    return wall_ms;
}

bool live_first_step(struct live *live, const char *job, int64_t attempt, int64_t step,
                     int64_t resume_step)
{
    if (step <= resume_step)
        return false;
    pthread_mutex_lock(&live->lock);
    struct entry *entry = enter(live, job, attempt);
    const bool first = entry != NULL && entry->first_step_attempt < attempt;
    if (first)
        entry->first_step_attempt = attempt;
    pthread_mutex_unlock(&live->lock);
    return first;
}
