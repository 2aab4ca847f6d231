#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"

static struct {
    double busy_s;
    double own_s;
    double at_s;
} load_start;

void bench_add(struct bench_samples *samples, double value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 64 : 2 * samples->capacity;
        samples->values = realloc(samples->values, samples->capacity * sizeof(double));
        if (samples->values == NULL)
            abort();
    }
    samples->values[samples->count++] = value;
}

void bench_clear(struct bench_samples *samples)
{
    free(samples->values);
    *samples = (struct bench_samples){0};
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(const struct bench_samples *samples, double q)
{
    if (samples->count == 0)
        return 0;
    double *sorted = malloc(samples->count * sizeof(double));
    if (sorted == NULL)
        abort();
    memcpy(sorted, samples->values, samples->count * sizeof(double));
    qsort(sorted, samples->count, sizeof(double), compare_doubles);
    const double position = q * (double)(samples->count - 1);
    const size_t below = (size_t)position;
    const size_t above = below + 1 < samples->count ? below + 1 : below;
    const double value =
        sorted[below] + (position - (double)below) * (sorted[above] - sorted[below]);
    free(sorted);
    return value;
}

bool bench_is_short(void)
{
    const char *value = getenv("SHORT");
    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

const char *bench_build_dir(void)
{
    const char *value = getenv("BUILD");
    return value != NULL && *value != '\0' ? value : "build";
}

static double busy_seconds(void)
{
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return 0;
    unsigned long long user = 0, nice = 0, system_time = 0, idle = 0, iowait = 0, irq = 0, soft = 0;
    const int got = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
                           &system_time, &idle, &iowait, &irq, &soft);
    (void)fclose(file);
    if (got != 7)
        return 0;
    return (double)(user + nice + system_time + irq + soft) / (double)sysconf(_SC_CLK_TCK);
}

struct process {
    long pid;
    long parent;
    double seconds;
    bool ours;
};

#define PROCESSES_MAX 4096

static size_t list_processes(struct process *out)
{
    DIR *folder = opendir("/proc");
    size_t count = 0;
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char path[300];
        unsigned long user = 0;
        unsigned long kernel = 0;
        struct process process = {.pid = strtol(entry->d_name, NULL, 10)};
        if (process.pid <= 0 || count == PROCESSES_MAX)
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%ld/stat", process.pid);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fscanf(file, "%*d (%*[^)]) %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                   &process.parent, &user, &kernel) == 3) {
            process.seconds = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
            out[count++] = process;
        }
        (void)fclose(file);
    }
    if (folder != NULL)
        (void)closedir(folder);
    return count;
}

/* What live descendants have used; those that were waited for are in RUSAGE_CHILDREN. */
static double descendant_seconds(void)
{
    static struct process processes[PROCESSES_MAX];
    const size_t count = list_processes(processes);
    double total = 0;
    for (bool found = true; found;) {
        found = false;
        for (size_t i = 0; i < count; i++) {
            bool child = processes[i].parent == getpid();
            for (size_t j = 0; j < count && !child; j++)
                child = processes[j].ours && processes[j].pid == processes[i].parent;
            if (!child || processes[i].ours)
                continue;
            processes[i].ours = true;
            total += processes[i].seconds;
            found = true;
        }
    }
    return total;
}

static double own_seconds(void)
{
    double total = descendant_seconds();
    const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (size_t i = 0; i < sizeof(whose) / sizeof(whose[0]); i++) {
        struct rusage usage;
        if (getrusage(whose[i], &usage) != 0)
            continue;
        total += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    }
    return total;
}

static double mono_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void bench_load_start(void)
{
    load_start.busy_s = busy_seconds();
    load_start.own_s = own_seconds();
    load_start.at_s = mono_seconds();
}

double bench_load_other_cores(void)
{
    const double elapsed = mono_seconds() - load_start.at_s;
    if (load_start.at_s <= 0 || elapsed <= 0)
        return 0;
    const double others = busy_seconds() - load_start.busy_s - (own_seconds() - load_start.own_s);
    return others > 0 ? others / elapsed : 0;
}

void bench_report(const char *name, const char *unit, const struct bench_samples *samples,
                  double probe)
{
    const double value = bench_quantile(samples, 0.5);
    const double ratio = probe > 0 ? value / probe : 0;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/bench", bench_build_dir());
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        perror(path);
    (void)snprintf(path, sizeof(path), "%s/bench/%s.json", bench_build_dir(), name);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        perror(path);
        return;
    }
    (void)fprintf(file,
                  "{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"probe\": %.6g, "
                  "\"ratio\": %.4g, \"n\": %zu, \"min\": %.6g, \"max\": %.6g, \"p95\": %.6g, "
                  "\"other_cores\": %.2f}\n",
                  name, value, unit, probe, ratio, samples->count, bench_quantile(samples, 0),
                  bench_quantile(samples, 1), bench_quantile(samples, 0.95),
                  bench_load_other_cores());
    (void)fclose(file);
    printf("%-36s %12.6g %-12s", name, value, unit);
    if (samples->count > 1)
        printf(" min %.6g p95 %.6g max %.6g n %zu", bench_quantile(samples, 0),
               bench_quantile(samples, 0.95), bench_quantile(samples, 1), samples->count);
    if (probe > 0)
        printf(" probe %.6g ratio %.3g", probe, ratio);
    printf(" others %.2f\n", bench_load_other_cores());
    (void)fflush(stdout);
}

void bench_report_value(const char *name, const char *unit, double value, double probe)
{
    struct bench_samples samples = {0};
    bench_add(&samples, value);
    bench_report(name, unit, &samples, probe);
    bench_clear(&samples);
}

int bench_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    CLEANUP(fd_cleanup) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        perror("bench: no free port");
        exit(1);
    }
    return ntohs(address.sin_port);
}
