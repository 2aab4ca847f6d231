#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"

/* FIPS 180-4's examples, and the empty message. */
static const struct {
    const char *message;
    const char *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256_gives_the_published_digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        uint8_t digest[SHA256_BYTES];
        char hex[SHA256_HEX_BYTES];
        sha256_of(vectors[i].message, strlen(vectors[i].message), digest);
        sha256_hex(digest, hex);
        assert_string_equal(hex, vectors[i].digest);
    }
}

static void a_hash_in_pieces_is_the_hash_of_the_whole(void **state)
{
    (void)state;
    uint8_t whole[SHA256_BYTES];
    uint8_t pieces[SHA256_BYTES];
    const char *message = vectors[2].message;
    sha256_of(message, strlen(message), whole);
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    for (const char *c = message; *c != '\0'; c++)
        sha256_update(hash, c, 1);
    sha256_final(hash, pieces);
    assert_memory_equal(whole, pieces, SHA256_BYTES);
    sha256_free(NULL);
}

static void a_file_hashes_like_its_bytes(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    char path[] = "/tmp/reprise-hash-XXXXXX";
    CLEANUP(fd_cleanup) const int fd = mkstemp(path);
    assert_true(fd >= 0);
    CLEANUP(buf_clear) struct buf bytes;
    buf_init(&bytes, MIB);
    for (int i = 0; i < 30000; i++)
        buf_printf(&bytes, "%d,", i);
    assert_ok(fs_write_all(fd, bytes.data, bytes.size, &err), &err);
    uint8_t of_file[SHA256_BYTES];
    uint8_t of_bytes[SHA256_BYTES];
    uint64_t size = 0;
    sha256_of(bytes.data, bytes.size, of_bytes);
    assert_ok(sha256_file(path, of_file, &size, &err), &err);
    assert_int_equal(size, bytes.size);
    assert_memory_equal(of_file, of_bytes, SHA256_BYTES);
    (void)unlink(path);
    char text[128];
    (void)snprintf(text, sizeof(text), "open %s: No such file or directory", path);
    assert_fails(sha256_file(path, of_file, &size, &err), &err, STATUS_NOT_FOUND, text);
}

static void hexadecimal_goes_there_and_back(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    char hex[13];
    uint8_t back[6];
    hex_encode(bytes, sizeof(bytes), hex);
    assert_string_equal(hex, "00017f80feff");
    assert_true(hex_decode("00017F80FeFf", back, sizeof(back)));
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_false(hex_decode("00017f80fef", back, sizeof(back)));
    assert_false(hex_decode("00017f80feff0", back, sizeof(back)));
    assert_false(hex_decode("00017f80fefg", back, sizeof(back)));
    assert_false(hex_decode(" 0017f80feff", back, sizeof(back)));
}

/* RFC 4648, section 10. */
static const char *const base64_vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void base64_gives_the_published_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(base64_vectors); i++) {
        const char *plain = base64_vectors[i][0];
        const size_t size = strlen(plain);
        char text[16];
        uint8_t back[8] = {0};
        base64_encode((const uint8_t *)plain, size, text);
        assert_string_equal(text, base64_vectors[i][1]);
        assert_true(base64_decode(text, back, size));
        assert_memory_equal(back, plain, size);
    }
}

static void base64_has_one_text_for_one_value(void **state)
{
    (void)state;
    uint8_t out[8];
    assert_false(base64_decode("Zh==", out, 1)); /* bits beyond the byte */
    assert_false(base64_decode("Zm9=", out, 2));
    assert_false(base64_decode("Zg", out, 1)); /* no padding */
    assert_false(base64_decode("Zg===", out, 1));
    assert_false(base64_decode("Zg==", out, 2)); /* another size */
    assert_false(base64_decode("Z===", out, 1));
    assert_false(base64_decode("Zm9*", out, 3));
    assert_false(base64_decode("Zm-v", out, 3)); /* the URL alphabet is another one */
    assert_false(base64_decode("Zm9v\n", out, 3));
}

static void equal_bytes_are_equal(void **state)
{
    (void)state;
    assert_true(bytes_equal_constant_time("secret", "secret", 6));
    assert_false(bytes_equal_constant_time("secret", "secreT", 6));
    assert_true(bytes_equal_constant_time("a", "b", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(a_hash_in_pieces_is_the_hash_of_the_whole),
        cmocka_unit_test(a_file_hashes_like_its_bytes),
        cmocka_unit_test(hexadecimal_goes_there_and_back),
        cmocka_unit_test(base64_gives_the_published_texts),
        cmocka_unit_test(base64_has_one_text_for_one_value),
        cmocka_unit_test(equal_bytes_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
