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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"

enum data_kind {
    DATA_KIND_BYTES, /* "features" u8 (count, width), "label"; none where the part names no labels */
    DATA_KIND_TABLE, /* "numeric" f32 (count, n), "category" i32 (count, m), "label"; either may be absent */
    DATA_KIND_TEXT, /* "tokens" i32 (all tokens), "offsets" i64 (count + 1), "label" */
    DATA_KIND_PAIRS, /* "user", "item" i32; the evaluation part: "candidates" i32 (count, 1 + n) and "user" */
};

enum data_type { DATA_U8, DATA_I32, DATA_I64, DATA_F32 };

#define DATA_RECORDS_MAX INT32_MAX           /* records are named by int32_t on the device */
#define DATA_WIDTH_MAX   (1 << 20)           /* values of a record in one array */
#define DATA_BYTES_MAX   (INT64_C(64) << 30) /* of one decoded part */
#define DATA_ARRAYS_MAX  8
#define DATA_NAME_BYTES  16
#define DATA_SOURCES_MAX 4
#define DATA_FIT_MAX     (32 * MIB) /* of the JSON text that says what was fitted */

/* One named array, row-major. Most have a row a record; "tokens" has a row a token. */
struct data_array {
    char name[DATA_NAME_BYTES];
    enum data_type type;
    int64_t rows;
    int64_t width;
    const void *values; /* in the mapping; in a dataset_shape: unused */
};

enum data_role { DATA_TRAIN, DATA_EVAL };

/* One part (train or eval) of a dataset. Pointers are into the mapping. */
struct dataset {
    enum data_kind kind;
    int64_t count; /* records */
    struct data_array arrays[DATA_ARRAYS_MAX];
    size_t array_count;
    float scale;            /* of "features" in bytes: feature = scale * byte */
    int64_t classes;        /* 1 + largest label, if labels are integers */
    int64_t classes_record; /* the first record that has the largest label */
    const char *fit;        /* JSON: what was fitted on the training part; "" for none */
    size_t fit_bytes;       /* without the NUL behind it */
    char sha256[65];        /* over the decoded arrays: shown with each model */
    void *mapping;
    size_t mapping_bytes;
};

/* NULL when the set has no array of this name. */
const struct data_array *dataset_array(const struct dataset *set, const char *name);
size_t data_type_bytes(enum data_type type);

/* A cache file being written. A reader says once which arrays come, fills them, and may add a fit. */
struct dataset_writer;

struct dataset_shape {
    enum data_kind kind;
    int64_t count;
    float scale;
    struct data_array arrays[DATA_ARRAYS_MAX];
    size_t array_count;
};

/*
 * May be called once, with 1 <= count <= DATA_RECORDS_MAX. out[i] is the memory of array i, zeroed: the
 * cache file's own pages, so a set may be larger than memory.
 */
MUST_CHECK enum status dataset_writer_shape(struct dataset_writer *writer,
                                            const struct dataset_shape *shape,
                                            void *out[DATA_ARRAYS_MAX], struct error *err);
/* After the shape, once: what was fitted on this part, JSON of at most DATA_FIT_MAX bytes. It is copied. */
MUST_CHECK enum status dataset_writer_fit(struct dataset_writer *writer, const char *text,
                                          size_t bytes, struct error *err);

/* What a reader is asked for. */
struct data_request {
    const struct data_spec *spec;
    enum data_role role;
    const char *root;
    const struct dataset
        *train; /* for DATA_EVAL: the decoded training part and its fit; else NULL */
};

struct data_reader {
    const char *name; /* "idx" */
    /* Reads the part under `root` and checks it; the records go to `writer`. */
    enum status (*decode)(const struct data_request *request, struct dataset_writer *writer,
                          struct error *err);
};

extern const struct data_reader data_reader_idx;
extern const struct data_reader data_reader_csv;
extern const struct data_reader data_reader_tsv;
extern const struct data_reader data_reader_text;
extern const struct data_reader data_reader_jsonl;
extern const struct data_reader data_reader_interactions;
extern const struct data_reader data_reader_npy;

extern const struct data_reader *const data_readers[]; /* indexed by enum data_format */

/* Whether the spec gives an evaluation part: files of its own or a split of the training part's. */
bool data_has_eval(const struct data_spec *spec);
/* The file that a part's errors are about: its features or its file; a split's are the training part's. */
const struct data_part *data_part_of(const struct data_spec *spec, enum data_role role);

/*
 * Opens a part, decoding it first if the cache lacks it. Safe against other processes that do the
 * same at once (a lock file). `cache` is a folder; errors name file and offset or line.
 */
MUST_CHECK enum status dataset_open(const struct data_request *request, const char *cache,
                                    struct dataset *out, struct error *err);
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
/* The same for positions first..first+count-1 into out (count), many times faster. */
void sampler_range(const struct sampler *sampler, uint64_t first, int64_t count, int32_t *out);

/* Rows first..first+count-1 of a global batch of `rows` that `rank` of `world_size` works on. */
void sampler_share(int64_t rows, int rank, int world_size, int64_t *out_first, int64_t *out_count);

#endif
