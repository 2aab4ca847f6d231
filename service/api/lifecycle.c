#include "service/api/lifecycle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "service/api/agent.h"
#include "service/api/agents.h"
#include "service/api/disk.h"
#include "service/api/feed.h"
#include "service/api/readers.h"
#include "service/api/tidy.h"
#include "service/api/watch.h"

#define PEOPLE_CONNECTIONS    1024
#define PEOPLE_PER_ADDRESS    512
#define AGENTS_CONNECTIONS    32768
#define AGENTS_PER_ADDRESS    32768 /* many nodes may stand behind one address */
#define PEOPLE_BYTES          (32 * KIB)
#define AGENTS_BYTES          (16 * KIB) /* one or two a node, held all the time */
#define IDLE_TIMEOUT_S        30
#define AGENTS_IDLE_TIMEOUT_S 120
#define ARRIVAL_TIMEOUT_MS    60000 /* of a head, of a body */
#define LISTENER_THREADS      2
#define DESCRIPTORS_RESERVED  256 /* for databases, blobs, logs */
#define DRAIN_MS              1500
#define TOKEN_FILE            "operator.token"

/* ---------------------------------------------------------------- what the loop tells */

static void on_desired(void *context, const char *node, int64_t revision, char *json)
{
    struct api *api = context;
    agents_publish(api->agents, node, revision, json);
}

static void on_changed(void *context, const struct loop_change *changes, size_t count)
{
    struct api *api = context;
    for (size_t i = 0; i < count; i++) {
        watch_wake(api->watch, changes[i].id);
        if (api->feed == NULL)
            continue; /* while starting nobody listens */
        if (changes[i].kind == LOOP_JOB_CHANGED)
            feed_job_changed(api->feed, changes[i].id);
        else
            feed_node_changed(api->feed, changes[i].id);
        if (changes[i].terminal && changes[i].ran)
            tidy_job(api, changes[i].id);
        if (changes[i].terminal)
            feed_log_grew(api->feed, changes[i].id); /* who follows its log may end */
    }
}

static void on_drop_blobs(void *context, const char *job, int64_t attempt, int64_t step)
{
    struct api *api = context;
    disk_drop(api->disk, api->blobs, job, attempt, step);
}

/* ---------------------------------------------------------------- what stands in the database */

struct token_load {
    struct auth *auth;
    size_t seen;
    bool any_operator;
    char last[ID_BYTES_MAX];
};

static void load_token(void *context, const struct token_row *row)
{
    struct token_load *load = context;
    load->seen++;
    memcpy(load->last, row->id, sizeof(load->last));
    if (row->revoked_at_ms != 0 ||
        (row->expires_at_ms != 0 && clock_wall_ms() >= row->expires_at_ms))
        return;
    struct auth_token token = {.role = row->role, .expires_at_ms = row->expires_at_ms};
    memcpy(token.id, row->id, sizeof(token.id));
    memcpy(token.project, row->project, sizeof(token.project));
    memcpy(token.node, row->node, sizeof(token.node));
    memcpy(token.secret_sha256, row->sha256, SHA256_BYTES);
    load->any_operator = load->any_operator || row->role == ROLE_OPERATOR;
    struct error err = {0};
    if (auth_put(load->auth, &token, &err) != STATUS_OK) /* no reason not to serve the others */
        log_write(LOG_WARN, "token_not_loaded", err.text, NULL);
}

static enum status load_tokens(struct api *api, struct reader *reader, bool *out_any_operator,
                               struct error *err)
{
    struct token_load load = {.auth = api->auth};
    do {
        load.seen = 0;
        TRY(reader_tokens(reader, load.last, READER_PAGE_MAX, load_token, &load, err));
    } while (load.seen == READER_PAGE_MAX);
    *out_any_operator = load.any_operator;
    return STATUS_OK;
}

