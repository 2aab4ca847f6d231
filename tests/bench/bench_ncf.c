/*
 * bench_ncf.c - where a step of collaborative filtering goes, at MovieLens-1M's size, in processor time a
 * row: choosing records and drawing negatives (the feeder's thread), forward and backward, and the
 * optimizer over all parameters; and how fast candidates are ranked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compiler.h"
#include "tests/bench/bench.h"
#include "trainer/data/philox.h"
#include "trainer/model/model.h"
#include "trainer/optim/optim.h"

enum { USERS = 6040, ITEMS = 3706, MET = 994169, CANDIDATES = 100, EVAL_ROWS = 256 };
enum { STEPS = 400, STEPS_SHORT = 40, ROUNDS = 7 };

static const struct ncf_case {
    const char *name;
    int variant, rows;
} cases[] = {
    {"gmf_batch256", NCF_GMF, 256},     {"gmf_batch2048", NCF_GMF, 2048},
    {"neumf_batch256", NCF_NEUMF, 256}, {"neumf_batch2048", NCF_NEUMF, 2048},
    {"mlp_batch256", NCF_MLP, 256},
};

struct bench {
    struct device device;
    struct job_spec spec;
    struct dataset train, eval;
    struct model *model;
    struct optim *optim;
    int32_t *records;
    uint8_t *block, *host_block;
    size_t parameter_count;
    float *parameters, *gradients, *sums;
    struct model_shape shape;
};

/* Of processor time: there is one thread, and others on the machine shall not count. */
static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    (void)fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void *host_memory(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        exit(1);
    return memory;
}

static void *device_memory(const struct bench *b, size_t bytes)
{
    struct error err = {.status = STATUS_OK};
    void *memory = NULL;
    must(b->device.ops->alloc(b->device.compute, bytes, &memory, &err), &err);
    return memory;
}

static int32_t *add_array(struct dataset *set, const char *name, int64_t rows, int64_t width)
{
    struct data_array *array = &set->arrays[set->array_count++];
    int32_t *values = host_memory((size_t)(rows * width) * sizeof(int32_t));
    *array = (struct data_array){.type = DATA_I32, .rows = rows, .width = width, .values = values};
    (void)snprintf(array->name, sizeof(array->name), "%s", name);
    return values;
}

/* Users one after the other, as the file has them; few items are met often. */
static void make_data(struct bench *b)
{
    const struct philox_key key = philox_key_of(1, PHILOX_MAKE_DATA);
    b->train = (struct dataset){.kind = DATA_KIND_PAIRS, .count = MET};
    b->eval = (struct dataset){.kind = DATA_KIND_PAIRS, .count = USERS};
    int32_t *user = add_array(&b->train, "user", MET, 1);
    int32_t *item = add_array(&b->train, "item", MET, 1);
    int32_t *eval_user = add_array(&b->eval, "user", USERS, 1);
    int32_t *candidates = add_array(&b->eval, "candidates", USERS, CANDIDATES);
    for (int i = 0; i < MET; i++) {
        uint32_t numbers[4];
        philox_4x32(key, 0, (uint64_t)i, numbers);
        user[i] = (int32_t)((int64_t)i * USERS / MET);
        item[i] = (int32_t)(philox_unit(numbers[0]) * philox_unit(numbers[1]) * ITEMS);
    }
    for (int i = 0; i < USERS * CANDIDATES; i++) {
        eval_user[i / CANDIDATES] = i / CANDIDATES;
        candidates[i] = (int)((int64_t)i * 7919 % ITEMS);
    }
}

