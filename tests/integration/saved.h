#ifndef TESTS_INTEGRATION_SAVED_H
#define TESTS_INTEGRATION_SAVED_H

/*
 * saved.h - small models for the tests of what is done with them: the examples in deploy/jobs, trained
 * by the trainer's own verbs on data that it invents.
 *
 * What cannot be done ends the test with fail_msg().
 */

#include <jansson.h>

#include "base/buf.h"
#include "tests/integration/process.h"

#define SAVED_PATH_BYTES 512
#define SAVED_FILE_BYTES 128
#define SAVED_WORDS_MAX  12

struct saved {
    char folder[64];              /* of all; removed by saved_close() */
    char data[SAVED_FILE_BYTES];  /* the invented files */
    char model[SAVED_FILE_BYTES]; /* model.safetensors */
    char onnx[SAVED_FILE_BYTES];
    json_t *trained; /* what `train` printed */
};

/* Trains deploy/jobs/<job>.json on invented data of this kind: "table", "text", "interactions". */
void saved_open(struct saved *saved, const char *job, const char *kind);
void saved_close(struct saved *saved); /* a zeroed one is fine */

/* Runs reprise-trainer with these words (ends with NULL); the result is to be cleared. */
void saved_run(const char *const *words, const char *input, struct process_result *out);
/* The same, which must succeed; its standard output, to be cleared. */
struct buf saved_output(const char *const *words, const char *input);
/* The same, which must print one JSON value. */
json_t *saved_json(const char *const *words);
/* Fails unless it ends with this code and says this. */
void saved_refused(const char *const *words, const char *input, int code, const char *text);
/* All of a file. `folder` may be "": then `name` is its path. */
struct buf saved_read(const char *folder, const char *name);

#endif
