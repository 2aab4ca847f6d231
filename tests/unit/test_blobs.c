/* test_blobs.c - a blob is there whole or not at all, and never changes. */

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "service/blobs/blobs.h"

#define KEY "checkpoints/job_1/2/100/shard-00000-of-00002"

struct room {
    char folder[64];
    struct blobs *blobs;
    struct error err;
};

static int set_up(void **state)
{
    static struct room room;
    memset(&room, 0, sizeof room);
    (void)snprintf(room.folder, sizeof room.folder, "/tmp/reprise-blobs-XXXXXX");
    assert_non_null(mkdtemp(room.folder));
    assert_ok(blobs_local_open(room.folder, 0, &room.blobs, &room.err), &room.err);
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    struct room *room = *state;
    blobs_close(room->blobs);
    assert_int_equal(fs_remove_tree(room->folder, NULL), STATUS_OK);
    return 0;
}

static bool on_disk(const struct room *room, const char *path)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", room->folder, path);
    return fs_exists(full);
}

/* Stores `text` in two pieces. */
static enum status store_text(struct room *room, const char *key, const char *text,
                              const char *expected)
{
    CLEANUP(blob_put_cleanup) struct blob_put *put = NULL;
    char sha256[SHA256_HEX_BYTES];
    uint64_t bytes = 0;
    const size_t half = strlen(text) / 2;
    TRY(blob_put_begin(room->blobs, key, 1000, &put, &room->err));
    TRY(blob_put_write(put, text, half, &room->err));
    TRY(blob_put_write(put, text + half, strlen(text) - half, &room->err));
    TRY(blob_put_commit(put, expected, sha256, &bytes, &room->err));
    assert_int_equal(bytes, strlen(text));
    return STATUS_OK;
}

static void assert_blob(struct room *room, const char *key, const char *text)
{
    CLEANUP(fd_cleanup) int fd = -1;
    uint64_t bytes = 0;
    char got[1000];
    assert_ok(blob_get(room->blobs, key, &fd, &bytes, &room->err), &room->err);
    assert_int_equal(bytes, strlen(text));
    assert_ok(fs_pread_all(fd, got, bytes, 0, &room->err), &room->err);
    assert_memory_equal(got, text, bytes);
}

static void what_was_stored_is_read_back_with_its_hash(void **state)
{
    struct room *room = *state;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_of("weights", 7, digest);
    sha256_hex(digest, hex);
    assert_ok(store_text(room, KEY, "weights", hex), &room->err);
    assert_blob(room, KEY, "weights");
    assert_ok(store_text(room, "artifacts/job_1/2/model.safetensors", "", NULL), &room->err);
    assert_blob(room, "artifacts/job_1/2/model.safetensors", "");
}

static void wrong_bytes_leave_nothing(void **state)
{
    struct room *room = *state;
    char wrong[SHA256_HEX_BYTES];
    memset(wrong, 'a', sizeof wrong - 1);
    wrong[64] = '\0';
    assert_int_equal(store_text(room, KEY, "weights", wrong), STATUS_INVALID);
    assert_non_null(strstr(room->err.text, "announced sha256 aaaaaaaaaaaa"));
    assert_false(on_disk(room, KEY));
    error_clear(&room->err);
    int fd = -1;
    uint64_t bytes = 0;
    assert_int_equal(blob_get(room->blobs, KEY, &fd, &bytes, NULL), STATUS_NOT_FOUND);
}

static void an_abandoned_upload_leaves_nothing(void **state)
{
    struct room *room = *state;
    struct blob_put *put = NULL;
    assert_ok(blob_put_begin(room->blobs, KEY, 100, &put, &room->err), &room->err);
    assert_ok(blob_put_write(put, "half", 4, &room->err), &room->err);
    blob_put_end(put);
    assert_false(on_disk(room, KEY));
    char tmp[128];
    (void)snprintf(tmp, sizeof tmp, "%s/tmp", room->folder);
    assert_int_equal(rmdir(tmp), 0); /* empty */
}

