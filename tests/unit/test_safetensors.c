/* test_safetensors.c - files that we write come back; files that lie are refused. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "trainer/export/safetensors.h"

struct fixture {
    char folder[64];
    char path[80];
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-tensors-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/m", fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    return fs_remove_tree(f->folder, NULL) == STATUS_OK ? 0 : -1;
}

static const float matrix[6] = {1.0F, 2.0F, 3.0F, -4.0F, 5.5F, 6.25F};
static const float vector[2] = {7.0F, 8.0F};

static struct safetensors_written write_two(struct fixture *f)
{
    const struct safetensors_tensor tensors[] = {
        {.name = "w", .dims = 2, .shape = {2, 3}, .values = matrix, .count = 6},
        {.name = "b", .dims = 1, .shape = {2}, .values = vector, .count = 2},
    };
    const struct safetensors_metadata metadata[] = {{"step", "12"}, {"quote", "a \"b\" \\ c"}};
    const struct safetensors_content content = {tensors, 2, metadata, 2};
    struct safetensors_written written;
    assert_ok(safetensors_write(f->path, &content, &written, &f->err), &f->err);
    return written;
}

static void what_was_written_is_read(void **state)
{
    struct fixture *f = *state;
    const struct safetensors_written written = write_two(f);

    struct safetensors *file = NULL;
    assert_ok(safetensors_open(f->path, &file, &f->err), &f->err);

    const float *values = NULL;
    assert_ok(safetensors_find(file, "w", 6, &values, &f->err), &f->err);
    assert_memory_equal(values, matrix, sizeof(matrix));
    assert_ok(safetensors_find(file, "b", 2, &values, &f->err), &f->err);
    assert_memory_equal(values, vector, sizeof(vector));
    assert_int_equal((uintptr_t)values % sizeof(float), 0);
    assert_string_equal(safetensors_metadata(file, "step"), "12");
    assert_string_equal(safetensors_metadata(file, "quote"), "a \"b\" \\ c");
    assert_null(safetensors_metadata(file, "absent"));
    assert_fails(safetensors_find(file, "c", 2, &values, &f->err), &f->err, STATUS_NOT_FOUND,
                 "tensor c is missing");
    assert_fails(safetensors_find(file, "b", 3, &values, &f->err), &f->err, STATUS_CORRUPT,
                 "tensor b has 2 elements, expected 3");
    safetensors_close(file);
    uint8_t digest[SHA256_BYTES];
    uint64_t bytes = 0;
    char hex[SHA256_HEX_BYTES];
    assert_ok(sha256_file(f->path, digest, &bytes, &f->err), &f->err);
    sha256_hex(digest, hex);
    assert_string_equal(written.sha256, hex);
    assert_int_equal(written.bytes, bytes);
}

static void the_digest_is_of_the_tensors_in_the_order_of_their_names(void **state)
{
    (void)state;
    const struct safetensors_tensor forward[] = {{.name = "b", .values = vector, .count = 2},
                                                 {.name = "w", .values = matrix, .count = 6}};
    const struct safetensors_tensor backward[] = {forward[1], forward[0]};
    float joined[8];
    memcpy(joined, vector, sizeof(vector));
    memcpy(joined + 2, matrix, sizeof(matrix));
    uint8_t digest[SHA256_BYTES];
    char expected[SHA256_HEX_BYTES], actual[SHA256_HEX_BYTES];
    sha256_of(joined, sizeof(joined), digest);
    sha256_hex(digest, expected);

    safetensors_digest(backward, 2, actual);

    assert_string_equal(actual, expected);
}

/* A file of `header` (its length in front), padded to a multiple of 4, and `data_bytes` zeros. */
static void write_raw(const struct fixture *f, const char *header, size_t data_bytes)
{
    CLEANUP(buf_clear) struct buf file;
    buf_init(&file, 64 * KIB);
    const uint64_t length = (strlen(header) + 3) / 4 * 4;
    buf_append(&file, &length, sizeof(length));
    buf_append_text(&file, header);
    for (size_t i = strlen(header); i < length; i++)
        buf_append_text(&file, " ");
    for (size_t i = 0; i < data_bytes; i++)
        buf_append(&file, "", 1);
    assert_int_equal(fs_replace_file(f->path, file.data, file.size, 0644, NULL), STATUS_OK);
}

