/* test_store_reader.c - pages walk along keys, filters mean what they say, readers cannot write. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/store/reader_private.h"
#include "tests/unit/store_fixture.h"

struct room {
    char folder[STORE_TEST_PATH_BYTES];
    struct store *store;
    struct reader *reader;
    struct error err;
};

static int set_up(void **state)
{
    static struct room room;
    memset(&room, 0, sizeof room);
    store_test_folder(room.folder);
    room.store = store_test_open(room.folder);
    assert_ok(reader_open(room.folder, &room.reader, &room.err), &room.err);
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    struct room *room = *state;
    reader_close(room->reader);
    store_close(room->store);
    store_test_drop(room->folder);
    return 0;
}

static void put_job(struct room *room, const char *id, const char *name, const char *project,
                    enum job_state state, const char *labels)
{
    struct job_row job = store_test_job(id, "");
    (void)snprintf(job.name, sizeof job.name, "%s", name);
    (void)snprintf(job.project, sizeof job.project, "%s", project);
    job.state = state;
    store_test_apply(
        room->store,
        &(struct effect){.kind = EFFECT_JOB_INSERT, .job = job, .spec = "{}", .labels = labels});
}

static void put_project(struct room *room, const char *name)
{
    assert_ok(store_begin(room->store, &room->err), &room->err);
    assert_ok(store_ensure_project(room->store, name, 1, NULL, &room->err), &room->err);
    assert_ok(store_commit(room->store, &room->err), &room->err);
}

static void take_id(void *context, const struct job_view *job)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 500 - strlen(out), "%s ", job->row.id);
}

/* One page; the ids that came, then the cursor after a "|". */
static void assert_page(struct room *room, struct job_filter filter, const char *expected)
{
    char ids[600] = "";
    char cursor[ID_BYTES_MAX];
    if (filter.limit == 0)
        filter.limit = 50;
    assert_ok(reader_jobs(room->reader, &filter, take_id, ids, cursor, &room->err), &room->err);
    (void)snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "|%s", cursor);
    assert_string_equal(ids, expected);
}

static void put_some(struct room *room)
{
    put_project(room, "risk");
    put_job(room, "job_1", "digits", "default", JOB_QUEUED, "{\"owner\":\"a\"}");
    put_job(room, "job_2", "digits", "risk", JOB_FAILED, "{\"owner\":\"b\",\"x\":\"1\"}");
    put_job(room, "job_3", "nightly", "risk", JOB_RUNNING, "{}");
    put_job(room, "job_4", "digits", "risk", JOB_QUEUED, "{\"owner\":\"a\"}");
    put_job(room, "job_5", "weekly", "default", JOB_CANCELLED, "{}");
}

static void jobs_come_newest_first_page_after_page(void **state)
{
    struct room *room = *state;
    assert_page(room, (struct job_filter){.limit = 2}, "|");
    put_some(room);
    assert_page(room, (struct job_filter){.limit = 2}, "job_5 job_4 |job_4");
    assert_page(room, (struct job_filter){.limit = 2, .cursor = "job_4"}, "job_3 job_2 |job_2");
    assert_page(room, (struct job_filter){.limit = 2, .cursor = "job_2"}, "job_1 |");
    assert_page(room, (struct job_filter){.limit = 5}, "job_5 job_4 job_3 job_2 job_1 |");
    assert_page(room, (struct job_filter){.limit = 5, .cursor = ""},
                "job_5 job_4 job_3 job_2 job_1 |");
}

static void filters_mean_what_they_say(void **state)
{
    struct room *room = *state;
    put_some(room);
    assert_page(room, (struct job_filter){.has_state = true, .state = JOB_QUEUED}, "job_4 job_1 |");
    assert_page(room,
                (struct job_filter){.has_state = true, .state = JOB_QUEUED, .cursor = "job_4"},
                "job_1 |");
    assert_page(room, (struct job_filter){.live_only = true}, "job_4 job_3 job_1 |");
    assert_page(room, (struct job_filter){.live_only = true, .limit = 1, .cursor = "job_4"},
                "job_3 |job_3");
    assert_page(room, (struct job_filter){.project = "risk"}, "job_4 job_3 job_2 |");
    assert_page(room, (struct job_filter){.name = "digits"}, "job_4 job_2 job_1 |");
    assert_page(room, (struct job_filter){.label_key = "owner"}, "job_4 job_2 job_1 |");
    assert_page(room, (struct job_filter){.label_key = "owner", .label_value = "a"},
                "job_4 job_1 |");
    assert_page(room, (struct job_filter){.q = "LY"}, "job_5 job_3 |");
    assert_page(room, (struct job_filter){.q = "b_2"}, "job_2 |");
    assert_page(room,
                (struct job_filter){
                    .project = "risk", .name = "digits", .has_state = true, .state = JOB_FAILED},
                "job_2 |");
    assert_page(room, (struct job_filter){.project = "nobody"}, "|");
}