static void more_bytes_than_allowed_are_refused(void **state)
{
    struct room *room = *state;
    CLEANUP(blob_put_cleanup) struct blob_put *put = NULL;
    assert_ok(blob_put_begin(room->blobs, KEY, 5, &put, &room->err), &room->err);
    assert_ok(blob_put_write(put, "12345", 5, &room->err), &room->err);
    assert_fails(blob_put_write(put, "6", 1, &room->err), &room->err, STATUS_TOO_LARGE,
                 KEY " has more than 5 bytes");
}

static void a_blob_never_changes(void **state)
{
    struct room *room = *state;
    assert_ok(store_text(room, KEY, "weights", NULL), &room->err);
    assert_ok(store_text(room, KEY, "weights", NULL), &room->err);
    assert_int_equal(store_text(room, KEY, "others!", NULL), STATUS_CONFLICT);
    assert_blob(room, KEY, "weights");
}

static void no_key_leaves_the_folder(void **state)
{
    struct room *room = *state;
    static const char *const bad[] = {"",
                                      "x",
                                      "checkpoints",
                                      "checkpoints/",
                                      "checkpoints//x",
                                      "checkpoints/../../etc/passwd",
                                      "checkpoints/job/.hidden",
                                      "/etc/passwd",
                                      "tmp/x",
                                      "artifacts/a b",
                                      "artifactsx/a",
                                      "artifact/a"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct blob_put *put = NULL;
        int fd = -1;
        uint64_t bytes = 0;
        assert_int_equal(blob_put_begin(room->blobs, bad[i], 1, &put, NULL), STATUS_INVALID);
        assert_int_equal(blob_get(room->blobs, bad[i], &fd, &bytes, NULL), STATUS_INVALID);
        assert_int_equal(blob_remove(room->blobs, bad[i], NULL), STATUS_INVALID);
        assert_int_equal(blob_remove_under(room->blobs, bad[i], NULL), STATUS_INVALID);
    }
    char key[BLOB_KEY_BYTES];
    assert_int_equal(blob_key_shard(key, "../x", 1, 1, 0, 1, NULL), STATUS_INVALID);
    assert_int_equal(blob_key_shard(key, "job_1", 0, 1, 0, 1, NULL), STATUS_INVALID);
    assert_int_equal(blob_key_shard(key, "job_1", 1, 1, 1, 1, NULL), STATUS_INVALID);
    assert_int_equal(blob_key_artifact(key, "job_1", 1, "../model", NULL), STATUS_INVALID);
    assert_int_equal(blob_key_artifact(key, "job_1", 1, "", NULL), STATUS_INVALID);
}

static void a_key_says_what_it_was_made_of(void **state)
{
    (void)state;
    char key[BLOB_KEY_BYTES];
    struct blob_key parsed;
    assert_int_equal(blob_key_shard(key, "job_1", 2, 100, 0, 2, NULL), STATUS_OK);
    assert_string_equal(key, KEY);
    assert_true(blob_key_parse(key, &parsed));
    assert_true(parsed.is_shard);
    assert_string_equal(parsed.job, "job_1");
    assert_int_equal(parsed.attempt, 2);
    assert_int_equal(parsed.step, 100);
    assert_int_equal(parsed.shard, 0);
    assert_int_equal(parsed.of, 2);
    assert_int_equal(blob_key_artifact(key, "job_1", 2, "model.safetensors", NULL), STATUS_OK);
    assert_true(blob_key_parse(key, &parsed));
    assert_false(parsed.is_shard);
    assert_string_equal(parsed.name, "model.safetensors");
    assert_false(blob_key_parse("checkpoints/job_1/2/100/shard-0-of-2", &parsed));
    assert_false(blob_key_parse("checkpoints/job_1/2/100/shard-00000-of-00002/x", &parsed));
    assert_false(blob_key_parse("checkpoints/job_1/2/0100/shard-00000-of-00002", &parsed));
    assert_false(blob_key_parse("artifacts/job_1/2", &parsed));
}

static void removing_twice_is_fine_and_leaves_no_empty_folders(void **state)
{
    struct room *room = *state;
    assert_ok(store_text(room, KEY, "weights", NULL), &room->err);
    assert_ok(blob_remove(room->blobs, KEY, &room->err), &room->err);
    assert_ok(blob_remove(room->blobs, KEY, &room->err), &room->err);
    assert_false(on_disk(room, "checkpoints/job_1"));
    assert_true(on_disk(room, "checkpoints"));
    assert_ok(store_text(room, KEY, "weights", NULL), &room->err);
    assert_ok(store_text(room, "checkpoints/job_2/1/5/shard-00000-of-00001", "x", NULL),
              &room->err);
    assert_ok(blob_remove_under(room->blobs, "checkpoints/job_1", &room->err), &room->err);
    assert_false(on_disk(room, "checkpoints/job_1"));
    assert_true(on_disk(room, "checkpoints/job_2/1/5/shard-00000-of-00001"));
}

