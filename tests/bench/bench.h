#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

/*
 * bench.h - what benches share: samples, medians, and one JSON file a figure in $BUILD/bench/.
 *
 * A figure is compared only with its probe from the same run: absolute times on a shared machine say
 * little. Each file: {"name", "value", "unit", "probe", "ratio", "n", "min", "max", "p95",
 * "other_cores"}; value is the median; other_cores is the share of the machine that others used
 * while the bench ran.
 */

#include <stdbool.h>
#include <stddef.h>

struct bench_samples {
    double *values;
    size_t count;
    size_t capacity;
};

void bench_add(struct bench_samples *samples, double value);
void bench_clear(struct bench_samples *samples);
double bench_quantile(const struct bench_samples *samples, double q); /* 0..1; 0 when empty */

/* A loopback TCP port that was free a moment ago. */
int bench_free_port(void);

/* SHORT=1 in the environment: the form that CI runs; every bench then takes seconds. */
bool bench_is_short(void);
const char *bench_build_dir(void); /* $BUILD or "build" */

/* Starts and reads the account of cores that other processes than this one and its children used. */
void bench_load_start(void);
double bench_load_other_cores(void);

/* Writes $BUILD/bench/<name>.json and one line on stdout. `probe` 0: none. */
void bench_report(const char *name, const char *unit, const struct bench_samples *samples,
                  double probe);
/* The same for a single value. */
void bench_report_value(const char *name, const char *unit, double value, double probe);

#endif
