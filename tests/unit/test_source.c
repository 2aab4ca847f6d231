/* test_source.c - plain, gzip and zstd files give the same bytes and the same chunks; damage is named. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "trainer/data/chunk.h"
#include "trainer/data/source.h"

#define DOCUMENT_BYTES (5 * MIB + 123)

struct fixture {
    char folder[64];
    char path[96];
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-source-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/data", fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    return fs_remove_tree(f->folder, NULL) == STATUS_OK ? 0 : -1;
}

static void write_plain(const struct fixture *f, const void *bytes, size_t size)
{
    assert_int_equal(fs_replace_file(f->path, bytes, size, 0644, NULL), STATUS_OK);
}

/* Two members one after the other, as `cat a.gz b.gz` makes them. */
static void write_gzip(const struct fixture *f, const char *bytes, size_t size)
{
    const size_t half = size / 2;
    gzFile file = gzopen(f->path, "wb1");
    assert_int_equal(gzwrite(file, bytes, (unsigned)half), (int)half);
    assert_int_equal(gzclose(file), Z_OK);
    file = gzopen(f->path, "ab9");
    assert_int_equal(gzwrite(file, bytes + half, (unsigned)(size - half)), (int)(size - half));
    assert_int_equal(gzclose(file), Z_OK);
}

static void write_zstd(const struct fixture *f, const char *bytes, size_t size)
{
    const size_t half = size / 3;
    const size_t room = ZSTD_compressBound(half) + ZSTD_compressBound(size - half);
    CLEANUP(free_cleanup) char *out = malloc(room);
    assert_non_null(out);
    const size_t first = ZSTD_compress(out, room, bytes, half, 1);
    assert_false(ZSTD_isError(first));
    const size_t second = ZSTD_compress(out + first, room - first, bytes + half, size - half, 3);
    assert_false(ZSTD_isError(second));
    write_plain(f, out, first + second);
}

/* Lines with quotes and line breaks in them, some of them long. */
static char *make_document(void)
{
    char *const text = malloc(DOCUMENT_BYTES);
    assert_non_null(text);
    size_t at = 0;
    for (uint32_t i = 0; at < DOCUMENT_BYTES; i++) {
        char record[64];
        const uint32_t bits = i * 2654435761U;
        int size = snprintf(record, sizeof(record), "%u,%u.%03u%s", i, bits >> 20, bits % 1000,
                            bits % 7 == 0 ? ",\"a\n\"\"b\"\n" : ",c\n");
        const size_t left = DOCUMENT_BYTES - at;
        if ((size_t)size > left)
            size = (int)left;
        memcpy(text + at, record, (size_t)size);
        at += (size_t)size;
    }
    return text;
}

static void check_bytes(struct fixture *f, const char *wanted, size_t size,
                        enum source_compression compression)
{
    CLEANUP(source_cleanup) struct source *source = NULL;
    assert_ok(source_open(f->path, &source, &f->err), &f->err);
    assert_int_equal(source_compression_of(source), compression);
    CLEANUP(free_cleanup) char *bytes = malloc(size + 100);
    assert_non_null(bytes);
    size_t got = 0, done = 0;
    for (size_t wish = 1; done < size; wish = wish * 3 + 1) {
        const size_t wanted_now = wish < size + 100 - done ? wish : size + 100 - done;
        assert_ok(source_read(source, bytes + done, wanted_now, &got, &f->err), &f->err);
        assert_true(got == wanted_now || done + got == size);
        done += got;
    }
    assert_memory_equal(bytes, wanted, size);
    assert_int_equal(source_offset(source), size);
    assert_true(source_bytes_max(source) >= (int64_t)size);
    assert_ok(source_read(source, bytes, 10, &got, &f->err), &f->err);
    assert_int_equal(got, 0);
}

static void plain_gzip_and_zstd_files_give_the_same_bytes(void **state)
{
    struct fixture *f = *state;
    CLEANUP(free_cleanup) char *document = make_document();
    write_plain(f, document, DOCUMENT_BYTES);
    check_bytes(f, document, DOCUMENT_BYTES, SOURCE_PLAIN);
    write_gzip(f, document, DOCUMENT_BYTES);
    check_bytes(f, document, DOCUMENT_BYTES, SOURCE_GZIP);
    write_zstd(f, document, DOCUMENT_BYTES);
    check_bytes(f, document, DOCUMENT_BYTES, SOURCE_ZSTD);
    write_plain(f, "", 0);
    check_bytes(f, "", 0, SOURCE_PLAIN);
    write_gzip(f, "", 0);
    check_bytes(f, "", 0, SOURCE_GZIP);
}

