/*
 * test_tfevents.c - event files against bytes that another program made, and read back by a reader of
 * this file's own.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "trainer/export/tfevents.h"

#define FILE_MAX   4096
#define FIRST_MS   INT64_C(1700000000000)
#define FIRST_FILE "events.out.tfevents.1700000000.machine"

struct fixture {
    char folder[64];
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-tfevents-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    return fs_remove_tree(f->folder, NULL) == STATUS_OK ? 0 : -1;
}

static struct buf read_back(struct fixture *f, const char *name)
{
    char path[128];
    struct buf bytes;
    buf_init(&bytes, FILE_MAX);
    (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    assert_ok(fs_read_file(path, &bytes, &f->err), &f->err);
    return bytes;
}

static void write_three(struct fixture *f)
{
    struct tfevents *events = NULL;
    assert_ok(tfevents_open(f->folder, "machine", FIRST_MS, &events, &f->err), &f->err);
    const struct tfevents_scalar first[] = {{"loss", 0.5}};
    const struct tfevents_scalar second[] = {{"loss", 0.25}, {"acc", 0.9}};
    assert_ok(tfevents_scalars(events, 1, FIRST_MS + 1000, first, 1, &f->err), &f->err);
    assert_ok(tfevents_scalars(events, 2, FIRST_MS + 2000, second, 2, &f->err), &f->err);
    tfevents_close(events);
}

static void the_checksum_has_its_published_value(void **state)
{
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(crc32c("", 0), 0);
    const uint8_t zeros[32] = {0}; /* RFC 3720, B.4 */
    assert_int_equal(crc32c(zeros, sizeof(zeros)), 0x8A9136AA);
}

/*
 * The bytes that this Python program writes:
 *
 *   import struct
 *   def crc(b):
 *       c = 0xFFFFFFFF
 *       for x in b:
 *           c ^= x
 *           for _ in range(8): c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
 *       c ^= 0xFFFFFFFF
 *       return struct.pack('<I', (((c >> 15) | (c << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
 *   def field(n, b): return bytes([n << 3 | 2, len(b)]) + b
 *   def scalar(t, v): return field(1, field(1, t) + b'\x15' + struct.pack('<f', v))
 *   def event(w, rest): return b'\x09' + struct.pack('<d', w) + rest
 *   for e in [event(1.7e9, field(3, b'brain.Event:2')),
 *             event(1.7e9 + 1, b'\x10\x01' + field(5, scalar(b'loss', .5))),
 *             event(1.7e9 + 2, b'\x10\x02' + field(5, scalar(b'loss', .25) + scalar(b'acc', .9)))]:
 *       n = struct.pack('<Q', len(e)); print((n + crc(n) + e + crc(e)).hex())
 */
static void the_bytes_are_those_of_another_writer(void **state)
{
    static const char *const expected[] = {
        "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced"
        "8f9d",
        "1a00000000000000129bd82d0900004040fc54d94110012a0d0a0b0a046c6f7373150000003f"
        "97d67404",
        "2600000000000000734fe3000900008040fc54d94110022a190a0b0a046c6f7373150000803e"
        "0a0a0a03616363156666663fd5e44012",
    };
    struct fixture *f = *state;
    write_three(f);
    CLEANUP(buf_clear) struct buf bytes = read_back(f, FIRST_FILE);
    char hex[2 * FILE_MAX + 1];
    hex_encode((const uint8_t *)bytes.data, bytes.size, hex);
    char all[2 * FILE_MAX + 1];
    (void)snprintf(all, sizeof(all), "%s%s%s", expected[0], expected[1], expected[2]);
    assert_string_equal(hex, all);
}

/* Checksums by a table, so that not one function is shared with the writer. */
static uint32_t reader_crc(const uint8_t *bytes, size_t size)
{
    uint32_t table[256];
    for (uint32_t n = 0; n < 256; n++) {
        table[n] = n;
        for (int bit = 0; bit < 8; bit++)
            table[n] = (table[n] & 1) != 0 ? table[n] >> 1 ^ 0x82F63B78 : table[n] >> 1;
    }
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ bytes[i]) & 0xFF] ^ crc >> 8;
    crc ^= 0xFFFFFFFF;
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
}

/* Counts whole records; fails the test on one that is wrong, and stops before a torn one. */
static size_t count_records(const struct buf *bytes)
{
    const uint8_t *at = (const uint8_t *)bytes->data;
    size_t left = bytes->size, count = 0;
    while (left >= 16) {
        uint64_t length = 0;
        uint32_t crc = 0;
        memcpy(&length, at, sizeof(length));
        memcpy(&crc, at + 8, sizeof(crc));
        assert_int_equal(crc, reader_crc(at, 8));
        if (length + 16 > left)
            break;
        memcpy(&crc, at + 12 + length, sizeof(crc));
        assert_int_equal(crc, reader_crc(at + 12, length));
        at += 16 + length;
        left -= 16 + length;
        count++;
    }
    return count;
}

static void a_resumed_run_writes_a_file_of_its_own(void **state)
{
    struct fixture *f = *state;
    write_three(f);
    struct tfevents *events = NULL;
    assert_ok(tfevents_open(f->folder, "machine", FIRST_MS + 999, &events, &f->err), &f->err);
    const struct tfevents_scalar scalar = {"loss", 0.125};
    assert_ok(tfevents_scalars(events, 3, FIRST_MS + 3000, &scalar, 1, &f->err), &f->err);
    assert_non_null(strstr(tfevents_path(events), FIRST_FILE ".1"));
    tfevents_close(events);
    CLEANUP(buf_clear) struct buf first = read_back(f, FIRST_FILE);
    CLEANUP(buf_clear) struct buf second = read_back(f, FIRST_FILE ".1");
    assert_int_equal(count_records(&first), 3);
    assert_int_equal(count_records(&second), 2);
}

static void as_many_scalars_as_fit_are_read_back(void **state)
{
    struct fixture *f = *state;
    static char tags[TFEVENTS_SCALARS_MAX][TFEVENTS_TAG_BYTES];
    struct tfevents_scalar scalars[TFEVENTS_SCALARS_MAX];
    for (int i = 0; i < TFEVENTS_SCALARS_MAX; i++) {
        memset(tags[i], 'a', sizeof(tags[i]) - 1);
        scalars[i] = (struct tfevents_scalar){tags[i], (double)i};
    }
    struct tfevents *events = NULL;
    assert_ok(tfevents_open(f->folder, "machine", FIRST_MS, &events, &f->err), &f->err);
    assert_ok(tfevents_scalars(events, INT64_MAX, FIRST_MS, scalars, TFEVENTS_SCALARS_MAX, &f->err),
              &f->err);
    tfevents_close(events);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/" FIRST_FILE, f->folder);
    CLEANUP(buf_clear) struct buf bytes;
    buf_init(&bytes, 64 * KIB);
    assert_ok(fs_read_file(path, &bytes, &f->err), &f->err);
    assert_int_equal(count_records(&bytes), 2);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    struct fixture *f = *state;
    struct tfevents *events = NULL;
    assert_int_equal(tfevents_open("/proc/none/here", "machine", FIRST_MS, &events, &f->err),
                     STATUS_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "/proc/none"));
    assert_null(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_has_its_published_value),
        cmocka_unit_test_setup_teardown(the_bytes_are_those_of_another_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resumed_run_writes_a_file_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_scalars_as_fit_are_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
