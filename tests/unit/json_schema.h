#ifndef TESTS_UNIT_JSON_SCHEMA_H
#define TESTS_UNIT_JSON_SCHEMA_H

/*
 * json_schema.h - whether a JSON Schema takes a value: the keywords of draft 2020-12 that our schemas
 * use, so that a test can hold a schema and a decoder against each other. Another keyword fails the
 * test. A "pattern" is read as a POSIX extended expression, lengths are of bytes.
 */

#include <jansson.h>
#include <stdbool.h>

/* `schema` is where "$ref" begins; `node` the part of it that the value must meet. */
bool json_schema_takes(const json_t *schema, const json_t *node, const json_t *value);

#endif
