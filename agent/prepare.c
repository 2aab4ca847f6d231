#include "agent/prepare.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/fetch.h"
#include "agent/intent.h"
#include "agent/link.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/queue.h"
#include "schema/exit_code.h"

#define TASKS_MAX          NODE_ATTEMPTS_MAX
#define FOLDER_MODE        0700
#define FILE_MODE          0600
#define ORDERS_BYTES_MAX   (4 * MIB)
#define DECODE_TIMEOUT_MS  (30 * 60 * 1000)
#define DECODE_LOG         "decode.log"
#define DECODED_MAX        16
#define CONNECT_TIMEOUT_MS 2000
#define PATH_ROOM          (LOCAL_FOLDER_BYTES + 64)

struct worker {
    struct preparer *preparer;
    struct queue *waiting;
    int load; /* atomic: tasks that wait or are worked on */
    struct http_client *client;
    pthread_t thread;
    bool started;
};

struct preparer {
    const struct site *site;
    struct queue *done;
    int event_fd;
    struct worker workers[PREPARE_WORKERS];
    pthread_mutex_t mutex; /* what follows */
    struct prepare_task *tasks[TASKS_MAX];
    size_t task_count;
    /* Data that this process has seen decoded: keys of decoded_key(). Trainers check for themselves. */
    char *decoded[DECODED_MAX];
    size_t decoded_count;
};

void prepare_task_free(struct prepare_task *task)
{
    if (!task)
        return;
    wire_sync_answer_clear(&task->held);
    fd_cleanup(&task->link_fd);
    free(task);
}

static enum status write_plain(const char *folder, const char *name, const void *bytes, size_t size,
                               struct error *err)
{
    char path[PATH_ROOM];
    TRY(fs_path(path, sizeof(path), err, "%s/%s", folder, name));
    CLEANUP(fd_cleanup)
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    return fs_write_all(fd, bytes, size, err);
}

static enum status make_folder(const char *folder, const char *name, struct error *err)
{
    char path[PATH_ROOM];
    TRY(fs_path(path, sizeof(path), err, "%s/%s", folder, name));
    if (mkdir(path, FOLDER_MODE) != 0 && errno != EEXIST)
        return error_set_errno(err, status_of_errno(errno), errno, "make %s", path);
    return STATUS_OK;
}

static enum status make_rank_files(const char *folder, int64_t rank, struct error *err)
{
    static const char *const names[] = {"events.jsonl", "stdout", "stderr"};
    char name[64];
    TRY(fs_path(name, sizeof(name), err, "rank-%lld", (long long)rank));
    TRY(make_folder(folder, name, err));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        TRY(fs_path(name, sizeof(name), err, "rank-%lld/%s", (long long)rank, names[i]));
        TRY(write_plain(folder, name, "", 0, err));
    }
    return STATUS_OK;
}

static enum status make_files(const struct site *site, struct prepare_task *task, struct error *err)
{
    const struct wire_assignment *a = &task->held.assignments[0];
    static const char *const folders[] = {"checkpoints", "resume", "output"};
    /* Nobody knows this attempt, so what lies here is of a removal that was cut short. */
    if (fs_exists(task->folder))
        TRY(fs_remove_tree(task->folder, err));
    TRY(fs_make_dirs(task->folder, FOLDER_MODE, err));
    TRY(intent_write(task->folder, site->boot_id, a, err));
    for (size_t i = 0; i < COUNT_OF(folders); i++)
        TRY(make_folder(task->folder, folders[i], err));
    for (size_t i = 0; i < a->rank_count; i++)
        TRY(make_rank_files(task->folder, a->ranks[i].rank, err));
    TRY(write_plain(task->folder, "spec.json", a->spec, strlen(a->spec), err));
    return write_plain(task->folder, "secret", a->secret, strlen(a->secret), err);
}

/* What decoding depends on: where the data lies and how the spec reads it. */
static char *decoded_key(const struct wire_assignment *assignment)
{
    CLEANUP(json_cleanup) json_t *spec = NULL;
    if (json_parse(assignment->spec, strlen(assignment->spec), &spec, NULL) != STATUS_OK)
        return NULL;
    CLEANUP(json_cleanup)
    json_t *key = json_pack("{s:s, s:O?}", "dir", assignment->data_dir, "data",
                            json_object_get(spec, "data"));
    return key ? json_canonical(key) : NULL;
}

