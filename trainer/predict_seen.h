#ifndef TRAINER_PREDICT_SEEN_H
#define TRAINER_PREDICT_SEEN_H

/* predict_seen.h - which items each user has met, from a file of interactions: those to leave out. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/data/fit.h"

#define PREDICT_SEEN_MAX (INT64_C(1) << 27) /* interactions: a GiB */

struct seen {
    uint64_t *pairs; /* user << 32 | item, sorted */
    int64_t count, capacity;
};

/*
 * Reads the file, whose form is that of the spec's training part. Pairs of users or items that the model
 * does not know are passed over: it cannot recommend them. Errors name file and line.
 */
MUST_CHECK enum status seen_read(const char *path, const struct data_spec *spec,
                                 const struct data_fit *fit, struct seen *out, struct error *err);
void seen_clear(struct seen *seen); /* a zeroed one is fine */
bool seen_has(const struct seen *seen, int64_t user, int64_t item);

#endif
