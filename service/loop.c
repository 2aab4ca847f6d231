#include "service/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/queue.h"
#include "service/desired.h"

#define STACK_BYTES      (512 * KIB)
#define WAIT_MS_MAX      1000 /* upkeep at least so often */
#define STALL_MS_MIN     50   /* shorter pauses are ordinary scheduling */
#define KEYS_KEPT_MS     (24 * 3600 * (int64_t)1000)
#define KEYS_RELEASE_MS  60000 /* how often old keys are released */
#define START_LIMIT_MS   60000
#define NO_RESULT_MS     60000
#define NUMERICS_WAIT_MS 60000
#define GRACE_MS         30000
#define AMEND_MS         2000
#define JOBS_LIVE_MAX    1000000

const double loop_latency_bounds_s[LOOP_LATENCY_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 1e300};

/* A growing list without repeats of one kind: what a batch did. */
struct marks {
    struct loop_change *items;
    size_t count;
    size_t capacity;
};

struct dropped {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t step;
};

struct loop {
    struct store *store;
    struct brain *brain;
    struct loop_hooks hooks;
    struct queue *queue;
    pthread_t thread;
    bool runs;
    atomic_bool tight;      /* the disk is nearly full */
    struct effects effects; /* of the input at hand */
    struct marks changes;
    struct marks desired; /* nodes whose desired set moved */
    struct dropped *dropped;
    size_t dropped_count, dropped_capacity;
    int64_t keys_released_mono_ms;
    pthread_mutex_t stats_lock;
    struct loop_stats stats; /* queue_length is filled on request */
};

/* The brain is ahead of the disk, or memory is out in the middle of a batch. */
static _Noreturn void die(const char *what, const struct error *err)
{
    log_write(LOG_ERROR, "loop_failed", what, "status", status_name(err->status), "error",
              err->text, NULL);
    abort();
}

static void *grown(void *items, size_t *capacity, size_t count, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    void *larger = realloc(items, *capacity * item_bytes);
    if (larger == NULL) {
        struct error err = {0};
        error_set(&err, STATUS_NO_MEMORY, "list of %zu changes", count);
        die("out of memory", &err);
    }
    return larger;
}

static struct loop_change *mark(struct marks *marks, enum loop_change_kind kind, const char *id,
                                int64_t revision, bool terminal)
{
    for (size_t i = marks->count;
         i-- > 0;) { /* what changes twice in a batch does so close together */
        struct loop_change *item = &marks->items[i];
        if (item->kind == kind && strcmp(item->id, id) == 0) {
            item->revision = revision > item->revision ? revision : item->revision;
            item->terminal = item->terminal || terminal;
            return item;
        }
        if (marks->count - i > 64)
            break;
    }
    marks->items = grown(marks->items, &marks->capacity, marks->count, sizeof(*marks->items));
    struct loop_change *item = &marks->items[marks->count++];
    *item = (struct loop_change){.kind = kind, .revision = revision, .terminal = terminal};
    memcpy(item->id, id, sizeof(item->id));
    return item;
}

static void mark_dropped(struct loop *loop, const char *job, int64_t attempt, int64_t step)
{
    loop->dropped =
        grown(loop->dropped, &loop->dropped_capacity, loop->dropped_count, sizeof(*loop->dropped));
    struct dropped *item = &loop->dropped[loop->dropped_count++];
    *item = (struct dropped){.attempt = attempt, .step = step};
    memcpy(item->job, job, sizeof(item->job));
}

struct open_steps {
    struct loop *loop;
    const char *job;
    int64_t attempt;
};

static void mark_open_step(void *context, int64_t step)
{
    const struct open_steps *open = context;
    mark_dropped(open->loop, open->job, open->attempt, step);
}

/* Asked before the effect is applied: afterwards no row says which blobs there were. */
static void mark_open_steps(struct loop *loop, const char *job, int64_t attempt)
{
    struct error err = {0};
    struct open_steps open = {.loop = loop, .job = job, .attempt = attempt};
    if (reader_open_steps(store_reader(loop->store), job, attempt, mark_open_step, &open, &err) !=
        STATUS_OK)
        die("uncommitted shards could not be read", &err);
}

