/*
 * Any pair of files: refused by name and byte, or decoded to records with labels. The input is the
 * features' size in two bytes, the features, and the labels.
 */

#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/data/data.h"

static char root[64], cache[80];

static void remove_root(void)
{
    (void)!fs_remove_tree(root, NULL);
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "we");
    assert(file != NULL);
    const size_t written = fwrite(bytes, 1, size, file);
    assert(written == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (root[0] == '\0') {
        (void)snprintf(root, sizeof(root), "/dev/shm/reprise-fuzz-XXXXXX");
        const char *made = mkdtemp(root);
        assert(made != NULL);
        (void)atexit(remove_root);
        (void)snprintf(cache, sizeof(cache), "%s/cache", root);
    }
    if (size < 2)
        return 0;
    const size_t wanted = (size_t)data[0] << 8 | data[1];
    const size_t features = wanted < size - 2 ? wanted : size - 2;
    write_file("x", data + 2, features);
    write_file("y", data + 2 + features, size - 2 - features);
    const struct data_spec spec = {.train = {.format = DATA_IDX, .features = "x", .labels = "y"}};
    const struct data_request request = {.spec = &spec, .root = root};
    struct dataset set = {.mapping = NULL};
    struct error err = {.status = STATUS_OK};
    fuzz_check_error(dataset_open(&request, cache, &set, &err), &err);
    if (err.status == STATUS_OK) {
        const int32_t *labels = dataset_array(&set, "label")->values;
        assert(set.count >= 1 && dataset_array(&set, "features")->width >= 1);
        assert(set.classes == (int64_t)labels[set.classes_record] + 1);
        const enum status same = dataset_verify(&set, &err);
        assert(same == STATUS_OK);
    }
    dataset_close(&set);
    const enum status removed = fs_remove_tree(cache, NULL); /* each input starts from nothing */
    assert(removed == STATUS_OK);
    return 0;
}