/* The first token there is: in a file that only its owner reads. */
static enum status make_operator_token(struct api *api, struct store *store, struct error *err)
{
    struct token_row row = {.role = ROLE_OPERATOR, .name = "first operator"};
    char text[AUTH_TOKEN_BYTES];
    char path[1024];
    row.created_at_ms = clock_wall_ms();
    auth_text_new(role_names[ROLE_OPERATOR], row.created_at_ms, text, row.id, row.sha256);
    TRY(fs_path(path, sizeof(path), err, "%s/" TOKEN_FILE, api->data_dir));
    TRY(fs_replace_file(path, text, strlen(text), 0600, err));
    TRY(store_begin(store, err));
    TRY(store_insert_token(store, &row, err));
    TRY(store_commit(store, err));
    struct auth_token token = {.role = ROLE_OPERATOR};
    memcpy(token.id, row.id, sizeof(token.id));
    memcpy(token.secret_sha256, row.sha256, SHA256_BYTES);
    TRY(auth_put(api->auth, &token, err));
    log_write(LOG_INFO, "operator_token", "the first operator's token is in this file", "path",
              path, NULL);
    return STATUS_OK;
}

static enum status prepare_database(struct api *api, struct store *store, struct error *err)
{
    bool any_operator = false;
    bool created = false;
    TRY(store_begin(store, err));
    TRY(store_ensure_project(store, API_PROJECT_DEFAULT, clock_wall_ms(), &created, err));
    TRY(store_commit(store, err));
    TRY(load_tokens(api, store_reader(store), &any_operator, err));
    return any_operator ? STATUS_OK : make_operator_token(api, store, err);
}

static enum status open_blobs(struct api *api, struct store *store, struct error *err)
{
    char folder[1024];
    size_t removed = 0;
    TRY(fs_path(folder, sizeof(folder), err, "%s/blobs", api->data_dir));
    TRY(blobs_local_open(folder, BLOB_FREE_PERCENT_MIN, &api->blobs, err));
    TRY(tidy_all(api->blobs, store_reader(store), &removed, err));
    if (removed > 0) {
        char count[24];
        snprintf(count, sizeof(count), "%zu", removed);
        log_write(LOG_INFO, "blobs_swept", "files that no row names are gone", "count", count,
                  NULL);
    }
    return STATUS_OK;
}

/* ---------------------------------------------------------------- up */

static unsigned agents_connections(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* then with what there is */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return PEOPLE_CONNECTIONS;
    const rlim_t used = PEOPLE_CONNECTIONS + DESCRIPTORS_RESERVED;
    const rlim_t left = limit.rlim_cur > 2 * used ? limit.rlim_cur - used : used;
    return left > AGENTS_CONNECTIONS ? AGENTS_CONNECTIONS : (unsigned)left;
}

static enum status open_servers(struct api *api, const struct api_options *options,
                                struct error *err)
{
    const struct http_server_options people = {
        .name = "api",
        .listen = options->listen,
        .routes = api_routes,
        .world = api,
        .auth = api->auth,
        .threads = LISTENER_THREADS,
        .connections_max = PEOPLE_CONNECTIONS,
        .connections_per_address_max = PEOPLE_PER_ADDRESS,
        .idle_timeout_s = IDLE_TIMEOUT_S,
        .arrival_timeout_ms = ARRIVAL_TIMEOUT_MS,
        .connection_bytes = PEOPLE_BYTES,
    };
    const struct http_server_options agents = {
        .name = "agents",
        .listen = options->agents_listen,
        .routes = agent_routes,
        .world = api,
        .auth = api->auth,
        .threads = LISTENER_THREADS,
        .connections_max = agents_connections(),
        .connections_per_address_max = AGENTS_PER_ADDRESS,
        .idle_timeout_s = AGENTS_IDLE_TIMEOUT_S,
        .arrival_timeout_ms = ARRIVAL_TIMEOUT_MS,
        .connection_bytes = AGENTS_BYTES,
    };
    TRY(http_server_open(&agents, &api->agents_server, err));
    TRY(http_server_open(&people, &api->people_server, err));
    /* Their handlers look at both: they are there before the first request is. */
    TRY(http_server_start(api->agents_server, err));
    return http_server_start(api->people_server, err);
}

