#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

/* Each test has a folder of its own, whose path is its state. */
static int make_folder(void **state)
{
    char *path = strdup("/tmp/reprise-fs-XXXXXX");
    *state = path;
    return path != NULL && mkdtemp(path) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    const enum status status = fs_remove_tree(*state, NULL);
    const bool gone = !fs_exists(*state);
    free(*state);
    return status == STATUS_OK && gone ? 0 : -1;
}

static const char *in(void **state, const char *name)
{
    static char paths[4][PATH_MAX];
    static size_t next;
    char *path = paths[next++ % COUNT_OF(paths)];
    (void)snprintf(path, PATH_MAX, "%s/%s", (const char *)*state, name);
    return path;
}

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2; /* without "." and ".." */
}

static void assert_content(const char *path, const char *expected)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf content;
    buf_init(&content, 1000);
    assert_ok(fs_read_file(path, &content, &err), &err);
    assert_string_equal(content.data, expected);
}

static void a_replaced_file_has_the_new_bytes_and_mode_and_no_leftovers(void **state)
{
    struct error err = {.status = STATUS_OK};
    const char *path = in(state, "token");
    assert_ok(fs_replace_file(path, "old", 3, 0644, &err), &err);
    assert_ok(fs_replace_file(path, "newer", 5, 0600, &err), &err);
    assert_content(path, "newer");
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(entries(*state), 1);
}

static void a_failed_replacement_leaves_the_old_file_alone(void **state)
{
    struct error err = {.status = STATUS_OK};
    const char *folder = in(state, "folder");
    assert_ok(fs_make_dirs(in(state, "folder/inner"), 0755, &err), &err);
    assert_int_not_equal(fs_replace_file(folder, "x", 1, 0644, &err), STATUS_OK); /* is a folder */
    assert_non_null(strstr(err.text, "rename "));
    assert_int_equal(entries(*state), 1);
    error_clear(&err);
    assert_int_equal(fs_replace_file(in(state, "missing/file"), "x", 1, 0644, &err),
                     STATUS_NOT_FOUND);
}

static void a_file_over_the_limit_is_refused(void **state)
{
    struct error err = {.status = STATUS_OK};
    const char *path = in(state, "big");
    char expected[PATH_MAX + 64];
    (void)snprintf(expected, sizeof(expected), "%s is over 4 bytes", path);
    assert_ok(fs_replace_file(path, "12345", 5, 0644, &err), &err);
    CLEANUP(buf_clear) struct buf content;
    buf_init(&content, 4);
    assert_fails(fs_read_file(path, &content, &err), &err, STATUS_TOO_LARGE, expected);
}

static void a_missing_file_is_named(void **state)
{
    struct error err = {.status = STATUS_OK};
    const char *path = in(state, "nothing");
    char expected[PATH_MAX + 64];
    (void)snprintf(expected, sizeof(expected), "open %s: No such file or directory", path);
    CLEANUP(buf_clear) struct buf content;
    buf_init(&content, 4);
    assert_fails(fs_read_file(path, &content, &err), &err, STATUS_NOT_FOUND, expected);
    assert_false(fs_exists(path));
}

static void reading_beyond_the_end_is_corruption(void **state)
{
    struct error err = {.status = STATUS_OK};
    const char *path = in(state, "shard");
    assert_ok(fs_replace_file(path, "12345678", 8, 0644, &err), &err);
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY);
    char bytes[8];
    assert_ok(fs_pread_all(fd, bytes, 4, 4, &err), &err);
    assert_memory_equal(bytes, "5678", 4);
    assert_fails(fs_pread_all(fd, bytes, 8, 4, &err), &err, STATUS_CORRUPT,
                 "file ends at 8, 4 bytes too early");
}

static void folders_are_made_with_their_parents(void **state)
{
    struct error err = {.status = STATUS_OK};
    assert_ok(fs_make_dirs(in(state, "a/b//c/"), 0700, &err), &err);
    assert_ok(fs_make_dirs(in(state, "a/b/c"), 0700, &err), &err); /* there already */
    assert_true(fs_exists(in(state, "a/b/c")));
    assert_ok(fs_replace_file(in(state, "a/file"), "x", 1, 0644, &err), &err);
    assert_int_not_equal(fs_make_dirs(in(state, "a/file/d"), 0700, &err), STATUS_OK);
    error_clear(&err);
    assert_fails(fs_make_dirs("", 0700, &err), &err, STATUS_INVALID,
                 "make folder: the path is empty");
}

static void a_tree_is_removed_but_not_what_its_links_point_at(void **state)
{
    struct error err = {.status = STATUS_OK};
    assert_ok(fs_make_dirs(in(state, "tree/a/b"), 0755, &err), &err);
    assert_ok(fs_make_dirs(in(state, "precious"), 0755, &err), &err);
    assert_ok(fs_replace_file(in(state, "tree/a/b/file"), "x", 1, 0444, &err), &err);
    assert_ok(fs_replace_file(in(state, "precious/file"), "x", 1, 0644, &err), &err);
    assert_int_equal(symlink(in(state, "precious"), in(state, "tree/a/link")), 0);
    assert_ok(fs_remove_tree(in(state, "tree"), &err), &err);
    assert_false(fs_exists(in(state, "tree")));
    assert_true(fs_exists(in(state, "precious/file")));
    assert_ok(fs_remove_tree(in(state, "tree"), &err), &err); /* already gone */
    assert_int_equal(symlink(in(state, "precious"), in(state, "link")), 0);
    assert_ok(fs_remove_tree(in(state, "link"), &err), &err);
    assert_true(fs_exists(in(state, "precious/file")));
}

static void a_path_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    char path[8];
    assert_ok(fs_path(path, sizeof(path), &err, "/a/%d", 1234), &err);
    assert_string_equal(path, "/a/1234");
    assert_fails(fs_path(path, sizeof(path), &err, "/a/%d", 12345), &err, STATUS_TOO_LARGE,
                 "path is over 7 bytes: /a/1234...");
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(a_replaced_file_has_the_new_bytes_and_mode_and_no_leftovers),
        WITH_FOLDER(a_failed_replacement_leaves_the_old_file_alone),
        WITH_FOLDER(a_file_over_the_limit_is_refused),
        WITH_FOLDER(a_missing_file_is_named),
        WITH_FOLDER(reading_beyond_the_end_is_corruption),
        WITH_FOLDER(folders_are_made_with_their_parents),
        WITH_FOLDER(a_tree_is_removed_but_not_what_its_links_point_at),
        cmocka_unit_test(a_path_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
