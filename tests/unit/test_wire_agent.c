#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "schema/progress_page.h"
#include "schema/wire_agent.h"
#include "schema/wire_slot.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct json_problems problems;

static struct json_at root_of(const json_t *document)
{
    problems.count = 0;
    problems.dropped = 0;
    return json_at_root(document, &problems);
}

/* What the other end parses: through text, as on the wire. Takes the reference. */
static json_t *through_text(json_t *value)
{
    struct error err = {.status = STATUS_OK};
    assert_non_null(value);
    char *text = json_text(value);
    json_decref(value);
    json_t *parsed = NULL;
    assert_ok(json_parse(text, strlen(text), &parsed, &err), &err);
    free(text);
    return parsed;
}

static void assert_no_problems(void)
{
    struct error err = {.status = STATUS_OK};
    assert_ok(json_problems_status(&problems, &err), &err);
}

static void assert_first_problem(const char *message)
{
    struct error err = {.status = STATUS_OK};
    assert_fails(json_problems_status(&problems, &err), &err, STATUS_INVALID, message);
}

/* ------------------------------------------------------------------ join */

static void a_join_survives_the_wire(void **state)
{
    (void)state;
    static struct wire_join sent = {
        .join_token = "rp_join_1_secret",
        .hostname = "gpu-07",
        .address = "10.0.0.7",
        .boot_id = "1f0c",
        .numerics = "abc",
        .cpu_count = 64,
        .memory_bytes = INT64_C(1) << 38,
        .port_first = 29500,
        .port_last = 29999,
        .version = "0.1.0",
        .slots = {{.slot = "cpu:0", .kind = "cpu", .index = 0, .name = "cores 0-3"},
                  {.slot = "cuda:1",
                   .kind = "cuda",
                   .index = 1,
                   .uuid = "GPU-1",
                   .memory_bytes = INT64_C(80) << 30}},
        .slot_count = 2,
        .labels = {{.key = "zone", .value = "a"}},
        .label_count = 1,
    };
    static struct wire_join received;
    memset(&received, 0, sizeof(received));
    CLEANUP(json_cleanup) json_t *json = through_text(wire_join_encode(&sent));
    const struct json_at root = root_of(json);
    wire_join_decode(&root, &received);
    assert_no_problems();
    assert_memory_equal(&sent, &received, sizeof(sent));

    const struct wire_join_answer answer = {
        .node_id = "node_1", .node_token = "rp_node_1_secret", .profile = "fast"};
    struct wire_join_answer got = {.node_id = ""};
    CLEANUP(json_cleanup) json_t *answer_json = through_text(wire_join_answer_encode(&answer));
    const struct json_at answer_root = root_of(answer_json);
    wire_join_answer_decode(&answer_root, &got);
    assert_no_problems();
    assert_string_equal(got.node_id, "node_1");
    assert_string_equal(got.node_token, "rp_node_1_secret");
    assert_string_equal(got.profile, "fast");
}

static void a_join_without_its_token_is_refused(void **state)
{
    (void)state;
    static struct wire_join join;
    memset(&join, 0, sizeof(join));
    CLEANUP(json_cleanup)
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:i}], s:i, s:i}", "hostname", "h",
                             "address", "a", "boot_id", "b", "numerics", "n", "slots", "kind",
                             "cpu", "index", 256, "port_first", 10, "port_last", 5);
    const struct json_at root = root_of(json);
    wire_join_decode(&root, &join);
    assert_int_equal(problems.count, 3);
    assert_string_equal(problems.items[1].pointer, "/port_last");
    assert_string_equal(problems.items[2].pointer, "/slots/0/index");
    assert_first_problem("/join_token: expected string, got nothing (and 2 more problems)");
}

/* A slot of a kind that nobody knows would be given a job that it can't run. */
static void a_slot_of_an_unknown_kind_is_refused(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *document = json_pack("{s:s, s:i}", "kind", "tpu", "index", 0);
    struct wire_slot slot = {.index = 0};
    const struct json_at root = root_of(document);
    wire_slot_decode(&root, &slot);
    assert_int_equal(problems.count, 1);
    assert_first_problem("/kind: expected \"cpu\" or \"cuda\", got string \"tpu\"");
}

