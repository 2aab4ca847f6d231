/* The router's tables and openapi.yaml say the same: paths, roles, body limits, query parameters. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "service/api/api.h"

static json_t *document;

static int open_document(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, MIB);
    assert_ok(fs_read_file("schema/openapi.yaml", &text, &err), &err);
    assert_ok(json_parse(text.data, text.size, &document, &err), &err);
    return 0;
}

static int close_document(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

static const json_t *operation_of(const struct http_route *route)
{
    static const char *const methods[] = {"get", "post", "put", "delete"};
    const json_t *path = json_object_get(json_object_get(document, "paths"), route->path);
    return json_object_get(path, methods[route->method]);
}

static const char *least_role(unsigned roles)
{
    if (roles == ROLES_PUBLIC)
        return "none";
    if (roles & ROLE_BIT(ROLE_NODE))
        return "node";
    if (roles & ROLE_BIT(ROLE_VIEWER))
        return "viewer";
    return roles & ROLE_BIT(ROLE_SUBMITTER) ? "submitter" : "operator";
}

/* A parameter, its reference followed. */
static const json_t *parameter_of(const json_t *parameter)
{
    static const char prefix[] = "#/components/parameters/";
    const char *reference = json_string_value(json_object_get(parameter, "$ref"));
    if (reference == NULL)
        return parameter;
    assert_memory_equal(reference, prefix, sizeof(prefix) - 1);
    const json_t *components = json_object_get(document, "components");
    return json_object_get(json_object_get(components, "parameters"),
                           reference + sizeof(prefix) - 1);
}

static bool has_query(const json_t *operation, const char *name)
{
    const json_t *parameters = json_object_get(operation, "parameters");
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter = parameter_of(json_array_get(parameters, i));
        if (strcmp(json_string_value(json_object_get(parameter, "in")), "query") == 0 &&
            strcmp(json_string_value(json_object_get(parameter, "name")), name) == 0)
            return true;
    }
    return false;
}

static size_t count_queries(const json_t *operation)
{
    size_t count = 0;
    const json_t *parameters = json_object_get(operation, "parameters");
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter = parameter_of(json_array_get(parameters, i));
        count += strcmp(json_string_value(json_object_get(parameter, "in")), "query") == 0;
    }
    return count;
}

static void check_route(const struct http_route *route)
{
    const json_t *operation = operation_of(route);
    const char *method = http_method_names[route->method];
    if (operation == NULL)
        fail_msg("%s %s is not in openapi.yaml", method, route->path);
    const char *role = json_string_value(json_object_get(operation, "x-role"));
    if (role == NULL || strcmp(role, least_role(route->roles)) != 0)
        fail_msg("%s %s: openapi.yaml says role %s, the router %s", method, route->path, role,
                 least_role(route->roles));
    const json_int_t limit = json_integer_value(json_object_get(operation, "x-body-bytes-max"));
    if ((uint64_t)limit != route->body_bytes_max)
        fail_msg("%s %s: openapi.yaml says at most %lld bytes, the router %llu", method,
                 route->path, (long long)limit, (unsigned long long)route->body_bytes_max);
    size_t count = 0;
    for (const char *const *name = route->queries; name != NULL && *name != NULL; name++) {
        if (!has_query(operation, *name))
            fail_msg("%s %s: openapi.yaml has no query %s", method, route->path, *name);
        count++;
    }
    if (count != count_queries(operation))
        fail_msg("%s %s: openapi.yaml has %zu query parameters, the router %zu", method,
                 route->path, count_queries(operation), count);
}

static size_t check_table(const struct http_route *table)
{
    size_t count = 0;
    for (const struct http_route *route = table; route->path != NULL; route++) {
        check_route(route);
        count++;
    }
    return count;
}

static void the_router_and_openapi_say_the_same(void **state)
{
    (void)state;
    size_t operations = 0;
    const char *path = NULL;
    json_t *methods = NULL;
    json_object_foreach(json_object_get(document, "paths"), path, methods) {
        static const char *const known[] = {"get", "post", "put", "delete"};
        for (size_t i = 0; i < COUNT_OF(known); i++)
            operations += json_object_get(methods, known[i]) != NULL;
    }
    /* /healthz is answered on both listeners. */
    assert_int_equal(check_table(api_routes) + check_table(agent_routes), operations + 1);
}

static void only_what_must_be_is_public(void **state)
{
    (void)state;
    static const char *const open[] = {"/healthz", "/readyz",       "/metrics", "/v1/version",
                                       "/",        "/openapi.json", "/{file}"};
    for (const struct http_route *route = api_routes; route->path != NULL; route++) {
        bool named = false;
        for (size_t i = 0; i < COUNT_OF(open); i++)
            named = named || strcmp(open[i], route->path) == 0;
        if ((route->roles == ROLES_PUBLIC) != named)
            fail_msg("%s is %s", route->path, named ? "not public" : "public");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_router_and_openapi_say_the_same),
        cmocka_unit_test(only_what_must_be_is_public),
    };
    return cmocka_run_group_tests_name("routes", tests, open_document, close_document);
}
