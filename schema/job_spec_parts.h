#ifndef SCHEMA_JOB_SPEC_PARTS_H
#define SCHEMA_JOB_SPEC_PARTS_H

/*
 * job_spec_parts.h - shared by the files job_spec*.c alone: one decoder and one encoder a section.
 * Each decoder is given a section of a zeroed spec, fills its defaults and reports its problems.
 * What takes two sections to judge is job_spec_check()'s. Encoders are given the whole spec, because
 * they write only the fields that its family and its format have.
 */

#include "schema/job_spec.h"

#define SPEC_STEPS_MAX INT64_C(1000000000000)
/* Rates of decay, dropout: 1 itself would never forget, or leave nothing. */
#define SPEC_BELOW_ONE 0.999999999

extern const char *const spec_none[]; /* an empty list */
extern const char *const data_format_names[];

/*
 * json_get_object() with two lists: fields that this release knows, and fields that the contract
 * names for a later one, each of which is a problem that says so. Both end with NULL.
 */
bool spec_get_object(const struct json_at *at, const char *const known[],
                     const char *const later[]);
/*
 * json_get_enum() with two lists: words of this release and of later ones. False, with a problem,
 * unless it is one of the first.
 */
bool spec_get_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out);
bool spec_opt_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out);
/* A name by the rule of job_name_is_valid(). */
bool spec_get_name(const struct json_at *at, char out[JOB_NAME_BYTES]);
/* Each of the keys that the object has is a problem: "nothing, because REASON". */
void spec_refuse(const struct json_at *object, const char *const keys[], const char *reason);
/* A list of layers' widths 1..max. */
bool spec_get_widths(const struct json_at *at, int64_t max, int64_t out[MODEL_LAYERS_MAX],
                     size_t *out_count);
/* The fields "metric" and "mode" of an object; without a mode it is the natural one of the name. */
void spec_get_watched(const struct json_at *at, char metric[METRIC_NAME_BYTES], int *out_mode);

json_t *spec_duration_json(int64_t duration_ms);    /* "90s" */
json_t *spec_duration_or_null(int64_t duration_ms); /* 0: null */
json_t *spec_int_or_null(int64_t value);            /* 0: null */
json_t *spec_widths_json(const int64_t *widths, size_t count);
json_t *spec_watched_json(const char *metric, int mode);
/* json_object_set_new() for encoders: a value that could not be made spoils the object (NULL). */
void spec_set(json_t **object, const char *key, json_t *value);

void model_spec_decode(const struct json_at *at, struct model_spec *out);
json_t *model_spec_encode(const struct job_spec *spec);
void data_spec_decode(const struct json_at *at, struct data_spec *out);
json_t *data_spec_encode(const struct data_spec *spec);
void optimizer_spec_decode(const struct json_at *at, struct optimizer_spec *out);
json_t *optimizer_spec_encode(const struct job_spec *spec);
void training_spec_decode(const struct json_at *at, struct training_spec *out);
json_t *training_spec_encode(const struct job_spec *spec);
void resources_spec_decode(const struct json_at *at, struct resources_spec *out);
json_t *resources_spec_encode(const struct resources_spec *spec);
void checkpoint_spec_decode(const struct json_at *at, struct checkpoint_spec *out);
json_t *checkpoint_spec_encode(const struct checkpoint_spec *spec);
void retry_spec_decode(const struct json_at *at, struct retry_spec *out);
json_t *retry_spec_encode(const struct retry_spec *spec);

/* job_spec_columns.c: the fields of "data" for formats whose records have columns. */
bool data_format_has_columns(int format); /* csv, tsv, text, jsonl */
size_t data_columns_of(const struct data_spec *spec, enum column_kind kind);
void data_columns_decode(const struct json_at *data, struct data_spec *out);
void data_columns_encode(const struct data_spec *spec, json_t **object);

/* Which sections came without a problem, so that rules across them can be checked. */
struct spec_sections {
    bool model;
    bool data;
    bool optimizer;
    bool training;
    bool resources;
    bool checkpoint;
};
/* What only the whole spec can say; `at` is the document. */
void job_spec_check(const struct json_at *at, const struct spec_sections *good,
                    const struct job_spec *spec);
/* Whether the model has embedding tables; whether the loss counts classes, and how many. */
bool job_spec_has_tables(const struct job_spec *spec);
int64_t job_spec_label_classes(const struct job_spec *spec); /* 0: none */

#endif