/* ------------------------------------------------------------------ sync */

static void a_sync_survives_the_wire(void **state)
{
    (void)state;
    struct wire_rank_report ranks[2] = {{.rank = 0,
                                         .slot = "cpu:0",
                                         .pid = 4711,
                                         .verdict = VERDICT_ALIVE,
                                         .phase = PROGRESS_STEP,
                                         .step = 812,
                                         .collective = 1624,
                                         .waiting_ms = 40},
                                        {.rank = 3,
                                         .slot = "cpu:1",
                                         .pid = 4712,
                                         .verdict = VERDICT_DEAD,
                                         .phase = PROGRESS_EVAL,
                                         .exited = true,
                                         .exit_code = -1,
                                         .exit_signal = 9,
                                         .exit_oom = true,
                                         .exit_reason = REASON_OOM,
                                         .exit_age_ms = 12,
                                         .detail = "killed at 512 MiB"}};
    struct wire_attempt_report attempts[1] = {
        {.job = "job_1", .attempt = 2, .rank_count = 2, .ranks = ranks}};
    struct wire_slot slots[1] = {{.slot = "cpu:0", .kind = "cpu", .index = 0}};
    const struct wire_sync sent = {.session = 7,
                                   .boot_id = "1f0c",
                                   .seq = 42,
                                   .revision_seen = 9,
                                   .news = true,
                                   .attempt_count = 1,
                                   .attempts = attempts,
                                   .slot_count = 1,
                                   .slots = slots};
    CLEANUP(json_cleanup) json_t *json = through_text(wire_sync_encode(&sent));
    CLEANUP(wire_sync_clear) struct wire_sync got = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_decode(&root, &got);
    assert_no_problems();
    assert_int_equal(got.session, 7);
    assert_string_equal(got.boot_id, "1f0c");
    assert_int_equal(got.seq, 42);
    assert_int_equal(got.revision_seen, 9);
    assert_true(got.news);
    assert_int_equal(got.attempt_count, 1);
    assert_string_equal(got.attempts[0].job, "job_1");
    assert_int_equal(got.attempts[0].attempt, 2);
    assert_int_equal(got.attempts[0].rank_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct wire_rank_report *rank = &got.attempts[0].ranks[i];
        assert_int_equal(rank->rank, ranks[i].rank);
        assert_string_equal(rank->slot, ranks[i].slot);
        assert_int_equal(rank->pid, ranks[i].pid);
        assert_int_equal(rank->verdict, ranks[i].verdict);
        assert_int_equal(rank->phase, ranks[i].phase);
        assert_int_equal(rank->step, ranks[i].step);
        assert_int_equal(rank->collective, ranks[i].collective);
        assert_int_equal(rank->waiting_ms, ranks[i].waiting_ms);
        assert_int_equal(rank->exited, ranks[i].exited);
        assert_int_equal(rank->exit_code, ranks[i].exit_code);
        assert_int_equal(rank->exit_signal, ranks[i].exit_signal);
        assert_int_equal(rank->exit_oom, ranks[i].exit_oom);
        assert_int_equal(rank->exit_reason, ranks[i].exit_reason);
        assert_int_equal(rank->exit_age_ms, ranks[i].exit_age_ms);
        assert_string_equal(rank->detail, ranks[i].detail);
    }
    assert_int_equal(got.slot_count, 1);
    assert_memory_equal(&got.slots[0], &slots[0], sizeof(slots[0]));
}

static json_t *parse(const char *text)
{
    struct error err = {.status = STATUS_OK};
    json_t *document = NULL;
    assert_ok(json_parse(text, strlen(text), &document, &err), &err);
    return document;
}

