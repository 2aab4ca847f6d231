#ifndef TRAINER_VERBS_H
#define TRAINER_VERBS_H

/*
 * verbs.h - what people, benches and agents ask of reprise-trainer by name. A verb is one const struct:
 * its options (which are also its page of help), the word that follows it, and what it does. verbs.c finds
 * the verb, parses and calls.
 *
 * verbs_train.c: train, decode; verbs_model.c: evaluate, predict; verbs_other.c: make-data, numerics.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/option.h"
#include "schema/exit_code.h"

/* What the options of all verbs fill in; each verb has rows for some of it. */
struct verb_config {
    const char *data;
    const char *output;
    const char *cache;
    const char *file;
    const char *labels;
    const char *users;
    int64_t top_k;
    bool exclude_seen;
    bool json;
    bool resume;
    int64_t rows;
    int64_t seed;
};

struct verb {
    struct option_program program; /* .name is VERB_PREFIX and the verb's own */
    const char *word;              /* "SPEC.json"; NULL: it takes none */
    /* `word` is NULL if it takes none. Returns the exit code; a failure has been told. */
    int (*run)(const struct verb_config *config, const char *word);
};

#define VERB_PREFIX "reprise-trainer "

extern const struct verb verb_train, verb_decode;       /* verbs_train.c */
extern const struct verb verb_evaluate, verb_predict;   /* verbs_model.c */
extern const struct verb verb_make_data, verb_numerics; /* verbs_other.c */

/* The program with arguments, of which there is one at least; its exit code. */
int verbs_run(int argc, char **argv);
/* Tells the error on stderr and returns the code. */
int verb_fail(const struct error *err, int code);

#endif
