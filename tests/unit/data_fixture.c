#include "tests/unit/data_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/json.h"
#include "schema/job_spec_parts.h"

int data_fixture_set_up(void **state)
{
    static struct data_fixture fixture;
    fixture = (struct data_fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.root, sizeof(fixture.root), "/tmp/reprise-readers-XXXXXX");
    assert_non_null(mkdtemp(fixture.root));
    (void)snprintf(fixture.cache, sizeof(fixture.cache), "%s/cache", fixture.root);
    *state = &fixture;
    return 0;
}

int data_fixture_tear_down(void **state)
{
    struct data_fixture *f = *state;
    dataset_close(&f->train);
    dataset_close(&f->eval);
    data_fit_free(f->fit);
    return fs_remove_tree(f->root, NULL) == STATUS_OK ? 0 : -1;
}

static void path_of(const struct data_fixture *f, const char *name, char path[160])
{
    (void)snprintf(path, 160, "%s/%s", f->root, name);
}

void data_fixture_write_bytes(const struct data_fixture *f, const char *name, const void *bytes,
                              size_t size)
{
    char path[160];
    path_of(f, name, path);
    assert_int_equal(fs_replace_file(path, bytes, size, 0644, NULL), STATUS_OK);
}

void data_fixture_write(const struct data_fixture *f, const char *name, const char *text)
{
    data_fixture_write_bytes(f, name, text, strlen(text));
}

void data_fixture_write_gzip(const struct data_fixture *f, const char *name, const void *bytes,
                             size_t size)
{
    char path[160];
    path_of(f, name, path);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

void data_fixture_write_zstd(const struct data_fixture *f, const char *name, const void *bytes,
                             size_t size)
{
    const size_t room = ZSTD_compressBound(size);
    CLEANUP(free_cleanup) char *out = malloc(room);
    assert_non_null(out);
    const size_t packed = ZSTD_compress(out, room, bytes, size, 3);
    assert_false(ZSTD_isError(packed));
    data_fixture_write_bytes(f, name, out, packed);
}

void data_fixture_spec(struct data_fixture *f, const char *text)
{
    static struct json_problems problems;
    CLEANUP(json_cleanup) json_t *document = NULL;
    CLEANUP(free_cleanup) char *json = strdup(text);
    assert_non_null(json);
    for (char *at = json; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    assert_ok(json_parse(json, strlen(json), &document, &f->err), &f->err);
    problems = (struct json_problems){.count = 0};
    const struct json_at root = json_at_root(document, &problems);
    f->spec = (struct data_spec){.root = "", .label_classes = DATA_FIXTURE_CLASSES};
    data_spec_decode(&root, &f->spec);
    assert_ok(json_problems_status(&problems, &f->err), &f->err);
}

static enum status open_part(struct data_fixture *f, enum data_role role, struct dataset *set)
{
    const struct data_request request = {.spec = &f->spec,
                                         .role = role,
                                         .root = f->root,
                                         .train = role == DATA_EVAL ? &f->train : NULL};
    dataset_close(set);
    error_clear(&f->err);
    return dataset_open(&request, f->cache, set, &f->err);
}

enum status data_fixture_train(struct data_fixture *f)
{
    assert_int_equal(fs_remove_tree(f->cache, NULL), STATUS_OK);
    return open_part(f, DATA_TRAIN, &f->train);
}

enum status data_fixture_eval(struct data_fixture *f)
{
    return open_part(f, DATA_EVAL, &f->eval);
}

const struct data_fit *data_fixture_fit(struct data_fixture *f)
{
    data_fit_free(f->fit);
    f->fit = NULL;
    assert_ok(data_fit_parse(f->train.fit, f->train.fit_bytes, &f->fit, &f->err), &f->err);
    return f->fit;
}

const void *data_fixture_array(const struct dataset *set, const char *name, enum data_type type,
                               int64_t rows, int64_t width)
{
    const struct data_array *array = dataset_array(set, name);
    if (array == NULL)
        fail_msg("no array \"%s\"", name);
    assert_int_equal(array->type, type);
    assert_int_equal(array->rows, rows);
    assert_int_equal(array->width, width);
    return array->values;
}
