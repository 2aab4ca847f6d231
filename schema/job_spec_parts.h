#ifndef SCHEMA_JOB_SPEC_PARTS_H
#define SCHEMA_JOB_SPEC_PARTS_H

/*
 * job_spec_parts.h - shared by the files job_spec*.c alone: one decoder and one encoder a section.
 * Each decoder is given a section of a zeroed spec, fills its defaults and reports its problems.
 */

#include "schema/job_spec.h"

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

/* json_object_set_new() for encoders: a value that could not be made spoils the object. */
json_t *spec_duration_json(int64_t duration_ms);    /* "90s" */
json_t *spec_duration_or_null(int64_t duration_ms); /* 0: null */
json_t *spec_int_or_null(int64_t value);            /* 0: null */

void model_spec_decode(const struct json_at *at, struct model_spec *out);
json_t *model_spec_encode(const struct model_spec *spec);
void data_spec_decode(const struct json_at *at, struct data_spec *out);
json_t *data_spec_encode(const struct data_spec *spec);
void optimizer_spec_decode(const struct json_at *at, struct optimizer_spec *out);
json_t *optimizer_spec_encode(const struct optimizer_spec *spec);
void training_spec_decode(const struct json_at *at, struct training_spec *out);
json_t *training_spec_encode(const struct training_spec *spec);
void resources_spec_decode(const struct json_at *at, struct resources_spec *out);
json_t *resources_spec_encode(const struct resources_spec *spec);
void checkpoint_spec_decode(const struct json_at *at, struct checkpoint_spec *out);
json_t *checkpoint_spec_encode(const struct checkpoint_spec *spec);
void retry_spec_decode(const struct json_at *at, struct retry_spec *out);
json_t *retry_spec_encode(const struct retry_spec *spec);

#endif
