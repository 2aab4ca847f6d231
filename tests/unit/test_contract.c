/* test_contract.c - what a rank reads from its environment. */
#include "tests/unit/unit.h"

#include "trainer/contract.h"

#define ENOUGH                                                                             \
    "REPRISE_JOB_ID=job_1", "REPRISE_SPEC=/s", "REPRISE_EVENTS=/e", "REPRISE_DATA_DIR=/d", \
        "REPRISE_OUTPUT_DIR=/o", "REPRISE_CHECKPOINT_DIR=/k"

static enum status read_words(const char *const words[], struct contract *out, struct error *err)
{
    char *environment[64];
    size_t count = 0;
    for (; words[count] != NULL; count++)
        environment[count] = (char *)(uintptr_t)words[count]; /* execve's signature: not changed */
    environment[count] = NULL;
    return contract_read(environment, out, err);
}

static void one_rank_needs_only_its_paths(void **state)
{
    (void)state;
    const char *const words[] = {ENOUGH, "PATH=/bin", NULL};
    struct contract contract;
    struct error err = {.status = STATUS_OK};

    assert_ok(read_words(words, &contract, &err), &err);

    assert_int_equal(contract.rank, 0);
    assert_int_equal(contract.world_size, 1);
    assert_int_equal(contract.attempt, 1);
    assert_int_equal(contract.resume_step, 0);
    assert_null(contract.resume_from);
    assert_null(contract.data_cache);
    assert_null(contract.progress_path);
    assert_string_equal(contract.checkpoint_dir, "/k");
    assert_int_equal(contract.hang_timeout_ms, CONTRACT_HANG_DEFAULT_MS);
    assert_int_equal(contract.setup_timeout_ms, CONTRACT_SETUP_DEFAULT_MS);
    assert_false(contract.standalone);
}

static void a_gang_reads_its_places(void **state)
{
    (void)state;
    const char *const words[] = {ENOUGH,
                                 "RANK=3",
                                 "WORLD_SIZE=4",
                                 "LOCAL_RANK=1",
                                 "LOCAL_WORLD_SIZE=2",
                                 "GROUP_RANK=1",
                                 "GROUP_WORLD_SIZE=2",
                                 "MASTER_ADDR=10.0.0.1",
                                 "MASTER_PORT=29500",
                                 "REPRISE_RENDEZVOUS_SECRET_FILE=/secret",
                                 "REPRISE_ATTEMPT=7",
                                 "REPRISE_RESUME_FROM=/r",
                                 "REPRISE_RESUME_STEP=120",
                                 "REPRISE_HANG_TIMEOUT_MS=0",
                                 NULL};
    struct contract contract;
    struct error err = {.status = STATUS_OK};

    assert_ok(read_words(words, &contract, &err), &err);

    assert_int_equal(contract.rank, 3);
    assert_int_equal(contract.world_size, 4);
    assert_int_equal(contract.local_rank, 1);
    assert_int_equal(contract.group_world_size, 2);
    assert_string_equal(contract.master_address, "10.0.0.1");
    assert_int_equal(contract.master_port, 29500);
    assert_int_equal(contract.attempt, 7);
    assert_string_equal(contract.resume_from, "/r");
    assert_int_equal(contract.resume_step, 120);
    assert_int_equal(contract.hang_timeout_ms, CONTRACT_HANG_DEFAULT_MS);
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *const words[12];
        const char *text;
    } cases[] = {
        {{ENOUGH, "RANK=x", NULL}, "RANK: expected a number 0..2147483646, got \"x\""},
        {{ENOUGH, "RANK=-1", NULL}, "RANK: expected a number 0..2147483646, got \"-1\""},
        {{ENOUGH, "RANK=1 ", NULL}, "RANK: expected a number 0..2147483646, got \"1 \""},
        {{ENOUGH, "RANK=1", NULL}, "RANK 1 is not below WORLD_SIZE 1"},
        {{ENOUGH, "LOCAL_RANK=1", NULL}, "LOCAL_RANK or GROUP_RANK is not below its size"},
        {{ENOUGH, "WORLD_SIZE=2", NULL}, "MASTER_ADDR is not set"},
        {{ENOUGH, "WORLD_SIZE=2", "MASTER_ADDR=h", NULL},
         "REPRISE_RENDEZVOUS_SECRET_FILE is not set"},
        {{ENOUGH, "WORLD_SIZE=2", "MASTER_ADDR=h", "REPRISE_RENDEZVOUS_SECRET_FILE=/s", NULL},
         "MASTER_PORT is not set"},
        {{ENOUGH, "MASTER_PORT=70000", NULL},
         "MASTER_PORT: expected a number 0..65535, got \"70000\""},
        {{"REPRISE_JOB_ID=j", "REPRISE_SPEC=", NULL}, "REPRISE_SPEC is not set"},
        {{"PATH=/bin", NULL}, "REPRISE_JOB_ID is not set"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct contract contract;
        struct error err = {.status = STATUS_OK};
        assert_fails(read_words(cases[i].words, &contract, &err), &err, STATUS_INVALID,
                     cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_needs_only_its_paths),
        cmocka_unit_test(a_gang_reads_its_places),
        cmocka_unit_test(wrong_words_are_named),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