/* Reads to the end; the first error. */
static enum status drain(struct fixture *f)
{
    CLEANUP(source_cleanup) struct source *source = NULL;
    static char bytes[64 * KIB];
    f->err = (struct error){.status = STATUS_OK};
    TRY(source_open(f->path, &source, &f->err));
    for (size_t got = 1; got > 0;)
        TRY(source_read(source, bytes, sizeof(bytes), &got, &f->err));
    return STATUS_OK;
}

static void check_damage(struct fixture *f, const char *word)
{
    CLEANUP(buf_clear) struct buf file;
    buf_init(&file, (size_t)64 * MIB);
    assert_ok(fs_read_file(f->path, &file, &f->err), &f->err);
    const size_t sizes[] = {5, file.size / 3, file.size / 2 + 11, file.size - 1};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        write_plain(f, file.data, sizes[i]);
        assert_int_equal(drain(f), STATUS_INVALID);
        assert_non_null(strstr(f->err.text, f->path));
        assert_non_null(strstr(f->err.text, word));
    }
    file.data[file.size / 4] ^= 0x55;
    write_plain(f, file.data, file.size);
    assert_int_equal(drain(f), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, "damaged"));
    long long byte = 0, bytes = 0, decoded = 0;
    const bool behind = strstr(f->err.text, ": behind byte ") != NULL;
    const char *const place = strstr(f->err.text, "byte ");
    assert_non_null(place);
    assert_int_equal(
        sscanf(place, "byte %lld of %lld, after %lld decoded ones", &byte, &bytes, &decoded), 3);
    assert_true(behind ? byte <= (long long)file.size / 4 : byte > (long long)file.size / 4);
    assert_int_equal(bytes, file.size);
    assert_true(decoded < DOCUMENT_BYTES);
}

/* A stream that is whole but for its checksum, and one with something behind it. */
static void damage_at_the_end_is_named_by_its_byte_of_the_file(void **state)
{
    struct fixture *f = *state;
    char wanted[200];
    CLEANUP(buf_clear) struct buf file;
    buf_init(&file, MIB);
    write_gzip(f, "1,2\n3,4\n", 8);
    assert_ok(fs_read_file(f->path, &file, &f->err), &f->err);
    const int bytes = (int)file.size;
    file.data[bytes - 6] ^= 0x55;
    write_plain(f, file.data, file.size);
    assert_int_equal(drain(f), STATUS_INVALID);
    (void)snprintf(wanted, sizeof(wanted),
                   "%s: byte %d of %d, after 8 decoded ones: damaged: incorrect data check",
                   f->path, bytes - 4, bytes);
    assert_string_equal(f->err.text, wanted);
    file.data[bytes - 6] ^= 0x55;
    buf_append_text(&file, "text");
    write_plain(f, file.data, file.size);
    assert_int_equal(drain(f), STATUS_INVALID);
    (void)snprintf(wanted, sizeof(wanted),
                   "%s: byte %d of %d, after 8 decoded ones: damaged: incorrect header check",
                   f->path, bytes + 2, bytes + 4);
    assert_string_equal(f->err.text, wanted);
}

static void cut_and_damaged_streams_are_refused_by_path_and_byte(void **state)
{
    struct fixture *f = *state;
    CLEANUP(free_cleanup) char *document = make_document();
    write_gzip(f, document, DOCUMENT_BYTES);
    check_damage(f, "the file ends within its gzip stream");
    write_zstd(f, document, DOCUMENT_BYTES);
    check_damage(f, "the file ends within its zstd stream");
}

static void what_is_no_regular_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct source *source = NULL;
    assert_int_equal(source_open(f->folder, &source, &f->err), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, ": expected a regular file, got a folder"));
    assert_null(source);
    f->err = (struct error){.status = STATUS_OK};
    assert_int_equal(mkfifo(f->path, 0600), 0); /* which nobody writes to */
    assert_int_equal(source_open(f->path, &source, &f->err), STATUS_INVALID);
    assert_non_null(strstr(f->err.text, ": expected a regular file, got a pipe"));
    assert_int_equal(unlink(f->path), 0);
    f->err = (struct error){.status = STATUS_OK};
    assert_int_equal(source_open(f->path, &source, &f->err), STATUS_NOT_FOUND);
}

/* ------------------------------------------------------------------ chunks */

static const struct csv_dialect csv = {.separator = ",", .separator_bytes = 1, .quotes = true};