static void a_page_of_a_rare_filter_is_bounded_and_goes_on(void **state)
{
    struct room *room = *state;
    put_job(room, "job_00000", "rare", "default", JOB_QUEUED, "{}");
    assert_ok(store_begin(room->store, &room->err), &room->err);
    for (int i = 1; i <= READER_SCAN_MAX + 10; i++) {
        char id[ID_BYTES_MAX];
        (void)snprintf(id, sizeof id, "job_%05d", i);
        struct effect effect = {
            .kind = EFFECT_JOB_INSERT, .job = store_test_job(id, ""), .spec = "{}"};
        const struct effects effects = {.items = &effect, .count = 1};
        assert_ok(store_apply(room->store, &effects, &room->err), &room->err);
    }
    assert_ok(store_commit(room->store, &room->err), &room->err);
    assert_page(room, (struct job_filter){.name = "rare"}, "|job_00011");
    assert_page(room, (struct job_filter){.name = "rare", .cursor = "job_00011"}, "job_00000 |");
}

static void what_is_not_there_is_said_so(void **state)
{
    struct room *room = *state;
    struct job_view view;
    struct attempt_row attempt;
    struct dataset_row dataset;
    struct token_row token;
    assert_fails(reader_job(room->reader, "job_9", &view, &room->err), &room->err, STATUS_NOT_FOUND,
                 "there is no job job_9");
    assert_fails(reader_attempt(room->reader, "job_9", 1, &attempt, &room->err), &room->err,
                 STATUS_NOT_FOUND, "job job_9 has no attempt 1");
    assert_fails(reader_dataset(room->reader, "x", &dataset, &room->err), &room->err,
                 STATUS_NOT_FOUND, "there is no data set x");
    assert_fails(reader_token(room->reader, "x", &token, &room->err), &room->err, STATUS_NOT_FOUND,
                 "there is no token x");
}

static void a_reader_sees_what_is_committed_and_nothing_else(void **state)
{
    struct room *room = *state;
    struct job_view view;
    struct effect effect = {
        .kind = EFFECT_JOB_INSERT, .job = store_test_job("job_1", ""), .spec = "{}"};
    const struct effects effects = {.items = &effect, .count = 1};
    assert_ok(store_begin(room->store, &room->err), &room->err);
    assert_ok(store_apply(room->store, &effects, &room->err), &room->err);
    assert_int_equal(reader_job(room->reader, "job_1", &view, NULL), STATUS_NOT_FOUND);
    assert_ok(store_commit(room->store, &room->err), &room->err);
    assert_ok(reader_job(room->reader, "job_1", &view, &room->err), &room->err);
    assert_string_equal(view.row.name, "digits");
}

static void a_reader_cannot_write(void **state)
{
    struct room *room = *state;
    assert_int_equal(sql_exec(room->reader->db, "DELETE FROM jobs", NULL), STATUS_INTERNAL);
    assert_int_equal(sql_exec(room->reader->db, "UPDATE counters SET value = 9", NULL),
                     STATUS_INTERNAL);
}

static void a_reader_keeps_no_transaction_open(void **state)
{
    struct room *room = *state;
    put_some(room);
    char ids[600] = "";
    char cursor[ID_BYTES_MAX];
    const struct job_filter filter = {.limit = 2};
    struct job_view view;
    assert_ok(reader_jobs(room->reader, &filter, take_id, ids, cursor, &room->err), &room->err);
    assert_ok(reader_job(room->reader, "job_1", &view, &room->err), &room->err);
    int pages = 0;
    int moved = 0;
    sqlite3 *raw = NULL;
    char path[STORE_TEST_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/state.db", room->folder);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    /* TRUNCATE is busy while any reader is inside a transaction. */
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(raw, NULL, SQLITE_CHECKPOINT_TRUNCATE, &pages, &moved),
        SQLITE_OK);
    (void)sqlite3_close(raw);
}

