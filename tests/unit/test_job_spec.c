#include "tests/unit/unit.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "schema/job_spec.h"

/* The examples are read from the repository: tests run in its root. */
#define VALID   "schema/examples/valid"
#define INVALID "schema/examples/invalid"
#define SHIPPED "deploy/jobs"

static struct json_problems problems;

static json_t *parse(const char *text)
{
    struct error err = {.status = STATUS_OK};
    json_t *document = NULL;
    assert_ok(json_parse(text, strlen(text), &document, &err), &err);
    return document;
}

static void decode(const json_t *document, struct job_spec *out)
{
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, out);
}

static void read_file(const char *folder, const char *name, struct buf *out)
{
    struct error err = {.status = STATUS_OK};
    char path[PATH_MAX];
    assert_ok(fs_path(path, sizeof(path), &err, "%s/%s", folder, name), &err);
    buf_init(out, JOB_SPEC_BYTES_MAX);
    assert_ok(fs_read_file(path, out, &err), &err);
}

/* Calls `check` with each *.json of a folder; returns their number. */
static size_t for_each_example(const char *folder, void (*check)(const char *name))
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".json") != 0)
            continue;
        check(entry->d_name);
        count++;
    }
    closedir(dir);
    return count;
}

/* ------------------------------------------------------------------ valid */