static bool decoded_before(struct preparer *preparer, const char *key)
{
    bool found = false;
    (void)pthread_mutex_lock(&preparer->mutex);
    for (size_t i = 0; i < DECODED_MAX && preparer->decoded[i]; i++)
        found = found || strcmp(preparer->decoded[i], key) == 0;
    (void)pthread_mutex_unlock(&preparer->mutex);
    return found;
}

static void remember_decoded(struct preparer *preparer, char *key)
{
    (void)pthread_mutex_lock(&preparer->mutex);
    char **place = &preparer->decoded[preparer->decoded_count++ % DECODED_MAX];
    free(*place);
    *place = key;
    (void)pthread_mutex_unlock(&preparer->mutex);
}

static enum status start_decode(struct preparer *preparer, const struct prepare_task *task,
                                pid_t *out_pid, struct error *err)
{
    const struct wire_assignment *a = &task->held.assignments[0];
    char spec[PATH_ROOM];
    char log[PATH_ROOM];
    char cache[SITE_PATH_BYTES + 16];
    TRY(fs_path(spec, sizeof(spec), err, "%s/spec.json", task->folder));
    TRY(fs_path(log, sizeof(log), err, "%s/" DECODE_LOG, task->folder));
    TRY(fs_path(cache, sizeof(cache), err, "%s/cache", preparer->site->data_dir));
    TRY(fs_make_dirs(cache, FOLDER_MODE, err));
    const char *const argv[] = {
        preparer->site->trainer, "decode", spec, "--data", a->data_dir, "--cache", cache, NULL};
    const struct child_options options = {.argv = argv, .output_path = log};
    return child_spawn(&options, out_pid, err);
}

static enum status end_decode(struct prepare_task *task, pid_t pid, struct error *err)
{
    int code = 0;
    TRY(child_wait(pid, DECODE_TIMEOUT_MS, &task->cancelled, &code, err));
    if (code == 0)
        return STATUS_OK;
    task->exit_code = code;
    if (code == TRAINER_EXIT_BAD_SPEC)
        task->reason = REASON_BAD_SPEC;
    else if (code == TRAINER_EXIT_BAD_DATA)
        task->reason = REASON_BAD_DATA;
    char log[PATH_ROOM];
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 64 * KIB);
    if (fs_path(log, sizeof(log), NULL, "%s/" DECODE_LOG, task->folder) == STATUS_OK)
        (void)!fs_read_file(log, &text, NULL);
    return error_set(err, STATUS_INVALID, "decoding data exited with %d: %.150s", code, text.data);
}

/* Sets *out_pid when data has to be decoded (or looked at, which is quick), else 0. */
static enum status begin_data(struct preparer *preparer, struct prepare_task *task, char **out_key,
                              pid_t *out_pid, struct error *err)
{
    const struct wire_assignment *a = &task->held.assignments[0];
    *out_pid = 0;
    if (!a->data_dir[0])
        return STATUS_OK;
    if (!fs_exists(a->data_dir)) {
        task->reason = REASON_DATA_MISSING;
        return error_set(err, STATUS_NOT_FOUND, "the dataset's folder %s is not on this node",
                         a->data_dir);
    }
    *out_key = decoded_key(a);
    if (*out_key && decoded_before(preparer, *out_key))
        return STATUS_OK;
    return start_decode(preparer, task, out_pid, err);
}

static enum status fetch(struct worker *worker, struct prepare_task *task, struct error *err)
{
    const enum status status =
        fetch_shards(worker->preparer->site, worker->client, &task->held.assignments[0],
                     task->folder, &task->cancelled, err);
    if (status == STATUS_CORRUPT)
        task->reason = REASON_CHECKPOINT_CORRUPT;
    return status;
}

/* Data and shards come at the same time: a node that takes over has both to get. */
static enum status bring_inputs(struct worker *worker, struct prepare_task *task, int64_t began_ms,
                                struct error *err)
{
    struct preparer *preparer = worker->preparer;
    CLEANUP(free_cleanup) char *key = NULL;
    pid_t pid = 0;
    TRY(begin_data(preparer, task, &key, &pid, err));
    const enum status fetched = fetch(worker, task, err);
    task->took_ms[PREPARE_SHARDS] = clock_mono_ms() - began_ms;
    if (fetched != STATUS_OK)
        __atomic_store_n(&task->cancelled, true, __ATOMIC_RELEASE); /* the data is no use then */
    if (pid > 0) {
        const enum status decoded = end_decode(task, pid, err);
        if (decoded != STATUS_OK)
            return fetched != STATUS_OK ? fetched : decoded;
        if (key)
            remember_decoded(preparer, TAKE(key));
    }
    task->took_ms[PREPARE_DATA] = clock_mono_ms() - began_ms;
    return fetched;
}

