/* test_runner.c - the real reprise-runner with small shell children. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/link.h"
#include "agent/local.h"
#include "agent/orders.h"
#include "agent/probe.h"
#include "agent/runner/runner_orders.h"
#include "agent/runner_news.h"
#include "base/clock.h"
#include "base/fs.h"
#include "tests/unit/agent_programs.h"
#include "tests/unit/unit.h"

#define HEAR_MS      10000
#define RANKS_MAX    4
#define MEMORY_BYTES (48 * MIB)

struct rig {
    char runner[512];
    char folder[256];
    struct buf orders;
    int64_t ranks;
    pid_t pid;
    int link_fd;
    struct local *local;
    bool silent; /* the runner has closed the link */
};

/* What a test wants otherwise; 0 keeps the default. */
struct wishes {
    int64_t lease_ms;
    bool stop_on_lease_loss;
    int64_t orphan_timeout_ms;
    int64_t hang_timeout_ms;
    int64_t setup_timeout_ms;
    const char *cgroup; /* "kind parent"; NULL: none */
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->link_fd = -1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/runner-test-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    buf_init(&rig->orders, MIB);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    if (rig->pid > 0) {
        (void)kill(rig->pid, SIGKILL);
        (void)waitpid(rig->pid, NULL, 0);
    }
    if (rig->link_fd >= 0)
        (void)close(rig->link_fd);
    if (rig->local) {
        rig->local->link_fd = -1;
        local_free(rig->local);
    }
    buf_clear(&rig->orders);
    struct error err = {0};
    assert_ok(fs_remove_tree(rig->folder, &err), &err);
    free(rig);
    return 0;
}

static void number(struct rig *rig, const char *key, int64_t value)
{
    buf_printf(&rig->orders, "%s %lld\n", key, (long long)value);
}

static void begin(struct rig *rig, const struct wishes *wishes)
{
    if (!program_path("reprise-runner", rig->runner))
        skip();
    number(rig, "reprise-orders", 1);
    orders_append_line(&rig->orders, "job", "job_test");
    number(rig, "attempt", 2);
    orders_append_line(&rig->orders, "boot_id", "boot-1");
    number(rig, "lease_boot_ms",
           clock_boot_ms() + (wishes->lease_ms > 0 ? wishes->lease_ms : 60000));
    number(rig, "stop_on_lease_loss", wishes->stop_on_lease_loss);
    number(rig, "orphan_timeout_ms",
           wishes->orphan_timeout_ms > 0 ? wishes->orphan_timeout_ms : 60000);
    number(rig, "kill_budget_ms", 200);
    number(rig, "hang_timeout_ms", wishes->hang_timeout_ms);
    number(rig, "hang_grace_ms", 100);
    number(rig, "setup_timeout_ms",
           wishes->setup_timeout_ms > 0 ? wishes->setup_timeout_ms : 60000);
    number(rig, "shared_memory", 1);
    orders_append_line(&rig->orders, "cgroup", wishes->cgroup ? wishes->cgroup : "none ");
}

static void add_rank(struct rig *rig, const char *program, const char *script)
{
    char path[512];
    number(rig, "rank", rig->ranks);
    number(rig, "memory_bytes", MEMORY_BYTES); /* counts only in a control group */
    orders_append_line(&rig->orders, "cwd", rig->folder);
    (void)snprintf(path, sizeof(path), "%s/out-%lld", rig->folder, (long long)rig->ranks);
    orders_append_line(&rig->orders, "stdout", path);
    orders_append_line(&rig->orders, "stderr", path);
    orders_append_line(&rig->orders, "arg", program);
    orders_append_line(&rig->orders, "arg", "-c");
    orders_append_line(&rig->orders, "arg", script);
    orders_append_line(&rig->orders, "env", "PATH=/usr/bin:/bin");
    orders_append_line(&rig->orders, "env", "STRANGE=two\nlines\\and a \\n");
    rig->ranks++;
}

