/*
 * bench_trainer.c - the MLP on MNIST: accuracy over fixed seeds with one and two ranks, samples a
 * second against a plain C loop on OpenBLAS, what checkpoints cost, and starting up.
 *
 * The full set is taken from $REPRISE_DATA/mnist; without it the small one, whose accuracy is lower.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "schema/exit_code.h"
#include "tests/bench/bench.h"
#include "tests/bench/mlp_probe.h"
#include "tests/integration/gang.h"
#include "trainer/data/data.h"

#define PROBE_STEPS 2000
#define SEEDS       10
#define STARTS      50

static double final_value(const struct gang *gang, const char *name)
{
    static struct wire_event end;
    if (!gang_last_event(gang, gang->attempt, 0, EVENT_FINISHED, &end))
        fail_msg("no finished event");
    for (size_t i = 0; i < end.value_count; i++) {
        if (strcmp(end.values[i].name, name) == 0)
            return end.values[i].value;
    }
    return 0.0;
}

static void use_data(struct gang *gang)
{
    const char *root = getenv("REPRISE_DATA");
    char path[GANG_PATH_BYTES];
    if (root == NULL)
        return;
    (void)snprintf(path, sizeof(path), "%s/mnist", root);
    if (fs_exists(path))
        (void)snprintf(gang->data, sizeof(gang->data), "%s", path);
}

/* Samples a second of the plain loop on the same images; it also decodes them for the trainers. */
static double probe(const struct gang *gang)
{
    const struct data_spec spec = {.train = {.format = DATA_IDX,
                                             .features = "train-images-idx3-ubyte.gz",
                                             .labels = "train-labels-idx1-ubyte.gz"}};
    const struct data_request request = {.spec = &spec, .root = gang->data};
    char cache[GANG_PATH_BYTES];
    (void)snprintf(cache, sizeof(cache), "%s/cache", gang->folder);
    struct dataset set;
    struct error err = {.status = STATUS_OK};
    if (dataset_open(&request, cache, &set, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    const double speed =
        mlp_probe_samples_per_second(dataset_array(&set, "features")->values,
                                     dataset_array(&set, "label")->values, set.count, PROBE_STEPS);
    dataset_close(&set);
    return speed;
}

/* 784-128-10, five epochs, 64 rows a rank; a figure of accuracy and one of speed. */
static void measure_training(int ranks)
{
    struct gang gang;
    gang_open(&gang);
    use_data(&gang);
    gang_set(&gang, "model.hidden", json_pack("[i]", 128));
    gang_set(&gang, "checkpoint.every_steps", json_integer(200));
    struct bench_samples accuracy = {0}, speed = {0}, probes = {0};
    bench_load_start();
    const int seeds = bench_is_short() ? 2 : SEEDS;
    for (int seed = 1; seed <= seeds; seed++) {
        gang_set(&gang, "training",
                 json_pack("{s:i, s:i, s:i}", "epochs", 5, "batch_size", 64 * ranks, "seed", seed));
        bench_add(&probes, probe(&gang)); /* alternating with what is compared to it */
        gang_run(&gang, &(struct gang_start){.world_size = ranks, .shared_memory = true},
                 TRAINER_EXIT_DONE);
        bench_add(&accuracy, final_value(&gang, "eval_accuracy"));
        bench_add(&speed, final_value(&gang, "samples_per_second"));
    }
    char name[64];
    double mean = 0.0;
    for (size_t i = 0; i < accuracy.count; i++)
        mean += accuracy.values[i] / (double)accuracy.count;
    (void)snprintf(name, sizeof(name), "mnist_accuracy_%d_ranks", ranks);
    bench_report(name, "share", &accuracy, 0);
    (void)snprintf(name, sizeof(name), "mnist_accuracy_mean_%d_ranks", ranks);
    bench_report_value(name, "share", mean, 0);
    (void)snprintf(name, sizeof(name), "mnist_samples_per_second_%d_ranks", ranks);
    bench_report(name, "samples/s", &speed, bench_quantile(&probes, 0.5));
    bench_clear(&accuracy);
    bench_clear(&speed);
    bench_clear(&probes);
    gang_close(&gang);
}

/* Speed with a checkpoint every so many steps against speed with none: pairs, alternating. */
static void measure_checkpoints(void)
{
    struct gang gang;
    gang_open(&gang);
    use_data(&gang);
    gang_set(&gang, "model.hidden", json_pack("[i]", 128));
    gang_set(&gang, "training.steps", json_integer(20000));
    (void)probe(&gang); /* decodes */
    struct bench_samples without = {0}, with = {0};
    bench_load_start();
    for (int pair = 0; pair < (bench_is_short() ? 1 : 5); pair++) {
        gang_set(&gang, "checkpoint", json_pack("{s:i}", "every_steps", 1000000));
        gang_run(&gang, &(struct gang_start){.world_size = 1}, TRAINER_EXIT_DONE);
        bench_add(&without, final_value(&gang, "samples_per_second"));
        gang_set(&gang, "checkpoint", json_pack("{s:s}", "every", "1s"));
        gang_run(&gang, &(struct gang_start){.world_size = 1}, TRAINER_EXIT_DONE);
        bench_add(&with, final_value(&gang, "samples_per_second"));
    }
    bench_report("checkpoint_each_second_samples_per_second", "samples/s", &with,
                 bench_quantile(&without, 0.5));
    bench_clear(&with);
    bench_clear(&without);
    gang_close(&gang);
}

/* From the request to start the process until its first step is done, with the data decoded. */
static void measure_start(void)
{
    struct gang gang;
    gang_open(&gang);
    use_data(&gang);
    gang_set(&gang, "model.hidden", json_pack("[i]", 128));
    gang_set(&gang, "training.steps", json_integer(1));
    gang_set(&gang, "data.eval", NULL);
    (void)probe(&gang); /* decodes */
    struct bench_samples started = {0}, stepped = {0};
    bench_load_start();
    for (int i = 0; i < (bench_is_short() ? 5 : STARTS); i++) {
        const int64_t began_ms = clock_boot_ms();
        struct wire_event event;
        gang_run(&gang, &(struct gang_start){.world_size = 1}, TRAINER_EXIT_DONE);
        if (gang_last_event(&gang, gang.attempt, 0, EVENT_STARTED, &event))
            bench_add(&started, (double)(event.boot_ms - began_ms));
        if (gang_last_event(&gang, gang.attempt, 0, EVENT_PROGRESS, &event))
            bench_add(&stepped, (double)(event.boot_ms - began_ms));
    }
    bench_report("trainer_start_to_ready", "ms", &started, 0);
    bench_report("trainer_start_to_first_step", "ms", &stepped, 0);
    bench_clear(&started);
    bench_clear(&stepped);
    gang_close(&gang);
}

int main(void)
{
    measure_start();
    measure_training(1);
    measure_training(2);
    measure_checkpoints();
    return 0;
}
