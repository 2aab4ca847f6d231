/*
 * test_agent.c - the real agent and runner with a fake controller and a trainer that is a shell
 * script: what a node does, seen from both of its sides.
 */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "tests/unit/agent_programs.h"
#include "tests/unit/agent_rig.h"
#include "tests/unit/unit.h"

/* ---------------------------------------------------------------- tests */

static void a_node_joins_once_and_keeps_its_credential_to_itself(void **state)
{
    struct rig *rig = *state;
    char path[256];
    struct stat info;
    int none = 0;
    begin(rig);
    assert_true(fake_wait(rig->fake, synced, &none));
    (void)snprintf(path, sizeof(path), "%s/credential.json", rig->data);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(end_agent(rig, SIGTERM), 0);
    int before = look(rig)->seen.syncs;
    start_agent(rig, "cpu:2", false);
    assert_true(fake_wait(rig->fake, synced, &before));
    assert_int_equal(look(rig)->seen.joins, 1);
}

static void gpu_slots_are_refused_by_name(void **state)
{
    struct rig *rig = *state;
    char path[128];
    CLEANUP(buf_clear) struct buf text;
    struct error err = {0};
    int status = 0;
    buf_init(&text, 64 * KIB);
    if (!copy_program(rig, "reprise-agent") || !copy_program(rig, "reprise-runner"))
        skip();
    start_agent(rig, "cuda", true);
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    assert_int_equal(WEXITSTATUS(status), 64);
    (void)snprintf(path, sizeof(path), "%s/agent.log", rig->dir);
    assert_ok(fs_read_file(path, &text, &err), &err);
    assert_non_null(strstr(text.data, "slots \"cuda\": GPU slots come with a later release"));
}

static void a_job_runs_and_all_it_says_arrives_in_order(void **state)
{
    struct rig *rig = *state;
    char path[512];
    train(rig, "echo to people; step 1; save 100; printf model >$REPRISE_OUTPUT_DIR/m\n"
               "say finished ',\"status\":\"succeeded\",\"model\":\"output/m\",\"sha256\":"
               "\"" NUMERICS "\",\"metrics\":{\"accuracy\":0.5}'\n");
    begin(rig);
    desire(rig);
    const struct about end = await(rig, ended);
    assert_int_equal(end.number, 0);
    assert_true(fake_wait(rig->fake, has_result, NULL));
    await_output(rig, "to people");
    const struct look *seen = look(rig);
    assert_int_equal(seen->seen.line_count, 4);
    assert_int_equal(seen->seen.upload_count, 2);
    assert_string_equal(seen->seen.uploads[0].path, "/v1/agent/checkpoints/" JOB "/1/100/0");
    assert_true(seen->seen.uploads[0].digest_right && seen->seen.uploads[0].lines_before >= 3);
    assert_string_equal(seen->seen.uploads[1].path,
                        "/v1/agent/artifacts/" JOB "/1/model.safetensors");
    assert_true(seen->seen.uploads[1].digest_right && seen->seen.uploads[1].lines_before == 4);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(seen->seen.result, "model"), "bytes")),
        5);
    fake_desire(rig->fake, NULL, 0);
    (void)await(rig, gone);
    attempt_path(rig, "", path);
    assert_true(wait_gone(path));
}