static void check_valid_in(const char *folder, const char *name)
{
    static struct job_spec first;
    static struct job_spec second;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    read_file(folder, name, &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    decode(document, &first);
    if (json_problems_status(&problems, &err) != STATUS_OK)
        fail_msg("%s: %s", name, err.text);

    CLEANUP(json_cleanup) json_t *encoded = job_spec_encode(&first);
    char *canonical = json_canonical(encoded);
    assert_non_null(canonical);
    CLEANUP(json_cleanup) json_t *again = parse(canonical);
    decode(again, &second);
    if (json_problems_status(&problems, &err) != STATUS_OK)
        fail_msg("%s: encoded: %s", name, err.text);
    assert_memory_equal(&first, &second, sizeof(first));

    CLEANUP(json_cleanup) json_t *encoded_again = job_spec_encode(&second);
    char *canonical_again = json_canonical(encoded_again);
    assert_string_equal(canonical, canonical_again);
    free(canonical);
    free(canonical_again);
}

static void check_valid(const char *name)
{
    check_valid_in(VALID, name);
}

static void check_shipped(const char *name)
{
    check_valid_in(SHIPPED, name);
}

static void every_job_that_the_project_ships_is_valid(void **state)
{
    (void)state;
    assert_true(for_each_example(SHIPPED, check_shipped) >= 1);
}

static void every_valid_example_survives_the_round_trip(void **state)
{
    (void)state;
    assert_true(for_each_example(VALID, check_valid) >= 18);
}

static void the_smallest_spec_is_completed_with_defaults(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    read_file(VALID, "minimal.json", &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    static struct job_spec spec;
    decode(document, &spec);
    CLEANUP(json_cleanup) json_t *encoded = job_spec_encode(&spec);
    char *canonical = json_canonical(encoded);
    assert_string_equal(
        canonical,
        "{\"checkpoint\":{\"best\":null,\"every\":\"60s\",\"every_steps\":null,\"keep_last\":3},"
        "\"data\":{\"eval\":null,\"root\":\"mnist\","
        "\"train\":{\"features\":\"x\",\"format\":\"idx\",\"labels\":\"y\"}},"
        "\"labels\":{},"
        "\"model\":{\"activation\":\"relu\",\"classes\":2,\"dropout\":0.0,\"head\":\"softmax\","
        "\"hidden\":[16],\"type\":\"mlp\"},"
        "\"name\":\"a\","
        "\"optimizer\":{\"clip_norm\":0.0,\"lr\":0.1,\"momentum\":0.0,"
        "\"schedule\":{\"type\":\"constant\",\"warmup_steps\":0},\"type\":\"sgd\","
        "\"weight_decay\":0.0},"
        "\"priority\":50,\"project\":\"default\","
        "\"resources\":{\"device\":\"auto\",\"memory_bytes\":null,\"ranks\":1,\"time_limit\":null},"
        "\"retry\":{\"hang_timeout\":\"auto\",\"max_infra_restarts\":50,\"max_restarts\":5,"
        "\"on_controller_loss\":\"continue\",\"orphan_timeout\":\"12h\"},"
        "\"trainer\":{\"kind\":\"builtin\"},"
        "\"training\":{\"accumulate_steps\":1,\"batch_size\":1,\"class_weights\":\"none\","
        "\"early_stopping\":null,\"eval_every_epochs\":1,"
        "\"guards\":{\"loss_spike\":0.0,\"on_nan\":\"fail\",\"replica_check_steps\":0},"
        "\"metrics_every_steps\":20,\"precision\":\"fp32\",\"reproducible\":false,\"seed\":1,"
        "\"steps\":10,\"sync\":\"allreduce\",\"task\":\"train\",\"threads_per_rank\":1}}");
    free(canonical);
}

static void the_contract_example_is_decoded_into_its_values(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    read_file(VALID, "digits.json", &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    static struct job_spec spec;
    decode(document, &spec);
    assert_string_equal(spec.name, "digits-nightly");
    assert_string_equal(spec.project, "risk");
    assert_int_equal(spec.model.mlp.hidden_count, 1);
    assert_int_equal(spec.model.mlp.hidden[0], 128);
    assert_int_equal(spec.model.mlp.classes, 10);
    assert_string_equal(spec.data.eval.labels, "t10k-labels-idx1-ubyte.gz");
    assert_string_equal(spec.data.root, "mnist");
    assert_int_equal(spec.optimizer.type, OPTIMIZER_ADAM);
    assert_true(spec.optimizer.lr == 0.001 && spec.optimizer.beta2 == 0.999);
    assert_int_equal(spec.training.epochs, 5);
    assert_int_equal(spec.training.steps, 0);
    assert_int_equal(spec.training.seed, 1);
    assert_int_equal(spec.resources.ranks, 2);
    assert_int_equal(spec.resources.memory_bytes, 512 * MIB);
    assert_int_equal(spec.resources.time_limit_ms, 7200000);
    assert_int_equal(spec.checkpoint.every_steps, 200);
    assert_int_equal(spec.checkpoint.every_ms, 60000);
    assert_int_equal(spec.retry.hang_timeout_ms, 0);
    assert_int_equal(spec.retry.orphan_timeout_ms, 43200000);
    assert_int_equal(spec.label_count, 1);
    assert_string_equal(spec.labels[0].key, "owner");
    assert_string_equal(spec.labels[0].value, "risk-models");
}

static void the_order_of_members_changes_nothing(void **state)
{
    (void)state;
    static struct job_spec first;
    static struct job_spec second;
    CLEANUP(json_cleanup)
    json_t *a = parse("{\"labels\":{\"a\":\"1\",\"b\":\"2\"},\"name\":\"x\"}");
    CLEANUP(json_cleanup)
    json_t *b = parse("{\"name\":\"x\",\"labels\":{\"b\":\"2\",\"a\":\"1\"}}");
    decode(a, &first);
    decode(b, &second);
    assert_memory_equal(&first, &second, sizeof(first));
}

static void decode_example(const char *folder, const char *name, struct job_spec *out)
{
    CLEANUP(buf_clear) struct buf text;
    read_file(folder, name, &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    decode(document, out);
    assert_int_equal(problems.count, 0);
}

static void a_table_is_decoded_into_columns_classes_and_split(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "credit-scoring.json", &spec);
    assert_int_equal(spec.model.type, MODEL_MLP);
    assert_int_equal(spec.model.mlp.activation, ACTIVATION_GELU);
    assert_int_equal(spec.model.mlp.head, HEAD_SIGMOID);
    assert_int_equal(spec.model.mlp.classes, 1);
    assert_int_equal(spec.model.mlp.embedding_width, 8);
    assert_int_equal(spec.data.train.format, DATA_CSV);
    assert_string_equal(spec.data.train.file, "applications.csv.gz");
    assert_string_equal(spec.data.separator, ";");
    assert_true(spec.data.header);
    assert_int_equal(spec.data.column_count, 8);
    assert_string_equal(spec.data.columns[3].name, "debt ratio");
    assert_int_equal(spec.data.columns[3].kind, COLUMN_NUMERIC);
    assert_int_equal(spec.data.columns[3].buckets, 0);
    assert_int_equal(spec.data.columns[6].kind, COLUMN_CATEGORY);
    assert_int_equal(spec.data.columns[6].buckets, 4096);
    assert_int_equal(spec.data.class_count, 2);
    assert_string_equal(spec.data.classes[1].value, "yes");
    assert_int_equal(spec.data.split.by, SPLIT_TIME);
    assert_string_equal(spec.data.split.column, "decided_at");
    assert_int_equal(spec.data.on_error, ON_ERROR_SKIP);
    assert_int_equal(spec.data.max_errors, 50);
    assert_int_equal(spec.data.vocabulary, 0);
    assert_int_equal(spec.optimizer.type, OPTIMIZER_ADAMW);
    assert_int_equal(spec.training.class_weights, CLASS_WEIGHTS_BALANCED);
}

static void texts_have_a_vocabulary_and_a_length_of_their_own(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "sentiment-phrasebank.json", &spec);
    assert_int_equal(spec.model.type, MODEL_BILSTM);
    assert_int_equal(spec.model.bilstm.embedding, 128);
    assert_int_equal(spec.model.bilstm.hidden, 128);
    assert_int_equal(spec.model.bilstm.head, HEAD_SOFTMAX);
    assert_int_equal(spec.model.bilstm.classes, 3);
    assert_int_equal(spec.model.bilstm.padding, PADDING_COMPUTE);
    assert_string_equal(spec.data.separator, "@");
    assert_false(spec.data.header);
    assert_int_equal(spec.data.vocabulary, 10000);
    assert_int_equal(spec.data.length, 64);
    assert_true(spec.data.split.test_share == 0.2);
    assert_int_equal(spec.training.class_weights, CLASS_WEIGHTS_GIVEN);
    assert_int_equal(spec.training.given_class_weight_count, 3);
    assert_true(spec.training.given_class_weights[0] == 2.5);
    decode_example(VALID, "sentiment-polarity.json", &spec);
    assert_int_equal(spec.data.class_count, 3);
    assert_string_equal(spec.data.classes[0].value, "neutral");
    assert_int_equal(spec.data.classes[0].index, DATA_CLASS_LEFT_OUT);
    decode_example(VALID, "sentiment-imdb.json", &spec);
    assert_string_equal(spec.data.separator, "\t");
    assert_int_equal(spec.model.bilstm.classes, 1);
    assert_int_equal(spec.data.max_errors, 100);
}

static void interactions_are_read_by_position_or_by_name(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "recommend-ml-1m.json", &spec);
    assert_int_equal(spec.model.type, MODEL_NCF);
    assert_int_equal(spec.model.ncf.layer_count, 4);
    assert_string_equal(spec.data.user, "0");
    assert_string_equal(spec.data.item, "1");
    assert_string_equal(spec.data.time, "");
    assert_string_equal(spec.data.negatives_file, "ml-1m.test.negative.gz");
    decode_example(VALID, "recommend-split.json", &spec);
    assert_int_equal(spec.model.ncf.variant, NCF_GMF);
    assert_int_equal(spec.model.ncf.layer_count, 0);
    assert_string_equal(spec.data.user, "customer");
    assert_string_equal(spec.data.time, "ordered_at");
    assert_int_equal(spec.data.split.by, SPLIT_TIME);
    assert_int_equal(spec.optimizer.embeddings, EMBEDDING_SPARSE);
}

static void what_trains_together_is_decoded_with_its_mode(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "parameter-server.json", &spec);
    assert_int_equal(spec.training.sync, SYNC_PARAMETER_SERVER);
    assert_int_equal(spec.training.servers, 2);
    assert_int_equal(spec.training.staleness, 3);
    assert_int_equal(spec.training.micro_shards, 1);
    decode_example(VALID, "sharded.json", &spec);
    assert_int_equal(spec.training.sync, SYNC_SHARDED);
    assert_int_equal(spec.training.servers, 0);
    assert_int_equal(spec.training.accumulate_steps, 4);
    decode_example(VALID, "reproducible.json", &spec);
    assert_true(spec.training.reproducible);
    assert_int_equal(spec.training.micro_shards, 16);
}

