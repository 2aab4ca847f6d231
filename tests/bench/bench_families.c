/*
 * bench_families.c - the model families beside PyTorch: speed of one rank and of two, what a second
 * rank brings, memory, and (on request) how good the models are.
 *
 *     bench_families                     speed and memory of all families
 *     bench_families mnist gmf           of these
 *     bench_families quality [NAME...]   accuracy, AUC, HR and NDCG; takes an hour or more
 *
 * One rank has one core, whatever threads it starts. Runs alternate, ours and PyTorch's, and each
 * pair gives one ratio: what others do to the machine meanwhile hits both. Skipped where Debian's
 * python3-torch or the data sets ($REPRISE_DATA) are missing. PYTHON names another interpreter.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/fs.h"
#include "tests/bench/bench.h"
#include "tests/bench/families.h"

#define PAIRS       5
#define SHORT_STEPS 4 /* windows of a short run */
#define NAME_BYTES  96

static const struct family families[] = {
    {.name = "mnist",
     .job = "deploy/jobs/mnist.json",
     .folder = "mnist",
     .script = "mnist.py",
     .batch = 64,
     .window = 100,
     .steps = 2800,
     .our_steps = 12000,
     .large_batch = 2048,
     .mark_of_one = 1.8,
     .mark_of_two = 5},
    {.name = "neumf",
     .job = "deploy/jobs/ml-1m-neumf.json",
     .folder = "ml-1m",
     .script = "ncf.py",
     .arguments = {"--variant", "neumf"},
     .batch = 256,
     .window = 200,
     .steps = 3000,
     .our_steps = 12000,
     .large_batch = 8192,
     .mark_of_one = 2.5,
     .mark_of_two = 5},
    {.name = "gmf",
     .job = "deploy/jobs/ml-1m-gmf.json",
     .folder = "ml-1m",
     .script = "ncf.py",
     .arguments = {"--variant", "gmf"},
     .batch = 256,
     .window = 200,
     .steps = 6000,
     .our_steps = 48000,
     .large_batch = 8192,
     .mark_of_one = 2,
     .mark_of_two = 5},
    {.name = "bilstm_padded",
     .job = "tests/bench/pytorch/bilstm.json",
     .padding = "compute",
     .length = 100,
     .script = "bilstm.py",
     .batch = 32,
     .window = 5,
     .steps = 28,
     .our_steps = 60,
     .large_batch = 128,
     .mark_of_one = 1.4,
     .mark_of_two = 1.3},
    {.name = "bilstm_natural",
     .job = "tests/bench/pytorch/bilstm.json",
     .padding = "skip",
     .length = 100,
     .script = "bilstm.py",
     .batch = 32,
     .window = 5,
     .steps = 28,
     .our_steps = 200,
     .large_batch = 128,
     .mark_of_one = 3},
    /* PyTorch can leave padding out too. */
    {.name = "bilstm_packed",
     .job = "tests/bench/pytorch/bilstm.json",
     .padding = "skip",
     .length = 100,
     .script = "bilstm.py",
     .arguments = {"--packed"},
     .batch = 32,
     .window = 5,
     .steps = 28,
     .our_steps = 200},
};