static void take_node(void *context, const struct node_row *node, const struct slot_row *slots,
                      size_t slot_count)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 500 - strlen(out), "%s%s:%zu", node->id, node->labels,
                   slot_count);
    for (size_t i = 0; i < slot_count; i++)
        (void)snprintf(out + strlen(out), 500 - strlen(out), ",%s", slots[i].slot);
    (void)snprintf(out + strlen(out), 500 - strlen(out), " ");
}

static void nodes_come_by_id_with_their_slots(void **state)
{
    struct room *room = *state;
    char text[600] = "";
    store_test_put_node(room->store, "n2");
    store_test_put_node(room->store, "n1");
    for (int i = 0; i < 2; i++) {
        char slot[BRAIN_SLOT_BYTES];
        (void)snprintf(slot, sizeof slot, "cpu:%d", i);
        store_test_apply(room->store, &(struct effect){.kind = EFFECT_SLOT_PUT,
                                                       .slot = store_test_slot("n2", slot)});
    }
    assert_ok(reader_nodes(room->reader, "", 10, take_node, text, &room->err), &room->err);
    assert_string_equal(text, "n1{\"zone\":\"a\"}:0 n2{\"zone\":\"a\"}:2,cpu:0,cpu:1 ");
    text[0] = '\0';
    assert_ok(reader_nodes(room->reader, "n1", 1, take_node, text, &room->err), &room->err);
    assert_string_equal(text, "n2{\"zone\":\"a\"}:2,cpu:0,cpu:1 ");
}

static void take_token(void *context, const struct token_row *token)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 500 - strlen(out), "%s:%s ", token->id,
                   role_names[token->role]);
}

static void take_dataset(void *context, const struct dataset_row *dataset)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 500 - strlen(out), "%s=%s ", dataset->name, dataset->path);
}

static void take_project(void *context, const struct project_row *project)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 500 - strlen(out), "%s ", project->name);
}

static void small_lists_come_by_key(void **state)
{
    struct room *room = *state;
    struct error *err = &room->err;
    char text[600] = "";
    put_project(room, "risk");
    assert_ok(store_begin(room->store, err), err);
    const struct token_row tokens[] = {{.id = "t2", .role = ROLE_VIEWER},
                                       {.id = "t1", .role = ROLE_OPERATOR}};
    const struct dataset_row datasets[] = {{.name = "mnist", .path = "/m"},
                                           {.name = "imdb", .path = "/i"}};
    for (int i = 0; i < 2; i++) {
        assert_ok(store_insert_token(room->store, &tokens[i], err), err);
        assert_ok(store_put_dataset(room->store, &datasets[i], err), err);
    }
    assert_ok(store_commit(room->store, err), err);
    assert_ok(reader_tokens(room->reader, "", 10, take_token, text, err), err);
    assert_ok(reader_tokens(room->reader, "t1", 10, take_token, text, err), err);
    assert_ok(reader_datasets(room->reader, "", 1, take_dataset, text, err), err);
    assert_ok(reader_datasets(room->reader, "imdb", 10, take_dataset, text, err), err);
    assert_ok(reader_projects(room->reader, "", 10, take_project, text, err), err);
    assert_string_equal(text, "t1:operator t2:viewer t2:viewer imdb=/i mnist=/m default risk ");
}

static void every_statement_of_a_page_uses_an_index(void **state)
{
    struct room *room = *state;
    sqlite3_stmt *explain = NULL;
    for (size_t i = 0; i < READER_STATEMENT_COUNT; i++) {
        char sql[16384];
        (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s",
                       sqlite3_sql(room->reader->statements[i]));
        assert_int_equal(sqlite3_prepare_v2(room->reader->db, sql, -1, &explain, NULL), SQLITE_OK);
        while (sqlite3_step(explain) == SQLITE_ROW) {
            const char *plan = (const char *)sqlite3_column_text(explain, 3);
            if (strstr(plan, "SCAN") != NULL || strstr(plan, "TEMP B-TREE") != NULL)
                fail_msg("%s: %s", sql, plan);
        }
        (void)sqlite3_finalize(explain);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(jobs_come_newest_first_page_after_page),
        CASE(filters_mean_what_they_say),
        CASE(a_page_of_a_rare_filter_is_bounded_and_goes_on),
        CASE(what_is_not_there_is_said_so),
        CASE(a_reader_sees_what_is_committed_and_nothing_else),
        CASE(a_reader_cannot_write),
        CASE(a_reader_keeps_no_transaction_open),
        CASE(nodes_come_by_id_with_their_slots),
        CASE(small_lists_come_by_key),
        CASE(every_statement_of_a_page_uses_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