static void guards_and_schedules_are_decoded_into_their_values(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "guards.json", &spec);
    assert_string_equal(spec.training.early_stopping.metric, "eval_rmse");
    assert_int_equal(spec.training.early_stopping.mode, METRIC_MIN);
    assert_int_equal(spec.training.early_stopping.patience, 4);
    assert_int_equal(spec.training.guards.on_nan, ON_NAN_ROLLBACK);
    assert_int_equal(spec.training.guards.max_rollbacks, 2);
    assert_true(spec.training.guards.rollback_lr_factor == 0.1);
    assert_int_equal(spec.training.guards.replica_check_steps, 100);
    assert_true(spec.training.guards.loss_spike == 4.0);
    assert_string_equal(spec.checkpoint.best_metric, "eval_rmse");
    assert_int_equal(spec.checkpoint.every_ms, 0);
    decode_example(VALID, "schedule.json", &spec);
    assert_int_equal(spec.optimizer.schedule.type, SCHEDULE_COSINE);
    assert_int_equal(spec.optimizer.schedule.warmup_steps, 100);
    assert_true(spec.optimizer.schedule.min_factor == 0.01);
    decode_example(VALID, "schedule-step.json", &spec);
    assert_int_equal(spec.optimizer.schedule.every_steps, 1000);
    assert_true(spec.optimizer.schedule.factor == 0.5);
}

