#include "tests/unit/unit.h"

#include "service/http/route.h"

static void nothing(struct http_request *request)
{
    (void)request;
}

static const struct http_route table[] = {
    {HTTP_POST, "/v1/nodes/tokens", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_GET, "/v1/nodes", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_GET, "/v1/nodes/{id}", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_PUT, "/a/{b}/c/{d}", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_GET, "/", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_GET, "/healthz", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {HTTP_GET, "/{file}", ROLES_PUBLIC, HTTP_BODY_NONE, 0, nothing, NULL, NULL},
    {.path = NULL},
};

static void assert_leads(const char *method, const char *path, const char *pattern)
{
    struct http_match match;
    http_route_match(table, method, path, &match);
    assert_non_null(match.route);
    assert_string_equal(match.route->path, pattern);
}

static void assert_nowhere(const char *method, const char *path, const char *allow)
{
    struct http_match match;
    http_route_match(table, method, path, &match);
    assert_null(match.route);
    assert_string_equal(match.allow, allow);
}

static void a_path_leads_to_the_row_that_fits_it_whole(void **state)
{
    (void)state;
    assert_leads("GET", "/v1/nodes", "/v1/nodes");
    assert_leads("HEAD", "/v1/nodes", "/v1/nodes");
    assert_leads("GET", "/v1/nodes/node_1", "/v1/nodes/{id}");
    assert_leads("POST", "/v1/nodes/tokens", "/v1/nodes/tokens");
    assert_leads("GET", "/v1/nodes/tokens", "/v1/nodes/{id}");
    assert_leads("GET", "/", "/");
    assert_nowhere("GET", "", "");
    assert_leads("GET", "/v1", "/{file}");
    assert_nowhere("GET", "/v1/nodes/", "");
    assert_nowhere("GET", "/v1/nodes/a/b", "");
    assert_nowhere("GET", "/v1//nodes", "");
    assert_leads("GET", "/healthz", "/healthz");
    assert_nowhere("GET", "/V1/nodes", "");
    assert_nowhere("GET", "*", "");
}

static void another_method_is_told_which_there_are(void **state)
{
    (void)state;
    assert_nowhere("DELETE", "/v1/nodes", "HEAD, GET");
    assert_nowhere("PATCH", "/v1/nodes/tokens", "POST, HEAD, GET");
    assert_nowhere("POST", "/healthz", "HEAD, GET"); /* /{file} fits too */
    assert_nowhere("get", "/v1/nodes", "HEAD, GET");
}

static void parameters_are_the_raw_segments(void **state)
{
    (void)state;
    struct http_match match;
    http_route_match(table, "PUT", "/a/x%2Fy/c/z", &match);
    assert_non_null(match.route);
    assert_int_equal(match.param_count, 2);
    assert_int_equal(match.params[0].size, 5);
    assert_memory_equal(match.params[0].text, "x%2Fy", 5);
    assert_int_equal(match.params[1].size, 1);
    assert_memory_equal(match.params[1].text, "z", 1);
}

static void escapes_are_undone_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plus;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"plain", false, "plain"},
        {"a%20b", false, "a b"},
        {"a+b", false, "a+b"},
        {"a+b", true, "a b"},
        {"%c3%a4", false, "\xc3\xa4"},
        {"", false, ""},
        {"%41%42", false, "AB"},
        {"a%00b", false, NULL},
        {"%", false, NULL},
        {"%4", false, NULL},
        {"%zz", false, NULL},
        {"\xff", false, NULL},
        {"%ff", false, NULL},
        {"%c3", false, NULL},
        {"%c0%af", false, NULL},       /* overlong */
        {"%ed%a0%80", false, NULL},    /* surrogate */
        {"%f4%90%80%80", false, NULL}, /* beyond U+10FFFF */
        {"0123456789abcdef", false, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[16] = "";
        const bool fine =
            http_unescape(cases[i].text, strlen(cases[i].text), cases[i].plus, out, sizeof(out));
        if (fine != (cases[i].expected != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, fine ? "taken" : "refused");
        if (fine)
            assert_string_equal(out, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_leads_to_the_row_that_fits_it_whole),
        cmocka_unit_test(another_method_is_told_which_there_are),
        cmocka_unit_test(parameters_are_the_raw_segments),
        cmocka_unit_test(escapes_are_undone_strictly),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
