#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* simrun.c - plays seeds. Each: a safety phase with faults, then everything is healed and must finish. */

#define SAFETY_MS_MIN    20000
#define SAFETY_MS_MAX    150000
#define LIVENESS_MS_MAX  1500000
#define LIVENESS_STEP_MS 5000

struct options {
    uint64_t seed, seeds;
    int64_t until_ms;
    bool trace, stop;
};

struct totals {
    int64_t commits, reloads, attempts, checkpoints, failovers, witnessed, virtual_ms;
};

static void print_help(void)
{
    puts("usage: simrun [--seed N] [--seeds M] [--until MS] [--trace] [--stop]\n"
         "\n"
         "Plays a cluster in virtual time around the controller's own brain and store, with "
         "faults, and\n"
         "checks after every event what must never go wrong; then heals everything and requires an "
         "end.\n"
         "\n"
         "  --seed N    first seed (default 1)\n"
         "  --seeds M   how many seeds (default 1)\n"
         "  --until MS  stop each seed at this virtual time\n"
         "  --trace     print what happens\n"
         "  --stop      stop at the first seed that fails\n"
         "\n"
         "A seed always gives the same digest. Exit: 0 all fine, 1 a rule was broken, 64 usage.");
}

static bool parse_number(const char *text, int64_t *out)
{
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || value < 0)
        return false;
    *out = value;
    return true;
}

/* 0: go on; else main's exit code plus one. */
static int parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        int64_t value = 0;
        if (strcmp(argv[i], "--help") == 0) {
            print_help();
            return 1;
        }
        if (strcmp(argv[i], "--trace") == 0) {
            options->trace = true;
            continue;
        }
        if (strcmp(argv[i], "--stop") == 0) {
            options->stop = true;
            continue;
        }
        if (i + 1 == argc || !parse_number(argv[i + 1], &value)) {
            fprintf(stderr, "simrun: %s is no option, or lacks a number; try --help\n", argv[i]);
            return 65;
        }
        if (strcmp(argv[i], "--seed") == 0)
            options->seed = (uint64_t)value;
        else if (strcmp(argv[i], "--seeds") == 0)
            options->seeds = (uint64_t)value;
        else if (strcmp(argv[i], "--until") == 0)
            options->until_ms = value;
        else {
            fprintf(stderr, "simrun: unknown option %s; try --help\n", argv[i]);
            return 65;
        }
        i++;
    }
    return 0;
}

static bool all_done(const struct world *world)
{
    for (size_t i = 0; i < world->client_count; i++) {
        if (!world->clients[i].acknowledged)
            return false;
    }
    for (size_t i = 0; i < world->oracle.job_count; i++) {
        if (!job_state_is_terminal(world->oracle.jobs[i].state))
            return false;
    }
    struct brain_counts counts;
    brain_count(world->controller.brain, &counts);
    return counts.slots_held == 0 && counts.nodes[NODE_READY] == (int64_t)world->host_count;
}

static void play(struct world *world, int64_t until_ms)
{
    int64_t safety_ms = world_draw(world, STREAM_FAULTS, SAFETY_MS_MIN, SAFETY_MS_MAX);
    if (until_ms > 0 && until_ms < safety_ms)
        safety_ms = until_ms;
    if (world->failed || !world_run(world, safety_ms) || until_ms == safety_ms)
        return;
    faults_heal(world);
    world->heal_ms = world->now_ms;
    while (!world->failed && world->now_ms < world->heal_ms + LIVENESS_MS_MAX) {
        if (!world_run(world, world->now_ms + LIVENESS_STEP_MS))
            return;
        if (world->controller.up && all_done(world))
            break;
        if (until_ms > 0 && world->now_ms >= until_ms)
            return;
    }
    if (!world->failed)
        oracle_check_end(world);
}

static bool play_seed(uint64_t seed, const struct options *options, struct totals *totals,
                      uint64_t *out_digest)
{
    static struct world world;
    world_init(&world, seed, options->trace);
    play(&world, options->until_ms);
    *out_digest = world.digest;
    const bool fine = !world.failed;
    if (!fine)
        printf("\nseed %" PRIu64 " at %" PRId64 " ms: %s\nreplay: build/bin/simrun --seed %" PRIu64
               " --trace\n",
               seed, world.now_ms, world.why, seed);
    totals->commits += world.oracle.commits;
    totals->reloads += world.oracle.reloads;
    totals->attempts += world.oracle.attempts;
    totals->checkpoints += world.oracle.checkpoints;
    totals->failovers += world.oracle.failovers;
    totals->witnessed += world.oracle.witnessed;
    totals->virtual_ms += world.now_ms;
    world_clear(&world);
    return fine;
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .seeds = 1};
    const int stop = parse(argc, argv, &options);
    if (stop != 0)
        return stop - 1;
    const double began_s = now_s();
    const bool tty = isatty(STDERR_FILENO) != 0;
    struct totals totals = {.commits = 0};
    uint64_t failures = 0;
    uint64_t digests = 0;
    for (uint64_t i = 0; i < options.seeds && !(options.stop && failures > 0); i++) {
        uint64_t digest = 0;
        if (!play_seed(options.seed + i, &options, &totals, &digest))
            failures++;
        digests = digests * 31 + digest;
        if (tty)
            fprintf(stderr, "\rseed %" PRIu64 " of %" PRIu64 ", %" PRIu64 " failed ", i + 1,
                    options.seeds, failures);
    }
    if (tty)
        fputc('\n', stderr);
    const double took_s = now_s() - began_s;
    printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f seeds/s, %.0f virtual hours; %" PRId64
           " commits, %" PRId64 " reloads, %" PRId64 " attempts, %" PRId64 " ended early (%" PRId64
           " by a witness), %" PRId64 " checkpoints; digest %016" PRIx64 "\n",
           options.seeds, failures, (double)options.seeds / took_s,
           (double)totals.virtual_ms / 3600e3, totals.commits, totals.reloads, totals.attempts,
           totals.failovers, totals.witnessed, totals.checkpoints, digests);
    return failures == 0 ? 0 : 1;
}