static void the_mode_of_a_metric_follows_its_last_word(void **state)
{
    (void)state;
    static const struct {
        const char *head, *metric;
        int mode;
    } cases[] = {{"linear", "eval_loss", METRIC_MIN},
                 {"linear", "eval_rmse", METRIC_MIN},
                 {"sigmoid", "eval_accuracy", METRIC_MAX},
                 {"sigmoid", "eval_auc", METRIC_MAX}};
    static struct job_spec spec;
    CLEANUP(buf_clear) struct buf text;
    read_file(VALID, "guards.json", &text);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(json_cleanup) json_t *document = parse(text.data);
        json_t *checkpoint = json_object_get(document, "checkpoint");
        (void)json_object_set_new(json_object_get(document, "model"), "head",
                                  json_string(cases[i].head));
        (void)json_object_del(json_object_get(document, "training"), "early_stopping");
        (void)json_object_set_new(checkpoint, "best",
                                  json_pack("{s:s}", "metric", cases[i].metric));
        decode(document, &spec);
        assert_int_equal(problems.count, 0);
        assert_int_equal(spec.checkpoint.best_mode, cases[i].mode);
    }
}

static void a_spec_that_the_first_release_completed_is_still_decoded(void **state)
{
    (void)state;
    static struct job_spec spec;
    CLEANUP(json_cleanup)
    json_t *document = parse(
        "{\"checkpoint\":{\"every\":\"60s\",\"every_steps\":null,\"keep_last\":3},"
        "\"data\":{\"eval\":null,\"root\":\"mnist\","
        "\"train\":{\"features\":\"x\",\"format\":\"idx\",\"labels\":\"y\"}},\"labels\":{},"
        "\"model\":{\"activation\":\"relu\",\"classes\":2,\"hidden\":[16],\"type\":\"mlp\"},"
        "\"name\":\"a\",\"optimizer\":{\"lr\":0.1,\"momentum\":0.0,\"type\":\"sgd\","
        "\"weight_decay\":0.0},\"priority\":50,\"project\":\"default\","
        "\"resources\":{\"device\":\"auto\",\"memory_bytes\":null,\"ranks\":1,\"time_limit\":null},"
        "\"retry\":{\"hang_timeout\":\"auto\",\"max_infra_restarts\":50,\"max_restarts\":5,"
        "\"on_controller_loss\":\"continue\",\"orphan_timeout\":\"12h\"},"
        "\"trainer\":{\"kind\":\"builtin\"},"
        "\"training\":{\"batch_size\":1,\"eval_every_epochs\":1,\"metrics_every_steps\":20,"
        "\"precision\":\"fp32\",\"seed\":1,\"steps\":10,\"sync\":\"allreduce\","
        "\"threads_per_rank\":1}}");
    decode(document, &spec);
    assert_int_equal(problems.count, 0);
    assert_int_equal(spec.model.mlp.head, HEAD_SOFTMAX);
    assert_int_equal(spec.training.accumulate_steps, 1);
}

/* A name of as many bytes as there is room for, all of which take two in JSON, but for its number. */
static void fill_name(char *out, size_t out_bytes, size_t number)
{
    memset(out, '"', out_bytes - 1);
    out[out_bytes - 1] = '\0';
    out[0] = (char)('a' + number % 16);
    out[1] = (char)('a' + number / 16);
}

