/* test_migrations.c - a database is brought up to this program's version, and its words are those of the contract. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema/names.h"
#include "service/store/columns.h"
#include "service/store/migrate.h"
#include "tests/unit/store_fixture.h"

struct room {
    char folder[STORE_TEST_PATH_BYTES];
    char path[STORE_TEST_PATH_BYTES + 16];
};

static int set_up(void **state)
{
    static struct room room;
    store_test_folder(room.folder);
    (void)snprintf(room.path, sizeof room.path, "%s/state.db", room.folder);
    store_close(store_test_open(room.folder));
    *state = &room;
    return 0;
}

static int tear_down(void **state)
{
    const struct room *room = *state;
    store_test_drop(room->folder);
    return 0;
}

static sqlite3 *open_raw(const struct room *room)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(room->path, &db), SQLITE_OK);
    return db;
}

/* The first column of the first row as text. */
static void query_text(sqlite3 *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    (void)snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
}

static void a_new_database_has_this_programs_version(void **state)
{
    sqlite3 *db = open_raw(*state);
    char text[16];
    char expected[16];
    query_text(db, "PRAGMA user_version", text, sizeof text);
    (void)snprintf(expected, sizeof expected, "%d", migrate_version(MIGRATE_STATE));
    assert_string_equal(text, expected);
    query_text(db, "PRAGMA journal_mode", text, sizeof text);
    assert_string_equal(text, "wal");
    (void)sqlite3_close(db);
}

static void a_newer_database_is_refused_and_left_alone(void **state)
{
    const struct room *room = *state;
    sqlite3 *db = open_raw(room);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    struct store *store = NULL;
    struct error err = {0};
    assert_int_equal(store_open(room->folder, &store, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "/state.db has version 99, this program knows up to 2"));
    db = open_raw(room);
    char text[16];
    query_text(db, "PRAGMA user_version", text, sizeof text);
    assert_string_equal(text, "99");
    (void)sqlite3_close(db);
}

static void opening_twice_changes_nothing(void **state)
{
    const struct room *room = *state;
    char before[32];
    char after[32];
    sqlite3 *db = open_raw(room);
    query_text(db, "PRAGMA schema_version", before, sizeof before);
    (void)sqlite3_close(db);
    store_close(store_test_open(room->folder));
    db = open_raw(room);
    query_text(db, "PRAGMA schema_version", after, sizeof after);
    (void)sqlite3_close(db);
    assert_string_equal(before, after);
}

static void a_damaged_database_is_refused(void **state)
{
    const struct room *room = *state;
    FILE *file = fopen(room->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    for (int i = 0; i < 20 * 4096; i++)
        assert_int_equal(fputc(0xa5, file), 0xa5);
    assert_int_equal(fclose(file), 0);
    struct store *store = NULL;
    struct error err = {0};
    assert_int_equal(store_open(room->folder, &store, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "state.db"));
    assert_non_null(strstr(err.text, "restore"));
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    const struct room *room = *state;
    FILE *file = fopen(room->path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
    struct store *store = NULL;
    assert_int_equal(store_open(room->folder, &store, NULL), STATUS_CORRUPT);
}

/* ---- words */

/* The words of `CHECK (<column> = ... OR ...)` of a table, joined by spaces, as its SQL has them. */
static void check_words(sqlite3 *db, const char *table, const char *column, char *out)
{
    char sql[128];
    char text[16384];
    char start[64];
    (void)snprintf(sql, sizeof sql, "SELECT sql FROM sqlite_schema WHERE name = '%s'", table);
    query_text(db, sql, text, sizeof text);
    (void)snprintf(start, sizeof start, "CHECK (%s = ", column);
    const char *place = strstr(text, start);
    assert_non_null(place);
    const char *end = strchr(place, ')');
    out[0] = '\0';
    for (const char *quote = strchr(place, '\''); quote != NULL && quote < end;
         quote = strchr(strchr(quote + 1, '\'') + 1, '\'')) {
        const int length = (int)strcspn(quote + 1, "'");
        (void)snprintf(out + strlen(out), 1000 - strlen(out), "%.*s ", length, quote + 1);
    }
}

static void join_names(const char *const names[], char *out)
{
    out[0] = '\0';
    for (size_t i = 0; names[i] != NULL; i++)
        (void)snprintf(out + strlen(out), 1000 - strlen(out), "%s ", names[i]);
}

static void the_words_of_the_database_are_those_of_the_contract(void **state)
{
    static const struct {
        const char *table;
        const char *column;
        const char *const *names;
    } lists[] = {
        {"jobs", "state", job_state_names},
        {"attempts", "state", attempt_state_names},
        {"nodes", "state", node_state_names},
        {"jobs", "wanted_device", device_kind_names},
        {"jobs", "device", device_kind_names},
        {"tokens", "role", role_names + 1},       /* nobody has the role "none" */
        {"slots", "kind", device_kind_names + 1}, /* a slot has a kind */
    };
    sqlite3 *db = open_raw(*state);
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        char words[1000];
        char names[1000];
        check_words(db, lists[i].table, lists[i].column, words);
        join_names(lists[i].names, names);
        assert_string_equal(words, names);
    }
    (void)sqlite3_close(db);
}

static void the_reasons_of_the_database_are_those_of_the_contract(void **state)
{
    sqlite3 *db = open_raw(*state);
    char text[64];
    char expected[64];
    query_text(db, "SELECT count(*) FROM reasons", text, sizeof text);
    (void)snprintf(expected, sizeof expected, "%d", (int)REASON_COUNT);
    assert_string_equal(text, expected);
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        char sql[128];
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM reasons WHERE word = '%s'",
                       reason_names[reason]);
        query_text(db, sql, text, sizeof text);
        assert_string_equal(text, "1");
    }
    (void)sqlite3_close(db);
}

static void the_states_that_statements_call_live_are_the_not_terminal_ones(void **state)
{
    const struct room *room = *state;
    for (int job_state = 0; job_state < JOB_STATE_COUNT; job_state++) {
        sqlite3 *db = open_raw(room);
        char sql[256];
        (void)snprintf(sql, sizeof sql, "SELECT '%s' IN " JOB_LIVE_STATES,
                       job_state_names[job_state]);
        char live[8];
        query_text(db, sql, live, sizeof live);
        (void)sqlite3_close(db);
        assert_int_equal(live[0] == '0', job_state_is_terminal((enum job_state)job_state));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_database_has_this_programs_version),
        CASE(a_newer_database_is_refused_and_left_alone),
        CASE(opening_twice_changes_nothing),
        CASE(a_damaged_database_is_refused),
        CASE(a_file_that_is_no_database_is_refused),
        CASE(the_words_of_the_database_are_those_of_the_contract),
        CASE(the_reasons_of_the_database_are_those_of_the_contract),
        CASE(the_states_that_statements_call_live_are_the_not_terminal_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
