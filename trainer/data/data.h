#ifndef TRAINER_DATA_DATA_H
#define TRAINER_DATA_DATA_H

/*
 * data.h - a decoded dataset, mapped read-only from the node's cache, and the pure function that
 * says which record comes when.
 *
 * decode reads the source once (whatever its format and compression), checks it and writes one cache
 * file, named by a key over the sources' contents and the spec's data section; every attempt maps
 * that file. So a restart costs a mmap, and all ranks of a node share its pages.
 *
 * Adding a format: one file here with a struct data_reader, one line in data_readers[].
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"

enum data_kind { DATA_KIND_U8_CLASSES }; /* fixed-width bytes with one class label a record */

/* One part (train or eval) of a dataset. Pointers are into the mapping. */
struct dataset {
    enum data_kind kind;
    int64_t count;         /* records */
    int64_t width;         /* features of a record */
    const uint8_t *bytes;  /* (count, width) */
    float scale;           /* feature = scale * byte */
    const int32_t *labels; /* (count) */
    int64_t classes;       /* 1 + largest label */
    char sha256[65];       /* over the decoded records: shown with each model */
    void *mapping;
    size_t mapping_bytes;
};

struct data_reader {
    const char *name; /* "idx" */
    /* Reads `part` under `root`, checks it and writes the cache file at `path` (durably). */
    enum status (*decode)(const struct data_part *part, const char *root, const char *path,
                          struct error *err);
};

extern const struct data_reader *const data_readers[]; /* indexed by enum data_format */

/*
 * Opens the part, decoding it first if the cache lacks it. Safe against other processes that do the
 * same at once (a lock file). `cache` is a folder; errors name file and offset or line.
 */
MUST_CHECK enum status dataset_open(const struct data_part *part, const char *root,
                                    const char *cache, struct dataset *out, struct error *err);
void dataset_close(struct dataset *dataset); /* a zeroed one is fine */

/*
 * Where each record stands in an epoch: position -> record, a pseudo-random bijection of
 * 0..count-1 that is a pure function of (seed, epoch). Feistel network over Philox with cycle
 * walking: no table, no state.
 */
struct sampler {
    uint64_t seed;
    uint64_t count;
    int half_bits;
};
void sampler_init(struct sampler *sampler, uint64_t seed, uint64_t count);
uint64_t sampler_at(const struct sampler *sampler, uint64_t epoch, uint64_t position);

/* Rows first..first+count-1 of a global batch of `rows` that `rank` of `world_size` works on. */
void sampler_share(int64_t rows, int rank, int world_size, int64_t *out_first, int64_t *out_count);

#endif