static void the_largest_complete_spec_fits_its_limit(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "credit-scoring.json", &spec);
    spec.data.column_count = DATA_COLUMNS_MAX;
    spec.data.class_count = MODEL_CLASSES_LISTED_MAX;
    spec.label_count = JOB_LABELS_MAX;
    spec.training.class_weights = CLASS_WEIGHTS_GIVEN;
    spec.training.given_class_weight_count = MODEL_CLASSES_LISTED_MAX;
    for (size_t i = 0; i < DATA_COLUMNS_MAX; i++) {
        fill_name(spec.data.columns[i].name, DATA_COLUMN_BYTES, i);
        spec.data.columns[i].kind = COLUMN_CATEGORY;
        spec.data.columns[i].buckets = 1 << 24;
    }
    for (size_t i = 0; i < MODEL_CLASSES_LISTED_MAX; i++) {
        fill_name(spec.data.classes[i].value, DATA_COLUMN_BYTES, i);
        spec.data.classes[i].index = MODEL_CLASSES_LISTED_MAX - 1;
        spec.training.given_class_weights[i] = 0.1 + 1.0 / 3.0;
    }
    for (size_t i = 0; i < JOB_LABELS_MAX; i++) {
        fill_name(spec.labels[i].key, JOB_LABEL_KEY_BYTES, i);
        memset(spec.labels[i].value, '\1', JOB_LABEL_BYTES - 1); /* six bytes in JSON */
    }
    CLEANUP(json_cleanup) json_t *encoded = job_spec_encode(&spec);
    char *text = json_canonical(encoded);
    assert_non_null(text);
    assert_true(strlen(text) > 128 * KIB && strlen(text) < JOB_SPEC_BYTES_MAX);
    free(text);
}

/* ------------------------------------------------------------------ invalid */

static void describe_problems(struct buf *out)
{
    for (size_t i = 0; i < problems.count; i++) {
        const struct json_problem *problem = &problems.items[i];
        if (problem->got[0] == '\0')
            buf_printf(out, "%s: %s\n", problem->pointer, problem->expected);
        else
            buf_printf(out, "%s: expected %s, got %s\n", problem->pointer, problem->expected,
                       problem->got);
    }
}

/* A line that the parser refused: only the place is ours, the words may be Jansson's. */
static void cut_to_place(char *text)
{
    char *words = strncmp(text, "line ", 5) == 0 ? strchr(text, ':') : NULL;
    if (words != NULL)
        *words = '\0';
}

static void check_invalid(const char *name)
{
    static struct job_spec spec;
    char expect_name[NAME_MAX];
    (void)snprintf(expect_name, sizeof(expect_name), "%.*s.expect", (int)(strlen(name) - 5), name);
    CLEANUP(buf_clear) struct buf text;
    CLEANUP(buf_clear) struct buf expected;
    CLEANUP(buf_clear) struct buf found;
    read_file(INVALID, name, &text);
    read_file(INVALID, expect_name, &expected);
    buf_init(&found, 64 * KIB);
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (json_parse(text.data, text.size, &document, &err) != STATUS_OK) {
        buf_printf(&found, "%s\n", err.text);
        cut_to_place(found.data);
        cut_to_place(expected.data);
    } else {
        decode(document, &spec);
        describe_problems(&found);
    }
    if (strcmp(found.data, expected.data) != 0)
        fail_msg("%s: expected\n%s\ngot\n%s", name, expected.data, found.data);
    assert_true(found.size > 0);
}

static void every_invalid_example_is_refused_with_its_exact_problems(void **state)
{
    (void)state;
    assert_true(for_each_example(INVALID, check_invalid) >= 150);
}

static void problems_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    static struct job_spec spec;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    read_file(INVALID, "many-problems.json", &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    decode(document, &spec);
    assert_int_equal(problems.count, JSON_PROBLEMS_MAX);
    assert_fails(json_problems_status(&problems, &err), &err, STATUS_INVALID,
                 "/p0: unknown field (and 54 more problems)");
}

/* ------------------------------------------------------------------ helpers */

static void names_are_lower_case_words(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "0", "ml-1m", "a.b_c-d", "risk"};
    static const char *const bad[] = {"",    "A",   "-a",  ".a",       "_a",
                                      "a b", "a/b", "a\n", "\xc3\xa9", ".."};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(job_name_is_valid(good[i]));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(job_name_is_valid(bad[i]));
    char name[JOB_NAME_BYTES + 1];
    memset(name, 'a', sizeof(name));
    name[JOB_NAME_BYTES - 1] = '\0';
    assert_true(job_name_is_valid(name));
    name[JOB_NAME_BYTES - 1] = 'a';
    name[JOB_NAME_BYTES] = '\0';
    assert_false(job_name_is_valid(name));
}

