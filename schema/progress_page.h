#ifndef SCHEMA_PROGRESS_PAGE_H
#define SCHEMA_PROGRESS_PAGE_H

/*
 * progress_page.h - the shared-memory page through which a rank shows that it lives.
 *
 * The trainer maps the file named by REPRISE_PROGRESS and writes; the runner and the agent read.
 * One page holds one rank. Fields are 64-bit atomics, each meaningful alone; `beat_boot_ms` is
 * written last after each change. Only <stdatomic.h> and <stdint.h>: the runner includes this file.
 *
 * `collective` counts the collectives that the rank has entered; `collective_since_boot_ms` is the
 * boot time at which it entered the one it waits in now, 0 when it waits in none. That makes a
 * waiting rank a witness of a silent peer.
 */

#include <stdatomic.h>
#include <stdint.h>

#define PROGRESS_PAGE_BYTES 4096
#define PROGRESS_PAGE_MAGIC UINT64_C(0x3165676170657270) /* "prepage1" */

enum progress_phase {
    PROGRESS_SETUP = 0, /* process is up: spec, data, device, rendezvous */
    PROGRESS_STEP,      /* training */
    PROGRESS_EVAL,
    PROGRESS_CHECKPOINT, /* only a stalling save: the last one, or one that waits for its predecessor */
    PROGRESS_EXPORT,
    PROGRESS_DONE,
    PROGRESS_PHASE_COUNT
};

struct progress_page {
    _Atomic uint64_t magic;
    _Atomic uint64_t phase; /* enum progress_phase */
    _Atomic uint64_t step;  /* steps done */
    _Atomic uint64_t collective;
    _Atomic uint64_t collective_since_boot_ms;
    _Atomic uint64_t phase_since_boot_ms;
    _Atomic uint64_t step_since_boot_ms; /* when `step` last changed */
    _Atomic uint64_t beat_boot_ms;
};

#endif