/* Remembers what must be told once the effects are on disk. True if they write anything. */
static bool note_effects(struct loop *loop)
{
    bool writes = false;
    for (size_t i = 0; i < loop->effects.count; i++) {
        const struct effect *effect = &loop->effects.items[i];
        writes = writes || effect->kind != EFFECT_DESIRED;
        /* The other kinds are rows that nobody waits for by themselves. */
        if (effect->kind == EFFECT_JOB_INSERT || effect->kind == EFFECT_JOB_UPDATE ||
            effect->kind == EFFECT_JOB_RESULT)
            mark(&loop->changes, LOOP_JOB_CHANGED, effect->job.id, effect->job.revision,
                 job_state_is_terminal(effect->job.state))
                ->ran = effect->job.attempt > 0;
        else if (effect->kind == EFFECT_NODE_PUT)
            mark(&loop->changes, LOOP_NODE_CHANGED, effect->node.id, effect->node.revision, false);
        else if (effect->kind == EFFECT_DESIRED)
            mark(&loop->desired, LOOP_NODE_CHANGED, effect->node.id, effect->node.revision, false);
        else if (effect->kind == EFFECT_CHECKPOINT_DELETE)
            mark_dropped(loop, effect->checkpoint.job, effect->checkpoint.attempt,
                         effect->checkpoint.step);
        else if (effect->kind == EFFECT_SHARDS_DROP)
            mark_open_steps(loop, effect->drop_job, effect->drop_attempt);
    }
    return writes;
}

static bool step(struct loop *loop, struct brain_input *input, struct brain_reply *reply)
{
    struct error err = {0};
    input->boot_ms = clock_boot_ms();
    input->wall_ms = clock_wall_ms();
    memset(reply, 0, sizeof(*reply));
    brain_step(loop->brain, input, &loop->effects, reply);
    const bool writes = note_effects(loop);
    if (store_apply(loop->store, &loop->effects, &err) != STATUS_OK)
        die("the store refused what the brain decided", &err);
    return writes;
}

static bool run_call(struct loop *loop, struct loop_call *call)
{
    call->status = STATUS_OK;
    if (call->grows && atomic_load_explicit(&loop->tight, memory_order_relaxed)) {
        call->status = error_set(&call->error, STATUS_NO_SPACE,
                                 "the disk of the controller is nearly full: try again later");
        return false;
    }
    if (call->prepare != NULL) {
        call->status = call->prepare(call, loop->store, loop->brain, &call->error);
        if (call->status == STATUS_INTERNAL || call->status == STATUS_CORRUPT ||
            call->status == STATUS_NO_SPACE)
            die("a write failed", &call->error);
        if (call->status != STATUS_OK || !call->has_input)
            return true;
    }
    const bool writes = step(loop, &call->input, &call->reply);
    call->status = call->reply.status;
    if (call->stepped != NULL && call->status == STATUS_OK)
        call->stepped(call, loop->brain);
    return writes || !call->has_input;
}

static bool tick(struct loop *loop, int64_t stall_ms)
{
    struct brain_input input = {.kind = INPUT_TICK, .stall_ms = stall_ms};
    struct brain_reply reply;
    return step(loop, &input, &reply);
}

static void render(struct loop *loop, const char *node)
{
    struct error err = {0};
    char *json = NULL;
    int64_t revision = 0;
    if (desired_render(loop->brain, store_reader(loop->store), node, &json, &revision, &err) !=
        STATUS_OK)
        die("a desired set could not be rendered", &err);
    loop->hooks.desired(loop->hooks.context, node, revision, json);
}

/* Everything that may only happen once the batch is on disk. */
static void tell(struct loop *loop, struct loop_call **calls, size_t count)
{
    for (size_t i = 0; i < loop->desired.count; i++)
        render(loop, loop->desired.items[i].id);
    for (size_t i = 0; i < count; i++)
        calls[i]->done(calls[i]);
    if (loop->changes.count > 0)
        loop->hooks.changed(loop->hooks.context, loop->changes.items, loop->changes.count);
    for (size_t i = 0; i < loop->dropped_count; i++)
        loop->hooks.drop_blobs(loop->hooks.context, loop->dropped[i].job, loop->dropped[i].attempt,
                               loop->dropped[i].step);
    loop->desired.count = 0;
    loop->changes.count = 0;
    loop->dropped_count = 0;
}