static void the_bound_of_a_checkpoint_covers_parameters_and_moments(void **state)
{
    (void)state;
    static struct job_spec spec;
    CLEANUP(buf_clear) struct buf text;
    read_file(VALID, "digits.json", &text);
    CLEANUP(json_cleanup) json_t *document = parse(text.data);
    decode(document, &spec);
    const uint64_t parameters = 785 * 128 + 129 * 10; /* 101,770 */
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 12 + 64 * KIB);
    assert_int_equal(job_spec_state_bytes(&spec, 0), job_spec_state_bytes(&spec, 784));
    assert_true(job_spec_state_bytes(&spec, 10) < job_spec_state_bytes(&spec, 784));
    spec.optimizer.type = OPTIMIZER_SGD;
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 8 + 64 * KIB);
    spec.optimizer.type = OPTIMIZER_ADAGRAD;
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 8 + 64 * KIB);
    spec.optimizer.type = OPTIMIZER_ADAMW;
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 12 + 64 * KIB);
    (void)snprintf(spec.checkpoint.best_metric, sizeof(spec.checkpoint.best_metric), "eval_loss");
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 16 + 64 * KIB);
    spec.training.guards.on_nan = ON_NAN_ROLLBACK;
    assert_int_equal(job_spec_state_bytes(&spec, 784), parameters * 32 + 64 * KIB);
}

static void the_bound_of_a_checkpoint_counts_each_family_s_tables(void **state)
{
    (void)state;
    static struct job_spec spec;
    decode_example(VALID, "credit-scoring.json", &spec);
    const uint64_t tables = (64 + 4096) * 8;
    const uint64_t width = 3 * 2 + 2 * 8;
    uint64_t parameters = tables + (width + 1) * 128 + 129 * 64 + 65;
    assert_int_equal(job_spec_state_bytes(&spec, 0), parameters * 12 + 64 * KIB);
    decode_example(VALID, "sentiment-imdb.json", &spec);
    parameters = 10000 * 128 + 2 * 4 * 128 * (128 + 128 + 2) + 257;
    assert_int_equal(job_spec_state_bytes(&spec, 0), parameters * 12 + 64 * KIB);
    decode_example(VALID, "recommend-ml-1m.json", &spec);
    const uint64_t towers = 65 * 32 + 33 * 16 + 17 * 8 + 17;
    parameters = (6040 + 3706) * (8 + 32) + towers;
    assert_int_equal(job_spec_state_bytes(&spec, 6040 + 3706), parameters * 12 + 64 * KIB);
    parameters = 20000 * (8 + 32) + towers;
    assert_int_equal(job_spec_state_bytes(&spec, 0), parameters * 12 + 64 * KIB);
    decode_example(VALID, "recommend-split.json", &spec);
    assert_int_equal(job_spec_state_bytes(&spec, 0), (20000 * 32 + 33) * 8 + 64 * KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_valid_example_survives_the_round_trip),
        cmocka_unit_test(every_job_that_the_project_ships_is_valid),
        cmocka_unit_test(the_smallest_spec_is_completed_with_defaults),
        cmocka_unit_test(the_contract_example_is_decoded_into_its_values),
        cmocka_unit_test(the_order_of_members_changes_nothing),
        cmocka_unit_test(a_table_is_decoded_into_columns_classes_and_split),
        cmocka_unit_test(texts_have_a_vocabulary_and_a_length_of_their_own),
        cmocka_unit_test(interactions_are_read_by_position_or_by_name),
        cmocka_unit_test(what_trains_together_is_decoded_with_its_mode),
        cmocka_unit_test(guards_and_schedules_are_decoded_into_their_values),
        cmocka_unit_test(the_mode_of_a_metric_follows_its_last_word),
        cmocka_unit_test(a_spec_that_the_first_release_completed_is_still_decoded),
        cmocka_unit_test(the_largest_complete_spec_fits_its_limit),
        cmocka_unit_test(every_invalid_example_is_refused_with_its_exact_problems),
        cmocka_unit_test(problems_beyond_the_limit_are_counted),
        cmocka_unit_test(names_are_lower_case_words),
        cmocka_unit_test(the_bound_of_a_checkpoint_covers_parameters_and_moments),
        cmocka_unit_test(the_bound_of_a_checkpoint_counts_each_family_s_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
