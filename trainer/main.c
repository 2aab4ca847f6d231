/*
 * main.c - reprise-trainer: one rank. Without arguments it takes everything from the environment
 * (contract.h); the verbs (verbs.h) are for people, benches and agents.
 */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "trainer/train.h"
#include "trainer/verbs.h"

/* As one rank of a gang: what an agent starts. */
static int run_rank(char *const environment[], int64_t process_boot_ms)
{
    struct error err = {.status = STATUS_OK};
    struct contract contract;
    if (contract_read(environment, &contract, &err) != STATUS_OK) {
        const int code = verb_fail(&err, TRAINER_EXIT_BAD_SPEC);
        (void)fputs("Without arguments this is a rank that an agent starts. Try 'reprise-trainer "
                    "--help'.\n",
                    stderr);
        return code;
    }
    contract.process_boot_ms = process_boot_ms;
    static char cache[PATH_MAX];
    if (contract.data_cache == NULL) {
        if (fs_path(cache, sizeof(cache), &err, "%s/cache", contract.output_dir) != STATUS_OK)
            return verb_fail(&err, TRAINER_EXIT_BAD_SPEC);
        if (fs_make_dirs(cache, 0755, &err) != STATUS_OK)
            return verb_fail(&err, TRAINER_EXIT_CANNOT_WRITE);
        contract.data_cache = cache;
    }
    static struct train train; /* large, and there is one */
    train_signal_setup();
    const enum trainer_exit code = train_run(&train, &contract, &err);
    train_close(&train);
    return code == TRAINER_EXIT_DONE || code == TRAINER_EXIT_STOPPED ? (int)code
                                                                     : verb_fail(&err, (int)code);
}

int main(int argc, char **argv, char **environment)
{
    const int64_t process_boot_ms = clock_boot_ms();
    log_setup("reprise-trainer", LOG_INFO, false);
    return argc == 1 ? run_rank(environment, process_boot_ms) : verbs_run(argc, argv);
}