static void an_end_is_told_at_once(void **state)
{
    struct rig *rig = *state;
    train(rig, "while :; do sleep 0.01; done\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    const int64_t killed_ms = clock_mono_ms();
    assert_int_equal(kill(rank, SIGKILL), 0);
    const struct about end = await(rig, ended);
    print_message("killed rank told after %lld ms\n", (long long)(clock_mono_ms() - killed_ms));
    assert_int_equal(end.number, -1);
    assert_true(clock_mono_ms() - killed_ms < HEARTBEAT_MS / 2);
}

static void what_is_not_desired_any_more_is_killed_and_its_slot_is_used_again(void **state)
{
    struct rig *rig = *state;
    train(rig, "date +%s%N >>\"$REPRISE_DATA_DIR/began\"; while :; do sleep 0.01; done\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    rig->assignment.attempt = 2;
    desire(rig);
    const pid_t next = (pid_t)await(rig, runs).number;
    assert_true(wait_pid_gone(rank));
    assert_true(pid_alive(next));
}

static void a_stop_is_graceful(void **state)
{
    struct rig *rig = *state;
    train(rig, "trap 'exit 75' TERM; step 1; while :; do sleep 0.01; done\n");
    size_t two = 2;
    begin(rig);
    desire(rig);
    assert_true(fake_wait(rig->fake, has_lines, &two));
    rig->assignment.phase = DESIRED_STOP;
    desire(rig);
    assert_int_equal(await(rig, ended).number, 75);
}

static void what_never_ran_here_is_reported_as_ended(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    rig->assignment.phase = DESIRED_KILL;
    desire(rig);
    const struct about end = await(rig, ended);
    assert_int_equal(end.number, -1);
    fake_desire(rig->fake, NULL, 0);
    (void)await(rig, gone);
}

static void missing_data_is_named(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    (void)snprintf(rig->assignment.data_dir, sizeof(rig->assignment.data_dir), "/no/such/data");
    desire(rig);
    assert_string_equal(await(rig, ended).word, "data_missing");
}

static void an_agent_that_dies_disturbs_nothing(void **state)
{
    struct rig *rig = *state;
    static const int64_t pauses_ms[] = {100, 1000};
    size_t lines = 3;
    train(rig, "n=0; while :; do n=$((n + 1)); step $n; sleep 0.02; done\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    for (size_t i = 0; i < COUNT_OF(pauses_ms); i++) {
        assert_true(fake_wait(rig->fake, has_lines, &lines));
        (void)end_agent(rig, SIGKILL);
        clock_sleep_ms(pauses_ms[i]);
        int before = look(rig)->seen.syncs;
        start_agent(rig, "cpu:2", false);
        assert_true(fake_wait(rig->fake, synced, &before));
        assert_int_equal(await(rig, runs).number, rank);
        lines = look(rig)->seen.line_count + 5;
    }
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    assert_true(pid_alive(rank));
    /* No gap: the lines are 1, 2, 3, ... */
    const struct look *seen = look(rig);
    for (size_t i = 0; i < lines; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "\"seq\":%zu,", i + 1);
        assert_non_null(strstr(seen->seen.lines[i], expected));
    }
}

/* The controller is gone, what it knows is kept: as a database would. Returns its port. */
static void what_ended_while_the_agent_was_away_is_found(void **state)
{
    struct rig *rig = *state;
    train(rig, "step 1; while ! test -e \"$REPRISE_DATA_DIR/go\"; do sleep 0.01; done\n"
               "save 7; exit 9\n");
    size_t one = 1;
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    (void)end_agent(rig, SIGKILL);
    let_go_on(rig);
    assert_true(wait_pid_gone(rank));
    start_agent(rig, "cpu:2", false);
    assert_int_equal(await(rig, ended).number, 9);
    assert_true(fake_wait(rig->fake, has_uploads, &one));
}

static void a_runner_that_dies_is_named_and_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    char path[512];
    train(rig, "sh -c 'while :; do sleep 1; done' & echo $! >\"$REPRISE_OUTPUT_DIR/child\"\n"
               "echo $PPID >\"$REPRISE_OUTPUT_DIR/runner\"; wait\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    attempt_path(rig, "output/runner", path);
    const pid_t runner = (pid_t)wait_number(path);
    attempt_path(rig, "output/child", path);
    const pid_t child = (pid_t)wait_number(path);
    assert_true(pid_alive(child));
    assert_int_equal(kill(runner, SIGKILL), 0);
    const struct about end = await(rig, ended);
    assert_string_equal(end.word, "runner_lost");
    assert_true(wait_pid_gone(rank) && wait_pid_gone(child));
}

static void nothing_is_lost_while_the_controller_is_away(void **state)
{
    struct rig *rig = *state;
    size_t lines = 2;
    size_t uploads = 1;
    train(rig, "step 1; while ! test -e \"$REPRISE_DATA_DIR/go\"; do sleep 0.01; done\n"
               "step 2; save 3; step 4; exit 3\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    const uint16_t port = take_controller_away(rig);
    let_go_on(rig);
    assert_true(wait_pid_gone(rank));
    bring_controller_back(rig, port);
    assert_int_equal(await(rig, ended).number, 3);
    lines = 5;
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    assert_true(fake_wait(rig->fake, has_uploads, &uploads));
}

static void after_an_outage_only_the_newest_checkpoint_goes_up(void **state)
{
    struct rig *rig = *state;
    char path[512];
    size_t lines = 2;
    train(rig, "step 1; while ! test -e \"$REPRISE_DATA_DIR/go\"; do sleep 0.01; done\n"
               "save 2; save 3; save 4; save 5; save 6; exit 3\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    const uint16_t port = take_controller_away(rig);
    let_go_on(rig);
    assert_true(wait_pid_gone(rank));
    bring_controller_back(rig, port);
    (void)await(rig, ended);
    fake_desire(rig->fake, NULL, 0);
    attempt_path(rig, "", path);
    assert_true(wait_gone(path)); /* so all is delivered */
    const struct look *seen = look(rig);
    assert_int_equal(seen->seen.line_count, 7);
    assert_in_range(seen->seen.upload_count, 1, 2); /* the first may have been on its way */
    assert_string_equal(seen->seen.uploads[seen->seen.upload_count - 1].path,
                        "/v1/agent/checkpoints/" JOB "/1/6/0");
}

static void an_agent_that_was_replaced_stops_itself_and_what_it_ran(void **state)
{
    struct rig *rig = *state;
    int status = 0;
    train(rig, "while :; do sleep 1; done\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    fake_fence(rig->fake);
    desire(rig); /* lets the held sync go */
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(wait_pid_gone(rank));
}

/* It is not known what ran, only whose it was: it is killed, told as lost, and not run again. */
static void an_attempt_whose_intent_is_torn_is_lost_and_never_run_twice(void **state)
{
    struct rig *rig = *state;
    char path[512];
    train(rig, "echo x >>\"$REPRISE_DATA_DIR/starts\"; while :; do sleep 1; done\n");
    begin(rig);
    desire(rig);
    const pid_t rank = (pid_t)await(rig, runs).number;
    (void)end_agent(rig, SIGKILL);
    attempt_path(rig, "intent.json", path);
    write_text(path, "{\"boot_id\":\"", 0600);
    start_agent(rig, "cpu:2", false);
    assert_string_equal(await(rig, ended).word, "runner_lost");
    assert_true(wait_pid_gone(rank));
    fake_desire(rig->fake, NULL, 0);
    (void)await(rig, gone);
    char starts[256];
    struct stat info;
    (void)snprintf(starts, sizeof(starts), "%s/starts", rig->dataset);
    assert_int_equal(stat(starts, &info), 0);
    assert_int_equal(info.st_size, strlen("x\n"));
}

static bool has_children(pid_t pid)
{
    char path[300];
    bool found = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, 64 * KIB);
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, entry->d_name);
        found = found || (fs_read_file(path, &text, NULL) == STATUS_OK && text.size > 0);
    }
    (void)closedir(tasks);
    return found;
}

/* A runner is reaped before its attempt is forgotten. */
static void a_node_gathers_no_zombies(void **state)
{
    struct rig *rig = *state;
    char path[512];
    train(rig, "exit 0\n");
    begin(rig);
    for (int i = 0; i < 10; i++) {
        rig->assignment.attempt = i + 1;
        desire(rig);
        (void)await(rig, ended);
        attempt_path(rig, "", path);
        fake_desire(rig->fake, NULL, 0);
        assert_true(wait_gone(path));
    }
    assert_false(has_children(rig->pid));
}

static void a_fenced_attempt_has_its_uploads_dropped(void **state)
{
    struct rig *rig = *state;
    char path[512];
    train(rig, "save 1; save 2; exit 1\n");
    begin(rig);
    fake_refuse_uploads(rig->fake);
    desire(rig);
    assert_int_equal(await(rig, ended).number, 1);
    fake_desire(rig->fake, NULL, 0);
    attempt_path(rig, "", path);
    assert_true(wait_gone(path));
}

static void resume_from(struct rig *rig, const char *bytes)
{
    uint8_t digest[SHA256_BYTES];
    sha256_of(bytes, strlen(bytes), digest);
    rig->shard = (struct wire_shard_source){.of = 1, .bytes = (int64_t)strlen(bytes)};
    sha256_hex(digest, rig->shard.sha256);
    (void)snprintf(rig->shard.href, sizeof(rig->shard.href), "/v1/agent/checkpoints/" JOB "/1/7/0");
    rig->assignment.attempt = 2;
    rig->assignment.resume_step = 7;
    rig->assignment.shards = &rig->shard;
    rig->assignment.shard_count = 1;
}

static void a_node_resumes_from_its_own_disk(void **state)
{
    struct rig *rig = *state;
    size_t one = 1;
    train(rig, "test -e $REPRISE_RESUME_FROM/shard-00000-of-00001 && "
               "exec cat $REPRISE_RESUME_FROM/shard-00000-of-00001\nsave 7; exit 1\n");
    begin(rig);
    desire(rig);
    (void)await(rig, ended);
    assert_true(fake_wait(rig->fake, has_uploads, &one));
    resume_from(rig, "shard of step 7");
    desire(rig);
    assert_int_equal(await(rig, ended).number, 0);
    await_output(rig, "shard of step 7");
    assert_int_equal(look(rig)->seen.gets, 0);
}

static void a_node_fetches_what_it_does_not_have_and_checks_it(void **state)
{
    struct rig *rig = *state;
    train(rig, "exec cat $REPRISE_RESUME_FROM/shard-00000-of-00001\n");
    begin(rig);
    fake_serve(rig->fake, "from elsewhere");
    resume_from(rig, "from elsewhere");
    desire(rig);
    assert_int_equal(await(rig, ended).number, 0);
    await_output(rig, "from elsewhere");
    fake_serve(rig->fake, "from elsewherE");
    rig->assignment.attempt = 3;
    desire(rig);
    assert_string_equal(await(rig, ended).word, "checkpoint_corrupt");
}

static void two_ranks_share_a_node(void **state)
{
    struct rig *rig = *state;
    train(rig, "echo \"rank $RANK/$WORLD_SIZE local $LOCAL_RANK shm $REPRISE_SHARED_MEMORY.\"\n");
    begin(rig);
    rig->assignment.rank_count = 2;
    rig->assignment.world_size = 2;
    desire(rig);
    struct about second = {.attempt = 1, .rank = 1};
    assert_true(fake_wait(rig->fake, ended, &second));
    assert_int_equal(second.number, 0);
    await_output(rig, "rank 0/2 local 0 shm /proc/self/fd/9.");
    await_output(rig, "rank 1/2 local 1 shm /proc/self/fd/9.");
}

static void with_once_it_leaves_after_the_first_attempt(void **state)
{
    struct rig *rig = *state;
    int status = 0;
    rig->once = true;
    train(rig, "step 1; exit 0\n");
    begin(rig);
    desire(rig);
    (void)await(rig, ended);
    fake_desire(rig->fake, NULL, 0);
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    assert_int_equal(status, 0);
}

static void the_agent_is_small_and_quick(void **state)
{
    struct rig *rig = *state;
    char path[256];
    CLEANUP(buf_clear) struct buf text;
    struct error err = {0};
    buf_init(&text, 64 * KIB);
    train(rig, "date +%s%N >\"$REPRISE_DATA_DIR/began\"; exit 0\n");
    begin(rig);
    for (int64_t attempt = 1; attempt <= 3; attempt++) {
        rig->assignment.attempt = attempt;
        const int64_t now_ms = clock_wall_ms();
        desire(rig);
        (void)await(rig, ended);
        (void)snprintf(path, sizeof(path), "%s/began", rig->dataset);
        print_message("desired -> trainer's first lines: %.1f ms\n",
                      (double)(wait_number(path) - now_ms * 1000000) / 1e6);
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)rig->pid);
    assert_ok(fs_read_file(path, &text, &err), &err);
    const char *pss = strstr(text.data, "Pss:");
    assert_non_null(pss);
    print_message("agent PSS %ld kB\n", strtol(pss + 4, NULL, 10));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_node_joins_once_and_keeps_its_credential_to_itself),
        TEST(gpu_slots_are_refused_by_name),
        TEST(a_job_runs_and_all_it_says_arrives_in_order),
        TEST(an_end_is_told_at_once),
        TEST(what_is_not_desired_any_more_is_killed_and_its_slot_is_used_again),
        TEST(a_stop_is_graceful),
        TEST(what_never_ran_here_is_reported_as_ended),
        TEST(missing_data_is_named),
        TEST(an_agent_that_dies_disturbs_nothing),
        TEST(what_ended_while_the_agent_was_away_is_found),
        TEST(a_runner_that_dies_is_named_and_leaves_nothing),
        TEST(nothing_is_lost_while_the_controller_is_away),
        TEST(after_an_outage_only_the_newest_checkpoint_goes_up),
        TEST(an_agent_that_was_replaced_stops_itself_and_what_it_ran),
        TEST(an_attempt_whose_intent_is_torn_is_lost_and_never_run_twice),
        TEST(a_node_gathers_no_zombies),
        TEST(a_fenced_attempt_has_its_uploads_dropped),
        TEST(a_node_resumes_from_its_own_disk),
        TEST(a_node_fetches_what_it_does_not_have_and_checks_it),
        TEST(two_ranks_share_a_node),
        TEST(with_once_it_leaves_after_the_first_attempt),
        TEST(the_agent_is_small_and_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
