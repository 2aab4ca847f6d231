/*
 * test_checkpoint.c - what is saved comes back: parameters and optimizer on a device whose memory the
 * host can't read, the loop's own vectors and record; and what must not be taken up is refused.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/unit/compute_far.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_folder.h"

enum { COUNT = 8 };

#define SPEC       "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_SPEC "2222222222222222222222222222222222222222222222222222222222222222"
#define LOOP       "{\"patience\":3}"

/* A model that is a layout and nothing more. */
static const struct parameter *two_parameters(const struct model *model, size_t *out_count)
{
    static const struct parameter parameters[] = {
        {.name = "table", .dims = 2, .shape = {2, 3}, .offset = 0, .count = 6},
        {.name = "bias", .dims = 1, .shape = {2}, .offset = 6, .count = 2},
    };
    (void)model;
    *out_count = COUNT_OF(parameters);
    return parameters;
}

static const struct model_ops layout_ops = {.type = "layout", .parameters = two_parameters};
static const struct model layout = {.ops = &layout_ops};
static const struct training_spec training = {.sync = SYNC_ALLREDUCE};
static const struct optimizer_spec optimizer = {
    .type = OPTIMIZER_ADAM, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

/* What the writer reports; the agent's events have the same names, so none is linked. */
static struct wire_event reported;

enum status events_emit(struct events *events, struct wire_event *event, struct error *err)
{
    (void)events;
    (void)err;
    reported = *event;
    return STATUS_OK;
}

struct fixture {
    struct error err;
    char folder[64];
    struct comm *comm;
    struct checkpoint_state state;
    struct sync_memory gradients, parameters;
    float best[COUNT], kept[COUNT]; /* the extras; there is no `kept` unless... */
    bool has_kept;
    struct checkpoints *checkpoints;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/reprise-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    struct device device = {.ops = &compute_far};
    assert_ok(device.ops->open(0, 1, &device.compute, &f->err), &f->err);
    assert_ok(comm_self_open(&f->comm, &f->err), &f->err);
    assert_ok(sync_memory_open(device, f->comm, COUNT, &f->parameters, &f->err), &f->err);
    assert_ok(sync_memory_open(device, f->comm, COUNT + SYNC_TAIL, &f->gradients, &f->err),
              &f->err);
    const struct sync_parts parts = {.device = device,
                                     .comm = f->comm,
                                     .training = &training,
                                     .optimizer = &optimizer,
                                     .parameters = f->parameters.data,
                                     .gradients = f->gradients.data,
                                     .count = COUNT};
    f->state = (struct checkpoint_state){
        .device = device,
        .model = &layout,
        .parameters = f->parameters.data,
        .extras = {{.name = "best", .values = f->best},
                   {.name = "kept", .values = f->kept, .is_present = &f->has_kept}},
        .extra_count = 2};
    assert_ok(sync_open(&parts, &f->state.sync, &f->err), &f->err);
    const struct checkpoint_options options = {.folder = f->folder,
                                               .job_id = "job_test",
                                               .attempt = 1,
                                               .world_size = 1,
                                               .spec_sha256 = SPEC,
                                               .keep_last = 2};
    assert_ok(checkpoints_open(&options, &f->state, &f->checkpoints, &f->err), &f->err);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    const struct device device = f->state.device;
    checkpoints_close(f->checkpoints);
    f->state.sync->ops->close(f->state.sync);
    sync_memory_close(device, &f->parameters);
    sync_memory_close(device, &f->gradients);
    comm_close(f->comm);
    device.ops->close(device.compute);
    assert_ok(fs_remove_tree(f->folder, &f->err), &f->err);
    free(f);
    return 0;
}

/* Element i of vector v is 100 * v + i + base. */
static void fill(struct fixture *f, float base)
{
    const struct device device = f->state.device;
    float values[4][COUNT];
    for (size_t v = 0; v < COUNT_OF(values); v++) {
        for (size_t i = 0; i < COUNT; i++)
            values[v][i] = 100.0F * (float)v + (float)i + base;
    }
    assert_ok(device.ops->upload(device.compute, f->state.parameters, values[0], sizeof(values[0]),
                                 &f->err),
              &f->err);
    for (int i = 0; i < 2; i++)
        assert_ok(f->state.sync->ops->put_state(f->state.sync, i, values[1 + i], &f->err), &f->err);
    memcpy(f->best, values[3], sizeof(f->best));
}

static void assert_filled(struct fixture *f, float base)
{
    const struct device device = f->state.device;
    float values[3][COUNT];
    assert_ok(device.ops->download(device.compute, values[0], f->state.parameters,
                                   sizeof(values[0]), &f->err),
              &f->err);
    for (int i = 0; i < 2; i++)
        assert_ok(f->state.sync->ops->gather_state(f->state.sync, i, values[1 + i], &f->err),
                  &f->err);
    for (size_t v = 0; v < COUNT_OF(values); v++) {
        for (size_t i = 0; i < COUNT; i++)
            assert_float_equal(values[v][i], 100.0F * (float)v + (float)i + base, 0.0F);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_float_equal(f->best[i], 300.0F + (float)i + base, 0.0F);
}

static void save(struct fixture *f, int64_t step)
{
    const struct checkpoint_record record = {
        .step = step, .epoch = 2, .window_sums = {0.1, 1e300}, .window_rows = 64, .state = LOOP};
    assert_ok(checkpoints_take(f->checkpoints, &record, &f->err), &f->err);
    assert_ok(checkpoints_wait(f->checkpoints, &f->err), &f->err);
    assert_int_equal(reported.kind, EVENT_CHECKPOINT);
    assert_int_equal(reported.step, step);
    assert_true(reported.bytes > 0 && fs_exists(reported.path));
}

static enum status restore(struct fixture *f, const char *spec, int64_t step,
                           struct checkpoint_record *out, uint32_t *out_extras)
{
    char path[PATH_BYTES_MAX];
    assert_ok(fs_path(path, sizeof(path), &f->err, "%s/step-000007", f->folder), &f->err);
    return checkpoint_restore(path, spec, step, &f->state, out, out_extras, &f->err);
}

static void what_is_saved_comes_back(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_record record;
    uint32_t extras = 0;
    fill(f, 0.5F);
    save(f, 7);
    fill(f, -1.0F);
    for (size_t i = 0; i < COUNT; i++)
        f->kept[i] = 9.0F;
    assert_ok(restore(f, SPEC, 7, &record, &extras), &f->err);
    assert_filled(f, 0.5F);
    assert_int_equal(extras, 1); /* there was no `kept`, so it is left alone */
    assert_float_equal(f->kept[0], 9.0F, 0.0F);
    assert_int_equal(record.step, 7);
    assert_int_equal(record.epoch, 2);
    assert_int_equal(record.window_rows, 64);
    assert_true(record.window_sums[0] == 0.1 && record.window_sums[1] == 1e300);
    assert_string_equal(record.state, LOOP);
}

static void each_extra_comes_back_as_itself(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_record record;
    uint32_t extras = 0;
    fill(f, 0.0F);
    f->has_kept = true;
    for (size_t i = 0; i < COUNT; i++)
        f->kept[i] = -(float)i;
    save(f, 7);
    memset(f->kept, 0, sizeof(f->kept));
    memset(f->best, 0, sizeof(f->best));
    assert_ok(restore(f, SPEC, -1, &record, &extras), &f->err);
    assert_filled(f, 0.0F);
    assert_int_equal(extras, 3);
    assert_float_equal(f->kept[COUNT - 1], -(float)(COUNT - 1), 0.0F);
}

static void a_checkpoint_of_another_spec_or_step_is_refused(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_record record;
    uint32_t extras = 0;
    fill(f, 1.0F);
    save(f, 7);
    fill(f, 2.0F);
    assert_int_equal(restore(f, OTHER_SPEC, 7, &record, &extras), STATUS_CONFLICT);
    assert_non_null(strstr(f->err.text, "it is of another spec"));
    error_clear(&f->err);
    assert_int_equal(restore(f, SPEC, 8, &record, &extras), STATUS_CONFLICT);
    assert_non_null(strstr(f->err.text, "it is of step 7, expected step 8"));
    error_clear(&f->err);
    assert_filled(f, 2.0F);
}

static void a_checkpoint_with_a_changed_byte_is_refused_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct checkpoint_record record;
    uint32_t extras = 0;
    char path[PATH_BYTES_MAX];
    fill(f, 1.0F);
    save(f, 7);
    assert_ok(
        fs_path(path, sizeof(path), &f->err, "%s/step-000007/" CHECKPOINT_SHARD_NAME, f->folder),
        &f->err);
    CLEANUP(fd_cleanup) int fd = open(path, O_RDWR | O_CLOEXEC);
    const off_t last = lseek(fd, -1, SEEK_END);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, last), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, last), 1);
    fill(f, 2.0F);
    assert_int_equal(restore(f, SPEC, 7, &record, &extras), STATUS_CORRUPT);
    assert_non_null(strstr(f->err.text, "XXH3"));
    error_clear(&f->err);
    assert_filled(f, 2.0F);
}

static void only_the_newest_stay(void **state)
{
    struct fixture *f = *state;
    static const int64_t expected[] = {9, 8};
    for (int64_t step = 6; step <= 9; step++)
        save(f, step);
    int64_t before = -1;
    for (size_t i = 0; i <= COUNT_OF(expected); i++) {
        char path[PATH_BYTES_MAX];
        int64_t step = 0;
        const enum status found =
            checkpoint_newest(f->folder, before, path, sizeof(path), &step, NULL);
        assert_int_equal(found, i < COUNT_OF(expected) ? STATUS_OK : STATUS_NOT_FOUND);
        assert_true(found != STATUS_OK || step == expected[i]);
        before = step;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_saved_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_extra_comes_back_as_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_of_another_spec_or_step_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_checkpoint_with_a_changed_byte_is_refused_and_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_newest_stay, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