static enum status spawn_runner(const struct site *site, struct prepare_task *task,
                                struct error *err)
{
    CLEANUP(buf_clear) struct buf orders;
    char log[PATH_ROOM];
    buf_init(&orders, ORDERS_BYTES_MAX);
    TRY(orders_render(site, task->folder, &task->held.assignments[0], &task->lease, &orders, err));
    TRY(write_plain(task->folder, RUNNER_ORDERS_NAME, orders.data, orders.size, err));
    TRY(fs_path(log, sizeof(log), err, "%s/runner.log", task->folder));
    /* We are in the runner's backlog before it lives, so that there is nothing to wait or look for. */
    CLEANUP(fd_cleanup) int listen_fd = -1;
    CLEANUP(fd_cleanup) int link_fd = -1;
    TRY(link_listen(task->folder, &listen_fd, err));
    TRY(link_connect(task->folder, &link_fd, err));
    const char *const argv[] = {site->runner, task->folder, NULL};
    const struct child_options options = {
        .argv = argv, .output_path = log, .keep_fd = listen_fd, .keep_as = RUNNER_LISTEN_FD};
    TRY(child_spawn(&options, &task->runner_pid, err));
    task->started = true;
    task->link_fd = link_fd;
    link_fd = -1;
    return STATUS_OK;
}

static enum status prepare_one(struct worker *worker, struct prepare_task *task, struct error *err)
{
    struct preparer *preparer = worker->preparer;
    int64_t *const ms = task->took_ms;
    const int64_t began_ms = clock_mono_ms();
    TRY(make_files(preparer->site, task, err));
    ms[PREPARE_FILES] = clock_mono_ms() - began_ms;
    TRY(bring_inputs(worker, task, began_ms, err));
    if (__atomic_load_n(&task->cancelled, __ATOMIC_ACQUIRE)) {
        task->reason = REASON_STOPPED;
        return error_set(err, STATUS_CONFLICT, "stopped before it started");
    }
    TRY(spawn_runner(preparer->site, task, err));
    ms[PREPARE_SPAWN] = clock_mono_ms() - began_ms;
    return STATUS_OK;
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct preparer *preparer = worker->preparer;
    void *item = NULL;
    while (queue_take(worker->waiting, &item, 1, INT64_MAX) > 0) {
        struct prepare_task *task = item;
        (void)!prepare_one(worker, task, &task->error);
        (void)__atomic_sub_fetch(&worker->load, 1, __ATOMIC_RELAXED);
        const bool pushed = queue_push(preparer->done, task);
        assert(pushed); /* no more tasks exist than the queue holds */
        const uint64_t one = 1;
        (void)!write(preparer->event_fd, &one, sizeof(one));
    }
    return NULL;
}