static bool keep_attempt_2(void *context, const char *key)
{
    struct blob_key parsed;
    (*(int *)context)++;
    return blob_key_parse(key, &parsed) && parsed.attempt == 2;
}

static void a_start_removes_orphans_and_unfinished_uploads(void **state)
{
    struct room *room = *state;
    assert_ok(store_text(room, KEY, "kept", NULL), &room->err);
    assert_ok(store_text(room, "checkpoints/job_1/1/50/shard-00000-of-00001", "gone", NULL),
              &room->err);
    assert_ok(store_text(room, "artifacts/job_1/1/stray", "gone", NULL), &room->err);
    char left_over[128];
    (void)snprintf(left_over, sizeof left_over, "%s/tmp/abc", room->folder);
    const int fd = open(left_over, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    blobs_close(room->blobs);
    room->blobs = NULL;
    assert_ok(blobs_local_open(room->folder, 0, &room->blobs, &room->err), &room->err);
    int asked = 0;
    size_t removed = 0;
    assert_ok(blobs_sweep(room->blobs, NULL, keep_attempt_2, &asked, &removed, &room->err),
              &room->err);
    assert_int_equal(asked, 3);
    assert_int_equal(removed, 2);
    assert_false(fs_exists(left_over));
    assert_false(on_disk(room, "checkpoints/job_1/1"));
    assert_false(on_disk(room, "artifacts/job_1"));
    assert_blob(room, KEY, "kept");
}

static void a_full_disk_refuses_uploads_before_their_first_byte(void **state)
{
    struct room *room = *state;
    struct blobs *strict = NULL;
    char folder[128];
    (void)snprintf(folder, sizeof folder, "%s/strict", room->folder);
    assert_ok(blobs_local_open(folder, 99, &strict, &room->err), &room->err);
    struct blob_put *put = NULL;
    assert_int_equal(blob_put_begin(strict, KEY, 1, &put, &room->err), STATUS_NO_SPACE);
    assert_non_null(strstr(room->err.text, "has less than 99 % free"));
    blobs_close(strict);
}

struct uploader {
    struct room *room;
    int number;
};

static void *upload_and_remove(void *argument)
{
    const struct uploader *uploader = argument;
    struct room room = {.blobs = uploader->room->blobs};
    for (int i = 0; i < 50; i++) {
        char key[BLOB_KEY_BYTES];
        enum status status =
            blob_key_shard(key, "job_1", 1, 1 + i % 3, uploader->number, 4, &room.err);
        if (status == STATUS_OK)
            status = store_text(&room, key, "text", NULL);
        if (status == STATUS_OK)
            status = blob_remove(room.blobs, key, &room.err);
        if (status != STATUS_OK)
            return argument;
    }
    return NULL;
}

static void folders_that_come_and_go_lose_no_upload(void **state)
{
    pthread_t threads[4];
    struct uploader uploaders[4];
    for (int i = 0; i < 4; i++) {
        uploaders[i] = (struct uploader){.room = *state, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, upload_and_remove, &uploaders[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *verdict = NULL;
        assert_int_equal(pthread_join(threads[i], &verdict), 0);
        assert_null(verdict);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_stored_is_read_back_with_its_hash),
        CASE(wrong_bytes_leave_nothing),
        CASE(an_abandoned_upload_leaves_nothing),
        CASE(more_bytes_than_allowed_are_refused),
        CASE(a_blob_never_changes),
        CASE(no_key_leaves_the_folder),
        cmocka_unit_test(a_key_says_what_it_was_made_of),
        CASE(removing_twice_is_fine_and_leaves_no_empty_folders),
        CASE(a_start_removes_orphans_and_unfinished_uploads),
        CASE(a_full_disk_refuses_uploads_before_their_first_byte),
        CASE(folders_that_come_and_go_lose_no_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