static void start(struct rig *rig)
{
    struct error err = {0};
    char path[512];
    int listen_fd = -1;
    number(rig, "end", 1);
    (void)snprintf(path, sizeof(path), "%s/" RUNNER_ORDERS_NAME, rig->folder);
    write_text(path, rig->orders.data, 0600);
    assert_ok(link_listen(rig->folder, &listen_fd, &err), &err);
    assert_ok(link_connect(rig->folder, &rig->link_fd, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/runner.log", rig->folder);
    const char *const argv[] = {rig->runner, rig->folder, NULL};
    const struct child_options options = {
        .argv = argv, .output_path = path, .keep_fd = listen_fd, .keep_as = RUNNER_LISTEN_FD};
    assert_ok(child_spawn(&options, &rig->pid, &err), &err);
    (void)close(listen_fd);

    struct wire_assigned_rank ranks[RANKS_MAX] = {0};
    struct wire_assignment assignment = {
        .job = "job_test", .attempt = 2, .rank_count = (size_t)rig->ranks, .ranks = ranks};
    for (int64_t i = 0; i < rig->ranks; i++)
        ranks[i].rank = i;
    assert_ok(local_new(&assignment, NULL, &rig->local, &err), &err);
    (void)snprintf(rig->local->folder, sizeof(rig->local->folder), "%s", rig->folder);
}

static void hear_once(struct rig *rig)
{
    struct runner_news news;
    int page_fd;
    struct pollfd look = {.fd = rig->link_fd, .events = POLLIN};
    assert_int_equal(poll(&look, 1, HEAR_MS), 1);
    switch (link_receive(rig->link_fd, &news, &page_fd)) {
    case LINK_NEWS:
        (void)runner_news_apply(rig->local, &news, page_fd);
        break;
    case LINK_CLOSED:
        rig->silent = true;
        break;
    case LINK_NOTHING:
        break;
    }
}

/* Until every rank has a pid or an end. */
static void hear_pids(struct rig *rig)
{
    for (size_t i = 0; i < rig->local->rank_count; i++) {
        while (rig->local->ranks[i].pid == 0 && !rig->local->ranks[i].ended && !rig->silent)
            hear_once(rig);
    }
}

static void hear_ends(struct rig *rig)
{
    while (!local_all_ended(rig->local) && !rig->silent)
        hear_once(rig);
    assert_true(local_all_ended(rig->local));
}

static void file_in(const struct rig *rig, const char *name, char out[512])
{
    (void)snprintf(out, 512, "%s/%s", rig->folder, name);
}

static void tell(struct rig *rig, enum runner_command_kind kind, int64_t value_ms)
{
    struct error err = {0};
    assert_ok(link_send(rig->link_fd, kind, value_ms, &err), &err);
}

static void exit_codes_and_signals_are_told_as_they_were(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "exit 0");
    add_rank(rig, "/bin/sh", "exit 69");
    add_rank(rig, "/bin/sh", "kill -SEGV $$");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_code, 0);
    assert_int_equal(rig->local->ranks[1].exit_code, 69);
    assert_int_equal(rig->local->ranks[2].exit_code, -1);
    assert_int_equal(rig->local->ranks[2].exit_signal, SIGSEGV);
    assert_int_equal(rig->local->ranks[2].exit_reason, REASON_NONE);
    const int64_t age_ms = clock_boot_ms() - rig->local->ranks[1].end_boot_ms;
    assert_in_range(age_ms, 0, HEAR_MS);
}

static void what_is_told_is_on_disk_before(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "exit 7");
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    start(rig);
    while (!rig->local->ranks[0].ended)
        hear_once(rig);
    struct local_rank heard = rig->local->ranks[0];
    memset(&rig->local->ranks[0].ended, 0, sizeof(rig->local->ranks[0].ended));
    rig->local->ranks[0].exit_code = 0;
    assert_ok(local_read_exits(rig->local, &err), &err);
    assert_true(rig->local->ranks[0].ended);
    assert_int_equal(rig->local->ranks[0].exit_code, 7);
    assert_int_equal(rig->local->ranks[0].end_boot_ms, heard.end_boot_ms);
    assert_int_equal(rig->local->ranks[0].pid, heard.pid);
    assert_false(rig->local->ranks[1].ended);
    tell(rig, RUNNER_KILL, 0);
    hear_ends(rig);
}

