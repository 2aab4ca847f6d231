#include "tests/unit/fake_controller.h"

#include <arpa/inet.h>
#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "schema/wire_event.h"

#define PATIENCE_S     10
#define BODY_BYTES_MAX (8 * MIB)
#define LEASE_MS       180000
#define TOKEN          "Bearer node-token"

struct fake {
    struct MHD_Daemon *daemon;
    uint16_t port;
    int64_t heartbeat_ms;
    pthread_mutex_t mutex; /* what follows */
    pthread_cond_t changed;
    bool stopping;
    bool fenced, refusing;
    int64_t session, seq;
    int64_t revision;
    json_t *desired;
    char *serving;
    char *held_job; /* its uploads wait; NULL: none do */
    char break_path[64];
    char *break_answer;
    unsigned break_code;
    int break_times;
    struct fake_seen seen;
};

struct exchange {
    struct buf body;
    char method[8];
    char path[256];
};

struct answer {
    unsigned code;
    char *text; /* owned */
};

static void deadline_after(struct timespec *out, int64_t ms)
{
    (void)clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += ms / 1000;
    out->tv_nsec += ms % 1000 * 1000000;
    if (out->tv_nsec >= 1000000000) {
        out->tv_sec++;
        out->tv_nsec -= 1000000000;
    }
}

static struct answer answer_of(unsigned code, json_t *document)
{
    struct answer answer = {code, document ? json_dumps(document, JSON_COMPACT) : strdup("{}")};
    json_decref(document);
    return answer;
}

/* ---------------------------------------------------------------- messages */

static struct answer join(struct fake *fake, const json_t *body)
{
    struct wire_join_answer answer = {
        .node_id = "node_test", .node_token = "node-token", .profile = "fast"};
    if (strcmp(json_string_value(json_object_get(body, "join_token")), "join-token") != 0)
        return answer_of(401, NULL);
    fake->seen.joins++;
    return answer_of(201, wire_join_answer_encode(&answer));
}

static json_t *render_sync(const struct fake *fake, int64_t seq, int64_t revision_seen)
{
    json_t *document =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "session", (json_int_t)fake->session, "seq",
                  (json_int_t)seq, "lease_ms", (json_int_t)LEASE_MS, "heartbeat_ms",
                  (json_int_t)fake->heartbeat_ms, "kill_budget_ms", (json_int_t)500, "revision",
                  (json_int_t)fake->revision);
    if (fake->revision != revision_seen)
        (void)json_object_set(document, "desired", fake->desired);
    return document;
}

static struct answer take_sync(struct fake *fake, const json_t *body)
{
    const int64_t session = json_integer_value(json_object_get(body, "session"));
    const int64_t seq = json_integer_value(json_object_get(body, "seq"));
    const int64_t revision_seen = json_integer_value(json_object_get(body, "revision_seen"));
    const bool news = json_is_true(json_object_get(body, "news"));
    if (fake->fenced)
        return answer_of(409, NULL);
    fake->seen.syncs++;
    fake->seen.news += news;
    if (session == 0) {
        fake->session++;
        fake->seen.resets++;
        fake->seq = 0;
    } else {
        fake->session = session;
    }
    if (seq > fake->seq) {
        fake->seq = seq;
        json_decref(fake->seen.observed);
        fake->seen.observed = json_incref(json_object_get(body, "observed"));
    }
    (void)pthread_cond_broadcast(&fake->changed);
    struct timespec until;
    deadline_after(&until, fake->heartbeat_ms);
    int waited = 0;
    while (!news && session != 0 && waited == 0 && !fake->stopping && fake->seq == seq &&
           fake->revision == revision_seen)
        waited = pthread_cond_timedwait(&fake->changed, &fake->mutex, &until);
    return answer_of(200, render_sync(fake, seq, revision_seen));
}

static bool seen_before(const struct fake_seen *seen, const struct wire_event *event)
{
    for (size_t i = 0; i < seen->line_count; i++) {
        struct wire_event other;
        const char *line = seen->lines[i];
        if (wire_event_decode(line, strlen(line), &other, NULL) == STATUS_OK &&
            other.attempt == event->attempt && other.rank == event->rank &&
            other.seq == event->seq && strcmp(other.job, event->job) == 0)
            return true;
    }
    return false;
}

