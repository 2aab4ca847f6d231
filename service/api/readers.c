#include "service/api/readers.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct pair {
    struct reader *state;
    struct telemetry_reader *telemetry;
};

struct readers {
    const char *data_dir;
    pthread_mutex_t lock; /* guards everything below */
    struct pair idle[READERS_MAX];
    size_t idle_count;
    size_t out_count;
};

enum status readers_new(const char *data_dir, struct readers **out, struct error *err)
{
    struct readers *readers = calloc(1, sizeof(*readers));
    if (readers == NULL)
        return error_set(err, STATUS_NO_MEMORY, "readers: out of memory");
    readers->data_dir = data_dir;
    pthread_mutex_init(&readers->lock, NULL);
    *out = readers;
    return STATUS_OK;
}

static void pair_close(struct pair *pair)
{
    reader_close(pair->state);
    telemetry_reader_close(pair->telemetry);
}

void readers_free(struct readers *readers)
{
    if (readers == NULL)
        return;
    assert(readers->out_count == 0);
    for (size_t i = 0; i < readers->idle_count; i++)
        pair_close(&readers->idle[i]);
    pthread_mutex_destroy(&readers->lock);
    free(readers);
}

static enum status pair_open(const char *data_dir, struct pair *out, struct error *err)
{
    struct pair pair = {0};
    TRY(reader_open(data_dir, &pair.state, err));
    const enum status status = telemetry_reader_open(data_dir, &pair.telemetry, err);
    if (status != STATUS_OK) {
        pair_close(&pair);
        return status;
    }
    *out = pair;
    return STATUS_OK;
}

enum status readers_lend(struct readers *readers, struct lent *out, struct error *err)
{
    struct pair pair = {0};
    pthread_mutex_lock(&readers->lock);
    const bool free_one = readers->out_count < READERS_MAX;
    if (free_one) {
        readers->out_count++;
        if (readers->idle_count > 0)
            pair = readers->idle[--readers->idle_count];
    }
    pthread_mutex_unlock(&readers->lock);
    if (!free_one)
        return error_set(err, STATUS_UNAVAILABLE, "all %d readers of the database are in use",
                         READERS_MAX);
    if (pair.state == NULL) {
        const enum status status = pair_open(readers->data_dir, &pair, err);
        if (status != STATUS_OK) {
            pthread_mutex_lock(&readers->lock);
            readers->out_count--;
            pthread_mutex_unlock(&readers->lock);
            return status;
        }
    }
    *out = (struct lent){.from = readers, .state = pair.state, .telemetry = pair.telemetry};
    return STATUS_OK;
}

void lent_return(struct lent *lent)
{
    struct readers *readers = lent->from;
    if (readers == NULL)
        return;
    pthread_mutex_lock(&readers->lock);
    readers->out_count--;
    readers->idle[readers->idle_count++] = (struct pair){lent->state, lent->telemetry};
    pthread_mutex_unlock(&readers->lock);
    lent->from = NULL;
}
