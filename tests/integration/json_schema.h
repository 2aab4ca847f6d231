#ifndef TESTS_INTEGRATION_JSON_SCHEMA_H
#define TESTS_INTEGRATION_JSON_SCHEMA_H

/*
 * json_schema.h - a value against a JSON Schema of openapi.yaml: the keywords that our documents use. One
 * that it does not know fails the test, so that nothing is taken for checked.
 *
 * Stricter than the standard: a member that no part of the schema declares is a problem, also where
 * additionalProperties does not say so. A document that is silent about a field is wrong about it.
 */

#include <jansson.h>
#include <stdbool.h>

#define JSON_SCHEMA_PROBLEM_BYTES 512

/* False with the first problem and its pointer. References are looked up in `document`. */
bool json_schema_check(const json_t *document, const json_t *schema, const json_t *value,
                       char problem[JSON_SCHEMA_PROBLEM_BYTES]);

/* What "#/a/b" names in the document; fails the test if nothing is there. */
const json_t *json_schema_find(const json_t *document, const char *reference);

#endif
