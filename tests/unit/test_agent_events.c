/* test_agent_events.c - a rank's event file on its way into a batch, and how far it is settled. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/events.h"
#include "base/fs.h"
#include "tests/unit/agent_programs.h"
#include "tests/unit/unit.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct rig {
    char folder[64];
    char path[512];
    struct events events;
    struct batch batch;
};

static void open_events(struct rig *rig)
{
    struct error err = {0};
    assert_ok(events_open(&rig->events, "job_a", 3, 0, rig->folder, &err), &err);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct error err = {0};
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/events-test-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    assert_ok(fs_path(rig->path, sizeof(rig->path), &err, "%s/rank-0", rig->folder), &err);
    assert_ok(fs_make_dirs(rig->path, 0700, &err), &err);
    assert_ok(fs_path(rig->path, sizeof(rig->path), &err, "%s/rank-0/events.jsonl", rig->folder),
              &err);
    write_text(rig->path, "", 0600);
    batch_init(&rig->batch);
    open_events(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    batch_reset(&rig->batch);
    buf_clear(&rig->batch.body);
    events_close(&rig->events);
    assert_ok(fs_remove_tree(rig->folder, &err), &err);
    free(rig);
    return 0;
}

static void append(const struct rig *rig, const char *text)
{
    const int fd = open(rig->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void look(struct rig *rig)
{
    struct error err = {0};
    assert_ok(events_read(&rig->events, &rig->batch, &err), &err);
}

/* The controller takes the whole batch; uploads are taken as under way. Returns the last one. */
static struct upload *ack_all(struct rig *rig)
{
    struct upload *last = NULL;
    for (size_t i = 0; i < rig->batch.count; i++) {
        events_acked(&rig->events, rig->batch.lines[i].end);
        if (rig->batch.lines[i].upload)
            last = TAKE(rig->batch.lines[i].upload);
    }
    events_save(&rig->events);
    batch_reset(&rig->batch);
    return last;
}

static void lines_get_their_attempt_and_partial_ones_wait(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n{\"event\":\"prog");
    look(rig);
    assert_string_equal(rig->batch.body.data,
                        "{\"job\":\"job_a\",\"attempt\":3,\"event\":\"progress\",\"seq\":1,"
                        "\"rank\":0,\"step\":5}\n");
    assert_false(events_drained(&rig->events));
    append(rig, "ress\",\"seq\":2,\"rank\":0,\"step\":6}\n");
    look(rig);
    assert_int_equal(rig->batch.count, 2);
    assert_null(ack_all(rig));
    assert_true(events_drained(&rig->events));
}

static void a_line_cannot_speak_for_another_rank_or_job(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"progress\",\"seq\":1,\"rank\":7,\"step\":5,\"job\":\"job_b\","
                "\"attempt\":9}\n");
    look(rig);
    assert_non_null(strstr(rig->batch.body.data, "\"job\":\"job_a\""));
    assert_non_null(strstr(rig->batch.body.data, "\"attempt\":3"));
    assert_non_null(strstr(rig->batch.body.data, "\"rank\":0"));
    assert_null(strstr(rig->batch.body.data, "job_b"));
}

static void rubbish_is_dropped_and_what_follows_is_kept(void **state)
{
    struct rig *rig = *state;
    append(rig, "\nno json\n{\"event\":\"progress\"}\n"
                "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n[1]\n");
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    (void)ack_all(rig);
    assert_true(events_drained(&rig->events));
    struct tail_offsets kept = tail_offsets_read(rig->events.offsets_path, rig->events.fd);
    assert_int_equal(kept.acked, rig->events.read);
}

static void a_line_longer_than_a_chunk_is_skipped(void **state)
{
    struct rig *rig = *state;
    char *line = malloc(3 * TAIL_CHUNK_BYTES);
    assert_non_null(line);
    memset(line, 'x', 3 * TAIL_CHUNK_BYTES);
    line[3 * TAIL_CHUNK_BYTES - 1] = 0;
    append(rig, line);
    free(line);
    look(rig);
    assert_int_equal(rig->batch.count, 0);
    append(rig, "\n{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n");
    look(rig);
    assert_int_equal(rig->batch.count, 1);
}

static void what_was_not_acked_is_read_again_after_a_restart(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n");
    look(rig);
    (void)ack_all(rig);
    append(rig, "{\"event\":\"progress\",\"seq\":2,\"rank\":0,\"step\":6}\n");
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    batch_reset(&rig->batch);
    events_close(&rig->events);
    open_events(rig);
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    assert_int_equal(rig->batch.lines[0].seq, 2);
    batch_reset(&rig->batch);
    events_rewind(&rig->events);
    look(rig);
    assert_int_equal(rig->batch.lines[0].seq, 2);
}

static void append_checkpoint(struct rig *rig, const char *path, bool with_file)
{
    char line[1024];
    if (with_file) {
        char file[512];
        (void)snprintf(file, sizeof(file), "%s/%s", rig->folder, path);
        write_text(file, "shard", 0600);
    }
    (void)snprintf(line, sizeof(line),
                   "{\"event\":\"checkpoint\",\"seq\":1,\"rank\":0,\"step\":100,\"shard\":0,"
                   "\"of\":1,\"path\":\"%s\",\"bytes\":5,\"sha256\":\"" SHA "\"}\n",
                   path);
    append(rig, line);
}