static void open_bench(struct bench *b, const struct ncf_case *c)
{
    struct error err = {.status = STATUS_OK};
    *b = (struct bench){.device = {.ops = &compute_cpu}};
    struct model_spec *model = &b->spec.model;
    model->type = MODEL_NCF;
    model->ncf.variant = c->variant;
    model->ncf.factors = 8;
    model->ncf.layer_count = 4;
    for (int l = 0; l < 4; l++)
        model->ncf.layers[l] = 64 >> l;
    model->ncf.negatives = 4;
    model->ncf.top_k = 10;
    b->spec.optimizer =
        (struct optimizer_spec){.lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    make_data(b);
    must(compute_cpu.open(0, 1, &b->device.compute, &err), &err);
    const struct model_input input = {.train = &b->train,
                                      .eval = &b->eval,
                                      .rows_max = c->rows > EVAL_ROWS ? c->rows : EVAL_ROWS};
    must(model_ncf.open(&b->spec, &input, b->device, &b->model, &err), &err);
    b->parameter_count = model_parameter_count(b->model);
    const size_t block_bytes =
        sizeof(struct model_feed_head) + model_ncf.feed_bytes(b->model, input.rows_max);
    b->records = host_memory((size_t)input.rows_max * sizeof(int32_t));
    b->host_block = host_memory(block_bytes);
    b->block = device_memory(b, block_bytes);
    b->parameters = device_memory(b, b->parameter_count * sizeof(float));
    b->gradients = device_memory(b, b->parameter_count * sizeof(float));
    b->sums = device_memory(b, MODEL_METRICS_MAX * sizeof(float));
    const struct optim_parts parts = {
        .spec = &b->spec.optimizer, .device = b->device, .count = b->parameter_count};
    must(optim_registry[OPTIMIZER_ADAM]->open(&parts, &b->optim, &err), &err);
    float *initial = host_memory(b->parameter_count * sizeof(float));
    model_initialise(b->model, 1, initial);
    must(compute_cpu.upload(b->device.compute, b->parameters, initial,
                            b->parameter_count * sizeof(float), &err),
         &err);
    free(initial);
}

static void close_bench(struct bench *b)
{
    void *const owned[] = {b->block, b->parameters, b->gradients, b->sums};
    b->optim->ops->close(b->optim);
    model_ncf.close(b->model);
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        compute_cpu.release(b->device.compute, owned[i]);
    compute_cpu.close(b->device.compute);
    for (size_t i = 0; i < 2; i++) {
        free((void *)(uintptr_t)b->train.arrays[i].values);
        free((void *)(uintptr_t)b->eval.arrays[i].values);
    }
    free(b->records);
    free(b->host_block);
}

static struct model_call call_of(const struct bench *b)
{
    return (struct model_call){.shape = b->shape,
                               .set = &b->train,
                               .head = (const struct model_feed_head *)(const void *)b->block,
                               .feed = b->block + sizeof(struct model_feed_head)};
}

static void fill(struct bench *b, const struct dataset *set, int rows, bool training)
{
    struct error err = {.status = STATUS_OK};
    const struct model_rows asked = {
        .set = set, .records = b->records, .count = rows, .seed = 1, .epoch = 1};
    const struct model_feed_head head = {.loss_scale = 1.0F / (float)rows};
    size_t bytes = 0;
    memcpy(b->host_block, &head, sizeof(head));
    must(model_ncf.fill(b->model, &asked, training, b->host_block + sizeof(head), &bytes, &b->shape,
                        &err),
         &err);
    must(compute_cpu.upload(b->device.compute, b->block, b->host_block, sizeof(head) + bytes, &err),
         &err);
}

/* Seconds of processor time for `steps` steps. */
struct parts {
    double choose, draw, pass, update;
};

static struct parts run(struct bench *b, int rows, int steps, int round)
{
    struct parts out = {0.0, 0.0, 0.0, 0.0};
    struct error err = {.status = STATUS_OK};
    struct sampler sampler;
    const int64_t records = model_ncf.records(b->model, &b->train, true);
    sampler_init(&sampler, 1, (uint64_t)round, (uint64_t)records);
    for (int step = 0; step < steps; step++) {
        double last = seconds();
        sampler_range(&sampler, (uint64_t)((int64_t)step * rows % (records - rows)), rows,
                      b->records);
        double now = seconds();
        out.choose += now - last;
        last = now;
        fill(b, &b->train, rows, true);
        now = seconds();
        out.draw += now - last;
        last = now;
        const struct model_call call = call_of(b);
        must(model_ncf.train_step(b->model, b->parameters, b->gradients, b->sums, &call, &err),
             &err);
        now = seconds();
        out.pass += now - last;
        last = now;
        must(b->optim->ops->prepare(b->optim, round * steps + step + 1, 1.0, &err), &err);
        must(b->optim->ops->update(b->optim, b->parameters, b->gradients, NULL, NULL, &err), &err);
        must(compute_cpu.zero(b->device.compute, b->gradients, b->parameter_count * sizeof(float),
                              &err),
             &err);
        out.update += seconds() - last;
    }
    return out;
}

static double rank_all(struct bench *b)
{
    struct error err = {.status = STATUS_OK};
    const double start = seconds();
    for (int first = 0; first < USERS; first += EVAL_ROWS) {
        const int rows = USERS - first < EVAL_ROWS ? USERS - first : EVAL_ROWS;
        for (int i = 0; i < rows; i++)
            b->records[i] = first + i;
        fill(b, &b->eval, rows, false);
        const struct model_call call = call_of(b);
        must(model_ncf.evaluate(b->model, b->parameters, b->sums, NULL, &call, &err), &err);
    }
    return seconds() - start;
}

static void report(const struct ncf_case *c, const char *what, const char *unit,
                   struct bench_samples *samples)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "ncf_%s_%s", c->name, what);
    bench_report(name, unit, samples, 0);
    bench_clear(samples);
}

static void measure(const struct ncf_case *c)
{
    static struct bench b; /* large */
    struct bench_samples choose = {0}, draw = {0}, pass = {0}, update = {0}, rank = {0};
    const int steps = bench_is_short() ? STEPS_SHORT : STEPS;
    const double rows = (double)steps * c->rows;
    open_bench(&b, c);
    bench_load_start();
    (void)run(&b, c->rows, steps / 10, 0); /* touches the memory */
    for (int round = 0; round < ROUNDS; round++) {
        const struct parts parts = run(&b, c->rows, steps, round);
        bench_add(&choose, parts.choose / rows * 1e9);
        bench_add(&draw, parts.draw / rows * 1e9);
        bench_add(&pass, parts.pass / rows * 1e9);
        bench_add(&update, parts.update / steps * 1e6);
        bench_add(&rank, (double)USERS * CANDIDATES / rank_all(&b));
    }
    report(c, "choose", "ns/row", &choose);
    report(c, "draw", "ns/row", &draw);
    report(c, "pass", "ns/row", &pass);
    report(c, "update", "us/step", &update);
    report(c, "rank", "candidates/s", &rank);
    close_bench(&b);
}

int main(void)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        measure(&cases[i]);
    return 0;
}