/* Magic, phase, step as progress_page.h has them; the page itself goes with the runner. */
static void how_far_a_rank_came_is_on_record(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh",
             "printf 'prepage1\\5\\0\\0\\0\\0\\0\\0\\0\\14\\0\\0\\0\\0\\0\\0\\0' "
             "1<>/proc/self/fd/8; exit 0");
    add_rank(rig, "/bin/sh", "exit 0");
    start(rig);
    hear_ends(rig);
    assert_ok(local_read_exits(rig->local, &err), &err);
    assert_int_equal(rig->local->ranks[0].step, 12);
    assert_int_equal(rig->local->ranks[0].phase, PROGRESS_DONE);
    assert_int_equal(rig->local->ranks[1].step, 0);
}

static void a_rank_gets_its_words_environment_and_memory(void **state)
{
    struct rig *rig = *state;
    char path[512];
    CLEANUP(buf_clear) struct buf text;
    struct error err = {0};
    buf_init(&text, 64 * KIB);
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh",
             "printf '%s|' \"$STRANGE\" \"$(pwd)\" \"$(stat -L -c %s /proc/self/fd/8)\" "
             "\"$(ls /proc/self/fd | tr '\\n' ' ')\"; printf shared 1<>/proc/self/fd/9");
    start(rig);
    hear_ends(rig);
    file_in(rig, "out-0", path);
    assert_ok(fs_read_file(path, &text, &err), &err);
    char expected[1024];
    (void)snprintf(expected, sizeof(expected), "two\nlines\\and a \\n|%s|4096|0 1 2 3 8 9 |",
                   rig->folder);
    assert_string_equal(text.data, expected);
}

static void a_program_that_is_not_there_is_a_failed_start_of_all(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    add_rank(rig, "/no/such/program", "");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[1].exit_reason, REASON_START_FAILED);
    assert_string_equal(rig->local->ranks[1].detail,
                        "start /no/such/program: No such file or directory");
    assert_int_equal(rig->local->ranks[0].exit_signal, SIGKILL);
}

static void output_that_cannot_be_opened_is_a_failed_start(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "exit 0");
    orders_append_line(&rig->orders, "stdout", "/no/such/folder/stdout");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_reason, REASON_START_FAILED);
    assert_string_equal(rig->local->ranks[0].detail, "start /bin/sh: No such file or directory");
}

/* More of them than one look at the list of children holds. */
static void many_orphans_of_a_rank_end_with_it(void **state)
{
    struct rig *rig = *state;
    char path[512];
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh",
             "i=0; while test $i -lt 1000; do setsid sleep 600 & i=$((i + 1)); done; "
             "echo $! >last; while ! grep -q sleep /proc/$!/comm; do sleep 0.01; done");
    start(rig);
    hear_ends(rig);
    file_in(rig, "last", path);
    assert_true(wait_pid_gone((pid_t)wait_number(path)));
    int status = 0;
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    assert_int_equal(status, 0);
}

static void killing_the_runner_kills_its_ranks(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    start(rig);
    hear_pids(rig);
    const pid_t rank = (pid_t)rig->local->ranks[0].pid;
    assert_true(pid_alive(rank));
    assert_int_equal(kill(rig->pid, SIGKILL), 0);
    (void)waitpid(rig->pid, NULL, 0);
    rig->pid = 0;
    assert_true(wait_pid_gone(rank));
    while (!rig->silent)
        hear_once(rig);
}

static void stop_gives_grace_and_then_kills(void **state)
{
    struct rig *rig = *state;
    char path[512];
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "trap 'exit 75' TERM; echo 1 >ready-0; while :; do sleep 0.01; done");
    add_rank(rig, "/bin/sh", "trap '' TERM; echo 1 >ready-1; while :; do sleep 0.01; done");
    start(rig);
    hear_pids(rig);
    file_in(rig, "ready-0", path);
    assert_int_equal(wait_number(path), 1);
    file_in(rig, "ready-1", path);
    assert_int_equal(wait_number(path), 1);
    tell(rig, RUNNER_STOP, 300);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_code, 75);
    assert_int_equal(rig->local->ranks[1].exit_signal, SIGKILL);
    assert_true(rig->local->ranks[1].end_boot_ms - rig->local->ranks[0].end_boot_ms > 100);
}

