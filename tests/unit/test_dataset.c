/* test_dataset.c - IDX files, whole and malformed, through the cache of decoded data. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fs.h"
#include "trainer/data/data.h"

#define REAL_DATA "deploy/data/mnist-small"

struct fixture {
    char root[64];
    char cache[80];
    struct data_spec spec;
    struct dataset set;
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture =
        (struct fixture){.spec = {.train = {.format = DATA_IDX, .features = "x", .labels = "y"}}};
    (void)snprintf(fixture.root, sizeof(fixture.root), "/tmp/reprise-dataset-XXXXXX");
    assert_non_null(mkdtemp(fixture.root));
    (void)snprintf(fixture.cache, sizeof(fixture.cache), "%s/cache", fixture.root);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dataset_close(&f->set);
    return fs_remove_tree(f->root, NULL) == STATUS_OK ? 0 : -1;
}

static void write_file(const struct fixture *f, const char *name, const void *bytes, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->root, name);
    assert_int_equal(fs_replace_file(path, bytes, size, 0644, NULL), STATUS_OK);
}

static void write_gzip(const struct fixture *f, const char *name, const void *bytes, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->root, name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

/* Three records of 2 x 2. */
static const uint8_t good_features[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2,  0,  0,
                                        0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const uint8_t good_labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 9};

static enum status open_part(struct fixture *f)
{
    dataset_close(&f->set);
    const struct data_request request = {.spec = &f->spec, .root = f->root};
    return dataset_open(&request, f->cache, &f->set, &f->err);
}

static const uint8_t *features_of(const struct fixture *f)
{
    return dataset_array(&f->set, "features")->values;
}

static void check_good(struct fixture *f)
{
    assert_ok(open_part(f), &f->err);
    assert_int_equal(f->set.count, 3);
    assert_int_equal(dataset_array(&f->set, "features")->width, 4);
    assert_int_equal(f->set.classes, 10);
    assert_int_equal(f->set.classes_record, 2);
    assert_memory_equal(features_of(f), good_features + 16, 12);
    const int32_t *labels = dataset_array(&f->set, "label")->values;
    assert_int_equal(labels[0], 2);
    assert_int_equal(labels[1], 0);
    assert_int_equal(labels[2], 9);
    assert_true(f->set.scale == 1.0F / 255.0F);
    assert_int_equal(strlen(f->set.sha256), 64);
    assert_ok(dataset_verify(&f->set, &f->err), &f->err);
}

