/* What decisions cost when there is much to decide about: 1,000 nodes, 10,000 waiting jobs. */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "service/brain/brain.h"
#include "tests/bench/bench.h"

#define NODES      1000
#define NODE_SLOTS 8
#define QUEUE      10000
#define ROUND      1000

struct run {
    struct brain *brain;
    struct effects effects;
    struct brain_reply reply;
    int64_t boot_ms;
    int64_t jobs;
    int64_t seq;
};

static void step(struct run *run, struct brain_input *input)
{
    input->boot_ms = run->boot_ms;
    input->wall_ms = run->boot_ms;
    brain_step(run->brain, input, &run->effects, &run->reply);
    assert(run->reply.status == STATUS_OK);
}

static void sync_node(struct run *run, int number)
{
    char id[ID_BYTES_MAX];
    (void)snprintf(id, sizeof(id), "node_%04d", number);
    struct brain_input input = {.kind = INPUT_NODE_SYNC};
    input.sync = (struct input_sync){.node = id,
                                     .session = 1,
                                     .seq = ++run->seq,
                                     .boot_id = "boot",
                                     .received_boot_ms = run->boot_ms};
    step(run, &input);
}

static void join(struct run *run, int number)
{
    static const uint8_t sha256[32] = {1};
    struct slot_row slots[NODE_SLOTS];
    memset(slots, 0, sizeof(slots));
    for (int i = 0; i < NODE_SLOTS; i++) {
        (void)snprintf(slots[i].slot, sizeof(slots[i].slot), "cpu:%d", i);
        slots[i].kind = DEVICE_CPU;
        slots[i].index = i;
    }
    struct brain_input input = {.kind = INPUT_NODE_JOIN};
    input.join = (struct input_join){.slots = slots,
                                     .slot_count = NODE_SLOTS,
                                     .join_token = "",
                                     .node_token = "",
                                     .node_token_sha256 = sha256};
    (void)snprintf(input.join.node.id, ID_BYTES_MAX, "node_%04d", number);
    (void)snprintf(input.join.node.address, BRAIN_ADDRESS_BYTES, "10.0.%d.%d", number / 250,
                   number % 250);
    (void)snprintf(input.join.node.boot_id, sizeof(input.join.node.boot_id), "boot");
    (void)snprintf(input.join.node.numerics, BRAIN_NUMERICS_BYTES, "zen");
    step(run, &input);
    sync_node(run, number);
}

static void submit(struct run *run, int64_t ranks)
{
    struct brain_input input = {.kind = INPUT_JOB_SUBMIT};
    (void)snprintf(input.submit.job.id, ID_BYTES_MAX, "job_%08" PRId64, ++run->jobs);
    input.submit.job.request = (struct job_request){
        .ranks = ranks, .priority = 50, .keep_last = 3, .fenced = true, .max_restarts = 5};
    input.submit.spec = "{}";
    input.submit.labels = "{}";
    step(run, &input);
}

static double per_second(int64_t began_ns, int64_t count)
{
    return (double)count * 1e9 / (double)(clock_mono_ns() - began_ns);
}

int main(void)
{
    const struct brain_config config = {.profile = &brain_profiles[0],
                                        .start_limit_ms = 60000,
                                        .no_result_ms = 60000,
                                        .numerics_wait_ms = 60000,
                                        .grace_ms = 30000,
                                        .amend_ms = 2000,
                                        .jobs_live_max = 1000000};
    struct run run = {.boot_ms = 1000};
    struct bench_samples placed = {.values = NULL};
    struct bench_samples queued = {.values = NULL};
    struct bench_samples syncs = {.values = NULL};
    if (brain_new(&config, &run.brain, NULL) != STATUS_OK)
        return 1;
    brain_start(run.brain, run.boot_ms, 0);
    for (int i = 0; i < NODES; i++)
        join(&run, i);
    bench_load_start();
    for (int64_t held = 0; held < (int64_t)NODES * NODE_SLOTS; held += ROUND) {
        const int64_t began_ns = clock_mono_ns();
        for (int i = 0; i < ROUND; i++)
            submit(&run, 1);
        bench_add(&placed, per_second(began_ns, ROUND));
    }
    for (int i = 0; i < QUEUE; i++)
        submit(&run, 4);
    const int rounds = bench_is_short() ? 3 : 20;
    for (int round = 0; round < rounds; round++) {
        int64_t began_ns = clock_mono_ns();
        for (int i = 0; i < ROUND; i++)
            submit(&run, 4);
        bench_add(&queued, per_second(began_ns, ROUND));
        began_ns = clock_mono_ns();
        for (int i = 0; i < NODES; i++)
            sync_node(&run, i);
        bench_add(&syncs, per_second(began_ns, NODES));
    }
    bench_report("brain_submit_placed", "submits/s", &placed, 0);
    bench_report("brain_submit_queued", "submits/s", &queued, 0);
    bench_report("brain_sync", "syncs/s", &syncs, 0);
    bench_clear(&placed);
    bench_clear(&queued);
    bench_clear(&syncs);
    effects_clear(&run.effects);
    brain_free(run.brain);
    return 0;
}