#define ENTRY(name, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

struct lie {
    const char *header;
    size_t data_bytes;
    enum status status;
    const char *text;
};

static const struct lie lies[] = {
    {"[]", 0, STATUS_CORRUPT, "the header is no object of at most 1024 tensors"},
    {"{", 0, STATUS_CORRUPT, "header: "},
    {"{\"a\":1}", 0, STATUS_UNSUPPORTED, "tensor a is without a type, only F32 is read"},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, STATUS_UNSUPPORTED,
     "tensor a is BF16, only F32 is read"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, STATUS_CORRUPT,
     "tensor a has no data_offsets"},
    {"{" ENTRY("a", "[1]", "0", "8") "}", 4, STATUS_CORRUPT, "tensor a: bytes 0 to 8 of 4"},
    {"{" ENTRY("a", "[1]", "-4", "0") "}", 4, STATUS_CORRUPT, "tensor a: bytes -4 to 0 of 4"},
    {"{" ENTRY("a", "[1]", "4", "0") "}", 4, STATUS_CORRUPT, "tensor a: bytes 4 to 0 of 4"},
    {"{" ENTRY("a", "[1]", "1", "5") "}", 8, STATUS_CORRUPT, "tensor a: bytes 1 to 5 of 8"},
    {"{" ENTRY("a", "[2]", "0", "4") "}", 4, STATUS_CORRUPT,
     "tensor a: its shape is not that of 1 floats"},
    {"{" ENTRY("a", "[-1]", "0", "4") "}", 4, STATUS_CORRUPT,
     "tensor a: its shape is not that of 1 floats"},
    {"{" ENTRY("a", "[4294967296,4294967296,4]", "0", "0") "}", 0, STATUS_CORRUPT,
     "tensor a: its shape is not that of 0 floats"},
    {"{" ENTRY("a", "[1]", "0", "4") "," ENTRY("b", "[1]", "0", "4") "}", 4, STATUS_CORRUPT,
     "begins at byte 0, the one before it ends at 4"},
    {"{" ENTRY("a", "[1]", "4", "8") "}", 8, STATUS_CORRUPT,
     "tensor a begins at byte 4, the one before it ends at 0"},
    {"{" ENTRY("a", "[1]", "0", "4") "}", 12, STATUS_CORRUPT, "8 bytes behind the last tensor"},
    {"{" ENTRY("a", "[1]", "0", "4") "," ENTRY("a", "[1]", "4", "8") "}", 8, STATUS_CORRUPT,
     "header: "},
};

static void files_that_lie_are_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        write_raw(f, lies[i].header, lies[i].data_bytes);
        struct safetensors *file = NULL;
        const enum status status = safetensors_open(f->path, &file, &f->err);
        if (status != lies[i].status || strstr(f->err.text, lies[i].text) == NULL ||
            strncmp(f->err.text, f->path, strlen(f->path)) != 0)
            fail_msg("%s: %s, \"%s\"", lies[i].header, status_name(status), f->err.text);
        assert_null(file);
        error_clear(&f->err);
    }
}

static void cut_files_are_refused_at_every_length(void **state)
{
    struct fixture *f = *state;
    const struct safetensors_written written = write_two(f);
    for (off_t size = 0; size < (off_t)written.bytes; size++) {
        (void)write_two(f);
        assert_int_equal(truncate(f->path, size), 0);
        struct safetensors *file = NULL;
        assert_int_equal(safetensors_open(f->path, &file, &f->err), STATUS_CORRUPT);
        error_clear(&f->err);
    }
}

static void a_file_that_cannot_be_written_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    const struct safetensors_content content = {.tensor_count = 0};
    struct safetensors_written written;
    (void)snprintf(f->path, sizeof(f->path), "%s/none/m", f->folder);
    assert_int_equal(safetensors_write(f->path, &content, &written, &f->err), STATUS_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "/none/m.tmp"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(the_digest_is_of_the_tensors_in_the_order_of_their_names),
        TEST(files_that_lie_are_refused),
        TEST(cut_files_are_refused_at_every_length),
        TEST(a_file_that_cannot_be_written_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
