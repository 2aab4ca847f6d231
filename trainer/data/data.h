#ifndef TRAINER_DATA_DATA_H
#define TRAINER_DATA_DATA_H

/*
 * data.h - a decoded dataset, mapped read-only from the node's cache, and the pure function that
 * says which record comes when.
 *
 * decode reads the source once (whatever its format and compression), checks it and writes one cache
 * file. Its name stands for the source's path and the spec's part; its header says which state of
 * the source files it was made from (size, modification time, inode). So a warm start compares a few
 * stats, maps the file and has all ranks of a node share its pages; a changed source is decoded anew
 * and takes the old file's place, while those who mapped that go on with it.
 *
 * Adding a format: one file here with a struct data_reader, one line in data_readers[].
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"

enum data_kind { DATA_KIND_U8_CLASSES }; /* fixed-width bytes with one class label a record */

#define DATA_RECORDS_MAX INT32_MAX           /* records are named by int32_t on the device */
#define DATA_WIDTH_MAX   (1 << 20)           /* features of a record */
#define DATA_BYTES_MAX   (INT64_C(64) << 30) /* of the decoded records of one part */

/* One part (train or eval) of a dataset. Pointers are into the mapping. */
struct dataset {
    enum data_kind kind;
    int64_t count;          /* records */
    int64_t width;          /* features of a record */
    const uint8_t *bytes;   /* (count, width) */
    float scale;            /* feature = scale * byte */
    const int32_t *labels;  /* (count) */
    int64_t classes;        /* 1 + largest label */
    int64_t classes_record; /* the first record that has the largest label */
    char sha256[65];        /* over the decoded records: shown with each model */
    void *mapping;
    size_t mapping_bytes;
};

/* A cache file being written. A reader says once what comes, then fills bytes and labels. */
struct dataset_writer;

struct dataset_shape {
    enum data_kind kind;
    int64_t count;
    int64_t width;
    float scale;
};

/* May be called once. The memory is the cache file's own: (count, width) bytes, (count) labels. */
MUST_CHECK enum status dataset_writer_shape(struct dataset_writer *writer,
                                            const struct dataset_shape *shape, uint8_t **out_bytes,
                                            int32_t **out_labels, struct error *err);

struct data_reader {
    const char *name; /* "idx" */
    /* Reads `part` under `root` and checks it; the records go to `writer`. */
    enum status (*decode)(const struct data_part *part, const char *root,
                          struct dataset_writer *writer, struct error *err);
};

extern const struct data_reader data_reader_idx;

extern const struct data_reader *const data_readers[]; /* indexed by enum data_format */

/*
 * Opens the part, decoding it first if the cache lacks it. Safe against other processes that do the
 * same at once (a lock file). `cache` is a folder; errors name file and offset or line.
 */
MUST_CHECK enum status dataset_open(const struct data_part *part, const char *root,
                                    const char *cache, struct dataset *out, struct error *err);
void dataset_close(struct dataset *dataset); /* a zeroed one is fine */
/* Reads all of it against the checksum that was taken when it was decoded. */
MUST_CHECK enum status dataset_verify(const struct dataset *dataset, struct error *err);

/*
 * Where each record stands in an epoch: position -> record, a pseudo-random bijection of
 * 0..count-1 that is a pure function of (seed, epoch). Feistel network keyed by Philox, with cycle
 * walking: no table, no state.
 */
#define SAMPLER_ROUNDS 8 /* a multiple of 4: Philox gives four words at a time */

struct sampler {
    uint64_t count;
    int half_bits;
    uint32_t round_keys[SAMPLER_ROUNDS];
};
void sampler_init(struct sampler *sampler, uint64_t seed, uint64_t epoch, uint64_t count);
uint64_t sampler_at(const struct sampler *sampler, uint64_t position);

/* Rows first..first+count-1 of a global batch of `rows` that `rank` of `world_size` works on. */
void sampler_share(int64_t rows, int rank, int world_size, int64_t *out_first, int64_t *out_count);

#endif