static enum status start_worker(struct preparer *preparer, struct worker *worker, struct error *err)
{
    const struct http_client_options options = {
        .base_url = preparer->site->controller,
        .token = preparer->site->node_token,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    worker->preparer = preparer;
    TRY(queue_new(TASKS_MAX, &worker->waiting, err));
    TRY(http_client_new(&options, &worker->client, err));
    if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
        return error_set(err, STATUS_INTERNAL, "start a worker thread");
    worker->started = true;
    (void)pthread_setname_np(worker->thread, "prepare");
    return STATUS_OK;
}

static enum status open_preparer(struct preparer *preparer, struct error *err)
{
    TRY(queue_new(TASKS_MAX, &preparer->done, err));
    preparer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (preparer->event_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make an eventfd");
    for (size_t i = 0; i < PREPARE_WORKERS; i++)
        TRY(start_worker(preparer, &preparer->workers[i], err));
    return STATUS_OK;
}

enum status prepare_start(const struct site *site, struct preparer **out, struct error *err)
{
    struct preparer *preparer = calloc(1, sizeof(*preparer));
    if (!preparer)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the preparer");
    preparer->site = site;
    preparer->event_fd = -1;
    (void)pthread_mutex_init(&preparer->mutex, NULL);
    const enum status status = open_preparer(preparer, err);
    if (status != STATUS_OK) {
        prepare_stop(preparer);
        return status;
    }
    *out = preparer;
    return STATUS_OK;
}

static void drain(struct queue *queue)
{
    void *item;
    while (queue && queue_length(queue) > 0 && queue_take(queue, &item, 1, 0) > 0)
        prepare_task_free(item);
}

static void end_worker(struct worker *worker)
{
    if (worker->waiting)
        queue_close(worker->waiting);
    if (worker->client)
        http_client_abort(worker->client);
    if (worker->started)
        (void)pthread_join(worker->thread, NULL);
    http_client_free(worker->client);
    drain(worker->waiting);
    queue_free(worker->waiting);
}

void prepare_stop(struct preparer *preparer)
{
    if (!preparer)
        return;
    (void)pthread_mutex_lock(&preparer->mutex);
    for (size_t i = 0; i < preparer->task_count; i++)
        __atomic_store_n(&preparer->tasks[i]->cancelled, true, __ATOMIC_RELEASE);
    (void)pthread_mutex_unlock(&preparer->mutex);
    for (size_t i = 0; i < PREPARE_WORKERS; i++)
        end_worker(&preparer->workers[i]);
    drain(preparer->done);
    queue_free(preparer->done);
    for (size_t i = 0; i < DECODED_MAX; i++)
        free(preparer->decoded[i]);
    fd_cleanup(&preparer->event_fd);
    (void)pthread_mutex_destroy(&preparer->mutex);
    free(preparer);
}

static bool enlist(struct preparer *preparer, struct prepare_task *task)
{
    (void)pthread_mutex_lock(&preparer->mutex);
    const bool room = preparer->task_count < TASKS_MAX;
    if (room)
        preparer->tasks[preparer->task_count++] = task;
    (void)pthread_mutex_unlock(&preparer->mutex);
    return room;
}

static void unlist(struct preparer *preparer, const struct prepare_task *task)
{
    (void)pthread_mutex_lock(&preparer->mutex);
    for (size_t i = 0; i < preparer->task_count; i++) {
        if (preparer->tasks[i] == task) {
            preparer->tasks[i] = preparer->tasks[--preparer->task_count];
            break;
        }
    }
    (void)pthread_mutex_unlock(&preparer->mutex);
}

/* Gives it to the worker with the least to do; a long decode holds up only its own. */
static bool assign(struct preparer *preparer, struct prepare_task *task)
{
    struct worker *idlest = &preparer->workers[0];
    for (size_t i = 1; i < PREPARE_WORKERS; i++) {
        struct worker *worker = &preparer->workers[i];
        if (__atomic_load_n(&worker->load, __ATOMIC_RELAXED) <
            __atomic_load_n(&idlest->load, __ATOMIC_RELAXED))
            idlest = worker;
    }
    (void)__atomic_add_fetch(&idlest->load, 1, __ATOMIC_RELAXED);
    return queue_push(idlest->waiting, task);
}

enum status prepare_submit(struct preparer *preparer, const struct wire_assignment *assignment,
                           const char *folder, const struct orders_lease *lease, struct error *err)
{
    struct prepare_task *task = calloc(1, sizeof(*task));
    if (!task)
        return error_set(err, STATUS_NO_MEMORY, "no memory to prepare job %s", assignment->job);
    task->lease = *lease;
    task->link_fd = -1;
    task->exit_code = -1;
    task->reason = REASON_START_FAILED;
    enum status status = fs_path(task->folder, sizeof(task->folder), err, "%s", folder);
    if (status == STATUS_OK)
        status = assignment_copy(assignment, &task->held, err);
    if (status == STATUS_OK && !enlist(preparer, task))
        status = error_set(err, STATUS_BUSY, "over %d attempts at once", TASKS_MAX);
    if (status == STATUS_OK && !assign(preparer, task)) {
        unlist(preparer, task);
        status = error_set(err, STATUS_BUSY, "over %d attempts at once", TASKS_MAX);
    }
    if (status != STATUS_OK)
        prepare_task_free(task);
    return status;
}

void prepare_cancel(struct preparer *preparer, const char *job, int64_t attempt)
{
    (void)pthread_mutex_lock(&preparer->mutex);
    for (size_t i = 0; i < preparer->task_count; i++) {
        const struct wire_assignment *a = &preparer->tasks[i]->held.assignments[0];
        if (a->attempt == attempt && strcmp(a->job, job) == 0)
            __atomic_store_n(&preparer->tasks[i]->cancelled, true, __ATOMIC_RELEASE);
    }
    (void)pthread_mutex_unlock(&preparer->mutex);
}

int prepare_fd(const struct preparer *preparer)
{
    return preparer->event_fd;
}

struct prepare_task *prepare_take(struct preparer *preparer)
{
    uint64_t count;
    void *item = NULL;
    (void)!read(preparer->event_fd, &count, sizeof(count));
    if (queue_length(preparer->done) == 0 || queue_take(preparer->done, &item, 1, 0) == 0)
        return NULL;
    unlist(preparer, item);
    return item;
}
