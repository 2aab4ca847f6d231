#ifndef TRAINER_MAKEDATA_PRIVATE_H
#define TRAINER_MAKEDATA_PRIVATE_H

/* makedata_private.h - what the kinds of makedata.h share: numbers of a record, and a file. */

#include <stdbool.h>
#include <stdio.h>

#include "trainer/data/philox.h"
#include "trainer/makedata.h"

/* The numbers of one record, one after the other. */
struct draws {
    struct philox_key key;
    uint64_t record;
    uint64_t block;
    uint32_t words[4];
    int left; /* of `words` */
};

/* Records of different parts of a set are numbered apart. */
struct draws draws_of(uint64_t seed, int part, int64_t record);
int64_t draw_below(struct draws *draws, int64_t limit);     /* 0..limit-1 */
bool draw_chance(struct draws *draws, int64_t in_thousand); /* true so many times of 1000 */
double draw_bell(struct draws *draws); /* mean 0, variance 1, within +-3.5: a sum of uniforms */

struct makedata_file {
    FILE *stream;
    char path[4096];
};

MUST_CHECK enum status makedata_open(const struct makedata_request *request, const char *name,
                                     struct makedata_file *out, struct error *err);
/* Says whether all that was printed has reached the file. */
MUST_CHECK enum status makedata_finish(struct makedata_file *file, struct error *err);
void makedata_file_cleanup(struct makedata_file *file);

/* Each kind's default number of rows, and its writer. */
enum { MAKEDATA_TABLE_ROWS = 2400, MAKEDATA_TEXT_ROWS = 1600, MAKEDATA_INTERACTION_ROWS = 6400 };
MUST_CHECK enum status makedata_table(const struct makedata_request *request, struct error *err);
MUST_CHECK enum status makedata_text(const struct makedata_request *request, struct error *err);
MUST_CHECK enum status makedata_interactions(const struct makedata_request *request,
                                             struct error *err);

#endif
