#ifndef TESTS_UNIT_DATA_FIXTURE_H
#define TESTS_UNIT_DATA_FIXTURE_H

/* data_fixture.h - a folder with data files and the spec that reads them, for the readers' tests. */

#include "tests/unit/unit.h"
#include "trainer/data/data.h"
#include "trainer/data/fit.h"

#define DATA_FIXTURE_CLASSES \
    1000 /* of labels that are integers, unless a test changes spec.label_classes */

struct data_fixture {
    char root[64];
    char cache[80];
    struct data_spec spec;
    struct dataset train, eval;
    struct data_fit *fit; /* of `train`, by data_fixture_fit() */
    struct error err;
};

int data_fixture_set_up(void **state);
int data_fixture_tear_down(void **state);

void data_fixture_write(const struct data_fixture *f, const char *name, const char *text);
void data_fixture_write_bytes(const struct data_fixture *f, const char *name, const void *bytes,
                              size_t size);
void data_fixture_write_gzip(const struct data_fixture *f, const char *name, const void *bytes,
                             size_t size);
void data_fixture_write_zstd(const struct data_fixture *f, const char *name, const void *bytes,
                             size_t size);
/* Reads a section "data" with ' instead of ". */
void data_fixture_spec(struct data_fixture *f, const char *text);
/* Decodes anew what is on disk now. */
enum status data_fixture_train(struct data_fixture *f);
enum status data_fixture_eval(struct data_fixture *f);
/* What the training part's fit says. */
const struct data_fit *data_fixture_fit(struct data_fixture *f);
/* The values of an array of this type and shape; fails the test where there is no such array. */
const void *data_fixture_array(const struct dataset *set, const char *name, enum data_type type,
                               int64_t rows, int64_t width);

#endif