static void words_of_a_newer_agent_are_taken_the_safe_way(void **state)
{
    (void)state;
    CLEANUP(json_cleanup)
    json_t *json = parse(
        "{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"slots\":[],\"mood\":\"new\",\"observed\":[{"
        "\"job\":\"job_1\",\"attempt\":1,\"ranks\":[{\"rank\":0,\"verdict\":\"dreaming\","
        "\"phase\":\"dancing\",\"exit\":{\"code\":3,\"reason\":\"bored\"}}]}]}");
    CLEANUP(wire_sync_clear) struct wire_sync sync = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_decode(&root, &sync);
    assert_no_problems();
    const struct wire_rank_report *rank = &sync.attempts[0].ranks[0];
    assert_int_equal(rank->verdict, VERDICT_UNKNOWN);
    assert_int_equal(rank->phase, PROGRESS_SETUP);
    assert_int_equal(rank->exit_reason, REASON_INTERNAL);
}

static void a_wrong_sync_is_refused_and_can_be_cleared(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {"7", "document: expected object, got integer 7"},
        {"{\"session\":-1,\"boot_id\":\"b\",\"seq\":1,\"observed\":[],\"slots\":[]}",
         "/session: expected integer 0..1000000000000000, got integer -1"},
        {"{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"observed\":{},\"slots\":[]}",
         "/observed: expected array, got object"},
        {"{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"observed\":[7],\"slots\":[]}",
         "/observed/0: expected object, got integer 7"},
        {"{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"slots\":[],\"observed\":[{\"job\":\"j\","
         "\"attempt\":1,\"ranks\":[{\"rank\":0},{\"rank\":0,\"exit\":{}}]}]}",
         "/observed/0/ranks/1/exit/code: expected integer -1..255, got nothing"},
        {"{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"slots\":[],\"observed\":[{\"job\":\"j\","
         "\"attempt\":0,\"ranks\":[]}]}",
         "/observed/0/attempt: expected integer 1..1000000000000000, got integer 0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(json_cleanup) json_t *json = parse(cases[i].text);
        CLEANUP(wire_sync_clear) struct wire_sync sync = {.session = 0};
        const struct json_at root = root_of(json);
        wire_sync_decode(&root, &sync);
        assert_first_problem(cases[i].problem);
    }
}

static void a_sync_with_too_many_ranks_is_refused(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *ranks = json_array();
    for (int i = 0; i <= NODE_SLOTS_MAX; i++)
        (void)json_array_append_new(ranks, json_pack("{s:i}", "rank", i));
    CLEANUP(json_cleanup)
    json_t *json =
        json_pack("{s:i, s:s, s:i, s:[], s:[{s:s, s:i, s:O}]}", "session", 1, "boot_id", "b", "seq",
                  1, "slots", "observed", "job", "job_1", "attempt", 1, "ranks", ranks);
    CLEANUP(wire_sync_clear) struct wire_sync sync = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_decode(&root, &sync);
    assert_first_problem("/observed/0/ranks: expected array of at most 256, got array of 257");
    assert_int_equal(sync.attempts[0].rank_count, 0);
}

/* ------------------------------------------------------------------ what is desired */

