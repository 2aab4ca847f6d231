#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "service/http/auth.h"

#define NOW_MS 1000000

struct fixture {
    struct auth *auth;
    char text[AUTH_TOKEN_BYTES];
    char header[AUTH_TOKEN_BYTES + 16];
    struct auth_token token;
    struct sockaddr_in peer;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct error err = {.status = STATUS_OK};
    fixture = (struct fixture){.token = {.role = ROLE_SUBMITTER, .project = "risk"}};
    fixture.peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(0x0a000001)}};
    assert_ok(auth_new(&fixture.auth, &err), &err);
    auth_text_new("submitter", NOW_MS, fixture.text, fixture.token.id, fixture.token.secret_sha256);
    assert_ok(auth_put(fixture.auth, &fixture.token, &err), &err);
    snprintf(fixture.header, sizeof(fixture.header), "Bearer %s", fixture.text);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    const struct fixture *fixture = *state;
    auth_free(fixture->auth);
    return 0;
}

static enum status check(struct fixture *fixture, const char *header, int64_t mono_ms,
                         struct auth_token *out)
{
    struct error err = {.status = STATUS_OK};
    return auth_check(fixture->auth, header, (const struct sockaddr *)&fixture->peer, NOW_MS,
                      mono_ms, out, &err);
}

static void the_right_token_is_its_holder(void **state)
{
    struct fixture *fixture = *state;
    struct auth_token out;
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_OK);
    assert_string_equal(out.id, fixture->token.id);
    assert_int_equal(out.role, ROLE_SUBMITTER);
    assert_string_equal(out.project, "risk");
    fixture->header[0] = 'b'; /* the scheme's case does not count */
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_OK);
}

static void every_other_text_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct auth_token out;
    char wrong[sizeof(fixture->header)];
    const size_t size = strlen(fixture->header);
    assert_int_equal(check(fixture, NULL, 0, &out), STATUS_DENIED);
    int64_t mono_ms = 0;
    for (size_t i = 0; i < size; i++) {
        memcpy(wrong, fixture->header, size + 1);
        wrong[i] = wrong[i] == '0' ? '1' : '0';
        mono_ms += AUTH_FAILURE_SPAN_MS;
        if (check(fixture, wrong, mono_ms, &out) != STATUS_DENIED)
            fail_msg("taken with a wrong character at %zu", i);
        wrong[i] = '\0'; /* cut short */
        mono_ms += AUTH_FAILURE_SPAN_MS;
        if (check(fixture, wrong, mono_ms, &out) != STATUS_DENIED)
            fail_msg("taken when cut at %zu", i);
    }
}

static void a_token_ends_when_it_expires_or_is_removed(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {.status = STATUS_OK};
    struct auth_token out;
    fixture->token.expires_at_ms = NOW_MS + 1;
    assert_ok(auth_put(fixture->auth, &fixture->token, &err), &err);
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_OK);
    fixture->token.expires_at_ms = NOW_MS;
    assert_ok(auth_put(fixture->auth, &fixture->token, &err), &err);
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_DENIED);
    fixture->token.expires_at_ms = 0;
    assert_ok(auth_put(fixture->auth, &fixture->token, &err), &err);
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_OK);
    auth_remove(fixture->auth, fixture->token.id);
    assert_int_equal(check(fixture, fixture->header, 0, &out), STATUS_DENIED);
    auth_remove(fixture->auth, fixture->token.id);
}

static void guessing_is_slowed_down_for_the_guesser_alone(void **state)
{
    struct fixture *fixture = *state;
    struct auth_token out;
    for (int i = 0; i < AUTH_FAILURES_MAX; i++)
        assert_int_equal(check(fixture, "Bearer guess", i, &out), STATUS_DENIED);
    assert_int_equal(check(fixture, "Bearer guess", 100, &out), STATUS_BUSY);
    assert_int_equal(check(fixture, fixture->header, 100, &out), STATUS_OK);
    assert_int_equal(check(fixture, NULL, 100, &out), STATUS_DENIED); /* no guess */
    fixture->peer.sin_addr.s_addr = htonl(0x0a000002);
    assert_int_equal(check(fixture, "Bearer guess", 100, &out), STATUS_DENIED);
    fixture->peer.sin_addr.s_addr = htonl(0x0a000001);
    assert_int_equal(check(fixture, "Bearer guess", AUTH_FAILURE_SPAN_MS, &out), STATUS_DENIED);
}

static void many_addresses_do_not_grow_the_table(void **state)
{
    struct fixture *fixture = *state;
    struct auth_token out;
    for (uint32_t i = 0; i < 5000; i++) {
        fixture->peer.sin_addr.s_addr = htonl(0x0b000000 + i);
        assert_int_equal(check(fixture, "Bearer guess", i, &out), STATUS_DENIED);
    }
}

static void a_text_has_one_shape(void **state)
{
    (void)state;
    struct auth_text out;
    char text[AUTH_TOKEN_BYTES];
    char id[ID_BYTES_MAX];
    uint8_t digest[SHA256_BYTES];
    auth_text_new("join", NOW_MS, text, id, digest);
    assert_true(auth_text_parse(text, &out));
    assert_string_equal(out.role, "join");
    assert_string_equal(out.id, id);
    assert_false(auth_text_parse("", &out));
    assert_false(auth_text_parse("rp_", &out));
    assert_false(auth_text_parse("rp__x_y", &out));
    assert_false(auth_text_parse("rp_operator_short_secret", &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_right_token_is_its_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(every_other_text_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_ends_when_it_expires_or_is_removed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(guessing_is_slowed_down_for_the_guesser_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_addresses_do_not_grow_the_table, setup, teardown),
        cmocka_unit_test(a_text_has_one_shape),
    };
    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
