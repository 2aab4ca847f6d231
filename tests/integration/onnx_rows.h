#ifndef TESTS_INTEGRATION_ONNX_ROWS_H
#define TESTS_INTEGRATION_ONNX_ROWS_H

/*
 * onnx_rows.h - the same rows for ONNX Runtime as `predict` was given, with what it said of them: the
 * document that tests/onnx/check.mjs takes.
 */

#include <jansson.h>

#include "tests/integration/saved.h"

/* Raw numeric columns, categories as row numbers; expected: the probability of class 1. */
json_t *onnx_rows_of_table(const struct saved *saved, const char *file);
/* Token numbers and lengths; expected: the score in front of each text. */
json_t *onnx_rows_of_texts(const struct saved *saved, const char *const *texts, size_t count);
/* Users and items of the lines that `predict` printed; expected: their scores. */
json_t *onnx_rows_of_pairs(const struct saved *saved, const char *users);
/* The first `count` images of a plain IDX file; expected: all probabilities. */
json_t *onnx_rows_of_images(const char *model, const char *path, int count);

#endif
