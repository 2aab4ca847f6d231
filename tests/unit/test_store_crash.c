/* test_store_crash.c - nothing acknowledged is ever lost: kill -9, and a WAL of which only a part reached the disk. */

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "service/store/store_private.h"
#include "tests/unit/store_fixture.h"

static void job_name(char out[ID_BYTES_MAX], int number)
{
    (void)snprintf(out, ID_BYTES_MAX, "job_%06d", number);
}

/* Submits jobs from `first` on, one a commit, and tells each number only once it is committed. */
_Noreturn static void submit_until_killed(const char *folder, int first, int acks)
{
    struct store *store = NULL;
    struct error err = {0};
    if (store_open(folder, &store, &err) != STATUS_OK)
        _exit(3);
    for (int number = first;; number++) {
        char id[ID_BYTES_MAX];
        job_name(id, number);
        struct effect effect = {
            .kind = EFFECT_JOB_INSERT, .job = store_test_job(id, id), .spec = "{}"};
        const struct effects effects = {.items = &effect, .count = 1};
        if (store_begin(store, &err) != STATUS_OK ||
            store_apply(store, &effects, &err) != STATUS_OK ||
            store_commit(store, &err) != STATUS_OK)
            _exit(4);
        if (number % 50 == 0 && store_maintain(store, true, &err) != STATUS_OK)
            _exit(5);
        if (write(acks, &number, sizeof number) != sizeof number)
            _exit(6);
    }
}

/* Lets a child submit some jobs, kills it at a random moment, returns the last number it acknowledged. */
static int run_and_kill(const char *folder, int first, uint64_t *random)
{
    int acks[2];
    assert_int_equal(pipe(acks), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(acks[0]);
        submit_until_killed(folder, first, acks[1]);
    }
    (void)close(acks[1]);
    int last = first - 1;
    int number = 0;
    while (last < first + 9 && read(acks[0], &number, sizeof number) == sizeof number)
        last = number;
    (void)usleep((useconds_t)(splitmix64_next(random) % 5000));
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(acks[0], &number, sizeof number) == sizeof number)
        last = number;
    (void)close(acks[0]);
    int outcome = 0;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_true(WIFSIGNALED(outcome));
    return last;
}

static void no_acknowledged_job_is_lost_by_kill_9(void **state)
{
    struct store_room *room = *state;
    store_close(room->store);
    room->store = NULL;
    uint64_t random = 42;
    int next = 1;
    for (int round = 0; round < 20; round++) {
        const int last = run_and_kill(room->folder, next, &random);
        struct store *store = store_test_open(room->folder);
        struct job_view view;
        for (int number = next; number <= last; number++) {
            char id[ID_BYTES_MAX];
            job_name(id, number);
            assert_ok(reader_job(store_reader(store), id, &view, &room->err), &room->err);
        }
        char unacknowledged[ID_BYTES_MAX]; /* at most one commit was on its way */
        job_name(unacknowledged, last + 2);
        assert_int_equal(reader_job(store_reader(store), unacknowledged, &view, NULL),
                         STATUS_NOT_FOUND);
        store_close(store);
        next = last + 2;
    }
    assert_true(next > 20 * 10);
}

/* Copies at most `limit` bytes; in a child, because closing a database's file drops this process's locks. */
static void copy_file(const char *from, const char *to, off_t limit)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct buf bytes;
        buf_init(&bytes, 64 * MIB);
        if (fs_read_file(from, &bytes, NULL) != STATUS_OK)
            _exit(1);
        const size_t size = (off_t)bytes.size > limit ? (size_t)limit : bytes.size;
        _exit(fs_replace_file(to, bytes.data, size, 0600, NULL) == STATUS_OK ? 0 : 2);
    }
    int outcome = 0;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_int_equal(outcome, 0);
}

/* Opens what a crash with only `wal_bytes` of the WAL on disk leaves; returns how many jobs are there. */
static int jobs_of_image(struct store_room *room, off_t wal_bytes)
{
    char image[STORE_TEST_PATH_BYTES];
    char from[STORE_TEST_PATH_BYTES + 16];
    char to[STORE_TEST_PATH_BYTES + 16];
    store_test_folder(image);
    (void)snprintf(from, sizeof from, "%s/state.db", room->folder);
    (void)snprintf(to, sizeof to, "%s/state.db", image);
    copy_file(from, to, INT32_MAX);
    (void)snprintf(from, sizeof from, "%s/state.db-wal", room->folder);
    (void)snprintf(to, sizeof to, "%s/state.db-wal", image);
    copy_file(from, to, wal_bytes);
    struct store *store = store_test_open(image);
    int count = 0;
    struct job_view view;
    char id[ID_BYTES_MAX];
    for (;; count++) {
        job_name(id, count + 1);
        if (reader_job(store_reader(store), id, &view, NULL) != STATUS_OK)
            break;
    }
    for (int later = count + 2; later < count + 5; later++) { /* a prefix: nothing after a hole */
        job_name(id, later);
        assert_int_equal(reader_job(store_reader(store), id, &view, NULL), STATUS_NOT_FOUND);
    }
    store_close(store);
    store_test_drop(image);
    return count;
}

static void a_torn_wal_leaves_whole_commits_in_order(void **state)
{
    struct store_room *room = *state;
    for (int number = 1; number <= 40; number++) {
        char id[ID_BYTES_MAX];
        job_name(id, number);
        struct job_row job = store_test_job(id, id);
        store_test_put_job(room->store, &job);
        if (number == 10) { /* the first ones are in the database itself */
            assert_int_equal(sqlite3_wal_checkpoint_v2(room->store->db, NULL,
                                                       SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
                             SQLITE_OK);
        }
    }
    assert_int_equal(jobs_of_image(room, INT32_MAX), 40);
    assert_int_equal(jobs_of_image(room, 0), 10);
    struct stat wal;
    char path[STORE_TEST_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/state.db-wal", room->folder);
    assert_int_equal(stat(path, &wal), 0);
    int before = 10;
    for (int part = 1; part < 12; part++) {
        const int count = jobs_of_image(room, wal.st_size * part / 12 + part);
        assert_true(count >= before);
        before = count;
    }
    assert_true(before < 40);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, store_room_set_up, store_room_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_acknowledged_job_is_lost_by_kill_9),
        CASE(a_torn_wal_leaves_whole_commits_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