static struct answer telemetry(struct fake *fake, char *text)
{
    struct wire_telemetry_ack acks[512];
    size_t ack_count = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct wire_event event;
        if (wire_event_decode(line, strlen(line), &event, NULL) != STATUS_OK || ack_count == 512)
            return answer_of(400, NULL);
        struct wire_telemetry_ack *ack = &acks[ack_count++];
        *ack = (struct wire_telemetry_ack){
            .attempt = event.attempt, .rank = event.rank, .seq = event.seq};
        memcpy(ack->job, event.job, sizeof(ack->job));
        if (seen_before(&fake->seen, &event))
            fake->seen.repeat_count++;
        else if (fake->seen.line_count < FAKE_ITEMS_MAX)
            fake->seen.lines[fake->seen.line_count++] = strdup(line);
    }
    return answer_of(200, wire_telemetry_answer_encode(acks, ack_count, NULL, 0));
}

static struct answer upload(struct fake *fake, struct MHD_Connection *connection,
                            const struct exchange *exchange)
{
    uint8_t digest[SHA256_BYTES];
    char base64[48];
    char expected[96];
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Digest");
    while (fake->held_job && strstr(exchange->path, fake->held_job) && !fake->stopping)
        (void)pthread_cond_wait(&fake->changed, &fake->mutex);
    sha256_of(exchange->body.data, exchange->body.size, digest);
    base64_encode(digest, sizeof(digest), base64);
    (void)snprintf(expected, sizeof(expected), "sha-256=:%s:", base64);
    struct fake_upload *entry = &fake->seen.uploads[fake->seen.upload_count++];
    (void)snprintf(entry->path, sizeof(entry->path), "%s", exchange->path);
    entry->bytes = exchange->body.size;
    entry->digest_right = header && strcmp(header, expected) == 0;
    entry->lines_before = fake->seen.line_count;
    return answer_of(fake->refusing ? 409 : 201, NULL);
}

static struct answer logs(struct fake *fake, const struct exchange *exchange)
{
    struct fake_seen *seen = &fake->seen;
    const size_t room = sizeof(seen->output) - 1 - seen->output_bytes;
    const size_t size = exchange->body.size < room ? exchange->body.size : room;
    memcpy(seen->output + seen->output_bytes, exchange->body.data, size);
    seen->output_bytes += size;
    return answer_of(200, NULL);
}

static struct answer result(struct fake *fake, const json_t *body)
{
    if (fake->refusing)
        return answer_of(409, NULL);
    json_decref(fake->seen.result);
    fake->seen.result = json_deep_copy(body);
    return answer_of(201, NULL);
}

static struct answer route(struct fake *fake, struct MHD_Connection *connection,
                           struct exchange *exchange)
{
    const char *token = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    const bool joining = strcmp(exchange->path, "/v1/agent/join") == 0;
    CLEANUP(json_cleanup) json_t *body = NULL;
    if (!joining && (!token || strcmp(token, TOKEN) != 0))
        return answer_of(401, NULL);
    if (fake->break_times > 0 &&
        strncmp(exchange->path, fake->break_path, strlen(fake->break_path)) == 0) {
        fake->break_times--;
        fake->seen.broken++;
        return (struct answer){fake->break_code, strdup(fake->break_answer)};
    }
    if (strcmp(exchange->method, "PUT") == 0)
        return upload(fake, connection, exchange);
    if (strcmp(exchange->method, "GET") == 0) {
        fake->seen.gets++;
        return (struct answer){fake->serving ? 200 : 404,
                               strdup(fake->serving ? fake->serving : "")};
    }
    if (strcmp(exchange->path, "/v1/agent/telemetry") == 0)
        return telemetry(fake, exchange->body.data);
    if (strncmp(exchange->path, "/v1/agent/logs", 14) == 0)
        return logs(fake, exchange);
    if (json_parse(exchange->body.data, exchange->body.size, &body, NULL) != STATUS_OK)
        return answer_of(400, NULL);
    if (joining)
        return join(fake, body);
    if (strcmp(exchange->path, "/v1/agent/sync") == 0)
        return take_sync(fake, body);
    if (strcmp(exchange->path, "/v1/agent/results") == 0)
        return result(fake, body);
    return answer_of(404, NULL);
}

/* ---------------------------------------------------------------- the server */

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **request)
{
    struct fake *fake = context;
    struct exchange *exchange = *request;
    (void)version;
    if (!exchange) {
        exchange = calloc(1, sizeof(*exchange));
        buf_init(&exchange->body, BODY_BYTES_MAX);
        (void)snprintf(exchange->method, sizeof(exchange->method), "%s", method);
        (void)snprintf(exchange->path, sizeof(exchange->path), "%s", url);
        *request = exchange;
        return MHD_YES;
    }
    if (*upload_data_size > 0) {
        buf_append(&exchange->body, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    (void)pthread_mutex_lock(&fake->mutex);
    struct answer answer = route(fake, connection, exchange);
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->mutex);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(answer.text), answer.text, MHD_RESPMEM_MUST_FREE);
    const enum MHD_Result queued = MHD_queue_response(connection, answer.code, response);
    MHD_destroy_response(response);
    return queued;
}