static void count_commit(struct loop *loop, int64_t took_ns)
{
    size_t bucket = 0;
    while ((double)took_ns * 1e-9 > loop_latency_bounds_s[bucket])
        bucket++;
    loop->stats.commits++;
    loop->stats.commit_ns += (uint64_t)took_ns;
    loop->stats.commit_latency[bucket]++;
}

/* A pause of the loop is taken from no deadline; false pauses, of the scheduler's kind, count as none. */
static int64_t count_stall(struct loop *loop, int64_t late_ms)
{
    if (late_ms < STALL_MS_MIN)
        return 0;
    pthread_mutex_lock(&loop->stats_lock);
    loop->stats.stalls++;
    loop->stats.stall_ms += late_ms;
    pthread_mutex_unlock(&loop->stats_lock);
    return late_ms;
}

static void run_batch(struct loop *loop, struct loop_call **calls, size_t count, int64_t stall_ms)
{
    struct error err = {0};
    bool writes = false;
    atomic_store_explicit(&loop->tight, !store_has_room(loop->store), memory_order_relaxed);
    const int64_t begun_ms = clock_boot_ms();
    if (store_begin(loop->store, &err) != STATUS_OK)
        die("no transaction", &err);
    stall_ms += count_stall(loop, clock_boot_ms() - begun_ms); /* another program had the lock */
    for (size_t i = 0; i < count; i++)
        writes |= run_call(loop, calls[i]);
    /* Only after all syncs that were received: a deadline is judged on what is known. */
    if (stall_ms > 0 || brain_next_deadline_boot_ms(loop->brain) <= clock_boot_ms())
        writes |= tick(loop, stall_ms);
    const int64_t before_ns = clock_mono_ns();
    if (store_commit(loop->store, &err) != STATUS_OK)
        die("commit failed", &err);

    pthread_mutex_lock(&loop->stats_lock);
    loop->stats.batches++;
    loop->stats.calls += count;
    if (writes)
        count_commit(loop, clock_mono_ns() - before_ns);
    loop->stats.wal_pages = store_wal_pages(loop->store);
    brain_count(loop->brain, &loop->stats.counts);
    pthread_mutex_unlock(&loop->stats_lock);
    tell(loop, calls, count);
}

static void upkeep(struct loop *loop, bool idle)
{
    struct error err = {0};
    const int64_t now_mono_ms = clock_mono_ms();
    if (idle && now_mono_ms - loop->keys_released_mono_ms >= KEYS_RELEASE_MS) {
        loop->keys_released_mono_ms = now_mono_ms;
        if (store_begin(loop->store, &err) != STATUS_OK ||
            store_release_keys(loop->store, clock_wall_ms() - KEYS_KEPT_MS, &err) != STATUS_OK ||
            store_commit(loop->store, &err) != STATUS_OK)
            die("old idempotency keys could not be released", &err);
    }
    if (store_maintain(loop->store, idle, &err) != STATUS_OK)
        die("upkeep of the database failed", &err);
}

/* How long the loop may sleep: until the brain's next deadline, at most WAIT_MS_MAX. */
static int64_t wait_ms(const struct loop *loop)
{
    const int64_t left_ms = brain_next_deadline_boot_ms(loop->brain) - clock_boot_ms();
    return left_ms < 0 ? 0 : left_ms > WAIT_MS_MAX ? WAIT_MS_MAX : left_ms;
}

static void *loop_thread(void *argument)
{
    struct loop *loop = argument;
    void *taken[LOOP_BATCH_MAX];
    struct loop_call *calls[LOOP_BATCH_MAX];
    pthread_setname_np(pthread_self(), "loop");
    for (;;) {
        const int64_t slept_from_ms = clock_boot_ms();
        const int64_t sleep_ms = wait_ms(loop);
        const size_t count =
            queue_take(loop->queue, taken, LOOP_BATCH_MAX, clock_mono_ms() + sleep_ms);
        if (count == 0 && queue_is_closed(loop->queue))
            return NULL;
        const int64_t stall_ms = count_stall(loop, clock_boot_ms() - slept_from_ms - sleep_ms);
        for (size_t i = 0; i < count; i++)
            calls[i] = taken[i];
        run_batch(loop, calls, count, stall_ms);
        upkeep(loop, count == 0);
    }
}

