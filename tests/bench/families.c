#include "tests/bench/families.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "schema/exit_code.h"
#include "tests/bench/bench.h"
#include "tests/integration/process.h"

#define SCRIPTS       "tests/bench/pytorch"
#define PATH_BYTES    256
#define NUMBER_BYTES  24
#define ARGUMENTS_MAX 24
#define POLL_MS       10
#define CHECK_MS      60000
#define NEVER_STEPS   100000000 /* no checkpoint while we time */

/* Debian's python3-torch belongs to Debian's Python. */
static const char *python(void)
{
    const char *named = getenv("PYTHON");
    return named != NULL ? named : "/usr/bin/python3";
}

const char *families_missing(void)
{
    if (getenv("REPRISE_DATA") == NULL)
        return "REPRISE_DATA is not set";
    struct process_result result;
    process_setup();
    process_run((const char *const[]){python(), "-c", "import torch, numpy", NULL}, NULL, NULL,
                CHECK_MS, &result);
    const bool there = result.exit_code == 0;
    process_result_clear(&result);
    return there ? NULL : "python3-torch is not installed";
}

void families_prepare(const char *dataset, char out_folder[FAMILY_FOLDER_BYTES])
{
    struct process_result result;
    (void)snprintf(out_folder, FAMILY_FOLDER_BYTES, "/tmp/reprise-families-XXXXXX");
    assert_non_null(mkdtemp(out_folder));
    process_run((const char *const[]){python(), SCRIPTS "/bilstm.py", "--dataset", dataset,
                                      "--write", out_folder, NULL},
                NULL, NULL, CHECK_MS, &result);
    if (result.exit_code != 0)
        fail_msg("%s", result.err.data);
    process_result_clear(&result);
}

static struct family_run nothing(void)
{
    const double none = (double)NAN;
    return (struct family_run){none, none, none, none, none, none, none};
}

/* ------------------------------------------------------------------ PyTorch */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

bool family_run_torch(const struct family *family, int ranks, const struct family_length *length,
                      struct family_run *out)
{
    char script[PATH_BYTES], numbers[7][NUMBER_BYTES];
    const int values[] = {ranks,        length->batch,  length->steps, length->epochs,
                          length->seed, family->window, family->length};
    const char *argv[ARGUMENTS_MAX] = {python(),   script,     "--procs",  numbers[0], "--batch",
                                       numbers[1], "--steps",  numbers[2], "--epochs", numbers[3],
                                       "--seed",   numbers[4], "--window", numbers[5]};
    size_t count = 14;
    (void)snprintf(script, sizeof(script), SCRIPTS "/%s", family->script);
    for (size_t i = 0; i < COUNT_OF(values); i++)
        (void)snprintf(numbers[i], NUMBER_BYTES, "%d",
                       i == 3 && values[i] == 0 ? 1000000 : values[i]);
    if (family->length > 0) {
        argv[count++] = "--length";
        argv[count++] = numbers[6];
    }
    for (const char *const *word = family->arguments; *word != NULL; word++)
        argv[count++] = *word;
    struct process_result result;
    process_run(argv, NULL, NULL, FAMILY_PATIENCE_MS, &result);
    CLEANUP(json_cleanup) json_t *line = json_loads(result.out.data, 0, NULL);
    if (result.exit_code != 0 || line == NULL)
        printf("%s: PyTorch ended with %d: %s\n", family->name, result.exit_code, result.err.data);
    const bool done = result.exit_code == 0 && line != NULL;
    process_result_clear(&result);
    *out = (struct family_run){.samples_per_second = number_of(line, "samples_per_second"),
                               .samples_per_cpu_second = number_of(line, "samples_per_cpu_second"),
                               .resident_bytes = number_of(line, "resident_bytes"),
                               .accuracy = number_of(line, "accuracy"),
                               .auc = number_of(line, "auc"),
                               .hr = number_of(line, "hr"),
                               .ndcg = number_of(line, "ndcg")};
    return done;
}

/* ------------------------------------------------------------------ ours */

