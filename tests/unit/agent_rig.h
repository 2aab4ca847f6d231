#ifndef TESTS_UNIT_AGENT_RIG_H
#define TESTS_UNIT_AGENT_RIG_H

/*
 * agent_rig.h - the real agent and runner with a fake controller and a trainer that is a shell script,
 * <dataset>/train.sh, which has the words "say", "save STEP" and "step STEP".
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/wire_agent.h"
#include "tests/unit/fake_controller.h"

#define JOB          "job_0123456789abcdefghjkmn"
#define NUMERICS     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEARTBEAT_MS 60000 /* long, so that what comes soon did not come by heartbeat */

struct rig {
    char dir[64];
    char bin[128], data[128], dataset[128], agent[256];
    struct fake *fake;
    pid_t pid;
    bool once;
    struct wire_assigned_rank ranks[2];
    struct wire_shard_source shard;
    struct wire_assignment assignment;
};

struct about {
    int64_t attempt, rank, number;
    char word[64]; /* a copy: the report it stands in may be replaced at any time */
};

/* For looking at what has been seen; nothing more comes when a test does. */
struct look {
    struct fake_seen seen;
};

bool copy_program(const struct rig *rig, const char *name); /* false if it is not built */
void start_agent(struct rig *rig, const char *slots, bool with_token);
int end_agent(struct rig *rig, int signal);
void train(const struct rig *rig, const char *script);
int rig_setup(void **state);
int rig_teardown(void **state);
void begin(struct rig *rig);
void desire(struct rig *rig);
bool runs(const struct fake_seen *seen, void *context);
bool ended(const struct fake_seen *seen, void *context);
bool gone(const struct fake_seen *seen, void *context);
bool synced(const struct fake_seen *seen, void *context);
bool has_lines(const struct fake_seen *seen, void *context);
bool has_result(const struct fake_seen *seen, void *context);
bool has_uploads(const struct fake_seen *seen, void *context);
bool has_output(const struct fake_seen *seen, void *context);
const json_t *rank_report(const struct fake_seen *seen, int64_t attempt, int64_t rank);
struct look *look(struct rig *rig);
struct about await(struct rig *rig, fake_predicate_fn *predicate);
void await_output(struct rig *rig, const char *text);
void attempt_path(const struct rig *rig, const char *name, char out[512]);
uint16_t take_controller_away(struct rig *rig);
void bring_controller_back(struct rig *rig, uint16_t port);
void let_go_on(const struct rig *rig);

#endif
