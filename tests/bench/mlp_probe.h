#ifndef TESTS_BENCH_MLP_PROBE_H
#define TESTS_BENCH_MLP_PROBE_H

#include <stdint.h>

/*
 * mlp_probe.h - what bench_trainer compares itself with: the loop that anyone would write for MNIST
 * in C on OpenBLAS with one thread, and nothing around it. Samples a second of `steps` steps of 64
 * rows of 784 bytes, 784-128-10, ReLU, softmax, Adam.
 */
double mlp_probe_samples_per_second(const uint8_t *images, const int32_t *labels, int64_t count,
                                    int steps);

#endif
