#include "tests/integration/gang.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "tests/integration/cluster.h"
#include "tests/integration/process.h"
#include "trainer/checkpoint_folder.h"

#define VARIABLES_MAX  32
#define VARIABLE_BYTES 320
#define EVENTS_BYTES   (8 * MIB)

static const char small_spec[] =
    "{\"name\":\"gang\",\"model\":{\"type\":\"mlp\",\"hidden\":[32],\"activation\":\"relu\","
    "\"classes\":10},\"data\":{\"train\":{\"format\":\"idx\",\"features\":"
    "\"train-images-idx3-ubyte.gz\",\"labels\":\"train-labels-idx1-ubyte.gz\"},\"eval\":{"
    "\"format\":\"idx\",\"features\":\"t10k-images-idx3-ubyte.gz\",\"labels\":"
    "\"t10k-labels-idx1-ubyte.gz\"},\"root\":\"mnist-small\"},\"optimizer\":{\"type\":\"adam\","
    "\"lr\":0.001},\"training\":{\"steps\":400,\"batch_size\":64,\"seed\":1,"
    "\"metrics_every_steps\":20},\"checkpoint\":{\"every_steps\":50}}";

static void write_spec(const struct gang *gang, const json_t *spec)
{
    char path[GANG_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/spec.json", gang->folder);
    if (json_dump_file(spec, path, JSON_INDENT(2)) != 0)
        fail_msg("write %s", path);
}

static json_t *read_spec(const struct gang *gang)
{
    char path[GANG_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/spec.json", gang->folder);
    json_t *spec = json_load_file(path, 0, NULL);
    assert_non_null(spec);
    return spec;
}

void gang_open(struct gang *gang)
{
    process_setup();
    *gang = (struct gang){.shared = -1, .patience_ms = GANG_PATIENCE_MS};
    (void)snprintf(gang->folder, sizeof(gang->folder), "/tmp/reprise-gang-XXXXXX");
    assert_non_null(mkdtemp(gang->folder));
    CLEANUP(free_cleanup) char *data = realpath("deploy/data/mnist-small", NULL);
    assert_non_null(data);
    (void)snprintf(gang->data, sizeof(gang->data), "%s", data);
    char path[GANG_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/secret", gang->folder);
    assert_int_equal(fs_replace_file(path, "0123456789abcdef", 16, 0600, NULL), STATUS_OK);
    for (const char *const *name = (const char *const[]){"out", "checkpoints", NULL}; *name != NULL;
         name++) {
        (void)snprintf(path, sizeof(path), "%s/%s", gang->folder, *name);
        assert_int_equal(fs_make_dirs(path, 0755, NULL), STATUS_OK);
    }
    CLEANUP(json_cleanup) json_t *spec = json_loads(small_spec, 0, NULL);
    assert_non_null(spec);
    write_spec(gang, spec);
}

void gang_use(struct gang *gang, const char *name)
{
    char path[GANG_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "deploy/jobs/%s.json", name);
    CLEANUP(json_cleanup) json_t *spec = json_load_file(path, 0, NULL);
    assert_non_null(spec);
    const json_t *root = json_object_get(json_object_get(spec, "data"), "root");
    assert_true(json_is_string(root));
    (void)snprintf(path, sizeof(path), "deploy/data/%s", json_string_value(root));
    if (!fs_exists(path)) /* a real set's small part */
        (void)snprintf(path, sizeof(path), "deploy/data/%s-small", json_string_value(root));
    CLEANUP(free_cleanup) char *data = realpath(path, NULL);
    assert_non_null(data);
    (void)snprintf(gang->data, sizeof(gang->data), "%s", data);
    write_spec(gang, spec);
}

void gang_close(struct gang *gang)
{
    process_kill_all();
    if (gang->shared >= 0)
        (void)close(gang->shared);
    if (getenv("KEEP") == NULL)
        assert_int_equal(fs_remove_tree(gang->folder, NULL), STATUS_OK);
}

void gang_set(struct gang *gang, const char *path, json_t *value)
{
    CLEANUP(json_cleanup) json_t *spec = read_spec(gang);
    cluster_spec_set(spec, path, value);
    write_spec(gang, spec);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
    CLEANUP(fd_cleanup) const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

struct variables {
    char text[VARIABLES_MAX][VARIABLE_BYTES];
    const char *list[VARIABLES_MAX + 1];
    size_t count;
};

static void add(struct variables *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct variables *v, const char *fmt, ...)
{
    assert_true(v->count < VARIABLES_MAX);
    va_list arguments;
    va_start(arguments, fmt);
    const int length = vsnprintf(v->text[v->count], VARIABLE_BYTES, fmt, arguments);
    va_end(arguments);
    assert_true(length > 0 && length < VARIABLE_BYTES);
    v->list[v->count] = v->text[v->count];
    v->count++;
}

static void start_rank(struct gang *gang, const struct gang_start *start, int rank, int port)
{
    const char *folder = gang->folder;
    static struct variables v;
    memset(&v, 0, sizeof(v));
    add(&v, "RANK=%d", rank);
    add(&v, "WORLD_SIZE=%d", start->world_size);
    add(&v, "LOCAL_RANK=%d", rank);
    add(&v, "LOCAL_WORLD_SIZE=%d", start->world_size);
    add(&v, "MASTER_ADDR=127.0.0.1");
    add(&v, "MASTER_PORT=%d", port);
    add(&v, "OMP_NUM_THREADS=%s", start->threads == NULL ? "1" : start->threads);
    add(&v, "REPRISE_JOB_ID=job_gang");
    add(&v, "REPRISE_ATTEMPT=%d", gang->attempt);
    add(&v, "REPRISE_SPEC=%s/spec.json", folder);
    add(&v, "REPRISE_EVENTS=%s/events-%d-%d.jsonl", folder, gang->attempt, rank);
    add(&v, "REPRISE_DATA_DIR=%s", gang->data);
    add(&v, "REPRISE_DATA_CACHE=%s/cache", folder);
    add(&v, "REPRISE_OUTPUT_DIR=%s/out", folder);
    if (start->checkpoints == NULL)
        add(&v, "REPRISE_CHECKPOINT_DIR=%s/checkpoints", folder);
    else
        add(&v, "REPRISE_CHECKPOINT_DIR=%s", start->checkpoints);
    add(&v, "REPRISE_RENDEZVOUS_SECRET_FILE=%s/secret", folder);
    if (start->resume_step > 0) {
        add(&v, "REPRISE_RESUME_FROM=%s/checkpoints/step-%06lld", folder,
            (long long)start->resume_step);
        add(&v, "REPRISE_RESUME_STEP=%lld", (long long)start->resume_step);
    }
    if (start->setup_timeout_ms > 0)
        add(&v, "REPRISE_SETUP_TIMEOUT_MS=%d", start->setup_timeout_ms);
    if (gang->shared >= 0)
        add(&v, "REPRISE_SHARED_MEMORY=/proc/%d/fd/%d", (int)getpid(), gang->shared);
    char program[512], log[GANG_PATH_BYTES];
    cluster_program("reprise-trainer", program);
    (void)snprintf(log, sizeof(log), "%s/log-%d-%d", folder, gang->attempt, rank);
    const char *const argv[] = {program, NULL};
    gang->pids[rank] =
        process_start(&(struct process_options){.argv = argv, .env = v.list, .stdout_path = log});
}

void gang_start(struct gang *gang, const struct gang_start *start)
{
    assert_true(start->world_size <= GANG_RANKS_MAX);
    if (gang->shared >= 0)
        (void)close(gang->shared);
    gang->shared = start->shared_memory ? memfd_create("gang", MFD_CLOEXEC) : -1;
    gang->world_size = start->world_size;
    gang->attempt++;
    const int port = free_port();
    for (int rank = 0; rank < start->world_size; rank++)
        start_rank(gang, start, rank, port);
}

int gang_wait(struct gang *gang, int rank)
{
    int status = 0;
    if (!process_wait(gang->pids[rank], process_patience(gang->patience_ms), &status))
        fail_msg("rank %d of attempt %d does not end", rank, gang->attempt);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void gang_run(struct gang *gang, const struct gang_start *start, int code)
{
    gang_start(gang, start);
    for (int rank = 0; rank < start->world_size; rank++) {
        const int actual = gang_wait(gang, rank);
        if (actual != code)
            fail_msg("rank %d of attempt %d ended with %d, expected %d; see %s (KEEP=1)", rank,
                     gang->attempt, actual, code, gang->folder);
    }
}

int gang_events(const struct gang *gang, int attempt, int rank, struct wire_event *out, int max)
{
    char path[GANG_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/events-%d-%d.jsonl", gang->folder, attempt, rank);
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, EVENTS_BYTES);
    if (fs_read_file(path, &text, NULL) != STATUS_OK)
        return 0;
    int count = 0;
    const char *line = text.data;
    for (const char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
        static struct wire_event event;
        struct error err = {.status = STATUS_OK};
        if (wire_event_decode(line, (size_t)(end - line), &event, &err) != STATUS_OK)
            fail_msg("%s, line %d: %s", path, count + 1, err.text);
        if (out != NULL && count < max)
            out[count] = event;
        count++;
        line = end + 1;
    }
    return count;
}

static int count_events(const struct gang *gang, int attempt, int rank, enum event_kind kind,
                        struct wire_event *out_last)
{
    const int max = gang_events(gang, attempt, rank, NULL, 0);
    CLEANUP(free_cleanup)
    struct wire_event *events = calloc((size_t)max + 1, sizeof(*events));
    assert_non_null(events);
    const int count = gang_events(gang, attempt, rank, events, max);
    int matching = 0;
    for (int i = 0; i < count && i < max; i++) {
        if (events[i].kind != kind)
            continue;
        matching++;
        if (out_last != NULL)
            *out_last = events[i];
    }
    return matching;
}

bool gang_last_event(const struct gang *gang, int attempt, int rank, enum event_kind kind,
                     struct wire_event *out)
{
    return count_events(gang, attempt, rank, kind, out) > 0;
}

void gang_await(struct gang *gang, int rank, enum event_kind kind, int count)
{
    const int64_t deadline = clock_mono_ms() + process_patience(GANG_PATIENCE_MS);
    while (count_events(gang, gang->attempt, rank, kind, NULL) < count) {
        if (clock_mono_ms() > deadline)
            fail_msg("rank %d does not come to %d events of kind %s", rank, count,
                     event_kind_names[kind]);
        clock_sleep_ms(1);
    }
}

int64_t gang_newest_step(const struct gang *gang)
{
    char folder[GANG_PATH_BYTES], newest[GANG_PATH_BYTES];
    int64_t step = 0;
    (void)snprintf(folder, sizeof(folder), "%s/checkpoints", gang->folder);
    return checkpoint_newest(folder, -1, newest, sizeof(newest), &step, NULL) == STATUS_OK ? step
                                                                                           : 0;
}

void gang_model_sha256(const struct gang *gang, char out[65])
{
    char path[GANG_PATH_BYTES];
    uint8_t digest[SHA256_BYTES];
    uint64_t bytes = 0;
    struct error err = {.status = STATUS_OK};
    (void)snprintf(path, sizeof(path), "%s/out/model.safetensors", gang->folder);
    if (sha256_file(path, digest, &bytes, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    sha256_hex(digest, out);
}
