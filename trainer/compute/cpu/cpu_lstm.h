#ifndef TRAINER_COMPUTE_CPU_CPU_LSTM_H
#define TRAINER_COMPUTE_CPU_CPU_LSTM_H

/*
 * cpu_lstm.h - private to the LSTM: what walks over the steps (cpu_lstm.c) asks of what computes one
 * step (cpu_lstm_kernel.h, compiled once for each instruction set).
 *
 * Matrices that a product reads again at every step are packed once a call, in panels of 4 * lanes
 * columns, row after row, so that a panel is one stream. Columns past the end are zero.
 */

#include <stddef.h>

/* One step of one direction over `rows` rows; every matrix has `hidden` columns but where said. */
struct cpu_lstm_step {
    int rows;
    int carried; /* the first so many rows have a state from the step before; the others have none */
    int hidden;
    float *gates;        /* (rows, 4 hidden): i f g o */
    const float *h_in;   /* the hidden state that came in */
    float *c_in;         /* the cell state that came in: noted by forward, read by backward */
    float *tanh_c;       /* of the cell state that went out: noted by forward, read by backward */
    const float *panels; /* forward: W_hh (hidden, 4 hidden), i f g o of the same units together */
    const float *bias;   /* forward: in the order of `panels` */
    float *h;            /* forward: the hidden state that goes out */
    float *c;            /* forward: the cell state, in place */
    float *d_h, *d_c;    /* backward: gradients of the state that went out; d_c in place */
    float *d_bias;       /* backward: (4 hidden), added to */
};

struct cpu_lstm_kernel {
    int lanes; /* of a vector register */
    /* gates: from the products x W_ih to the activated gates; h, c: the next state. */
    void (*forward)(const struct cpu_lstm_step *step);
    /* gates: from the activated gates to their gradients before activation. */
    void (*backward)(const struct cpu_lstm_step *step);
    /* out (m, n) = a (m, k) * b (k, n), b in panels; out has n columns, a has k. */
    void (*multiply)(float *out, const float *a, const float *panels, int m, int n, int k);
};

extern const struct cpu_lstm_kernel cpu_lstm_portable;
#if defined(__x86_64__)
extern const struct cpu_lstm_kernel cpu_lstm_avx2;
extern const struct cpu_lstm_kernel cpu_lstm_avx512;
#endif

#endif
