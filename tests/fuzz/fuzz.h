#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * fuzz.h - what the targets share. The contract that each of them asserts of its decoder: it fails if
 * and only if it says why, in words that can be shown; and what it takes, it writes so that reading it
 * again gives the same.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* `status` and `err` agree, and the text is one that an answer can carry. */
static inline void fuzz_check_error(enum status status, const struct error *err)
{
    assert(err->status == status);
    assert((status == STATUS_OK) == (err->text[0] == '\0'));
    assert(text_is_utf8(err->text, strlen(err->text)));
}

/* Each problem has a place and words; the status says whether there are any. */
static inline bool fuzz_check_problems(const struct json_problems *problems)
{
    struct error err = {.status = STATUS_OK};
    const enum status status = json_problems_status(problems, &err);
    fuzz_check_error(status, &err);
    assert((problems->count > 0) == (status != STATUS_OK));
    for (size_t i = 0; i < problems->count; i++) {
        const struct json_problem *problem = &problems->items[i];
        assert(problem->expected[0] != '\0');
        assert(problem->pointer[0] == '\0' || problem->pointer[0] == '/');
    }
    json_t *encoded = json_problems_encode(problems);
    assert(json_array_size(encoded) == problems->count); /* all of it is UTF-8 */
    json_decref(encoded);
    return problems->count == 0;
}

/* The input as a document, or NULL. */
static inline json_t *fuzz_parse(const uint8_t *data, size_t size)
{
    struct error err = {.status = STATUS_OK};
    json_t *document = NULL;
    fuzz_check_error(json_parse((const char *)data, size, &document, &err), &err);
    assert((document != NULL) == (err.status == STATUS_OK));
    return document;
}

#endif