static void completed(void *context, struct MHD_Connection *connection, void **request,
                      enum MHD_RequestTerminationCode how)
{
    struct exchange *exchange = *request;
    (void)context;
    (void)connection;
    (void)how;
    if (!exchange)
        return;
    buf_clear(&exchange->body);
    free(exchange);
    *request = NULL;
}

struct fake *fake_start(uint16_t port, int64_t heartbeat_ms)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert(fake);
    (void)pthread_mutex_init(&fake->mutex, NULL);
    (void)pthread_cond_init(&fake->changed, NULL);
    fake->heartbeat_ms = heartbeat_ms;
    fake->session = 1000;
    fake->revision = 1;
    fake->desired = json_array();
    fake->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD,
                                    0, NULL, NULL, handle, fake, MHD_OPTION_SOCK_ADDR, &address,
                                    MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                                    MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
    assert(fake->daemon);
    fake->port = MHD_get_daemon_info(fake->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return fake;
}

void fake_stop(struct fake *fake)
{
    if (!fake)
        return;
    (void)pthread_mutex_lock(&fake->mutex);
    fake->stopping = true;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->mutex);
    MHD_stop_daemon(fake->daemon);
    for (size_t i = 0; i < fake->seen.line_count; i++)
        free(fake->seen.lines[i]);
    json_decref(fake->seen.observed);
    json_decref(fake->seen.result);
    json_decref(fake->desired);
    free(fake->serving);
    free(fake->held_job);
    free(fake->break_answer);
    (void)pthread_cond_destroy(&fake->changed);
    (void)pthread_mutex_destroy(&fake->mutex);
    free(fake);
}

uint16_t fake_port(const struct fake *fake)
{
    return fake->port;
}

void fake_inherit(struct fake *fake, struct fake *old)
{
    (void)pthread_mutex_lock(&fake->mutex);
    (void)pthread_mutex_lock(&old->mutex);
    fake->seen = old->seen;
    memset(&old->seen, 0, sizeof(old->seen));
    json_decref(fake->desired);
    fake->desired = json_deep_copy(old->desired); /* the old one's threads keep theirs */
    fake->revision = old->revision;
    (void)pthread_mutex_unlock(&old->mutex);
    (void)pthread_mutex_unlock(&fake->mutex);
}

void fake_desire(struct fake *fake, const struct wire_assignment *assignments, size_t count)
{
    (void)pthread_mutex_lock(&fake->mutex);
    json_decref(fake->desired);
    fake->desired = wire_assignments_encode(assignments, count);
    fake->revision++;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->mutex);
}

static void set_flag(struct fake *fake, bool *flag)
{
    (void)pthread_mutex_lock(&fake->mutex);
    *flag = true;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->mutex);
}

void fake_fence(struct fake *fake)
{
    set_flag(fake, &fake->fenced);
}

void fake_refuse_uploads(struct fake *fake)
{
    set_flag(fake, &fake->refusing);
}

static void set_text(struct fake *fake, char **place, const char *text)
{
    (void)pthread_mutex_lock(&fake->mutex);
    free(*place);
    *place = text ? strdup(text) : NULL;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->mutex);
}

void fake_hold_uploads(struct fake *fake, const char *job)
{
    set_text(fake, &fake->held_job, job);
}

void fake_break(struct fake *fake, const char *path, unsigned code, const char *answer, int times)
{
    set_text(fake, &fake->break_answer, answer);
    (void)pthread_mutex_lock(&fake->mutex);
    (void)snprintf(fake->break_path, sizeof(fake->break_path), "%s", path);
    fake->break_code = code;
    fake->break_times = times;
    (void)pthread_mutex_unlock(&fake->mutex);
}

void fake_serve(struct fake *fake, const char *bytes)
{
    set_text(fake, &fake->serving, bytes);
}

bool fake_wait(struct fake *fake, fake_predicate_fn *predicate, void *context)
{
    struct timespec until;
    deadline_after(&until, PATIENCE_S * 1000);
    (void)pthread_mutex_lock(&fake->mutex);
    int waited = 0;
    bool holds = predicate(&fake->seen, context);
    while (!holds && waited == 0) {
        waited = pthread_cond_timedwait(&fake->changed, &fake->mutex, &until);
        holds = predicate(&fake->seen, context);
    }
    (void)pthread_mutex_unlock(&fake->mutex);
    return holds;
}
