#include "tests/unit/agent_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"
#include "base/clock.h"
#include "base/fs.h"
#include "tests/unit/agent_programs.h"
#include "tests/unit/unit.h"

/* The trainer: does what <data>/train.sh says, with a few words to say it in. */
static const char trainer[] =
    "#!/bin/sh\n"
    "case \"$1\" in\n"
    "numerics) echo " NUMERICS " a shell; exit 0;;\n"
    "decode) echo decoded >>\"$7/decoded\"; exit 0;;\n"
    "esac\n"
    "seq=0\n"
    "say() { seq=$((seq + 1)); printf '{\"event\":\"%s\",\"seq\":%d,\"rank\":%d%s}\\n' "
    "\"$1\" $seq $RANK \"$2\" >>\"$REPRISE_EVENTS\"; }\n"
    "save() { printf 'shard of step %d' $1 >\"$REPRISE_CHECKPOINT_DIR/step-$1\"; "
    "set -- $1 \"$REPRISE_CHECKPOINT_DIR/step-$1\"; "
    "say checkpoint \",\\\"step\\\":$1,\\\"shard\\\":0,\\\"of\\\":1,\\\"path\\\":\\\"$2\\\","
    "\\\"bytes\\\":$(stat -c %s $2),\\\"sha256\\\":\\\"$(sha256sum <$2 | cut -c1-64)\\\"\"; }\n"
    "step() { say progress \",\\\"step\\\":$1\"; }\n"
    "say started ''\n"
    ". \"$REPRISE_DATA_DIR/train.sh\"\n";

/* ---------------------------------------------------------------- the rig */

bool copy_program(const struct rig *rig, const char *name)
{
    char from[512];
    char to[256];
    struct stat info;
    if (!program_path(name, from))
        return false;
    (void)snprintf(to, sizeof(to), "%s/%s", rig->bin, name);
    CLEANUP(fd_cleanup) const int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_cleanup) const int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    return in >= 0 && out >= 0 && fstat(in, &info) == 0 &&
           sendfile(out, in, NULL, (size_t)info.st_size) == info.st_size;
}

void start_agent(struct rig *rig, const char *slots, bool with_token)
{
    char url[64];
    char token[128];
    char log[128];
    struct error err = {0};
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", fake_port(rig->fake));
    (void)snprintf(token, sizeof(token), "%s/token", rig->dir);
    (void)snprintf(log, sizeof(log), "%s/agent.log", rig->dir);
    const char *argv[13] = {rig->agent, "--controller", url,           "--data", rig->data,
                            "--slots",  slots,          "--log-level", "debug"};
    size_t words = 9;
    if (rig->once)
        argv[words++] = "--once";
    if (with_token) {
        argv[words++] = "--join-token-file";
        argv[words++] = token;
    }
    const struct child_options options = {.argv = argv, .output_path = log};
    assert_ok(child_spawn(&options, &rig->pid, &err), &err);
}

int end_agent(struct rig *rig, int signal)
{
    int status = 0;
    if (rig->pid <= 0)
        return -1;
    (void)kill(rig->pid, signal);
    (void)waitpid(rig->pid, &status, 0);
    rig->pid = 0;
    return status;
}

void train(const struct rig *rig, const char *script)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/train.sh", rig->dataset);
    write_text(path, script, 0600);
}

int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    char path[256];
    assert_non_null(rig);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/agent-test-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->bin, sizeof(rig->bin), "%s/bin", rig->dir);
    (void)snprintf(rig->data, sizeof(rig->data), "%s/node", rig->dir);
    (void)snprintf(rig->dataset, sizeof(rig->dataset), "%s/dataset", rig->dir);
    (void)snprintf(rig->agent, sizeof(rig->agent), "%s/reprise-agent", rig->bin);
    assert_int_equal(mkdir(rig->bin, 0700) | mkdir(rig->dataset, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/token", rig->dir);
    write_text(path, "join-token\n", 0600);
    (void)snprintf(path, sizeof(path), "%s/reprise-trainer", rig->bin);
    write_text(path, trainer, 0700);
    rig->fake = fake_start(0, HEARTBEAT_MS);
    rig->ranks[0] = (struct wire_assigned_rank){.rank = 0, .slot = "cpu:0"};
    rig->ranks[1] = (struct wire_assigned_rank){.rank = 1, .slot = "cpu:1"};
    rig->assignment = (struct wire_assignment){.job = JOB,
                                               .attempt = 1,
                                               .project = "default",
                                               .spec = (char *)(uintptr_t) "{}",
                                               .rank_count = 1,
                                               .ranks = rig->ranks,
                                               .world_size = 1,
                                               .group_world_size = 1,
                                               .master_address = "127.0.0.1",
                                               .master_port = 29500,
                                               .secret = NUMERICS,
                                               .phase = DESIRED_RUN,
                                               .grace_ms = 2000,
                                               .orphan_timeout_ms = 60000,
                                               .max_restarts = 5};
    (void)snprintf(rig->assignment.data_dir, sizeof(rig->assignment.data_dir), "%s", rig->dataset);
    *state = rig;
    return 0;
}

/* Runners outlive their agent, and then are ours. */
static void end_runners(const struct rig *rig)
{
    char path[64];
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 64 * KIB);
    (void)rig;
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    if (fs_read_file(path, &text, NULL) != STATUS_OK)
        return;
    char *at = text.data;
    for (long pid = strtol(at, &at, 10); pid > 0; pid = strtol(at, &at, 10)) {
        (void)kill((pid_t)pid, SIGKILL);
        (void)waitpid((pid_t)pid, NULL, 0);
    }
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;
    struct error err = {0};
    (void)end_agent(rig, SIGKILL);
    end_runners(rig);
    fake_stop(rig->fake);
    if (!getenv("KEEP"))
        assert_ok(fs_remove_tree(rig->dir, &err), &err);
    free(rig);
    return 0;
}

