#ifndef CLI_VERBS_H
#define CLI_VERBS_H

/* verbs.h - every verb, and the few functions that one verb's file lends another. */

#include <jansson.h>

#include "cli/cli.h"

extern const struct cli_verb verb_submit, verb_validate;               /* submit.c */
extern const struct cli_verb verb_ps, verb_show, verb_why;             /* jobs.c */
extern const struct cli_verb verb_watch;                               /* watch.c */
extern const struct cli_verb verb_logs;                                /* logs.c */
extern const struct cli_verb verb_metrics;                             /* metrics.c */
extern const struct cli_verb verb_cancel, verb_retry, verb_checkpoint; /* control.c */
extern const struct cli_verb verb_model;                               /* model.c */
extern const struct cli_verb verb_node_ls, verb_node_show, verb_node_drain, verb_node_undrain,
    verb_node_fence, verb_node_token;                                         /* node.c */
extern const struct cli_verb verb_data_ls, verb_data_add;                     /* data.c */
extern const struct cli_verb verb_token_ls, verb_token_create, verb_token_rm; /* token.c */
extern const struct cli_verb verb_ui, verb_version;                           /* about.c */

/* Jobs in the chosen format. */
void print_jobs(const struct cli *cli, const json_t *jobs);
void print_job(const struct cli *cli, const json_t *job);
/* One line of the times of an attempt that followed a failure; nothing if it did not. */
void print_incident(const json_t *attempt);

/*
 * Follows a job to its end. `quiet`: says nothing on the way. `timeout_ms` 0: for ever. The exit code
 * is the job's: EXIT_DONE, EXIT_JOB_FAILED, EXIT_TIMED_OUT or EXIT_INTERRUPTED.
 */
int watch_job(struct cli *cli, const char *id, bool quiet, int64_t timeout_ms);

#endif