static void a_checkpoint_is_asked_for_by_sigusr1(void **state)
{
    struct rig *rig = *state;
    char path[512];
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "trap 'exit 5' USR1; echo 1 >ready; while :; do sleep 0.01; done");
    start(rig);
    file_in(rig, "ready", path);
    assert_int_equal(wait_number(path), 1);
    tell(rig, RUNNER_CHECKPOINT, 0);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_code, 5);
}

static void children_of_a_rank_end_with_it(void **state)
{
    struct rig *rig = *state;
    char path[512];
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh",
             "sleep 60 & echo $! >near; setsid sh -c 'echo $$ >far; exec sleep 60' & "
             "while ! test -s far; do sleep 0.01; done");
    start(rig);
    hear_ends(rig);
    file_in(rig, "near", path);
    assert_true(wait_pid_gone((pid_t)wait_number(path)));
    file_in(rig, "far", path);
    assert_true(wait_pid_gone((pid_t)wait_number(path)));
}

static void a_rank_that_never_gets_up_is_a_hang(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){.setup_timeout_ms = 200});
    add_rank(rig, "/bin/sh", "trap '' ABRT; while :; do sleep 1; done");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_reason, REASON_HANG);
    assert_int_equal(rig->local->ranks[0].exit_signal, SIGKILL);
    assert_non_null(strstr(rig->local->ranks[0].detail, "in phase setup"));
}

static void a_rank_that_stops_stepping_is_a_hang_and_its_peers_end(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){.hang_timeout_ms = 200});
    add_rank(rig, "/bin/sh",
             "printf 'prepage1\\001\\0\\0\\0\\0\\0\\0\\0\\005\\0\\0' 1<>/proc/self/fd/8; "
             "while :; do sleep 1; done");
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_reason, REASON_HANG);
    assert_non_null(strstr(rig->local->ranks[0].detail, "in phase step at step 5, limit 200 ms"));
    assert_int_equal(rig->local->ranks[1].exit_reason, REASON_HANG);
    assert_int_equal(rig->local->ranks[1].exit_signal, SIGABRT);
}

static void a_page_cannot_be_truncated_under_its_readers(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "if : >/proc/self/fd/8; then exit 1; fi; exit 0");
    start(rig);
    hear_ends(rig);
    assert_int_not_equal(rig->local->ranks[0].exit_code, 1);
    assert_non_null(rig->local->ranks[0].page);
    assert_int_equal(
        atomic_load(&((struct progress_page *)(uintptr_t)rig->local->ranks[0].page)->magic), 0);
}

static void an_expired_lease_stops_ranks_that_must_not_go_on(void **state)
{
    struct rig *rig = *state;
    begin(rig,
          &(struct wishes){.lease_ms = 300, .stop_on_lease_loss = true, .setup_timeout_ms = 400});
    add_rank(rig, "/bin/sh", "trap 'exit 75' TERM; while :; do sleep 0.01; done");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_code, 75);
    assert_int_equal(rig->local->ranks[0].exit_reason, REASON_NODE_LOST);
}

static void a_renewed_lease_keeps_ranks_and_an_orphan_timeout_ends_them(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){.lease_ms = 1, .orphan_timeout_ms = 400});
    add_rank(rig, "/bin/sh", "while :; do sleep 0.01; done");
    const int64_t began_ms = clock_boot_ms();
    start(rig);
    tell(rig, RUNNER_LEASE, began_ms + 300);
    hear_ends(rig);
    assert_true(rig->local->ranks[0].end_boot_ms >= began_ms + 700);
    assert_int_equal(rig->local->ranks[0].exit_reason, REASON_NODE_LOST);
}

static void another_agent_can_take_over(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    start(rig);
    hear_pids(rig);
    const int64_t pid = rig->local->ranks[0].pid;
    (void)close(rig->link_fd);
    rig->local->ranks[0].pid = 0;
    rig->local->answered = false;
    assert_ok(link_connect(rig->folder, &rig->link_fd, &err), &err);
    hear_pids(rig);
    assert_true(rig->local->answered);
    assert_int_equal(rig->local->ranks[0].pid, pid);
    tell(rig, RUNNER_KILL, 0);
    hear_ends(rig);
    while (!rig->silent)
        hear_once(rig);
    assert_int_equal(link_connect(rig->folder, &(int){-1}, &err), STATUS_NOT_FOUND);
}

