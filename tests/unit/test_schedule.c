#include "tests/unit/unit.h"

#include <math.h>

#include "trainer/optim/schedule.h"

#define NEAR(actual, expected) assert_true(fabs((actual) - (expected)) < 1e-12)

static void constant_is_one_at_every_step(void **state)
{
    (void)state;
    const struct schedule_spec spec = {.type = SCHEDULE_CONSTANT};
    for (int64_t step = 1; step <= 100; step++)
        assert_true(schedule_factor(&spec, step, 100) == 1.0);
}

static void warm_up_rises_to_one_and_every_decay_begins_there(void **state)
{
    (void)state;
    for (int type = SCHEDULE_CONSTANT; type <= SCHEDULE_LINEAR; type++) {
        const struct schedule_spec spec = {
            .type = type, .warmup_steps = 10, .every_steps = 20, .factor = 0.1, .min_factor = 0.2};
        for (int64_t step = 1; step <= 10; step++)
            NEAR(schedule_factor(&spec, step, 50), (double)step / 10.0);
    }
}

static void step_takes_its_factor_every_so_many_steps(void **state)
{
    (void)state;
    struct schedule_spec spec = {.type = SCHEDULE_STEP, .every_steps = 3, .factor = 0.5};
    const double expected[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25};
    for (int64_t i = 0; i < 7; i++)
        NEAR(schedule_factor(&spec, i + 1, 7), expected[i]);
    spec.warmup_steps = 2;
    NEAR(schedule_factor(&spec, 4, 9), 1.0);
    NEAR(schedule_factor(&spec, 5, 9), 0.5);
}

static void cosine_and_linear_end_at_their_least_at_the_last_step(void **state)
{
    (void)state;
    struct schedule_spec spec = {.type = SCHEDULE_COSINE, .min_factor = 0.1};
    NEAR(schedule_factor(&spec, 1, 101), 1.0);
    NEAR(schedule_factor(&spec, 51, 101), 0.55);
    NEAR(schedule_factor(&spec, 26, 101), 0.1 + 0.9 * (1.0 + sqrt(0.5)) / 2.0);
    NEAR(schedule_factor(&spec, 101, 101), 0.1);
    spec.type = SCHEDULE_LINEAR;
    NEAR(schedule_factor(&spec, 1, 101), 1.0);
    NEAR(schedule_factor(&spec, 51, 101), 0.55);
    NEAR(schedule_factor(&spec, 101, 101), 0.1);
    spec.warmup_steps = 21;
    NEAR(schedule_factor(&spec, 61, 101), 0.55);
    NEAR(schedule_factor(&spec, 101, 101), 0.1);
}

static void a_job_of_one_step_or_of_warm_up_alone_has_factors_too(void **state)
{
    (void)state;
    for (int type = SCHEDULE_CONSTANT; type <= SCHEDULE_LINEAR; type++) {
        struct schedule_spec spec = {.type = type, .every_steps = 1, .factor = 0.5};
        NEAR(schedule_factor(&spec, 1, 1), 1.0);
        spec.warmup_steps = 8;
        NEAR(schedule_factor(&spec, 4, 4), 0.5);
        NEAR(schedule_factor(&spec, 8, 8), 1.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_is_one_at_every_step),
        cmocka_unit_test(warm_up_rises_to_one_and_every_decay_begins_there),
        cmocka_unit_test(step_takes_its_factor_every_so_many_steps),
        cmocka_unit_test(cosine_and_linear_end_at_their_least_at_the_last_step),
        cmocka_unit_test(a_job_of_one_step_or_of_warm_up_alone_has_factors_too),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