static void an_answer_survives_the_wire(void **state)
{
    (void)state;
    static struct wire_assigned_rank ranks[2] = {
        {.rank = 2, .slot = "cpu:0"}, {.rank = 3, .slot = "cuda:1", .slot_uuid = "GPU-1"}};
    static struct wire_shard_source shards[1] = {
        {.shard = 0, .of = 1, .bytes = 1221240, .sha256 = SHA, .href = "/v1/agent/checkpoints/x"}};
    static char spec[] = "{\"a\":0.1,\"b\":[1,2.0],\"c\":{\"z\":null}}";
    static struct wire_assignment sent = {
        .job = "job_1",
        .attempt = 2,
        .project = "risk",
        .spec = spec,
        .rank_count = 2,
        .ranks = ranks,
        .world_size = 4,
        .group_rank = 1,
        .group_world_size = 2,
        .data_dir = "/data/mnist",
        .master_address = "10.0.0.7",
        .master_port = 29500,
        .secret = SHA,
        .resume_step = 700,
        .shard_count = 1,
        .shards = shards,
        .checkpoint_request = 3,
        .phase = DESIRED_STOP,
        .grace_ms = 30000,
        .stop_on_controller_loss = true,
        .orphan_timeout_ms = 43200000,
        .hang_timeout_ms = 90000,
        .restart_count = 1,
        .max_restarts = 5,
    };
    const struct wire_sync_answer answer = {.session = 7,
                                            .seq = 42,
                                            .lease_ms = 15000,
                                            .heartbeat_ms = 2000,
                                            .kill_budget_ms = 3000,
                                            .revision = 10,
                                            .has_desired = true,
                                            .assignment_count = 1,
                                            .assignments = &sent};
    CLEANUP(json_cleanup) json_t *json = through_text(wire_sync_answer_encode(&answer));
    CLEANUP(wire_sync_answer_clear) struct wire_sync_answer got = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_answer_decode(&root, &got);
    assert_no_problems();
    assert_int_equal(got.session, 7);
    assert_int_equal(got.seq, 42);
    assert_int_equal(got.lease_ms, 15000);
    assert_int_equal(got.heartbeat_ms, 2000);
    assert_int_equal(got.kill_budget_ms, 3000);
    assert_int_equal(got.revision, 10);
    assert_true(got.has_desired);
    assert_int_equal(got.assignment_count, 1);
    struct wire_assignment *received = &got.assignments[0];
    assert_string_equal(received->spec, spec); /* byte for byte: hashes are taken of it */
    assert_int_equal(received->rank_count, 2);
    assert_memory_equal(received->ranks, ranks, sizeof(ranks));
    assert_int_equal(received->shard_count, 1);
    assert_memory_equal(received->shards, shards, sizeof(shards));
    /* Everything else is plain. */
    struct wire_assignment plain;
    memcpy(&plain, received, sizeof(plain)); /* with its padding */
    plain.spec = spec;
    plain.ranks = ranks;
    plain.shards = shards;
    assert_memory_equal(&plain, &sent, sizeof(sent));
}

static void nothing_new_is_not_nothing_desired(void **state)
{
    (void)state;
    const struct wire_sync_answer unchanged = {
        .session = 1, .lease_ms = 1500, .heartbeat_ms = 200, .revision = 3};
    struct wire_sync_answer empty = unchanged;
    empty.has_desired = true;
    CLEANUP(json_cleanup)
    json_t *unchanged_json = through_text(wire_sync_answer_encode(&unchanged));
    CLEANUP(json_cleanup) json_t *empty_json = through_text(wire_sync_answer_encode(&empty));
    CLEANUP(wire_sync_answer_clear) struct wire_sync_answer got = {.session = 0};
    const struct json_at root = root_of(unchanged_json);
    wire_sync_answer_decode(&root, &got);
    assert_no_problems();
    assert_false(got.has_desired);
    const struct json_at empty_root = root_of(empty_json);
    wire_sync_answer_decode(&empty_root, &got);
    assert_no_problems();
    assert_true(got.has_desired);
    assert_int_equal(got.assignment_count, 0);
}

static void a_desired_phase_that_nobody_knows_is_refused(void **state)
{
    (void)state;
    CLEANUP(json_cleanup)
    json_t *json =
        parse("{\"session\":1,\"seq\":1,\"lease_ms\":1,\"heartbeat_ms\":1,\"revision\":1,"
              "\"desired\":[{\"job\":\"j\",\"attempt\":1,\"spec\":{},\"ranks\":[],\"world_size\":1,"
              "\"group_rank\":0,\"group_world_size\":1,\"data_dir\":\"/d\",\"rendezvous\":{"
              "\"address\":\"a\",\"port\":70000,\"secret\":\"s\"},\"resume\":{\"step\":0,"
              "\"shards\":[]},\"phase\":\"dance\"}]}");
    CLEANUP(wire_sync_answer_clear) struct wire_sync_answer got = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_answer_decode(&root, &got);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[1].expected, "\"run\", \"stop\" or \"kill\"");
    assert_first_problem("/desired/0/rendezvous/port: expected integer 0..65535, got integer 70000 "
                         "(and 1 more problem)");
}

/* ------------------------------------------------------------------ result */

