#ifndef TRAINER_NUMERICS_H
#define TRAINER_NUMERICS_H

/*
 * numerics.h - the name of this machine's arithmetic: "<64 hex digits> <description>". Two nodes with
 * the same digits give the same bits for the same job; the digits are a hash of the program's own
 * bytes, instruction set, OpenBLAS's version and kernel, and the C library.
 */

#include "base/error.h"

#define NUMERICS_LINE_BYTES 512

MUST_CHECK enum status numerics_describe(char out[NUMERICS_LINE_BYTES], struct error *err);

#endif
