#ifndef TRAINER_CONTRACT_H
#define TRAINER_CONTRACT_H

/*
 * contract.h - what a rank is told by whoever started it: torchrun's environment and our REPRISE_*.
 *
 * The environment is an argument, so this reads nothing by itself. Strings are borrowed from it.
 * What may be absent: RANK and its kin (one rank alone), a resume folder, shared memory (TCP is
 * used), the folder of decoded data, the progress page, the bind address, the timeouts.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CONTRACT_HANG_DEFAULT_MS  30000  /* "auto": a step that takes longer hangs */
#define CONTRACT_SETUP_DEFAULT_MS 600000 /* from the start to the whole gang being there */

struct contract {
    bool
        standalone; /* started by a person: no agent collects shards, so old ones are deleted here */
    int rank, world_size;
    int local_rank, local_world_size;
    int group_rank, group_world_size;
    const char *master_address; /* NULL in a world of one */
    int master_port;
    const char *secret_file; /* NULL in a world of one */
    const char *job_id;      /* "" when standalone */
    int64_t attempt;
    const char *spec_path;
    const char *data_dir;
    const char *data_cache; /* NULL from contract_read(): main puts it into the output folder */
    const char *output_dir;
    const char *checkpoint_dir;
    const char *resume_from; /* folder with shards; NULL: fresh start */
    int64_t resume_step;     /* -1: whatever the shards say */
    const char *events_path;
    const char *progress_path; /* NULL: nobody watches */
    const char *shared_memory; /* NULL: none */
    const char *bind_address;  /* NULL: any */
    int64_t hang_timeout_ms;
    int64_t setup_timeout_ms;
    int64_t
        process_boot_ms; /* when the process entered main(), set by main: its first instruction */
};

/* `environment` ends with NULL. STATUS_INVALID names the variable and its value. */
MUST_CHECK enum status contract_read(char *const environment[], struct contract *out,
                                     struct error *err);

#endif
