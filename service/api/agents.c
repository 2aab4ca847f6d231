#include "service/api/agents.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct agent {
    struct agent *next;
    char id[ID_BYTES_MAX];
    int64_t session; /* 0: none in this process's life */
    int64_t seq;
    int64_t heard_boot_ms;
    uint64_t hold;
    char *desired; /* JSON array; NULL: empty */
    int64_t revision;
};

struct agents {
    struct http_holds *holds;
    pthread_mutex_t lock; /* guards everything below */
    struct agent *buckets[BUCKETS];
    size_t count;
};

enum status agents_new(struct http_holds *holds, struct agents **out, struct error *err)
{
    struct agents *agents = calloc(1, sizeof(*agents));
    if (agents == NULL)
        return error_set(err, STATUS_NO_MEMORY, "table of agents: out of memory");
    agents->holds = holds;
    pthread_mutex_init(&agents->lock, NULL);
    *out = agents;
    return STATUS_OK;
}

void agents_free(struct agents *agents)
{
    if (agents == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (agents->buckets[i] != NULL) {
            struct agent *agent = agents->buckets[i];
            agents->buckets[i] = agent->next;
            free(agent->desired);
            free(agent);
        }
    }
    pthread_mutex_destroy(&agents->lock);
    free(agents);
}

static struct agent **bucket_of(struct agents *agents, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return &agents->buckets[(size_t)(hash >> 20) % BUCKETS];
}

static struct agent *find(struct agents *agents, const char *id)
{
    struct agent *agent = *bucket_of(agents, id);
    while (agent != NULL && strcmp(agent->id, id) != 0)
        agent = agent->next;
    return agent;
}

static struct agent *find_or_add(struct agents *agents, const char *id)
{
    struct agent *agent = find(agents, id);
    if (agent != NULL || agents->count == AGENTS_MAX)
        return agent;
    agent = calloc(1, sizeof(*agent));
    if (agent == NULL)
        return NULL;
    snprintf(agent->id, sizeof(agent->id), "%s", id);
    struct agent **bucket = bucket_of(agents, id);
    agent->next = *bucket;
    *bucket = agent;
    agents->count++;
    return agent;
}

void agents_publish(struct agents *agents, const char *node, int64_t revision, char *json)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find_or_add(agents, node);
    uint64_t hold = 0;
    if (agent != NULL) {
        free(agent->desired);
        agent->desired = TAKE(json);
        hold = agent->revision != revision ? agent->hold : 0;
        agent->revision = revision;
    }
    pthread_mutex_unlock(&agents->lock);
    free(json);
    http_hold_wake(agents->holds, hold);
}

enum status agents_enter(struct agents *agents, const struct agents_sync *sync,
                         struct agents_entry *out, struct error *err)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find_or_add(agents, sync->node);
    if (agent == NULL) {
        pthread_mutex_unlock(&agents->lock);
        return error_set(err, STATUS_UNAVAILABLE, "node %s: no room for it, %d nodes are known",
                         sync->node, AGENTS_MAX);
    }
    const int64_t newest = agent->session;
    if (sync->session != 0 && sync->session < newest) {
        pthread_mutex_unlock(&agents->lock);
        return error_set(err, STATUS_CONFLICT, "session %lld of node %s was replaced by %lld",
                         (long long)sync->session, sync->node, (long long)newest);
    }
    if (sync->session == 0)
        agent->session = newest + 1 > sync->wall_ms ? newest + 1 : sync->wall_ms;
    else
        agent->session = sync->session;
    const bool fresh = agent->session != newest || sync->seq > agent->seq;
    uint64_t released = 0;
    if (fresh) {
        agent->seq = sync->seq;
        agent->heard_boot_ms = sync->received_boot_ms;
        released = agent->hold;
        agent->hold = 0;
    }
    out->session = agent->session;
    out->fresh = fresh;
    out->hold =
        fresh && !sync->news && sync->session != 0 && agent->revision == sync->revision_seen;
    pthread_mutex_unlock(&agents->lock);
    http_hold_wake(agents->holds, released);
    return STATUS_OK;
}

void agents_held(struct agents *agents, const char *node, int64_t session, int64_t seq,
                 int64_t revision_seen, uint64_t hold)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find(agents, node);
    const bool current = agent != NULL && agent->session == session && agent->seq == seq;
    const bool moved = !current || agent->revision != revision_seen;
    if (current)
        agent->hold = hold;
    pthread_mutex_unlock(&agents->lock);
    if (moved)
        http_hold_wake(agents->holds, hold);
}

bool agents_let_go(struct agents *agents, const char *node, uint64_t hold)
{
    pthread_mutex_lock(&agents->lock);
    struct agent *agent = find(agents, node);
    const bool mine = agent != NULL && agent->hold == hold;
    if (mine)
        agent->hold = 0;
    pthread_mutex_unlock(&agents->lock);
    return mine;
}

void agents_write_desired(struct agents *agents, const char *node, int64_t revision_seen,
                          struct buf *out)
{
    pthread_mutex_lock(&agents->lock);
    const struct agent *agent = find(agents, node);
    const int64_t revision = agent != NULL ? agent->revision : 0;
    buf_printf(out, "\"revision\":%lld", (long long)revision);
    if (revision != revision_seen) {
        buf_append_text(out, ",\"desired\":");
        buf_append_text(out, agent != NULL && agent->desired != NULL ? agent->desired : "[]");
    }
    pthread_mutex_unlock(&agents->lock);
}

int64_t agents_heard_boot_ms(struct agents *agents, const char *node)
{
    pthread_mutex_lock(&agents->lock);
    const struct agent *agent = find(agents, node);
    const int64_t heard = agent != NULL ? agent->heard_boot_ms : 0;
    pthread_mutex_unlock(&agents->lock);
    return heard;
}
