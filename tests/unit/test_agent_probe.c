/* test_agent_probe.c - what a machine says of itself, and the shelf of its newest shards. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/probe.h"
#include "agent/shelf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "tests/unit/agent_programs.h"
#include "tests/unit/unit.h"

static void slots_are_counted_or_refused_with_the_reason(void **state)
{
    (void)state;
    static struct wire_slot slots[NODE_SLOTS_MAX];
    struct error err = {0};
    size_t count = 0;
    assert_ok(probe_slots("cpu:3", slots, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_string_equal(slots[2].slot, "cpu:2");
    assert_string_equal(slots[2].kind, "cpu");
    assert_ok(probe_slots("auto", slots, &count, &err), &err);
    assert_int_equal(count, probe_cpu_count());
    assert_fails(probe_slots("cpu:0", slots, &count, &err), &err, STATUS_INVALID,
                 "slots \"cpu:0\": expected auto or cpu:1 to cpu:256");
    assert_fails(probe_slots("cpu:2x", slots, &count, &err), &err, STATUS_INVALID,
                 "slots \"cpu:2x\": expected auto or cpu:1 to cpu:256");
    assert_fails(probe_slots("cuda", slots, &count, &err), &err, STATUS_UNSUPPORTED,
                 "slots \"cuda\": GPU slots come with a later release, use cpu:N");
}

static void the_address_is_the_one_on_the_way_to_the_controller(void **state)
{
    (void)state;
    char address[ADDRESS_BYTES];
    struct error err = {0};
    assert_ok(probe_address("http://127.0.0.1:8485", address, &err), &err);
    assert_string_equal(address, "127.0.0.1");
    assert_fails(probe_address("http://", address, &err), &err, STATUS_INVALID,
                 "controller \"http://\" names no host");
    assert_fails(probe_address("http://h:x", address, &err), &err, STATUS_INVALID,
                 "controller \"http://h:x\" has a bad port");
}

/* ---------------------------------------------------------------- shelf */

struct rig {
    char dir[64];
    char file[128];
    char target[128];
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/shelf-test-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->file, sizeof(rig->file), "%s/file", rig->dir);
    (void)snprintf(rig->target, sizeof(rig->target), "%s/target", rig->dir);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    assert_ok(fs_remove_tree(rig->dir, &err), &err);
    free(rig);
    return 0;
}

static void put(struct rig *rig, const char *job, int64_t step, const char *bytes,
                char out_sha256[SHA256_HEX_BYTES])
{
    struct error err = {0};
    uint8_t digest[SHA256_BYTES];
    sha256_of(bytes, strlen(bytes), digest);
    sha256_hex(digest, out_sha256);
    write_text(rig->file, bytes, 0600);
    assert_ok(shelf_put(rig->dir, job, step, out_sha256, rig->file, &err), &err);
    assert_int_equal(unlink(rig->file), 0);
}

static void the_newest_steps_of_a_job_are_kept(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    char sha256[4][SHA256_HEX_BYTES];
    put(rig, "job_a", 90, "ninety", sha256[0]);
    put(rig, "job_a", 100, "a hundred", sha256[1]);
    put(rig, "job_a", 110, "and ten", sha256[2]);
    put(rig, "job_b", 5, "other job", sha256[3]);
    assert_int_equal(shelf_take(rig->dir, "job_a", sha256[0], rig->target, NULL), STATUS_NOT_FOUND);
    assert_ok(shelf_take(rig->dir, "job_a", sha256[1], rig->target, &err), &err);
    assert_int_equal(unlink(rig->target), 0);
    assert_ok(shelf_take(rig->dir, "job_a", sha256[2], rig->target, &err), &err);
    assert_int_equal(shelf_take(rig->dir, "job_a", sha256[3], rig->target, NULL), STATUS_NOT_FOUND);
    shelf_forget(rig->dir, "job_a");
    assert_int_equal(shelf_take(rig->dir, "job_a", sha256[2], rig->target, NULL), STATUS_NOT_FOUND);
    assert_int_equal(unlink(rig->target), 0);
    assert_ok(shelf_take(rig->dir, "job_b", sha256[3], rig->target, &err), &err);
}

static void a_shard_that_changed_on_disk_is_not_handed_out(void **state)
{
    struct rig *rig = *state;
    char sha256[SHA256_HEX_BYTES];
    char path[256];
    put(rig, "job_a", 7, "right", sha256);
    (void)snprintf(path, sizeof(path), "%s/shards/job_a/%012d-%s", rig->dir, 7, sha256);
    write_text(path, "wrong", 0600);
    assert_int_equal(shelf_take(rig->dir, "job_a", sha256, rig->target, NULL), STATUS_NOT_FOUND);
    assert_false(fs_exists(rig->target));
    assert_false(fs_exists(path));
}

static void the_jobs_longest_untouched_go_first(void **state)
{
    struct rig *rig = *state;
    char sha256[SHA256_HEX_BYTES];
    char path[256];
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    for (int i = 0; i < SHELF_JOBS_MAX; i++) {
        char job[32];
        (void)snprintf(job, sizeof(job), "job_%d", i);
        put(rig, job, 1, "x", sha256);
    }
    (void)snprintf(path, sizeof(path), "%s/shards/job_7", rig->dir);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    put(rig, "job_new", 1, "x", sha256);
    assert_false(fs_exists(path));
    (void)snprintf(path, sizeof(path), "%s/shards/job_new", rig->dir);
    assert_true(fs_exists(path));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_counted_or_refused_with_the_reason),
        cmocka_unit_test(the_address_is_the_one_on_the_way_to_the_controller),
        TEST(the_newest_steps_of_a_job_are_kept),
        TEST(a_shard_that_changed_on_disk_is_not_handed_out),
        TEST(the_jobs_longest_untouched_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