static void report(const struct family *family, const char *what, const char *unit,
                   const struct bench_samples *samples, double probe)
{
    char name[2 * NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s_%s", family->name, what);
    bench_report(name, unit, samples, probe);
}

/* ------------------------------------------------------------------ speed */

/* One rank is one core, whatever threads it has; what we start inherits it. */
static void allow_cores(int count, cpu_set_t *old)
{
    cpu_set_t some;
    CPU_ZERO(&some);
    assert_int_equal(sched_getaffinity(0, sizeof(*old), old), 0);
    for (size_t i = CPU_SETSIZE; i-- > 0 && CPU_COUNT(&some) < count;) {
        if (CPU_ISSET(i, old))
            CPU_SET(i, &some);
    }
    assert_int_equal(sched_setaffinity(0, sizeof(some), &some), 0);
}

struct speeds {
    struct bench_samples ours, torch, ratio, cpu_ratio, our_bytes, torch_bytes;
};

static void speeds_clear(struct speeds *s)
{
    bench_clear(&s->ours);
    bench_clear(&s->torch);
    bench_clear(&s->ratio);
    bench_clear(&s->cpu_ratio);
    bench_clear(&s->our_bytes);
    bench_clear(&s->torch_bytes);
}

static bool run_pair(const struct family *family, const char *prepared, int ranks,
                     const struct family_length *length, struct speeds *s)
{
    struct family_run ours, torch;
    struct family_length our_length = *length;
    our_length.steps = bench_is_short() ? length->steps : family->our_steps;
    if (!family_run_torch(family, ranks, length, &torch) ||
        !family_run_ours(family, prepared, ranks, &our_length, &ours))
        return false;
    bench_add(&s->ours, ours.samples_per_second);
    bench_add(&s->torch, torch.samples_per_second);
    bench_add(&s->ratio, ours.samples_per_second / torch.samples_per_second);
    bench_add(&s->cpu_ratio, ours.samples_per_cpu_second / torch.samples_per_cpu_second);
    bench_add(&s->our_bytes, ours.resident_bytes);
    bench_add(&s->torch_bytes, torch.resident_bytes);
    return true;
}

static void measure_speed(const struct family *family, const char *prepared, int ranks)
{
    char name[NAME_BYTES];
    struct speeds s = {0};
    const struct family_length length = {.batch = family->batch,
                                         .steps = bench_is_short() ? SHORT_STEPS * family->window
                                                                   : family->steps,
                                         .seed = 1};
    bool fine = true;
    cpu_set_t all;
    allow_cores(ranks, &all);
    bench_load_start();
    for (int pair = 0; fine && pair < (bench_is_short() ? 1 : PAIRS); pair++)
        fine = run_pair(family, prepared, ranks, &length, &s);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    if (s.ours.count > 0) {
        const double mark = ranks == 1 ? family->mark_of_one : family->mark_of_two;
        (void)snprintf(name, sizeof(name), "%d_ranks_samples_per_second", ranks);
        report(family, name, "samples/s", &s.ours, bench_quantile(&s.torch, 0.5));
        (void)snprintf(name, sizeof(name), "%d_ranks_times_pytorch", ranks);
        report(family, name, "times", &s.ratio, mark);
        (void)snprintf(name, sizeof(name), "%d_ranks_times_pytorch_by_cpu_time", ranks);
        report(family, name, "times", &s.cpu_ratio, mark);
        (void)snprintf(name, sizeof(name), "%d_ranks_resident", ranks);
        report(family, name, "bytes", &s.our_bytes, bench_quantile(&s.torch_bytes, 0.5));
    }
    speeds_clear(&s);
}

/* Ours alone, the same global batch on one rank and on two. */
static void measure_second_rank(const struct family *family, const char *prepared)
{
    struct bench_samples gain = {0};
    bench_load_start();
    for (int pair = 0; pair < (bench_is_short() ? 1 : PAIRS); pair++) {
        struct family_run runs[2];
        bool fine = true;
        for (int ranks = 1; fine && ranks <= 2; ranks++) {
            const int small = bench_is_short() ? SHORT_STEPS * family->window : family->our_steps;
            const struct family_length length = {
                .batch = family->large_batch / ranks,
                .steps = small * family->batch / family->large_batch + 1, /* as many rows */
                .seed = 1};
            cpu_set_t all;
            allow_cores(ranks, &all);
            fine = family_run_ours(family, prepared, ranks, &length, &runs[ranks - 1]);
            assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
        }
        if (!fine)
            break;
        bench_add(&gain, runs[1].samples_per_second / runs[0].samples_per_second);
    }
    if (gain.count > 0)
        report(family, "second_rank_times", "times", &gain, 1.5);
    bench_clear(&gain);
}

static void measure_family(const struct family *family)
{
    char prepared[FAMILY_FOLDER_BYTES] = "";
    if (family->folder == NULL)
        families_prepare("phrasebank", prepared);
    measure_speed(family, prepared, 1);
    measure_speed(family, prepared, 2);
    if (family->large_batch > 0)
        measure_second_rank(family, prepared);
    if (prepared[0] != '\0' && fs_remove_tree(prepared, NULL) != STATUS_OK)
        printf("%s is left over\n", prepared);
}

/* ------------------------------------------------------------------ quality */

/* What is trained how long, over which seeds, and what is compared. */
static const struct quality {
    const char *name;
    const char *family;
    const char *dataset; /* of families_prepare() */
    int batch, length;   /* with a dataset */
    int ranks, epochs, seeds;
    size_t metrics[2]; /* offsets in struct family_run */
    const char *metric_names[2];
} qualities[] = {
    {.name = "mnist",
     .family = "mnist",
     .ranks = 2,
     .epochs = 5,
     .seeds = 10,
     .metrics = {offsetof(struct family_run, accuracy)},
     .metric_names = {"accuracy"}},
    {.name = "phrasebank",
     .family = "bilstm_natural",
     .dataset = "phrasebank",
     .batch = 32,
     .length = 100,
     .ranks = 1,
     .epochs = 10,
     .seeds = 5,
     .metrics = {offsetof(struct family_run, auc), offsetof(struct family_run, accuracy)},
     .metric_names = {"auc", "accuracy"}},
    {.name = "gmf",
     .family = "gmf",
     .ranks = 1,
     .epochs = 20,
     .seeds = 1,
     .metrics = {offsetof(struct family_run, hr), offsetof(struct family_run, ndcg)},
     .metric_names = {"hr", "ndcg"}},
    {.name = "neumf",
     .family = "neumf",
     .ranks = 1,
     .epochs = 20,
     .seeds = 1,
     .metrics = {offsetof(struct family_run, hr), offsetof(struct family_run, ndcg)},
     .metric_names = {"hr", "ndcg"}},
    {.name = "imdb",
     .family = "bilstm_natural",
     .dataset = "imdb",
     .batch = 64,
     .length = 200,
     .ranks = 1,
     .epochs = 1,
     .seeds = 5,
     .metrics = {offsetof(struct family_run, auc), offsetof(struct family_run, accuracy)},
     .metric_names = {"auc", "accuracy"}},
};

static double metric_of(const struct family_run *run, size_t offset)
{
    return *(const double *)(const void *)((const char *)run + offset);
}

static double mean_of(const struct bench_samples *samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += samples->values[i];
    return samples->count == 0 ? 0 : sum / (double)samples->count;
}

/* Means over the seeds, and each side's spread in its file. */
static void report_quality(const struct quality *quality, size_t metric,
                           const struct bench_samples *ours, const struct bench_samples *torch)
{
    char name[NAME_BYTES];
    const char *what = quality->metric_names[metric];
    (void)snprintf(name, sizeof(name), "%s_%s_mean", quality->name, what);
    bench_report_value(name, "share", mean_of(ours), mean_of(torch));
    (void)snprintf(name, sizeof(name), "%s_%s", quality->name, what);
    bench_report(name, "share", ours, 0);
    (void)snprintf(name, sizeof(name), "%s_%s_of_pytorch", quality->name, what);
    bench_report(name, "share", torch, 0);
}

static const struct family *family_named(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        if (strcmp(families[i].name, name) == 0)
            return &families[i];
    }
    return NULL;
}