static void a_shard_that_was_not_uploaded_is_found_again(void **state)
{
    struct rig *rig = *state;
    append_checkpoint(rig, "shard", true);
    look(rig);
    assert_true(rig->batch.urgent);
    struct upload *upload = ack_all(rig);
    assert_non_null(upload);
    assert_int_equal(upload->kind, UPLOAD_SHARD);
    assert_int_equal(upload->step, 100);
    assert_false(events_drained(&rig->events));
    /* The agent dies with the upload under way. */
    upload_free(upload);
    events_close(&rig->events);
    open_events(rig);
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    assert_int_equal(rig->batch.body.size, 0); /* the line itself is not sent again */
    upload = ack_all(rig);
    assert_non_null(upload);
    /* It is taken: file gone, and the next agent has nothing to do. */
    assert_int_equal(unlink(upload->path), 0);
    events_upload_done(&rig->events, upload);
    upload_free(upload);
    assert_true(events_drained(&rig->events));
    events_close(&rig->events);
    open_events(rig);
    look(rig);
    assert_int_equal(rig->batch.count, 0);
    assert_true(events_drained(&rig->events));
}

static void a_file_outside_of_the_attempt_is_never_uploaded(void **state)
{
    struct rig *rig = *state;
    append_checkpoint(rig, "/etc/passwd", false);
    append_checkpoint(rig, "a/../../../etc/passwd", false);
    append_checkpoint(rig, "../x", false);
    look(rig);
    assert_int_equal(rig->batch.count, 3);
    assert_null(ack_all(rig));
    assert_true(events_drained(&rig->events));
}

static void a_starts_and_a_first_step_are_urgent_later_steps_are_not(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"started\",\"seq\":1,\"rank\":0}\n");
    look(rig);
    assert_true(rig->batch.urgent && rig->batch.stepped);
    (void)ack_all(rig);
    append(rig, "{\"event\":\"progress\",\"seq\":2,\"rank\":0,\"step\":1}\n");
    look(rig);
    assert_true(rig->batch.urgent && rig->batch.stepped);
    (void)ack_all(rig);
    append(rig, "{\"event\":\"progress\",\"seq\":3,\"rank\":0,\"step\":2}\n");
    look(rig);
    assert_false(rig->batch.urgent || rig->batch.stepped);
}

static void torn_offsets_count_as_none(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    const struct tail_offsets offsets = {700, 300};
    char lines[701];
    memset(lines, '\n', 700);
    lines[700] = 0;
    append(rig, lines);
    assert_ok(tail_offsets_write(rig->events.offsets_path, &offsets, &err), &err);
    assert_int_equal(tail_offsets_read(rig->events.offsets_path, rig->events.fd).acked, 700);
    assert_int_equal(tail_offsets_read(rig->events.offsets_path, rig->events.fd).settled, 300);
    write_text(rig->events.offsets_path, "00000000000000000700 0000000000000", 0600);
    assert_int_equal(tail_offsets_read(rig->events.offsets_path, rig->events.fd).acked, 0);
    write_text(rig->events.offsets_path, "3 700 end\n", 0600);
    assert_int_equal(tail_offsets_read(rig->events.offsets_path, rig->events.fd).acked, 0);
}

static void offsets_beyond_the_end_of_the_file_count_as_none(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n");
    events_close(&rig->events);
    write_text(rig->events.offsets_path, "00000000000000000700 00000000000000000700 end\n", 0600);
    open_events(rig);
    look(rig);
    assert_int_equal(rig->batch.count, 1);
}

static void what_was_rewound_is_not_drained(void **state)
{
    struct rig *rig = *state;
    append(rig, "{\"event\":\"progress\",\"seq\":1,\"rank\":0,\"step\":5}\n");
    look(rig);
    batch_reset(&rig->batch);
    events_rewind(&rig->events);
    assert_false(events_drained(&rig->events));
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    (void)ack_all(rig);
    assert_true(events_drained(&rig->events));
}

/* Its line is acked already, so the acked offset alone would not bring it back. */
static void an_owed_shard_comes_again_after_a_failed_batch(void **state)
{
    struct rig *rig = *state;
    append_checkpoint(rig, "shard", true);
    look(rig);
    upload_free(ack_all(rig));
    events_close(&rig->events);
    open_events(rig);
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    batch_reset(&rig->batch);
    events_rewind(&rig->events);
    assert_false(events_drained(&rig->events));
    look(rig);
    assert_int_equal(rig->batch.count, 1);
    struct upload *upload = ack_all(rig);
    assert_non_null(upload);
    /* And not a second time while it is under way. */
    events_rewind(&rig->events);
    look(rig);
    assert_int_equal(rig->batch.count, 0);
    events_upload_done(&rig->events, upload);
    upload_free(upload);
    assert_true(events_drained(&rig->events));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(lines_get_their_attempt_and_partial_ones_wait),
        TEST(a_line_cannot_speak_for_another_rank_or_job),
        TEST(rubbish_is_dropped_and_what_follows_is_kept),
        TEST(a_line_longer_than_a_chunk_is_skipped),
        TEST(what_was_not_acked_is_read_again_after_a_restart),
        TEST(a_shard_that_was_not_uploaded_is_found_again),
        TEST(a_file_outside_of_the_attempt_is_never_uploaded),
        TEST(a_starts_and_a_first_step_are_urgent_later_steps_are_not),
        TEST(torn_offsets_count_as_none),
        TEST(offsets_beyond_the_end_of_the_file_count_as_none),
        TEST(what_was_rewound_is_not_drained),
        TEST(an_owed_shard_comes_again_after_a_failed_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