static void plain_and_gzip_files_decode_to_the_same(void **state)
{
    struct fixture *f = *state;
    write_file(f, "x", good_features, sizeof(good_features));
    write_file(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    char plain[65];
    memcpy(plain, f->set.sha256, sizeof(plain));
    write_gzip(f, "x", good_features, sizeof(good_features));
    write_gzip(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    assert_string_equal(f->set.sha256, plain);
}

/* ------------------------------------------------------------------ malformed files */

struct malformed {
    const char *what;
    bool labels; /* the file that is wrong; the other is good */
    size_t size;
    uint8_t bytes[32];
    enum status status;
    const char *text; /* after the file's path; NULL: starts with ": " only */
};

static const struct malformed malformed[] = {
    {"empty", false, 0, {0}, STATUS_INVALID, ": byte 0: the file ends, 4 bytes are missing"},
    {"cut in the magic",
     false,
     3,
     {0, 0, 8},
     STATUS_INVALID,
     ": byte 3: the file ends, 1 bytes are missing"},
    {"other magic",
     false,
     8,
     {'P', 'N', 'G', 3, 0, 0, 0, 3},
     STATUS_INVALID,
     ": byte 0: not an IDX file: it begins with 50 4e, not 00 00"},
    {"float elements",
     false,
     8,
     {0, 0, 0x0D, 3, 0, 0, 0, 3},
     STATUS_UNSUPPORTED,
     ": byte 2: element type 0x0d, only unsigned bytes (0x08) are read"},
    {"one dimension",
     false,
     8,
     {0, 0, 8, 1, 0, 0, 0, 3},
     STATUS_INVALID,
     ": byte 3: expected 2 to 4 dimensions, got 1"},
    {"many dimensions",
     false,
     8,
     {0, 0, 8, 200, 0, 0, 0, 3},
     STATUS_INVALID,
     ": byte 3: expected 2 to 4 dimensions, got 200"},
    {"no records",
     false,
     16,
     {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2},
     STATUS_INVALID,
     ": byte 4: a dimension of size 0"},
    {"more records than bytes",
     false,
     17,
     {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 1},
     STATUS_INVALID,
     ": byte 17: the file ends, 11 bytes are missing"},
    {"far more records than bytes",
     false,
     16,
     {0, 0, 8, 3, 0x7F, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2},
     STATUS_INVALID,
     ": byte 4: the header says 2130706432 records of 4 bytes, a file of this size cannot hold "
     "them"},
    {"huge records",
     false,
     16,
     {0, 0, 8, 3, 0, 0, 0, 3, 0x7F, 0, 0, 0, 0x7F, 0, 0, 0},
     STATUS_TOO_LARGE,
     ": byte 8: a record has more than 1048576 features"},
    {"cut in the sizes",
     false,
     10,
     {0, 0, 8, 3, 0, 0, 0, 3, 0, 0},
     STATUS_INVALID,
     ": byte 10: the file ends, 2 bytes are missing"},
    {"too many bytes",
     false,
     29,
     {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
     STATUS_INVALID,
     ": byte 28: expected the end, there is more"},
    {"labels with two dimensions",
     true,
     12,
     {0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 1},
     STATUS_INVALID,
     ": byte 3: expected 1 to 1 dimensions, got 2"},
    {"another number of labels",
     true,
     10,
     {0, 0, 8, 1, 0, 0, 0, 2, 1, 1},
     STATUS_INVALID,
     ": byte 4: 2 labels for the 3 records of x"},
    {"labels cut off", true, 10, {0, 0, 8, 1, 0, 0, 0, 3, 1, 1}, STATUS_INVALID, NULL},
    {"labels too long",
     true,
     12,
     {0, 0, 8, 1, 0, 0, 0, 3, 1, 1, 1, 1},
     STATUS_INVALID,
     ": byte 11: expected the end, there is more"},
};

static void every_malformed_file_is_refused_by_name_and_byte(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        const struct malformed *bad = &malformed[i];
        write_file(f, "x", good_features, sizeof(good_features));
        write_file(f, "y", good_labels, sizeof(good_labels));
        write_file(f, bad->labels ? "y" : "x", bad->bytes, bad->size);
        const enum status status = open_part(f);
        char expected[ERROR_TEXT_BYTES_MAX];
        (void)snprintf(expected, sizeof(expected), "%s/%s%s", f->root, bad->labels ? "y" : "x",
                       bad->text == NULL ? ": byte " : bad->text);
        if (status != bad->status || strncmp(f->err.text, expected, strlen(expected)) != 0 ||
            (bad->text != NULL && strlen(f->err.text) != strlen(expected)))
            fail_msg("%s: %s, \"%s\", expected \"%s\"", bad->what, status_name(status), f->err.text,
                     expected);
        error_clear(&f->err);
    }
}

static void damaged_gzip_is_refused(void **state)
{
    struct fixture *f = *state;
    write_file(f, "y", good_labels, sizeof(good_labels));
    write_gzip(f, "x", good_features, sizeof(good_features));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/x", f->root);
    struct buf whole;
    buf_init(&whole, KIB);
    assert_ok(fs_read_file(path, &whole, &f->err), &f->err);
    for (size_t size = 12; size < whole.size; size++) { /* from the end of gzip's own header */
        write_file(f, "x", whole.data, size);
        assert_int_equal(open_part(f), STATUS_INVALID);
        assert_non_null(strstr(f->err.text, "/x: byte "));
        error_clear(&f->err);
    }
    whole.data[whole.size - 6] = (char)(whole.data[whole.size - 6] ^ 1); /* the checksum */
    write_file(f, "x", whole.data, whole.size);
    assert_int_equal(open_part(f), STATUS_INVALID);
    char wanted[200];
    (void)snprintf(wanted, sizeof(wanted),
                   "%s: byte %zu of %zu, after %zu decoded ones: damaged: incorrect data check",
                   path, whole.size - 4, whole.size, sizeof(good_features));
    assert_string_equal(f->err.text, wanted);
    error_clear(&f->err);
    buf_clear(&whole);
}

static void a_missing_file_is_named(void **state)
{
    struct fixture *f = *state;
    write_file(f, "x", good_features, sizeof(good_features));
    assert_int_equal(open_part(f), STATUS_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "/y"));
}

/* ------------------------------------------------------------------ the cache */

static ino_t cache_file(const struct fixture *f, char path[256])
{
    DIR *listing = opendir(f->cache);
    assert_non_null(listing);
    ino_t inode = 0;
    for (const struct dirent *e = readdir(listing); e != NULL; e = readdir(listing)) {
        const size_t length = strlen(e->d_name);
        if (length > 5 && strcmp(e->d_name + length - 5, ".data") == 0) {
            assert_int_equal(inode, 0); /* one file a source, however often it changed */
            inode = e->d_ino;
            (void)snprintf(path, 256, "%s/%s", f->cache, e->d_name);
        }
    }
    (void)closedir(listing);
    return inode;
}

static void a_warm_start_uses_the_file_that_is_there(void **state)
{
    struct fixture *f = *state;
    char path[256];
    write_file(f, "x", good_features, sizeof(good_features));
    write_file(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    const ino_t first = cache_file(f, path);

    check_good(f);

    assert_true(cache_file(f, path) == first);
}

static void a_changed_source_is_decoded_anew_and_old_mappings_stay(void **state)
{
    struct fixture *f = *state;
    char path[256];
    write_file(f, "x", good_features, sizeof(good_features));
    write_file(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    struct dataset old = f->set;
    f->set = (struct dataset){.mapping = NULL};
    uint8_t other[sizeof(good_features)];
    memcpy(other, good_features, sizeof(other));
    other[16] = 77;
    write_file(f, "x", other, sizeof(other));

    assert_ok(open_part(f), &f->err);

    assert_int_equal(features_of(f)[0], 77);
    assert_int_equal(((const uint8_t *)dataset_array(&old, "features")->values)[0], 1);
    assert_true(cache_file(f, path) != 0);
    dataset_close(&old);
}

/* Flips one byte of the cache file at `offset`. */
static void damage(const char *path, off_t offset)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    assert_int_equal(close(fd), 0);
}

static void a_damaged_or_cut_cache_file_is_replaced(void **state)
{
    struct fixture *f = *state;
    char path[256];
    write_file(f, "x", good_features, sizeof(good_features));
    write_file(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    const ino_t first = cache_file(f, path);
    damage(path, 24); /* in the header: the width */
    check_good(f);
    const ino_t second = cache_file(f, path);
    assert_true(second != first);
    assert_int_equal(truncate(path, 4097), 0);
    check_good(f);
    assert_true(cache_file(f, path) != second);
    damage(path, 4096); /* a record: seen by who reads it all */
    assert_ok(open_part(f), &f->err);
    assert_fails(dataset_verify(&f->set, &f->err), &f->err, STATUS_CORRUPT,
                 "decoded data no longer has the checksum it was written with");
}

static void what_a_killed_process_left_is_cleared_away_by_the_next_one(void **state)
{
    struct fixture *f = *state;
    char path[256], left[300];
    write_file(f, "x", good_features, sizeof(good_features));
    write_file(f, "y", good_labels, sizeof(good_labels));
    check_good(f);
    assert_true(cache_file(f, path) != 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(left, sizeof(left), "%s.tmp", path);
    const int fd = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "half", 4), 4);
    assert_int_equal(close(fd), 0);

    check_good(f);

    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_pipe_is_no_data_file_and_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    char path[256];
    write_file(f, "y", good_labels, sizeof(good_labels));
    (void)snprintf(path, sizeof(path), "%s/x", f->root);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(open_part(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "/x: expected a regular file, got a pipe"));
}

static void processes_that_start_together_decode_once(void **state)
{
    struct fixture *f = *state;
    enum { PROCESSES = 8 };
    pid_t children[PROCESSES];
    (void)snprintf(f->spec.train.features, sizeof(f->spec.train.features),
                   "train-images-idx3-ubyte.gz");
    (void)snprintf(f->spec.train.labels, sizeof(f->spec.train.labels),
                   "train-labels-idx1-ubyte.gz");
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            const struct data_request request = {.spec = &f->spec, .root = REAL_DATA};
            const enum status status = dataset_open(&request, f->cache, &f->set, &f->err);
            _exit(status == STATUS_OK && f->set.count == 10000 && f->set.classes == 10 ? 0 : 1);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int result = -1;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_int_equal(result, 0);
    }
    char path[256];
    assert_true(cache_file(f, path) != 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(plain_and_gzip_files_decode_to_the_same),
        TEST(every_malformed_file_is_refused_by_name_and_byte),
        TEST(damaged_gzip_is_refused),
        TEST(a_missing_file_is_named),
        TEST(a_warm_start_uses_the_file_that_is_there),
        TEST(a_changed_source_is_decoded_anew_and_old_mappings_stay),
        TEST(a_damaged_or_cut_cache_file_is_replaced),
        TEST(what_a_killed_process_left_is_cleared_away_by_the_next_one),
        TEST(a_pipe_is_no_data_file_and_is_not_waited_for),
        TEST(processes_that_start_together_decode_once),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