void begin(struct rig *rig)
{
    if (!copy_program(rig, "reprise-agent") || !copy_program(rig, "reprise-runner"))
        skip();
    start_agent(rig, "cpu:2", true);
}

void desire(struct rig *rig)
{
    fake_desire(rig->fake, &rig->assignment, 1);
}

/* ---------------------------------------------------------------- what the fake has seen */

const json_t *rank_report(const struct fake_seen *seen, int64_t attempt, int64_t rank)
{
    size_t i, j;
    const json_t *entry, *report;
    json_array_foreach(seen->observed, i, entry) {
        if (json_integer_value(json_object_get(entry, "attempt")) != attempt)
            continue;
        json_array_foreach(json_object_get(entry, "ranks"), j, report) {
            if (json_integer_value(json_object_get(report, "rank")) == rank)
                return report;
        }
    }
    return NULL;
}

bool runs(const struct fake_seen *seen, void *context)
{
    struct about *about = context;
    const json_t *report = rank_report(seen, about->attempt, about->rank);
    about->number = json_integer_value(json_object_get(report, "pid"));
    return about->number > 0;
}

bool ended(const struct fake_seen *seen, void *context)
{
    struct about *about = context;
    const json_t *exit = json_object_get(rank_report(seen, about->attempt, about->rank), "exit");
    if (!json_is_object(exit))
        return false;
    about->number = json_integer_value(json_object_get(exit, "code"));
    const char *reason = json_string_value(json_object_get(exit, "reason"));
    (void)snprintf(about->word, sizeof(about->word), "%s", reason ? reason : "");
    return true;
}

bool gone(const struct fake_seen *seen, void *context)
{
    const struct about *about = context;
    return seen->observed && !rank_report(seen, about->attempt, about->rank);
}

bool synced(const struct fake_seen *seen, void *context)
{
    return seen->syncs > *(const int *)context;
}

bool has_lines(const struct fake_seen *seen, void *context)
{
    return seen->line_count >= *(const size_t *)context;
}

bool has_result(const struct fake_seen *seen, void *context)
{
    (void)context;
    return seen->result != NULL;
}

bool has_uploads(const struct fake_seen *seen, void *context)
{
    return seen->upload_count >= *(const size_t *)context;
}

bool has_output(const struct fake_seen *seen, void *context)
{
    return strstr(seen->output, *(const char *const *)context) != NULL;
}

static bool copy_seen(const struct fake_seen *seen, void *context)
{
    struct look *look = context;
    json_t *const before[] = {look->seen.observed, look->seen.result};
    look->seen = *seen;
    (void)json_incref(look->seen.observed); /* the controller may replace them at any time */
    (void)json_incref(look->seen.result);
    for (size_t i = 0; i < COUNT_OF(before); i++)
        json_decref(before[i]);
    return true;
}

struct look *look(struct rig *rig)
{
    static struct look copy;
    assert_true(fake_wait(rig->fake, copy_seen, &copy));
    return &copy;
}

struct about await(struct rig *rig, fake_predicate_fn *predicate)
{
    struct about about = {.attempt = rig->assignment.attempt};
    assert_true(fake_wait(rig->fake, predicate, &about));
    return about;
}

void await_output(struct rig *rig, const char *text)
{
    assert_true(fake_wait(rig->fake, has_output, &text));
}

void attempt_path(const struct rig *rig, const char *name, char out[512])
{
    (void)snprintf(out, 512, "%s/attempts/" JOB "/%lld%s%s", rig->data,
                   (long long)rig->assignment.attempt, name[0] ? "/" : "", name);
}

uint16_t take_controller_away(struct rig *rig)
{
    const uint16_t port = fake_port(rig->fake);
    struct fake *kept = fake_start(0, HEARTBEAT_MS);
    fake_inherit(kept, rig->fake);
    fake_stop(rig->fake);
    rig->fake = kept;
    return port;
}

void bring_controller_back(struct rig *rig, uint16_t port)
{
    struct fake *next = fake_start(port, HEARTBEAT_MS);
    fake_inherit(next, rig->fake);
    fake_stop(rig->fake);
    rig->fake = next;
}

void let_go_on(const struct rig *rig)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/go", rig->dataset);
    write_text(path, "", 0600);
}
