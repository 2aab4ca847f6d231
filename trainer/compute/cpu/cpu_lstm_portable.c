/* cpu_lstm_portable.c - the LSTM's step for any processor. */
#include "trainer/compute/cpu/cpu_lstm_kernel.h"