/* ---------------------------------------------------------------- life */

static void collect_node(void *context, const struct node_row *node, const struct slot_row *slots,
                         size_t slot_count)
{
    (void)slots;
    (void)slot_count;
    mark(context, LOOP_NODE_CHANGED, node->id, node->revision, false);
}

/* Every node's snapshot is there before the first agent is listened to. */
static enum status publish_all(struct loop *loop, struct error *err)
{
    char after[ID_BYTES_MAX] = "";
    for (;;) {
        loop->desired.count = 0;
        TRY(reader_nodes(store_reader(loop->store), after, READER_PAGE_MAX, collect_node,
                         &loop->desired, err));
        const size_t count = loop->desired.count;
        if (count == 0)
            return STATUS_OK;
        for (size_t i = 0; i < count; i++)
            render(loop, loop->desired.items[i].id);
        memcpy(after, loop->desired.items[count - 1].id, sizeof(after));
        loop->desired.count = 0;
    }
}

/* The rendezvous secret of an attempt: never from a seed. */
static void fill_secret(void *context, char out[BRAIN_SHA_BYTES])
{
    (void)context;
    uint8_t bytes[SHA256_BYTES];
    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), out);
}

enum status loop_new(const struct loop_options *options, struct loop **out, struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return error_set(err, STATUS_NO_MEMORY, "loop: out of memory");
    pthread_mutex_init(&loop->stats_lock, NULL);
    loop->hooks = options->hooks;
    uint64_t seed = (uint64_t)clock_wall_ms();
    const struct brain_config config = {
        .profile = options->profile,
        .seed = splitmix64_next(&seed),
        .start_limit_ms = START_LIMIT_MS,
        .no_result_ms = NO_RESULT_MS,
        .numerics_wait_ms = NUMERICS_WAIT_MS,
        .grace_ms = GRACE_MS,
        .amend_ms = AMEND_MS,
        .jobs_live_max = JOBS_LIVE_MAX,
        .secret = fill_secret,
    };
    enum status status = queue_new(LOOP_QUEUE_MAX, &loop->queue, err);
    if (status == STATUS_OK)
        status = brain_new(&config, &loop->brain, err);
    if (status == STATUS_OK)
        status = store_load(options->store, loop->brain, err);
    if (status == STATUS_OK) {
        brain_start(loop->brain, clock_boot_ms(), store_revision(options->store));
        loop->store = options->store;
        status = publish_all(loop, err);
    }
    if (status != STATUS_OK) {
        loop->store = NULL; /* still the caller's */
        loop_free(loop);
        return status;
    }
    *out = loop;
    return STATUS_OK;
}

enum status loop_start(struct loop *loop, struct error *err)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const int failed = pthread_create(&loop->thread, &attributes, loop_thread, loop);
    pthread_attr_destroy(&attributes);
    if (failed != 0)
        return error_set_errno(err, STATUS_INTERNAL, failed, "thread of the loop");
    loop->runs = true;
    return STATUS_OK;
}

bool loop_push(struct loop *loop, struct loop_call *call)
{
    assert(call->done != NULL && (call->has_input || call->prepare != NULL));
    return queue_push(loop->queue, call);
}

void loop_stop(struct loop *loop)
{
    queue_close(loop->queue);
    if (loop->runs)
        pthread_join(loop->thread, NULL);
    loop->runs = false;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->runs);
    queue_free(loop->queue);
    brain_free(loop->brain);
    store_close(loop->store);
    effects_clear(&loop->effects);
    free(loop->changes.items);
    free(loop->desired.items);
    free(loop->dropped);
    pthread_mutex_destroy(&loop->stats_lock);
    free(loop);
}

bool loop_has_room(const struct loop *loop)
{
    return !atomic_load_explicit(&loop->tight, memory_order_relaxed);
}

void loop_stats(struct loop *loop, struct loop_stats *out)
{
    pthread_mutex_lock(&loop->stats_lock);
    *out = loop->stats;
    pthread_mutex_unlock(&loop->stats_lock);
    out->queue_length = queue_length(loop->queue);
}