static void measure_quality(const struct quality *quality)
{
    struct family family = *family_named(quality->family);
    struct bench_samples ours[2] = {{0}}, torch[2] = {{0}};
    char prepared[FAMILY_FOLDER_BYTES] = "";
    if (quality->dataset != NULL) {
        families_prepare(quality->dataset, prepared);
        family.arguments[0] = "--dataset";
        family.arguments[1] = quality->dataset;
        family.length = quality->length;
        family.batch = quality->batch;
    }
    bench_load_start();
    bool fine = true;
    for (int seed = 1; fine && seed <= quality->seeds; seed++) {
        struct family_run our_run, torch_run;
        const struct family_length length = {
            .batch = family.batch, .epochs = quality->epochs, .seed = seed};
        fine = family_run_torch(&family, quality->ranks, &length, &torch_run) &&
               family_run_ours(&family, prepared, quality->ranks, &length, &our_run);
        for (size_t i = 0; fine && i < 2 && quality->metric_names[i] != NULL; i++) {
            bench_add(&ours[i], metric_of(&our_run, quality->metrics[i]));
            bench_add(&torch[i], metric_of(&torch_run, quality->metrics[i]));
        }
    }
    for (size_t i = 0; i < 2 && quality->metric_names[i] != NULL; i++) {
        if (ours[i].count > 0)
            report_quality(quality, i, &ours[i], &torch[i]);
        bench_clear(&ours[i]);
        bench_clear(&torch[i]);
    }
    if (prepared[0] != '\0' && fs_remove_tree(prepared, NULL) != STATUS_OK)
        printf("%s is left over\n", prepared);
}

static bool is_chosen(int argc, char **argv, int first, const char *name)
{
    for (int i = first; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc <= first;
}

int main(int argc, char **argv)
{
    const char *missing = families_missing();
    if (missing != NULL) {
        printf("skipped: %s\n", missing);
        return 0;
    }
    const bool quality = argc > 1 && strcmp(argv[1], "quality") == 0;
    for (size_t i = 0; !quality && i < COUNT_OF(families); i++) {
        if (is_chosen(argc, argv, 1, families[i].name))
            measure_family(&families[i]);
    }
    for (size_t i = 0; quality && i < COUNT_OF(qualities); i++) {
        if (is_chosen(argc, argv, 2, qualities[i].name))
            measure_quality(&qualities[i]);
    }
    return 0;
}
