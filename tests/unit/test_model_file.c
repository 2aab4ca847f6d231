/* test_model_file.c - a model's metadata are taken at their word only where they agree with themselves. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "trainer/model_file.h"

#define SPEC_BYTES_MAX (64 * KIB)

struct fixture {
    char folder[64];
    char path[96];
    char *spec; /* a complete one, canonical */
    char sha256[SHA256_HEX_BYTES];
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-model-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/model.safetensors", fixture.folder);

    CLEANUP(buf_clear) struct buf text;
    CLEANUP(json_cleanup) json_t *document = NULL;
    static struct json_problems problems;
    static struct job_spec spec;
    buf_init(&text, SPEC_BYTES_MAX);
    assert_ok(fs_read_file("deploy/jobs/digits.json", &text, &fixture.err), &fixture.err);
    assert_ok(json_parse(text.data, text.size, &document, &fixture.err), &fixture.err);
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, &spec);
    assert_ok(json_problems_status(&problems, &fixture.err), &fixture.err);
    CLEANUP(json_cleanup) json_t *complete = job_spec_encode(&spec);
    fixture.spec = json_canonical(complete);
    uint8_t digest[SHA256_BYTES];
    sha256_of(fixture.spec, strlen(fixture.spec), digest);
    sha256_hex(digest, fixture.sha256);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    free(f->spec);
    return fs_remove_tree(f->folder, NULL) == STATUS_OK ? 0 : -1;
}

/* Writes a file with these metadata, the first `count` of them. */
static void write_file(struct fixture *f, const char *spec, const char *sha256, size_t count)
{
    static const float bias[2] = {1.0F, 2.0F};
    const struct safetensors_tensor tensor = {
        .name = "layer0.bias", .dims = 1, .shape = {2}, .values = bias, .count = 2};
    const struct safetensors_metadata metadata[] = {
        {"spec", spec}, {"spec_sha256", sha256}, {"fit", ""}};
    const struct safetensors_content content = {&tensor, 1, metadata, count};
    struct safetensors_written written;
    assert_ok(safetensors_write(f->path, &content, &written, &f->err), &f->err);
}

static void assert_refused(struct fixture *f, enum status status, const char *text)
{
    static struct model_file file;
    assert_int_equal(model_file_open(f->path, &file, &f->err), status);
    if (strstr(f->err.text, text) == NULL || strstr(f->err.text, f->path) == NULL)
        fail_msg("expected the file and \"%s\" in: %s", text, f->err.text);
    error_clear(&f->err);
    model_file_close(&file);
}

static void a_model_gives_its_jobs_spec_back(void **state)
{
    struct fixture *f = *state;
    static struct model_file file;
    write_file(f, f->spec, f->sha256, 3);
    assert_ok(model_file_open(f->path, &file, &f->err), &f->err);
    assert_string_equal(file.spec.name, "digits");
    assert_int_equal(file.spec.model.type, MODEL_MLP);
    assert_string_equal(file.spec_sha256, f->sha256);
    assert_string_equal(file.fit, "");
    model_file_close(&file);
}

static void metadata_that_lack_a_key_are_refused(void **state)
{
    struct fixture *f = *state;
    write_file(f, f->spec, f->sha256, 0);
    assert_refused(f, STATUS_UNSUPPORTED, "no \"spec\"");
    write_file(f, f->spec, f->sha256, 1);
    assert_refused(f, STATUS_UNSUPPORTED, "no \"spec_sha256\"");
    write_file(f, f->spec, f->sha256, 2);
    assert_refused(f, STATUS_UNSUPPORTED, "no \"fit\"");
}

static void a_spec_that_was_edited_is_refused(void **state)
{
    struct fixture *f = *state;
    char *digits = strstr(f->spec, "\"digits\"");
    assert_non_null(digits);
    digits[1] = 'b';
    write_file(f, f->spec, f->sha256, 3);
    assert_refused(f, STATUS_CORRUPT, "not spec_sha256");
}

static void a_spec_of_another_release_is_refused_with_its_field(void **state)
{
    struct fixture *f = *state;
    static const char spec[] = "{\"name\":\"x\",\"novelty\":1}";
    char hex[SHA256_HEX_BYTES];
    uint8_t digest[SHA256_BYTES];
    sha256_of(spec, strlen(spec), digest);
    sha256_hex(digest, hex);
    write_file(f, spec, hex, 3);
    assert_refused(f, STATUS_UNSUPPORTED, "/novelty: unknown field");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_gives_its_jobs_spec_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(metadata_that_lack_a_key_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_spec_that_was_edited_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_spec_of_another_release_is_refused_with_its_field, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