static void torn_orders_start_nothing(void **state)
{
    struct rig *rig = *state;
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "echo 1 >started");
    rig->orders.size -= 20; /* and start() appends "end 1" to half a line */
    rig->orders.data[rig->orders.size] = 0;
    start(rig);
    while (!rig->silent)
        hear_once(rig);
    char path[512];
    file_in(rig, "started", path);
    assert_false(fs_exists(path));
    int status = 0;
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    assert_int_equal(WEXITSTATUS(status), 64);
}

static void memory_beyond_the_limit_is_told_from_other_kills(void **state)
{
    struct rig *rig = *state;
    char cgroup[512];
    struct site *site = calloc(1, sizeof(*site));
    assert_non_null(site);
    probe_cgroup(site);
    (void)snprintf(cgroup, sizeof(cgroup), "%s %s", site->cgroup_kind, site->cgroup_parent);
    const bool none = strcmp(site->cgroup_kind, "none") == 0;
    free(site);
    if (none)
        skip();
    begin(rig, &(struct wishes){.cgroup = cgroup});
    add_rank(rig, "/bin/sh", "exec tail /dev/zero");
    add_rank(rig, "/bin/sh", "kill -KILL $$");
    start(rig);
    hear_ends(rig);
    assert_int_equal(rig->local->ranks[0].exit_signal, SIGKILL);
    assert_true(rig->local->ranks[0].exit_oom);
    assert_int_equal(rig->local->ranks[1].exit_signal, SIGKILL);
    assert_false(rig->local->ranks[1].exit_oom);
    char group[768];
    (void)snprintf(group, sizeof(group), "%s/reprise.job_test.2.0", strchr(cgroup, ' ') + 1);
    assert_false(fs_exists(group));
}

static void the_runner_is_small(void **state)
{
    struct rig *rig = *state;
    char path[64];
    CLEANUP(buf_clear) struct buf text;
    struct error err = {0};
    buf_init(&text, 64 * KIB);
    begin(rig, &(struct wishes){0});
    add_rank(rig, "/bin/sh", "while :; do sleep 1; done");
    start(rig);
    hear_pids(rig);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)rig->pid);
    assert_ok(fs_read_file(path, &text, &err), &err);
    const char *rss = strstr(text.data, "VmRSS:");
    assert_non_null(rss);
    print_message("runner VmRSS %ld kB\n", strtol(rss + 6, NULL, 10));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(strtol(rss + 6, NULL, 10) <= 2048);
#endif
}

static void help_and_version_need_no_orders(void **state)
{
    struct rig *rig = *state;
    if (!program_path("reprise-runner", rig->runner))
        skip();
    static const char *const words[] = {"--help", "--version"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        int status = -1;
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            execl(rig->runner, rig->runner, words[i], (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(exit_codes_and_signals_are_told_as_they_were),
        TEST(what_is_told_is_on_disk_before),
        TEST(how_far_a_rank_came_is_on_record),
        TEST(a_rank_gets_its_words_environment_and_memory),
        TEST(a_program_that_is_not_there_is_a_failed_start_of_all),
        TEST(output_that_cannot_be_opened_is_a_failed_start),
        TEST(many_orphans_of_a_rank_end_with_it),
        TEST(killing_the_runner_kills_its_ranks),
        TEST(stop_gives_grace_and_then_kills),
        TEST(a_checkpoint_is_asked_for_by_sigusr1),
        TEST(children_of_a_rank_end_with_it),
        TEST(a_rank_that_never_gets_up_is_a_hang),
        TEST(a_rank_that_stops_stepping_is_a_hang_and_its_peers_end),
        TEST(a_page_cannot_be_truncated_under_its_readers),
        TEST(an_expired_lease_stops_ranks_that_must_not_go_on),
        TEST(a_renewed_lease_keeps_ranks_and_an_orphan_timeout_ends_them),
        TEST(another_agent_can_take_over),
        TEST(torn_orders_start_nothing),
        TEST(memory_beyond_the_limit_is_told_from_other_kills),
        TEST(the_runner_is_small),
        TEST(help_and_version_need_no_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