static void set_job(struct gang *gang, const struct family *family, int ranks,
                    const struct family_length *length)
{
    CLEANUP(json_cleanup) json_t *job = json_load_file(family->job, 0, NULL);
    if (job == NULL)
        fail_msg("cannot read %s", family->job);
    for (const char *const *key = (const char *const[]){"model", "data", "optimizer", NULL};
         *key != NULL; key++)
        gang_set(gang, *key, json_incref(json_object_get(job, *key)));
    if (family->padding != NULL)
        gang_set(gang, "model.padding", json_string(family->padding));
    if (family->length > 0)
        gang_set(gang, "data.length", json_integer(family->length));
    if (length->steps > 0) { /* speed alone */
        gang_set(gang, "data.eval", NULL);
        gang_set(gang, "data.negatives", NULL);
    }
    const bool by_steps = length->steps > 0;
    gang_set(gang, "training",
             json_pack("{s:i, s:i, s:i, s:i}", by_steps ? "steps" : "epochs",
                       by_steps ? length->steps : length->epochs, "batch_size",
                       length->batch * ranks, "seed", length->seed, "metrics_every_steps",
                       family->window));
    gang_set(gang, "resources.ranks", json_integer(ranks));
    gang_set(gang, "checkpoint", json_pack("{s:i}", "every_steps", NEVER_STEPS));
}

/* VmHWM of a process, or 0 when it is gone. */
static double peak_bytes(pid_t pid)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    double kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    }
    return kib * 1024.0;
}

/* Seconds of all threads of a process, or 0 when it is gone. */
static double cpu_seconds(pid_t pid)
{
    char path[PATH_BYTES];
    unsigned long user = 0, kernel = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
    if (file == NULL ||
        fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &kernel) != 2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* What could be seen of the first rank while it lived. */
struct usage {
    double peak_bytes;
    double cpu_at_start, cpu_at_end; /* when its data was there and it began to train; and last */
};

/* Waits for all ranks; the first bad exit code, or 0. */
static int wait_for_ranks(struct gang *gang, int ranks, struct usage *out)
{
    const pid_t pid = gang->pids[0];
    *out = (struct usage){.cpu_at_start = -1};
    while (process_is_alive(pid)) {
        const double bytes = peak_bytes(pid), cpu = cpu_seconds(pid);
        out->peak_bytes = bytes > out->peak_bytes ? bytes : out->peak_bytes;
        out->cpu_at_end = cpu > out->cpu_at_end ? cpu : out->cpu_at_end;
        if (out->cpu_at_start < 0 && gang_events(gang, gang->attempt, 0, NULL, 0) > 0)
            out->cpu_at_start = cpu;
        clock_sleep_ms(POLL_MS);
    }
    int code = 0;
    for (int rank = 0; rank < ranks; rank++) {
        const int ended = gang_wait(gang, rank);
        code = code == 0 ? ended : code;
    }
    return code;
}

static double value_of(const struct wire_event *event, const char *name)
{
    for (size_t i = 0; i < event->value_count; i++) {
        if (strcmp(event->values[i].name, name) == 0)
            return event->values[i].value;
    }
    return (double)NAN;
}

/* The first "error" line of rank 0's log. */
static void print_failure(const struct gang *gang, const struct family *family, int code)
{
    char path[PATH_BYTES], line[2 * PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/log-%d-0", gang->folder, gang->attempt);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
    const bool has_line = file != NULL && fgets(line, sizeof(line), file) != NULL;
    printf("%s: ours ended with %d: %s\n", family->name, code, has_line ? line : "no log\n");
}

bool family_run_ours(const struct family *family, const char *prepared, int ranks,
                     const struct family_length *length, struct family_run *out)
{
    struct gang gang;
    gang_open(&gang);
    if (family->folder == NULL)
        (void)snprintf(gang.data, sizeof(gang.data), "%s", prepared);
    else
        (void)snprintf(gang.data, sizeof(gang.data), "%s/%s", getenv("REPRISE_DATA"),
                       family->folder);
    set_job(&gang, family, ranks, length);
    struct usage usage;
    gang_start(&gang, &(struct gang_start){.world_size = ranks, .shared_memory = ranks > 1});
    const int code = wait_for_ranks(&gang, ranks, &usage);
    static struct wire_event end;
    const double rows = (double)length->steps * length->batch;
    *out = nothing();
    if (code != TRAINER_EXIT_DONE ||
        !gang_last_event(&gang, gang.attempt, 0, EVENT_FINISHED, &end)) {
        print_failure(&gang, family, code);
        gang_close(&gang);
        return false;
    }
    *out = (struct family_run){.samples_per_second = value_of(&end, "samples_per_second"),
                               .samples_per_cpu_second =
                                   rows / (usage.cpu_at_end - usage.cpu_at_start),
                               .resident_bytes = usage.peak_bytes,
                               .accuracy = value_of(&end, "eval_accuracy"),
                               .auc = value_of(&end, "eval_auc"),
                               .hr = value_of(&end, "eval_hr_at_10"),
                               .ndcg = value_of(&end, "eval_ndcg_at_10")};
    gang_close(&gang);
    return true;
}