static enum status open_rooms(struct api *api, const struct api_options *options, struct error *err)
{
    CLEANUP(store_cleanup) struct store *store = NULL;
    TRY(store_open(api->data_dir, &store, err));
    TRY(auth_new(&api->auth, err));
    TRY(prepare_database(api, store, err));
    TRY(open_blobs(api, store, err));
    TRY(logs_open(api->data_dir, &api->logs, err));
    TRY(live_new(&api->live, err));
    TRY(readers_new(api->data_dir, &api->readers, err));
    TRY(http_holds_new(&api->holds, err));
    TRY(watch_new(api->holds, &api->watch, err));
    TRY(agents_new(api->holds, &api->agents, err));
    TRY(disk_new(&api->disk, err));
    TRY(telemetry_desk_new(api, &api->telemetry, err));
    const struct loop_options loop = {
        .store = store,
        .profile = options->profile,
        .hooks = {.context = api,
                  .desired = on_desired,
                  .changed = on_changed,
                  .drop_blobs = on_drop_blobs},
    };
    TRY(loop_new(&loop, &api->loop, err));
    (void)TAKE(store); /* the loop's */
    TRY(feed_new(api, &api->feed, err));
    TRY(loop_start(api->loop, err));
    return open_servers(api, options, err);
}

enum status api_open(const struct api_options *options, struct api **out, struct error *err)
{
    struct api *api = calloc(1, sizeof(*api));
    if (api == NULL)
        return error_set(err, STATUS_NO_MEMORY, "service: out of memory");
    api->data_dir = options->data_dir;
    api->web_dir = options->web_dir;
    api->profile = options->profile;
    api->started_wall_ms = clock_wall_ms();
    const enum status status = open_rooms(api, options, err);
    if (status != STATUS_OK) {
        api_close(api);
        return status;
    }
    atomic_store(&api->ready, true);
    *out = api;
    return STATUS_OK;
}

/* ---------------------------------------------------------------- down */

typedef size_t server_count_fn(const struct http_server *server);

static size_t of_both(const struct api *api, server_count_fn *count)
{
    return (api->people_server != NULL ? count(api->people_server) : 0) +
           (api->agents_server != NULL ? count(api->agents_server) : 0);
}

/* Everybody who waits is let go: held requests by the holds' stop, calls by the loop. */
static void drain(const struct api *api, server_count_fn *count)
{
    const int64_t deadline_mono_ms = clock_mono_ms() + DRAIN_MS;
    while (of_both(api, count) > 0 && clock_mono_ms() < deadline_mono_ms)
        clock_sleep_ms(1);
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    atomic_store(&api->ready, false);
    if (api->people_server != NULL)
        http_server_quiesce(api->people_server);
    if (api->agents_server != NULL)
        http_server_quiesce(api->agents_server);
    if (api->holds != NULL)
        http_holds_stop(api->holds);
    if (api->feed != NULL)
        feed_stop(api->feed);
    drain(api, http_server_suspended);
    if (api->loop != NULL)
        loop_stop(api->loop);
    telemetry_desk_stop(api->telemetry);
    worker_stop(api->disk);
    drain(api, http_server_suspended);
    drain(api, http_server_owed); /* what they were told has left the process */
    http_server_close(api->people_server);
    http_server_close(api->agents_server);
    loop_free(api->loop);
    telemetry_desk_free(api->telemetry);
    worker_free(api->disk);
    feed_free(api->feed);
    agents_free(api->agents);
    watch_free(api->watch);
    http_holds_free(api->holds);
    readers_free(api->readers);
    live_free(api->live);
    logs_close(api->logs);
    blobs_close(api->blobs);
    auth_free(api->auth);
    free(api);
}