static void a_result_survives_the_wire(void **state)
{
    (void)state;
    struct wire_result sent = {.job = "job_1",
                               .attempt = 3,
                               .model_sha256 = SHA,
                               .model_file_sha256 = SHA,
                               .model_bytes = 407592};
    CLEANUP(json_cleanup) json_t *metrics = json_pack("{s:f, s:i}", "loss", 0.18, "rows", 10000);
    sent.metrics = metrics;
    CLEANUP(json_cleanup) json_t *json = through_text(wire_result_encode(&sent));
    CLEANUP(wire_result_clear) struct wire_result got = {.attempt = 0};
    const struct json_at root = root_of(json);
    wire_result_decode(&root, &got);
    assert_no_problems();
    assert_string_equal(got.job, "job_1");
    assert_int_equal(got.attempt, 3);
    assert_string_equal(got.model_sha256, SHA);
    assert_string_equal(got.model_file_sha256, SHA);
    assert_int_equal(got.model_bytes, 407592);
    assert_true(json_equal(got.metrics, metrics));
}

static void a_result_need_not_name_the_hash_of_the_file(void **state)
{
    (void)state;
    CLEANUP(json_cleanup)
    json_t *json = parse("{\"job\":\"j\",\"attempt\":1,\"model\":{\"sha256\":\"" SHA
                         "\",\"bytes\":1},\"metrics\":{}}");
    CLEANUP(wire_result_clear) struct wire_result got = {.attempt = 0};
    const struct json_at root = root_of(json);
    wire_result_decode(&root, &got);
    assert_no_problems();
    assert_string_equal(got.model_file_sha256, "");
    CLEANUP(json_cleanup) json_t *again = wire_result_encode(&got);
    assert_null(json_object_get(json_object_get(again, "model"), "file_sha256"));
}

static void an_end_by_a_signal_needs_no_code(void **state)
{
    (void)state;
    CLEANUP(json_cleanup)
    json_t *json = parse("{\"session\":1,\"boot_id\":\"b\",\"seq\":1,\"revision_seen\":0,"
                         "\"observed\":[{\"job\":\"j\",\"attempt\":1,\"ranks\":[{\"rank\":0,"
                         "\"exit\":{\"code\":null,\"signal\":9,\"oom\":false}}]}],\"slots\":[]}");
    CLEANUP(wire_sync_clear) struct wire_sync got = {.session = 0};
    const struct json_at root = root_of(json);
    wire_sync_decode(&root, &got);
    assert_no_problems();
    assert_true(got.attempts[0].ranks[0].exited);
    assert_int_equal(got.attempts[0].ranks[0].exit_code, -1);
    assert_int_equal(got.attempts[0].ranks[0].exit_signal, 9);
}

static void a_result_is_hashes_and_numbers(void **state)
{
    (void)state;
    CLEANUP(json_cleanup)
    json_t *json =
        parse("{\"job\":\"j\",\"attempt\":1,\"model\":{\"sha256\":\"ABC\",\"file_sha256\":\"" SHA
              "\",\"bytes\":1},\"metrics\":{\"loss\":\"low\"}}");
    CLEANUP(wire_result_clear) struct wire_result got = {.attempt = 0};
    const struct json_at root = root_of(json);
    wire_result_decode(&root, &got);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[1].pointer, "/metrics/loss");
    assert_first_problem("/model/sha256: expected 64 lower-case hexadecimal digits, got string "
                         "\"ABC\" (and 1 more problem)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_survives_the_wire),
        cmocka_unit_test(a_join_without_its_token_is_refused),
        cmocka_unit_test(a_slot_of_an_unknown_kind_is_refused),
        cmocka_unit_test(a_sync_survives_the_wire),
        cmocka_unit_test(words_of_a_newer_agent_are_taken_the_safe_way),
        cmocka_unit_test(a_wrong_sync_is_refused_and_can_be_cleared),
        cmocka_unit_test(a_sync_with_too_many_ranks_is_refused),
        cmocka_unit_test(an_answer_survives_the_wire),
        cmocka_unit_test(nothing_new_is_not_nothing_desired),
        cmocka_unit_test(a_desired_phase_that_nobody_knows_is_refused),
        cmocka_unit_test(a_result_survives_the_wire),
        cmocka_unit_test(a_result_need_not_name_the_hash_of_the_file),
        cmocka_unit_test(an_end_by_a_signal_needs_no_code),
        cmocka_unit_test(a_result_is_hashes_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