/* SHA-256 of all chunks' numbers, lines, sizes and bytes. */
static void hash_chunks(struct fixture *f, char hex[SHA256_HEX_BYTES], int64_t *out_chunks)
{
    CLEANUP(chunker_cleanup) struct chunker *chunker = NULL;
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    CLEANUP(chunk_clear) struct chunk chunk = {.bytes = NULL};
    assert_ok(chunker_open(f->path, &csv, &chunker, &f->err), &f->err);
    *out_chunks = 0;
    for (;;) {
        assert_ok(chunker_next(chunker, &chunk, &f->err), &f->err);
        if (chunk.size == 0)
            break;
        assert_int_equal(chunk.number, *out_chunks);
        assert_true(chunk.capacity <= (size_t)3 * CHUNK_BYTES);
        sha256_update(hash, &chunk.first_line, sizeof(chunk.first_line));
        sha256_update(hash, &chunk.size, sizeof(chunk.size));
        sha256_update(hash, chunk.bytes, chunk.size);
        (*out_chunks)++;
    }
    uint8_t digest[SHA256_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, hex);
}

static void chunks_do_not_depend_on_the_compression(void **state)
{
    struct fixture *f = *state;
    char plain[SHA256_HEX_BYTES], other[SHA256_HEX_BYTES];
    int64_t chunks;
    CLEANUP(free_cleanup) char *document = make_document();
    write_plain(f, document, DOCUMENT_BYTES);
    hash_chunks(f, plain, &chunks);
    assert_int_equal(chunks, 6);
    write_gzip(f, document, DOCUMENT_BYTES);
    hash_chunks(f, other, &chunks);
    assert_string_equal(other, plain);
    write_zstd(f, document, DOCUMENT_BYTES);
    hash_chunks(f, other, &chunks);
    assert_string_equal(other, plain);
}

static void a_header_is_taken_alone_and_a_byte_order_mark_passed_over(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "\xEF\xBB\xBF\"a\nb\",c\n1,2\n";
    CLEANUP(chunker_cleanup) struct chunker *chunker = NULL;
    CLEANUP(chunk_clear) struct chunk chunk = {.bytes = NULL};
    write_plain(f, text, sizeof(text) - 1);
    assert_ok(chunker_open(f->path, &csv, &chunker, &f->err), &f->err);
    assert_ok(chunker_first(chunker, &chunk, &f->err), &f->err);
    assert_int_equal(chunk.size, 8);
    assert_memory_equal(chunk.bytes, "\"a\nb\",c\n", 8);
    assert_ok(chunker_next(chunker, &chunk, &f->err), &f->err);
    assert_int_equal(chunk.first_line, 3);
    assert_int_equal(chunk.size, 4);
    assert_memory_equal(chunk.bytes, "1,2\n", 4);
    assert_ok(chunker_next(chunker, &chunk, &f->err), &f->err);
    assert_int_equal(chunk.size, 0);
}

/* A file of one line of `size` bytes after a short one. */
static enum status read_long_line(struct fixture *f, size_t size, char filling)
{
    CLEANUP(free_cleanup) char *text = malloc(size + 10);
    assert_non_null(text);
    memset(text, filling, size + 10);
    (void)snprintf(text, 5, "a,b\n");
    text[4] = filling;
    (void)snprintf(text + 4 + size, 6, "\nc,d\n");
    write_plain(f, text, size + 9);
    f->err = (struct error){.status = STATUS_OK};
    CLEANUP(chunker_cleanup) struct chunker *chunker = NULL;
    CLEANUP(chunk_clear) struct chunk chunk = {.bytes = NULL};
    assert_ok(chunker_open(f->path, &csv, &chunker, &f->err), &f->err);
    for (size_t done = 0; done < size + 9; done += chunk.size)
        TRY(chunker_next(chunker, &chunk, &f->err));
    return STATUS_OK;
}

static void a_record_is_bounded_and_the_error_names_its_line(void **state)
{
    struct fixture *f = *state;
    char wanted[160];
    assert_ok(read_long_line(f, (size_t)3 * MIB, 'x'), &f->err);
    assert_ok(read_long_line(f, (size_t)CHUNK_RECORD_BYTES_MAX - MIB, 'x'), &f->err);
    assert_int_equal(read_long_line(f, (size_t)CHUNK_RECORD_BYTES_MAX + MIB, 'x'),
                     STATUS_TOO_LARGE);
    (void)snprintf(wanted, sizeof(wanted), "%s:2: a record of more than 16 MiB", f->path);
    assert_string_equal(f->err.text, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_gzip_and_zstd_files_give_the_same_bytes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cut_and_damaged_streams_are_refused_by_path_and_byte,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_at_the_end_is_named_by_its_byte_of_the_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_do_not_depend_on_the_compression, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_header_is_taken_alone_and_a_byte_order_mark_passed_over,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_is_bounded_and_the_error_names_its_line, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
